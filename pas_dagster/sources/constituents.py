"""The universe: members of US stock indexes, and the funds that strategies trade.

The S&P 500, 400 and 600 with their dated changes from Wikipedia, so that history has the members of its time, as far
back as the article's table goes (the 500's to the nineties; before the first change of the others whoever is a member
then counts as one from the start). An article of the 400 or 600 without such a table, and the Russell 2000 (holdings
of iShares' fund), show only who is a member now: their changes are those against what is stored. Such a list counts as
known on the last day of the window if that is today or yesterday (it is
read the morning after the window, and changes are announced days ahead); of an older window it says nothing.
The S&P 500 of datahub.io (https://github.com/datasets/s-and-p-500-companies) is such a list too.

Options: `indices` (of sp500, sp400, sp600, russell2000; default the three of S&P), `funds` (symbols), `start` (the
home's first day: whoever is a member then joins on it).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta

import pandas as pd

from pas_dagster import calendar
from pas_dagster.schemas import normalise_symbols
from pas_dagster.sources import ishares, wikipedia_lists
from pas_dagster.sources.membership import Member, change, changes, named, rows_of
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, Walk, collect
from pas_dagster.sources.wikipedia_lists import Change

SP500 = "S&P 500"
INDEX_NAMES = {"sp500": SP500, "sp400": "S&P 400", "sp600": "S&P 600", "russell2000": "Russell 2000"}
DATED = ("sp500", "sp400", "sp600")  # have dated changes; the 500 always, or its page is not understood
DATAHUB = "https://datahub.io/core/s-and-p-500-companies/_r/-/data/constituents.csv"

FUNDS = {
    "XLB": "Materials Select Sector SPDR Fund",
    "XLC": "Communication Services Select Sector SPDR Fund",
    "XLE": "Energy Select Sector SPDR Fund",
    "XLF": "Financial Select Sector SPDR Fund",
    "XLI": "Industrial Select Sector SPDR Fund",
    "XLK": "Technology Select Sector SPDR Fund",
    "XLP": "Consumer Staples Select Sector SPDR Fund",
    "XLRE": "Real Estate Select Sector SPDR Fund",
    "XLU": "Utilities Select Sector SPDR Fund",
    "XLV": "Health Care Select Sector SPDR Fund",
    "XLY": "Consumer Discretionary Select Sector SPDR Fund",
    "SPY": "SPDR S&P 500 ETF Trust",
    "QQQ": "Invesco QQQ Trust",
    "IWM": "iShares Russell 2000 ETF",
    "VTI": "Vanguard Total Stock Market ETF",
    "VXUS": "Vanguard Total International Stock ETF",
    "EFA": "iShares MSCI EAFE ETF",
    "UPRO": "ProShares UltraPro S&P500",
    "SPXL": "Direxion Daily S&P 500 Bull 3X Shares",
    "TQQQ": "ProShares UltraPro QQQ",
    "SOXL": "Direxion Daily Semiconductor Bull 3X Shares",
    "TECL": "Direxion Daily Technology Bull 3X Shares",
    "FAS": "Direxion Daily Financial Bull 3X Shares",
    "ERX": "Direxion Daily Energy Bull 2X Shares",
    "LABU": "Direxion Daily S&P Biotech Bull 3X Shares",
    "CURE": "Direxion Daily Healthcare Bull 3X Shares",
    "DRN": "Direxion Daily Real Estate Bull 3X Shares",
    "NAIL": "Direxion Daily Homebuilders & Supplies Bull 3X Shares",
    "UTSL": "Direxion Daily Utilities Bull 3X Shares",
    "DPST": "Direxion Daily Regional Banks Bull 3X Shares",
    "RETL": "Direxion Daily Retail Bull 3X Shares",
    "WANT": "Direxion Daily Consumer Discretionary Bull 3X Shares",
    "DUSL": "Direxion Daily Industrials Bull 3X Shares",
    "TPOR": "Direxion Daily Transportation Bull 3X Shares",
    "AGG": "iShares Core US Aggregate Bond ETF",
    "BND": "Vanguard Total Bond Market ETF",
    "TLT": "iShares 20+ Year Treasury Bond ETF",
    "IEF": "iShares 7-10 Year Treasury Bond ETF",
    "SHY": "iShares 1-3 Year Treasury Bond ETF",
    "BIL": "SPDR Bloomberg 1-3 Month T-Bill ETF",
    "LQD": "iShares iBoxx $ Investment Grade Corporate Bond ETF",
    "HYG": "iShares iBoxx $ High Yield Corporate Bond ETF",
    "TIP": "iShares TIPS Bond ETF",
    "GLD": "SPDR Gold Shares",
}
"""The funds that the built-in strategies trade or are compared with: symbol -> name."""

_NEEDED = ("Symbol", "Security", "GICS Sector")
_ALWAYS = 36_525  # days: all that is stored


def walk(query: Query) -> Walk:
    """One page for each index."""
    yield [ishares.request() if index == "russell2000" else wikipedia_lists.request(index) for index in _wanted(query)]


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Changes of membership: of the S&P 500 since the home's start, of other lists since what is stored."""
    rows: list[dict[str, object]] = []
    bad = [collect([], ishares.parse).bad]
    for page in pages:
        listed = collect([page], ishares.parse if page.kind == "russell2000" else wikipedia_lists.parse_members)
        bad.append(listed.bad)
        members = rows_of(listed.rows, INDEX_NAMES[page.kind])
        if page.kind == "sp500" or (page.kind in DATED and wikipedia_lists.has_changes(page)):
            dated, wrong = _dated(page, members, query)
            rows += dated
            bad.append(wrong)
        else:
            rows += _present(INDEX_NAMES[page.kind], members, query)
    rows += _funds(query)
    return Reading(pd.DataFrame(rows), pd.concat([part for part in bad if len(part)] or bad[:1], ignore_index=True))


def _wanted(query: Query) -> list[str]:
    wanted = list(query.options.get("indices") or DATED)
    unknown = [index for index in wanted if index not in INDEX_NAMES]
    if unknown:
        raise LayoutError(f"option `indices` names {unknown[0]!r}; there are {', '.join(INDEX_NAMES)}")
    return wanted


def _start(query: Query) -> date:
    """The first session of the home."""
    start = query.options.get("start") or query.first
    return calendar.roll_forward(date.fromisoformat(start) if isinstance(start, str) else start)


def _present(index: str, members: Mapping[str, Member], query: Query) -> list[dict[str, object]]:
    """Changes of a list that shows only the present."""
    today = calendar.today(query.now)
    if today - query.last > timedelta(days=1):
        return []
    day = min(today, query.last)
    return changes(index, members, query.stored, opening=day, today=day)


def _funds(query: Query) -> list[dict[str, object]]:
    """The funds join on the home's first session; whichever the settings name later joins when they do."""
    funds = named(query.options.get("funds") or list(FUNDS), FUNDS)
    return changes("ETF", funds, query.stored, opening=_start(query), today=query.last)


def _dated(page: Page, members: Mapping[str, Member], query: Query) -> tuple[list[dict[str, object]], pd.DataFrame]:
    """The members on the home's first session, found by taking back the changes since, and those changes.

    A change that contradicts the members after it (the page names a company by another symbol since) is refused.
    """
    start, today, index = _start(query), calendar.today(query.now), INDEX_NAMES[page.kind]
    refused: list[Bad] = []
    found: list[Change] = []
    try:
        for item in wikipedia_lists.parse_changes(page):
            if isinstance(item, Bad):
                refused.append(item)
            elif start < item.day <= today:
                found.append(item)
    except LayoutError as error:
        error.page = page
        raise
    present = dict(members)
    rows: list[dict[str, object]] = []
    for item in sorted(found, key=lambda one: one.day, reverse=True):
        day = calendar.roll_forward(item.day)
        for side, action in ((item.added, "add"), (item.removed, "remove")):
            if side is None:
                continue
            symbol = _normal(side[0])
            if (action == "add") == (symbol in present):
                member = present.pop(symbol, None) or _former(side[1], page, index)
                rows.append({**change(day, action, symbol, member), "event_date": item.day})
                if action == "remove":
                    present[symbol] = member
            elif query.first <= day <= query.last:
                reason = f"{symbol} cannot {'join' if action == 'add' else 'leave'}: the list contradicts it"
                refused.append(Bad(reason, {"day": item.day, "symbol": symbol, "name": side[1]}))
    rows += [change(start, "add", symbol, member) for symbol, member in present.items()]
    return rows, collect([page], lambda _: refused).bad


def _former(name: str, page: Page, index: str) -> Member:
    return {"name": name, "kind": "stock", "sector": None, "index_name": index, "raw": page.digest}


def _normal(symbol: str) -> str:
    return normalise_symbols(pd.Series([symbol], dtype="str")).iloc[0]


def walk_datahub(_: Query) -> Walk:
    """The one file."""
    yield [Request(DATAHUB, kind="sp500")]


def read_datahub(pages: Sequence[Page], query: Query) -> Reading:
    """Changes of the S&P 500 and of the funds since what is stored."""
    reading = collect(pages, parse_datahub)
    rows = _present(SP500, rows_of(reading.rows, SP500), query) + _funds(query)
    return Reading(pd.DataFrame(rows), reading.bad)


def parse_datahub(page: Page) -> Iterator[dict[str, object] | Bad]:
    """The members of now: symbol, name, kind, sector."""
    try:
        text = page.content.decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline="")))
    except (UnicodeDecodeError, csv.Error):
        raise LayoutError("the answer is CSV text") from None
    header = [name.strip() for name in lines[0]] if lines else []
    if not set(_NEEDED) <= set(header) or len(lines) < 2:
        raise LayoutError(f"the first line names {', '.join(_NEEDED)}, and members follow")
    at = [header.index(name) for name in _NEEDED]
    for line in lines[1:]:
        if not line:
            continue
        if len(line) != len(header) or not line[at[0]].strip():
            yield Bad("a member has a value for each column", ",".join(line))
            continue
        symbol, name, sector = (line[place].strip() for place in at)
        yield {"symbol": symbol, "name": name or symbol, "kind": "stock", "sector": sector or None}


def _source(name: str, title: str, hosts: tuple[str, ...], asks: Callable[[Query], Walk], **others) -> Source:
    return Source(name=name, dataset="universe", title=title, hosts=hosts, walk=asks, lookback=_ALWAYS, **others)


SOURCES = (
    _source(
        "constituents",
        "Index members (Wikipedia, iShares)",
        (wikipedia_lists.HOST, ishares.HOST),
        walk,
        read=read,
        since=date(2008, 1, 1),
        note="The S&P 1500 with dated changes; the Russell 2000 (option `indices`) from the first day it is asked for.",
    ),
    _source(
        "datahub",
        "S&P 500 members (datahub.io)",
        ("datahub.io",),
        walk_datahub,
        read=read_datahub,
        note="Who is a member now; changes accumulate day by day.",
    ),
)
