"""Yahoo's charts: what was traded comes out of what is adjusted, and nothing that is no chart gets through."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox.sites import yahoo as site
from pas_dagster.sandbox.sites.site import Call
from pas_dagster.sources import yahoo
from pas_dagster.sources.page import Page
from pas_dagster.sources.source import LayoutError, Query, Reading, Source
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources.driving import drive, page, pages_of
from pas_dagster_tests.sources.markets import START, admitted, assert_same, present, query, truth

BY_DATASET: dict[str, Source] = {source.dataset: source for source in yahoo.SOURCES}
BAR = ["open", "high", "low", "close", "volume", "total_return"]
RECORDED_ON = datetime(2025, 2, 20, 12, tzinfo=UTC)


def url(symbol: str) -> str:
    return f"https://query2.finance.yahoo.com/v8/finance/chart/{symbol}?interval=1d"


def recorded_chart(name: str, symbol: str) -> Page:
    response = json.loads(recorded_bytes(f"yahoo/{name}"))["response"]
    return page(json.dumps(response["bodyJson"]).encode(), url(symbol), response["status"])


def asked(first: date, last: date, *symbols: str, now: datetime = RECORDED_ON) -> Query:
    return Query(first, last, now, pd.DataFrame({"symbol": list(symbols)}))


def chart(
    closes: list[float | None],
    days: list[str],
    *,
    symbol: str = "ABC",
    splits: Mapping[str, tuple[float, float]] | None = None,
    dividends: Mapping[str, float] | None = None,
    **meta: str,
) -> dict[str, Any]:
    stamps = [int(datetime.fromisoformat(f"{day}T14:30:00+00:00").timestamp()) for day in days]
    second = dict(zip(days, stamps, strict=True))
    quote = {name: list(closes) for name in ("open", "high", "low", "close")} | {"volume": [400] * len(days)}
    events = {
        "splits": {
            str(second[day]): {"date": second[day], "numerator": new, "denominator": old}
            for day, (new, old) in (splits or {}).items()
        },
        "dividends": {
            str(second[day]): {"date": second[day], "amount": amount} for day, amount in (dividends or {}).items()
        },
    }
    result = {
        "meta": {"symbol": symbol, "currency": "USD", **meta},
        "timestamp": stamps,
        "events": events,
        "indicators": {"quote": [quote]},
    }
    return {"chart": {"result": [result], "error": None}}


def read(document: object, *, symbol: str = "ABC", status: int = 200, now: datetime = RECORDED_ON) -> Reading:
    wanted = asked(date(2024, 1, 2), date(2025, 2, 20), symbol, now=now)
    return yahoo.read_prices([page(json.dumps(document).encode(), url(symbol), status)], wanted)


@pytest.mark.shared
def test_the_recorded_chart_of_apple_reads_to_its_49_bars_and_two_actions() -> None:
    pages = [recorded_chart("chart-AAPL-2020-08-31-to-2020-11-07.json", "AAPL")]
    wanted = asked(date(2020, 8, 31), date(2020, 11, 7), "AAPL")
    rows = yahoo.read_prices(pages, wanted).rows.set_index("event_date")
    assert len(rows) == 49
    assert rows.loc["2020-08-31", ["open", "high", "low", "close"]].tolist() == [127.58, 131.0, 126.0, 129.04]
    assert rows.loc["2020-09-01", "volume"] == 151_948_100
    assert rows.loc["2020-09-01", "total_return"] == pytest.approx(134.18 / 129.04 - 1)
    assert rows.loc["2020-11-06", "total_return"] == pytest.approx((118.69 + 0.205) / 119.03 - 1)
    actions = yahoo.read_actions(pages, wanted).rows
    told = actions[["event_date", "kind", "value"]].astype({"event_date": str}).to_numpy().tolist()
    assert told == [["2020-08-31", "split", 4.0], ["2020-11-06", "dividend", 0.205]]
    assert admitted("prices", yahoo.read_prices(pages, wanted), wanted).refused.empty


@pytest.mark.shared
def test_the_close_before_apples_split_is_what_was_paid_that_day() -> None:
    """On Friday 2020-08-28 one share cost 499.23 USD; Yahoo's present figure is a quarter of it."""
    recorded = recorded_chart("chart-AAPL-2020-08-31-to-2020-11-07.json", "AAPL")
    document = json.loads(recorded.content)
    result = document["chart"]["result"][0]
    result["timestamp"].insert(0, 1598621400)  # 2020-08-28 09:30 in New York
    for name, value in {"open": 126.0124969, "high": 126.442497, "low": 124.577499, "volume": 187_629_600}.items():
        result["indicators"]["quote"][0][name].insert(0, value)
    result["indicators"]["quote"][0]["close"].insert(0, float(np.float32(124.8075)))
    wanted = asked(date(2020, 8, 28), date(2020, 8, 31), "AAPL")
    rows = yahoo.read_prices([page(json.dumps(document).encode(), url("AAPL"))], wanted).rows
    assert rows["close"].tolist() == [499.23, 129.04]
    assert rows["volume"].tolist() == [46_907_400, 225_702_700]
    assert rows["total_return"].iloc[1] == pytest.approx(129.04 * 4 / 499.23 - 1)


@pytest.mark.shared
def test_recorded_charts_of_one_day_and_of_none() -> None:
    one = recorded_chart("chart-QQQ-2020-01-01-to-2020-01-03.json", "QQQ")
    rows = yahoo.read_prices([one], asked(date(2020, 1, 2), date(2020, 1, 3), "QQQ")).rows
    assert rows[["close", "volume"]].to_numpy().tolist() == [[216.16, 30_969_400]]
    none = recorded_chart("chart-AAPL-2025-02-01-to-2025-02-02-includePrePost-false-interval-1m.json", "AAPL")
    assert yahoo.read_prices([none], asked(date(2025, 2, 1), date(2025, 2, 2), "AAPL")).rows.empty


@pytest.mark.shared
@pytest.mark.parametrize(
    "name", ["chart-notimestamp-quotes-length.fake.json", "chart-notimestamp-weird-quote.fake.json"]
)
def test_bars_without_their_times_are_no_chart(name: str) -> None:
    with pytest.raises(LayoutError, match="timestamp"):
        yahoo.read_prices([recorded_chart(name, "AAPL")], asked(date(2020, 1, 2), date(2020, 1, 3), "AAPL"))


@pytest.mark.shared
def test_returns_of_recorded_funds_agree_with_yahoos_own_adjusted_closes() -> None:
    """Close and Adj Close of the recorded file are Yahoo's own: in weeks without a dividend their changes agree."""
    import io

    frame = pd.read_csv(io.BytesIO(recorded_bytes("prices/etf_ohlcv_yahoo_raw_2016_2021.csv.gz")))
    spy = frame[frame["Symbol"] == "SPY"].iloc[:40]
    document = chart([float(np.float32(value)) for value in spy["Close"]], spy["Date"].tolist(), symbol="SPY")
    wanted = asked(date(2016, 4, 28), date(2016, 6, 30), "SPY")
    rows = yahoo.read_prices([page(json.dumps(document).encode(), url("SPY"))], wanted).rows
    assert rows["close"].tolist() == spy["Close"].tolist()
    own = (spy["Adj Close"] / spy["Adj Close"].shift() - 1).to_numpy()[1:]
    differs = np.abs(rows["total_return"].to_numpy()[1:] - own) > 1e-5
    assert [str(day.date()) for day in rows["event_date"][1:][differs]] == ["2016-06-17"]  # SPY's ex-day of the quarter


@pytest.mark.parametrize("dataset", ["prices", "corporate_actions", "sp500_index", "treasury_rates"])
def test_the_sandbox_comes_back_as_the_world_has_it(dataset: str) -> None:
    wanted = query()
    found = admitted(dataset, drive(BY_DATASET[dataset], wanted, present(), site.SITE), wanted)
    assert found.refused.empty
    if dataset == "prices":
        expected = truth("prices", wanted)
        assert_same(found.rows, expected, ["known_on", "symbol"], ["open", "high", "low", "close"])
        both = found.rows.merge(expected, on=["event_date", "symbol"])
        lost = both["total_return_x"].isna() & both["total_return_y"].notna()
        assert lost.sum() == 1  # the first bar under a new symbol: Yahoo does not tell which was the old one
        returns = both[~lost]
        np.testing.assert_allclose(returns["total_return_x"], returns["total_return_y"], rtol=0, atol=1e-12)
        assert (both["volume_x"] - both["volume_y"]).abs().max() <= 5  # whole adjusted shares, one for ten
    elif dataset == "corporate_actions":
        expected = truth(dataset, wanted, "event_date")
        expected = expected[expected["kind"].isin(["split", "dividend"])]
        assert_same(found.rows, expected, ["event_date", "symbol", "kind"], ["value"])
        assert (found.rows["known_on"] == found.rows["event_date"]).all()
    elif dataset == "sp500_index":
        assert_same(found.rows, truth(dataset, wanted), ["known_on", "event_date"], BAR[:5])
    else:
        own = found.rows[found.rows["tenor"] != "5y"]
        expected = truth(dataset, wanted)
        assert_same(own, expected[expected["tenor"] != "2y"], ["known_on", "event_date", "tenor"], ["rate"])


def test_windows_glued_together_are_the_whole() -> None:
    windows = [
        (START, date(2022, 7, 8)),
        (date(2022, 7, 9), date(2022, 7, 10)),
        (date(2022, 7, 11), date(2022, 12, 30)),
    ]
    parts = []
    for first, last in windows:
        wanted = query(first, last)
        wanted = Query(first, last, wanted.now, wanted.listed.head(25))
        parts.append(admitted("prices", drive(BY_DATASET["prices"], wanted, present(), site.SITE), wanted).rows)
    whole = Query(START, date(2022, 12, 30), wanted.now, query(START, date(2022, 12, 30)).listed.head(25))
    expected = admitted("prices", drive(BY_DATASET["prices"], whole, present(), site.SITE), whole).rows
    assert_same(pd.concat(parts), expected, ["known_on", "symbol"], BAR)


@pytest.mark.parametrize(
    ("hour", "last"), [(8, "2022-07-07"), (11, "2022-07-07"), (16, "2022-07-07"), (17, "2022-07-08")]
)
def test_the_bar_of_today_counts_only_when_the_session_is_over(hour: int, last: str) -> None:
    now = datetime(2022, 7, 8, hour, 5, tzinfo=calendar.NEW_YORK)
    wanted = Query(date(2022, 7, 1), date(2022, 7, 8), now, query().listed.head(3))
    rows = drive(BY_DATASET["prices"], wanted, present(now), site.SITE).rows
    assert str(rows["event_date"].max().date()) == last


def test_while_the_exchange_is_open_the_site_shows_the_open_only() -> None:
    now = datetime(2022, 7, 8, 11, tzinfo=calendar.NEW_YORK)
    begin, end = (int(calendar.midnight(date(2022, 7, day)).timestamp()) for day in (8, 9))
    call = Call("GET", "query2.finance.yahoo.com", "/v8/finance/chart/SPY", f"period1={begin}&period2={end}")
    answer = site.answer(present(now), call)
    assert answer is not None
    quote = json.loads(answer.body)["chart"]["result"][0]["indicators"]["quote"][0]
    assert quote["open"] == quote["high"] == quote["low"] == quote["close"]


def test_a_delisted_symbol_has_no_rows_but_most_symbols_have_some() -> None:
    wanted = Query(date(2022, 7, 1), date(2022, 7, 8), query().now, query().listed.head(12))
    unknown = pd.DataFrame({"symbol": [f"QQQ{letter}" for letter in "ABCDEFGHIJKLM"]})
    some = Query(wanted.first, wanted.last, wanted.now, pd.concat([wanted.listed, unknown.head(3)]))
    found = drive(BY_DATASET["prices"], some, present(), site.SITE)
    assert found.rows["symbol"].nunique() == 12
    assert found.bad.empty
    most = Query(wanted.first, wanted.last, wanted.now, pd.concat([wanted.listed, unknown]))
    with pytest.raises(LayoutError, match="13 of 25 it has none"):
        drive(BY_DATASET["prices"], most, present(), site.SITE)


def test_charts_are_asked_for_up_to_now_and_from_before_the_window_without_cookies() -> None:
    wanted = Query(date(2022, 7, 1), date(2022, 7, 8), query().now, pd.DataFrame({"symbol": ["XLK", "BRK.B"]}))
    asked_for = {page.url for page in pages_of(BY_DATASET["prices"], wanted, present(), site.SITE)}
    begin = int(calendar.midnight(date(2022, 6, 1)).timestamp())
    tail = f"?period1={begin}&period2={int(wanted.now.timestamp())}&interval=1d&includePrePost=false&events=div%2Csplit"
    base = "https://query2.finance.yahoo.com/v8/finance/chart/"
    assert asked_for == {f"{base}XLK{tail}", f"{base}BRK-B{tail}"}


def test_class_shares_come_back_with_their_dot() -> None:
    assert read(chart([1.0], ["2024-03-01"], symbol="BRK-B"), symbol="BRK-B").rows["symbol"].tolist() == ["BRK.B"]


def test_dividends_before_a_split_are_those_that_were_paid() -> None:
    document = chart(
        [10.0, 10.0, 10.0],
        ["2024-03-01", "2024-03-04", "2024-03-05"],
        splits={"2024-03-05": (4, 1)},
        dividends={"2024-03-04": 0.25},
    )
    rows = read(document).rows
    assert rows["close"].tolist() == [40.0, 40.0, 10.0]
    assert rows["volume"].tolist() == [100.0, 100.0, 400.0]
    assert rows["total_return"].tolist()[1:] == pytest.approx([0.025, 0.0])


def test_a_reverse_split_counts_the_other_way() -> None:
    rows = read(chart([50.0, 55.0], ["2024-03-01", "2024-03-04"], splits={"2024-03-04": (1, 10)})).rows
    assert rows["close"].tolist() == [5.0, 55.0]
    assert rows["total_return"].iloc[1] == pytest.approx(0.1)


def test_a_split_that_the_closes_do_not_show_is_refused() -> None:
    reading = read(chart([400.0, 101.0], ["2024-03-01", "2024-03-04"], splits={"2024-03-04": (4, 1)}))
    assert reading.rows.empty
    assert "not adjusted for its split of 4" in reading.bad["reason"].iloc[0]


def test_an_action_on_a_day_without_a_bar_counts_on_the_next() -> None:
    document = chart([10.0, None, 10.0], ["2024-03-01", "2024-03-04", "2024-03-05"], dividends={"2024-03-04": 0.5})
    document["chart"]["result"][0]["indicators"]["quote"][0]["volume"][1] = None
    reading = read(document)
    assert reading.bad.empty  # a day of nulls is a day without a bar
    assert reading.rows["total_return"].iloc[1] == pytest.approx(0.05)


def test_a_bar_with_a_hole_is_refused_and_the_others_are_kept() -> None:
    document = chart([10.0, 11.0], ["2024-03-01", "2024-03-04"])
    document["chart"]["result"][0]["indicators"]["quote"][0]["high"][0] = None
    reading = read(document)
    assert reading.rows["close"].tolist() == [11.0]
    assert reading.bad["reason"].tolist() == ["a bar has all of open, high, low and close, above 0"]


def test_of_a_day_that_is_there_twice_the_later_bar_counts() -> None:
    rows = read(chart([10.0, 11.0, 12.0], ["2024-03-01", "2024-03-04", "2024-03-04"])).rows
    assert rows["close"].tolist() == [10.0, 12.0]


@pytest.mark.parametrize(
    ("meta", "reason"),
    [({"symbol": "XYZ"}, "the chart is of XYZ, not of ABC"), ({"currency": "CAD"}, "the chart is in CAD, not in USD")],
)
def test_the_chart_of_another_security_is_refused(meta: dict[str, str], reason: str) -> None:
    document = chart([10.0], ["2024-03-01"])
    document["chart"]["result"][0]["meta"].update(meta)
    assert read(document).bad["reason"].tolist() == [reason]


@pytest.mark.parametrize("entry", [{"numerator": 0}, {"numerator": "4"}, {"denominator": None}, {"date": -1}])
def test_an_unreadable_split_takes_its_symbol_out(entry: dict[str, object]) -> None:
    document = chart([10.0, 10.0], ["2024-03-01", "2024-03-04"], splits={"2024-03-04": (4, 1)})
    next(iter(document["chart"]["result"][0]["events"]["splits"].values())).update(entry)
    reading = read(document)
    assert reading.rows.empty
    assert len(reading.bad) == 1


def broken(change: Mapping[str, object]) -> dict[str, Any]:
    document = chart([10.0], ["2024-03-01"])
    document["chart"]["result"][0].update(change)
    return document


@pytest.mark.parametrize(
    ("document", "rule"),
    [
        ({"finance": {}}, "chart.result"),
        ({"chart": {"result": []}}, "chart.result"),
        (broken({"meta": None}), "meta.symbol"),
        (broken({"indicators": {}}), "indicators.quote"),
        (broken({"timestamp": [1, 2]}), "one timestamp"),
        (broken({"timestamp": [1e300]}), "seconds since 1970"),
        (broken({"timestamp": [None]}), "seconds since 1970"),
        (broken({"indicators": {"quote": [{"close": [1.0]}]}}), "a list 'open'"),
        (broken({"events": {"splits": [1]}}), "events.splits"),
    ],
)
def test_what_is_no_chart_breaks_a_named_rule(document: object, rule: str) -> None:
    with pytest.raises(LayoutError, match=rule):
        read(document)


def test_a_refusal_is_no_chart() -> None:
    with pytest.raises(LayoutError, match="not 401"):
        read({"chart": {"result": None, "error": {"code": "Unauthorized"}}}, status=401)
    with pytest.raises(LayoutError, match="JSON"):
        yahoo.read_prices([page(b"Too Many Requests", url("ABC"))], asked(START, START, "ABC"))
    with pytest.raises(LayoutError, match=r"chart of \^GSPC"):
        yahoo.read_index([], query())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(where=st.sampled_from(["meta", "timestamp", "events", "indicators", "quote", "split"]), value=json_values)
def test_odd_values_never_crash(where: str, value: object) -> None:
    document = chart([10.0, 10.0], ["2024-03-01", "2024-03-04"], splits={"2024-03-04": (4, 1)})
    result = document["chart"]["result"][0]
    if where == "quote":
        result["indicators"]["quote"][0]["close"] = value
    elif where == "split":
        result["events"]["splits"]["x"] = value
    else:
        result[where] = value
    _never_crashes(json.dumps(document).encode())


@settings(max_examples=150, deadline=None)
@given(cut=st.integers(0, 700), junk=st.binary(max_size=8))
def test_damaged_bytes_never_crash(cut: int, junk: bytes) -> None:
    whole = json.dumps(chart([10.0, 11.0], ["2024-03-01", "2024-03-04"], dividends={"2024-03-04": 0.1})).encode()
    _never_crashes(whole[:cut] + junk)
    _never_crashes(whole[:cut] + junk + whole[cut + len(junk) :])


def _never_crashes(content: bytes) -> None:
    wanted = asked(date(2024, 1, 2), date(2025, 2, 19), "ABC")
    for reader in (yahoo.read_prices, yahoo.read_actions):
        try:
            reader([page(content, url("ABC"))], wanted)
        except LayoutError as error:
            assert error.page is not None
