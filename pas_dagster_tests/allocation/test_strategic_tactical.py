"""The strategic mix under budgets and bounds, and the bounded momentum tilt around it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from pas_dagster.allocation import Mandate
from pas_dagster.allocation.strategic import scheme as strategic
from pas_dagster.allocation.tactical import scheme as tactical
from pas_dagster_tests.allocation.problems import MANDATE, problem


def test_without_a_mix_every_sleeve_has_the_same_share() -> None:
    np.testing.assert_allclose(strategic(problem(mandate=Mandate())).weights, 1 / 8, atol=1e-15)


def test_a_mix_that_meets_everything_is_held_as_it_is() -> None:
    mix = {"a": 0.35, "b": 0.25, "c": 0.2, "d": 0.2}
    answer = strategic(problem(mandate=Mandate(mix=mix)))
    np.testing.assert_allclose(answer.weights[:4], list(mix.values()), atol=1e-12)
    assert not answer.weights[4:].any()


def test_a_sleeve_that_drops_out_leaves_its_share_in_proportion() -> None:
    given = problem(sleeves=3, mandate=Mandate(mix={"a": 0.3, "b": 0.1, "c": 0.2, "gone": 0.4}))
    np.testing.assert_allclose(strategic(given._replace(upper=1.0)).weights, [0.5, 1 / 6, 1 / 3], atol=1e-12)


def test_no_sleeve_of_the_mix_is_a_value() -> None:
    for scheme in (strategic, tactical):
        answer = scheme(problem(mandate=Mandate(mix={"gone": 1.0})))
        assert (answer.status, answer.reason) == ("infeasible", "no sleeve of the strategic mix is eligible")


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), high=st.sampled_from([0.2, 0.3, 0.6]), low=st.sampled_from([0.0, 0.04]))
def test_nothing_that_meets_the_limits_is_nearer_to_the_mix(seed: int, high: float, low: float) -> None:
    rng = np.random.default_rng(seed)
    mix = dict(zip("abcdefgh", rng.dirichlet(np.ones(8)).tolist(), strict=True))
    mandate = Mandate(mix=mix, groups=MANDATE.groups, budgets={"bonds": 0.5, "equities": 0.3})
    given = problem(seed, mandate=mandate)._replace(lower=low, upper=high)
    answer = strategic(given)
    assert answer.status == "optimal"
    for g, budget in enumerate([0.5, 0.3, 0.2]):
        assert answer.weights[given.group == g].sum() == pytest.approx(budget, abs=1e-9)
    aim = np.array(list(mix.values()))
    theirs = minimize(
        lambda w: 10 * ((w - aim) ** 2).sum(),
        answer.weights * 0.5 + 0.5 / 8,
        bounds=[(low, high)] * 8,
        constraints=[
            {"type": "eq", "fun": lambda w, g=g, b=b: w[given.group == g].sum() - b}
            for g, b in enumerate([0.5, 0.3, 0.2])
        ],
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 500},
    )
    assert 10 * ((answer.weights - aim) ** 2).sum() <= theirs.fun + 1e-8


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    tilt=st.sampled_from([0.0, 0.01, 0.05, 0.5]),
    high=st.sampled_from([0.25, 0.4]),
    low=st.sampled_from([0.0, 0.03]),
)
def test_a_tilt_stays_within_its_limit_and_moves_nothing_between_groups(
    seed: int, tilt: float, high: float, low: float
) -> None:
    mandate = Mandate(mix=MANDATE.mix, groups=MANDATE.groups, budgets=MANDATE.budgets, tilt=tilt)
    given = problem(seed, mandate=mandate)._replace(lower=low, upper=high)
    base, answer = strategic(given), tactical(given)
    assert base.status == answer.status == "optimal"
    assert np.abs(answer.weights - base.weights).max() <= tilt + 1e-12
    assert answer.weights.min() >= low and answer.weights.max() <= high
    for g in range(3):
        own = given.group == g
        assert answer.weights[own].sum() == pytest.approx(base.weights[own].sum(), abs=1e-9)


def test_the_strongest_gains_and_the_weakest_loses() -> None:
    given = problem(1, mandate=Mandate())
    change = tactical(given).weights - strategic(given).weights
    assert change[given.momentum.argmax()] == pytest.approx(0.05)
    assert change[given.momentum.argmin()] == pytest.approx(-0.05)
    assert np.corrcoef(change, given.momentum)[0, 1] > 0.8


def test_equal_momentum_is_the_strategic_mix() -> None:
    given = problem(2)._replace(momentum=np.full(8, 0.03))
    np.testing.assert_allclose(tactical(given).weights, strategic(given).weights, atol=1e-12)


def test_what_binds_a_tilt_is_called_a_tilt() -> None:
    # The weakest but one is not held and cannot give anything; what it keeps, all others give, and the weakest may not.
    given = problem(1, mandate=Mandate(mix={"a": 0.38, "b": 0.3, "c": 0.3, "d": 0.02}, tilt=0.03))
    given = given._replace(momentum=np.array([-1.0, 0.4, 0.5, 0.6, -0.9, 0.7, 0.8, 0.9]))
    called = {one.name for one in tactical(given).active}
    assert {"lower tilt of a", "lower min_weight of e"} <= called
