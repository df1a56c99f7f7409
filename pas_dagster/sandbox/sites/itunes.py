"""The App Store's lookup of the sandbox world: unknown ids are left out, and the body starts with empty lines."""

from __future__ import annotations

import json
from datetime import date
from functools import lru_cache
from typing import Any

from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site
from pas_dagster.sandbox.world import World

_HOST = "itunes.apple.com"
_MOST_IDS = 200


def answer(present: Present, call: Call) -> Answer | None:
    """The apps of an answer, as they stand today."""
    if call.path != "/lookup":
        return None
    asked = call.query.get("id", "").split(",")[:_MOST_IDS]
    today = _snapshots(present.world).get(present.today, {})
    results = [today[app] for app in dict.fromkeys(asked) if app in today]
    body = "\n\n\n" + json.dumps({"resultCount": len(results), "results": results}) + "\n\n\n"
    return Answer(body.encode(), 200, "text/javascript; charset=utf-8")


@lru_cache(maxsize=4)
def _snapshots(world: World) -> dict[date, dict[str, dict[str, Any]]]:
    """Day -> id -> what the store tells."""
    rows = world.table("app_reviews")
    names = ("event_date", "app_id", "app", "rating", "ratings")
    found: dict[date, dict[str, dict[str, Any]]] = {}
    for moment, app_id, app, rating, ratings in zip(*(rows[name].tolist() for name in names), strict=True):
        found.setdefault(moment.date(), {})[app_id] = {
            "kind": "software",
            "wrapperType": "software",
            "trackId": int(app_id),
            "trackName": app,
            "sellerName": f"{app.partition(':')[0]} Inc.",
            "averageUserRating": rating,
            "userRatingCount": ratings,
            "version": "7.1",
            "currentVersionReleaseDate": f"{moment.date()}T07:00:00Z",
        }
    return found


SITE = Site((_HOST,), answer, limit=(20, 60))
