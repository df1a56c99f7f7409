"""The look-ahead audit: a decision must not change when everything that was not known yet is taken away or changed.

*Behaviour*. Each decision is made four times: on a history that physically ends before it (truncation), on the whole
history, on one whose rows known on or after the decision are others (perturbation), and on the whole history again
(repetition). The weights must be equal to the bit. The cut histories go first and in the other order, so that a
strategy that remembers an earlier call is caught too. Perturbation catches what truncation cannot: a strategy that
only asks whether the future hangs together, and does the same when there is none.

*Access*. What a decision reads past its history, a comparison of histories cannot show: files, connections, programs
and databases are findings.

*Purity*. Found in the function's code and in what it reaches: data of its own, the attributes in which the view keeps
what it has not cut, the clock, and databases that open files without a trace.
"""

from __future__ import annotations

import dis
import os
import random
import site
import sys
import sysconfig
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import _lru_cache_wrapper, lru_cache, partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Literal
from zoneinfo import TZPATH

import numpy as np
import pandas as pd

from pas_dagster.calendar import FIRST, Cadence
from pas_dagster.strategies.contract import NotEnoughData, Strategy
from pas_dagster.strategies.facts import SYMBOL_COLUMN, Facts
from pas_dagster.strategies.history import AsOf, History
from pas_dagster.strategies.securities import Panel, Securities

MOST_FINDINGS = 20  # of one strategy that a report shows
DATA = (pd.DataFrame, pd.Series, pd.Index, np.ndarray, History, AsOf, Facts, Panel, Securities)

Outcome = Mapping[str, float] | type[Exception]
Kind = Literal["truncation", "perturbation", "repetition", "lookback", "access", "held", "private", "clock", ""]
Pass = Literal["blind", "seeing", "changed", "again"]


@dataclass(frozen=True)
class Finding:
    """Evidence of look-ahead: at one decision, or in the function itself (then `decision` is None).

    Attributes:
        kind: which test found it: a comparison of histories (truncation, perturbation, repetition; lookback when it is
            not the future that moves the weights but what lies before the declared windows), what the decision opened
            (access), or the code (held data, private attributes, the clock).
    """

    strategy: str
    decision: date | None
    difference: str
    kind: Kind = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.strategy}{f' on {self.decision}' if self.decision else ''}: {self.difference}"


@dataclass(frozen=True)
class Report:
    """What the audit of one strategy says.

    Attributes:
        decisions: how many were looked at.
        held: decisions with a weight above zero; an audit without one proves little.
        failed: decisions that ended in an error other than NotEnoughData.
        findings: the first `MOST_FINDINGS`.
        total: how many findings there are.
    """

    strategy: str
    decisions: int
    held: int
    failed: int
    findings: tuple[Finding, ...]
    total: int

    @property
    def passed(self) -> bool:
        return not self.total

    def __str__(self) -> str:
        return f"{self.strategy}: {self.verdict}"

    @property
    def verdict(self) -> str:
        """One sentence, for people."""
        if self.total:
            return f"{self.total} finding{'s' * (self.total > 1)} in {self.decisions} decisions"
        if not self.held:
            errors = f" ({self.failed} failed)" if self.failed else ""
            return f"nothing was held at any of {self.decisions} decisions{errors}, so this proves little"
        return f"no weight moved in {self.decisions} decisions, {self.held} of them with weights"


def audit(strategy: Strategy, history: History, decisions: Sequence[date], seed: int = 0) -> list[Finding]:
    """The findings against one strategy at the given decisions; none means that it does not look ahead."""
    return audit_all([strategy], history, decisions, seed)


def audit_all(
    strategies: Iterable[Strategy], history: History, decisions: Sequence[date], seed: int = 0
) -> list[Finding]:
    """The same for several strategies, which share the cut histories: cutting is what takes time.

    Those in the functions come first, then what was opened, then the decisions by day.
    """
    trial = _tried(list(strategies), history, decisions, seed)
    return trial.findings()


def audit_report(
    strategies: Iterable[Strategy], history: History, decisions: Sequence[date], seed: int = 0
) -> list[Report]:
    """A report for each strategy, in their order. The seed is that of the changed future."""
    suspects = list(strategies)
    trial = _tried(suspects, history, decisions, seed)
    findings = trial.findings()
    return [_report(suspect, trial, [one for one in findings if one.strategy == suspect.name]) for suspect in suspects]


def random_decisions(
    cadence: Cadence | Iterable[Cadence], first: date, last: date, count: int, seed: int
) -> list[date]:
    """Nominal decision days from `first` to `last`, drawn at random without repetition, in their order.

    Several cadences take turns. Fewer than `count` when there are no more.
    """
    rng = random.Random(seed)
    cadences = [cadence] if isinstance(cadence, Cadence) else [one for one in Cadence if one in set(cadence)]
    drawn: dict[date, None] = {}
    waiting = [one.nominal_days(first, last) for one in cadences]
    for days in waiting:
        rng.shuffle(days)
    while len(drawn) < count and any(waiting):
        for days in waiting:
            while days and days[-1] in drawn:
                days.pop()
            if days and len(drawn) < count:
                drawn[days.pop()] = None
    return sorted(drawn)


# What is compared


@dataclass(frozen=True)
class _Trial:
    """Every decision's outcomes, and what was opened meanwhile (message -> the first decision)."""

    suspects: Sequence[Strategy]
    history: History
    days: Sequence[date]
    seed: int
    outcomes: dict[tuple[Pass, str, date], Outcome]
    opened: dict[str, dict[str, date]]

    def findings(self) -> list[Finding]:
        found = [finding for suspect in self.suspects for finding in _of_code(suspect)]
        for suspect in self.suspects:
            messages = self.opened.get(suspect.name, {})
            found += [Finding(suspect.name, day, message, "access") for message, day in messages.items()]
        settled: set[str] = set()
        for day in self.days:
            moved = [(suspect, one) for suspect in self.suspects if (one := self._moved(suspect, day))]
            found += self._confirmed(day, moved, settled)
        return found

    def _moved(self, suspect: Strategy, day: date) -> Finding | None:
        """How the decisions for one day differ."""
        seeing, again, blind, changed = (
            self.outcomes[way, suspect.name, day] for way in ("seeing", "again", "blind", "changed")
        )
        if words := _difference(seeing, blind, "with the future in reach", "without"):
            return Finding(suspect.name, day, words, "truncation")
        if words := _difference(changed, seeing, "with another future", "with the real one"):
            return Finding(suspect.name, day, words, "perturbation")
        if words := _difference(again, seeing, "when it decides again", "at first"):
            return Finding(suspect.name, day, words, "repetition")
        return None

    def _confirmed(self, day: date, moved: Sequence[tuple[Strategy, Finding]], settled: set[str]) -> list[Finding]:
        """The findings, those set apart that come from leaving out what lies before the declared windows.

        A strategy of which one finding has stood is not asked again (`settled`): whole histories take time.
        """
        doubtful = [suspect for suspect, one in moved if one.kind != "repetition" and suspect.name not in settled]
        past = self._hang_on_the_past(doubtful, day) if doubtful else set()
        settled |= {suspect.name for suspect in doubtful} - past
        result = []
        for suspect, one in moved:
            words = f"it depends on what lies before the windows it declared: {one.difference}"
            result.append(Finding(suspect.name, day, words, "lookback") if suspect.name in past else one)
        return result

    def _hang_on_the_past(self, suspects: Sequence[Strategy], day: date) -> set[str]:
        """Those whose weights move when the older rows are left out, but not when only the future is."""
        names = {suspect.name for suspect in suspects}
        short = _cut(self.history, day, _firsts(self.suspects, day))
        for known, same in (
            (short, False),
            (_cut(self.history, day, {}), True),
            (_changed(self.history, day, {}, self.seed), True),
        ):
            _forget(suspects)
            names -= {
                suspect.name
                for suspect in suspects
                if (_outcome(suspect, known, day) == self.outcomes["seeing", suspect.name, day]) != same
            }
        return names


def _tried(suspects: Sequence[Strategy], history: History, decisions: Sequence[date], seed: int) -> _Trial:
    days = sorted(set(decisions))
    trial = _Trial(suspects, history, days, seed, {}, {suspect.name: {} for suspect in suspects})

    def decide(way: Pass, day: date, known: History) -> None:
        for suspect in suspects:
            with _watched() as opened:
                trial.outcomes[way, suspect.name, day] = _outcome(suspect, known, day)
            for message in opened:
                trial.opened[suspect.name].setdefault(message, day)

    # Each way is tried on all days before the next, so that what was kept from one cannot serve in the other.
    for day in reversed(days):
        decide("blind", day, _cut(history, day, _firsts(suspects, day)))
    _forget(suspects)
    for day in days:
        decide("seeing", day, history)
    _forget(suspects)
    for day in days:
        decide("changed", day, _changed(history, day, _firsts(suspects, day), seed))
    _forget(suspects)
    for day in reversed(days):
        decide("again", day, history)
    return trial


def _outcome(strategy: Strategy, history: History, day: date) -> Outcome:
    try:
        return strategy.decide(history.as_of(day, strategy.reads)).values
    except Exception as error:  # noqa: BLE001  (an outcome like another: it is compared)
        return type(error)


def _difference(one: Outcome, other: Outcome, here: str, there: str) -> str:
    """What differs, in words; empty if nothing does."""
    if isinstance(one, type) or isinstance(other, type):
        return "" if one == other else f"{_name(one)} {here}, {_name(other)} {there}"
    parts = [
        f"{symbol} {one.get(symbol, 0.0)!r} instead of {other.get(symbol, 0.0)!r}"
        for symbol in sorted(set(one) | set(other))
        if one.get(symbol) != other.get(symbol)
    ]
    return f"{here} {'; '.join(parts)}" if parts else ""


def _name(outcome: Outcome) -> str:
    return outcome.__name__ if isinstance(outcome, type) else f"{len(outcome)} weights"


def _report(suspect: Strategy, trial: _Trial, findings: Sequence[Finding]) -> Report:
    outcomes = [trial.outcomes["seeing", suspect.name, day] for day in trial.days]
    held = sum(1 for one in outcomes if not isinstance(one, type) and any(one.values()))
    failed = sum(1 for one in outcomes if isinstance(one, type) and not issubclass(one, NotEnoughData))
    shown = tuple(findings[:MOST_FINDINGS])
    return Report(suspect.name, len(outcomes), held, failed, shown, len(findings))


def _forget(suspects: Iterable[Strategy]) -> None:
    """Empty the caches in the strategies' modules: what was kept from one history would hide the other."""
    for suspect in suspects:
        for _, value in _reached(suspect):
            if isinstance(value, _lru_cache_wrapper) and value.__module__ == suspect.function.__module__:
                value.cache_clear()


# The histories

NEAR = timedelta(120)  # of what is known later than this after the decision, a changed future keeps one row in ten
DROPPED, DROPPED_LATER, DOUBLED, RENAMED = 0.1, 0.9, 0.05, 0.03  # shares of the rows
STRANGERS = ("ZZZQA", "ZZZQB", "ZZZQC", "ZZZQD", "ZZZQE")
LOGS = frozenset({"universe", "corporate_actions"})  # a history needs these from their beginning
SHIFT = 60  # days by which other dates than `known_on` move, at most


def _firsts(suspects: Iterable[Strategy], day: date) -> dict[str, date]:
    """By dataset the first day that any of the strategies may see; those that must be whole are left out."""
    firsts: dict[str, date] = {}
    for suspect in suspects:
        for name, window in suspect.reads.items():
            bound = window.first_day(day) if name != "prices" or window.sessions is not None else FIRST
            firsts[name] = min(bound, firsts.get(name, bound))
    return {name: first for name, first in firsts.items() if name not in LOGS}


def _cut(history: History, day: date, firsts: Mapping[str, date]) -> History:
    """A history physically without anything known on or after the day, or before the first days."""
    tables = {name: past for name, (past, _) in _parts(history, day, firsts).items()}
    return History(tables, history.universe_index, _earlier(history, tables, firsts))


def _changed(history: History, day: date, firsts: Mapping[str, date], seed: int) -> History:
    """A history in which all that became known on or after the day is something else. Nothing known before is touched.

    What is known of one dataset is changed alike whichever others there are.
    """
    tables = {}
    for name, (past, future) in _parts(history, day, firsts).items():
        rng = np.random.default_rng([seed, day.toordinal(), *name.encode()])
        other = perturbed(future, day, rng)
        tables[name] = pd.concat([past, other], ignore_index=True) if len(past) and len(other) else _longer(past, other)
    return History(tables, history.universe_index, _earlier(history, tables, firsts))


def _longer(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    return one if len(one) else other


def _parts(history: History, day: date, firsts: Mapping[str, date]) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """By dataset the rows from its first day to the day before, and those from the day on (views)."""
    parts = {}
    for name, facts in history.facts.items():
        low, cut = facts.span(firsts.get(name, date.min), day)
        parts[name] = (facts.rows.iloc[min(low, cut) : cut], facts.rows.iloc[cut:])
    return parts


def _earlier(history: History, tables: Iterable[str], firsts: Mapping[str, date]) -> dict[str, date]:
    """The newest day of each dataset before its rows begin."""
    newest = {name: history.newest(name, firsts.get(name, date.min)) for name in tables}
    return {name: day for name, day in newest.items() if day is not None}


def perturbed(future: pd.DataFrame, day: date, rng: np.random.Generator) -> pd.DataFrame:
    """Other rows in place of those known from `day` on: each with the `known_on` of one of them, and the same types.

    Some rows are left out and some doubled; every other column is shuffled among the rows, numbers are scaled besides,
    dates moved, and some symbols are of securities that nobody knew.
    """
    known = future["known_on"].to_numpy()
    far = known > np.datetime64(day + NEAR, "us")
    drawn = rng.random(len(future))
    times = np.where(drawn < np.where(far, DROPPED_LATER, DROPPED), 0, np.where(drawn > 1 - DOUBLED, 2, 1))
    rows = np.repeat(np.arange(len(future)), times)
    columns = {
        name: _altered(name, future[name].array.take(rng.permutation(rows)), rng)
        for name in future.columns
        if name != "known_on"
    }
    columns["known_on"] = future["known_on"].array.take(rows)
    typed = {name: pd.Series(columns[name], dtype=future[name].dtype, copy=False) for name in future.columns}
    return pd.DataFrame(typed, columns=future.columns, copy=False)


def _altered(name: str, values: Any, rng: np.random.Generator) -> Any:
    """The values (of a column, shuffled) scaled, moved or renamed, of the same type."""
    kind, count = values.dtype, len(values)
    if pd.api.types.is_float_dtype(kind):
        return (values * rng.uniform(0.25, 4.0, count)).astype(kind)
    if pd.api.types.is_integer_dtype(kind):
        return (pd.Series(values) * rng.random(count)).round().astype(kind).array  # smaller, so that it fits the type
    if pd.api.types.is_datetime64_any_dtype(kind):
        return (values + pd.to_timedelta(rng.integers(-SHIFT, SHIFT + 1, count), unit="D")).astype(kind)
    if name == SYMBOL_COLUMN:
        values[np.flatnonzero(rng.random(count) < RENAMED)] = STRANGERS[int(rng.integers(len(STRANGERS)))]
    return values


# What a decision opens

_opened: ContextVar[list[str] | None] = ContextVar("opened", default=None)


@contextmanager
def _watched() -> Generator[list[str]]:
    """Collects what is opened meanwhile, in words. Python cannot take a hook back, so it is switched."""
    _install()
    opened: list[str] = []
    token = _opened.set(opened)
    try:
        yield opened
    finally:
        _opened.reset(token)


@lru_cache(maxsize=1)
def _install() -> None:
    current, told = _opened, _TOLD  # bound here: at the interpreter's end the module's names are gone

    def hook(event: str, args: tuple[Any, ...]) -> None:
        tell = told.get(event)
        if tell is None:
            return
        opened = current.get()
        if opened is not None and (message := tell(args)):
            opened.append(message)

    sys.addaudithook(hook)


def _folders(*paths: str) -> tuple[str, ...]:
    return tuple({folder.rstrip(os.sep) + os.sep for path in paths for folder in (path, os.path.realpath(path))})


PACKAGES = _folders(*(sysconfig.get_path(name) for name in ("purelib", "platlib")), *site.getsitepackages())
STANDARD = _folders(*(sysconfig.get_path(name) for name in ("stdlib", "platstdlib")))
METADATA = (f".egg-info{os.sep}", f".dist-info{os.sep}")  # of an installed package, wherever it lies
CODE = (".py", ".pyc", ".so", ".pyd", ".pth")
NO_DATA = (*PACKAGES, *STANDARD, *_folders(*TZPATH), "/etc/localtime", "/etc/timezone", "/dev/null", "/proc/", "/sys/")


def _is_library(file: str) -> bool:
    return file.startswith((*PACKAGES, *STANDARD, "<frozen"))


def _file(args: tuple[Any, ...]) -> str:
    """Code and what comes with libraries is no data: importing is allowed."""
    if not isinstance(args[0], (str, bytes)):
        return ""  # a descriptor: what it stands for was opened before
    path = str(Path(os.fsdecode(args[0])).absolute())
    writes = any(letter in "wax+" for letter in args[1] or "") or bool((args[2] or 0) & (os.O_WRONLY | os.O_RDWR))
    if (
        path in sys.path
        or f"{os.sep}__pycache__{os.sep}" in path
        or (not writes and (path.endswith(CODE) or path.startswith(NO_DATA) or any(part in path for part in METADATA)))
    ):
        return ""
    return f"it {'writes' if writes else 'reads'} a file: {path}"


def _own_only(message: str) -> Callable[[tuple[Any, ...]], str]:
    """Libraries may do this by themselves (they count processors so): it is told when other code asks for it."""

    def tell(args: tuple[Any, ...]) -> str:
        frame = sys._getframe(2)
        while frame.f_back is not None and frame.f_code.co_filename.startswith((*STANDARD, "<frozen")):
            if frame.f_code.co_filename.startswith(PACKAGES):
                break
            frame = frame.f_back
        return "" if frame.f_code.co_filename.startswith(PACKAGES) else message

    return tell


def _connection(at: int) -> Callable[[tuple[Any, ...]], str]:
    def tell(args: tuple[Any, ...]) -> str:
        where = args[at]
        parts = where[:2] if isinstance(where, tuple) else (where,)
        return f"it opens a connection: {':'.join(map(_text, parts))}"

    return tell


def _program(args: tuple[Any, ...]) -> str:
    return f"it starts a program: {_text(args[0]) if args else 'itself'}"


def _text(value: Any) -> str:
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)


_TOLD: Mapping[str, Callable[[tuple[Any, ...]], str]] = {
    "open": _file,
    "sqlite3.connect": lambda args: f"it opens a database: {_text(args[0])}",
    "socket.connect": _connection(1),
    "socket.sendto": _connection(1),
    "socket.getaddrinfo": _connection(0),
    "socket.gethostbyname": _connection(0),
    "urllib.Request": _connection(0),
    **dict.fromkeys(("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pty.spawn"), _program),
    **dict.fromkeys(("ctypes.dlopen", "ctypes.dlsym"), _own_only("it calls a library through ctypes")),
}


# What the code says

UNSEEN = (
    *("duckdb", "polars", "psycopg", "psycopg2", "sqlalchemy", "connectorx", "adbc_driver_manager"),
    *(f"pyarrow.{part}" for part in ("parquet", "dataset", "csv", "feather", "fs", "orc", "json")),
    *(f"pas_dagster.{part}" for part in ("lake", "postgres", "ledger", "sources", "assets", "sandbox")),
)
"""Modules that open files and connections without Python's knowledge, and those of this package that hold data."""

STARTERS = {
    "threading": {"Thread", "Timer"},
    "_thread": {"start_new_thread"},
    "concurrent": {"ThreadPoolExecutor", "ProcessPoolExecutor"},
    "multiprocessing": {"Pool", "Process"},
}
"""What begins a thread or a process, where nothing is watched: package -> names."""

CLOCKS = frozenset({"now", "utcnow", "today"})  # of dates and times
TICKS = frozenset({"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "localtime", "gmtime", "ctime"})
TAKEN_AS_NOW = frozenset({"now", "today"})  # as text, to the functions below
READERS_OF_TEXT = frozenset({"datetime64", "Timestamp", "to_datetime"})
BY_TEXT = frozenset({"getattr", "attrgetter", "vars", "__dict__", "__getattribute__"})
IMPORTS_BY_TEXT = frozenset({"import_module", "__import__", "modules"})
VIEW_MODULES = frozenset({AsOf.__module__, Strategy.__module__})


def _stored(cls: type) -> set[str]:
    """The attributes that a class sets on its instances."""
    return {one.argval for one in dis.get_instructions(vars(cls)["__init__"]) if one.opname == "STORE_ATTR"}


PRIVATE = frozenset(
    name
    for cls in (AsOf, History)
    for name in _stored(cls) | set(vars(cls))
    if name.startswith("_") and not name.startswith("__")
)


def _of_code(suspect: Strategy) -> list[Finding]:
    """What speaks against a strategy whatever it decides."""
    found: set[tuple[Kind, str]] = set()
    for path, value in _reached(suspect):
        if isinstance(value, DATA):
            found.add(("held", f"it holds data of its own: {path} ({type(value).__name__})"))
        elif (source := _unseen(type(value))) is not None:
            found.add(("access", f"it holds something of {source}: {path} ({type(value).__name__})"))
        elif isinstance(value, FunctionType) and _is_own(value):
            found |= set(_of_one(value))
    return [Finding(suspect.name, None, words, kind) for kind, words in sorted(found)]


def _of_one(function: FunctionType) -> Iterator[tuple[Kind, str]]:
    for code in _codes(function.__code__):
        texts = {item for item in code.co_consts if isinstance(item, str)}
        names = set(code.co_names)
        for name in sorted(_private_attributes(code) | (PRIVATE & texts if names & BY_TEXT else set())):
            yield "private", f"it reaches into what the view keeps to itself: {name} in {code.co_name}"
        if texts & TAKEN_AS_NOW and names & READERS_OF_TEXT:
            yield "clock", f"it reads the clock: {min(texts & TAKEN_AS_NOW)!r} in {code.co_name}"
        for name in sorted(texts) if names & IMPORTS_BY_TEXT else ():
            if _is_unseen(name):
                yield "access", f"it uses {name}, which reads data past the view, in {code.co_name}"
    for path, owner, value in _named(function):
        name = path.rpartition(".")[2]
        if _is_clock(owner, name, value):
            yield "clock", f"it reads the clock: {path} in {function.__name__}"
        if getattr(value, "__name__", None) in STARTERS.get(
            str(getattr(value, "__module__", "")).partition(".")[0], ()
        ):
            yield "access", f"it starts a thread or process, which cannot be watched: {path} in {function.__name__}"
        source = _unseen(value) or (_unseen(owner) if owner is not None else None)
        if source is not None:
            yield "access", f"it uses {source}, which reads data past the view, in {function.__name__}"


def _private_attributes(code: CodeType) -> set[str]:
    """The private attributes of the view that the code looks up on anything but `self`."""
    found, before = set(), None
    for one in dis.get_instructions(code):
        if one.opname in ("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR") and one.argval in PRIVATE:
            mine = before is not None and before.opname.startswith("LOAD_FAST") and before.argval in ("self", "cls")
            found |= set() if mine else {one.argval}
        before = one
    return found


def _is_clock(owner: Any, name: str, value: Any) -> bool:
    if isinstance(owner, type) and issubclass(owner, date):
        return name in CLOCKS
    return getattr(value, "__module__", None) == time.__name__ and getattr(value, "__name__", None) in TICKS


def _unseen(value: Any) -> str | None:
    """The module of `UNSEEN` that a value comes from."""
    module = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return module.lstrip("_") if isinstance(module, str) and _is_unseen(module) else None


def _is_unseen(module: str) -> bool:
    name = module.lstrip("_")
    return any(name == one or name.startswith(f"{one}.") for one in UNSEEN)


def _is_own(value: FunctionType | type | ModuleType) -> bool:
    """Whether this is code of the strategy's side: neither a library's nor the view's own."""
    if isinstance(value, FunctionType):
        return value.__module__ not in VIEW_MODULES and not _is_library(value.__code__.co_filename)
    module = value if isinstance(value, ModuleType) else sys.modules.get(value.__module__)
    file = getattr(module, "__file__", None)
    return file is not None and module is not None and module.__name__ not in VIEW_MODULES and not _is_library(file)


def _reached(strategy: Strategy) -> Iterator[tuple[str, Any]]:
    """What the function can reach that it was not handed: closures, globals, defaults, bound parameters."""
    start = [("parameter " + name, value) for name, value in strategy.parameters.items()]
    return _walk([("function", strategy.function), *start], {})


def _walk(items: Iterable[tuple[str, Any]], seen: dict[int, Any]) -> Iterator[tuple[str, Any]]:
    for path, value in items:
        if id(value) in seen:
            continue
        seen[id(value)] = value  # kept alive, or its number might go to another
        yield path, value
        if not isinstance(value, DATA):
            yield from _walk(_reachable(path, value), seen)


def _reachable(path: str, value: Any) -> list[tuple[str, Any]]:
    """What a value leads to. Modules lead nowhere, nor do the classes of libraries: only what a function names."""
    if isinstance(value, FunctionType):
        return _of_function(value)
    if isinstance(value, MethodType):
        return [(path, value.__func__), (path, value.__self__)]
    if isinstance(value, partial):
        return [(path, value.func), (path, value.args), (path, value.keywords)]
    if isinstance(value, Mapping):
        return [(f"{path}[{key!r}]", item) for key, item in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [(path, item) for item in value]
    if isinstance(value, type):
        return [(f"{path}.{name}", item) for name, item in _members(value)] if _is_own(value) else []
    if isinstance(value, ModuleType):
        return []
    inside = [(f"{path}.{name}", item) for name, item in getattr(value, "__dict__", {}).items()]
    return [*inside, (path, type(value))] if _is_own(type(value)) else inside


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    """The functions of a class, and what it keeps."""
    for name, item in vars(cls).items():
        if isinstance(item, (staticmethod, classmethod)):
            yield name, item.__func__
        elif isinstance(item, property):
            yield from ((name, part) for part in (item.fget, item.fset) if part is not None)
        elif not name.startswith("__") or isinstance(item, FunctionType):
            yield name, item


def _of_function(function: FunctionType) -> list[tuple[str, Any]]:
    named = list(_named(function))
    outside = {path: item for path, owner, item in named if owner is None and path in function.__globals__}
    own = {path: item for path, owner, item in named if isinstance(owner, ModuleType) and _is_own(owner)}
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    modules = [item for item in outside.values() if isinstance(item, ModuleType)]
    loose = {name: vars(module)[name] for module in modules for name in names if name in vars(module)}
    held = {name: item for name, item in loose.items() if isinstance(item, DATA)}  # library code is not searched
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    closed = {name: cell.cell_contents for name, cell in cells if _is_filled(cell)}
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return [*(own | outside | held | closed).items(), *(("default", item) for item in defaults)]


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # a name that the enclosing function has not bound
        return False


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code and the code nested in it."""
    yield code
    for item in code.co_consts:
        if isinstance(item, CodeType):
            yield from _codes(item)


def _named(function: FunctionType) -> Iterator[tuple[str, Any, Any]]:
    """The objects that the code names, as far as modules and classes lead: dotted name, owner (or None), object.

    Also what it imports, if that is loaded.
    """
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    bound = {name: cell.cell_contents for name, cell in cells if _is_filled(cell)}
    for code in _codes(function.__code__):
        yield from _named_in(code, function.__globals__, bound)


def _named_in(code: CodeType, outside: Mapping[str, Any], bound: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    path, value, imported = "", None, None  # `value` is what the last instruction put on the stack, None if unknown
    for one in dis.get_instructions(code):
        name = one.argval[-1] if isinstance(one.argval, tuple) and one.argval else one.argval
        if one.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            path, value = name, outside.get(name)
            found = (path, None, value)
        elif one.opname.startswith(("LOAD_FAST", "LOAD_DEREF", "LOAD_CLOSURE")):
            path, value = str(name), bound.get(str(name))
            found = (path, None, value)
        elif one.opname == "IMPORT_NAME":
            path, value = name, sys.modules.get(name)
            imported = value
            found = (path, None, value)
        elif one.opname == "IMPORT_FROM":
            path, value = name, _attribute(imported, name)
            found = (path, imported, value)
        elif one.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            owner = value
            path, value = f"{path}.{name}", _attribute(owner, name)
            found = (path, owner, value)
        elif one.opname in ("STORE_FAST", "STORE_DEREF") and value is not None:
            bound[name] = value
            value, found = None, ("", None, None)
        elif one.opname in ("PUSH_NULL", "CACHE", "RESUME", "NOP", "EXTENDED_ARG"):
            continue
        else:
            value, found = None, ("", None, None)
        if found[2] is not None or found[1] is not None:
            yield found


def _attribute(owner: Any, name: str) -> Any:
    """What a module or a class has under a name; of other things it is not asked, that would run their code."""
    return getattr(owner, name, None) if isinstance(owner, (ModuleType, type)) else None
