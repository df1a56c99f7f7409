"""Where the faults are played: an account that has traded a day, at a broker over HTTP, with a clock that is moved.

The first day is traded once. What is in its ledger's tables then is put back before every cell (a database of its own
would take a hundred times as long), and so are the broker's books. The desk is the real one with the unmodified SDK;
its ledger and its links call a hook after every commit and every answer of the broker, where cells let things happen.
"""

from __future__ import annotations

import itertools
import mmap
import pickle
import struct
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import sqlalchemy as sa

from benchmarks.faulty import scenario
from pas_dagster.execution.brokers.alpaca import AlpacaBroker
from pas_dagster.execution.brokers.alpaca_link import Link, Reply
from pas_dagster.execution.desk import Desk, Patience, open_desk, trade
from pas_dagster.execution.gates import Gates
from pas_dagster.execution.guard import Conditions, Guard
from pas_dagster.execution.outcome import Outcome
from pas_dagster.ledger import journal, tables, units
from pas_dagster.ledger.halts import HALT_FILE
from pas_dagster.ledger.migrations import migrate
from pas_dagster.ledger.store import Ledger
from pas_dagster.sandbox.broker.hours import Hand
from pas_dagster.sandbox.broker.paper import PaperAccount, Rules, prices
from pas_dagster.sandbox.broker.server import KEY, SECRET, BrokerSandbox, serving

FAST = 1_000_000  # requests a minute: a sandbox has nobody to spare
TIMEOUT = 0.4  # seconds a client waits for an answer
SLOWNESS = 0.1  # seconds of a slow one
PATIENCE = 120.0  # seconds of the moved clock that a run waits for fills
_NAMES = itertools.count()
_BOOKS = ("now", "lock", "rules", "_price", "_actions")  # of a paper account: not part of what it holds

Hook = Callable[[str], None]


class SharedHand(Hand):
    """A market's clock that several processes look at and move: its time is in a file."""

    def __init__(self, file: Path, moment: datetime | None = None) -> None:
        if moment is not None:
            file.write_bytes(struct.pack("d", moment.timestamp()))
        with file.open("r+b") as opened:
            self._time = mmap.mmap(opened.fileno(), 8)
        super().__init__(self())

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(struct.unpack("d", self._time[:8])[0], UTC)

    def to(self, moment: datetime) -> None:
        self._time[:8] = struct.pack("d", moment.timestamp())

    def advance(self, seconds: float) -> None:
        self.to(self() + timedelta(seconds=seconds))


class Watch:
    """Waiting moves the market's clock and takes no time; a deadline sees both pass."""

    def __init__(self, hand: Hand) -> None:
        self._hand = hand

    def monotonic(self) -> float:
        return self._hand().timestamp() + time.monotonic()

    def now(self) -> datetime:
        return self._hand()

    def sleep(self, seconds: float) -> None:
        self._hand.advance(seconds)


class WatchedLedger(Ledger):
    """Calls `before` at the end of a transaction and `after` when it is committed."""

    before: Callable[[sa.Connection], None] | None = None
    after: Hook | None = None

    def run(self, work: Callable[[sa.Connection], Any]) -> Any:
        def watched(connection: sa.Connection) -> Any:
            found = work(connection)
            if self.before is not None:
                self.before(connection)
            return found

        found = super().run(watched)
        if self.after is not None:
            self.after("commit")
        return found


class WatchedLink(Link):
    """Calls `after` when the broker has answered, or has not in time."""

    after: Hook | None = None

    def once(self, method: str, path: str, asked: Mapping[str, str] | None = None) -> Reply:
        reply = super().once(method, path, asked)
        if self.after is not None:
            self.after(f"{method} {path}")
        return reply


def calm(symbols: Sequence[str]) -> Conditions:
    """Deep volumes, one sector, nothing tripped."""
    return Conditions(dict.fromkeys(symbols, 10**9 * units.SHARE), dict.fromkeys(symbols, "tech"), ())


def guard_at(url: str) -> Guard:
    """The usual gates but for the caps: five symbols cannot be diversified."""
    return Guard(Gates(name_share=None, sector_share=None), base_url=url, conditions=calm)


def broker_at(url: str, watch: Watch, *, unique: bool, after: Hook | None = None) -> AlpacaBroker:
    """The adapter, as it is but for a hook; told whether the broker refuses an id that it has seen."""
    links = [
        WatchedLink(KEY, SECRET, url, service=service, requests_per_minute=FAST, timeout=TIMEOUT, clock=watch)
        for service in ("paper", "data")
    ]
    for link in links:
        link.after = after
    broker = AlpacaBroker(links[0], links[1])
    broker.unique_ids = unique
    return broker


@dataclass
class Firm:
    """One cell's account, ledger and broker: all that a fault may want to disturb."""

    server: str
    rest: str
    ledger: WatchedLedger
    hand: SharedHand
    folder: Path
    book: PaperAccount
    sandbox: BrokerSandbox
    market: scenario.Tables
    quotes: dict[str, float]
    unique: bool
    skew: timedelta = timedelta(0)
    patience: float = PATIENCE
    day: date = scenario.SECOND
    targets: Sequence[Any] | None = None
    spare: list[str] = field(default_factory=list)  # databases to drop at the end

    def clock(self) -> datetime:
        """Ours, which may be wrong."""
        return self.hand() + self.skew

    @property
    def watch(self) -> Watch:
        return Watch(self.hand)

    @property
    def guard(self) -> Guard:
        return guard_at(self.rest)

    @property
    def halt_file(self) -> Path:
        return self.folder / HALT_FILE

    def broker(self, after: Hook | None = None) -> AlpacaBroker:
        return broker_at(self.rest, self.watch, unique=self.unique, after=after)

    def trade(self, after: Hook | None = None, ledger: Ledger | None = None) -> Outcome:
        """One run of the day, as an operator or a schedule would start it."""
        books = ledger or self.ledger
        if isinstance(books, WatchedLedger):
            books.after = after
        try:
            return trade(
                books,
                scenario.SPEC,
                scenario.targets(self.day) if self.targets is None else self.targets,
                self.day,
                self.market,
                self.broker(after),
                self.clock,
                self.guard,
                Patience(self.patience, self.watch),
            )
        finally:
            if isinstance(books, WatchedLedger):
                books.after = None

    @contextmanager
    def desk(self) -> Generator[Desk]:
        with self.ledger.lock(scenario.SPEC.id):
            waits = Patience(self.patience, self.watch)
            yield open_desk(self.ledger, scenario.SPEC, self.market, self.broker(), self.clock, self.guard, waits)

    def morning(self, day: date) -> None:
        """Go to ten o'clock of a session, at the prices of its morning."""
        self.hand.to(scenario.ten(day))
        self.market = scenario.market(day)
        self.quotes |= self.market.reference(day)
        self.day = day

    def rows(self, table: sa.Table) -> list[sa.Row]:
        with self.ledger.engine.connect() as connection:
            return list(connection.execute(sa.select(table)).all())

    def balances(self) -> journal.Balances:
        with self.ledger.engine.connect() as connection:
            return self.ledger.balances(connection, scenario.SPEC.id, 1)

    def why_halted(self) -> str:
        with self.ledger.engine.connect() as connection:
            return self.ledger.why_halted(connection, scenario.SPEC.id)

    def resume(self) -> None:
        """What an operator does after having looked."""
        self.halt_file.unlink(missing_ok=True)
        if any(row.halted for row in self.rows(tables.account)):
            self.ledger.clear_halt(scenario.SPEC.id, "operator", "looked at", self.hand())

    def posts(self) -> int:
        return self.sandbox.count("POST", "/v2/orders")


@dataclass
class Stage:
    """A database server with the traded first day in it, and a broker's server. `unique`: it refuses ids twice."""

    server: str
    name: str  # of the ledger's database
    again: str  # SQL that puts its tables back
    books: bytes
    rest: str
    sandbox: BrokerSandbox
    folder: Path
    unique: bool = True
    expected: Any = None  # how the second day ends when nothing happens
    points: Sequence[str] = ()  # what is reached on the way
    requests: Sequence[str] = ()  # what the broker is asked

    @contextmanager
    def firm(self) -> Generator[Firm]:
        """The account in the morning of the second day."""
        url = other(self.server, self.name)
        # The ledger's proof counts changes of what must not change: they are forgotten once they are counted.
        execute(url, f"{self.again}; select pg_stat_force_next_flush()", "select pg_stat_reset()")
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        hand = SharedHand(folder / "hand", scenario.ten(scenario.SECOND))
        market = scenario.market(scenario.SECOND)
        quotes = dict(market.reference(scenario.SECOND))
        book = PaperAccount(prices(quotes), hand, 0, scenario.rules(unique=self.unique))
        vars(book).update(pickle.loads(self.books))
        self._reset(book)
        ledger = WatchedLedger(url, folder / HALT_FILE)
        firm = Firm(self.server, self.rest, ledger, hand, folder, book, self.sandbox, market, quotes, self.unique)
        try:
            yield firm
        finally:
            firm.ledger.close()
            for spare in firm.spare:
                execute(self.server, f"drop database if exists {spare} with (force)")

    def _reset(self, book: PaperAccount) -> None:
        with self.sandbox.lock:
            self.sandbox.account = book
            self.sandbox.troubles.clear()
            self.sandbox.log.clear()
            self.sandbox.slowness = SLOWNESS

    def other(self, *, unique: bool) -> Stage:
        """The same with a broker that does, or does not, refuse ids twice."""
        return replace(self, unique=unique)


@contextmanager
def staged(server: str) -> Generator[Stage]:
    """Trade the first day on a server with a database `pas`, and be ready for the second."""
    name = f"faults_template_{next(_NAMES)}"
    execute(server, f"create database {name}")
    url = other(server, name)
    migrate(url)
    try:
        with tempfile.TemporaryDirectory(prefix="pas-faults-") as made:
            folder = Path(made)
            hand = SharedHand(folder / "hand", scenario.ten(scenario.FIRST))
            market = scenario.market(scenario.FIRST)
            quotes = dict(market.reference(scenario.FIRST))
            book = PaperAccount(prices(quotes), hand, Decimal(scenario.CASH), Rules())
            sandbox = BrokerSandbox(book)
            with serving(sandbox) as rest:
                ledger = WatchedLedger(url)
                firm = Firm(server, rest, ledger, hand, folder, book, sandbox, market, quotes, True)
                firm.day = scenario.FIRST
                firm.trade()
                ledger.close()
                held = {name: value for name, value in vars(book).items() if name not in _BOOKS}
                yield Stage(server, name, _kept(url), pickle.dumps(held), rest, sandbox, folder)
    finally:
        execute(server, f"drop database if exists {name} with (force)")


def _kept(url: str) -> str:
    """Keep a copy of the ledger's tables in its database; returns the SQL that puts it back, whoever is still there."""
    execute(url, "create schema kept")
    steps = [
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
        "and pid <> pg_backend_pid()",
        "begin",
        "set local session_replication_role = replica",  # without the triggers that keep what is written
    ]
    for table in tables.metadata.sorted_tables:
        copy = f"kept.{table.schema}_{table.name}"
        execute(url, f"create table {copy} as table {table}")
        steps += [f"delete from {table}", f"insert into {table} overriding system value select * from {copy}"]  # noqa: S608
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("select schemaname || '.' || sequencename, coalesce(last_value, 0) from pg_sequences")
        steps += [f"select setval('{name}', {last}, true)" for name, last in cursor.fetchall() if last]
    return "; ".join([*steps, "commit"])


def other(url: str, name: str) -> str:
    """The address of another database of the server whose database `pas` an address names."""
    return url.replace("/pas?", f"/{name}?")


def execute(url: str, *statements: str) -> None:
    """Statements, each outside of any transaction."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
