"""Catalysts: ClinicalTrials.gov, openFDA, and both as one source."""

from __future__ import annotations

import csv
import json
from collections import Counter
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox.sites import clinical_trials as trials_site
from pas_dagster.sandbox.sites import openfda as fda_site
from pas_dagster.sandbox.sites.site import Call
from pas_dagster.sources import catalysts, clinical_trials, openfda
from pas_dagster.sources.source import LayoutError, Query, Reading
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources.driving import drive, page, pages_of
from pas_dagster_tests.sources.markets import END, START, admitted, assert_same, present, query, truth

(BOTH,), (TRIALS,), (APPROVALS,) = catalysts.SOURCES, clinical_trials.SOURCES, openfda.SOURCES
SITES = (trials_site.SITE, fda_site.SITE)
KEYS = ["known_on", "event_id", "kind"]
FACTS = ["event_date", "symbol", "company", "product", "expected_on"]
LISTED = pd.DataFrame(
    [["VRTX", "Vertex Pharmaceuticals", "stock", "Health Care"], ["REGN", "Regeneron", "stock", "Health Care"]],
    columns=["symbol", "name", "kind", "sector"],
)
APRIL = Query(date(2026, 4, 1), date(2026, 4, 30), datetime(2026, 5, 2, tzinfo=UTC), LISTED)


def study(**changes: Any) -> dict[str, Any]:
    said = {
        "nct": "NCT07161037",
        "title": "Phase 2a Study of VX-407",
        "posted": "2026-04-24",
        "completion": "2027-07-22",
        "sponsor": "Vertex Pharmaceuticals Incorporated",
        "class": "INDUSTRY",
        "phases": ["PHASE2"],
    } | changes
    status: dict[str, Any] = {"lastUpdatePostDateStruct": {"date": said["posted"], "type": "ACTUAL"}}
    if said["completion"] is not None:
        status["primaryCompletionDateStruct"] = {"date": said["completion"], "type": "ESTIMATED"}
    return {
        "protocolSection": {
            "identificationModule": {"nctId": said["nct"], "briefTitle": said["title"]},
            "statusModule": status,
            "sponsorCollaboratorsModule": {"leadSponsor": {"name": said["sponsor"], "class": said["class"]}},
            "designModule": {"phases": said["phases"]},
        }
    }


def read_studies(*studies: object, asked: Query = APRIL) -> Reading:
    content = json.dumps({"studies": studies}).encode()
    return clinical_trials.read([page(content, kind=clinical_trials.KIND)], asked)


def application(*submissions: tuple[str, str, str], **changes: Any) -> dict[str, Any]:
    return {
        "application_number": "BLA761055",
        "sponsor_name": "REGENERON",
        "products": [{"brand_name": "DUPIXENT"}, {"brand_name": "DUPIXENT"}],
        "submissions": [
            {"submission_type": kind, "submission_status": status, "submission_status_date": day}
            for kind, status, day in submissions
        ],
    } | changes


def read_applications(*applications: object, asked: Query = APRIL) -> Reading:
    content = json.dumps({"meta": {"results": {"total": len(applications)}}, "results": applications}).encode()
    return openfda.read([page(content, kind=openfda.KIND)], asked)


@pytest.mark.shared
def test_recorded_studies_in_the_form_of_the_api() -> None:
    """The record is a table of 2,194 studies; counted in it: 987 of phase 3 alone, 611 completions without a day."""
    table = list(csv.DictReader(recorded_bytes("fda/clinicaltrials_gov_updates_2026-04.csv.gz").decode().splitlines()))
    phases = {"P1": "PHASE1", "P2": "PHASE2", "P3": "PHASE3"}
    studies = [
        study(
            nct=row["nct"],
            title=row["title"],
            posted=row["last_update"],
            completion=row["primary_completion"],
            sponsor=row["sponsor"],
            phases=[phases[phase] for phase in row["phase"].split("|")],
        )
        for row in table
    ]
    reading = read_studies(*studies)
    assert reading.bad.empty
    assert Counter(reading.rows["kind"]) == {
        "phase 3 primary completion": 987,
        "phase 2 primary completion": 727,
        "phase 1/2 primary completion": 377,
        "phase 2/3 primary completion": 103,
    }
    assert sum(len(row["primary_completion"]) == 7 for row in table) == 611
    one = reading.rows.set_index("event_id").loc["NCT07400588"]
    assert one["expected_on"] == date(2026, 9, 30)  # recorded as 2026-09
    assert (reading.rows["symbol"] == "VRTX").sum() == sum("Vertex" in row["sponsor"] for row in table) > 0


def test_a_study_is_known_when_posted_and_a_month_counts_to_its_last_day() -> None:
    rows = read_studies(study(), study(nct="NCT1", completion="2028-02", phases=["PHASE2", "PHASE3"])).rows
    assert rows["known_on"].tolist() == [date(2026, 4, 24)] * 2
    assert rows["expected_on"].tolist() == [date(2027, 7, 22), date(2028, 2, 29)]
    assert rows["kind"].tolist() == ["phase 2 primary completion", "phase 2/3 primary completion"]
    assert rows["symbol"].tolist() == ["VRTX", "VRTX"]


def test_studies_of_universities_of_other_phases_and_without_a_completion_are_no_events() -> None:
    others = [study(**{"class": "OTHER"}), study(phases=["PHASE4"]), study(phases=["NA"]), study(completion=None)]
    reading = read_studies(*others)
    assert reading.rows.empty
    assert reading.bad.empty


@pytest.mark.parametrize(
    "broken",
    [study(nct=None), study(posted="April"), study(completion="2026-13"), study(sponsor=""), {}, None, [1]],
)
def test_a_study_that_cannot_be_read_is_bad_and_the_page_is_read_on(broken: object) -> None:
    reading = read_studies(broken, study())
    assert len(reading.bad) == len(reading.rows) == 1


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"{}", b'{"studies": {}}', b'{"studies": null}'])
def test_an_answer_without_studies_is_a_fault(content: bytes) -> None:
    with pytest.raises(LayoutError):
        clinical_trials.read([page(content, kind=clinical_trials.KIND)], APRIL)


def test_months_without_any_study_are_a_fault() -> None:
    with pytest.raises(LayoutError, match="three months"):
        read_studies(asked=Query(date(2026, 1, 1), date(2026, 4, 30), APRIL.now, LISTED))
    assert read_studies().rows.empty


def test_pages_are_asked_for_until_there_is_no_token_and_never_in_circles() -> None:
    walk = clinical_trials.walk(APRIL)
    (first,) = next(walk)
    assert "RANGE%5B2026-04-01%2C2026-04-30%5D" in first.url
    assert "pageSize=1000" in first.url
    assert "pageToken" not in first.url
    (second,) = walk.send([page(b'{"studies": [], "nextPageToken": "abc"}')])
    assert second.url == first.url + "&pageToken=abc"
    with pytest.raises(LayoutError, match="nextPageToken"):
        walk.send([page(b'{"studies": [], "nextPageToken": "abc"}')])


@pytest.mark.shared
def test_recorded_approvals_in_the_form_of_the_api() -> None:
    """The record is a table of 200 submissions; two of DUPIXENT are of April 2026."""
    table = list(csv.DictReader(recorded_bytes("fda/openfda_drugsfda_approvals_2026-04.csv").decode().splitlines()))
    applications = [
        application(
            ("SUPPL", row["submission_status"], row["action_date"].replace("-", "")),
            application_number=row["application_no"],
            sponsor_name=row["sponsor_name"],
            products=[{"brand_name": row["brand_name"]}],
        )
        for row in table
    ]
    asked = Query(date(2025, 12, 1), date(2026, 4, 30), APRIL.now, LISTED)
    reading = read_applications(*applications, asked=asked)
    assert (len(reading.rows), len(reading.bad)) == (200, 0)
    dupixent = reading.rows[reading.rows["product"] == "DUPIXENT"]
    assert set(dupixent["event_date"]) >= {date(2026, 4, 16), date(2026, 4, 22)}
    assert date(2026, 4, 29) in set(dupixent["known_on"])


def test_an_approval_is_known_seven_days_later_and_only_of_the_window() -> None:
    given = application(
        ("ORIG", "AP", "20170328"),
        ("SUPPL", "AP", "20260416"),
        ("SUPPL", "AP", "20260416"),
        ("SUPPL", "TA", "20260417"),
        ("SUPPL", "AP", "20260424"),
    )
    (row,) = read_applications(given).rows.to_dict("records")
    assert (row["event_date"], row["known_on"]) == (date(2026, 4, 16), date(2026, 4, 23))
    assert (row["event_id"], row["kind"], row["product"]) == ("BLA761055", "supplement approval", "DUPIXENT")
    assert (row["company"], row["symbol"]) == ("REGENERON", "REGN")


@pytest.mark.parametrize(
    "broken",
    [
        application(("ORIG", "AP", "2026-04-16")),
        application(("ORIG", "AP", "20261616")),
        application(("ORIG", "AP", "20260416"), sponsor_name=None),
        application(submissions=3),
        None,
    ],
)
def test_an_application_that_cannot_be_read_is_bad_and_the_page_is_read_on(broken: object) -> None:
    reading = read_applications(broken, application(("ORIG", "AP", "20260416")))
    assert len(reading.bad) == len(reading.rows) == 1


def test_no_match_is_an_answer_but_any_other_404_is_a_fault() -> None:
    none = b'{"error": {"code": "NOT_FOUND", "message": "No matches found!"}}'
    assert openfda.read([page(none, status=404, kind=openfda.KIND)], APRIL).rows.empty
    for content in (b"<html>", b"{}", b'{"error": {"code": "OVER_RATE_LIMIT"}}', b'{"error": 1}'):
        with pytest.raises(LayoutError):
            openfda.read([page(content, status=404, kind=openfda.KIND)], APRIL)


def test_each_year_is_one_search_and_all_further_pages_are_one_round() -> None:
    walk = openfda.walk(Query(date(2025, 3, 3), date(2026, 4, 30), APRIL.now, LISTED))
    first = list(next(walk))
    assert [request.url.split("%3A")[1].split("&")[0] for request in first] == [
        "%5B20250224+TO+20251231%5D",
        "%5B20260101+TO+20260423%5D",
    ]
    many = page(b'{"meta": {"results": {"total": 2500}}, "results": []}')
    few = page(b'{"meta": {"results": {"total": 7}}, "results": []}')
    second = walk.send([many, few])
    assert [request.url for request in second] == [first[0].url + "&skip=1000", first[0].url + "&skip=2000"]


@pytest.mark.parametrize("total", [None, "7", True, 10**9])
def test_a_total_that_cannot_be_reached_is_a_fault(total: object) -> None:
    walk = openfda.walk(APRIL)
    next(walk)
    with pytest.raises(LayoutError):
        walk.send([page(json.dumps({"meta": {"results": {"total": total}}, "results": []}).encode())])


def latest(rows: pd.DataFrame) -> pd.DataFrame:
    """Without postings of a study that a later one replaced."""
    study = rows["event_id"].str.startswith("NCT")
    return rows[~study | ~rows.duplicated("event_id", keep="last")]


def test_the_sandbox_comes_back_as_the_world_has_it_but_for_replaced_postings() -> None:
    wanted = query()
    found = admitted("catalyst_events", drive(BOTH, wanted, present(), *SITES), wanted)
    assert found.refused.empty
    assert_same(found.rows, latest(truth("catalyst_events", wanted)), KEYS, FACTS)
    assert found.rows["symbol"].isna().any()
    assert found.rows["symbol"].nunique() > 5


def test_whoever_asks_each_month_sees_every_posting() -> None:
    parts, days = [], pd.date_range("2024-01-01", "2024-07-01", freq="MS")
    for first, after in zip(days[:-1], days[1:], strict=True):
        now = datetime(after.year, after.month, after.day, 8, tzinfo=calendar.NEW_YORK)
        wanted = query(first.date(), (after - pd.Timedelta(days=1)).date(), now)
        parts.append(admitted("catalyst_events", drive(BOTH, wanted, present(now), *SITES), wanted).rows)
    whole = truth("catalyst_events", query(date(2024, 1, 1), date(2024, 6, 30)))
    assert_same(pd.concat(parts), whole, KEYS, FACTS)  # a sponsor posts at most every 45 days


def test_each_register_alone_tells_its_share() -> None:
    wanted = query(date(2024, 9, 1), date(2024, 12, 31))
    expected = latest(truth("catalyst_events", wanted))
    study = expected["event_id"].str.startswith("NCT")
    for source, chosen, rows in (
        (TRIALS, trials_site.SITE, expected[study]),
        (APPROVALS, fda_site.SITE, expected[~study]),
    ):
        found = admitted("catalyst_events", drive(source, wanted, present(), chosen), wanted)
        assert_same(found.rows, rows, KEYS, FACTS)


def test_windows_glued_together_hold_every_approval() -> None:
    windows = [(START, date(2022, 12, 30)), (date(2022, 12, 31), date(2023, 1, 8)), (date(2023, 1, 9), END)]
    asked = [query(*window) for window in windows]
    found = [admitted("catalyst_events", drive(APPROVALS, one, present(), fda_site.SITE), one).rows for one in asked]
    whole = truth("catalyst_events", query())
    assert_same(pd.concat(found), whole[~whole["event_id"].str.startswith("NCT")], KEYS, FACTS)


def test_nothing_shows_before_it_is_known() -> None:
    now = datetime(2024, 6, 12, 12, tzinfo=calendar.NEW_YORK)
    wanted = query(date(2024, 1, 1), date(2024, 12, 31), now)
    found = admitted("catalyst_events", drive(BOTH, wanted, present(now), *SITES), wanted).rows
    assert found["known_on"].max() <= pd.Timestamp("2024-06-12")


def test_the_registers_page_as_the_real_ones_do() -> None:
    asked = Call(
        "GET",
        "clinicaltrials.gov",
        "/api/v2/studies",
        "query.term=AREA[LastUpdatePostDate]RANGE[2022-01-01,2024-12-31]&pageSize=7",
    )
    first = trials_site.SITE.answer(present(), asked)
    assert first is not None
    assert len(json.loads(first.body)["studies"]) == 7
    assert json.loads(first.body)["nextPageToken"]
    wrong = trials_site.SITE.answer(present(), Call("GET", asked.host, asked.path, asked.query_string + "&pageToken=!"))
    assert wrong is not None
    assert wrong.status == 400
    assert len(pages_of(BOTH, query(), present(), *SITES)) >= 5


SEEDS = [
    json.dumps({"studies": [study(), study(completion="2026-09")], "nextPageToken": "x"}).encode(),
    json.dumps({"meta": {"results": {"total": 1}}, "results": [application(("ORIG", "AP", "20260416"))]}).encode(),
    b'{"error": {"code": "NOT_FOUND"}}',
    b'{"studies": [{"protocolSection": {"identificationModule": {"nctId": "\\ud800"}}}]}',
]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def broken_bytes(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 5))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


@st.composite
def broken_values(draw: st.DrawFn) -> bytes:
    """A sound answer in which some value anywhere became another."""
    document = json.loads(draw(st.sampled_from(SEEDS[:2])))
    place: Any = document
    while True:
        steps = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not steps:
            break
        step = draw(st.sampled_from(steps))
        if not isinstance(place[step], (dict, list)) or draw(st.booleans()):
            place[step] = draw(JSON)
            break
        place = place[step]
    return json.dumps(document).encode()


@settings(max_examples=200, deadline=None)
@given(content=st.one_of(broken_bytes(), broken_values(), st.binary(max_size=60)), status=st.sampled_from([200, 404]))
@example(content=b"[" * 100_000, status=200)
def test_whatever_bytes_come_only_a_layout_error_is_raised(content: bytes, status: int) -> None:
    for kind in (clinical_trials.KIND, openfda.KIND):
        with suppress(LayoutError):
            catalysts.read([page(content, status=status, kind=kind)], APRIL)
    for walk in (clinical_trials.walk(APRIL), openfda.walk(APRIL)):
        next(walk)
        with suppress(LayoutError, StopIteration):
            walk.send([page(content, status=status)])
