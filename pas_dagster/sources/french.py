"""Kenneth French's data library: daily factors.

`https://mba.tuck.dartmouth.edu/pages/faculty/ken.french/ftp/F-F_Research_Data_Factors_daily_CSV.zip` and
`..5_Factors_2x3_daily_CSV.zip` hold one text each: a preamble, a header `,Mkt-RF,SMB,HML,RF`, lines
`19260701,    0.10,   -0.25,   -0.27,   0.009` in percent per day, and a copyright line (data_library.html there).
Missing is -99.99 or -999. RMW and CMA are of the file of five factors, the rest of that of three (SMB differs).

The files do not say when a month was added. The months come one to two months late: a month counts as known on the 5th
of the second month after it, or the weekday after.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, Walk, collect

FOLDER = "https://mba.tuck.dartmouth.edu/pages/faculty/ken.french/ftp/"
FILES = {"three": "F-F_Research_Data_Factors_daily_CSV.zip", "five": "F-F_Research_Data_5_Factors_2x3_daily_CSV.zip"}
"""Kind of page -> file."""

FIVE_SINCE = date(1963, 7, 1)
"""First day of the file of five factors."""

_FACTORS = {"Mkt-RF": "mkt_rf", "SMB": "smb", "HML": "hml", "RF": "rf"}
_MORE = {"RMW": "rmw", "CMA": "cma"}
_MOST_BYTES = 64 << 20
_LINE = re.compile(r"\s*(\d{8})\s*,(.*)")
_LATEST_MONTHS = timedelta(days=120)  # what is known in a window happened at most so long before it
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)


def walk(_: Query) -> Walk:
    """Both files, each with all of history."""
    yield [Request(FOLDER + name, kind=kind) for kind, name in FILES.items()]


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Factors, decimals per day, of the months that became known in the window."""
    extra: dict[date, Mapping[str, Any]] = {}
    oldest = query.first - _LATEST_MONTHS

    def note(page: Page) -> Iterator[Bad]:
        for row in parse(page, _MORE, oldest):
            if isinstance(row, Bad):
                yield row
            else:
                extra[row["event_date"]] = row

    def rows(page: Page) -> Iterator[dict[str, object] | Bad]:
        for row in parse(page, _FACTORS, oldest):
            if isinstance(row, Bad):
                yield row
            elif any(row[name] is None for name in _FACTORS.values()):
                yield Bad("every factor of the file of three has a value", row)
            elif row["event_date"] not in extra and row["event_date"] >= FIVE_SINCE:
                yield Bad("a day of the file of three is in the file of five as well", row)
            else:
                more = extra.get(row["event_date"], {})
                known = published(row["event_date"])
                yield {"known_on": known, **row, **{name: more.get(name) for name in _MORE.values()}}

    first = collect((page for page in pages if page.kind == "five"), note)
    second = collect((page for page in pages if page.kind == "three"), rows)
    bad = [part for part in (first.bad, second.bad) if len(part)] or [second.bad]
    return Reading(second.rows, pd.concat(bad, ignore_index=True))


@lru_cache(maxsize=1 << 15)
def published(day: date) -> date:
    """The day on which the month of a day counts as known.

    >>> published(date(2024, 8, 30))
    datetime.date(2024, 10, 7)
    """
    fifth = np.datetime64(day, "M") + 2
    return np.busday_offset(fifth.astype("datetime64[D]") + 4, 0, roll="forward").astype(object)


def parse(page: Page, columns: Mapping[str, str], oldest: date) -> Iterator[dict[str, Any] | Bad]:
    """Rows from `oldest` on with the columns asked for; missing is None."""
    lines = iter(_text(page.content).splitlines())
    header = next((names for line in lines if "Mkt-RF" in (names := _cells(line))), None)
    if header is None or not set(columns) <= set(header):
        raise LayoutError(f"a line names the columns Mkt-RF, {', '.join(columns)}")
    at = {name: header.index(column) - 1 for column, name in columns.items()}
    found = False
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            if line.strip() and line.lstrip()[:1].isdigit():
                yield Bad("a line holds a day as YYYYMMDD and the factors", line)
            continue
        found = True
        if match[1] < f"{oldest:%Y%m%d}":
            continue
        day, values = _day(match[1]), [_percent(cell) for cell in match[2].split(",")]
        if day is None or len(values) != len(header) - 1 or any(values[place] is False for place in at.values()):
            yield Bad("a line holds a day as YYYYMMDD and the factors", line)
        else:
            yield {"event_date": day, **{name: values[place] for name, place in at.items()}}
    if not found:
        raise LayoutError("lines of daily factors follow the header")


def _text(content: bytes) -> str:
    """The one text of the archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [item for item in archive.infolist() if item.filename.lower().endswith(".csv")]
            if len(members) != 1:
                raise LayoutError("the archive holds one CSV file")
            with archive.open(members[0]) as member:
                data = member.read(_MOST_BYTES + 1)
    except _BROKEN:
        raise LayoutError("the answer is a sound zip archive") from None
    if len(data) > _MOST_BYTES:
        raise LayoutError(f"the file has at most {_MOST_BYTES:,} bytes")
    return data.decode("latin-1")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split(",")]


def _day(text: str) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def _percent(text: str) -> float | bool | None:
    """Percent as a decimal; None where the file says missing, False where it says nothing that is a number."""
    try:
        value = float(text)
    except ValueError:
        return False
    if value in (-99.99, -999.0):
        return None
    return round(value / 100, 8) if abs(value) < 100 else False


SOURCES = (
    Source(
        name="french",
        dataset="fama_french_factors",
        title="Kenneth French's data library",
        hosts=("mba.tuck.dartmouth.edu",),
        walk=walk,
        read=read,
        since=date(1990, 1, 1),
        note="Each month counts as known on the 5th of the second month after it. Free for research.",
    ),
)
