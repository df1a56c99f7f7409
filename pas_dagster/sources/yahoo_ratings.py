"""Yahoo Finance: what research firms said of each stock since 2012.

Unofficial: module `upgradeDowngradeHistory` of
`GET https://query2.finance.yahoo.com/v10/finance/quoteSummary/{symbol}` as yfinance asks for it
(https://github.com/ranaroussi/yfinance): a cookie from fc.yahoo.com, a crumb that belongs to it from
query1.finance.yahoo.com, and the crumb with every question. An answer holds the whole history of a symbol, newest
first: `{epochGradeDate, firm, toGrade, fromGrade, action}`, since 2025 also `currentPriceTarget` and `priorPriceTarget`
(0 when there is none). A stock that nobody rates has a 404.

A firm that says the same twice on a day is told once; where it says two things under one action, the later counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from pas_dagster import calendar
from pas_dagster.sources.page import Page
from pas_dagster.sources.rules import json_of
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, collect
from pas_dagster.sources.stocks import stocks
from pas_dagster.sources.texts import required, text

if TYPE_CHECKING:
    import requests
    from yfinance.data import YfData

HOST = "query2.finance.yahoo.com"
ACTIONS = {"main": "maintain", "up": "upgrade", "down": "downgrade", "init": "initiate", "reit": "reiterate"}
"""Yahoo's word -> ours."""

_PATH = "/v10/finance/quoteSummary/"
_MODULE = "upgradeDowngradeHistory"
_WORKERS = 4
_FEW = 10  # so few stocks that nobody rates prove nothing about the site


def drive(session: requests.Session, query: Query) -> None:
    """Let yfinance ask for each stock, four at a time. Raises `LayoutError` when Yahoo does not take its crumb."""
    from concurrent.futures import ThreadPoolExecutor

    symbols = stocks(query)
    if not symbols:
        return
    session.hooks["response"].append(_unrated)
    data = _yfinance(session)

    def one(symbol: str) -> None:
        params = {"modules": _MODULE, "corsDomain": "finance.yahoo.com", "formatted": "false", "symbol": symbol}
        answer = data.get(f"https://{HOST}{_PATH}{quote(symbol)}", params=params)
        if answer.status_code != 200:
            raise LayoutError(f"Yahoo answers {answer.status_code} to a question with cookie and crumb")

    with ThreadPoolExecutor(min(_WORKERS, len(symbols))) as pool:
        futures = [pool.submit(one, symbol) for symbol in symbols]
        try:
            for future in futures:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _unrated(answer: requests.Response, **_: object) -> None:
    """yfinance takes any error for a stale crumb and asks for another; that of a stock without ratings is none."""
    if answer.status_code == 404 and urlsplit(answer.url).path.startswith(_PATH):
        answer.status_code = 200


def _yfinance(session: requests.Session) -> YfData:
    """yfinance's keeper of cookie and crumb for one drive.

    A cookie lives as long as the session it was given to. yfinance's own keeper would put it into a file of the user's
    and keep its crumb for the next session, which does not have the cookie.
    """
    from yfinance.data import YfData

    class Ratings(YfData):
        def _load_cookie_curlCffi(self) -> bool:  # noqa: N802
            return len(session.cookies) > 0

        def _save_cookie_curlCffi(self) -> bool:  # noqa: N802
            return len(session.cookies) > 0

        def _get_cookie_and_crumb(self, timeout: int = 30) -> tuple[str | None, str]:
            with self._cookie_lock:
                return self._get_cookie_and_crumb_basic(timeout), self._cookie_strategy

        def _set_cookie_strategy(self, strategy: str, have_lock: bool = False) -> None:
            """After a refusal: another cookie and crumb, got in the same way."""
            with self._cookie_lock:
                self._crumb = None
                session.cookies.clear()

    return type.__call__(Ratings, session)  # not the shared instance: two datasets may be fetched at the same time


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of analyst_ratings, of the whole history."""
    asked = {page.url: page for page in pages if urlsplit(page.url).path.startswith(_PATH)}  # of repeats the last
    reading = collect(asked.values(), parse_ratings)
    if len(asked) >= _FEW and reading.rows.empty and reading.bad.empty:
        error = LayoutError(f"some of {len(asked)} stocks are rated, but none is")
        error.page = next(iter(asked.values()))
        raise error
    return reading


def parse_ratings(page: Page) -> Iterator[Mapping[str, object] | Bad]:
    """The rows of one symbol, newest first."""
    symbol = unquote(urlsplit(page.url).path.removeprefix(_PATH))
    for entry in sorted(_history(page), key=_second, reverse=True):
        try:
            yield _row(symbol, entry)
        except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
            reason = f"a rating has epochGradeDate, firm, action, fromGrade and toGrade ({error})"
            yield Bad(reason, json.dumps({"symbol": symbol, "rating": entry}))


def _history(page: Page) -> list[Any]:
    if page.status not in (200, 404):
        raise LayoutError(f"Yahoo answers 200, or 404 for a stock that nobody rates, not {page.status}")
    document = json_of(page)
    summary = document.get("quoteSummary") if isinstance(document, dict) else None
    if not isinstance(summary, dict):
        raise LayoutError("an answer about a symbol holds 'quoteSummary'")
    if page.status == 404:
        error = summary.get("error")
        if not isinstance(error, dict) or error.get("code") != "Not Found":
            raise LayoutError("a 404 says in quoteSummary.error.code 'Not Found'")
        return []
    results = summary.get("result")
    result = results[0] if isinstance(results, list) and results else None
    found = result.get(_MODULE) if isinstance(result, dict) else None
    history = found.get("history") if isinstance(found, dict) else None
    if not isinstance(history, list):
        raise LayoutError(f"an answer holds a list quoteSummary.result[0].{_MODULE}.history")
    return history


def _second(entry: object) -> float:
    second = entry.get("epochGradeDate") if isinstance(entry, dict) else None
    return float(second) if isinstance(second, (int, float)) and abs(second) < 1e15 else 0.0


def _row(symbol: str, entry: Mapping[str, Any]) -> dict[str, object]:
    if isinstance(entry["epochGradeDate"], bool):
        raise ValueError("epochGradeDate is no number")
    moment = datetime.fromtimestamp(entry["epochGradeDate"], UTC)
    if entry["action"] not in ACTIONS:
        raise ValueError(f"action {entry['action']!r} is none of {', '.join(ACTIONS)}")
    return {
        "known_at": moment,
        "event_date": calendar.today(moment),
        "symbol": symbol,
        "firm": required(entry["firm"], "firm"),
        "action": ACTIONS[entry["action"]],
        "from_grade": text(entry["fromGrade"]),
        "to_grade": text(entry["toGrade"]),
        "target_before": _target(entry.get("priorPriceTarget")),
        "target": _target(entry.get("currentPriceTarget")),
    }


def _target(value: object) -> float | None:
    """USD; 0 stands for none."""
    if value is None or value == 0:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"a price target is a number, not {value!r}")
    return float(value)


SOURCES = (
    Source(
        name="yahoo",
        dataset="analyst_ratings",
        title="Yahoo Finance upgrades and downgrades",
        hosts=(HOST, "query1.finance.yahoo.com", "fc.yahoo.com"),
        read=read,
        drive=drive,
        since=date(2012, 1, 1),
        note="One question for each listed stock, half a second each; the option 'symbols' names fewer. A firm's two "
        "ratings of a day under the same action count as the later one. Unofficial; limits how much may be asked. For "
        "personal use under Yahoo's terms.",
    ),
)
