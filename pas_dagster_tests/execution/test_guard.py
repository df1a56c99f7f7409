"""The gates with their facts: what keeps everything back is told before what keeps one order back, and time goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from pas_dagster import calendar
from pas_dagster.execution.brokers.base import Clock, Hours, Quote
from pas_dagster.execution.gates import Facts, Gates
from pas_dagster.execution.guard import Conditions, Guard, Ruling, later
from pas_dagster.ledger import journal, units
from pas_dagster.ledger.halts import Arm
from pas_dagster.ledger.journal import CASH, Balances
from pas_dagster.ledger.records import Order

DAY = date(2024, 1, 3)
NOW = calendar.opening(DAY) + timedelta(hours=1)
PAPER = "https://paper-api.alpaca.markets"
LIVE = "https://api.alpaca.markets"
PRICE = 50 * units.USD
BALANCES: Balances = {
    "a": {"AAA": 10 * units.SHARE, CASH: 1_000 * units.USD},
    "unassigned": {"BBB": 2 * units.SHARE},
    journal.TREASURY: {CASH: 500 * units.USD},
    journal.WORLD: {CASH: -9_000 * units.USD},
}


def order(symbol: str = "AAA", side: str = "buy", shares: int = 1) -> Order:
    quantity = shares * units.SHARE
    return Order(f"{symbol}-{side}", symbol, side, quantity, PRICE, 1, (("a", quantity),), "")


def known(symbols: Sequence[str]) -> Conditions:
    return Conditions(dict.fromkeys(symbols, 10**9 * units.SHARE), dict.fromkeys(symbols, "tech"), ())


class Desk:
    """A broker that answers what a guard asks, and notes about which symbols."""

    def __init__(self, now: datetime = NOW, hours: Sequence[Hours] | None = None) -> None:
        self.now = now
        self.hours = hours
        self.quoted: list[str] = []

    def clock(self) -> Clock:
        return Clock(self.now, DAY)

    def calendar(self, first: date, last: date) -> Sequence[Hours]:
        found = [Hours(day, calendar.opening(day), calendar.closing(day)) for day in calendar.sessions(first, last)]
        return found if self.hours is None else self.hours

    def quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        self.quoted += symbols
        return {symbol: Quote(PRICE, self.now) for symbol in symbols}


def gathered(broker: Desk, orders: Sequence[Order], **changes) -> Facts:
    guard = Guard(base_url=PAPER, conditions=known)
    prices = {"AAA": PRICE, "BBB": 25 * units.USD}
    return replace(guard.gather(broker, lambda: NOW, orders, BALANCES, prices), **changes)  # ty: ignore[invalid-argument-type]


def ruled(orders: Sequence[Order], facts: Facts, gates: Gates | None = None) -> Ruling:
    guard = Guard(gates or Gates(name_share=None, sector_share=None), PAPER)
    return guard.judge(orders[0], orders, facts, guard.switch("paper", "", None))


def test_facts_are_of_the_whole_account_and_each_symbol_is_asked_for_once() -> None:
    broker = Desk()
    facts = gathered(broker, [order("CCC"), order("AAA"), order("AAA", "sell")])
    assert broker.quoted == ["AAA", "CCC"]
    assert facts.equity == (1_000 + 500 + 10 * 50 + 2 * 25) * units.USD
    assert facts.positions == {"AAA": 10 * units.SHARE, "BBB": 2 * units.SHARE}
    assert facts.sent_today == 0
    assert facts.hours is not None
    assert facts.hours.close == calendar.closing(DAY)


def test_after_the_last_close_there_are_no_hours() -> None:
    facts = gathered(Desk(now=calendar.closing(DAY)), [order()])
    assert facts.hours is None
    assert "no session today" in ruled([order()], facts).batch


def test_a_broker_that_names_no_hours_lets_nothing_through() -> None:
    assert "hours are not known" in ruled([order()], gathered(Desk(hours=[]), [order()])).batch


def test_what_is_allowed_has_an_empty_ruling() -> None:
    assert ruled([order()], gathered(Desk(), [order()])) == Ruling()


def test_a_gate_on_the_batch_comes_before_one_on_the_order() -> None:
    """Before the open every quote is old; an order given up for that would never be sent."""
    early = gathered(Desk(now=calendar.opening(DAY) - timedelta(hours=1)), [order()])
    early = replace(early, now=calendar.opening(DAY) - timedelta(hours=1))
    stale = replace(early, quotes={"AAA": Quote(PRICE, early.now - timedelta(days=1))})
    found = ruled([order()], stale)
    assert found.order == ""
    assert "opens at" in found.batch


def test_only_the_order_of_that_symbol_is_kept_back() -> None:
    both = [order(), order("CCC")]
    facts = gathered(Desk(), both)
    away = replace(facts, quotes={**facts.quotes, "CCC": Quote(2 * PRICE, NOW)})
    assert ruled(both, away) == Ruling()
    found = ruled(both[::-1], away)
    assert found.batch == ""
    assert "CCC is quoted at 100" in found.order
    assert "AAA" not in found.order


def test_all_reasons_of_an_order_are_told() -> None:
    large = order(shares=10_000)
    facts = gathered(Desk(), [large])
    found = ruled([large], replace(facts, quotes={}, volumes={}), Gates(batch_usd=None, day_usd=None))
    assert "no quote of AAA" in found.order
    assert "volume of AAA" in found.order
    assert "the limit is 100,000.00 USD" in found.order


def test_nothing_known_of_the_symbols_lets_nothing_through() -> None:
    guard = Guard(Gates(name_share=None, sector_share=None), PAPER)
    facts = guard.gather(
        Desk(),  # ty: ignore[invalid-argument-type]
        lambda: NOW,
        [order()],
        BALANCES,
        {"AAA": PRICE, "BBB": PRICE},
    )
    assert (
        "circuit breaker is not known" in guard.judge(order(), [order()], facts, guard.switch("paper", "", None)).batch
    )


@pytest.mark.parametrize("passed", [timedelta(0), timedelta(seconds=14), timedelta(minutes=90)])
def test_later_both_clocks_have_gone_on_and_nothing_else_has(passed: timedelta) -> None:
    facts = gathered(Desk(now=NOW + timedelta(seconds=2)), [order()])
    found = later(facts, NOW + passed, 77)
    assert (found.now - facts.now, found.sent_today) == (passed, 77)
    assert found.broker_now is not None
    assert facts.broker_now is not None
    assert found.broker_now - facts.broker_now == passed
    assert replace(found, now=facts.now, broker_now=facts.broker_now, sent_today=0) == facts


def test_later_an_unknown_clock_stays_unknown_and_a_skew_stays_a_skew() -> None:
    facts = gathered(Desk(), [order()])
    assert later(replace(facts, broker_now=None), NOW + timedelta(1), 0).broker_now is None
    skewed = gathered(Desk(now=NOW + timedelta(seconds=9)), [order()])
    assert "9 s apart" in ruled([order()], later(skewed, NOW + timedelta(seconds=10), 0)).batch


def test_later_the_session_may_be_over_and_quotes_may_be_old() -> None:
    facts = gathered(Desk(), [order()])
    assert "seconds" not in ruled([order()], later(facts, NOW + timedelta(seconds=59), 0)).order
    assert "61 s old" in ruled([order()], later(facts, NOW + timedelta(seconds=61), 0)).order
    assert "closes at" in ruled([order()], later(facts, calendar.closing(DAY) - timedelta(seconds=90), 0)).batch


def test_what_was_sent_today_counts() -> None:
    facts = gathered(Desk(), [order(shares=3)])
    limits = Gates(name_share=None, sector_share=None, day_usd=200)
    assert ruled([order(shares=3)], later(facts, NOW, 50 * units.USD), limits) == Ruling()
    assert "the limit is 200.00 USD" in ruled([order(shares=3)], later(facts, NOW, 50 * units.USD + 1), limits).batch


@pytest.mark.parametrize("allowed", [True, False])
def test_the_live_switch_has_all_its_parts_from_the_guard(allowed: bool) -> None:
    arm = Arm("a", "owner", NOW - timedelta(hours=1), NOW + timedelta(hours=1), "me")
    guard = Guard(Gates(name_share=None, sector_share=None), LIVE, allow_live=allowed, environment={"ALPACA_LIVE": "1"})
    found = guard.judge(order(), [order()], gathered(Desk(), [order()]), guard.switch("live", "owner", arm))
    assert (found == Ruling()) == allowed
    assert (found.batch != "") != allowed
    assert guard.judge(order(), [order()], gathered(Desk(), [order()]), guard.switch("live", "other", arm)).batch
