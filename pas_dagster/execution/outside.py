"""What changed the account without an order of ours, shared out to the sleeves: dividends, splits, fees, deposits and
trades of another hand. Pure functions; every transaction has the broker's own id in its key.

* Cash of a symbol goes to who holds it, in proportion; any other cash to the treasury.
* Shares that go are taken from who holds them. What comes in the same event goes to those who gave, in the same
  proportion; what comes alone goes to who holds the symbol, or stays unassigned.
* A trade of another hand is unassigned. It can only sell what is there: first what is unassigned, then what sleeves
  hold, in proportion, for those shares are gone; what nobody held is a short position of `unassigned`. What open sells
  of ours still ask of a sleeve is taken last: the broker keeps it for them, so it was not what the other hand sold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType

from pas_dagster.execution.brokers.base import NonTrade
from pas_dagster.execution.netting import split
from pas_dagster.ledger import journal
from pas_dagster.ledger.journal import CASH, TREASURY, UNASSIGNED, Balances, Transaction
from pas_dagster.ledger.records import Execution

OF_THE_ACCOUNT = ("interest", "fee", "transfer")
RESHAPING = ("split", "symbol_change")
NOTHING: Mapping[str, int] = MappingProxyType({})


def non_trades(balances: Balances, parts: Iterable[NonTrade]) -> list[Transaction]:
    """What to book for events in the order they happened. Changes balances in place."""
    booked: list[Transaction] = []
    for _, event in groupby(parts, key=lambda one: one.group):
        booked += _event(balances, list(event))
    return booked


def _event(balances: Balances, parts: Sequence[NonTrade]) -> list[Transaction]:
    """One event: all of its shares go before any come."""
    gone = [one for one in parts if one.quantity < 0]
    givers = _merged([holders(balances, one.symbol) for one in gone])
    booked: list[Transaction] = []
    for one in sorted(parts, key=lambda one: one.quantity >= 0):
        if one.kind in OF_THE_ACCOUNT:
            made = [_cash(one)] if one.cash else []
        else:
            made = _shared(one, holders(balances, one.symbol), givers)
        journal.apply(balances, made)
        booked += made
    return booked


def _shared(one: NonTrade, holders: Mapping[str, int], givers: Mapping[str, int]) -> list[Transaction]:
    """One part of an event, by sleeve."""
    weights = dict(givers or holders) if one.quantity >= 0 else dict(holders)
    if not weights:
        weights = {UNASSIGNED if one.quantity else TREASURY: 1}
    names, sizes = list(weights), list(weights.values())
    if one.quantity < 0:
        moved = taken(one.quantity, holders)
        shares = {name: moved.get(name, 0) for name in [*names, *(moved.keys() - weights.keys())]}
    else:
        shares = dict(zip(names, split(one.quantity, sizes), strict=True))
    paid = dict(zip(names, _signed_split(one.cash, sizes), strict=True))
    booked = []
    for name in sorted(shares.keys() | paid.keys()):
        changes = {one.symbol: shares.get(name, 0), CASH: paid.get(name, 0)}
        if any(changes.values()):
            booked.append(_booked(one, name, changes))
    return booked


def _booked(one: NonTrade, sleeve: str, changes: dict[str, int]) -> Transaction:
    quantity = changes.get(one.symbol, 0)
    made = journal.action(one.kind, f"{one.kind}:{one.id}", one.day, sleeve, one.symbol, quantity, 0, changes)
    return made._replace(notional=abs(changes.get(CASH, 0)))


def _cash(one: NonTrade) -> Transaction:
    """Cash of the account as a whole."""
    kind = {"transfer": "deposit" if one.cash > 0 else "withdrawal"}.get(one.kind, one.kind)
    made = journal.action(kind, f"{kind}:{one.id}", one.day, TREASURY, one.symbol, 0, 0, {CASH: one.cash})
    fee = -one.cash if kind == "fee" else 0
    return made._replace(notional=abs(one.cash), fee=max(fee, 0))


def foreign(
    balances: Balances, one: Execution, symbol: str, side: str, promised: Mapping[str, int] = NOTHING
) -> list[Transaction]:
    """A fill of another hand. `promised`: what open sells still ask of each sleeve. Changes balances in place."""
    parts = {UNASSIGNED: one.quantity} if side == "buy" else taken(-one.quantity, holders(balances, symbol), promised)
    sign = 1 if side == "buy" else -1
    sizes = [abs(quantity) for quantity in parts.values()]
    booked = []
    costs = zip(parts.items(), split(one.notional, sizes), split(one.fee, sizes), strict=True)
    for (sleeve, quantity), notional, fee in costs:
        changes = {symbol: quantity, CASH: -sign * notional - fee}
        made = journal.action("foreign", f"foreign:{one.id}", one.session, sleeve, symbol, quantity, one.price, changes)
        booked.append(made._replace(notional=notional, fee=fee, cid=one.cid, execution=one.id))
    journal.apply(balances, booked)
    return booked


def taken(quantity: int, holders: Mapping[str, int], promised: Mapping[str, int] = NOTHING) -> dict[str, int]:
    """Who gives up shares that are gone: sleeve -> change, for a quantity < 0.

    >>> taken(-15, {"a": 20, "unassigned": 5})
    {'unassigned': -5, 'a': -10}
    >>> taken(-15, {"a": 20, "b": 20}, {"a": 20})
    {'b': -15}
    """
    left = -quantity
    found: dict[str, int] = {}
    others = {name: held for name, held in holders.items() if name != UNASSIGNED}
    free = {name: max(held - promised.get(name, 0), 0) for name, held in others.items()}
    rest = {name: held - free[name] for name, held in others.items()}
    for part in ({UNASSIGNED: holders.get(UNASSIGNED, 0)}, free, rest):
        given = min(left, sum(part.values()))
        if given:
            for name, amount in zip(part, split(given, list(part.values())), strict=True):
                found[name] = found.get(name, 0) - amount
        left -= given
    if left:
        found[UNASSIGNED] = found.get(UNASSIGNED, 0) - left
    return {name: change for name, change in found.items() if change}


def holders(balances: Balances, symbol: str) -> dict[str, int]:
    """Who holds shares of a symbol."""
    names = sorted(name for name in balances if journal.is_sleeve(name))
    return {name: balances[name][symbol] for name in names if balances[name].get(symbol, 0) > 0}


def _merged(all_of_them: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in all_of_them:
        for name, held in one.items():
            found[name] = found.get(name, 0) + held
    return found


def _signed_split(total: int, weights: Sequence[int]) -> list[int]:
    parts = split(abs(total), weights)
    return parts if total >= 0 else [-part for part in parts]


def ratio(parts: Iterable[NonTrade]) -> dict[str, tuple[int, int]]:
    """By which a split multiplied each symbol's shares, as (new, old), where the event tells both.

    >>> from datetime import date
    >>> gone = NonTrade("1", "g", "split", date(2024, 1, 2), "AAA", -10, 0)
    >>> ratio([gone, gone._replace(id="2", quantity=40)])
    {'AAA': (40, 10)}
    """
    old: dict[str, int] = {}
    new: dict[str, int] = {}
    for one in parts:
        if one.kind == "split":
            side = old if one.quantity < 0 else new
            side[one.symbol] = side.get(one.symbol, 0) + abs(one.quantity)
    return {symbol: (new[symbol], old[symbol]) for symbol in new.keys() & old.keys()}
