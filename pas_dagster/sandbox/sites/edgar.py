"""SEC EDGAR as www.sec.gov serves it: indices of days, submissions, the list of tickers, data sets of quarters.

An index of a day is there from 22:05 New York time; a file that is not there is forbidden, with S3's AccessDenied. A
visitor without a User-Agent is refused. The data set of a quarter follows ten days after its end, since 2026q2 in
another folder. Tickers are written as filers do: in lower case, with the exchange, in brackets, a class after a slash.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from pas_dagster import calendar
from pas_dagster.sandbox.insiders import SEPARATOR
from pas_dagster.sandbox.listing import companies
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site, json_answer
from pas_dagster.sandbox.world import World

_INDEX = re.compile(r"/Archives/edgar/daily-index/(\d{4})/QTR([1-4])/form\.(\d{8})\.idx\Z")
_SUBMISSION = re.compile(r"/Archives/edgar/data/(\d+)/(\d{10}-\d{2}-\d{6})\.txt\Z")
_ARCHIVE = re.compile(r"/files/(\w+)/data/insider-transactions-data-sets/(\d{4})q([1-4])_form345\.zip\Z")
_TICKERS = "/files/company_tickers.json"

_ISSUED = time(22, 5)
_PUBLISHED_AFTER = timedelta(days=10)
_MOVED = (2026, 2)
_FLAGS_IN_WORDS = date(2023, 4, 1)  # true and false; before, 1 and 0
_FIRST_SK = 8_000_000
_UNLISTED = ("Larchmont Private Credit Fund", 1999001)

_UNDECLARED = (
    b"<!DOCTYPE html><html><head><title>SEC.gov | Request Rate Threshold Exceeded</title></head><body>"
    b"<h1>Your Request Originates from an Undeclared Automated Tool</h1></body></html>"
)
_DENIED = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
)


@dataclass(frozen=True)
class _Filing:
    """A filing of the world: its rows are `begin` up to `end` of the table."""

    accession: str
    begin: int
    end: int


@dataclass(frozen=True)
class _Book:
    """The world's filings, indexed: the table, its columns as lists, filings by accession and by day filed."""

    table: pd.DataFrame
    columns: dict[str, list[Any]]
    filings: dict[str, _Filing]
    days: dict[date, list[_Filing]]


def answer(present: Present, call: Call) -> Answer | None:
    agent = call.headers.get("user-agent", "")
    if not agent or agent.startswith("python-"):
        return Answer(_UNDECLARED, 403)
    if found := _INDEX.match(call.path):
        return _index(present, found[3])
    if found := _SUBMISSION.match(call.path):
        return _submission(present, found[2])
    if found := _ARCHIVE.match(call.path):
        return _archive(present, found[1], int(found[2]), int(found[3]))
    return json_answer(_tickers(present)) if call.path == _TICKERS else None


@lru_cache(maxsize=4)
def _book(world: World) -> _Book:
    table = world.table("insider_buying")
    columns = {name: table[name].astype(object).where(table[name].notna(), None).tolist() for name in table}
    accession = table["accession"].to_numpy(dtype=object)
    begins = np.flatnonzero(np.append(True, accession[1:] != accession[:-1])) if len(table) else np.zeros(0, int)
    ends = np.append(begins[1:], len(table))
    filings = [_Filing(accession[b], int(b), int(e)) for b, e in zip(begins, ends, strict=True)]
    days: dict[date, list[_Filing]] = {}
    for filing in filings:
        days.setdefault(columns["known_on"][filing.begin].date(), []).append(filing)
    return _Book(table, columns, {filing.accession: filing for filing in filings}, days)


def _index(present: Present, text: str) -> Answer:
    try:
        day = datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        return Answer(_DENIED, 403, "application/xml")
    local = present.now.astimezone(calendar.NEW_YORK)
    issued = day < local.date() or (day == local.date() and local.time() >= _ISSUED)
    book = _book(present.world)
    if not issued or day not in book.days:
        return Answer(_DENIED, 403, "application/xml")
    return Answer(_index_text(present.world, day).encode("latin-1"), 200, "text/plain")


@lru_cache(maxsize=4096)
def _index_text(world: World, day: date) -> str:
    """Sorted by form as EDGAR does; each filing under its issuer and under each owner. The header wraps."""
    book = _book(world)
    lines = []
    for filing in book.days[day]:
        form, parties = _form(book, filing), _parties(world, book, filing)
        lines += [_line(form, name, cik, day, parties[0][1], filing.accession) for name, cik in parties]
    number = int(day.strftime("%y%m%d"))
    lines += [
        _line("10-K", "Aldrane Holdings  Corp", 1700001, day, 1700001, f"0001700001-{day:%y}-{number % 1000:06d}"),
        _line("3", "Jessop Julian", 1800001, day, 1700001, f"0001800001-{day:%y}-{number % 1000:06d}"),
        _line("424B2", "BANK OF 4 RIVERS", 1700004, day, 1700004, f"0001700004-{day:%y}-{number % 1000:06d}"),
    ]
    if day.weekday() == 4:
        lines.append(_line("4", _UNLISTED[0], _UNLISTED[1], day, _UNLISTED[1], _unlisted_accession(day)))
    head = [
        "Description:           Daily Index of EDGAR Dissemination Feed by Form Type",
        f"Last Data Received:    {day:%b %d, %Y}",
        "Comments:              webmaster@sec.gov",
        "Anonymous FTP:         ftp://ftp.sec.gov/edgar/",
        *([" "] * 3),
        "Form Type   Company Name                                                  CIK",
        "      Date Filed  File Name",
        "-" * 141,
    ]
    return "\n".join([*head, *sorted(lines)]) + "\n"


def _line(form: str, name: str, cik: int, day: date, folder: int, accession: str) -> str:
    path = f"edgar/data/{folder}/{accession}.txt"
    return f"{form:<17}{name[:60]:<62}{cik:<12}{day:%Y%m%d}    {path:<52}"


def _unlisted_accession(day: date) -> str:
    return f"{_UNLISTED[1]:010d}-{day:%y}-{day.timetuple().tm_yday:06d}"


def _form(book: _Book, filing: _Filing) -> str:
    return "4/A" if book.columns["amendment"][filing.begin] else "4"


def _parties(world: World, book: _Book, filing: _Filing) -> list[tuple[str, int]]:
    """Name and number of the issuer, then of each owner."""
    company = _companies(world)[book.columns["symbol"][filing.begin]]
    owners = book.columns["insider"][filing.begin].split(SEPARATOR)
    return [(companies()[company].name.upper(), _issuer_cik(company)), *((name, _owner_cik(name)) for name in owners)]


@lru_cache(maxsize=4)
def _companies(world: World) -> dict[str, int]:
    numbers = {company.symbol: number for number, company in enumerate(companies())}
    return numbers | {world.listing.new_symbol: world.listing.renamed}


def _issuer_cik(company: int) -> int:
    return 1_600_000 + company


def _owner_cik(name: str) -> int:
    return 1_800_100 + zlib.crc32(name.encode()) % 150_000


def _as_filed(symbol: str, company: int) -> str:
    """A ticker as this issuer's filers write it."""
    written = symbol.replace(".", "/")
    return {5: written.lower(), 9: f"NYSE: {written}", 14: f"({written})"}.get(company % 23, written)


def _tickers(present: Present) -> dict[str, dict[str, object]]:
    changes = present.table("universe")
    last = changes[changes["kind"] == "stock"].drop_duplicates("symbol", keep="last")
    listed = last.loc[last["action"] == "add", "symbol"]
    numbers = _companies(present.world)
    return {
        str(place): {
            "cik_str": _issuer_cik(numbers[symbol]),
            "ticker": symbol.replace(".", "-"),
            "title": companies()[numbers[symbol]].name,
        }
        for place, symbol in enumerate(listed)
    }


def _submission(present: Present, accession: str) -> Answer:
    book = _book(present.world)
    filing = book.filings.get(accession)
    if filing is None:
        return _unlisted(present, accession)
    known_on, known_at = (book.columns[name][filing.begin] for name in ("known_on", "known_at"))
    if known_on.date() > present.today or (known_at is not None and known_at.replace(tzinfo=UTC) > present.now):
        return Answer(_DENIED, 403, "application/xml")
    if known_at is None:
        accepted = (known_on - timedelta(days=1)).strftime("%Y%m%d220317")
    else:
        accepted = known_at.replace(tzinfo=UTC).astimezone(calendar.NEW_YORK).strftime("%Y%m%d%H%M%S")
    document = _document(present.world, book, filing)
    header = (accession, _form(book, filing), accepted, known_on.date())
    return Answer(_wrapped(*header, _parties(present.world, book, filing), document), 200, "text/plain")


def _unlisted(present: Present, accession: str) -> Answer:
    """A filing of a fund that no exchange lists: one each Friday."""
    if accession.startswith(f"{_UNLISTED[1]:010d}-"):
        year, day = 2000 + int(accession[11:13]), int(accession[14:])
        filed = date(year, 1, 1) + timedelta(days=day - 1)
        if filed <= present.today and filed.weekday() == 4:
            owner = ("Jessop Julian", _owner_cik("Jessop Julian"))
            row = {"code": "P", "direction": "buy", "shares": 1000.0, "price": 25.0, "event_date": filed}
            issuer = (*_UNLISTED, "[NONE]")
            document = _xml("4", issuer, [owner], {"director"}, None, None, [row], filed)
            return Answer(_wrapped(accession, "4", f"{filed:%Y%m%d}161500", filed, [_UNLISTED, owner], document))
    return Answer(_DENIED, 403, "application/xml")


def _wrapped(
    accession: str, form: str, accepted: str, filed: date, parties: Sequence[tuple[str, int]], document: str
) -> bytes:
    """A full submission: the header, then the document between <XML> and </XML>."""
    issuer, *owners = parties
    said = [
        f"<SEC-DOCUMENT>{accession}.txt : {filed:%Y%m%d}",
        f"<SEC-HEADER>{accession}.hdr.sgml : {filed:%Y%m%d}",
        f"<ACCEPTANCE-DATETIME>{accepted}",
        f"ACCESSION NUMBER:\t\t{accession}",
        f"CONFORMED SUBMISSION TYPE:\t{form}",
        "PUBLIC DOCUMENT COUNT:\t\t1",
        f"FILED AS OF DATE:\t\t{filed:%Y%m%d}",
        f"DATE AS OF CHANGE:\t\t{filed:%Y%m%d}",
        "",
        *_party("ISSUER", "COMPANY", *issuer),
        *(line for owner in owners for line in _party("REPORTING-OWNER", "OWNER", *owner)),
        "</SEC-HEADER>",
        *("<DOCUMENT>", f"<TYPE>{form}", "<SEQUENCE>1", "<FILENAME>ownership.xml", "<TEXT>", "<XML>"),
        document,
        *("</XML>", "</TEXT>", "</DOCUMENT>", "</SEC-DOCUMENT>", ""),
    ]
    return "\n".join(said).encode()


def _party(kind: str, data: str, name: str, cik: int) -> list[str]:
    lines = [f"{kind}:", "", f"\t{data} DATA:\t", f"\t\tCOMPANY CONFORMED NAME:\t\t\t{name}"]
    return [*lines, f"\t\tCENTRAL INDEX KEY:\t\t\t{cik:010d}", ""]


def _document(world: World, book: _Book, filing: _Filing) -> str:
    columns, begin = book.columns, filing.begin
    rows = [
        {name: columns[name][at] for name in ("code", "direction", "shares", "price", "event_date")}
        for at in range(begin, filing.end)
    ]
    issuer, *owners = _parties(world, book, filing)
    symbol = columns["symbol"][begin]
    return _xml(
        _form(book, filing),
        (*issuer, _as_filed(symbol, _companies(world)[symbol])),
        owners,
        _roles(columns["role"][begin], columns["title"][begin]),
        columns["title"][begin],
        columns["plan"][begin],
        rows,
        columns["known_on"][begin].date(),
    )


def _roles(role: str, title: str | None) -> set[str]:
    """A chief executive also sits on the board."""
    return {role, "director"} if title == "Chief Executive Officer" else {role}


def _xml(
    form: str,
    issuer: tuple[str, int, str],
    owners: Sequence[tuple[str, int]],
    roles: set[str],
    title: str | None,
    plan: str | None,
    rows: Sequence[dict[str, Any]],
    filed: date,
) -> str:
    yes, no = ("true", "false") if filed >= _FLAGS_IN_WORDS else ("1", "0")
    flags = {"isDirector": "director", "isOfficer": "officer", "isTenPercentOwner": "owner", "isOther": "other"}
    # In words the form leaves out what is false; in digits it says so.
    relations = [
        f"<{flag}>{yes if role in roles else no}</{flag}>" for flag, role in flags.items() if role in roles or no == "0"
    ]
    if title:
        relations.append(f"<officerTitle>{escape(title)}</officerTitle>")
    people = [
        f"<reportingOwner><reportingOwnerId><rptOwnerCik>{cik:010d}</rptOwnerCik>"
        f"<rptOwnerName>{escape(name)}</rptOwnerName></reportingOwnerId>"
        f"<reportingOwnerRelationship>{''.join(relations)}</reportingOwnerRelationship></reportingOwner>"
        for name, cik in owners
    ]
    stated = "" if plan is None else f"<aff10b5One>{yes if plan == 'yes' else no}</aff10b5One>"
    name, cik, symbol = issuer
    options = [row for row in rows if row["code"] == "M"]
    return "\n".join(
        [
            '<?xml version="1.0"?>',
            "<ownershipDocument>",
            f"<schemaVersion>{'X0508' if no == 'false' else 'X0306'}</schemaVersion>",
            f"<documentType>{form}</documentType>",
            f"<periodOfReport>{rows[0]['event_date']:%Y-%m-%d}</periodOfReport>",
            f"<issuer><issuerCik>{cik:010d}</issuerCik><issuerName>{escape(name)}</issuerName>",
            f"<issuerTradingSymbol>{escape(symbol)}</issuerTradingSymbol></issuer>",
            *people,
            stated,
            f"<nonDerivativeTable>{''.join(_transaction(row) for row in rows)}{_HOLDING}</nonDerivativeTable>",
            f"<derivativeTable>{''.join(_option(row) for row in options)}</derivativeTable>",
            '<footnotes><footnote id="F1">The price is stated here.</footnote></footnotes>',
            f"<ownerSignature><signatureDate>{filed:%Y-%m-%d}</signatureDate></ownerSignature>",
            "</ownershipDocument>",
        ]
    )


_HOLDING = (
    "<nonDerivativeHolding><securityTitle><value>Common Stock</value></securityTitle><postTransactionAmounts>"
    "<sharesOwnedFollowingTransaction><value>2755</value></sharesOwnedFollowingTransaction></postTransactionAmounts>"
    "</nonDerivativeHolding>"
)


def _transaction(row: dict[str, Any]) -> str:
    price = '<footnoteId id="F1"/>' if row["price"] is None else f"<value>{_plain(row['price'])}</value>"
    return (
        "<nonDerivativeTransaction><securityTitle><value>Common Stock</value></securityTitle>"
        f"<transactionDate><value>{row['event_date']:%Y-%m-%d}</value></transactionDate><transactionCoding>"
        f"<transactionFormType>4</transactionFormType><transactionCode>{row['code']}</transactionCode>"
        "</transactionCoding><transactionAmounts>"
        f"<transactionShares><value>{_plain(row['shares'])}</value></transactionShares>"
        f"<transactionPricePerShare>{price}</transactionPricePerShare><transactionAcquiredDisposedCode>"
        f"<value>{_letter(row['direction'])}</value></transactionAcquiredDisposedCode></transactionAmounts>"
        "</nonDerivativeTransaction>\n"
    )


def _option(row: dict[str, Any]) -> str:
    return _transaction({**row, "direction": "sell"}).replace("nonDerivative", "derivative")


def _letter(direction: str) -> str:
    return "A" if direction == "buy" else "D"


def _plain(number: float) -> str:
    return f"{number:.4f}".rstrip("0").rstrip(".")


def _archive(present: Present, folder: str, year: int, quarter: int) -> Answer:
    begin = date(year, 3 * quarter - 2, 1)
    end = date(year + quarter // 4, 3 * quarter % 12 + 1, 1)
    right = "datastandardsinnovation" if (year, quarter) >= _MOVED else "structureddata"
    book = _book(present.world)
    if folder != right or present.today < end + _PUBLISHED_AFTER:
        return Answer(b"<html><head><title>SEC.gov | Page not found</title></head></html>", 404)
    table = book.table
    filed = table["known_on"]
    rows = np.flatnonzero((filed >= pd.Timestamp(begin)) & (filed < pd.Timestamp(end)))
    if not len(rows):
        return Answer(b"<html><head><title>SEC.gov | Page not found</title></head></html>", 404)
    return Answer(_zipped(present.world, year, quarter, int(rows[0]), int(rows[-1]) + 1), 200, "application/zip")


@lru_cache(maxsize=64)
def _zipped(world: World, year: int, quarter: int, begin: int, end: int) -> bytes:
    """The archive of a quarter, whose rows are `begin` up to `end` of the table."""
    lines = _book(world).table.iloc[begin:end]
    filings = lines.drop_duplicates("accession")
    made = {
        "SUBMISSION.tsv": _submissions(world, filings, year),
        "REPORTINGOWNER.tsv": _owners(filings),
        "NONDERIV_TRANS.tsv": _trades(lines),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("FORM_345_readme.htm", f"<html><body>{year}q{quarter}</body></html>")
        for name, table in made.items():
            archive.writestr(name, table.to_csv(sep="\t", index=False, lineterminator="\n"))
    return packed.getvalue()


def _submissions(world: World, filings: pd.DataFrame, year: int) -> pd.DataFrame:
    numbers = [_companies(world)[symbol] for symbol in filings["symbol"]]
    table = pd.DataFrame(
        {
            "ACCESSION_NUMBER": filings["accession"],
            "FILING_DATE": _american(filings["known_on"]),
            "PERIOD_OF_REPORT": _american(filings["event_date"]),
            "DOCUMENT_TYPE": np.where(filings["amendment"], "4/A", "4"),
            "ISSUERCIK": [f"{_issuer_cik(number):010d}" for number in numbers],
            "ISSUERNAME": [companies()[number].name for number in numbers],
            "ISSUERTRADINGSYMBOL": [_as_filed(*pair) for pair in zip(filings["symbol"], numbers, strict=True)],
            "REMARKS": "",
        }
    )
    day = table["FILING_DATE"].iloc[-1]
    others = pd.DataFrame(
        {
            "ACCESSION_NUMBER": [f"0001800001-{year % 100:02d}-{number:06d}" for number in (1, 2, 3)],
            "FILING_DATE": day,
            "PERIOD_OF_REPORT": day,
            "DOCUMENT_TYPE": ["3", "5", "4"],
            "ISSUERCIK": f"{_UNLISTED[1]:010d}",
            "ISSUERNAME": _UNLISTED[0],
            "ISSUERTRADINGSYMBOL": "[NONE]",
        }
    )
    # The column came with the question, in 2023.
    stated = {"AFF10B5ONE": filings["plan"].map({"yes": "1", "no": "0"})} if year >= 2023 else {}
    return pd.concat([table.assign(**stated), others], ignore_index=True)


def _owners(filings: pd.DataFrame) -> pd.DataFrame:
    words = {"director": "Director", "officer": "Officer", "owner": "TenPercentOwner", "other": "Other"}
    roles = zip(filings["role"], filings["title"], strict=True)
    relationship = [",".join(word for role, word in words.items() if role in _roles(*pair)) for pair in roles]
    table = pd.DataFrame(
        {
            "ACCESSION_NUMBER": filings["accession"],
            "RPTOWNERNAME": filings["insider"].str.split(SEPARATOR),
            "RPTOWNER_RELATIONSHIP": relationship,
            "RPTOWNER_TITLE": filings["title"],
        }
    ).explode("RPTOWNERNAME")
    ciks = [f"{_owner_cik(name):010d}" for name in table["RPTOWNERNAME"]]
    table.insert(1, "RPTOWNERCIK", ciks)
    return table


def _trades(lines: pd.DataFrame) -> pd.DataFrame:
    """Newest first: the order of lines is only in their numbers. Prices have two decimals."""
    table = pd.DataFrame(
        {
            "ACCESSION_NUMBER": lines["accession"],
            "NONDERIV_TRANS_SK": _FIRST_SK + lines.index,
            "SECURITY_TITLE": "Common Stock",
            "TRANS_DATE": _american(lines["event_date"]),
            "TRANS_FORM_TYPE": "4",
            "TRANS_CODE": lines["code"],
            "TRANS_SHARES": lines["shares"],
            "TRANS_PRICEPERSHARE": lines["price"].round(2),
            "TRANS_ACQUIRED_DISP_CD": lines["direction"].map(_letter),
            "DIRECT_INDIRECT_OWNERSHIP": "D",
        }
    )
    return table[::-1]


def _american(days: pd.Series) -> pd.Series:
    return days.dt.strftime("%d-%b-%Y").str.upper()


SITE = Site(("www.sec.gov",), answer, limit=(10, 1.0))
