"""The kill switch and the arm record: whether an account may send orders now, and who said so.

An account is halted by its row in the ledger **or** by the file `HALT` in the home: either one is enough, an empty file
too. A file that cannot be looked at halts as well. Live accounts send only while they are armed: the newest row of
`arm` has to name the very account that the broker answers for, and must not have expired.

Whoever marks an order as being sent asks here in the same transaction. The account's row is locked by that, and
halting, resuming, arming and disarming all change the row. So once one of them has returned, no order is marked that
it forbids; an order that was marked before may still be on its way.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from pas_dagster.errors import PasError
from pas_dagster.ledger import tables

HALT_FILE = "HALT"
LONGEST_REASON = 500
LONGEST_ARM = timedelta(hours=24)


class Arm(NamedTuple):
    """Who let an account trade live: for which account at the broker, and until when."""

    account: str
    broker_account: str
    at: datetime
    until: datetime
    who: str


def set_halt(connection: sa.Connection, account: str, who: str, why: str, at: datetime, *, halted: bool) -> None:
    """Halt an account or let it go on. A halted account keeps its first reason; every event stays on record."""
    table = tables.account
    if halted:
        values = {
            "halted": sa.func.coalesce(table.c.halted, at),
            "halt_reason": sa.func.coalesce(table.c.halt_reason, why),
        }
    else:
        values = {"halted": None, "halt_reason": None}
    connection.execute(sa.update(table).where(table.c.id == account).values(values))
    connection.execute(sa.insert(tables.halt).values(account=account, at=at, who=who, halted=halted, why=why))


def why_halted(connection: sa.Connection, account: str, file: Path | None) -> str:
    """Why the account may not send, in one sentence; empty when it may. Locks the account's row until the end."""
    reason = file_says(file)
    table = tables.account
    row = connection.execute(
        sa.select(table.c.halted, table.c.halt_reason).where(table.c.id == account).with_for_update(read=True)
    ).one_or_none()
    if row is not None and row.halted is not None:
        return (
            f"Account {account!r} has been halted since {row.halted:%Y-%m-%d %H:%M} UTC: {row.halt_reason}. "
            f"Find the cause, then run `pas resume`."
        )
    return f"Account {account!r} is halted by the file {file}: {reason}. `pas resume` removes it." if reason else ""


def file_says(file: Path | None) -> str:
    """What the halt file says; empty when there is none, or when none is watched."""
    if file is None:
        return ""
    try:
        if not file.parent.is_dir():
            return f"the folder {file.parent} is not there, so nobody can tell"
        file.lstat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"it cannot be looked at ({error.strerror})"
    try:
        with file.open("rb") as opened:
            text = opened.read(LONGEST_REASON).decode("utf-8", "replace")
    except OSError:
        text = ""
    return " ".join(text.split()).rstrip(".") or "it gives no reason"


def write_file(file: Path, text: str) -> None:
    """Halt by the file. What it says is for people; that it is there is what halts."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text[:LONGEST_REASON] + "\n")
        opened.flush()
        os.fsync(opened.fileno())


def remove_file(file: Path) -> bool:
    """Take the halt file away; whether there was one."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True


def arm(connection: sa.Connection, wanted: Arm) -> None:
    """Let a live account send until a time; a time that is not in the future disarms it.

    Raises `PasError` when the account is unknown or not live, and `ValueError` for more than a day.
    """
    if wanted.until - wanted.at > LONGEST_ARM:
        raise ValueError(f"an account is armed for at most {LONGEST_ARM}, not {wanted.until - wanted.at}")
    table = tables.account
    # The row gets a new version: a transaction that began before and marks an order afterwards has to start again.
    touched = sa.update(table).where(table.c.id == wanted.account).values(mode=table.c.mode).returning(table.c.mode)
    mode = connection.execute(touched).scalar_one_or_none()
    if mode is None:
        raise PasError(f"There is no account {wanted.account!r} in the ledger; its first run opens it.")
    if mode != "live":
        raise PasError(f"Account {wanted.account!r} is a {mode} account; only live accounts are armed.")
    connection.execute(sa.insert(tables.arm).values(wanted._replace(until=max(wanted.at, wanted.until))._asdict()))


def newest_arm(connection: sa.Connection, account: str) -> Arm | None:
    """The arm record that counts."""
    table = tables.arm
    columns = [table.c[name] for name in Arm._fields]
    row = connection.execute(
        sa.select(*columns).where(table.c.account == account).order_by(table.c.id.desc()).limit(1)
    ).one_or_none()
    return None if row is None else Arm(*row)


def why_unarmed(found: Arm | None, broker_account: str, now: datetime) -> str:
    """Why an arm record does not let the account at the broker send, in one sentence; empty when it does."""
    if found is None:
        return "The account was never armed; run `pas arm`."
    if not broker_account or found.broker_account != broker_account:
        return f"The arm record is for account {found.broker_account!r} at the broker, who answers for another one."
    if now >= found.until:
        return f"The arm record expired at {found.until:%Y-%m-%d %H:%M} UTC; run `pas arm`."
    if now < found.at:
        return f"The arm record is of {found.at:%Y-%m-%d %H:%M} UTC, which is still to come: a clock is wrong."
    return ""
