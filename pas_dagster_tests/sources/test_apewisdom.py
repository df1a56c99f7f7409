"""ApeWisdom: its ranking, and the sandbox's."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox.sites import apewisdom as site
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site, json_answer
from pas_dagster.sources import apewisdom
from pas_dagster.sources.apewisdom import parse_mentions
from pas_dagster.sources.source import Bad, LayoutError, collect
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources import markets
from pas_dagster_tests.sources.driving import drive, page, pages_of

(SOURCE,) = apewisdom.SOURCES
EVENING = datetime(2024, 5, 15, 23, 0, tzinfo=calendar.NEW_YORK)
TODAY = EVENING.date()
URL = "https://apewisdom.io/api/v1.0/filter/wallstreetbets/page/1"


def ranking(results: list[Any], pages: object = 1) -> bytes:
    told = {"count": len(results), "pages": pages, "current_page": 1, "results": results}
    return json.dumps(told).encode()


def result(**others: object) -> dict[str, object]:
    return {"rank": 1, "ticker": "MU", "name": "Micron", "mentions": 12, "upvotes": 30, "rank_24h_ago": None} | others


def parsed(content: bytes) -> list[Any]:
    return list(parse_mentions(page(content, URL, forum="wallstreetbets")))


@pytest.mark.shared
def test_recorded_ranking() -> None:
    """300 tickers, 4,645 mentions (awk); POET leads with 839; upvotes of BYND and six others are negative."""
    text = recorded_bytes("reddit/apewisdom_mentions_2026-04-27.csv").decode()
    results = [
        result(ticker=row["ticker"], mentions=row["mentions"], upvotes=row["upvotes"], name=row["name"])
        for row in csv.DictReader(io.StringIO(text))
    ]
    reading = collect([page(ranking(results), URL, forum="wallstreetbets")], parse_mentions)
    assert reading.bad.empty
    assert len(reading.rows) == 300
    assert reading.rows["mentions"].sum() == 4645
    rows = reading.rows.set_index("symbol")
    assert rows.loc["POET", ["mentions", "upvotes"]].tolist() == [839, 8081]
    assert rows["upvotes"].isna().sum() == 7
    assert rows["upvotes"].isna()["BYND"]


def test_the_sandbox_tells_what_its_world_knows_of_the_day() -> None:
    asked = markets.query(TODAY, TODAY, EVENING)
    reading = drive(SOURCE, asked, Present(markets.world(), EVENING), site.SITE)
    assert set(reading.rows["known_at"]) == {page(b"").fetched_at}
    unstamped = replace(reading, rows=reading.rows.drop(columns="known_at"))  # the driver's clock is another
    rows = markets.admitted("reddit_mentions", unstamped, asked)
    assert rows.refused.empty
    keys = ["event_date", "symbol", "forum"]
    markets.assert_same(rows.rows, markets.truth("reddit_mentions", asked), keys, ["known_on", "mentions", "upvotes"])


def test_every_page_is_asked_for_and_a_ticker_that_moved_counts_once() -> None:
    tickers = [f"A{chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(250)]

    def answer(_: Present, call: Call) -> Answer:
        number = int(call.path.rpartition("/")[2])
        shown = tickers[100 * (number - 1) : 100 * number] + (["AAA"] if number == 2 else [])
        return json_answer(json.loads(ranking([result(ticker=ticker) for ticker in shown], pages="3")))

    asked = markets.query(TODAY, TODAY, EVENING)
    here = Site(("apewisdom.io",), answer)
    pages = pages_of(SOURCE, asked, markets.present(), here)
    assert [answered.url[-7:] for answered in pages] == ["/page/1", "/page/2", "/page/3"]
    rows = apewisdom.read(pages, asked).rows
    assert rows["symbol"].tolist() == tickers
    assert set(rows["event_date"]) == set(rows["known_on"]) == {TODAY}


def test_the_filter_is_an_option() -> None:
    asked = markets.query(TODAY, TODAY, EVENING, filter="all-stocks")
    rows = drive(SOURCE, asked, Present(markets.world(), EVENING), site.SITE).rows
    assert set(rows["forum"]) == {"all-stocks"}
    with pytest.raises(LayoutError, match="filter"):
        next(apewisdom.walk(markets.query(TODAY, TODAY, EVENING, filter=7)))


def test_numbers_may_be_texts_and_upvotes_null_or_negative() -> None:
    rows = parsed(ranking([result(mentions="1338", upvotes="57"), result(upvotes=None), result(upvotes="-7")]))
    assert [(row["mentions"], row["upvotes"]) for row in rows] == [(1338, 57), (12, None), (12, None)]


def test_tickers_are_unescaped() -> None:
    assert parsed(ranking([result(ticker=" brk&#46;b ")]))[0]["symbol"] == "BRK.B"


@pytest.mark.parametrize(
    "wrong", [result(ticker=None), result(mentions=None), result(mentions="many"), result(mentions=-1), "text", None]
)
def test_an_unreadable_result_is_told_and_the_others_are_read(wrong: object) -> None:
    rows = parsed(ranking([wrong, result()]))
    assert isinstance(rows[0], Bad)
    assert rows[1]["symbol"] == "MU"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "JSON"),
        (b"<html>Just a moment...</html>", "JSON"),
        (b"[]", "results"),
        (b'{"results": {}}', "results"),
        (ranking([]), "always mentioned"),
        (ranking([], pages=None), "number of pages"),
        (ranking([], pages=1 << 30), "number of pages"),
    ],
)
def test_a_page_that_is_no_ranking_is_an_error(content: bytes, rule: str) -> None:
    with pytest.raises(LayoutError, match=rule):
        parsed(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(list(result())), inner, max_size=6),
    max_leaves=20,
)


@given(JSON)
def test_anything_is_read_or_is_a_layout_error(value: Any) -> None:
    for content in (json.dumps(value).encode(), ranking([value, result(ticker=value, upvotes=value)])):
        try:
            parsed(content)
        except LayoutError:
            continue


@given(st.integers(0, 200), st.binary(max_size=4))
def test_damaged_bytes_are_read_or_are_a_layout_error(cut: int, noise: bytes) -> None:
    whole = ranking([result(), result(ticker="GME")])
    try:
        parsed(whole[:cut] + noise + whole[cut + len(noise) :])
    except LayoutError as error:
        assert str(error)


def test_a_world_of_one_day_has_a_first_page() -> None:
    day = date(2022, 1, 3)
    now = datetime(2022, 1, 3, 12, tzinfo=calendar.NEW_YORK)
    rows = drive(SOURCE, markets.query(day, day, now), Present(markets.world(), now), site.SITE).rows
    assert len(rows) == len(markets.truth("reddit_mentions", markets.query(day, day, now)))
