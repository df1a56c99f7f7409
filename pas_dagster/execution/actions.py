"""Corporate actions on the books: the account's total first, then the sleeves' parts, so that both stay exact.

An action is often known only on its own day, when the session has been planned already. Such a late one is booked on
what was held at that session's open before the session is settled (`late`, `book_late`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from datetime import date

from pas_dagster.execution.market import CorporateAction
from pas_dagster.execution.netting import split
from pas_dagster.ledger import journal, units
from pas_dagster.ledger.journal import CASH, Balances, Transaction
from pas_dagster.ledger.records import Activity

AT_CLOSE = "delisting"
RESHAPING = ("split", "symbol_change")  # give a symbol's shares another basis or name


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
            activities.append(_activity(session, action, name))
    return transactions, activities


def late(session: date, actions: Sequence[CorporateAction], known: Container[str]) -> list[tuple[CorporateAction, str]]:
    """Actions of the session's open whose ids are not among the booked ones, with their ids."""
    named = zip(actions, ids(session, actions), strict=True)
    return [(action, name) for action, name in named if action.kind != AT_CLOSE and name not in known]


def book_late(
    crossed: Balances, opening: Balances, session: date, missed: Iterable[tuple[CorporateAction, str]]
) -> tuple[list[Transaction], list[Activity]]:
    """What to journal for actions of an open at which the session's transfers and crosses are booked already.

    `opening`: what was held before them: dividends are paid on it. `crossed`: with them, but without any fill: shares
    that changed hands at the open change their form with their new holder. Both are changed in place.
    """
    transactions: list[Transaction] = []
    activities: list[Activity] = []
    for action, name in missed:
        then, now = _one(opening, session, action, name), _one(crossed, session, action, name)
        journal.apply(opening, then)
        journal.apply(crossed, now)
        booked = then if action.kind == "dividend" else now
        if booked:
            transactions += booked
            activities.append(_activity(session, action, name))
    return transactions, activities


def _activity(session: date, action: CorporateAction, name: str) -> Activity:
    return Activity(name, action.kind, session, action.symbol, str(action.exact()), action.new_symbol)


def _one(balances: Balances, session: date, action: CorporateAction, name: str) -> list[Transaction]:
    symbol = action.symbol
    held = [(sleeve, balances[sleeve][symbol]) for sleeve in _sleeves(balances) if symbol in balances[sleeve]]
    if not held:
        return []
    quantities = [quantity for _, quantity in held]
    worth = total(action, sum(quantities))
    price = 0 if action.kind in RESHAPING else round(action.exact() * units.USD)
    booked = []
    for (sleeve, quantity), part in zip(held, split(worth, quantities), strict=True):
        changes = changed(action, quantity, part)
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


def changed(action: CorporateAction, quantity: int, part: int) -> dict[str, int]:
    """Asset -> change for a holder of a quantity whose part of the `total` is given."""
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
