"""data.alpaca.markets as the sandbox has it: news, at most fifty items a page, by the instant of their last update.

Format: https://docs.alpaca.markets/reference/news-3. The other paths of the host are another module's.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np

from pas_dagster.sandbox.news import updated_after
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site, json_answer
from pas_dagster.sandbox.world import World

PATH = "/v1beta1/news"

_MOST = 50
_USUAL = 10
_NANO = 1_000_000_000
_KEYS = ("apca-api-key-id", "apca-api-secret-key")
_INSTANT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class _Item:
    """One item; `created` is a second since 1970."""

    created: int
    headline: str
    source: str
    url: str
    symbols: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Items:
    """Items in the order of (second of the last update, number)."""

    order: list[tuple[int, int]]
    items: list[_Item]


@lru_cache(maxsize=4)
def _items(world: World) -> _Items:
    news = world.table("news_headlines")
    number = news["headline_id"].str.removeprefix("alpaca:").astype("int64").to_numpy()
    second = news["known_at"].to_numpy().astype("datetime64[s]").astype(np.int64)
    created = second - 60 * updated_after(number)
    found: dict[tuple[int, int], _Item] = {}
    columns = (second, number, news["symbol"], created, news["headline"], news["source"], news["url"])
    for at, one, symbol, *rest in zip(*(column.tolist() for column in columns), strict=True):
        item = found.setdefault((at, one), _Item(*rest))
        if symbol is not None:
            item.symbols.append(symbol)
    order = sorted(found)
    return _Items(order, [found[key] for key in order])


def answer(present: Present, call: Call) -> Answer | None:
    """A page of news; None for other paths."""
    if call.path.rstrip("/") != PATH:
        return None
    if not all(call.headers.get(key) for key in _KEYS):
        return json_answer({"message": "forbidden."}, 403)
    asked = call.query
    try:
        limit = int(asked.get("limit", _USUAL))
        now = int(present.now.timestamp())
        begin, end = _second(asked.get("start"), 0), min(now, _second(asked.get("end"), now))
        after = _after(asked.get("page_token"))
    except ValueError as error:
        return json_answer({"message": f"invalid parameter: {error}"}, 400)
    if not 1 <= limit <= _MOST:
        return json_answer({"message": "invalid limit: must be between 1 and 50"}, 400)
    items = _items(present.world)
    first, stop = bisect_left(items.order, (begin, 0)), bisect_right(items.order, (end, 1 << 60))
    positions = range(first, stop)
    if asked.get("sort", "desc") == "desc":
        positions = range(stop - 1 if after is None else bisect_left(items.order, after) - 1, first - 1, -1)
    elif after is not None:
        positions = range(bisect_right(items.order, after), stop)
    return json_answer(_page(items, positions, limit, set(filter(None, asked.get("symbols", "").split(",")))))


def _page(items: _Items, positions: range, limit: int, wanted: set[str]) -> dict[str, object]:
    """The first `limit` items, and a token when there are more."""
    chosen: list[int] = []
    for at in positions:
        if wanted and not wanted & set(items.items[at].symbols):
            continue
        if len(chosen) == limit:
            return {"news": [_told(items, one) for one in chosen], "next_page_token": _token(items.order[chosen[-1]])}
        chosen.append(at)
    return {"news": [_told(items, one) for one in chosen], "next_page_token": None}


def _told(items: _Items, at: int) -> dict[str, object]:
    (second, number), item = items.order[at], items.items[at]
    return {
        "author": "Benzinga Newsdesk",
        "content": "",
        "created_at": datetime.fromtimestamp(item.created, UTC).strftime(_INSTANT),
        "headline": item.headline,
        "id": number,
        "images": [],
        "source": item.source,
        "summary": "",
        "symbols": item.symbols,
        "updated_at": datetime.fromtimestamp(second, UTC).strftime(_INSTANT),
        "url": item.url,
    }


def _token(last: tuple[int, int]) -> str:
    """Nanoseconds and number of the last item, as in recorded tokens."""
    return b64encode(f"{last[0] * _NANO}|{last[1]}".encode()).decode()


def _after(token: str | None) -> tuple[int, int] | None:
    if not token:
        return None
    nano, _, number = b64decode(token, validate=True).decode().partition("|")
    return int(nano) // _NANO, int(number)


def _second(text: str | None, default: int) -> int:
    """Of a day or an RFC 3339 instant; without a zone it is UTC."""
    if not text:
        return default
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


SITE = Site(("data.alpaca.markets",), answer, limit=(200, 60))
