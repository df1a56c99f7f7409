"""`pas backtest`: the strategies' assets over a range, in a namespace of their own, and a comparison of them."""

from __future__ import annotations

import hashlib
import inspect
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console

from pas_dagster.automation.session import working
from pas_dagster.console.table import cell, show
from pas_dagster.errors import PasError
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings, read_home

if TYPE_CHECKING:
    from dagster import Definitions

    from pas_dagster.lake import Lake
    from pas_dagster.strategies.contract import Strategy

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


@dataclass(frozen=True)
class Range:
    """A backtest: its namespace, strategies and days."""

    namespace: str
    strategies: Mapping[str, Strategy]
    first: date
    last: date


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
    if not read_home(chosen.home):
        raise PasError(
            f"There is no data in {chosen.home} yet. Try `pas demo`, or bring in real data: docs/real-data.md"
        )
    terms: dict[str, Any] = {"cash_interest": interest} | ({} if costs is None else {"cost_bp": costs})
    if costs is not None and not 0 <= costs <= 500:
        raise PasError(f"--costs {costs:g} is outside 0 to 500 basis points.")
    began = time.monotonic()
    with working(chosen.model_copy(update=terms)):
        from pas_dagster.assets.resources import Workshop

        workshop = Workshop()
        asked = _range(workshop, names, first, last)
        seconds = _materialise(asked, workshop, quiet=as_json)
        branch = workshop.lake.branch(asked.namespace)
        audited = _audited(asked, workshop, audits)
        seconds["look-ahead audit"] = audited.seconds
        rows = _rows(asked, workshop.lake, branch, audited, workshop.today)
        workshop.lake.replace(BACKTESTS, [workshop.today], rows, scope=("backtest", asked.namespace))
        path = _save(chosen, asked, rows)
    if as_json:
        figures = json.loads(rows.to_json(orient="records", date_format="iso"))
        print(json.dumps({"backtest": asked.namespace, "seconds": seconds, "strategies": figures}))
        return
    _tell(asked, rows, path, audited, time.monotonic() - began)


def _range(workshop: Any, names: Sequence[str], first: date | None, last: date | None) -> Range:
    """Check what is asked for against what there is."""
    from pas_dagster.assets.strategies import STRATEGIES

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
    chosen = {name: STRATEGIES[name] for name in STRATEGIES if not names or name in names}
    return Range(f"backtest_{datetime.now(UTC):%Y%m%d_%H%M%S_%f}", chosen, begin, end)


def definitions(namespace: str) -> Definitions:
    """The assets of the strategies and their sleeves, which read and write the namespace."""
    from dagster import Definitions, in_process_executor

    from pas_dagster.assets import datasets, strategies
    from pas_dagster.assets.resources import Workshop
    from pas_dagster.assets.wiring import lake_io_manager
    from pas_dagster.automation.progress import LOGGERS

    return Definitions(
        assets=[*datasets.ASSETS, *strategies.ASSETS, strategies.strategy_returns],
        resources={"workshop": Workshop(namespace=namespace), "lake": lake_io_manager},
        executor=in_process_executor,
        loggers=LOGGERS,
    )


def _materialise(asked: Range, workshop: Any, quiet: bool) -> dict[str, float]:
    """Run the assets over the range; seconds of each step. The instance is thrown away: a backtest is no event."""
    from pas_dagster.automation import backfill
    from pas_dagster.automation.progress import listening
    from pas_dagster.automation.rehearsal import rehearsing
    from pas_dagster.console.history import progress

    defs = definitions(asked.namespace)
    names = [*asked.strategies, "strategy_returns", "sleeve_trades"]
    stages = backfill.layers(defs, names)
    watch = _StopWatch()
    with rehearsing() as instance, listening(watch.on_step):
        for layer, on_layer in _with_progress(stages, progress, quiet):
            keys = backfill.keys_between(layer.partitions, asked.first, asked.last, workshop.now)
            if keys:
                on_layer(layer, len(keys))
                backfill.run_layer(defs, instance, layer, keys, time.monotonic, checked=False)
    return watch.seconds


def _with_progress(stages: Sequence[Any], progress: Any, quiet: bool) -> Iterator[tuple[Any, Callable[..., None]]]:
    if quiet:
        yield from ((layer, lambda *_: None) for layer in stages)
        return
    with progress(len(stages)) as (_, on_layer):
        yield from ((layer, on_layer) for layer in stages)


class _StopWatch:
    """Seconds of each step, from its events."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began: dict[str, float] = {}

    def on_step(self, event: str, step: str) -> None:
        now = time.monotonic()
        if event == "STEP_START":
            self._began[step] = now
        elif event == "STEP_SUCCESS" and step in self._began:
            self.seconds[step] = self.seconds.get(step, 0.0) + now - self._began.pop(step)


@dataclass(frozen=True)
class Audited:
    """What the look-ahead audit of a backtest found: decisions looked at and findings, by strategy."""

    decisions: Mapping[str, int]
    findings: Mapping[str, Sequence[str]]
    seconds: float


def _audited(asked: Range, workshop: Any, count: int) -> Audited:
    if not count:
        return Audited({}, {}, 0.0)
    from pas_dagster.console.lookahead import reports

    began = time.monotonic()
    found = reports(workshop, asked.strategies, asked.first, asked.last, count, seed=1)
    return Audited(
        {one.strategy: one.decisions for one in found},
        {one.strategy: [str(finding) for finding in one.findings] for one in found if one.findings},
        time.monotonic() - began,
    )


def variant(strategy: Strategy) -> str:
    """Digest of what makes a trial of its own: the strategy's code and its parameters."""
    try:
        code = inspect.getsource(inspect.getmodule(strategy.function) or strategy.function)
    except (OSError, TypeError):  # made up at run time, without a file
        code = strategy.rule
    told = [strategy.name, code, _parameters(strategy), strategy.drift, strategy.hold_days, strategy.decay_days]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def _parameters(strategy: Strategy) -> str:
    return json.dumps(dict(strategy.parameters), sort_keys=True, default=str)


def _rows(asked: Range, lake: Lake, branch: Lake, audited: Audited, today: date) -> pd.DataFrame:
    """The rows of `backtests`: figures, what was tried before, faults and findings."""
    from pas_dagster.analytics.comparison import compare
    from pas_dagster.analytics.costs import cash_returns

    returns, trades = (branch.read(TABLES[name]) for name in ("strategy_returns", "sleeve_trades"))
    if returns.empty:
        raise PasError(f"No strategy made a decision that traded between {asked.first} and {asked.last}.")
    sessions = pd.DatetimeIndex(returns["known_on"].unique()).sort_values()
    cash = cash_returns(lake.read(TABLES["treasury_rates"], last=asked.last), sessions)
    variants = {name: variant(one) for name, one in asked.strategies.items()}
    frame = compare(returns, trades, cash, tried_before(lake, variants.values()))
    weights = branch.read(TABLES["strategy_weights"], columns=["decision", "strategy", "cause"])
    made = weights.drop_duplicates(["decision", "strategy"])
    faults = made[made["cause"] == "fault"].groupby("strategy").size()
    names = frame["strategy"]
    told = {
        "ran_on": today,
        "backtest": asked.namespace,
        "variant": names.map(variants),
        "parameters": [_parameters(asked.strategies[name]) for name in names],
        "first": asked.first,
        "last": asked.last,
        "decisions": names.map(made.groupby("strategy").size()),
        "faults": names.map(faults).fillna(0).astype(int),
        "audited": names.map(audited.decisions).fillna(0).astype(int),
        "lookahead": names.map({name: len(found) for name, found in audited.findings.items()}).fillna(0).astype(int),
    }
    return BACKTESTS.conform(frame.assign(**told))


def tried_before(lake: Lake, without: Any) -> dict[str, float]:
    """Variants backtested here before -> the Sharpe ratio of their newest backtest; `without` some."""
    rows = lake.read(BACKTESTS, columns=["ran_on", "backtest", "variant", "sharpe"])
    newest = rows.sort_values(["ran_on", "backtest"]).drop_duplicates("variant", keep="last")
    newest = newest[~newest["variant"].isin(list(without))]
    return dict(zip(newest["variant"], newest["sharpe"].astype(float), strict=True))


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


def _tell(asked: Range, rows: pd.DataFrame, path: Path, audited: Audited, seconds: float) -> None:
    console = Console()
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
    looked = sum(audited.decisions.values())
    if looked:
        found = sum(map(len, audited.findings.values()))
        verdict = f"{found} findings" if found else "no weight moved"
        console.print(f"look-ahead audit: {looked} random decisions without and with another future; {verdict}")
    for findings in audited.findings.values():
        console.print(findings[0], style="red", highlight=False, soft_wrap=True)
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
