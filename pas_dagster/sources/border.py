"""The border: what a source read becomes rows of the table, or is refused with a reason. Nothing passes unseen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from pas_dagster import calendar
from pas_dagster.schemas import Table, normalise_symbols
from pas_dagster.sources.files.layouts.shape import day_reasons, instants, typed
from pas_dagster.sources.source import BAD_COLUMNS, Query, Reading

MAX_BAD = 0.05
"""The share of refused rows above which a source is taken to have changed."""

_SKEW = timedelta(minutes=5)  # clocks differ


@dataclass(frozen=True)
class Admitted:
    """`rows` have the table's columns but provider, all of the window. `refused` has the columns of `BAD_COLUMNS`.

    `repeated` counts rows that were there twice with the same content, `outside` those of other days.
    """

    rows: pd.DataFrame
    refused: pd.DataFrame
    repeated: int
    outside: int

    @property
    def share_refused(self) -> float:
        """Of all rows, without those that are expected to be unreadable."""
        refused = len(self.refused) - int(self.refused["expected"].astype(bool).sum())
        total = len(self.rows) + refused
        return refused / total if total else 0.0


def admit(table: Table, reading: Reading, query: Query) -> Admitted:
    """Type, normalise and check what was read. Rows of other days are left out, repeated rows are kept once.

    Refused are rows that cannot be typed, break a rule of the table, repeat a key with other content, or are dated
    after the moment they were read.
    """
    names = [name for name in table.names if name != "provider"]
    refused = [reading.bad.reindex(columns=BAD_COLUMNS)]
    if reading.rows.empty:
        return Admitted(table.empty()[names], refused[0], 0, 0)
    raw_rows = _dated(reading.rows.reset_index(drop=True))
    if "symbol" in raw_rows:
        raw_rows["symbol"] = _symbols(raw_rows["symbol"])
    lacking = [c.name for c in table.columns if not c.nullable and c.name not in (*raw_rows, "provider")]
    if lacking:
        reasons = pd.Series(f"{lacking[0]} is missing", index=raw_rows.index)
        return Admitted(table.empty()[names], pd.concat([*refused, _told(raw_rows, reasons)]), 0, 0)
    rows, faults = typed(raw_rows, table)
    refused.append(_told(raw_rows, faults.set_index("row")["reason"]))
    missing = {c.name: pd.Series(None, rows.index, dtype=c.kind.dtype) for c in table.columns if c.name not in rows}
    whole = rows.assign(**{name: column for name, column in missing.items() if table.column(name).nullable})[names]
    late = _impossible(table, whole, query)
    refused.append(_told(raw_rows, late))
    whole = whole[~whole.index.isin(late.index)]
    within = whole["known_on"].between(pd.Timestamp(query.first), pd.Timestamp(query.last))
    inside = whole[within]
    once = inside.drop_duplicates([name for name in names if name not in ("raw", "known_at")])
    verdict = table.check(table.conform(once.assign(provider="")))
    refused.append(_told(raw_rows, verdict.bad["reason"]))
    good = table.sort(verdict.good)[names]
    kept = [part for part in refused if len(part)] or refused[:1]
    return Admitted(good, pd.concat(kept, ignore_index=True), len(inside) - len(once), int((~within).sum()))


def _dated(rows: pd.DataFrame) -> pd.DataFrame:
    """With `known_on`: where only the instant is stated, its day in New York."""
    if "known_at" not in rows:
        return rows
    moments = instants(rows["known_at"]) if len(rows) else rows["known_at"]
    local = moments.dt.tz_localize("UTC").dt.tz_convert(calendar.NEW_YORK).dt.tz_localize(None).dt.normalize()
    known_on = rows["known_on"].where(rows["known_on"].notna(), local) if "known_on" in rows else local
    return rows.assign(known_at=moments, known_on=known_on)


def _symbols(values: pd.Series) -> pd.Series:
    blank = values.isna() | values.astype("str").str.strip().isin(["", "-", "--", "N/A", "None"])
    return normalise_symbols(values.astype("str")).where(~blank, None)


def _impossible(table: Table, rows: pd.DataFrame, query: Query) -> pd.Series:
    """Reasons of rows whose days cannot be, by row."""
    reasons = day_reasons(table.name, rows["known_on"], rows["event_date"], calendar.today(query.now))
    ahead = rows["known_at"] > pd.Timestamp(query.now + _SKEW).tz_convert("UTC").tz_localize(None)
    reasons = np.where((reasons == "") & ahead.to_numpy(), "known_at is in the future", reasons)
    return pd.Series(reasons, index=rows.index)[reasons != ""]


def _told(raw_rows: pd.DataFrame, reasons: pd.Series) -> pd.DataFrame:
    """Refused rows as the quarantine keeps them: the first reason of each, and the row as it was read."""
    first = reasons[~reasons.index.duplicated()]
    named = raw_rows.loc[first.index]
    contents = [json.dumps(row, default=str) for row in named.astype(object).to_dict("records")]
    where = named["raw"].astype("str") if "raw" in named else pd.Series("", index=named.index)
    return pd.DataFrame(
        {
            "url": ("raw:" + where).to_numpy(),
            "row_number": first.index.to_numpy(dtype="int64") + 1,
            "reason": first.to_numpy(),
            "content": contents,
            "expected": False,
        }
    )
