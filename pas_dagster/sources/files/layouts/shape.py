"""What a layout is given, what it gives back, and the readings of days and numbers that layouts share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from pas_dagster import calendar
from pas_dagster.schemas import Column, Kind, Table
from pas_dagster.sources.files.options import Options

DATE_NAMES = frozenset({"", "date", "day", "timestamp", "known_on", "event_date", "t", "observation_date"})
SESSION_DATASETS = frozenset({"prices", "sp500_index", "treasury_rates"})  # nothing is published on other days
FIRST_DISCLOSURES = date(2008, 1, 1)
FUTURE = "known_on is in the future"


@dataclass(frozen=True)
class Context:
    """What a layout knows beside the rows."""

    table: Table
    file: str
    options: Options
    today: date
    start: date


@dataclass(frozen=True)
class Shaped:
    """A dataset's rows, index = row number in the file (in wide files it repeats).

    `faults`: `row`, `reason`, `cell` (the source column of a wide file, else null). `extra`: rows of other datasets.
    `cells`: symbol -> source column, for wide files. `left_out`: rows that are no fault and no fact, by reason.
    """

    rows: pd.DataFrame
    faults: pd.DataFrame = field(default_factory=lambda: no_faults())
    extra: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    cells: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """One recognised form of a file: the plain names it needs, and the function that reshapes it.

    A `verbatim` layout gets the columns as the file spells them, any other gets plain names (`plain`).
    """

    name: str
    dataset: str
    needs: Sequence[str]
    shape: Callable[[pd.DataFrame, Context], Shaped]
    verbatim: bool = False
    also: Callable[[Sequence[str]], bool] = lambda columns: True

    def missing(self, columns: Sequence[str]) -> list[str]:
        found = set(plain(columns))
        return [name for name in self.needs if name not in found and not (name == "date" and found & DATE_NAMES)]

    def fits(self, columns: Sequence[str]) -> bool:
        return not self.missing(columns) and self.also(columns)


def plain(columns: Sequence[str]) -> list[str]:
    """Column names without case and punctuation.

    >>> plain(["Adj Close", "Mkt-RF", "GICS Sector"])
    ['adj_close', 'mkt_rf', 'gics_sector']
    """
    return [re.sub(r"[^0-9a-z]+", "_", str(column).strip().lower()).strip("_") for column in columns]


def no_faults() -> pd.DataFrame:
    return pd.DataFrame({"row": pd.Series([], dtype="int64"), "reason": _texts(), "cell": _texts()})


def _texts() -> pd.Series:
    return pd.Series([], dtype="str")


def faults(rows: Sequence[int] | np.ndarray | pd.Index, reason: object, cell: object = None) -> pd.DataFrame:
    """Faults at row numbers, with one reason for all or one each."""
    frame = pd.DataFrame({"row": np.asarray(rows, dtype="int64")})
    return frame.assign(
        reason=pd.Series(reason, index=frame.index, dtype="str"), cell=pd.Series(cell, index=frame.index, dtype="str")
    )


def joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several lists of faults as one."""
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else no_faults()


def date_column(frame: pd.DataFrame) -> str:
    """The name of the column that holds the days."""
    return next(column for column in frame.columns if plain([column])[0] in DATE_NAMES)


def days(values: pd.Series) -> pd.Series:
    """Days as datetime64[us]; NaT where the text is no day. An instant counts by its day in New York.

    Understands 2026-08-03 (with or without a time), 20260803 and 08/03/2026.
    """
    if values.dtype.kind == "M" or isinstance(values.dtype, pd.DatetimeTZDtype):
        found = values
    elif values.dtype.kind in "iu":
        return days(values.astype("str"))
    else:
        text = values.astype("str").str.strip()
        aware = text.str.contains(r":\d\d.*(?:[+-]\d\d:?\d\d|Z)$", regex=True, na=False)
        found = pd.to_datetime(text.where(~aware), format="ISO8601", errors="coerce").astype("datetime64[us]")
        if aware.any():
            instants = pd.to_datetime(text[aware], format="ISO8601", errors="coerce", utc=True)
            found = found.where(~aware, _new_york(instants).reindex(found.index))
        rest = found.isna() & text.notna()
        if rest.any():
            american = pd.to_datetime(text[rest], format="%m/%d/%Y", errors="coerce")
            found = found.where(~rest, american.astype("datetime64[us]").reindex(found.index))
    if isinstance(found.dtype, pd.DatetimeTZDtype):
        found = _new_york(found)
    return found.dt.normalize().astype("datetime64[us]")


def _new_york(instants: pd.Series) -> pd.Series:
    return instants.dt.tz_convert(calendar.NEW_YORK).dt.tz_localize(None).astype("datetime64[us]")


def instants(values: pd.Series) -> pd.Series:
    """Instants as naive UTC, datetime64[us]; NaT where the text states none. What has no zone is UTC."""
    found = values if values.dtype.kind == "M" else pd.to_datetime(values, format="ISO8601", errors="coerce", utc=True)
    if isinstance(found.dtype, pd.DatetimeTZDtype):
        found = found.dt.tz_convert("UTC").dt.tz_localize(None)
    return found.astype("datetime64[us]")


def numbers(values: pd.Series) -> pd.Series:
    """Numbers as float64, thousands commas allowed; NaN where the text is no number."""
    if values.dtype.kind in "fiub":
        return values.astype("float64")
    text = values.astype("str").str.strip()
    grouped = text.str.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", na=False)
    return pd.to_numeric(text.where(~grouped, text.str.replace(",", "")), errors="coerce").astype("float64")


def typed(frame: pd.DataFrame, table: Table) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The frame with the table's types where it has the table's columns, and faults for cells that cannot have them.

    Rows with a fault are dropped. A missing value is a fault only where the type has no null (whole numbers).
    """
    result, wrong = {}, []
    refused = np.zeros(len(frame), bool)
    for column in table.columns:
        if column.name not in frame:
            continue
        given = frame[column.name]
        made = _read(given, column)
        lost = (made.isna() & (given.notna() if column.kind is not Kind.INT else True)).to_numpy(bool)
        if lost.any():
            first = lost & ~refused
            wrong.append(faults(frame.index[first], [_misread(column, value) for value in given[first]]))
            refused |= lost
        result[column.name] = made
    whole = pd.DataFrame(result, index=frame.index)[~refused] if refused.any() else pd.DataFrame(result, frame.index)
    return whole, joined(wrong)


def _read(values: pd.Series, column: Column) -> pd.Series:
    match column.kind:
        case Kind.DATE:
            return days(values)
        case Kind.INSTANT:
            return instants(values)
        case Kind.FLOAT:
            return numbers(values)
        case Kind.INT:
            read = numbers(values)
            return read.where(read == read.round())
        case Kind.BOOL:
            return values.astype("str").str.lower().map({"true": True, "false": False, "1": True, "0": False})
        case Kind.TEXT:
            return values.astype("str")
    raise AssertionError(column.kind)


def _misread(column: Column, value: object) -> str:
    if pd.isna(value):
        return f"{column.name} is missing"
    words = {
        Kind.DATE: "is not a day",
        Kind.INSTANT: "is not an instant",
        Kind.FLOAT: "is not a number",
        Kind.INT: "is not a whole number",
    }
    return f"{column.name} {value!r} {words.get(column.kind, 'is not true or false')}"


def day_reasons(dataset: str, known_on: pd.Series, event_date: pd.Series, today: date) -> np.ndarray:
    """Why each row's days cannot be, as text; '' where they can."""
    known = known_on.to_numpy().astype("datetime64[D]")
    event = event_date.to_numpy().astype("datetime64[D]")
    now = np.datetime64(today, "D")
    reasons = np.full(len(known), "", dtype=object)
    if dataset in SESSION_DATASETS:
        open_days = calendar.session_array(calendar.FIRST, calendar.LAST)
        reasons[~np.isin(known, open_days)] = "known_on is not an NYSE session"
    if dataset == "politician_trades":
        reasons[event > known] = "filed before it was traded"
        reasons[event > now] = "traded in the future"
        reasons[event < np.datetime64(FIRST_DISCLOSURES, "D")] = "traded before 2008"
    reasons[known > now] = FUTURE
    reasons[np.isnat(event)] = "event_date is missing"
    reasons[np.isnat(known)] = "known_on is missing"
    return reasons
