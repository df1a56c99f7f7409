"""Quiver Quantitative's API (https://api.quiverquant.com/docs), for which one pays; the key goes as a Bearer token.

- `/beta/live/congresstrading`: the newest trades, up to 500 of each chamber (fields of version 1); when they do not
  reach back past the window, `/beta/bulk/congresstrading?version=V2`, all of them, in pages.
- `/beta/live/lobbying`, in pages, newest first.
- `/beta/live/govcontractsall?date=YYYYMMDD`, in pages up to an empty one.
- `/beta/live/insiders?date=YYYYMMDD`, what was filed on a day.
- `/beta/live/appratings`: the last week; its fields are not documented, so they are known by their names.

An answer is a list of objects, that of `/bulk` perhaps as `{"data": [...]}`. There is no count and no link to the next
page: a short page is the last. Filters by date are ignored by `/bulk`. Numbers come as numbers, texts, `null` or `NaN`.
A plan that does not cover a dataset is a 403, formerly a 200 with a text instead of a list.

Times without a zone are New York's. Identifiers: see `quiver_facts`. A lobbying row is taken to report the last quarter
that had ended, and never to replace another; app ratings count as known today.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from pas_dagster import calendar
from pas_dagster.sources import quiver_facts as facts
from pas_dagster.sources.page import Page, Request, address
from pas_dagster.sources.quiver_facts import Occurrences, Trade, When
from pas_dagster.sources.rules import json_of
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, Walk, collect
from pas_dagster.sources.texts import required, text

HOST = "api.quiverquant.com"
KEY = "quiver_api"

_BASE = f"https://{HOST}/beta"
_BULK_PAGE = 10_000
_LOBBYING_PAGE = 5_000
_LIVE_MOST = 500  # of each chamber
_LATE = 0.1
_NEEDS = (
    "check the credentials 'quiver_api', and that its subscription plan covers this dataset "
    "(https://api.quiverquant.com/pricing)"
)
_Entry = Mapping[str, Any]
_Row = dict[str, object] | Bad
_CODES = {"A": "buy", "D": "sell"}


def _ask(path: str, kind: str, notes: Mapping[str, str] | None = None, /, **params: object) -> Request:
    return Request(
        address(_BASE, path, **params),
        kind=kind,
        notes=notes or {},
        headers={"Accept": "application/json"},
        answers=frozenset({200, 401, 403}),
        auth=KEY,
    )


def entries(page: Page) -> list[_Entry]:
    """The objects of an answer, names in lower case without underscores. Raises `LayoutError`."""
    facts.require_answer(page, _NEEDS)
    value = json_of(page)
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        value = value["data"]
    if isinstance(value, str):
        raise LayoutError(f"Quiver says {value[:100]!r}: {_NEEDS}")
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise LayoutError("the answer must be a JSON list of objects, or hold one as 'data'")
    facts.require_single(value)
    return [{str(name).lower().replace("_", ""): told for name, told in entry.items()} for entry in value]


def _fields(found: Sequence[_Entry], *needed: str) -> Sequence[_Entry]:
    """The rows, if the first has each needed field in one of its spellings (`a|b`). Raises `LayoutError`."""
    for spellings in needed if found else ():
        if not any(name in found[0] for name in spellings.split("|")):
            raise LayoutError(f"a row has the field {spellings.replace('|', ' or ')}")
    return found


def _get(entry: _Entry, *names: str) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _reader(parse: Callable[[Page, Occurrences, Query], Iterator[_Row]]) -> Callable[..., Reading]:
    def read(pages: Sequence[Page], query: Query) -> Reading:
        occurrences = Occurrences()
        return collect(pages, lambda page: parse(page, occurrences, query))

    return read


def _understood(found: Iterable[_Entry], understand: Callable[[_Entry], _Row]) -> Iterator[_Row]:
    for entry in found:
        try:
            yield understand(entry)
        except (TypeError, ValueError, OverflowError) as error:
            yield Bad(str(error), entry)


def _filed(entry: _Entry) -> When:
    return facts.moment(_get(entry, "filed", "reportdate"))


def _whens(found: Iterable[_Entry], when: Callable[[_Entry], When]) -> list[When]:
    """The moments that can be read; the others are refused later."""
    told: list[When] = []
    for entry in found:
        try:
            told.append(when(entry))
        except ValueError:
            continue
    return told


# Trades of politicians


def walk_congress(query: Query) -> Walk:
    """The newest trades; when they do not reach back past the window, all of them."""
    (live,) = yield [_ask("/live/congresstrading", "live")]
    if _reaches_back(_fields(entries(live), *_TRADE_FIELDS), query.first):
        return
    yield from _paged("/bulk/congresstrading", "bulk", _BULK_PAGE, query.first, _filed, version="V2")


_TRADE_FIELDS = ("representative|name", "reportdate|filed", "transactiondate|traded", "ticker", "transaction")
_TRADE_FIELDS += ("range|tradesizeusd|amount", "house|chamber")


def _reaches_back(found: Sequence[_Entry], first: date) -> bool:
    """Whether the newest trades of both chambers hold whole days from `first` on."""
    for name in ("house", "senate"):
        own = [entry for entry in found if _chamber(entry) == name]
        if not facts.newest(_whens(own, _filed), first):
            return False
    return True


def _chamber(entry: _Entry) -> str:
    word = _get(entry, "chamber", "house")
    return "senate" if isinstance(word, str) and word.strip().lower() == "senate" else "house"


def _paged(path: str, kind: str, size: int, first: date, when: Callable[[_Entry], When], **params: object) -> Walk:
    """Page after page up to a short one, or up to one that, newest first, reaches back past the window."""
    number = 1
    while True:
        (page,) = yield [_ask(path, kind, page=number, page_size=size, **params)]
        found = entries(page)
        if len(found) < size or facts.newest(_whens(found, when), first):
            return
        number += 1


def read_congress(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of politician_trades: of all trades where they were asked for, else of the newest."""
    bulk = [page for page in pages if page.kind == "bulk"]
    return _reader(parse_congress)(bulk or pages, query)


def parse_congress(page: Page, occurrences: Occurrences, query: Query) -> Iterator[_Row]:
    """Rows of politician_trades, in the fields of version 1 or 2."""
    found = entries(page)
    if not found and page.kind == "live":
        raise LayoutError("the newest trades of Congress are never none")
    yield from _understood(_fields(found, *_TRADE_FIELDS), lambda entry: facts.trade_row(_trade(entry), occurrences))


def _trade(entry: _Entry) -> Trade:
    side, extent = facts.action(entry.get("transaction"))
    symbol = facts.ticker(entry.get("ticker"))
    return Trade(
        trade_id=None,
        politician=facts.member(required(_get(entry, "name", "representative"), "the politician")),
        bioguide_id=facts.bioguide(entry.get("bioguideid")),
        chamber=facts.chamber(_get(entry, "chamber", "house")),
        party=facts.party(text(entry.get("party"))),
        state=text(entry.get("state")),
        symbol=symbol,
        asset=_words(_get(entry, "company")) or _words(_get(entry, "description")),
        asset_type=_words(entry.get("tickertype")),
        direction=side,
        extent=extent,
        amount=facts.size(_get(entry, "tradesizeusd", "range", "amount")),
        filed=_filed(entry),
        traded=facts.moment(_get(entry, "traded", "transactiondate")).day,
    )


def _words(value: object) -> str | None:
    found = text(value)
    return None if found is None or found.lower() in facts.BLANK else found


# The other datasets


def walk_lobbying(query: Query) -> Walk:
    yield from _paged("/live/lobbying", "page", _LOBBYING_PAGE, query.first, _dated)


def _dated(entry: _Entry) -> When:
    return facts.moment(entry.get("date"))


def parse_lobbying(page: Page, occurrences: Occurrences, query: Query) -> Iterator[_Row]:
    """Rows of lobbying."""

    def understand(entry: _Entry) -> _Row:
        return facts.lobbying_row(
            occurrences,
            _dated(entry),
            facts.ticker(entry.get("ticker")),
            required(entry.get("client"), "the client"),
            facts.number(entry.get("amount")),
            registrant=_words(entry.get("registrant")),
            issue=_words(_get(entry, "specificissue", "issue")),
        )

    yield from _understood(_fields(entries(page), "ticker", "date", "client", "amount"), understand)


def walk_contracts(query: Query) -> Walk:
    """The pages of each day, all days side by side, each up to an empty page."""
    open_days, number = calendar.days(query.first, min(query.last, calendar.today(query.now))), 1
    while open_days:
        pages = yield [_ask("/live/govcontractsall", "page", date=f"{day:%Y%m%d}", page=number) for day in open_days]
        open_days = [day for day, page in zip(open_days, pages, strict=True) if entries(page)]
        number += 1


def parse_contracts(page: Page, occurrences: Occurrences, query: Query) -> Iterator[_Row]:
    """Rows of gov_contracts."""

    def understand(entry: _Entry) -> _Row:
        symbol, obligation = facts.ticker(entry.get("ticker")), facts.number(entry.get("amount"))
        if symbol is None or obligation is None:
            raise ValueError("a contract has a ticker and an amount")
        announced = _dated(entry)
        acted = _words(entry.get("actiondate"))
        return facts.contract_row(
            occurrences,
            announced,
            facts.moment(acted).day if acted else announced.day,
            symbol,
            obligation,
            agency=_words(entry.get("agency")),
            description=_words(entry.get("description")),
        )

    yield from _understood(_fields(entries(page), "ticker", "date", "amount"), understand)


def walk_insiders(query: Query) -> Walk:
    """What was filed on each day."""
    days = calendar.days(query.first, min(query.last, calendar.today(query.now)))
    yield [_ask("/live/insiders", "page", {"day": str(day)}, date=f"{day:%Y%m%d}") for day in days]


def parse_insiders(page: Page, occurrences: Occurrences, query: Query) -> Iterator[_Row]:
    """Rows of insider_buying."""
    found = _fields(entries(page), "ticker", "date", "name", "transactioncode", "shares", "filedate")
    asked = date.fromisoformat(page.notes["day"])
    days = [when.day for when in _whens(found, _insider_filed)]
    if sum(abs((day - asked).days) > 1 for day in days) > _LATE * len(days):
        raise LayoutError("an answer about a day holds what was filed on that day")
    yield from _understood(found, lambda entry: _insider(entry, occurrences))


def _insider_filed(entry: _Entry) -> When:
    return facts.moment(entry.get("filedate"))


def _insider(entry: _Entry, occurrences: Occurrences) -> _Row:
    filed, traded = _insider_filed(entry), _dated(entry).day
    symbol = required(facts.ticker(entry.get("ticker")), "the ticker")
    insider, code = required(entry.get("name"), "the insider"), required(entry.get("transactioncode"), "the code")
    way = _CODES.get(text(entry.get("acquireddisposedcode")) or {"P": "A", "S": "D"}.get(code, ""))
    if way is None:
        raise ValueError("AcquiredDisposedCode is A or D")
    shares, price = facts.number(entry.get("shares")), facts.number(entry.get("pricepershare"))
    if shares is None:
        raise ValueError("shares are missing")
    owned = facts.number(entry.get("sharesownedfollowing"))
    held = _words(entry.get("directorindirectownership"))
    digest, line = occurrences(filed.day, traded, symbol, insider, code, way, shares, price, owned, held)
    return {
        **filed.published,
        "event_date": traded,
        "accession": f"quiver-{filed.day}-{digest}",
        "line": line,
        "symbol": symbol,
        "insider": insider,
        "role": _role(entry),
        "title": _words(entry.get("officertitle")),
        "code": code,
        "direction": way,
        "shares": shares,
        "price": price,
        "amendment": False,
    }


def _role(entry: _Entry) -> str | None:
    roles = {"isofficer": "officer", "isdirector": "director", "istenpercentowner": "owner", "isother": "other"}
    return next((role for name, role in roles.items() if str(entry.get(name)).lower() in ("true", "1", "1.0")), None)


def walk_apps(query: Query) -> Walk:
    yield [_ask("/live/appratings", "page")]


def parse_apps(page: Page, occurrences: Occurrences, query: Query) -> Iterator[_Row]:
    """Rows of app_reviews as of now: the newest of each app in the last week."""
    found = _fields(entries(page), "ticker|symbol", "app|appname|name", "rating|stars", "count|ratings|reviews")
    if not found:
        raise LayoutError("the ratings of the last week are never none")
    today = calendar.today(query.now)
    newest: dict[tuple[object, object], tuple[date, dict[str, object]]] = {}

    for entry in found:
        try:
            told: dict[str, object] = {
                "symbol": required(facts.ticker(_get(entry, "ticker", "symbol")), "the ticker"),
                "app": required(_get(entry, "app", "appname", "name"), "the app"),
                "rating": facts.number(_get(entry, "rating", "stars")),
                "ratings": facts.number(_get(entry, "count", "ratings", "reviews")),
                "hype": facts.number(_get(entry, "hype", "change")),
            }
            day = today if entry.get("date") is None else _dated(entry).day
        except (TypeError, ValueError) as error:
            yield Bad(str(error), entry)
            continue
        key = (told["symbol"], told["app"])
        if key not in newest or day > newest[key][0]:
            newest[key] = (day, told)
    for _, told in newest.values():
        yield {"known_on": today, "event_date": today, **told}


_NOTE = "Paid; needs a key of a plan that covers the dataset."


def _source(
    dataset: str,
    title: str,
    walk: Callable[[Query], Walk],
    read: Callable[[Sequence[Page], Query], Reading],
    since: date | None,
    note: str = "",
) -> Source:
    return Source(
        name="quiver_api",
        dataset=dataset,
        title=f"Quiver API, {title}",
        hosts=(HOST,),
        read=read,
        walk=walk,
        since=since,
        needs=(KEY,),
        off=True,
        note=f"{_NOTE} {note}".strip(),
    )


SOURCES = (
    _source(
        "politician_trades",
        "trades of Congress",
        walk_congress,
        read_congress,
        date(2012, 1, 1),
        "A window beyond the newest 500 trades of a chamber takes the bulk file, which may be asked for five times an "
        "hour.",
    ),
    _source("lobbying", "lobbying", walk_lobbying, _reader(parse_lobbying), date(1999, 1, 1)),
    _source(
        "gov_contracts",
        "government contracts",
        walk_contracts,
        _reader(parse_contracts),
        date(2018, 1, 1),
        "At least two questions for each day. A recipient is named by its ticker only.",
    ),
    _source(
        "insider_buying",
        "insiders",
        walk_insiders,
        _reader(parse_insiders),
        date(2014, 1, 1),
        "One question for each day. Needs the plan Trader.",
    ),
    _source("app_reviews", "app ratings", walk_apps, _reader(parse_apps), None, "Needs the plan Trader."),
)
