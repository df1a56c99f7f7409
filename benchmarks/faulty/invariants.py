"""What must hold after a fault and a clean run: invariants I1 to I7 of the matrix, one sentence per breach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from benchmarks.faulty import scenario
from benchmarks.faulty.stage import Firm
from pas_dagster.ledger import journal, tables, units
from pas_dagster.ledger.floats import floats
from pas_dagster.ledger.tables import TERMINAL
from pas_dagster.ledger.verify import verify
from pas_dagster.sandbox.broker.paper import PaperOrder

OURS = "pas-"
UNTRADED = ("unsent", "rejected")


def breaches(firm: Firm) -> list[str]:
    """Everything that is wrong; empty when all invariants hold."""
    return [*_orders(firm), *_holdings(firm), *_ended(firm), *_journal(firm), *_executions(firm), *_sequence(firm)]


def _theirs(firm: Firm) -> list[PaperOrder]:
    return [order for order in firm.book.orders.values() if order.wish.cid.startswith(OURS)]


def _orders(firm: Firm) -> Iterator[str]:
    """I1 and I2: each id once at the broker, the same orders and the same filled quantities on both sides."""
    sent = Counter(order.wish.cid for order in _theirs(firm))
    yield from (f"I1: {cid} was sent {count} times" for cid, count in sent.items() if count > 1)
    theirs = {o.wish.cid: units.shares(o.filled) for o in _theirs(firm) if o.status != "rejected"}
    ours = {row.cid: row.filled for row in firm.rows(tables.orders) if row.state not in UNTRADED}
    for cid in sorted(ours.keys() | theirs.keys()):
        if ours.get(cid) != theirs.get(cid):
            yield f"I2: {cid} has {ours.get(cid)} filled here and {theirs.get(cid)} there"


def _holdings(firm: Firm) -> Iterator[str]:
    """I3 and I4: the sleeves' sums are the broker's positions and cash, to the unit."""
    positions, cash = journal.totals(firm.balances())
    theirs = {symbol: units.shares(quantity) for symbol, quantity in firm.book.positions.items()}
    for symbol in sorted(positions.keys() | theirs.keys()):
        if positions.get(symbol, 0) != theirs.get(symbol, 0):
            yield f"I3: {symbol} is {positions.get(symbol, 0)} here and {theirs.get(symbol, 0)} there"
    if cash != units.money(firm.book.cash):
        yield f"I4: cash is {cash} here and {units.money(firm.book.cash)} there"


def _ended(firm: Firm) -> Iterator[str]:
    """I5: all orders are over, nothing is reserved, no sleeve owes shares."""
    for row in firm.rows(tables.orders):
        if row.state not in TERMINAL:
            yield f"I5: {row.cid} is still {row.state}"
    yield from (f"I5: {order.wish.cid} is still open at the broker" for order in firm.book.open_orders())
    yield from (f"I5: batch {row.key} is {row.state}" for row in firm.rows(tables.batch) if row.state != "done")
    with firm.ledger.engine.connect() as connection:
        found = floats(connection, scenario.SPEC.id, 1, units.rate(scenario.SPEC.cost_bp))
    for (sleeve, asset), one in found.items():
        if one.reserved:
            yield f"I5: {one.reserved} of {asset} of {sleeve} is reserved"
        if one.position < 0 and asset != journal.CASH and sleeve != journal.UNASSIGNED:
            yield f"I5: {sleeve} holds {one.position} of {asset}"


def _journal(firm: Firm) -> Iterator[str]:
    """I6: every transaction balances, every balance is what the journal says; and all else that can be proven."""
    for check in verify(firm.ledger):
        yield from (f"I6: {check.name}: {sentence}" for sentence in check.differences)


def _executions(firm: Firm) -> Iterator[str]:
    """I7: the executions are the broker's fills."""
    cids = {order.id: order.wish.cid for order in firm.book.orders.values()}
    theirs = {
        fill.id: (cids[fill.order], units.shares(fill.quantity), units.money(fill.price))
        for fill in firm.book.fills
        if cids[fill.order].startswith(OURS)
    }
    ours = {row.id: (row.cid, row.quantity, row.price) for row in firm.rows(tables.execution)}
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            yield f"I7: execution {name} is {ours.get(name)} here and {theirs.get(name)} there"


def _sequence(firm: Firm) -> Iterator[str]:
    """Sells first: no buy of a batch was sent before its last sell was over."""
    theirs = {order.wish.cid: order for order in _theirs(firm)}
    for batch in firm.rows(tables.batch):
        sent = [theirs[row.cid] for row in firm.rows(tables.orders) if row.batch == batch.id and row.cid in theirs]
        ends = [order.changed for order in sent if order.wish.side == "sell" and order.changed is not None]
        for order in sent:
            if order.wish.side == "buy" and ends and order.submitted < max(ends):
                yield f"sequence: {order.wish.cid} was sent before the sells of {batch.key} were over"


def written(firm: Firm) -> dict[str, Any]:
    """All that is in the ledger but for notes of comparisons, and all that is at the broker: to see nothing change."""
    found: dict[str, Any] = {}
    with firm.ledger.engine.connect() as connection:
        for table in tables.metadata.sorted_tables:
            if table is not tables.comparison:
                rows = connection.execute(sa.select(table)).all()
                found[table.name] = sorted(map(repr, rows))
    found["orders at the broker"] = sorted((o.wish.cid, o.status, str(o.filled)) for o in firm.book.orders.values())
    found["fills at the broker"] = sorted(fill.id for fill in firm.book.fills)
    found["posts"] = firm.posts()
    return found


def ending(firm: Firm) -> dict[str, Any]:
    """How a day ended, whatever happened on the way: what was ordered and filled, and what every sleeve holds."""
    return {
        "orders": sorted(
            (o.wish.cid, o.wish.symbol, o.wish.side, str(o.wish.quantity), str(o.filled)) for o in _theirs(firm)
        ),
        "states": sorted((row.cid, row.state, row.filled) for row in firm.rows(tables.orders)),
        "balances": {name: assets for name, assets in sorted(firm.balances().items()) if journal.is_sleeve(name)},
        "cash": str(firm.book.cash),
    }
