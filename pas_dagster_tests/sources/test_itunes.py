"""The App Store: ratings of apps, and their growth over a week."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox import apps as store
from pas_dagster.sandbox.sites import itunes as site
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site
from pas_dagster.schemas.table import SYMBOL_PATTERN
from pas_dagster.sources import itunes
from pas_dagster.sources.itunes import APPS, parse_apps, read
from pas_dagster.sources.page import Page
from pas_dagster.sources.source import Bad, LayoutError, Query
from pas_dagster_tests.sources import markets
from pas_dagster_tests.sources.driving import drive, page, pages_of

(SOURCE,) = itunes.SOURCES
EVENING = datetime(2024, 5, 15, 23, 0, tzinfo=calendar.NEW_YORK)
TODAY = EVENING.date()
URL = "https://itunes.apple.com/lookup?id=1,2&country=us"


def query(now: datetime = EVENING, **options: object) -> Query:
    """On the day of `now` in the sandbox, with the rows of the ten days before."""
    today = now.date()
    stored = markets.world().table("app_reviews")
    days = stored["known_on"].between(pd.Timestamp(today - timedelta(10)), pd.Timestamp(today - timedelta(1)))
    return replace(markets.query(today, today, now, **options), stored=stored[days])


def app(**others: object) -> dict[str, object]:
    return {"trackId": 1, "trackName": "Uno", "averageUserRating": 4.5, "userRatingCount": 1000} | others


def lookup(*results: object) -> Page:
    body = "\n\n\n" + json.dumps({"resultCount": len(results), "results": results}) + "\n\n\n"
    return page(body.encode(), URL, symbols=json.dumps({"1": ["AAA"], "2": ["BBB"]}))


def listing(*symbols: str, **options: object) -> Query:
    listed = pd.DataFrame({"symbol": list(symbols), "name": "", "kind": "stock", "sector": None})
    return Query(TODAY, TODAY, EVENING, listed, options=options)


def stored(**ratings: int) -> pd.DataFrame:
    """Days ago (`d7`) -> ratings of the app 1."""
    days = [pd.Timestamp(TODAY) - pd.Timedelta(days=int(name[1:])) for name in ratings]
    return pd.DataFrame({"event_date": days, "app_id": "1", "ratings": list(ratings.values())})


@pytest.mark.parametrize("now", [EVENING, datetime(2022, 1, 5, 9, 30, tzinfo=calendar.NEW_YORK)])
def test_the_sandbox_tells_what_its_world_knows_of_the_day(now: datetime) -> None:
    asked = query(now, apps=store.ids(markets.world()))
    reading = drive(SOURCE, asked, Present(markets.world(), now), site.SITE)
    admitted = markets.admitted("app_reviews", reading, asked)
    assert admitted.refused.empty
    expected = markets.truth("app_reviews", asked)
    assert len(expected) >= 20
    found = expected[["symbol"]].merge(admitted.rows, on="symbol")
    markets.assert_same(
        found, expected, ["event_date", "symbol", "app"], ["known_on", "app_id", "rating", "ratings", "hype"]
    )


def test_hype_in_the_sandbox_begins_after_a_week() -> None:
    rows = markets.world().table("app_reviews")
    first = rows[rows["known_on"] < rows["known_on"].min() + pd.Timedelta(days=7)]
    assert first["hype"].isna().all()
    assert rows["hype"].notna().mean() > 0.98
    assert rows.groupby("app_id")["ratings"].apply(lambda counts: counts.is_monotonic_increasing).all()


def test_two_hundred_ids_are_asked_for_at_once() -> None:
    many = {f"A{n}": [str(1000 + n)] for n in range(450)}
    requests = next(itunes.walk(listing(*many, apps=many)))
    assert [request.url.count(",") + 1 for request in requests] == [200, 200, 50]
    assert requests[0].url.startswith("https://itunes.apple.com/lookup?id=1000,1001,")
    assert requests[0].url.endswith("&country=us")


def test_built_in_apps_are_ids_of_symbols() -> None:
    ids = [one for given in APPS.values() for one in given]
    assert len(ids) == len(set(ids))
    assert all(one.isdigit() for one in ids)
    assert pd.Series(list(APPS)).str.match(SYMBOL_PATTERN).all()
    assert APPS["UBER"] == ("368677368",)


@pytest.mark.parametrize("wrong", [["1"], {"UBER": "abc"}, {"UBER": [None]}, {}, {"UBER": []}, "1"])
def test_an_option_that_names_no_ids_is_an_error(wrong: object) -> None:
    with pytest.raises(LayoutError, match="apps"):
        next(itunes.walk(query(apps=wrong)))


def test_one_id_need_not_be_a_list() -> None:
    assert itunes.apps_of(listing("UBER", apps={"UBER": 368677368})) == {"UBER": ["368677368"]}


def test_only_apps_of_listed_companies_are_asked_for() -> None:
    (request,) = next(itunes.walk(listing("UBER", "NFLX", "XOM")))
    assert request.url == "https://itunes.apple.com/lookup?id=363590051,368677368&country=us"
    with pytest.raises(LayoutError, match="listed company"):
        next(itunes.walk(listing("XOM")))


def test_unknown_ids_are_left_out_but_not_all_of_them() -> None:
    asked = query(apps={"SPY": ["5"], **store.ids(markets.world())})
    rows = drive(SOURCE, asked, Present(markets.world(), EVENING), site.SITE).rows
    assert len(rows) >= 20
    assert "SPY" not in set(rows["symbol"])
    with pytest.raises(LayoutError, match="store knows"):
        drive(SOURCE, query(apps={"SPY": ["5"]}), Present(markets.world(), EVENING), site.SITE)


def test_long_fractions_are_read_for_each_class_of_shares() -> None:
    rating = "4.79999999999999982236431605997495353221893310546875"
    text = f'{{"results":[{{"trackId":1,"trackName":"Uno","userRatingCount":25,"averageUserRating":{rating}}}]}}'
    row, other = list(parse_apps(page(text.encode(), URL, symbols='{"1": ["AAA", "AAB"]}')))
    assert row == {"symbol": "AAA", "app": "Uno", "app_id": "1", "rating": 4.8, "ratings": 25}
    assert other == {**row, "symbol": "AAB"}


@pytest.mark.parametrize(
    ("before", "hype"),
    [
        ({"d7": 800, "d6": 500, "d8": 400}, 0.25),
        ({"d6": 500, "d8": 400}, 1.0),
        ({"d8": 400}, 1.5),
        ({"d7": 2000}, -0.5),
        ({"d9": 100, "d5": 100, "d1": 100}, None),
        ({"d7": 0}, None),
        ({}, None),
    ],
)
def test_hype_is_the_growth_since_about_a_week_ago(before: dict[str, int], hype: float | None) -> None:
    rows = read([lookup(app())], replace(query(), stored=stored(**before))).rows
    found = rows["hype"].iloc[0]
    assert found == hype if hype is not None else pd.isna(found)


def test_an_app_that_is_told_twice_counts_once() -> None:
    assert len(list(parse_apps(lookup(app(), app(), app(trackId=2))))) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        *(app(trackId=3), app(trackName=" "), app(averageUserRating=None), app(averageUserRating=True)),
        *(app(averageUserRating=5.1), app(userRatingCount="9"), app(userRatingCount=-1), None, "text"),
    ],
)
def test_an_unreadable_app_is_told_and_the_others_are_read(wrong: object) -> None:
    rows = list(parse_apps(lookup(wrong, app(trackId=2))))
    assert isinstance(rows[0], Bad)
    assert not isinstance(rows[1], Bad)


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"{}", b'{"results": 1}', b'{"errorMessage": "Invalid"}'])
def test_a_page_without_results_is_an_error(content: bytes) -> None:
    with pytest.raises(LayoutError):
        list(parse_apps(page(content, URL, symbols="{}")))


def test_the_sandbox_starts_its_answer_with_empty_lines() -> None:
    asked = query(apps=store.ids(markets.world()))
    (answered,) = pages_of(SOURCE, asked, Present(markets.world(), EVENING), site.SITE)
    assert answered.content.startswith(b"\n\n\n{")
    assert site.answer(markets.present(), Call("GET", "itunes.apple.com", "/search")) is None


def test_an_answer_for_nothing_is_an_error() -> None:
    empty = Site(("itunes.apple.com",), lambda *_: Answer(b'{"resultCount":0,"results":[]}'))
    with pytest.raises(LayoutError) as caught:
        drive(SOURCE, listing("UBER"), markets.present(), empty)
    assert caught.value.page is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*app(), "results"]), inner),
    max_leaves=20,
)


@given(JSON, st.sampled_from(list(app())))
def test_anything_is_read_or_is_a_layout_error(value: Any, name: str) -> None:
    whole = page(json.dumps(value).encode(), URL, symbols="{}")
    for told in (whole, lookup(value), lookup(app(**{name: value}), app())):
        try:
            read([told], query())
        except LayoutError:
            continue
