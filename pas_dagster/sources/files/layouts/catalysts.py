"""Calendars of decisions that somebody keeps: `ticker,drug,indication,event_type,event_date,date_precision,...`.

`event_date` is the day on which the event is expected, by `date_precision` (day, month, quarter, half, year; empty is
day) the last day of its period. An entry is known from `first_seen`. Calendars copied from web pages write days in many
ways: 2025-07-01, 2025-07, 7/1/2025, 7.1.2025 and `07/01/2025 ET` are understood, always month before day.
"""

from __future__ import annotations

import pandas as pd

from pas_dagster.schemas import normalise_symbols
from pas_dagster.schemas.table import SYMBOL_PATTERN
from pas_dagster.sources.files.layouts.shape import Context, Layout, Shaped, days, faults

_PERIODS = {"day": 0, "month": 1, "quarter": 3, "half": 6, "year": 12}
"""Precision -> months of the period, of which the last day counts."""

_DOTTED = r"^(\d{1,2})\.(\d{1,2})\.(\d{4})$"


def calendar(frame: pd.DataFrame, context: Context) -> Shaped:
    """One row per entry; an entry is named by symbol, drug and kind, so that a new date of it is seen as one."""
    symbol = normalise_symbols(_words(frame, "ticker"))
    listed = symbol.where(symbol.str.match(SYMBOL_PATTERN, na=False))
    drug, kind = _words(frame, "drug"), _words(frame, "event_type")
    company = _words(frame, "company")
    company = company.where(company != "", symbol)
    indication = _words(frame, "indication")
    product = drug.where(indication == "", drug + " in " + indication).where(drug != "", indication)
    precision = _words(frame, "date_precision").str.lower().replace("", "day")
    expected = _period_end(_spelled(frame["event_date"]), precision)
    known = days(_spelled(frame["first_seen"]))
    rows = pd.DataFrame(
        {
            "known_on": known,
            "event_date": known,
            "event_id": (symbol + ":" + drug).str.lower(),
            "symbol": listed,
            "company": company,
            "product": product.where(product != ""),
            "kind": kind.str.lower(),
            "expected_on": expected,
        }
    )
    imprecise = ~precision.isin(list(_PERIODS))
    undated = expected.isna() & ~imprecise
    sound = ~(imprecise | undated)
    kindless = (kind == "") & sound
    nameless = (company == "") & sound & ~kindless
    wrong = pd.concat(
        [
            faults(frame.index[imprecise], [_unknown(text) for text in precision[imprecise]]),
            faults(
                frame.index[undated], [f"event_date {text!r} is not a day" for text in frame["event_date"][undated]]
            ),
            faults(frame.index[kindless], "event_type is missing"),
            faults(frame.index[nameless], "neither ticker nor company is given"),
        ]
    )
    return Shaped(rows[sound & ~kindless & ~nameless], wrong)


def _unknown(precision: str) -> str:
    return f"date_precision {precision!r} must be one of {', '.join(_PERIODS)}"


def _words(frame: pd.DataFrame, column: str) -> pd.Series:
    """A column's texts without blanks around them; empty where there are none."""
    if column not in frame:
        return pd.Series("", index=frame.index, dtype="str")
    return frame[column].astype("str").fillna("").str.strip()


def _spelled(values: pd.Series) -> pd.Series:
    """Days as pages write them, in a spelling that `days` understands."""
    if values.dtype.kind == "M":
        return values
    text = values.astype("str").str.strip().str.replace(r"\s+(?:ET|EST|EDT)$", "", regex=True)
    return text.str.replace(_DOTTED, r"\1/\2/\3", regex=True)


def _period_end(values: pd.Series, precision: pd.Series) -> pd.Series:
    day = days(values)
    ends = day.copy()
    for name, months in _PERIODS.items():
        chosen = (precision == name) & day.notna()
        if months and chosen.any():
            given = day[chosen]
            past = (given.dt.month - 1) % months
            last = (given.dt.to_period("M") + (months - 1 - past)).dt.to_timestamp(how="end").dt.normalize()
            ends[chosen] = last.astype("datetime64[us]")
    return ends


LAYOUTS = (
    Layout("catalyst-calendar", "catalyst_events", ["ticker", "event_type", "event_date", "first_seen"], calendar),
)
