"""Small hand-made frames for the tests of strategies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import count
from typing import Any

import numpy as np
import pandas as pd

from pas_dagster import calendar
from pas_dagster.strategies.contract import Strategy, Weights
from pas_dagster.strategies.history import History

_filings = count(1)

TRADE = {
    "line": 1,
    "politician": "Nancy Pelosi",
    "bioguide_id": None,
    "chamber": "house",
    "symbol": "AAPL",
    "asset_type": "stock",
    "direction": "buy",
    "extent": None,
    "amount_mid": 8_000.5,
}


def trade(known_on: str, **given: Any) -> dict[str, Any]:
    """One disclosed line, of a filing of its own unless told otherwise, made on the day it became known."""
    return TRADE | {"known_on": known_on, "event_date": known_on, "filing_id": f"F{next(_filings):05d}"} | given


def frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> pd.DataFrame:
    """Rows as a table: dates as dates, text as text, in the order of `known_on`."""
    made = pd.DataFrame(list(rows), columns=list(columns) or None)
    for name in ("known_on", "event_date"):
        made[name] = pd.to_datetime(made[name]).astype("datetime64[us]")
    for name in made.columns.difference(["known_on", "event_date", "amount_mid", "line", "value"]):
        made[name] = made[name].astype("str")
    return made.sort_values("known_on", kind="stable", ignore_index=True)


def trades(*rows: Mapping[str, Any]) -> pd.DataFrame:
    return frame(rows, [*TRADE, "known_on", "event_date", "filing_id"]).astype({"amount_mid": float})


def universe(*symbols: str, since: str = "2000-01-03", kind: str = "stock") -> pd.DataFrame:
    return frame([member(symbol, since, kind=kind) for symbol in symbols])


def member(symbol: str, day: str, action: str = "add", kind: str = "stock", index: str = "ALL") -> dict[str, Any]:
    facts = {"known_on": day, "event_date": day, "symbol": symbol, "name": symbol, "kind": kind, "sector": "Energy"}
    return facts | {"index_name": index, "action": action}


def symbol_change(old: str, new: str, day: str, known_on: str | None = None) -> dict[str, Any]:
    facts = {"known_on": known_on or day, "event_date": day, "symbol": old, "kind": "symbol_change"}
    return facts | {"value": np.nan, "new_symbol": new}


def prices(
    returns: Mapping[str, Sequence[float] | np.ndarray],
    last: str = "2024-06-27",
    close: Mapping[str, float] | None = None,
    volume: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Bars whose total returns end on the session `last`; NaN means no bar. Closes and volumes are constant."""
    rows = []
    for symbol, values in returns.items():
        days = calendar.session_array(calendar.FIRST, date.fromisoformat(last))[-len(values) :]
        for day, value in zip(days, values, strict=True):
            if not np.isnan(value):
                rows.append((day, symbol, (close or {}).get(symbol, 100.0), (volume or {}).get(symbol, 1e6), value))
    made = pd.DataFrame(rows, columns=["known_on", "symbol", "close", "volume", "total_return"])
    made["known_on"] = made["known_on"].astype("datetime64[us]")
    made = made.assign(event_date=made["known_on"], symbol=made["symbol"].astype("str"))
    return made.sort_values(["known_on", "symbol"], ignore_index=True)


def decide(strategy: Strategy, day: str, index: str | None = None, /, **tables: pd.DataFrame) -> dict[str, float]:
    """The weights that the strategy decides on the tables."""
    weights: Weights = strategy.decide(History(tables, index).as_of(date.fromisoformat(day), strategy.reads))
    return dict(weights.values)
