"""History at speed: a range of sessions in memory, then one bulk load in one transaction.

A simulated account's past is a function of its inputs, and every session keeps a fingerprint of them. Asked for a
range again, the fingerprints are compared: if all are equal nothing is computed and nothing written. If one differs,
an input was corrected: the account gets a new generation, computed from inception, and the old one stays for audit.
"""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from pas_dagster import calendar
from pas_dagster.errors import PasError
from pas_dagster.execution import inputs, session
from pas_dagster.execution.brokers.base import Ticket
from pas_dagster.execution.brokers.postgres_store import PostgresStore, connect
from pas_dagster.execution.brokers.simulated import Book, MemoryStore, SimulatedBroker
from pas_dagster.execution.executor import Executor
from pas_dagster.execution.market import Market, Tape
from pas_dagster.execution.outcome import Outcome, load
from pas_dagster.execution.targets import SleeveTarget, rules, wanted
from pas_dagster.ledger import batches, journal
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.batches import Stored
from pas_dagster.ledger.journal import Balances
from pas_dagster.ledger.records import Execution, Record, Result
from pas_dagster.ledger.store import Ledger

Targets = Mapping[date, Sequence[SleeveTarget]]


def replay(ledger: Ledger, account: AccountSpec, targets: Targets, keys: Sequence[date], market: Market) -> Outcome:
    """Trade the decisions `keys` of a simulated account, and every earlier one that is missing.

    `targets`: every decision from inception to the last key, and to the last one already traded. The last key may be
    a session whose closes are not known yet: its orders then rest. Raises `PasError` for an account that is not
    simulated, for a key without targets, and for closes missing within the range.
    """
    if account.mode != "simulated":
        raise PasError(f"Account {account.id!r} is a {account.mode} account: the past is not sent to a broker.")
    missing = [key for key in keys if key not in targets or key < account.opened]
    if missing:
        raise PasError(f"There are no targets for {missing[0]} of account {account.id!r} (opened {account.opened}).")
    with ledger.lock(account.id), _without_collector():
        return _Replay(ledger, account, targets, sorted(keys), market).run()


@contextmanager
def _without_collector() -> Generator[None, None, None]:
    """Millions of tuples and no cycles: the collector would only look through them, for a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass
class _Replay:
    ledger: Ledger
    account: AccountSpec
    targets: Targets
    keys: list[date]
    market: Market

    def __post_init__(self) -> None:
        self.tape = Tape(self.market)

    def run(self) -> Outcome:
        generation = self.ledger.open_account(self.account)
        if not self.keys:
            return load(self.ledger, self.account.id, generation, [])
        old = self._stored(generation)
        if self._differs(old):
            return self._restate(generation, old)
        self._trade(generation, old, self.keys[-1])
        return load(self.ledger, self.account.id, generation, self.keys)

    def _stored(self, generation: int) -> dict[date, Stored]:
        return self.ledger.run(lambda connection: batches.stored(connection, self.account.id, generation))

    def _differs(self, old: dict[date, Stored]) -> bool:
        """Whether a batch of the range was computed from other inputs, or is missing among those that exist."""
        last = max(old, default=None)
        before = dict(zip(old, [None, *old], strict=False))
        for key in self.keys:
            if last is None or key > last:
                return False
            if key not in old or self._fingerprints(old[key], before[key]) != _compared(old[key]):
                return True
        return False

    def _fingerprints(self, batch: Stored, previous: date | None) -> tuple[str, str | None]:
        passed = session.days(self.tape, previous, batch.session)
        own = rules(self.account)
        goal = wanted(self.targets[batch.session])
        planned = inputs.plan_hash(own, self.account.opened, goal, batch.symbols, self.tape, batch.session, passed)
        filled = inputs.fill_hash(batch.symbols, self.tape, batch.session) if batch.fill_hash else None
        return planned, filled

    def _restate(self, generation: int, old: dict[date, Stored]) -> Outcome:
        end = max(self.keys[-1], *old)
        lost = [day for day in old if day not in self.targets]
        if lost:
            raise PasError(
                f"An input of account {self.account.id!r} was corrected, so it is computed anew from inception, but "
                f"there are no targets for {lost[0]}, which it traded. Materialise the range up to {end} at once."
            )
        self._trade(generation, {}, end, restate=True)
        new = self._stored(generation + 1)
        changed = [day for day in sorted(old.keys() | new.keys()) if _of(old, day) != _of(new, day)]
        since = changed[0] if changed else None
        shown = [day for day in new if day in self.keys or (since is not None and day >= since)]
        return load(self.ledger, self.account.id, generation + 1, shown, since)

    def _trade(self, generation: int, old: dict[date, Stored], end: date, *, restate: bool = False) -> None:
        """Trade what is missing up to `end`: closed sessions in bulk, a last open one through the executor."""
        last = max(old, default=None)
        todo = [day for day in sorted(self.targets) if self.account.opened <= day <= end and (not last or day > last)]
        rests = last is not None and old[last].state == "open" and not self._executor(generation).drive(old[last])
        if rests and todo:
            raise PasError(f"The closes of {last} are not known, so {todo[0]} cannot be planned; import them.")
        resting = [day for day in todo[-1:] if not self.tape.closes(day).known]
        closed = todo[: len(todo) - len(resting)]
        if closed or restate:
            generation = self._bulk(generation, last, closed, restate=restate)
        if resting:
            self._executor(generation).run(resting[0], wanted(self.targets[resting[0]]))

    def _executor(self, generation: int) -> Executor:
        broker = connect(self.ledger, self.account, self.market)
        return Executor(
            self.ledger, self.account, generation, self.tape, broker, lambda: calendar.closing(broker.clock().session)
        )

    def _bulk(self, generation: int, last: date | None, days: list[date], *, restate: bool) -> int:
        name = self.account.id
        balances: Balances = {}
        if not restate:
            balances = self.ledger.run(lambda connection: self.ledger.balances(connection, name, generation))
        book = _broker_book(self.account, balances, last)
        used = generation + 1 if restate else generation
        records = list(_sessions(self.account, used, self.targets, days, self.tape, balances, book, last))
        if journal.totals(balances) != (book.positions, book.cash) and records:
            raise AssertionError("the replay's ledger and its broker disagree")

        def work(connection: sa.Connection) -> None:
            if restate:
                self.ledger.next_generation(connection, name)
            batches.write(self.ledger, connection, name, used, records)
            store = PostgresStore(self.ledger, name, book)
            store.forget(connection)
            store.write(connection, book, [], [], moved=True)

        self.ledger.run(work)
        return used


def _broker_book(account: AccountSpec, balances: Balances, last: date | None) -> Book:
    if last is None:
        return Book(account.opened, rules(account).capital)
    positions, cash = journal.totals(balances)
    return Book(last, cash, positions)


def _sessions(
    account: AccountSpec,
    generation: int,
    targets: Targets,
    days: Sequence[date],
    tape: Tape,
    balances: Balances,
    book: Book,
    previous: date | None,
) -> Iterator[Record]:
    """Trade the days in order, changing balances and the broker's book in place; one record per day."""
    broker = SimulatedBroker(account.id, MemoryStore(book), tape, rules(account).rate)
    for day in days:
        if not tape.closes(day).known:
            raise PasError(f"The closes of {day} are not known, so nothing after it can be planned; import them.")
        record = session.begin(account, generation, day, previous, balances, wanted(targets[day]), tape)
        for order in record.orders:
            broker.submit(Ticket(order.cid, day, order.symbol, order.side, order.quantity))
        _settle(record, broker, balances, tape)
        yield record
        previous = day


def _settle(record: Record, broker: SimulatedBroker, balances: Balances, tape: Tape) -> None:
    day = record.session
    executions = broker.executions(day)
    by_cid: dict[str, list[Execution]] = {}
    for one in executions:
        by_cid.setdefault(one.cid, []).append(one)
    results: dict[str, Result] = {}
    moved: list[journal.Transaction] = []
    for order in record.orders:
        shares: Sequence[int] = (0,) * len(order.shares)
        for one in by_cid.get(order.cid, ()):
            shares, booked = session.fill(order, one, shares)
            moved += booked
        found = broker.find(order.cid)
        assert found is not None  # it was submitted above
        results[order.cid] = Result(found.state, found.filled, found.reason, tuple(shares))
    journal.apply(balances, moved)
    ended, touched = session.end(balances, tape, day)
    flow = session.flows(record.transactions)
    record.state = "done"
    record.results = results
    record.executions = list(executions)
    record.activities = [*record.activities, *touched]
    record.transactions = record.transactions + moved + ended
    traded, fees = sum(one.notional for one in executions), sum(one.fee for one in executions)
    record.mark = session.mark(balances, tape, day, traded, fees, flow)
    record.fill_hash = inputs.fill_hash(record.symbols, tape, day)


def _compared(batch: Stored) -> tuple[str, str | None]:
    return batch.plan_hash, batch.fill_hash


def _of(batches_by_day: dict[date, Stored], day: date) -> tuple[str, str | None] | None:
    found = batches_by_day.get(day)
    return None if found is None else _compared(found)
