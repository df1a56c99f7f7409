"""A working session: the database running, Dagster's instance open, everything in the home folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator
from contextlib import contextmanager

from dagster import DagsterInstance

from pas_dagster import postgres, settings
from pas_dagster.assets.resources import forget_connections
from pas_dagster.settings import Settings


def environment(chosen: Settings, url: str) -> dict[str, str]:
    """Variables that Dagster's processes need; also what `pas db start` writes into `.env`."""
    return {
        postgres.URL_VARIABLE: url,
        "DAGSTER_HOME": str(chosen.dagster_dir),
        "PAS_HOME": str(chosen.home),
    }


@contextmanager
def working(chosen: Settings) -> Generator[DagsterInstance]:
    """Run a block with the database and the instance; what it started is stopped afterwards."""
    settings.choose(chosen)
    settings.make_home(chosen)
    warnings.simplefilter("ignore")  # beta notices of Dagster, once per asset; the versions are locked
    with postgres.running(chosen) as url:
        os.environ.update(environment(chosen, url))
        with DagsterInstance.from_config(str(chosen.dagster_dir)) as instance:
            try:
                yield instance
            finally:
                forget_connections()
