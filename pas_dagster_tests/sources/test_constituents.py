"""The universe: members of now and dated changes become who was a member when, the same for any cut of the days."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox.sites import constituents as site
from pas_dagster.sandbox.sites import ishares as fund_site
from pas_dagster.sandbox.sites.site import Call
from pas_dagster.sources import constituents, ishares, wikipedia_lists
from pas_dagster.sources.source import LayoutError, Query, Reading, Source, collect
from pas_dagster.sources.wikipedia_lists import Change
from pas_dagster.strategies.leveraged_sector_momentum import EXPOSURES
from pas_dagster.strategies.sector_risk_parity import SECTORS
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources.driving import drive, page
from pas_dagster_tests.sources.markets import END, START, admitted, assert_same, present, query, truth, world

BY_NAME: dict[str, Source] = {source.name: source for source in constituents.SOURCES}
SITES = (site.SITE, fund_site.SITE)
KEYS = ["known_on", "symbol", "index_name", "action"]
HEADER = (
    "Symbol",
    "Security",
    "GICS Sector",
    "GICS Sub-Industry",
    "Headquarters Location",
    "Date added",
    "CIK",
    "Founded",
)


def article(members: Iterable[Sequence[str]], changes: Iterable[Sequence[str]]) -> bytes:
    """A page in Wikipedia's layout: members are symbol, name, sector; changes day, two joining, two leaving, reason."""
    listed = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in members)
    changed = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in changes)
    return (
        "<html><body><table class='wikitable sortable' id='constituents'>"
        f"<tr>{''.join(f'<th>{name}</th>' for name in HEADER)}</tr>{listed}</table>"
        "<table class='wikitable sortable' id='changes'><tr><th rowspan='2'>Date</th><th colspan='2'>Added</th>"
        "<th colspan='2'>Removed</th><th rowspan='2'>Reason</th></tr><tr><th>Ticker</th><th>Security</th>"
        f"<th>Ticker</th><th>Security</th></tr>{changed}</table></body></html>"
    ).encode()


def read(content: bytes, first: date, last: date, now: datetime, **options: object) -> Reading:
    asked = Query(first, last, now, options={"funds": ["SPY"], **options})
    return constituents.read([page(content, kind="sp500")], asked)


def members_on(rows: pd.DataFrame, day: date) -> set[str]:
    known = rows[pd.to_datetime(rows["known_on"]) <= pd.Timestamp(day)].sort_values(
        ["known_on", "action"], ascending=[True, False]
    )
    last = known.drop_duplicates("symbol", keep="last")
    return set(last.loc[last["action"] == "add", "symbol"])


@pytest.mark.shared
@pytest.mark.parametrize("start", [date(2019, 1, 2), date(2020, 7, 1), date(2023, 3, 1), date(2025, 7, 2)])
def test_taking_back_the_recorded_changes_gives_the_members_of_the_time(start: date) -> None:
    """Oracle: fja05680's spans of membership, which were put together without undoing, up to 2025-07-09."""
    spans = list(csv.DictReader(io.StringIO(recorded_bytes("constituents/sp500_ticker_start_end.csv").decode())))
    told = list(csv.DictReader(io.StringIO(recorded_bytes("constituents/sp500_changes_since_2019.csv").decode())))
    present_members = [(row["ticker"], row["ticker"], "Sector") for row in spans if not row["end_date"]]
    lines = []
    for row in told:
        added, removed = (list(filter(None, row[side].split(","))) for side in ("add", "remove"))
        day = date.fromisoformat(row["date"])
        for at in range(max(len(added), len(removed))):
            sides = [(side[at], side[at]) if at < len(side) else ("", "") for side in (added, removed)]
            lines.append([f"{day:%B} {day.day}, {day.year}", *sides[0], *sides[1], "change"])
    now = datetime(2025, 7, 15, 12, tzinfo=UTC)
    reading = read(article(present_members, lines), start, date(2025, 7, 14), now, start=start)
    assert reading.bad.empty
    rows = reading.rows[reading.rows["index_name"] == "S&P 500"]
    for day in (start, date(2025, 7, 8), date(2025, 7, 14)):
        expected = {r["ticker"] for r in spans if r["start_date"] <= str(day) and not "" < r["end_date"] <= str(day)}
        assert members_on(rows, day) == expected


@pytest.mark.shared
def test_the_recorded_file_of_datahub_has_503_members() -> None:
    rows = collect([page(recorded_bytes("constituents/sp500_current_2026-08.csv"))], constituents.parse_datahub).rows
    assert len(rows) == rows["symbol"].nunique() == 503
    told = rows.set_index("symbol").loc["BF.B", ["name", "kind", "sector"]].tolist()
    assert told == ["Brown–Forman", "stock", "Consumer Staples"]


@pytest.mark.shared
def test_the_recorded_holdings_have_1916_listed_equities() -> None:
    """Of 1,924 equities 1,155 trade on NASDAQ, 725 on NYSE, 36 on NYSE American; 8 rights and escrows do not."""
    reading = collect([page(recorded_bytes("constituents/ishares_IWM_holdings_raw_2026-05-05.csv.gz"))], ishares.parse)
    assert reading.bad.empty
    assert len(reading.rows) == reading.rows["symbol"].nunique() == 1916
    assert reading.rows.iloc[0][["symbol", "name", "sector"]].tolist() == [
        "BE",
        "BLOOM ENERGY CLASS A CORP",
        "Industrials",
    ]
    assert {"MOG.A", "CRD.A", "GEF.B", "RUSHA"} <= set(reading.rows["symbol"])
    assert not {"RTYM6", "USD", "XTSLA", "-", "INH", "ADRO", "P5N994"} & set(reading.rows["symbol"])
    assert reading.rows["sector"].eq("Communication Services").any()


def test_the_sandbox_comes_back_as_the_world_has_it() -> None:
    wanted = query()
    found = admitted("universe", drive(BY_NAME["constituents"], wanted, present(), *SITES), wanted)
    assert found.refused.empty
    expected = truth("universe", query())
    assert_same(found.rows, expected, [*KEYS, "event_date"], ["kind"])
    stocks = found.rows[found.rows["kind"] == "stock"]
    assert_same(stocks, expected[expected["kind"] == "stock"], KEYS, ["name"])
    left = set(expected.loc[expected["action"] == "remove", "symbol"])
    stays = stocks[~stocks["symbol"].isin(left)]  # the article does not tell the sector of former members
    assert_same(stays, expected[~expected["symbol"].isin(left) & (expected["kind"] == "stock")], KEYS, ["sector"])


def test_an_article_without_dated_changes_says_who_is_a_member_now() -> None:
    wanted = query(date(2023, 12, 28), date(2023, 12, 28), datetime(2023, 12, 29, 7, tzinfo=calendar.NEW_YORK))
    path = "/wiki/List_of_S&P_400_companies"
    shown = site.answer(present(wanted.now), Call("GET", "en.wikipedia.org", path, headers={"user-agent": "us"}))
    assert shown is not None
    rows = constituents.read([page(shown.body.replace(b'id="changes"', b'id="other"'), kind="sp400")], wanted).rows
    stocks = rows[rows["index_name"] == "S&P 400"]
    assert set(stocks["known_on"]) == {wanted.last} and set(stocks["action"]) == {"add"}
    dated = constituents.read([page(shown.body, kind="sp400")], wanted).rows
    assert START in set(dated.loc[dated["index_name"] == "S&P 400", "known_on"])


def test_windows_glued_together_are_the_whole_whenever_they_are_asked() -> None:
    cuts = [START, date(2022, 7, 5), date(2023, 1, 3), date(2023, 9, 1), END]
    parts = []
    for first, last in zip(cuts, cuts[1:], strict=False):
        begin = first if first == START else date.fromordinal(first.toordinal() + 1)
        now = datetime(last.year, last.month, last.day, 20, tzinfo=calendar.NEW_YORK)
        wanted = query(begin, last, now)
        found = admitted("universe", drive(BY_NAME["constituents"], wanted, present(now), *SITES), wanted).rows
        assert (found["known_on"] <= pd.Timestamp(last)).all()
        parts.append(found)
    assert_same(pd.concat(parts), truth("universe", query()), [*KEYS, "event_date"], ["kind"])


def test_lists_of_the_present_are_changes_against_what_is_stored() -> None:
    day = date(2023, 12, 28)
    now = datetime(2023, 12, 29, 7, tzinfo=calendar.NEW_YORK)  # the morning after the window
    wanted = query(day, day, now, indices=["russell2000"])
    first = admitted("universe", drive(BY_NAME["constituents"], wanted, present(now), *SITES), wanted)
    assert first.refused.empty
    sizes = first.rows["index_name"].value_counts()
    assert sizes.to_dict() == {"Russell 2000": len(site.present_members(present(now), "S&P 600"))}
    assert (first.rows["known_on"] == pd.Timestamp(day)).all()
    lost = first.rows["symbol"].iloc[0]
    stored = first.rows[first.rows["symbol"] != lost].assign(provider="constituents")
    stored = pd.concat([stored, stored.iloc[[0]].assign(symbol="GONE", index_name="Russell 2000")])
    again = Query(day, day, now, wanted.listed, stored, wanted.options)
    rows = drive(BY_NAME["constituents"], again, present(now), *SITES).rows
    told = rows[rows["index_name"] != "ETF"][["symbol", "index_name", "action"]].to_numpy().tolist()
    indexes = first.rows.loc[first.rows["symbol"] == lost, "index_name"]
    assert sorted(told) == sorted([["GONE", "Russell 2000", "remove"], *([lost, index, "add"] for index in indexes)])


def test_a_list_of_the_present_says_nothing_of_an_older_window() -> None:
    wanted = query(date(2023, 1, 3), date(2023, 6, 30), indices=["russell2000"])
    rows = drive(BY_NAME["constituents"], wanted, present(), *SITES).rows
    assert set(rows["index_name"]) == {"ETF"}


def test_datahub_gives_the_same_members_as_wikipedia() -> None:
    wanted = query(END, END, datetime(2024, 12, 31, 20, tzinfo=calendar.NEW_YORK), start=END, indices=["sp500"])
    shown = present(wanted.now)
    one, other = (drive(BY_NAME[name], wanted, shown, *SITES).rows for name in ("datahub", "constituents"))
    assert_same(one, other, KEYS, ["name", "sector", "kind"])


def test_the_default_funds_are_those_the_strategies_trade() -> None:
    assert {*EXPOSURES, *SECTORS} <= set(constituents.FUNDS)
    funds = world().table("universe").query("kind == 'etf'")["symbol"]
    assert set(constituents.FUNDS) == set(funds)


def test_a_fund_that_is_named_later_joins_then() -> None:
    stored = read(
        article([("A", "A", "S")], [("March 1, 2020", "A", "A", "", "", "")]), START, START, present().now
    ).rows
    asked = Query(
        date(2024, 3, 4),
        date(2024, 3, 5),
        present().now,
        stored=stored,
        options={"funds": ["SPY", "QQQ"], "start": START},
    )
    content = article([("A", "A", "S")], [("March 1, 2020", "A", "A", "", "", "")])
    rows = constituents.read([page(content, kind="sp500")], asked).rows
    joined = rows[(rows["index_name"] == "ETF")][["symbol", "known_on", "action", "name"]].to_numpy().tolist()
    assert joined == [["QQQ", date(2024, 3, 5), "add", "Invesco QQQ Trust"]]


def test_spans_footnotes_and_other_names_of_columns_are_understood() -> None:
    content = (
        b"<html><table class='wikitable'><tr><th>Ticker symbol</th><th>GICS Sector[3]</th><th>Company</th></tr>"
        b"<tr><td>AAA\n</td><td rowspan='2'>Energy</td><td>Alpha <sup>[1]</sup></td></tr>"
        b"<tr><td>BRK-B</td><td>Beta</td></tr></table>"
        b"<table class='wikitable'><tr><th rowspan=2>Effective Date</th><th colspan=2>Added</th><th colspan=2>Removed"
        b"</th></tr><tr><th>Ticker</th><th>Security</th><th>Ticker</th><th>Security</th></tr>"
        b"<tr><td rowspan=2>May 8, 2023</td><td>AAA</td><td>Alpha</td><td>OLD</td><td>Old Inc</td></tr>"
        b"<tr><td></td><td></td><td>ELD</td><td>Elder Inc</td></tr></table></html>"
    )
    members = list(wikipedia_lists.parse_members(page(content)))
    assert members == [
        {"symbol": "AAA", "name": "Alpha", "kind": "stock", "sector": "Energy"},
        {"symbol": "BRK-B", "name": "Beta", "kind": "stock", "sector": "Energy"},
    ]
    assert list(wikipedia_lists.parse_changes(page(content))) == [
        Change(date(2023, 5, 8), ("AAA", "Alpha"), ("OLD", "Old Inc")),
        Change(date(2023, 5, 8), None, ("ELD", "Elder Inc")),
    ]


def test_a_change_that_the_members_contradict_is_refused_in_its_window_only() -> None:
    """Added as FB, listed as META since: when it became META the page does not say."""
    content = article([("META", "Meta", "S")], [("June 6, 2022", "FB", "Facebook", "", "", "")])
    now = datetime(2024, 1, 2, 12, tzinfo=UTC)
    inside = read(content, date(2022, 6, 1), date(2022, 6, 30), now, start=START)
    assert inside.bad["reason"].tolist() == ["FB cannot join: the list contradicts it"]
    assert members_on(inside.rows, date(2023, 1, 1)) == {"META", "SPY"}
    assert read(content, date(2022, 7, 1), date(2022, 7, 30), now, start=START).bad.empty


def test_a_change_announced_for_later_has_not_happened_and_one_on_a_holiday_waits() -> None:
    changes = [("January 9, 2024", "NEW", "New", "AAA", "Alpha", ""), ("December 25, 2023", "AAA", "Alpha", "", "", "")]
    content = article([("AAA", "Alpha", "S")], changes)
    rows = read(content, START, date(2024, 1, 3), datetime(2024, 1, 3, 20, tzinfo=UTC), start=START).rows
    told = rows[rows["symbol"] == "AAA"][["known_on", "event_date"]].to_numpy().tolist()
    assert told == [[date(2023, 12, 26), date(2023, 12, 25)]]
    assert "NEW" not in set(rows["symbol"])


def test_unreadable_lines_are_refused() -> None:
    changes = [
        ("soon", "AAA", "A", "", "", ""),
        ("May 8, 2023", "", "", "", "", ""),
        ("May 8, 2023", "AAA", "A", "", "", ""),
    ]
    reading = read(article([("AAA", "A", "S"), ("", "B", "S")], changes), START, START, present().now)
    assert sorted(reading.bad["reason"]) == [
        "a change has a day and a ticker that joins or leaves",
        "a change has a day and a ticker that joins or leaves",
        "a member has a symbol, a name and a sector",
    ]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "HTML"),
        (b"<html>Too many requests</html>", "table of members"),
        (article([], [("May 8, 2023", "A", "A", "", "", "")]), "table of members"),
        (article([("A", "A", "S")], []), "table of changes"),
    ],
)
def test_what_is_no_article_of_members_breaks_a_named_rule(content: bytes, rule: str) -> None:
    with pytest.raises(LayoutError, match=rule):
        read(content, START, END, present().now)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"<!DOCTYPE html><html></html>", "begins with Ticker"),
        (b"\xff\xfe\x00", "CSV text"),
        (b"Ticker,Name,Sector,Asset Class,Exchange\nUSD,CASH,-,Cash,-\n", "holds equities"),
    ],
)
def test_what_is_no_file_of_holdings_breaks_a_named_rule(content: bytes, rule: str) -> None:
    with pytest.raises(LayoutError, match=rule):
        collect([page(content)], ishares.parse)


@pytest.mark.parametrize("content", [b"", b"<html>", b"Symbol,Security,GICS Sector\n", b"\xff"])
def test_what_is_no_file_of_datahub_breaks_a_rule(content: bytes) -> None:
    with pytest.raises(LayoutError):
        collect([page(content)], constituents.parse_datahub)


def test_wikipedia_turns_away_clients_without_a_name() -> None:
    for agent, status in (("python-requests/2.32", 403), ("PortfolioAllocationSystem/0.1", 200)):
        call = Call("GET", "en.wikipedia.org", "/wiki/List_of_S&P_500_companies", headers={"user-agent": agent})
        answer = site.answer(present(), call)
        assert answer is not None
        assert answer.status == status


def test_an_unknown_index_is_a_mistake_of_the_settings() -> None:
    with pytest.raises(LayoutError, match="`indices` names 'nasdaq'"):
        drive(BY_NAME["constituents"], query(indices=["nasdaq"]), present(), *SITES)


_WHOLE = article([("AAA", "A", "S"), ("BBB", "B", "S")], [("May 8, 2023", "AAA", "A", "OLD", "O", "")])
_HOLDINGS = b'Ticker,Name,Sector,Asset Class,Exchange\n"AAA","A","S","Equity","NASDAQ"\n\n'
_LISTED = b"Symbol,Security,GICS Sector\nAAA,A,S\n"


@settings(max_examples=150, deadline=None)
@given(
    cut=st.integers(0, 800), junk=st.binary(max_size=8) | st.sampled_from([b"<td rowspan=999999>", b"<table>", b'"'])
)
def test_damaged_bytes_never_crash(cut: int, junk: bytes) -> None:
    asked = Query(START, END, present().now, options={"start": START})
    for whole, parse in (
        (_WHOLE, lambda one: constituents.read([one], asked)),
        (_HOLDINGS, lambda one: collect([one], ishares.parse)),
        (_LISTED, lambda one: constituents.read_datahub([one], asked)),
    ):
        at = cut % (len(whole) + 1)
        for content in (whole[:at] + junk, whole[:at] + junk + whole[at:], whole[:at] + junk + whole[at + len(junk) :]):
            try:
                parse(page(content, kind="sp500"))
            except LayoutError as error:
                assert error.page is not None


def test_a_table_of_spanning_cells_stays_small() -> None:
    cells = "<td rowspan=9999 colspan=9999>x</td>" * 50
    content = f"<table class=wikitable><tr><th>Symbol</th></tr><tr>{cells}</tr><tr>{cells}</tr></table>".encode()
    with pytest.raises(LayoutError):
        list(wikipedia_lists.parse_members(page(content)))
