"""`pas fetch` and `pas record`: ask the sources for days of a dataset."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import pandas as pd
from rich.console import Console

from pas_dagster import calendar, present
from pas_dagster.automation import backfill
from pas_dagster.automation.session import working
from pas_dagster.console.history import progress
from pas_dagster.errors import PasError
from pas_dagster.lake import Lake
from pas_dagster.schemas import TABLES
from pas_dagster.schemas.results import QUARANTINE
from pas_dagster.settings import Settings

_NO_TOKEN = b'{"access_token": "recorded", "token_type": "bearer", "expires_in": 86400, "scope": "*"}'


def run(chosen: Settings, name: str, first: date | None, last: date | None, *, again: bool, accept: bool) -> None:
    """Materialise a dataset's partitions, from its sources or (`again`) from the bytes they sent before."""
    console = Console()
    with working(chosen) as instance:
        from pas_dagster.assets.datasets import DATASETS
        from pas_dagster.assets.resources import Workshop
        from pas_dagster.assets.suppliers import ACCEPT_TAG, OFFLINE_TAG
        from pas_dagster.definitions import defs

        if name not in {dataset.table.name for dataset in DATASETS}:
            known = ", ".join(dataset.table.name for dataset in DATASETS)
            raise PasError(f"There is no dataset {name!r}. There are: {known}.")
        layer = backfill.layers(defs, [name])[0]
        assert layer.partitions is not None
        existing = layer.partitions.get_partition_keys(current_time=present.now(chosen))
        newest = max(key for key in existing if key <= Workshop().today.isoformat())
        begin, end = (first or last or date.fromisoformat(newest)), (last or first or date.fromisoformat(newest))
        keys = [key for key in existing if begin.isoformat() <= key <= end.isoformat()]
        if not keys:
            raise PasError(
                f"{name} has no partition from {begin} to {end}: its newest is {newest}, its first {existing[0]}."
            )
        tags = {tag: "yes" for tag, given in ((OFFLINE_TAG, again), (ACCEPT_TAG, accept)) if given}
        with progress(1) as (_, on_layer):
            on_layer(layer, len(keys))
            done = backfill.run_layer(defs, instance, layer, keys, time.monotonic, tags)
        _tell(console, Workshop().lake, name, done)


def _tell(console: Console, lake: Lake, name: str, done: backfill.Done) -> None:
    first, last = date.fromisoformat(done.first), date.fromisoformat(done.last)
    rows = lake.read(TABLES[name], first=first, last=last, columns=["provider"])
    by_provider = rows["provider"].value_counts()
    served = ", ".join(f"{count:,} from {provider}" for provider, count in by_provider.items()) or "none"
    span = done.first if first == last else f"{done.first} to {done.last}"
    told = f"{name} {span}: {len(rows):,} rows ({served}) in {done.seconds:.0f} s"
    console.print(told, highlight=False, soft_wrap=True)
    refused = lake.read(QUARANTINE, first=last, last=last, where="dataset = ?", values=[name])
    for reason, count in refused["reason"].value_counts().head(5).items():
        console.print(f"  {count:,} refused: {reason}", style="yellow", highlight=False, soft_wrap=True)


def record(chosen: Settings, name: str, provider: str | None, day: date | None, folder: Path) -> None:
    """Ask a source and keep every exchange as a tape; nothing is stored in the lake."""
    from pas_dagster.sandbox.tape import Recorder

    console, recorder = Console(), Recorder(folder)
    with working(chosen):
        from pas_dagster.assets.resources import Workshop
        from pas_dagster.assets.suppliers import Office
        from pas_dagster.sources import catalogue
        from pas_dagster.sources.captures import Captures
        from pas_dagster.sources.client.transport import Exchange

        offered = catalogue.by_dataset().get(name, {})
        picked = provider or next((n for n in catalogue.ORDER.get(name, ()) if n in offered), "")
        if picked not in offered:
            raise PasError(f"{name} has no source {picked!r} to record. There are: {', '.join(offered) or 'none'}.")

        def keep(exchange: Exchange) -> None:
            body = exchange.request.body
            sent = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else None
            method = exchange.request.method or "GET"
            content = exchange.content if not exchange.opens_doors else _NO_TOKEN
            recorder.write(method, exchange.url, sent, exchange.status, exchange.headers, content)

        with _counting(console) as count:
            office = Office(Workshop(), count, offline=False)
            web = office.web(offered[picked])
            live = replace(web, client=replace(web.client, on_exchange=keep, cache_folder=None))
            wanted = day or (calendar.today(present.now(chosen)) if web.source.since is None else _yesterday(chosen))
            with tempfile.TemporaryDirectory() as aside:  # what is recorded is no fetch that could be read again
                live = replace(live, captures=Captures(Path(aside), web.client.raw))
                served = live.serve(TABLES[name], wanted, wanted)
    console.print(f"{name} {wanted} from {picked}: {len(served.rows):,} rows; the tape is in {folder}", highlight=False)
    console.print(f"Play it: pas sandbox serve --tape {folder}", highlight=False)


def _yesterday(chosen: Settings) -> date:
    return date.fromordinal(calendar.today(present.now(chosen)).toordinal() - 1)


@contextmanager
def _counting(console: Console) -> Generator:
    """A line that follows the pages."""
    with console.status("asking") as status:

        def count(source: str, done: int, total: int) -> None:
            status.update(f"{source}: {done:,} of {total:,} pages")

        yield count


def sources(chosen: Settings) -> pd.DataFrame:
    """Every provider of every dataset: what it is, how far back it goes, and whether it can be used now."""
    from pas_dagster.assets.resources import Workshop
    from pas_dagster.assets.suppliers import Office
    from pas_dagster.sources import catalogue

    office = Office(Workshop(), lambda *_: None, offline=False)
    have = office.credentials()
    rows = []
    for dataset, names in catalogue.ORDER.items():
        tried = office.names(dataset)
        for name in names:
            source = catalogue.by_dataset()[dataset].get(name)
            missing = [need for need in source.needs if need not in have] if source else []
            state = f"needs {', '.join(missing)}" if missing else "in use" if name in tried else "by setting"
            since = str(source.since) if source and source.since else "only now" if source else "computed"
            rows.append((dataset, name, source.title if source else "computed", since, state))
    return pd.DataFrame(rows, columns=["dataset", "provider", "source", "history", "state"])
