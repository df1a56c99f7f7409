"""Reports: statistics of the account and its sleeves, and the weight of each symbol over time."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pandas as pd
from dagster import AssetDep, AssetExecutionContext, TimeWindowPartitionMapping

from pas_dagster.analytics.costs import cash_returns
from pas_dagster.analytics.running import running_summary
from pas_dagster.assets import equity, wiring
from pas_dagster.assets.resources import Workshop
from pas_dagster.assets.strategies import RETURNS
from pas_dagster.lake import Lake
from pas_dagster.partitions import SESSIONS
from pas_dagster.schemas import TABLES
from pas_dagster.strategies.contract import CASH

GROUP = "reports"
METRICS = TABLES["metrics"]
HISTORY = TABLES["weight_history"]
RATES = TABLES["treasury_rates"]
READ = ("strategy_returns", equity.name(), "sp500_index", "treasury_rates")
SAME_DAY = TimeWindowPartitionMapping()
ACCOUNT = "account"


def portfolio_returns(lake: Lake, last: date) -> pd.DataFrame:
    """Daily returns through a day: sessions x (account, sleeves); NaN before a sleeve began."""
    daily = lake.read(RETURNS, last=last, columns=["known_on", "strategy", "net"])
    wide = daily.pivot(index="known_on", columns="strategy", values="net")
    rows = equity.read(lake, last=last, columns=["decision", "equity", "net_flow"]).set_index("decision")
    account = equity.without_flows(rows["equity"], rows["net_flow"]).pct_change()
    every_session = wide.index.union(account.index)  # the account may be older than its first sleeve
    return wide.reindex(every_session).assign(**{ACCOUNT: account}).rename_axis(index="known_on", columns="portfolio")


def benchmark_returns(lake: Lake, last: date) -> pd.Series:
    index = lake.read(TABLES["sp500_index"], last=last, columns=["known_on", "close"])
    return index.set_index("known_on")["close"].pct_change()


STATISTICS = wiring.Product(
    METRICS.name,
    METRICS,
    f"{METRICS.doc}. Conventions: simple returns, 252 sessions a year, ddof 1; Sharpe, Sortino, beta and alpha in "
    "excess of the three-month Treasury rate.",
    [wiring.valid_rows(METRICS), wiring.complete(METRICS)],
)
WEIGHTS = wiring.Product(
    HISTORY.name, HISTORY, f"{HISTORY.doc}: the sleeves' targets added up.", [wiring.valid_rows(HISTORY)]
)


@wiring.step(
    METRICS.name,
    [STATISTICS],
    GROUP,
    SESSIONS,
    [AssetDep(name, partition_mapping=SAME_DAY) for name in (RETURNS.name, equity.name(), "sp500_index", RATES.name)],
)
def metrics(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    days = wiring.keys(context)
    returns = portfolio_returns(workshop.lake, days[-1])
    cash = cash_returns(workshop.lake.read(RATES, last=days[-1]), pd.DatetimeIndex(returns.index))
    rows = running_summary(returns, benchmark_returns(workshop.lake, days[-1]), cash)
    # A sleeve has rows from its first return on, whatever else was computed with it.
    begun = returns.apply(pd.Series.first_valid_index)
    begun[ACCOUNT] = returns.index[0]
    rows = rows[rows["known_on"].isin(pd.DatetimeIndex(days)) & (rows["known_on"] >= rows["portfolio"].map(begun))]
    last = rows[(rows["portfolio"] == ACCOUNT) & (rows["known_on"] == rows["known_on"].max())].dropna()
    numbers = {f"account {name}": float(v) for name, v in zip(last["statistic"], last["value"], strict=True)}
    yield from wiring.publish(context, STATISTICS, METRICS.conform(rows), numbers)


@wiring.step(HISTORY.name, [WEIGHTS], GROUP, SESSIONS, [AssetDep("target_portfolio", partition_mapping=SAME_DAY)])
def weight_history(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    days = wiring.keys(context)
    portfolio = workshop.lake.read(TABLES["portfolios"], first=days[0], last=days[-1])
    held = portfolio[portfolio["symbol"] != CASH]
    rows = held.groupby(["decision", "symbol"], as_index=False)["weight"].sum().rename(columns={"decision": "known_on"})
    yield from wiring.publish(context, WEIGHTS, HISTORY.conform(rows))


ASSETS = [metrics, weight_history]
