"""What Quiver has of the sandbox world: each dataset's rows in the order in which they were published."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd

from pas_dagster.calendar import NEW_YORK
from pas_dagster.sandbox.sites.site import Present
from pas_dagster.sandbox.streams import Ints
from pas_dagster.sandbox.world import World

Record = dict[str, Any]

_OFFICE_HOURS = (9 * 60, 18 * 60)  # minutes of the day at which the Senate's filings come in


@dataclass(frozen=True)
class Records:
    """Rows, oldest first, and the second at which each was published."""

    frame: pd.DataFrame
    seconds: Ints

    def newest(self, present: Present, most: int | None = None) -> list[Record]:
        """Those that are published, newest first; nulls are None."""
        end = self._known(present)
        begin = 0 if most is None else max(0, end - most)
        return self._rows[begin:end][::-1]

    def of(self, present: Present, column: str, value: str) -> list[Record]:
        """Those with a value in a column, newest first."""
        at = self._groups(column).get(value, np.array([], dtype=np.int64))
        known = self._known(present)
        return [self._rows[one] for one in reversed(at.tolist()) if one < known]

    def on(self, present: Present, day: date) -> list[Record]:
        """Those of a day, newest first."""
        begin, end = self._span(day)
        return self._rows[begin : min(end, self._known(present))][::-1]

    def latest_day(self, present: Present, column: str = "known_on") -> list[Record]:
        """All of the last day that has any."""
        known = self._known(present)
        if not known:
            return []
        newest = self.frame.iloc[known - 1]
        begin, _ = self._span(newest["known_on"].date())
        return [row for row in _dicts(self.frame.iloc[begin:known])[::-1] if row[column] == newest[column]]

    def _span(self, day: date) -> tuple[int, int]:
        """Where the rows of a day begin and end."""
        edges = np.array([day, day + timedelta(1)], dtype="datetime64[us]")
        begin, end = np.searchsorted(self.frame["known_on"].to_numpy(), edges)
        return int(begin), int(end)

    def _known(self, present: Present) -> int:
        return int(np.searchsorted(self.seconds, int(present.now.timestamp()), side="right"))

    @cached_property
    def _rows(self) -> list[Record]:
        return _dicts(self.frame)

    @cached_property
    def _indices(self) -> dict[str, dict[str, Ints]]:
        return {}

    def _groups(self, column: str) -> dict[str, Ints]:
        if column not in self._indices:
            groups = self.frame.groupby(column, sort=False).indices
            self._indices[column] = {str(value): np.sort(at) for value, at in groups.items()}
        return self._indices[column]


def _dicts(frame: pd.DataFrame) -> list[Record]:
    plain = frame.astype(object)
    return plain.where(frame.notna(), None).to_dict("records")


@lru_cache(maxsize=32)
def records(world: World, name: str) -> Records:
    """A table of the world, with `published` (UTC): the first minute of the day where only the day is known."""
    frame = world.table(name)
    midnight = frame["known_on"].dt.tz_localize(NEW_YORK).dt.tz_convert("UTC").dt.tz_localize(None)
    moment = frame["known_at"].fillna(midnight) if "known_at" in frame else midnight
    return _ordered(frame.assign(published=moment), moment)


@lru_cache(maxsize=4)
def trades(world: World) -> Records:
    """Trades of politicians with `trade_id`, and `filed`: New York's time, of House filings the day only."""
    frame = world.table("politician_trades")
    who = frame["chamber"].str.title() + "-" + frame["bioguide_id"].fillna("None").astype("str")
    frame["trade_id"] = who + "-" + (frame.groupby(who).cumcount() + 1).astype("str")
    begin, end = _OFFICE_HOURS
    minutes = [begin + zlib.crc32(filing.encode()) % (end - begin) for filing in frame["filing_id"]]
    told = np.where(frame["chamber"] == "senate", minutes, 0).astype("timedelta64[m]")
    frame["filed"] = frame["known_on"] + told
    moment = frame["filed"].dt.tz_localize(NEW_YORK).dt.tz_convert("UTC").dt.tz_localize(None)
    return _ordered(frame, moment)


def _ordered(frame: pd.DataFrame, moment: pd.Series) -> Records:
    seconds = moment.to_numpy().astype("datetime64[s]").astype(np.int64)
    order = np.argsort(seconds, kind="stable")
    return Records(frame.iloc[order].reset_index(drop=True), seconds[order])


@lru_cache(maxsize=4)
def closes(world: World) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Days and closes of each symbol."""
    frame = world.table("prices")
    days, values = frame["known_on"].to_numpy(), frame["close"].to_numpy()
    groups = frame.groupby("symbol", sort=False).indices
    return {str(symbol): (days[at], values[at]) for symbol, at in groups.items()}


HOUSE_TYPES = {"stock": "ST", "etf": "EF", "option": "OP", "bond": "GS", "other": "OT"}
SENATE_TYPES = {
    "stock": "Stock",
    "etf": "Exchange Traded Fund/Note",
    "option": "Stock Option",
    "bond": "Municipal Security",
    "other": "Other",
}


def asset_type(trade: Record) -> str:
    """The House's code or the Senate's word."""
    return (HOUSE_TYPES if trade["chamber"] == "house" else SENATE_TYPES)[trade["asset_type"]]


def transaction(trade: Record) -> str:
    """Purchase, Sale, Sale (Full), Sale (Partial) or Exchange."""
    word = {"buy": "Purchase", "sell": "Sale", "exchange": "Exchange"}[trade["direction"]]
    return word if trade["extent"] is None else f"{word} ({trade['extent'].title()})"


def bracket(trade: Record) -> str:
    """`$1,001 - $15,000`."""
    if trade["amount_high"] is None:
        return f"Over ${trade['amount_low'] - 1:,.0f}"
    return f"${trade['amount_low']:,.0f} - ${trade['amount_high']:,.0f}"
