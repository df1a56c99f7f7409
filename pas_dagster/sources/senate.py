"""The Senate's eFD: periodic transaction reports of senators, found by a search and read as web pages.

https://efdsearch.senate.gov: `/search/home/` asks to agree to the prohibition on obtaining and using reports
(5 U.S.C. 13107(c)); who has agreed may search. `POST /search/report/data/` answers as DataTables do, at most 100 rows
of `[first name, last name, office, link, day filed]`; report type 11 is the periodic transaction report. The report
`/search/view/ptr/{uuid}/` says when it was filed (to the minute, Washington time) and has a table `# | Transaction Date
| Owner | Ticker | Asset Name | Asset Type | Type | Amount | Comment`; one filed on paper (`/search/view/paper/{uuid}/`)
is a set of images. A session that ended leads back to the home page.

An amended report (`(Amendment 1)` in its title) repeats the whole report; it counts as a filing of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pas_dagster import calendar
from pas_dagster.sources.disclosures import LEGISLATORS_HOST, Line, Members, day, legislators, members, person, trade
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.rules import broken, json_of
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, Walk, collect

if TYPE_CHECKING:
    from lxml.html import HtmlElement

HOST = "efdsearch.senate.gov"
HOME = f"https://{HOST}/search/home/"
SEARCH = f"https://{HOST}/search/"
DATA = f"https://{HOST}/search/report/data/"
SINCE = date(2012, 7, 1)
"""Reports are due since the STOCK Act of 2012."""

LIST = "senate-list"
REPORT = "senate-report"
_SESSION = "senate-session"
_PAGE = 100  # the most rows that the search gives at once
_MOST_LISTED = 100_000
_LINK = re.compile(r"""href=["'](/search/view/(ptr|paper)/([0-9A-Fa-f-]{8,40})/)["'][^>]{0,99}>([^<]{0,200})""")
_OFFICE = re.compile(r"^[^,]{1,80},\s*([^(]{1,80})\(")
_FILED = re.compile(r"Filed\s+(\d\d?/\d\d?/\d{4})\s+@\s+(\d\d?):(\d\d)\s+([AP]M)", re.ASCII)
_TOTAL = re.compile(r"\((\d{1,6}) transactions? total\)")
_COLUMNS = ("#", "transaction date", "owner", "ticker", "asset name", "asset type", "type", "amount")


@dataclass(frozen=True)
class Listed:
    """A report as the search lists it. `given` are first names, with the calling name of the office."""

    uuid: str
    paper: bool
    first: str
    last: str
    given: str
    title: str
    filed: date

    @property
    def url(self) -> str:
        return f"{SEARCH}view/{'paper' if self.paper else 'ptr'}/{self.uuid}/"


def walk(query: Query) -> Walk:
    """Agree, search the window, then ask for all electronic reports at once."""
    home, *_ = yield [Request(HOME, kind=_SESSION), *legislators()]
    form = {"prohibition_agreement": "1", "csrfmiddlewaretoken": _token(home)}
    agreement = Request(HOME, _SESSION, method="POST", form=form, headers={"Referer": HOME}, reads_only=True)
    (agreed,) = yield [agreement]
    if _is_home(agreed):
        raise broken(agreed, "who agrees must be led on to the search")
    token = _token(agreed)
    (first,) = yield [_search(query, token, 0)]
    total = _total(first)
    rest = [_search(query, token, start) for start in range(_PAGE, total, _PAGE)]
    pages = [first, *((yield rest) if rest else [])]
    rows = [row for page in pages for row in parse_list(page)]
    if len(rows) < total:
        raise broken(pages[-1], f"the search must list all {total} reports that it counts, not {len(rows)}")
    reports = {row.uuid: row for row in rows if isinstance(row, Listed) and not row.paper}
    if reports:
        yield [_report_request(report) for report in reports.values()]


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of politician_trades. A report filed on paper is one `Bad`."""
    who = members(pages)
    return collect(
        (page for page in pages if page.kind in (LIST, REPORT)),
        lambda page: _unread(page) if page.kind == LIST else parse_report(page, who),
    )


def _search(query: Query, token: str, start: int) -> Request:
    form = {
        "start": str(start),
        "length": str(_PAGE),
        "report_types": "[11]",
        "filer_types": "[]",
        "submitted_start_date": f"{query.first:%m/%d/%Y} 00:00:00",
        "submitted_end_date": f"{query.last:%m/%d/%Y} 23:59:59",
        "candidate_state": "",
        "senator_state": "",
        "office_id": "",
        "first_name": "",
        "last_name": "",
        "csrfmiddlewaretoken": token,
    }
    headers = {"Referer": SEARCH, "X-CSRFToken": token, "X-Requested-With": "XMLHttpRequest"}
    return Request(DATA, LIST, method="POST", form=form, headers=headers, reads_only=True)


def _report_request(report: Listed) -> Request:
    notes = {
        "uuid": report.uuid,
        "first": report.first,
        "last": report.last,
        "given": report.given,
        "title": report.title,
        "filed": report.filed.isoformat(),
    }
    return Request(report.url, REPORT, notes, headers={"Referer": SEARCH})


def _is_home(page: Page) -> bool:
    return urlsplit(page.url).path == urlsplit(HOME).path


def _token(page: Page) -> str:
    """The token that a form of the page carries, and every POST must bring back."""
    found = _document(page).xpath("//input[@name='csrfmiddlewaretoken']/@value")
    if not found:
        raise broken(page, "the page must have a form with a csrfmiddlewaretoken")
    return str(found[0])


def _document(page: Page) -> HtmlElement:
    from lxml import etree, html  # ty: ignore[import-not-found]

    try:
        return html.document_fromstring(page.content, parser=html.HTMLParser(encoding="utf-8", no_network=True))
    except (etree.LxmlError, ValueError):
        raise broken(page, "the page must be HTML") from None


def _total(page: Page) -> int:
    total = _listing(page).get("recordsFiltered")
    if not isinstance(total, int) or not 0 <= total <= _MOST_LISTED:
        raise broken(page, f"the search must count what it found (recordsFiltered), at most {_MOST_LISTED:,}")
    return total


def _listing(page: Page) -> dict[str, object]:
    if _is_home(page):
        raise broken(page, "the search must not lead back to the agreement: the session ended")
    try:
        listing = json_of(page, dict)
    except LayoutError as error:
        error.page = page
        raise
    if not isinstance(listing.get("data"), list):
        raise broken(page, "the search must answer with a list `data`")
    return listing


def parse_list(page: Page) -> list[Listed | Bad]:
    """The reports on a page of the search. Raises `LayoutError`; a row that cannot be read is `Bad`."""
    rows = _listing(page)["data"]
    assert isinstance(rows, list)
    return [_listed(row) for row in rows]


def _listed(row: object) -> Listed | Bad:
    if not isinstance(row, list) or len(row) < 5 or not all(isinstance(cell, str) for cell in row[:5]):
        return Bad("a report must be listed with first name, last name, office, link and day", row)
    first, last, office, anchor, filed = (" ".join(cell.split()) for cell in row[:5])
    link, on = _LINK.search(anchor), day(filed)
    if link is None or on is None:
        return Bad("the link to the report or its day cannot be read", row)
    called = _OFFICE.match(office)
    given = f"{first} {called[1].strip()}" if called else first
    return Listed(link[3].lower(), link[2] == "paper", first, last, given, link[4].strip(), on)


def _unread(page: Page) -> Iterator[Bad]:
    for row in parse_list(page):
        if isinstance(row, Bad):
            yield row
        elif row.paper:
            yield Bad(
                "filed on paper; needs OCR", f"{row.url} {row.first} {row.last}, filed {row.filed}", expected=True
            )


def parse_report(page: Page, who: Members) -> Iterator[dict[str, object] | Bad]:
    """The lines of a report as rows. Raises `LayoutError`."""
    if _is_home(page):
        raise LayoutError("a report must not lead back to the agreement: the session ended")
    document = _document(page)
    text = " ".join(document.text_content().split())
    header, rows = _table(document)
    stated = _TOTAL.search(text)
    if len(rows) != int(stated[1]) if stated else not rows:
        raise LayoutError(f"a report must list as many transactions as it counts, not {len(rows)}")
    filed = date.fromisoformat(page.notes["filed"])
    filing = _facts(page.notes, who, filed) | {"known_at": _filed_at(text, filed)}
    for cells in rows:
        line = _line(dict(zip(header, cells, strict=False)))
        yield line if isinstance(line, Bad) else trade(line, filed, filing)


def _filed_at(text: str, filed: date) -> datetime | None:
    """The instant of filing, UTC: `Filed 05/22/2018 @ 6:31 AM` by Washington's clocks; None if it is of another day."""
    found = _FILED.search(text)
    if found is None or day(found[1]) != filed:
        return None
    hour, minute, half = int(found[2]), int(found[3]), found[4]
    if not (1 <= hour <= 12 and minute < 60):
        return None
    local = time(hour % 12 + 12 * (half == "PM"), minute)
    return datetime.combine(filed, local, calendar.NEW_YORK).astimezone(UTC)


def _table(document: HtmlElement) -> tuple[list[str], list[list[HtmlElement]]]:
    """The names of the columns, in small letters, and the cells of the rows."""
    for table in document.iter("table"):
        header = [_words(cell).lower() for cell in table.iterfind(".//th")]
        if set(_COLUMNS) <= set(header):
            rows = [row.findall("td") for row in table.iterfind(".//tr")]
            return header, [cells for cells in rows if cells]
    raise LayoutError(f"a report must have a table with the columns {', '.join(_COLUMNS)}")


def _line(cells: Mapping[str, HtmlElement]) -> Line | Bad:
    told = {name: _words(cells[name]) if name in cells else "" for name in _COLUMNS}
    number = told["#"]
    if not (number.isascii() and number.isdigit() and 0 < len(number) < 7 and int(number)):
        return Bad("a line must be numbered from 1", told)
    return Line(
        number=int(number),
        traded=told["transaction date"],
        owner=told["owner"],
        symbol=None if told["ticker"] in ("", "-", "--") or " " in told["ticker"] else told["ticker"],
        description=told["asset name"],
        asset_type=told["asset type"],
        operation=told["type"],
        amount=told["amount"],
    )


def _words(cell: HtmlElement) -> str:
    return " ".join(" ".join(cell.itertext()).split())


def _facts(told: Mapping[str, str], who: Members, filed: date) -> dict[str, object]:
    """The columns that all lines of a report share."""
    found = who.find("senate", told["given"], told["last"], filed)
    name = person(f"{told['first']} {told['last']}")
    return {**found, "filing_id": told["uuid"], "politician": name, "chamber": "senate"}


SOURCES = (
    Source(
        name="senate",
        dataset="politician_trades",
        title="Senate eFD, periodic transaction reports",
        hosts=(HOST, LEGISLATORS_HOST),
        walk=walk,
        read=read,
        since=SINCE,
        note="Senators only. Whoever asks agrees that reports are not used for commercial purposes, to determine "
        "credit ratings or to solicit money (5 U.S.C. 13107(c)). Reports filed on paper are images and are "
        "quarantined, one row each. An amended report counts as a filing of its own.",
    ),
)
