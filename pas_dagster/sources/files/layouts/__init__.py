"""Recognised layouts of files: each turns the columns it finds into a dataset's columns.

The first layout of a dataset that fits is taken; `generic`, the last, takes files whose columns (after `--map`)
are the dataset's own.
"""

from __future__ import annotations

from collections.abc import Sequence

from pas_dagster.errors import PasError
from pas_dagster.schemas import Table
from pas_dagster.sources.files.layouts import catalysts, congress, generic, prices, series, universe
from pas_dagster.sources.files.layouts.shape import Context, Layout, Shaped, plain

LAYOUTS: tuple[Layout, ...] = (
    *prices.LAYOUTS,
    *series.LAYOUTS,
    *congress.LAYOUTS,
    *universe.LAYOUTS,
    *catalysts.LAYOUTS,
)


def of(table: Table) -> list[Layout]:
    """The layouts of a dataset, the generic one last."""
    return [layout for layout in LAYOUTS if layout.dataset == table.name] + [generic.layout(table)]


def choose(table: Table, columns: Sequence[str], file: str, wanted: str | None = None) -> Layout:
    """The layout for a file's columns; raises `PasError` naming a missing column and how to map it."""
    candidates = of(table)
    if wanted is not None:
        candidates = [layout for layout in candidates if layout.name == wanted]
        if not candidates:
            names = ", ".join(layout.name for layout in of(table))
            raise PasError(f"{table.name} has no layout {wanted!r}. It has: {names}.")
    for layout in candidates:
        if layout.fits(columns):
            return layout
    lacking = [layout for layout in candidates if layout.missing(columns)]
    if not lacking:
        raise PasError(f"{file} does not have the form of layout {wanted}. It has the columns: {', '.join(columns)}.")
    nearest = min(lacking, key=lambda layout: len(layout.missing(columns)) / len(layout.needs))
    missing = nearest.missing(columns)
    need = ", ".join(repr(name) for name in missing)
    raise PasError(
        f"{file} has no column {need}, which {table.name} needs (layout {nearest.name}). "
        f"It has: {', '.join(columns)}. Name yours with --map {missing[0]}=COLUMN."
    )


__all__ = ["LAYOUTS", "Context", "Layout", "Shaped", "choose", "of", "plain"]
