"""The sandbox world as a history, a second opinion on random days of it, and what a strategy must not mind."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest

from pas_dagster.sandbox.world import TABLES, World
from pas_dagster.strategies.contract import NotEnoughData, Strategy
from pas_dagster.strategies.history import History

START, END = date(2019, 1, 2), date(2022, 6, 30)

Tables = Mapping[str, pd.DataFrame]
Oracle = Callable[[Tables, date], Mapping[str, float] | None]


@lru_cache(maxsize=1)
def tables() -> dict[str, pd.DataFrame]:
    """Every table of three and a half years of the sandbox."""
    world = World(3, START, END)
    return {name: world.table(name) for name in TABLES}


@lru_cache(maxsize=1)
def history() -> History:
    return History(tables())


def some_days(count: int, seed: int = 1) -> list[date]:
    rng = random.Random(seed)
    return [START + timedelta(rng.randrange(5, (END - START).days)) for _ in range(count)]


def outcome(strategy: Strategy, known: History, day: date) -> dict[str, float] | None:
    """The weights, or None when the strategy cannot decide."""
    try:
        return dict(strategy.decide(known.as_of(day, strategy.reads)).values)
    except NotEnoughData:
        return None


def agree(strategy: Strategy, oracle: Oracle, days: Sequence[date], *, decided: int, within: float = 1e-9) -> None:
    """The strategy and an oracle written another way say the same on every day, and decide on at least so many.

    The oracle gets the tables whole, and cuts them itself.
    """
    held = 0
    for day in days:
        found, expected = outcome(strategy, history(), day), oracle(tables(), day)
        assert (found is None) == (expected is None), f"{strategy.name} on {day}: {found}, the oracle says {expected}"
        if found is not None and expected is not None:
            assert found == pytest.approx(dict(expected), abs=within), f"{strategy.name} on {day}"
            held += bool(found)
    assert held >= decided, f"{strategy.name} held something on {held} of {len(days)} days only"


def permuted(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The rows in another order."""
    return rows.iloc[np.random.default_rng(seed).permutation(len(rows))].reset_index(drop=True)
