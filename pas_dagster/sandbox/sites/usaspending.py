"""USAspending's search: `POST /api/v2/search/spending_by_transaction/` and `.../spending_by_award/`, JSON both ways.

`..._count/` beside each tells how many rows there are.

Amounts of transactions are texts, those of awards numbers; both kinds of rows carry identifiers nobody asked for.
An action shows when it is public. Filters the sandbox knows: award types, the time period (by the day of the action or
of the award), the awarding agency, the recipient's text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site, json_answer
from pas_dagster.sandbox.world import World

HOST = "api.usaspending.gov"

_PATH = re.compile(r"/api/v2/search/spending_by_(transaction|award)(_count)?/")
_WINDOW = 50_000
_MOST = 100
_EARLIEST = "2007-10-01"
_FIELDS = {
    "transaction": {
        *("Award ID", "Mod", "Recipient Name", "Action Date", "Transaction Amount", "Awarding Agency", "Award Type"),
        *("Awarding Sub Agency", "Transaction Description", "internal_id", "generated_internal_id", "Issued Date"),
    },
    "award": {
        *("Award ID", "Recipient Name", "Start Date", "Base Obligation Date", "Award Amount", "Awarding Agency"),
        *("Awarding Sub Agency", "Description", "internal_id", "generated_internal_id", "Last Modified Date"),
    },
}
_AMOUNT = {"transaction": "Transaction Amount", "award": "Award Amount"}
_NOTE = (
    "For searches, time period start and end dates are currently limited to an earliest date of 2007-10-01.  For data "
    "going back to 2000-10-01, use either the Custom Award Download feature on the website or one of our download or "
    "bulk_download API endpoints as listed on https://api.usaspending.gov/docs/endpoints. "
)


@dataclass(frozen=True)
class Register:
    """All actions of a world by their day: parallel arrays; `award` numbers the awards."""

    day: npt.NDArray[np.datetime64]
    known: npt.NDArray[np.datetime64]
    amount: npt.NDArray[np.float64]
    agency: npt.NDArray[np.str_]
    recipient: npt.NDArray[np.str_]
    identity: npt.NDArray[np.str_]
    mod: npt.NDArray[np.str_]
    award: npt.NDArray[np.int64]
    description: npt.NDArray[np.object_]


@lru_cache(maxsize=4)
def _register(world: World) -> Register:
    frame = world.table("gov_contracts").sort_values(["event_date", "award_id"], ignore_index=True)
    parts = frame["award_id"].str.rsplit(":", n=1)
    identity = parts.str[0].to_numpy(dtype=np.str_)
    return Register(
        frame["event_date"].to_numpy().astype("datetime64[D]"),
        frame["known_on"].to_numpy().astype("datetime64[D]"),
        frame["amount"].to_numpy(dtype=np.float64),
        frame["agency"].to_numpy(dtype=np.str_),
        frame["recipient"].to_numpy(dtype=np.str_),
        identity,
        parts.str[1].to_numpy(dtype=np.str_),
        np.unique(identity, return_inverse=True)[1],
        frame["description"].to_numpy(dtype=object),
    )


def answer(present: Present, call: Call) -> Answer | None:
    """A page of what is public and matches."""
    found = _PATH.fullmatch(call.path)
    if not found:
        return None
    level, counting = found.group(1), found.group(2) is not None
    if call.method != "POST":
        return json_answer({"detail": f'Method "{call.method}" not allowed.'}, 405)
    try:
        asked = call.json
    except ValueError as error:
        return json_answer({"detail": f"JSON parse error - {error}"}, 400)
    if counting and isinstance(asked, dict):
        asked = {**asked, "fields": [_AMOUNT[level]]}
    wrong = _wrong(asked, level)
    if wrong is not None:
        return wrong
    return _counted(present, asked, level) if counting else _page(present, asked, level)


def _counted(present: Present, asked: Mapping[str, Any], level: str) -> Answer:
    contracts = len(_found(present, _register(present.world), asked["filters"], level))
    others = dict.fromkeys(("idvs", "loans", "direct_payments", "other", "grants"), 0)
    return json_answer({"results": {**others, "contracts": contracts}})


def _wrong(asked: Any, level: str) -> Answer | None:
    """What the site objects to."""
    if not isinstance(asked, dict) or not isinstance(asked.get("filters"), dict):
        return json_answer({"detail": "Missing value: 'filters|award_type_codes' is a required field"}, 422)
    fields, filters = asked.get("fields"), asked["filters"]
    if not filters.get("award_type_codes"):
        return json_answer({"detail": "Missing value: 'filters|award_type_codes' is a required field"}, 422)
    if not isinstance(fields, list) or not fields:
        return json_answer({"detail": "Missing value: 'fields' is a required field"}, 422)
    unknown = [name for name in fields if name not in _FIELDS[level]]
    if unknown:
        return json_answer({"detail": f"Field 'fields' is outside valid values {sorted(_FIELDS[level])}"}, 400)
    if asked.get("sort", _AMOUNT[level]) not in fields:
        return json_answer({"detail": f"Sort value not found in fields: {asked.get('sort', _AMOUNT[level])}"}, 400)
    limit, page = asked.get("limit", 10), asked.get("page", 1)
    if not isinstance(limit, int) or not isinstance(page, int) or page < 1 or limit < 1:
        return json_answer({"detail": "Invalid value in 'page' or 'limit'"}, 400)
    if limit > _MOST:
        return json_answer({"detail": f"Field 'limit' value '{limit}' is above max '{_MOST}'"}, 422)
    if (page - 1) * limit >= _WINDOW:
        detail = f"Page #{page} of size {limit} is over the maximum result limit ({_WINDOW})."
        return json_answer({"detail": detail}, 422)
    for period in filters.get("time_period", []):
        if min(period["start_date"], period["end_date"]) < _EARLIEST:
            return json_answer({"detail": f"Value must be on or after {_EARLIEST}"}, 422)
    return None


def _page(present: Present, asked: Mapping[str, Any], level: str) -> Answer:
    register, limit, number = _register(present.world), asked.get("limit", 10), asked.get("page", 1)
    found = _found(present, register, asked["filters"], level)
    amounts = register.amount[found]
    if level == "award":
        public = register.known <= np.datetime64(present.today)
        totals = np.bincount(register.award[public], register.amount[public], minlength=int(register.award.max()) + 1)
        amounts = np.round(totals[register.award[found]], 2)
    order = np.argsort(-amounts if asked.get("order", "desc") == "desc" else amounts, kind="stable")
    begin = (number - 1) * limit
    chosen = order[begin : begin + limit]
    more = begin + limit < len(order)
    rows = [_row(register, int(found[at]), float(amounts[at]), asked["fields"], level) for at in chosen]
    meta: dict[str, Any] = {"page": number, "hasNext": more}
    if level == "transaction":
        meta |= {
            "next": number + 1 if more else None,
            "previous": number - 1 if number > 1 else None,
            "hasPrevious": number > 1,
        }
        return json_answer({"limit": limit, "results": rows, "page_metadata": meta, "messages": [_NOTE]})
    last = rows[-1] if rows else {}
    meta |= {"last_record_unique_id": last.get("internal_id"), "last_record_sort_value": str(last.get("Award Amount"))}
    found_awards = {"spending_level": "awards", "limit": limit, "results": rows}
    return json_answer({**found_awards, "page_metadata": meta, "messages": [_NOTE]})


def _found(present: Present, register: Register, filters: Mapping[str, Any], level: str) -> npt.NDArray[np.int64]:
    """Places of the rows that match, in the order of their days."""
    periods = filters.get("time_period") or [{"start_date": _EARLIEST, "end_date": str(present.today)}]
    spans = [
        np.arange(
            np.searchsorted(register.day, np.datetime64(period["start_date"], "D")),
            np.searchsorted(register.day, np.datetime64(period["end_date"], "D"), "right"),
        )
        for period in periods
    ]
    places = np.unique(np.concatenate(spans)).astype(np.int64)
    keep = register.known[places] <= np.datetime64(present.today)
    new_only = any(period.get("date_type") == "new_awards_only" for period in periods)
    if level == "award" or new_only:
        keep &= register.mod[places] == "0"
    if agencies := [agency["name"] for agency in filters.get("agencies", [])]:
        keep &= np.isin(register.agency[places], agencies)
    if texts := filters.get("recipient_search_text"):
        keep &= np.any([np.char.find(register.recipient[places], text.upper()) >= 0 for text in texts], axis=0)
    return places[keep]


def _row(register: Register, at: int, amount: float, fields: list[str], level: str) -> dict[str, Any]:
    """One row: the fields that were asked for, and the identifiers that always come."""
    identity = str(register.identity[at])
    number = 300_000_000 + int(register.award[at])
    description = register.description[at]
    known: dict[str, Any] = {
        "Award ID": identity.split("_")[2],
        "Mod": str(register.mod[at]),
        "Recipient Name": str(register.recipient[at]),
        "Action Date": str(register.day[at]),
        "Transaction Amount": f"{amount:.2f}",
        "Award Amount": amount,
        "Awarding Agency": str(register.agency[at]),
        "Awarding Sub Agency": str(register.agency[at]),
        "Award Type": "DELIVERY ORDER" if identity[20:21] in "FP" else "DEFINITIVE CONTRACT",
        "Transaction Description": description,
        "Description": description,
        "Start Date": str(register.day[at]),
        "Issued Date": str(register.day[at]),
        "Base Obligation Date": str(register.day[at]),
        "Last Modified Date": str(register.day[at]),
    }
    row = {name: known[name] for name in fields if name in known}
    if level == "transaction":
        return {**row, "internal_id": str(number), "generated_internal_id": identity}
    return {"internal_id": number, **row, "awarding_agency_id": 1173, "generated_internal_id": identity}


SITE = Site((HOST,), answer)
