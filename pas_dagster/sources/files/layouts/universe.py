"""Membership: spans of index members, today's members, and the listed securities of price files.

A list says who is a member from when; nobody becomes a member before the list says so. Today's members, in
particular, are a snapshot: they are members (of `sp500_current`) from the day it was taken, never in the past.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from pas_dagster import calendar
from pas_dagster.errors import PasError
from pas_dagster.schemas import normalise_symbols
from pas_dagster.sources.files.layouts.shape import Context, Layout, Shaped, days
from pas_dagster.sources.files.readers import read_table

_LATE = 5  # sessions without a bar at the end of a file before a security counts as gone


def recycled_symbols(path: Path) -> frozenset[str]:
    """Symbols that a `universe_flags.csv` marks as used by another company before: what to `exclude`."""
    flags = read_table(path)
    return frozenset(normalise_symbols(flags["ticker"][_true(flags["possible_ticker_reuse"])]))


def memberships(spans: pd.DataFrame, kind: str, index_name: str, ends_before: pd.Timestamp) -> pd.DataFrame:
    """Universe rows from spans of bars (symbol, name, sector, min, max): in at the first, out after the last.

    A security leaves on the first session without it; one whose bars end within the file's last five sessions stays.
    """
    added = spans.assign(known_on=spans["min"], action="add")
    left = spans[spans["max"] < np.datetime64(_late_day(ends_before.date()))]
    after = [calendar.roll_forward(day.date() + pd.Timedelta(days=1)) for day in left["max"]]
    removed = left.assign(known_on=pd.to_datetime(pd.Series(after, index=left.index)), action="remove")
    rows = pd.concat([added, removed]) if len(removed) else added
    return rows.assign(event_date=rows["known_on"], kind=kind, index_name=index_name).drop(columns=["min", "max"])


def _late_day(last: date) -> date:
    return calendar.sessions(calendar.FIRST, last)[-_LATE]


def spans(frame: pd.DataFrame, context: Context) -> Shaped:
    """`ticker,start_date,end_date` (fja05680/sp500): in on the start, out on the end, which is the first day out."""
    base = pd.DataFrame({"symbol": normalise_symbols(frame["ticker"])})
    base = base.assign(name=base["symbol"], sector=None, kind="stock")
    base = base.assign(index_name=context.options.index_name or "sp500")
    added = base.assign(known_on=frame["start_date"], event_date=frame["start_date"], action="add")
    ended = frame["end_date"].notna()
    removed = base[ended].assign(known_on=frame["end_date"], event_date=frame["end_date"], action="remove")
    rows = pd.concat([added, removed]).sort_index(kind="stable")
    keep = ~rows["symbol"].isin(context.options.exclude)
    return Shaped(rows[keep], left_out={"excluded symbols": int((~keep).sum())})


def snapshot(frame: pd.DataFrame, context: Context) -> Shaped:
    """Today's members with names and sectors (datasets/s-and-p-500-companies).

    Known on the option `known_on`; without it on the last `Date added`, before which the list cannot have been made.
    """
    added = days(frame["date_added"])
    taken = pd.Timestamp(context.options.known_on) if context.options.known_on else added.max()
    rows = pd.DataFrame(
        {
            "known_on": taken,
            "event_date": added.fillna(taken),
            "symbol": normalise_symbols(frame["symbol"]),
            "name": frame["security"],
            "kind": "stock",
            "sector": frame["gics_sector"],
            "index_name": context.options.index_name or "sp500_current",
            "action": "add",
        },
        index=frame.index,
    )
    keep = ~rows["symbol"].isin(context.options.exclude)
    return Shaped(rows[keep], left_out={"excluded symbols": int((~keep).sum())})


def flags(frame: pd.DataFrame, context: Context) -> Shaped:
    """`universe_flags.csv`: the securities of price files with their first and last bar; recycled symbols left out.

    With the option `part` only those of one price file: a stock that is listed but has no bar would be chosen in vain.
    """
    everything = len(frame)
    if context.options.part is not None:
        parts = frame["file"].astype("str")
        frame = frame[(parts == context.options.part).to_numpy()]
        if frame.empty:
            known = ", ".join(sorted(parts.dropna().unique()))
            raise PasError(f"{context.file} has no part {context.options.part!r}. It has: {known}.")
    symbols = normalise_symbols(frame["ticker"])
    reused = _true(frame["possible_ticker_reuse"]) | symbols.isin(context.options.exclude)
    found = pd.DataFrame({"symbol": symbols, "name": symbols, "sector": frame["gics_sector"]}, index=frame.index)
    found = found.assign(min=days(frame["first_date"]), max=days(frame["last_date"]))[~reused]
    kind = frame["file"].str.contains("etf", case=False, na=False).map({True: "etf", False: "stock"})
    rows = memberships(found, "stock", context.options.index_name or "listed", found["max"].max())
    rows = rows.assign(kind=kind.reindex(rows.index))
    left_out = {"recycled or excluded symbols": int(reused.sum()), "other price files": everything - len(frame)}
    return Shaped(rows, left_out=left_out)


def _true(values: pd.Series) -> pd.Series:
    return values.astype("str").str.lower().eq("true").fillna(False)


LAYOUTS = (
    Layout("universe-flags", "universe", ["ticker", "first_date", "last_date", "possible_ticker_reuse"], flags),
    Layout("universe-spans", "universe", ["ticker", "start_date", "end_date"], spans),
    Layout("universe-snapshot", "universe", ["symbol", "security", "gics_sector", "date_added"], snapshot),
)
