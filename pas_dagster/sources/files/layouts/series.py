"""Series of numbers by day: the S&P 500, Treasury rates from FRED, and Fama-French factors."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pas_dagster.errors import PasError
from pas_dagster.sources.files.layouts.shape import Context, Layout, Shaped, date_column, days, faults, joined, numbers

FACTORS = ("mkt_rf", "smb", "hml", "rmw", "cma", "rf")
_PUBLICATION_LAG = pd.Timedelta(days=60)
_MISSING = -99.0  # Ken French's files write -99.99 or -999 where there is no value


def index(frame: pd.DataFrame, context: Context) -> Shaped:
    """Open, high, low, close and volume of the index by day; all but the close may be absent."""
    day = date_column(frame)
    return Shaped(frame.assign(known_on=frame[day], event_date=frame[day]))


def rates(frame: pd.DataFrame, context: Context) -> Shaped:
    """FRED: a day and a rate in percent a year; which rate, the option `tenor` says. `.` is a day without a rate."""
    if context.options.tenor is None:
        raise PasError(f"{context.file} does not say which rate it holds. Add --option tenor=3m (or 10y, ...).")
    day = date_column(frame)
    value = next(column for column in frame.columns if column != day)
    text = frame[value].astype("str").str.strip()
    given = frame[value].notna() & (text != ".").fillna(False)
    percent = numbers(frame[value])[given]
    lost = percent.isna()
    reasons = [f"rate {value!r} is not a number" for value in frame[value][given][lost]]
    rows = pd.DataFrame({"known_on": frame[day], "event_date": frame[day]})[given][~lost]
    rows = rows.assign(tenor=context.options.tenor, rate=(percent[~lost] / 100).round(12))
    return Shaped(rows, faults(percent.index[lost], reasons), left_out={"days without a value": int((~given).sum())})


def factors(frame: pd.DataFrame, context: Context) -> Shaped:
    """Ken French's daily factors, percent in the file, fractions here; the 3-factor file has no rmw and cma.

    When a value was first published is not in the file. The library is refreshed monthly, one to two months late,
    so a value counts as known 60 days after the end of its month.
    """
    day = date_column(frame)
    present = [name for name in FACTORS if name in frame]
    prose = frame[present].isna().all(axis=1)  # the copyright line
    frame = frame[~prose]
    when = days(frame[day].astype("str").str.strip())
    undated = when.isna()
    values = pd.DataFrame({name: numbers(frame[name]) for name in present}, index=frame.index)
    lost = (values.isna() & frame[present].notna()) & ~undated.to_numpy()[:, None]
    absent = (values <= _MISSING) & ~undated.to_numpy()[:, None]
    wrong = [faults(frame.index[undated], [f"event_date {value!r} is not a day" for value in frame[day][undated]])]
    bad = undated.copy()
    for name in present:
        for mask, reason in (
            (absent[name], f"{name} is missing (-99.99 or -999)"),
            (lost[name], f"{name} is no number"),
        ):
            wrong.append(faults(frame.index[mask & ~bad], reason))
            bad |= mask
    rows = (values[~bad] / 100).round(12).assign(event_date=when[~bad])
    month_end = rows["event_date"] + pd.offsets.MonthEnd(0)
    rows = rows.assign(known_on=month_end + _PUBLICATION_LAG)
    return Shaped(rows, joined(wrong), left_out={"lines of prose": int(prose.sum())})


def _one_value(columns: Sequence[str]) -> bool:
    return len(columns) == 2


LAYOUTS = (
    Layout("index-bars", "sp500_index", ["date", "close"], index),
    Layout("fred-series", "treasury_rates", ["date"], rates, also=_one_value),
    Layout("ken-french", "fama_french_factors", ["date", "mkt_rf", "smb", "hml", "rf"], factors),
)
