"""The House Clerk: periodic transaction reports of representatives, as PDF documents listed by a yearly index.

Index: `https://disclosures-clerk.house.gov/public_disc/financial-pdfs/{YEAR}FD.zip` with `{YEAR}FD.xml`, a `Member`
for each filing; type P is a periodic transaction report. Document: `ptr-pdfs/{YEAR}/{DocID}.pdf`, electronic (with
text) where DocID has eight digits and starts with 2, else a scanned image. The forms are described at
https://fd.house.gov/reference/asset-type-codes.aspx and https://ethics.house.gov/financial-disclosure.

A line reads `SP Asset name (TICKER) [ST] P 01/05/2026 01/12/2026 $1,001 - $15,000`, with `F S : New` (Filing Status)
and perhaps `S O :`, `D :`, `C :`, `L :` below: of labels set in small capitals only the capitals are in the text.
Cells wrap, so a line's text is put together again around its two dates, the only place where two stand side by side.
Documents from before 2021 mix up upper and lower case (`(aPD) [sT]`). An index of one year lists filings of the first
days of the next.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from pas_dagster import calendar
from pas_dagster.sources.disclosures import (
    BRACKETS,
    LEGISLATORS_HOST,
    Line,
    Members,
    day,
    legislators,
    members,
    person,
    trade,
)
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, Walk, collect

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

HOST = "disclosures-clerk.house.gov"
INDEX = "house-index"
REPORT = "house-report"
SINCE = date(2014, 1, 1)
"""Hardly any report of earlier years is electronic."""

_ROOT = f"https://{HOST}/public_disc"
_FIELDS = ("Last", "First", "FilingType", "StateDst", "FilingDate", "DocID")
_ELECTRONIC = re.compile(r"2\d{7}", re.ASCII)
_MOST_XML = 64 << 20
_MOST_PAGES = 300

_HEADER_END = re.compile(r"\$\s?200\s?\?")
_FOOT = re.compile(
    r"^[ \t]{0,9}\*[ \t]{0,9}for the complete list of asset|^.{0,40}\bI certify that the statements", re.I | re.M
)
_HEADER_WORDS = frozenset(
    ("id", "owner", "asset", "transaction", "type", "date", "notification", "amount", "cap.", "gains", ">", "$200?")
)
_FILING_ID = re.compile(r"Filing ID\s*#?\s*\d*", re.IGNORECASE)
_LABEL = re.compile(
    r"(?:(?P<status>F\s{0,3}(?:iling)?\s{0,9}S\s{0,3}(?:tatus)?)|(?P<vehicle>S\s{0,3}(?:ubholding)?\s{0,9}O\s{0,3}f?)"
    r"|D\s{0,3}(?:escription)?|C\s{0,3}(?:omments?)?|L\s{0,3}(?:ocation)?)\s{0,3}:",
    re.IGNORECASE,
)
_STATUS_LABEL = re.compile(r"\bfiling\s{1,9}status\s{0,3}:", re.IGNORECASE)
_DATES = re.compile(r"(\d{1,2}/\d{1,2}/\d{4})\s{0,9}(\d{1,2}/\d{1,2}/\d{4})\s{0,9}", re.ASCII)
_OPERATION = re.compile(r"(?:^|(?<=[\s\])]))([PSE](?:\s{0,9}\((?:partial|full)\))?)\s{0,9}\Z", re.IGNORECASE)
_AMOUNT = re.compile(
    r"(?:(?:spouse/dc\s{1,9})?over\s{1,9}\$[\d,]{1,16}|(?P<low>\$[\d,]{1,16})(?:\.\d\d)?"
    r"(?P<open>\s{0,9}-(?:\s{0,9}(?P<high>\$[\d,]{1,16})(?:\.\d\d)?)?)?)",
    re.IGNORECASE | re.ASCII,
)
_UPPER_END = dict(BRACKETS)
_CHECKBOX = re.compile(r"(?<!\S)gfedcb?(?!\S)|^\s?[gfedcb]\s?$", re.MULTILINE)  # a box, as its font spells it
_ROW_ID = re.compile(r"^\d{10}\s+", re.ASCII)
_OWNER = re.compile(r"^(SP|JT|DC)\s+")
_OWNER_ANY_CASE = re.compile(r"^(SP|JT|DC)\s+", re.IGNORECASE)
_CODE = re.compile(r"\[([A-Za-z0-9]{2})\]")
_TICKER = re.compile(r"\(\s?([A-Z][A-Z0-9]{0,5}(?:[./ -][A-Z]{1,2})?)\s?\)\Z")
_TICKER_ANY_CASE = re.compile(_TICKER.pattern, re.IGNORECASE)
_VEHICLE_OWNER = re.compile(r"([^\n]{1,200}?)\s{0,9}\(Owner:\s{0,9}(SP|JT|DC)\)", re.IGNORECASE)
_NO_SECURITY = frozenset({"CT"})  # a crypto currency's ticker can be that of an unrelated security
_WIDE = 60  # characters: a line of a label may be as wide as the page and goes on below; the column of assets is narrow


@dataclass(frozen=True)
class Filing:
    """A periodic transaction report as the index lists it; `seat` is a state and a district (`MI04`)."""

    year: int
    doc_id: str
    filed: date
    first: str
    last: str
    suffix: str
    seat: str

    @property
    def electronic(self) -> bool:
        return _ELECTRONIC.fullmatch(self.doc_id) is not None

    @property
    def url(self) -> str:
        return f"{_ROOT}/ptr-pdfs/{self.year}/{self.doc_id}.pdf"


def walk(query: Query) -> Walk:
    """The indexes of the years, then the electronic reports filed in the window, all at once."""
    years = range(max(query.first.year, SINCE.year) - 1, query.last.year + 1)
    pages = yield [*(_index_request(year, query) for year in years), *legislators()]
    listed = [filing for page in pages if page.kind == INDEX for filing in _filings(page, query)]
    reports = [_report_request(filing) for filing in listed if isinstance(filing, Filing) and filing.electronic]
    if reports:
        yield reports


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of politician_trades. A report that cannot be read as a text is one `Bad`."""
    who = members(pages)
    return collect(
        (page for page in pages if page.kind in (INDEX, REPORT)),
        lambda page: _scanned(page, query) if page.kind == INDEX else _report(page, who),
    )


def _index_request(year: int, query: Query) -> Request:
    # The first filing of a year makes its index, so in January there may be none.
    today = calendar.today(query.now)
    answers = frozenset({200, 404}) if (today.year, today.month) == (year, 1) else frozenset({200})
    url = f"{_ROOT}/financial-pdfs/{year}FD.zip"
    return Request(url, kind=INDEX, notes={"year": str(year)}, answers=answers)


def _report_request(filing: Filing) -> Request:
    notes = {
        "doc_id": filing.doc_id,
        "filed": filing.filed.isoformat(),
        "first": filing.first,
        "last": filing.last,
        "suffix": filing.suffix,
        "seat": filing.seat,
    }
    return Request(filing.url, kind=REPORT, notes=notes, answers=frozenset({200, 404}))


def _filings(page: Page, query: Query) -> list[Filing | Bad]:
    """What the index lists in the window, and what cannot be read of it."""
    if page.status == 404:
        return []
    try:
        listed = parse_index(page.content, int(page.notes["year"]))
    except LayoutError as error:
        error.page = page
        raise
    return [one for one in listed if isinstance(one, Bad) or query.first <= one.filed <= query.last]


def _scanned(page: Page, query: Query) -> Iterator[Bad]:
    for one in _filings(page, query):
        if isinstance(one, Bad):
            yield one
        elif not one.electronic:
            yield Bad("scanned image; needs OCR", f"{one.url} {one.first} {one.last}, filed {one.filed}", expected=True)


def parse_index(content: bytes, year: int) -> list[Filing | Bad]:
    """The periodic transaction reports of an index, zipped or as its XML. Raises `LayoutError`.

    A report whose day or number cannot be read is `Bad`.
    """
    from xml.etree.ElementTree import ParseError

    import defusedxml
    import defusedxml.ElementTree

    try:
        root = defusedxml.ElementTree.fromstring(_xml(content))
    except (ParseError, defusedxml.DefusedXmlException, ValueError, LookupError):
        raise LayoutError("the index must hold well-formed XML") from None
    filings = root.findall("Member")
    if root.tag != "FinancialDisclosure" or not filings:
        raise LayoutError("the index must be a FinancialDisclosure with at least one Member")
    for name in _FIELDS:
        if all(filing.find(name) is None for filing in filings):
            raise LayoutError(f"every Member of the index must have a {name}")
    return [_filing(filing, year) for filing in filings if _text(filing, "FilingType") == "P"]


def _xml(content: bytes) -> bytes:
    if not content.startswith(b"PK"):
        return content
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = next((one for one in archive.infolist() if one.filename.lower().endswith(".xml")), None)
            if found is None or found.file_size > _MOST_XML:
                raise LayoutError(f"the index must be a zip with an XML file of at most {_MOST_XML >> 20} MB")
            with archive.open(found) as stream:
                return stream.read(_MOST_XML)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError):
        raise LayoutError("the index must be a sound zip") from None


def _filing(entry: Element, year: int) -> Filing | Bad:
    told = {name: _text(entry, name) for name in (*_FIELDS, "Suffix")}
    filed = day(told["FilingDate"])
    if filed is None or not told["DocID"].isalnum() or not told["DocID"].isascii():
        return Bad("the day of filing or the number cannot be read", told)
    return Filing(year, told["DocID"], filed, told["First"], told["Last"], told["Suffix"], told["StateDst"])


def _text(entry: Element, name: str) -> str:
    return (entry.findtext(name) or "").strip()


def _report(page: Page, who: Members) -> Iterator[dict[str, object] | Bad]:
    told = page.notes
    label = f"{page.request.url} {told['first']} {told['last']}, filed {told['filed']}"
    if page.status == 404:
        yield Bad("the index lists the report, but it is not there", label)
        return
    text = pdf_text(page.content)
    if not text.strip():
        yield Bad("scanned image; needs OCR", label, expected=True)
        return
    filing, filed = _facts(told, who), date.fromisoformat(told["filed"])
    lines = parse_report_text(text)
    if not lines:
        yield Bad("no transaction was found in the report", text)
    for line in lines:
        if isinstance(line, Bad):
            yield line
        else:
            yield trade(line, filed, filing)


def _facts(told: Mapping[str, str], who: Members) -> dict[str, object]:
    """The columns that all lines of a filing share."""
    state, district = told["seat"][:2], told["seat"][2:]
    number = int(district) if district.isascii() and district.isdigit() else None
    found = who.find("house", told["first"], told["last"], date.fromisoformat(told["filed"]), state, number)
    name = f"{told['first']} {told['last']} {told['suffix']}"
    return {
        **found,
        "filing_id": told["doc_id"],
        "politician": person(name),
        "chamber": "house",
        "state": state or None,
    }


def pdf_text(content: bytes) -> str:
    """The text of a document, page after page; '' for one that has only images. Raises `LayoutError`."""
    import logging

    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    if not content.lstrip()[:5] == b"%PDF-":
        raise LayoutError("a report must be a PDF document")
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it tells of every flaw that it can work around
    try:
        pages = PdfReader(io.BytesIO(content)).pages
        return "\n".join(page.extract_text() for page, _ in zip(pages, range(_MOST_PAGES), strict=False))
    except DependencyError as error:
        raise LayoutError(f"a report must be a PDF that can be read as it is ({error})") from None
    except (PyPdfError, *_OF_A_BROKEN_PDF):
        raise LayoutError("a report must be a sound PDF document") from None


# What pypdf lets through when objects are not of the type that the format demands.
_OF_A_BROKEN_PDF = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, NotImplementedError),
    *(ArithmeticError, RecursionError, MemoryError, EOFError, OSError, zlib.error),
)


def parse_report_text(text: str) -> list[Line | Bad]:
    """The lines of a report's table, in order, in the report's own words.

    The text may be in the order of the document (a line's cells one after the other) or of the page (the rows of
    characters across all cells).
    """
    text = re.sub(r"[\x00-\x08\x0b-\x1f]", "", text.replace("\xa0", " "))
    mixed = any(not _in_one_case(label[0]) for label in _STATUS_LABEL.finditer(text))
    table, rest = _table(text)
    owners = {" ".join(name.lower().split()): code.upper() for name, code in _VEHICLE_OWNER.findall(rest)}
    lines: list[Line | Bad] = []
    for row in _rows(table):
        if not row.dates:
            lines.append(Bad("a line without the dates of trade and notice", row.asset))
            continue
        line = _line(row, len(lines) + 1, mixed)
        inherited = owners.get(" ".join(row.vehicle.lower().split()))
        if row.status.lower() == "deleted":
            lines.append(Bad("the line withdraws an earlier one", row.asset, expected=True))
        else:
            lines.append(replace(line, owner=line.owner or inherited or ""))
    return lines


def _in_one_case(label: str) -> bool:
    """Whether a label has its letters as they were set; documents of before 2021 spell it `FILINg STaTuS`."""
    return label.isupper() or label.istitle()


def _table(text: str) -> tuple[str, str]:
    """The transactions without headings, and what follows them."""
    foot = _FOOT.search(text)
    body, rest = (text[: foot.start()], text[foot.start() :]) if foot else (text, "")
    head = _HEADER_END.search(body)
    kept = [line.strip() for line in body[head.end() if head else 0 :].split("\n")]
    return "\n".join(line for line in kept if line and not _is_heading(line)), rest


def _is_heading(line: str) -> bool:
    return all(word in _HEADER_WORDS for word in line.lower().split()) or _FILING_ID.fullmatch(line) is not None


@dataclass(frozen=True)
class _Row:
    """The text of a line of the table, sorted: `asset` may still begin with the owner; `dates` is '' if none were."""

    asset: str
    operation: str
    dates: str
    amount: str
    status: str
    vehicle: str


def _rows(table: str) -> Iterator[_Row]:
    """Cut the table at the pairs of dates; what stands between two belongs partly to the line above, partly below."""
    found = list(_DATES.finditer(table))
    before, unread = _Gap.first(table[: found[0].start()] if found else table)
    yield from unread
    for at, dates in enumerate(found):
        end = found[at + 1].start() if at + 1 < len(found) else len(table)
        size = _AMOUNT.match(table, dates.end(), end)
        between = table[size.end() if size else dates.end() : end]
        operation = _OPERATION.search(before[-40:])
        asset = before[: len(before) - len(before[-40:]) + operation.start()] if operation else before
        gap = _Gap.split(between, last=at + 1 == len(found), complete=_CODE.search(asset) is not None)
        tail, amount = _whole_amount(size, gap.tail)
        words = " ".join(_CHECKBOX.sub(" ", f"{asset}\n{tail}").split())
        yield _Row(words, operation[1] if operation else "", dates[1], amount, gap.status, gap.vehicle)
        yield from gap.unread
        before = gap.next


@dataclass(frozen=True)
class _Gap:
    """What stands between two pairs of dates: the rest of the line above, its labels, the beginning of the next.

    `unread` are lines of the table that have no dates.
    """

    tail: str
    status: str
    vehicle: str
    next: str
    unread: tuple[_Row, ...]

    @classmethod
    def first(cls, text: str) -> tuple[str, tuple[_Row, ...]]:
        """What stands before the first dates."""
        gap = cls._labelled(text.split("\n"), 0)
        return gap.next, gap.unread

    @classmethod
    def split(cls, text: str, last: bool, complete: bool) -> _Gap:
        """`last` if no line follows; `complete` if the asset's code, its last word, was read above."""
        lines = text.split("\n")
        labels = (at for at, line in enumerate(lines) if _LABEL.match(line))
        at = next(labels, len(lines) if last else _end_of_asset(lines, complete))
        gap = cls._labelled(lines[at:], 1)
        return replace(gap, tail="\n".join(lines[:at]))

    @classmethod
    def _labelled(cls, lines: list[str], seen: int) -> _Gap:
        """Labels with what they say, then the beginning of the next line; `seen` lines of the table have been."""
        told: dict[str, str] = {}
        asset: list[str] = []
        unread: list[_Row] = []
        wide = False  # the label's text may go on
        for line in lines:
            label = _LABEL.match(line)
            if label:
                if label["status"] and asset and ("status" in told or not seen):
                    unread.append(_Row(" ".join(asset), "", "", "", "", ""))
                asset = []
                for name in ("status", "vehicle"):
                    if label[name]:
                        told.setdefault(name, line[label.end() :].strip())
                wide = len(line) >= _WIDE
            elif wide and not _OWNER.match(line):
                wide = len(line) >= _WIDE
            else:
                wide = False
                asset.append(line)
        return cls("", told.get("status", ""), told.get("vehicle", ""), "\n".join(asset), tuple(unread))


def _end_of_asset(lines: list[str], complete: bool) -> int:
    """How many lines, without a label between, still belong to the asset above."""
    if complete:
        return 1
    ends = (at + 1 for at, line in enumerate(lines) if _CODE.search(line) or line.endswith(")"))
    return next(ends, 1)


def _whole_amount(size: re.Match[str] | None, tail: str) -> tuple[str, str]:
    """The tail of the line without the amount's upper end, if that is where it wrapped to, and the amount."""
    if size is None:
        return tail, ""
    if size["open"] is None or size["high"]:
        return tail, " ".join(size[0].split())
    end = _UPPER_END.get(int(re.sub(r"\D", "", size["low"]) or 0))
    return (re.sub(rf"\${end:,}(?!\d)", " ", tail, count=1) if end else tail), size["low"]


def _line(row: _Row, number: int, mixed: bool) -> Line:
    asset = _ROW_ID.sub("", row.asset)
    owner = (_OWNER_ANY_CASE if mixed else _OWNER).match(asset)
    asset = asset[owner.end() :] if owner else asset
    codes = list(_CODE.finditer(asset))
    code = codes[-1] if codes else None
    name, after = (asset[: code.start()].strip(), asset[code.end() :].strip()) if code else (asset, "")
    ticker = (_TICKER_ANY_CASE if mixed else _TICKER).search(name[-16:])
    if ticker:
        name = name[: len(name) - len(ticker[0])].strip()
    kind = code[1].upper() if code else ""
    return Line(
        number=number,
        traded=row.dates,
        owner=owner[1].upper() if owner else "",
        symbol=ticker[1].upper() if ticker and kind not in _NO_SECURITY else None,
        description=f"{name} {after}".strip(),
        asset_type=kind,
        operation=row.operation,
        amount=row.amount,
    )


SOURCES = (
    Source(
        name="house",
        dataset="politician_trades",
        title="House Clerk, periodic transaction reports",
        hosts=(HOST, LEGISLATORS_HOST),
        walk=walk,
        read=read,
        since=SINCE,
        note="Representatives only. Reports filed on paper are scanned images and are quarantined, one row each. "
        "An amended report counts as a filing of its own.",
    ),
)
