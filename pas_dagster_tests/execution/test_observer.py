"""Who looks sees what a rebalance would do, and changes nothing; a halted account is compared all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal

import pytest

from pas_dagster.errors import PasError
from pas_dagster.execution.gates import Gates
from pas_dagster.execution.market import Tape
from pas_dagster.execution.observer import Observer, foresee, observer
from pas_dagster.execution.replay import replay
from pas_dagster.execution.targets import wanted
from pas_dagster.ledger import tables, units
from pas_dagster.ledger.comparisons import DIFFERENT, EQUAL
from pas_dagster.ledger.rehearsal import rehearsed
from pas_dagster.ledger.store import Ledger
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.brokerage import DAY, LOOSE, NEXT, Brokerage, brokerage
from pas_dagster_tests.execution.world import SESSIONS

MONDAY = SESSIONS[4]


@pytest.fixture
def firm(ledger: Ledger) -> Iterator[Brokerage]:
    with brokerage(ledger) as found:
        yield found


@contextmanager
def looking(firm: Brokerage, ledger: Ledger) -> Iterator[Observer]:
    guard = replace(firm.guard, base_url=firm.url)
    with firm.ledger.lock(firm.spec.id):
        yield observer(ledger, firm.spec, firm.market, firm.broker(), firm.hand, guard, firm.waits)


def look(firm: Brokerage, day=DAY):
    with rehearsed(firm.ledger) as books, looking(firm, books) as desk:
        return desk.look(day, wanted(world.targets()[day]))


def everything(firm: Brokerage) -> dict[str, list]:
    return {table.name: firm.rows(table) for table in tables.metadata.sorted_tables}


def test_a_look_shows_the_plan_that_is_traded_then_and_leaves_no_trace(firm: Brokerage) -> None:
    firm.book.hold("EEE", Decimal(7), Decimal(130))
    before = everything(firm)
    seen = look(firm)
    assert everything(firm) == before
    assert firm.sandbox.count("POST", "/v2/orders") == 0
    firm.trade()
    kept = {row.cid: (row.quantity, row.price) for row in firm.rows(tables.orders)}
    assert {order.cid: (order.quantity, order.price) for order in seen.record.orders} == kept
    assert seen.refused == ()


def test_a_look_sees_what_happened_outside_and_what_the_gates_would_say(firm: Brokerage) -> None:
    firm.trade()
    firm.morning(MONDAY)
    firm.book.transfer(Decimal(5000))
    firm.guard = replace(firm.guard, gates=replace(LOOSE, batch_orders=1))
    before = everything(firm)
    seen = look(firm, MONDAY)
    assert seen.balances["@treasury"]["$"] - firm.balances()["@treasury"].get("$", 0) == units.money("5000")
    assert {one.gate for one in seen.refused} == {"orders per batch"}
    assert everything(firm) == before


def test_a_look_says_when_the_books_differ_and_does_not_halt_for_it(firm: Brokerage) -> None:
    firm.trade()
    firm.book.positions["AAA"] += 1
    with pytest.raises(PasError, match="disagree on AAA"):
        look(firm)
    assert firm.rows(tables.halt) == []


def test_only_the_session_that_trades_now_can_be_looked_at(firm: Brokerage) -> None:
    firm.morning(NEXT)
    with pytest.raises(PasError, match="is not the session that trades now"):
        look(firm, DAY)


def test_a_halted_account_is_followed_and_compared_and_nothing_is_sent(firm: Brokerage) -> None:
    firm.book.rules.patterns["AAA"] = [(600.0, 1.0)]
    firm.patience = 1.0
    firm.trade()
    sent = firm.sandbox.count("POST", "/v2/orders")
    assert "working" in firm.states()
    firm.ledger.halt(firm.spec.id, "me", "a test", firm.hand())
    firm.hand.advance(700)
    with looking(firm, firm.ledger) as desk:
        found = desk.follow(DAY)
    assert {one.verdict for one in found} == {EQUAL}
    assert firm.states() == {"filled": sent}
    assert firm.sandbox.count("POST", "/v2/orders") == sent
    firm.sound()
    firm.book.positions["AAA"] += 1
    with pytest.raises(PasError, match="disagree"), looking(firm, firm.ledger) as desk:
        desk.follow(DAY)
    assert {row.subject for row in firm.rows(tables.comparison) if row.verdict == DIFFERENT} == {"AAA"}


def test_gates_of_a_look_are_those_of_the_guard(firm: Brokerage) -> None:
    firm.guard = replace(firm.guard, gates=Gates(order_usd=1, name_share=None, sector_share=None))
    seen = look(firm)
    assert {one.symbol for one in seen.refused} == {order.symbol for order in seen.record.orders}


def test_a_simulated_account_is_foreseen_as_it_is_replayed(ledger: Ledger) -> None:
    spec, market, targets = world.spec(), world.market(), world.targets()
    goals = {day: wanted(own) for day, own in targets.items()}
    replay(ledger, spec, targets, SESSIONS[:4], market)

    def state() -> list:
        return [
            ledger.run(lambda c, table=table: c.execute(table.select()).all()) for table in (tables.orders, tables.txn)
        ]

    before = state()
    seen = foresee(ledger, spec, 1, MONDAY, {MONDAY: goals[MONDAY]}, Tape(market))
    assert state() == before
    replay(ledger, spec, targets, [MONDAY], market)
    rows = {row.cid: row for row in state()[0]}
    assert seen.record.orders
    assert {order.cid: order.quantity for order in seen.record.orders} == {
        cid: rows[cid].quantity for cid in (order.cid for order in seen.record.orders)
    }


def test_what_was_missed_comes_first(ledger: Ledger) -> None:
    goals = {day: wanted(own) for day, own in world.targets().items() if day <= MONDAY}
    with pytest.raises(PasError, match=f"has not traded {DAY} yet"):
        foresee(ledger, world.spec(), 1, MONDAY, goals, Tape(world.market()))
