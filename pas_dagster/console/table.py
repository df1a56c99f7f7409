"""Frames as terminal tables."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table


def show(
    frame: pd.DataFrame, *, title: str | None = None, total: int | None = None, console: Console | None = None
) -> None:
    """Print a frame; numbers to the right, days without their midnight."""
    out = console or Console()
    if title:
        out.print(title, style="bold", highlight=False)
    table = Table(header_style="dim", box=None, pad_edge=False)
    for at, name in enumerate(frame.columns):
        numeric = pd.api.types.is_numeric_dtype(frame[name])
        # The first column names the row: it stays whole, the others fold.
        table.add_column(str(name), justify="right" if numeric else "left", overflow="fold", no_wrap=at == 0)
    for row in frame.itertuples(index=False):
        table.add_row(*(cell(value) for value in row))
    out.print(table)
    if total is not None and total > len(frame):
        out.print(f"… {total - len(frame):,} more rows", style="dim")


def cell(value: Any) -> str:
    """One value as text.

    >>> cell(pd.Timestamp("2024-01-02")), cell(1234567.0), cell(0.12345678), cell(None)
    ('2024-01-02', '1,234,567', '0.123457', '')
    """
    if value is None or value is pd.NaT or (isinstance(value, float) and pd.isna(value)):
        return ""
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}" if value == value.normalize() else f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:,.6g}"
    return str(value)
