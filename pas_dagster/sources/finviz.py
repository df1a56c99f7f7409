"""Finviz: headlines and analysts' ratings from its pages, in the layouts of 2020 to 2026.

- `https://finviz.com/news.ashx?v=3`: the latest headlines of all stocks. Since 2024 `tr.news_table-row` with
  `td.news_date-cell`, `a.nn-tab-link`, `a.stock-news-label` for each ticker and `span.news_date-cell` for the
  publisher; in 2022 `tr.nn` with `td.nn-date` and `a.nn-tab-link`, which name no ticker.
- `https://finviz.com/quote.ashx?t=AAPL`: `table#news-table` with a time and `a.tab-link-news` in each row; ratings in
  `table.js-table-ratings` under headings (since 2023), or in `table.fullview-ratings-outer` without (until 2022).
  A ticker that it does not have is a 404 that says so.

Times are New York's, without zone, and relative to when the page was made: `6 min`, `05:25AM`, `Today 05:25AM`,
`Dec-27-21 03:20PM`, `Sep-05`. A rating has a day only. Automated visitors are turned away, in 2021 by a page
`Too many requests.` with status 200, since 2026 by a challenge of Cloudflare.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urljoin, urlsplit

from pas_dagster import calendar
from pas_dagster.sources.page import Page, Request, address
from pas_dagster.sources.sentiment import score
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, Walk, collect
from pas_dagster.sources.stocks import stocks

if TYPE_CHECKING:
    from lxml.html import HtmlElement

HOST = "finviz.com"
MOST_STOCKS = 100
"""So many listed stocks are asked about, unless the option `symbols` names others: ten minutes at the site's pace."""

ACTIONS = {
    "upgrade": "upgrade",
    "downgrade": "downgrade",
    "initiated": "initiate",
    "resumed": "initiate",
    "reiterated": "reiterate",
}
"""Finviz's word -> ours. A firm that resumes coverage begins it again."""

_BASE = f"https://{HOST}/"
_COLUMNS = ("date", "action", "analyst", "rating", "target")
_FEW = 10  # so few stocks that nobody rates prove nothing about the site
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SKEW = timedelta(minutes=5)  # clocks differ
_CLOCK = re.compile(r"(0\d|1[012]):([0-5]\d)(AM|PM)")
_DAY = re.compile(r"([A-Z][a-z]{2})-(\d\d)(?:-(\d\d))?")
_AGO = re.compile(r"(\d{1,4}) ?(min|hour)s?(?: ago)?")
_MONEY = re.compile(r"\$(\d[\d,]{0,11}(?:\.\d{1,6})?)")


@dataclass(frozen=True)
class When:
    """When something was published: the New York day, and the instant where the page tells the time."""

    day: date
    at: datetime | None = None


def walk_news(query: Query) -> Walk:
    """The page of all stocks, and those of the stocks that the option `symbols` names."""
    named = stocks(query) if "symbols" in query.options else []
    yield [Request(address(_BASE, "news.ashx", v=3), kind="news"), *map(_quote, named)]


def walk_ratings(query: Query) -> Walk:
    """A page for each stock."""
    wanted = stocks(query)
    yield [_quote(symbol) for symbol in (wanted if "symbols" in query.options else wanted[:MOST_STOCKS])]


def _quote(symbol: str) -> Request:
    url = address(_BASE, "quote.ashx", t=symbol, ty="c", p="d", b=1)
    return Request(url, kind="quote", notes={"symbol": symbol}, answers=frozenset({200, 404}))


def read_news(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of news_headlines, with VADER's sentiment."""
    reading = collect(pages, lambda page: parse_quote_news(page) if page.kind == "quote" else parse_news(page))
    if reading.rows.empty:
        return reading
    return Reading(reading.rows.assign(sentiment=score(reading.rows["headline"].tolist())), reading.bad)


def read_ratings(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of analyst_ratings. Raises `LayoutError` also when none of many stocks is rated."""
    reading = collect(pages, parse_ratings)
    if len(pages) >= _FEW and reading.rows.empty and reading.bad.empty:
        error = LayoutError(f"some of {len(pages)} stocks are rated, but none is")
        error.page = pages[0]
        raise error
    return reading


def parse_news(page: Page) -> Iterator[dict[str, object] | Bad]:
    """The headlines of news.ashx; one without tickers gives a row without a symbol."""
    tree = _tree(page)
    rows = _all(tree, "tr", "news_table-row") or _all(tree, "tr", "nn")
    if not rows:
        raise LayoutError("the page of news has rows tr.news_table-row")
    for row in rows:
        cells = _all(row, "td", "news_date-cell") or _all(row, "td", "nn-date")
        links = _all(row, "a", "nn-tab-link") or _all(row, "a", "tab-link")
        sources = _all(row, "span", "news_date-cell")
        tickers = dict.fromkeys(filter(None, map(_ticker, _all(row, "a", "stock-news-label"))))
        try:
            when = _latest(_text(cells[0]), page.fetched_at)
            told = _headline(links[0], when, _text(sources[0]) if sources else "")
        except (IndexError, ValueError) as error:
            yield Bad(f"a headline has a time and a link ({error})", _text(row))
            continue
        for symbol in tickers or (None,):
            yield {**told, "symbol": symbol}


def parse_quote_news(page: Page) -> Iterator[dict[str, object] | Bad]:
    """The headlines of a stock's page; a time without a day belongs to the day above it."""
    tree = _quote_tree(page)
    tables = [] if tree is None else tree.xpath("//table[@id='news-table']")
    rows = [row for table in tables for row in table.iter("tr") if _all(row, "a", "tab-link-news")]
    if tables and not rows:
        raise LayoutError("the table of a stock's news has links a.tab-link-news")
    above: date | None = None
    for row in rows:
        sources = row.xpath(".//*[contains(concat(' ', @class, ' '), ' news-link-right ')]//span")
        try:
            when = _published(_text(row[0]), page.fetched_at, above)
            told = _headline(_all(row, "a", "tab-link-news")[0], when, _text(sources[0]) if sources else "")
        except ValueError as error:
            yield Bad(f"a headline has a time and a link ({error})", _text(row))
            continue
        above = when.day
        yield {**told, "symbol": page.notes["symbol"]}


def parse_ratings(page: Page) -> Iterator[dict[str, object] | Bad]:
    """The ratings of a stock's page, newest first."""
    tree = _quote_tree(page)
    if tree is None:
        return
    for table in _all(tree, "table", "js-table-ratings") or _all(tree, "table", "fullview-ratings-outer"):
        order = _order([_text(heading).lower() for heading in table.iter("th")])
        rows = table.xpath(".//tr[td and not(.//tr)]")
        if not rows:
            raise LayoutError("a table of ratings has rows")
        for row in rows:
            cells = [_text(cell) for cell in row.iter("td")]
            try:
                yield _rating({name: cells[at] for name, at in order.items()}, page)
            except (IndexError, ValueError) as error:
                yield Bad(f"a rating has date, action, analyst, rating and price target ({error})", cells)


def _order(headings: Sequence[str]) -> dict[str, int]:
    """Where each column stands: by the headings, or as until 2022, when there were none."""
    if not headings:
        return {name: at for at, name in enumerate(_COLUMNS)}
    found = {name: next((at for at, text in enumerate(headings) if name in text), None) for name in _COLUMNS}
    if None in found.values():
        raise LayoutError("ratings stand under Date, Action, Analyst, Rating Change and Price Target Change")
    return {name: at for name, at in found.items() if at is not None}


def _rating(cells: Mapping[str, str], page: Page) -> dict[str, object]:
    if cells["action"].lower() not in ACTIONS:
        raise ValueError(f"action {cells['action']!r} is none of {', '.join(ACTIONS)}")
    if not cells["analyst"]:
        raise ValueError("the analyst is missing")
    before, after = _change(cells["rating"])
    target_before, target = _change(cells["target"])
    day = _published(cells["date"], page.fetched_at, None).day
    return {
        "known_on": day,
        "event_date": day,
        "symbol": page.notes["symbol"],
        "firm": cells["analyst"],
        "action": ACTIONS[cells["action"].lower()],
        "from_grade": before,
        "to_grade": after,
        "target_before": _dollars(target_before),
        "target": _dollars(target),
    }


def _change(text: str) -> tuple[str | None, str | None]:
    """Before and after of `Hold → Buy`; of a single value, after."""
    before, arrow, after = text.partition("→")
    return (before.strip() or None, after.strip() or None) if arrow else (None, text or None)


def _dollars(text: str | None) -> float | None:
    if text is None:
        return None
    found = _MONEY.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no price in dollars")
    return float(found[1].replace(",", "")) or None


def _headline(link: HtmlElement, when: When, source: str) -> dict[str, object]:
    url, headline = urljoin(_BASE, link.get("href", "")), _text(link)
    if not headline or urlsplit(url).scheme not in ("http", "https") or url == _BASE:
        raise ValueError("the link has no text or no address")
    return {
        "known_at": when.at,
        "known_on": when.day,
        "event_date": when.day,
        "headline_id": f"finviz:{hashlib.sha256(url.encode()).hexdigest()[:16]}",
        "headline": headline,
        "source": source.removeprefix("(").removesuffix(")") or None,
        "url": url,
    }


def _ticker(label: HtmlElement) -> str:
    """From the address it links to: the text may have a price change behind the ticker."""
    named = parse_qs(urlsplit(label.get("href", "")).query).get("t")
    return (named[0] if named else _text(label)).strip()


def _latest(text: str, now: datetime) -> When:
    """As `_published`, where a time without a day is the last such time."""
    when = _published(text, now, calendar.today(now))
    if when.at and when.at > now + _SKEW and _CLOCK.fullmatch(text):
        return _published(text, now, calendar.today(now) - timedelta(1))
    return when


def _published(text: str, now: datetime, above: date | None) -> When:
    """What the page says of a time; `above` is the day of a time without one. Raises `ValueError`."""
    if ago := _AGO.fullmatch(text):
        at = now - timedelta(minutes=int(ago[1]) * (60 if ago[2] == "hour" else 1))
        return When(calendar.today(at), at)
    label, _, clock = text.rpartition(" ") if _CLOCK.search(text) else (text, "", "")
    day = _day(label, calendar.today(now)) if label else above
    if not text or day is None:
        raise ValueError(f"{text!r} tells no day")
    if not clock:
        return When(day)
    found = _CLOCK.fullmatch(clock)
    if not found:
        raise ValueError(f"{text!r} tells no time")
    hour = int(found[1]) % 12 + (12 if found[3] == "PM" else 0)
    local = datetime(day.year, day.month, day.day, hour, int(found[2]), tzinfo=calendar.NEW_YORK)
    return When(day, local.astimezone(UTC))


def _day(label: str, today: date) -> date | None:
    """`Today`, `Yesterday`, `Dec-27-21`, or `Sep-05`: the last such day."""
    if label in ("Today", "Yesterday"):
        return today - timedelta(label == "Yesterday")
    found = _DAY.fullmatch(label)
    if not found or found[1] not in _MONTHS:
        return None
    month, day = _MONTHS.index(found[1]) + 1, int(found[2])
    if found[3]:
        return date(2000 + int(found[3]), month, day)
    year = today.year - ((month, day) > (today.month, today.day))
    return date(year, month, day)


def _quote_tree(page: Page) -> HtmlElement | None:
    """A stock's page; None when the site does not have the stock."""
    symbol, tree = page.notes["symbol"], _tree(page)
    if page.status == 404:
        said = _text(tree)
        if "not found" not in said or symbol not in said:
            raise LayoutError("a 404 says that the ticker was not found")
        return None
    title = (tree.findtext(".//title") or "").split()
    if title[:1] != [symbol] or not _all(tree, "table", "snapshot-table2"):
        raise LayoutError("a stock's page has the ticker as the first word of its title, and a table.snapshot-table2")
    return tree


def _tree(page: Page) -> HtmlElement:
    from lxml import etree, html  # ty: ignore[import-not-found]

    if b"too many requests" in page.content[:500].lower():
        raise LayoutError("the page is no notice that there were too many requests")
    try:
        tree = html.document_fromstring(page.content, parser=html.HTMLParser(encoding="utf-8"))
    except (etree.LxmlError, ValueError):
        raise LayoutError("the page is HTML") from None
    if "Just a moment" in (tree.findtext(".//title") or ""):
        raise LayoutError("the page is no challenge for browsers")
    return tree


def _all(node: HtmlElement, tag: str, name: str) -> list[HtmlElement]:
    """The elements within `node` that have the tag and the class."""
    return [element for element in node.iter(tag) if name in element.get("class", "").split()]


def _text(node: HtmlElement) -> str:
    return " ".join(node.text_content().split())


def _source(dataset: str, title: str, walk: Callable[[Query], Walk], read: Any, note: str) -> Source:
    return Source(
        name="finviz",
        dataset=dataset,
        title=title,
        hosts=(HOST,),
        read=read,
        walk=walk,
        off=True,
        note=f"{note} Since 2026 the site turns away most automated visitors.",
    )


SOURCES = (
    _source(
        "news_headlines",
        "Finviz news",
        walk_news,
        read_news,
        "The latest headlines of all stocks, and more of those that the option 'symbols' names. Sentiment is VADER's.",
    ),
    _source(
        "analyst_ratings",
        "Finviz ratings",
        walk_ratings,
        read_ratings,
        f"The last ratings of the stocks that the option 'symbols' names, else of the first {MOST_STOCKS} listed by "
        "symbol. A firm that resumes coverage counts as initiating it.",
    ),
)
