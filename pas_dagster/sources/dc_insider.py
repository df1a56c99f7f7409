"""DC insider scores: how close a company is to Washington, by three public records of the last year.

The method that Quiver publishes for its score of this name: rank the companies by trading of Congress, by lobbying and
by contracts over the last year, and average the ranks. Stated precisely, for a day and what became known on the 365
days up to and including it:

- congress: purchases less sales of stock by members, each at the middle of its bracket; exchanges and everything but
  stock are left out. Of this leg are all companies with a purchase or sale.
- lobbying: the amounts of the reports. Of several reports of one registrant for one client and quarter the last counts.
  Where a company reports a quarter itself, the fees of its firms are part of that and do not count again. Of this leg
  are all companies that spent something.
- contracts: the obligations, new and modified, less what was taken back. Of this leg are all companies with an action.

Within a leg a company's rank is its percentile, 100 x (mean rank of equal values, 1 for the lowest) / companies. The
score is the mean of the three, a leg in which a company is not counting as 0; so 100 is first in all three.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

YEAR = 365
"""Days for which a record counts, the day it became known being the first."""

LEGS = ("congress", "lobbying", "contracts")
_FOREVER = np.int64(1 << 40)

Ints = npt.NDArray[np.int64]


def scores(
    trades: pd.DataFrame, lobbying: pd.DataFrame, contracts: pd.DataFrame, days: Iterable[date] | pd.DatetimeIndex
) -> pd.DataFrame:
    """Rows of `dc_insider_scores` (without provider and raw) for the days, sorted by day and symbol.

    The frames have the columns of `politician_trades`, `lobbying` and `gov_contracts` and should reach a year back;
    what became known later than a day does not count on it. A company of no leg has no row.
    """
    at = np.sort(pd.DatetimeIndex(list(days)).to_numpy().astype("datetime64[D]").astype(np.int64))
    changes = (_congress(trades), _lobbying(lobbying), _contracts(contracts))
    symbols = sorted({symbol for change in changes for symbol in change["symbol"].unique()})
    codes = pd.Series(np.arange(len(symbols)), index=pd.Index(symbols, dtype=object))
    ranks = [_percentiles(*_levels(change, codes, at)) for change in changes]
    score = np.mean([np.nan_to_num(rank) for rank in ranks], axis=0) if symbols else np.empty((len(at), 0))
    counted = ~np.all([np.isnan(rank) for rank in ranks], axis=0)
    row, column = np.nonzero(counted)
    day = at[row].astype("datetime64[D]").astype("datetime64[us]")
    values = {name: rank[row, column] for name, rank in zip(LEGS, ranks, strict=True)}
    names = pd.Series(np.array(symbols, dtype=object)[column], dtype="str")
    return pd.DataFrame(
        {"known_on": day, "event_date": day, "symbol": names, "score": np.round(score[row, column], 6)}
        | {name: np.round(value, 6) for name, value in values.items()}
    )


def _congress(trades: pd.DataFrame) -> pd.DataFrame:
    told = trades[
        trades["symbol"].notna() & (trades["asset_type"] == "stock") & trades["direction"].isin(["buy", "sell"])
    ]
    sign = np.where(told["direction"] == "buy", 1, -1)
    return _yearly(told, sign * _cents(told["amount_mid"]))


def _contracts(contracts: pd.DataFrame) -> pd.DataFrame:
    told = contracts[contracts["symbol"].notna()]
    return _yearly(told, _cents(told["amount"]))


def _yearly(facts: pd.DataFrame, cents: Ints) -> pd.DataFrame:
    """Changes (day, symbol, cents, facts) of what counts: each fact comes when known and goes a year later."""
    known = _days(facts["known_on"])
    symbol = facts["symbol"].astype(object).to_numpy()
    ones = np.ones(len(facts), dtype=np.int64)
    return pd.DataFrame(
        {
            "day": np.concatenate([known, known + YEAR]),
            "symbol": np.concatenate([symbol, symbol]),
            "cents": np.concatenate([cents, -cents]),
            "facts": np.concatenate([ones, -ones]),
        }
    )


def _lobbying(filings: pd.DataFrame) -> pd.DataFrame:
    """Changes of the spending that counts, as `_yearly`; a company counts while it has spent something."""
    told = _in_order(filings[filings["symbol"].notna()])
    known = _days(told["known_on"])
    report = told.groupby(["registrant", "client", "quarter"], sort=False)
    following = pd.Series(known, index=told.index).groupby(report.ngroup().to_numpy()).shift(-1)
    replaced = following.fillna(_FOREVER).to_numpy().astype(np.int64)
    cents = _cents(told["amount"].fillna(0.0))
    own = (told["registrant"].str.casefold() == told["client"].str.casefold()).to_numpy().astype(np.int64)
    gone = np.minimum(known + YEAR, replaced)
    steps = pd.DataFrame(
        {
            "symbol": np.tile(told["symbol"].astype(object).to_numpy(), 2),
            "quarter": np.tile(told["quarter"].astype(object).to_numpy(), 2),
            "day": np.concatenate([known, gone]),
            "reports": np.concatenate([own, -own]),
            "own": np.concatenate([own * cents, -own * cents]),
            "firms": np.concatenate([(1 - own) * cents, (own - 1) * cents]),
        }
    )
    daily = steps.groupby(["symbol", "quarter", "day"], sort=True).sum()
    # Within a quarter of a company all that comes goes again, so the running sums start anew with each by themselves.
    running = daily.cumsum()
    spent = np.where(running["reports"] > 0, running["own"], running["firms"])
    change = np.diff(spent, prepend=0)
    frame = daily.index.to_frame(index=False)
    frame["cents"] = change.astype(np.int64)
    frame["facts"] = np.diff((spent > 0).astype(np.int64), prepend=0)
    return frame[["day", "symbol", "cents", "facts"]]


def _in_order(filings: pd.DataFrame) -> pd.DataFrame:
    """Filings as they became known, the later of a day last; one without a registrant replaces no other."""
    known_at = filings["known_at"] if "known_at" in filings else filings["known_on"]
    own_name = filings["registrant"].astype(object).where(filings["registrant"].notna(), filings["filing_id"])
    told = filings.assign(
        known_at=known_at.fillna(filings["known_on"]),
        registrant=own_name.astype("str"),
        client=filings["client"].astype("str"),
    )
    return told.sort_values(["known_on", "known_at", "filing_id"], ignore_index=True)


def _levels(change: pd.DataFrame, codes: pd.Series, at: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Sums in cents and whether there is anything, both (days, symbols)."""
    shape = (len(at) + 1, len(codes))
    cents, facts = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    place = (np.searchsorted(at, change["day"].to_numpy(dtype=np.int64)), codes.reindex(change["symbol"]).to_numpy())
    np.add.at(cents, place, change["cents"].to_numpy(dtype=np.int64))
    np.add.at(facts, place, change["facts"].to_numpy(dtype=np.int64))
    return np.cumsum(cents, axis=0)[:-1], np.cumsum(facts, axis=0)[:-1] > 0


def _percentiles(cents: Ints, counted: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    values = pd.DataFrame(np.where(counted, cents.astype(np.float64), np.nan))
    return 100 * values.rank(axis=1, pct=True).to_numpy()


def _cents(amounts: pd.Series) -> Ints:
    """Whole cents: their sums are exact, so equal companies rank equally."""
    return np.round(amounts.to_numpy(dtype=np.float64) * 100).astype(np.int64)


def _days(values: pd.Series) -> Ints:
    return values.to_numpy().astype("datetime64[D]").astype(np.int64)
