"""The turnover budget: as far towards the target as it allows, limits first."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.allocation import Policy, allocate
from pas_dagster.allocation.turnover import within_budget
from pas_dagster_tests.allocation.problems import frame


def traded(result, previous: dict[str, float]) -> float:
    return sum(abs(result.weights[name] - previous.get(name, 0.0)) for name in result.weights)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    budget=st.sampled_from([0.0, 0.05, 0.3, 2.0]),
    scheme=st.sampled_from(["max_sharpe", "risk_parity", "strategic"]),
)
def test_the_budget_holds_unless_a_limit_needs_more_and_the_limits_always_hold(
    seed: int, budget: float, scheme: str
) -> None:
    weekly, rng = frame(seed), np.random.default_rng(seed)
    previous = dict(zip(weekly.columns, (0.6 * rng.dirichlet(np.ones(8))).tolist(), strict=True))
    policy = Policy(turnover_budget=budget, no_trade_band=0.0)
    result = allocate(weekly, previous, policy, scheme)
    if result.status != "optimal":
        return
    assert max(result.weights.values()) <= 0.4 + 1e-9 and sum(result.weights.values()) <= 1.0 + 1e-9
    assert result.volatility is not None and result.volatility <= 0.08 * (1 + 1e-9)
    (row,) = [step for step in result.steps if step.name == "turnover_budget"]
    assert row.value == pytest.approx(traded(result, previous), abs=1e-9)
    if "exceeded" not in row.note:
        assert traded(result, previous) <= budget + 1e-9
    free = allocate(weekly, previous, Policy(no_trade_band=0.0), scheme)
    assert traded(result, previous) <= traded(free, previous) + 1e-9


def test_a_target_within_the_budget_is_taken_as_it_is() -> None:
    target = np.array([0.3, 0.2])
    move = within_budget(target, np.array([0.25, 0.25]), 0.1, 0.0, lambda w: "")
    assert move.weights is target and move.share == 1.0 and move.turnover == pytest.approx(0.1)


def test_forced_sales_use_the_budget_first() -> None:
    target, previous = np.array([0.4, 0.0]), np.array([0.0, 0.4])
    assert within_budget(target, previous, 0.5, 0.5, lambda w: "").share == 0.0
    assert within_budget(target, previous, 0.5, 0.1, lambda w: "").share == pytest.approx(0.5)
    weekly = frame(3)
    weekly["a"] = np.nan
    result = allocate(weekly, {"a": 0.3, "b": 0.1}, Policy(turnover_budget=0.3, no_trade_band=0.0))
    assert result.weights["a"] == 0.0 and result.weights["b"] == pytest.approx(0.1)
    assert "30 % sold in sleeves that are not eligible" in next(
        s.note for s in result.steps if s.name == "turnover_budget"
    )


def test_limits_go_before_the_budget_and_no_further_than_they_must() -> None:
    target, previous = np.array([0.2, 0.2]), np.array([0.8, 0.2])
    move = within_budget(target, previous, 0.1, 0.0, lambda w: "too much" if w[0] > 0.5 else "")
    assert move.weights[0] == pytest.approx(0.5, abs=1e-12) and move.weights[0] <= 0.5
    assert (move.broken, move.turnover) == ("too much", pytest.approx(0.3))


def test_pitfall_4_the_budget_tames_what_the_no_trade_band_cannot() -> None:
    weekly = frame(5, sleeves=12, weeks=60)
    totals = {}
    for budget in (None, 0.05):
        shares: dict[str, float] = {}
        total = 0.0
        for week in range(12, 60):
            answer = allocate(weekly.iloc[:week], shares, Policy(turnover_budget=budget))
            total += traded(answer, shares)
            shares = answer.weights
        totals[budget] = total
    assert totals[0.05] < 0.5 * totals[None]


def test_pitfall_13_turnover_is_against_the_weights_that_stand_now_not_those_decided_last() -> None:
    weekly = frame(6)
    decided = allocate(weekly, {}, Policy(no_trade_band=0.0)).weights
    drifted = {name: weight * (1.1 if name < "d" else 0.95) for name, weight in decided.items()}
    result = allocate(weekly, drifted, Policy(no_trade_band=0.0, turnover_budget=10.0))
    (row,) = [step for step in result.steps if step.name == "turnover_budget"]
    assert row.value == pytest.approx(traded(result, drifted)) and row.value > 0.01
