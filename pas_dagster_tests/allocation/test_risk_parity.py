"""Risk parity: published answers and the definition itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.allocation.risk_parity import contributions, risk_parity


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
