"""Faults survived: `python -m benchmarks.faults [--mutants] [MAKER ...]`.

Every cell of `benchmarks/faulty` is played against the real desk, the unmodified SDK over HTTP and an embedded
Postgres: once with a broker that refuses an id that it has seen, once with one that does not. A cell is survived when
after the fault, what an operator mends, and one clean run all invariants hold and one more run changes nothing. With
ids that are taken twice an order may have to wait for the evening to be looked up: it is parked, never sent again.
Seconds to recover are those of the clean run. `--mutants`: changes of the engine that the matrix has to notice.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faulty import matrix, mutants
from benchmarks.faulty.cells import Verdict, judge, rehearse
from benchmarks.faulty.stage import Stage, staged
from pas_dagster import postgres, settings


def main(arguments: Sequence[str]) -> None:
    """Play the matrix, or the mutants, and print what became of them."""
    makers = [name for name in arguments if name in matrix.MAKERS] or list(matrix.MAKERS)
    with embedded() as stage:
        if "--mutants" in arguments:
            _mutants(stage)
            return
        for unique in (True, False):
            print(f"a broker that {'refuses' if unique else 'takes'} an id twice", flush=True)
            _column(stage.other(unique=unique), makers)


@contextmanager
def embedded() -> Generator[Stage]:
    """A stage on a Postgres of its own, rehearsed."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = settings.load(home=Path(folder) / "home", database_url=None)
        with postgres.running(chosen) as url, staged(url) as stage:
            rehearse(stage)
            yield stage


def _column(stage: Stage, makers: Sequence[str]) -> None:
    """One kind of broker: a line a group, and the sum."""
    every: list[Verdict] = []
    for maker in makers:
        found = [judge(stage, cell) for cell in matrix.cells(stage, [maker])]
        for group in dict.fromkeys(one.cell.group for one in found):
            _tell(group, [one for one in found if one.cell.group == group])
        every += found
    survived = [one for one in every if not one.problems]
    parked = sum(one.parked for one in every)
    seconds = [one.seconds for one in survived if one.seconds] or [0.0]
    print(
        f"faults survived {len(survived)} of {len(every)}, {parked} parked until the evening; "
        f"seconds to recover {statistics.median(seconds):.2f} (median), {max(seconds):.2f} (worst)",
        flush=True,
    )


def _tell(group: str, found: Sequence[Verdict]) -> None:
    """A group's line, and what is wrong with those that were not survived."""
    survived = [one for one in found if not one.problems]
    parked = sum(one.parked for one in survived)
    print(f"  {group:44} {len(survived):4} of {len(found)}" + (f", {parked} parked" if parked else ""), flush=True)
    for one in found:
        if one.problems:
            print(f"    {one.cell.name}: {'; '.join(one.problems[:3])}", flush=True)


def _mutants(stage: Stage) -> None:
    for mutant, verdicts in mutants.table(stage):
        red = sum(bool(one.problems) for one in verdicts)
        print(f"  {mutant.name:64} {red} of {len(verdicts)} red", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
