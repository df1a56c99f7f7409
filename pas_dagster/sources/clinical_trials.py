"""ClinicalTrials.gov: when trials of phases 2 and 3 that companies sponsor expect their primary completion.

`GET https://clinicaltrials.gov/api/v2/studies` (https://clinicaltrials.gov/data-api/api): `query.term` selects, an
answer holds `studies` and, but on the last page, `nextPageToken`. A day is stated as 2026-09-30 or as 2026-09, which
counts to the month's last day.

Known on the day on which the study's last update was posted. The site shows only the last version of a study: what an
earlier one said is told by whoever asked in time. A study that states no primary completion is no dated event.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from pas_dagster.sources.companies import Names
from pas_dagster.sources.page import Page, Request, address
from pas_dagster.sources.rules import broken, json_of
from pas_dagster.sources.source import Bad, Query, Reading, Source, Walk, collect
from pas_dagster.sources.texts import required, text

HOST = "clinicaltrials.gov"
KIND = "studies"

_PAGE_SIZE = 1000
_FIELDS = (
    "NCTId,BriefTitle,LastUpdatePostDate,PrimaryCompletionDate,PrimaryCompletionDateType,"
    "LeadSponsorName,LeadSponsorClass,Phase"
)
_QUARTER = timedelta(days=92)
_DAY = re.compile(r"(\d{4})-(\d\d)(?:-(\d\d))?\Z", re.ASCII)
_PHASES = {"EARLY_PHASE1": "1", "PHASE1": "1", "PHASE2": "2", "PHASE3": "3", "PHASE4": "4"}


def walk(query: Query) -> Walk:
    """All studies updated in the window, page by page."""
    term = (
        f"AREA[LastUpdatePostDate]RANGE[{query.first},{query.last}] AND AREA[Phase](PHASE2 OR PHASE3) "
        "AND AREA[LeadSponsorClass]INDUSTRY"
    )
    token, seen = None, set()
    while True:
        fields = {"query.term": term, "fields": _FIELDS, "pageSize": _PAGE_SIZE, "pageToken": token}
        (page,) = yield [Request(address(f"https://{HOST}", "/api/v2/studies", **fields), kind=KIND)]
        token = _document(page).get("nextPageToken")
        if not token:
            return
        if not isinstance(token, str) or token in seen:
            raise broken(page, "nextPageToken is a text that no page before has stated")
        seen.add(token)


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of catalyst_events."""
    found = [page for page in pages if page.kind == KIND]
    reading = collect(found, parse_studies)
    if found and query.last - query.first > _QUARTER and not any(_document(page)["studies"] for page in found):
        raise broken(found[0], "in any three months companies update some studies")
    if reading.rows.empty:
        return reading
    symbols = Names(query.listed, query.options.get("aliases")).symbols(reading.rows["company"])
    return Reading(reading.rows.assign(symbol=symbols), reading.bad)


def parse_studies(page: Page) -> Iterator[Mapping[str, object] | Bad]:
    """The rows of one page, without symbols."""
    for study in _document(page)["studies"]:
        try:
            row = _row(study)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            yield Bad(f"a study states nctId, sponsor, phases and its days as 2026-09-30 or 2026-09 ({error})", study)
        else:
            if row is not None:
                yield row


def _document(page: Page) -> dict[str, Any]:
    document = json_of(page)
    if not isinstance(document, dict) or not isinstance(document.get("studies"), list):
        raise broken(page, "an answer holds a list 'studies'")
    return document


def _row(study: Mapping[str, Any]) -> dict[str, object] | None:
    """None for a study that no company sponsors, that is of another phase, or that states no primary completion."""
    section = study["protocolSection"]
    status, sponsor = section["statusModule"], section["sponsorCollaboratorsModule"]["leadSponsor"]
    phases = [phase for phase in section["designModule"]["phases"] if phase != "NA"]
    completion = status.get("primaryCompletionDateStruct")
    if sponsor["class"] != "INDUSTRY" or not {"PHASE2", "PHASE3"} & set(phases) or completion is None:
        return None
    posted = _day(status["lastUpdatePostDateStruct"]["date"])
    identification = section["identificationModule"]
    return {
        "known_on": posted,
        "event_date": posted,
        "event_id": required(identification["nctId"], "nctId"),
        "company": required(sponsor["name"], "leadSponsor.name"),
        "product": text(identification.get("briefTitle")),
        "kind": f"phase {'/'.join(_PHASES[phase] for phase in phases)} primary completion",
        "expected_on": _day(completion["date"]),
    }


def _day(value: str) -> date:
    """A day; of a month its last."""
    found = _DAY.match(value)
    if not found:
        raise ValueError(f"{value!r} is neither a day nor a month")
    year, month = int(found[1]), int(found[2])
    if not 1 <= month <= 12 or year < 1:
        raise ValueError(f"{value!r} is neither a day nor a month")
    return date(year, month, int(found[3]) if found[3] else monthrange(year, month)[1])


SOURCES = (
    Source(
        name="clinical_trials",
        dataset="catalyst_events",
        title="ClinicalTrials.gov",
        hosts=(HOST,),
        read=read,
        walk=walk,
        since=date(2007, 1, 1),
        note="Expected primary completions of companies' trials of phases 2 and 3, known when posted. The site shows "
        "only the last version of a study, so of the past only what no later update replaced.",
    ),
)
