"""Who is listed on each calendar day, and how much a company is talked about: after large moves, and now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pas_dagster.sandbox.listing import COMPANIES, companies
from pas_dagster.sandbox.streams import BLOCK, Bools, Floats, Ints, Tag, generator

if TYPE_CHECKING:
    from pas_dagster.sandbox.world import World

_ORDINARY_MOVE = 0.018
_RUMOURS = 1 << 21  # the first block of rumours: no other stream has so many
_RUMOUR_ODDS = 0.004  # that one starts on any day
_FADES = 0.62  # of a stir is left on the next day


def calendar_days(world: World) -> Ints:
    """Every day from the first session to the last simulated one, as days since 1970."""
    return np.arange(world.days[0], world.days[-1] + 1)


def session_of(world: World, days: Ints) -> Ints:
    """The session of each day, or the last one before it."""
    return np.searchsorted(world.days, days, side="right") - 1


def listed(world: World, days: Ints) -> Bools:
    """Whether each company is listed on each day, (days, COMPANIES)."""
    session = session_of(world, days)[:, None]
    return (world.listing.first <= session) & (session <= world.listing.last)


def symbol_codes(world: World, days: Ints) -> tuple[np.ndarray, Ints]:
    """All symbols in alphabetical order, and the place of each company's symbol on each day, (days, COMPANIES)."""
    own = np.array([*(company.symbol for company in companies()), world.listing.new_symbol], dtype=object)
    place = np.argsort(np.argsort(own))
    codes = np.broadcast_to(place[:COMPANIES], (len(days), COMPANIES)).copy()
    codes[session_of(world, days) >= world.listing.rename_session, world.listing.renamed] = place[COMPANIES]
    return np.sort(own), codes


def moves(world: World, days: Ints) -> Floats:
    """Size of each company's return on each day in ordinary moves, (days, COMPANIES); zero without a session."""
    session = session_of(world, days)
    size = np.abs(world.market.stocks[session]) / _ORDINARY_MOVE
    return np.where((world.days[session] == days)[:, None], size, 0.0)


def stir(world: World, days: Ints) -> Floats:
    """How far each company is above its usual attention, (days, COMPANIES), in logs: large moves and rumours, fading.

    It is the same wherever people show their attention.
    """
    blocks = range(_RUMOURS, _RUMOURS + -(-len(days) // BLOCK))
    parts = [generator(world.seed, Tag.WIKI, block).random((BLOCK, 2, COMPANIES)) for block in blocks]
    drawn = np.concatenate(parts)[: len(days)]
    rumour = np.where(drawn[:, 0] < _RUMOUR_ODDS, 1.0 + 2.0 * drawn[:, 1], 0.0)
    fresh = 0.3 * np.clip(moves(world, days) - 1.0, 0.0, 6.0) + rumour
    out = np.empty_like(fresh)
    level = np.zeros(COMPANIES)
    for number, new in enumerate(fresh):
        level = np.maximum(_FADES * level, new)
        out[number] = level
    return out
