"""Alpaca: daily bars and corporate actions of the data API, and the assets that the broker trades.

Bars: https://docs.alpaca.markets/reference/stockbars, many symbols a request, paged by `next_page_token` (a page may
end within a symbol). They are asked for as traded (`adjustment=raw`), of all exchanges (`feed=sip`, which is free when
older than 15 minutes) and under the symbols of their day (`asof=-`). `t` is midnight in New York.
Actions: https://docs.alpaca.markets/reference/corporateactions-1.
Assets: https://docs.alpaca.markets/reference/get-v2-assets-1.

When an action was announced is not stated. Issuers give notice of splits, dividends and changes of symbol at least ten
days before the record date (SEC Rule 10b-17), so these count as known on the day before they take effect; a delisting
counts on its day.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from urllib.parse import parse_qsl, urlsplit

import pandas as pd

from pas_dagster import calendar
from pas_dagster.sources.bars import LEAD, in_window, no_actions, with_returns
from pas_dagster.sources.membership import changes, rows_of
from pas_dagster.sources.page import Page, Request, address
from pas_dagster.sources.rules import json_of
from pas_dagster.sources.sheets import Sheet, sheets
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, Walk, collect

DATA = "https://data.alpaca.markets"
TRADING = "https://paper-api.alpaca.markets"
LISTS = {"TRADABLE": "tradable", "FRACTIONABLE": "fractionable"}
"""Index name -> field of an asset."""

_BATCH = 100  # symbols in an address, which some proxies cut at 2,000 characters
_DELAY = timedelta(minutes=16)
_NOTICE = timedelta(days=1)
_MANY = 20  # so many securities never rest for a month
_TYPES = "forward_split,reverse_split,stock_dividend,cash_dividend,cash_merger,worthless_removal,name_change"
_COLUMNS = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
_FUND = re.compile(r"\b(ETF|ETN|ETP|ETV)S?\b", re.IGNORECASE)


def walk_prices(query: Query) -> Walk:
    """All bars of all symbols from a little before the window, and the actions that their returns need."""
    yield from _paged([*_asked(query, _bars_of), *_asked(query, _actions_of)])


def walk_actions(query: Query) -> Walk:
    """All actions of the window."""
    yield from _paged(_asked(query, _actions_of))


def _asked(query: Query, make: Callable[[str, Query], Request]) -> list[Request]:
    symbols = sorted(set(query.listed["symbol"]))
    return [make(",".join(symbols[at : at + _BATCH]), query) for at in range(0, len(symbols), _BATCH)]


def _bars_of(symbols: str, query: Query) -> Request:
    end = min(calendar.midnight(query.last + timedelta(days=1)) - timedelta(seconds=1), query.now - _DELAY)
    url = address(
        DATA,
        "/v2/stocks/bars",
        symbols=symbols,
        timeframe="1Day",
        start=(query.first - LEAD).isoformat(),
        end=end.astimezone(calendar.NEW_YORK).isoformat(timespec="seconds"),
        limit=10000,
        adjustment="raw",
        feed="sip",
        asof="-",
        sort="asc",
    )
    return Request(url, kind="bars", auth="alpaca")


def _actions_of(symbols: str, query: Query) -> Request:
    url = address(
        DATA,
        "/v1/corporate-actions",
        symbols=symbols,
        types=_TYPES,
        start=(query.first - LEAD).isoformat(),
        end=(query.last + _NOTICE).isoformat(),
        limit=1000,
        sort="asc",
    )
    return Request(url, kind="actions", auth="alpaca")


def _paged(asked: Sequence[Request]) -> Walk:
    """Ask for the next page of each chain until none has one."""
    while asked:
        pages = yield asked
        asked = [following for page in pages if (following := _next(page)) is not None]


def _next(page: Page) -> Request | None:
    try:
        token = _object(page).get("next_page_token")
        query = dict(parse_qsl(urlsplit(page.request.url).query))
        if token is None or token == "":
            return None
        if not isinstance(token, str) or token == query.get("page_token"):
            raise LayoutError("next_page_token names another page each time")
    except LayoutError as error:
        error.page = page
        raise
    url = page.request.url.partition("?")[0]
    return Request(address(url, **{**query, "page_token": token}), kind=page.kind, auth="alpaca")


def read_prices(pages: Sequence[Page], query: Query) -> Reading:
    """Bars as traded, with total returns."""
    told = _actions(pages, query)
    reading = sheets((page for page in pages if page.kind == "bars"), parse_bars)
    bad = pd.concat([part for part in (reading.bad, told.bad) if len(part)] or [reading.bad])
    if reading.rows.empty:
        if len(query.listed) and calendar.sessions(query.first - LEAD, query.last):
            error = LayoutError("there are bars of some listed symbol")
            error.page = next((page for page in pages if page.kind == "bars"), None)
            raise error
        return Reading(reading.rows, bad)
    bars = reading.rows.drop_duplicates(["symbol", "event_date"])
    actions = _summed(told.rows) if len(told.rows) else no_actions()
    renamed = actions[actions["kind"] == "symbol_change"]
    changed = [
        (old, new, day.date())
        for old, new, day in zip(renamed["symbol"], renamed.get("new_symbol", []), renamed["event_date"], strict=True)
    ]
    moved = actions[actions["kind"].isin(["split", "dividend"])]
    rows = in_window(with_returns(bars, moved, changed), query)
    return Reading(rows.assign(known_on=rows["event_date"]), bad)


def read_actions(pages: Sequence[Page], query: Query) -> Reading:
    """Splits (stock dividends count as such), cash dividends, cash mergers, removals and changes of symbols."""
    reading = _actions(pages, query)
    if reading.rows.empty:
        return reading
    rows = _summed(reading.rows)
    known_on = rows["event_date"].where(rows["kind"] == "delisting", rows["event_date"] - _NOTICE)
    return Reading(rows.assign(known_on=known_on), reading.bad)


def _actions(pages: Sequence[Page], query: Query) -> Reading:
    """What happens in the window and the month before it. Raises `LayoutError` when that cannot be all.

    Without dividends and splits the returns would be wrong, so an emptied or misdated list must not pass.
    """
    asked = [page for page in pages if page.kind == "actions"]
    reading = collect(asked, parse_actions)
    if len(query.listed) >= _MANY and reading.rows.empty and reading.bad.empty:
        error = LayoutError(f"some of {len(query.listed)} securities pay a dividend within a month")
        error.page = asked[0] if asked else None
        raise error
    if len(reading.rows):
        latest = pd.to_datetime(reading.rows["event_date"]).max()
        if latest > pd.Timestamp(query.last + _NOTICE):
            error = LayoutError(f"actions up to {query.last + _NOTICE} were asked for, not up to {latest:%Y-%m-%d}")
            error.page = asked[-1]
            raise error
    return reading


def _summed(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per day, symbol and kind: a regular and a special dividend of a day are one, as for who receives them."""
    keys = ["event_date", "symbol", "kind"]
    rows = rows.assign(event_date=pd.to_datetime(rows["event_date"]), value=rows["value"].astype("float64"))
    rows = rows.drop_duplicates([*keys, "id"])
    value = rows.groupby(keys)["value"].transform(lambda values: values.sum(min_count=1))
    return rows.assign(value=value).drop_duplicates(keys).drop(columns="id").sort_values(keys, ignore_index=True)


def parse_bars(page: Page) -> Sheet:
    """One page of bars: symbol, event_date, open, high, low, close, volume."""
    bars = _object(page).get("bars", _Missing)
    if bars is None:
        return Sheet(pd.DataFrame())
    if not isinstance(bars, dict) or not all(isinstance(series, list) for series in bars.values()):
        raise LayoutError("a page holds in `bars` a list for each symbol")
    found: list[tuple[object, ...]] = []
    bad: list[Bad] = []
    for symbol, series in bars.items():
        for bar in series:
            if not isinstance(bar, dict) or not {"t", *_COLUMNS} <= bar.keys():
                raise LayoutError("a bar has t, o, h, l, c and v")
            if _is_sound(bar):
                found.append((symbol, bar["t"], bar["o"], bar["h"], bar["l"], bar["c"], bar["v"]))
            else:
                bad.append(Bad("a bar has prices above 0 and a volume of 0 or more", {"symbol": symbol, **bar}))
    frame = pd.DataFrame(found, columns=["symbol", "event_date", *_COLUMNS.values()])
    frame["event_date"] = _days(frame["event_date"])
    lost = frame["event_date"].isna()
    bad += [Bad("t is no instant", {"symbol": symbol}) for symbol in frame["symbol"][lost]]
    numbers = dict.fromkeys(_COLUMNS.values(), "float64")
    return Sheet(frame[~lost].astype(numbers).reset_index(drop=True), bad)


def _is_sound(bar: Mapping[str, object]) -> bool:
    return all(_is_number(bar[name]) and bar[name] > 0 for name in "ohlc") and _is_number(bar["v"]) and bar["v"] >= 0  # ty: ignore[unsupported-operator]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15


def _days(stamps: pd.Series) -> pd.Series:
    """New York days of instants; few differ, so each is read once."""
    texts = stamps.astype("str")
    different = pd.Series(texts.unique(), dtype="str")
    moments = pd.to_datetime(different, utc=True, errors="coerce", format="ISO8601")
    local = moments.dt.tz_convert(calendar.NEW_YORK).dt.tz_localize(None).dt.normalize().astype("datetime64[us]")
    return pd.Series(texts.map(dict(zip(different, local, strict=True))), dtype="datetime64[us]")


def parse_actions(page: Page) -> Iterator[dict[str, object] | Bad]:
    """One page of corporate actions: event_date, symbol, kind, value, new_symbol, id."""
    groups = _object(page).get("corporate_actions", _Missing)
    if groups is None:
        return
    if not isinstance(groups, dict) or not all(isinstance(entries, list) for entries in groups.values()):
        raise LayoutError("a page holds in `corporate_actions` a list for each type")
    for group, read in _GROUPS.items():
        for entry in groups.get(group, []):
            if not isinstance(entry, dict):
                raise LayoutError(f"{group} holds objects")
            try:
                row = read(entry)
            except (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError):
                yield Bad(f"an entry of {group} has its day, symbol and rate", entry)
                continue
            if row is not None:
                yield {"new_symbol": None, "id": str(entry.get("id")), **row}


def _split(entry: Mapping[str, object]) -> dict[str, object]:
    return _action(entry, "ex_date", "symbol", "split", _rate(entry["new_rate"]) / _rate(entry["old_rate"]))


def _stock_dividend(entry: Mapping[str, object]) -> dict[str, object]:
    return _action(entry, "ex_date", "symbol", "split", 1 + _rate(entry["rate"]))


def _cash_dividend(entry: Mapping[str, object]) -> dict[str, object]:
    return _action(entry, "ex_date", "symbol", "dividend", _rate(entry["rate"]))


def _merger(entry: Mapping[str, object]) -> dict[str, object]:
    return _action(entry, "effective_date", "acquiree_symbol", "delisting", _rate(entry["rate"]))


def _removal(entry: Mapping[str, object]) -> dict[str, object]:
    return _action(entry, "process_date", "symbol", "delisting", None)


def _name_change(entry: Mapping[str, object]) -> dict[str, object] | None:
    if entry["old_symbol"] == entry["new_symbol"]:
        return None  # only the CUSIP changed
    change = _action(entry, "process_date", "old_symbol", "symbol_change", None)
    return {**change, "new_symbol": _text(entry["new_symbol"])}


def _action(entry: Mapping[str, object], day: str, symbol: str, kind: str, value: float | None) -> dict[str, object]:
    when = date.fromisoformat(_text(entry[day]))
    return {"event_date": when.isoformat(), "symbol": _text(entry[symbol]), "kind": kind, "value": value}


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("no text")
    return value


def _rate(value: object) -> float:
    rate = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    if not 0 < rate < 1e9:
        raise ValueError("no rate")
    return rate


_GROUPS: Mapping[str, Callable[[Mapping[str, object]], dict[str, object] | None]] = {
    "forward_splits": _split,
    "reverse_splits": _split,
    "stock_dividends": _stock_dividend,
    "cash_dividends": _cash_dividend,
    "cash_mergers": _merger,
    "worthless_removals": _removal,
    "name_changes": _name_change,
}
_Missing = object()


def walk_assets(_: Query) -> Walk:
    """All active assets, in one answer."""
    yield [Request(address(TRADING, "/v2/assets", status="active", asset_class="us_equity"), auth="alpaca")]


def read_assets(pages: Sequence[Page], query: Query) -> Reading:
    """Who joined and left the broker's lists since what is stored; known on the day of asking."""
    reading = collect(pages, parse_assets)
    assets = reading.rows
    if assets.empty:
        return reading
    today = calendar.today(query.now)
    rows: list[dict[str, object]] = []
    for index, flag in LISTS.items():
        members = rows_of(assets[assets[flag]], index)
        rows += changes(index, members, query.stored, opening=today, today=today)
    return Reading(pd.DataFrame(rows), reading.bad)


def parse_assets(page: Page) -> Iterator[dict[str, object] | Bad]:
    """Active assets: symbol, name, kind, sector, tradable, fractionable. A fund is told by ETF or ETN in its name."""
    assets = json_of(page)
    if not isinstance(assets, list) or not assets:
        raise LayoutError("the answer is a list of assets, and there are some")
    for asset in assets:
        if not isinstance(asset, dict) or not {"symbol", "status", *LISTS.values()} <= asset.keys():
            raise LayoutError("an asset has symbol, status, tradable and fractionable")
        flags = {name: asset[name] for name in LISTS.values()}
        if not isinstance(asset["symbol"], str) or not all(isinstance(flag, bool) for flag in flags.values()):
            yield Bad("an asset's symbol is text, tradable and fractionable are true or false", asset)
        elif asset["status"] == "active" and asset.get("class", "us_equity") == "us_equity":
            name = str(asset.get("name") or asset["symbol"])
            kind = "etf" if _FUND.search(name) else "stock"
            yield {"symbol": asset["symbol"], "name": name, "kind": kind, "sector": None, **flags}


def _object(page: Page) -> Mapping[str, object]:
    document = json_of(page)
    if not isinstance(document, dict):
        raise LayoutError("the answer is a JSON object")
    return document


SOURCES = (
    Source(
        name="alpaca",
        dataset="prices",
        title="Alpaca daily bars",
        hosts=("data.alpaca.markets",),
        walk=walk_prices,
        read=read_prices,
        since=date(2016, 2, 1),
        needs=("alpaca",),
        note="Bars of all US exchanges since 2016; free with an account.",
    ),
    Source(
        name="alpaca",
        dataset="corporate_actions",
        title="Alpaca corporate actions",
        hosts=("data.alpaca.markets",),
        walk=walk_actions,
        read=read_actions,
        since=date(2016, 2, 1),
        needs=("alpaca",),
        note="Known on the day they take effect. Mergers for shares, spin-offs and unit splits are not asked for.",
    ),
    Source(
        name="alpaca_assets",
        dataset="universe",
        title="Alpaca assets",
        hosts=("paper-api.alpaca.markets",),
        walk=walk_assets,
        read=read_assets,
        lookback=36_525,
        needs=("alpaca",),
        note="What the broker trades now (TRADABLE) and in fractions (FRACTIONABLE); changes accumulate day by day.",
    ),
)
