"""The trade log for other programs: NDJSON or CSV, one line for each execution, exact decimals as text.

* `timestamp`: the end of the session in which the execution was, in UTC. The ledger keeps sessions, not seconds.
* `symbol`, `side`, `qty` (shares, unsigned), `price` (USD per share).
* `nav`: value of the account as that session is marked, USD: at its closes once they are known. Empty before.
* `cash_left`: cash of the whole account once this execution was booked, USD, fee included. Dividends, deposits and what
  else moves cash between two executions is in it.

Executions come in the order in which they were booked. What sleeves cross with each other is no trade of the account
and not in the log. Rows are read and written as they come, so the memory needed does not grow with the history.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, time
from io import StringIO
from pathlib import Path
from typing import Literal, NamedTuple, TextIO

import sqlalchemy as sa

from pas_dagster.calendar import NEW_YORK
from pas_dagster.errors import PasError
from pas_dagster.ledger import tables, units
from pas_dagster.ledger.journal import CASH, TREASURY
from pas_dagster.ledger.store import Ledger

Format = Literal["ndjson", "csv"]
BUFFER = 10_000
CLOSE = time(16)
FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # what a spreadsheet takes for one


class Trade(NamedTuple):
    """One line of the log; every value is text, as it is written."""

    timestamp: str
    symbol: str
    side: str
    qty: str
    price: str
    nav: str | None
    cash_left: str


def trades(ledger: Ledger, account: str, generation: int) -> Generator[Trade]:
    """The executions of an account's generation in one snapshot, oldest first."""
    with ledger.engine.connect() as plain:
        connection = plain.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True, stream_results=True, max_row_buffer=BUFFER
        )
        cash, quantity = 0, 0
        waiting: sa.Row | None = None
        for row in connection.execute(_query(account, generation)):
            # The parts of an execution stand together; it is told once the last of them is booked.
            if waiting is not None and row.execution != waiting.execution:
                yield _trade(waiting, quantity, cash)
                waiting, quantity = None, 0
            if row.execution:
                waiting, quantity = row, quantity + row.quantity
            cash += row.cash
        if waiting is not None:
            yield _trade(waiting, quantity, cash)


def _query(account: str, generation: int) -> sa.Select:
    txn, entry, orders, batch, mark = tables.txn, tables.entry, tables.orders, tables.batch, tables.mark
    own = sa.or_(entry.c.sleeve.not_like("@%"), entry.c.sleeve == TREASURY)
    moved = (
        sa.select(entry.c.txn, sa.cast(sa.func.sum(entry.c.amount), sa.BigInteger).label("cash"))
        .where(entry.c.asset == CASH, own)
        .group_by(entry.c.txn)
        .subquery()
    )
    return (
        sa.select(
            txn.c.execution,
            txn.c.session,
            txn.c.symbol,
            txn.c.quantity,
            txn.c.price,
            sa.func.coalesce(moved.c.cash, 0).label("cash"),
            batch.c.valid_until,
            mark.c.equity,
        )
        .outerjoin(moved, moved.c.txn == txn.c.id)
        .outerjoin(orders, sa.and_(orders.c.cid == txn.c.cid, txn.c.cid != ""))
        .outerjoin(batch, batch.c.id == orders.c.batch)
        .outerjoin(mark, mark.c.batch == batch.c.id)
        .where(txn.c.account == account, txn.c.generation == generation)
        .order_by(txn.c.id)
    )


def _trade(row: sa.Row, quantity: int, cash: int) -> Trade:
    ended = row.valid_until or datetime.combine(row.session, CLOSE, NEW_YORK)  # a trade that no batch asked for
    return Trade(
        timestamp(ended),
        row.symbol,
        "buy" if quantity > 0 else "sell",
        units.shares_text(abs(quantity)),
        units.money_text(row.price),
        None if row.equity is None else units.money_text(row.equity),
        units.money_text(cash),
    )


def timestamp(at: datetime) -> str:
    """A moment in UTC.

    >>> timestamp(datetime.fromisoformat("2024-07-01T16:00:00-04:00"))
    '2024-07-01T20:00:00Z'
    """
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def lines(rows: Iterator[Trade], how: Format) -> Iterator[str]:
    """The rows as lines with their ends; CSV begins with a header."""
    if how == "ndjson":
        for row in rows:
            yield json.dumps(row._asdict(), ensure_ascii=False) + "\n"
        return
    yield _csv(Trade._fields)
    for row in rows:
        # Only the symbol is a text of others; the numbers are ours, and `-5` has to stay a number.
        yield _csv(row._replace(symbol=harmless(row.symbol)))


def _csv(cells: tuple[str | None, ...]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def harmless(text: str) -> str:
    """A text on one line that no spreadsheet takes for a formula.

    >>> harmless("\\t=1+1"), harmless("BRK.B")
    ("'=1+1", 'BRK.B')
    """
    plain = "".join(letter for letter in text if letter.isprintable())
    return f"'{plain}" if plain.startswith(FORMULAS) else plain


def write(rows: Iterator[str], stream: TextIO) -> int:
    """Write lines as they come, and return how many."""
    count = 0
    for row in rows:
        stream.write(row)
        count += 1
    return count


@contextmanager
def replacing(path: Path) -> Generator[TextIO]:
    """A stream whose text becomes the file when the block ends well; otherwise the file stays as it was.

    Only the user may read the file. `PasError` when it cannot be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    except OSError as error:
        raise PasError(f"{path} cannot be written ({error.strerror}).") from None
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise PasError(f"{path} cannot be written ({error.strerror}).") from None
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()
