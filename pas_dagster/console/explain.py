"""`pas explain`: why a decision came out as it did, told from what was stored when it was made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from datetime import date, timedelta
from typing import Any, cast

import pandas as pd
import sqlalchemy as sa
from rich.console import Console

from pas_dagster import calendar, postgres
from pas_dagster.allocation.explain import retell
from pas_dagster.allocation.log import LogRow
from pas_dagster.console.table import show
from pas_dagster.errors import PasError
from pas_dagster.lake import Lake
from pas_dagster.ledger import tables
from pas_dagster.ledger.store import Ledger
from pas_dagster.ledger.units import SHARE, USD
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


def order(chosen: Settings, cid: str, as_json: bool) -> None:
    """Retell an order: who asked for it, what became of it, and what was filled."""
    if not read_home(chosen.home):
        raise PasError(f"There is no data in {chosen.home} yet. Try: pas demo")
    with postgres.running(chosen) as url, closing(Ledger(url)) as ledger:
        found = ledger.run(lambda connection: _order(connection, cid))
    if as_json:
        print(json.dumps(found, default=str))
        return
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{cid}: {found['side']} {found['quantity']:,.10g} {found['symbol']}", style="bold")
    console.print(
        f"batch {found['batch']} of {found['account']}, planned at {found['planned_at']:,.6g} USD; {found['state']}"
    )
    for name, title in (("asked", "Asked for by"), ("events", "What became of it"), ("fills", "Fills")):
        if found[name]:
            show(pd.DataFrame(found[name]), title=f"\n{title}", console=console)


def _order(connection: sa.Connection, cid: str) -> dict[str, Any]:
    orders, batch = tables.orders, tables.batch
    row = connection.execute(
        sa.select(orders, batch.c.key, batch.c.account)
        .join(batch, batch.c.id == orders.c.batch)
        .where(orders.c.cid == cid)
    ).one_or_none()
    if row is None:
        raise PasError(f"There is no order {cid!r}; `select * from order_batch` names those that there are.")
    return {
        "order": cid,
        "account": row.account,
        "batch": row.key,
        "symbol": row.symbol,
        "side": row.side,
        "quantity": row.quantity / SHARE,
        "planned_at": row.price / USD,
        "state": f"{row.state}: {row.reason}" if row.reason else row.state,
        "asked": _asked(connection, row),
        "events": [
            {"at": f"{at:%Y-%m-%d %H:%M:%S} UTC", "state": state, "reason": reason}
            for at, state, reason in _events(connection, cid)
        ],
        "fills": _fills(connection, cid),
    }


def _asked(connection: sa.Connection, row: sa.Row) -> list[dict[str, Any]]:
    """What the sleeves wanted of the symbol, took over from each other, and have of the order."""
    intent, alloc = tables.intent, tables.alloc
    ours = sa.and_(alloc.c.cid == row.cid, alloc.c.sleeve == intent.c.sleeve)
    rows = connection.execute(
        sa.select(intent, alloc.c.quantity.label("ordered"), alloc.c.filled)
        .join(alloc, ours, isouter=True)
        .where(intent.c.batch == row.batch, intent.c.symbol == row.symbol)
        .order_by(intent.c.sleeve)
    )
    return [
        {
            "sleeve": one.sleeve,
            "wants": one.quantity / SHARE,
            "crossed": one.crossed / SHARE,
            "ordered": (one.ordered or 0) / SHARE,
            "filled": (one.filled or 0) / SHARE,
            "why": one.why,
        }
        for one in rows
    ]


def _events(connection: sa.Connection, cid: str) -> Sequence[sa.Row]:
    event = tables.order_event
    query = sa.select(event.c.at, event.c.state, event.c.reason).where(event.c.cid == cid).order_by(event.c.id)
    return connection.execute(query).all()


def _fills(connection: sa.Connection, cid: str) -> list[dict[str, Any]]:
    execution = tables.execution
    rows = connection.execute(sa.select(execution).where(execution.c.cid == cid).order_by(execution.c.id))
    return [
        {
            "session": f"{one.session}",
            "at": "" if one.at is None else f"{one.at:%H:%M:%S} UTC",
            "quantity": one.quantity / SHARE,
            "price": one.price / USD,
            "fee": one.fee / USD,
        }
        for one in rows
    ]


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
