"""Google Trends of the sandbox world: a cookie, a token, then the weeks of five years with the last one partial."""

from __future__ import annotations

import hashlib
import json
from datetime import date, timedelta
from functools import lru_cache

import numpy as np

from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site
from pas_dagster.sandbox.streams import Floats, Ints
from pas_dagster.sandbox.trends import keywords, relative, searches, weeks
from pas_dagster.sandbox.world import World

_HOST = "trends.google.com"
_COOKIE = "NID=sandbox"
_NOT_FOUND = b"<html lang=en><title>Error 404 (Not Found)!!1</title><p>The requested URL was not found."
_REFUSED = b"<html><head><title>Error 429 (Too Many Requests)!!1</title></head><body>That is all we know.</body></html>"


def answer(present: Present, call: Call) -> Answer | None:
    """The cookie, the widgets of a term, or its points."""
    if call.path == "/trends/explore/":
        return Answer(_NOT_FOUND, 404, headers={"Set-Cookie": f"{_COOKIE}; path=/; domain=.google.com"})
    try:
        if call.path == "/trends/api/explore":
            return _widgets(present, call)
        if call.path == "/trends/api/widgetdata/multiline":
            return _points(present, call)
    except (ValueError, KeyError, IndexError, TypeError):
        return Answer(b"<html><title>Error 400 (Bad Request)!!1</title>", 400)
    return None


def _widgets(present: Present, call: Call) -> Answer:
    item = json.loads(call.query["req"])["comparisonItem"][0]
    term = str(item["keyword"])
    if item["time"] != "today 5-y":
        raise ValueError(item["time"])
    begin = present.today - timedelta(days=5 * 365 + 1)
    keyword = {"keyword": [{"type": "BROAD", "value": term}]}
    request = {
        "time": f"{begin} {present.today}",
        "resolution": "WEEK",
        "locale": "en-US",
        "comparisonItem": [{"geo": {}, "complexKeywordsRestriction": keyword}],
        "requestOptions": {"property": "", "backend": "IZG", "category": 0},
    }
    widgets = [
        {"request": request, "token": _token(term), "id": "TIMESERIES", "type": "fe_line_chart"},
        {"text": {"text": term}, "id": "TITLE_0", "type": "fe_text"},
    ]
    return _told(b")]}'\n", {"widgets": widgets, "keywords": [{"keyword": term, "type": "Search term"}]})


def _points(present: Present, call: Call) -> Answer:
    request = json.loads(call.query["req"])
    term = request["comparisonItem"][0]["complexKeywordsRestriction"]["keyword"][0]["value"]
    if call.query.get("token") != _token(term):
        return Answer(_REFUSED, 429)
    points = _timeline(present.world, term, (present.today - date(1970, 1, 1)).days)
    return _told(b")]}',\n", {"default": {"timelineData": points, "averages": []}})


def _timeline(world: World, term: str, today: int) -> list[dict[str, object]]:
    """The weeks shown today; none for a term that nobody searches for."""
    starts, volume = _volume(world)
    if term not in keywords():
        return []
    last = int(np.searchsorted(starts, today - 7, side="right")) - 1
    if last < 0:
        return []
    interest = relative(volume, last)[:, keywords().index(term)]
    first = last + 1 - len(interest)
    shown = [_point(int(starts[first + place]), int(value)) for place, value in enumerate(interest)]
    return [*shown, _point(int(starts[last]) + 7, int(interest[-1]) // 2) | {"isPartial": True}]


def _point(start: int, value: int) -> dict[str, object]:
    day = date(1970, 1, 1) + timedelta(days=start)
    text = f"{day:%b %d, %Y}"
    return {
        "time": str(start * 86400),
        "formattedTime": text,
        "formattedAxisTime": text,
        "value": [value],
        "hasData": [True],
        "formattedValue": [str(value)],
    }


@lru_cache(maxsize=4)
def _volume(world: World) -> tuple[Ints, Floats]:
    return weeks(world), searches(world)


def _token(term: str) -> str:
    return "APP6_" + hashlib.sha256(term.encode()).hexdigest()[:24]


def _told(prefix: bytes, value: object) -> Answer:
    return Answer(prefix + json.dumps(value).encode(), 200, "application/json; charset=utf-8")


SITE = Site((_HOST,), answer, limit=(5, 60))
