"""Outlier filter, mean and Ledoit-Wolf covariance."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import OAS
from sklearn.covariance import ledoit_wolf as sklearn_ledoit_wolf

from pas_dagster.allocation.estimators import (
    MAD_TO_SIGMA,
    annual_rate,
    annual_volatility,
    constant_correlation,
    covariance,
    ewma,
    ledoit_wolf,
    sample_mean,
    single_factor,
    winsorise,
)


@pytest.mark.parametrize("shape", [(12, 20), (52, 20), (12, 2), (12, 1), (3, 30), (2, 5)])
@pytest.mark.parametrize("seed", range(5))
def test_ledoit_wolf_is_sklearns(shape: tuple[int, int], seed: int) -> None:
    x = np.random.default_rng(seed).normal(0.002, 0.02, shape)
    cov, shrinkage = ledoit_wolf(x)
    expected, expected_shrinkage = sklearn_ledoit_wolf(x)
    np.testing.assert_allclose(cov, expected, rtol=0.0, atol=1e-15)
    # The intensity is a ratio of differences of rounded sums.
    assert shrinkage == pytest.approx(expected_shrinkage, abs=1e-12)


def test_ledoit_wolf_reproduces_the_example_of_the_scikit_learn_documentation() -> None:
    # scikit-learn, class LedoitWolf: X ~ N(0, [[.4, .2], [.2, .8]]), seed 0, 50 samples. The page cuts
    # the digits off ("0.4406...") and does not round them.
    x = np.random.RandomState(0).multivariate_normal(mean=[0, 0], cov=[[0.4, 0.2], [0.2, 0.8]], size=50)
    assert (np.trunc(ledoit_wolf(x)[0] * 1e4) / 1e4).tolist() == [[0.4406, 0.1616], [0.1616, 0.8022]]


def test_ledoit_wolf_of_a_scaled_return_is_scaled_but_levering_one_sleeve_moves_the_others(returns) -> None:
    cov, shrinkage = ledoit_wolf(returns)
    scaled, same = ledoit_wolf(returns * 3.0)
    assert same == pytest.approx(shrinkage, rel=1e-12)
    np.testing.assert_allclose(scaled, 9.0 * cov, rtol=1e-12)
    levered = returns.copy()
    levered[:, 0] *= 5.0
    assert ledoit_wolf(levered)[1] != pytest.approx(shrinkage, abs=0.05)


def test_ledoit_wolf_of_constant_returns_is_zero() -> None:
    cov, shrinkage = ledoit_wolf(np.full((12, 3), 0.25))
    assert not cov.any()
    assert shrinkage == 0.0


def test_sample_mean(returns) -> None:
    np.testing.assert_allclose(sample_mean(returns), returns.mean(axis=0), rtol=0, atol=1e-17)


@pytest.mark.parametrize("week", range(12))
@pytest.mark.parametrize("jump", [-0.5, 0.3])
def test_a_planted_outlier_fires_in_twelve_weeks(returns, week: int, jump: float) -> None:
    planted = returns.copy()
    planted[week, 3] = jump
    clean, changed = winsorise(planted)
    assert changed[week, 3]
    rest = np.delete(returns[:, 3], week)
    assert abs(clean[week, 3] - np.median(rest)) < 0.12
    # A z-score cannot reach the same limit among twelve observations.
    z = (planted - planted.mean(axis=0)) / planted.std(axis=0, ddof=1)
    assert np.abs(z).max() < 11 / np.sqrt(12) + 1e-12 < 3.5


@pytest.mark.parametrize(("weeks", "bound"), [(12, 3.175), (10, 2.846)])
def test_pitfall_5_no_z_score_of_a_dozen_weeks_reaches_a_limit_that_the_median_passes_with_ease(weeks, bound) -> None:
    x = np.full((weeks, 1), 0.001) * np.resize([1.0, -1.0], (weeks, 1))
    x[4] = 0.5
    assert abs((x - x.mean()) / x.std(ddof=1)).max() == pytest.approx(bound, abs=5e-3)
    clean, changed = winsorise(x)
    assert changed[:, 0].tolist() == [week == 4 for week in range(weeks)]
    assert clean[4, 0] < 0.01


def test_winsorise_clips_to_the_limit_and_keeps_the_rest() -> None:
    x = np.array([[0.0], [0.01], [0.02], [0.03], [0.04], [1.0], [-1.0]])
    clean, changed = winsorise(x, k=2.0)
    limit = 2.0 * MAD_TO_SIGMA * 0.02
    assert changed[:, 0].tolist() == [False] * 5 + [True, True]
    np.testing.assert_allclose(clean[5:, 0], [0.02 + limit, 0.02 - limit], rtol=1e-15)
    np.testing.assert_array_equal(clean[:5], x[:5])


def test_winsorise_leaves_a_column_without_scale_alone() -> None:
    x = np.zeros((12, 1))
    x[4] = 0.5
    clean, changed = winsorise(x)
    np.testing.assert_array_equal(clean, x)
    assert not changed.any()


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), k=st.floats(0.5, 6.0), weeks=st.integers(3, 30))
def test_winsorise_stays_within_its_limits_and_never_writes_to_its_input(seed: int, k: float, weeks: int) -> None:
    x = np.random.default_rng(seed).standard_t(2, (weeks, 4))
    before = x.copy()
    clean, changed = winsorise(x, k)
    np.testing.assert_array_equal(x, before)
    centre = np.median(x, axis=0)
    limit = k * MAD_TO_SIGMA * np.median(np.abs(x - centre), axis=0)
    assert (np.abs(clean - centre) <= limit * (1 + 1e-12) + 1e-15).all()
    np.testing.assert_array_equal(clean[~changed], x[~changed])
    assert not np.shares_memory(clean, x)


def test_constant_correlation_is_that_of_the_paper_term_by_term() -> None:
    # Ledoit and Wolf (2004), appendix B, written out in loops.
    x = np.random.default_rng(3).normal(0.0, 0.02, (15, 4)) @ np.array(
        [[1, 0.5, 0, 0.2], [0, 1, 0.3, 0], [0, 0, 2, 0.1], [0, 0, 0, 0.5]]
    )
    T, n = x.shape
    d = x - x.mean(axis=0)
    S = d.T @ d / T
    r = np.mean([S[i, j] / np.sqrt(S[i, i] * S[j, j]) for i in range(n) for j in range(n) if i != j])
    F = np.array([[S[i, j] if i == j else r * np.sqrt(S[i, i] * S[j, j]) for j in range(n)] for i in range(n)])

    def pi(i: int, j: int) -> float:
        return sum((d[t, i] * d[t, j] - S[i, j]) ** 2 for t in range(T)) / T

    def theta(k: int, i: int, j: int) -> float:
        return sum((d[t, k] ** 2 - S[k, k]) * (d[t, i] * d[t, j] - S[i, j]) for t in range(T)) / T

    total = sum(pi(i, j) for i in range(n) for j in range(n))
    rho = sum(pi(i, i) for i in range(n)) + sum(
        r / 2 * (np.sqrt(S[j, j] / S[i, i]) * theta(i, i, j) + np.sqrt(S[i, i] / S[j, j]) * theta(j, i, j))
        for i in range(n)
        for j in range(n)
        if i != j
    )
    delta = min(1.0, max(0.0, (total - rho) / ((F - S) ** 2).sum() / T))
    cov, shrinkage = constant_correlation(x)
    assert 0.0 < delta < 1.0
    assert shrinkage == pytest.approx(delta, rel=1e-12)
    np.testing.assert_allclose(cov, delta * F + (1 - delta) * S, rtol=1e-12)


@pytest.mark.shared
def test_the_intensities_of_pyportfolioopt_on_its_own_prices(quant_data: Path) -> None:
    pypfopt = pytest.importorskip("pypfopt")
    prices = pd.read_csv(quant_data / "pypfopt" / "stock_prices.csv", index_col="date", parse_dates=True)
    peer = pypfopt.CovarianceShrinkage(prices)
    filled = np.nan_to_num(peer.X.to_numpy())  # it takes missing returns for zeros
    assert ledoit_wolf(filled)[1] == pytest.approx(0.00625610, abs=5e-9)
    peer.ledoit_wolf("constant_correlation")
    assert peer.delta == pytest.approx(0.01795506, abs=5e-9)
    # That number mixes a pairwise covariance (ddof 1) with moments of the zero-filled returns. From one and the same
    # covariance its formula gives what ours does.
    peer.S = np.cov(filled.T, ddof=0)
    peer.ledoit_wolf("constant_correlation")
    cov, shrinkage = constant_correlation(filled)
    assert shrinkage == pytest.approx(peer.delta, rel=1e-10)
    np.testing.assert_allclose(cov, peer._ledoit_wolf_constant_correlation()[0], rtol=1e-10, atol=1e-18)
    fresh = pypfopt.CovarianceShrinkage(prices)
    fresh.ledoit_wolf("single_factor")
    assert fresh.delta == pytest.approx(0.01850689, abs=5e-9)
    fresh.S = np.cov(filled.T, ddof=0)
    fresh.ledoit_wolf("single_factor")
    assert single_factor(filled)[1] == pytest.approx(fresh.delta, rel=1e-10)
    assert OAS().fit(filled).shrinkage_ == pytest.approx(0.00206396, abs=5e-9)  # on demand, from the library


def test_single_factor_is_that_of_the_peer_on_any_returns() -> None:
    pypfopt = pytest.importorskip("pypfopt")
    x = np.random.default_rng(3).normal(0.001, 0.02, (40, 6)) + np.random.default_rng(4).normal(0, 0.01, (40, 1))
    peer = pypfopt.CovarianceShrinkage(pd.DataFrame(x), returns_data=True, frequency=1)
    peer.S = np.cov(x.T, ddof=0)
    wanted = peer._ledoit_wolf_single_factor()
    cov, shrinkage = single_factor(x)
    assert shrinkage == pytest.approx(wanted[1], rel=1e-10)
    np.testing.assert_allclose(cov, wanted[0], rtol=1e-10)


def test_pitfall_6_levering_one_sleeve_leaves_the_variances_of_the_others_alone_with_constant_correlation(
    returns,
) -> None:
    levered = returns * np.array([5.0] + [1.0] * 9)
    calm = ledoit_wolf(levered)[0].diagonal()[1:] / ledoit_wolf(returns)[0].diagonal()[1:]
    assert calm.max() > 1.1
    variances = constant_correlation(levered)[0].diagonal()[1:] / constant_correlation(returns)[0].diagonal()[1:]
    np.testing.assert_allclose(variances, 1.0, rtol=1e-12)


@pytest.mark.parametrize("kind", ["ledoit_wolf", "constant_correlation", "single_factor", "ewma"])
def test_every_covariance_scales_permutes_and_has_an_intensity_between_0_and_1(kind, returns) -> None:
    cov, shrinkage = covariance(kind, returns)
    assert 0.0 <= shrinkage <= 1.0
    np.testing.assert_array_equal(cov, cov.T)
    scaled, same = covariance(kind, returns * 1e-3)
    np.testing.assert_allclose(scaled, 1e-6 * cov, rtol=1e-12)
    assert same == pytest.approx(shrinkage, rel=1e-10)
    order = np.random.default_rng(1).permutation(10)
    np.testing.assert_allclose(
        covariance(kind, returns[:, order])[0], cov[np.ix_(order, order)], rtol=1e-11, atol=1e-18
    )


def test_pitfall_4_twelve_weeks_of_twenty_sleeves_have_no_free_money_under_any_covariance(rng) -> None:
    x = rng.normal(0.002, 0.02, (12, 20)) + rng.normal(0.0, 0.01, (12, 1))
    assert np.linalg.matrix_rank(np.cov(x.T)) == 11
    for kind in ("ledoit_wolf", "ewma"):
        assert np.linalg.cond(covariance(kind, x)[0]) < 100
    assert np.linalg.eigvalsh(covariance("constant_correlation", x)[0])[0] > 0.0


def test_ewma_before_shrinkage_is_that_of_pandas_and_with_decay_1_it_is_ledoit_wolf(returns) -> None:
    cov, shrinkage = ewma(returns, 0.9)
    raw = pd.DataFrame(returns).ewm(alpha=0.1, adjust=True).cov(bias=True).loc[11].to_numpy()
    target = np.eye(10) * raw.trace() / 10
    np.testing.assert_allclose(cov, shrinkage * target + (1 - shrinkage) * raw, rtol=1e-12)
    flat, same = ewma(returns, 1.0)
    np.testing.assert_allclose(flat, ledoit_wolf(returns)[0], rtol=1e-12, atol=1e-18)
    assert same == pytest.approx(ledoit_wolf(returns)[1], rel=1e-10)


def test_ewma_weighs_the_newest_week_most(returns) -> None:
    early, late = returns.copy(), returns.copy()
    early[0, 0], late[11, 0] = 0.3, 0.3
    assert ewma(late, 0.8)[0][0, 0] > 2.0 * ewma(early, 0.8)[0][0, 0]


@pytest.mark.parametrize("kind", ["ledoit_wolf", "constant_correlation", "ewma"])
def test_one_sleeve_is_not_shrunk(kind, returns) -> None:
    cov, shrinkage = covariance(kind, returns[:, :1], 1.0)
    assert shrinkage == 0.0 and cov[0, 0] == pytest.approx(returns[:, 0].var())


def test_pitfall_11_a_week_is_annualised_with_52_in_one_place() -> None:
    assert annual_rate(0.01) == 0.52
    assert annual_volatility(np.array([1.0]), np.array([[0.0001]])) == pytest.approx(0.01 * np.sqrt(52))


def test_pitfall_12_the_mean_is_arithmetic_not_logarithmic() -> None:
    x = np.array([[0.5], [-0.5]])
    assert sample_mean(x).tolist() == [0.0]
    assert np.log1p(x).mean() < -0.14  # what a logarithmic mean would say, and no portfolio of it is linear
