"""`pas backfill`, and the progress bar that every long run shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pas_dagster import calendar, present
from pas_dagster.automation import backfill
from pas_dagster.automation.progress import LINE, listening
from pas_dagster.automation.session import working
from pas_dagster.console.report import report
from pas_dagster.errors import PasError
from pas_dagster.lake import Lake
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings

if TYPE_CHECKING:
    from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph


def run(chosen: Settings, first: date | None, last: date | None, only: Sequence[str]) -> None:
    if not (chosen.home / "home.json").exists():
        raise PasError(
            f"There is no data in {chosen.home} yet. Try `pas demo`, or bring in real data: docs/real-data.md"
        )
    with working(chosen) as instance:
        from pas_dagster.assets.resources import Workshop
        from pas_dagster.definitions import defs

        now, console, lake = present.now(chosen), Console(), Workshop().lake
        until = newest(chosen)
        if last is not None and last > until and not only:
            console.print(f"What is known ends before {last}: going as far as {until}.", highlight=False)
        stages = _stages(chosen, defs.resolve_asset_graph(), lake, first or chosen.start, last, until, only)
        with progress(sum(len(backfill.layers(defs, stage.names)) for stage in stages)) as (_, on_layer):
            done = []
            for stage in stages:
                done += backfill.backfill(
                    defs,
                    instance,
                    stage.first,
                    stage.last,
                    now,
                    time.monotonic,
                    only=stage.names,
                    on_layer=on_layer,
                )
        console.print(summary(done), style="dim")
        if not only:
            report(lake, console, min(last or until, until))


@dataclass(frozen=True)
class _Stage:
    """Assets and the range of their partitions."""

    names: Sequence[str]
    first: date
    last: date


def _stages(
    chosen: Settings,
    graph: BaseAssetGraph,
    lake: Lake,
    first: date,
    last: date | None,
    until: date,
    only: Sequence[str],
) -> list[_Stage]:
    """What to materialise. Facts of the real world come with `pas import`, each as far as its files go.

    So the rest is computed on what was brought in: sessions as far as there are prices, and decisions one session
    further, for they look at the day before. A dataset that ends earlier holds nobody up; whoever reads it says so.
    """
    end = min(last or until, until)
    if only or chosen.world == "sandbox":
        return [_Stage(only, first, last or until)] if only else [_Stage((), first, end)]
    from pas_dagster.assets.datasets import DATASETS
    from pas_dagster.partitions import SESSIONS

    facts = {dataset.table.name for dataset in DATASETS}
    computed = {key.to_user_string(): key for key in graph.materializable_asset_keys}
    computed = {name: key for name, key in sorted(computed.items()) if name not in facts}
    settled = min(end, _require_prices(chosen, lake, end))
    stages = [_Stage(list(computed), first, settled)]
    if settled < end:
        decisions = [name for name, key in computed.items() if graph.get(key).partitions_def is not SESSIONS]
        stages.append(_Stage(decisions, max(first, date.fromordinal(settled.toordinal() + 1)), end))
    return stages


def _require_prices(chosen: Settings, lake: Lake, end: date) -> date:
    """The last session with prices. The account is marked from the home's first day on, so they begin there."""
    spans = lake.query(
        "select 'prices' as name, min(known_on) as first, max(known_on) as last from lake.prices union all "
        "select 'sp500_index', min(known_on), max(known_on) from lake.sp500_index"
    ).set_index("name")
    opened = calendar.roll_forward(chosen.start)
    priced = spans.loc["prices", "last"].date()
    for name, row in spans.iterrows():
        if pd.isna(row["first"]) or row["first"].date() > opened or row["last"].date() < min(priced, end):
            found = "has nothing" if pd.isna(row["first"]) else f"goes from {row['first']:%F} to {row['last']:%F}"
            raise PasError(
                f"{name} {found}, but {opened} to {min(priced, end)} is needed. Bring in a longer file with "
                f"`pas import {name} FILE`, or begin later: PAS_START=YYYY-MM-DD with a PAS_HOME of its own."
            )
    return priced


def newest(chosen: Settings) -> date:
    """The last decision that the data allow: the session after the newest prices, if it is not in the future."""
    from pas_dagster.assets.resources import Workshop

    decision = Workshop().newest_decision
    if chosen.world == "sandbox":
        return decision
    known = Workshop().lake.last_partition(TABLES["prices"])
    if known is None:
        raise PasError("There are no prices yet. Bring them in with `pas import prices FILE`; see docs/real-data.md")
    return min(decision, calendar.roll_forward(date.fromordinal(known.toordinal() + 1)))


@contextmanager
def progress(total_layers: int) -> Generator[tuple[Progress, Callable[[backfill.Layer, int], None]]]:
    """A live bar over layers, whose text follows the step that runs."""
    console = Console()
    columns = [
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    ]
    with Progress(*columns, console=console, transient=False) as bar:
        task = bar.add_task("starting", total=total_layers)
        current = [""]

        def on_layer(layer: backfill.Layer, partitions: int) -> None:
            current[0] = f"{partitions:,} partitions"
            bar.update(
                task,
                description=f"{layer.names[0]} … {current[0]}",
                advance=1 if bar.tasks[0].description != "starting" else 0,
            )

        def on_step(event: str, step: str) -> None:
            if event == "STEP_START":
                bar.update(task, description=f"{step}  [dim]{current[0]}[/dim]")
            elif event == LINE:
                bar.update(task, description=step)

        with listening(on_step):
            yield bar, on_layer
        bar.update(task, completed=total_layers, description="done")


def summary(done: Sequence[backfill.Done]) -> str:
    partitions = sum(one.count * len(one.layer.keys) for one in done)
    seconds = sum(one.seconds for one in done)
    assets = {key for one in done for key in one.layer.keys}
    return f"{partitions:,} partitions of {len(assets)} assets in {seconds:.0f} s"
