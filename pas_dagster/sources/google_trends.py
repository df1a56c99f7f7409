"""Google Trends: weekly search interest of the last five years.

Unofficial: the requests of https://trends.google.com/trends/explore, as the archived project pytrends made them.

1. `GET /trends/explore/?geo=US` gives a cookie, with status 200 or 404.
2. `POST /trends/api/explore?hl=en-US&tz=360&req={comparisonItem, category, property}` answers `)]}'`, a new line, and
   `{"widgets": [{"id": "TIMESERIES", "token", "request"}, ...]}`.
3. `GET /trends/api/widgetdata/multiline?req={request}&token=&tz=360` answers `)]}',`, a new line, and
   `{"default": {"timelineData": [{"time": "1522540800", "value": [81], "hasData": [true], "isPartial": true}]}}`: the
   first second (UTC) of a week or a day, and interest from 0 to 100 relative to the highest point shown.

The last point is partial. Robots are mostly answered 429. The scale is that of the day of asking, so points are stored
with that day as `known_on`: all of them at first, later those that came to an end since.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from pas_dagster import calendar
from pas_dagster.sources.page import Page, Request, address
from pas_dagster.sources.short_names import short_name
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, Walk, collect

HOST = "trends.google.com"
MOST_KEYWORDS = 200
"""So many stocks are asked about, unless the option `keywords` names terms: over an hour at the site's pace."""

PERIODS = ("today 5-y", "today 12-m", "today 3-m", "today 1-m")
"""Points are weeks, but days in the last two."""

_BASE = f"https://{HOST}"
_HERE = {"hl": "en-US", "tz": 360}
_FEW = 10  # so few terms that nobody searches for prove nothing about the site
_START = b")]}'"


def walk(query: Query) -> Walk:
    """A cookie, then a token for each term, then its points."""
    terms = keywords(query)
    if not terms:
        return
    yield [Request(address(_BASE, "/trends/explore/", geo="US"), kind="cookie", answers=frozenset({200, 404}))]
    pages = yield [_explore(symbol, term, _period(query)) for symbol, term in terms.items()]
    yield [points_of(page) for page in pages]


def keywords(query: Query) -> dict[str, str]:
    """Symbol -> term: what the option `keywords` says, else the short names of the first stocks listed by symbol."""
    chosen = query.options.get("keywords")
    if chosen is None:
        stocks = query.listed[query.listed["kind"] == "stock"].sort_values("symbol").head(MOST_KEYWORDS)
        return {symbol: short_name(str(name)) for symbol, name in zip(stocks["symbol"], stocks["name"], strict=True)}
    if not isinstance(chosen, dict) or not all(isinstance(term, str) and term.strip() for term in chosen.values()):
        raise LayoutError("the option 'keywords' maps symbols to search terms")
    return {str(symbol): term.strip() for symbol, term in chosen.items()}


def _period(query: Query) -> str:
    period = query.options.get("period", PERIODS[0])
    if period not in PERIODS:
        raise LayoutError(f"the option 'period' is one of {', '.join(PERIODS)}")
    return period


def _explore(symbol: str, term: str, period: str) -> Request:
    wanted = {"comparisonItem": [{"keyword": term, "time": period, "geo": ""}], "category": 0, "property": ""}
    url = address(_BASE, "/trends/api/explore", **_HERE, req=json.dumps(wanted))
    return Request(url, kind="explore", notes={"symbol": symbol, "keyword": term}, method="POST", reads_only=True)


def points_of(page: Page) -> Request:
    """What asks for the points of a term, with the token that its page gives."""
    widgets = _answer(page).get("widgets")
    for widget in widgets if isinstance(widgets, list) else []:
        if isinstance(widget, dict) and widget.get("id") == "TIMESERIES":
            request, token = widget.get("request"), widget.get("token")
            if isinstance(request, dict) and isinstance(token, str) and token.isascii():
                url = address(_BASE, "/trends/api/widgetdata/multiline", req=json.dumps(request), token=token, tz=360)
                return Request(url, kind="points", notes=page.notes)
    error = LayoutError("the widget TIMESERIES has a request and a token")
    error.page = page
    raise error


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of google_trends, known on the day of asking. Raises `LayoutError` also when none of many terms has any."""
    points = [page for page in pages if page.kind == "points"]
    today, known = calendar.today(query.now), _newest(query.stored)
    some = False

    def parse(page: Page) -> Iterator[dict[str, object] | Bad]:
        nonlocal some
        for row in parse_points(page):
            some = True
            if isinstance(row, Bad):
                yield row
            elif pd.Timestamp(row["event_date"]) > known.get(row["symbol"], pd.Timestamp.min):  # ty: ignore[invalid-argument-type]
                yield {"known_on": today, **row}

    reading = collect(points, parse)
    if len(points) >= _FEW and not some:
        error = LayoutError(f"somebody searches for one of {len(points)} terms, but the site knows of nobody")
        error.page = points[0]
        raise error
    return reading


def _newest(stored: pd.DataFrame) -> Mapping[object, pd.Timestamp]:
    """Symbol -> its newest point in the table."""
    return stored.groupby("symbol")["event_date"].max().to_dict() if len(stored) else {}


def parse_points(page: Page) -> Iterator[dict[str, object] | Bad]:
    """The whole points of a term: event_date, symbol, keyword, interest."""
    default = _answer(page).get("default")
    points = default.get("timelineData") if isinstance(default, dict) else None
    if not isinstance(points, list):
        raise LayoutError("an answer has default.timelineData, a list")
    for point in points:
        try:
            interest = _interest(point)
        except (ValueError, OverflowError) as error:
            yield Bad(f"a point has a time and a value from 0 to 100 ({error})", point)
            continue
        if interest is not None:
            day = datetime.fromtimestamp(int(point["time"]), UTC).date()
            yield {"event_date": day, "symbol": page.notes["symbol"], "keyword": page.notes["keyword"], **interest}


def _interest(point: object) -> dict[str, object] | None:
    """The value of a point; None for one that is partial, or without data."""
    if not isinstance(point, dict):
        raise ValueError("it is no object")
    if point.get("isPartial"):
        return None
    time, values, has_data = point.get("time"), point.get("value"), point.get("hasData", [True])
    if not (isinstance(time, str) and time.isascii() and time.isdigit() and len(time) < 11):
        raise ValueError("time is no number of seconds")
    if has_data == [False]:
        return None
    if not (isinstance(values, list) and len(values) == 1 and type(values[0]) in (int, float)):
        raise ValueError("value is no list of one number")
    if not 0 <= values[0] <= 100:
        raise ValueError("value is out of range")
    return {"interest": values[0]}


def _answer(page: Page) -> dict[str, Any]:
    if not page.content.startswith(_START):
        raise LayoutError("an answer starts with )]}', then comes JSON")
    try:
        answer = json.loads(page.content[len(_START) :].lstrip(b",\r\n "))
    except (ValueError, RecursionError):
        raise LayoutError("an answer starts with )]}', then comes JSON") from None
    if not isinstance(answer, dict):
        raise LayoutError("an answer is a JSON object")
    return answer


SOURCES = (
    Source(
        name="google_trends",
        dataset="google_trends",
        title="Google Trends",
        hosts=(HOST,),
        walk=walk,
        read=read,
        lookback=14,
        off=True,
        note=(
            "Unofficial, and mostly refused (429). Weekly interest of five years, worldwide. The option 'keywords' "
            f"maps symbols to terms (default: names of the first {MOST_KEYWORDS} stocks), 'period' is one of "
            f"{', '.join(PERIODS)}. Each point is stored once, on the scale of the day on which it was first seen."
        ),
    ),
)
