"""FRED: constant-maturity Treasury yields of the Federal Reserve's H.15 release.

`GET https://fred.stlouisfed.org/graph/fredgraph.csv?id=DGS10&cosd=&coed=`: a column of days (`observation_date`, until
2025 `DATE`) and one per series, in percent; `.` or nothing on a holiday (https://fred.stlouisfed.org/series/DGS10).

The yield of a day is released on the next session at 16:15 New York time (https://www.federalreserve.gov/releases/h15/):
that session is when it counts as known.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from pas_dagster import calendar
from pas_dagster.sources.page import Page, Request, address
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, Walk, collect

SERIES = {"DGS3MO": "3m", "DGS2": "2y", "DGS10": "10y"}
"""Series -> tenor."""

_BEFORE = timedelta(days=10)  # what is released on the first day may be of before a long weekend
_DAY_NAMES = ("observation_date", "DATE")
_MISSING = ("", ".", "NA", "#N/A")


def walk(query: Query) -> Walk:
    """One file for each series."""
    first, last = (query.first - _BEFORE).isoformat(), query.last.isoformat()
    yield [
        Request(address("https://fred.stlouisfed.org", "/graph/fredgraph.csv", id=series, cosd=first, coed=last))
        for series in SERIES
    ]


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Yields, decimals per year, of the days released in the window."""
    return collect(pages, parse)


def parse(page: Page) -> Iterator[dict[str, object] | Bad]:
    """One file; it may hold several series."""
    try:
        lines = list(csv.reader(io.StringIO(page.content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise LayoutError("the answer is CSV text") from None
    header = [name.strip() for name in lines[0]] if lines else []
    series = [(at, name) for at, name in enumerate(header) if name in SERIES]
    if not header or header[0] not in _DAY_NAMES or not series:
        raise LayoutError(f"the first line names observation_date and a series ({', '.join(SERIES)})")
    for line in lines[1:]:
        if not line:
            continue
        day = _day(line[0])
        if day is None or len(line) != len(header):
            yield Bad("a line holds a day and a value for each series", ",".join(line))
            continue
        for at, name in series:
            text = line[at].strip()
            if text in _MISSING:
                continue  # a day without a market
            rate = _percent(text)
            if rate is None:
                yield Bad("a yield is a number in percent", ",".join(line))
            else:
                yield {"known_on": _released(day), "event_date": day, "tenor": SERIES[name], "rate": rate}


def _released(day: date) -> date:
    return calendar.roll_forward(day + timedelta(days=1))


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        return None
    return day if date(1900, 1, 1) < day < calendar.LAST else None


def _percent(text: str) -> float | None:
    """Percent as a decimal, with the digits that were printed.

    >>> _percent("4.07")
    0.0407
    """
    try:
        value = float(text)
    except ValueError:
        return None
    return round(value / 100, 8) if -100 < value < 100 else None


SOURCES = (
    Source(
        name="fred",
        dataset="treasury_rates",
        title="FRED Treasury yields",
        hosts=("fred.stlouisfed.org",),
        walk=walk,
        read=read,
        since=date(1990, 1, 16),
        note="Constant-maturity yields 3m, 2y and 10y (H.15), known on the session after their day.",
    ),
)
