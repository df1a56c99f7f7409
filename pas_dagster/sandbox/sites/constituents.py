"""Lists of index members of the sandbox world: Wikipedia's articles and datahub.io's file.

Each article has the members of now and the dated changes of its index; datahub.io's file has the members of the S&P
500. Wikipedia turns away clients that do not say who they are.
"""

from __future__ import annotations

from datetime import timedelta
from html import escape

import pandas as pd

from pas_dagster.sandbox.listing import INDEXES, LARGE
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site

_WIKIPEDIA, _DATAHUB = "en.wikipedia.org", "datahub.io"
_ARTICLE = "/wiki/List_of_S&P_{}_companies"
_FILE = "/core/s-and-p-500-companies/_r/-/data/constituents.csv"
_COLUMNS = (
    *("Symbol", "Security", "GICS Sector", "GICS Sub-Industry"),
    *("Headquarters Location", "Date added", "CIK", "Founded"),
)
_NAMELESS = ("python-requests", "Python-urllib")
_REASONS = {True: "Market capitalization change.", False: "Taken over, insolvent or renamed."}


def answer(present: Present, call: Call) -> Answer | None:
    """An article or the file, or None for another path."""
    if call.host == _DATAHUB:
        return _file(present) if call.path == _FILE else None
    client = call.headers.get("user-agent", "")
    if not client or client.startswith(_NAMELESS):
        return Answer(b"Please set a user-agent and respect our robot policy", 403, "text/plain")
    for index in INDEXES:
        number = int(index.split()[-1])
        if call.path == _ARTICLE.format(number):
            members = present_members(present, index)
            return _article(number, _table("constituents", members) + _changes(present, index, members))
    return None


def present_members(present: Present, index: str = LARGE) -> pd.DataFrame:
    """The stocks that are members of an index today, by symbol, each with the row of its joining."""
    rows = present.table("universe")
    rows = rows[rows["index_name"] == index].sort_values(["known_on", "action"], ascending=[True, False])
    last = rows.drop_duplicates("symbol", keep="last")
    return last[last["action"] == "add"].sort_values("symbol")


def _article(number: int, tables: str) -> Answer:
    title = f"List of S&amp;P {number} companies"
    return Answer(
        f"<!DOCTYPE html><html><head><title>{title} - Wikipedia</title></head><body><h1>{title}</h1>"
        f"<p>The index<sup>[1]</sup> has these members.</p>{tables}</body></html>".encode()
    )


def _table(name: str, members: pd.DataFrame) -> str:
    head = "".join(f"<th>{column}</th>" for column in _COLUMNS)
    rows = "".join(_row(_fields(*row)) for row in _member_rows(members))
    return (
        f'<table class="wikitable sortable sticky-header" id="{name}"><tbody><tr>{head}</tr>\n{rows}</tbody></table>\n'
    )


def _row(cells: list[str]) -> str:
    return "<tr>" + "".join(f"<td>{escape(cell)}\n</td>" for cell in cells) + "</tr>\n"


def _member_rows(members: pd.DataFrame) -> zip:
    joined = members["event_date"].dt.strftime("%Y-%m-%d")
    return zip(members["symbol"], members["name"], members["sector"], joined, strict=True)


def _fields(symbol: str, name: str, sector: str, joined: str) -> list[str]:
    number = sum(ord(letter) * 31**place for place, letter in enumerate(symbol)) % 2_000_000
    return [symbol, name, sector, f"{sector} Services", "New York City, New York", joined, f"{number:010d}", "1957"]


def _changes(present: Present, index: str, members: pd.DataFrame) -> str:
    """Dated changes, newest first; a company that changes its symbol leaves and joins in one line."""
    rows = present.table("universe")
    rows = rows[rows["index_name"] == index]
    rows = rows[rows["known_on"] > rows["known_on"].min()] if len(rows) else rows
    lines = []
    for day, group in sorted(rows.groupby("event_date"), key=lambda pair: pair[0], reverse=True):
        shown = f"{day:%B} {day.day}, {day.year}"
        joined, left = (group[group["action"] == action] for action in ("add", "remove"))
        for at in range(max(len(joined), len(left))):
            cells = [shown]
            for side in (joined, left):
                cells += [side["symbol"].iloc[at], side["name"].iloc[at]] if at < len(side) else ["", ""]
            lines.append(_row([*cells, _REASONS[at < len(joined)] + "[2]"]))
    if len(members):  # the article goes back further than the world
        long_ago = present.world.start - timedelta(days=400)
        member = members.iloc[0]
        shown = f"{long_ago:%B} {long_ago.day}, {long_ago.year}"
        lines.append(_row([shown, member["symbol"], member["name"], "OLDX", "Olden Exchange", _REASONS[True] + "[1]"]))
    return (
        '<table class="wikitable sortable" id="changes"><tbody>'
        '<tr><th rowspan="2">Effective Date</th><th colspan="2">Added</th><th colspan="2">Removed</th>'
        '<th rowspan="2">Reason</th></tr>\n'
        "<tr><th>Ticker</th><th>Security</th><th>Ticker</th><th>Security</th></tr>\n"
        f"{''.join(lines)}</tbody></table>\n"
    )


def _file(present: Present) -> Answer:
    rows = [_fields(*row) for row in _member_rows(present_members(present))]
    text = pd.DataFrame(rows, columns=list(_COLUMNS)).to_csv(index=False, lineterminator="\r\n")
    return Answer(text.encode(), 200, "text/csv")


SITE = Site((_WIKIPEDIA, _DATAHUB), answer, (200, 60))
