"""Where a dataset's rows come from: an ordered list of providers, of which the first that can serve does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import pandas as pd

from pas_dagster.errors import PasError
from pas_dagster.schemas import Table


class Provider(Protocol):
    """One way to get a dataset. `rows` gives the table's columns without `provider`, for known_on in the range."""

    @property
    def name(self) -> str: ...

    def coverage(self, table: Table) -> tuple[date, date] | None:
        """First and last day that can be served; None when the dataset cannot be served at all."""
        ...

    def rows(self, table: Table, first: date, last: date) -> pd.DataFrame: ...


@dataclass(frozen=True)
class Fetched:
    """Rows in the table's columns, and which provider served them."""

    rows: pd.DataFrame
    provider: str


def fetch(table: Table, providers: Sequence[Provider], first: date, last: date) -> Fetched:
    """The rows of [first, last] from the first provider that covers the range.

    Raises `PasError` that names the dataset, the range and what each provider covers.
    """
    reasons = []
    for provider in providers:
        covered = provider.coverage(table)
        if covered is None:
            reasons.append(f"{provider.name} has none")
        elif covered[0] > first or covered[1] < last:
            reasons.append(f"{provider.name} covers {covered[0]} to {covered[1]}")
        else:
            rows = provider.rows(table, first, last)
            return Fetched(table.conform(rows.assign(provider=provider.name)), provider.name)
    raise PasError(
        f"No provider has {table.name} for {first} to {last}: {'; '.join(reasons)}. "
        f"Bring it in with `pas import {table.name} FILE`, or choose days that are covered."
    )
