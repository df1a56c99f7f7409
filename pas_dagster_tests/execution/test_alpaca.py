"""The Alpaca adapter with the real SDK against the sandbox broker, and the executor through it."""

from __future__ import annotations

import io
import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests
import sqlalchemy as sa
import urllib3
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter

from pas_dagster import calendar
from pas_dagster.errors import PasError
from pas_dagster.execution.brokers import alpaca
from pas_dagster.execution.brokers import alpaca_wire as wire
from pas_dagster.execution.brokers.alpaca import AlpacaBroker
from pas_dagster.execution.brokers.alpaca_link import DATA, LIVE, PAPER, Link, Service, checked
from pas_dagster.execution.brokers.base import Broker, BrokerError, KeyRefusedError, Quote, Receipt, Ticket
from pas_dagster.execution.executor import run_batch
from pas_dagster.execution.outcome import Outcome
from pas_dagster.ledger import journal, tables, units
from pas_dagster.ledger.store import Ledger
from pas_dagster.sandbox.broker.hours import Hand
from pas_dagster.sandbox.broker.paper import NEVER, PaperAccount, Wish, prices
from pas_dagster.sandbox.broker.server import KEY, SECRET, BrokerSandbox, Budget, serving
from pas_dagster.sandbox.broker.trouble import Kind, Trouble
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.test_replay import dump, same

DAY = world.SESSIONS[0]
NOON = datetime(2024, 1, 2, 12, tzinfo=calendar.NEW_YORK)
TICKET = Ticket("pas-0123456789abcdef-AAA-b-1", DAY, "AAA", "buy", units.shares("2.123456789"))
TABLE = {"AAA": 50.25, "BBB": 10.0}
FAST = 1_000_000  # requests a minute: a sandbox has nobody to spare
UNREADABLE = [Kind.WRONG_JSON, Kind.NOT_JSON, Kind.EMPTY, Kind.TRUNCATED, Kind.REDIRECT]
SERVER_SIDE = [Kind.ERROR, Kind.BAD_GATEWAY, Kind.UNAVAILABLE, Kind.GATEWAY_TIMEOUT]
LOST = [Kind.RESET, Kind.STALLED, *SERVER_SIDE, *UNREADABLE]


class Watch:
    """A watch on which waiting takes no time."""

    def __init__(self) -> None:
        self.at = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.at)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds


@pytest.fixture
def hand() -> Hand:
    return Hand(NOON)


@pytest.fixture
def sandbox(hand: Hand) -> BrokerSandbox:
    return BrokerSandbox(PaperAccount(prices(dict(TABLE)), hand, 10_000))


@pytest.fixture
def address(sandbox: BrokerSandbox) -> Iterator[str]:
    with serving(sandbox) as url:
        yield url


def connect(url: str, **more: Any) -> AlpacaBroker:
    fast = {"requests_per_minute": FAST, "data_requests_per_minute": FAST, "timeout": 0.3, "watch": Watch()}
    return alpaca.connect(KEY, SECRET, url, **{**fast, **more})


@pytest.fixture
def broker(address: str) -> AlpacaBroker:
    return connect(address)


def posts(sandbox: BrokerSandbox) -> int:
    return sandbox.count("POST", "/v2/orders")


def test_an_order_goes_out_and_comes_back_exactly(broker: AlpacaBroker, sandbox: BrokerSandbox) -> None:
    receipt = broker.submit(TICKET)
    assert receipt.outcome == "taken"
    assert receipt.order is not None
    assert receipt.order[:5] == TICKET
    found = broker.find(TICKET.cid)
    assert found is not None
    assert (found.state, found.filled) == ("filled", TICKET.quantity)
    (fill,) = broker.executions(DAY)
    assert (fill.cid, fill.session, fill.quantity, fill.price) == (TICKET.cid, DAY, TICKET.quantity, 50_250_000)
    assert fill.at == NOON
    assert fill.notional == units.cost(TICKET.quantity, 50_250_000)
    assert broker.positions() == {"AAA": TICKET.quantity}
    account = broker.account()
    assert account.cash == units.money(10_000) - fill.notional
    assert (account.id, account.blocked) == (sandbox.account.id, "")
    assert broker.executions(DAY) == [fill]
    assert broker.executions(DAY - timedelta(1)) == []


def test_quantities_go_out_as_text_and_never_as_floats(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    real = HTTPAdapter.send

    def send(self: Any, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        sent.append(request.body)
        return real(self, request, *args, **options)

    monkeypatch.setattr(HTTPAdapter, "send", send)
    connect(address).submit(TICKET._replace(quantity=123_456_789_123_456_789, symbol="AAA"))
    assert b'"qty": "123456789.123456789"' in sent[-1]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", LOST)
def test_a_lost_answer_is_unknown_and_the_same_id_settles_it(
    broker: AlpacaBroker, sandbox: BrokerSandbox, kind: Kind, after: bool
) -> None:
    sandbox.troubles = [Trouble(kind, "POST", "/v2/orders", after=after)]
    first = broker.submit(TICKET)
    assert first.outcome == "unknown"
    assert first.reason
    assert posts(sandbox) == 1  # the SDK repeats 504 by itself unless it is told not to
    found = broker.find(TICKET.cid)
    assert (found is not None) == after
    second = broker.submit(TICKET)
    assert second.outcome == "taken"
    assert len(sandbox.account.orders) == 1
    assert broker.positions() == {"AAA": TICKET.quantity}


@pytest.mark.parametrize("kind", LOST)
def test_without_unique_ids_the_look_up_alone_prevents_a_twin(
    broker: AlpacaBroker, sandbox: BrokerSandbox, kind: Kind
) -> None:
    sandbox.account.rules.unique_ids = False
    sandbox.troubles = [Trouble(kind, "POST", "/v2/orders", after=True)]
    assert broker.submit(TICKET).outcome == "unknown"
    assert broker.find(TICKET.cid) is not None
    assert len(sandbox.account.orders) == 1


def test_a_throttled_order_is_sent_again_when_it_may(address: str, sandbox: BrokerSandbox) -> None:
    watch = Watch()
    sandbox.troubles = [Trouble(Kind.THROTTLED, "POST", times=2, retry_after=7)]
    assert connect(address, watch=watch).submit(TICKET).outcome == "taken"
    assert len(sandbox.account.orders) == 1
    assert sum(watch.slept) >= 14
    sandbox.troubles = [Trouble(Kind.THROTTLED, "POST", times=None)]
    assert connect(address, watch=watch).submit(TICKET._replace(cid="other")).outcome == "unknown"


def test_a_pause_beyond_all_patience_ends_the_run(address: str, sandbox: BrokerSandbox) -> None:
    sandbox.troubles = [Trouble(Kind.THROTTLED, times=1, retry_after=3600)]
    broker = connect(address)
    with pytest.raises(BrokerError, match="left alone for 3,600 s"):
        broker.account()


def test_a_duplicate_id_is_answered_with_the_order_that_is_there(broker: AlpacaBroker, sandbox: BrokerSandbox) -> None:
    first = broker.submit(TICKET)
    again = broker.submit(TICKET)
    assert (first.outcome, again.outcome) == ("taken", "taken")
    assert again.order is not None
    assert again.order.state == "filled"
    assert len(sandbox.account.orders) == 1


def test_an_id_that_belongs_to_another_order_is_an_error_and_not_a_success(
    broker: AlpacaBroker, sandbox: BrokerSandbox
) -> None:
    sandbox.account.place(Wish("BBB", "buy", TICKET.cid, Decimal(1)))
    with pytest.raises(BrokerError, match=f"another order under {TICKET.cid}: buy BBB"):
        broker.submit(TICKET)


def test_an_order_that_must_be_there_but_does_not_show_is_looked_for_again(
    address: str, sandbox: BrokerSandbox, hand: Hand
) -> None:
    class Moving(Watch):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            hand.advance(seconds)

    sandbox.account.rules.order_lag = 0.4
    sandbox.troubles = [Trouble(Kind.RESET, "POST", after=True)]
    broker = connect(address, watch=Moving())
    assert broker.submit(TICKET).outcome == "unknown"
    assert broker.find(TICKET.cid) is None
    assert broker.submit(TICKET).outcome == "taken"
    sandbox.account.rules.order_lag = 1000
    broker.submit(TICKET._replace(cid="late"))
    assert broker.submit(TICKET._replace(cid="late")).outcome == "unknown"


@pytest.mark.parametrize(
    ("ticket", "reason"),
    [
        (TICKET._replace(symbol="ZZZ"), 'asset "ZZZ" not found'),
        (TICKET._replace(quantity=units.shares(100_000)), "insufficient buying power"),
        (TICKET._replace(side="sell"), "account is not allowed to short"),
        (TICKET._replace(symbol="BBB"), "requested asset is not fractionable"),
    ],
)
def test_a_definite_refusal_is_a_rejection_with_the_brokers_reason(
    broker: AlpacaBroker, sandbox: BrokerSandbox, ticket: Ticket, reason: str
) -> None:
    sandbox.account.rules.whole_only = {"BBB"}
    assert broker.submit(ticket) == Receipt("rejected", None, reason)


@pytest.mark.parametrize("kind", [Kind.UNAUTHORIZED, Kind.FORBIDDEN])
def test_a_refused_key_is_no_verdict_on_the_order(broker: AlpacaBroker, sandbox: BrokerSandbox, kind: Kind) -> None:
    sandbox.troubles = [Trouble(kind, "POST")]
    with pytest.raises(KeyRefusedError, match="refuses the key"):
        broker.submit(TICKET)
    assert broker.submit(TICKET).outcome == "taken"
    sandbox.troubles = [Trouble(kind, "GET", "/v2/orders:*", times=None)]
    with pytest.raises(KeyRefusedError):  # the look-up of what is already there
        broker.submit(TICKET)


QUESTIONS: dict[str, Callable[[AlpacaBroker], object]] = {
    "account": lambda broker: broker.account(),
    "positions": lambda broker: broker.positions(),
    "open_orders": lambda broker: broker.open_orders(),
    "find": lambda broker: broker.find(TICKET.cid),
    "cancel": lambda broker: broker.cancel(TICKET.cid),
    "orders": lambda broker: broker.orders(DAY),
    "executions": lambda broker: broker.executions(DAY),
    "non_trades": lambda broker: broker.non_trades(DAY),
    "clock": lambda broker: broker.clock(),
    "calendar": lambda broker: broker.calendar(DAY, DAY),
    "asset": lambda broker: broker.asset("AAA"),
    "quotes": lambda broker: broker.quotes(["AAA"]),
}


@pytest.mark.parametrize("kind", [Kind.UNAUTHORIZED, Kind.FORBIDDEN])
def test_a_refused_key_has_its_own_error_everywhere(broker: AlpacaBroker, sandbox: BrokerSandbox, kind: Kind) -> None:
    sandbox.troubles = [Trouble(kind, times=None)]
    for name, ask in QUESTIONS.items():
        if name == "quotes":  # a plan without prices says nothing about the account
            continue
        with pytest.raises(KeyRefusedError, match="refuses the key"):
            ask(broker)
            pytest.fail(f"{name} let a refused key pass")
    with pytest.raises(BrokerError, match="refuses prices to this key") as refused:
        broker.quotes(["AAA"])
    assert not isinstance(refused.value, KeyRefusedError)


@pytest.mark.parametrize("kind", [*SERVER_SIDE, Kind.RESET, Kind.STALLED, Kind.THROTTLED, Kind.TRUNCATED])
def test_questions_are_asked_again_and_then_given_up(broker: AlpacaBroker, sandbox: BrokerSandbox, kind: Kind) -> None:
    sandbox.troubles = [Trouble(kind, times=2)]
    assert broker.account().cash == units.money(10_000)
    sandbox.troubles = [Trouble(kind, times=None)]
    with pytest.raises(BrokerError, match="run again"):
        broker.account()
    assert len(sandbox.log) == 6


def test_an_answer_that_drips_is_cut_off(address: str, sandbox: BrokerSandbox) -> None:
    sandbox.troubles = [Trouble(Kind.DRIPPING, times=None)]
    broker = alpaca.connect(KEY, SECRET, address, requests_per_minute=FAST, timeout=0.2)
    began = time.monotonic()
    with pytest.raises(BrokerError, match="could not be asked"):
        broker.account()
    assert time.monotonic() - began < 5


def test_a_broker_that_is_not_there_is_one_sentence() -> None:
    with serving(BrokerSandbox(PaperAccount(prices({}), Hand(NOON)))) as url:
        pass
    with pytest.raises(BrokerError, match=r"the connection failed \(ConnectionError\)"):
        connect(url).account()


def test_an_order_is_sent_in_its_own_session_only(
    broker: AlpacaBroker, address: str, sandbox: BrokerSandbox, hand: Hand
) -> None:
    with pytest.raises(BrokerError, match="run it on its day"):
        broker.submit(TICKET._replace(session=date(2024, 1, 3)))
    hand.to(datetime(2024, 1, 2, 15, 59, 55, tzinfo=calendar.NEW_YORK))
    assert "is over" in connect(address).submit(TICKET).reason
    hand.to(datetime(2024, 1, 2, 18, tzinfo=calendar.NEW_YORK))
    over = connect(address).submit(TICKET)
    assert (over.outcome, posts(sandbox)) == ("unknown", 0)  # whether an earlier run sent it is not ours to say
    assert connect(address).submit(TICKET._replace(session=date(2024, 1, 3))).outcome == "taken"
    hand.to(datetime(2024, 7, 3, 14, tzinfo=calendar.NEW_YORK))
    early = connect(address).submit(TICKET._replace(cid="early", session=date(2024, 7, 3)))
    assert (early.outcome, posts(sandbox)) == ("unknown", 1)
    assert connect(address).clock().session == date(2024, 7, 5)


def test_what_was_sent_before_the_close_is_found_after_it(address: str, sandbox: BrokerSandbox, hand: Hand) -> None:
    sandbox.troubles = [Trouble(Kind.STALLED, "POST", after=True)]
    assert connect(address).submit(TICKET).outcome == "unknown"
    hand.to(datetime(2024, 1, 2, 18, tzinfo=calendar.NEW_YORK))
    assert connect(address).submit(TICKET).outcome == "taken"
    assert posts(sandbox) == 1


def test_cancelling_is_idempotent(broker: AlpacaBroker, sandbox: BrokerSandbox) -> None:
    broker.cancel("never-sent")
    sandbox.account.rules.pattern = ((0, 0.5),)
    broker.submit(TICKET)
    for _ in range(2):
        broker.cancel(TICKET.cid)
        found = broker.find(TICKET.cid)
        assert found is not None
        assert (found.state, found.reason) == ("expired", "canceled at the broker")
        assert 0 < found.filled < found.quantity
    sandbox.troubles = [Trouble(Kind.RESET, "DELETE", after=True)]
    broker.submit(TICKET._replace(cid="two"))
    broker.cancel("two")
    assert broker.open_orders() == []


def test_fills_are_paged_once_each_in_their_order(broker: AlpacaBroker, sandbox: BrokerSandbox, hand: Hand) -> None:
    sandbox.account.rules.pattern = ((0, 0.4), (1, 0.6))
    for number in range(120):
        sandbox.account.place(Wish("BBB", "buy", f"n{number}", Decimal(2)))
        hand.advance(0.01)
    hand.advance(5)
    fills = broker.executions(DAY)
    assert len({fill.id for fill in fills}) == len(fills) == 240
    assert [fill.id for fill in fills] == sorted(fill.id for fill in fills)
    assert {fill.cid for fill in fills} == {f"n{number}" for number in range(120)}
    assert sum(fill.quantity for fill in fills) == units.shares(240) == broker.positions()["BBB"]
    assert sandbox.count("GET", "/v2/orders") == 1  # our ids are learned by the page, not by the order


def test_orders_that_share_an_instant_are_not_lost_between_pages(
    broker: AlpacaBroker, sandbox: BrokerSandbox, hand: Hand
) -> None:
    sandbox.account.rules.pattern = NEVER
    sandbox.account.cash = Decimal(1_000_000)
    for number in range(1103):
        sandbox.account.place(Wish("BBB", "buy", f"n{number}", Decimal(1)))
        if number % 3 == 0:
            hand.advance(0.001)
    assert {order.cid for order in broker.open_orders()} == {f"n{number}" for number in range(1103)}


def test_a_fill_of_an_older_order_of_somebody_else_keeps_that_orders_name(
    broker: AlpacaBroker, sandbox: BrokerSandbox, hand: Hand
) -> None:
    sandbox.account.rules.pattern = ((86400 * 7, 1.0),)
    sandbox.account.place(Wish("AAA", "buy", "by-hand", Decimal(1), force="gtc"))
    hand.to(datetime(2024, 1, 9, 12, tzinfo=calendar.NEW_YORK))
    assert [fill.cid for fill in broker.executions(date(2024, 1, 9))] == ["by-hand"]


def test_the_orders_of_a_session_are_listed_whoever_sent_them_and_whatever_became_of_them(
    broker: AlpacaBroker, sandbox: BrokerSandbox, hand: Hand
) -> None:
    sandbox.account.rules.patterns["BBB"] = ((86400 * 7, 1.0),)
    sandbox.account.place(Wish("BBB", "buy", "by-hand-last-week", Decimal(3), force="gtc"))
    sandbox.account.place(Wish("AAA", "buy", "of-last-week", Decimal(1)))
    hand.to(datetime(2024, 1, 8, 18, tzinfo=calendar.NEW_YORK))
    sandbox.account.rules.patterns["AAA"] = NEVER
    sandbox.account.place(Wish("AAA", "buy", "by-hand", Decimal(2)))  # in the evening, for the next session
    day = date(2024, 1, 9)
    hand.to(datetime(2024, 1, 9, 12, tzinfo=calendar.NEW_YORK))
    broker.cancel("by-hand")
    sandbox.account.rules.patterns["AAA"] = ((0, 1.0),)
    broker.submit(TICKET._replace(session=day))
    assert [(one.cid, one.symbol, one.side, one.state) for one in broker.orders(day)] == [
        ("by-hand", "AAA", "buy", "expired"),
        ("by-hand-last-week", "BBB", "buy", "filled"),
        (TICKET.cid, "AAA", "buy", "filled"),
    ]
    named = {one.cid for one in broker.orders(day)}
    assert {fill.cid for fill in broker.executions(day)} == named - {"by-hand"}
    assert [one.cid for one in broker.orders(date(2024, 1, 3))] == []


def test_what_happens_without_an_order_adds_up_to_the_account(
    broker: AlpacaBroker, sandbox: BrokerSandbox, hand: Hand
) -> None:
    book = sandbox.account
    book.hold("AAA", Decimal("10.5"), Decimal(50))
    book.hold("BBB", Decimal(4), Decimal(10))
    before, cash = dict(broker.positions()), broker.account().cash
    book.dividend("AAA", Decimal("0.3333"))
    book.fee(Decimal("0.01"))
    book.interest(Decimal("-1.25"))
    book.transfer(Decimal(500))
    book.transfer(Decimal("-20.5"))
    book.split("AAA", Decimal(4))
    book.rename("BBB", "BBC")
    book.enter("XYZ", cash=Decimal("0.000001"))
    book.enter("INT", cash=Decimal(7), status="pending")
    found = broker.non_trades(DAY)
    told = [(one.kind, one.symbol, units.shares_text(one.quantity), units.money_text(one.cash)) for one in found]
    assert sorted(told) == [
        ("dividend", "AAA", "0", "3.5"),
        ("fee", "", "0", "-0.01"),
        ("interest", "", "0", "-1.25"),
        ("other", "", "0", "0.000001"),
        ("split", "AAA", "-10.5", "0"),
        ("split", "AAA", "42", "0"),
        ("symbol_change", "BBB", "-4", "0"),
        ("symbol_change", "BBC", "4", "0"),
        ("transfer", "", "0", "-20.5"),
        ("transfer", "", "0", "500"),
    ]
    held = dict(before)
    for one in found:
        if one.quantity:
            held[one.symbol] = held.get(one.symbol, 0) + one.quantity
    assert {symbol: quantity for symbol, quantity in held.items() if quantity} == broker.positions()
    assert broker.account().cash == cash + sum(one.cash for one in found)
    assert broker.executions(DAY) == []
    assert broker.non_trades(DAY + timedelta(1)) == []


@pytest.mark.parametrize("named", [True, False])
def test_the_entries_of_one_event_share_a_group(broker: AlpacaBroker, sandbox: BrokerSandbox, named: bool) -> None:
    book = sandbox.account
    book.rules.groups = named
    for symbol in TABLE:
        book.hold(symbol, Decimal(3), Decimal(10))
        book.split(symbol, Decimal(2))
    found = broker.non_trades(DAY)
    groups = {one.group: {other.symbol for other in found if other.group == one.group} for one in found}
    assert sorted(groups.values(), key=str) == [{"AAA"}, {"BBB"}]


def test_activities_are_paged_each_once_and_from_before_the_day(
    broker: AlpacaBroker, sandbox: BrokerSandbox, hand: Hand
) -> None:
    book = sandbox.account
    book.enter("INT", cash=Decimal(99), day=DAY - timedelta(1))
    for number in range(250):
        book.enter("INT", cash=Decimal(number + 1) / 100)
    hand.advance(3 * 86400)
    book.enter("DIV", symbol="AAA", cash=Decimal(5), day=DAY - timedelta(20))  # entered weeks after its day
    found = broker.non_trades(DAY)
    assert sum(one.cash for one in found) == units.money(Decimal(250 * 251) / 200 + 99 + 5)
    assert len({one.id for one in found}) == len(found) == 252
    assert [one.cash for one in broker.non_trades(DAY + timedelta(1))] == [units.money(5)]


def test_what_was_entered_before_its_day_is_found_on_its_day(
    broker: AlpacaBroker, sandbox: BrokerSandbox, hand: Hand
) -> None:
    sandbox.account.enter("DIV", symbol="AAA", cash=Decimal(5), day=DAY + timedelta(3))
    hand.advance(3 * 86400)
    assert [one.cash for one in broker.non_trades(DAY + timedelta(3))] == [units.money(5)]


def test_a_quote_is_the_middle_of_bid_and_ask_and_symbols_without_one_are_left_out(
    broker: AlpacaBroker, sandbox: BrokerSandbox, hand: Hand
) -> None:
    assert broker.quotes([]) == {}
    assert sandbox.log == []
    assert broker.quotes(["AAA", "ZZZ", "BBB", "AAA"]) == {
        "AAA": Quote(50_250_000, NOON),
        "BBB": Quote(10_000_000, NOON),
    }
    sandbox.account.rules.halted = {"AAA"}
    hand.to(datetime(2024, 1, 2, 20, tzinfo=calendar.NEW_YORK))
    closed = datetime(2024, 1, 2, 16, tzinfo=calendar.NEW_YORK)
    assert broker.quotes(["AAA", "BBB"]) == {"BBB": Quote(10_000_000, closed)}


@pytest.mark.parametrize(
    ("changes", "price"),
    [
        ({}, 190_100_000),
        ({"bp": "189.95", "ap": "189.950001"}, 189_950_000),
        ({"bp": 0}, None),
        ({"ap": 0}, None),
        ({"bp": 100, "ap": 110.6}, None),
        ({"bp": 100, "ap": 110}, 105_000_000),
        ({"bp": 190.3}, None),
    ],
)
def test_only_two_sides_that_fit_make_a_price(changes: dict[str, Any], price: int | None) -> None:
    found = wire.quotes({"quotes": {"AAA": a_quote(**changes), "BBB": None}}, ["AAA", "BBB", "CCC"])
    assert {symbol: one.price for symbol, one in found.items()} == ({} if price is None else {"AAA": price})


@pytest.mark.parametrize("changes", [{"bp": -1}, {"ap": None}, {"t": None}, {"ap": 0.1234567}, {"bp": float("nan")}])
def test_a_quote_that_cannot_be_read_is_an_error_that_names_it(changes: dict[str, Any]) -> None:
    with pytest.raises(BrokerError, match="quote of AAA"):
        wire.quotes({"quotes": {"AAA": a_quote(**changes)}}, ["AAA"])


def test_many_symbols_go_in_few_requests_of_a_length_that_servers_take(
    sandbox: BrokerSandbox, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{a}{b}{c}{d}.B" for a in "ABCDEFGHIJKL" for b in "ABCDEFGHIJ" for c in "XYZ" for d in "ABCD"]
    sandbox.account = PaperAccount(prices(dict.fromkeys(names, 10.0)), Hand(NOON))
    addresses: list[str] = []
    real = HTTPAdapter.send

    def send(self: Any, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        addresses.append(str(request.url))
        return real(self, request, *args, **options)

    monkeypatch.setattr(HTTPAdapter, "send", send)
    assert connect(address, timeout=5).quotes(names).keys() == set(names)
    assert max(len(one) for one in addresses) < 4200
    assert len(addresses) == 4


def test_a_symbol_that_is_refused_as_such_does_not_cost_the_others_their_price(
    broker: AlpacaBroker, sandbox: BrokerSandbox
) -> None:
    assert broker.quotes(["AAA", "NO SUCH", "BBB", "$$$"]).keys() == {"AAA", "BBB"}
    sandbox.troubles = [Trouble(Kind.ERROR, path="/v2/stocks/*", times=None)]
    with pytest.raises(BrokerError, match="run again"):
        broker.quotes(["AAA"])


def test_questions_for_prices_have_a_budget_of_their_own(address: str, sandbox: BrokerSandbox) -> None:
    watch = Watch()
    broker = connect(address, watch=watch, data_requests_per_minute=6)
    for _ in range(3):
        broker.quotes(["AAA"])
    waited = watch.at
    assert waited > 0
    for _ in range(20):
        broker.account()
    assert watch.at - waited < 1


def test_hours_and_assets(broker: AlpacaBroker, sandbox: BrokerSandbox) -> None:
    sandbox.account.rules.whole_only = {"BBB"}
    days = broker.calendar(date(2024, 7, 3), date(2024, 7, 5))
    assert [(day.session, day.close.hour, day.open.tzinfo) for day in days] == [
        (date(2024, 7, 3), 13, calendar.NEW_YORK),
        (date(2024, 7, 5), 16, calendar.NEW_YORK),
    ]
    asset = broker.asset("BBB")
    assert asset is not None
    assert (asset.tradable, asset.fractionable) == (True, False)
    assert broker.asset("../account") is None
    assert broker.asset("ZZZ") is None


@pytest.mark.parametrize(
    ("url", "live", "allowed"),
    [
        (PAPER, False, True),
        (PAPER + "/", False, True),
        (LIVE, True, True),
        (LIVE, False, False),
        (PAPER, True, False),
        ("http://127.0.0.1:8080", False, True),
        ("http://127.0.0.1:8080/paper", False, True),
        ("http://localhost:8080", False, True),
        ("http://[::1]:8080", False, True),
        ("http://127.0.0.1:8080", True, False),
        ("http://127.0.0.1", False, False),
        ("http://paper-api.alpaca.markets", False, False),
        ("https://paper-api.alpaca.markets:8443", False, False),
        ("https://paper-api.alpaca.markets@evil.example", False, False),
        ("https://me:pw@paper-api.alpaca.markets", False, False),
        ("https://paper-api.alpaca.markets.evil.example", False, False),
        ("https://PAPER-API.alpaca.markets", False, False),
        ("http://127.0.0.1:80@evil.example:80", False, False),
        ("http://user@127.0.0.1:80", False, False),
        ("http://localhost.evil.example:80", False, False),
        ("http://192.168.0.1:80", False, False),
        ("https://data.alpaca.markets", False, False),
        ("http://[", False, False),
        ("", False, False),
    ],
)
def test_only_the_host_that_is_meant_is_talked_to(url: str, live: bool, allowed: bool) -> None:
    service: Service = "live" if live else "paper"
    if allowed:
        assert checked(url, service) == url.rstrip("/")
        return
    with pytest.raises(BrokerError):
        checked(url, service)
    with pytest.raises(BrokerError) as caught:
        alpaca.connect("k", "s", url, live=live)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        (DATA, True),
        (DATA + "/", True),
        ("http://127.0.0.1:8080", True),
        (PAPER, False),
        (LIVE, False),
        ("http://data.alpaca.markets", False),
        ("https://data.alpaca.markets:443", False),
        ("https://me:pw@data.alpaca.markets", False),
        ("https://data.alpaca.markets.evil.example", False),
        ("http://192.168.0.1:80", False),
    ],
)
def test_prices_are_asked_for_at_the_data_host_or_a_sandbox(url: str, allowed: bool) -> None:
    if allowed:
        assert checked(url, "data") == url.rstrip("/")
        return
    with pytest.raises(BrokerError, match="Questions for prices") as caught:
        alpaca.connect("k", "s", data_url=url)
    assert "pw" not in str(caught.value)


def test_prices_come_from_alpaca_for_its_accounts_and_from_the_sandbox_for_its_own() -> None:
    assert alpaca.connect("k", "s")._data.url == DATA
    assert alpaca.connect("k", "s", LIVE, live=True)._data.url == DATA
    assert alpaca.connect("k", "s", "http://127.0.0.1:1/")._data.url == "http://127.0.0.1:1"
    assert alpaca.connect("k", "s", data_url="http://127.0.0.1:2")._data.url == "http://127.0.0.1:2"
    with pytest.raises(BrokerError, match="prices of https://data"):
        alpaca.connect("k", "s", LIVE, live=True, data_url="http://127.0.0.1:2")
    with pytest.raises(BrokerError, match="set both"):
        Link("k", "")


def test_it_is_a_broker_whose_sells_go_first_and_whose_ids_are_taken_once(broker: AlpacaBroker) -> None:
    protocol: Broker = broker
    assert (protocol.auction, protocol.unique_ids) == (False, True)


def everything(error: BaseException) -> str:
    """What any log could show of an error: texts, arguments and attributes of it and of all it came from."""
    shown = "".join(traceback.format_exception(error))
    seen: BaseException | None = error
    while seen is not None:
        request = getattr(seen, "request", None)
        shown += repr(seen) + str(vars(seen)) + str(getattr(request, "headers", ""))
        seen = seen.__cause__ or seen.__context__
    return shown


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.UNAUTHORIZED, Kind.WRONG_JSON, Kind.NOT_JSON, Kind.STALLED])
def test_no_secret_is_in_an_error_a_log_or_a_repr(
    broker: AlpacaBroker, sandbox: BrokerSandbox, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sandbox.troubles = [Trouble(kind, times=None)]
    with pytest.raises(BrokerError) as caught:
        broker.account()
    shown = everything(caught.value) + caplog.text + repr(broker) + repr(broker._link)
    assert SECRET not in shown
    assert KEY not in shown


def test_a_broker_that_repeats_our_secret_is_not_quoted(canned: Canned) -> None:
    message = f"wrong key {KEY} with secret {SECRET}\nand more"
    with canned(403, json.dumps({"code": 40310000, "message": message}).encode()) as broker:
        receipt = broker.submit(TICKET)
    assert receipt == Receipt("rejected", None, "wrong key *** with secret *** and more")
    said = json.dumps([{"symbol": SECRET, "qty": "x"}]).encode()
    with canned(200, said) as broker, pytest.raises(BrokerError) as caught:
        broker.positions()
    assert SECRET not in everything(caught.value)


Canned = Callable[[int, bytes], AbstractContextManager[AlpacaBroker]]
CLOCK = {"timestamp": "2024-01-02T12:00:00-05:00", "is_open": True, "next_close": "2024-01-02T16:00:00-05:00"}


@contextmanager
def answered(status: int, body: bytes) -> Iterator[AlpacaBroker]:
    """A broker that gives one answer to everything but the clock."""

    def send(_: Any, request: requests.PreparedRequest, *__: Any, **___: Any) -> requests.Response:
        asked_clock = str(request.url).endswith("/clock")
        content, code = (json.dumps(CLOCK).encode(), 200) if asked_clock else (body, status)
        answer = requests.Response()
        answer.status_code, answer.url, answer.request = code, str(request.url), request
        answer.raw = urllib3.HTTPResponse(io.BytesIO(content), status=code, preload_content=False)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HTTPAdapter, "send", send)
        yield connect("http://127.0.0.1:1")


@pytest.fixture
def canned() -> Canned:
    return answered


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (422, b'{"code": 42210000, "message": "no"}', "rejected"),
        (422, b'{"message": "no"}', "rejected"),
        (400, b'{"code": 40010000, "message": "no"}', "rejected"),
        (403, b'{"code": 40310000, "message": "no"}', "rejected"),
        (404, b'{"code": 40410000, "message": "no"}', "rejected"),
        (404, b'{"message": "no route"}', "unknown"),
        (403, b"<html>Just a moment...</html>", "unknown"),
        (404, b"<html>not here</html>", "unknown"),
        (422, b"<html>?</html>", "unknown"),
        (422, b'{"code": 42210000, "message": null}', "unknown"),
        (408, b'{"code": 1, "message": "timeout"}', "unknown"),
        (500, b'{"code": 50010000, "message": "order rejected"}', "unknown"),
        (200, b"{}", "unknown"),
        (200, b"null", "unknown"),
        (201, b"[" * 100_000, "unknown"),
        (302, b"{}", "unknown"),
        (422, b'{"code": 40010001, "message": "client_order_id must be unique"}', "unknown"),
        (409, b'{"code": 40910000, "message": "client order id must be unique"}', "unknown"),
    ],
)
def test_only_a_verdict_of_the_api_itself_is_a_rejection(
    canned: Canned, status: int, body: bytes, outcome: str
) -> None:
    with canned(status, body) as broker:
        assert broker.submit(TICKET).outcome == outcome


@pytest.mark.parametrize("body", [b"<html>not here</html>", b'{"message": "no route"}', b""])
def test_a_404_of_something_on_the_way_does_not_mean_that_there_is_no_order(canned: Canned, body: bytes) -> None:
    with canned(404, body) as broker, pytest.raises(BrokerError):
        broker.find(TICKET.cid)


def an_order(**changes: Any) -> dict[str, Any]:
    return {
        "id": "broker-id",
        "client_order_id": TICKET.cid,
        "symbol": "AAA",
        "side": "buy",
        "qty": "2.123456789",
        "filled_qty": "0",
        "status": "new",
        "time_in_force": "day",
        "submitted_at": "2024-01-02T17:00:00.123456789Z",
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "state", "filled"),
    [
        ({}, "working", "0"),
        ({"status": "a_status_of_next_year"}, "working", "0"),
        ({"status": "done_for_day", "filled_qty": "1"}, "working", "1"),
        ({"status": "canceled", "filled_qty": "1.5"}, "expired", "1.5"),
        ({"status": "expired"}, "expired", "0"),
        ({"status": "replaced"}, "expired", "0"),
        ({"status": "rejected"}, "rejected", "0"),
        ({"status": "filled", "filled_qty": "2.12345678900"}, "filled", "2.123456789"),
        ({"qty": None, "notional": "100", "filled_qty": "0"}, "working", "0"),
    ],
)
def test_statuses_known_and_new(changes: dict[str, Any], state: str, filled: str) -> None:
    order = wire.order(an_order(**changes)).order
    assert (order.state, order.filled, order.session) == (state, units.shares(filled), DAY)


@pytest.mark.parametrize(
    ("sent", "session"),
    [
        ("2024-07-03T16:59:59Z", date(2024, 7, 3)),
        ("2024-07-03T17:00:00Z", date(2024, 7, 5)),  # a day on which the market closes at one
        ("2024-07-02T20:00:00Z", date(2024, 7, 3)),
        ("2024-07-06T12:00:00Z", date(2024, 7, 8)),
    ],
)
def test_an_order_is_of_the_session_in_which_it_can_trade_first(sent: str, session: date) -> None:
    assert wire.order(an_order(submitted_at=sent)).order.session == session
    named = wire.order(an_order(submitted_at=sent, expires_at="2024-07-09T20:00:00Z")).order
    assert named.session == date(2024, 7, 9)


@pytest.mark.parametrize(
    "changes",
    [
        {"qty": "2.1234567891"},
        {"qty": "1e3"},
        {"qty": "NaN"},
        {"qty": "٣"},
        {"qty": "1_000"},
        {"qty": True},
        {"qty": "99999999999999"},
        {"qty": 0.1234567890123456789},
        {"qty": "1.0000000000000000000000000000001"},
        {"filled_qty": "3"},
        {"filled_qty": "-1"},
        {"status": "filled"},
        {"side": "hold"},
        {"status": None},
        {"submitted_at": "2024-01-02T17:00:00"},
        {"submitted_at": "yesterday"},
        {"submitted_at": "9999-12-31T23:59:59-14:00"},
        {"client_order_id": ""},
    ],
)
def test_an_order_that_cannot_be_exact_is_an_error_that_names_it(changes: dict[str, Any]) -> None:
    with pytest.raises(BrokerError, match="order"):
        wire.order(an_order(**changes))


@given(st.integers(0, units.LARGEST))
def test_numbers_survive_the_wire(quantity: int) -> None:
    said = an_order(qty=units.shares_text(quantity), filled_qty=units.shares_text(quantity))
    assert wire.order(said | {"status": "filled"}).order.quantity == quantity
    cash = {
        "id": "a",
        "status": "ACTIVE",
        "cash": units.money_text(-quantity),
        "equity": "1.23456789",
        "buying_power": 5,
    }
    account = wire.account(cash)
    assert (account.cash, account.equity, account.buying_power) == (-quantity, 1_234_567, 5_000_000)


def test_a_short_position_is_negative_and_crypto_dust_is_named() -> None:
    short = {"symbol": "AAA", "qty": "10", "side": "short"}
    assert wire.positions([short, {"symbol": "BBB", "qty": "0", "side": "long"}]) == {"AAA": -10 * units.SHARE}
    with pytest.raises(BrokerError, match=r"position in BTCUSD has qty 0\.0000000001, which does not fit"):
        wire.positions([{"symbol": "BTCUSD", "qty": "0.0000000001", "side": "long"}])


def test_a_blocked_account_says_why() -> None:
    said = {"id": "a", "status": "ACTIVE", "cash": "1", "equity": "1", "buying_power": "1"}
    assert wire.account(said).blocked == ""
    assert wire.account(said | {"trading_blocked": True}).blocked == "trading_blocked"
    assert wire.account(said | {"status": "ONBOARDING"}).blocked == "status ONBOARDING"


def an_entry(**changes: Any) -> dict[str, Any]:
    return {
        "id": "20240102000000000::1",
        "activity_type": "DIV",
        "date": "2024-01-02",
        "net_amount": "1.02",
        "symbol": "AAA",
        "qty": "2",
        "per_share_amount": "0.51",
        "status": "executed",
        **changes,
    }


def a_quote(**changes: Any) -> dict[str, Any]:
    return {"t": "2024-01-02T17:00:00.123456789Z", "bp": 189.95, "bs": 1, "ap": 190.25, "as": 2, **changes}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
NAMES = [
    *("id", "client_order_id", "symbol", "side", "qty", "filled_qty", "notional", "status", "submitted_at", "cash"),
    *("expires_at", "time_in_force", "price", "order_id", "transaction_time", "activity_type", "date", "open", "close"),
    *("code", "message", "equity", "buying_power", "tradable", "fractionable", "timestamp", "next_close"),
    *("net_amount", "group_id", "created_at", "activity_sub_type", "currency", "quotes", "AAA", "bp", "ap", "t"),
]
VALUES = JSON | st.sampled_from(
    ["AAA", TICKET.cid, "buy", "long", "1", "-1", "filled", "ACTIVE", "FILL", "2024-01-02", "09:30", "day", "x\ud800"]
    + ["2024-01-02T17:00:00Z", "9999-12-31T23:59:59Z", "2035-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00"]
    + ["DIV", "SPLIT", "NC", "XYZ", "SDIV", "USD", "executed", "pending", "0.01", "1e5", "9" * 30]
)
OBJECTS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=len(NAMES))
DOCUMENTS = JSON | OBJECTS | st.lists(OBJECTS, max_size=3)
MUTILATED = st.builds(lambda name, value: an_order(**{name: value}), st.sampled_from(NAMES), VALUES)
LISTED = st.builds(lambda name, value: [an_entry(**{name: value})], st.sampled_from(NAMES), VALUES)
QUOTED = st.builds(lambda name, value: {"quotes": {"AAA": a_quote(**{name: value})}}, st.sampled_from(NAMES), VALUES)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from([200, 200, 200, 400, 401, 403, 404, 409, 422, 429, 500]), DOCUMENTS | MUTILATED | LISTED | QUOTED
)
@example(200, an_order())
@example(400, {"message": "invalid symbol: AAA"})
def test_no_reply_gets_past_the_adapter_as_anything_but_a_broker_error(status: int, said: Any) -> None:
    body = json.dumps(said).encode()
    with answered(status, body) as broker:
        try:
            receipt = broker.submit(TICKET)
            assert receipt.outcome in ("rejected" if status in (400, 403, 404, 409, 422) else "unknown", "unknown") or (
                said.get("client_order_id") == TICKET.cid
            )
        except BrokerError:
            assert status in (401, 403)  # the key, not the order
        for ask in QUESTIONS.values():
            try:
                ask(broker)
            except BrokerError as error:
                assert str(error)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([200, 422, 500]))
def test_bytes_that_are_no_json_are_unknown(body: bytes, status: int) -> None:
    with answered(status, b"\x00" + body) as broker:
        assert broker.submit(TICKET).outcome == "unknown"
        with pytest.raises(BrokerError):
            broker.account()


def test_the_clock_is_as_untrusted_as_the_rest() -> None:
    for wrong in ({}, {"timestamp": "2024-01-02T12:00:00Z"}, {**CLOCK, "next_close": CLOCK["timestamp"]}, [], None):
        with pytest.raises(BrokerError):
            wire.clock(wrong)


def test_five_hundred_orders_use_the_budget_and_never_exceed_it(address: str, sandbox: BrokerSandbox) -> None:
    watch = Watch()
    sandbox.budget, sandbox.monotonic = Budget(200, 60), watch.monotonic
    sandbox.account.rules.pattern = NEVER
    sandbox.account.cash = Decimal(1_000_000)
    broker = connect(address, watch=watch, requests_per_minute=200, timeout=5)
    for number in range(500):
        assert broker.submit(TICKET._replace(cid=f"n{number}")).outcome == "taken"
    assert sandbox.budget.refused == 0
    assert posts(sandbox) == 500
    assert watch.at * 200 / 60 <= 500 / 0.95


# The executor through the adapter, on the ledger.


def paper_world(hand: Hand) -> BrokerSandbox:
    """A broker that fills at the closes of the made-up market."""
    closes = world.market().closes(DAY)
    return BrokerSandbox(PaperAccount(closes.get, hand, 100_000))


def trade(ledger: Ledger, url: str, **changes: Any) -> Outcome:
    spec = world.spec(broker="alpaca", mode="paper")
    broker = connect(url, **changes)
    return run_batch(ledger, spec, world.targets()[DAY], DAY, world.market(), broker, lambda: NOON)


def booked(ledger: Ledger) -> tuple[dict[str, int], int]:
    """Positions and cash of the books, which are what their entries say."""
    balances, rebuilt = ledger.run(lambda c: (ledger.balances(c, "sim", 1), ledger.rebuild(c, "sim", 1)))
    assert balances == rebuilt
    positions, cash = journal.totals(balances)
    return dict(positions), cash


def agreed(ledger: Ledger, url: str, sandbox: BrokerSandbox, got: Outcome) -> None:
    """Each order once, everything filled and booked, and another run changes nothing."""
    assert set(got.order_batch["state"]) == {"filled"}
    book = sandbox.account
    theirs = {symbol: units.shares(quantity) for symbol, quantity in book.positions.items()}
    assert booked(ledger) == (theirs, units.money(book.cash))
    cids = [order.wish.cid for order in sandbox.account.orders.values()]
    assert len(cids) == len(set(cids))
    executed = ledger.run(lambda c: c.scalars(sa.select(tables.execution.c.id)).all())
    assert sorted(executed) == sorted(fill.id for fill in sandbox.account.fills)
    before = dump(ledger)
    same(got, trade(ledger, url))
    assert dump(ledger) == before
    assert len(sandbox.account.orders) == len(cids)


def test_the_executor_trades_and_again_changes_nothing(ledger: Ledger, hand: Hand) -> None:
    sandbox = paper_world(hand)
    with serving(sandbox) as url:
        got = trade(ledger, url)
        agreed(ledger, url, sandbox, got)
    assert posts(sandbox) == len(sandbox.account.orders) > 3


@pytest.mark.parametrize("unique", [True, False])
@pytest.mark.parametrize("kind", [Kind.RESET, Kind.GATEWAY_TIMEOUT, Kind.WRONG_JSON])
def test_an_order_that_is_in_while_its_answer_is_lost_is_sent_once(
    ledger: Ledger, hand: Hand, kind: Kind, unique: bool
) -> None:
    sandbox = paper_world(hand)
    sandbox.account.rules.unique_ids = unique
    sandbox.troubles = [Trouble(kind, "POST", after=True, times=3)]
    with serving(sandbox) as url:
        agreed(ledger, url, sandbox, trade(ledger, url))
    assert posts(sandbox) == len(sandbox.account.orders)


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.THROTTLED, Kind.NOT_JSON])
def test_an_order_that_did_not_get_in_is_sent_again(ledger: Ledger, hand: Hand, kind: Kind) -> None:
    sandbox = paper_world(hand)
    sandbox.troubles = [Trouble(kind, "POST", times=2)]
    with serving(sandbox) as url:
        agreed(ledger, url, sandbox, trade(ledger, url))
    assert posts(sandbox) == len(sandbox.account.orders) + 2


@pytest.mark.parametrize("skip", [0, 3, 9])
def test_a_key_that_is_refused_midway_stops_the_run_and_a_good_one_ends_it(
    ledger: Ledger, hand: Hand, skip: int
) -> None:
    sandbox = paper_world(hand)
    sandbox.troubles = [Trouble(Kind.UNAUTHORIZED, times=None, skip=skip)]
    with serving(sandbox) as url:
        with pytest.raises(PasError, match="refuses the key"):
            trade(ledger, url)
        booked(ledger)
        states = ledger.run(lambda c: set(c.scalars(sa.select(tables.orders.c.state))))
        assert "rejected" not in states
        sandbox.troubles = []
        agreed(ledger, url, sandbox, trade(ledger, url))


def test_a_part_is_booked_and_the_rest_when_it_comes(ledger: Ledger, hand: Hand) -> None:
    sandbox = paper_world(hand)
    sandbox.account.rules.pattern = ((0, 0.3), (60, 0.3), (120, 0.4))
    with serving(sandbox) as url:
        part = trade(ledger, url)
        assert set(part.order_batch["state"]) == {"working"}
        assert len(part.trades)
        before = dump(ledger)
        trade(ledger, url)
        assert dump(ledger) == before
        hand.advance(60)
        trade(ledger, url)
        hand.advance(60)
        agreed(ledger, url, sandbox, trade(ledger, url))
    assert len(sandbox.account.fills) == 3 * len(sandbox.account.orders)


def test_fills_that_show_late_keep_the_order_open_until_they_are_booked(ledger: Ledger, hand: Hand) -> None:
    sandbox = paper_world(hand)
    sandbox.account.rules.fill_lag = 30
    with serving(sandbox) as url, pytest.raises(PasError, match="disagree"):  # positions show before their fills do
        trade(ledger, url)


def test_a_broker_that_is_down_and_up_again_is_gone_on_with(ledger: Ledger, hand: Hand) -> None:
    sandbox = paper_world(hand)
    with serving(sandbox) as url:
        port = int(url.rpartition(":")[2])
    with pytest.raises(BrokerError, match="run again"):
        trade(ledger, url)
    with serving(sandbox, port) as url:
        sandbox.troubles = [Trouble(Kind.RESET, times=None, skip=3)]  # down again after the first order
        with pytest.raises(BrokerError, match="run again"):
            trade(ledger, url)
        assert len(sandbox.account.orders) == 1
        sandbox.troubles = []
        agreed(ledger, url, sandbox, trade(ledger, url))


def test_a_manual_trade_halts_the_account(ledger: Ledger, hand: Hand) -> None:
    sandbox = paper_world(hand)
    sandbox.account.place(Wish("AAA", "buy", "by-hand", Decimal(1)))
    with serving(sandbox) as url, pytest.raises(PasError, match="disagree on AAA"):
        trade(ledger, url)
    booked(ledger)
