"""A source on the web as a provider: ask, keep the bytes, read, and let pass what the border admits."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd

from pas_dagster import calendar
from pas_dagster.schemas import Table
from pas_dagster.sources.border import MAX_BAD, admit
from pas_dagster.sources.captures import Captures
from pas_dagster.sources.client import Client
from pas_dagster.sources.page import Page
from pas_dagster.sources.provider import NotServed, Served
from pas_dagster.sources.source import LayoutError, Query, Reading, Source, SourceError, sentence

Look = Callable[[Table, date, date], pd.DataFrame]
"""The stored rows of a table known between two days."""


@dataclass
class WebProvider:
    """Serves one dataset from one source.

    `listed` gives the securities known by now, `look` stored rows, `options` what the settings say for the source.
    `offline` reads what was fetched before and asks nobody. `companies`: it is asked by symbol or names companies, so
    somebody must be listed. `missing` names credentials that are not there.
    """

    source: Source
    client: Client
    captures: Captures
    now: Callable[[], datetime]
    listed: Callable[[], pd.DataFrame]
    look: Look
    options: Mapping[str, Any] = field(default_factory=dict)
    offline: bool = False
    companies: bool = False
    missing: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.source.name

    def coverage(self, table: Table) -> tuple[date, date] | None:
        """From the source's first day to yesterday (to today where it shows only the present)."""
        if table.name != self.source.dataset:
            return None
        today = calendar.today(self.now())
        if self.source.since is None:
            return (date.min if self.offline else today, today)
        return self.source.since, today - timedelta(1)

    def serve(self, table: Table, first: date, last: date) -> Served:
        """The rows known from `first` to `last`. Raises `SourceError` or `NotServed`, each one sentence."""
        if self.missing:
            raise NotServed(f"{self.name} needs {', '.join(self.missing)}, which the settings do not have")
        if self.companies and self.listed().empty:
            raise NotServed("the universe is empty: fetch it first (`pas fetch universe`)")
        if self.offline:
            return self._again(table, first, last)
        query = self.query(table, first, last, self.now())
        with self.visited(query) as pages:
            return self.let_in(table, query, pages, self.read(query, pages))

    @contextmanager
    def visited(self, query: Query) -> Generator[Sequence[Page]]:
        """The pages of a visit, which is noted, and marked as good once the block has read them."""
        pages = self.client.pages(self.source, query)
        capture = self.captures.keep(self.source, query, pages)
        try:
            yield pages
        except SourceError:
            self.client.forget(pages)
            raise
        self.captures.accept(capture)

    def query(self, table: Table, first: date, last: date, now: datetime) -> Query:
        """What is wanted, with what the house knows."""
        back = self.source.lookback
        stored = self.look(table, first - timedelta(back), first - timedelta(1)) if back else table.empty()
        return Query(first, last, now, self.listed(), stored, self.options)

    def _again(self, table: Table, first: date, last: date) -> Served:
        """Read what was fetched before, as of when it was fetched."""
        parts = []
        for capture, begin, end in self.captures.pieces(self.source, first, last):
            query = self.query(table, begin, end, capture.asked_at)
            pages = self.captures.pages(capture)
            parts.append(self.let_in(table, query, pages, self.read(query, pages)))
        return Served.joined(parts)

    def read(self, query: Query, pages: Sequence[Page]) -> Reading:
        """What the pages say. Raises `SourceError` for a page that breaks a rule."""
        try:
            return self.source.read(pages, query)
        except LayoutError as error:
            page = error.page or (pages[-1] if pages else None)
            saved = str(self.client.raw.path(page.digest)) if page else ""
            raise sentence(self.source.title, page.url if page else "", str(error), saved) from None

    def let_in(self, table: Table, query: Query, pages: Sequence[Page], reading: Reading) -> Served:
        """The rows that pass the border. Raises `SourceError` when too many do not."""
        admitted = admit(table, reading, query)
        if admitted.spoilt:
            first = admitted.refused.sort_values("expected", kind="stable").iloc[0]
            raise SourceError(
                f"{self.source.title}: {len(admitted.refused)} of {len(admitted.refused) + len(admitted.rows)} rows "
                f"were refused, more than {MAX_BAD:.0%}; first: {first['url']}, row {first['row_number']}: "
                f"{first['reason']}. Saved copies: {len(pages)} under {self.client.raw.folder}."
            )
        notes = {
            "pages": len(pages),
            "bytes": sum(len(page.content) for page in pages),
            "repeated rows": admitted.repeated,
            "rows of other days": admitted.outside,
        }
        return Served(admitted.rows, admitted.refused, notes)
