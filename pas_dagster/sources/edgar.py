"""SEC EDGAR: what insiders report on Form 4, told in two ways.

*History*: for each quarter that is over, the ZIP of the SEC's data sets (`form345`): one request a quarter, prices
rounded to cents, no time. The SEC keeps it under one of two folders, so both are tried; until it is published (some
days after the quarter's end) the days of the quarter are told by the second way.

*Days*: the index of each day (https://www.sec.gov/search-filings/edgar-search-assistance/accessing-edgar-data,
`daily-index/YYYY/QTRn/form.YYYYMMDD.idx`), and of each form 4 the full submission it names: the header states the
instant of acceptance, `<XML>` holds the document (`ownership`). An index lists a filing under its issuer and under each
owner; it is asked for once. `company_tickers.json` says which issuers are listed: filings of others are not asked for,
but those of issuers it does not know are.

Known on the filing day. A form 4 that EDGAR accepts by 22:00 New York time is filed on that day (other forms: by
17:30), so `known_at` is the acceptance; what is dated later than accepted was known on its filing day, at no stated
time.

Only companies that are listed are told; an amendment (4/A) repeats lines under an accession of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import pandas as pd

from pas_dagster import calendar
from pas_dagster.schemas import normalise_symbols
from pas_dagster.sources.form345 import parse_quarter
from pas_dagster.sources.ownership import parse_ownership, symbols_listed
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.rules import broken, json_of
from pas_dagster.sources.sheets import sheets
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, Walk, collect

HOST = "www.sec.gov"
ARCHIVES = f"https://{HOST}/Archives"
TICKERS = f"https://{HOST}/files/company_tickers.json"
FOLDERS = ("structureddata", "datastandardsinnovation")
"""Where the data of quarters are: the second since 2026q2."""

_MOVED = (2026, 2)
_INDEX_LINE = re.compile(
    r"^4(?:/A)?\s+\S.*?\s(?P<cik>\d{1,10})\s+(?:\d{8}|\d{4}-\d\d-\d\d)\s+(?P<path>edgar/data/\S+)\s*$", re.ASCII
)
_ANY_LINE = re.compile(r"\s(?:\d{8}|\d{4}-\d\d-\d\d)\s+edgar/\S+\s*$", re.ASCII)
_PATH = re.compile(r"edgar/data/\d{1,10}/(?P<accession>\d{10}-\d{2}-\d{6})\.txt\Z", re.ASCII)
_ACCESSION = re.compile(rb"ACCESSION NUMBER:[ \t]{0,20}(\d{10}-\d{2}-\d{6})")
_FILED = re.compile(rb"FILED AS OF DATE:[ \t]{0,20}(\d{8})")
_ACCEPTED = re.compile(rb"<ACCEPTANCE-DATETIME>[ \t]{0,20}(\d{14})")
_HEADER = 65_536  # bytes; a header is shorter
_LONGEST_LINE = 400  # characters; they have about 200
_WEEK = 5  # weekdays; of more than that, EDGAR has accepted filings on some

Quarter = tuple[int, int]


def walk(query: Query) -> Walk:
    """Quarters that are over from their archives, all other days from their indices and documents."""
    published = yield from _quarters(query)
    yield from _days(query, [day for day in _weekdays(query) if _quarter(day) not in published])


def walk_quarters(query: Query) -> Walk:
    """Only quarters that are over and published."""
    yield from _quarters(query)


def walk_days(query: Query) -> Walk:
    """Only indices of days, and documents."""
    yield from _days(query, _weekdays(query))


def _quarters(query: Query) -> Generator[Sequence[Request], Sequence[Page], set[Quarter]]:
    """Asks for the archives of the window's quarters that are over; returns those that are published."""
    today = calendar.today(query.now)
    over = [quarter for quarter in _touched(query) if _quarter(today) > quarter]
    published: set[Quarter] = set()
    for attempt in range(len(FOLDERS)):
        left = [quarter for quarter in over if quarter not in published]
        if left:
            pages = yield [_archive(quarter, attempt) for quarter in left]
            published |= {quarter for quarter, page in zip(left, pages, strict=True) if page.status == 200}
    return published


def _touched(query: Query) -> list[Quarter]:
    (year, quarter), last = _quarter(query.first), _quarter(query.last)
    count = (last[0] - year) * 4 + last[1] - quarter + 1
    return [((year * 4 + quarter - 1 + n) // 4, (quarter - 1 + n) % 4 + 1) for n in range(count)]


def _quarter(day: date) -> Quarter:
    return day.year, (day.month + 2) // 3


def _archive(quarter: Quarter, attempt: int) -> Request:
    folder = FOLDERS[(attempt + (quarter >= _MOVED)) % len(FOLDERS)]
    name = f"insider-transactions-data-sets/{quarter[0]}q{quarter[1]}_form345.zip"
    return Request(f"https://{HOST}/files/{folder}/data/{name}", kind="quarter", answers=frozenset({200, 404}))


def _weekdays(query: Query) -> list[date]:
    last = min(query.last, calendar.today(query.now))
    every = (query.first + timedelta(n) for n in range((last - query.first).days + 1))
    return [day for day in every if day.weekday() < 5]


def _days(query: Query, days: Sequence[date]) -> Walk:
    if not days:
        return
    indices = [_index(day) for day in days]
    listed = symbols_listed(query.listed)
    asked = indices if listed is None else [*indices, Request(TICKERS, kind="tickers")]
    pages = yield asked
    known = _issuers(pages[len(indices)]) if listed is not None else {}
    filings = _filings(pages[: len(indices)])
    wanted = [request for request, ciks in filings if listed is None or _may_be_listed(ciks, known, listed)]
    if wanted:
        yield wanted


def _index(day: date) -> Request:
    year, quarter = _quarter(day)
    url = f"{ARCHIVES}/edgar/daily-index/{year}/QTR{quarter}/form.{day:%Y%m%d}.idx"
    # A day without filings has no file, and a missing file of the archives is forbidden.
    return Request(url, kind="index", answers=frozenset({200, 403, 404}))


def _filings(pages: Iterable[Page]) -> list[tuple[Request, frozenset[int]]]:
    """The forms 4 of indices, each once, with the numbers of all who are named as filing it."""
    paths: dict[str, str] = {}
    ciks: dict[str, set[int]] = {}
    for page in pages:
        for cik, path in parse_index(page):
            accession = _accession(path)
            paths.setdefault(accession, path)
            ciks.setdefault(accession, set()).add(cik)
    answers = frozenset({200, 404})
    return [
        (Request(f"{ARCHIVES}/{path}", kind="filing", answers=answers), frozenset(ciks[accession]))
        for accession, path in paths.items()
    ]


def _accession(path: str) -> str:
    found = _PATH.match(path)
    return found["accession"] if found else path


def parse_index(page: Page) -> list[tuple[int, str]]:
    """The forms 4 of a day's index: who is named, and the path of the submission. Raises `LayoutError`.

    Lines are read by their shape, not by the header's columns: it wraps, and does not stand above them.
    """
    if page.status in (403, 404):
        if b"<Code>AccessDenied</Code>" not in page.content and b"<Code>NoSuchKey</Code>" not in page.content:
            raise broken(page, "a day without an index is answered with AccessDenied or NoSuchKey; this is a refusal")
        return []
    found, any_line = [], False
    for line in page.content.decode("latin-1").split("\n"):
        if len(line) > _LONGEST_LINE:
            raise broken(page, f"a line of an index has at most {_LONGEST_LINE} characters")
        match = _INDEX_LINE.match(line) if line.startswith("4") else None
        any_line = any_line or bool(_ANY_LINE.search(line))
        if match:
            if not _PATH.match(match["path"]):
                raise broken(page, "an index names a submission as edgar/data/CIK/ACCESSION.txt")
            found.append((int(match["cik"]), match["path"]))
    if not any_line:
        raise broken(page, "an index has lines of form, company, CIK, day filed and file name")
    return found


def _issuers(page: Page) -> dict[int, frozenset[str]]:
    """CIK -> symbols, of the companies that the SEC knows to be listed."""
    document = json_of(page)
    entries = list(document.values()) if isinstance(document, dict) else []
    found: dict[int, set[str]] = {}
    try:
        symbols = normalise_symbols(pd.Series([str(entry["ticker"]) for entry in entries], dtype="str"))
        for entry, symbol in zip(entries, symbols, strict=True):
            found.setdefault(int(entry["cik_str"]), set()).add(symbol)
    except (KeyError, TypeError, ValueError, OverflowError):
        raise broken(page, "company_tickers.json holds objects with cik_str and ticker") from None
    if not found:
        raise broken(page, "company_tickers.json names companies")
    return {cik: frozenset(symbols) for cik, symbols in found.items()}


def _may_be_listed(ciks: frozenset[int], known: Mapping[int, frozenset[str]], listed: frozenset[str]) -> bool:
    """Whether one who filed is an issuer that is listed, or none of them is an issuer that the SEC names."""
    issuers = [known[cik] for cik in ciks if cik in known]
    return not issuers or any(symbols & listed for symbols in issuers)


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of insider_buying."""
    listed = symbols_listed(query.listed)
    _check_indices([page for page in pages if page.kind == "index"])
    archives = [page for page in pages if page.kind == "quarter" and page.status == 200]
    quarters = sheets(archives, lambda page: parse_quarter(page.content, listed))
    filings = collect([page for page in pages if page.kind == "filing"], lambda page: parse_filing(page, listed))
    parts = [part.rows for part in (quarters, filings) if len(part.rows)]
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    bad = [part.bad for part in (quarters, filings) if len(part.bad)] or [quarters.bad]
    return Reading(rows, pd.concat(bad, ignore_index=True))


def _check_indices(pages: Sequence[Page]) -> None:
    if len(pages) > _WEEK and not any(page.status == 200 for page in pages):
        raise broken(pages[0], f"of more than {_WEEK} weekdays some have an index")


def parse_filing(page: Page, listed: frozenset[str] | None = None) -> Iterator[dict[str, object] | Bad]:
    """The transactions of a full submission. Raises `LayoutError`."""
    if page.status == 404:
        yield Bad("the index names this submission, but EDGAR does not have it", json.dumps({"url": page.url}))
        return
    header = page.content[:_HEADER]
    accession, filed, accepted = (pattern.search(header) for pattern in (_ACCESSION, _FILED, _ACCEPTED))
    if not (accession and filed and accepted):
        raise LayoutError("a submission's header has ACCEPTANCE-DATETIME, ACCESSION NUMBER and FILED AS OF DATE")
    try:
        known_on, clock = date.fromisoformat(filed[1].decode()), accepted[1].decode()
        moment = datetime.fromisoformat(f"{clock[:8]}T{clock[8:]}").replace(tzinfo=calendar.NEW_YORK)
        accepted_at = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise LayoutError("ACCEPTANCE-DATETIME is written YYYYMMDDhhmmss and FILED AS OF DATE YYYYMMDD") from None
    known = {"accession": accession[1].decode(), "known_on": known_on}
    known_at = accepted_at if moment.date() == known_on else None
    for row in parse_ownership(_document(page.content), listed):
        if isinstance(row, Bad):
            yield row
        elif isinstance(row["event_date"], date) and row["event_date"] > known_on:
            yield Bad("the transaction is dated after it was filed", {**known, **row})
        else:
            yield {**known, "known_at": known_at, **row}


def _document(content: bytes) -> bytes:
    """The XML of a submission's ownership document."""
    begin = content.find(b"<XML>")
    while begin >= 0:
        end = content.find(b"</XML>", begin)
        if end < 0:
            break
        document = content[begin + 5 : end].strip()
        if b"<ownershipDocument" in document:
            return document
        begin = content.find(b"<XML>", end)
    raise LayoutError("a submission of form 4 holds an ownershipDocument between <XML> and </XML>")


_NOTE = (
    "Non-derivative transactions on forms 4 and 4/A of listed companies; `direction` is acquired or disposed, `code` P "
    "is a purchase on the market, S a sale. "
)

SOURCES = (
    Source(
        name="edgar",
        dataset="insider_buying",
        title="SEC EDGAR Form 4",
        hosts=(HOST,),
        read=read,
        walk=walk,
        since=date(2006, 1, 1),
        note=_NOTE + "Quarters that are over come from the SEC's data sets, one file each: prices rounded to cents and "
        "no time of acceptance. The current quarter comes from each day's index and documents, with time: some hundred "
        "requests for a day, ten a second.",
    ),
    Source(
        name="edgar_bulk",
        dataset="insider_buying",
        title="SEC insider transactions data sets",
        hosts=(HOST,),
        read=read,
        walk=walk_quarters,
        since=date(2006, 1, 1),
        note=_NOTE + "Only quarters that are over, one file each: prices rounded to cents, no time of acceptance.",
    ),
    Source(
        name="edgar_daily",
        dataset="insider_buying",
        title="SEC EDGAR daily index",
        hosts=(HOST,),
        read=read,
        walk=walk_days,
        since=date(2006, 1, 1),
        note=_NOTE + "Index and documents of every day, with the time of acceptance and exact prices: some hundred "
        "requests for each day of the window, ten a second.",
    ),
)
