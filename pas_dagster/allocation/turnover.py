"""A budget for the changes of a week: as far towards the target as it allows.

Turnover is the sum of all changes of weights, buys and sells, against the weights that stand now - after the drift of
prices, not those decided last. The rule: move along the straight line from them to the target, as far as the budget
allows. Every point of the line is a portfolio, and all those beyond some point meet the limits, since the target does
and limits are convex. So if the budget ends at a portfolio that breaks a limit, the move goes on to the first one that
breaks none: limits go before the budget. What must be sold anyway (a sleeve that is not eligible) is counted first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pas_dagster.allocation.estimators import FloatArray

_BISECTIONS = 50


class Move(NamedTuple):
    """Outcome of `within_budget`.

    Attributes:
        weights: (n,).
        share: of the way to the target that was gone, 0 to 1.
        turnover: sum of all changes, forced ones included.
        broken: why the budget was exceeded, empty if it was not.
    """

    weights: FloatArray
    share: float
    turnover: float
    broken: str


def within_budget(
    target: FloatArray, previous: FloatArray, budget: float, forced: float, broken: Callable[[FloatArray], str]
) -> Move:
    """The portfolio nearest to the target on the line from the previous one that the budget allows.

    Args:
        target: (n,) weights that meet the limits.
        previous: (n,) weights that stand now.
        budget: largest sum of changes.
        forced: changes outside of these sleeves that happen anyway.
        broken: which limit weights break, empty for none.

    >>> move = within_budget(np.array([0.5, 0.1]), np.array([0.1, 0.3]), 0.3, 0.0, lambda weights: "")
    >>> move.weights.round(3).tolist(), round(move.share, 3)
    ([0.3, 0.2], 0.5)
    """
    change = target - previous
    size = float(np.abs(change).sum())
    left = max(0.0, budget - forced)
    if size <= left:
        return Move(target, 1.0, size + forced, "")
    share = left / size
    weights = previous + share * change
    why = broken(weights)
    if not why:
        return Move(weights, share, share * size + forced, "")
    share = _first_unbroken(previous, change, share, broken)
    weights = target if share == 1.0 else previous + share * change
    return Move(weights, share, share * size + forced, why)


def _first_unbroken(
    previous: FloatArray, change: FloatArray, share: float, broken: Callable[[FloatArray], str]
) -> float:
    """The least share of the way at which nothing is broken, to 1e-15, from above."""
    least, most = share, 1.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (least + most)
        if broken(previous + middle * change):
            least = middle
        else:
            most = middle
    return most
