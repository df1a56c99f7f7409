"""A desk at the sandbox broker: the unmodified SDK over HTTP, a ledger in Postgres, and a clock that tests move."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from pas_dagster import calendar
from pas_dagster.execution.brokers import alpaca
from pas_dagster.execution.brokers.alpaca import AlpacaBroker
from pas_dagster.execution.desk import Desk, Patience, open_desk, trade
from pas_dagster.execution.gates import Gates
from pas_dagster.execution.guard import Conditions, Guard
from pas_dagster.execution.outcome import Outcome
from pas_dagster.execution.targets import SleeveTarget
from pas_dagster.ledger import journal, tables, units
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.store import Ledger
from pas_dagster.sandbox.broker.hours import Hand
from pas_dagster.sandbox.broker.paper import PaperAccount, Rules, prices
from pas_dagster.sandbox.broker.server import KEY, SECRET, BrokerSandbox, serving
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.world import SESSIONS, Tables

DAY, NEXT = SESSIONS[0], SESSIONS[1]
FAST = 1_000_000  # requests a minute: a sandbox has nobody to spare
SPEC = AccountSpec("paper", broker="alpaca", mode="paper", cost_bp=0.0, opened=DAY)
LOOSE = Gates(name_share=None, sector_share=None)


def ten(day: date) -> datetime:
    """Ten in the morning."""
    return calendar.midnight(day).replace(hour=10)


def calm(symbols: Sequence[str]) -> Conditions:
    """Deep volumes, one sector, nothing tripped."""
    return Conditions(dict.fromkeys(symbols, 10**9 * units.SHARE), dict.fromkeys(symbols, "tech"), ())


class Watch:
    """Waiting moves the broker's clock instead of taking time."""

    def __init__(self, hand: Hand) -> None:
        self._hand = hand

    def monotonic(self) -> float:
        return self._hand().timestamp()

    def now(self) -> datetime:
        return self._hand()

    def sleep(self, seconds: float) -> None:
        self._hand.advance(seconds)


@dataclass
class Brokerage:
    """Everything that a test may want to disturb."""

    ledger: Ledger
    hand: Hand
    book: PaperAccount
    sandbox: BrokerSandbox
    url: str
    market: Tables
    quotes: dict[str, float]
    spec: AccountSpec = SPEC
    guard: Guard = field(default_factory=lambda: Guard(LOOSE, conditions=calm))
    patience: float = 120.0

    def broker(self, **changes: Any) -> AlpacaBroker:
        options: dict[str, Any] = {
            "requests_per_minute": FAST,
            "data_requests_per_minute": FAST,
            "timeout": 1.0,
            "watch": Watch(self.hand),
        }
        return alpaca.connect(KEY, SECRET, self.url, **(options | changes))

    @property
    def waits(self) -> Patience:
        return Patience(self.patience, Watch(self.hand))

    def trade(self, day: date = DAY, targets: Sequence[SleeveTarget] | None = None, broker: Any = None) -> Outcome:
        wanted = world.targets()[day] if targets is None else targets
        return trade(
            self.ledger,
            self.spec,
            wanted,
            day,
            self.market,
            broker or self.broker(),
            self.hand,
            replace(self.guard, base_url=self.url),
            self.waits,
        )

    @contextmanager
    def desk(self, broker: Any = None, *, halted: bool = False) -> Generator[Desk]:
        with self.ledger.lock(self.spec.id):
            guard = replace(self.guard, base_url=self.url)
            yield open_desk(
                self.ledger,
                self.spec,
                self.market,
                broker or self.broker(),
                self.hand,
                guard,
                self.waits,
                halted=halted,
            )

    def morning(self, day: date) -> None:
        """Go to ten o'clock of a session, at the prices of its morning."""
        self.hand.to(ten(day))
        self.quotes |= self.market.reference(day)

    def balances(self) -> journal.Balances:
        return self.ledger.run(lambda connection: self.ledger.balances(connection, self.spec.id, 1))

    def rows(self, table: sa.Table) -> list[sa.Row]:
        return list(self.ledger.run(lambda connection: connection.execute(sa.select(table)).all()))

    def states(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for row in self.rows(tables.orders):
            found[row.state] = found.get(row.state, 0) + 1
        return found

    def sound(self) -> None:
        """Ledger and broker agree to the unit, the books balance, and nothing is sent twice or left open."""
        positions, cash = journal.totals(self.balances())
        theirs = {symbol: units.shares(quantity) for symbol, quantity in self.book.positions.items()}
        assert positions == theirs
        assert cash == units.money(self.book.cash)
        assert self.balances() == self.ledger.run(lambda connection: self.ledger.rebuild(connection, self.spec.id, 1))
        ours = {row.cid: row for row in self.rows(tables.orders) if row.state not in ("unsent", "rejected")}
        placed = [order.wish.cid for order in self.book.orders.values() if order.wish.cid.startswith("pas-")]
        assert sorted(placed) == sorted(set(placed)), "an order was sent twice"
        taken = {order.wish.cid: units.shares(order.filled) for order in self.book.orders.values()}
        assert {cid: row.filled for cid, row in ours.items()} == {cid: taken[cid] for cid in ours}
        assert not self.book.open_orders()


@contextmanager
def brokerage(
    ledger: Ledger, *, cash: int | str = 100_000, rules: Rules | None = None, day: date = DAY
) -> Generator[Brokerage]:
    """A brokerage at ten in the morning of a session."""
    hand, market = Hand(ten(day)), world.market()
    quotes = dict(market.reference(day))
    book = PaperAccount(prices(quotes), hand, Decimal(cash), rules)
    sandbox = BrokerSandbox(book)
    with serving(sandbox) as url:
        yield Brokerage(ledger, hand, book, sandbox, url, market, quotes)
