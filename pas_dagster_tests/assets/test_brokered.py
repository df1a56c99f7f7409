"""A real broker behind the assets: history never reaches it, today does once, and the books tell when they differ."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pas_dagster.assets.books import position_rows
from pas_dagster.ledger.floats import Float
from pas_dagster.ledger.profits import Profit
from pas_dagster.ledger.units import SHARE, USD
from pas_dagster_tests.lake.processes import clean_environment


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("brokered") / "home"
    done = subprocess.run(
        [sys.executable, "-m", "pas_dagster_tests.assets.brokered", str(home)],
        env=clean_environment(),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.xdist_group("brokered")
class TestThroughDagster:
    def test_history_asks_the_broker_nothing(self, told: dict[str, Any]) -> None:
        assert told["history"]["said"] is None
        assert told["history"]["asked"] == 0
        assert told["history"]["rows"]["order_batch"] == 0

    def test_before_the_open_the_plan_is_shown_and_nothing_sent(self, told: dict[str, Any]) -> None:
        assert "opens at 09:30" in told["too early"]["said"]
        assert (told["too early"]["posted"], told["too early"]["states"]) == (0, ["planned"])

    def test_today_is_traded_once_however_often_it_is_materialised(self, told: dict[str, Any]) -> None:
        assert told["today"]["said"] is None
        assert [told[name]["posted"] for name in ("today", "again", "range")] == [3, 0, 0]
        assert told["today"]["states"] == ["filled"]
        assert told["today"]["rows"]["fills"] == told["today"]["rows"]["trades"] == 3
        assert told["again"]["rows"] == told["today"]["rows"]

    def test_a_paper_account_has_no_rows_among_the_live_ones(self, told: dict[str, Any]) -> None:
        assert told["today"]["rows"]["account_metrics_live"] == 0
        assert told["today"]["equity"] == [pytest.approx(100_000)]

    def test_the_books_agree_and_positions_are_worth_the_account(self, told: dict[str, Any]) -> None:
        books = told["books"]
        assert (books["said"], books["verdicts"]) == (None, ["equal"])
        assert books["rows"]["positions"] == 4
        assert books["value"] == pytest.approx(80_000)  # the treasury is no sleeve

    def test_a_difference_is_told_and_halts_the_account(self, told: dict[str, Any]) -> None:
        assert told["different"]["verdicts"] == ["different", "equal"]
        assert "has been halted" in told["halted"]["said"]
        assert told["halted"]["posted"] == 0


def test_positions_tell_what_is_held_what_it_cost_and_what_came_of_it() -> None:
    earned = {
        ("a", "AAA"): Profit(quantity=2 * SHARE, cost=100 * USD, realised=7 * USD, income=3 * USD, fees=USD),
        ("a", "BBB"): Profit(realised=-4 * USD),
        ("a", ""): Profit(income=5 * USD),
        ("b", "CCC"): Profit(),
    }
    held = {("a", "AAA"): Float(2 * SHARE, SHARE), ("a", "$"): Float(50 * USD, 10 * USD)}
    rows = position_rows(earned, held, {"AAA": 60.0}, date(2024, 1, 2)).set_index("symbol")
    assert list(rows.index) == ["AAA", "BBB", "$CASH"]
    kept = ["quantity", "reserved", "value", "average_cost", "unrealised", "realised", "income", "fees"]
    assert rows.loc["AAA", kept].tolist() == [2, 1, 120, 50, 20, 7, 3, 1]
    assert rows.loc["BBB", ["quantity", "realised"]].tolist() == [0, -4]
    assert rows.loc["$CASH", ["value", "reserved", "income"]].tolist() == [50, 10, 5]
