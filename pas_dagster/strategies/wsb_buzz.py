"""WSB buzz."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import Count, NotEnoughData, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window
from pas_dagster.strategies.ranking import largest
from pas_dagster.strategies.wiki_attention_surge import last_told

WEEK = 7  # days
LEAST_DAYS = 5  # of the week that were seen, and were seen a week before
OLDEST = 5  # days that the newest day may be before the decision, as for the dataset


@strategy(
    name="wsb_buzz",
    title="WSB Buzz",
    cadence=Cadence.WEEKLY_MON,
    reads={
        "reddit_mentions": Window(days=OLDEST + 2 * WEEK - 1, columns=("event_date", "symbol", "forum", "mentions")),
        "universe": Window(),
    },
)
def wsb_buzz(
    data: AsOf,
    *,
    top_n: Count = 15,
    baseline: Annotated[int, Field(ge=1)] = 500,
    forum: Annotated[str, Field(min_length=1)] = "wallstreetbets",
) -> Weights:
    """Long the symbols whose mentions on r/wallstreetbets grow fastest.

    Rule: the last week ends with the newest day of which mentions in `forum` are known, the 7 days before it are the
    week before. Growth is the mentions of the last week divided by those of the week before. Hold the `top_n` symbols
    with the highest growth above 1 among those with at least `baseline` mentions in the week before, in equal weight;
    ties go by symbol. Only stocks and funds listed at the decision. None: cash.

    A day was seen if any symbol has mentions on it; a symbol without a row on such a day was not mentioned. Of a day
    that was not seen nothing is known: it counts in neither week, nor does the day seven days before or after it, so
    the two weeks have the same weekdays. A symbol's day counts as last told, two told on one day as the larger. Fewer
    than 5 such pairs of days, or the newest day more than 5 days before the decision: cannot decide.

    Source: ApeWisdom (mentions in posts and comments of the 24 hours before each day's look, so that seven looks are
    about a week), or new posts as Reddit lists them (fewer by far: lower the baseline).

    Parameters: top_n, the most names held; baseline, the least mentions in the week before; forum, which one of the
    dataset's forums counts ("all-stocks" when ApeWisdom is asked for that).
    """
    told = data.table("reddit_mentions")
    past = told["event_date"] < pd.Timestamp(data.decision)
    rows = told[((told["forum"] == forum) & told["symbol"].notna() & past).to_numpy()]
    ago = (np.datetime64(data.decision) - rows["event_date"].to_numpy().astype("datetime64[D]")).astype(int)
    if not len(rows) or ago.min() > OLDEST:
        others = ", ".join(sorted(told["forum"].dropna().unique())) or "none"
        raise NotEnoughData(f"no mentions in {forum!r} are known of the last {OLDEST} days (forums known: {others})")
    symbols, mentions = mentions_by_day(rows, ago - ago.min())
    seen = np.any(~np.isnan(mentions), axis=1).reshape(2, WEEK)
    pairs = seen.all(axis=0)
    if pairs.sum() < LEAST_DAYS:
        raise NotEnoughData(f"mentions are known of {pairs.sum()} of {WEEK} days and those a week before them")
    counted = np.nan_to_num(mentions)
    last, before = counted[:WEEK][pairs].sum(axis=0), counted[WEEK:][pairs].sum(axis=0)
    growth = pd.Series(last / np.maximum(before, 1), symbols)[before >= baseline]
    return Weights.equal(largest(growth[growth > 1], data.universe.index, top_n))


def mentions_by_day(rows: pd.DataFrame, age: np.ndarray) -> tuple[pd.Index, np.ndarray]:
    """Sorted symbols, and their mentions (2 weeks of days, symbols) from the newest day (age 0) back; NaN: no row."""
    inside = age < 2 * WEEK
    rows, age = rows[inside], age[inside]
    codes, symbols = pd.factorize(rows["symbol"], sort=True)
    values, known_on = rows["mentions"].to_numpy(float), rows["known_on"].to_numpy()
    grid = last_told(age * len(symbols) + codes, values, known_on, 2 * WEEK * len(symbols))
    return pd.Index(symbols, dtype=object), grid.reshape(2 * WEEK, len(symbols))
