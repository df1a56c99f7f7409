"""The network and the broker's answers: every request with every kind of trouble, before and after its effect."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

from benchmarks.faulty import scenario
from benchmarks.faulty.cells import Cell, Killed, MissedError, Play, run
from benchmarks.faulty.crashes import Fuse, at_request, pause
from benchmarks.faulty.stage import Firm, Stage
from pas_dagster.sandbox.broker.paper import Rules
from pas_dagster.sandbox.broker.trouble import Kind, Trouble
from pas_dagster.sandbox.sites.site import Answer

ORDERS, LOOK_UP = "/v2/orders", "/v2/orders:by_client_order_id"
FILLS, ENTRIES = "/v2/account/activities/FILL", "/v2/account/activities"
PRICES = "/v2/stocks/quotes/latest"  # whoever may not see them may still have an account
READ = ("/v2/account", "/v2/positions", ORDERS, FILLS, ENTRIES, "/v2/clock", "/v2/calendar", "/v2/assets/*",
        PRICES)  # fmt: skip
REFUSED = (Kind.UNAUTHORIZED, Kind.FORBIDDEN)  # the key: these halt the account
LAG = 3.0  # seconds of the market's clock until a new order shows
LATE = 25.0  # until a fill does
SEED = 11


@dataclass
class Altered(Trouble):
    """An answer that looks right and is not: its document is changed."""

    change: Callable[[object], object] = lambda said: said

    def answer(self, true: Answer) -> Answer:
        """The true answer, changed."""
        return replace(true, body=json.dumps(self.change(json.loads(true.body))).encode())


def meets(*troubles: Trouble, prepare: Callable[[Rules], None] = lambda _: None) -> Play:
    """A run under troubles, each of which has to strike."""

    def play(firm: Firm) -> None:
        prepare(firm.book.rules)
        fresh = [replace(one) for one in troubles]
        firm.sandbox.troubles[:] = fresh
        run(firm)
        if any(one.skip or one.times == was.times for one, was in zip(fresh, troubles, strict=True) if was.times):
            raise MissedError("a request that it should strike was not made")

    return play


def _text(kind: Kind, times: int | None, *, after: bool) -> str:
    often = {1: "once", None: "always"}.get(times, f"{times} times")
    return f"{kind.value} {'after' if after else 'before'} the effect, {often}"


def posts(stage: Stage) -> Iterator[Cell]:
    """POST with every kind of trouble, before and after its effect, once and three times."""
    luck = Random(SEED)
    for kind in Kind:
        for after in (False, True):
            for times in (1, 3):
                trouble = Trouble(kind, "POST", ORDERS, after=after, times=times, skip=luck.randint(0, 3 - times // 2))
                yield Cell(
                    "POST",
                    _text(kind, times, after=after),
                    meets(trouble),
                    halts=kind in REFUSED,
                    lies=after and kind is Kind.THROTTLED,
                )


def lags(stage: Stage) -> Iterator[Cell]:
    """The same, and an order does not show for some seconds after it was taken."""

    def slow(rules: Rules) -> None:
        rules.order_lag = LAG

    for kind in Kind:
        for times in (1, 3):
            yield Cell(
                "POST and orders that show late",
                _text(kind, times, after=True),
                meets(Trouble(kind, "POST", ORDERS, after=True, times=times), prepare=slow),
                mend=pause(LAG),
                halts=kind in REFUSED,
                lies=kind is Kind.THROTTLED,
            )


def look_ups(stage: Stage) -> Iterator[Cell]:
    """The answer to a POST is lost, and looking the order up fails in every way."""
    for kind in Kind:
        for after in (False, True):
            yield Cell(
                "POST lost and the look-up fails",
                f"{kind.value}, the order {'taken' if after else 'not taken'}",
                meets(
                    Trouble(Kind.RESET, "POST", ORDERS, after=after, times=2),
                    Trouble(kind, "GET", LOOK_UP, times=3),
                ),
                halts=kind in REFUSED,
            )


def reads(stage: Stage) -> Iterator[Cell]:
    """Every GET with every kind of trouble: once, which may be got over, and as often as it is tried."""
    luck = Random(SEED)
    for path in READ:
        asked = sum(one == f"GET {path}" or (path[-1] == "*" and path[:-1] in one) for one in stage.requests)
        for kind in Kind:
            for times in (1, 3):
                trouble = Trouble(kind, "GET", path, times=times, skip=luck.randrange(asked))
                yield Cell(
                    f"GET {path.removeprefix('/v2')}",
                    f"{kind.value}, {'once' if times == 1 else 'three times'}, from request {trouble.skip + 1} on",
                    meets(trouble),
                    halts=kind in REFUSED and path != PRICES,
                )


def _cancelled(play: Play) -> Play:
    """A run whose first sell fills in part only, so that it is cancelled in the end and the buys go on without it."""

    def whole(firm: Firm) -> None:
        firm.book.rules.patterns["DDD"] = [(1.0, 0.4)]
        _patient(firm)
        play(firm)

    return whole


def _patient(firm: Firm) -> None:
    """A run waits longer than a sell may take."""
    firm.patience = 1200.0


def cancels(stage: Stage) -> Iterator[Cell]:
    """A sell that fills in part and is cancelled after ten minutes: in peace, with trouble, killed."""
    yield Cell("partial fill and cancellation", "in peace", _cancelled(_quiet), mend=_patient, same=False)
    for kind in Kind:
        for after in (False, True):
            trouble = Trouble(kind, "DELETE", f"{ORDERS}/*", after=after, times=3)
            yield Cell(
                "partial fill and cancellation",
                f"DELETE: {kind.value} {'after' if after else 'before'} the effect",
                _cancelled(_struck(trouble)),
                mend=_patient,
                same=False,
                halts=kind in REFUSED,
            )
    for name, what, number in (("before", "get /orders", 6), ("at", "delete", 1), ("after", "post /orders", 4)):
        yield Cell(
            "partial fill and cancellation, killed", name, _cancelled(_killed(what, number)), mend=_patient, same=False
        )


def _quiet(firm: Firm) -> None:
    if run(firm):
        raise MissedError("the run did not end in peace")


def _struck(trouble: Trouble) -> Play:
    def play(firm: Firm) -> None:
        fresh = replace(trouble)
        firm.sandbox.troubles.append(fresh)
        run(firm)
        if fresh.times == trouble.times:
            raise MissedError("nothing was cancelled")

    return play


def _killed(what: str, number: int) -> Play:
    """Killed at the n-th request that begins so."""

    def play(firm: Firm) -> None:
        fuse = Fuse(number)
        if run(firm, lambda point: fuse(point) if point.startswith(what) else None) != "killed":
            raise MissedError(f"request {number} of {what} was not made")

    return play


def _doubled(said: object) -> object:
    return [one for one in said for _ in range(2)] if isinstance(said, list) else said


def _emptied(said: object) -> object:
    return [] if isinstance(said, list) else said


def _first_half(said: object) -> object:
    return said[: len(said) // 2] if isinstance(said, list) else said


def _backwards(said: object) -> object:
    return said[::-1] if isinstance(said, list) else said


def activities(stage: Stage) -> Iterator[Cell]:
    """Fills that are told twice, late, in part, out of order; lists that come empty."""
    yield Cell("clean", "nothing happens", meets())
    for name, change in (("twice", _doubled), ("backwards", _backwards)):
        trouble = Altered(Kind.SLOW, "GET", FILLS, after=True, times=None, change=change)
        yield Cell("fills told twice, late or in part", name, _altered(trouble))
    for name, change in (("in half", _first_half), ("not at all", _emptied)):
        for times in (1, 4, 12):
            trouble = Altered(Kind.SLOW, "GET", FILLS, after=True, times=times, skip=4, change=change)
            yield Cell("fills told twice, late or in part", f"{name}, {times} times", meets(trouble))
    for lag in (1.0, LATE):
        yield Cell("fills told twice, late or in part", f"{lag:g} s late", meets(prepare=_late(lag)))
        yield Cell("fills told twice, late or in part", f"{lag:g} s late, and killed", _late_and_killed(lag))
    for path in (ORDERS, "/v2/positions"):
        trouble = Altered(Kind.SLOW, "GET", path, after=True, times=1, change=_emptied)
        yield Cell("lists that come empty", path, meets(trouble))


def _altered(trouble: Trouble) -> Play:
    def play(firm: Firm) -> None:
        firm.sandbox.slowness = 0.0
        meets(trouble)(firm)

    return play


def _late(lag: float) -> Callable[[Rules], None]:
    def prepare(rules: Rules) -> None:
        rules.fill_lag = lag

    return prepare


def _late_and_killed(lag: float) -> Play:
    def play(firm: Firm) -> None:
        firm.book.rules.fill_lag = lag
        killed = at_request("post /orders", 4, _die)
        try:
            killed(firm)
        except Killed:
            return

    return play


def _die(_: Firm) -> None:
    raise Killed


def away(stage: Stage) -> Iterator[Cell]:
    """The broker is down: all day, or from some request until the session is over."""
    for skip in (0, 3, 12, 22, 24, 26, 32, 44):
        for kind in (Kind.UNAVAILABLE, Kind.RESET):
            yield Cell(
                "broker down for the session",
                f"{kind.value} from request {skip + 1} on",
                _down(kind, skip),
                mend=_next_day,
                same=False,
            )


def _down(kind: Kind, skip: int) -> Play:
    """Runs through the day and after it, none of which is answered."""

    def play(firm: Firm) -> None:
        firm.sandbox.troubles.append(Trouble(kind, times=None, skip=skip))
        if not run(firm):
            raise MissedError("the run ended in peace")
        for hours in (1, 4, 7):
            firm.hand.to(scenario.ten(firm.day).replace(hour=10 + hours))
            run(firm)

    return play


def _next_day(firm: Firm) -> None:
    firm.morning(scenario.THIRD)


def rejections(stage: Stage) -> Iterator[Cell]:
    """Symbols that cannot be traded, orders that are refused or rejected after they were taken."""
    for symbol in scenario.CLOSES:
        yield Cell("untradable", f"{symbol}, known", _rules(_untradable(symbol)), same=False)
        yield Cell("untradable", f"{symbol}, found out at the POST", _found_out(symbol), same=False)
    yield Cell("untradable", "every order is taken, then rejected", _rules(_rejecting(1.0)), same=False)
    yield Cell("untradable", "some are", _rules(_rejecting(0.5)), same=False)
    yield Cell("untradable", "whole shares only", _rules(_whole), same=False)
    yield Cell("untradable", "no order fills", _rules(_resting), mend=_next_day, same=False)


def _rules(prepare: Callable[[Rules], None]) -> Play:
    def play(firm: Firm) -> None:
        prepare(firm.book.rules)
        run(firm)

    return play


def _untradable(symbol: str) -> Callable[[Rules], None]:
    return lambda rules: rules.untradable.add(symbol)


def _rejecting(part: float) -> Callable[[Rules], None]:
    def prepare(rules: Rules) -> None:
        rules.rejected = part

    return prepare


def _whole(rules: Rules) -> None:
    rules.whole_only = set(scenario.CLOSES)


def _resting(rules: Rules) -> None:
    rules.halted = set(scenario.CLOSES)


def _found_out(symbol: str) -> Play:
    return at_request("get /stocks/quotes/latest", 1, lambda firm: firm.book.rules.untradable.add(symbol))
