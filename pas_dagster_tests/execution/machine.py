"""A desk, its broker and its books as a machine that hypothesis drives: anything may happen, in any order.

The broker is the sandbox's account behind the broker's interface, in this process (`InProcessBroker`) or over HTTP. A
`Fuse` ends a run like a killed process after any commit or any answer of the broker; a `Fault` loses a request before
or after its effect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pas_dagster import calendar
from pas_dagster.errors import PasError
from pas_dagster.execution.brokers import alpaca_activities, alpaca_wire
from pas_dagster.execution.brokers.base import (
    Asset,
    Broker,
    BrokerAccount,
    BrokerError,
    BrokerOrder,
    Clock,
    Hours,
    NonTrade,
    Quote,
    Receipt,
    Ticket,
)
from pas_dagster.execution.guard import Guard
from pas_dagster.execution.market import CorporateAction
from pas_dagster.execution.targets import SleeveTarget, wanted
from pas_dagster.ledger import journal, tables, units
from pas_dagster.ledger.floats import floats
from pas_dagster.ledger.records import Execution, batch_key
from pas_dagster.ledger.store import Ledger
from pas_dagster.ledger.verify import verify
from pas_dagster.sandbox.broker import wire
from pas_dagster.sandbox.broker.hours import Hand, following, last_tick
from pas_dagster.sandbox.broker.paper import (
    AT_ONCE,
    NEVER,
    PaperAccount,
    PaperOrder,
    Pattern,
    RefusedError,
    Wish,
    prices,
)
from pas_dagster.sandbox.broker.server import BrokerSandbox, serving
from pas_dagster.sandbox.broker.trouble import Kind, Trouble
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.brokerage import LOOSE, Brokerage, calm
from pas_dagster_tests.execution.world import SESSIONS
from pas_dagster_tests.ledger.database import fresh

CLOSING = timedelta(seconds=10)
EVENING = timedelta(minutes=20)  # after the close: nothing that was sent can still arrive
SLEEVES = ("alpha", "beta", "gamma")
LATE: Pattern = ((0.0, 0.4), (45.0, 0.6))
STUCK: Pattern = ((0.0, 0.3),)
KEPT = (
    tables.batch,
    tables.intent,
    tables.orders,
    tables.alloc,
    tables.execution,
    tables.order_event,
    tables.txn,
    tables.entry,
    tables.balance,
    tables.seen,
)
# What an order may become, written down once more than in `ledger.verify`.
FOLLOWS = {
    "planned": {"planned", "submitting", "unsent"},
    "submitting": {"submitting", "working", "rejected", "unsent"},
    "working": {"working", "filled", "expired", "rejected"},
}


class CrashError(BaseException):
    """The process is gone: nothing that handles errors sees it."""


class Fuse:
    """Ends the run at a moment, counted from one; never when it is set to 0."""

    def __init__(self) -> None:
        self._left = 0

    def light(self, moments: int) -> None:
        self._left = moments

    def burn(self) -> None:
        if self._left:
            self._left -= 1
            if not self._left:
                raise CrashError


class FusedLedger(Ledger):
    """Books whose process may die just before a commit, or just after."""

    def __init__(self, url: str, fuse: Fuse) -> None:
        super().__init__(url)
        self._fuse = fuse

    def run(self, work: Callable[[sa.Connection], Any]) -> Any:
        def mortal(connection: sa.Connection) -> Any:
            found = work(connection)
            self._fuse.burn()
            return found

        found = super().run(mortal)
        self._fuse.burn()
        return found


class Fault(NamedTuple):
    """The requests of a kind that are lost: `times` after `skip` that get through; `after`: having had their effect."""

    method: str
    after: bool
    skip: int
    times: int


class Fused:
    """A broker whose client may die before a request or after its answer, and whose requests may be lost."""

    def __init__(self, broker: Any, fuse: Fuse, fault: Fault | None = None) -> None:
        self._broker = broker
        self._fuse = fuse
        self._fault = fault
        self._asked = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._broker, name)
        return self._mortal(name, found) if callable(found) else found

    def _mortal(self, name: str, ask: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*given: Any) -> Any:
            self._fuse.burn()
            lost = self._strikes(name)
            if lost is None or lost.after:
                said = ask(*given)
            if lost is not None:
                if name == "submit":
                    return Receipt("unknown", reason="the answer was lost")
                raise BrokerError(f"No answer to {name}.")
            self._fuse.burn()
            return said

        return asked

    def _strikes(self, name: str) -> Fault | None:
        fault = self._fault
        if fault is None or fault.method != name:
            return None
        self._asked += 1
        return fault if fault.skip < self._asked <= fault.skip + fault.times else None


class InProcessBroker:
    """The sandbox's account behind the broker's interface: what the real adapter reads off the wire, without a wire."""

    auction = False
    unique_ids = True

    def __init__(self, book: PaperAccount) -> None:
        self._book = book
        self._known: dict[str, str] = {}  # broker's id -> ours, of orders that were shown

    def _now(self) -> PaperAccount:
        self._book.advance()
        return self._book

    def _read(self, order: PaperOrder) -> BrokerOrder:
        self._known[order.id] = order.wish.cid
        return alpaca_wire.order(wire.order(order)).order

    def _shown(self) -> list[PaperOrder]:
        book = self._now()
        return [order for order in book.orders.values() if order.seen_from <= book.now()]

    def account(self) -> BrokerAccount:
        return alpaca_wire.account(wire.account(self._now()))

    def positions(self) -> Mapping[str, int]:
        return {symbol: units.shares(quantity) for symbol, quantity in self._now().positions.items()}

    def open_orders(self) -> Sequence[BrokerOrder]:
        return [self._read(order) for order in self._shown() if order.is_open]

    def find(self, cid: str) -> BrokerOrder | None:
        return next((self._read(order) for order in self._shown() if order.wish.cid == cid), None)

    def submit(self, ticket: Ticket) -> Receipt:
        book = self._now()
        session = following(book.now())
        if ticket.session > session.day:
            raise BrokerError("The session has not come.")
        if ticket.session < session.day or session.close - CLOSING <= book.now():
            found = self.find(ticket.cid)
            return Receipt("unknown", reason="the session is over") if found is None else _receipt(found)
        quantity = Decimal(ticket.quantity) / units.SHARE
        try:
            order = book.place(Wish(ticket.symbol, ticket.side, ticket.cid, quantity))
        except RefusedError as refusal:
            if "must be unique" not in str(refusal):
                return Receipt("rejected", reason=str(refusal))
            found = self.find(ticket.cid)
            return Receipt("unknown", reason="it does not show yet") if found is None else _receipt(found)
        taken = self._read(order)
        book.advance()
        return _receipt(taken)

    def cancel(self, cid: str) -> None:
        order = self._now().find(cid)
        if order is not None and order.is_open:
            self._book.cancel(order.id)

    def orders(self, session: date) -> Sequence[BrokerOrder]:
        filled = {fill.order for fill in self._fills(session)}
        found = [(order.id, self._read(order)) for order in self._shown()]
        return sorted(one for name, one in found if one.session == session or name in filled)

    def executions(self, session: date) -> Sequence[Execution]:
        self.orders(session)  # to learn our ids of them
        found = []
        for one in sorted(self._fills(session), key=lambda one: (one.at, one.id)):
            quantity, price = units.shares(one.quantity), units.money(one.price)
            notional = (units.value if one.side == "sell" else units.cost)(quantity, price)
            cid = self._known.get(one.order, one.order)
            found.append(Execution(one.id, cid, session, quantity, price, notional, 0, one.at))
        return found

    def _fills(self, session: date) -> list[Any]:
        book = self._now()
        return [one for one in book.fills if one.seen_from <= book.now() and calendar.today(one.at) == session]

    def non_trades(self, since: date) -> Sequence[NonTrade]:
        lines: list[object] = [wire.non_trade(one) for one in self._now().entries]
        return alpaca_activities.grouped(alpaca_activities.entries(lines), since)

    def clock(self) -> Clock:
        now = self._now().now()
        return Clock(now, following(now).day)

    def calendar(self, first: date, last: date) -> Sequence[Hours]:
        return [Hours(day, calendar.opening(day), calendar.closing(day)) for day in calendar.sessions(first, last)]

    def asset(self, symbol: str) -> Asset | None:
        book = self._now()
        if book.price(symbol) is None:
            return None
        return Asset(symbol, symbol not in book.rules.untradable, symbol not in book.rules.whole_only)

    def quotes(self, symbols: Sequence[str]) -> Mapping[str, Quote]:
        book = self._now()
        at = last_tick(book.now())
        known = {symbol: price for symbol in symbols if (price := book.price(symbol)) is not None}
        return {symbol: Quote(units.money(price), at) for symbol, price in known.items()}


def _receipt(order: BrokerOrder) -> Receipt:
    return Receipt("rejected" if order.state == "rejected" else "taken", order, order.reason)


class Event(NamedTuple):
    """A split (`ratio`) or a rename (no ratio) of the n-th company, and on whose side it is known in the morning."""

    company: int
    ratio: str
    side: str


companies = st.integers(0, len(world.SYMBOLS) - 1)
weights = st.dictionaries(companies, st.sampled_from((0.0, 0.1, 0.18)), min_size=1, max_size=5)
shares = st.sampled_from((0.3, 0.15, 0.0))
wishes = st.lists(
    st.tuples(st.sampled_from(SLEEVES), shares, weights, st.sampled_from((True, True, False)), st.booleans()),
    min_size=1,
    max_size=3,
    unique_by=lambda one: one[0],
)
crashes = st.integers(1, 90)
faults = st.builds(
    Fault,
    st.sampled_from(
        ("submit", "submit", "find", "orders", "executions", "positions", "account", "non_trades", "cancel")
    ),
    st.booleans(),
    st.integers(0, 4),
    st.integers(1, 4),
)
events = st.builds(
    Event, companies, st.sampled_from(("4", "1.5", "0.1", "")), st.sampled_from(("both", "both", "broker", "data"))
)
lags = st.sampled_from(((0.0, 0.0, 0.0), (2.0, 20.0, 5.0), (0.0, 20.0, 0.0), (2.0, 0.0, 0.0)))
cents = st.integers(1, 500_000).map(lambda amount: Decimal(amount) / 100)


class DeskMachine(RuleBasedStateMachine):
    """Rules do something to desk, broker or time; what must hold is checked when everything is at rest."""

    over_http = False

    def __init__(self, server: str) -> None:
        super().__init__()
        self.stack = ExitStack()
        database = fresh(server, "template template_ledger")
        url = next(database)
        self.stack.callback(lambda: next(database, None))
        self.fuse = Fuse()
        self.ledger = FusedLedger(url, self.fuse)
        self.stack.callback(self.ledger.close)
        self.market = world.market()
        self.hand = Hand(calendar.midnight(SESSIONS[0]).replace(hour=10))
        self.quotes = dict(self.market.reference(SESSIONS[0]))
        self.day = SESSIONS[0]
        self.names = list(world.SYMBOLS)
        self.wanted: list[SleeveTarget] = []
        self.behind: list[Event] = []  # what the data say and the broker has not done
        self.manual = 0
        self.renamed = 0
        self.halted = False

    @initialize(
        cash=st.sampled_from((20_000, 100_000)),
        held=st.dictionaries(companies, cents, max_size=2),
        wish=wishes,
        lags=lags,
    )
    def open(self, cash: int, held: dict[int, Decimal], wish: Sequence[Any], lags: Sequence[float]) -> None:
        self.book = PaperAccount(prices(self.quotes), self.hand, cash)
        rules = self.book.rules
        rules.order_lag, rules.fill_lag, rules.cancel_lag = lags
        for company, quantity in held.items():
            self.book.hold(self.names[company], quantity / 100, Decimal(50))
        sandbox = BrokerSandbox(self.book)
        url = self.stack.enter_context(serving(sandbox)) if self.over_http else "http://127.0.0.1:1"
        guard = Guard(replace(LOOSE, order_usd=None), conditions=calm)
        self.firm = Brokerage(self.ledger, self.hand, self.book, sandbox, url, self.market, self.quotes, guard=guard)
        self.firm.patience = 60.0
        self._decide(wish)

    def teardown(self) -> None:
        try:
            if hasattr(self, "firm"):
                self.evening()
        finally:
            self.stack.close()

    # What the desk does.

    def _decide(self, wish: Sequence[Any]) -> None:
        self.wanted = [
            SleeveTarget(sleeve, share, {self.names[at]: part for at, part in parts.items()}, new, sized)
            for sleeve, share, parts, new, sized in wish
        ]

    @rule(crash=st.just(0) | crashes, fault=st.none() | faults)
    def rebalance(self, crash: int, fault: Fault | None) -> None:
        """Begin or go on with the session."""
        self.attempt(self._trade, crash, fault)

    def _trade(self, broker: Broker) -> None:
        with self.firm.desk(broker) as desk:
            desk.rebalance(self.day, wanted(self.wanted))

    @rule(sleeve=st.sampled_from(SLEEVES), company=companies, crash=st.just(0) | crashes, fault=st.none() | faults)
    def close(self, sleeve: str, company: int, crash: int, fault: Fault | None) -> None:
        if self._is_open() and self.balances().get(sleeve, {}).get(self.names[company], 0) > 0:
            self.attempt(lambda broker: self._close(broker, sleeve, self.names[company]), crash, fault)

    def _close(self, broker: Broker, sleeve: str, symbol: str) -> None:
        with self.firm.desk(broker) as desk:
            desk.close(sleeve, symbol)

    @rule(crash=st.just(0) | crashes, fault=st.none() | faults)
    def follow(self, crash: int, fault: Fault | None) -> None:
        self.attempt(self._follow, crash, fault)

    def _follow(self, broker: Broker) -> None:
        with self.firm.desk(broker) as desk:
            desk.follow(self.day)

    @rule()
    def halt_or_resume(self) -> None:
        """While the account is halted nothing is sent, whoever asks."""
        if self.halted:
            self._resume()
        elif self.firm.rows(tables.account):
            self.ledger.halt(self.firm.spec.id, "operator", "a look", self.hand())
            self.halted = True
            sent = len(self.book.orders)
            self._run_again()
            assert len(self.book.orders) == sent

    def _resume(self) -> None:
        self.ledger.clear_halt(self.firm.spec.id, "operator", "fine", self.hand())
        self.halted = False

    # What happens to the account.

    @rule(
        company=companies,
        pattern=st.sampled_from((AT_ONCE, LATE, STUCK, NEVER)),
        rejects=st.sampled_from((0.0, 0.0, 0.4)),
        whole=st.sets(companies, max_size=2),
        untradable=st.none() | companies,
        lags=lags,
    )
    def broker_changes(self, company: int, pattern: Pattern, rejects: float, whole: set, untradable, lags) -> None:
        """How orders fill, which are refused, and how late things show."""
        rules = self.book.rules
        rules.patterns[self.names[company]] = pattern
        rules.rejected = rejects
        rules.whole_only = {self.names[at] for at in whole}
        rules.untradable = set() if untradable is None else {self.names[untradable]}
        rules.order_lag, rules.fill_lag, rules.cancel_lag = lags

    @rule(seconds=st.sampled_from((1, 30, 900)))
    def time_passes(self, seconds: int) -> None:
        self.hand.advance(seconds)
        self.book.advance()

    @rule(
        what=st.sampled_from(("buy", "sell", "sell", "cancel", "dividend", "deposit", "withdrawal", "fee", "interest")),
        company=companies,
        amount=cents,
    )
    def something_happens(self, what: str, company: int, amount: Decimal) -> None:
        """To the account, by another hand or by the broker himself."""
        name = self.names[company]
        match what:
            case "buy" | "sell":
                self._other_hand(name, what, amount)
            case "cancel" if found := self.book.open_orders():
                self.book.cancel(found[company % len(found)].id)
            case "dividend":
                self.book.dividend(name, amount / 1000)
            case "deposit" | "withdrawal":
                self.book.transfer(amount if what == "deposit" else -amount)
            case "fee":
                self.book.fee(amount / 100)
            case "interest":
                self.book.interest(amount / 100 - 20)

    def _other_hand(self, name: str, side: str, amount: Decimal) -> None:
        if not self._is_open():
            return
        self.manual += 1
        try:
            self.book.place(Wish(name, side, f"by-hand-{self.manual}", amount / 50))
        except RefusedError:
            return
        self.book.advance()

    @rule(
        found=st.lists(events, max_size=2, unique_by=lambda one: one.company),
        wish=wishes,
        asleep=st.booleans(),
        crash=st.just(0) | crashes,
        fault=st.none() | faults,
    )
    def next_morning(
        self, found: Sequence[Event], wish: Sequence[Any], asleep: bool, crash: int, fault: Fault | None
    ) -> None:
        """`asleep`: straight from a session that may be unfinished; else after a quiet evening."""
        if self.day == SESSIONS[-1]:
            return
        if not asleep:
            self.evening()
        self.day = SESSIONS[SESSIONS.index(self.day) + 1]
        self.hand.to(calendar.opening(self.day) - timedelta(hours=1))
        self.book.advance()
        self.behind.clear()
        for event in found:
            self._happen(event)
        self.firm.morning(self.day)
        for company, name in enumerate(self.names):  # what only the broker knows of has no price in the data
            self.quotes.setdefault(name, 40.0 + company)
        self._decide(wish)
        self.attempt(self._trade, crash, fault)

    def _happen(self, event: Event) -> None:
        name = self.names[event.company]
        # A name that the data do not know has no price, and then nothing is planned: only one rename may be like that.
        secret = event.side == "broker" and bool(event.ratio or event.company == 0)
        told = name in self.market.bars[self.day] and not secret
        new = "" if event.ratio else self._new_name(name)
        if told and event.ratio:
            world.act(self.market, self.day, CorporateAction("split", name, float(event.ratio)))
        elif told:
            world.act(self.market, self.day, CorporateAction("symbol_change", name, new_symbol=new))
        if told and event.side == "data" and event.ratio:
            self.behind.append(event)
            return
        self._at_broker(event, name, new)

    def _at_broker(self, event: Event, name: str, new: str) -> None:
        if event.ratio:
            self.book.split(name, Decimal(event.ratio))
            self.quotes[name] /= float(event.ratio)
            return
        self.book.rename(name, new)
        self.quotes[new] = self.quotes.pop(name)
        self.names[event.company] = new

    def _new_name(self, name: str) -> str:
        self.renamed += 1
        return f"{name[:3]}{self.renamed}"

    @precondition(lambda self: self.behind)
    @rule()
    def broker_follows(self) -> None:
        """The split of this morning reaches the broker during the session."""
        event = self.behind.pop()
        self.book.split(self.names[event.company], Decimal(event.ratio))

    # What must hold.

    def attempt(self, work: Callable[[Broker], object], crash: int = 0, fault: Fault | None = None) -> None:
        """Run, die or fail; anything but a death, a lost answer or a reason that is known here is a defect."""
        inner: Any = InProcessBroker(self.book)
        if self.over_http:
            inner = self.firm.broker()
            self._set_trouble(fault)
        broker: Any = Fused(inner, self.fuse, None if self.over_http else fault)
        self.fuse.light(crash)
        try:
            work(broker)
        except CrashError:
            pass
        except PasError as error:
            assert self._may_fail(error, fault), (error, self._unfinished())
        finally:
            self.fuse.light(0)
            if self.over_http:
                self.firm.sandbox.troubles.clear()

    def _unfinished(self) -> list[Any]:
        """Orders that have not ended, as the books and as the broker have them."""
        ours = [row for row in self.firm.rows(tables.orders) if row.state in ("planned", "submitting", "working")]
        there = [order for order in self.book.orders.values() if order.wish.cid in {row.cid for row in ours}]
        return [*ours, *there]

    def _set_trouble(self, fault: Fault | None) -> None:
        if fault is None:
            return
        kind = (Kind.RESET, Kind.GATEWAY_TIMEOUT, Kind.TRUNCATED, Kind.NOT_JSON)[fault.skip % 4]
        place = {
            "submit": ("POST", "/v2/orders"),
            "find": ("GET", "/v2/orders:by_client_order_id"),
            "orders": ("GET", "/v2/orders"),
            "executions": ("GET", "/v2/account/activities/FILL"),
            "positions": ("GET", "/v2/positions"),
            "account": ("GET", "/v2/account"),
            "non_trades": ("GET", "/v2/account/activities"),
            "cancel": ("DELETE", "/v2/orders/*"),
        }[fault.method]
        self.firm.sandbox.troubles.append(Trouble(kind, *place, after=fault.after, times=fault.times, skip=fault.skip))

    def _may_fail(self, error: PasError, fault: Fault | None) -> bool:
        said = str(error)
        if isinstance(error, BrokerError):
            hidden = any(order.seen_from > self.hand() for order in self.book.orders.values())
            return fault is not None or hidden
        over = self.hand() >= calendar.closing(self.day) - timedelta(minutes=2)
        reasons = {
            "has been halted": self.halted,
            "opens at": over,
            "closes at": over,
            "is not the session that trades now": over,
            "still has work to do": bool(self.book.open_orders()) or self.book.rules.fill_lag > 0,
            "cannot be traded at the broker now": bool(self.book.rules.untradable),
            "has open orders": bool(self.book.open_orders()),  # before the books are opened
            "has no reference price": any(name not in self.market.bars[self.day] for name in self.names),
            "holds no": True,  # what happened meanwhile left nothing to close
        }
        return any(part in said and holds for part, holds in reasons.items())

    @rule()
    def noon(self) -> None:
        """Everything that can end now ends; then nothing is owed and nothing may change any more."""
        self._calm_down()
        self._run_again()
        self.hand.advance(60)
        self._run_again()
        if not self.book.open_orders() and not self._unfinished():
            self.check_rest()

    def evening(self) -> None:
        """The session ends, and with it every order."""
        self._calm_down()
        self._run_again()
        self.hand.to(max(self.hand(), calendar.closing(self.day) + EVENING))
        self.book.advance()
        self._run_again()
        assert not self.book.open_orders()
        waiting = self._unfinished()
        assert not waiting or batch_key(self.day) not in {row.key for row in self.firm.rows(tables.batch)}, waiting
        if not waiting:  # a close that was never sent ends with the next session's run, when this one had none
            self.check_rest()

    def _calm_down(self) -> None:
        rules = self.book.rules
        rules.order_lag = rules.fill_lag = rules.cancel_lag = 0.0
        self.hand.advance(30)  # what was still to show does
        if self.halted:
            self._resume()

    def _run_again(self) -> None:
        self.attempt(self._trade)
        self.attempt(self._follow)

    def _is_open(self) -> bool:
        return self.hand() < calendar.closing(self.day)

    def balances(self) -> journal.Balances:
        return self.firm.balances()

    @invariant()
    def no_order_is_there_twice(self) -> None:
        if hasattr(self, "book"):
            cids = Counter(order.wish.cid for order in self.book.orders.values())
            assert all(number == 1 for number in cids.values())

    def check_rest(self) -> None:
        """What must hold at rest, and hold still after one more run."""
        self.check_sides()
        self.check_orders()
        self.check_books()
        before = self.snapshot()
        self._run_again()
        after = self.snapshot()
        assert [(name, was, after[name]) for name, was in before.items() if was != after[name]] == []

    def check_sides(self) -> None:
        """Shares and cash agree to the unit, and every fill is in the books once."""
        positions, cash = journal.totals(self.balances())
        positions = {symbol: quantity for symbol, quantity in positions.items() if quantity}
        assert positions == {symbol: units.shares(quantity) for symbol, quantity in self.book.positions.items()}
        assert cash == units.money(self.book.cash)
        cids = {order.id: order.wish.cid for order in self.book.orders.values()}
        fills = {one.id: units.shares(one.quantity) for one in self.book.fills if cids[one.order].startswith("pas-")}
        assert {row.id: row.quantity for row in self.firm.rows(tables.execution)} == fills
        first = min(row.session for row in self.firm.rows(tables.txn))  # older trades are in the opening balance
        foreign = {one.id for one in self.book.fills if one.id not in fills and calendar.today(one.at) >= first}
        assert {row.id for row in self.firm.rows(tables.seen) if row.kind.endswith("foreign")} == foreign
        assert not any(row.halted for row in self.firm.rows(tables.account))

    def check_orders(self) -> None:
        """Both sides know the same orders, each took one legal way to its end, and nothing is reserved any more."""
        there = {order.wish.cid: order for order in self.book.orders.values() if order.wish.cid.startswith("pas-")}
        for row in self.firm.rows(tables.orders):
            assert row.state in ("filled", "expired", "rejected", "unsent"), row
            order = there.pop(row.cid, None)
            assert row.filled == (units.shares(order.filled) if order else 0)
            assert order is not None or row.state in ("rejected", "unsent"), row
        assert not there
        ways: dict[str, str] = {}
        for row in sorted(self.firm.rows(tables.order_event), key=lambda row: row.id):
            assert row.state in FOLLOWS.get(ways.get(row.cid, "planned"), set()), row
            ways[row.cid] = row.state
        ours = self.ledger.run(lambda connection: floats(connection, self.firm.spec.id, 1, 0))
        assert not any(one.reserved for one in ours.values())

    def check_books(self) -> None:
        """The journal balances, says what the balances say, and nobody but `unassigned` owes shares."""
        balances = self.balances()
        assert balances == self.ledger.run(lambda connection: self.ledger.rebuild(connection, self.firm.spec.id, 1))
        sums: Counter[tuple[int, str]] = Counter()
        for row in self.firm.rows(tables.entry):
            sums[row.txn, row.asset] += row.amount
        assert not any(sums.values())
        short = [
            (sleeve, asset)
            for sleeve, assets in balances.items()
            for asset, amount in assets.items()
            if amount < 0 and asset != journal.CASH and journal.is_sleeve(sleeve) and sleeve != journal.UNASSIGNED
        ]
        assert not short
        crossed: Counter[tuple[int, str]] = Counter()
        for row in self.firm.rows(tables.intent):
            crossed[row.batch, row.symbol] += row.crossed if row.quantity > 0 else -row.crossed
        assert not any(crossed.values())
        found = {one.name: one.differences for one in verify(self.ledger) if one.count}
        assert not found

    def snapshot(self) -> dict[str, Any]:
        """Everything that a second run has to leave as it is."""
        orders = [(order.wish.cid, order.status, order.filled) for order in self.book.orders.values()]
        kept = {table.name: sorted(map(repr, self.firm.rows(table))) for table in KEPT}
        return {**kept, "orders there": orders, "cash there": self.book.cash}
