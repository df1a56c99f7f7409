"""What execution knows of the market: reference prices, closes, corporate actions; as exact integers inside."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Literal, Protocol, TypeVar

from pas_dagster.errors import PasError
from pas_dagster.execution.targets import SYMBOL
from pas_dagster.ledger import units

Kind = Literal["split", "dividend", "delisting", "symbol_change"]
KEPT = 8
T = TypeVar("T")


@dataclass(frozen=True)
class CorporateAction:
    """One action effective at a session's open (a delisting: at its close).

    `value`: new shares per old share (split), USD per share held at the open (dividend), final USD per share
    (delisting); unused for a symbol change, which names `new_symbol`. Several actions of one session apply in the
    order given.
    """

    kind: Kind
    symbol: str
    value: float = 0.0
    new_symbol: str | None = None

    def __post_init__(self) -> None:
        named = self.kind != "symbol_change" or SYMBOL.fullmatch(self.new_symbol or "")
        valued = math.isfinite(self.value) and (self.value > 0 if self.kind == "split" else self.value >= 0)
        if not named or not valued:
            raise PasError(f"{self} is no corporate action that can be booked; mend it where it was imported.")

    def exact(self) -> Fraction:
        """The value as it was meant: a split of 0.333... is a third, a dividend of 0.1 is a tenth."""
        if self.kind == "split":
            return Fraction(self.value).limit_denominator(10_000)
        return Fraction(repr(float(self.value)))


class Market(Protocol):
    """Prices and actions; see each method for the day it may look at."""

    def reference(self, decision: date) -> Mapping[str, float]:
        """Last known close per symbol before the decision's open, on that day's split basis and symbol names."""
        ...

    def closes(self, session: date) -> Mapping[str, float]:
        """Closes of the session; empty while they are not known."""
        ...

    def actions(self, session: date) -> Sequence[CorporateAction]:
        """Actions effective at the session's open."""
        ...


class Prices(dict[str, int | None]):
    """Prices of one moment in 1e-6 USD, turned into integers when first asked for; None where there is none."""

    def __init__(self, source: Mapping[str, float]) -> None:
        super().__init__()
        self._source = source
        self.known = len(source) > 0

    def replaced(self, changed: Mapping[str, int | None]) -> Prices:
        """The same prices but for some."""
        found = Prices(self._source)
        found.update(changed)
        return found

    def __missing__(self, symbol: str) -> int | None:
        found = self[symbol] = units.price(self._source.get(symbol))
        return found


class Tape:
    """A market read through once per session, in integers."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._reference: dict[date, Prices] = {}
        self._closes: dict[date, Prices] = {}
        self._actions: dict[date, Sequence[CorporateAction]] = {}

    def reference(self, session: date) -> Prices:
        return _kept(self._reference, session, lambda day: Prices(self._market.reference(day)))

    def closes(self, session: date) -> Prices:
        """Closes of the session; `known` says whether there are any yet."""
        return _kept(self._closes, session, lambda day: Prices(self._market.closes(day)))

    def actions(self, session: date) -> Sequence[CorporateAction]:
        return _kept(self._actions, session, self._market.actions)


def _kept(memory: dict[date, T], session: date, read: Callable[[date], T]) -> T:
    found = memory.get(session)
    if found is None:
        if len(memory) >= KEPT:
            memory.clear()
        found = memory[session] = read(session)
    return found
