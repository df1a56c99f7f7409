"""Rolling statistics: exactly those of each window on its own, nothing before it is full."""

import math

import empyrical
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pas_dagster.analytics import rolling as module
from pas_dagster.analytics import statistics as stats
from pas_dagster.analytics.rolling import (
    rolling,
    rolling_beta,
    rolling_correlation,
    rolling_drawdown,
    rolling_return,
    rolling_sharpe,
    rolling_table,
    rolling_volatility,
)

NAN = float("nan")
ALONE = [
    (rolling_return, stats.total_return),
    (rolling_volatility, stats.volatility),
    (rolling_sharpe, stats.sharpe),
    (rolling_drawdown, stats.max_drawdown),
]
AGAINST = [(rolling_beta, stats.beta), (rolling_correlation, stats.correlation)]
RETURNS = st.integers(-900, 900).map(lambda n: n / 1000) | st.sampled_from([0.0, NAN])


def loop(statistic, window, *tables):
    """One window and one book at a time."""
    rows, books = tables[0].shape
    found = np.full((rows, books), NAN)
    for end in range(window, rows + 1):
        for k in range(books):
            parts = [table[end - window : end, k if table.shape[1] > 1 else 0] for table in tables]
            if not np.isnan(np.array(parts)).any():
                found[end - 1, k] = statistic(*parts)
    return found


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(0, 12), st.integers(1, 3)), elements=RETURNS), st.integers(2, 6))
def test_the_same_as_a_loop(table, window):
    market = np.sin(np.arange(len(table)))[:, None] / 20
    market[3:4] = NAN
    for rolled, statistic in ALONE:
        np.testing.assert_allclose(rolled(table, window=window), loop(statistic, window, table), rtol=1e-12)
    for rolled, statistic in AGAINST:
        expected = loop(statistic, window, table, market)
        np.testing.assert_allclose(rolled(table, market[:, 0], window=window), expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(rolled(table, market, window=window), expected, rtol=1e-9, atol=1e-12)


def test_a_benchmark_and_cash_for_each_book():
    rng = np.random.default_rng(2)
    x, b, cash = rng.normal(0.0, 0.01, (3, 60, 4))
    np.testing.assert_allclose(rolling_beta(x, b, window=20), loop(stats.beta, 20, x, b), rtol=1e-10)
    expected = loop(lambda one, rate: stats.sharpe(one, periods=52, risk_free=rate), 20, x, cash[:, :1])
    found = rolling_sharpe(x, window=20, periods=52, risk_free=cash[:, 0])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("block", [1, 1 << 18])
def test_blocks_do_not_show(monkeypatch, block):
    x = np.random.default_rng(3).normal(0.0, 0.01, (300, 5))
    expected = rolling_sharpe(x, window=63)
    monkeypatch.setattr(module, "_BLOCK", block)
    np.testing.assert_allclose(rolling_sharpe(x, window=63), expected, rtol=1e-13)


def test_nan_until_the_window_is_full_and_while_a_hole_is_in_it():
    x = np.full((10, 1), 0.01)
    x[5] = NAN
    known = ~np.isnan(rolling_return(x, window=3)[:, 0])
    assert known.tolist() == [False, False, True, True, True, False, False, False, True, True]
    assert np.isnan(rolling_return(x, window=11)).all()


def test_the_last_row_is_the_statistic_of_the_last_window():
    x = np.random.default_rng(4).normal(0.0005, 0.01, (400, 3))
    for rolled, statistic in ALONE:
        np.testing.assert_allclose(rolled(x, window=252)[-1], np.asarray(statistic(x[-252:])), rtol=1e-12)


def test_no_rounding_is_carried_through_a_crash():
    """After one huge return, running sums would have lost the digits of the small ones."""
    x = np.random.default_rng(5).normal(0.0, 1e-8, (60, 1))
    x[10] = 1e4
    found = rolling_volatility(x, window=20)[-1, 0]
    assert found == pytest.approx(float(np.std(x[-20:], ddof=1)) * math.sqrt(252), rel=1e-12)
    flat = np.full((60, 1), 0.001)
    flat[10] = 1e4
    assert rolling_volatility(flat, window=20)[-1, 0] == 0.0
    assert math.isnan(rolling_sharpe(flat, window=20)[-1, 0])


def test_the_same_as_empyrical():
    days = pd.bdate_range("2020-01-01", periods=300)
    x = pd.Series(np.random.default_rng(6).normal(0.0005, 0.01, 300), days)
    b = pd.Series(np.random.default_rng(7).normal(0.0005, 0.01, 300), days)
    column = x.to_numpy()[:, None]
    np.testing.assert_allclose(
        rolling_sharpe(column, window=63)[62:, 0], empyrical.roll_sharpe_ratio(x, window=63), rtol=1e-11
    )
    np.testing.assert_allclose(
        rolling_drawdown(column, window=63)[62:, 0], empyrical.roll_max_drawdown(x, window=63), rtol=1e-11, atol=1e-15
    )
    np.testing.assert_allclose(
        rolling_beta(column, b.to_numpy(), window=63)[62:, 0], empyrical.roll_beta(x, b, window=63), rtol=1e-10
    )


def test_no_look_ahead_and_the_same_wherever_the_panel_begins():
    x = np.random.default_rng(8).normal(0.0, 0.01, (120, 2))
    for rolled, _ in ALONE:
        whole = rolled(x, window=30)
        np.testing.assert_allclose(rolled(x[:70], window=30), whole[:70], rtol=1e-13)
        np.testing.assert_allclose(rolled(x[40:], window=30)[29:], whole[69:], rtol=1e-13)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(4)))
def test_books_in_another_order(seed, order):
    x = np.random.default_rng(seed).normal(0.0, 0.01, (40, 4))
    np.testing.assert_array_equal(rolling_sharpe(x[:, order], window=10), rolling_sharpe(x, window=10)[:, order])


def test_the_table_keeps_labels_and_brings_the_benchmark_onto_them():
    days = pd.bdate_range("2024-01-01", periods=6)
    x = pd.DataFrame({"a": [0.01, 0.02, -0.01, 0.0, 0.03, 0.01], "b": NAN}, days)
    b = pd.Series([0.01, 0.0, 0.01, 0.02, 0.0], days[1:])
    table = rolling_table(x, b, window=3, periods=52)
    assert all(part.index.equals(days) and list(part.columns) == ["a", "b"] for part in table.values())
    assert table["beta"]["a"].isna().tolist() == [True] * 3 + [False] * 3
    assert table["sharpe"]["a"].iloc[-1] == pytest.approx(stats.sharpe(x["a"].iloc[-3:], periods=52))
    assert table["return"]["b"].isna().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rolling_return(np.zeros((5, 1)), window=1), "at least 2"),
        (lambda: rolling_return(np.zeros(5), window=2), "must be"),
        (lambda: rolling_beta(np.zeros((5, 1)), np.zeros(4), window=2), "one length"),
        (lambda: rolling(stats.sharpe, np.full((5, 1), np.inf), window=2), "infinite"),
    ],
)
def test_nonsense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
