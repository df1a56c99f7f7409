"""Ledger against broker, symbol by symbol and in cash: equal, explained, or different. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from pas_dagster.ledger import journal, units
from pas_dagster.ledger.comparisons import DIFFERENT, EQUAL, FROZEN, MOVING, PENDING, ROUNDED, Comparison
from pas_dagster.ledger.journal import CASH, Balances


class Excused(NamedTuple):
    """What may differ for now: symbols in which orders are working, and those with a corporate action on its way.

    `rounding`: cash (1e-6 USD) that the broker's rounding of fills may have come to. `fees`: what the broker
    may have taken for trades and not told of yet.
    """

    moving: Collection[str] = ()
    frozen: Collection[str] = ()
    rounding: int = 0
    fees: int = 0


NOTHING = Excused()


def compare(
    balances: Balances, positions: Mapping[str, int], cash: int, excused: Excused = NOTHING
) -> list[Comparison]:
    """Cash first, then every symbol that either side holds.

    >>> books = {"a": {"AAA": 5, "$": 70}, "@treasury": {"$": 30}}
    >>> [one.verdict for one in compare(books, {"AAA": 5, "BBB": 1}, 100)]
    ['equal', 'equal', 'different']
    """
    ours, our_cash = journal.totals(balances)
    found = [Comparison(CASH, our_cash, cash, _of_cash(cash - our_cash, excused))]
    for symbol in sorted(ours.keys() | positions.keys()):
        here, there = ours.get(symbol, 0), positions.get(symbol, 0)
        found.append(Comparison(symbol, here, there, _of_symbol(symbol, here == there, excused)))
    return found


def _of_cash(difference: int, excused: Excused) -> str:
    if not difference:
        return EQUAL
    if excused.moving:
        return MOVING
    if -excused.fees <= difference < 0:  # before rounding: what is booked as that would be booked again as a fee
        return PENDING
    return ROUNDED if abs(difference) <= excused.rounding else DIFFERENT


def _of_symbol(symbol: str, equal: bool, excused: Excused) -> str:
    if equal:
        return EQUAL
    if symbol in excused.moving:
        return MOVING
    return FROZEN if symbol in excused.frozen else DIFFERENT


def in_words(found: Collection[Comparison]) -> str:
    """The differences, for a sentence: `AAA (12 here, 10 there)`."""
    return ", ".join(_one(one) for one in list(found)[:5])


def _one(one: Comparison) -> str:
    text = units.money_text if one.subject == CASH else units.shares_text
    name = "cash" if one.subject == CASH else one.subject
    return f"{name} ({text(one.ours)} here, {text(one.theirs)} there)"
