"""Finviz: pages of 2020 to 2026 read alike, times come out as instants, and a page that is something else is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox.sites import finviz as site
from pas_dagster.sandbox.sites.site import Call
from pas_dagster.sources import finviz
from pas_dagster.sources.page import Page
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources.driving import page, pages_of
from pas_dagster_tests.sources.markets import admitted, present, query, world

NEWS, RATINGS = finviz.SOURCES
NOW = datetime(2026, 9, 25, 10, 30, tzinfo=calendar.NEW_YORK)
TODAY = date(2026, 9, 25)
EVER = Query(date(2015, 1, 1), TODAY, NOW)


def at(content: bytes, now: datetime, kind: str, status: int = 200, **notes: str) -> Page:
    url = f"https://finviz.com/{kind}.ashx"
    return replace(page(content, url, status, kind, **notes), fetched_at=now.astimezone(UTC))


def recorded_quote(day: str, now: datetime) -> Page:
    return at(recorded_bytes(f"finviz/quote_AAPL_{day}.html.gz"), now, "quote", symbol="AAPL")


def quote(*parts: str, symbol: str = "TSLA", now: datetime = NOW, title: str = "TSLA - Tesla Inc Stock Price") -> Page:
    body = (
        f"<html><head><title>{title}</title></head><body><table class='snapshot-table2'></table>{''.join(parts)}</body>"
    )
    return at(body.encode(), now, "quote", symbol=symbol)


def story(when: str, href: str = "https://a.example/1", text: str = "A headline", source: str = "(Reuters)") -> str:
    return (
        f"<tr><td>{when}</td><td><a class='tab-link-news' href='{href}'>{text}</a>"
        f"<div class='news-link-right'><span>{source}</span></div></td></tr>"
    )


def stories(*rows: str) -> str:
    return f"<table id='news-table' class='fullview-news-outer news-table' data-ticker='TSLA'>{''.join(rows)}</table>"


HEADINGS = ("Date", "Action", "Analyst", "Rating Change", "Price Target Change")


def ratings(*rows: Sequence[str], headings: Sequence[str] = HEADINGS, name: str = "js-table-ratings is-rounded") -> str:
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table class='{name}'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def row(when: str, *, labels: str = "", href: str = "/news/123/slug", link: str = "nn-tab-link") -> str:
    return (
        f"<tr class='styled-row news_table-row'><td class='news_date-cell color-text'>{when}</td>"
        f"<td class='news_link-cell'><div class='news-badges-container'><a class='{link}' href='{href}'>A headline</a>"
        f"{labels}<span class='news_date-cell'>Reuters</span></div></td></tr>"
    )


def news(*rows: str, now: datetime = NOW) -> Page:
    return at(f"<html><body><table>{''.join(rows)}</table></body></html>".encode(), now, "news")


def told(pages: Page, source: Source = NEWS) -> list[dict[str, Any]]:
    reading = source.read([pages], EVER)
    assert reading.bad.empty, reading.bad["reason"].tolist()
    return reading.rows.to_dict("records")


@pytest.mark.shared
def test_the_recorded_ratings_of_2021() -> None:
    now = datetime(2021, 12, 27, 16, 0, tzinfo=calendar.NEW_YORK)
    reading = RATINGS.read([recorded_quote("2021-12-27", now)], EVER)
    assert (len(reading.rows), len(reading.bad)) == (20, 0)
    assert reading.rows["action"].value_counts().to_dict() == {"reiterate": 16, "upgrade": 2, "initiate": 2}
    first = reading.rows.iloc[0]
    assert (first["known_on"], first["firm"], first["action"]) == (date(2021, 12, 14), "BofA Securities", "upgrade")
    assert (first["from_grade"], first["to_grade"]) == ("Neutral", "Buy")
    assert (first["target_before"], first["target"]) == (160, 210)
    resumed = reading.rows[reading.rows["firm"] == "Credit Suisse"].iloc[0]
    assert (resumed["action"], resumed["to_grade"], resumed["target"]) == ("initiate", "Neutral", 150)
    assert pd.isna(resumed["from_grade"])
    assert len(admitted("analyst_ratings", reading, EVER).rows) == 20


@pytest.mark.shared
def test_the_recorded_ratings_of_2020() -> None:
    reading = RATINGS.read([recorded_quote("2020-11-24", NOW)], EVER)
    assert (len(reading.rows), len(reading.bad)) == (20, 0)
    (down,) = reading.rows[reading.rows["action"] == "downgrade"].to_dict("records")
    assert (down["known_on"], down["target_before"], down["target"]) == (date(2020, 8, 5), 420, 470)


@pytest.mark.shared
def test_the_recorded_news_of_a_stock() -> None:
    now = datetime(2021, 12, 27, 16, 0, tzinfo=calendar.NEW_YORK)
    reading = NEWS.read([recorded_quote("2021-12-27", now)], EVER)
    assert (len(reading.rows), len(reading.bad)) == (100, 0)
    first, last = reading.rows.iloc[0], reading.rows.iloc[-1]
    assert first["known_at"] == pd.Timestamp("2021-12-27 20:20", tz="UTC")
    assert (first["headline"], first["source"]) == ("Anatomy of a 10-Bagger", "GuruFocus.com")
    assert first["url"] == "https://finance.yahoo.com/news/anatomy-10-bagger-202039495.html"
    assert last["known_at"] == pd.Timestamp("2021-12-18 16:15", tz="UTC")
    assert last["headline"] == "3 Top Energy Stocks Ready for a Bull Run"
    assert reading.rows["known_on"].nunique() == 9
    assert set(reading.rows["symbol"]) == {"AAPL"}
    assert len(admitted("news_headlines", reading, EVER).rows) == reading.rows["headline_id"].nunique()
    assert len(NEWS.read([recorded_quote("2020-11-24", NOW)], EVER).rows) == 100


@pytest.mark.shared
@pytest.mark.parametrize(("name", "count", "days"), [("time", 180, 73), ("v2", 188, 188)])
def test_the_recorded_pages_of_all_news_name_no_ticker(name: str, count: int, days: int) -> None:
    # grep: 180 rows tr.nn, of which 107 tell a time of the day; 188 on the page by source, none of which does
    now = datetime(2022, 2, 21, 19, 0, tzinfo=calendar.NEW_YORK)
    reading = NEWS.read([at(recorded_bytes(f"finviz/news_ashx_{name}_2022-02-21.html.gz"), now, "news")], EVER)
    assert (len(reading.rows), len(reading.bad)) == (count, 0)
    assert reading.rows["symbol"].isna().all()
    assert reading.rows["known_at"].isna().sum() == days
    assert reading.rows["known_on"].max() == date(2022, 2, 21)
    assert reading.rows["known_on"].min() > date(2021, 2, 21)
    if name == "time":
        assert reading.rows["known_at"].iloc[0] == pd.Timestamp("2022-02-21 23:57", tz="UTC")
        assert reading.rows["headline"].iloc[0] == "Markets brace for heavy falls as Russia-Ukraine crisis escalates"


@pytest.mark.shared
def test_a_recorded_404_is_a_ticker_that_the_site_does_not_have() -> None:
    missing = at(recorded_bytes("finviz/quote_INVALID_404_2022-01-13.html.gz"), NOW, "quote", 404, symbol="INVALID")
    for source in (NEWS, RATINGS):
        reading = source.read([missing], EVER)
        assert reading.rows.empty
        assert reading.bad.empty
    with pytest.raises(LayoutError, match="not found"):
        RATINGS.read([replace(missing, request=replace(missing.request, notes={"symbol": "AAPL"}))], EVER)


@pytest.mark.shared
def test_the_recorded_notice_of_too_many_requests_is_no_page() -> None:
    notice = recorded_bytes("finviz/too_many_requests_body.txt")
    for source in (NEWS, RATINGS):
        with pytest.raises(LayoutError, match="too many requests"):
            source.read([at(notice, NOW, "quote", symbol="AAPL")], EVER)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("6 min", "2026-09-25 14:24"),
        ("2 hours", "2026-09-25 12:30"),
        ("05:25AM", "2026-09-25 09:25"),
        ("11:58PM", "2026-09-25 03:58"),  # yesterday's: later than now
        ("Today 12:05AM", "2026-09-25 04:05"),
        ("Yesterday 12:00PM", "2026-09-24 16:00"),
        ("Jan-05-26 04:15PM", "2026-01-05 21:15"),
    ],
)
def test_times_are_instants(text: str, instant: str) -> None:
    (found,) = told(news(row(text)))
    assert found["known_at"] == pd.Timestamp(instant, tz="UTC")
    assert found["event_date"] == found["known_on"] == found["known_at"].tz_convert(calendar.NEW_YORK).date()


@pytest.mark.parametrize(
    ("text", "day"), [("Sep-05", date(2026, 9, 5)), ("Sep-26", date(2025, 9, 26)), ("Sep-25", TODAY), ("Today", TODAY)]
)
def test_a_day_without_a_time_is_the_last_such_day(text: str, day: date) -> None:
    (found,) = told(news(row(text)))
    assert found["known_on"] == day
    assert pd.isna(found["known_at"])


@pytest.mark.parametrize(
    "text", ["", "soon", "13:10PM", "05:77AM", "Foo-05", "Feb-30-26 05:25AM", "Feb-30", "99999 min"]
)
def test_what_tells_no_time_is_refused_and_the_page_read_on(text: str) -> None:
    reading = NEWS.read([news(row(text), row("6 min"))], EVER)
    assert (len(reading.rows), len(reading.bad)) == (1, 1)


def test_on_a_stocks_page_a_time_belongs_to_the_day_above_it() -> None:
    page_ = quote(stories(story("Yesterday 11:30PM"), story("09:00AM"), story("Aug-27-26 04:15PM"), story("03:00AM")))
    assert [str(one["known_at"]) for one in told(page_)] == [
        "2026-09-25 03:30:00+00:00",
        "2026-09-24 13:00:00+00:00",
        "2026-08-27 20:15:00+00:00",
        "2026-08-27 07:00:00+00:00",
    ]
    (lost,) = finviz.parse_quote_news(quote(stories(story("09:00AM"))))
    assert isinstance(lost, Bad)


def test_a_headline_has_a_row_for_each_ticker_as_its_link_names_it() -> None:
    labels = (
        "<a class='fv-label stock-news-label' href='/quote.ashx?t=TSLA'><span>TSLA</span>+7.10%</a>"
        "<a class='fv-label stock-news-label' href='/stock?t=BRK-B'>BRK-B</a>"
        "<a class='fv-label stock-news-label'>PBF</a><a class='stock-news-label' href='/quote.ashx?t=TSLA'></a>"
    )
    for link in ("nn-tab-link", "tab-link"):
        found = told(news(row("6 min", labels=labels, link=link)))
        assert [one["symbol"] for one in found] == ["TSLA", "BRK-B", "PBF"]
        assert {one["url"] for one in found} == {"https://finviz.com/news/123/slug"}
        assert {one["source"] for one in found} == {"Reuters"}
        assert len({one["headline_id"] for one in found}) == 1


def test_a_headline_is_the_same_on_both_kinds_of_pages() -> None:
    label = "<a class='stock-news-label' href='/quote.ashx?t=TSLA'>TSLA</a>"
    (one,) = told(news(row("10:24AM", labels=label, href="https://a.example/1")))
    (other,) = told(quote(stories(story("Today 10:24AM"))))
    assert one == other | {"raw": one["raw"]}


@pytest.mark.parametrize("href", ["", "javascript:void(0)", "http://[", "mailto:a@b.example"])
def test_a_link_to_nowhere_is_refused(href: str) -> None:
    reading = NEWS.read([news(row("6 min", href=href)), quote(stories(story("Today 09:00AM", href)))], EVER)
    assert (len(reading.rows), len(reading.bad)) == (0, 2)


def test_ratings_are_found_by_their_headings() -> None:
    cells = {
        "Date": "Sep-23-26",
        "Action": "<span class='fv-label'>Upgrade</span>",
        "Analyst": "Stifel",
        "Rating Change": "Hold &rarr; Buy",
        "Price Target Change": "$1,230.50 &rarr; $250",
    }
    for headings in (list(cells), [*list(cells)[::-1], "Link"]):
        (found,) = told(quote(ratings([cells.get(name, "x") for name in headings], headings=headings)), RATINGS)
        assert (found["known_on"], found["firm"], found["action"]) == (date(2026, 9, 23), "Stifel", "upgrade")
        assert (found["from_grade"], found["to_grade"]) == ("Hold", "Buy")
        assert (found["target_before"], found["target"]) == (1230.5, 250)


def test_a_rating_may_be_of_today_and_without_grade_or_target() -> None:
    found = told(
        quote(
            ratings(
                ("Today", "Initiated", "A", "Buy", ""),
                ("Sep-01-26", "Reiterated", "B", "", "$575"),
                name="js-table-ratings",
            )
        ),
        RATINGS,
    )
    assert [one["known_on"] for one in found] == [TODAY, date(2026, 9, 1)]
    assert pd.isna(found[0]["target"])
    assert pd.isna(found[1]["to_grade"])
    assert found[1]["target"] == 575


@pytest.mark.parametrize(
    "cells",
    [
        ("someday", "Upgrade", "A", "Buy", ""),
        ("Sep-01-26", "Guessed", "A", "Buy", ""),
        ("Sep-01-26", "Upgrade", "", "Buy", ""),
        ("Sep-01-26", "Upgrade", "A", "Buy", "n.a."),
        ("Sep-01-26", "Upgrade"),
    ],
)
def test_a_rating_that_cannot_be_read_is_refused_and_the_table_read_on(cells: Sequence[str]) -> None:
    reading = RATINGS.read([quote(ratings(cells, ("Sep-01-26", "Upgrade", "A", "Buy", "")))], EVER)
    assert (len(reading.rows), len(reading.bad)) == (1, 1)


CHALLENGE = b"<html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>"


@pytest.mark.parametrize(
    ("source", "broken"),
    [
        (NEWS, at(b"", NOW, "news")),
        (NEWS, at(CHALLENGE, NOW, "news")),
        (NEWS, news()),
        (NEWS, quote("<table id='news-table'><tr><td>Loading</td></tr></table>")),
        (NEWS, quote(stories(story("Today 09:00AM")), title="AAPL Apple Inc.")),
        (RATINGS, at(CHALLENGE, NOW, "quote", symbol="TSLA")),
        (RATINGS, at(b"<html><head><title>TSLA Tesla</title></head><body></body></html>", NOW, "quote", symbol="TSLA")),
        (RATINGS, at(b"<html>Not Found</html>", NOW, "quote", 404, symbol="TSLA")),
        (RATINGS, quote(ratings())),
        (RATINGS, quote(ratings(("Sep-01-26",), headings=("New Date", "Verdict", "Analyst", "Rating", "Target")))),
    ],
)
def test_a_page_that_is_something_else_is_a_changed_layout(source: Source, broken: Page) -> None:
    with pytest.raises(LayoutError) as caught:
        source.read([broken], EVER)
    assert caught.value.page is broken


def test_ten_stocks_without_any_rating_are_a_changed_layout() -> None:
    assert RATINGS.read([quote()] * 9, EVER).rows.empty
    with pytest.raises(LayoutError, match="some of 10 stocks are rated"):
        RATINGS.read([quote()] * 10, EVER)


def test_the_first_hundred_stocks_are_asked_about_unless_the_option_names_some() -> None:
    asked = query()
    symbols = [request.notes["symbol"] for request in next(finviz.walk_ratings(asked))]
    assert len(symbols) == finviz.MOST_STOCKS
    assert symbols == sorted(symbols)
    named = replace(asked, options={"symbols": ["brk.b", "AAPL"]})
    assert [request.notes["symbol"] for request in next(finviz.walk_ratings(named))] == ["AAPL", "BRK-B"]
    assert [request.kind for request in next(finviz.walk_news(asked))] == ["news"]
    assert [request.kind for request in next(finviz.walk_news(named))] == ["news", "quote", "quote"]


EVENING = datetime(2024, 3, 15, 20, 0, tzinfo=calendar.NEW_YORK)
SYMBOLS = ["TORV", "ULME", "PELV", "NOSUCH"]


def from_sandbox(source: Source, now: datetime = EVENING, **options: object) -> tuple[Query, Reading]:
    asked = query(date(2024, 1, 2), calendar.today(now), now)
    asked = replace(asked, options=options)
    pages = [replace(one, fetched_at=now.astimezone(UTC)) for one in pages_of(source, asked, present(now), site.SITE)]
    return asked, source.read(pages, asked)


def known(dataset: str, now: datetime = EVENING) -> pd.DataFrame:
    rows = world().table(dataset)
    return rows[rows["known_at"] <= pd.Timestamp(now).tz_convert("UTC").tz_localize(None)].sort_values("known_at")


def test_the_ratings_of_the_world_come_back() -> None:
    asked, reading = from_sandbox(RATINGS, symbols=SYMBOLS)
    found = admitted("analyst_ratings", reading, replace(asked, first=date(2022, 1, 3)))
    assert found.refused.empty
    truth = known("analyst_ratings")
    truth = truth[truth["symbol"].isin(SYMBOLS)].groupby("symbol").tail(site.MOST_RATINGS)
    truth = truth.assign(action=truth["action"].replace("maintain", "reiterate"))
    truth["from_grade"] = truth["from_grade"].where(truth["action"].isin(["upgrade", "downgrade"]), None)
    keys = ["event_date", "symbol", "firm", "action"]
    columns = [*keys, "known_on", "from_grade", "to_grade", "target_before", "target"]
    left, right = (
        frame[columns].sort_values(keys, ignore_index=True).astype(object).pipe(lambda f: f.where(f.notna(), None))
        for frame in (found.rows, truth)
    )
    assert left.values.tolist() == right.values.tolist()
    assert len(left) > 20


def test_the_news_of_the_world_come_back_to_the_minute() -> None:
    asked, reading = from_sandbox(NEWS, symbols=SYMBOLS)
    found = admitted("news_headlines", reading, replace(asked, first=date(2022, 1, 3)))
    assert found.refused.empty
    truth = known("news_headlines")
    truth = truth[truth["symbol"].notna()]
    stories = truth["headline_id"].drop_duplicates().tail(site.MOST_NEWS)
    shown = truth["headline_id"].isin(stories) | truth.index.isin(
        truth[truth["symbol"].isin(SYMBOLS)].groupby("symbol").tail(site.MOST_OF_STOCK).index
    )
    expected = truth[shown].set_index(["url", "symbol"])
    rows = found.rows.set_index(["url", "symbol"])
    assert set(rows.index) == set(expected.index)
    expected = expected.loc[rows.index]
    for column in ("headline", "source", "sentiment", "known_on"):
        assert rows[column].tolist() == expected[column].tolist()
    timed = rows["known_at"].notna()
    off = (rows["known_at"] - expected["known_at"])[timed].abs()
    assert off.max() <= pd.Timedelta(minutes=1)
    assert timed.any()
    assert not timed.all()


def test_nothing_shows_before_it_is_known() -> None:
    morning = datetime(2024, 3, 15, 8, 0, tzinfo=calendar.NEW_YORK)
    for source, dataset in ((NEWS, "news_headlines"), (RATINGS, "analyst_ratings")):
        _, reading = from_sandbox(source, morning, symbols=SYMBOLS)
        assert reading.rows["known_on"].max() <= date(2024, 3, 15)
        assert len(reading.rows)
        later = known(dataset, EVENING)
        later = later[later["known_at"] > pd.Timestamp(morning).tz_convert("UTC").tz_localize(None)]
        if dataset == "news_headlines":
            assert not set(reading.rows["url"]) & set(later["url"])
        else:
            pairs = set(zip(reading.rows["known_on"], reading.rows["symbol"], reading.rows["firm"], strict=True))
            assert not pairs & set(zip(later["known_on"].dt.date, later["symbol"], later["firm"], strict=True))


def test_yesterdays_page_is_todays_history() -> None:
    days = [EVENING - timedelta(1), EVENING]
    seen = [set(from_sandbox(NEWS, now)[1].rows["headline_id"]) for now in days]
    assert seen[0] & seen[1]


def test_the_site_turns_away_who_does_not_say_what_it_is() -> None:
    answer = site.SITE.answer(present(), Call("GET", "finviz.com", "/news.ashx", "v=3"))
    assert answer is not None
    assert answer.status == 403


PIECES = st.sampled_from(
    [
        *(
            "<table class='js-table-ratings'>",
            "<table id='news-table'>",
            "</table>",
            "<tr class='news_table-row'>",
            "<tr>",
        ),
        *(
            "<td class='news_date-cell'>",
            "<td>",
            "<th>Date",
            "<th>Action",
            "6 min",
            "Sep-01-26",
            "Upgrade",
            "$1 &rarr; $2",
        ),
        *(
            "<a class='nn-tab-link' href='/x'>",
            "<a class='tab-link-news' href='//['>",
            "</a>",
            "\0",
            "\ufeff",
            "Today 09:00AM",
        ),
    ]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(PIECES | st.text(max_size=4), max_size=25), st.binary(max_size=60), st.integers(0, 900))
def test_whatever_comes_is_rows_refused_rows_or_a_changed_layout(pieces: list[str], dirt: bytes, cut: int) -> None:
    sound = quote(stories(story("Today 09:00AM")), ratings(("Sep-01-26", "Upgrade", "A", "Buy", "$1")))
    contents = (quote(*pieces).content, dirt, sound.content[:cut] + dirt[:4] + sound.content[cut + 2 :])
    for content in contents:
        for source, kind in ((NEWS, "news"), (NEWS, "quote"), (RATINGS, "quote")):
            try:
                reading = source.read([at(content, NOW, kind, symbol="TSLA")], EVER)
            except LayoutError:
                continue
            admitted(source.dataset, reading, EVER)
