"""The sandbox world as a provider: everything it publishes, on the day it publishes it."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import pandas as pd

from pas_dagster.sandbox.world import TABLES, World
from pas_dagster.schemas import Table


@lru_cache(maxsize=2)
def world(seed: int, start: date, end: date) -> World:
    """One world a process: making four years of it takes about a second."""
    return World(seed, start, end)


class SandboxProvider:
    """Serves the tables of a `World` from its first day to `end`."""

    name = "sandbox"

    def __init__(self, seed: int, start: date, end: date) -> None:
        self._arguments = (seed, start, end)

    def coverage(self, table: Table) -> tuple[date, date] | None:
        return self._arguments[1:] if table.name in TABLES else None

    def rows(self, table: Table, first: date, last: date) -> pd.DataFrame:
        frame = world(*self._arguments).table(table.name)
        known = frame["known_on"]
        return frame[(known >= pd.Timestamp(first)) & (known <= pd.Timestamp(last))]
