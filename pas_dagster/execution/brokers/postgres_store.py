"""The simulated broker's books in Postgres, schema `broker`: apart from the ledger, as a real broker's are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pas_dagster.execution.brokers.base import BrokerOrder
from pas_dagster.execution.brokers.simulated import Book, SimulatedBroker
from pas_dagster.execution.market import Market, Tape
from pas_dagster.execution.targets import rules
from pas_dagster.ledger import tables
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.records import Execution
from pas_dagster.ledger.store import Ledger


def connect(ledger: Ledger, account: AccountSpec, market: Market) -> SimulatedBroker:
    """The simulated broker of an account; a new one is opened with the account's capital."""
    own = rules(account)
    fresh = Book(account.opened, own.capital)
    return SimulatedBroker(account.id, PostgresStore(ledger, account.id, fresh), Tape(market), own.rate)


class PostgresStore:
    """Books of one account; every `save` is one transaction."""

    def __init__(self, ledger: Ledger, account: str, fresh: Book) -> None:
        self._ledger = ledger
        self._account = account
        self._fresh = fresh

    def load(self) -> Book:
        return self._ledger.run(self._load)

    def _load(self, connection: sa.Connection) -> Book:
        head, held, placed = tables.book, tables.position, tables.placed
        row = connection.execute(sa.select(head).where(head.c.account == self._account)).one_or_none()
        fresh = self._fresh
        session, cash, acted = (
            (fresh.session, fresh.cash, fresh.acted) if row is None else (row.session, row.cash, row.acted)
        )
        positions = connection.execute(sa.select(held.c.symbol, held.c.quantity).where(held.c.account == self._account))
        orders = connection.execute(
            sa.select(*_columns(placed)).where(placed.c.account == self._account, placed.c.session == session)
        )
        return Book(
            session,
            cash,
            {row.symbol: row.quantity for row in positions},
            {order.cid: BrokerOrder(*order) for order in orders},
            set(acted),
        )

    def find(self, cid: str) -> BrokerOrder | None:
        placed = tables.placed
        row = self._ledger.run(
            lambda connection: connection.execute(
                sa.select(*_columns(placed)).where(placed.c.account == self._account, placed.c.cid == cid)
            ).one_or_none()
        )
        return None if row is None else BrokerOrder(*row)

    def executions(self, session: date) -> Sequence[Execution]:
        done = tables.done
        rows = self._ledger.run(
            lambda connection: connection.execute(
                sa.select(*(done.c[name] for name in Execution._fields))
                .where(done.c.account == self._account, done.c.session == session)
                .order_by(done.c.cid)
            ).all()
        )
        return [Execution(*row) for row in rows]

    def save(self, book: Book, orders: Sequence[BrokerOrder], executions: Sequence[Execution], *, moved: bool) -> None:
        self._ledger.run(lambda connection: self.write(connection, book, orders, executions, moved=moved))

    def write(
        self,
        connection: sa.Connection,
        book: Book,
        orders: Sequence[BrokerOrder],
        executions: Sequence[Execution],
        *,
        moved: bool,
    ) -> None:
        """`save` within the caller's transaction."""
        own = {"account": self._account}
        if moved:
            self._move(connection, book)
        if orders:
            upsert = insert(tables.placed)
            changed = {name: upsert.excluded[name] for name in ("filled", "state", "reason")}
            rows = [order._asdict() | own for order in orders]
            connection.execute(upsert.on_conflict_do_update(index_elements=["cid"], set_=changed), rows)
        if executions:
            rows = [execution._asdict() | own for execution in executions]
            connection.execute(insert(tables.done).on_conflict_do_nothing(), rows)

    def _move(self, connection: sa.Connection, book: Book) -> None:
        changed = {"session": book.session, "cash": book.cash, "acted": sorted(book.acted)}
        upsert = insert(tables.book).values(account=self._account, **changed)
        connection.execute(upsert.on_conflict_do_update(index_elements=["account"], set_=changed))
        held = tables.position
        connection.execute(sa.delete(held).where(held.c.account == self._account))
        rows = [
            {"account": self._account, "symbol": symbol, "quantity": quantity}
            for symbol, quantity in sorted(book.positions.items())
        ]
        if rows:
            connection.execute(sa.insert(held), rows)

    def forget(self, connection: sa.Connection) -> None:
        """Drop the account's books: another past is about to be written."""
        for table in (tables.book, tables.position, tables.placed, tables.done):
            connection.execute(sa.delete(table).where(table.c.account == self._account))


def _columns(placed: sa.Table) -> list[sa.Column]:
    return [placed.c[name] for name in BrokerOrder._fields]
