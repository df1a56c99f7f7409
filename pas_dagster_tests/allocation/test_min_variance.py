"""Minimum variance: published answers, a second opinion, bounds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from pas_dagster.allocation.min_variance import scheme
from pas_dagster.allocation.problem import make_problem
from pas_dagster.allocation.strategic import scheme as strategic
from pas_dagster_tests.allocation.problems import problem


def names(n: int) -> tuple[str, ...]:
    return tuple(f"sleeve {i:02d}" for i in range(n))


@pytest.mark.shared
def test_critical_line_example_of_bailey_and_lopez_de_prado(quant_data: Path) -> None:
    rows = pd.read_csv(quant_data / "cla" / "CLA_Data.csv").to_numpy(dtype=float)
    mean, cov = rows[0], rows[3:]
    answer = scheme(make_problem(names(10), np.zeros((2, 10)), mean, cov))
    printed = [0.03696858, 0.02690084, 0.09494243, 0.12577595, 0.07674608]
    printed += [0.21935567, 0.02998710, 0.03596328, 0.06134984, 0.29201023]
    np.testing.assert_allclose(answer.weights, printed, atol=5e-9)
    assert answer.volatility == pytest.approx(0.20524, abs=5e-6)


@pytest.mark.shared
def test_twenty_stocks_of_pyportfolioopt(quant_data: Path) -> None:
    pypfopt = pytest.importorskip("pypfopt")
    prices = pd.read_csv(quant_data / "pypfopt" / "stock_prices.csv", index_col="date", parse_dates=True)
    mean = pypfopt.expected_returns.mean_historical_return(prices).to_numpy().copy()
    cov = pypfopt.risk_models.sample_cov(prices).to_numpy().copy()
    answer = scheme(make_problem(names(20), np.zeros((2, 20)), mean, cov))
    assert answer.volatility == pytest.approx(0.159150845, abs=5e-10)
    # Its expected return 0.150568214 is that of its solver's weights; the variance is flat, so it is met less closely.
    assert answer.expected_return == pytest.approx(0.150568214, abs=5e-6)
    assert (answer.expected_return - 0.02) / answer.volatility == pytest.approx(0.820405408, abs=5e-5)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), low=st.sampled_from([0.0, 0.05]), high=st.sampled_from([0.2, 0.5]))
def test_a_general_purpose_optimiser_finds_nothing_calmer(seed: int, low: float, high: float) -> None:
    given = problem(seed)._replace(lower=low, upper=high)
    answer = scheme(given)
    scale = given.cov.trace() / 8
    theirs = minimize(
        lambda w: w @ given.cov @ w / scale,
        np.full(8, 1 / 8),
        bounds=[(low, high)] * 8,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0},
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 500},
    )
    assert answer.volatility**2 / scale <= theirs.fun + 1e-9


def test_a_wider_bound_never_adds_risk_and_the_multiplier_is_what_it_saves() -> None:
    for seed in range(10):
        tight, wide = (scheme(problem(seed)._replace(upper=upper)) for upper in (0.2, 0.3))
        assert wide.volatility <= tight.volatility + 1e-15
        given = problem(seed)._replace(upper=np.full(8, 0.2))
        for one in scheme(given).active:
            if not one.name.startswith("upper"):
                continue
            looser = np.full(8, 0.2)
            looser[given.names.index(one.name[-1])] += 1e-6
            saved = tight.volatility - scheme(given._replace(upper=looser)).volatility
            assert saved / 1e-6 * np.sqrt(52) == pytest.approx(one.multiplier, rel=1e-3, abs=1e-6)


def test_means_play_no_part_and_nothing_is_calmer_than_equal_weights_of_it() -> None:
    given = problem(5)
    np.testing.assert_array_equal(scheme(given).weights, scheme(given._replace(mean=-given.mean)).weights)
    equal = strategic(given._replace(base=np.full(8, 1 / 8), budgets=np.ones(1), group=np.zeros(8, int), groups=("x",)))
    assert scheme(given).volatility <= equal.volatility
