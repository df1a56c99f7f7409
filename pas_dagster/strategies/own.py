"""Strategies of the user's own: Python files of a folder, and entry points of installed packages.

A file that cannot be loaded must neither stop the other strategies nor take its own sleeve out of the account, where
the next allocation would sell it. So it stands in for itself, as a strategy of the file's name that fails at each
decision with what is wrong: its sleeve holds, then decays.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import NAME, Strategy, Weights
from pas_dagster.strategies.history import AsOf
from pas_dagster.strategies.watchdog import TookTooLong, Watchdog

T = TypeVar("T")
ENTRY_POINTS = "pas_dagster.strategies"
PACKAGE = "pas_own_strategies"
PATIENCE = 20.0  # seconds that loading a file may take


class NotLoadedError(Exception):
    """A strategy's file or entry point is of no use; the message says why and where."""


def own_strategies(folder: Path) -> list[Strategy]:
    """Every strategy of the folder's files and of the entry points, those that cannot be loaded among them."""
    found = [strategy for path in files(folder) for strategy in _of_file(path)]
    points = sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)
    return [*found, *(strategy for point in points for strategy in _of_point(point))]


def files(folder: Path) -> list[Path]:
    """The files of the folder that are strategies: not those that begin with `_` or `test_`, nor its folders."""
    named = folder.glob("*.py") if folder.is_dir() else ()
    return sorted(path for path in named if not path.name.startswith(("_", "test_", "conftest")))


def load(path: Path) -> list[Strategy]:
    """The strategies that a file defines.

    Raises:
        NotLoadedError: the file cannot be run, or defines none.
    """
    module = _run(path)
    return _strategies_in(module, path.name)


def _of_file(path: Path) -> list[Strategy]:
    try:
        return load(path)
    except NotLoadedError as error:
        text = path.read_text(errors="replace") if path.is_file() else ""
        return [broken(path.stem, str(error), _cadence_of(text))]


def _of_point(point: EntryPoint) -> list[Strategy]:
    try:
        value = _guarded(point.load, f"the entry point {point.name} ({point.value})")
        if isinstance(value, Strategy):
            return [value]
        if isinstance(value, ModuleType):
            return _strategies_in(value, point.value)
        raise NotLoadedError(f"the entry point {point.name} ({point.value}) is neither a strategy nor a module of some")
    except NotLoadedError as error:
        return [broken(point.name, str(error))]


class Broken(Strategy):
    """Stands in for a strategy that is of no use, and says why at each decision."""

    def with_parameters(self, given: Mapping[str, Any]) -> Strategy:
        return self  # what it takes cannot be known


def broken(name: str, why: str, cadence: Cadence = Cadence.WEEKLY_MON) -> Strategy:
    """The stand-in for a strategy that cannot be loaded."""
    usable = name if NAME.fullmatch(name) else "own_" + re.sub(r"[^a-z0-9_]+", "_", name.lower())[:50]

    def unusable(data: AsOf) -> Weights:
        raise NotLoadedError(why)

    unusable.__doc__ = f"Cannot be loaded: {why}.\n\nIts sleeve holds what it has, then decays to cash."
    return Broken(usable, f"{name} (cannot be loaded)", cadence, {}, unusable)


def _run(path: Path) -> ModuleType:
    name = f"{PACKAGE}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise NotLoadedError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where pickling and dataclasses look for it
    loader = spec.loader
    try:
        _guarded(lambda: loader.exec_module(module), path.name)
    except NotLoadedError:
        del sys.modules[name]
        raise
    return module


def _guarded(run: Callable[[], T], what: str) -> T:
    """The result of running somebody else's code; whatever goes wrong becomes one sentence."""
    try:
        with Watchdog() as dog, dog.limit(PATIENCE):
            return run()
    except TookTooLong:
        raise NotLoadedError(f"{what} takes longer than {PATIENCE:g} s to load") from None
    except (Exception, SystemExit) as error:
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        said = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
        raise NotLoadedError(f"{what} fails with {type(error).__name__}{line}: {said}") from error


def _strategies_in(module: ModuleType, what: str) -> list[Strategy]:
    """The module's strategies, each once and without those that it only imports."""
    defined = {
        id(value): value
        for value in vars(module).values()
        if isinstance(value, Strategy) and value.function.__module__ == module.__name__
    }
    if not defined:
        raise NotLoadedError(f"{what} defines no strategy: decorate a function with @strategy(...)")
    return list(defined.values())


def _cadence_of(text: str) -> Cadence:
    """The cadence that a file names, as far as it can be read: its partitions must not change because it is broken."""
    named = re.search(r"Cadence\.(\w+)", text)
    return Cadence.__members__.get(named[1], Cadence.WEEKLY_MON) if named else Cadence.WEEKLY_MON


def merged(built_in: Mapping[str, Strategy], own: list[Strategy]) -> dict[str, Strategy]:
    """All strategies by name. One whose name is taken stands in for itself under another name."""
    known = dict(built_in)
    for strategy in own:
        if strategy.name in known:
            why = f"there is another strategy of the name {strategy.name!r}; give it a name of its own"
            strategy = broken(f"own_{strategy.name}", why, strategy.cadence)
        known.setdefault(strategy.name, strategy)
    return known
