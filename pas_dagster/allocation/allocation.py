"""The weekly decision: who may take part, what the step answers, whether it is believed, what is worth trading.

Every step is recorded with its numbers, so that the log explains the weights without running anything again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypedDict

import numpy as np
import pandas as pd

from pas_dagster.allocation.estimators import WEEKS_PER_YEAR, FloatArray
from pas_dagster.allocation.policy import Policy
from pas_dagster.allocation.target import TOLERANCE, Target, annual_volatility, broken_limit, target_weights

AllocationStatus = Literal["optimal", "held", "cash"]

IDLE_RANGE = 1e-10  # a sleeve whose weekly returns all lie this close together did nothing


class LogRow(TypedDict):
    """A `Step` as a row of the allocation log."""

    step: str
    sleeve: str | None
    value: float | None
    note: str


class Step(NamedTuple):
    """One row of the allocation log.

    Attributes:
        name: which step, for instance `shrinkage`.
        sleeve: which sleeve, None for the whole account.
        value: its number, None if there is none.
        note: the number in words.
    """

    name: str
    sleeve: str | None
    value: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Allocation:
    """The decision for one week.

    Attributes:
        status: `optimal`: the weights answer the problem. `held`: they are the previous ones, `reason` says why.
            `cash`: there is no answer and nothing to hold.
        reason: one sentence, empty when optimal.
        weights: share of the account of every sleeve, 0 allowed; a sleeve that is held but no longer listed is in it.
        cash: the rest of the account, at least 0.
        expected_return: annual, of the final weights with cash at the risk-free rate; None if a held sleeve has no
            estimate.
        volatility: annual, of the final weights; None in the same case.
        sharpe: excess return over volatility of the final weights; None in the same case and without volatility.
        shrinkage: Ledoit-Wolf intensity; None if no covariance was estimated.
        steps: the log.
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

    def log_rows(self) -> list[LogRow]:
        """The log as rows with the keys step, sleeve, value and note, in the order of the decision."""
        return [{"step": s.name, "sleeve": s.sleeve, "value": s.value, "note": s.note} for s in self.steps]


class _Log:
    """Collects steps; a number that is not finite is logged as None."""

    def __init__(self) -> None:
        """Start empty."""
        self.steps: list[Step] = []

    def add(self, name: str, value: float | None, note: str = "", sleeve: str | None = None) -> None:
        """Record one number of one step."""
        number = None if value is None or not math.isfinite(value) else float(value)
        self.steps.append(Step(name, sleeve, number, note))


def allocate(weekly: pd.DataFrame, previous: Mapping[str, float], policy: Policy) -> Allocation:
    """Divide the account between the sleeves.

    1. Eligibility: a sleeve needs a finite return in each of the last `window_weeks` rows and must not be idle.
    2. Outlier filter, 3. mean and Ledoit-Wolf covariance, 4. tangency portfolio within the bounds, 5. volatility
       target with a cash remainder, no leverage.
    6. Realism: without an optimal, finite answer within all limits the previous weights stand and `reason` says why.
    7. No-trade band: changes of at most the band keep the previous weight, without renormalising, provided that the
       result still meets the bounds, the sum and the volatility target; otherwise the unbanded answer is taken.

    Sleeves that are not eligible get weight 0, band or not, except when the previous weights stand. `min_weight` binds
    eligible sleeves. Unusable previous weights (not finite, negative, or a sum above 1) count as none and are logged.

    The answer does not depend on the order of the columns, to the bit, and the same input gives the same answer.

    Args:
        weekly: weeks × sleeves, simple weekly net returns as decimals, newest last, NaN where there was none.
        previous: the weights that stand now, shares of the account; a sleeve that is missing has 0.
        policy: the parameters.

    Raises:
        ValueError: two columns have the same name. Never because of the numbers.

    >>> frame = pd.DataFrame({"a": [0.01, 0.02, -0.01, 0.02], "b": [0.02, -0.01, 0.02, 0.01], "c": [0.0] * 4})
    >>> result = allocate(frame, {}, Policy(window_weeks=4, max_weight=0.6, target_volatility=0.05))
    >>> result.status, {name: round(w, 3) for name, w in result.weights.items()}, round(result.cash, 3)
    ('optimal', {'a': 0.428, 'b': 0.428, 'c': 0.0}, 0.144)
    >>> [row["note"] for row in result.log_rows() if row["sleeve"] == "c"][0]
    'idle'
    """
    names, window, weeks = _window(weekly, policy.window_weeks)
    log = _Log()
    held = _usable_previous(previous, names, log)
    eligible = _eligible(names, window, policy.window_weeks, log)
    if not eligible.any():
        return _stand(names, held, "no sleeve is eligible", None, eligible, policy, log)

    chosen = [name for name, ok in zip(names, eligible, strict=True) if ok]
    target = target_weights(np.ascontiguousarray(window[:, eligible]), policy)
    _log_target(target, chosen, window[:, eligible], weeks, policy, log)
    if target.status != "optimal":
        return _stand(names, held, target.reason, target, eligible, policy, log)

    final = _banded(target, chosen, held, policy, log)
    weights = dict.fromkeys([*names, *held], 0.0) | dict(zip(chosen, final.tolist(), strict=True))
    return _result("optimal", "", weights, final, target, policy, log)


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


def _usable_previous(previous: Mapping[str, float], names: list[str], log: _Log) -> dict[str, float]:
    """The positive previous weights by sleeve in order of name, or nothing if they make no sense."""
    values = {str(name): float(weight) for name, weight in sorted(previous.items(), key=lambda item: str(item[0]))}
    bad = [name for name, weight in values.items() if not 0.0 <= weight <= 1.0 + TOLERANCE]
    if bad:
        log.add("previous", None, f"unusable, {bad[0]} has {values[bad[0]]}; counted as none")
        return {}
    total = math.fsum(values.values())
    if total > 1.0 + TOLERANCE:
        log.add("previous", total, "unusable, the sum is above 1; counted as none")
        return {}
    held = {name: weight for name, weight in values.items() if weight > 0.0}
    for name, weight in held.items():
        log.add("previous", weight, "" if name in names else "no longer a sleeve", name)
    return held


def _eligible(names: list[str], window: FloatArray, length: int, log: _Log) -> np.ndarray:
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


def _log_target(target: Target, names: list[str], raw: FloatArray, weeks: list[str], policy: Policy, log: _Log) -> None:
    """Record the numbers of the numeric step."""
    for row, column in np.argwhere(target.clipped).tolist():
        note = f"week {weeks[row]}: {raw[row, column]:.6g} clipped to {target.clean[row, column]:.6g}"
        log.add("outlier", target.clean[row, column], note, names[column])
    log.add("outliers", int(target.clipped.sum()), f"returns clipped at {policy.outlier_k:.6g} robust deviations")
    with np.errstate(all="ignore"):
        annual_mean = (target.mean * WEEKS_PER_YEAR).tolist()
        annual_risk = np.sqrt(target.cov.diagonal() * WEEKS_PER_YEAR).tolist()
    for name, mean, risk in zip(names, annual_mean, annual_risk, strict=True):
        log.add("mean", mean, "annual", name)
        log.add("volatility", risk, "annual, after shrinkage", name)
    log.add("shrinkage", target.shrinkage, "Ledoit-Wolf intensity")

    tangency = target.tangency
    log.add(
        "max_sharpe", tangency.sharpe * math.sqrt(WEEKS_PER_YEAR), tangency.reason or "optimal; annual Sharpe ratio"
    )
    if tangency.status != "optimal":
        return
    for i, name in enumerate(names):
        price = float(tangency.multipliers[i]) * math.sqrt(WEEKS_PER_YEAR)
        bound = "at max_weight" if tangency.at_upper[i] else "at min_weight" if tangency.at_lower[i] else ""
        priced = bound and math.isfinite(price)
        note = f"{bound}, relaxing it by 0.01 adds {0.01 * price:.3g} to the Sharpe ratio" if priced else bound
        log.add("tangency", tangency.weights[i], note, name)
    annual = tangency.volatility * math.sqrt(WEEKS_PER_YEAR)
    note = f"invested part: {annual:.6g} a year against a target of {policy.target_volatility:.6g}"
    log.add("volatility_target", float(target.weights.sum()), note)
    log.add("realism", annual, target.reason or "finite and within all limits")


def _banded(target: Target, names: list[str], held: dict[str, float], policy: Policy, log: _Log) -> FloatArray:
    """The target with small changes undone, if that meets every limit."""
    before = np.array([held.get(name, 0.0) for name in names])
    change = target.weights - before
    keep = (np.abs(change) <= policy.no_trade_band + 1e-12) & (change != 0.0)
    banded = np.where(keep, before, target.weights)
    broken = broken_limit(banded, annual_volatility(banded, target.cov), policy)
    verdict = f"not applied: {broken}" if broken else "applied"
    log.add("no_trade_band", int(keep.sum()), f"changes within {policy.no_trade_band:.6g}; {verdict}")
    if broken:
        return target.weights
    for i in np.flatnonzero(keep).tolist():
        log.add("no_trade_band", before[i], f"kept, the target was {target.weights[i]:.6g}", names[i])
    return banded


def _stand(
    names: list[str],
    held: dict[str, float],
    reason: str,
    target: Target | None,
    eligible: np.ndarray,
    policy: Policy,
    log: _Log,
) -> Allocation:
    """The previous weights stand; without any, all is cash."""
    weights = dict.fromkeys(names, 0.0) | held
    log.add("held" if held else "cash", math.fsum(weights.values()), reason)
    if not held:
        return _result("cash", reason, weights, None, target, policy, log)
    known = {name for name, ok in zip(names, eligible, strict=True) if ok}
    if target is None or not known.issuperset(held):
        return _result("held", reason, weights, None, target, policy, log)
    part = np.array([weights[name] for name in names if name in known])
    return _result("held", reason, weights, part, target, policy, log)


def _result(
    status: AllocationStatus,
    reason: str,
    weights: dict[str, float],
    part: FloatArray | None,
    target: Target | None,
    policy: Policy,
    log: _Log,
) -> Allocation:
    """The decision with the moments of its weights.

    `part` holds the weights of the eligible sleeves if they are all that is held, else None.
    """
    cash = max(0.0, 1.0 - math.fsum(weights.values()))
    gain = risk = sharpe = None
    if status == "cash":
        gain, risk = policy.risk_free, 0.0
    elif part is not None and target is not None:
        with np.errstate(all="ignore"):
            gain = _finite(float(part @ target.mean) * WEEKS_PER_YEAR + cash * policy.risk_free)
            risk = _finite(annual_volatility(part, target.cov))
        sharpe = (gain - policy.risk_free) / risk if gain is not None and risk else None
    for name, weight in weights.items():
        log.add("weight", weight, status, name)
    log.add("cash_weight", cash, status)
    log.add("expected_return", gain, "annual, of the final weights")
    above = risk is not None and risk > policy.target_volatility * (1.0 + TOLERANCE)
    log.add("final_volatility", risk, "annual, of the final weights" + (", above the target" if above else ""))
    log.add("sharpe", sharpe, "annual, of the final weights")
    shrinkage = None if target is None else _finite(target.shrinkage)
    return Allocation(status, reason, weights, cash, gain, risk, sharpe, shrinkage, log.steps)


def _finite(value: float) -> float | None:
    """The number, or None if it is not finite."""
    return value if math.isfinite(value) else None
