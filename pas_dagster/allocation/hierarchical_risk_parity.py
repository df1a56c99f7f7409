"""Hierarchical risk parity: similar assets side by side, and at every halving of the row the calmer half gets more.

1. The distance of two assets is √((1 - correlation) / 2). Single linkage makes a tree of them: again and again the two
   clusters with the nearest members are joined, the one that is older (then first in order) to the left.
2. The leaves of the tree, from left to right, are a row in which like stands beside like.
3. The row is cut in half, and each half again. The two halves share what is to be divided in inverse proportion to
   their variances, each held in inverse proportion to its members' variances.

Nothing is inverted and no mean is used, so twelve weeks of twenty sleeves are no trouble. But it is a recipe, not an
optimum: nothing has a price, and which of two branches stands left is a matter of order, which can move a name to the
other half. The scheme therefore takes the sleeves in order of name, whatever order they come in.

Bounds are part of the division: at each cut a half gets no more than its members may hold together, no less than they
must, and likewise the other. A division that respects both always exists if the bounds hold a portfolio at all.

Source: López de Prado (2016), Building diversified portfolios that outperform out of sample, Journal of Portfolio
Management 42(4); Pfitzinger and Katzke (2019), A constrained hierarchical risk parity algorithm with cluster-based
capital allocation, Stellenbosch Economic Working Papers 14/2019, for bounds within the bisection.
"""

from __future__ import annotations

import numpy as np

from pas_dagster.allocation.estimators import FloatArray
from pas_dagster.allocation.problem import Active, Answer, Problem, moments, no_answer
from pas_dagster.allocation.programme import LOWER, SNAP, UPPER, Limits, fully_invested

OBJECTIVE = "no objective: a recipe of halvings"


def scheme(problem: Problem) -> Answer:
    """Hierarchical risk parity within the bounds, fully invested. Means play no part, and no bound has a price.

    >>> from pas_dagster.allocation.problem import make_problem
    >>> problem = make_problem(("a", "b"), np.zeros((2, 2)), np.zeros(2), np.diag([0.01, 0.04]), upper=0.7)
    >>> answer = scheme(problem)
    >>> answer.weights.round(3).tolist(), answer.active
    ([0.7, 0.3], (Active(name='upper max_weight of a', multiplier=None),))
    """
    n = len(problem.names)
    limits, reason = fully_invested(problem)
    if reason:
        return no_answer("infeasible", reason, n, OBJECTIVE)
    if not (np.isfinite(problem.cov).all() and problem.cov.diagonal().min() > 0.0):
        return no_answer("failed", "hierarchical risk parity needs finite covariances and variances", n, OBJECTIVE)
    order = np.array(sorted(range(n), key=problem.names.__getitem__))
    weights = np.empty(n)
    weights[order] = hierarchical_risk_parity(
        problem.cov[np.ix_(order, order)], lower=limits.low[order], upper=limits.high[order]
    )
    if not np.isfinite(weights).all():
        return no_answer("failed", "the covariances are too large or too small to divide by", n, OBJECTIVE)
    gain, volatility = moments(problem, weights)
    residual = abs(float(weights.sum()) - 1.0)
    return Answer("optimal", "", weights, gain, volatility, _active(problem, limits, weights), residual, OBJECTIVE)


def _active(problem: Problem, limits: Limits, weights: FloatArray) -> tuple[Active, ...]:
    """The bounds that a weight is at, those of 0 and 1 aside: they are no choice of anybody's."""
    above = (weights >= limits.high - SNAP) & (limits.high < 1.0)
    below = (weights <= limits.low + SNAP) & (limits.low > 0.0) & ~above
    kinds = np.where(above, UPPER, LOWER).tolist()
    return tuple(Active(f"{kinds[i]} of {problem.names[i]}", None) for i in np.flatnonzero(above | below).tolist())


def hierarchical_risk_parity(
    cov: FloatArray,
    correlation: FloatArray | None = None,
    lower: FloatArray | None = None,
    upper: FloatArray | None = None,
) -> FloatArray:
    """Weights (n,), sum 1, of hierarchical risk parity in the order of the assets given.

    Args:
        cov: (n, n) covariance, positive variances; its unit does not matter.
        correlation: (n, n) for the tree; that of the covariance if None.
        lower: (n,) smallest weights, not negative, sum at most 1; 0 if None.
        upper: (n,) largest weights, sum at least 1; 1 if None.

    >>> hierarchical_risk_parity(np.diag([0.01, 0.04, 0.02])).round(4).tolist()
    [0.5714, 0.1429, 0.2857]
    """
    n = len(cov)
    if correlation is None:
        sigma = np.sqrt(cov.diagonal())
        correlation = cov / sigma[:, None] / sigma
    order = leaf_order(np.sqrt(np.clip((1.0 - correlation) / 2.0, 0.0, 1.0)))
    low = np.zeros(n) if lower is None else lower
    high = np.ones(n) if upper is None else upper
    weights = np.empty(n)
    _divide(1.0, order, cov, low, high, weights)
    return np.minimum(np.maximum(weights, low), high)


def leaf_order(distance: FloatArray) -> list[int]:
    """The leaves of the single-linkage tree from left to right.

    Args:
        distance: (n, n) symmetric.

    >>> leaf_order(np.array([[0.0, 0.9, 0.2], [0.9, 0.0, 0.8], [0.2, 0.8, 0.0]]))
    [1, 0, 2]
    """
    n = len(distance)
    gaps = distance + np.diag(np.full(n, np.inf))
    leaves, age = [[i] for i in range(n)], list(range(n))
    for joined in range(n, 2 * n - 1):
        first, second = divmod(int(gaps.argmin()), n)
        if age[first] > age[second]:
            first, second = second, first
        leaves[first], age[first] = leaves[first] + leaves[second], joined
        gaps[first] = gaps[:, first] = np.minimum(gaps[first], gaps[second])
        gaps[second] = gaps[:, second] = gaps[first, first] = np.inf
    return max(leaves, key=len) if n else []


def _divide(
    total: float, row: list[int], cov: FloatArray, low: FloatArray, high: FloatArray, weights: FloatArray
) -> None:
    """Divide a total among the assets of a row, in halves of halves, into `weights`."""
    if len(row) == 1:
        weights[row] = total
        return
    left, right = row[: len(row) // 2], row[len(row) // 2 :]
    one, other = _variance(cov, left), _variance(cov, right)
    least = max(float(low[left].sum()), total - float(high[right].sum()))
    most = min(float(high[left].sum()), total - float(low[right].sum()))
    share = min(max(total * (1.0 - one / (one + other)), least), most)
    _divide(share, left, cov, low, high, weights)
    _divide(total - share, right, cov, low, high, weights)


def _variance(cov: FloatArray, members: list[int]) -> float:
    """Variance of some assets held in inverse proportion to their variances."""
    own = cov[np.ix_(members, members)]
    weights = 1.0 / own.diagonal()
    weights /= weights.sum()
    return float(weights @ own @ weights)
