"""Load from the lake what a run's decisions may read, and no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta

import pandas as pd

from pas_dagster.lake import Lake
from pas_dagster.schemas import TABLES
from pas_dagster.strategies.facts import Facts
from pas_dagster.strategies.history import History, Window
from pas_dagster.strategies.securities import Bars, Listings, Renames, Securities

PRICE_COLUMNS = ["known_on", "symbol", "total_return", "close", "volume"]

Key = tuple[str, tuple[str, ...], tuple[str, ...]]  # dataset, columns, symbols: what is read, but for the days


def load_history(
    lake: Lake, reads: Mapping[str, Window], decisions: Sequence[date], universe_index: str | None = None
) -> History:
    """The union of what the decisions may see; `History.as_of` makes the cut at each of them."""
    return Shelf(lake, [(reads, decisions)], max(decisions) - timedelta(1)).history(reads, decisions, universe_index)


class Shelf:
    """What several runs of decisions may see, through a day; what more than one of them reads is loaded once."""

    def __init__(self, lake: Lake, runs: Iterable[tuple[Mapping[str, Window], Sequence[date]]], last: date) -> None:
        """`runs` are the reads and decisions of each."""
        self._lake, self._last = lake, last
        self._begin: dict[Key, date] = {}
        self._readers: Counter[Key] = Counter()
        for reads, decisions in runs:
            for name, window in reads.items():
                key, first = _key(name, window), window.first_day(min(decisions))
                self._readers[key] += 1
                self._begin[key] = min(first, self._begin.get(key, first))
        self._kept: dict[Key, Facts] = {}
        self._bars: dict[Key, Bars] = {}
        self._listings: dict[Key, Listings] = {}
        self.changes = symbol_changes(lake, last)
        self._renames = Renames(self.changes)

    def history(
        self, reads: Mapping[str, Window], decisions: Sequence[date], universe_index: str | None = None
    ) -> History:
        """What the decisions of one of the runs may see."""
        facts = {name: self._facts(_key(name, window)) for name, window in reads.items()}
        bars = self._bars_of(reads["prices"], facts["prices"]) if "prices" in reads else None
        listings = self._listings_of(reads["universe"], facts["universe"]) if "universe" in reads else None
        earlier = self._earlier(reads, facts, min(decisions))
        facts.setdefault("corporate_actions", Facts(self.changes))
        return History(facts, universe_index, earlier, Securities(self._renames, bars, listings))

    def bars(self, prices: Window) -> Bars:
        """The prices that one of the runs reads."""
        return self._bars_of(prices, self._facts(_key("prices", prices)))

    def _bars_of(self, window: Window, prices: Facts) -> Bars:
        return self._bars.setdefault(_key("prices", window), Bars(prices, self._renames))

    def _listings_of(self, window: Window, universe: Facts) -> Listings:
        return self._listings.setdefault(_key("universe", window), Listings(universe, self._renames))

    def _facts(self, key: Key) -> Facts:
        if key in self._kept:
            return self._kept[key]
        facts = Facts(self._rows(*key, self._begin[key]))
        if self._readers[key] > 1:
            self._kept[key] = facts
        return facts

    def _rows(self, name: str, columns: Sequence[str], symbols: Sequence[str], first: date) -> pd.DataFrame:
        """The columns and symbols that a window names, and what those symbols were called before."""
        wanted = PRICE_COLUMNS if name == "prices" else ["known_on", *columns] if columns else None
        if not symbols:
            return self._lake.read(TABLES[name], first=first, last=self._last, columns=wanted)
        called = _called_before(symbols, self.changes)
        where = "list_contains(?::varchar[], symbol)"
        return self._lake.read(TABLES[name], first=first, last=self._last, columns=wanted, where=where, values=[called])

    def _earlier(self, reads: Mapping[str, Window], facts: Mapping[str, Facts], decision: date) -> dict[str, date]:
        """The newest row of the datasets that have none between their first day and the first decision."""
        silent = [_key(name, window) for name, window in reads.items() if facts[name].newest(decision) is None]
        found = {key[0]: self._lake.last_partition(TABLES[key[0]], self._begin[key]) for key in silent}
        return {name: day for name, day in found.items() if day is not None}


def _key(name: str, window: Window) -> Key:
    return name, window.columns, window.symbols


def symbol_changes(lake: Lake, last: date | None = None) -> pd.DataFrame:
    """Symbol changes, known by a day when one is given; every read needs them, declared or not."""
    return lake.read(TABLES["corporate_actions"], last=last, where="kind = 'symbol_change'")


def _called_before(symbols: Iterable[str], changes: pd.DataFrame) -> list[str]:
    """The symbols and what they were called earlier, sorted."""
    wanted = set(symbols)
    while earlier := set(changes.loc[changes["new_symbol"].isin(wanted), "symbol"]) - wanted:
        wanted |= earlier
    return sorted(wanted)
