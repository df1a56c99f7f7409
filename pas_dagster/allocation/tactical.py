"""Tactical asset allocation: a bounded momentum tilt around the strategic mix.

Each sleeve's aim is its strategic weight plus `tilt` times its momentum score, which runs from -1 for the weakest to 1
for the strongest. The answer is the portfolio nearest to the aims (least sum of squared distances) whose weights are
all within `tilt` of the strategic ones, within the bounds, and whose groups have the strategic sums: a tilt moves
weight within a group, never between groups.
"""

from __future__ import annotations

import numpy as np

from pas_dagster.allocation import budgets, strategic
from pas_dagster.allocation.mean_variance_groups import budgeted
from pas_dagster.allocation.momentum import scores
from pas_dagster.allocation.problem import Answer, Problem
from pas_dagster.allocation.programme import LOWER, UPPER, minimise

OBJECTIVE = "half the squared distance to the tilted mix"


def scheme(problem: Problem) -> Answer:
    """The strategic mix tilted towards the sleeves with the most momentum; infeasible when the strategic mix is.

    >>> from pas_dagster.allocation.problem import make_problem
    >>> x = np.array([[0.01, 0.02, 0.03], [0.01, 0.00, 0.03]])
    >>> scheme(make_problem(("a", "b", "c"), x, x.mean(axis=0), np.eye(3))).weights.round(3).tolist()
    [0.333, 0.283, 0.383]
    """
    anchor = strategic.scheme(problem)
    if anchor.status != "optimal":
        return anchor._replace(objective=OBJECTIVE)
    tilt, base = problem.mandate.tilt, anchor.weights
    limits = budgeted(problem, budgets.fitted(problem))
    low, high = np.maximum(limits.low, base - tilt), np.minimum(limits.high, base + tilt)
    limits = limits._replace(
        low=low,
        high=high,
        # What the strategic mix really sums to, so that it stays within reach of a tilt of 0.
        sums=limits.member @ base,
        low_names=np.where(low > limits.low, "lower tilt", LOWER).tolist(),
        high_names=np.where(high < limits.high, "upper tilt", UPPER).tolist(),
    )
    aim = base + tilt * scores(problem.momentum)
    answer = minimise(problem, np.eye(base.size), -aim, limits, OBJECTIVE, 1.0)
    return answer._replace(note=anchor.note)
