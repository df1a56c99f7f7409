"""Jobs: the assets of one partition set that run together. One job cannot hold two sets."""

from __future__ import annotations

from dagster import AssetSelection, define_asset_job

from pas_dagster.assets import datasets
from pas_dagster.assets.execution import PRODUCTS
from pas_dagster.assets.strategies import STRATEGIES
from pas_dagster.calendar import Cadence
from pas_dagster.partitions import (
    BY_CADENCE,
    DAYS,
    MONTHLY,
    SESSION_DECISION,
    SESSIONS,
    SNAPSHOTS,
    WEEKLY_DECISION,
    WEEKLY_MON,
)


def _datasets(partitions: object) -> AssetSelection:
    return AssetSelection.assets(*(d.table.name for d in datasets.DATASETS if d.partitions is partitions))


def _strategies(cadence: Cadence) -> AssetSelection | None:
    names = [name for name, strategy in STRATEGIES.items() if strategy.cadence is cadence]
    return AssetSelection.assets(*names) if names else None


PRODUCED = [product.key for product in PRODUCTS]
DAILY_FACTS = define_asset_job("daily_facts", _datasets(DAYS), description="What the web published yesterday")
SESSION_FACTS = define_asset_job("session_facts", _datasets(SESSIONS), description="Bars, index and rates of a session")
SNAPSHOTS_TAKEN = define_asset_job(
    "snapshots", _datasets(SNAPSHOTS), description="What sites show today and no longer tomorrow"
)
STRATEGY_JOBS = {
    cadence: define_asset_job(f"strategies_{cadence.name.lower()}", chosen, description="Weight sets of one cadence")
    for cadence in BY_CADENCE
    if (chosen := _strategies(cadence)) is not None
}
SLEEVE_RETURNS = define_asset_job(
    "sleeve_returns",
    AssetSelection.assets("strategy_returns", "sleeve_trades"),
    description="Returns and trades of the sleeves in a session",
)
ALLOCATE = define_asset_job(
    "allocate",
    AssetSelection.assets("regimes", "allocation", "alloc_log", "scheme_weights", "scheme_outcomes"),
    description="Regime, and shares of the sleeves by every scheme",
)
REVIEW = define_asset_job(
    "review",
    AssetSelection.assets("allocation_scoreboard", "attribution"),
    description="Each month: schemes out of sample, and what the return came from",
)
ANALYSE = define_asset_job(
    "analyse",
    AssetSelection.assets("factor_betas", "universe_metrics"),
    description="Each week: betas of the books, figures of every security",
)
SHEETS = define_asset_job("tear_sheets", AssetSelection.assets("tear_sheet"), description="Pages of the present")
RISK = define_asset_job(
    "risk", AssetSelection.assets("exposures", "risk_metrics", "stress"), description="Risk of the target"
)
TRADE = define_asset_job(
    "trade",
    AssetSelection.assets("target_portfolio", "cuts", *PRODUCED),
    description="Target, orders, fills and account of a session. With the tag `pas/rebalance: weights` (`all`) every "
    "sleeve goes to its weights (and share) although nothing new takes effect",
)
BOOKS = define_asset_job(
    "books",
    AssetSelection.assets("reconciliation", "positions"),
    description="Ledger against broker, and what every sleeve holds",
)
REPORT = define_asset_job(
    "report", AssetSelection.assets("metrics", "weight_history", "alerts"), description="Reports of a session"
)
JOBS = [
    DAILY_FACTS,
    SESSION_FACTS,
    SNAPSHOTS_TAKEN,
    *STRATEGY_JOBS.values(),
    SLEEVE_RETURNS,
    ALLOCATE,
    REVIEW,
    RISK,
    ANALYSE,
    SHEETS,
    TRADE,
    BOOKS,
    REPORT,
]

SETS = {
    "daily_facts": DAYS,
    "session_facts": SESSIONS,
    "snapshots": SNAPSHOTS,
    "sleeve_returns": SESSIONS,
    "allocate": WEEKLY_DECISION,
    "review": MONTHLY,
    "risk": WEEKLY_MON,
    "analyse": WEEKLY_MON,
    "trade": SESSION_DECISION,
    "report": SESSIONS,
    **{job.name: BY_CADENCE[cadence] for cadence, job in STRATEGY_JOBS.items()},
}
