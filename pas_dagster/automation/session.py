"""A working session: the database running, Dagster's instance open, everything in the home folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator
from contextlib import contextmanager

from dagster import DagsterInstance

from pas_dagster import postgres, settings
from pas_dagster.assets.resources import forget_connections
from pas_dagster.sandbox.process import apart
from pas_dagster.settings import Settings


def environment(chosen: Settings, url: str) -> dict[str, str]:
    """Variables that Dagster's processes need; also what `pas db start` writes into `.env`."""
    sandbox = {"PAS_SANDBOX_URL": chosen.sandbox_url} if chosen.sandbox_url else {}
    return {
        **sandbox,
        postgres.URL_VARIABLE: url,
        "DAGSTER_HOME": str(chosen.dagster_dir),
        "PAS_HOME": str(chosen.home),
    }


@contextmanager
def with_sandbox(chosen: Settings) -> Generator[Settings]:
    """The settings with the address of the sandbox's sites, which are served while the block runs."""
    if chosen.world != "sandbox" or chosen.sandbox_url:
        yield chosen
        return
    with apart(chosen.seed, chosen.start) as url:
        yield chosen.model_copy(update={"sandbox_url": url})


@contextmanager
def working(chosen: Settings) -> Generator[DagsterInstance]:
    """Run a block with the database and the instance; what it started is stopped afterwards."""
    warnings.simplefilter("ignore")  # beta notices of Dagster, once per asset; the versions are locked
    settings.make_home(chosen)
    with with_sandbox(chosen) as served, postgres.running(served) as url:
        settings.choose(served)
        os.environ.update(environment(served, url))
        with DagsterInstance.from_config(str(chosen.dagster_dir)) as instance:
            try:
                yield instance
            finally:
                forget_connections()
