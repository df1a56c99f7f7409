"""Government-contracts momentum."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import Count, Dollars, NotEnoughData, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window
from pas_dagster.strategies.ranking import largest

REACH = 92  # days; from any day back to the first of the month before takes at most 61


@strategy(
    name="gov_contracts_momentum",
    title="Government-Contracts Momentum",
    cadence=Cadence.MONTHLY,
    reads={
        "gov_contracts": Window(days=REACH, columns=("award_id", "symbol", "kind", "amount")),
        "universe": Window(),
    },
)
def gov_contracts_momentum(data: AsOf, *, max_names: Count = 25, least: Dollars = 50e6) -> Weights:
    """Long every company with at least 50 million USD of new federal contracts in the month before.

    Rule: add up, by symbol, the obligations (USD, to the cent) of the new awards that became known in the calendar
    month before the decision's; hold the listed companies with `least` or more in equal weight, the `max_names`
    largest of them, ties by symbol. Modifications do not count, neither what they add nor what they take back.
    Where nobody says whether an award is new (Quiver does not), it does not count.

    An award counts once, in the month in which it first became known (looking back 92 days), as it was last
    published. Nothing became known in that month, or it is not told of any of its awards whether they are new:
    cannot decide. Nobody with so much: cash.

    Source: USAspending. An action is taken to be known 10 days after it was signed, of the Department of Defense 95.

    Parameters: max_names, the most names held; least, USD of new awards in the month.
    """
    end = data.decision.replace(day=1)
    month = first_known_between(data.table("gov_contracts"), (end - timedelta(1)).replace(day=1), end)
    if month.empty:
        raise NotEnoughData(f"no federal contract became known in the month before {end}")
    if month["kind"].isna().all():
        raise NotEnoughData(f"no contract of the month before {end} says whether it is a new award")
    awarded = awards_by_symbol(month[(month["kind"] == "new").to_numpy(bool)])
    return Weights.equal(largest(awarded[awarded >= least], data.universe.index, max_names))


def first_known_between(told: pd.DataFrame, first: date, end: date) -> pd.DataFrame:
    """The actions that became known from `first` to the day before `end`, each once, as last published."""
    actions, ids = pd.factorize(told["award_id"])
    at = np.arange(len(told))
    oldest, newest = np.empty(len(ids), int), np.empty(len(ids), int)
    oldest[actions[::-1]] = at[::-1]  # rows come oldest first, and the last one written stays
    newest[actions] = at
    known = told["known_on"].to_numpy()[oldest]
    inside = (known >= np.datetime64(first)) & (known < np.datetime64(end))
    return told.iloc[newest[inside]]


def awards_by_symbol(awards: pd.DataFrame) -> pd.Series:
    """Sums in USD, sorted by symbol; an unknown amount adds nothing."""
    codes, symbols = pd.factorize(awards["symbol"], sort=True)
    named = codes >= 0
    cents = np.nan_to_num(np.round(awards["amount"].to_numpy(float)[named] * 100))
    # Sums of whole cents are exact, whatever the order of rows.
    return pd.Series(np.bincount(codes[named], cents, len(symbols)) / 100, index=symbols.astype(object))
