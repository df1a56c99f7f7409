"""Corporate actions on the books: the account's total first, then the sleeves' parts, so that both stay exact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from pas_dagster.execution.market import CorporateAction
from pas_dagster.execution.netting import split
from pas_dagster.ledger import journal, units
from pas_dagster.ledger.journal import CASH, Balances, Transaction
from pas_dagster.ledger.records import Activity

AT_CLOSE = "delisting"


def ids(session: date, actions: Sequence[CorporateAction]) -> list[str]:
    """A deterministic id per action: `dividend:2024-05-10:AAPL`, with `:2` for a second one of the kind."""
    seen: dict[str, int] = {}
    found = []
    for action in actions:
        name = f"{action.kind}:{session}:{action.symbol}"
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}:{seen[name]}")
    return found


def book(
    balances: Balances, session: date, actions: Sequence[CorporateAction], *, at_close: bool
) -> tuple[list[Transaction], list[Activity]]:
    """Apply the session's actions of the open, or of the close, to balances in place and return what to journal."""
    transactions: list[Transaction] = []
    activities: list[Activity] = []
    for action, name in zip(actions, ids(session, actions), strict=True):
        if (action.kind == AT_CLOSE) != at_close:
            continue
        booked = _one(balances, session, action, name)
        if booked:
            journal.apply(balances, booked)
            transactions += booked
            activities.append(
                Activity(name, action.kind, session, action.symbol, str(action.exact()), action.new_symbol)
            )
    return transactions, activities


def _one(balances: Balances, session: date, action: CorporateAction, name: str) -> list[Transaction]:
    symbol = action.symbol
    held = [(sleeve, balances[sleeve][symbol]) for sleeve in _sleeves(balances) if symbol in balances[sleeve]]
    if not held:
        return []
    quantities = [quantity for _, quantity in held]
    worth = total(action, sum(quantities))
    price = 0 if action.kind in ("split", "symbol_change") else round(action.exact() * units.USD)
    booked = []
    for (sleeve, quantity), part in zip(held, split(worth, quantities), strict=True):
        changes = _changes(action, quantity, part)
        signed = changes.get(symbol, 0)
        booked.append(journal.action(action.kind, name, session, sleeve, symbol, signed, price, changes))
    return booked


def total(action: CorporateAction, quantity: int) -> int:
    """What a quantity turns into: shares after a split or symbol change, else cash; the broken unit is lost."""
    ratio = action.exact()
    if action.kind == "symbol_change":
        return quantity
    if action.kind == "split":
        return quantity * ratio.numerator // ratio.denominator
    return quantity * ratio.numerator * units.USD // (ratio.denominator * units.SHARE)


def _changes(action: CorporateAction, quantity: int, part: int) -> dict[str, int]:
    match action.kind:
        case "split":
            return {action.symbol: part - quantity}
        case "dividend":
            return {CASH: part}
        case "delisting":
            return {action.symbol: -quantity, CASH: part}
        case "symbol_change":
            return {action.symbol: -quantity, str(action.new_symbol): quantity}


def book_days(
    balances: Balances, days: Iterable[tuple[date, Sequence[CorporateAction]]], last: date
) -> tuple[list[Transaction], list[Activity]]:
    """The actions of sessions up to and including the open of `last`: sessions without a decision have closes too."""
    transactions: list[Transaction] = []
    activities: list[Activity] = []
    for day, actions in days:
        for at_close in (False, True):
            if actions and (day < last or not at_close):
                booked, touched = book(balances, day, actions, at_close=at_close)
                transactions += booked
                activities += touched
    return transactions, activities


def _sleeves(balances: Balances) -> list[str]:
    return sorted(name for name in balances if journal.is_sleeve(name))
