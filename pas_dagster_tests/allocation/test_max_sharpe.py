"""Tangency portfolio: published answers, a second opinion, and the cases without an answer."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from pas_dagster.allocation.max_sharpe import max_sharpe
from pas_dagster.allocation.solver import solve_qp


def moments(seed: int, n: int = 8):
    """A random mean with at least one clearly positive entry, and a positive definite covariance."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0.003, 0.02, (3 * n, n)) + rng.normal(0.0, 0.01, (3 * n, 1))
    mean = x.mean(axis=0)
    mean[0] = abs(mean[0]) + 0.001
    return mean, np.cov(x.T)


@pytest.mark.shared
def test_critical_line_example_of_bailey_and_lopez_de_prado(quant_data: Path) -> None:
    # Bailey and López de Prado (2013), An open-source implementation of the critical-line algorithm, Algorithms 6(1).
    rows = pd.read_csv(quant_data / "cla" / "CLA_Data.csv").to_numpy(dtype=float)
    mean, cov = rows[0], rows[3:]
    answer = max_sharpe(mean, cov)
    assert answer.sharpe == pytest.approx(4.4535, abs=5e-5)
    assert answer.volatility == pytest.approx(0.2274, abs=5e-5)
    printed = [
        0.08397319,
        0.04890599,
        0.0,
        0.21830926,
        0.00167730,
        0.18120065,
        0.0,
        0.03118304,
        0.00785901,
        0.42689156,
    ]
    np.testing.assert_allclose(answer.weights, printed, atol=5e-9)
    assert answer.at_lower.tolist() == [w == 0.0 for w in printed]


@pytest.mark.shared
def test_minimum_variance_of_the_same_example(quant_data: Path) -> None:
    rows = pd.read_csv(quant_data / "cla" / "CLA_Data.csv").to_numpy(dtype=float)
    cov = rows[3:]
    A = np.concatenate([np.eye(10), np.ones((1, 10))])
    limits = np.concatenate([np.zeros(10), [1.0]]), np.ones(11)
    answer = solve_qp(cov, np.zeros(10), A, *limits)
    printed = [
        0.03696858,
        0.02690084,
        0.09494243,
        0.12577595,
        0.07674608,
        0.21935567,
        0.02998710,
        0.03596328,
        0.06134984,
        0.29201023,
    ]
    np.testing.assert_allclose(answer.x, printed, atol=5e-9)
    assert np.sqrt(answer.x @ cov @ answer.x) == pytest.approx(0.20524, abs=5e-6)
    # The tangency portfolio for equal means is the minimum variance portfolio.
    np.testing.assert_allclose(max_sharpe(np.ones(10), cov).weights, answer.x, atol=1e-12)


def test_four_assets_of_the_matlab_documentation() -> None:
    # MathWorks, "Efficient Portfolio That Maximizes Sharpe Ratio"; risk-free rate 3 %.
    mean = np.array([0.05, 0.10, 0.12, 0.18])
    cov = np.array(
        [
            [0.0064, 0.00408, 0.00192, 0.0],
            [0.00408, 0.0289, 0.0204, 0.0119],
            [0.00192, 0.0204, 0.0576, 0.0336],
            [0.0, 0.0119, 0.0336, 0.1225],
        ]
    )
    answer = max_sharpe(mean, cov, risk_free=0.03)
    np.testing.assert_allclose(answer.weights, [0.4251, 0.2917, 0.0856, 0.1977], atol=5e-5)
    assert answer.expected_return == pytest.approx(float(mean @ answer.weights))


@pytest.mark.shared
def test_twenty_stocks_of_pyportfolioopt(quant_data: Path) -> None:
    pypfopt = pytest.importorskip("pypfopt")
    prices = pd.read_csv(quant_data / "pypfopt" / "stock_prices.csv", index_col="date", parse_dates=True)
    mean = pypfopt.expected_returns.mean_historical_return(prices)
    cov = pypfopt.risk_models.sample_cov(prices)
    answer = max_sharpe(mean.to_numpy().copy(), cov.to_numpy().copy(), risk_free=0.02)
    performance = answer.expected_return, answer.volatility, answer.sharpe
    assert performance == pytest.approx((0.304776867, 0.221655669, 1.284771413), abs=5e-10)
    readme = {
        "GOOG": 0.03835,
        "AAPL": 0.0689,
        "FB": 0.20603,
        "BABA": 0.07315,
        "AMZN": 0.04033,
        "BBY": 0.01324,
        "MA": 0.35349,
        "PFE": 0.1957,
        "SBUX": 0.01082,
    }
    expected = pd.Series(readme).reindex(prices.columns, fill_value=0.0)
    np.testing.assert_allclose(answer.weights, expected, atol=6e-6)
    # Its critical line algorithm maximises the ratio without cash, and takes the 2 % off the answer only.
    critical = max_sharpe(mean.to_numpy().copy(), cov.to_numpy().copy())
    performance = critical.expected_return, critical.volatility
    assert performance == pytest.approx((0.299447091, 0.217643317), abs=1e-9)
    assert (critical.expected_return - 0.02) / critical.volatility == pytest.approx(1.283968172, abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), low=st.sampled_from([0.0, 0.02]), high=st.sampled_from([0.2, 0.4, 1.0]))
def test_a_general_purpose_optimiser_finds_nothing_better(seed: int, low: float, high: float) -> None:
    mean, cov = moments(seed)
    answer = max_sharpe(mean, cov, low, high)
    start = np.full(mean.size, 1 / mean.size)
    theirs = minimize(
        lambda w: -(mean @ w) / np.sqrt(w @ cov @ w),
        start,
        bounds=[(low, high)] * mean.size,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0},
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 1000},
    )
    if answer.status == "infeasible":
        assert theirs.fun > -1e-6
        return
    assert answer.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert answer.weights.min() >= low and answer.weights.max() <= high
    assert answer.sharpe >= -theirs.fun - 1e-7
    np.testing.assert_allclose(answer.weights, theirs.x, atol=5e-3)


def test_multipliers_are_the_gain_from_relaxing_a_bound() -> None:
    mean, cov = moments(4)
    low, high = np.full(8, 0.03), np.full(8, 0.2)
    answer = max_sharpe(mean, cov, low, high)
    assert answer.at_lower.any() and answer.at_upper.any()
    step = 1e-6
    for i in range(8):
        looser_low, looser_high = low.copy(), high.copy()
        looser_low[i] -= step
        looser_high[i] += step
        gain = (max_sharpe(mean, cov, looser_low, looser_high).sharpe - answer.sharpe) / step
        assert answer.multipliers[i] == pytest.approx(gain, abs=1e-4)
        assert answer.multipliers[i] >= 0.0
        assert answer.multipliers[i] == 0.0 or answer.at_lower[i] or answer.at_upper[i]


def test_bounds_may_differ_between_assets() -> None:
    mean, cov = moments(9)
    low = np.array([0.05, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.0])
    high = np.array([0.1, 0.3, 0.3, 0.3, 0.0, 0.3, 0.3, 0.3])
    answer = max_sharpe(mean, cov, low, high)
    assert answer.status == "optimal"
    assert (answer.weights >= low).all() and (answer.weights <= high).all()
    assert answer.weights[4] == 0.0


def test_scale_of_mean_and_covariance_does_not_matter() -> None:
    mean, cov = moments(2)
    weights = max_sharpe(mean, cov, upper=0.3).weights
    for factor in (1e-9, 1e-3, 1e6):
        np.testing.assert_allclose(max_sharpe(factor * mean, cov, upper=0.3).weights, weights, atol=1e-9)
        np.testing.assert_allclose(max_sharpe(mean, factor * cov, upper=0.3).weights, weights, atol=1e-9)


def test_bounds_that_add_up_to_one_leave_one_portfolio() -> None:
    mean, cov = moments(3, n=10)
    for bounds in ((0.0, 0.1), (0.1, 0.5)):
        answer = max_sharpe(np.abs(mean), cov, *bounds)
        np.testing.assert_allclose(answer.weights, 0.1, atol=1e-15)
    assert max_sharpe(-np.abs(mean), cov, 0.0, 0.1).status == "infeasible"


@pytest.mark.parametrize(("low", "high", "numbers"), [(0.0, 0.25, "0.75, less than 1"), (0.5, 1.0, "1.5, more than 1")])
def test_impossible_bounds_name_their_numbers(low: float, high: float, numbers: str) -> None:
    answer = max_sharpe(np.full(3, 0.01), np.eye(3), low, high)
    assert answer.status == "infeasible"
    assert "3 assets" in answer.reason and numbers in answer.reason
    assert np.isnan(answer.weights).all() and np.isnan(answer.sharpe)


def test_without_a_positive_excess_return_there_is_no_portfolio() -> None:
    eye = np.eye(3) * 0.01
    negative = max_sharpe(np.array([-0.01, -0.02, 0.0]), eye)
    assert negative.status == "infeasible" and "no asset has a positive excess return" in negative.reason
    below_risk_free = max_sharpe(np.full(3, 0.01), eye, risk_free=0.02)
    assert below_risk_free.status == "infeasible"
    # One good asset, but the cap forces two bad ones in.
    capped = max_sharpe(np.array([0.01, -0.02, -0.02]), eye, upper=0.4)
    assert capped.status == "infeasible" and "within the bounds" in capped.reason


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_unusable_numbers_fail(bad: float) -> None:
    mean, cov = np.full(3, 0.01), np.eye(3)
    for i in range(3):
        broken = mean.copy()
        broken[i] = bad
        assert max_sharpe(broken, cov).status == "failed"
        for j in range(3):
            matrix = cov.copy()
            matrix[i, j] = matrix[j, i] = bad
            assert max_sharpe(mean, matrix).status == "failed"
    assert max_sharpe(mean, np.diag([1.0, 1.0, 0.0])).status == "failed"
    assert max_sharpe(mean, np.eye(2)).status == "failed"
    assert max_sharpe(mean, cov, lower=-0.1).status == "failed"
    assert max_sharpe(mean, cov, upper=bad).status == "failed"
    assert max_sharpe(np.zeros(0), np.zeros((0, 0))).status == "infeasible"
