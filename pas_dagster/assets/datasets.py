"""Datasets: one asset per fact table, fed by the first provider that can serve the days."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from dagster import AssetExecutionContext, AssetsDefinition, TimeWindowPartitionsDefinition, asset

from pas_dagster.assets import wiring
from pas_dagster.assets.resources import Workshop
from pas_dagster.errors import PasError
from pas_dagster.partitions import DAYS, SESSIONS
from pas_dagster.schemas import Table
from pas_dagster.schemas import datasets as tables
from pas_dagster.sources.provider import fetch

GROUP = "datasets"


@dataclass(frozen=True)
class Dataset:
    """A fact table, when it publishes, and whether a day without news is normal."""

    table: Table
    partitions: TimeWindowPartitionsDefinition
    quiet_days: bool

    @property
    def checks(self) -> list[wiring.Check]:
        always = [wiring.valid_rows(self.table)]
        return always if self.quiet_days else [*always, wiring.complete(self.table)]


DATASETS = [
    Dataset(tables.UNIVERSE, DAYS, quiet_days=True),
    Dataset(tables.CORPORATE_ACTIONS, DAYS, quiet_days=True),
    Dataset(tables.PRICES, SESSIONS, quiet_days=False),
    Dataset(tables.SP500_INDEX, SESSIONS, quiet_days=False),
    Dataset(tables.POLITICIAN_TRADES, DAYS, quiet_days=True),
    Dataset(tables.FAMA_FRENCH_FACTORS, DAYS, quiet_days=True),
    Dataset(tables.TREASURY_RATES, SESSIONS, quiet_days=False),
]


def dataset_asset(dataset: Dataset) -> AssetsDefinition:
    """The asset of one dataset."""
    table = dataset.table

    @asset(
        name=table.name,
        description=f"{table.doc}. Partition: the day it became known.",
        partitions_def=dataset.partitions,
        metadata=wiring.definition_metadata(table),
        check_specs=wiring.specs(table.name, dataset.checks),
        **wiring.common(table, GROUP),
    )
    def _asset(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
        days = wiring.keys(context)
        fetched = fetch(table, workshop.providers, days[0], days[-1])
        rows = fetched.rows[fetched.rows[table.partition].dt.date.isin(set(days))]
        _refuse_strays(table, fetched.rows, rows, days)
        yield from wiring.publish(context, table.name, rows, dataset.checks, {"provider": fetched.provider})

    return _asset


def _refuse_strays(table: Table, served: Any, kept: Any, days: list[date]) -> None:
    """Rows dated between the run's partitions (a price on a holiday) are a fault of the source, never dropped."""
    if len(kept) != len(served):
        stray = served.loc[served.index.difference(kept.index), table.partition].iloc[0]
        raise PasError(
            f"{table.name} has a row known on {stray:%Y-%m-%d}, which is no partition of {days[0]} to {days[-1]}."
        )


ASSETS = [dataset_asset(dataset) for dataset in DATASETS]
