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
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from pas_dagster.calendar import Cadence
from pas_dagster.schemas.table import SYMBOL_PATTERN
from pas_dagster.strategies.history import AsOf, Window

SYMBOL = re.compile(SYMBOL_PATTERN)
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
Count = Annotated[int, Field(ge=1, le=10_000)]  # types of parameters: how many names, days, ...
Fraction = Annotated[float, Field(ge=0, le=1)]
Dollars = Annotated[float, Field(ge=0)]
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
    """A registered strategy: what it is called, when it decides, what it reads, and its function.

    Attributes:
        parameters: the function's keyword-only arguments with their values.
        drift: trade only when a weight has drifted further than this from the new target; 0 trades every decision.
        hold_days: how long the last weights are held when there is nothing to decide on.
        decay_days: over how many days after that they decay linearly to cash.
    """

    name: str
    title: str
    cadence: Cadence
    reads: Mapping[str, Window]
    function: Callable[..., Weights]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    drift: float = 0.0
    hold_days: int = 35
    decay_days: int = 28

    def __post_init__(self) -> None:
        if self.drift:
            prices = self.reads.get("prices")
            if prices is None or (prices.sessions is not None and prices.sessions < self.hold_days):
                least = f"{self.hold_days} sessions (its hold_days)"
                raise ValueError(f"{self.name} has a drift, so it must read prices of {least} or more")

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
        """The same strategy with other parameters, or another `drift`, `hold_days` or `decay_days`.

        Raises:
            ValueError: a parameter is unknown (the known are listed), of another type, or outside its bounds.
        """
        unknown = sorted(set(given) - set(self.parameters) - set(OPTIONS))
        if unknown:
            raise ValueError(f"{self.name} has no parameter {unknown[0]!r}; it has {', '.join(self.parameters)}")
        options = _checked(self.name, OPTIONS, {k: v for k, v in given.items() if k in OPTIONS})
        own = {k: v for k, v in given.items() if k in self.parameters}
        parameters = {**self.parameters, **_checked(self.name, parameter_types(self.function), own)}
        return replace(self, parameters=parameters, **options)


OPTIONS: Mapping[str, Any] = {
    "drift": Annotated[float, Field(ge=0, lt=1)],
    "hold_days": Annotated[int, Field(ge=0, le=3660)],
    "decay_days": Annotated[int, Field(ge=0, le=3660)],
}
"""What the settings may say about any strategy besides its own parameters."""


def parameter_types(function: Callable[..., Weights]) -> dict[str, Any]:
    """The types of the keyword-only arguments, with their bounds; `Any` where none is written."""
    hints = get_type_hints(function, include_extras=True)
    arguments = inspect.signature(function).parameters.values()
    return {a.name: hints.get(a.name, Any) for a in arguments if a.kind is inspect.Parameter.KEYWORD_ONLY}


_STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)


def _checked(strategy: str, types: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values as their types read them: an integer from YAML serves as a float, a text never as a number."""
    checked = {}
    for name, said in given.items():
        value = tuple(said) if isinstance(said, list) else said  # YAML and JSON know no tuples
        try:
            checked[name] = TypeAdapter(types[name], config=_STRICT).validate_python(value)
        except ValidationError as error:
            why = error.errors(include_url=False)[0]["msg"]
            message = f"{strategy}: the parameter {name!r} cannot be {value!r}: {why[0].lower()}{why[1:]}"
            raise ValueError(message) from None
    return checked


def strategy(
    *, name: str, title: str, cadence: Cadence, reads: Mapping[str, Window], drift: float = 0.0, **bound: Any
) -> Callable[[Callable[..., Weights]], Strategy]:
    """Turn a function into a `Strategy`; its keyword-only arguments become the parameters, `bound` fixes some."""
    if not NAME.fullmatch(name):
        raise TypeError(f"{name!r} cannot be a strategy's name: use lower-case letters, digits and _")

    def register(function: Callable[..., Weights]) -> Strategy:
        if not function.__doc__:
            raise TypeError(f"strategy {name} has no docstring; it must state its rule")
        defaults = {
            p.name: p.default
            for p in inspect.signature(function).parameters.values()
            if p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is not inspect.Parameter.empty
        }
        made = Strategy(name, title, cadence, reads, function, {**defaults, **bound}, drift)
        types = {**dict.fromkeys(made.parameters, Any), **parameter_types(function)}
        _checked(name, types, made.parameters)  # defaults keep their own bounds
        return made

    return register
