"""Securities through time: what they were called, who was listed, and their prices as arrays.

Symbols change hands. A *lineage* is one security through its changes; which changes count depends on the day asked
from, so everything here is given as of a decision.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import pandas as pd

from pas_dagster import calendar
from pas_dagster.strategies.facts import SYMBOL_COLUMN, Facts
from pas_dagster.strategies.roster import Roster

PANEL_FIELDS = ("total_return", "close", "dollar_volume")
EXCHANGE_TABLES = frozenset({"universe", "prices"})  # here a symbol is always the one of the row's event_date

Moves = list[tuple[np.datetime64, dict[str, str]]]  # symbol changes by day, oldest first: old -> new


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


class Renames:
    """Symbol changes, and which of them count at a decision."""

    def __init__(self, changes: pd.DataFrame) -> None:
        self.changes = changes
        self._made, self._told = (changes[name].to_numpy("datetime64[D]") for name in ("event_date", "known_on"))
        self._moves: dict[bytes, Moves] = {}

    def moves_at(self, decision: date) -> Moves:
        """The changes that had taken effect by the decision's day, as far as they were known."""
        cut = np.datetime64(decision)
        known = (self._told < cut) & (self._made <= cut)
        if known.tobytes() not in self._moves:
            self._moves[known.tobytes()] = moves_of(self.changes[known])
        return self._moves[known.tobytes()]

    def late_at(self, decision: date) -> np.ndarray:
        """(changes,) those that had taken effect before the decision but were not known yet."""
        cut = np.datetime64(decision)
        return (self._made < cut) & (self._told >= cut)


class Bars:
    """Prices as they were at any decision; the arrays are made once for all of them."""

    def __init__(self, prices: Facts, renames: Renames) -> None:
        self._prices, self._renames = prices, renames
        self._panels: dict[bytes, Panel] = {}

    @cached_property
    def panel(self) -> Panel:
        return Panel.from_rows(self._prices.rows, self._renames.changes)

    def panel_at(self, decision: date) -> Panel:
        """The panel without the symbol changes that were not known yet."""
        late = self._renames.late_at(decision)
        if not late.any():
            return self.panel
        if late.tobytes() not in self._panels:
            self._panels[late.tobytes()] = Panel.from_rows(self._prices.rows, self._renames.changes[~late])
        return self._panels[late.tobytes()]


class Listings:
    """The universe as it was at any decision; a list is made once while nothing changes."""

    def __init__(self, universe: Facts, renames: Renames) -> None:
        self._universe, self._renames = universe, renames
        self._roster: tuple[Moves, Roster] | None = None
        self._listed: dict[tuple[int, int], pd.DataFrame] = {}  # by the rows of the universe they were made from

    def listed(self, low: int, high: int, decision: date) -> pd.DataFrame:
        """The securities listed after the changes of some rows of the universe."""
        moves = self._renames.moves_at(decision)
        if self._roster is None or self._roster[0] is not moves:
            self._roster = (moves, Roster(called(self._universe.rows, "universe", moves)))
            self._listed = {}
        if (low, high) not in self._listed:
            self._listed[low, high] = self._roster[1].listed(low, high)
        return self._listed[low, high]


@dataclass(frozen=True)
class Securities:
    """What is known of securities, whichever facts there are."""

    renames: Renames
    bars: Bars | None = None
    listings: Listings | None = None

    @classmethod
    def of(cls, changes: pd.DataFrame, prices: Facts | None, universe: Facts | None) -> Securities:
        renames = Renames(changes)
        bars = None if prices is None else Bars(prices, renames)
        return cls(renames, bars, None if universe is None else Listings(universe, renames))
