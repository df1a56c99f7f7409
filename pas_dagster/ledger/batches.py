"""Batches, orders and fills in the ledger: one way to write them, for one session and for ten years."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from io import StringIO
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pas_dagster.errors import PasError
from pas_dagster.ledger import tables
from pas_dagster.ledger.journal import CASH, Entry, Transaction
from pas_dagster.ledger.records import Activity, Execution, Mark, Order, Record, Result, batch_key
from pas_dagster.ledger.store import Ledger, copy, line
from pas_dagster.ledger.units import SHARE

PLANNED = "planned"


class Stored(NamedTuple):
    """A batch as it stands in the ledger."""

    id: int
    session: date
    key: str
    plan_hash: str
    fill_hash: str | None
    symbols: tuple[str, ...]
    state: str
    valid_until: datetime


def write(
    ledger: Ledger, connection: sa.Connection, account: str, generation: int, records: Sequence[Record]
) -> Sequence[int]:
    """Append batches with everything that belongs to them, and return their ids. Part of the caller's transaction."""
    serial = sa.func.nextval(sa.func.pg_get_serial_sequence(str(tables.batch), "id"))
    ids = ledger.take_ids(connection, serial, len(records))
    copy(connection, tables.batch, _batch_lines(records, ids, account, generation), BATCH_COLUMNS)
    copy(connection, tables.intent, _intent_lines(records, ids))
    orders, allocs = _order_lines(records, ids)
    copy(connection, tables.orders, orders, ORDER_COLUMNS)
    copy(connection, tables.alloc, allocs)
    copy(connection, tables.execution, _lines(fill for record in records for fill in record.executions))
    touched = ((account, generation, *activity) for record in records for activity in record.activities)
    copy(connection, tables.activity, _lines(touched))
    marks = ((number, *record.mark) for number, record in zip(ids, records, strict=True) if record.mark)
    copy(connection, tables.mark, _lines(marks))
    ledger.post(connection, account, generation, [one for record in records for one in record.transactions])
    return ids


BATCH_COLUMNS = (
    "id",
    "account",
    "generation",
    "session",
    "key",
    "plan_hash",
    "fill_hash",
    "symbols",
    "state",
    "valid_until",
)
ORDER_COLUMNS = (
    "cid",
    "batch",
    "symbol",
    "side",
    "quantity",
    "price",
    "attempt",
    "state",
    "filled",
    "why",
    "reason",
)


def _lines(rows: Any) -> StringIO:
    text = StringIO()
    text.writelines(map(line, rows))
    return text


def _batch_lines(records: Sequence[Record], ids: Sequence[int], account: str, generation: int) -> StringIO:
    return _lines(
        (
            number,
            account,
            generation,
            one.session,
            one.key,
            one.plan_hash,
            one.fill_hash,
            one.symbols,
            one.state,
            one.valid_until,
        )
        for number, one in zip(ids, records, strict=True)
    )


def _intent_lines(records: Sequence[Record], ids: Sequence[int]) -> StringIO:
    text = StringIO()
    for number, record in zip(ids, records, strict=True):
        for sleeve, symbol, quantity, price, crossed, why in record.intents:
            text.write(f"{number}\t{sleeve}\t{symbol}\t{quantity}\t{price}\t{crossed}\t{why}\n")
    return text


def _order_lines(records: Sequence[Record], ids: Sequence[int]) -> tuple[StringIO, StringIO]:
    orders, allocs = StringIO(), StringIO()
    for number, record in zip(ids, records, strict=True):
        for order in record.orders:
            state, filled, reason, shares = record.results.get(order.cid) or _unsent(order)
            orders.write(
                f"{order.cid}\t{number}\t{order.symbol}\t{order.side}\t{order.quantity}\t{order.price}"
                f"\t{order.attempt}\t{state}\t{filled}\t{order.why}\t{reason}\n"
            )
            for (sleeve, quantity), have in zip(order.shares, shares, strict=True):
                allocs.write(f"{order.cid}\t{sleeve}\t{quantity}\t{have}\n")
    return orders, allocs


def _unsent(order: Order) -> Result:
    return Result(PLANNED, 0, "", (0,) * len(order.shares))


def stored(connection: sa.Connection, account: str, generation: int) -> dict[date, Stored]:
    """Every rebalance of a generation by session, in order."""
    table = tables.batch
    columns = [table.c[name] for name in Stored._fields]
    own = (table.c.account == account, table.c.generation == generation)
    rows = connection.execute(sa.select(*columns).where(*own).order_by("session", "id"))
    found = [_stored(row) for row in rows]
    return {one.session: one for one in found if one.key == batch_key(one.session)}


def _stored(row: sa.Row) -> Stored:
    return Stored(*row)._replace(symbols=tuple(row.symbols))


def find(connection: sa.Connection, account: str, generation: int, key: str) -> Stored | None:
    """The batch under a key."""
    table = tables.batch
    own = (table.c.account == account, table.c.generation == generation, table.c.key == key)
    row = connection.execute(sa.select(*(table.c[name] for name in Stored._fields)).where(*own)).one_or_none()
    return None if row is None else _stored(row)


def newest(connection: sa.Connection, account: str, generation: int) -> Stored | None:
    """The last batch of the last session."""
    table = tables.batch
    own = (table.c.account == account, table.c.generation == generation)
    query = sa.select(*(table.c[name] for name in Stored._fields)).where(*own)
    row = connection.execute(query.order_by(table.c.session.desc(), table.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _stored(row)


def unfinished(connection: sa.Connection, account: str, generation: int) -> list[Stored]:
    """Batches with work left, oldest first; a halted one goes on when its account does."""
    table = tables.batch
    own = (table.c.account == account, table.c.generation == generation, table.c.state != "done")
    rows = connection.execute(
        sa.select(*(table.c[name] for name in Stored._fields)).where(*own).order_by("session", "id")
    )
    return [_stored(row) for row in rows]


def load_orders(connection: sa.Connection, batch: int) -> list[tuple[Order, Result, str | None]]:
    """The orders of a batch with where they stand and the broker's id: sells first, then by symbol."""
    parts: dict[str, list[tuple[str, int, int]]] = {}
    orders, alloc = tables.orders, tables.alloc
    mine = sa.select(orders.c.cid).where(orders.c.batch == batch)
    for row in connection.execute(sa.select(alloc).where(alloc.c.cid.in_(mine)).order_by("sleeve")):
        parts.setdefault(row.cid, []).append((row.sleeve, row.quantity, row.filled))
    found = []
    for row in connection.execute(
        sa.select(orders).where(orders.c.batch == batch).order_by(orders.c.side.desc(), orders.c.symbol)
    ):
        own = parts[row.cid]
        shares = tuple((sleeve, quantity) for sleeve, quantity, _ in own)
        order = Order(row.cid, row.symbol, row.side, row.quantity, row.price, row.attempt, shares, row.why)
        result = Result(row.state, row.filled, row.reason, tuple(filled for _, _, filled in own))
        found.append((order, result, row.broker_id))
    return found


def booked(connection: sa.Connection, batch: int) -> set[str]:
    """Ids of the executions that are in the books of a batch."""
    execution, orders = tables.execution, tables.orders
    asked = sa.select(execution.c.id).join(orders, orders.c.cid == execution.c.cid).where(orders.c.batch == batch)
    return set(connection.scalars(asked))


def move(
    connection: sa.Connection, cid: str, state: str, at: datetime, reason: str = "", broker_id: str | None = None
) -> None:
    """Change an order's state and append the event. `PasError` when it is not where it could come from."""
    table = tables.orders
    values: dict[str, Any] = {"state": state, "reason": reason}
    if broker_id is not None:
        values["broker_id"] = broker_id
    legal = sa.and_(table.c.cid == cid, table.c.state.in_(tables.BEFORE[state]))
    if connection.execute(sa.update(table).where(legal).values(**values)).rowcount != 1:
        raise PasError(f"Order {cid} is not where this run left it: another run worked on the account. Run again.")
    connection.execute(sa.insert(tables.order_event).values(cid=cid, at=at, state=state, reason=reason))


def resize(connection: sa.Connection, order: Order, at: datetime, reason: str) -> None:
    """Make an order that was not sent yet smaller, with its sleeves' shares."""
    orders, alloc = tables.orders, tables.alloc
    mine = sa.and_(orders.c.cid == order.cid, orders.c.state == PLANNED)
    changed = connection.execute(sa.update(orders).where(mine).values(quantity=order.quantity))
    if changed.rowcount != 1:
        raise AssertionError(f"order {order.cid} was sent already")
    connection.execute(sa.delete(alloc).where(alloc.c.cid == order.cid))
    rows = [{"cid": order.cid, "sleeve": sleeve, "quantity": quantity} for sleeve, quantity in order.shares]
    connection.execute(sa.insert(alloc), rows)
    connection.execute(sa.insert(tables.order_event).values(cid=order.cid, at=at, state=PLANNED, reason=reason))


def sent_at(connection: sa.Connection, batch: int) -> dict[str, datetime]:
    """When each order of a batch was first marked as being sent."""
    event, orders = tables.order_event, tables.orders
    rows = connection.execute(
        sa.select(event.c.cid, sa.func.min(event.c.at))
        .join(orders, orders.c.cid == event.c.cid)
        .where(orders.c.batch == batch, event.c.state == "submitting")
        .group_by(event.c.cid)
    )
    return dict(map(tuple, rows))


def sent_notional(connection: sa.Connection, account: str, generation: int, session: date, but: int) -> int:
    """Buys sent in a session by other batches than one, at their reference prices (1e-6 USD)."""
    orders, batch = tables.orders, tables.batch
    worth = sa.func.sum(sa.cast(orders.c.quantity, sa.Numeric) * orders.c.price)
    total = connection.scalar(
        sa.select(sa.func.ceil(worth / SHARE))
        .join(batch, batch.c.id == orders.c.batch)
        .where(batch.c.account == account, batch.c.generation == generation, batch.c.session == session)
        .where(batch.c.id != but, orders.c.side == "buy")
        .where(orders.c.state.not_in(("planned", "unsent", "rejected")))
    )
    return int(total or 0)


def book(
    ledger: Ledger,
    connection: sa.Connection,
    account: str,
    generation: int,
    fills: Sequence[tuple[Execution, Mapping[str, int], Sequence[Transaction]]],
) -> None:
    """Book executions: the row, what each sleeve now has of the order, and the journal."""
    if not fills:
        return
    connection.execute(sa.insert(tables.execution), [execution._asdict() for execution, _, _ in fills])
    # Later fills of an order say more than earlier ones.
    parts = {(one.cid, sleeve): filled for one, shares, _ in fills for sleeve, filled in shares.items()}
    totals = {one.cid: sum(shares.values()) for one, shares, _ in fills}
    _set_filled(connection, tables.alloc, ("cid", "sleeve"), [(*key, filled) for key, filled in parts.items()])
    _set_filled(connection, tables.orders, ("cid",), list(totals.items()))
    ledger.post(connection, account, generation, [one for _, _, ours in fills for one in ours])


def _set_filled(connection: sa.Connection, table: sa.Table, keys: Sequence[str], rows: Sequence[tuple]) -> None:
    """Set `filled` of the rows under their keys, in one statement."""
    columns = [sa.column(name, sa.Text) for name in keys] + [sa.column("filled", sa.BigInteger)]
    told = sa.values(*columns, name="told").data(rows)
    same = sa.and_(*(table.c[name] == told.c[name] for name in keys))
    connection.execute(sa.update(table).where(same).values(filled=told.c.filled))


def note(connection: sa.Connection, account: str, generation: int, activities: Sequence[Activity]) -> None:
    """Append corporate actions that touched the account; known ones stay as they are."""
    rows = [{"account": account, "generation": generation, **activity._asdict()} for activity in activities]
    if rows:
        connection.execute(insert(tables.activity).on_conflict_do_nothing(), rows)


def noted(connection: sa.Connection, account: str, generation: int, session: date) -> set[str]:
    """Ids of the session's corporate actions that are in the books."""
    table = tables.activity
    mine = (table.c.account == account, table.c.generation == generation, table.c.session == session)
    return set(connection.scalars(sa.select(table.c.id).where(*mine)))


def moved(connection: sa.Connection, account: str, generation: int, session: date, kind: str) -> list[Entry]:
    """What the session's transactions of a kind changed in all, by sleeve and asset."""
    txn, entry = tables.txn, tables.entry
    rows = connection.execute(
        sa.select(entry.c.sleeve, entry.c.asset, sa.cast(sa.func.sum(entry.c.amount), sa.BigInteger))
        .join(txn, txn.c.id == entry.c.txn)
        .where(txn.c.account == account, txn.c.generation == generation)
        .where(txn.c.session == session, txn.c.kind == kind)
        .group_by(entry.c.sleeve, entry.c.asset)
    )
    return [(sleeve, asset, amount) for sleeve, asset, amount in rows]


def close(connection: sa.Connection, batch: int, state: str, fill_hash: str | None, marked: Mark | None) -> None:
    """Set a batch's state and, where given, its mark."""
    table = tables.batch
    connection.execute(sa.update(table).where(table.c.id == batch).values(state=state, fill_hash=fill_hash))
    if marked is not None:
        upsert = insert(tables.mark).values(batch=batch, **marked._asdict())
        connection.execute(upsert.on_conflict_do_update(index_elements=["batch"], set_=marked._asdict()))


def finish(connection: sa.Connection, batch: int) -> None:
    """Nothing is left to do for the batch."""
    connection.execute(sa.update(tables.batch).where(tables.batch.c.id == batch).values(state="done"))


def filled(connection: sa.Connection, batch: int) -> list[Entry]:
    """What the fills of a batch changed in all, by sleeve and asset."""
    txn, entry, orders = tables.txn, tables.entry, tables.orders
    rows = connection.execute(
        sa.select(entry.c.sleeve, entry.c.asset, sa.cast(sa.func.sum(entry.c.amount), sa.BigInteger))
        .join(txn, txn.c.id == entry.c.txn)
        .join(orders, orders.c.cid == txn.c.cid)
        .where(orders.c.batch == batch, txn.c.kind == "fill")
        .group_by(entry.c.sleeve, entry.c.asset)
    )
    return [(sleeve, asset, amount) for sleeve, asset, amount in rows]


def rounding_room(connection: sa.Connection, account: str, generation: int, day: date, each: int) -> int:
    """What a broker's rounding of fills may still come to: `each` for a fill since the session in which cash was last
    found equal, less what was booked of it since."""
    txn = tables.txn
    since = _last_equal(connection, account, generation) or day
    mine = (txn.c.account == account, txn.c.generation == generation, txn.c.session >= since)
    fills = sa.select(sa.func.count(txn.c.execution.distinct())).where(*mine, txn.c.kind.in_(("fill", "foreign")))
    used = sa.select(sa.func.coalesce(sa.func.sum(sa.func.abs(txn.c.notional)), 0)).where(
        *mine, txn.c.kind == "rounding"
    )
    return max((connection.scalar(fills) or 0) * each - int(connection.scalar(used) or 0), 0)


def _last_equal(connection: sa.Connection, account: str, generation: int) -> date | None:
    """The last session in which the broker's cash was ours."""
    table = tables.comparison
    own = (table.c.account == account, table.c.generation == generation, table.c.subject == CASH)
    agreed = sa.select(sa.func.max(table.c.session)).where(*own, table.c.verdict.in_(("equal", "rounded")))
    return connection.scalar(agreed)


def traded_since(connection: sa.Connection, account: str, generation: int, day: date) -> tuple[int, int, int]:
    """Executions on and after a day, and the shares (1e-9) and value (1e-6 USD) of the sells among them."""
    txn = tables.txn
    mine = (txn.c.account == account, txn.c.generation == generation, txn.c.session >= day)
    sold = txn.c.quantity < 0

    def total(column: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        return sa.cast(sa.func.coalesce(sa.func.sum(column).filter(sold), 0), sa.BigInteger)

    row = connection.execute(
        sa.select(sa.func.count(txn.c.execution.distinct()), total(-txn.c.quantity), total(txn.c.notional)).where(
            *mine, txn.c.kind.in_(("fill", "foreign"))
        )
    ).one()
    return row[0], row[1], row[2]


def last_prices(connection: sa.Connection, account: str, generation: int, symbols: Collection[str]) -> dict[str, int]:
    """What was paid for a share of each symbol the last time it was traded, where it was."""
    txn = tables.txn
    own = (txn.c.account == account, txn.c.generation == generation, txn.c.symbol == sa.func.any(list(symbols)))
    query = sa.select(txn.c.symbol, txn.c.price).where(*own, txn.c.price > 0).distinct(txn.c.symbol)
    rows = connection.execute(query.order_by(txn.c.symbol, txn.c.id.desc()))
    return dict(map(tuple, rows))


def after(connection: sa.Connection, account: str, generation: int, session: date) -> list[Entry]:
    """What was journaled for later days, by sleeve and asset."""
    txn, entry = tables.txn, tables.entry
    rows = connection.execute(
        sa.select(entry.c.sleeve, entry.c.asset, sa.cast(sa.func.sum(entry.c.amount), sa.BigInteger))
        .join(txn, txn.c.id == entry.c.txn)
        .where(txn.c.account == account, txn.c.generation == generation, txn.c.session > session)
        .group_by(entry.c.sleeve, entry.c.asset)
    )
    return [(sleeve, asset, amount) for sleeve, asset, amount in rows]


def booked_today(connection: sa.Connection, account: str, generation: int, session: date) -> tuple[int, int, int]:
    """Traded notional and fees journaled for a session, and what came in from outside less what went out since the
    session before it that had a batch (1e-6 USD): money moves on weekends too."""
    txn, batch = tables.txn, tables.batch

    def total(column: sa.ColumnElement[int], *kinds: str) -> sa.ColumnElement[int]:
        return sa.cast(sa.func.coalesce(sa.func.sum(column).filter(txn.c.kind.in_(kinds)), 0), sa.BigInteger)

    own = (txn.c.account == account, txn.c.generation == generation)
    traded = connection.execute(
        sa.select(total(txn.c.notional, "fill", "foreign"), total(txn.c.fee, "fill", "fee")).where(
            *own, txn.c.session == session
        )
    ).one()
    earlier = (batch.c.account == account, batch.c.generation == generation, batch.c.session < session)
    before = connection.scalar(sa.select(sa.func.max(batch.c.session)).where(*earlier)) or date.min
    flow = connection.execute(
        sa.select(total(txn.c.notional, "deposit", "adopt"), total(txn.c.notional, "withdrawal")).where(
            *own, txn.c.session <= session, txn.c.session > before
        )
    ).one()
    return traded[0], traded[1], flow[0] - flow[1]
