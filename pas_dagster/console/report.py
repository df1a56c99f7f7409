"""What happened, in a terminal: datasets, weights, allocation, orders, fills, and the account against its benchmark."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
from rich.console import Console

from pas_dagster.analytics import statistics
from pas_dagster.assets import equity as marks
from pas_dagster.console.table import show
from pas_dagster.lake import Lake
from pas_dagster.schemas import TABLES
from pas_dagster.strategies.contract import CASH

BARS = "▁▂▃▄▅▆▇█"
SHOWN = 8
WEEKS = 6


def report(lake: Lake, console: Console, decision: date) -> None:
    """Print everything about the state after a decision."""
    _datasets(lake, console)
    _weights(lake, console)
    _allocation(lake, console)
    _orders(lake, console, decision)
    _account(lake, console)


def _datasets(lake: Lake, console: Console) -> None:
    from pas_dagster.assets.datasets import DATASETS

    names = [dataset.table.name for dataset in DATASETS]
    parts = [
        f"select '{n}' as dataset, count(*) as rows, min(known_on) as first, max(known_on) as last from lake.{n}"
        for n in names
    ]
    show(lake.query(" union all ".join(parts)), title="\nDatasets", console=console)


def _weights(lake: Lake, console: Console) -> None:
    rows = lake.query(
        """
        with newest as (select strategy, max(decision) as decision from lake.strategy_weights group by strategy)
        select w.strategy, w.decision, w.status, count(*) filter (symbol <> ?) as names,
               round(100 * sum(weight) filter (symbol <> ?), 1) as "invested %",
               string_agg(symbol || ' ' || cast(round(100 * weight, 1) as varchar), ', ' order by weight desc, symbol)
                   filter (symbol <> ?) as top
        from lake.strategy_weights w join newest using (strategy, decision) group by all order by strategy
        """,
        [CASH, CASH, CASH],
    )
    rows["top"] = [", ".join(str(text).split(", ")[:4]) if isinstance(text, str) else "" for text in rows["top"]]
    show(rows, title="\nStrategies: newest weights (percent of the sleeve)", console=console)


def _allocation(lake: Lake, console: Console) -> None:
    rows = lake.query(
        """
        with weeks as (select distinct decision from lake.allocation order by decision desc limit ?)
        select sleeve, decision, round(100 * weight, 1) as share from lake.allocation join weeks using (decision)
        """,
        [WEEKS],
    )
    table = rows.pivot(index="sleeve", columns="decision", values="share")
    if not table.empty:
        table = table.sort_values(table.columns[-1], ascending=False, kind="stable")
        year = f"{table.columns[-1]:%Y}"
        table.columns = [f"{week:%m-%d}" for week in table.columns]
        show(
            table.reset_index(), title=f"\nAllocation: share of the account by week to {year}, percent", console=console
        )
    note = lake.query("select note from lake.alloc_log where step = 'status' order by decision desc limit 1")
    if len(note):
        console.print(f"outcome: {note['note'].iloc[0]}", style="dim")


def _orders(lake: Lake, console: Console, decision: date) -> None:
    batch = lake.read(TABLES["order_batch"], first=decision, last=decision)
    title = f"\nOrder batch of {decision}"
    if batch.empty:
        last = lake.last_partition(TABLES["order_batch"])
        console.print(f"{title}: nothing to trade (the last batch was on {last})", style="bold")
        batch = lake.read(TABLES["order_batch"], first=last, last=last) if last else batch
        title = f"\nOrder batch of {last}"
    if batch.empty:
        return
    day = batch["decision"].iloc[0].date()
    shown = batch.sort_values("notional", ascending=False)[
        ["symbol", "side", "quantity", "reference_price", "notional", "state", "why"]
    ]
    show(shown.head(SHOWN), title=title, total=len(shown), console=console)
    fills = lake.read(TABLES["trades"], first=day, last=day)
    filled = fills[fills["kind"] == "fill"]
    crossed = fills[fills["kind"] == "cross"]
    console.print(
        f"{len(batch)} orders, {filled['client_order_id'].nunique()} filled for ${filled['notional'].sum():,.0f} "
        f"(fees ${filled['fee'].sum():,.2f}); sleeves crossed ${crossed['notional'].sum() / 2:,.0f} among themselves",
        style="dim",
    )


def _account(lake: Lake, console: Console) -> None:
    account = marks.read(lake).set_index("decision")
    if account.empty:
        return
    index = lake.read(TABLES["sp500_index"]).set_index("known_on")["close"]
    traded = account.index[account["gross_exposure"] > 0]
    # Idle sessions before the first trade are no result; the last of them is what the first return starts from.
    begin = max(0, int(account.index.searchsorted(traded[0])) - 1) if len(traded) else 0
    days = account.index[begin:].intersection(index.index)
    equity, index = account["equity"].reindex(days), index.reindex(days)
    table = pd.DataFrame({"account": _figures(equity), "index": _figures(index)}).rename_axis("").reset_index()
    show(table, title=f"\nAccount, {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}", console=console)
    console.print(f"equity {sparkline(equity)}  ${account['equity'].iloc[-1]:,.2f} on {account.index[-1]:%Y-%m-%d}")
    console.print(f"index  {sparkline(index)}", style="dim")


def _figures(level: pd.Series) -> pd.Series:
    returns = level.pct_change().dropna()
    return pd.Series(
        {
            "total return %": round(100 * float(statistics.total_return(returns)), 2),
            "per year %": round(100 * float(statistics.cagr(returns)), 2),
            "volatility %": round(100 * float(statistics.volatility(returns)), 2),
            "Sharpe": round(float(statistics.sharpe(returns)), 2),
            "max drawdown %": round(100 * float(statistics.max_drawdown(returns)), 2),
        }
    )


def sparkline(values: pd.Series, width: int = 60) -> str:
    """The series as a line of blocks.

    >>> sparkline(pd.Series([1.0, 2.0, 3.0]), width=3)
    '▁▅█'
    """
    picked = values.to_numpy()[np.linspace(0, len(values) - 1, min(width, len(values))).round().astype(int)]
    low, span = picked.min(), np.ptp(picked) or 1.0
    return "".join(BARS[round(float((value - low) / span) * (len(BARS) - 1))] for value in picked)
