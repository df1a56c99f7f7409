"""How ledger and broker compared, each time they were; append-only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

import sqlalchemy as sa

from pas_dagster.ledger import tables

EQUAL, MOVING, FROZEN, ROUNDED, PENDING, DIFFERENT = "equal", "moving", "frozen", "rounded", "pending", "different"


class Comparison(NamedTuple):
    """A symbol (1e-9 shares) or cash (`$`, 1e-6 USD), as the ledger and as the broker has it.

    `verdict`: equal; moving (an order in it is working); frozen (a corporate action is on its way); rounded (a
    difference of the broker's rounding, booked); pending (fees of sales that the broker has taken and not told of);
    different.
    """

    subject: str
    ours: int
    theirs: int
    verdict: str


def write(
    connection: sa.Connection,
    account: str,
    generation: int,
    session: date,
    at: datetime,
    found: Sequence[Comparison],
) -> None:
    own = {"account": account, "generation": generation, "session": session, "at": at}
    if found:
        connection.execute(sa.insert(tables.comparison), [own | one._asdict() for one in found])


def first(connection: sa.Connection, account: str, generation: int) -> datetime | None:
    """When the two were first compared: the moment of the opening balance."""
    table = tables.comparison
    own = (table.c.account == account, table.c.generation == generation)
    return connection.scalar(sa.select(sa.func.min(table.c.at)).where(*own))


def newest(
    connection: sa.Connection, account: str, generation: int, session: date
) -> list[tuple[datetime, Comparison]]:
    """The last comparison of a session, by subject."""
    table = tables.comparison
    own = (table.c.account == account, table.c.generation == generation, table.c.session == session)
    last = sa.select(sa.func.max(table.c.at)).where(*own).scalar_subquery()
    rows = connection.execute(
        sa.select(table.c.at, *(table.c[name] for name in Comparison._fields))
        .where(*own, table.c.at == last)
        .order_by("subject")
    )
    return [(at, Comparison(*rest)) for at, *rest in rows]
