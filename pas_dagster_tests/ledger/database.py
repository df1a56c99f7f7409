"""Fixtures: one embedded Postgres per test process, one database per test (a copy of a migrated template)."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from pas_dagster import postgres, settings
from pas_dagster.ledger.migrations import migrate
from pas_dagster.ledger.store import Ledger

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a server with the migrated database `template_ledger`."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = settings.load(home=Path(folder) / "home", database_url=None)
        with postgres.running(chosen) as url:
            os.environ.pop(postgres.URL_VARIABLE, None)  # other tests of this process must not find it
            execute(url, "create database template_ledger")
            migrate(other(url, "template_ledger"))
            yield url


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """A database of the test's own, migrated."""
    yield from fresh(server, "template template_ledger")


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    opened = Ledger(url)
    yield opened
    opened.close()


def fresh(server: str, how: str = "") -> Iterator[str]:
    name = f"test_{next(NUMBERS)}"
    execute(server, f"create database {name} {how}")
    yield other(server, name)
    execute(server, f"drop database {name} with (force)")


def other(url: str, name: str) -> str:
    return url.replace("/pas?", f"/{name}?")


def execute(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
