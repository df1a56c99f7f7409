"""The ledger in Postgres: transactions that retry, one executor per account, posting, balances, halts."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import psycopg2
import sqlalchemy as sa
from psycopg2 import sql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, OperationalError

from pas_dagster.errors import PasError
from pas_dagster.ledger import halts, journal, tables, units
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.journal import Balances, Transaction
from pas_dagster.ledger.migrations import migrate

RETRIED = {"40001", "40P01"}  # serialization failure, deadlock
ATTEMPTS = 8
LOCK_WAIT_SECONDS = 60
ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})  # in a text for COPY
T = TypeVar("T")


class Ledger:
    """The books at a URL, brought to the present schema when opened.

    Every method that writes takes a connection from `run`, so that a caller decides what belongs into one
    transaction. `halt_file`: accounts are halted while it exists (`halts`).
    """

    def __init__(self, url: str, halt_file: Path | None = None) -> None:
        migrate(url)
        self.url = url
        self.halt_file = halt_file
        self.engine = sa.create_engine(url, isolation_level="SERIALIZABLE", pool_pre_ping=True)
        self._holders: dict[str, int] = {}  # server process of the connection that holds an account's lock

    def close(self) -> None:
        self.engine.dispose()

    def run(self, work: Callable[[sa.Connection], T]) -> T:
        """Do `work` in one SERIALIZABLE transaction, again when the server asks for it (so it must be repeatable)."""
        for attempt in range(ATTEMPTS):
            try:
                with self.engine.begin() as connection:
                    return work(connection)
            except (DBAPIError, psycopg2.Error) as error:  # COPY goes past SQLAlchemy and raises the driver's own
                cause = error.orig if isinstance(error, DBAPIError) else error
                if getattr(cause, "pgcode", None) not in RETRIED or attempt == ATTEMPTS - 1:
                    raise
                time.sleep(0.01 * 2**attempt)
        raise AssertionError("unreachable")

    @contextmanager
    def lock(self, account: str) -> Generator[None, None, None]:
        """Be the only one to work on the account. The lock ends with the block, or with the process.

        Raises `PasError` when another run still holds it after a minute. Whoever holds it for long asks `why_not_alone`
        before what must not be done twice: a lock can be lost with its connection.
        """
        number = int.from_bytes(hashlib.sha256(account.encode()).digest()[:8], "big", signed=True)
        engine = sa.create_engine(self.url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(
                sa.select(sa.func.set_config("lock_timeout", f"{int(LOCK_WAIT_SECONDS * 1000)}ms", False))
            )
            try:
                connection.execute(sa.select(sa.func.pg_advisory_lock(number)))
            except OperationalError as error:
                raise PasError(
                    f"Another run has been working on account {account!r} for {LOCK_WAIT_SECONDS} s. "
                    f"Wait for it to end, then run again."
                ) from error
            self._holders[account] = connection.scalar(sa.select(sa.func.pg_backend_pid()))
            try:
                yield
            finally:
                del self._holders[account]

    def why_not_alone(self, connection: sa.Connection, account: str) -> str:
        """Why this process may not be the only one on the account: it has lost the lock. Empty when it holds it."""
        held = sa.text("select exists (select from pg_locks where locktype = 'advisory' and pid = :pid and granted)")
        if account in self._holders and not connection.scalar(held, {"pid": self._holders[account]}):
            return f"The lock of account {account!r} was lost with its connection to the database; run again."
        return ""

    def open_account(self, spec: AccountSpec, *, halted: bool = False) -> int:
        """Note the account if it is new, and return its generation.

        `halted`: whether it may be halted, for who only looks. `PasError` when it may not and is, or when it exists as
        something else.
        """

        if not ACCOUNT.fullmatch(spec.id):
            raise PasError(f"{spec.id!r} cannot name an account: letters, digits, '.', '_' and '-' only.")

        def work(connection: sa.Connection) -> int:
            table = tables.account
            values = {"id": spec.id, "broker": spec.broker, "mode": spec.mode, "opened": spec.opened}
            capital = units.money(spec.capital_usd)
            connection.execute(insert(table).values(**values, capital=capital).on_conflict_do_nothing())
            row = connection.execute(sa.select(table).where(table.c.id == spec.id)).one()
            if (row.broker, row.mode) != (spec.broker, spec.mode):
                raise PasError(
                    f"Account {spec.id!r} is a {row.mode} account at {row.broker}, not a {spec.mode} one at "
                    f"{spec.broker}. Give the other account another id."
                )
            why = "" if halted else self.why_halted(connection, spec.id)
            if why:
                raise PasError(why)
            return row.generation

        return self.run(work)

    def bind(self, connection: sa.Connection, account: str, broker_account: str) -> str:
        """Tie an account to the one at the broker, once and for all; returns the one that it is tied to."""
        table = tables.account
        mine = sa.and_(table.c.id == account, table.c.broker_account.is_(None))
        connection.execute(sa.update(table).where(mine).values(broker_account=broker_account))
        return connection.execute(sa.select(table.c.broker_account).where(table.c.id == account)).scalar_one()

    def unbind(self, account: str) -> int:
        """Let the account begin anew at another account of the broker; what it was stays, as an old generation."""

        def work(connection: sa.Connection) -> int:
            table = tables.account
            connection.execute(sa.update(table).where(table.c.id == account).values(broker_account=None))
            return self.next_generation(connection, account)

        return self.run(work)

    def next_generation(self, connection: sa.Connection, account: str) -> int:
        """Open a new generation of the account; the old one stays for audit."""
        table = tables.account
        return connection.execute(
            sa.update(table)
            .where(table.c.id == account)
            .values(generation=table.c.generation + 1)
            .returning(table.c.generation)
        ).scalar_one()

    def halt(self, account: str, who: str, why: str, at: datetime) -> None:
        """Stop the account: nothing is planned or sent for it until the halt is cleared."""
        self.run(lambda connection: halts.set_halt(connection, account, who, why, at, halted=True))

    def clear_halt(self, account: str, who: str, why: str, at: datetime) -> None:
        """Let a halted account go on; who and why stay on record."""
        self.run(lambda connection: halts.set_halt(connection, account, who, why, at, halted=False))

    def why_halted(self, connection: sa.Connection, account: str) -> str:
        """Why the account may not send, empty when it may; to be asked in the transaction that marks an order."""
        return halts.why_halted(connection, account, self.halt_file)

    def post(
        self, connection: sa.Connection, account: str, generation: int, transactions: Sequence[Transaction]
    ) -> int:
        """Book what is not booked yet and return how many that were. Posting a transaction twice changes nothing."""
        faulty = journal.unbalanced(transactions)
        if faulty:
            raise ValueError(f"entries of {faulty[0]} do not sum to zero")
        fresh = self._unknown(connection, account, generation, transactions)
        if not fresh:
            return 0
        ids = self.take_ids(connection, tables.transaction_ids.next_value(), len(fresh))
        head, body = StringIO(), StringIO()
        for number, one in zip(ids, fresh, strict=True):
            # The broker names executions, and another hand his orders.
            key, cid, execution = (text.translate(ESCAPES) for text in (one.key, one.cid, one.execution))
            head.write(
                f"{number}\t{account}\t{generation}\t{key}\t{one.kind}\t{one.session}\t{one.sleeve}\t{one.symbol}"
                f"\t{one.quantity}\t{one.price}\t{one.notional}\t{one.fee}\t{cid}\t{execution}\n"
            )
            for sleeve, asset, amount in one.entries:
                body.write(f"{number}\t{sleeve}\t{asset}\t{amount}\n")
        copy(connection, tables.txn, head)
        copy(connection, tables.entry, body)
        self._move_balances(connection, account, generation, fresh)
        return len(fresh)

    def _unknown(
        self, connection: sa.Connection, account: str, generation: int, transactions: Sequence[Transaction]
    ) -> list[Transaction]:
        by_key = {one.key: one for one in transactions}
        table = tables.txn
        mine = sa.and_(table.c.account == account, table.c.generation == generation)
        if connection.scalar(sa.select(sa.exists().where(mine))):
            asked = sa.select(table.c.key).where(mine, table.c.key == sa.func.any(list(by_key)))
            for key in connection.scalars(asked):
                del by_key[key]
        return list(by_key.values())

    def _move_balances(
        self, connection: sa.Connection, account: str, generation: int, transactions: Sequence[Transaction]
    ) -> None:
        # Absolute values, not differences: Postgres checks a constraint on the proposed row before it looks for the
        # row that is already there, so adding a negative difference would be refused.
        before = self.balances(connection, account, generation)
        after = {sleeve: dict(assets) for sleeve, assets in before.items()}
        journal.apply(after, transactions)
        rows = [
            {"account": account, "generation": generation, "sleeve": sleeve, "asset": asset, "amount": amount}
            for sleeve, asset, amount in sorted(_changes(before, after))
        ]
        if rows:
            upsert = insert(tables.balance)
            keys = [column.name for column in tables.balance.primary_key]
            upsert = upsert.on_conflict_do_update(index_elements=keys, set_={"amount": upsert.excluded.amount})
            connection.execute(upsert, rows)
        names = [{"account": account, "name": name} for name in sorted(after) if journal.is_sleeve(name)]
        if names:
            connection.execute(insert(tables.sleeve).on_conflict_do_nothing(), names)

    def balances(self, connection: sa.Connection, account: str, generation: int) -> Balances:
        """What every sleeve holds: sleeve -> asset -> amount, without zeros."""
        table = tables.balance
        rows = connection.execute(
            sa.select(table.c.sleeve, table.c.asset, table.c.amount).where(
                table.c.account == account, table.c.generation == generation, table.c.amount != 0
            )
        )
        return _nested(rows)

    def rebuild(self, connection: sa.Connection, account: str, generation: int) -> Balances:
        """The balances as the entries say: equal to `balances`, or the books are broken."""
        entry, txn = tables.entry, tables.txn
        total = sa.cast(sa.func.sum(entry.c.amount), sa.BigInteger)
        rows = connection.execute(
            sa.select(entry.c.sleeve, entry.c.asset, total)
            .join(txn, txn.c.id == entry.c.txn)
            .where(txn.c.account == account, txn.c.generation == generation)
            .group_by(entry.c.sleeve, entry.c.asset)
            .having(total != 0)
        )
        return _nested(rows)

    def take_ids(self, connection: sa.Connection, following: sa.ColumnElement[int], count: int) -> Sequence[int]:
        """The next `count` numbers of a sequence."""
        numbers = sa.func.generate_series(1, count).table_valued("n")
        return connection.scalars(sa.select(following).select_from(numbers)).all()


def copy(connection: sa.Connection, table: sa.Table, lines: StringIO, columns: Sequence[str] | None = None) -> None:
    """COPY tab-separated lines into a table: of all its columns, or of those named."""
    names = columns or [column.name for column in table.columns]
    statement = sql.SQL("copy {} ({}) from stdin").format(
        sql.Identifier(str(table.schema), table.name), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    lines.seek(0)
    cursor: Any = connection.connection.cursor()  # psycopg2's, which can COPY
    cursor.copy_expert(statement, lines)
    cursor.close()


def line(values: Iterable[Any]) -> str:
    """One line for COPY; None is NULL, a list is an array. Texts are checked where they enter, not escaped here."""
    return "\t".join(_cell(value) for value in values) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return r"\N"
    if isinstance(value, list | tuple):
        return "{" + ",".join(f'"{item}"' for item in value) + "}"
    return str(value)


def _nested(rows: Iterable[Any]) -> Balances:
    found: Balances = {}
    for sleeve, asset, amount in rows:
        found.setdefault(sleeve, {})[asset] = amount
    return found


def _changes(before: Balances, after: Balances) -> Iterator[tuple[str, str, int]]:
    for sleeve in before.keys() | after.keys():
        old, new = before.get(sleeve, {}), after.get(sleeve, {})
        for asset in old.keys() | new.keys():
            amount = new.get(asset, 0)
            if old.get(asset, 0) != amount:
                yield sleeve, asset, amount
