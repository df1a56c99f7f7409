"""Lobbying reports: the recorded answer, the sandbox's site there and back, and everything that can be wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.sandbox.sites.lda import SITE
from pas_dagster.sandbox.sites.site import Call, Present
from pas_dagster.schemas import TABLES
from pas_dagster.sources.border import admit
from pas_dagster.sources.companies import Names
from pas_dagster.sources.lda import SOURCES, parse_filings
from pas_dagster.sources.page import Page
from pas_dagster.sources.source import Bad, LayoutError, Query
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources.driving import drive, page, pages_of
from pas_dagster_tests.sources.federal import END, JSON_VALUES, NOW, START, listed, spoiled, without_provenance, world

(LDA,) = SOURCES
NAMES = Names(
    pd.DataFrame([("LMT", "LOCKHEED MARTIN CORP"), ("BA", "BOEING CO")], columns=["symbol", "name"]),
)
FILING: Mapping[str, Any] = {
    "filing_uuid": "u1",
    "filing_type": "Q1",
    "filing_year": 2026,
    "filing_period": "first_quarter",
    "income": "50000.00",
    "expenses": None,
    "dt_posted": "2026-04-20T23:30:00-04:00",
    "registrant": {"name": "PENN AVENUE PARTNERS"},
    "client": {"name": "LOCKHEED MARTIN CORPORATION", "client_self_select": None},
}


def answered(*filings: Mapping[str, Any], count: int | None = None, client: str = "") -> Page:
    content = {"count": len(filings) if count is None else count, "next": None, "previous": None, "results": filings}
    return page(json.dumps(content).encode(), kind="filings", client=client)


def parsed(**changes: Any) -> dict[str, Any] | Bad:
    (row,) = parse_filings(answered({**FILING, **changes}), NAMES)
    return row  # type: ignore[return-value]


def query(first: date = START, last: date = END, **options: Any) -> Query:
    return Query(first, last, NOW, listed(), options=options)


def expected(first: date = START, last: date = END) -> pd.DataFrame:
    table = world().table("lobbying")
    return table[table["known_on"].between(pd.Timestamp(first), pd.Timestamp(last))]


def fetched(asked: Query, now: datetime = NOW) -> pd.DataFrame:
    """What the border lets in, and that it lets in all."""
    admitted = admit(TABLES["lobbying"], drive(LDA, asked, Present(world(), now), SITE), asked)
    assert admitted.refused.empty
    return admitted.rows


def assert_same(rows: pd.DataFrame, table: pd.DataFrame) -> None:
    given = without_provenance(rows, "filing_id")[list(table.columns)]
    pd.testing.assert_frame_equal(given, without_provenance(table, "filing_id"), check_dtype=False)


@pytest.mark.shared
def test_the_recorded_answer_gives_a_firms_income_and_a_companys_own_expenses() -> None:
    content = recorded_bytes("lda/filings_2026_page1_2of3.json")
    firm, own = parse_filings(page(content, kind="filings"), NAMES)
    assert firm == {
        "known_at": datetime(2026, 4, 2, 20, 20, 15, tzinfo=UTC),
        "event_date": date(2026, 3, 31),
        "filing_id": "dedc9bd7-5168-4cad-8973-aece07645b9f",
        "symbol": "LMT",
        "client": "LOCKHEED MARTIN CORPORATION",
        "registrant": "PENN AVENUE PARTNERS",
        "quarter": "2026Q1",
        "amount": 50_000.0,
        "amendment": False,
    }
    assert isinstance(own, dict)
    assert (own["symbol"], own["registrant"], own["amount"]) == ("BA", "BOEING COMPANY", 2_450_000.0)


@pytest.mark.shared
def test_an_answer_with_fewer_filings_than_it_counts_is_not_read() -> None:
    content = recorded_bytes("lda/filings_2026_page1_2of3.json")  # cut to 2 of 53,822
    with pytest.raises(LayoutError, match="all 53,822 filings that are counted, not 2"):
        LDA.read([page(content, kind="filings")], query())


def test_all_reports_of_a_world_come_back_as_they_are() -> None:
    rows = fetched(query())
    assert_same(rows, expected())
    assert len(rows) > 900
    assert rows["symbol"].nunique() > 80
    assert rows["symbol"].isna().any()
    assert rows["amount"].isna().any()
    assert rows["amendment"].any()
    assert (rows["registrant"] == rows["client"]).any()


def test_windows_glued_together_are_the_whole() -> None:
    cuts = [START, date(2024, 4, 19), date(2024, 4, 20), date(2024, 7, 1), date(2025, 1, 1)]
    parts = [fetched(query(a, b - timedelta(1))) for a, b in zip(cuts, cuts[1:], strict=False)]
    assert_same(pd.concat(parts, ignore_index=True), expected())


def test_a_report_shows_from_the_moment_it_is_posted() -> None:
    now = datetime(2024, 7, 18, 15, 30, tzinfo=UTC)
    rows = fetched(replace(query(last=date(2024, 7, 18)), now=now), now)
    table = expected()
    assert_same(rows, table[table["known_at"] <= pd.Timestamp("2024-07-18 15:30")])
    assert (rows["known_on"] == pd.Timestamp("2024-07-18")).any()


def test_after_the_first_page_all_others_are_asked_for_at_once() -> None:
    assert LDA.walk is not None
    walk = LDA.walk(query())
    (first,) = next(walk)
    assert first.url == (
        "https://lda.senate.gov/api/v1/filings/?filing_dt_posted_after=2024-01-02&filing_dt_posted_before=2025-01-01"
        "&ordering=dt_posted&page_size=25&page=1"
    )
    assert first.auth == "lda"
    others = walk.send([answered(*[FILING] * 25, count=76)])
    assert [request.url.rpartition("=")[2] for request in others] == ["2", "3", "4"]
    with pytest.raises(StopIteration):
        walk.send([answered(FILING) for _ in others])


def test_nothing_posted_is_no_fault() -> None:
    christmas = query(date(2024, 12, 25), date(2024, 12, 25))
    pages = pages_of(LDA, christmas, Present(world(), NOW), SITE)
    assert json.loads(pages[0].content)["count"] == 0
    assert LDA.read(pages, christmas).rows.empty


def test_clients_can_be_asked_for_by_name() -> None:
    wanted = expected().dropna(subset="symbol")["client"].drop_duplicates().head(2).tolist()
    assert_same(fetched(query(clients=wanted)), expected()[expected()["client"].isin(wanted)])
    assert_same(fetched(query(clients=wanted[0])), expected()[expected()["client"] == wanted[0]])


def test_a_page_that_has_gone_while_paging_is_no_fault() -> None:
    gone = Page(answered().request, 404, "https://lda.senate.gov/", b'{"detail":"Invalid page."}', NOW)
    assert len(LDA.read([answered(FILING, count=1), gone], query()).rows) == 1


def test_a_filing_on_two_pages_does_not_stand_for_a_missing_one() -> None:
    with pytest.raises(LayoutError, match="must hold all 3 filings") as caught:
        LDA.read([answered(FILING, {**FILING, "filing_uuid": "u2"}, count=3), answered(FILING, count=3)], query())
    assert caught.value.page is not None


@pytest.mark.parametrize(
    ("kind", "amendment"),
    [("Q1", False), ("Q4Y", False), ("1T", False), ("2TY", False), ("3A", True), ("4AY", True), ("1@", True)],
)
def test_every_kind_of_quarterly_report_is_read(kind: str, amendment: bool) -> None:
    row = parsed(filing_type=kind)
    assert isinstance(row, dict)
    assert row["amendment"] is amendment


@pytest.mark.parametrize("kind", ["RR", "RA"])
def test_registrations_are_neither_rows_nor_faults(kind: str) -> None:
    assert list(parse_filings(answered({**FILING, "filing_type": kind}), NAMES)) == []


@pytest.mark.parametrize(
    ("changes", "amount"),
    [
        ({"income": None}, None),
        ({"income": None, "expenses": "20000.00"}, 20_000.0),
        ({"income": "30000.00", "expenses": "20000.00"}, 30_000.0),
        ({"income": 30000, "expenses": None}, 30_000.0),
        ({"income": "30000.00", "expenses": "20000.00", "client": {"name": "Penn Avenue partners"}}, 20_000.0),
        ({"income": "1.00", "expenses": "2.00", "client": {"name": "X", "client_self_select": True}}, 2.0),
    ],
)
def test_income_and_expenses_are_never_added(changes: dict[str, Any], amount: float | None) -> None:
    row = parsed(**changes)
    assert isinstance(row, dict)
    assert row["amount"] == amount


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"filing_type": "MM"}, "filing_type MM reports a half-year, which is no quarter"),
        ({"filing_type": "LD9"}, "filing_type 'LD9' is unknown"),
        ({"filing_type": None}, "filing_type is missing"),
        ({"filing_period": "mid_year"}, "filing_period 'mid_year' is no quarter"),
        ({"filing_period": ["x"]}, r"filing_period \['x'\] is no quarter"),
        ({"filing_year": "2026"}, "filing_year '2026' is no year"),
        ({"filing_year": 99999}, "filing_year 99999 is no year"),
        ({"income": "n.a."}, "income 'n.a.' is not a number"),
        ({"income": "NaN"}, "income 'NaN' is not a number"),
        ({"income": True}, "income True is not a number"),
        ({"dt_posted": "2026-04-20T10:00:00"}, "has no offset"),
        ({"dt_posted": "yesterday"}, "Invalid isoformat"),
        ({"dt_posted": None}, "dt_posted is missing"),
        ({"client": {"name": " "}}, "the name of the client is missing"),
        ({"client": "LOCKHEED"}, "the name of the client is missing"),
        ({"registrant": None}, "the name of the registrant is missing"),
        ({"filing_uuid": None}, "filing_uuid is missing"),
        ({"filing_uuid": "\ud800"}, "surrogates"),
    ],
)
def test_a_filing_that_cannot_be_read_says_why(changes: dict[str, Any], reason: str) -> None:
    row = parsed(**changes)
    assert isinstance(row, Bad)
    assert re.search(reason, row.reason)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "must be JSON"),
        (b"Too many requests.", "must be JSON"),
        (b"[" * 100_000, "must be JSON"),
        (b"[]", "the list `results`"),
        (b'{"detail":"x"}', "the list `results`"),
        (b'{"results":[]}', "`count` must be a whole number"),
        (b'{"count":"1","results":[]}', "`count` must be a whole number"),
        (b'{"count":99999999999,"results":[]}', "`count` must be a whole number"),
        (b'{"count":1,"results":[7]}', "every filing must state filing_uuid"),
        (b'{"count":1,"results":[{"filing_uuid_v2":"x"}]}', "every filing must state filing_uuid"),
    ],
)
def test_a_page_that_breaks_a_rule_is_not_read(content: bytes, rule: str) -> None:
    with pytest.raises(LayoutError, match=rule):
        list(parse_filings(page(content, kind="filings"), NAMES))


@settings(max_examples=150, deadline=None)
@given(content=spoiled(json.dumps({"count": 1, "results": [dict(FILING)]}).encode()))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    try:
        LDA.read([page(content, kind="filings")], query())
    except LayoutError:
        return


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(FILING)), value=JSON_VALUES)
def test_no_value_breaks_the_reader(name: str, value: object) -> None:
    content = json.dumps({"count": 1, "results": [{**FILING, name: value}]}).encode()
    asked = query(date(2026, 1, 1), date(2026, 12, 31))
    admit(TABLES["lobbying"], LDA.read([page(content, kind="filings")], asked), asked)


def test_the_site_limits_pages_and_demands_a_filter_beyond_the_first() -> None:
    present = Present(world(), NOW)

    def ask(query_string: str) -> tuple[int, dict[str, Any]]:
        answer = SITE.answer(present, Call("GET", "lda.senate.gov", "/api/v1/filings/", query_string))
        assert answer is not None
        return answer.status, json.loads(answer.body)

    assert len(ask("page_size=1000")[1]["results"]) == 25
    assert ask("page=2")[0] == 400
    assert ask("page=9999&filing_dt_posted_after=2024-01-01") == (404, {"detail": "Invalid page."})
    pages = -(-ask("client_name=a")[1]["count"] // 25)
    answers = [ask(f"page={number}&client_name=a")[1] for number in range(1, pages + 1)]
    kinds = {filing["filing_type"] for answer in answers for filing in answer["results"]}
    assert {"RR", "Q1", "Q2", "Q3", "Q4"} <= kinds
    assert any(kind.endswith("Y") for kind in kinds)
    assert any(kind.startswith(("1A", "2A", "3A", "4A")) for kind in kinds)
