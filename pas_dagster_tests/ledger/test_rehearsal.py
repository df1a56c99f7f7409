"""What is booked in a rehearsal can be seen there, and is not there afterwards."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa

from pas_dagster.errors import PasError
from pas_dagster.ledger import journal, tables
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.rehearsal import rehearsed
from pas_dagster.ledger.store import Ledger

DAY = date(2024, 1, 2)
SPEC = AccountSpec("paper", broker="alpaca", mode="paper", opened=DAY)


def accounts(ledger: Ledger) -> list[str]:
    return ledger.run(lambda connection: list(connection.scalars(sa.select(tables.account.c.id))))


def test_bookings_are_seen_inside_and_gone_outside(ledger: Ledger) -> None:
    with rehearsed(ledger) as books:
        books.open_account(SPEC)
        booked = [journal.deposit("opening", DAY, 100)]
        assert books.run(lambda connection: books.post(connection, "paper", 1, booked)) == 1
        found = books.run(lambda connection: books.balances(connection, "paper", 1))
        assert found[journal.TREASURY] == {journal.CASH: 100}
        books.halt("paper", "me", "a test", datetime(2024, 1, 2, tzinfo=UTC))
        assert accounts(ledger) == []
    assert accounts(ledger) == []


def test_what_fails_is_taken_back_alone_and_an_error_ends_it_like_any_other(ledger: Ledger) -> None:
    with pytest.raises(PasError, match="not a simulated one"), rehearsed(ledger) as books:
        books.open_account(SPEC)
        with pytest.raises(sa.exc.IntegrityError):
            books.run(lambda connection: connection.execute(sa.insert(tables.account).values(id="x", broker="y")))
        assert accounts(books) == ["paper"]
        books.open_account(AccountSpec("paper", broker="simulated"))
    assert accounts(ledger) == []


def test_a_halted_account_can_be_looked_at(ledger: Ledger) -> None:
    ledger.open_account(SPEC)
    ledger.halt("paper", "me", "a test", datetime(2024, 1, 2, tzinfo=UTC))
    with pytest.raises(PasError, match="a test"):
        ledger.open_account(SPEC)
    assert ledger.open_account(SPEC, halted=True) == 1
