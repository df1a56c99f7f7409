"""Outlier filter, mean and Ledoit-Wolf covariance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf as sklearn_ledoit_wolf

from pas_dagster.allocation.estimators import MAD_TO_SIGMA, ledoit_wolf, sample_mean, winsorise


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
