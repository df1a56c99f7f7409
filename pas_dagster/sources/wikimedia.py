"""Wikimedia: daily page views of the companies' articles in the English Wikipedia.

Two questions:

- Which article? `GET https://en.wikipedia.org/w/api.php?action=query&formatversion=2&redirects=1&prop=pageprops&titles=`
  (https://www.mediawiki.org/wiki/API:Query) follows redirects of up to 50 titles: `query.normalized`, `query.redirects`
  (`from`, `to`, `tofragment`), `query.pages` (`title`, `missing`, `invalid`, `pageprops.disambiguation`). Titles are
  made from the company's name, the likeliest first, until one is an article that is no disambiguation.
- How many views? `GET https://wikimedia.org/api/rest_v1/metrics/pageviews/per-article/en.wikipedia/all-access/user/
  {title}/daily/{first}/{last}` (https://doc.wikimedia.org/generated-data-platform/aqs/analytics-api/): `items` with
  `timestamp` (`2026041200`) and `views`, without the days that had none; 404 with a JSON body when there is nothing.
  Views count under the title that was read, so an article's views leave out those through its redirects.

A day's views are published on the next day, from July 2015 on. Views by crawlers are left out (`user`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from pas_dagster.sources.page import Page, Request, address
from pas_dagster.sources.rules import json_of
from pas_dagster.sources.sheets import Sheet, sheets
from pas_dagster.sources.short_names import short_name, without_class
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, Walk

FIRST_DAY = date(2015, 7, 1)
_TITLES_A_REQUEST = 50
_MOST_CONTINUED = 20  # a question of 50 titles is answered in one part, rarely in two
_FEW = 10  # so few articles that none having views proves nothing
_VIEWS = "https://wikimedia.org/api/rest_v1/metrics/pageviews/per-article/en.wikipedia/all-access/user"
_NOT_IN_TITLES = frozenset("#<>[]{}|")
_HALF = re.compile("[\ud800-\udfff]")  # half a character: no address can hold it
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Article:
    """An article's title, and the title that led to it if that is another."""

    title: str
    redirected_from: str | None = None


def walk(query: Query) -> Walk:
    """Find the articles, then ask for each article's views in the whole window.

    Raises `LayoutError` if most companies turn out to have no article.
    """
    stocks = query.listed[query.listed["kind"] == "stock"]
    names = dict(zip(stocks["symbol"], stocks["name"], strict=True))
    found = _named(query.options.get("articles", {}), names)
    wanted = {symbol: titles(str(name)) for symbol, name in names.items() if symbol not in found}
    for rank in range(max(map(len, wanted.values()), default=0)):
        asked = {
            symbol: ranked[rank] for symbol, ranked in wanted.items() if symbol not in found and rank < len(ranked)
        }
        known = yield from _articles(sorted(set(asked.values())))
        found |= {symbol: known[title] for symbol, title in asked.items() if title in known}
    if 2 * len(found) < len(names):
        raise LayoutError(f"most companies have an article, but of {len(names)} only {len(found)} have")
    first, last = max(query.first - _DAY, FIRST_DAY), query.last - _DAY
    if found and first <= last:
        yield [_views(title, about, first, last) for title, about in _by_title(found)]


def titles(name: str) -> list[str]:
    """Titles that a company's article may have, the likeliest first. One word alone can mean anything: it comes last.

    >>> titles("Target Corporation")
    ['Target Corporation', 'Target (company)', 'Target Inc.', 'Target, Inc.']
    >>> titles("Micron Technology")[:2], titles("Amazon")[0], titles("Amazon")[-1]
    (['Micron Technology', 'Micron Technology (company)'], 'Amazon (company)', 'Amazon')
    """
    whole, brief = without_class(name), short_name(name)
    variants = [f"{brief} (company)", f"{brief} Inc.", f"{brief}, Inc."]
    if whole == brief:
        variants.append(f"{brief} Corporation")
    ranked = [*variants, whole] if whole == brief and " " not in brief else [whole, *variants]
    if " " in brief:
        ranked.append(brief)
    return [title for title in dict.fromkeys(ranked) if title and not _NOT_IN_TITLES & set(title)]


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of wiki_views. Raises `LayoutError` also when none of many articles has views."""
    views = [page for page in pages if page.kind == "views"]
    reading = sheets(views, parse_views)
    if len(views) >= _FEW and reading.rows.empty and reading.bad.empty:
        error = LayoutError(f"some of {len(views)} articles were viewed, but none was: the days may not be out yet")
        error.page = views[-1]
        raise error
    return reading


def parse_views(page: Page) -> Sheet:
    """An article's views, a row for each day and for each symbol of its company."""
    answer = json_of(page)
    if page.status == 404:
        if not isinstance(answer, dict) or answer.get("title") not in ("Not Found", "Not found."):
            raise LayoutError("a 404 says in JSON that there is nothing")
        return Sheet(pd.DataFrame())
    items = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(items, list) or not items:
        raise LayoutError("an answer has items, one for each day")
    days, views, bad = _counted(items, page.notes["article"].replace(" ", "_"))
    about: Mapping[str, str] = json.loads(page.notes["symbols"])
    each, size = len(days), len(about)
    event = np.tile(np.array(days, dtype=np.int64), size).astype("datetime64[D]")
    rows = pd.DataFrame(
        {
            "known_on": (event + 1).astype("datetime64[us]"),
            "event_date": event.astype("datetime64[us]"),
            "symbol": np.repeat(np.array(list(about), dtype=object), each),
            "article": page.notes["article"],
            "redirected_from": np.repeat(np.array([title or None for title in about.values()], dtype=object), each),
            "views": np.tile(np.array(views, dtype=np.int64), size),
        }
    )
    return Sheet(rows, bad)


def parse_titles(pages: Iterable[Page]) -> dict[str, Article]:
    """What each title that was asked for leads to; titles without an article of their own are left out."""
    moved: dict[str, str] = {}
    exists: dict[str, bool] = {}
    for page in pages:
        told = _told(page)
        moved |= _pairs(told.get("normalized"))
        for step in _dicts(told.get("redirects")):
            if step.get("tofragment"):
                exists[str(step.get("from"))] = False  # a paragraph in another article
        moved |= _pairs(told.get("redirects"))
        for entry in _dicts(told.get("pages")):
            title = entry.get("title")
            if isinstance(title, str) and not _HALF.search(title):
                exists[title] = exists.get(title, True) and _is_article(entry)
    asked = (title for page in pages for title in json.loads(page.notes["titles"]))
    found = ((title, _end(title, moved, exists)) for title in asked)
    return {title: Article(end, title if _differ(title, end) else None) for title, end in found if end}


def _end(title: str, moved: Mapping[str, str], exists: Mapping[str, bool]) -> str | None:
    """The article at the end of a chain of redirects; None when there is none."""
    for _ in range(5):
        if exists.get(title) is False:
            return None
        if title not in moved:
            return title if title in exists else None
        title = moved[title]
    return None


def _differ(title: str, other: str) -> bool:
    """Whether they are two titles, not two spellings that the site takes for one."""
    plain = " ".join(title.replace("_", " ").split())
    return plain[:1].upper() + plain[1:] != other


def _is_article(entry: Mapping[str, Any]) -> bool:
    properties = entry.get("pageprops")
    plain = not (isinstance(properties, dict) and "disambiguation" in properties)
    return plain and entry.get("ns") == 0 and not any(entry.get(flag) for flag in ("missing", "invalid", "special"))


def _articles(asked: Sequence[str]) -> Generator[Sequence[Request], Sequence[Page], dict[str, Article]]:
    """Ask which articles titles lead to; returns title -> article. A long answer comes in parts."""
    parts = [asked[at : at + _TITLES_A_REQUEST] for at in range(0, len(asked), _TITLES_A_REQUEST)]
    pending = [_lookup(part) for part in parts]
    answers: list[Page] = []
    for _ in range(_MOST_CONTINUED):
        if not pending:
            break
        pages = yield pending
        answers += pages
        pending = [_lookup(json.loads(page.notes["titles"]), rest) for page in pages if (rest := _rest(page))]
    return parse_titles(answers)


def _lookup(part: Sequence[str], rest: Mapping[str, str] | None = None) -> Request:
    parameters = {"redirects": 1, "prop": "pageprops", "ppprop": "disambiguation", "titles": "|".join(part)}
    url = address(
        "https://en.wikipedia.org",
        "/w/api.php",
        **{"action": "query", "format": "json", "formatversion": 2, **parameters, **(rest or {})},
    )
    return Request(url, kind="titles", notes={"titles": json.dumps(list(part))})


def _rest(page: Page) -> dict[str, str]:
    """The parameters that ask for the rest of an answer; none when it is whole."""
    answer = json_of(page)
    more = answer.get("continue") if isinstance(answer, dict) else None
    if not isinstance(more, dict):
        return {}
    given = {name: str(value) for name, value in more.items() if name.endswith("continue")}
    return {name: value for name, value in given.items() if name.isidentifier() and not _HALF.search(name + value)}


def _told(page: Page) -> dict[str, Any]:
    answer = json_of(page)
    told = answer.get("query") if isinstance(answer, dict) else None
    if not isinstance(told, dict) or not isinstance(told.get("pages"), list):
        raise LayoutError("an answer about titles has query.pages, a list")
    return told


def _pairs(steps: object) -> dict[str, str]:
    return {str(step["from"]): str(step["to"]) for step in _dicts(steps) if "from" in step and "to" in step}


def _dicts(values: object) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _named(articles: object, names: Mapping[str, object]) -> dict[str, Article]:
    """The articles that the settings name; they are used as they are."""
    if not isinstance(articles, dict) or not all(isinstance(title, str) and title for title in articles.values()):
        raise LayoutError("the option 'articles' maps symbols to titles")
    return {symbol: Article(title.replace("_", " ")) for symbol, title in articles.items() if symbol in names}


def _by_title(found: Mapping[str, Article]) -> list[tuple[str, dict[str, str]]]:
    """Title -> the symbols it is about, each with the title that led there (or nothing)."""
    grouped: dict[str, dict[str, str]] = {}
    for symbol, article in sorted(found.items()):
        grouped.setdefault(article.title, {})[symbol] = article.redirected_from or ""
    return sorted(grouped.items())


def _views(title: str, about: Mapping[str, str], first: date, last: date) -> Request:
    return Request(
        f"{_VIEWS}/{quote(title.replace(' ', '_'), safe='')}/daily/{first:%Y%m%d}/{last:%Y%m%d}",
        kind="views",
        notes={"article": title, "symbols": json.dumps(about)},
        answers=frozenset({200, 404}),
    )


def _counted(items: Sequence[object], article: str) -> tuple[list[int], list[int], list[Bad]]:
    """Days since 1970, views, and the items that cannot be read."""
    days: list[int] = []
    views: list[int] = []
    bad: list[Bad] = []
    for item in items:
        told = item if isinstance(item, dict) else {}
        number, day = told.get("views"), _number_of_day(told.get("timestamp"))
        if told.get("article", article) != article:
            raise LayoutError("the answer is about the article that was asked for")
        if type(number) is not int or not 0 <= number < 1 << 53 or day is None:
            bad.append(Bad("an item has a day and a number of views", item))
        else:
            days.append(day)
            views.append(number)
    return days, views, bad


def _number_of_day(stamp: object) -> int | None:
    return _days_since_1970(stamp) if isinstance(stamp, str) and len(stamp) == 10 else None


@lru_cache(maxsize=1 << 14)
def _days_since_1970(stamp: str) -> int | None:
    """Of `2026041200`."""
    if not (stamp.isascii() and stamp.isdigit() and stamp.endswith("00")):
        return None
    try:
        return (date(int(stamp[:4]), int(stamp[4:6]), int(stamp[6:8])) - date(1970, 1, 1)).days
    except ValueError:
        return None


SOURCES = (
    Source(
        name="wikimedia",
        dataset="wiki_views",
        title="Wikimedia page views",
        hosts=("en.wikipedia.org", "wikimedia.org"),
        walk=walk,
        read=read,
        since=FIRST_DAY + _DAY,
        note=(
            "Views by people of the companies' articles in the English Wikipedia, known on the day after. Articles are "
            "found by the companies' names; the option 'articles' (symbol -> title) corrects it."
        ),
    ),
)
