"""A deterministic simulated market to try the system on without accounts or keys."""

from pas_dagster.sandbox.world import TABLES, World, world

__all__ = ["TABLES", "World", "world"]
