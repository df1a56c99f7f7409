"""Simulated apps of companies that sell to consumers: ratings add up from day to day, and more when people talk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pas_dagster.sandbox.attention import calendar_days, listed, stir, symbol_codes
from pas_dagster.sandbox.listing import companies
from pas_dagster.sandbox.streams import Tag, autoregressive, generator, normals

if TYPE_CHECKING:
    from pas_dagster.sandbox.world import World

_CONSUMER = ("Consumer Discretionary", "Communication Services", "Consumer Staples")
_MOST = 25
_TRAITS = 1 << 20  # a block that no day reaches


@dataclass(frozen=True)
class App:
    """An app in the store; `company` is its number."""

    company: int
    app_id: str
    name: str


@cache
def catalogue() -> tuple[App, ...]:
    """The apps, the same for every seed."""
    numbers = [number for number, company in enumerate(companies()) if company.sector in _CONSUMER][:_MOST]
    names = [companies()[number].name.partition(" Class ")[0] for number in numbers]
    return tuple(
        App(number, str(900_000_001 + 7919 * number), f"{name.split()[0]}: {name.split()[1]} & More")
        for number, name in zip(numbers, names, strict=True)
    )


def ids(world: World) -> dict[str, list[str]]:
    """Symbol -> ids of its apps, also under the symbol after a change: what a source must be told to ask for."""
    found = {companies()[app.company].symbol: [app.app_id] for app in catalogue()}
    for app in catalogue():
        if app.company == world.listing.renamed:
            found[world.listing.new_symbol] = [app.app_id]
    return found


def rows(world: World) -> pd.DataFrame:
    """All of the table app_reviews, each day known on the day; hype is missing in an app's first week."""
    days, apps = calendar_days(world), catalogue()
    company = np.array([app.company for app in apps])
    traits = generator(world.seed, Tag.APPS, _TRAITS)
    before = np.exp(traits.normal(12.0, 1.3, len(apps)))
    daily = before / traits.uniform(700, 2500, len(apps))
    noise = normals(world.seed, Tag.APPS, len(days), 2, len(apps))
    buzz = 0.5 * stir(world, days)[:, company]
    pace = daily * np.exp(0.5 * autoregressive(noise[:, 0], 30.0) + 0.1 * noise[:, 1] + buzz)
    ratings = np.floor(before + np.cumsum(np.floor(pace), axis=0)).astype(np.int64)
    taste = traits.uniform(3.4, 4.8, len(apps)) + 0.12 * autoregressive(noise[:, 1], 200.0)
    rating = np.round(np.clip(taste, 1.0, 5.0), 5)
    there = listed(world, days)[:, company]
    old = np.full(ratings.shape, np.nan)
    old[7:] = np.where(there[:-7], ratings[:-7], np.nan)
    hype = ratings / old - 1
    day, column = np.nonzero(there)
    names, codes = symbol_codes(world, days)
    order = np.lexsort((codes[day, company[column]], day))
    day, column = day[order], column[order]
    event = days[day].astype("datetime64[D]").astype("datetime64[us]")
    return pd.DataFrame(
        {
            "known_on": event,
            "event_date": event,
            "symbol": pd.array(names, dtype="str").take(codes[day, company[column]]),
            "app": pd.array(np.array([app.name for app in apps], dtype=object), dtype="str").take(column),
            "app_id": pd.array(np.array([app.app_id for app in apps], dtype=object), dtype="str").take(column),
            "rating": rating[day, column],
            "ratings": ratings[day, column],
            "hype": hype[day, column],
        }
    )
