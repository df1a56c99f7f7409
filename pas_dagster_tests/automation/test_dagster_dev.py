"""Plain `dagster dev` and `dagster asset materialize` compute exactly what the in-process history has computed.

The stored partitions are taken away before each launch, while everything later than them stays: a run that saw one
partition too few, or one of the future, would store something else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest

from pas_dagster import calendar
from pas_dagster.lake.connection import connect
from pas_dagster.schemas import TABLES, Table
from pas_dagster_tests.automation.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dagster_dev")]

LAST = calendar.previous_session(calendar.today(datetime.now(UTC)) - timedelta(7))
SESSIONS = calendar.sessions(LAST - timedelta(150), LAST)
START = SESSIONS[0]
RANGE = SESSIONS[-14:-4]  # ten sessions: more than one allocation, and later ones after them
CONFIG = "window_weeks: 4\nmax_weight: 1.0\n"  # so that a short history allocates something

Content = dict[str, tuple[int, ...]]
Used = list[tuple[date, str, date, date]]


class Book:
    """What is stored, in the lake and in its plain copy."""

    def __init__(self, project: Project) -> None:
        self._url = project.env["PAS_DATABASE_URL"]
        self._folder = project.home / "lake"

    def content(self) -> Content:
        """Rows, and order-free combinations of their hashes, by table."""
        with connect(self._url, self._folder, read_only=True) as lake:
            return {
                f"{where}.{name}": self._fingerprint(lake, f"{prefix}.{name}", table)
                for name, table in TABLES.items()
                for where, prefix in (("lake", "lake"), ("plain", "plain.pas"))
            }

    def _fingerprint(self, lake, source: str, table: Table) -> tuple[int, ...]:
        row_hash = f"hash({', '.join(f'{c.name}::{c.kind.sql}' for c in table.columns)})"
        query = f"select count(*), coalesce(bit_xor({row_hash}), 0), coalesce(sum({row_hash}), 0) from {source}"  # noqa: S608
        return tuple(int(value) for value in lake.execute(query).fetchone())

    def used(self) -> Used:
        """Which weights and which allocation each sleeve's target was made from."""
        query = "select distinct decision, sleeve, weights_from, allocation_from from lake.portfolios order by all"
        with connect(self._url, self._folder, read_only=True) as lake:
            return lake.execute(query).fetchall()

    def forget(self, table: str, days: Sequence[date], condition: str = "true") -> None:
        """Take partitions away, in the lake and in the plain copy."""
        where = f"decision between '{days[0]}' and '{days[-1]}' and {condition}"
        with connect(self._url, self._folder) as lake:
            assert lake.execute(f"delete from lake.{table} where {where}").fetchone()[0] > 0  # noqa: S608
        with psycopg2.connect(self._url) as plain, plain.cursor() as cursor:
            cursor.execute(f"delete from pas.{table} where {where}")  # noqa: S608


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """A project whose history was backfilled in process, by `pas`; the database runs as `pas db start` leaves it."""
    with tempfile.TemporaryDirectory(prefix="pas") as folder:
        made = Project.make(Path(folder), CONFIG)
        made.make_home(START)
        made.run("pas", "db", "start")
        try:
            made.run("pas", "backfill", "--to", str(LAST))
            yield made
        finally:
            made.run("pas", "db", "stop")


@pytest.fixture
def book(project: Project) -> Book:
    return Book(project)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_ui_daemon_and_command_line_store_what_the_in_process_history_stored(project: Project, book: Book):
    content, used = book.content(), book.used()
    assert {day for day, *_ in used} >= set(RANGE)
    assert len({shares for *_, shares in used if shares >= RANGE[0]}) > 1
    assert all(weights <= day and shares <= day for day, _, weights, shares in used)
    before = names(project.folder)

    def same() -> None:
        assert book.content() == content
        assert book.used() == used

    with project.dagster_dev() as dagster:
        assert dagster.ask("{ shouldShowNux }")["shouldShowNux"] is False
        assert "telemetry:\n  enabled: false" in dagster.ask("{ instance { info } }")["instance"]["info"]

        day = RANGE[3]
        book.forget("portfolios", [day])
        dagster.materialise(["target_portfolio"], str(day))
        same()

        friday = max(d for _, sleeve, d, _ in used if sleeve == "leveraged_sector_momentum" and d < RANGE[-1])
        book.forget("strategy_weights", [friday], "strategy = 'leveraged_sector_momentum'")
        dagster.materialise(["leveraged_sector_momentum"], str(friday))
        same()

        monday = max(shares for *_, shares in used if shares < RANGE[-1])
        book.forget("allocation", [monday])
        book.forget("alloc_log", [monday])
        dagster.materialise(["allocation", "alloc_log"], str(monday))
        same()

        book.forget("portfolios", RANGE)
        (tags,) = dagster.backfill("target_portfolio", [str(d) for d in RANGE])  # one run for the whole range
        assert tags["dagster/asset_partition_range_start"] == str(RANGE[0])
        assert tags["dagster/asset_partition_range_end"] == str(RANGE[-1])
        same()

    book.forget("portfolios", RANGE)
    chosen = ["-m", "pas_dagster.definitions", "--select", "target_portfolio"]
    project.run("dagster", "asset", "materialize", *chosen, "--partition-range", f"{RANGE[0]}...{RANGE[-1]}")
    same()

    assert names(project.folder) == before  # no temporary instance, no logs beside the code
    assert not (project.user / ".dagster").exists()


def test_the_database_is_needed_and_the_message_says_how_to_start_it(project: Project):
    """Without `.env`, Dagster does not fall back to a temporary instance that forgets everything."""
    note = project.folder / ".env"
    text = note.read_text()
    note.unlink()
    try:
        with pytest.raises(AssertionError, match="PAS_DATABASE_URL"):
            project.run(
                *("dagster", "asset", "materialize", "-m", "pas_dagster.definitions"),
                *("--select", "target_portfolio", "--partition", str(RANGE[0])),
            )
    finally:
        note.write_text(text)
        note.chmod(0o600)
