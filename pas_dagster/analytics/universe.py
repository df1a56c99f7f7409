"""Metrics of every symbol of the universe at a date, from panels of closes.

All are of the closes up to and including the date; what comes after is not looked at.

| metric | rule |
|---|---|
| return_7d, 30d, 90d | last close / last close at or before so many calendar days back - 1 |
| return_1y, 3y, 5y | likewise, the same day so many years back (29 February: the 28th) |
| volatility_1y | annualised standard deviation of the sessions' returns after the close of a year back |
| beta_1y | to the index, of the same returns |
| max_drawdown_1y | of the same returns, from the close of a year back |
| dollar_volume_20 | mean dollar volume of the last 20 sessions |
| from_high_52w | last close / highest close since the one of a year back - 1; 0 or less |

* **NaN when not listed that long**: no close at or before the day back. This holds for the metrics of a year too.
* **NaN when the close is stale**: more than `STALE` calendar days before the day it stands for, at either end. A name
  that no longer trades has no metrics, and a year's return does not begin at a price from before a halt.
* A session without a close is no observation; the return after it is that since the last close. Volatility and beta are
  of what is there, mean volume needs half of its sessions.
* Returns are total if the closes are total-return closes (with dividends), which is what they should be; the high is
  then of these closes too, and a little further away than that of prices.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from pas_dagster.analytics import statistics
from pas_dagster.analytics.costs import liquidity
from pas_dagster.analytics.statistics import FloatArray, IntArray

Days = npt.NDArray[np.datetime64]

DAYS_BACK = {"return_7d": 7, "return_30d": 30, "return_90d": 90}
YEARS_BACK = {"return_1y": 1, "return_3y": 3, "return_5y": 5}
VOLUME_SESSIONS = 20
STALE = 7  # calendar days; in September 2001 the exchange was shut for six

COLUMNS = (*DAYS_BACK, *YEARS_BACK, "volatility_1y", "beta_1y", "max_drawdown_1y", "dollar_volume_20", "from_high_52w")


class UniverseMetrics(NamedTuple):
    """One number for each of N symbols; NaN where there is none. All are decimals, but for the volume in USD."""

    return_7d: FloatArray
    return_30d: FloatArray
    return_90d: FloatArray
    return_1y: FloatArray
    return_3y: FloatArray
    return_5y: FloatArray
    volatility_1y: FloatArray
    beta_1y: FloatArray
    max_drawdown_1y: FloatArray
    dollar_volume_20: FloatArray
    from_high_52w: FloatArray


def universe_metrics(
    days: Days, closes: FloatArray, index: FloatArray, volumes: FloatArray, at: date
) -> UniverseMetrics:
    """Every metric of every symbol at a date.

    Args:
        days: (T,) sessions, ascending and unique.
        closes: (T, N) total-return closes, > 0, NaN where there is none.
        index: (T,) closes of the index, NaN where there is none.
        volumes: (T, N) dollars traded, >= 0, NaN where not known.
        at: the date; rows after it are cut off.

    Raises:
        ValueError: shapes that do not fit, days out of order, or closes that are not above 0.

    >>> days = np.array(["2024-01-02", "2024-01-09"], dtype="datetime64[D]")
    >>> closes = np.array([[100.0, np.nan], [110.0, 50.0]])
    >>> found = universe_metrics(days, closes, closes[:, 0], closes * 1e4, date(2024, 1, 10))
    >>> found.return_7d.round(4).tolist(), found.return_30d.tolist()
    ([0.1, nan], [nan, nan])
    """
    _check(days, closes, index, volumes)
    end = int(np.searchsorted(days, np.datetime64(at, "D"), side="right"))
    days, closes, index, volumes = days[:end], closes[:end], index[:end], volumes[:end]
    newest = _newest(closes)
    last = _close(days, closes, newest, _day(at))
    returns = {
        name: last / _close(days, closes, newest, day) - 1.0
        for name, day in [
            *((name, _day(at) - back) for name, back in DAYS_BACK.items()),
            *((name, _years_back(at, back)) for name, back in YEARS_BACK.items()),
        ]
    }
    volume = liquidity(volumes, np.full_like(volumes, np.nan), np.array([end]), window=VOLUME_SESSIONS).volume[0]
    return UniverseMetrics(
        **returns,
        **_last_year(days, closes, index, newest, at),
        dollar_volume_20=np.where(np.isnan(last), np.nan, volume),
    )


def universe_table(closes: pd.DataFrame, index: pd.Series, volumes: pd.DataFrame, at: date) -> pd.DataFrame:
    """`universe_metrics` by symbol: the columns of `COLUMNS`.

    Args:
        closes: sessions x symbols.
        index: closes of the index, brought onto the sessions of `closes`.
        volumes: dollars traded, likewise, and onto its symbols.
        at: the date.

    Raises:
        ValueError: all that `universe_metrics` raises.
    """
    found = universe_metrics(
        closes.index.to_numpy().astype("datetime64[D]"),
        closes.to_numpy(dtype=np.float64),
        index.reindex(closes.index).to_numpy(dtype=np.float64),
        volumes.reindex(index=closes.index, columns=closes.columns).to_numpy(dtype=np.float64),
        at,
    )
    return pd.DataFrame(found._asdict(), index=closes.columns)[list(COLUMNS)]


def _check(days: Days, closes: FloatArray, index: FloatArray, volumes: FloatArray) -> None:
    if closes.ndim != 2 or len(closes) != len(days) or index.shape != days.shape or volumes.shape != closes.shape:
        raise ValueError(f"closes {closes.shape}, index {index.shape} and volumes {volumes.shape} must fit the days")
    if (np.diff(days) <= np.timedelta64(0, "D")).any():
        raise ValueError("days must be ascending and unique")
    if any(not (table[~np.isnan(table)] > 0.0).all() or np.isinf(table).any() for table in (closes, index)):
        raise ValueError("closes must be finite and above 0, or NaN when there is none")


def _day(at: date) -> np.datetime64:
    return np.datetime64(at, "D")


def _years_back(at: date, years: int) -> np.datetime64:
    last = 28 if (at.month, at.day) == (2, 29) else at.day
    return np.datetime64(date(at.year - years, at.month, last), "D")


def _newest(closes: FloatArray) -> IntArray:
    """(T, N) row of the newest close so far, -1 before the first."""
    rows = np.where(np.isnan(closes), -1, np.arange(len(closes))[:, None])
    return np.maximum.accumulate(rows, axis=0)


def _rows_at(days: Days, newest: IntArray, day: np.datetime64) -> IntArray:
    """(N,) row of the last close at or before a day, -1 where there is none or it is stale."""
    row = int(np.searchsorted(days, day, side="right")) - 1
    if row < 0:
        return np.full(newest.shape[1], -1)
    rows = newest[row]
    return np.where((rows >= 0) & (days[rows] >= day - STALE), rows, -1)


def _close(days: Days, closes: FloatArray, newest: IntArray, day: np.datetime64) -> FloatArray:
    """(N,) that close, NaN where there is none."""
    rows = _rows_at(days, newest, day)
    if not len(closes):
        return np.full(len(rows), np.nan)
    return np.where(rows >= 0, closes[rows, np.arange(len(rows))], np.nan)


def _last_year(days: Days, closes: FloatArray, index: FloatArray, newest: IntArray, at: date) -> dict[str, FloatArray]:
    """The metrics of the returns after the close of a year back."""
    names, day = np.arange(closes.shape[1]), _years_back(at, 1)
    last, base = (_close(days, closes, newest, one) for one in (_day(at), day))
    listed = ~np.isnan(last / base)
    begin = int(np.searchsorted(days, day, side="right"))
    window = np.vstack([base, closes[begin:]])
    market = np.concatenate([_close(days, index[:, None], _newest(index[:, None]), day), index[begin:]])
    x, b = _returns(window), _returns(market[:, None])[:, 0]
    high = np.fmax.reduce(window, axis=0, initial=-np.inf)
    found = {
        "volatility_1y": np.asarray(statistics.volatility(x)),
        "beta_1y": np.asarray(statistics.beta(x, b)),
        "max_drawdown_1y": np.asarray(statistics.max_drawdown(x)),
        "from_high_52w": last / high - 1.0,
    }
    return {name: np.where(listed[names], values, np.nan) for name, values in found.items()}


def _returns(closes: FloatArray) -> FloatArray:
    """(T - 1, N) return since the last close, NaN where there is no close."""
    newest = _newest(closes)[:-1]
    before = np.where(newest >= 0, np.take_along_axis(closes, np.maximum(newest, 0), axis=0), np.nan)
    return closes[1:] / before - 1.0
