"""Scores computed from what other datasets say, as a provider beside the sites that publish them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from pas_dagster.schemas import TABLES, Table
from pas_dagster.sources.dc_insider import scores
from pas_dagster.sources.provider import Served

LOOK_BACK = timedelta(days=365)
READS = ("politician_trades", "lobbying", "gov_contracts")


@dataclass(frozen=True)
class ComputedScores:
    """`dc_insider_scores` from the stored trades, filings and contracts of the year up to each day."""

    look: Callable[[Table, date, date], pd.DataFrame]
    first: date
    last: date
    name: str = "computed"

    def coverage(self, table: Table) -> tuple[date, date] | None:
        return (self.first, self.last) if table.name == "dc_insider_scores" else None

    def serve(self, table: Table, first: date, last: date) -> Served:
        days = pd.date_range(first, last, unit="us")
        trades, lobbying, contracts = (self.look(TABLES[name], first - LOOK_BACK, last) for name in READS)
        return Served(scores(trades, lobbying, contracts, days))
