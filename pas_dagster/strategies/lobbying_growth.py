"""Lobbying growth."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from pas_dagster import calendar
from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import Count, NotEnoughData, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window
from pas_dagster.strategies.ranking import largest

DUE = 20  # day of the next quarter
REACH = 310  # days; a report of the quarter before may be posted while that quarter still runs


@strategy(
    name="lobbying_growth",
    title="Lobbying Growth",
    cadence=Cadence.MONTHLY,
    reads={
        "lobbying": Window(
            days=REACH, columns=("known_at", "filing_id", "symbol", "client", "registrant", "quarter", "amount")
        ),
        "universe": Window(),
    },
)
def lobbying_growth(data: AsOf, *, top_n: Count = 20) -> Weights:
    """Long the companies whose spending on lobbying grew most from one quarter to the next.

    Rule: divide what each listed company spent on lobbying in the newest quarter by what it spent in the quarter
    before, and hold the `top_n` largest ratios above 1 in equal weight; ties go by symbol. The newest quarter is the
    last whose reports were due before the decision (20 days after its end; if that is no session, the next one), so
    that a quarter of which reports have only begun to arrive is not compared with a whole one. A company that spent
    nothing in one of the two has no growth. Nobody grew: cash. No company's report of one of the two quarters is
    known: cannot decide.

    Spending (USD, to the cent) is by the reports known at the decision. Of several reports of one registrant for one
    client and quarter the newest counts, an amendment in place of its original; a report that names no registrant
    replaces none. What a company that lobbies for itself (registrant and client have one name) reports contains the
    fees of its firms, so these are not added; the fees of all firms are added up where it reports nothing itself. A
    company of which its own report is known for one of the two quarters only is left out: the two sums would not mean
    the same. A report without an amount says that nothing was spent.

    Source: quarterly reports under the Lobbying Disclosure Act (2 U.S.C. 1604), from the Senate or Quiver.

    Parameters: top_n, the most names held.
    """
    newest = newest_due(data.decision)
    before = following_quarter(newest, -1)
    filings = data.table("lobbying")
    filings = filings[filings["quarter"].isin([newest, before]).to_numpy() & filings["symbol"].notna().to_numpy()]
    for quarter in (before, newest):
        if not (filings["known_on"].to_numpy()[filings["quarter"] == quarter] <= np.datetime64(due_day(quarter))).any():
            raise NotEnoughData(f"no company's lobbying report of {quarter} is known that was posted in time")
    reports = newest_reports(filings)
    ratios = spending_ratios(reports, (reports["quarter"] == newest).to_numpy(bool))
    return Weights.equal(largest(ratios[ratios > 1], data.universe.index, top_n))


def newest_due(decision: date) -> str:
    """The last quarter whose reports were due before the day.

    >>> newest_due(date(2024, 4, 22)), newest_due(date(2024, 4, 23))
    ('2023Q4', '2024Q1')
    """
    last = following_quarter(f"{decision.year}Q{(decision.month + 2) // 3}", -1)
    return last if due_day(last) < decision else following_quarter(last, -1)


def due_day(quarter: str) -> date:
    """The day until which a quarter is to be reported.

    >>> due_day("2024Q1")  # the 20th was a Saturday
    datetime.date(2024, 4, 22)
    """
    following = following_quarter(quarter)
    return calendar.roll_forward(date(int(following[:4]), int(following[5]) * 3 - 2, DUE))


def following_quarter(quarter: str, number: int = 1) -> str:
    """The quarter so many after one.

    >>> following_quarter("2023Q4"), following_quarter("2024Q1", -1)
    ('2024Q1', '2023Q4')
    """
    year, place = divmod(int(quarter[:4]) * 4 + int(quarter[5]) - 1 + number, 4)
    return f"{year}Q{place + 1}"


def newest_reports(filings: pd.DataFrame) -> pd.DataFrame:
    """The newest report of each registrant for each client and quarter; without a registrant, all."""
    told = filings[~filings.duplicated("filing_id", keep="last")]
    account = ["registrant", "client", "quarter"]
    rivals = told[told.duplicated(account, keep=False) & told["registrant"].notna()]
    rivals = rivals.assign(known_at=rivals["known_at"].fillna(rivals["known_on"]))
    rivals = rivals.sort_values(["known_on", "known_at", "filing_id"])
    return told.drop(index=rivals.index[rivals.duplicated(account, keep="last")])


def spending_ratios(reports: pd.DataFrame, newer: np.ndarray) -> pd.Series:
    """Spending in the newer quarter / the other one, by symbol, for those that can be compared, sorted by symbol."""
    codes, symbols = pd.factorize(reports["symbol"], sort=True)
    own = (reports["registrant"].str.casefold() == reports["client"].str.casefold()).to_numpy(bool)
    cents = np.nan_to_num(np.round(reports["amount"].to_numpy(float) * 100))  # sums of whole cents are exact
    cell = (codes * 2 + newer) * 2 + own
    size = len(symbols) * 4
    spent = np.bincount(cell, cents, size).reshape(-1, 2, 2)  # symbol, whether newer, whether own
    itself = np.bincount(cell, minlength=size).reshape(-1, 2, 2)[:, :, 1] > 0
    old, new = np.where(itself, spent[:, :, 1], spent[:, :, 0]).T
    comparable = (itself[:, 0] == itself[:, 1]) & (old > 0) & (new > 0)
    return pd.Series(new[comparable] / old[comparable], index=symbols[comparable].astype(object))
