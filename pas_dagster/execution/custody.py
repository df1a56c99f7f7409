"""The account at a broker against its ledger: opened, followed in all that happens to it without us, and compared.

What a broker does by himself reaches the books only from what he reports (`outside`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from pas_dagster import calendar
from pas_dagster.errors import PasError
from pas_dagster.execution import outside, reconcile
from pas_dagster.execution.basis import BEFORE, Basis
from pas_dagster.execution.brokers.base import Broker, BrokerError, NonTrade, quoted
from pas_dagster.execution.market import Prices, Tape
from pas_dagster.execution.reconcile import Excused
from pas_dagster.ledger import batches, comparisons, floats, journal, seen, tables, units
from pas_dagster.ledger.comparisons import DIFFERENT, EQUAL, ROUNDED, Comparison
from pas_dagster.ledger.journal import CASH, Balances, Transaction
from pas_dagster.ledger.records import Execution
from pas_dagster.ledger.seen import Seen
from pas_dagster.ledger.store import Ledger
from pas_dagster.sources.client.clock import Clock as Watch

OURS = "pas-"
LOOK_BACK = timedelta(days=10)  # how late a broker may tell of a dividend or a split
LATE_FILLS = timedelta(days=3)  # within which a broker tells of every fill
FEES_WAIT = timedelta(days=4)  # within which it tells of the fees of a sale
CENT = 10_000  # 1e-6 USD: what a broker may round a fill by
READS = 4  # of an account that moves while it is read; with the pauses between them 42 seconds
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
        today = max(key, calendar.today(self._clock()))
        opened = self._ledger.run(self._first_day) or key
        self.look_outside(max(opened, min(last or key, key) - LATE_FILLS), today)

    def _bind(self, theirs: str) -> None:
        """The first time the account is tied to the one at the broker; any other halts it."""
        bound = self._ledger.run(lambda connection: self._ledger.bind(connection, self._account, theirs))
        if bound != theirs:
            self.stop(
                f"the broker answers for account {theirs}, but the ledger is that of {bound} (was it reset? "
                f"`pas reconcile --new-account` begins anew)"
            )

    def _first_day(self, connection: sa.Connection) -> date | None:
        """The day on which the books were opened."""
        txn = tables.txn
        own = (txn.c.account == self._own[0], txn.c.generation == self._own[1])
        return connection.scalar(sa.select(sa.func.min(txn.c.session)).where(*own))

    def _last_day(self, connection: sa.Connection) -> date | None:
        """The last day of which something is known; None for an account without books."""
        days = []
        for table, column in ((tables.txn, tables.txn.c.session), (tables.seen, tables.seen.c.day)):
            mine = (table.c.account == self._own[0], table.c.generation == self._own[1])
            days.append(connection.scalar(sa.select(sa.func.max(column)).where(*mine)))
        return max((day for day in days if day is not None), default=None)

    def _open_books(self, key: date) -> None:
        """What is there becomes the opening balance; positions are unassigned."""
        self._require_known(key, key)
        if self._broker.open_orders():
            raise PasError("The account has open orders; cancel them, or let them fill, before it is opened here.")
        for _ in range(READS):
            moment = self._broker.clock().now
            before = self._events(key), self._strangers(key)
            account, positions = self._broker.account(), dict(self._broker.positions())
            if not self._unbooked(key) and (self._events(key), self._strangers(key)) == before:
                break
            self._watch.sleep(PAUSE)
        else:
            raise BrokerError("The account moves while it is read for its opening balance; run again.")
        prices = self.priced(key, positions)
        opening = [journal.deposit("opening", key, account.cash)] if account.cash else []
        opening += [journal.adopt(key, name, quantity, prices[name]) for name, quantity in sorted(positions.items())]
        known = [one._replace(kind=f"{BEFORE}{one.kind}") for one in _noted(*before)]

        def work(connection: sa.Connection) -> None:
            self._ledger.post(connection, *self._own, opening)
            seen.note(connection, *self._own, known)
            whole = [Comparison(CASH, account.cash, account.cash, EQUAL)]
            comparisons.write(connection, *self._own, key, moment, whole)

        self._ledger.run(work)

    def reference(self, key: date, symbols: Collection[str] = ()) -> Prices:
        """Prices on the basis of what the books hold, of all that is held and of other symbols.

        Where the data have none, or cannot say on which basis theirs are, a quote; else the price of its last trade.
        """

        def work(connection: sa.Connection) -> tuple[Prices, set[str], dict[str, int]]:
            held = set(journal.totals(self._ledger.balances(connection, *self._own))[0]) | set(symbols)
            known = self.basis.reference(connection, key)
            unsure = self.basis.untold(connection, key) | {symbol for symbol in held if known[symbol] is None}
            return known, unsure, batches.last_prices(connection, *self._own, unsure)

        known, unsure, last = self._ledger.run(work)
        quotes = self._broker.quotes(sorted(unsure)) if unsure else {}
        found = {symbol: quoted(quotes, symbol) or known[symbol] or last.get(symbol) for symbol in unsure}
        return known.replaced(found)

    def priced(self, key: date, symbols: Collection[str]) -> dict[str, int]:
        """A price for every symbol; raises `PasError` when one has none."""
        return valued(self.reference(key, symbols), symbols)

    def _events(self, first: date) -> list[NonTrade]:
        """What the broker tells of since some days before a session: some of it comes late."""
        return list(self._broker.non_trades(first - LOOK_BACK))

    def _strangers(self, day: date, done: Sequence[Execution] | None = None) -> list[Strange]:
        """A session's fills that are not of our orders."""
        done = self._broker.executions(day) if done is None else done
        known = self._ledger.run(lambda connection: _known_orders(connection, self._own, {one.cid for one in done}))
        strange = [one for one in done if one.cid not in known]
        listed = {one.cid: one for one in self._broker.orders(day)} if strange else {}
        for one in strange:
            if one.cid not in listed:
                raise BrokerError(f"The broker shows fill {one.id} of an order that it does not show; run again.")
        return [Strange(one, listed[one.cid].symbol, listed[one.cid].side) for one in strange]

    def look_outside(self, first: date, last: date) -> None:
        self._require_known(first, last)
        strangers = [one for day in calendar.days(first, last) for one in self._strangers(day)]
        self._see(first, self._events(first), strangers)

    def _require_known(self, first: date, last: date) -> None:
        """An order with an id of ours that the ledger does not know halts the account, filled or not."""
        listed = {
            one.cid
            for day in calendar.sessions(first, last)
            for one in self._broker.orders(day)
            if one.cid.startswith(OURS)
        }
        known = self._ledger.run(lambda connection: _known_orders(connection, self._own, listed))
        if lost := sorted(listed - known):
            self.stop(
                f"the broker has {lost[0]}, an order of ours that the ledger does not know (was the database restored "
                f"from an old copy?)"
            )

    def see_fills(self, day: date, done: Sequence[Execution]) -> None:
        """Book those of a session's fills that are of another hand."""
        self._see(day, [], self._strangers(day, done))

    def _see(self, first: date, events: Sequence[NonTrade], strangers: Sequence[Strange]) -> None:
        """Book what is new. A fill of an order with an id of ours that the ledger does not know halts the account."""

        def work(connection: sa.Connection) -> str:
            known = seen.known(connection, *self._own, [*(e.id for e in events), *(s.fill.id for s in strangers)])
            strange = [one for one in strangers if one.fill.id not in known]
            lost = [one.fill.cid for one in strange if one.fill.cid.startswith(OURS)]
            if lost:  # it came since the orders were looked at
                return lost[0]
            fresh = [one for one in events if one.id not in known]
            balances = self._ledger.balances(connection, *self._own)
            booked = outside.non_trades(balances, fresh)
            promised = _promised(connection, self._own) if strange else {}
            opened = comparisons.first(connection, *self._own) if strange else None
            late = [one for one in strange if opened and one.fill.at and one.fill.at < opened]  # in the opening balance
            strange = [one for one in strange if one not in late]
            for one in strange:
                booked += outside.foreign(balances, one.fill, one.symbol, one.side, promised.get(one.symbol, {}))
            self._ledger.post(connection, *self._own, booked)
            before = [one._replace(kind=f"{BEFORE}{one.kind}") for one in _noted([], late)]
            seen.note(connection, *self._own, [*_noted(fresh, strange), *before])
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
                self._watch.sleep(PAUSE * 4**attempt)
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

    def accept(self, day: date) -> list[Comparison]:
        """Take over what the broker has where the two differ without a reason: a person has looked into it.

        Cash goes to the treasury; shares are unassigned, or are taken from who holds them.
        """
        wrong = [one for one in self._compared(day) if one.verdict == DIFFERENT]
        stamp = int(self._clock().timestamp() * 1e6)

        def work(connection: sa.Connection) -> None:
            balances = self._ledger.balances(connection, *self._own)
            booked = [made for one in wrong for made in _adjusted(balances, one, day, stamp)]
            self._ledger.post(connection, *self._own, booked)

        self._ledger.run(work)
        return wrong

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
            room = batches.rounding_room(connection, *self._own, day, CENT)
            fees = _fees(*batches.traded_since(connection, *self._own, day - FEES_WAIT))
            excused = Excused(late | pending, set(self.basis.frozen(connection, day)), room, fees)
            return reconcile.compare(self._ledger.balances(connection, *self._own), positions, account.cash, excused)

        return self._ledger.run(work)

    def _unbooked(self, day: date) -> set[str]:
        """Symbols of the session's orders, of any hand, that show more fills than the broker has reported."""
        told: dict[str, int] = {}
        for one in self._broker.executions(day):
            told[one.cid] = told.get(one.cid, 0) + one.quantity
        return {one.symbol for one in self._broker.orders(day) if one.filled > told.get(one.cid, 0)}


def valued(prices: Prices, symbols: Iterable[str]) -> dict[str, int]:
    """The symbols' prices; raises `PasError` when one has none."""
    found = {symbol: prices[symbol] for symbol in symbols}
    missing = [symbol for symbol, price in found.items() if price is None]
    if missing:
        raise PasError(
            f"{missing[0]} is held at the broker and has neither a price in the data nor a quote, so the account has "
            f"no value. Import its prices, or sell it."
        )
    return {symbol: price for symbol, price in found.items() if price is not None}


def _fees(executions: int, sold: int, value: int) -> int:
    """What regulators may charge: a cent for each execution (audit trail), and of sales SEC (section 31) and FINRA
    (TAF), well above their rates of 2026, because they change."""
    return executions * CENT + value * 4 // 100_000 + sold * 200 // units.SHARE


def _adjusted(balances: Balances, one: Comparison, day: date, stamp: int) -> list[Transaction]:
    """What makes a difference good."""
    change = one.theirs - one.ours
    if one.subject == CASH:
        parts = {journal.TREASURY: change}
    elif change > 0:
        parts = {journal.UNASSIGNED: change}
    else:
        parts = outside.taken(change, outside.holders(balances, one.subject))
    key = f"adjust:{stamp}:{one.subject}"
    return [
        journal.action("adjust", key, day, name, "" if one.subject == CASH else one.subject, 0, 0, {one.subject: part})
        ._replace(quantity=0 if one.subject == CASH else part)
        for name, part in parts.items()
    ]  # fmt: skip


def _rounding(found: Sequence[Comparison], day: date, moment: datetime) -> list[Transaction]:
    """What the broker's rounding of fills came to, into the treasury."""
    made = []
    for one in found:
        if one.verdict == ROUNDED:
            amount = one.theirs - one.ours
            key = f"rounding:{day}:{int(moment.timestamp() * 1e6)}"
            made.append(journal.action("rounding", key, day, journal.TREASURY, "", 0, 0, {CASH: amount}))
    return made


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


def _known_orders(connection: sa.Connection, own: tuple[str, int], cids: Collection[str]) -> set[str]:
    """Ids among those that are orders of the account."""
    orders, batch = tables.orders, tables.batch
    asked = (
        sa.select(orders.c.cid)
        .join(batch, batch.c.id == orders.c.batch)
        .where(batch.c.account == own[0], batch.c.generation == own[1], orders.c.cid.in_(cids))
    )
    return set(connection.scalars(asked)) if cids else set()
