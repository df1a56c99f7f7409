"""Any dataset from a file whose columns are the dataset's own, by name or after `--map`."""

from __future__ import annotations

import pandas as pd

from pas_dagster.schemas import Table, normalise_symbols
from pas_dagster.schemas.table import SYMBOL_PATTERN
from pas_dagster.sources.files.layouts.shape import SESSION_DATASETS, Context, Layout, Shaped

_GIVEN = frozenset({"provider", "raw"})  # the import knows these itself


def layout(table: Table) -> Layout:
    """The generic layout of a table; daily datasets may give one `date` for both days."""
    needs = [c.name for c in table.columns if not c.nullable and c.name not in _GIVEN]
    if table.name in SESSION_DATASETS:
        needs = ["date", *(name for name in needs if name not in ("known_on", "event_date"))]
    return Layout("generic", table.name, needs, _shape)


def _shape(frame: pd.DataFrame, context: Context) -> Shaped:
    if context.table.name in SESSION_DATASETS:
        day = next(name for name in ("known_on", "event_date", "date", *frame.columns) if name in frame)
        frame = frame.assign(known_on=frame[day], event_date=frame.get("event_date", frame[day]))
    if "symbol" not in frame:
        return Shaped(frame)
    frame = frame.assign(symbol=normalise_symbols(frame["symbol"]))
    if context.table.column("symbol").nullable:  # an unlisted asset is a fact
        frame = frame.assign(symbol=frame["symbol"].where(frame["symbol"].str.match(SYMBOL_PATTERN, na=False)))
    keep = ~frame["symbol"].isin(context.options.exclude)
    return Shaped(frame[keep], left_out={"excluded symbols": int((~keep).sum())})
