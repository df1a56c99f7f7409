"""Estimators of the mean and covariance of weekly returns.

Conventions, stated once and used by the whole package:

* Returns are **simple** (not logarithmic) and net of costs, as decimals: 0.01 is one percent. A portfolio's return is
  linear in the weights for simple returns only.
* Estimators work **per week**. A mean or covariance is annualised by `WEEKS_PER_YEAR`, a volatility or a Sharpe ratio
  by its root (`annual_rate`, `annual_volatility`, `ROOT_YEAR`); nothing else in the package converts.
* Covariances use **ddof 0** (divide by T), as Ledoit and Wolf do. Over 12 weeks the volatility is 4 % lower than with
  ddof 1. The optimiser and the volatility target use the same matrix.
* Estimators want finite numbers and a variance in every column. Who may take part is decided before: a sleeve with a
  missing week (a late starter, a gap) or without any movement leaves the optimisation, with a reason in the log.
  Nothing is filled with zeros and no pairwise covariance is formed.
"""

from __future__ import annotations

import math
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

Rate = TypeVar("Rate", float, FloatArray)
Covariance = Literal["ledoit_wolf", "constant_correlation", "single_factor", "ewma"]

WEEKS_PER_YEAR = 52
ROOT_YEAR = math.sqrt(WEEKS_PER_YEAR)
MAD_TO_SIGMA = 1.4826  # one standard deviation of a normal variable, in median absolute deviations


def annual_rate(weekly: Rate) -> Rate:
    """A mean return or variance per week, or an array of them, per year: 52 times. Not compounded: arithmetic.

    >>> round(annual_rate(0.001), 3)
    0.052
    """
    return WEEKS_PER_YEAR * weekly  # ty: ignore[invalid-explicit-return]


def annual_volatility(weights: FloatArray, cov: FloatArray) -> float:
    """Annual volatility of weights (n,) under a weekly covariance (n, n).

    >>> round(annual_volatility(np.array([1.0]), np.array([[0.0004]])), 4)
    0.1442
    """
    return volatility(weights, cov) * ROOT_YEAR


def volatility(weights: FloatArray, cov: FloatArray) -> float:
    """√(w'Σw) in the period of the covariance (n, n).

    >>> volatility(np.array([0.6, 0.8]), np.eye(2))
    1.0
    """
    return math.sqrt(max(float(weights @ cov @ weights), 0.0))


def winsorise(returns: FloatArray, k: float = 3.5) -> tuple[FloatArray, BoolArray]:
    """Clip each column to its median ± k robust standard deviations.

    The robust standard deviation is 1.4826 times the median absolute deviation (MAD). A filter on z-scores cannot do
    this work: among n observations no z-score exceeds (n - 1) / √n, which is 3.18 for twelve weeks (Shiffler 1988), so
    a limit of 3.5 would never fire. A column whose MAD is 0 (more than half of its weeks alike) has no scale to judge
    by and is left alone.

    Args:
        returns: (weeks, sleeves), finite, in any unit.
        k: number of robust standard deviations that are believed.

    Returns:
        The filtered returns and the mask of the cells that changed, both (weeks, sleeves). The input is not modified.

    Source: Hampel (1974); the limit 3.5 is that of Iglewicz and Hoaglin (1993).

    >>> x = np.array([[0.01], [0.02], [0.00], [0.01], [0.02], [0.50]])
    >>> clean, changed = winsorise(x)
    >>> bool(changed[5, 0]), int(changed.sum()), round(float(clean[5, 0]), 4)
    (True, 1, 0.0409)
    """
    centre = _median(returns)
    mad = _median(np.abs(returns - centre))
    limit = np.where(mad > 0.0, k * MAD_TO_SIGMA * mad, np.inf)
    clean = np.minimum(np.maximum(returns, centre - limit), centre + limit)
    return clean, clean != returns


def sample_mean(returns: FloatArray) -> FloatArray:
    """Arithmetic mean of each column, (sleeves,), in the unit and period of `returns` (weeks, sleeves).

    >>> sample_mean(np.array([[0.01, 0.00], [0.03, 0.02]])).round(4).tolist()
    [0.02, 0.01]
    """
    return np.add.reduce(returns, axis=0) / returns.shape[0]


def ledoit_wolf(returns: FloatArray) -> tuple[FloatArray, float]:
    """Covariance shrunk towards a multiple of the identity, with the optimal intensity of Ledoit and Wolf.

    Equal to `sklearn.covariance.ledoit_wolf` to rounding: ddof 0, columns centred on their mean, one column is not
    shrunk.

    The estimate is **not scale-equivariant**. The target is the same variance for every sleeve, so levering one sleeve
    changes the intensity and with it every other entry: one sleeve levered five times moved the intensity from 0.55 to
    0.15 and doubled the variance of the calmest sleeve. Sleeves of like volatility are the case it is made for.

    Args:
        returns: (weeks, sleeves), finite, at least one row.

    Returns:
        Covariance (sleeves, sleeves) per period and the shrinkage intensity in [0, 1].

    Source: Ledoit and Wolf (2004), A well-conditioned estimator for large-dimensional covariance matrices,
    Journal of Multivariate Analysis 88, section 3.3.

    >>> cov, shrinkage = ledoit_wolf(np.array([[0.01, 0.02], [-0.01, 0.00], [0.03, 0.02], [0.01, 0.01]]))
    >>> round(shrinkage, 4), (cov * 1e4).round(4).tolist()
    (0.572, [[1.6246, 0.428], [0.428, 1.0629]])
    """
    periods, n = returns.shape
    x = returns - sample_mean(returns)
    cov = x.T @ x / periods
    if n == 1:
        return cov, 0.0
    energy = np.vecdot(x, x)
    mu = float(np.vdot(x, x)) / periods / n
    squared = float(np.vdot(cov, cov))
    beta = (float(energy @ energy) / periods - squared) / (n * periods)
    delta = squared / n - mu * mu
    beta = min(beta, delta)
    shrinkage = beta / delta if beta > 0.0 else 0.0
    cov *= 1.0 - shrinkage
    cov.ravel()[:: n + 1] += shrinkage * mu
    return cov, shrinkage


def constant_correlation(returns: FloatArray) -> tuple[FloatArray, float]:
    """Covariance shrunk towards one correlation for all pairs, with the optimal intensity of Ledoit and Wolf.

    The target keeps every variance, so a sleeve of another volatility does not disturb those of the others: this is the
    estimator for sleeves of unlike volatility. One or two columns are not shrunk, their target is the sample itself.

    Args:
        returns: (weeks, sleeves), finite, no column constant.

    Returns:
        Covariance (sleeves, sleeves) per period, ddof 0, and the shrinkage intensity in [0, 1].

    Source: Ledoit and Wolf (2004), Honey, I shrunk the sample covariance matrix, Journal of Portfolio Management 30(4),
    appendix B.

    >>> x = np.array([[0.01, 0.02, 0.01], [-0.01, 0.00, 0.03], [0.03, 0.02, -0.01], [0.01, 0.01, 0.02]])
    >>> cov, shrinkage = constant_correlation(x)
    >>> round(shrinkage, 4), (cov.diagonal() * 1e4).round(4).tolist()
    (0.2947, [2.0, 0.6875, 2.1875])
    """
    periods, n = returns.shape
    x = returns - sample_mean(returns)
    cov = x.T @ x / periods
    target = constant_correlation_target(cov)
    if n < 3:
        return cov, 0.0
    shrinkage = min(max(_constant_correlation_intensity(x, cov, target) / periods, 0.0), 1.0)
    return shrinkage * target + (1.0 - shrinkage) * cov, shrinkage


def single_factor(returns: FloatArray) -> tuple[FloatArray, float]:
    """Covariance shrunk towards that of one factor, the mean of all columns, with the optimal intensity.

    The target keeps every variance and explains covariances by the factor alone. One or two columns are not shrunk.

    Args:
        returns: (weeks, sleeves), finite, no column constant.

    Returns:
        Covariance (sleeves, sleeves) per period, ddof 0, and the shrinkage intensity in [0, 1].

    Source: Ledoit and Wolf (2003), Improved estimation of the covariance matrix of stock returns, Journal of Empirical
    Finance 10(5), section 2.3 and appendix.

    >>> x = np.array([[0.01, 0.02, 0.01], [-0.01, 0.00, 0.03], [0.03, 0.02, -0.01], [0.01, 0.01, 0.02]])
    >>> cov, shrinkage = single_factor(x)
    >>> 0.0 <= shrinkage <= 1.0, (cov.diagonal() * 1e4).round(4).tolist()
    (True, [2.0, 0.6875, 2.1875])
    """
    periods, n = returns.shape
    x = returns - sample_mean(returns)
    cov = x.T @ x / periods
    factor = x.mean(axis=1)
    loading, variance = x.T @ factor / periods, factor @ factor / periods
    if n < 3 or variance <= 0.0:
        return cov, 0.0
    target = np.outer(loading, loading) / variance
    np.fill_diagonal(target, cov.diagonal())
    distance = float(((cov - target) ** 2).sum())
    if distance <= 0.0:
        return cov, 0.0
    intensity = (_sample_noise(x, cov) - _single_factor_overlap(x, cov, factor)) / distance
    shrinkage = min(max(intensity / periods, 0.0), 1.0)
    return shrinkage * target + (1.0 - shrinkage) * cov, shrinkage


def _sample_noise(x: FloatArray, cov: FloatArray) -> float:
    """Sum of the asymptotic variances of the sample covariances: the paper's pi."""
    squares = x**2
    return float((squares.T @ squares).sum() / len(x) - (cov**2).sum())


def _single_factor_overlap(x: FloatArray, cov: FloatArray, factor: FloatArray) -> float:
    """Sum of the asymptotic covariances of the target with the sample: the paper's rho."""
    periods = len(x)
    squares, loading, variance = x**2, x.T @ factor / periods, factor @ factor / periods
    moved = x * factor[:, None]
    first = squares.T @ moved / periods - loading[:, None] * cov
    third = moved.T @ moved / periods - variance * cov
    outer = np.outer(loading, loading)
    diagonal = (squares**2).sum() / periods - (cov.diagonal() ** 2).sum()
    once = (first * loading).sum() / variance - (first.diagonal() * loading).sum() / variance
    twice = (third * outer).sum() / variance**2 - (third.diagonal() * loading**2).sum() / variance**2
    return float(diagonal + 2.0 * once - twice)


def constant_correlation_target(cov: FloatArray) -> FloatArray:
    """The covariance (n, n) with the same variances and the mean correlation for every pair.

    >>> constant_correlation_target(np.array([[1.0, 0.5, 0.1], [0.5, 1.0, 0.0], [0.1, 0.0, 1.0]])).round(3).tolist()
    [[1.0, 0.2, 0.2], [0.2, 1.0, 0.2], [0.2, 0.2, 1.0]]
    """
    n = len(cov)
    if n == 1:
        return cov.copy()
    sigma = np.sqrt(cov.diagonal())
    both = np.outer(sigma, sigma)
    target = both * ((float((cov / both).sum()) - n) / (n * (n - 1)))
    target.flat[:: n + 1] = cov.diagonal()
    return target


def _constant_correlation_intensity(x: FloatArray, cov: FloatArray, target: FloatArray) -> float:
    """Kappa of the paper, (π - ρ) / γ, from centred returns (weeks, sleeves)."""
    periods, n = x.shape
    variance = cov.diagonal()
    sigma = np.sqrt(variance)
    squares = x * x
    error = squares.T @ squares / periods - cov * cov  # asymptotic variance of each entry, π of the paper
    skewed = (squares * x).T @ x / periods - variance[:, None] * cov  # of entry ii with entry ij, θ of the paper
    skewed.flat[:: n + 1] = 0.0
    mean_correlation = float(target[0, 1]) / float(sigma[0] * sigma[1])
    rho = float(error.trace()) + mean_correlation * float((skewed * (sigma / sigma[:, None])).sum())
    gap = float(((cov - target) ** 2).sum())
    return (float(error.sum()) - rho) / gap if gap > 0.0 else 0.0


def ewma(returns: FloatArray, decay: float = 0.94) -> tuple[FloatArray, float]:
    """Exponentially weighted covariance, shrunk towards a multiple of the identity.

    Week t of T counts decay^(T - t), scaled to sum 1; deviations are from the mean with the same weights. A dozen weeks
    of twenty sleeves leave portfolios without any risk in such a matrix, so it is shrunk like `ledoit_wolf`: the
    variance of a weighted mean of x x' is the sum of the squared weights times the squared distances. With decay 1 the
    answer is that of `ledoit_wolf`.

    Args:
        returns: (weeks, sleeves), finite, oldest week first.
        decay: in (0, 1], weight of a week relative to the next.

    Returns:
        Covariance (sleeves, sleeves) per period and the shrinkage intensity in [0, 1].

    Source: J.P. Morgan/Reuters (1996), RiskMetrics technical document, section 5.2; Ledoit and Wolf (2004).

    >>> cov, shrinkage = ewma(np.array([[0.01, 0.02], [-0.01, 0.00], [0.03, 0.02], [0.01, 0.01]]), 0.8)
    >>> round(shrinkage, 4), (cov * 1e4).round(4).tolist()
    (0.6148, [[1.5306, 0.3663], [0.3663, 1.0183]])
    """
    share = decay ** np.arange(len(returns) - 1, -1, -1, dtype=np.float64)
    share /= share.sum()
    x = returns - share @ returns
    rooted = x * np.sqrt(share)[:, None]
    cov = rooted.T @ rooted
    n = x.shape[1]
    if n == 1:
        return cov, 0.0
    mu, squared = float(cov.trace()) / n, float(np.vdot(cov, cov))
    energy = (x * x).sum(axis=1)
    distance = energy * energy - 2.0 * ((x @ cov) * x).sum(axis=1) + squared
    delta = squared / n - mu * mu
    beta = min(float(share * share @ distance) / n, delta)
    shrinkage = beta / delta if beta > 0.0 else 0.0
    cov *= 1.0 - shrinkage
    cov.flat[:: n + 1] += shrinkage * mu
    return cov, shrinkage


def covariance(kind: Covariance, returns: FloatArray, decay: float = 0.94) -> tuple[FloatArray, float]:
    """The covariance (sleeves, sleeves) and shrinkage intensity by the name of the estimator; `decay` is for `ewma`.

    >>> x = np.array([[0.01, 0.02], [-0.01, 0.00], [0.03, 0.02], [0.01, 0.01]])
    >>> [round(covariance(kind, x)[1], 3) for kind in ("ledoit_wolf", "constant_correlation", "ewma")]
    [0.572, 0.0, 0.575]
    """
    if kind == "ewma":
        return ewma(returns, decay)
    if kind == "single_factor":
        return single_factor(returns)
    return constant_correlation(returns) if kind == "constant_correlation" else ledoit_wolf(returns)


def _median(x: FloatArray) -> FloatArray:
    """Median of each column. A full sort of a dozen rows is several times faster than `numpy.median`."""
    ordered = np.sort(x, axis=0)
    middle = x.shape[0] // 2
    if x.shape[0] % 2:
        return ordered[middle]
    return 0.5 * (ordered[middle - 1] + ordered[middle])
