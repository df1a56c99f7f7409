"""Wikipedia's query API and Wikimedia's page views of the sandbox world.

Some companies have an article under their name, some under another name that theirs redirects to, some beside a
disambiguation, some none. Clients that do not say who they are are turned away.
"""

from __future__ import annotations

import json
from datetime import date
from functools import lru_cache
from urllib.parse import unquote

import numpy as np

from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site, json_answer
from pas_dagster.sandbox.wiki import entries
from pas_dagster.sandbox.world import World

_WIKIPEDIA, _VIEWS = "en.wikipedia.org", "wikimedia.org"
_PREFIX = "/api/rest_v1/metrics/pageviews/per-article/en.wikipedia/all-access/user/"
_NAMELESS = ("python-requests", "python-urllib", "axios", "curl")
_MOST_TITLES = 50
_NOTHING = (
    "The date(s) you used are valid, but we either do not have data for those date(s), or the project you asked for is "
    "not loaded yet. Please check documentation for more information"
)


def answer(present: Present, call: Call) -> Answer | None:
    """A query about titles or an article's views; None for another path."""
    if call.host == _WIKIPEDIA and call.path != "/w/api.php":
        return None
    agent = call.headers.get("user-agent", "").lower()
    if not agent or agent.startswith(_NAMELESS):
        return Answer(b"Please set a user-agent and respect our robot policy https://w.wiki/4wJS.", 403, "text/plain")
    if call.host == _WIKIPEDIA:
        return _titles(call)
    return _views(present, call)


def _titles(call: Call) -> Answer:
    asked = call.query.get("titles", "").split("|")
    if call.query.get("action") != "query" or call.query.get("formatversion") != "2" or len(asked) > _MOST_TITLES:
        return json_answer({"error": {"code": "badvalue", "info": "Unrecognized value for parameter."}})
    normalized, redirects, pages = [], [], {}
    for given in asked:
        title = given[:1].upper() + given[1:].replace("_", " ")
        if title != given:
            normalized.append({"fromencoded": False, "from": given, "to": title})
        kind, end = _encyclopedia().get(title, ("missing", title))
        if end != title:
            redirects.append({"from": title, "to": end})
        pages[end] = _page(kind, end)
    told = {"normalized": normalized, "redirects": redirects, "pages": list(pages.values())}
    return json_answer({"batchcomplete": True, "query": {name: value for name, value in told.items() if value}})


def _page(kind: str, title: str) -> dict[str, object]:
    if kind == "missing":
        return {"ns": 0, "title": title, "missing": True}
    number = 1000 + sum(ord(letter) * (place + 7) ** 3 for place, letter in enumerate(title)) % 70_000_000
    page: dict[str, object] = {"pageid": number, "ns": 0, "title": title}
    return page | ({"pageprops": {"disambiguation": ""}} if kind == "disambiguation" else {})


@lru_cache(maxsize=1)
def _encyclopedia() -> dict[str, tuple[str, str]]:
    """Title -> (article or disambiguation, the title at the end of a redirect)."""
    found: dict[str, tuple[str, str]] = {}
    for entry in entries():
        if entry.article is None:
            continue
        found[entry.article] = ("article", entry.article)
        if entry.redirected_from:
            found[entry.redirected_from] = ("article", entry.article)
        if entry.ambiguous:
            found[entry.ambiguous] = ("disambiguation", entry.ambiguous)
    return found


def _views(present: Present, call: Call) -> Answer:
    parts = call.raw_path.removeprefix(_PREFIX).split("/") if call.raw_path.startswith(_PREFIX) else []
    if len(parts) != 4 or parts[1] != "daily":
        return _problem(call, "Invalid route")
    try:
        first, last = (_day(text) for text in parts[2:])
    except ValueError:
        return _problem(call, "Given year/month/day is invalid date", 400, "Bad Request")
    days, items = _index(present.world).get(unquote(parts[0]), (np.array([], dtype=np.int64), []))
    today = (present.today - date(1970, 1, 1)).days
    begin, end = np.searchsorted(days, [first, min(last, today - 1) + 1])
    if begin >= end:
        return _problem(call, _NOTHING)
    return Answer(('{"items":[' + ",".join(items[begin:end]) + "]}").encode(), 200, "application/json; charset=utf-8")


def _day(text: str) -> int:
    """Days since 1970 of `20260412`, or of `2026041200`."""
    if not text.isdigit() or len(text) not in (8, 10):
        raise ValueError(text)
    return (date(int(text[:4]), int(text[4:6]), int(text[6:8])) - date(1970, 1, 1)).days


def _problem(call: Call, detail: str, status: int = 404, title: str = "Not Found") -> Answer:
    uri = call.path.removeprefix("/api/rest_v1")
    body = {"detail": detail, "method": "get", "status": status, "title": title, "type": "about:blank", "uri": uri}
    return Answer(json.dumps(body, separators=(",", ":")).encode(), status, "application/problem+json")


@lru_cache(maxsize=4)
def _index(world: World) -> dict[str, tuple[np.ndarray, list[str]]]:
    """Article (with underscores) -> its days since 1970 and its items as JSON."""
    rows = world.table("wiki_views")
    days = rows["event_date"].to_numpy().astype("datetime64[D]").astype(np.int64)
    stamps = {day: f"{np.datetime64(int(day), 'D')}".replace("-", "") + "00" for day in np.unique(days)}
    found: dict[str, tuple[np.ndarray, list[str]]] = {}
    for article, places in rows.groupby("article", sort=False).indices.items():
        name = str(article).replace(" ", "_")
        head = f'{{"project":"en.wikipedia","article":{json.dumps(name)},"granularity":"daily","timestamp":"'
        views = rows["views"].to_numpy()[places].tolist()
        items = [
            f'{head}{stamps[day]}","access":"all-access","agent":"user","views":{number}}}'
            for day, number in zip(days[places].tolist(), views, strict=True)
        ]
        found[name] = (days[places], items)
    return found


SITE = Site((_WIKIPEDIA, _VIEWS), answer, limit=(200, 60))
