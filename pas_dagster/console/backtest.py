"""`pas backtest`: strategies over history, side by side, and whether they can be believed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from pas_dagster.automation.session import working
from pas_dagster.console.home import require_data
from pas_dagster.console.table import cell, show
from pas_dagster.errors import PasError
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings

if TYPE_CHECKING:
    from pas_dagster.automation.backtest import Range
    from pas_dagster.lake import Lake
    from pas_dagster.strategies.audit import Report

WIDTH = 112  # columns that the comparison needs
BACKTESTS = TABLES["backtests"]
SHOWN = {
    "net": "net %",
    "gross": "gross %",
    "volatility": "vol %",
    "sharpe": "Sharpe",
    "max_drawdown": "max DD %",
    "turnover": "turnover",
    "cost": "cost %",
    "exposure": "invested %",
    "capacity": "cap $M",
    "deflated": "DSR",
}
LEGEND = (
    "Per year: net and gross growth, volatility, turnover (bought and sold), cost. Sharpe in excess of cash. "
    "cap: capital at which 5 % of the trading is more than 5 % of a day's volume. DSR: deflated Sharpe ratio, the "
    "probability that there is skill after counting what was tried."
)
_PERCENT = ("net", "gross", "volatility", "max_drawdown", "cost", "exposure")


def run(
    chosen: Settings,
    names: Sequence[str],
    first: date | None,
    last: date | None,
    costs: float | None,
    interest: bool,
    audits: int,
    as_json: bool,
) -> None:
    """Backtest the strategies, all of them if none is named; print the comparison, and store it."""
    require_data(chosen)
    if costs is not None and not 0 <= costs <= 500:
        raise PasError(f"--costs {costs:g} is outside 0 to 500 basis points.")
    terms: dict[str, Any] = {"cash_interest": interest} | ({} if costs is None else {"cost_bp": costs})
    began = time.monotonic()
    with working(chosen.model_copy(update=terms)):
        from pas_dagster.assets.resources import Workshop
        from pas_dagster.automation import backtest

        asked = _range(Workshop(), names, first, last)
        with _progress(len(asked.strategies), quiet=as_json) as on_step:
            done = backtest.run(asked, audits, on_step)
        rows = backtest.rows_of(asked, done.reports, Workshop().today)
        path = _save(chosen, asked, rows)
    if as_json:
        figures = json.loads(str(rows.to_json(orient="records", date_format="iso")))
        print(json.dumps({"backtest": asked.namespace, "seconds": done.seconds, "strategies": figures}))
        return
    _tell(asked, rows, path, done.reports.values(), time.monotonic() - began)


def _range(workshop: Any, names: Sequence[str], first: date | None, last: date | None) -> Range:
    """Check what is asked for against what there is."""
    from pas_dagster.assets.strategies import STRATEGIES
    from pas_dagster.automation.backtest import new_range

    unknown = sorted(set(names) - set(STRATEGIES))
    if unknown:
        raise PasError(f"There is no strategy {unknown[0]!r}. `pas strategy list` names them.")
    priced = workshop.lake.last_partition(TABLES["prices"])
    if priced is None:
        raise PasError("There are no prices yet. `pas demo` makes some; docs/real-data.md brings in real ones.")
    begin, end = first or workshop.settings.start, min(last or priced, priced)
    if begin < workshop.settings.start:
        raise PasError(f"--from {begin} is before {workshop.settings.start}, the first day of this home.")
    if begin > end:
        raise PasError(f"Nothing lies between {begin} and {end}; prices end on {priced}.")
    return new_range({name: STRATEGIES[name] for name in STRATEGIES if not names or name in names}, begin, end)


@contextmanager
def _progress(steps: int, quiet: bool) -> Generator[Callable[[str], None]]:
    """A live bar over the steps, each named as it ends."""
    columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn()]
    with Progress(*columns, TimeElapsedColumn(), console=Console(quiet=quiet)) as bar:
        task = bar.add_task("deciding", total=steps)

        def on_step(name: str) -> None:
            bar.update(task, description=name, advance=1)

        yield on_step
        bar.update(task, completed=steps, description="done")


def _save(chosen: Settings, asked: Range, rows: pd.DataFrame) -> Path:
    folder = chosen.home / "backtests"
    folder.mkdir(exist_ok=True)
    path = folder / f"{asked.namespace}.csv"
    rows.to_csv(path, index=False)
    return path


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """The comparison as it is shown, best first."""
    shown = rows.sort_values("sharpe", ascending=False, na_position="last", kind="stable")
    percent = {name: 100 * shown[name] for name in _PERCENT}
    shown = shown.assign(**percent, capacity=shown["capacity"] / 1e6)
    digits = dict.fromkeys([*_PERCENT, "turnover", "capacity"], 1) | {"sharpe": 2, "deflated": 2}
    return shown[["strategy", *SHOWN]].round(digits).rename(columns=SHOWN)


def _tell(asked: Range, rows: pd.DataFrame, path: Path, reports: Collection[Report], seconds: float) -> None:
    console = Console(width=max(Console().width, WIDTH))
    title = f"\nBacktest {asked.first} to {asked.last}, {int(rows['trials'].iloc[0])} variants tried so far"
    show(table(rows), title=title, console=console)
    console.print(LEGEND, style="dim", highlight=False)
    silent = sorted(set(asked.strategies) - set(rows["strategy"]))
    if silent:
        console.print(f"without any decision that traded: {', '.join(silent)}", style="yellow", highlight=False)
    for row in rows[rows["faults"] > 0].itertuples():
        console.print(f"{row.strategy} failed at {row.faults} of {row.decisions} decisions", style="red")
    unpriced = rows[rows["unpriced"].fillna(0.0) > 0.01]
    for row in unpriced.itertuples():
        console.print(f"{row.strategy}: no impact is counted on {row.unpriced:.0%} of its trading (volume not known)")
    looked, found = (sum(getattr(one, name) for one in reports) for name in ("decisions", "total"))
    if looked:
        verdict = f"{found} findings" if found else "no weight moved"
        console.print(f"look-ahead audit: {looked} random decisions without and with another future; {verdict}")
    for one in reports:
        for finding in one.findings[:1]:
            console.print(str(finding), style="red", highlight=False, soft_wrap=True)
    console.print(f"{seconds:.0f} s. Saved as {path}; its tables:", highlight=False, soft_wrap=True)
    console.print(f'  pas sql "select * from {asked.namespace}.strategy_returns"', highlight=False, soft_wrap=True)


def last_figures(lake: Lake, strategy: str) -> pd.DataFrame | None:
    """The newest backtest of a strategy as figure and value; None without one."""
    rows = lake.read(BACKTESTS, where="strategy = ?", values=[strategy])
    if rows.empty:
        return None
    newest = rows.sort_values(["ran_on", "backtest"]).tail(1)
    first = newest.iloc[0]
    told = table(newest).iloc[0]
    values = [f"{first['first']:%Y-%m-%d} to {first['last']:%Y-%m-%d}", *(told[name] for name in SHOWN.values())]
    values = [*values, int(first["trials"]), int(first["decisions"]), int(first["lookahead"])]
    names = ["range", *SHOWN.values(), "variants tried", "decisions", "look-ahead findings"]
    return pd.DataFrame({"figure": names, "value": [cell(value) for value in values]})
