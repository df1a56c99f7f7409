"""Proofs (c) and (d): a killed process loses nothing, and neither do processes that write and read at once."""

from __future__ import annotations

import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pas_dagster.lake import Lake, mirror
from pas_dagster.lake.connection import connect
from pas_dagster_tests.lake import frames, processes
from pas_dagster_tests.lake.frames import DAYS, PRICES, bars, marks, plain, stored
from pas_dagster_tests.lake.processes import SYMBOLS
from pas_dagster_tests.ledger.database import execute

OLD, NEW = 10.0, 11.0


@pytest.fixture
def filled(url: str, folder: Path) -> str:
    """The URL of a lake with four days of old bars."""
    with Lake(url, folder) as lake:
        lake.replace(PRICES, DAYS, bars(DAYS, SYMBOLS, OLD))
    return url


def killed(url: str, folder: Path, where: str) -> None:
    process = processes.start("crash", url, folder, where, str(NEW))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors


@pytest.mark.parametrize("where", ["between delete and insert", "after the insert"])
def test_killed_before_the_commit_the_old_content_stands(filled: str, folder: Path, where: str) -> None:
    with Lake(filled, folder) as lake:
        before = lake.snapshot()
    killed(filled, folder, where)
    with Lake(filled, folder) as lake:
        assert lake.snapshot() == before
        assert stored(lake.read(PRICES)) == stored(bars(DAYS, SYMBOLS, OLD))
        written = lake.replace(PRICES, DAYS[:2], bars(DAYS[:2], SYMBOLS, NEW))
        assert (written.changed, written.rows) == (True, 2 * len(SYMBOLS))
        expected = stored(bars(DAYS[:2], SYMBOLS, NEW)) + stored(bars(DAYS[2:], SYMBOLS, OLD))
        assert stored(lake.read(PRICES)) == sorted(expected, key=repr)
        assert plain(filled, PRICES) == stored(lake.read(PRICES))


def test_killed_before_the_copy_the_mark_is_found_and_the_plain_table_mended(
    filled: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(filled, folder, "before the copy")
    with Lake(filled, folder) as lake:  # the mark is young: it may belong to a living writer
        new = stored(lake.read(PRICES))
        assert new == sorted(stored(bars(DAYS[:2], SYMBOLS, NEW)) + stored(bars(DAYS[2:], SYMBOLS, OLD)), key=repr)
        assert plain(filled, PRICES) == stored(bars(DAYS, SYMBOLS, OLD))
        assert marks(filled) == 1
    monkeypatch.setattr(mirror, "STALE", "0 seconds")
    with Lake(filled, folder):
        assert plain(filled, PRICES) == new
        assert marks(filled) == 0


def test_done_again_after_a_crash_before_the_copy_nothing_is_left_to_mend(
    filled: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second write finds the lake as it wants it; the plain table follows all the same, once the mark is old."""
    killed(filled, folder, "before the copy")
    with Lake(filled, folder) as lake:
        assert not lake.replace(PRICES, DAYS[:2], bars(DAYS[:2], SYMBOLS, NEW)).changed
    monkeypatch.setattr(mirror, "STALE", "0 seconds")
    with Lake(filled, folder) as lake, Lake(filled, folder):
        assert plain(filled, PRICES) == stored(lake.read(PRICES))


def test_copies_made_at_once_do_not_double_the_rows(filled: str, folder: Path) -> None:
    """Writers of overlapping ranges, or a writer and a repair: each would insert what it has not seen of the other."""
    connections = [connect(filled, folder) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(3):
            execute(filled, "truncate pas.prices")
            copies = [pool.submit(mirror.copy, each, PRICES, DAYS[0], DAYS[-1]) for each in connections]
            for copy in copies:
                copy.result(timeout=60)
            assert plain(filled, PRICES) == stored(bars(DAYS, SYMBOLS, OLD))
    for each in connections:
        each.close()


def test_six_processes_at_once_lose_nothing_and_see_nothing_half_done(url: str, folder: Path) -> None:
    """They also open the lake at once while it does not exist yet."""
    seconds = "6"
    writers = [processes.start("write", url, folder, str(number), seconds) for number in range(4)]
    readers = [processes.start("read", url, folder, seconds) for _ in range(2)]
    versions = [int(finished(writer)) for writer in writers]
    assert min(versions) >= 2
    assert min(int(finished(reader)) for reader in readers) >= 3
    with Lake(url, folder) as lake:
        for number, version in enumerate(versions):
            table, rows, scope = processes.rows_of(number, version)
            found = lake.read(table, where=f"{scope[0]} = ?", values=[scope[1]]) if scope else lake.read(table)
            if number < 2:
                found = found[found["known_on"].isin(rows["known_on"])]
            assert stored(found) == stored(rows)
        for table in (frames.PRICES, frames.WEIGHTS):
            assert plain(url, table) == stored(lake.read(table))
    assert marks(url) == 0


def finished(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors[-3000:]
    return output
