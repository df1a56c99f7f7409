"""Numbers and days in the words of a tear sheet, as plain text and as HTML that keeps the exact value."""

from __future__ import annotations

from html import escape

import numpy as np

from pas_dagster.analytics.figures import MONTHS, number, percent
from pas_dagster.analytics.tear_sheet.book import Days

NOTHING = "–"


def day(when: np.datetime64) -> str:
    """A day in words, the same in every locale.

    >>> day(np.datetime64("2024-03-05"))
    '5 Mar 2024'
    """
    year, month, of_month = str(when.astype("datetime64[D]")).split("-")
    return f"{int(of_month)} {MONTHS[int(month) - 1]} {year}"


def month(when: np.datetime64) -> str:
    """Month and year.

    >>> month(np.datetime64("2024-03-05"))
    'Mar 2024'
    """
    return day(when).split(" ", 1)[1]


def time(when: np.datetime64) -> str:
    """A day as HTML."""
    return f'<time datetime="{when.astype("datetime64[D]")}">{day(when)}</time>'


def data(value: float, shown: str) -> str:
    """A number as HTML: what is shown, and the exact value."""
    return f'<data value="{float(value)!r}">{escape(shown)}</data>'


def stated(value: float, unit: str) -> str:
    """A number of a unit - percent, fine (two decimals of a per cent) or number - as plain text."""
    if not np.isfinite(value):
        return NOTHING
    return number(value) if unit == "number" else percent(value, 2 if unit == "fine" else 1)


def span(days: Days) -> str:
    """From the first day to the last.

    >>> span(np.array(["2024-01-02", "2024-01-05"], "datetime64[D]"))
    '2 Jan 2024 to 5 Jan 2024'
    """
    return day(days[0]) if len(days) == 1 else f"{day(days[0])} to {day(days[-1])}"


def count(many: int, what: str) -> str:
    """A number of things.

    >>> count(1, "session"), count(2516, "session")
    ('1 session', '2,516 sessions')
    """
    return f"{many:,} {what}{'' if many == 1 else 's'}"
