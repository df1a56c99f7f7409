"""Simulated posts of a forum and the symbols they mention: few symbols have most mentions, and stirs bring more.

The posts of a day are numbered; post k mentions every symbol that is mentioned in more than k posts. So the scores of
posts and the upvotes of symbols agree, and the posts can be told whole without keeping them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pas_dagster.sandbox.attention import calendar_days, listed, stir, symbol_codes
from pas_dagster.sandbox.funds import FUNDS
from pas_dagster.sandbox.listing import COMPANIES
from pas_dagster.sandbox.streams import BLOCK, Floats, Ints, Tag, autoregressive, generator, normals

if TYPE_CHECKING:
    from pas_dagster.sandbox.world import World

FORUM = "wallstreetbets"
MOST_POSTS = 1000
"""So many posts a day at most mention a symbol."""

TALKED_OF = ("SPY", "QQQ", "TQQQ", "SOXL")
"""Funds that the forum likes."""

_TRAITS = 1 << 20  # a block that no day reaches
_SCORES = 1 << 21  # the first block of scores


def rows(world: World) -> pd.DataFrame:
    """All of the table reddit_mentions, each day known on the day; symbols without a mention are left out."""
    days = calendar_days(world)
    funds = [fund.symbol for fund in FUNDS if fund.symbol in TALKED_OF]
    mentions = _mentions(world, days, len(funds))
    own, codes = symbol_codes(world, days)
    names = np.concatenate([own, np.array(funds, dtype=object)])
    place = np.argsort(np.argsort(names))
    codes = np.hstack([codes, np.tile(len(own) + np.arange(len(funds)), (len(days), 1))])
    day, column = np.nonzero(mentions > 0)
    order = np.lexsort((place[codes[day, column]], day))
    day, column = day[order], column[order]
    number = mentions[day, column]
    together = np.cumsum(scores(world, len(days)), axis=1)
    event = days[day].astype("datetime64[D]").astype("datetime64[us]")
    return pd.DataFrame(
        {
            "known_on": event,
            "event_date": event,
            "symbol": pd.array(names, dtype="str").take(codes[day, column]),
            "forum": FORUM,
            "mentions": number,
            "upvotes": together[day, number - 1].astype(np.float64),
        }
    )


def scores(world: World, count: int) -> Ints:
    """Scores of the posts of the first `count` days, (count, MOST_POSTS): most have few, some thousands."""
    blocks = range(_SCORES, _SCORES + -(-count // BLOCK))
    parts = [generator(world.seed, Tag.REDDIT, block).standard_normal((BLOCK, MOST_POSTS)) for block in blocks]
    return np.floor(np.exp(1.5 + 1.9 * np.minimum(np.concatenate(parts)[:count], 4.0))).astype(np.int64)


def _mentions(world: World, days: Ints, funds: int) -> Ints:
    """Posts that mention each company and fund, (days, COMPANIES + funds)."""
    traits = generator(world.seed, Tag.REDDIT, _TRAITS)
    level = np.concatenate([_popularity(traits, COMPANIES), np.full(funds, 4.6)])
    noise = normals(world.seed, Tag.REDDIT, len(days), 2, len(level))
    mood = level + 0.8 * autoregressive(noise[:, 0], 25.0) + 0.35 * noise[:, 1]
    mood[:, :COMPANIES] += 0.9 * stir(world, days)
    mood[(days + 3) % 7 >= 5] -= 0.8  # weekends are quiet
    count = np.minimum(np.floor(np.exp(np.minimum(mood, 8.0))), MOST_POSTS).astype(np.int64)
    count[:, :COMPANIES][~listed(world, days)] = 0
    return count


def _popularity(traits: np.random.Generator, width: int) -> Floats:
    """Log of the usual mentions: a power law over the ranks of companies, in random order."""
    return traits.permutation(5.2 - np.log(1 + np.arange(width)))
