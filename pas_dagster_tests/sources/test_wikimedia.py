"""Wikimedia: which article is a company's, and how often it was read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox.sites import wikimedia as site
from pas_dagster.sandbox.sites.site import Call, Present
from pas_dagster.sandbox.wiki import entries
from pas_dagster.sources import wikimedia
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.short_names import short_name, without_class
from pas_dagster.sources.source import LayoutError, Query
from pas_dagster.sources.wikimedia import Article, parse_titles, parse_views, titles
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources import markets
from pas_dagster_tests.sources.driving import drive, page, pages_of

(SOURCE,) = wikimedia.SOURCES
KEYS = ["event_date", "symbol"]
COLUMNS = ["known_on", "article", "redirected_from", "views"]
API = "https://en.wikipedia.org/w/api.php"
NOW = datetime(2024, 6, 1, 12, tzinfo=calendar.NEW_YORK)


def views_page(content: object, status: int = 200, article: str = "Apple Inc.", **symbols: str) -> Page:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    about = json.dumps(symbols or {"AAPL": ""})
    return page(body, "https://wikimedia.org/x", status, "views", article=article, symbols=about)


def item(stamp: object = "2026041200", views: object = 9110, article: str = "Apple_Inc.") -> dict[str, object]:
    return {"project": "en.wikipedia", "article": article, "timestamp": stamp, "access": "all-access", "views": views}


def titles_page(told: object, *asked: str) -> Page:
    return page(json.dumps(told).encode(), API, kind="titles", titles=json.dumps(asked))


def listed(**names: str) -> pd.DataFrame:
    return pd.DataFrame({"symbol": list(names), "name": list(names.values()), "kind": "stock", "sector": None})


def exists(title: str, **others: object) -> dict[str, object]:
    return {"pageid": 1, "ns": 0, "title": title} | others


@pytest.mark.shared
def test_recorded_answers() -> None:
    """Seven months of Bard_(chatbot) (counted by eye), a 404 for nothing, and the text of a 429."""
    sheet = parse_views(
        views_page(
            recorded_bytes("wikimedia/per_article_monthly_Bard.json"), article="Bard (chatbot)", GOOGL="", GOOG=""
        )
    )
    assert not sheet.bad
    assert len(sheet.rows) == 14
    mine = sheet.rows[sheet.rows["symbol"] == "GOOG"]
    assert mine["views"].tolist() == [16163, 10954, 46211, 143667, 84548, 71992, 1999]
    assert mine["event_date"].iloc[0] == pd.Timestamp("2023-02-01")
    assert mine["known_on"].iloc[0] == pd.Timestamp("2023-02-02")
    assert parse_views(views_page(recorded_bytes("wikimedia/error_404.json"), 404)).rows.empty
    with pytest.raises(LayoutError, match="JSON"):
        parse_views(views_page(recorded_bytes("wikimedia/error_429.txt")))


@pytest.mark.shared
def test_titles_made_from_real_names_include_the_real_articles() -> None:
    """24 of the 26 recorded articles of S&P 500 companies; Google is not Alphabet, and AMD is an abbreviation."""
    table = csv.DictReader(io.StringIO(recorded_bytes("constituents/sp500_current_2026-08.csv").decode()))
    names = {row["Symbol"]: row["Security"] for row in table}
    text = recorded_bytes("wikimedia/wiki_attention_ticker_daily_2026-04.csv").decode()
    articles = {row["ticker"]: row["article"].replace("_", " ") for row in csv.DictReader(io.StringIO(text))}
    common = {symbol for symbol in articles if symbol in names}
    assert len(common) == 26
    missed = {symbol for symbol in common if articles[symbol] not in titles(names[symbol])}
    assert missed == {"GOOGL", "AMD"}


def test_the_sandbox_tells_what_its_world_knows() -> None:
    asked = markets.query()
    reading = drive(SOURCE, asked, markets.present(), site.SITE)
    admitted = markets.admitted("wiki_views", reading, asked)
    assert admitted.refused.empty
    expected = markets.truth("wiki_views", asked)
    found = expected[KEYS].merge(admitted.rows, on=KEYS)
    markets.assert_same(found, expected, KEYS, COLUMNS)
    extra = admitted.rows.merge(expected[KEYS], on=KEYS, how="left", indicator=True).query("_merge == 'left_only'")
    listing = markets.world().listing
    old = markets.world().table("corporate_actions").query("kind == 'symbol_change'")["symbol"].iloc[0]
    assert set(extra["symbol"]) == {old, listing.new_symbol}  # a company with two symbols has one article


def test_windows_glued_together_are_the_whole() -> None:
    bounds = [date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 18), date(2024, 4, 1)]
    parts = []
    for first, after in zip(bounds, bounds[1:], strict=False):
        asked = markets.query(first, after - timedelta(1))
        parts.append(markets.admitted("wiki_views", drive(SOURCE, asked, markets.present(), site.SITE), asked).rows)
    expected = markets.truth("wiki_views", markets.query(bounds[0], bounds[-1] - timedelta(1)))
    glued = pd.concat(parts)
    found = expected[KEYS].merge(glued, on=KEYS)
    markets.assert_same(found, expected, KEYS, COLUMNS)


def test_nothing_known_later_shows() -> None:
    asked = markets.query(date(2024, 5, 20), date(2024, 6, 30), NOW)
    rows = drive(SOURCE, asked, Present(markets.world(), NOW), site.SITE).rows
    assert rows["event_date"].max() == pd.Timestamp(2024, 5, 31)
    assert rows["known_on"].max() == pd.Timestamp(2024, 6, 1)


def test_the_sandbox_has_redirects_disambiguations_and_gaps() -> None:
    pages = pages_of(SOURCE, markets.query(), markets.present(), site.SITE)
    articles = {answered.notes["article"] for answered in pages if answered.kind == "views"}
    assert any(title.endswith(" (company)") for title in articles)
    assert all(json.loads(answered.content)["items"] for answered in pages if answered.kind == "views")
    rows = markets.world().table("wiki_views")
    assert 0.05 < rows["redirected_from"].notna().mean() < 0.25
    assert 1 <= sum(entry.article is None for entry in entries()) < 20
    days = rows.groupby("symbol")["event_date"].agg(["count", "min", "max"])
    assert ((days["max"] - days["min"]).dt.days + 1 > days["count"]).any()  # days without views are left out


def test_one_request_asks_for_a_whole_window_of_one_article() -> None:
    asked = Query(date(2026, 4, 1), date(2026, 4, 30), NOW, listed(GOOG="Alphabet Inc. (Class C)", T="AT/T, Inc.?"))
    told = {"query": {"pages": [exists("Alphabet Inc."), exists("AT/T, Inc.?")]}}
    requests = _walked(asked, told)
    assert [request.url for request in requests] == [
        f"https://wikimedia.org/api/rest_v1/metrics/pageviews/per-article/en.wikipedia/all-access/user/{title}"
        "/daily/20260331/20260429"
        for title in ("AT%2FT%2C_Inc.%3F", "Alphabet_Inc.")
    ]
    assert {404, 200} == set(requests[0].answers)


def _walked(asked: Query, *told: object) -> Sequence[Request]:
    """Answer each round of questions about titles, and give what is asked last."""
    walk = wikimedia.walk(asked)
    requests = next(walk)
    for answer in told:
        assert all(len(parse_qs(urlsplit(request.url).query)["titles"][0].split("|")) <= 50 for request in requests)
        requests = walk.send([titles_page(answer, *json.loads(request.notes["titles"])) for request in requests])
    return requests


def test_titles_are_tried_until_one_is_an_article() -> None:
    asked = Query(date(2026, 4, 1), date(2026, 4, 1), NOW, listed(AMZN="Amazon", TGT="Target Corporation"))
    missing = exists("Amazon (company)", missing=True)
    first = {"query": {"pages": [missing, exists("Target Corporation")]}}
    second = {"query": {"redirects": [{"from": "Amazon Inc.", "to": "Amazon.com"}], "pages": [exists("Amazon.com")]}}
    views = _walked(asked, first, second)
    assert [json.loads(request.notes["symbols"]) for request in views] == [{"AMZN": "Amazon Inc."}, {"TGT": ""}]


def test_titles_of_the_settings_are_used_as_they_are() -> None:
    names = listed(GOOGL="Alphabet Inc. (Class A)", AMD="Advanced Micro Devices")
    options = {"articles": {"GOOGL": "Google", "AMD": "AMD", "XXX": "Nobody listed"}}
    asked = Query(date(2026, 4, 1), date(2026, 4, 1), NOW, names, options=options)
    assert [request.notes["article"] for request in _walked(asked)] == ["AMD", "Google"]
    with pytest.raises(LayoutError, match="articles"):
        next(wikimedia.walk(Query(date(2026, 4, 1), date(2026, 4, 1), NOW, names, options={"articles": ["Google"]})))


def test_two_classes_of_shares_have_one_article() -> None:
    names = listed(GOOGL="Alphabet Inc. (Class A)", GOOG="Alphabet Inc. (Class C)")
    (request,) = _walked(
        Query(date(2026, 4, 1), date(2026, 4, 1), NOW, names), {"query": {"pages": [exists("Alphabet Inc.")]}}
    )
    assert json.loads(request.notes["symbols"]) == {"GOOG": "", "GOOGL": ""}


def test_a_day_before_there_were_counts_asks_for_nothing() -> None:
    asked = Query(date(2015, 6, 1), date(2015, 7, 1), NOW, listed(GOOG="Alphabet Inc."))
    walk = wikimedia.walk(asked)
    (request,) = next(walk)
    with pytest.raises(StopIteration):
        walk.send([titles_page({"query": {"pages": [exists("Alphabet Inc.")]}}, *json.loads(request.notes["titles"]))])


def test_too_few_articles_are_an_error() -> None:
    nothing = {"query": {"pages": [exists("X", missing=True)]}}
    asked = Query(date(2026, 4, 1), date(2026, 4, 1), NOW, listed(A="Aaa", B="Bbb"))
    with pytest.raises(LayoutError, match="of 2 only 0"):
        _walked(asked, *[nothing] * 9)


def test_an_answer_about_titles_that_comes_in_parts_is_put_together() -> None:
    asked = Query(date(2026, 4, 1), date(2026, 4, 1), NOW, listed(A="Alpha Beta", B="Gamma Delta"))
    pages = [exists("Alpha Beta"), exists("Gamma Delta")]
    walk = wikimedia.walk(asked)
    (request,) = next(walk)
    more = {"continue": {"ppcontinue": "17", "continue": "||"}, "query": {"pages": pages}}
    (rest,) = walk.send([titles_page(more, *json.loads(request.notes["titles"]))])
    assert parse_qs(urlsplit(rest.url).query)["ppcontinue"] == ["17"]
    pages = [exists("Alpha Beta", pageprops={"disambiguation": ""}), exists("Gamma Delta")]
    (second,) = walk.send([titles_page({"query": {"pages": pages}}, *json.loads(request.notes["titles"]))])
    assert json.loads(second.notes["titles"]) == ["Alpha Beta (company)"]


def test_redirects_are_followed_and_what_is_no_article_is_left_out() -> None:
    told = {
        "query": {
            "normalized": [{"from": "apple_Inc.", "to": "Apple Inc."}],
            "redirects": [
                {"from": "AMD", "to": "Advanced Micro Devices"},
                {"from": "Old", "to": "Older"},
                {"from": "Older", "to": "Oldest"},
                {"from": "Part", "to": "Whole", "tofragment": "Part"},
                {"from": "Loop", "to": "Loop"},
            ],
            "pages": [
                *(exists(title) for title in ("Apple Inc.", "Advanced Micro Devices", "Oldest", "Whole")),
                exists("Mercury", pageprops={"disambiguation": ""}),
                exists("Nobody", missing=True),
                exists("Wrong[", invalid=True),
                exists("User:Me", ns=2),
            ],
        }
    }
    asked = ["apple_Inc.", "AMD", "Old", "Part", "Loop", "Mercury", "Nobody", "Wrong[", "User:Me", "Unanswered"]
    assert parse_titles([titles_page(told, *asked)]) == {
        "apple_Inc.": Article("Apple Inc."),
        "AMD": Article("Advanced Micro Devices", "AMD"),
        "Old": Article("Oldest", "Old"),
    }


@pytest.mark.parametrize("told", [[], {}, {"error": {"code": "maxlag"}}, {"query": {"pages": {}}}, "text", None])
def test_an_answer_about_titles_without_pages_is_an_error(told: object) -> None:
    with pytest.raises(LayoutError, match="pages"):
        parse_titles([titles_page(told, "X")])


def test_an_item_that_cannot_be_read_is_told_and_the_others_are_read() -> None:
    wrong = [item("2026043100"), item("20260412"), item(7), item(views=-1), item(views="9"), item(views=True), None, []]
    sheet = parse_views(views_page({"items": [*wrong, item()]}))
    assert len(sheet.bad) == len(wrong)
    assert sheet.rows["views"].tolist() == [9110]


@pytest.mark.parametrize(
    ("content", "status", "rule"),
    [
        (b"", 200, "JSON"),
        ({"items": []}, 200, "items"),
        ({"items": {}}, 200, "items"),
        ([], 200, "items"),
        ({"items": [item(article="Banana")]}, 200, "article that was asked for"),
        (b"<html>Not Found</html>", 404, "JSON"),
        ({"title": "Gone"}, 404, "says in JSON"),
    ],
)
def test_a_page_without_views_is_an_error(content: object, status: int, rule: str) -> None:
    with pytest.raises(LayoutError, match=rule):
        parse_views(views_page(content, status))


def test_none_of_many_articles_having_views_is_an_error() -> None:
    nothing = {"title": "Not Found", "status": 404}
    pages = [views_page(nothing, 404)] * 10
    with pytest.raises(LayoutError, match="not be out yet") as caught:
        wikimedia.read(pages, markets.query())
    assert caught.value.page is pages[0]
    assert wikimedia.read(pages[:9], markets.query()).rows.empty
    assert len(wikimedia.read([*pages, views_page({"items": [item()]})], markets.query()).rows) == 1


def test_a_nameless_client_is_turned_away_by_the_sandbox() -> None:
    for agent in ("", "python-requests/2.32", "axios/1.7"):
        for host, path in (("en.wikipedia.org", "/w/api.php"), ("wikimedia.org", "/api/rest_v1/metrics")):
            answer = site.answer(markets.present(), Call("GET", host, path, headers={"user-agent": agent}))
            assert answer is not None
            assert answer.status == 403


def test_other_pages_of_the_encyclopedia_are_another_site_s() -> None:
    assert site.answer(markets.present(), Call("GET", "en.wikipedia.org", "/wiki/Main_Page")) is None


@pytest.mark.parametrize(
    ("name", "whole", "short"),
    [
        ("Fox Corporation (Class B)", "Fox Corporation", "Fox"),
        ("News Corp Class A Common Stock", "News Corp", "News"),
        ("Liberty Media Corp., Series C", "Liberty Media Corp.", "Liberty Media"),
        ("Nike, Inc.", "Nike, Inc.", "Nike"),
        ("Coca-Cola Company (The)", "The Coca-Cola Company", "The Coca-Cola"),
        ("Tesla, Inc. - Common Stock", "Tesla, Inc.", "Tesla"),
        ("Inc.", "Inc.", "Inc."),
        ("Costco", "Costco", "Costco"),
        ("", "", ""),
    ],
)
def test_names_without_class_and_legal_form(name: str, whole: str, short: str) -> None:
    assert without_class(name) == whole
    assert short_name(name) == short


@given(st.text())
def test_any_name_has_titles_that_can_be_asked_for(name: str) -> None:
    ranked = titles(name)
    assert len(ranked) <= 6
    assert len(set(ranked)) == len(ranked)
    assert not any(set(title) & set("#<>[]{}|") for title in ranked)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["items", "timestamp", "views", "query", "pages", "from", "to"]), inner)
    ),
    max_leaves=20,
)


@given(JSON)
def test_anything_is_read_or_is_a_layout_error(value: Any) -> None:
    for content in (value, {"items": [value, item()]}, {"items": [item(value, value)]}):
        try:
            parse_views(views_page(content))
        except LayoutError:
            continue
    for told in (value, {"query": value}, {"query": {"pages": [value], "redirects": value, "normalized": [value]}}):
        try:
            found = parse_titles([titles_page(told, "X", "AMD")])
        except LayoutError:
            continue
        assert all(article.title.encode() for article in found.values())


@given(st.dictionaries(st.sampled_from(["path", "base", "titles", "ppcontinue", "\ud800continue", "continue"]), JSON))
def test_whatever_is_said_to_continue_the_address_stays_the_site_s(more: dict[str, Any]) -> None:
    walk = wikimedia.walk(Query(date(2026, 4, 1), date(2026, 4, 1), NOW, listed(A="Alpha Beta")))
    (request,) = next(walk)
    told = {"continue": more, "query": {"pages": [exists("Alpha Beta")]}}
    (then,) = walk.send([titles_page(told, *json.loads(request.notes["titles"]))])
    assert then.host in SOURCE.hosts
    if then.kind == "titles":
        assert parse_qs(urlsplit(then.url).query)["titles"] == ["Alpha Beta"]
