"""What is traded: three sleeves, and a second day with eight intents, three internal crosses, three sells, two buys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random

from pas_dagster import calendar
from pas_dagster.execution.market import CorporateAction
from pas_dagster.execution.targets import SleeveTarget
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.sandbox.broker.paper import Pattern, Rules

FIRST, SECOND, THIRD, FOURTH = calendar.sessions(date(2024, 1, 4), date(2024, 1, 9))
SPEC = AccountSpec("paper", broker="alpaca", mode="paper", cost_bp=0.0, opened=FIRST)
CASH = 100_000
CLOSES = {"AAA": 50.0, "BBB": 71.37, "CCC": 93.11, "DDD": 109.9, "EEE": 131.77}
SEED = 20
PARTS_WITHIN = 6.0  # seconds
# By sleeve: share of the account, weights of the first day, of the second.
SLEEVES = {
    "alpha": (0.4, {"AAA": 0.5, "BBB": 0.45}, {"AAA": 0.2, "BBB": 0.65}),
    "beta": (0.35, {"BBB": 0.45, "CCC": 0.5}, {"AAA": 0.3, "BBB": 0.1, "CCC": 0.45}),
    "gamma": (0.25, {"CCC": 0.3, "DDD": 0.65}, {"CCC": 0.55, "DDD": 0.2, "EEE": 0.24}),
}


@dataclass
class Tables:
    """A market in a dict; what is not known on a day is not in it."""

    bars: dict[date, dict[str, float]]
    events: dict[date, list[CorporateAction]] = field(default_factory=dict)

    def reference(self, decision: date) -> Mapping[str, float]:
        found: dict[str, float] = {}
        for day in sorted(self.bars.keys() | self.events.keys()):
            for action in self.events.get(day, ()) if day <= decision else ():
                if action.kind == "split" and action.symbol in found:
                    found[action.symbol] /= action.value
                elif action.new_symbol and action.symbol in found:
                    found[action.new_symbol] = found.pop(action.symbol)
            if day < decision:
                found |= self.bars.get(day, {})
        return found

    def closes(self, session: date) -> Mapping[str, float]:
        return self.bars.get(session, {})

    def actions(self, session: date) -> Sequence[CorporateAction]:
        return self.events.get(session, [])


def market(morning: date) -> Tables:
    """What is known in the morning of a day: closes of the sessions before, which rise by half a percent a day."""
    days = calendar.sessions(calendar.previous_session(FIRST), calendar.previous_session(morning))
    return Tables({day: {s: round(p * (1 + 0.005 * n), 2) for s, p in CLOSES.items()} for n, day in enumerate(days)})


def targets(day: date) -> list[SleeveTarget]:
    """The first day's, then the second's; after the second nothing moves."""
    at, moves = (0, True) if day == FIRST else (1, day == SECOND)
    return [
        SleeveTarget(name, share, weights[at], rebalance=moves, resize=moves)
        for name, (share, *weights) in SLEEVES.items()
    ]


def rules(*, unique: bool) -> Rules:
    """A cash account: buys have to wait for what sells bring. Every symbol fills in parts of its own."""
    luck = Random(SEED)
    return Rules(unique_ids=unique, multiplier=1, patterns={symbol: parts(luck) for symbol in CLOSES})


def parts(luck: Random) -> Pattern:
    """Two to four parts at random moments within some seconds."""
    cuts = [0.0, *sorted(round(luck.uniform(0.1, 0.9), 2) for _ in range(luck.randint(1, 3))), 1.0]
    times = sorted(round(luck.uniform(0, PARTS_WITHIN), 3) for _ in cuts[1:])
    return [(at, end - begin) for at, begin, end in zip(times, cuts, cuts[1:], strict=False)]


def ten(day: date) -> datetime:
    """Ten in the morning."""
    return calendar.midnight(day).replace(hour=10)


def evening(day: date) -> datetime:
    """When nothing that was sent before the close can still arrive."""
    return calendar.closing(day) + timedelta(minutes=20)
