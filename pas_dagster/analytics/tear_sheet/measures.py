"""The numbers of a tear sheet: headline figures with their definitions, months and years, episodes, rolling windows.

Every statistic is one of `analytics.statistics`; what is added here is when a number is *not* shown:

* What is stated for a year (growth, Calmar ratio, turnover, cost) needs a year of sessions: the Global Investment
  Performance Standards (CFA Institute, 2020) do not let returns of less than a year be annualised.
* Spread, ratios, betas and quantiles need `FEW` sessions: below that a 5 % quantile is not even one observation.

A number that is not shown is NaN and comes with its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pas_dagster.analytics import statistics
from pas_dagster.analytics.statistics import SESSIONS_PER_YEAR
from pas_dagster.analytics.tear_sheet.book import Days, FloatArray, Record, Track
from pas_dagster.analytics.tear_sheet.words import count

FEW = 20  # sessions
WINDOW = 126  # sessions, half a year
EPISODES = 5

NOISE = 1e-9  # a fall or a spread below this is rounding
NAN = float("nan")


class Measure(NamedTuple):
    """One headline number."""

    key: str
    label: str
    definition: str
    unit: str  # percent, fine (of a per cent) or number
    value: float
    reason: str  # why the value is NaN, else empty
    benchmark: float = NAN  # the same of the benchmark, where that means something


class Episode(NamedTuple):
    """A fall of the book below its highest value so far, and how long it took to come back."""

    peak: np.datetime64 | None  # last session at the high; None when the book fell from its first session on
    trough: np.datetime64
    recovery: np.datetime64 | None  # first session at or above the high; None when that has not happened
    depth: float  # fraction < 0
    days: int  # calendar days from the peak (else the first session) to the recovery (else the last session)


class Periods(NamedTuple):
    """Compounded returns of months or years."""

    starts: Days  # first day of the calendar period
    values: FloatArray


# ------------------------------------------------------------------------------------------------ headline numbers

_DEFINITIONS: dict[str, tuple[str, str, str]] = {
    "total_return": ("Total return", "Compounded return after costs over the whole time.", "percent"),
    "cagr": (
        "Growth a year (CAGR)",
        "Constant yearly growth that gives the total return: NAV^(252 / n) − 1.",
        "percent",
    ),
    "gross": ("Growth before costs", "The same yearly growth from returns before costs.", "percent"),
    "volatility": ("Volatility", "Standard deviation of the session returns (n − 1), times √252.", "percent"),
    "max_drawdown": (
        "Maximum drawdown",
        "Deepest fall of the compounded value from its highest point so far, the start included.",
        "percent",
    ),
    "value_at_risk": (
        "VaR, 1 session, 95%",
        "Historical value at risk: the 5% quantile of the session returns, linear between observations.",
        "fine",
    ),
    "conditional_value_at_risk": (
        "CVaR, 1 session, 95%",
        "Mean of the session returns at or below the value at risk (expected shortfall).",
        "fine",
    ),
    "win_rate": ("Hit rate", "Sessions with a gain among the sessions with a gain or a loss.", "percent"),
    "sharpe": ("Sharpe ratio", "Mean over standard deviation of the returns above cash, times √252.", "number"),
    "sortino": (
        "Sortino ratio",
        "Mean of the returns above cash over the root mean square of those below it, over all sessions, times √252.",
        "number",
    ),
    "calmar": ("Calmar ratio", "Growth a year over the size of the maximum drawdown.", "number"),
    "beta": ("Beta", "Slope of the returns on those of the benchmark, both above cash.", "number"),
    "alpha": (
        "Alpha a year",
        "Mean return above cash that beta times the benchmark does not explain, times 252.",
        "percent",
    ),
    "turnover": (
        "Turnover a year",
        "Traded dollars, buys plus sells, per dollar of the book, for 252 sessions.",
        "percent",
    ),
    "cost": ("Cost a year", "Costs of trading as a share of the book, summed, for 252 sessions.", "fine"),
    "exposure": ("Average exposure", "Mean share of the book invested at the close; the rest is cash.", "percent"),
}

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Return", ("total_return", "cagr", "gross")),
    ("Risk", ("volatility", "max_drawdown", "value_at_risk", "conditional_value_at_risk", "win_rate")),
    ("Return for risk", ("sharpe", "sortino", "calmar")),
    ("Against the benchmark", ("beta", "alpha")),
    ("Trading", ("turnover", "cost", "exposure")),
)

_OWN: dict[str, tuple[Callable[..., statistics.Statistic], int, str]] = {  # statistic, sessions it needs, else
    "total_return": (statistics.total_return, 1, ""),
    "cagr": (statistics.cagr, SESSIONS_PER_YEAR, ""),
    "volatility": (statistics.volatility, FEW, ""),
    "max_drawdown": (statistics.max_drawdown, 1, ""),
    "value_at_risk": (statistics.value_at_risk, FEW, ""),
    "conditional_value_at_risk": (statistics.conditional_value_at_risk, FEW, ""),
    "win_rate": (statistics.win_rate, FEW, "no session gained or lost"),
    "sharpe": (statistics.sharpe, FEW, "the returns above cash do not vary"),
    "sortino": (statistics.sortino, FEW, "no session returned less than cash"),
    "calmar": (statistics.calmar, SESSIONS_PER_YEAR, "there was no drawdown"),
}
_ABOVE_CASH = {"sharpe", "sortino"}


def measures(book: Record) -> dict[str, Measure]:
    """Every headline number by its key, in the order of `GROUPS`."""
    found = {key: _own(key, book) for key in _OWN}
    found |= {key: _against(key, book) for key in ("beta", "alpha")}
    found["gross"] = _gross(book)
    found |= {key: _per_year(key, getattr(book, key), len(book.net)) for key in ("turnover", "cost")}
    found["exposure"] = _exposure(book.exposure)
    return {key: found[key] for _, keys in GROUPS for key in keys}


def cash_a_year(book: Record) -> float:
    """Mean return of cash times 252; NaN when none was given."""
    known = book.cash
    return NAN if isinstance(known, float) or np.isnan(known).all() else float(np.nanmean(known)) * SESSIONS_PER_YEAR


def _measure(key: str, value: float, reason: str = "", benchmark: float = NAN) -> Measure:
    label, definition, unit = _DEFINITIONS[key]
    return Measure(key, label, definition, unit, value, "" if np.isfinite(value) else reason, benchmark)


def _own(key: str, book: Record) -> Measure:
    _, needed, otherwise = _OWN[key]
    cash = book.cash if key in _ABOVE_CASH else 0.0
    observed = len(book.net) if isinstance(cash, float) else int(np.count_nonzero(~np.isnan(cash)))
    value = _enough(key, book.net.values, cash)
    reason = too_few(observed, needed) or otherwise
    if observed < needed <= len(book.net):
        reason = f"the return of cash is known on {observed} sessions only"
    other = NAN
    if book.benchmark is not None:
        rate = cash if isinstance(cash, float) or book.risk_free is None else book.risk_free.at(book.benchmark.days)
        other = _enough(key, book.benchmark.values, rate)
    return _measure(key, value, reason, other)


def _enough(key: str, returns: FloatArray, cash: FloatArray | float) -> float:
    """The statistic of one book, NaN with too few observations."""
    statistic, needed, _ = _OWN[key]
    if np.count_nonzero(~np.isnan(returns - cash)) < needed:
        return NAN
    return float(statistic(returns, risk_free=cash) if key in _ABOVE_CASH else statistic(returns))


def _against(key: str, book: Record) -> Measure:
    if book.benchmark is None:
        return _measure(key, NAN, "no benchmark was given")
    market = book.benchmark.at(book.net.days)
    common = int(np.count_nonzero(~np.isnan(market + book.cash)))
    if common < FEW:
        return _measure(key, NAN, too_few(common, FEW, " in common with the benchmark"))
    statistic = statistics.beta if key == "beta" else statistics.alpha
    value = float(statistic(book.net.values, market, risk_free=book.cash))
    return _measure(key, value, "the benchmark does not vary")


def _gross(book: Record) -> Measure:
    if book.gross is None:
        return _measure("gross", NAN, "returns before costs were not given")
    return _measure("gross", _enough("cagr", book.gross.values, 0.0), too_few(len(book.gross), SESSIONS_PER_YEAR))


def _per_year(key: str, track: Track | None, sessions: int) -> Measure:
    if track is None or not len(track):
        return _measure(key, NAN, _unknown(key, track))
    if sessions < SESSIONS_PER_YEAR:
        return _measure(key, NAN, too_few(sessions, SESSIONS_PER_YEAR))
    return _measure(key, float(track.values.sum()) * SESSIONS_PER_YEAR / sessions)


def _exposure(track: Track | None) -> Measure:
    if track is None or not len(track):
        return _measure("exposure", NAN, _unknown("exposure", track))
    return _measure("exposure", float(track.values.mean()))


def _unknown(key: str, track: Track | None) -> str:
    return f"{key} was not given" if track is None else f"{key} is not known on any session"


def too_few(observed: int, needed: int, what: str = "") -> str:
    """Why a number that needs `needed` sessions is not shown; empty when there are enough.

    >>> too_few(5, 20), too_few(0, 1), too_few(30, 20), too_few(40, 252)
    ('5 sessions, 20 are needed', 'no session has a return', '', '40 sessions are less than a year (252)')
    """
    if observed >= needed:
        return ""
    if observed == 0 and not what:
        return "no session has a return"
    if needed == SESSIONS_PER_YEAR:
        return f"{count(observed, 'session')} {'is' if observed == 1 else 'are'} less than a year ({needed})"
    return f"{count(observed, 'session')}{what}, {needed} are needed"


# -------------------------------------------------------------------------------------- months, years and episodes


def compounded(track: Track, unit: str) -> Periods:
    """Returns compounded over each calendar month (`unit` "M") or year ("Y") that has one.

    >>> days = np.array(["2024-01-30", "2024-01-31", "2024-02-01"], "datetime64[D]")
    >>> compounded(Track(days, np.array([0.1, 0.1, -0.5])), "M").values.round(6).tolist()
    [0.21, -0.5]
    """
    starts, first = _starts(track, unit)
    if not len(track):
        return Periods(starts, track.values)
    return Periods(starts, np.multiply.reduceat(1.0 + track.values, first) - 1.0)


def summed(track: Track, unit: str) -> Periods:
    """Values added up over each calendar month or year that has one."""
    starts, first = _starts(track, unit)
    return Periods(starts, np.add.reduceat(track.values, first) if len(track) else track.values)


def years_beside(book: Record) -> FloatArray | None:
    """Return of the benchmark in each year of the book, NaN in a year without; None without a benchmark."""
    if book.benchmark is None:
        return None
    other = compounded(book.benchmark, "Y")
    return Track(other.starts, other.values).at(compounded(book.net, "Y").starts)


def _starts(track: Track, unit: str) -> tuple[Days, npt.NDArray[np.int64]]:
    periods, first = np.unique(track.days.astype(f"datetime64[{unit}]"), return_index=True)
    return periods.astype("datetime64[D]"), first


def growth(returns: FloatArray) -> FloatArray:
    """Value of one dollar after each session."""
    return np.multiply.accumulate(1.0 + returns)


def episodes(track: Track) -> list[Episode]:
    """Every drawdown, deepest first; of two of one depth the earlier first.

    >>> days = np.array(["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"], "datetime64[D]")
    >>> [found] = episodes(Track(days, np.array([0.1, -0.5, 1.0, 0.0])))
    >>> str(found.peak), str(found.trough), str(found.recovery), found.depth, found.days
    ('2024-01-02', '2024-01-03', '2024-01-04', -0.5, 2)
    """
    falls = statistics.drawdown(track.values)
    under = np.concatenate([[False], falls < -NOISE, [False]])
    edges = np.flatnonzero(under[1:] != under[:-1])
    found = [_episode(track, falls, a, b) for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)]
    return sorted(found, key=lambda episode: episode.depth)


def _episode(track: Track, falls: FloatArray, first: int, stop: int) -> Episode:
    """The one whose sessions below the high are [first, stop)."""
    lowest = first + int(np.argmin(falls[first:stop]))
    peak = track.days[first - 1] if first else None
    recovery = track.days[stop] if stop < len(track) else None
    begin = track.days[0] if peak is None else peak
    end = track.days[-1] if recovery is None else recovery
    return Episode(peak, track.days[lowest], recovery, float(falls[lowest]), int((end - begin).astype(np.int64)))


# ------------------------------------------------------------------------------------------------- rolling windows


def rolling_sharpe(book: Record) -> Track:
    """Sharpe ratio of each `WINDOW` sessions, by the last of them; NaN where the returns of a window do not vary."""
    excess = book.net.values - book.cash
    known = ~np.isnan(excess)
    days, windows = book.net.days[known], _windows(excess[known])
    if windows is None:
        return Track(days[:0], excess[:0])
    return Track(days[WINDOW - 1 :], np.asarray(statistics.sharpe(windows)))


def rolling_beta(book: Record) -> Track:
    """Beta of each `WINDOW` sessions that book, benchmark and cash have in common, by the last of them."""
    if book.benchmark is None:
        return Track(book.net.days[:0], book.net.values[:0])
    own, market = book.net.values - book.cash, book.benchmark.at(book.net.days) - book.cash
    known = ~np.isnan(own + market)
    days, left, right = book.net.days[known], _windows(own[known]), _windows(market[known])
    if left is None or right is None:
        return Track(days[:0], own[:0])
    return Track(days[WINDOW - 1 :], np.asarray(statistics.beta(left, right)))


def _windows(values: FloatArray) -> FloatArray | None:
    """(WINDOW, K) columns, one per window; None when there are too few values."""
    if len(values) < WINDOW:
        return None
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(values, WINDOW).T)
