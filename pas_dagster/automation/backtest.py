"""Backtests: the bodies of the strategies' assets over a range, into a namespace of their own.

The same functions that the assets call decide, check, simulate and store, here without an event of Dagster's for each
partition: a rehearsal is no part of the account's history, and those events would take most of its time. Strategies do
not depend on each other, so they are spread over the processors.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import as_completed
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache

import pandas as pd

from pas_dagster import calendar, settings
from pas_dagster.analytics.comparison import compare
from pas_dagster.analytics.costs import WINDOW, cash_returns
from pas_dagster.assets import strategies as assets
from pas_dagster.assets import wiring
from pas_dagster.assets.history import Shelf
from pas_dagster.assets.resources import Workshop
from pas_dagster.assets.sleeves import Market, simulate_sleeves, whole_market
from pas_dagster.automation import workers
from pas_dagster.errors import PasError
from pas_dagster.lake import Lake
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings
from pas_dagster.strategies.audit import Report, random_decisions
from pas_dagster.strategies.contract import Strategy
from pas_dagster.strategies.history import Window
from pas_dagster.strategies.lookahead import examine

BACKTESTS = TABLES["backtests"]
SLEEVES, AUDIT = "sleeves", "look-ahead audit"  # of all strategies together
TRADED_PRICES = Window(sessions=WINDOW)  # what sleeves need before their first fill
SEED = 1  # of the audited days and their other future: the same backtest finds the same


@dataclass(frozen=True)
class Range:
    """A backtest: its namespace, strategies and days."""

    namespace: str
    strategies: Mapping[str, Strategy]
    first: date
    last: date

    def decisions(self, name: str) -> list[date]:
        return self.days(self.strategies[name])

    def days(self, strategy: Strategy) -> list[date]:
        return strategy.cadence.nominal_days(self.first, self.last)


def new_range(strategies: Mapping[str, Strategy], first: date, last: date) -> Range:
    """A range with a namespace that nobody has."""
    return Range(f"backtest_{datetime.now(UTC):%Y%m%d_%H%M%S_%f}", strategies, first, last)


@dataclass(frozen=True)
class Done:
    """A backtest that was run: seconds of each step, and what the look-ahead audit says of each strategy."""

    seconds: Mapping[str, float]
    reports: Mapping[str, Report]


def run(asked: Range, audits: int, on_step: Callable[[str], None]) -> Done:
    """Decide, audit at some random decisions, simulate and store; `on_step` is told of each step that ends.

    Raises:
        PasError: the range has no session, or rows break a rule.
    """
    workshop = Workshop(namespace=asked.namespace)
    sessions = calendar.sessions(asked.first, asked.last)
    if not sessions:
        raise PasError(f"There is no session from {asked.first} to {asked.last}.")
    seconds: dict[str, float] = {}
    reports: dict[str, Report] = {}
    returns, trades = [assets.RETURNS.empty()], [assets.TRADES.empty()]
    for one in _rehearsed(asked, audits):
        workshop.lake.replace(assets.WEIGHTS, asked.decisions(one.name), one.weights, scope=("strategy", one.name))
        returns.append(one.returns)
        trades.append(one.trades)
        seconds[one.name] = one.deciding
        for step, spent in ((SLEEVES, one.simulating), (AUDIT, one.auditing)):
            seconds[step] = seconds.get(step, 0.0) + spent
        reports |= {one.name: one.report} if one.report else {}
        on_step(one.name)
    for product, frames in ((assets.RETURNS_PRODUCT, returns), (assets.TRADES_PRODUCT, trades)):
        workshop.lake.replace(product.table, sessions, pd.concat(frames, ignore_index=True))
    return Done(seconds, reports)


@dataclass(frozen=True)
class _Rehearsed:
    """One strategy's weights, the returns and trades of its sleeve, and how long each took."""

    name: str
    weights: pd.DataFrame
    returns: pd.DataFrame
    trades: pd.DataFrame
    report: Report | None
    deciding: float
    simulating: float
    auditing: float


def _rehearsed(asked: Range, audits: int) -> Iterator[_Rehearsed]:
    """Each strategy that decides in the range, as they are ready."""
    work = tuple(sorted((name for name in asked.strategies if asked.decisions(name)), key=_heaviest(asked)))
    span = _Span(work, asked.first, asked.last)
    count = min(os.cpu_count() or 1, len(work))
    if count < 2:
        yield from (_rehearse(span, name, audits) for name in work)
        return
    with workers.pool(count, _begin, settings.current()) as pool:
        pending = [pool.submit(_rehearse, span, name, audits) for name in work]
        try:
            yield from (future.result() for future in as_completed(pending))
        finally:
            for future in pending:
                future.cancel()


def _heaviest(asked: Range) -> Callable[[str], tuple[int, str]]:
    """Long ones first, so that no processor is left with one at the end: many decisions on many datasets."""
    return lambda name: (-len(asked.decisions(name)) * len(asked.strategies[name].reads), name)


def _begin(chosen: Settings) -> None:
    """In a worker: the settings of the process that asked."""
    warnings.simplefilter("ignore")
    settings.choose(chosen)


@dataclass(frozen=True)
class _Span:
    """What a worker is told of a range: strategies by their names, for those of the user's own cannot be sent."""

    names: tuple[str, ...]
    first: date
    last: date


def _rehearse(span: _Span, name: str, audits: int) -> _Rehearsed:
    """One strategy from nothing: its decisions, its sleeve, and an audit of some of the decisions."""
    began = time.monotonic()
    strategy, workshop = _strategies()[name], Workshop()
    days, sessions = strategy.cadence.nominal_days(span.first, span.last), calendar.sessions(span.first, span.last)
    history = _shelf(span).history(strategy.reads, days, workshop.settings.universe_index)
    weights, _ = assets.weights_of(strategy, days, workshop, history)
    wiring.enforce(assets.strategy_product(strategy), weights, days)
    decided = time.monotonic()
    terms = assets.Terms.of(workshop.settings)
    sleeves = simulate_sleeves(workshop.lake, weights, span.last, terms, _market(span))
    returns, trades = assets.sleeve_rows(sleeves, sessions)
    if len(returns):
        wiring.enforce(assets.RETURNS_PRODUCT, returns, sessions)
        wiring.enforce(assets.TRADES_PRODUCT, trades, sessions)
    simulated = time.monotonic()
    drawn = random_decisions(strategy.cadence, days[0], days[-1], audits, SEED)
    report = examine(strategy, history, drawn, SEED, workshop.settings.strategy_seconds) if audits else None
    times = decided - began, simulated - decided, time.monotonic() - simulated
    return _Rehearsed(name, weights, returns, trades, report, *times)


@lru_cache(maxsize=1)
def _strategies() -> dict[str, Strategy]:
    return assets.strategies()


@lru_cache(maxsize=1)
def _shelf(span: _Span) -> Shelf:
    """What the strategies read, for all that a process rehearses, and the prices of the market."""
    found = [_strategies()[name] for name in span.names]
    runs = [(one.reads, one.cadence.nominal_days(span.first, span.last)) for one in found]
    return Shelf(Workshop().lake, [*runs, ({"prices": TRADED_PRICES}, [span.first])], span.last)


@lru_cache(maxsize=1)
def _market(span: _Span) -> Market:
    """One market for all sleeves of a process."""
    return whole_market(Workshop().lake, _shelf(span).bars(TRADED_PRICES), span.first, span.last)


def rows_of(asked: Range, reports: Mapping[str, Report], ran_on: date) -> pd.DataFrame:
    """The rows of `backtests`: figures, what was tried before, faults and findings.

    Raises:
        PasError: no strategy traded in the range.
    """
    lake, branch = Workshop().lake, Workshop(namespace=asked.namespace).lake
    returns, trades = (branch.read(TABLES[name]) for name in ("strategy_returns", "sleeve_trades"))
    if returns.empty:
        raise PasError(f"No strategy made a decision that traded between {asked.first} and {asked.last}.")
    sessions = pd.DatetimeIndex(returns["known_on"].unique()).sort_values()
    cash = cash_returns(lake.read(TABLES["treasury_rates"], last=asked.last), sessions)
    variants = {name: variant(one) for name, one in asked.strategies.items()}
    frame = compare(returns, trades, cash, tried_before(lake, set(variants.values())))
    weights = branch.read(assets.WEIGHTS, columns=["decision", "strategy", "cause"])
    made = weights.drop_duplicates(["decision", "strategy"])
    faults = made[made["cause"] == "fault"].groupby("strategy").size()
    names = frame["strategy"]
    told = {
        "ran_on": ran_on,
        "backtest": asked.namespace,
        "variant": names.map(variants),
        "parameters": [_parameters(asked.strategies[name]) for name in names],
        "first": asked.first,
        "last": asked.last,
        "decisions": names.map(made.groupby("strategy").size()),
        "faults": names.map(faults).fillna(0).astype(int),
        "audited": names.map({name: one.decisions for name, one in reports.items()}).fillna(0).astype(int),
        "lookahead": names.map({name: one.total for name, one in reports.items()}).fillna(0).astype(int),
    }
    rows = BACKTESTS.conform(frame.assign(**told))
    lake.replace(BACKTESTS, [ran_on], rows, scope=("backtest", asked.namespace))
    return rows


def variant(strategy: Strategy) -> str:
    """Digest of what makes a trial of its own: the strategy's code and its parameters."""
    try:
        code = inspect.getsource(inspect.getmodule(strategy.function) or strategy.function)
    except (OSError, TypeError):  # made up at run time, without a file
        code = strategy.rule
    told = [strategy.name, code, _parameters(strategy), strategy.drift, strategy.hold_days, strategy.decay_days]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def _parameters(strategy: Strategy) -> str:
    return json.dumps(dict(strategy.parameters), sort_keys=True, default=str)


def tried_before(lake: Lake, without: set[str]) -> dict[str, float]:
    """Variants backtested here before -> the Sharpe ratio of their newest backtest; `without` some."""
    rows = lake.read(BACKTESTS, columns=["ran_on", "backtest", "variant", "sharpe"])
    newest = rows.sort_values(["ran_on", "backtest"]).drop_duplicates("variant", keep="last")
    newest = newest[~newest["variant"].isin(without)]
    return dict(zip(newest["variant"], newest["sharpe"].astype(float), strict=True))
