"""What is odd about freshly fetched rows without being wrong: warnings for whoever looks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd

from pas_dagster import calendar

JUMP = 10.0  # times the usual number of rows, up or down
FEWEST = 20  # rows below which a jump means nothing
DUE = 5.0  # rows expected, of which none came: chance makes that happen once in 150 times
LARGEST_MOVE = 0.5
LEAST_LISTED = 0.9
LARGEST_REFUSED = 0.01


def row_count(rows: pd.Series, days: Sequence[date], earlier: pd.Series) -> str | None:
    """A day with ten times the rows usual on its weekday, or a tenth; or no row at all where several are due.

    Days without a session may be silent.

    `rows` and `earlier` hold the partition of every row: of the run, and of the weeks before it.

    >>> weeks = pd.Series(pd.date_range("2026-01-05", periods=8, freq="7D").repeat(45))
    >>> row_count(pd.Series([pd.Timestamp("2026-03-02")] * 500), [date(2026, 3, 2)], weeks)
    '2026-03-02 has 500 rows, where 45 are usual'
    """
    if earlier.empty:
        return None
    begin = earlier.min()
    span = pd.date_range(begin, earlier.max())
    usual = earlier.dt.dayofweek.value_counts() / span.dayofweek.value_counts()
    index = pd.DatetimeIndex(days)
    expected = usual.reindex(index.dayofweek).fillna(0.0).to_numpy()
    found = rows.value_counts().reindex(index).fillna(0).to_numpy()
    jumped = (expected >= FEWEST) & ((found > JUMP * expected) | (found < expected / JUMP))
    silent = (expected >= 2 * DUE) & (found == 0) & np.isin(index.to_numpy("datetime64[D]"), _sessions(days))
    odd = jumped | silent
    if odd.any():
        at = int(odd.argmax())
        return f"{index[at]:%Y-%m-%d} has {found[at]:,.0f} rows, where {expected[at]:,.0f} are usual"
    if not found.any() and expected.sum() >= DUE:
        return f"{days[0]} to {days[-1]} have no row, where {expected.sum():,.0f} are usual"
    return None


def _sessions(days: Sequence[date]) -> np.ndarray:
    """The days among these on which the exchange is open: on others silence is usual."""
    return calendar.session_array(days[0], days[-1])


def age(newest: date | None, day: date, allowed: int) -> str | None:
    """The newest fact is older than `allowed` days."""
    if newest is None:
        return "there is no row yet"
    days = (day - newest).days
    return f"the newest row is of {newest}, {days} days before {day}; {allowed} are usual" if days > allowed else None


def listed(rows: pd.DataFrame, symbols: Sequence[str]) -> str | None:
    """Fewer than 90 % of the rows with a symbol are about a security of the universe."""
    named = rows["symbol"].dropna()
    if named.empty or not len(symbols):
        return None
    known = named.isin(symbols)
    if known.mean() >= LEAST_LISTED:
        return None
    return f"{known.mean():.0%} of {len(named):,} rows are about listed securities; {named[~known].iloc[0]} is not one"


def moves(prices: pd.DataFrame, actions: pd.DataFrame) -> str | None:
    """A return beyond +-50 % on a day without a corporate action of the symbol."""
    large = prices[prices["total_return"].abs() > LARGEST_MOVE]
    explained = set(zip(actions["symbol"], actions["event_date"], strict=True))
    odd = [row for row in large.itertuples() if (row.symbol, row.known_on) not in explained]
    if not odd:
        return None
    first = odd[0]
    return (
        f"{len(odd)} moves beyond {LARGEST_MOVE:.0%} without a corporate action; first: "
        f"{first.symbol} {first.total_return:+.0%} on {first.known_on:%Y-%m-%d}"
    )


def refused(count: int, rows: int) -> str | None:
    """More than 1 % of the rows went to quarantine."""
    share = count / (count + rows) if count else 0.0
    return (
        f"{count:,} of {count + rows:,} rows were refused; see the table quarantine"
        if share > LARGEST_REFUSED
        else None
    )
