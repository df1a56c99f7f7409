"""What the assets need from outside: settings, the lake, the ledger, the providers, the clock."""

from __future__ import annotations

import os
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path

from dagster import ConfigurableResource

from pas_dagster import calendar, present, settings
from pas_dagster.errors import PasError
from pas_dagster.lake import Lake
from pas_dagster.ledger import halts
from pas_dagster.ledger.store import Ledger
from pas_dagster.postgres import URL_VARIABLE
from pas_dagster.settings import Settings


def now() -> datetime:
    """The present, by the settings of this process."""
    return present.now(settings.current())


@lru_cache(maxsize=4)
def _lake(url: str, folder: Path) -> Lake:
    return Lake(url, folder)


@lru_cache(maxsize=4)
def _branch(trunk: Lake, namespace: str) -> Lake:
    return trunk.branch(namespace)


@lru_cache(maxsize=4)
def _ledger(url: str) -> Ledger:
    return Ledger(url, settings.current().home / halts.HALT_FILE)


def forget_connections() -> None:
    """Let go of what this process holds open; for whoever stops the database."""
    for cached in (_lake, _branch, _ledger):
        cached.cache_clear()


class Workshop(ConfigurableResource):
    """One resource for all assets. It carries no secret: the database's address stays in the environment.

    With a `namespace` results are read from and written to a branch of the lake: that is a backtest.
    """

    namespace: str = ""

    def __repr__(self) -> str:
        return "Workshop()"

    @property
    def settings(self) -> Settings:
        return settings.current()

    @property
    def lake(self) -> Lake:
        trunk = _lake(_url(), self.settings.lake_dir)
        return _branch(trunk, self.namespace) if self.namespace else trunk

    @property
    def ledger(self) -> Ledger:
        return _ledger(_url())

    @property
    def today(self) -> date:
        """The day in New York."""
        return calendar.today(now())

    @property
    def newest_decision(self) -> date:
        """The session that is decided now: today's, or the last one before a day without a session."""
        return self.today if calendar.is_session(self.today) else calendar.previous_session(self.today)

    @property
    def now(self) -> datetime:
        return now()


def _url() -> str:
    """The database's address as the process was given it (`pas` and `pas db start` see to it)."""
    url = os.environ.get(URL_VARIABLE)
    if url:
        return url
    configured = settings.current().database_url
    if configured is None:
        raise PasError(
            f"No database: {URL_VARIABLE} is not set. Run `pas db start` once in the project's folder, then start "
            f"Dagster again; or use `pas up`, which does both."
        )
    return configured.get_secret_value()
