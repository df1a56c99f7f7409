"""`pas risk`: the newest risk report in a terminal."""

from __future__ import annotations

import json

import pandas as pd
from rich.console import Console

from pas_dagster import postgres
from pas_dagster.console.table import show
from pas_dagster.errors import PasError
from pas_dagster.lake import Lake
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings, read_home

SHOWN = 10
_PARTS = {"exposures": "decision", "risk_metrics": "decision", "stress": "decision", "alerts": "known_on"}


def run(chosen: Settings, as_json: bool) -> None:
    """Print exposures, losses to expect, stress and alerts of the newest report."""
    if not read_home(chosen.home):
        raise PasError(f"There is no data in {chosen.home} yet. Try: pas demo")
    with postgres.running(chosen) as url, Lake(url, chosen.lake_dir) as lake:
        found = {name: _newest(lake, name) for name in _PARTS}
    if found["risk_metrics"].empty:
        raise PasError("There is no risk report yet: materialise risk_metrics, or run `pas backfill`.")
    if as_json:
        told = {name: rows.to_json(orient="records", date_format="iso") for name, rows in found.items()}
        print(json.dumps({name: json.loads(str(rows)) for name, rows in told.items()}))
        return
    _tell(found, Console(markup=False))  # rules are called as the settings say


def _newest(lake: Lake, name: str) -> pd.DataFrame:
    last = lake.last_partition(TABLES[name])
    return lake.read(TABLES[name], first=last, last=last) if last else TABLES[name].empty()


def _tell(found: dict[str, pd.DataFrame], console: Console) -> None:
    day = found["risk_metrics"]["decision"].iloc[0]
    console.print(f"Risk of the target, as known before {day:%Y-%m-%d}", style="bold", highlight=False)
    exposures = found["exposures"]
    for kind in ("total", "sleeve", "sector", "factor", "name"):
        rows = exposures[(exposures["kind"] == kind) & (exposures["value"] != 0)]
        rows = rows.reindex(rows["value"].abs().sort_values(ascending=False, kind="stable").index)
        shown = rows.head(SHOWN)[["name", "value", "usd", "risk"]]
        shown = shown if kind == "sleeve" else shown.drop(columns="risk")
        if kind == "factor":
            table = shown[["name", "value"]].rename(columns={"value": "beta"}).round(2)
        else:
            table = _percent(shown, ["value", "risk"])
        show(table, title=f"\nExposure: {kind}", total=len(rows), console=console)
    numbers = found["risk_metrics"]
    shown = numbers[["metric", "value", "usd", "error"]].assign(note=numbers["note"].where(numbers["value"].isna(), ""))
    show(_percent(shown, []), title="\nNumbers", console=console)
    stress = _percent(found["stress"][["scenario", "value", "usd", "covered"]], ["value", "covered"])
    show(stress, title="\nStress", console=console)
    alerts = found["alerts"]
    active = alerts[alerts["active"]]
    title = "\nRules in force" if len(active) else f"\nNone of {len(alerts)} rules is in force"
    if len(active):
        show(active[["severity", "rule", "since", "message"]], title=title, console=console)
    else:
        console.print(title, style="bold", highlight=False)


def _percent(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Fractions as percent, dollars whole."""
    told = rows.copy()
    if "usd" in told:
        told["usd"] = told["usd"].round(0)
    for name in columns:
        if name in told:
            told[name] = (100 * told[name]).round(2)
    return told.rename(columns={name: f"{name} %" for name in columns})
