"""Black-Litterman: the published example, Bayes' rule written another way, and what views do."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize

from pas_dagster.allocation import Mandate, Policy, allocate
from pas_dagster.allocation.black_litterman import (
    View,
    absolute,
    equilibrium_returns,
    optimal_weights,
    posterior,
    relative,
    scheme,
)
from pas_dagster.allocation.explain import retell
from pas_dagster.allocation.problem import Problem, make_problem
from pas_dagster.allocation.views import NamedView
from pas_dagster_tests.allocation.problems import frame, problem

# He and Litterman (1999), tables 1 and 2: Australia, Canada, France, Germany, Japan, the United Kingdom, the USA.
MARKET = np.array([1.6, 2.2, 5.2, 5.5, 11.6, 12.4, 61.5]) / 100
VOLATILITY = np.array([16.0, 20.3, 24.8, 27.1, 21.0, 20.0, 18.7]) / 100
BELOW = [
    [0.488],
    [0.478, 0.664],
    [0.515, 0.655, 0.861],
    [0.439, 0.310, 0.355, 0.354],
    [0.512, 0.608, 0.783, 0.777, 0.405],
    [0.491, 0.779, 0.668, 0.653, 0.306, 0.652],
]
AVERSION, TAU = 2.5, 0.05
GERMANY = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
EUROPE = MARKET * np.array([0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0])


def countries() -> np.ndarray:
    """Their covariance."""
    correlation = np.eye(7)
    for row, values in enumerate(BELOW, start=1):
        correlation[row, :row] = correlation[:row, row] = values
    return correlation * np.outer(VOLATILITY, VOLATILITY)


def sample(seed: int, n: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(0.0, 0.02, (4 * n, n)) + rng.normal(0.0, 0.01, (4 * n, 1))
    return rng.normal(0.003, 0.002, n), np.cov(x.T)


def test_equilibrium_returns_of_he_and_litterman() -> None:
    found = equilibrium_returns(countries(), MARKET, AVERSION)
    np.testing.assert_allclose(found * 100, [3.9, 6.9, 8.4, 9.0, 4.3, 6.8, 7.6], atol=0.05)


def test_the_view_of_he_and_litterman_that_germany_beats_the_rest_of_europe() -> None:
    cov = countries()
    prior = equilibrium_returns(cov, MARKET, AVERSION)
    found = posterior(prior, cov, [relative(GERMANY, EUROPE, 0.05)], TAU)
    np.testing.assert_allclose(found.mean * 100, [4.3, 7.6, 9.3, 11.0, 4.5, 7.0, 8.1], atol=0.051)
    weights = optimal_weights(found, AVERSION)
    np.testing.assert_allclose(weights * 100, [1.5, 2.1, -4.0, 35.4, 11.0, -9.5, 58.6], atol=0.051)
    # Only the portfolio of the view is added to the market's, as the paper's intuition has it.
    change = weights * (1.0 + TAU) - MARKET
    assert np.abs(change[[0, 1, 4, 6]]).max() < 1e-12
    assert change[2] / change[5] == pytest.approx(5.2 / 12.4)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 3), tau=st.sampled_from([0.01, 0.05, 1.0]))
def test_the_posterior_is_bayes_rule_with_precisions(seed: int, count: int, tau: float) -> None:
    prior, cov = sample(seed)
    rng = np.random.default_rng(seed + 1)
    views = [View(rng.normal(size=5), rng.normal(0.0, 0.01), rng.uniform(1e-6, 1e-4)) for _ in range(count)]
    P, Q = np.array([v.pick for v in views]), np.array([v.expected for v in views])
    sure, precise = np.linalg.inv(tau * cov), np.diag([1.0 / v.variance for v in views])
    uncertain = np.linalg.inv(sure + P.T @ precise @ P)
    found = posterior(prior, cov, views, tau)
    np.testing.assert_allclose(found.mean, uncertain @ (sure @ prior + P.T @ precise @ Q), rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(found.cov, cov + uncertain, rtol=1e-7, atol=1e-12)


def test_without_views_the_market_is_optimal() -> None:
    cov = countries()
    found = posterior(equilibrium_returns(cov, MARKET, AVERSION), cov, [], TAU)
    np.testing.assert_allclose(optimal_weights(found, AVERSION) * (1.0 + TAU), MARKET, atol=1e-14)


def test_a_certain_view_comes_true_a_doubtful_one_changes_nothing_and_an_expected_one_neither() -> None:
    prior, cov = sample(3)
    certain = posterior(prior, cov, [absolute(5, 2, 0.02, 0.0)])
    assert certain.mean[2] == pytest.approx(0.02) and (certain.mean != prior).all()
    np.testing.assert_allclose(posterior(prior, cov, [absolute(5, 2, 0.02, 1e9)]).mean, prior, atol=1e-12)
    np.testing.assert_allclose(posterior(prior, cov, [absolute(5, 2, prior[2])]).mean, prior, atol=1e-15)


def test_what_is_no_view_is_refused() -> None:
    prior, cov = sample(4)
    for bad in (View(np.zeros(5), 0.01), View(np.ones(4), 0.01), absolute(5, 0, 0.01, -1.0)):
        with pytest.raises(ValueError, match="a view needs a portfolio of 5 assets and a variance of at least 0"):
            posterior(prior, cov, [bad])


# ---------------------------------------------------------------------------------------------------- the scheme


def viewed(seed: int, *views: NamedView, low: float = 0.0, high: float = 0.4, **more: Any) -> Problem:
    """A problem of random weeks whose bounds hold the strategic mix, with some views."""
    mandate = Mandate(mix={"a": 0.3, "b": 0.2, "c": 0.1, "d": 0.1, "e": 0.1, "f": 0.1, "g": 0.1}, views=views, **more)
    return problem(seed, policy=Policy(min_weight=low, max_weight=high, risk_free=0.02), mandate=mandate)


def after_views(task: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Annual excess returns and covariance after the views, with precisions and for a mix within the bounds."""
    cov, tau = task.cov * 52, task.mandate.tau
    prior = task.mandate.risk_aversion * cov @ task.base
    precision, pull = np.linalg.inv(tau * cov), np.linalg.inv(tau * cov) @ prior
    for view in task.mandate.views:
        pick = np.array([(name == view.sleeve) - (name == view.below) for name in task.names], float)
        excess = view.expected - (0.02 if view.below is None else 0.0)
        weight = view.confidence / (1 - view.confidence) / (tau * pick @ cov @ pick)
        precision = precision + weight * np.outer(pick, pick)
        pull = pull + weight * excess * pick
    uncertain = np.linalg.inv(precision)
    return uncertain @ pull, cov + uncertain


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    expected=st.floats(-0.1, 0.3),
    more=st.floats(-0.2, 0.2),
    confidence=st.sampled_from([0.05, 0.5, 0.95]),
    limits=st.sampled_from([(0.0, 0.4), (0.0, 0.3), (0.0, 1.0)]),
)
def test_no_portfolio_within_the_bounds_has_a_larger_sharpe_ratio_after_the_views(
    seed: int, expected: float, more: float, confidence: float, limits: tuple[float, float]
) -> None:
    views = NamedView("a", None, expected, confidence), NamedView("b", "h", more, 0.7)
    task = viewed(seed, *views, low=limits[0], high=limits[1])
    mean, cov = after_views(task)
    answer = scheme(task)

    def sharpe(w: np.ndarray) -> float:
        return float(mean @ w / np.sqrt(w @ cov @ w))

    theirs = minimize(
        lambda w: -sharpe(w),
        np.full(8, 1 / 8),
        bounds=[limits] * 8,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0},
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 500},
    )
    if answer.status == "infeasible":
        assert -theirs.fun <= 1e-9 and answer.reason.startswith("with the views no ")
        return
    assert answer.status == "optimal" and answer.residual <= 1e-8
    assert answer.weights.sum() == pytest.approx(1.0, abs=1e-9)
    assert answer.weights.min() >= limits[0] and answer.weights.max() <= limits[1]
    assert sharpe(answer.weights) >= -theirs.fun - 1e-7


def test_the_scheme_of_he_and_litterman_holds_their_weights_in_proportion_where_no_bound_binds() -> None:
    names = ("australia", "canada", "germany", "japan", "kingdom", "usa")
    some = [0, 1, 3, 4, 5, 6]
    cov, market = countries()[np.ix_(some, some)] / 52, MARKET[some] / MARKET[some].sum()
    mandate = Mandate(
        mix=dict(zip(names, market.tolist(), strict=True)),
        views=(NamedView("germany", "kingdom", 0.03),),
        risk_aversion=AVERSION,
    )
    answer = scheme(make_problem(names, np.zeros((2, 6)), np.zeros(6), cov, mandate=mandate))
    prior = equilibrium_returns(cov * 52, market, AVERSION)
    german, british = np.eye(6)[2], np.eye(6)[4]
    free = optimal_weights(posterior(prior, cov * 52, [relative(german, british, 0.03)], TAU), AVERSION)
    assert free.min() > 0.0
    np.testing.assert_allclose(answer.weights, free / free.sum(), atol=1e-9)
    assert answer.active == ()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), low=st.sampled_from([0.0, 0.05]), high=st.sampled_from([0.15, 0.25, 1.0]))
def test_without_views_it_is_the_strategic_mix_as_near_as_the_bounds_allow(seed: int, low: float, high: float) -> None:
    task = viewed(seed, low=low, high=high)
    answer = scheme(task)
    assert answer.note == "no views, so the strategic mix as near as the bounds allow"
    shift = brentq(lambda shift: np.clip(task.base + shift, low, high).sum() - 1.0, -1.0, 1.0, xtol=1e-15)
    np.testing.assert_allclose(answer.weights, np.clip(task.base + shift, low, high), atol=1e-9)
    if (low, high) == (0.0, 1.0):
        np.testing.assert_allclose(answer.weights, task.base, atol=1e-14)


@pytest.mark.parametrize("high", [0.15, 0.4])
def test_a_view_that_expects_the_equilibrium_changes_no_more_than_its_being_better_known(high: float) -> None:
    plain = scheme(viewed(5, high=high)).weights
    task = viewed(5, high=high)
    excess = equilibrium_returns(task.cov, plain, task.mandate.risk_aversion) * 52
    agreed = NamedView("c", "a", float(excess[2] - excess[0]), 0.9)
    for tau, most in ((0.05, 0.02), (1e-6, 1e-5)):
        after = scheme(viewed(5, agreed, high=high, tau=tau))
        np.testing.assert_allclose(after.weights, plain, atol=most)
        found = re.search(r"c above a .*? from (\S+) % to (\S+) %", after.note)
        assert found and found[1] == found[2]


def test_more_is_held_of_what_more_is_expected_of_and_the_more_so_the_surer() -> None:
    def held(expected: float, confidence: float) -> float:
        return float(scheme(viewed(8, NamedView("d", None, expected, confidence), high=1.0)).weights[3])

    rising = [held(expected, 0.5) for expected in (0.02, 0.03, 0.06, 0.12)]
    assert (np.diff(rising) > 0.02).all()
    surer = [held(0.06, confidence) for confidence in (0.01, 0.3, 0.6, 0.9)]
    assert (np.diff(surer) > 0.02).all()


def test_the_confidence_is_how_far_a_view_alone_moves_what_is_expected() -> None:
    for confidence in (0.1, 0.5, 0.9):
        answer = scheme(viewed(2, NamedView("d", "e", 0.2, confidence)))
        found = re.search(r"d above e \(20 % expected, .*?\) from (\S+) % to (\S+) %", answer.note)
        assert found
        before, after = map(float, found.groups())
        assert (after - before) / (20.0 - before) == pytest.approx(confidence, abs=1e-3)


def test_a_view_of_cash_included_is_compared_with_returns_of_cash_included() -> None:
    task = viewed(2, NamedView("d", None, 0.2, 0.99))
    found = re.search(r"d \(20 % expected, confidence 99 %\) from (\S+) % to (\S+) %", scheme(task).note)
    assert found
    prior = 100 * (5.0 * 52 * (task.cov @ task.base)[3] + 0.02)
    assert float(found[1]) == pytest.approx(prior, rel=1e-3)
    assert float(found[2]) == pytest.approx(prior + 0.99 * (20.0 - prior), rel=1e-3)


def test_a_view_of_a_sleeve_that_does_not_take_part_is_left_out_and_said() -> None:
    usual, gone = NamedView("a", None, 0.2), NamedView("gone", "a", 0.1)
    both, one = scheme(viewed(4, usual, gone)), scheme(viewed(4, usual))
    np.testing.assert_array_equal(both.weights, one.weights)
    assert both.note == f"{one.note}; left out because not all of its sleeves take part: gone above a"
    none = scheme(viewed(4, gone))
    np.testing.assert_array_equal(none.weights, scheme(viewed(4)).weights)
    assert none.note.endswith("allow; left out because not all of its sleeves take part: gone above a")


def test_views_that_leave_nothing_to_gain_and_a_mix_without_a_sleeve_are_values() -> None:
    gloom = tuple(NamedView(name, None, -0.5, 0.99) for name in "abcdefgh")
    answer = scheme(viewed(1, *gloom))
    assert answer.status == "infeasible"
    assert answer.reason.startswith("with the views no asset has a positive excess return")
    lost = scheme(problem(1, mandate=Mandate(mix={"gone": 1.0}, views=gloom[:1])))
    assert (lost.status, lost.reason) == ("infeasible", "no sleeve of the strategic mix is eligible")


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0, 1e200])
def test_covariances_that_give_a_view_no_variance_are_a_value(bad: float) -> None:
    task = viewed(1, NamedView("a", None, 0.2), NamedView("a", "b", 0.1))
    cov = task.cov.copy()
    cov[:2, :2] = bad
    with np.errstate(all="ignore"):
        answer = scheme(task._replace(cov=cov))
    assert answer.status == "failed" and answer.reason


def test_the_story_of_the_week_tells_the_views_and_what_they_moved() -> None:
    mandate = Mandate(views=(NamedView("a", None, 0.3, 0.8), NamedView("gone", None, 0.1)))
    told = retell(allocate(frame(9, weeks=12), {}, Policy(), "black_litterman", mandate).log_rows())
    assert re.search(
        r"\nExpected returns a year with the views: a \(30 % expected, confidence 80 %\) from \S+ % to \S+ %; "
        r"the strategic mix from \S+ % to \S+ %; left out because not all of its sleeves take part: gone\.\n",
        told,
    )
