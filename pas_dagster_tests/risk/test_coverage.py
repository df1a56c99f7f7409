"""Coverage of value at risk: published regions, plain likelihoods, and forecasts that are right, wrong or late."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, chi2

from pas_dagster.risk.coverage import chi_square_tail, coverage, kupiec


@pytest.mark.parametrize(
    ("probability", "periods", "least", "most"),
    [
        (0.01, 255, None, 7),
        (0.01, 510, 1, 11),
        (0.01, 1000, 4, 17),
        (0.025, 255, 2, 12),
        (0.025, 510, 6, 21),
        (0.025, 1000, 15, 36),
        (0.05, 255, 6, 21),
        (0.05, 510, 16, 36),
        (0.05, 1000, 37, 65),
        (0.075, 255, 11, 28),
        (0.075, 510, 27, 51),
        (0.075, 1000, 59, 92),
        (0.10, 255, 16, 36),
        (0.10, 510, 38, 65),
        (0.10, 1000, 81, 120),
    ],
)
def test_the_published_regions_in_which_a_model_is_not_rejected(probability, periods, least, most) -> None:
    """Kupiec (1995), table of non-rejection regions at 5 %: least < exceptions < most.

    For 255 periods at 1 % the table prints no lower bound; the ratio of no exceptions is 5.13 there.
    """
    kept = [n for n in range(periods) if chi_square_tail(kupiec(periods, n, probability)) >= 0.05]
    assert kept == list(range(1 if least is None else least + 1, most))


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 400), st.floats(0.0, 1.0), st.sampled_from([0.01, 0.05, 0.1]))
def test_the_ratio_is_that_of_two_binomial_likelihoods(n: int, share: float, p: float) -> None:
    hits = round(share * n)
    expected = 2.0 * (binom.logpmf(hits, n, hits / n) - binom.logpmf(hits, n, p))
    assert kupiec(n, hits, p) == pytest.approx(max(expected, 0.0), abs=1e-8)
    assert chi_square_tail(kupiec(n, hits, p)) == pytest.approx(chi2.sf(max(expected, 0.0), 1), abs=1e-8)


def test_independence_is_the_ratio_of_a_chain_written_plainly() -> None:
    rng = np.random.default_rng(4)
    hit = rng.random(300) < 0.1
    hit[100:112] = True
    x = np.where(hit, -0.05, 0.01)
    counts = np.zeros((2, 2))
    for before, after in zip(hit, hit[1:], strict=False):
        counts[int(before), int(after)] += 1
    own = sum(counts[i, j] * math.log(counts[i, j] / counts[i].sum()) for i in (0, 1) for j in (0, 1))
    common = sum(counts[:, j].sum() * math.log(counts[:, j].sum() / counts.sum()) for j in (0, 1))
    found = coverage(x, -0.02, level=0.9)
    assert found.independence == pytest.approx(2.0 * (own - common))
    assert found.independence_p < 1e-4


def test_a_right_forecast_is_covered_and_wrong_ones_are_told_apart() -> None:
    x = np.random.default_rng(1).normal(0.0, 0.01, 1000)
    assert coverage(x, -0.01644854).verdict == "covered"
    assert coverage(x, -0.012).verdict == "too many losses"
    assert coverage(x, -0.03).verdict == "too few losses"


def test_losses_that_follow_one_another_are_told_from_too_many() -> None:
    x = np.full(1000, 0.001)
    x[300:350] = -0.05
    found = coverage(x, -0.02)
    assert found.p_value == pytest.approx(1.0) and found.verdict == "clustered losses"


def test_a_loss_of_exactly_the_forecast_is_none() -> None:
    assert coverage(np.full(100, -0.02), -0.02).exceptions == 0


def test_periods_without_a_return_or_a_forecast_do_not_count() -> None:
    x, forecast = np.full(60, 0.01), np.full(60, -0.02)
    x[3], forecast[4], x[10] = math.nan, math.nan, -0.05
    found = coverage(x, forecast)
    assert (found.periods, found.exceptions, found.expected) == (58, 1, pytest.approx(2.9))


def test_too_few_periods_give_no_number() -> None:
    found = coverage([-0.05] * 19, -0.02)
    assert (found.verdict, found.ratio, found.p_value) == ("insufficient", None, None)
    assert found.reason == "19 periods are fewer than the 20 in which one loss is due"
    assert coverage([0.0] * 20, -0.02).verdict == "covered"


def test_numbers_never_come_out_as_nan() -> None:
    for x in (np.zeros(100), np.full(100, -0.1), np.where(np.arange(100) % 2, -0.1, 0.1)):
        found = coverage(x, -0.02)
        assert all(value is None or math.isfinite(value) for value in found[1:8])
    lonely = np.where(np.arange(100) % 2, np.nan, -0.1)  # no two periods follow one another
    assert coverage(lonely, -0.02).independence is None


def test_faults_of_the_call_are_errors() -> None:
    with pytest.raises(ValueError, match="as many forecasts"):
        coverage([0.0, 0.1], [0.0])
    with pytest.raises(ValueError, match="infinite"):
        coverage([math.inf], -0.1)
    with pytest.raises(ValueError, match="level"):
        coverage([0.0], -0.1, level=0.4)
