"""Double-entry transactions with deterministic keys: pure functions from what happened to what is booked.

A transaction's entries sum to zero for every asset. Its key says what it books (`fill:<execution>:<sleeve>`), so
booking a thing twice is impossible rather than unlikely. Cash is the asset `$` (`USD` is a listed fund).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple

from pas_dagster.ledger import units

CASH = "$"
# Accounts that are no sleeve start with @. Their balances may be negative: they are the other side of the books.
TREASURY = "@treasury"  # cash of the account that no sleeve holds
WORLD = "@world"  # everyone we trade with
FEES = "@fees"
CROSS = "@cross"  # between two sleeves; nets to zero in every batch
UNASSIGNED = "unassigned"  # a sleeve for what is in the account and no strategy asked for

Balances = dict[str, dict[str, int]]  # sleeve -> asset -> amount
Entry = tuple[str, str, int]  # sleeve, asset, amount


class Transaction(NamedTuple):
    """One booked thing. `quantity` is signed (1e-9 shares); `price`, `notional`, `fee` are 1e-6 USD, unsigned."""

    key: str
    kind: str
    session: date
    sleeve: str
    symbol: str
    quantity: int
    price: int
    notional: int
    fee: int
    cid: str
    execution: str
    entries: tuple[Entry, ...]


def is_sleeve(name: str) -> bool:
    return not name.startswith("@")


def deposit(key: str, session: date, amount: int) -> Transaction:
    """Cash from outside into the treasury."""
    entries = ((TREASURY, CASH, amount), (WORLD, CASH, -amount))
    return Transaction(f"deposit:{key}", "deposit", session, TREASURY, "", 0, 0, amount, 0, "", "", entries)


def adopt(session: date, symbol: str, quantity: int, price: int) -> Transaction:
    """A position that was there before we were, at its price then."""
    entries = ((UNASSIGNED, symbol, quantity), (WORLD, symbol, -quantity))
    worth = abs(quantity) * price // units.SHARE
    return Transaction(
        f"adopt:{symbol}", "adopt", session, UNASSIGNED, symbol, quantity, price, worth, 0, "", "", entries
    )


def transfer(batch_key: str, session: date, sleeve: str, amount: int) -> Transaction:
    """Cash from the treasury to a sleeve (back, when negative): how a sleeve's capital is reset."""
    entries = ((sleeve, CASH, amount), (TREASURY, CASH, -amount))
    return Transaction(
        f"transfer:{batch_key}:{sleeve}", "transfer", session, sleeve, "", 0, 0, abs(amount), 0, "", "", entries
    )


def cross(
    batch_key: str, session: date, sleeve: str, symbol: str, quantity: int, price: int, notional: int
) -> Transaction:
    """One sleeve's side of an internal cross: shares against cash, no fee. `quantity` > 0 buys."""
    paid = -notional if quantity > 0 else notional
    entries = (
        (sleeve, symbol, quantity),
        (CROSS, symbol, -quantity),
        (sleeve, CASH, paid),
        (CROSS, CASH, -paid),
    )
    key = f"cross:{batch_key}:{symbol}:{sleeve}"
    return Transaction(key, "cross", session, sleeve, symbol, quantity, price, notional, 0, "", "", entries)


def fill(
    execution: str,
    cid: str,
    session: date,
    sleeve: str,
    symbol: str,
    quantity: int,
    price: int,
    notional: int,
    fee: int,
) -> Transaction:
    """One sleeve's share of an execution. `quantity` > 0 bought, < 0 sold."""
    paid = -notional if quantity > 0 else notional
    entries: tuple[Entry, ...] = ((sleeve, symbol, quantity), (WORLD, symbol, -quantity))
    if paid != fee:
        entries += ((sleeve, CASH, paid - fee),)
    if paid:
        entries += ((WORLD, CASH, -paid),)
    if fee:
        entries += ((FEES, CASH, fee),)
    key = f"fill:{execution}:{sleeve}"
    return Transaction(key, "fill", session, sleeve, symbol, quantity, price, notional, fee, cid, execution, entries)


def action(
    kind: str,
    action_id: str,
    session: date,
    sleeve: str,
    symbol: str,
    quantity: int,
    price: int,
    changes: dict[str, int],
) -> Transaction:
    """A corporate action on one sleeve: asset -> change, the world on the other side."""
    entries = tuple(
        entry
        for asset, change in changes.items()
        if change
        for entry in ((sleeve, asset, change), (WORLD, asset, -change))
    )
    received = changes.get(CASH, 0)
    return Transaction(
        f"{action_id}:{sleeve}", kind, session, sleeve, symbol, quantity, price, received, 0, "", "", entries
    )


def apply(balances: Balances, transactions: Iterable[Transaction]) -> None:
    """Add the entries to balances in place. An asset that comes to zero leaves its sleeve."""
    for transaction in transactions:
        for sleeve, asset, amount in transaction.entries:
            held = balances.get(sleeve)
            if held is None:
                held = balances[sleeve] = {}
            total = held.get(asset, 0) + amount
            if total:
                held[asset] = total
            else:
                held.pop(asset, None)


def before(balances: Balances, entries: Iterable[Entry]) -> Balances:
    """A copy of the balances with the entries taken back."""
    found = {sleeve: dict(assets) for sleeve, assets in balances.items()}
    for sleeve, asset, amount in entries:
        held = found.setdefault(sleeve, {})
        held[asset] = held.get(asset, 0) - amount
        if not held[asset]:
            del held[asset]
    return found


def unbalanced(transactions: Sequence[Transaction]) -> list[str]:
    """Keys of transactions whose entries do not sum to zero for some asset."""
    return [transaction.key for transaction in transactions if any(_sums(transaction).values())]


def _sums(transaction: Transaction) -> dict[str, int]:
    sums: dict[str, int] = {}
    for _, asset, amount in transaction.entries:
        sums[asset] = sums.get(asset, 0) + amount
    return sums


def totals(balances: Balances) -> tuple[dict[str, int], int]:
    """Positions by symbol (1e-9 shares) and cash (1e-6 USD) of the whole account: what a broker should report."""
    positions: dict[str, int] = {}
    cash = 0
    for name, assets in balances.items():
        if not is_sleeve(name) and name != TREASURY:
            continue
        for asset, amount in assets.items():
            if asset == CASH:
                cash += amount
            else:
                positions[asset] = positions.get(asset, 0) + amount
    return positions, cash
