"""Value at risk: known answers, plain loops, what must not matter, and what is no answer."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from pas_dagster.analytics import statistics as stats
from pas_dagster.risk.value_at_risk import (
    ValueAtRisk,
    _in_order,
    gaussian_tail,
    historical,
    monte_carlo,
    parametric,
)
from pas_dagster_tests.recorded import recorded

NAV = 1_000_000.0
EVERY = [historical, parametric, monte_carlo]


def cornish_fisher(*args, **kwargs) -> ValueAtRisk:
    return parametric(*args, **kwargs, cornish_fisher=True)


def world(seed: int, periods: int = 250, n: int = 6):
    """Returns with a common factor, calm and violent in turn, and long-short weights."""
    rng = np.random.default_rng(seed)
    size = np.where(np.sin(np.arange(periods) / 15) > 0.5, 0.02, 0.006)
    x = rng.normal(0.0003, size)[:, None] * rng.uniform(0.3, 1.4, n) + rng.normal(0.0, 0.005, (periods, n))
    return x, rng.uniform(-0.1, 0.4, n)


def numbers(found: ValueAtRisk) -> list[float]:
    assert found.status == "ok", found.reason
    return [found.value_at_risk, found.conditional]


# --------------------------------------------------------------------------------------------- known answers


def test_gaussian_known_answers() -> None:
    """quant: VaR and expected shortfall at 95 % are 1.644854 and 2.062713 standard deviations."""
    assert gaussian_tail(0.95) == (pytest.approx(-1.644854, abs=1e-6), pytest.approx(-2.062713, abs=1e-6))
    assert gaussian_tail(0.99) == (pytest.approx(-2.326348, abs=1e-6), pytest.approx(-2.665214, abs=1e-6))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.9, 0.95, 0.99]), st.integers(1, 10))
def test_parametric_is_the_closed_form(seed: int, level: float, horizon: int) -> None:
    x, w = world(seed)
    book = [sum(w[i] * row[i] for i in range(len(w))) for row in x]
    mean = sum(book) / len(book)
    sigma = math.sqrt(sum((value - mean) ** 2 for value in book) / (len(book) - 1))
    tail = norm.ppf(1 - level)
    expected = [
        mean * horizon + sigma * math.sqrt(horizon) * tail,
        mean * horizon - sigma * math.sqrt(horizon) * norm.pdf(tail) / (1 - level),
    ]
    assert numbers(parametric(x, w, NAV, level=level, horizon=horizon)) == pytest.approx(expected)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.9, 0.95, 0.99]), st.integers(1, 5))
def test_cornish_fisher_is_the_expansion_and_its_integral(seed: int, level: float, horizon: int) -> None:
    x, w = world(seed)
    book = x @ w
    z = (book - book.mean()) / book.std()
    skew, excess = (z**3).mean() / math.sqrt(horizon), ((z**4).mean() - 3) / horizon

    def quantile(p: float) -> float:
        q = norm.ppf(p)
        return q + (q * q - 1) * skew / 6 + (q**3 - 3 * q) * excess / 24 - (2 * q**3 - 5 * q) * skew**2 / 36

    found = cornish_fisher(x, w, NAV, level=level, horizon=horizon)
    if found.status != "ok":
        return
    drift, scale = book.mean() * horizon, book.std(ddof=1) * math.sqrt(horizon)
    mean = quad(quantile, 0.0, 1 - level, limit=200)[0] / (1 - level)
    assert numbers(found) == pytest.approx([drift + scale * quantile(1 - level), drift + scale * mean], abs=1e-7)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([-1.2816, -1.6449, -2.3263]), st.floats(-4.0, 4.0), st.floats(-2.0, 20.0))
def test_the_domain_of_the_expansion_is_where_its_slope_is_positive(z: float, skew: float, excess: float) -> None:
    grid = np.concatenate([np.linspace(z, z - 20.0, 4001), -np.geomspace(20.0, 1e6, 4001)])
    slope = 1 + skew * grid / 3 + excess * (3 * grid**2 - 3) / 24 - skew**2 * (6 * grid**2 - 5) / 36
    if abs(slope.min()) > 1e-3 and abs(excess / 8 - skew**2 / 6) > 1e-6:  # beyond the grid
        assert _in_order(z, skew, excess) == (slope.min() > 0.0)


def test_cornish_fisher_out_of_its_domain_is_a_status() -> None:
    x = np.full((200, 1), 0.001)
    x[:3] = 0.4  # skewness of eight: quantiles are not in order
    found = cornish_fisher(x, [1.0], NAV)
    assert found.status == "failed" and "beyond the expansion" in found.reason and found.value_at_risk is None
    assert cornish_fisher(np.full((200, 1), 0.001), [1.0], NAV).status == "failed"


def plain_historical(x: np.ndarray, w: np.ndarray, level: float, horizon: int) -> list[float]:
    book = []
    for start in range(len(x) - horizon + 1):
        total = 0.0
        for i in range(len(w)):
            growth = 1.0
            for t in range(start, start + horizon):
                growth *= 1.0 + x[t, i]
            total += w[i] * (growth - 1.0)
        book.append(total)
    book.sort()
    position = (len(book) - 1) * (1 - level)
    low = math.floor(position + 1e-9)
    high = min(low + 1, len(book) - 1)
    tail = book[low] + (position - low) * (book[high] - book[low])
    return [tail, sum(book[: low + 1]) / (low + 1)]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.9, 0.95]), st.integers(1, 5))
def test_historical_holds_the_book_over_the_horizon(seed: int, level: float, horizon: int) -> None:
    x, w = world(seed, 120, 3)
    assert numbers(historical(x, w, NAV, level=level, horizon=horizon)) == pytest.approx(
        plain_historical(x, w, level, horizon), abs=1e-12
    )


def test_one_book_is_the_statistic() -> None:
    x = world(1)[0][:, :1]
    found = historical(x, [1.0], NAV)
    assert found.value_at_risk == stats.value_at_risk(x[:, 0])
    assert found.conditional == stats.conditional_value_at_risk(x[:, 0])


# --------------------------------------------------------------------------------------------- Monte Carlo


def test_monte_carlo_of_gaussian_returns_is_gaussian_within_its_error() -> None:
    x = np.random.default_rng(5).normal(0.0, 0.01, (3000, 3))
    w = np.array([0.5, 0.3, 0.2])
    for level in (0.95, 0.99):
        drawn, closed = monte_carlo(x, w, NAV, level=level), parametric(x, w, NAV, level=level)
        assert abs(drawn.value_at_risk - closed.value_at_risk) < 4.0 * drawn.error
        assert abs(drawn.conditional - closed.conditional) < 4.0 * drawn.conditional_error


@pytest.mark.parametrize("level", [0.95, 0.99])
def test_the_standard_error_is_the_spread_over_seeds(level: float) -> None:
    """Pitfall 15: with 5,000 paths the sampling error is about 2 %; it is printed, and it is right."""
    x, w = world(2)
    found = [monte_carlo(x, w, NAV, level=level, seed=seed) for seed in range(40)]
    for number, error in (("value_at_risk", "error"), ("conditional", "conditional_error")):
        values = np.array([getattr(one, number) for one in found])
        told = np.mean([getattr(one, error) for one in found])
        assert 0.6 < values.std(ddof=1) / told < 1.4
        assert 0.005 < told / abs(values.mean()) < 0.05
    assert "±" in str(found[0]) and found[0].observations == 250


def test_the_seed_is_fixed_and_another_gives_other_paths() -> None:
    x, w = world(3)
    assert monte_carlo(x, w, NAV) == monte_carlo(x, w, NAV)
    assert monte_carlo(x, w, NAV).value_at_risk != monte_carlo(x, w, NAV, seed=1).value_at_risk


def test_monte_carlo_knows_that_a_storm_is_on() -> None:
    """The same returns in another order: a storm at the end makes the next period worse than one at the beginning."""
    rng = np.random.default_rng(6)
    calm, storm = rng.normal(0.0, 0.004, (200, 3)), rng.normal(0.0, 0.03, (60, 3))
    w = np.full(3, 1 / 3)
    now, past = monte_carlo(np.vstack([calm, storm]), w, NAV), monte_carlo(np.vstack([storm, calm]), w, NAV)
    assert now.value_at_risk < 1.5 * past.value_at_risk < 0.0
    assert historical(np.vstack([calm, storm]), w, NAV).value_at_risk == pytest.approx(
        historical(np.vstack([storm, calm]), w, NAV).value_at_risk
    )


def test_no_mixture_is_fitted_in_as_many_dimensions_as_there_are_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pitfall 10 (i): with 20 sleeves the mixture sees one number a period."""
    from sklearn.mixture import GaussianMixture

    seen = []
    fit = GaussianMixture.fit
    monkeypatch.setattr(GaussianMixture, "fit", lambda self, x, y=None: seen.append(x.shape) or fit(self, x, y))
    x, w = world(7, 252, 20)
    assert monte_carlo(x, w, NAV).status == "ok"
    assert seen == [(252, 1)]


def test_a_name_that_never_moves_is_a_constant_in_every_method() -> None:
    """Pitfall 8: an idle sleeve neither raises nor adds risk."""
    x, w = world(8)
    idle = np.column_stack([x, np.zeros(len(x))])
    for method in [*EVERY, cornish_fisher]:
        assert numbers(method(idle, [*w, 0.5], NAV)) == pytest.approx(numbers(method(x, w, NAV)), abs=1e-12)
    rent = np.column_stack([x, np.full(len(x), 1e-4)])
    for method in EVERY:
        gap = np.subtract(numbers(method(rent, [*w, 0.5], NAV, horizon=3)), numbers(method(x, w, NAV, horizon=3)))
        assert gap == pytest.approx([0.5 * 3e-4] * 2, abs=1e-7)


def test_more_shocks_than_paths_is_a_status() -> None:
    x, w = world(9, 250, 6)
    found = monte_carlo(x, w, NAV, horizon=100, paths=1000)
    assert found.status == "failed" and "need 1200 paths" in found.reason and found.conditional is None


# --------------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("method", [*EVERY, cornish_fisher])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), horizon=st.sampled_from([1, 3]))
def test_a_higher_level_loses_more_and_the_shortfall_more_still(method, seed: int, horizon: int) -> None:
    x, w = world(seed)
    answers = [method(x, w, NAV, level=level, horizon=horizon) for level in (0.90, 0.95, 0.98)]
    found = [numbers(answer) for answer in answers if answer.status == "ok"]
    assert len(found) == 3 or method is cornish_fisher
    for (tail, shortfall), (further, worse) in zip(found, found[1:], strict=False):
        assert further <= tail and worse <= shortfall
    assert all(shortfall <= tail for tail, shortfall in found)


@pytest.mark.parametrize("method", [*EVERY, cornish_fisher])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.floats(0.05, 3.0), horizon=st.sampled_from([1, 4]))
def test_twice_the_book_loses_twice_as_much(method, seed: int, factor: float, horizon: int) -> None:
    x, w = world(seed)
    one, other = method(x, w, NAV, horizon=horizon), method(x, factor * w, NAV, horizon=horizon)
    assert one.status == other.status
    if one.status == "ok":
        np.testing.assert_allclose(numbers(other), factor * np.array(numbers(one)), rtol=1e-6)


@pytest.mark.parametrize("method", [*EVERY, cornish_fisher])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), horizon=st.sampled_from([1, 4]))
def test_the_order_of_the_names_does_not_matter(method, seed: int, horizon: int) -> None:
    x, w = world(seed)
    order = np.random.default_rng(seed).permutation(len(w))
    one, other = method(x, w, NAV, horizon=horizon), method(x[:, order], w[order], NAV, horizon=horizon)
    assert one.status == other.status
    if one.status == "ok":
        np.testing.assert_allclose(numbers(other), numbers(one), rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 1e9))
def test_dollars_are_the_fraction_times_the_net_asset_value(seed: int, nav: float) -> None:
    x, w = world(seed)
    for method in EVERY:
        found = method(x, w, nav)
        assert found.value_at_risk_usd == pytest.approx(found.value_at_risk * nav)
        assert found.conditional_usd == pytest.approx(found.conditional * nav)


# --------------------------------------------------------------------------------------------- what is missing


@pytest.mark.parametrize("method", EVERY)
def test_a_missing_return_is_never_zero(method) -> None:
    """Pitfall 7: a late starter does not look safe; periods without it are left out and counted."""
    x, w = world(10)
    late = x.copy()
    late[:100, 2] = math.nan
    assert numbers(method(late, w, NAV)) == numbers(method(x[100:], w, NAV))
    assert method(late, w, NAV).observations == 150
    w[2] = 0.0
    assert numbers(method(late, w, NAV)) == numbers(method(np.delete(x, 2, axis=1), np.delete(w, 2), NAV))


def test_no_horizon_runs_over_a_gap() -> None:
    x, w = world(11, 200, 2)
    x[90] = math.nan
    found = historical(x, w, NAV, horizon=5)
    assert found.observations == (90 - 4) + (109 - 4)


@pytest.mark.parametrize("method", [*EVERY, cornish_fisher])
def test_too_few_periods_for_a_tail_give_no_number(method) -> None:
    x, w = world(12)
    found = method(x[:19], w, NAV)
    assert found.status == "insufficient" and found.value_at_risk is None and found.conditional_usd is None
    assert found.reason == "a tail of 0.05 needs 20 periods, there are 19 in which everything held has returns"
    assert method(x, np.zeros_like(w), NAV).reason == "nothing is held"
    assert method(np.full_like(x, math.nan), w, NAV).status == "insufficient"
    assert "insufficient" in str(found)


def test_overlapping_horizons_are_not_counted_as_if_they_were_apart() -> None:
    x, w = world(13, 199)
    assert historical(x, w, NAV, horizon=10).status == "insufficient"
    assert historical(x, w, NAV, horizon=9).status == "ok"


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 60),
    st.integers(1, 4),
    st.integers(0, 10**6),
    st.floats(0.0, 0.5),
    st.sampled_from([0.0, 1e-12, 0.01, 0.3]),
    st.integers(1, 3),
)
def test_what_says_ok_has_finite_numbers_and_nothing_else_has_any(periods, n, seed, gaps, size, horizon) -> None:
    rng = np.random.default_rng(seed)
    x = np.maximum(rng.normal(0.0, size, (periods, n)), -1.0)
    x[rng.random(x.shape) < gaps] = math.nan
    w = rng.choice([0.0, 0.5, -0.25], n)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in [*EVERY, cornish_fisher]:
            found = method(x, w, NAV, horizon=horizon)
            values = found[6:]
            if found.status == "ok":
                told = [value for value in values if value is not None]
                assert len(told) == (6 if method is monte_carlo else 4)
                assert all(math.isfinite(value) for value in told) and found.reason == ""
                assert found.conditional <= found.value_at_risk + 1e-12
            else:
                assert values == (None,) * 6 and found.reason


@pytest.mark.parametrize("method", EVERY)
def test_faults_of_the_call_are_errors(method) -> None:
    x, w = world(14)
    for arguments, keywords, words in [
        ((x, w[:2], NAV), {}, "weights of shape"),
        ((x, w * math.nan, NAV), {}, "a weight is not finite"),
        ((np.where(x == x[0, 0], math.inf, x), w, NAV), {}, "infinite or below -1"),
        ((x - 1.5, w, NAV), {}, "infinite or below -1"),
        ((x, w, math.nan), {}, "nav must be"),
        ((x, w, NAV), {"level": 1.0}, "level must be"),
        ((x, w, NAV), {"horizon": 0}, "horizon must be"),
        ((x, w, NAV), {"horizon": 1.5}, "horizon must be"),
    ]:
        with pytest.raises(ValueError, match=words):
            method(*arguments, **keywords)


@pytest.mark.shared
def test_recorded_stocks_of_thirty_years() -> None:
    """Twenty stocks, equal weights: the quantiles of pandas, and tails that are fatter than Gaussian."""
    prices = pd.read_csv(recorded("quant/skfolio/sp500_dataset.csv.gz"), index_col=0, parse_dates=True)
    x = prices.pct_change().iloc[1:]
    w = np.full(20, 0.05)
    book = x.mean(axis=1)
    found = historical(x, w, NAV, level=0.99)
    assert found.value_at_risk == pytest.approx(book.quantile(0.01))
    assert found.conditional == pytest.approx(book[book <= book.quantile(0.01)].mean())
    assert found.value_at_risk < parametric(x, w, NAV, level=0.99).value_at_risk
    assert monte_carlo(x.iloc[-504:], w, NAV, level=0.99).status == "ok"
