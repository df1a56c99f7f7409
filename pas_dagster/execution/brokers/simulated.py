"""A broker that fills at the session's close, for history and for the present alike.

Market orders rest until the closes are known. Then sells fill first, and buys are cut to the cash that is there,
pro rata: a cash account whose closing auction nets sells against buys. The price is the close itself; cost is a fee
per traded dollar, rounded up to 1e-6 USD. A seller's proceeds are rounded down to 1e-6 USD, a buyer's price up. An
order in a symbol without a bar expires, and so does the part of a buy that cash did not cover. Corporate actions
reach positions at the open, delistings at the close. Actions of the open that are announced later are applied before
the session settles, to what was held at the open.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from pas_dagster import calendar
from pas_dagster.errors import PasError
from pas_dagster.execution import actions, netting
from pas_dagster.execution.brokers.base import (
    Asset,
    BrokerAccount,
    BrokerOrder,
    Clock,
    Hours,
    NonTrade,
    Quote,
    Receipt,
    Ticket,
)
from pas_dagster.execution.market import CorporateAction, Tape
from pas_dagster.ledger import units
from pas_dagster.ledger.journal import CASH
from pas_dagster.ledger.records import Execution

NOTHING: Mapping[str, int] = {}


@dataclass
class Book:
    """The broker's own books: session reached, cash, positions, orders that are not forgotten yet.

    `acted`: ids of the actions of the session's open that touched a position.
    """

    session: date
    cash: int
    positions: dict[str, int] = field(default_factory=dict)
    orders: dict[str, BrokerOrder] = field(default_factory=dict)
    acted: set[str] = field(default_factory=set)


class Store(Protocol):
    """Where the books are kept."""

    def load(self) -> Book: ...

    def find(self, cid: str) -> BrokerOrder | None:
        """An order that the loaded book does not hold any more."""
        ...

    def executions(self, session: date) -> Sequence[Execution]: ...

    def save(self, book: Book, orders: Sequence[BrokerOrder], executions: Sequence[Execution], *, moved: bool) -> None:
        """Keep new or changed orders, new executions and, when `moved`, cash, positions and session."""
        ...


class MemoryStore:
    """Books that live as long as a replay; closed orders and older executions are forgotten."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self._session = book.session
        self._executions: list[Execution] = []

    def load(self) -> Book:
        return self.book

    def find(self, cid: str) -> BrokerOrder | None:
        return None

    def executions(self, session: date) -> Sequence[Execution]:
        return self._executions if session == self._session else []

    def save(self, book: Book, orders: Sequence[BrokerOrder], executions: Sequence[Execution], *, moved: bool) -> None:
        if book.session != self._session:
            self._session, self._executions = book.session, []
        self._executions += executions


class SimulatedBroker:
    """One simulated account. `rate`: cost per traded dollar, 1e-8."""

    auction = True
    unique_ids = True

    def __init__(self, name: str, store: Store, tape: Tape, rate: int) -> None:
        self._name = name
        self._store = store
        self._tape = tape
        self._rate = rate
        self._book = store.load()

    def account(self) -> BrokerAccount:
        return BrokerAccount(self._name, self._book.cash)

    def positions(self) -> Mapping[str, int]:
        return self._book.positions

    def open_orders(self) -> Sequence[BrokerOrder]:
        return [order for order in self._book.orders.values() if order.state == "working"]

    def clock(self) -> Clock:
        session = self._book.session
        return Clock(calendar.closing(session), session)

    def calendar(self, first: date, last: date) -> Sequence[Hours]:
        days = calendar.sessions(first, last)
        return [Hours(day, calendar.opening(day), calendar.closing(day)) for day in days]

    def asset(self, symbol: str) -> Asset | None:
        """Whatever has a price is traded, in parts of a share too."""
        known = self._tape.reference(self._book.session)[symbol] is not None
        return Asset(symbol, tradable=True, fractionable=True) if known else None

    def quotes(self, symbols: Sequence[str]) -> Mapping[str, Quote]:
        """None: nothing is traded before the close, and the close is not known before."""
        return {}

    def non_trades(self, since: date) -> Sequence[NonTrade]:
        """None: corporate actions are booked on both sides from the same list."""
        return ()

    def orders(self, session: date) -> Sequence[BrokerOrder]:
        """The orders of the session it is in; older ones are found under their ids."""
        return [order for order in self._book.orders.values() if order.session == session]

    def find(self, cid: str) -> BrokerOrder | None:
        return self._book.orders.get(cid) or self._store.find(cid)

    def submit(self, ticket: Ticket) -> Receipt:
        """Take the order for its session's close; refuse what is unknown, oversold or of a past session."""
        self._open(ticket.session)
        known = self.find(ticket.cid)
        if known is not None:
            return Receipt("rejected" if known.state == "rejected" else "taken", known, known.reason)
        reason = self._fault(ticket)
        order = BrokerOrder(*ticket, 0, "rejected" if reason else "working", reason)
        self._book.orders[order.cid] = order
        self._store.save(self._book, [order], [], moved=False)
        return Receipt("rejected" if reason else "taken", order, reason)

    def _fault(self, ticket: Ticket) -> str:
        if ticket.session < self._book.session:
            return f"session {ticket.session} is over"
        if self._tape.reference(ticket.session)[ticket.symbol] is None:
            return f"asset {ticket.symbol} not found"
        if ticket.side == "sell" and ticket.quantity > self._book.positions.get(ticket.symbol, 0):
            return "insufficient quantity available"
        return ""

    def cancel(self, cid: str) -> None:
        """End a working order; anything else is left as it is."""
        order = self._book.orders.get(cid)
        if order is not None and order.state == "working":
            self._book.orders[cid] = order._replace(state="expired", reason="cancelled")
            self._store.save(self._book, [self._book.orders[cid]], [], moved=False)

    def executions(self, session: date) -> Sequence[Execution]:
        """Settle the session if its closes are known, then report what happened in it."""
        self._open(session)
        if session == self._book.session:
            self._catch_up()
            if self._tape.closes(session).known:
                self._settle()
        return self._store.executions(session)

    def _open(self, session: date) -> None:
        """Come to the open of a session: end the one before, apply the actions on the way."""
        book = self._book
        if session <= book.session:
            return
        if self.open_orders():
            if not self._tape.closes(book.session).known:
                raise PasError(
                    f"Orders of {book.session} still rest because its closes are not known; "
                    f"import its prices before trading {session}."
                )
            self._settle()
        acted: set[str] = set()
        for day in calendar.sessions(book.session, session):
            if day > book.session:
                acted = self._act(day)
            if day < session:
                self._end(day)
        book.session, book.acted = session, acted
        book.orders.clear()
        self._store.save(book, [], [], moved=True)

    def _act(self, day: date, known: Container[str] = (), traded: Mapping[str, int] = NOTHING) -> set[str]:
        """Apply the actions of a day's open but for the known ones; the ids of those that touched a position."""
        missed = actions.late(day, self._tape.actions(day), known)
        return {name for action, name in missed if self._apply(action, traded)}

    def _end(self, day: date) -> None:
        for action in self._tape.actions(day):
            if action.kind == actions.AT_CLOSE:
                self._apply(action, NOTHING)

    def _catch_up(self) -> None:
        """Apply what was announced since the session's open, to what was held before the session's trades."""
        book = self._book
        traded: dict[str, int] = {}
        for one in self._store.executions(book.session):
            order = self.find(one.cid)
            assert order is not None  # it was executed here
            signed = one.quantity if order.side == "buy" else -one.quantity
            traded[order.symbol] = traded.get(order.symbol, 0) + signed
        acted = self._act(book.session, book.acted, traded)
        if acted:
            book.acted |= acted
            self._store.save(book, [], [], moved=True)

    def _apply(self, action: CorporateAction, traded: Mapping[str, int]) -> bool:
        """Apply an action to a position less what was traded of it since the open; whether there was one."""
        book = self._book
        held = book.positions.get(action.symbol, 0) - traded.get(action.symbol, 0)
        if not held:
            return False
        for asset, change in actions.changed(action, held, actions.total(action, held)).items():
            if asset == CASH:
                book.cash += change
                continue
            book.positions[asset] = book.positions.get(asset, 0) + change
            if not book.positions[asset]:
                del book.positions[asset]
        return True

    def _settle(self) -> None:
        book = self._book
        resting = sorted(self.open_orders())
        done: list[Execution] = []
        for order in resting:
            if order.side == "sell":
                self._fill(order, min(order.quantity, book.positions.get(order.symbol, 0)), "no shares left", done)
        buys = [order for order in resting if order.side == "buy"]
        priced = [(order, self._tape.closes(book.session)[order.symbol]) for order in buys]
        payable = [(order, close) for order, close in priced if close is not None]
        quantities = netting.afford([(order.quantity, close) for order, close in payable], book.cash, self._rate)
        affordable = {order.cid: quantity for (order, _), quantity in zip(payable, quantities, strict=True)}
        for order in buys:
            self._fill(order, affordable.get(order.cid, 0), "cash does not cover it", done)
        self._end(book.session)
        self._store.save(book, [book.orders[order.cid] for order in resting], done, moved=True)

    def _fill(self, order: BrokerOrder, quantity: int, short: str, done: list[Execution]) -> None:
        book = self._book
        close = self._tape.closes(book.session)[order.symbol]
        if close is None:
            book.orders[order.cid] = order._replace(state="expired", reason="no bar in the session")
            return
        if quantity:
            sold = order.side == "sell"
            notional = units.value(quantity, close) if sold else units.cost(quantity, close)
            fee = units.fee(notional, self._rate)
            book.cash += (notional if sold else -notional) - fee
            held = book.positions.get(order.symbol, 0) + (-quantity if sold else quantity)
            if held:
                book.positions[order.symbol] = held
            else:
                del book.positions[order.symbol]
            done.append(Execution(f"{order.cid}.1", order.cid, book.session, quantity, close, notional, fee))
        full = quantity == order.quantity
        book.orders[order.cid] = order._replace(
            filled=quantity, state="filled" if full else "expired", reason="" if full else short
        )
