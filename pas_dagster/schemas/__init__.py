"""One schema per table: columns, types, units, keys; validated at the border."""

from pas_dagster.schemas.datasets import DATASETS
from pas_dagster.schemas.results import RESULTS
from pas_dagster.schemas.table import Column, Kind, Table, Verdict, normalise_symbols

TABLES: dict[str, Table] = {table.name: table for table in [*DATASETS, *RESULTS]}

__all__ = ["DATASETS", "RESULTS", "TABLES", "Column", "Kind", "Table", "Verdict", "normalise_symbols"]
