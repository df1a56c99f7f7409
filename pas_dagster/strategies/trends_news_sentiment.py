"""Search trends with good news."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import Count, NotEnoughData, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window
from pas_dagster.strategies.ranking import largest
from pas_dagster.strategies.wiki_attention_surge import last_told

MONTH_REACH, TWO_MONTHS_REACH = 61, 91  # days; at most so far back the month before began, and the one before that
LEAST_POINTS = 3  # of a month: three of its weeks are over before it ends, whatever weekday they begin on
UNITS = 1e9  # sums of whole billionths are exact, whatever the order of rows


@strategy(
    name="trends_news_sentiment",
    title="Search Trends with Positive News",
    cadence=Cadence.MONTHLY,
    reads={
        "google_trends": Window(days=TWO_MONTHS_REACH, columns=("event_date", "symbol", "interest")),
        "news_headlines": Window(days=MONTH_REACH, columns=("headline_id", "symbol", "sentiment")),
        "universe": Window(),
    },
)
def trends_news_sentiment(data: AsOf, *, top_n: Count = 30) -> Weights:
    """Long the companies with the largest monthly rise in search interest and positive news.

    Rule: the month is the calendar month before the decision's. A symbol's rise is its mean search interest of the
    month less that of the month before it, in points: interest is relative to the term's own peak (100), so points
    compare between terms and nothing is divided by values near zero. Its mood is the mean sentiment of the headlines
    about it that became known in the month. Hold the `top_n` listed symbols with the largest rise above zero among
    those with a mood above zero, in equal weight; ties go by symbol. None: cash.

    A week of interest belongs to the month of its first day (`event_date`), and counts once it is known, as last told
    before the decision (two told on one day: the larger); a symbol takes part with 3 points in each month, so the last
    week of the month may be missing. A headline about several symbols counts in full for each. One without a sentiment
    is passed over; one told again in the month counts once, with the sentiment last told (two told on one day: the
    larger). A symbol without any headline that counts has no mood, and is not held. No symbol with 3 points in each of
    the two months, or no headline with a sentiment and a symbol in the month: cannot decide.

    Source: Google Trends, or Quiver's copy; headlines of Alpaca (Benzinga) or Finviz, scored by VADER from -1 to 1.

    Parameters: top_n, the most names held.
    """
    end = data.decision.replace(day=1)
    middle = (end - timedelta(1)).replace(day=1)
    rises = rise_by_symbol(data.table("google_trends"), (middle - timedelta(1)).replace(day=1), middle, end)
    if rises.empty:
        raise NotEnoughData(
            f"no search interest is known on {LEAST_POINTS} dates of each of the two months before {end}"
        )
    moods = mood_by_symbol(data.table("news_headlines"), middle, end)
    if moods.empty:
        raise NotEnoughData(f"no headline about a symbol became known with a sentiment in the month before {end}")
    liked = rises[(rises > 0).to_numpy() & rises.index.isin(moods.index[moods > 0])]
    return Weights.equal(largest(liked, data.universe.index, top_n))


def rise_by_symbol(told: pd.DataFrame, first: date, middle: date, end: date) -> pd.Series:
    """Mean interest from `middle` to the day before `end` less that from `first` on, in points, sorted by symbol."""
    days = told["event_date"].to_numpy().astype("datetime64[D]")
    codes, symbols = pd.factorize(told["symbol"], sort=True)
    inside = (days >= np.datetime64(first)) & (days < np.datetime64(end)) & (codes >= 0)
    length, turn = (end - first).days, (middle - first).days
    cells = (days[inside] - np.datetime64(first)).astype(int) * len(symbols) + codes[inside]
    values, known_on = told["interest"].to_numpy(float)[inside], told["known_on"].to_numpy()[inside]
    points = last_told(cells, values, known_on, length * len(symbols)).reshape(length, len(symbols))
    (old, of_old), (new, of_new) = _sum_and_count(points[:turn]), _sum_and_count(points[turn:])
    enough = np.minimum(of_old, of_new) >= LEAST_POINTS
    rise = (new * of_old - old * of_new)[enough] / (of_old * of_new)[enough]  # exact up to the division
    return pd.Series(rise / UNITS, index=symbols[enough].astype(object))


def _sum_and_count(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By column the sum of the known values in billionths, and how many there are."""
    return np.nan_to_num(np.round(points * UNITS)).sum(axis=0), (~np.isnan(points)).sum(axis=0)


def mood_by_symbol(told: pd.DataFrame, first: date, end: date) -> pd.Series:
    """Mean sentiment of the headlines known from `first` to the day before `end`, sorted by symbol."""
    low, high = np.searchsorted(told["known_on"].to_numpy(), [np.datetime64(first, "us"), np.datetime64(end, "us")])
    month = told.iloc[low:high]
    rows = month[(month["symbol"].notna() & month["sentiment"].notna()).to_numpy()]
    codes, symbols = pd.factorize(rows["symbol"], sort=True)
    items = pd.factorize(rows["headline_id"])[0]
    pairs, places = pd.factorize(items * len(symbols) + codes)
    sentiment = last_told(pairs, rows["sentiment"].to_numpy(float), rows["known_on"].to_numpy(), len(places))
    about = places % len(symbols) if len(symbols) else places
    total = np.bincount(about, np.round(sentiment * UNITS), len(symbols))
    return pd.Series(total / UNITS / np.bincount(about, minlength=len(symbols)), index=symbols.astype(object))
