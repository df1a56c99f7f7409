"""`pas status`: the account, what is materialised, and to when."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa
from rich.console import Console

from pas_dagster import calendar
from pas_dagster.automation.session import working
from pas_dagster.console.home import require_data
from pas_dagster.console.table import show
from pas_dagster.execution.account import account_spec
from pas_dagster.ledger import batches, tables
from pas_dagster.ledger.comparisons import DIFFERENT
from pas_dagster.ledger.store import Ledger
from pas_dagster.settings import Settings


def run(chosen: Settings, as_json: bool) -> None:
    require_data(chosen)
    with working(chosen) as instance:
        from pas_dagster.assets.resources import Workshop
        from pas_dagster.definitions import defs

        graph = defs.resolve_asset_graph()
        lake = Workshop().lake
        rows = []
        for key in graph.toposorted_asset_keys:
            node = graph.get(key)
            made = instance.get_materialized_partitions(key) if node.is_partitioned else _made(instance, key)
            rows.append(_row(key.to_user_string(), node, made, lake, Workshop().today))
        books = account(Workshop().ledger, chosen)
    if as_json:
        print(json.dumps({"account": books, "assets": rows}, default=str))
    else:
        for line in _in_words(books):
            Console(markup=False).print(line, highlight=False, soft_wrap=True)
        show(pd.DataFrame(rows), title=f"{chosen.home} ({chosen.world}, from {chosen.start})")


def account(ledger: Ledger, chosen: Settings) -> dict[str, Any]:
    """The account of the settings as the ledger has it: halts, the newest batch, and the newest comparison."""
    spec = account_spec(chosen)

    def work(connection: sa.Connection) -> dict[str, Any]:
        own = connection.execute(sa.select(tables.account).where(tables.account.c.id == spec.id)).one_or_none()
        generation = own.generation if own else 1
        last = batches.newest(connection, spec.id, generation) if own else None
        orders = [result.state for _, result, _ in batches.load_orders(connection, last.id)] if last else []
        return {
            "id": spec.id,
            "broker": spec.broker,
            "mode": spec.mode,
            "broker_account": own.broker_account if own else None,
            "generation": generation,
            "halted": ledger.why_halted(connection, spec.id),
            "batch": last.key if last else None,
            "state": last.state if last else None,
            "orders": dict(sorted(Counter(orders).items())),
            "unfinished": [one.key for one in batches.unfinished(connection, spec.id, generation)],
            "compared": _compared(connection, spec.id, generation),
        }

    return ledger.run(work)


def _compared(connection: sa.Connection, name: str, generation: int) -> dict[str, Any] | None:
    """When ledger and broker were compared last, and what differed."""
    table = tables.comparison
    mine = (table.c.account == name, table.c.generation == generation)
    at = connection.scalar(sa.select(sa.func.max(table.c.at)).where(*mine))
    rows = connection.execute(sa.select(table.c.subject, table.c.verdict).where(*mine, table.c.at == at)).all()
    different = sorted(row.subject for row in rows if row.verdict == DIFFERENT)
    return None if at is None else {"at": at, "subjects": len(rows), "different": different}


def _in_words(books: dict[str, Any]) -> list[str]:
    kind = books["mode"] if books["mode"] == books["broker"] else f"{books['mode']}, at {books['broker']}"
    owner = f", its account {books['broker_account']}" if books["broker_account"] else ""
    lines = [f"Account {books['id']} ({kind}{owner}), generation {books['generation']}"]
    if books["batch"]:
        states = ", ".join(f"{count} {state}" for state, count in books["orders"].items()) or "no orders"
        lines.append(f"newest batch {books['batch']}: {books['state']}; {states}")
    others = [key for key in books["unfinished"] if key != books["batch"]]
    lines += [f"still open: {', '.join(others)}"] if others else []
    last = books["compared"]
    if last:
        found = f"differ on {', '.join(last['different'])}" if last["different"] else "agree"
        lines.append(f"ledger and broker {found} in {last['subjects']} subjects, {last['at']:%Y-%m-%d %H:%M} UTC")
    return [*lines, *([books["halted"]] if books["halted"] else [])]


def _row(name: str, node: Any, made: set[str], lake: Any, today: date) -> dict[str, Any]:
    from pas_dagster.assets.wiring import SCOPE, TABLE

    table, scope = node.metadata.get(TABLE), node.metadata.get(SCOPE) or {}
    where = " and ".join(f"{column} = ?" for column in scope) or "true"
    query = f"select count(*) as n from lake.{table} where {where}"
    return {
        "asset": name,
        "group": node.group_name,
        "partitions": len(made),
        "first": min(made, default=""),
        "last": max(made, default=""),
        "age": f"{(today - date.fromisoformat(max(made))).days} d" if made else "",
        "rows": int(lake.query(query, list(scope.values()))["n"].iloc[0]) if table else 0,
    }


def _made(instance: Any, key: Any) -> set[str]:
    """The day on which an asset without partitions was made last."""
    event = instance.get_latest_materialization_event(key)
    return {datetime.fromtimestamp(event.timestamp, calendar.NEW_YORK).date().isoformat()} if event else set()
