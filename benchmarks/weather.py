"""Every source through every kind of bad weather: what `benchmarks.sources` counts and a slow test asserts.

One cell is one source, one fault, and where it strikes: every request of a visit, or only the last. A fault is
survived when (a) no row lands that the undisturbed source would not have given, (b) either all rows land, or the visit
fails with a sentence that names the source, the address and the rule (and, for bad content, the saved copy), or rows
are missing and a check or the refused ones say why, (c) what was stored before is untouched, (d) the next visit in
good weather gives every row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd

from pas_dagster import calendar
from pas_dagster.assets import sanity
from pas_dagster.assets.suppliers import SANDBOX_CREDENTIALS
from pas_dagster.sandbox.apps import ids
from pas_dagster.sandbox.faults import Fault, Weather
from pas_dagster.sandbox.server import Sandbox, serving
from pas_dagster.sandbox.world import TABLES as WORLD_TABLES
from pas_dagster.sandbox.world import World
from pas_dagster.schemas import TABLES, Table
from pas_dagster.sources import catalogue
from pas_dagster.sources.captures import Captures
from pas_dagster.sources.client import Client, Guard, Traffic
from pas_dagster.sources.provider import NotServed, Served
from pas_dagster.sources.raw import RawStore
from pas_dagster.sources.source import Source, SourceError
from pas_dagster.sources.web import WebProvider

SEED, START, NOW = 7, date(2025, 7, 1), datetime(2026, 6, 30, 21, tzinfo=UTC)
WINDOW_DAYS = 5
IMPATIENCE = 0.4  # seconds: what is stalled is not waited for as long as a real site is
PLACES = ("every", "last")
OPTIONS = {"client_id": "sandbox", "client_secret": "sandbox", "start": START}
LEFT_OUT = frozenset({"provider", "raw", "known_at"})
_CONTENT = frozenset(
    {Fault.EMPTY_TABLE, Fault.RENAMED, Fault.WRONG_TYPES, Fault.SKEWED_DATES, Fault.ERROR_TEXT, Fault.XML_BOMB}
)


class ImpatientClock:
    """The present of the world; sleeping takes no time, so that retries and pauses cost none."""

    def __init__(self) -> None:
        self._slept = 0.0

    def monotonic(self) -> float:
        import time

        return time.monotonic() + self._slept

    def now(self) -> datetime:
        return NOW

    def sleep(self, seconds: float) -> None:
        self._slept += seconds


@dataclass(frozen=True)
class Outcome:
    """How a cell went. `problem` is None when the fault was survived; `struck` is whether it changed any answer.

    `quiet`: an empty answer where so few rows are usual that nothing tells it from a quiet day.
    """

    source: Source
    fault: Fault
    place: str
    struck: bool
    said: str
    problem: str | None
    quiet: bool


@dataclass(frozen=True)
class Stage:
    """A sandbox that serves, and a folder for the client's bytes."""

    sandbox: Sandbox
    url: str
    folder: Path

    def provider(self, source: Source, longest: float | None = None) -> WebProvider:
        """The source with a client that waits at most so long for an answer."""
        raw = RawStore(self.folder / "raw")
        traffic = Traffic(
            Guard({"*": self.url}), ImpatientClock(), contact="weather test@example.org", hurried=True, longest=longest
        )
        client = Client(raw, traffic, credentials=SANDBOX_CREDENTIALS)
        listed = self.listed
        return WebProvider(
            source,
            client,
            Captures(self.folder / "captures", raw),
            lambda: NOW,
            lambda: listed,
            lambda table, first, last: self.stored(table, first, last),
            OPTIONS | {"apps": ids(self.sandbox.world)},
        )

    @property
    def listed(self) -> pd.DataFrame:
        """Some companies and funds: enough to be asked for by symbol."""
        universe = self.sandbox.world.table("universe")
        added = universe[universe["action"] == "add"].drop_duplicates("symbol", keep="last")
        wanted = pd.concat([added[added["kind"] == "stock"].head(36), added[added["kind"] == "etf"].head(2)])
        return wanted[["symbol", "name", "kind", "sector"]].reset_index(drop=True)

    def stored(self, table: Table, first: date, last: date) -> pd.DataFrame:
        rows = self.sandbox.world.table(table.name).assign(provider="sandbox")
        known = rows["known_on"].between(pd.Timestamp(first), pd.Timestamp(last))
        return table.conform(rows[known])


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """A sandbox of a year, standing at its last evening."""
    world = World(SEED, START, calendar.today(NOW))
    sandbox = Sandbox(world, now=lambda: NOW)
    for name in WORLD_TABLES:
        world.table(name)  # made before anybody waits for it
    with serving(sandbox) as url:
        yield Stage(sandbox, url, folder)


def sources() -> list[Source]:
    """Every source that can be asked."""
    return [source for by_name in catalogue.by_dataset().values() for source in by_name.values()]


def window(source: Source) -> tuple[date, date]:
    """Days to ask for: the last few, or today where a source shows only the present."""
    today = calendar.today(NOW)
    if source.since is None:
        return today, today
    if source.name == "edgar_bulk":  # a quarter that is over
        return date(2026, 2, 2), date(2026, 2, 6)
    days = 70 if source.dataset == "fama_french_factors" else WINDOW_DAYS
    return today - timedelta(days), today - timedelta(1)


def cells(stage: Stage, source: Source, places: Sequence[str] = PLACES) -> Iterator[Outcome]:
    """The source in good weather, then in every kind of bad weather."""
    table, (first, last) = TABLES[source.dataset], window(source)
    stage.provider(source).serve(table, first, last)  # the sandbox makes its tables when first asked
    before = stage.sandbox.served
    good = stage.provider(source).serve(table, first, last)
    visits = stage.sandbox.served - before
    for fault in Fault:
        for place in places:
            stage.sandbox.weather[:] = [Weather(fault, skip=visits - 1 if place == "last" else 0)]
            stage.sandbox.spoiled = 0
            yield _cell(stage, source, fault, place, table, good)


def _cell(stage: Stage, source: Source, fault: Fault, place: str, table: Table, good: Served) -> Outcome:
    first, last = window(source)
    provider = stage.provider(source, IMPATIENCE)
    said, problem, quiet = "", None, False
    try:
        served = provider.serve(table, first, last)
        said = f"{len(served.rows)} rows, {len(served.refused)} refused"
        problem = _wrong(served, good) if _warned(stage, table, served, first, last) is None else None
        quiet = bool(problem) and fault is Fault.EMPTY_TABLE and len(good.rows) - len(served.rows) < sanity.DUE
    except (SourceError, NotServed) as error:
        said = str(error)
        problem = _unclear(said, source, fault)
    struck = stage.sandbox.spoiled > 0
    stage.sandbox.weather.clear()
    if problem is None:
        healed = stage.provider(source).serve(table, first, last)
        problem = _wrong(healed, good) and f"after the weather: {_wrong(healed, good)}"
    return Outcome(source, fault, place, struck, said, problem, quiet)


def _warned(stage: Stage, table: Table, served: Served, first: date, last: date) -> str | None:
    """What the asset's check of the number of rows would say; it is what tells silence from a quiet day."""
    earlier = stage.stored(table, first - timedelta(60), first - timedelta(1))[table.partition]
    days = [first + timedelta(n) for n in range((last - first).days + 1)]
    return sanity.row_count(served.rows[table.partition], days, earlier)


def _wrong(served: Served, good: Served) -> str | None:
    """Rows that should not have landed, or that are missing without a word."""
    columns = [name for name in good.rows.columns if name not in LEFT_OUT]
    expected, found = (set(_keys(side.rows[columns])) for side in (good, served))
    strange = found - expected
    if strange:
        return f"{len(strange)} rows landed that the source never gave, such as {next(iter(strange))}"
    missing = len(expected) - len(found)
    if missing and len(served.refused) - len(good.refused) < 1:
        return f"{missing} of {len(expected)} rows are missing without a word"
    return None


def _keys(rows: pd.DataFrame) -> Iterator[tuple]:
    rounded = rows.round(dict.fromkeys(rows.select_dtypes("float").columns, 9))
    return map(tuple, rounded.astype(object).where(rounded.notna(), None).itertuples(index=False))


def _unclear(said: str, source: Source, fault: Fault) -> str | None:
    """What a sentence lacks."""
    if source.title not in said:
        return f"the source is not named: {said}"
    if not re.search(r"https?://|raw:", said):
        return f"no address is named: {said}"
    if fault in _CONTENT and "Saved cop" not in said and "is not kept" not in said:
        return f"no saved copy is named: {said}"
    return None
