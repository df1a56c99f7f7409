"""Weekly returns of the sleeves: what allocation and regimes look at."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import pandas as pd

from pas_dagster import calendar
from pas_dagster.analytics.backtest import weekly
from pas_dagster.assets.sleeves import RETURNS
from pas_dagster.assets.strategies import STRATEGIES
from pas_dagster.lake import Lake


def daily_returns(lake: Lake, first: date, last: date) -> pd.DataFrame:
    """Net returns of the sleeves: every session from the first with one through `last` x every strategy there is.

    A session of which nothing is stored is NaN: left out, it would make a week look whole, and the one before it new.
    """
    rows = lake.read(RETURNS, first=first, last=last, columns=["known_on", "strategy", "net"])
    known = rows.pivot(index="known_on", columns="strategy", values="net").reindex(columns=list(STRATEGIES))
    if known.empty:
        return known
    sessions = calendar.session_array(known.index[0].date(), last)
    return known.reindex(pd.DatetimeIndex(sessions.astype("datetime64[us]"), name="known_on"))


def begun(lake: Lake) -> dict[str, pd.Timestamp]:
    """Sleeve -> the first session of its returns."""
    rows = lake.query(f"select strategy, min(known_on) as day from {lake.name_of(RETURNS)} group by strategy")
    return dict(zip(rows["strategy"], rows["day"], strict=True))


def weeks_before(returns: pd.DataFrame, decision: date, weeks: int) -> pd.DataFrame:
    """Exactly the whole weeks that ended before the decision: weeks x sleeves; one that is not known is NaN.

    The one cut of the allocation: a range run holds later weeks too, and a gap must not let older weeks move up.
    """
    monday = pd.Timestamp(decision - timedelta(decision.weekday()))
    return returns.reindex(pd.date_range(end=monday - pd.Timedelta(days=7), periods=weeks, freq="7D"))


def whole_weeks(daily: pd.DataFrame, begun: Mapping[str, pd.Timestamp]) -> pd.DataFrame:
    """Weekly returns where every session of the week is known; NaN elsewhere, and for a sleeve's first week.

    `daily` is sessions x sleeves, `begun` the first session of each sleeve's returns: in its first week it was not
    invested from the start.
    """
    if daily.empty:
        return weekly(daily)
    sessions = calendar.session_array(daily.index[0].date(), daily.index[-1].date()).astype("datetime64[us]")
    index = pd.DatetimeIndex(sessions)
    every = daily.reindex(index)
    mondays = index - pd.to_timedelta(index.day_of_week, unit="D")
    result = weekly(every)
    known = every.notna().groupby(mondays).all().reindex(result.index, fill_value=False)
    after = pd.DataFrame(
        {name: result.index > begun.get(name, pd.Timestamp.max) for name in result}, index=result.index
    )
    return result.where(known & after)
