"""The plain tables: every table of the lake again as an ordinary Postgres table in schema `pas`.

One DuckDB transaction cannot write to two databases, so a copy follows the lake's commit. A mark in
`pas.pending_copy` is set before that commit and taken away with the copy; whoever opens the lake after a crash
finds the mark and copies again.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import date
from uuid import uuid4

import duckdb
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812  (a class)

from pas_dagster.lake.connection import LAKE, PLAIN
from pas_dagster.schemas import TABLES, Table
from pas_dagster.schemas.table import Kind

SCHEMA = "pas"
STALE = "2 minutes"  # a younger mark may belong to a writer that is still at work
_TYPES = {
    Kind.DATE: "date",
    Kind.INSTANT: "timestamp",
    Kind.TEXT: "text",
    Kind.FLOAT: "double precision",
    Kind.INT: "bigint",
    Kind.BOOL: "boolean",
}


@contextmanager
def pending(url: str, table: Table, first: date, last: date) -> Generator[None]:
    """Mark the partitions as not copied yet; the mark goes when the block ends well."""
    mark = str(uuid4())
    with _cursor(url) as cursor:
        cursor.execute(
            "insert into pas.pending_copy (mark, table_name, first, last) values (%s, %s, %s, %s)",
            [mark, table.name, first, last],
        )
    yield
    with _cursor(url) as cursor:
        cursor.execute("delete from pas.pending_copy where mark = %s", [mark])


def copy(connection: duckdb.DuckDBPyConnection, table: Table, first: date, last: date) -> None:
    """Replace the partitions of the plain table by those of the lake, in one transaction."""
    target = f"{PLAIN}.{SCHEMA}.{table.name}"
    delete = f"delete from {SCHEMA}.{table.name} where {table.partition} between ''{first}'' and ''{last}''"
    # Two copies of overlapping ranges would both insert what neither has seen of the other. The lock comes before the
    # transaction's view of either database.
    lock = f"lock table {SCHEMA}.{table.name} in share row exclusive mode"
    connection.begin()
    try:
        connection.execute(f"call postgres_execute('{PLAIN}', '{lock}')")
        connection.execute(f"call postgres_execute('{PLAIN}', '{delete}')")
        connection.execute(
            f"insert into {target} select {', '.join(table.names)} from {LAKE}.{table.name} "
            f"where {table.partition} between ? and ? order by {table.partition}",
            [first, last],
        )
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def repair(connection: duckdb.DuckDBPyConnection, url: str) -> int:
    """Copy what a crash left uncopied; the number of copies made."""
    with _cursor(url) as cursor:
        cursor.execute(
            "select mark, table_name, first, last from pas.pending_copy where made < now() - %s::interval", [STALE]
        )
        marks = cursor.fetchall()
    for mark, name, first, last in marks:
        if name in TABLES:
            copy(connection, TABLES[name], first, last)
        with _cursor(url) as cursor:
            cursor.execute("delete from pas.pending_copy where mark = %s", [mark])
    return len(marks)


def create(url: str) -> None:
    """Create the schema and the plain tables that are missing."""
    with _cursor(url) as cursor:
        _create(cursor)


def _create(cursor: Cursor) -> None:
    cursor.execute("select table_name from information_schema.tables where table_schema = %s", [SCHEMA])
    known = {row[0] for row in cursor.fetchall()}
    if {"pending_copy", *TABLES} <= known:
        return
    cursor.execute("select pg_advisory_xact_lock(hashtext('pas.plain_tables'))")
    cursor.execute("create schema if not exists pas")
    cursor.execute(
        "create table if not exists pas.pending_copy (mark text primary key, table_name text not null, "
        "first date not null, last date not null, made timestamptz not null default now())"
    )
    for table in TABLES.values():
        _create_table(cursor, table)


def _create_table(cursor: Cursor, table: Table) -> None:
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(c.name), sql.SQL(_TYPES[c.kind])) for c in table.columns
    )
    name = sql.Identifier(SCHEMA, table.name)
    cursor.execute(sql.SQL("create table if not exists {} ({})").format(name, columns))
    # Rows arrive in partition order, so a block-range index is enough and costs next to nothing.
    cursor.execute(
        sql.SQL("create index if not exists {} on {} using brin ({})").format(
            sql.Identifier(f"{table.name}_partition"), name, sql.Identifier(table.partition)
        )
    )


@contextmanager
def _cursor(url: str) -> Generator[Cursor]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()
