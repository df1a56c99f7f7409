"""The present: the same as history, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from pas_dagster import calendar
from pas_dagster.errors import PasError
from pas_dagster.execution.brokers.base import Broker, Receipt, Ticket
from pas_dagster.execution.brokers.postgres_store import connect
from pas_dagster.execution.executor import run_batch
from pas_dagster.execution.market import CorporateAction
from pas_dagster.execution.outcome import Outcome
from pas_dagster.execution.replay import replay
from pas_dagster.ledger import tables
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.store import Ledger
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.test_replay import dump, same, sound
from pas_dagster_tests.execution.world import SESSIONS, Tables

NOON = datetime(2024, 1, 8, 12, tzinfo=calendar.NEW_YORK)
MONDAY = 4  # SESSIONS[4], the second day on which everything trades


class Killed(BaseException):
    """The process ends here."""


class Fuse:
    """Raises `Killed` at its n-th spark."""

    def __init__(self, at: int) -> None:
        self.left = at

    def spark(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


class MortalLedger(Ledger):
    """Dies after a commit, which is also: before whatever comes next."""

    fuse: Fuse | None = None

    def run(self, work: Callable[[sa.Connection], Any]) -> Any:
        found = super().run(work)
        if self.fuse:
            self.fuse.spark()
        return found


class MortalBroker:
    """A broker after whose answers the process dies."""

    def __init__(self, broker: Broker, fuse: Fuse) -> None:
        self._broker = broker
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> Any:
            found = getattr(self._broker, name)(*args)
            self._fuse.spark()
            return found

        return call


def run(
    ledger: Ledger, day: date, market: Tables, spec: AccountSpec | None = None, broker: Any = None, now: datetime = NOON
) -> Outcome:
    spec = spec or world.spec()
    broker = broker or connect(ledger, spec, market)
    return run_batch(ledger, spec, world.targets()[day], day, market, broker, lambda: now)


@pytest.mark.parametrize("replayed", [0, 1, 4, 5])
def test_the_present_is_as_history(ledger: Ledger, replayed: int) -> None:
    market = world.market()
    if replayed:
        replay(ledger, world.spec(), world.targets(), SESSIONS[:replayed], market)
    days = SESSIONS[replayed : MONDAY + 3]
    for day in days:
        run(ledger, day, market)
    whole = SESSIONS[: MONDAY + 3]
    now = replay(ledger, world.spec(), world.targets(), whole, market)
    assert now.restated_from is None
    past = replay(ledger, world.spec(id="past"), world.targets(), whole, market)
    same(now, past, ids=False)
    sound(ledger)
    tail = [day for day in SESSIONS if day not in whole]
    assert replay(ledger, world.spec(), world.targets(), tail, market).generation == 1


def test_twice_is_once(ledger: Ledger) -> None:
    market = world.market()
    first = run(ledger, SESSIONS[0], market)
    before = dump(ledger)
    same(first, run(ledger, SESSIONS[0], market))
    assert dump(ledger) == before


def test_orders_rest_until_the_close_is_known(ledger: Ledger) -> None:
    known = world.market()
    early = Tables({day: bars for day, bars in known.bars.items() if day < SESSIONS[0]})
    resting = run(ledger, SESSIONS[0], early)
    assert set(resting.order_batch["state"]) == {"working"}
    assert resting.trades.empty
    assert resting.account["equity"].to_list() == [100_000]
    filled = run(ledger, SESSIONS[0], known)
    assert set(filled.order_batch["state"]) == {"filled"}
    same(filled, replay(ledger, world.spec(id="past"), world.targets(), SESSIONS[:1], known), ids=False)


def test_yesterday_is_finished_before_today_is_planned(ledger: Ledger) -> None:
    known = world.market()
    early = Tables({day: bars for day, bars in known.bars.items() if day < SESSIONS[0]})
    run(ledger, SESSIONS[0], early)
    with pytest.raises(PasError, match="must end before"):
        run(ledger, SESSIONS[1], early)
    for day in SESSIONS[1 : MONDAY + 1]:
        run(ledger, day, known)
    ours = replay(ledger, world.spec(), world.targets(), SESSIONS[: MONDAY + 1], known)
    assert ours.restated_from is None
    same(ours, replay(ledger, world.spec(id="past"), world.targets(), SESSIONS[: MONDAY + 1], known), ids=False)


def test_killed_anywhere_it_ends_the_same(url: str) -> None:
    market, days = world.market(), SESSIONS[: MONDAY + 1]
    ledger, other = MortalLedger(url), Ledger(url)
    expected = replay(ledger, world.spec(id="whole"), world.targets(), days, market)
    killed = 0
    while True:
        spec = world.spec(id=f"killed-{killed}")
        replay(ledger, spec, world.targets(), days[:MONDAY], market)
        fuse = Fuse(killed + 1)
        broker = MortalBroker(connect(other, spec, market), fuse)
        ledger.fuse = fuse
        try:
            run(ledger, days[MONDAY], market, spec, broker)
        except Killed:
            killed += 1
        else:
            break
        finally:
            ledger.fuse = None
        run(ledger, days[MONDAY], market, spec)
        before = dump(ledger) if killed % 20 == 0 else None
        run(ledger, days[MONDAY], market, spec)
        assert before is None or dump(ledger) == before
        same(expected, replay(ledger, spec, world.targets(), days, market), ids=False)
    assert killed > 30
    ledger.close()
    other.close()


class Unsure:
    """A broker whose answers get lost, before or after it took the order."""

    def __init__(self, broker: Broker, *, taken: bool, blind: bool) -> None:
        self._broker, self._taken, self._blind = broker, taken, blind
        self.sent = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def submit(self, ticket: Ticket) -> Receipt:
        self.sent += 1
        if self._taken:
            self._broker.submit(ticket)
        return Receipt("unknown", reason="timeout")

    def find(self, cid: str) -> Any:
        return None if self._blind else self._broker.find(cid)


@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize("taken", [False, True])
def test_an_unknown_outcome_is_looked_up_and_never_rejected(ledger: Ledger, taken: bool, blind: bool) -> None:
    market = world.market()
    unsure = Unsure(connect(ledger, world.spec(), market), taken=taken, blind=blind)
    got = run(ledger, SESSIONS[0], market, broker=unsure)
    assert set(got.order_batch["state"]) == ({"filled"} if taken and not blind else {"submitting"})
    assert got.trades.empty is not taken  # executions count, even of orders that could not be looked up
    final = run(ledger, SESSIONS[0], market)
    same(final, replay(ledger, world.spec(id="past"), world.targets(), SESSIONS[:1], market), ids=False)


def test_a_definite_rejection_is_recorded_with_its_reason(ledger: Ledger) -> None:
    class Refusing(Unsure):
        def submit(self, ticket: Ticket) -> Receipt:
            return Receipt("rejected", reason="asset is not tradable")

    market = world.market()
    broker = Refusing(connect(ledger, world.spec(), market), taken=False, blind=False)
    got = run(ledger, SESSIONS[0], market, broker=broker)
    assert set(got.order_batch["state"]) == {"rejected"}
    assert got.order_batch["why"].str.endswith("; asset is not tradable").all()
    assert got.account["cash"].to_list() == [100_000]


def test_a_difference_halts_the_account(ledger: Ledger) -> None:
    market = world.market()
    run(ledger, SESSIONS[0], market)
    ledger.run(lambda c: c.execute(sa.update(tables.position).values(quantity=tables.position.c.quantity + 1)))
    with pytest.raises(PasError, match="disagree on AAA"):
        run(ledger, SESSIONS[1], market)
    with pytest.raises(PasError, match="halted since"):
        run(ledger, SESSIONS[2], market)
    with pytest.raises(PasError, match="halted since"):
        replay(ledger, world.spec(), world.targets(), SESSIONS, market)


def test_another_plan_under_the_same_key_is_refused(ledger: Ledger) -> None:
    market, spec = world.market(), world.spec()
    run(ledger, SESSIONS[0], market)
    before = dump(ledger)
    with pytest.raises(PasError, match="planned from other targets"):
        run(ledger, SESSIONS[0], market, replace(spec, cost_bp=1.0))
    with pytest.raises(PasError, match="later than"):
        run(ledger, SESSIONS[1], market)
        run(ledger, SESSIONS[0], market)
    assert set(before["ledger.txn"]) <= set(dump(ledger)["ledger.txn"])


def test_a_real_account_sends_nothing_after_its_session(ledger: Ledger) -> None:
    market = world.market()
    spec = world.spec(broker="other", mode="paper")
    late = datetime(2024, 1, 2, 16, 0, 1, tzinfo=calendar.NEW_YORK)
    broker = Unsure(connect(ledger, spec, market), taken=False, blind=False)
    got = run(ledger, SESSIONS[0], market, spec, broker, late)
    assert set(got.order_batch["state"]) == {"unsent"}
    assert broker.sent == 0


def test_days_without_a_run_still_have_their_dividends(ledger: Ledger) -> None:
    market = world.market()
    market.events[SESSIONS[2]] = [CorporateAction("dividend", "CCC", 1.0)]
    market.events[SESSIONS[3]] = [CorporateAction("delisting", "DDD", 100.0)]
    run(ledger, SESSIONS[0], market)
    run(ledger, SESSIONS[MONDAY + 1], market)
    kinds = ledger.run(lambda c: set(c.scalars(sa.select(tables.txn.c.kind))))
    assert {"dividend", "delisting"} <= kinds
    sound(ledger)
