"""Schedules: the morning of a decision, in the order of the graph. All are off until someone switches them on.

The evening before, what sites show only then. In the morning the facts of the day before, returns and reports, then the
weight sets that are due, then the allocation on Mondays, then the batch of the session.
"""

from dagster import (
    DefaultScheduleStatus,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from pas_dagster import calendar, settings
from pas_dagster.automation.hours import trading_time
from pas_dagster.automation.jobs import (
    ALLOCATE,
    ANALYSE,
    BOOKS,
    DAILY_FACTS,
    REPORT,
    REVIEW,
    RISK,
    SESSION_FACTS,
    SETS,
    SHEETS,
    SLEEVE_RETURNS,
    SNAPSHOTS_TAKEN,
    STRATEGY_JOBS,
    TRADE,
)
from pas_dagster.partitions import TIMEZONE


def latest_key_schedule(job: str, cron: str) -> ScheduleDefinition:
    """Run the newest partition of a job at a time; one that ran before is not run again."""
    partitions = SETS[job]

    @schedule(
        name=f"{job}_schedule",
        job_name=job,
        cron_schedule=cron,
        execution_timezone=TIMEZONE,
        default_status=DefaultScheduleStatus.STOPPED,
    )
    def _schedule(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        moment = context.scheduled_execution_time
        begun = [
            k for k in partitions.get_partition_keys(current_time=moment) if k <= calendar.today(moment).isoformat()
        ]
        if not begun:
            return SkipReason(f"{job} has no partition yet")
        key = begun[-1]
        if job == TRADE.name and key != calendar.today(moment).isoformat():
            return SkipReason("the exchange is closed today")
        return RunRequest(run_key=f"{job}/{key}", partition_key=key)

    return _schedule


def books_schedule(when: str, cron: str) -> ScheduleDefinition:
    """Compare ledger and broker on every session."""

    @schedule(
        name=f"{BOOKS.name}_{when}_schedule",
        job_name=BOOKS.name,
        cron_schedule=cron,
        execution_timezone=TIMEZONE,
        default_status=DefaultScheduleStatus.STOPPED,
    )
    def _schedule(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        day = calendar.today(context.scheduled_execution_time)
        if not calendar.is_session(day):
            return SkipReason("the exchange is closed today")
        return RunRequest(run_key=f"{BOOKS.name}/{day}/{when}")

    return _schedule


TRADING_TIME = f"{trading_time(settings.current()):%-M %-H} * * *"

SCHEDULES = [
    latest_key_schedule(SNAPSHOTS_TAKEN.name, "0 23 * * *"),
    latest_key_schedule(DAILY_FACTS.name, "0 5 * * *"),
    latest_key_schedule(SESSION_FACTS.name, "10 5 * * *"),
    latest_key_schedule(SLEEVE_RETURNS.name, "20 5 * * *"),
    *[latest_key_schedule(job.name, "30 5 * * *") for job in STRATEGY_JOBS.values()],
    latest_key_schedule(ALLOCATE.name, "0 6 * * 1"),
    latest_key_schedule(REVIEW.name, "10 6 1 * *"),
    latest_key_schedule(TRADE.name, TRADING_TIME),
    latest_key_schedule(RISK.name, "50 6 * * 1"),
    latest_key_schedule(ANALYSE.name, "55 6 * * 1"),
    latest_key_schedule(REPORT.name, "0 7 * * *"),
    books_schedule("before_the_open", "0 9 * * 1-5"),
    books_schedule("after_the_close", "20 16 * * 1-5"),
    ScheduleDefinition(
        name=f"{SHEETS.name}_schedule",
        job=SHEETS,
        cron_schedule="20 7 * * *",
        execution_timezone=TIMEZONE,
        default_status=DefaultScheduleStatus.STOPPED,
    ),
]
