"""No strategy looks ahead, and the audit that says so catches those that do."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from functools import lru_cache, partial

import pandas as pd
import pytest

from pas_dagster.calendar import Cadence
from pas_dagster.sandbox.world import World
from pas_dagster.strategies.audit import Finding, audit, audit_all
from pas_dagster.strategies.catalogue import catalogue
from pas_dagster.strategies.contract import NotEnoughData, Strategy, Weights, strategy
from pas_dagster.strategies.history import AsOf, History, Window

START, END = date(2019, 1, 2), date(2022, 6, 30)
MEMBERS = {"pelosi": "Nancy Pelosi", "meuser": "Daniel Meuser", "capito": "Shelley Moore Capito"}
TABLES = ("universe", "prices", "corporate_actions", "politician_trades")
READS = {"politician_trades": Window(days=30), "prices": Window(sessions=30), "universe": Window()}


@lru_cache(maxsize=1)
def history() -> History:
    world = World(3, START, END)
    return History({name: world.table(name) for name in TABLES})


def some_days(count: int, seed: int = 1) -> list[date]:
    rng = random.Random(seed)
    return [START + timedelta(rng.randrange(5, (END - START).days)) for _ in range(count)]


def cheat(function: Callable[..., Weights], **bound: object) -> Strategy:
    return strategy(name="cheat", title="Cheat", cadence=Cadence.WEEKLY_MON, reads=READS, **bound)(function)


def test_no_strategy_looks_ahead_on_thirty_days():
    strategies = catalogue(MEMBERS, {})
    findings = audit_all(strategies.values(), history(), some_days(30))
    assert not findings, "\n".join(map(str, findings))


def test_on_those_days_the_strategies_do_decide():
    for name, found in catalogue(MEMBERS, {}).items():
        decided = 0
        for day in some_days(30):
            try:
                decided += bool(found.decide(history().as_of(day, found.reads)).values)
            except NotEnoughData:
                continue
        assert decided >= 10, f"{name} held something on {decided} of 30 days only"


def test_a_symbol_change_and_a_delisting_are_among_what_is_audited():
    actions = history().table("corporate_actions")
    turns = actions.loc[actions["kind"].isin(["symbol_change", "delisting"]), "event_date"]
    days = [turn.date() + timedelta(shift) for turn in turns for shift in (-1, 0, 1, 2)]
    assert days
    assert not audit_all(catalogue(MEMBERS, {}).values(), history(), days)


def test_reaching_into_the_history_is_caught():
    def next_winner(data: AsOf) -> Weights:
        """Hold what rises most on the day itself."""
        bars = data._history.table("prices")
        later = bars[bars["known_on"] >= pd.Timestamp(data.decision)].head(40)
        return Weights.equal(later.nlargest(1, "total_return")["symbol"])

    findings = audit(cheat(next_winner), history(), some_days(3))
    assert [finding.decision for finding in findings] == sorted(some_days(3))
    assert all(finding.strategy == "cheat" and "1.0 instead of 0.0" in finding.difference for finding in findings)


def test_deciding_only_when_the_future_is_there_is_caught():
    def only_with_a_future(data: AsOf) -> Weights:
        """Decide only if something is known later."""
        if data._history.table("prices")["known_on"].iloc[-1] < pd.Timestamp(data.decision):
            raise NotEnoughData("nothing later")
        return Weights.equal(["SPY"])

    (finding,) = audit(cheat(only_with_a_future), history(), [date(2020, 6, 1)])
    assert finding.difference == "1 weights with the future in reach, NotEnoughData without"
    assert str(finding).startswith("cheat on 2020-06-01: ")


def peeking(full: pd.DataFrame | dict[str, pd.DataFrame]) -> Callable[..., Weights]:
    def peek(data: AsOf) -> Weights:
        """Buy what will be disclosed in the week to come, if anything has been disclosed lately."""
        frame = full["trades"] if isinstance(full, dict) else full
        known = data.table("politician_trades")
        later = frame[frame["known_on"] >= pd.Timestamp(data.decision)]
        return Weights.equal([] if known.empty else later["symbol"].dropna().head(1))

    return peek


def test_peeking_through_a_closure_over_the_full_frame_is_caught():
    full = history().table("politician_trades")
    (finding,) = audit(cheat(peeking(full)), history(), some_days(3))
    assert finding == Finding("cheat", None, "it holds data of its own: full (DataFrame)")
    (finding,) = audit(cheat(peeking({"trades": full})), history(), [])
    assert "full['trades'] (DataFrame)" in finding.difference


GLOBAL = pd.DataFrame({"known_on": []})


def look_up() -> int:
    return max([len(GLOBAL) for _ in range(1)])


@pytest.mark.parametrize("how", ["global", "helper", "default", "bound", "history", "partial", "object"])
def test_data_held_in_any_other_way_is_caught(how: str):
    class Keeper:
        def __init__(self) -> None:
            self.frame = GLOBAL

    keeper, kept, helper = Keeper(), History({}), partial(len, GLOBAL)

    def by_global(data: AsOf) -> Weights:
        """Global."""
        return Weights.equal(["SPY"] * len(GLOBAL))

    def by_helper(data: AsOf) -> Weights:
        """Helper."""
        return Weights.equal(["SPY"] * look_up())

    def by_default(data: AsOf, frame: pd.DataFrame = GLOBAL) -> Weights:
        """Default."""
        return Weights.equal(["SPY"] * len(frame))

    def by_bound(data: AsOf, *, frame: pd.DataFrame) -> Weights:
        """Bound."""
        return Weights.equal(["SPY"] * len(frame))

    def by_history(data: AsOf) -> Weights:
        """History."""
        return Weights.equal(["SPY"] * (kept is None))

    def by_partial(data: AsOf) -> Weights:
        """Partial."""
        return Weights.equal(["SPY"] * helper())

    def by_object(data: AsOf) -> Weights:
        """Object."""
        return Weights.equal(["SPY"] * len(keeper.frame))

    bound = {"frame": GLOBAL} if how == "bound" else {}
    (finding,) = audit(cheat(locals()[f"by_{how}"], **bound), history(), [])
    assert "data of its own" in finding.difference


def test_remembering_an_earlier_call_is_caught():
    calls: list[date] = []

    def moody(data: AsOf) -> Weights:
        """Hold something only from the second call on."""
        calls.append(data.decision)
        return Weights.equal(["SPY"] if len(calls) > 2 else [])

    assert len(audit(cheat(moody), history(), some_days(2))) == 2


def test_an_honest_strategy_is_not_accused():
    def honest(data: AsOf, *, top_n: int = 3) -> Weights:
        """Hold what rose last."""
        last = data.returns(5).iloc[-1].dropna()
        return Weights.equal(last.nlargest(top_n).index)

    assert audit(cheat(honest), history(), some_days(5)) == []
