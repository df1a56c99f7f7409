"""openFDA: approvals of drugs, after the fact.

`GET https://api.fda.gov/drug/drugsfda.json` (https://open.fda.gov/apis/drug/drugsfda/): an application has a sponsor,
products and submissions, each with a status (AP is approved) and its day, written 20260422. `search` finds applications
with any submission in a range of days; `meta.results.total` says how many, of which one answer holds up to 1000 and
`skip` reaches the next. No match is a 404 with the code NOT_FOUND.

openFDA is refreshed weekly and does not say when a row came: an approval counts as known seven days after it was given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from pas_dagster.sources.companies import Names
from pas_dagster.sources.page import Page, Request, address
from pas_dagster.sources.rules import broken, json_of
from pas_dagster.sources.source import Bad, Query, Reading, Source, Walk, collect
from pas_dagster.sources.texts import required, text

HOST = "api.fda.gov"
KIND = "applications"
KNOWN_AFTER = timedelta(days=7)
KINDS = {"ORIG": "approval", "SUPPL": "supplement approval"}
"""A supplement changes a drug that is approved: its label, its making, or what it is for."""

_LIMIT = 1000
_MOST = 25_000  # the furthest that `skip` reaches
_NAMED = 5  # brand names of an application; more are forms of the same drug


def walk(query: Query) -> Walk:
    """One search for each calendar year of the window, then all further pages."""
    first, last = query.first - KNOWN_AFTER, query.last - KNOWN_AFTER
    spans = [(max(first, date(year, 1, 1)), min(last, date(year, 12, 31))) for year in range(first.year, last.year + 1)]
    pages = yield [_request(*span) for span in spans]
    more = [
        _request(*span, skip)
        for span, page in zip(spans, pages, strict=True)
        for skip in range(_LIMIT, _total(page), _LIMIT)
    ]
    if more:
        yield more


def _request(first: date, last: date, skip: int | None = None) -> Request:
    search = f"submissions.submission_status_date:[{first:%Y%m%d} TO {last:%Y%m%d}]"
    url = address(f"https://{HOST}", "/drug/drugsfda.json", search=search, limit=_LIMIT, skip=skip)
    return Request(url, kind=KIND, answers=frozenset({200, 404}))


def _total(page: Page) -> int:
    document = _document(page)
    if document is None:
        return 0
    meta = document.get("meta")
    results = meta.get("results") if isinstance(meta, dict) else None
    total = results.get("total") if isinstance(results, dict) else None
    if isinstance(total, bool) or not isinstance(total, int):
        raise broken(page, "an answer states the number of matches in meta.results.total")
    if total > _MOST + _LIMIT:
        raise broken(page, f"a year has at most {_MOST + _LIMIT:,} matches, as many as openFDA shows")
    return total


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of catalyst_events."""
    reading = collect([page for page in pages if page.kind == KIND], lambda page: parse_approvals(page, query))
    if reading.rows.empty:
        return reading
    symbols = Names(query.listed, query.options.get("aliases")).symbols(reading.rows["company"])
    return Reading(reading.rows.assign(symbol=symbols), reading.bad)


def parse_approvals(page: Page, query: Query) -> Iterator[Mapping[str, object] | Bad]:
    """The approvals of one page that became known in the window, without symbols."""
    document = _document(page)
    for application in document["results"] if document else []:
        try:
            rows = _rows(application, query)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"an application has its number, sponsor and submissions with type, status and day ({error})"
            yield Bad(reason, application)
        else:
            yield from rows


def _document(page: Page) -> dict[str, Any] | None:
    """The answer; None where nothing matches."""
    document = json_of(page)
    if page.status == 404:
        error = document.get("error") if isinstance(document, dict) else None
        if not isinstance(error, dict) or error.get("code") != "NOT_FOUND":
            raise broken(page, "a 404 says in error.code NOT_FOUND")
        return None
    if not isinstance(document, dict) or not isinstance(document.get("results"), list):
        raise broken(page, "an answer holds a list 'results'")
    return document


def _rows(application: Mapping[str, Any], query: Query) -> list[dict[str, object]]:
    found = {}
    for submission in application.get("submissions") or []:
        kind = KINDS.get(required(submission["submission_type"], "submission_type"))
        if submission.get("submission_status") != "AP" or kind is None:
            continue
        day = _day(required(submission["submission_status_date"], "submission_status_date"))
        if query.first <= day + KNOWN_AFTER <= query.last:
            found[day, kind] = {"known_on": day + KNOWN_AFTER, "event_date": day, "kind": kind, "expected_on": day}
    if not found:
        return []
    brands = [text(product.get("brand_name")) for product in application.get("products") or []]
    shared = {
        "event_id": required(application["application_number"], "application_number"),
        "company": required(application["sponsor_name"], "sponsor_name"),
        "product": "; ".join(list(dict.fromkeys(brand for brand in brands if brand))[:_NAMED]) or None,
    }
    return [{**shared, **row} for row in found.values()]


def _day(value: str) -> date:
    if len(value) != 8 or not value.isascii() or not value.isdigit():
        raise ValueError(f"{value!r} is not a day as 20260422")
    day = date(int(value[:4]), int(value[4:6]), int(value[6:]))
    if day.year > 9000:
        raise ValueError(f"{value!r} is not a day of our time")
    return day


SOURCES = (
    Source(
        name="openfda",
        dataset="catalyst_events",
        title="openFDA drug approvals",
        hosts=(HOST,),
        read=read,
        walk=walk,
        since=date(1990, 1, 1),
        note="Approvals of drugs and of their supplements, after the fact: each counts as known seven days later, "
        "because openFDA is refreshed weekly.",
    ),
)
