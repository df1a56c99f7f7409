"""A call to trade a session to its targets: what it does to a simulated and to a real account, and that it lasts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, ExecuteInProcessResult, materialize
from pydantic import SecretStr

from pas_dagster import calendar
from pas_dagster.assets import execution as step
from pas_dagster.assets.calls import ALL, TAG, WEIGHTS, calls
from pas_dagster.assets.resources import Workshop
from pas_dagster.assets.wiring import LakeIOManager
from pas_dagster.errors import PasError
from pas_dagster.execution.account import account_spec
from pas_dagster.execution.targets import SleeveTarget
from pas_dagster.ledger import tables
from pas_dagster.ledger.store import Ledger
from pas_dagster.sandbox.broker.server import KEY, SECRET
from pas_dagster.settings import Settings
from pas_dagster_tests.assets.conftest import MemoryLake
from pas_dagster_tests.assets.test_execution import rows
from pas_dagster_tests.execution.brokerage import FAST, brokerage
from pas_dagster_tests.ledger.database import ledger, server, url

__all__ = ["ledger", "server", "url"]
SESSIONS = calendar.sessions(date(2023, 1, 3), date(2023, 1, 9))
DAY, NEXT = SESSIONS[:2]


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


def a_run(instance: DagsterInstance, status: DagsterRunStatus = DagsterRunStatus.SUCCESS, **tags: str) -> None:
    named = {"pas/rebalance" if key == "call" else f"dagster/{key}": value for key, value in tags.items()}
    instance.add_run(DagsterRun(job_name="trade", status=status, tags=named))


class TestCalls:
    def test_are_those_of_every_run_that_was_not_cancelled(self, instance: DagsterInstance):
        a_run(instance, partition="2023-01-03", call="weights")
        a_run(instance, DagsterRunStatus.FAILURE, partition="2023-01-04", call="all")
        a_run(instance, DagsterRunStatus.CANCELED, partition="2023-01-05", call="all")
        a_run(instance, partition="2023-01-06")
        assert calls(instance, {}) == {date(2023, 1, 3): "weights", date(2023, 1, 4): "all"}

    @pytest.mark.parametrize("order", [("all", "weights"), ("weights", "all")])
    def test_of_a_session_the_widest_counts(self, instance: DagsterInstance, order: tuple[str, str]):
        for word in order:
            a_run(instance, partition="2023-01-03", call=word)
        assert calls(instance, {}) == {date(2023, 1, 3): "all"}

    def test_of_a_misspelt_word_fail_their_own_run_and_no_other(self, instance: DagsterInstance):
        a_run(instance, partition="2023-01-03", call="everything")
        assert calls(instance, {}) == {}
        with pytest.raises(PasError, match="'everything'; it is weights or all"):
            calls(instance, {TAG: "everything"})

    def test_of_a_run_of_no_one_session_fail_it_and_count_for_no_other(self, instance: DagsterInstance):
        a_run(instance, call="all")
        assert calls(instance, {}) == {}
        with pytest.raises(PasError, match="not a range"):
            calls(instance, {TAG: "all"})


@pytest.mark.parametrize(("word", "resize"), [(WEIGHTS, False), (ALL, True)])
def test_a_call_lets_every_sleeve_take_effect(word: str, resize: bool):
    given = rows((DAY, "a", "AAA", 0.5), (NEXT, "a", "AAA", 0.5), rebalance=False)
    found = step.sleeve_targets(given, [DAY, NEXT], {DAY: word})
    assert found[DAY] == [SleeveTarget("a", 0.5, {"AAA": 0.5}, rebalance=True, resize=resize)]
    assert found[NEXT] == [SleeveTarget("a", 0.5, {"AAA": 0.5}, rebalance=False, resize=False)]


class Bench:
    """The execution step on a lake in memory, a ledger, and a clock to set."""

    def __init__(self, lake: MemoryLake, ledger: Ledger, chosen: Settings, instance: DagsterInstance) -> None:
        self.lake, self.ledger, self.settings, self.instance = lake, ledger, chosen, instance
        self.now = calendar.midnight(SESSIONS[-1])

    def run(self, day: date, call: str | None = None, *, fails: bool = False) -> ExecuteInProcessResult:
        bench = self

        class Shop(Workshop):
            settings = property(lambda self: bench.settings)
            lake = property(lambda self: bench.lake)
            ledger = property(lambda self: bench.ledger)
            now = property(lambda self: bench.now)
            today = property(lambda self: calendar.today(bench.now))

        shop = Shop()
        result = materialize(
            [step.execution],
            partition_key=day.isoformat(),
            resources={"workshop": shop, "lake": LakeIOManager(shop)},
            instance=self.instance,
            tags={TAG: call} if call else {},
            raise_on_error=False,
        )
        assert result.success != fails
        return result

    def batch(self, day: date) -> dict[str, str]:
        """Symbol -> side of the session's orders."""
        found = self.lake.read(step.OUTPUTS["order_batch"], first=day, last=day)
        return dict(zip(found["symbol"], found["side"], strict=True))


def priced(lake: MemoryLake, days: Mapping[date, Mapping[str, float]], **more: Any) -> None:
    lake.put(
        "prices",
        *[
            {"known_on": day, "symbol": symbol, "close": close, **more}
            for day, bars in days.items()
            for symbol, close in bars.items()
        ],
    )


def targeted(lake: MemoryLake, days: list[date], deciding: int = 1) -> None:
    """One sleeve, half AAA, half BBB; it decides on the first of the days, or the first few."""
    for at, day in enumerate(days):
        both = [(day, "a", name, 0.5) for name in ("AAA", "BBB")]
        lake.replace(step.PORTFOLIOS, [day], rows(*both, share=1.0, rebalance=at < deciding, resize=at == 0))


def test_a_simulated_session_is_traded_to_its_targets_and_stays_so(
    lake: MemoryLake, ledger: Ledger, chosen: Settings, instance: DagsterInstance
):
    before = calendar.previous_session(DAY)
    priced(lake, {before: {"AAA": 10.0, "BBB": 10.0}, DAY: {"AAA": 20.0, "BBB": 10.0}})
    priced(lake, {NEXT: {"AAA": 20.0, "BBB": 10.0}, SESSIONS[2]: {"AAA": 20.0, "BBB": 10.0}})
    targeted(lake, SESSIONS[:3])
    bench = Bench(lake, ledger, chosen, instance)
    bench.run(DAY)
    bench.run(NEXT)
    assert bench.batch(NEXT) == {}
    bench.run(NEXT, "weights")
    assert bench.batch(NEXT) == {"AAA": "sell", "BBB": "buy"}
    generation = step.generation_of(ledger, "simulated")
    bench.run(NEXT)  # the call is on record
    bench.run(SESSIONS[2])
    assert bench.batch(NEXT) == {"AAA": "sell", "BBB": "buy"}
    assert bench.batch(SESSIONS[2]) == {}
    assert step.generation_of(ledger, "simulated") == generation


def test_a_misspelt_call_fails_the_run_with_a_sentence(
    lake: MemoryLake, ledger: Ledger, chosen: Settings, instance: DagsterInstance
):
    targeted(lake, [DAY])
    failed = Bench(lake, ledger, chosen, instance).run(DAY, "everything", fails=True)
    (event,) = [one for one in failed.all_events if one.is_step_failure]
    assert "it is weights or all" in str(event.step_failure_data.user_failure_data)


@pytest.fixture
def paper(lake: MemoryLake, ledger: Ledger, chosen: Settings, instance: DagsterInstance) -> Iterator[Any]:
    """A paper account at the sandbox broker that holds AAA and BBB, a session after it bought them."""
    with brokerage(ledger) as firm:
        day = firm.hand().date()
        account = chosen.model_copy(
            update={
                "broker": "alpaca",
                "broker_url": firm.url,
                "broker_data_url": firm.url,
                "alpaca_key_id": SecretStr(KEY),
                "alpaca_secret_key": SecretStr(SECRET),
                "requests_per_minute": FAST,
                "broker_patience": 5.0,
                "gates": {"name_share": None, "sector_share": None, "collar": None, "volume_share": None},
                "breaker_data_age": None,
                "breaker_daily_loss": None,
                "breaker_drawdown": None,
            }
        )
        sessions = calendar.sessions(calendar.previous_session(day), date(2024, 1, 12))
        priced(lake, {session: {"AAA": 10.0, "BBB": 10.0} for session in sessions[:2]}, volume=10**9)
        firm.quotes |= {"AAA": 10.0, "BBB": 10.0}
        targeted(lake, sessions[1:4])
        bench = Bench(lake, ledger, account, instance)
        bench.now = firm.hand()
        bench.run(sessions[1])
        priced(lake, {sessions[1]: {"AAA": 20.0, "BBB": 10.0}}, volume=10**9)
        firm.hand.to(datetime.combine(sessions[2], firm.hand().timetz()))
        firm.quotes |= {"AAA": 20.0, "BBB": 10.0}
        bench.now = firm.hand()
        yield bench, firm, sessions[2]


def orders(bench: Bench) -> set[str]:
    found = bench.ledger.run(lambda connection: connection.execute(tables.orders.select()).all())
    return {row.cid for row in found}


def test_a_real_session_is_traded_to_its_targets_once(paper: Any):
    bench, firm, day = paper
    bench.run(day, "weights")
    assert bench.batch(day) == {"AAA": "sell", "BBB": "buy"}
    sent = firm.sandbox.count("POST", "/v2/orders")
    bench.run(day)
    bench.run(day, "weights")
    bench.run(day, "all")
    assert firm.sandbox.count("POST", "/v2/orders") == sent
    firm.spec = replace(account_spec(bench.settings))
    firm.sound()


@pytest.mark.parametrize("open_still", [True, False])
def test_a_real_batch_that_was_planned_before_the_call_goes_on_as_it_was(paper: Any, open_still: bool):
    bench, firm, day = paper
    targeted(bench.lake, calendar.sessions(calendar.previous_session(day), day), deciding=2)
    bench.settings = bench.settings.model_copy(update={"broker_patience": 0.0})
    firm.book.rules.patterns["AAA"] = [] if open_still else firm.book.rules.pattern
    bench.run(day)
    planned = orders(bench)
    bench.run(day, "all")
    bench.run(day)
    assert orders(bench) == planned
    firm.book.rules.patterns.clear()


def test_without_a_call_a_real_session_is_left_as_its_targets_say(paper: Any):
    bench, _, day = paper
    bench.run(day)
    assert bench.batch(day) == {}
