"""Reddit's API of the sandbox world: a token for any client that names itself, and the newest posts of one forum.

A day's posts are spread over the day. Post k mentions every symbol that is mentioned in more than k posts, as words or
as cashtags, among words that look like symbols and are none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from pas_dagster import calendar
from pas_dagster.sandbox.reddit import FORUM, scores
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site, json_answer
from pas_dagster.sandbox.world import World

_WEB, _API = "www.reddit.com", "oauth.reddit.com"
_TOKEN = "sandbox-token"
_MOST = 1000
_QUIET = 5  # posts a day that mention nothing
_HEADERS = {"x-ratelimit-used": "3", "x-ratelimit-remaining": "997.0", "x-ratelimit-reset": "15"}
_PHRASES = (
    "DD: why I am long {}",
    "YOLO update, {} to the MOON",
    "Sold everything, ALL in on {} now",
    "Is {} a buy after the CEO left?",
    "What do you think IT spending means for {}",
)


@dataclass(frozen=True)
class Post:
    """A post: when (seconds since 1970), and what is told of it."""

    at: float
    name: str
    title: str
    body: str
    score: int


def answer(present: Present, call: Call) -> Answer | None:
    """A token, or a page of posts."""
    if call.host == _WEB:
        return _token(call) if call.path == "/api/v1/access_token" and call.method == "POST" else None
    if call.headers.get("authorization", "").lower() != f"bearer {_TOKEN}":
        return json_answer({"message": "Unauthorized", "error": 401}, 401)
    if call.path.rstrip("/").lower() != f"/r/{FORUM}/new":
        return json_answer({"message": "Not Found", "error": 404}, 404)
    return _listing(present, call)


def _token(call: Call) -> Answer:
    if not call.headers.get("authorization", "").startswith("Basic "):
        return json_answer({"message": "Unauthorized", "error": 401}, 401)
    if call.form.get("grant_type") != "client_credentials":
        return json_answer({"error": "unsupported_grant_type"})
    return json_answer({"access_token": _TOKEN, "token_type": "bearer", "expires_in": 86400, "scope": "*"})


def _listing(present: Present, call: Call) -> Answer:
    posts = _newest(present.world, present.now)
    begin = 0
    if after := call.query.get("after"):
        names = [post.name for post in posts]
        begin = names.index(after) + 1 if after in names else len(posts)
    limit = call.query.get("limit", "25")
    size = min(max(int(limit), 1), 100) if limit.isdigit() else 25
    shown = posts[begin : begin + size]
    more = begin + size < len(posts)
    data = {
        "after": shown[-1].name if more and shown else None,
        "dist": len(shown),
        "modhash": None,
        "geo_filter": None,
        "children": [{"kind": "t3", "data": _told(post)} for post in shown],
        "before": None,
    }
    return Answer(json.dumps({"kind": "Listing", "data": data}).encode(), 200, "application/json", _HEADERS)


def _told(post: Post) -> dict[str, object]:
    number = post.name.removeprefix("t3_")
    return {
        "id": number,
        "name": post.name,
        "title": post.title,
        "selftext": post.body,
        "author": "sandbox_user",
        "subreddit": FORUM,
        "created_utc": post.at,
        "score": post.score,
        "ups": post.score,
        "upvote_ratio": 0.9,
        "num_comments": post.score // 9,
        "permalink": f"/r/{FORUM}/comments/{number}/post/",
        "url": f"https://www.reddit.com/r/{FORUM}/comments/{number}/post/",
        "stickied": False,
        "over_18": False,
        "removed_by_category": None,
    }


@lru_cache(maxsize=4)
def _newest(world: World, now: datetime) -> list[Post]:
    """The posts that a listing shows, newest first."""
    found: list[Post] = []
    day = calendar.today(now)
    counts = _counts(world)
    oldest = min(counts)
    while day >= oldest and len(found) < _MOST:
        found += [post for post in _posts(world, day) if post.at <= now.timestamp()]
        day -= timedelta(days=1)
    return found[:_MOST]


def _posts(world: World, day: date) -> Iterator[Post]:
    """The posts of a day, newest first."""
    mentions = _counts(world).get(day, [])
    most = max((count for _, count in mentions), default=0)
    start = calendar.midnight(day).timestamp()
    length = calendar.midnight(day + timedelta(days=1)).timestamp() - start
    points = _scores(world)[(day - min(_counts(world))).days] if mentions else []
    total = most + _QUIET
    stamp = int(f"{day:%Y%m%d}") * 1000
    for number in reversed(range(total)):
        at = float(round(start + length * (number + 0.5) / total))
        named = [symbol for symbol, count in mentions if count > number] if number < most else []
        title, body = _written(named, number)
        yield Post(at, f"t3_{stamp + number:x}", title, body, points[number] if number < most else 1)


def _written(named: list[str], number: int) -> tuple[str, str]:
    """Title and body of a post. Short symbols stand as cashtags; other words in capitals are no symbols."""
    if not named:
        return "What are your moves tomorrow?", "THE FED WILL DECIDE FOR ALL OF US"
    written = [_spelled(symbol, number + place) for place, symbol in enumerate(named)]
    rest = f"Also watching {', '.join(written[1:])} and not NYSE or ETF stuff.\n\n" if written[1:] else ""
    return _PHRASES[number % len(_PHRASES)].format(written[0]), rest + "No position & no advice, TLDR: it goes UP."


def _spelled(symbol: str, place: int) -> str:
    if len(symbol.partition(".")[0]) < 3:
        return f"${symbol}"
    return (symbol, f"${symbol}", f"${symbol.lower()}")[place % 3]


@lru_cache(maxsize=4)
def _counts(world: World) -> dict[date, list[tuple[str, int]]]:
    """Day -> symbols and their mentions, the most mentioned first."""
    rows = world.table("reddit_mentions").sort_values(["event_date", "mentions"], ascending=[True, False])
    found: dict[date, list[tuple[str, int]]] = {}
    for moment, symbol, count in zip(
        rows["event_date"].tolist(), rows["symbol"].tolist(), rows["mentions"].tolist(), strict=True
    ):
        found.setdefault(moment.date(), []).append((symbol, count))
    return found


@lru_cache(maxsize=4)
def _scores(world: World) -> list[list[int]]:
    """Scores of the posts of each day."""
    return scores(world, (world.end - min(_counts(world))).days + 1).tolist()


SITE = Site((_WEB, _API), answer, limit=(100, 60))
