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
    frames = {name: _read(lake, name, window.first_day(min(decisions)), last) for name, window in reads.items()}
    frames.setdefault("corporate_actions", symbol_changes(lake, last))
    return History(frames, universe_index)


def symbol_changes(lake: Lake, last: date | None = None) -> pd.DataFrame:
    """Symbol changes, known by a day when one is given; every read needs them, declared or not."""
    return lake.read(TABLES["corporate_actions"], last=last, where="kind = 'symbol_change'")


def _read(lake: Lake, name: str, first: date, last: date) -> pd.DataFrame:
    columns = PRICE_COLUMNS if name == "prices" else None
    return lake.read(TABLES[name], first=first, last=last, columns=columns)
