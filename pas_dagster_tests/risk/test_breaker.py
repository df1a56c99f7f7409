"""The circuit breaker: a day-by-day loop as the second opinion, and what opens it again."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.risk.breaker import BreakerPolicy, check, checks

START = date(2024, 3, 4)
FRESH = {"prices": 1.0}


def curve(values) -> pd.Series:
    days = pd.DatetimeIndex([START + timedelta(days=k) for k in range(len(values))])
    return pd.Series(np.array(values, dtype=float), index=days)


def after(values, days: int = 1, **policy):
    """The verdict so many days after the last session."""
    today = START + timedelta(days=len(values) - 1 + days)
    return check(curve(values), today, FRESH, BreakerPolicy(**policy))


def test_nothing_trips_within_the_limits() -> None:
    assert after([100, 96, 93, 90]) == ("open", (), None, None)
    assert after([]) == ("open", (), None, None)


def test_a_loss_of_the_limit_trips_and_the_reason_says_when_and_how_much() -> None:
    found = after([100, 101, 95], daily_loss=0.05, cool_down=5)
    assert found.state == "tripped" and found.tripped_on == START + timedelta(days=2)
    assert found.reasons == ("2024-03-06: the account lost 5.94 % in a session, the limit is 5.00 %",)
    assert found.until == date(2024, 3, 12)
    assert after([100, 95], daily_loss=0.05).state == "tripped"
    assert after([100, 95.01], daily_loss=0.05).state == "open"


def test_a_slow_fall_trips_on_the_drawdown() -> None:
    values = [100, 97, 94, 91, 88, 85]
    found = after(values, drawdown=0.15, daily_loss=None)
    assert found.reasons == ("2024-03-09: the account is 15.00 % below its high, the limit is 15.00 %",)
    assert after(values, drawdown=None, daily_loss=None).state == "open"


def test_it_stays_tripped_for_the_cool_down_and_opens_then() -> None:
    values = [100, 90]
    states = [after(values, days, cool_down=3).state for days in range(6)]
    assert states == ["tripped"] * 4 + ["open"] * 2  # the session itself, three days, then open
    assert after(values, 0, cool_down=3).until == START + timedelta(days=1 + 4)
    assert after(values, 1, cool_down=0).state == "open"


def test_without_a_cool_down_it_waits_for_a_person() -> None:
    policy = BreakerPolicy(cool_down=None)
    tripped = check(curve([100, 90]), date(2024, 12, 31), FRESH, policy)
    assert tripped.state == "tripped" and tripped.until is None
    day = START + timedelta(days=2)
    assert check(curve([100, 90]), day, FRESH, policy, resumed=day).state == "open"


def test_a_resume_does_not_cover_what_happens_on_its_day_or_later() -> None:
    policy = BreakerPolicy(cool_down=None)
    today = START + timedelta(days=9)
    for resumed, state in ((0, "tripped"), (1, "tripped"), (2, "open"), (10, "tripped")):
        verdict = check(curve([100, 90]), today, FRESH, policy, resumed=START + timedelta(days=resumed))
        assert verdict.state == state, resumed


def test_after_it_has_opened_the_drawdown_counts_from_there() -> None:
    """Else an account that once fell by the limit could never trade again."""
    values = [100, 80, 80, 80, 80, 78]
    assert after(values[:2], drawdown=0.15, daily_loss=None, cool_down=2).state == "tripped"
    assert after(values, drawdown=0.15, daily_loss=None, cool_down=2).state == "open"
    assert after([*values, 67], drawdown=0.15, daily_loss=None, cool_down=2).state == "tripped"


def test_a_loss_while_tripped_starts_the_cool_down_anew() -> None:
    found = after([100, 90, 90, 80], cool_down=3)
    assert found.tripped_on == START + timedelta(days=1) and found.until == START + timedelta(days=3 + 4)
    assert len(found.reasons) == 2


@pytest.mark.parametrize("value", [math.nan, 0.0, -5.0, math.inf])
def test_equity_that_is_no_number_trips(value: float) -> None:
    found = after([100, value])
    assert found.state == "tripped" and "no value of an account" in found.reasons[0]
    assert after([100, value, 90], daily_loss=0.05, cool_down=9).reasons[1].endswith("the limit is 5.00 %")
    assert after([100, value, 100], cool_down=0).state == "open"


@pytest.mark.parametrize(
    ("age", "sentence"),
    [
        (4.5, "prices is 4.5 days old, the limit is 4"),
        (math.inf, "prices is inf days old, the limit is 4"),
        (None, "the age of prices is not known"),
        (math.nan, "the age of prices is not known"),
        (-2.0, "prices is from 2 days ahead, so the clock or the data are wrong"),
    ],
)
def test_old_data_trip_as_long_as_they_are_old(age, sentence: str) -> None:
    today = START + timedelta(days=1)
    found = check(curve([100]), today, {"news": 0.0, "prices": age})
    assert found == ("tripped", (sentence,), today, None)
    assert check(curve([100]), today, {"prices": age}, BreakerPolicy(data_age=None)).state == "open"
    assert check(curve([100]), today, {"prices": 4.0}).state == "open"
    both = check(curve([100, 90]), today, {"prices": age})
    assert both.reasons[-1] == sentence and both.until is None and both.tripped_on == today


VALUES = st.lists(st.sampled_from([70.0, 80.0, 90.0, 95.0, 100.0, 105.0, math.nan]), max_size=14)


def plain_check(values, today: int, daily: float, drawdown: float, cool: int | None, resumed: int | None) -> int | None:
    """Day by day: the day on which it tripped, or None."""
    since = last_trip = high = previous = None
    for day in range(today + 1):
        if since is not None and (
            (cool is not None and day > last_trip + cool) or (resumed is not None and last_trip < resumed <= day)
        ):
            since, high = None, previous
        if day >= len(values):
            continue
        value = values[day]
        bad = math.isnan(value)
        if not bad:
            high = value if high is None else max(high, value)
            bad = previous is not None and 1 - value / previous >= daily
            bad = bad or (since is None and 1 - value / high >= drawdown)
            previous = value
        if bad:
            since, last_trip = (day if since is None else since), day
    return since


@settings(max_examples=200, deadline=None)
@given(VALUES, st.integers(0, 6), st.sampled_from([None, 0, 2, 5]), st.sampled_from([None, 1, 3, 6]))
def test_the_breaker_is_a_plain_walk_through_the_days(values, later: int, cool, resumed) -> None:
    today = max(len(values) - 1, 0) + later
    policy = BreakerPolicy(daily_loss=0.08, drawdown=0.12, cool_down=cool)
    resume = None if resumed is None else START + timedelta(days=resumed)
    found = check(curve(values), START + timedelta(days=today), FRESH, policy, resumed=resume)
    since = plain_check(values, today, 0.08, 0.12, cool, resumed)
    assert found.tripped_on == (None if since is None else START + timedelta(days=since))
    assert (found.state == "tripped") == bool(found.reasons) == (since is not None)
    assert found.until is None or found.until > START + timedelta(days=today)


AGES = st.sampled_from([0.0, 1.0, 9.0, None, math.nan])


@settings(max_examples=200, deadline=None)
@given(VALUES, st.data(), st.sampled_from([None, 0, 2, 5]), st.sampled_from([None, 1, 3, 6, 40]))
def test_one_walk_for_many_days_says_what_a_walk_for_each_says(values, data, cool, resumed) -> None:
    # Sessions on every second day, asked about on days with and without one, before the first and after the last.
    index = pd.DatetimeIndex([START + timedelta(days=2 * k) for k in range(len(values))])
    equity = pd.Series(np.array(values, dtype=float), index=index)
    last = 2 * max(len(values) - 1, 0)
    asked = sorted(data.draw(st.sets(st.integers(-3, last + 9), max_size=12)) | {last + data.draw(st.integers(0, 9))})
    equity = equity[equity.index <= pd.Timestamp(START + timedelta(days=asked[-1]))]
    days = [START + timedelta(days=k) for k in asked]
    ages = [{"prices": data.draw(AGES)} for _ in days]
    policy = BreakerPolicy(daily_loss=0.08, drawdown=0.12, cool_down=cool)
    resume = None if resumed is None else START + timedelta(days=resumed)
    found = checks(equity, days, ages, policy, resumed=resume)
    assert len(found) == len(days)
    for day, own, verdict in zip(days, ages, found, strict=True):
        upto = equity[equity.index <= pd.Timestamp(day)]
        assert verdict == check(upto, day, own, policy, resumed=resume)


def test_many_days_are_asked_about_in_order_and_each_with_its_ages() -> None:
    days = [START, START + timedelta(days=1)]
    assert checks(curve([100, 90]), [], []) == ()
    for bad in ([days[::-1], [FRESH, FRESH]], [days, [FRESH]], [[days[0], days[0]], [FRESH, FRESH]]):
        with pytest.raises(ValueError, match="the days of the breaker must rise, each with its ages"):
            checks(curve([100]), *bad)
    with pytest.raises(ValueError, match="must rise and not lie after 2024-03-05"):
        checks(curve([100, 90, 80]), days, [FRESH, FRESH])
    with pytest.raises(ValueError, match="indexed by dates"):
        checks(pd.Series([1.0, 2.0]), days, [FRESH, FRESH])


def test_the_future_changes_nothing_of_a_past_day() -> None:
    values = [100, 90, 95, 80, 100]
    for day in range(len(values)):
        today = START + timedelta(days=day)
        assert check(curve(values[: day + 1]), today, FRESH) == check(curve(values).loc[: str(today)], today, FRESH)
    with pytest.raises(ValueError, match="must rise and not lie after"):
        check(curve(values), START, FRESH)
    with pytest.raises(ValueError, match="must rise"):
        check(curve(values)[::-1], START + timedelta(days=9), FRESH)


def test_a_policy_without_meaning_is_refused() -> None:
    for bad in (
        {"daily_loss": -0.03},
        {"daily_loss": 1.0},
        {"drawdown": math.nan},
        {"drawdown": True},
        {"data_age": -1.0},
        {"cool_down": -1},
        {"cool_down": 1.5},
    ):
        with pytest.raises(ValueError, match="the breaker needs"):
            BreakerPolicy(**bad)
    assert BreakerPolicy(daily_loss=None, drawdown=None, data_age=None, cool_down=None)
