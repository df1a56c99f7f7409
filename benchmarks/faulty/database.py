"""The ledger's database: connections lost between and within transactions, the lock's own, commits that fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg2
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from benchmarks.faulty.cells import Cell, MissedError, Play, run
from benchmarks.faulty.crashes import at_point
from benchmarks.faulty.stage import Firm, Stage, WatchedLedger, execute

EVERY = 9  # points from one lost connection to the next
FULL_EVERY = 3  # commits from one at which the disk becomes full to the next
OVERTAKEN = 3  # points from one at which another run comes to the next
LOST = "server closed the connection unexpectedly"
_LOCKS = "select pid from pg_locks where locktype = 'advisory' and granted"
_OTHERS = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
DISK_FULL = (
    "do $$ begin raise exception using errcode = '53100', message = 'could not extend file: No space left on device'; "
    "end $$"
)


def lost(stage: Stage) -> Iterator[Cell]:
    """Connections that end between transactions, within one, and after a commit whose answer is lost."""
    commits = sum(what == "commit" for what in stage.points)
    for at in range(1, len(stage.points), EVERY):
        yield Cell("database connection lost", f"between transactions, at point {at}", at_point(at, _cut_ledger))
    for n in range(1, commits, EVERY):
        yield Cell("database connection lost", f"within transaction {n}", _within(n, _cut_own))
        yield Cell("database connection lost", f"the answer to commit {n}", _unanswered(n))
    for at in range(1, len(stage.points), 2 * EVERY):
        yield Cell("the lock's connection lost", f"at point {at}", at_point(at, _cut_lock))
    for at in range(4, stage.points.index("post /orders") + OVERTAKEN, OVERTAKEN):
        yield Cell("the lock's connection lost", f"at point {at}, and another run comes", at_point(at, _overtaken))


def _cut_ledger(firm: Firm) -> None:
    """End all connections but the one that holds the lock."""
    execute(firm.ledger.url, f"select pg_terminate_backend(pid) {_OTHERS} and pid not in ({_LOCKS})")


def _cut_lock(firm: Firm) -> None:
    execute(firm.ledger.url, f"select pg_terminate_backend(pid) {_OTHERS} and pid in ({_LOCKS})")


def _overtaken(firm: Firm) -> None:
    """The lock is gone, and somebody else does the whole day before we go on."""
    _cut_lock(firm)
    with closing(WatchedLedger(firm.ledger.url)) as theirs:
        firm.trade(ledger=theirs)


def _within(number: int, act: Callable[[Firm, sa.Connection], None]) -> Play:
    """Something happens at the end of the n-th transaction, before it is committed."""

    def play(firm: Firm) -> None:
        left = [number]

        def before(connection: sa.Connection) -> None:
            left[0] -= 1
            if left[0] == 0:
                act(firm, connection)

        firm.ledger.before = before
        run(firm)
        if left[0] > 0:
            raise MissedError(f"transaction {number} was not reached")

    return play


def _cut_own(firm: Firm, connection: sa.Connection) -> None:
    driver = connection.connection.driver_connection
    assert driver is not None
    execute(firm.server, f"select pg_terminate_backend({driver.info.backend_pid})")


def _unanswered(number: int) -> Play:
    """What was committed is committed, but the program does not hear of it."""
    left = [0]

    def after(_: str) -> None:
        left[0] -= _ == "commit"
        if left[0] == 0:
            left[0] = -1
            raise OperationalError("commit", {}, psycopg2.OperationalError(LOST))

    def play(firm: Firm) -> None:
        left[0] = number
        run(firm, after)
        if left[0] > 0:
            raise MissedError(f"commit {number} was not reached")

    return play


def full(stage: Stage) -> Iterator[Cell]:
    """Every COMMIT from the n-th on fails, for want of space."""
    for n in range(1, sum(what == "commit" for what in stage.points), FULL_EVERY):
        yield Cell("disk full", f"from commit {n} on", _full_from(n))


def _full_from(number: int) -> Play:
    def play(firm: Firm) -> None:
        left = [number]

        def commit(connection: sa.Connection) -> None:
            left[0] -= 1
            if left[0] <= 0:
                connection.exec_driver_sql(DISK_FULL)

        engine = firm.ledger.engine
        sa.event.listen(engine, "commit", commit)
        try:
            said = run(firm)
            if left[0] > 0 or "No space left" not in said:
                raise MissedError(f"commit {number} did not fail: {said}")
            run(firm)
        finally:
            sa.event.remove(engine, "commit", commit)

    return play
