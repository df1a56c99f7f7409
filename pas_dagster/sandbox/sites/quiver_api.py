"""Quiver's API as the sandbox has it (https://api.quiverquant.com/docs): lists newest first, without count or links.

`/bulk` ignores dates, a page beyond the last is empty, numbers come as texts here and there, a number that is missing
is the literal NaN, which is no JSON. Any key is good; to one with `hobbyist` in it, insiders and app ratings are a 403.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from pas_dagster.sandbox.sites.quiver_records import Record, asset_type, bracket, records, trades, transaction
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site, json_answer

_BASE = "/beta"
_LIVE = 500  # of each chamber
_MOST = {"bulk": 10_000, "lobbying": 5_000}
_CONTRACTS = 100  # a page
_PARTIES = {"D": "Democratic", "R": "Republican", "I": "Independent"}
_TRADER = ("/live/insiders", "/live/appratings")
_UPGRADE = {"detail": "Upgrade your subscription plan to access this dataset."}
_NOT_FOUND = Answer(b"<!doctype html><html><head><title>Not Found</title></head><body></body></html>", 404)


def answer(present: Present, call: Call) -> Answer | None:
    """The list that a path names."""
    scheme, _, key = call.headers.get("authorization", "").partition(" ")
    if scheme not in ("Bearer", "Token") or not key.strip():
        return json_answer({"detail": "Authentication credentials were not provided."}, 401)
    path = call.path.removeprefix(_BASE).rstrip("/")
    if path.startswith(_TRADER) and "hobbyist" in key:
        return json_answer(_UPGRADE, 403)
    whole = _PATHS.get(path)
    if whole is not None:
        return _list(whole(present, call))
    head, _, ticker = path.rpartition("/")
    about = _BY_TICKER.get(head)
    return _list(about(present, ticker.upper())) if about is not None else _NOT_FOUND


def _list(rows: Any) -> Answer:
    return Answer(json.dumps(rows).encode(), 200, "application/json")


def _number(call: Call, name: str, otherwise: int) -> int:
    value = call.query.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and value != "0" else otherwise


def _page(call: Call, rows: list[Record], most: int) -> list[Record]:
    size = min(most, _number(call, "page_size", most))
    begin = (_number(call, "page", 1) - 1) * size
    return rows[begin : begin + size]


def _day(call: Call) -> date | None:
    try:
        return date.fromisoformat(call.query.get("date", ""))
    except ValueError:
        return None


# Trades of politicians


def _live_trades(present: Present, call: Call) -> list[dict[str, object]]:
    told: list[Record] = []
    left = {"house": _LIVE, "senate": _LIVE}
    for trade in trades(present.world).newest(present):
        if call.query.get("representative", trade["politician"]) == trade["politician"] and left[trade["chamber"]]:
            left[trade["chamber"]] -= 1
            told.append(trade)
    return [_first_version(trade) for trade in told]


def _first_version(trade: Record) -> dict[str, object]:
    return {
        "Representative": trade["politician"],
        "BioGuideID": trade["bioguide_id"],
        "ReportDate": f"{trade['known_on']:%Y-%m-%d}",
        "TransactionDate": f"{trade['event_date']:%Y-%m-%d}",
        "Ticker": trade["symbol"] or "-",
        "Transaction": transaction(trade),
        "Range": bracket(trade),
        "House": "Senate" if trade["chamber"] == "senate" else "Representatives",
        "Amount": f"{trade['amount_low']:.1f}",
        "Party": trade["party"],
        "last_modified": f"{trade['known_on']:%Y-%m-%d}",
        "TickerType": asset_type(trade),
        "Description": trade["asset_description"],
        "ExcessReturn": float("nan"),
        "PriceChange": float("nan"),
        "SPYChange": float("nan"),
    }


def _second_version(trade: Record) -> dict[str, object]:
    """Of the Senate, the amount is the lower end of its bracket, and the party a word."""
    senate = trade["chamber"] == "senate"
    return {
        "Ticker": trade["symbol"] or "-",
        "TickerType": asset_type(trade),
        "Company": trade["asset_description"],
        "Traded": f"{trade['event_date']:%Y-%m-%d}",
        "Transaction": transaction(trade),
        "Trade_Size_USD": f"{trade['amount_low']:.1f}" if senate else bracket(trade),
        "Status": None,
        "Subholding": None,
        "Description": None,
        "Name": trade["politician"],
        "BioGuideID": trade["bioguide_id"],
        "Filed": f"{trade['known_on']:%Y-%m-%d}",
        "Party": _PARTIES[trade["party"]] if senate else trade["party"],
        "District": None,
        "Chamber": "Senate" if senate else "Representatives",
        "Comments": None,
        "Quiver_Upload_Time": f"{trade['known_on']:%Y-%m-%d}",
        "last_modified": f"{trade['known_on']:%Y-%m-%d}",
        "excess_return": float("nan"),
        "State": trade["state"],
    }


def _bulk_trades(present: Present, call: Call) -> Any:
    shown = _page(call, trades(present.world).newest(present), _MOST["bulk"])
    version = _second_version if call.query.get("version") == "V2" else _first_version
    return {"data": [version(trade) for trade in shown]}


def _trades_of(present: Present, ticker: str) -> list[dict[str, object]]:
    return [_first_version(trade) for trade in trades(present.world).of(present, "symbol", ticker)]


# The other datasets


def _live_lobbying(present: Present, call: Call) -> list[dict[str, object]]:
    shown = _page(call, records(present.world, "lobbying").newest(present), _MOST["lobbying"])
    return [_report(row) for row in shown]


def _report(row: Record) -> dict[str, object]:
    """An amount is a text where a firm is hired."""
    amount = row["amount"]
    return {
        "Ticker": row["symbol"] or "-",
        "Date": f"{row['known_on']:%Y-%m-%d}",
        "Client": row["client"],
        "Issue": "Taxation/Internal Revenue Code\nTrade (domestic/foreign)",
        "Specific_Issue": None,
        "Amount": amount if amount is None or row["registrant"] == row["client"] else f"{amount:.1f}",
        "Registrant": row["registrant"],
    }


def _lobbying_of(present: Present, ticker: str) -> list[dict[str, object]]:
    return [_report(row) for row in records(present.world, "lobbying").of(present, "symbol", ticker)]


def _live_contracts(present: Present, call: Call) -> list[dict[str, object]]:
    """Of companies with a ticker: those of a day, else the newest."""
    held, day = records(present.world, "gov_contracts"), _day(call)
    rows = held.newest(present, _LIVE) if day is None else held.on(present, day)
    return [_contract(row) for row in _page(call, [row for row in rows if row["symbol"]], _CONTRACTS)]


def _contract(row: Record) -> dict[str, object]:
    return {
        "Ticker": row["symbol"],
        "Date": f"{row['known_on']:%Y-%m-%d}",
        "Description": row["description"],
        "Agency": (row["agency"] or "").upper(),
        "Amount": row["amount"],
        "action_date": f"{row['event_date']:%Y-%m-%d}",
    }


def _contracts_of(present: Present, ticker: str) -> list[dict[str, object]]:
    return [_contract(row) for row in records(present.world, "gov_contracts").of(present, "symbol", ticker)]


def _live_insiders(present: Present, call: Call) -> list[dict[str, object]]:
    """What was filed on a day, else the newest."""
    held, day = records(present.world, "insider_buying"), _day(call)
    rows = held.newest(present, _LIVE) if day is None else held.on(present, day)
    wanted = call.query.get("ticker")
    limited = call.query.get("limit_codes", "").lower() == "true"
    return [
        _insider(row) for row in rows if wanted in (None, row["symbol"]) and (not limited or row["code"] in ("P", "S"))
    ]


def _insider(row: Record) -> dict[str, object]:
    """Midnight stands for a filing of which only the day is known."""
    filed = f"{row['known_at'] or row['known_on']:%Y-%m-%dT%H:%M:%S}.000Z"
    return {
        "Ticker": row["symbol"],
        "Date": f"{row['event_date']:%Y-%m-%d}",
        "Name": row["insider"],
        "AcquiredDisposedCode": "A" if row["direction"] == "buy" else "D",
        "TransactionCode": row["code"],
        "PricePerShare": float("nan") if row["price"] is None else row["price"],
        "Shares": row["shares"],
        "SharesOwnedFollowing": None,
        "fileDate": filed,
        "uploaded": filed,
        "officerTitle": row["title"],
        "isDirector": row["role"] == "director",
        "isOfficer": row["role"] == "officer",
        "isTenPercentOwner": row["role"] == "owner",
        "isOther": row["role"] == "other",
        "directOrIndirectOwnership": "D",
    }


def _live_apps(present: Present, call: Call) -> list[dict[str, object]]:
    """The last week."""
    held = records(present.world, "app_reviews")
    rows = [row for back in range(7) for row in held.on(present, present.today - timedelta(back))]
    return [
        {
            "Ticker": row["symbol"],
            "App": row["app"],
            "Rating": row["rating"],
            "Count": row["ratings"],
            "Hype": row["hype"],
            "Date": f"{row['event_date']:%Y-%m-%d}",
        }
        for row in rows
    ]


_PATHS: dict[str, Callable[[Present, Call], Any]] = {
    "/live/congresstrading": _live_trades,
    "/bulk/congresstrading": _bulk_trades,
    "/live/lobbying": _live_lobbying,
    "/live/govcontractsall": _live_contracts,
    "/live/insiders": _live_insiders,
    "/live/appratings": _live_apps,
}
_BY_TICKER: dict[str, Callable[[Present, str], Any]] = {
    "/historical/congresstrading": _trades_of,
    "/historical/lobbying": _lobbying_of,
    "/historical/govcontractsall": _contracts_of,
}

SITE = Site(("api.quiverquant.com",), answer, (100, 60))
