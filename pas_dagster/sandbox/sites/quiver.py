"""Quiver's website as the sandbox has it: pages in the layouts that were recorded in February 2026, or described since.

`/congresstrading/` holds its 300 trades in an inline script beside an empty table. The pages that were never recorded
(contracts, scores, search interest, app ratings) have plain tables with headings. A visitor without a User-Agent gets
the challenge of Cloudflare.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from html import escape

import numpy as np
import pandas as pd

from pas_dagster.calendar import NEW_YORK
from pas_dagster.sandbox.congress import POLITICIANS
from pas_dagster.sandbox.listing import companies
from pas_dagster.sandbox.sites.quiver_records import (
    Record,
    asset_type,
    bracket,
    closes,
    records,
    trades,
    transaction,
)
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site

NEWEST = 300
"""Rows that a page shows."""

_STOCK = "/congresstrading/stock/"
_POLITICIAN = "/congresstrading/politician/"
_PARTIES = {"D": "Democrat", "R": "Republican", "I": "Independent"}
_SCRIPT = 'type="f16664d96a1eed888d3b7126-text/javascript"'
_CODES = {"P": "Purchase", "S": "Sale", "A": "Award", "M": "Exercise", "F": "Tax"}
_DJANGO_MONTHS = (
    *("Jan.", "Feb.", "March", "April", "May", "June"),
    *("July", "Aug.", "Sept.", "Oct.", "Nov.", "Dec."),
)
_CHALLENGE = Answer(
    b'<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title></head>'
    b'<body><script src="/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1"></script></body></html>',
    403,
    headers={"cf-mitigated": "challenge"},
)


def answer(present: Present, call: Call) -> Answer | None:
    """The page of a path; a 404 for a path without one."""
    if not call.headers.get("user-agent"):
        return _CHALLENGE
    if call.path.startswith(_STOCK):
        return _stock(present, call.path.removeprefix(_STOCK).strip("/").upper())
    if call.path.startswith(_POLITICIAN):
        return _politician(present, call.path.removeprefix(_POLITICIAN).strip("/"))
    page = _PAGES.get(call.path.rstrip("/"))
    return page(present) if page else _page("Page not found", "<h1>404</h1>", status=404)


def _page(title: str, body: str, script: str = "", status: int = 200) -> Answer:
    """A page of the site with its three lists of everything in the head."""
    names = json.dumps([[company.name, company.symbol] for company in companies()]).replace("'", "\\'")
    members = json.dumps(
        [
            {"name": one.name, "party": one.party, "chamber": one.chamber.title(), "bioguideID": one.bioguide_id}
            for one in POLITICIANS
        ]
    )
    text = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n  <meta charset="utf-8">\n  <title>{escape(title)}</title>\n'
        f"</head>\n<body>\n{body}\n<script {_SCRIPT}>\n"
        "  let userIsAuthenticated = 'False';\n  let watchlistEligible = \"False\";\n"
        f"  const allTickers = JSON.parse('{names}');\n  const allCongressMembers = JSON.parse(`{members}`);\n"
        '  const allFunds = JSON.parse(`[{"name": "Portus Wealth Advisors, LLC"}]`);\n</script>\n'
        f"<script {_SCRIPT}>\n    {script}\n  </script>\n</body>\n</html>\n"
    )
    return Answer(text.encode(), status)


def _headings(names: Iterable[str]) -> str:
    return f'<thead><tr class="sticky-table-headers">{"".join(f"<th>{name}</th>" for name in names)}</tr></thead>'


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], attributes: str = "") -> str:
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    head = _headings(names) if names else ""
    return f'<div class="table-inner"><table {attributes}>{head}<tbody>\n{body}\n</tbody></table></div>'


# Congress


def _congress(present: Present) -> Answer:
    shown = trades(present.world).newest(present, NEWEST)
    recent = (
        '<table class="table-congress table-politician" id="recentTradesTable">'
        f"{_headings([*_TRADE_HEADINGS, _TREND])}<tbody></tbody></table>"
    )
    active = _table(
        ["Name", "Trades", "Estimated Trade Volume"],
        _most_active(shown),
        'class="table-congress table-politician table-traders" id="mostActiveTradersTable"',
    )
    worth = '<table id="netWorthTable" class="sortable paginated-table"><tbody></tbody></table>'
    data = [_fields(present, trade) for trade in shown]
    return _page("Congress Trading - Quiver Quantitative", recent + active + worth, f"let recentTradesData = {data!r};")


_TREND = '<i class="fa-solid fa-arrow-trend-up trend trend"></i>'
_TRADE_HEADINGS = ("Stock", "Transaction", "Politician", "Filed", "Traded", "Description")


def _fields(present: Present, trade: Record) -> list[object]:
    """The sixteen fields of a trade."""
    identifier = trade["bioguide_id"] or "-"
    return [
        trade["symbol"] or "-",
        trade["asset_description"] or "-",
        asset_type(trade),
        transaction(trade),
        bracket(trade),
        trade["politician"],
        trade["chamber"].title(),
        trade["party"],
        f"{trade['filed']:%Y-%m-%d %H:%M:%S}",
        f"{trade['event_date']:%Y-%m-%d %H:%M:%S}",
        "-",
        trade["trade_id"],
        _excess(present, trade),
        _legal_name(trade),
        f"https://www.congress.gov/img/member/{identifier.lower()}_200.jpg",
        identifier,
    ]


def _legal_name(trade: Record) -> str:
    given, _, family = trade["politician"].rpartition(" ")
    return f"{family}, {given}" if trade["chamber"] == "senate" else trade["politician"]


def _excess(present: Present, trade: Record) -> float | str:
    """Percent above the fund SPY since the trade."""
    own = _growth(present, trade["symbol"], trade["event_date"])
    market = _growth(present, "SPY", trade["event_date"])
    return "-" if own is None or market is None else float(own - market) * 100


def _growth(present: Present, symbol: str | None, since: pd.Timestamp) -> float | None:
    days, values = closes(present.world).get(symbol or "", (np.array([], "datetime64[us]"), np.array([])))
    begin = int(np.searchsorted(days, since.to_datetime64()))
    end = int(np.searchsorted(days, np.datetime64(present.today), side="left")) - 1
    return float(values[end] / values[begin] - 1) if begin <= end else None


def _most_active(shown: Sequence[Record]) -> list[tuple[str, str, str]]:
    volume: dict[str, tuple[Record, int, float]] = {}
    for trade in shown:
        _, count, total = volume.get(trade["politician"], (trade, 0, 0.0))
        volume[trade["politician"]] = (trade, count + 1, total + trade["amount_mid"])
    ranked = sorted(volume.values(), key=lambda one: -one[2])[:110]
    return [
        (
            f'<a href="..{_POLITICIAN}{escape(trade["politician"])}-{trade["bioguide_id"]}"><div class="flex-column">'
            f"<strong>{escape(trade['politician'])}</strong>"
            f"<span>{trade['chamber'].title()} - {_PARTIES[trade['party']]}</span></div></a>",
            f'<a class="flex-column roboto-cell">{count}</a>',
            f'<a class="flex-column roboto-cell">${total:,.0f}</a>',
        )
        for trade, count, total in ranked
    ]


def _stock(present: Present, symbol: str) -> Answer:
    rows = [_rendered(trade) for trade in trades(present.world).of(present, "symbol", symbol)]
    body = _table(_TRADE_HEADINGS, rows, 'class="table-congress"')
    return _page(f"{symbol} - Congress Trading | Quiver Quantitative", body)


def _rendered(trade: Record) -> list[str]:
    """The cells of a trade on the page of its ticker."""
    link = f'<a class="flex-column" href="../../congresstrading/trade/{trade["trade_id"]}">'
    tone = "positive" if trade["direction"] == "buy" else "sale"
    return [
        f'{link}<span><span class="positive">{trade["symbol"]}</span></span>\n'
        f"<span>\n{escape(trade['asset_description'] or '-')}\n</span>\n<span>\n{asset_type(trade)}\n</span></a>",
        f'{link}<span class="{tone}">\n{transaction(trade)}\n</span>\n<span>\n{bracket(trade)}\n</span></a>',
        f"{link}<span>\n{escape(trade['politician'])}\n</span>\n"
        f"<span>\n{trade['chamber'].title()} / {trade['party']}\n</span></a>",
        f"{link}\n{trade['filed']:%b %d, %Y}\n</a>",
        f"{link}\n{trade['event_date']:%b %d, %Y}\n</a>",
        f"{link}<p>-</p></a>",
    ]


def _politician(present: Present, member: str) -> Answer:
    """The page of `Name-Bioguide`: all trades, in another order of fields than the page of recent trades."""
    shown = trades(present.world).of(present, "bioguide_id", member.rpartition("-")[2])
    rows = [_literal(present, trade) for trade in shown]
    return _page(f"{member} - Congress Trading | Quiver Quantitative", "", f"let tradeData = [{', '.join(rows)}];")


def _literal(present: Present, trade: Record) -> str:
    excess = _excess(present, trade)
    fields = [
        repr(trade["symbol"] or "-"),
        repr(transaction(trade)),
        repr(f"{trade['filed']:%Y-%m-%d %H:%M:%S}"),
        repr(f"{trade['event_date']:%Y-%m-%d %H:%M:%S}"),
        repr(trade["asset_description"] or "-"),
        repr(bracket(trade)),
        repr(trade["chamber"].title()),
        repr(trade["party"]),
        repr(asset_type(trade)),
        repr(trade["trade_id"]),
        "null",
        "NaN" if isinstance(excess, str) else repr(excess),
    ]
    return f"[{', '.join(fields)}]"


# The other pages


def _insiders(present: Present) -> Answer:
    """Without gifts and other acquisitions."""
    shown = records(present.world, "insider_buying").newest(present, NEWEST * 2)
    data = [_insider(row) for row in shown if row["code"] in _CODES][:NEWEST]
    top = [row for row in data if row["transactionCode"] == "Purchase"][:10]
    body = (
        f'<table id="recentInsiderTransactionsTable">{_headings(["Stock", "Transaction", "Insider", "Filed"])}'
        "<tbody></tbody></table>"
    )
    script = f"let recentInsiderTransactionsData = {data!r};\n    let topMonthlyInsiderTransactionsData = {top!r};"
    return _page("Insider Trading - Quiver Quantitative", body, script)


def _insider(row: Record) -> dict[str, object]:
    filed = _local(row["published"])
    return {
        "rptOwnerName": row["insider"],
        "officerTitle": row["title"] or ("Director" if row["role"] == "director" else "-"),
        "issuerTradingSymbol": row["symbol"],
        "transactionCode": _CODES[row["code"]],
        "transactionShares": row["shares"],
        "transactionPricePerShare": "-" if row["price"] is None else row["price"],
        "transactionValue": "-" if row["price"] is None else row["shares"] * row["price"],
        "transactionDate": f"{row['event_date']:%b %d, %Y}",
        "fileDate": f"{filed:%b %d, %Y} ({filed:%I:%M %p})".replace("(0", "("),
    }


def _local(moment: pd.Timestamp) -> datetime:
    return moment.tz_localize("UTC").tz_convert(NEW_YORK).to_pydatetime()


def _lobbying(present: Present) -> Answer:
    """Of companies with a ticker."""
    shown = [row for row in records(present.world, "lobbying").newest(present, NEWEST * 2) if row["symbol"]]
    recent = [
        (
            f"{row['symbol']}\n{escape(row['client'])}",
            "-" if row["amount"] is None else f"${row['amount']:,.0f}",
            _django(_local(row["published"])),
        )
        for row in shown[:NEWEST]
    ]
    top = sorted(shown, key=lambda row: -(row["amount"] or 0))[:20]
    spenders = [(f"{row['symbol']}\n{escape(row['client'])}", f"${row['amount'] or 0:,.0f}") for row in top]
    return _page("Corporate Lobbying - Quiver Quantitative", _table([], recent) + _table([], spenders))


def _django(moment: datetime) -> str:
    """`Feb. 13, 2025, 12:19 p.m.`, `Sept. 5, 2024, 1 p.m.`, noon and midnight in words."""
    day = f"{_DJANGO_MONTHS[moment.month - 1]} {moment.day}, {moment.year}"
    if (moment.hour, moment.minute) in ((0, 0), (12, 0)):
        return f"{day}, {'noon' if moment.hour else 'midnight'}"
    minute = f":{moment.minute:02}" if moment.minute else ""
    return f"{day}, {(moment.hour - 1) % 12 + 1}{minute} {'p.m.' if moment.hour >= 12 else 'a.m.'}"


def _contracts(present: Present) -> Answer:
    shown = [row for row in records(present.world, "gov_contracts").newest(present, NEWEST * 2) if row["symbol"]]
    rows = [
        (
            f"<span>{row['symbol']}</span><span>{escape(row['recipient'])}</span>",
            f"{'-' if row['amount'] < 0 else ''}${abs(row['amount']):,.2f}",
            f"<span>{escape(row['agency'] or '-')}</span><span>{escape(row['description'] or '-')}</span>",
            f"{row['known_on']:%b %d, %Y}",
        )
        for row in shown[:NEWEST]
    ]
    body = _table(["Ticker", "Amount", "Agency / Description", "Date"], rows)
    return _page("Government Contracts - Quiver Quantitative", body)


def _scores(present: Present) -> Answer:
    shown = sorted(records(present.world, "dc_insider_scores").latest_day(present), key=lambda row: -row["score"])
    companies_by_symbol = {company.symbol: company.name for company in companies()}
    rows = [(row["symbol"], escape(companies_by_symbol.get(row["symbol"], "")), f"{row['score']:.6f}") for row in shown]
    return _page("DC Insider Score - Quiver Quantitative", _table(["Ticker", "Company", "Score"], rows))


def _trends(present: Present) -> Answer:
    shown = sorted(
        records(present.world, "google_trends").latest_day(present, "event_date"), key=lambda row: -row["interest"]
    )
    rows = [(row["symbol"], f"{row['interest']:g}") for row in shown]
    return _page("Google Trends - Quiver Quantitative", _table(["Ticker", "Trend Score"], rows, 'id="myTable"'))


def _apps(present: Present) -> Answer:
    rows = [
        (
            row["symbol"],
            escape(row["app"]),
            f"{row['rating']}",
            f"{row['ratings']:,}",
            "-" if row["hype"] is None else f"{row['hype']}",
            f"{row['event_date']:%Y-%m-%d}",
        )
        for row in records(present.world, "app_reviews").latest_day(present)
    ]
    names = ["Ticker", "App", "Rating", "Rating Count", "Hype", "Date"]
    return _page("App Ratings - Quiver Quantitative", _table(names, rows))


_PAGES: dict[str, Callable[[Present], Answer]] = {
    "/congresstrading": _congress,
    "/insiders": _insiders,
    "/lobbying": _lobbying,
    "/sources/govcontracts": _contracts,
    "/scores/dcinsider": _scores,
    "/googletrends": _trends,
    "/sources/appratings": _apps,
}

SITE = Site(("www.quiverquant.com",), answer, (1, 1.1))
