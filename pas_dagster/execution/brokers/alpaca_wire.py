"""What Alpaca writes, read exactly: documents in, records out, and one kind of error for anything else.

Numbers are text on the wire and become integers (1e-9 shares, 1e-6 USD) without passing through a float. A number
that does not fit, a field that is missing or of another kind, a list that is none: `BrokerError`, naming it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import NamedTuple, TypeVar

from pas_dagster import calendar
from pas_dagster.execution.brokers.base import Asset, BrokerAccount, BrokerError, BrokerOrder, Hours, Quote
from pas_dagster.ledger import units

T = TypeVar("T")
STATES: Mapping[str, str] = {"filled": "filled", "canceled": "expired", "expired": "expired", "rejected": "rejected"}
"""Statuses in which nothing more happens; `replaced` is one as well. Any other, known or new, is a working order."""

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_LONGEST = 26  # digits: more than 64 bits need, fewer than decimals are rounded to
_EXACT_FLOAT = 15  # digits that a binary double keeps
_WIDEST = 10  # a tenth of the price between bid and ask: more is nobody's price
_FIRST, _LAST = calendar.midnight(calendar.FIRST), calendar.midnight(calendar.LAST - timedelta(30))
_SIDES = {"buy": "buy", "sell": "sell", "sell_short": "sell"}
_BLOCKS = ("trading_blocked", "account_blocked", "trade_suspended_by_user")


class Placed(NamedTuple):
    """An order under the broker's own id."""

    id: str
    order: BrokerOrder


class Done(NamedTuple):
    """A fill, of an order that is named by the broker's id."""

    at: datetime
    id: str
    order_id: str
    side: str
    quantity: int
    price: int


class Now(NamedTuple):
    """The broker's time, and the close of the session in which an order sent now trades."""

    at: datetime
    close: datetime

    @property
    def session(self) -> date:
        return calendar.today(self.close)


def account(said: object) -> BrokerAccount:
    """The account. Cash is exact; equity and buying power are valuations and rounded down."""
    found = document(said, "account")
    blocked = next((name for name in _BLOCKS if found.get(name) not in (False, None)), "")
    status = text(found, "status", "account")
    if not blocked and status != "ACTIVE":
        blocked = f"status {status[:40]}"
    return BrokerAccount(
        text(found, "id", "account"),
        integer(found, "cash", "account", units.money),
        integer(found, "equity", "account", _floored),
        integer(found, "buying_power", "account", _floored),
        blocked,
    )


def positions(said: object) -> dict[str, int]:
    """Signed quantities by symbol."""
    found: dict[str, int] = {}
    for one in objects(said, "positions"):
        symbol = text(one, "symbol", "position")
        quantity = integer(one, "qty", f"position in {symbol}", units.shares)
        side = text(one, "side", f"position in {symbol}")
        if symbol in found or side not in ("long", "short"):
            raise BrokerError(f"Alpaca's positions name {symbol} twice, or on the side {side!r}.")
        if quantity:
            found[symbol] = -abs(quantity) if side == "short" else quantity
    return found


def order(said: object) -> Placed:
    """One order. An order in dollars has the quantity that was filled so far."""
    found = document(said, "order")
    cid = text(found, "client_order_id", "order")
    what = f"order {cid}"
    filled = integer(found, "filled_qty", what, units.shares)
    in_dollars = found.get("qty") is None and found.get("notional") is not None
    quantity = filled if in_dollars else integer(found, "qty", what, units.shares)
    status = text(found, "status", what)
    state = "expired" if status == "replaced" else STATES.get(status, "working")
    side = _SIDES.get(text(found, "side", what))
    if side is None or not 0 <= filled <= quantity or (state == "filled" and filled != quantity):
        raise BrokerError(f"Alpaca's {what} contradicts itself (side, qty, filled_qty, status {status!r}).")
    reason = "" if status in ("filled", "new", "accepted", "partially_filled") else f"{status} at the broker"
    symbol = text(found, "symbol", what)
    session = _session(found, what)
    return Placed(text(found, "id", what), BrokerOrder(cid, session, symbol, side, quantity, filled, state, reason))


def orders(said: object) -> list[tuple[Placed | None, str]]:
    """Orders, each with when it was submitted, as written. One of several legs has no symbol or side: None."""
    found: list[tuple[Placed | None, str]] = []
    for one in objects(said, "orders"):
        placed = None if one.get("order_class") == "mleg" else order(one)
        what = f"order {placed.order.cid}" if placed else "order of several legs"
        moment(one, "submitted_at", what)
        found.append((placed, text(one, "submitted_at", what)))
    return found


def fills(said: object) -> list[Done]:
    """Executions of a page of activities."""
    found = []
    for one in objects(said, "activities"):
        name = text(one, "id", "fill")
        what = f"fill {name}"
        quantity = integer(one, "qty", what, units.shares)
        price = integer(one, "price", what, units.money)
        side = _SIDES.get(text(one, "side", what))
        if one.get("activity_type") != "FILL" or side is None or quantity <= 0 or price <= 0:
            raise BrokerError(f"Alpaca's {what} has no positive qty and price, or is no FILL that buys or sells.")
        at = moment(one, "transaction_time", what)
        found.append(Done(at, name, text(one, "order_id", what), side, quantity, price))
    return found


def clock(said: object) -> Now:
    found = document(said, "clock")
    now, close = moment(found, "timestamp", "clock"), moment(found, "next_close", "clock")
    if not now < close <= now + timedelta(14):
        raise BrokerError(f"Alpaca's clock says that the next close of {now} is at {close}.")
    return Now(now, close)


def hours(said: object) -> list[Hours]:
    """Trading days; the wire's times are New York's."""
    found = []
    for one in objects(said, "calendar"):
        day = _day(one)
        opens, closes = (
            datetime.combine(day, _of_day(one, name, day), calendar.NEW_YORK) for name in ("open", "close")
        )
        if not opens < closes or (found and found[-1].session >= day):
            raise BrokerError(f"Alpaca's calendar is not in order at {day}.")
        found.append(Hours(day, opens, closes))
    return found


def asset(said: object, symbol: str) -> Asset:
    found = document(said, "asset")
    flags = [found.get(name) for name in ("tradable", "fractionable")]
    if found.get("symbol") != symbol or not all(isinstance(flag, bool) for flag in flags):
        raise BrokerError(f"Alpaca's asset {symbol} has another symbol, or does not say whether it is tradable.")
    return Asset(symbol, flags[0] is True and found.get("status") == "active", flags[1] is True)


def assets(said: object) -> dict[str, Asset]:
    """Of a list of assets those that can be read; the others can be asked for one by one."""
    if not isinstance(said, list):
        raise BrokerError("Alpaca's assets are no list.")
    found = {}
    for one in said:
        with suppress(BrokerError):
            symbol = text(document(one, "asset"), "symbol", "asset")
            found[symbol] = asset(one, symbol)
    return found


def quotes(said: object, wanted: Sequence[str]) -> dict[str, Quote]:
    """The middle of bid and ask of the symbols that have both, not further apart than a tenth of it."""
    found = {}
    latest = document(document(said, "quotes").get("quotes"), "quotes")
    for symbol in wanted:
        if latest.get(symbol) is None:
            continue
        what = f"quote of {symbol}"
        one = document(latest[symbol], what)
        bid, ask = (integer(one, name, what, units.money) for name in ("bp", "ap"))
        if bid < 0 or ask < 0:
            raise BrokerError(f"Alpaca's {short(what)} has a negative price.")
        at = moment(one, "t", what)
        middle = (bid + ask) // 2
        if bid > 0 and 0 <= (ask - bid) * _WIDEST <= middle:
            found[symbol] = Quote(middle, at)
    return found


def document(said: object, what: str) -> Mapping[str, object]:
    if not isinstance(said, dict):
        raise BrokerError(f"Alpaca's answer is no {what} but {_kind(said)}.")
    return said


def objects(said: object, what: str) -> list[Mapping[str, object]]:
    """A list of documents. `BrokerError` for anything else, naming `what` was asked for; so in all readers here."""
    if not isinstance(said, list) or not all(isinstance(one, dict) for one in said):
        raise BrokerError(f"Alpaca's answer is no list of {what} but {_kind(said)}.")
    return said


def _kind(said: object) -> str:
    return "nothing" if said is None else f"a {type(said).__name__}"


def text(found: Mapping[str, object], name: str, what: str) -> str:
    """A field's text: printable and not empty."""
    value = found.get(name)
    if not isinstance(value, str) or not value or len(value) > 200 or not value.isprintable():
        raise BrokerError(f"Alpaca's {short(what)} has no text as its {name}.")
    return value


def short(what: str) -> str:
    """What an error quotes of a name that the broker made."""
    return what[:120]


def integer(found: Mapping[str, object], name: str, what: str, exact: Callable[[Decimal], int]) -> int:
    """A field's number as an integer, by `exact`, which raises for one that does not fit."""
    value = found.get(name)
    digits = _digits(value)
    if digits is None:
        raise BrokerError(f"Alpaca's {short(what)} has no number as its {name}.")
    try:
        return exact(Decimal(digits))
    except (ValueError, ArithmeticError):
        raise BrokerError(
            f"Alpaca's {short(what)} has {name} {digits}, which does not fit our exact numbers."
        ) from None


def _digits(value: object) -> str | None:
    """The decimal text of a number on the wire; None for what is none, or has more digits than can be exact."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        said = str(value) if abs(value) < 10**_LONGEST else ""
    elif isinstance(value, float):
        said = format(Decimal(repr(value)), "f") if abs(value) < 10**_EXACT_FLOAT else ""
        if len(said.strip("-0.").replace(".", "")) > _EXACT_FLOAT:
            return None
    else:
        said = value if isinstance(value, str) and len(value) <= 2 * _LONGEST else ""
    if not _NUMBER.fullmatch(said):
        return None
    whole, point, part = said.partition(".")
    plain = whole + point + part.rstrip("0") if point else whole
    return plain.rstrip(".") if len(plain) <= _LONGEST else None


def _floored(value: Decimal) -> int:
    return units.money(value.quantize(Decimal("1e-6"), ROUND_FLOOR))


def moment(found: Mapping[str, object], name: str, what: str) -> datetime:
    """A field's instant, aware, within the years of the calendar."""
    try:
        instant = datetime.fromisoformat(text(found, name, what))
        if instant.tzinfo is not None and _FIRST < instant < _LAST:
            return instant
    except (ValueError, OverflowError):
        pass
    raise BrokerError(f"Alpaca's {short(what)} has no instant as its {name}.")


def _session(found: Mapping[str, object], what: str) -> date:
    """The session an order is for: that of its expiry, else of the first close after it was sent."""
    if found.get("time_in_force") == "day" and found.get("expires_at"):
        return calendar.today(moment(found, "expires_at", what))
    sent = moment(found, "submitted_at", what)
    session = calendar.roll_forward(calendar.today(sent))
    over = calendar.closing(session) <= sent
    return calendar.roll_forward(session + timedelta(1)) if over else session


def _day(found: Mapping[str, object]) -> date:
    try:
        return date.fromisoformat(text(found, "date", "calendar"))
    except ValueError:
        raise BrokerError("Alpaca's calendar has no day as its date.") from None


def _of_day(found: Mapping[str, object], name: str, day: date) -> time:
    try:
        said = time.fromisoformat(text(found, name, "calendar"))
        if said.tzinfo is None:
            return said
    except ValueError:
        pass
    raise BrokerError(f"Alpaca's calendar of {day} has no time as its {name}.")
