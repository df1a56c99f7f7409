"""The ledger tests' database fixtures."""

from __future__ import annotations

from pas_dagster_tests.ledger.database import ledger, server, url

__all__ = ["ledger", "server", "url"]
