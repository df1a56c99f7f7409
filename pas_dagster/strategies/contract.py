"""The contract of a strategy: one pure function of data cut before the decision, and what it declares.

@strategy(
    name="sector_risk_parity",
    title="Sector Risk-Parity Momentum",
    cadence=Cadence.WEEKLY_FRI,
    reads={"prices": Window(sessions=127)},
)
def sector_risk_parity(data: AsOf, *, top_n: int = 5) -> Weights:
    '''The rule, its source and its parameters.'''
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pas_dagster.calendar import Cadence
from pas_dagster.schemas.table import SYMBOL_PATTERN
from pas_dagster.strategies.history import AsOf, Window

SYMBOL = re.compile(SYMBOL_PATTERN)
CASH = "$CASH"  # the row that carries what is not invested; CASH alone is a listed company
TOLERANCE = 1e-9


class WeightsError(ValueError):
    """A strategy gave weights that may not be traded."""


class NotEnoughData(Exception):  # noqa: N818  (an outcome, not a fault)
    """The strategy cannot decide on what is known; its sleeve holds what it has. The message says what lacks."""


@dataclass(frozen=True)
class Weights:
    """Target weights of one sleeve: finite, non-negative, summing to at most 1; the rest is cash.

    >>> Weights.equal(["B", "A"]).values
    {'A': 0.5, 'B': 0.5}
    >>> Weights({"A": 0.7, "B": 0.7})
    Traceback (most recent call last):
    pas_dagster.strategies.contract.WeightsError: weights sum to 1.4, more than 1
    """

    values: Mapping[str, float]

    def __post_init__(self) -> None:
        for symbol, weight in self.values.items():
            if not SYMBOL.fullmatch(str(symbol)):
                raise WeightsError(f"{symbol!r} is not a symbol")
            if not math.isfinite(weight):
                raise WeightsError(f"the weight of {symbol} is {weight}")
            if weight < 0:
                raise WeightsError(f"the weight of {symbol} is negative: {weight}")
        gross = math.fsum(self.values.values())
        if gross > 1 + TOLERANCE:
            raise WeightsError(f"weights sum to {gross:.6g}, more than 1")
        object.__setattr__(self, "values", {s: float(self.values[s]) for s in sorted(self.values)})

    @classmethod
    def equal(cls, symbols: Iterable[str]) -> Weights:
        """The same weight for every symbol, 1 in all; no symbols means all cash."""
        names = sorted(set(symbols))
        return cls({name: 1 / len(names) for name in names})

    @property
    def cash(self) -> float:
        return max(0.0, 1.0 - math.fsum(self.values.values()))


@dataclass(frozen=True)
class Strategy:
    """A registered strategy: what it is called, when it decides, what it reads, and its function."""

    name: str
    title: str
    cadence: Cadence
    reads: Mapping[str, Window]
    function: Callable[..., Weights]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rule(self) -> str:
        return inspect.cleandoc(self.function.__doc__ or "")

    def decide(self, data: AsOf) -> Weights:
        """The weights for the decision that `data` is cut before; raises NotEnoughData or WeightsError."""
        weights = self.function(data, **self.parameters)
        if not isinstance(weights, Weights):
            raise WeightsError(f"{self.name} returned {type(weights).__name__}, not Weights")
        return weights

    def with_parameters(self, given: Mapping[str, Any]) -> Strategy:
        """The same strategy with other parameters; an unknown one is a `ValueError` that lists the known."""
        unknown = sorted(set(given) - set(self.parameters))
        if unknown:
            raise ValueError(f"{self.name} has no parameter {unknown[0]!r}; it has {', '.join(self.parameters)}")
        return Strategy(self.name, self.title, self.cadence, self.reads, self.function, {**self.parameters, **given})


def strategy(
    *, name: str, title: str, cadence: Cadence, reads: Mapping[str, Window], **bound: Any
) -> Callable[[Callable[..., Weights]], Strategy]:
    """Turn a function into a `Strategy`; its keyword-only arguments become the parameters, `bound` fixes some."""

    def register(function: Callable[..., Weights]) -> Strategy:
        if not function.__doc__:
            raise TypeError(f"strategy {name} has no docstring; it must state its rule")
        defaults = {
            p.name: p.default
            for p in inspect.signature(function).parameters.values()
            if p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is not inspect.Parameter.empty
        }
        return Strategy(name, title, cadence, reads, function, {**defaults, **bound})

    return register
