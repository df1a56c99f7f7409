"""One DuckDB connection with the lake attached: DuckLake files in the home, its catalogue in Postgres."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import psycopg2

from pas_dagster.errors import PasError
from pas_dagster.postgres import CATALOGUE_SCHEMA, give_password, keywords

LAKE = "lake"
PLAIN = "plain"  # the Postgres database itself, for the plain tables
EXTENSIONS = ("ducklake", "postgres_scanner")


def connect(url: str, folder: Path, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open DuckDB in memory, attach the lake (and make it the default) and the plain Postgres tables.

    Raises `PasError` when the catalogue cannot be reached.
    """
    connection = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    _load_extensions(connection)
    options = ", READ_ONLY" if read_only else ""
    give_password(url)
    target = keywords(url).replace("'", "''")
    try:
        connection.execute(
            f"attach 'ducklake:postgres:{target}' as {LAKE} "
            f"(data_path '{_text(folder)}/', metadata_schema '{CATALOGUE_SCHEMA}'{options})"
        )
        connection.execute(f"attach '{target}' as {PLAIN} (type postgres{options})")
    except duckdb.Error as error:
        reason = str(error).splitlines()[0].replace(target, "<database>")
        raise PasError(
            f"The lake in {folder} cannot be opened: {reason}. Run `pas db start`, or mend PAS_DATABASE_URL."
        ) from None
    connection.execute(f"use {LAKE}")
    connection.execute("set timezone = 'UTC'")
    connection.execute("set enable_progress_bar = false")  # it would write into what a command prints
    return connection


def exists(url: str) -> bool:
    """Whether a lake has been made in this database."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("select to_regclass(%s) is not null", [f"{CATALOGUE_SCHEMA}.ducklake_snapshot"])
            return cursor.fetchone() == (True,)
    finally:
        connection.close()


@contextmanager
def alone(url: str) -> Generator[None]:
    """Run the block while no other process is in such a block: DuckLake does not survive being made twice at once."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_lock(hashtext('pas.lake'))")
        yield
    finally:
        connection.close()  # which gives the lock back


def _load_extensions(connection: duckdb.DuckDBPyConnection) -> None:
    """LOAD what is installed; the wheels are only unpacked when that fails, which takes half a second."""
    for name in EXTENSIONS:
        try:
            connection.execute(f"load {name}")
        except duckdb.Error:
            from duckdb_extensions import import_extension

            import_extension(name, con=connection)
            connection.execute(f"load {name}")


def _text(path: Path) -> str:
    return str(path).replace("'", "''")
