"""`pas positions`: what every sleeve holds, needs and has earned, by the ledger."""

from __future__ import annotations

import json

import pandas as pd
from rich.console import Console

from pas_dagster.console.table import show
from pas_dagster.console.trading import as_rows, opened, rounded
from pas_dagster.errors import PasError
from pas_dagster.execution.account import account_spec
from pas_dagster.settings import Settings

COLUMNS = ["sleeve", "symbol", "quantity", "reserved", "free", "average_cost", "price", "value", "realised"]
COLUMNS += ["unrealised", "income"]
SUMS = ["value", "realised", "unrealised", "income"]


def run(chosen: Settings, sleeve: str | None, *, as_json: bool) -> None:
    """Print what is held or has earned something; `PasError` for a sleeve that has nothing."""
    with opened(chosen) as workshop:
        from pas_dagster.assets.books import held_rows

        spec = account_spec(chosen)
        rows = held_rows(workshop, spec, workshop.today)
    rows = rows.assign(free=rows["quantity"] - rows["reserved"])[COLUMNS]
    if sleeve is not None:
        if sleeve not in set(rows["sleeve"]):
            raise PasError(f"Sleeve {sleeve!r} of {spec.id} holds nothing and never did.")
        rows = rows[rows["sleeve"] == sleeve]
    if as_json:
        print(json.dumps(as_rows(rows)))
    else:
        _tell(spec.id, rows)


def _tell(account: str, rows: pd.DataFrame) -> None:
    console = Console(markup=False)
    if rows.empty:
        console.print(f"{account} holds nothing and never did.", highlight=False)
        return
    places = {"quantity": 4, "reserved": 4, "free": 4} | dict.fromkeys(["average_cost", "price", *SUMS], 2)
    show(rounded(rows, places), title=f"{account}: positions, at the newest closes", console=console)
    total = ", ".join(f"{name} {rows[name].sum():,.2f}" for name in SUMS)
    console.print(f"USD in all: {total}", style="dim", highlight=False)
