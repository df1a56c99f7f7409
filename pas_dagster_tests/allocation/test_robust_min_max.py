"""The robust scheme: the worst case of boxes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from pas_dagster.allocation import Mandate
from pas_dagster.allocation.max_sharpe import max_sharpe
from pas_dagster.allocation.robust_min_max import scheme, worst_case
from pas_dagster_tests.allocation.problems import problem


def test_without_uncertainty_it_is_the_tangency_portfolio() -> None:
    given = problem(1, mandate=Mandate(uncertainty=0.0))
    expected = max_sharpe(given.mean, given.cov, 0.0, 0.4, given.risk_free)
    np.testing.assert_allclose(scheme(given).weights, expected.weights, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_no_long_only_portfolio_has_a_better_worst_case_over_the_corners_of_the_boxes(seed: int) -> None:
    given = problem(seed, drift=0.012)
    answer = scheme(given)
    rng = np.random.default_rng(seed)
    sigma = np.sqrt(given.cov.diagonal())
    least, most = worst_case(given.mean, given.cov, 12, 1.0)
    corners = [(least, most)]
    for _ in range(20):  # other points of the boxes are no worse for a long-only portfolio
        means = given.mean + rng.uniform(-1, 1, 8) * sigma / np.sqrt(12)
        part = rng.uniform(-1, 1, (8, 8))
        corners.append((means, given.cov + (part + part.T) / 2 * (most - given.cov)))

    def sharpe(w: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> float:
        return float((mean @ w) / np.sqrt(w @ cov @ w))

    if answer.status != "optimal":
        assert answer.status == "infeasible"
        return
    values = [sharpe(answer.weights, *corner) for corner in corners]
    assert min(values) == values[0]
    theirs = minimize(
        lambda w: -sharpe(w, least, most),
        np.full(8, 1 / 8),
        bounds=[(0.0, 0.4)] * 8,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0},
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 500},
    )
    assert values[0] >= -theirs.fun - 1e-6


def test_the_corner_is_at_least_one_standard_error_from_every_covariance_and_positive_definite() -> None:
    given = problem(2)
    _, most = worst_case(given.mean, given.cov, 12, 1.0)
    variances = np.outer(given.cov.diagonal(), given.cov.diagonal())
    assert (most - given.cov >= np.sqrt((variances + given.cov**2) / 12) - 1e-18).all()
    assert np.linalg.eigvalsh(most)[0] > 0.0


def test_pitfall_16_a_box_moves_the_portfolio_where_an_ellipsoid_of_the_covariance_would_not() -> None:
    given = problem(1, drift=0.012)
    answer = scheme(given)
    nominal = max_sharpe(given.mean, given.cov, 0.0, 0.4, given.risk_free)
    assert np.abs(answer.weights - nominal.weights).max() > 0.02

    def worst_of_ellipsoid(w: np.ndarray) -> float:
        risk = np.sqrt(w @ given.cov @ w)
        return float(-(given.mean @ w - 0.1 * risk) / risk)

    theirs = minimize(
        worst_of_ellipsoid,
        nominal.weights * 0.9 + 0.1 / 8,
        bounds=[(0.0, 0.4)] * 8,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(theirs.x, nominal.weights, atol=2e-3)


def test_pitfall_16_no_positive_mean_in_the_worst_case_is_a_value() -> None:
    given = problem(1, mandate=Mandate(uncertainty=50.0))
    answer = scheme(given)
    assert given.mean.max() > 0.0
    assert answer.status == "infeasible" and "worst case of 50 standard errors" in answer.reason


def test_its_moments_are_those_of_the_estimates_and_the_worst_case_is_in_the_note() -> None:
    given = problem(1, drift=0.012)
    answer = scheme(given)
    assert answer.volatility == pytest.approx(np.sqrt(answer.weights @ given.cov @ answer.weights))
    assert answer.note.startswith("worst-case Sharpe ratio ")
    assert float(answer.note.split()[3]) < answer.expected_return / answer.volatility * np.sqrt(52)
