"""The Senate's LDA API: `GET /api/v1/filings/`, pages of filings as JSON (https://lda.senate.gov/api/redoc/v1/).

Registrations stand among the reports, as they do there. The end of a range of posting days is exclusive, a page holds
25 filings at most, and beyond the first page some filter is demanded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt
import pandas as pd

from pas_dagster.calendar import NEW_YORK
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site, json_answer
from pas_dagster.sandbox.world import World

HOSTS = ("lda.senate.gov", "lda.gov")

_PATH = "/api/v1/filings/"
_LARGEST = 25
_PAGING = frozenset({"page", "page_size", "ordering"})
_PERIODS = ("first", "second", "third", "fourth")
_ORDINALS = ("1st", "2nd", "3rd", "4th")
_MONTHS = ("Jan 1 - Mar 31", "Apr 1 - June 30", "July 1 - Sep 30", "Oct 1 - Dec 31")
_REGISTRATION = ("0", "1")  # a report whose identifier begins so was preceded by a registration
_TERMINATION = "f"
_HOUR = np.timedelta64(1, "h")


@dataclass(frozen=True)
class Shelf:
    """All filings of a world in the order of posting: columns of the table, `posted` (UTC, local) and `kind`."""

    filings: dict[str, list[Any]]
    posted: npt.NDArray[np.datetime64]
    clients: npt.NDArray[np.str_]
    local_days: npt.NDArray[np.datetime64]


@lru_cache(maxsize=4)
def _shelf(world: World) -> Shelf:
    reports = world.table("lobbying")
    registered = reports[reports["filing_id"].str.startswith(_REGISTRATION) & ~reports["amendment"]]
    registrations = registered.assign(
        known_at=registered["known_at"] - _HOUR,
        filing_id=registered["filing_id"].str.replace(r"^.", "e", regex=True),
        amount=np.nan,
        kind="RR",
    )
    frame = pd.concat([reports.assign(kind=_kinds(reports)), registrations])
    frame = frame.sort_values(["known_at", "filing_id"], ignore_index=True)
    local = frame["known_at"].dt.tz_localize("UTC").dt.tz_convert(NEW_YORK)
    days = local.dt.tz_localize(None).to_numpy().astype("datetime64[D]")
    filings = {name: frame[name].astype(object).tolist() for name in frame}
    filings["posted"] = [moment.isoformat(timespec="seconds") for moment in local]
    return Shelf(filings, frame["known_at"].to_numpy(), frame["client"].to_numpy(dtype=np.str_), days)


def _kinds(reports: pd.DataFrame) -> np.ndarray:
    """Q1 to Q4, with Y where nothing was done, 1A for amendments, 1T for a firm's last report."""
    quarter = reports["quarter"].str[-1].to_numpy(dtype=object)
    idle = np.where(reports["amount"].isna(), "Y", "").astype(object)
    last = reports["filing_id"].str.startswith(_TERMINATION).to_numpy()
    return np.select(
        [reports["amendment"].to_numpy(), last], [quarter + "A" + idle, quarter + "T" + idle], "Q" + quarter + idle
    )


def answer(present: Present, call: Call) -> Answer | None:
    """A page of the filings posted by now that match."""
    if call.path != _PATH:
        return None
    query = call.query
    filtered = any(value for name, value in query.items() if name not in _PAGING)
    number = _whole(query.get("page"), 1)
    size = min(_whole(query.get("page_size"), _LARGEST) or _LARGEST, _LARGEST)
    if number > 1 and not filtered:
        return json_answer({"detail": "You must pass at least one query string parameter to filter the results."}, 400)
    shelf = _shelf(present.world)
    found = _found(shelf, present.now, query)
    begin = (number - 1) * size
    if number < 1 or (begin >= len(found) and number > 1):
        return json_answer({"detail": "Invalid page."}, 404)
    return json_answer(
        {
            "count": len(found),
            "next": _neighbour(call, number + 1) if begin + size < len(found) else None,
            "previous": _neighbour(call, number - 1) if number > 1 else None,
            "results": [_filing(shelf.filings, int(at), call.host) for at in found[begin : begin + size]],
        }
    )


def _whole(text: str | None, otherwise: int) -> int:
    """A page number; 0 for a text that is none."""
    if text is None:
        return otherwise
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def _found(shelf: Shelf, now: datetime, query: dict[str, str]) -> npt.NDArray[np.int64]:
    """Places of the filings asked for, in the order asked for (newest first, unless told otherwise)."""
    last = int(np.searchsorted(shelf.posted, np.datetime64(now.astimezone(UTC).replace(tzinfo=None)), "right"))
    first = 0
    if after := query.get("filing_dt_posted_after"):
        first = int(np.searchsorted(shelf.local_days, np.datetime64(after, "D")))
    if before := query.get("filing_dt_posted_before"):
        last = min(last, int(np.searchsorted(shelf.local_days, np.datetime64(before, "D"))))
    places = np.arange(first, max(first, last))
    if client := query.get("client_name"):
        places = places[np.char.find(np.char.upper(shelf.clients[places]), client.upper()) >= 0]
    return places if query.get("ordering") == "dt_posted" else places[::-1]


def _neighbour(call: Call, number: int) -> str:
    return f"https://{call.host}{_PATH}?{urlencode({**call.query, 'page': number})}"


def _filing(filings: dict[str, list[Any]], at: int, host: str) -> dict[str, Any]:
    """One filing in the API's words."""
    identity, kind, amount = filings["filing_id"][at], filings["kind"][at], filings["amount"][at]
    client, registrant = filings["client"][at], filings["registrant"][at]
    year, quarter = int(filings["quarter"][at][:4]), int(filings["quarter"][at][5]) - 1
    own = client == registrant
    stated = None if amount != amount else f"{amount:.2f}"
    base = f"https://{host}/api/v1"
    number = int(identity[:6], 16)
    period = f"{_ORDINALS[quarter]} Quarter ({_MONTHS[quarter]})"
    return {
        "url": f"{base}/filings/{identity}/",
        "filing_uuid": identity,
        "filing_type": kind,
        "filing_type_display": "Registration" if kind == "RR" else f"{_ORDINALS[quarter]} Quarter - {_words(kind)}",
        "filing_year": year,
        "filing_period": f"{_PERIODS[quarter]}_quarter",
        "filing_period_display": period,
        "filing_document_url": f"https://{host}/filings/public/filing/{identity}/print/",
        "filing_document_content_type": "text/html",
        "income": None if own else stated,
        "expenses": stated if own else None,
        "expenses_method": "A" if own and stated else None,
        "dt_posted": filings["posted"][at],
        "termination_date": str(filings["event_date"][at].date()) if "T" in kind else None,
        "registrant": {
            "id": number,
            "url": f"{base}/registrants/{number}/",
            "name": registrant,
            "description": "&#226;\u20ac\u2039Government Affairs.",
            "city": "WASHINGTON",
            "state": "DC",
            "country": "US",
        },
        "client": {
            "id": number // 7,
            "url": f"{base}/clients/{number // 7}/",
            "name": client,
            "general_description": None,
            "client_government_entity": False,
            "client_self_select": True if own else None,
            "state": "DE",
            "country": "US",
        },
        "lobbying_activities": [
            {
                "general_issue_code": "BUD",
                "general_issue_code_display": "Budget/Appropriations",
                "description": "Appropriations.",
                "foreign_entity_issues": "",
                "lobbyists": [],
                "government_entities": [{"id": 2, "name": "HOUSE OF REPRESENTATIVES"}, {"id": 1, "name": "SENATE"}],
            }
        ],
        "conviction_disclosures": [],
        "foreign_entities": [],
        "affiliated_organizations": [],
    }


def _words(kind: str) -> str:
    activity = " (No Activity)" if kind.endswith("Y") else ""
    what = "Amendment" if "A" in kind else "Termination" if "T" in kind else "Report"
    return what + activity


SITE = Site(HOSTS, answer, limit=(15, 60.0))
