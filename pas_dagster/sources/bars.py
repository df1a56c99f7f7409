"""Daily bars as traded: reading many at once, and the total return that closes, splits and dividends make.

The previous close is that of the last bar present, under the old symbol after a change of symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import numpy as np
import pandas as pd

from pas_dagster import calendar
from pas_dagster.sources.source import LayoutError, Query

LEAD = timedelta(days=30)
"""Bars are asked for from so long before the window, so that its first bar has a previous close."""

_SETTLED = time(16, 15)  # New York; the close is at 16:00 or earlier, and a little later it is final
_ACTIONS = ["symbol", "event_date", "kind", "value"]


def last_settled(now: datetime) -> date:
    """The last day whose bar is final at an instant: today only after the close."""
    local = now.astimezone(calendar.NEW_YORK)
    return local.date() if local.time() >= _SETTLED else local.date() - timedelta(days=1)


def in_window(rows: pd.DataFrame, query: Query, column: str = "event_date") -> pd.DataFrame:
    """The rows of the window whose bars are final. Raises `LayoutError` for a row dated after the day of asking."""
    if rows.empty:
        return rows
    require_past(rows[column], query.now)
    last = min(query.last, last_settled(query.now))
    return rows[rows[column].between(pd.Timestamp(query.first), pd.Timestamp(last))]


def total_return(close: Any, split: Any, dividend: Any, previous: Any) -> Any:
    """(close x split + dividend) / previous close - 1: all as traded on the day, USD and new shares per old.

    Numbers, arrays or series alike.

    >>> total_return(5.0, 2.0, 2.5, 10.0)
    0.25
    """
    return (close * split + dividend) / previous - 1


def require_past(days: pd.Series, now: datetime) -> None:
    """A site whose days lie ahead of the day of asking has a wrong clock: nothing it says can be dated."""
    ahead = days[days > pd.Timestamp(calendar.today(now))]
    if len(ahead):
        raise LayoutError(f"nothing has happened after the day of asking, but a row is of {ahead.iloc[0]:%Y-%m-%d}")


def no_actions() -> pd.DataFrame:
    """No splits and dividends, in the columns that `with_returns` reads."""
    return pd.DataFrame({name: pd.Series([], dtype=object) for name in _ACTIONS})


def with_returns(
    bars: pd.DataFrame, actions: pd.DataFrame, renamed: Sequence[tuple[str, str, date]] = ()
) -> pd.DataFrame:
    """Bars (symbol, event_date, close, ...) sorted by symbol and day, with `total_return` (NaN on a first bar).

    `actions`: symbol, event_date, kind (split, dividend), value; one on a day without a bar counts on the next bar.
    `renamed`: old symbol, new symbol, day from which the new one holds; the company's bars are one series.
    """
    if bars.empty:
        return bars.assign(total_return=pd.Series([], dtype="float64"))
    names = pd.Index(pd.unique(bars["symbol"]))
    line, day = names.get_indexer(bars["symbol"]), _numbers(bars["event_date"])
    told = actions[actions["symbol"].isin(names)]
    told_line, told_day = names.get_indexer(told["symbol"]), _numbers(told["event_date"])
    for old, new, since in sorted(renamed, key=lambda change: change[2]):
        if old in names and new in names:
            begin, heir, parent = np.datetime64(since).astype(int), names.get_loc(new), names.get_loc(old)
            former = line[(bars["symbol"] == old).to_numpy() & (day < begin)]
            root = former[-1] if len(former) else parent
            line[(line == heir) & (day >= begin)] = root
            told_line[(told_line == heir) & (told_day >= begin)] = root
    order = np.lexsort((day, line))
    line, day, close = line[order], day[order], bars["close"].to_numpy("float64")[order]
    split, dividend = np.ones(len(order)), np.zeros(len(order))
    at = np.searchsorted(_keys(line, day), _keys(told_line, told_day))
    found = at < len(line)
    found[found] = line[at[found]] == told_line[found]
    kind, value = told["kind"].to_numpy(object)[found], told["value"].to_numpy("float64")[found]
    np.multiply.at(split, at[found][kind == "split"], value[kind == "split"])
    np.add.at(dividend, at[found][kind == "dividend"], value[kind == "dividend"])
    total = np.full(len(order), np.nan)
    total[1:] = total_return(close[1:], split[1:], dividend[1:], close[:-1])
    total[np.r_[True, line[1:] != line[:-1]]] = np.nan
    return bars.iloc[order].assign(total_return=total).sort_values(["symbol", "event_date"], ignore_index=True)


def _numbers(days: pd.Series) -> np.ndarray:
    return pd.to_datetime(days).to_numpy("datetime64[D]").astype(np.int64)


def _keys(line: np.ndarray, day: np.ndarray) -> np.ndarray:
    """One number that sorts by series, then by day (days since 1970 are below a million for 2,700 years)."""
    return line.astype(np.int64) * 1_000_000 + day
