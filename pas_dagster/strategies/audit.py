"""The look-ahead audit: a decision must not change when everything that was not known yet is taken away.

Two tests. *Behaviour*: the weights decided on the whole history equal, to the bit, those decided on a history that
physically ends before the decision. The cut histories go first and in the other order, so that a strategy that
remembers an earlier call is caught too. *Purity*: the function holds no data of its own. What it closes over is the
same whatever history it is given, so the comparison alone could not see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import pandas as pd

from pas_dagster.strategies.contract import Strategy
from pas_dagster.strategies.history import AsOf, History, Panel

DATA = (pd.DataFrame, pd.Series, pd.Index, np.ndarray, History, AsOf, Panel)

Outcome = Mapping[str, float] | type[Exception]


@dataclass(frozen=True)
class Finding:
    """Evidence of look-ahead: at one decision, or in the function itself (then `decision` is None)."""

    strategy: str
    decision: date | None
    difference: str

    def __str__(self) -> str:
        return f"{self.strategy}{f' on {self.decision}' if self.decision else ''}: {self.difference}"


def audit(strategy: Strategy, history: History, decisions: Sequence[date]) -> list[Finding]:
    """The findings against one strategy at the given decisions; none means that it does not look ahead."""
    return audit_all([strategy], history, decisions)


def audit_all(strategies: Iterable[Strategy], history: History, decisions: Sequence[date]) -> list[Finding]:
    """The same for several strategies, which share the cut histories: cutting is what takes time."""
    suspects = list(strategies)
    blind: dict[tuple[str, date], Outcome] = {}
    for day in sorted(set(decisions), reverse=True):
        cut = history.before(day)
        blind |= {(suspect.name, day): _outcome(suspect, cut, day) for suspect in suspects}
    findings = [
        Finding(suspect.name, None, f"it holds data of its own: {name}")
        for suspect in suspects
        for name in _held_data(suspect)
    ]
    for day in sorted(set(decisions)):
        for suspect in suspects:
            difference = _difference(_outcome(suspect, history, day), blind[suspect.name, day])
            if difference:
                findings.append(Finding(suspect.name, day, difference))
    return findings


def _outcome(strategy: Strategy, history: History, day: date) -> Outcome:
    try:
        return strategy.decide(history.as_of(day, strategy.reads)).values
    except Exception as error:  # noqa: BLE001  (an outcome like another: it is compared)
        return type(error)


def _difference(seeing: Outcome, blind: Outcome) -> str:
    """What differs, in words; empty if nothing does."""
    if isinstance(seeing, type) or isinstance(blind, type):
        return "" if seeing == blind else f"{_name(seeing)} with the future in reach, {_name(blind)} without"
    parts = [
        f"{symbol} {seeing.get(symbol, 0.0)!r} instead of {blind.get(symbol, 0.0)!r}"
        for symbol in sorted(set(seeing) | set(blind))
        if seeing.get(symbol) != blind.get(symbol)
    ]
    return f"with the future in reach {'; '.join(parts)}" if parts else ""


def _name(outcome: Outcome) -> str:
    return outcome.__name__ if isinstance(outcome, type) else f"{len(outcome)} weights"


def _held_data(strategy: Strategy) -> list[str]:
    """Where the function can reach data that it was not handed: closures, globals, defaults, bound parameters."""
    start = [("parameter " + name, value) for name, value in strategy.parameters.items()]
    return sorted(set(_walk([("function", strategy.function), *start], set())))


def _walk(items: Iterable[tuple[str, Any]], seen: set[int]) -> Iterator[str]:
    for path, value in items:
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, DATA):
            yield f"{path} ({type(value).__name__})"
        else:
            yield from _walk(_reachable(path, value), seen)


def _reachable(path: str, value: Any) -> list[tuple[str, Any]]:
    """What a value leads to. Modules and classes lead nowhere: only what a function names in them counts."""
    if isinstance(value, FunctionType):
        return _of_function(value)
    if isinstance(value, partial):
        return [(path, value.func), (path, value.args), (path, value.keywords)]
    if isinstance(value, Mapping):
        return [(f"{path}[{key!r}]", item) for key, item in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [(path, item) for item in value]
    if isinstance(value, (type, ModuleType)):
        return []
    return [(f"{path}.{name}", item) for name, item in getattr(value, "__dict__", {}).items()]


def _of_function(function: FunctionType) -> list[tuple[str, Any]]:
    names = _names(function.__code__)
    outside = {name: function.__globals__[name] for name in names if name in function.__globals__}
    modules = [item for item in outside.values() if isinstance(item, ModuleType)]
    loose = {name: vars(module)[name] for module in modules for name in names if name in vars(module)}
    held = {name: item for name, item in loose.items() if isinstance(item, DATA)}  # library code is not searched
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    closed = {name: cell.cell_contents for name, cell in cells if _is_filled(cell)}
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return [*(outside | held | closed).items(), *(("default", item) for item in defaults)]


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # a name that the enclosing function has not bound
        return False


def _names(code: CodeType) -> set[str]:
    """Every name the code and the code nested in it look up."""
    nested = (item for item in code.co_consts if isinstance(item, CodeType))
    return set(code.co_names).union(*map(_names, nested))
