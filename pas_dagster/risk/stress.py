"""What today's book would lose in past crises and under shocks.

A **replay** buys today's weights at the close of the window's first day and holds them to its last: positions drift,
nothing is rebalanced, cash earns nothing. A name without a return in every session of the window is not covered. It is
**not** taken to have earned 0: `covered` says what share of gross the answer speaks for, `result` is what the covered
names alone add to or take from the account, and `result_of_covered` is the same per dollar invested in them, the best
guess for the rest. A window that the table of returns does not reach is the status `no data`.

A **shock** moves prices at once. Losses are negative fractions of the net asset value; dollars are the same times it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from pas_dagster.risk.exposure import UNKNOWN_SECTOR, sector_of
from pas_dagster.risk.value_at_risk import gaussian_tail


class Window(NamedTuple):
    """A crisis: the last close before the fall, and the close at the bottom."""

    name: str
    start: date
    end: date


# Closing highs and lows of the S&P 500 around each.
WINDOWS = (
    Window("dot-com", date(2000, 3, 24), date(2002, 10, 9)),
    Window("2008", date(2007, 10, 9), date(2009, 3, 9)),
    Window("2020", date(2020, 2, 19), date(2020, 3, 23)),
    Window("2022", date(2022, 1, 3), date(2022, 10, 12)),
)


class Replay(NamedTuple):
    """Today's book in a past window. Numbers are None unless `status` is `ok`.

    Attributes:
        window: which.
        status: `ok`, or `no data`.
        reason: one sentence; when ok, what is not covered, or empty.
        covered: share of gross with a return in every session of the window.
        missing: symbols held that are not covered.
        result: sum of weight times the window's compounded return over the covered names.
        result_usd: the same times the net asset value.
        result_of_covered: result / sum of sizes of the covered weights.
        drawdown: deepest fall of the account from its highest value in the window, covered names and cash.
        worst_session: its worst session.
        sessions: in the window.
    """

    window: Window
    status: Literal["ok", "no data"]
    reason: str
    covered: float
    missing: tuple[str, ...]
    result: float | None = None
    result_usd: float | None = None
    result_of_covered: float | None = None
    drawdown: float | None = None
    worst_session: float | None = None
    sessions: int = 0


class Shock(NamedTuple):
    """A sudden move.

    Attributes:
        name: what happens.
        result, result_usd: fraction of the net asset value, and dollars.
        covered: share of gross for which the move is known; the rest is not in the result.
        missing: symbols of the rest.
    """

    name: str
    result: float
    result_usd: float
    covered: float
    missing: tuple[str, ...]


class RiskShock(NamedTuple):
    """What a change of volatilities and correlations does to the risk of one period.

    Attributes:
        name: what happens.
        before, after: standard deviation of the book.
        tail_before, tail_after: Gaussian value at risk at `level`, mean 0; returns, so negative.
        tail_after_usd: dollars.
        level: of the value at risk.
    """

    name: str
    before: float
    after: float
    tail_before: float
    tail_after: float
    tail_after_usd: float
    level: float


def replay(weights: Mapping[str, float], returns: pd.DataFrame, nav: float, window: Window) -> Replay:
    """Hold today's weights through a past window.

    Args:
        weights: symbol -> fraction of the net asset value, negative when short.
        returns: sessions x symbols, simple, rising dates, NaN where there is none.
        nav: net asset value, USD.
        window: after the close of `start` up to and including `end`. The table must have rows up to `start` and from
            `end` on, else one cannot know that it has all of the window.

    Raises:
        ValueError: dates that do not rise, a return that is infinite or below -1, a weight or nav that is not finite.

    >>> days = pd.to_datetime(["2020-02-19", "2020-02-20", "2020-03-23"])
    >>> table = pd.DataFrame({"A": [0.0, -0.2, -0.5], "B": [float("nan"), 0.1, 0.0]}, index=days)
    >>> found = replay({"A": 0.5, "B": 0.2, "C": 0.3}, table, 1000.0, WINDOWS[2])
    >>> round(found.result, 4), found.covered, found.missing, found.result_usd, round(found.result_of_covered, 4)
    (-0.28, 0.7, ('C',), -280.0, -0.4)
    """
    held = _held(weights, nav)
    if not returns.index.is_monotonic_increasing or not returns.index.is_unique or not returns.columns.is_unique:
        raise ValueError("a table of returns needs rising dates and one column a symbol")
    start, end = pd.Timestamp(window.start), pd.Timestamp(window.end)
    if not len(returns) or returns.index[0] > start or returns.index[-1] < end:
        reach = f"{returns.index[0]:%Y-%m-%d} to {returns.index[-1]:%Y-%m-%d}" if len(returns) else "nothing"
        return _unreached(window, held, f"the returns are of {reach}, the window is {window.start} to {window.end}")
    inside = returns[(returns.index > start) & (returns.index <= end)].reindex(columns=list(held))
    known = inside.notna().all(axis=0).to_numpy()
    w, gross = np.array(list(held.values())), sum(abs(weight) for weight in held.values())
    missing = tuple(symbol for symbol, whole in zip(held, known, strict=True) if not whole)
    if not known.any() or not len(inside):
        return _unreached(window, held, "nothing that is held has returns in every session of the window")
    account = _account(inside.to_numpy(np.float64)[:, known], w[known])
    covered = float(np.abs(w[known]).sum())
    result = float(account[-1] - 1.0)
    return Replay(
        window,
        "ok",
        f"{1.0 - covered / gross:.0%} of gross has no returns in the window" if missing else "",
        covered / gross,
        missing,
        result,
        result * nav,
        result / covered,
        _deepest(account),
        _worst(account),
        len(inside),
    )


def replays(
    weights: Mapping[str, float], returns: pd.DataFrame, nav: float, windows: Sequence[Window] = WINDOWS
) -> tuple[Replay, ...]:
    """Every window; arguments and errors are those of `replay`.

    >>> [found.status for found in replays({"A": 1.0}, pd.DataFrame(), 1000.0)]
    ['no data', 'no data', 'no data', 'no data']
    """
    return tuple(replay(weights, returns, nav, window) for window in windows)


def equity_shock(weights: Mapping[str, float], move: float, nav: float) -> Shock:
    """Every name moves by the same fraction.

    >>> equity_shock({"A": 0.75, "B": -0.25}, -0.25, 1000.0).result
    -0.125
    """
    return _shock(f"every name {move:+.0%}", weights, dict.fromkeys(weights, move), nav)


def sector_shock(
    weights: Mapping[str, float], sectors: Mapping[str, str], moves: Mapping[str, float], nav: float
) -> Shock:
    """Every sector moves by its own fraction; a sector that is not named stays where it is.

    Symbols without a sector are of the sector `unknown`. They count as known only if `moves` names it: that they are
    in none of the sectors that move is not known.

    >>> found = sector_shock({"A": 0.5, "B": 0.25, "C": 0.25}, {"A": "Energy", "B": "Utilities"}, {"Energy": -0.2}, 1e6)
    >>> found.name, found.result, found.covered, found.missing
    ('Energy -20%', -0.1, 0.75, ('C',))
    """
    known = {symbol: sector_of(symbol, sectors) for symbol in weights}
    named = {
        symbol: moves.get(sector, 0.0)
        for symbol, sector in known.items()
        if sector in moves or sector != UNKNOWN_SECTOR
    }
    return _shock(", ".join(f"{sector} {move:+.0%}" for sector, move in moves.items()), weights, named, nav)


def market_shock(weights: Mapping[str, float], betas: Mapping[str, float], move: float, nav: float) -> Shock:
    """The market moves and every name moves by its beta times that, not below -100 %.

    >>> found = market_shock({"A": 0.5, "B": 0.5}, {"A": 1.5}, -0.20, 1000.0)
    >>> round(found.result, 6), found.covered, found.missing
    (-0.15, 0.5, ('B',))
    """
    moves = {symbol: max(-1.0, beta * move) for symbol, beta in betas.items() if not math.isnan(beta)}
    return _shock(f"the market {move:+.0%}", weights, moves, nav)


def risk_shock(
    weights: npt.ArrayLike,
    cov: npt.ArrayLike,
    nav: float,
    *,
    volatility: float = 1.0,
    correlation: float = 0.0,
    level: float = 0.95,
) -> RiskShock:
    """All volatilities are multiplied, and all correlations move towards 1.

    Args:
        weights: (n,) fractions of the net asset value.
        cov: (n, n) covariance of one period.
        nav: net asset value, USD.
        volatility: factor on every standard deviation; 2 doubles them.
        correlation: how far each correlation goes to 1, from 0 (stays) to 1 (all are 1: nothing diversifies, but shorts
            hedge). A blend of two correlation matrices is one, whatever the share.
        level: of the value at risk.

    Raises:
        ValueError: shapes that differ, numbers that are not finite or out of range.

    >>> found = risk_shock([0.5, 0.5], [[4e-4, 0.0], [0.0, 4e-4]], 1e6, correlation=1.0)
    >>> round(found.before, 6), round(found.after, 6), round(found.tail_after_usd)
    (0.014142, 0.02, -32897)
    """
    w, matrix = np.asarray(weights, dtype=np.float64), np.asarray(cov, dtype=np.float64)
    if w.ndim != 1 or matrix.shape != (w.size, w.size):
        raise ValueError(f"weights (n,) and a covariance (n, n) are needed, not {w.shape} and {matrix.shape}")
    if not (np.isfinite(w).all() and np.isfinite(matrix).all() and (matrix.diagonal() >= 0.0).all()):
        raise ValueError("a weight or a covariance is not finite, or a variance negative")
    if not (0.0 <= volatility < math.inf and 0.0 <= correlation <= 1.0 and math.isfinite(nav) and 0.5 < level < 1.0):
        raise ValueError("volatility must be at least 0, correlation from 0 to 1, nav finite and level in (0.5, 1)")
    before = math.sqrt(max(float(w @ matrix @ w), 0.0))
    together = abs(float(w @ np.sqrt(matrix.diagonal())))
    after = volatility * math.sqrt((1.0 - correlation) * before**2 + correlation * together**2)
    quantile = gaussian_tail(level)[0]
    name = f"volatilities x{volatility:g}, correlations {correlation:.0%} of the way to 1"
    return RiskShock(name, before, after, quantile * before, quantile * after, quantile * after * nav, level)


def _shock(name: str, weights: Mapping[str, float], moves: Mapping[str, float], nav: float) -> Shock:
    held = _held(weights, nav)
    for symbol in held:
        if symbol in moves and not (math.isfinite(moves[symbol]) and moves[symbol] >= -1.0):
            raise ValueError(f"the move of {symbol} is {moves[symbol]}; it must be finite and not below -1")
    known = {symbol: weight for symbol, weight in held.items() if symbol in moves}
    result = math.fsum(weight * moves[symbol] for symbol, weight in known.items())
    gross = math.fsum(abs(weight) for weight in held.values())
    covered = math.fsum(abs(weight) for weight in known.values()) / gross if gross else 1.0
    return Shock(name, result, result * nav, covered, tuple(symbol for symbol in held if symbol not in known))


def _held(weights: Mapping[str, float], nav: float) -> dict[str, float]:
    if not (math.isfinite(nav) and all(math.isfinite(weight) for weight in weights.values())):
        raise ValueError("a weight or the net asset value is not finite")
    return {symbol: float(weight) for symbol, weight in weights.items() if weight != 0.0}


def _unreached(window: Window, held: Mapping[str, float], why: str) -> Replay:
    return Replay(window, "no data", why if held else "nothing is held", 0.0, tuple(held))


def _account(x: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Value (T + 1,) of an account of 1 that holds the weights through returns (T, n); the first is 1."""
    if np.isinf(x).any() or (x < -1.0).any():
        raise ValueError("a return is infinite or below -1")
    return np.concatenate([[1.0], 1.0 + (np.cumprod(1.0 + x, axis=0) - 1.0) @ weights])


def _deepest(account: npt.NDArray[np.float64]) -> float:
    """Deepest fall from the highest value so far; a lost account stays lost."""
    return float((account / np.maximum.accumulate(account) - 1.0).min())


def _worst(account: npt.NDArray[np.float64]) -> float:
    """Worst session, as a fraction of the account at the session before; sessions after a total loss do not count."""
    alive = np.cumprod(account[:-1] > 0.0).astype(bool)
    return float((account[1:][alive] / account[:-1][alive] - 1.0).min())
