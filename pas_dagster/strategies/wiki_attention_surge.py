"""Wikipedia attention surge, and the values of cells as they were last told."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import Count, NotEnoughData, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window
from pas_dagster.strategies.ranking import largest

SP1500 = frozenset({"S&P 500", "S&P 400", "S&P 600"})
NEWEST = 2  # days before the decision: the views of a day become known on the next day
WEEK, MONTH = 7, 30  # days
LEAST_OF_WEEK, LEAST_OF_MONTH = 6, 25  # days whose views are known
DECIMALS = 9  # of a score: what two equal scores differ by is rounding


@strategy(
    name="wiki_attention_surge",
    title="Wikipedia Attention Surge",
    cadence=Cadence.WEEKLY_MON,
    reads={
        "wiki_views": Window(days=NEWEST + MONTH - 1, columns=("event_date", "symbol", "views")),
        "universe": Window(),
    },
)
def wiki_attention_surge(data: AsOf, *, top_n: Count = 10) -> Weights:
    """Long the S&P 1500 companies whose Wikipedia article is read most above its usual.

    Rule: the views of a day become known on the next day, so for a decision on day R the week is the 7 days R-8 to R-2
    and the month the 30 days R-31 to R-2, which the week ends. Score each company by (mean daily views of the week -
    mean of the month) / sample standard deviation of the month's daily views, to nine decimals, and hold the `top_n`
    highest positive scores in equal weight; ties go by symbol. None positive: cash.

    Candidates are the stocks of the universe that are members of the S&P 500, 400 or 600 at the decision; where no
    stock of the universe is known to be a member of one, all of its stocks are. A candidate takes part with views on 6
    days of the week and 25 of the month, and not always the same number. A day without a row is unknown, not zero; a
    day that was told twice counts as last told, two of one day as the larger. Nobody takes part: cannot decide.

    Source: Wikimedia's page views, without crawlers.

    Parameters: top_n, the most names held.
    """
    names = candidates(data)
    score = scores(views_by_day(data, names))
    if np.isnan(score).all():
        least = f"{LEAST_OF_WEEK} of the last {WEEK} days and {LEAST_OF_MONTH} of {MONTH}"
        raise NotEnoughData(f"of no stock are page views known on {least}, with a deviation")
    above = np.flatnonzero(score > 0)
    return Weights.equal(largest(pd.Series(score[above], names[above]), names, top_n))


def candidates(data: AsOf) -> pd.Index:
    """The stocks of the universe that are in the S&P 1500, all of them where none is known to be; sorted."""
    stocks = pd.Index(sorted(data.stocks()), dtype=object)
    indexes = data.universe["indexes"].to_numpy()[data.universe.index.get_indexer(stocks)]
    member = np.fromiter((not SP1500.isdisjoint(names) for names in indexes), bool, len(indexes))
    return stocks[member] if member.any() else stocks


def views_by_day(data: AsOf, names: pd.Index) -> np.ndarray:
    """Views a day (MONTH, names), the oldest day first; NaN where unknown."""
    rows = data.table("wiki_views")
    last = np.datetime64(data.decision) - NEWEST
    day = MONTH - 1 - (last - rows["event_date"].to_numpy().astype("datetime64[D]")).astype(int)
    codes, symbols = data.codes("wiki_views")
    name = np.append(names.get_indexer(symbols), -1)[codes]  # a row about no symbol has the code -1
    inside = (day >= 0) & (day < MONTH) & (name >= 0)
    cells = day[inside] * len(names) + name[inside]
    views, known_on = rows["views"].to_numpy(float)[inside], rows["known_on"].to_numpy()[inside]
    return last_told(cells, views, known_on, MONTH * len(names)).reshape(MONTH, len(names))


def scores(views: np.ndarray) -> np.ndarray:
    """(names,) the week's mean less the month's, in deviations of the month; NaN for whoever takes no part."""
    known = ~np.isnan(views)
    of_week, of_month = known[-WEEK:].sum(axis=0), known.sum(axis=0)
    filled = np.where(known, views, 0.0)
    mean = filled.sum(axis=0) / np.maximum(of_month, 1)
    squares = np.where(known, filled - mean, 0.0) ** 2
    deviation = np.sqrt(squares.sum(axis=0) / np.maximum(of_month - 1, 1))
    moves = np.where(known, views, np.inf).min(axis=0) < np.where(known, views, -np.inf).max(axis=0)
    counts = (of_week >= LEAST_OF_WEEK) & (of_month >= LEAST_OF_MONTH) & moves
    above = filled[-WEEK:].sum(axis=0) / np.maximum(of_week, 1) - mean
    return np.where(counts, np.round(above / np.where(counts, deviation, 1.0), DECIMALS), np.nan)


def last_told(cells: np.ndarray, values: np.ndarray, known_on: np.ndarray, count: int) -> np.ndarray:
    """(count,) of each cell the value told last, and of two told on one day the larger; NaN where nothing is told.

    >>> days = np.array(["2024-06-03", "2024-06-04", "2024-06-03"], "datetime64[D]")
    >>> last_told(np.array([0, 0, 2]), np.array([5.0, 4.0, 7.0]), days, 3).tolist()
    [4.0, nan, 7.0]
    """
    grid = np.full(count, np.nan)
    grid[cells] = values
    if np.count_nonzero(~np.isnan(grid)) < len(cells):  # a cell was told twice; sorting always would take longest
        order = np.lexsort((values, known_on))
        grid[cells[order]] = values[order]
    return grid
