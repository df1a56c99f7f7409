"""From targets to one net order per symbol: integers in, integers out, nothing else read or written.

Capital. A resized sleeve is given its share of the account's value; any other keeps its own positions and cash. The
difference moves as a cash transfer between the sleeve and the treasury. A sleeve that is resized without new weights is
scaled: every holding, and with them its cash, in proportion to its capital, so that it goes on as its strategy's book
does. Only one that holds nothing buys the weights it was given.

Costs. A sleeve invests its capital less the estimated cost of its own trades, so a fully invested sleeve pays its
costs out of its own pocket. There is no further cushion: orders fill at a close that differs from the reference, so
no constant would be right, and one large enough for a bad day would keep a part of the account idle on every other.
Instead buys are cut to the cash that is really there when they fill (`netting.afford`); the same cut is made here
at reference prices.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import NamedTuple

from pas_dagster.errors import PasError
from pas_dagster.execution import netting
from pas_dagster.execution.market import Prices
from pas_dagster.execution.targets import Limits, Rules, Wanted
from pas_dagster.ledger import journal, units
from pas_dagster.ledger.journal import CASH, UNASSIGNED, Balances, Transaction
from pas_dagster.ledger.records import Intent, Order, batch_key

LONGEST_ID = 48
NO_LIMITS = Limits()


class Plan(NamedTuple):
    """Transfers and crosses are booked when the plan is kept; orders go to the broker, sells first."""

    transfers: list[Transaction]
    intents: list[Intent]
    crosses: list[Transaction]
    orders: list[Order]


def make(
    account: str,
    generation: int,
    session: date,
    wanted: Sequence[Wanted],
    balances: Balances,
    prices: Prices,
    rules: Rules,
    limits: Limits = NO_LIMITS,
) -> Plan:
    """Plan a session. Balances are read, not changed.

    Raises `PasError` when something held has no reference price: the account's value would be a made-up number.
    """
    if not wanted:
        return Plan([], [], [], [])
    with _undisturbed():
        return _make(account, generation, session, wanted, balances, prices, rules, limits)


@contextmanager
def _undisturbed() -> Generator[None]:
    """Without the cyclic collector: there are no cycles here, and it would look at every row of a large plan again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _make(
    account: str,
    generation: int,
    session: date,
    wanted: Sequence[Wanted],
    balances: Balances,
    prices: Prices,
    rules: Rules,
    limits: Limits,
) -> Plan:
    values = {name: _value(name, balances, prices) for name in balances if _counts(name)}
    whole = sum(values.values())
    transfers: list[Transaction] = []
    intents: dict[str, list[tuple[str, int]]] = {}
    unpriced: list[Intent] = []
    for one in wanted:
        capital = values.get(one.sleeve, 0)
        if one.share is not None:
            asked = whole * one.share // units.UNIT
            if asked != capital:
                transfers.append(journal.transfer(str(session), session, one.sleeve, asked - capital))
            capital = asked
        held = balances.get(one.sleeve, {})
        parts, entire = _parts(one, held, values.get(one.sleeve, 0), prices)
        concerned = {symbol: prices[symbol] for symbol in parts.keys() | held.keys() if symbol != CASH}
        doubtful = [symbol for symbol, found in concerned.items() if found is None or symbol in limits.frozen]
        unpriced += [
            Intent(one.sleeve, symbol, 0, 0, 0, why)
            for symbol in sorted(doubtful)
            if (why := _obstacle(symbol, concerned[symbol], symbol in parts, limits))
        ]
        known = {
            symbol: found
            for symbol, found in concerned.items()
            if found is not None and (not limits.frozen or symbol not in limits.frozen)
        }
        for symbol, quantity in _differences(parts, entire, held, capital, known, rules, limits).items():
            intents.setdefault(symbol, []).append((one.sleeve, quantity))
    return _net(account, generation, session, transfers, intents, unpriced, balances, prices, rules, limits)


def _obstacle(symbol: str, price: int | None, wanted: bool, limits: Limits) -> str:
    """Why a sleeve cannot trade a symbol; empty when it can."""
    if symbol in limits.frozen:
        return limits.frozen[symbol]
    return "no reference price" if price is None and wanted else ""


def _parts(one: Wanted, held: dict[str, int], worth: int, prices: Prices) -> tuple[dict[str, int], int]:
    """What the sleeve should hold as parts of an entire: its weights of one, or its holdings' values of its worth."""
    if not one.scale or worth <= 0 or not held.keys() - {CASH}:
        return one.weights, units.UNIT
    priced = {symbol: prices[symbol] for symbol in held if symbol != CASH}  # all are: the sleeve has a value
    return {symbol: units.value(held[symbol], at) for symbol, at in priced.items() if at is not None}, worth


def _counts(name: str) -> bool:
    return journal.is_sleeve(name) or name == journal.TREASURY


def _value(name: str, balances: Balances, prices: Prices) -> int:
    total = 0
    for asset, amount in balances[name].items():
        if asset == CASH:
            total += amount
            continue
        if name == UNASSIGNED and amount > 0:  # not ours to allot: the sleeves share what is left of the account
            continue
        found = prices[asset]
        if found is None:
            raise PasError(
                f"{asset} is held by {name} but has no reference price, so the account has no value. "
                f"Import its prices, or the action that ended it."
            )
        total += units.value(amount, found)
    return total


def _differences(
    parts: dict[str, int],
    entire: int,
    held: dict[str, int],
    capital: int,
    prices: dict[str, int],
    rules: Rules,
    limits: Limits,
) -> dict[str, int]:
    """Signed quantities from what is held to what is wanted, without those too small to send."""
    found = _at(parts, entire, held, capital, prices)
    traded = sum([abs(quantity) * prices[symbol] // units.SHARE for symbol, quantity in found.items()])
    invested = sum(parts.values())
    free = capital - units.fee(traded, rules.rate)
    if invested and capital * invested // entire > free:
        found = _at(parts, entire, held, max(free, 0) * entire // invested, prices)
    if not rules.fractional or limits.whole:
        for symbol in found if not rules.fractional else found.keys() & limits.whole:
            found[symbol] = _whole(found[symbol], held.get(symbol, 0), wanted=parts.get(symbol, 0) > 0)
    least = max(rules.min_order, rules.band_money)
    rested = {symbol for symbol in found if symbol in parts} if rules.band or rules.band_relative else ()
    return {
        symbol: quantity
        for symbol, quantity in found.items()
        if (worth := abs(quantity) * prices[symbol] // units.SHARE) >= least
        and not (symbol in rested and _within_band(worth, capital, parts[symbol], entire, rules))
        or (worth >= rules.min_order and quantity < 0 and not parts.get(symbol))
    }


def _whole(quantity: int, held: int, *, wanted: bool) -> int:
    """A difference in whole shares, rounded towards zero; what is wanted no more is sold to the last part."""
    if not wanted and quantity == -held:
        return quantity
    whole = abs(quantity) // units.SHARE * units.SHARE
    return whole if quantity > 0 else -whole


def _within_band(worth: int, capital: int, part: int, entire: int, rules: Rules) -> bool:
    """Whether a drift is no wider than the narrower of the bands."""
    widths = []
    if rules.band:
        widths.append(capital * rules.band // units.UNIT)
    if rules.band_relative:
        widths.append(capital * part // entire * rules.band_relative // units.UNIT)
    return worth <= min(widths)


def _at(
    parts: dict[str, int], entire: int, held: dict[str, int], capital: int, prices: dict[str, int]
) -> dict[str, int]:
    capital = max(capital, 0)
    return {
        symbol: capital * parts.get(symbol, 0) // entire * units.SHARE // found - held.get(symbol, 0)
        for symbol, found in prices.items()
    }


def _net(
    account: str,
    generation: int,
    session: date,
    transfers: list[Transaction],
    wants: dict[str, list[tuple[str, int]]],
    unpriced: list[Intent],
    balances: Balances,
    prices: Prices,
    rules: Rules,
    limits: Limits,
) -> Plan:
    intents, crosses, orders = unpriced, [], []
    prefix = order_prefix(account, generation, batch_key(session))
    for symbol in sorted(wants):
        at = prices[symbol]
        assert at is not None  # unpriced symbols ask for nothing
        ours = wants[symbol]
        crossed = netting.cross([quantity for _, quantity in ours])
        intents += [
            Intent(sleeve, symbol, quantity, at, met, "") for (sleeve, quantity), met in zip(ours, crossed, strict=True)
        ]
        if any(crossed):
            crosses += _crosses(session, symbol, at, ours, crossed)
        order = _order(prefix, symbol, at, ours, crossed)
        if order is not None and units.value(order.quantity, at) >= rules.min_order:
            orders.append(order)
    sells = [order for order in orders if order.side == "sell"]
    buys = [order for order in orders if order.side == "buy"]
    return Plan(transfers, intents, crosses, sells + _within_cash(buys, sells, balances, rules, limits))


def order_prefix(account: str, generation: int, key: str) -> str:
    """What the ids of a batch's orders have in common."""
    return hashlib.sha256(f"{account}|{generation}|{key}".encode()).hexdigest()[:16]


def order_id(prefix: str, symbol: str, side: str, attempt: int) -> str:
    """The same order has the same id in every run; a broker shows it, so symbol and side are legible."""
    found = f"pas-{prefix}-{symbol}-{side[0]}-{attempt}"
    if len(found) > LONGEST_ID:
        raise PasError(f"{symbol!r} is too long for an order id ({len(found)} of {LONGEST_ID} characters).")
    return found


def _crosses(
    session: date, symbol: str, price: int, ours: list[tuple[str, int]], crossed: list[int]
) -> list[Transaction]:
    booked, sold, bought = [], [], []
    for (sleeve, quantity), met in zip(ours, crossed, strict=True):
        if met:
            (bought if quantity > 0 else sold).append((sleeve, met))
    key, notional = str(session), units.value(sum(met for _, met in sold), price)
    for sign, side in ((-1, sold), (1, bought)):
        paid = netting.split(notional, [met for _, met in side])
        booked += [
            journal.cross(key, session, sleeve, symbol, sign * met, price, cash)
            for (sleeve, met), cash in zip(side, paid, strict=True)
        ]
    return booked


def _order(prefix: str, symbol: str, price: int, ours: list[tuple[str, int]], crossed: list[int]) -> Order | None:
    rest = [
        (sleeve, abs(quantity) - met)
        for (sleeve, quantity), met in zip(ours, crossed, strict=True)
        if abs(quantity) > met
    ]
    if not rest:
        return None
    side = "buy" if sum(quantity for _, quantity in ours) > 0 else "sell"
    quantity = sum(part for _, part in rest)
    return Order(order_id(prefix, symbol, side, 1), symbol, side, quantity, price, 1, tuple(rest), _why(ours, crossed))


def _why(ours: list[tuple[str, int]], crossed: list[int]) -> str:
    parts = []
    for (sleeve, quantity), met in zip(ours, crossed, strict=True):
        text = f"{sleeve} {quantity / units.SHARE:+.10g}"
        parts.append(f"{text} (crossed {met / units.SHARE:.10g})" if met else text)
    return ", ".join(parts)


def _within_cash(
    buys: list[Order], sells: list[Order], balances: Balances, rules: Rules, limits: Limits
) -> list[Order]:
    cash = sum(balances[name].get(CASH, 0) for name in balances if _counts(name))
    for order in sells:
        proceeds = units.value(order.quantity, order.price)
        cash += proceeds - units.fee(proceeds, rules.rate)
    quantities = netting.afford([(order.quantity, order.price) for order in buys], cash, rules.rate)
    kept = []
    for order, quantity in zip(buys, quantities, strict=True):
        if quantity != order.quantity and (not rules.fractional or order.symbol in limits.whole):
            quantity = quantity // units.SHARE * units.SHARE
        if quantity == order.quantity:
            kept.append(order)
        elif quantity and units.value(quantity, order.price) >= rules.min_order:
            kept.append(cut(order, quantity))
    return kept


def cut(order: Order, quantity: int) -> Order:
    """The order for a smaller quantity, with its sleeves' shares in proportion."""
    parts = netting.allocate(quantity, [part for _, part in order.shares], [0] * len(order.shares))
    shares = tuple((name, part) for (name, _), part in zip(order.shares, parts, strict=True) if part)
    return order._replace(quantity=quantity, shares=shares)
