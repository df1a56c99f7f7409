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


@pytest.mark.parametrize("seed", range(6))
def test_any_mix_goes_to_the_nearest_point_in_the_metric_of_the_covariance(seed: int) -> None:
    _, cov = moments(seed)
    rng = np.random.default_rng(seed)
    low, high = 0.06, 0.6
    mix = low + (1.0 - 6 * low) * np.append(0.0, rng.dirichlet(np.full(5, 2.0)))
    assert mix.max() < high
    floor = np.full(6, low)
    volatility = math.sqrt(mix @ cov @ mix)
    target = 0.4 * volatility + 0.6 * math.sqrt(floor @ cov @ floor)
    scaled = to_volatility(mix, volatility, target, cov @ mix, cov, low, high)
    assert scaled.status == "optimal" and (target / volatility * mix).min() < low
    theirs = minimize(
        lambda y: 1e4 * (y - mix) @ cov @ (y - mix),
        floor,
        bounds=[(low, 1.0)] * 6,
        constraints=[
            {"type": "ineq", "fun": lambda y: 1.0 - y.sum()},
            {"type": "ineq", "fun": lambda y: high * y.sum() - y},
            {"type": "ineq", "fun": lambda y: 1e4 * (target**2 - y @ cov @ y)},
        ],
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 1000},
    )
    x = scaled.weights
    assert 1e4 * (x - mix) @ cov @ (x - mix) <= theirs.fun + 1e-6
    assert math.sqrt(x @ cov @ x) <= target and x.min() >= low


def test_pitfall_3_a_calm_mix_is_not_levered_unless_that_is_allowed() -> None:
    mean, cov = moments(1)
    mix = np.full(6, 1 / 6)
    volatility = math.sqrt(mix @ cov @ mix)
    plain = to_volatility(mix, volatility, 3.0 * volatility, mean, cov)
    assert plain.scale == pytest.approx(1.0)
    levered = to_volatility(mix, volatility, 3.0 * volatility, mean, cov, upper=0.4, leverage=1.5)
    np.testing.assert_allclose(levered.weights, 1.5 * mix, rtol=1e-12)
    targeted = to_volatility(mix, volatility, 1.2 * volatility, mean, cov, upper=0.4, leverage=1.5)
    assert math.sqrt(targeted.weights @ cov @ targeted.weights) == pytest.approx(1.2 * volatility, rel=1e-9)
    cautious = to_volatility(0.8 * mix, 0.8 * volatility, 3.0 * volatility, mean, cov, leverage=1.5)
    np.testing.assert_array_equal(cautious.weights, 0.8 * mix)


@pytest.mark.parametrize("seed", range(6))
def test_leverage_stops_at_the_largest_weight_not_beyond_it(seed: int) -> None:
    mean, cov = moments(seed)
    answer = max_sharpe(mean, cov, upper=0.3)
    scaled = to_volatility(answer.weights, answer.volatility, 1.0, mean, cov, upper=0.3, leverage=1.5)
    assert scaled.status == "optimal"
    assert scaled.weights.max() <= 0.3 + 1e-10 and 1.0 < scaled.scale <= 1.5 + 1e-9


def test_a_mix_that_keeps_cash_is_never_invested_beyond_its_own_sum() -> None:
    mean, cov = moments(2)
    mix = np.array([0.06, 0.06, 0.06, 0.06, 0.06, 0.4])
    volatility = math.sqrt(mix @ cov @ mix)
    calm = np.where(np.arange(6) == 5, -1.0, 1.0) * mean.max()  # returns that ask for all but the largest position
    scaled = to_volatility(mix, volatility, 0.9 * volatility, calm, cov, 0.06, 0.6)
    assert scaled.status == "optimal"
    assert scaled.scale <= mix.sum() + 1e-9 and scaled.weights[5] == pytest.approx(0.06, abs=1e-9)
