"""A process of its own: definitions are built once a process. Builds a sandbox home, then does parts of it again.

Prints one JSON object: what each second materialisation did to the lake, and the content before and after.
"""

from __future__ import annotations

import json
import random
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pas_dagster import settings
from pas_dagster.assets import resources
from pas_dagster.automation import backfill
from pas_dagster.lake import Lake
from pas_dagster.schemas import TABLES

START = date(2024, 1, 2)
NOW = datetime(2024, 7, 15, 15, tzinfo=UTC)  # a Monday, in the session
TODAY = date(2024, 7, 15)


def content(lake: Lake) -> dict[str, list[str]]:
    """Table -> number of rows, and an order-free sum of a hash over all columns (their text, not the lake's own)."""
    found = {}
    for name, table in TABLES.items():
        row = " || '|' || ".join(f"coalesce({column}::varchar, '~')" for column in table.names)
        answer = lake.query(f"select count(*) as n, sum(md5_number_lower({row})) as h from lake.{name}")  # noqa: S608
        found[name] = [str(answer["n"].iloc[0]), str(answer["h"].iloc[0])]
    return found


def main(home: Path, seed: int, extra: int) -> dict[str, Any]:
    resources.now = lambda: NOW
    chosen = settings.load(home=home, world="sandbox", start=START, database_url=None)
    settings.choose(chosen)
    from pas_dagster.automation.session import working

    with working(chosen) as instance:
        from pas_dagster.assets.resources import Workshop
        from pas_dagster.definitions import defs

        def again(first: date, last: date, only: list[str]) -> int:
            done = backfill.backfill(defs, instance, first, last, NOW, time.monotonic, only=only)
            return sum(one.count for one in done)

        lake = Workshop().lake
        made = again(START, TODAY, [])
        before = content(lake)
        names = sorted({name for layer in backfill.layers(defs) for name in layer.names})
        rng = random.Random(seed)
        picked = [*rng.sample(names, len(names)), *(rng.choice(names) for _ in range(extra))]
        steps = [_step(lake, again, name, *_range(rng)) for name in picked]
        steps.append(_step(lake, again, "order_batch", TODAY, TODAY, "fills", "trades", "account_metrics_paper"))
        return {"made": made, "assets": names, "steps": steps, "before": before, "after": content(lake)}


def _range(rng: random.Random) -> tuple[date, date]:
    """Usually somewhere within; sometimes from the beginning, sometimes through today."""
    first, last = sorted(rng.randint(START.toordinal(), TODAY.toordinal()) for _ in range(2))
    last = max(last, first + 31)  # a month holds a day of every cadence
    return (
        START if rng.random() < 0.2 else date.fromordinal(first),
        TODAY if rng.random() < 0.3 else min(TODAY, date.fromordinal(last)),
    )


def _step(lake: Lake, again: Any, name: str, first: date, last: date, *more: str) -> dict[str, Any]:
    old = lake.snapshot()
    count = again(first, last, [name, *more])
    return {"asset": name, "range": f"{first} to {last}", "count": count, "snapshots": lake.snapshot() - old}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
