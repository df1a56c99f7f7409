"""When the sandbox's market is open: NYSE sessions with their early closes, and a clock that can be set."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from threading import Lock
from typing import NamedTuple

import pandas as pd

from pas_dagster import calendar


class Session(NamedTuple):
    """A trading day; `open` and `close` are aware, in UTC."""

    day: date
    open: datetime
    close: datetime


@lru_cache(maxsize=1)
def _schedule() -> pd.DataFrame:
    import exchange_calendars

    found = exchange_calendars.get_calendar("XNYS", start=str(calendar.FIRST), end=str(calendar.LAST))
    return found.schedule


@lru_cache(maxsize=512)
def _session(day: date) -> Session:
    row = _schedule().loc[pd.Timestamp(day)]
    return Session(day, row["open"].to_pydatetime().astimezone(UTC), row["close"].to_pydatetime().astimezone(UTC))


def between(first: date, last: date) -> list[Session]:
    """Every session from `first` to `last`, both included."""
    return [_session(day) for day in calendar.sessions(first, last)]


def following(moment: datetime) -> Session:
    """The session in which an order sent at `moment` trades: the first that has not closed."""
    day = calendar.roll_forward(calendar.today(moment))
    while _session(day).close <= moment:
        day = calendar.roll_forward(day + timedelta(1))
    return _session(day)


class Hand:
    """A clock that stands until it is moved."""

    def __init__(self, moment: datetime) -> None:
        if moment.tzinfo is None:
            raise ValueError("a market's clock needs a time zone")
        self._moment = moment.astimezone(UTC)
        self._lock = Lock()

    def __call__(self) -> datetime:
        with self._lock:
            return self._moment

    def to(self, moment: datetime) -> None:
        with self._lock:
            self._moment = moment.astimezone(UTC)

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._moment += timedelta(seconds=seconds)
