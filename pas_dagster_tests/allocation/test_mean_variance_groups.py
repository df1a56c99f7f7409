"""Mean-variance with group budgets: hand-computed answers, a second optimiser, and the cases without an answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from pas_dagster.allocation import Policy
from pas_dagster.allocation.mean_variance_groups import mean_variance_groups, scheme
from pas_dagster_tests.allocation.problems import problem

GROUP = np.array([0, 0, 0, 1, 1, 2, 2])
BUDGETS = np.array([0.5, 0.25, 0.2])


def moments(seed: int, n: int = 7):
    rng = np.random.default_rng(seed)
    x = rng.normal(0.002, 0.02, (3 * n, n)) + rng.normal(0.0, 0.01, (3 * n, 1))
    return x.mean(axis=0), np.cov(x.T)


def test_two_groups_on_paper() -> None:
    # Group 0 holds 0.6 of variances 1 and 2: least variance splits it 2 to 1, 0.4 and 0.2; group 1 is given.
    cov = np.diag([1.0, 2.0, 5.0])
    answer = mean_variance_groups(np.zeros(3), cov, np.array([0, 0, 1]), np.array([0.6, 0.3]))
    np.testing.assert_allclose(answer.weights, [0.4, 0.2, 0.3], atol=1e-12)
    # Means 0.3 and 0 at risk aversion 1: 0.3 - w = -2 (0.6 - w), w = 0.5.
    answer = mean_variance_groups(np.array([0.3, 0.0, 0.0]), cov, np.array([0, 0, 1]), np.array([0.6, 0.3]))
    np.testing.assert_allclose(answer.weights, [0.5, 0.1, 0.3], atol=1e-12)
    # Twice the means and twice the aversion are the same problem; a limit of 0.45 binds.
    answer = mean_variance_groups(np.array([0.6, 0, 0]), cov, np.array([0, 0, 1]), np.array([0.6, 0.3]), 0.45, 2.0)
    assert answer.weights[0] == 0.45
    np.testing.assert_allclose(answer.weights, [0.45, 0.15, 0.3], atol=1e-12)


def test_groups_are_optimised_together() -> None:
    # Asset 1 hedges the other group's asset; alone, group 0 would split equally.
    cov = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, -0.9], [0.0, -0.9, 1.0]])
    weights = mean_variance_groups(np.zeros(3), cov, np.array([0, 0, 1]), np.array([0.5, 0.5])).weights
    # d/dw of w² + (0.5 - w)² - 0.9 (0.5 - w): 4 w - 1 + 0.9 = 0.
    np.testing.assert_allclose(weights, [0.025, 0.475, 0.5], atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0.2, 0.35, 1.0]), st.sampled_from([0.5, 5.0, 50.0]))
def test_a_general_purpose_optimiser_finds_nothing_better(seed: int, upper: float, aversion: float) -> None:
    mean, cov = moments(seed)
    answer = mean_variance_groups(mean, cov, GROUP, BUDGETS, upper, aversion)

    def loss(w: np.ndarray) -> float:
        return float(aversion / 2 * w @ cov @ w - mean @ w) * 1e3

    sums = [{"type": "eq", "fun": lambda w, g=g: w[g == GROUP].sum() - BUDGETS[g]} for g in range(3)]
    start = BUDGETS[GROUP] / np.bincount(GROUP)[GROUP]
    theirs = minimize(
        loss, start, bounds=[(0, upper)] * 7, constraints=sums, method="SLSQP", options={"ftol": 1e-14, "maxiter": 1000}
    )
    assert answer.status == "optimal"
    for g in range(3):
        assert answer.weights[g == GROUP].sum() == pytest.approx(BUDGETS[g], abs=1e-12)
    assert answer.weights.min() >= 0.0 and answer.weights.max() <= upper
    assert loss(answer.weights) <= theirs.fun + 1e-8
    np.testing.assert_allclose(answer.weights, theirs.x, atol=5e-3)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.floats(1e-6, 1e6))
def test_the_unit_of_time_cancels(seed: int, factor: float) -> None:
    mean, cov = moments(seed)
    weights = mean_variance_groups(mean, cov, GROUP, BUDGETS, 0.3, 5.0).weights
    scaled = mean_variance_groups(factor * mean, factor * cov, GROUP, BUDGETS, 0.3, 5.0).weights
    np.testing.assert_allclose(scaled, weights, atol=1e-9)


def test_limits_that_just_fill_a_budget_leave_one_portfolio() -> None:
    mean, cov = moments(1)
    answer = mean_variance_groups(mean, cov, GROUP, np.array([0.3, 0.2, 0.2]), 0.1)
    np.testing.assert_allclose(answer.weights, 0.1, atol=1e-12)
    thirds = mean_variance_groups(mean[:3], cov[:3, :3], np.zeros(3, int), np.array([1.0]), 1 / 3)
    np.testing.assert_allclose(thirds.weights, 1 / 3, atol=1e-9)


def test_a_budget_that_the_limits_cannot_fill_is_named() -> None:
    mean, cov = moments(2)
    answer = mean_variance_groups(mean, cov, GROUP, BUDGETS, 0.12)
    assert answer.status == "infeasible" and np.isnan(answer.weights).all()
    assert answer.reason == "group 0: the largest weights of 3 assets sum to 0.36, its budget is 0.5"
    empty = mean_variance_groups(mean, cov, GROUP, np.array([0.5, 0.25, 0.2, 0.05]))
    assert empty.reason == "group 3: the largest weights of 0 assets sum to 0, its budget is 0.05"
    none = mean_variance_groups(np.zeros(0), np.zeros((0, 0)), np.zeros(0, int), np.array([1.0]))
    assert none.status == "infeasible"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_unusable_numbers_fail(bad: float) -> None:
    mean, cov = moments(3)
    broken, matrix = mean.copy(), cov.copy()
    broken[2] = matrix[1, 2] = bad
    assert mean_variance_groups(broken, cov, GROUP, BUDGETS).status == "failed"
    assert mean_variance_groups(mean, matrix, GROUP, BUDGETS).status == "failed"
    assert mean_variance_groups(mean, cov, GROUP, np.array([0.5, bad, 0.2])).status == "failed"
    assert mean_variance_groups(mean, cov, GROUP, BUDGETS, bad).status == "failed"
    assert mean_variance_groups(mean, cov, GROUP, BUDGETS, risk_aversion=bad).status == "failed"
    assert mean_variance_groups(mean, cov, GROUP, BUDGETS, risk_aversion=0.0).status == "failed"
    assert mean_variance_groups(mean, cov * 0.0, GROUP, BUDGETS).status == "failed"
    assert mean_variance_groups(mean, cov, GROUP[:3], BUDGETS).status == "failed"
    assert mean_variance_groups(mean, cov, GROUP + 1, BUDGETS).status == "failed"


@pytest.mark.parametrize("seed", range(5))
def test_the_scheme_is_the_same_portfolio_in_excess_of_cash(seed: int) -> None:
    given = problem(seed, policy=Policy(risk_free=0.03))
    expected = mean_variance_groups(
        given.mean - given.risk_free, given.cov, given.group, given.budgets, 0.4, given.mandate.risk_aversion
    )
    answer = scheme(given)
    np.testing.assert_allclose(answer.weights, expected.weights, atol=1e-10)


def test_the_multiplier_of_a_budget_is_the_utility_of_raising_it() -> None:
    given, step = problem(3), 1e-6
    raised = given._replace(budgets=given.budgets + np.array([step, 0.0, 0.0]))

    def utility(weights: np.ndarray) -> float:
        excess = (given.mean - given.risk_free) @ weights
        return float(52 * (excess - 0.5 * given.mandate.risk_aversion * weights @ given.cov @ weights))

    gain = (utility(scheme(raised).weights) - utility(scheme(given).weights)) / step
    (price,) = (one.multiplier for one in scheme(given).active if one.name == "budget of group bonds")
    assert gain == pytest.approx(price, rel=1e-3, abs=1e-5)
