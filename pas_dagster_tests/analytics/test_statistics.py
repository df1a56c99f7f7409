"""Performance statistics: answers worked out by hand, edge cases, and agreement with plain pandas."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pas_dagster.analytics import statistics as stats

NAN = float("nan")

OF_ONE_BOOK = [
    stats.total_return,
    stats.cagr,
    stats.volatility,
    stats.sharpe,
    stats.sortino,
    stats.max_drawdown,
    stats.calmar,
    stats.value_at_risk,
    stats.conditional_value_at_risk,
    stats.tail_ratio,
    stats.win_rate,
    stats.skewness,
    stats.kurtosis,
]
AGAINST_A_BENCHMARK = [
    stats.beta,
    stats.alpha,
    stats.treynor,
    stats.correlation,
    stats.tracking_error,
    stats.information_ratio,
]
BOOK = [0.10, -0.05, 0.02, -0.03]  # mean 0.01; NAV 1.1, 1.045, 1.0659, 1.033923
MARKET = [0.05, -0.05, 0.03, -0.03]  # mean 0


@pytest.fixture(autouse=True)
def no_warnings():
    """A statistic that has no answer is NaN; numpy has nothing to complain of on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        (stats.total_return, 0.033923),
        (lambda x: stats.cagr(x, periods=2), 1.033923**0.5 - 1),
        (lambda x: stats.volatility(x, periods=4), 2 * math.sqrt(0.0134 / 3)),  # squares 81 36 1 16 e-4
        (lambda x: stats.sharpe(x, periods=4), 2 * 0.01 / math.sqrt(0.0134 / 3)),
        (lambda x: stats.sharpe(x, periods=1, risk_free=0.004), 0.006 / math.sqrt(0.0134 / 3)),
        (lambda x: stats.sortino(x, periods=1), 0.01 / math.sqrt((0.0025 + 0.0009) / 4)),
        (stats.max_drawdown, 1.033923 / 1.1 - 1),
        (lambda x: stats.calmar(x, periods=4), 0.033923 / (1 - 1.033923 / 1.1)),
        (lambda x: stats.value_at_risk(x, level=0.9), -0.05 + 0.3 * 0.02),  # position 3 * 0.1
        (lambda x: stats.conditional_value_at_risk(x, level=0.9), -0.05),
        (lambda x: stats.conditional_value_at_risk(x, level=0.5), -0.04),
        (lambda x: stats.tail_ratio(x, level=0.9), (0.1 - 0.3 * 0.08) / (0.05 - 0.3 * 0.02)),
        (stats.win_rate, 0.5),
        (stats.skewness, 0.000450 / 4 / (0.0134 / 4) ** 1.5),  # deviations 9 -6 1 -4: cubes 729 -216 1 -64 e-6
        (stats.kurtosis, 8114 / 4 / (134 / 4) ** 2),  # fourth powers 6561 1296 1 256 e-8
        (lambda x: stats.treynor(x, MARKET, periods=12), 0.12 / (0.0090 / 0.0068)),
        (lambda x: stats.correlation(x, MARKET), 0.0090 / math.sqrt(0.0134 * 0.0068)),
        (lambda x: stats.beta(x, MARKET), 0.0090 / 0.0068),  # products 50 25 6 9 e-4, squares 25 25 9 9 e-4
        (lambda x: stats.alpha(x, MARKET, periods=12), 0.12),
        (
            lambda x: stats.tracking_error(x, MARKET, periods=1),
            math.sqrt(0.0022 / 3),
        ),  # 5 0 -1 0 less their mean 1: 4 -1 -2 -1
        (lambda x: stats.information_ratio(x, MARKET, periods=1), 0.01 / math.sqrt(0.0022 / 3)),
    ],
)
def test_worked_by_hand(statistic, expected):
    assert statistic(BOOK) == pytest.approx(expected, rel=1e-12)
    assert statistic(pd.Series(BOOK)) == pytest.approx(expected, rel=1e-12)
    assert isinstance(statistic(BOOK), float)


def test_alpha_with_a_rate_of_cash():
    slope = 0.0090 / 0.0068
    expected = (0.01 - 0.002) - slope * (0.0 - 0.002)
    assert stats.alpha(BOOK, MARKET, periods=1, risk_free=0.002) == pytest.approx(expected, rel=1e-12)
    assert stats.alpha(BOOK, MARKET, periods=1, risk_free=[0.002] * 4) == pytest.approx(expected, rel=1e-12)
    assert stats.beta(BOOK, MARKET, risk_free=0.002) == pytest.approx(slope, rel=1e-12)


def test_the_drawdown_starts_at_one():
    np.testing.assert_allclose(stats.drawdown([-0.2, 0.5, -0.5]), [-0.2, 0.0, -0.5], atol=1e-15)
    assert stats.max_drawdown([-0.2, 0.5, 0.1]) == pytest.approx(-0.2)
    assert stats.max_drawdown([0.2, 0.1]) == 0.0


def test_a_drawdown_is_compounded_and_never_exceeds_everything():
    assert stats.max_drawdown([-0.5, -0.5, -0.5]) == pytest.approx(-0.875)
    assert stats.max_drawdown([0.5, -1.0, 0.0]) == -1.0
    assert stats.cagr([0.5, -1.0, 0.0]) == -1.0


def test_the_drawdown_series_keeps_its_labels():
    days = pd.bdate_range("2024-01-01", periods=3)
    series = stats.drawdown(pd.Series([NAN, -0.1, NAN], index=days, name="book"))
    assert series.name == "book"
    assert series.index.equals(days)
    np.testing.assert_allclose(series, [0.0, -0.1, -0.1])
    frame = stats.drawdown(pd.DataFrame({"a": [0.1, -0.1], "b": [-0.1, 0.0]}))
    np.testing.assert_allclose(frame, [[0.0, -0.1], [-0.1, -0.1]])
    assert list(frame.columns) == ["a", "b"]


def test_a_large_gain_is_a_return_and_not_a_price():
    assert stats.total_return([1.5, 0.1]) == pytest.approx(1.75)


def test_value_at_risk_on_a_whole_position():
    losses = -np.arange(1, 22) / 100  # 21 observations: the 5 % quantile is exactly the second worst
    assert stats.value_at_risk(losses) == -0.20
    assert stats.conditional_value_at_risk(losses) == pytest.approx(-0.205)


@pytest.mark.parametrize("statistic", OF_ONE_BOOK)
@pytest.mark.parametrize("nothing", [[], [NAN], [NAN, NAN]])
def test_nothing_is_nan(statistic, nothing):
    assert math.isnan(statistic(nothing))


@pytest.mark.parametrize("statistic", OF_ONE_BOOK)
def test_one_observation(statistic):
    one = {
        stats.total_return: -0.1,
        stats.max_drawdown: -0.1,
        stats.value_at_risk: -0.1,
        stats.conditional_value_at_risk: -0.1,
        stats.win_rate: 0.0,
    }
    assert statistic([-0.1]) == pytest.approx(one.get(statistic, NAN), nan_ok=True)
    assert statistic([NAN, -0.1]) == pytest.approx(one.get(statistic, NAN), nan_ok=True)


@pytest.mark.parametrize("statistic", AGAINST_A_BENCHMARK)
@pytest.mark.parametrize(("x", "b"), [([], []), ([0.1], [0.2]), ([0.1, NAN], [0.2, 0.1]), ([0.1, NAN], [NAN, 0.1])])
def test_too_few_common_periods_are_nan(statistic, x, b):
    assert math.isnan(statistic(x, b))


@pytest.mark.parametrize("value", [0.0001, 0.1, -0.003, 0.0, 1 / 3])
def test_a_constant_series_has_no_sharpe_ratio(value):
    series = np.full(1000, value)
    assert stats.volatility(series) == 0.0
    assert math.isnan(stats.sharpe(series))
    assert math.isnan(stats.sharpe(series, risk_free=value / 3))
    assert math.isnan(stats.beta(np.arange(1000) / 1e5, series))
    assert math.isnan(stats.information_ratio(series + 1e-4, series))


def test_no_loss_no_ratio_to_it():
    assert math.isnan(stats.sortino([0.01, 0.02]))
    assert math.isnan(stats.calmar([0.01, 0.02]))
    assert math.isnan(stats.win_rate([0.0, 0.0]))


@pytest.mark.parametrize("statistic", OF_ONE_BOOK)
def test_missing_returns_are_left_out(statistic):
    assert statistic([NAN, NAN, *BOOK[:2], NAN, *BOOK[2:]]) == pytest.approx(statistic(BOOK), rel=1e-12)


@pytest.mark.parametrize("statistic", AGAINST_A_BENCHMARK)
def test_missing_pairs_are_left_out(statistic):
    expected = statistic(BOOK, MARKET)
    assert statistic([NAN, 0.9, *BOOK], [0.3, NAN, *MARKET]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("statistic", [*OF_ONE_BOOK, *AGAINST_A_BENCHMARK])
def test_pitfall_11_units_of_dates_do_not_matter_and_read_only_columns_are_left_alone(statistic):
    days = pd.bdate_range("2024-01-01", periods=4)
    frozen = np.array(BOOK)
    frozen.flags.writeable = False
    against = [pd.Series(MARKET, days.as_unit("ns"))] if statistic in AGAINST_A_BENCHMARK else []
    plain = [MARKET] if against else []
    found = statistic(pd.Series(frozen, days.as_unit("s"), copy=False), *against)
    assert found == pytest.approx(statistic(BOOK, *plain), rel=1e-12) and frozen.tolist() == BOOK
    assert statistic(frozen, *plain) == statistic(BOOK, *plain)


@pytest.mark.parametrize("statistic", AGAINST_A_BENCHMARK)
def test_series_meet_on_their_common_dates(statistic):
    days = pd.bdate_range("2024-01-01", periods=6)
    book = pd.Series([*BOOK, 0.5], index=days[:5])
    market = pd.Series([*MARKET[::-1], 0.7], index=[*days[:4][::-1], days[5]])
    assert statistic(book, market) == pytest.approx(statistic(BOOK, MARKET), rel=1e-12)
    both = statistic(book.to_frame("a").assign(b=book * 2), market)
    assert both[0] == pytest.approx(statistic(BOOK, MARKET), rel=1e-12)


@pytest.mark.parametrize("statistic", AGAINST_A_BENCHMARK)
def test_lengths_must_agree(statistic):
    with pytest.raises(ValueError, match="shape"):
        statistic(BOOK, MARKET[:3])


@pytest.mark.parametrize("statistic", OF_ONE_BOOK)
def test_an_infinite_return_is_refused(statistic):
    with pytest.raises(ValueError, match="infinite"):
        statistic([0.1, math.inf])
    with pytest.raises(ValueError, match="shape"):
        statistic(0.1)


@pytest.mark.parametrize("statistic", [stats.total_return, stats.cagr, stats.max_drawdown, stats.drawdown])
def test_a_loss_of_more_than_everything_is_refused(statistic):
    with pytest.raises(ValueError, match="below -1"):
        statistic([0.1, -1.5])


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_is_a_fraction(level):
    with pytest.raises(ValueError, match="level"):
        stats.value_at_risk(BOOK, level=level)


@settings(deadline=None)
@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 30), st.integers(1, 4)),
        elements=st.integers(-900, 900).map(lambda thousandth: thousandth / 1000) | st.just(NAN),
    )
)
def test_columns_are_books(table):
    market = np.linspace(-0.1, 0.1, len(table))
    for statistic in OF_ONE_BOOK:
        expected = np.array([statistic(column) for column in table.T])
        np.testing.assert_allclose(np.asarray(statistic(table)), expected, rtol=1e-12)
        np.testing.assert_allclose(np.asarray(statistic(pd.DataFrame(table))), expected, rtol=1e-12)
    for statistic in AGAINST_A_BENCHMARK:
        expected = np.array([statistic(column, market) for column in table.T])
        np.testing.assert_allclose(np.asarray(statistic(table, market)), expected, rtol=1e-9, atol=1e-12)


def test_the_same_as_pandas():
    rng = np.random.default_rng(11)
    x = pd.Series(rng.normal(0.0005, 0.01, 2520))
    b = pd.Series(rng.normal(0.0003, 0.01, 2520)) + 0.3 * x
    nav = np.concatenate([[1.0], (1 + x).cumprod()])
    assert stats.sharpe(x) == pytest.approx(x.mean() / x.std() * 252**0.5)
    assert stats.sharpe(x, periods=52) == pytest.approx(x.mean() / x.std() * 52**0.5)
    assert stats.cagr(x) == pytest.approx(nav[-1] ** (252 / 2520) - 1)
    assert stats.max_drawdown(x) == pytest.approx((nav / np.maximum.accumulate(nav) - 1).min())
    assert stats.value_at_risk(x) == pytest.approx(x.quantile(0.05))
    assert stats.conditional_value_at_risk(x) == pytest.approx(x[x <= x.quantile(0.05)].mean())
    assert stats.beta(x, b) == pytest.approx(x.cov(b) / b.var())
    assert stats.alpha(x, b) == pytest.approx((x.mean() - x.cov(b) / b.var() * b.mean()) * 252)
    assert stats.information_ratio(x, b) == pytest.approx((x - b).mean() / (x - b).std() * 252**0.5)


def test_the_summary_is_every_statistic_by_name():
    row = stats.summary(BOOK, MARKET, periods=52, risk_free=0.001)
    assert row["observations"] == 4
    assert row["sharpe"] == stats.sharpe(BOOK, periods=52, risk_free=0.001)
    assert row["alpha"] == stats.alpha(BOOK, MARKET, periods=52, risk_free=0.001)
    names = {f.__name__ for f in [*OF_ONE_BOOK, *AGAINST_A_BENCHMARK]}
    assert set(row) == {"observations", "probabilistic_sharpe"} | names
    assert "beta" not in stats.summary(pd.Series(BOOK))
    assert all(math.isnan(value) for name, value in stats.summary([]).items() if name != "observations")
    assert all(isinstance(value, float) for value in row.values())


@settings(deadline=None)
@given(
    arrays(
        np.float64,
        st.tuples(st.integers(0, 20), st.integers(1, 3)),
        elements=st.integers(-900, 900).map(lambda thousandth: thousandth / 1000) | st.just(NAN),
    ),
    st.sampled_from([0.0, 0.001]),
)
def test_the_summary_says_what_the_statistics_say(table, cash):
    market = np.linspace(-0.1, 0.1, len(table))
    row = stats.summary(table, market, periods=52, risk_free=cash)
    for name, found in row.items():
        if name in ("observations", "probabilistic_sharpe"):
            continue
        statistic = getattr(stats, name)
        words = {
            "periods": {"periods": 52},
            "risk_free": {"risk_free": cash} if name not in ("skewness", "kurtosis") else {},
        }
        known = [word for key, word in words.items() if key in (statistic.__kwdefaults__ or {})]
        against = [market] if statistic in AGAINST_A_BENCHMARK else []
        expected = statistic(table, *against, **{key: value for word in known for key, value in word.items()})
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-12, err_msg=name)
    expected = stats.probabilistic_sharpe(stats.sharpe_moments(table, risk_free=cash))
    np.testing.assert_array_equal(np.asarray(row["probabilistic_sharpe"]), expected)


def test_a_summary_of_some_statistics_is_that_part_of_all_of_them():
    every = stats.summary(BOOK, MARKET, risk_free=0.001)
    some = ("beta", "sharpe", "tail_ratio")
    assert stats.summary(BOOK, MARKET, risk_free=0.001, names=some) == {name: every[name] for name in some}
    assert stats.summary(BOOK, names=[]) == {}
    with pytest.raises(ValueError, match="there is no statistic beta of these returns; there are observations, "):
        stats.summary(BOOK, names=["sharpe", "beta"])


@pytest.mark.parametrize("periods", [1, 12, 13, 255, 256, 257, 1000])
@pytest.mark.parametrize("gaps", [False, True])
def test_drawdowns_of_any_length_are_those_of_one_session_after_the_other(periods, gaps):
    rng = np.random.default_rng(periods)
    table = rng.normal(0.0, 0.02, (periods, 3))
    table[:, 1] = np.abs(table[:, 1])
    if gaps:
        table[rng.random(table.shape) < 0.2] = NAN
    nav, high = np.ones(3), np.ones(3)
    expected = np.empty_like(table)
    for at, row in enumerate(table):
        nav = nav * (1.0 + np.where(np.isnan(row), 0.0, row))
        high = np.maximum(high, nav)
        expected[at] = nav / high - 1.0
    found = stats.drawdown(table)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
    assert (found <= 0.0).all() and (found[:, 1] == 0.0).all()
    known = ~np.isnan(table).all(axis=0)
    np.testing.assert_array_equal(np.asarray(stats.max_drawdown(table))[known], found.min(axis=0)[known])
    np.testing.assert_allclose(np.asarray(stats.total_return(table))[known], (nav - 1.0)[known], atol=1e-12)


@pytest.mark.parametrize("periods", [0, 5, 300])
def test_no_books_have_no_statistics(periods):
    none = np.empty((periods, 0))
    assert stats.drawdown(none).shape == none.shape
    assert {np.shape(values) for values in stats.summary(none, np.zeros(periods)).values()} == {(0,)}


@pytest.mark.parametrize("cash", [0.001, np.linspace(0.0, 0.002, 60)], ids=["number", "series"])
def test_statistics_in_excess_of_cash_are_those_of_the_differences(cash):
    books, market = np.random.default_rng(6).normal(0.0, 0.01, (60, 3)), np.random.default_rng(7).normal(0.0, 0.01, 60)
    less = books - np.reshape(cash, (-1, 1))
    for statistic in (stats.sharpe, stats.sortino, stats.skewness, stats.kurtosis):
        np.testing.assert_allclose(statistic(books, risk_free=cash), statistic(less), rtol=1e-11)
    for statistic in (stats.beta, stats.alpha, stats.treynor, stats.correlation):
        np.testing.assert_allclose(statistic(books, market, risk_free=cash), statistic(less, market - cash), rtol=1e-11)
    np.testing.assert_allclose(
        stats.information_ratio(books, market), stats.sharpe(books - market[:, None]), rtol=1e-11
    )


def test_a_book_has_a_benchmark_of_its_own():
    rng = np.random.default_rng(5)
    books, markets = rng.normal(0.0, 0.01, (2, 40, 3))
    markets[7, 1] = NAN
    for statistic in AGAINST_A_BENCHMARK:
        expected = [statistic(book, market) for book, market in zip(books.T, markets.T, strict=True)]
        np.testing.assert_allclose(np.asarray(statistic(books, markets)), expected, rtol=1e-12)


def test_a_beta_of_rounding_is_none():
    assert stats.beta([0.1, 0.1, -0.1, -0.1], [0.1, -0.1, 0.1, -0.1]) == 0.0
    assert math.isnan(stats.treynor([0.3, 0.3, 0.1, 0.1], [0.1, -0.1, 0.1, -0.1]))


@settings(deadline=None)
@given(arrays(np.float64, (25, 3), elements=st.integers(-300, 300).map(lambda n: n / 1000)), st.permutations(range(3)))
def test_books_in_another_order_have_the_same_statistics(table, order):
    market = np.sin(np.arange(25)) / 50
    for statistic in OF_ONE_BOOK:
        np.testing.assert_array_equal(np.asarray(statistic(table[:, order])), np.asarray(statistic(table))[order])
    for statistic in AGAINST_A_BENCHMARK:
        found = np.asarray(statistic(table[:, order], market))
        np.testing.assert_allclose(found, np.asarray(statistic(table, market))[order], rtol=1e-12)


@settings(deadline=None)
@given(
    arrays(np.float64, 30, elements=st.integers(-300, 300).map(lambda n: n / 1000)), st.sampled_from([0.25, 0.5, 2.0])
)
def test_a_levered_book_scales(returns, leverage):
    """Powers of two, so that scaling itself does not round."""
    market = np.cos(np.arange(30)) / 40
    for statistic in (stats.volatility, stats.value_at_risk, stats.conditional_value_at_risk):
        assert statistic(returns * leverage) == pytest.approx(leverage * statistic(returns), rel=1e-12, nan_ok=True)
    for statistic in (stats.sharpe, stats.sortino, stats.tail_ratio, stats.win_rate, stats.skewness, stats.kurtosis):
        assert statistic(returns * leverage) == pytest.approx(statistic(returns), rel=1e-9, nan_ok=True)
    for statistic in (stats.beta, stats.alpha):
        expected = leverage * statistic(returns, market)
        assert statistic(returns * leverage, market) == pytest.approx(expected, rel=1e-9, abs=1e-15)
    for statistic in (stats.treynor, stats.correlation):
        found = statistic(returns * leverage, market)
        assert found == pytest.approx(statistic(returns, market), rel=1e-9, abs=1e-12, nan_ok=True)


@settings(deadline=None)
@given(arrays(np.float64, 30, elements=st.floats(-0.3, 0.3)))
def test_bounds_that_always_hold(returns):
    row = stats.summary(returns, np.cos(np.arange(30)) / 40)
    assert -1.0 <= row["max_drawdown"] <= 0.0
    assert row["conditional_value_at_risk"] <= row["value_at_risk"] + 1e-15
    assert math.isnan(row["correlation"]) or -1.0 <= row["correlation"] <= 1.0
    assert math.isnan(row["kurtosis"]) or row["kurtosis"] >= (1.0 + row["skewness"] ** 2) * (1.0 - 1e-9)
    assert not any(math.isinf(value) for value in row.values())


def test_a_denominator_of_rounding_is_none():
    """Losses of 1e-18 are what a subtraction leaves behind, not losses."""
    tiny = [0.1, 0.2, -1e-18, -1e-18, 0.1]
    for statistic in (stats.sortino, stats.calmar, lambda x: stats.tail_ratio(x, level=0.9)):
        assert math.isnan(statistic(tiny))
