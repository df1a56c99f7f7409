"""Read tables of the lake, and replace partitions of them in one transaction.

A write that would leave the same content is not made, so materialising anything twice changes nothing: no new
files, no new snapshot.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from pas_dagster.lake import mirror
from pas_dagster.lake.connection import LAKE, alone, connect
from pas_dagster.lake.frames import frame_of
from pas_dagster.schemas import TABLES, Table
from pas_dagster.schemas.columns import RAW
from pas_dagster.schemas.results import RESULTS

T = TypeVar("T")
_RESULTS = frozenset(table.name for table in RESULTS)
NAMESPACE = re.compile(r"[a-z][a-z0-9_]{0,62}")
PATIENCE = 60.0  # seconds for which a commit that conflicts with another writer is tried again


class PartitionError(ValueError):
    """Rows were given for a partition that is not being replaced."""


@dataclass(frozen=True)
class Written:
    """What a write did: rows now in the partitions, the lake's snapshot that holds them, whether it changed."""

    rows: int
    snapshot: int
    changed: bool


class Lake:
    """The analytical store. One connection a process; threads take turns."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._lock = RLock()
        mirror.create(url)
        with alone(url):
            self._connection = connect(url, folder)
            self._create_tables()
        mirror.repair(self._connection, url)

    def close(self) -> None:
        self._connection.close()

    def branch(self, namespace: str) -> Branch:
        """The same facts with results of their own, in the schema `namespace`; made when it is not there yet."""
        return Branch(self, namespace)

    def name_of(self, table: Table) -> str:
        """What a table is called in queries on this lake."""
        return f"{LAKE}.{table.name}"

    def __enter__(self) -> Lake:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(
        self,
        table: Table,
        *,
        first: date | None = None,
        last: date | None = None,
        columns: Sequence[str] | None = None,
        where: str = "true",
        values: Sequence[Any] = (),
        snapshot: int | None = None,
    ) -> pd.DataFrame:
        """Rows with first <= partition <= last, in the table's stored order.

        `where` is a condition with `?` for each of `values`; `snapshot` reads the past ("time travel").
        """
        names = ", ".join(columns or table.names)
        version = f" at (version => {int(snapshot)})" if snapshot is not None else ""
        bounds, bound_values = _between(table, first, last)
        order = ", ".join(dict.fromkeys([table.partition, *table.key]))
        query = f"select {names} from {self.name_of(table)}{version} where {bounds} and ({where}) order by {order}"
        with self._lock:
            return frame_of(self._connection.execute(query, [*bound_values, *values]).to_arrow_table())

    def query(self, text: str, values: Sequence[Any] = ()) -> pd.DataFrame:
        """The answer to a query on the lake's tables."""
        with self._lock:
            return self._connection.execute(text, list(values)).df()

    def partitions(self, table: Table, where: str = "true", values: Sequence[Any] = ()) -> list[date]:
        """The partitions that hold rows, ascending."""
        query = f"select distinct {table.partition} from {self.name_of(table)} where {where} order by 1"
        with self._lock:
            return [row[0] for row in self._connection.execute(query, list(values)).fetchall()]

    def last_partition(self, table: Table, before: date | None = None) -> date | None:
        """The newest partition that holds rows, before a day when one is given."""
        query = f"select max({table.partition}) from {self.name_of(table)} where {table.partition} < ?"
        with self._lock:
            row = self._connection.execute(query, [before or date.max]).fetchone()
        return row[0] if row else None

    def snapshot(self) -> int:
        """The newest snapshot of the lake."""
        with self._lock:
            row = self._connection.execute(f"select max(snapshot_id) from {LAKE}.snapshots()").fetchone()
        return int(row[0]) if row and row[0] is not None else 0

    def replace(
        self,
        table: Table,
        partitions: Sequence[date],
        frame: pd.DataFrame,
        *,
        scope: tuple[str, str] | None = None,
    ) -> Written:
        """Make `frame` the whole content of the partitions, in one transaction, or leave everything as it was.

        `scope` (column, value) narrows what is replaced to those rows of the partitions, for tables that several
        assets fill. Raises `PartitionError` for rows of other partitions or another scope, and what
        `Table.conform` raises; a conflict with another writer is tried again.
        """
        rows = table.sort(table.conform(frame))
        _require_inside(table, partitions, rows, scope)
        if not partitions:
            return Written(0, self.snapshot(), False)
        change = _Change(table, list(partitions), pa.Table.from_pandas(rows, preserve_index=False), scope)
        with self._lock:
            if self._retry(lambda: self._is_stored(change)):
                return Written(len(rows), self.snapshot(), False)
            self._write(change)
        return Written(len(rows), self.snapshot(), True)

    def _write(self, change: _Change) -> None:
        first, last = min(change.partitions), max(change.partitions)
        with mirror.pending(self._url, change.table, first, last):
            self._retry(lambda: self._swap(change))
            self._retry(lambda: mirror.copy(self._connection, change.table, first, last))

    def _swap(self, change: _Change) -> None:
        names = ", ".join(change.table.names)
        target = self.name_of(change.table)
        self._connection.begin()
        try:
            condition, values = change.condition
            self._connection.execute(f"delete from {target} where {condition}", values)
            _between_delete_and_insert()
            if change.rows.num_rows:
                with _registered(self._connection, change.rows):
                    self._connection.execute(
                        f"insert into {target} ({names}) select {_casts(change.table)} from incoming"
                    )
            self._connection.commit()
        except BaseException:
            self._rollback()
            raise

    def _rollback(self) -> None:
        try:
            self._connection.rollback()
        except duckdb.TransactionException:
            return  # the failed commit has already rolled back

    def _is_stored(self, change: _Change) -> bool:
        """Whether the partitions hold exactly these rows. Counting is cheap and settles most cases."""
        condition, values = change.condition
        stored = f"{self.name_of(change.table)} where {condition}"
        row = self._connection.execute(f"select count(*) from {stored}", values).fetchone()
        if row is None or row[0] != change.rows.num_rows:
            return False
        with _registered(self._connection, change.rows):
            incoming = self._fingerprint(change.table, f"(select {_casts(change.table)} from incoming)", [])
        return incoming == self._fingerprint(change.table, stored, values)

    def _fingerprint(self, table: Table, source: str, values: list[Any]) -> tuple[int, ...]:
        """Count and two order-free combinations of 64-bit row hashes.

        The digest of the bytes is left out: the same facts told by other bytes (a page asked for with other days) are
        nothing new, and the rows keep the bytes that told them first.
        """
        row_hash = f"hash({', '.join(name for name in table.names if name != RAW.name)})"
        query = f"select count(*), coalesce(bit_xor({row_hash}), 0), coalesce(sum({row_hash}), 0) from {source}"
        row = self._connection.execute(query, values).fetchone()
        assert row is not None
        return tuple(int(value) for value in row)

    def _retry(self, attempt: Callable[[], T]) -> T:
        """Try again while another writer's commit is in the way; each attempt is a whole transaction."""
        deadline = time.monotonic() + PATIENCE
        pause = 0.02
        while True:
            try:
                return attempt()
            except duckdb.Error as error:
                if not _is_conflict(error) or time.monotonic() > deadline:
                    raise
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 1.6, 1.0)

    def _create_tables(self) -> None:
        """Create what is missing, all in one commit: thirty of them would take seconds."""
        query = f"select table_name from duckdb_tables() where database_name = '{LAKE}' and schema_name = 'main'"
        known = {row[0] for row in self._connection.execute(query).fetchall()}
        missing = [table for table in TABLES.values() if table.name not in known]
        if missing:
            self._retry(lambda: self._create(missing))

    def _create(self, missing: Sequence[Table], *first: str) -> None:
        """Run the statements in `first` and create the tables, in one commit."""
        self._connection.begin()
        try:
            for statement in first:
                self._connection.execute(statement)
            for table in missing:
                columns = ", ".join(f"{c.name} {c.kind.sql}" for c in table.columns)
                self._connection.execute(f"create table if not exists {self.name_of(table)} ({columns})")
            self._connection.commit()
        except BaseException:
            self._rollback()
            raise


class Branch(Lake):
    """A lake whose facts are those of another and whose results are its own: where a backtest writes.

    Its tables are in a schema of the lake, `select * from NAMESPACE.strategy_returns`, and have no plain copies.
    """

    def __init__(self, trunk: Lake, namespace: str) -> None:
        if not NAMESPACE.fullmatch(namespace):
            raise ValueError(f"{namespace!r} is no namespace: use lower-case letters, digits and _")
        self.namespace = namespace
        self._connection, self._lock = trunk._connection, trunk._lock
        self._retry(lambda: self._create(RESULTS, f"create schema if not exists {LAKE}.{namespace}"))

    def name_of(self, table: Table) -> str:
        return f"{LAKE}.{self.namespace}.{table.name}" if table.name in _RESULTS else super().name_of(table)

    def close(self) -> None:
        """Nothing: the connection is the trunk's."""

    def _write(self, change: _Change) -> None:
        self._retry(lambda: self._swap(change))


@dataclass(frozen=True)
class _Change:
    table: Table
    partitions: list[date]
    rows: pa.Table
    scope: tuple[str, str] | None

    @property
    def condition(self) -> tuple[str, list[Any]]:
        """Which stored rows are replaced. The bounds let the lake skip files; the list says which exactly."""
        name = self.table.partition
        text, values = (
            f"{name} between ? and ? and list_contains(?::date[], {name})",
            [min(self.partitions), max(self.partitions), self.partitions],
        )
        if self.scope is not None:
            return f"{text} and {self.table.column(self.scope[0]).name} = ?", [*values, self.scope[1]]
        return text, values


class _registered:  # noqa: N801  (reads as a phrase where it is used)
    """The rows as the relation `incoming` for the length of a block."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, frame: pa.Table) -> None:
        self._connection, self._frame = connection, frame

    def __enter__(self) -> None:
        self._connection.register("incoming", self._frame)

    def __exit__(self, *_: object) -> None:
        self._connection.unregister("incoming")


def _casts(table: Table) -> str:
    """Select list that gives each column its SQL type; NaN, which only pandas has, becomes null."""
    return ", ".join(f"{c.name}::{c.kind.sql} as {c.name}" for c in table.columns)


def _between(table: Table, first: date | None, last: date | None) -> tuple[str, list[date]]:
    parts = [(f"{table.partition} >= ?", first), (f"{table.partition} <= ?", last)]
    used = [(text, value) for text, value in parts if value is not None]
    return " and ".join(text for text, _ in used) or "true", [value for _, value in used]


def _require_inside(
    table: Table, partitions: Sequence[date], rows: pd.DataFrame, scope: tuple[str, str] | None
) -> None:
    allowed = np.array(partitions, dtype="datetime64[us]")
    outside = rows[~rows[table.partition].isin(allowed)]
    if len(outside):
        raise PartitionError(
            f"{table.name}: a row of {outside[table.partition].iloc[0]:%Y-%m-%d} is outside the partitions replaced"
        )
    if scope is not None and (rows[scope[0]] != scope[1]).any():
        raise PartitionError(f"{table.name}: a row is not of {scope[0]} = {scope[1]!r}")


def _is_conflict(error: duckdb.Error) -> bool:
    text = str(error).lower()
    return (
        "conflict" in text or "could not serialize" in text or "deadlock" in text or "failed to commit ducklake" in text
    )


def _between_delete_and_insert() -> None:
    """Nothing; the crash test stops the process here."""
