"""App-reviews hype."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import Count, NotEnoughData, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window
from pas_dagster.strategies.ranking import largest

DAYS = 10  # as long as the dataset may be old: stores are looked at once a week
DECIMALS = 12  # of a company's hype: what two equal ones differ by is rounding


@strategy(
    name="app_reviews_hype",
    title="App-Reviews Hype",
    cadence=Cadence.WEEKLY_MON,
    reads={
        "app_reviews": Window(days=DAYS, columns=("event_date", "symbol", "app", "app_id", "ratings", "hype")),
        "universe": Window(),
    },
)
def app_reviews_hype(data: AsOf, *, top_n: Count = 20) -> Weights:
    """Long the companies whose apps gain ratings fastest from one week to the next.

    Rule: an app's rise is its `hype` as stored, which is itself the change over a week (for the App Store: ratings now
    / ratings a week before - 1); the change of that change would be noise, and would take two weeks to know. Of each
    app the newest hype counts that became known in the 10 calendar days before the decision: the one of the latest
    day, as last told, two told on one day as the higher. A company's rise is the mean over its apps, each weighted by
    its number of ratings, so that an app that hardly anybody rated says little. Hold the `top_n` listed companies with
    the largest rise above zero in equal weight; ties (to twelve decimals) go by symbol. None: cash.

    An app is told by its number in the store, or by its name where that is unknown. A row without hype is passed over,
    one without ratings has no weight. No hype at all in 10 days: cannot decide.

    Source: ratings in Apple's App Store, of which hype is computed; or Quiver's app ratings with their own hype.

    Parameters: top_n, the most names held.
    """
    rises = rise_by_company(newest_of_apps(data.table("app_reviews")))
    if rises.empty:
        raise NotEnoughData(f"no week-over-week change of an app's ratings became known in the last {DAYS} days")
    return Weights.equal(largest(rises[rises > 0], data.universe.index, top_n))


def newest_of_apps(told: pd.DataFrame) -> pd.DataFrame:
    """Of each app of each company its newest row with a hype, in the order of symbol and app."""
    rows = told[(told["symbol"].notna() & told["hype"].notna()).to_numpy()]
    companies = pd.factorize(rows["symbol"], sort=True)[0]
    apps, names = pd.factorize(rows["app_id"].where(rows["app_id"].notna(), rows["app"]), sort=True)
    which = companies * len(names) + apps
    values = (rows[name].to_numpy() for name in ("ratings", "hype", "known_on", "event_date"))
    order = np.lexsort((*values, which))
    last = np.append(which[order][1:] != which[order][:-1], True) if len(order) else np.array([], bool)
    return rows.iloc[order[last]]


def rise_by_company(apps: pd.DataFrame) -> pd.Series:
    """Mean hype of each company's apps, weighted by their ratings, sorted by symbol; without those that have none."""
    codes, symbols = pd.factorize(apps["symbol"], sort=True)
    ratings, hype = apps["ratings"].to_numpy(float), apps["hype"].to_numpy(float)
    weight = np.bincount(codes, ratings, len(symbols))
    rise = np.bincount(codes, ratings * hype, len(symbols)) / np.where(weight > 0, weight, np.nan)
    return pd.Series(np.round(rise, DECIMALS), index=symbols.astype(object)).dropna()
