"""Risk parity: every asset contributes its budget to the portfolio's volatility.

The contribution of asset i is w_i (Σw)_i / w'Σw. The long-only portfolio whose contributions equal given budgets is
unique and is, up to scale, the minimiser of the convex function ½ x'Σx - Σ b_i ln x_i (the logarithmic barrier). Bounds
are not part of this definition.

Source: Spinu (2013), An algorithm for computing risk parity weights, SSRN 2297383 (damped Newton on the barrier);
Maillard, Roncalli and Teiletche (2010), Journal of Portfolio Management 36(4), for the portfolio itself.
"""

from __future__ import annotations

import math

import numpy as np

from pas_dagster.allocation.estimators import FloatArray

TOLERANCE = 1e-12  # largest relative gap between a contribution and its budget
_MAX_STEPS = 100
_DAMPED_ABOVE = 0.95 * (3.0 - math.sqrt(5.0)) / 2.0  # Spinu (2013): full Newton steps below this decrement


def risk_parity(cov: FloatArray, budgets: FloatArray | None = None) -> FloatArray:
    """Long-only weights whose risk contributions equal their budgets to 1e-12.

    Args:
        cov: (n, n) covariance, symmetric, positive variances; its unit does not matter.
        budgets: (n,) positive risk budgets, scaled to sum 1; equal if None.

    Returns:
        Weights (n,), positive, sum 1.

    Raises:
        ValueError: the covariance or the budgets are unusable, or no such portfolio exists because some long-only
            portfolio has no risk at all.

    >>> risk_parity(np.diag([0.01, 0.04])).round(4).tolist()
    [0.6667, 0.3333]
    >>> risk_parity(np.diag([0.01, 0.04]), np.array([0.2, 0.8])).round(4).tolist()
    [0.5, 0.5]
    """
    n = cov.shape[0]
    if cov.shape != (n, n) or n == 0:
        raise ValueError(f"risk parity needs a square covariance, not one of shape {cov.shape}")
    if not (np.isfinite(cov).all() and cov.diagonal().min() > 0.0):
        raise ValueError("risk parity needs finite covariances and positive variances")
    b = np.full(n, 1.0 / n) if budgets is None else budgets / budgets.sum()
    if b.shape != (n,) or not (np.isfinite(b).all() and b.min() > 0.0):
        raise ValueError(f"risk parity needs {n} positive finite budgets")
    sigma = np.sqrt(cov.diagonal())
    weights = _barrier_minimiser(cov / sigma[:, None] / sigma, b) / sigma
    return weights / weights.sum()


def contributions(cov: FloatArray, weights: FloatArray) -> FloatArray:
    """Share of the portfolio's variance that each asset contributes, (n,), sum 1.

    >>> contributions(np.diag([0.01, 0.04]), np.array([0.5, 0.5])).round(4).tolist()
    [0.2, 0.8]
    """
    parts = weights * (cov @ weights)
    return parts / parts.sum()


def _barrier_minimiser(correlation: FloatArray, b: FloatArray) -> FloatArray:
    """Minimiser (n,) of ½ u'Cu - Σ b ln u by Newton's method, damped while far away."""
    # Scaled so that the total of the contributions is right: u'Cu = 1 at the minimum.
    start = np.sqrt(b)
    u = start / math.sqrt(max(float(start @ correlation @ start), 1e-8))
    for _ in range(_MAX_STEPS):
        cu = correlation @ u
        if np.abs(u * cu / b - 1.0).max() <= TOLERANCE:
            return u
        gradient = cu - b / u
        hessian = correlation.copy()
        hessian.flat[:: u.size + 1] += b / (u * u)
        try:
            move = np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            break
        # With budgets below 1 the barrier is self-concordant with this factor: scale the decrement accordingly.
        decrement = math.sqrt(max(float(gradient @ move), 0.0) / float(b.min()))
        if decrement > _DAMPED_ABOVE:
            move = move / (1.0 + float(np.abs(move / u).max()))
        u = u - move
        if not (np.isfinite(u).all() and u.min() > 0.0):
            break
    raise ValueError("no risk parity portfolio: a long-only portfolio of these assets has no risk")
