"""Run one batch for the present: keep the plan, send the orders, book the fills, reconcile.

Every step is one transaction and none is open while the broker is asked, so the process can die anywhere and be run
again: what was kept is not planned anew, what was sent is found under its id, what was booked is not booked again.

Corporate actions of the session's open that were announced after it was planned are booked before its fills, on what
was held at the open. An order in a symbol that was split or renamed that way was planned on a basis that no longer
exists: it is cancelled, and the sleeve's next rebalance trades. Dividends leave orders alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from pas_dagster import calendar
from pas_dagster.errors import PasError
from pas_dagster.execution import actions, inputs, session
from pas_dagster.execution.brokers.base import Broker, BrokerOrder, Receipt, Ticket
from pas_dagster.execution.guard import Ruling
from pas_dagster.execution.market import Market, Tape
from pas_dagster.execution.outcome import Outcome, load
from pas_dagster.execution.targets import SleeveTarget, Wanted, rules, wanted
from pas_dagster.ledger import batches, halts, journal
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.batches import Stored
from pas_dagster.ledger.records import Execution, Order, Result, batch_key
from pas_dagster.ledger.store import Ledger
from pas_dagster.ledger.tables import TERMINAL

SENDS = 3  # of one order with an unknown outcome, in one run
SETTLED = timedelta(minutes=15)  # after the close, until nothing that was sent before it can still arrive
Standing = tuple[Order, Result, str | None]


def run_batch(
    ledger: Ledger,
    account: AccountSpec,
    targets_today: Sequence[SleeveTarget],
    key: date,
    market: Market,
    broker: Broker,
    clock: Callable[[], datetime],
) -> Outcome:
    """Trade the decision of session `key`, or go on with it, and return its rows.

    Fills are booked as far as the broker reports them; otherwise orders rest as `working` and the next run goes on.
    Raises `PasError` when the account is halted, when the inputs differ from those the batch was planned with, when
    a later batch exists, or when ledger and broker disagree (which halts the account).
    """
    with ledger.lock(account.id):
        generation = ledger.open_account(account)
        Executor(ledger, account, generation, Tape(market), broker, clock).run(key, wanted(targets_today))
        return load(ledger, account.id, generation, [key])


class Executor:
    """The steps of a batch; the caller holds the account's lock."""

    def __init__(
        self,
        ledger: Ledger,
        account: AccountSpec,
        generation: int,
        tape: Tape,
        broker: Broker,
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._account = account
        self._generation = generation
        self._tape = tape
        self._broker = broker
        self._clock = clock
        self._owner = ""  # whose account the broker answers for
        self._refused: list[str] = []  # why the broker rejected the last orders in a row

    def run(self, key: date, targets: Sequence[Wanted]) -> None:
        """Plan the session unless that was done, then drive it as far as it goes."""
        known = self._stored()
        if any(day > key for day in known):
            raise PasError(f"A batch later than {key} exists; replay the range to trade that session after all.")
        self._finish_others(batch_key(key), key)
        previous = max((day for day in known if day < key), default=None)
        if key in known:
            self._compare(known[key], targets, previous)
        else:
            self._keep(key, targets, previous)
        batch = self._stored()[key]
        if batch.state != "done":
            self.drive(batch)

    def _finish_others(self, key: str, session: date) -> None:
        """Every other batch up to the session ends before anything new is planned."""
        waiting = self._ledger.run(lambda connection: batches.unfinished(connection, *self._own))
        for batch in waiting:
            if batch.key != key and batch.session <= session and not self.drive(batch):
                raise PasError(
                    f"Batch {batch.key} still has work to do (orders at the broker, or closes of that session that "
                    f"are not known); it must end before {session} can be planned."
                )

    @property
    def _own(self) -> tuple[str, int]:
        return self._account.id, self._generation

    def _stored(self) -> dict[date, Stored]:
        return self._ledger.run(lambda connection: batches.stored(connection, *self._own))

    def _compare(self, batch: Stored, targets: Sequence[Wanted], previous: date | None) -> None:
        if self._plan_hash(batch, targets, session.days(self._tape, previous, batch.session)) != batch.plan_hash:
            remedy = "replay it to restate the account" if self._account.mode == "simulated" else "decide anew tomorrow"
            raise PasError(
                f"Batch {batch.key} was planned from other targets, rules or prices than it is given now; {remedy}."
            )

    def _plan_hash(self, batch: Stored, targets: Sequence[Wanted], passed: session.Days) -> str:
        own = rules(self._account)
        return inputs.plan_hash(own, self._account.opened, targets, batch.symbols, self._tape, batch.session, passed)

    def _keep(self, key: date, targets: Sequence[Wanted], previous: date | None) -> None:
        def work(connection: sa.Connection) -> None:
            balances = self._balances(connection)
            record = session.begin(self._account, self._generation, key, previous, balances, targets, self._tape)
            batches.write(self._ledger, connection, *self._own, [record])

        self._ledger.run(work)

    def _balances(self, connection: sa.Connection) -> journal.Balances:
        return self._ledger.balances(connection, *self._own)

    def drive(self, batch: Stored) -> bool:
        """Send, book, close as far as it goes; whether the batch is done.

        `PasError` when the account was halted or disarmed on the way: nothing more was sent, all else was done.
        """
        self._catch_up(batch)
        forbidden = self._send_all(batch)
        self._cancel_stale(batch)
        self._book(batch, self._broker.executions(batch.session))
        self._end_orders(batch)
        states = {result.state for _, result, _ in self._orders(batch)}
        finished = states <= set(TERMINAL) and self._tape.closes(batch.session).known
        self._close(batch, finished=finished)
        self._reconcile(batch)
        if forbidden:
            raise PasError(forbidden)
        return finished

    def _catch_up(self, batch: Stored) -> None:
        """Book the actions of the open that were not known when the session was planned."""
        own = self._own

        def work(connection: sa.Connection) -> None:
            known = batches.noted(connection, *own, batch.session)
            missed = actions.late(batch.session, self._tape.actions(batch.session), known)
            if not missed:
                return
            filled = batches.moved(connection, *own, batch.session, "fill")
            crossed = journal.before(self._balances(connection), filled)
            opening = journal.before(crossed, batches.moved(connection, *own, batch.session, "cross"))
            booked, touched = actions.book_late(crossed, opening, batch.session, missed)
            batches.note(connection, *own, touched)
            self._ledger.post(connection, *own, booked)

        self._ledger.run(work)

    def _stale(self, batch: Stored, order: Order) -> str:
        """Why an order can no longer be meant as it was planned; empty when it can.

        The order's reference price tells on which basis it was planned: an action that was known then is in it.
        """
        if self._tape.reference(batch.session)[order.symbol] == order.price:
            return ""
        for one in self._tape.actions(batch.session):
            if one.kind in actions.RESHAPING and order.symbol in (one.symbol, one.new_symbol):
                return f"{one.kind} of {one.symbol} became known after the order was planned"
        return ""

    def _cancel_stale(self, batch: Stored) -> None:
        for order, result, _ in self._orders(batch):
            if result.state == "working" and self._stale(batch, order):
                self._broker.cancel(order.cid)

    def _orders(self, batch: Stored) -> list[Standing]:
        return self._ledger.run(lambda connection: batches.load_orders(connection, batch.id))

    def _send_all(self, batch: Stored) -> str:
        """Send what is not at the broker yet; why something may not be sent, empty when all may."""
        return self._send_these(batch, self._orders(batch))

    def _send_these(self, batch: Stored, orders: Sequence[Standing]) -> str:
        forbidden = ""
        if self._account.mode == "live" and not self._owner:
            self._owner = self._broker.account().id
        for order, result, _ in orders:
            # Who resumes meanwhile shall not find buys that were sent without the sells before them.
            if result.state == "submitting" or (result.state == "planned" and not forbidden):
                forbidden = self._send(batch, order, result) or forbidden
        return forbidden

    def _send(self, batch: Stored, order: Order, result: Result) -> str:
        """Send one order, or find out what became of it; why it may not be sent, empty when it may."""
        receipt = self._look_up(order) if result.state == "submitting" else Receipt("unknown")
        marked = result.state == "submitting"
        for _ in range(SENDS if self._broker.unique_ids or not marked else 0):
            over = self._over(batch, order)
            if receipt.outcome != "unknown" or (marked and over):
                break
            ruling = Ruling(order=over) if over else self._permit(batch, order, mark=not marked)
            if ruling.order and not marked:
                self._move(order, "unsent", ruling.order)
                return ""
            if ruling.order or ruling.batch:
                return ruling.batch
            marked = True
            receipt = self._broker.submit(Ticket(order.cid, batch.session, order.symbol, order.side, order.quantity))
            if receipt.outcome == "unknown":
                receipt = self._look_up(order)
            if not self._broker.unique_ids:  # a twin would be taken: one attempt, and then it is looked for
                break
        if receipt.outcome == "taken":
            self._refused.clear()
            self._move(order, "working", broker_id=order.cid)
        elif receipt.outcome == "rejected":
            self._refused.append(receipt.reason)
            self._move(order, "rejected", receipt.reason)
        elif self._gone(batch):
            self._move(
                order, "unsent", "its outcome was not known, and after its session the broker knew no such order"
            )
        # Still unknown: it stays `submitting`, is looked up by the next run and never timed into a rejection.
        return ""

    def _over(self, batch: Stored, order: Order) -> str:
        """Why an order can no longer be sent; empty when it can.

        History has no deadline: a simulated session is over by the time it is asked for.
        """
        if self._account.mode != "simulated" and self._clock() >= batch.valid_until:
            return "the session was over"
        return self._stale(batch, order)

    def _gone(self, batch: Stored) -> bool:
        """Whether an order of the session that the broker does not know will never come: it was good for that day.

        A broker that takes an id twice tells of past days no more, so there the answer counts on the day only.
        """
        now = self._clock()
        past = self._account.mode != "simulated" and now >= batch.valid_until + SETTLED
        return past and (self._broker.unique_ids or calendar.today(now) == batch.session)

    def _permit(self, batch: Stored, order: Order, *, mark: bool) -> Ruling:
        """Why an order may not be sent now. When it may, it is marked in the same transaction, before it is sent."""
        at = self._clock()

        def work(connection: sa.Connection) -> Ruling:
            ruling = self._rule(connection, batch, order, at)
            if mark and not any(ruling):
                batches.move(connection, order.cid, "submitting", at)
            return ruling

        return self._ledger.run(work)

    def _rule(self, connection: sa.Connection, batch: Stored, order: Order, at: datetime) -> Ruling:
        forbidden = self._why_not(connection)
        if not forbidden and self._account.mode == "live":
            forbidden = halts.why_unarmed(halts.newest_arm(connection, self._account.id), self._owner, at)
        return Ruling(batch=forbidden)

    def _why_not(self, connection: sa.Connection) -> str:
        """Why nothing may be sent for the account: it is halted, or this run is no longer alone with it."""
        return self._ledger.why_halted(connection, self._account.id) or self._ledger.why_not_alone(
            connection, self._account.id
        )

    def _look_up(self, order: Order) -> Receipt:
        found = self._broker.find(order.cid)
        if found is None:
            return Receipt("unknown")
        return Receipt("rejected" if found.state == "rejected" else "taken", found, found.reason)

    def _move(self, order: Order, state: str, reason: str = "", broker_id: str | None = None) -> None:
        at = self._clock()
        self._ledger.run(lambda connection: batches.move(connection, order.cid, state, at, reason, broker_id))

    def _book(self, batch: Stored, executions: Sequence[Execution]) -> None:
        def work(connection: sa.Connection) -> None:
            known = batches.booked(connection, batch.id)
            ours = {order.cid: (order, result) for order, result, _ in batches.load_orders(connection, batch.id)}
            have = {cid: result.shares for cid, (_, result) in ours.items()}
            fills: list[tuple[Execution, Mapping[str, int], Sequence[journal.Transaction]]] = []
            for one in executions:
                if one.id in known or one.cid not in ours:  # another's order shows up in the reconciliation
                    continue
                order = ours[one.cid][0]
                shares, booked = session.fill(order, one, have[one.cid])
                have[one.cid] = tuple(shares)
                names = [sleeve for sleeve, _ in order.shares]
                fills.append((one, dict(zip(names, shares, strict=True)), booked))
            batches.book(self._ledger, connection, *self._own, fills)

        self._ledger.run(work)

    def _at_broker(self, orders: Sequence[Order], day: date) -> Mapping[str, BrokerOrder]:
        """The orders as the broker has them, by their ids."""
        found = [self._broker.find(order.cid) for order in orders]
        return {one.cid: one for one in found if one is not None}

    def _end_orders(self, batch: Stored) -> None:
        ended = []
        working = {order.cid: (order, result) for order, result, _ in self._orders(batch) if result.state == "working"}
        theirs = self._at_broker([order for order, _ in working.values()], batch.session)
        for cid, (order, result) in working.items():
            found = theirs.get(cid)
            # An order ends when the broker says so and all it filled is booked; reports of fills can come late.
            if found is not None and found.state in TERMINAL and found.filled == result.filled:
                why = self._stale(batch, order) if found.state == "expired" else ""
                ended.append((found, why or found.reason))
        at = self._clock()

        def work(connection: sa.Connection) -> None:
            for found, why in ended:
                batches.move(connection, found.cid, found.state, at, why)

        self._ledger.run(work)

    def _close(self, batch: Stored, *, finished: bool) -> None:
        def work(connection: sa.Connection) -> None:
            balances = self._balances(connection)
            fingerprint = None
            if finished:
                booked, touched = session.end(balances, self._tape, batch.session)
                batches.note(connection, *self._own, touched)
                self._ledger.post(connection, *self._own, booked)
                fingerprint = inputs.fill_hash(batch.symbols, self._tape, batch.session)
            sums = batches.booked_today(connection, *self._own, batch.session)
            marked = session.mark(balances, self._tape, batch.session, *sums)
            batches.close(connection, batch.id, "done" if finished else "open", fingerprint, marked)

        self._ledger.run(work)

    def _reconcile(self, batch: Stored) -> None:
        positions, cash = journal.totals(self._ledger.run(self._balances))
        theirs, their_cash = dict(self._broker.positions()), self._broker.account().cash
        wrong = sorted(name for name in positions.keys() | theirs.keys() if positions.get(name) != theirs.get(name))
        if not wrong and cash == their_cash:
            return
        what = ", ".join(wrong[:5]) if wrong else f"cash ({cash} here, {their_cash} there, in 1e-6 USD)"
        why = f"ledger and broker disagree on {what} after batch {batch.key}"
        self._ledger.run(lambda connection: batches.close(connection, batch.id, "halted", None, None))
        self._ledger.halt(self._account.id, "reconciliation", why, self._clock())
        raise PasError(f"Account {self._account.id!r} is halted: {why}. Compare the two before clearing the halt.")
