"""openFDA's drugsfda endpoint as api.fda.gov serves it: applications with all their submissions.

A range of days finds an application by any of its submissions, so some are told that lie outside it, and some that were
not approved. No match is a 404 with NOT_FOUND; a limit above 1000 or a skip above 25000 is a 400.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache

import pandas as pd

from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site, json_answer
from pas_dagster.sandbox.world import World

_RANGE = re.compile(r"submissions\.submission_status_date:\[(\d{8}) TO (\d{8})\]")
_TYPES = {"approval": "ORIG", "supplement approval": "SUPPL"}


def answer(present: Present, call: Call) -> Answer | None:
    if call.path != "/drug/drugsfda.json":
        return None
    found = _RANGE.search(call.query.get("search", ""))
    limit, skip = call.query.get("limit", "1"), call.query.get("skip", "0")
    if not found or not (limit.isdigit() and skip.isdigit()) or int(limit) > 1000 or int(skip) > 25_000:
        return _error(400, "BAD_REQUEST", "Limit cannot exceed 1000 results for search requests.")
    first, last = (pd.Timestamp(day) for day in found.groups())
    known = _approvals(present.world)
    known = known[known["known_on"] <= pd.Timestamp(present.today)]
    shown = known[known["event_date"].between(first, last)]
    page = shown.iloc[int(skip) : int(skip) + int(limit)]
    if page.empty:
        return _error(404, "NOT_FOUND", "No matches found!")
    columns = ["event_id", "company", "product", "kind", "event_date"]
    results = [_application(*row) for row in page[columns].itertuples(index=False, name=None)]
    counts = {"skip": int(skip), "limit": int(limit), "total": len(shown)}
    meta = {"disclaimer": "Do not rely on openFDA", "last_updated": f"{present.today}", "results": counts}
    return json_answer({"meta": meta, "results": results})


def _error(status: int, code: str, message: str) -> Answer:
    return json_answer({"error": {"code": code, "message": message}}, status)


@lru_cache(maxsize=4)
def _approvals(world: World) -> pd.DataFrame:
    table = world.table("catalyst_events")
    return table[table["kind"].isin(list(_TYPES))]


def _application(number: str, sponsor: str, brand: str, kind: str, day: datetime) -> dict[str, object]:
    """With a submission that was withdrawn years before, and for a supplement the first approval."""
    submissions = [
        _submission(_TYPES[kind], "4", "AP", day),
        _submission("SUPPL", "3", "WD", day - timedelta(days=3000)),
    ]
    if kind != "approval":
        submissions.append(_submission("ORIG", "1", "AP", day - timedelta(days=4000)))
    products = [
        {"product_number": f"00{number}", "brand_name": brand, "marketing_status": "Prescription"} for number in (1, 2)
    ]
    return {
        "submissions": submissions,
        "application_number": number,
        "sponsor_name": sponsor,
        "products": products,
    }


def _submission(kind: str, number: str, status: str, day: datetime) -> dict[str, str]:
    return {
        "submission_type": kind,
        "submission_number": number,
        "submission_status": status,
        "submission_status_date": f"{day:%Y%m%d}",
    }


SITE = Site(("api.fda.gov",), answer, limit=(240, 60.0))
