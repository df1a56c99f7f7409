"""When a session's decision is traded."""

from __future__ import annotations

from datetime import time

from pas_dagster.settings import Settings


def trading_time(chosen: Settings) -> time:
    """The time in New York at which the schedule trades.

    The simulated broker takes orders at any hour and fills them at the close; a real one's market has to be open.
    """
    return time(6, 30) if chosen.mode == "simulated" else time(9, 35)
