"""Statistics against empyrical, statsmodels and scipy: the same, or different by what is stated; measured pitfalls."""

import math
import warnings

import empyrical
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import statsmodels.api

from pas_dagster.analytics import statistics as stats
from pas_dagster_tests.recorded import recorded

NAN = float("nan")
EXACT = {"rel": 1e-12, "abs": 1e-15}


@pytest.fixture(scope="module")
def book() -> np.ndarray:
    rng = np.random.default_rng(17)
    return rng.standard_t(4, 2520) * 0.008 + 0.0004


@pytest.fixture(scope="module")
def market(book) -> np.ndarray:
    return 0.6 * book + np.random.default_rng(18).normal(0.0001, 0.006, 2520)


SAME = [
    (stats.total_return, empyrical.cum_returns_final),
    (stats.cagr, empyrical.cagr),
    (stats.volatility, empyrical.annual_volatility),
    (stats.sharpe, empyrical.sharpe_ratio),
    (stats.sortino, empyrical.sortino_ratio),
    (stats.max_drawdown, empyrical.max_drawdown),
    (stats.calmar, empyrical.calmar_ratio),
    (stats.value_at_risk, empyrical.value_at_risk),
    (stats.conditional_value_at_risk, empyrical.conditional_value_at_risk),
    (stats.tail_ratio, empyrical.tail_ratio),
]


@pytest.mark.parametrize(("ours", "theirs"), SAME)
def test_the_same_as_empyrical(ours, theirs, book):
    assert ours(book) == pytest.approx(theirs(book), **EXACT)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (stats.cagr, empyrical.cagr),
        (stats.volatility, empyrical.annual_volatility),
        (stats.sharpe, empyrical.sharpe_ratio),
        (stats.sortino, empyrical.sortino_ratio),
        (stats.calmar, empyrical.calmar_ratio),
    ],
)
def test_pitfall_11_a_weekly_series_says_so(ours, theirs, book):
    """252 for weekly returns would make a Sharpe ratio of 0.88 one of 1.94."""
    weekly = book[:520]
    assert ours(weekly, periods=52) == pytest.approx(theirs(weekly, period="weekly"), **EXACT)
    assert ours(weekly) != pytest.approx(ours(weekly, periods=52), rel=0.1)
    assert stats.sharpe(weekly) == pytest.approx(stats.sharpe(weekly, periods=52) * math.sqrt(252 / 52), **EXACT)


def test_against_a_benchmark_and_cash_as_empyrical(book, market):
    assert stats.beta(book, market) == pytest.approx(empyrical.beta(book, market), **EXACT)
    assert stats.beta(book, market, risk_free=1e-4) == pytest.approx(empyrical.beta(book, market, 1e-4), **EXACT)
    assert stats.sharpe(book, risk_free=1e-4) == pytest.approx(empyrical.sharpe_ratio(book, risk_free=1e-4), **EXACT)
    assert stats.sortino(book, risk_free=1e-4) == pytest.approx(empyrical.sortino_ratio(book, 1e-4), **EXACT)


def test_alpha_is_arithmetic_and_that_of_empyrical_is_compounded(book, market):
    ours = stats.alpha(book, market)
    theirs = empyrical.alpha(book, market)
    assert (1 + ours / 252) ** 252 - 1 == pytest.approx(theirs, rel=1e-11)
    assert theirs > ours


def test_the_information_ratio_is_annual_and_that_of_empyrical_per_period(book, market):
    assert stats.information_ratio(book, market) == pytest.approx(
        empyrical.excess_sharpe(book, market) * math.sqrt(252), **EXACT
    )


def test_a_book_that_began_late_is_measured_from_its_beginning(book):
    """Empyrical counts rows where this counts observations, and has no value at risk."""
    late = np.concatenate([np.full(504, NAN), book[:1008]])
    assert stats.cagr(late) == pytest.approx(empyrical.cagr(book[:1008]), **EXACT)
    rows = empyrical.cagr(late)
    assert (1 + rows) ** (1512 / 1008) - 1 == pytest.approx(stats.cagr(late), rel=1e-12)
    assert math.isnan(empyrical.value_at_risk(late))
    assert stats.value_at_risk(late) == pytest.approx(empyrical.value_at_risk(book[:1008]), **EXACT)


def test_a_constant_series_has_no_ratio_where_empyrical_says_infinite():
    flat = np.full(500, 0.0001)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert empyrical.sharpe_ratio(flat) > 1e10
    assert math.isnan(stats.sharpe(flat))


def test_one_observation_has_no_growth_rate_where_empyrical_says_all_is_lost():
    assert empyrical.cagr(np.array([-0.0137])) == pytest.approx(-0.97, abs=0.01)
    assert math.isnan(stats.cagr([-0.0137]))


def test_a_day_of_150_percent_is_a_return(book):
    """Quantstats takes such a series for prices: a growth of -99.8 % a year."""
    wild = np.concatenate([book[:503], [1.5]])
    assert stats.cagr(wild) == pytest.approx(empyrical.cagr(wild), **EXACT)
    assert stats.total_return(wild) == pytest.approx((1 + stats.total_return(book[:503])) * 2.5 - 1, rel=1e-12)


@pytest.mark.parametrize("cash", [0.0, 1e-4])
def test_moments_as_scipy(book, cash):
    assert stats.skewness(book, risk_free=cash) == pytest.approx(scipy.stats.skew(book), rel=1e-11)
    assert stats.kurtosis(book, risk_free=cash) == pytest.approx(scipy.stats.kurtosis(book, fisher=False), rel=1e-11)
    short = book[:7]
    assert stats.skewness(short) == pytest.approx(scipy.stats.skew(short), rel=1e-11)


def test_alpha_and_beta_as_a_regression(book, market):
    fit = statsmodels.api.OLS(book - 1e-4, statsmodels.api.add_constant(market - 1e-4)).fit()
    assert stats.beta(book, market, risk_free=1e-4) == pytest.approx(fit.params[1], rel=1e-12)
    assert stats.alpha(book, market, risk_free=1e-4) == pytest.approx(fit.params[0] * 252, rel=1e-10)
    assert stats.correlation(book, market) ** 2 == pytest.approx(fit.rsquared, rel=1e-12)
    assert stats.treynor(book, market, risk_free=1e-4) == pytest.approx(
        (book.mean() - 1e-4) * 252 / fit.params[1], rel=1e-12
    )


def test_tracking_error_is_the_volatility_of_the_difference(book, market):
    assert stats.tracking_error(book, market) == pytest.approx(empyrical.annual_volatility(book - market), **EXACT)


@pytest.fixture(scope="module")
def closes() -> pd.DataFrame:
    return pd.read_csv(recorded("quant/skfolio/sp500_dataset.csv.gz"), index_col=0, parse_dates=True)


@pytest.mark.shared
def test_pitfall_11_weekly_and_daily_volatility_are_not_the_same(closes):
    """AAPL: 41.2 % from weekly returns, 43.4 % from daily ones."""
    weekly = closes["AAPL"].resample("W-FRI").last().pct_change()
    assert stats.volatility(weekly, periods=stats.WEEKS_PER_YEAR) == pytest.approx(0.412, abs=0.001)
    assert stats.volatility(closes["AAPL"].pct_change()) == pytest.approx(0.434, abs=0.001)


@pytest.mark.shared
def test_pitfall_12_arithmetic_and_log_returns_differ_by_half_the_variance(closes):
    """AMD: 27.3 % a year arithmetic, 8.2 % log. A book's return is linear in simple returns only."""
    simple = closes["AMD"].pct_change().dropna()
    log = np.log1p(simple)
    assert simple.mean() * 252 == pytest.approx(0.273, abs=0.002)
    assert log.mean() * 252 == pytest.approx(0.082, abs=0.002)
    half = stats.volatility(simple) ** 2 / 2
    assert (simple.mean() - log.mean()) * 252 == pytest.approx(half, rel=0.05)
    assert math.log1p(stats.cagr(simple)) == pytest.approx(log.mean() * 252, rel=1e-9)
