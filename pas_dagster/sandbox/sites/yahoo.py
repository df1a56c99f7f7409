"""Yahoo's charts of the sandbox world (https://query2.finance.yahoo.com/v8/finance/chart/{symbol}).

As the real site does it: opens as timestamps, everything adjusted for the splits up to the present, `adjclose` for
dividends too, a live bar of today while the exchange is open, 404 for an unknown symbol. Unlike it, delisted symbols
keep their chart, a symbol shows only the bars it was traded under, and numbers are not rounded to 32 bits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache

import numpy as np

from pas_dagster import calendar
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site
from pas_dagster.sandbox.world import World

_PATH = "/v8/finance/chart/"
_JSON = "application/json;charset=utf-8"
_OPEN, _CLOSE = time(9, 30), time(16)
_BARS = ("open", "high", "low", "close", "volume")
_YIELDS = ("^IRX", "^FVX", "^TNX")
_INDEX = "^GSPC"


@dataclass(frozen=True)
class Series:
    """All bars of a symbol: `days` (datetime64[D]), `opens` (seconds since 1970) and columns, each (n,)."""

    days: np.ndarray
    opens: np.ndarray
    columns: dict[str, np.ndarray]
    splits: list[tuple[np.datetime64, float]]
    dividends: list[tuple[np.datetime64, float]]
    type: str


def answer(present: Present, call: Call) -> Answer | None:
    """A chart, or None for another path."""
    if not call.path.startswith(_PATH):
        return None
    symbol = call.path.removeprefix(_PATH)
    series = _series(present.world).get(symbol)
    if series is None:
        return _error(404, "Not Found", "No data found, symbol may be delisted")
    try:
        begin, end = int(call.query["period1"]), int(call.query["period2"])
    except (KeyError, ValueError):
        return _error(422, "Unprocessable Entity", "period1 and period2 are seconds since 1970")
    if begin >= end:
        return _error(400, "Bad Request", "Invalid input - start date cannot be after end date")
    return Answer(json.dumps(_chart(symbol, series, present, begin, end)).encode(), 200, _JSON)


def _error(status: int, code: str, description: str) -> Answer:
    body = {"chart": {"result": None, "error": {"code": code, "description": description}}}
    return Answer(json.dumps(body).encode(), status, _JSON)


def _chart(symbol: str, series: Series, present: Present, begin: int, end: int) -> dict[str, object]:
    last, live = _shown(present.now)
    shown = slice(0, int(np.searchsorted(series.days, np.datetime64(last), "right")))
    days, opens = series.days[shown], series.opens[shown]
    inside = slice(int(np.searchsorted(opens, begin)), int(np.searchsorted(opens, end)))
    splits = [item for item in series.splits if item[0] <= np.datetime64(last)]
    later = _later(days, splits)
    columns = {name: series.columns[name][shown] for name in _BARS}
    adjusted = {name: values / later for name, values in columns.items()} | {"volume": columns["volume"] * later}
    if live and len(days) and days[-1] == np.datetime64(last):
        _make_live(adjusted)
    paid = [item for item in series.dividends if item[0] <= np.datetime64(last)]
    yields = np.array([amount for _, amount in paid]) / _later(np.array([d for d, _ in paid], "datetime64[D]"), splits)
    result: dict[str, object] = {"meta": _meta(symbol, series, adjusted, present.now)}
    events = _events(splits, paid, yields.tolist(), begin, end)
    quote: dict[str, list[float | None]] = {}
    if inside.start < inside.stop:
        result["timestamp"] = opens[inside].tolist()
        quote = {name: values[inside].tolist() for name, values in adjusted.items()}
        quote["volume"] = [round(value) for value in quote["volume"] if value is not None]
    if events:
        result["events"] = events
    factor = _reinvested(days, adjusted["close"], paid, yields)
    close = (adjusted["close"] * factor)[inside].tolist()
    result["indicators"] = {"quote": [quote], "adjclose": [{"adjclose": close}] if quote else [{}]}
    return {"chart": {"result": [result], "error": None}}


def _shown(now: datetime) -> tuple[date, bool]:
    """The last day with a bar to show, and whether that is the live one of a session that is not over."""
    local = now.astimezone(calendar.NEW_YORK)
    if local.time() < _OPEN:
        return calendar.previous_session(local.date()), False
    return local.date(), local.time() < _CLOSE


def _make_live(columns: dict[str, np.ndarray]) -> None:
    """While the exchange is open only the open of today is known, and little of the volume."""
    for name in ("high", "low", "close"):
        columns[name] = np.append(columns[name][:-1], columns["open"][-1])
    columns["volume"] = np.append(columns["volume"][:-1], np.floor(columns["volume"][-1] / 100))


def _meta(symbol: str, series: Series, columns: dict[str, np.ndarray], now: datetime) -> dict[str, object]:
    close = columns["close"]
    return {
        "currency": "USD",
        "symbol": symbol,
        "exchangeName": "SNP" if symbol == _INDEX else "NMS",
        "instrumentType": series.type,
        "firstTradeDate": int(series.opens[0]),
        "regularMarketTime": int(now.timestamp()),
        "hasPrePostMarketData": True,
        "gmtoffset": int((now.astimezone(calendar.NEW_YORK).utcoffset() or now - now).total_seconds()),
        "exchangeTimezoneName": "America/New_York",
        "regularMarketPrice": float(close[-1]) if len(close) else None,
        "priceHint": 2,
        "dataGranularity": "1d",
        "range": "",
    }


def _events(
    splits: list[tuple[np.datetime64, float]],
    paid: list[tuple[np.datetime64, float]],
    amounts: list[float],
    begin: int,
    end: int,
) -> dict[str, dict[str, dict[str, object]]]:
    """Events in the period, under their seconds as text."""
    found: dict[str, dict[str, dict[str, object]]] = {}
    for (day, _), amount in zip(paid, amounts, strict=True):
        second = _open_of(day)
        if begin <= second < end:
            found.setdefault("dividends", {})[str(second)] = {"amount": amount, "date": second}
    for day, ratio in splits:
        second = _open_of(day)
        if begin <= second < end:
            new, old = (ratio, 1.0) if ratio >= 1 else (1.0, round(1 / ratio, 6))
            entry: dict[str, object] = {
                "date": second,
                "numerator": new,
                "denominator": old,
                "splitRatio": f"{new:g}:{old:g}",
            }
            found.setdefault("splits", {})[str(second)] = entry
    return found


def _later(days: np.ndarray, splits: list[tuple[np.datetime64, float]]) -> np.ndarray:
    """For each day the product of the splits after it; `days` ascend."""
    product = np.ones(len(days))
    for day, ratio in splits:
        product[: np.searchsorted(days, day)] *= ratio
    return product


def _reinvested(
    days: np.ndarray, close: np.ndarray, paid: list[tuple[np.datetime64, float]], amounts: np.ndarray
) -> np.ndarray:
    """For each day the product of (1 - dividend / close before it) of the dividends after it."""
    factor = np.ones(len(days))
    for (day, _), amount in zip(paid, amounts, strict=True):
        at = int(np.searchsorted(days, day))
        if at > 0:
            factor[:at] *= 1 - amount / close[at - 1]
    return factor


@lru_cache(maxsize=2)
def _series(world: World) -> dict[str, Series]:
    """Everything that has a chart, by Yahoo's symbol."""
    found: dict[str, Series] = {}
    prices, actions = world.table("prices"), world.table("corporate_actions")
    universe = world.table("universe").drop_duplicates("symbol").set_index("symbol")["kind"]
    kinds = universe.map({"stock": "EQUITY", "etf": "ETF"}).to_dict()
    names = prices["symbol"].to_numpy(object)
    order = np.argsort(names.astype(str), kind="stable")
    days = prices["event_date"].to_numpy("datetime64[D]")[order]
    columns = {name: prices[name].to_numpy("float64")[order] for name in _BARS}
    symbols, begins = np.unique(names[order].astype(str), return_index=True)
    ends = [*begins.tolist()[1:], len(order)]
    told: dict[tuple[str, str], list[tuple[np.datetime64, float]]] = {}
    moves = actions[actions["kind"].isin(["split", "dividend"])].sort_values("event_date")
    effective = moves["event_date"].to_numpy("datetime64[D]")
    for symbol, kind, day, value in zip(moves["symbol"], moves["kind"], effective, moves["value"], strict=True):
        told.setdefault((symbol, kind), []).append((day, float(value)))
    opens = dict(zip(unique := np.unique(days), (_open_of(day) for day in unique), strict=True)) if len(days) else {}
    seconds = np.array([opens[day] for day in days], dtype="int64")
    for symbol, begin, end in zip(symbols.tolist(), begins.tolist(), ends, strict=True):
        own = slice(begin, end)
        found[symbol.replace(".", "-")] = Series(
            days[own],
            seconds[own],
            {name: values[own] for name, values in columns.items()},
            told.get((symbol, "split"), []),
            told.get((symbol, "dividend"), []),
            kinds.get(symbol, "EQUITY"),
        )
    return found | _indexes(world)


def _indexes(world: World) -> dict[str, Series]:
    """The S&P 500 and the yields, in percent; that of 5 years lies between its neighbours."""
    index = world.table("sp500_index")
    if index.empty:
        return {}
    days = index["event_date"].to_numpy("datetime64[D]")
    opens = np.array([_open_of(day) for day in days], dtype="int64")
    bars = {name: index[name].to_numpy("float64") for name in _BARS}
    found = {_INDEX: Series(days, opens, bars, [], [], "INDEX")}
    rates = world.table("treasury_rates").pivot(index="event_date", columns="tenor", values="rate").reindex(days)
    values = (rates["3m"], rates["2y"] + (rates["10y"] - rates["2y"]) * 3 / 8, rates["10y"])
    for symbol, rate in zip(_YIELDS, values, strict=True):
        level = np.round(rate.to_numpy("float64") * 100, 4)
        found[symbol] = Series(days, opens, dict.fromkeys(_BARS[:4], level) | {"volume": 0 * level}, [], [], "INDEX")
    return found


def _open_of(day: np.datetime64) -> int:
    return int(datetime.combine(day.astype(object), _OPEN, calendar.NEW_YORK).timestamp())


SITE = Site(("query2.finance.yahoo.com",), answer, (2000, 3600))
