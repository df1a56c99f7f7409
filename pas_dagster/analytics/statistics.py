"""Performance statistics of simple returns: each defined once, on plain arrays, in one set of conventions.

Every function takes the returns of one book, (T,) as an array or Series, and answers with one number, or of K
books, (T, K) as an array or DataFrame, and answers with K numbers as an array. Returns are simple, per period
and as fractions (0.01 is one per cent).

* **NaN is no observation.** It is left out and n counts what is left, so a book that began late is measured
  from its beginning. Statistics against a benchmark use the periods where both have a return. Two Series are
  first brought onto their common dates.
* **Too little is NaN, never a number.** No observation gives NaN. One gives NaN wherever something is
  annualised or spread is measured; `total_return`, `drawdown`, `max_drawdown`, `win_rate`, `value_at_risk`
  and `conditional_value_at_risk` still have an answer. A ratio whose denominator is 0 up to rounding is NaN,
  not infinite: the Sharpe ratio of a constant series, the Sortino ratio and Calmar ratio without a loss, the
  beta to a constant.
* **The frequency is said, not guessed**: `periods` per year, 252 for sessions, 52 for weeks.
* **Rates are per period too.** `risk_free` is the return of cash in one period (number or series).

| statistic | rule |
|---|---|
| Sharpe | mean(x) / std(x, ddof 1) * sqrt(periods), x in excess of cash |
| Sortino | mean(x) / sqrt(mean(min(x, 0)^2)) * sqrt(periods), the mean of squares over all n |
| CAGR | NAV^(periods / n) - 1 |
| volatility | std(x, ddof 1) * sqrt(periods) |
| drawdown | NAV / max(1, NAV so far) - 1, compounded |
| beta, alpha | cov(x, b) / var(b); (mean(x) - beta mean(b)) * periods, arithmetic, in excess of cash |
| information ratio | mean(x - b) / std(x - b, ddof 1) * sqrt(periods) |
| value at risk | historical quantile, linear between observations; a return, so a loss is negative |
| conditional value at risk | mean of the observations at or below the value at risk; likewise |

Sources: Sharpe, "The Sharpe Ratio", Journal of Portfolio Management 21(1), 1994; Sortino and Price,
"Performance Measurement in a Downside Risk Framework", Journal of Investing 3(3), 1994; Grinold and Kahn,
"Active Portfolio Management", 2000. Where the field's libraries differ, the rules of empyrical are kept,
except for alpha (arithmetic here) and the information ratio (annualised here).
"""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

SESSIONS_PER_YEAR = 252
WEEKS_PER_YEAR = 52

FloatArray = npt.NDArray[np.float64]
Returns = npt.ArrayLike | pd.Series | pd.DataFrame  # (T,) or (T, K)
Rate = float | npt.ArrayLike | pd.Series  # one number, or (T,)
Statistic = float | FloatArray  # one number, or (K,)

_NOISE = 1e-12  # spread below this share of the largest return is rounding


# ------------------------------------------------------------------------------------- growth and losses


def total_return(returns: Returns) -> Statistic:
    """Compounded return over the whole time: NAV - 1.

    Raises:
        ValueError: a return below -1, or an infinite one.

    >>> round(total_return([0.10, -0.10]), 6)
    -0.01
    """
    x = _columns(returns)
    return _answer(np.where(_count(x) > 0, np.multiply.reduce(_growth(x), axis=0) - 1.0, np.nan), returns)


def cagr(returns: Returns, *, periods: float = SESSIONS_PER_YEAR) -> Statistic:
    """Compound annual growth rate: NAV^(periods / n) - 1. A book that lost everything grows at -1.

    Raises:
        ValueError: a return below -1, or an infinite one.

    >>> round(cagr([0.10, 0.10], periods=1), 6)
    0.1
    """
    x = _columns(returns)
    n = _count(x)
    end = np.multiply.reduce(_growth(x), axis=0)
    return _answer(np.where(n > 1, end ** (periods / np.maximum(n, 1)) - 1.0, np.nan), returns)


@overload
def drawdown(returns: pd.Series) -> pd.Series: ...
@overload
def drawdown(returns: pd.DataFrame) -> pd.DataFrame: ...
@overload
def drawdown(returns: npt.ArrayLike) -> FloatArray: ...
def drawdown(returns: Returns) -> FloatArray | pd.Series | pd.DataFrame:
    """Fall of the compounded NAV from its highest point so far, a fraction <= 0, same shape as `returns`.

    The NAV starts at 1, so a loss in the first period is a drawdown. A period without a return changes
    nothing.

    Raises:
        ValueError: a return below -1, or an infinite one.

    >>> drawdown(np.array([-0.5, 1.0, 0.5, -0.5])).tolist()
    [-0.5, 0.0, 0.0, -0.5]
    """
    falls = _falls(_columns(returns))
    if isinstance(returns, pd.DataFrame):
        return pd.DataFrame(falls, index=returns.index, columns=returns.columns)
    if isinstance(returns, pd.Series):
        return pd.Series(falls[:, 0], index=returns.index, name=returns.name)
    return falls.reshape(np.shape(returns))


def max_drawdown(returns: Returns) -> Statistic:
    """The deepest drawdown, a fraction <= 0. The NAV starts at 1.

    Raises:
        ValueError: a return below -1, or an infinite one.

    >>> max_drawdown([-0.5, 1.0])
    -0.5
    """
    x = _columns(returns)
    deepest = np.minimum.reduce(_falls(x), axis=0, initial=0.0)
    return _answer(np.where(_count(x) > 0, deepest, np.nan), returns)


def calmar(returns: Returns, *, periods: float = SESSIONS_PER_YEAR) -> Statistic:
    """CAGR per unit of maximum drawdown; NaN without a drawdown.

    Raises:
        ValueError: a return below -1, or an infinite one.

    >>> round(calmar([0.21, -0.10, 0.0], periods=3), 6)
    0.89
    """
    growth, deepest = np.atleast_1d(cagr(returns, periods=periods)), np.atleast_1d(max_drawdown(returns))
    return _answer(_ratio(growth, -deepest), returns)


# --------------------------------------------------------------------------------------- spread and ratios


def volatility(returns: Returns, *, periods: float = SESSIONS_PER_YEAR) -> Statistic:
    """Annualised standard deviation: std(x, ddof 1) * sqrt(periods). Exactly 0 for a constant series.

    Raises:
        ValueError: an infinite return.

    >>> round(volatility([0.01, 0.03], periods=1), 6)
    0.014142
    """
    return _answer(_deviation(_sample(returns)) * np.sqrt(periods), returns)


def sharpe(returns: Returns, *, periods: float = SESSIONS_PER_YEAR, risk_free: Rate = 0.0) -> Statistic:
    """Annualised Sharpe ratio: mean / std (ddof 1) * sqrt(periods) of the returns in excess of cash.

    Args:
        returns: (T,) or (T, K).
        periods: per year.
        risk_free: return of cash *per period*; 0.04 a year is about 0.04 / 252 here.

    Raises:
        ValueError: an infinite return, or a `risk_free` of another length.

    >>> round(sharpe([0.01, 0.03], periods=1), 6)
    1.414214
    """
    excess = _sample(returns, risk_free)
    return _answer(_ratio(_mean(excess.x), _deviation(excess)) * np.sqrt(periods), returns)


def sortino(returns: Returns, *, periods: float = SESSIONS_PER_YEAR, risk_free: Rate = 0.0) -> Statistic:
    """Annualised Sortino ratio: mean / sqrt(mean of squared losses over all n) * sqrt(periods).

    A loss is a return below cash. NaN without one.

    Raises:
        ValueError: an infinite return, or a `risk_free` of another length.

    >>> round(sortino([0.03, -0.01], periods=1), 6)
    1.414214
    """
    x = _sample(returns, risk_free).x
    downside = np.sqrt(_mean(np.minimum(x, 0.0) ** 2))
    return _answer(np.where(_count(x) > 1, _ratio(_mean(x), downside), np.nan) * np.sqrt(periods), returns)


def value_at_risk(returns: Returns, *, level: float = 0.95) -> Statistic:
    """Historical value at risk of one period: the (1 - level) quantile, linear between observations.

    A return, so a loss is negative.

    Raises:
        ValueError: an infinite return, or a level outside (0, 1).

    >>> round(value_at_risk([-0.03, -0.01, 0.0, 0.02, 0.04], level=0.9), 6)
    -0.022
    """
    ordered, position = _tail(returns, level)
    low = position.astype(np.int64)
    high = np.minimum(low + 1, len(ordered) - 1)
    below, above = _pick(ordered, low), _pick(ordered, high)
    share = position - low
    return _answer(np.where(share > 0.0, below + share * (above - below), below), returns)


def conditional_value_at_risk(returns: Returns, *, level: float = 0.95) -> Statistic:
    """Expected shortfall of one period: the mean of the observations at or below the value at risk.

    A return, so a loss is negative.

    Raises:
        ValueError: an infinite return, or a level outside (0, 1).

    >>> round(conditional_value_at_risk([-0.03, -0.01, 0.0, 0.02, 0.04], level=0.75), 6)
    -0.02
    """
    ordered, position = _tail(returns, level)
    low = position.astype(np.int64)
    return _answer(_pick(np.add.accumulate(ordered, axis=0), low) / (low + 1), returns)


def win_rate(returns: Returns) -> Statistic:
    """Share of winning periods among those that won or lost: periods of exactly 0 (in cash) do not count.

    Raises:
        ValueError: an infinite return.

    >>> win_rate([0.01, 0.0, -0.01, 0.02, 0.0, 0.01])
    0.75
    """
    x = _columns(returns)
    return _answer(_ratio((x > 0.0).sum(axis=0), (np.abs(x) > 0.0).sum(axis=0)), returns)


# ------------------------------------------------------------------------------------ against a benchmark


def beta(returns: Returns, benchmark: Returns, *, risk_free: Rate = 0.0) -> Statistic:
    """Slope on the benchmark: cov(x, b) / var(b), both in excess of cash.

    Raises:
        ValueError: an infinite return, or lengths that differ.

    >>> round(beta([0.02, -0.02, 0.04], [0.01, -0.01, 0.02]), 6)
    2.0
    """
    return _answer(_line(returns, benchmark, risk_free)[0], returns)


def alpha(
    returns: Returns,
    benchmark: Returns,
    *,
    periods: float = SESSIONS_PER_YEAR,
    risk_free: Rate = 0.0,
) -> Statistic:
    """Annualised return that the benchmark does not explain, arithmetic: (mean(x) - beta mean(b)) * periods.

    Raises:
        ValueError: an infinite return, or lengths that differ.

    >>> round(alpha([0.03, -0.01, 0.05], [0.01, -0.01, 0.02], periods=1), 6)
    0.01
    """
    return _answer(_line(returns, benchmark, risk_free)[1] * periods, returns)


def tracking_error(returns: Returns, benchmark: Returns, *, periods: float = SESSIONS_PER_YEAR) -> Statistic:
    """Annualised standard deviation of the difference: std(x - b, ddof 1) * sqrt(periods).

    Raises:
        ValueError: an infinite return, or lengths that differ.

    >>> round(tracking_error([0.02, 0.04], [0.01, 0.01], periods=1), 6)
    0.014142
    """
    return _answer(_deviation(_sample(returns, benchmark)) * np.sqrt(periods), returns)


def information_ratio(
    returns: Returns,
    benchmark: Returns,
    *,
    periods: float = SESSIONS_PER_YEAR,
) -> Statistic:
    """Annualised mean difference per unit of its spread: mean(x - b) / std(x - b, ddof 1) * sqrt(periods).

    Raises:
        ValueError: an infinite return, or lengths that differ.

    >>> round(information_ratio([0.02, 0.04], [0.01, 0.01], periods=1), 6)
    1.414214
    """
    active = _sample(returns, benchmark)
    return _answer(_ratio(_mean(active.x), _deviation(active)) * np.sqrt(periods), returns)


def summary(
    returns: npt.ArrayLike | pd.Series,
    benchmark: npt.ArrayLike | pd.Series | None = None,
    *,
    periods: float = SESSIONS_PER_YEAR,
    risk_free: Rate = 0.0,
) -> dict[str, float]:
    """Every statistic of one book by name, those against a benchmark only when there is one.

    Raises:
        ValueError: more than one book, and all that the statistics raise.

    >>> row = summary([0.01, -0.02, 0.03])
    >>> row["observations"], round(row["total_return"], 6), round(row["max_drawdown"], 6)
    (3.0, 0.019494, -0.02)
    """
    if np.ndim(returns) != 1:
        raise ValueError("a summary is of one book; call the statistics for several")
    rows: dict[str, Statistic] = {
        "observations": _answer(_count(_columns(returns)).astype(np.float64), returns),
        "total_return": total_return(returns),
        "cagr": cagr(returns, periods=periods),
        "volatility": volatility(returns, periods=periods),
        "sharpe": sharpe(returns, periods=periods, risk_free=risk_free),
        "sortino": sortino(returns, periods=periods, risk_free=risk_free),
        "max_drawdown": max_drawdown(returns),
        "calmar": calmar(returns, periods=periods),
        "value_at_risk": value_at_risk(returns),
        "conditional_value_at_risk": conditional_value_at_risk(returns),
        "win_rate": win_rate(returns),
    }
    if benchmark is not None:
        rows |= {
            "beta": beta(returns, benchmark, risk_free=risk_free),
            "alpha": alpha(returns, benchmark, periods=periods, risk_free=risk_free),
            "tracking_error": tracking_error(returns, benchmark, periods=periods),
            "information_ratio": information_ratio(returns, benchmark, periods=periods),
        }
    return {name: float(value) for name, value in rows.items()}


# ------------------------------------------------------------------------------------- columns and moments


class _Sample(NamedTuple):
    """Returns in excess of something."""

    x: FloatArray  # (T, K), NaN where either side has none
    scale: FloatArray  # (K,) the largest number that went in, against which spread is told from rounding


def _columns(returns: Returns) -> FloatArray:
    """Any accepted input as a (T, K) array, NaN for what is missing."""
    if isinstance(returns, pd.Series | pd.DataFrame):
        table = returns.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        table = np.asarray(returns, dtype=np.float64)
    if table.ndim not in (1, 2):
        raise ValueError(f"returns must be of shape (T,) or (T, K), not {table.shape}")
    if np.isinf(table).any():
        raise ValueError("a return is infinite")
    return table[:, None] if table.ndim == 1 else table


def _answer(values: FloatArray, returns: Returns) -> Statistic:
    """One number for one book, an array for several."""
    return float(values[0]) if np.ndim(returns) == 1 else values


def _aligned(returns: Returns, *others: Returns) -> list[FloatArray]:
    """(T, K) returns and what to hold against them, (T, 1) or one number, over the same periods.

    Pandas objects are cut to their common dates, anything else must have the same length.
    """
    tables = [returns, *others]
    indices = [table.index for table in tables if isinstance(table, pd.Series | pd.DataFrame)]
    if indices and len(indices) == sum(np.ndim(table) > 0 for table in tables):
        dates = reduce(pd.Index.intersection, indices)
        tables = [t.loc[dates] if isinstance(t, pd.Series | pd.DataFrame) else t for t in tables]
    first = _columns(tables[0])
    rest = [np.asarray(table) if np.ndim(table) == 0 else _columns(table) for table in tables[1:]]
    if any(other.ndim and other.shape != (len(first), 1) for other in rest):
        raise ValueError(f"a series to compare with must be of shape ({len(first)},)")
    return [first, *rest]


def _sample(returns: Returns, less: Returns = 0.0) -> _Sample:
    """Returns in excess of a rate or a benchmark, over the periods where both are known."""
    x, b = _aligned(returns, less)
    return _Sample(x - b, np.fmax.reduce(np.maximum(np.abs(x), np.abs(b)), axis=0, initial=0.0))


def _line(returns: Returns, benchmark: Returns, risk_free: Returns) -> tuple[FloatArray, FloatArray]:
    """Slope and intercept per column, over the periods where book, benchmark and cash are all known."""
    x, b, cash = _aligned(returns, benchmark, risk_free)
    known = ~np.isnan(x + b + cash)
    y, market = np.where(known, x - cash, np.nan), np.where(known, b - cash, np.nan)
    scale = np.fmax.reduce(np.where(known, np.maximum(np.abs(b), np.abs(cash)), 0.0), axis=0, initial=0.0)
    spread = _deviation(_Sample(market, scale))
    n = _count(y)
    covariance = _mean((y - _mean(y)) * (market - _mean(market))) * n / np.maximum(n - 1, 1)
    slope = _ratio(covariance, spread**2)
    return slope, _mean(y) - slope * _mean(market)


def _count(x: FloatArray) -> npt.NDArray[np.int64]:
    return np.count_nonzero(~np.isnan(x), axis=0)


def _mean(x: FloatArray) -> FloatArray:
    return _ratio(np.where(np.isnan(x), 0.0, x).sum(axis=0), _count(x))


def _deviation(sample: _Sample) -> FloatArray:
    """Standard deviation (ddof 1), 0 where it is rounding, NaN with fewer than two observations."""
    squares = (sample.x - _mean(sample.x)) ** 2
    n = _count(sample.x)
    spread = np.sqrt(np.where(np.isnan(squares), 0.0, squares).sum(axis=0) / np.maximum(n - 1, 1))
    spread[spread <= _NOISE * sample.scale] = 0.0
    return np.where(n > 1, spread, np.nan)


def _ratio(above: npt.NDArray[np.number], below: npt.NDArray[np.number]) -> FloatArray:
    """above / below, NaN where below is 0."""
    result = np.full(np.broadcast(above, below).shape, np.nan)
    return np.divide(above, below, out=result, where=below != 0)


def _growth(x: FloatArray) -> FloatArray:
    """1 + x, and 1 where there is no return: it changes nothing."""
    if (x < -1.0).any():
        raise ValueError("a return is below -1: a long-only book cannot lose more than everything")
    return np.where(np.isnan(x), 1.0, 1.0 + x)


def _falls(x: FloatArray) -> FloatArray:
    nav = np.multiply.accumulate(_growth(x), axis=0)
    return nav / np.maximum.accumulate(np.maximum(nav, 1.0), axis=0) - 1.0


def _tail(returns: Returns, level: float) -> tuple[FloatArray, FloatArray]:
    """The columns in ascending order, and where in each of them the (1 - level) quantile lies, from 0."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    x = _columns(returns)
    position = np.maximum(_count(x) - 1, 0) * (1.0 - level)
    whole = np.rint(position)
    position = np.where(np.abs(position - whole) < 1e-9, whole, position)  # 1 - 0.95 is not quite 0.05
    return np.vstack([np.sort(x, axis=0), np.full((1, x.shape[1]), np.nan)]), position


def _pick(table: FloatArray, rows: npt.NDArray[np.int64]) -> FloatArray:
    """One row per column."""
    return np.take_along_axis(table, rows[None, :], axis=0)[0]
