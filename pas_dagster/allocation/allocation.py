"""The weekly decision: who may take part, what a scheme answers, whether it is believed, what is worth trading.

Every step is recorded with its numbers, so that the log explains the weights without running anything again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from pas_dagster.allocation.estimators import ROOT_YEAR, FloatArray, annual_rate, annual_volatility
from pas_dagster.allocation.glide_path import equity_share
from pas_dagster.allocation.log import Log, LogRow, Step, in_percent
from pas_dagster.allocation.mandate import DEFAULT, Mandate
from pas_dagster.allocation.policy import Policy
from pas_dagster.allocation.problem import Active, Answer, Problem
from pas_dagster.allocation.schemes import SCHEMES, scheme_called
from pas_dagster.allocation.target import (
    TOLERANCE,
    Clock,
    Estimate,
    Target,
    bounded_problem,
    broken_limit,
    estimate,
    target_weights,
)
from pas_dagster.allocation.turnover import within_budget

__all__ = ["Allocation", "LogRow", "Step", "allocate", "allocate_all"]

AllocationStatus = Literal["optimal", "held", "cash"]

LOWER_SIDE, UPPER_SIDE = "lower ", "upper "  # how bounds are called; all other constraints are sums
IDLE_RANGE = 1e-10  # a sleeve whose weekly returns all lie this close together did nothing
_INTENSITY = {
    "ledoit_wolf": "Ledoit-Wolf",
    "constant_correlation": "constant-correlation",
    "single_factor": "single-factor",
    "ewma": "EWMA",
}


@dataclass(frozen=True, slots=True)
class Allocation:
    """The decision for one week.

    Attributes:
        status: `optimal`: the weights answer the problem. `held`: they are the previous ones, `reason` says why.
            `cash`: there is no answer and nothing to hold.
        reason: one sentence, empty when optimal.
        weights: share of the account of every sleeve, 0 allowed; a sleeve that is held but no longer listed is in it.
        cash: the rest of the account, at least 0; negative where a leverage above 1 is allowed and used.
        expected_return: annual, of the final weights with cash at the risk-free rate; None if a held sleeve has no
            estimate.
        volatility: annual, of the final weights; None in the same case.
        sharpe: excess return over volatility of the final weights; None in the same case and without volatility.
        shrinkage: intensity of the covariance's shrinkage; None if no covariance was estimated.
        steps: the log.
        scheme: which scheme decided.
        active: the constraints that bind the scheme's mix, with their multipliers; none unless it has an answer.
        residual: largest relative violation of an optimality condition of the scheme's solve; None without an answer.
        seconds: that the scheme took; None without a clock. Not part of what makes two decisions equal, nor of the log.
    """

    status: AllocationStatus
    reason: str
    weights: dict[str, float]
    cash: float
    expected_return: float | None
    volatility: float | None
    sharpe: float | None
    shrinkage: float | None
    steps: list[Step] = field(repr=False)
    scheme: str = "max_sharpe"
    active: tuple[Active, ...] = ()
    residual: float | None = None
    seconds: float | None = field(default=None, compare=False)

    def log_rows(self) -> list[LogRow]:
        """The log as rows with the keys step, sleeve, value and note, in the order of the decision."""
        return [{"step": s.name, "sleeve": s.sleeve, "value": s.value, "note": s.note} for s in self.steps]


class _Week(NamedTuple):
    """What all schemes share in one week."""

    names: list[str]  # of all sleeves, sorted
    chosen: list[str]  # of the eligible ones
    found: Estimate | None  # of the eligible ones, None if there are none
    problem: Problem | None
    policy: Policy
    clock: Clock | None
    steps: list[Step]


def allocate(
    weekly: pd.DataFrame,
    previous: Mapping[str, float],
    policy: Policy,
    scheme: str = "max_sharpe",
    mandate: Mandate = DEFAULT,
    crisis: float | None = None,
    decision: date | None = None,
    clock: Clock | None = None,
) -> Allocation:
    """Divide the account between the sleeves.

    1. Eligibility: a sleeve needs a finite return in each of the last `window_weeks` rows and must not be idle.
    2. Outlier filter, 3. mean and covariance, 4. the scheme's mix within the bounds, 5. volatility target with a cash
       remainder; leverage only if the policy allows it.
    6. Realism: without an optimal, finite answer within all limits the previous weights stand and `reason` says why.
    7. Turnover budget, if there is one: part of the way from the previous weights; limits go before the budget.
    8. No-trade band: changes of at most the band keep the previous weight, without renormalising, provided that the
       result still meets the bounds, the sum and the volatility target; otherwise the unbanded answer is taken.

    Sleeves that are not eligible get weight 0, band or budget or not, except when the previous weights stand.
    `min_weight` binds eligible sleeves. Unusable previous weights (not finite, negative, or a sum above 1 or the
    leverage allowed) count as none and are logged; an unusable crisis probability counts as not known.

    The answer does not depend on the order of the columns, to the bit, and the same input gives the same answer.

    Args:
        weekly: weeks × sleeves, simple weekly net returns as decimals, newest last, NaN where there was none.
        previous: the weights that stand now, after the drift of prices, shares of the account; a sleeve that is missing
            has 0.
        policy: the rules for every scheme.
        scheme: a name in `SCHEMES`.
        mandate: the parameters of the schemes.
        crisis: probability of a crisis, known before the decision; None if it is not known.
        decision: its day, for the owner's age.
        clock: seconds, to time the scheme with; None for no timing.

    Raises:
        ValueError: two columns have the same name, or there is no such scheme. Never because of the numbers.

    >>> frame = pd.DataFrame({"a": [0.01, 0.02, -0.01, 0.02], "b": [0.02, -0.01, 0.02, 0.01], "c": [0.0] * 4})
    >>> result = allocate(frame, {}, Policy(window_weeks=4, max_weight=0.6, target_volatility=0.05))
    >>> result.status, {name: round(w, 3) for name, w in result.weights.items()}, round(result.cash, 3)
    ('optimal', {'a': 0.428, 'b': 0.428, 'c': 0.0}, 0.144)
    >>> [row["note"] for row in result.log_rows() if row["sleeve"] == "c"][0]
    'idle'
    """
    scheme_called(scheme)
    return _decide(_week(weekly, policy, mandate, crisis, decision, clock), previous, scheme)


def allocate_all(
    weekly: pd.DataFrame,
    previous_by_scheme: Mapping[str, Mapping[str, float]],
    policy: Policy,
    mandate: Mandate = DEFAULT,
    crisis: float | None = None,
    decision: date | None = None,
    clock: Clock | None = None,
) -> dict[str, Allocation]:
    """The decision of every scheme, each from its own previous weights, with one estimate for all.

    Arguments as for `allocate`; a scheme without previous weights has none. Each allocation has a complete log.

    Raises:
        ValueError: two columns have the same name, or there are previous weights of an unknown scheme.

    >>> frame = pd.DataFrame({"a": [0.01, 0.02, -0.01, 0.02], "b": [0.02, -0.01, 0.02, 0.01]})
    >>> answers = allocate_all(frame, {"strategic": {"a": 0.2}}, Policy(window_weeks=4, max_weight=0.6))
    >>> answers["strategic"].weights, answers["glide_path"].reason
    ({'a': 0.5, 'b': 0.5}, 'the glide path needs the day of the decision')
    """
    for name in previous_by_scheme:
        scheme_called(name)
    week = _week(weekly, policy, mandate, crisis, decision, clock)
    return {name: _decide(week, previous_by_scheme.get(name, {}), name) for name in SCHEMES}


def _week(
    weekly: pd.DataFrame,
    policy: Policy,
    mandate: Mandate,
    crisis: float | None,
    decision: date | None,
    clock: Clock | None,
) -> _Week:
    """Eligibility and estimates, logged."""
    names, window, weeks = _window(weekly, policy.window_weeks)
    log = Log()
    eligible = _eligible(names, window, policy.window_weeks, log)
    chosen = [name for name, ok in zip(names, eligible.tolist(), strict=True) if ok]
    if not chosen:
        return _Week(names, chosen, None, None, policy, clock, log.steps)
    raw = np.ascontiguousarray(window[:, eligible])
    found = estimate(raw, policy)
    _log_estimate(found, chosen, raw, weeks, policy, log)
    allowed = None if decision is None else equity_share(decision.year - mandate.birth_year)
    known = _usable_crisis(crisis, log)
    with np.errstate(all="ignore"):
        problem = bounded_problem(tuple(chosen), found, policy, mandate=mandate, equity_share=allowed, crisis=known)
    return _Week(names, chosen, found, problem, policy, clock, log.steps)


def _decide(week: _Week, previous: Mapping[str, float], scheme: str) -> Allocation:
    """The decision of one scheme."""
    policy, log = week.policy, Log()
    held = _usable_previous(previous, week.names, policy, log)
    log.steps += week.steps
    if week.problem is None:
        return _stand(week, held, "no sleeve is eligible", None, scheme, log)
    before = np.array([held.get(name, 0.0) for name in week.chosen])
    problem = week.problem._replace(previous=before)
    target = target_weights(problem, policy, SCHEMES[scheme], week.clock)
    _log_answer(scheme, target.answer, problem, log)
    if target.answer.status == "optimal":
        _log_target(target, policy, log)
    if target.status != "optimal":
        return _stand(week, held, target.reason, target, scheme, log)
    forced = math.fsum(weight for name, weight in held.items() if name not in problem.names)
    aim = _budgeted(target.weights, problem, forced, policy, log)
    final = _banded(aim, problem, policy, log)
    weights = dict.fromkeys([*week.names, *held], 0.0) | dict(zip(week.chosen, final.tolist(), strict=True))
    return _result("optimal", "", weights, final, week, target, scheme, log)


def _window(weekly: pd.DataFrame, length: int) -> tuple[list[str], FloatArray, list[str]]:
    """Sorted names, the last rows in that order (weeks, sleeves) and the rows' labels."""
    columns = [str(column) for column in weekly.columns]
    if len(set(columns)) != len(columns):
        raise ValueError("two sleeves have the same name")
    order = sorted(range(len(columns)), key=columns.__getitem__)
    recent = weekly.iloc[-length:]
    values = recent.to_numpy(dtype=np.float64, na_value=np.nan)[:, order]
    return [columns[i] for i in order], values, [_label(week) for week in recent.index]


def _label(week: object) -> str:
    """A week as text, a timestamp as its date."""
    return week.date().isoformat() if isinstance(week, pd.Timestamp) else str(week)


def _usable_previous(previous: Mapping[str, float], names: list[str], policy: Policy, log: Log) -> dict[str, float]:
    """The positive previous weights by sleeve in order of name, or nothing if they make no sense."""
    values = {str(name): float(weight) for name, weight in sorted(previous.items(), key=lambda item: str(item[0]))}
    bad = [name for name, weight in values.items() if not 0.0 <= weight <= 1.0 + TOLERANCE]
    if bad:
        log.add("previous", None, f"unusable, {bad[0]} has {values[bad[0]]}; counted as none")
        return {}
    total = math.fsum(values.values())
    if total > policy.max_leverage + TOLERANCE:
        log.add("previous", total, f"unusable, the sum is above {policy.max_leverage:.6g}; counted as none")
        return {}
    held = {name: weight for name, weight in values.items() if weight > 0.0}
    for name, weight in held.items():
        log.add("previous", weight, "" if name in names else "no longer a sleeve", name)
    return held


def _usable_crisis(crisis: float | None, log: Log) -> float | None:
    """The crisis probability, or None if it is not known or not a probability."""
    if crisis is None:
        return None
    usable = 0.0 <= crisis <= 1.0
    log.add(
        "crisis", crisis, "probability" if usable else f"unusable, {crisis} is not a probability; counted as not known"
    )
    return float(crisis) if usable else None


def _eligible(names: list[str], window: FloatArray, length: int, log: Log) -> np.ndarray:
    """Which sleeves take part, (sleeves,) of bool."""
    counts = np.isfinite(window).sum(axis=0).tolist()
    with np.errstate(all="ignore"):
        idle = (np.abs(window - window[:1]).max(axis=0, initial=0.0) <= IDLE_RANGE).tolist()
    eligible = np.zeros(len(names), dtype=bool)
    for i, name in enumerate(names):
        if counts[i] < length:
            note = f"only {counts[i]} of {length} weeks"
        elif idle[i]:
            note = "idle"
        else:
            note, eligible[i] = "eligible", True
        log.add("eligibility", counts[i], note, name)
    return eligible


def _log_estimate(
    found: Estimate, names: list[str], raw: FloatArray, weeks: list[str], policy: Policy, log: Log
) -> None:
    """Record what the returns say."""
    for row, column in np.argwhere(found.clipped).tolist():
        note = f"week {weeks[row]}: {in_percent(raw[row, column])} clipped to {in_percent(found.clean[row, column])}"
        log.add("outlier", found.clean[row, column], note, names[column])
    log.add("outliers", int(found.clipped.sum()), f"returns clipped at {policy.outlier_k:.6g} robust deviations")
    with np.errstate(all="ignore"):
        annual_mean = annual_rate(found.mean)
        annual_risk = np.sqrt(annual_rate(found.cov.diagonal()))
    for name, mean, risk in zip(names, annual_mean.tolist(), annual_risk.tolist(), strict=True):
        log.add("mean", mean, "annual", name)
        log.add("volatility", risk, "annual, after shrinkage", name)
    log.add("shrinkage", found.shrinkage, f"{_INTENSITY[policy.covariance]} intensity")


def _log_answer(scheme: str, answer: Answer, problem: Problem, log: Log) -> None:
    """Record what the scheme answers."""
    if answer.status != "optimal":
        log.add("scheme", None, f"{scheme}: {answer.status}, {answer.reason}")
        return
    with np.errstate(all="ignore"):
        excess = np.float64(answer.expected_return - problem.risk_free)
        log.add(
            "scheme",
            float(excess / answer.volatility * ROOT_YEAR),
            f"{scheme}: optimal; annual Sharpe ratio of its mix",
        )
    if answer.note:
        log.add("scheme_note", None, answer.note)
    for name, weight in zip(problem.names, answer.weights.tolist(), strict=True):
        log.add("mix", weight, "", name)
    for one in answer.active:
        log.add("constraint", one.multiplier, one.name + _worth(one, answer.objective))
    log.add("mix_return", annual_rate(answer.expected_return), "annual, of the mix")
    log.add("mix_volatility", answer.volatility * ROOT_YEAR, "annual, of the mix")
    log.add("residual", answer.residual, "largest relative violation of an optimality condition")


def _worth(one: Active, objective: str) -> str:
    """What moving a constraint by one percentage point is worth, in words."""
    if one.multiplier is None:
        return ""
    move = "relaxing" if one.name.startswith((LOWER_SIDE, UPPER_SIDE)) else "raising"
    change = "improves" if one.multiplier >= 0.0 else "worsens"
    return f"; {move} it by 0.01 {change} the {objective} by {0.01 * abs(one.multiplier):.3g}"


def _log_target(target: Target, policy: Policy, log: Log) -> None:
    """Record the volatility target and the realism check."""
    annual = target.answer.volatility * ROOT_YEAR
    note = (
        f"the mix has a volatility of {in_percent(annual)} a year, the target is {in_percent(policy.target_volatility)}"
    )
    log.add("volatility_target", float(target.weights.sum()), note)
    log.add("realism", annual, target.reason or "finite and within all limits")


def _budgeted(target: FloatArray, problem: Problem, forced: float, policy: Policy, log: Log) -> FloatArray:
    """As much of the way to the target as the turnover budget allows."""
    if policy.turnover_budget is None:
        return target

    def broken(weights: FloatArray) -> str:
        return broken_limit(weights, annual_volatility(weights, problem.cov), policy)

    move = within_budget(target, problem.previous, policy.turnover_budget, forced, broken)
    note = f"{in_percent(move.share)} of the way to the target, budget {in_percent(policy.turnover_budget)}"
    if forced:
        note += f", {in_percent(forced)} sold in sleeves that are not eligible"
    log.add("turnover_budget", move.turnover, note + (f"; exceeded because {move.broken}" if move.broken else ""))
    return move.weights


def _banded(target: FloatArray, problem: Problem, policy: Policy, log: Log) -> FloatArray:
    """The target with small changes undone, if that meets every limit."""
    before = problem.previous
    change = target - before
    keep = (np.abs(change) <= policy.no_trade_band + 1e-12) & (change != 0.0)
    banded = np.where(keep, before, target)
    broken = broken_limit(banded, annual_volatility(banded, problem.cov), policy)
    verdict = f"not applied: {broken}" if broken else "applied"
    log.add("no_trade_band", int(keep.sum()), f"changes within {in_percent(policy.no_trade_band)}; {verdict}")
    if broken:
        return target
    for i in np.flatnonzero(keep).tolist():
        log.add("no_trade_band", before[i], f"kept, the target was {in_percent(target[i])}", problem.names[i])
    return banded


def _stand(
    week: _Week, held: dict[str, float], reason: str, target: Target | None, scheme: str, log: Log
) -> Allocation:
    """The previous weights stand; without any, all is cash."""
    weights = dict.fromkeys(week.names, 0.0) | held
    log.add("held" if held else "cash", math.fsum(weights.values()), reason)
    if not held:
        return _result("cash", reason, weights, None, week, target, scheme, log)
    known = set(week.chosen)
    if not known.issuperset(held):
        return _result("held", reason, weights, None, week, target, scheme, log)
    part = np.array([weights[name] for name in week.chosen])
    return _result("held", reason, weights, part, week, target, scheme, log)


def _result(
    status: AllocationStatus,
    reason: str,
    weights: dict[str, float],
    part: FloatArray | None,
    week: _Week,
    target: Target | None,
    scheme: str,
    log: Log,
) -> Allocation:
    """The decision with the moments of its weights.

    `part` holds the weights of the eligible sleeves if they are all that is held, else None.
    """
    policy = week.policy
    cash = 1.0 - math.fsum(weights.values())
    cash = cash if policy.max_leverage > 1.0 else max(0.0, cash)
    gain = risk = sharpe = None
    if status == "cash":
        gain, risk = policy.risk_free, 0.0
    elif part is not None and week.found is not None:
        with np.errstate(all="ignore"):
            gain = _finite(annual_rate(float(part @ week.found.mean)) + cash * policy.risk_free)
            risk = _finite(annual_volatility(part, week.found.cov))
        sharpe = (gain - policy.risk_free) / risk if gain is not None and risk else None
    _log_result(status, weights, cash, gain, risk, sharpe, policy, log)
    shrinkage = None if week.found is None else _finite(week.found.shrinkage)
    answer = None if target is None else target.answer
    active = answer.active if answer is not None else ()
    residual = None if answer is None else _finite(answer.residual)
    seconds = None if answer is None else answer.seconds
    return Allocation(
        status, reason, weights, cash, gain, risk, sharpe, shrinkage, log.steps, scheme, active, residual, seconds
    )


def _log_result(
    status: AllocationStatus,
    weights: dict[str, float],
    cash: float,
    gain: float | None,
    risk: float | None,
    sharpe: float | None,
    policy: Policy,
    log: Log,
) -> None:
    """Record the final weights and their moments."""
    for name, weight in weights.items():
        log.add("weight", weight, status, name)
    log.add("cash_weight", cash, status)
    log.add("expected_return", gain, "annual, of the final weights")
    above = risk is not None and risk > policy.target_volatility * (1.0 + TOLERANCE)
    log.add("final_volatility", risk, "annual, of the final weights" + (", above the target" if above else ""))
    log.add("sharpe", sharpe, "annual, of the final weights")


def _finite(value: float) -> float | None:
    """The number, or None if it is not finite."""
    return value if math.isfinite(value) else None
