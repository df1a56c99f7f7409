"""The one problem that every scheme is handed, and the one form of its answer.

A scheme is a function `scheme(problem: Problem) -> Answer`. It sees one week's estimates, the limits and what the
mandate says of the eligible sleeves, always in order of name, and answers with a mix. It never raises on numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pas_dagster.allocation.estimators import BoolArray, FloatArray, volatility
from pas_dagster.allocation.mandate import DEFAULT, Mandate
from pas_dagster.allocation.momentum import total_returns
from pas_dagster.allocation.solver import Status

REST = "the other sleeves"  # the group of all sleeves without a budget of their own


class Problem(NamedTuple):
    """One week for n eligible sleeves. Rates are per week.

    Attributes:
        names: the sleeves.
        returns: (T, n) simple returns after the outlier filter, newest last.
        mean: (n,).
        cov: (n, n).
        lower: smallest weight, one number or (n,), share of the account.
        upper: largest weight, one number or (n,), share of the account and of its invested part.
        risk_free: return of cash.
        target: largest volatility of the account.
        previous: (n,) weights that stand now, after the drift of prices.
        base: (n,) strategic mix, sum 1; all 0 if none of its sleeves is eligible.
        group: (n,) number of each sleeve's group.
        groups: names of the groups.
        budgets: (groups,) their shares; sum 1, or less for a remainder in cash.
        equity: (n,) which sleeves count as equity.
        equity_share: what the glide path allows them, None without the day of the decision.
        crisis: probability of a crisis, None if it is not known.
        momentum: (n,) total return over the window.
        mandate: how bold the schemes are.
    """

    names: tuple[str, ...]
    returns: FloatArray
    mean: FloatArray
    cov: FloatArray
    lower: float | FloatArray
    upper: float | FloatArray
    risk_free: float
    target: float
    previous: FloatArray
    base: FloatArray
    group: NDArray[np.intp]
    groups: tuple[str, ...]
    budgets: FloatArray
    equity: BoolArray
    equity_share: float | None
    crisis: float | None
    momentum: FloatArray
    mandate: Mandate


class Active(NamedTuple):
    """A constraint that binds.

    Attributes:
        name: for instance `upper max_weight of pelosi` or `budget of group bonds`.
        multiplier: gain in the scheme's objective per unit by which it is relaxed; for a sum that is fixed the gain per
            unit by which it is raised, of either sign. None where the limits leave a single portfolio.
    """

    name: str
    multiplier: float | None


class Answer(NamedTuple):
    """What a scheme answers; numbers per week, all NaN unless `status` is `optimal`.

    Attributes:
        status: `optimal`, `infeasible` (there is no such portfolio) or `failed` (the numbers are unusable).
        reason: one sentence, empty when optimal.
        weights: (n,), sum 1, or less where the scheme keeps the rest in cash.
        expected_return: mean'w, with the rest at the risk-free rate.
        volatility: √(w'Σw).
        active: the constraints that bind.
        residual: largest relative violation of an optimality condition of the solve.
        objective: what the multipliers are measured in, in words.
        note: what the scheme did, in words, where it is not plain.
        excess: (n,) expected excess returns that the weights maximise; None if the scheme is not about returns.
        seconds: that the scheme took, None if nobody measured it.
    """

    status: Status
    reason: str
    weights: FloatArray
    expected_return: float
    volatility: float
    active: tuple[Active, ...]
    residual: float
    objective: str
    note: str = ""
    excess: FloatArray | None = None
    seconds: float | None = None


Scheme = Callable[[Problem], Answer]


def make_problem(
    names: tuple[str, ...],
    returns: FloatArray,
    mean: FloatArray,
    cov: FloatArray,
    lower: float | FloatArray = 0.0,
    upper: float | FloatArray = 1.0,
    risk_free: float = 0.0,
    target: float = math.inf,
    previous: FloatArray | None = None,
    mandate: Mandate = DEFAULT,
    equity_share: float | None = None,
    crisis: float | None = None,
) -> Problem:
    """The problem of n sleeves under a mandate; arguments as the attributes of `Problem`.

    >>> x = np.array([[0.01, 0.02], [0.03, -0.01]])
    >>> problem = make_problem(("a", "b"), x, x.mean(axis=0), np.eye(2), mandate=Mandate(mix={"a": 3, "b": 1}))
    >>> problem.base.tolist(), problem.groups, problem.budgets.tolist()
    ([0.75, 0.25], ('the other sleeves',), [1.0])
    """
    told = _told_by_default(len(names)) if mandate is DEFAULT else _told(names, mandate)
    before = np.zeros(len(names)) if previous is None else previous
    momentum = total_returns(returns)
    return Problem(
        names,
        returns,
        mean,
        cov,
        lower,
        upper,
        risk_free,
        target,
        before,
        *told,
        equity_share,
        crisis,
        momentum,
        mandate,
    )


class _Told(NamedTuple):
    """What a mandate says of some sleeves; as the attributes of `Problem`."""

    base: FloatArray
    group: NDArray[np.intp]
    groups: tuple[str, ...]
    budgets: FloatArray
    equity: BoolArray


def _told(names: tuple[str, ...], mandate: Mandate) -> _Told:
    """The mandate's mix, groups and equities among these sleeves."""
    return _Told(_base(names, mandate), *_grouped(names, mandate), _equity(names, mandate))


@lru_cache(maxsize=64)
def _told_by_default(count: int) -> _Told:
    """What the default mandate says of so many sleeves, read-only because it is shared between calls."""
    told = _told(("",) * count, DEFAULT)
    for item in told:
        if isinstance(item, np.ndarray):
            item.flags.writeable = False
    return told


def _base(names: tuple[str, ...], mandate: Mandate) -> FloatArray:
    """The strategic mix over these sleeves, (n,), scaled to sum 1."""
    if not mandate.mix:
        return np.full(len(names), 1.0 / max(len(names), 1))
    shares = np.array([mandate.mix.get(name, 0.0) for name in names], dtype=np.float64)
    total = float(shares.sum())
    return shares / total if total > 0.0 else shares


def _grouped(names: tuple[str, ...], mandate: Mandate) -> tuple[NDArray[np.intp], tuple[str, ...], FloatArray]:
    """Number of each sleeve's group, names of the groups and their budgets.

    Sleeves without a budget of their own share what the budgets leave; if there are none, that is cash.
    """
    if not mandate.budgets:
        return np.zeros(len(names), dtype=np.intp), (REST,), np.ones(1)
    budgeted = sorted(mandate.budgets)
    number = {name: at for at, name in enumerate(budgeted)}
    group = np.array([number.get(mandate.groups.get(name, ""), len(budgeted)) for name in names], dtype=np.intp)
    budgets = [float(mandate.budgets[name]) for name in budgeted]
    if (group == len(budgeted)).any():
        return group, (*budgeted, REST), np.array([*budgets, max(0.0, 1.0 - math.fsum(budgets))])
    return group, tuple(budgeted), np.array(budgets)


def _equity(names: tuple[str, ...], mandate: Mandate) -> BoolArray:
    """Which sleeves count as equity, (n,)."""
    if mandate.equity is None:
        return np.ones(len(names), dtype=bool)
    marked = [name in mandate.equity or mandate.groups.get(name) in mandate.equity for name in names]
    return np.array(marked, dtype=bool)


def times(active: tuple[Active, ...], factor: float) -> tuple[Active, ...]:
    """The constraints with their multipliers in another unit.

    >>> times((Active("the sum of all weights", 0.5), Active("upper max_weight of a", None)), 2.0)[0].multiplier
    1.0
    """
    return tuple(Active(name, None if price is None else price * factor) for name, price in active)


def no_answer(status: Status, reason: str, n: int, objective: str = "") -> Answer:
    """An answer without weights.

    >>> no_answer("infeasible", "there is no asset to hold", 0).weights.tolist()
    []
    """
    return Answer(status, reason, np.full(n, np.nan), math.nan, math.nan, (), math.nan, objective)


def moments(problem: Problem, weights: FloatArray) -> tuple[float, float]:
    """Expected return, with the rest in cash, and volatility of weights (n,), per week."""
    gain = float(problem.mean @ weights) + (1.0 - float(weights.sum())) * problem.risk_free
    return gain, volatility(weights, problem.cov)
