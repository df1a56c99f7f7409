"""What disclosures mean: owners, directions, days, lines that make no sense, and who the filer is."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping
from datetime import date
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.sources.disclosures import (
    LEGISLATORS,
    Line,
    Members,
    amount,
    asset_type,
    day,
    direction,
    legislators,
    members,
    owner,
    trade,
)
from pas_dagster.sources.source import Bad, LayoutError
from pas_dagster_tests.recorded import recorded, recorded_bytes
from pas_dagster_tests.sources.driving import page

FILED = date(2024, 3, 1)
LINE = Line(1, "02/05/2024", "SP", "AAPL", "Apple Inc.", "ST", "P", "$1,001 - $15,000")


def line(**changes: object) -> Line:
    return Line(**{**vars(LINE), **changes})


def legislator(bioguide: str, first: str, last: str, *terms: dict[str, object], **name: str) -> dict[str, object]:
    return {"id": {"bioguide": bioguide}, "name": {"first": first, "last": last, **name}, "terms": list(terms)}


def term(
    kind: str = "rep", start: int = 2023, state: str = "CA", party: str = "Democrat", **more: object
) -> dict[str, object]:
    end = f"{start + 2}-01-03"
    return {"type": kind, "start": f"{start}-01-03", "end": end, "state": state, "party": party, "district": 1, **more}


def listed(*entries: dict[str, object]) -> Members:
    return members([page(json.dumps(entries).encode(), kind=LEGISLATORS)])


def test_a_line_becomes_a_row_known_on_the_day_of_filing() -> None:
    assert trade(LINE, FILED, {"filing_id": "20031234", "chamber": "house"}) == {
        "known_on": FILED,
        "filing_id": "20031234",
        "chamber": "house",
        "event_date": date(2024, 2, 5),
        "line": 1,
        "owner": "SP",
        "symbol": "AAPL",
        "asset_description": "Apple Inc.",
        "asset_type": "stock",
        "direction": "buy",
        "extent": None,
        "amount_low": 1001,
        "amount_high": 15000,
        "amount_mid": 8000.5,
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"traded": "02/30/2024"}, "is no date"),
        ({"traded": "soon"}, "is no date"),
        ({"traded": "03/02/2024"}, "traded on 2024-03-02, filed on 2024-03-01"),
        ({"traded": "02/05/3024"}, "traded on 3024-02-05"),
        ({"traded": "02/05/0224"}, "traded on 0224-02-05"),
        ({"operation": "gift"}, "operation 'gift' is not known"),
        ({"amount": "$4,450"}, "amount '$4,450' is no statutory bracket"),
        ({"owner": "a friend"}, "owner 'a friend' is not known"),
    ],
)
def test_a_line_that_makes_no_sense_is_kept_with_the_reason(changes: dict[str, str], reason: str) -> None:
    bad = trade(line(**changes), FILED, {})
    assert isinstance(bad, Bad)
    assert reason in bad.reason
    assert isinstance(bad.content, Mapping)
    assert bad.content["symbol"] == "AAPL"


@pytest.mark.parametrize(
    ("text", "meant"),
    [("4/5/2026", date(2026, 4, 5)), (" 12/31/2025 ", date(2025, 12, 31)), ("2026-04-05", None), ("4/5/26", None)],
)
def test_days(text: str, meant: date | None) -> None:
    assert day(text) == meant


@pytest.mark.parametrize(
    ("kind", "description", "meant"),
    [
        ("EF", "Gold Shares", "etf"),
        ("Other Securities", "SPDR S&P 500 ETF", "etf"),
        ("Exchange Traded Fund/Note", "Gold Shares", "etf"),
        ("Stock Option", "Apple Inc.", "option"),
        ("Municipal Security", "State of Ohio", "bond"),
        ("Non-Public Stock", "Some LLC", "other"),
    ],
)
def test_kinds_of_assets_of_both_chambers(kind: str, description: str, meant: str) -> None:
    assert asset_type(kind, description, has_symbol=meant not in ("bond", "other")) == meant


@pytest.mark.shared
def test_every_word_of_recorded_house_reports_is_understood() -> None:
    text = recorded_bytes("congress/house_ptr_transactions_2020_2026.csv.gz").decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 32_676
    assert {owner(row["owner"]) for row in rows} == {"SELF", "SP", "JT", "DC"}
    assert {direction(row["operation_type"]) for row in rows} == {
        *(("buy", None), ("sell", None), ("sell", "partial"), ("exchange", None))
    }
    unknown = Counter(row["amount_range"] for row in rows if amount(row["amount_range"]) is None)
    exact = ("$375,000", "$1,280", "$1,140", "$2,000", "$2,761", "$1,118", "$1,972")
    assert unknown == {"$4,450": 2} | dict.fromkeys(exact, 1)


@pytest.mark.shared
def test_every_word_of_recorded_senate_reports_is_understood() -> None:
    rows = json.loads(recorded_bytes("congress/senate_stock_watcher_all_transactions.json.gz"))
    assert len(rows) == 8_350
    electronic = [row for row in rows if row["asset_type"] != "PDF Disclosed Filing"]
    assert len(electronic) == 8_350 - 463
    assert {owner(row["owner"]) for row in electronic} == {"SELF", "SP", "JT", "DC"}
    assert None not in {direction(row["type"]) for row in electronic}
    assert None not in {amount(row["amount"]) for row in electronic}


@cache
def present_members() -> Members:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries = yaml.load(recorded_bytes("congress/legislators-current.yaml.gz"), loader)
    return listed(*entries)


@pytest.mark.shared
def test_recorded_filers_are_the_members_that_others_take_them_for() -> None:
    from pas_dagster.sources.house import Filing, parse_index

    path = recorded("congress/house_ptr_transactions_2020_2026.csv.gz")
    text = recorded_bytes(f"congress/{path.name}").decode()
    expected = {row["doc_id"]: row["bioguide_id"] for row in csv.DictReader(io.StringIO(text))}
    unknown, agreed = set(), 0
    for year in (2025, 2026):
        for filing in parse_index(recorded_bytes(f"congress/house_clerk_{year}FD.xml.gz"), year):
            assert isinstance(filing, Filing)
            found = present_members().find(
                "house", filing.first, filing.last, filing.filed, filing.seat[:2], int(filing.seat[2:])
            )
            if found["bioguide_id"] is None:
                unknown.add(filing.last)
            elif filing.doc_id in expected:
                agreed += found["bioguide_id"] == expected[filing.doc_id]
                assert found["bioguide_id"] == expected[filing.doc_id]
    assert unknown == {"Greene", "Connolly", "Sherrill", "Green", "Manning", "Waltz"}  # they have left the House
    assert agreed > 150


@pytest.mark.shared
def test_recorded_senators_are_found_by_the_name_of_the_report() -> None:
    from pas_dagster.sources.senate import Listed, _listed

    current = {who.bioguide_id for people in present_members().by_last_name.values() for who in people}
    rows = json.loads(recorded_bytes("congress/senate_stock_watcher_all_daily_summaries.json.gz"))
    found = 0
    for row in rows:
        link = row["ptr_link"].removeprefix("https://efdsearch.senate.gov")
        anchor = f'<a href="{link}" target="_blank">Periodic Transaction Report</a>'
        report = _listed([row["first_name"], row["last_name"], row["office"], anchor, row["date_recieved"]])
        assert isinstance(report, Listed)
        if row["bioguide"] in current:
            who = present_members().find("senate", report.given, report.last, report.filed)
            assert who["bioguide_id"] == row["bioguide"]
            found += 1
    assert found == 772


def test_a_member_is_found_by_any_of_the_first_names() -> None:
    known = listed(legislator("C000001", "Earl", "Carter", term(state="GA"), nickname="Buddy", middle="L."))
    for first in ("Buddy", "Earl Leroy", "EARL", "Hon. Earl"):
        assert known.find("house", first, "CARTER", FILED, "GA", 7)["bioguide_id"] == "C000001"
    assert known.find("house", "John", "Carter", FILED, "GA", 7)["bioguide_id"] is None


def test_accents_suffixes_and_double_names_make_no_difference() -> None:
    known = listed(
        legislator("B000001", "Nanette", "Barragán", term()),
        legislator("D000001", "April", "McClain Delaney", term(state="MD")),
    )
    assert known.find("house", "Nanette", "Barragan, Jr.", FILED)["bioguide_id"] == "B000001"
    assert known.find("house", "April McClain", "Delaney", FILED)["bioguide_id"] == "D000001"


def test_the_holder_of_the_seat_is_found_under_another_first_name() -> None:
    known = listed(legislator("F000001", "Lizzie", "Fletcher", term(state="TX", district=7)))
    assert known.find("house", "Elizabeth", "Fletcher", FILED, "TX", 7)["bioguide_id"] == "F000001"
    assert known.find("house", "Elizabeth", "Fletcher", FILED, "TX", 8)["bioguide_id"] is None
    assert known.find("house", "Elizabeth", "Fletcher", FILED)["bioguide_id"] is None


def test_nobody_is_taken_where_two_fit() -> None:
    two = (legislator("S000001", "Adam", "Smith", term()), legislator("S000002", "Adrian", "Smith", term(district=2)))
    known = listed(*two)
    assert known.find("house", "Ad", "Smith", FILED, "CA")["bioguide_id"] is None
    assert known.find("house", "Ad", "Smith", FILED, "CA", 2)["bioguide_id"] == "S000002"


def test_chamber_state_and_time_of_the_seat_count() -> None:
    known = listed(legislator("M000001", "Mike", "Moss", term(start=2019), term("sen", 2021, "OR", "Independent")))
    assert known.find("house", "Mike", "Moss", date(2020, 5, 1)) == {
        "bioguide_id": "M000001",
        "party": "D",
        "state": "CA",
    }
    assert known.find("senate", "Mike", "Moss", date(2021, 5, 1))["state"] == "OR"
    assert known.find("senate", "Mike", "Moss", date(2021, 5, 1))["party"] == "I"
    assert known.find("senate", "Mike", "Moss", date(2020, 5, 1))["bioguide_id"] is None
    assert known.find("house", "Mike", "Moss", date(2021, 3, 1))["bioguide_id"] == "M000001"  # a late report
    assert known.find("house", "Mike", "Moss", date(2023, 3, 1))["bioguide_id"] is None
    assert known.find("house", "Mike", "Moss", date(2020, 5, 1), "TX")["bioguide_id"] is None


def test_the_party_is_that_of_the_day() -> None:
    changed = [{"start": "2019-01-03", "party": "Democrat"}, {"start": "2019-12-19", "party": "Republican"}]
    known = listed(legislator("V000001", "Jeff", "Van Drew", term(start=2019, party_affiliations=changed)))
    parties = [known.find("house", "Jefferson", "Van Drew", on)["party"] for on in (date(2019, 6, 1), date(2020, 6, 1))]
    assert parties == ["D", "R"]


def test_both_lists_of_legislators_are_asked_for() -> None:
    base = "https://unitedstates.github.io/congress-legislators/legislators-"
    assert [request.url for request in legislators()] == [f"{base}current.json", f"{base}historical.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"{}",
        b"[1]",
        b'[{"id": {}}]',
        b'[{"id": {"bioguide": "A"}, "name": {}, "terms": 1}]',
        b"[" * 9999,
    ],
)
def test_what_is_no_list_of_legislators_is_a_changed_layout(content: bytes) -> None:
    with pytest.raises(LayoutError) as error:
        members([page(content, kind=LEGISLATORS)])
    assert error.value.page is not None


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=4
)


@settings(max_examples=100, deadline=None)
@given(path=st.sampled_from(["id", "name", "terms", "first", "last", "bioguide", "type", "end", "start"]), value=values)
def test_a_hostile_list_is_read_or_is_a_changed_layout(path: str, value: object) -> None:
    entry = json.loads(json.dumps(legislator("S000001", "Adam", "Smith", term())))
    for part in (entry, entry["id"], entry["name"], entry["terms"][0]):
        if path in part:
            part[path] = value
    try:
        listed(entry).find("house", "Adam", "Smith", FILED)
    except LayoutError as error:
        assert str(error)
