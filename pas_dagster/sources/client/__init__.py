"""The polite client: one way to every site, at the pace its host permits, never waiting for ever."""

from pas_dagster.sources.client.client import Client, Visit
from pas_dagster.sources.client.clock import Clock, SystemClock
from pas_dagster.sources.client.guard import Guard
from pas_dagster.sources.client.transport import Traffic

__all__ = ["Client", "Clock", "Guard", "SystemClock", "Traffic", "Visit"]
