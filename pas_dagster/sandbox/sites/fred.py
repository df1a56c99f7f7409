"""FRED's file of Treasury yields of the sandbox world (https://fred.stlouisfed.org/graph/fredgraph.csv?id=DGS10).

A line for each weekday, empty on holidays. The yield of a session appears on the next one at 16:15 in New York.
"""

from __future__ import annotations

from datetime import date, time
from functools import lru_cache

import numpy as np

from pas_dagster import calendar
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site
from pas_dagster.sandbox.world import World

_SERIES = {"DGS3MO": "3m", "DGS2": "2y", "DGS10": "10y"}
_RELEASE = time(16, 15)


def answer(present: Present, call: Call) -> Answer | None:
    """The CSV of one or several series, or None for another path."""
    if call.path != "/graph/fredgraph.csv":
        return None
    names = [name.strip() for name in call.query.get("id", "").split(",")]
    try:
        first = date.fromisoformat(call.query.get("cosd") or "1990-01-01")
        last = date.fromisoformat(call.query.get("coed") or present.today.isoformat())
    except ValueError:
        return Answer(b"<html><body>Bad Request</body></html>", 400)
    if not all(name in _SERIES for name in names):
        return Answer(b"<html><body>The requested series does not exist.</body></html>", 404)
    rates, days = _rates(present.world), _days(present, first, last)
    lines = [",".join(["observation_date", *names])]
    lines += [",".join([day, *(rates.get((_SERIES[name], day), "") for name in names)]) for day in days]
    return Answer("".join(f"{line}\n" for line in lines).encode(), 200, "application/csv")


def _days(present: Present, first: date, last: date) -> list[str]:
    """Weekdays from the world's first to the last that was released."""
    local = present.now.astimezone(calendar.NEW_YORK)
    today_too = calendar.is_session(local.date()) and local.time() >= _RELEASE
    newest = calendar.previous_session(local.date() if today_too else calendar.previous_session(local.date()))
    begin, end = max(first, present.world.start), min(last, newest, present.world.end)
    weekdays = np.arange(np.datetime64(begin), np.datetime64(end) + 1)
    return [str(day) for day in weekdays[np.is_busday(weekdays)]] if begin <= end else []


@lru_cache(maxsize=2)
def _rates(world: World) -> dict[tuple[str, str], str]:
    """Percent with two decimals by tenor and day."""
    rows = world.table("treasury_rates")
    days = rows["event_date"].dt.strftime("%Y-%m-%d")
    return {
        (tenor, day): f"{rate * 100:.2f}" for tenor, day, rate in zip(rows["tenor"], days, rows["rate"], strict=True)
    }


SITE = Site(("fred.stlouisfed.org",), answer, (120, 60))
