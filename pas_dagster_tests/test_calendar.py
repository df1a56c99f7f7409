"""Sessions against facts that are not taken from the library."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.calendar import NEW_YORK, Cadence

# https://www.nyse.com/markets/hours-calendars, and the days on which the exchange closed for an event.
CLOSED = [
    "2012-10-29",
    "2012-10-30",
    "2018-12-05",
    "2025-01-09",
    "2001-09-11",
    "2001-09-12",
    "2001-09-13",
    "2001-09-14",
    "2022-06-20",
    "2023-06-19",
    "2024-06-19",
    "2022-12-26",
    "2023-01-02",
    "2024-01-01",
    "2024-01-15",
    "2024-02-19",
    "2024-03-29",
    "2024-05-27",
    "2024-07-04",
    "2024-09-02",
    "2024-11-28",
    "2024-12-25",
    "2025-04-18",
    "2026-01-01",
    "2026-01-19",
    "2026-02-16",
    "2026-04-03",
    "2026-05-25",
    "2026-06-19",
    "2026-07-03",
    "2026-09-07",
    "2026-11-26",
    "2026-12-25",
    "2027-01-01",
    "2027-07-05",
    "2027-12-24",
]
# Days that look like holidays and are not: half days, Juneteenth before 2022, a New Year's Eve before a Saturday.
OPEN = [
    "2024-07-03",
    "2024-11-29",
    "2024-12-24",
    "2021-06-18",
    "2021-12-31",
    "2010-12-31",
    "2024-10-14",
    "2024-11-11",
    "2001-09-17",
    "2012-10-31",
]
DAYS = st.dates(date(1991, 1, 1), date(2034, 12, 1))


@pytest.mark.parametrize("day", CLOSED)
def test_closed(day: str) -> None:
    closed = date.fromisoformat(day)
    assert not calendar.is_session(closed)
    assert closed in calendar.holidays(closed, closed)


@pytest.mark.parametrize("day", OPEN)
def test_open(day: str) -> None:
    assert calendar.is_session(date.fromisoformat(day))
    assert calendar.holidays(date.fromisoformat(day), date.fromisoformat(day)) == []


def test_2024_is_exact() -> None:
    weekdays = [date(2024, 1, 1) + timedelta(n) for n in range(366) if (date(2024, 1, 1) + timedelta(n)).weekday() < 5]
    assert calendar.sessions(date(2024, 1, 1), date(2024, 12, 31)) == [
        day for day in weekdays if str(day) not in CLOSED
    ]
    assert len(calendar.sessions(date(2024, 1, 1), date(2024, 12, 31))) == 252


def test_the_calendar_reaches_years_ahead() -> None:
    """The library's own default ends one year ahead of today."""
    assert calendar.sessions(date(2035, 12, 1), date(2036, 1, 31))[-1] == date(2035, 12, 31)


@pytest.mark.parametrize(
    ("day", "first"),
    [
        ("2024-01-15", "2024-01-16"),
        ("2024-01-16", "2024-01-16"),
        ("2024-06-01", "2024-06-03"),
        ("2021-04-02", "2021-04-05"),
        ("2012-10-27", "2012-10-31"),
        ("2001-09-11", "2001-09-17"),
        ("2022-12-24", "2022-12-27"),
    ],
)
def test_a_decision_on_a_closed_day_trades_in_the_next_session(day: str, first: str) -> None:
    assert calendar.roll_forward(date.fromisoformat(day)) == date.fromisoformat(first)


@given(DAYS)
def test_neighbouring_sessions(day: date) -> None:
    """By walking one day at a time."""
    after = day
    while not calendar.is_session(after):
        after += timedelta(1)
    before = day - timedelta(1)
    while not calendar.is_session(before):
        before -= timedelta(1)
    assert (calendar.roll_forward(day), calendar.previous_session(day)) == (after, before)


@given(DAYS, st.integers(0, 60))
def test_every_day_is_a_session_a_holiday_or_a_weekend(first: date, length: int) -> None:
    last = first + timedelta(length)
    every = calendar.days(first, last)
    assert len(every) == length + 1
    weekends = [day for day in every if day.weekday() >= 5]
    parts = [*calendar.sessions(first, last), *calendar.holidays(first, last), *weekends]
    assert sorted(parts) == every


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        ("2024-03-10T04:59:59+00:00", "2024-03-09"),  # before the clocks go forward: five hours behind
        ("2024-03-10T05:00:00+00:00", "2024-03-10"),
        ("2024-03-11T03:59:59+00:00", "2024-03-10"),  # after: four
        ("2024-03-11T04:00:00+00:00", "2024-03-11"),
        ("2024-11-03T03:59:59+00:00", "2024-11-02"),
        ("2024-11-04T04:59:59+00:00", "2024-11-03"),
        ("2024-11-04T05:00:00+00:00", "2024-11-04"),
        ("2024-06-03T08:00:00+09:00", "2024-06-02"),
    ],
)
def test_the_day_in_new_york(instant: str, day: str) -> None:
    assert calendar.today(datetime.fromisoformat(instant)) == date.fromisoformat(day)


def test_a_naive_time_has_no_day() -> None:
    with pytest.raises(ValueError, match="naive"):
        calendar.today(datetime(2024, 1, 2))  # noqa: DTZ001


@given(DAYS)
def test_midnight_is_the_first_moment_of_the_day(day: date) -> None:
    start = calendar.midnight(day).astimezone(UTC)
    assert calendar.today(start) == day
    assert calendar.today(start - timedelta(seconds=1)) == day - timedelta(1)
    assert start.astimezone(NEW_YORK).hour == 0


# https://www.nyse.com/markets/hours-calendars: the days on which the exchange closes at one o'clock.
EARLY = [
    "2019-07-03",
    "2023-11-24",
    "2024-07-03",
    "2024-11-29",
    "2024-12-24",
    "2025-07-03",
    "2025-11-28",
    "2025-12-24",
    "2026-11-27",
    "2026-12-24",
]


def test_a_session_opens_at_half_past_nine_and_closes_at_four_or_on_half_days_at_one() -> None:
    """By the wall clock of New York."""
    known = {date.fromisoformat(day) for day in EARLY if day >= "2024"}
    for day in calendar.sessions(date(2024, 1, 1), date(2026, 12, 31)):
        opens, closes = calendar.opening(day), calendar.closing(day)
        assert f"{opens:%F %H:%M:%S.%f}" == f"{day} 09:30:00.000000"
        assert f"{closes:%F %H:%M:%S.%f}" == f"{day} {13 if day in known else 16}:00:00.000000"
        assert opens.tzinfo is closes.tzinfo is NEW_YORK


@pytest.mark.parametrize("day", EARLY)
def test_early_closes(day: str) -> None:
    assert calendar.closing(date.fromisoformat(day)).time() == time(13)
    assert calendar.opening(date.fromisoformat(day)).time() == time(9, 30)


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        ("2024-03-08", "14:30", "21:00"),  # winter: five hours behind
        ("2024-03-11", "13:30", "20:00"),  # summer: four
        ("2024-11-01", "13:30", "20:00"),
        ("2024-11-04", "14:30", "21:00"),
    ],
)
def test_hours_follow_the_clocks_of_new_york(day: str, opens: str, closes: str) -> None:
    session = date.fromisoformat(day)
    assert f"{calendar.opening(session).astimezone(UTC):%F %H:%M}" == f"{day} {opens}"
    assert f"{calendar.closing(session).astimezone(UTC):%F %H:%M}" == f"{day} {closes}"


@pytest.mark.parametrize("day", ["2024-07-04", "2024-07-06", "2040-01-03"])
def test_a_day_without_trading_has_no_hours(day: str) -> None:
    for edge in (calendar.opening, calendar.closing):
        with pytest.raises(ValueError, match=f"{day} is no session"):
            edge(date.fromisoformat(day))


@pytest.mark.parametrize("cadence", Cadence)
def test_nominal_days_are_the_ticks_of_the_cron_line(cadence: Cadence) -> None:
    """Dagster's own cron iterator is the oracle."""
    from dagster import TimeWindowPartitionsDefinition

    first, last = date(2015, 1, 1), date(2026, 12, 31)
    ticks = TimeWindowPartitionsDefinition(
        cron_schedule=cadence.value,
        start=str(first),
        end="2027-03-01",
        fmt="%Y-%m-%d",
        timezone="America/New_York",
    ).get_partition_keys(current_time=datetime(2027, 6, 1, tzinfo=UTC))
    assert [str(day) for day in cadence.nominal_days(first, last)] == [key for key in ticks if key <= str(last)]


def test_nominal_days_include_both_ends() -> None:
    monday = date(2024, 1, 15)
    assert Cadence.WEEKLY_MON.nominal_days(monday, monday) == [monday]
    assert Cadence.WEEKLY_MON.nominal_days(monday + timedelta(1), monday + timedelta(6)) == []
