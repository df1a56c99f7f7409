"""Posting is idempotent and balanced; balances are the sums of entries; one executor per account."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from pas_dagster.errors import PasError
from pas_dagster.ledger import journal, tables
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.store import Ledger

DAY = date(2024, 1, 2)
SPEC = AccountSpec("sim", opened=DAY)
NOW = datetime(2024, 1, 2, 21, tzinfo=UTC)
numbers = st.integers(1, 10**12)
fills = st.builds(
    lambda n, sleeve, quantity, price, notional, fee: journal.fill(
        f"e{n}", "c", DAY, sleeve, "AAA", quantity, price, notional, fee
    ),
    st.integers(0, 30),
    st.sampled_from(["one", "two"]),
    numbers,
    numbers,
    numbers,
    st.integers(0, 10**9),
)
transfers = st.builds(
    lambda n, amount: journal.transfer(f"b{n}", DAY, "one", amount), st.integers(0, 9), st.integers(-(10**12), 10**12)
)


def rows(ledger: Ledger, table: sa.Table) -> list:
    return ledger.run(lambda connection: sorted(map(tuple, connection.execute(sa.select(table)))))


def post(ledger: Ledger, *transactions: journal.Transaction) -> int:
    return ledger.run(lambda connection: ledger.post(connection, SPEC.id, 1, transactions))


@given(st.lists(st.one_of(fills, transfers), max_size=20))
def test_every_transaction_balances(transactions: list[journal.Transaction]) -> None:
    assert journal.unbalanced(transactions) == []


def test_posting_twice_changes_nothing(ledger: Ledger) -> None:
    ledger.open_account(SPEC)
    ours = (journal.deposit("opening", DAY, 10**9), journal.fill("e", "c", DAY, "one", "AAA", 5, 7, 11, 1))
    assert post(ledger, *ours) == 2
    before = [rows(ledger, table) for table in (tables.txn, tables.entry, tables.balance)]
    assert post(ledger, *ours) == 0
    assert [rows(ledger, table) for table in (tables.txn, tables.entry, tables.balance)] == before


@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.one_of(fills, transfers), max_size=8), max_size=4))
def test_balances_are_what_the_entries_say(ledger: Ledger, posts: list[list[journal.Transaction]]) -> None:
    ledger.open_account(SPEC)
    for transactions in posts:
        post(ledger, *transactions)
    balances, rebuilt = ledger.run(
        lambda connection: (ledger.balances(connection, SPEC.id, 1), ledger.rebuild(connection, SPEC.id, 1))
    )
    assert balances == rebuilt


def test_an_unbalanced_transaction_is_refused_twice(ledger: Ledger) -> None:
    ledger.open_account(SPEC)
    crooked = journal.deposit("x", DAY, 5)._replace(entries=(("one", "$", 5), ("@world", "$", -4)))
    with pytest.raises(ValueError, match="sum to zero"):
        post(ledger, crooked)
    post(ledger, journal.deposit("ok", DAY, 5))
    number = rows(ledger, tables.txn)[0][0]
    with pytest.raises(IntegrityError, match="sum to zero"):
        ledger.run(
            lambda connection: connection.execute(
                sa.insert(tables.entry).values(txn=number, sleeve="one", asset="$", amount=1)
            )
        )


def test_rows_without_what_they_refer_to_are_refused(ledger: Ledger) -> None:
    values = {"txn": 12345, "sleeve": "one", "asset": "$", "amount": 0}
    with pytest.raises(IntegrityError, match="refers to no txn"):
        ledger.run(lambda connection: connection.execute(sa.insert(tables.entry).values(**values)))


def test_a_sleeve_cannot_be_short(ledger: Ledger) -> None:
    ledger.open_account(SPEC)
    with pytest.raises(IntegrityError, match="no_short"):
        post(ledger, journal.fill("e", "c", DAY, "one", "AAA", -5, 7, 11, 1))
    assert rows(ledger, tables.txn) == []


def test_a_serialization_failure_is_tried_again(ledger: Ledger) -> None:
    ledger.open_account(SPEC)
    barrier = threading.Barrier(2, timeout=10)
    tries: list[int] = []

    def add(name: str) -> None:
        waited = []

        def work(connection: sa.Connection) -> None:
            tries.append(1)
            ledger.balances(connection, SPEC.id, 1)
            if not waited:
                waited.append(1)
                barrier.wait()
            ledger.post(connection, SPEC.id, 1, [journal.deposit(name, DAY, 5)])

        ledger.run(work)

    threads = [threading.Thread(target=add, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    balances = ledger.run(lambda connection: ledger.balances(connection, SPEC.id, 1))
    assert balances["@treasury"] == {"$": 10}
    assert len(tries) > 2


def test_a_second_run_waits_and_then_gives_up(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pas_dagster.ledger.store.LOCK_WAIT_SECONDS", 0.1)
    with ledger.lock("sim"):
        with ledger.lock("other"):
            pass
        with pytest.raises(PasError, match="working on account"), ledger.lock("sim"):
            pass
    with ledger.lock("sim"):
        pass


def test_a_halted_account_does_not_open(ledger: Ledger) -> None:
    ledger.open_account(SPEC)
    ledger.halt(SPEC.id, "me", "looks odd", NOW)
    with pytest.raises(PasError, match="looks odd"):
        ledger.open_account(SPEC)
    ledger.clear_halt(SPEC.id, "me", "was fine", NOW)
    assert ledger.open_account(SPEC) == 1
    assert len(rows(ledger, tables.halt)) == 2


def test_an_account_stays_what_it_is(ledger: Ledger) -> None:
    ledger.open_account(SPEC)
    with pytest.raises(PasError, match="simulated account"):
        ledger.open_account(AccountSpec("sim", broker="alpaca", mode="paper", opened=DAY))
