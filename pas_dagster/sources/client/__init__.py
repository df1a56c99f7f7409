"""The polite client: one way to every site, at the pace its host permits, never waiting for ever."""

from pas_dagster.sources.client.client import Client, Visit
from pas_dagster.sources.client.clock import Clock, SystemClock

__all__ = ["Client", "Clock", "SystemClock", "Visit"]
