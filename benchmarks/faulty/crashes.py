"""The process dies: after every commit and every answer of the broker, once and twice; and for real, by a signal."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

from benchmarks.faulty import scenario
from benchmarks.faulty.cells import Cell, Killed, MissedError, Play, run
from benchmarks.faulty.stage import Firm, SharedHand, Stage, Watch, WatchedLedger, broker_at, guard_at
from pas_dagster.execution.desk import Patience, trade
from pas_dagster.sandbox.broker.trouble import Kind, Trouble

SIGNALS = 10  # points at which a process is really killed
PAIRS = 16
SEED = 4
WAIT = 60.0  # seconds for a process to end


class Fuse:
    """Kills at its n-th point, counted from 1."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, _: str) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


def killed_at(*points: int) -> Play:
    """Runs that die, one after the other, each at its own point."""

    def play(firm: Firm) -> None:
        for n, at in enumerate(points):
            if run(firm, Fuse(at)) != "killed" and n == 0:
                raise MissedError(f"point {at} was not reached")

    return play


def kills(stage: Stage) -> Iterator[Cell]:
    """At every point reached."""
    for at, what in enumerate(stage.points, 1):
        yield Cell("kill at every point", f"{at} ({what})", killed_at(at))


def pairs(stage: Stage) -> Iterator[Cell]:
    """Twice in a row, at points drawn from a seed."""
    luck = Random(SEED)
    for _ in range(PAIRS):
        first, second = luck.randint(1, len(stage.points)), luck.randint(1, len(stage.points) // 2)
        yield Cell("two kills in a row", f"{first}, {second}", killed_at(first, second))


def with_network(stage: Stage) -> Iterator[Cell]:
    """Killed, and the next run's orders meet a fault of the network."""
    luck = Random(SEED)
    sent = [at for at, what in enumerate(stage.points, 1) if what == "post /orders"]
    for kind in Kind:
        if kind in (Kind.UNAUTHORIZED, Kind.FORBIDDEN):
            continue  # these halt; they have cells of their own
        for after in (False, True):
            at = luck.choice(sent) + luck.randint(-1, 0)
            yield Cell(
                "kill and a fault of POST",
                f"{at}, {kind.value}{' after' if after else ''}",
                _killed_then(at, Trouble(kind, "POST", "/v2/orders", after=after)),
                lies=after and kind is Kind.THROTTLED,
            )


def _killed_then(at: int, trouble: Trouble) -> Play:
    def play(firm: Firm) -> None:
        killed_at(at)(firm)
        firm.sandbox.troubles.append(trouble)
        run(firm)

    return play


class Errand(NamedTuple):
    """What another process needs to run the desk: addresses, the file of the clock, and where it dies (0: nowhere)."""

    url: str
    rest: str
    clock: str
    unique: bool
    at: int


def errand(firm: Firm, at: int = 0) -> Errand:
    return Errand(firm.ledger.url, firm.rest, str(firm.folder / "hand"), firm.unique, at)


def victim(wanted: Errand) -> None:
    """One run in this process, which kills itself as nobody can prevent."""
    hand = SharedHand(Path(wanted.clock))
    ledger = WatchedLedger(wanted.url)
    hook = _Signal(wanted.at)
    ledger.after = hook
    watch = Watch(hand)
    broker = broker_at(wanted.rest, watch, unique=wanted.unique, after=hook)
    day = scenario.SECOND
    market, waits = scenario.market(day), Patience(120.0, watch)
    trade(ledger, scenario.SPEC, scenario.targets(day), day, market, broker, hand, guard_at(wanted.rest), waits)


class _Signal:
    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, _: str) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def start(wanted: Errand) -> multiprocessing.Process:
    """The errand in a process of its own, made by a server that has imported everything and has no threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=victim, args=(wanted,), daemon=True)
    process.start()
    return process  # ty: ignore[invalid-return-type]


def ended(process: multiprocessing.Process) -> int:
    """How it ended."""
    process.join(WAIT)
    if process.exitcode is None:
        process.kill()
        process.join(WAIT)
        raise MissedError("the process did not end")
    return process.exitcode


def signals(stage: Stage) -> Iterator[Cell]:
    """kill -9 of a real process, at points spread over the run."""
    every = [at for at, what in enumerate(stage.points, 1) if what != "commit"]
    for n in range(SIGNALS):
        at = every[n * len(every) // SIGNALS]
        yield Cell("kill -9 of a process", f"{at} ({stage.points[at - 1]})", _signalled(at))


def _signalled(at: int) -> Play:
    def play(firm: Firm) -> None:
        code = ended(start(errand(firm, at)))
        if code != -signal.SIGKILL:
            raise MissedError(f"the process ended with {code}")

    return play


def at_point(number: int, act: Play) -> Play:
    """A run in which something happens at its n-th point."""

    def play(firm: Firm) -> None:
        hook = Once(firm, number, act)
        run(firm, hook)
        if hook.left > 0:
            raise MissedError(f"point {number} was not reached")

    return play


class Once:
    """Lets something happen at the n-th point."""

    def __init__(self, firm: Firm, at: int, act: Play) -> None:
        self.left = at
        self._firm = firm
        self._act = act

    def __call__(self, _: str) -> None:
        self.left -= 1
        if self.left == 0:
            self._act(self._firm)


def at_request(what: str, number: int, act: Play) -> Play:
    """The same at the n-th request of a kind."""

    def play(firm: Firm) -> None:
        once = Once(firm, number, act)

        def hook(point: str) -> None:
            if point == what:
                once(point)

        run(firm, hook)
        if once.left > 0:
            raise MissedError(f"request {number} of {what} was not made")

    return play


def pause(seconds: float) -> Play:
    """Time goes by."""

    def play(firm: Firm) -> None:
        firm.hand.to(firm.hand() + timedelta(seconds=seconds))

    return play
