"""Where the account of the settings is measured: one table for paper accounts, one for live ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pandas as pd

from pas_dagster import settings
from pas_dagster.execution.account import account_spec
from pas_dagster.lake import Lake
from pas_dagster.schemas import TABLES, Table
from pas_dagster.settings import Settings


def name(chosen: Settings | None = None) -> str:
    """Of the table and the asset."""
    mode = (chosen or settings.current()).mode
    return "account_metrics_live" if mode == "live" else "account_metrics_paper"


def table(chosen: Settings | None = None) -> Table:
    return TABLES[name(chosen)]


def read(
    lake: Lake, *, first: date | None = None, last: date | None = None, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """The account's sessions. Those of another account, which was traded before it, are left out."""
    own = account_spec(settings.current()).id
    return lake.read(table(), first=first, last=last, columns=columns, where="account = ?", values=[own])


def without_flows(equity: pd.Series, flows: pd.Series) -> pd.Series:
    """The equity as if nothing had been paid in or out after the first session: a deposit is no gain.

    >>> without_flows(pd.Series([100.0, 160.0, 80.0]), pd.Series([100.0, 50.0, 0.0])).tolist()
    [100.0, 110.0, 55.0]
    """
    if not flows.iloc[1:].any():
        return equity
    growth = (equity - flows) / equity.shift()
    growth.iloc[0] = equity.iloc[0]
    return growth.cumprod()
