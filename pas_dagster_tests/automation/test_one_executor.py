"""One executor per account, however many runs start: a pool in Dagster, and the account's lock under it."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import sqlalchemy as sa
import yaml
from dagster import AssetKey

from pas_dagster.definitions import defs
from pas_dagster.ledger import tables
from pas_dagster.ledger.store import Ledger
from pas_dagster.settings import PROJECT
from pas_dagster_tests.automation.project import clean_environment
from pas_dagster_tests.execution.brokerage import SPEC, brokerage
from pas_dagster_tests.ledger.database import ledger, server, url

__all__ = ["ledger", "server", "url"]
PATIENCE = 60.0
WAITING = sa.text(
    "select count(*) from pg_locks where locktype = 'advisory' and not granted "
    "and database = (select oid from pg_database where datname = current_database())"
)


@pytest.mark.parametrize(
    "name",
    ["order_batch", "fills", "trades", "account_metrics_paper", "account_metrics_live", "reconciliation", "positions"],
)
def test_whatever_touches_the_account_is_in_its_pool(name: str):
    assert defs.resolve_asset_graph().get(AssetKey(name)).pools == {"account"}


def test_every_pool_has_a_limit_of_one():
    """A pool without a limit does nothing."""
    told = yaml.safe_load((PROJECT / "dagster.yaml").read_text())["concurrency"]["pools"]
    assert told == {"default_limit": 1, "granularity": "op"}


def test_two_runs_of_a_session_in_two_processes_send_its_orders_once(ledger: Ledger):
    with brokerage(ledger) as firm:
        command = [sys.executable, "-m", "pas_dagster_tests.automation.rebalancer", ledger.url, firm.url]
        with ledger.lock(SPEC.id):
            runs = [_started(command) for _ in range(2)]
            _await_two(ledger)  # both stand before the lock, so that they go for the account at once
        told = [run.communicate(timeout=PATIENCE) for run in runs]
        assert [run.returncode for run in runs] == [0, 0], told
        assert told[0][0] == told[1][0]
        planned = firm.rows(tables.orders)
        assert len(planned) == firm.sandbox.count("POST", "/v2/orders") == len(firm.book.orders) > 0
        assert len(firm.rows(tables.batch)) == 1
        firm.sound()


def _started(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=PROJECT, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _await_two(ledger: Ledger) -> None:
    end = time.monotonic() + PATIENCE
    while ledger.run(lambda connection: connection.scalar(WAITING)) < 2:
        assert time.monotonic() < end, "the two runs did not come to the lock"
        time.sleep(0.1)
