"""iShares: the holdings of index funds as a list of who is in the index.

`https://www.ishares.com/us/products/239710/ishares-russell-2000-etf/1467271812596.ajax?fileType=csv&fileName=
IWM_holdings&dataType=fund`: a byte order mark, lines about the fund (`Fund Holdings as of,"May 05, 2026"`), a header
that begins with `Ticker,Name,Sector,Asset Class`, the holdings, a line with a space, legal text. Cash, futures and
unlisted rights are among the holdings. Class shares are written without a separator (BRKB). A fault is HTML with
status 200.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from pas_dagster.sources.page import Page, Request, address
from pas_dagster.sources.source import Bad, LayoutError

HOST = "www.ishares.com"
RUSSELL_2000 = "russell2000"

CLASSES = {
    "BFA": "BF.A",
    "BFB": "BF.B",
    "BRKA": "BRK.A",
    "BRKB": "BRK.B",
    "CRDA": "CRD.A",
    "CRDB": "CRD.B",
    "GEFB": "GEF.B",
    "HEIA": "HEI.A",
    "LENB": "LEN.B",
    "MOGA": "MOG.A",
    "MOGB": "MOG.B",
    "UHALB": "UHAL.B",
}
"""iShares' spelling of listed class shares -> the usual one. Any other ticker is taken as it is."""

_NEEDED = ("Ticker", "Name", "Sector", "Asset Class", "Exchange")
_NOTHING = ("", "-", "--")
_UNLISTED = ("NO MARKET", "NON-NMS")
_SECTORS = {"Communication": "Communication Services"}  # the rest is spelled as GICS does


def request() -> Request:
    """The holdings of the Russell 2000 fund."""
    path = "/us/products/239710/ishares-russell-2000-etf/1467271812596.ajax"
    url = address(f"https://{HOST}", path, fileType="csv", fileName="IWM_holdings", dataType="fund")
    return Request(url, kind=RUSSELL_2000)


def parse(page: Page) -> Iterator[dict[str, object] | Bad]:
    """Listed equities: symbol, name, kind, sector. Cash, futures and what is left of former members are none."""
    try:
        text = page.content.decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline="")))
    except (UnicodeDecodeError, csv.Error):
        raise LayoutError("the answer is CSV text") from None
    start = next((n for n, line in enumerate(lines) if line[:1] == ["Ticker"]), None)
    header = [name.strip() for name in lines[start]] if start is not None else []
    if start is None or not set(_NEEDED) <= set(header):
        raise LayoutError(f"a line begins with Ticker and names the columns {', '.join(_NEEDED)}")
    at = [header.index(name) for name in _NEEDED]
    found = False
    for line in lines[start + 1 :]:
        if len(line) <= 1 and not "".join(line).strip():
            break  # the end of the holdings
        if len(line) != len(header):
            yield Bad("a holding has a value for each column", ",".join(line))
            continue
        ticker, name, sector, asset, exchange = (line[place].strip() for place in at)
        if asset != "Equity" or ticker in _NOTHING or exchange.upper().startswith(_UNLISTED):
            continue
        found = True
        known = _SECTORS.get(sector, sector) if sector not in _NOTHING else None
        yield {"symbol": CLASSES.get(ticker, ticker), "name": name or ticker, "kind": "stock", "sector": known}
    if not found:
        raise LayoutError("the fund holds equities")
