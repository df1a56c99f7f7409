"""Simulated page views of the companies' articles: a level, a weekly rhythm, slow fashions, and stirs that fade."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pas_dagster.sandbox.attention import calendar_days, listed, stir, symbol_codes
from pas_dagster.sandbox.listing import COMPANIES, companies
from pas_dagster.sandbox.streams import Tag, autoregressive, generator, normals

if TYPE_CHECKING:
    from pas_dagster.sandbox.world import World

_TRAITS = 1 << 20  # a block that no day reaches
_WEEK = np.array([1.06, 1.08, 1.07, 1.04, 0.96, 0.80, 0.86])
"""Monday first."""


@dataclass(frozen=True)
class Entry:
    """How the encyclopedia treats a company's name: `article` is its article's title, None when it has none.

    `redirected_from` is the name where that leads to the article, `ambiguous` the name where that is a disambiguation.
    """

    article: str | None
    redirected_from: str | None = None
    ambiguous: str | None = None


@cache
def entries() -> tuple[Entry, ...]:
    """One for each company, the same for every seed."""
    return tuple(_entry(number, company.name.partition(" Class ")[0]) for number, company in enumerate(companies()))


def _entry(number: int, name: str) -> Entry:
    if number % 20 == 13:
        return Entry(None)
    if number % 9 == 4:
        return Entry(name.split()[0], redirected_from=name)
    if number % 15 == 6:
        return Entry(f"{name} (company)", ambiguous=name)
    return Entry(name)


def rows(world: World) -> pd.DataFrame:
    """All of the table wiki_views; a day's views are known on the next day, days without any are left out."""
    days = calendar_days(world)
    traits = generator(world.seed, Tag.WIKI, _TRAITS)
    level = 4.0 + np.log(world.listing.weight) + traits.normal(0.0, 1.0, COMPANIES)
    noise = normals(world.seed, Tag.WIKI, len(days), 2, COMPANIES)
    fashion = autoregressive(noise[:, 0], 60.0)
    weekday = (days + 3) % 7
    calm = level + 0.35 * fashion + 0.14 * noise[:, 1] + np.log(_WEEK[weekday])[:, None]
    views = np.round(np.exp(np.minimum(calm + stir(world, days), 14.0))).astype(np.int64)
    has_article = np.array([entry.article is not None for entry in entries()])
    day, company = np.nonzero(listed(world, days) & has_article & (views > 0))
    names, codes = symbol_codes(world, days)
    order = np.lexsort((codes[day, company], day))
    day, company = day[order], company[order]
    event = days[day].astype("datetime64[D]")
    articles = np.array([entry.article for entry in entries()], dtype=object)
    origins = np.array([entry.redirected_from for entry in entries()], dtype=object)
    return pd.DataFrame(
        {
            "known_on": (event + 1).astype("datetime64[us]"),
            "event_date": event.astype("datetime64[us]"),
            "symbol": pd.array(names, dtype="str").take(codes[day, company]),
            "article": pd.array(articles.astype(str), dtype="str").take(company),
            "redirected_from": pd.Series(origins[company], dtype=object),
            "views": views[day, company],
        }
    )
