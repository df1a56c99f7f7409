"""The sandbox's Trader Workstation: the unmodified client works against it, and its bad luck is what it says."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ib_async import IB, LimitOrder, MarketOrder, RequestError, Stock, Trade

from pas_dagster import calendar
from pas_dagster.sandbox.broker.hours import Hand
from pas_dagster.sandbox.broker.paper import NEVER, PaperAccount, Wish, prices
from pas_dagster.sandbox.tws.desk import ACCOUNT, Desk
from pas_dagster.sandbox.tws.frames import GREETING, LONGEST, FrameError, Frames, pack
from pas_dagster.sandbox.tws.server import PLACE, Kind, Trouble, TwsSandbox, serving

NOON = datetime(2024, 1, 2, 12, tzinfo=calendar.NEW_YORK)
TABLE = {"AAA": 50.25, "BBB": 10.0, "BRK.B": 300.0}
HALVES = ((0.0, 0.5), (1.0, 0.5))


@pytest.fixture
def hand() -> Hand:
    return Hand(NOON)


@pytest.fixture
def sandbox(hand: Hand) -> TwsSandbox:
    return TwsSandbox(Desk(PaperAccount(prices(dict(TABLE)), hand, 100_000)))


@pytest.fixture
def port(sandbox: TwsSandbox) -> Iterator[int]:
    with serving(sandbox) as found:
        yield found


@contextmanager
def connected(port: int, client: int = 7) -> Iterator[IB]:
    """The client as it is installed, with all it fetches when it starts."""
    ib = IB()
    ib.client.MaxRequests = 0
    ib.RequestTimeout = 5
    ib.connect("127.0.0.1", port, clientId=client, timeout=3, raiseSyncErrors=True)
    try:
        yield ib
    finally:
        ib.disconnect()


@pytest.fixture
def ib(port: int) -> Iterator[IB]:
    with connected(port) as found:
        yield found


def until(ib: IB, holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + 5
    while not holds() and time.monotonic() < end:
        ib.sleep(0.01)
    return holds()


def stock(symbol: str) -> Stock:
    return Stock(symbol, "SMART", "USD")


def buy(ib: IB, quantity: float, reference: str = "one", symbol: str = "AAA", **more: Any) -> Trade:
    return ib.placeOrder(stock(symbol), MarketOrder("BUY", quantity, orderRef=reference, tif="DAY", **more))


def errors(ib: IB) -> list[int]:
    """The codes that the client hears from now on."""
    heard: list[int] = []
    ib.errorEvent += lambda _, code, *__: heard.append(code)
    return heard


def test_all_that_the_client_fetches_when_it_starts_is_there_and_readable(
    sandbox: TwsSandbox, hand: Hand, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    book = sandbox.desk.account
    book.place(Wish("AAA", "buy", "filled", Decimal(4)))
    book.advance()
    book.rules.pattern = HALVES
    book.place(Wish("BRK.B", "buy", "half", Decimal(2)))
    with caplog.at_level(logging.ERROR, "ib_async"), connected(port) as ib:
        assert ib.managedAccounts() == [ACCOUNT]
        values = {one.tag: one.value for one in ib.accountValues(ACCOUNT)}
        assert values["CashBalance"] == "99498.98"  # 4 * 50.25 + 300, and half a cent a share
        assert {one.contract.symbol: one.position for one in ib.positions()} == {"AAA": 4, "BRK B": 1}
        assert [one.contract.symbol for one in ib.portfolio()] == ["AAA", "BRK B"]
        assert [one.order.orderRef for one in ib.trades() if one.orderStatus.status == "Filled"] == ["filled"]
        assert sorted(one.execution.orderRef for one in ib.fills()) == ["filled", "half"]
        assert ib.reqCurrentTime() == hand()
        assert {one.tag for one in ib.accountSummary()} >= {"NetLiquidation", "BuyingPower"}
    assert [one.message for one in caplog.records] == []  # nothing was unreadable


def test_an_order_fills_in_parts_with_ids_and_commissions(ib: IB, hand: Hand, sandbox: TwsSandbox) -> None:
    sandbox.desk.account.rules.pattern = HALVES
    trade = buy(ib, 10)
    assert until(ib, lambda: bool(trade.fills) and trade.fills[0].commissionReport.execId != "")
    assert (trade.orderStatus.status, trade.orderStatus.filled, trade.orderStatus.remaining) == ("Submitted", 5, 5)
    hand.advance(1)
    assert until(ib, lambda: trade.orderStatus.status == "Filled" and len(trade.fills) == 2)
    assert until(ib, lambda: trade.fills[1].commissionReport.execId != "")
    told = [(one.execution.shares, one.execution.price, one.commissionReport.commission) for one in trade.fills]
    assert told == [(5, 50.25, 0.025)] * 2
    ids = [one.execution.execId for one in trade.fills]
    assert len(set(ids)) == 2
    assert all(one.endswith(".01") for one in ids)
    assert [one.execution.time for one in trade.fills] == [NOON, NOON + timedelta(seconds=1)]
    assert [(one.execution.execId, one.execution.orderRef) for one in ib.reqExecutions()] == [
        (one, "one") for one in ids
    ]
    assert sandbox.desk.account.cash == Decimal("100000") - Decimal("502.5") - Decimal("0.05")


def test_a_refusal_is_an_error_and_the_client_calls_it_cancelled(ib: IB, sandbox: TwsSandbox) -> None:
    heard = errors(ib)
    many = buy(ib, 1_000_000)
    assert until(ib, lambda: many.orderStatus.status == "Cancelled")
    unknown = buy(ib, 1, symbol="ZZZ")
    assert until(ib, lambda: unknown.orderStatus.status == "Cancelled")
    part = buy(ib, 0.5)
    assert until(ib, lambda: part.orderStatus.status == "Cancelled")
    ib.client.placeOrder(many.order.orderId, stock("AAA"), MarketOrder("BUY", 1))
    assert until(ib, lambda: len(heard) == 4)
    assert heard == [201, 200, 10243, 103]
    assert not sandbox.desk.account.orders


def test_what_is_said_about_an_order_makes_the_client_call_it_cancelled_though_it_lives(
    ib: IB, sandbox: TwsSandbox
) -> None:
    sandbox.desk.account.rules.pattern = NEVER
    sandbox.desk.remarks = [(10349, "Order TIF was set to DAY based on order preset.")]
    seen: list[str] = []
    ib.orderStatusEvent += lambda trade: seen.append(trade.orderStatus.status)
    buy(ib, 1)
    assert until(ib, lambda: len(seen) > 1)
    assert seen[:2] == ["Cancelled", "Submitted"]
    assert len(ib.reqAllOpenOrders()) == 1


def test_the_same_reference_is_taken_any_number_of_times(ib: IB, sandbox: TwsSandbox) -> None:
    trades = [buy(ib, 1, "same") for _ in range(2)]
    assert until(ib, lambda: all(one.orderStatus.status == "Filled" for one in trades))
    assert [one.wish.cid for one in sandbox.desk.account.orders.values()] == ["same", "same"]


def test_a_working_order_can_be_cancelled_and_one_that_is_over_cannot(ib: IB, sandbox: TwsSandbox) -> None:
    sandbox.desk.account.rules.patterns = {"AAA": NEVER}
    trade = ib.placeOrder(stock("AAA"), LimitOrder("BUY", 3, 10.5, orderRef="rests", tif="GTC"))
    assert until(ib, lambda: trade.orderStatus.status == "Submitted")
    assert [one.order.lmtPrice for one in ib.reqOpenOrders()] == [10.5]
    heard = errors(ib)
    ib.cancelOrder(trade.order)
    assert until(ib, lambda: trade.orderStatus.status == "Cancelled")
    filled = buy(ib, 1, symbol="BBB")
    assert until(ib, lambda: filled.orderStatus.status == "Filled")
    ib.client.cancelOrder(filled.order.orderId)
    ib.client.cancelOrder(999)
    assert until(ib, lambda: len(heard) == 3)
    assert heard == [202, 10148, 10147]
    over = {one.order.orderRef: one for one in ib.reqCompletedOrders(False)}
    assert [(one.orderStatus.status, one.order.totalQuantity, one.order.filledQuantity) for one in over.values()] == [
        ("Cancelled", 0, 0),
        ("Filled", 0, 1),
    ]


def test_a_pending_cancellation_shows_as_one(ib: IB, hand: Hand, sandbox: TwsSandbox) -> None:
    sandbox.desk.account.rules.pattern = NEVER
    sandbox.desk.account.rules.cancel_lag = 5
    trade = buy(ib, 1)
    assert until(ib, lambda: trade.orderStatus.status == "Submitted")
    ib.cancelOrder(trade.order)
    assert [one.orderStatus.status for one in ib.reqAllOpenOrders()] == ["PendingCancel"]
    hand.advance(5)
    assert until(ib, lambda: trade.orderStatus.status == "Cancelled")


@pytest.mark.parametrize("after", [False, True])
def test_a_connection_drops_before_an_order_is_taken_or_after_it(port: int, sandbox: TwsSandbox, after: bool) -> None:
    sandbox.desk.account.rules.pattern = NEVER
    sandbox.troubles = [Trouble(Kind.DROPPED, PLACE, after)]
    with connected(port) as ib:
        trade = buy(ib, 1)
        with pytest.raises(ConnectionError, match="Socket disconnect"):
            ib.sleep(5)
        assert trade.orderStatus.status == "PendingSubmit"
    with connected(port) as again, connected(port, 8) as other:
        assert [one.order.orderRef for one in again.openTrades()] == ["one"] * after
        assert other.openTrades() == []
        assert [one.order.orderRef for one in other.reqAllOpenOrders()] == ["one"] * after


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", [Kind.SILENT, Kind.UNANSWERED])
def test_an_order_that_is_not_answered_may_be_in_or_not(ib: IB, sandbox: TwsSandbox, kind: Kind, after: bool) -> None:
    sandbox.troubles = [Trouble(kind, PLACE, after)]
    trade = buy(ib, 1)
    ib.sleep(0.1)
    assert trade.orderStatus.status == "PendingSubmit"
    assert len(sandbox.desk.account.orders) == after
    if kind is Kind.UNANSWERED:
        assert len(ib.reqExecutions()) == after
    else:
        ib.RequestTimeout = 0.2
        with pytest.raises(TimeoutError):
            ib.reqExecutions()


def test_two_clients_hear_of_their_own_orders_and_a_number_is_given_once(
    ib: IB, port: int, sandbox: TwsSandbox
) -> None:
    sandbox.desk.account.rules.pattern = HALVES
    with connected(port, 8) as other:
        trade = buy(ib, 2, "mine")
        assert until(ib, lambda: bool(trade.fills))
        assert other.trades() == []
        theirs = other.reqAllOpenOrders()
        assert [(one.order.clientId, one.order.orderRef, one.orderStatus.filled) for one in theirs] == [(7, "mine", 1)]
        late = IB()
        heard = errors(late)
        with pytest.raises(TimeoutError):
            late.connect("127.0.0.1", port, clientId=8, timeout=0.8)
        assert heard == [326]
    with connected(port, 8):
        pass


def test_what_does_not_show_yet_shows_later(ib: IB, hand: Hand, sandbox: TwsSandbox) -> None:
    rules = sandbox.desk.account.rules
    rules.pattern, rules.order_lag, rules.fill_lag, sandbox.desk.fee_lag = HALVES, 3, 5, 8
    buy(ib, 2)
    ib.sleep(0.05)
    assert (ib.reqAllOpenOrders(), ib.reqExecutions()) == ([], [])
    hand.advance(3)
    assert len(ib.reqAllOpenOrders() + ib.reqCompletedOrders(False)) == 1
    hand.advance(3)
    assert len(ib.reqExecutions()) == 2
    assert [one.commissionReport.execId for one in ib.fills()] == ["", ""]
    hand.advance(3)
    ib.reqExecutions()
    assert until(ib, lambda: all(one.commissionReport.execId for one in ib.fills()))


def test_a_correction_comes_under_the_next_number_and_moves_the_account(ib: IB, sandbox: TwsSandbox) -> None:
    desk = sandbox.desk
    trade = buy(ib, 2)
    assert until(ib, lambda: trade.orderStatus.status == "Filled")
    with desk.account.lock:
        desk.correct(desk.account.fills[0], Decimal(3), Decimal("50.5"))
    told = [(one.execution.execId[-3:], one.execution.shares, one.execution.price) for one in ib.reqExecutions()]
    assert told == [(".01", 2, 50.25), (".02", 3, 50.5)]
    assert desk.account.positions == {"AAA": 3}
    assert desk.account.cash == 100_000 - 3 * Decimal("50.5") - 3 * Decimal("0.005")


def test_executions_of_other_days_are_forgotten(ib: IB, hand: Hand, sandbox: TwsSandbox) -> None:
    trade = buy(ib, 1)
    assert until(ib, lambda: trade.orderStatus.status == "Filled")
    hand.to(NOON + timedelta(1))
    assert ib.reqExecutions() == []


def test_a_day_order_ends_with_its_session(ib: IB, hand: Hand, sandbox: TwsSandbox) -> None:
    sandbox.desk.account.rules.pattern = NEVER
    trade = buy(ib, 1)
    assert until(ib, lambda: trade.orderStatus.status == "Submitted")
    hand.to(datetime(2024, 1, 2, 16, tzinfo=calendar.NEW_YORK))
    assert until(ib, lambda: trade.orderStatus.status == "Cancelled")


def test_contracts_and_quotes(ib: IB) -> None:
    (share,) = ib.qualifyContracts(stock("BRK B"))
    assert isinstance(share, Stock)
    assert share.conId > 0
    (ticker,) = ib.reqTickers(share)
    assert (ticker.last, ticker.lastTimestamp) == (300.0, NOON)
    assert ib.qualifyContracts(stock("ZZZ"), Stock("AAA", "SMART", "EUR")) == [None, None]


def test_what_is_not_served_is_refused_and_does_nothing(ib: IB, sandbox: TwsSandbox) -> None:
    ib.RaiseRequestErrors = True
    with pytest.raises(RequestError, match="does not serve"):
        ib.whatIfOrder(stock("AAA"), MarketOrder("BUY", 1))
    with pytest.raises(RequestError, match="does not serve"):
        ib.reqHeadTimeStamp(stock("AAA"), "TRADES", True)
    heard = errors(ib)
    ib.placeOrder(stock("AAA"), MarketOrder("BUY", 1, account="DU999"))
    ib.client.send("nonsense")
    ib.client.send(3, "x")
    assert until(ib, lambda: len(heard) == 3)
    assert heard == [321, 320, 320]
    assert not sandbox.desk.account.orders


def test_all_clients_hear_an_announcement(ib: IB, sandbox: TwsSandbox) -> None:
    heard = errors(ib)
    sandbox.announcements.append((1100, "Connectivity between IB and TWS has been lost."))
    assert until(ib, lambda: heard == [1100])


@pytest.mark.parametrize("begin", [b"GET / HTTP/1.1\r\n\r\n", GREETING + pack(["v9..100"]), GREETING + b"\xff" * 8])
def test_a_stranger_is_hung_up_on(port: int, begin: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), 5) as raw:
        raw.sendall(begin)
        raw.settimeout(5)
        told = b""
        while more := raw.recv(4096):
            told += more
    assert told == b"" or b"out of date" in told


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=200), st.lists(st.lists(st.text(max_size=6), max_size=30), max_size=4))
def test_nonsense_harms_nobody_else(garbage: bytes, requests: list[list[str]]) -> None:
    sandbox = TwsSandbox(Desk(PaperAccount(prices(dict(TABLE)), Hand(NOON))))
    with serving(sandbox) as port, socket.create_connection(("127.0.0.1", port), 5) as raw:
        raw.sendall(GREETING + pack(["v157..178"]) + pack(["71", "2", "3", ""]))
        raw.sendall(b"".join(map(pack, requests)) + garbage)
        with connected(port, 4) as ib:
            assert ib.reqPositions() == []
    assert not sandbox.desk.account.orders


FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@given(st.lists(st.lists(FIELD, min_size=1, max_size=5), max_size=5), st.data())
def test_messages_come_out_as_they_went_in_however_they_are_cut(messages: list[list[str]], data: st.DataObject) -> None:
    sent = GREETING + b"".join(map(pack, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=4)))
    frames, heard = Frames(), []
    for first, last in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        heard += list(frames.feed(sent[first:last]))
    assert heard == messages


def test_a_frame_beyond_all_bounds_is_refused_before_it_is_read() -> None:
    with pytest.raises(FrameError, match="longer than any message"):
        list(Frames().feed(GREETING + (LONGEST + 1).to_bytes(4, "big")))
