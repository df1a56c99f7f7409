"""One session, step by step, on balances in memory: the same steps for history and for the present.

open -> opening deposit, corporate actions, transfers, crosses, orders; fills; close -> delistings, mark.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from pas_dagster import calendar
from pas_dagster.errors import PasError
from pas_dagster.execution import actions, inputs, netting, plan
from pas_dagster.execution.market import CorporateAction, Prices, Tape
from pas_dagster.execution.targets import Limits, Wanted, rules
from pas_dagster.ledger import journal, units
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.journal import CASH, Balances, Transaction
from pas_dagster.ledger.records import Activity, Execution, Intent, Mark, Order, Record, batch_key

Days = Sequence[tuple[date, Sequence[CorporateAction]]]


def days(tape: Tape, previous: date | None, session: date) -> Days:
    """Sessions after the previous decision, up to this one, with their actions."""
    first = session if previous is None else previous + timedelta(1)
    return [(day, tape.actions(day)) for day in calendar.sessions(first, session)]


def begin(
    spec: AccountSpec,
    generation: int,
    session: date,
    previous: date | None,
    balances: Balances,
    wanted: Sequence[Wanted],
    tape: Tape,
) -> Record:
    """Everything up to the orders. Changes balances in place; the record's transactions are those changes."""
    own = rules(spec)
    booked: list[Transaction] = []
    if previous is None:
        booked.append(journal.deposit("opening", session, own.capital))
        journal.apply(balances, booked)
    passed = days(tape, previous, session)
    symbols = _held(balances)
    acted, activities = actions.book_days(balances, passed, session)
    booked += acted
    symbols |= _held(balances) | {symbol for one in wanted for symbol in one.weights}
    made = plan.make(spec.id, generation, session, wanted, balances, tape.reference(session), own)
    record = _record(spec, session, made, sorted(symbols), wanted, tape, passed)
    journal.apply(balances, record.transactions)
    record.activities = activities
    record.transactions = booked + record.transactions
    return record


def begin_now(
    spec: AccountSpec,
    generation: int,
    session: date,
    balances: Balances,
    wanted: Sequence[Wanted],
    tape: Tape,
    prices: Prices,
    limits: Limits,
) -> Record:
    """The same at a broker who books actions and deposits himself. `prices`: references on the basis of what is held.

    Balances are read, not changed.
    """
    made = plan.make(spec.id, generation, session, wanted, balances, prices, rules(spec), limits)
    symbols = _held(balances) | {symbol for one in wanted for symbol in one.weights}
    return _record(spec, session, made, sorted(symbols), wanted, tape, ())


def _record(
    spec: AccountSpec,
    session: date,
    made: plan.Plan,
    symbols: Sequence[str],
    wanted: Sequence[Wanted],
    tape: Tape,
    passed: Days,
) -> Record:
    return Record(
        session=session,
        key=batch_key(session),
        plan_hash=inputs.plan_hash(rules(spec), spec.opened, wanted, symbols, tape, session, passed),
        symbols=symbols,
        valid_until=calendar.closing(session),
        intents=made.intents,
        orders=made.orders,
        transactions=made.transfers + made.crosses,
    )


def close_one(spec: AccountSpec, generation: int, session: date, key: str, order: Order) -> Record:
    """A batch of one order that ends a sleeve's position."""
    sleeve, quantity = order.shares[0]
    intent = Intent(sleeve, order.symbol, -quantity, order.price, 0, "closed by hand")
    return Record(
        session=session,
        key=key,
        plan_hash=hashlib.sha256(repr((spec.id, generation, key, order)).encode()).hexdigest()[:32],
        symbols=[order.symbol],
        valid_until=calendar.closing(session),
        intents=[intent],
        orders=[order],
    )


def _held(balances: Balances) -> set[str]:
    return {asset for name, assets in balances.items() if journal.is_sleeve(name) for asset in assets if asset != CASH}


def fill(order: Order, execution: Execution, before: Sequence[int]) -> tuple[list[int], list[Transaction]]:
    """What each sleeve has of the order after an execution, and the transactions of its parts."""
    parts = [quantity for _, quantity in order.shares]
    have = netting.allocate(sum(before) + execution.quantity, parts, before)
    fresh = [now - then for now, then in zip(have, before, strict=True)]
    paid = netting.split(execution.notional, fresh)
    fees = netting.split(execution.fee, fresh)
    sign = 1 if order.side == "buy" else -1
    booked = [
        journal.fill(
            execution.id,
            order.cid,
            execution.session,
            sleeve,
            order.symbol,
            sign * quantity,
            execution.price,
            cash,
            fee,
        )
        for (sleeve, _), quantity, cash, fee in zip(order.shares, fresh, paid, fees, strict=True)
        if quantity
    ]
    return have, booked


def end(balances: Balances, tape: Tape, session: date) -> tuple[list[Transaction], list[Activity]]:
    """What happens at the close, after the fills. Changes balances in place."""
    return actions.book(balances, session, tape.actions(session), at_close=True)


def mark(balances: Balances, tape: Tape, session: date, traded: int, fees: int, net_flow: int) -> Mark:
    """The account at the session's closes; what had no bar at its last known close."""
    positions, cash = journal.totals(balances)
    closes, before = tape.closes(session), tape.reference(session)
    gross = 0
    for symbol, quantity in positions.items():
        price = closes[symbol] or before[symbol]
        if price is None:
            raise PasError(
                f"{symbol} is held but has neither a close on {session} nor one before, so the account has no value. "
                f"Import its prices, or the action that ended it."
            )
        gross += quantity * price // units.SHARE
    return Mark(gross + cash, cash, gross, len(positions), traded, fees, net_flow)


def flows(transactions: Iterable[Transaction]) -> int:
    """Deposits among the transactions."""
    return sum(one.notional for one in transactions if one.kind == "deposit")
