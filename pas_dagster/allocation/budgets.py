"""Budgets of groups that their members can hold.

A group whose eligible sleeves cannot hold its budget within their bounds - because none is left, or too few - keeps
what they can hold, and the excess goes to the other groups in proportion to their budgets; likewise a group whose
smallest weights exceed its budget takes from the others in proportion. Only if all of them together cannot hold the
total is there no portfolio.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pas_dagster.allocation.estimators import FloatArray
from pas_dagster.allocation.log import in_percent
from pas_dagster.allocation.problem import Problem

SLACK = 1e-9  # sums that miss each other by less than this do so by rounding


class Budgets(NamedTuple):
    """Outcome of `fitted`.

    Attributes:
        reason: why no portfolio exists, empty if one does.
        member: (groups, n) of 0 and 1.
        sums: (groups,) what each group is to hold.
        note: which budgets were changed, in words.
    """

    reason: str
    member: FloatArray
    sums: FloatArray
    note: str


def fitted(problem: Problem) -> Budgets:
    """The problem's budgets, moved to where the bounds can hold them."""
    n = len(problem.names)
    member = (problem.group == np.arange(len(problem.groups))[:, None]).astype(np.float64)
    least = member @ (np.zeros(n) + problem.lower)
    most = member @ (np.zeros(n) + problem.upper)
    sums = fill(problem.budgets, least, most)
    if sums is None:
        total = float(problem.budgets.sum())
        if float(least.sum()) > total:
            why = f"the smallest weights of {n} assets sum to {float(least.sum()):.6g}, more than {total:.6g}"
            return Budgets(why, member, problem.budgets, "")
        room = float(most[problem.budgets > 0.0].sum())
        return Budgets(f"the largest weights of {n} assets sum to {room:.6g}, less than {total:.6g}", member, least, "")
    moved = np.abs(sums - problem.budgets) > SLACK
    note = ", ".join(
        f"{problem.groups[g]} {in_percent(sums[g])} instead of {in_percent(problem.budgets[g])}"
        for g in np.flatnonzero(moved)
    )
    return Budgets("", member, sums, f"budgets that the bounds can hold: {note}" if note else "")


def fill(budgets: FloatArray, least: FloatArray, most: FloatArray) -> FloatArray | None:
    """Shares (groups,) = budgets times one factor, within least and most, with the same sum; None if there are none.

    A group without a budget gets its least.

    >>> fill(np.array([0.5, 0.25, 0.25]), np.zeros(3), np.array([1.0, 1.0, 0.0])).round(4).tolist()
    [0.6667, 0.3333, 0.0]
    >>> fill(np.array([0.5, 0.5]), np.zeros(2), np.array([0.4, 0.4])) is None
    True
    """
    total = float(budgets.sum())
    if (least <= budgets).all() and (budgets <= most).all():
        return budgets
    most = np.where(budgets > 0.0, most, least)
    if float(most.sum()) < total - SLACK or float(least.sum()) > total + SLACK:
        return None
    wanted = budgets > 0.0
    corners = np.unique(np.concatenate([least[wanted] / budgets[wanted], most[wanted] / budgets[wanted]]))
    sums = [float(np.clip(factor * budgets, least, most).sum()) for factor in corners]
    return np.clip(np.interp(total, sums, corners) * budgets, least, most)
