"""One allocation step on plain arrays: weekly returns in, target weights out.

Outlier filter, mean and Ledoit-Wolf covariance, tangency portfolio within the bounds, volatility target, realism check.
Names, dates, eligibility, the no-trade band and the log belong to `allocation`.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from pas_dagster.allocation.estimators import (
    WEEKS_PER_YEAR,
    BoolArray,
    FloatArray,
    ledoit_wolf,
    sample_mean,
    winsorise,
)
from pas_dagster.allocation.max_sharpe import Tangency, max_sharpe
from pas_dagster.allocation.policy import Policy
from pas_dagster.allocation.volatility_target import to_volatility

TOLERANCE = 1e-9  # absolute slack of the checks on weights, relative slack of the check on volatility

TargetStatus = Literal["optimal", "infeasible", "failed", "unrealistic"]


class Target(NamedTuple):
    """Outcome of `target_weights` for n sleeves over T weeks.

    Attributes:
        status: `optimal`; `infeasible` or `failed` as the optimiser says; `unrealistic` if its answer is not believed.
        reason: one sentence, empty when optimal.
        weights: (n,), shares of the account after the volatility target, sum at most 1; all NaN unless optimal.
        clean: (T, n), returns after the outlier filter.
        clipped: (T, n), the cells that the filter changed.
        mean: (n,), weekly.
        cov: (n, n), weekly.
        shrinkage: Ledoit-Wolf intensity.
        tangency: the fully invested portfolio before the volatility target, weekly.
    """

    status: TargetStatus
    reason: str
    weights: FloatArray
    clean: FloatArray
    clipped: BoolArray
    mean: FloatArray
    cov: FloatArray
    shrinkage: float
    tangency: Tangency


def target_weights(returns: FloatArray, policy: Policy) -> Target:
    """Weights of the tangency portfolio of the filtered returns, scaled to the volatility target.

    Never raises on numbers. Overflow turns into a `failed` status.

    Args:
        returns: (T, n) simple weekly returns, T ≥ 2, newest last; order does not matter to the answer.
        policy: bounds, target and limits.

    >>> x = np.array([[0.01, 0.02], [0.02, -0.01], [-0.01, 0.02], [0.02, 0.01]])
    >>> target = target_weights(x, Policy(max_weight=0.6, target_volatility=0.05))
    >>> target.status, target.weights.round(3).tolist()
    ('optimal', [0.428, 0.428])
    """
    with np.errstate(all="ignore"):
        clean, clipped = winsorise(returns, policy.outlier_k)
        mean = sample_mean(clean)
        cov, shrinkage = ledoit_wolf(clean)
        risk_free = policy.risk_free / WEEKS_PER_YEAR
        tangency = max_sharpe(mean, cov, policy.min_weight, policy.max_weight, risk_free)
        status, reason, weights = _scaled(tangency, mean - risk_free, cov, policy)
    return Target(status, reason, weights, clean, clipped, mean, cov, shrinkage, tangency)


def annual_volatility(weights: FloatArray, cov: FloatArray) -> float:
    """Annual volatility of weights (n,) under a weekly covariance (n, n).

    >>> round(annual_volatility(np.array([1.0]), np.array([[0.0004]])), 4)
    0.1442
    """
    return math.sqrt(max(float(weights @ cov @ weights), 0.0) * WEEKS_PER_YEAR)


def broken_limit(weights: FloatArray, volatility: float, policy: Policy) -> str:
    """Which limit of the policy a set of weights breaks, as one sentence; empty if none.

    Args:
        weights: (n,) shares of the account, of the eligible sleeves.
        volatility: of those weights, annual.
        policy: the limits.

    >>> broken_limit(np.array([0.5, 0.2]), 0.05, Policy(max_weight=0.4))
    'the largest weight is 0.5, above 0.4'
    """
    total, least, most = float(weights.sum()), float(weights.min()), float(weights.max())
    if not (math.isfinite(total) and math.isfinite(volatility)):
        return "the weights or their volatility are not finite"
    if least < policy.min_weight - TOLERANCE:
        return f"the smallest weight is {least:.6g}, below {policy.min_weight:.6g}"
    if most > policy.max_weight + TOLERANCE:
        return f"the largest weight is {most:.6g}, above {policy.max_weight:.6g}"
    if total > 1.0 + TOLERANCE:
        return f"the weights sum to {total:.6g}, more than 1"
    if volatility > policy.target_volatility * (1.0 + TOLERANCE):
        return f"the volatility is {volatility:.6g} a year, above the target {policy.target_volatility:.6g}"
    return ""


def _scaled(
    tangency: Tangency, excess: FloatArray, cov: FloatArray, policy: Policy
) -> tuple[TargetStatus, str, FloatArray]:
    """Volatility target and realism check of a tangency portfolio."""
    if tangency.status != "optimal":
        return tangency.status, tangency.reason, tangency.weights
    annual = tangency.volatility * math.sqrt(WEEKS_PER_YEAR)
    nothing = np.full(excess.size, np.nan)
    if not 0.0 < annual <= policy.max_volatility:
        why = f"the volatility is {annual:.6g} a year, outside (0, {policy.max_volatility:.6g}]"
        return "unrealistic", why, nothing
    weekly_target = policy.target_volatility / math.sqrt(WEEKS_PER_YEAR)
    scaled = to_volatility(
        tangency.weights, tangency.volatility, weekly_target, excess, cov, policy.min_weight, policy.max_weight
    )
    if scaled.status != "optimal":
        return scaled.status, scaled.reason, nothing
    broken = broken_limit(scaled.weights, annual_volatility(scaled.weights, cov), policy)
    if broken:
        return "unrealistic", broken, nothing
    return "optimal", "", scaled.weights
