"""`pas sql`: ask the lake, reading only."""

from __future__ import annotations

import re

import duckdb

from pas_dagster import postgres
from pas_dagster.console.table import show
from pas_dagster.errors import PasError
from pas_dagster.lake import Lake
from pas_dagster.lake.connection import connect, exists
from pas_dagster.settings import Settings

MAX_ROWS = 1000
# They run text of their own, on the server too, where reading files is possible.
_BEYOND = re.compile(r"\b(postgres_\w+|query|query_table)\b\"?\s*\(", re.IGNORECASE)


def run(chosen: Settings, query: str, as_json: bool) -> None:
    if not chosen.home.exists():
        raise PasError(f"There is no data in {chosen.home} yet. Try: pas demo")
    _require_reading(query)
    with postgres.running(chosen) as url:
        if not exists(url):
            Lake(url, chosen.lake_dir).close()  # every table is there from the beginning, empty
        connection = connect(url, chosen.lake_dir, read_only=True)
        try:
            # The tables are attached; nothing else of the machine is a query's business.
            connection.execute(f"set allowed_directories = ['{chosen.lake_dir}/']")
            connection.execute("set enable_external_access = false")
            frame = connection.execute(query).df()
        except duckdb.Error as error:
            raise PasError(f"The query failed: {str(error).strip()}") from None
        finally:
            connection.close()
    if as_json:
        print(frame.to_json(orient="records", date_format="iso"))
    else:
        show(frame.head(MAX_ROWS), total=len(frame))


def _require_reading(query: str) -> None:
    """One query and nothing else. The read-only attachment alone lets COPY and CALL write beside the tables."""
    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error as error:
        raise PasError(f"The query failed: {str(error).strip()}") from None
    if len(statements) != 1:
        raise PasError(f"`pas sql` takes one query; {len(statements)} were given.")
    if _BEYOND.search(query):
        raise PasError("`pas sql` reads the tables; functions that reach the database's server are refused.")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise PasError(f"`pas sql` only reads; a statement of the kind {kind.name} is refused.")
