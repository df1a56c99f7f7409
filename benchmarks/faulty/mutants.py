"""Small changes of the engine that a matrix with teeth has to notice, each with the cells that notice it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa

from benchmarks.faulty import matrix
from benchmarks.faulty.cells import Cell, Verdict, judge
from benchmarks.faulty.stage import Stage
from pas_dagster.execution import custody
from pas_dagster.execution.brokers import alpaca
from pas_dagster.execution.brokers.alpaca import AlpacaBroker
from pas_dagster.execution.brokers.alpaca_link import Link
from pas_dagster.execution.brokers.base import BrokerOrder, Receipt, Ticket
from pas_dagster.execution.custody import Custody
from pas_dagster.execution.desk import Desk
from pas_dagster.execution.executor import Executor
from pas_dagster.ledger import batches, tables
from pas_dagster.ledger.store import Ledger
from pas_dagster.ledger.tables import TERMINAL

SEVERAL = 3  # cells of each kind that a mutant is shown


@dataclass(frozen=True)
class Mutant:
    """A change, and where it shows: cells by their maker and a part of their group and name. `unique`: as the stage."""

    name: str
    change: Callable[[], Any]  # a context in which the engine is changed
    maker: str
    where: str
    unique: bool = True

    def cells(self, stage: Stage) -> list[Cell]:
        """Some of those that show it."""
        made = matrix.cells(stage, [self.maker])
        return [cell for cell in made if re.search(self.where, f"{cell.group}: {cell.name}")][:SEVERAL]


def shown(stage: Stage, mutant: Mutant) -> list[Verdict]:
    """How the mutant does in the cells that should notice it."""
    own = stage.other(unique=mutant.unique)
    chosen = mutant.cells(own)
    with mutant.change():
        return [judge(own, cell) for cell in chosen]


def _new_ids() -> Any:
    numbers, submit = itertools.count(2), AlpacaBroker.submit

    def renamed(self: AlpacaBroker, ticket: Ticket) -> Receipt:
        return submit(self, ticket._replace(cid=f"{ticket.cid[:-1]}{next(numbers)}"))

    return patch.object(AlpacaBroker, "submit", renamed)


def _unknown_is_reject() -> Any:
    verdict = AlpacaBroker._verdict

    def hasty(self: AlpacaBroker, *asked: Any) -> Receipt:
        found = verdict(self, *asked)
        return Receipt("rejected", reason=found.reason) if found.outcome == "unknown" else found

    return patch.object(AlpacaBroker, "_verdict", hasty)


def _twin_is_reject() -> Any:
    return patch.object(alpaca, "_TWIN", re.compile(r"(?!)"))


@contextmanager
def _ended_by_status() -> Generator[None]:
    at_broker, sync = Desk._at_broker, Desk._sync

    def trusting(self: Desk, orders: Sequence[Any], day: Any) -> Mapping[str, BrokerOrder]:
        booked = self._ledger.run(lambda connection: _filled(connection, [order.cid for order in orders]))
        found = at_broker(self, orders, day)
        return {cid: one._replace(filled=booked.get(cid, 0)) for cid, one in found.items()}

    def careless(self: Desk, batch: Any) -> None:
        sync(self, batch)
        self._owed = False

    with patch.object(Desk, "_at_broker", trusting), patch.object(Desk, "_sync", careless):
        yield


def _filled(connection: sa.Connection, cids: Sequence[str]) -> dict[str, int]:
    asked = sa.select(tables.orders.c.cid, tables.orders.c.filled).where(tables.orders.c.cid.in_(cids))
    return {row.cid: row.filled for row in connection.execute(asked)}


def _booked_again() -> Any:
    return patch.object(batches, "booked", lambda *_: set())


def _not_marked() -> Any:
    permit = Executor._permit
    return patch.object(Executor, "_permit", lambda self, batch, order, *, mark: permit(self, batch, order, mark=False))


def _sdk_retries() -> Any:
    tame = Link._tame

    def wild(self: Link, wire: Any) -> None:
        tame(self, wire)
        self._client._retry, self._client._retry_wait = 3, 0

    return patch.object(Link, "_tame", wild)


def _all_at_once() -> Any:
    def send(self: Desk, batch: Any) -> str:
        self._fit(batch)
        return self._send_these(batch, self._orders(batch))

    return patch.object(Desk, "_send_next", send)


def _strangers_ignored() -> Any:
    return patch.object(Custody, "_strangers", lambda *_: [])


def _not_reconciled() -> Any:
    return patch.object(Custody, "reconcile", lambda *_: [])


def _halt_not_asked() -> Any:
    rule = Desk._rule

    def deaf(self: Desk, *asked: Any) -> Any:
        with patch.object(Ledger, "why_halted", lambda *_: ""):
            return rule(self, *asked)

    return patch.object(Desk, "_rule", deaf)


def _not_locked() -> Any:
    return patch.object(Ledger, "lock", lambda *_: nullcontext())


def _any_account() -> Any:
    return patch.object(Custody, "_bind", lambda *_: None)


def _ours_unknown() -> Any:
    return patch.object(custody, "OURS", "nobody-")


def _timed_out() -> Any:
    return patch.object(Desk, "_gone", lambda *_: True)


def _not_looked_up() -> Any:
    return patch.object(Executor, "_look_up", lambda *_: Receipt("unknown"))


def _sold_is_over() -> Any:
    """Sells that are working count as over."""
    orders = Desk._orders

    def send(self: Desk, batch: Any) -> str:
        waiting = [one for one in orders(self, batch) if one[1].state not in (*TERMINAL, "working")]
        sells = [one for one in waiting if one[0].side == "sell"]
        if not sells:
            self._fit(batch)
        return self._send_these(batch, sells or orders(self, batch))

    return patch.object(Desk, "_send_next", send)


MUTANTS = (
    Mutant("a new id on each try", _new_ids, "posts", r"(reset|504) after"),
    Mutant("unknown taken for a rejection", _unknown_is_reject, "posts", r"(reset|truncated) (before|after)"),
    Mutant("a duplicate taken for a rejection", _twin_is_reject, "lags", r"(reset|503|504) after.*once"),
    Mutant("ended on the broker's status, fills not compared", _ended_by_status, "activities", "25 s late$"),
    Mutant("executions not told apart", _booked_again, "activities", "clean"),
    Mutant("not marked before it is sent", _not_marked, "kills", r"post /orders", unique=False),
    Mutant("the SDK's own retries left on", _sdk_retries, "posts", r"504 after", unique=False),
    Mutant("buys sent with the sells", _all_at_once, "activities", "clean"),
    Mutant("buys sent while sells are working", _sold_is_over, "activities", "clean"),
    Mutant("fills of another hand ignored", _strangers_ignored, "manual", "overnight: a (buy|sale)"),
    Mutant("no reconciliation", _not_reconciled, "differences", "."),
    Mutant("the halt not asked in the transaction", _halt_not_asked, "switches", r"(row|file), at point (44|56)"),
    Mutant("the lock not taken", _not_locked, "twins", "threads"),
    Mutant("the account's id not compared", _any_account, "resets", "."),
    Mutant("orders of ours that the ledger lost taken for another hand's", _ours_unknown, "backups", "(day|later)$"),
    Mutant("unknown timed into unsent", _timed_out, "lags", r"(reset|503) after.*3 times"),
    Mutant("an order that was marked not looked up", _not_looked_up, "look_ups", "taken$", unique=False),
)


def table(stage: Stage) -> Iterator[tuple[Mutant, list[Verdict]]]:
    """Every mutant with what became of it."""
    for mutant in MUTANTS:
        yield mutant, shown(stage, mutant)
