"""Yahoo Finance as the sandbox has it: the cookie, the crumb that belongs to it, and the history of ratings.

As yfinance asks (https://github.com/ranaroussi/yfinance) and gadicc/node-yahoo-finance2 recorded. The charts of
query2.finance.yahoo.com are another module's.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie

import numpy as np

from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site, json_answer
from pas_dagster.sandbox.world import World

_SUMMARY = "/v10/finance/quoteSummary/"
_MODULE = "upgradeDowngradeHistory"
_ACTIONS = {"maintain": "main", "upgrade": "up", "downgrade": "down", "initiate": "init", "reiterate": "reit"}
_YEAR = 365 * 86400


@dataclass(frozen=True)
class _History:
    """The ratings of one symbol, oldest first, and the second each was published."""

    seconds: list[int] = field(default_factory=list)
    entries: list[dict[str, object]] = field(default_factory=list)


@lru_cache(maxsize=4)
def _histories(world: World) -> dict[str, _History]:
    ratings = world.table("analyst_ratings").sort_values("known_at", kind="stable")
    ratings["second"] = ratings["known_at"].to_numpy().astype("datetime64[s]").astype(np.int64)
    ratings[["target", "target_before"]] = ratings[["target", "target_before"]].fillna(0.0)
    found: dict[str, _History] = {}
    for row in ratings.to_dict("records"):
        history = found.setdefault(row["symbol"], _History())
        history.seconds.append(row["second"])
        history.entries.append(
            {
                "epochGradeDate": row["second"],
                "firm": row["firm"],
                "toGrade": row["to_grade"],
                "fromGrade": row["from_grade"] or "",
                "action": _ACTIONS[row["action"]],
                "priceTargetAction": _moved(row["target_before"], row["target"]),
                "currentPriceTarget": row["target"],
                "priorPriceTarget": row["target_before"],
            }
        )
    return found


def _moved(before: float, after: float) -> str:
    if not after:
        return ""
    if not before:
        return "Announces"
    return "Maintains" if after == before else "Raises" if after > before else "Lowers"


def answer(present: Present, call: Call) -> Answer | None:
    """The cookie, the crumb, or the ratings of a symbol; None for other paths."""
    if call.host == "fc.yahoo.com":
        cookie = f"A3={_cookie(present)}; Max-Age={_YEAR}; Domain=.yahoo.com; Path=/; SameSite=None; Secure; HttpOnly"
        return Answer(b"", 404, headers={"Set-Cookie": cookie})
    if call.path == "/v1/test/getcrumb":
        given = _given(call)
        return Answer(_crumb(given).encode(), type="text/plain;charset=utf-8") if given else _turned_away("Cookie")
    if call.path.startswith(_SUMMARY):
        return _summary(present, call)
    return None


def _summary(present: Present, call: Call) -> Answer:
    given = _given(call)
    if not given or call.query.get("crumb") != _crumb(given):
        return _turned_away("Crumb")
    modules = call.query.get("modules", "")
    history = _histories(present.world).get(call.path.removeprefix(_SUMMARY).upper().replace("-", "."), _History())
    known = bisect_right(history.seconds, int(present.now.timestamp()))
    if _MODULE not in modules.split(",") or not known:
        description = f"No fundamentals data found for any of the summaryTypes={modules}"
        error = {"code": "Not Found", "description": description}
        return json_answer({"quoteSummary": {"result": None, "error": error}}, 404)
    found = {_MODULE: {"history": history.entries[known - 1 :: -1], "maxAge": 86400}}
    return json_answer({"quoteSummary": {"result": [found], "error": None}})


def _turned_away(what: str) -> Answer:
    error = {"code": "Unauthorized", "description": f"Invalid {what}"}
    return json_answer({"finance": {"result": None, "error": error}}, 401)


def _cookie(present: Present) -> str:
    return "d=" + hashlib.sha256(f"{present.world.seed} {present.now:%Y-%m-%d}".encode()).hexdigest()


def _given(call: Call) -> str:
    """The value of the cookie that came with the call."""
    try:
        morsel = SimpleCookie(call.headers.get("cookie", "")).get("A3")
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _crumb(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()[:11]


SITE = Site(
    ("query2.finance.yahoo.com", "query1.finance.yahoo.com", "fc.yahoo.com"),
    answer,
    limit=(150, 60),
)
