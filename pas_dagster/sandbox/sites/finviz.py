"""finviz.com as the sandbox has it: the news of all stocks, and a page for each stock with its news and ratings.

The layout of 2024 to 2026 as public scrapers read it (lit26/finvizfinance, mariostoev/finviz); times are New York's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from html import escape
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site
from pas_dagster.sandbox.world import World

MOST_NEWS = 180
"""Headlines on the page of all stocks."""
MOST_OF_STOCK = 100
"""Headlines on a stock's page."""
MOST_RATINGS = 20
"""Ratings on a stock's page."""

_NEW_YORK = ZoneInfo("America/New_York")
_ACTIONS = {
    "upgrade": ("Upgrade", "is-positive"),
    "downgrade": ("Downgrade", "is-negative"),
    "initiate": ("Initiated", "is-neutral"),
    "maintain": ("Reiterated", "is-neutral"),
    "reiterate": ("Reiterated", "is-neutral"),
}


@dataclass(frozen=True)
class _Story:
    """A headline; `local` is when it was published in New York, without zone."""

    second: int
    local: datetime
    headline: str
    source: str
    url: str
    symbols: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Dated:
    """Things in the order of the second each was published."""

    seconds: list[int] = field(default_factory=list)
    things: list = field(default_factory=list)

    def add(self, second: int, thing: object) -> None:
        self.seconds.append(second)
        self.things.append(thing)

    def latest(self, now: datetime, most: int) -> list:
        """The last `most` by an instant, newest first."""
        stop = bisect_right(self.seconds, int(now.timestamp()))
        return self.things[max(0, stop - most) : stop][::-1]


@dataclass(frozen=True)
class _Rating:
    day: date
    action: str
    firm: str
    grades: str
    targets: str


@lru_cache(maxsize=4)
def _stories(world: World) -> dict[str | None, _Dated]:
    """Stories by symbol; under None all that name one."""
    news = world.table("news_headlines")
    news = news[news["symbol"].notna()].sort_values(["known_at", "headline_id"], kind="stable")
    local = news["known_at"].dt.tz_localize("UTC").dt.tz_convert(_NEW_YORK).dt.tz_localize(None)
    columns = (
        news["headline_id"],
        news["symbol"],
        _seconds(news),
        local,
        news["headline"],
        news["source"],
        news["url"],
    )
    found: dict[str | None, _Dated] = {None: _Dated()}
    last: tuple[str, _Story] | None = None
    for number, symbol, second, when, *rest in zip(*(column.tolist() for column in columns), strict=True):
        if last is None or last[0] != number:
            last = (number, _Story(second, when.to_pydatetime(), *rest))
            found[None].add(second, last[1])
        last[1].symbols.append(symbol)
        found.setdefault(symbol, _Dated()).add(second, last[1])
    return found


@lru_cache(maxsize=4)
def _ratings(world: World) -> dict[str, _Dated]:
    ratings = world.table("analyst_ratings").sort_values("known_at", kind="stable")
    ratings["second"] = _seconds(ratings)
    found: dict[str, _Dated] = {}
    for row in ratings.to_dict("records"):
        rating = _Rating(
            row["event_date"].date(),
            row["action"],
            row["firm"],
            _change(row["from_grade"] if row["action"] in ("upgrade", "downgrade") else None, row["to_grade"]),
            _change(_dollars(row["target_before"]), _dollars(row["target"])),
        )
        found.setdefault(row["symbol"], _Dated()).add(row["second"], rating)
    return found


@lru_cache(maxsize=4)
def _listed(world: World) -> dict[str, tuple[date, date, str]]:
    """Symbol -> first day, day of removal, name."""
    found: dict[str, tuple[date, date, str]] = {}
    for row in world.table("universe").to_dict("records"):
        day, symbol = row["known_on"].date(), row["symbol"]
        added = found.get(symbol, (day, date.max, row["name"]))
        found[symbol] = (added[0], day, added[2]) if row["action"] == "remove" else added
    return found


def _seconds(frame: pd.DataFrame) -> np.ndarray:
    return frame["known_at"].to_numpy().astype("datetime64[s]").astype(np.int64)


def answer(present: Present, call: Call) -> Answer | None:
    """The news of all stocks, or the page of one; None for other paths."""
    if not call.headers.get("user-agent"):
        return Answer(b"<html><head><title>403 Forbidden</title></head></html>", 403)
    if call.path == "/news.ashx":
        return _page("Stock Market News", _news(present))
    if call.path == "/quote.ashx":
        return _quote(present, call.query.get("t", ""))
    return None


def _quote(present: Present, ticker: str) -> Answer:
    symbol = ticker.upper().replace("-", ".")
    first, gone, name = _listed(present.world).get(symbol, (date.max, date.max, ""))
    if not first <= present.today < gone:
        text = escape(ticker)
        body = f'<table><tr><td class="body-text">Ticker <b>"{text}"</b> not found.</td></tr></table>'
        return _page(f"{text} Stock Quote", body, 404)
    written = symbol.replace(".", "-")
    ratings = _ratings(present.world).get(symbol, _Dated()).latest(present.now, MOST_RATINGS)
    stories = _stories(present.world).get(symbol, _Dated()).latest(present.now, MOST_OF_STOCK)
    cell = (
        '<td><div class="snapshot-td-label">Index</div></td><td><div class="snapshot-td-content">S&amp;P 500</div></td>'
    )
    parts = [
        f'<table class="snapshot-table2"><tr>{cell}</tr></table>',
        _rating_table(ratings, present.today) if ratings else "",
        _news_table(stories, written, present.today) if stories else "",
    ]
    return _page(f"{written} - {escape(name)} Stock Price and Quote", "".join(parts))


def _rating_table(ratings: Sequence[_Rating], today: date) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("Date", "Action", "Analyst", "Rating Change", "Price Target Change"))
    rows = "".join(_rating_row(rating, today) for rating in ratings)
    shape = 'class="js-table-ratings styled-table-new is-rounded is-small"'
    return f"<table {shape}><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _rating_row(rating: _Rating, today: date) -> str:
    day = "Today" if rating.day == today else f"{rating.day:%b-%d-%y}"
    word, look = _ACTIONS[rating.action]
    label = f'<span class="fv-label is-small {look}">{word}</span>'
    cells = (day, label, escape(rating.firm), rating.grades, rating.targets)
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _news_table(stories: Sequence[_Story], ticker: str, today: date) -> str:
    rows, above = [], None
    for story in stories:
        day = story.local.date()
        label = "" if day == above else f"{_day(day, today)} "
        above = day
        link = f'<a class="tab-link-news" href="{escape(story.url)}" target="_blank">{escape(story.headline)}</a>'
        rows.append(
            f'<tr class="cursor-pointer has-label"><td width="130" align="right">{label}{story.local:%I:%M%p}</td><td>'
            f'<div class="news-link-container"><div class="news-link-left">{link}</div>'
            f'<div class="news-link-right"><span>({escape(story.source)})</span></div></div></td></tr>'
        )
    shape = f'id="news-table" class="fullview-news-outer news-table" data-ticker="{ticker}"'
    return f"<table {shape}>{''.join(rows)}</table>"


def _day(day: date, today: date) -> str:
    names = {today: "Today", today - timedelta(1): "Yesterday"}
    return names.get(day) or f"{day:%b-%d-%y}"


def _news(present: Present) -> str:
    stories = _stories(present.world)[None].latest(present.now, MOST_NEWS)
    return f'<table class="styled-table-new">{"".join(_news_row(story, present) for story in stories)}</table>'


def _news_row(story: _Story, present: Present) -> str:
    minutes = (int(present.now.timestamp()) - story.second) // 60
    if minutes < 60:
        when = f"{max(1, minutes)} min"
    else:
        when = f"{story.local:%I:%M%p}" if story.local.date() == present.today else f"{story.local:%b-%d}"
    badges = "".join(_badge(symbol.replace(".", "-")) for symbol in story.symbols)
    return (
        f'<tr class="styled-row is-hoverable news_table-row"><td class="news_date-cell">{when}</td>'
        f'<td class="news_link-cell"><div class="news-badges-container">'
        f'<a href="{escape(story.url)}" class="nn-tab-link">{escape(story.headline)}</a>{badges}'
        f'<span class="news_date-cell color-text is-muted">{escape(story.source)}</span></div></td></tr>'
    )


def _badge(ticker: str) -> str:
    return f'<a href="/quote.ashx?t={ticker}" class="fv-label stock-news-label is-neutral"><span>{ticker}</span></a>'


def _change(before: str | None, after: str | None) -> str:
    return f"{escape(before)} &rarr; {escape(after or '')}" if before else escape(after or "")


def _dollars(value: float) -> str | None:
    return None if np.isnan(value) else "$" + f"{value:.2f}".removesuffix(".00")


def _page(title: str, body: str, status: int = 200) -> Answer:
    text = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{body}</body></html>"
    return Answer(text.encode(), status)


SITE = Site(("finviz.com",), answer, limit=(12, 60))
