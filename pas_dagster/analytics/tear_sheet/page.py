"""The whole page of a tear sheet."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from pas_dagster.analytics.tear_sheet import charts, measures, tables
from pas_dagster.analytics.tear_sheet.book import Book, Record, record
from pas_dagster.analytics.tear_sheet.charts import Section
from pas_dagster.analytics.tear_sheet.style import style

# Nothing is fetched and nothing runs, whatever a name that found its way into the page says.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def tear_sheet(book: Book) -> str:
    """One self-contained page of HTML: the same book, the same bytes.

    It follows the reader's preference for light or dark, fits a phone, a desk and paper, holds no script and asks no
    network. A part for which there is too little says so in words.

    >>> import pandas as pd
    >>> page = tear_sheet(Book("Nothing yet", "Holds cash.", pd.Series([], pd.DatetimeIndex([]), dtype=float)))
    >>> "No session has a return yet" in page
    True
    """
    seen = record(book)
    found = measures.measures(seen)
    curves = _render(charts.growth(book, seen)) + _render(charts.falls(seen))
    body = "".join(
        (
            tables.heading(book, seen),
            tables.hero(book, found),
            f'<div class="grid"><div class="two stack">{curves}</div>',
            _render(tables.headline(book, seen, found)),
            _render(tables.months(seen), "all"),
            _render(tables.worst(seen), "two"),
            _render(charts.years(book, seen)),
            *(_render(section) for section in _small(seen)),
            _render(tables.holdings(book), "all"),
            _render(tables.definitions(found), "two"),
            _render(tables.provenance(book, seen)),
            "</div>",
        )
    )
    return _document(book.title, body)


def _small(seen: Record) -> Iterator[Section]:
    """The parts that stand three in a row."""
    yield charts.rolling_sharpe(seen)
    yield charts.rolling_beta(seen)
    yield charts.distribution(seen)
    yield charts.exposure(seen)
    yield charts.turnover(seen)
    yield charts.cost(seen)


def _document(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{style()}</style></head><body><main>{body}</main></body></html>\n"
    )


def _render(section: Section, classes: str = "") -> str:
    unit = f'<span class="unit">{escape(section.unit)}</span>' if section.unit else ""
    finding = f'<p class="finding">{escape(section.finding)}</p>' if section.finding else ""
    opening = f'<section id="{section.key}" class="{classes}">' if classes else f'<section id="{section.key}">'
    return f"{opening}<h2>{escape(section.title)}{unit}</h2>{finding}{section.body}</section>"
