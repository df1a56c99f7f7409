"""Contributions to risk: they sum, they are derivatives, and groups are sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.analytics.statistics import conditional_value_at_risk
from pas_dagster.risk.contributions import by_group, to_shortfall, to_volatility


def book(seed: int, n: int = 5, periods: int = 120):
    rng = np.random.default_rng(seed)
    x = rng.standard_t(4, (periods, n)) * rng.uniform(0.005, 0.02, n) + rng.normal(0.0, 0.01, (periods, 1))
    return np.maximum(x, -0.9), rng.uniform(-0.5, 1.0, n)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 8))
def test_contributions_to_volatility_sum_to_it_and_are_its_derivatives(seed: int, n: int) -> None:
    x, w = book(seed, n)
    cov = np.cov(x.T, ddof=0).reshape(n, n)
    found = to_volatility(w, cov, periods=252)

    def volatility(weights) -> float:
        return math.sqrt(252.0 * sum(weights[i] * weights[j] * cov[i, j] for i in range(n) for j in range(n)))

    assert found.total == pytest.approx(volatility(w))
    assert found.contribution.sum() == pytest.approx(found.total)
    assert found.share.sum() == pytest.approx(1.0)
    step = 1e-6
    for k in range(n):
        moved = [volatility(w + sign * step * np.eye(n)[k]) for sign in (1.0, -1.0)]
        assert found.marginal[k] == pytest.approx((moved[0] - moved[1]) / 2.0 / step, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.9, 0.95, 0.975]), st.booleans())
def test_contributions_to_the_shortfall_sum_to_it(seed: int, level: float, rounded: bool) -> None:
    x, w = book(seed)
    if rounded:  # many ties at the value at risk
        x, w = np.round(x, 2), np.round(w, 1)
    found = to_shortfall(x, w, level=level)
    assert found.total == pytest.approx(conditional_value_at_risk(x @ w, level=level), abs=1e-12)
    assert found.contribution.sum() == pytest.approx(found.total, abs=1e-12)
    tail = sorted(range(len(x)), key=lambda t: float(x[t] @ w))[: math.floor((len(x) - 1) * (1 - level) + 1e-9) + 1]
    if not rounded:
        for k in range(len(w)):
            mean = sum(x[t, k] for t in tail) / len(tail)
            assert found.marginal[k] == pytest.approx(mean)
            assert found.contribution[k] == pytest.approx(w[k] * mean)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_periods_that_tie_share_the_tail_so_their_order_does_not_matter(seed: int) -> None:
    x, w = book(seed)
    x, w = np.round(x, 2), np.round(w, 1)
    turned = np.random.default_rng(seed).permutation(len(x))
    np.testing.assert_allclose(to_shortfall(x, w).contribution, to_shortfall(x[turned], w).contribution, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 10.0))
def test_the_order_of_the_positions_and_the_size_of_the_book_carry_through(seed: int, factor: float) -> None:
    x, w = book(seed)
    cov = np.cov(x.T)
    for found, turned in (
        (to_volatility(w, cov), to_volatility(factor * w[::-1], cov[::-1, ::-1])),
        (to_shortfall(x, w), to_shortfall(x[:, ::-1], factor * w[::-1])),
    ):
        np.testing.assert_allclose(turned.contribution[::-1], factor * found.contribution, atol=1e-9)
        np.testing.assert_allclose(turned.share[::-1], found.share, atol=1e-9)


def test_a_hedge_has_a_negative_contribution() -> None:
    found = to_volatility([1.0, -0.3], [[0.04, 0.03], [0.03, 0.04]])
    assert found.contribution[0] > found.total and found.contribution[1] < 0.0


def test_equal_risk_of_two_uncorrelated_positions() -> None:
    found = to_volatility([2 / 3, 1 / 3], [[0.01, 0.0], [0.0, 0.04]])
    assert found.share.tolist() == pytest.approx([0.5, 0.5])


def test_groups_are_the_sums_of_their_positions() -> None:
    x, w = book(3)
    found = to_shortfall(x, w)
    labels = ["a", "b", "a", "c", "b"]
    groups = {group.name: group for group in by_group(found, w, labels)}
    assert list(groups) == ["a", "b", "c"]
    for name, group in groups.items():
        members = [k for k, label in enumerate(labels) if label == name]
        assert group.weight == pytest.approx(sum(w[k] for k in members))
        assert group.contribution == pytest.approx(sum(found.contribution[k] for k in members))
    assert sum(group.share for group in groups.values()) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="as many weights and labels"):
        by_group(found, w, ["a"])


def test_a_book_without_risk_says_so_instead_of_dividing_by_zero() -> None:
    for found in (
        to_volatility([0.0, 0.0], np.eye(2)),
        to_volatility([0.5, 0.5], np.zeros((2, 2))),
        to_volatility([1.0, -1.0], np.ones((2, 2)) * 0.04),
        to_shortfall(np.zeros((30, 2)), [0.5, 0.5]),
        to_shortfall(np.full((30, 2), math.nan), [0.5, 0.5]),
    ):
        assert found.status == "none" and found.reason
        assert found.total == 0.0 and not found.share.any() and not found.contribution.any()


def test_only_missing_returns_of_what_is_held_cost_a_period() -> None:
    x, w = book(4)
    x[:50, 1] = math.nan
    w[1] = 0.0
    kept = np.delete(x, 1, axis=1)
    found = to_shortfall(x, w)
    assert found.total == pytest.approx(to_shortfall(kept, np.delete(w, 1)).total)
    assert np.isfinite(found.marginal).all() and found.contribution[1] == 0.0
    w[1] = 0.1
    assert to_shortfall(x, w).total == pytest.approx(to_shortfall(x[50:], w).total)


def test_faults_of_the_call_are_errors() -> None:
    with pytest.raises(ValueError, match="covariance"):
        to_volatility([1.0], np.eye(2))
    with pytest.raises(ValueError, match="not finite"):
        to_volatility([math.nan], [[1.0]])
    with pytest.raises(ValueError, match="positive semidefinite"):
        to_volatility([1.0, -1.0], [[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(ValueError, match="level"):
        to_shortfall([[0.0]], [1.0], level=1.0)
    with pytest.raises(ValueError, match="infinite"):
        to_shortfall([[math.inf]], [1.0])
