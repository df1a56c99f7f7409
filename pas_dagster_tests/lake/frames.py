"""Rows for the lake's tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pandas as pd
import psycopg2

from pas_dagster.schemas import TABLES, Table

PRICES = TABLES["prices"]
WEIGHTS = TABLES["strategy_weights"]
DAYS = [date(2024, 1, day) for day in (2, 3, 4, 5)]


def bars(days: Sequence[date], symbols: Sequence[str], close: float, **columns: Any) -> pd.DataFrame:
    """One bar for every day and symbol, as the lake takes it."""
    rows = [
        {"known_on": day, "event_date": day, "symbol": symbol, "close": close, "provider": "test", **columns}
        for day in days
        for symbol in symbols
    ]
    return PRICES.conform(pd.DataFrame(rows)) if rows else PRICES.empty()


def weights(days: Sequence[date], strategy: str, symbols: Sequence[str], weight: float) -> pd.DataFrame:
    shared = {"strategy": strategy, "weight": weight, "status": "decided", "note": None}
    rows = [{"decision": day, "decided_on": day, "symbol": s, **shared} for day in days for s in symbols]
    return WEIGHTS.conform(pd.DataFrame(rows)) if rows else WEIGHTS.empty()


def plain(url: str, table: Table) -> list[tuple[Any, ...]]:
    """The rows of the plain Postgres table, ordered, read without the lake."""
    return _ask(url, f"select {', '.join(table.names)} from pas.{table.name}")  # noqa: S608


def marks(url: str) -> int:
    """Copies that are noted as not made."""
    return len(_ask(url, "select mark from pas.pending_copy"))


def stored(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """A frame of the lake as Python rows, nulls as None, ordered like `plain`."""
    rows = [tuple(_value(value) for value in row) for row in frame.itertuples(index=False)]
    return sorted(rows, key=repr)


def _value(value: Any) -> Any:
    if pd.isna(value):
        return None
    return value.date() if isinstance(value, pd.Timestamp) else value


def _ask(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return sorted(cursor.fetchall(), key=repr)
    finally:
        connection.close()
