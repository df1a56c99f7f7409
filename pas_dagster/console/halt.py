"""`pas halt`, `pas resume`, `pas arm`: who may send orders."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import date, timedelta
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from pas_dagster import postgres, present
from pas_dagster.console.who import user
from pas_dagster.errors import PasError
from pas_dagster.execution.account import connected
from pas_dagster.execution.brokers.base import Broker
from pas_dagster.execution.brokers.postgres_store import PostgresStore
from pas_dagster.execution.brokers.simulated import Book, SimulatedBroker
from pas_dagster.execution.market import CorporateAction, Tape
from pas_dagster.ledger import halts, tables
from pas_dagster.ledger.halts import Arm
from pas_dagster.ledger.store import Ledger
from pas_dagster.settings import Settings, read_home

OURS = "pas-"  # how the id of every order of ours begins


def halt(chosen: Settings, reason: str, *, cancel_open: bool) -> None:
    """Halt every account: first the file, which needs no database, then the rows. It never sells anything."""
    file = _file(chosen)
    who, now = user(), present.now(chosen)
    try:
        halts.write_file(file, f"{who}, {now:%Y-%m-%d %H:%M} UTC: {reason}")
    except OSError as error:
        _say(f"{file} cannot be written ({error.strerror}); the ledger is told all the same.")
    with ExitStack() as stack:
        try:
            ledger = stack.enter_context(_ledger(chosen))
            accounts = _accounts(ledger)
            for account in accounts:
                ledger.halt(account.id, who, reason, now)
        except (PasError, SQLAlchemyError) as error:
            raise PasError(_untold(file, error)) from None
        names = ", ".join(account.id for account in accounts)
        _say(f"Halted: {names}." if accounts else "Halted. No account was opened yet; none opens while it lasts.")
        if cancel_open:
            _cancel(chosen, ledger, accounts)
        else:
            _say("Orders at the broker stay there; `pas halt --cancel-open` cancels them.")
    _say("Go on with `pas resume`.")


def _untold(file: Path, error: Exception) -> str:
    why = str(error) if isinstance(error, PasError) else type(error).__name__  # the server's words may hold an address
    state = f"The file {file} halts its accounts by itself" if file.exists() else "Nothing is halted"
    return f"{state}, but the ledger could not be told: {why}"


def resume(chosen: Settings, reason: str) -> None:
    """End every halt of this home: the rows, then the file."""
    file, who, now = _file(chosen), user(), present.now(chosen)
    with _ledger(chosen) as ledger:
        found = [account for account in _accounts(ledger) if account.halted is not None]
        for account in found:
            ledger.clear_halt(account.id, who, reason, now)
            _say(
                f"{account.id} goes on; it was halted since {account.halted:%Y-%m-%d %H:%M} UTC: {account.halt_reason}"
            )
    said = halts.file_says(file)
    try:
        removed = halts.remove_file(file)
    except OSError as error:
        raise PasError(f"{file} cannot be removed ({error.strerror}), so it still halts every account.") from None
    if removed:
        _say(f"Removed {file}: {said}")
    elif not found:
        _say("Nothing was halted.")


def arm(chosen: Settings, minutes: int, account: str | None, broker_account: str | None) -> None:
    """Let a live account send orders for some minutes; for none of them, disarm it."""
    _file(chosen)
    who, now = user(), present.now(chosen)
    with _ledger(chosen) as ledger:
        for name in _live(ledger, account, every=minutes == 0):
            wanted = Arm(name, broker_account or name, now, now + timedelta(minutes=minutes), who)
            ledger.run(lambda connection, wanted=wanted: halts.arm(connection, wanted))
            if minutes:
                owner = wanted.broker_account
                _say(f"{name} may send until {wanted.until:%H:%M} UTC, as account {owner!r} at the broker.")
            else:
                _say(f"{name} is disarmed.")


def _live(ledger: Ledger, account: str | None, *, every: bool) -> list[str]:
    """The accounts that are meant: the one named, the only live one, or every live one."""
    if account is not None:
        return [account]
    names = [one.id for one in _accounts(ledger) if one.mode == "live"]
    if not names:
        raise PasError("There is no live account in this home; its first run opens it.")
    if len(names) > 1 and not every:
        raise PasError(f"There are several live accounts ({', '.join(names)}); name one with --account.")
    return names


def _cancel(chosen: Settings, ledger: Ledger, accounts: Sequence[sa.Row]) -> None:
    """Cancel what is ours and open at the brokers; whatever fails, the others are still cancelled."""
    failed = []
    for account in accounts:
        try:
            with _broker(chosen, ledger, account) as broker:
                orders = [order for order in broker.open_orders() if order.cid.startswith(OURS)]
                for order in orders:
                    broker.cancel(order.cid)
            _say(f"{account.id}: asked to cancel {len(orders)} open orders.")
        except PasError as error:
            failed.append(f"{account.id}: {error}")
    if failed:
        raise PasError(f"Halted, but open orders remain. {' '.join(failed)}")


@contextmanager
def _broker(chosen: Settings, ledger: Ledger, account: sa.Row) -> Generator[Broker]:
    if account.broker == "simulated":
        # Its books are written by whoever runs the account; that one stops at its next order, and ends.
        with ledger.lock(account.id):
            store = PostgresStore(ledger, account.id, Book(account.opened, account.capital))
            yield SimulatedBroker(account.id, store, Tape(_NoMarket()), 0)
        return
    if account.broker not in ("alpaca", "ibkr"):
        raise PasError(f"Orders at {account.broker} cannot be cancelled from here.")
    with connected(_settings_of(chosen, account)) as broker:
        yield broker


def _settings_of(chosen: Settings, account: sa.Row) -> Settings:
    """The settings for an account; an address that they name belongs to the account that they name."""
    own = (chosen.broker, chosen.broker_mode) == (account.broker, account.mode)
    named = {"broker": account.broker, "broker_mode": account.mode}
    return chosen.model_copy(update=named if own else named | {"broker_url": None, "broker_data_url": None})


class _NoMarket:
    """Cancelling needs no prices."""

    def reference(self, decision: date) -> Mapping[str, float]:
        return {}

    def closes(self, session: date) -> Mapping[str, float]:
        return {}

    def actions(self, session: date) -> Sequence[CorporateAction]:
        return ()


def _accounts(ledger: Ledger) -> Sequence[sa.Row]:
    table = tables.account
    return ledger.run(lambda connection: connection.execute(sa.select(table).order_by(table.c.id)).all())


@contextmanager
def _ledger(chosen: Settings) -> Generator[Ledger]:
    with postgres.running(chosen) as url, closing(Ledger(url)) as ledger:
        yield ledger


def _file(chosen: Settings) -> Path:
    if not read_home(chosen.home):
        raise PasError(f"There is no data in {chosen.home} yet. Try: pas demo")
    return chosen.home / halts.HALT_FILE


def _say(text: str) -> None:
    if text:
        Console(highlight=False, markup=False, soft_wrap=True).print(text)
