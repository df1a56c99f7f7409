"""Prices of the sandbox broker's market: within each session a seeded path from one price to another.

The path is a Brownian bridge (a sum of sines with independent normal weights, the Karhunen-Loève series) in the
logarithm of the price. It depends on the seed, the symbol and the session only, so any instant can be asked for in any
order; it begins exactly at its first price, and at the close it is at its last, to the tick.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

import numpy as np
import pandas as pd

from pas_dagster import calendar
from pas_dagster.sandbox.broker.hours import following
from pas_dagster.sandbox.world import World

TURMOIL = 0.008
"""Standard deviation of a day's logarithmic return, which sets how far a path strays from the straight line."""

_WAVES = 24
_OF_THE_CLOSE = "delisting"


class Ends(NamedTuple):
    """The prices of a session at its open and at its close."""

    first: Decimal
    last: Decimal


class Action(NamedTuple):
    """What happens to a company: kind dividend, split, symbol_change or delisting; `value` as in corporate_actions."""

    kind: str
    symbol: str
    value: Decimal
    new_symbol: str = ""


class Path:
    """Prices on their way. `ends`: a session's listed symbols with the prices between which they move."""

    def __init__(self, ends: Callable[[date], Mapping[str, Ends]], seed: int = 0) -> None:
        self._ends = ends
        self._seed = seed

    def at(self, symbol: str, moment: datetime) -> Decimal | None:
        """The price at an instant, before the open the first; rounded to the cent (below 1 USD to 0.0001) on the way.

        None for what is not listed in the session that is on, or that comes next.
        """
        session = following(moment)
        ends = self._ends(session.day).get(symbol)
        if ends is None or moment <= session.open:
            return None if ends is None else ends.first
        part = (moment - session.open) / (session.close - session.open)
        drift = part * math.log(ends.last / ends.first)
        stray = TURMOIL * _bridge(_weights(self._seed, symbol, session.day), part)
        price = float(ends.first) * math.exp(drift + stray)
        return Decimal(repr(round(price, 2 if price >= 1 else 4)))

    def symbols(self, moment: datetime) -> list[str]:
        """What is listed in the session that is on, or that comes next."""
        return sorted(self._ends(following(moment).day))


@lru_cache(maxsize=4096)
def _weights(seed: int, symbol: str, session: date) -> np.ndarray:
    return np.random.default_rng([seed, crc32(symbol.encode()), session.toordinal()]).standard_normal(_WAVES)


def _bridge(weights: np.ndarray, part: float) -> float:
    """A Brownian bridge on [0, 1] at `part`."""
    numbers = np.arange(1, len(weights) + 1) * np.pi
    return float(math.sqrt(2) * (weights * np.sin(numbers * part) / numbers).sum())


class WorldMarket:
    """The sandbox world as a market: a session goes from the close before, as it is after splits, to its own close.

    `world_to`: the world up to a day.
    """

    def __init__(self, world_to: Callable[[date], World]) -> None:
        self._world_to = world_to
        self.ends = lru_cache(maxsize=4)(self._make_ends)

    def _make_ends(self, session: date) -> Mapping[str, Ends]:
        today, before = (_closes(self._world_to(session), day) for day in (session, calendar.previous_session(session)))
        closes = {symbol: close for symbol, (_, close) in before.items()}
        for action in self.actions(session):
            if action.kind == "split" and action.symbol in closes:
                closes[action.symbol] /= action.value
            elif action.kind == "symbol_change" and action.symbol in closes:
                closes[action.new_symbol] = closes[action.symbol]
        return {symbol: Ends(_exact(closes.get(symbol, opens)), close) for symbol, (opens, close) in today.items()}

    def actions(self, session: date) -> list[Action]:
        """What is done before a session opens: its own actions, and the delistings at the close before."""
        frame = self._world_to(session).table("corporate_actions")
        ended = frame["kind"] == _OF_THE_CLOSE
        last = pd.Timestamp(calendar.previous_session(session))
        due = frame[(ended & (frame["event_date"] == last)) | (~ended & (frame["event_date"] == pd.Timestamp(session)))]
        rows = zip(due["kind"], due["symbol"], due["value"], due["new_symbol"], strict=True)
        return [Action(kind, symbol, Decimal(repr(float(value))), new or "") for kind, symbol, value, new in rows]


def _closes(world: World, day: date) -> dict[str, tuple[Decimal, Decimal]]:
    """Symbol -> open and close of a session."""
    frame = world.table("prices")
    rows = frame[frame["event_date"] == pd.Timestamp(day)]
    opens, closes = ([Decimal(repr(float(price))) for price in rows[name]] for name in ("open", "close"))
    return dict(zip(rows["symbol"], zip(opens, closes, strict=True), strict=True))


def _exact(price: Decimal) -> Decimal:
    return price.quantize(Decimal("0.000001"))
