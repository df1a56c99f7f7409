"""Rows by their day."""

from __future__ import annotations

from datetime import date

import pandas as pd


def by_day(rows: pd.DataFrame, column: str) -> dict[date, pd.DataFrame]:
    """The rows of each day, days ascending."""
    days = rows[column].to_numpy().astype("datetime64[D]")
    return {pd.Timestamp(str(day)).date(): own for day, own in rows.groupby(days, sort=True)}  # ty: ignore
