"""Scaling to the volatility target."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from pas_dagster.allocation.max_sharpe import max_sharpe
from pas_dagster.allocation.volatility_target import to_volatility


def moments(seed: int, n: int = 6):
    """Random moments with positive means."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0.0, 0.03, (40, n)) + rng.normal(0.0, 0.01, (40, 1))
    return np.abs(rng.normal(0.004, 0.003, n)) + 1e-4, np.cov(x.T)


def test_a_calm_portfolio_is_left_alone() -> None:
    mean, cov = moments(1)
    answer = max_sharpe(mean, cov)
    scaled = to_volatility(answer.weights, answer.volatility, 10.0, mean, cov)
    np.testing.assert_array_equal(scaled.weights, answer.weights)
    assert scaled.scale == pytest.approx(1.0)


def test_a_wild_portfolio_is_scaled_down_in_its_own_direction() -> None:
    mean, cov = moments(2)
    answer = max_sharpe(mean, cov, upper=0.4)
    scaled = to_volatility(answer.weights, answer.volatility, 0.004, mean, cov, upper=0.4)
    np.testing.assert_allclose(scaled.weights / scaled.scale, answer.weights, rtol=1e-12)
    volatility = math.sqrt(scaled.weights @ cov @ scaled.weights)
    assert volatility <= 0.004
    assert volatility == pytest.approx(0.004, rel=1e-11)


@pytest.mark.parametrize("seed", range(8))
def test_a_lower_bound_stays_inside_the_problem(seed: int) -> None:
    mean, cov = moments(seed)
    low, high = 0.08, 0.5
    answer = max_sharpe(mean, cov, low, high)
    floor = np.full(6, low)
    target = 0.5 * (answer.volatility + math.sqrt(floor @ cov @ floor))
    scaled = to_volatility(answer.weights, answer.volatility, target, mean, cov, low, high)
    assert scaled.status == "optimal"
    x = scaled.weights
    assert x.min() >= low and x.sum() <= 1.0 + 1e-9 and (x <= high * x.sum() + 1e-9).all()
    assert math.sqrt(x @ cov @ x) <= target
    theirs = minimize(
        lambda y: -100 * (mean @ y),
        floor,
        bounds=[(low, 1.0)] * 6,
        constraints=[
            {"type": "ineq", "fun": lambda y: 1.0 - y.sum()},
            {"type": "ineq", "fun": lambda y: high * y.sum() - y},
            {"type": "ineq", "fun": lambda y: 1e4 * (target**2 - y @ cov @ y)},
        ],
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    assert mean @ x >= -theirs.fun / 100 - 1e-8


def test_lower_bounds_that_exceed_the_target_are_infeasible() -> None:
    mean, cov = moments(3)
    answer = max_sharpe(mean, cov, 0.1, 0.5)
    scaled = to_volatility(answer.weights, answer.volatility, 1e-4, mean, cov, 0.1, 0.5)
    assert scaled.status == "infeasible"
    assert "0.1 in each of 6 sleeves" in scaled.reason
    assert np.isnan(scaled.weights).all()
