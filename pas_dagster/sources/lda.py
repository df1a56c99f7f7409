"""Lobbying reports from the Senate's LDA API: https://lda.senate.gov/api/redoc/v1/.

`GET /api/v1/filings/` gives pages of at most 25 filings, each as `{"count", "next", "previous", "results"}`. The window
is asked for by the day of posting, oldest first, so that what is posted meanwhile comes after what was counted; the
first page tells how many pages there are. https://lda.gov serves the same API.

A quarterly report (LD-2) states either the income of a lobbying firm from its client or the expenses of a client that
lobbies for itself, never the sum. Registrations state no amount and are no rows. Known when posted (`dt_posted`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from pas_dagster.sources.companies import Names
from pas_dagster.sources.page import Page, Request, address
from pas_dagster.sources.rules import json_of
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, Walk, collect
from pas_dagster.sources.texts import figure, required

HOST = "lda.senate.gov"
PAGE_SIZE = 25

_MOST = 1_000_000  # filings in one answer; the archive of 27 years has two million
_NEEDED = (
    *("filing_uuid", "filing_type", "filing_year", "filing_period", "income", "expenses", "dt_posted"),
    *("registrant", "client"),
)
_REPORT = re.compile(r"[1-4]([TA@])Y?|Q[1-4]Y?")  # Y: no activity; T: termination; A: amendment; @: of a termination
_HALF_YEAR = re.compile(r"[MY][MYTA@]Y?")  # until 2007
_REGISTRATIONS = frozenset({"RR", "RA"})
_QUARTERS = {"first_quarter": 1, "second_quarter": 2, "third_quarter": 3, "fourth_quarter": 4}
_LAST_DAYS = {1: (3, 31), 2: (6, 30), 3: (9, 30), 4: (12, 31)}
_NO_PAGE = 404  # "Invalid page.": filings were withdrawn while we paged


def walk(query: Query) -> Walk:
    """The first page of the window (of each client, where the option `clients` names some), then all others at once."""
    clients = _clients(query)
    first = yield [_request(query, client, 1) for client in clients]
    others = [
        _request(query, client, number)
        for client, page in zip(clients, first, strict=True)
        for number in range(2, math.ceil(_document(page)[0] / PAGE_SIZE) + 1)
    ]
    if others:
        yield others


def _clients(query: Query) -> Sequence[str | None]:
    """Names to ask for one by one; a single None asks for everybody."""
    named = query.options.get("clients") or [None]
    return [named] if isinstance(named, str) else list(named)


def _request(query: Query, client: str | None, number: int) -> Request:
    url = address(
        f"https://{HOST}",
        "/api/v1/filings/",
        # The end is that day's midnight, so the last day is asked for by the day after it.
        filing_dt_posted_after=query.first,
        filing_dt_posted_before=query.last + timedelta(1),
        client_name=client,
        ordering="dt_posted",
        page_size=PAGE_SIZE,
        page=number,
    )
    answers = frozenset({200, _NO_PAGE}) if number > 1 else frozenset({200})
    return Request(url, kind="filings", notes={"client": client or ""}, answers=answers, auth="lda")


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of `lobbying`. Raises `LayoutError` where pages are missing."""
    names = Names(query.listed, query.options.get("aliases"))
    reading = collect(pages, partial(parse_filings, names=names))
    _require_all(pages)
    return reading


def parse_filings(page: Page, names: Names) -> Iterator[dict[str, object] | Bad]:
    """The quarterly reports of a page of filings."""
    if page.status == _NO_PAGE:
        return
    for filing in _document(page)[1]:
        try:
            row = _row(filing, names)
        except (ValueError, OverflowError) as error:
            yield Bad(str(error), filing)
        else:
            if row is not None:
                yield row


def _document(page: Page) -> tuple[int, list[dict[str, Any]]]:
    """How many filings the site counts, and those of the page."""
    document = json_of(page)
    if not isinstance(document, dict) or not isinstance(document.get("results"), list):
        raise LayoutError("the answer must be an object with `count` and the list `results`")
    count = document.get("count")
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= _MOST:
        raise LayoutError(f"`count` must be a whole number up to {_MOST:,}")
    for filing in document["results"]:
        if not isinstance(filing, dict) or any(name not in filing for name in _NEEDED):
            raise LayoutError(f"every filing must state {', '.join(_NEEDED)}")
    return count, document["results"]


def _require_all(pages: Sequence[Page]) -> None:
    """Each client's pages must hold as many filings as the site counts; those withdrawn meanwhile are not counted."""
    parts: dict[str, list[Page]] = {}
    for page in pages:
        if page.status != _NO_PAGE:
            parts.setdefault(page.notes.get("client", ""), []).append(page)
    for part in parts.values():
        documents = [_document(page) for page in part]
        seen = {str(filing["filing_uuid"]) for _, filings in documents for filing in filings}
        counted = min(count for count, _ in documents)
        if len(seen) < counted:
            error = LayoutError(f"the pages must hold all {counted:,} filings that are counted, not {len(seen):,}")
            error.page = part[-1]
            raise error


def _row(filing: Mapping[str, Any], names: Names) -> dict[str, object] | None:
    """A row of the table; None for a registration. Raises `ValueError` saying what cannot be read."""
    kind = required(filing["filing_type"], "filing_type")
    if kind in _REGISTRATIONS:
        return None
    if _HALF_YEAR.fullmatch(kind):
        raise ValueError(f"filing_type {kind} reports a half-year, which is no quarter")
    report = _REPORT.fullmatch(kind)
    if not report:
        raise ValueError(f"filing_type {kind!r} is unknown")
    year, quarter = _quarter(filing)
    client, registrant = _party(filing, "client"), _party(filing, "registrant")
    return {
        "known_at": _moment(filing["dt_posted"]),
        "event_date": date(year, *_LAST_DAYS[quarter]),
        "filing_id": required(filing["filing_uuid"], "filing_uuid"),
        "symbol": names.symbol(client),
        "client": client,
        "registrant": registrant,
        "quarter": f"{year}Q{quarter}",
        "amount": _spend(filing, client, registrant),
        "amendment": report.group(1) in ("A", "@"),
    }


def _quarter(filing: Mapping[str, Any]) -> tuple[int, int]:
    year, period = filing["filing_year"], filing["filing_period"]
    if not isinstance(year, int) or isinstance(year, bool) or not 1990 <= year <= 2100:
        raise ValueError(f"filing_year {year!r} is no year")
    if not isinstance(period, str) or period not in _QUARTERS:
        raise ValueError(f"filing_period {period!r} is no quarter")
    return year, _QUARTERS[period]


def _party(filing: Mapping[str, Any], which: str) -> str:
    party = filing[which]
    return required(party.get("name") if isinstance(party, dict) else None, f"the name of the {which}")


def _moment(value: object) -> datetime:
    text = required(value, "dt_posted")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"dt_posted {text!r} has no offset from UTC")
    return moment.astimezone(UTC)


def _spend(filing: Mapping[str, Any], client: str, registrant: str) -> float | None:
    """What the client spends: its own expenses where it lobbies for itself, else what the firm earns from it."""
    alone = bool(filing["client"].get("client_self_select")) or client.casefold() == registrant.casefold()
    order = ("expenses", "income") if alone else ("income", "expenses")
    stated = next((name for name in order if filing[name] is not None), None)
    return None if stated is None else figure(filing[stated], stated)


SOURCES: tuple[Source, ...] = (
    Source(
        name="lda",
        dataset="lobbying",
        title="Senate LDA",
        hosts=(HOST,),
        walk=walk,
        read=read,
        since=date(2008, 4, 1),  # the first quarterly reports; before, they were half-yearly
        note=(
            "Quarterly reports of the Lobbying Disclosure Act as they are posted, with the symbol of the client where "
            "its legal name is that of a listed company. A firm's income counts for its client; a client that lobbies "
            "for itself reports its expenses, in which its firms' fees are contained. Without a key 15 pages of 25 "
            "filings a minute are permitted, so a quarter of 20,000 filings takes an hour. Option `clients`: names to "
            "ask for instead of everybody; option `aliases`: a client's name -> its symbol."
        ),
    ),
)
