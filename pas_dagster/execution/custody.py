"""The account at a broker against its ledger: opened, followed in all that happens to it without us, and compared.

What a broker does by himself reaches the books only from what he reports (`outside`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from pas_dagster import calendar
from pas_dagster.errors import PasError
from pas_dagster.execution import outside, reconcile
from pas_dagster.execution.basis import BEFORE, Basis
from pas_dagster.execution.brokers.base import Broker, BrokerError, NonTrade, Quote
from pas_dagster.execution.market import Tape
from pas_dagster.execution.reconcile import Excused
from pas_dagster.ledger import batches, comparisons, floats, journal, seen, tables
from pas_dagster.ledger.comparisons import DIFFERENT, ROUNDED, Comparison
from pas_dagster.ledger.journal import CASH, Transaction
from pas_dagster.ledger.records import Execution
from pas_dagster.ledger.seen import Seen
from pas_dagster.ledger.store import Ledger
from pas_dagster.sources.client.clock import Clock as Watch

OURS = "pas-"
LOOK_BACK = timedelta(days=10)  # how late a broker may tell of a dividend or a split
CENT = 10_000  # 1e-6 USD: what a broker may round a fill by
READS = 3  # of an account that moves while it is read
PAUSE = 0.5  # seconds before a comparison that failed is made again


class Strange(NamedTuple):
    """A fill of an order that is none of ours."""

    fill: Execution
    symbol: str
    side: str


class Custody:
    """One account at one broker; the caller holds the account's lock."""

    def __init__(
        self,
        ledger: Ledger,
        account: str,
        generation: int,
        tape: Tape,
        broker: Broker,
        clock: Callable[[], datetime],
        watch: Watch,
    ) -> None:
        self._ledger = ledger
        self._account = account
        self._own = (account, generation)
        self._tape = tape
        self._broker = broker
        self._clock = clock
        self._watch = watch
        self.basis = Basis(ledger, account, generation, tape)

    def enter(self, key: date, book_fills: Callable[[], None] = lambda: None) -> None:
        """Make sure whose account it is, open the books the first time, and book what happened since.

        `book_fills` books what is known of our own orders. It comes first: who shares in a split or a rename is who
        still held the shares when it came.
        """
        theirs = self._broker.account()
        if theirs.blocked:
            raise PasError(f"The broker does not let account {self._account!r} trade: {theirs.blocked}.")
        self._bind(theirs.id)
        last = self._ledger.run(self._last_day)
        if last is None:
            self._open_books(key)
        book_fills()
        self.look_outside(last or key, key)

    def _bind(self, theirs: str) -> None:
        """The first time the account is tied to the one at the broker; any other halts it."""
        bound = self._ledger.run(lambda connection: self._ledger.bind(connection, self._account, theirs))
        if bound != theirs:
            self.stop(f"the broker answers for account {theirs}, but the ledger is that of {bound} (was it reset?)")

    def _last_day(self, connection: sa.Connection) -> date | None:
        """The last day of which something is known; None for an account without books."""
        days = []
        for table, column in ((tables.txn, tables.txn.c.session), (tables.seen, tables.seen.c.day)):
            mine = (table.c.account == self._own[0], table.c.generation == self._own[1])
            days.append(connection.scalar(sa.select(sa.func.max(column)).where(*mine)))
        return max((day for day in days if day is not None), default=None)

    def _open_books(self, key: date) -> None:
        """What is there becomes the opening balance; positions are unassigned."""
        if self._broker.open_orders():
            raise PasError("The account has open orders; cancel them, or let them fill, before it is opened here.")
        for _ in range(READS):
            before = self._events(key), self._strangers(key)
            account, positions = self._broker.account(), dict(self._broker.positions())
            if (self._events(key), self._strangers(key)) == before:
                break
        else:
            raise BrokerError("The account moves while it is read for its opening balance; run again.")
        prices = self.priced(key, positions)
        opening = [journal.deposit("opening", key, account.cash)] if account.cash else []
        opening += [journal.adopt(key, name, quantity, prices[name]) for name, quantity in sorted(positions.items())]
        known = [one._replace(kind=f"{BEFORE}{one.kind}") for one in _noted(*before)]

        def work(connection: sa.Connection) -> None:
            self._ledger.post(connection, *self._own, opening)
            seen.note(connection, *self._own, known)

        self._ledger.run(work)

    def priced(self, key: date, symbols: Iterable[str]) -> dict[str, int]:
        """A price for every symbol; a quote where there is no reference."""
        reference = self._tape.reference(key)
        return self.with_quotes(key, {symbol: reference[symbol] for symbol in symbols})

    def with_quotes(self, key: date, found: Mapping[str, int | None]) -> dict[str, int]:
        """The prices, with quotes for those that are missing; raises `PasError` when there is none either."""
        without = [symbol for symbol, price in found.items() if price is None]
        quotes = self._broker.quotes(without) if without else {}
        prices = {symbol: price if price is not None else _price(quotes, symbol) for symbol, price in found.items()}
        missing = [symbol for symbol, price in prices.items() if price is None]
        if missing:
            raise PasError(
                f"{missing[0]} is held at the broker and has neither a price in the data nor a quote, so the account "
                f"has no value. Import its prices, or sell it."
            )
        return {symbol: price for symbol, price in prices.items() if price is not None}

    def _events(self, first: date) -> list[NonTrade]:
        """What the broker tells of since some days before a session: some of it comes late."""
        return list(self._broker.non_trades(first - LOOK_BACK))

    def _strangers(self, day: date, done: Sequence[Execution] | None = None) -> list[Strange]:
        """A session's fills that are not of our orders."""
        done = self._broker.executions(day) if done is None else done
        known = self._ledger.run(lambda connection: _known_orders(connection, done))
        strange = [one for one in done if one.cid not in known]
        listed = {one.cid: one for one in self._broker.orders(day)} if strange else {}
        for one in strange:
            if one.cid not in listed:
                raise BrokerError(f"The broker shows fill {one.id} of an order that it does not show; run again.")
        return [Strange(one, listed[one.cid].symbol, listed[one.cid].side) for one in strange]

    def look_outside(self, first: date, last: date) -> None:
        strangers = [one for day in calendar.sessions(first, last) for one in self._strangers(day)]
        self._see(first, self._events(first), strangers)

    def see_fills(self, day: date, done: Sequence[Execution]) -> None:
        """Book those of a session's fills that are of another hand."""
        self._see(day, [], self._strangers(day, done))

    def _see(self, first: date, events: Sequence[NonTrade], strangers: Sequence[Strange]) -> None:
        """Book what is new. A fill of an order with an id of ours that the ledger does not know halts the account."""

        def work(connection: sa.Connection) -> str:
            known = {one.id for one in seen.since(connection, *self._own, first - 2 * LOOK_BACK)}
            strange = [one for one in strangers if one.fill.id not in known]
            lost = [one.fill.cid for one in strange if one.fill.cid.startswith(OURS)]
            if lost:
                return lost[0]
            fresh = [one for one in events if one.id not in known]
            balances = self._ledger.balances(connection, *self._own)
            booked = outside.non_trades(balances, fresh)
            promised = _promised(connection, self._own) if strange else {}
            for one in strange:
                booked += outside.foreign(balances, one.fill, one.symbol, one.side, promised.get(one.symbol, {}))
            self._ledger.post(connection, *self._own, booked)
            seen.note(connection, *self._own, _noted(fresh, strange))
            return ""

        lost = self._ledger.run(work) if events or strangers else ""
        if lost:
            self.stop(
                f"the broker filled {lost}, an order of ours that the ledger does not know (was the database restored "
                f"from an old copy?)"
            )

    def stop(self, why: str) -> None:
        """Halt the account and say so."""
        self._ledger.halt(self._account, "reconciliation", why, self._clock())
        raise PasError(f"Account {self._account!r} is halted: {why}. Compare the two before clearing the halt.")

    def reconcile(self, day: date) -> list[Comparison]:
        """Compare ledger and broker, note it, and halt the account when they differ without a reason."""
        found: list[Comparison] = []
        for attempt in range(READS):
            if attempt:
                self._watch.sleep(PAUSE)
            found = self._compared(day)
            if all(one.verdict != DIFFERENT for one in found):
                break
            self.look_outside(day, day)
        wrong = [one for one in found if one.verdict == DIFFERENT]
        moment = self._clock()

        def work(connection: sa.Connection) -> None:
            comparisons.write(connection, *self._own, day, moment, found)
            self._ledger.post(connection, *self._own, _rounding(found, day, moment))

        self._ledger.run(work)
        if wrong:
            self.stop(f"ledger and broker disagree on {reconcile.in_words(wrong)} on {day}")
        return found

    def _compared(self, day: date) -> list[Comparison]:
        late = self._unbooked(day)
        positions, account = dict(self._broker.positions()), self._broker.account()

        def work(connection: sa.Connection) -> list[Comparison]:
            pending = {
                order.symbol
                for batch in batches.unfinished(connection, *self._own)
                for order, result, _ in batches.load_orders(connection, batch.id)
                if result.state in ("submitting", "working")
            }
            fills = batches.fills_on(connection, *self._own, day)
            excused = Excused(late | pending, set(self.basis.frozen(connection, day)), fills * CENT)
            return reconcile.compare(self._ledger.balances(connection, *self._own), positions, account.cash, excused)

        return self._ledger.run(work)

    def _unbooked(self, day: date) -> set[str]:
        """Symbols of the session's orders, of any hand, that show more fills than the broker has reported."""
        told: dict[str, int] = {}
        for one in self._broker.executions(day):
            told[one.cid] = told.get(one.cid, 0) + one.quantity
        return {one.symbol for one in self._broker.orders(day) if one.filled > told.get(one.cid, 0)}


def _rounding(found: Sequence[Comparison], day: date, moment: datetime) -> list[Transaction]:
    """What the broker's rounding of fills came to, into the treasury."""
    made = []
    for one in found:
        if one.verdict == ROUNDED:
            amount = one.theirs - one.ours
            key = f"rounding:{day}:{int(moment.timestamp() * 1e6)}"
            made.append(journal.action("rounding", key, day, journal.TREASURY, "", 0, 0, {CASH: amount}))
    return made


def _price(quotes: Mapping[str, Quote], symbol: str) -> int | None:
    quote = quotes.get(symbol)
    return None if quote is None else quote.price


def _noted(events: Iterable[NonTrade], strangers: Iterable[Strange]) -> list[Seen]:
    """What is to be remembered of things from outside."""
    found = [Seen(one.id, one.kind, one.day, one.symbol, one.quantity, one.cash) for one in events]
    for one, symbol, side in strangers:
        sign = 1 if side == "buy" else -1
        cash = -sign * one.notional - one.fee
        found.append(Seen(one.id, "foreign", one.session, symbol, sign * one.quantity, cash))
    return found


def _promised(connection: sa.Connection, own: tuple[str, int]) -> dict[str, dict[str, int]]:
    """What open sells still ask: symbol -> sleeve -> shares."""
    found: dict[str, dict[str, int]] = {}
    for (sleeve, asset), one in floats.floats(connection, *own, 0).items():
        if one.reserved and asset != CASH:
            found.setdefault(asset, {})[sleeve] = one.reserved
    return found


def _known_orders(connection: sa.Connection, done: Sequence[Execution]) -> set[str]:
    """Ids among those of the fills that are orders of the ledger."""
    asked = sa.select(tables.orders.c.cid).where(tables.orders.c.cid.in_({one.cid for one in done}))
    return set(connection.scalars(asked))
