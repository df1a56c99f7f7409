"""Volatility-scaled momentum."""

from __future__ import annotations

import numpy as np

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import Count, NotEnoughData, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window

YEAR = 252  # sessions
SKIPPED = 21  # sessions of the last month, which tend to reverse
RISK_SESSIONS = 60
VOLUME_SESSIONS = 20
MIN_BARS = 0.95  # share of the year's sessions on which a name must have traded
MIN_DOLLAR_VOLUME = 5e6
MIN_CLOSE = 5.0
STILL = 1e-9  # a daily volatility below this is rounding: the price does not move


@strategy(
    name="volatility_scaled_momentum",
    title="Volatility-Scaled Momentum",
    cadence=Cadence.WEEKLY_FRI,
    reads={"prices": Window(sessions=274), "universe": Window()},
)
def volatility_scaled_momentum(data: AsOf, *, top_n: Count = 50, require_volume: bool = False) -> Weights:
    """Stocks that rose most over a year per unit of risk, the last month left out.

    Rule: score each stock of the universe by its total return from the close of session t-252 to the close of
    t-21 (t is the last known session), divided by the annualised standard deviation of its daily returns of the
    last 60 sessions; hold the `top_n` largest positive scores, ties by symbol, weighted by inverse volatility.
    None positive: cash.

    A stock takes part with bars on at least 95 % of the last 252 sessions, the last one among them (a session
    without a bar counts as a return of zero, and is left out of the volatility), a median dollar volume of
    5 million USD over 20 sessions and a close of 5 USD; where volume or close is unknown that floor does not bind.
    Fewer than 253 sessions known, or no stock with such a history: cannot decide.

    Source: Jegadeesh and Titman (1993), Barroso and Santa-Clara (2015); daily total returns, closes and volumes.

    Parameters: top_n, the most names held; require_volume, leave out stocks whose volume is unknown.
    """
    frame = data.returns(YEAR + 1)
    if len(frame) < YEAR + 1:
        raise NotEnoughData(f"{len(frame)} of {YEAR + 1} sessions of prices are known")
    at = frame.columns.get_indexer(data.stocks())  # in the order of symbols, which breaks ties below
    year = frame.to_numpy()[-YEAR:].take(at[at >= 0], axis=1)
    complete = _is_complete(year)
    at, year = at[at >= 0][complete], year if complete.all() else year[:, complete]
    if not at.size:
        raise NotEnoughData(f"no stock has prices on {MIN_BARS:.0%} of the last {YEAR} sessions and on the last one")
    liquid = _is_liquid(data, at, require_volume)
    volatility = _deviation(year[-RISK_SESSIONS:]) * np.sqrt(YEAR)
    score = np.where(liquid & (volatility > STILL), _compound(year[:-SKIPPED]) / np.maximum(volatility, STILL), 0.0)
    best = np.argsort(-score, kind="stable")[:top_n]
    best = best[score[best] > 0]
    inverse = 1 / volatility[best]
    shares = inverse / inverse.sum()
    return Weights(dict(zip(frame.columns[at[best]].tolist(), shares.tolist(), strict=True)))


def _is_complete(year: np.ndarray) -> np.ndarray:
    missing = np.isnan(year).sum(axis=0, dtype=np.int16)
    return (missing <= (1 - MIN_BARS) * YEAR) & ~np.isnan(year[-1])


def _is_liquid(data: AsOf, at: np.ndarray, require_volume: bool) -> np.ndarray:
    """Which columns are above the floors; an unknown value passes, unless volume is required."""
    volume = _median(data.dollar_volumes(VOLUME_SESSIONS).to_numpy()[:, at])
    close = data.closes(1).to_numpy()[-1, at]
    thin = (volume < MIN_DOLLAR_VOLUME) | (close < MIN_CLOSE)  # false where unknown
    return ~thin & ~np.isnan(volume) if require_volume else ~thin


def _compound(returns: np.ndarray) -> np.ndarray:
    """Total return per column, a missing one counting as zero."""
    growth = 1.0 + returns
    growth[np.isnan(growth)] = 1.0
    return np.prod(growth, axis=0) - 1.0


def _deviation(returns: np.ndarray) -> np.ndarray:
    """Sample standard deviation per column over the known values."""
    known = ~np.isnan(returns)
    count = known.sum(axis=0)
    mean = np.where(known, returns, 0.0).sum(axis=0) / np.maximum(count, 1)
    squares = np.where(known, returns - mean, 0.0) ** 2
    return np.sqrt(squares.sum(axis=0) / np.maximum(count - 1, 1))


def _median(values: np.ndarray) -> np.ndarray:
    """Median per column over the known values, NaN without any (numpy's own is slow and warns)."""
    ordered = np.sort(values, axis=0)  # NaN goes last
    count = (~np.isnan(values)).sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(values) - 1)
    column = np.arange(values.shape[1])
    return (ordered[low, column] + ordered[high, column]) / 2
