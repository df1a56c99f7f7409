"""A lake in memory: the queries of the real one, without Postgres, files or snapshots."""

from collections.abc import Iterator, Sequence
from datetime import date
from threading import RLock
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from pas_dagster import settings
from pas_dagster.assets.resources import Workshop
from pas_dagster.lake import Lake, Written, store
from pas_dagster.schemas import TABLES, Table
from pas_dagster.settings import Settings


class MemoryLake(Lake):
    def __init__(self) -> None:
        self._lock = RLock()
        self._connection = duckdb.connect()
        self._connection.execute("attach ':memory:' as lake")
        self._connection.execute("use lake")
        self._create_tables()

    def snapshot(self) -> int:
        return 0

    def replace(
        self, table: Table, partitions: Sequence[date], frame: pd.DataFrame, *, scope: tuple[str, str] | None = None
    ) -> Written:
        rows = table.sort(table.conform(frame))
        store._require_inside(table, partitions, rows, scope)
        change = store._Change(table, list(partitions), pa.Table.from_pandas(rows, preserve_index=False), scope)
        changed = not self._is_stored(change)
        self._swap(change)
        return Written(len(rows), 0, changed)

    def put(self, name: str, *rows: dict[str, Any]) -> None:
        """Store rows of a table; columns that a test does not care for are filled in."""
        table = TABLES[name]
        frame = table.conform(pd.DataFrame([_filled(table) | row for row in rows]))
        frame = pd.concat([self.read(table), frame], ignore_index=True)
        self.replace(table, sorted(frame[table.partition].dt.date.unique()), frame)


def _filled(table: Table) -> dict[str, Any]:
    values = {"date": "2024-01-02", "varchar": "x", "double": 1.0, "bigint": 1, "boolean": False}
    return {c.name: None if c.nullable else values[c.kind.sql] for c in table.columns}


@pytest.fixture
def lake() -> Iterator[MemoryLake]:
    with MemoryLake() as made:
        yield made


@pytest.fixture
def chosen(tmp_path) -> Settings:
    return settings.load(home=tmp_path / "home", world="real", database_url=None, start=date(2023, 1, 3))


def bench(lake: Lake, chosen: Settings) -> Workshop:
    """A workshop on a lake."""

    class Bench(Workshop):
        @property
        def settings(self) -> Settings:
            return chosen

        @property
        def lake(self) -> Lake:
            return lake

    return Bench()


@pytest.fixture
def workshop(lake: MemoryLake, chosen: Settings) -> Workshop:
    return bench(lake, chosen)
