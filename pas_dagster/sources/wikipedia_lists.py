"""Wikipedia's lists of the members of S&P indexes.

`https://en.wikipedia.org/wiki/List_of_S%26P_500_companies`: `table#constituents` (Symbol, Security, GICS Sector, ...)
shows the members of now, `table#changes` (Effective Date; Added: Ticker, Security; Removed: Ticker, Security; Reason)
what changed before. The lists of the S&P 400 and 600 have the same, the table of changes not always. A client without
a name is turned away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.source import Bad, LayoutError

if TYPE_CHECKING:
    from lxml.html import HtmlElement

HOST = "en.wikipedia.org"
ARTICLES = {
    "sp500": "List_of_S%26P_500_companies",
    "sp400": "List_of_S%26P_400_companies",
    "sp600": "List_of_S%26P_600_companies",
}
_SYMBOLS = ("symbol", "ticker symbol", "ticker")
_NAMES = ("security", "company", "name")
_SECTORS = ("gics sector", "sector")
_MOST_ROWS, _MOST_COLUMNS = 1000, 50  # a cell that spans more is a slip of the page, not a table
_NOTE = re.compile(r"\[[^\]]*\]")
_DAYS = ("%B %d, %Y", "%b %d, %Y", "%Y-%m-%d", "%d %B %Y")


@dataclass(frozen=True)
class Change:
    """A dated change: who joined and who left (symbol, name), either may be None."""

    day: date
    added: tuple[str, str] | None
    removed: tuple[str, str] | None


def request(index: str) -> Request:
    """The article of an index."""
    return Request(f"https://{HOST}/wiki/{ARTICLES[index]}", kind=index)


def parse_members(page: Page) -> Iterator[dict[str, object] | Bad]:
    """The members of now: symbol, name, kind, sector."""
    for table in _tables(page, "constituents"):
        header, rows = _grid(table)
        symbol, name, sector = (_place(header, names) for names in (_SYMBOLS, _NAMES, _SECTORS))
        if symbol is None or name is None or sector is None:
            continue
        if not rows:
            break
        for row in rows:
            if len(row) <= max(symbol, name, sector) or not row[symbol]:
                yield Bad("a member has a symbol, a name and a sector", " | ".join(row))
            else:
                known = row[sector] or None
                yield {"symbol": row[symbol], "name": row[name] or row[symbol], "kind": "stock", "sector": known}
        return
    raise LayoutError("the article has a table of members with Symbol, Security and GICS Sector")


def has_changes(page: Page) -> bool:
    """Whether the article has a table of changes at all; raises `LayoutError` if it is no HTML page."""
    return any(table.get("id") == "changes" for table in _tables(page, "changes"))


def parse_changes(page: Page) -> Iterator[Change | Bad]:
    """The dated changes, as the article lists them."""
    for table in _tables(page, "changes"):
        header, rows = _grid(table)
        places = [_place(header, names) for names in _CHANGE_COLUMNS]
        day, added, added_name, removed, removed_name = places
        if day is None or added is None or removed is None or not rows:
            continue
        for row in rows:
            when = _day(row[day]) if len(row) > max(place or 0 for place in places) else None
            joined, left = _side(row, added, added_name), _side(row, removed, removed_name)
            if when is None or (joined is None and left is None):
                yield Bad("a change has a day and a ticker that joins or leaves", " | ".join(row))
            else:
                yield Change(when, joined, left)
        return
    raise LayoutError("the article has a table of changes with Date, Added Ticker and Removed Ticker")


_CHANGE_COLUMNS = (
    ("date", "effective date", "date date", "effective date effective date"),
    ("added ticker", "added symbol"),
    ("added security", "added company", "added name"),
    ("removed ticker", "removed symbol"),
    ("removed security", "removed company", "removed name"),
)


def _side(row: Sequence[str], ticker: int, name: int | None) -> tuple[str, str] | None:
    if len(row) <= ticker or row[ticker] in ("", "-", "–", "—", "N/A"):
        return None
    called = row[name] if name is not None and len(row) > name else ""
    return row[ticker], called or row[ticker]


def _tables(page: Page, name: str) -> list[HtmlElement]:
    """The table of that id first, then every table of figures."""
    from lxml import etree, html  # ty: ignore[import-not-found]

    try:
        tree = html.document_fromstring(page.content, parser=html.HTMLParser(encoding="utf-8"))
        tables = tree.xpath("//table")
    except (etree.LxmlError, ValueError, AssertionError):
        raise LayoutError("the answer is an HTML page") from None
    own = [table for table in tables if table.get("id") == name]
    return own + [table for table in tables if "wikitable" in (table.get("class") or "") and table not in own]


def _grid(table: HtmlElement) -> tuple[list[str], list[list[str]]]:
    """The header (a column's headings over each other) and the rows, with cells that span written out."""
    head: list[list[str]] = []
    body: list[list[str]] = []
    pending: dict[int, tuple[int, str]] = {}
    for line in table.iter("tr"):
        cells = [cell for cell in line if cell.tag in ("td", "th")]
        if not cells:
            continue
        row: list[str] = []
        for cell in cells:
            _carry(row, pending)
            text, down, across = _text(cell), _span(cell, "rowspan"), _span(cell, "colspan")
            for _ in range(min(across, _MOST_COLUMNS - len(row))):
                if down > 1:
                    pending[len(row)] = (down - 1, text)
                row.append(text)
        _carry(row, pending)
        is_head = not body and all(cell.tag == "th" for cell in cells)
        (head if is_head else body).append(row)
    width = max(map(len, head), default=0)
    padded = [row + [""] * (width - len(row)) for row in head]
    columns = zip(*padded, strict=True)
    titles = [str(" ".join(dict.fromkeys(part.lower() for part in column if part))) for column in columns]
    return titles, body


def _carry(row: list[str], pending: dict[int, tuple[int, str]]) -> None:
    """Write out cells that reach down from the lines above."""
    while len(row) in pending:
        left, text = pending.pop(len(row))
        if left > 1:
            pending[len(row)] = (left - 1, text)
        row.append(text)


def _span(cell: HtmlElement, name: str) -> int:
    text = (cell.get(name) or "1").strip()
    return max(1, min(int(text), _MOST_ROWS)) if text.isascii() and text.isdigit() and len(text) < 5 else 1


def _text(cell: HtmlElement) -> str:
    """What the cell shows, without footnote marks."""
    return " ".join(_NOTE.sub("", str(cell.xpath("string(.)"))).split())


def _place(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _day(text: str) -> date | None:
    for layout in _DAYS:
        try:
            return datetime.strptime(text, layout).date()  # noqa: DTZ007  (a day has no zone)
        except ValueError:
            continue
    return None
