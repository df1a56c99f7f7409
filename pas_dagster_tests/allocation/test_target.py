"""One allocation step on plain arrays."""

import math

import numpy as np
import pytest

from pas_dagster.allocation import Policy
from pas_dagster.allocation.estimators import annual_volatility, ledoit_wolf, winsorise
from pas_dagster.allocation.max_sharpe import max_sharpe
from pas_dagster.allocation.target import bounded_problem, broken_limit, estimate, target_weights
from pas_dagster_tests.allocation.conftest import step


def test_the_step_is_its_parts(returns) -> None:
    policy = Policy(target_volatility=0.02, risk_free=0.01)
    returns[4, 2] = 0.6
    found, target = step(returns, policy)
    clean, changed = winsorise(returns, policy.outlier_k)
    assert changed[4, 2]
    cov, shrinkage = ledoit_wolf(clean)
    tangency = max_sharpe(clean.mean(axis=0), cov, 0.0, 0.4, 0.01 / 52)
    assert target.status == "optimal"
    assert found.shrinkage == shrinkage
    np.testing.assert_allclose(target.answer.weights, tangency.weights, atol=1e-12)
    factor = 0.02 / (tangency.volatility * math.sqrt(52))
    np.testing.assert_allclose(target.weights, factor * tangency.weights, rtol=1e-9)
    assert annual_volatility(target.weights, cov) == pytest.approx(0.02, rel=1e-9)


def test_an_unrealistic_volatility_is_not_believed(returns) -> None:
    _, target = step(returns * 100.0, Policy())
    assert target.status == "unrealistic"
    assert "a year, outside (0, 5]" in target.reason
    assert np.isnan(target.weights).all()


@pytest.mark.parametrize("factor", [1e-150, 1e-30, 1e30, 1e150, 1e300])
def test_huge_and_tiny_numbers_never_raise(returns, factor: float) -> None:
    _, target = step(returns * factor, Policy())
    assert target.status in {"optimal", "infeasible", "failed", "unrealistic"}
    assert target.status == "optimal" or target.reason


@pytest.mark.parametrize(
    ("weights", "volatility", "words"),
    [
        ([0.3, 0.3], 0.05, ""),
        ([0.3, -0.1], 0.05, "smallest weight"),
        ([0.5, 0.1], 0.05, "largest weight"),
        ([0.4, 0.4, 0.4], 0.05, "sum to 1.2"),
        ([0.3, 0.3], 0.09, "above the target"),
        ([0.3, math.nan], 0.05, "not finite"),
        ([0.3, 0.3], math.inf, "not finite"),
    ],
)
def test_every_limit_is_named(weights: list[float], volatility: float, words: str) -> None:
    broken = broken_limit(np.array(weights), volatility, Policy())
    assert words in broken
    assert bool(broken) == bool(words)


def test_a_clock_times_the_scheme_and_nothing_else(returns) -> None:
    ticks = iter([10.0, 10.25])
    policy = Policy()
    problem = bounded_problem(tuple("abcdefghij"), estimate(returns, policy), policy)
    timed = target_weights(problem, policy, clock=lambda: next(ticks))
    assert timed.answer.seconds == 0.25
    untimed = target_weights(problem, policy)
    assert untimed.answer.seconds is None
    np.testing.assert_array_equal(timed.weights, untimed.weights)
