"""On which basis shares are counted: splits and renames as the data announce them and as the broker has done them.

The two tell of an action at different times, a broker sometimes days after it took effect. Until both have, the symbol
is left alone; and its price is put on the basis of the shares that the books hold, so that the account keeps its value.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

import sqlalchemy as sa

from pas_dagster import calendar
from pas_dagster.execution import outside
from pas_dagster.execution.brokers.base import NonTrade
from pas_dagster.execution.market import CorporateAction, Prices, Tape
from pas_dagster.ledger import seen, tables
from pas_dagster.ledger.store import Ledger

BEFORE = "before:"  # kinds of what is in the opening balance
WAITED = 5  # sessions in which a broker may follow an action; after them a difference is one


class Reshaped(NamedTuple):
    """`waiting`: announced actions on what is held that the broker has not followed; `done`: what it has done."""

    waiting: list[CorporateAction]
    announced: set[str]
    done: list[NonTrade]


class Basis:
    """Of one account's generation."""

    def __init__(self, ledger: Ledger, account: str, generation: int, tape: Tape) -> None:
        self._ledger = ledger
        self._own = (account, generation)
        self._tape = tape

    def frozen(self, connection: sa.Connection, key: date) -> dict[str, str]:
        """Symbols whose shares are counted on one basis here and on another there, and why they are left alone."""
        found = self._reshaped(connection, key)
        waiting = dict.fromkeys(_names(found.waiting), "a corporate action has not reached the broker")
        untold = dict.fromkeys(_untold(found), "the broker has changed its shares, and the data do not say why")
        return waiting | untold

    def untold(self, connection: sa.Connection, key: date) -> set[str]:
        """Symbols whose shares the broker has changed of late without a word in the data: the basis of their prices is
        not known."""
        return _untold(self._reshaped(connection, key))

    def reference(self, connection: sa.Connection, key: date) -> Prices:
        """Reference prices on the basis of what the books hold."""
        found = self._reshaped(connection, key)
        known = self._tape.reference(key)
        changed: dict[str, int | None] = {}
        for one in found.waiting:
            price = changed.get(one.symbol, known[one.symbol])
            if one.kind == "split" and price is not None:
                changed[one.symbol] = round(price * one.exact())
            elif one.kind == "symbol_change" and one.new_symbol:
                changed[one.symbol] = known[one.new_symbol]
        fresh = [one for one in found.done if one.day > calendar.previous_session(key)]  # no close is newer
        for symbol, (new, old) in outside.ratio(fresh).items():
            if symbol not in found.announced and (price := known[symbol]) is not None:
                changed[symbol] = round(price * old / new)
        return known.replaced(changed)

    def _reshaped(self, connection: sa.Connection, key: date) -> Reshaped:
        sessions = calendar.session_array(calendar.FIRST, key)[-WAITED:].astype(object).tolist()
        before = calendar.previous_session(sessions[0])
        done = [
            NonTrade(one.id, "", kind, one.day, one.symbol, one.quantity, one.cash)
            for one in seen.since(connection, *self._own, before)
            if (kind := one.kind.removeprefix(BEFORE)) in outside.RESHAPING and one.day > before
        ]
        followed = {one.symbol: one.day for one in done}  # the last day, for they come in order
        announced = {day: [one for one in self._tape.actions(day) if one.kind in outside.RESHAPING] for day in sessions}
        waiting = [
            one
            for day, actions in announced.items()
            for one in actions
            if followed.get(one.symbol, date.min) < calendar.previous_session(day)
            and self._held_before(connection, day, one.symbol)
        ]
        return Reshaped(waiting, _names(one for actions in announced.values() for one in actions), done)

    def _held_before(self, connection: sa.Connection, day: date, symbol: str) -> bool:
        """Whether shares were held when an action took effect; what was bought after it is on its basis."""
        txn, entry = tables.txn, tables.entry
        own = (txn.c.account == self._own[0], txn.c.generation == self._own[1], txn.c.session < day)
        total = connection.scalar(
            sa.select(sa.func.sum(entry.c.amount))
            .join(txn, txn.c.id == entry.c.txn)
            .where(*own, entry.c.asset == symbol, entry.c.sleeve.not_like("@%"))
        )
        return bool(total)


def _untold(found: Reshaped) -> set[str]:
    return {one.symbol for one in found.done if one.quantity > 0} - found.announced


def _names(actions: Iterable[CorporateAction]) -> set[str]:
    return {name for one in actions for name in (one.symbol, one.new_symbol) if name}
