"""Episodes of loss: a loop as the second opinion, and the statistics of the same curve."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.analytics.statistics import drawdown, max_drawdown
from pas_dagster.risk.drawdowns import episodes, worst
from pas_dagster_tests.recorded import recorded

START = date(2024, 1, 1)
CURVES = st.lists(st.integers(1, 12), max_size=40)


def curve(values) -> pd.Series:
    """Values on every second day."""
    days = pd.DatetimeIndex([START + timedelta(days=2 * k) for k in range(len(values))])
    return pd.Series(np.array(values, dtype=float), index=days)


def plain_episodes(series: pd.Series) -> list[tuple]:
    """One date at a time."""
    found, high, peak, low, trough = [], -math.inf, None, None, None
    for stamp, value in series.items():
        if value >= high:
            if trough is not None:
                found.append((peak, trough, stamp, low / high - 1.0))
            high, peak, trough = value, stamp, None
        elif trough is None or value < low:
            low, trough = value, stamp
    if trough is not None:
        found.append((peak, trough, None, low / high - 1.0))
    return found


@settings(max_examples=150, deadline=None)
@given(CURVES)
def test_episodes_are_those_of_a_plain_loop(values: list[int]) -> None:
    series = curve(values)
    found = episodes(series)
    plain = plain_episodes(series)
    assert len(found) == len(plain)
    for episode, (peak, trough, recovery, depth) in zip(found, plain, strict=True):
        assert (episode.peak, episode.trough) == (peak.date(), trough.date())
        assert episode.recovery == (recovery.date() if recovery else None) and episode.open == (recovery is None)
        assert episode.depth == pytest.approx(depth)
        assert episode.days_down == (trough - peak).days
        assert episode.days_to_recover == ((recovery - trough).days if recovery else None)
        assert episode.days == ((recovery or series.index[-1]) - peak).days
    assert all(not episode.open for episode in found[:-1])


@settings(max_examples=60, deadline=None)
@given(CURVES.filter(len), st.floats(0.01, 1e6))
def test_the_deepest_is_the_maximum_drawdown_whatever_the_currency(values: list[int], factor: float) -> None:
    series = curve(values)
    deepest = worst(series * factor, 1)
    returns = series.pct_change().iloc[1:]
    assert (deepest[0].depth if deepest else 0.0) == pytest.approx(max_drawdown(returns) if len(returns) else 0.0)
    under = int((drawdown(returns) < -1e-12).sum()) if len(returns) else 0
    assert (
        sum(
            (series.index > pd.Timestamp(e.peak)).sum()
            - ((series.index >= pd.Timestamp(e.recovery)).sum() if e.recovery else 0)
            for e in episodes(series)
        )
        == under
    )


def test_the_worst_come_first_and_of_equal_ones_the_older() -> None:
    series = curve([10, 9, 10, 5, 10, 9, 11, 8.8])
    found = worst(series, 3)
    assert [round(e.depth, 6) for e in found] == [-0.5, -0.2, -0.1]
    assert found[2].peak == START and found[1].open
    assert worst(series, 0) == () and len(worst(series, 99)) == 4


def test_the_peak_is_the_last_day_at_the_high_and_the_trough_the_first_at_the_low() -> None:
    [found] = episodes(curve([10, 10, 8, 8, 9, 10]))
    assert (found.peak, found.trough, found.recovery) == tuple(START + timedelta(days=d) for d in (2, 4, 10))


def test_a_day_without_a_value_is_no_observation() -> None:
    series = curve([10, math.nan, 8, math.nan, 10, 9, math.nan])
    assert episodes(series) == episodes(series.dropna())
    assert episodes(curve([])) == () and episodes(curve([math.nan])) == ()


def test_rounding_is_no_drawdown() -> None:
    assert episodes(curve([1.0, 1.0 - 1e-15, 1.0])) == ()


def test_a_lost_account_is_down_by_everything() -> None:
    [found] = episodes(curve([10, 0]))
    assert found.depth == -1.0 and found.open


def test_curves_that_are_none_are_refused() -> None:
    series = curve([10, 9, 8])
    for bad in (series[::-1], series.iloc[[0, 0, 1]]):
        with pytest.raises(ValueError, match="must rise"):
            episodes(bad)
    for values in ([10, -1], [10, 0, 5], [10, math.inf]):
        with pytest.raises(ValueError, match="finite and above 0"):
            episodes(curve(values))
    with pytest.raises(ValueError, match="indexed by dates"):
        episodes(pd.Series([1.0, 2.0]))


@pytest.mark.shared
def test_the_index_fell_where_it_is_known_to_have_fallen() -> None:
    """Closing highs and lows of the S&P 500."""
    index = pd.read_csv(recorded("quant/skfolio/sp500_index.csv.gz"), index_col=0, parse_dates=True).iloc[:, 0]
    crisis, bubble, pandemic, inflation, *_ = worst(index, 5)
    assert (crisis.peak, crisis.trough, round(crisis.depth, 3)) == (date(2007, 10, 9), date(2009, 3, 9), -0.568)
    assert (bubble.peak, bubble.trough, round(bubble.depth, 3)) == (date(2000, 3, 24), date(2002, 10, 9), -0.491)
    assert (pandemic.peak, pandemic.trough, round(pandemic.depth, 3)) == (date(2020, 2, 19), date(2020, 3, 23), -0.339)
    assert (inflation.peak, inflation.trough, inflation.open) == (date(2022, 1, 3), date(2022, 10, 12), True)
    assert crisis.recovery == date(2013, 3, 28) and bubble.recovery == date(2007, 5, 30)
