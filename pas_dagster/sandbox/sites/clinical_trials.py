"""ClinicalTrials.gov's API as clinicaltrials.gov serves it: the last version of each study, 1000 to a page.

Of `query.term` it understands a range of LastUpdatePostDate: all studies of the world are of phases 2 or 3 and
sponsored by companies. Some state only the month of their completion. A wrong page token is a 400 in plain text.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache

import pandas as pd

from pas_dagster.sandbox.catalysts import stated_by_month
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site, json_answer
from pas_dagster.sandbox.world import World

_RANGE = re.compile(r"AREA\[LastUpdatePostDate\]RANGE\[(\d{4}-\d\d-\d\d),(\d{4}-\d\d-\d\d)\]")
_MOST = 1000


def answer(present: Present, call: Call) -> Answer | None:
    if call.path != "/api/v2/studies":
        return None
    found = _RANGE.search(call.query.get("query.term", ""))
    size = call.query.get("pageSize", "10")
    if not found or not size.isdigit() or not 0 < int(size) <= _MOST:
        return Answer(b"Query has a wrong form", 400, "text/plain")
    begin = _offset(call.query.get("pageToken"))
    if begin is None:
        return Answer(b"Token is not valid", 400, "text/plain")
    shown = _shown(present, found[1], found[2])
    page = shown.iloc[begin : begin + int(size)]
    value: dict[str, object] = {"studies": [_study(*row) for row in page.itertuples(index=False, name=None)]}
    if begin + int(size) < len(shown):
        value["nextPageToken"] = urlsafe_b64encode(str(begin + int(size)).encode()).decode()
    return json_answer(value)


def _offset(token: str | None) -> int | None:
    if token is None:
        return 0
    try:
        return int(urlsafe_b64decode(token))
    except ValueError:
        return None


@lru_cache(maxsize=4)
def _postings(world: World) -> pd.DataFrame:
    """All postings of trials, oldest first, in the order of the fields that `_study` takes."""
    table = world.table("catalyst_events")
    trials = table[table["event_id"].str.startswith("NCT")]
    return trials[["event_id", "product", "company", "kind", "known_on", "expected_on"]]


def _shown(present: Present, first: str, last: str) -> pd.DataFrame:
    """The last versions by now, of which the last update is in the range; newest first."""
    known = _postings(present.world)
    known = known[known["known_on"] <= pd.Timestamp(present.today)]
    latest = known.drop_duplicates("event_id", keep="last")
    return latest[latest["known_on"].between(pd.Timestamp(first), pd.Timestamp(last))][::-1]


def _study(
    trial: str, title: str, sponsor: str, kind: str, posted: pd.Timestamp, expected: pd.Timestamp
) -> dict[str, object]:
    phases = [f"PHASE{number}" for number in kind.split()[1].split("/")]
    day = f"{expected:%Y-%m}" if stated_by_month(trial) else f"{expected:%Y-%m-%d}"
    section: dict[str, object] = {
        "identificationModule": {"nctId": trial, "briefTitle": title},
        "statusModule": {
            "primaryCompletionDateStruct": {"date": day, "type": "ACTUAL" if expected <= posted else "ESTIMATED"},
            "lastUpdatePostDateStruct": {"date": f"{posted:%Y-%m-%d}", "type": "ACTUAL"},
        },
        "sponsorCollaboratorsModule": {"leadSponsor": {"name": sponsor, "class": "INDUSTRY"}},
        "designModule": {"phases": phases},
    }
    return {"protocolSection": section}


SITE = Site(("clinicaltrials.gov",), answer, limit=(50, 60.0))
