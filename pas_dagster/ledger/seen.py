"""What a broker showed besides the fills of our orders: noted once under its id, whether it moved the books or not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import sqlalchemy as sa

from pas_dagster.ledger import tables


class Seen(NamedTuple):
    """One thing: `before` is in the opening balance; `foreign` a trade of another hand; else a kind of `NonTrade`."""

    id: str
    kind: str
    day: date
    symbol: str
    quantity: int
    cash: int


def note(connection: sa.Connection, account: str, generation: int, things: Sequence[Seen]) -> None:
    """Append things that are not known yet."""
    own = {"account": account, "generation": generation}
    if things:
        connection.execute(sa.insert(tables.seen), [own | one._asdict() for one in things])


def known(connection: sa.Connection, account: str, generation: int, ids: Sequence[str]) -> set[str]:
    """Those of the ids that were noted, whatever their day: history is told of late and dated back."""
    table = tables.seen
    mine = (table.c.account == account, table.c.generation == generation, table.c.id == sa.func.any(list(ids)))
    return set(connection.scalars(sa.select(table.c.id).where(*mine)))


def since(connection: sa.Connection, account: str, generation: int, day: date) -> list[Seen]:
    """What is known of a day and later."""
    table = tables.seen
    rows = connection.execute(
        sa.select(*(table.c[name] for name in Seen._fields))
        .where(table.c.account == account, table.c.generation == generation, table.c.day >= day)
        .order_by("day", "id")
    )
    return [Seen(*row) for row in rows]
