"""`pas explain`: why a decision came out as it did, told from what was stored when it was made."""

from __future__ import annotations

import json
from datetime import date
from typing import cast

from rich.console import Console

from pas_dagster import postgres
from pas_dagster.allocation.explain import retell
from pas_dagster.allocation.log import LogRow
from pas_dagster.console.table import show
from pas_dagster.errors import PasError
from pas_dagster.lake import Lake
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings, read_home

LOG = TABLES["alloc_log"]
SCHEMES = TABLES["scheme_outcomes"]
CUTS = TABLES["cuts"]


def allocation(chosen: Settings, day: date | None, as_json: bool) -> None:
    """Retell the allocation in force on a day, the newest if none is given."""
    if not read_home(chosen.home):
        raise PasError(f"There is no data in {chosen.home} yet. Try: pas demo")
    with postgres.running(chosen) as url, Lake(url, chosen.lake_dir) as lake:
        decision = _in_force(lake, day)
        rows = lake.read(LOG, first=decision, last=decision)
        steps = rows.astype(object).where(rows.notna(), None)[["step", "sleeve", "value", "note"]]
        told = cast("list[LogRow]", steps.to_dict("records"))
        if as_json:
            print(json.dumps({"decision": decision.isoformat(), "steps": told}))
            return
        console = Console(highlight=False)
        console.print(f"Allocation of {decision}", style="bold")
        console.print(retell(told))
        _schemes(lake, console, decision)
        _cuts(lake, console, day or decision)


def _in_force(lake: Lake, day: date | None) -> date:
    """The last allocation at or before a day."""
    found = lake.last_partition(LOG, date.fromordinal(day.toordinal() + 1) if day else None)
    if found is None:
        first = lake.query("select min(decision) as day from lake.alloc_log")["day"].iloc[0]
        since = f"; the first is of {first:%Y-%m-%d}" if first == first else ""
        raise PasError(f"There is no allocation{f' at or before {day}' if day else ' yet'}{since}.")
    return found


def _schemes(lake: Lake, console: Console, decision: date) -> None:
    rows = lake.query(
        'select scheme, chosen, status, round(100 * expected_return, 1) as "return %", '
        'round(100 * volatility, 1) as "vol %", round(100 * cash, 1) as "cash %", reason '
        "from lake.scheme_outcomes where decision = ? order by chosen desc, scheme",
        [decision],
    )
    show(rows, title="\nWhat every scheme answered", console=console)


def _cuts(lake: Lake, console: Console, day: date) -> None:
    last = lake.last_partition(CUTS, date.fromordinal(day.toordinal() + 1))
    rows = lake.read(CUTS, first=last, last=last) if last else CUTS.empty()
    if last is None or last < day or rows.empty:
        console.print("\nNothing was cut off the target by caps or regime.", style="dim")
        return
    console.print(f"\nCut off the target of {last}", style="bold")
    for rule in rows["rule"]:
        console.print(rule)
