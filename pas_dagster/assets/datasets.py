"""Datasets: one asset per fact table, fed by the first provider that can serve the days."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd
from dagster import AssetExecutionContext, AssetsDefinition, TimeWindowPartitionsDefinition

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
    def product(self) -> wiring.Product:
        checks = [wiring.valid_rows(self.table)]
        if not self.quiet_days:
            checks.append(wiring.complete(self.table))
        description = f"{self.table.doc}. Partition: the day it became known."
        return wiring.Product(self.table.name, self.table, description, checks)


DATASETS = [
    Dataset(tables.UNIVERSE, DAYS, quiet_days=True),
    Dataset(tables.CORPORATE_ACTIONS, DAYS, quiet_days=True),
    Dataset(tables.PRICES, SESSIONS, quiet_days=False),
    Dataset(tables.SP500_INDEX, SESSIONS, quiet_days=False),
    Dataset(tables.POLITICIAN_TRADES, DAYS, quiet_days=True),
    Dataset(tables.FAMA_FRENCH_FACTORS, DAYS, quiet_days=True),
    # The bond market rests on Columbus and Veterans Day, when the exchange is open.
    Dataset(tables.TREASURY_RATES, SESSIONS, quiet_days=True),
]


def dataset_asset(dataset: Dataset) -> AssetsDefinition:
    """The asset of one dataset."""
    table = dataset.table
    product = dataset.product

    @wiring.step(table.name, [product], GROUP, dataset.partitions)
    def _asset(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
        days = wiring.keys(context)
        fetched = fetch(table, workshop.providers, days[0], days[-1])
        inside = fetched.rows[table.partition].isin(pd.DatetimeIndex(days))
        rows = fetched.rows if inside.all() else fetched.rows[inside]
        _refuse_strays(table, fetched.rows, rows, days)
        yield from wiring.publish(context, product, rows, {"provider": fetched.provider})

    return _asset


def _refuse_strays(table: Table, served: Any, kept: Any, days: list[date]) -> None:
    """Rows dated between the run's partitions (a price on a holiday) are a fault of the source, never dropped."""
    if len(kept) != len(served):
        stray = served.loc[served.index.difference(kept.index), table.partition].iloc[0]
        raise PasError(
            f"{table.name} has a row known on {stray:%Y-%m-%d}, which is no partition of {days[0]} to {days[-1]}."
        )


ASSETS = [dataset_asset(dataset) for dataset in DATASETS]
