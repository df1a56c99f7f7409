"""The command line: quick to answer, one sentence for every bad input, nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pas_dagster import calendar, cli, settings
from pas_dagster.settings import Settings
from pas_dagster_tests.lake.processes import clean_environment
from pas_dagster_tests.ledger.database import fresh, server

__all__ = ["server"]
PROJECT = Path(__file__).parents[1]
LONG = "date,symbol,close\n2024-01-02,A,10\n"
FUTURE = calendar.roll_forward(datetime.now(UTC).date() + timedelta(30))


def test_help_imports_neither_dagster_nor_pandas() -> None:
    code = (
        "import sys; from pas_dagster import cli; sys.argv = ['pas', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert "Portfolio Allocation System" in done.stdout
    commands = ("demo", "up", "import", "fetch", "record", "sources", "sandbox", "backfill", "status", "sql", "db")
    for command in (*commands, "backtest", "strategy", "audit", "rebalance", "close", "reconcile", "positions"):
        assert f"\n  {command} " in done.stdout
    heavy = {"dagster", "pandas", "numpy", "duckdb", "pydantic", "psycopg2", "sqlalchemy", "pandera", "pyarrow"}
    assert heavy & set(done.stderr.split()) == set()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process's commands would write; nothing of this machine's settings."""
    for name in list(os.environ):
        if name.startswith("PAS_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(settings, "PROJECT", tmp_path)
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    monkeypatch.setenv("PAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail with exit code 1; its sentence."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["pas", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        output, errors = capsys.readouterr()
        assert (caught.value.code, output) == (1, "")
        assert errors.startswith("pas: ")
        assert errors.count("\n") == 1
        return errors

    return run


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.csv", None, ["There is no file", "gone.csv"]),
        ("p.csv", "date,symbol,price\n2024-01-02,A,10\n", ["p.csv", "'close'", "--map close="]),
        ("p.csv", f"{LONG}{FUTURE},A,11\n", ["p.csv", "row 2", "known_on is in the future"]),
        ("p.csv", f"{LONG}2024-01-02,A,11\n", ["p.csv", "row 2", "duplicate key (known_on, symbol)"]),
        ("p.csv", f"{LONG}2024-01-03,A,NaN\n", ["p.csv", "row 2", "close 'NaN' is not a number"]),
        ("p.csv", f"{LONG}2024-01-03,A,\n", ["p.csv", "row 2", "close is missing"]),
        ("p.csv", f"{LONG}2024-01-03,not one,1\n", ["p.csv", "row 2", "symbol 'NOT ONE' must be of the form"]),
        ("p.csv", "", ["p.csv", "is empty"]),
        ("p.csv", "date,symbol,close\n", ["p.csv", "no rows below its header"]),
        ("p.parquet", "PAR1 and no more", ["p.parquet", "not readable as Parquet"]),
        ("p.xlsx", "x", ["p.xlsx", "unknown ending"]),
    ],
)
def test_a_bad_file_is_one_sentence_and_nothing_is_written(
    home: Path, refused: Callable[..., str], name: str, content: str | None, words: list[str]
) -> None:
    path = home.parent / name
    if content is not None:
        path.write_text(content)
    sentence = refused("import", "prices", str(path))
    for word in words:
        assert word in sentence
    assert not home.exists()


def test_a_nan_price_in_a_parquet_file_is_refused_too(home: Path, refused: Callable[..., str]) -> None:
    frame = pd.DataFrame({"date": pd.to_datetime(["2024-01-02", "2024-01-03"]), "symbol": "A", "close": [1.0, None]})
    frame.to_parquet(home.parent / "p.parquet")
    sentence = refused("import", "prices", str(home.parent / "p.parquet"))
    assert "p.parquet" in sentence and "row 2" in sentence and "close" in sentence
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["import", "price", "{file}"], "There is no dataset 'price'. There are: universe, prices"),
        (["import", "prices", "{file}", "--map", "close"], "--map 'close' is not of the form NAME=VALUE"),
        (["import", "prices", "{file}", "-o", "colour=red"], "There is no import option 'colour'"),
        (["import", "prices", "{file}", "--exclude", "nowhere.csv"], "nowhere.csv"),
        (["backfill", "--from", "yesterday"], "--from 'yesterday' is not a day; write it as YYYY-MM-DD"),
        (["backfill"], "There is no data in"),
        (["status"], "There is no data in"),
        (["rebalance"], "There is no data in"),
        (["rebalance", "--dry-run"], "There is no data in"),
        (["reconcile"], "There is no data in"),
        (["reconcile", "--settle", "pas-1", "unsent"], "The simulated broker never leaves an outcome unknown"),
        (["positions"], "There is no data in"),
        (["close", "wsb_buzz", "SOXL"], "The simulated account follows its targets"),
        (["explain", "order", "pas-1"], "There is no data in"),
        (["sql", "select 1"], "There is no data in"),
        (["db", "status"], "Postgres is not running"),
        (["db", "url"], "Postgres has not been started"),
    ],
)
def test_bad_arguments_and_missing_homes_are_one_sentence(
    home: Path, refused: Callable[..., str], arguments: list[str], words: str
) -> None:
    file = home.parent / "p.csv"
    file.write_text(LONG)
    assert words in refused(*(argument.format(file=file) for argument in arguments))
    assert not home.exists()


def test_real_data_does_not_go_into_a_sandbox_home_nor_the_other_way(home: Path, refused: Callable[..., str]) -> None:
    file = home.parent / "p.csv"
    file.write_text(LONG)
    home.mkdir()
    (home / "home.json").write_text('{"world": "sandbox", "seed": "7", "start": "2022-01-03"}')
    assert "holds the sandbox world" in refused("import", "prices", str(file))
    (home / "home.json").write_text('{"world": "real", "seed": "7", "start": "2015-01-01"}')
    assert "holds real data" in refused("demo")
    assert [path.name for path in home.iterdir()] == ["home.json"]


class Pas:
    """The command in a process of its own, on a home and a database of the test's own."""

    def __init__(self, home: Path, url: str) -> None:
        self.home = home
        own = {"PAS_HOME": str(home), "PAS_DATABASE_URL": url, "PAS_WORLD": "real", "PAS_START": "2024-01-02"}
        self._environment = {**clean_environment(), **own}

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pas_dagster.cli", *arguments],
            cwd=PROJECT,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, done.stderr[-2000:]
        return done.stderr if code else done.stdout

    def sql(self, query: str) -> list[dict[str, Any]]:
        return json.loads(self("sql", query, "--json"))

    @property
    def state(self) -> tuple[Any, list[tuple[str, int]]]:
        """The lake's newest snapshot, and every file of the imports and the raw store with its time."""
        files = [path for folder in ("imports", "raw") for path in (self.home / folder).rglob("*") if path.is_file()]
        snapshot = self.sql("select max(snapshot_id) as n from ducklake_snapshots('lake')")
        return snapshot, sorted((str(path), path.stat().st_mtime_ns) for path in files)


@pytest.fixture
def pas(server: str, tmp_path: Path) -> Iterator[Pas]:
    for url in fresh(server):
        yield Pas(tmp_path / "home", url)


def test_a_file_is_brought_in_once_and_a_bad_one_changes_nothing(pas: Pas, tmp_path: Path) -> None:
    file = tmp_path / "index.csv"
    file.write_text("date,close\n2024-01-02,4742.83\n2024-01-03,4704.81\n2024-01-04,4688.68\n")
    assert "sp500_index: 3 partitions, 2024-01-02 to 2024-01-04" in pas("import", "sp500_index", str(file))
    assert pas.sql("select sum(close) as s, count(*) as n, min(provider) as p from sp500_index") == [
        {"s": pytest.approx(4742.83 + 4704.81 + 4688.68), "n": 3, "p": "import"}
    ]
    before = pas.state
    pas("import", "sp500_index", str(file))
    assert pas.state == before
    bad = tmp_path / "bad.csv"
    bad.write_text("date,close\n2024-01-05,4697.24\n2024-01-08,-1\n")
    assert "bad.csv" in pas("import", "sp500_index", str(bad), code=1)
    assert pas.state == before
    gap = tmp_path / "gap.csv"
    gap.write_text("date,close\n2024-01-05,4697.24\n2024-01-09,4756.50\n")
    assert "gap.csv leaves the session 2024-01-08 without a row" in pas("import", "sp500_index", str(gap), code=1)
    assert pas.state == before
    status = {row["asset"]: row for row in json.loads(pas("status", "--json"))["assets"]}
    assert (status["sp500_index"]["rows"], status["sp500_index"]["last"]) == (3, "2024-01-04")
