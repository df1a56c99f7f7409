"""Trade at a broker whose market is open now: sells first, then buys within what is really there, until all is booked.

The steps are those of `executor`; here are what a real broker adds. What happened in the account without us is booked
first (`outside`), and nothing is planned while ledger and broker differ (`reconcile`). Every order passes the gates in
the transaction that marks it (`guard`). A run waits for fills for a while and leaves the rest to the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from pas_dagster.errors import PasError
from pas_dagster.execution import inputs, netting, plan, reconcile, session
from pas_dagster.execution.brokers.base import (
    Broker,
    BrokerAccount,
    BrokerOrder,
    KeyRefusedError,
    quoted,
)
from pas_dagster.execution.custody import OURS, Custody, valued
from pas_dagster.execution.executor import SETTLED, Executor, Standing
from pas_dagster.execution.gates import Facts
from pas_dagster.execution.guard import FRESH_SECONDS, Guard, Ruling, later
from pas_dagster.execution.market import Market, Prices, Tape
from pas_dagster.execution.outcome import Outcome, load
from pas_dagster.execution.targets import Limits, SleeveTarget, Wanted, rules, wanted
from pas_dagster.ledger import batches, halts, journal, units
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.batches import Stored
from pas_dagster.ledger.comparisons import Comparison
from pas_dagster.ledger.journal import Balances
from pas_dagster.ledger.records import Mark, Order, Record
from pas_dagster.ledger.store import Ledger
from pas_dagster.ledger.tables import TERMINAL
from pas_dagster.sources.client.clock import Clock as Watch
from pas_dagster.sources.client.clock import SystemClock

SELLS_WAIT = timedelta(minutes=10)  # for sells, before what is left of them is cancelled and buys go on without it
CASH_ROOM, POWER_ROOM = 102, 105  # percent of a buy's price that cash, and that buying power, has to cover
MOST_REFUSED = 5  # rejections in a row after which a person has to look
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0


@dataclass(frozen=True)
class Patience:
    """How long a run waits for fills, in seconds, and what it waits with."""

    seconds: float = 60.0
    watch: Watch = SystemClock()
    tell: Callable[[str], None] = lambda _: None


PATIENT = Patience()


def trade(
    ledger: Ledger,
    account: AccountSpec,
    targets_today: Sequence[SleeveTarget],
    key: date,
    market: Market,
    broker: Broker,
    clock: Callable[[], datetime],
    guard: Guard,
    patience: Patience = PATIENT,
) -> Outcome:
    """Trade the decision of session `key`, which is today's at the broker, or go on with it; returns its rows.

    Raises `PasError` when nothing may be sent (halted, a gate of the batch), when the inputs differ from those the
    batch was planned with, when the account is another one, or when ledger and broker disagree (which halts it); and
    `BrokerError` when the broker cannot be asked. Whatever was raised, running again goes on where it stopped.
    """
    with ledger.lock(account.id):
        desk = open_desk(ledger, account, market, broker, clock, guard, patience)
        desk.rebalance(key, wanted(targets_today))
        return load(ledger, account.id, desk.generation, [key])


def open_desk(
    ledger: Ledger,
    account: AccountSpec,
    market: Market,
    broker: Broker,
    clock: Callable[[], datetime],
    guard: Guard,
    patience: Patience = PATIENT,
    *,
    halted: bool = False,
) -> Desk:
    """The desk of an account whose lock the caller holds. `halted`: whether it may be, for who sends nothing."""
    if broker.auction or account.mode == "simulated":
        raise PasError(f"Account {account.id!r} is a {account.mode} one; a desk is for paper and live accounts.")
    generation = ledger.open_account(account, halted=halted)
    return Desk(ledger, account, generation, Tape(market), broker, clock, guard, patience)


class Desk(Executor):
    """The steps at a broker with continuous trading; the caller holds the account's lock."""

    def __init__(
        self,
        ledger: Ledger,
        account: AccountSpec,
        generation: int,
        tape: Tape,
        broker: Broker,
        clock: Callable[[], datetime],
        guard: Guard,
        patience: Patience,
    ) -> None:
        super().__init__(ledger, account, generation, tape, broker, clock)
        self.generation = generation
        self._custody = Custody(ledger, account.id, generation, tape, broker, clock, patience.watch)
        self._guard = guard
        self._patience = patience
        self._facts: tuple[datetime, int, Facts] | None = None  # when, of which batch, what
        self._owed = False  # whether the broker's orders show fills that are not booked yet
        self._listed: Mapping[str, BrokerOrder] = {}  # the session's orders as they were last shown

    def rebalance(self, key: date, targets: Sequence[Wanted]) -> None:
        """Plan the session unless that was done, and drive it."""
        self._watched(lambda: self._rebalance(key, targets))

    def _rebalance(self, key: date, targets: Sequence[Wanted]) -> None:
        now = self._broker.clock().session
        if key != now and key not in self._stored():
            raise PasError(f"{key} is not the session that trades now ({now}): history is not sent to a broker.")
        self._enter(key)
        self.run(key, targets)

    def close(self, sleeve: str, symbol: str) -> str:
        """Sell what a sleeve holds of a symbol, in a batch of its own; returns the batch's key."""
        found: list[str] = []
        self._watched(lambda: found.append(self._close_position(sleeve, symbol)))
        return found[0]

    def follow(self, key: date) -> list[Comparison]:
        """Book what happened, also to open orders, and compare. Nothing is sent; the account may be halted.

        Raises `PasError` when ledger and broker differ without a reason, which halts the account.
        """
        found: list[Comparison] = []
        self._watched(lambda: found.extend(self._followed(key)))
        return found

    def _followed(self, key: date) -> list[Comparison]:
        self._enter(key)
        waiting = self._ledger.run(lambda connection: batches.unfinished(connection, *self._own))
        for batch in waiting:
            self._sync(batch)
            self._mark(batch)
        found = self._custody.reconcile(key)
        for batch in waiting:
            self._sync(batch)
            if self._is_over(batch):
                self._ledger.run(lambda connection, batch=batch: batches.finish(connection, batch.id))
        return found

    def accept(self, key: date, who: str, why: str) -> list[Comparison]:
        """Take over what the broker has where ledger and broker differ; who said so and why stay on record."""
        self._watched(lambda: self._enter(key))
        found = self._custody.accept(key)
        if found:
            text = f"{who} took over from the broker: {reconcile.in_words(found)}; {why}"
            self._ledger.halt(self._account.id, who, text, self._clock())
        return found

    def _is_over(self, batch: Stored) -> bool:
        """Whether every order has ended and every fill that the broker shows is booked."""
        return not self._owed and all(result.state in TERMINAL for _, result, _ in self._orders(batch))

    def _watched(self, work: Callable[[], object]) -> None:
        """Halt the account when the broker refuses the key: nothing that follows could be trusted."""
        try:
            work()
        except KeyRefusedError as error:
            self._ledger.halt(self._account.id, "broker", f"the key was refused ({error})", self._clock())
            raise

    def _enter(self, key: date) -> None:
        """Bring the books up to what the broker shows before the session goes on."""
        self._custody.enter(key, self._book_open)
        self._mark_closed()

    def _book_open(self) -> None:
        """Book what was filled of open orders while nobody looked."""
        for batch in self._ledger.run(lambda connection: batches.unfinished(connection, *self._own)):
            self._book(batch, self._broker.executions(batch.session))

    def _mark_closed(self) -> None:
        """Value the last session at its closes, which were not known when its batch ended."""
        last = self._ledger.run(lambda connection: batches.newest(connection, *self._own))
        if last is None or last.state != "done" or last.fill_hash or not self._tape.closes(last.session).known:
            return
        fingerprint = inputs.fill_hash(last.symbols, self._tape, last.session)
        self._mark(last, "done", fingerprint)

    def _keep(self, key: date, targets: Sequence[Wanted], previous: date | None) -> None:
        self._custody.reconcile(key)
        prices = self._custody.reference(key, symbols_of(targets))
        limits = self._limits(key, targets, prices)

        def work(connection: sa.Connection) -> None:
            record = self._planned(connection, key, targets, limits, prices)
            batches.write(self._ledger, connection, *self._own, [record])

        self._ledger.run(work)

    def _compare(self, batch: Stored, targets: Sequence[Wanted], previous: date | None) -> None:
        """A session is planned once: what was decided since then waits for the next one."""
        if self._plan_hash(batch, targets, ()) != batch.plan_hash:
            self._patience.tell(f"Batch {batch.key} goes on as it was planned; what has changed since waits.")

    def _planned(
        self, connection: sa.Connection, key: date, targets: Sequence[Wanted], limits: Limits, prices: Prices
    ) -> Record:
        balances = self._balances(connection)
        return session.begin_now(self._account, self._generation, key, balances, targets, self._tape, prices, limits)

    def _limits(self, key: date, targets: Sequence[Wanted], prices: Prices) -> Limits:
        """What is not traded as wanted. The broker is asked about what would be ordered, not about everything."""

        def first(connection: sa.Connection) -> tuple[dict[str, str], list[str]]:
            frozen = self._custody.basis.frozen(connection, key)
            record = self._planned(connection, key, targets, Limits(frozen), prices)
            return frozen, [order.symbol for order in record.orders]

        frozen, symbols = self._ledger.run(first)
        whole = set()
        for symbol in symbols:
            known = self._broker.asset(symbol)
            if known is None or not known.tradable:
                frozen[symbol] = "the broker does not know it" if known is None else "the broker does not trade it now"
            elif not known.fractionable:
                whole.add(symbol)
        return Limits(frozen, frozenset(whole))

    def _close_position(self, sleeve: str, symbol: str) -> str:
        clock = self._broker.clock()
        today = clock.session
        if not any(one.open <= clock.now < one.close for one in self._broker.calendar(today, today)):
            raise PasError("The market is closed; a position is closed while it is open.")
        self._enter(today)
        self._finish_others("", today)
        self._custody.reconcile(today)
        limits_known = self._broker.asset(symbol)
        if limits_known is None or not limits_known.tradable:
            raise PasError(f"{symbol} cannot be traded at the broker now.")
        prices = self._custody.priced(today, [symbol])

        def work(connection: sa.Connection) -> str:
            held = self._balances(connection).get(sleeve, {}).get(symbol, 0)
            if held <= 0:
                raise PasError(f"Sleeve {sleeve!r} holds no {symbol}; `pas positions` shows what it holds.")
            key = self._free_key(connection, f"{today}/close/{sleeve}/{symbol}")
            prefix = plan.order_prefix(self._account.id, self._generation, key)
            cid = plan.order_id(prefix, symbol, "sell", 1)
            order = Order(cid, symbol, "sell", held, prices[symbol], 1, ((sleeve, held),), f"{sleeve}: closed by hand")
            record = session.close_one(self._account, self._generation, today, key, order)
            batches.write(self._ledger, connection, *self._own, [record])
            return key

        key = self._ledger.run(work)
        batch = self._ledger.run(lambda connection: batches.find(connection, *self._own, key))
        assert batch is not None  # it was just kept
        self.drive(batch)
        return key

    def _free_key(self, connection: sa.Connection, key: str) -> str:
        """The first of `key`, `key/2`, ... under which there is no batch."""
        number, found = 1, key
        while batches.find(connection, *self._own, found) is not None:
            number += 1
            found = f"{key}/{number}"
        return found

    def drive(self, batch: Stored) -> bool:
        """Rounds until the batch is done, or patience ends; whether it is done."""
        watch = self._patience.watch
        ends = watch.monotonic() + self._patience.seconds
        pause = FIRST_PAUSE
        while True:
            if self._round(batch):
                self._custody.reconcile(batch.session)
                self._ledger.run(lambda connection: batches.finish(connection, batch.id))
                return True
            if watch.monotonic() + pause > ends or self._clock() >= batch.valid_until:
                return False
            self._patience.tell(self._progress(batch))
            watch.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    def _progress(self, batch: Stored) -> str:
        states = [result.state for _, result, _ in self._orders(batch)]
        over = sum(state in TERMINAL for state in states)
        return f"{over} of {len(states)} orders are over"

    def _round(self, batch: Stored) -> bool:
        """Book what is known, send what may go, end what is over; whether nothing is left to do."""
        self._sync(batch)
        self._mark(batch)  # before the gates ask the breaker, which looks at it
        forbidden = self._send_next(batch)
        if len(self._refused) >= MOST_REFUSED:
            last = self._refused[-1]
            self._custody.stop(f"the broker rejected {len(self._refused)} orders in a row, the last: {last}")
        finished = self._is_over(batch)
        if forbidden and not finished:
            raise PasError(forbidden)
        return finished

    def _send_next(self, batch: Stored) -> str:
        """Send sells, or buys once no sell is open; why something may not be sent, empty when all may."""
        if sells := self._open_sells(batch):
            forbidden = self._send_these(batch, sells)
            self._cancel_overdue(batch)
            if forbidden or self._open_sells(batch):
                return forbidden
        self._fit(batch)
        return self._send_these(batch, self._orders(batch))

    def _open_sells(self, batch: Stored) -> list[Standing]:
        return [one for one in self._orders(batch) if one[0].side == "sell" and one[1].state not in TERMINAL]

    def _over(self, batch: Stored, order: Order) -> str:
        """By the broker's clock as well: ours may be wrong, and then the gates say so."""
        why = super()._over(batch, order)
        return why if why and self._broker.clock().now >= batch.valid_until else ""

    def _gone(self, batch: Stored) -> bool:
        return super()._gone(batch) and self._broker.clock().now >= batch.valid_until + SETTLED

    def _sync(self, batch: Stored) -> None:
        """Book every fill that the broker tells of, then end the orders that are over and booked in full."""
        self._listed = {one.cid: one for one in self._broker.orders(batch.session)}
        done = self._broker.executions(batch.session)  # after the orders: it shows at least what they count
        self._custody.see_fills(batch.session, done)
        self._book(batch, done)
        self._end_orders(batch)
        have = {order.cid: result.filled for order, result, _ in self._orders(batch)}
        self._owed = any(self._listed[cid].filled > filled for cid, filled in have.items() if cid in self._listed)

    def _at_broker(self, orders: Sequence[Order], day: date) -> Mapping[str, BrokerOrder]:
        missing = [order for order in orders if order.cid not in self._listed]
        return {**self._listed, **super()._at_broker(missing, day)}

    def _stale(self, batch: Stored, order: Order) -> str:
        """Nothing: a broker cancels orders on an old basis himself, and the price collar keeps others back."""
        return ""

    def _cancel_overdue(self, batch: Stored) -> None:
        """Sells that hold up the buys for too long end with what they have."""
        now = self._clock()
        sent = self._ledger.run(lambda connection: batches.sent_at(connection, batch.id))
        for order, result, _ in self._orders(batch):
            if order.side == "sell" and result.state == "working" and now - sent.get(order.cid, now) > SELLS_WAIT:
                self._broker.cancel(order.cid)

    def _fit(self, batch: Stored) -> None:
        """Cut buys that are still planned to the cash and the buying power that are really there."""
        standing = [one for one in self._orders(batch) if one[0].side == "buy"]
        waiting = [order for order, result, _ in standing if result.state == "planned"]
        if not waiting:
            return
        account = self._broker.account()
        quotes = self._facts_of(batch).quotes
        prices = {order.cid: max(order.price, quoted(quotes, order.symbol) or 0) for order in waiting}
        fitted = self._affordable(batch.session, waiting, prices, standing, account)
        moment = self._clock()

        def work(connection: sa.Connection) -> None:
            for order in waiting:
                fit = self._cut(order, fitted[order.cid])
                if fit is None:
                    batches.move(connection, order.cid, "unsent", moment, "cash does not cover it")
                elif fit != order:
                    text = f"cut from {units.shares_text(order.quantity)} to what cash covers"
                    batches.resize(connection, fit, moment, text)

        self._ledger.run(work)

    def _bid(self, day: date) -> int:
        """What open buys of another hand will cost when they fill."""
        others = [one for one in self._broker.open_orders() if one.side == "buy" and not one.cid.startswith(OURS)]
        if not others:
            return 0
        prices = self._custody.priced(day, {one.symbol for one in others})
        return sum(
            units.cost(max(one.quantity - one.filled, 0), prices[one.symbol]) * CASH_ROOM // 100 for one in others
        )

    def _affordable(
        self,
        day: date,
        waiting: Sequence[Order],
        prices: Mapping[str, int],
        standing: Sequence[Standing],
        account: BrokerAccount,
    ) -> dict[str, int]:
        """Quantities by order id that fit the ledger's cash and the broker's buying power."""
        open_buys = sum(
            units.cost(order.quantity - result.filled, order.price) * CASH_ROOM // 100
            for order, result, _ in standing
            if result.state in ("submitting", "working")
        )
        cash = min(journal.totals(self._ledger.run(self._balances))[1], account.cash) - open_buys - self._bid(day)
        rate = rules(self._account).rate
        found = netting.afford([(o.quantity, prices[o.cid] * CASH_ROOM // 100) for o in waiting], cash, rate)
        if account.buying_power is not None:
            lines = [(o.quantity, prices[o.cid] * POWER_ROOM // 100) for o in waiting]
            found = list(map(min, found, netting.afford(lines, account.buying_power, 0)))
        return {order.cid: quantity for order, quantity in zip(waiting, found, strict=True)}

    def _cut(self, order: Order, quantity: int) -> Order | None:
        """The order for a smaller quantity; None when that is too small to send."""
        if quantity >= order.quantity:
            return order
        if order.quantity % units.SHARE == 0:
            known = self._broker.asset(order.symbol) if self._account.fractional else None
            if known is None or not known.fractionable:
                quantity = quantity // units.SHARE * units.SHARE
        if units.value(quantity, order.price) < rules(self._account).min_order:
            return None
        return plan.cut(order, quantity)

    def _rule(self, connection: sa.Connection, batch: Stored, order: Order, at: datetime) -> Ruling:
        halted = self._why_not(connection)
        if halted or len(self._refused) >= MOST_REFUSED:
            return Ruling(batch=halted or "The broker rejected too many orders in a row.")
        if self._facts is None or self._facts[1] != batch.id:
            raise AssertionError("the facts of the batch were not gathered")
        planned = [one for one, result, _ in batches.load_orders(connection, batch.id) if result.state != "unsent"]
        sent = batches.sent_notional(connection, *self._own, batch.session, batch.id)
        arm = halts.newest_arm(connection, self._account.id) if self._account.mode == "live" else None
        switch = self._guard.switch(self._account.mode, self._owner, arm)
        own = next(one for one in planned if one.cid == order.cid)
        return self._guard.judge(own, planned, later(self._facts[2], at, sent), switch)

    def _permit(self, batch: Stored, order: Order, *, mark: bool) -> Ruling:
        self._facts_of(batch)
        return super()._permit(batch, order, mark=mark)

    def _facts_of(self, batch: Stored) -> Facts:
        """Facts of a moment ago, of the batch as it was planned."""
        now = self._clock()
        if self._facts is not None:
            since, of, facts = self._facts
            if of == batch.id and timedelta(0) <= now - since <= timedelta(seconds=FRESH_SECONDS):
                return facts

        def work(connection: sa.Connection) -> tuple[Balances, list[Order]]:
            before = journal.before(self._balances(connection), batches.filled(connection, batch.id))
            return before, [order for order, _, _ in batches.load_orders(connection, batch.id)]

        before, orders = self._ledger.run(work)
        held = journal.totals(before)[0]
        prices = valued(self._custody.reference(batch.session, held), held)
        found = self._guard.gather(self._broker, self._clock, orders, before, prices)
        self._facts = (found.now, batch.id, found)
        return found

    def _mark(self, batch: Stored, state: str = "open", fingerprint: str | None = None) -> None:
        """The account after a session: at its closes once they are known, until then at quotes.

        What was booked for later days is left out: a split that came after a close does not belong to it.
        """
        day = batch.session
        balances = self._ledger.run(lambda c: journal.before(self._balances(c), batches.after(c, *self._own, day)))
        positions, cash = journal.totals(balances)
        closes, reference = self._tape.closes(day), self._custody.reference(day, positions)
        quotes = {} if closes.known or not positions else self._broker.quotes(sorted(positions))
        now = {name: closes[name] or quoted(quotes, name) or reference[name] for name in positions}
        prices = valued(reference.replaced(now), positions)
        gross = sum(units.value(abs(quantity), prices[name]) for name, quantity in positions.items())
        net = sum(units.value(quantity, prices[name]) for name, quantity in positions.items())

        def work(connection: sa.Connection) -> None:
            sums = batches.booked_today(connection, *self._own, day)
            mark = Mark(net + cash, cash, gross, len(positions), *sums)
            batches.close(connection, batch.id, state, fingerprint, mark)

        self._ledger.run(work)


def symbols_of(targets: Iterable[Wanted]) -> set[str]:
    """Everything that the targets name."""
    return {symbol for one in targets for symbol in one.weights}
