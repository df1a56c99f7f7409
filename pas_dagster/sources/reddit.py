"""Reddit: how many new posts of a forum mention a symbol, counted by day.

`praw` asks for a token (client credentials, https://github.com/reddit-archive/reddit/wiki/OAuth2) and for
`GET https://oauth.reddit.com/r/{forum}/new?limit=100&after=` (https://www.reddit.com/dev/api/#GET_new), newest first:
`{"kind": "Listing", "data": {"after", "children": [{"kind": "t3", "data": {...}}]}}`, each post with `id`, `title`,
`selftext`, `created_utc` and `score`.
A listing ends after about 1,000 posts, so of a busy forum it shows a day or two. Only days that it shows whole count,
and a day counts as known on the day after.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pandas as pd

from pas_dagster import calendar
from pas_dagster.sources.mentions import mentioned
from pas_dagster.sources.page import Page
from pas_dagster.sources.rules import json_of
from pas_dagster.sources.sheets import Sheet, sheets
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source
from pas_dagster.sources.texts import required, text

if TYPE_CHECKING:
    import requests

HOST = "oauth.reddit.com"
FORUM = "wallstreetbets"
MOST_POSTS = 1000
"""Where a listing ends, whatever there is."""

_CUT_SHORT = 900  # posts that were removed are missing from the thousand
_AGENT = "python:portfolio-allocation-system:v1"
_COLUMNS = ["id", "created", "score", "text", "raw"]


def drive(session: requests.Session, query: Query) -> None:
    """Let praw list the newest posts. Raises `LayoutError` when Reddit refuses."""
    import praw
    import prawcore
    from praw.exceptions import PRAWException

    reddit = praw.Reddit(
        client_id=query.options.get("client_id", ""),
        client_secret=query.options.get("client_secret", ""),
        user_agent=_AGENT,
        check_for_updates=False,
        requestor_class=_requestor(),
        requestor_kwargs={"session": session},
    )
    try:
        for _ in reddit.subreddit(_forum(query)).new(limit=MOST_POSTS):
            pass
    except (prawcore.PrawcoreException, PRAWException) as error:
        raise LayoutError(f"a listing of posts comes in answer to a token ({type(error).__name__})") from None
    except (AttributeError, LookupError, TypeError, ValueError):
        raise LayoutError("Reddit's answers are JSON, as praw knows them") from None


def _requestor() -> type[Any]:
    """praw's way to the network, without its own waiting and asking again: the session does that."""
    import prawcore

    class Requestor(prawcore.Requestor):
        def request(self, *args: Any, timeout: float | None = None, **options: Any) -> requests.Response:
            answer = self._http.request(*args, timeout=timeout or self.timeout, **options)
            if answer.status_code != 200:
                raise LayoutError(f"Reddit answers 200, not {answer.status_code}")
            for name in ("remaining", "used", "reset"):  # what praw paces itself by
                answer.headers.pop(f"x-ratelimit-{name}", None)
            return answer

    return Requestor


def _forum(query: Query) -> str:
    name = query.options.get("forum", FORUM)
    if not isinstance(name, str) or quote(name, safe="+") != name or not name:
        raise LayoutError("the option 'forum' is the name of a subreddit")
    return name


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of reddit_mentions for the days that the listing shows whole."""
    listing = [page for page in pages if urlsplit(page.url).hostname == HOST]
    if not listing:
        raise LayoutError("Reddit answers with a listing of posts")
    reading = sheets(listing, parse_posts)
    if reading.rows.empty:
        return reading
    posts = reading.rows.drop_duplicates("id")  # new posts move old ones to the next page
    days = pd.Series([calendar.today(moment) for moment in posts["created"]], index=posts.index)
    reaches_all = _after(listing[-1]) is None and len(posts) < _CUT_SHORT
    oldest = days.min() - timedelta(days=1) if reaches_all else days.min()
    whole = (days > oldest) & (days < calendar.today(query.now))
    if not whole.any():
        error = LayoutError(f"{len(posts)} posts reach back over a whole day, but the oldest is of {days.min()}")
        error.page = listing[-1]
        raise error
    return Reading(_counts(posts[whole], days[whole], query), reading.bad)


def _counts(posts: pd.DataFrame, days: pd.Series, query: Query) -> pd.DataFrame:
    """One row for each day and symbol: in how many posts, and their scores together."""
    listed = frozenset(query.listed["symbol"])
    forum = _forum(query)
    found: dict[tuple[date, str], dict[str, Any]] = {}
    for day, words, score, raw in zip(days, posts["text"], posts["score"], posts["raw"], strict=True):
        for symbol in mentioned(words, listed):
            row = found.setdefault((day, symbol), {"mentions": 0, "upvotes": 0, "raw": raw})
            row["mentions"] += 1
            row["upvotes"] += max(score, 0)
    rows = [
        {"known_on": day + timedelta(days=1), "event_date": day, "symbol": symbol, "forum": forum, **counted}
        for (day, symbol), counted in sorted(found.items())
    ]
    return pd.DataFrame(rows)


def parse_posts(page: Page) -> Sheet:
    """The posts of a page: id, created (aware), score, text (title and body)."""
    posts: list[tuple[object, ...]] = []
    bad: list[Bad] = []
    for child in _listing(page)["children"]:
        told = child.get("data") if isinstance(child, dict) and child.get("kind") == "t3" else None
        try:
            posts.append(_post(told))
        except (ValueError, OverflowError) as error:
            bad.append(Bad(f"a post has an id, a title, a score and a time ({error})", child))
    return Sheet(pd.DataFrame(posts, columns=_COLUMNS[:-1]), bad)


def _post(told: object) -> tuple[object, ...]:
    if not isinstance(told, dict):
        raise ValueError("it is no post")
    created, score = told.get("created_utc"), told.get("score")
    if isinstance(created, bool) or not isinstance(created, (int, float)) or not 1e9 < created < 1e10:
        raise ValueError("created_utc is no time")
    if type(score) is not int or abs(score) > 1 << 40:
        raise ValueError("score is no number")
    words = f"{required(told.get('title'), 'title')}\n{text(told.get('selftext')) or ''}"
    return required(told.get("id"), "id"), datetime.fromtimestamp(created, UTC), score, words


def _listing(page: Page) -> dict[str, Any]:
    answer = json_of(page)
    data = answer.get("data") if isinstance(answer, dict) and answer.get("kind") == "Listing" else None
    if not isinstance(data, dict) or not isinstance(data.get("children"), list):
        raise LayoutError("a page is a Listing with children")
    return data


def _after(page: Page) -> object:
    return _listing(page).get("after")


SOURCES = (
    Source(
        name="reddit",
        dataset="reddit_mentions",
        title="Reddit posts",
        hosts=("www.reddit.com", HOST),
        drive=drive,
        read=read,
        needs=("reddit",),
        note=(
            "Posts (without comments) of yesterday that mention a listed symbol. Since November 2025 Reddit gives keys "
            f"on application only. The option 'forum' names another one than '{FORUM}'."
        ),
    ),
)
