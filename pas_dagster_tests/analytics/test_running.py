"""The last row of a running statistic is the statistic over everything."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pas_dagster.analytics import statistics
from pas_dagster.analytics.running import running_summary

DAYS = pd.bdate_range("2024-01-02", periods=120, name="known_on")
RNG = np.random.default_rng(5)
MARKET = pd.Series(RNG.normal(0.0004, 0.01, 120), DAYS)
BOOKS = pd.DataFrame({"a": 0.8 * MARKET + RNG.normal(0.0, 0.004, 120), "late": RNG.normal(0.0, 0.01, 120)}, DAYS)
BOOKS.iloc[:30, 1] = np.nan
CASH = pd.Series(np.linspace(1e-4, 2e-4, 120), DAYS)


def last(rows: pd.DataFrame, statistic: str, book: str) -> float:
    own = rows[(rows["statistic"] == statistic) & (rows["portfolio"] == book)]
    return float(own.sort_values("known_on")["value"].iloc[-1])


@pytest.mark.parametrize("book", BOOKS.columns)
@pytest.mark.parametrize("statistic", ["sharpe", "sortino", "beta", "alpha"])
def test_ratios_and_betas_are_in_excess_of_cash(statistic: str, book: str):
    rows = running_summary(BOOKS, MARKET, CASH)
    function = getattr(statistics, statistic)
    against = (MARKET,) if statistic in ("beta", "alpha") else ()
    assert last(rows, statistic, book) == pytest.approx(function(BOOKS[book], *against, risk_free=CASH), rel=1e-9)


@pytest.mark.parametrize("book", BOOKS.columns)
@pytest.mark.parametrize("statistic", ["total_return", "cagr", "volatility", "max_drawdown"])
def test_growth_and_losses_do_not_depend_on_cash(statistic: str, book: str):
    expected = pytest.approx(getattr(statistics, statistic)(BOOKS[book]), rel=1e-9)
    assert last(running_summary(BOOKS, MARKET, CASH), statistic, book) == expected
    assert last(running_summary(BOOKS, MARKET), statistic, book) == expected


def test_a_day_comes_out_the_same_whatever_follows():
    whole, part = (running_summary(BOOKS.iloc[:n], MARKET.iloc[:n], CASH.iloc[:n]) for n in (120, 80))
    keys = ["known_on", "portfolio", "statistic"]
    both = part.merge(whole, on=keys, suffixes=("", "_whole"))
    assert len(both) == len(part)
    np.testing.assert_allclose(both["value"], both["value_whole"], rtol=1e-12)
