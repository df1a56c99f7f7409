"""Membership of a list as changes: what joins and leaves between what is stored and what a list shows now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pandas as pd

from pas_dagster.schemas import normalise_symbols

Member = Mapping[str, object]
"""name, kind and sector of a member."""

_FACTS = ["name", "kind", "sector"]


def rows_of(frame: pd.DataFrame, index: str) -> dict[str, Member]:
    """The members of a list (columns symbol, name, kind, sector, and raw where they come from a page) by symbol."""
    if frame.empty:
        return {}
    columns = [name for name in (*_FACTS, "raw") if name in frame]
    symbols = normalise_symbols(frame["symbol"])
    entries = frame[columns].to_dict("records")
    return {symbol: {**entry, "index_name": index} for symbol, entry in zip(symbols, entries, strict=True)}


def change(day: date, action: str, symbol: str, member: Member) -> dict[str, object]:
    """A row of the universe."""
    return {"known_on": day, "event_date": day, "symbol": symbol, "action": action, **member}


def changes(
    index: str, members: Mapping[str, Member], stored: pd.DataFrame, *, opening: date, today: date
) -> list[dict[str, object]]:
    """Rows that bring the stored membership of a list to its members: dated `today`, or `opening` if none is stored."""
    before = _members(index, stored)
    if before is None:
        return [change(opening, "add", symbol, member) for symbol, member in members.items()]
    joined = [change(today, "add", symbol, member) for symbol, member in members.items() if symbol not in before]
    left = [change(today, "remove", symbol, member) for symbol, member in before.items() if symbol not in members]
    return joined + left


def _members(index: str, stored: pd.DataFrame) -> dict[str, Member] | None:
    """Who is a member after the stored changes; None when nothing of the list is stored."""
    if stored.empty:
        return None
    rows = stored[stored["index_name"] == index]
    if rows.empty:
        return None
    # On one day, whoever joins is in: "remove" sorts after "add".
    last = rows.sort_values(["known_on", "action"], ascending=[True, False], kind="stable")
    last = last.drop_duplicates("symbol", keep="last")
    present = last[last["action"] == "add"]
    facts = present[_FACTS].astype(object).where(present[_FACTS].notna(), None)
    return rows_of(facts.assign(symbol=present["symbol"]), index)


def named(symbols: Sequence[str], names: Mapping[str, str]) -> dict[str, Member]:
    """Funds by symbol; one without a known name is called by its symbol."""
    return {
        symbol: {"name": names.get(symbol, symbol), "kind": "etf", "sector": None, "index_name": "ETF"}
        for symbol in normalise_symbols(pd.Series(list(symbols), dtype="str"))
    }
