"""Processes that the lake's tests start, kill and race: `python -m pas_dagster_tests.lake.processes WHAT URL ...`.

A writer keeps replacing its partitions by rows that all carry one version, and prints the last version written. A
reader prints how often it looked; it fails when it sees a partition, or a write over several partitions, half done.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from pas_dagster.lake import Lake, mirror, store
from pas_dagster.schemas import Table
from pas_dagster_tests.lake import frames

PROJECT = Path(__file__).parents[2]
SYMBOLS = [f"A{n}" for n in range(60)]  # more than the catalogue keeps inlined
FEW = SYMBOLS[:5]


def clean_environment() -> dict[str, str]:
    """This process's environment without what would point a child to somebody's home or database."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PAS_", "DAGSTER_"))}


def start(what: str, url: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", __name__, what, url, str(folder), *arguments]
    return subprocess.Popen(
        command, cwd=PROJECT, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def days_of(number: int) -> list[date]:
    """Every other day: the ranges of two writers overlap, their partitions do not."""
    return [date(2024, 1, 1) + timedelta(2 * n + number % 2) for n in range(3)]


def rows_of(number: int, version: int) -> tuple[Table, pd.DataFrame, tuple[str, str] | None]:
    """Writers 0 and 1 share a table; 2 and 3 share the partitions of another, each with a scope of its own."""
    if number < 2:
        return frames.PRICES, frames.bars(days_of(number), SYMBOLS if number else FEW, float(version)), None
    name = f"s{number}"
    rows = frames.weights(days_of(0), name, SYMBOLS if number == 2 else FEW, 1 / version)
    return frames.WEIGHTS, rows, ("strategy", name)


def write(lake: Lake, number: int, seconds: float) -> None:
    version, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        version += 1
        table, rows, scope = rows_of(number, version)
        lake.replace(table, days_of(number if number < 2 else 0), rows, scope=scope)
    print(version)


def read(lake: Lake, seconds: float) -> None:
    looks, end = 0, time.monotonic() + seconds
    expected = {("0", 5), ("1", 60), ("s2", 60), ("s3", 5)}
    query = """
        select cast(day(known_on) % 2 = 0 as int)::varchar as writer, known_on as day, count(*) as n, close as version
        from lake.prices group by all
        union all
        select strategy, decision, count(*), weight from lake.strategy_weights group by all
    """
    while time.monotonic() < end:
        seen = lake.query(query)
        looks += 1
        assert set(zip(seen["writer"], seen["n"], strict=True)) <= expected, f"half a partition:\n{seen}"
        assert (seen.groupby("writer")["version"].nunique() == 1).all(), f"half a write:\n{seen}"
        assert (seen.groupby("writer")["day"].count() == 3).all(), f"a partition is missing:\n{seen}"
    print(looks)


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash(lake: Lake, where: str, close: float) -> None:
    """Replace two partitions and be killed on the way."""
    if where == "between delete and insert":
        store._between_delete_and_insert = die
    elif where == "after the insert":
        store._registered.__exit__ = die
    else:
        mirror.copy = die
    days = frames.DAYS[:2]
    lake.replace(frames.PRICES, days, frames.bars(days, SYMBOLS, close))
    raise AssertionError("outlived its own death")


if __name__ == "__main__":
    what, url, folder, *arguments = sys.argv[1:]
    with Lake(url, Path(folder)) as opened:
        if what == "write":
            write(opened, int(arguments[0]), float(arguments[1]))
        elif what == "read":
            read(opened, float(arguments[0]))
        else:
            crash(opened, arguments[0], float(arguments[1]))
