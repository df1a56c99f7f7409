"""ApeWisdom: how often symbols were mentioned on Reddit in the last 24 hours.

`GET https://apewisdom.io/api/v1.0/filter/{filter}/page/{page}` (https://apewisdom.io/api/): `count`, `pages`,
`current_page`, `results` (100 a page) with `rank`, `ticker`, `name`, `mentions`, `upvotes`, `rank_24h_ago`,
`mentions_24h_ago`. Numbers may be texts or null, upvotes negative. It shows only the present, so its history is what
was collected.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from pas_dagster import calendar
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.rules import json_of
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, Walk, collect
from pas_dagster.sources.texts import required

FILTER = "wallstreetbets"
_MOST_PAGES = 100


def walk(query: Query) -> Walk:
    """The first page says how many there are; the others are asked for at once."""
    name = _filter(query)
    pages = yield [_page(name, 1)]
    yield [_page(name, number) for number in range(2, _number_of_pages(pages[0]) + 1)]


def _filter(query: Query) -> str:
    name = query.options.get("filter", FILTER)
    if not isinstance(name, str) or not name:
        raise LayoutError("the option 'filter' is the name of a filter of ApeWisdom")
    return name


def _page(name: str, number: int) -> Request:
    url = f"https://apewisdom.io/api/v1.0/filter/{quote(name, safe='')}/page/{number}"
    return Request(url, notes={"forum": name})


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of reddit_mentions, of the day and the instant of asking. A ticker's first place in the ranking counts."""
    today = calendar.today(query.now)
    seen: set[str] = set()  # a ranking that moves while it is paged shows a ticker twice

    def parse(page: Page) -> Iterator[dict[str, object] | Bad]:
        for row in parse_mentions(page):
            if isinstance(row, Bad):
                yield row
            elif str(row["symbol"]) not in seen:
                seen.add(str(row["symbol"]))
                yield {"known_on": today, "known_at": page.fetched_at, "event_date": today, **row}

    return collect(pages, parse)


def parse_mentions(page: Page) -> Iterator[dict[str, object] | Bad]:
    """A page of the ranking: symbol, forum, mentions, upvotes."""
    results = _answer(page)["results"]
    if not results and _number_of_pages(page) <= 1:
        raise LayoutError("some symbol is always mentioned")
    for result in results:
        try:
            yield _mention(result, page.notes["forum"])
        except ValueError as error:
            yield Bad(f"a result has a ticker, mentions and upvotes ({error})", result)


def _mention(result: object, forum: str) -> dict[str, object]:
    if not isinstance(result, dict):
        raise ValueError("it is no object")
    mentions = _count(result.get("mentions"), "mentions")
    if mentions is None:
        raise ValueError("mentions is missing")
    return {
        "symbol": html.unescape(required(result.get("ticker"), "ticker")).strip().upper(),
        "forum": forum,
        "mentions": mentions,
        "upvotes": _upvotes(result.get("upvotes")),
    }


def _upvotes(value: object) -> int | None:
    """Upvotes less downvotes of all posts; below zero it is no number of upvotes, but null."""
    negative = (isinstance(value, str) and value.startswith("-")) or (type(value) is int and value < 0)
    return None if negative else _count(value, "upvotes")


def _count(value: object, name: str) -> int | None:
    """A whole number, also as a text; None for null."""
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    if type(value) is int and 0 <= value < 1 << 53:
        return value
    raise ValueError(f"{name} is no count")


def _answer(page: Page) -> dict[str, Any]:
    answer = json_of(page)
    if not isinstance(answer, dict) or not isinstance(answer.get("results"), list):
        raise LayoutError("a page has results, a list")
    return answer


def _number_of_pages(page: Page) -> int:
    try:
        number = _count(_answer(page).get("pages"), "pages")
    except ValueError:
        number = None
    if number is None or number > _MOST_PAGES:
        raise LayoutError("a page tells the number of pages")
    return number


SOURCES = (
    Source(
        name="apewisdom",
        dataset="reddit_mentions",
        title="ApeWisdom",
        hosts=("apewisdom.io",),
        walk=walk,
        read=read,
        note=(
            "Mentions in posts and comments of the last 24 hours. The option 'filter' names another group of forums "
            f"than '{FILTER}', such as all-stocks."
        ),
    ),
)
