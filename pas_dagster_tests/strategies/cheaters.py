"""Ten mistakes that make a backtest look good, each as a user might make it, with the same idea done right.

`AsOf` makes none of them possible, so each cheat takes the frame as a notebook has it: whole (`in_full`). That alone
is a finding; what the tests ask of the audit is to see the future in the weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import NotEnoughData, Strategy, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window

MON, FRI = Cadence.WEEKLY_MON, Cadence.WEEKLY_FRI
PRICES = {"prices": Window(), "universe": Window()}


def in_full(data: AsOf, name: str) -> pd.DataFrame:
    """The dataset as a notebook loads it: with everything that became known later."""
    return data._history.table(name)


def in_proportion(values: pd.Series) -> Weights:
    """Weights in proportion to the values above zero; none: cash."""
    positive = values[values > 0].sort_index()
    return Weights((positive / positive.sum()).to_dict())


def strongest(values: pd.Series, count: int = 5) -> Weights:
    return Weights.equal(values.dropna().sort_index().nlargest(count).index)


def closes_of(bars: pd.DataFrame) -> pd.DataFrame:
    """Closes by session and symbol."""
    return bars.pivot_table(index="known_on", columns="symbol", values="close", aggfunc="last")


# Same-day close


@strategy(name="same_day_close", title="Cheat", cadence=MON, reads=PRICES)
def same_day_close(data: AsOf) -> Weights:
    """Hold the five largest gains of five sessions, "as of today".

    A cheat because today's close is in them: the order goes out before today's open. `<=` in place of `<`.
    """
    bars = in_full(data, "prices")
    today = pd.Timestamp(data.decision)
    closes = closes_of(bars[(bars["known_on"] <= today) & (bars["known_on"] > today - pd.Timedelta(days=21))])
    return strongest(closes.iloc[-1] / closes.iloc[-6] - 1)


@strategy(name="previous_close", title="Honest", cadence=MON, reads=PRICES)
def previous_close(data: AsOf) -> Weights:
    """Hold the five largest gains of five sessions, up to the last close before the decision."""
    closes = data.closes(6)
    return strongest(closes.iloc[-1] / closes.iloc[0] - 1)


# Trade date instead of filing date

TRADES = {"politician_trades": Window(days=30)}


def net_buying(trades: pd.DataFrame) -> Weights:
    sign = trades["direction"].map({"buy": 1.0, "sell": -1.0})
    stocks = trades[(trades["asset_type"] == "stock") & trades["symbol"].notna()]
    dollars = (stocks["amount_mid"] * sign[stocks.index]).groupby(stocks["symbol"].astype(object)).sum()
    return strongest(dollars[dollars > 0], 10)


@strategy(name="trade_date_for_filing_date", title="Cheat", cadence=MON, reads=TRADES)
def trade_date_for_filing_date(data: AsOf) -> Weights:
    """Hold what members of Congress bought most in the last 30 days.

    A cheat because the 30 days are of the trade: members have 45 days to file, so most of it nobody could know.
    """
    trades, today = in_full(data, "politician_trades"), pd.Timestamp(data.decision)
    return net_buying(trades[trades["event_date"].between(today - pd.Timedelta(days=30), today, inclusive="left")])


@strategy(name="filing_date", title="Honest", cadence=MON, reads=TRADES)
def filing_date(data: AsOf) -> Weights:
    """Hold what members of Congress disclosed to have bought most in the last 30 days."""
    return net_buying(data.table("politician_trades"))


# Today's membership


@strategy(name="todays_membership", title="Cheat", cadence=MON, reads={"universe": Window()})
def todays_membership(data: AsOf) -> Weights:
    """Hold the members of the S&P 600 in equal weight.

    A cheat because the list is today's, taken back through the years: who was dropped since is left out, who came in
    is bought before (survivorship).
    """
    changes = in_full(data, "universe")
    last = changes[changes["index_name"] == "S&P 600"].drop_duplicates("symbol", keep="last")
    return Weights.equal(last.loc[last["action"] == "add", "symbol"])


@strategy(name="membership_of_the_day", title="Honest", cadence=MON, reads={"universe": Window()})
def membership_of_the_day(data: AsOf) -> Weights:
    """Hold the members of the S&P 600 of the day in equal weight."""
    listed = data.universe
    return Weights.equal(listed.index[["S&P 600" in names for names in listed["indexes"]]])


# Revised data

LOBBYING = {"lobbying": Window(days=120)}


def spending(reports: pd.DataFrame) -> Weights:
    told = reports.drop_duplicates(["registrant", "client", "quarter"], keep="last")
    return in_proportion(told.groupby(told["symbol"].astype(object))["amount"].sum())


@strategy(name="revised_data", title="Cheat", cadence=MON, reads=LOBBYING)
def revised_data(data: AsOf) -> Weights:
    """Hold the companies that lobby, in proportion to what they reported in the last 120 days.

    A cheat because each report counts with the amount of its last amendment, which may have been filed later. A
    database that keeps one row for each report and overwrites it gives exactly this.
    """
    key = ["registrant", "client", "quarter"]
    known = data.table("lobbying")
    overwritten = in_full(data, "lobbying").drop_duplicates(key, keep="last")
    reports = known[[*key, "symbol"]].merge(overwritten[[*key, "amount"]], on=key, how="left")
    return spending(reports)


@strategy(name="as_first_told", title="Honest", cadence=MON, reads=LOBBYING)
def as_first_told(data: AsOf) -> Weights:
    """Hold the companies that lobby, in proportion to what they had reported by the decision."""
    return spending(data.table("lobbying"))


# Full-sample normalisation

VIEWS = {"wiki_views": Window()}


def unusual(views: pd.DataFrame, sample: pd.DataFrame) -> Weights:
    """Weights by how far the last week's views are above the sample's mean, in its standard deviations."""
    by_symbol = sample.groupby(sample["symbol"].astype(object))["views"]
    recent = views[views["known_on"] > views["known_on"].max() - pd.Timedelta(days=7)]
    scores = (recent.groupby(recent["symbol"].astype(object))["views"].mean() - by_symbol.mean()) / by_symbol.std()
    return in_proportion(scores[scores > 1])


@strategy(name="full_sample_normalisation", title="Cheat", cadence=MON, reads=VIEWS)
def full_sample_normalisation(data: AsOf) -> Weights:
    """Hold the companies whose article is read far more than usual, by standard score.

    A cheat because "usual" is the mean and deviation of the whole sample: the scaler was fitted before the split.
    """
    return unusual(data.table("wiki_views"), in_full(data, "wiki_views"))


@strategy(name="expanding_normalisation", title="Honest", cadence=MON, reads=VIEWS)
def expanding_normalisation(data: AsOf) -> Weights:
    """Hold the companies whose article is read far more than it was up to the decision."""
    known = data.table("wiki_views")
    return unusual(known, known)


# Shifted index


@strategy(name="shifted_index", title="Cheat", cadence=FRI, reads=PRICES)
def shifted_index(data: AsOf) -> Weights:
    """Hold the five largest returns of the last session.

    A cheat because of the sign of `shift`: to lag the signal by a session it was moved the wrong way, so that the row
    of the last session holds the return of the one to come.
    """
    signal = closes_of(in_full(data, "prices")).pct_change(fill_method=None).shift(-1)
    return strongest(signal[signal.index < pd.Timestamp(data.decision)].iloc[-1])


@strategy(name="unshifted_index", title="Honest", cadence=FRI, reads=PRICES)
def unshifted_index(data: AsOf) -> Weights:
    """Hold the five largest returns of the last known session."""
    return strongest(data.closes(2).pct_change(fill_method=None).iloc[-1])


# Global mean

TARGETS = {"analyst_ratings": Window(days=30)}


def by_target(ratings: pd.DataFrame, filler: float) -> Weights:
    targets = ratings["target"].fillna(filler)
    return in_proportion(targets.groupby(ratings["symbol"].astype(object)).mean())


@strategy(name="global_mean", title="Cheat", cadence=MON, reads=TARGETS)
def global_mean(data: AsOf) -> Weights:
    """Hold what analysts rated in the last 30 days, in proportion to the price targets; a missing one is the mean.

    A cheat because the mean was taken once, at the top of the notebook, over all years.
    """
    return by_target(data.table("analyst_ratings"), in_full(data, "analyst_ratings")["target"].mean())


@strategy(name="mean_so_far", title="Honest", cadence=MON, reads=TARGETS)
def mean_so_far(data: AsOf) -> Weights:
    """Hold what analysts rated in the last 30 days, in proportion to the targets; a missing one is their mean."""
    known = data.table("analyst_ratings")
    return by_target(known, known["target"].mean())


# Fill across a gap

INTEREST = {"google_trends": Window(days=60)}


def by_interest(points: pd.DataFrame) -> pd.DataFrame:
    """Search interest by day and symbol: a point a week, gaps between."""
    grid = points.pivot_table(index="event_date", columns="symbol", values="interest", aggfunc="last")
    return grid.resample("D").asfreq()


@strategy(name="fill_across_gap", title="Cheat", cadence=FRI, reads=INTEREST)
def fill_across_gap(data: AsOf) -> Weights:
    """Hold companies in proportion to the search interest of the day.

    A cheat because interest is told once a week, and the days between were filled across the whole frame, before it
    was cut: each lies on the line to the next point, and the newest ones come from a week that is not over.
    """
    daily = by_interest(in_full(data, "google_trends")).interpolate().ffill()
    return in_proportion(daily[daily.index < pd.Timestamp(data.decision)].iloc[-1])


@strategy(name="last_point", title="Honest", cadence=FRI, reads=INTEREST)
def last_point(data: AsOf) -> Weights:
    """Hold companies in proportion to the newest search interest that is known of each."""
    return in_proportion(by_interest(data.table("google_trends")).ffill().iloc[-1])


# Next rebalance


@strategy(name="next_rebalance", title="Cheat", cadence=MON, reads=PRICES)
def next_rebalance(data: AsOf) -> Weights:
    """Hold the ten largest gains of a month among the securities that can be valued.

    A cheat because "can be valued" asks for a price at the next rebalance too, so that the backtest has no gaps to
    care for: what is delisted or suspended in the week to come is never held.
    """
    closes = closes_of(in_full(data, "prices"))
    today = np.datetime64(data.decision, "us")
    until = int(np.searchsorted(closes.index, today + np.timedelta64(7, "D")))
    now = int(np.searchsorted(closes.index, today))
    if now < 21 or until >= len(closes):
        raise NotEnoughData("there is no month of prices before the decision, or none at the next rebalance")
    held = closes.iloc[[now - 21, now - 1, until]].dropna(axis="columns")
    return strongest(held.iloc[1] / held.iloc[0] - 1, 10)


@strategy(name="last_rebalance", title="Honest", cadence=MON, reads=PRICES)
def last_rebalance(data: AsOf) -> Weights:
    """Hold the ten largest gains of a month among the securities with a close at its two ends."""
    closes = data.closes(21)
    if len(closes) < 21:
        raise NotEnoughData("there is no month of prices before the decision")
    ends = closes.iloc[[0, -1]].dropna(axis="columns")
    return strongest(ends.iloc[1] / ends.iloc[0] - 1, 10)


# Restated prices


@strategy(name="restated_prices", title="Cheat", cadence=MON, reads=PRICES | {"corporate_actions": Window()})
def restated_prices(data: AsOf) -> Weights:
    """Hold everything in proportion to its price, as the Dow Jones average does.

    A cheat because the prices are adjusted for all splits up to today, as most vendors deliver them: a share that
    will have been split three for one counts with a third of the price it had, which tells who went on to rise.
    """
    actions, today = in_full(data, "corporate_actions"), pd.Timestamp(data.decision)
    splits = actions[(actions["kind"] == "split") & (actions["event_date"] >= today)]
    closes = data.closes(1).iloc[-1]
    ratios = splits.groupby(splits["symbol"].astype(object))["value"].prod()
    return in_proportion(closes.div(ratios.reindex(closes.index, fill_value=1.0)))


@strategy(name="prices_of_the_day", title="Honest", cadence=MON, reads=PRICES)
def prices_of_the_day(data: AsOf) -> Weights:
    """Hold all securities in proportion to the price they had."""
    return in_proportion(data.closes(1).iloc[-1])


CHEATS: Mapping[str, tuple[Strategy, Strategy]] = {
    cheat.name: (cheat, honest)
    for cheat, honest in [
        (same_day_close, previous_close),
        (trade_date_for_filing_date, filing_date),
        (todays_membership, membership_of_the_day),
        (revised_data, as_first_told),
        (full_sample_normalisation, expanding_normalisation),
        (shifted_index, unshifted_index),
        (global_mean, mean_so_far),
        (fill_across_gap, last_point),
        (next_rebalance, last_rebalance),
        (restated_prices, prices_of_the_day),
    ]
}
"""Cheat and honest twin, by the cheat's name."""
