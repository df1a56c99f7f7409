"""Proof (b): materialising any asset again, over any range, leaves the lake as it was and writes no snapshot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pas_dagster_tests.lake.processes import clean_environment

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("rematerialise")]
SEED = 20240715
ROUNDS = 24


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("rematerialise") / "home"
    command = [sys.executable, "-m", "pas_dagster_tests.assets.rematerialise", str(home), str(SEED), str(ROUNDS)]
    done = subprocess.run(
        command,
        env=clean_environment(),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_kind_of_table_was_filled(answer: dict[str, Any]) -> None:
    """Otherwise the rest of this module would compare nothing with nothing."""
    empty = {name for name, (rows, _) in answer["before"].items() if rows == "0"}
    filled = {"prices", "universe", "strategy_weights", "strategy_returns", "allocation", "alloc_log", "portfolios"}
    assert not empty & (filled | {"order_batch", "trades", "account_metrics_paper", "metrics", "weight_history"})


def test_every_asset_was_done_again(answer: dict[str, Any]) -> None:
    assert {step["asset"] for step in answer["steps"]} == set(answer["assets"])
    assert all(step["count"] > 0 for step in answer["steps"])


def test_again_leaves_no_snapshot(answer: dict[str, Any]) -> None:
    assert [step for step in answer["steps"] if step["snapshots"]] == []


def test_again_leaves_every_table_equal(answer: dict[str, Any]) -> None:
    assert answer["after"] == answer["before"]
