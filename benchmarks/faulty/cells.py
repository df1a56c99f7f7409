"""One cell of the matrix: a fault played on the second day, what an operator mends, a clean run, one that changes
nothing, and what is wrong then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psycopg2
from sqlalchemy.exc import DBAPIError

from benchmarks.faulty import invariants, scenario
from benchmarks.faulty.stage import PATIENCE, Firm, Stage
from pas_dagster.errors import PasError
from pas_dagster.ledger import tables

EXPECTED = (PasError, DBAPIError, psycopg2.Error)  # what a run may end with when something outside fails
Play = Callable[[Firm], None]


class Killed(BaseException):
    """The process ends here."""


def nothing(_: Firm) -> None:
    """No fault, or nothing to mend."""


@dataclass(frozen=True)
class Cell:
    """One fault.

    play: the fault and the run that meets it. mend: what an operator repairs before the clean run. same: the day has
    to end as an undisturbed one. halts: the account has to be halted by it. stays: resuming does not help, it has to
    halt again and send nothing. lies: the broker breaks a rule of its own that only unique ids make harmless.
    """

    group: str
    name: str
    play: Play
    mend: Play = nothing
    same: bool = True
    halts: bool = False
    stays: bool = False
    lies: bool = False


@dataclass(frozen=True)
class Verdict:
    """How a cell went. `parked`: an order waited for the evening, since its outcome could not be known before."""

    cell: Cell
    problems: Sequence[str]
    seconds: float = 0.0
    parked: bool = False


class MissedError(Exception):
    """The fault of a cell did not happen, so the cell shows nothing."""


def run(firm: Firm, after: Callable[[str], None] | None = None) -> str:
    """A run that may meet a fault; what it raised, in words."""
    try:
        firm.trade(after)
    except EXPECTED as error:
        return f"{type(error).__name__}: {error}"
    except Killed:
        return "killed"
    return ""


def judge(stage: Stage, cell: Cell) -> Verdict:
    """Play a cell and look at what became of the account."""
    with stage.firm() as firm:
        try:
            return _judged(firm, stage, cell)
        except MissedError as error:
            return Verdict(cell, [f"the fault did not happen: {error}"])
        except Exception as error:  # noqa: BLE001  (whatever a run raises that it may not is a finding)
            return Verdict(cell, [f"raised {type(error).__name__}: {' '.join(str(error).split())[:300]}"])


def _judged(firm: Firm, stage: Stage, cell: Cell) -> Verdict:
    cell.play(firm)
    problems = list(_halted_as_due(firm, cell))
    heal(firm)
    if cell.stays:
        return Verdict(cell, [*problems, *_stays_halted(firm)])
    cell.mend(firm)
    firm.resume()
    began = time.perf_counter()
    firm.trade()
    seconds = time.perf_counter() - began
    parked = not firm.unique and _parked(firm)
    if parked:
        _evening(firm)
    before = invariants.written(firm)
    firm.trade()
    after = invariants.written(firm)
    problems += [f"another run changed {name}" for name in before if before[name] != after[name]]
    problems += invariants.breaches(firm)
    if cell.same and not parked:
        found = invariants.ending(firm)
        problems += [
            f"the {name} are not those of an undisturbed day" for name in found if found[name] != stage.expected[name]
        ]
    return Verdict(cell, problems, seconds, parked)


def heal(firm: Firm) -> None:
    """The broker and the network are as they should be."""
    firm.sandbox.troubles.clear()
    firm.ledger.before = firm.ledger.after = None
    firm.patience = PATIENCE
    rules = firm.book.rules
    rules.order_lag = rules.fill_lag = rules.cancel_lag = 0.0


def _halted_as_due(firm: Firm, cell: Cell) -> Iterator[str]:
    why = firm.why_halted()
    if cell.halts and not why:
        yield "the account was not halted"
    if why and not cell.halts:
        yield f"the account was halted: {why}"


def _stays_halted(firm: Firm) -> Iterator[str]:
    """Resumed without a remedy it has to halt again, and nothing is sent."""
    sent = firm.posts()
    for _ in range(2):
        firm.resume()
        with suppress(*EXPECTED):
            firm.trade()
        if not firm.why_halted():
            yield "resumed without a remedy, the account was not halted again"
            break
    if firm.posts() != sent:
        yield "orders were sent although ledger and broker are not of the same account or time"


def _parked(firm: Firm) -> bool:
    return any(row.state == "submitting" for row in firm.rows(tables.orders))


def _evening(firm: Firm) -> None:
    """After the session nothing that was sent can still arrive: what is not there then was never taken."""
    firm.hand.to(scenario.evening(firm.day))
    firm.trade()


def rehearse(stage: Stage) -> None:
    """An undisturbed day: how it ends, and which points are reached on the way."""
    with stage.firm() as firm:
        points: list[str] = []
        firm.trade(points.append)
        wrong = invariants.breaches(firm)
        if wrong:
            raise AssertionError(f"the undisturbed day is wrong: {wrong}")
        stage.expected, stage.points = invariants.ending(firm), points
        stage.requests = [f"{method} {path}" for method, path, _ in firm.sandbox.log]
