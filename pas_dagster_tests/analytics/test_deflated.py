"""The probabilistic and the deflated Sharpe ratio: published answers, simulation and limits."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.analytics.statistics import (
    SharpeMoments,
    deflated_sharpe,
    expected_maximum,
    probabilistic_sharpe,
    sharpe_moments,
)

NAN = float("nan")
PAPER = SharpeMoments(2.5 / math.sqrt(250), 1250, -3.0, 10.0)  # Bailey and López de Prado 2014, the example
NORMAL = SharpeMoments(0.1, 101, 0.0, 3.0)


def test_the_example_of_the_paper():
    assert expected_maximum(100, 0.5 / 250) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(PAPER, trials=100, variance=0.5 / 250) == pytest.approx(0.9004, abs=5e-5)


def test_normal_returns_by_hand():
    # 0.1 * sqrt(100) / sqrt(1 + 0.1^2 / 2) = 0.9975093, whose normal probability comes from the error function
    expected = 0.5 * (1.0 + math.erf(1.0 / math.sqrt(1.005) / math.sqrt(2.0)))
    assert probabilistic_sharpe(NORMAL) == pytest.approx(expected, abs=1e-14)
    assert probabilistic_sharpe(NORMAL, 0.1) == 0.5
    assert deflated_sharpe(NORMAL, trials=1, variance=0.3) == pytest.approx(expected, abs=1e-14)


def test_moments_of_a_small_series_by_hand():
    # mean 1, deviations -1 -1 -1 3: variance 3 (n) or 4 (n - 1), third moment 6, fourth 21
    moments = sharpe_moments([0.0, 0.0, NAN, 0.0, 4.0])
    assert moments == pytest.approx((0.5, 4, 6 / 3**1.5, 21 / 9), abs=1e-14)
    dates = pd.date_range("2024-01-01", periods=5)
    book, cash = pd.Series([1.0, 1.0, 1.0, 5.0, 9.0], index=dates), pd.Series(1.0, index=dates[:4])
    assert sharpe_moments(book, risk_free=cash) == pytest.approx(moments, abs=1e-14)
    assert sharpe_moments([1.0, 1.0, 1.0, 5.0], risk_free=1.0) == pytest.approx(moments, abs=1e-14)
    assert sharpe_moments([1.0, 1.0, 1.0, 5.0], risk_free=[1.0] * 4) == pytest.approx(moments, abs=1e-14)


def test_what_cannot_be_said_is_nan():
    for silent in ([], [0.1], [0.1, 0.1, 0.1], [NAN, NAN]):
        assert math.isnan(sharpe_moments(silent).sharpe)
        assert math.isnan(probabilistic_sharpe(sharpe_moments(silent)))
        assert math.isnan(deflated_sharpe(sharpe_moments(silent), trials=3, variance=0.1))
    assert math.isnan(deflated_sharpe(NORMAL, trials=3, variance=NAN))
    assert math.isnan(probabilistic_sharpe(SharpeMoments(1.0, 10, 2.0, 5.0)))  # 1 - 2 + 1: no spread


@settings(deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=40))
def test_every_series_has_a_probability_or_none(returns):
    probability = probabilistic_sharpe(sharpe_moments(returns))
    assert math.isnan(probability) or 0.0 <= probability <= 1.0


@settings(deadline=None)
@given(st.integers(1, 5000), st.floats(1e-6, 1.0))
def test_more_trials_and_more_spread_ask_for_more(trials, variance):
    assert expected_maximum(trials, variance) < expected_maximum(trials + 1, variance)
    assert expected_maximum(trials, variance) <= expected_maximum(trials, variance * 2)
    assert expected_maximum(trials, 4 * variance) == pytest.approx(2 * expected_maximum(trials, variance))
    few, many = (deflated_sharpe(PAPER, trials=n, variance=variance) for n in (trials, trials + 1))
    assert many <= few


def test_several_books_at_once():
    table = np.random.default_rng(9).normal(0.001, 0.01, (200, 3))
    table[:150, 1] = NAN
    table[:, 2] = 0.01
    found = sharpe_moments(table, risk_free=0.0002)
    alone = [sharpe_moments(column, risk_free=0.0002) for column in table.T]
    np.testing.assert_allclose(np.array(found).T, np.array(alone), rtol=1e-12)
    chances = deflated_sharpe(found, trials=5, variance=0.01)
    expected = [deflated_sharpe(one, trials=5, variance=0.01) for one in alone]
    np.testing.assert_allclose(np.asarray(chances), expected, rtol=1e-12)
    assert math.isnan(expected[2])


def test_pitfall_19_the_best_of_many_without_skill_is_not_believed():
    """The best of a hundred books of noise looks good alone, and not once the trials are counted."""
    noise = np.random.default_rng(4).normal(0.0, 0.01, (1000, 100))
    ratios = sharpe_moments(noise)
    best = sharpe_moments(noise[:, int(np.argmax(ratios.sharpe))])
    variance = float(np.var(ratios.sharpe, ddof=1))
    assert probabilistic_sharpe(best) > 0.95
    assert deflated_sharpe(best, trials=100, variance=variance) < 0.7


def test_one_trial_selects_nothing():
    assert expected_maximum(1, 0.7) == 0.0
    assert expected_maximum(1, NAN) == 0.0  # the variance of one ratio
    assert expected_maximum(50, 0.0) == 0.0


@pytest.mark.parametrize("trials", [5, 20, 200])
def test_the_expected_maximum_is_that_of_simulated_trials(trials):
    best = np.random.default_rng(trials).normal(0.0, 0.05, (20_000, trials)).max(axis=1).mean()
    assert expected_maximum(trials, 0.05**2) == pytest.approx(best, rel=0.03)


def test_the_probability_of_returns_without_skill_is_uniform():
    rng = np.random.default_rng(3)
    skewed = rng.exponential(0.01, (1500, 300)) - 0.01
    found = np.array([probabilistic_sharpe(sharpe_moments(row)) for row in skewed])
    for level in (0.1, 0.5, 0.9):
        assert np.mean(found <= level) == pytest.approx(level, abs=0.04)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: expected_maximum(0, 0.1), "at least one trial"),
        (lambda: expected_maximum(3, -0.1), "variance >= 0"),
        (lambda: probabilistic_sharpe(SharpeMoments(0.1, 100, 0.0, 0.0)), "excess kurtosis"),
        (lambda: sharpe_moments([0.1, math.inf]), "infinite"),
    ],
)
def test_nonsense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
