"""Upgrade momentum."""

from __future__ import annotations

import math

import numpy as np

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import SYMBOL, Fraction, NotEnoughData, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window

WEEK = 7  # days
COUNTED = 4  # weeks of revisions in one ratio
SMOOTHED = 8  # weekly decisions whose ratios are averaged
WEEKS = COUNTED + SMOOTHED - 1  # from the first revision that matters to the decision
KEY = ["event_date", "symbol", "firm", "action"]
DECIMALS = 12  # scores equal to so many are equal: what is beyond is rounding


@strategy(
    name="upgrade_momentum",
    title="Upgrade Momentum",
    cadence=Cadence.WEEKLY_MON,
    reads={"analyst_ratings": Window(days=WEEKS * WEEK, columns=tuple(KEY)), "universe": Window()},
)
def upgrade_momentum(data: AsOf, *, top_share: Fraction = 0.1) -> Weights:
    """Stocks whose analysts have been upgrading them, smoothed over eight weeks.

    Rule: at each of the last eight weekly decision points (this decision, and 7, 14, ... 49 days before it) take a
    stock's ratio (upgrades - downgrades) / total of the ratings that became known in the 28 days before the point;
    its score is the mean of the eight ratios. Hold in equal weight the best `top_share` (a tenth, rounded up) of
    the stocks that have any rating in these 77 days, ties by symbol, as far as their score is above zero; none above
    zero: cash.

    `total` counts every rating, also those that change nothing (initiated, maintained, reiterated): one upgrade
    among many ratings says less than one alone. A point without a rating counts as a ratio of zero. One firm's action
    on one stock and day counts once, from the day it first became known. Only stocks of the universe at the decision.
    No rating of any of them in the 77 days: cannot decide.

    Source: Womack (1996), Jegadeesh, Kim, Krische and Lee (2004); published changes of analysts' ratings.

    Parameters: top_share, the share of the rated stocks that may be held.
    """
    rows = data.table("analyst_ratings")
    repeated = rows.duplicated(KEY).to_numpy()  # the oldest comes first
    codes, symbols = data.codes("analyst_ratings")
    known = rows["known_on"].to_numpy().astype("datetime64[D]")
    week = ((np.datetime64(data.decision) - known).astype(int) - 1) // WEEK
    signs = (rows["action"] == "upgrade").to_numpy(int) - (rows["action"] == "downgrade").to_numpy(int)
    listed = set(data.stocks())
    rated = [at for at, name in enumerate(symbols.tolist()) if name in listed and SYMBOL.fullmatch(name)]
    if not rated:
        raise NotEnoughData(f"no rating of a listed stock became known in the last {WEEKS * WEEK} days")
    counted = ~repeated & (codes >= 0)  # a row without a symbol has no code
    score = _mean_ratio(codes[counted], week[counted], signs[counted])[rated]
    best = np.argsort(-score, kind="stable")[: math.ceil(round(top_share * len(rated), DECIMALS))]
    return Weights.equal(symbols[rated][best[score[best] > 0]])


def _mean_ratio(codes: np.ndarray, week: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """The score of each symbol, from its code, weeks of age (0 is the last) and sign of each rating."""
    shape = (int(codes.max()) + 1, WEEKS)
    cell = codes * WEEKS + week
    total = _over_weeks(np.bincount(cell, minlength=shape[0] * WEEKS).reshape(shape))
    net = _over_weeks(np.bincount(cell, signs, shape[0] * WEEKS).reshape(shape))
    return np.round((net / np.maximum(total, 1)).mean(axis=1), DECIMALS)


def _over_weeks(counts: np.ndarray) -> np.ndarray:
    """(symbols, weeks) -> (symbols, points): sums over the weeks that each point looks at."""
    return np.lib.stride_tricks.sliding_window_view(counts, COUNTED, axis=1).sum(axis=-1)
