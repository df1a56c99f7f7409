"""Decisions of one strategy over time: decide, keep within the band, hold for want of data, decay to cash.

A strategy is a pure function of what is known. What its sleeve does when that function has no answer is the same for
all of them, and stated here once:

* **Age.** When the newest row of an input is older than its window allows, the strategy is not asked.
* **Hold.** Without an answer (old or too little data, or a fault in the strategy) the sleeve keeps the weights of the
  last one for `hold_days`, counted from the decision that gave or confirmed them.
* **Decay.** After that they shrink linearly to nothing over `decay_days`; what is freed becomes cash.
* **Band.** A strategy with a `drift` trades only when some weight of what it holds, drifted with prices since, is
  further than that from the new target; otherwise it keeps what it holds.
* **Fault.** A strategy that raises, takes too long or gives weights that may not be traded holds like one without
  data, under its own name, and no other strategy notices.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np

from pas_dagster import calendar
from pas_dagster.strategies.contract import NotEnoughData, Strategy, Weights
from pas_dagster.strategies.history import AsOf, History
from pas_dagster.strategies.watchdog import TookTooLong, Watchdog

Status = Literal["decided", "held", "decayed"]
Cause = Literal["band", "data", "age", "fault"]

PATIENCE = 30.0  # seconds that one decision may take
TRADED = ("decided", "decayed")  # statuses whose weights are traded towards


@dataclass(frozen=True)
class Standing:
    """What a sleeve has before a decision.

    Attributes:
        weights: those of the last decision that had an answer; all cash before the first.
        decided_on: the decision that they were first decided for.
        confirmed_on: that last decision with an answer; later than `decided_on` where it kept within the band.
    """

    weights: Weights
    decided_on: date | None = None
    confirmed_on: date | None = None


@dataclass(frozen=True)
class Decision:
    """What one decision came to.

    `decided_on` is the decision that the weights stem from; `cause` and `note` say why they are not decided now.
    """

    decision: date
    weights: Weights
    status: Status
    decided_on: date
    cause: Cause | None = None
    note: str | None = None


NOTHING = Standing(Weights({}))


def decisions_of(
    strategy: Strategy,
    history: History,
    days: Sequence[date],
    standing: Standing = NOTHING,
    patience: float = PATIENCE,
) -> Iterator[Decision]:
    """One decision a day, in order, beginning with what stood before the first of them."""
    with Watchdog() as dog:
        for day in days:
            data = history.as_of(day, strategy.reads)
            answer = _ask(strategy, data, dog, patience)
            if isinstance(answer, Weights):
                made = _within_band(strategy, data, answer, standing)
                standing = Standing(made.weights, made.decided_on, day)
            else:
                made = _without_answer(strategy, day, standing, *answer)
            yield made


def _ask(strategy: Strategy, data: AsOf, dog: Watchdog, patience: float) -> Weights | tuple[Cause, str]:
    """The strategy's answer, or why there is none."""
    old = data.stale()
    if old:
        return "age", old
    try:
        with dog.limit(patience):
            return strategy.decide(data)
    except NotEnoughData as lack:
        return "data", str(lack)
    except TookTooLong:
        return "fault", f"{strategy.name} took longer than {patience:g} s"
    except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever a strategy does wrong stays its own affair)
        return "fault", f"{strategy.name} failed: {_described(error)}"


def _described(error: BaseException) -> str:
    """The error and the line of the strategy that raised it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    where = f" ({frames[-1].filename.rpartition('/')[2]} line {frames[-1].lineno})" if frames else ""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}{f': {said}' if said else ''}{where}"


def _within_band(strategy: Strategy, data: AsOf, target: Weights, standing: Standing) -> Decision:
    """The target, or what is held while that is near enough to it."""
    day, since = data.decision, standing.confirmed_on
    # Weights older than that may have begun to decay: they are not what is held.
    if strategy.drift and standing.decided_on and since and (day - since).days <= strategy.hold_days:
        held = _drifted(data, standing)
        symbol, off = _furthest(held, target)
        if off <= strategy.drift:
            note = f"within the band: {symbol} is {off:.1%} from its target, {strategy.drift:.1%} are allowed"
            return Decision(day, held, "held", standing.decided_on, "band", note)
    return Decision(day, target, "decided", day)


def _drifted(data: AsOf, standing: Standing) -> Weights:
    """What the weights have become by the last close before the decision; a session without a bar moves nothing."""
    assert standing.confirmed_on is not None
    names = list(standing.weights.values)
    if not names:
        return standing.weights
    # Weights trade at the close of their session and move from the next one on; weights that were only kept are
    # those of the close before their decision.
    traded = standing.confirmed_on == standing.decided_on
    first = np.datetime64(calendar.roll_forward(standing.confirmed_on)) + int(traded)
    sessions = len(calendar.session_array(first.astype(object), data.decision)) + 1
    moves = data.returns(sessions, names)
    moves = moves[moves.index >= first.astype("datetime64[us]")].fillna(0.0)
    value = np.array(list(standing.weights.values.values())) * np.prod(1.0 + moves.to_numpy(), axis=0)
    nav = standing.weights.cash + value.sum()
    return Weights(dict(zip(names, (value / nav).tolist(), strict=True)))


def _furthest(held: Weights, target: Weights) -> tuple[str, float]:
    """The symbol whose weight is furthest from its target, and how far."""
    symbols = sorted({*held.values, *target.values})
    gaps = {symbol: abs(held.values.get(symbol, 0.0) - target.values.get(symbol, 0.0)) for symbol in symbols}
    worst = max(gaps, key=lambda symbol: (gaps[symbol], symbol), default="cash")
    return worst, gaps.get(worst, 0.0)


def _without_answer(strategy: Strategy, day: date, standing: Standing, cause: Cause, why: str) -> Decision:
    """Hold, and after `hold_days` decay to cash."""
    if standing.confirmed_on is None or standing.decided_on is None:
        return Decision(day, standing.weights, "held", day, cause, f"{why}; nothing was decided before")
    age = (day - standing.confirmed_on).days
    left = share_left(age, strategy.hold_days, strategy.decay_days)
    since = f"{why}; the weights of {standing.confirmed_on} are {age} days old"
    if left == 1.0:
        return Decision(day, standing.weights, "held", standing.decided_on, cause, since)
    faded = Weights({symbol: weight * left for symbol, weight in standing.weights.values.items() if left > 0})
    return Decision(day, faded, "decayed", day, cause, f"{since}: {left:.0%} of them are left")


def share_left(age: int, hold_days: int, decay_days: int) -> float:
    """The share of weights of an age in days that is still held.

    >>> [share_left(age, 35, 28) for age in (35, 42, 63, 400)]
    [1.0, 0.75, 0.0, 0.0]
    """
    over = age - hold_days
    return 1.0 if over <= 0 else max(0.0, 1.0 - over / decay_days) if decay_days else 0.0
