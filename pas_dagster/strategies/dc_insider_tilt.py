"""DC-insider tilt."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import Count, NotEnoughData, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window
from pas_dagster.strategies.ranking import largest

DAYS = 10  # as long as the dataset may be old


@strategy(
    name="dc_insider_tilt",
    title="DC-Insider Tilt",
    cadence=Cadence.WEEKLY_MON,
    reads={
        "dc_insider_scores": Window(days=DAYS, columns=("event_date", "symbol", "score")),
        "universe": Window(),
    },
)
def dc_insider_tilt(data: AsOf, *, top_n: Count = 30) -> Weights:
    """Long the companies with the highest scores of ties to Washington.

    Rule: hold the `top_n` listed companies with the highest score in equal weight; ties go by symbol. Of each
    company the newest score counts that was published in the 10 calendar days before the decision: the one of the
    latest day (`event_date`), as last published. A score that is older than the newest day counts like any other,
    so that a page that was told in part does not shrink the choice. A company that is not listed at the decision
    takes nobody's place; fewer than `top_n` share the whole. No score in 10 days: cannot decide.

    Source: Quiver's DC insider score, or the same method on congressional trading, lobbying and contracts (0 to 100).

    Parameters: top_n, the most names held.
    """
    scores = newest_scores(data.table("dc_insider_scores"), *data.codes("dc_insider_scores"))
    if scores.empty:
        raise NotEnoughData(f"no DC insider score was published in the last {DAYS} days")
    return Weights.equal(largest(scores, data.universe.index, top_n))


def newest_scores(published: pd.DataFrame, codes: np.ndarray, symbols: np.ndarray) -> pd.Series:
    """The newest score of each symbol, sorted by symbol; equally new ones of one symbol: the highest."""
    score = published["score"].to_numpy(float)
    order = np.lexsort((score, published["known_on"].to_numpy(), published["event_date"].to_numpy()))
    order = order[(codes[order] >= 0) & ~np.isnan(score[order])]
    newest = np.full(len(symbols), np.nan)
    newest[codes[order]] = score[order]  # the last of each symbol stays
    return pd.Series(newest, index=symbols).dropna()
