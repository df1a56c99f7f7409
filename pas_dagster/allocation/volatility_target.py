"""Scale a mix down to a volatility target; what is left is cash. Lever up only where that is allowed.

Without lower bounds the answer is k·w with k = min(1, target / volatility). For a tangency portfolio that is the exact
solution of the whole problem - the largest expected excess return at a volatility of at most the target, every cap a
share of the invested part, no more than the account invested - because it is the best direction. For any other mix w it
is the point nearest to w in the metric of the covariance whose volatility is at most the target; that point is also the
solution of the same problem for the returns that the mix implies, Σw, so there is one problem for both.

With a lower bound in shares of the account, k·w can fall below it, and with leverage it can exceed an upper one; then
the problem is solved with the bounds inside, never by clipping.

Source: He and Litterman (1999), The intuition behind Black-Litterman model portfolios, for implied returns.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from pas_dagster.allocation.estimators import FloatArray
from pas_dagster.allocation.solver import Status, solve_qp

MARGIN = 1e-12  # relative: the scaled volatility stays below the target by this much, so that rounding cannot exceed it
_BISECTIONS = 60
_STILL = 1e-12  # weights that move by less do not move
_WHOLE = 1.0 - 1e-9  # a mix that sums to this much is fully invested


class Scaled(NamedTuple):
    """Outcome of `to_volatility`.

    Attributes:
        status: `optimal`, `infeasible` (the lower bounds alone exceed the target) or `failed`.
        reason: one sentence, empty when optimal.
        weights: (n,), sum at most 1 (or the leverage allowed), all NaN unless optimal.
        scale: invested part, the sum of the weights.
    """

    status: Status
    reason: str
    weights: FloatArray
    scale: float


class _Caps(NamedTuple):
    """Largest weights: `share` of the invested part and `weight` of the account; `total` invested at most."""

    share: float
    weight: float
    total: float


def to_volatility(
    weights: FloatArray,
    volatility: float,
    target: float,
    excess: FloatArray,
    cov: FloatArray,
    lower: float = 0.0,
    upper: float = 1.0,
    leverage: float = 1.0,
) -> Scaled:
    """Hold as much of a mix as the volatility target allows.

    A mix that keeps cash itself is never scaled up, and nothing is ever invested beyond its own sum.

    Args:
        weights: (n,), the mix, sum at most 1, lower ≤ weights ≤ upper.
        volatility: of `weights`, in the period of `cov`.
        target: largest volatility, same period.
        excess: (n,) expected excess returns that the mix maximises, same period; Σ·weights for any other mix.
        cov: (n, n) covariance, same period.
        lower: smallest weight as a share of the account.
        upper: largest weight as a share of the account and of the invested part.
        leverage: largest sum of the weights of a fully invested mix, at least 1.

    >>> eye = np.eye(2) * 0.04
    >>> scaled = to_volatility(np.array([0.5, 0.5]), 0.02**0.5, 0.08, np.array([0.1, 0.1]), eye)
    >>> scaled.weights.round(4).tolist(), round(scaled.scale, 4)
    ([0.2828, 0.2828], 0.5657)
    """
    total = sum(weights.tolist())
    levered = leverage > 1.0 and total >= _WHOLE
    if volatility <= target and not levered:
        return Scaled("optimal", "", weights, total)
    factor = target / volatility * (1.0 - MARGIN) if volatility > 0.0 else math.inf
    factor = min(factor, leverage if levered else 1.0)
    scaled = factor * weights
    if (lower <= 0.0 or scaled.min() >= lower) and (factor <= 1.0 or scaled.max() <= upper):
        return Scaled("optimal", "", scaled, sum(scaled.tolist()))
    share = min(1.0, upper / total) if factor <= 1.0 else 1.0
    caps = _Caps(share, upper, leverage if factor > 1.0 else total)
    return _frontier(target * (1.0 - MARGIN), excess, cov, lower, caps)


def _frontier(target: float, excess: FloatArray, cov: FloatArray, lower: float, caps: _Caps) -> Scaled:
    """Largest excess return with volatility ≤ target, lower ≤ x ≤ share·1'x, x ≤ weight and 1'x ≤ total.

    The solutions of min ½ x'Σx - γ μ'x are the frontier; its volatility grows with γ, so γ is found by bisection.
    """
    n = excess.size
    eye, ones = np.eye(n), np.ones(n)
    A = np.concatenate([eye, eye - caps.share, ones[None, :]])
    low = np.concatenate([lower * ones, np.full(n + 1, -np.inf)])
    high = np.concatenate([caps.weight * ones, np.zeros(n), [caps.total]])
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
    best = _largest(point, target, best)
    best = np.maximum(best, lower)
    return Scaled("optimal", "", best, float(best.sum()))


def _largest(point, target: float, best: FloatArray) -> FloatArray:
    """The point of the largest γ whose volatility is within the target."""
    least, most = 0.0, 1.0
    for _ in range(_BISECTIONS):
        status, _, x, risk = point(most)
        if status != "optimal" or risk > target:
            break
        if np.abs(x - best).max() <= _STILL:  # a corner: more return is not to be had
            return x
        least, most, best = most, 2.0 * most, x
    for _ in range(_BISECTIONS):
        middle = 0.5 * (least + most)
        status, _, x, risk = point(middle)
        if status == "optimal" and risk <= target:
            least, best = middle, x
        else:
            most = middle
    return best
