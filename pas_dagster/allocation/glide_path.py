"""Age glide path: how much equity an age allows, and the portfolio of largest Sharpe ratio with that share.

Source: the rule of thumb behind target-date funds; Cornuejols and Tütüncü, Optimization Methods in Finance, section
8.2, for the programme.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pas_dagster.allocation.estimators import ROOT_YEAR, FloatArray
from pas_dagster.allocation.log import in_percent
from pas_dagster.allocation.max_sharpe import OBJECTIVE, bounds_at, max_sharpe
from pas_dagster.allocation.problem import Active, Answer, Problem, moments, no_answer, times
from pas_dagster.allocation.programme import LOWER, UPPER, Limits, minimise

AGES = (30.0, 50.0, 65.0)
SHARES = (0.9, 0.7, 0.4)

_NAMES = ("equity share", "defensive share")


def equity_share(age: float) -> float:
    """The share in equities at an age in years: 0.9 to 30, 0.7 at 50, 0.4 from 65, linear between.

    >>> [round(equity_share(age), 12) for age in (30, 40, 50, 57.5, 65, 80)]
    [0.9, 0.8, 0.7, 0.55, 0.4, 0.4]
    """
    return float(np.interp(age, AGES, SHARES))


class _Shares(NamedTuple):
    """What equity and defensive sleeves sum to, (2,), as shares of the account; or why they cannot."""

    reason: str
    sums: FloatArray
    member: FloatArray
    low: FloatArray
    high: FloatArray


def scheme(problem: Problem) -> Answer:
    """The largest Sharpe ratio with the age's equity share; defensive sleeves share the rest.

    What the bounds do not let either side hold, and the rest if there is no defensive sleeve, is cash. If no such
    portfolio has a positive excess return, the answer is the one of least variance with the same shares, and the note
    says so: age says how much equity, not whether. Without the day of the decision there is no age and no answer.
    """
    n = len(problem.names)
    if problem.equity_share is None:
        return no_answer("failed", "the glide path needs the day of the decision", n, OBJECTIVE)
    shares = _shares(problem, problem.equity_share)
    if shares.reason:
        return no_answer("infeasible", shares.reason, n, OBJECTIVE)
    equity, defensive = shares.sums.tolist()
    allowed = f"the age allows {in_percent(problem.equity_share)} equity"
    note = f"{allowed}; equity {in_percent(equity)}, defensive {in_percent(defensive)}"
    answer = _largest_sharpe(problem, shares)
    if answer.status == "infeasible":
        answer = _least_variance(problem, shares)
        note += "; no such portfolio has a positive excess return, so the one of least variance"
    return answer._replace(note=note) if answer.status == "optimal" else answer


def _shares(problem: Problem, allowed: float) -> _Shares:
    """The sums that the age and the bounds give."""
    n = len(problem.names)
    member = np.array([problem.equity, ~problem.equity], dtype=np.float64)
    low, high = np.zeros(n) + problem.lower, np.zeros(n) + problem.upper
    sums = np.minimum(np.array([allowed, 1.0 - allowed]), member @ high)
    least = member @ low
    reason = ""
    for kind, must, may in zip(("equity", "defensive"), least.tolist(), sums.tolist(), strict=True):
        if must > may + 1e-9:
            reason = f"the smallest weights of the {kind} sleeves sum to {must:.6g}, more than their share {may:.6g}"
    return _Shares(reason, np.maximum(sums, least), member, low, high)


def _largest_sharpe(problem: Problem, shares: _Shares) -> Answer:
    """The tangency portfolio with these sums."""
    total, excess = float(shares.sums.sum()), problem.mean - problem.risk_free
    mixed = bool(problem.equity.any() and not problem.equity.all())
    # The defensive sum follows from the equity sum and 1.
    sums = (shares.member[:1], shares.sums[:1] / total) if mixed else None
    found = max_sharpe(problem.mean, problem.cov, shares.low / total, shares.high / total, problem.risk_free, sums)
    if found.status != "optimal":
        return no_answer(found.status, found.reason, excess.size, OBJECTIVE)
    weights = np.clip(found.weights * total, shares.low, shares.high)
    gain, volatility = moments(problem, weights)
    prices = (Active(_NAMES[0], float(price) * ROOT_YEAR) for price in found.sum_multipliers)
    # Per unit of the account, where the programme counts in units of its invested part.
    active = times((*bounds_at(problem.names, found), *prices), 1.0 / total)
    return Answer("optimal", "", weights, gain, volatility, active, found.residual, OBJECTIVE)


def _least_variance(problem: Problem, shares: _Shares) -> Answer:
    """The portfolio of least variance with these sums."""
    limits = Limits(shares.low, shares.high, shares.member, shares.sums, LOWER, UPPER, _NAMES)
    return minimise(problem, problem.cov, 0.0 * problem.mean, limits, "half the weekly variance", 1.0)
