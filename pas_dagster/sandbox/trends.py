"""Simulated search interest: weeks from Sunday to Saturday, relative to the highest of the last five years."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pas_dagster.sandbox.attention import calendar_days, listed, stir, symbol_codes
from pas_dagster.sandbox.listing import COMPANIES, companies
from pas_dagster.sandbox.streams import Floats, Ints, Tag, autoregressive, generator, normals

if TYPE_CHECKING:
    from pas_dagster.sandbox.world import World

WEEKS_SHOWN = 260
_TRAITS = 1 << 20  # a block that no week reaches


def keywords() -> tuple[str, ...]:
    """What people search for: the company's name without the class of its shares; the same for every seed."""
    return tuple(company.name.partition(" Class ")[0] for company in companies())


def weeks(world: World) -> Ints:
    """First day (a Sunday) of each whole week, as days since 1970."""
    days = calendar_days(world)
    first = days[0] + (-(days[0] + 4)) % 7
    return np.arange(first, days[-1] - 5, 7)


def searches(world: World) -> Floats:
    """Search volume of each company in each week, (weeks, COMPANIES), on no particular scale."""
    days, starts = calendar_days(world), weeks(world)
    noise = normals(world.seed, Tag.TRENDS, len(starts), 2, COMPANIES)
    season = generator(world.seed, Tag.TRENDS, _TRAITS).uniform(0, 2 * np.pi, COMPANIES)
    yearly = 0.15 * np.cos(2 * np.pi * starts[:, None] / 365.25 + season)
    lift = stir(world, days)[(starts - days[0])[:, None] + np.arange(7)].mean(axis=1)
    return np.exp(0.4 * autoregressive(noise[:, 0], 12.0) + 0.08 * noise[:, 1] + yearly + 0.7 * lift)


def relative(volume: Floats, last: int) -> Floats:
    """Interest as it is shown after the week `last`: the weeks shown, 0 to 100."""
    shown = volume[max(0, last + 1 - WEEKS_SHOWN) : last + 1]
    return np.round(100 * shown / shown.max(axis=0))


def rows(world: World) -> pd.DataFrame:
    """All of the table google_trends: each week as it was first shown, on the Sunday after."""
    starts, volume = weeks(world), searches(world)
    highest = pd.DataFrame(volume).rolling(WEEKS_SHOWN, min_periods=1).max().to_numpy()
    interest = np.round(100 * volume / highest)
    week, company = np.nonzero(listed(world, starts + 7) & listed(world, starts))
    names, codes = symbol_codes(world, starts + 7)
    order = np.lexsort((codes[week, company], week))
    week, company = week[order], company[order]
    first = starts[week].astype("datetime64[D]")
    return pd.DataFrame(
        {
            "known_on": (first + 7).astype("datetime64[us]"),
            "event_date": first.astype("datetime64[us]"),
            "symbol": pd.array(names, dtype="str").take(codes[week, company]),
            "keyword": pd.array(np.array(keywords(), dtype=object), dtype="str").take(company),
            "interest": interest[week, company],
        }
    )
