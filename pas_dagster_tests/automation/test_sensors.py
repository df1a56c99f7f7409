"""Sensors ask for the right run at the right time, once, whatever the cursor, the calendar or the home is like."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus, DefaultSensorStatus
from hypothesis import HealthCheck, given
from hypothesis import settings as trials
from hypothesis import strategies as st

from pas_dagster import calendar, postgres, settings
from pas_dagster.assets.resources import Workshop, forget_connections
from pas_dagster.automation import signals
from pas_dagster.automation.sensors import SENSORS
from pas_dagster.execution.account import account_spec
from pas_dagster.ledger.store import Ledger
from pas_dagster_tests.automation.watched import Tower, evaluated, new_york
from pas_dagster_tests.ledger.database import ledger, server, url

TARGETS, DRIFT, RISK, FILLS = NAMES = [one.name for one in SENSORS]
MONDAY, TUESDAY = "2024-01-08", "2024-01-09"
__all__ = ["ledger", "server", "url"]


@pytest.fixture
def tower(ledger: Ledger, tmp_path: Path) -> Iterator[Tower]:
    """A paper account at ten on a Monday."""
    chosen = settings.load(home=tmp_path, world="real", database_url=None, broker="alpaca", start=date(2023, 1, 3))
    with DagsterInstance.ephemeral() as instance:
        yield Tower(ledger, instance, chosen, new_york(f"{MONDAY}T10:00"))


def use(tower: Tower, **changes: Any) -> Tower:
    tower.settings = tower.settings.model_copy(update=changes)
    return tower


@pytest.fixture
def simulated(tower: Tower) -> Tower:
    return use(tower, broker="simulated")


@pytest.mark.parametrize("one", SENSORS, ids=lambda one: one.name)
def test_a_sensor_is_off_and_says_what_it_does(one: Any):
    assert one.default_status == DefaultSensorStatus.STOPPED
    assert len(one.description) > 100
    assert one.minimum_interval_seconds == 60


class TestHomesWithoutSomething:
    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize(
        ("address", "said"),
        [(None, "No database"), ("postgresql://pas@127.0.0.1:1/pas", "The database does not answer")],
    )
    def test_no_database_is_a_sentence(
        self, name: str, address: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.delenv(postgres.URL_VARIABLE, raising=False)
        if address:
            monkeypatch.setenv(postgres.URL_VARIABLE, address)
        home = settings.load(home=tmp_path, database_url=None, broker="alpaca", drift_band=0.05)

        class Bench(Workshop):
            @property
            def settings(self) -> settings.Settings:
                return home

            @property
            def now(self) -> datetime:
                return new_york(f"{MONDAY}T10:00")

            @property
            def today(self) -> date:
                return date.fromisoformat(MONDAY)

        forget_connections()
        with DagsterInstance.ephemeral() as instance:
            tower = Tower(None, instance, home, new_york(f"{MONDAY}T10:00"))  # ty: ignore[invalid-argument-type]
            tower.land("wsb_buzz", MONDAY)
            data = evaluated(name, instance, Bench(), None)
        assert data.skip_message is not None
        assert data.skip_message.startswith(said)
        assert "pas@" not in data.skip_message
        assert data.cursor is None

    def test_no_data_are_a_sentence(self, tower: Tower):
        use(tower, drift_band=0.05)
        assert tower.why(DRIFT) == tower.why(RISK) == "There are no data yet: run `pas demo`, or `pas backfill`."
        assert tower.why(FILLS) == "No batch is open."
        assert tower.why(TARGETS).startswith("No weight set")

    def test_tables_without_rows_ask_for_nothing(self, tower: Tower):
        use(tower, drift_band=0.05)
        tower.put("prices", [{"known_on": date(2024, 1, 5), "symbol": "AAA"}])
        assert tower.why(DRIFT).startswith("Every holding is within its band")
        assert tower.why(RISK) == "No session has alerts yet."


KEYS = ["seen", "waiting", "firing", "call", "asked", "wsb_buzz", "allocation"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(MONDAY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=8,
)
CURSORS = st.text(max_size=20) | (JSON | st.dictionaries(st.sampled_from(KEYS), JSON)).map(json.dumps)


class TestCursors:
    @trials(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(cursor=CURSORS, name=st.sampled_from(NAMES))
    def test_any_text_is_survived_and_replaced_by_one_that_is_understood(self, tower: Tower, cursor: str, name: str):
        use(tower, drift_band=0.05)
        if not tower.cursors:
            alert = {"known_on": date(2024, 1, 5), "rule": "r", "severity": "critical", "status": "fired"}
            tower.put("alerts", [alert])
            tower.put("portfolios", [{"decision": date(2024, 1, 5)}])
        tower.cursors[name] = cursor
        tower.tick(name)
        again = tower.tick(name)
        assert not again.run_requests
        assert isinstance(json.loads(again.cursor or ""), dict)

    def test_what_makes_no_sense_does_not_wait(self, tower: Tower):
        waiting = {"wsb_buzz": ["9999-01-04", 1], "allocation": ["soon", 1], "gone": [MONDAY, 1], "regimes": [MONDAY]}
        tower.cursors[TARGETS] = json.dumps({"seen": {}, "waiting": waiting})
        assert tower.why(TARGETS).startswith("No weight set")

    def test_what_waits_is_asked_for_by_the_next_daemon(self, tower: Tower, tmp_path: Path):
        """The cursor is in Dagster's storage; a new process has nothing else."""
        folder = tmp_path / "instance"
        folder.mkdir()
        with DagsterInstance.local_temp(str(folder)) as before:
            tower.instance = before
            tower.land("wsb_buzz", MONDAY)
            assert "before 09:32" in tower.why(TARGETS, f"{MONDAY}T08:00")
        with DagsterInstance.local_temp(str(folder)) as after:
            tower.instance = after
            assert tower.asked(TARGETS, f"{MONDAY}T09:32") == [("trade", MONDAY, None)]
            assert tower.why(TARGETS)

    def test_a_lost_cursor_asks_under_the_same_run_key(self, tower: Tower):
        tower.land("wsb_buzz", MONDAY)
        first = tower.tick(TARGETS)
        tower.cursors.clear()
        (again,) = tower.tick(TARGETS).run_requests or []
        assert again.run_key == (first.run_requests or [])[0].run_key


class TestNewTargets:
    def test_a_weight_set_of_today_is_traded_once(self, tower: Tower):
        tower.why(TARGETS)
        tower.land("wsb_buzz", MONDAY)
        assert tower.asked(TARGETS) == [("trade", MONDAY, None)]
        assert tower.why(TARGETS, f"{MONDAY}T10:01").startswith("No weight set")
        tower.land("allocation", MONDAY)
        assert tower.asked(TARGETS) == [("trade", MONDAY, None)]

    @pytest.mark.parametrize("name", ["allocation", "regimes", "gov_contracts_momentum", "sector_risk_parity"])
    def test_each_of_what_a_target_is_made_of_counts(self, tower: Tower, name: str):
        decision = signals.DECIDED[name].nominal_days(date(2024, 1, 1), date(2024, 3, 1))[1]
        tower.now = new_york(f"{calendar.roll_forward(decision)}T10:00")
        tower.land(name, decision.isoformat())
        assert tower.asked(TARGETS) == [("trade", calendar.roll_forward(decision).isoformat(), None)]

    def test_what_stored_nothing_new_is_no_news(self, tower: Tower):
        tower.land("wsb_buzz", MONDAY, changed=False)
        assert tower.why(TARGETS).startswith("No weight set")
        tower.land("wsb_buzz", MONDAY, changed=None)  # it does not say
        assert tower.asked(TARGETS)

    def test_history_is_no_news_and_does_not_hide_what_landed_before_it(self, tower: Tower):
        tower.why(TARGETS)
        tower.land("wsb_buzz", MONDAY)
        tower.land("wsb_buzz", "2023-06-05")
        tower.land("lobbying_growth", "2023-12-01")
        (run,) = tower.tick(TARGETS).run_requests or []
        assert run.tags["pas/why"] == "Landed: wsb_buzz."

    @pytest.mark.parametrize(
        ("day", "begins", "ends"),
        [
            ("2024-01-08", "14:32", "20:45"),
            ("2024-03-11", "13:32", "19:45"),  # the first session after the clocks went forward
            ("2024-11-04", "14:32", "20:45"),  # and back
            ("2023-07-03", "13:32", "16:45"),  # an early close
        ],
    )
    def test_a_real_account_is_asked_for_in_market_hours(self, tower: Tower, day: str, begins: str, ends: str):
        begin, end = (datetime.fromisoformat(f"{day}T{text}").replace(tzinfo=UTC) for text in (begins, ends))
        tower.land("wsb_buzz", day)
        for moment, asked in [
            (begin - timedelta(seconds=1), False),
            (begin, True),
            (end - timedelta(seconds=1), True),
            (end, False),
        ]:
            tower.cursors.clear()
            tower.now = moment
            assert bool(tower.asked(TARGETS)) == asked, moment

    def test_on_a_holiday_it_waits_for_the_session_in_which_it_takes_effect(self, tower: Tower):
        tower.land("wsb_buzz", "2024-01-15")
        assert "closed today" in tower.why(TARGETS, "2024-01-15T11:00")
        assert tower.asked(TARGETS, "2024-01-16T09:33") == [("trade", "2024-01-16", None)]

    @pytest.mark.parametrize(("name", "word"), [("wsb_buzz", "weights"), ("allocation", "all"), ("regimes", "all")])
    def test_what_comes_after_its_session_is_called_for_in_the_next(self, tower: Tower, name: str, word: str):
        tower.why(TARGETS, f"{MONDAY}T09:00")
        tower.land(name, MONDAY)
        assert "too late" in tower.why(TARGETS, f"{MONDAY}T16:00")
        assert tower.asked(TARGETS, f"{TUESDAY}T09:32") == [("trade", TUESDAY, word)]

    def test_what_was_there_before_the_sensor_is_not_traded_late(self, tower: Tower):
        tower.land("wsb_buzz", MONDAY)
        assert tower.why(TARGETS, f"{TUESDAY}T10:00").startswith("No weight set")

    def test_a_real_batch_that_was_planned_without_it_stands_until_the_next_session(self, tower: Tower):
        tower.why(TARGETS, f"{MONDAY}T09:00")
        tower.land("target_portfolio", MONDAY)
        tower.plan(MONDAY)
        tower.land("wsb_buzz", MONDAY)
        assert "planned already" in tower.why(TARGETS, f"{MONDAY}T11:00")
        assert tower.asked(TARGETS, f"{TUESDAY}T10:00") == [("trade", TUESDAY, "weights")]

    def test_what_landed_between_target_and_plan_is_not_taken_for_traded(self, tower: Tower):
        tower.why(TARGETS, f"{MONDAY}T09:00")
        tower.land("target_portfolio", MONDAY)
        tower.land("wsb_buzz", MONDAY)
        tower.plan(MONDAY)
        tower.land("target_portfolio", MONDAY)  # made anew after the plan
        assert "planned already" in tower.why(TARGETS, f"{MONDAY}T11:00")

    def test_what_the_session_was_planned_with_is_done(self, tower: Tower):
        tower.why(TARGETS, f"{MONDAY}T09:00")
        tower.land("wsb_buzz", MONDAY)
        tower.land("target_portfolio", MONDAY)
        tower.plan(MONDAY, "done")
        assert tower.why(TARGETS, f"{MONDAY}T11:00").startswith("No weight set")
        assert tower.why(TARGETS, f"{TUESDAY}T10:00").startswith("No weight set")

    def test_a_daemon_that_was_away_all_day_knows_what_was_traded(self, tower: Tower):
        tower.why(TARGETS, f"{MONDAY}T04:00")
        tower.land("wsb_buzz", MONDAY)
        tower.land("target_portfolio", MONDAY)
        tower.plan(MONDAY, "done")
        tower.land("allocation", MONDAY)
        assert tower.asked(TARGETS, f"{TUESDAY}T10:00") == [("trade", TUESDAY, "all")]

    def test_a_simulated_session_is_planned_anew_while_it_is_open(self, simulated: Tower):
        assert simulated.why(TARGETS, f"{MONDAY}T06:00")
        simulated.plan(MONDAY)
        simulated.land("wsb_buzz", MONDAY)
        assert "before 06:27" in simulated.why(TARGETS, f"{MONDAY}T06:26")
        assert simulated.asked(TARGETS, f"{MONDAY}T06:27") == [("trade", MONDAY, None)]

    def test_a_simulated_session_that_is_done_stands(self, simulated: Tower):
        simulated.plan(MONDAY, "done")
        simulated.land("wsb_buzz", MONDAY)
        assert "planned already" in simulated.why(TARGETS)

    def test_a_halted_account_is_left_alone_until_it_goes_on(self, tower: Tower):
        tower.land("wsb_buzz", MONDAY)
        spec = account_spec(tower.settings)
        tower.ledger.open_account(spec)
        tower.ledger.halt(spec.id, "me", "a test", tower.now)
        assert tower.why(TARGETS).endswith("The account is halted: a test.")
        tower.ledger.clear_halt(spec.id, "me", "over", tower.now)
        assert tower.asked(TARGETS)

    @pytest.mark.parametrize("job", ["trade", "allocate", "strategies_weekly_mon"])
    def test_it_waits_for_runs_that_are_still_deciding(self, tower: Tower, job: str):
        tower.land("wsb_buzz", MONDAY)
        tower.running(job, DagsterRunStatus.FAILURE)
        run = tower.running(job, DagsterRunStatus.STARTING)
        assert f"A run of {job} has not ended" in tower.why(TARGETS)
        tower.instance.delete_run(run)
        assert tower.asked(TARGETS)
