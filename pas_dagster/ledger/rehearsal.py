"""Books in which nothing stays: what would be booked can be seen, and is taken back.

Everything that is done to them happens in one transaction of the database, which is rolled back at the end. Only
counters move on, as they do when a transaction is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import psycopg2
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from pas_dagster.errors import PasError
from pas_dagster.ledger.store import RETRIED, Ledger

T = TypeVar("T")


class Rehearsal(Ledger):
    """A ledger's books inside a transaction that somebody else ends."""

    def __init__(self, ledger: Ledger, connection: sa.Connection) -> None:
        self.url = ledger.url
        self.halt_file = ledger.halt_file
        self.engine = ledger.engine
        self._holders: dict[str, int] = {}
        self._connection = connection

    def run(self, work: Callable[[sa.Connection], T]) -> T:
        """Do `work` in a savepoint: what fails is taken back alone."""
        try:
            with self._connection.begin_nested():
                return work(self._connection)
        except (DBAPIError, psycopg2.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if getattr(cause, "pgcode", None) in RETRIED:  # the whole would have to begin again
                raise PasError("The books changed while they were read; run again.") from error
            raise


@contextmanager
def rehearsed(ledger: Ledger) -> Generator[Rehearsal]:
    """The ledger, for a block whose bookings are all taken back."""
    with ledger.engine.connect() as connection:
        transaction = connection.begin()
        try:
            yield Rehearsal(ledger, connection)
        finally:
            transaction.rollback()
