"""What is known, and the one cut that makes look-ahead impossible to express.

A `History` holds the frames of one run. `History.as_of(R)` gives the read-only view that a decision for R may
use: rows that became known strictly before R, no further back than the strategy declared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import pandas as pd

from pas_dagster import calendar
from pas_dagster.strategies.roster import Roster

PANEL_FIELDS = ("total_return", "close", "dollar_volume")
SYMBOL_COLUMN = "symbol"
EXCHANGE_TABLES = frozenset({"universe", "prices"})  # here a symbol is always the one of the row's event_date

Codes = tuple[np.ndarray, np.ndarray]  # (rows,) place of each row's symbol or -1 for none; the symbols, sorted
Moves = list[tuple[np.datetime64, dict[str, str]]]  # symbol changes by day, oldest first: old -> new


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


@dataclass(frozen=True)
class Panel:
    """Prices as arrays: `sessions` (T,) datetime64[D], `lineages` (N,) str, `fields` name -> (T, N) float.

    A lineage is one security through its symbol changes, named after its first symbol. NaN means no bar.
    """

    sessions: np.ndarray
    lineages: np.ndarray
    fields: Mapping[str, np.ndarray]

    @classmethod
    def from_rows(cls, rows: pd.DataFrame, changes: pd.DataFrame) -> Panel:
        """Build from rows (known_on, symbol, total_return, close, volume) and symbol changes."""
        if rows.empty:
            return cls(
                np.array([], "datetime64[D]"),
                np.array([], object),
                {f: np.empty((0, 0)) for f in PANEL_FIELDS},
            )
        days = rows["known_on"].to_numpy().astype("datetime64[D]")
        sessions = calendar.session_array(days.min().astype(object), days.max().astype(object))
        lineage = lineages(rows[SYMBOL_COLUMN], days, changes)
        columns, names = pd.factorize(lineage, sort=True)
        at = np.searchsorted(sessions, days)
        close = rows["close"].to_numpy(float)
        values = {
            "total_return": rows["total_return"].to_numpy(float),
            "close": close,
            "dollar_volume": close * rows["volume"].to_numpy(float),
        }
        return cls(
            sessions,
            np.asarray(names, object),
            {k: _scatter(at, columns, v, (len(sessions), len(names))) for k, v in values.items()},
        )

    @cached_property
    def traded(self) -> np.ndarray:
        """(T,) whether any security has a bar on the session."""
        return np.any(np.isfinite(self.fields["close"]), axis=1)

    def before(self, day: date) -> Panel:
        """The panel without the sessions from `day` on (views, no copies)."""
        end = int(np.searchsorted(self.sessions, np.datetime64(day)))
        return Panel(self.sessions[:end], self.lineages, {k: v[:end] for k, v in self.fields.items()})


def _scatter(at: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    grid = np.full(shape, np.nan)
    grid[at, columns] = values
    grid.setflags(write=False)  # every decision of a run looks at the same array
    return grid


def moves_of(changes: pd.DataFrame) -> Moves:
    """Symbol changes by the day they take effect, so that those of one day can swap symbols."""
    by_day: dict[np.datetime64, dict[str, str]] = defaultdict(dict)
    ordered = changes.sort_values("event_date", kind="stable")
    days = ordered["event_date"].to_numpy().astype("datetime64[D]")
    for day, old, new in zip(days, ordered["symbol"].tolist(), ordered["new_symbol"].tolist(), strict=True):
        by_day[day][old] = new
    return list(by_day.items())


def lineages(symbols: pd.Series, days: np.ndarray, changes: pd.DataFrame) -> np.ndarray:
    """The lineage of each (symbol, day); a symbol taken over by another company starts a lineage of its own."""
    result = symbols.to_numpy(object).copy()
    moves = moves_of(changes)
    touched = _touched(symbols, moves)
    source, when = result[touched], days[touched]
    named = source.copy()
    holder: dict[str, str] = {}
    for day, todays in moves:
        heirs = {new: holder.get(old, old) for old, new in todays.items()}
        for symbol, lineage in ({old: f"{old}#{day}" for old in todays} | heirs).items():
            holder[symbol] = lineage
            named[(source == symbol) & (when >= day)] = lineage
    result[touched] = named
    return result


def current_name(symbol: str, after: np.datetime64, moves: Moves) -> str:
    """What the holder of a symbol after a day is called once all moves are made.

    A holder whose symbol went to somebody else without a change of its own has gone; its name is no symbol.
    """
    for day, todays in moves:
        if day <= after:
            continue
        if symbol in todays:
            symbol = todays[symbol]
        elif symbol in todays.values():
            return f"{symbol}#before {day}"
    return symbol


def current_names(symbols: pd.Series, days: np.ndarray, moves: Moves, *, exact: bool) -> pd.Series:
    """The symbol, once all moves are made, of what each row called by its symbol of the day.

    A row that uses a symbol after its change means the company that had it (filings are late), unless the table is
    `exact`: then it means whoever was listed under the symbol next.
    """
    touched = _touched(symbols, moves)
    if not touched.size:
        return symbols
    source, when = symbols.to_numpy(object)[touched], days[touched]
    named = source.copy()
    for symbol in set(source.tolist()):
        rows = source == symbol
        named[rows] = name = current_name(symbol, np.datetime64("0000-01-01"), moves)
        for day, todays in moves:
            if exact or symbol in todays.values():
                name = current_name(symbol, day, moves)
            if symbol in todays or symbol in todays.values():
                named[rows & (when >= day)] = name
    result = symbols.to_numpy(object).copy()
    result[touched] = named
    return pd.Series(result, index=symbols.index, dtype=symbols.dtype)


def called(rows: pd.DataFrame, table: str, moves: Moves) -> pd.DataFrame:
    """Rows of a table with the symbols of now, which is when all moves are made."""
    if SYMBOL_COLUMN not in rows or not moves:
        return rows
    exact = table in EXCHANGE_TABLES
    days = rows["event_date" if exact else "known_on"].to_numpy().astype("datetime64[D]")
    return rows.assign(symbol=current_names(rows[SYMBOL_COLUMN], days, moves, exact=exact))


def _touched(symbols: pd.Series, moves: Moves) -> np.ndarray:
    """Positions of the rows whose symbol ever changed hands."""
    changed = {name for _, todays in moves for pair in todays.items() for name in pair}
    return np.flatnonzero(symbols.isin(changed).to_numpy()) if changed else np.array([], int)


class History:
    """The frames of a run, each sorted by `known_on`; nothing in it is cut yet.

    `earlier` gives the day of a dataset's newest row before those in its frame, which says how old it is when the frame
    has none in reach.
    """

    def __init__(
        self,
        tables: Mapping[str, pd.DataFrame],
        universe_index: str | None = None,
        earlier: Mapping[str, date] | None = None,
    ) -> None:
        self.universe_index = universe_index
        self._earlier = dict(earlier or {})
        self._codes: dict[str, Codes] = {}
        self._tables = {name: self._prepared(name, frame) for name, frame in tables.items()}
        actions = self._tables.get("corporate_actions")
        self.changes = _no_changes() if actions is None else actions[actions["kind"] == "symbol_change"]
        self._made, self._told = (self.changes[name].to_numpy("datetime64[D]") for name in ("event_date", "known_on"))
        self._panels: dict[bytes, Panel] = {}
        self._moves: dict[bytes, Moves] = {}
        self._roster: tuple[Moves, Roster] | None = None
        self._listed: tuple[tuple[int, int], pd.DataFrame] | None = None  # the last universe made, and from which rows

    def _prepared(self, name: str, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows in the order of `known_on`, each symbol one Python string however often it occurs.

        Comparing, hashing and looking up a few thousand of those takes a tenth of the time that Arrow's strings take.
        """
        rows = frame.reset_index(drop=True)
        if not rows["known_on"].is_monotonic_increasing:
            rows = rows.sort_values("known_on", kind="stable", ignore_index=True)
        if SYMBOL_COLUMN in rows and rows[SYMBOL_COLUMN].dtype != object:
            codes, names = self._codes[name] = _coded(rows[SYMBOL_COLUMN])
            strings = np.array([*names, None], dtype=object)  # code -1, no symbol, is the last
            rows[SYMBOL_COLUMN] = pd.Series(strings[codes], dtype=object)
        return rows

    def codes(self, name: str) -> Codes:
        """The symbols of a dataset's rows, as they are told, as places in the sorted list of them."""
        if name not in self._codes:
            self._codes[name] = _coded(self.table(name)[SYMBOL_COLUMN])
        return self._codes[name]

    def table(self, name: str) -> pd.DataFrame:
        if name not in self._tables:
            raise LookbackError(f"{name} was not declared in `reads`")
        return self._tables[name]

    def newest(self, name: str, before: date) -> date | None:
        """The day of a dataset's newest row before a day."""
        known = self.table(name)["known_on"].to_numpy()
        at = int(np.searchsorted(known, np.datetime64(before, "us")))
        return known[at - 1].astype("datetime64[D]").astype(object) if at else self._earlier.get(name)

    @cached_property
    def panel(self) -> Panel:
        return Panel.from_rows(self.table("prices"), self.changes)

    def panel_at(self, decision: date) -> Panel:
        """The panel without the symbol changes that had taken effect before the decision but were not known yet."""
        cut = np.datetime64(decision)
        late = (self._made < cut) & (self._told >= cut)
        if not late.any():
            return self.panel
        if late.tobytes() not in self._panels:
            self._panels[late.tobytes()] = Panel.from_rows(self.table("prices"), self.changes[~late])
        return self._panels[late.tobytes()]

    def moves_at(self, decision: date) -> Moves:
        """Symbol changes that had taken effect by the decision's day, as far as they were known."""
        cut = np.datetime64(decision)
        known = (self._told < cut) & (self._made <= cut)
        if known.tobytes() not in self._moves:
            self._moves[known.tobytes()] = moves_of(self.changes[known])
        return self._moves[known.tobytes()]

    def listed(self, low: int, high: int, decision: date) -> pd.DataFrame:
        """The securities listed after the changes of some rows of the universe; kept while nothing changes."""
        moves = self.moves_at(decision)
        if self._roster is None or self._roster[0] is not moves:
            self._roster = (moves, Roster(called(self.table("universe"), "universe", moves)))
            self._listed = None
        if self._listed is None or self._listed[0] != (low, high):
            self._listed = ((low, high), self._roster[1].listed(low, high))
        return self._listed[1]

    def before(self, day: date) -> History:
        """A history physically without anything known on or after the day."""
        cut = pd.Timestamp(day)
        tables = {name: frame[frame["known_on"] < cut] for name, frame in self._tables.items()}
        return History(tables, self.universe_index, self._earlier)

    def excerpt(self, day: date, reads: Mapping[str, Window], later: int) -> History:
        """What a decision on the day may see, and what became known in the `later` days from it on; no more."""
        end, tables, earlier = np.datetime64(day + timedelta(later), "us"), {}, dict(self._earlier)
        for name in dict.fromkeys([*reads, "corporate_actions"]):
            if name not in self._tables:
                continue
            known = self._tables[name]["known_on"].to_numpy()
            first = reads[name].first_day(day) if name in reads else calendar.FIRST
            low, high = np.searchsorted(known, [np.datetime64(first, "us"), end]).tolist()
            if low:
                earlier[name] = known[low - 1].astype("datetime64[D]").astype(object)
            tables[name] = self._tables[name].iloc[low:high]
        return History(tables, self.universe_index, earlier)

    def as_of(self, decision: date, reads: Mapping[str, Window]) -> AsOf:
        return AsOf(self, decision, reads)


def _coded(symbols: pd.Series) -> Codes:
    codes, names = pd.factorize(symbols, sort=True)
    return codes.astype(np.int32), np.asarray(names, dtype=object)


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
        self._cut = pd.Timestamp(decision)

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
        told, names = self._history.codes(name)
        changed = {symbol for _, todays in self._moves for pair in todays.items() for symbol in pair}
        if changed and not changed.isdisjoint(names):
            return _coded(self.table(name)[SYMBOL_COLUMN])
        codes = told[low:high]
        present = np.zeros(len(names) + 1, bool)
        present[codes] = True  # -1, no symbol, is the last
        place = np.append(np.cumsum(present[:-1]) - 1, -1)
        return place[codes], names[present[:-1]]

    def _span(self, name: str) -> tuple[int, int]:
        """The rows of a dataset, from and to, that became known in its declared window before the decision."""
        first = pd.Timestamp(self._declared(name).first_day(self.decision))
        known = self._history.table(name)["known_on"].to_numpy()
        low, high = np.searchsorted(known, [first.to_datetime64(), self._cut.to_datetime64()])
        return int(low), int(high)

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
        return self._history.listed(*self._span("universe"), self.decision)

    def stocks(self) -> list[str]:
        """Symbols of the stock universe at the decision: members of the configured index, or every stock."""
        stock = (self.universe["kind"] == "stock").to_numpy()
        index = self._history.universe_index
        if index is not None:
            stock = stock & np.fromiter((index in names for names in self.universe["indexes"]), bool, len(stock))
        return self.universe.index[stock].tolist()

    @cached_property
    def _moves(self) -> Moves:
        return self._history.moves_at(self.decision)

    def _declared(self, name: str) -> Window:
        if name not in self._reads:
            raise LookbackError(f"{name} was not declared in `reads`")
        return self._reads[name]

    def _panel(self, field: str, sessions: int, symbols: list[str] | None) -> pd.DataFrame:
        declared = self._declared("prices").sessions
        if declared is not None and sessions > declared:
            raise LookbackError(f"{sessions} sessions of prices were read, {declared} declared")
        panel = self._history.panel_at(self.decision)
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
        names = self._history.panel_at(self.decision).lineages
        moved = {symbol for _, todays in self._moves for pair in todays.items() for symbol in pair}
        return pd.Index([self._label(name) if name in moved or "#" in name else name for name in names], dtype=object)

    def _label(self, lineage: str) -> str:
        symbol, _, since = lineage.partition("#")
        if since and np.datetime64(since) >= np.datetime64(self.decision):
            return lineage  # who takes over a symbol later has no name yet
        return current_name(symbol, np.datetime64(since or "0000-01-01"), self._moves)
