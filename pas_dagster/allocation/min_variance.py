"""Minimum variance: the fully invested portfolio of least risk within the bounds. Means play no part.

Source: Markowitz (1952), Portfolio selection, Journal of Finance 7(1).
"""

from __future__ import annotations

from pas_dagster.allocation.estimators import ROOT_YEAR
from pas_dagster.allocation.problem import Answer, Problem, no_answer, times
from pas_dagster.allocation.programme import fully_invested, minimise

OBJECTIVE = "annual volatility"


def scheme(problem: Problem) -> Answer:
    """The least ½ w'Σw with sum 1 and the bounds; multipliers are the volatility saved.

    >>> import numpy as np
    >>> from pas_dagster.allocation.problem import make_problem
    >>> problem = make_problem(("a", "b"), np.zeros((2, 2)), np.zeros(2), np.diag([0.01, 0.04]), upper=0.7)
    >>> answer = scheme(problem)
    >>> answer.weights.round(3).tolist(), answer.active[0].name
    ([0.7, 0.3], 'upper max_weight of a')
    """
    limits, reason = fully_invested(problem)
    if reason:
        return no_answer("infeasible", reason, len(problem.names), OBJECTIVE)
    answer = minimise(problem, problem.cov, 0.0 * problem.mean, limits, OBJECTIVE, ROOT_YEAR)
    if answer.status != "optimal" or not answer.volatility > 0.0:
        return answer
    # d volatility = d(½ variance) / volatility.
    return answer._replace(active=times(answer.active, 1.0 / answer.volatility))
