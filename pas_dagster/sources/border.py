"""The border: what a source read becomes rows of the table, or is refused with a reason. Nothing passes unseen."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from pas_dagster import calendar
from pas_dagster.schemas import Table, normalise_symbols
from pas_dagster.sources.files.layouts.shape import day_reasons, days, instants, typed
from pas_dagster.sources.source import BAD_COLUMNS, Query, Reading

MAX_BAD = 0.05
"""The share of refused rows above which a source is taken to have changed."""

FEW_BAD = 3
"""Fewer refused rows prove nothing."""

_SKEW = timedelta(minutes=5)  # clocks differ


@dataclass(frozen=True)
class Admitted:
    """`rows` have the table's columns but provider, all of the window.

    `refused` has the columns of `BAD_COLUMNS` and the day `known_on` a row belongs to, if it says one. `unreadable` of
    them the parser could not read, of `read` rows in all. `repeated` counts rows that were there twice with the same
    content, `outside` those of other days.
    """

    rows: pd.DataFrame
    refused: pd.DataFrame
    repeated: int
    outside: int
    unreadable: int
    read: int

    @property
    def spoilt(self) -> bool:
        """Whether so much was refused that the source is taken to have changed.

        More than 5 % (and three rows, for a single absurd one must not keep a day out) of the days asked for, or of
        all that was read; or there is nothing but refused rows.
        """
        wrong = len(self.refused) - int(self.refused["expected"].astype(bool).sum())
        inside = wrong - self.unreadable
        return (
            _too_many(inside, len(self.rows) + inside)
            or _too_many(self.unreadable, self.read)
            or (wrong > 0 and self.rows.empty and self.outside == 0)
            or (inside > 0 and self.rows.empty)
        )


def _too_many(wrong: int, total: int) -> bool:
    return wrong >= FEW_BAD and wrong > MAX_BAD * total


def admit(table: Table, reading: Reading, query: Query) -> Admitted:
    """Type, normalise and check what was read. Rows of other days are left out, repeated rows are kept once.

    Refused are rows that cannot be typed, break a rule of the table, repeat a key with other content, are dated after
    the moment they were read, or became known after the day they are filed under.
    """
    names = [name for name in table.names if name != "provider"]
    bad = reading.bad.reindex(columns=BAD_COLUMNS).assign(known_on=pd.NaT)
    unreadable = len(bad) - int(bad["expected"].fillna(False).astype(bool).sum())
    read = len(reading.rows) + unreadable
    if reading.rows.empty:
        return Admitted(table.empty()[names], bad, 0, 0, unreadable, read)
    all_rows = _dated(reading.rows.reset_index(drop=True))
    elsewhere = _of_other_days(all_rows, query)
    raw_rows = all_rows[~elsewhere]
    if "symbol" in raw_rows:
        raw_rows = raw_rows.assign(symbol=_symbols(raw_rows["symbol"]))
    refused = [bad]
    lacking = [c.name for c in table.columns if not c.nullable and c.name not in (*raw_rows, "provider")]
    if lacking:
        reasons = pd.Series(f"{lacking[0]} is missing", index=raw_rows.index)
        told = pd.concat([*refused, _told(raw_rows, reasons)])
        return Admitted(table.empty()[names], told, 0, int(elsewhere.sum()), unreadable, read)
    rows, faults = typed(raw_rows, table)
    refused.append(_told(raw_rows, faults.set_index("row")["reason"]))
    missing = {c.name: pd.Series(None, rows.index, dtype=c.kind.dtype) for c in table.columns if c.name not in rows}
    whole = rows.assign(**{name: column for name, column in missing.items() if table.column(name).nullable})[names]
    late = _impossible(table, whole, query)
    refused.append(_told(raw_rows, late))
    whole = whole[~whole.index.isin(late.index)]
    facts = [name for name in names if name not in ("raw", "known_at")]
    if whole["known_at"].notna().any():  # of what is told twice, the first telling counts
        once = whole.sort_values("known_at", kind="stable").drop_duplicates(facts).sort_index()
    else:
        once = whole.drop_duplicates(facts)
    verdict = table.check(table.conform(once.assign(provider="")))
    refused.append(_told(raw_rows, verdict.bad["reason"]))
    good = table.sort(verdict.good)[names]
    kept = [part for part in refused if len(part)] or refused[:1]
    told = pd.concat(kept, ignore_index=True)
    return Admitted(good, told, len(whole) - len(once), int(elsewhere.sum()), unreadable, read)


def _of_other_days(rows: pd.DataFrame, query: Query) -> pd.Series:
    """Rows that say another day than those asked for. A day that has not come yet is a fault, not another day."""
    if "known_on" not in rows:
        return pd.Series(False, index=rows.index)
    known, today = days(rows["known_on"]), pd.Timestamp(calendar.today(query.now))
    return (known < pd.Timestamp(query.first)) | ((known > pd.Timestamp(query.last)) & (known <= today))


def _dated(rows: pd.DataFrame) -> pd.DataFrame:
    """With `known_on`: where only the instant is stated, its day in New York."""
    if "known_at" not in rows:
        return rows
    moments = instants(rows["known_at"])
    local = _new_york_day(moments)
    known_on = rows["known_on"].where(rows["known_on"].notna(), local) if "known_on" in rows else local
    return rows.assign(known_at=moments, known_on=known_on)


def _new_york_day(moments: pd.Series) -> pd.Series:
    return moments.dt.tz_localize("UTC").dt.tz_convert(calendar.NEW_YORK).dt.tz_localize(None).dt.normalize()


def _symbols(values: pd.Series) -> pd.Series:
    blank = values.isna() | values.astype("str").str.strip().isin(["", "-", "--", "N/A", "None"])
    return normalise_symbols(values.astype("str")).where(~blank, None)


def _impossible(table: Table, rows: pd.DataFrame, query: Query) -> pd.Series:
    """Reasons of rows whose days cannot be, by row."""
    reasons = day_reasons(table.name, rows["known_on"], rows["event_date"], calendar.today(query.now))
    ahead = rows["known_at"] > pd.Timestamp(query.now + _SKEW).tz_convert("UTC").tz_localize(None)
    reasons = np.where((reasons == "") & ahead.to_numpy(), "known_at is in the future", reasons)
    later = _new_york_day(rows["known_at"]) > rows["known_on"]
    reasons = np.where((reasons == "") & later.to_numpy(), "known_at is after known_on", reasons)
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
            "known_on": days(named["known_on"]).to_numpy() if "known_on" in named else pd.NaT,
        }
    )
