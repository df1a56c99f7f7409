"""Alpaca's news: Benzinga's headlines since 2015, with the securities each names.

`GET https://data.alpaca.markets/v1beta1/news` (https://docs.alpaca.markets/reference/news-3) sorts by `updated_at`;
that `start` and `end` select by it too is likely, but not documented. An item carries the headline and symbols of its
last update, so it counts as known at that instant and not at `created_at`, when it may have said something else;
`event_date` is the day it was created.

A row for each symbol of an item, as Benzinga spells it (crypto is `BTCUSD`), and one without a symbol for an item that
names none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pas_dagster import calendar
from pas_dagster.sources.page import Page, Request, address
from pas_dagster.sources.rules import broken, json_of
from pas_dagster.sources.sentiment import score
from pas_dagster.sources.source import Bad, Query, Reading, Source, Walk, collect
from pas_dagster.sources.texts import required, text

HOST = "data.alpaca.markets"
PAGE_SIZE = 50
"""The most items that a page has."""

_STRETCH = timedelta(days=30)  # pages of a stretch come one after another, stretches side by side


def walk(query: Query) -> Walk:
    """Stretches of days side by side, each paged to its end."""
    days: list[tuple[date, date]] = []
    begin = query.first
    while begin <= query.last:
        end = min(begin + _STRETCH, query.last + timedelta(1))
        days.append((begin, end))
        begin = end
    asked = [_request(begin, end, None) for begin, end in days]
    while asked:
        pages = yield asked
        tokens = [_token(page) for page in pages]
        for request, page, token in zip(asked, pages, tokens, strict=True):
            if token and token == request.notes.get("page_token"):
                raise broken(page, "each page names another next page")
        days = [span for span, token in zip(days, tokens, strict=True) if token]
        asked = [_request(*span, token) for span, token in zip(days, filter(None, tokens), strict=True)]


def _request(begin: date, end: date, token: str | None) -> Request:
    """Items of the New York days from `begin` up to `end` without it."""
    url = address(
        f"https://{HOST}",
        "/v1beta1/news",
        start=_midnight(begin),
        end=_midnight(end),
        limit=PAGE_SIZE,
        sort="asc",
        include_content="false",
        page_token=token,
    )
    return Request(url, notes={"page_token": token} if token else {}, auth="alpaca")


def _midnight(day: date) -> str:
    return calendar.midnight(day).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _token(page: Page) -> str | None:
    token = _document(page).get("next_page_token")
    if token is not None and not isinstance(token, str):
        raise broken(page, "next_page_token is a text, or null on the last page")
    return token or None


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of news_headlines, with VADER's sentiment."""
    reading = collect(pages, parse_news)
    if reading.rows.empty:
        return reading
    return Reading(reading.rows.assign(sentiment=score(reading.rows["headline"].tolist())), reading.bad)


def parse_news(page: Page) -> Iterator[Mapping[str, object] | Bad]:
    """The rows of one page of items."""
    for item in _document(page)["news"]:
        try:
            yield from _rows(item)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            yield Bad(f"an item has id, headline, symbols, created_at and updated_at ({error})", json.dumps(item))


def _document(page: Page) -> dict[str, Any]:
    document = json_of(page)
    if not isinstance(document, dict) or not isinstance(document.get("news"), list):
        raise broken(page, "an answer about news holds a list 'news'")
    return document


def _rows(item: Mapping[str, Any]) -> list[dict[str, object]]:
    symbols = item["symbols"] or []
    if not isinstance(symbols, list):
        raise ValueError("symbols is no list")
    if isinstance(item["id"], bool) or not isinstance(item["id"], int):
        raise ValueError("id is no number")
    row = {
        "known_at": _instant(item["updated_at"]),
        "event_date": calendar.today(_instant(item["created_at"])),
        "headline_id": f"alpaca:{item['id']}",
        "headline": required(item["headline"], "headline"),
        "source": text(item.get("source")),
        "url": text(item.get("url")),
    }
    named = dict.fromkeys(required(symbol, "a symbol") for symbol in symbols)
    return [{**row, "symbol": symbol} for symbol in named or (None,)]


def _instant(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    return moment.astimezone(UTC)


SOURCES = (
    Source(
        name="alpaca_news",
        dataset="news_headlines",
        title="Alpaca news",
        hosts=(HOST,),
        read=read,
        walk=walk,
        since=date(2015, 1, 1),
        needs=("alpaca",),
        note="Benzinga's headlines through Alpaca's free data plan. An item counts as known at its last update, "
        "because it is told as last updated. Sentiment is VADER's, which knows no finance words.",
    ),
)
