"""ApeWisdom of the sandbox world: today's mentions, ranked, 100 a page; some numbers are texts, names are HTML."""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import lru_cache
from html import escape

from pas_dagster.sandbox.reddit import FORUM
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site, json_answer
from pas_dagster.sandbox.world import World

_HOST = "apewisdom.io"
_PATH = re.compile(r"/api/v1\.0/filter/([\w-]+)(?:/page/(\d{1,4}))?/?")
_A_PAGE = 100

Ranking = list[tuple[str, int, int]]
"""Symbol, mentions, upvotes; the most mentioned first."""


def answer(present: Present, call: Call) -> Answer | None:
    """A page of the ranking."""
    found = _PATH.fullmatch(call.path)
    if not found or found[1] not in (FORUM, "all", "all-stocks"):
        return None
    number = int(found[2] or 1)
    days = _rankings(present.world)
    ranking = days.get(present.today, [])
    before = {row[0]: (rank, row[1]) for rank, row in enumerate(days.get(present.today - timedelta(1), []), start=1)}
    names = _names(present.world)
    begin = _A_PAGE * (number - 1)
    results = [
        _result(rank, row, names.get(row[0], row[0]), before.get(row[0]))
        for rank, row in enumerate(ranking[begin : begin + _A_PAGE], start=begin + 1)
    ]
    pages = -(-len(ranking) // _A_PAGE)
    return json_answer({"count": len(ranking), "pages": pages, "current_page": number, "results": results})


def _result(rank: int, row: tuple[str, int, int], name: str, before: tuple[int, int] | None) -> dict[str, object]:
    symbol, mentions, upvotes = row
    return {
        "rank": rank,
        "ticker": symbol,
        "name": escape(name),
        "mentions": str(mentions) if rank % 7 == 3 else mentions,
        "upvotes": str(upvotes) if rank % 5 == 2 else upvotes,
        "rank_24h_ago": before[0] if before else None,
        "mentions_24h_ago": before[1] if before else None,
    }


@lru_cache(maxsize=4)
def _rankings(world: World) -> dict[date, Ranking]:
    rows = world.table("reddit_mentions").sort_values(["event_date", "mentions", "upvotes"], ascending=False)
    days: dict[date, Ranking] = {}
    values = (rows[name].tolist() for name in ("event_date", "symbol", "mentions", "upvotes"))
    for moment, symbol, mentions, upvotes in zip(*values, strict=True):
        days.setdefault(moment.date(), []).append((symbol, mentions, int(upvotes)))
    return days


@lru_cache(maxsize=4)
def _names(world: World) -> dict[str, str]:
    universe = world.table("universe")
    return dict(zip(universe["symbol"], universe["name"], strict=True))


SITE = Site((_HOST,), answer)
