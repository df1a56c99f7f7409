"""Who supplies the datasets: the providers that the settings choose, with everything they need from the house."""

from __future__ import annotations

import atexit
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

import pandas as pd

from pas_dagster import calendar
from pas_dagster.assets.resources import Workshop, now
from pas_dagster.sandbox import World, world
from pas_dagster.sandbox.apps import ids
from pas_dagster.schemas import TABLES, Table, normalise_symbols
from pas_dagster.settings import Settings
from pas_dagster.sources import catalogue
from pas_dagster.sources.captures import Captures
from pas_dagster.sources.client import Client, SystemClock
from pas_dagster.sources.client.client import Progress
from pas_dagster.sources.client.guard import Guard
from pas_dagster.sources.client.transport import Traffic
from pas_dagster.sources.computed import ComputedScores
from pas_dagster.sources.files.provider import ImportProvider
from pas_dagster.sources.provider import Provider, Served
from pas_dagster.sources.raw import RawStore
from pas_dagster.sources.source import Source, joined
from pas_dagster.sources.web import WebProvider

OFFLINE_TAG = "pas/offline"  # on a run that reads old bytes again and asks nobody
ACCEPT_TAG = "pas/accept_losses"  # on a run that may leave days without the rows they have
SANDBOX_CREDENTIALS: Mapping[str, Mapping[str, str]] = {
    "alpaca": {"APCA-API-KEY-ID": "sandbox", "APCA-API-SECRET-KEY": "sandbox"},
    "quiver_api": {"Authorization": "Bearer sandbox"},
    "lda": {"Authorization": "Token sandbox"},
    "reddit": {},
}
"""They open the sandbox, and nothing else."""

_EVENING = time(23, 0)
_LISTED = ["symbol", "name", "kind", "sector"]


def providers(
    workshop: Workshop,
    table: Table,
    days: Sequence[date],
    progress: Progress = lambda *_: None,
    *,
    offline: bool = False,
) -> list[Provider]:
    """The dataset's providers for the days, best first; offline, who served them before comes first."""
    office = Office(workshop, progress, offline)
    names = office.names(table.name)
    if offline:
        served = set(workshop.lake.read(table, first=days[0], last=days[-1], columns=["provider"])["provider"])
        names = sorted(names, key=lambda name: name not in served)
    return [office.provider(table.name, name) for name in names]


@dataclass
class Office:
    """Builds providers from the settings; one for each run."""

    workshop: Workshop
    progress: Progress
    offline: bool

    @property
    def settings(self) -> Settings:
        return self.workshop.settings

    def names(self, dataset: str) -> list[str]:
        """Providers to try, best first."""
        return catalogue.chosen(dataset, self.settings.providers, tame=self.settings.world == "sandbox")

    def provider(self, dataset: str, name: str) -> Provider:
        if name == catalogue.IMPORT:
            return ImportProvider(self.settings.home / "imports")
        if name == catalogue.COMPUTED:
            return ComputedScores(self.look, self.settings.start, self.workshop.today - timedelta(1))
        source = catalogue.by_dataset()[dataset][name]
        web = self.web(source)
        travels = self.settings.world == "sandbox" and source.since is None and not self.offline
        return Travelling(web, sandbox_url(self.settings), self.settings.start) if travels else web

    def web(self, source: Source) -> WebProvider:
        """The source with everything it needs."""
        return WebProvider(
            source,
            self.client(),
            Captures(self.settings.captures_dir, RawStore(self.settings.raw_dir)),
            now,
            self.listed,
            self.look,
            self.options(source),
            self.offline,
            source.dataset in catalogue.ABOUT_COMPANIES,
            tuple(need for need in source.needs if need not in self.credentials()),
        )

    def client(self) -> Client:
        """The client. In a sandbox world it is sent to the sandbox's sites, as they stand now."""
        chosen = self.settings
        sandbox = chosen.world == "sandbox"
        contact = chosen.contact or ("sandbox@example.org" if sandbox else None)
        made = Client(
            RawStore(chosen.raw_dir),
            _traffic(tuple(sorted(chosen.base_urls.items())), contact, sandbox),
            credentials=self.credentials(),
            cache_folder=None if sandbox else chosen.cache_dir,
            cache_for=timedelta(minutes=chosen.cache_minutes),
            progress=self.progress,
        )
        moment = now()
        return made.travelled(f"{sandbox_url(chosen)}/@{moment:%Y-%m-%dT%H:%MZ}", moment) if sandbox else made

    def credentials(self) -> Mapping[str, Mapping[str, str]]:
        """Headers by the name that requests ask for them by; those of a sandbox open only the sandbox."""
        chosen = self.settings
        if chosen.world == "sandbox":
            return SANDBOX_CREDENTIALS
        found: dict[str, Mapping[str, str]] = {}
        if chosen.alpaca_key_id and chosen.alpaca_secret_key:
            found["alpaca"] = {
                "APCA-API-KEY-ID": chosen.alpaca_key_id.get_secret_value(),
                "APCA-API-SECRET-KEY": chosen.alpaca_secret_key.get_secret_value(),
            }
        if chosen.quiver_api_key:
            found["quiver_api"] = {"Authorization": f"Bearer {chosen.quiver_api_key.get_secret_value()}"}
        if chosen.lda_api_key:
            found["lda"] = {"Authorization": f"Token {chosen.lda_api_key.get_secret_value()}"}
        if chosen.reddit_client_id and chosen.reddit_client_secret:
            found["reddit"] = {}
        return found

    def options(self, source: Source) -> Mapping[str, Any]:
        """What the settings say for the source, and what only the house knows."""
        options = {"start": self.settings.start, **self.settings.sources.get(source.name, {})}
        if "reddit" in source.needs:
            own = (self.settings.reddit_client_id, self.settings.reddit_client_secret)
            identity, secret = (value.get_secret_value() if value else "sandbox" for value in own)
            options |= {"client_id": identity, "client_secret": secret}
        if source.name == "itunes" and self.settings.world == "sandbox":
            options |= {"apps": ids(self._world)}
        return options

    @property
    def _world(self) -> World:
        return world(self.settings.seed, self.settings.start, self.workshop.today)

    def look(self, table: Table, first: date, last: date) -> pd.DataFrame:
        return self.workshop.lake.read(table, first=first, last=last)

    def listed(self) -> pd.DataFrame:
        """Every security that has joined a list by now, as it was last described.

        By now and not by the days asked for: a day must come out the same, alone and as part of a range.
        """
        rows = self.workshop.lake.read(TABLES["universe"], where="action = ?", values=["add"])
        latest = rows.drop_duplicates("symbol", keep="last")
        return latest[_LISTED].sort_values("symbol", ignore_index=True)


@dataclass(frozen=True)
class Travelling:
    """A source that shows only the present, in a sandbox whose past evenings can be visited one by one.

    A visit sees what the visits before it have found, as it would have in its time.
    """

    web: WebProvider
    base_url: str
    start: date

    @property
    def name(self) -> str:
        return self.web.name

    def coverage(self, table: Table) -> tuple[date, date] | None:
        covered = self.web.coverage(table)
        return covered and (self.start, covered[1])

    def serve(self, table: Table, first: date, last: date) -> Served:
        today = calendar.today(self.web.now())
        if first == last == today:
            return self.web.serve(table, first, last)
        whole = self.web.query(table, first, last, self.web.now())
        back, pages, readings = self.web.source.lookback, [], []
        found: list[tuple[date, pd.DataFrame]] = [(first, whole.stored)] if len(whole.stored) else []
        for day in self._visits(first, last):
            found = [(seen_on, rows) for seen_on, rows in found if seen_on >= day - timedelta(back)]
            stored = pd.concat([rows for _, rows in found], ignore_index=True) if found else table.empty()
            visit = self._on(day) if day < today else self.web
            query = replace(whole, first=day, last=day, now=visit.now(), stored=stored)
            with visit.visited(query) as seen:
                reading = visit.read(query, seen)
                readings.append(reading)
                pages += seen
                if back and len(reading.rows):
                    found.append((day, _typed(table, reading.rows.assign(provider=self.name))))
        return self.web.let_in(table, whole, pages, joined(readings))

    def _visits(self, first: date, last: date) -> list[date]:
        """The days worth a visit, the same for every window; none before two of the source's periods have passed."""
        every = self.web.source.every
        begin = max(first.toordinal(), self.start.toordinal() + 2 * (every - 1))
        return [date.fromordinal(day) for day in range(begin, last.toordinal() + 1) if day % every == 0]

    def _on(self, day: date) -> WebProvider:
        """The provider as it would have been used on the evening of a day."""
        moment = datetime.combine(day, _EVENING, calendar.NEW_YORK)
        client = self.web.client.travelled(f"{self.base_url}/@{day}", moment)
        return replace(self.web, client=client, now=lambda: moment)


def _typed(table: Table, rows: pd.DataFrame) -> pd.DataFrame:
    """What later visits look back on; a visit with a row that has no type is no help to them, and the border tells."""
    try:
        return table.conform(rows.assign(symbol=normalise_symbols(rows["symbol"])))
    except (KeyError, ValueError):
        return table.empty()


def sandbox_url(chosen: Settings) -> str:
    """Where the sandbox's sites are: at the address of the settings, else inside this process."""
    return chosen.sandbox_url or _own_sandbox(chosen.seed, chosen.start, calendar.today(now()))


@lru_cache(maxsize=4)
def _traffic(base_urls: tuple[tuple[str, str], ...], contact: str | None, hurried: bool) -> Traffic:
    """One for a process: what one source learns of a host's patience, the next one knows."""
    return Traffic(Guard(dict(base_urls)), SystemClock(), contact=contact, hurried=hurried)


@lru_cache(maxsize=1)
def _own_sandbox(seed: int, start: date, today: date) -> str:
    """Start serving, until the process ends."""
    from pas_dagster.sandbox.server import Sandbox, serving

    running = ExitStack()
    atexit.register(running.close)
    return running.enter_context(serving(Sandbox(world(seed, start, today))))
