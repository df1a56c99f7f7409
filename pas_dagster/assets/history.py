"""Load from the lake what a run's decisions may read, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import pandas as pd

from pas_dagster.lake import Lake
from pas_dagster.schemas import TABLES
from pas_dagster.strategies.history import History, Window

PRICE_COLUMNS = ["known_on", "symbol", "total_return", "close", "volume"]


def load_history(
    lake: Lake, reads: Mapping[str, Window], decisions: Sequence[date], universe_index: str | None = None
) -> History:
    """The union of what the decisions may see; `History.as_of` makes the cut at each of them."""
    last = max(decisions) - timedelta(1)
    changes = symbol_changes(lake, last)
    begin = {name: window.first_day(min(decisions)) for name, window in reads.items()}
    frames = {name: _read(lake, name, reads[name], first, last, changes) for name, first in begin.items()}
    frames.setdefault("corporate_actions", changes)
    return History(frames, universe_index, _earlier(lake, frames, begin, min(decisions)))


def _earlier(
    lake: Lake, frames: Mapping[str, pd.DataFrame], begin: Mapping[str, date], decision: date
) -> dict[str, date]:
    """The newest row of the datasets that have none between the window's first day and the first decision."""
    silent = [name for name in begin if not (frames[name]["known_on"] < pd.Timestamp(decision)).any()]
    found = {name: lake.last_partition(TABLES[name], begin[name]) for name in silent}
    return {name: day for name, day in found.items() if day is not None}


def symbol_changes(lake: Lake, last: date | None = None) -> pd.DataFrame:
    """Symbol changes, known by a day when one is given; every read needs them, declared or not."""
    return lake.read(TABLES["corporate_actions"], last=last, where="kind = 'symbol_change'")


def _read(lake: Lake, name: str, window: Window, first: date, last: date, changes: pd.DataFrame) -> pd.DataFrame:
    """The columns and symbols that the window names, and what those symbols were called before."""
    columns = PRICE_COLUMNS if name == "prices" else ["known_on", *window.columns] if window.columns else None
    if not window.symbols:
        return lake.read(TABLES[name], first=first, last=last, columns=columns)
    wanted = set(window.symbols)
    while earlier := set(changes.loc[changes["new_symbol"].isin(wanted), "symbol"]) - wanted:
        wanted |= earlier
    where = "list_contains(?::varchar[], symbol)"
    return lake.read(TABLES[name], first=first, last=last, columns=columns, where=where, values=[sorted(wanted)])
