"""Dynamic allocation: less risk and less invested as a crisis grows likely."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.allocation import Mandate, Policy, allocate
from pas_dagster.allocation.dynamic import scheme, views
from pas_dagster.allocation.min_variance import scheme as min_variance
from pas_dagster_tests.allocation.problems import frame, problem

PROBABILITIES = [None, 0.0, 0.1, 0.25, 0.5, 0.8, 1.0]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), target=st.sampled_from([0.03, 0.08, 0.5]), drift=st.sampled_from([-0.01, 0.003]))
def test_a_likelier_crisis_never_raises_the_invested_share_or_the_risk(seed: int, target: float, drift: float) -> None:
    policy = Policy(target_volatility=target, no_trade_band=0.0)
    answers = [allocate(frame(seed, drift=drift), {}, policy, "dynamic", crisis=p) for p in PROBABILITIES]
    assert all(answer.status == "optimal" for answer in answers)
    invested = [math.fsum(answer.weights.values()) for answer in answers]
    risks = [answer.volatility or 0.0 for answer in answers]
    assert invested[0] == invested[1] and answers[0].weights == answers[1].weights
    for i in range(1, len(invested)):
        assert invested[i] <= invested[i - 1] + 1e-12
        assert risks[i] <= risks[i - 1] * (1 + 1e-9)
    assert invested[-1] == pytest.approx(0.5 * invested[0])


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), low=st.sampled_from([0.02, 0.08]), leverage=st.sampled_from([1.0, 1.5]))
def test_nor_with_smallest_weights_or_leverage(seed: int, low: float, leverage: float) -> None:
    policy = Policy(min_weight=low, no_trade_band=0.0, target_volatility=0.12, max_leverage=leverage)
    calm = allocate(frame(seed), {}, policy, "dynamic")
    if calm.status != "optimal":
        return
    for p in PROBABILITIES[1:]:
        answer = allocate(frame(seed), {}, policy, "dynamic", crisis=p)
        assert answer.status == "optimal"
        assert math.fsum(answer.weights.values()) <= math.fsum(calm.weights.values()) + 1e-9
        assert min(answer.weights.values()) >= low - 1e-9


def test_a_certain_crisis_holds_the_mix_of_least_variance() -> None:
    given = problem(3, crisis=1.0)
    answer = scheme(given)
    np.testing.assert_allclose(answer.weights / answer.weights.sum(), min_variance(given).weights, atol=1e-9)


def test_without_a_crisis_probability_the_note_says_that_it_counts_as_calm() -> None:
    assert "not known, counted as calm" in scheme(problem(3)).note
    assert scheme(problem(3, crisis=0.3)).note.startswith("crisis probability 30 %")


def test_momentum_moves_the_expected_returns_by_volatility_times_skill() -> None:
    given = problem(4)
    change = views(given) - (given.mean - given.risk_free)
    sigma = np.sqrt(given.cov.diagonal())
    best, worst = given.momentum.argmax(), given.momentum.argmin()
    assert change[best] == pytest.approx(0.05 * sigma[best])
    assert change[worst] == pytest.approx(-0.05 * sigma[worst])
    bolder = given._replace(mandate=Mandate(momentum_skill=1.0))
    assert scheme(bolder).weights[best] >= scheme(given).weights[best] - 1e-9


@pytest.mark.parametrize("crisis", [math.nan, -0.1, 1.2, math.inf])
def test_an_unusable_crisis_probability_counts_as_not_known_and_is_logged(crisis: float) -> None:
    answer = allocate(frame(1), {}, Policy(), "dynamic", crisis=crisis)
    assert answer.weights == allocate(frame(1), {}, Policy(), "dynamic").weights
    assert any(step.name == "crisis" and "unusable" in step.note for step in answer.steps)
