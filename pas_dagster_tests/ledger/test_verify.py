"""Sound books have no difference, whatever happened to them; every way of spoiling them is found."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from pas_dagster.execution import outside
from pas_dagster.execution.brokers.base import NonTrade
from pas_dagster.execution.brokers.postgres_store import connect
from pas_dagster.execution.executor import run_batch
from pas_dagster.execution.market import CorporateAction
from pas_dagster.execution.replay import replay
from pas_dagster.ledger import journal, seen, tables
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.records import Execution
from pas_dagster.ledger.store import Ledger
from pas_dagster.ledger.verify import SHOWN, checks, verify
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.world import SESSIONS
from pas_dagster_tests.ledger.database import execute, fresh, other

DAY = date(2024, 1, 2)
pytestmark = pytest.mark.xdist_group("verify")


def faults(ledger: Ledger) -> dict[str, tuple[str, ...]]:
    return {one.name: one.differences for one in verify(ledger) if one.count}


@pytest.fixture(scope="module")
def traded(server: str) -> Iterator[str]:
    """Name of a database in which an account has two generations of history, then a session of today."""
    execute(server, "create database traded template template_ledger")
    opened, market = Ledger(other(server, "traded")), world.market()
    world.act(market, SESSIONS[2], CorporateAction("split", "AAA", 2.0))
    market.events[SESSIONS[3]] = [CorporateAction("dividend", "CCC", 0.37)]
    spec, days = world.spec(), SESSIONS[:5]
    replay(opened, spec, world.targets(), days, market)
    market.bars[SESSIONS[1]]["BBB"] += 1.0
    assert replay(opened, spec, world.targets(), days, market).generation == 2
    live = connect(opened, spec, market)
    now = datetime(2024, 1, 9, 15, tzinfo=UTC)
    run_batch(opened, spec, world.targets()[SESSIONS[5]], SESSIONS[5], market, live, lambda: now)
    known = world.Tables({d: b for d, b in market.bars.items() if d < SESSIONS[13]}, market.events)
    for day in SESSIONS[6:14]:  # the last one rests: orders are at the broker
        live = connect(opened, spec, known)
        run_batch(opened, spec, world.targets()[day], day, known, live, lambda: now + timedelta(days=13))
    opened.run(lambda connection: meddle(opened, connection))
    opened.close()
    yield "traded"


def meddle(ledger: Ledger, connection: sa.Connection) -> None:
    """A position that was there before, a person's trade, a dividend and a deposit, as a real broker shows them."""
    day, own = SESSIONS[13], ("sim", 2)
    balances = ledger.balances(connection, *own)
    there = journal.adopt(day, "OLD", 7, 10**9)
    journal.apply(balances, [there])
    sold = Execution("by-hand", "theirs", day, 10**9, 10**6, 10**6, 3)
    events = [
        NonTrade("n1", "n1", "dividend", day, "CCC", 0, 11),
        NonTrade("n2", "n2", "transfer", day, "", 0, 500),
        NonTrade("n3", "n3", "symbol_change", day, "OLD", -7, 0),
        NonTrade("n4", "n3", "symbol_change", day, "NEW", 7, 0),
    ]
    booked = [there, *outside.foreign(balances, sold, "CCC", "sell"), *outside.non_trades(balances, events)]
    ledger.post(connection, *own, booked)
    noted = [seen.Seen(one.id, one.kind, one.day, one.symbol, one.quantity, one.cash) for one in events]
    noted += [
        seen.Seen("by-hand", "foreign", day, "CCC", -(10**9), 10**6 - 3),
        seen.Seen("earlier", "before:foreign", day, "OLD", 7, -7),
    ]
    seen.note(connection, *own, noted)


@pytest.fixture
def books(server: str, traded: str) -> Iterator[Ledger]:
    for url in fresh(server, f"template {traded}"):
        opened = Ledger(url)
        yield opened
        opened.close()


@pytest.fixture
def kept(server: str, traded: str) -> Iterator[sa.Connection]:
    """A transaction in those books that comes to nothing."""
    engine = sa.create_engine(other(server, traded), isolation_level="REPEATABLE READ", poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield connection
        connection.rollback()


def test_sound_books_have_no_difference(books: Ledger) -> None:
    assert books.run(lambda c: c.scalar(sa.text("select count(*) from ledger.orders where state = 'working'"))) > 0
    found = verify(books)
    assert faults(books) == {}
    assert len({one.name for one in found}) == len(found) == 15
    assert all(one.seen[0] != "0" for one in found)


def test_empty_books_are_sound(ledger: Ledger) -> None:
    assert faults(ledger) == {}


def test_verifying_changes_nothing_and_waits_for_nobody(books: Ledger) -> None:
    with books.engine.begin() as connection:
        connection.execute(sa.text("update ledger.account set capital = capital"))
        connection.execute(sa.text("update ledger.balance set amount = amount"))
        assert faults(books) == {}


BALANCES = {"balances and the journal", "both sides of the books", "balances, added up by hand"}
TOTALS = "positions and cash, added up by hand"
SPOILT = {
    "a balance is a unit off": (
        "update ledger.balance set amount = amount + 1 where sleeve = 'beta' and asset = 'CCC' and generation = 2",
        {*BALANCES, TOTALS},
    ),
    "cash is a unit off": (
        "update ledger.balance set amount = amount - 1 where sleeve = '@treasury'",
        {*BALANCES, TOTALS},
    ),
    "a balance was moved between sleeves": (
        "update ledger.balance set amount = amount + case sleeve when 'alpha' then 5 else -5 end "
        "where asset = '$' and sleeve in ('alpha', 'beta') and generation = 2",
        BALANCES - {"both sides of the books"},
    ),
    "the world was spoilt": (
        "update ledger.balance set amount = amount + 1 where sleeve = '@world' and asset = 'AAA' and generation = 1",
        BALANCES,
    ),
    "a balance is gone": (
        "delete from ledger.balance where sleeve = 'alpha' and asset = 'AAA' and generation = 2",
        {*BALANCES, TOTALS, "open sells and holdings"},
    ),
    "an entry was changed": (
        "update ledger.entry set amount = amount + 1 where (txn, sleeve, asset) = (select txn, sleeve, asset from "
        "ledger.entry where sleeve = 'alpha' and asset = 'AAA' order by txn limit 1)",
        {"double entry", "transactions and their entries", *BALANCES - {"both sides of the books"}, TOTALS},
    ),
    "an entry is gone": (
        "delete from ledger.entry where sleeve = '@fees' and txn = "
        "(select max(id) from ledger.txn where kind = 'fill')",
        {"double entry", *BALANCES - {"both sides of the books"}},
    ),
    "a transaction is gone": (
        "delete from ledger.txn where id = (select max(id) from ledger.txn where kind = 'fill')",
        {"double entry", *BALANCES - {"both sides of the books"}, TOTALS, "executions and the journal"},
    ),
    "a transaction and its entries are gone": (
        "delete from ledger.entry where txn = (select max(id) from ledger.txn where kind = 'fill'); "
        "delete from ledger.txn where id = (select max(id) from ledger.txn where kind = 'fill')",
        {*BALANCES - {"both sides of the books"}, TOTALS, "executions and the journal"},
    ),
    "a transaction says another quantity": (
        "update ledger.txn set quantity = quantity + 1 where id = (select max(id) from ledger.txn where kind = 'fill')",
        {"transactions and their entries", "executions and the journal"},
    ),
    "a transaction says another fee": (
        "update ledger.txn set fee = fee + 1, notional = notional - sign(quantity)::bigint "
        "where id = (select max(id) from ledger.txn where kind = 'fill')",
        {"executions and the journal"},
    ),
    "an execution is gone": (
        "delete from ledger.execution where id = (select max(id) from ledger.execution)",
        {"orders and their executions", "executions and the journal"},
    ),
    "an execution has no order": (
        "insert into ledger.execution values ('x', 'nobody', '2024-01-02', 1, 1, 1, 0)",
        {"orders and their executions"},
    ),
    "an order says it filled more": (
        "update ledger.orders set filled = filled + 1 where cid = (select max(cid) from ledger.orders "
        "where state = 'working')",
        {"orders and their executions", "orders and their sleeves"},
    ),
    "a sleeve has more of an order": (
        "update ledger.alloc set filled = filled - 1 where (cid, sleeve) = "
        "(select cid, sleeve from ledger.alloc where filled > 0 order by 1, 2 limit 1)",
        {"orders and their sleeves", "executions and the journal"},
    ),
    "an order is in no state that there is": (
        "alter table ledger.orders drop constraint ck_orders_state; "
        "update ledger.orders set state = 'lost' where cid = (select min(cid) from ledger.orders "
        "where state = 'filled' and cid not in (select cid from ledger.order_event))",
        {"orders from state to state"},
    ),
    "an order was filled without being sent": (
        "delete from ledger.order_event where state in ('submitting', 'working') and cid = "
        "(select max(cid) from ledger.order_event where state = 'filled')",
        {"orders from state to state"},
    ),
    "an order lived on after its end": (
        "insert into ledger.order_event (cid, at, state, reason) select cid, at, state, '' from ledger.order_event "
        "where state = 'filled' order by cid limit 1",
        {"orders from state to state"},
    ),
    "an order was taken back": (
        "with one as (select cid from ledger.orders where state = 'working' order by cid limit 1), "
        "event as (insert into ledger.order_event (cid, at, state, reason) select cid, now(), 'planned', '' from one) "
        "update ledger.orders set state = 'planned' where cid in (select cid from one)",
        {"orders from state to state"},
    ),
    "a trade of another hand was not noted": (
        "delete from ledger.seen where id = 'by-hand'",
        {"things seen at the broker"},
    ),
    "a trade of another hand was booked with less": (
        "update ledger.seen set quantity = quantity - 1 where id = 'by-hand'",
        {"things seen at the broker"},
    ),
    "a dividend was not booked": (
        "insert into ledger.seen values ('sim', 2, 'n9', 'dividend', '2024-01-02', 'CCC', 0, 5)",
        {"things seen at the broker"},
    ),
    "a deposit at the broker is another amount": (
        "update ledger.seen set cash = cash + 1 where id = 'n2'",
        {"things seen at the broker"},
    ),
    "a position that was there says another quantity": (
        "update ledger.txn set quantity = quantity + 1 where kind = 'adopt'",
        {"transactions and their entries"},
    ),
    "an order changed its state": (
        "update ledger.orders set state = 'expired' where cid = (select max(cid) from ledger.orders "
        "where state = 'working')",
        {"orders and their events"},
    ),
    "a rejected order is filled": (
        "update ledger.orders set state = 'rejected' where cid = (select max(o.cid) from ledger.orders o "
        "join ledger.batch b on b.id = o.batch where generation = 1)",
        {"orders and their events"},
    ),
    "a done batch has an open order": (
        "update ledger.batch set state = 'done' where state = 'open'",
        {"orders and their events"},
    ),
    "an order is in another batch": (
        "update ledger.orders set batch = (select min(id) from ledger.batch) where cid = "
        "(select max(cid) from ledger.txn where generation = 2 and kind = 'fill')",
        {"executions and the journal"},
    ),
    "an open sell wants more than there is": (
        "update ledger.alloc set quantity = quantity * 1000 where cid in "
        "(select cid from ledger.orders where state = 'working' and side = 'sell'); "
        "update ledger.orders set quantity = quantity * 1000 where state = 'working' and side = 'sell'",
        {"open sells and holdings"},
    ),
}


@pytest.mark.parametrize("how", SPOILT)
def test_what_was_spoilt_is_found(kept: sa.Connection, how: str) -> None:
    statement, expected = SPOILT[how]
    kept.execute(sa.text("set local session_replication_role = replica"))  # past every trigger
    assert kept.execute(sa.text(statement)).rowcount != 0
    found = {one.name: one.differences for one in checks(kept) if one.count}
    assert set(found) - {"what is written stays"} == expected  # the server counts what came to nothing, too
    assert all(sentence for sentences in found.values() for sentence in sentences)


def test_a_counter_that_was_set_back_is_told(books: Ledger) -> None:
    books.run(lambda c: c.execute(sa.text("select setval('ledger.transaction_id', 5)")))
    assert set(faults(books)) == {"numbers and their counters"}


def test_a_history_rewritten_throughout_is_known_by_the_rows_that_went(books: Ledger) -> None:
    """Every sum agrees, and still something is gone."""
    with books.engine.begin() as connection:
        connection.execute(sa.text("set local session_replication_role = replica"))
        for table in ("entry", "execution", "order_event"):
            connection.execute(sa.text(f"delete from ledger.{table}"))  # noqa: S608
        for table in ("balance", "alloc", "orders", "intent", "txn", "seen"):
            connection.execute(sa.text(f"delete from ledger.{table}"))  # noqa: S608
    for _ in range(50):  # a server's counts come a moment after the commit
        if found := faults(books):
            break
        time.sleep(0.1)
    assert set(found) == {"what is written stays"}
    assert "deleted" in found["what is written stays"][0]


def test_a_guard_that_is_off_is_told(books: Ledger) -> None:
    with books.engine.begin() as connection:
        connection.execute(sa.text("alter table ledger.entry disable trigger append_only"))
        connection.execute(sa.text("drop trigger append_only on ledger.halt"))
    told = faults(books)["what is written stays"]
    assert ["ledger.entry" in told[0], "ledger.halt" in told[1]] == [True, True]


def test_only_the_first_differences_are_told_and_all_are_counted(books: Ledger) -> None:
    with books.engine.begin() as connection:
        changed = connection.execute(sa.text("update ledger.balance set amount = amount + 1")).rowcount
    found = {one.name: one for one in verify(books)}
    for name in ("balances and the journal", "balances, added up by hand"):
        assert found[name].count == changed
        assert len(found[name].differences) == SHOWN


def test_a_hundred_thousand_entries_take_seconds(ledger: Ledger) -> None:
    spec = AccountSpec("big", capital_usd=10**6, opened=DAY)
    ledger.open_account(spec)
    booked = [journal.deposit("opening", DAY, 10**12)]
    for at in range(20_000):
        sleeve, symbol = f"s{at % 25}", f"A{at % 500}"
        booked.append(journal.cross("b", DAY, sleeve, f"{symbol}-{at}"[:20], 10**9, 10**6, 10**6))
    booked += [journal.transfer(f"t{at}", DAY, f"s{at % 25}", 5) for at in range(10_000)]
    ledger.run(lambda connection: ledger.post(connection, "big", 1, booked))
    assert ledger.run(lambda c: c.scalar(sa.select(sa.func.count()).select_from(tables.entry))) > 100_000
    began = time.perf_counter()
    found = verify(ledger)
    took = time.perf_counter() - began
    assert took < 10
    assert [one.name for one in found if one.count] == []
