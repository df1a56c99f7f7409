"""Which partition each schedule asks for, at the moments that go wrong elsewhere."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import pytest
from dagster import DefaultScheduleStatus, RunRequest, ScheduleDefinition, SkipReason, build_schedule_context
from dagster._utils.schedules import cron_string_iterator

from pas_dagster import calendar, settings
from pas_dagster.automation.hours import trading_time
from pas_dagster.automation.jobs import JOBS
from pas_dagster.automation.schedules import SCHEDULES

BOOKS = [schedule for schedule in SCHEDULES if schedule.job_name == "books"]
BY_JOB = {schedule.job_name: schedule for schedule in SCHEDULES if schedule not in BOOKS}
CLOSED = None
ORDER = (
    *("daily_facts", "session_facts", "sleeve_returns"),
    *("strategies_weekly_mon", "strategies_weekly_fri", "strategies_monthly", "strategies_monthly_first_mon"),
    *("allocate", "trade", "report"),
)
BESIDE = ("snapshots", "risk", "analyse", "review", "tear_sheets")  # nothing waits for these
# Morning -> the key of each job in the order above, all of 2026.
MORNINGS = {
    "monday": ("06-08", "06-07", "06-05", "06-05", "06-08", "06-05", "06-01", "06-01", "06-08", "06-08", "06-05"),
    "tuesday": ("06-09", "06-08", "06-08", "06-08", "06-08", "06-05", "06-01", "06-01", "06-08", "06-09", "06-08"),
    "friday": ("06-12", "06-11", "06-11", "06-11", "06-08", "06-12", "06-01", "06-01", "06-08", "06-12", "06-11"),
    "saturday": ("06-13", "06-12", "06-12", "06-12", "06-08", "06-12", "06-01", "06-01", "06-08", CLOSED, "06-12"),
    "sunday": ("06-14", "06-13", "06-12", "06-12", "06-08", "06-12", "06-01", "06-01", "06-08", CLOSED, "06-12"),
    "holiday": (
        "05-25",
        "05-24",
        "05-22",
        "05-22",
        "05-25",
        "05-22",
        "05-01",
        "05-04",
        "05-25",
        CLOSED,
        "05-22",
    ),
    "day after it": ("05-26", "05-25", "05-22", "05-22", "05-25", "05-22", "05-01", "05-04", "05-25", "05-26", "05-22"),
    "good friday": ("04-03", "04-02", "04-02", "04-02", "03-30", "04-03", "04-01", "03-02", "03-30", CLOSED, "04-02"),
    "clocks forward": (
        "03-08",
        "03-07",
        "03-06",
        "03-06",
        "03-02",
        "03-06",
        "03-01",
        "03-02",
        "03-02",
        CLOSED,
        "03-06",
    ),
    "monday after": (
        "03-09",
        "03-08",
        "03-06",
        "03-06",
        "03-09",
        "03-06",
        "03-01",
        "03-02",
        "03-09",
        "03-09",
        "03-06",
    ),
    "clocks back": (
        "11-01",
        "10-31",
        "10-30",
        "10-30",
        "10-26",
        "10-30",
        "11-01",
        "10-05",
        "10-26",
        CLOSED,
        "10-30",
    ),
    "first monday": ("11-02", "11-01", "10-30", "10-30", "11-02", "10-30", "11-01", "11-02", "11-02", "11-02", "10-30"),
}


def at(job: str, day: str) -> datetime:
    """When the job's schedule fires that morning."""
    minute, hour, *_ = BY_JOB[job].cron_schedule.split()
    moment = time(int(hour), int(minute), tzinfo=calendar.NEW_YORK)
    return datetime.combine(date.fromisoformat(f"2026-{day}"), moment)


def fire(schedule: ScheduleDefinition, moment: datetime) -> RunRequest | SkipReason:
    found = schedule(build_schedule_context(scheduled_execution_time=moment))
    assert isinstance(found, (RunRequest, SkipReason))
    return found


@pytest.mark.parametrize(("morning", "job", "key"), [
    (name, job, key) for name, (_, *keys) in MORNINGS.items() for job, key in zip(ORDER, keys, strict=True)
])  # fmt: skip
def test_a_schedule_asks_for_the_newest_partition_of_its_job(morning: str, job: str, key: str | None):
    found = fire(BY_JOB[job], at(job, MORNINGS[morning][0]))
    if key is CLOSED:
        assert isinstance(found, SkipReason)
        assert found.skip_message == "the exchange is closed today"
    else:
        assert isinstance(found, RunRequest)
        assert found.partition_key == f"2026-{key}"
        assert found.run_key == f"{job}/2026-{key}"  # a partition runs once, however often the schedule fires


def test_run_keys_tell_jobs_and_partitions_apart():
    fired = [fire(BY_JOB[job], at(job, days[0])) for days in MORNINGS.values() for job in ORDER]
    runs = [(run.run_key, run.partition_key) for run in fired if isinstance(run, RunRequest)]
    assert len({key for key, _ in runs}) == len(set(runs))


def test_snapshots_are_taken_in_the_evening_of_their_day():
    found = fire(BY_JOB["snapshots"], datetime(2026, 6, 8, 23, tzinfo=calendar.NEW_YORK))
    assert isinstance(found, RunRequest)
    assert found.partition_key == "2026-06-08"


def test_every_job_has_one_schedule_but_the_books_two_and_all_are_off():
    assert {job.name for job in JOBS} == {*BY_JOB, "books"} == {*ORDER, *BESIDE, "books"}
    assert len(SCHEDULES) == len(JOBS) + 1
    assert len({schedule.name for schedule in SCHEDULES}) == len(SCHEDULES)
    assert {schedule.default_status for schedule in SCHEDULES} == {DefaultScheduleStatus.STOPPED}


def test_all_schedules_keep_new_york_time():
    assert {schedule.execution_timezone for schedule in SCHEDULES} == {"America/New_York"}


@pytest.mark.parametrize("day", ["03-08", "11-01"], ids=["clocks go forward", "clocks go back"])
def test_each_schedule_of_the_morning_fires_once_when_the_clocks_change(day: str):
    for job in ("daily_facts", "session_facts", "trade"):
        start = datetime.combine(date.fromisoformat(f"2026-{day}"), time(0), calendar.NEW_YORK)
        ticks = cron_string_iterator(start.timestamp(), str(BY_JOB[job].cron_schedule), "America/New_York")
        assert [next(ticks).date() for _ in range(3)] == [start.date() + timedelta(n) for n in range(3)]


def test_a_morning_goes_in_the_order_of_the_graph():
    hours = [at(job, "06-08").time() for job in (*ORDER[:4], "allocate", "trade", "report")]
    assert hours == sorted(hours)


def test_a_job_without_a_partition_yet_is_skipped():
    found = fire(BY_JOB["daily_facts"], datetime(1999, 1, 4, 5, tzinfo=calendar.NEW_YORK))
    assert isinstance(found, SkipReason)


def test_the_books_are_compared_before_each_open_and_after_each_close_and_on_no_other_day():
    """All of 2026: with holidays, early closes, and clocks that change."""
    begin = datetime(2026, 1, 1, tzinfo=calendar.NEW_YORK)
    for schedule, before in zip(BOOKS, (True, False), strict=True):
        fired: dict[date, str | None] = {}
        for moment in cron_string_iterator(begin.timestamp(), str(schedule.cron_schedule), "America/New_York"):
            if moment.year > 2026:
                break
            found = fire(schedule, moment)
            day = moment.date()
            if isinstance(found, SkipReason):
                assert found.skip_message == "the exchange is closed today"
                continue
            assert day not in fired
            fired[day] = found.run_key
            assert moment < calendar.opening(day) if before else moment > calendar.closing(day)
        assert list(fired) == calendar.sessions(date(2026, 1, 1), date(2026, 12, 31))
        assert len(set(fired.values())) == len(fired)


def test_the_books_of_the_morning_and_of_the_evening_are_two_runs():
    moment = datetime(2026, 6, 8, 9, tzinfo=calendar.NEW_YORK)
    keys = [found.run_key for one in BOOKS if isinstance(found := fire(one, moment), RunRequest)]
    assert len(set(keys)) == 2


@pytest.mark.parametrize(
    ("broker", "hour"), [("simulated", time(6, 30)), ("alpaca", time(9, 35)), ("ibkr", time(9, 35))]
)
def test_a_real_account_is_traded_when_its_market_is_open(broker: str, hour: time):
    assert trading_time(settings.load(database_url=None, broker=broker)) == hour


def test_the_schedule_trades_at_that_time():
    assert BY_JOB["trade"].cron_schedule == "30 6 * * *"
