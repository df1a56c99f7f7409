"""One embedded Postgres per test process, one database per test (a copy of a migrated template)."""

from __future__ import annotations

from pas_dagster_tests.ledger.database import ledger, server, url

__all__ = ["ledger", "server", "url"]
