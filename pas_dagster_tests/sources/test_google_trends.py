"""Google Trends: cookie, token, points; and the sandbox's."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox.sites import google_trends as site
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site
from pas_dagster.sources import google_trends
from pas_dagster.sources.google_trends import keywords, parse_points, points_of, read
from pas_dagster.sources.page import Page
from pas_dagster.sources.source import Bad, LayoutError, Query
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources import markets
from pas_dagster_tests.sources.driving import drive, page, pages_of

(SOURCE,) = google_trends.SOURCES
SUNDAY = datetime(2024, 5, 19, 23, 0, tzinfo=calendar.NEW_YORK)
TODAY = SUNDAY.date()


def asked(**options: object) -> Query:
    return markets.query(TODAY, TODAY, SUNDAY, **options)


def points(timeline: object, symbol: str = "PZZA", keyword: str = "pizza") -> Page:
    body = b")]}',\n" + json.dumps({"default": {"timelineData": timeline}}).encode()
    return page(body, "https://trends.google.com/x", kind="points", symbol=symbol, keyword=keyword)


def point(**others: object) -> dict[str, object]:
    return {"time": "1522540800", "value": [81], "hasData": [True]} | others


@pytest.mark.shared
def test_recorded_exchange() -> None:
    """260 weeks from Sunday 2018-04-01 (81) to 2023-03-12 (65), one of them partial; the others add up to 19,965.

    The cassette compares pizza with bagel: only the first value of each point is kept here.
    """
    recorded = json.loads(recorded_bytes("google_trends/pytrends_test_interest_over_time_partial.json.gz"))
    token = page(recorded[1]["body"].encode(), kind="explore", symbol="PZZA", keyword="pizza")
    request = points_of(token)
    assert request.url.startswith("https://trends.google.com/trends/api/widgetdata/multiline?req=%7B%22time%22")
    assert "&token=APP6_UEAAAAAZCFPPQLmhmp72Rbs838Ywtsm7YSkLL-9&tz=360" in request.url
    start, _, told = recorded[2]["body"].partition("\n")
    assert start == ")]}',"
    timeline = json.loads(told)["default"]["timelineData"]
    for told_point in timeline:
        told_point["value"], told_point["hasData"] = told_point["value"][:1], told_point["hasData"][:1]
    rows: list[Any] = list(parse_points(points(timeline)))
    assert len(rows) == 259
    assert sum(row["interest"] for row in rows) == 19965
    assert (rows[0]["event_date"], rows[0]["interest"]) == (date(2018, 4, 1), 81)
    assert (rows[-1]["event_date"], rows[-1]["interest"]) == (date(2023, 3, 12), 65)


def test_the_sandbox_tells_the_week_that_ended_as_its_world_knows_it() -> None:
    stored = markets.world().table("google_trends")
    stored = stored[stored["known_on"] < pd.Timestamp(TODAY)]
    query = replace(asked(), stored=stored)
    reading = drive(SOURCE, query, Present(markets.world(), SUNDAY), site.SITE)
    assert reading.bad.empty
    expected = markets.truth("google_trends", asked())
    found = expected[["symbol"]].merge(reading.rows, on="symbol")
    assert len(expected) > 140
    markets.assert_same(
        found.astype({"event_date": "datetime64[us]", "known_on": "datetime64[us]"}),
        expected,
        ["event_date", "symbol"],
        ["known_on", "keyword", "interest"],
    )


def test_nothing_is_stored_twice() -> None:
    table = markets.world().table("google_trends")
    monday = SUNDAY + timedelta(days=1)
    query = markets.query(monday.date(), monday.date(), monday)
    known = table[table["known_on"] <= pd.Timestamp(TODAY)]
    here = Present(markets.world(), monday)
    still_listed = query.listed[
        query.listed["symbol"].isin(known.loc[known["known_on"] == pd.Timestamp(TODAY), "symbol"])
    ]
    assert drive(SOURCE, replace(query, stored=known, listed=still_listed), here, site.SITE).rows.empty


def test_the_first_visit_gives_every_whole_week_on_the_scale_of_the_day() -> None:
    rows = drive(SOURCE, asked(), Present(markets.world(), SUNDAY), site.SITE).rows
    weeks = sorted(set(rows["event_date"]))
    assert weeks[-1] == TODAY - timedelta(days=7)
    assert {day.weekday() for day in weeks} == {6}
    assert all(later - earlier == timedelta(days=7) for earlier, later in zip(weeks, weeks[1:], strict=False))
    assert (rows.groupby("symbol")["interest"].max() == 100).all()
    assert set(rows["known_on"]) == {TODAY}


def test_terms_come_from_the_option_or_from_the_names_of_the_first_stocks() -> None:
    assert keywords(asked(keywords={"DPZ": " Dominos "})) == {"DPZ": "Dominos"}
    names = [
        ("AAPL", "Apple Inc.", "stock"),
        ("SPY", "S&P 500 ETF", "etf"),
        ("FOX", "Fox Corporation (Class B)", "stock"),
    ]
    listed = pd.DataFrame(names, columns=["symbol", "name", "kind"])
    assert keywords(Query(TODAY, TODAY, SUNDAY, listed)) == {"AAPL": "Apple", "FOX": "Fox"}
    many = pd.DataFrame({"symbol": [f"A{n:03d}" for n in range(300)], "name": "Company X", "kind": "stock"})
    assert len(keywords(Query(TODAY, TODAY, SUNDAY, many))) == google_trends.MOST_KEYWORDS
    for wrong in (["Apple"], {"AAPL": 7}, {"AAPL": " "}):
        with pytest.raises(LayoutError, match="keywords"):
            keywords(asked(keywords=wrong))


def test_the_period_is_an_option() -> None:
    walk = google_trends.walk(asked(keywords={"DPZ": "pizza"}, period="today 3-m"))
    next(walk)
    (request,) = walk.send([page(b"", status=404, kind="cookie")])
    assert "today+3-m" in request.url
    assert request.method == "POST"
    assert request.reads_only
    with pytest.raises(LayoutError, match="period"):
        walk = google_trends.walk(asked(keywords={"DPZ": "pizza"}, period="all"))
        next(walk)
        walk.send([page(b"", kind="cookie")])


def test_nothing_is_asked_when_nothing_is_listed() -> None:
    assert list(google_trends.walk(Query(TODAY, TODAY, SUNDAY))) == []


def test_partial_points_and_points_without_data_are_left_out() -> None:
    timeline = [point(), point(isPartial=True, value=[9]), point(hasData=[False], value=[0]), point(time="1523145600")]
    assert [row["event_date"] for row in parse_points(points(timeline)) if not isinstance(row, Bad)] == [
        date(2018, 4, 1),
        date(2018, 4, 8),
    ]


@pytest.mark.parametrize(
    "wrong",
    [None, point(time="soon"), point(time=1), point(value=[]), point(value=[101]), point(value=["<1"]), point(value=7)],
)
def test_an_unreadable_point_is_told_and_the_others_are_read(wrong: object) -> None:
    rows = list(parse_points(points([wrong, point()])))
    assert isinstance(rows[0], Bad)
    assert not isinstance(rows[1], Bad)


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>Error 429 (Too Many Requests)!!1</html>", b")]}'\n", b")]}'\n[]", b")]}'\n{}", b'{"default": {}}'],
)
def test_an_answer_without_points_or_widgets_is_an_error(content: bytes) -> None:
    with pytest.raises(LayoutError):
        list(parse_points(page(content, symbol="A", keyword="a")))
    with pytest.raises(LayoutError) as caught:
        points_of(page(content, symbol="A", keyword="a"))
    assert str(caught.value)


def test_none_of_many_terms_having_data_is_an_error() -> None:
    with pytest.raises(LayoutError, match="somebody"):
        read([points([])] * 10, asked())
    assert read([points([])] * 9, asked()).rows.empty


def test_a_term_that_nobody_searches_for_has_no_rows() -> None:
    query = asked(keywords={"DPZ": "pizza"})
    assert drive(SOURCE, query, Present(markets.world(), SUNDAY), site.SITE).rows.empty


def test_the_sandbox_refuses_a_wrong_token_and_knows_only_its_paths() -> None:
    def forgetful(present: Present, call: Call) -> Answer | None:
        return site.answer(present, replace(call, query_string=call.query_string.replace("token=APP6", "token=X")))

    with pytest.raises(AssertionError, match="answered 429"):
        pages_of(SOURCE, asked(), Present(markets.world(), SUNDAY), Site(site.SITE.hosts, forgetful))
    assert site.answer(markets.present(), Call("GET", "trends.google.com", "/trends/api/dailytrends")) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["time", "value", "hasData", "isPartial", "widgets", "id", "default"]), inner)
    ),
    max_leaves=20,
)


@given(JSON)
def test_anything_is_read_or_is_a_layout_error(value: Any) -> None:
    whole = page(b")]}'\n" + json.dumps(value).encode(), symbol="A", keyword="a")
    for told in (whole, points(value), points([value]), points([point(time=value)]), points([point(value=value)])):
        for read_it in (points_of, lambda told: list(parse_points(told))):
            with suppress(LayoutError):
                read_it(told)


@given(st.binary(max_size=30))
def test_damaged_bytes_are_a_layout_error(noise: bytes) -> None:
    with pytest.raises(LayoutError):
        list(parse_points(page(b")]}'" + noise, symbol="A", keyword="a")))
