"""Mean-variance portfolio whose groups have fixed budgets and whose positions have limits.

    maximise μ'w - ½ γ w'Σw   subject to   Σ of w in group g = budget g,   0 ≤ w ≤ upper

One quadratic programme with the budgets and limits inside: optimising each group alone ignores what the groups have in
common, and optimising all and scaling each group to its budget breaks the limits. The unit of time cancels as long as
the mean and the covariance have the same one; γ, the risk aversion, has none.

Source: Markowitz (1952), Portfolio selection, Journal of Finance 7(1).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pas_dagster.allocation import budgets as group_budgets
from pas_dagster.allocation.estimators import WEEKS_PER_YEAR, FloatArray
from pas_dagster.allocation.problem import Answer, Problem, no_answer
from pas_dagster.allocation.programme import LOWER, SNAP, UPPER, Limits, minimise
from pas_dagster.allocation.solver import Status, solve_qp

OBJECTIVE = "annual utility"
_SLACK = 1e-9  # limits that miss a budget by less than this are rounding


def scheme(problem: Problem) -> Answer:
    """The largest mean excess return less ½ γ variance, with the mandate's budgets and the bounds.

    A budget that its group cannot hold goes to the others as `budgets` says. Without budgets all weights sum to 1.
    """
    found = group_budgets.fitted(problem)
    if found.reason:
        return no_answer("infeasible", found.reason, len(problem.names), OBJECTIVE)
    excess = problem.mean - problem.risk_free
    limits = budgeted(problem, found)
    answer = minimise(problem, problem.mandate.risk_aversion * problem.cov, -excess, limits, OBJECTIVE, WEEKS_PER_YEAR)
    return answer._replace(note=found.note)


def budgeted(problem: Problem, found: group_budgets.Budgets) -> Limits:
    """The problem's bounds and the budgets of its groups."""
    n = len(problem.names)
    names = [f"budget of group {group}" for group in problem.groups]
    return Limits(
        np.zeros(n) + problem.lower, np.zeros(n) + problem.upper, found.member, found.sums, LOWER, UPPER, names
    )


class MeanVariance(NamedTuple):
    """Outcome of `mean_variance_groups`.

    Attributes:
        status: `optimal`, `infeasible` (the limits cannot fill a budget) or `failed` (the numbers are unusable).
        reason: one sentence, empty when optimal; an infeasible one begins with the number of the group.
        weights: (n,), each group's sum is its budget; all NaN unless optimal.
    """

    status: Status
    reason: str
    weights: FloatArray


def mean_variance_groups(
    mean: FloatArray,
    cov: FloatArray,
    group: NDArray[np.intp],
    budgets: FloatArray,
    upper: float | FloatArray = 1.0,
    risk_aversion: float = 1.0,
) -> MeanVariance:
    """The portfolio of largest mean less half the risk aversion times variance, with fixed sums per group.

    Never raises on numbers: an impossible problem is a `status` with a `reason`. With a mean of 0 the answer is the
    portfolio of least variance.

    Args:
        mean: (n,) expected returns per period.
        cov: (n, n) covariance per period, positive definite.
        group: (n,) the number of each asset's group, from 0.
        budgets: (groups,) the sum of the weights of each group, not negative.
        upper: largest weight, one number or (n,).
        risk_aversion: γ, positive.

    >>> cov = np.diag([0.01, 0.04, 0.04])
    >>> group = np.array([0, 1, 1])
    >>> mean_variance_groups(np.zeros(3), cov, group, np.array([0.5, 0.3])).weights.round(3).tolist()
    [0.5, 0.15, 0.15]
    >>> mean_variance_groups(np.array([0.0, 0.1, 0.0]), cov, group, np.array([0.5, 0.3])).weights.round(3).tolist()
    [0.5, 0.3, 0.0]
    >>> mean_variance_groups(np.zeros(3), cov, group, np.array([0.5, 0.3]), upper=0.4).reason
    'group 0: the largest weights of 1 asset sum to 0.4, its budget is 0.5'
    """
    n = mean.size
    high = np.zeros(n) + upper
    problem = _refuse(mean, cov, group, budgets, high, risk_aversion)
    if problem is not None:
        return MeanVariance(problem[0], problem[1], np.full(n, np.nan))
    member = (group == np.arange(budgets.size)[:, None]).astype(np.float64)
    scale = risk_aversion * float(cov.diagonal().sum()) / n
    solution = solve_qp(
        cov * (risk_aversion / scale),
        mean / -scale,
        np.concatenate([np.eye(n), member]),
        np.concatenate([np.zeros(n), np.minimum(budgets, member @ high)]),
        np.concatenate([high, budgets]),
    )
    if solution.status != "optimal":
        return MeanVariance(solution.status, solution.reason, np.full(n, np.nan))
    x = solution.x
    return MeanVariance("optimal", "", np.where(x <= SNAP, 0.0, np.where(x >= high - SNAP, high, x)))


def _refuse(
    mean: FloatArray,
    cov: FloatArray,
    group: NDArray[np.intp],
    budgets: FloatArray,
    high: FloatArray,
    risk_aversion: float,
) -> tuple[Status, str] | None:
    """Why there is no such portfolio, or None."""
    n = mean.size
    if n == 0:
        return "infeasible", "there is no asset to hold"
    if cov.shape != (n, n) or group.shape != (n,) or not (group.min() >= 0 and group.max() < budgets.size):
        return "failed", f"{n} means do not fit a covariance of shape {cov.shape} and groups of shape {group.shape}"
    if not math.isfinite(np.vdot(mean, mean) + np.vdot(cov, cov)):
        return "failed", "the mean or covariance holds a number that is not finite or too large"
    if not (cov.diagonal().min() > 0.0 and 0.0 < risk_aversion < math.inf):
        return "failed", "the variances and the risk aversion must be positive"
    if not (high.min() >= 0.0 and np.isfinite(high).all() and budgets.min() >= 0.0 and np.isfinite(budgets).all()):
        return "failed", "the limits and budgets must be finite and not negative"
    count = np.bincount(group, minlength=budgets.size)
    most = np.bincount(group, high, budgets.size)
    for g in np.flatnonzero(most < budgets - _SLACK):
        assets = f"{count[g]} asset{'' if count[g] == 1 else 's'}"
        sums = f"sum to {most[g]:.6g}, its budget is {budgets[g]:.6g}"
        return "infeasible", f"group {g}: the largest weights of {assets} {sums}"
    return None
