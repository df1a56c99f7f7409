"""`pas backfill`, and the progress bar that every long run shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pas_dagster.automation import backfill
from pas_dagster.automation.progress import listening
from pas_dagster.automation.session import working
from pas_dagster.errors import PasError
from pas_dagster.settings import Settings


def run(chosen: Settings, first: date | None, last: date | None, only: Sequence[str]) -> None:
    if not (chosen.home / "home.json").exists():
        raise PasError(
            f"There is no data in {chosen.home} yet. Try `pas demo`, or bring in real data: docs/real-data.md"
        )
    with working(chosen) as instance:
        from pas_dagster.definitions import defs

        now = datetime.now(UTC)
        until = last or newest(chosen)
        with progress(len(backfill.layers(defs, only))) as (bar, on_layer):
            done = backfill.backfill(
                defs, instance, first or chosen.start, until, now, time.monotonic, only=only, on_layer=on_layer
            )
            del bar
        Console().print(summary(done))


def newest(chosen: Settings) -> date:
    """The last decision that the data allow: the session after the newest prices, if it is not in the future."""
    from pas_dagster import calendar
    from pas_dagster.assets.resources import Workshop
    from pas_dagster.schemas import TABLES

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

        with listening(on_step):
            yield bar, on_layer
        bar.update(task, completed=total_layers, description="done")


def summary(done: Sequence[backfill.Done]) -> str:
    partitions = sum(one.count * len(one.layer.keys) for one in done)
    seconds = sum(one.seconds for one in done)
    return f"{partitions:,} partitions of {sum(len(one.layer.keys) for one in done)} assets in {seconds:.0f} s"
