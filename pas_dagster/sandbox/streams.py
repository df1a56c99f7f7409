"""Seeded random streams and recursions whose past never depends on how long the series is."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

BLOCK = 252
"""Sessions per random block. Blocks are always drawn whole, then cut: that is what keeps history fixed."""


class Tag(IntEnum):
    """One number per independent stream; renumbering changes every world."""

    CALENDAR_OF_EVENTS = 1
    TRAITS = 2
    MARKET = 3
    REGIMES = 4
    STYLES = 5
    SECTOR_NOISE = 6
    SECTOR_TREND = 7
    RATES = 8
    IDIOSYNCRATIC = 9
    FUNDS = 10
    BARS = 11
    GAPS = 12
    CONGRESS = 13
    INDEX_BARS = 14
    PRICING = 15
    LOBBYING = 16
    CONTRACTS = 17
    INSIDERS = 18
    WIKI = 19
    REDDIT = 20
    TRENDS = 21
    APPS = 22
    NEWS = 23
    RATINGS = 24
    CATALYSTS = 25


def generator(seed: int, tag: Tag, block: int = 0) -> np.random.Generator:
    """The generator of one block of one stream."""
    return np.random.default_rng([seed, int(tag), block])


def by_block(seed: int, tag: Tag, sessions: int, draw: Callable[[np.random.Generator], Floats]) -> Floats:
    """Stack `draw(generator)` (each of shape (BLOCK, ...)) over blocks and cut to (sessions, ...)."""
    blocks = max(1, -(-sessions // BLOCK))
    return np.concatenate([draw(generator(seed, tag, block)) for block in range(blocks)])[:sessions]


def normals(seed: int, tag: Tag, sessions: int, *width: int) -> Floats:
    """Standard normal shocks, shape (sessions, *width)."""
    return by_block(seed, tag, sessions, lambda rng: rng.standard_normal((BLOCK, *width)))


def fat_tails(seed: int, tag: Tag, sessions: int, width: int, degrees: float) -> Floats:
    """Student-t shocks of unit variance, shape (sessions, width)."""
    scale = np.sqrt((degrees - 2) / degrees)
    return by_block(seed, tag, sessions, lambda rng: scale * rng.standard_t(degrees, (BLOCK, width)))


def clustered(shocks: Floats) -> Floats:
    """GARCH(1,1) with unit unconditional variance driven by unit `shocks` of shape (sessions, width)."""
    out = np.empty_like(shocks)
    variance = np.ones(shocks.shape[1])
    for session, shock in enumerate(shocks):
        out[session] = np.sqrt(variance) * shock
        # The cap keeps one extreme draw from raising volatility for a whole year.
        variance = 0.05 + 0.09 * np.minimum(out[session] ** 2, 9.0) + 0.86 * variance
    return out


def autoregressive(shocks: Floats, half_life: float) -> Floats:
    """AR(1) with unit stationary variance from unit `shocks` of shape (sessions, width), started stationary."""
    keep = 0.5 ** (1.0 / half_life)
    out = np.empty_like(shocks)
    out[0] = shocks[0]
    for session in range(1, len(shocks)):
        out[session] = keep * out[session - 1] + np.sqrt(1 - keep**2) * shocks[session]
    return out
