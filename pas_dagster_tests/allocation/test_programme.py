"""Quadratic programmes over weights: the whole efficient frontier of a published example, and sums of groups."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pas_dagster.allocation.problem import Answer, Problem, make_problem
from pas_dagster.allocation.programme import Limits, fully_invested, minimise
from pas_dagster_tests.allocation.problems import problem

RETURN = "the expected return"


@pytest.fixture
def example(quant_data: Path) -> tuple[Problem, np.ndarray, np.ndarray]:
    """The ten assets of Bailey and López de Prado (2013), Algorithms 6(1); λ and weights of their turning points."""
    rows = pd.read_csv(quant_data / "cla" / "CLA_Data.csv").to_numpy(dtype=float)
    points = pd.read_csv(quant_data / "cla" / "CLA_turning_points.csv").to_numpy(dtype=float)
    names = tuple(f"X{i:02d}" for i in range(1, 11))
    given = make_problem(names, np.zeros((2, 10)), rows[0], rows[3:], lower=rows[1], upper=rows[2])
    return given, points[:, 0], points[:, 1:]


def calmest(given: Problem, expected: float) -> Answer:
    """The portfolio of least variance with this expected return."""
    limits, reason = fully_invested(given)
    assert reason == ""
    with_return = limits._replace(
        member=np.concatenate([limits.member, given.mean[None, :]]),
        sums=np.concatenate([limits.sums, [expected]]),
        sum_names=(*limits.sum_names, RETURN),
    )
    return minimise(given, given.cov, np.zeros(len(given.names)), with_return, "half the variance", 1.0)


@pytest.mark.shared
@pytest.mark.parametrize("at", range(10))
def test_every_turning_point_is_the_calmest_portfolio_of_its_return(example, at: int) -> None:
    given, slopes, points = example
    answer = calmest(given, float(given.mean @ points[at]))
    assert answer.status == "optimal" and answer.residual <= 1e-8
    np.testing.assert_allclose(answer.weights, points[at], rtol=0, atol=5e-9)
    assert answer.expected_return == pytest.approx(given.mean @ points[at], abs=1e-9)
    assert answer.volatility == pytest.approx(np.sqrt(points[at] @ given.cov @ points[at]), abs=1e-9)
    # λ of the critical line is the slope of half the variance in the return: the price of that constraint. At the first
    # point a single asset has the largest return of all, so any larger price holds it there as well.
    [price] = [one.multiplier for one in answer.active if one.name == RETURN]
    assert -price >= slopes[0] - 1e-6 if at == 0 else -price == pytest.approx(slopes[at], rel=1e-6, abs=1e-6)


@pytest.mark.shared
def test_every_turning_point_is_optimal_for_the_risk_aversion_of_its_slope(example) -> None:
    given, slopes, points = example
    limits, _ = fully_invested(given)
    for slope, weights in zip(slopes, points, strict=True):
        answer = minimise(given, given.cov, -slope * given.mean, limits, "utility", 1.0)
        np.testing.assert_allclose(answer.weights, weights, rtol=0, atol=5e-9)


@pytest.mark.shared
def test_between_two_turning_points_the_frontier_is_the_line_between_them(example) -> None:
    given, _, points = example
    for above, below in zip(points, points[1:], strict=False):
        middle = 0.3 * above + 0.7 * below
        np.testing.assert_allclose(calmest(given, float(given.mean @ middle)).weights, middle, rtol=0, atol=5e-9)


def test_a_sum_out_of_reach_of_the_bounds_is_met_as_far_as_they_allow_and_an_empty_group_is_none() -> None:
    given = problem(1, 4)
    member = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    low, high = np.zeros(4), np.full(4, 0.3)
    limits = Limits(low, high, member, np.array([0.8, 0.1, 0.2]), "lower", "upper", ("one", "none", "other"))
    answer = minimise(given, given.cov, np.zeros(4), limits, "half the variance", 1.0)
    assert answer.status == "optimal"
    assert answer.weights[:2].tolist() == [0.3, 0.3] and answer.weights[2:].sum() == pytest.approx(0.2)
    assert "none" not in {one.name for one in answer.active}


def test_a_covariance_of_zeros_is_an_outcome() -> None:
    given = problem(1, 4)
    answer = minimise(given, np.zeros((4, 4)), np.zeros(4), fully_invested(given)[0], "half the variance", 1.0)
    assert answer.status == "failed" and answer.reason == "the covariance is zero, or not finite"
