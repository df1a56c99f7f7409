"""What the commands that look at the account share: its home, its desk, and its orders in a terminal."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console

from pas_dagster import postgres, settings
from pas_dagster.console.home import require_data
from pas_dagster.console.table import show
from pas_dagster.execution.account import connected, guard
from pas_dagster.execution.desk import Patience
from pas_dagster.execution.observer import Observer, observer
from pas_dagster.execution.outcome import Outcome
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.store import Ledger
from pas_dagster.settings import Settings

if TYPE_CHECKING:
    from pas_dagster.assets.resources import Workshop
    from pas_dagster.execution.targets import SleeveTarget

WORKING = 3  # exit code: orders are still working
DIFFER = 4  # exit code: ledger and broker differ


@contextmanager
def opened(chosen: Settings) -> Generator[Workshop]:
    """Lake, ledger and clock of a home, without Dagster's instance."""
    require_data(chosen)
    with postgres.running(chosen) as url:
        settings.choose(chosen)
        os.environ[postgres.URL_VARIABLE] = url
        from pas_dagster.assets.resources import Workshop, forget_connections

        try:
            yield Workshop()
        finally:
            forget_connections()


@contextmanager
def observing(workshop: Workshop, ledger: Ledger, spec: AccountSpec) -> Generator[Observer]:
    """The observer of a real account, alone with it for as long as the block lasts. `ledger`: where it books."""
    from pas_dagster.assets.account import conditions
    from pas_dagster.assets.market import LakeMarket

    chosen = workshop.settings
    watched = guard(chosen, os.environ, lambda symbols: conditions(workshop, symbols))
    with connected(chosen) as broker, ledger.lock(spec.id):
        symbols = [*wanted_symbols(workshop), *broker.positions()]
        market = LakeMarket(workshop, workshop.today, sorted(set(symbols)), foreseen=False)
        yield observer(ledger, spec, market, broker, lambda: workshop.now, watched, Patience(0.0))


def targets_of(
    workshop: Workshop, first: date, last: date, called: Mapping[date, str]
) -> dict[date, list[SleeveTarget]]:
    """What takes effect in the sessions of a range, by session. `called`: those that somebody called for."""
    from pas_dagster import calendar
    from pas_dagster.assets.execution import PORTFOLIOS, sleeve_targets

    where = "rebalance or resize or list_contains(?::date[], decision)"
    rows = workshop.lake.read(PORTFOLIOS, first=first, last=last, where=where, values=[list(called)])
    return sleeve_targets(rows, calendar.sessions(first, last), called)


def wanted_symbols(workshop: Workshop) -> list[str]:
    """Symbols of today's targets, and those that a holding may come to be called by."""
    from pas_dagster.assets.execution import PORTFOLIOS, heirs
    from pas_dagster.strategies.contract import CASH

    today = workshop.today
    wanted = workshop.lake.read(PORTFOLIOS, first=today, last=today, columns=["symbol"])["symbol"]
    return sorted({*wanted, *heirs(workshop.lake)} - {CASH})


def orders_told(shown: Outcome) -> pd.DataFrame:
    """The orders of a session with what was filled of them and at which average price."""
    rows, fills = shown.order_batch, shown.fills
    sums = fills.groupby("client_order_id")[["quantity", "notional"]].sum()
    filled = rows["client_order_id"].map(sums["quantity"]).fillna(0.0).astype("float64")
    paid = rows["client_order_id"].map(sums["notional"])
    return pd.DataFrame(
        {
            "symbol": rows["symbol"],
            "side": rows["side"],
            "quantity": rows["quantity"],
            "planned at": rows["reference_price"],
            "state": rows["state"],
            "filled": filled,
            "price": (paid / filled).where(filled > 0),
            "why": rows["why"],
        }
    )


def tell_orders(shown: Outcome, title: str, console: Console) -> None:
    """Print the orders of a session and what came of them."""
    if shown.order_batch.empty:
        console.print(f"{title}: no orders", style="bold", highlight=False)
        return
    show(orders_told(shown), title=title, console=console)
    fills, trades = shown.fills, shown.trades
    crossed = trades.loc[trades["kind"] == "cross", "notional"].sum() / 2
    console.print(
        f"{len(shown.order_batch)} orders, {fills['client_order_id'].nunique()} filled for "
        f"{fills['notional'].sum():,.2f} USD (fees {fills['fee'].sum():,.2f} USD); sleeves crossed {crossed:,.2f} USD "
        f"among themselves",
        style="dim",
        highlight=False,
    )


def as_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame as rows for JSON: no NaN, times as text."""
    return json.loads(str(frame.to_json(orient="records", date_format="iso")))


def rounded(frame: pd.DataFrame, places: Mapping[str, int]) -> pd.DataFrame:
    """The frame with some of its columns rounded."""
    return frame.assign(**{name: frame[name].round(digits) for name, digits in places.items()})
