"""Congressional-trading aggregate, and what counts as a disclosed trade that can be followed."""

from __future__ import annotations

import pandas as pd

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import SYMBOL, Count, NotEnoughData, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window

FOLLOWED_TYPES = ("stock", "etf")
SIGNS = {"buy": 1.0, "sell": -1.0}  # an exchange has no direction


@strategy(
    name="congress_aggregate",
    title="Congressional-Trading Aggregate",
    cadence=Cadence.WEEKLY_MON,
    reads={"politician_trades": Window(days=30), "universe": Window()},
)
def congress_aggregate(data: AsOf, *, top_n: Count = 20) -> Weights:
    """Long the names with the largest net congressional dollar buying, by filing date, in the last 30 days.

    Rule: add the midpoints (USD) of the purchases that House and Senate disclosed in the 30 calendar days before
    the decision, take off those of the sales, and hold the `top_n` largest strictly positive nets in equal weight;
    ties go by symbol. Only stocks and ETFs that are listed at the decision; exchanges have no direction; a line of
    a filing counts once, however often it was published. No disclosure at all: cannot decide; no net buying: cash.

    Source: periodic transaction reports under the STOCK Act (House Clerk, Senate eFD), or Quiver's copy of them.

    Parameters: top_n, the most names held.
    """
    disclosed = data.table("politician_trades")
    if disclosed.empty:
        raise NotEnoughData("no congressional trade was disclosed in the last 30 days")
    trades = followed(lots(disclosed))
    trades = trades[trades["symbol"].isin(data.universe.index)]
    dollars = trades["amount_mid"].astype(float) * trades["direction"].map(SIGNS).astype(float)
    nets = dollars.groupby(trades["symbol"].astype(object)).sum()  # a missing amount or direction adds nothing
    bought = nets[nets > 0].sort_index().sort_values(ascending=False, kind="stable")
    return Weights.equal(bought.index[:top_n])


def lots(disclosed: pd.DataFrame) -> pd.DataFrame:
    """Each line of a filing once, as it was last published; equal lines of one filing are separate lots."""
    # Without a filing number nothing says that two rows are one, so both stay.
    repeated = disclosed.duplicated(["filing_id", "line"], keep="last") & disclosed["filing_id"].notna()
    return disclosed[~repeated]


def followed(trades: pd.DataFrame) -> pd.DataFrame:
    """The trades that can be followed: in stocks and ETFs, with one well-formed symbol."""
    named = trades[trades["asset_type"].isin(FOLLOWED_TYPES) & trades["symbol"].notna()]
    well_formed = {symbol for symbol in named["symbol"].unique() if SYMBOL.fullmatch(symbol)}
    return named[named["symbol"].isin(well_formed)]
