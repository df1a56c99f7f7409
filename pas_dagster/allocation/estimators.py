"""Estimators of the mean and covariance of weekly returns.

Conventions, stated once and used by the whole package:

* Returns are **simple** (not logarithmic) and net of costs, as decimals: 0.01 is one percent. A portfolio's return is
  linear in the weights for simple returns only.
* Estimators work **per week**. A mean or covariance is annualised by `WEEKS_PER_YEAR`, a volatility by its root.
* Covariances use **ddof 0** (divide by T), as Ledoit and Wolf do. Over 12 weeks the volatility is 4 % lower than with
  ddof 1. The optimiser and the volatility target use the same matrix.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

WEEKS_PER_YEAR = 52
MAD_TO_SIGMA = 1.4826  # one standard deviation of a normal variable, in median absolute deviations


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
    deviation = returns - centre
    distance = np.abs(deviation)
    mad = _median(distance)
    limit = k * MAD_TO_SIGMA * mad
    changed = (distance > limit) & (mad > 0.0)
    if not changed.any():
        return returns.copy(), changed
    return np.where(changed, centre + np.copysign(limit, deviation), returns), changed


def sample_mean(returns: FloatArray) -> FloatArray:
    """Arithmetic mean of each column, (sleeves,), in the unit and period of `returns` (weeks, sleeves).

    >>> sample_mean(np.array([[0.01, 0.00], [0.03, 0.02]])).round(4).tolist()
    [0.02, 0.01]
    """
    return returns.sum(axis=0) / returns.shape[0]


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
    energy = (x * x).sum(axis=1)
    mu = float(energy.sum()) / periods / n
    squared = float(np.vdot(cov, cov))
    beta = (float(energy @ energy) / periods - squared) / (n * periods)
    delta = squared / n - mu * mu
    beta = min(beta, delta)
    shrinkage = beta / delta if beta > 0.0 else 0.0
    cov *= 1.0 - shrinkage
    cov.flat[:: n + 1] += shrinkage * mu
    return cov, shrinkage


def _median(x: FloatArray) -> FloatArray:
    """Median of each column. A full sort of a dozen rows is several times faster than `numpy.median`."""
    ordered = np.sort(x, axis=0)
    middle = x.shape[0] // 2
    if x.shape[0] % 2:
        return ordered[middle]
    return 0.5 * (ordered[middle - 1] + ordered[middle])
