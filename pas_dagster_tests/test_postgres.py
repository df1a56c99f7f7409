"""The one Postgres: addresses, refusals in one sentence, and a server that comes and goes with its users."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg2
import psycopg2.extensions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pas_dagster import postgres, settings
from pas_dagster.errors import PasError
from pas_dagster.settings import Settings
from pas_dagster_tests.lake.processes import clean_environment

PROJECT = Path(__file__).parents[1]
# Joins or starts the server, says which it is, and holds it until told to go.
USER = """
import itertools, sys, psycopg2
from pathlib import Path
from pas_dagster import postgres, settings
chosen = settings.load(home=Path(sys.argv[1]), database_url=None)
with postgres.running(chosen) as url:
    for line in itertools.chain(["first"], sys.stdin):
        connection = psycopg2.connect(url)
        cursor = connection.cursor()
        cursor.execute("select pg_postmaster_start_time()::text, current_database()")
        print(*cursor.fetchone(), flush=True)
        connection.close()
"""


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "home"


def load(home: Path, url: str | None = None) -> Settings:
    return settings.load(home=home, database_url=url)


def user(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(home)],
        cwd=PROJECT,
        env=clean_environment(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ask(process: subprocess.Popen[str], say: str | None = None) -> str:
    assert process.stdin is not None and process.stdout is not None
    if say is not None:
        process.stdin.write(say + "\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


def server_process(home: Path) -> int | None:
    """The server's process, if it lives."""
    note = home / "postgres" / "postmaster.pid"
    number = int(note.read_text().split()[0]) if note.exists() else None
    return number if number is not None and Path(f"/proc/{number}").exists() else None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@host:5432/db", "host=host port=5432 user=u dbname=db"),
        ("postgresql://postgres@/pas?host=/tmp/run", "host=/tmp/run user=postgres dbname=pas"),
        ("postgresql://a%20b:p@h/db", "host=h user='a b' dbname=db"),
        ("postgresql://it%27s:p@h/db", r"host=h user='it\'s' dbname=db"),
        ("postgresql://a%5Cb:p@h/db", r"host=h user='a\\b' dbname=db"),
        ("postgresql://u@h/db?password=p&sslmode=require", "host=h user=u dbname=db sslmode=require"),
        ("postgresql://u@h/my%20db", "host=h user=u dbname='my db'"),
        ("postgresql://u@[::1]/db", "host=::1 user=u dbname=db"),
        (
            "postgresql://u@h/db?sslmode=verify-full&sslrootcert=/a%20b",
            "host=h user=u dbname=db sslmode=verify-full sslrootcert='/a b'",
        ),
    ],
)
def test_an_address_as_keywords(url: str, expected: str) -> None:
    assert postgres.keywords(url) == expected


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


@given(TEXT, TEXT)
def test_libpq_reads_the_keywords_as_it_reads_the_address_without_its_password(user_name: str, password: str) -> None:
    url = f"postgresql://{quote(user_name, safe='')}:{quote(password, safe='')}@h:1/db?sslmode=require"
    expected = psycopg2.extensions.parse_dsn(url)
    assert expected.pop("password") == password
    assert psycopg2.extensions.parse_dsn(postgres.keywords(url)) == expected


@pytest.mark.parametrize("url", ["postgresql://u:s3%27cret@h/db", "postgresql://u@h/db?password=s3%27cret"])
def test_libpq_finds_the_password_elsewhere(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("PGPASSWORD", "another")
    postgres.give_password(url)
    assert os.environ["PGPASSWORD"] == "s3'cret"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://u:s3cret@127.0.0.1:1/db", ["127.0.0.1", "Connection refused"]),
        ("postgresql://u:s3cret@nowhere.invalid/db", ["nowhere.invalid"]),
        ("postgresql://u:s3cret@127.0.0.1:port/db", ["port"]),
        ("postgresql://u:s3cret%zz@127.0.0.1/db", []),
        ("postgresql://u:[s3cret@127.0.0.1/db", []),
        ("mysql://u:s3cret@h/db", ["postgresql://user:password@host/database"]),
        ("s3cret", ["postgresql://user:password@host/database"]),
    ],
)
def test_a_server_that_cannot_be_reached_is_one_sentence_without_the_password(
    home: Path, url: str, words: list[str]
) -> None:
    with pytest.raises(PasError) as caught, postgres.running(load(home, url)):
        pass
    for word in [*words, "PAS_DATABASE_URL"]:
        assert word in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__  # a traceback does not show the driver's message either
    assert not home.exists()


def test_a_home_that_is_a_file_is_one_sentence(home: Path) -> None:
    home.write_text("")
    with pytest.raises(PasError, match="cannot be made") as caught:
        postgres.start(load(home))
    assert "PAS_HOME" in str(caught.value)


def test_a_damaged_data_folder_is_one_sentence_that_names_it(home: Path) -> None:
    first = user(home)
    assert ask(first)
    first.communicate(timeout=60)
    (home / "postgres" / "global" / "pg_control").write_bytes(b"nonsense")
    second = user(home)
    _, errors = second.communicate(timeout=120)
    last = errors.strip().splitlines()[-1]
    assert "PasError: The embedded Postgres in" in last
    assert str(home / "postgres") in last
    assert "PAS_DATABASE_URL=postgresql://" in last
    assert server_process(home) is None


def test_a_second_process_joins_and_the_last_one_turns_off_the_light(home: Path) -> None:
    first = user(home)
    started = ask(first)
    assert started.endswith(" pas")
    second = user(home)
    assert ask(second) == started
    assert postgres.embedded_url(load(home)) is not None
    first.communicate(timeout=60)
    assert server_process(home) is not None
    assert ask(second, "still there?") == started
    second.communicate(timeout=60)
    assert server_process(home) is None


def test_two_processes_may_make_a_home_at_once(home: Path) -> None:
    both = [user(home), user(home)]
    answers = [ask(one) for one in both]
    errors = [one.communicate(timeout=60)[1] for one in both]
    assert answers[0] == answers[1] != "", errors
    assert server_process(home) is None


def test_after_a_killed_user_the_next_one_works_and_leaves_no_server(home: Path) -> None:
    first = user(home)
    assert ask(first)
    first.kill()
    first.communicate(timeout=60)
    second = user(home)
    assert ask(second).endswith(" pas")
    second.communicate(timeout=60)
    assert server_process(home) is None


def test_a_kept_server_outlives_its_users_until_it_is_stopped(home: Path) -> None:
    start = "import sys; from pathlib import Path; from pas_dagster import postgres, settings; "
    start += "postgres.start(settings.load(home=Path(sys.argv[1]), database_url=None), keep=True)"
    subprocess.run([sys.executable, "-c", start, str(home)], cwd=PROJECT, env=clean_environment(), check=True)
    try:
        number = server_process(home)
        assert number is not None
        visitor = user(home)
        assert ask(visitor)
        visitor.communicate(timeout=60)
        assert server_process(home) == number
        url = postgres.embedded_url(load(home))
        assert url is not None
        postgres.check(url)
    finally:
        assert postgres.stop(load(home))
    assert server_process(home) is None
    assert not postgres.kept(load(home))
    assert not postgres.stop(load(home))


def test_a_named_server_is_used_as_it_is(home: Path) -> None:
    first = user(home)
    try:
        assert ask(first)
        url = postgres.embedded_url(load(home))
        assert url is not None
        other = home.parent / "other"
        with postgres.running(load(other, url)) as given_url:
            assert given_url == url
        assert not other.exists()
    finally:
        first.communicate(timeout=60)
    assert "PAS_DATABASE_URL" not in os.environ
