"""A quadratic programme over the weights of a problem, as an answer: bounds, sums of groups, named multipliers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pas_dagster.allocation.estimators import FloatArray
from pas_dagster.allocation.problem import Active, Answer, Problem, moments, no_answer
from pas_dagster.allocation.solver import solve_qp

LOWER, UPPER = "lower min_weight", "upper max_weight"
SNAP = 1e-12  # a weight this close to its bound is at its bound


class Limits(NamedTuple):
    """What the weights must meet: low ≤ w ≤ high and member w = sums.

    Attributes:
        low: (n,).
        high: (n,).
        member: (m, n).
        sums: (m,).
        low_names: what each low is called, one for all or n.
        high_names: likewise.
        sum_names: what each sum is called, m.
    """

    low: FloatArray
    high: FloatArray
    member: FloatArray
    sums: FloatArray
    low_names: str | Sequence[str]
    high_names: str | Sequence[str]
    sum_names: Sequence[str]


@lru_cache(maxsize=64)
def bound_names(names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """What the lower and the upper bound of each sleeve are called.

    >>> bound_names(("a",))
    (['lower min_weight of a'], ['upper max_weight of a'])
    """
    return [f"{LOWER} of {name}" for name in names], [f"{UPPER} of {name}" for name in names]


def fully_invested(problem: Problem) -> tuple[Limits, str]:
    """The problem's bounds and a sum of 1, and why nothing meets them (empty if something does)."""
    n = len(problem.names)
    low, high = np.zeros(n) + problem.lower, np.zeros(n) + problem.upper
    limits = Limits(low, high, np.ones((1, n)), np.ones(1), LOWER, UPPER, ("the sum of all weights",))
    if high.sum() < 1.0 - 1e-9:
        return limits, f"the largest weights of {n} assets sum to {high.sum():.6g}, less than 1"
    if low.sum() > 1.0 + 1e-9:
        return limits, f"the smallest weights of {n} assets sum to {low.sum():.6g}, more than 1"
    return limits, ""


def minimise(problem: Problem, P: FloatArray, q: FloatArray, limits: Limits, objective: str, unit: float) -> Answer:
    """The weights that minimise ½ w'Pw + q'w within the limits.

    Args:
        problem: for the names and the moments.
        P: (n, n) positive definite.
        q: (n,).
        limits: what the weights must meet; a sum that is out of reach of the bounds is met as far as they allow.
        objective: what the multipliers are measured in, in words.
        unit: multipliers are those of ½ w'Pw + q'w times this.

    >>> from pas_dagster.allocation.problem import make_problem
    >>> problem = make_problem(("a", "b"), np.zeros((2, 2)), np.zeros(2), np.eye(2), upper=0.7)
    >>> answer = minimise(problem, np.eye(2), np.array([-1.0, 0.0]), fully_invested(problem)[0], "distance", 1.0)
    >>> answer.weights.round(3).tolist(), [(one.name, round(one.multiplier, 3)) for one in answer.active]
    ([0.7, 0.3], [('upper max_weight of a', 0.6), ('the sum of all weights', -0.3)])
    """
    n = len(problem.names)
    some = np.flatnonzero(limits.member.any(axis=1))
    if some.size < len(limits.member):  # a group that is empty this week is no constraint
        names = [limits.sum_names[i] for i in some.tolist()]
        limits = limits._replace(member=limits.member[some], sums=limits.sums[some], sum_names=names)
    scale = float(P.trace()) / n
    if not 0.0 < scale < np.inf:
        return no_answer("failed", "the covariance is zero, or not finite", n, objective)
    least, most = limits.member @ limits.low, limits.member @ limits.high
    solution = solve_qp(
        P / scale,
        q / scale,
        np.concatenate([np.eye(n), limits.member]),
        np.concatenate([limits.low, np.minimum(limits.sums, most)]),
        np.concatenate([limits.high, np.maximum(limits.sums, least)]),
    )
    if solution.status != "optimal":
        return no_answer(solution.status, solution.reason, n, objective)
    x = solution.x
    x = np.where(x <= limits.low + SNAP, limits.low, np.where(x >= limits.high - SNAP, limits.high, x))
    gain, volatility = moments(problem, x)
    active = _active(problem.names, limits, solution.multipliers * (scale * unit))
    return Answer("optimal", "", x, gain, volatility, active, solution.residual, objective)


def _active(names: Sequence[str], limits: Limits, multipliers: FloatArray) -> tuple[Active, ...]:
    """The constraints with a multiplier. The gain from raising a fixed sum is its multiplier, of either sign."""
    n, found = len(names), []
    for i in np.flatnonzero(multipliers[:n]).tolist():
        above = multipliers[i] > 0.0
        kinds = limits.high_names if above else limits.low_names
        kind = kinds if isinstance(kinds, str) else kinds[i]
        found.append(Active(f"{kind} of {names[i]}", abs(float(multipliers[i]))))
    return (*found, *(Active(name, float(m)) for name, m in zip(limits.sum_names, multipliers[n:], strict=True)))
