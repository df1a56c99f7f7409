"""Whatever happens, in whatever order: nothing is sent twice, nothing is lost, and the books equal the broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from pas_dagster_tests.execution.machine import DeskMachine
from pas_dagster_tests.ledger.database import execute

PHASES = (Phase.generate, Phase.shrink)
CALM = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


@pytest.fixture
def quick(server: str) -> Iterator[str]:
    """The server without waiting for its disk: what these tests write may be lost with the machine."""
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        execute(server, f"alter system set {name} = off")
    execute(server, "select pg_reload_conf()")
    yield server
    execute(server, "alter system reset all")
    execute(server, "select pg_reload_conf()")


class OverHttp(DeskMachine):
    """The same through the real adapter and the unmodified SDK."""

    over_http = True


def drive(machine: type[DeskMachine], server: str, examples: int, steps: int, *, seeded: bool = True) -> None:
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        derandomize=seeded,
        suppress_health_check=CALM,
        phases=PHASES,
        report_multiple_bugs=False,
        print_blob=False,
    )
    run_state_machine_as_test(lambda: machine(server), settings=chosen)


def test_books_and_broker_agree_whatever_happens(quick: str) -> None:
    drive(DeskMachine, quick, 12, 18)


def test_the_same_through_the_real_adapter(quick: str) -> None:
    drive(OverHttp, quick, 2, 14)


@pytest.mark.slow
def test_books_and_broker_agree_whatever_happens_for_long(quick: str) -> None:
    drive(DeskMachine, quick, 60, 40)


@pytest.mark.slow
def test_the_same_through_the_real_adapter_for_long(quick: str) -> None:
    drive(OverHttp, quick, 6, 30)
