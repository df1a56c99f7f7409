"""What a partition depends on is the same in process, in the daemon and in the UI, and never later than it decides."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pas_dagster.schemas import datasets as tables
from pas_dagster.settings import PROJECT
from pas_dagster_tests.automation.project import clean_environment

Mapped = dict[str, list[str]]
DATASETS = {dataset.name for dataset in tables.DATASETS}
FACTS = {*DATASETS, "strategy_returns", "sleeve_trades"}
# Facts are fetched with, and computed from, facts of the same day; everything else decides.
SAME_DAY = {*DATASETS, "strategy_returns", "sleeve_trades", "metrics", "weight_history", "alerts"}


def graphs(folder: Path, start: str, until: str, stride: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "pas_dagster_tests.automation.graphs", until, str(stride)]
    environment = clean_environment(PAS_HOME=str(folder), PAS_START=start, PAS_WORLD="real")
    result = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


# Every key of ten years takes minutes, so every commit proves a leap year, and CI the decade: of days and sessions
# every fourth, which is coprime to the days of a week, so that each kind of day is among them.
@pytest.fixture(
    scope="module",
    params=[
        ("2024-01-01", "2025-01-03", 1),
        pytest.param(("2015-01-01", "2025-01-03", 4), marks=pytest.mark.slow),
    ],
    ids=["year", "decade"],
)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return graphs(tmp_path_factory.mktemp("home"), *request.param)


def edges(found: dict[str, Any], child: str = "", parent: str = "") -> dict[tuple[str, str], Mapped]:
    """Edge -> key of the child -> keys of the parent, as the daemon sees them."""
    return {
        (edge["child"], edge["parent"]): {key: pair[1] for key, pair in found["mapped"][edge["kind"]].items()}
        for edge in found["edges"]
        if child in ("", edge["child"]) and parent in ("", edge["parent"])
    }


@pytest.mark.xdist_group("mappings")
class TestEveryKeyOfEveryDependency:
    def test_daemon_and_ui_see_the_partition_sets_and_mappings_of_the_process(self, found: dict[str, Any]):
        assert len(found["edges"]) == 219
        assert [edge for edge in found["edges"] if not edge["alike"]] == []

    def test_every_dependency_between_steps_declares_its_mapping(self, found: dict[str, Any]):
        inferred = {(edge["child"], edge["parent"]) for edge in found["edges"] if not edge["declared"]}
        assert inferred == {  # one step, one partition set
            ("fills", "order_batch"),
            ("trades", "fills"),
            ("account_metrics_paper", "trades"),
            ("account_metrics_live", "trades"),
        }

    def test_the_keys_mapped_to_are_the_same(self, found: dict[str, Any]):
        different = [
            (kind, key, *pair)
            for kind, mapped in found["mapped"].items()
            for key, pair in mapped.items()
            if pair[0] != pair[1]
        ]
        assert different == []

    def test_nothing_depends_on_a_later_partition(self, found: dict[str, Any]):
        late = [
            (edge, key, parents)
            for edge, mapped in edges(found).items()
            for key, parents in mapped.items()
            if parents and parents[-1] > key
        ]
        assert late == []

    def test_a_decision_depends_only_on_facts_from_before_its_day(self, found: dict[str, Any]):
        seen = 0
        for (child, parent), mapped in edges(found).items():
            if parent in FACTS and child not in SAME_DAY:
                seen += 1
                late = {key: parents for key, parents in mapped.items() if parents and parents[-1] >= key}
                assert late == {}, (child, parent)
        assert seen > 15

    @pytest.mark.parametrize("child", ["target_portfolio", "strategy_returns"])
    def test_weights_and_shares_are_the_latest_one_at_or_before_the_decision(self, found: dict[str, Any], child: str):
        used = {parent: mapped for (_, parent), mapped in edges(found, child).items() if parent not in FACTS}
        assert len(used) == (21 if child == "target_portfolio" else 19)
        for parent, mapped in used.items():
            known = sorted(found["keys"][parent])
            for key, parents in mapped.items():
                assert parents == [k for k in known if k <= key][-1:], (parent, key)

    def test_a_batch_trades_the_target_of_its_own_session(self, found: dict[str, Any]):
        mapped = edges(found, "order_batch", "target_portfolio")["order_batch", "target_portfolio"]
        assert all(parents == [key] for key, parents in mapped.items())
        assert len(mapped) > 250

    def test_every_session_of_the_calendar_decides(self, found: dict[str, Any]):
        from pas_dagster import calendar

        days = [date.fromisoformat(key) for key in found["keys"]["target_portfolio"]]
        assert days == calendar.sessions(days[0], days[-1])
