"""Reports: statistics of the account and its sleeves, and the weight of each symbol over time."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pandas as pd
from dagster import AssetDep, AssetExecutionContext, AssetIn, TimeWindowPartitionMapping, asset

from pas_dagster.analytics.running import running_summary
from pas_dagster.assets import wiring
from pas_dagster.assets.resources import Workshop
from pas_dagster.assets.strategies import RETURNS
from pas_dagster.lake import Lake
from pas_dagster.partitions import SESSIONS
from pas_dagster.schemas import TABLES
from pas_dagster.strategies.contract import CASH

GROUP = "reports"
METRICS = TABLES["metrics"]
HISTORY = TABLES["weight_history"]
SAME_DAY = TimeWindowPartitionMapping()
ACCOUNT = "account"


def portfolio_returns(lake: Lake, last: date) -> pd.DataFrame:
    """Daily returns through a day: sessions x (account, sleeves); NaN before a sleeve began."""
    daily = lake.read(RETURNS, last=last, columns=["known_on", "strategy", "net"])
    wide = daily.pivot(index="known_on", columns="strategy", values="net")
    equity = lake.read(TABLES["account_metrics_paper"], last=last, columns=["decision", "equity"])
    account = equity.set_index("decision")["equity"].pct_change()
    return wide.assign(**{ACCOUNT: account}).rename_axis(index="known_on", columns="portfolio")


def benchmark_returns(lake: Lake, last: date) -> pd.Series:
    index = lake.read(TABLES["sp500_index"], last=last, columns=["known_on", "close"])
    return index.set_index("known_on")["close"].pct_change()


METRIC_CHECKS = [wiring.valid_rows(METRICS), wiring.complete(METRICS)]


@asset(
    name=METRICS.name,
    description=f"{METRICS.doc}. Conventions: simple returns, 252 sessions a year, ddof 1.",
    partitions_def=SESSIONS,
    deps=[
        AssetDep(RETURNS.name, partition_mapping=SAME_DAY),
        AssetDep("account_metrics", partition_mapping=SAME_DAY),
        AssetDep("sp500_index", partition_mapping=SAME_DAY),
    ],
    metadata=wiring.definition_metadata(METRICS),
    check_specs=wiring.specs(METRICS.name, METRIC_CHECKS),
    **wiring.common(METRICS, GROUP),
)
def metrics(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    days = wiring.keys(context)
    returns = portfolio_returns(workshop.lake, days[-1])
    rows = running_summary(returns, benchmark_returns(workshop.lake, days[-1]))
    rows = rows[rows["known_on"].isin(pd.DatetimeIndex(days))]
    last = rows[(rows["portfolio"] == ACCOUNT) & (rows["known_on"] == rows["known_on"].max())].dropna()
    numbers = {f"account {name}": float(v) for name, v in zip(last["statistic"], last["value"], strict=True)}
    yield from wiring.publish(context, METRICS.name, METRICS.conform(rows), METRIC_CHECKS, numbers)


@asset(
    name=HISTORY.name,
    description=f"{HISTORY.doc}: the sleeves' targets added up.",
    partitions_def=SESSIONS,
    ins={"portfolio": AssetIn("target_portfolio", partition_mapping=SAME_DAY)},
    metadata=wiring.definition_metadata(HISTORY),
    check_specs=wiring.specs(HISTORY.name, [wiring.valid_rows(HISTORY)]),
    **wiring.common(HISTORY, GROUP),
)
def weight_history(context: AssetExecutionContext, portfolio: pd.DataFrame) -> Iterator[Any]:
    held = portfolio[portfolio["symbol"] != CASH]
    rows = held.groupby(["decision", "symbol"], as_index=False)["weight"].sum().rename(columns={"decision": "known_on"})
    yield from wiring.publish(context, HISTORY.name, HISTORY.conform(rows), [wiring.valid_rows(HISTORY)])


ASSETS = [metrics, weight_history]
