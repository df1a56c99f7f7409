"""Performance statistics of simple returns: each defined once, on plain arrays, in one set of conventions.

Every function takes the returns of one book, (T,) as an array or Series, and answers with one number, or of K
books, (T, K) as an array or DataFrame, and answers with K numbers as an array. Returns are simple, per period
and as fractions (0.01 is one per cent).

* **NaN is no observation.** It is left out and n counts what is left, so a book that began late is measured
  from its beginning. Statistics against a benchmark use the periods where both have a return. Pandas objects
  are first brought onto their common dates.
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
| drawdown, max drawdown | NAV / max(1, NAV so far) - 1, compounded; the lowest of them |
| Calmar | CAGR / -(max drawdown) |
| hit rate (`win_rate`) | periods above 0 / periods other than 0 |
| beta, alpha | cov(x, b) / var(b); (mean(x) - beta mean(b)) * periods, arithmetic, in excess of cash |
| correlation | cov(x, b) / (std(x) std(b)), in excess of cash |
| Treynor | mean(x) * periods / beta, in excess of cash, arithmetic |
| tracking error | std(x - b, ddof 1) * sqrt(periods) |
| information ratio | mean(x - b) / std(x - b, ddof 1) * sqrt(periods) |
| value at risk (VaR) | historical quantile, linear between observations; a return, so a loss is negative |
| conditional value at risk (CVaR) | mean of the observations at or below the value at risk; likewise |
| tail ratio | quantile(level) / quantile(1 - level), without their signs |
| skewness, kurtosis | mean(z^3), mean(z^4), z standardised with ddof 0; a normal book has 0 and 3 |
| probabilistic Sharpe (PSR) | Phi((SR - SR*) sqrt(n - 1) / sqrt(1 - skewness SR + (kurtosis - 1) / 4 SR^2)) |
| deflated Sharpe (DSR) | PSR, SR* being the ratio expected of the best of N trials without skill; both per period |

Sources: Sharpe, "The Sharpe Ratio", Journal of Portfolio Management 21(1), 1994; Sortino and Price,
"Performance Measurement in a Downside Risk Framework", Journal of Investing 3(3), 1994; Treynor, "How to Rate
Management of Investment Funds", Harvard Business Review 43(1), 1965; Grinold and Kahn, "Active Portfolio
Management", 2000; Bailey and López de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2), 2012
(PSR) and "The Deflated Sharpe Ratio: Correcting for Selection Bias, Backtest Overfitting and Non-Normality",
Journal of Portfolio Management 40(5), 2014 (DSR).

Where the field's libraries differ, the rules of empyrical are kept, except for alpha (arithmetic here, compounded
there), the information ratio (annualised here, per period there) and the CAGR, volatility and VaR of a book with
gaps (observations count here, rows there).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import cached_property, lru_cache, reduce
from statistics import NormalDist
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

SESSIONS_PER_YEAR = 252
WEEKS_PER_YEAR = 52

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Returns = npt.ArrayLike | pd.Series | pd.DataFrame  # (T,) or (T, K)
Rate = float | npt.ArrayLike | pd.Series  # one number, or (T,)
Statistic = float | FloatArray  # one number, or (K,)

_NOISE = 1e-12  # spread below this share of the largest return is rounding
_NO_SPREAD = 1e-9  # likewise for the estimate of a Sharpe ratio
_NORMAL = NormalDist()
_STEPS, _LONG = 12, 256  # steps of a block, and how many periods are worth blocks
_EULER = 0.5772156649015329  # Euler-Mascheroni


# ------------------------------------------------------------------------------------- growth and losses


def total_return(returns: Returns) -> Statistic:
    """Compounded return over the whole time: NAV - 1.

    Raises:
        ValueError: a return below -1, or an infinite one.

    >>> round(total_return([0.10, -0.10]), 6)
    -0.01
    """
    return _answer(_total_return(_books(returns)), returns)


def cagr(returns: Returns, *, periods: float = SESSIONS_PER_YEAR) -> Statistic:
    """Compound annual growth rate: NAV^(periods / n) - 1. A book that lost everything grows at -1.

    Raises:
        ValueError: a return below -1, or an infinite one.

    >>> round(cagr([0.10, 0.10], periods=1), 6)
    0.1
    """
    return _answer(_cagr(_books(returns), periods), returns)


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
    books = _books(returns)
    falls = books.in_order(books.falls) - 1.0
    if isinstance(returns, pd.DataFrame):
        return pd.DataFrame(falls.T, index=returns.index, columns=returns.columns)
    if isinstance(returns, pd.Series):
        return pd.Series(falls[0], index=returns.index, name=returns.name)
    return falls.T.reshape(np.shape(returns))


def max_drawdown(returns: Returns) -> Statistic:
    """The deepest drawdown, a fraction <= 0. The NAV starts at 1.

    Raises:
        ValueError: a return below -1, or an infinite one.

    >>> max_drawdown([-0.5, 1.0])
    -0.5
    """
    return _answer(_books(returns).deepest, returns)


def calmar(returns: Returns, *, periods: float = SESSIONS_PER_YEAR) -> Statistic:
    """CAGR per unit of maximum drawdown; NaN without a drawdown.

    Raises:
        ValueError: a return below -1, or an infinite one.

    >>> round(calmar([0.21, -0.10, 0.0], periods=3), 6)
    0.89
    """
    return _answer(_calmar(_books(returns), periods), returns)


# --------------------------------------------------------------------------------------- spread and ratios


def volatility(returns: Returns, *, periods: float = SESSIONS_PER_YEAR) -> Statistic:
    """Annualised standard deviation: std(x, ddof 1) * sqrt(periods). Exactly 0 for a constant series.

    Raises:
        ValueError: an infinite return.

    >>> round(volatility([0.01, 0.03], periods=1), 6)
    0.014142
    """
    return _answer(_books(returns).spread * math.sqrt(periods), returns)


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
    return _answer(_sharpe(_excess(returns, risk_free), periods), returns)


def sortino(returns: Returns, *, periods: float = SESSIONS_PER_YEAR, risk_free: Rate = 0.0) -> Statistic:
    """Annualised Sortino ratio: mean / sqrt(mean of squared losses over all n) * sqrt(periods).

    A loss is a return below cash. NaN without one.

    Raises:
        ValueError: an infinite return, or a `risk_free` of another length.

    >>> round(sortino([0.03, -0.01], periods=1), 6)
    1.414214
    """
    return _answer(_sortino(_excess(returns, risk_free), periods), returns)


def value_at_risk(returns: Returns, *, level: float = 0.95) -> Statistic:
    """Historical value at risk of one period: the (1 - level) quantile, linear between observations.

    A return, so a loss is negative.

    Raises:
        ValueError: an infinite return, or a level outside (0, 1).

    >>> round(value_at_risk([-0.03, -0.01, 0.0, 0.02, 0.04], level=0.9), 6)
    -0.022
    """
    return _answer(_value_at_risk(_books(returns), _checked(level)), returns)


def conditional_value_at_risk(returns: Returns, *, level: float = 0.95) -> Statistic:
    """Expected shortfall of one period: the mean of the observations at or below the value at risk.

    A return, so a loss is negative.

    Raises:
        ValueError: an infinite return, or a level outside (0, 1).

    >>> round(conditional_value_at_risk([-0.03, -0.01, 0.0, 0.02, 0.04], level=0.75), 6)
    -0.02
    """
    return _answer(_shortfall(_books(returns), _checked(level)), returns)


def tail_ratio(returns: Returns, *, level: float = 0.95) -> Statistic:
    """Size of the right tail per unit of the left one: quantile(level) / quantile(1 - level), without signs.

    Above 1 the best periods are larger than the worst. NaN with fewer than two observations.

    Raises:
        ValueError: an infinite return, or a level outside (0, 1).

    >>> round(tail_ratio([-0.02, -0.01, 0.0, 0.02, 0.04], level=0.75), 6)
    2.0
    """
    return _answer(_tail_ratio(_books(returns), _checked(level)), returns)


def win_rate(returns: Returns) -> Statistic:
    """Hit rate: share of winning periods among those that won or lost; periods of exactly 0 (in cash) do not count.

    Raises:
        ValueError: an infinite return.

    >>> win_rate([0.01, 0.0, -0.01, 0.02, 0.0, 0.01])
    0.75
    """
    return _answer(_win_rate(_books(returns)), returns)


def skewness(returns: Returns, *, risk_free: Rate = 0.0) -> Statistic:
    """Third moment of the standardised returns (ddof 0): negative when the losses are the outliers.

    NaN with fewer than two observations and for a constant series.

    Raises:
        ValueError: an infinite return, or a `risk_free` of another length.

    >>> round(skewness([0.0, 0.0, 0.0, 0.04]), 4)
    1.1547
    """
    return _answer(_excess(returns, risk_free).moments[0], returns)


def kurtosis(returns: Returns, *, risk_free: Rate = 0.0) -> Statistic:
    """Fourth moment of the standardised returns (ddof 0), not in excess: 3 for the normal distribution.

    NaN with fewer than two observations and for a constant series.

    Raises:
        ValueError: an infinite return, or a `risk_free` of another length.

    >>> round(kurtosis([0.0, 0.0, 0.0, 0.04]), 4)
    2.3333
    """
    return _answer(_excess(returns, risk_free).moments[1], returns)


# ------------------------------------------------------------------------------------ against a benchmark


def beta(returns: Returns, benchmark: Returns, *, risk_free: Rate = 0.0) -> Statistic:
    """Slope on the benchmark: cov(x, b) / var(b), both in excess of cash.

    Args:
        returns: (T,) or (T, K).
        benchmark: (T,), or (T, K) for a benchmark for each book.
        risk_free: return of cash per period.

    Raises:
        ValueError: an infinite return, or lengths that differ.

    >>> round(beta([0.02, -0.02, 0.04], [0.01, -0.01, 0.02]), 6)
    2.0
    """
    return _answer(_pair(returns, benchmark, risk_free).slope, returns)


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
    return _answer(_pair(returns, benchmark, risk_free).intercept * periods, returns)


def treynor(
    returns: Returns,
    benchmark: Returns,
    *,
    periods: float = SESSIONS_PER_YEAR,
    risk_free: Rate = 0.0,
) -> Statistic:
    """Annualised arithmetic return in excess of cash per unit of beta: mean(x) * periods / beta.

    NaN where beta is 0. A negative beta turns the sign; such ratios are not to be ranked.

    Raises:
        ValueError: an infinite return, or lengths that differ.

    >>> round(treynor([0.02, -0.02, 0.06], [0.01, -0.01, 0.03], periods=12), 6)
    0.12
    """
    return _answer(_treynor(_pair(returns, benchmark, risk_free), periods), returns)


def correlation(returns: Returns, benchmark: Returns, *, risk_free: Rate = 0.0) -> Statistic:
    """Correlation with the benchmark, both in excess of cash; NaN when either is constant.

    Raises:
        ValueError: an infinite return, or lengths that differ.

    >>> round(correlation([0.02, -0.02, 0.04], [0.01, -0.01, 0.02]), 6)
    1.0
    """
    return _answer(_correlation(_pair(returns, benchmark, risk_free)), returns)


def tracking_error(returns: Returns, benchmark: Returns, *, periods: float = SESSIONS_PER_YEAR) -> Statistic:
    """Annualised standard deviation of the difference: std(x - b, ddof 1) * sqrt(periods).

    Raises:
        ValueError: an infinite return, or lengths that differ.

    >>> round(tracking_error([0.02, 0.04], [0.01, 0.01], periods=1), 6)
    0.014142
    """
    return _answer(_excess(returns, benchmark).spread * math.sqrt(periods), returns)


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
    return _answer(_sharpe(_excess(returns, benchmark), periods), returns)


# ------------------------------------------------------------------------------ how sure a Sharpe ratio is


class SharpeMoments(NamedTuple):
    """What the returns of one book say about its Sharpe ratio, or those of K books: (K,) arrays."""

    sharpe: Statistic  # per period, in excess of cash
    observations: int | IntArray
    skewness: Statistic
    kurtosis: Statistic  # 3 for the normal distribution


def sharpe_moments(returns: Returns, *, risk_free: Rate = 0.0) -> SharpeMoments:
    """The moments of returns in excess of cash, the Sharpe ratio **per period**, not annualised.

    The ratio and the moments are NaN with fewer than two observations and for a constant series.

    Raises:
        ValueError: an infinite return, or a `risk_free` of another length.

    >>> [round(number, 4) for number in sharpe_moments([0.0, 0.0, 0.0, 0.04])]
    [0.5, 4, 1.1547, 2.3333]
    """
    moments = _sharpe_moments(_excess(returns, risk_free))
    if np.ndim(returns) == 2:
        return moments
    ratio, n, skew, kurt = (np.asarray(part).item() for part in moments)
    return SharpeMoments(ratio, n, skew, kurt)


def probabilistic_sharpe(moments: SharpeMoments, benchmark: Statistic = 0.0) -> Statistic:
    """Probability that the true Sharpe ratio exceeds `benchmark`, given its estimate.

    Rule: Phi((SR - SR*) sqrt(n - 1) / sqrt(1 - skewness SR + (kurtosis - 1) / 4 SR^2)), everything per period: an
    annual ratio is divided by sqrt(periods). NaN with fewer than two observations, for NaN moments, and when the
    root is 0: the estimate then has no spread.

    Raises:
        ValueError: a kurtosis below 1 + skewness^2, which no returns have (3 is normal, not 0).

    >>> round(probabilistic_sharpe(SharpeMoments(0.1, 253, 0.0, 3.0)), 4)  # 1.6 a year, normal, one year
    0.9433
    """
    ratio, n, skew, kurt = (np.asarray(part, dtype=np.float64) for part in moments)
    if (kurt < 1.0 + skew**2 - _NO_SPREAD * np.maximum(1.0, kurt)).any():
        raise ValueError(f"a kurtosis of {kurt.min()} is below 1 + skewness^2: it must not be the excess kurtosis")
    spread = 1.0 - skew * ratio + (kurt - 1.0) / 4.0 * ratio**2
    usable = (n >= 2) & (spread > _NO_SPREAD)
    z = (ratio - benchmark) * np.sqrt(np.maximum(n - 1.0, 0.0)) / np.sqrt(np.where(usable, spread, 1.0))
    found = [_NORMAL.cdf(one) for one in np.where(usable, z, np.nan).ravel().tolist()]
    return np.array(found).reshape(z.shape) if z.ndim else found[0]


def expected_maximum(trials: int, variance: float) -> float:
    """Sharpe ratio that the best of `trials` strategies without any skill is expected to show, per period.

    Rule: sqrt(V) ((1 - g) z(1 - 1/N) + g z(1 - 1/(N e))), z the normal quantile and g the constant of Euler and
    Mascheroni: the approximation of the expected maximum of N independent normals. One trial selects nothing: 0.
    Strategies that resemble each other are fewer trials than their number; counting all of them is cautious.

    Args:
        trials: number of strategies tried, at least 1.
        variance: of the Sharpe ratios of all trials, per period, >= 0. NaN gives NaN, but for a single trial.

    Raises:
        ValueError: numbers out of range.

    >>> round(expected_maximum(100, 0.5 / 250), 4)  # a variance of 1/2 of annual Sharpe ratios
    0.1132
    """
    if trials < 1 or variance < 0.0:
        raise ValueError("there must be at least one trial, and a variance >= 0")
    if trials == 1:
        return 0.0
    highest = (1.0 - _EULER) * _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    return math.sqrt(variance) * (highest + _EULER * _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e)))


def deflated_sharpe(moments: SharpeMoments, *, trials: int, variance: float) -> Statistic:
    """Probability that the true Sharpe ratio is above what the best of so many skill-less trials would show.

    Rule: `probabilistic_sharpe` against `expected_maximum`. With one trial it is the probabilistic Sharpe ratio
    against 0. NaN where either is.

    Args:
        moments: of the strategy that was chosen.
        trials: number of strategies tried, the chosen one included.
        variance: of their Sharpe ratios per period, e.g. ``np.var(ratios, ddof=1)`` of ``sharpe(..., periods=1)``.

    Raises:
        ValueError: all that the two raise.

    >>> round(deflated_sharpe(SharpeMoments(2.5 / 250**0.5, 1250, -3.0, 10.0), trials=100, variance=0.5 / 250), 4)
    0.9004
    """
    return probabilistic_sharpe(moments, expected_maximum(trials, variance))


def summary(
    returns: Returns,
    benchmark: Returns | None = None,
    *,
    periods: float = SESSIONS_PER_YEAR,
    risk_free: Rate = 0.0,
    names: Collection[str] | None = None,
) -> dict[str, Statistic]:
    """Statistics by name, those against a benchmark only when there is one: numbers, or arrays of K numbers.

    The same numbers as the functions give, in a fraction of the time, since they share what they need. The deflated
    Sharpe ratio is not among them: it needs the number of trials.

    Args:
        returns: (T,) or (T, K).
        benchmark: (T,), or (T, K) for a benchmark for each book.
        periods: per year.
        risk_free: return of cash per period.
        names: which statistics; all of them if None.

    Raises:
        ValueError: all that the statistics raise, and a name that is none of them or needs a benchmark.

    >>> row = summary([0.01, -0.02, 0.03])
    >>> row["observations"], round(row["total_return"], 6), round(row["max_drawdown"], 6)
    (3.0, 0.019494, -0.02)
    >>> summary([0.5, -0.5], names=["max_drawdown", "win_rate"])
    {'max_drawdown': -0.5, 'win_rate': 0.5}
    """
    known = [*_ALONE] if benchmark is None else [*_ALONE, *_AGAINST]
    chosen = known if names is None else names
    strange = [name for name in chosen if name not in known]
    if strange:
        raise ValueError(f"there is no statistic {', '.join(strange)} of these returns; there are {', '.join(known)}")
    own = _books(returns)
    excess = _excess(returns, risk_free, own)
    rows = {name: rule(own, excess, periods) for name, rule in _ALONE.items() if name in chosen}
    if benchmark is not None:
        pair, active = _against(returns, benchmark, risk_free, own)
        rows |= {name: rule(pair, active, periods) for name, rule in _AGAINST.items() if name in chosen}
    return {name: _answer(values, returns) for name, values in rows.items()}


# ------------------------------------------------------------------------------- the rules, on prepared books


def _total_return(books: _Books) -> FloatArray:
    return np.where(books.count > 0, books.end - 1.0, np.nan)


def _cagr(books: _Books, periods: float) -> FloatArray:
    return np.where(books.count > 1, books.end ** (periods / np.maximum(books.count, 1)) - 1.0, np.nan)


def _calmar(books: _Books, periods: float) -> FloatArray:
    return _ratio(_cagr(books, periods), np.where(books.deepest < -_NOISE, -books.deepest, 0.0))


def _sharpe(books: _Books, periods: float) -> FloatArray:
    return _ratio(books.mean, books.spread) * math.sqrt(periods)


def _sortino(books: _Books, periods: float) -> FloatArray:
    losses = np.minimum(books.filled, np.zeros(books.x.shape[1]))  # numpy takes three times as long with a number
    downside = np.sqrt(np.vecdot(losses, losses) / np.maximum(books.count, 1))
    return np.where(books.count > 1, _ratio(books.mean, books.exact(downside)), np.nan) * math.sqrt(periods)


def _value_at_risk(books: _Books, level: float) -> FloatArray:
    return _quantile(books, 1.0 - level)


def _shortfall(books: _Books, level: float) -> FloatArray:
    if books.whole and books.x.size:
        tail = books.ordered[:, : _place(books.x.shape[1], 1.0 - level)[0] + 1]
        return np.add.reduce(tail, axis=1) / tail.shape[1]
    low = _position(books.count, 1.0 - level).astype(np.int64)
    return _pick(np.add.accumulate(books.ordered, axis=1), low) / (low + 1)


def _tail_ratio(books: _Books, level: float) -> FloatArray:
    right, left = (np.abs(_quantile(books, share)) for share in (level, 1.0 - level))
    return np.where(books.count > 1, _ratio(right, books.exact(left)), np.nan)


def _win_rate(books: _Books) -> FloatArray:
    won, lost = (np.add.reduce(sign, axis=1, dtype=np.int32) for sign in (books.x > 0.0, books.x < 0.0))
    return _ratio(won, won + lost)


def _sharpe_moments(books: _Books) -> SharpeMoments:
    return SharpeMoments(_sharpe(books, 1.0), books.count, *books.moments)


def _treynor(pair: _Pair, periods: float) -> FloatArray:
    return _ratio(pair.books.mean, pair.slope) * periods


def _correlation(pair: _Pair) -> FloatArray:
    return np.clip(_ratio(pair.covariance, pair.books.spread * pair.market.spread), -1.0, 1.0)


def _quantile(books: _Books, share: float) -> FloatArray:
    """Quantile of each book, linear between observations; NaN without any."""
    if books.whole and books.x.size:
        low, part = _place(books.x.shape[1], share)
        below = books.ordered[:, low]
        return below + part * (books.ordered[:, low + 1] - below) if part > 0.0 else below.copy()
    position = _position(books.count, share)
    places = position.astype(np.int64)
    below, above = _pick(books.ordered, places), _pick(books.ordered, places + 1)
    parts = position - places
    return np.where(parts > 0.0, below + parts * (above - below), below)


@lru_cache(maxsize=256)
def _place(n: int, share: float) -> tuple[int, float]:
    """The observation at or below a quantile of n, from 0, and the part of the way from it to the next."""
    position = float(_position(np.array([n]), share)[0])
    return int(position), position - int(position)


def _position(n: IntArray, share: float) -> FloatArray:
    """Where among n ascending observations a quantile lies, from 0."""
    position = np.maximum(n - 1, 0) * share
    whole = np.rint(position)
    return np.where(np.abs(position - whole) < 1e-9, whole, position)  # 1 - 0.95 is not quite 0.05


def _pick(table: FloatArray, places: IntArray) -> FloatArray:
    """One number of each row; the last one where a place lies behind it, NaN in a row of none."""
    if not table.shape[1]:
        return np.full(len(table), np.nan)
    return table[np.arange(len(table)), np.minimum(places, table.shape[1] - 1)]


def _ratio(above: npt.NDArray[np.number], below: npt.NDArray[np.number]) -> FloatArray:
    """above / below, NaN where below is 0."""
    if below.all():
        return np.true_divide(above, below)
    result = np.full(np.broadcast(above, below).shape, np.nan)
    return np.divide(above, below, out=result, where=below != 0)


def _checked(level: float) -> float:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    return level


# ----------------------------------------------------------------------------------------------------- books


class _Books:
    """Returns with a row for each book, and what several statistics need of them, each worked out once.

    A book's numbers lie side by side, so sums over them are fast and exact. Steps are in place where they can be:
    fresh pages for every step cost more than the arithmetic.

    Attributes:
        x: (K, T), NaN where there is no observation.
        whole: there is no NaN, so nothing has to be masked.
        scale: (K,) the largest number that went in, against which spread is told from rounding.
    """

    def __init__(self, x: FloatArray, whole: bool, scale: FloatArray) -> None:
        """Keep the three."""
        self.x, self.whole, self.scale = x, whole, scale

    @cached_property
    def count(self) -> IntArray:
        rows, periods = self.x.shape
        return np.full(rows, periods) if self.whole else periods - np.count_nonzero(np.isnan(self.x), axis=1)

    @cached_property
    def filled(self) -> FloatArray:
        """The numbers, 0 where there is none."""
        return self.x if self.whole else np.where(np.isnan(self.x), 0.0, self.x)

    @cached_property
    def mean(self) -> FloatArray:
        return _ratio(np.add.reduce(self.filled, axis=1), self.count)

    @cached_property
    def centred(self) -> FloatArray:
        """The numbers less their mean, 0 where there is none."""
        centred = self.x - self.mean[:, None]
        return centred if self.whole else np.nan_to_num(centred, copy=False)

    @cached_property
    def squares(self) -> FloatArray:
        """Sum of squares round the mean."""
        return np.vecdot(self.centred, self.centred)

    @cached_property
    def spread(self) -> FloatArray:
        """Standard deviation (ddof 1), 0 where it is rounding, NaN with fewer than two observations."""
        spread = np.sqrt(self.squares / np.maximum(self.count - 1, 1))
        return np.where(self.count > 1, self.exact(spread), np.nan)

    def exact(self, sizes: FloatArray) -> FloatArray:
        """Numbers >= 0 of the books, with 0 where they are rounding."""
        return np.where(sizes > _NOISE * self.scale, sizes, 0.0)

    @cached_property
    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Means of the standardised numbers to the third and to the fourth power, NaN without spread."""
        squared, n = self.centred * self.centred, np.maximum(self.count, 1)
        variance = np.where(self.spread > 0.0, self.squares / n, 0.0)
        third, fourth = (np.vecdot(squared, other) / n for other in (self.centred, squared))
        return _ratio(third, variance**1.5), _ratio(fourth, variance**2)

    @cached_property
    def nav(self) -> FloatArray:
        """Compounded value of 1, in blocks. Where there is no return, nothing changes."""
        if np.fmin.reduce(self.x, axis=None, initial=0.0) < -1.0:
            raise ValueError("a return is below -1: a long-only book cannot lose more than everything")
        rows, periods = self.x.shape
        steps = _STEPS if periods >= _LONG else 1
        blocks = -(-periods // steps)
        growth = np.empty((rows, blocks * steps))
        np.add(self.filled, 1.0, out=growth[:, :periods])
        growth[:, periods:] = 1.0
        return _running(np.multiply, growth.reshape(rows, blocks, steps).transpose(2, 0, 1), 1.0)

    @cached_property
    def end(self) -> FloatArray:
        """The value at the end."""
        return self.nav[-1, :, -1] if self.x.shape[1] else np.ones(len(self.x))

    @cached_property
    def falls(self) -> FloatArray:
        """The value as a share of its highest so far, in blocks: 1 or less, 1 being the value before the beginning."""
        highest = _running(np.maximum, self.nav, 1.0)
        return np.divide(self.nav, highest, out=highest)

    def in_order(self, blocks: FloatArray) -> FloatArray:
        """What is in blocks, with a row for each book."""
        rows, periods = self.x.shape
        return blocks.transpose(1, 2, 0).reshape(rows, blocks.shape[0] * blocks.shape[2])[:, :periods]

    @cached_property
    def deepest(self) -> FloatArray:
        """The lowest drawdown, NaN without an observation."""
        lowest = np.minimum.reduce(np.minimum.reduce(self.falls, axis=0), axis=1, initial=1.0)  # this way round: faster
        return np.where(self.count > 0, lowest - 1.0, np.nan)

    @cached_property
    def ordered(self) -> FloatArray:
        """The books in ascending order, what is missing last. A whole sort is faster than a partition at both tails."""
        return np.sort(self.x, axis=1)


def _running(rule: np.ufunc, blocks: FloatArray, first: float) -> FloatArray:
    """`rule.accumulate` along time, from `first` on, of books in blocks: (steps, K, T / steps), time by step first.

    Every number waits for the one before it, so numpy's own takes as long as a dozen passes over the numbers. Here all
    blocks of all books take a step at once, and then each block goes on from the end of the one before.
    """
    result = np.empty(blocks.shape)
    result[0] = blocks[0]
    for before, number, now in zip(result[:-1], blocks[1:], result[1:], strict=True):
        rule(before, number, out=now)
    starts = np.full(result.shape[1:], first)
    if starts.shape[1] > 1:
        starts[:, 1:] = rule(rule.accumulate(result[-1, :, :-1], axis=1), first)
    return rule(result, starts, out=result)


class _Difference(_Books):
    """Books less others, neither with a gap: what is known of the two is not worked out again."""

    def __init__(self, books: _Books, others: _Books, scale: FloatArray) -> None:
        """Keep the three; the others have a row for each book, a row for all, or one number."""
        self.books, self.others, self.whole, self.scale = books, others, True, scale

    @cached_property
    def x(self) -> FloatArray:
        return self.books.x - self.others.x

    @cached_property
    def count(self) -> IntArray:
        return self.books.count

    @cached_property
    def mean(self) -> FloatArray:
        return self.books.mean - self.others.mean

    @cached_property
    def centred(self) -> FloatArray:
        return self.books.centred - self.others.centred


class _Pair:
    """Books and benchmark in excess of cash, over the periods where all three are known."""

    def __init__(self, books: _Books, market: _Books) -> None:
        """Keep the two."""
        self.books, self.market = books, market  # (K, T); (1, T) where one serves all and nothing is missing

    @cached_property
    def covariance(self) -> FloatArray:
        """With ddof 1, 0 where it is rounding."""
        covariance = np.vecdot(self.books.centred, self.market.centred) / np.maximum(self.books.count - 1, 1)
        covariance[np.abs(covariance) <= _NOISE * self.books.spread * self.market.spread] = 0.0
        return covariance

    @cached_property
    def slope(self) -> FloatArray:
        return _ratio(self.covariance, self.market.spread**2)

    @cached_property
    def intercept(self) -> FloatArray:
        return self.books.mean - self.slope * self.market.mean


def _books(returns: Returns) -> _Books:
    """Any accepted input by book, NaN for what is missing."""
    if isinstance(returns, pd.Series | pd.DataFrame):
        table = returns.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        table = np.asarray(returns, dtype=np.float64)
    if table.ndim not in (1, 2):
        raise ValueError(f"returns must be of shape (T,) or (T, K), not {table.shape}")
    x = np.ascontiguousarray(table[None, :] if table.ndim == 1 else table.T)
    scale = np.maximum(np.maximum.reduce(x, axis=1, initial=0.0), -np.minimum.reduce(x, axis=1, initial=0.0))
    if np.isfinite(scale).all():  # a NaN or an infinite number would have come through
        return _Books(x, True, scale)
    if np.isinf(x).any():
        raise ValueError("a return is infinite")
    return _Books(x, False, _largest(x))


def _answer(values: FloatArray, returns: Returns) -> Statistic:
    """One number for one book, an array for several."""
    return float(values[0]) if np.ndim(returns) == 1 else values


def _aligned(returns: Returns, others: Sequence[Returns], own: _Books | None) -> list[_Books]:
    """Books, and what to hold against them: a row for all, a row for each, or one number (a row of one period).

    Pandas objects are cut to their common dates, anything else must have the same length. `own` are the books of
    `returns`, where they were made before.
    """
    tables = [returns, *others]
    indices = [table.index for table in tables if isinstance(table, pd.Series | pd.DataFrame)]
    if indices and len(indices) == sum(np.ndim(table) > 0 for table in tables):
        dates = reduce(pd.Index.intersection, indices)
        if not all(dates.equals(index) for index in indices):
            tables = [t.loc[dates] if isinstance(t, pd.Series | pd.DataFrame) else t for t in tables]
    first = own if own is not None and tables[0] is returns else _books(tables[0])
    rest = [_books(np.reshape(table, 1) if np.ndim(table) == 0 else table) for table in tables[1:]]
    for table, other in zip(tables[1:], rest, strict=True):
        if np.ndim(table) and other.x.shape not in ((1, first.x.shape[1]), first.x.shape):
            raise ValueError(f"a series to compare with must be of shape ({first.x.shape[1]},)")
    return [first, *rest]


def _excess(returns: Returns, less: Returns = 0.0, own: _Books | None = None) -> _Books:
    """Returns in excess of a rate or a benchmark."""
    if isinstance(less, float) and less == 0.0:
        return own or _books(returns)
    books, other = _aligned(returns, [less], own)
    return _less(books, other, books.scale)


def _pair(returns: Returns, benchmark: Returns, risk_free: Returns, own: _Books | None = None) -> _Pair:
    if isinstance(risk_free, float) and risk_free == 0.0:
        books, market = _aligned(returns, [benchmark], own)
        rounding: FloatArray | float = 0.0
    else:
        books, market, cash = _aligned(returns, [benchmark, risk_free], own)
        books, market = _less(books, cash, books.scale), _less(market, cash, market.scale)
        rounding = cash.scale
    if books.whole and market.whole:
        return _Pair(books, market)
    known = ~np.isnan(books.x + market.x)
    x, b = np.where(known, books.x, np.nan), np.where(known, market.x, np.nan)
    return _Pair(_Books(x, False, books.scale), _Books(b, False, np.fmax(_largest(b), rounding)))


def _against(returns: Returns, benchmark: Returns, risk_free: Returns, own: _Books) -> tuple[_Pair, _Books]:
    """Books and benchmark in excess of cash, and the returns less the benchmark's, sharing what they can."""
    active = _excess(returns, benchmark, own)
    if isinstance(active, _Difference) and isinstance(risk_free, float) and risk_free == 0.0:
        return _Pair(active.books, active.others), active
    return _pair(returns, benchmark, risk_free, own), active


def _less(books: _Books, other: _Books, scale: FloatArray) -> _Books:
    scale = np.maximum(scale, other.scale)
    if books.whole and other.whole:
        return _Difference(books, other, scale)
    return _Books(books.x - other.x, False, scale)


def _largest(x: FloatArray) -> FloatArray:
    """(K,) the largest absolute number of each book, 0 without any."""
    highest, lowest = np.fmax.reduce(x, axis=1, initial=0.0), np.fmin.reduce(x, axis=1, initial=0.0)
    return np.maximum(highest, -lowest)


# -------------------------------------------------------------------------------- the rules by name, for `summary`

_ALONE: dict[str, Callable[[_Books, _Books, float], FloatArray]] = {  # of returns, of those in excess of cash
    "observations": lambda own, excess, periods: own.count.astype(np.float64),
    "total_return": lambda own, excess, periods: _total_return(own),
    "cagr": lambda own, excess, periods: _cagr(own, periods),
    "volatility": lambda own, excess, periods: own.spread * math.sqrt(periods),
    "sharpe": lambda own, excess, periods: _sharpe(excess, periods),
    "sortino": lambda own, excess, periods: _sortino(excess, periods),
    "max_drawdown": lambda own, excess, periods: own.deepest,
    "calmar": lambda own, excess, periods: _calmar(own, periods),
    "tail_ratio": lambda own, excess, periods: _tail_ratio(own, 0.95),
    "value_at_risk": lambda own, excess, periods: _value_at_risk(own, 0.95),
    "conditional_value_at_risk": lambda own, excess, periods: _shortfall(own, 0.95),
    "win_rate": lambda own, excess, periods: _win_rate(own),
    "skewness": lambda own, excess, periods: own.moments[0],
    "kurtosis": lambda own, excess, periods: own.moments[1],
    "probabilistic_sharpe": lambda own, excess, periods: np.asarray(probabilistic_sharpe(_sharpe_moments(excess))),
}

_AGAINST: dict[str, Callable[[_Pair, _Books, float], FloatArray]] = {  # of pairs, of returns less the benchmark's
    "beta": lambda pair, active, periods: pair.slope,
    "alpha": lambda pair, active, periods: pair.intercept * periods,
    "treynor": lambda pair, active, periods: _treynor(pair, periods),
    "correlation": lambda pair, active, periods: _correlation(pair),
    "tracking_error": lambda pair, active, periods: active.spread * math.sqrt(periods),
    "information_ratio": lambda pair, active, periods: _sharpe(active, periods),
}
