"""Fixtures: one embedded Postgres per test process, one database per test (a copy of a migrated template).

`packaged_server` is the same on the Postgres that Debian packages, where it is installed.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

from pas_dagster import postgres, settings
from pas_dagster.ledger.migrations import migrate
from pas_dagster.ledger.store import Ledger

NUMBERS = itertools.count()
PACKAGED = Path("/usr/lib/postgresql")
START_SECONDS = 60
PORT = 5432  # no more than a part of the socket's name: the server listens to nothing else
# A test's data may be lost with the machine.
QUICK = ("fsync=off", "shared_buffers=64MB", "max_connections=40", "listen_addresses=")


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a server with the migrated database `template_ledger`."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = settings.load(home=Path(folder) / "home", database_url=None)
        with postgres.running(chosen) as url:
            os.environ.pop(postgres.URL_VARIABLE, None)  # other tests of this process must not find it
            _make_template(url)
            yield url


@pytest.fixture(scope="session")
def packaged_server() -> Iterator[str]:
    """The same as `server`, on the newest Postgres in Debian's place; skips where there is none."""
    programs = newest_packaged()
    if programs is None:
        pytest.skip(f"no packaged Postgres server in {PACKAGED}; `apt-get install postgresql` brings one")
    with packaged(programs) as url:
        _make_template(url)
        yield url


def newest_packaged() -> Path | None:
    """The folder of programs of the newest packaged Postgres; None when none is installed."""
    found = [path.parent for path in PACKAGED.glob("*/bin/initdb") if path.parent.parent.name.isdecimal()]
    return max(found, key=lambda path: int(path.parent.name), default=None)


@contextmanager
def packaged(programs: Path) -> Generator[str]:
    """The URL of a new server's empty database `pas`, for as long as the block lasts.

    It runs as a user without rights, since Postgres refuses to run as root, and only on a socket in a folder of its
    own.
    """
    folder = Path(tempfile.mkdtemp(prefix="pas-postgres-"))
    user = _owner()
    if user is not None:
        shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
    data = folder / "data"
    create = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    url = f"postgresql://postgres@/pas?host={folder}&port={PORT}"
    try:
        subprocess.run(create, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with _serving(programs, data, folder, user):
            execute(other(url, "postgres"), "create database pas")
            yield url
    finally:
        shutil.rmtree(folder)


def _owner() -> str | None:
    """Who runs the server: this process's user, or one without rights when that is root."""
    if os.geteuid() != 0:
        return None
    names = {one.pw_name for one in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@contextmanager
def _serving(programs: Path, data: Path, folder: Path, user: str | None) -> Generator[None]:
    options = [part for one in (*QUICK, f"unix_socket_directories={folder}", f"port={PORT}") for part in ("-c", one)]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *options], user=user, cwd=folder, stdout=log, stderr=log
        )
    try:
        _await(server, folder)
        yield
    finally:
        server.send_signal(signal.SIGINT)  # fast shutdown: clients are sent away
        try:
            server.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _await(server: subprocess.Popen, folder: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg2.connect(f"postgresql://postgres@/postgres?host={folder}&port={PORT}").close()
            return
        except psycopg2.OperationalError:
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the packaged Postgres did not start: {(folder / 'log').read_text()}") from None
        time.sleep(0.05)


def _make_template(url: str) -> None:
    execute(url, "create database template_ledger")
    migrate(other(url, "template_ledger"))


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
