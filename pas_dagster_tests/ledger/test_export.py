"""The trade log: every execution once, exact to the last digit, and a file that is whole or not there."""

from __future__ import annotations

import csv
import doctest
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
import sqlalchemy as sa

from pas_dagster import calendar
from pas_dagster.errors import PasError
from pas_dagster.execution import outside
from pas_dagster.execution.brokers.postgres_store import connect
from pas_dagster.execution.executor import run_batch
from pas_dagster.execution.market import CorporateAction
from pas_dagster.execution.replay import replay
from pas_dagster.ledger import batches, export, journal, tables, units
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.export import Trade, lines, replacing, trades
from pas_dagster.ledger.records import Execution, Mark, Record
from pas_dagster.ledger.store import Ledger
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.world import SESSIONS

DAYS = SESSIONS[:10]
TRADE = Trade("2024-01-02T21:00:00Z", "AAA", "buy", "0.000000001", "0.1", None, "-5")


@pytest.fixture
def traded(ledger: Ledger) -> Ledger:
    market = world.market()
    market.events[SESSIONS[2]] = [CorporateAction("dividend", "CCC", 0.37)]
    replay(ledger, world.spec(), world.targets(), DAYS, market)
    return ledger


def test_every_execution_is_there_once_with_what_the_broker_said(traded: Ledger) -> None:
    rows = traded.run(
        lambda c: c.execute(
            sa.select(tables.execution, tables.orders.c.symbol, tables.orders.c.side).join(
                tables.orders, tables.orders.c.cid == tables.execution.c.cid
            )
        ).all()
    )
    expected = sorted((row.symbol, row.side, row.quantity, row.price) for row in rows)
    got = sorted(
        (one.symbol, one.side, units.shares(one.qty), units.money(one.price)) for one in trades(traded, "sim", 1)
    )
    assert got == expected
    assert len(got) > 10


def test_cash_left_ends_at_the_cash_of_the_books_and_nav_is_the_mark(traded: Ledger) -> None:
    """The last trade of a session leaves what the session's mark says, since nothing else moves cash after it."""
    found = list(trades(traded, "sim", 1))
    mark, batch = tables.mark, tables.batch
    marks = traded.run(
        lambda c: {
            row.session.isoformat(): row
            for row in c.execute(sa.select(batch.c.session, mark).join(batch, batch.c.id == mark.c.batch))
        }
    )
    last: dict[str, Trade] = {one.timestamp[:10]: one for one in found}
    assert len(last) > 2
    for day, one in last.items():
        assert units.money(one.cash_left) == marks[day].cash
        assert units.money(str(one.nav)) == marks[day].equity


def test_cash_moves_by_what_was_paid_and_the_fee(traded: Ledger) -> None:
    first, second = list(trades(traded, "sim", 1))[:2]
    paid = Decimal(second.qty) * Decimal(second.price)
    fee = paid * Decimal("0.0005")
    assert Decimal(first.cash_left) - Decimal(second.cash_left) == pytest.approx(paid + fee, abs=Decimal("0.00001"))
    assert first.timestamp == "2024-01-02T21:00:00Z"  # 16:00 in New York


def test_the_present_reads_as_history_does(ledger: Ledger) -> None:
    market = world.market()
    replay(ledger, world.spec(id="past"), world.targets(), SESSIONS[:2], market)
    for day in SESSIONS[:2]:
        spec = world.spec()
        broker = connect(ledger, spec, market)
        run_batch(ledger, spec, world.targets()[day], day, market, broker, lambda: datetime(2024, 1, 3, 12, tzinfo=UTC))
    present, past = list(trades(ledger, "sim", 1)), list(trades(ledger, "past", 1))
    assert sorted(one._replace(cash_left="") for one in present) == sorted(one._replace(cash_left="") for one in past)
    assert present[-1].cash_left == past[-1].cash_left


def test_a_session_that_is_not_marked_has_no_nav(traded: Ledger) -> None:
    with traded.engine.begin() as connection:
        connection.execute(sa.delete(tables.mark))
    assert {one.nav for one in trades(traded, "sim", 1)} == {None}


def test_an_execution_has_its_own_time_where_there_is_one(traded: Ledger) -> None:
    """Only one is known here; the others are told with the close of their session."""
    first = traded.run(lambda c: c.scalar(sa.select(sa.func.min(tables.execution.c.id))))
    with traded.engine.begin() as connection:
        connection.execute(sa.text("set local session_replication_role = replica"))  # past the guard
        at = datetime(2024, 1, 2, 14, 31, 7, 250_000, UTC)
        connection.execute(sa.update(tables.execution).values(at=at).where(tables.execution.c.id == first))
    told = {one.timestamp for one in trades(traded, "sim", 1) if one.timestamp.startswith("2024-01-02")}
    assert told == {"2024-01-02T14:31:07.250000Z", "2024-01-02T21:00:00Z"}


@pytest.fixture
def half_day(ledger: Ledger) -> date:
    """A session with an early close, in which two batches are marked and a person sold by hand."""
    day = date(2024, 7, 3)
    ledger.open_account(AccountSpec("sim", opened=day))
    bought = journal.fill("own", "", day, "one", "AAA", units.shares(3), 5, 15, 0)
    balances: journal.Balances = {}
    journal.apply(balances, [bought])
    other = Execution(
        "by-hand", "theirs", day, units.shares(2), units.money("7.5"), units.money(15), units.money("0.1")
    )
    sold = outside.foreign(balances, other, "AAA", "sell")
    records = []
    for key, equity in ((f"{day}/close/one/AAA", 1), (f"{day}/rebalance", 2), (f"{day}/close/two/AAA", 3)):
        mark = Mark(units.money(equity), 0, 0, 0, 0, 0, 0)
        records.append(Record(day, key, "h", (), calendar.closing(day), state="done", mark=mark))
    records[0].transactions = [journal.deposit("d", day, units.money(100)), bought, *sold]
    ledger.run(lambda connection: batches.write(ledger, connection, "sim", 1, records))
    return day


def test_a_trade_of_another_hand_is_a_trade_of_the_account(ledger: Ledger, half_day: date) -> None:
    told = list(trades(ledger, "sim", 1))
    assert [(one.symbol, one.side, one.qty, one.price) for one in told][1:] == [("AAA", "sell", "2", "7.5")]
    assert told[1].cash_left == "114.899985"  # 100 - 0.000015 + 15 - 0.1


def test_a_session_is_told_with_its_close_and_its_rebalance(ledger: Ledger, half_day: date) -> None:
    assert {one.timestamp for one in trades(ledger, "sim", 1)} == {f"{half_day}T17:00:00Z"}  # 13:00 in New York
    assert {one.nav for one in trades(ledger, "sim", 1)} == {"2"}


def test_only_the_account_and_generation_asked_for(traded: Ledger) -> None:
    replay(traded, world.spec(id="other"), world.targets(), DAYS[:1], world.market())
    ours = list(trades(traded, "sim", 1))
    assert list(trades(traded, "sim", 2)) == []
    assert 0 < len(list(trades(traded, "other", 1))) < len(ours)


def test_both_formats_say_the_same_in_exact_text(traded: Ledger) -> None:
    expected = [one._asdict() for one in trades(traded, "sim", 1)]
    told = [json.loads(line) for line in lines(trades(traded, "sim", 1), "ndjson")]
    assert told == expected
    text = "".join(lines(trades(traded, "sim", 1), "csv"))
    assert list(csv.DictReader(StringIO(text))) == [{**one, "nav": one["nav"] or ""} for one in expected]
    assert text.splitlines()[0] == "timestamp,symbol,side,qty,price,nav,cash_left"
    assert all(isinstance(value, str) for row in told for value in row.values())


def test_smallest_numbers_stay_exact() -> None:
    assert list(lines(iter([TRADE]), "csv"))[1] == "2024-01-02T21:00:00Z,AAA,buy,0.000000001,0.1,,-5\n"
    assert json.loads(next(lines(iter([TRADE]), "ndjson")))["nav"] is None


@pytest.mark.parametrize(
    "symbol", ["=1+1", "+A", "-A", "@A", "\t=A", "\r=A", "\n=A", "\0=A", "＝A", " =A", "\ufeff=A", "\xa0=A"]
)
def test_no_symbol_is_a_formula_in_a_spreadsheet(symbol: str) -> None:
    text = "".join(lines(iter([TRADE._replace(symbol=symbol)]), "csv"))
    assert list(csv.DictReader(StringIO(text, newline="")))[0]["symbol"] == "'" + symbol.strip("\t\r\n\0 \ufeff\xa0")


def test_rows_are_read_as_they_are_asked_for(traded: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "BUFFER", 1)
    rows = trades(traded, "sim", 1)
    next(rows)
    rows.close()  # lets the connection go
    assert traded.engine.pool.checkedout() == 0
    assert len(list(trades(traded, "sim", 1))) > 10


def test_a_file_is_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("before")

    def failing() -> Iterator[str]:
        yield "half"
        raise RuntimeError("the server went away")

    with pytest.raises(RuntimeError), replacing(path) as stream:
        export.write(failing(), stream)
    assert path.read_text() == "before"
    with replacing(path) as stream:
        assert export.write(iter(["a\n", "b\n"]), stream) == 2
    assert path.read_text() == "a\nb\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["log.csv"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PasError, match="cannot be written"), replacing(tmp_path / "no" / "log.csv"):
        pass
    (tmp_path / "folder").mkdir()
    with pytest.raises(PasError, match="cannot be written"), replacing(tmp_path / "folder"):
        pass
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    with pytest.raises(PasError, match="No space left"), replacing(path):
        raise OSError(28, "No space left on device")
    assert not path.exists()


def test_examples_of_the_documentation() -> None:
    assert doctest.testmod(export).failed == 0
    assert export.timestamp(datetime(2024, 1, 2, 16, tzinfo=UTC)) == "2024-01-02T16:00:00Z"
