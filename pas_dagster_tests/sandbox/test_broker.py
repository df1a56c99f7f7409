"""The sandbox broker: the unmodified SDK works against it, and its bad luck is what it says."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import requests
from alpaca.common.exceptions import APIError
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockLatestQuoteRequest, StockLatestTradeRequest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.models import NonTradeActivity
from alpaca.trading.requests import GetCalendarRequest, GetOrdersRequest, LimitOrderRequest, MarketOrderRequest
from alpaca.trading.stream import TradingStream

from pas_dagster import calendar
from pas_dagster.errors import PasError
from pas_dagster.sandbox.broker import hours
from pas_dagster.sandbox.broker.admission import Wish, text
from pas_dagster.sandbox.broker.hours import Hand
from pas_dagster.sandbox.broker.paper import NEVER, PaperAccount, Rules, prices
from pas_dagster.sandbox.broker.server import KEY, SECRET, BrokerSandbox, Budget, serving
from pas_dagster.sandbox.broker.service import troubles
from pas_dagster.sandbox.broker.stream import Temper, streaming
from pas_dagster.sandbox.broker.trouble import Kind, Trouble

NOON = datetime(2024, 1, 2, 12, tzinfo=calendar.NEW_YORK)
TABLE = {"AAA": 50.25, "BBB": 10.0, "BRK.B": 300.0}


@pytest.fixture
def hand() -> Hand:
    return Hand(NOON)


@pytest.fixture
def sandbox(hand: Hand) -> BrokerSandbox:
    return BrokerSandbox(PaperAccount(prices(dict(TABLE)), hand, 10_000))


@pytest.fixture
def url(sandbox: BrokerSandbox) -> Iterator[str]:
    with serving(sandbox) as address:
        yield address


@pytest.fixture
def client(url: str) -> TradingClient:
    return TradingClient(KEY, SECRET, url_override=url)


def market(symbol: str, qty: float, side: str = "buy", cid: str | None = None, **more: Any) -> MarketOrderRequest:
    return MarketOrderRequest(
        symbol=symbol, qty=qty, side=OrderSide(side), time_in_force=TimeInForce.DAY, client_order_id=cid, **more
    )


def refused(client: TradingClient, request: Any) -> tuple[int | None, int, str]:
    with pytest.raises(APIError) as caught:
        client.submit_order(request)
    return caught.value.status_code, caught.value.code, caught.value.message


def test_the_unmodified_sdk_reads_everything_in_its_own_models(client: TradingClient) -> None:
    account: Any = client.get_account()
    assert (account.cash, account.status.value, account.trading_blocked) == ("10000", "ACTIVE", False)
    order: Any = client.submit_order(market("AAA", 2.5, cid="one"))
    assert (order.status, order.qty, order.client_order_id) == (OrderStatus.NEW, "2.5", "one")
    later: Any = client.get_order_by_client_id("one")
    assert (later.status, later.filled_qty, later.filled_avg_price) == (OrderStatus.FILLED, "2.5", "50.25")
    assert client.get_order_by_id(order.id).id == order.id
    position: Any = client.get_open_position("AAA")
    assert (position.qty, position.avg_entry_price, position.side.value) == ("2.5", "50.25", "long")
    assert [one.symbol for one in client.get_all_positions()] == ["AAA"]
    assert client.get_account().cash == "9874.375"
    asset: Any = client.get_asset("BRK.B")
    assert asset.tradable
    assert asset.fractionable
    assert [one.symbol for one in client.get_all_assets()] == ["AAA"]


def test_the_clock_and_the_calendar_know_early_closes(client: TradingClient, hand: Hand) -> None:
    now: Any = client.get_clock()
    assert now.is_open
    assert now.next_close == datetime(2024, 1, 2, 16, tzinfo=calendar.NEW_YORK)
    assert now.next_open == datetime(2024, 1, 3, 9, 30, tzinfo=calendar.NEW_YORK)
    days: Any = client.get_calendar(GetCalendarRequest(start=date(2024, 7, 3), end=date(2024, 7, 5)))
    assert [(day.date, day.close.hour) for day in days] == [(date(2024, 7, 3), 13), (date(2024, 7, 5), 16)]
    hand.to(datetime(2024, 7, 3, 13, tzinfo=calendar.NEW_YORK))
    assert not client.get_clock().is_open
    assert client.get_clock().next_close == datetime(2024, 7, 5, 16, tzinfo=calendar.NEW_YORK)


def test_an_id_is_taken_once_also_after_its_order_was_cancelled(client: TradingClient, sandbox: BrokerSandbox) -> None:
    sandbox.account.rules.pattern = NEVER
    order: Any = client.submit_order(market("AAA", 1, cid="one"))
    client.cancel_order_by_id(order.id)
    status, code, message = refused(client, market("AAA", 1, cid="one"))
    assert (status, code, message) == (422, 40010001, "client_order_id must be unique")
    sandbox.account.rules.unique_ids = False
    client.submit_order(market("AAA", 1, cid="one"))
    assert len(sandbox.account.orders) == 2


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        (market("ZZZ", 1), 422, 'asset "ZZZ" not found'),
        (market("AAA", 1000), 403, "insufficient buying power"),
        (market("AAA", 1, "sell"), 403, "account is not allowed to short"),
        (market("BBB", 0.05), 403, "cost basis must be >= minimal amount of order 1"),
        (market("AAA", 0.5), 403, "requested asset is not fractionable"),
        (market("BBB", 1), 422, "asset BBB is not tradable"),
        (market("BRK.B", 1, cid="x" * 129), 422, "client_order_id must be no more than 128 characters"),
    ],
)
def test_a_wrong_order_is_refused_as_the_real_broker_does(
    client: TradingClient, sandbox: BrokerSandbox, request_: Any, status: int, message: str
) -> None:
    sandbox.account.rules.whole_only = {"AAA"}
    if "tradable" in message:
        sandbox.account.rules.untradable = {"BBB"}
    assert refused(client, request_)[::2] == (status, message)
    assert not sandbox.account.orders


def test_the_other_side_of_an_open_order_is_a_wash_trade(client: TradingClient, sandbox: BrokerSandbox) -> None:
    sandbox.account.hold("AAA", Decimal(5), Decimal(50))
    sandbox.account.rules.pattern = NEVER
    client.submit_order(market("AAA", 1, "sell"))
    status, code, message = refused(client, market("AAA", 1))
    assert (status, code) == (403, 40310000)
    assert "wash trade" in message
    assert "insufficient qty available" in refused(client, market("AAA", 4.5, "sell"))[2]


def test_an_order_fills_in_the_parts_and_at_the_times_that_are_set(
    client: TradingClient, sandbox: BrokerSandbox, hand: Hand
) -> None:
    sandbox.account.rules.patterns["AAA"] = ((0, 0.3), (60, 0.2), (120, 0.5))
    order: Any = client.submit_order(market("AAA", 10))
    seen = []
    for _ in range(4):
        seen.append((str(client.get_order_by_id(order.id).status.value), client.get_order_by_id(order.id).filled_qty))
        hand.advance(60)
    assert seen == [("partially_filled", "3"), ("partially_filled", "5"), ("filled", "10"), ("filled", "10")]
    fills: Any = client.get("/account/activities/FILL", {"direction": "asc"})
    assert [(one["qty"], one["cum_qty"], one["leaves_qty"], one["type"]) for one in fills] == [
        ("3", "3", "7", "partial_fill"),
        ("2", "5", "5", "partial_fill"),
        ("5", "10", "0", "fill"),
    ]
    assert sandbox.account.cash == Decimal("9497.5")


def test_what_is_open_at_the_close_expires_and_what_is_sent_after_it_trades_next(
    client: TradingClient, sandbox: BrokerSandbox, hand: Hand
) -> None:
    sandbox.account.rules.pattern = ((0, 0.5),)
    order: Any = client.submit_order(market("AAA", 4))
    hand.to(datetime(2024, 1, 2, 16, 30, tzinfo=calendar.NEW_YORK))
    ended: Any = client.get_order_by_id(order.id)
    assert (ended.status, ended.filled_qty) == (OrderStatus.EXPIRED, "2")
    sandbox.account.rules.pattern = ((0, 1.0),)
    queued: Any = client.submit_order(market("BBB", 4))
    assert client.get_order_by_id(queued.id).status == OrderStatus.NEW
    hand.to(datetime(2024, 1, 3, 9, 30, tzinfo=calendar.NEW_YORK))
    assert client.get_order_by_id(queued.id).status == OrderStatus.FILLED


def test_a_cancellation_can_come_too_late(client: TradingClient, sandbox: BrokerSandbox, hand: Hand) -> None:
    sandbox.account.rules = Rules(pattern=((5, 1.0),), cancel_lag=10)
    order: Any = client.submit_order(market("AAA", 4))
    client.cancel_order_by_id(order.id)
    assert client.get_order_by_id(order.id).status == OrderStatus.PENDING_CANCEL
    hand.advance(20)
    assert client.get_order_by_id(order.id).status == OrderStatus.FILLED
    with pytest.raises(APIError, match='already in \\\\"filled\\\\" state'):
        client.cancel_order_by_id(order.id)


def test_limits_notionals_and_cancelling_all(client: TradingClient, sandbox: BrokerSandbox) -> None:
    limit = LimitOrderRequest(
        symbol="AAA", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=40, client_order_id="low"
    )
    client.submit_order(limit)
    client.submit_order(
        MarketOrderRequest(symbol="BBB", notional=33.33, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
    )
    assert sandbox.account.positions == {"BBB": Decimal("3.333")}
    answers: Any = client.cancel_orders()
    assert [one.status for one in answers] == [200]
    assert client.get_order_by_client_id("low").status == OrderStatus.CANCELED


def test_lists_are_paged_as_the_real_ones_are(client: TradingClient, sandbox: BrokerSandbox, hand: Hand) -> None:
    for number in range(7):
        client.submit_order(market("BBB", 1, cid=f"n{number}"))
        hand.advance(1)
    request = GetOrdersRequest(status=QueryOrderStatus.ALL, limit=3)
    assert [one.client_order_id for one in client.get_orders(request)] == ["n6", "n5", "n4"]
    found: list[str] = []
    after = None
    while page := client.get("/orders", {"status": "all", "limit": 3, "direction": "asc", "after": after}):
        found += [one["client_order_id"] for one in page]
        after = page[-1]["submitted_at"]
    assert found == [f"n{number}" for number in range(7)]
    ids: list[str] = []
    token = ""
    while page := client.get("/account/activities/FILL", {"page_size": 3, "direction": "asc", "page_token": token}):
        ids += [one["id"] for one in page]
        token = page[-1]["id"]
    assert len(ids) == len(set(ids)) == 7
    assert ids == sorted(ids)


def test_orders_and_fills_can_show_late(client: TradingClient, sandbox: BrokerSandbox, hand: Hand) -> None:
    sandbox.account.rules = Rules(order_lag=2, fill_lag=4)
    client.submit_order(market("AAA", 1, cid="one"))
    with pytest.raises(APIError, match="order not found"):
        client.get_order_by_client_id("one")
    hand.advance(2)
    assert client.get_order_by_client_id("one").status == OrderStatus.FILLED
    assert client.get("/account/activities/FILL") == []
    hand.advance(2)
    assert len(client.get("/account/activities/FILL")) == 1


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.DRIPPING])  # which takes its time
def test_trouble_strikes_before_or_after_the_effect(url: str, sandbox: BrokerSandbox, kind: Kind, after: bool) -> None:
    sandbox.slowness = 0.05
    sandbox.troubles = [Trouble(kind, "POST", "/v2/orders", after=after)]
    body = {"symbol": "AAA", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
    headers = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
    heard = None
    try:
        heard = requests.post(f"{url}/v2/orders", json=body, headers=headers, timeout=0.3, allow_redirects=False)
    except requests.RequestException:
        assert kind in (Kind.RESET, Kind.STALLED, Kind.TRUNCATED)
    took_effect = after or kind is Kind.SLOW
    assert len(sandbox.account.orders) == took_effect
    if heard is not None:
        expected = {"wrong-json": 200, "not-json": 200, "empty": 200, "redirect": 302, "slow": 200}
        assert heard.status_code == expected.get(kind.value, int(kind.value) if kind.value.isdecimal() else 200)
    clean = requests.get(f"{url}/v2/account", headers=headers, timeout=5)
    assert clean.status_code == 200


def test_a_wrong_key_is_refused_and_changes_nothing(url: str, sandbox: BrokerSandbox) -> None:
    wrong = TradingClient(KEY, "other", url_override=url)
    assert refused(wrong, market("AAA", 1))[:2] == (401, 40110000)
    assert not sandbox.account.orders


def test_more_than_the_budget_is_refused_with_a_time(url: str, sandbox: BrokerSandbox) -> None:
    sandbox.budget = Budget(2, 60)
    headers = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
    answers = [requests.get(f"{url}/v2/clock", headers=headers, timeout=5) for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert [one.headers.get("X-RateLimit-Remaining") for one in answers] == ["1", "0", "0"]
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 61


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"symbol": 1}', b'{"symbol": "AAA", "qty": [1]}', b"\xff"])
def test_a_malformed_body_is_a_400(url: str, body: bytes) -> None:
    headers = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
    answer = requests.post(f"{url}/v2/orders", data=body, headers=headers, timeout=5)
    assert (answer.status_code, answer.json()["code"]) == (400, 40010000)


def test_the_world_outside_can_change_the_account(sandbox: BrokerSandbox) -> None:
    book = sandbox.account
    book.place(Wish("AAA", "buy", "one", Decimal(3)))
    book.advance()
    book.split("AAA", Decimal(4))
    book.rename("AAA", "AAB")
    assert book.positions == {"AAB": Decimal(12)}
    before = book.id
    book.reset(500)
    assert (book.positions, book.cash, book.fills) == ({}, 500, [])
    assert book.id != before
    UUID(book.id)


def test_numbers_are_plain_text() -> None:
    assert [text(Decimal(one)) for one in ("100", "1E+3", "0.000000001", "-2.50", "0")] == [
        "100",
        "1000",
        "0.000000001",
        "-2.5",
        "0",
    ]


def test_the_session_of_an_instant_is_the_first_that_has_not_closed() -> None:
    close = datetime(2024, 7, 3, 17, tzinfo=UTC)
    assert hours.following(close).day == date(2024, 7, 5)
    assert hours.following(datetime(2024, 7, 3, 16, 59, tzinfo=UTC)).day == date(2024, 7, 3)


@contextmanager
def listening(address: str, secret: str = SECRET) -> Iterator[list[str]]:
    """What the SDK's own stream hears, while the block runs."""
    heard: list[str] = []
    stream = TradingStream(KEY, secret, url_override=address)
    stream._reconnect_min_backoff = stream._reconnect_max_backoff = 0.05

    async def handler(update: Any) -> None:
        heard.append(f"{update.order.client_order_id} {getattr(update.event, 'value', update.event)}")

    stream.subscribe_trade_updates(handler)
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        stream.stop()


def until(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + 5
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


def buy(sandbox: BrokerSandbox, cid: str) -> None:
    with sandbox.account.lock:
        sandbox.account.place(Wish("BBB", "buy", cid, Decimal(1)))
        sandbox.account.advance()


def test_the_sdks_stream_hears_what_happens_while_it_listens(sandbox: BrokerSandbox) -> None:
    buy(sandbox, "before")
    with streaming(sandbox) as address, listening(address) as heard:
        assert until(lambda: heard != [] or _bought_until_heard(sandbox))
        assert until(lambda: heard[-1:] != [] and heard[-1].endswith(" fill"))
    assert not any(one.startswith("before") for one in heard)


def _bought_until_heard(sandbox: BrokerSandbox) -> bool:
    buy(sandbox, f"n{len(sandbox.account.orders)}")
    return False


def test_a_stream_that_broke_or_repeats_itself_tells_less_or_more_than_happened(sandbox: BrokerSandbox) -> None:
    with streaming(sandbox, Temper(breaks_after=1, repeats=True)) as address, listening(address) as heard:
        assert until(lambda: heard != [] or _bought_until_heard(sandbox))
        first = len(sandbox.account.orders)
        assert until(lambda: len(heard) > 2 or _bought_until_heard(sandbox))
    told = len(set(heard))
    assert len(sandbox.account.orders) > first
    assert told < 2 * len(sandbox.account.orders)  # each order was new and was filled
    assert len(heard) > told


def test_a_stream_opens_for_the_key_only(sandbox: BrokerSandbox) -> None:
    from websockets.sync.client import connect

    with streaming(sandbox) as address, connect(address) as socket:
        socket.send('{"action": "authenticate", "data": {"key_id": "SANDBOXKEY", "secret_key": "other"}}')
        assert "unauthorized" in str(socket.recv(timeout=5))


def test_the_unmodified_data_client_reads_the_newest_prices(url: str, sandbox: BrokerSandbox, hand: Hand) -> None:
    client = StockHistoricalDataClient(KEY, SECRET, url_override=url)
    quotes: Any = client.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=["AAA", "BRK.B", "ZZZ"]))
    assert {name: (one.bid_price, one.ask_price) for name, one in quotes.items()} == {
        "AAA": (50.24, 50.26),
        "BRK.B": (299.99, 300.01),
    }
    assert quotes["AAA"].timestamp == NOON
    trades: Any = client.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="BBB"))
    assert (trades["BBB"].price, trades["BBB"].timestamp) == (10.0, NOON)
    hand.to(datetime(2024, 7, 3, 20, tzinfo=calendar.NEW_YORK))
    closed: Any = client.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="BBB"))
    assert closed["BBB"].timestamp == datetime(2024, 7, 3, 13, tzinfo=calendar.NEW_YORK)
    with pytest.raises(APIError, match="invalid symbol: A B"):
        client.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=["AAA", "A B"]))


def test_orders_in_a_halted_symbol_rest_and_trade_at_the_price_after_the_halt(
    client: TradingClient, sandbox: BrokerSandbox, hand: Hand
) -> None:
    table = dict(TABLE)
    sandbox.account = PaperAccount(prices(table), hand, 10_000, Rules(halted={"AAA"}))
    order: Any = client.submit_order(market("AAA", 2))
    hand.advance(600)
    assert client.get_order_by_id(order.id).status == OrderStatus.NEW
    sandbox.account.rules.halted.clear()
    table["AAA"] = 60.0
    done: Any = client.get_order_by_id(order.id)
    assert (done.status, done.filled_avg_price) == (OrderStatus.FILLED, "60")
    assert done.filled_at == NOON + timedelta(seconds=600)
    sandbox.account.rules.halted = {"BBB"}
    late: Any = client.submit_order(market("BBB", 2))
    hand.to(datetime(2024, 1, 2, 17, tzinfo=calendar.NEW_YORK))
    sandbox.account.rules.halted.clear()
    assert client.get_order_by_id(late.id).status == OrderStatus.EXPIRED


def test_a_limit_that_is_met_after_the_close_does_not_fill(sandbox: BrokerSandbox, hand: Hand) -> None:
    table = dict(TABLE)
    sandbox.account = PaperAccount(prices(table), hand, 10_000)
    sandbox.account.place(Wish("AAA", "buy", "low", Decimal(1), kind="limit", limit=Decimal(40)))
    hand.to(datetime(2024, 1, 2, 17, tzinfo=calendar.NEW_YORK))
    table["AAA"] = 30.0
    sandbox.account.advance()
    order = sandbox.account.find("low")
    assert order is not None
    assert (order.status, sandbox.account.fills) == ("expired", [])


def luck(rules: Rules, seed: int) -> list[tuple[str, int]]:
    """What becomes of two hundred orders: their statuses and in how many parts they filled."""
    hand = Hand(NOON)
    book = PaperAccount(prices(dict(TABLE)), hand, 1_000_000, rules, seed=seed)
    orders = [book.place(Wish("BBB", "buy", f"n{number}", Decimal(3))) for number in range(200)]
    hand.advance(60)
    book.advance()
    parts = Counter(fill.order for fill in book.fills)
    assert sum(fill.quantity for fill in book.fills) == book.positions.get("BBB", 0)
    return [(order.status, parts[order.id]) for order in orders]


def test_partial_fills_and_rejections_come_by_the_seed() -> None:
    got = luck(Rules(partial=0.3, rejected=0.2), 5)
    assert got == luck(Rules(partial=0.3, rejected=0.2), 5)
    assert got != luck(Rules(partial=0.3, rejected=0.2), 6)
    rejected = [one for one in got if one[0] == "rejected"]
    assert {status for status, _ in got} == {"filled", "rejected"}
    assert {parts for _, parts in rejected} == {0}
    assert 20 <= len(rejected) <= 60
    several = [parts for status, parts in got if status == "filled" and parts > 1]
    assert 30 <= len(several) <= 80
    assert set(several) <= {2, 3, 4}
    assert set(luck(Rules(), 5)) == {("filled", 1)}


def test_a_rejection_shows_in_the_order_and_on_the_stream(client: TradingClient, sandbox: BrokerSandbox) -> None:
    sandbox.account.rules.rejected = 1.0
    order: Any = client.submit_order(market("AAA", 1))
    assert order.status == OrderStatus.NEW
    after: Any = client.get_order_by_id(order.id)
    assert (after.status, after.failed_at, after.filled_qty) == (OrderStatus.REJECTED, NOON, "0")
    assert [name for name, _, _ in sandbox.account.events] == ["new", "rejected"]


def test_all_orders_are_cancelled_at_once(client: TradingClient, url: str, sandbox: BrokerSandbox) -> None:
    sandbox.account.rules.pattern = NEVER
    ids = {str(client.submit_order(market(symbol, 1)).id) for symbol in ("AAA", "BBB")}
    headers = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
    answer = requests.delete(f"{url}/v2/orders", headers=headers, timeout=5)
    assert answer.status_code == 207
    assert {one["id"]: one["status"] for one in answer.json()} == dict.fromkeys(ids, 200)
    assert not sandbox.account.open_orders()


def activities(client: TradingClient, **asked: Any) -> list[dict[str, Any]]:
    found: Any = client.get("/account/activities", {"direction": "asc", **asked})
    return found


def test_what_happens_without_an_order_is_listed_as_the_real_broker_does(
    client: TradingClient, sandbox: BrokerSandbox, hand: Hand
) -> None:
    book = sandbox.account
    book.hold("AAA", Decimal("10.5"), Decimal(50))
    book.dividend("AAA", Decimal("0.3333"))
    book.dividend("BBB", Decimal(1))  # which is not held
    hand.advance(60)
    book.split("AAA", Decimal("0.1"))
    assert (book.cash, book.positions, book.spent) == (Decimal("10003.5"), {"AAA": Decimal("1.05")}, {"AAA": 525})
    lines = activities(client, category="non_trade_activity")
    paid = next(one for one in lines if one["activity_type"] == "DIV")
    assert {name: paid[name] for name in ("date", "net_amount", "qty", "per_share_amount", "symbol", "status")} == {
        "date": "2024-01-02",
        "net_amount": "3.5",
        "qty": "10.5",
        "per_share_amount": "0.3333",
        "symbol": "AAA",
        "status": "executed",
    }
    assert "group_id" not in paid
    parts = [one for one in lines if one["activity_type"] == "SPLIT"]
    assert sorted(one["qty"] for one in parts) == ["-10.5", "1.05"]
    assert len({one["group_id"] for one in parts}) == 1
    NonTradeActivity(**{**paid, "account_id": book.id})  # the SDK's own model takes it


def test_activities_are_found_by_type_category_and_when_they_were_made(
    client: TradingClient, sandbox: BrokerSandbox, hand: Hand
) -> None:
    book = sandbox.account
    client.submit_order(market("BBB", 1))
    book.fee(Decimal("0.02"))
    hand.advance(3600)
    book.transfer(Decimal(100))

    def kinds(**asked: Any) -> list[str]:
        return sorted(one["activity_type"] for one in activities(client, **asked))

    assert kinds() == ["CSD", "FEE", "FILL"]
    assert kinds(category="trade_activity") == ["FILL"]
    assert kinds(category="non_trade_activity") == ["CSD", "FEE"]
    assert kinds(activity_types="FEE,FILL") == ["FEE", "FILL"]
    assert kinds(after=(NOON + timedelta(minutes=1)).isoformat()) == ["CSD"]
    assert kinds(until=(NOON + timedelta(minutes=1)).isoformat()) == ["FEE", "FILL"]
    assert kinds(date="2024-01-03") == []
    fees: Any = client.get("/account/activities/FEE")
    assert [one["net_amount"] for one in fees] == ["-0.02"]
    for wrong in ({"category": "x"}, {"activity_types": "f"}, {"category": "trade_activity", "activity_types": "FEE"}):
        with pytest.raises(APIError):
            activities(client, **wrong)


def test_numbers_of_activities_are_exact() -> None:
    book = PaperAccount(prices(dict(TABLE)), Hand(NOON), "0.1")
    book.enter("INT", cash=Decimal("0.2"))
    book.enter("JNLS", symbol="AAA", shares=Decimal("0.000000001"))
    book.enter("CSD", cash=Decimal(5), status="canceled")
    assert (book.cash, book.positions) == (Decimal("0.3"), {"AAA": Decimal("1e-9")})
    book.delist("AAA", Decimal(10))
    assert (book.cash, book.positions) == (Decimal("0.3"), {})


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        ("POST /v2/orders=504+after*2", Trouble(Kind.GATEWAY_TIMEOUT, "POST", "/v2/orders", after=True, times=2)),
        ("/v2/*=reset", Trouble(Kind.RESET, "*", "/v2/*", times=None)),
    ],
)
def test_faults_are_spelt_with_method_path_and_number(said: str, trouble: Trouble) -> None:
    assert troubles([said]) == ([trouble], Temper())


def test_faults_of_the_stream_are_spelt_too() -> None:
    assert troubles(["stream=repeats", "stream=breaks*3"]) == ([], Temper(3, repeats=True))


@pytest.mark.parametrize(
    "said",
    ["", "504", "/v2=teapot", "/v2=504+before", "=504", "/v2=504*x", "stream=breaks", "stream=breaks*0", "stream=x"],
)
def test_a_fault_that_is_none_is_one_sentence(said: str) -> None:
    with pytest.raises(PasError, match="--broker-fault"):
        troubles([said])


def test_a_port_in_use_is_one_sentence_for_the_stream_as_well(sandbox: BrokerSandbox) -> None:
    with streaming(sandbox) as address:
        port = int(address.rpartition(":")[2].partition("/")[0])
        with pytest.raises(PasError, match=f"Port {port}"), streaming(sandbox, port=port):
            pass
