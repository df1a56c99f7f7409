"""What open orders reserve: worked out by hand, and over random lives of orders. It ends with them, always."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from fractions import Fraction
from math import ceil

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pas_dagster.execution.brokers.postgres_store import connect
from pas_dagster.execution.executor import run_batch
from pas_dagster.execution.session import fill
from pas_dagster.ledger import batches, journal, tables, units
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.floats import Float, floats
from pas_dagster.ledger.journal import CASH
from pas_dagster.ledger.records import Execution, Order, Record, Result
from pas_dagster.ledger.store import Ledger
from pas_dagster.ledger.tables import ORDER_STATES, TERMINAL
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.world import SESSIONS

DAY = date(2024, 1, 2)
NOW = datetime(2024, 1, 2, 15, tzinfo=UTC)
RATE = units.rate(5)
NUMBERS = itertools.count()
PLENTY = 10**17
usd, shares = units.money, units.shares
Found = dict[tuple[str, str], Float]


def opened(ledger: Ledger, orders: Sequence[Order], results: dict[str, Result] | None = None) -> str:
    """An account whose sleeves `a` and `b` have plenty of cash and shares, with a batch of orders."""
    account = f"f{next(NUMBERS)}"
    ledger.open_account(AccountSpec(account, opened=DAY))
    given = [journal.deposit("opening", DAY, PLENTY)]
    for sleeve in ("a", "b"):
        given.append(journal.transfer("b", DAY, sleeve, usd("1000")))
        changes = {"XXX": PLENTY, "YYY": shares("10")}
        given.append(journal.action("shares", "gift", DAY, sleeve, "XXX", PLENTY, 0, changes))
    record = Record(DAY, f"{DAY}/rebalance", "h", ("XXX",), NOW, orders=orders, transactions=given)
    record.results = results or {}
    ledger.run(lambda connection: batches.write(ledger, connection, account, 1, [record]))
    return account


def order(side: str, symbol: str, price: int, *parts: tuple[str, int]) -> Order:
    quantity = sum(part for _, part in parts)
    return Order(f"o{next(NUMBERS)}", symbol, side, quantity, price, 1, parts, "")


def asked(ledger: Ledger, account: str, rate: int = RATE) -> Found:
    return ledger.run(lambda connection: floats(connection, account, 1, rate))


def test_a_buy_reserves_cash_and_a_sell_shares(ledger: Ledger) -> None:
    bought = order("buy", "XXX", usd("100"), ("a", shares("3")), ("b", shares("1")))
    sold = order("sell", "YYY", usd("50"), ("a", shares("4")))
    found = asked(ledger, opened(ledger, [bought, sold]))
    assert found["a", CASH] == Float(usd("1000"), usd("315.1575"))  # 3 * 100 * 1.05, and 5 bp of it
    assert found["b", CASH] == Float(usd("1000"), usd("105.0525"))
    assert found["a", "YYY"] == Float(shares("10"), shares("4"))
    assert found["b", "YYY"] == Float(shares("10"), 0)
    assert found["a", "YYY"].free == shares("6")
    assert found["a", CASH].free == usd("684.8425")


def test_what_is_filled_is_no_longer_reserved(ledger: Ledger) -> None:
    sold = order("sell", "YYY", usd("50"), ("a", shares("4")), ("b", shares("4")))
    state = Result("working", shares("3"), "", (shares("2"), shares("1")))
    found = asked(ledger, opened(ledger, [sold], {sold.cid: state}))
    assert [found[name, "YYY"].reserved for name in ("a", "b")] == [shares("2"), shares("3")]


@pytest.mark.parametrize("state", ORDER_STATES)
def test_only_open_orders_reserve(ledger: Ledger, state: str) -> None:
    both = [order("sell", "YYY", 1, ("a", 5)), order("buy", "XXX", usd("7"), ("a", shares("1")))]
    results = {one.cid: Result(state, 0, "", (0,)) for one in both}
    found = asked(ledger, opened(ledger, both, results))
    assert bool(found["a", "YYY"].reserved) == bool(found["a", CASH].reserved) == (state not in TERMINAL)


def test_a_reservation_is_rounded_up(ledger: Ledger) -> None:
    tiny = order("buy", "XXX", 1, ("a", 1))
    assert asked(ledger, opened(ledger, [tiny]))["a", CASH].reserved == 2  # a unit of notional, a unit of fee
    assert asked(ledger, opened(ledger, [tiny._replace(cid="t")]), rate=0)["a", CASH].reserved == 1
    many = order("buy", "XXX", usd("0.04"), ("a", 3 * 10**16 + 1))  # 1.26 million dollars and 0.000042 of a unit
    assert asked(ledger, opened(ledger, [many]), rate=0)["a", CASH].reserved == usd("1260000") + 1


def test_cash_that_a_sleeve_does_not_have_is_reserved_all_the_same(ledger: Ledger) -> None:
    """Buys wait for the proceeds of sells; a sleeve that has nothing yet is there, with less than nothing free."""
    found = asked(ledger, opened(ledger, [order("buy", "XXX", usd("100"), ("c", shares("1")))]))
    assert found["c", CASH] == Float(0, usd("105.0525"))
    assert found["c", CASH].free < 0


def test_other_accounts_and_generations_reserve_nothing(ledger: Ledger) -> None:
    opened(ledger, [order("sell", "YYY", usd("50"), ("a", shares("4")))])
    bare = opened(ledger, [])
    assert {one.reserved for one in asked(ledger, bare).values()} == {0}
    assert ledger.run(lambda connection: floats(connection, bare, 2, RATE)) == {}
    assert not any(sleeve.startswith("@") for sleeve, _ in asked(ledger, bare))


events = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(["submitting", "working", "fill", *TERMINAL]), st.integers(1, 10**13)),
    max_size=12,
)
sizes = st.one_of(st.integers(1, 20), st.integers(1, 10**13))
parts = st.one_of(st.tuples(sizes), st.tuples(sizes, sizes))
orders = st.lists(
    st.tuples(st.sampled_from(["buy", "sell"]), parts, st.one_of(sizes, st.integers(1, 10**10))), min_size=1, max_size=4
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(orders, events, st.integers(0, 10**6))
def test_reservations_follow_every_life_of_an_order_and_end_with_it(
    ledger: Ledger, planned: list, life: list[tuple[int, str, int]], rate: int
) -> None:
    made = [
        order(side, "XXX", price, *zip(("a", "b"), quantities, strict=False)) for side, quantities, price in planned
    ]
    account = opened(ledger, made)
    state = {one.cid: ("planned", [0] * len(one.shares)) for one in made}
    for at, event, size in life:
        one = made[at % len(made)]
        advance(ledger, account, one, state, event, size)
        check(ledger, account, made, state, rate)
    for one in made:
        for end in ("expired", "unsent"):  # the one that it can come to
            advance(ledger, account, one, state, end, 0)
    found = check(ledger, account, made, state, rate)
    assert {one.reserved for one in found.values()} == {0}


def advance(ledger: Ledger, account: str, one: Order, state: dict, event: str, size: int) -> None:
    """Let something happen to an order in the ledger and in the model, if it can."""
    standing, have = state[one.cid]
    if standing in TERMINAL or (event != "fill" and standing not in tables.BEFORE[event]):
        return
    if event != "fill":
        ledger.run(lambda connection: batches.move(connection, one.cid, event, NOW))
        state[one.cid] = (event, have)
        return
    quantity = min(size, one.quantity - sum(have))
    if quantity:
        execution = Execution(f"x{next(NUMBERS)}", one.cid, DAY, quantity, one.price, 7, 1)
        now, booked = fill(one, execution, have)
        shared = dict(zip([name for name, _ in one.shares], now, strict=True))
        ledger.run(lambda connection: batches.book(ledger, connection, account, 1, [(execution, shared, booked)]))
        state[one.cid] = (standing, now)


def check(ledger: Ledger, account: str, made: Sequence[Order], state: dict, rate: int) -> Found:
    """The ledger's floats are those of the model, and nobody has more free than there is."""
    expected: dict[tuple[str, str], int] = {}
    for one in made:
        standing, have = state[one.cid]
        for (sleeve, wanted), got in zip(one.shares, have, strict=True):
            if standing not in TERMINAL:
                key = (sleeve, CASH if one.side == "buy" else one.symbol)
                need = need_of(one, wanted - got, rate)
                expected[key] = expected.get(key, 0) + need
    found = asked(ledger, account, rate)
    balances = ledger.run(lambda connection: ledger.balances(connection, account, 1))
    for (sleeve, asset), one in found.items():
        assert one.position == balances.get(sleeve, {}).get(asset, 0)
        assert one.free <= one.position
    assert {key: one.reserved for key, one in found.items() if one.reserved} == {k: v for k, v in expected.items() if v}
    return found


def need_of(one: Order, rest: int, rate: int) -> int:
    if one.side == "sell":
        return rest
    notional = ceil(Fraction(21, 20) * rest * one.price / units.SHARE)
    return notional + ceil(Fraction(notional * rate, units.RATE))


def test_orders_of_a_real_batch_reserve_until_it_is_done(ledger: Ledger) -> None:
    market = world.market()
    spec = world.spec()

    def run(day: date, known: world.Tables, at: Callable[[], datetime]) -> None:
        run_batch(ledger, spec, world.targets()[day], day, known, connect(ledger, spec, known), at)

    run(SESSIONS[0], world.before(market, SESSIONS[0]), lambda: NOW)
    found = asked(ledger, spec.id)
    working = ledger.run(lambda c: c.scalar(sa.select(sa.func.count()).where(tables.orders.c.state == "working")))
    assert working > 0
    assert {asset for (_, asset), one in found.items() if one.reserved} == {CASH}
    run(SESSIONS[0], market, lambda: NOW)
    found = asked(ledger, spec.id)
    assert {one.reserved for one in found.values()} == {0}
    assert any(asset != CASH and one.free > 0 for (_, asset), one in found.items())
