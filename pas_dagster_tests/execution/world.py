"""A small made-up market and targets for it; everything a test may want to disturb is a plain dict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from pas_dagster import calendar
from pas_dagster.execution.market import CorporateAction
from pas_dagster.execution.targets import SleeveTarget
from pas_dagster.ledger.accounts import AccountSpec

SESSIONS = calendar.sessions(date(2024, 1, 2), date(2024, 2, 9))
SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE")


@dataclass
class Tables:
    """A market in two dicts.

    `reference` is the last close before the day, on the basis and under the names of that day's open, unless a test
    names another.
    """

    bars: dict[date, dict[str, float]]
    events: dict[date, list[CorporateAction]] = field(default_factory=dict)
    overrides: dict[date, dict[str, float]] = field(default_factory=dict)

    def reference(self, decision: date) -> Mapping[str, float]:
        found: dict[str, float] = {}
        for day in sorted(day for day in self.bars.keys() | self.events.keys() if day <= decision):
            for action in self.events.get(day, []):
                if action.kind == "split" and action.symbol in found:
                    found[action.symbol] /= action.value
                elif action.new_symbol and action.symbol in found:
                    found[action.new_symbol] = found.pop(action.symbol)
            if day < decision:
                found |= self.bars.get(day, {})
        return found | self.overrides.get(decision, {})

    def closes(self, session: date) -> Mapping[str, float]:
        return self.bars.get(session, {})

    def actions(self, session: date) -> Sequence[CorporateAction]:
        return self.events.get(session, [])


def before(full: Tables, day: date) -> Tables:
    """What is known of a market in the morning of a day: nothing of the day itself."""
    bars = {session: bars for session, bars in full.bars.items() if session < day}
    return Tables(bars, {session: events for session, events in full.events.items() if session < day})


def act(full: Tables, day: date, action: CorporateAction) -> None:
    """Let an action happen at the day's open: later bars follow it."""
    full.events.setdefault(day, []).append(action)
    for session, bars in full.bars.items():
        if session >= day and action.kind == "split":
            bars[action.symbol] /= action.value
        elif session >= day and action.new_symbol:
            bars[action.new_symbol] = bars.pop(action.symbol)


def market(symbols: Sequence[str] = SYMBOLS, *, before: int = 1) -> Tables:
    """Prices that wander, from one session before the first."""
    first = calendar.previous_session(SESSIONS[0])
    bars = {}
    for at, day in enumerate([first, *SESSIONS][1 - before :]):
        bars[day] = {
            symbol: round(50 + 20 * n + 5 * math.sin(0.7 * at + n) + 0.3 * at, 2) for n, symbol in enumerate(symbols)
        }
    return Tables(bars)


def target(
    sleeve: str, share: float, weights: Mapping[str, float], *, rebalance: bool = True, resize: bool = True
) -> SleeveTarget:
    return SleeveTarget(sleeve, share, weights, rebalance, resize)


def targets(days: Sequence[date] = SESSIONS) -> dict[date, list[SleeveTarget]]:
    """Mondays everything moves, Fridays one sleeve does, other days nothing."""
    found = {}
    for day in days:
        week = day.isocalendar().week
        monday, friday = day.weekday() == 0 or day == SESSIONS[0], day.weekday() == 4
        tilt = 0.1 * (week % 3)
        found[day] = [
            target("alpha", 0.5 - tilt / 2, {"AAA": 0.3 + tilt, "BBB": 0.4 - tilt}, rebalance=monday, resize=monday),
            target("beta", 0.3, {"AAA": 0.4 - tilt, "CCC": 0.3 + tilt}, rebalance=monday or friday, resize=monday),
            target("gamma", 0.2, {"CCC": 0.2, "DDD": 0.3, "EEE": 0.3 - tilt}, rebalance=monday, resize=monday),
        ]
    return found


def spec(**changes: Any) -> AccountSpec:
    return replace(AccountSpec("sim", capital_usd=100_000, opened=SESSIONS[0]), **changes)
