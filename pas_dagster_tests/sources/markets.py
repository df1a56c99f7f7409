"""One small world for the tests of market data, and what is asked of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from functools import cache

import pandas as pd

from pas_dagster import calendar
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site
from pas_dagster.sandbox.world import World
from pas_dagster.schemas import TABLES
from pas_dagster.sources.border import Admitted, admit
from pas_dagster.sources.source import Query, Reading

START, END = date(2022, 1, 3), date(2024, 12, 31)
MORNING_AFTER = datetime(2025, 1, 1, 8, tzinfo=calendar.NEW_YORK)


@cache
def world() -> World:
    """Long enough for a take-over, a bankruptcy, a change of symbols, splits and entrants."""
    return World(7, START, END)


def present(now: datetime = MORNING_AFTER) -> Present:
    return Present(world(), now)


def query(first: date = START, last: date = END, now: datetime = MORNING_AFTER, **others: object) -> Query:
    """Everything that was ever listed by `last`, in a home that began with the world."""
    rows = world().table("universe")
    listed = rows[rows["known_on"] <= pd.Timestamp(last)].drop_duplicates("symbol")
    options = {"start": START, **others}
    return Query(first, last, now, listed[["symbol", "name", "kind", "sector"]], pd.DataFrame(), options)


def admitted(dataset: str, reading: Reading, asked: Query) -> Admitted:
    return admit(TABLES[dataset], reading, asked)


def truth(dataset: str, asked: Query, column: str = "known_on") -> pd.DataFrame:
    """The world's rows of the window."""
    rows = world().table(dataset)
    return rows[rows[column].between(pd.Timestamp(asked.first), pd.Timestamp(asked.last))]


def assert_same(found: pd.DataFrame, expected: pd.DataFrame, keys: list[str], columns: list[str]) -> None:
    """The same rows with the same values; numbers to a billionth."""
    left = found[[*keys, *columns]].sort_values(keys, ignore_index=True)
    right = expected[[*keys, *columns]].sort_values(keys, ignore_index=True)
    for name in left:
        if not pd.api.types.is_numeric_dtype(right[name]) and right[name].dtype.kind != "M":
            left[name] = left[name].astype("object").where(left[name].notna(), None)
            right[name] = right[name].astype("object").where(right[name].notna(), None)
    pd.testing.assert_frame_equal(left, right, check_dtype=False, rtol=1e-9, atol=1e-12)


def with_keys(site: Site) -> Site:
    """The site as the client's credentials reach it."""
    keys = {"apca-api-key-id": "id", "apca-api-secret-key": "secret"}

    def answer(shown: Present, call: Call) -> Answer | None:
        return site.answer(shown, replace(call, headers={**call.headers, **keys}))

    return Site(site.hosts, answer)
