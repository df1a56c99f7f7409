"""`pas import`: bring a file of history into a dataset's partitions."""

from __future__ import annotations

import time
from collections.abc import Mapping
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
from pas_dagster.settings import Settings
from pas_dagster.sources.files.importer import Parsed, parse
from pas_dagster.sources.files.layouts.universe import recycled_symbols
from pas_dagster.sources.files.options import Options
from pas_dagster.sources.files.staging import Manifest, stage
from pas_dagster.sources.raw import RawStore

QUARANTINE = TABLES["quarantine"]


def run(
    chosen: Settings,
    dataset: str,
    file: Path,
    column_map: Mapping[str, str],
    options: Mapping[str, str],
    exclude: Path | None,
    max_bad: float,
) -> None:
    """Parse and validate first; only a file that passes is staged, and then materialised."""
    if chosen.world != "real":
        raise PasError(f"{chosen.home} holds the sandbox world. Give real data a folder of its own: PAS_HOME=.pas-real")
    now = present.now(chosen)
    today = calendar.today(now)
    given: dict[str, object] = {"max_bad": str(max_bad), **options}
    if exclude is not None:
        named = set(options.get("exclude", "").split(","))
        given["exclude"] = ",".join(sorted(named | recycled_symbols(exclude)))
    parsed = parse(dataset, file, column_map=column_map, options=Options.read(given), today=today, start=chosen.start)
    console = Console()
    _say(console, parsed)
    with working(chosen) as instance:
        from pas_dagster.assets.resources import Workshop
        from pas_dagster.definitions import defs

        _require_every_session(parsed, Workshop().lake)
        manifest = stage(parsed, chosen.home / "imports", RawStore(chosen.raw_dir))
        del parsed  # from here on the staged file speaks; two copies of millions of rows would be one too many
        _keep_quarantine(Workshop().lake, manifest)
        names = [name for name in manifest.parts if name != QUARANTINE.name]
        with progress(len(backfill.layers(defs, names))) as (_, on_layer):
            for name in names:
                part = manifest.parts[name]
                done = backfill.backfill(
                    defs, instance, part.first, part.through, now, time.monotonic, only=[name], on_layer=on_layer
                )
                if done:
                    count = sum(one.count for one in done)
                    days = f"{min(one.first for one in done)} to {max(one.last for one in done)}"
                    console.print(f"{name}: {count:,} partitions, {days}", highlight=False)


def _require_every_session(parsed: Parsed, lake: Lake) -> None:
    """Where every session must have rows, a gap in the file is refused before anything is kept of it."""
    from pas_dagster.assets.datasets import DATASETS

    dense = {dataset.table.name for dataset in DATASETS if not dataset.quiet_days}
    if parsed.table.name not in dense:
        return
    found = {day.date() for day in parsed.rows["known_on"].unique()} | set(lake.partitions(parsed.table))
    missing = [day for day in calendar.sessions(min(found), parsed.through) if day not in found]
    if missing:
        raise PasError(
            f"{parsed.file} leaves the session {missing[0]} without a row ({len(missing)} between {min(found)} and "
            f"{parsed.through} are missing), and every session needs one. Complete the file."
        )


def _say(console: Console, parsed: Parsed) -> None:
    console.print(f"{parsed.file} as {parsed.layout}: {len(parsed.rows):,} rows", highlight=False)
    for reason, count in parsed.refused.items():
        console.print(f"  {count:,} quarantined: {reason}", style="yellow", highlight=False)
    for reason, count in parsed.left_out.items():
        console.print(f"  {count:,} left out: {reason}", style="dim", highlight=False)


def _keep_quarantine(lake: Lake, manifest: Manifest) -> None:
    """The refused rows of this file, in place of those that an earlier import of it refused."""
    part = manifest.parts.get(QUARANTINE.name)
    if part is None:
        return
    rows = QUARANTINE.conform(pd.read_parquet(part.path))
    lake.replace(QUARANTINE, sorted({day.date() for day in rows["known_on"]}), rows, scope=("file", manifest.file))
