"""The trade log for other programs: NDJSON or CSV, one line for each execution, exact decimals as text.

* `timestamp`: when the execution was, in UTC. Where its time is not known (history, and trades of another hand), the
  close of its session, early closes included.
* `symbol`, `side`, `qty` (shares, unsigned), `price` (USD per share).
* `nav`: value of the account as that session is marked, USD: at its closes once they are known. Empty before, and for
  a session in which nothing was decided.
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
from datetime import UTC, date, datetime
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Literal, NamedTuple, TextIO

import sqlalchemy as sa

from pas_dagster import calendar
from pas_dagster.errors import PasError
from pas_dagster.ledger import tables, units
from pas_dagster.ledger.journal import CASH, TREASURY
from pas_dagster.ledger.store import Ledger

Format = Literal["ndjson", "csv"]
BUFFER = 10_000
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
    txn, entry, execution = tables.txn, tables.entry, tables.execution
    own = sa.or_(entry.c.sleeve.not_like("@%"), entry.c.sleeve == TREASURY)
    moved = (
        sa.select(entry.c.txn, sa.cast(sa.func.sum(entry.c.amount), sa.BigInteger).label("cash"))
        .where(entry.c.asset == CASH, own)
        .group_by(entry.c.txn)
        .subquery()
    )
    marked = _marks(account, generation)
    said = [txn.c[name] for name in ("execution", "session", "symbol", "quantity", "price")]
    return (
        sa.select(*said, sa.func.coalesce(moved.c.cash, 0).label("cash"), execution.c.at, marked.c.equity)
        .outerjoin(moved, moved.c.txn == txn.c.id)
        .outerjoin(execution, sa.and_(execution.c.id == txn.c.execution, execution.c.cid == txn.c.cid))
        .outerjoin(marked, marked.c.session == txn.c.session)
        .where(txn.c.account == account, txn.c.generation == generation)
        .order_by(txn.c.id)
    )


def _marks(account: str, generation: int) -> sa.Subquery:
    """The account's value by session: as its rebalance is marked, else as the last other batch is."""
    batch, mark = tables.batch, tables.mark
    return (
        sa.select(batch.c.session, mark.c.equity)
        .distinct(batch.c.session)
        .join(mark, mark.c.batch == batch.c.id)
        .where(batch.c.account == account, batch.c.generation == generation)
        .order_by(batch.c.session, batch.c.key.like("%/rebalance").desc(), batch.c.id.desc())
        .subquery()
    )


def _trade(row: sa.Row, quantity: int, cash: int) -> Trade:
    return Trade(
        timestamp(row.at or _closing(row.session)),
        row.symbol,
        "buy" if quantity > 0 else "sell",
        units.shares_text(abs(quantity)),
        units.money_text(row.price),
        None if row.equity is None else units.money_text(row.equity),
        units.money_text(cash),
    )


@lru_cache(maxsize=1)  # rows come session by session
def _closing(session: date) -> datetime:
    return calendar.closing(session)


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
    plain = "".join(letter for letter in text if letter.isprintable()).strip()
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
