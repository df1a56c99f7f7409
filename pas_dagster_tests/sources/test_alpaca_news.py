"""Alpaca's news: an item is known at its last update, every page is asked for, and dirt is refused by the row."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox.sites import alpaca_news as site
from pas_dagster.sandbox.sites.site import Call
from pas_dagster.sources import alpaca_news
from pas_dagster.sources.page import Page
from pas_dagster.sources.source import Bad, LayoutError, Query
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources.driving import drive, page, pages_of
from pas_dagster_tests.sources.markets import admitted, assert_same, present, query, truth, with_keys

(SOURCE,) = alpaca_news.SOURCES
SITE = with_keys(site.SITE)
KEYS = ["headline_id", "symbol"]
COLUMNS = ["known_on", "known_at", "event_date", "headline", "source", "url", "sentiment"]
ANY_DAY = Query(date(2024, 8, 1), date(2024, 11, 30), datetime(2026, 11, 20, tzinfo=UTC))


def item(**changes: Any) -> dict[str, Any]:
    return {
        "id": 41799100,
        "headline": "Piper Sandler Maintains Neutral",
        "created_at": "2024-11-07T09:16:41Z",
        "updated_at": "2024-11-07T09:16:41Z",
        "symbols": ["CWAN"],
        "source": "benzinga",
        "url": "https://www.benzinga.com/news/24/11/41799100/x",
    } | changes


def news(*items: object, token: object = None) -> Page:
    return page(json.dumps({"news": items, "next_page_token": token}).encode())


def rows(*items: object) -> list[dict[str, Any]]:
    found = list(alpaca_news.parse_news(news(*items)))
    assert not any(isinstance(row, Bad) for row in found)
    return found  # ty: ignore[invalid-return-type]


@pytest.mark.shared
def test_recorded_items_have_a_row_for_each_symbol() -> None:
    names = ("historical_news_data__get_news.json", "historical_news_data__get_news_1.json")
    found = SOURCE.read([page(recorded_bytes(f"alpaca/{name}")) for name in names], ANY_DAY)
    assert found.bad.empty
    assert found.rows[KEYS].values.tolist() == [
        ["alpaca:40432158", "AAPL"],
        ["alpaca:40432158", "QCOM"],
        ["alpaca:41799100", "CWAN"],
    ]
    told = found.rows.iloc[2]
    assert told["known_at"] == pd.Timestamp("2024-11-07 09:16:41", tz="UTC")
    assert told["event_date"] == date(2024, 11, 7)
    assert told["headline"].endswith("Raises Price Target to $28")
    assert told["source"] == "benzinga"
    assert -1 <= told["sentiment"] <= 1
    assert len(admitted("news_headlines", found, ANY_DAY).rows) == 3


def test_an_item_is_known_when_it_was_last_updated_and_dated_when_it_was_created() -> None:
    (row,) = rows(item(created_at="2024-11-08T04:30:00Z", updated_at="2024-11-08T05:10:00.123456789Z"))
    assert row["known_at"] == datetime(2024, 11, 8, 5, 10, 0, 123456, tzinfo=UTC)
    assert row["event_date"] == date(2024, 11, 7)


def test_an_item_without_symbols_has_one_row_and_a_symbol_named_twice_too() -> None:
    assert [row["symbol"] for row in rows(item(symbols=[]), item(symbols=None), item(symbols=["A", "A"]))] == [
        None,
        None,
        "A",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": True},
        {"headline": " "},
        {"headline": "\ud800"},
        {"symbols": "AAPL"},
        {"symbols": [None]},
        {"updated_at": "yesterday"},
        {"updated_at": "2024-11-07T09:16:41"},
        {"created_at": "0001-01-01T00:00:00+14:00"},
    ],
)
def test_an_item_that_cannot_be_read_is_refused_and_the_page_read_on(changes: dict[str, Any]) -> None:
    bad, good = alpaca_news.parse_news(news(item(**changes), item()))
    assert isinstance(bad, Bad)
    assert not isinstance(good, Bad)
    assert good["symbol"] == "CWAN"
    assert len(SOURCE.read([news(item(**changes))], ANY_DAY).bad) == 1


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", b'{"message":"forbidden."}', b'{"news":null}', b'{"news":{}}']
)
def test_an_answer_that_is_no_news_is_a_changed_layout(content: bytes) -> None:
    with pytest.raises(LayoutError):
        SOURCE.read([page(content)], ANY_DAY)


@pytest.mark.parametrize("token", [7, ["x"], {"a": 1}])
def test_a_token_that_is_no_text_is_a_changed_layout(token: object) -> None:
    walk = alpaca_news.walk(ANY_DAY)
    asked = next(walk)
    with pytest.raises(LayoutError, match="next_page_token"):
        walk.send([news(item(), token=token) for _ in asked])


def test_a_site_that_names_the_same_next_page_for_ever_is_left() -> None:
    walk = alpaca_news.walk(Query(date(2024, 11, 7), date(2024, 11, 7), ANY_DAY.now))
    next(walk)
    walk.send([news(item(), token="again")])
    with pytest.raises(LayoutError, match="another next page"):
        walk.send([news(item(), token="again")])


def test_stretches_are_asked_side_by_side_and_cover_the_window_once() -> None:
    asked = next(alpaca_news.walk(Query(date(2024, 1, 15), date(2024, 12, 31), ANY_DAY.now)))
    spans = [parse_qs(urlsplit(request.url).query) for request in asked]
    assert len(asked) == 12
    assert spans[0]["start"] == ["2024-01-15T05:00:00Z"]
    assert spans[-1]["end"] == ["2025-01-01T05:00:00Z"]
    assert [span["end"] for span in spans[:-1]] == [span["start"] for span in spans[1:]]
    assert all(request.auth == "alpaca" for request in asked)


def test_a_window_comes_back_as_the_world_has_it() -> None:
    asked = query(date(2024, 2, 5), date(2024, 3, 29))
    found = admitted("news_headlines", drive(SOURCE, asked, present(), SITE), asked)
    assert found.refused.empty
    assert_same(found.rows, truth("news_headlines", asked), KEYS, COLUMNS)
    assert found.rows["symbol"].isna().any()
    assert "BTCUSD" in set(found.rows["symbol"])
    assert (found.rows["known_on"] > found.rows["event_date"]).any()


def test_windows_glued_together_are_the_whole() -> None:
    days = [date(2024, 1, 2), date(2024, 1, 8), date(2024, 2, 15), date(2024, 3, 4)]
    whole = query(days[0], days[-1])
    parts = []
    for first, following in zip(days, days[1:], strict=False):
        asked = query(first, following - pd.Timedelta(days=1))
        parts.append(admitted("news_headlines", drive(SOURCE, asked, present(), SITE), asked).rows)
    last = query(days[-1], days[-1])
    parts.append(admitted("news_headlines", drive(SOURCE, last, present(), SITE), last).rows)
    assert_same(pd.concat(parts), truth("news_headlines", whole), KEYS, COLUMNS)


def test_nothing_shows_before_it_is_known() -> None:
    now = datetime(2024, 3, 5, 10, 0, tzinfo=calendar.NEW_YORK)
    asked = query(date(2024, 3, 1), date(2024, 3, 8), now)
    found = drive(SOURCE, asked, present(now), SITE)
    assert found.rows["known_at"].max() <= pd.Timestamp(now)
    expected = truth("news_headlines", asked)
    assert len(found.rows) == (expected["known_at"] <= pd.Timestamp(now).tz_convert("UTC").tz_localize(None)).sum()


def asked_site(query_string: str, **headers: str) -> tuple[int, Any]:
    keys = {"apca-api-key-id": "id", "apca-api-secret-key": "secret"}
    found = site.SITE.answer(
        present(), Call("GET", "data.alpaca.markets", site.PATH, query_string, {**keys, **headers})
    )
    assert found is not None
    return found.status, json.loads(found.body)


def test_the_site_pages_sorts_and_selects_as_the_real_one() -> None:
    window = "start=2024-02-05T00:00:00Z&end=2024-02-09T00:00:00Z"
    status, body = asked_site(f"{window}&limit=50&sort=asc")
    assert status == 200
    assert [one["updated_at"] for one in body["news"]] == sorted(one["updated_at"] for one in body["news"])
    assert b64decode(body["next_page_token"]).decode().endswith(f"|{body['news'][-1]['id']}")
    _, newest = asked_site(window)
    assert len(newest["news"]) == 10
    assert newest["news"][0]["updated_at"] == max(one["updated_at"] for one in newest["news"])
    symbol = next(one["symbols"][0] for one in body["news"] if one["symbols"])
    _, chosen = asked_site(f"{window}&symbols={symbol}&limit=50")
    assert chosen["news"]
    assert all(symbol in one["symbols"] for one in chosen["news"])
    assert asked_site("limit=51")[0] == asked_site("page_token=%21")[0] == asked_site("start=x")[0] == 400
    assert asked_site(window, **{"apca-api-key-id": ""})[0] == 403


def test_all_pages_are_asked_for() -> None:
    asked = query(date(2024, 2, 5), date(2024, 2, 9))
    assert len(pages_of(SOURCE, asked, present(), SITE)) >= 3


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["2024-11-07T09:16:41Z", "A"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(item(), JSON)) | JSON, max_size=3),
    st.integers(0, 400),
    st.binary(max_size=6),
)
def test_whatever_comes_is_rows_refused_rows_or_a_changed_layout(items: list[Any], cut: int, dirt: bytes) -> None:
    sound = json.dumps({"news": [item()], "next_page_token": None}).encode()
    for content in (json.dumps({"news": items}).encode(), sound[:cut] + dirt + sound[cut + 1 :]):
        try:
            reading = SOURCE.read([page(content)], ANY_DAY)
        except LayoutError:
            continue
        admitted("news_headlines", reading, ANY_DAY)
