"""Dynamic allocation: momentum views in calm, towards least variance and less invested as a crisis grows likely.

With p the probability of a crisis, the mix maximises

    (1 - p) (mean - risk-free + view)'w - ½ γ w'Σw,   view = skill · σ · momentum score

fully invested and within the bounds. It runs along the efficient frontier from the mean-variance portfolio of the
momentum-tilted means (p = 0) to the portfolio of least variance (p = 1). The view is volatility times skill times
score, which is what a forecast with that correlation to the returns is worth. Of the calm mix as much is held as the
volatility target allows; a crisis takes the part p · `crisis_cut` of that away, so the invested share never rises as
p does.

Source: Grinold (1994), Alpha is volatility times IC times score, Journal of Portfolio Management 20(4).
"""

from __future__ import annotations

import numpy as np

from pas_dagster.allocation.estimators import WEEKS_PER_YEAR, FloatArray
from pas_dagster.allocation.log import in_percent
from pas_dagster.allocation.momentum import scores
from pas_dagster.allocation.problem import Answer, Problem, moments, no_answer
from pas_dagster.allocation.programme import Limits, fully_invested, minimise
from pas_dagster.allocation.volatility_target import Scaled, to_volatility

OBJECTIVE = "annual utility"


def scheme(problem: Problem) -> Answer:
    """The mix between momentum and least variance that the crisis probability asks for, sum below 1.

    Without a crisis probability it is a calm week, and the note says so.
    """
    limits, reason = fully_invested(problem)
    if reason:
        return no_answer("infeasible", reason, len(problem.names), OBJECTIVE)
    crisis = 0.0 if problem.crisis is None else problem.crisis
    calm = _mix(problem, limits, 0.0)
    if calm.status != "optimal":
        return calm
    room = _invested(problem, calm)
    if room.status != "optimal":
        return no_answer(room.status, room.reason, len(problem.names), OBJECTIVE)
    share = max(room.scale * (1.0 - crisis * problem.mandate.crisis_cut), float(limits.low.sum()))
    if crisis > 0.0 or (share < 1.0 and limits.low.any()):
        # The smallest weights are shares of the account, the mix is of the invested part.
        calm = _mix(problem, limits._replace(low=np.minimum(limits.low / share, limits.high)), crisis)
    return _held(problem, calm, share, room.scale, limits.low) if calm.status == "optimal" else calm


def _held(problem: Problem, mix: Answer, share: float, calm: float, low: FloatArray) -> Answer:
    """A share of a fully invested mix, and where the share comes from."""
    weights = np.maximum(mix.weights * share, low)
    gain, volatility = moments(problem, weights)
    known = f"crisis probability {in_percent(problem.crisis or 0.0)}"
    known = "crisis probability not known, counted as calm" if problem.crisis is None else known
    note = f"{known}; invested {in_percent(share)}, in calm {in_percent(calm)}"
    return mix._replace(weights=weights, expected_return=gain, volatility=volatility, note=note)


def views(problem: Problem) -> FloatArray:
    """Expected excess returns with the momentum views, (n,) per week.

    >>> from pas_dagster.allocation.problem import make_problem
    >>> x = np.array([[0.01, 0.02], [0.01, 0.01]])
    >>> views(make_problem(("a", "b"), x, x.mean(axis=0), np.eye(2) * 0.0004)).round(4).tolist()
    [0.009, 0.016]
    """
    sigma = np.sqrt(problem.cov.diagonal())
    return problem.mean - problem.risk_free + problem.mandate.momentum_skill * sigma * scores(problem.momentum)


def _mix(problem: Problem, limits: Limits, crisis: float) -> Answer:
    """The fully invested mix at a crisis probability."""
    pull = (1.0 - crisis) * views(problem)
    return minimise(problem, problem.mandate.risk_aversion * problem.cov, -pull, limits, OBJECTIVE, WEEKS_PER_YEAR)


def _invested(problem: Problem, calm: Answer) -> Scaled:
    """How much of the calm mix the volatility target allows."""
    low, high = float(np.max(problem.lower)), float(np.min(problem.upper))
    implied = problem.cov @ calm.weights
    return to_volatility(calm.weights, calm.volatility, problem.target, implied, problem.cov, low, high)
