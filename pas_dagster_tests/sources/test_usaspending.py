"""Federal contracts: the recorded answer, the sandbox's site there and back, and everything that can be wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.calendar import NEW_YORK
from pas_dagster.sandbox.sites.site import Call, Present
from pas_dagster.sandbox.sites.usaspending import SITE
from pas_dagster.schemas import TABLES
from pas_dagster.sources.border import admit
from pas_dagster.sources.companies import Names
from pas_dagster.sources.page import Page
from pas_dagster.sources.source import Bad, LayoutError, Query
from pas_dagster.sources.usaspending import DEFENSE, LAG, LAG_OF_DEFENSE, LEVELS, SOURCES, parse_contracts, searches
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources.driving import drive, page, pages_of
from pas_dagster_tests.sources.federal import END, JSON_VALUES, NOW, START, listed, spoiled, without_provenance, world

(USASPENDING,) = SOURCES
NAMES = Names(pd.DataFrame([("LMT", "LOCKHEED MARTIN CORP")], columns=["symbol", "name"]))
ACTION: Mapping[str, Any] = {
    "Award ID": "W31P4Q26C0013",
    "Mod": "0",
    "Recipient Name": "LOCKHEED MARTIN CORPORATION",
    "Action Date": "2026-04-09",
    "Transaction Amount": "4761000000.00",
    "Awarding Agency": "Department of Energy",
    "generated_internal_id": "CONT_AWD_W31P4Q26C0013_9700_-NONE-_-NONE-",
    "Transaction Description": "MISSILES",
}
WIDE = Query(date(2024, 1, 1), date(2026, 12, 31), NOW, listed())


def answered(*rows: Mapping[str, Any], more: bool = False, kind: str = "transactions") -> Page:
    content = {"limit": 100, "results": rows, "page_metadata": {"page": 1, "hasNext": more}}
    return page(json.dumps(content).encode(), kind=kind)


def parsed(**changes: Any) -> dict[str, Any] | Bad:
    spelled = {name.replace("_", " ").title(): value for name, value in changes.items()}
    (row,) = parse_contracts(answered({**ACTION, **spelled}), NAMES, WIDE)
    return row  # type: ignore[return-value]


def query(first: date = START, last: date = END, **options: Any) -> Query:
    return Query(first, last, NOW, listed(), options={"min_amount": 0, **options})


def expected(first: date = START, last: date = END) -> pd.DataFrame:
    table = world().table("gov_contracts")
    return table[table["known_on"].between(pd.Timestamp(first), pd.Timestamp(last))]


def fetched(asked: Query, now: datetime = NOW) -> pd.DataFrame:
    """What the border lets in, and that it lets in all."""
    admitted = admit(TABLES["gov_contracts"], drive(USASPENDING, asked, Present(world(), now), SITE), asked)
    assert admitted.refused.empty
    assert admitted.outside == 0
    return admitted.rows


def assert_same(rows: pd.DataFrame, table: pd.DataFrame) -> None:
    given = without_provenance(rows, "award_id")[list(table.columns)]
    pd.testing.assert_frame_equal(given, without_provenance(table, "award_id"), check_dtype=False)


@pytest.mark.shared
def test_the_recorded_awards_are_read() -> None:
    content = recorded_bytes("usaspending/spending_by_award_LMT_2026.json")
    first, second, third = parse_contracts(page(content, kind="awards"), NAMES, WIDE)
    assert isinstance(first, dict)
    assert first["description"].startswith("EXECUTE PHASED ARRAY TRACKING RADAR")
    assert {**first, "description": ""} == {
        "known_on": date(2026, 7, 13),  # 95 days after 9 April
        "event_date": date(2026, 4, 9),
        "award_id": "CONT_AWD_W31P4Q26C0013_9700_-NONE-_-NONE-",
        "symbol": "LMT",
        "recipient": "LOCKHEED MARTIN CORPORATION",
        "agency": "Department of Defense",
        "kind": "new",
        "amount": 4_761_000_000.0,
        "description": "",
    }
    assert isinstance(second, dict)
    assert isinstance(third, dict)
    assert (second["amount"], second["event_date"]) == (424_148_101.88, date(2026, 3, 31))
    assert (third["amount"], third["description"]) == (132_901_006.08, "8511939319!AF GEN III SUPPORT")


def test_all_actions_of_a_world_come_back_as_they_are() -> None:
    rows = fetched(query())
    assert_same(rows, expected())
    assert len(rows) > 3000
    assert set(rows["kind"]) == {"new", "modification"}
    assert (rows["amount"] < 0).any()
    assert rows["symbol"].isna().any()


def test_windows_glued_together_are_the_whole() -> None:
    cuts = [START, date(2024, 1, 3), date(2024, 3, 31), date(2024, 4, 1), date(2024, 9, 17), date(2025, 1, 1)]
    parts = [fetched(query(a, b - timedelta(1))) for a, b in zip(cuts, cuts[1:], strict=False)]
    assert_same(pd.concat(parts, ignore_index=True), expected())


def test_small_amounts_are_left_out_given_or_taken_back() -> None:
    table = expected()
    rows = fetched(Query(START, END, NOW, listed()))
    assert_same(rows, table[table["amount"].abs() >= 1_000_000])
    assert (rows["amount"] < 0).any()


def test_paging_stops_where_amounts_get_too_small() -> None:
    present = Present(world(), NOW)
    all_pages = pages_of(USASPENDING, query(), present, SITE)
    large_only = pages_of(USASPENDING, query(min_amount=50_000_000), present, SITE)
    searched = len(searches(query(), ("desc", "asc")))
    assert len(large_only) == searched + searched // 2 < len(all_pages)  # half as many counts


def test_what_is_not_public_yet_does_not_show() -> None:
    now = datetime(2024, 8, 14, 23, tzinfo=NEW_YORK)
    asked = Query(START, END, now, listed(), options={"min_amount": 0})
    rows = fetched(asked, now)
    assert_same(rows, expected(last=date(2024, 8, 14)))
    defense = rows["agency"] == DEFENSE
    assert rows["event_date"][defense].max() <= pd.Timestamp(2024, 8, 14) - LAG_OF_DEFENSE
    assert rows["event_date"][~defense].max() > pd.Timestamp(2024, 8, 14) - LAG_OF_DEFENSE


def test_every_month_several_companies_are_newly_awarded_fifty_millions() -> None:
    table = world().table("gov_contracts")
    new = table[(table["kind"] == "new") & table["symbol"].notna()]
    monthly = new.groupby([new["known_on"].dt.to_period("M"), "symbol"])["amount"].sum()
    assert (monthly >= 5e7).groupby(level=0).sum().loc["2024-04":].min() >= 4


@pytest.mark.parametrize("days", [1, 40, 85, 86, 200])
def test_searches_reach_every_action_that_becomes_known_and_none_twice(days: int) -> None:
    first = date(2024, 3, 7)
    asked = Query(first, first + timedelta(days - 1), NOW)
    found = searches(asked, ["desc"])
    assert all(search.first.replace(day=1) == search.last.replace(day=1) for search in found)
    for offset in range(days):
        known = first + timedelta(offset)
        civil = [s for s in found if s.first <= known - LAG <= s.last and not s.defense_only]
        defense = [s for s in found if s.first <= known - LAG_OF_DEFENSE <= s.last]
        assert len(civil) == len(defense) == 1


def test_the_search_is_never_asked_for_days_it_does_not_know() -> None:
    assert USASPENDING.since is not None
    found = searches(Query(date(2007, 10, 5), USASPENDING.since, NOW), ["desc"])
    assert min(search.first for search in found) == date(2007, 10, 1)


def test_new_awards_can_be_asked_for_instead() -> None:
    rows = fetched(query(level="awards"))
    table = expected()
    new = table[table["kind"] == "new"]
    assert sorted(rows["award_id"] + ":0") == sorted(new["award_id"])
    actions = world().table("gov_contracts")
    totals = actions.groupby(actions["award_id"].str.rsplit(":", n=1).str[0])["amount"].sum()
    pd.testing.assert_series_equal(
        rows.set_index("award_id")["amount"], totals[rows["award_id"]], check_names=False, check_dtype=False
    )


@pytest.mark.parametrize(
    ("changes", "column", "value"),
    [
        ({"mod": "00"}, "kind", "new"),
        ({"mod": "P00011"}, "kind", "modification"),
        ({"mod": "9"}, "kind", "modification"),
        ({"mod": "A01"}, "award_id", "CONT_AWD_W31P4Q26C0013_9700_-NONE-_-NONE-:A01"),
        ({"transaction_amount": -1500000.5}, "amount", -1_500_000.5),
        ({"transaction_description": None}, "description", None),
        ({"awarding_agency": "Department of Defense"}, "known_on", date(2026, 7, 13)),
        ({"awarding_agency": "General Services Administration"}, "known_on", date(2026, 4, 19)),
        ({"recipient_name": "NOBODY LLC"}, "symbol", None),
        ({"action_date": "2026-04-09T00:00:00"}, "event_date", date(2026, 4, 9)),
    ],
)
def test_an_action_is_read_whatever_its_spelling(changes: dict[str, Any], column: str, value: object) -> None:
    row = parsed(**changes)
    assert isinstance(row, dict)
    assert row[column] == value


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mod": None}, "Mod is missing"),
        ({"recipient_name": ""}, "Recipient Name is missing"),
        ({"awarding_agency": None}, "Awarding Agency is missing"),
        ({"action_date": None}, "Action Date is missing"),
        ({"action_date": "04/09/2026"}, "Invalid isoformat"),
        ({"action_date": "9999-12-31"}, "out of range"),
        ({"transaction_amount": "n.a."}, "Transaction Amount 'n.a.' is not a number"),
        ({"transaction_amount": None}, "Transaction Amount None is not a number"),
        ({"transaction_amount": "inf"}, "Transaction Amount 'inf' is not a number"),
        ({"transaction_amount": 10**400}, "is not a number"),
        ({"transaction_amount": True}, "Transaction Amount True is not a number"),
    ],
)
def test_an_action_that_cannot_be_read_says_why(changes: dict[str, Any], reason: str) -> None:
    row = parsed(**changes)
    assert isinstance(row, Bad)
    assert reason in row.reason


def test_an_award_without_a_day_of_its_base_is_dated_by_its_start() -> None:
    award = {**ACTION, "Award Amount": 2e6, "Start Date": "2026-05-01", "Base Obligation Date": None}
    (row,) = parse_contracts(answered(award, kind="awards"), NAMES, WIDE)
    assert isinstance(row, dict)
    assert row["event_date"] == date(2026, 5, 1)


def test_an_action_of_other_days_than_were_asked_for_is_refused() -> None:
    content = answered(ACTION).content
    asked_for = page(content, kind="transactions", search="2026-04-09/2026-04-09/all")
    assert isinstance(next(iter(parse_contracts(asked_for, NAMES, WIDE))), dict)
    other = page(content, kind="transactions", search="2026-04-10/2026-04-30/all")
    assert list(parse_contracts(other, NAMES, WIDE)) == [
        Bad("Action Date 2026-04-09 is none of the days that were asked for", dict(ACTION))
    ]


def test_rows_of_other_windows_are_left_to_them() -> None:
    asked = Query(date(2026, 4, 20), date(2026, 4, 30), NOW)
    assert list(parse_contracts(answered(ACTION), NAMES, asked)) == []


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "must be JSON"),
        (b"<html>Bad gateway</html>", "must be JSON"),
        (b"[" * 100_000, "must be JSON"),
        (b'{"detail":"x"}', "the list `results`"),
        (b'{"results":[7]}', "the list `results`"),
        (b'{"results":[]}', "page_metadata.hasNext"),
        (b'{"results":[],"page_metadata":{"hasNext":"no"}}', "page_metadata.hasNext"),
        (b'{"results":[],"page_metadata":{"hasNext":true}}', "a page that is not the last must have rows"),
        (b'{"results":[{"Mod_v2":"0"}],"page_metadata":{"hasNext":false}}', "every row must state Recipient Name"),
    ],
)
def test_a_page_that_breaks_a_rule_is_not_read(content: bytes, rule: str) -> None:
    with pytest.raises(LayoutError, match=rule):
        list(parse_contracts(page(content, kind="transactions"), NAMES, WIDE))


@pytest.mark.parametrize(("name", "value"), [("level", "x"), ("min_amount", "much"), ("min_amount", None)])
def test_an_option_that_cannot_be_is_named(name: str, value: object) -> None:
    assert USASPENDING.walk is not None
    with pytest.raises(LayoutError, match=name):
        next(USASPENDING.walk(query(**{name: value})))


def test_a_search_without_end_is_given_up_with_what_can_be_done() -> None:
    assert USASPENDING.walk is not None
    walk = USASPENDING.walk(query(date(2024, 6, 3), date(2024, 6, 3)))
    asked = next(walk)
    with pytest.raises(LayoutError, match="raise `min_amount`"):
        for _ in range(501):
            asked = walk.send([answered(ACTION, more=True) for _ in asked])
    assert asked[0].json["page"] == 500


def test_requests_are_repeatable_and_ask_for_the_defense_department_alone_where_only_it_matters() -> None:
    assert USASPENDING.walk is not None
    asked = next(USASPENDING.walk(query(date(2024, 6, 3), date(2024, 6, 3))))
    assert all(request.method == "POST" and request.repeatable for request in asked)
    periods = [(request.json.get("order"), request.json["filters"]) for request in asked]
    said = [(order, filters["time_period"][0]["start_date"], "agencies" in filters) for order, filters in periods]
    assert said == [
        ("desc", "2024-02-29", True),
        ("asc", "2024-02-29", True),
        ("desc", "2024-05-24", False),
        ("asc", "2024-05-24", False),
        (None, "2024-02-29", True),
        (None, "2024-05-24", False),
    ]


def emptied(found: Page) -> Page:
    """The page without its rows, as if it were the last."""
    document = {**json.loads(found.content), "results": [], "page_metadata": {"page": 1, "hasNext": False}}
    return Page(found.request, 200, found.url, json.dumps(document).encode(), NOW)


@pytest.mark.parametrize("level", ["transactions", "awards"])
def test_a_search_that_lost_its_rows_is_told_from_one_that_has_none(level: str) -> None:
    asked = query(date(2024, 6, 3), date(2024, 6, 7), level=level)
    pages = pages_of(USASPENDING, asked, Present(world(), NOW), SITE)
    assert len(USASPENDING.read(pages, asked).rows) > 0
    with pytest.raises(LayoutError, match="must show rows where"):
        USASPENDING.read([emptied(one) if one.kind == level else one for one in pages], asked)
    sunday = query(date(2024, 6, 19), date(2024, 6, 19), level=level)  # ten days after a Sunday
    assert USASPENDING.read(pages_of(USASPENDING, sunday, Present(world(), NOW), SITE), sunday).bad.empty


@pytest.mark.parametrize("content", [b"", b"[]", b'{"results":{}}', b'{"results":{"contracts":-1}}'])
def test_a_count_that_is_none_is_not_believed(content: bytes) -> None:
    with pytest.raises(LayoutError, match="must (be JSON|count)"):
        USASPENDING.read([page(content, kind="count", search="x")], WIDE)


@settings(max_examples=150, deadline=None)
@given(content=spoiled(answered(ACTION).content), kind=st.sampled_from(sorted(LEVELS)))
def test_no_bytes_break_the_reader(content: bytes, kind: str) -> None:
    try:
        USASPENDING.read([page(content, kind=kind)], WIDE)
    except LayoutError:
        return


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(ACTION)), value=JSON_VALUES)
def test_no_value_breaks_the_reader(name: str, value: object) -> None:
    admit(TABLES["gov_contracts"], USASPENDING.read([answered({**ACTION, name: value})], WIDE), WIDE)


def test_the_site_objects_to_what_the_real_one_objects_to() -> None:
    present = Present(world(), NOW)
    sound = {"filters": {"award_type_codes": ["A"]}, "fields": ["Award ID", "Transaction Amount"]}

    def status(body: object, method: str = "POST") -> int:
        path = "/api/v2/search/spending_by_transaction/"
        answer = SITE.answer(present, Call(method, "api.usaspending.gov", path, body=json.dumps(body).encode()))
        assert answer is not None
        return answer.status

    early = {"start_date": "2001-01-01", "end_date": "2024-01-01"}
    assert status(sound) == 200
    assert status(sound, "GET") == 405
    assert status({**sound, "filters": {}}) == status({**sound, "limit": 101}) == status({**sound, "fields": []}) == 422
    assert status({**sound, "filters": {"award_type_codes": ["A"], "time_period": [early]}}) == 422
    assert status({**sound, "page": 501, "limit": 100}) == 422
    assert status({**sound, "sort": "Mod"}) == status({**sound, "fields": ["Transaction Amount", "Weather"]}) == 400
