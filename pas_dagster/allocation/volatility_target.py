"""Scale a portfolio down to a volatility target; what is left is cash. Never lever up.

Without lower bounds the answer is k·w with k = min(1, target / volatility). That is the exact solution of the whole
problem - the largest expected excess return at a volatility of at most the target, every cap a share of the invested
part, no more than the account invested - because the tangency portfolio is the best direction. With a lower bound in
shares of the account, k·w can fall below it; then the same problem is solved with the bound inside, never by clipping.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from pas_dagster.allocation.estimators import FloatArray
from pas_dagster.allocation.solver import Status, solve_qp

MARGIN = 1e-12  # relative: the scaled volatility stays below the target by this much, so that rounding cannot exceed it
_BISECTIONS = 60


class Scaled(NamedTuple):
    """Outcome of `to_volatility`.

    Attributes:
        status: `optimal`, `infeasible` (the lower bounds alone exceed the target) or `failed`.
        reason: one sentence, empty when optimal.
        weights: (n,), sum at most 1, all NaN unless optimal.
        scale: invested part, the sum of the weights.
    """

    status: Status
    reason: str
    weights: FloatArray
    scale: float


def to_volatility(
    weights: FloatArray,
    volatility: float,
    target: float,
    excess: FloatArray,
    cov: FloatArray,
    lower: float = 0.0,
    upper: float = 1.0,
) -> Scaled:
    """Hold as much of a fully invested tangency portfolio as the volatility target allows.

    Args:
        weights: (n,), the tangency portfolio, sum 1, lower ≤ weights ≤ upper.
        volatility: of `weights`, in the period of `cov`.
        target: largest volatility, same period.
        excess: (n,) expected excess returns, same period.
        cov: (n, n) covariance, same period.
        lower: smallest weight as a share of the account.
        upper: largest weight as a share of the invested part.

    >>> eye = np.eye(2) * 0.04
    >>> scaled = to_volatility(np.array([0.5, 0.5]), 0.02**0.5, 0.08, np.array([0.1, 0.1]), eye)
    >>> scaled.weights.round(4).tolist(), round(scaled.scale, 4)
    ([0.2828, 0.2828], 0.5657)
    """
    if volatility <= target:
        return Scaled("optimal", "", weights, float(weights.sum()))
    factor = target / volatility * (1.0 - MARGIN)
    scaled = factor * weights
    if lower <= 0.0 or scaled.min() >= lower:
        return Scaled("optimal", "", scaled, float(scaled.sum()))
    return _frontier(target * (1.0 - MARGIN), excess, cov, lower, upper)


def _frontier(target: float, excess: FloatArray, cov: FloatArray, lower: float, upper: float) -> Scaled:
    """Largest excess return with volatility ≤ target, lower ≤ x ≤ upper·1'x and 1'x ≤ 1.

    The solutions of min ½ x'Σx - γ μ'x are the frontier; its volatility grows with γ, so γ is found by bisection.
    """
    n = excess.size
    eye, ones = np.eye(n), np.ones(n)
    A = np.concatenate([eye, eye - upper, ones[None, :]])
    low = np.concatenate([lower * ones, np.full(n + 1, -np.inf)])
    high = np.concatenate([np.full(n, np.inf), np.zeros(n), ones[:1]])
    variance, size = float(cov.trace()) / n, float(np.abs(excess).max())

    def point(gamma: float) -> tuple[Status, str, FloatArray, float]:
        solution = solve_qp(cov / variance, excess * (-gamma / size), A, low, high)
        risk = float(solution.x @ cov @ solution.x)
        return solution.status, solution.reason, solution.x, math.sqrt(max(risk, 0.0))

    status, reason, best, risk = point(0.0)
    if status != "optimal":
        return Scaled(status, reason, best, math.nan)
    if risk > target:
        why = f"with at least {lower:.6g} in each of {n} sleeves the volatility exceeds the target"
        return Scaled("infeasible", why, np.full(n, np.nan), math.nan)
    least, most = 0.0, 1.0
    for _ in range(_BISECTIONS):
        status, _, x, risk = point(most)
        if status != "optimal" or risk > target:
            break
        least, most, best = most, 2.0 * most, x
    for _ in range(_BISECTIONS):
        middle = 0.5 * (least + most)
        status, _, x, risk = point(middle)
        if status == "optimal" and risk <= target:
            least, best = middle, x
        else:
            most = middle
    best = np.maximum(best, lower)
    return Scaled("optimal", "", best, float(best.sum()))
