"""What TWS writes, field by field, at server version 176: prices and quantities as text, times with their zone.

The order of fields is that of the public protocol (https://ibkrcampus.com/campus/ibkr-api-page/twsapi-doc/); fields
that say nothing about a plain order in a US stock are empty or 0. Symbols have a space before their class (`BRK B`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from zlib import crc32

from pas_dagster import calendar
from pas_dagster.sandbox.broker.paper import Wish, text

VERSION = 176
ZONE = "US/Eastern"
NOTHING = -1
"""The request id of what was not asked for."""

Message = list[str]
"""The fields of one message, its kind first."""


class Standing(NamedTuple):
    """An order as TWS knows it. `number` is the client's own id of it; 0 for one that was entered by hand."""

    client: int
    number: int
    perm: int
    account: str
    wish: Wish
    status: str
    filled: Decimal
    average: Decimal
    last: Decimal
    over: datetime | None
    why: str

    @property
    def left(self) -> Decimal:
        return (self.wish.quantity or Decimal(0)) - self.filled


class Done(NamedTuple):
    """An execution of an order. `total` and `average`: of the order after it."""

    id: str
    at: datetime
    quantity: Decimal
    price: Decimal
    total: Decimal
    average: Decimal
    fee: Decimal


def foreign(symbol: str) -> str:
    """Our symbol in IBKR's spelling."""
    return symbol.replace(".", " ")


def ours(symbol: str) -> str:
    """IBKR's symbol in our spelling."""
    return symbol.replace(" ", ".")


def contract_id(symbol: str) -> int:
    """A number for a stock, the same every time."""
    return crc32(symbol.encode()) % 900_000_000 + 1


def stamp(moment: datetime) -> str:
    """A time as TWS writes it.

    >>> stamp(datetime(2024, 1, 2, 12, tzinfo=calendar.NEW_YORK))
    '20240102 12:00:00 US/Eastern'
    """
    return f"{moment.astimezone(calendar.NEW_YORK):%Y%m%d %H:%M:%S} {ZONE}"


def _blank(count: int) -> list[str]:
    return [""] * count


def _contract(symbol: str, venue: str = "SMART") -> list[str]:
    spelled = foreign(symbol)
    return [str(contract_id(symbol)), spelled, "STK", "", "0", "", "", venue, "USD", spelled, spelled]


def error(request: int, code: int, said: str) -> Message:
    return ["4", "2", str(request), str(code), said, ""]


def next_id(number: int) -> Message:
    return ["9", "1", str(number)]


def accounts(names: Sequence[str]) -> Message:
    return ["15", "1", ",".join(names)]


def current_time(now: datetime) -> Message:
    return ["49", "1", str(int(now.timestamp()))]


def position(account: str, symbol: str, quantity: Decimal, cost: Decimal) -> Message:
    return ["61", "3", account, *_contract(symbol, ""), text(quantity), text(cost)]


def portfolio(account: str, symbol: str, quantity: Decimal, price: Decimal, cost: Decimal) -> Message:
    worth = quantity * price
    gain = worth - quantity * cost
    figures = [text(one.quantize(Decimal("0.01"))) for one in (worth, gain)]
    return [
        *["7", "8", *_contract(symbol, "NASDAQ"), text(quantity), text(price)],
        *[figures[0], text(cost), figures[1], "0", account],
    ]


def account_value(account: str, tag: str, value: str, currency: str) -> Message:
    return ["6", "2", tag, value, currency, account]


def account_value_multi(request: int, account: str, tag: str, value: str, currency: str) -> Message:
    return ["73", "1", str(request), account, "", tag, value, currency]


def summary(request: int, account: str, tag: str, value: str, currency: str) -> Message:
    return ["63", "1", str(request), account, tag, value, currency]


def order_status(one: Standing) -> Message:
    return [
        *["3", str(one.number), one.status, text(one.filled), text(one.left), text(one.average)],
        *[str(one.perm), "0", text(one.last), str(one.client), "", "0"],
    ]


def _asked(one: Standing, size: str) -> list[str]:
    """An order's contract and terms, up to its account."""
    wish = one.wish
    kind = {"market": "MKT", "limit": "LMT"}[wish.kind]
    limit = "0.0" if wish.limit is None else text(wish.limit)
    terms = [wish.side.upper(), size, kind, limit, "0.0", wish.force.upper(), "", one.account]
    return [*_contract(wish.symbol), *terms]


_SCALED = ["2147483647", "2147483647", ""]  # scale: first, next, increment


def open_order(one: Standing) -> Message:
    size = text(one.wish.quantity or Decimal(0))
    return [
        *["5", str(one.number), *_asked(one, size), "", "0", one.wish.cid, str(one.client), str(one.perm)],
        *["0", "0", "0", *_blank(6)],  # outside regular hours, hidden, discretion; dates and advisers' fields
        *[*_blank(5), "0", "", "-1"],  # short sales
        *["0", *_blank(5), "0", "0", "0", "0", "", "3", "0", "0", "", "0", "0"],  # auction, blocks, groups of orders
        *["", "0", "None", "", "0", "", "", "", "?", "0", "0", ""],  # volatility, delta neutral
        *["0", "0", *_blank(5), "0", "0", "0", *_SCALED],  # combinations: none
        *["", "0", "", "IB", "0", "0", "", "0", "0"],  # hedge, clearing, algorithm, what-if
        *[one.status, *_blank(9), *_blank(5)],  # margins and commissions of a what-if
        *["0", "0", "0"],  # randomised size and price; conditions
        *["None", *_blank(6), "0", *_blank(3), "", "0", "0", "0", "0"],  # adjustments
        *["", "", "0", *_blank(5)],
    ]


def completed_order(one: Standing) -> Message:
    """An order that is over. The real TWS gives 0 as what was ordered."""
    over = "" if one.over is None else stamp(one.over)
    return [
        *["101", *_asked(one, "0"), "", "0", one.wish.cid, str(one.perm)],
        *["0", "0", "0", *_blank(5)],
        *[*_blank(5), "0", "", "-1"],
        *[*_blank(5), "0", "0", "0", "", "3", "0"],
        *["", "0", "None", "", "0", "0", "0", ""],
        *["0", "0", *_blank(3), "0", "0", "0", *_SCALED],
        *["", "", "IB", "0", "0", "", "0"],
        *[one.status, "0", "0", "0"],
        *["", "", "", "0", "0", "", text(one.filled), "0", "0", "", "0", "0", "0", over, one.why],
        *_blank(5),
    ]


def execution(request: int, one: Standing, done: Done) -> Message:
    side = "BOT" if one.wish.side == "buy" else "SLD"
    return [
        *["11", str(request), str(one.number), *_contract(one.wish.symbol, "NASDAQ"), done.id, stamp(done.at)],
        *[one.account, "NASDAQ", side, text(done.quantity), text(done.price), str(one.perm), str(one.client), "0"],
        *[text(done.total), text(done.average), one.wish.cid, "", "", "", "2"],
    ]


def commission(done: Done) -> Message:
    return ["59", "1", done.id, text(done.fee), "USD", "1.7976931348623157E308", "", ""]


def details(request: int, symbol: str) -> Message:
    spelled = foreign(symbol)
    return [
        *["10", str(request), spelled, "STK", "", "0", "", "SMART", "USD", spelled, "NMS", spelled],
        *[str(contract_id(symbol)), "0.01", "", "DAY,GTC,LMT,MKT", "SMART,NASDAQ,NYSE", "1", "0"],
        *[f"{symbol} COMMON STOCK", "NASDAQ", "", "", "", "", ZONE, "", "", "", "0", "0"],
        *["1", "", "", "26", "", "COMMON", "1", "1", "100"],
    ]


def price_tick(request: int, kind: int, price: Decimal, size: int) -> Message:
    return ["1", "6", str(request), str(kind), text(price), str(size), "0"]


def text_tick(request: int, kind: int, said: str) -> Message:
    return ["46", "6", str(request), str(kind), said]


def end(kind: int, *more: object) -> Message:
    """The message after the last of a list."""
    return [str(kind), "1", *map(str, more)]
