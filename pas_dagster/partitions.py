"""The few partition sets and mappings that every asset uses.

Facts have days, decisions have moments. A fact's window is its whole day, so its key exists when the day is over.
The window of the weekly decision is one hour at the start of its Monday, made with two ticks and an exclusion; a whole
week would overlap the weights of the coming Friday. The window of a session's decision is its day, one ahead of the
facts. Both overlap exactly one window of each slower cadence, so that Dagster's own mapping gives the latest weights
at or before the decision, alike in the UI, the daemon and in process.
"""

from __future__ import annotations

import warnings
from datetime import datetime

from dagster import TimeWindowPartitionMapping, TimeWindowPartitionsDefinition

from pas_dagster import calendar, settings
from pas_dagster.calendar import Cadence

TIMEZONE = "America/New_York"
FORMAT = "%Y-%m-%d"

_START = settings.current().start
# Exclusions of the past never change; those of the future only grow with the calendar's end.
_CLOSED = [datetime(d.year, d.month, d.day) for d in calendar.holidays(_START, calendar.LAST)]  # noqa: DTZ001


def _windows(cron: str, *, exclusions: list[str | datetime] | None = None, ahead: int = 0):
    return TimeWindowPartitionsDefinition(
        cron_schedule=cron,
        start=_START.isoformat(),
        fmt=FORMAT,
        timezone=TIMEZONE,
        end_offset=ahead,
        exclusions=exclusions,
    )


DAYS = _windows("0 0 * * *")
# Sites that show only the present: a day's key exists while the day lasts, for later it is too late to look.
SNAPSHOTS = _windows("0 0 * * *", ahead=1)
SESSIONS = _windows("0 0 * * *", exclusions=["0 0 * * 0,6", *_CLOSED])
# A weight set's key exists on its nominal day (end offset), and its window runs to the next nominal day.
WEEKLY_MON = _windows("0 0 * * 1", ahead=1)
WEEKLY_FRI = _windows("0 0 * * 5", ahead=1)
MONTHLY = _windows("0 0 1 * *", ahead=1)
MONTHLY_FIRST_MON = _windows("0 0 * * 1#1", ahead=1)
WEEKLY_DECISION = _windows("0 0,1 * * 1", exclusions=["0 1 * * 1"])
# A day, not an hour: Dagster maps adjacent windows twenty times faster than separate ones. The price is that the next
# session's key is listed from the end of the last one, on weekends too; assets refuse a day that has not begun.
SESSION_DECISION = _windows("0 0 * * *", exclusions=["0 0 * * 0,6", *_CLOSED], ahead=1)

BY_CADENCE = {
    Cadence.WEEKLY_MON: WEEKLY_MON,
    Cadence.WEEKLY_FRI: WEEKLY_FRI,
    Cadence.MONTHLY: MONTHLY,
    Cadence.MONTHLY_FIRST_MON: MONTHLY_FIRST_MON,
}

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the parameter is in beta; the version is locked
    # The latest upstream key at or before the decision.
    LATEST = TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)
    # The facts of the period that ended before the decision; longer look-backs are read as-of from the lake.
    LAST_PERIOD = TimeWindowPartitionMapping(start_offset=-1, end_offset=-1, allow_nonexistent_upstream_partitions=True)
