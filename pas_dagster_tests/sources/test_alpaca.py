"""Alpaca's data: pages that end within a symbol, actions of every kind, and the broker's list of assets."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox.sites import alpaca_data
from pas_dagster.sandbox.sites.site import Call
from pas_dagster.sources import alpaca
from pas_dagster.sources.page import Page
from pas_dagster.sources.source import LayoutError, Query, Source
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources.driving import drive, page, pages_of
from pas_dagster_tests.sources.markets import START, admitted, assert_same, present, query, truth, with_keys

BY_DATASET: dict[str, Source] = {source.dataset: source for source in alpaca.SOURCES}
SITE = with_keys(alpaca_data.SITE)
BAR = ["open", "high", "low", "close", "volume", "total_return"]


def asked(first: date, last: date, *symbols: str) -> Query:
    return Query(first, last, datetime(2026, 11, 20, tzinfo=UTC), pd.DataFrame({"symbol": list(symbols)}))


def bars(content: object) -> Page:
    return page(content if isinstance(content, bytes) else json.dumps(content).encode(), kind="bars")


def actions(**groups: object) -> Page:
    return page(json.dumps({"corporate_actions": groups, "next_page_token": None}).encode(), kind="actions")


def bar(day: str, close: float, **others: object) -> dict[str, object]:
    return {"t": f"{day}T05:00:00Z", "o": close, "h": close, "l": close, "c": close, "v": 10, **others}


@pytest.mark.shared
def test_recorded_pages_of_bars_are_put_together() -> None:
    names = ("get_bars", "multisymbol_get_bars", "get_bars_multi_empty_response")
    pages = [bars(recorded_bytes(f"alpaca/historical_stock_data__{name}.json")) for name in names]
    rows = alpaca.read_prices(pages, asked(date(2022, 1, 1), date(2022, 4, 1), "AAPL", "TSLA")).rows
    told = rows[["symbol", "event_date", "close", "volume"]].astype({"event_date": str}).to_numpy().tolist()
    assert told == [
        ["AAPL", "2022-02-01", 174.61, 85_998_033],
        ["AAPL", "2022-02-02", 175.84, 84_817_432],
        ["AAPL", "2022-03-09", 162.95, 88_496_480],
        ["TSLA", "2022-03-09", 858.97, 19_227_323],
    ]
    assert rows["total_return"].iloc[1] == pytest.approx(175.84 / 174.61 - 1)


@pytest.mark.shared
def test_recorded_actions_of_every_kind() -> None:
    content = recorded_bytes("alpaca/corporate_actions__get_corporate_actions.json")
    rows = alpaca.read_actions([page(content, kind="actions")], asked(date(2023, 1, 1), date(2024, 6, 1), "FCF")).rows
    rows = rows.astype({"event_date": str}).astype(object).where(rows.notna(), None)
    assert rows[["event_date", "symbol", "kind", "value", "new_symbol"]].to_numpy().tolist() == [
        ["2023-05-04", "FCF", "dividend", 0.125, None],
        ["2023-05-19", "MSBC", "split", 1.05, None],
        ["2023-07-17", "GLOP", "delisting", 5.37, None],
        ["2023-08-15", "BSAQ", "symbol_change", None, "VFS"],
        ["2023-08-22", "SRE", "split", 2.0, None],
        ["2023-08-24", "MNTS", "split", 0.02, None],
        ["2023-10-11", "ATNXQ", "delisting", None, None],
    ]


@pytest.mark.shared
def test_the_recorded_asset_is_tradable_and_fractionable() -> None:
    wanted = asked(date(2026, 11, 20), date(2026, 11, 20))
    content = recorded_bytes("alpaca/asset_routes__get_all_assets.json")
    rows = alpaca.read_assets([page(content)], wanted).rows
    assert rows[["symbol", "index_name", "action", "kind"]].to_numpy().tolist() == [
        ["AAPL", "TRADABLE", "add", "stock"],
        ["AAPL", "FRACTIONABLE", "add", "stock"],
    ]


def test_prices_of_the_sandbox_come_back_as_the_world_has_them() -> None:
    wanted = query()
    found = admitted("prices", drive(BY_DATASET["prices"], wanted, present(), SITE), wanted)
    assert found.refused.empty
    assert_same(found.rows, truth("prices", wanted), ["known_on", "symbol"], BAR)


def test_actions_of_the_sandbox_are_known_the_day_before_they_take_effect() -> None:
    wanted = query()
    found = admitted("corporate_actions", drive(BY_DATASET["corporate_actions"], wanted, present(), SITE), wanted)
    assert found.refused.empty
    everything = present().world.table("corporate_actions")
    before = everything["event_date"] - pd.Timedelta(days=1)
    everything["known_on"] = everything["event_date"].where(everything["kind"] == "delisting", before)
    expected = everything[everything["known_on"].between(pd.Timestamp(wanted.first), pd.Timestamp(wanted.last))]
    assert set(expected["kind"]) == {"split", "dividend", "delisting", "symbol_change"}
    assert_same(found.rows, expected, ["event_date", "symbol", "kind"], ["known_on", "value", "new_symbol"])


def test_windows_glued_together_are_the_whole() -> None:
    listed = query().listed.head(30)
    days = (START, date(2022, 3, 5), date(2022, 3, 6), date(2022, 6, 30))
    parts = [Query(days[0], days[1], query().now, listed), Query(days[2], days[3], query().now, listed)]
    whole = Query(days[0], days[3], query().now, listed)
    found = [admitted("prices", drive(BY_DATASET["prices"], one, present(), SITE), one).rows for one in (*parts, whole)]
    assert_same(pd.concat(found[:2]), found[2], ["known_on", "symbol"], BAR)


def test_pages_end_within_a_symbol_and_none_is_lost() -> None:
    pages = pages_of(BY_DATASET["prices"], query(), present(), SITE)
    shown = [json.loads(page.content) for page in pages if page.kind == "bars"]
    counts = [sum(map(len, body["bars"].values())) for body in shown]
    assert max(counts) == 10_000
    symbols = [symbol for body in shown for symbol in body["bars"]]
    assert len(symbols) > len(set(symbols))
    assert sum(counts) == len(truth("prices", query()))


def test_bars_are_asked_for_as_traded_and_no_newer_than_is_free() -> None:
    now = datetime(2024, 7, 8, 17, tzinfo=calendar.NEW_YORK)
    wanted = Query(date(2024, 7, 8), date(2024, 7, 8), now, pd.DataFrame({"symbol": ["SPY", "BRK.B"]}))
    assert BY_DATASET["prices"].walk is not None
    requests = next(BY_DATASET["prices"].walk(wanted))
    given_up = parse_qs(urlsplit(requests[0].url).query)
    assert [request.auth for request in requests] == ["alpaca", "alpaca"]
    assert given_up["symbols"] == ["BRK.B,SPY"]
    assert given_up["end"] == ["2024-07-08T16:44:00-04:00"]
    assert (given_up["adjustment"], given_up["feed"], given_up["asof"]) == (["raw"], ["sip"], ["-"])
    assert drive(BY_DATASET["prices"], wanted, present(now), SITE).rows["known_on"].astype(str).tolist() == [
        "2024-07-08"
    ]


@pytest.mark.parametrize(("minutes", "status"), [(10, 403), (20, 200)])
def test_the_site_keeps_the_newest_bars_of_all_exchanges_for_payers(minutes: int, status: int) -> None:
    now = datetime(2024, 7, 8, 17, tzinfo=calendar.NEW_YORK)
    end = (now - timedelta(minutes=minutes)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    asked_for = f"symbols=SPY&timeframe=1Day&start=2024-07-01&end={end}&feed=sip"
    answer = SITE.answer(present(now), Call("GET", "data.alpaca.markets", "/v2/stocks/bars", asked_for))
    assert answer is not None
    assert answer.status == status
    unknown = alpaca_data.SITE.answer(present(now), Call("GET", "data.alpaca.markets", "/v2/stocks/bars", asked_for))
    assert unknown is not None
    assert unknown.status == 401


def test_two_dividends_of_a_day_are_one_sum_and_a_repeated_entry_counts_once() -> None:
    entry = {"id": "1", "symbol": "AAA", "ex_date": "2024-03-04", "rate": 0.5}
    told = actions(cash_dividends=[entry, entry, {**entry, "id": "2", "rate": 0.25, "special": True}])
    wanted = asked(date(2024, 3, 1), date(2024, 3, 8), "AAA")
    assert alpaca.read_actions([told], wanted).rows["value"].tolist() == [0.75]
    series = bars({"bars": {"AAA": [bar("2024-03-01", 10.0), bar("2024-03-04", 10.0)]}})
    assert alpaca.read_prices([series, told], wanted).rows["total_return"].tolist()[1:] == [pytest.approx(0.075)]


def test_a_return_goes_on_under_the_new_symbol() -> None:
    told = actions(name_changes=[{"id": "1", "old_symbol": "FB", "new_symbol": "META", "process_date": "2022-06-09"}])
    series = bars({"bars": {"META": [bar("2022-06-09", 12.0)], "FB": [bar("2022-06-08", 10.0)]}, "next_page_token": ""})
    rows = alpaca.read_prices([series, told], asked(date(2022, 6, 1), date(2022, 6, 30), "FB", "META")).rows
    assert rows["symbol"].tolist() == ["FB", "META"]
    assert rows["total_return"].iloc[1] == pytest.approx(0.2)


def test_a_change_of_cusip_alone_is_no_change_of_symbol() -> None:
    entry = {"id": "1", "old_symbol": "AAA", "new_symbol": "AAA", "process_date": "2022-06-09"}
    assert alpaca.read_actions([actions(name_changes=[entry])], asked(START, START, "AAA")).rows.empty


@pytest.mark.parametrize("wrong", [{"c": None}, {"c": 0}, {"h": "x"}, {"v": -1}, {"t": "yesterday"}])
def test_a_bar_that_cannot_be_is_refused_and_the_others_are_kept(wrong: dict[str, object]) -> None:
    series = bars({"bars": {"AAA": [bar("2024-03-01", 10.0), bar("2024-03-04", 11.0, **wrong)]}})
    reading = alpaca.read_prices([series], asked(date(2024, 3, 1), date(2024, 3, 8), "AAA"))
    assert reading.rows["close"].tolist() == [10.0]
    assert len(reading.bad) == 1


@pytest.mark.parametrize(
    "entry",
    [{"symbol": "AAA"}, {"symbol": "AAA", "ex_date": "4 March", "rate": 1}, {"ex_date": "2024-03-04", "rate": 1}],
)
def test_an_action_without_day_symbol_or_rate_is_refused(entry: dict[str, object]) -> None:
    reading = alpaca.read_actions([actions(cash_dividends=[entry])], asked(START, START, "AAA"))
    assert reading.rows.empty
    assert len(reading.bad) == 1


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"<html>", "JSON"),
        ([], "JSON object"),
        ({"message": "forbidden"}, "`bars` a list"),
        ({"bars": {"AAA": {}}}, "`bars` a list"),
        ({"bars": {"AAA": [{"t": 1}]}}, "t, o, h, l, c and v"),
        ({"bars": {}}, "some listed symbol"),
    ],
)
def test_what_is_no_page_of_bars_breaks_a_named_rule(content: object, rule: str) -> None:
    with pytest.raises(LayoutError, match=rule):
        alpaca.read_prices([bars(content)], asked(date(2024, 3, 1), date(2024, 3, 8), "AAA"))


def test_a_token_that_does_not_move_ends_the_walk() -> None:
    walk = alpaca.walk_actions(asked(START, START, "AAA"))
    asked_first = next(walk)
    body = json.dumps({"corporate_actions": {}, "next_page_token": "same"}).encode()
    again = walk.send([Page(asked_first[0], 200, asked_first[0].url, body, datetime(2026, 1, 1, tzinfo=UTC))])
    with pytest.raises(LayoutError, match="another page each time"):
        walk.send([Page(again[0], 200, again[0].url, body, datetime(2026, 1, 1, tzinfo=UTC))])


def test_assets_accumulate_as_changes_against_what_is_stored() -> None:
    today = date(2023, 12, 29)
    now = datetime(2023, 12, 29, 20, tzinfo=calendar.NEW_YORK)
    wanted = query(today, today, now)
    first = admitted("universe", drive(BY_DATASET["universe"], wanted, present(now), SITE), wanted)
    assert first.refused.empty
    assert set(first.rows["index_name"]) == {"TRADABLE", "FRACTIONABLE"}
    assert (first.rows["action"] == "add").all()
    assert set(first.rows["kind"]) == {"stock", "etf"}
    stored = first.rows.assign(provider="alpaca_assets")
    stored = stored[stored["symbol"] != "SPY"]
    gone = stored.iloc[[0]].assign(symbol="GONE", index_name="TRADABLE")
    later = Query(wanted.first, wanted.last, now, wanted.listed, pd.concat([stored, gone]))
    rows = drive(BY_DATASET["universe"], later, present(now), SITE).rows
    assert sorted(rows[["symbol", "index_name", "action"]].to_numpy().tolist()) == [
        ["GONE", "TRADABLE", "remove"],
        ["SPY", "FRACTIONABLE", "add"],
        ["SPY", "TRADABLE", "add"],
    ]


@pytest.mark.parametrize("content", [[], {}, [{"symbol": "A"}], [3]])
def test_what_is_no_list_of_assets_breaks_a_named_rule(content: object) -> None:
    with pytest.raises(LayoutError, match="asset"):
        alpaca.read_assets([page(json.dumps(content).encode())], asked(START, START))


_WHOLE = [
    json.dumps({"bars": {"AAA": [bar("2024-03-01", 10.0), bar("2024-03-04", 10.0)]}, "next_page_token": None}).encode(),
    actions(
        cash_dividends=[{"id": "1", "symbol": "AAA", "ex_date": "2024-03-04", "rate": 0.5}],
        name_changes=[{"id": "2", "old_symbol": "AAA", "new_symbol": "BBB", "process_date": "2024-03-04"}],
    ).content,
    json.dumps([{"symbol": "A", "status": "active", "tradable": True, "fractionable": False}]).encode(),
]


@settings(max_examples=200, deadline=None)
@given(
    which=st.integers(0, 2), cut=st.integers(0, 300), junk=st.binary(max_size=6) | st.sampled_from([b"1e999", b"{}"])
)
def test_damaged_bytes_never_crash(which: int, cut: int, junk: bytes) -> None:
    whole = _WHOLE[which]
    wanted = asked(date(2024, 3, 1), date(2024, 3, 8), "AAA")
    for content in (
        whole[:cut] + junk,
        whole[:cut] + junk + whole[cut + len(junk) :],
        whole[:cut] + junk + whole[cut:],
    ):
        readers = (
            lambda one: alpaca.read_prices([bars(_WHOLE[0]), page(one, kind="actions")], wanted),
            lambda one: alpaca.read_prices([bars(one)], wanted),
            lambda one: alpaca.read_actions([page(one, kind="actions")], wanted),
            lambda one: alpaca.read_assets([page(one)], wanted),
        )
        for reader in readers:
            try:
                reader(content)
            except LayoutError as error:
                assert error.page is not None
