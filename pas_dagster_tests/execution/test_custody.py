"""The account at the broker and its books: opened once, followed in what it does alone, compared to the unit."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from pas_dagster.errors import PasError
from pas_dagster.execution.brokers.base import BrokerError
from pas_dagster.execution.custody import Custody
from pas_dagster.execution.market import CorporateAction, Tape
from pas_dagster.ledger import batches, journal, seen, tables, units
from pas_dagster.ledger.journal import CASH, TREASURY, UNASSIGNED
from pas_dagster.ledger.records import Order, Record
from pas_dagster.ledger.store import Ledger
from pas_dagster.sandbox.broker.hours import Hand
from pas_dagster.sandbox.broker.paper import NEVER, PaperAccount, Rules, Wish, prices
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.brokerage import DAY, NEXT, SPEC, Watch, ten
from pas_dagster_tests.execution.machine import InProcessBroker
from pas_dagster_tests.execution.world import SESSIONS, Tables

THIRD = SESSIONS[2]


class Disturbed(InProcessBroker):
    """A broker at which something happens each time its account is read, as often as `times` says."""

    def __init__(self, book: PaperAccount, happens: Callable[[], object], times: int) -> None:
        super().__init__(book)
        self._happens = happens
        self._left = times

    def account(self) -> Any:
        found = super().account()
        if self._left:
            self._left -= 1
            self._happens()
        return found


@dataclass
class House:
    """One account with its books, and a clock that tests move."""

    ledger: Ledger
    hand: Hand
    book: PaperAccount
    market: Tables
    quotes: dict[str, float]

    def custody(self, broker: Any = None) -> Custody:
        """As a new process has it."""
        self.ledger.open_account(SPEC)
        found = broker or InProcessBroker(self.book)
        return Custody(self.ledger, SPEC.id, 1, Tape(self.market), found, self.hand, Watch(self.hand))

    def enter(self, day: date = DAY, broker: Any = None) -> Custody:
        made = self.custody(broker)
        made.enter(day)
        return made

    def morning(self, day: date) -> None:
        self.hand.to(ten(day))
        self.quotes |= self.market.reference(day)
        self.book.advance()

    def trade(self, symbol: str, side: str, quantity: int, cid: str = "by-hand") -> None:
        """By another hand, at once."""
        self.book.place(Wish(symbol, side, cid, Decimal(quantity)))
        self.book.advance()

    def balances(self) -> journal.Balances:
        return self.ledger.run(lambda connection: self.ledger.balances(connection, SPEC.id, 1))

    def give(self, sleeve: str, symbol: str, quantity: int) -> None:
        """What is unassigned, to a sleeve, as a cross would."""
        one = journal.cross("t", DAY, sleeve, symbol, quantity * units.SHARE, units.USD, 0)
        other = journal.cross("t", DAY, UNASSIGNED, symbol, -quantity * units.SHARE, units.USD, 0)
        key = f"{sleeve}:{symbol}"
        both = [one._replace(key=f"cross:{key}:{sleeve}"), other._replace(key=f"cross:{key}:{UNASSIGNED}")]
        self.ledger.run(lambda connection: self.ledger.post(connection, SPEC.id, 1, both))

    def sell_is_planned(self, sleeve: str, symbol: str, quantity: int) -> None:
        amount = quantity * units.SHARE
        order = Order(f"pas-test-{symbol}-s-1", symbol, "sell", amount, 50 * units.USD, 1, ((sleeve, amount),), "")
        record = Record(DAY, f"{DAY}/test", "", [symbol], ten(NEXT), orders=[order])
        self.ledger.run(lambda connection: batches.write(self.ledger, connection, SPEC.id, 1, [record]))

    def equal(self) -> None:
        positions, cash = journal.totals(self.balances())
        held = {name: units.shares(quantity) for name, quantity in self.book.positions.items()}
        assert {name: quantity for name, quantity in positions.items() if quantity} == held
        assert cash == units.money(self.book.cash)
        assert {one.verdict for one in self.custody().reconcile(DAY)} == {"equal"}


@pytest.fixture
def house(ledger: Ledger) -> Iterator[House]:
    hand, market = Hand(ten(DAY)), world.market()
    quotes = dict(market.reference(DAY))
    yield House(ledger, hand, PaperAccount(prices(quotes), hand, 10_000, Rules()), market, quotes)


def test_the_opening_balance_is_what_is_there_with_positions_unassigned(house: House) -> None:
    house.book.hold("AAA", Decimal("7.5"), Decimal(40))
    house.enter()
    assert house.balances()[UNASSIGNED] == {"AAA": 7_500_000_000}
    assert house.balances()[TREASURY] == {CASH: units.money(10_000)}
    house.equal()
    again = house.balances()
    house.enter()
    assert house.balances() == again


def test_an_account_with_open_orders_is_not_opened(house: House) -> None:
    house.book.rules.pattern = NEVER
    house.trade("AAA", "buy", 1)
    with pytest.raises(PasError, match="has open orders"):
        house.enter()
    assert house.balances() == {}


def test_a_deposit_while_the_account_is_read_is_in_the_books_once(house: House) -> None:
    house.enter(broker=Disturbed(house.book, lambda: house.book.transfer(Decimal(500)), times=2))
    assert house.balances()[TREASURY] == {CASH: units.money(11_000)}
    house.equal()


def test_a_trade_while_the_account_is_read_is_in_the_books_once(house: House) -> None:
    numbers = itertools.count()
    house.enter(broker=Disturbed(house.book, lambda: house.trade("BBB", "buy", 3, f"by-hand-{next(numbers)}"), times=2))
    assert house.balances()[UNASSIGNED] == {"BBB": 6 * units.SHARE}
    house.equal()


def test_an_account_that_does_not_stand_still_is_not_opened(house: House) -> None:
    restless = Disturbed(house.book, lambda: house.book.transfer(Decimal(1)), times=99)
    with pytest.raises(BrokerError, match="moves while it is read"):
        house.enter(broker=restless)
    assert house.balances() == {}
    house.enter()
    house.equal()


def test_what_was_before_the_opening_is_not_booked_again(house: House) -> None:
    house.trade("AAA", "buy", 5)
    house.book.dividend("AAA", Decimal(1))
    house.enter()
    house.enter()
    kinds = {one.kind for one in house.ledger.run(lambda c: seen.since(c, SPEC.id, 1, DAY))}
    assert kinds == {"before:dividend", "before:foreign"}
    house.equal()


@pytest.mark.parametrize("cid", ["a\\tb", "\\N", "\\.", "back\\\\slash", "quote's"])
def test_another_hand_may_call_his_orders_what_he_likes(house: House, cid: str) -> None:
    house.enter()
    house.trade("AAA", "buy", 1, cid)
    house.enter()
    rows = house.ledger.run(lambda connection: connection.execute(tables.txn.select()).all())
    assert [row.cid for row in rows if row.kind == "foreign"] == [cid]
    house.equal()


def test_days_on_which_nobody_looked_are_caught_up(house: House) -> None:
    house.enter()
    for number, day in enumerate(SESSIONS[1:5]):
        house.morning(day)
        house.trade("AAA", "buy", 2, f"by-hand-{number}")
        house.book.transfer(Decimal(10))
    house.enter(SESSIONS[6])
    assert house.balances()[UNASSIGNED]["AAA"] == 8 * units.SHARE
    house.equal()


def test_the_last_day_is_the_latest_of_journal_and_what_was_seen(house: House) -> None:
    custody = house.custody()
    assert house.ledger.run(custody._last_day) is None
    custody.enter(DAY)
    assert house.ledger.run(custody._last_day) == DAY
    house.book.dividend("AAA", Decimal(1))  # of nothing: no entry
    house.morning(NEXT)
    house.book.transfer(Decimal(1))
    custody.enter(NEXT)
    assert house.ledger.run(custody._last_day) == NEXT


def test_a_dividend_that_is_told_days_late_is_booked(house: House) -> None:
    house.book.hold("AAA", Decimal(10), Decimal(40))
    house.enter()
    house.morning(SESSIONS[4])
    house.book.dividend("AAA", Decimal("0.5"), day=DAY)
    house.enter(SESSIONS[4])
    assert house.balances()[UNASSIGNED][CASH] == units.money(5)
    house.equal()


def test_another_account_halts(house: House) -> None:
    house.enter()
    house.book.reset(10_000)
    with pytest.raises(PasError, match="was it reset"):
        house.enter()
    with pytest.raises(PasError, match="has been halted"):
        house.enter()


def test_what_our_open_sell_asks_for_is_not_taken_by_another_hand(house: House) -> None:
    house.book.hold("AAA", Decimal(20), Decimal(40))
    house.enter()
    for sleeve in ("alpha", "beta"):
        house.give(sleeve, "AAA", 10)
    house.sell_is_planned("alpha", "AAA", 10)
    house.trade("AAA", "sell", 6)
    house.enter()
    assert house.balances()["alpha"]["AAA"] == 10 * units.SHARE
    assert house.balances()["beta"]["AAA"] == 4 * units.SHARE
    house.equal()


def test_our_fills_are_booked_before_what_happened_overnight(house: House) -> None:
    house.book.hold("AAA", Decimal(20), Decimal(40))
    house.enter()
    house.morning(NEXT)
    house.book.rename("AAA", "ZZZ")
    house.book.transfer(Decimal(1))
    then: list[journal.Balances] = []
    house.custody().enter(NEXT, lambda: then.append(house.balances()))
    assert then[0][UNASSIGNED] == {"AAA": 20 * units.SHARE}
    assert house.balances()[UNASSIGNED] == {"ZZZ": 20 * units.SHARE}


def reshaped(house: House, told: bool, done: bool, value: float = 4.0) -> Custody:
    """The second morning, with a split in the data, at the broker, or on both sides."""
    house.book.hold("AAA", Decimal(10), Decimal(40))
    house.enter()
    if told:
        world.act(house.market, NEXT, CorporateAction("split", "AAA", value))
    house.morning(NEXT)
    if done:
        house.book.split("AAA", Decimal(str(value)))
    return house.enter(NEXT)


@pytest.mark.parametrize(
    ("told", "done", "why", "part"),
    [
        (False, False, {}, 1),
        (True, True, {}, 4),
        (True, False, {"AAA": "a corporate action has not reached the broker"}, 1),
        (False, True, {"AAA": "the broker has changed its shares, and the data do not say why"}, 4),
    ],
)
def test_a_symbol_is_frozen_while_one_side_does_not_know_and_priced_as_it_is_held(
    house: House, told: bool, done: bool, why: dict[str, str], part: int
) -> None:
    custody = reshaped(house, told, done)
    before = world.market().reference(NEXT)["AAA"]
    assert house.ledger.run(lambda c: custody.basis.frozen(c, NEXT)) == why
    price = house.ledger.run(lambda c: custody.basis.reference(c, NEXT))["AAA"]
    assert price == round(before * units.USD / part)
    held = house.balances()[UNASSIGNED]["AAA"]
    assert held == 10 * part * units.SHARE
    assert units.value(held, price or 0) == pytest.approx(10 * before * units.USD, rel=1e-6)
    assert house.ledger.run(lambda c: custody.basis.reference(c, NEXT))["BBB"] == units.price(house.quotes["BBB"])


def test_a_split_that_is_told_of_what_nobody_holds_freezes_nothing(house: House) -> None:
    house.enter()
    world.act(house.market, NEXT, CorporateAction("split", "AAA", 4.0))
    house.morning(NEXT)
    custody = house.enter(NEXT)
    assert house.ledger.run(lambda c: custody.basis.frozen(c, NEXT)) == {}


def test_a_renamed_symbol_that_the_broker_has_not_renamed_keeps_its_price(house: House) -> None:
    house.book.hold("AAA", Decimal(10), Decimal(40))
    house.enter()
    before = house.market.reference(NEXT)["AAA"]
    world.act(house.market, NEXT, CorporateAction("symbol_change", "AAA", new_symbol="ZZZ"))
    house.morning(NEXT)
    custody = house.enter(NEXT)
    assert "AAA" in house.ledger.run(lambda c: custody.basis.frozen(c, NEXT))
    assert house.ledger.run(lambda c: custody.basis.reference(c, NEXT))["AAA"] == units.price(before)


def test_the_day_after_a_split_nothing_is_frozen_and_prices_are_as_they_are(house: House) -> None:
    reshaped(house, told=True, done=True)
    house.morning(THIRD)
    custody = house.enter(THIRD)
    assert house.ledger.run(lambda c: custody.basis.frozen(c, THIRD)) == {}
    assert house.ledger.run(lambda c: custody.basis.reference(c, THIRD))["AAA"] == units.price(house.quotes["AAA"])


def test_a_difference_is_noted_and_halts(house: House) -> None:
    house.enter()
    house.book.hold("AAA", Decimal(1), Decimal(40))  # from nowhere
    with pytest.raises(PasError, match=r"disagree on AAA \(0 here, 1 there\)"):
        house.custody().reconcile(DAY)
    rows = house.ledger.run(lambda c: c.execute(tables.comparison.select()).all())
    assert {(row.subject, row.verdict) for row in rows} == {(CASH, "equal"), ("AAA", "different")}


def test_a_trade_that_shows_late_is_no_difference(house: House) -> None:
    house.enter()
    house.book.rules.fill_lag = 30
    house.trade("AAA", "buy", 1)
    found = {one.subject: one.verdict for one in house.custody().reconcile(DAY)}
    assert found == {CASH: "moving", "AAA": "moving"}
    house.hand.advance(31)
    house.enter()
    house.equal()


def test_rounding_is_excused_by_fills_once(house: House) -> None:
    house.enter()
    house.trade("AAA", "buy", 1)
    house.enter()
    house.book.cash += Decimal("0.01")
    assert house.custody().reconcile(DAY)[0].verdict == "rounded"
    house.equal()
    house.book.cash += Decimal("0.000001")
    with pytest.raises(PasError, match="disagree on cash"):
        house.custody().reconcile(DAY)


def test_a_position_without_price_or_quote_is_named(house: House) -> None:
    house.book.hold("QQQ", Decimal(1), Decimal(40))
    with pytest.raises(PasError, match="QQQ is held at the broker and has neither"):
        house.enter()
    house.quotes["QQQ"] = 12.5
    house.enter()
    [adopted] = [row for row in house.ledger.run(lambda c: c.execute(tables.txn.select()).all()) if row.kind == "adopt"]
    assert (adopted.symbol, adopted.price) == ("QQQ", units.money("12.5"))
