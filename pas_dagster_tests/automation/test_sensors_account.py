"""Sensors that look at the account: drift, risk, and open orders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, DagsterInstance, DagsterRunStatus

from pas_dagster import settings
from pas_dagster.assets.alerts import BREAKER
from pas_dagster.automation.jobs import PRODUCED
from pas_dagster.definitions import defs
from pas_dagster.ledger import halts
from pas_dagster.ledger.store import Ledger
from pas_dagster_tests.automation.watched import Tower, new_york
from pas_dagster_tests.execution.brokerage import DAY, SPEC, brokerage
from pas_dagster_tests.ledger.database import ledger, server, url

DRIFT, RISK, FILLS = "rebalance_on_drift", "rebalance_on_risk", "fills_poller"
FRIDAY, MONDAY, TUESDAY = "2024-01-05", "2024-01-08", "2024-01-09"
__all__ = ["ledger", "server", "url"]


@pytest.fixture
def tower(ledger: Ledger, tmp_path: Path) -> Iterator[Tower]:
    """A paper account with a band of 5 % at ten on a Monday."""
    start = date(2023, 1, 3)
    chosen = settings.load(
        home=tmp_path, world="real", database_url=None, broker="alpaca", start=start, drift_band=0.05
    )
    with DagsterInstance.ephemeral() as instance:
        yield Tower(ledger, instance, chosen, new_york(f"{MONDAY}T10:00"))


def use(tower: Tower, **changes: Any) -> Tower:
    tower.settings = tower.settings.model_copy(update=changes)
    return tower


def invested(tower: Tower, aaa: float = 60.0) -> Tower:
    """A sleeve of 1,000 USD with 60 AAA at 10, where half of it should be AAA."""
    tower.hold("alpha", 1000.0 - 10.0 * aaa, AAA=aaa)
    own = {"sleeve": "alpha", "sleeve_share": 1.0}
    for day, weight in ((FRIDAY, 0.5), ("2023-12-29", 0.9)):
        decision = date.fromisoformat(day)
        tower.put("portfolios", [{"decision": decision, "symbol": "AAA", "sleeve_weight": weight, **own}])
        tower.put("portfolios", [{"decision": decision, "symbol": "$CASH", "sleeve_weight": 1 - weight, **own}])
    tower.put("prices", [{"known_on": date(2024, 1, 4), "symbol": "AAA", "close": 99.0}])
    tower.put("prices", [{"known_on": date(2024, 1, 5), "symbol": "AAA", "close": 10.0}])
    return tower


class TestDrift:
    def test_beyond_the_band_is_called_for_once_a_session(self, tower: Tower):
        invested(tower)
        assert "before 09:32" in tower.why(DRIFT, f"{MONDAY}T09:31")
        (run,) = tower.tick(DRIFT, f"{MONDAY}T09:32").run_requests or []
        assert (run.partition_key, run.tags["pas/rebalance"]) == (MONDAY, "weights")
        assert run.tags["pas/why"] == "AAA in alpha is 60.00% of the sleeve, and 50.00% is its target."
        assert "asked for already" in tower.why(DRIFT, f"{MONDAY}T09:33")
        assert tower.asked(DRIFT, f"{TUESDAY}T09:32") == [("trade", TUESDAY, "weights")]

    def test_within_the_band_rests(self, tower: Tower):
        assert "within its band. The widest: AAA in alpha" in invested(tower, aaa=54.0).why(DRIFT)

    def test_without_a_band_nothing_is_looked_at(self, tower: Tower):
        assert use(invested(tower), drift_band=0.0).why(DRIFT).startswith("No drift band is set")

    def test_any_band_is_one(self, tower: Tower):
        use(invested(tower), drift_band=0.0, drift_band_relative=0.25)
        assert tower.why(DRIFT).startswith("Every holding")
        use(tower, drift_band_relative=0.0, drift_band_usd=99)
        assert tower.asked(DRIFT)

    @pytest.mark.parametrize("broker", ["alpaca", "simulated"])
    def test_a_session_that_is_planned_stands_until_the_next(self, tower: Tower, broker: str):
        invested(use(tower, broker=broker)).plan(MONDAY)
        assert "waits for the next session" in tower.why(DRIFT)
        assert tower.asked(DRIFT, f"{TUESDAY}T09:32") == [("trade", TUESDAY, "weights")]

    def test_a_simulated_account_is_called_for_before_the_schedule_trades_it(self, tower: Tower):
        invested(use(tower, broker="simulated"))
        assert tower.asked(DRIFT, f"{MONDAY}T06:27")

    @pytest.mark.parametrize("moment", ["2024-01-06T10:00", "2024-01-15T10:00", f"{MONDAY}T16:00"])
    def test_nothing_is_asked_for_while_the_market_is_closed(self, tower: Tower, moment: str):
        assert invested(tower).why(DRIFT, moment)

    def test_what_has_no_price_is_named(self, tower: Tower):
        tower.hold("beta", 1.0, ZZZ=1.0)
        tower.put("portfolios", [{"decision": date(2024, 1, 5), "sleeve": "beta", "symbol": "ZZZ", "sleeve_weight": 1}])
        tower.put("prices", [{"known_on": date(2023, 12, 20), "symbol": "ZZZ", "close": 1.0}])  # too old
        assert tower.why(DRIFT).endswith("Not looked at, for want of a price: ZZZ.")

    @pytest.mark.parametrize(("effective", "looked_at"), [("2024-01-06", False), (MONDAY, False), (FRIDAY, True)])
    def test_what_is_split_at_todays_open_is_left_out(self, tower: Tower, effective: str, looked_at: bool):
        """Of the weekend too: it takes effect at Monday's open."""
        action = {"kind": "split", "symbol": "AAA", "event_date": date.fromisoformat(effective), "value": 2.0}
        invested(tower).put("corporate_actions", [action])
        assert bool(tower.asked(DRIFT)) == looked_at


def alert(day: str, rule: str, status: str = "fired", since: str = "", **more: Any) -> dict[str, Any]:
    row = {"known_on": date.fromisoformat(day), "rule": rule, "severity": "critical", "status": status}
    return {**row, "active": status in ("fired", "unknown"), "since": date.fromisoformat(since or day), **more}


class TestRisk:
    def told(self, tower: Tower, *rows: dict[str, Any]) -> Sequence[tuple[str, str | None, str | None]]:
        tower.put("alerts", rows)
        return tower.asked(RISK)

    def test_a_rule_that_fires_compares_the_books_and_trades_the_targets(self, tower: Tower):
        assert self.told(tower, alert("2024-01-04", "loss", "cleared")) == []
        found = self.told(tower, alert(FRIDAY, "loss"))
        assert found == [("books", None, None), ("trade", MONDAY, "weights")]
        assert tower.asked(RISK, f"{MONDAY}T10:01") == []
        assert self.told(tower, alert(MONDAY, "loss", since=FRIDAY)) == []  # it goes on

    def test_what_fired_at_the_newest_session_counts_at_the_first_look_and_older_does_not(self, tower: Tower):
        rows = [alert(FRIDAY, "new"), alert(FRIDAY, "old", since="2024-01-03")]
        assert len(self.told(tower, *rows)) == 2
        assert '"firing": ["new", "old"]' in (tower.cursors[RISK] or "")

    def test_a_number_that_is_missing_for_a_session_is_no_end_and_no_new_beginning(self, tower: Tower):
        assert len(self.told(tower, alert(FRIDAY, "loss"))) == 2
        assert self.told(tower, alert(MONDAY, "loss", "unknown")) == []
        assert self.told(tower, alert(TUESDAY, "loss", since=FRIDAY)) == []

    def test_what_is_not_critical_or_not_known_asks_for_nothing(self, tower: Tower):
        rows = [alert(FRIDAY, "a", severity="warning"), alert(FRIDAY, "b", "unknown"), alert(FRIDAY, "c", "pending")]
        assert self.told(tower, *rows) == []

    def test_the_books_are_compared_at_any_hour_and_the_trade_waits_for_the_market(self, tower: Tower):
        tower.put("alerts", [alert(FRIDAY, "loss")])
        assert tower.asked(RISK, f"{MONDAY}T07:00") == [("books", None, None)]
        assert "before 09:32" in tower.why(RISK, f"{MONDAY}T09:00")
        assert tower.asked(RISK, f"{MONDAY}T09:32") == [("trade", MONDAY, "weights")]

    def test_a_planned_session_stands_and_the_next_is_called_for(self, tower: Tower):
        tower.plan(MONDAY)
        assert self.told(tower, alert(FRIDAY, "loss")) == [("books", None, None)]
        assert tower.asked(RISK, f"{TUESDAY}T09:32") == [("trade", TUESDAY, "weights")]

    def test_old_prices_are_no_reason_to_trade_at_them(self, tower: Tower):
        assert self.told(tower, alert(FRIDAY, "old prices", metric="data_age")) == [("books", None, None)]

    def test_a_tripped_breaker_trades_nothing_and_all_when_it_opens(self, tower: Tower):
        found = self.told(tower, alert(FRIDAY, BREAKER), alert(FRIDAY, "loss"))
        assert found == [("books", None, None)]
        tower.now = new_york(f"{TUESDAY}T10:00")
        rows = [alert(MONDAY, BREAKER, "cleared"), alert(MONDAY, "loss", since=FRIDAY)]
        assert self.told(tower, *rows) == [("trade", TUESDAY, "all")]

    def test_a_breaker_that_trips_takes_back_what_was_to_be_called_for(self, tower: Tower):
        tower.now = new_york(f"{FRIDAY}T17:00")
        assert self.told(tower, alert(FRIDAY, "loss")) == [("books", None, None)]
        tower.now = new_york(f"{TUESDAY}T10:00")
        assert self.told(tower, alert(MONDAY, "loss", since=FRIDAY), alert(MONDAY, BREAKER)) == [("books", None, None)]
        assert tower.asked(RISK, f"{TUESDAY}T10:01") == []


class TestOpenOrders:
    def test_a_simulated_account_has_nothing_to_poll(self, tower: Tower):
        use(tower, broker="simulated").plan(MONDAY)
        assert "nothing to poll" in tower.why(FILLS)

    @pytest.mark.parametrize("state", ["open", "halted"])
    def test_an_unfinished_batch_is_followed_once_a_minute_without_deciding_anew(self, tower: Tower, state: str):
        tower.plan(MONDAY, state)
        (run,) = tower.tick(FILLS).run_requests or []
        assert (run.job_name, run.partition_key) == ("trade", MONDAY)
        assert set(run.asset_selection or ()) == {AssetKey(name) for name in PRODUCED}
        job = defs.resolve_job_def("trade").get_subset(asset_selection=frozenset(run.asset_selection or ()))
        assert [node.name for node in job.nodes] == ["execution"]
        (again,) = tower.tick(FILLS).run_requests or []
        assert again.run_key == run.run_key  # within the minute: Dagster does not launch it twice
        (later,) = tower.tick(FILLS, f"{MONDAY}T10:01").run_requests or []
        assert later.run_key != run.run_key

    def test_after_the_close_it_goes_on_every_ten_minutes_until_the_batch_is_done(self, tower: Tower):
        tower.plan(MONDAY)
        minutes = [f"{MONDAY}T16:{minute:02}" for minute in range(30)]
        keys = {(tower.tick(FILLS, one).run_requests or [])[0].run_key for one in minutes}
        assert len(keys) == 3
        assert "goes on with the next session's run" in tower.why(FILLS, f"{TUESDAY}T00:01")

    def test_a_run_that_failed_is_tried_again_after_ten_minutes_and_then_every_minute(self, tower: Tower):
        tower.plan(MONDAY)
        tower.running("trade", DagsterRunStatus.FAILURE, dagster__partition=MONDAY)
        keys = {(tower.tick(FILLS, f"{MONDAY}T11:0{n}").run_requests or [])[0].run_key for n in range(10)}
        assert len(keys) == 1
        tower.running("trade", DagsterRunStatus.SUCCESS, dagster__partition=MONDAY)
        keys = {(tower.tick(FILLS, f"{MONDAY}T11:1{n}").run_requests or [])[0].run_key for n in range(10)}
        assert len(keys) == 10

    def test_a_run_at_work_is_left_alone(self, tower: Tower):
        tower.plan(MONDAY)
        tower.running("trade")
        assert "A run of trade is at work" in tower.why(FILLS)

    def test_a_halted_account_is_not_asked_for(self, tower: Tower, tmp_path: Path):
        tower.plan(MONDAY)
        tower.ledger.halt_file = tmp_path / halts.HALT_FILE
        halts.write_file(tower.ledger.halt_file, "stop")
        assert tower.why(FILLS) == "The account is halted by its file: stop."

    def test_it_follows_a_real_batch_from_its_first_order_to_its_end(self, tower: Tower):
        """At the sandbox broker, through the SDK: an order that fills later than the run waits."""
        spec = replace(SPEC, id="alpaca-paper")
        with brokerage(tower.ledger) as firm:
            firm.spec, firm.patience = spec, 0.0
            firm.book.rules.patterns["AAA"] = [(90.0, 1.0)]
            tower.now = firm.hand()
            assert tower.why(FILLS) == "No batch is open."
            firm.trade()
            tower.now = firm.hand()
            assert tower.asked(FILLS) == [("trade", str(DAY), None)]
            firm.hand.advance(120)
            firm.trade()
            tower.now = firm.hand()
            assert tower.why(FILLS) == "No batch is open."
            firm.sound()
