"""When the sandbox's market is open: NYSE sessions with their early closes, and a clock that can be set."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from threading import Lock
from typing import NamedTuple

from pas_dagster import calendar


class Session(NamedTuple):
    """A trading day; `open` and `close` are aware, in UTC."""

    day: date
    open: datetime
    close: datetime


@lru_cache(maxsize=512)
def _session(day: date) -> Session:
    return Session(day, calendar.opening(day).astimezone(UTC), calendar.closing(day).astimezone(UTC))


def between(first: date, last: date) -> list[Session]:
    """Every session from `first` to `last`, both included."""
    return [_session(day) for day in calendar.sessions(first, last)]


def following(moment: datetime) -> Session:
    """The session in which an order sent at `moment` trades: the first that has not closed."""
    day = calendar.roll_forward(calendar.today(moment))
    while _session(day).close <= moment:
        day = calendar.roll_forward(day + timedelta(1))
    return _session(day)


def opened(after: datetime, until: datetime) -> list[Session]:
    """The sessions that opened after an instant, up to another."""
    return [one for one in between(calendar.today(after), calendar.today(until)) if after < one.open <= until]


def last_tick(moment: datetime) -> datetime:
    """The last instant up to `moment` at which the market was open."""
    session = following(moment)
    return moment if session.open <= moment else _session(calendar.previous_session(session.day)).close


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
