"""The present, from the one place that may ask for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pas_dagster.settings import Settings


def now(chosen: Settings) -> datetime:
    """The instant, aware, in UTC; that of the sandbox may be set back, so that its market can be open on a weekend."""
    back = timedelta(hours=chosen.clock_hours_back) if chosen.world == "sandbox" else timedelta(0)
    return datetime.now(UTC) - back
