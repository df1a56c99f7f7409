"""Strategic asset allocation: the configured mix, as near as budgets and bounds allow.

The mix is scaled to the eligible sleeves, so that one that drops out leaves its share to the others in proportion. If
that breaks a bound or a group's budget, the answer is the nearest portfolio that meets them: the least sum of squared
distances (Euclidean projection), one quadratic programme.
"""

from __future__ import annotations

import numpy as np

from pas_dagster.allocation import budgets
from pas_dagster.allocation.mean_variance_groups import budgeted
from pas_dagster.allocation.problem import Answer, Problem, no_answer
from pas_dagster.allocation.programme import minimise

OBJECTIVE = "half the squared distance to the strategic mix"


def scheme(problem: Problem) -> Answer:
    """The portfolio nearest to the strategic mix under budgets and bounds; equal weights without a configured mix.

    Infeasible if no sleeve of the mix is eligible, or the bounds cannot hold the budgets.

    >>> from pas_dagster.allocation.mandate import Mandate
    >>> from pas_dagster.allocation.problem import make_problem
    >>> mandate = Mandate(mix={"a": 0.8, "b": 0.1, "c": 0.1})
    >>> problem = make_problem(("a", "b", "c"), np.zeros((2, 3)), np.zeros(3), np.eye(3), upper=0.5, mandate=mandate)
    >>> scheme(problem).weights.round(3).tolist()
    [0.5, 0.25, 0.25]
    """
    n = len(problem.names)
    found = budgets.fitted(problem)
    reason = found.reason or ("" if problem.base.any() else "no sleeve of the strategic mix is eligible")
    if reason:
        return no_answer("infeasible", reason, n, OBJECTIVE)
    mix = problem.base * float(found.sums.sum())
    answer = minimise(problem, np.eye(n), -mix, budgeted(problem, found), OBJECTIVE, 1.0)
    return answer._replace(note=found.note)
