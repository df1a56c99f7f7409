"""A source made up for tests of what all sources share: a page of JSON rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from pas_dagster.sandbox.server import Sandbox
from pas_dagster.sandbox.sites.site import Answer, Call, Present, json_answer
from pas_dagster.sandbox.world import World
from pas_dagster.schemas import TABLES, Table
from pas_dagster.sources.captures import Captures
from pas_dagster.sources.client import Client, Guard, Traffic
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.raw import RawStore
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, Walk, collect
from pas_dagster.sources.web import WebProvider
from pas_dagster_tests.sources.client.clocks import FakeClock

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = date(2026, 11, 18)
WIKI = TABLES["wiki_views"]


def row(**changes: Any) -> dict[str, Any]:
    """A row of wiki_views as the toy site spells it."""
    return {
        "known_on": "2026-11-18",
        "event_date": "2026-11-17",
        "symbol": "aapl",
        "article": "Apple_Inc.",
        "views": "9110",
    } | changes


@dataclass
class Toy:
    """A site with rows, the sandbox that serves it, and a provider that asks it."""

    rows: list[Any] = field(default_factory=lambda: [row(), row(symbol="BRK-B", views=17)])

    def site(self, _: Present, call: Call) -> Answer:
        return json_answer({"rows": self.rows})

    def sandbox(self) -> Sandbox:
        return Sandbox(World(7, date(2026, 1, 2), date(2026, 1, 9)), site=self.site)


def walk(query: Query) -> Walk:
    yield [Request(f"https://toys.example/{query.first}/{query.last}")]


def parse(page: Page) -> Iterator[dict[str, Any] | Bad]:
    try:
        found = json.loads(page.content)["rows"]
    except (ValueError, KeyError, TypeError):
        raise LayoutError("the page has no list `rows`") from None
    for item in found:
        yield item if isinstance(item, dict) else Bad("not a row", item)


def read(pages: list[Page], _: Query) -> Reading:
    return collect(pages, parse)


SOURCE = Source("toys", "wiki_views", "Toy site", ("toys.example",), read, walk=walk, since=date(2020, 1, 1))


def provider(folder: Path, url: str, source: Source = SOURCE, **options: Any) -> WebProvider:
    raw = RawStore(folder / "raw")
    traffic = Traffic(Guard({"*": url}), FakeClock(), contact=None, hurried=True, longest=0.3)
    client = Client(raw, traffic, cache_folder=folder / "cache")
    return WebProvider(
        source,
        client,
        Captures(folder / "captures", raw),
        lambda: client.clock.now(),
        lambda: pd.DataFrame({"symbol": ["AAPL"], "name": ["Apple Inc."], "kind": ["stock"], "sector": [None]}),
        nothing_stored,
        **options,
    )


def nothing_stored(table: Table, first: date, last: date) -> pd.DataFrame:
    return table.empty()
