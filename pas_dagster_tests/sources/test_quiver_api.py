"""Quiver's API: recorded rows are understood, the sandbox's lists tell the world, paging ends, refusals are named."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox.sites import quiver_api as site
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site
from pas_dagster.sandbox.world import World
from pas_dagster.schemas import TABLES
from pas_dagster.sources import quiver, quiver_api
from pas_dagster.sources.border import Admitted, admit
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.source import LayoutError, Query, Reading, Source
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources.driving import drive, page, pages_of

SOURCES: dict[str, Source] = {source.dataset: source for source in quiver_api.SOURCES}
LAST = date(2024, 12, 31)
NOW = datetime(2024, 12, 31, 22, 30, tzinfo=calendar.NEW_YORK)
TRADE_COLUMNS = [
    *("known_on", "event_date", "politician", "bioguide_id", "chamber", "party", "symbol", "asset_description"),
    *("asset_type", "direction", "extent", "amount_low", "amount_high", "amount_mid"),
]


@cache
def world() -> World:
    return World(7, date(2024, 1, 2), LAST)


def with_key(key: str = "Bearer trader-1") -> Site:
    """The API as the client's credentials reach it."""

    def answer(shown: Present, call: Call) -> Answer | None:
        return site.SITE.answer(shown, replace(call, headers={**call.headers, "authorization": key}))

    return Site(site.SITE.hosts, answer)


def query(first: date, last: date = LAST, now: datetime = NOW) -> Query:
    return Query(first, last, now)


def pages(dataset: str, asked: Query, key: str = "Bearer trader-1") -> list[Page]:
    return pages_of(SOURCES[dataset], asked, Present(world(), asked.now), with_key(key))


def admitted(dataset: str, asked: Query) -> Admitted:
    reading = drive(SOURCES[dataset], asked, Present(world(), asked.now), with_key())
    return admit(TABLES[dataset], reading, asked)


def truth(dataset: str, asked: Query) -> pd.DataFrame:
    rows = world().table(dataset)
    return rows[rows["known_on"].between(pd.Timestamp(asked.first), pd.Timestamp(asked.last))]


def same(found: pd.DataFrame, expected: pd.DataFrame, columns: list[str]) -> None:
    """The same rows in these columns, in any order."""
    assert len(expected)
    left, right = ([tuple(map(str, row)) for row in plain(frame, columns)] for frame in (found, expected))
    assert Counter(left) == Counter(right)


def plain(frame: pd.DataFrame, columns: list[str]) -> list[list[object]]:
    kept = frame[columns].astype(object)
    return kept.where(frame[columns].notna(), None).to_numpy().tolist()


def read(dataset: str, rows: object, kind: str = "page", **notes: str) -> Reading:
    asked = Query(date(2026, 6, 1), date(2026, 6, 30), datetime(2026, 7, 1, tzinfo=UTC))
    return SOURCES[dataset].read([page(json.dumps(rows).encode(), kind=kind, **notes)], asked)


def answers(dataset: str, asked: Query, *bodies: object) -> list[Request]:
    """What a walk asks for when it is told these bodies, one after the other."""
    walk = SOURCES[dataset].walk
    assert walk is not None
    steps, asked_for = walk(asked), []
    requests = next(steps)
    for body in bodies:
        asked_for += requests
        told = [Page(one, 200, one.url, json.dumps(body).encode(), NOW) for one in requests]
        try:
            requests = steps.send(told)
        except StopIteration:
            return asked_for
    raise AssertionError("the walk goes on")


def first_version(**other: object) -> dict[str, object]:
    return {
        "Representative": "Ro Khanna",
        "BioGuideID": "K000389",
        "ReportDate": "2026-06-10",
        "TransactionDate": "2026-05-20",
        "Ticker": "AAPL",
        "Transaction": "Purchase",
        "Range": "$1,001 - $15,000",
        "House": "Representatives",
        "Amount": "1001.0",
        "Party": "D",
        "TickerType": "ST",
        "Description": None,
    } | other


def second_version(**other: object) -> dict[str, object]:
    return {
        "Ticker": "AAPL",
        "TickerType": "Stock",
        "Company": "Apple Inc",
        "Traded": "2026-05-20",
        "Transaction": "Purchase",
        "Trade_Size_USD": "1001.0",
        "Name": "Ro Khanna",
        "BioGuideID": "K000389",
        "Filed": "2026-06-10",
        "Party": "Democratic",
        "Chamber": "House",
        "State": "CA",
        "excess_return": float("nan"),
    } | other


INSIDER: Mapping[str, Any] = {
    "Ticker": "MSFT",
    "Date": "2026-06-08",
    "Name": "Nadella Satya",
    "AcquiredDisposedCode": "D",
    "TransactionCode": "S",
    "PricePerShare": 410.5,
    "Shares": 100,
    "SharesOwnedFollowing": None,
    "fileDate": "2026-06-10T00:00:00.000Z",
    "officerTitle": "CEO",
    "isDirector": True,
    "isOfficer": True,
}


# Recorded rows


@pytest.mark.shared
def test_the_recorded_trades_of_the_senate_are_understood() -> None:
    content = recorded_bytes("quiver/api_v2_bulk_congresstrading_senate_cache.csv.gz").decode()
    rows = [row | {"Chamber": "Senate"} for row in csv.DictReader(io.StringIO(content))]
    asked = Query(date(2012, 1, 1), date(2026, 7, 1), datetime(2026, 7, 2, tzinfo=UTC))
    shown = page(json.dumps({"data": rows}).encode(), kind="bulk")
    reading = SOURCES["politician_trades"].read([shown], asked)
    assert (len(reading.rows), len(reading.bad)) == (13_342, 0)
    assert Counter(reading.rows["direction"]) == {"buy": 6_469, "sell": 6_772, "exchange": 101}
    assert Counter(reading.rows["extent"].dropna()) == {"full": 3_476, "partial": 2_266}
    assert Counter(reading.rows["party"]) == {"R": 10_605, "D": 2_659, "I": 78}
    assert Counter(reading.rows["amount_low"])[1_001] == 9_042
    assert reading.rows[["filing_id", "line"]].duplicated().sum() == 0
    option = reading.rows[reading.rows["symbol"].isna()]
    assert len(option) >= 3  # SPY160219P00180000
    found = admit(TABLES["politician_trades"], reading, asked)
    assert set(found.refused["reason"]) == {"filed before it was traded"}
    assert len(found.refused) == 10


# The sandbox's lists tell the world


@pytest.mark.parametrize("first", [date(2024, 10, 1), date(2024, 1, 2)])
def test_trades_come_back_as_the_world_has_them(first: date) -> None:
    asked = query(first)
    found = admitted("politician_trades", asked)
    assert found.refused.empty
    same(found.rows, truth("politician_trades", asked), TRADE_COLUMNS)


def test_the_bulk_file_is_asked_for_only_when_the_newest_trades_do_not_reach_back() -> None:
    assert [one.kind for one in pages("politician_trades", query(date(2024, 10, 1)))] == ["live"]
    assert [one.kind for one in pages("politician_trades", query(date(2024, 1, 2)))] == ["live", "bulk"]


def test_newest_and_bulk_trades_have_the_same_identifiers() -> None:
    newest = admitted("politician_trades", query(date(2024, 10, 1))).rows
    bulk = admitted("politician_trades", query(date(2024, 1, 2))).rows
    same(newest, bulk[bulk["known_on"] >= "2024-10-01"], ["filing_id", "line", *TRADE_COLUMNS])


@pytest.mark.parametrize(
    ("dataset", "columns"),
    [
        ("politician_trades", TRADE_COLUMNS),
        ("lobbying", ["known_on", "symbol", "client", "registrant", "amount"]),
        ("gov_contracts", ["known_on", "event_date", "symbol", "amount", "description"]),
        (
            "insider_buying",
            [
                *("known_on", "known_at", "event_date", "symbol", "insider", "role", "title", "code"),
                *("direction", "shares", "price"),
            ],
        ),
    ],
)
def test_windows_side_by_side_give_the_world(dataset: str, columns: list[str]) -> None:
    edges = [date(2024, 11, 1), date(2024, 11, 20), date(2024, 12, 13), LAST + timedelta(1)]
    parts = [admitted(dataset, query(a, b - timedelta(1))) for a, b in zip(edges, edges[1:], strict=False)]
    assert all(part.refused.empty for part in parts)
    expected = truth(dataset, query(edges[0]))
    if dataset == "gov_contracts":
        expected = expected[expected["symbol"].notna()]
    glued = pd.concat([part.rows for part in parts], ignore_index=True)
    same(glued, expected, columns)
    assert not glued.duplicated(list(TABLES[dataset].key)).any()


def test_ratings_of_apps_are_those_of_today() -> None:
    asked = query(LAST)
    found = admitted("app_reviews", asked)
    assert found.refused.empty
    same(found.rows, truth("app_reviews", asked), ["known_on", "event_date", "symbol", "app", "rating", "ratings"])


@pytest.mark.parametrize("dataset", list(SOURCES))
def test_nothing_shows_before_it_is_known(dataset: str) -> None:
    now = datetime(2024, 12, 26, 13, tzinfo=calendar.NEW_YORK)
    asked = query(date(2024, 12, 20), LAST, now)
    found = drive(SOURCES[dataset], asked, Present(world(), now), with_key()).rows
    assert len(found)
    assert max(found["known_on"]) <= now.date()
    assert all(pd.isna(at) or at <= now for at in found.get("known_at", []))


# Paging


def test_pages_are_asked_for_until_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiver_api, "_LOBBYING_PAGE", 2)
    row = {"Ticker": "BA", "Date": "2026-06-10", "Client": "Boeing", "Amount": None}
    asked = Query(date(2026, 6, 1), date(2026, 6, 30), NOW)
    asked_for = answers("lobbying", asked, [row, row], [row, row], [row])
    assert [one.url.partition("?")[2] for one in asked_for] == [f"page={n}&page_size=2" for n in (1, 2, 3)]
    old = [row, row | {"Date": "2026-05-31"}]
    assert len(answers("lobbying", asked, [row, row], old)) == 2  # newest first: the rest is older
    unsorted = [row | {"Date": "2026-05-31"}, row]
    assert len(answers("lobbying", asked, unsorted, [])) == 2


def test_contracts_are_asked_for_day_by_day_up_to_an_empty_page() -> None:
    asked = Query(date(2024, 6, 1), date(2024, 6, 2), NOW)
    asked_for = answers("gov_contracts", asked, [{"Ticker": "BA"}], [])
    assert [one.url.partition("?")[2] for one in asked_for] == [
        f"date=2024060{day}&page={number}" for number in (1, 2) for day in (1, 2)
    ]


def test_a_request_names_its_credentials_and_never_holds_them() -> None:
    for dataset in SOURCES:
        for one in pages(dataset, query(date(2024, 12, 30))):
            assert one.request.auth == "quiver_api"
            assert "authorization" not in {name.lower() for name in one.request.headers}


# Rows


def test_both_versions_of_a_trade_mean_the_same_row() -> None:
    rows = [read("politician_trades", [one], "live").rows for one in (first_version(), second_version())]
    columns = ["filing_id", "line", "known_on", "event_date", "symbol", "party", "chamber", "amount_low", "amount_high"]
    assert plain(rows[0], columns) == plain(rows[1], columns)


def test_identical_trades_are_lots_and_their_order_does_not_matter() -> None:
    lots = [first_version(), first_version(Ticker="MSFT"), first_version()]
    forth, back = (read("politician_trades", rows, "live").rows for rows in (lots, lots[::-1]))
    assert sorted(forth["line"]) == [1, 1, 2]
    columns = ["filing_id", "line", "symbol"]
    assert sorted(plain(forth, columns)) == sorted(plain(back, columns))


@pytest.mark.parametrize(
    ("given", "direction", "extent"),
    [
        ("Sale (Full)", "sell", "full"),
        ("Exchange", "exchange", None),
        ("final trade - sale", "sell", None),
        ("PURCHASE", "buy", None),
    ],
)
def test_transactions_keep_their_direction(given: str, direction: str, extent: str | None) -> None:
    found = read("politician_trades", [first_version(Transaction=given)], "live").rows.to_dict("records")[0]
    assert (found["direction"], found["extent"]) == (direction, extent)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"Range": None, "Amount": None}, "no statutory bracket"),
        ({"Range": "$7,000"}, "no statutory bracket"),
        ({"Transaction": "bullish"}, "not known"),
        ({"ReportDate": None}, "no date"),
        ({"House": ""}, "neither House nor Senate"),
    ],
)
def test_a_trade_that_cannot_be_read_is_refused_and_the_others_are_read_on(
    broken: dict[str, object], reason: str
) -> None:
    found = read("politician_trades", [first_version(), first_version(**broken)], "live")
    assert (len(found.rows), len(found.bad)) == (1, 1)
    assert reason in found.bad["reason"][0]


@pytest.mark.parametrize(
    ("given", "symbol"),
    [('abc123:msft"', "MSFT"), ("GOOG|C", "GOOG"), ("BRK.B", "BRK.B"), ("CRDA CRDB", None), ("-", None), (None, None)],
)
def test_dirty_tickers_are_cut_to_what_is_certain(given: str | None, symbol: str | None) -> None:
    found = read("insider_buying", [dict(INSIDER) | {"Ticker": given}], day="2026-06-10")
    assert (found.rows["symbol"].tolist() if len(found.rows) else [None]) == [symbol]
    assert len(found.bad) == (symbol is None)


def test_a_filing_dated_at_midnight_utc_is_known_on_that_day() -> None:
    late = dict(INSIDER) | {"fileDate": "2026-06-10T21:30:00Z", "PricePerShare": float("nan"), "isOfficer": False}
    day, moment = read("insider_buying", [dict(INSIDER), late], day="2026-06-10").rows.to_dict("records")
    assert (day["known_on"], pd.isna(day["known_at"]), day["role"]) == (date(2026, 6, 10), True, "officer")
    assert (moment["known_on"], moment["known_at"].isoformat()) == (date(2026, 6, 10), "2026-06-10T21:30:00+00:00")
    assert (pd.isna(moment["price"]), moment["role"], moment["direction"]) == (True, "director", "sell")


def test_insiders_of_other_filing_days_than_asked_are_another_meaning_of_the_date() -> None:
    with pytest.raises(LayoutError, match="holds what was filed on that day"):
        read("insider_buying", [dict(INSIDER)], day="2026-06-06")


def test_amounts_of_lobbying_may_be_texts_null_or_not_a_number() -> None:
    row = {"Ticker": "BA", "Date": "2026-04-20", "Client": "Boeing", "Issue": "Aviation", "Registrant": None}
    found = read("lobbying", [row | {"Amount": amount} for amount in ("90000.0", None, float("nan"), 0, "x")])
    assert [None if pd.isna(amount) else amount for amount in found.rows["amount"]] == [90_000.0, None, None, 0.0]
    assert set(found.rows["quarter"]) == {"2026Q1"}
    assert found.rows["filing_id"].nunique() == 4
    assert "'x' is no number" in found.bad["reason"][0]


def test_of_a_weeks_ratings_the_newest_counts() -> None:
    row = {"Ticker": "UBER", "App": "Uber", "Rating": "4.5", "Count": 10, "Date": "2026-06-28"}
    found = read(
        "app_reviews", [row, row | {"Rating": 4.7, "Date": "2026-06-30"}, row | {"Rating": 1, "Date": "2026-06-24"}]
    )
    assert plain(found.rows, ["rating", "ratings", "event_date"]) == [[4.7, 10.0, date(2026, 6, 30)]]


# Refusals


@pytest.mark.parametrize("dataset", list(SOURCES))
def test_a_missing_key_is_named(dataset: str) -> None:
    with pytest.raises(LayoutError, match="check the credentials 'quiver_api'"):
        drive(SOURCES[dataset], query(LAST), Present(world(), NOW), site.SITE)


@pytest.mark.parametrize("dataset", ["insider_buying", "app_reviews"])
def test_a_plan_that_does_not_cover_a_dataset_is_named(dataset: str) -> None:
    asked = query(LAST)
    with pytest.raises(LayoutError, match="subscription plan"):
        SOURCES[dataset].read(pages(dataset, asked, "Token hobbyist-1"), asked)


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b'"Upgrade your subscription plan to access this dataset."', "Upgrade your subscription plan.*credentials"),
        (b"<html><title>Just a moment...</title></html>", "challenge"),
        (b"<!doctype html><title>Not Found</title>", "JSON"),
        (b'{"detail": "x"}', "JSON list of objects"),
        (b"[[1]]", "JSON list of objects"),
        (b'[{"Symbol": "A"}]', "a row has the field"),
        (b"", "JSON"),
    ],
)
def test_what_is_no_list_of_rows_is_no_empty_list(body: bytes, rule: str) -> None:
    for source in quiver_api.SOURCES:
        if rule == "a row has the field" and source.dataset == "app_reviews":
            continue
        with pytest.raises(LayoutError, match=rule):
            source.read([page(body, kind="live", day="2026-06-10")], query(LAST))


@pytest.mark.parametrize("body", [[], {"data": []}])
def test_an_empty_list_is_no_rows(body: object) -> None:
    for dataset in ("lobbying", "gov_contracts"):
        assert read(dataset, body).rows.empty
    assert read("politician_trades", body, "bulk").rows.empty
    with pytest.raises(LayoutError, match="never none"):
        read("politician_trades", body, "live")


def test_the_site_ignores_dates_in_bulk_and_answers_unknown_paths_with_html() -> None:
    shown, ask = Present(world(), NOW), with_key().answer
    bulk = [
        ask(shown, Call("GET", "api.quiverquant.com", "/beta/bulk/congresstrading", f"version=V2{more}"))
        for more in ("", "&date_from=20241201")
    ]
    assert bulk[0] is not None and bulk[1] is not None
    assert bulk[0].body == bulk[1].body
    gone = ask(shown, Call("GET", "api.quiverquant.com", "/beta/historical/wikipedia/GME"))
    assert gone is not None
    assert (gone.status, gone.body[:9]) == (404, b"<!doctype")


def test_nobody_asks_quiver_who_did_not_name_it() -> None:
    names = {source.name for source in (*quiver.SOURCES, *quiver_api.SOURCES)}
    assert names == {"quiver_page", "quiver_api"}
    assert all(source.off for source in (*quiver.SOURCES, *quiver_api.SOURCES))


# Hostile bytes

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=12)
    | st.sampled_from(["2026-06-10", "A"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
_ROWS = (
    first_version(),
    second_version(),
    dict(INSIDER),
    {"Ticker": "BA", "Date": "2026-06-10", "Client": "B", "Amount": 1, "App": "x", "Rating": 4, "Count": 2},
)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_answer_makes_a_reader_fail_other_than_by_its_rules(data: st.DataObject) -> None:
    row = dict(data.draw(st.sampled_from(_ROWS)))
    for name in data.draw(st.lists(st.sampled_from(sorted(row)), max_size=4)):
        row[name] = data.draw(_VALUES)
    body = json.dumps([row, data.draw(st.sampled_from(_ROWS))]).encode()
    cut = body[: data.draw(st.integers(0, len(body)))] if data.draw(st.booleans()) else body
    for source in quiver_api.SOURCES:
        try:
            source.read([page(cut, kind="live", day="2026-06-10")], query(date(2026, 6, 1)))
        except LayoutError:
            continue
