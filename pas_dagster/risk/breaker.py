"""The circuit breaker: when the account has lost too much or the data are too old, nothing more is traded.

It is a function of the equity curve, so that whoever asks again, after a crash or in a backtest, gets the same answer:
the curve is walked from its beginning, and what tripped stays tripped until its cool-down is over or someone resumes.
One walk answers for many days: `checks` says of each what `check` would have said on it.

* **Daily loss**: a session's equity against that of the session before.
* **Drawdown**: against the highest equity since the beginning, or since trading last went on again. Without that new
  start an account that fell by its limit could never trade again.
* **Data age**: as long as the data are old or their age is not known. It passes by itself when they are fresh.
* **Equity that is not a number above 0** trips like a loss: an account that cannot be valued is not traded.

A daily loss while tripped starts the cool-down anew. An account without any equity yet has lost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, NamedTuple

import pandas as pd

Ages = Mapping[str, float | None]  # dataset -> age in days, None or NaN where not known


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """Limits; None disables one.

    Attributes:
        daily_loss: largest loss of one session, a positive fraction.
        drawdown: largest fall from the high, a positive fraction.
        data_age: oldest data, in days; fractions are allowed.
        cool_down: calendar days after the last trip on which nothing is traded; None waits for someone to resume.

    Raises:
        ValueError: a parameter is out of range; one sentence names it.

    >>> BreakerPolicy(daily_loss=-0.03)
    Traceback (most recent call last):
    ...
    ValueError: the breaker needs a daily_loss above 0 and below 1, or none, not -0.03
    """

    daily_loss: float | None = 0.05
    drawdown: float | None = 0.20
    data_age: float | None = 4.0
    cool_down: int | None = 5

    def __post_init__(self) -> None:
        """Refuse a policy that has no meaning."""
        for name in ("daily_loss", "drawdown"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, float) or not 0.0 < value < 1.0):
                raise ValueError(f"the breaker needs a {name} above 0 and below 1, or none, not {value}")
        if self.data_age is not None and not 0.0 <= self.data_age < math.inf:
            raise ValueError(f"the breaker needs a data_age of at least 0 days, or none, not {self.data_age}")
        days = self.cool_down
        if days is not None and (isinstance(days, bool) or not isinstance(days, int) or days < 0):
            raise ValueError(f"the breaker needs a cool_down of at least 0 whole days, or none, not {days}")


class Verdict(NamedTuple):
    """Whether one may trade today.

    Attributes:
        state: `open`, trading goes on, or `tripped`.
        reasons: one sentence for each cause, empty when open.
        tripped_on: session of the first loss since it was last open, or today for data; None when open.
        until: first day on which it opens by itself; None when open, or when that is for a person or for the data.
    """

    state: Literal["open", "tripped"]
    reasons: tuple[str, ...]
    tripped_on: date | None
    until: date | None


class _Trip(NamedTuple):
    """Tripped by losses: since when, why, and the last of them."""

    first: date
    reasons: tuple[str, ...]
    last: date


class _Walk(NamedTuple):
    """What the sessions so far have left: the trip, the high that drawdowns count from, the last known equity."""

    trip: _Trip | None = None
    high: float = 0.0
    last: float = math.nan


def check(
    equity: pd.Series,
    today: date,
    ages: Ages,
    policy: BreakerPolicy | None = None,
    *,
    resumed: date | None = None,
) -> Verdict:
    """The state of the breaker on `today`.

    Args:
        equity: USD by session, rising dates, none after `today`.
        today: the day on which one would trade.
        ages: of the datasets today. Hand in all that must be fresh, the equity too.
        policy: limits.
        resumed: day on which a person resumed trading. It ends trips of sessions **before** that day; what happens on
            the day itself trips again.

    Raises:
        ValueError: dates that do not rise, or lie after `today`.

    >>> days = pd.to_datetime(["2024-03-01", "2024-03-04", "2024-03-05"])
    >>> verdict = check(pd.Series([100.0, 94.0, 95.0], index=days), date(2024, 3, 6), {"prices": 1.0})
    >>> verdict.state, verdict.reasons, str(verdict.until)
    ('tripped', ('2024-03-04: the account lost 6.00 % in a session, the limit is 5.00 %',), '2024-03-10')
    """
    return checks(equity, [today], [ages], policy, resumed=resumed)[0]


def checks(
    equity: pd.Series,
    days: Sequence[date],
    ages: Sequence[Ages],
    policy: BreakerPolicy | None = None,
    *,
    resumed: date | None = None,
) -> tuple[Verdict, ...]:
    """The state of the breaker on each of several days, of which each sees the sessions up to itself only.

    The same as `check` of every day with the equity up to it, in one walk of the curve instead of one for each day.

    Args:
        equity: USD by session, rising dates, none after the last of `days`.
        days: on which one would trade, rising.
        ages: of the datasets on each of the days.
        policy: limits.
        resumed: as in `check`.

    Raises:
        ValueError: dates that do not rise, equity after the last day, or not as many ages as days.

    >>> sessions = pd.to_datetime(["2024-03-01", "2024-03-04", "2024-03-05"])
    >>> days = [date(2024, 3, 1), date(2024, 3, 4), date(2024, 3, 11)]
    >>> found = checks(pd.Series([100.0, 94.0, 95.0], index=sessions), days, [{}, {}, {}])
    >>> [verdict.state for verdict in found]
    ['open', 'tripped', 'open']
    """
    policy = policy or BreakerPolicy()
    sessions, values = [_day_of(stamp) for stamp in equity.index], [float(value) for value in equity]
    if len(ages) != len(days) or not _rise(days):
        raise ValueError(f"the days of the breaker must rise, each with its ages: {len(days)} days, {len(ages)} ages")
    if not _rise(sessions) or (sessions and days and sessions[-1] > days[-1]):
        raise ValueError(f"the dates of an equity curve must rise and not lie after {days[-1] if days else 'any day'}")
    walk, at, found = _Walk(), 0, []
    for day, own in zip(days, ages, strict=True):
        while at < len(sessions) and sessions[at] <= day:
            walk = _after(walk, sessions[at], values[at], policy, resumed)
            at += 1
        found.append(_verdict(walk.trip, day, own, policy, resumed))
    return tuple(found)


def _rise(days: Sequence[date]) -> bool:
    """Whether every day is later than the one before."""
    return all(earlier < later for earlier, later in zip(days, days[1:], strict=False))


def _day_of(stamp: object) -> date:
    """The calendar day of a label of the index.

    Raises:
        ValueError: the label is no date.
    """
    if isinstance(stamp, pd.Timestamp):
        return stamp.date()
    if type(stamp) is date:
        return stamp
    raise ValueError(f"an equity curve is indexed by dates, not by {stamp!r}")


def _after(walk: _Walk, day: date, value: float, policy: BreakerPolicy, resumed: date | None) -> _Walk:
    """The walk with one session more."""
    trip, high, last = walk
    if trip is not None and _over(trip, day, policy, resumed):
        trip, high = None, last if last > 0.0 else 0.0
    known = value > 0.0 and math.isfinite(value)
    high = max(high, value) if known else high
    causes = _losses(day, value, last, high if trip is None else 0.0, policy)
    if causes:
        trip = _Trip(trip.first if trip else day, (trip.reasons if trip else ()) + causes, day)
    return _Walk(trip, high, value if known else last)


def _verdict(trip: _Trip | None, day: date, ages: Ages, policy: BreakerPolicy, resumed: date | None) -> Verdict:
    """What a trip and the ages of the data come to on a day."""
    old = _old(ages, policy)
    if trip is None or _over(trip, day, policy, resumed):
        return Verdict("tripped", old, day, None) if old else Verdict("open", (), None, None)
    return Verdict("tripped", trip.reasons + old, trip.first, None if old else _until(trip, policy))


def _losses(day: date, value: float, last: float, high: float, policy: BreakerPolicy) -> tuple[str, ...]:
    """Why a session trips the breaker; `high` is 0 where the drawdown is not looked at."""
    if not (value > 0.0 and math.isfinite(value)):
        return (f"{day}: the equity is {value:.6g}, which is no value of an account",)
    found = []
    loss, fall = 1.0 - value / last, 1.0 - value / high if high > 0.0 else 0.0
    if policy.daily_loss is not None and loss >= policy.daily_loss:
        found.append(
            f"{day}: the account lost {_percent(loss)} in a session, the limit is {_percent(policy.daily_loss)}"
        )
    if policy.drawdown is not None and fall >= policy.drawdown:
        found.append(f"{day}: the account is {_percent(fall)} below its high, the limit is {_percent(policy.drawdown)}")
    return tuple(found)


def _over(trip: _Trip, day: date, policy: BreakerPolicy, resumed: date | None) -> bool:
    """Whether a trip no longer holds on `day`."""
    if resumed is not None and trip.last < resumed <= day:
        return True
    until = _until(trip, policy)
    return until is not None and day >= until


def _until(trip: _Trip, policy: BreakerPolicy) -> date | None:
    return None if policy.cool_down is None else trip.last + timedelta(days=policy.cool_down + 1)


def _old(ages: Ages, policy: BreakerPolicy) -> tuple[str, ...]:
    """Why the data are too old."""
    if policy.data_age is None:
        return ()
    found = []
    for name, age in ages.items():
        if age is None or math.isnan(age):
            found.append(f"the age of {name} is not known")
        elif age < 0.0:
            found.append(f"{name} is from {-age:.3g} days ahead, so the clock or the data are wrong")
        elif age > policy.data_age:
            found.append(f"{name} is {age:.3g} days old, the limit is {policy.data_age:.3g}")
    return tuple(found)


def _percent(value: float) -> str:
    return f"{value * 100:.2f} %"
