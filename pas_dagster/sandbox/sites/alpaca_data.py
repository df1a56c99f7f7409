"""Alpaca's market data and assets of the sandbox world.

`data.alpaca.markets`: `/v2/stocks/bars` (many symbols, pages that end within one) and `/v1/corporate-actions`;
`paper-api.alpaca.markets`: `/v2/assets`. A request without keys is turned away with 401, recent bars of all exchanges
with 403, as for a free account.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import pandas as pd

from pas_dagster import calendar
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site, json_answer
from pas_dagster.sandbox.world import World

_DATA, _TRADING = "data.alpaca.markets", "paper-api.alpaca.markets"
_DELAY = timedelta(minutes=15)
_GROUPS = {
    ("split", True): "forward_splits",
    ("split", False): "reverse_splits",
    ("dividend", True): "cash_dividends",
    ("delisting", True): "cash_mergers",
    ("symbol_change", True): "name_changes",
}


def answer(present: Present, call: Call) -> Answer | None:
    """Bars, actions or assets; None for another path."""
    routes = {
        (_DATA, "/v2/stocks/bars"): _bars,
        (_DATA, "/v1/corporate-actions"): _actions,
        (_TRADING, "/v2/assets"): _assets,
    }
    route = routes.get((call.host, call.path))
    if route is None or call.method != "GET":
        return None
    if not {"apca-api-key-id", "apca-api-secret-key"} <= set(call.headers):
        return json_answer({"code": 40110000, "message": "request is not authorized"}, 401)
    return route(present, call)


def _bars(present: Present, call: Call) -> Answer:
    asked = call.query
    if asked.get("timeframe") != "1Day" or asked.get("adjustment", "raw") != "raw":
        return _wrong("the sandbox has raw bars of 1Day only")
    end = _instant(asked.get("end")) or present.now
    if asked.get("feed", "sip") == "sip" and end > present.now - _DELAY:
        return json_answer({"message": "subscription does not permit querying recent SIP data"}, 403)
    start, limit = _instant(asked.get("start")), _limit(asked, 1000, 10_000)
    place = _place(asked.get("page_token"))
    if start is None or limit is None or place is None:
        return _wrong("invalid start, limit or page_token")
    first, last = _midnights_from(start), min(end, present.now)
    symbols = sorted(set(filter(None, asked.get("symbols", "").split(","))))
    found: dict[str, list[dict[str, object]]] = {}
    left, tapes = limit, _tapes(present.world)
    begin_symbol, begin_day = place
    for symbol in symbols[bisect_left(symbols, begin_symbol) :]:
        if symbol not in tapes:
            continue
        days, bars = tapes[symbol]
        resumed = begin_day if symbol == begin_symbol else date.min
        low = bisect_left(days, max(first, resumed))
        high = bisect_left(days, _last_day(last) + timedelta(days=1))
        if low >= high:
            continue
        if left == 0:
            return json_answer({"bars": found, "next_page_token": _token(symbol, days[low])})
        taken = bars[low : min(high, low + left)]
        found[symbol] = taken
        left -= len(taken)
        if low + len(taken) < high:
            return json_answer({"bars": found, "next_page_token": _token(symbol, days[low + len(taken)])})
    return json_answer({"bars": found, "next_page_token": None})


def _last_day(moment: datetime) -> date:
    """The last day with a bar: that of a session is complete a little after the close."""
    local = moment.astimezone(calendar.NEW_YORK)
    return local.date() if local.hour >= 16 else local.date() - timedelta(days=1)


def _midnights_from(moment: datetime) -> date:
    """The first day whose midnight in New York, by which bars are stamped, is not before the moment."""
    day = calendar.today(moment)
    return day if calendar.midnight(day) >= moment else day + timedelta(days=1)


def _actions(present: Present, call: Call) -> Answer:
    asked = call.query
    limit, place = _limit(asked, 100, 1000), _offset(asked.get("page_token"))
    try:
        start, end = (date.fromisoformat(asked.get(name, present.today.isoformat())) for name in ("start", "end"))
    except ValueError:
        return _wrong("invalid start or end")
    if limit is None or place is None:
        return _wrong("invalid limit or page_token")
    symbols = set(filter(None, asked.get("symbols", "").split(",")))
    types = {f"{kind}s" for kind in asked.get("types", "").split(",") if kind}
    shown = [
        (group, entry)
        for known_on, day, names, group, entry in _dated_actions(present.world)
        if known_on <= present.today
        and start <= day <= end
        and (not symbols or names & symbols)
        and (not types or group in types)
    ]
    groups: dict[str, list[dict[str, object]]] = {}
    for group, entry in shown[place : place + limit]:
        groups.setdefault(group, []).append(entry)
    token = _token("", str(place + limit)) if place + limit < len(shown) else None
    return json_answer({"corporate_actions": groups, "next_page_token": token})


def _assets(present: Present, call: Call) -> Answer:
    """Who is listed today; one in eight cannot be traded in fractions."""
    if call.query.get("status", "active") != "active":
        return json_answer([])
    rows = present.table("universe").drop_duplicates("symbol", keep="last")
    assets = [
        {
            "id": str(uuid5(NAMESPACE_URL, symbol)),
            "class": "us_equity",
            "exchange": "ARCA" if kind == "etf" else "NASDAQ",
            "symbol": symbol,
            "name": name if kind == "stock" or "ETF" in name else f"{name} ETF",
            "status": "active",
            "tradable": True,
            "marginable": True,
            "shortable": True,
            "easy_to_borrow": True,
            "fractionable": kind == "etf" or sum(symbol.encode()) % 8 > 0,
            "attributes": [],
        }
        for symbol, name, kind, action in zip(rows["symbol"], rows["name"], rows["kind"], rows["action"], strict=True)
        if action == "add"
    ]
    return json_answer(assets)


@lru_cache(maxsize=2)
def _tapes(world: World) -> dict[str, tuple[list[date], list[dict[str, object]]]]:
    """Days and bars by symbol."""
    prices = world.table("prices").sort_values(["symbol", "event_date"], kind="stable", ignore_index=True)
    sessions, of_row = np.unique(prices["event_date"].to_numpy("datetime64[D]"), return_inverse=True)
    stamps = [calendar.midnight(day).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for day in sessions.astype(object)]
    columns = [prices[name].tolist() for name in ("open", "high", "low", "close", "volume")]
    bars: list[dict[str, object]] = [
        {"t": stamps[n], "o": o, "h": h, "l": low, "c": c, "v": int(v), "n": int(v) // 90 + 1, "vw": (h + low + c) / 3}
        for n, o, h, low, c, v in zip(of_row.tolist(), *columns, strict=True)
    ]
    days = prices["event_date"].to_numpy("datetime64[D]").astype(object).tolist()
    symbols, begins = np.unique(prices["symbol"].to_numpy(object).astype(str), return_index=True)
    ends = [*begins.tolist()[1:], len(bars)]
    return {
        symbol: (days[begin:end], bars[begin:end])
        for symbol, begin, end in zip(symbols.tolist(), begins.tolist(), ends, strict=True)
    }


@lru_cache(maxsize=2)
def _dated_actions(world: World) -> list[tuple[date, date, set[str], str, dict[str, object]]]:
    """Known on, effective day, symbols, type and entry of every action, in order of days."""
    found = []
    rows = world.table("corporate_actions").sort_values(["event_date", "symbol", "kind"], kind="stable")
    columns = (rows[name].tolist() for name in ("known_on", "event_date", "kind", "symbol", "value", "new_symbol"))
    for known, effective, kind, symbol, value, heir in zip(*columns, strict=True):
        day = effective.date()
        group = _GROUPS[kind, kind != "split" or value >= 1]
        names = {symbol} if kind != "symbol_change" else {symbol, heir}
        entry = {"id": str(uuid5(NAMESPACE_URL, f"{day}{symbol}{group}")), **_entry(kind, symbol, day, value, heir)}
        found.append((known.date(), day, names, group, entry))
    return found


def _entry(kind: str, symbol: str, day: date, value: float, heir: str | None) -> dict[str, object]:
    when = day.isoformat()
    if kind == "split":
        new, old = (value, 1) if value >= 1 else (1, round(1 / value, 6))
        return {"symbol": symbol, "ex_date": when, "process_date": when, "new_rate": new, "old_rate": old}
    if kind == "dividend":
        payable = (day + timedelta(days=21)).isoformat()
        flags = {"foreign": False, "special": False}
        return {"symbol": symbol, "ex_date": when, "rate": value, "process_date": payable, **flags}
    if kind == "delisting":
        return {"acquiree_symbol": symbol, "effective_date": when, "process_date": when, "rate": value}
    return {"old_symbol": symbol, "new_symbol": heir, "process_date": when}


def _wrong(message: str) -> Answer:
    return json_answer({"message": message}, 400)


def _limit(asked: dict[str, str], usual: int, most: int) -> int | None:
    text = asked.get("limit", str(usual))
    return int(text) if text.isdigit() and 1 <= int(text) <= most else None


def _instant(text: str | None) -> datetime | None:
    """A day (its midnight in New York) or an instant."""
    if not text:
        return None
    stamp = pd.to_datetime(text, errors="coerce")
    if pd.isna(stamp):
        return None
    return (stamp if stamp.tzinfo else stamp.tz_localize(calendar.NEW_YORK)).to_pydatetime()


def _token(symbol: str, place: object) -> str:
    return base64.urlsafe_b64encode(f"{symbol}|{place}".encode()).decode()


def _place(token: str | None) -> tuple[str, date] | None:
    """Symbol and day a page begins with; None for a token that is none."""
    if token is None:
        return "", date.min
    try:
        symbol, _, day = base64.urlsafe_b64decode(token).decode().partition("|")
        return symbol, date.fromisoformat(day)
    except (binascii.Error, ValueError):
        return None


def _offset(token: str | None) -> int | None:
    if token is None:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token).decode().removeprefix("|"))
    except (binascii.Error, ValueError):
        return None


SITE = Site((_DATA, _TRADING), answer, (200, 60))
