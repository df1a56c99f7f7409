"""Robust max-min: the largest Sharpe ratio in the worst case of box uncertainty sets.

Every mean may lie `uncertainty` standard errors below its estimate, and every covariance above it:

    mean - κ σ / √T   ≤ mean,        Σ  ≤  Σ + κ √(2 / T) σσ'

For long-only weights the worst case is the same corner whatever the weights, the least means and the largest
covariances, so the robust problem is the tangency problem of that corner. The covariance's half width is that of a
variance, √(2 / T) σ² for normal returns, which no covariance's standard error exceeds; used for all pairs it keeps the
corner positive definite. An ellipsoid proportional to Σ would leave the tangency portfolio as it is and only lower the
Sharpe ratio it claims; boxes move it, towards the sleeves whose means are large compared with their own noise.

Source: Tütüncü and Koenig (2004), Robust asset allocation, Annals of Operations Research 132, section 3.
"""

from __future__ import annotations

import math

import numpy as np

from pas_dagster.allocation.estimators import ROOT_YEAR, FloatArray
from pas_dagster.allocation.max_sharpe import as_answer, max_sharpe
from pas_dagster.allocation.problem import Answer, Problem, moments, no_answer

OBJECTIVE = "annual worst-case Sharpe ratio"


def scheme(problem: Problem) -> Answer:
    """The tangency portfolio of the worst case; infeasible when no portfolio has a positive mean in it.

    The answer's moments are those of the estimates, the worst case's Sharpe ratio is in the note.
    """
    mean, cov = worst_case(problem.mean, problem.cov, len(problem.returns), problem.mandate.uncertainty)
    excess = mean - problem.risk_free
    if not excess.max(initial=-math.inf) > 0.0:
        case = f"in the worst case of {problem.mandate.uncertainty:.6g} standard errors"
        why = f"{case} no asset has a positive excess return"
        return no_answer("infeasible", why, len(problem.names), OBJECTIVE)
    tangency = max_sharpe(mean, cov, problem.lower, problem.upper, problem.risk_free)
    answer = as_answer(problem, tangency, excess, OBJECTIVE)
    if answer.status != "optimal":
        return answer
    gain, volatility = moments(problem, answer.weights)
    note = f"worst-case Sharpe ratio {tangency.sharpe * ROOT_YEAR:.6g} a year"
    return answer._replace(expected_return=gain, volatility=volatility, note=note, excess=None)


def worst_case(mean: FloatArray, cov: FloatArray, weeks: int, size: float) -> tuple[FloatArray, FloatArray]:
    """The least means (n,) and largest covariances (n, n) of boxes of `size` standard errors over `weeks` weeks.

    >>> mean, cov = worst_case(np.array([0.02]), np.array([[0.0004]]), 4, 1.0)
    >>> mean.round(4).tolist(), (cov * 1e4).round(4).tolist()
    ([0.01], [[6.8284]])
    """
    sigma = np.sqrt(cov.diagonal())
    return mean - size / math.sqrt(weeks) * sigma, cov + size * math.sqrt(2.0 / weeks) * np.outer(sigma, sigma)
