"""`pas demo`: from nothing to filled orders and an equity curve, in one command."""

from __future__ import annotations

import time

from rich.console import Console

from pas_dagster import present
from pas_dagster.automation import backfill
from pas_dagster.automation.session import working
from pas_dagster.console.history import newest, progress, summary
from pas_dagster.console.report import report
from pas_dagster.settings import Settings


def run(chosen: Settings) -> None:
    started = time.monotonic()
    console = Console()
    console.print(f"[bold]Portfolio Allocation System[/bold]  sandbox world, seed {chosen.seed}, in {chosen.home}")
    with working(chosen) as instance:
        from pas_dagster.assets.resources import Workshop
        from pas_dagster.definitions import defs

        now = present.now(chosen)
        today = newest(chosen)
        with progress(len(backfill.layers(defs))) as (_, on_layer):
            done = backfill.backfill(defs, instance, chosen.start, today, now, time.monotonic, on_layer=on_layer)
        console.print(summary(done), style="dim")
        report(Workshop().lake, console, today)
    console.print(
        f"\n{time.monotonic() - started:.0f} s. Next: [bold]make up[/bold] opens the Dagster UI on this data;"
    )
    console.print('      [bold]pas sql "select * from allocation order by decision desc limit 10"[/bold] asks it.')
