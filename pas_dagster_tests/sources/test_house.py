"""Reports of representatives: the index, the text of the documents, and the round trip through the sandbox's site."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.sandbox import World
from pas_dagster.sandbox.sites import house as site
from pas_dagster.sandbox.sites.site import Present
from pas_dagster.sources import house
from pas_dagster.sources.disclosures import Line
from pas_dagster.sources.house import Filing, parse_index, parse_report_text, pdf_text
from pas_dagster.sources.page import Page
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources.driving import drive, page, pages_of

(SOURCE,) = house.SOURCES
WORLD = World(7, date(2024, 1, 2), date(2024, 12, 31))
NOW = datetime(2025, 1, 1, 4, 0, tzinfo=UTC)  # the evening of the last day in New York
HEADING = "ID Owner Asset Transaction\nType\nDate Notification\nDate\nAmount Cap.\nGains >\n$200?\n"
FOOT = "* For the complete list of asset type abbreviations, please visit https://fd.house.gov/reference/\n"


def query(first: date, last: date, now: datetime = NOW) -> Query:
    return Query(first, last, now)


def expected(first: date, last: date) -> pd.DataFrame:
    """The world's rows; who has no Bioguide id is on no list, and his party is told nowhere."""
    rows = WORLD.table("politician_trades")
    rows = rows[(rows["chamber"] == "house") & rows["known_on"].between(pd.Timestamp(first), pd.Timestamp(last))]
    return ordered(rows.assign(party=rows["party"].where(rows["bioguide_id"].notna(), None)))


def ordered(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(["known_on", "filing_id", "line"], ignore_index=True)


def assert_same(reading: Reading, rows: pd.DataFrame) -> None:
    assert reading.bad.empty
    read = reading.rows.assign(**{name: pd.to_datetime(reading.rows[name]) for name in ("known_on", "event_date")})
    pd.testing.assert_frame_equal(
        ordered(read)[list(rows.columns)].astype(object).where(lambda frame: frame.notna(), None),
        rows.astype(object).where(rows.notna(), None),
        check_dtype=False,
    )


def member(**changes: str) -> str:
    told = {
        "Prefix": "Hon.",
        "Last": "Pelosi",
        "First": "Nancy",
        "Suffix": "",
        "FilingType": "P",
        "StateDst": "CA11",
        "Year": "2026",
        "FilingDate": "1/23/2026",
        "DocID": "20033725",
    } | changes
    return "<Member>" + "".join(f"<{name}>{text}</{name}>" for name, text in told.items() if text != "-") + "</Member>"


def index(*members: str, root: str = "FinancialDisclosure") -> bytes:
    return f'\ufeff<?xml version="1.0" encoding="utf-8"?>\r\n<{root}>{"".join(members)}</{root}>'.encode()


def zipped(content: bytes, name: str = "2026FD.xml") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        # With a time of its own: the bytes name a test, and must be the same in every process.
        archive.writestr(zipfile.ZipInfo("2026FD.txt"), "Prefix\tLast\n")
        archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def report(content: bytes, status: int = 200) -> Page:
    told = {"doc_id": "20033725", "filed": "2026-01-23", "first": "Nancy", "last": "Pelosi", "suffix": ""}
    url = "https://disclosures-clerk.house.gov/public_disc/ptr-pdfs/2026/20033725.pdf"
    return page(content, url, status, house.REPORT, **told, seat="CA11")


def document(text: str) -> bytes:
    return site._pdf(text.split("\n"))


def only(text: str) -> Line:
    (line,) = parse_report_text(text)
    assert isinstance(line, Line)
    return line


@pytest.mark.shared
@pytest.mark.parametrize(("year", "reports", "electronic", "of_2026"), [(2025, 515, 449, 5), (2026, 262, 235, 262)])
def test_recorded_index(year: int, reports: int, electronic: int, of_2026: int) -> None:
    filings = parse_index(recorded_bytes(f"congress/house_clerk_{year}FD.xml.gz"), year)
    assert len(filings) == reports
    sound = [filing for filing in filings if isinstance(filing, Filing)]
    assert len(sound) == reports
    assert sum(filing.electronic for filing in sound) == electronic
    assert sum(filing.filed.year == 2026 for filing in sound) == of_2026


@pytest.mark.shared
def test_recorded_index_tells_who_filed_what_when() -> None:
    content = recorded_bytes("congress/house_clerk_2026FD.xml.gz")
    filings = parse_index(content, 2026)
    assert Filing(2026, "20033725", date(2026, 1, 23), "Nancy", "Pelosi", "", "CA11") in filings
    assert parse_index(zipped(content), 2026) == filings


@pytest.mark.shared
def test_reports_of_a_window_are_asked_for_and_scanned_ones_told() -> None:
    asked = query(date(2026, 6, 10), date(2026, 6, 19), datetime(2026, 6, 20, tzinfo=UTC))
    walk = house.walk(asked)
    requests = next(walk)
    assert [request.url.rsplit("/", 1)[1] for request in requests] == [
        *("2025FD.zip", "2026FD.zip", "legislators-current.json", "legislators-historical.json")
    ]
    contents = [
        *(zipped(recorded_bytes(f"congress/house_clerk_{year}FD.xml.gz")) for year in (2025, 2026)),
        *(b"[]", b"[]"),
    ]
    pages = [Page(request, 200, request.url, content, NOW) for request, content in zip(requests, contents, strict=True)]
    reports = walk.send(pages)
    # Counted in the file: 16 reports filed from the 10th to the 19th of June, of which two have seven digits.
    assert len(reports) == 14
    assert {request.kind for request in reports} == {house.REPORT}
    bad = house.read(pages, asked).bad
    assert sorted(bad["content"].str.extract(r"(\d+)\.pdf")[0]) == ["9116141", "9116146"]
    assert set(bad["reason"]) == {"scanned image; needs OCR"}


def test_reports_are_asked_for_under_the_year_of_their_index() -> None:
    pages = pages_of(SOURCE, query(date(2024, 3, 1), date(2024, 3, 8)), Present(WORLD, NOW), site.SITE)
    addresses = [one.url for one in pages if one.kind == house.REPORT]
    assert addresses
    for address in addresses:
        assert address.startswith("https://disclosures-clerk.house.gov/public_disc/ptr-pdfs/2024/20")


def test_round_trip_of_the_world() -> None:
    first, last = WORLD.start, WORLD.end
    assert_same(drive(SOURCE, query(first, last), Present(WORLD, NOW), site.SITE), expected(first, last))


def test_windows_glued_together_are_the_whole() -> None:
    first, last = date(2024, 2, 1), date(2024, 4, 30)
    days = pd.date_range(first, last, freq="15D").date
    parts = [
        drive(SOURCE, query(begin, min(begin + timedelta(14), last)), Present(WORLD, NOW), site.SITE) for begin in days
    ]
    rows, bad = (pd.concat([getattr(one, part) for one in parts], ignore_index=True) for part in ("rows", "bad"))
    assert_same(Reading(rows, bad), expected(first, last))


def test_nothing_filed_later_shows() -> None:
    now = datetime(2024, 5, 2, 3, 0, tzinfo=UTC)
    reading = drive(SOURCE, query(WORLD.start, WORLD.end, now), Present(WORLD, now), site.SITE)
    assert_same(reading, expected(WORLD.start, date(2024, 5, 1)))


def test_the_index_of_a_new_year_may_not_be_there_yet() -> None:
    world = World(7, date(2024, 1, 2), date(2024, 1, 10))
    asked = query(date(2024, 1, 3), date(2024, 1, 4), datetime(2024, 1, 5, tzinfo=UTC))
    pages = pages_of(SOURCE, asked, Present(world, asked.now), site.SITE)
    assert [one.status for one in pages if one.kind == house.INDEX] == [200, 404]
    assert house.read(pages, asked).rows.empty


def test_only_in_january_an_index_may_be_missing() -> None:
    asked = next(house.walk(query(date(2024, 3, 1), date(2024, 3, 2), datetime(2024, 3, 3, tzinfo=UTC))))
    assert all(request.answers == {200} for request in asked)


def test_fields_of_the_index_may_come_in_any_order() -> None:
    entry = (
        "<Member><DocID>20033725</DocID><More>x</More><FilingDate>1/23/2026</FilingDate><StateDst>CA11</StateDst>"
        "<FilingType>P</FilingType><First>Nancy</First><Last>Pelosi</Last></Member>"
    )
    assert parse_index(index(entry), 2026) == parse_index(index(member()), 2026)


def test_other_filings_are_left_out() -> None:
    assert parse_index(index(member(FilingType="C"), member(FilingType="X"), member(FilingType="")), 2026) == []


@pytest.mark.parametrize(
    "changes", [{"FilingDate": "13/23/2026"}, {"FilingDate": ""}, {"DocID": ""}, {"DocID": "../x"}]
)
def test_a_report_whose_day_or_number_is_unreadable_is_told(changes: dict[str, str]) -> None:
    (bad,) = parse_index(index(member(**changes)), 2026)
    assert isinstance(bad, Bad)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "well-formed XML"),
        (b"<html><body>Server Error</body>", "well-formed XML"),
        (b"<html><body>Server Error</body></html>", "FinancialDisclosure"),
        (index(root="Other"), "FinancialDisclosure"),
        (index(), "at least one Member"),
        (index(member(DocID="-")), "must have a DocID"),
        (index(member(FilingDate="-")), "must have a FilingDate"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><FinancialDisclosure>&a;</FinancialDisclosure>', "well-formed XML"),
        (b"PK\x03\x04 cut", "sound zip"),
        (zipped(index(member()))[:80], "sound zip"),
        (zipped(index(member()), "2026FD.pdf"), "zip with an XML file"),
    ],
)
def test_what_is_no_index_is_a_changed_layout(content: bytes, rule: str) -> None:
    with pytest.raises(LayoutError, match=rule):
        parse_index(content, 2026)


def test_cells_that_wrap_in_the_order_of_the_document() -> None:
    text = (
        HEADING + "SP Intel Corporation - Common Stock\n(INTC) [OP]\nP 05/29/202605/29/2026$1,000,001 -\n$5,000,000\n"
        "F S : New\nD : Purchased 200 call options.\n"
        "JT Listen Ventures IV, LP [HN] S (partial) 06/01/2026 06/02/2026 $50,001 - $100,000\nF S : New\n" + FOOT
    )
    assert parse_report_text(text) == [
        Line(1, "05/29/2026", "SP", "INTC", "Intel Corporation - Common Stock", "OP", "P", "$1,000,001 - $5,000,000"),
        Line(2, "06/01/2026", "JT", None, "Listen Ventures IV, LP", "HN", "S (partial)", "$50,001 - $100,000"),
    ]


def test_cells_that_wrap_in_the_order_of_the_page() -> None:
    """As extractors give it that keep the rows of characters: the rest of the asset follows the dates."""
    text = (
        HEADING + "SP Ferguson Enterprises Inc. Common P 12/12/2025 01/06/2026 $15,001 -\nStock (FERG) [ST] $50,000\n"
        "F\x00\x00 S\x00\x00: New\nS\x00 O\x00: R.W. Allen & Associates, Inc. > RWA&A - Securities\n"
        "SP US Treasury Note 3.75% DUE S 04/16/2026 05/04/2026 $100,001 -\n12/31/28 (91282CJR3) [GS] $250,000\n"
        "F\x00 S\x00: New\n"
        "METROPOLITAN GOVT NA S 03/16/2026 04/14/2026 $1,001 - $15,000\nDAVIDSON CNTY TENN HEALTH &\n[GS]\nF S: New\n"
    )
    assert parse_report_text(text) == [
        Line(1, "12/12/2025", "SP", "FERG", "Ferguson Enterprises Inc. Common Stock", "ST", "P", "$15,001"),
        Line(2, "04/16/2026", "SP", None, "US Treasury Note 3.75% DUE 12/31/28 (91282CJR3)", "GS", "S", "$100,001"),
        Line(
            *(3, "03/16/2026", "", None, "METROPOLITAN GOVT NA DAVIDSON CNTY TENN HEALTH &", "GS", "S"),
            "$1,001 - $15,000",
        ),
    ]


def test_documents_of_old_fonts_mix_up_the_case() -> None:
    text = (
        "iD owner asset transaction Date notification amount cap.\ntype Date gains >\n$200?\n"
        "sP Air Products and Chemicals, Inc. S (partial) 06/04/2019 06/12/2019 $1,001 - $15,000 gfedc\n(aPD) [sT]\n"
        "FILINg STATuS: New\nSUBHoLDINg oF: Morgan Stanley Rollover IRA Account (1)\n"
        "Ambarella, Inc. - ordinary Shares p 05/15/2019 05/31/2019 $1,001 - $15,000 f\nc\nd\ne\ng\n(AMBa)\n"
        "FILINg STATUS: New\n"
    )
    lines = [line for line in parse_report_text(text) if isinstance(line, Line)]
    assert [(line.owner, line.symbol, line.operation, line.asset_type) for line in lines] == [
        ("SP", "APD", "S (partial)", "ST"),
        ("", "AMBA", "p", ""),
    ]
    assert lines[1].description == "Ambarella, Inc. - ordinary Shares"


def test_a_small_letter_is_no_ticker_where_the_case_is_right() -> None:
    line = only(HEADING + "Some Partners LP (fund) [OI] P 01/02/2026 01/05/2026 $1,001 - $15,000\nFiling Status: New\n")
    assert (line.symbol, line.description) == (None, "Some Partners LP (fund)")


@pytest.mark.parametrize(
    ("asset", "symbol", "description"),
    [
        ("Berkshire Hathaway Inc. New (BRK.B) [ST]", "BRK.B", "Berkshire Hathaway Inc. New"),
        ("Brown Forman Inc (BF/B) [ST]", "BF/B", "Brown Forman Inc"),
        ("Netflix, Inc. - Common Stock (NFLX)", "NFLX", "Netflix, Inc. - Common Stock"),
        ("Bitcoin (BTC) [CT]", None, "Bitcoin"),
        ("US TREASU NOTE 4.375% (91282CJP7) [GS]", None, "US TREASU NOTE 4.375% (91282CJP7)"),
        ("2000152831 Apple Inc. (AAPL) [ST]", "AAPL", "Apple Inc."),
        ("A farm [FA]", None, "A farm"),
    ],
)
def test_tickers_in_the_name_of_the_asset(asset: str, symbol: str | None, description: str) -> None:
    line = only(f"{HEADING}{asset}\nP 1/2/2026 1/5/2026 $1,001 - $15,000\nF S: New\n{FOOT}")
    assert (line.symbol, line.description) == (symbol, description)


@pytest.mark.parametrize("amount", ["Over $50,000,000", "Spouse/DC Over $1,000,000", "$620.00", "$1,001 - $15,000"])
def test_amounts_as_they_are_written(amount: str) -> None:
    line = only(f"{HEADING}Apple Inc. (AAPL) [ST] P 01/02/2026 01/05/2026 {amount}\nF S: New\n")
    assert line.amount == amount


def test_a_description_that_wraps_is_no_part_of_the_next_asset() -> None:
    long = "unaware of our policy against owning individual stocks, which was explained to the adviser of the account"
    text = (
        f"{HEADING}Apple Inc. (AAPL) [ST] S 01/02/2026 01/05/2026 $1,001 - $15,000\nF S: New\nD: {long}\nin detail\n"
        f"Visa Inc. (V) [ST] S 01/02/2026 01/05/2026 $1,001 - $15,000\nF S: New\nC: {long}\n{long}\nat once\n"
        "SP Nike Inc. (NKE) [ST] S 01/02/2026 01/05/2026 $1,001 - $15,000\nF S: New\n"
    )
    lines = [line for line in parse_report_text(text) if isinstance(line, Line)]
    assert [(line.description, line.owner) for line in lines] == [
        ("Apple Inc.", ""),
        ("Visa Inc.", ""),
        ("Nike Inc.", "SP"),
    ]


def test_the_heading_of_a_further_page_is_no_asset() -> None:
    first = "Apple Inc. (AAPL) [ST] S 01/02/2026 01/05/2026 $1,001 - $15,000\nF S: New\n"
    text = (
        HEADING
        + first
        + "Filing ID #20033725\n"
        + HEADING
        + "Visa Inc. -\n"
        + HEADING
        + first.replace("Apple", "Stock")
    )
    assert [line.description for line in parse_report_text(text) if isinstance(line, Line)] == [
        *("Apple Inc.", "Visa Inc. - Stock Inc.")
    ]


def test_lines_without_labels_between() -> None:
    text = (
        "JT Example Corp Class A\n(EXM) [ST]\nS 6/1/2026 6/12/2026 $15,001 - $50,000\n"
        "Another Corp\n(ANO) [ST]\nS 6/1/2026 6/12/2026 $15,001 - $50,000\n"
    )
    assert [line.symbol for line in parse_report_text(text) if isinstance(line, Line)] == ["EXM", "ANO"]


def test_the_owner_of_an_account_is_the_owner_of_its_assets() -> None:
    line = "Apple Inc. (AAPL) [ST] S 01/02/2026 01/05/2026 $1,001 - $15,000\nF S: New\nS O: Inherited Assets\n"
    found = parse_report_text(f"{HEADING}{line}DC {line}{FOOT}I V D\nInherited Assets (Owner: SP)\nL: US\n")
    assert [one.owner for one in found if isinstance(one, Line)] == ["SP", "DC"]


def test_equal_lines_are_separate_lots() -> None:
    line = "Apple Inc. (AAPL) [ST] S 01/02/2026 01/05/2026 $1,001 - $15,000\nF S: New\n"
    assert [one.number for one in parse_report_text(HEADING + line * 3) if isinstance(one, Line)] == [1, 2, 3]


def test_lines_that_cannot_be_read_are_told_and_counted() -> None:
    text = (
        f"{HEADING}Foo Corp (FOO) [ST]\nP some day $1,001 - $15,000\nF S: New\n"
        "Bar Corp (BAR) [ST] P 01/02/2026 01/03/2026 $1,001 - $15,000\nF S: New\n"
        "Baz Corp (BAZ) [ST] P in May $1,001 - $15,000\nF S: New\n"
        "Qux Corp (QUX) [ST] S 01/02/2026 01/03/2026 $1,001 - $15,000\nF S: Deleted\n"
    )
    lines = parse_report_text(text)
    reasons = [line.reason if isinstance(line, Bad) else line.number for line in lines]
    assert reasons == [
        "a line without the dates of trade and notice",
        2,
        "a line without the dates of trade and notice",
        "the line withdraws an earlier one",
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "Apple Inc. (AAPL) [ST] P 01/24/2026 01/24/2026 $1,001 - $15,000",
            "traded on 2026-01-24, filed on 2026-01-23",
        ),
        ("Apple Inc. (AAPL) [ST] P 01/05/3031 01/24/2026 $1,001 - $15,000", "traded on 3031-01-05"),
        ("Apple Inc. (AAPL) [ST] P 01/05/2026 01/24/2026 $4,450", "no statutory bracket"),
        ("Apple Inc. (AAPL) [ST] X 01/05/2026 01/24/2026 $1,001 - $15,000", "operation '' is not known"),
        ("Apple Inc. (AAPL) [ST] P 01/05/2026 01/24/2026 None", "amount '' is no"),
    ],
)
def test_a_line_that_makes_no_sense_is_kept_with_its_reason(line: str, reason: str) -> None:
    sound = "Visa Inc. (V) [ST] S 01/02/2026 01/05/2026 $1,001 - $15,000\nF S: New\n"
    content = document(f"{HEADING}{line}\nF S: New\n{sound}")
    reading = house.read([report(content)], query(date(2026, 1, 1), date(2026, 2, 1)))
    assert reading.rows["symbol"].tolist() == ["V"]
    assert reading.rows["line"].tolist() == [2]
    assert len(reading.bad) == 1
    assert reason in reading.bad["reason"].iloc[0]


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (report(site._pdf([])), "scanned image; needs OCR"),
        (report(site._pdf(["P T R", "nothing to report"])), "no transaction was found in the report"),
        (report(b"<html>", status=404), "the index lists the report, but it is not there"),
    ],
)
def test_a_report_without_a_text_of_trades_is_told(one: Page, reason: str) -> None:
    reading = house.read([one], query(date(2026, 1, 1), date(2026, 2, 1)))
    assert reading.rows.empty
    assert reading.bad["reason"].tolist() == [reason]


@pytest.mark.parametrize("content", [b"", b"<html>Not a PDF</html>", b"%PDF-1.4\n", document("P T R")[:200]])
def test_what_is_no_document_is_a_changed_layout(content: bytes) -> None:
    with pytest.raises(LayoutError, match="PDF document") as error:
        house.read([report(content)], query(date(2026, 1, 1), date(2026, 2, 1)))
    assert error.value.page is not None


def test_a_window_before_the_first_reports_asks_for_the_first_years_only() -> None:
    asked = next(house.walk(query(date(2014, 1, 1), date(2014, 1, 31))))
    assert Counter(request.kind for request in asked) == {house.INDEX: 2, "legislators": 2}


SAMPLE = document(
    HEADING + "SP Apple Inc. (AAPL) [ST]\nP 01/02/2026 01/05/2026 $100,001 -\n$250,000\nF S : New\nD : text\n" + FOOT
)


def readable(content: bytes) -> None:
    try:
        house.read([report(content)], query(date(2026, 1, 1), date(2026, 2, 1)))
    except LayoutError as error:
        assert error.page is not None


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(SAMPLE)), cut=st.integers(0, 60), new=st.binary(max_size=12))
def test_a_hostile_document_is_read_or_is_a_changed_layout(at: int, cut: int, new: bytes) -> None:
    readable(SAMPLE[:at] + new + SAMPLE[at + cut :])
    readable(SAMPLE[:at])


PIECES = [
    "P",
    "S (partial)",
    "01/02/2026",
    "01/05/2026 01/06/2026",
    "$1,001 -",
    "$15,000",
    "F S:",
    "D:",
    "[ST]",
    "(A)",
    "\n",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([*PIECES, HEADING, FOOT]) | st.text(max_size=6), max_size=30).map(" ".join))
def test_any_text_is_cut_into_lines(text: str) -> None:
    numbers = [line.number if isinstance(line, Line) else None for line in parse_report_text(text)]
    assert all(number in (None, at) for at, number in enumerate(numbers, start=1))


@pytest.mark.parametrize(
    "piece", ["01/05/2026 ", "$1,001 - ", "F S: ", "(", "D:\n", "a (Owner: ", " \n", "1/1/2026 1/1/2026\n"]
)
def test_a_long_text_takes_no_more_than_a_moment(piece: str) -> None:
    assert isinstance(parse_report_text(piece * (200_000 // len(piece))), list)


XML = index(member(), member(DocID="9116141"))


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(XML)), cut=st.integers(0, 40), new=st.binary(max_size=8), packed=st.booleans())
def test_a_hostile_index_is_read_or_is_a_changed_layout(at: int, cut: int, new: bytes, packed: bool) -> None:
    content = zipped(XML) if packed else XML
    try:
        parse_index(content[:at] + new + content[at + cut :], 2026)
    except LayoutError as error:
        assert str(error)


def test_text_of_a_document_with_several_pages() -> None:
    text = "\n".join(f"line {number}" for number in range(150))
    assert [line for line in pdf_text(document(text)).split("\n") if line.startswith("line")] == text.split("\n")
