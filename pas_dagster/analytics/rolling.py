"""Statistics of every trailing window: those of `pas_dagster.analytics.statistics`, and so in its conventions.

A window is a number of rows (sessions, or weeks), and its statistic stands in its last row. **NaN until the window is
full**, and as long as a missing return, of the book or of what it is held against, lies within it: a window with a hole
would be a shorter one. Each window is worked out on its own, nothing is added and taken away along the way, so a number
is the same wherever the panel begins and no rounding is carried on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from pas_dagster.analytics import statistics
from pas_dagster.analytics.statistics import SESSIONS_PER_YEAR, FloatArray, Statistic

_BLOCK = 1 << 18  # numbers worked on at once: small enough to stay in the processor's cache


def rolling(statistic: Callable[..., Statistic], returns: FloatArray, *others: FloatArray, window: int) -> FloatArray:
    """A statistic of every trailing window, (T, K).

    Args:
        statistic: of (window, N) columns; given `others`, it also takes each of them as (window, N) columns.
        returns: (T, K) simple returns per period.
        others: each (T,) or (T, K), such as a benchmark.
        window: rows, at least 2.

    Raises:
        ValueError: a window below 2, shapes that do not fit, and all that the statistic raises.

    >>> rolling(statistics.total_return, np.array([[0.1], [0.1], [-0.5]]), window=2).round(4).tolist()
    [[nan], [0.21], [-0.45]]
    """
    if window < 2:
        raise ValueError(f"a window must have at least 2 rows, not {window}")
    tables = [returns, *(other[:, None] if other.ndim == 1 else other for other in others)]
    if returns.ndim != 2 or any(len(table) != len(returns) for table in tables):
        raise ValueError(f"tables must be (T, K) and of one length, not {[table.shape for table in tables]}")
    (rows, books), ends = returns.shape, len(returns) - window + 1
    result = np.full((rows, books), np.nan)
    full = np.logical_and.reduce([~np.isnan(table) for table in np.broadcast_arrays(*tables)])
    step = max(1, _BLOCK // (window * max(books, 1)))
    for first in range(0, ends, step):
        last = min(first + step, ends)
        parts = [_columns(table[first : last + window - 1], window, books) for table in tables]
        values = np.asarray(statistic(*parts)).reshape(last - first, books)
        complete = np.lib.stride_tricks.sliding_window_view(full[first : last + window - 1], window, axis=0).all(axis=2)
        result[first + window - 1 : last + window - 1] = np.where(complete, values, np.nan)
    return result


def rolling_return(returns: FloatArray, *, window: int) -> FloatArray:
    """Compounded return of each window.

    >>> rolling_return(np.array([[0.1], [0.1]]), window=2).round(4).tolist()
    [[nan], [0.21]]
    """
    return rolling(statistics.total_return, returns, window=window)


def rolling_volatility(returns: FloatArray, *, window: int, periods: float = SESSIONS_PER_YEAR) -> FloatArray:
    """Annualised standard deviation (ddof 1) of each window.

    >>> rolling_volatility(np.array([[0.01], [0.03]]), window=2, periods=1).round(4).tolist()
    [[nan], [0.0141]]
    """
    return rolling(partial(statistics.volatility, periods=periods), returns, window=window)


def rolling_sharpe(
    returns: FloatArray,
    *,
    window: int,
    periods: float = SESSIONS_PER_YEAR,
    risk_free: FloatArray | None = None,
) -> FloatArray:
    """Annualised Sharpe ratio of each window, in excess of cash (T,), per period; NaN where the window is constant.

    >>> rolling_sharpe(np.array([[0.01], [0.03]]), window=2, periods=1).round(4).tolist()
    [[nan], [1.4142]]
    """
    if risk_free is None:
        return rolling(partial(statistics.sharpe, periods=periods), returns, window=window)
    return rolling(
        lambda x, cash: statistics.sharpe(x, periods=periods, risk_free=cash), returns, risk_free, window=window
    )


def rolling_beta(returns: FloatArray, benchmark: FloatArray, *, window: int) -> FloatArray:
    """Slope of each window on the benchmark, (T,) or (T, K).

    >>> rolling_beta(np.array([[0.02], [-0.02]]), np.array([0.01, -0.01]), window=2).round(4).tolist()
    [[nan], [2.0]]
    """
    return rolling(statistics.beta, returns, benchmark, window=window)


def rolling_correlation(returns: FloatArray, benchmark: FloatArray, *, window: int) -> FloatArray:
    """Correlation of each window with the benchmark, (T,) or (T, K).

    >>> rolling_correlation(np.array([[0.02], [-0.02]]), np.array([0.01, -0.01]), window=2).round(4).tolist()
    [[nan], [1.0]]
    """
    return rolling(statistics.correlation, returns, benchmark, window=window)


def rolling_drawdown(returns: FloatArray, *, window: int) -> FloatArray:
    """Deepest drawdown within each window, whose value starts at 1.

    The drawdown since the beginning is `statistics.drawdown`.

    >>> rolling_drawdown(np.array([[0.1], [-0.5], [0.1]]), window=2).round(4).tolist()
    [[nan], [-0.5], [-0.5]]
    """
    return rolling(statistics.max_drawdown, returns, window=window)


def rolling_table(
    returns: pd.DataFrame, benchmark: pd.Series, *, window: int, periods: float = SESSIONS_PER_YEAR
) -> dict[str, pd.DataFrame]:
    """Every statistic here by name, each with the labels of `returns`; the benchmark is brought onto its rows.

    Raises:
        ValueError: all that `rolling` raises.

    >>> days = pd.DatetimeIndex(["2024-01-02", "2024-01-03"])
    >>> table = rolling_table(pd.DataFrame({"a": [0.02, -0.02]}, days), pd.Series([0.01, -0.01], days), window=2)
    >>> list(table), table["beta"]["a"].round(6).tolist()
    (['return', 'volatility', 'sharpe', 'drawdown', 'beta', 'correlation'], [nan, 2.0])
    """
    x = returns.to_numpy(dtype=np.float64)
    b = benchmark.reindex(returns.index).to_numpy(dtype=np.float64)
    found = {
        "return": rolling_return(x, window=window),
        "volatility": rolling_volatility(x, window=window, periods=periods),
        "sharpe": rolling_sharpe(x, window=window, periods=periods),
        "drawdown": rolling_drawdown(x, window=window),
        "beta": rolling_beta(x, b, window=window),
        "correlation": rolling_correlation(x, b, window=window),
    }
    return {name: pd.DataFrame(values, returns.index, returns.columns) for name, values in found.items()}


def _columns(table: FloatArray, window: int, books: int) -> FloatArray:
    """The windows of a table as columns: (window, N * books), N windows one after the other."""
    windows = np.lib.stride_tricks.sliding_window_view(table, window, axis=0)  # (N, K, window)
    windows = np.broadcast_to(windows, (len(windows), books, window))
    return np.ascontiguousarray(windows).reshape(-1, window).T
