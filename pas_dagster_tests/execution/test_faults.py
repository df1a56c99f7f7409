"""The fault matrix (benchmarks/faulty): whatever happens, no order is lost and none is sent twice.

A cell of each kind in the fast tests, all of them in the slow ones (of the two largest groups every second), a part of
them on a packaged server; and small
changes of the engine, each of which has to be noticed.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from benchmarks.faulty import invariants, matrix, mutants
from benchmarks.faulty.cells import Cell, Verdict, judge, rehearse
from benchmarks.faulty.crashes import killed_at
from benchmarks.faulty.stage import Stage, staged
from pas_dagster.ledger import tables
from pas_dagster_tests.ledger.database import packaged_server

__all__ = ["packaged_server"]
MOST = ("kills", "reads")  # makers of so many cells that they are played in parts, side by side
PARTS = 4


@pytest.fixture(scope="module")
def stage(server: str) -> Iterator[Stage]:
    with staged(server) as found:
        rehearse(found)
        yield found


@pytest.fixture(scope="module")
def packaged_stage(packaged_server: str) -> Iterator[Stage]:
    with staged(packaged_server) as found:
        rehearse(found)
        yield found


def lost(verdicts: list[Verdict]) -> list[str]:
    """The cells that were not survived, each with what is wrong."""
    return [f"{one.cell.group}, {one.cell.name}: {one.problems[:3]}" for one in verdicts if one.problems]


def played(stage: Stage, cells: list[Cell]) -> list[str]:
    assert cells
    return lost([judge(stage, cell) for cell in cells])


def test_the_day_has_crosses_sells_and_buys(stage: Stage) -> None:
    with stage.firm() as firm:
        firm.trade()
        batch = max(row.id for row in firm.rows(tables.batch))
        intents = [row for row in firm.rows(tables.intent) if row.batch == batch]
        sides = [row.side for row in firm.rows(tables.orders) if row.batch == batch]
        parts = len(firm.book.fills)
    assert len(intents) == 8
    assert len({row.symbol for row in intents if row.crossed}) >= 2
    assert (sides.count("sell"), sides.count("buy")) == (3, 2)
    assert parts > 3 * len(sides)


@pytest.mark.parametrize(
    ("spoil", "breach"),
    [
        ("update ledger.orders set state = 'working', filled = filled", "I5"),
        ("update ledger.orders set filled = filled - 1", "I2"),
        ("update ledger.balance set amount = amount + 1 where asset = 'AAA'", "I3"),
        ("update ledger.balance set amount = amount + 1 where asset = '$'", "I4"),
        ("update ledger.balance set amount = amount + 1", "I6"),
    ],
)
def test_a_breach_is_told(stage: Stage, spoil: str, breach: str) -> None:
    with stage.firm() as firm:
        firm.trade()
        assert invariants.breaches(firm) == []
        with firm.ledger.engine.begin() as connection:
            connection.exec_driver_sql(spoil)
        assert any(one.startswith(breach) for one in invariants.breaches(firm))


def test_an_order_sent_twice_and_a_fill_not_booked_are_told(stage: Stage) -> None:
    with stage.other(unique=False).firm() as firm:
        firm.trade()
        first = next(iter(firm.book.orders.values()))
        firm.book.place(first.wish._replace(symbol="CCC", side="buy", quantity=Decimal(1)))
        firm.book.fills.append(firm.book.fills[-1]._replace(id="another"))
        found = invariants.breaches(firm)
    assert any(one.startswith("I1") for one in found)
    assert any(one.startswith("I7") for one in found)


def test_a_fault_that_does_not_happen_shows_nothing(stage: Stage) -> None:
    verdict = judge(stage, Cell("kill", "beyond the end", killed_at(10_000)))
    assert verdict.problems == ["the fault did not happen: point 10000 was not reached"]


@pytest.mark.parametrize("maker", [name for name in matrix.MAKERS if name not in ("signals", "twins", "streams")])
def test_one_of_each_is_survived(stage: Stage, maker: str) -> None:
    made = matrix.cells(stage, [maker])
    assert played(stage, [made[len(made) // 2]]) == []


@pytest.mark.slow
@pytest.mark.parametrize("maker", [name for name in matrix.MAKERS if name not in MOST])
def test_all_are_survived(stage: Stage, maker: str) -> None:
    assert played(stage, matrix.cells(stage, [maker])) == []


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("maker", MOST)
def test_all_of_the_many_are_survived(stage: Stage, maker: str, part: int) -> None:
    assert played(stage, matrix.cells(stage, [maker], every=2)[part::PARTS]) == []  # `benchmarks.faults` plays all


@pytest.mark.slow
@pytest.mark.parametrize("maker", matrix.RISKY)
def test_where_ids_are_taken_twice_an_order_is_parked_rather_than_sent_again(stage: Stage, maker: str) -> None:
    own = stage.other(unique=False)
    every = 8 if maker == "kills" else 3
    assert played(own, matrix.cells(own, [maker], every)) == []


@pytest.mark.slow
def test_a_part_is_survived_on_a_packaged_server(packaged_stage: Stage) -> None:
    assert played(packaged_stage, matrix.cells(packaged_stage, every=24)) == []


@pytest.mark.slow
@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=[one.name for one in mutants.MUTANTS])
def test_a_change_of_the_engine_is_noticed(stage: Stage, mutant: mutants.Mutant) -> None:
    assert lost(mutants.shown(stage, mutant))
