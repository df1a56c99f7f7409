"""Datasets: one asset per fact table, fed by the first provider that can serve the days."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pandas as pd
from dagster import (
    AssetDep,
    AssetExecutionContext,
    AssetsDefinition,
    TimeWindowPartitionMapping,
    TimeWindowPartitionsDefinition,
)

from pas_dagster.assets import sanity, wiring
from pas_dagster.assets.resources import Workshop
from pas_dagster.assets.suppliers import ACCEPT_TAG, OFFLINE_TAG, providers
from pas_dagster.errors import PasError
from pas_dagster.partitions import DAYS, SESSIONS, SNAPSHOTS
from pas_dagster.schemas import TABLES, Table
from pas_dagster.schemas import datasets as tables
from pas_dagster.schemas.results import QUARANTINE
from pas_dagster.sources import catalogue
from pas_dagster.sources.computed import READS
from pas_dagster.sources.provider import Fetched, fetch

GROUP = "datasets"
SAME_DAY = TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)
_SAY_EVERY = 5.0  # seconds between lines of progress
_USUAL = 60  # days looked back on for what is usual


@dataclass(frozen=True)
class Dataset:
    """A fact table, when it publishes, and whether a day without news is normal.

    `fresh`: days after which the newest row counts as old.
    """

    table: Table
    partitions: TimeWindowPartitionsDefinition
    quiet_days: bool
    fresh: int = 7

    @property
    def companies(self) -> bool:
        return self.table.name in catalogue.ABOUT_COMPANIES

    @property
    def deps(self) -> list[AssetDep]:
        if self.table is tables.DC_INSIDER_SCORES:
            return [AssetDep(name, partition_mapping=SAME_DAY) for name in READS]
        return [AssetDep("universe", partition_mapping=SAME_DAY)] if self.companies else []

    @property
    def product(self) -> wiring.Product:
        checks = [wiring.valid_rows(self.table)]
        if not self.quiet_days:
            checks.append(wiring.complete(self.table))
        return wiring.Product(self.table.name, self.table, self.description, [*checks, *self.warnings])

    @property
    def description(self) -> str:
        """What it is, and who can supply it."""
        offered = catalogue.by_dataset().get(self.table.name, {})
        lines = [f"{self.table.doc}. Partition: the day it became known.", "", "Providers, the first is the default:"]
        for name in catalogue.ORDER.get(self.table.name, ()):
            if name in offered:
                source = offered[name]
                reach = (
                    f"history from {source.since}" if source.since else "shows only the present: history accumulates"
                )
                lines.append(f"- `{name}`: {source.title}; {reach}. {source.note}".rstrip())
            else:
                lines.append(f"- `{name}`: computed from {', '.join(READS)} by the published method")
        return "\n".join([*lines, "- `import`: files brought in with `pas import`; what they cover comes first"])

    @property
    def warnings(self) -> list[wiring.Check]:
        """Checks that warn, judged by the step that fetched."""
        found = [
            wiring.warning("row_count_is_usual", "No day has ten times the usual number of rows, or a tenth"),
            wiring.warning("rows_are_fresh", f"The newest row is at most {self.fresh} days old"),
            wiring.warning("few_rows_are_refused", "At most 1 % of the rows went to quarantine (5 % fail the run)"),
            wiring.warning("first_choice_served", "No provider before the one that served has failed"),
        ]
        if self.companies:
            found.append(wiring.warning("symbols_are_listed", "At least 90 % of the rows are about listed securities"))
        if self.table is tables.PRICES:
            found.append(wiring.warning("moves_are_explained", "No return beyond 50 % without a corporate action"))
        return found


DATASETS = [
    Dataset(tables.UNIVERSE, DAYS, quiet_days=True, fresh=120),
    Dataset(tables.CORPORATE_ACTIONS, DAYS, quiet_days=True, fresh=30),
    Dataset(tables.PRICES, SESSIONS, quiet_days=False, fresh=4),
    Dataset(tables.SP500_INDEX, SESSIONS, quiet_days=False, fresh=4),
    Dataset(tables.POLITICIAN_TRADES, DAYS, quiet_days=True, fresh=14),
    Dataset(tables.FAMA_FRENCH_FACTORS, DAYS, quiet_days=True, fresh=70),
    # The bond market rests on Columbus and Veterans Day, when the exchange is open.
    Dataset(tables.TREASURY_RATES, SESSIONS, quiet_days=True, fresh=5),
    Dataset(tables.LOBBYING, DAYS, quiet_days=True, fresh=100),
    Dataset(tables.GOV_CONTRACTS, DAYS, quiet_days=True, fresh=14),
    Dataset(tables.INSIDER_BUYING, DAYS, quiet_days=True, fresh=5),
    Dataset(tables.DC_INSIDER_SCORES, DAYS, quiet_days=True, fresh=2),
    Dataset(tables.CATALYST_EVENTS, DAYS, quiet_days=True, fresh=14),
    Dataset(tables.WIKI_VIEWS, DAYS, quiet_days=True, fresh=3),
    Dataset(tables.NEWS_HEADLINES, DAYS, quiet_days=True, fresh=4),
    Dataset(tables.ANALYST_RATINGS, DAYS, quiet_days=True, fresh=7),
    Dataset(tables.REDDIT_MENTIONS, SNAPSHOTS, quiet_days=False, fresh=2),
    Dataset(tables.APP_REVIEWS, SNAPSHOTS, quiet_days=True, fresh=8),
    Dataset(tables.GOOGLE_TRENDS, SNAPSHOTS, quiet_days=True, fresh=10),
]


def dataset_asset(dataset: Dataset) -> AssetsDefinition:
    """The asset of one dataset."""
    table = dataset.table
    product = dataset.product

    @wiring.step(table.name, [product], GROUP, dataset.partitions, dataset.deps)
    def _asset(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
        days = wiring.keys(context)
        fetched = _fetched(context, workshop, table, days)
        inside = fetched.rows[table.partition].isin(pd.DatetimeIndex(days))
        rows = fetched.rows if inside.all() else fetched.rows[inside]
        _refuse_strays(table, fetched.rows, rows, days)
        if ACCEPT_TAG not in context.run.tags:
            _refuse_losses(workshop, table, rows, days)
        refused = sum(map(len, fetched.refused.values()))
        metadata = {"provider": ", ".join(fetched.providers), "refused rows": refused, **fetched.notes}
        warnings = _warnings(workshop, dataset, fetched, rows, days)
        yield from wiring.publish(context, product, rows, metadata, warnings)
        for provider, bad in fetched.refused.items():
            _quarantine(workshop, table, provider, bad, days)

    return _asset


def _fetched(context: AssetExecutionContext, workshop: Workshop, table: Table, days: list[date]) -> Fetched:
    """The rows of the days; a failure says what goes on serving in the meantime."""
    offline = OFFLINE_TAG in context.run.tags
    try:
        found = providers(workshop, table, days, _saying(context, time.monotonic), offline=offline)
        return fetch(table, found, days[0], days[-1])
    except PasError as error:
        newest = workshop.lake.last_partition(table)
        days_old = f"{(days[-1] - newest).days} days before" if newest else ""
        held = (
            f"What is stored goes on serving; it ends on {newest}, {days_old}." if newest else "Nothing is stored yet."
        )
        raise PasError(f"{error} {held}") from None


def _saying(context: AssetExecutionContext, clock: Callable[[], float]) -> Callable[[str, int, int], None]:
    """Lines of progress in the run's log, a few seconds apart."""
    said = [clock()]

    def say(source: str, done: int, total: int) -> None:
        if clock() - said[0] >= _SAY_EVERY:
            said[0] = clock()
            context.log.info(f"{source}: {done:,} of {total:,} pages")

    return say


def _refuse_strays(table: Table, served: Any, kept: Any, days: list[date]) -> None:
    """Rows dated between the run's partitions (a price on a holiday) are a fault of the source, never dropped."""
    if len(kept) != len(served):
        stray = served.loc[served.index.difference(kept.index), table.partition].iloc[0]
        raise PasError(
            f"{table.name} has a row known on {stray:%Y-%m-%d}, which is no partition of {days[0]} to {days[-1]}."
        )


def _refuse_losses(workshop: Workshop, table: Table, rows: pd.DataFrame, days: list[date]) -> None:
    """A day that has rows is not emptied: an answer without rows is more often a fault than a correction."""
    stored = workshop.lake.read(table, first=days[0], last=days[-1], columns=[table.partition])[table.partition]
    counts = stored[stored.isin(pd.DatetimeIndex(days))].value_counts()
    lost = counts[~counts.index.isin(rows[table.partition])].sort_index()
    if len(lost):
        raise PasError(
            f"{table.name} has {lost.iloc[0]:,} rows of {lost.index[0]:%Y-%m-%d}, and now the source gives none "
            f"({len(lost)} such days). Nothing was replaced. If the source is right, fetch with --accept-losses."
        )


def _quarantine(workshop: Workshop, table: Table, provider: str, bad: pd.DataFrame, days: list[date]) -> None:
    """What a provider's visits refused, by the day it belongs to, in place of what was refused of these days before."""
    if provider == catalogue.IMPORT:
        return  # an import keeps its own
    told = [json.dumps({"url": url, "row": row}) for url, row in zip(bad["url"], bad["content"], strict=True)]
    known = pd.to_datetime(bad["known_on"])
    rows = bad.assign(
        known_on=known.where(known.isin(pd.DatetimeIndex(days)), pd.Timestamp(days[-1])),
        dataset=table.name,
        file=f"{table.name}/{provider}",
        row_number=range(1, len(bad) + 1),
        content=told,
    )
    workshop.lake.replace(QUARANTINE, days, QUARANTINE.conform(rows), scope=("file", f"{table.name}/{provider}"))


def _warnings(
    workshop: Workshop, dataset: Dataset, fetched: Fetched, rows: pd.DataFrame, days: list[date]
) -> Mapping[str, str | None]:
    """What is odd about the rows, by the name of the check; None where nothing is."""
    table, before = dataset.table, days[0] - timedelta(1)
    usual = workshop.lake.read(table, first=before - timedelta(_USUAL), last=before, columns=[table.partition])
    newest = [frame[table.partition].max().date() for frame in (usual, rows) if len(frame)]
    found = {
        "row_count_is_usual": sanity.row_count(rows[table.partition], days, usual[table.partition]),
        "rows_are_fresh": sanity.age(max(newest, default=None), days[-1], dataset.fresh),
        "few_rows_are_refused": sanity.refused(sum(map(len, fetched.refused.values())), len(rows)),
        "first_choice_served": " ".join(fetched.passed_over) or None,
    }
    if dataset.companies:
        known = workshop.lake.read(TABLES["universe"], last=days[-1], columns=["symbol"])["symbol"].unique()
        found["symbols_are_listed"] = sanity.listed(rows, known)
    if table is tables.PRICES:
        actions = workshop.lake.read(TABLES["corporate_actions"], columns=["symbol", "event_date"])
        found["moves_are_explained"] = sanity.moves(rows, actions)
    return found


ASSETS = [dataset_asset(dataset) for dataset in DATASETS]
