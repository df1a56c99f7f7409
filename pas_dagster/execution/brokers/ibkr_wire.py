"""What ib_async hands over, read exactly: its objects in, our records out, and one kind of error for anything else.

The library turns numbers into floats; a float becomes the shortest decimal that is the same float, and that becomes an
integer (1e-9 shares, 1e-6 USD) or an error. 1.797...e308 is TWS's way to write that there is no number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from pas_dagster import calendar
from pas_dagster.execution.brokers.base import Asset, BrokerAccount, BrokerError, BrokerOrder, Quote
from pas_dagster.ledger import units
from pas_dagster.ledger.records import Execution

OVER: Mapping[str, str] = {"Filled": "filled", "Cancelled": "expired", "ApiCancelled": "expired"}
"""Statuses in which nothing more happens. `Inactive` is not among them: such an order can come back to life."""

ACCEPTED = frozenset({"PreSubmitted", "Submitted", "PendingCancel", *OVER})
"""Statuses that only an order that is in can have. `PendingSubmit` and `ApiPending` are the client's own hopes."""

_SIDES = {"BUY": "buy", "SELL": "sell", "SSHORT": "sell", "BOT": "buy", "SLD": "sell"}
_NO_NUMBER, _LEAST = 1e300, 1e-12
_LONGEST = 26  # digits: more than 64 bits need, fewer than decimals are rounded to
_CORRECTED = re.compile(r"(.+)\.(\d{1,9})", re.ASCII)
_FIRST, _LAST = calendar.midnight(calendar.FIRST), calendar.midnight(calendar.LAST - timedelta(30))
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.]{0,11}", re.ASCII)


class Placed(NamedTuple):
    """An order and what TWS calls it: its permanent number, or while it has none, its client and number."""

    name: tuple[int, int]
    order: BrokerOrder


class Done(NamedTuple):
    """An execution that stands, corrections applied, and what it cost; None while that has not been told."""

    at: datetime
    id: str
    cid: str
    perm: int
    symbol: str
    side: str
    quantity: int
    price: int
    fee: int | None


def symbol(contract: Any) -> str:
    """Our name of a contract: a US stock by its symbol, class after a dot; anything else by a name no stock has."""
    name = str(contract.symbol).replace(" ", ".")
    if contract.secType == "STK" and contract.currency == "USD" and _SYMBOL.fullmatch(name):
        return name
    return f"{contract.secType}:{contract.localSymbol or contract.symbol}:{contract.currency}"[:40]


def foreign(name: str) -> str:
    """IBKR's spelling of a symbol.

    >>> foreign("BRK.B")
    'BRK B'
    """
    return name.replace(".", " ")


def shares(value: Any, what: str) -> int:
    """A quantity to 1e-9 shares; `BrokerError`, naming what it is of, for anything that is not exactly one."""
    return _integer(value, what, units.shares)


def money(value: Any, what: str) -> int:
    """An amount or a price to 1e-6 USD, in the same way."""
    return _integer(value, what, units.money)


def _integer(value: Any, what: str, convert: Callable[[Decimal], int]) -> int:
    text = repr(value) if isinstance(value, float) else str(value)
    try:
        number = Decimal(text)
        if len(text) <= _LONGEST and number.is_finite() and (not number or _LEAST < abs(number) < _NO_NUMBER):
            return convert(number)
    except (InvalidOperation, ValueError):
        pass
    raise BrokerError(f"TWS gives {text[:40]!r} as the {what}, which is no exact number; look at it in TWS.")


def account(name: str, values: Iterable[Any]) -> BrokerAccount:
    """The account, in USD. Cash is `CashBalance`, to the cent."""
    own = [one for one in values if one.account == name]
    found = {one.tag: one.value for one in own if one.currency in ("USD", "")}
    if found.get("AccountReady", "true") != "true":
        raise BrokerError(f"TWS has not loaded account {name} yet; run again in a minute.")
    if missing := [tag for tag in ("CashBalance", "NetLiquidation", "BuyingPower") if tag not in found]:
        raise BrokerError(f"TWS says nothing of {', '.join(missing)} of account {name} in USD; look at it in TWS.")
    cash, equity, power = (money(found[tag], tag) for tag in ("CashBalance", "NetLiquidation", "BuyingPower"))
    return BrokerAccount(name, cash, equity, power)


def positions(name: str, listed: Iterable[Any]) -> dict[str, int]:
    """Signed quantities by symbol. The last word on a contract counts; two contracts of one name are an error."""
    held: dict[int, tuple[str, int]] = {}
    for one in listed:
        if one.account == name:
            called = symbol(one.contract)
            held[one.contract.conId] = (called, shares(one.position, f"position in {called}"))
    found: dict[str, int] = {}
    for called, quantity in held.values():
        if quantity and called in found:
            raise BrokerError(f"TWS shows two positions that are both called {called}; look at them in TWS.")
        if quantity:
            found[called] = quantity
    return found


def is_of(name: str, trade: Any) -> bool:
    """Whether an order is one of the account's."""
    return trade.order.account == name


def open_order(trade: Any, executed: int, session: date) -> Placed:
    """An order of the list of open ones; it trades in the session of now. `executed`: the sum of its executions."""
    one, status = trade.order, trade.orderStatus
    state = OVER.get(status.status, "working")
    reason = "" if status.status in ACCEPTED else f"{status.status} at the broker"
    size = shares(one.totalQuantity, "quantity of an order")
    filled = max(shares(status.filled, "filled quantity"), executed)
    return _placed(trade, session, size, filled, state, reason)


def completed_order(trade: Any, executed: int, session: date, size: int | None) -> Placed:
    """An order that is over. `executed`: the sum of its executions, for where TWS does not say it.

    `size`: what was ordered, where it is known. TWS gives 0; then the quantity is what was filled.
    """
    one, status = trade.order, trade.orderStatus.status
    said = one.filledQuantity
    whole = executed if _is_missing(said) else max(shares(said, "filled quantity"), executed)
    given = shares(one.totalQuantity, "quantity of an order")
    state = OVER.get(status) or ("expired" if whole else "rejected")
    reason = "" if state == "filled" else f"{status} at the broker"
    return _placed(trade, session, given or size or whole, whole, state, reason)


def _is_missing(value: Any) -> bool:
    return isinstance(value, float) and not abs(value) < _NO_NUMBER


def _placed(trade: Any, session: date, size: int, filled: int, state: str, reason: str) -> Placed:
    one = trade.order
    side = _SIDES.get(str(one.action).upper())
    if side is None:
        raise BrokerError(f"TWS shows an order that is neither a purchase nor a sale, but {str(one.action)[:20]!r}.")
    called = symbol(trade.contract)
    order = BrokerOrder(cid(one.orderRef, one.permId), session, called, side, size, filled, state, reason)
    return Placed((0, one.permId) if one.permId else (one.clientId, one.orderId), order)


def cid(reference: str, perm: int) -> str:
    """Our id of an order; one without a reference is not ours and is called by TWS's number."""
    return reference or f"ibkr-{perm}"


def executions(name: str, told: Sequence[Any], costs: Mapping[str, Any]) -> list[Done]:
    """What stands, in the order it happened. `costs`: the commission reports by execution id.

    An execution's id ends in a number that counts its corrections. The last one stands for all of them and is given
    the id without that number: a correction that comes before the execution is booked is what is booked; one that
    comes later is known by its id and not booked again, and shows as a difference when the account is reconciled.
    """
    last: dict[str, tuple[int, Any]] = {}
    for fill in told:
        if fill.execution.acctNumber != name:
            continue
        base, number = _split(fill.execution.execId)
        if base not in last or last[base][0] <= number:
            last[base] = (number, fill)
    return sorted(_done(base, fill, costs.get(fill.execution.execId)) for base, (_, fill) in last.items())


def _split(exec_id: str) -> tuple[str, int]:
    """An execution's id without the number of its correction, and that number.

    >>> _split("00025b46.63f8f39c.01.02")
    ('00025b46.63f8f39c.01', 2)
    """
    found = _CORRECTED.fullmatch(exec_id)
    if found is None:
        raise BrokerError(f"TWS tells an execution called {exec_id[:40]!r}, which is no id; look at it in TWS.")
    return found[1], int(found[2])


def _done(base: str, fill: Any, cost: Any) -> Done:
    one = fill.execution
    side = _SIDES.get(str(one.side).upper())
    quantity = shares(one.shares, f"quantity of execution {base}")
    price = money(one.price, f"price of execution {base}")
    if side is None or quantity < 0 or price <= 0 or not _FIRST <= one.time < _LAST:
        raise BrokerError(
            f"TWS tells execution {base} with an impossible side, quantity, price or time; look at it in TWS."
        )
    called, name = cid(one.orderRef, one.permId), symbol(fill.contract)
    return Done(one.time, base, called, one.permId, name, side, quantity, price, _fee(base, cost))


def _fee(base: str, cost: Any) -> int | None:
    """The commission, rounded to 1e-6 USD as a cost is: up."""
    if cost is None or not cost.execId or not math.isfinite(cost.commission) or abs(cost.commission) > _NO_NUMBER:
        return None
    if cost.currency != "USD":
        raise BrokerError(f"TWS charges execution {base} in {cost.currency[:10]!r} and not in USD; book it by hand.")
    if cost.commission < 0:
        raise BrokerError(f"TWS pays a rebate for execution {base}, and the ledger knows only costs; book it by hand.")
    scaled = Decimal(repr(cost.commission)) * units.USD
    return _integer(Decimal(math.ceil(scaled)) / units.USD, f"commission of execution {base}", units.money)


def execution(done: Done, session: date) -> Execution | None:
    """The record of an execution of a session; None for one of another session, or whose cost is not known yet."""
    if done.fee is None or not done.quantity or calendar.today(done.at) != session:
        return None
    worth = units.value if done.side == "sell" else units.cost
    notional = worth(done.quantity, done.price)
    return Execution(done.id, done.cid, session, done.quantity, done.price, notional, done.fee, done.at)


def contract(name: str, listed: Sequence[Any]) -> Any:
    """The details of the one stock in US dollars of a name; None when there is none."""
    found = {one.contract.conId: one for one in listed if symbol(one.contract) == name}
    if len(found) > 1 or min(found, default=1) < 1:
        raise BrokerError(f"TWS knows {len(found)} stocks called {name}; it cannot be traded without saying which.")
    return next(iter(found.values()), None)


def asset(name: str, listed: Sequence[Any]) -> Asset | None:
    """What may be done with the stock."""
    found = contract(name, listed)
    return None if found is None else Asset(name, "SMART" in str(found.validExchanges).split(","), False)


def present(now: datetime) -> datetime:
    """TWS's time, if the calendar knows it."""
    if not _FIRST <= now < _LAST:
        raise BrokerError(f"The clock of TWS says {now.isoformat()}; correct it.")
    return now


def quote(ticker: Any) -> Quote | None:
    """The last trade and its time; None without either."""
    at = ticker.lastTimestamp or ticker.delayedLastTimestamp
    price = units.price(ticker.last)
    return None if price is None or not isinstance(at, datetime) or at.tzinfo is None else Quote(price, at)
