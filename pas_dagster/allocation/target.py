"""One allocation step on plain arrays: weekly returns in, target weights out.

Outlier filter, mean and covariance make the estimate, which all schemes share; a scheme answers with a mix, which is
scaled to the volatility target and checked. Names, dates, eligibility, turnover, the no-trade band and the log belong
to `allocation`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from pas_dagster.allocation.estimators import (
    ROOT_YEAR,
    WEEKS_PER_YEAR,
    BoolArray,
    FloatArray,
    annual_volatility,
    covariance,
    sample_mean,
    winsorise,
)
from pas_dagster.allocation.max_sharpe import scheme as max_sharpe
from pas_dagster.allocation.policy import Policy
from pas_dagster.allocation.problem import Answer, Problem, Scheme, make_problem
from pas_dagster.allocation.volatility_target import to_volatility

TOLERANCE = 1e-9  # absolute slack of the checks on weights, relative slack of the check on volatility

Clock = Callable[[], float]
TargetStatus = Literal["optimal", "infeasible", "failed", "unrealistic"]


class Estimate(NamedTuple):
    """What the returns say of n sleeves over T weeks; weekly, not annual.

    Attributes:
        clean: (T, n), returns after the outlier filter.
        clipped: (T, n), the cells that the filter changed.
        mean: (n,).
        cov: (n, n).
        shrinkage: intensity of the covariance's shrinkage.
    """

    clean: FloatArray
    clipped: BoolArray
    mean: FloatArray
    cov: FloatArray
    shrinkage: float


class Target(NamedTuple):
    """Outcome of `target_weights` for n sleeves.

    Attributes:
        status: `optimal`; `infeasible` or `failed` as the scheme says; `unrealistic` if its answer is not believed.
        reason: one sentence, empty when optimal.
        weights: (n,), shares of the account after the volatility target, sum at most 1 or the leverage allowed; all NaN
            unless optimal.
        answer: of the scheme, before the volatility target.
    """

    status: TargetStatus
    reason: str
    weights: FloatArray
    answer: Answer


def estimate(returns: FloatArray, policy: Policy) -> Estimate:
    """Filtered returns, mean and covariance of simple weekly returns (T, n), T ≥ 2, newest last.

    Never raises on numbers: an overflow is a number that is not finite.

    >>> x = np.array([[0.01, 0.02], [0.02, -0.01], [-0.01, 0.02], [0.02, 0.01]])
    >>> estimate(x, Policy()).mean.round(4).tolist()
    [0.01, 0.01]
    """
    with np.errstate(all="ignore"):
        clean, clipped = winsorise(returns, policy.outlier_k)
        cov, shrinkage = covariance(policy.covariance, clean, policy.ewma_decay)
        return Estimate(clean, clipped, sample_mean(clean), cov, shrinkage)


def bounded_problem(names: tuple[str, ...], found: Estimate, policy: Policy, **more) -> Problem:
    """The problem of an estimate under a policy; `more` as in `make_problem`.

    >>> found = estimate(np.array([[0.01, 0.02], [0.02, -0.01], [-0.01, 0.02]]), Policy())
    >>> bounded_problem(("a", "b"), found, Policy()).upper
    0.4
    """
    return make_problem(
        names,
        found.clean,
        found.mean,
        found.cov,
        policy.min_weight,
        policy.max_weight,
        policy.risk_free / WEEKS_PER_YEAR,
        policy.target_volatility / ROOT_YEAR,
        **more,
    )


def target_weights(problem: Problem, policy: Policy, scheme: Scheme = max_sharpe, clock: Clock | None = None) -> Target:
    """Weights of a scheme's mix, scaled to the volatility target.

    Never raises on numbers: overflow is a `failed` status.

    Args:
        problem: the estimates and limits.
        policy: bounds, target and limits.
        scheme: answers the problem.
        clock: seconds, to time the scheme with.

    >>> x = np.array([[0.01, 0.02], [0.02, -0.01], [-0.01, 0.02], [0.02, 0.01]])
    >>> policy = Policy(max_weight=0.6, target_volatility=0.05)
    >>> target = target_weights(bounded_problem(("a", "b"), estimate(x, policy), policy), policy)
    >>> target.status, target.weights.round(3).tolist()
    ('optimal', [0.428, 0.428])
    """
    with np.errstate(all="ignore"):
        if clock is None:
            answer = scheme(problem)
        else:
            start = clock()
            answer = scheme(problem)
            answer = answer._replace(seconds=clock() - start)
        status, reason, weights = _scaled(answer, problem.cov, policy)
    return Target(status, reason, weights, answer)


def broken_limit(weights: FloatArray, volatility: float, policy: Policy) -> str:
    """Which limit of the policy a set of weights breaks, as one sentence; empty if none.

    Args:
        weights: (n,) shares of the account, of the eligible sleeves.
        volatility: of those weights, annual.
        policy: the limits.

    >>> broken_limit(np.array([0.5, 0.2]), 0.05, Policy(max_weight=0.4))
    'the largest weight is 0.5, above 0.4'
    """
    numbers = weights.tolist()
    total = sum(numbers)
    if not (math.isfinite(total) and math.isfinite(volatility)):
        return "the weights or their volatility are not finite"
    least, most = min(numbers), max(numbers)
    if least < policy.min_weight - TOLERANCE:
        return f"the smallest weight is {least:.6g}, below {policy.min_weight:.6g}"
    if most > policy.max_weight + TOLERANCE:
        return f"the largest weight is {most:.6g}, above {policy.max_weight:.6g}"
    if total > policy.max_leverage + TOLERANCE:
        return f"the weights sum to {total:.6g}, more than {policy.max_leverage:.6g}"
    if volatility > policy.target_volatility * (1.0 + TOLERANCE):
        return f"the volatility is {volatility:.6g} a year, above the target {policy.target_volatility:.6g}"
    return ""


def _scaled(answer: Answer, cov: FloatArray, policy: Policy) -> tuple[TargetStatus, str, FloatArray]:
    """Volatility target and realism check of a mix."""
    if answer.status != "optimal":
        return answer.status, answer.reason, answer.weights
    total = sum(answer.weights.tolist())
    annual = answer.volatility * ROOT_YEAR / total if total > 0.0 else math.nan
    if not 0.0 < annual <= policy.max_volatility:
        why = f"the volatility is {annual:.6g} a year, outside (0, {policy.max_volatility:.6g}]"
        return "unrealistic", why, _nothing(answer)
    scaled = to_volatility(
        answer.weights,
        answer.volatility,
        policy.target_volatility / ROOT_YEAR,
        cov @ answer.weights if answer.excess is None else answer.excess,
        cov,
        policy.min_weight,
        policy.max_weight,
        policy.max_leverage,
    )
    if scaled.status != "optimal":
        return scaled.status, scaled.reason, _nothing(answer)
    broken = broken_limit(scaled.weights, annual_volatility(scaled.weights, cov), policy)
    if broken:
        return "unrealistic", broken, _nothing(answer)
    return "optimal", "", scaled.weights


def _nothing(answer: Answer) -> FloatArray:
    """No weights, (n,)."""
    return np.full(answer.weights.size, np.nan)
