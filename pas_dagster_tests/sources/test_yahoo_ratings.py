"""Yahoo's ratings: recorded histories come out whole, the sandbox's come back, and the crumb is got and renewed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox.server import Sandbox, serving
from pas_dagster.sandbox.sites import yahoo_ratings as site
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site
from pas_dagster.schemas import TABLES
from pas_dagster.sources import yahoo_ratings
from pas_dagster.sources.page import Page
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, SourceError
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources.driving import drive, page
from pas_dagster_tests.sources.markets import (
    END,
    MORNING_AFTER,
    START,
    admitted,
    assert_same,
    present,
    query,
    truth,
    world,
)
from pas_dagster_tests.sources.toys import provider

(SOURCE,) = yahoo_ratings.SOURCES
TABLE = TABLES["analyst_ratings"]
KEYS = ["event_date", "symbol", "firm", "action"]
COLUMNS = ["known_on", "known_at", "from_grade", "to_grade", "target_before", "target"]
EVER = Query(date(2010, 1, 1), date(2025, 2, 28), datetime(2025, 2, 28, 12, tzinfo=UTC))


def url(symbol: str) -> str:
    return f"https://query2.finance.yahoo.com/v10/finance/quoteSummary/{symbol}?modules=upgradeDowngradeHistory"


def recorded_page(symbol: str, ending: str = ".json.gz") -> Page:
    recording = json.loads(recorded_bytes(f"yahoo/quoteSummary-upgradeDowngradeHistory-{symbol}{ending}"))
    response = recording["response"]
    return page(json.dumps(response["bodyJson"]).encode(), url(symbol), response["status"])


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "epochGradeDate": 1738352759,
        "firm": "Citigroup",
        "toGrade": "Buy",
        "fromGrade": "Hold",
        "action": "up",
    } | changes


def summary(*entries: object, symbol: str = "ABC") -> Page:
    module = {"upgradeDowngradeHistory": {"history": entries, "maxAge": 86400}}
    return page(json.dumps({"quoteSummary": {"result": [module], "error": None}}).encode(), url(symbol))


def read(*pages: Page) -> Reading:
    return SOURCE.read(pages, EVER)


def with_cookie(chosen: Site) -> Site:
    """The site as a browser with its cookie reaches it."""

    def answer(shown: Present, call: Call) -> Answer | None:
        given = chosen.answer(shown, Call("GET", "fc.yahoo.com", "/"))
        assert given is not None
        cookie = given.headers["Set-Cookie"].partition(";")[0]
        return chosen.answer(shown, replace(call, headers={**call.headers, "cookie": cookie}))

    return Site(chosen.hosts, answer)


@pytest.mark.shared
def test_a_recorded_history_comes_out_whole_but_for_what_a_firm_said_twice_on_a_day() -> None:
    # jq over the file: 968 entries, 966 of them different in New York day, firm, action and grades
    reading = read(recorded_page("AAPL"))
    assert len(reading.rows) == 968
    assert reading.rows["action"].value_counts().to_dict() == {
        "maintain": 732,
        "reiterate": 115,
        "downgrade": 49,
        "upgrade": 37,
        "initiate": 35,
    }
    found = admitted("analyst_ratings", reading, EVER)
    assert (len(found.rows), found.repeated, len(found.refused)) == (966, 2, 0)
    newest = found.rows.loc[found.rows["known_at"].idxmax()]
    assert newest["known_at"] == pd.Timestamp("2025-01-31 19:45:59")
    assert (newest["firm"], newest["action"], newest["from_grade"], newest["to_grade"]) == (
        "Citigroup",
        "maintain",
        "Buy",
        "Buy",
    )
    oldest = found.rows.loc[found.rows["known_at"].idxmin()]
    assert (str(oldest["event_date"].date()), oldest["firm"], oldest["to_grade"]) == (
        "2012-09-12",
        "Hudson Square",
        "Buy",
    )
    assert pd.isna(oldest["from_grade"])
    assert found.rows["target"].isna().all()


@pytest.mark.shared
def test_recorded_dirt_is_refused_by_the_row_and_the_later_of_two_ratings_of_a_day_counts() -> None:
    # GOOG: 659 entries, one of them without a firm; UBS maintains twice on 2020-04-29, first from no grade
    found = admitted("analyst_ratings", read(recorded_page("GOOG")), EVER)
    assert len(found.rows) == 657
    assert sorted(found.refused["reason"].str.extract(r"(firm is missing|duplicate key)")[0]) == [
        "duplicate key",
        "firm is missing",
    ]
    both = found.rows[(found.rows["firm"] == "UBS") & (found.rows["event_date"] == pd.Timestamp("2020-04-29"))]
    assert both["from_grade"].tolist() == ["Buy"]
    assert found.rows["to_grade"].isna().sum() == 2


@pytest.mark.shared
@pytest.mark.parametrize(
    ("symbol", "ending", "count"), [("AMZN", ".json.gz", 983), ("BFLY", ".json", 6), ("CRM", ".json.gz", 742)]
)
def test_recorded_histories_have_as_many_rows_as_the_files(symbol: str, ending: str, count: int) -> None:
    reading = read(recorded_page(symbol, ending))
    assert (len(reading.rows), len(reading.bad)) == (count, 0)
    assert set(reading.rows["symbol"]) == {symbol}


@pytest.mark.shared
@pytest.mark.parametrize("symbol", ["ADH", "QQQ", "BTC-USD", "^VXAPL"])
def test_a_recorded_404_is_a_stock_that_nobody_rates(symbol: str) -> None:
    reading = read(recorded_page(symbol, ".json"))
    assert reading.rows.empty
    assert reading.bad.empty


def test_price_targets_are_read_and_nothing_is_made_of_zero() -> None:
    found = read(
        summary(
            entry(currentPriceTarget=250.5, priorPriceTarget=230, priceTargetAction="Raises"),
            entry(firm="UBS", currentPriceTarget=0.0, priorPriceTarget=None),
        )
    ).rows
    assert found["target"].tolist()[0] == 250.5
    assert found["target_before"].tolist()[0] == 230
    assert found[["target", "target_before"]].iloc[1].isna().all()


def test_the_class_of_a_share_is_spelled_as_everywhere() -> None:
    found = admitted("analyst_ratings", read(summary(entry(), symbol="BRK-B")), EVER)
    assert found.rows["symbol"].tolist() == ["BRK.B"]


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "assumed"},
        {"action": ["up"]},
        {"firm": ""},
        {"firm": None},
        {"firm": "\udc00"},
        {"epochGradeDate": None},
        {"epochGradeDate": True},
        {"epochGradeDate": 1e300},
        {"epochGradeDate": "2025-01-31"},
        {"currentPriceTarget": "250"},
    ],
)
def test_a_rating_that_cannot_be_read_is_refused_and_the_history_read_on(changes: dict[str, Any]) -> None:
    reading = read(summary(entry(**changes), entry(), 7, None))
    assert len(reading.rows) == 1
    assert len(reading.bad) == 3


def not_found(code: str) -> bytes:
    return json.dumps({"quoteSummary": {"result": None, "error": {"code": code}}}).encode()


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 200),
        (b"Edge: Too Many Requests", 200),
        (b"<html>", 404),
        (b'{"quoteSummary":null}', 200),
        (b'{"quoteSummary":{"result":[],"error":null}}', 200),
        (b'{"quoteSummary":{"result":[{"history":[]}],"error":null}}', 200),
        (b'{"quoteSummary":{"result":[{"upgradeDowngradeHistory":{"history":{}}}]}}', 200),
        (not_found("Internal"), 404),
        (not_found("Not Found"), 500),
        (b'{"finance":{"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}', 401),
    ],
)
def test_an_answer_that_is_no_history_is_a_changed_layout(content: bytes, status: int) -> None:
    with pytest.raises(LayoutError) as caught:
        read(page(content, url("ABC"), status))
    assert caught.value.page is not None


def test_ten_stocks_that_nobody_rates_are_a_changed_layout() -> None:
    unrated = [page(not_found("Not Found"), url(f"A{n}"), 404) for n in range(10)]
    assert read(*unrated[:9]).rows.empty
    with pytest.raises(LayoutError, match="some of 10 stocks are rated"):
        read(*unrated)
    assert len(read(*unrated, summary(entry())).rows) == 1


def test_pages_of_the_handshake_are_passed_over_and_of_repeated_questions_the_last_counts() -> None:
    pages = (
        page(b"", "https://fc.yahoo.com/", 404),
        page(b"haT3oykhHqZ", "https://query1.finance.yahoo.com/v1/test/getcrumb"),
        page(b'{"finance":{"error":{"code":"Unauthorized"}}}', url("ABC"), 401),
        summary(entry()),
    )
    assert len(read(*pages).rows) == 1


def test_what_the_world_says_comes_back() -> None:
    asked = query()
    found = admitted("analyst_ratings", drive(SOURCE, asked, present(), with_cookie(site.SITE)), asked)
    assert found.refused.empty
    assert_same(found.rows, truth("analyst_ratings", asked), KEYS, COLUMNS)


def test_windows_glued_together_are_the_whole() -> None:
    halves = (query(START, date(2023, 6, 30)), query(date(2023, 7, 1), END))
    parts = []
    for asked in halves:
        asked = replace(asked, options={"symbols": world().table("universe")["symbol"].tolist()[:40]})
        parts.append(admitted("analyst_ratings", drive(SOURCE, asked, present(), with_cookie(site.SITE)), asked).rows)
    expected = truth("analyst_ratings", query())
    expected = expected[expected["symbol"].isin(asked.options["symbols"])]
    assert_same(pd.concat(parts), expected, KEYS, COLUMNS)


def test_nothing_shows_before_it_is_known() -> None:
    now = datetime(2023, 3, 15, 9, 0, tzinfo=calendar.NEW_YORK)
    asked = query(START, date(2023, 3, 15), now)
    found = drive(SOURCE, asked, present(now), with_cookie(site.SITE)).rows
    known = truth("analyst_ratings", asked)["known_at"].dt.tz_localize("UTC") <= pd.Timestamp(now)
    assert len(found) == known.sum()
    assert not known.all()


def served(folder: Path, chosen: Site, *symbols: str) -> tuple[Sandbox, Any]:
    """The rows that the real client gets over HTTP, cookies and all, and the server that served them."""
    calls: list[Call] = []
    site._histories(world())  # made before a client with little patience waits for it

    def answer(shown: Present, call: Call) -> Answer:
        calls.append(call)
        return chosen.answer(shown, call) or Answer(b"", 404)

    sandbox = Sandbox(world(), now=lambda: MORNING_AFTER, site=answer)
    with serving(sandbox) as address:
        asked = provider(folder, address, SOURCE, options={"symbols": list(symbols)})
        return sandbox, (asked.serve(TABLE, START, END), calls)


def test_cookie_and_crumb_are_got_once_and_kept_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yfinance.cache.get_cookie_cache", None)  # a file of the user's
    symbols = truth("analyst_ratings", query())["symbol"].unique()[:3].tolist()
    _, (got, calls) = served(tmp_path, site.SITE, *symbols, "NOBODY")
    assert set(got.rows["symbol"]) == set(symbols)
    paths = [call.path for call in calls]
    assert paths.count("/") == paths.count("/v1/test/getcrumb") == 1
    assert len(calls) == 2 + 4
    crumb = next(call.query["crumb"] for call in calls if "crumb" in call.query)
    kept = b"".join(file.read_bytes() for file in (tmp_path / "captures").rglob("*") if file.is_file())
    assert b"quoteSummary" in kept
    assert crumb.encode() not in kept


def test_a_crumb_that_is_no_longer_taken_is_renewed(tmp_path: Path) -> None:
    refused: list[Call] = []

    def forgetful(shown: Present, call: Call) -> Answer | None:
        if "quoteSummary" in call.path and not refused:
            refused.append(call)
            return Answer(b'{"finance":{"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}', 401)
        return site.SITE.answer(shown, call)

    symbol = str(truth("analyst_ratings", query())["symbol"].iloc[0])
    _, (got, calls) = served(tmp_path, Site(site.SITE.hosts, forgetful), symbol)
    assert set(got.rows["symbol"]) == {symbol}
    assert [call.path for call in calls].count("/v1/test/getcrumb") == 2


def test_a_site_that_takes_no_crumb_at_all_is_named(tmp_path: Path) -> None:
    def closed(shown: Present, call: Call) -> Answer | None:
        return Answer(b"{}", 401) if "quoteSummary" in call.path else site.SITE.answer(shown, call)

    with pytest.raises(SourceError, match="Yahoo answers 401 to a question with cookie and crumb"):
        served(tmp_path, Site(site.SITE.hosts, closed), "ABC")


def test_only_stocks_are_asked_about(tmp_path: Path) -> None:
    listed = pd.DataFrame({"symbol": ["SPY", "BRK.B", "AAPL"], "kind": ["etf", "stock", "stock"]})
    found = drive_symbols(replace(EVER, listed=listed))
    assert found == ["AAPL", "BRK-B"]
    assert drive_symbols(replace(EVER, listed=listed.head(1))) == []


def drive_symbols(asked: Query) -> list[str]:
    calls: list[str] = []

    def answer(shown: Present, call: Call) -> Answer | None:
        if "quoteSummary" in call.path:
            calls.append(call.path.rpartition("/")[2])
        return with_cookie(site.SITE).answer(shown, call)

    drive(SOURCE, asked, present(), Site(site.SITE.hosts, answer))
    return sorted(calls)


def test_the_option_is_a_list_of_symbols() -> None:
    with pytest.raises(LayoutError, match="a list of symbols"):
        drive_symbols(replace(EVER, options={"symbols": "AAPL"}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["up", "main", 1738352759]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries({}, optional=dict.fromkeys([*entry(), "currentPriceTarget"], JSON)) | JSON, max_size=3
    ),
    st.integers(0, 300),
    st.binary(max_size=6),
    st.sampled_from([200, 404]),
)
def test_whatever_comes_is_rows_refused_rows_or_a_changed_layout(
    entries: list[Any], cut: int, dirt: bytes, status: int
) -> None:
    sound = summary(entry()).content
    for content in (summary(*entries).content, sound[:cut] + dirt + sound[cut + 1 :], json.dumps(entries).encode()):
        try:
            reading = read(page(content, url("ABC"), status))
        except LayoutError:
            continue
        admitted("analyst_ratings", reading, EVER)


def test_a_bad_row_names_the_symbol_it_was_about() -> None:
    (bad,) = yahoo_ratings.parse_ratings(summary(entry(firm=""), symbol="XYZ"))
    assert isinstance(bad, Bad)
    assert '"XYZ"' in str(bad.content)
