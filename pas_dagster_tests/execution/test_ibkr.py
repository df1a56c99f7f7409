"""The IBKR adapter with the real client library against the sandbox's Trader Workstation."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ib_async import CommissionReport, Contract, Fill, Position, Stock
from ib_async import Execution as Told

from pas_dagster import calendar
from pas_dagster.errors import PasError
from pas_dagster.execution.brokers import ibkr
from pas_dagster.execution.brokers import ibkr_wire as wire
from pas_dagster.execution.brokers.base import Asset, BrokerError, BrokerOrder, KeyRefusedError, Receipt, Ticket
from pas_dagster.execution.brokers.ibkr import IbkrBroker
from pas_dagster.ledger import units
from pas_dagster.sandbox.broker.hours import Hand
from pas_dagster.sandbox.broker.paper import NEVER, PaperAccount, Wish, prices
from pas_dagster.sandbox.tws.desk import ACCOUNT, Desk
from pas_dagster.sandbox.tws.server import PLACE, Kind, Trouble, TwsSandbox, serving

DAY = date(2024, 1, 2)
NOON = datetime(2024, 1, 2, 12, tzinfo=calendar.NEW_YORK)
EVENING = datetime(2024, 1, 2, 18, tzinfo=calendar.NEW_YORK)
TEN = units.shares(10)
TICKET = Ticket("pas-0123456789abcdef-AAA-b-1", DAY, "AAA", "buy", TEN)
TABLE = {"AAA": 50.25, "BBB": 10.0, "BRK.B": 300.0}
HALVES = ((0.0, 0.5), (1.0, 0.5))
FAST = 0  # messages a second: a sandbox has nobody to spare


@pytest.fixture(autouse=True)
def little_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ibkr, "_GRACE", 0.1)


@pytest.fixture
def hand() -> Hand:
    return Hand(NOON)


@pytest.fixture
def sandbox(hand: Hand) -> TwsSandbox:
    return TwsSandbox(Desk(PaperAccount(prices(dict(TABLE)), hand, 10_000)))


@pytest.fixture
def port(sandbox: TwsSandbox) -> Iterator[int]:
    with serving(sandbox) as found:
        yield found


def connect(port: int, account: str = ACCOUNT, **more: Any) -> IbkrBroker:
    chosen = {"timeout": 0.5, "commission_wait": 0.2, "requests_per_second": FAST, **more}
    return IbkrBroker(account, port=port, **chosen)


@pytest.fixture
def broker(port: int) -> Iterator[IbkrBroker]:
    with connect(port) as found:
        yield found


def found(broker: IbkrBroker, cid: str = TICKET.cid) -> BrokerOrder:
    order = broker.find(cid)
    assert order is not None
    return order


def test_an_order_goes_out_and_comes_back_exactly(broker: IbkrBroker, sandbox: TwsSandbox) -> None:
    receipt = broker.submit(TICKET)
    assert receipt.outcome == "taken"
    assert receipt.order is not None
    assert receipt.order[:5] == TICKET
    assert (found(broker).state, found(broker).filled, found(broker).quantity) == ("filled", TEN, TEN)
    (fill,) = broker.executions(DAY)
    assert (fill.cid, fill.session, fill.quantity, fill.price, fill.at) == (TICKET.cid, DAY, TEN, 50_250_000, NOON)
    assert (fill.notional, fill.fee) == (units.cost(TEN, 50_250_000), units.money("0.05"))
    assert broker.positions() == {"AAA": TEN}
    account = broker.account()
    assert (account.id, account.cash) == (ACCOUNT, units.money(10_000) - fill.notional - fill.fee)
    assert broker.executions(DAY) == [fill]
    assert broker.executions(DAY - timedelta(1)) == []
    (order,) = sandbox.desk.account.orders.values()
    assert (order.wish.cid, order.wish.kind, order.wish.force) == (TICKET.cid, "market", "day")


def test_the_traits_say_that_an_order_may_not_be_sent_again() -> None:
    assert (IbkrBroker.auction, IbkrBroker.unique_ids) == (False, False)


def test_an_order_that_is_there_is_answered_with_and_not_sent_again(
    port: int, broker: IbkrBroker, sandbox: TwsSandbox
) -> None:
    broker.submit(TICKET)
    assert broker.submit(TICKET).order == found(broker)
    with connect(port, client_id=3) as other:
        again = other.submit(TICKET)
    assert (again.outcome, again.order) == ("taken", found(broker))
    assert sandbox.count(PLACE) == len(sandbox.desk.account.orders) == 1


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", Kind)
def test_a_lost_answer_is_unknown_and_the_order_is_never_sent_twice(
    port: int, broker: IbkrBroker, sandbox: TwsSandbox, kind: Kind, after: bool
) -> None:
    sandbox.desk.account.rules.pattern = NEVER
    sandbox.troubles = [Trouble(kind, PLACE, after)]
    first = broker.submit(TICKET)
    assert first.outcome == "unknown"
    assert "could not be asked" in first.reason
    assert (broker.find(TICKET.cid) is not None) == after  # over another connection
    second = broker.submit(TICKET)
    assert second.outcome == ("taken" if after else "unknown")
    assert sandbox.count(PLACE) == 1
    with connect(port, client_id=3) as later:
        assert (later.find(TICKET.cid) is not None) == after
    assert len(sandbox.desk.account.orders) == after


def test_an_order_that_shows_late_stays_unknown_until_it_does(
    broker: IbkrBroker, sandbox: TwsSandbox, hand: Hand
) -> None:
    rules = sandbox.desk.account.rules
    rules.pattern, rules.order_lag = NEVER, 30
    sandbox.troubles = [Trouble(Kind.DROPPED, PLACE, after=True)]
    assert broker.submit(TICKET).outcome == "unknown"
    again = broker.submit(TICKET)
    assert (again.outcome, again.reason) == ("unknown", "it was sent before and does not show; it is not sent twice")
    hand.advance(30)
    assert broker.submit(TICKET).outcome == "taken"
    assert len(sandbox.desk.account.orders) == 1


@pytest.mark.parametrize(
    ("ticket", "reason"),
    [
        (TICKET._replace(symbol="ZZZ"), "IBKR knows no US stock called ZZZ"),
        (TICKET._replace(quantity=units.shares(100_000)), "Order rejected - reason:insufficient buying power"),
        (TICKET._replace(side="sell"), "Order rejected - reason:account is not allowed to short"),
    ],
)
def test_a_definite_refusal_is_a_rejection_with_the_reason(broker: IbkrBroker, ticket: Ticket, reason: str) -> None:
    assert broker.submit(ticket) == Receipt("rejected", None, reason)


@pytest.mark.parametrize("quantity", ["0.5", "10.000000001", "0"])
def test_a_part_of_a_share_is_refused_here_and_nothing_is_sent(quantity: str) -> None:
    with connect(1) as nowhere:
        receipt = nowhere.submit(TICKET._replace(quantity=units.shares(quantity)))
    assert receipt.outcome == "rejected"
    assert f"takes whole shares only through its API, and {quantity} is none" in receipt.reason


@pytest.mark.parametrize("code", [399, 10349, 2109, 202])
def test_a_remark_is_no_refusal_whatever_the_library_makes_of_it(
    broker: IbkrBroker, sandbox: TwsSandbox, code: int
) -> None:
    sandbox.desk.account.rules.pattern = NEVER
    sandbox.desk.remarks = [(code, "Order TIF was set to DAY based on order preset.")]
    receipt = broker.submit(TICKET)
    assert receipt.outcome == "taken"
    assert receipt.order is not None
    assert (receipt.order.state, found(broker).state) == ("working", "working")


def test_a_remark_alone_is_no_receipt(broker: IbkrBroker, sandbox: TwsSandbox) -> None:
    sandbox.desk.remarks = [(10349, "Order TIF was set to DAY based on order preset.")]
    broker.positions()
    sandbox.spoil = lambda one: ["8", "1", "12:00"] if one[0] in ("3", "5", "11", "59") else one
    assert broker.submit(TICKET).outcome == "unknown"


def test_a_read_only_api_is_no_verdict_on_the_order(broker: IbkrBroker, sandbox: TwsSandbox) -> None:
    sandbox.desk.account.rules.pattern = NEVER
    sandbox.desk.remarks = [(321, "Error validating request: The API interface is currently in Read-Only mode.")]
    with pytest.raises(KeyRefusedError, match="read-only"):
        broker.submit(TICKET)


def test_an_order_is_sent_in_its_own_session_only(broker: IbkrBroker, sandbox: TwsSandbox, hand: Hand) -> None:
    with pytest.raises(BrokerError, match="run it on its day"):
        broker.submit(TICKET._replace(session=date(2024, 1, 3)))
    hand.to(datetime(2024, 1, 2, 15, 59, 55, tzinfo=calendar.NEW_YORK))
    assert broker.submit(TICKET).reason == "session 2024-01-02 is over; nothing was sent"
    hand.to(EVENING)
    assert broker.submit(TICKET).outcome == "unknown"
    assert broker.clock().session == date(2024, 1, 3)
    assert broker.submit(TICKET._replace(session=date(2024, 1, 3))).outcome == "taken"
    hand.to(datetime(2024, 7, 3, 14, tzinfo=calendar.NEW_YORK))
    early = broker.submit(TICKET._replace(cid="early", session=date(2024, 7, 3)))
    assert (early.outcome, sandbox.count(PLACE)) == ("unknown", 1)


def test_what_was_sent_before_the_close_is_found_after_it(broker: IbkrBroker, sandbox: TwsSandbox, hand: Hand) -> None:
    sandbox.troubles = [Trouble(Kind.DROPPED, PLACE, after=True)]
    assert broker.submit(TICKET).outcome == "unknown"
    hand.to(EVENING)
    assert broker.submit(TICKET).outcome == "taken"
    assert (found(broker).state, found(broker).session) == ("filled", DAY)


def test_two_orders_under_one_id_are_an_error_for_a_person(broker: IbkrBroker, sandbox: TwsSandbox) -> None:
    broker.submit(TICKET)
    sandbox.desk.account.rules.pattern = NEVER
    sandbox.desk.account.place(Wish("AAA", "buy", TICKET.cid, Decimal(10)))
    for ask in (lambda: broker.find(TICKET.cid), lambda: broker.submit(TICKET), lambda: broker.orders(DAY)):
        with pytest.raises(BrokerError, match=f"more than one order under {TICKET.cid}"):
            ask()


@pytest.mark.parametrize("wish", [("BBB", "buy", 10), ("AAA", "buy", 9)])
def test_another_order_under_the_id_is_an_error_and_not_a_success(
    broker: IbkrBroker, sandbox: TwsSandbox, wish: tuple[str, str, int]
) -> None:
    symbol, side, quantity = wish
    sandbox.desk.account.rules.pattern = NEVER
    sandbox.desk.account.place(Wish(symbol, side, TICKET.cid, Decimal(quantity)))
    with pytest.raises(BrokerError, match=f"another order under {TICKET.cid}: buy {symbol}"):
        broker.submit(TICKET)


def test_an_order_that_only_its_executions_show_is_found_and_ends_with_its_session(
    port: int, broker: IbkrBroker, sandbox: TwsSandbox, hand: Hand
) -> None:
    broker.submit(TICKET)
    sandbox.desk.forgetful = True
    assert found(broker).state == "filled"  # who sent it knows how much it was
    with connect(port, client_id=3) as later:
        assert (found(later).state, found(later).filled) == ("working", TEN)
        hand.to(EVENING)
        assert (found(later).state, found(later).filled) == ("expired", TEN)
        assert later.submit(TICKET).outcome == "taken"


@pytest.mark.parametrize("forgetful", [False, True])
def test_a_session_shows_its_orders_and_older_ones_that_were_filled_in_it(
    broker: IbkrBroker, sandbox: TwsSandbox, hand: Hand, forgetful: bool
) -> None:
    book = sandbox.desk.account
    book.rules.patterns = {"AAA": ((3600.0, 0.5),), "BRK.B": NEVER}  # an hour after the next open
    hand.to(NOON - timedelta(1))
    book.place(Wish("AAA", "buy", "by-hand", Decimal(4), force="gtc"))
    hand.to(NOON)
    broker.submit(TICKET._replace(cid="b", symbol="BBB"))
    broker.submit(TICKET._replace(cid="c", symbol="BRK.B"))
    sandbox.desk.forgetful = forgetful
    shown = [(one.cid, one.symbol, one.side, one.filled, one.state) for one in broker.orders(DAY)]
    assert shown == [
        ("b", "BBB", "buy", TEN, "filled"),
        ("by-hand", "AAA", "buy", units.shares(2), "working"),
        ("c", "BRK.B", "buy", 0, "working"),
    ]
    assert {one.cid for one in broker.executions(DAY)} == {"b", "by-hand"}
    assert broker.orders(DAY - timedelta(7)) == []
    hand.to(EVENING)  # what still works trades tomorrow
    assert {one.cid for one in broker.orders(DAY)} == ({"b", "by-hand"} if forgetful else {"b", "by-hand", "c"})
    assert [one.cid for one in broker.orders(date(2024, 1, 3))] == ["by-hand"]


def test_cancelling_is_idempotent_and_the_part_that_filled_stays(
    broker: IbkrBroker, sandbox: TwsSandbox, hand: Hand
) -> None:
    broker.cancel("never-sent")
    sandbox.desk.account.rules.pattern = HALVES
    broker.submit(TICKET)
    assert [one.cid for one in broker.open_orders()] == [TICKET.cid]
    for _ in range(2):
        broker.cancel(TICKET.cid)
        over = found(broker)
        assert (over.state, over.quantity, over.filled) == ("expired", TEN, TEN // 2)
        assert over.reason == "Cancelled at the broker"
    assert broker.open_orders() == []
    hand.advance(5)
    assert [one.quantity for one in broker.executions(DAY)] == [TEN // 2]


def test_an_order_can_be_cancelled_by_a_later_run_under_the_same_client_id_only(port: int, sandbox: TwsSandbox) -> None:
    sandbox.desk.account.rules.pattern = NEVER
    with connect(port) as first:
        first.submit(TICKET)
    with connect(port, client_id=3) as other, pytest.raises(BrokerError, match="was sent by client 17"):
        other.cancel(TICKET.cid)
    with connect(port) as later:
        later.cancel(TICKET.cid)
        assert found(later).state == "expired"


def test_an_order_entered_by_hand_is_seen_and_called_by_its_number(broker: IbkrBroker, sandbox: TwsSandbox) -> None:
    sandbox.desk.account.place(Wish("BRK.B", "buy", "", Decimal(1)))
    (fill,) = broker.executions(DAY)
    assert fill.cid.startswith("ibkr-15")
    assert found(broker, fill.cid).symbol == "BRK.B"
    assert broker.positions() == {"BRK.B": units.SHARE}


def test_an_execution_without_its_commission_is_told_another_time(
    broker: IbkrBroker, sandbox: TwsSandbox, hand: Hand
) -> None:
    sandbox.desk.fee_lag = 60
    broker.submit(TICKET)
    assert found(broker).filled == TEN
    assert broker.executions(DAY) == []
    hand.advance(60)
    assert [one.fee for one in broker.executions(DAY)] == [50_000]


def test_a_commission_is_waited_for(port: int, sandbox: TwsSandbox, hand: Hand) -> None:
    sandbox.desk.fee_lag = 60
    with connect(port, commission_wait=5) as broker:
        broker.submit(TICKET)
        threading.Timer(0.2, hand.advance, [60]).start()
        began = time.monotonic()
        assert [one.fee for one in broker.executions(DAY)] == [50_000]
    assert 0.1 < time.monotonic() - began < 4


def test_a_correction_takes_the_place_of_what_it_corrects(broker: IbkrBroker, sandbox: TwsSandbox) -> None:
    broker.submit(TICKET)
    (before,) = broker.executions(DAY)
    desk = sandbox.desk
    with desk.account.lock:
        desk.correct(desk.account.fills[0], Decimal(10), Decimal("50.5"))
        desk.correct(desk.account.fills[0], Decimal(10), Decimal("50.75"))
    (after,) = broker.executions(DAY)
    assert (after.id, after.price) == (before.id, 50_750_000)
    assert broker.account().cash == units.money(10_000) - after.notional - after.fee


def test_hours_assets_and_quotes(broker: IbkrBroker, sandbox: TwsSandbox) -> None:
    days = broker.calendar(date(2024, 7, 3), date(2024, 7, 5))
    assert [(day.session, day.close.hour) for day in days] == [(date(2024, 7, 3), 13), (date(2024, 7, 5), 16)]
    assert broker.asset("BRK.B") == Asset("BRK.B", True, False)
    assert broker.asset("ZZZ") is None
    assert broker.non_trades(DAY) == ()
    quotes = broker.quotes(["AAA", "ZZZ", "BRK.B"])
    assert {name: one.price for name, one in quotes.items()} == {"AAA": 50_250_000, "BRK.B": 300_000_000}
    assert {one.at for one in quotes.values()} == {NOON}
    sandbox.troubles = [Trouble(Kind.UNANSWERED, 1)]
    assert list(broker.quotes(["AAA", "BBB"])) == ["BBB"]  # a quote that does not come costs one quote


QUESTIONS = {"account": (6, 1), "positions": (61, 0), "open_orders": (16, 0), "clock": (49, 0)}
"""What is asked, by the kind of the request that matters; how many of the kind come before it."""


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_without_an_answer_is_an_error_and_the_next_one_works(
    port: int, sandbox: TwsSandbox, name: str, kind: Kind
) -> None:
    with connect(port, timeout=0.3) as broker:
        usual = getattr(broker, name)()
        request, skip = QUESTIONS[name]
        sandbox.troubles = [Trouble(kind, request, skip=skip)]
        with pytest.raises(BrokerError, match="could not be asked"):
            getattr(broker, name)()
        assert getattr(broker, name)() == usual


def test_a_tws_that_is_not_there_is_one_sentence_and_is_found_when_it_is_back(sandbox: TwsSandbox) -> None:
    with serving(sandbox) as port:
        broker = connect(port)
        broker.submit(TICKET)
    with pytest.raises(BrokerError, match=rf"^TWS at 127.0.0.1:{port} could not be asked: the connection failed"):
        broker.positions()
    with serving(sandbox, port):
        assert broker.positions() == {"AAA": TEN}
        assert broker.submit(TICKET._replace(cid="two")).outcome == "taken"
        broker.close()


def test_while_tws_has_no_line_to_ibkr_nothing_is_believed_or_sent(broker: IbkrBroker, sandbox: TwsSandbox) -> None:
    broker.positions()
    sandbox.announcements.append((1100, "Connectivity between IB and TWS has been lost."))
    with suppress(BrokerError):
        broker.positions()  # the answer comes after the announcement
    for ask in (broker.positions, lambda: broker.submit(TICKET)):
        with pytest.raises(BrokerError, match="lost its line"):
            ask()
    sandbox.announcements.append((1102, "Connectivity between IB and TWS has been restored."))
    end = time.monotonic() + 5
    while time.monotonic() < end:
        with suppress(BrokerError):
            broker.positions()
            break
        time.sleep(0.01)
    assert broker.submit(TICKET).outcome == "taken"


def test_a_client_id_that_is_in_use_is_said_at_once(port: int, broker: IbkrBroker) -> None:
    broker.positions()
    began = time.monotonic()
    with connect(port, timeout=20) as twin, pytest.raises(BrokerError, match="Client id 17 is in use"):
        twin.positions()
    assert time.monotonic() - began < 5


def test_another_account_than_the_one_meant_is_never_traded(port: int, sandbox: TwsSandbox) -> None:
    with connect(port, "DU999") as other, pytest.raises(KeyRefusedError, match=r"other accounts \(DU1000001\) than"):
        other.submit(TICKET)
    assert sandbox.count(PLACE) == 0


@pytest.mark.parametrize(("account", "live"), [("U1234567", False), ("DU1234567", True), ("", False), ("", True)])
def test_paper_and_live_are_not_confused(account: str, live: bool) -> None:
    with pytest.raises(BrokerError, match="account"):
        IbkrBroker(account, live=live)


def test_closing_ends_the_thread_and_is_for_good(port: int) -> None:
    before = threading.active_count()
    broker = connect(port)
    broker.positions()
    assert "ibkr" in {one.name for one in threading.enumerate()}
    broker.close()
    broker.close()
    assert "ibkr" not in {one.name for one in threading.enumerate()}
    assert threading.active_count() <= before + 1  # the sandbox's own thread may still be ending
    with pytest.raises(BrokerError, match="was closed"):
        broker.positions()


def test_it_can_be_asked_from_within_another_event_loop(broker: IbkrBroker) -> None:
    async def inside() -> Any:
        return broker.positions()

    assert asyncio.run(inside()) == {}


def test_the_adapter_is_imported_without_the_library() -> None:
    code = "import sys, pas_dagster.execution.brokers.ibkr; sys.exit('ib_async' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_without_the_library_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ib_async", None)
    with pytest.raises(PasError, match=r'pip install "pas-dagster\[ibkr\]"'):
        IbkrBroker(ACCOUNT)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("61", "positions"),
        ("6", "account"),
        ("3", "open_orders"),
        ("5", "open_orders"),
        ("101", "open_orders"),
        ("11", "executions"),
        ("59", "executions"),
        ("10", "asset"),
    ],
)
def test_a_list_with_an_unreadable_part_is_no_shorter_list_but_an_error_at_once(
    port: int, sandbox: TwsSandbox, kind: str, name: str
) -> None:
    sandbox.desk.account.rules.patterns = {"BBB": HALVES}
    with connect(port, client_id=3) as other:
        other.submit(TICKET)
        other.submit(TICKET._replace(cid="two", symbol="BBB"))
    with connect(port, timeout=10, commission_wait=5) as broker:
        broker.clock()
        sandbox.spoil = lambda one: [one[0], "x"] if one[0] == kind else one
        began = time.monotonic()
        with pytest.raises(BrokerError, match="it sent what cannot be read"):
            getattr(broker, name)(*{"asset": ("AAA",), "executions": (DAY,)}.get(name, ()))
        assert time.monotonic() - began < 5


def test_the_refusal_of_something_else_is_no_verdict(broker: IbkrBroker, sandbox: TwsSandbox) -> None:
    broker.positions()
    sandbox.troubles = [Trouble(Kind.UNANSWERED, PLACE, after=True)]
    threading.Timer(0.1, sandbox.announcements.append, [(201, "Order rejected - reason:another")]).start()
    assert broker.submit(TICKET).outcome == "unknown"


def test_a_quote_of_last_time_is_not_given_again(broker: IbkrBroker, sandbox: TwsSandbox) -> None:
    assert list(broker.quotes(["AAA"])) == ["AAA"]
    sandbox.spoil = lambda one: ["8", "1", "12:00"] if one[0] in ("1", "46") else one
    assert broker.quotes(["AAA"]) == {}


SPOILS = {
    "cut": lambda one, at, _: one[:at],
    "field": lambda one, at, said: [*one[:at], said, *one[at + 1 :]],
    "more": lambda one, _, said: [*one, said],
    "none": lambda _, __, ___: ["", ""],
}
ODD = st.sampled_from(["", "nan", "inf", "-1", "1e999", "99999999999999999999", "x", "1.7976931348623157E308", "\xff"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["3", "4", "5", "6", "7", "8", "10", "11", "49", "52", "53", "55", "59", "61", "62", "101", "102"]),
    st.sampled_from(sorted(SPOILS)),
    st.integers(0, 40),
    ODD,
    st.sampled_from([*QUESTIONS, "asset", "quotes", "executions", "find", "orders"]),
)
@example("61", "field", 3, "x", "positions")
@example("11", "field", 19, "nan", "executions")
def test_no_message_however_it_is_spoilt_gets_past_the_adapter(
    kind: str, spoil: str, at: int, said: str, name: str
) -> None:
    sandbox = TwsSandbox(Desk(PaperAccount(prices(dict(TABLE)), Hand(NOON), 10_000)))
    book = sandbox.desk.account
    book.place(Wish("AAA", "buy", TICKET.cid, Decimal(10)))
    book.advance()
    book.rules.pattern = HALVES
    book.place(Wish("BBB", "buy", "two", Decimal(10)))
    arguments = {
        "asset": ("AAA",),
        "quotes": (["AAA"],),
        "executions": (DAY,),
        "orders": (DAY,),
        "find": (TICKET.cid,),
    }.get(name, ())
    with (
        serving(sandbox) as port,
        connect(port, timeout=5, client_id=3) as patient,
        connect(port, timeout=0.1, commission_wait=0.05) as broker,
    ):
        usual = getattr(patient, name)(*arguments)
        with suppress(BrokerError):
            broker.clock()
        sandbox.spoil = lambda one: SPOILS[spoil](one, at, said) if one[0] == kind else one
        try:
            answer = getattr(broker, name)(*arguments)
        except BrokerError as error:
            assert str(error)
        else:
            assert answer == usual or spoil in ("field", "more")  # what was lost is never passed over
        sandbox.spoil = None
        assert getattr(patient, name)(*arguments) == usual


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["3", "4", "5", "11", "59"]),
    st.sampled_from(["cut", "field", "none"]),
    st.integers(0, 40),
    ODD,
    st.sampled_from([TICKET, TICKET._replace(quantity=units.shares(10**6))]),
)
def test_a_verdict_out_of_spoilt_messages_is_true_or_unknown(
    kind: str, spoil: str, at: int, said: str, ticket: Ticket
) -> None:
    sandbox = TwsSandbox(Desk(PaperAccount(prices(dict(TABLE)), Hand(NOON), 10_000)))
    with serving(sandbox) as port, connect(port, timeout=0.1) as broker:
        with suppress(BrokerError):
            broker.positions()
        sandbox.spoil = lambda one: SPOILS[spoil](one, at, said) if one[0] == kind else one
        try:
            outcome = broker.submit(ticket).outcome
        except BrokerError:
            assert not sandbox.desk.account.orders
            return
    is_in = len(sandbox.desk.account.orders) == 1
    assert outcome == "unknown" or (outcome == "taken") == is_in


def told(base: str, number: int, shares: float = 1.0, price: float = 10.0, at: datetime = NOON) -> Fill:
    one = Told(
        execId=f"{base}.{number:02d}", time=at, acctNumber="DU1", side="BOT", shares=shares, price=price, permId=5
    )
    return Fill(Stock("AAA", "SMART", "USD"), one, CommissionReport(), at)


@given(st.lists(st.tuples(st.sampled_from(["a.1", "b.1", "b.2"]), st.integers(1, 20)), max_size=12))
def test_of_several_words_on_an_execution_the_last_stands(words: list[tuple[str, int]]) -> None:
    done = wire.executions("DU1", [told(base, number, number) for base, number in words], {})
    expected = {base: max(number for name, number in words if name == base) for base, _ in words}
    assert {one.id: one.quantity // units.SHARE for one in done} == expected


@given(st.integers(0, 48))
def test_the_session_of_an_execution_is_the_day_in_new_york(hours: int) -> None:
    at = datetime(2024, 1, 2, tzinfo=UTC) + timedelta(hours=hours)
    (done,) = wire.executions("DU1", [told("a.1", 1, at=at)], {"a.1.01": CommissionReport("a.1.01", 1.0, "USD")})
    expected = (at - timedelta(hours=5)).date()  # no summer time in January
    days = [date(2024, 1, 1) + timedelta(n) for n in range(4)]
    assert [day for day in days if wire.execution(done, day)] == [expected]


@pytest.mark.parametrize(
    ("report", "fee"),
    [
        (CommissionReport("", 0.0, ""), None),
        (CommissionReport("a.1.01", math.nan, "USD"), None),
        (CommissionReport("a.1.01", sys.float_info.max, "USD"), None),
        (CommissionReport("a.1.01", 0.0, "USD"), 0),
        (CommissionReport("a.1.01", 0.35000001, "USD"), 350_001),
    ],
)
def test_a_fee_is_what_was_told_or_nothing(report: CommissionReport, fee: int | None) -> None:
    (done,) = wire.executions("DU1", [told("a.1", 1)], {"a.1.01": report})
    assert done.fee == fee


@pytest.mark.parametrize("report", [CommissionReport("a.1.01", 1.0, "EUR"), CommissionReport("a.1.01", -0.1, "USD")])
def test_a_fee_that_the_ledger_cannot_hold_is_an_error(report: CommissionReport) -> None:
    with pytest.raises(BrokerError, match="book it by hand"):
        wire.executions("DU1", [told("a.1", 1)], {"a.1.01": report})


@given(st.one_of(st.floats(), st.decimals(), st.text("0123456789.-e", max_size=12), st.none(), st.integers()))
@example("1e-9999999999")
@example("0.30000000000000004")
def test_a_number_is_exact_or_an_error(value: Any) -> None:
    try:
        amount = wire.money(value, "price")
    except BrokerError:
        return
    assert Decimal(amount) / units.USD == Decimal(repr(value) if isinstance(value, float) else str(value))


@pytest.mark.parametrize(
    "word", [told("a.1", 1, -1.0), told("a.1", 1, 1.0, 0.0), told("a", 1, at=NOON.replace(year=1))]
)
def test_an_impossible_execution_is_an_error(word: Fill) -> None:
    with pytest.raises(BrokerError, match="impossible"):
        wire.executions("DU1", [word], {})


def test_an_execution_that_was_busted_is_none() -> None:
    (done,) = wire.executions(
        "DU1", [told("a.1", 1), told("a.1", 2, 0.0)], {"a.1.02": CommissionReport("x", 0.0, "USD")}
    )
    assert wire.execution(done, DAY) is None


def test_only_a_stock_in_dollars_is_called_by_its_symbol() -> None:
    names = [
        wire.symbol(Contract(secType=kind, symbol=symbol, localSymbol=local, currency=currency))
        for kind, symbol, local, currency in (
            ("STK", "BRK B", "BRK B", "USD"),
            ("STK", "SAP", "SAP", "EUR"),
            ("OPT", "AAPL", "AAPL  240119C00190000", "USD"),
        )
    ]
    assert names == ["BRK.B", "STK:SAP:EUR", "OPT:AAPL  240119C00190000:USD"]
    assert wire.foreign(names[0]) == "BRK B"


def test_two_contracts_of_one_name_are_not_added_up() -> None:
    def held(number: int) -> Position:
        return Position("DU1", Contract(secType="STK", conId=number, symbol="AAA", currency="USD"), 1.0, 10.0)

    assert wire.positions("DU1", [held(1), held(1)]) == {"AAA": units.SHARE}
    assert wire.positions("DU2", [held(1)]) == {}
    with pytest.raises(BrokerError, match="two positions that are both called AAA"):
        wire.positions("DU1", [held(1), held(2)])
