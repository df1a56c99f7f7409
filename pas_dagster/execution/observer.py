"""Look at an account without trading it: what a rebalance would do now, and how ledger and broker compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import NamedTuple

import sqlalchemy as sa

from pas_dagster.errors import PasError
from pas_dagster.execution import gates, session
from pas_dagster.execution.brokers.base import Broker
from pas_dagster.execution.custody import valued
from pas_dagster.execution.desk import Desk, Patience, symbols_of
from pas_dagster.execution.gates import Refusal
from pas_dagster.execution.guard import Guard
from pas_dagster.execution.market import Market, Prices, Tape
from pas_dagster.execution.targets import Limits, Wanted
from pas_dagster.ledger import batches, halts, journal
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.batches import Stored
from pas_dagster.ledger.journal import Balances
from pas_dagster.ledger.records import Order, Record
from pas_dagster.ledger.store import Ledger

PLANNED = ("transfer", "cross")  # kinds of what a plan books before there are orders
NO_BATCH = -1  # no batch has this number


class Sight(NamedTuple):
    """What a rebalance would plan, and what that is judged by.

    `balances`: before the plan's transfers and crosses. `prices`: reference, by symbol. `refused`: what the gates
    would keep back now; nothing is asked of them for a simulated account. `waiting`: keys of batches that have to end
    first.
    """

    record: Record
    balances: Balances
    prices: Prices
    limits: Limits
    refused: tuple[Refusal, ...] = ()
    waiting: tuple[str, ...] = ()


class Observer(Desk):
    """The desk for who only looks. Sends and cancels nothing; the account may be halted."""

    def look(self, key: date, targets: Sequence[Wanted]) -> Sight:
        """The plan of now, in a ledger that is rehearsed: what happened outside is booked for it.

        Raises `PasError` when `key` is not the session that trades now, or when ledger and broker differ.
        """
        now = self._broker.clock().session
        if key != now:
            raise PasError(f"{key} is not the session that trades now ({now}): there is nothing to plan.")
        self._watched(lambda: self._enter(key))
        self._custody.reconcile(key)
        prices = self._custody.reference(key, symbols_of(targets))
        limits = self._limits(key, targets, prices)

        def work(connection: sa.Connection) -> tuple[Balances, Record, list[Stored]]:
            record = self._planned(connection, key, targets, limits, prices)
            return self._balances(connection), record, batches.unfinished(connection, *self._own)

        balances, record, waiting = self._ledger.run(work)
        refused = self._objections(key, record.orders, balances, prices)
        return Sight(record, balances, prices, limits, refused, tuple(one.key for one in waiting))

    def _objections(
        self, key: date, orders: Sequence[Order], balances: Balances, prices: Prices
    ) -> tuple[Refusal, ...]:
        """What every gate says to the orders as they are planned."""
        if not orders:
            return ()
        held = valued(prices, journal.totals(balances)[0])
        facts = self._guard.gather(self._broker, self._clock, orders, balances, held)
        live = self._account.mode == "live"
        owner = self._broker.account().id if live else ""

        def work(connection: sa.Connection) -> tuple[int, halts.Arm | None]:
            arm = halts.newest_arm(connection, self._account.id) if live else None
            return batches.sent_notional(connection, *self._own, key, NO_BATCH), arm

        sent, arm = self._ledger.run(work)
        switch = self._guard.switch(self._account.mode, owner, arm)
        return gates.check(orders, replace(facts, sent_today=sent), self._guard.gates, switch).refused


def observer(
    ledger: Ledger,
    account: AccountSpec,
    market: Market,
    broker: Broker,
    clock: Callable[[], datetime],
    guard: Guard,
    patience: Patience,
) -> Observer:
    """The observer of a paper or live account whose lock the caller holds."""
    generation = ledger.open_account(account, halted=True)
    return Observer(ledger, account, generation, Tape(market), broker, clock, guard, patience)


def foresee(
    ledger: Ledger,
    account: AccountSpec,
    generation: int,
    key: date,
    targets: Mapping[date, Sequence[Wanted]],
    tape: Tape,
) -> Sight:
    """The plan of a session of a simulated account, from its books as they stand.

    `targets`: of the account's sessions, those that were not traded yet included. Raises `PasError` when some before
    `key` have to be traded first.
    """

    def work(connection: sa.Connection) -> tuple[Balances, list[date]]:
        own = (account.id, generation)
        known = batches.stored(connection, *own)
        return ledger.balances(connection, *own), [day for day in known if day < key]

    balances, done = ledger.run(work)
    previous = max(done, default=None)
    missed = [day for day, own in targets.items() if own and day < key and (previous is None or day > previous)]
    if missed:
        raise PasError(
            f"The simulated account has not traded {min(missed)} yet, and its next plan depends on that: "
            f"`pas rebalance` trades what was missed."
        )
    record = session.begin(account, generation, key, previous, balances, targets.get(key, ()), tape)
    planned = [entry for one in record.transactions if one.kind in PLANNED for entry in one.entries]
    return Sight(record, journal.before(balances, planned), tape.reference(key), Limits())
