"""Federal contracts from USAspending: https://api.usaspending.gov/docs/endpoints.

Every action on a contract is asked for with `POST /api/v2/search/spending_by_transaction/` (described under
https://github.com/fedspendingtransparency/usaspending-api/tree/master/usaspending_api/api_contracts/contracts/v2/search),
a calendar month at a time, largest and smallest amounts first, until the amounts fall below the option `min_amount`. A
search shows at most 50,000 rows. Beside each search the site is asked how many rows it has, so that an empty answer
can be told from an answer that lost its rows.

When an action became public is not stated: transactions have no day of publication, and the day of last modification,
by which one can search, moves whenever an old record is touched. So `known_on` is the day of the action and the time
within which it is published: 10 days (agencies report within 3 business days, FAR 4.604, and the site loads them by
night), for the Department of Defense 95 (its contracts are withheld for 90 days). What is reported later than that is
not seen by daily fetches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any

from pas_dagster.sources.companies import Names
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.rules import json_of
from pas_dagster.sources.source import Bad, LayoutError, Query, Reading, Source, Walk, collect
from pas_dagster.sources.texts import figure, required, text

HOST = "api.usaspending.gov"
PAGE_SIZE = 100
DEFENSE = "Department of Defense"
LAG = timedelta(days=10)
LAG_OF_DEFENSE = timedelta(days=95)
MIN_AMOUNT = 1_000_000.0

_EARLIEST = date(2007, 10, 1)  # what the search knows
_MOST_PAGES = 50_000 // PAGE_SIZE
_CONTRACTS = ["A", "B", "C", "D"]
_COUNT = "count"


@dataclass(frozen=True)
class Level:
    """One of the two searches: `fields` are asked for, `amount` and `days` (the first that is stated) are read."""

    path: str
    count_path: str
    fields: Sequence[str]
    amount: str
    days: Sequence[str]
    date_type: str
    orders: Sequence[str]


_COMMON = ("Award ID", "Recipient Name", "Awarding Agency", "Awarding Sub Agency", "generated_internal_id")
LEVELS: Mapping[str, Level] = {
    "transactions": Level(
        "/api/v2/search/spending_by_transaction/",
        "/api/v2/search/spending_by_transaction_count/",
        (*_COMMON, "Mod", "Action Date", "Transaction Amount", "Award Type", "Transaction Description"),
        "Transaction Amount",
        ("Action Date",),
        "action_date",
        ("desc", "asc"),
    ),
    "awards": Level(
        "/api/v2/search/spending_by_award/",
        "/api/v2/search/spending_by_award_count/",
        (*_COMMON, "Award Amount", "Start Date", "Base Obligation Date", "Description"),
        "Award Amount",
        ("Base Obligation Date", "Start Date"),
        "new_awards_only",
        ("desc",),
    ),
}
_REQUIRED = {
    "transactions": ("Recipient Name", "Awarding Agency", "Mod", "Action Date", "Transaction Amount"),
    "awards": ("Recipient Name", "Awarding Agency", "Award Amount", "Start Date"),
}


@dataclass(frozen=True)
class Search:
    """One search to be paged through: the days of the actions, whose, and in which order of amounts."""

    first: date
    last: date
    defense_only: bool
    order: str

    @property
    def name(self) -> str:
        """What its pages have in their notes."""
        return f"{self.first}/{self.last}/{'defense' if self.defense_only else 'all'}"


def walk(query: Query) -> Walk:
    """All searches side by side, page after page; each ends where the amounts get too small."""
    level = str(query.options.get("level", "transactions"))
    if level not in LEVELS:
        raise LayoutError(f"the option `level` must be one of {', '.join(LEVELS)}")
    least = _least(query)
    going_on = searches(query, LEVELS[level].orders)
    counts = [_count_request(search, level) for search in going_on if search.order == "desc"]
    for number in range(1, _MOST_PAGES + 1):
        if not going_on:
            return
        asked = [_request(search, level, number) for search in going_on]
        pages = (yield [*asked, *counts])[: len(asked)]
        counts = []
        going_on = [
            search
            for search, page in zip(going_on, pages, strict=True)
            if _goes_on(page, LEVELS[level].amount, search.order, least)
        ]
    if going_on:
        raise LayoutError("a month must have at most 50,000 rows of `min_amount` and more; raise `min_amount`")


def searches(query: Query, orders: Sequence[str]) -> list[Search]:
    """The searches that find all that became known in the window, each within one calendar month."""
    begin, end = query.first - LAG, query.last - LAG
    defense_end = min(query.last - LAG_OF_DEFENSE, begin - timedelta(1))  # from `begin` on, all agencies are asked for
    spans = [(query.first - LAG_OF_DEFENSE, defense_end, True), (begin, end, False)]
    return [
        Search(first, last, defense_only, order)
        for since, until, defense_only in spans
        for first, last in _months(max(since, _EARLIEST), until)
        for order in orders
    ]


def _months(first: date, last: date) -> Iterator[tuple[date, date]]:
    while first <= last:
        following = (first.replace(day=1) + timedelta(32)).replace(day=1)
        yield first, min(last, following - timedelta(1))
        first = following


def _request(search: Search, level: str, number: int) -> Request:
    chosen = LEVELS[level]
    body = {
        "filters": _filters(search, chosen),
        "fields": list(chosen.fields),
        "sort": chosen.amount,
        "order": search.order,
        "limit": PAGE_SIZE,
        "page": number,
    }
    return _post(chosen.path, level, search, body)


def _count_request(search: Search, level: str) -> Request:
    chosen = LEVELS[level]
    return _post(chosen.count_path, _COUNT, search, {"filters": _filters(search, chosen)})


def _post(path: str, kind: str, search: Search, body: Mapping[str, Any]) -> Request:
    notes = {"search": search.name}
    return Request(f"https://{HOST}{path}", kind=kind, notes=notes, method="POST", json=body, reads_only=True)


def _filters(search: Search, level: Level) -> dict[str, Any]:
    period = {"start_date": str(search.first), "end_date": str(search.last), "date_type": level.date_type}
    filters: dict[str, Any] = {"award_type_codes": _CONTRACTS, "time_period": [period]}
    if search.defense_only:
        filters["agencies"] = [{"type": "awarding", "tier": "toptier", "name": DEFENSE}]
    return filters


def _goes_on(page: Page, amount: str, order: str, least: float) -> bool:
    """Whether the next page can have amounts that are large enough."""
    results, more = _document(page)
    if not more or not results:
        return False
    try:
        last = figure(results[-1].get(amount), amount)
    except ValueError:
        return True
    return last >= least if order == "desc" else last <= -least


def _least(query: Query) -> float:
    """The option `min_amount`: smaller obligations, given or taken back, are left out."""
    try:
        return abs(float(query.options.get("min_amount", MIN_AMOUNT)))
    except (TypeError, ValueError):
        raise LayoutError("the option `min_amount` must be a number of USD") from None


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of `gov_contracts` known in the window, of at least `min_amount`."""
    names = Names(query.listed, query.options.get("aliases"))
    told = [page for page in pages if page.kind != _COUNT]
    reading = collect(told, partial(parse_contracts, names=names, query=query))
    _require_rows(told, [page for page in pages if page.kind == _COUNT])
    return reading


def _require_rows(pages: Sequence[Page], counts: Sequence[Page]) -> None:
    """A search must show rows where the site counts some."""
    shown = {page.notes.get("search") for page in pages if _document(page)[0]}
    for page in counts:
        try:
            counted = _count(page)
            if counted and page.notes.get("search") not in shown:
                raise LayoutError(f"a search must show rows where {counted:,} are counted")
        except LayoutError as error:
            error.page = page
            raise


def _count(page: Page) -> int:
    document = json_of(page)
    results = document.get("results") if isinstance(document, dict) else None
    counted = results.get("contracts") if isinstance(results, dict) else None
    if not isinstance(counted, int) or isinstance(counted, bool) or counted < 0:
        raise LayoutError("the answer must count in `results.contracts`")
    return counted


def parse_contracts(page: Page, names: Names, query: Query) -> Iterator[dict[str, object] | Bad]:
    """The actions or awards of a page."""
    kind = page.kind if page.kind in LEVELS else "transactions"
    least = _least(query)
    results, more = _document(page)
    if more and not results:
        raise LayoutError("a page that is not the last must have rows")
    for result in results:
        if any(name not in result for name in (*_REQUIRED[kind], "generated_internal_id")):
            raise LayoutError(f"every row must state {', '.join(_REQUIRED[kind])} and generated_internal_id")
        try:
            row = _row(result, kind, names)
        except (ValueError, OverflowError) as error:
            yield Bad(str(error), result)
            continue
        if kind == "transactions" and not _asked_for(page, row["event_date"]):
            yield Bad(f"Action Date {row['event_date']} is none of the days that were asked for", result)
            continue
        # What becomes known on other days belongs to other windows: searches reach further than the window.
        if query.first <= row["known_on"] <= query.last and abs(row["amount"]) >= least:
            yield row


def _asked_for(page: Page, day: date) -> bool:
    """Whether the day is one of the search's, as its page has them in its notes."""
    first, _, rest = page.notes.get("search", "").partition("/")
    last = rest.partition("/")[0]
    return first <= day.isoformat() <= last if last else True


def _document(page: Page) -> tuple[list[dict[str, Any]], bool]:
    """The rows of a page, and whether there are more."""
    document = json_of(page)
    results = document.get("results") if isinstance(document, dict) else None
    meta = document.get("page_metadata") if isinstance(document, dict) else None
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise LayoutError("the answer must be an object with the list `results`")
    if not isinstance(meta, dict) or not isinstance(meta.get("hasNext"), bool):
        raise LayoutError("the answer must say in `page_metadata.hasNext` whether there is more")
    return results, meta["hasNext"]


def _row(result: Mapping[str, Any], kind: str, names: Names) -> dict[str, Any]:
    """A row of the table. Raises `ValueError` saying what cannot be read."""
    level = LEVELS[kind]
    agency = required(result["Awarding Agency"], "Awarding Agency")  # without it, it is not known when it was published
    recipient = required(result["Recipient Name"], "Recipient Name")
    award = required(result["generated_internal_id"], "generated_internal_id")
    mod = required(result["Mod"], "Mod") if kind == "transactions" else "0"
    day = _day(result, level.days)
    return {
        "known_on": day + (LAG_OF_DEFENSE if agency.casefold() == DEFENSE.casefold() else LAG),
        "event_date": day,
        "award_id": f"{award}:{mod}" if kind == "transactions" else award,
        "symbol": names.symbol(recipient),
        "recipient": recipient,
        "agency": agency,
        "kind": "modification" if mod.strip("0") else "new",
        "amount": figure(result[level.amount], level.amount),
        "description": text(result.get("Transaction Description") or result.get("Description")),
    }


def _day(result: Mapping[str, Any], columns: Sequence[str]) -> date:
    stated = next((result[name] for name in columns if result.get(name) is not None), None)
    return date.fromisoformat(required(stated, columns[-1])[:10])


SOURCES: tuple[Source, ...] = (
    Source(
        name="usaspending",
        dataset="gov_contracts",
        title="USAspending",
        hosts=(HOST,),
        walk=walk,
        read=read,
        since=_EARLIEST + LAG_OF_DEFENSE,
        note=(
            "Actions on federal contracts: new awards and modifications, negative when money is taken back. Known 10 "
            "days after the action, contracts of the Department of Defense after 95 days. Option `min_amount`: smaller "
            "amounts in USD are left out (1,000,000); option `level: awards`: only new awards, with what they have "
            "come to by the day of asking, which is no history; option `aliases`: a recipient's name -> its symbol."
        ),
    ),
)
