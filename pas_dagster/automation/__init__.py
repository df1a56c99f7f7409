"""When things run: jobs, schedules, and the backfill of history in one process."""
