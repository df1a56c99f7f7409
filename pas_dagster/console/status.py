"""`pas status`: what is materialised, and to when."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

import pandas as pd

from pas_dagster import calendar
from pas_dagster.automation.session import working
from pas_dagster.console.home import require_data
from pas_dagster.console.table import show
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
    if as_json:
        print(json.dumps(rows, default=str))
    else:
        show(pd.DataFrame(rows), title=f"{chosen.home} ({chosen.world}, from {chosen.start})")


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
