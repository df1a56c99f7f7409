"""Hierarchical risk parity: published weights, the tree of scipy, bounds, and a plain version of the recipe."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import linkage, to_tree
from scipy.spatial.distance import squareform

from pas_dagster.allocation.hierarchical_risk_parity import hierarchical_risk_parity, leaf_order, scheme
from pas_dagster.allocation.problem import make_problem
from pas_dagster_tests.allocation.problems import problem

# Of the twenty stocks in PyPortfolioOpt's tests (MIT licence).
WEIGHTS = {
    "AAPL": 0.022258941278778387,
    "AMD": 0.022294021796692116,
    "AMZN": 0.016086842079874982,
    "BABA": 0.07963382071794088,
    "BAC": 0.014409222455552267,
    "BBY": 0.03406419438245041,
    "FB": 0.06272994714663536,
    "GE": 0.05519063444162851,
    "GM": 0.055576660241857236,
    "GOOG": 0.04956008428992926,
    "JPM": 0.017675709092515715,
    "MA": 0.038127373497320226,
    "PFE": 0.07786528342813452,
    "RRC": 0.03161528695094598,
    "SBUX": 0.039844436656239136,
    "SHLD": 0.027113184241298872,
    "T": 0.11138956508836473,
    "UAA": 0.027115909570750083,
    "WMT": 0.10569551148587902,
    "XOM": 0.11175337115721229,
}


@pytest.mark.shared
def test_twenty_stocks_of_pyportfolioopt(quant_data: Path) -> None:
    prices = pd.read_csv(quant_data / "pypfopt" / "stock_prices.csv", index_col="date", parse_dates=True)
    returns = prices.pct_change(fill_method=None).dropna(how="all")
    found = hierarchical_risk_parity(returns.cov().to_numpy(), returns.corr().to_numpy())
    np.testing.assert_allclose(found, [WEIGHTS[name] for name in prices.columns], rtol=0, atol=5e-15)
    mean, cov = returns.mean().to_numpy() * 252, returns.cov().to_numpy() * 252
    gain, spread = mean @ found, np.sqrt(found @ cov @ found)
    assert (gain, spread, (gain - 0.02) / spread) == pytest.approx((0.213534, 0.178442, 1.084579), abs=6e-7)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 25))
def test_the_row_is_that_of_the_tree_of_scipy(seed: int, n: int) -> None:
    x = np.random.default_rng(seed).normal(size=(40, n)) + np.random.default_rng(seed + 1).normal(size=(40, 1))
    distance = np.sqrt((1.0 - np.corrcoef(x.T)) / 2.0)
    np.fill_diagonal(distance, 0.0)
    tree = to_tree(linkage(squareform(distance, checks=False), "single"), rd=False)
    assert leaf_order(distance) == tree.pre_order()


def plain(cov: np.ndarray, order: list[int]) -> np.ndarray:
    """The recipe as published: lists of clusters, each halved until every one is alone."""
    weights, rows = np.ones(len(cov)), [order]
    while rows:
        halves = [(row[: len(row) // 2], row[len(row) // 2 :]) for row in rows if len(row) > 1]
        for left, right in halves:
            risk = []
            for side in (left, right):
                inverse = np.array([1.0 / cov[i, i] for i in side])
                inverse /= inverse.sum()
                risk.append(
                    sum(inverse[a] * inverse[b] * cov[i, j] for a, i in enumerate(side) for b, j in enumerate(side))
                )
            weights[left] *= risk[1] / sum(risk)
            weights[right] *= risk[0] / sum(risk)
        rows = [half for pair in halves for half in pair]
    return weights


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 14))
def test_the_halvings_are_those_of_the_published_recipe(seed: int, n: int) -> None:
    cov = np.atleast_2d(problem(seed, n).cov)
    sigma = np.sqrt(np.diag(cov))
    order = leaf_order(np.sqrt(np.clip((1.0 - cov / np.outer(sigma, sigma)) / 2.0, 0.0, 1.0)))
    found = hierarchical_risk_parity(cov)
    np.testing.assert_allclose(found, plain(cov, order), rtol=1e-12)
    assert found.sum() == pytest.approx(1.0, abs=1e-14) and (found > 0.0).all()


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 14), single=st.booleans())
def test_bounds_hold_exactly_however_narrow_they_are(seed: int, n: int, single: bool) -> None:
    rng = np.random.default_rng(seed)
    inside = rng.dirichlet(np.ones(n))
    low, high = (inside, inside) if single else (inside * rng.random(n), inside + rng.random(n) * (1.0 - inside))
    cov = problem(seed, n).cov
    found = hierarchical_risk_parity(cov, None, low, high)
    assert (found >= low).all() and (found <= high).all() and found.sum() == pytest.approx(1.0, abs=1e-12)
    free = hierarchical_risk_parity(cov)
    if (free >= low).all() and (free <= high).all():
        np.testing.assert_allclose(found, free, atol=1e-14)


def test_uncorrelated_assets_in_halves_are_weighted_by_inverse_variance() -> None:
    variance = np.array([0.01, 0.02, 0.04, 0.08])
    np.testing.assert_allclose(hierarchical_risk_parity(np.diag(variance)), (1 / variance) / (1 / variance).sum())


def test_the_bounds_that_bind_are_named_and_have_no_price() -> None:
    cov = np.diag([0.01, 0.04, 0.04, 0.36])
    answer = scheme(make_problem(("a", "b", "c", "d"), np.zeros((2, 4)), np.zeros(4), cov, lower=0.05, upper=0.6))
    assert [(one.name, one.multiplier) for one in answer.active] == [
        ("upper max_weight of a", None),
        ("lower min_weight of d", None),
    ]
    assert answer.weights[[0, 3]].tolist() == [0.6, 0.05] and answer.weights.sum() == pytest.approx(1.0, abs=1e-15)


def test_means_play_no_part_and_unusable_covariances_are_an_outcome() -> None:
    given = problem(5)
    assert (scheme(given._replace(mean=-given.mean)).weights == scheme(given).weights).all()
    broken = given.cov.copy()
    broken[0, 0] = 0.0
    assert scheme(given._replace(cov=broken)).status == "failed"
