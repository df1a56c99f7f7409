"""Quiver's website: the recorded pages are understood, the sandbox's tell the world, and nothing else gets through."""

from __future__ import annotations

import doctest
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from functools import cache

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox.sites.quiver import SITE
from pas_dagster.sandbox.sites.site import Call, Present
from pas_dagster.sandbox.world import World
from pas_dagster.schemas import TABLES
from pas_dagster.sources import quiver, quiver_facts
from pas_dagster.sources.border import Admitted, admit
from pas_dagster.sources.disclosures import Amount
from pas_dagster.sources.quiver import CongressTrade, parse_congress_trading, parse_stock_page
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources.driving import drive, page, pages_of

SOURCES: dict[str, Source] = {source.dataset: source for source in quiver.SOURCES}
LAST = date(2024, 12, 31)
NOW = datetime(2024, 12, 31, 20, 30, tzinfo=calendar.NEW_YORK)
PELOSI = "Nancy Pelosi-P000197"
CHALLENGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"


@cache
def world() -> World:
    return World(7, date(2024, 1, 2), LAST)


def query(first: date, last: date = LAST, now: datetime = NOW, **options: object) -> Query:
    return Query(first, last, now, options=options)


def fetched(dataset: str, asked: Query) -> Reading:
    return drive(SOURCES[dataset], asked, Present(world(), asked.now), SITE)


def admitted(dataset: str, asked: Query) -> Admitted:
    return admit(TABLES[dataset], fetched(dataset, asked), asked)


def truth(dataset: str, asked: Query) -> pd.DataFrame:
    rows = world().table(dataset)
    return rows[rows["known_on"].between(pd.Timestamp(asked.first), pd.Timestamp(asked.last))]


def same(found: pd.DataFrame, expected: pd.DataFrame, columns: list[str]) -> None:
    """The same rows in these columns, in any order."""
    assert len(expected)
    left, right = ([tuple(map(str, row)) for row in _plain(frame, columns)] for frame in (found, expected))
    assert Counter(left) == Counter(right)


def _plain(frame: pd.DataFrame, columns: list[str]) -> list[list[object]]:
    kept = frame[columns].astype(object)
    return kept.where(frame[columns].notna(), None).to_numpy().tolist()


def read(dataset: str, content: bytes, first: date = date(2026, 1, 20), kind: str = "recent") -> Reading:
    asked = Query(first, date(2026, 2, 2), datetime(2026, 2, 3, tzinfo=UTC))
    return SOURCES[dataset].read([page(content, "https://www.quiverquant.com/", kind=kind)], asked)


def table(headings: list[str], *rows: list[str], attributes: str = "") -> bytes:
    head = "".join(f"<th>{name}</th>" for name in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<html><body><table {attributes}><tr>{head}</tr>{body}</table></body></html>".encode()


def script(name: str, literal: str) -> bytes:
    return f"<html><script>let a = 1;\n let {name} = {literal};\n</script></html>".encode()


def trade(**other: object) -> list[object]:
    told: dict[str, object] = {
        "ticker": "AAPL",
        "asset": "Apple Inc",
        "type": "ST",
        "transaction": "Purchase",
        "amount": "$1,001 - $15,000",
        "politician": "Ro Khanna",
        "chamber": "House",
        "party": "D",
        "filed": "2026-01-30 00:00:00",
        "traded": "2026-01-15 00:00:00",
        "description": "-",
        "trade_id": "House-K000389-7",
        "excess": 1.5,
        "legal": "Ro Khanna",
        "image": "https://www.congress.gov/img/member/k.jpg",
        "bioguide": "K000389",
    }
    return list((told | other).values())


def trades(*rows: list[object]) -> bytes:
    return script("recentTradesData", repr(list(rows)))


# Recorded pages. The counts were taken from the files with grep.


@pytest.fixture(scope="module")
def recorded_trades() -> list[CongressTrade]:
    return parse_congress_trading(recorded_bytes("quiver/congresstrading_page_2026-02-02.html.gz"))


@pytest.mark.shared
def test_the_recorded_page_of_trades_yields_its_300_rows(recorded_trades: list[CongressTrade]) -> None:
    found = recorded_trades
    assert len(found) == len({one.trade_id for one in found}) == 300
    assert Counter(one.transaction for one in found) == {
        "Sale": 136,
        "Purchase": 127,
        "Sale (Full)": 23,
        "Exchange": 9,
        "Sale (Partial)": 5,
    }
    types = {"ST": 160, "Stock": 80, "GS": 40, "OT": 5, "OP": 4, "HN": 2, "CT": 2, "Other": 2, "CS": 2}
    assert Counter(one.asset_type for one in found) == {**types, "AB": 1, "PS": 1, None: 1}
    seats = {("house", "D"): 143, ("house", "R"): 75, ("senate", "D"): 6, ("senate", "I"): 3, ("senate", "R"): 73}
    assert Counter((one.chamber, one.party) for one in found) == seats
    assert Counter((one.amount.low, one.amount.high) for one in found if one.amount) == {
        (1_001, 15_000): 180,
        (15_001, 50_000): 71,
        (50_001, 100_000): 20,
        (100_001, 250_000): 12,
        (250_001, 500_000): 7,
        (500_001, 1_000_000): 2,
        (1_000_001, 5_000_000): 5,
        (5_000_001, 25_000_000): 2,
        (15, 15): 1,
    }
    assert sum(one.ticker is None for one in found) == 54  # 53 dashes, and GLAS FUNDS
    assert sum(one.excess_return is not None for one in found) == 244
    assert sum(one.description is None for one in found) == 231
    assert sum(one.filed.hour > 0 for one in found) == 82  # the Senate tells the time
    assert all(re.fullmatch(r"[A-Z]\d{6}", one.bioguide_id or "") for one in found)
    assert all(one.image_url and one.legal_name for one in found)


@pytest.mark.shared
def test_all_sixteen_fields_of_a_recorded_trade_are_understood(recorded_trades: list[CongressTrade]) -> None:
    assert recorded_trades[4] == CongressTrade(
        ticker="BRK.B",
        asset="Berkshire Hathaway Cl B",
        asset_type="Stock",
        transaction="Sale (Partial)",
        amount=Amount(100_001, 250_000),
        politician="Tina Smith",
        chamber="senate",
        party="D",
        filed=datetime(2026, 1, 30, 12, 53),  # noqa: DTZ001
        traded=date(2026, 1, 27),
        description=None,
        trade_id="Senate-S001203-40",
        excess_return=2.49582623899321,
        legal_name="Smith, Tina",
        image_url="https://www.congress.gov/img/member/s001203_200.jpg",
        bioguide_id="S001203",
    )


@pytest.mark.shared
def test_dirty_tickers_and_amounts_of_the_recorded_page_keep_their_row(recorded_trades: list[CongressTrade]) -> None:
    by_id = {one.trade_id: one for one in recorded_trades}
    fund = by_id["House-M001222-47"]
    assert (fund.ticker, fund.asset, fund.description) == (
        None,
        "ALPINE INVESTORS IX, LP",
        "CAPITAL CALL OF $1,432.26",
    )
    assert by_id["House-P000197-216"].amount == Amount(15, 15)
    assert by_id["House-B001292-971"].ticker is None
    assert by_id["House-B001292-971"].politician == "Donald S. Beyer, Jr."


@pytest.mark.shared
def test_the_recorded_page_becomes_rows_of_the_table() -> None:
    content = recorded_bytes("quiver/congresstrading_page_2026-02-02.html.gz")
    asked = Query(date(2026, 1, 14), date(2026, 2, 1), datetime(2026, 2, 2, 23, 43, tzinfo=UTC))
    reading = SOURCES["politician_trades"].read([page(content, kind="recent")], asked)
    found = admit(TABLES["politician_trades"], reading, asked)
    assert len(found.refused) == 0
    assert (len(found.rows), found.outside) == (286, 14)
    smith = found.rows.set_index("filing_id").loc["Senate-S001203-40"]
    assert smith["known_at"] == pd.Timestamp("2026-01-30 17:53")
    assert (smith["symbol"], smith["direction"], smith["extent"]) == ("BRK.B", "sell", "partial")
    assert "Donald S. Beyer Jr." in set(found.rows["politician"])
    assert Counter(found.rows["asset_type"])["bond"] >= 42


@pytest.mark.shared
def test_the_recorded_page_of_a_stock_yields_its_624_rows() -> None:
    found = parse_stock_page(recorded_bytes("quiver/congresstrading_stock_NVDA_page_2026-02.html.gz"))
    assert len(found) == len({one.trade_id for one in found}) == 624
    assert {one.ticker for one in found} == {"NVDA"}
    assert Counter(one.chamber for one in found) == {"house": 536, "senate": 88}
    assert Counter(one.party for one in found) == {"D": 395, "R": 228, "I": 1}
    assert sum(one.traded is None for one in found) == 20  # the page says N/A
    assert Amount(15_000, 50_000) in [one.amount for one in found]
    first, last = found[0], found[-1]
    assert (first.trade_id, first.asset, first.asset_type) == (
        "House-P000197-213",
        "NVIDIA CORPORATION - COMMON STOCK",
        "ST",
    )
    assert (first.filed.date(), first.traded, first.amount) == (
        date(2026, 1, 23),
        date(2026, 1, 16),
        Amount(250_001, 500_000),
    )
    assert first.description and first.description.startswith("EXERCISED 50 CALL OPTIONS")
    assert (last.politician, last.bioguide_id, last.filed.date(), last.traded) == (
        "Whitehouse, Sheldon",
        "W000802",
        date(2016, 1, 20),
        date(2016, 1, 5),
    )


@pytest.mark.shared
def test_trades_of_the_recorded_stock_page_without_day_or_bracket_are_refused_one_by_one() -> None:
    content = recorded_bytes("quiver/congresstrading_stock_NVDA_page_2026-02.html.gz")
    found = read("politician_trades", content, kind="stock")
    assert len(found.rows) == 602
    assert Counter(found.bad["reason"]) == {
        "the day of the trade is not known": 20,
        "the amount is no statutory bracket": 2,
    }
    assert "Sheldon Whitehouse" in set(found.rows["politician"])


# The sandbox's pages tell the world

TRADE_COLUMNS = [
    *("known_on", "event_date", "politician", "bioguide_id", "chamber", "party", "symbol", "asset_description"),
    *("asset_type", "direction", "extent", "amount_low", "amount_high", "amount_mid"),
]


def test_trades_come_back_as_the_world_has_them() -> None:
    asked = query(date(2024, 8, 1))
    found = admitted("politician_trades", asked)
    assert found.refused.empty
    same(found.rows, truth("politician_trades", asked), TRADE_COLUMNS)


def test_windows_side_by_side_give_the_rows_of_one_window() -> None:
    whole = admitted("politician_trades", query(date(2024, 8, 1))).rows
    edges = [date(2024, 8, 1), date(2024, 10, 1), date(2024, 11, 15), LAST + timedelta(1)]
    parts = [
        admitted("politician_trades", query(first, after - timedelta(1))).rows
        for first, after in zip(edges, edges[1:], strict=False)
    ]
    glued = pd.concat(parts, ignore_index=True)
    same(glued, whole, ["filing_id", "line", *TRADE_COLUMNS])


def test_a_trade_has_the_same_identifier_on_every_page_and_day() -> None:
    columns = ["filing_id", "line", *TRADE_COLUMNS]
    everything = admitted("politician_trades", query(date(2024, 8, 1))).rows
    earlier = datetime(2024, 11, 29, 20, tzinfo=calendar.NEW_YORK)
    before = admitted("politician_trades", query(date(2024, 8, 1), date(2024, 11, 28), earlier)).rows
    assert {tuple(row) for row in _plain(before, columns)} <= {tuple(row) for row in _plain(everything, columns)}
    by_member = admitted("politician_trades", query(date(2024, 8, 1), members=[PELOSI])).rows
    same(by_member, everything[everything["bioguide_id"] == "P000197"], columns)


def test_pages_of_members_and_stocks_reach_back_to_the_first_trade_and_tell_each_once() -> None:
    asked = query(date(2024, 1, 2), members=[PELOSI], symbols=["XYA"])
    expected = truth("politician_trades", asked)
    theirs = expected[(expected["bioguide_id"] == "P000197") | (expected["symbol"] == "XYA")]
    found = admitted("politician_trades", asked)
    assert found.refused.empty
    same(found.rows, theirs, TRADE_COLUMNS)
    assert len(pages_of(SOURCES["politician_trades"], asked, Present(world(), NOW), SITE)) == 2


@pytest.mark.parametrize("members", [["Nancy Pelosi"], ["../x-P000197"], "Nancy Pelosi-P000197", [1]])
def test_members_that_name_no_page_are_refused(members: object) -> None:
    with pytest.raises(LayoutError, match="the option 'members'"):
        fetched("politician_trades", query(LAST, members=members))


@pytest.mark.parametrize("dataset", ["politician_trades", "lobbying", "gov_contracts", "insider_buying"])
def test_a_window_that_begins_before_the_rows_shown_is_refused(dataset: str) -> None:
    with pytest.raises(LayoutError, match="only reaches back to") as refusal:
        fetched(dataset, query(date(2024, 1, 2)))
    assert refusal.value.page is not None


@pytest.mark.parametrize(
    ("dataset", "first"),
    [
        ("politician_trades", date(2024, 8, 1)),
        ("lobbying", date(2024, 11, 1)),
        ("gov_contracts", date(2024, 12, 15)),
        ("insider_buying", date(2024, 12, 20)),
    ],
)
def test_nothing_shows_before_it_is_known(dataset: str, first: date) -> None:
    now = datetime(2024, 12, 26, 13, tzinfo=calendar.NEW_YORK)
    found = fetched(dataset, query(first, now.date(), now)).rows
    assert max(found["known_on"]) <= now.date()
    assert all(pd.isna(at) or at <= now for at in found.get("known_at", []))


def test_lobbying_of_listed_companies_comes_back_to_the_minute() -> None:
    asked = query(date(2024, 10, 20))
    expected = truth("lobbying", asked)
    expected = expected[expected["symbol"].notna()]
    found = admitted("lobbying", asked)
    assert found.refused.empty
    same(
        found.rows,
        expected.assign(known_at=expected["known_at"].dt.floor("min")),
        ["known_on", "known_at", "symbol", "client", "amount"],
    )
    assert set(found.rows["quarter"]) == {"2024Q3"}  # late ones too: the page does not tell
    assert found.rows["filing_id"].is_unique


def test_contracts_of_listed_companies_come_back() -> None:
    asked = query(date(2024, 12, 20))
    expected = truth("gov_contracts", asked)
    found = admitted("gov_contracts", asked)
    assert found.refused.empty
    columns = ["known_on", "symbol", "recipient", "agency", "amount", "description"]
    same(found.rows, expected[expected["symbol"].notna()], columns)


def test_insiders_come_back_to_the_minute() -> None:
    asked = query(date(2024, 12, 30))
    expected = truth("insider_buying", asked)
    expected = expected[expected["code"].isin(["P", "S", "A", "M", "F"])]
    found = admitted("insider_buying", asked)
    assert found.refused.empty
    same(
        found.rows,
        expected.assign(known_at=expected["known_at"].dt.floor("min")),
        ["known_on", "known_at", "event_date", "symbol", "insider", "code", "direction", "shares", "price"],
    )


def test_scores_interest_and_ratings_are_those_of_today() -> None:
    asked = query(LAST)
    scores, apps = (admitted(dataset, asked).rows for dataset in ("dc_insider_scores", "app_reviews"))
    same(scores, truth("dc_insider_scores", asked), ["known_on", "event_date", "symbol", "score"])
    columns = ["known_on", "event_date", "symbol", "app", "rating", "ratings", "hype"]
    same(apps, truth("app_reviews", asked), columns)
    shown = world().table("google_trends")
    newest = shown[shown["event_date"] == shown["event_date"].max()]
    trends = admitted("google_trends", asked).rows
    same(trends, newest, ["symbol", "interest"])
    assert set(trends["event_date"]) == {pd.Timestamp(LAST)}
    assert trends["keyword"].tolist() == trends["symbol"].tolist()


def test_the_site_turns_away_who_has_no_user_agent() -> None:
    found = SITE.answer(Present(world(), NOW), Call("GET", "www.quiverquant.com", "/congresstrading/"))
    assert found is not None
    assert (found.status, found.headers["cf-mitigated"]) == (403, "challenge")
    assert b"Just a moment" in found.body


def test_the_sandbox_fills_the_script_and_leaves_the_table_empty_like_the_recorded_page() -> None:
    (shown,) = pages_of(SOURCES["politician_trades"], query(LAST), Present(world(), NOW), SITE)
    tables = {grid.name.strip().split()[0]: grid for grid in quiver.grids(shown.content)}
    assert not tables["recentTradesTable"].rows
    assert tables["mostActiveTradersTable"].headings == ("name", "trades", "estimated trade volume")
    rows = quiver.variable(shown.content, "recentTradesData")
    assert rows and len(rows) == 300 and {len(row) for row in rows} == {16}


# Layouts


def test_a_challenge_page_is_named() -> None:
    for source in quiver.SOURCES:
        for status in (200, 403):
            shown = page(CHALLENGE, status=status, kind="recent")
            with pytest.raises(LayoutError, match="blocked by a challenge page"):
                source.read([shown], query(LAST))


def test_a_refusal_without_a_challenge_is_named_with_its_status() -> None:
    with pytest.raises(LayoutError, match="status 403"):
        SOURCES["lobbying"].read([page(b"Forbidden", status=403)], query(LAST))


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"<html><table id='recentTradesTable'><tbody></tbody></table></html>", "sets recentTradesData"),
        (script("newestTrades", "[[1]]"), "sets recentTradesData"),
        (b"", "HTML"),
        (script("recentTradesData", "[]"), "has rows"),
        (trades(["AAPL", "Apple"]), "16 fields"),
        (b"let recentTradesData = [['a', 'b'], ['c'", "ends"),
        (b"let recentTradesData = [['a\n']]", "ends each of its texts"),
        (b"let recentTradesData = [open('x')]", "plain values"),
        (b"let recentTradesData = " + b"[" * 1000 + b"]" * 1000, "nests"),
    ],
)
def test_a_page_without_its_trades_is_no_empty_page(content: bytes, rule: str) -> None:
    with pytest.raises(LayoutError, match=rule):
        parse_congress_trading(content)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"amount": "$7 or so"}, "no statutory bracket"),
        ({"transaction": "gift"}, "transaction 'gift' is not known"),
        ({"filed": "soon"}, "'soon' is no date"),
        ({"chamber": "Cabinet"}, "neither House nor Senate"),
        ({"politician": None}, "the politician is missing"),
        ({"trade_id": 7}, "the trade's id is missing"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_and_the_others_are_read_on(
    broken: dict[str, object], reason: str
) -> None:
    older = {"filed": "2026-01-02 00:00:00", "traded": "2026-01-01 00:00:00"}
    rows = [trade(), trade(**broken), *(trade(trade_id=f"House-K000389-{n}", **older) for n in (1, 2))]
    content = trades(*rows)
    found = read("politician_trades", content)
    assert (len(found.rows), len(found.bad)) == (3, 1)
    assert reason in found.bad["reason"][0]
    assert found.bad["row_number"][0] == 2
    with pytest.raises(LayoutError, match="row 2 must be a trade"):
        parse_congress_trading(content)


def test_texts_of_the_script_may_hold_brackets_quotes_and_words_of_javascript() -> None:
    words = 'O\'Neil "[null]" {NaN} \\ true;'
    assert quiver.variable(script("tradeData", f"[[{words!r}, null, NaN, true, nan]]"), "tradeData") == [
        [words, None, None, True, None]
    ]


def test_trades_in_a_filled_table_are_read_like_those_of_the_script() -> None:
    link = '<a href="../../congresstrading/trade/House-K000389-7">'
    cells = {
        "Traded": "Sept. 5, 2024",
        "Politician": f"{link}<span>Ro Khanna</span><span>House / D</span></a>",
        "Filed": "Feb. 13, 2025, 12:19 p.m.",
        "New column": "-",
        "Stock": f"{link}<span>BRK.B</span><span>Berkshire</span><span>ST</span></a>",
        "Transaction": f"{link}<span>Sale (Full)</span><span>$1,001 - $15,000</span></a>",
    }
    content = table(list(cells), list(cells.values()), attributes='id="recentTradesTable"')
    (found,) = parse_congress_trading(content)
    assert (found.ticker, found.asset, found.asset_type) == ("BRK.B", "Berkshire", "ST")
    assert (found.filed, found.traded) == (datetime(2025, 2, 13, 12, 19), date(2024, 9, 5))  # noqa: DTZ001
    assert (found.bioguide_id, found.chamber, found.trade_id) == ("K000389", "house", "House-K000389-7")


def test_trades_of_a_member_are_known_by_what_their_fields_look_like() -> None:
    row = "['-', '2026-01-20', 'Bond of X', 'Sale (Full)', null, NaN, 'GS', '$1,001 - $15,000', '2026-01-10', 'House']"
    named = "{'Ticker': 'NVDA', 'Filed': 'Jan. 21, 2026', 'Traded': 'Jan. 9, 2026', 'x': 'Purchase', 'y': '$15,001 - $50,000', 'z': 'House-P000197-3'}"  # noqa: E501
    content = script("tradeData", f"[{named}, {row}, {row}, ['AAPL', 'Purchase']]")
    shown = page(content, kind="politician", member=PELOSI)
    asked = Query(date(2026, 1, 1), date(2026, 2, 1), NOW)
    found = SOURCES["politician_trades"].read([shown], asked)
    assert found.rows["symbol"].fillna("-").tolist() == ["NVDA", "-", "-"]
    assert found.rows["known_on"].tolist() == [date(2026, 1, 21), date(2026, 1, 20), date(2026, 1, 20)]
    assert found.rows["filing_id"][0] == "House-P000197-3"
    assert found.rows["filing_id"][1].startswith("quiver-P000197-2026-01-20-")
    assert found.rows["line"].tolist() == [1, 1, 2]
    assert found.rows["asset_type"].tolist() == ["stock", "bond", "bond"]
    assert len(found.bad) == 1


def test_a_time_that_is_midnight_utc_is_the_day_it_was_stored_as() -> None:
    entry = {
        "rptOwnerName": "Huang Jen Hsun",
        "officerTitle": "President and CEO",
        "issuerTradingSymbol": "NVDA",
        "transactionCode": "Sale",
        "transactionShares": 100,
        "transactionPricePerShare": "$140.5",
        "transactionValue": 14050.0,
        "transactionDate": "Jun 20, 2026",
        "fileDate": "Jun 22, 2026 (8:00 PM)",
    }
    older = entry | {"fileDate": "Jun 12, 2026 (4:15 PM)", "transactionCode": "Gift"}
    oldest = entry | {"fileDate": "Jun 11, 2026 (4:15 PM)", "officerTitle": "-", "transactionPricePerShare": None}
    content = script("recentInsiderTransactionsData", repr([entry, older, oldest, oldest]))
    asked = Query(date(2026, 6, 20), date(2026, 6, 24), datetime(2026, 6, 24, tzinfo=UTC))
    found = SOURCES["insider_buying"].read([page(content)], asked)
    first, last, again = found.rows.to_dict("records")
    assert (first["known_on"], first["known_at"] is None or pd.isna(first["known_at"])) == (date(2026, 6, 23), True)
    assert (first["code"], first["direction"], first["price"], first["role"]) == ("S", "sell", 140.5, "officer")
    assert last["known_at"].isoformat() == "2026-06-11T16:15:00-04:00"
    assert (last["line"], again["line"]) == (1, 2)
    assert "transaction 'Gift' is not known" in found.bad["reason"][0]


def seeds() -> list[tuple[str, list[str], list[list[str]], dict[str, object]]]:
    """Plain tables as earlier scrapers of these pages expected them, columns in any order."""
    older = "2026-01-02"
    return [
        (
            "lobbying",
            ["Date", "Client", "Amount", "Ticker"],
            [["2026-01-21", "Boeing", "$90,000", "BA"], *[[older, "x", "-", "F"]] * 2],
            {"symbol": "BA", "client": "Boeing", "amount": 90_000.0, "quarter": "2025Q4"},
        ),
        (
            "gov_contracts",
            ["Value", "Symbol", "Date"],
            [["1,958,000.0", "AKAM", "01/21/2026"], *[["5", "F", older]] * 2],
            {"symbol": "AKAM", "recipient": "AKAM", "amount": 1_958_000.0},
        ),
        (
            "insider_buying",
            ["Exec", "Shares", "Transaction", "Date", "Ticker"],
            [["Smith J", "1,000", "Purchase", "2026-01-21", "BRK.B"], *[["x", "1", "Sale", older, "F"]] * 2],
            {"symbol": "BRK.B", "insider": "Smith J", "shares": 1000.0, "direction": "buy"},
        ),
        ("dc_insider_scores", ["Score", "Date", "Ticker"], [["98", "x", "LMT"]], {"symbol": "LMT", "score": 98.0}),
        ("google_trends", ["Trend Score", "Ticker"], [["77", "GME"]], {"symbol": "GME", "interest": 77.0}),
        (
            "app_reviews",
            ["Hype", "Ticker", "Count", "Rating"],
            [["0.5", "UBER", "1,200", "4.7"]],
            {"symbol": "UBER", "app": "UBER", "rating": 4.7, "ratings": 1200.0, "hype": 0.5},
        ),
    ]


@pytest.mark.parametrize(("dataset", "headings", "rows", "expected"), seeds(), ids=[seed[0] for seed in seeds()])
def test_plain_tables_are_read_by_their_headings(
    dataset: str, headings: list[str], rows: list[list[str]], expected: dict[str, object]
) -> None:
    found = read(dataset, table(headings, *rows)).rows.to_dict("records")[0]
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(("dataset", "headings", "rows", "expected"), seeds(), ids=[seed[0] for seed in seeds()])
def test_a_table_without_a_column_or_rows_is_another_layout(
    dataset: str, headings: list[str], rows: list[list[str]], expected: dict[str, object]
) -> None:
    for content in (table(headings), table(["A", *headings[1:-1], "B"], *rows), b"<p>nothing</p>", b""):
        with pytest.raises(LayoutError):
            read(dataset, content)


def test_a_table_of_lobbying_without_headings_is_known_by_shape() -> None:
    rows = [["AMZN<br>AMAZON.COM", "$90,000", "Feb. 13, 2025, 12:19 p.m."], ["F<br>FORD", "-", "Feb. 1, 2025, noon"]]
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    found = read("lobbying", f"<div class='table-inner'><table>{body}</table></div>".encode(), date(2025, 2, 20)).rows
    assert found["symbol"].tolist() == ["AMZN", "F"]
    assert found["client"].tolist() == ["AMAZON.COM", "FORD"]
    assert found["known_at"][0].isoformat() == "2025-02-13T12:19:00-05:00"
    assert found["quarter"].tolist() == ["2024Q4", "2024Q4"]


def test_a_single_misdated_row_does_not_make_a_page_reach_back() -> None:
    rows = [trade(trade_id=f"House-K000389-{n}", filed=f"2026-01-{30 - n} 00:00:00") for n in range(9)]
    rows[-1] = trade(trade_id="House-K000389-99", filed="2016-01-21 00:00:00", traded="2016-01-02 00:00:00")
    with pytest.raises(LayoutError, match="only reaches back to"):
        read("politician_trades", trades(*rows), first=date(2026, 1, 10))


# Hostile bytes


_NASTY = [b"[", b"'", b"\\", b"</td>", b"-" * 50, b"9" * 30, b"<td>"]


def _seed_pages() -> list[bytes]:
    insider = "{'rptOwnerName': 'A', 'fileDate': 'Jun 22, 2026 (8:00 PM)', 'transactionShares': 1e400}"
    return [
        trades(trade(), trade(amount=float("nan"), party="\ud800", description=b"x")),
        script("tradeData", "[['AAPL', {(1, 2): null}, 'Sale', '2026-01-20'], {'a': 1}]"),
        script("recentInsiderTransactionsData", f"[{insider}, 1, null]"),
        *(table(headings, *rows) for _, headings, rows, _ in seeds()),
    ]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_bytes_make_a_reader_fail_other_than_by_its_rules(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(_seed_pages())))
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 9))] = data.draw(
            st.one_of(st.binary(max_size=6), st.sampled_from(_NASTY))
        )
    shown = bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    for source in quiver.SOURCES:
        for kind in ("recent", "politician", "stock") if source.dataset == "politician_trades" else ("page",):
            try:
                found = source.read([page(shown, kind=kind, member=PELOSI)], query(date(2026, 1, 20)))
            except LayoutError:
                continue
            assert not any(isinstance(value, Bad) for value in found.rows.to_numpy().ravel())


def test_a_script_that_never_ends_is_read_once() -> None:
    for hostile in (b"'a\\" * 200_000, b"[" + b"'x'," * 200_000, b"recentTradesData = " * 100_000, b'"' * 300_000):
        with pytest.raises(LayoutError):
            parse_congress_trading(b"recentTradesData = [" + hostile)


def test_examples_in_the_docstrings_hold() -> None:
    found = doctest.testmod(quiver_facts)
    assert found.attempted >= 8
    assert found.failed == 0
