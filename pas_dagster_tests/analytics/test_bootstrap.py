"""The stationary bootstrap: its blocks, its coverage, pairing, and what has no interval."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.analytics import bootstrap as module
from pas_dagster.analytics import statistics as stats
from pas_dagster.analytics.bootstrap import TOO_FEW, UNDEFINED, interval, paired_difference, stationary_rows

NAN = float("nan")
mean = partial(np.mean, axis=0)


# --------------------------------------------------------------------------------------------------- rows


def test_blocks_follow_on_and_have_the_mean_length_asked_for():
    rows = stationary_rows(500, count=400, block=8.0, seed=1)
    assert rows.shape == (400, 500)
    follows = (rows[:, 1:] - rows[:, :-1]) % 500 == 1
    assert follows.mean() == pytest.approx(1 - 1 / 8 + 1 / 8 / 500, abs=0.003)
    lengths = np.diff(np.flatnonzero(~follows.ravel()))
    assert np.mean(lengths == 1) == pytest.approx(1 / 8, abs=0.01)  # geometric


def test_every_row_is_as_likely_as_any_other():
    rows = stationary_rows(50, count=4000, block=5.0, seed=2)
    counts = np.bincount(rows.ravel(), minlength=50) / rows.size
    np.testing.assert_allclose(counts, 1 / 50, rtol=0.05)
    ends = np.bincount(rows[:, -1], minlength=50) / 4000  # no row is rarer at the end: it is a circle
    np.testing.assert_allclose(ends, 1 / 50, atol=0.01)


def test_a_resample_does_not_go_on_where_the_one_before_ended():
    rows = stationary_rows(50, count=4000, block=50.0, seed=2)
    follows = (rows[1:, 0] - rows[:-1, -1]) % 50 == 1
    assert follows.mean() == pytest.approx(1 / 50, abs=0.01)


def test_the_variance_of_the_resampled_mean_is_that_of_politis_and_romano():
    """Rows i apart are of one block with probability (1 - p)^i, and then as far apart in the series, on its circle."""
    x = np.cumsum(np.random.default_rng(3).normal(0.0, 1.0, 60)) * 0.1
    x -= x.mean()
    n, p = len(x), 1 / 6
    covariances = np.array([x @ np.roll(x, lag) for lag in range(n)]) / n
    weights = [(1 - i / n) * (1 - p) ** i for i in range(1, n)]
    expected = (covariances[0] + 2 * np.dot(weights, covariances[1:])) / n
    found = x[stationary_rows(n, count=40_000, block=6.0, seed=4)].mean(axis=1).var()
    assert found == pytest.approx(expected, rel=0.03)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.floats(1.0, 50.0), st.integers(0, 10**6))
def test_rows_are_rows(periods, count, block, seed):
    rows = stationary_rows(periods, count=count, block=block, seed=seed)
    assert rows.shape == (count, periods)
    assert rows.min() >= 0
    assert rows.max() < periods
    np.testing.assert_array_equal(rows, stationary_rows(periods, count=count, block=block, seed=seed))


def test_the_default_block_grows_with_the_cube_root():
    assert [module.block_length(n) for n in (1, 27, 520, 2520)] == [1.0, 3.0, 8.0, 14.0]


# ----------------------------------------------------------------------------------------------- intervals


def test_the_same_seed_gives_the_same_interval_and_another_a_like_one():
    x = np.random.default_rng(5).normal(0.002, 0.02, 520)
    first, again, other = (interval(stats.sharpe, x, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert other != first
    assert other.low == pytest.approx(first.low, abs=0.1 * (first.high - first.low))
    assert first.low < first.estimate < first.high
    assert first.estimate == stats.sharpe(x)


def test_an_interval_of_the_mean_is_that_of_theory():
    x = np.random.default_rng(6).normal(0.0, 1.0, 400)
    found = interval(mean, x, seed=3, block=1.0, count=20_000)
    half = 1.959964 * x.std() / math.sqrt(400)
    assert (found.low, found.high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.03 * half)


def test_a_95_percent_interval_holds_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(7)
    held = 0
    for seed in range(200):
        found = interval(mean, rng.normal(0.1, 1.0, 200), seed=seed, count=400, block=1.0)
        held += found.low <= 0.1 <= found.high
    assert 0.89 <= held / 200 <= 0.99


def test_blocks_see_the_autocorrelation_that_single_rows_miss():
    noise = np.random.default_rng(8).normal(0.0, 1.0, 1001)
    x = noise[1:] + 0.9 * noise[:-1]
    single, blocks = (interval(mean, x, seed=1, block=length) for length in (1.0, 20.0))
    assert blocks.high - blocks.low > 1.2 * (single.high - single.low)


def test_a_missing_period_is_left_out_of_all_series():
    rng = np.random.default_rng(9)
    x, cash = rng.normal(0.0, 0.02, (2, 100))
    holed, late = x.copy(), cash.copy()
    holed[10], late[90:] = NAN, NAN
    keep = np.r_[0:10, 11:90]
    ratio = lambda book, rate: stats.sharpe(book, risk_free=rate)  # noqa: E731
    assert interval(ratio, holed, late, seed=1) == interval(ratio, x[keep], cash[keep], seed=1)


def test_blocks_of_work_do_not_show(monkeypatch):
    x = np.random.default_rng(10).normal(0.0, 0.02, 90)
    expected = interval(stats.sharpe, x, seed=1, count=500)
    monkeypatch.setattr(module, "_BLOCK", 1000)
    assert interval(stats.sharpe, x, seed=1, count=500)[:3] == pytest.approx(expected[:3], rel=1e-12)


def test_what_has_no_interval_says_why():
    for short in ([], [0.1], [NAN, 0.1]):
        found = interval(stats.sharpe, short, seed=1)
        assert found.reason == TOO_FEW
        assert math.isnan(found.low)
    flat = interval(stats.sharpe, np.full(50, 0.01), seed=1)
    assert flat.reason == UNDEFINED
    assert math.isnan(flat.estimate)
    assert math.isnan(flat.high)
    assert paired_difference(stats.sharpe, [0.1], [0.2], seed=1).reason == TOO_FEW
    undefined = paired_difference(stats.sharpe, np.full(50, 0.01), np.arange(50.0) / 1000, seed=1)
    assert undefined.reason == UNDEFINED
    assert math.isnan(undefined.probability)


# ----------------------------------------------------------------------------------------------- differences


def test_pairing_sees_a_small_edge_that_two_intervals_do_not():
    rng = np.random.default_rng(11)
    second = rng.normal(0.001, 0.02, 520)
    first = second + 0.0005 + rng.normal(0.0, 0.001, 520)
    alone = [interval(stats.sharpe, book, seed=1) for book in (first, second)]
    assert alone[0].low < alone[1].high
    found = paired_difference(stats.sharpe, first, second, seed=1)
    assert found.low > 0.0
    assert found.probability > 0.99
    assert found.estimate == pytest.approx(stats.sharpe(first) - stats.sharpe(second))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_the_two_sides_mirror_each_other(seed):
    first, second = np.random.default_rng(seed).normal(0.0, 0.02, (2, 60))
    one = paired_difference(stats.sharpe, first, second, seed=seed, count=200)
    other = paired_difference(stats.sharpe, second, first, seed=seed, count=200)
    assert one.probability + other.probability == pytest.approx(1.0)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), rel=1e-9, abs=1e-12)


def test_a_book_against_itself_is_even():
    x = np.random.default_rng(12).normal(0.0, 0.02, 60)
    found = paired_difference(stats.sharpe, x, x, seed=1)
    assert (found.estimate, found.low, found.high, found.probability) == (0.0, 0.0, 0.0, 0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stationary_rows(0, count=1, block=1.0, seed=1), "at least one"),
        (lambda: stationary_rows(5, count=0, block=1.0, seed=1), "at least one"),
        (lambda: stationary_rows(5, count=1, block=0.5, seed=1), "at least one"),
        (lambda: stationary_rows(5, count=1, block=NAN, seed=1), "at least one"),
        (lambda: interval(stats.sharpe, np.zeros(5), np.zeros(6), seed=1), "one length"),
        (lambda: interval(stats.sharpe, np.zeros((5, 2)), seed=1), "one length"),
        (lambda: interval(stats.sharpe, np.arange(5.0) / 9, seed=1, level=95.0), "level"),
    ],
)
def test_nonsense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
