"""Reddit through praw: which posts are listed, and how they are counted."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox.sites import reddit as site
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site, json_answer
from pas_dagster.sources import reddit
from pas_dagster.sources.page import Page
from pas_dagster.sources.reddit import parse_posts, read
from pas_dagster.sources.source import LayoutError, Query
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources import markets
from pas_dagster_tests.sources.driving import drive, page, pages_of

(SOURCE,) = reddit.SOURCES
NIGHT = datetime(2024, 5, 15, 23, 0, tzinfo=calendar.NEW_YORK)
TODAY = NIGHT.date()
URL = "https://oauth.reddit.com/r/wallstreetbets/new?limit=100&raw_json=1"
LISTED = pd.DataFrame({"symbol": ["TSLA", "GME"], "name": "", "kind": "stock", "sector": None})


def query(**options: object) -> Query:
    return markets.query(TODAY, TODAY, NIGHT, client_id="id", client_secret="secret", **options)


def post(name: str, at: datetime, title: str = "TSLA is up", **others: object) -> dict[str, Any]:
    told = {"id": name, "title": title, "selftext": "", "created_utc": at.timestamp(), "score": 3}
    return {"kind": "t3", "data": told | others}


def listing(children: list[Any], after: str | None = None) -> Page:
    return page(json.dumps({"kind": "Listing", "data": {"after": after, "children": children}}).encode(), URL)


def counted(pages: list[Page]) -> list[list[object]]:
    asked = Query(TODAY, TODAY, NIGHT, LISTED)
    rows = read(pages, asked).rows
    return rows[["event_date", "symbol", "mentions", "upvotes"]].to_numpy().tolist() if len(rows) else []


def at(days_ago: float) -> datetime:
    return calendar.midnight(TODAY) + timedelta(days=1 - days_ago)


@pytest.mark.shared
def test_recorded_listings() -> None:
    """The first three posts of r/popular of 2026-04-13, and of r/askreddit in a cassette of 2016 (read by eye)."""
    recorded = json.loads(recorded_bytes("reddit/listing_r_popular_hot_2026-04-13_first3.json"))
    sheet = parse_posts(page(json.dumps(recorded[1]["body"]).encode(), URL))
    assert not sheet.bad
    assert sheet.rows["id"].tolist() == ["1skjxta", "1skl1i1", "1sklidt"]
    assert sheet.rows["score"].tolist() == [546, 714, 1934]
    assert sheet.rows["created"][0] == pd.Timestamp("2026-04-13T18:44:08Z")
    old = json.loads(recorded_bytes("reddit/praw_cassette_TestSubredditListings.test_new.json.gz"))
    sheet = parse_posts(page(json.dumps(old[1]["body"]).encode(), URL))
    assert not sheet.bad
    assert sheet.rows["id"].tolist() == ["48fbm9", "48fbig", "48fbgl"]


def test_the_sandbox_tells_the_mentions_of_each_whole_day() -> None:
    reading = drive(SOURCE, query(), Present(markets.world(), NIGHT), site.SITE)
    assert reading.bad.empty
    days = sorted(set(reading.rows["event_date"]))
    assert days == calendar.days(days[0], TODAY - timedelta(1))
    expected = markets.truth("reddit_mentions", markets.query(days[0], days[-1]))
    found = reading.rows.astype({"event_date": "datetime64[us]", "known_on": "datetime64[us]"})
    markets.assert_same(found, expected, ["event_date", "symbol", "forum"], ["mentions", "upvotes"])
    assert (found["known_on"] == found["event_date"] + pd.Timedelta(days=1)).all()


def test_of_a_visit_yesterday_is_admitted() -> None:
    asked = query()
    reading = drive(SOURCE, asked, Present(markets.world(), NIGHT), site.SITE)
    admitted = markets.admitted("reddit_mentions", reading, asked)
    yesterday = markets.truth("reddit_mentions", markets.query(TODAY - timedelta(1), TODAY - timedelta(1)))
    assert admitted.refused.empty
    markets.assert_same(admitted.rows, yesterday, ["event_date", "symbol"], ["mentions", "upvotes"])


def test_pages_follow_each_other_to_the_end_of_the_listing() -> None:
    asked = [call.url for call in pages_of(SOURCE, query(), Present(markets.world(), NIGHT), site.SITE)]
    listings = [url for url in asked if "oauth.reddit.com" in url]
    assert len(listings) == 10
    assert len(set(listings)) == 10
    assert all("secret" not in url for url in asked)


def test_today_and_the_oldest_day_do_not_count_because_they_are_not_whole() -> None:
    posts = [post("d", at(0.5)), post("c", at(1.2)), post("b", at(1.4), "GME or $gme"), post("a", at(2.5))]
    assert counted([listing(posts[:2], "t3_c"), listing(posts[2:], "t3_a")]) == [
        [TODAY - timedelta(1), "GME", 1, 3],
        [TODAY - timedelta(1), "TSLA", 1, 3],
    ]


def test_the_oldest_day_counts_when_the_forum_has_no_more_posts() -> None:
    assert counted([listing([post("b", at(0.5)), post("a", at(2.5))])]) == [[TODAY - timedelta(2), "TSLA", 1, 3]]


def test_days_begin_at_midnight_in_new_york() -> None:
    night = datetime(2024, 5, 14, 23, 59, tzinfo=calendar.NEW_YORK)
    assert counted([listing([post("b", night), post("a", night - timedelta(days=3))], "t3_a")])[0][0] == date(
        2024, 5, 14
    )


def test_a_post_that_moved_to_the_next_page_counts_once() -> None:
    twice = post("b", at(1.5))
    assert counted([listing([post("c", at(0.1)), twice], "t3_b"), listing([twice, post("a", at(2.5))], "t3_a")]) == [
        [TODAY - timedelta(1), "TSLA", 1, 3]
    ]


def test_a_listing_that_covers_no_whole_day_is_an_error() -> None:
    with pytest.raises(LayoutError, match="whole day"):
        counted([listing([post("b", at(0.1)), post("a", at(1.5))], "t3_a")])
    with pytest.raises(LayoutError, match="listing of posts"):
        counted([page(b"{}", "https://www.reddit.com/api/v1/access_token")])


@pytest.mark.parametrize(
    "wrong", [{"kind": "t1", "data": {}}, post("x", NIGHT, created_utc="now"), post("x", NIGHT, title=None), None]
)
def test_an_unreadable_post_is_told_and_the_others_are_read(wrong: object) -> None:
    sheet = parse_posts(listing([wrong, post("a", NIGHT)]))
    assert len(sheet.bad) == 1
    assert sheet.rows["id"].tolist() == ["a"]


@pytest.mark.parametrize("content", [b"", b"<html>whoa there, pardner!</html>", b"[]", b'{"kind": "Listing"}'])
def test_a_page_that_is_no_listing_is_an_error(content: bytes) -> None:
    with pytest.raises(LayoutError):
        parse_posts(page(content, URL))


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_a_refusal_is_told_at_once(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("the library waits by itself"))
    refusing = Site(SOURCE.hosts, lambda *_: json_answer({"message": "Forbidden", "error": status}, status))
    with pytest.raises(LayoutError, match=str(status)):
        pages_of(SOURCE, query(), markets.present(), refusing)


@pytest.mark.parametrize("token", [b"<html>", b"[]", b"{}", b'{"error": "invalid_grant"}'])
def test_a_token_that_is_none_is_an_error(token: bytes) -> None:
    with pytest.raises(LayoutError):
        pages_of(SOURCE, query(), markets.present(), Site(SOURCE.hosts, lambda *_: Answer(token)))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"kind": "Listing", "data": {}}', b"3"])
def test_a_listing_that_praw_cannot_read_is_an_error(body: bytes) -> None:
    def answer(present: Present, call: Call) -> Answer | None:
        return site.answer(present, call) if call.host == "www.reddit.com" else Answer(body)

    with pytest.raises(LayoutError):
        drive(SOURCE, query(), markets.present(), Site(SOURCE.hosts, answer))


def test_praw_neither_paces_itself_nor_looks_for_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("the library waits by itself"))
    monkeypatch.setattr(requests.Session, "send", _only_reddit(requests.Session.send))
    assert len(pages_of(SOURCE, query(), Present(markets.world(), NIGHT), site.SITE)) == 11


def _only_reddit(send: Any) -> Any:
    def checked(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        assert "reddit.com" in (request.url or "")
        return send(session, request, **options)

    return checked


def test_the_forum_is_an_option() -> None:
    with pytest.raises(LayoutError, match="404"):
        drive(SOURCE, query(forum="stocks"), Present(markets.world(), NIGHT), site.SITE)
    for wrong in ("", "a/b", 3):
        with pytest.raises(LayoutError, match="forum"):
            drive(SOURCE, query(forum=wrong), Present(markets.world(), NIGHT), site.SITE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["kind", "data", "id"]), inner),
    max_leaves=20,
)


@given(JSON, st.sampled_from(["id", "title", "selftext", "created_utc", "score"]))
def test_anything_is_read_or_is_a_layout_error(value: Any, name: str) -> None:
    for told in (page(json.dumps(value).encode(), URL), listing([value, post("a", NIGHT, **{name: value})])):
        try:
            parse_posts(told)
        except LayoutError:
            continue
