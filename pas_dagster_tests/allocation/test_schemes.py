"""What holds for every scheme: one form of answer, limits, permutations, scales, no NaN, residuals."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.allocation import SCHEMES, Mandate, Policy
from pas_dagster.allocation.problem import Answer, Problem, make_problem
from pas_dagster.allocation.schemes import scheme_called
from pas_dagster_tests.allocation.problems import MANDATE, problem

EVERY = pytest.mark.parametrize("name", SCHEMES)
FULLY_INVESTED = {"max_sharpe", "risk_parity", "min_variance", "strategic", "tactical", "robust_min_max"} | {
    "hierarchical_risk_parity",
    "black_litterman",
}


def check(answer: Answer, given: Problem) -> None:
    """What an answer has to be."""
    n = len(given.names)
    assert answer.weights.shape == (n,)
    if answer.status != "optimal":
        assert answer.reason and "\n" not in answer.reason
        assert np.isnan(answer.weights).all() and answer.active == ()
        return
    assert answer.reason == ""
    w = answer.weights
    assert np.isfinite([*w, answer.expected_return, answer.volatility, answer.residual]).all()
    assert answer.residual <= 1e-8
    assert (w >= np.zeros(n) + given.lower - 1e-12).all()
    assert (w <= np.zeros(n) + given.upper + 1e-12).all()
    assert w.sum() <= 1.0 + 1e-9
    assert answer.volatility == pytest.approx(math.sqrt(w @ given.cov @ w), rel=1e-9)
    cash = (1.0 - w.sum()) * given.risk_free
    assert answer.expected_return == pytest.approx(w @ given.mean + cash, rel=1e-9, abs=1e-12)
    for one in answer.active:
        assert one.multiplier is None or math.isfinite(one.multiplier)
        assert one.multiplier is None or one.multiplier >= 0.0 or not one.name.startswith(("lower", "upper"))


@EVERY
@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    sleeves=st.integers(1, 12),
    low=st.sampled_from([0.0, 0.02, 0.08]),
    high=st.sampled_from([0.15, 0.4, 1.0]),
    drift=st.sampled_from([-0.01, 0.0, 0.003, 0.01]),
    crisis=st.sampled_from([None, 0.0, 0.3, 1.0]),
)
def test_bounds_sum_and_optimality_hold_and_nothing_is_nan(
    name: str, seed: int, sleeves: int, low: float, high: float, drift: float, crisis: float | None
) -> None:
    policy = Policy(min_weight=low, max_weight=high, risk_free=0.02)
    mandate = MANDATE if seed % 2 else Mandate()
    given = problem(seed, sleeves, policy, drift, crisis=crisis, mandate=mandate)
    answer = SCHEMES[name](given)
    check(answer, given)
    if answer.status == "optimal" and name in FULLY_INVESTED:
        assert answer.weights.sum() == pytest.approx(1.0, abs=1e-9)


@EVERY
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), low=st.sampled_from([0.0, 0.03]))
def test_the_order_of_the_sleeves_does_not_matter(name: str, seed: int, low: float) -> None:
    given = problem(seed, 9, Policy(min_weight=low, max_weight=0.3), crisis=0.4)
    order = np.random.default_rng(seed).permutation(9)
    moved = given._replace(
        names=tuple(given.names[i] for i in order),
        returns=given.returns[:, order],
        mean=given.mean[order],
        cov=given.cov[np.ix_(order, order)],
        previous=given.previous[order],
        base=given.base[order],
        group=given.group[order],
        equity=given.equity[order],
        momentum=given.momentum[order],
    )
    first, second = SCHEMES[name](given), SCHEMES[name](moved)
    assert first.status == second.status
    if first.status == "optimal":
        np.testing.assert_allclose(second.weights, first.weights[order], atol=1e-8)
        named = {one.name for one in first.active if one.multiplier is not None and abs(one.multiplier) > 1e-6}
        assert named <= {one.name for one in second.active}


@EVERY
@pytest.mark.parametrize("factor", [1e-3, 0.5, 20.0])
def test_the_unit_of_returns_does_not_matter_to_a_scheme_without_risk_aversion(name: str, factor: float) -> None:
    # Mean and volatility in another unit. A utility weighs them against each other, so it is rescaled with them.
    for seed in range(4):
        given = problem(seed, 8)._replace(target=math.inf)
        mandate = Mandate(
            **{field: getattr(given.mandate, field) for field in ("mix", "groups", "budgets", "equity")},
            risk_aversion=given.mandate.risk_aversion / factor,
            views=tuple(replace(view, expected=view.expected * factor) for view in given.mandate.views),
        )
        scaled = given._replace(
            mean=given.mean * factor, cov=given.cov * factor**2, risk_free=given.risk_free * factor, mandate=mandate
        )
        first, second = SCHEMES[name](given), SCHEMES[name](scaled)
        assert first.status == second.status
        np.testing.assert_allclose(second.weights, first.weights, atol=1e-7)


@EVERY
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_unusable_numbers_never_raise_and_never_become_weights(name: str, bad: float) -> None:
    given = problem(3)
    for field in ("mean", "cov"):
        broken = getattr(given, field).copy()
        broken.flat[0] = bad
        with np.errstate(all="ignore"):
            answer = SCHEMES[name](given._replace(**{field: broken}))
        assert answer.status != "optimal" or np.isfinite(answer.weights).all()


@EVERY
def test_the_same_problem_gives_the_same_bits(name: str) -> None:
    given = problem(11, crisis=0.5)
    answers = [SCHEMES[name](given) for _ in range(3)]
    assert len({answer.weights.tobytes() for answer in answers}) == 1
    assert len({answer.active for answer in answers}) == 1


@EVERY
def test_pitfall_9_too_few_sleeves_for_the_cap_is_a_named_outcome(name: str) -> None:
    given = problem(2, 3, Policy(max_weight=0.25), equity_share=0.9)
    answer = SCHEMES[name](given)
    if name == "glide_path":  # it may hold cash: what the bounds cannot hold
        assert answer.status == "optimal" and answer.weights.sum() == pytest.approx(0.6)
        return
    assert answer.status == "infeasible"
    assert answer.reason == "the largest weights of 3 assets sum to 0.75, less than 1"


@EVERY
def test_pitfall_1_no_positive_mean_is_a_value_not_an_exception(name: str) -> None:
    given = problem(4, drift=-0.06)
    assert (given.mean < 0).all()
    answer = SCHEMES[name](given)
    if name in {"max_sharpe", "robust_min_max"}:
        assert answer.status == "infeasible" and "positive excess return" in answer.reason
    else:  # these are not about means, or say what they do instead
        assert answer.status == "optimal"


def test_max_sharpe_is_the_first_and_the_default() -> None:
    assert next(iter(SCHEMES)) == "max_sharpe"
    assert set(SCHEMES) == {
        "max_sharpe",
        "risk_parity",
        "min_variance",
        "strategic",
        "tactical",
        "dynamic",
        "robust_min_max",
        "mean_variance_groups",
        "glide_path",
        "hierarchical_risk_parity",
        "black_litterman",
    }


def test_a_scheme_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no scheme 'guess'"):
        scheme_called("guess")


def test_a_sleeve_alone_gets_everything_it_may() -> None:
    x = np.array([[0.01], [0.02], [0.015]])
    alone = make_problem(("a",), x, x.mean(axis=0), np.array([[1e-5]]), equity_share=0.7)
    for name, scheme in SCHEMES.items():
        assert scheme(alone).weights.tolist() == [0.7 if name == "glide_path" else 1.0], name
