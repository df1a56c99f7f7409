"""How far the sleeves have drifted from their targets: what they hold at given prices, against what they should hold.

A signal, not a plan: floats, nothing is rounded, no order follows from it. The bands are those of the planner
(`plan`): a holding rests within the narrower of them, and below the smallest order; one that is no longer wanted does
not rest in a band at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pas_dagster.execution.targets import Rules
from pas_dagster.ledger import journal, units
from pas_dagster.ledger.journal import CASH, UNASSIGNED, Balances

SLACK = 1e-9  # of floats; a band is given to so many digits


class Drift(NamedTuple):
    """One symbol in one sleeve.

    held, wanted: as fractions of the sleeve's value. value: of the sleeve, USD.
    """

    sleeve: str
    symbol: str
    held: float
    wanted: float
    value: float

    @property
    def distance(self) -> float:
        """How far apart the two are, as a fraction of the sleeve."""
        return abs(self.held - self.wanted)

    def __str__(self) -> str:
        return f"{self.symbol} in {self.sleeve} is {self.held:.2%} of the sleeve, and {self.wanted:.2%} is its target"


class Drifts(NamedTuple):
    """Every symbol held or wanted, the widest first; and what has no price, so that its sleeves were left out."""

    found: list[Drift]
    unpriced: list[str]


def drifts(
    balances: Balances, targets: Mapping[str, Mapping[str, float]], prices: Mapping[str, float | None]
) -> Drifts:
    """Compare the ledger's balances with the targets.

    Args:
        balances: sleeve -> asset -> amount (1e-9 shares, 1e-6 USD), as the ledger gives them.
        targets: sleeve -> symbol -> fraction of the sleeve. Sleeves without a target are left out.
        prices: USD a share.

    >>> drifts({"a": {"X": 6 * 10**9, "$": 40 * 10**6}}, {"a": {"X": 0.5}}, {"X": 10.0}).found[0].held
    0.6
    """
    found: list[Drift] = []
    unpriced: set[str] = set()
    for sleeve in targets.keys() & balances.keys():
        if not journal.is_sleeve(sleeve) or sleeve == UNASSIGNED:
            continue
        missing = {one for one in balances[sleeve] if one != CASH and not prices.get(one)}
        unpriced |= missing
        if not missing:
            found += _of_sleeve(sleeve, balances[sleeve], targets[sleeve], prices)
    return Drifts(sorted(found, key=lambda one: (-one.distance, one.sleeve, one.symbol)), sorted(unpriced))


def _of_sleeve(
    sleeve: str, held: Mapping[str, int], wanted: Mapping[str, float], prices: Mapping[str, float | None]
) -> Iterator[Drift]:
    worth = {one: amount / units.SHARE * (prices.get(one) or 0.0) for one, amount in held.items() if one != CASH}
    whole = sum(worth.values()) + held.get(CASH, 0) / units.USD
    if whole <= 0:
        return
    for symbol in sorted(worth.keys() | wanted.keys()):
        yield Drift(sleeve, symbol, worth.get(symbol, 0.0) / whole, wanted.get(symbol, 0.0), whole)


def beyond(found: Sequence[Drift], own: Rules) -> list[Drift]:
    """Those that no longer rest: wider than the account's bands, and worth an order."""
    return [one for one in found if one.distance * one.value * units.USD >= _least(one, own) and not _rests(one, own)]


def _least(one: Drift, own: Rules) -> int:
    """The smallest difference that is traded, 1e-6 USD."""
    return max(own.min_order, own.band_money) if one.wanted else own.min_order


def _rests(one: Drift, own: Rules) -> bool:
    widths = [own.band / units.UNIT] if own.band else []
    widths += [one.wanted * own.band_relative / units.UNIT] if own.band_relative else []
    return bool(widths and one.wanted) and one.distance <= min(widths) + SLACK
