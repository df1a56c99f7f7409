"""iShares' holdings of its Russell 2000 fund in the sandbox world: the members of its S&P 600.

https://www.ishares.com/us/products/239710/ishares-russell-2000-etf/1467271812596.ajax?fileType=csv
"""

from __future__ import annotations

from pas_dagster.sandbox.listing import SMALL
from pas_dagster.sandbox.sites.constituents import present_members
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site

_PATH = "/us/products/239710/ishares-russell-2000-etf/1467271812596.ajax"
_HEADER = (
    "Ticker,Name,Sector,Asset Class,Market Value,Weight (%),Notional Value,Quantity,Price,Location,Exchange,Currency,"
    "FX Rate,Market Currency,Accrual Date"
)
_REST = ("United States", "NASDAQ", "USD", "1.00", "USD", "-")
_LEGAL = '"The content contained herein is owned or licensed by BlackRock and/or its third parties."'


def answer(present: Present, call: Call) -> Answer | None:
    """The file; a page of HTML where the address asks for no file; None for another path."""
    if call.path != _PATH:
        return None
    if call.query.get("fileType") != "csv":
        return Answer(b"<!DOCTYPE html><html><body>iShares Russell 2000 ETF</body></html>")
    day = present.today
    members = present_members(present, SMALL)
    lines = [
        "iShares Russell 2000 ETF",
        f'Fund Holdings as of,"{day:%b} {day.day:02d}, {day.year}"',
        'Inception Date,"May 22, 2000"',
        'Shares Outstanding,"278,750,000.00"',
        *(f'{name},"-"' for name in ("Stock", "Bond", "Cash", "Other")),
        "\u00a0",
        _HEADER,
        *(
            _line(symbol.replace(".", ""), name.upper(), sector.removesuffix(" Services"), "Equity")
            for symbol, name, sector in zip(members["symbol"], members["name"], members["sector"], strict=True)
        ),
        _line("XTSLA", "BLK CSH FND TREASURY SL AGENCY", "Cash and/or Derivatives", "Money Market"),
        _line("USD", "USD CASH", "Cash and/or Derivatives", "Cash"),
        _line("RTYM6", "RUSSELL 2000 EMINI CME JUN 26", "Cash and/or Derivatives", "Futures"),
        "\u00a0",
        _LEGAL,
        "Holdings subject to change.",
    ]
    return Answer(("\ufeff" + "\n".join(lines) + "\n").encode(), 200, "text/csv;charset=UTF-8")


def _line(ticker: str, name: str, sector: str, asset: str) -> str:
    cells = (ticker, name, sector, asset, "1,532,594.50", "0.50", "1,532,594.50", "5,190.00", "295.25", *_REST)
    return ",".join(f'"{cell}"' for cell in cells)


SITE = Site(("www.ishares.com",), answer)
