"""Tear sheets: one page of HTML for the account and each sleeve, as they stand now, in `reports/` of the home.

The asset has no partitions, because it shows the present. The same data give the same bytes, and a page that is there
already is left alone.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    MaterializeResult,
    MetadataValue,
    asset,
)

from pas_dagster.analytics.costs import cash_returns
from pas_dagster.analytics.tear_sheet import Book, Holding, tear_sheet
from pas_dagster.assets import equity, wiring
from pas_dagster.assets.reports import ACCOUNT
from pas_dagster.assets.resources import Workshop
from pas_dagster.assets.sleeves import RATES, RETURNS
from pas_dagster.assets.strategies import STRATEGIES, WEIGHTS
from pas_dagster.errors import PasError
from pas_dagster.lake import Lake
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings
from pas_dagster.strategies.contract import CASH, NAME

GROUP = "analytics"
INDEX = TABLES["sp500_index"]
TARGETS = TABLES["portfolios"]
UNIVERSE = TABLES["universe"]
BENCHMARK = "S&P 500"  # the price index, without dividends
LARGEST = 1_500_000  # bytes
UNMADE = (PasError, ValueError, ArithmeticError, LookupError, OSError)  # of a page; whatever else is a fault of ours


class Sheet(NamedTuple):
    """A page that is on the disk."""

    name: str
    path: Path
    size: int
    written: bool


@dataclass(frozen=True)
class Sheets:
    """What became of the pages: those that are there, and why others are not, by name."""

    made: list[Sheet] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class Records(NamedTuple):
    """What the pages are made from, read once."""

    equity: pd.DataFrame
    returns: pd.DataFrame
    weights: pd.DataFrame
    target: pd.DataFrame
    names: dict[str, str]
    benchmark: pd.Series
    rates: pd.DataFrame


def read_records(lake: Lake) -> Records:
    """Everything there is of the account and its sleeves."""
    index = lake.read(INDEX, columns=["known_on", "close"]).set_index("known_on")["close"]
    where = f"decision = (select max(decision) from {lake.name_of(WEIGHTS)} as o where o.strategy = strategy_weights."
    told = lake.read(UNIVERSE, columns=["symbol", "name"]).drop_duplicates("symbol", keep="last")
    newest = lake.last_partition(TARGETS)
    return Records(
        equity=equity.read(lake).set_index("decision"),
        returns=lake.read(RETURNS),
        weights=lake.read(WEIGHTS, columns=["decision", "strategy", "symbol", "weight"], where=f"{where}strategy)"),
        target=TARGETS.empty() if newest is None else lake.read(TARGETS, first=newest, last=newest),
        names=dict(zip(told["symbol"], told["name"], strict=True)),
        benchmark=index.pct_change(),
        rates=lake.read(RATES),
    )


def sheet_names(lake: Lake) -> list[str]:
    """The account, every strategy, and whatever else has returns in the lake."""
    old = lake.query(f"select distinct strategy from {lake.name_of(RETURNS)}")["strategy"]
    return [ACCOUNT, *sorted({*STRATEGIES, *old} - {ACCOUNT})]


def make_sheets(lake: Lake, chosen: Settings, folder: Path, names: Sequence[str]) -> Sheets:
    """Make the pages of some names; one that cannot be made does not stop the others."""
    found = Sheets()
    records = read_records(lake)
    for name in names:
        try:
            if not NAME.fullmatch(name):  # it would be the name of a file
                raise PasError("it is no name of a strategy")
            page = tear_sheet(_book(name, records, chosen)).encode()
            path = folder / f"{name}.html"
            found.made.append(Sheet(name, path, len(page), write(path, page)))
        except UNMADE as error:
            found.failed[name] = " ".join(str(error).split()) or type(error).__name__
    return found


def write(path: Path, page: bytes) -> bool:
    """Put the page there at once or not at all; whether it had to be."""
    if path.is_file() and path.read_bytes() == page:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(page)
        os.replace(partial, path)  # noqa: PTH105  (atomic by definition)
    finally:
        partial.unlink(missing_ok=True)
    return True


def _book(name: str, records: Records, chosen: Settings) -> Book:
    return _account(records, chosen) if name == ACCOUNT else _sleeve(name, records, chosen)


def _account(records: Records, chosen: Settings) -> Book:
    """The account at its broker: equity, fees and exposure as they were booked."""
    rows = _traded(records.equity)
    before = rows["equity"].shift()
    held = records.target[records.target["symbol"] != CASH].groupby("symbol")["weight"].sum()
    value = float(rows["equity"].iloc[-1]) if len(rows) else float("nan")
    return Book(
        title="Account",
        rule="All sleeves together, as the broker's books have them.",
        net=(rows["equity"] - rows["net_flow"]) / before - 1.0,
        gross=(rows["equity"] - rows["net_flow"] + rows["fees"]) / before - 1.0,
        exposure=rows["gross_exposure"],
        turnover=rows["turnover"],
        cost=rows["fees"] / before,
        holdings=_holdings(held, records.names, value),
        provenance=_provenance(chosen, equity.name(chosen), _dated(records.target)),
        benchmark=records.benchmark,
        benchmark_name=BENCHMARK,
        risk_free=_cash(records, rows.index),
    )


def _traded(marks: pd.DataFrame) -> pd.DataFrame:
    """From the session before the first position on: idle ones are no result. All of it when there was none."""
    invested = marks["gross_exposure"].to_numpy() > 0.0
    return marks.iloc[max(0, int(invested.argmax()) - 1) :] if invested.any() else marks


def _sleeve(name: str, records: Records, chosen: Settings) -> Book:
    """A sleeve as it would have traded on its own."""
    rows = records.returns[records.returns["strategy"] == name].set_index("known_on")
    own = records.weights[records.weights["strategy"] == name]
    held = own[own["symbol"] != CASH].set_index("symbol")["weight"]
    strategy = STRATEGIES.get(name)
    return Book(
        title=strategy.title if strategy else name,
        rule=" ".join(strategy.rule.partition("\n\n")[0].split())
        if strategy
        else "There is no such strategy any more.",
        net=rows["net"],
        gross=rows["gross"],
        exposure=rows["exposure"],
        turnover=rows["turnover"],
        cost=rows["cost"],
        holdings=_holdings(held, records.names, float("nan")),
        provenance=_provenance(chosen, RETURNS.name, _dated(own)),
        benchmark=records.benchmark,
        benchmark_name=BENCHMARK,
        risk_free=_cash(records, rows.index),
    )


def _cash(records: Records, sessions: pd.Index) -> pd.Series | None:
    """What cash earned; None when no rate is known at all."""
    return cash_returns(records.rates, pd.DatetimeIndex(sessions)) if len(records.rates) else None


def _holdings(weights: pd.Series, names: dict[str, str], value: float) -> tuple[Holding, ...]:
    return tuple(
        Holding(str(symbol), float(weight), names.get(str(symbol), ""), float(weight) * value)
        for symbol, weight in weights.items()
        if weight > 0.0
    )


def _dated(rows: pd.DataFrame) -> str:
    return f"target of {rows['decision'].max():%Y-%m-%d}" if len(rows) else "no target yet"


def _provenance(chosen: Settings, table: str, holdings: str) -> tuple[tuple[str, str], ...]:
    """Where the numbers come from. No snapshot: the lake gets a new one whenever anything in it changes."""
    return (
        ("Table", table),
        ("World", chosen.world),
        ("Costs", f"{chosen.cost_bp:g} bp per traded dollar, impact {chosen.impact:g}"),
        ("Cash earns", "the three-month Treasury rate" if chosen.cash_interest else "nothing"),
        ("Benchmark", "S&P 500 price index, without dividends"),
        ("Holdings", holdings),
    )


MADE, SMALL = "every_sheet_is_made", "sheets_are_small"


@asset(
    name="tear_sheet",
    group_name=GROUP,
    owners=[wiring.OWNER],
    kinds={"python", "html"},
    pool="tear_sheets",
    description="One page of HTML for the account and each sleeve, as they stand now, in the folder `reports` of the "
    "home: growth, drawdowns, months, ratios, exposure, turnover, cost and holdings. It needs no network.",
    deps=[
        AssetDep(name)
        for name in (RETURNS.name, equity.name(), "target_portfolio", "sp500_index", "treasury_rates", *STRATEGIES)
    ],
    check_specs=[
        AssetCheckSpec(MADE, asset="tear_sheet", description="The account and each sleeve have their page"),
        AssetCheckSpec(SMALL, asset="tear_sheet", description=f"No page is larger than {LARGEST / 1e6:g} MB"),
    ],
)
def tear_sheet_asset(context: AssetExecutionContext, workshop: Workshop) -> MaterializeResult:
    lake, chosen = workshop.lake, workshop.settings
    snapshot = lake.snapshot()
    found = make_sheets(lake, chosen, folder_of(workshop), sheet_names(lake))
    failed = [f"{name}: {reason}" for name, reason in found.failed.items()]
    for one in failed:
        context.log.error(f"no tear sheet of {one}")
    large = [f"{one.path.name} has {one.size:,} bytes" for one in found.made if one.size > LARGEST]
    return MaterializeResult(
        metadata={"read from snapshot": snapshot, **_metadata(found)},
        check_results=[_verdict(MADE, failed), _verdict(SMALL, large)],
    )


def folder_of(workshop: Workshop) -> Path:
    """Where the pages go; those of a backtest have a folder of their own."""
    folder = workshop.settings.reports_dir
    return folder / workshop.namespace if workshop.namespace else folder


def _verdict(check: str, problems: Sequence[str]) -> AssetCheckResult:
    metadata = {"problem": "; ".join(problems)} if problems else {}
    return AssetCheckResult(passed=not problems, check_name=check, severity=AssetCheckSeverity.ERROR, metadata=metadata)


def _metadata(found: Sheets) -> dict[str, Any]:
    largest = max(found.made, key=lambda one: one.size, default=None)
    return {
        "pages": len(found.made),
        "written": sum(one.written for one in found.made),
        "bytes": sum(one.size for one in found.made),
        "largest": f"{largest.path.name}, {largest.size:,} bytes" if largest else "none",
        "paths": MetadataValue.md("\n".join(f"* `{one.path}`" for one in found.made) or "none"),
    }


ASSETS = [tear_sheet_asset]
