"""Planning, the journal and a large batch, each against what is plain: `python -m benchmarks.execution`.

- Planning 5,000 symbols for 25 sleeves that all hold and want every one of them. Baseline: a loop over the rows of a
  frame that computes the differences and their sums by symbol only (no costs, crosses, orders or ids).
- Booking executions: the fills of 20 orders of three sleeves at a time through `batches.book`, as a run books what it
  was told, and bare transactions through `Ledger.post`. Baseline: every row in an INSERT and a transaction of its own.
- 500 orders in one batch at the sandbox broker, over HTTP with the unmodified SDK, while it enforces 200 requests a
  minute. Waiting is skipped and work is not: the desk's and the broker's clock is the machine's plus what was waited.

Medians; nothing is asserted on time.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random

import pandas as pd
import sqlalchemy as sa

from pas_dagster import calendar, postgres, settings
from pas_dagster.execution import plan, session
from pas_dagster.execution.brokers import alpaca
from pas_dagster.execution.desk import Desk, Patience, open_desk
from pas_dagster.execution.gates import Gates
from pas_dagster.execution.guard import Conditions, Guard
from pas_dagster.execution.market import CorporateAction, Prices
from pas_dagster.execution.targets import Rules, SleeveTarget, wanted
from pas_dagster.ledger import batches, journal, tables, units
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.journal import CASH, Balances, Transaction
from pas_dagster.ledger.records import Execution, Order, Record
from pas_dagster.ledger.store import Ledger
from pas_dagster.sandbox.broker.paper import PaperAccount, prices
from pas_dagster.sandbox.broker.server import KEY, SECRET, BrokerSandbox, Budget, serving

SYMBOLS, SLEEVES, TURNS, SEED = 5_000, 25, 5, 7
ORDERS, FILLS, ROUNDS = 20, 10, 50  # orders of a batch, fills of each, batches
SINGLE = 200  # executions that the baseline books
BATCH, BUDGET, MINUTE = 500, 200, 60.0
DAY = date(2024, 1, 3)
SPEC = AccountSpec("paper", broker="alpaca", mode="paper", cost_bp=0.0, opened=DAY)
OPEN = Gates(batch_usd=None, day_usd=None, name_share=None, sector_share=None)


def main() -> None:
    """Run the comparisons and print them."""
    _planning()
    with _database() as url, closing(Ledger(url)) as ledger:
        _journal(ledger)
        _large_batch(ledger)


@contextmanager
def _database() -> Generator[str]:
    with tempfile.TemporaryDirectory() as folder:
        home = settings.load(home=Path(folder) / "home", database_url=None)
        with postgres.running(home) as url:
            yield url


# Planning.


def _planning() -> None:
    table, balances, targets = _universe()
    rules = Rules(units.money(10_000_000), units.money(5), units.rate(5.0))
    goals = wanted(targets)
    made = plan.make("a", 1, DAY, goals, balances, Prices(table), rules)
    orders, crosses = len(made.orders), len(made.crosses)
    del made  # a run has one plan; another in memory would only slow down the collector
    rows = pd.DataFrame(
        [
            (one.sleeve, symbol, part, balances[one.sleeve][symbol], table[symbol])
            for one in targets
            for symbol, part in one.weights.items()
        ],
        columns=["sleeve", "symbol", "weight", "held", "price"],
    )
    ours, busy = _median(lambda: plan.make("a", 1, DAY, goals, balances, Prices(table), rules))
    theirs, plain = _median(lambda: _row_by_row(rows, 10_000_000 / SLEEVES), 2)
    print(
        f"planning {SYMBOLS:,} symbols x {SLEEVES} sleeves, all held and wanted: {ours:.2f} s, of the processor "
        f"{busy:.2f} s (aim 1 s), for {orders:,} orders and {crosses:,} crosses; a loop over rows "
        f"{theirs:.2f} s and {plain:.2f} s, {plain / busy:.1f}x"
    )


def _universe() -> tuple[dict[str, float], Balances, list[SleeveTarget]]:
    luck = Random(SEED)
    symbols = [f"S{number:04d}" for number in range(SYMBOLS)]
    table = {symbol: round(luck.uniform(5, 500), 2) for symbol in symbols}
    balances: Balances = {}
    targets = []
    for number in range(SLEEVES):
        name = f"sleeve {number:02d}"
        balances[name] = {symbol: luck.randrange(1, units.SHARE) for symbol in symbols} | {CASH: units.money(20_000)}
        sizes = [luck.random() for _ in symbols]
        weights = {symbol: 0.98 * size / sum(sizes) for symbol, size in zip(symbols, sizes, strict=True)}
        targets.append(SleeveTarget(name, 1 / SLEEVES, weights, rebalance=True, resize=True))
    return table, balances, targets


def _row_by_row(rows: pd.DataFrame, capital: float) -> dict[str, float]:
    found: dict[str, float] = {}
    for _, row in rows.iterrows():
        quantity = capital * row["weight"] / row["price"] - row["held"] / units.SHARE
        found[row["symbol"]] = found.get(row["symbol"], 0.0) + quantity
    return found


# The journal.


def _journal(ledger: Ledger) -> None:
    generation = ledger.open_account(AccountSpec("journal", broker="alpaca", mode="paper", opened=DAY))
    seconds, bare = [], []
    for number in range(ROUNDS):
        orders = _batch(ledger, generation, number)
        fills = _fills(orders)
        began = time.perf_counter()
        ledger.run(lambda c, fills=fills: batches.book(ledger, c, "journal", generation, fills))
        seconds.append(time.perf_counter() - began)
        plain = _deposits(number)
        began = time.perf_counter()
        ledger.run(lambda c, plain=plain: ledger.post(c, "journal", generation, plain))
        bare.append(time.perf_counter() - began)
    ours = ORDERS * FILLS / statistics.median(seconds)
    posted = ORDERS * FILLS / statistics.median(bare)
    theirs = _one_by_one(ledger, generation)
    print(
        f"booking executions, {ORDERS * FILLS} at a time: {ours:,.0f} a second (aim 1,000), each with its row, three "
        f"sleeves, six entries of the journal or more; bare transactions {posted:,.0f} a second; one INSERT and "
        f"transaction a row {theirs:,.0f} executions a second, {ours / theirs:.0f}x"
    )


def _batch(ledger: Ledger, generation: int, number: int) -> list[Order]:
    """A batch of working buys of three sleeves."""
    orders = []
    for at in range(ORDERS):
        symbol = f"B{at:03d}"
        parts = tuple((f"sleeve {n}", (n + 1) * 10 * units.SHARE) for n in range(3))
        cid = plan.order_id(f"{number:016x}", symbol, "buy", 1)
        orders.append(Order(cid, symbol, "buy", 60 * units.SHARE, units.money(100), 1, parts, ""))
    record = Record(DAY, f"{DAY}/{number}", "", ["B"], calendar.closing(DAY), orders=orders)
    ledger.run(lambda connection: batches.write(ledger, connection, "journal", generation, [record]))
    return orders


Fills = list[tuple[Execution, Mapping[str, int], Sequence[Transaction]]]


def _fills(orders: Sequence[Order]) -> Fills:
    found: Fills = []
    for order in orders:
        have: Sequence[int] = (0,) * len(order.shares)
        size = order.quantity // FILLS
        for number in range(FILLS):
            notional = units.cost(size, order.price)
            one = Execution(f"{order.cid}/{number}", order.cid, DAY, size, order.price, notional, 0)
            have, booked = session.fill(order, one, have)
            names = [sleeve for sleeve, _ in order.shares]
            found.append((one, dict(zip(names, have, strict=True)), booked))
    return found


def _deposits(number: int) -> list[Transaction]:
    return [journal.deposit(f"{number}/{at}", DAY, units.USD) for at in range(ORDERS * FILLS)]


def _one_by_one(ledger: Ledger, generation: int) -> float:
    """Executions a second when every row of them is an INSERT in its own transaction."""
    fills = _fills(_batch(ledger, generation, ROUNDS))[:SINGLE]
    ids = iter(range(10**12, 10**12 + 10 * SINGLE))
    sink = "create table public.plain (a text, b text, c text, d bigint)"
    engine = sa.create_engine(ledger.url)
    with engine.begin() as connection:
        connection.exec_driver_sql(sink)
    began = time.perf_counter()
    for execution, _, booked in fills:
        rows = [(execution.id, execution.cid, "execution", execution.quantity)]
        for one in booked:
            rows.append((one.key, one.sleeve, "transaction", next(ids)))
            rows += [(one.key, sleeve, asset, amount) for sleeve, asset, amount in one.entries]
        for row in rows:
            with engine.begin() as connection:
                connection.exec_driver_sql("insert into public.plain values (%s, %s, %s, %s)", row)
    seconds = time.perf_counter() - began
    engine.dispose()
    return len(fills) / seconds


# A large batch.


@dataclass
class Skipping:
    """A clock that does not wait: what would have been waited is added to the machine's time."""

    start: datetime
    began: float = field(default_factory=time.monotonic)
    skipped: float = 0.0

    def monotonic(self) -> float:
        return time.monotonic() - self.began + self.skipped

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.monotonic())

    def sleep(self, seconds: float) -> None:
        self.skipped += seconds


@dataclass(frozen=True)
class Quiet:
    """A market in which nothing moves."""

    table: Mapping[str, float]

    def reference(self, decision: date) -> Mapping[str, float]:
        return self.table

    def closes(self, session: date) -> Mapping[str, float]:
        return {}

    def actions(self, session: date) -> Sequence[CorporateAction]:
        return ()


def _large_batch(ledger: Ledger) -> None:
    table = {f"S{number:03d}": 20.0 + number for number in range(BATCH)}
    watch = Skipping(calendar.opening(DAY) + timedelta(minutes=30))
    book = PaperAccount(prices(table), watch.now, 1_000_000)
    trading = BrokerSandbox(book, budget=Budget(BUDGET, MINUTE), monotonic=watch.monotonic)
    data = BrokerSandbox(book, budget=Budget(BUDGET, MINUTE), monotonic=watch.monotonic)
    began = time.monotonic()
    with serving(trading) as url, serving(data) as data_url, _desk(ledger, table, url, data_url, watch) as desk:
        weights = dict.fromkeys(table, 0.95 / BATCH)
        desk.rebalance(DAY, wanted([SleeveTarget("all", 1.0, weights, rebalance=True, resize=True)]))
    worked = time.monotonic() - began
    _tell(book, trading, data, worked)
    states = ledger.run(lambda c: c.scalars(sa.select(tables.orders.c.state).where(_of_desk())).all())
    print(f"  {len(states)} orders, {states.count('filled')} of them filled and booked")


def _of_desk() -> sa.ColumnElement[bool]:
    mine = sa.select(tables.batch.c.id).where(tables.batch.c.account == SPEC.id)
    return tables.orders.c.batch.in_(mine)


@contextmanager
def _desk(ledger: Ledger, table: Mapping[str, float], url: str, data_url: str, watch: Skipping) -> Generator[Desk]:
    def calm(symbols: Sequence[str]) -> Conditions:
        return Conditions(dict.fromkeys(symbols, 10**9 * units.SHARE), dict.fromkeys(symbols, "tech"), ())

    broker = alpaca.connect(
        KEY,
        SECRET,
        url,
        data_url=data_url,
        requests_per_minute=BUDGET,
        data_requests_per_minute=BUDGET,
        watch=watch,
    )
    guard = Guard(OPEN, url, conditions=calm)
    with ledger.lock(SPEC.id):
        yield open_desk(ledger, SPEC, Quiet(table), broker, watch.now, guard, Patience(3600.0, watch))


def _tell(book: PaperAccount, trading: BrokerSandbox, data: BrokerSandbox, worked: float) -> None:
    sent = sorted(order.submitted for order in book.orders.values())
    posts = [at for at, (method, path, _) in enumerate(trading.log) if (method, path) == ("POST", "/v2/orders")]
    seconds = (sent[-1] - sent[0]).total_seconds()
    permitted = BUDGET / MINUTE * seconds
    refused = sum(status == 429 for _, _, status in (*trading.log, *data.log))
    print(
        f"{len(sent)} orders in one batch while the broker permits {BUDGET} requests a minute (waiting skipped, work "
        f"counted: {worked:.0f} s of it): {seconds:.1f} s from the first to the last, "
        f"{(posts[-1] - posts[0]) / permitted:.1%} of the permitted rate, of which the orders alone "
        f"{(len(sent) - 1) / permitted:.1%}; {refused} requests refused"
    )


def _median(run: Callable[[], object], turns: int = TURNS) -> tuple[float, float]:
    """Seconds on the clock, and of the processor."""
    clock, busy = zip(*_seconds(run, turns), strict=True)
    return statistics.median(clock), statistics.median(busy)


def _seconds(run: Callable[[], object], turns: int) -> Iterator[tuple[float, float]]:
    for _ in range(turns):
        began, busy = time.perf_counter(), time.process_time()
        run()
        yield time.perf_counter() - began, time.process_time() - busy


if __name__ == "__main__":
    main()
