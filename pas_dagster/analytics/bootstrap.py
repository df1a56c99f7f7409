"""How sure a statistic is: the stationary bootstrap, for one series or the difference of two.

A resample is made of blocks of consecutive periods, each beginning anywhere and of a length that is geometric with mean
`block`; the series is a circle. Blocks keep what follows on what (volatility clusters), geometric lengths keep the
resample stationary. All series of a call are resampled with the same rows, so what happens in the same week stays
together: a difference is **paired**.

* The block, when none is given, is T^(1/3) rounded: the order that makes the error of the bootstrap's variance
  smallest. It is a rule of thumb, not an estimate.
* Intervals are percentiles of the resamples, linear between them.
* The seed is given, so the same call gives the same interval. With 2,000 resamples the ends of a 95 % interval are sure
  to about 2 % of its width.
* **NaN is no observation**: a period in which any of the series is missing is left out of all, and what is left is
  taken as consecutive. An interval that cannot be had is NaN, and `reason` says why.

Source: Politis and Romano, "The Stationary Bootstrap", Journal of the American Statistical Association 89(428), 1994.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pas_dagster.analytics.statistics import FloatArray, IntArray, Statistic

Function = Callable[..., Statistic]  # of (T, N) columns, a table for each series, to N numbers

RESAMPLES = 2000
TOO_FEW = "there are fewer than two periods in which every series is known"
UNDEFINED = "the statistic has no value for more than one resample in a hundred"

_BLOCK = 1 << 18  # numbers worked on at once: small enough to stay in the processor's cache


class Interval(NamedTuple):
    """A statistic and how sure it is.

    Attributes:
        estimate: of the series itself.
        low: lower end of the interval.
        high: upper end.
        reason: why the ends are NaN; empty when they are not.
    """

    estimate: float
    low: float
    high: float
    reason: str


class Difference(NamedTuple):
    """A statistic of one series less that of another, and how sure it is.

    Attributes:
        estimate: of the two series themselves.
        low: lower end of the interval.
        high: upper end.
        probability: share of the resamples in which the first is above the second, those alike counting half.
        reason: why the three before are NaN; empty when they are not.
    """

    estimate: float
    low: float
    high: float
    probability: float
    reason: str


def stationary_rows(periods: int, *, count: int, block: float, seed: int) -> IntArray:
    """Rows of `count` resamples, (count, periods), each row a number from 0 to `periods` - 1.

    Args:
        periods: T, at least 1.
        count: of resamples.
        block: mean length of a block, at least 1; with 1 every row is drawn on its own.
        seed: of the generator.

    Raises:
        ValueError: numbers out of range.

    >>> stationary_rows(5, count=2, block=3.0, seed=7).tolist()
    [[4, 0, 1, 1, 1], [1, 3, 4, 0, 1]]
    """
    if periods < 1 or count < 1 or not block >= 1.0:
        raise ValueError("there must be at least one period and one resample, and blocks of at least one period")
    rng = np.random.default_rng(seed)
    begins = rng.random((count, periods)) < 1.0 / block
    begins[:, 0] = True
    at = np.flatnonzero(begins)  # blocks, all resamples one after the other
    shifts = (rng.integers(periods, size=len(at)) - at) % periods  # of each block, from its place to the row it shows
    rows = np.repeat(shifts, np.diff(at, append=count * periods)).reshape(count, periods) + np.arange(periods)
    return np.where(rows >= periods, rows - periods, rows)


def interval(
    statistic: Function,
    *series: npt.ArrayLike,
    seed: int,
    level: float = 0.95,
    count: int = RESAMPLES,
    block: float | None = None,
) -> Interval:
    """Percentile interval of a statistic.

    Args:
        statistic: of (T, N) columns, one table for each series, such as `statistics.sharpe`.
        series: (T,) each.
        seed: of the generator.
        level: share of the resamples within the interval.
        count: of resamples.
        block: mean length of a block.

    Raises:
        ValueError: lengths that differ, a level outside (0, 1), and all that the statistic raises.

    >>> from pas_dagster.analytics.statistics import win_rate
    >>> found = interval(win_rate, [0.01, -0.01, 0.02, -0.02] * 25, seed=1)
    >>> found.estimate, 0.4 < found.low < 0.5 < found.high < 0.6
    (0.5, True)
    """
    tables = _known(series)
    if tables.shape[1] < 2:
        return Interval(np.nan, np.nan, np.nan, TOO_FEW)
    values = _resampled(statistic, tables, _rows(tables, count, block, seed))
    ends, reason = _ends(values, level)
    return Interval(_value(statistic, tables), *ends, reason)


def paired_difference(
    statistic: Function,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *others: npt.ArrayLike,
    seed: int,
    level: float = 0.95,
    count: int = RESAMPLES,
    block: float | None = None,
) -> Difference:
    """Percentile interval of statistic(first, *others) - statistic(second, *others), over the same resampled periods.

    The probability is the bootstrap's: how often the first would have been ahead had the periods come in another mix.
    It knows nothing of how many pairs were looked at.

    Raises:
        ValueError: as `interval`.

    >>> from pas_dagster.analytics.statistics import total_return
    >>> book = np.array([0.01, -0.02, 0.03, 0.0] * 10)
    >>> found = paired_difference(total_return, book + 0.001, book, seed=1)
    >>> found.probability, found.low > 0.0
    (1.0, True)
    """
    tables = _known([first, second, *others])
    if tables.shape[1] < 2:
        return Difference(np.nan, np.nan, np.nan, np.nan, TOO_FEW)
    rows = _rows(tables, count, block, seed)
    sides = [np.delete(tables, other, axis=0) for other in (1, 0)]
    ahead, behind = (_resampled(statistic, side, rows) for side in sides)
    ends, reason = _ends(ahead - behind, level)
    known = ~np.isnan(ahead - behind)
    won = np.mean((ahead[known] > behind[known]) + 0.5 * (ahead[known] == behind[known])) if not reason else np.nan
    estimate = _value(statistic, sides[0]) - _value(statistic, sides[1])
    return Difference(estimate, *ends, float(won), reason)


def block_length(periods: int) -> float:
    """T^(1/3), rounded, at least 1.

    >>> block_length(520), block_length(2)
    (8.0, 1.0)
    """
    return max(1.0, float(round(periods ** (1.0 / 3.0))))


def _known(series: tuple[npt.ArrayLike, ...] | list[npt.ArrayLike]) -> FloatArray:
    """(series, T) of the periods in which all are known."""
    arrays = [np.asarray(one, dtype=np.float64) for one in series]
    if any(one.shape != arrays[0].shape or one.ndim != 1 for one in arrays):
        raise ValueError(f"series must be (T,) and of one length, not {[one.shape for one in arrays]}")
    tables = np.array(arrays)
    return tables[:, ~np.any(np.isnan(tables), axis=0)]


def _rows(tables: FloatArray, count: int, block: float | None, seed: int) -> IntArray:
    periods = tables.shape[1]
    return stationary_rows(periods, count=count, block=block_length(periods) if block is None else block, seed=seed)


def _resampled(statistic: Function, tables: FloatArray, rows: IntArray) -> FloatArray:
    """(count,) the statistic of every resample."""
    step = max(1, _BLOCK // rows.shape[1])
    parts = [
        np.asarray(statistic(*(table[rows[first : first + step]].T for table in tables)))
        for first in range(0, len(rows), step)
    ]
    return np.concatenate(parts)


def _value(statistic: Function, tables: FloatArray) -> float:
    return float(np.asarray(statistic(*(table[:, None] for table in tables)))[0])


def _ends(values: FloatArray, level: float) -> tuple[tuple[float, float], str]:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    known = values[~np.isnan(values)]
    if len(known) < 0.99 * len(values):
        return (np.nan, np.nan), UNDEFINED
    low, high = np.quantile(known, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return (float(low), float(high)), ""
