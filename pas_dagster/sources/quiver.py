"""Quiver Quantitative's website (https://www.quiverquant.com): the newest rows of its pages, without an account.

- `/congresstrading/`: 300 trades in an inline script, `let recentTradesData = [[...16 fields...], ...];`, a Python
  repr; the table `#recentTradesTable` itself is empty. Recorded on 2026-02-02.
- `/congresstrading/stock/NVDA`: all trades of a ticker, `table.table-congress`. Recorded in February 2026.
- `/congresstrading/politician/Nancy Pelosi-P000197`: all trades of a member, `let tradeData = [...]`; the order of its
  fields was never recorded, so each field is known by what it looks like.
- `/insiders/`: `let recentInsiderTransactionsData = [{...}, ...];`, before 2026 `table.insider-trading-table`.
- `/lobbying/`, `/sources/govcontracts`, `/scores/dcinsider`, `/googletrends/`, `/sources/appratings`: tables, never
  recorded; columns are known by their headings.

Times of day are New York's. A page shows its newest rows only: a window that begins on or before the oldest day shown
is refused, because that day may be cut. Scores, search interest and app ratings show now: they count as known today.
Identifiers: see `quiver_facts`. A lobbying row is taken to report the last quarter that had ended, and never to
replace another, because the page tells neither.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pas_dagster import calendar
from pas_dagster.sources import quiver_facts as facts
from pas_dagster.sources.disclosures import Amount, amount, direction
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.quiver_facts import BLANK, Occurrences, Trade, When
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, Walk, collect
from pas_dagster.sources.texts import required, text

if TYPE_CHECKING:
    from lxml.html import HtmlElement

HOST = "www.quiverquant.com"

_BASE = f"https://{HOST}"
_FIELDS = 16
_DEEPEST = 6  # lists in lists; the real ones have two
_NEEDS = "it blocks visitors that are no browsers; use another provider"
_TRADE_ID = re.compile(r"(House|Senate)-([A-Za-z0-9]{1,20})-\d{1,9}", re.ASCII)
_TRADE_LINK = re.compile(r"/trade/([^/?#]+)")
_MEMBER = re.compile(r"[^/?#]{1,100}-[A-Z]\d{6}")
_TYPE_WORDS = frozenset({"stock", "st", "op", "ot", "gs", "cs", "ct", "ab", "ps", "hn", "other", "option", "ef", "et"})
_RANGE = re.compile(r"\$(\d[\d,]{0,14}) - \$(\d[\d,]{0,14})", re.ASCII)
_FOREIGN = re.compile(r"\b(null|undefined|NaN|nan|true|false)\b")
_PYTHON = {"true": "True", "false": "False"}
_Row = Mapping[str, object] | Bad


@dataclass(frozen=True)
class CongressTrade:
    """A row of a page about trades of Congress.

    `filed` is New York's time, midnight where only the day is told. `excess_return` is percent against the S&P 500
    since the trade. `amount` is what was disclosed, even if it is no statutory bracket. It, `transaction`
    and `traded` are None where the site does not know them. A page about one ticker tells no excess return, legal
    name and image.
    """

    ticker: str | None
    asset: str | None
    asset_type: str | None
    transaction: str | None
    amount: Amount | None
    politician: str
    chamber: str
    party: str | None
    filed: datetime
    traded: date | None
    description: str | None
    trade_id: str
    excess_return: float | None
    legal_name: str | None
    image_url: str | None
    bioguide_id: str | None


def parse_congress_trading(content: bytes) -> list[CongressTrade]:
    """The trades that `/congresstrading/` shows, newest filed first.

    Raises `LayoutError` when the page does not hold them, or for the first row that cannot be read.
    """
    return _sound(congress_trades(content))


def parse_stock_page(content: bytes) -> list[CongressTrade]:
    """The trades that `/congresstrading/stock/<ticker>` shows, newest filed first. Raises `LayoutError` as above."""
    return _sound(stock_trades(content))


def _sound(rows: Iterable[CongressTrade | Bad]) -> list[CongressTrade]:
    found: list[CongressTrade] = []
    for row in rows:
        if isinstance(row, Bad):
            raise LayoutError(f"row {len(found) + 1} must be a trade, but {row.reason}")
        found.append(row)
    return found


def congress_trades(content: bytes) -> Iterator[CongressTrade | Bad]:
    """As `parse_congress_trading`, but a row that cannot be read is a `Bad`, and the others are read on."""
    rows = variable(content, "recentTradesData")
    if rows is None:
        yield from _rendered(content, "the page sets recentTradesData, or fills the table of recent trades")
        return
    if not rows:
        raise LayoutError("recentTradesData has rows")
    if all(not isinstance(row, list) or len(row) < _FIELDS for row in rows):
        raise LayoutError(f"a row of recentTradesData has {_FIELDS} fields")
    for row in rows:
        try:
            yield _listed(row)
        except (ValueError, TypeError) as error:
            yield Bad(str(error), repr(row))


def stock_trades(content: bytes) -> Iterator[CongressTrade | Bad]:
    """As `parse_stock_page`, but a row that cannot be read is a `Bad`, and the others are read on."""
    yield from _rendered(content, "the page has a table of trades with the days filed and traded")


def _listed(row: object) -> CongressTrade:
    """A row of `recentTradesData`."""
    if not isinstance(row, list) or len(row) < _FIELDS:
        raise ValueError(f"a row of recentTradesData has {_FIELDS} fields")
    return _understood(
        ticker=row[0],
        asset=row[1],
        asset_type=row[2],
        transaction=row[3],
        amount=row[4],
        politician=row[5],
        chamber=row[6],
        party=row[7],
        filed=row[8],
        traded=row[9],
        description=row[10],
        trade_id=row[11],
        excess_return=row[12],
        legal_name=row[13],
        image_url=row[14],
        bioguide_id=row[15],
    )


def _understood(**told: Any) -> CongressTrade:
    """The trade that these texts tell. Raises `ValueError`."""
    filed = facts.moment(told["filed"])
    traded = None if _words(told["traded"]) is None else facts.moment(told["traded"]).day
    trade_id = required(told["trade_id"], "the trade's id")
    transaction = _words(told["transaction"])
    if transaction is not None:
        facts.action(transaction)
    return CongressTrade(
        ticker=facts.ticker(told["ticker"]),
        asset=_words(told["asset"]),
        asset_type=_words(told["asset_type"]),
        transaction=transaction,
        amount=_stated(told["amount"]),
        politician=required(told["politician"], "the politician"),
        chamber=facts.chamber(told["chamber"]),
        party=facts.party(text(told["party"])),
        filed=_clock(filed),
        traded=traded,
        description=_words(told["description"]),
        trade_id=trade_id,
        excess_return=facts.number(told.get("excess_return")),
        legal_name=_words(told.get("legal_name")),
        image_url=_words(told.get("image_url")),
        bioguide_id=facts.bioguide(told.get("bioguide_id")),
    )


def _stated(value: object) -> Amount | None:
    """An amount as it is written: a bracket, any other range, or None. Raises `ValueError`."""
    words = _words(value)
    other = _RANGE.fullmatch(words or "")
    if other and amount(words or "") is None:
        low, high = (float(end.replace(",", "")) for end in other.groups())
        return Amount(low, high)
    return None if words is None else facts.size(words)


def _clock(when: When) -> datetime:
    return (when.at or calendar.midnight(when.day)).replace(tzinfo=None)


def _words(value: object) -> str | None:
    found = text(value)
    return None if found is None or found.lower() in BLANK else found


# What a script sets


def variable(content: bytes, name: str) -> list[Any] | None:
    """The list that an inline script gives to a variable: a Python repr or a JavaScript literal; None if none does.

    Linear in the length of the page. Raises `LayoutError` for a list that does not end or is no literal.
    """
    page = content.decode("utf-8", "replace")
    found = re.search(rf"\b{name}\s{{0,20}}=\s{{0,20}}(?=\[)", page)
    if found is None:
        return None
    try:
        value = ast.literal_eval(_literal(page, found.end(), name))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise LayoutError(f"{name} is a list of plain values") from None
    return value if isinstance(value, list) else None


_OUTSIDE = re.compile(r"[\[\](){}'\"]")
_INSIDE = {"'": re.compile(r"\\.|'|\n", re.DOTALL), '"': re.compile(r'\\.|"|\n', re.DOTALL)}


def _literal(page: str, start: int, name: str) -> str:
    """The text of the list that begins at `start`, as Python spells it."""
    pieces: list[str] = []
    depth, at = 0, start
    while found := _OUTSIDE.search(page, at):
        mark, end = found[0], found.end()
        pieces.append(_FOREIGN.sub(lambda word: _PYTHON.get(word[0], "None"), page[at:end]))
        if mark in "[({":
            depth += 1
            if depth > _DEEPEST:
                raise LayoutError(f"{name} nests at most {_DEEPEST} lists")
        elif mark in "])}":
            depth -= 1
            if depth == 0:
                return "".join(pieces)
        else:
            closed = _end_of_string(page, end, mark)
            if closed is None:
                raise LayoutError(f"{name} ends each of its texts")
            pieces.append(page[end:closed])
            end = closed
        at = end
    raise LayoutError(f"{name} ends on the page")


def _end_of_string(page: str, at: int, mark: str) -> int | None:
    while found := _INSIDE[mark].search(page, at):
        if found[0] == mark:
            return found.end()
        if found[0] == "\n":
            return None
        at = found.end()
    return None


# What a table says


@dataclass(frozen=True)
class Cell:
    """The texts of a cell, one for each line or element, and the first link."""

    lines: tuple[str, ...]
    link: str = ""

    @property
    def first(self) -> str:
        return self.lines[0] if self.lines else ""

    @property
    def second(self) -> str | None:
        return self.lines[1] if len(self.lines) > 1 else None

    @property
    def whole(self) -> str:
        return " ".join(self.lines)


@dataclass(frozen=True)
class Grid:
    """A table: headings in lower case (none where it has none), and rows of cells. `name` is its id and classes."""

    name: str
    headings: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]

    def column(self, *aliases: str, unlike: tuple[str, ...] = ()) -> int | None:
        """The first column whose heading contains the first alias, else the second, and so on."""
        for alias in aliases:
            for at, heading in enumerate(self.headings):
                if alias in heading and not any(word in heading for word in unlike):
                    return at
        return None


def grids(content: bytes) -> list[Grid]:
    """The tables of a page. Raises `LayoutError` for what is no HTML."""
    from lxml import etree  # ty: ignore[import-not-found]
    from lxml.html import HTMLParser, document_fromstring

    try:
        document = document_fromstring(content, parser=HTMLParser(encoding="utf-8"))
    except (etree.LxmlError, ValueError, AssertionError):
        raise LayoutError("the page is HTML") from None
    return [_grid(table) for table in document.iter("table")]


def _grid(table: HtmlElement) -> Grid:
    headings: tuple[str, ...] = ()
    rows: list[list[Cell]] = []
    for line in table.iter("tr"):
        cells = [cell for cell in line if cell.tag in ("td", "th")]
        if cells and not headings and not rows and all(cell.tag == "th" for cell in cells):
            headings = tuple(_cell(cell).whole.lower() for cell in cells)
        elif cells:
            rows.append([_cell(cell) for cell in cells])
    return Grid(f"{table.get('id', '')} {table.get('class', '')}", headings, rows)


def _cell(cell: HtmlElement) -> Cell:
    lines = [line for part in cell.itertext() for line in (" ".join(one.split()) for one in part.split("\n")) if line]
    return Cell(tuple(lines), next((link.get("href", "") for link in cell.iter("a")), ""))


def _at(row: Sequence[Cell], column: int | None) -> Cell:
    return row[column] if column is not None and column < len(row) else Cell(())


def _rendered(content: bytes, rule: str) -> Iterator[CongressTrade | Bad]:
    """Trades in a table that the server has filled."""
    for grid in grids(content):
        columns = {
            "stock": grid.column("stock", "ticker", "symbol"),
            "transaction": grid.column("transaction", "type"),
            "politician": grid.column("politician", "owner"),
            "filed": grid.column("filed", "disclosed"),
            "traded": grid.column("traded"),
        }
        if grid.rows and None not in columns.values():
            break
    else:
        raise LayoutError(rule)
    about = grid.column("description")
    for row in grid.rows:
        cells = {name: _at(row, at) for name, at in columns.items()}
        try:
            yield _server_rendered(cells, _at(row, about), _at(row, grid.column("amount", "value")))
        except ValueError as error:
            yield Bad(str(error), [cell.whole for cell in row])


def _server_rendered(cells: Mapping[str, Cell], about: Cell, sum_of_money: Cell) -> CongressTrade:
    link = _TRADE_LINK.search(cells["stock"].link) or _TRADE_LINK.search(cells["transaction"].link)
    trade_id = link[1] if link else ""
    who = _TRADE_ID.fullmatch(trade_id)
    stock = [line for line in cells["stock"].lines if line != "-"]
    told = facts.ticker(cells["stock"].first)
    names = stock[1:] if told or cells["stock"].first == "-" and len(stock) > 2 else stock
    house, _, party = (cells["politician"].second or "").partition(" / ")
    return _understood(
        ticker=cells["stock"].first,
        asset=names[0] if names else None,
        asset_type=names[1] if len(names) > 1 else None,
        transaction=cells["transaction"].first,
        amount=cells["transaction"].second or sum_of_money.whole,
        politician=cells["politician"].first,
        chamber=house or (who[1] if who else None),
        party=party,
        filed=cells["filed"].whole,
        traded=cells["traded"].whole,
        description=about.whole,
        trade_id=trade_id,
        bioguide_id=who[2] if who else None,
    )


# Trades of politicians


def walk_congress(query: Query) -> Walk:
    """The page of recent trades; with the options `members` or `symbols`, the pages of each instead."""
    members, symbols = _named(query, "members"), _named(query, "symbols")
    for member in members:
        if not _MEMBER.fullmatch(member):
            raise LayoutError(
                f"the option 'members' lists names with identifiers (Nancy Pelosi-P000197), not {member!r}"
            )
    pages = [_request(f"/congresstrading/politician/{quote(name)}", "politician", member=name) for name in members]
    pages += [_request(f"/congresstrading/stock/{quote(symbol)}", "stock") for symbol in symbols]
    yield pages or [_request("/congresstrading/", "recent")]


def _named(query: Query, option: str) -> list[str]:
    names = query.options.get(option, ())
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise LayoutError(f"the option {option!r} is a list of texts")
    return sorted({name.strip() for name in names})


def _request(path: str, kind: str = "page", **notes: str) -> Request:
    return Request(_BASE + path, kind=kind, notes=notes, answers=frozenset({200, 403}))


def read_congress(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of politician_trades. A trade that several pages show is there once."""
    seen: set[tuple[object, object]] = set()

    def parse(page: Page) -> Iterator[_Row]:
        facts.require_answer(page, _NEEDS)
        occurrences = Occurrences()  # of this page: on another, the same lots are told again
        for trade in _trades(page):
            if isinstance(trade, Bad):
                yield trade
                continue
            row = facts.trade_row(trade, occurrences)
            if (row["filing_id"], row["line"]) not in seen:
                seen.add((row["filing_id"], row["line"]))
                yield row

    reading = collect(pages, parse)
    recent = [page for page in pages if page.kind == "recent"]
    return _reaching(reading, query, recent[0]) if recent else reading


def _trades(page: Page) -> Iterator[Trade | Bad]:
    if page.kind == "politician":
        yield from politician_trades(page.content, page.notes.get("member", ""))
        return
    rows = congress_trades(page.content) if page.kind == "recent" else stock_trades(page.content)
    for row in rows:
        try:
            yield row if isinstance(row, Bad) else _as_trade(row)
        except ValueError as error:
            yield Bad(str(error), asdict(row))


def _as_trade(told: CongressTrade) -> Trade:
    """Raises `ValueError` for a trade without a day, or with an amount that is no statutory bracket."""
    if told.traded is None:
        raise ValueError("the day of the trade is not known")
    if told.amount is None or not facts.statutory(told.amount):
        raise ValueError("the amount is no statutory bracket")
    midnight = (told.filed.hour, told.filed.minute, told.filed.second) == (0, 0, 0)
    at = None if midnight else told.filed.replace(tzinfo=calendar.NEW_YORK)
    way, extent = facts.action(told.transaction)
    return Trade(
        trade_id=told.trade_id,
        politician=facts.member(told.politician),
        bioguide_id=told.bioguide_id,
        chamber=told.chamber,
        party=told.party,
        state=None,
        symbol=told.ticker,
        asset=told.asset,
        asset_type=told.asset_type,
        direction=way,
        extent=extent,
        amount=told.amount,
        filed=When(told.filed.date(), at),
        traded=told.traded,
    )


def politician_trades(content: bytes, member: str) -> Iterator[Trade | Bad]:
    """The trades that `/congresstrading/politician/<member>` shows; `member` is `Name-Bioguide`."""
    rows = variable(content, "tradeData")
    if rows is None:
        raise LayoutError("the page of a politician sets tradeData")
    for row in rows:
        try:
            yield _by_shape(row, member)
        except (ValueError, TypeError) as error:
            yield Bad(str(error), repr(row))


def _by_shape(row: object, member: str) -> Trade:
    """A trade whose fields are known by what they look like; the ticker comes first, the later day is the filing's."""
    values = list(row.values()) if isinstance(row, dict) else row
    if not isinstance(values, list) or not values:
        raise ValueError("a row of tradeData is a list of fields")
    if len(values) == _FIELDS and isinstance(values[11], str) and _TRADE_ID.fullmatch(values[11]):
        return _as_trade(_listed(values))
    fields = [value.strip() for value in values if isinstance(value, str)]
    trade_id = next((one for one in fields if _TRADE_ID.fullmatch(one)), None)
    money = next((one for one in fields if "$" in one and amount(one)), None)
    way = next((one for one in fields if len(one) > 1 and direction(one)), None)
    moments = sorted(_moments(fields), key=lambda when: when.day)
    if len(moments) < 2:
        raise ValueError("a row of tradeData tells when it was filed and when traded")
    house = (
        trade_id.partition("-")[0] if trade_id else next((one for one in fields if one in ("House", "Senate")), None)
    )
    kind = next((one for one in fields[1:] if one.lower() in _TYPE_WORDS), None)
    known = {trade_id, money, way, house, kind}
    rest = [one for one in fields[1:] if one not in known and len(one) > 3 and not _is_moment(one)]
    name, _, identifier = member.rpartition("-")
    side, extent = facts.action(way)
    return Trade(
        trade_id=trade_id,
        politician=facts.member(required(name, "the politician")),
        bioguide_id=facts.bioguide(identifier),
        chamber=facts.chamber(house),
        party=next((facts.party(one) for one in fields if one in ("D", "R", "I", "Democrat", "Republican")), None),
        state=None,
        symbol=facts.ticker(fields[0]) if values[0] == fields[0] else None,
        asset=text(next((one for one in rest if not one.startswith("http") and one not in (name, identifier)), None)),
        asset_type=kind,
        direction=side,
        extent=extent,
        amount=facts.size(money),
        filed=moments[-1],
        traded=moments[0].day,
    )


def _moments(fields: Iterable[str]) -> Iterator[When]:
    for field in fields:
        try:
            yield facts.moment(field)
        except ValueError:
            continue


def _is_moment(field: str) -> bool:
    return next(_moments([field]), None) is not None


# The other pages


def walk_page(path: str) -> Callable[[Query], Walk]:
    """Asks for one page."""

    def walk(query: Query) -> Walk:
        yield [_request(path)]

    return walk


def read_page(parse: Callable[[Page, Query], Iterator[_Row]], reaches_back: bool) -> Callable[..., Reading]:
    """Reads one page; where it shows its newest rows only, a window that begins before them is refused."""

    def read(pages: Sequence[Page], query: Query) -> Reading:
        def checked(page: Page) -> Iterator[_Row]:
            facts.require_answer(page, _NEEDS)
            yield from parse(page, query)

        reading = collect(pages, checked)
        return _reaching(reading, query, pages[0]) if reaches_back and pages else reading

    return read


def _reaching(reading: Reading, query: Query, page: Page) -> Reading:
    """The reading, if the page reaches back past the window; its oldest day may be cut."""
    days = [day for day in reading.rows.get("known_on", ()) if isinstance(day, date)]
    last = sorted(days[-5:])
    oldest = last[min(1, len(last) - 1)] if last else None  # one day that is wrong proves nothing
    if oldest is not None and oldest < query.first:
        return reading
    shown = f"only reaches back to {oldest}" if oldest else "has no row that can be read"
    error = LayoutError(f"the page {shown}, and its oldest day may be cut: the window from {query.first} is refused")
    error.page = page
    raise error


def _table(content: bytes, what: str, *needed: tuple[str, ...], prefer: str = "") -> Grid:
    """The first table with rows and these columns (a preferred one before others). Raises `LayoutError`."""
    found = [
        grid for grid in grids(content) if grid.rows and all(grid.column(*aliases) is not None for aliases in needed)
    ]
    if not found:
        names = ", ".join(" or ".join(aliases) for aliases in needed)
        raise LayoutError(f"the page has a table of {what} with rows and the columns {names}")
    chosen = next((grid for grid in found if prefer and prefer in grid.name), found[0])
    facts.require_single(chosen.rows)
    return chosen


_TICKER = ("ticker", "symbol", "stock")
_NAME = ("client", "company", "recipient", "contractor", "name")
_AMOUNT = ("amount", "value")
_DATE = ("date", "time", "announced", "filed")


def parse_lobbying(page: Page, query: Query) -> Iterator[_Row]:
    """Rows of lobbying."""
    occurrences = Occurrences()
    for row, column in _lobbying(page.content):
        try:
            stock = _at(row, column["ticker"])
            symbol = facts.ticker(stock.first)
            client = _at(row, column["name"]).whole or stock.second or stock.first
            posted = facts.moment(_at(row, column["date"]).whole)
            paid = facts.number(_at(row, column["amount"]).whole)
            said = {name: _words(_at(row, column[name]).whole) for name in ("registrant", "issue")}
            yield facts.lobbying_row(occurrences, posted, symbol, required(client, "the client"), paid, **said)
        except ValueError as error:
            yield Bad(str(error), [cell.whole for cell in row])


def _lobbying(content: bytes) -> Iterator[tuple[Sequence[Cell], dict[str, int | None]]]:
    """The rows of the table of recent reports, each with its columns. Without headings they are known by shape."""
    shown = [grid for grid in grids(content) if grid.rows]
    for grid in shown:
        column = {
            "ticker": grid.column(*_TICKER),
            "name": grid.column("client", "company"),
            "amount": grid.column(*_AMOUNT),
            "date": grid.column(*_DATE),
            "registrant": grid.column("registrant"),
            "issue": grid.column("issue"),
        }
        if not grid.headings or (column["ticker"] is None and len(grid.headings) == 3):
            column |= _lobbying_by_shape(grid.rows[0])
        if None not in (column["ticker"], column["amount"], column["date"]):
            facts.require_single(grid.rows)
            yield from ((row, column) for row in grid.rows)
            return
    raise LayoutError("the page has a table of lobbying with rows that tell ticker, amount and date")


def _lobbying_by_shape(row: Sequence[Cell]) -> dict[str, int | None]:
    dates = [at for at, cell in enumerate(row) if _is_moment(cell.whole)]
    sums = [at for at, cell in enumerate(row) if cell.whole.startswith("$")]
    stocks = [at for at, cell in enumerate(row) if at not in (*dates, *sums)]
    return {
        name: found[0] if found else None for name, found in (("ticker", stocks), ("amount", sums), ("date", dates))
    }


def parse_contracts(page: Page, query: Query) -> Iterator[_Row]:
    """Rows of gov_contracts."""
    occurrences = Occurrences()
    grid = _table(page.content, "contracts", _TICKER, _AMOUNT, _DATE)
    stock, name, sums, when = (grid.column(*one) for one in (_TICKER, _NAME, _AMOUNT, _DATE))
    agency, about = grid.column("agency"), grid.column("description")
    for row in grid.rows:
        try:
            symbol = facts.ticker(_at(row, stock).first)
            announced = facts.moment(_at(row, when).whole)
            obligation = facts.number(_at(row, sums).whole)
            if symbol is None or obligation is None:
                raise ValueError("a contract has a ticker and an amount")
            said = {
                "recipient": _words(_at(row, name).whole) if name != stock else None,
                "agency": _words(_at(row, agency).first),
                "description": _words(_at(row, about).whole if about != agency else _at(row, about).second),
            }
            said["recipient"] = said["recipient"] or _words(_at(row, stock).second)
            yield facts.contract_row(occurrences, announced, announced.day, symbol, obligation, **said)
        except ValueError as error:
            yield Bad(str(error), [cell.whole for cell in row])


def parse_scores(page: Page, query: Query) -> Iterator[_Row]:
    """Rows of dc_insider_scores, as of now."""
    grid = _table(page.content, "scores", _TICKER, ("score",))
    for row in grid.rows:
        yield _now(row, grid, query, score=grid.column("score"))


def parse_trends(page: Page, query: Query) -> Iterator[_Row]:
    """Rows of google_trends, as of now. The page tells no search term: the ticker stands for it."""
    names = ("score", "interest", "trend")
    grid = _table(page.content, "search interest", _TICKER, names, prefer="myTable")
    for row in grid.rows:
        told = _now(row, grid, query, interest=grid.column(*names))
        yield told if isinstance(told, Bad) else {**told, "keyword": told["symbol"]}


def parse_apps(page: Page, query: Query) -> Iterator[_Row]:
    """Rows of app_reviews, as of now. Where the page names no app, the ticker stands for it."""
    grid = _table(page.content, "app ratings", _TICKER, ("rating", "stars"), ("count", "reviews", "ratings", "number"))
    many = grid.column("count", "reviews", "ratings", "number")
    stars = next(
        (at for at, name in enumerate(grid.headings) if at != many and ("rating" in name or "star" in name)), None
    )
    if stars is None:
        raise LayoutError("the table of app ratings has a column for the rating and one for how many there are")
    app = grid.column("app", unlike=("rating", "review", "count"))
    for row in grid.rows:
        told = _now(row, grid, query, rating=stars, ratings=many)
        if isinstance(told, Bad):
            yield told
            continue
        hype = grid.column("hype", "change")
        name = _words(_at(row, app).whole) or _words(_at(row, grid.column(*_TICKER)).second) or told["symbol"]
        try:
            yield {**told, "app": name, "hype": facts.number(_at(row, hype).whole)}
        except ValueError as error:
            yield Bad(str(error), [cell.whole for cell in row])


def _now(row: Sequence[Cell], grid: Grid, query: Query, **columns: int | None) -> dict[str, object] | Bad:
    """A row about a ticker as of now, with these numbers."""
    today = calendar.today(query.now)
    told: dict[str, object] = {"known_on": today, "event_date": today}
    try:
        told["symbol"] = required(facts.ticker(_at(row, grid.column(*_TICKER)).first), "the ticker")
        for name, at in columns.items():
            value = facts.number(_at(row, at).whole)
            if value is None:
                raise ValueError(f"{name} is missing")
            told[name] = value
    except ValueError as error:
        return Bad(str(error), [cell.whole for cell in row])
    return told


CODES: Mapping[str, tuple[str, str]] = {
    "purchase": ("P", "buy"),
    "buy": ("P", "buy"),
    "p": ("P", "buy"),
    "sale": ("S", "sell"),
    "sell": ("S", "sell"),
    "s": ("S", "sell"),
    "award": ("A", "buy"),
    "grant": ("A", "buy"),
    "a": ("A", "buy"),
    "exercise": ("M", "buy"),
    "m": ("M", "buy"),
    "disposition": ("D", "sell"),
    "d": ("D", "sell"),
    "tax": ("F", "sell"),
    "f": ("F", "sell"),
}
"""The site's word for a transaction -> the code of Form 4, and whether shares are acquired."""


def parse_insiders(page: Page, query: Query) -> Iterator[_Row]:
    """Rows of insider_buying."""
    occurrences = Occurrences()
    rows = variable(page.content, "recentInsiderTransactionsData")
    entries = _insider_table(page.content) if rows is None else rows
    if not entries:
        raise LayoutError("recentInsiderTransactionsData has rows")
    facts.require_single(entries)
    for entry in entries:
        try:
            yield _insider(entry, occurrences)
        except (KeyError, TypeError, ValueError) as error:
            yield Bad(f"a transaction of an insider must be understood ({error})", repr(entry))


def _insider(entry: Mapping[str, Any], occurrences: Occurrences) -> dict[str, object]:
    filed = facts.stored_in_utc(facts.moment(entry["fileDate"]))
    traded = facts.moment(entry["transactionDate"]).day
    word = required(entry["transactionCode"], "the transaction")
    if word.lower() not in CODES:
        raise ValueError(f"transaction {word!r} is not known")
    code, way = CODES[word.lower()]
    symbol = required(facts.ticker(entry["issuerTradingSymbol"]), "the ticker")
    insider = required(entry["rptOwnerName"], "the insider")
    shares, price = facts.number(entry["transactionShares"]), facts.number(entry.get("transactionPricePerShare"))
    if shares is None:
        raise ValueError("shares are missing")
    title = _words(entry.get("officerTitle"))
    accession, line = occurrences(filed.day, traded, symbol, insider, code, shares, price)
    return {
        **filed.published,
        "event_date": traded,
        "accession": f"quiver-{filed.day}-{accession}",
        "line": line,
        "symbol": symbol,
        "insider": insider,
        "role": _role(title),
        "title": title,
        "code": code,
        "direction": way,
        "shares": shares,
        "price": price,
        "amendment": False,
    }


def _role(title: str | None) -> str | None:
    """By the title, which is all the page tells."""
    if title is None:
        return None
    word = title.lower()
    return "director" if word == "director" else "owner" if "10%" in word or "ten percent" in word else "officer"


def _insider_table(content: bytes) -> list[dict[str, str]]:
    """The older layout."""
    aliases = {
        "issuerTradingSymbol": _TICKER,
        "transactionCode": ("transaction", "type"),
        "rptOwnerName": ("insider", "exec", "owner", "name"),
        "transactionShares": ("shares",),
        "fileDate": ("filed", "file date", "date"),
    }
    grid = _table(content, "insiders (recentInsiderTransactionsData is not set)", *aliases.values())
    optional = {
        "transactionPricePerShare": ("price",),
        "officerTitle": ("title", "role"),
        "transactionDate": ("traded", "transaction date", "date"),
    }
    columns = {name: grid.column(*words) for name, words in (aliases | optional).items()}
    return [{name: _at(row, at).whole for name, at in columns.items() if at is not None} for row in grid.rows]


_NOTE = "The page of Quiver's website, for personal use under its terms. It blocks visitors that are no browsers."
_NEWEST = f"{_NOTE} It shows the newest rows only: a window that begins before them is refused."


def _source(
    dataset: str, title: str, path: str, parse: Callable[[Page, Query], Iterator[_Row]], since: date | None
) -> Source:
    return Source(
        name="quiver_page",
        dataset=dataset,
        title=f"Quiver website, {title}",
        hosts=(HOST,),
        read=read_page(parse, since is not None),
        walk=walk_page(path),
        since=since,
        off=True,
        note=_NEWEST if since else f"{_NOTE} It shows the present only.",
    )


SOURCES = (
    Source(
        name="quiver_page",
        dataset="politician_trades",
        title="Quiver website, trades of Congress",
        hosts=(HOST,),
        read=read_congress,
        walk=walk_congress,
        since=date(2012, 1, 1),
        off=True,
        note=f"{_NEWEST} The options 'members' (Nancy Pelosi-P000197) and 'symbols' serve the trades of these members "
        "and tickers only, all of them.",
    ),
    _source("lobbying", "lobbying", "/lobbying/", parse_lobbying, date(2020, 1, 1)),
    _source("gov_contracts", "government contracts", "/sources/govcontracts", parse_contracts, date(2020, 1, 1)),
    _source("insider_buying", "insiders", "/insiders/", parse_insiders, date(2020, 1, 1)),
    _source("dc_insider_scores", "DC insider scores", "/scores/dcinsider", parse_scores, None),
    replace(_source("google_trends", "Google trends", "/googletrends/", parse_trends, None), every=7),
    _source("app_reviews", "app ratings", "/sources/appratings", parse_apps, None),
)
