"""Alpaca's trading API over the account, and the newest prices of its data API: which request does what."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from pas_dagster import calendar
from pas_dagster.sandbox.broker import wire
from pas_dagster.sandbox.broker.admission import INVALID, MISSING, RefusedError, Wish
from pas_dagster.sandbox.broker.hours import last_tick
from pas_dagster.sandbox.broker.paper import PaperAccount, PaperOrder
from pas_dagster.sandbox.sites.site import Answer, Call, json_answer

MOST_ORDERS = 500
MOST_ACTIVITIES = 100
_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?", re.ASCII)
_SYMBOL = re.compile(r"[A-Za-z0-9./-]{1,20}")
_TYPE = re.compile(r"[A-Z]{2,8}")
_CATEGORIES: Mapping[str, Callable[[str], bool]] = {
    "trade_activity": lambda kind: kind == "FILL",
    "non_trade_activity": lambda kind: kind != "FILL",
}
_BAD_BODY = (400, 40010000, "request body format is invalid")


def answer(book: PaperAccount, call: Call) -> Answer:
    """What the API says to a request that is let in; carries out what it asks for."""
    with book.lock:
        book.advance()
        try:
            found = _route(call)
            if found is None:
                raise RefusedError(404, MISSING, "endpoint not found.")
            act, parts = found
            result = act(book, call, *parts)
            book.advance()
            return result
        except RefusedError as refusal:
            return json_answer(refusal.body, refusal.status)


def _route(call: Call) -> tuple[Callable[..., Answer], tuple[str, ...]] | None:
    for method, pattern, act in _ROUTES:
        if call.method == method and (match := pattern.fullmatch(call.path)):
            return act, match.groups()
    return None


def _account(book: PaperAccount, _: Call) -> Answer:
    return json_answer(wire.account(book))


def _positions(book: PaperAccount, _: Call) -> Answer:
    return json_answer([wire.position(book, symbol) for symbol in sorted(book.positions)])


def _position(book: PaperAccount, _: Call, symbol: str) -> Answer:
    if symbol not in book.positions:
        raise RefusedError(404, MISSING, "position does not exist")
    return json_answer(wire.position(book, symbol))


def _place(book: PaperAccount, call: Call) -> Answer:
    order = book.place(_wish(book, call))
    taken = json_answer(wire.order(order))  # as it was taken: what happens next is told by later requests
    book.advance()
    return taken


def _wish(book: PaperAccount, call: Call) -> Wish:
    try:
        body = json.loads(call.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError(*_BAD_BODY)
    cid = body.get("client_order_id") or book.new_id()
    words = (body.get("symbol"), body.get("side"), cid, body.get("type"), body.get("time_in_force"))
    if not all(isinstance(word, str) for word in words):
        raise RefusedError(*_BAD_BODY)
    symbol, side, cid, kind, force = words
    quantity, notional, limit = (_number(body.get(name)) for name in ("qty", "notional", "limit_price"))
    return Wish(symbol, side, cid, quantity, notional, kind, limit, force)


def _number(value: object) -> Decimal | None:
    if value is None:
        return None
    said = str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""
    if not _NUMBER.fullmatch(said):
        raise RefusedError(*_BAD_BODY)
    return Decimal(said)


def _shown(book: PaperAccount, call: Call, order: PaperOrder | None, what: str) -> Answer:
    if order is None or order.seen_from > book.now():
        raise RefusedError(404, MISSING, f"order not found for {what}")
    return json_answer(wire.order(order))


def _by_client_id(book: PaperAccount, call: Call) -> Answer:
    cid = call.query.get("client_order_id", "")
    return _shown(book, call, book.find(cid), cid)


def _order(book: PaperAccount, call: Call, order_id: str) -> Answer:
    return _shown(book, call, book.orders.get(order_id), order_id)


def _orders(book: PaperAccount, call: Call) -> Answer:
    asked = call.query
    status, limit = asked.get("status", "open"), _size(asked.get("limit"), 50, MOST_ORDERS)
    after, until = _instant(asked.get("after")), _instant(asked.get("until"))
    symbols = set(asked["symbols"].split(",")) if asked.get("symbols") else None
    found = [
        order
        for order in book.orders.values()
        if order.seen_from <= book.now()
        and (status == "all" or order.is_open == (status == "open"))
        and (after is None or order.submitted > after)
        and (until is None or order.submitted < until)
        and (symbols is None or order.wish.symbol in symbols)
    ]
    found.sort(key=lambda order: order.submitted, reverse=asked.get("direction", "desc") != "asc")
    return json_answer([wire.order(order) for order in found[:limit]])


def _cancel(book: PaperAccount, _: Call, order_id: str) -> Answer:
    book.cancel(order_id)
    return Answer(b"", 204, "application/json")


def _cancel_all(book: PaperAccount, _: Call) -> Answer:
    ids = [order.id for order in book.orders.values() if order.is_open]
    for order_id in ids:
        book.cancel(order_id)
    return json_answer([{"id": order_id, "status": 200} for order_id in ids], 207)


class _Line(NamedTuple):
    """An activity of any kind, by its id."""

    id: str
    kind: str
    at: datetime
    shown: Callable[[], dict[str, object]]


def _activities(book: PaperAccount, call: Call, kind: str | None = None) -> Answer:
    asked = call.query
    lines = [line for line in _lines(book) if _wanted(line, asked, _kinds(asked, kind))]
    ascending = asked.get("direction", "desc") == "asc"
    lines.sort(key=lambda line: line.id, reverse=not ascending)
    token = asked.get("page_token")
    if token:
        lines = [line for line in lines if (line.id > token if ascending else line.id < token)]
    page = lines[: _size(asked.get("page_size"), MOST_ACTIVITIES, MOST_ACTIVITIES)]
    return json_answer([line.shown() for line in page])


def _lines(book: PaperAccount) -> list[_Line]:
    now = book.now()
    fills = [_Line(one.id, "FILL", one.at, partial(wire.activity, one)) for one in book.fills if one.seen_from <= now]
    return fills + [_Line(one.id, one.type, one.at, partial(wire.non_trade, one)) for one in book.entries]


def _kinds(asked: Mapping[str, str], kind: str | None) -> Callable[[str], bool]:
    """Which types of activities are asked for, by the path or by one of two parameters."""
    category, named = asked.get("category"), asked.get("activity_types") or kind
    if category and named:
        raise RefusedError(422, INVALID, "only one of category and activity_types is accepted")
    if category:
        if category not in _CATEGORIES:
            raise RefusedError(422, INVALID, f"invalid category: {category}")
        return _CATEGORIES[category]
    wanted = named.split(",") if named else []
    wrong = [one for one in wanted if not _TYPE.fullmatch(one)]
    if wrong:
        raise RefusedError(422, INVALID, f"invalid activity type: {wrong[0]}")
    return lambda found: not wanted or found in wanted


def _wanted(line: _Line, asked: Mapping[str, str], kinds: Callable[[str], bool]) -> bool:
    after, until = _instant(asked.get("after")), _instant(asked.get("until"))
    on_day = not asked.get("date") or calendar.today(line.at).isoformat() == asked["date"]
    return kinds(line.kind) and on_day and (after is None or line.at > after) and (until is None or line.at < until)


def _quotes(book: PaperAccount, call: Call) -> Answer:
    at, halted = last_tick(book.now()), book.rules.halted
    found = {symbol: wire.quote(price, at, halted=symbol in halted) for symbol, price in _priced(book, call).items()}
    return json_answer({"quotes": found})


def _trades(book: PaperAccount, call: Call) -> Answer:
    at = last_tick(book.now())
    return json_answer({"trades": {symbol: wire.trade(price, at) for symbol, price in _priced(book, call).items()}})


def _priced(book: PaperAccount, call: Call) -> dict[str, Decimal]:
    """The prices of the symbols that are asked for and have one."""
    symbols = call.query.get("symbols", "").split(",")
    for symbol in symbols:
        if not _SYMBOL.fullmatch(symbol):
            raise RefusedError(400, None, f"invalid symbol: {symbol}")
    prices = {symbol: book.price(symbol) for symbol in symbols}
    return {symbol: price for symbol, price in prices.items() if price is not None}


def _clock(book: PaperAccount, _: Call) -> Answer:
    return json_answer(wire.clock(book.now()))


def _calendar(book: PaperAccount, call: Call) -> Answer:
    today = calendar.today(book.now())
    first, last = (_day(call.query.get(name)) for name in ("start", "end"))
    return json_answer(wire.days(first or calendar.FIRST, last or today + timedelta(365)))


def _assets(book: PaperAccount, _: Call) -> Answer:
    return json_answer([wire.asset(book, symbol) for symbol in book.symbols()])


def _asset(book: PaperAccount, _: Call, symbol: str) -> Answer:
    if book.price(symbol) is None:
        raise RefusedError(404, MISSING, f"asset not found for {symbol}")
    return json_answer(wire.asset(book, symbol))


def _size(said: str | None, usual: int, most: int) -> int:
    if said is None:
        return usual
    if not said.isdecimal() or not 1 <= int(said) <= most:
        raise RefusedError(422, 42210000, f"limit must be between 1 and {most}")
    return int(said)


def _instant(said: str | None) -> datetime | None:
    if not said:
        return None
    try:
        moment = datetime.fromisoformat(said.replace(" ", "+"))
    except ValueError:
        raise RefusedError(422, 42210000, f"{said} is no timestamp") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=calendar.NEW_YORK)


def _day(said: str | None) -> date | None:
    found = _instant(said)
    return None if found is None else found.date()


_ROUTES: list[tuple[str, re.Pattern[str], Callable[..., Any]]] = [
    (method, re.compile(path), act)
    for method, path, act in (
        ("GET", "/v2/account", _account),
        ("GET", "/v2/positions", _positions),
        ("GET", "/v2/positions/([^/]+)", _position),
        ("POST", "/v2/orders", _place),
        ("GET", "/v2/orders", _orders),
        ("DELETE", "/v2/orders", _cancel_all),
        ("GET", "/v2/orders:by_client_order_id", _by_client_id),
        ("GET", "/v2/orders/([^/]+)", _order),
        ("DELETE", "/v2/orders/([^/]+)", _cancel),
        ("GET", "/v2/account/activities(?:/([^/]+))?", _activities),
        ("GET", "/v2/clock", _clock),
        ("GET", "/v2/calendar", _calendar),
        ("GET", "/v2/assets", _assets),
        ("GET", "/v2/assets/([^/]+)", _asset),
        ("GET", "/v2/stocks/quotes/latest", _quotes),
        ("GET", "/v2/stocks/trades/latest", _trades),
    )
]
