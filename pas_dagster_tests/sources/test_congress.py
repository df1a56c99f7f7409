"""Both chambers as one source."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

import pandas as pd

from pas_dagster import calendar
from pas_dagster.sandbox import World
from pas_dagster.sandbox.sites import house as house_site
from pas_dagster.sandbox.sites import senate as senate_site
from pas_dagster.sandbox.sites.site import Present
from pas_dagster.schemas.datasets import POLITICIAN_TRADES
from pas_dagster.sources import congress
from pas_dagster.sources.border import admit
from pas_dagster.sources.congress import side_by_side
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.source import Query, Walk
from pas_dagster_tests.sources.cookies import remembering
from pas_dagster_tests.sources.driving import pages_of

(SOURCE,) = congress.SOURCES
WORLD = World(7, date(2024, 1, 2), date(2024, 12, 31))
NOW = datetime(2025, 1, 1, 4, 0, tzinfo=UTC)  # the evening of the last day in New York


def pages(query: Query) -> list[Page]:
    return pages_of(SOURCE, query, Present(WORLD, NOW), house_site.SITE, remembering(senate_site.SITE))


def test_all_trades_of_both_chambers_pass_the_border() -> None:
    query = Query(WORLD.start, WORLD.end, NOW)
    admitted = admit(POLITICIAN_TRADES, congress.read(pages(query), query), query)
    trades = WORLD.table("politician_trades")
    assert admitted.refused.empty
    assert (admitted.repeated, admitted.outside) == (0, 0)
    keys = ["known_on", "filing_id", "line", "symbol", "amount_mid"]
    whole = POLITICIAN_TRADES.sort(POLITICIAN_TRADES.conform(trades.assign(provider="")))
    pd.testing.assert_frame_equal(POLITICIAN_TRADES.sort(admitted.rows)[keys], whole[keys])
    stated = admitted.rows["known_at"].dropna().dt.tz_localize("UTC").dt.tz_convert(calendar.NEW_YORK)
    assert len(stated) == (trades["chamber"] == "senate").sum()


def test_days_without_filings_are_empty() -> None:
    query = Query(date(2024, 1, 2), date(2024, 1, 3), NOW)
    reading = congress.read(pages(query), query)
    assert reading.rows.empty
    assert reading.bad.empty


def test_the_legislators_are_asked_for_once() -> None:
    asked = [one.request.url for one in pages(Query(date(2024, 3, 1), date(2024, 3, 8), NOW))]
    assert len(asked) - len(set(asked)) == 1  # the home page of the Senate: once to look, once to agree


def one(name: str, rounds: int, heard: list[str]) -> Walk:
    """A walk that asks for its own page and one that others ask for too."""
    for number in range(rounds):
        answers = yield [Request(f"https://x.org/{name}{number}"), Request("https://x.org/both")]
        heard += [f"{name}:{page.url}" for page in answers]


def played(walk: Walk) -> list[list[str]]:
    """What a walk asks in each round; every page is where it was asked for."""
    rounds: list[list[str]] = []
    try:
        asked: Sequence[Request] = next(walk)
        while True:
            rounds.append([request.url.removeprefix("https://x.org/") for request in asked])
            asked = walk.send([Page(request, 200, request.url, b"", NOW) for request in asked])
    except StopIteration:
        return rounds


def test_walks_side_by_side_share_rounds_and_questions() -> None:
    heard: list[str] = []
    assert played(side_by_side(one("a", 2, heard), one("b", 3, heard), one("c", 0, heard))) == [
        ["a0", "both", "b0"],
        ["a1", "both", "b1"],
        ["b2", "both"],
    ]
    base = "https://x.org"
    assert heard[:4] == [f"a:{base}/a0", f"a:{base}/both", f"b:{base}/b0", f"b:{base}/both"]
    assert heard[-2:] == [f"b:{base}/b2", f"b:{base}/both"]


def test_each_chamber_is_a_source_of_its_own_too() -> None:
    from pas_dagster.sources import house, senate

    assert [source.name for module in (congress, house, senate) for source in module.SOURCES] == [
        *("congress", "house", "senate")
    ]
    assert set(SOURCE.hosts) == {host for module in (house, senate) for host in module.SOURCES[0].hosts}
