"""`pas explain`: why a decision came out as it did, told from what was stored when it was made."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import cast

from rich.console import Console

from pas_dagster import calendar, postgres
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
TARGETS = TABLES["portfolios"]


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
        console = Console(highlight=False, markup=False)  # words of the settings and of others are no markup
        console.print(f"Allocation of {decision}", style="bold")
        console.print(retell(told))
        _schemes(lake, console, decision)
        _cuts(lake, console, _target_under(lake, decision, day))


def _in_force(lake: Lake, day: date | None) -> date:
    """The last allocation at or before a day."""
    found = lake.last_partition(LOG, day + timedelta(1) if day else None)
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


def _target_under(lake: Lake, decision: date, day: date | None) -> date | None:
    """The session of the newest target at or before a day, or the first one that the allocation is in if none is."""
    if day is None:
        return lake.last_partition(TARGETS)
    last = max(day, calendar.roll_forward(decision))
    return lake.last_partition(TARGETS, last + timedelta(1))


def _cuts(lake: Lake, console: Console, session: date | None) -> None:
    if session is None:
        return
    rows = lake.read(CUTS, first=session, last=session)
    if rows.empty:
        console.print(f"\nNothing was cut off the target of {session} by caps or regime.", style="dim")
        return
    console.print(f"\nCut off the target of {session}", style="bold")
    for rule in rows["rule"]:
        console.print(rule)
