"""What a sleeve holds, what of it its open orders will need, and what is free.

A reservation is no row of its own: it *is* the part of an open order that has not been filled. So it cannot leak,
be kept twice, or outlive its order; an order that ends, however it ends, reserves nothing any more.

* A sell reserves its shares.
* A buy reserves cash: its shares at the order's reference price and 5 % more, each order's part rounded up, and the
  fee of that notional, rounded up. Brokers themselves let a market order go 2.5 to 4 % above the quote.

Buys are planned on what sells of the same batch will bring, so the free cash of a sleeve may be negative until these
are filled. Quantities are 1e-9 shares, cash 1e-6 USD.
"""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from pas_dagster.ledger import tables, units
from pas_dagster.ledger.journal import CASH
from pas_dagster.ledger.tables import TERMINAL

COLLAR = (105, 100)  # a buy may cost this much of its reference price


class Float(NamedTuple):
    """One asset of one sleeve: `position` is what the books say, `reserved` >= 0 what open orders need of it."""

    position: int
    reserved: int

    @property
    def free(self) -> int:
        return self.position - self.reserved


def floats(connection: sa.Connection, account: str, generation: int, rate: int) -> dict[tuple[str, str], Float]:
    """Every asset (`$` is cash) that a sleeve of the account's generation holds or has reserved, in one query.

    `rate`: cost of trading, as `units.rate` gives it.
    """
    own = (account, generation)
    held, needed = _held(*own), _reserved(*own, rate)
    sleeve = sa.func.coalesce(held.c.sleeve, needed.c.sleeve)
    asset = sa.func.coalesce(held.c.asset, needed.c.asset)
    query = sa.select(
        sleeve, asset, sa.func.coalesce(held.c.amount, 0), sa.func.coalesce(needed.c.amount, 0)
    ).select_from(
        held.join(needed, sa.and_(held.c.sleeve == needed.c.sleeve, held.c.asset == needed.c.asset), full=True)
    )
    return {(row[0], row[1]): Float(row[2], row[3]) for row in connection.execute(query.order_by(sleeve, asset))}


def _held(account: str, generation: int) -> sa.Subquery:
    table = tables.balance
    return (
        sa.select(table.c.sleeve, table.c.asset, table.c.amount)
        .where(table.c.account == account, table.c.generation == generation)
        .where(table.c.sleeve.not_like("@%"), table.c.amount != 0)
        .subquery("held")
    )


def _reserved(account: str, generation: int, rate: int) -> sa.Subquery:
    """What the sleeves' parts of open orders still need, by sleeve and asset."""
    alloc, orders, batch = tables.alloc, tables.orders, tables.batch
    selling = orders.c.side == "sell"
    rest = alloc.c.quantity - alloc.c.filled
    amount = sa.case((selling, rest), else_=_cash(rest, orders.c.price, rate))
    asset = sa.case((selling, orders.c.symbol), else_=CASH)
    return (
        sa.select(alloc.c.sleeve, asset.label("asset"), sa.cast(sa.func.sum(amount), sa.BigInteger).label("amount"))
        .join(orders, orders.c.cid == alloc.c.cid)
        .join(batch, batch.c.id == orders.c.batch)
        .where(batch.c.account == account, batch.c.generation == generation)
        .where(orders.c.state.not_in(TERMINAL), rest > 0)
        .group_by(alloc.c.sleeve, asset)
        .subquery("needed")
    )


def _cash(rest: sa.ColumnElement[int], price: sa.ColumnElement[int], rate: int) -> sa.ColumnElement:
    """Cash that a quantity may take at the collar, fee included. The products need more than 64 bits."""
    exact = sa.cast(rest, sa.Numeric) * price * COLLAR[0]
    notional = _divided_up(exact, COLLAR[1] * units.SHARE)
    return notional + _divided_up(notional * rate, units.RATE)


def _divided_up(amount: sa.ColumnElement, by: int) -> sa.ColumnElement:
    """Of whole numbers: `/` of Postgres would round to as many digits as it thinks fit."""
    return sa.func.div(amount + (by - 1), by)
