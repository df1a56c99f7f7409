"""What is known, and the one cut that makes look-ahead impossible to express.

A `History` holds the facts of one run. `History.as_of(R)` gives the read-only view that a decision for R may
use: rows that became known strictly before R, no further back than the strategy declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import TypeVar

import numpy as np
import pandas as pd

from pas_dagster import calendar
from pas_dagster.strategies.facts import SYMBOL_COLUMN, Codes, Facts, coded
from pas_dagster.strategies.securities import Bars, Listings, Moves, Securities, called, current_name

MAX_AGE: Mapping[str, int | None] = {
    # Logs of changes: a day without one is the normal state, so the age of the newest row says nothing.
    "universe": None,
    "corporate_actions": None,
    "prices": 6,
    "sp500_index": 6,
    "treasury_rates": 7,
    "politician_trades": 14,
    "insider_buying": 7,
    "wiki_views": 5,
    "reddit_mentions": 5,
    "news_headlines": 5,
    "dc_insider_scores": 10,
    "app_reviews": 10,
    "google_trends": 14,
    "analyst_ratings": 14,
    "gov_contracts": 14,
    "catalyst_events": 35,
    "fama_french_factors": 75,
    "lobbying": 115,  # quarterly reports, due twenty days after the quarter
}
"""Days after which the newest fact of a dataset is too old to decide on, unless a strategy declares otherwise."""


T = TypeVar("T")


@dataclass(frozen=True)
class Window:
    """What a strategy reads of a dataset, and how old it may be.

    Attributes:
        days: how far back in calendar days; with neither `days` nor `sessions` everything.
        sessions: how far back in sessions, for prices.
        columns: the columns needed besides `known_on`; none named means all. Of prices the panel's are always read.
        symbols: the only symbols needed; none named means all.
        max_age: days from the newest known row to the decision beyond which the strategy does not decide on it;
            `MAX_AGE` of the dataset when left out.
    """

    days: int | None = None
    sessions: int | None = None
    columns: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    max_age: int | None = None

    def first_day(self, decision: date) -> date:
        """The first day whose facts are needed for a decision."""
        if self.sessions is not None:
            known = calendar.session_array(calendar.FIRST, decision - timedelta(1))
            return known[-min(self.sessions, len(known))].astype(object)
        if self.days is not None:
            return decision - timedelta(self.days)
        return calendar.FIRST

    def oldest_allowed(self, dataset: str) -> int | None:
        """Days that the newest row may be old; None where age says nothing."""
        return MAX_AGE.get(dataset) if self.max_age is None else self.max_age


class LookbackError(ValueError):
    """A strategy read further back, or another dataset, than it declared."""


class History:
    """The facts of a run; nothing in it is cut yet.

    Attributes:
        facts: dataset -> its rows.
        universe_index: the index whose members are the stock universe; None for every stock.
        securities: made of the facts; given when other histories share it.
    """

    def __init__(
        self,
        tables: Mapping[str, pd.DataFrame | Facts],
        universe_index: str | None = None,
        earlier: Mapping[str, date] | None = None,
        securities: Securities | None = None,
    ) -> None:
        """`earlier` gives the day of a dataset's newest row before those in `tables`.

        It says how old a dataset is that has no row in reach.
        """
        self.facts = {name: rows if isinstance(rows, Facts) else Facts(rows) for name, rows in tables.items()}
        self.universe_index = universe_index
        prices, universe = self.facts.get("prices"), self.facts.get("universe")
        self.securities = securities or Securities.of(self._changes(), prices, universe)
        self._earlier = dict(earlier or {})

    def _changes(self) -> pd.DataFrame:
        actions = self.facts.get("corporate_actions")
        return _no_changes() if actions is None else actions.rows[actions.rows["kind"] == "symbol_change"]

    @property
    def bars(self) -> Bars:
        return _declared(self.securities.bars, "prices")

    @property
    def listings(self) -> Listings:
        return _declared(self.securities.listings, "universe")

    def table(self, name: str) -> pd.DataFrame:
        """All rows of a dataset, oldest first; symbols as they were told."""
        return self.of(name).rows

    def of(self, name: str) -> Facts:
        return _declared(self.facts.get(name), name)

    def newest(self, name: str, before: date) -> date | None:
        """The day of a dataset's newest row before a day."""
        return self.of(name).newest(before) or self._earlier.get(name)

    def before(self, day: date) -> History:
        """A history physically without anything known on or after the day."""
        tables = {name: one.rows.iloc[slice(*one.span(date.min, day))] for name, one in self.facts.items()}
        return History(tables, self.universe_index, self._earlier)

    def excerpt(self, day: date, reads: Mapping[str, Window], later: int) -> History:
        """What a decision on the day may see, and what became known in the `later` days from it on; no more."""
        end, tables, earlier = day + timedelta(later), {}, dict(self._earlier)
        for name in dict.fromkeys([*reads, "corporate_actions"]):
            if name not in self.facts:
                continue
            rows = self.facts[name].rows
            low, high = self.facts[name].span(reads[name].first_day(day) if name in reads else date.min, end)
            if low:
                earlier[name] = rows["known_on"].iloc[low - 1].date()
            tables[name] = rows.iloc[low:high]
        return History(tables, self.universe_index, earlier)

    def as_of(self, decision: date, reads: Mapping[str, Window]) -> AsOf:
        return AsOf(self, decision, reads)


def _declared(found: T | None, name: str) -> T:
    if found is None:
        raise LookbackError(f"{name} was not declared in `reads`")
    return found


def _no_changes() -> pd.DataFrame:
    days = pd.Series([], dtype="datetime64[us]")
    names = pd.Series([], dtype="str")
    return pd.DataFrame({"known_on": days, "event_date": days, "symbol": names, "new_symbol": names})


class AsOf:
    """What a decision for one day may know. Read-only; every method cuts strictly before `decision`."""

    def __init__(self, history: History, decision: date, reads: Mapping[str, Window]) -> None:
        self.decision = decision
        self._history = history
        self._reads = reads

    def table(self, name: str) -> pd.DataFrame:
        """The rows of a dataset that became known in its declared window before the decision, oldest first.

        Symbols are given as they are called on the decision's day.
        """
        low, high = self._span(name)
        return called(self._history.table(name).iloc[low:high], name, self._moves)

    def codes(self, name: str) -> Codes:
        """The symbols of `table(name)` as `pd.factorize(..., sort=True)` gives them, made ready for all decisions.

        (rows,) integers, -1 for a row about no symbol, and the symbols they stand for, sorted.
        """
        low, high = self._span(name)
        told, names = self._history.of(name).codes
        changed = {symbol for _, todays in self._moves for pair in todays.items() for symbol in pair}
        if changed and not changed.isdisjoint(names):
            return coded(self.table(name)[SYMBOL_COLUMN])
        codes = told[low:high]
        present = np.zeros(len(names) + 1, bool)
        present[codes] = True  # -1, no symbol, is the last
        place = np.append(np.cumsum(present[:-1]) - 1, -1)
        return place[codes], names[present[:-1]]

    def _span(self, name: str) -> tuple[int, int]:
        """The rows of a dataset, from and to, that became known in its declared window before the decision."""
        return self._history.of(name).span(self._declared(name).first_day(self.decision), self.decision)

    def returns(self, sessions: int, symbols: list[str] | None = None) -> pd.DataFrame:
        """Daily simple total returns of the last `sessions` sessions: (sessions, symbols), NaN where no bar."""
        return self._panel("total_return", sessions, symbols)

    def closes(self, sessions: int, symbols: list[str] | None = None) -> pd.DataFrame:
        """Raw closes in USD, not adjusted for splits: (sessions, symbols), NaN where no bar."""
        return self._panel("close", sessions, symbols)

    def dollar_volumes(self, sessions: int, symbols: list[str] | None = None) -> pd.DataFrame:
        """Close times volume in USD: (sessions, symbols), NaN where either is unknown."""
        return self._panel("dollar_volume", sessions, symbols)

    def daily(self, name: str, column: str, days: int) -> pd.DataFrame:
        """A number by day and symbol: (days, symbols), the last `days` event days before the decision, NaN where none.

        Rows of one day and symbol are added up. Days are those on which it happened, as far as it is known.
        """
        rows = self.table(name)
        last = np.datetime64(self.decision) - 1
        at = days - 1 - (last - rows["event_date"].to_numpy().astype("datetime64[D]")).astype(int)
        inside = (at >= 0) & rows[column].notna().to_numpy()
        codes, symbols = self.codes(name)
        inside &= codes >= 0  # a row about no symbol
        cell = at[inside] * len(symbols) + codes[inside]
        size = days * len(symbols)
        values = np.bincount(cell, rows[column].to_numpy(float)[inside], size)
        values[np.bincount(cell, minlength=size) == 0] = np.nan
        index = np.arange(last - days + 1, last + 1).astype("datetime64[us]")
        return pd.DataFrame(values.reshape(days, len(symbols)), index=index, columns=symbols)

    def newest(self, name: str) -> date | None:
        """The day on which the newest row of a dataset became known before the decision; None if there is none."""
        return self._history.newest(name, self.decision)

    def stale(self) -> str | None:
        """Which of the declared inputs is older than allowed, in words; None when all are fresh."""
        for name, window in self._reads.items():
            allowed, newest = window.oldest_allowed(name), self.newest(name)
            if newest is None:
                return f"nothing is known of {name} yet"
            age = (self.decision - newest).days
            if allowed is not None and age > allowed:
                return f"the newest row of {name} is {age} days old ({newest}), at most {allowed} are allowed"
        return None

    @cached_property
    def universe(self) -> pd.DataFrame:
        """Securities listed at the decision, one row a symbol: name, kind, sector, indexes (a frozenset)."""
        return self._history.listings.listed(*self._span("universe"), self.decision)

    def stocks(self) -> list[str]:
        """Symbols of the stock universe at the decision: members of the configured index, or every stock."""
        stock = (self.universe["kind"] == "stock").to_numpy()
        index = self._history.universe_index
        if index is not None:
            stock = stock & np.fromiter((index in names for names in self.universe["indexes"]), bool, len(stock))
        return self.universe.index[stock].tolist()

    @cached_property
    def _moves(self) -> Moves:
        return self._history.securities.renames.moves_at(self.decision)

    def _declared(self, name: str) -> Window:
        if name not in self._reads:
            raise LookbackError(f"{name} was not declared in `reads`")
        return self._reads[name]

    def _panel(self, field: str, sessions: int, symbols: list[str] | None) -> pd.DataFrame:
        declared = self._declared("prices").sessions
        if declared is not None and sessions > declared:
            raise LookbackError(f"{sessions} sessions of prices were read, {declared} declared")
        panel = self._history.bars.panel_at(self.decision)
        end = int(np.searchsorted(panel.sessions, np.datetime64(self.decision, "D")))
        while end > 0 and not panel.traded[end - 1]:
            end -= 1  # a session of which nothing is known is not known: that it is in the panel tells the future
        start = max(0, end - sessions)
        frame = pd.DataFrame(
            panel.fields[field][start:end],
            index=panel.sessions[start:end].astype("datetime64[us]"),
            columns=self._columns,
            copy=False,  # the arrays are read-only
        )
        return frame if symbols is None else frame.reindex(columns=symbols)

    @cached_property
    def _columns(self) -> pd.Index:
        """The symbols of the panel's lineages on the decision's day."""
        names = self._history.bars.panel_at(self.decision).lineages
        moved = {symbol for _, todays in self._moves for pair in todays.items() for symbol in pair}
        return pd.Index([self._label(name) if name in moved or "#" in name else name for name in names], dtype=object)

    def _label(self, lineage: str) -> str:
        symbol, _, since = lineage.partition("#")
        if since and np.datetime64(since) >= np.datetime64(self.decision):
            return lineage  # who takes over a symbol later has no name yet
        return current_name(symbol, np.datetime64(since or "0000-01-01"), self._moves)
