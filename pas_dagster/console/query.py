"""`pas sql`: ask the lake, reading only."""

from __future__ import annotations

import duckdb

from pas_dagster import postgres
from pas_dagster.console.table import show
from pas_dagster.errors import PasError
from pas_dagster.lake.connection import connect
from pas_dagster.settings import Settings

MAX_ROWS = 1000


def run(chosen: Settings, query: str, as_json: bool) -> None:
    if not chosen.home.exists():
        raise PasError(f"There is no data in {chosen.home} yet. Try: pas demo")
    with postgres.running(chosen) as url:
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
