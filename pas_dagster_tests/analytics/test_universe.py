"""Metrics of the universe: against loops over symbols, by the stated rules for what is missing."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.analytics.universe import COLUMNS, STALE, universe_metrics, universe_table

NAN = float("nan")
AT = date(2024, 6, 14)  # a Friday


def panel(symbols: int = 5, years: int = 6, seed: int = 1, gaps: float = 0.03):
    """Sessions up to the date and some after, closes with gaps and late beginnings, an index, volumes."""
    rng = np.random.default_rng(seed)
    days = pd.bdate_range(AT - timedelta(days=365 * years), AT + timedelta(days=40))
    shape = (len(days), symbols)
    closes = 50 * np.exp(np.cumsum(rng.normal(0.0003, 0.015, shape), axis=0))
    closes[rng.random(shape) < gaps] = NAN
    closes[: len(days) // 2, 0] = NAN
    index = 4000 * np.exp(np.cumsum(rng.normal(0.0003, 0.01, len(days))))
    volumes = rng.uniform(1e6, 1e7, shape)
    names = [f"S{i}" for i in range(symbols)]
    return (
        pd.DataFrame(closes, days, names),
        pd.Series(index, days),
        pd.DataFrame(volumes, days, names),
    )


def one(closes: pd.Series, index: pd.Series, volumes: pd.Series, at: date) -> dict[str, float]:
    """The metrics of one symbol, the long way."""
    sessions = closes.loc[: str(at)].index
    known = closes.loc[: str(at)].dropna()

    def last(day: pd.Timestamp, series: pd.Series = known) -> float:
        before = series.loc[:day]
        return NAN if before.empty or day - before.index[-1] > pd.Timedelta(days=STALE) else float(before.iloc[-1])

    now = pd.Timestamp(at)
    back = {f"return_{d}d": now - pd.Timedelta(days=d) for d in (7, 30, 90)}
    back |= {f"return_{y}y": now - pd.DateOffset(years=y) for y in (1, 3, 5)}
    found = {name: last(now) / last(day) - 1 for name, day in back.items()}
    year = back["return_1y"]
    base, end = last(year), last(now)
    path = pd.concat([pd.Series([base], [year]), known.loc[known.index > year]])
    returns = (path / path.shift() - 1).iloc[1:]
    found["volatility_1y"] = returns.std() * 252**0.5
    market = index.loc[: str(at)]
    market = pd.concat([pd.Series([last(year, market.dropna())], [year]), market.loc[market.index > year]])
    both = pd.DataFrame({"x": returns, "b": market.pct_change()}).dropna()
    found["beta_1y"] = both["x"].cov(both["b"]) / both["b"].var()
    found["max_drawdown_1y"] = min((path / path.cummax() - 1).min(), 0.0)
    found["from_high_52w"] = end / path.max() - 1
    if np.isnan(end / base):
        found |= dict.fromkeys(["volatility_1y", "beta_1y", "max_drawdown_1y", "from_high_52w"], NAN)
    recent = volumes.loc[sessions[-20:]].dropna()
    found["dollar_volume_20"] = recent.mean() if len(recent) >= 10 and not np.isnan(end) else NAN
    return found


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(-200, 30), st.sampled_from([0.0, 0.05, 0.6]))
def test_the_same_as_a_loop_over_symbols(seed, shift, gaps):
    closes, index, volumes = panel(symbols=3, years=5, seed=seed, gaps=gaps)
    at = AT + timedelta(days=shift)
    table = universe_table(closes, index, volumes, at)
    assert tuple(table.columns) == COLUMNS
    for name in closes:
        expected = one(closes[name], index, volumes[name], at)
        np.testing.assert_allclose(table.loc[name], [expected[column] for column in COLUMNS], rtol=1e-9, atol=1e-14)


def test_calendar_days_back_take_the_last_close_at_or_before():
    days = pd.DatetimeIndex(["2024-06-05", "2024-06-06", "2024-06-07", "2024-06-10", "2024-06-14"])
    closes = pd.DataFrame({"a": [10.0, 11.0, 12.0, 13.0, 14.0]}, days)
    at_friday = universe_table(closes, closes["a"], closes, AT)
    assert at_friday.loc["a", "return_7d"] == pytest.approx(14 / 12 - 1)  # Friday a week before
    on_sunday = universe_table(closes, closes["a"], closes, date(2024, 6, 16))
    assert on_sunday.loc["a", "return_7d"] == pytest.approx(14 / 12 - 1)  # the 9th is a Sunday


def test_a_leap_day_goes_back_to_the_28th():
    days = pd.DatetimeIndex(["2023-02-28", "2023-03-01", "2024-02-29"])
    closes = pd.DataFrame({"a": [10.0, 20.0, 30.0]}, days)
    assert universe_table(closes, closes["a"], closes, date(2024, 2, 29)).loc["a", "return_1y"] == pytest.approx(2.0)


def test_a_symbol_that_is_not_listed_that_long_has_no_such_return():
    closes, index, volumes = panel(gaps=0.0)
    young = closes.copy()
    young.loc[: str(AT - timedelta(days=60)), "S1"] = NAN
    row = universe_table(young, index, volumes, AT).loc["S1"]
    assert row[["return_7d", "return_30d"]].notna().all()
    rest = ["return_90d", "return_1y", "return_3y", "return_5y", "volatility_1y", "beta_1y", "max_drawdown_1y"]
    assert row[[*rest, "from_high_52w"]].isna().all()
    assert row["dollar_volume_20"] > 0.0


def test_a_symbol_that_no_longer_trades_has_no_metrics():
    closes, index, volumes = panel(gaps=0.0)
    gone = closes.copy()
    gone.loc[str(AT - timedelta(days=STALE)) :, "S1"] = NAN
    assert universe_table(gone, index, volumes, AT).loc["S1"].isna().all()
    quiet = closes.copy()
    quiet.loc[str(AT - timedelta(days=STALE - 1)) :, "S1"] = NAN
    assert universe_table(quiet, index, volumes, AT).loc["S1", "return_30d"] == pytest.approx(
        quiet["S1"].dropna().iloc[-1] / quiet.loc[: str(AT - timedelta(days=30)), "S1"].iloc[-1] - 1
    )


def test_a_year_does_not_begin_at_a_price_from_before_a_halt():
    closes, index, volumes = panel(gaps=0.0)
    closes.loc["2023-05-15":"2023-07-15", "S1"] = NAN
    row = universe_table(closes, index, volumes, AT).loc["S1"]
    assert row[["return_1y", "volatility_1y", "beta_1y", "max_drawdown_1y", "from_high_52w"]].isna().all()
    assert row[["return_90d", "return_3y"]].notna().all()


def test_nothing_after_the_date_is_looked_at():
    closes, index, volumes = panel()
    whole = universe_table(closes, index, volumes, AT)
    cut = [table.loc[: str(AT)] for table in (closes, index, volumes)]
    pd.testing.assert_frame_equal(universe_table(*cut, AT), whole, check_exact=True)
    lied = [table.copy() for table in (closes, index, volumes)]
    for table in lied:
        table.loc[str(AT + timedelta(days=1)) :] *= 100
    pd.testing.assert_frame_equal(universe_table(*lied, AT), whole, check_exact=True)


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(5)), st.floats(0.01, 100.0))
def test_symbols_in_another_order_and_prices_of_another_size(order, factor):
    closes, index, volumes = panel(years=2)
    table = universe_table(closes, index, volumes, AT)
    other = universe_table(closes.iloc[:, order] * factor, index * factor, volumes.iloc[:, order], AT)
    pd.testing.assert_frame_equal(other, table.iloc[order], rtol=1e-8, atol=1e-12)


def test_the_index_has_a_beta_of_one_and_cash_no_beta():
    closes, index, volumes = panel(symbols=2, gaps=0.0)
    closes["S0"], closes["S1"] = index, 100.0
    table = universe_table(closes, index, volumes, AT)
    assert table.loc["S0", "beta_1y"] == pytest.approx(1.0)
    assert table.loc["S1", ["beta_1y", "volatility_1y", "max_drawdown_1y", "from_high_52w"]].tolist() == [0.0] * 4


def test_before_the_panel_begins_there_is_nothing():
    closes, index, volumes = panel(years=1)
    assert universe_table(closes, index, volumes, date(2010, 1, 4)).isna().all(axis=None)
    assert len(universe_table(closes.iloc[:, :0], index, volumes.iloc[:, :0], AT)) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda days, c, i, v: (days[::-1], c, i, v), "ascending"),
        (lambda days, c, i, v: (days, c[1:], i, v), "fit the days"),
        (lambda days, c, i, v: (days, c, i, v[:, :1]), "fit the days"),
        (lambda days, c, i, v: (days, c * 0.0, i, v), "above 0"),
        (lambda days, c, i, v: (days, c, -i, v), "above 0"),
        (lambda days, c, i, v: (days, c * np.inf, i, v), "above 0"),
    ],
)
def test_nonsense_is_refused(change, message):
    closes, index, volumes = panel(symbols=2, years=1)
    days = closes.index.to_numpy().astype("datetime64[D]")
    with pytest.raises(ValueError, match=message):
        universe_metrics(*change(days, closes.to_numpy(), index.to_numpy(), volumes.to_numpy()), AT)
