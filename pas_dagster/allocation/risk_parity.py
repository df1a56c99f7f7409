"""Risk parity: every asset contributes its budget to the portfolio's volatility.

The contribution of asset i is w_i (Σw)_i / w'Σw. The long-only portfolio whose contributions equal given budgets is
unique and is, up to scale, the minimiser of the convex function ½ x'Σx - Σ b_i ln x_i (the logarithmic barrier).

With bounds there are two definitions in use, which differ. This is the one of the **logarithmic barrier**: the
minimiser of ½ x'Σx - λ Σ b_i ln x_i over lower ≤ x ≤ upper alone, with λ such that the weights sum to 1. Assets between
their bounds then contribute exactly in proportion to their budgets, one at its largest weight contributes less, one at
its smallest more. The other definition, least squares of the differences of the contributions, spreads the miss over
all (24.57/15.43 instead of 24.00/16.00 in table 2 of Richard and Roncalli).

Source: Spinu (2013), An algorithm for computing risk parity weights, SSRN 2297383 (damped Newton on the barrier);
Maillard, Roncalli and Teiletche (2010), Journal of Portfolio Management 36(4), for the portfolio itself; Richard and
Roncalli (2019), Constrained risk budgeting portfolios, arXiv 1902.05710, section 3, for the bounds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from pas_dagster.allocation.estimators import FloatArray
from pas_dagster.allocation.problem import Active, Answer, Problem, moments, no_answer
from pas_dagster.allocation.programme import LOWER, UPPER, fully_invested
from pas_dagster.allocation.solver import RESIDUAL_LIMIT, Status, solve_qp

OBJECTIVE = "logarithmic barrier of the risk budgets"
TOLERANCE = 1e-12  # largest relative gap between a contribution and its budget
_MAX_STEPS = 100
_ROUNDING = 1e-14  # relative distance from a bound that is none
_SUM_TOLERANCE = 1e-10  # of the sum of the weights, before the last correction
_DAMPED_ABOVE = 0.95 * (3.0 - math.sqrt(5.0)) / 2.0  # Spinu (2013): full Newton steps below this decrement


class Bounded(NamedTuple):
    """Outcome of `bounded_risk_parity`; all NaN unless `status` is `optimal`.

    Attributes:
        status: `optimal`, `infeasible` (the bounds hold no portfolio) or `failed`.
        reason: one sentence, empty when optimal.
        weights: (n,), sum 1.
        multipliers: (n,), fall of ½ x'Σx / λ - Σ b ln x per unit by which the bound is relaxed, negative at a smallest
            weight, positive at a largest, 0 between.
        residual: largest relative violation of an optimality condition.
    """

    status: Status
    reason: str
    weights: FloatArray
    multipliers: FloatArray
    residual: float


def scheme(problem: Problem) -> Answer:
    """Equal risk contributions, fully invested, with the bounds in the barrier's definition. Means play no part.

    >>> from pas_dagster.allocation.problem import make_problem
    >>> problem = make_problem(("a", "b"), np.zeros((2, 2)), np.zeros(2), np.diag([0.01, 0.04]), upper=0.6)
    >>> answer = scheme(problem)
    >>> answer.weights.round(3).tolist(), answer.active[0].name
    ([0.6, 0.4], 'upper max_weight of a')
    """
    n = len(problem.names)
    limits, reason = fully_invested(problem)
    if reason:
        return no_answer("infeasible", reason, n, OBJECTIVE)
    found = bounded_risk_parity(problem.cov, limits.low, limits.high)
    if found.status != "optimal":
        return no_answer(found.status, found.reason, n, OBJECTIVE)
    gain, volatility = moments(problem, found.weights)
    active = _active(problem.names, found.multipliers)
    return Answer("optimal", "", found.weights, gain, volatility, active, found.residual, OBJECTIVE)


def _active(names: tuple[str, ...], multipliers: FloatArray) -> tuple[Active, ...]:
    """The bounds that bind; without multipliers if the bounds leave a single portfolio."""
    if np.isnan(multipliers).any():
        return (Active("bounds that leave a single portfolio", None),)
    kinds = np.where(multipliers > 0.0, UPPER, LOWER).tolist()
    prices = np.abs(multipliers).tolist()
    return tuple(Active(f"{kinds[i]} of {names[i]}", prices[i]) for i in np.flatnonzero(multipliers).tolist())


def bounded_risk_parity(
    cov: FloatArray, lower: FloatArray, upper: FloatArray, budgets: FloatArray | None = None
) -> Bounded:
    """Risk parity within bounds, by the logarithmic barrier; never raises on numbers.

    Args:
        cov: (n, n) covariance, positive variances.
        lower: (n,) smallest weights, not negative, sum at most 1.
        upper: (n,) largest weights, positive, sum at least 1.
        budgets: (n,) positive risk budgets, scaled to sum 1; equal if None.

    >>> answer = bounded_risk_parity(np.diag([0.01, 0.04]), np.zeros(2), np.array([0.6, 1.0]))
    >>> answer.weights.round(4).tolist()
    [0.6, 0.4]
    """
    n = lower.size
    if lower.sum() > 1.0 + 1e-9 or upper.sum() < 1.0 - 1e-9 or not (upper > 0.0).all() or (lower > upper).any():
        return _none("infeasible", "the bounds hold no portfolio in which every asset has a weight", n)
    try:
        free = risk_parity(cov, budgets)
    except ValueError as error:
        return _none("failed", str(error), n)
    b = np.full(n, 1.0 / n) if budgets is None else budgets / budgets.sum()
    if (free >= lower).all() and (free <= upper).all():
        gap = np.abs(contributions(cov, free) / b - 1.0).max()
        return _checked(free, np.zeros(n), float(gap))
    sigma = np.sqrt(cov.diagonal())
    correlation, low, high = cov / sigma[:, None] / sigma, lower * sigma, upper * sigma
    found = _within(correlation, b, low, high, sigma, free)
    return found._replace(weights=_at_bounds(found.weights, lower, upper))


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


def _within(
    correlation: FloatArray, b: FloatArray, low: FloatArray, high: FloatArray, sigma: FloatArray, free: FloatArray
) -> Bounded:
    """The bounded portfolio, in u = weight times volatility: a bracketed Newton search for ln λ."""
    n = b.size
    if abs(float((high / sigma).sum()) - 1.0) <= 1e-9 or abs(float((low / sigma).sum()) - 1.0) <= 1e-9:
        single = (high if abs(float((high / sigma).sum()) - 1.0) <= 1e-9 else low) / sigma
        return Bounded("optimal", "", single / single.sum(), np.full(n, np.nan), 0.0)
    u = np.clip(free * sigma, np.maximum(low, 1e-6 * high), high)
    scale = math.log(float(u @ correlation @ u))
    least, most = -math.inf, math.inf
    for _ in range(_MAX_STEPS):
        found = _bounded_minimiser(correlation, b, low, high, math.exp(scale), u)
        if found is None:
            return _none("failed", "the bounded risk parity portfolio was not found", n)
        u, slope = found
        miss, rise = float((u / sigma).sum()) - 1.0, float((slope / sigma).sum())
        if abs(miss) <= _SUM_TOLERANCE:
            return _finished(
                correlation, b, low, high, sigma, math.exp(scale), u, slope * (-miss / rise if rise else 0.0)
            )
        least, most = (scale, most) if miss < 0.0 else (least, scale)
        scale = _next(scale, miss, rise, least, most)
    return _none("failed", "the bounded risk parity portfolio was not found", n)


def _next(scale: float, miss: float, rise: float, least: float, most: float) -> float:
    """The next ln λ: Newton's if it lies within the bracket, else its middle, or a step of 2 without one."""
    step = -miss / rise if rise > 0.0 else math.copysign(2.0, -miss)
    wanted = scale + min(max(step, -2.0), 2.0)
    if least < wanted < most:
        return wanted
    return 0.5 * (least + most)


def _bounded_minimiser(
    correlation: FloatArray, b: FloatArray, low: FloatArray, high: FloatArray, size: float, u: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """Minimiser (n,) of ½ u'Cu - size · Σ b ln u over low ≤ u ≤ high and its derivative by ln size; None if not found.

    Newton's method whose steps are quadratic programmes, shortened while they are long compared with u.
    """
    n = u.size
    eye, b = np.eye(n), b * size
    for _ in range(_MAX_STEPS):
        gradient = correlation @ u - b / u
        hessian = correlation + np.diag(b / (u * u))
        # In relative steps, so that the programme is scaled whatever the bounds are.
        solution = solve_qp(hessian * u * u[:, None] / size, gradient * u / size, eye, low / u - 1.0, high / u - 1.0)
        if solution.status != "optimal":
            return None
        length = float(np.abs(solution.x).max())
        u = _at_bounds(u * (1.0 + solution.x / (1.0 + length if length > 0.3 else 1.0)), low, high)
        if length <= 1e-13 or (length <= 1e-7 and _projected(correlation, b, low, high, u) <= 1e-14):
            free = solution.multipliers == 0.0
            slope = np.zeros(n)
            slope[free] = np.linalg.solve(hessian[np.ix_(free, free)], (b / u)[free])
            return u, slope
    return None


def _at_bounds(u: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Values within their bounds, those within rounding of one exactly on it."""
    return np.where(u <= low * (1.0 + _ROUNDING), low, np.where(u >= high * (1.0 - _ROUNDING), high, u))


def _finished(
    correlation: FloatArray,
    b: FloatArray,
    low: FloatArray,
    high: FloatArray,
    sigma: FloatArray,
    size: float,
    u: FloatArray,
    move: FloatArray,
) -> Bounded:
    """The portfolio after the last correction of its sum, with its multipliers, if it meets the conditions."""
    u = _at_bounds(u + move, low, high)
    pull = b / u - correlation @ u / size  # how much more weight each asset wants, per unit of u
    bound = (u <= low) | (u >= high)
    multipliers = np.where(bound, pull * sigma, 0.0)
    return _checked(u / sigma, multipliers, _projected(correlation, b * size, low, high, u) / size)


def _projected(correlation: FloatArray, b: FloatArray, low: FloatArray, high: FloatArray, u: FloatArray) -> float:
    """Largest violation of the optimality conditions, in units of the contributions: free ones must equal b."""
    gap = u * (correlation @ u) - b  # positive: wants less
    violation = np.where(u <= low, np.maximum(-gap, 0.0), np.where(u >= high, np.maximum(gap, 0.0), np.abs(gap)))
    return float(violation.max())


def _checked(weights: FloatArray, multipliers: FloatArray, residual: float) -> Bounded:
    """The portfolio, or a failure if it misses the optimality conditions or the sum."""
    residual = max(residual, abs(float(weights.sum()) - 1.0))
    if not residual <= RESIDUAL_LIMIT:
        return _none("failed", f"the optimality conditions of risk parity are missed by {residual:.1e}", weights.size)
    return Bounded("optimal", "", weights, multipliers, residual)


def _none(status: Status, reason: str, n: int) -> Bounded:
    """No portfolio."""
    return Bounded(status, reason, np.full(n, np.nan), np.full(n, np.nan), math.nan)
