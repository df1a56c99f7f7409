"""What ten years of history cost through Dagster, and how much of that is Dagster's own.

    python -m benchmarks.backfill [--years 10] [--sample 8]

A sandbox in a temporary folder, with the embedded Postgres and the real lake. Twenty strategies (five parameters of
each of the four weekly ones) decide every week. Timed are

* single-run backfills, as `pas backfill` makes them: every week of a cadence in one run;
* the baseline, one run per partition, which is how Dagster backfills unless told otherwise: the same assets, in process
  too (no launching of processes), the same event batching, no recorded checks in either. It is measured on a few weeks
  spread over the years and scaled to all of them.

Dagster's own share is the total less the bodies of the assets (reading, deciding, checking) and the lake's writes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from pas_dagster import settings

if TYPE_CHECKING:
    from dagster import DagsterInstance, Definitions

    from pas_dagster.automation.backfill import Layer

LOOK_BACK = timedelta(days=430)  # 274 sessions and some
PARAMETERS = {
    "congress_aggregate": (5, 10, 15, 20, 30),
    "leveraged_sector_momentum": (1, 2, 3, 4, 5),
    "sector_risk_parity": (3, 4, 5, 6, 7),
    "volatility_scaled_momentum": (10, 20, 30, 50, 100),
}


@dataclass
class Clock:
    """Seconds in the bodies of assets and in the lake's writes, taken from events and one wrapped method."""

    bodies: float = 0.0
    writes: float = 0.0
    _began: dict[str, float] = field(default_factory=dict)

    def on_step(self, event: str, step: str) -> None:
        if event == "STEP_START":
            self._began[step] = time.perf_counter()
        elif event == "STEP_OUTPUT":
            self.bodies += time.perf_counter() - self._began[step]

    @contextmanager
    def running(self) -> Generator[None]:
        from pas_dagster.automation.progress import listening
        from pas_dagster.lake import Lake

        plain = Lake.replace

        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return plain(*arguments, **named)
            finally:
                self.writes += time.perf_counter() - began

        with patch.object(Lake, "replace", timed), listening(self.on_step):
            yield


@dataclass(frozen=True)
class Spent:
    """Seconds of some runs, and how many partitions (strategy and week) they made."""

    total: float
    bodies: float
    writes: float
    partitions: int

    @property
    def dagster(self) -> float:
        return self.total - self.bodies - self.writes

    def line(self, name: str) -> str:
        return (
            f"{name}: {self.partitions:,} partitions in {self.total:.1f} s "
            f"({1e3 * self.total / self.partitions:.2f} ms each): bodies {self.bodies:.1f} s, "
            f"lake {self.writes:.1f} s, Dagster's own {self.dagster:.1f} s ({self.dagster / self.total:.0%})"
        )


def definitions() -> Definitions:
    """The datasets, and the weekly strategies with five parameters each."""
    from dagster import Definitions, in_process_executor

    from pas_dagster.assets import datasets
    from pas_dagster.assets.resources import Workshop
    from pas_dagster.assets.strategies import STRATEGIES, strategy_asset
    from pas_dagster.assets.wiring import lake_io_manager
    from pas_dagster.automation.progress import LOGGERS

    variants = [
        replace(STRATEGIES[name].with_parameters({"top_n": top_n}), name=f"{name}_{top_n}")
        for name, values in PARAMETERS.items()
        for top_n in values
    ]
    return Definitions(
        assets=[*datasets.ASSETS, *map(strategy_asset, variants)],
        resources={"workshop": Workshop(), "lake": lake_io_manager},
        executor=in_process_executor,
        loggers=LOGGERS,
    )


def spend(defs: Definitions, instance: DagsterInstance, runs: Sequence[tuple[Layer, Sequence[str]]]) -> Spent:
    """Make the runs, each of some assets for some partitions, and say where the time went."""
    from pas_dagster.automation import backfill

    clock = Clock()
    began = time.perf_counter()
    with clock.running():
        for layer, keys in runs:
            backfill.run_layer(defs, instance, layer, keys, time.monotonic)
    total = time.perf_counter() - began
    return Spent(total, clock.bodies, clock.writes, sum(len(layer.keys) * len(keys) for layer, keys in runs))


def compare(years: int, sample: int, folder: Path, today: date) -> None:
    last = today - timedelta(days=today.weekday() + 3)  # the Friday of the last whole week
    first = last - timedelta(days=round(365.25 * years))
    chosen = settings.load(home=folder, world="sandbox", start=first - LOOK_BACK)
    settings.choose(chosen)  # partitions begin on its first day, so before anything that knows partitions
    from pas_dagster.automation import backfill
    from pas_dagster.automation.session import working

    with working(chosen) as instance:
        defs, now = definitions(), datetime.now(UTC)
        facts = ["prices", "universe", "corporate_actions", "politician_trades"]
        backfill.backfill(defs, instance, chosen.start, last, now, time.monotonic, only=facts)
        os.environ.update(backfill.HISTORY_ENVIRONMENT)
        names = [f"{name}_{top_n}" for name, values in PARAMETERS.items() for top_n in values]
        weeks = {
            layer: backfill.keys_between(layer.partitions, first, last, now) for layer in backfill.layers(defs, names)
        }
        count = max(map(len, weeks.values()))
        print(f"{len(names)} strategies, {count} weeks; facts of {chosen.start} to {last} were loaded before")
        picked = [(layer, [key]) for layer, keys in weeks.items() for key in keys[:: -(-len(keys) // sample)]]
        with patch.object(backfill, "CHECKED", 0):  # no recorded checks in runs of one partition either
            baseline = spend(defs, instance, picked)  # first, on empty partitions, so that both really write
            ours = spend(defs, instance, list(weeks.items()))
    print(baseline.line(f"one run per partition, {sample} weeks sampled"))
    print(ours.line("single-run backfills"))
    scaled = baseline.total / baseline.partitions * ours.partitions
    print(f"one run per partition, scaled to {ours.partitions:,} partitions: {scaled:.0f} s")
    print(f"{scaled / ours.total:.1f}x vs one run per partition")


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(prog="benchmarks.backfill", description="Single-run backfills through Dagster.")
    parser.add_argument("--years", type=int, default=10)
    parser.add_argument("--sample", type=int, default=8, help="weeks that the baseline is measured on")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pas-") as folder:
        compare(flags.years, flags.sample, Path(folder), datetime.now(UTC).date())


if __name__ == "__main__":
    main()
