"""Attribution: effects and contributions sum to what they explain, in a period and linked over time."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pas_dagster.analytics.attribution import RUINED, UNKNOWN, brinson, carino, contributions, grouped
from pas_dagster.analytics.statistics import total_return

NAN = float("nan")
SEEDS = st.integers(0, 10**6)


def world(seed: int, periods: int = 12, groups: int = 5):
    """Weights that sum to 1 and returns of a portfolio and a benchmark."""
    rng = np.random.default_rng(seed)
    w, v = rng.dirichlet(np.ones(groups), (2, periods))
    r, b = rng.normal(0.002, 0.08, (2, periods, groups))
    return w, np.maximum(r, -0.9), v, np.maximum(b, -0.9)


def names(count: int) -> list[str]:
    return [f"group {i}" for i in range(count)]


# ------------------------------------------------------------------------------------------------- effects


def test_one_period_by_hand():
    """Benchmark 0.6 x 0.05 + 0.4 x 0.01 = 0.034; portfolio 0.8 x 0.06 + 0.2 x 0.02 = 0.052."""
    rows = ([0.8, 0.2], [0.06, 0.02], [0.6, 0.4], [0.05, 0.01])
    found = brinson(["equity", "bonds"], *(np.array([row]) for row in rows))
    np.testing.assert_allclose(found.allocation, [[0.2 * 0.016, -0.2 * -0.024]], atol=1e-15)
    np.testing.assert_allclose(found.selection, [[0.006, 0.004]], atol=1e-15)
    np.testing.assert_allclose(found.interaction, [[0.002, -0.002]], atol=1e-15)
    assert found.active[0] == pytest.approx(0.018)
    assert found.total == pytest.approx(0.018)
    np.testing.assert_allclose(found.linked.sum(axis=0), (found.allocation + found.selection + found.interaction)[0])


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_the_effects_of_a_period_sum_to_its_active_return(seed):
    w, r, v, b = world(seed)
    found = brinson(names(5), w, r, v, b)
    total = (found.allocation + found.selection + found.interaction).sum(axis=1)
    np.testing.assert_allclose(total, (w * r).sum(axis=1) - (v * b).sum(axis=1), rtol=0, atol=1e-15)
    np.testing.assert_allclose(found.active, total, rtol=0, atol=1e-15)


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.integers(1, 60))
def test_linked_effects_sum_to_the_compounded_active_return(seed, periods):
    w, r, v, b = world(seed, periods)
    found = brinson(names(5), w, r, v, b)
    active = total_return((w * r).sum(axis=1)) - total_return((v * b).sum(axis=1))
    assert found.total == pytest.approx(active, rel=1e-12, abs=1e-14)
    assert found.linked.sum() == pytest.approx(active, rel=1e-10, abs=1e-13)
    assert found.reason == ""


def test_unlinked_effects_do_not_sum_over_time():
    w, r, v, b = world(3, 24)
    found = brinson(names(5), w, r, v, b)
    assert abs(found.active.sum() - found.total) > 1e-3


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.permutations(range(5)))
def test_groups_in_another_order_have_the_same_effects(seed, order):
    w, r, v, b = world(seed)
    found = brinson(names(5), w, r, v, b)
    other = brinson(names(5), *(table[:, order] for table in (w, r, v, b)))
    np.testing.assert_allclose(other.linked, found.linked[:, order], rtol=1e-9, atol=1e-14)


def test_the_benchmark_itself_has_no_effects():
    _, _, v, b = world(4)
    found = brinson(names(5), v, b, v, b)
    assert not found.linked.any()
    assert found.total == 0.0


def test_a_group_that_is_not_held_has_allocation_only():
    found = brinson(["a", "b"], *(np.array([row]) for row in ([1.0, 0.0], [0.05, NAN], [0.5, 0.5], [0.05, 0.01])))
    assert found.selection[0, 1] == found.interaction[0, 1] == 0.0
    assert found.allocation[0, 1] == pytest.approx(-0.5 * (0.01 - 0.03))
    assert found.allocation.sum() == pytest.approx(found.total)


def test_a_group_outside_the_benchmark_is_allocation():
    found = brinson(["a", "b"], *(np.array([row]) for row in ([0.5, 0.5], [0.05, 0.09], [1.0, 0.0], [0.05, NAN])))
    assert found.allocation[0, 1] == pytest.approx(0.5 * (0.09 - 0.05))
    assert found.selection[0, 1] == found.interaction[0, 1] == 0.0
    assert found.linked.sum() == pytest.approx(0.02)


def test_a_group_that_nobody_holds_needs_no_return():
    found = brinson(["a", "b"], *(np.array([row]) for row in ([1.0, 0.0], [0.05, NAN], [1.0, 0.0], [0.04, NAN])))
    assert found.reason == ""
    assert found.linked[:, 1].tolist() == [0.0, 0.0, 0.0]


def test_a_held_group_without_return_is_a_reason_and_no_number():
    w, r, v, b = world(5)
    r[3, 2] = NAN
    found = brinson(names(5), w, r, v, b)
    assert found.reason == UNKNOWN
    assert np.isnan(found.linked).all()
    assert math.isnan(found.total)
    assert np.isnan(found.active).tolist() == [t == 3 for t in range(12)]


def test_a_lost_account_cannot_be_linked():
    rows = ([1.0, 0.0], [-1.0, 0.0], [0.5, 0.5], [0.1, 0.0])
    found = brinson(["a", "b"], *(np.array([row]) for row in rows))
    assert found.reason == RUINED
    assert np.isnan(found.linked).all()
    assert found.total == pytest.approx(-1.05)


def test_weights_must_have_the_same_sum():
    w, r, v, b = world(6)
    with pytest.raises(ValueError, match="same sum"):
        brinson(names(5), w * 0.9, r, v, b)
    with pytest.raises(ValueError, match="must be"):
        brinson(names(4), w, r, v, b)


@settings(deadline=None)
@given(st.floats(-0.99, 3.0), st.floats(-0.99, 3.0))
def test_carinos_factor_turns_a_difference_into_logarithms(portfolio, benchmark):
    assume(abs(portfolio - benchmark) > 1e-3)
    factor = carino(np.array([portfolio]), np.array([benchmark]))[0]
    expected = math.log(1 + portfolio) - math.log(1 + benchmark)
    assert factor * (portfolio - benchmark) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(st.floats(-0.9, 3.0), st.floats(-1e-6, 1e-6))
def test_carinos_factor_has_no_jump_where_the_returns_meet(benchmark, gap):
    factor = carino(np.array([benchmark + gap]), np.array([benchmark]))[0]
    assert factor == pytest.approx(1 / (1 + benchmark), rel=2e-5)


# ------------------------------------------------------------------------------------------- contributions


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.integers(1, 60))
def test_contributions_sum_to_the_return_of_the_account(seed, periods):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(4), periods)[:, :3]
    returns, cash = rng.normal(0.0, 0.05, (periods, 3)), np.full(periods, 0.0005)
    costs = rng.uniform(0.0, 0.002, periods)
    found = contributions(["a", "b", "c"], shares, returns, cash, costs)
    account = (shares * returns).sum(axis=1) + (1 - shares.sum(axis=1)) * cash - costs
    np.testing.assert_allclose(found.periods.sum(axis=1), account, rtol=0, atol=1e-15)
    np.testing.assert_allclose(found.returns, account, rtol=0, atol=1e-15)
    assert found.total == pytest.approx(total_return(account), rel=1e-12, abs=1e-15)
    assert found.linked.sum() == pytest.approx(found.total, rel=1e-10, abs=1e-14)
    assert found.names == ("a", "b", "c", "cash", "cost")
    assert (found.periods[:, 4] <= 0.0).all()


def test_pitfall_12_contributions_are_of_simple_returns():
    """Half in a name that doubles and half in one that halves earns 25 %; log returns would say 0."""
    found = contributions(["a", "b"], np.array([[0.5, 0.5]]), np.array([[1.0, -0.5]]), np.zeros(1), np.zeros(1))
    assert found.total == pytest.approx(0.25)
    assert np.log([2.0, 0.5]) @ [0.5, 0.5] == pytest.approx(0.0)


def test_contributions_need_the_returns_of_what_is_held_only():
    shares, returns = np.array([[0.5, 0.0], [0.5, 0.5]]), np.array([[0.1, NAN], [0.1, 0.2]])
    zeros = np.zeros(2)
    assert contributions(["a", "b"], shares, returns, zeros, zeros).reason == ""
    fully_invested = contributions(["a", "b"], shares[1:], returns[1:], np.array([NAN]), np.zeros(1))
    assert fully_invested.reason == ""  # nothing in cash, so its return does not matter
    unknown = contributions(["a", "b"], shares[::-1], returns, zeros, zeros)
    assert unknown.reason == UNKNOWN
    assert np.isnan(unknown.linked).all()
    with pytest.raises(ValueError, match="must be"):
        contributions(["a"], shares, returns, zeros, zeros)
    with pytest.raises(ValueError, match="must be"):
        contributions(["a", "b"], shares, returns, zeros[:1], zeros)


# -------------------------------------------------------------------------------------------------- groups


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_sectors_have_the_return_of_their_members(seed):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(6), 8)
    returns = rng.normal(0.0, 0.05, (8, 6))
    groups, total, means = grouped(weights, returns, ["x", "y", "x", "z", "y", "x"])
    assert groups == ("x", "y", "z")
    np.testing.assert_allclose(total.sum(axis=1), 1.0)
    np.testing.assert_allclose((total * means).sum(axis=1), (weights * returns).sum(axis=1), atol=1e-15)
    np.testing.assert_allclose(means[:, 2], returns[:, 3])


def test_a_sector_without_weight_has_no_return_and_one_that_cancels_out_is_refused():
    groups, total, means = grouped(np.array([[0.0, 1.0]]), np.array([[NAN, 0.1]]), ["a", "b"])
    assert (groups, total.tolist(), means[0, 1]) == (("a", "b"), [[0.0, 1.0]], 0.1)
    assert math.isnan(means[0, 0])
    with pytest.raises(ValueError, match="cancel"):
        grouped(np.array([[0.5, -0.5]]), np.zeros((1, 2)), ["a", "a"])
    with pytest.raises(ValueError, match="must be"):
        grouped(np.zeros((1, 2)), np.zeros((1, 2)), ["a"])
