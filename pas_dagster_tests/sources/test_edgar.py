"""SEC EDGAR Form 4: documents, indices and archives of quarters, and the two ways telling the same."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox.sites import edgar as site
from pas_dagster.sandbox.sites.site import Call
from pas_dagster.sources import edgar, form345
from pas_dagster.sources.ownership import parse_ownership, symbols_of
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.source import Bad, LayoutError, Query
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources.driving import drive, page, pages_of
from pas_dagster_tests.sources.markets import admitted, assert_same, present, query, truth

BOTH, BULK, DAILY = edgar.SOURCES
KEYS = ["accession", "line"]
SHARED = ["known_on", "event_date", "symbol", "insider", "role", "title", "code", "direction", "shares", "amendment"]
EXACT = [*SHARED, "known_at", "price", "plan"]
NOBODY = Query(date(2024, 1, 1), date(2024, 12, 31), datetime(2025, 1, 1, tzinfo=UTC))


def rows_of(content: bytes) -> list[Mapping[str, object]]:
    found = list(parse_ownership(content))
    assert not [row for row in found if isinstance(row, Bad)]
    return [row for row in found if not isinstance(row, Bad)]


@pytest.mark.shared
def test_the_recorded_document_of_several_lines() -> None:
    """Counted with grep: six <nonDerivativeTransaction>; holdings and the option are no rows."""
    rows = rows_of(recorded_bytes("sec/form4_snowflake_multi.xml"))
    assert [(row["line"], row["code"], row["direction"], row["shares"], row["price"]) for row in rows] == [
        (1, "M", "buy", 200000, 8.88),
        (2, "S", "sell", 73170, 150.841),
        (3, "S", "sell", 74907, 151.814),
        (4, "S", "sell", 41986, 152.655),
        (5, "S", "sell", 5496, 153.872),
        (6, "S", "sell", 4441, 154.76),
    ]
    common = ("symbol", "insider", "role", "title", "plan", "amendment", "event_date")
    told = ("SNOW", "Scarpelli Michael", "officer", "Chief Financial Officer", None, False, date(2022, 12, 13))
    assert {tuple(row[name] for name in common) for row in rows} == {told}


@pytest.mark.shared
def test_the_recorded_document_of_2025_says_that_there_is_no_plan() -> None:
    (row,) = rows_of(recorded_bytes("sec/form4_374water.xml"))
    assert (row["symbol"], row["insider"], row["title"]) == (
        "SCWO",
        "Melkote Rajesh Ramaswamy",
        "Chief Technology Officer",
    )
    assert (row["code"], row["direction"], row["shares"], row["price"], row["plan"]) == ("A", "buy", 757756, 0, "no")


@pytest.mark.shared
@pytest.mark.parametrize("name", ["form3_snowflake", "form5_snowflake"])
def test_other_forms_have_no_rows(name: str) -> None:
    assert rows_of(recorded_bytes(f"sec/{name}.xml")) == []


@pytest.mark.shared
def test_recorded_tickers_name_themselves_but_words_do_not() -> None:
    entries = json.loads(recorded_bytes("sec/company_tickers.json.gz")).values()
    tickers = {
        entry["ticker"] for entry in entries if re.fullmatch(r"[A-Z][A-Z0-9]{0,5}(-[A-Z]{1,2})?", entry["ticker"])
    }
    assert len(tickers) > 9_000
    lost = {ticker for ticker in tickers if symbols_of(ticker) != (ticker.replace("-", "."),)}
    assert lost <= {"NA"}


@pytest.mark.parametrize(
    ("written", "symbols"),
    [
        ("aapl", ("AAPL",)),
        ("NYSE: BRK/B", ("BRK.B",)),
        ("Nasdaq:GOOG", ("GOOG",)),
        ("GOOG, GOOGL", ("GOOG", "GOOGL")),
        ("LEN and LEN.B", ("LEN", "LEN.B")),
        ("(ABC)", ("ABC",)),
        ("[ NONE ]", ()),
        ("n/a", ()),
        ("-", ()),
        ("Not applicable", ()),
        ("XYZW.OB", ("XYZW",)),
        ("CBOE", ("CBOE",)),
        ("", ()),
    ],
)
def test_symbols_as_filers_write_them(written: str, symbols: tuple[str, ...]) -> None:
    assert symbols_of(written) == symbols


def document(
    *transactions: str, form: str = "4", symbol: str = "ABC", owners: str | None = None, more: str = ""
) -> bytes:
    """An ownership document."""
    owner = (
        "<reportingOwner><reportingOwnerId><rptOwnerName>Doe Jane</rptOwnerName></reportingOwnerId>"
        "<reportingOwnerRelationship><isDirector>1</isDirector></reportingOwnerRelationship></reportingOwner>"
    )
    text = (
        f"<ownershipDocument><documentType>{form}</documentType><issuer><issuerTradingSymbol>{symbol}"
        f"</issuerTradingSymbol></issuer>{owner if owners is None else owners}{more}"
        f"<nonDerivativeTable>{''.join(transactions)}</nonDerivativeTable></ownershipDocument>"
    )
    return text.encode()


def transaction(day: str = "2024-03-01", code: str = "P", side: str = "A", shares: str = "10", price: str = "2") -> str:
    values = [f"<value>{text}</value>" if text else '<footnoteId id="F1"/>' for text in (side, shares, price)]
    return (
        f"<nonDerivativeTransaction><transactionAmounts><transactionPricePerShare>{values[2]}"
        f"</transactionPricePerShare><transactionShares>{values[1]}</transactionShares>"
        f"<transactionAcquiredDisposedCode>{values[0]}</transactionAcquiredDisposedCode></transactionAmounts>"
        f"<transactionCoding><transactionCode>{code}</transactionCode></transactionCoding>"
        f"<transactionDate><value>{day}</value></transactionDate></nonDerivativeTransaction>"
    )


def submission(
    content: bytes, accepted: str = "20240304181030", filed: str = "20240304", accession: str = "0001062993-24-012217"
) -> bytes:
    head = (
        f"<SEC-DOCUMENT>{accession}.txt\n<SEC-HEADER>\n<ACCEPTANCE-DATETIME>{accepted}\n"
        f"ACCESSION NUMBER:\t\t{accession}\nFILED AS OF DATE:\t\t{filed}\n</SEC-HEADER>\n<TEXT>\n<XML>\n"
    )
    return head.encode() + content + b"\n</XML>\n</TEXT>\n"


def test_a_price_that_only_a_footnote_tells_is_missing_but_shares_are_required() -> None:
    found = list(parse_ownership(document(transaction(price=""), transaction(shares=""), transaction())))
    assert isinstance(found[0], dict)
    assert found[0]["price"] is None
    assert isinstance(found[1], Bad)
    assert found[1].reason == "transactionShares '' is not a number"
    assert isinstance(found[2], dict)
    assert found[2]["line"] == 3  # a line that cannot be read keeps its number


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"day": "2024-02-30"}, "transactionDate '2024-02-30' is not a day"),
        ({"code": ""}, "transactionCode is missing"),
        ({"side": "B"}, "transactionAcquiredDisposedCode 'B' is neither A nor D"),
        ({"shares": "1_000"}, "transactionShares '1_000' is not a number"),
        ({"shares": "nan"}, "transactionShares 'nan' is not a number"),
        ({"price": "$5"}, "transactionPricePerShare '$5' is not a number"),
    ],
)
def test_a_line_that_cannot_be_read_says_why(given: dict[str, str], reason: str) -> None:
    (row,) = parse_ownership(document(transaction(**given)))
    assert isinstance(row, Bad)
    assert row.reason == reason


def test_owners_who_file_together_are_joined_and_the_highest_role_counts() -> None:
    def owner(name: str, flags: str) -> str:
        return (
            f"<reportingOwner><reportingOwnerId><rptOwnerName>{name}</rptOwnerName></reportingOwnerId>"
            f"<reportingOwnerRelationship>{flags}</reportingOwnerRelationship></reportingOwner>"
        )

    fund = owner("Fund LP", "<isTenPercentOwner>true</isTenPercentOwner>")
    chief = owner(" Doe  Jane", "<isDirector>1</isDirector><isOfficer>1</isOfficer><officerTitle>CEO</officerTitle>")
    (row,) = rows_of(document(transaction(), owners=fund + chief, form="4/A", more="<aff10b5One>1</aff10b5One>"))
    assert (row["insider"], row["role"], row["title"]) == ("Fund LP; Doe Jane", "officer", "CEO")
    assert (row["amendment"], row["plan"]) == (True, "yes")


def test_of_several_symbols_the_listed_one_is_taken_and_other_companies_have_no_rows() -> None:
    content = document(transaction(), symbol="LEN, LEN.B")
    assert [row["symbol"] for row in parse_ownership(content, {"LEN.B"}) if isinstance(row, dict)] == ["LEN.B"]
    assert list(parse_ownership(content, {"AAPL"})) == []
    (bad,) = parse_ownership(document(transaction(), symbol="NONE"))
    assert isinstance(bad, Bad)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "well-formed"),
        (b"<html>", "well-formed"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><ownershipDocument/>', "without a DTD"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "well-formed"),
        (b"<html/>", "root"),
        (document(form="13G"), "documentType"),
        (b"<ownershipDocument><documentType>4</documentType></ownershipDocument>", "issuerTradingSymbol"),
        (document(owners=""), "reportingOwner"),
    ],
)
def test_a_document_that_breaks_the_form_states_the_rule(content: bytes, rule: str) -> None:
    with pytest.raises(LayoutError, match=rule):
        list(parse_ownership(content))


def test_a_filing_is_known_at_its_acceptance_in_new_york_time() -> None:
    """The recorded header states acceptance at 18:10 and that day as the filing day."""
    (row,) = edgar.parse_filing(page(submission(document(transaction()))))
    assert isinstance(row, dict)
    assert (row["accession"], row["known_on"]) == ("0001062993-24-012217", date(2024, 3, 4))
    assert row["known_at"] == datetime(2024, 3, 4, 23, 10, 30, tzinfo=UTC)


def test_a_filing_dated_later_than_accepted_is_known_on_its_filing_day_at_no_stated_time() -> None:
    (row,) = edgar.parse_filing(page(submission(document(transaction()), accepted="20240301220317")))
    assert isinstance(row, dict)
    assert (row["known_on"], row["known_at"]) == (date(2024, 3, 4), None)


def test_a_transaction_after_its_filing_is_bad() -> None:
    (row,) = edgar.parse_filing(page(submission(document(transaction(day="2204-03-01")))))
    assert isinstance(row, Bad)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"<html>Undeclared Automated Tool</html>", "header"),
        (submission(document(), accepted="20241399000000"), "YYYYMMDDhhmmss"),
        (submission(b"<html/>"), "ownershipDocument between"),
        (submission(document())[:-30], "ownershipDocument between"),
    ],
)
def test_a_submission_that_breaks_the_form_states_the_rule(content: bytes, rule: str) -> None:
    with pytest.raises(LayoutError, match=rule):
        list(edgar.parse_filing(page(content)))


INDEX = """Description:           Daily Index of EDGAR Dissemination Feed by Form Type
Last Data Received:    Sep 15, 2026

Form Type   Company Name                                                  CIK
      Date Filed  File Name
---------------------------------------------------------------------------------------------------------------------
10-K             Forgent Power  Solutions, Inc.      2080126     20260915    edgar/data/2080126/0002080126-26-000035.txt
4                GRAVES JEFFREY A                    1251036     20260915    edgar/data/910638/0001628280-26-062712.txt
4                3D SYSTEMS CORP 20260101 4 4        910638      20260915    edgar/data/910638/0001628280-26-062712.txt
4/A              SOME CORP                           111         2026-09-15  edgar/data/111/0000000000-26-000001.txt
40-17G           FUND                                333         20260915    edgar/data/333/0000000000-26-000003.txt
424B2            BANK OF 4                           222         20260915    edgar/data/222/0000000000-26-000002.txt
"""


def test_an_index_is_read_by_the_shape_of_its_lines() -> None:
    assert edgar.parse_index(page(INDEX.encode(), kind="index")) == [
        (1251036, "edgar/data/910638/0001628280-26-062712.txt"),
        (910638, "edgar/data/910638/0001628280-26-062712.txt"),
        (111, "edgar/data/111/0000000000-26-000001.txt"),
    ]


@pytest.mark.parametrize(
    ("content", "status", "rule"),
    [
        (b"", 200, "has lines"),
        (b"<html>Request Rate Threshold Exceeded</html>", 403, "refusal"),
        (b"x" * 5000, 200, "at most 400"),
        (INDEX.replace("-26-000001.txt", ".txt").encode(), 200, "ACCESSION"),
    ],
)
def test_an_index_that_breaks_the_form_states_the_rule(content: bytes, status: int, rule: str) -> None:
    with pytest.raises(LayoutError, match=rule):
        edgar.parse_index(page(content, status=status))


def test_a_day_without_an_index_has_no_filings() -> None:
    assert edgar.parse_index(page(b"<Error><Code>AccessDenied</Code></Error>", status=403)) == []


def test_weeks_without_any_index_are_a_fault() -> None:
    denied = page(b"<Error><Code>AccessDenied</Code></Error>", status=403, kind="index")
    with pytest.raises(LayoutError, match="more than 5 weekdays"):
        edgar.read([denied] * 6, NOBODY)
    assert edgar.read([denied] * 5, NOBODY).rows.empty


def answers_of(requests: list[Request], contents: Mapping[str, tuple[int, bytes]]) -> list[Page]:
    found = []
    for request in requests:
        status, content = next((a for part, a in contents.items() if part in request.url), (404, b""))
        found.append(Page(request, status, request.url, content, datetime(2026, 9, 17, tzinfo=UTC)))
    return found


def test_a_filing_is_asked_for_once_and_only_if_its_issuer_is_or_may_be_listed() -> None:
    """3D Systems is listed; the issuer 111 is not among the SEC's tickers, so it may be; 444 is, under another name."""
    other = "4   X                    444         20260915    edgar/data/444/0000000000-26-000009.txt\n"
    tickers = {"0": {"cik_str": 910638, "ticker": "DDD"}, "1": {"cik_str": 444, "ticker": "ZZZ"}}
    contents = {
        "form.20260915": (200, (INDEX + other).encode()),
        ".idx": (403, b"<Code>AccessDenied</Code>"),
        "company_tickers": (200, json.dumps(tickers).encode()),
    }
    listed = pd.DataFrame([["DDD", "3D Systems", "stock", "Industrials"]], columns=["symbol", "name", "kind", "sector"])
    walk = edgar.walk_days(Query(date(2026, 9, 12), date(2026, 9, 15), datetime(2026, 9, 17, tzinfo=UTC), listed))
    first = list(next(walk))
    assert [request.url.rsplit("/", 1)[1] for request in first] == [
        "form.20260914.idx",
        "form.20260915.idx",
        "company_tickers.json",
    ]
    assert first[0].url == "https://www.sec.gov/Archives/edgar/daily-index/2026/QTR3/form.20260914.idx"
    second = walk.send(answers_of(first, contents))
    assert [request.url for request in second] == [
        "https://www.sec.gov/Archives/edgar/data/910638/0001628280-26-062712.txt",
        "https://www.sec.gov/Archives/edgar/data/111/0000000000-26-000001.txt",
    ]


def test_quarters_that_are_over_are_one_request_each_in_the_folder_where_the_sec_has_them() -> None:
    walk = edgar.walk_quarters(Query(date(2016, 11, 5), date(2026, 11, 18), datetime(2026, 11, 19, tzinfo=UTC)))
    first = list(next(walk))
    assert len(first) == 40
    base = "https://www.sec.gov/files/{}/data/insider-transactions-data-sets/{}_form345.zip"
    assert first[0].url == base.format("structureddata", "2016q4")
    assert first[-1].url == base.format("datastandardsinnovation", "2026q3")
    second = walk.send(answers_of(first, {"2026q3": (404, b""), "q": (200, b"")}))
    assert [request.url for request in second] == [base.format("structureddata", "2026q3")]


def archive(**changes: str | None) -> bytes:
    """A quarter with a filing of two owners and two lines, and one of a company without a symbol."""
    tables: dict[str, str | None] = {
        "SUBMISSION.tsv": "DOCUMENT_TYPE\tACCESSION_NUMBER\tFILING_DATE\tISSUERTRADINGSYMBOL\tAFF10B5ONE\tREMARKS\n"
        '4/A\ta1\t05-MAR-2024\tabc\t1\tsaid "so\n5\ta2\t05-MAR-2024\tABC\t\t\n4\ta3\t06-MAR-2024\tNONE\t\t\n',
        "REPORTINGOWNER.tsv": "ACCESSION_NUMBER\tRPTOWNERNAME\tRPTOWNER_RELATIONSHIP\tRPTOWNER_TITLE\n"
        "a1\tFund LP\tTenPercentOwner\t\na1\tDoe Jane\tDirector,Officer\tCEO\na3\tRoe Jim\t\t\n",
        "NONDERIV_TRANS.tsv": "ACCESSION_NUMBER\tNONDERIV_TRANS_SK\tSECURITY_TITLE\tTRANS_DATE\tTRANS_CODE\t"
        "TRANS_SHARES\tTRANS_PRICEPERSHARE\tTRANS_ACQUIRED_DISP_CD\n"
        'a1\t10\t"Common\t04-MAR-2024\tS\t5\t\tD\na1\t9\tCommon\t01-Mar-2024\tM\t100.5\t2.25\tA\n'
        "a2\t11\tCommon\t01-MAR-2024\tG\t1\t0\tD\na3\t12\tCommon\t01-MAR-2024\tP\t1\t1\tA\n",
    }
    tables |= changes
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        for name, text in tables.items():
            if text is not None:
                made.writestr(name, text)
    return packed.getvalue()


def test_an_archive_joins_filings_owners_and_lines() -> None:
    sheet = form345.parse_quarter(archive(), {"ABC"})
    assert not sheet.bad
    rows = sheet.rows.sort_values("line").astype(object).to_dict("records")
    assert [(row["line"], row["code"], row["direction"], row["shares"]) for row in rows] == [
        (1, "M", "buy", 100.5),
        (2, "S", "sell", 5.0),
    ]
    assert {(row["accession"], row["symbol"], row["insider"], row["role"], row["title"]) for row in rows} == {
        ("a1", "ABC", "Fund LP; Doe Jane", "officer", "CEO")
    }
    assert {(row["plan"], row["amendment"]) for row in rows} == {("yes", True)}
    assert rows[0]["price"] == 2.25
    assert pd.isna(rows[1]["price"])
    assert [row["event_date"] for row in rows] == [pd.Timestamp("2024-03-01"), pd.Timestamp("2024-03-04")]


def test_an_archive_of_years_before_the_form_asked_says_nothing_of_plans() -> None:
    text = "ACCESSION_NUMBER\tFILING_DATE\tDOCUMENT_TYPE\tISSUERTRADINGSYMBOL\na1\t05-MAR-2009\t4\tABC\n"
    sheet = form345.parse_quarter(archive(**{"SUBMISSION.tsv": text}))
    assert len(sheet.bad) == 2  # the lines of 2024 are dated after that filing
    text = text.replace("2009", "2024")
    assert form345.parse_quarter(archive(**{"SUBMISSION.tsv": text})).rows["plan"].isna().all()


def test_lines_of_an_archive_that_cannot_be_read_say_why() -> None:
    head = "ACCESSION_NUMBER\tNONDERIV_TRANS_SK\tTRANS_DATE\tTRANS_CODE\tTRANS_SHARES\tTRANS_PRICEPERSHARE\t"
    lines = [
        "a1\tx\t01-MAR-2024\tP\t1\t1\tA",
        "a1\t1\t2024-03-01\tP\t1\t1\tA",
        "a1\t2\t06-MAR-2024\tP\t1\t1\tA",
        "a1\t3\t01-MAR-2024\t\t1\t1\tA",
        "a1\t4\t01-MAR-2024\tP\t1\t1\t",
        "a1\t5\t01-MAR-2024\tP\t1,000\t1\tA",
        "a1\t6\t01-MAR-2024\tP\t1\tfree\tA",
        "a3\t7\t01-MAR-2024\tP\t1\t1\tA",
    ]
    text = head + "TRANS_ACQUIRED_DISP_CD\n" + "\n".join(lines) + "\n"
    sheet = form345.parse_quarter(archive(**{"NONDERIV_TRANS.tsv": text}))
    assert sheet.rows.empty
    assert [bad.reason for bad in sheet.bad] == [
        "NONDERIV_TRANS_SK is not a number",
        "TRANS_DATE is not a day",
        "TRANS_DATE is after FILING_DATE",
        "TRANS_CODE is missing",
        "TRANS_ACQUIRED_DISP_CD is neither A nor D",
        "TRANS_SHARES is not a number",
        "TRANS_PRICEPERSHARE is not a number",
        "ISSUERTRADINGSYMBOL names no symbol",
    ]


def test_a_torn_line_of_an_archive_is_bad_and_the_others_are_read() -> None:
    whole = zipfile.ZipFile(io.BytesIO(archive())).read("NONDERIV_TRANS.tsv").decode()
    sheet = form345.parse_quarter(archive(**{"NONDERIV_TRANS.tsv": whole.replace('"Common', "Com\tmon", 1)}), {"ABC"})
    assert [bad.reason for bad in sheet.bad] == ["a line of NONDERIV_TRANS.tsv has as many cells as its first"]
    assert sheet.rows["code"].tolist() == ["M"]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"<html>Page not found</html>", "sound ZIP"),
        (archive()[:-60], "sound ZIP"),
        (archive(**{"SUBMISSION.tsv": None}), "holds SUBMISSION.tsv"),
        (archive(**{"SUBMISSION.tsv": ""}), "SUBMISSION.tsv"),
        (archive(**{"SUBMISSION.tsv": "ACCESSION_NUMBER\tFILING_DATE\na\tb\n"}), "each of the columns"),
        (archive(**{"NONDERIV_TRANS.tsv": "a\tb\nc\td\te\tf\n"}), "NONDERIV_TRANS.tsv"),
    ],
)
def test_an_archive_that_breaks_the_form_states_the_rule(content: bytes, rule: str) -> None:
    with pytest.raises(LayoutError, match=rule):
        form345.parse_quarter(content)


def test_the_days_of_the_sandbox_come_back_exactly_as_the_world_has_them() -> None:
    wanted = query(date(2024, 10, 15), date(2024, 12, 31))
    found = admitted("insider_buying", drive(BOTH, wanted, present(), site.SITE), wanted)
    assert found.refused.empty
    assert_same(found.rows, truth("insider_buying", wanted), KEYS, EXACT)
    assert found.rows["known_at"].isna().any()


def test_the_quarters_of_the_sandbox_come_back_without_time_and_in_cents() -> None:
    wanted = query(date(2022, 1, 3), date(2024, 9, 30))
    pages = pages_of(BOTH, wanted, present(), site.SITE)
    assert len(pages) == 11
    found = admitted("insider_buying", BOTH.read(pages, wanted), wanted)
    expected = truth("insider_buying", wanted)
    assert found.refused.empty
    assert_same(found.rows, expected.assign(price=expected["price"].round(2)), KEYS, [*SHARED, "price", "plan"])
    assert found.rows["known_at"].isna().all()
    assert (found.rows["known_on"] < "2023-03-31").any()
    assert found.rows.loc[found.rows["known_on"] < "2023-04-01", "plan"].isna().all()


def test_both_ways_tell_the_same_of_a_quarter() -> None:
    wanted = query(date(2024, 2, 1), date(2024, 2, 29))
    days = admitted("insider_buying", drive(DAILY, wanted, present(), site.SITE), wanted).rows
    quarter = admitted("insider_buying", drive(BULK, wanted, present(), site.SITE), wanted).rows
    assert_same(quarter, days.assign(price=days["price"].round(2)), KEYS, [*SHARED, "price", "plan"])


def test_windows_glued_together_are_the_whole_across_the_end_of_the_quarters() -> None:
    windows = [(date(2024, 8, 12), date(2024, 9, 27)), (date(2024, 9, 28), date(2024, 10, 3))]
    windows.append((date(2024, 10, 4), date(2024, 11, 8)))
    parts = []
    for first, last in windows:
        wanted = query(first, last)
        parts.append(admitted("insider_buying", drive(BOTH, wanted, present(), site.SITE), wanted).rows)
    whole = query(windows[0][0], windows[-1][1])
    assert_same(pd.concat(parts), truth("insider_buying", whole), KEYS, SHARED)


def test_a_quarter_that_is_not_published_yet_is_told_by_its_days() -> None:
    now = datetime(2024, 10, 3, 12, tzinfo=calendar.NEW_YORK)
    wanted = query(date(2024, 9, 23), date(2024, 10, 2), now)
    found = admitted("insider_buying", drive(BOTH, wanted, present(now), site.SITE), wanted)
    assert_same(found.rows, truth("insider_buying", wanted), KEYS, EXACT)


def test_nothing_shows_before_it_is_known() -> None:
    noon = datetime(2024, 11, 6, 12, tzinfo=calendar.NEW_YORK)
    wanted = query(date(2024, 11, 4), date(2024, 11, 8), noon)
    found = admitted("insider_buying", drive(DAILY, wanted, present(noon), site.SITE), wanted).rows
    assert found["known_on"].max() == pd.Timestamp("2024-11-05")
    table = truth("insider_buying", wanted)
    today = table[table["known_on"] == pd.Timestamp("2024-11-06")]
    late = today[today["known_at"] > pd.Timestamp("2024-11-06 17:00")]["accession"].iloc[0]
    path = f"/Archives/edgar/data/1600000/{late}.txt"
    hidden = site.answer(present(noon), Call("GET", "www.sec.gov", path, headers={"user-agent": "me me@x.org"}))
    assert hidden is not None
    assert hidden.status == 403


def test_a_visitor_who_does_not_say_who_he_is_is_refused() -> None:
    refused = site.answer(present(), Call("GET", "www.sec.gov", "/files/company_tickers.json"))
    assert refused is not None
    assert refused.status == 403
    with pytest.raises(LayoutError, match="refusal"):
        edgar.parse_index(page(refused.body, status=403))


SEEDS = [
    submission(document(transaction(), transaction(price=""), owners=None, more="<aff10b5One>0</aff10b5One>")),
    INDEX.encode(),
    archive(),
    b'{"0": {"cik_str": 1, "ticker": "A"}}',
]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    content = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        if content:
            content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


@settings(max_examples=150, deadline=None)
@given(content=st.one_of(broken(), st.binary(max_size=200)), status=st.sampled_from([200, 403, 404]))
@example(content=b"", status=200)
def test_whatever_bytes_come_only_a_layout_error_is_raised(content: bytes, status: int) -> None:
    with suppress(LayoutError):
        edgar.parse_index(page(content, status=status))
    for kind in ("filing", "quarter"):
        with suppress(LayoutError):
            edgar.read([page(content, status=status, kind=kind)], NOBODY)
    listed = pd.DataFrame([["A", "A", "stock", "X"]], columns=["symbol", "name", "kind", "sector"])
    walk = edgar.walk_days(Query(date(2024, 3, 4), date(2024, 3, 4), datetime(2024, 3, 6, tzinfo=UTC), listed))
    next(walk)
    with suppress(LayoutError):
        walk.send([page(INDEX.encode()), page(content)])
