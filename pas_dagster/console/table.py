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
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for name in frame.columns:
        numeric = pd.api.types.is_numeric_dtype(frame[name])
        table.add_column(str(name), justify="right" if numeric else "left", overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(cell(value) for value in row))
    out = console or Console()
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
