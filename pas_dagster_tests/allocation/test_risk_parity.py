"""Risk parity: published answers and the definition itself."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from pas_dagster.allocation.problem import make_problem
from pas_dagster.allocation.risk_parity import bounded_risk_parity, contributions, risk_parity, scheme


def covariance(volatilities: list[float], lower_triangle: list[list[float]]):
    """Covariance from volatilities in percent and the correlations below the diagonal."""
    n = len(volatilities)
    correlation = np.eye(n)
    for i, row in enumerate(lower_triangle, start=1):
        correlation[i, :i] = correlation[:i, i] = row
    sigma = np.array(volatilities) / 100
    return correlation * np.outer(sigma, sigma)


def test_maillard_roncalli_teiletche() -> None:
    # Maillard, Roncalli and Teiletche (2010), four assets; printed to 0.1 percentage points.
    cov = covariance([10, 20, 30, 40], [[0.8], [0.0, 0.0], [0.0, 0.0, -0.5]])
    np.testing.assert_allclose(100 * risk_parity(cov), [38.4, 19.2, 24.3, 18.2], atol=0.05)


def test_richard_roncalli_table_1() -> None:
    # Richard and Roncalli (2019), Constrained risk budgeting portfolios, table 1; printed to 0.01 percentage points.
    cov = covariance([10, 15, 20, 30], [[0.5], [0.5, 0.5], [0.5, 0.5, 0.75]])
    np.testing.assert_allclose(100 * risk_parity(cov), [41.01, 27.34, 18.99, 12.66], atol=0.005)
    budgets = np.array([30.0, 30.0, 19.5, 20.5])
    np.testing.assert_allclose(100 * risk_parity(cov, budgets), [45.05, 30.04, 14.67, 10.24], atol=0.005)


def test_richard_roncalli_table_5() -> None:
    # The same paper, table 5, without bounds.
    cov = covariance([15, 20, 25, 30, 10], [[0.1], [0.4, 0.7], [0.5, 0.4, 0.8], [0.5, 0.4, 0.05, 0.1]])
    np.testing.assert_allclose(100 * risk_parity(cov), [22.40, 16.51, 12.03, 10.51, 38.54], atol=0.005)


def test_uncorrelated_assets_are_weighted_by_inverse_volatility() -> None:
    sigma = np.array([0.01, 0.02, 0.05])
    np.testing.assert_allclose(risk_parity(np.diag(sigma**2)), (1 / sigma) / (1 / sigma).sum(), rtol=1e-12)


@settings(deadline=None, max_examples=80)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 25), spread=st.floats(0.0, 3.0))
def test_contributions_equal_their_budgets(seed: int, n: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2 * n + 2, n)) * np.exp(rng.normal(0.0, spread, n))
    cov = np.cov(x.T).reshape(n, n)
    budgets = rng.dirichlet(np.ones(n)) + 1e-4
    weights = risk_parity(cov, budgets)
    assert weights.min() > 0.0 and weights.sum() == pytest.approx(1.0, abs=1e-14)
    np.testing.assert_allclose(contributions(cov, weights), budgets / budgets.sum(), rtol=1e-10)
    np.testing.assert_allclose(contributions(cov, risk_parity(cov)), np.full(n, 1 / n), rtol=1e-10)
    order = rng.permutation(n)
    np.testing.assert_allclose(risk_parity(cov[np.ix_(order, order)], budgets[order]), weights[order], rtol=1e-10)


def test_a_singular_covariance_with_risk_everywhere_is_fine() -> None:
    cov = np.full((3, 3), 0.04)
    np.testing.assert_allclose(risk_parity(cov), np.full(3, 1 / 3), rtol=1e-10)


@pytest.mark.parametrize(
    ("cov", "budgets"),
    [
        (np.array([[1.0, -1.0], [-1.0, 1.0]]), None),  # half and half has no risk
        (np.diag([1.0, 0.0]), None),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), None),
        (np.zeros((2, 3)), None),
        (np.zeros((0, 0)), None),
        (np.eye(2), np.array([1.0, 0.0])),
        (np.eye(2), np.array([1.0, -2.0])),
        (np.eye(2), np.array([1.0, np.nan])),
        (np.eye(2), np.ones(3)),
    ],
)
def test_unusable_input_is_refused(cov, budgets) -> None:
    with pytest.raises(ValueError, match="risk parity"):
        risk_parity(cov, budgets)


TABLE_1 = covariance([10, 15, 20, 30], [[0.5], [0.5, 0.5], [0.5, 0.5, 0.75]])
TABLE_5 = covariance([15, 20, 25, 30, 10], [[0.1], [0.4, 0.7], [0.5, 0.4, 0.8], [0.5, 0.4, 0.05, 0.1]])


@pytest.mark.shared
def test_twenty_stocks_of_skfolio(quant_data: Path) -> None:
    # Equal risk contributions in the tests of skfolio: daily returns from 2018-01-03, sample covariance.
    prices = pd.read_csv(quant_data / "skfolio" / "sp500_dataset.csv.gz", index_col=0, parse_dates=True)
    returns = prices.pct_change().loc["2018-01-03":].to_numpy()
    assert returns.shape == (1256, 20)
    weights = risk_parity(np.cov(returns.T))
    np.testing.assert_allclose(weights[[0, 1, 2, 19]], [0.0420088, 0.0321681, 0.0368757, 0.0445065], atol=3e-6)


def test_richard_roncalli_table_6_with_bounds_round_a_given_portfolio() -> None:
    x0 = np.array([0.25, 0.25, 0.10, 0.10, 0.30])
    answer = bounded_risk_parity(TABLE_5, x0 - 0.05, x0 + 0.05)
    np.testing.assert_allclose(100 * answer.weights, [22.89, 20.00, 11.69, 10.42, 35.00], atol=0.01)
    assert 100 * np.sqrt(answer.weights @ TABLE_5 @ answer.weights) == pytest.approx(12.14, abs=0.005)
    assert np.sign(answer.multipliers).tolist() == [0, -1, 0, 0, 1]


def test_pitfall_17_bounded_risk_parity_is_the_logarithmic_barriers_and_not_the_least_squares_one() -> None:
    # Richard and Roncalli (2019), table 2: at most 30 % in an asset.
    barrier = bounded_risk_parity(TABLE_1, np.zeros(4), np.full(4, 0.3)).weights
    np.testing.assert_allclose(100 * barrier, [30.0, 30.0, 24.00, 16.00], atol=0.005)

    def gaps(w: np.ndarray) -> float:
        parts = w * (TABLE_1 @ w) / np.sqrt(w @ TABLE_1 @ w)
        return 1e5 * float(((parts[:, None] - parts) ** 2).sum())

    squares = minimize(
        gaps,
        np.full(4, 0.25),
        bounds=[(0.0, 0.3)] * 4,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    np.testing.assert_allclose(100 * squares.x, [30.0, 30.0, 24.57, 15.43], atol=0.01)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 15),
    tight=st.sampled_from([0.0, 0.5, 0.95]),
    room=st.sampled_from([1.05, 1.5, 3.0]),
)
def test_between_their_bounds_assets_contribute_alike_and_at_them_they_would_rather_not(
    seed: int, n: int, tight: float, room: float
) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(2 * n + 4, n)) + rng.normal(size=(2 * n + 4, 1))) * np.exp(rng.normal(0.0, 1.0, n))
    cov = np.cov(x.T) * 1e-4
    low, high = tight * rng.uniform(0.0, 1.0 / n, n), np.minimum(rng.uniform(1.0, room, n) / n + 1e-3, 1.0)
    answer = bounded_risk_parity(cov, low, high)
    assert answer.status == "optimal" and answer.residual <= 1e-8
    w = answer.weights
    assert w.sum() == pytest.approx(1.0, abs=1e-9)
    assert (w >= low - 1e-14).all() and (w <= high + 1e-14).all()
    parts = w * (cov @ w)
    free = (w > low) & (w < high)
    if free.any():
        size = parts[free].mean()
        np.testing.assert_allclose(parts[free], size, rtol=1e-7)
        assert (parts[w >= high] <= size * (1 + 1e-9)).all()
        assert (parts[w <= low] >= size * (1 - 1e-9)).all()


def test_a_general_purpose_optimiser_of_the_barrier_finds_the_same_bounded_portfolio() -> None:
    x0 = np.array([0.25, 0.25, 0.10, 0.10, 0.30])
    low, high = x0 - 0.05, x0 + 0.05
    answer = bounded_risk_parity(TABLE_5, low, high)
    parts = answer.weights * (TABLE_5 @ answer.weights)
    size = 5.0 * parts[(answer.multipliers == 0.0)].mean()  # the λ that belongs to the sum of 1
    theirs = minimize(
        lambda w: 0.5 * w @ TABLE_5 @ w / size - np.log(w).sum() / 5.0,
        x0,
        jac=lambda w: TABLE_5 @ w / size - 0.2 / w,
        bounds=list(zip(low, high, strict=True)),
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-10},
    )
    np.testing.assert_allclose(theirs.x, answer.weights, atol=1e-6)


def test_bounds_without_a_portfolio_are_infeasible_and_bounds_with_one_give_it() -> None:
    assert bounded_risk_parity(TABLE_1, np.zeros(4), np.full(4, 0.2)).status == "infeasible"
    assert bounded_risk_parity(TABLE_1, np.full(4, 0.3), np.ones(4)).status == "infeasible"
    assert bounded_risk_parity(TABLE_1, np.zeros(4), np.array([0.0, 1.0, 1.0, 1.0])).status == "infeasible"
    only = bounded_risk_parity(TABLE_1, np.zeros(4), np.full(4, 0.25))
    np.testing.assert_allclose(only.weights, 0.25, atol=1e-15)
    hedge = np.array([[1.0, -1.0], [-1.0, 1.0]])
    assert bounded_risk_parity(hedge, np.zeros(2), np.ones(2)).status == "failed"


def test_the_scheme_is_the_exact_portfolio_when_no_bound_binds() -> None:
    problem = make_problem(tuple("abcd"), np.zeros((2, 4)), np.zeros(4), TABLE_1, upper=0.5)
    answer = scheme(problem)
    np.testing.assert_array_equal(answer.weights, risk_parity(TABLE_1))
    assert answer.active == () and answer.residual <= 1e-12
