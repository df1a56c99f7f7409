"""The glide path: what age allows, in equities and in all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from pas_dagster.allocation import Mandate, Policy
from pas_dagster.allocation.glide_path import equity_share, scheme
from pas_dagster.allocation.max_sharpe import max_sharpe
from pas_dagster_tests.allocation.problems import MANDATE, problem


def test_the_share_falls_from_90_to_40_percent_and_never_rises_with_age() -> None:
    shares = [equity_share(age) for age in range(120)]
    assert shares[0] == 0.9 and shares[-1] == 0.4
    assert all(later <= earlier for earlier, later in zip(shares, shares[1:], strict=False))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.4, 0.55, 0.7, 0.9]), high=st.sampled_from([0.2, 0.4, 1.0]))
def test_equities_sum_to_the_share_and_no_such_portfolio_has_a_larger_sharpe_ratio(
    seed: int, share: float, high: float
) -> None:
    given = problem(seed, equity_share=share)._replace(upper=high)
    answer = scheme(given)
    assert answer.status == "optimal"
    equity = given.equity
    sums = min(share, high * equity.sum()), min(1.0 - share, high * (~equity).sum())
    assert answer.weights[equity].sum() == pytest.approx(sums[0], abs=1e-9)
    assert answer.weights[~equity].sum() == pytest.approx(sums[1], abs=1e-9)
    if "least variance" in answer.note:
        return
    start = np.where(equity, sums[0] / equity.sum(), sums[1] / (~equity).sum())
    theirs = minimize(
        lambda w: -(given.mean @ w) / np.sqrt(w @ given.cov @ w),
        start,
        bounds=[(0.0, high)] * 8,
        constraints=[
            {"type": "eq", "fun": lambda w: w[equity].sum() - sums[0]},
            {"type": "eq", "fun": lambda w: w[~equity].sum() - sums[1]},
        ],
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 1000},
    )
    assert (given.mean @ answer.weights) / answer.volatility >= -theirs.fun - 1e-6


def test_without_defensive_sleeves_the_rest_is_cash_and_the_mix_is_the_tangency_portfolio() -> None:
    given = problem(1, equity_share=0.6, mandate=Mandate())
    answer = scheme(given)
    assert answer.weights.sum() == pytest.approx(0.6, abs=1e-12)
    expected = max_sharpe(given.mean, given.cov, 0.0, 0.4 / 0.6)
    np.testing.assert_allclose(answer.weights / 0.6, expected.weights, atol=1e-10)


def test_without_equities_the_defensive_sleeves_have_their_share_only() -> None:
    given = problem(1, equity_share=0.6, mandate=Mandate(equity=frozenset()))
    assert scheme(given).weights.sum() == pytest.approx(0.4, abs=1e-12)


def test_no_positive_excess_return_is_the_least_variance_with_the_same_shares() -> None:
    given = problem(1, drift=-0.06, equity_share=0.7)
    answer = scheme(given)
    assert answer.status == "optimal" and "the one of least variance" in answer.note
    assert answer.weights[given.equity].sum() == pytest.approx(0.7, abs=1e-9)


def test_without_a_day_there_is_no_age_and_no_answer() -> None:
    answer = scheme(problem(1, equity_share=None))
    assert (answer.status, answer.reason) == ("failed", "the glide path needs the day of the decision")


def test_smallest_weights_above_a_side_are_infeasible() -> None:
    answer = scheme(problem(1, 9, Policy(min_weight=0.08), equity_share=0.9))
    assert answer.status == "infeasible"
    assert answer.reason == "the smallest weights of the defensive sleeves sum to 0.24, more than their share 0.1"


def test_the_price_of_the_equity_share_is_the_gain_from_raising_it() -> None:
    found = 0
    for seed in range(6):
        given = problem(seed, equity_share=0.55, mandate=MANDATE)
        answer, more = scheme(given), scheme(given._replace(equity_share=0.55 + 1e-6))
        if "least variance" in answer.note:
            continue
        (price,) = (one.multiplier for one in answer.active if one.name == "equity share")
        gain = more.expected_return / more.volatility - answer.expected_return / answer.volatility
        assert gain / 1e-6 * np.sqrt(52) == pytest.approx(price, rel=1e-3, abs=1e-4)
        found += 1
    assert found >= 3
