"""Yahoo Finance: daily charts of stocks and funds, of the S&P 500 index and of Treasury yields.

Unofficial: `GET https://query2.finance.yahoo.com/v8/finance/chart/{symbol}` as yfinance asks for it
(https://github.com/ranaroussi/yfinance). `timestamp` holds the opens in UTC, `indicators.quote[0]` the bars, and
`events` the splits and dividends. Prices, volumes and dividends are adjusted for every split up to the day of asking,
so charts are always asked for up to that day, and what was traded is counted back from the splits after each bar.

A split or dividend shows on its ex-day, which is the day it counts as known. Yahoo does not tell of delistings and
changes of symbols; a company's whole history stands under its present symbol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

import numpy as np
import pandas as pd

from pas_dagster import calendar
from pas_dagster.sources.bars import LEAD, in_window, no_actions, require_past, with_returns
from pas_dagster.sources.page import Page
from pas_dagster.sources.rules import json_of
from pas_dagster.sources.sheets import Sheet, sheets
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source

if TYPE_CHECKING:
    import requests

HOST = "query2.finance.yahoo.com"
INDEX = "^GSPC"
YIELDS = {"^IRX": "3m", "^FVX": "5y", "^TNX": "10y"}
"""Symbol of a CBOE yield index -> tenor; quoted in percent."""

_PATH = "/v8/finance/chart/"
_FIELDS = ("open", "high", "low", "close", "volume")
_NO_DATA = frozenset({400, 404})
_WORKERS = 4
_FEW = 10  # so few unknown symbols prove nothing about the site
_LARGE = np.log(1.4)  # smaller splits cannot be told from a day's move
_LATEST = 4_102_444_800  # 2100-01-01; a later second is no time of a bar


@dataclass(frozen=True)
class Chart:
    """`bars` (event_date, open, high, low, close, volume) and `actions` (event_date, kind, value), as traded."""

    symbol: str
    bars: pd.DataFrame
    actions: pd.DataFrame
    bad: Sequence[Bad]


class _UnreadableError(Exception):
    """One symbol's chart cannot be read; the others may be sound."""


def _drive(symbols: Callable[[Query], Sequence[str]]) -> Callable[[requests.Session, Query], None]:
    """Let yfinance ask for the charts of some symbols, four at a time."""

    def drive(session: requests.Session, query: Query) -> None:
        from concurrent.futures import ThreadPoolExecutor

        from yfinance.exceptions import YFRateLimitError

        wanted = symbols(query)
        if not wanted:
            return
        data, asked = _yfinance(session), _parameters(query)

        def one(symbol: str) -> None:
            data.get(url=f"https://{HOST}{_PATH}{quote(symbol)}", params=asked)

        with ThreadPoolExecutor(min(_WORKERS, len(wanted))) as pool:
            futures = [pool.submit(one, symbol) for symbol in wanted]
            try:
                for future in futures:
                    future.result()
            except YFRateLimitError:
                raise LayoutError("Yahoo limits how much may be asked; ask again in an hour") from None
            finally:
                pool.shutdown(cancel_futures=True)

    return drive


def _yfinance(session: requests.Session):
    """yfinance's carrier for one drive. Charts need neither cookie nor crumb, so none is fetched, kept or renewed."""
    from yfinance.data import YfData

    class Charts(YfData):
        def _get_cookie_and_crumb(self, timeout: int = 30) -> tuple[None, str]:
            return None, self._cookie_strategy

        def _set_cookie_strategy(self, strategy: str, have_lock: bool = False) -> None:
            """There is no cookie whose way of getting could change."""

    return type.__call__(Charts, session)  # not the shared instance: two datasets may be fetched at the same time


def _parameters(query: Query) -> dict[str, object]:
    begin = calendar.midnight(query.first - LEAD)
    return {
        "period1": int(begin.timestamp()),
        "period2": int(query.now.timestamp()),
        "interval": "1d",
        "includePrePost": "false",
        "events": "div,split",
    }


def _listed(query: Query) -> list[str]:
    """Yahoo's spelling of every symbol that is or was listed: BRK.B is BRK-B."""
    return sorted({symbol.replace(".", "-") for symbol in query.listed["symbol"]})


def read_prices(pages: Sequence[Page], query: Query) -> Reading:
    """Bars as traded, with total returns."""
    actions = [no_actions()]

    def bars(page: Page) -> Sheet:
        chart = read_chart(page, query.now)
        actions.append(chart.actions.assign(symbol=chart.symbol))
        return Sheet(chart.bars.assign(symbol=chart.symbol), chart.bad)

    reading = sheets(_told(pages, query), bars)
    if reading.rows.empty:
        return reading
    told = pd.concat([part for part in actions if len(part)] or [no_actions()])
    rows = in_window(with_returns(reading.rows, told), query)
    return Reading(rows.assign(known_on=rows["event_date"]), reading.bad)


def read_actions(pages: Sequence[Page], query: Query) -> Reading:
    """Splits and dividends."""

    def actions(page: Page) -> Sheet:
        chart = read_chart(page, query.now)
        return Sheet(chart.actions.assign(symbol=chart.symbol), chart.bad)

    reading = sheets(_told(pages, query), actions)
    if reading.rows.empty:
        return reading
    require_past(reading.rows["event_date"], query.now)
    rows = reading.rows[reading.rows["event_date"].between(pd.Timestamp(query.first), pd.Timestamp(query.last))]
    rows = rows.sort_values(["event_date", "symbol", "kind"], ignore_index=True)
    return Reading(rows.assign(known_on=rows["event_date"]), reading.bad)


def read_index(pages: Sequence[Page], query: Query) -> Reading:
    """Bars of the S&P 500, which is published to the cent."""

    def bars(page: Page) -> Sheet:
        chart = read_chart(page, query.now)
        prices = chart.bars.round(dict.fromkeys(("open", "high", "low", "close"), 2))
        return Sheet(prices, chart.bad)

    reading = sheets(_required(pages, [INDEX]), bars)
    rows = in_window(reading.rows, query)
    return Reading(rows.assign(known_on=rows["event_date"]) if len(rows) else rows, reading.bad)


def read_yields(pages: Sequence[Page], query: Query) -> Reading:
    """Closes of the yield indexes, decimals per year."""

    def rates(page: Page) -> Sheet:
        chart = read_chart(page, query.now)
        rates = (chart.bars["close"] / 100).round(6)
        rows = pd.DataFrame({"event_date": chart.bars["event_date"], "tenor": YIELDS[chart.symbol], "rate": rates})
        return Sheet(rows, chart.bad)

    reading = sheets(_required(pages, list(YIELDS)), rates)
    rows = in_window(reading.rows, query)
    return Reading(rows.assign(known_on=rows["event_date"]) if len(rows) else rows, reading.bad)


def _charts(pages: Sequence[Page]) -> dict[str, Page]:
    """The chart pages by Yahoo's symbol, in the order of symbols; of a symbol asked twice the last."""
    found: dict[str, Page] = {}
    for page in pages:
        path = urlsplit(page.url).path
        if path.startswith(_PATH):
            found[unquote(path.removeprefix(_PATH))] = page
    return dict(sorted(found.items()))


def _told(pages: Sequence[Page], query: Query) -> list[Page]:
    """Charts with data; delisted symbols have none, but not most of all."""
    charts = _charts(pages)
    told = [page for page in charts.values() if page.status not in _NO_DATA]
    missing = len(charts) - len(told)
    if len(charts) >= _FEW and missing > len(charts) / 2:
        error = LayoutError(f"Yahoo has a chart for most symbols, but for {missing} of {len(charts)} it has none")
        error.page = next(page for page in charts.values() if page.status in _NO_DATA)
        raise error
    if not charts and len(query.listed):
        raise LayoutError("no chart came for any listed symbol")
    return told


def _required(pages: Sequence[Page], symbols: Sequence[str]) -> list[Page]:
    charts = _charts(pages)
    for symbol in symbols:
        if symbol not in charts or charts[symbol].status in _NO_DATA:
            error = LayoutError(f"Yahoo has a chart of {symbol}")
            error.page = charts.get(symbol)
            raise error
    return [charts[symbol] for symbol in symbols]


def read_chart(page: Page, now: datetime) -> Chart:
    """One chart, counted back to what was traded. Raises `LayoutError` when the document is no chart."""
    symbol = unquote(urlsplit(page.url).path.removeprefix(_PATH))
    if page.status != 200:
        raise LayoutError(f"a chart comes with status 200 (or 404 for an unknown symbol), not {page.status}")
    result = _result(json_of(page))
    try:
        return _as_traded(symbol, result, now)
    except _UnreadableError as error:
        return Chart(symbol, _bars(), _actions([]), [Bad(str(error), {"symbol": symbol})])


def _result(document: object) -> Mapping[str, object]:
    chart = document.get("chart") if isinstance(document, dict) else None
    results = chart.get("result") if isinstance(chart, dict) else None
    if not isinstance(results, list) or not results or not isinstance(results[0], dict):
        raise LayoutError("a chart answer holds chart.result[0]")
    return results[0]


def _as_traded(symbol: str, result: Mapping[str, object], now: datetime) -> Chart:
    meta = result.get("meta")
    if not isinstance(meta, dict) or "symbol" not in meta:
        raise LayoutError("a chart says in meta.symbol whose it is")
    if meta["symbol"] != symbol:
        raise _UnreadableError(f"the chart is of {meta['symbol']}, not of {symbol}")
    if meta.get("currency") not in (None, "USD"):
        raise _UnreadableError(f"the chart is in {meta['currency']}, not in USD")
    days, quotes = _quotes(result)
    splits, dividends = _events(result, "splits"), _events(result, "dividends")
    ratios = [(day, _ratio(entry)) for day, entry in splits]
    bars, bad = _usable(days, quotes)
    _require_adjusted(bars, ratios)
    stamps = np.array([day for day, _ in ratios], dtype="datetime64[D]")
    later = _later_splits(bars["event_date"].to_numpy("datetime64[D]"), stamps, np.array([r for _, r in ratios]))
    for name in ("open", "high", "low", "close"):
        bars[name] = np.round(bars[name] * later, 4)  # no price in US markets is quoted finer; takes off float32 noise
    bars["volume"] = np.round(bars["volume"] / later)
    paid = [(day, _number(entry.get("amount"), "a dividend's amount")) for day, entry in dividends]
    since = _later_splits(np.array([d for d, _ in paid], "datetime64[D]"), stamps, np.array([r for _, r in ratios]))
    amounts = np.round(np.array([amount for _, amount in paid]) * since, 6).tolist()
    actions = [(day, "split", ratio) for day, ratio in ratios]
    actions += [(day, "dividend", amount) for (day, _), amount in zip(paid, amounts, strict=True)]
    return Chart(symbol.replace("-", ".") if symbol[:1] != "^" else symbol, bars, _actions(actions), bad)


def _quotes(result: Mapping[str, object]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Days and columns; none of either when there is no bar in the period."""
    indicators = result.get("indicators")
    quotes = indicators.get("quote") if isinstance(indicators, dict) else None
    if not isinstance(quotes, list) or not quotes or not isinstance(quotes[0], dict):
        raise LayoutError("a chart holds indicators.quote[0]")
    stamps, quote = result.get("timestamp"), quotes[0]
    if stamps is None and not any(quote.values()):
        return np.array([], "datetime64[D]"), {name: np.array([]) for name in _FIELDS}
    columns = {name: _array(quote.get(name), name) for name in _FIELDS}
    seconds = _array(stamps, "timestamp")
    if any(len(values) != len(seconds) for values in columns.values()):
        raise LayoutError("a chart has one timestamp for each open, high, low, close and volume")
    if not ((seconds > -_LATEST) & (seconds < _LATEST)).all():
        raise LayoutError("timestamps are seconds since 1970")
    return _days(seconds), columns


def _days(seconds: np.ndarray) -> np.ndarray:
    stamps = pd.DatetimeIndex(seconds.astype("int64").astype("datetime64[s]"), tz="UTC")
    return stamps.tz_convert(calendar.NEW_YORK).tz_localize(None).to_numpy("datetime64[D]")


def _array(values: object, name: str) -> np.ndarray:
    if not isinstance(values, list):
        raise LayoutError(f"a chart holds a list {name!r}")
    try:
        array = np.array(values, dtype="float64")
    except (ValueError, TypeError, OverflowError):
        array = np.empty((0, 0))
    if array.ndim != 1:
        raise LayoutError(f"{name} holds numbers and nulls only")
    return array


def _usable(days: np.ndarray, quotes: Mapping[str, np.ndarray]) -> tuple[pd.DataFrame, list[Bad]]:
    """Bars in order of days; where the site gives a day twice the last, which is the later one."""
    frame = pd.DataFrame({"event_date": days.astype("datetime64[us]"), **quotes})
    frame = frame.sort_values("event_date", kind="stable").drop_duplicates("event_date", keep="last")
    prices = frame[["open", "high", "low", "close"]]
    whole = (prices.notna() & (prices > 0) & np.isfinite(prices)).all(axis=1)
    empty = prices.isna().all(axis=1)
    bad = [
        Bad("a bar has all of open, high, low and close, above 0", {name: str(value) for name, value in row.items()})
        for row in frame[~whole & ~empty].to_dict("records")
    ]
    return frame[whole].reset_index(drop=True), bad


def _require_adjusted(bars: pd.DataFrame, splits: Sequence[tuple[np.datetime64, float]]) -> None:
    """Now and then Yahoo tells a split before its closes show it; they would be counted back wrongly."""
    days, close = bars["event_date"].to_numpy("datetime64[D]"), np.log(bars["close"].to_numpy())
    for day, ratio in splits:
        at = int(np.searchsorted(days, day))
        if 0 < at < len(days) and abs(np.log(ratio)) > _LARGE:
            change = close[at] - close[at - 1]
            if abs(change + np.log(ratio)) < abs(change) / 2:
                raise _UnreadableError(f"the closes before {day} are not adjusted for its split of {ratio:g}")


def _later_splits(days: np.ndarray, stamps: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """For each day the product of the splits after it."""
    order = np.argsort(stamps)
    products = np.append(np.cumprod(ratios[order][::-1])[::-1], 1.0)
    return products[np.searchsorted(stamps[order], days, side="right")]


def _events(result: Mapping[str, object], kind: str) -> list[tuple[np.datetime64, Mapping[str, object]]]:
    """Events of a kind with their days; the keys of the mapping repeat their dates."""
    events = result.get("events") or {}
    entries = events.get(kind) or {} if isinstance(events, dict) else None
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise LayoutError(f"events.{kind} holds an object for each event")
    seconds = [_number(entry.get("date"), f"a date in events.{kind}") for entry in entries.values()]
    if not all(abs(second) < _LATEST for second in seconds):
        raise _UnreadableError(f"a date in events.{kind} is no time")
    days = _days(np.array(seconds)) if seconds else []
    return sorted(zip(days, entries.values(), strict=True), key=lambda pair: pair[0])


def _ratio(entry: Mapping[str, object]) -> float:
    return _number(entry.get("numerator"), "a split's numerator") / _number(
        entry.get("denominator"), "a split's denominator"
    )


def _number(value: object, name: str) -> float:
    """A number above 0; without a split or dividend the chart cannot be counted back."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e15:
        raise _UnreadableError(f"{name} is a number above 0, not {value!r}")
    return float(value)


def _bars() -> pd.DataFrame:
    return pd.DataFrame({"event_date": np.array([], "datetime64[us]"), **{name: np.array([]) for name in _FIELDS}})


def _actions(events: Sequence[tuple[np.datetime64, str, float]]) -> pd.DataFrame:
    days = np.array([day for day, _, _ in events], "datetime64[D]").astype("datetime64[us]")
    return pd.DataFrame({"event_date": days, "kind": [e[1] for e in events], "value": [e[2] for e in events]})


_NOTE = "Unofficial; limits how much may be asked. For personal use under Yahoo's terms."


def _source(dataset: str, title: str, symbols: Callable[[Query], Sequence[str]], read: object, note: str) -> Source:
    return Source(
        name="yahoo",
        dataset=dataset,
        title=title,
        hosts=(HOST,),
        read=read,  # ty: ignore[invalid-argument-type]
        drive=_drive(symbols),
        since=calendar.FIRST + LEAD,
        note=f"{note} {_NOTE}",
    )


SOURCES = (
    _source("prices", "Yahoo Finance charts", _listed, read_prices, "Most delisted symbols have no chart."),
    _source(
        "corporate_actions",
        "Yahoo Finance splits and dividends",
        _listed,
        read_actions,
        "Known on the ex-day. No delistings and no changes of symbols.",
    ),
    _source("sp500_index", "Yahoo Finance chart of ^GSPC", lambda _: [INDEX], read_index, "The price index."),
    _source(
        "treasury_rates",
        "Yahoo Finance charts of Treasury yields",
        lambda _: list(YIELDS),
        read_yields,
        "Tenors 3m (a discount rate), 5y and 10y.",
    ),
)
