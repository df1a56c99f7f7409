"""NYSE sessions and the days on which decisions trade (exchange_calendars XNYS).

>>> roll_forward(date(2024, 1, 15))   # Martin Luther King Day
datetime.date(2024, 1, 16)
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from enum import Enum
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

NEW_YORK = ZoneInfo("America/New_York")
FIRST = date(1990, 1, 1)
LAST = date(2035, 12, 31)  # the library ends one year ahead unless told otherwise


@lru_cache(maxsize=1)
def _schedule() -> pd.DataFrame:
    import exchange_calendars

    return exchange_calendars.get_calendar("XNYS", start=str(FIRST), end=str(LAST)).schedule


@lru_cache(maxsize=1)
def _days() -> np.ndarray:
    return _schedule().index.to_numpy().astype("datetime64[D]")


@lru_cache(maxsize=1)
def _hours() -> np.ndarray:
    """Seconds since 1970 at which the sessions of `_days` open and close, shape (n, 2)."""
    ends = [_schedule()[name].dt.tz_convert(None).to_numpy() for name in ("open", "close")]
    return np.column_stack(ends).astype("datetime64[s]").astype(np.int64)


def sessions(first: date, last: date) -> list[date]:
    """Every session from `first` to `last`, both included."""
    return session_array(first, last).astype(object).tolist()


def session_array(first: date, last: date) -> np.ndarray:
    """The same as `datetime64[D]`, shape (n,)."""
    days = _days()
    return days[np.searchsorted(days, np.datetime64(first)) : np.searchsorted(days, np.datetime64(last), "right")]


def is_session(day: date) -> bool:
    days = _days()
    at = np.searchsorted(days, np.datetime64(day))
    return bool(at < len(days) and days[at] == np.datetime64(day))


def roll_forward(day: date) -> date:
    """The first session on or after the day: when a decision that falls on a holiday trades."""
    days = _days()
    return days[np.searchsorted(days, np.datetime64(day))].astype(object)


def previous_session(day: date) -> date:
    """The last session strictly before the day."""
    days = _days()
    return days[np.searchsorted(days, np.datetime64(day)) - 1].astype(object)


def opening(session: date) -> datetime:
    """When a session opens, in New York; `ValueError` for a day that is no session."""
    return _edge(session, 0)


def closing(session: date) -> datetime:
    """When a session closes, in New York, early closes included; `ValueError` for a day that is no session."""
    return _edge(session, 1)


def _edge(session: date, column: int) -> datetime:
    days = _days()
    at = int(np.searchsorted(days, np.datetime64(session)))
    if at == len(days) or days[at] != np.datetime64(session):
        raise ValueError(f"{session} is no session and has no hours; pass a day on which the exchange trades")
    return datetime.fromtimestamp(int(_hours()[at, column]), NEW_YORK)


def holidays(first: date, last: date) -> list[date]:
    """Weekdays on which the exchange is closed all day."""
    weekdays = pd.bdate_range(first, last).to_numpy().astype("datetime64[D]")
    return np.setdiff1d(weekdays, session_array(first, last)).astype(object).tolist()


def today(now: datetime) -> date:
    """The day in New York at an aware instant."""
    if now.tzinfo is None:
        raise ValueError("a naive time has no day in New York; pass an aware datetime")
    return now.astimezone(NEW_YORK).date()


def midnight(day: date) -> datetime:
    """The start of the day in New York, aware."""
    return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK)


def days(first: date, last: date) -> list[date]:
    """Every calendar day from `first` to `last`, both included."""
    return [first + timedelta(n) for n in range((last - first).days + 1)]


def as_dates(keys: Iterable[str]) -> list[date]:
    """Partition keys as dates."""
    return [date.fromisoformat(key) for key in keys]


class Cadence(Enum):
    """How often a strategy decides; the value is the cron line of its nominal days."""

    WEEKLY_MON = "0 0 * * 1"
    WEEKLY_FRI = "0 0 * * 5"
    MONTHLY = "0 0 1 * *"
    MONTHLY_FIRST_MON = "0 0 * * 1#1"

    def nominal_days(self, first: date, last: date) -> list[date]:
        """The nominal decision days from `first` to `last`, both included."""
        return [day for day in days(first, last) if self._is_nominal(day)]

    def _is_nominal(self, day: date) -> bool:
        match self:
            case Cadence.WEEKLY_MON:
                return day.weekday() == 0
            case Cadence.WEEKLY_FRI:
                return day.weekday() == 4
            case Cadence.MONTHLY:
                return day.day == 1
            case Cadence.MONTHLY_FIRST_MON:
                return day.weekday() == 0 and day.day <= 7
