"""Apple's App Store: number and average of the ratings of companies' apps.

`GET https://itunes.apple.com/lookup?id=1,2,3&country=us` (https://developer.apple.com/library/archive/documentation/
AudioVideo/Conceptual/iTuneSearchAPI/LookupExamples.html), up to 200 ids: three empty lines, then
`{"resultCount", "results": [{"trackId", "trackName", "averageUserRating", "userRatingCount", ...}]}`. Ids that it does
not know are left out without a word. Ratings are counted since the app began: only what was collected shows a change.

Hype is the growth of the number of ratings over a week: `ratings / ratings a week before - 1`, where a week before is
the stored day nearest to seven days ago, six to eight.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pandas as pd

from pas_dagster import calendar
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.rules import json_of
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, Walk, collect
from pas_dagster.sources.texts import required

APPS: Mapping[str, Sequence[str]] = {
    "ABNB": ("401626263",),
    "AMZN": ("297606951",),
    "BKNG": ("367003839",),
    "COIN": ("886427730",),
    "DASH": ("719972451",),
    "DUOL": ("570060128",),
    "ETSY": ("477128284",),
    "GOOGL": ("544007664",),
    "HOOD": ("938003185",),
    "LYFT": ("529379082",),
    "MCD": ("922103212",),
    "META": ("389801252",),
    "MTCH": ("547702041",),
    "NFLX": ("363590051",),
    "PINS": ("429047995",),
    "PYPL": ("283646709",),
    "RBLX": ("431946152",),
    "SBUX": ("331177714",),
    "SNAP": ("447188370",),
    "SPOT": ("324684580",),
    "TGT": ("297430070",),
    "UBER": ("368677368",),
    "WMT": ("338137227",),
}
"""Symbol -> ids of its best-known apps (GOOGL: YouTube, META: Instagram, MTCH: Tinder)."""

_IDS_A_REQUEST = 200
_WEEK = (7, 6, 8)  # days back, the best first


def walk(query: Query) -> Walk:
    """The apps of listed companies, in as few questions as it takes."""
    owners: dict[str, list[str]] = {}
    for symbol, apps in sorted(apps_of(query).items()):
        for app in apps:
            owners.setdefault(app, []).append(symbol)
    ids = sorted(owners)
    parts = [ids[at : at + _IDS_A_REQUEST] for at in range(0, len(ids), _IDS_A_REQUEST)]
    yield [
        Request(
            f"https://itunes.apple.com/lookup?id={','.join(part)}&country=us",
            notes={"symbols": json.dumps({app: owners[app] for app in part})},
        )
        for part in parts
    ]


def apps_of(query: Query) -> dict[str, list[str]]:
    """Listed symbol -> ids: those of the option `apps`, else the built-in ones. Raises `LayoutError` without any."""
    chosen = query.options.get("apps", APPS)
    if not isinstance(chosen, Mapping):
        raise LayoutError("the option 'apps' maps symbols to ids of the App Store")
    ids = {str(symbol): _ids(given) for symbol, given in chosen.items()}
    found = {symbol: ids[symbol] for symbol in sorted(set(query.listed["symbol"]) & set(ids)) if ids[symbol]}
    if not found:
        raise LayoutError("the option 'apps' names an app of a listed company")
    return found


def _ids(given: object) -> list[str]:
    ids = [str(one) for one in given] if isinstance(given, (list, tuple)) else [str(given)]
    if not all(one.isascii() and one.isdigit() for one in ids):
        raise LayoutError("the option 'apps' maps symbols to ids of the App Store, which are numbers")
    return ids


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of app_reviews of the day of asking. Raises `LayoutError` when none of the apps is known."""
    today, before = calendar.today(query.now), _a_week_before(query)

    def parse(page: Page) -> Iterator[dict[str, object] | Bad]:
        for row in parse_apps(page):
            if isinstance(row, Bad):
                yield row
            else:
                yield {"known_on": today, "event_date": today, **row, "hype": _hype(row, before)}

    reading = collect(pages, parse)
    if reading.rows.empty and reading.bad.empty:
        error = LayoutError("one of the ids is an app that the store knows")
        error.page = pages[0] if pages else None
        raise error
    return reading


def parse_apps(page: Page) -> Iterator[dict[str, object] | Bad]:
    """The apps of an answer, a row for each symbol of the company: symbol, app, app_id, rating, ratings."""
    answer = json_of(page)
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list):
        raise LayoutError("an answer has results, a list")
    symbols = json.loads(page.notes["symbols"])
    seen: set[str] = set()
    for result in results:
        try:
            app = _app(result, symbols)
        except ValueError as error:
            yield Bad(f"an app has a known id, a name, a rating and a number of ratings ({error})", result)
            continue
        if app["app_id"] not in seen:
            seen.add(app["app_id"])
            yield from ({"symbol": symbol, **app} for symbol in symbols[app["app_id"]])


def _app(result: object, symbols: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    if not isinstance(result, dict):
        raise ValueError("it is no object")
    app, rating, ratings = str(result.get("trackId")), result.get("averageUserRating"), result.get("userRatingCount")
    if app not in symbols:
        raise ValueError("the id was not asked for")
    if isinstance(rating, bool) or not isinstance(rating, (int, float)) or not 0 <= rating <= 5:
        raise ValueError("averageUserRating is no rating from 0 to 5")
    if type(ratings) is not int or not 0 <= ratings < 1 << 53:
        raise ValueError("userRatingCount is no count")
    name = required(result.get("trackName"), "trackName")
    return {"app": name, "app_id": app, "rating": rating, "ratings": ratings}


def _a_week_before(query: Query) -> dict[str, int]:
    """App -> its number of ratings about a week ago."""
    stored = query.stored
    if stored.empty:
        return {}
    today = calendar.today(query.now)
    found: dict[str, int] = {}
    for back in reversed(_WEEK):
        day = stored[stored["event_date"] == pd.Timestamp(today - timedelta(days=back))]
        found |= dict(zip(day["app_id"].astype("str"), day["ratings"], strict=True))
    return found


def _hype(row: Mapping[str, object], before: Mapping[str, int]) -> float | None:
    old, new = before.get(str(row["app_id"])), row["ratings"]
    return float(new / old - 1) if old and isinstance(new, int) else None


SOURCES = (
    Source(
        name="itunes",
        dataset="app_reviews",
        title="App Store ratings",
        hosts=("itunes.apple.com",),
        walk=walk,
        read=read,
        every=7,  # what counts is the change over a week
        lookback=10,
        note=(
            "Ratings in the American App Store since each app began; hype is their growth over a week. The option "
            f"'apps' (symbol -> ids) replaces the built-in apps of {len(APPS)} companies."
        ),
    ),
)
