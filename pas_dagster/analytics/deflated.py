"""How sure a Sharpe ratio is, and what is left of it after counting the strategies that were tried.

Every Sharpe ratio here is **per period** (per session for daily returns), not annualised: an annual one divided by
sqrt(periods per year); the variance of annual ones divided by the periods per year. Kurtosis is not excess: 3 for
the normal distribution. Skewness and kurtosis are the moments of the sample, mean(z^3) and mean(z^4) of the
standardised returns (ddof 0); the Sharpe ratio is that of `statistics.sharpe`, with ddof 1.

Sources: Bailey and López de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2), 2012 (the
probabilistic Sharpe ratio); Bailey and López de Prado, "The Deflated Sharpe Ratio: Correcting for Selection Bias,
Backtest Overfitting and Non-Normality", Journal of Portfolio Management 40(5), 2014.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from pas_dagster.analytics.statistics import Rate, sharpe

_NORMAL = NormalDist()
_EULER = 0.5772156649015329  # Euler-Mascheroni
_NOISE = 1e-9


class SharpeMoments(NamedTuple):
    """What the returns of one book say about its Sharpe ratio."""

    sharpe: float  # per period, in excess of cash
    observations: int
    skewness: float
    kurtosis: float  # 3 for the normal distribution


def sharpe_moments(returns: npt.ArrayLike | pd.Series, *, risk_free: Rate = 0.0) -> SharpeMoments:
    """The moments of one book's returns in excess of cash.

    NaN is no observation. The Sharpe ratio and the moments are NaN with fewer than two observations and for a
    constant series.

    Args:
        returns: (T,) simple returns per period.
        risk_free: return of cash per period, one number or (T,); two Series are brought onto their common dates.

    Raises:
        ValueError: more than one book, an infinite return, a `risk_free` of another length.

    >>> [round(number, 4) for number in sharpe_moments([0.0, 0.0, 0.0, 0.04])]
    [0.5, 4, 1.1547, 2.3333]
    """
    if np.ndim(returns) != 1:
        raise ValueError("the moments are those of one book")
    ratio = float(sharpe(returns, periods=1, risk_free=risk_free))
    excess = returns - risk_free if isinstance(returns, pd.Series) else np.asarray(returns) - np.asarray(risk_free)
    x = np.asarray(excess, dtype=np.float64)
    x = x[~np.isnan(x)]
    if math.isnan(ratio):
        return SharpeMoments(ratio, len(x), math.nan, math.nan)
    z = (x - x.mean()) / x.std()
    return SharpeMoments(ratio, len(x), float(np.mean(z**3)), float(np.mean(z**4)))


def probabilistic_sharpe(moments: SharpeMoments, benchmark: float = 0.0) -> float:
    """Probability that the true Sharpe ratio exceeds `benchmark`, given its estimate.

    Rule: Phi((SR - SR*) sqrt(T - 1) / sqrt(1 - skewness SR + (kurtosis - 1) / 4 SR^2)), everything per period. NaN
    with fewer than two observations, for NaN moments, and when the root is 0: the estimate then has no spread.

    Raises:
        ValueError: a kurtosis below 1 + skewness^2, which no returns have.

    >>> round(probabilistic_sharpe(SharpeMoments(0.1, 253, 0.0, 3.0)), 4)  # 1.6 a year, normal, one year
    0.9433
    """
    ratio, observations, skewness, kurtosis = moments
    if kurtosis < 1.0 + skewness**2 - _NOISE * max(1.0, kurtosis):
        raise ValueError(f"a kurtosis of {kurtosis} is below 1 + skewness^2: it must not be the excess kurtosis")
    spread = 1.0 - skewness * ratio + (kurtosis - 1.0) / 4.0 * ratio**2
    if observations < 2 or math.isnan(benchmark) or not spread > _NOISE:
        return math.nan
    return _NORMAL.cdf((ratio - benchmark) * math.sqrt(observations - 1) / math.sqrt(spread))


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


def deflated_sharpe(moments: SharpeMoments, *, trials: int, variance: float) -> float:
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
