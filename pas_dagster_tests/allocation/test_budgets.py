"""Budgets of groups: kept where they can be, the excess in proportion, a named outcome where they cannot."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.allocation import Mandate
from pas_dagster.allocation.budgets import fill, fitted
from pas_dagster.allocation.mean_variance_groups import scheme
from pas_dagster_tests.allocation.problems import GROUPS, problem


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 10**6), groups=st.integers(1, 6))
def test_filled_budgets_keep_the_total_the_limits_and_the_proportions(seed: int, groups: int) -> None:
    rng = np.random.default_rng(seed)
    budgets = rng.dirichlet(np.ones(groups)) * rng.uniform(0.3, 1.0)
    least = rng.uniform(0.0, 0.3, groups) * budgets.sum() * rng.integers(0, 2)
    most = least + rng.uniform(0.0, 1.5, groups) * budgets.sum()
    sums = fill(budgets, least, most)
    if sums is None:
        assert most.sum() < budgets.sum() or least.sum() > budgets.sum()
        return
    assert sums.sum() == pytest.approx(budgets.sum(), abs=1e-9)
    assert (sums >= least - 1e-12).all() and (sums <= most + 1e-12).all()
    free = (sums > least + 1e-9) & (sums < most - 1e-9)
    if free.any():
        factor = (sums[free] / budgets[free])[0]
        np.testing.assert_allclose(sums[free], factor * budgets[free], rtol=1e-9)
        assert (sums[~free & (sums < factor * budgets)] >= most[~free & (sums < factor * budgets)] - 1e-9).all()


def test_the_policy_portfolio_keeps_50_25_25_when_it_can() -> None:
    given = problem(1)
    answer = scheme(given)
    sums = [answer.weights[given.group == g].sum() for g in range(3)]
    np.testing.assert_allclose(sums, [0.5, 0.25, 0.25], atol=1e-12)
    assert answer.note == ""
    assert {one.name for one in answer.active if one.name.startswith("budget")} == {
        "budget of group bonds",
        "budget of group equities",
        "budget of group other",
    }


def test_a_group_without_an_eligible_sleeve_leaves_its_budget_to_the_others_in_proportion() -> None:
    mandate = Mandate(
        groups={**GROUPS, "gone": "gold"}, budgets={"bonds": 0.4, "equities": 0.2, "gold": 0.2, "other": 0.2}
    )
    given = problem(1, mandate=mandate)
    answer = scheme(given)
    assert answer.status == "optimal"
    sums = [answer.weights[given.group == g].sum() for g in (0, 1, 3)]
    np.testing.assert_allclose(sums, [0.5, 0.25, 0.25], atol=1e-12)
    assert "gold 0 % instead of 20 %" in answer.note and "bonds 50 % instead of 40 %" in answer.note


def test_a_group_that_its_bounds_cannot_fill_keeps_what_they_can_hold() -> None:
    mandate = Mandate(groups={"a": "bonds", "b": "equities"}, budgets={"bonds": 0.5, "equities": 0.3})
    given = problem(1, mandate=mandate)
    answer = scheme(given)  # at most 40 % in a: 10 % go to the others, 3 to 2
    assert answer.weights[0] == pytest.approx(0.4)
    assert answer.weights[1] == pytest.approx(0.36)
    assert answer.weights[2:].sum() == pytest.approx(0.24)


def test_what_no_budget_covers_is_cash_when_every_sleeve_has_a_group() -> None:
    given = problem(1, mandate=Mandate(groups=GROUPS, budgets={"bonds": 0.4, "equities": 0.2, "other": 0.2}))
    assert given.groups == ("bonds", "equities", "other")
    assert scheme(given).weights.sum() == pytest.approx(0.8, abs=1e-12)


def test_budgets_that_cannot_be_held_at_all_are_named() -> None:
    given = problem(1)
    assert fitted(given._replace(upper=0.1)).reason == "the largest weights of 8 assets sum to 0.8, less than 1"
    assert (
        fitted(given._replace(lower=0.2, upper=0.4)).reason
        == "the smallest weights of 8 assets sum to 1.6, more than 1"
    )
    assert scheme(given._replace(upper=0.1)).status == "infeasible"
