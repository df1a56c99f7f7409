"""The House Clerk's disclosures, and the list of legislators at unitedstates.github.io.

Yearly indexes are zips with XML (with a byte order mark) and a tab-separated copy; they also list filings of other
types. Reports are PDF documents whose text has the quirks of the real ones: only the capitals of labels, wrapped
assets and amounts, dates without a blank between them, a heading on every page.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date
from functools import lru_cache
from textwrap import wrap
from typing import Any
from xml.sax.saxutils import escape

from pas_dagster.sandbox.congress import POLITICIANS, Politician
from pas_dagster.sandbox.sites.reports import Report, filed, reports
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site, json_answer

CLERK = "disclosures-clerk.house.gov"
LEGISLATORS = "unitedstates.github.io"

_INDEX = re.compile(r"/public_disc/financial-pdfs/(\d{4})FD\.zip")
_REPORT = re.compile(r"/public_disc/ptr-pdfs/(\d{4})/(\d+)\.pdf")
_NOT_FOUND = Answer(b"<html><head><title>404 - File or directory not found.</title></head></html>", 404, "text/html")
_FIRST_INDEX = 2008
_CODES = {"stock": "ST", "etf": "EF", "option": "OP", "bond": "GS", "other": "HN"}
_DIRECTIONS = {"buy": "P", "sell": "S", "exchange": "E"}
_PARTIES = {"D": "Democrat", "R": "Republican"}
_HEADING = (
    "ID Owner Asset Transaction",
    "Type",
    "Date Notification",
    "Date",
    "Amount Cap.",
    "Gains >",
    "$200?",
)
_LINES_A_PAGE = 60
_OPTION = (
    "D : Purchased call options with a strike price and an expiration date that the broker states, for an account "
    "that is managed by a third party"
)


def answer(present: Present, call: Call) -> Answer | None:
    """The indexes, the reports, and both lists of legislators."""
    if call.host == LEGISLATORS:
        return _legislators(present, call)
    if found := _INDEX.fullmatch(call.path):
        return _index(present, int(found[1]))
    if found := _REPORT.fullmatch(call.path):
        return _document(present, int(found[1]), found[2])
    return _NOT_FOUND


def _index(present: Present, year: int) -> Answer:
    """All filings of a year so far, by name as the Clerk lists them."""
    entries = [
        ("P", report.last, report.first, _seat(report), report.filed, report.filing_id)
        for report in filed(present, "house")
        if report.filed.year == year
    ]
    if year >= _FIRST_INDEX:
        entries += [one for one in _other_filings(year) if one[4] <= present.today]
    if not entries:
        return _NOT_FOUND
    entries.sort(key=lambda entry: (entry[1], entry[2], entry[4]))
    return Answer(_zipped(year, entries), type="application/x-zip-compressed")


def _other_filings(year: int) -> Iterator[tuple[str, str, str, str, date, str]]:
    """Withdrawals, extensions and annual reports."""
    for number, person in enumerate(POLITICIANS):
        if person.chamber == "house":
            first, _, last = person.name.rpartition(" ")
            seat = f"{person.state}{_district(person):02d}"
            yield "W", last, first, seat, date(year, 1, 5 + number % 20), f"80{year % 100}{number:04d}"
            yield "X", last, first, seat, date(year, 4, 15 + number % 9), f"30{year % 100}{number:04d}"
            yield "O", last, first, seat, date(year, 8, 3 + number % 11), f"10{year % 100}{number:04d}"


def _seat(report: Report) -> str:
    person = next(one for one in POLITICIANS if one.name == f"{report.first} {report.last}")
    return f"{person.state}{_district(person):02d}"


def _district(person: Politician) -> int:
    return POLITICIANS.index(person) % 12 + 1


def _zipped(year: int, entries: Sequence[tuple[str, str, str, str, date, str]]) -> bytes:
    members, table = [], ["Prefix\tLast\tFirst\tSuffix\tFilingType\tStateDst\tYear\tFilingDate\tDocID"]
    for kind, last, first, seat, on, number in entries:
        day = f"{on.month}/{on.day}/{on.year}"
        members.append(
            f"  <Member>\r\n    <Prefix>Hon.</Prefix>\r\n    <Last>{escape(last)}</Last>\r\n"
            f"    <First>{escape(first)}</First>\r\n    <Suffix />\r\n    <FilingType>{kind}</FilingType>\r\n"
            f"    <StateDst>{seat}</StateDst>\r\n    <Year>{year}</Year>\r\n"
            f"    <FilingDate>{day}</FilingDate>\r\n    <DocID>{number}</DocID>\r\n  </Member>\r\n"
        )
        table.append(f"Hon.\t{last}\t{first}\t\t{kind}\t{seat}\t{year}\t{day}\t{number}")
    body = f"<FinancialDisclosure>\r\n{''.join(members)}</FinancialDisclosure>"
    xml = f'\ufeff<?xml version="1.0" encoding="utf-8"?>\r\n{body}'
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for suffix, text in (("txt", "\r\n".join(table)), ("xml", xml)):
            # With a fixed time of change, so that the same filings are the same bytes.
            archive.writestr(zipfile.ZipInfo(f"{year}FD.{suffix}"), text.encode(), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _document(present: Present, year: int, number: str) -> Answer:
    report = reports(present.world, "house").get(number)
    if report is None or report.filed.year != year or report.filed_at > present.now:
        return _NOT_FOUND
    return Answer(_pdf(list(_text(report))), type="application/pdf")


def _text(report: Report) -> Iterator[str]:
    """The lines of characters of the form, in the order in which the document has them."""
    yield f"Filing ID #{report.filing_id}"
    yield "P T R"
    yield "Clerk of the House of Representatives • Legislative Resource Center • B81 Cannon Building"
    yield "F I"
    yield f"Name: Hon. {report.first} {report.last}"
    yield "Status: Member"
    yield f"State/District:{_seat(report)}"
    yield "T"
    yield from _HEADING
    for row in report.lines:
        yield from _entry(report, row)
    yield "* For the complete list of asset type abbreviations, please visit https://fd.house.gov/reference/"
    yield "asset-type-codes.aspx."
    yield "I P O"
    yield "C S"
    yield "I CERTIFY that the statements I have made on the attached Periodic Transaction Report are true."
    yield f"Digitally Signed: Hon. {report.first} {report.last} , {report.filed:%m/%d/%Y}"


def _entry(report: Report, row: dict[str, Any]) -> Iterator[str]:
    owner = "" if row["owner"] == "SELF" else f"{row['owner']} "
    ticker = f"({row['symbol']}) " if row["symbol"] else ""
    *above, last = wrap(f"{owner}{row['asset_description']} {ticker}[{_CODES[row['asset_type']]}]", 38)
    yield from above
    extent = f" ({row['extent']})" if row["extent"] else ""
    # Where the column is narrow the two dates and the amount touch each other.
    gap = "" if int(report.filing_id) % 2 else " "
    low, high = (f"${row[name]:,.0f}" for name in ("amount_low", "amount_high"))
    dates = f"{row['event_date']:%m/%d/%Y}{gap}{report.filed:%m/%d/%Y}{gap}"
    start = f"{_DIRECTIONS[row['direction']]}{extent} {dates}{low} -"
    if above:
        yield last
    else:
        start = f"{last} {start}"
    yield from [start, high] if row["amount_low"] > 100_000 else [f"{start} {high}"]
    yield "F S : New"
    if row["asset_type"] == "option":
        yield from wrap(_OPTION, 100)
    if row["line"] % 4 == 0:
        yield "S O : Brokerage Account"


def _pdf(lines: Sequence[str]) -> bytes:
    """A document with the lines as text, `_LINES_A_PAGE` a page; the table's heading is on every page."""
    starts = range(0, len(lines), _LINES_A_PAGE)
    pages = [[*(_HEADING if at else ()), *lines[at : at + _LINES_A_PAGE]] for at in starts]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, page in enumerate(pages):
        shown = b"".join(b"(" + _escaped(line) + b") Tj T*\n" for line in page)
        stream = b"BT /F1 8 Tf 40 770 Td 11 TL\n" + shown + b"ET"
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {5 + 2 * number} 0 R >>".encode(),
            b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream),
        ]
    return _numbered(objects)


def _escaped(text: str) -> bytes:
    return re.sub(rb"([\\()])", rb"\\\1", text.encode("cp1252", errors="replace"))


def _numbered(objects: Sequence[bytes]) -> bytes:
    """The file: its objects, the table of where they are, and the trailer."""
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    body += b"xref\n0 %d\n0000000000 65535 f \n%b" % (size, table)
    return body + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, body.rindex(b"xref\n0 "))


def _legislators(present: Present, call: Call) -> Answer:
    if call.path == "/congress-legislators/legislators-historical.json":
        return json_answer([])
    if call.path == "/congress-legislators/legislators-current.json":
        return json_answer(_current(present.today.year))
    return Answer(b"Not Found", 404)


@lru_cache(maxsize=8)
def _current(year: int) -> list[dict[str, Any]]:
    """Those who have a Bioguide id; who is new has none yet, and is not listed."""
    return [_legislator(person, year) for person in POLITICIANS if person.bioguide_id]


def _legislator(person: Politician, year: int) -> dict[str, Any]:
    given, _, last = person.name.rpartition(" ")
    first, _, middle = given.partition(" ")
    name = {"first": first, "last": last, "official_full": person.name} | ({"middle": middle} if middle else {})
    senator = person.chamber == "senate"
    seat: dict[str, Any] = {"class": 1} if senator else {"district": _district(person)}
    terms = [
        {
            "type": "sen" if senator else "rep",
            "start": f"{begin}-01-03",
            "end": f"{begin + (6 if senator else 2)}-01-03",
            "state": person.state,
            "party": _PARTIES[person.party],
            **seat,
        }
        for begin in range(2001, year + 1, 6 if senator else 2)
    ]
    return {"id": {"bioguide": person.bioguide_id}, "name": name, "bio": {"gender": "F"}, "terms": terms}


SITE = Site(hosts=(CLERK, LEGISLATORS), answer=answer, limit=(4, 1.0))
