"""The DC insider scores of the sandbox world, by the published method in its plainest form.

Each calendar day, companies are ranked by what became known on the 365 days up to it: purchases less sales of stock by
members of Congress, lobbying spend, federal contracts. A rank is a percentile, 100 for the highest; the score is the
mean of the three, nothing counting as 0. A later report replaces an earlier one of the same registrant, client and
quarter; fees of firms do not count for a quarter that the company reports itself.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from pas_dagster.sandbox.world import World

Fact = TypeVar("Fact")
Ranked = dict[str, int]
Ranks = dict[str, float]

_YEAR = 365
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Report:
    """A lobbying report of a listed client."""

    account: tuple[str, str, str]  # registrant, client, quarter
    symbol: str
    cents: int

    @property
    def own(self) -> bool:
        return self.account[0] == self.account[1]


def rows(world: World) -> pd.DataFrame:
    """A row for each calendar day of the world and each company that is ranked anywhere on it."""
    told: list[tuple[int, str, float, float | None, float | None, float | None]] = []
    ranked = (_leg(_trades(world), _totals), _leg(_reports(world), _lobbied), _leg(_contracts(world), _totals))
    for day in range((world.start - _EPOCH).days, (world.end - _EPOCH).days + 1):
        legs = [ranks(day) for ranks in ranked]
        for symbol in sorted(set().union(*legs)):
            congress, lobbying, awarded = (leg.get(symbol) for leg in legs)
            score = ((congress or 0.0) + (lobbying or 0.0) + (awarded or 0.0)) / 3
            told.append((day, symbol, score, congress, lobbying, awarded))
    frame = pd.DataFrame(told, columns=["day", "symbol", "score", "congress", "lobbying", "contracts"])
    day = frame.pop("day").to_numpy(dtype=np.int64).astype("datetime64[D]").astype("datetime64[us]")
    legs_of = {name: frame[name].astype(np.float64).round(6) for name in ("score", "congress", "lobbying", "contracts")}
    return pd.DataFrame({"known_on": day, "event_date": day, "symbol": frame["symbol"].astype("str"), **legs_of})


def _leg(feed: Sequence[tuple[int, Fact]], total: Callable[[Iterable[Fact]], Ranked]) -> Callable[[int], Ranks]:
    """Ranks by what became known in the year up to a day; reckoned again when something came or went."""
    known = [day for day, _ in feed]
    last: tuple[tuple[int, int], Ranks] = ((0, 0), {})

    def ranks(day: int) -> Ranks:
        nonlocal last
        window = bisect_left(known, day - _YEAR + 1), bisect_right(known, day)
        if window != last[0]:
            last = window, _ranks(total(fact for _, fact in feed[slice(*window)]))
        return last[1]

    return ranks


def _trades(world: World) -> list[tuple[int, tuple[str, int]]]:
    """Purchases and sales of stock: the day they became known, symbol and signed cents."""
    frame = world.table("politician_trades")
    frame = frame[(frame["asset_type"] == "stock") & frame["direction"].isin(["buy", "sell"])]
    signs = np.where(frame["direction"] == "buy", 1, -1)
    return list(zip(_known(frame), zip(frame["symbol"], _cents(frame["amount_mid"] * signs), strict=True), strict=True))


def _contracts(world: World) -> list[tuple[int, tuple[str, int]]]:
    """Actions on contracts of listed companies: the day they became known, symbol and cents."""
    frame = world.table("gov_contracts")
    frame = frame[frame["symbol"].notna()]
    return list(zip(_known(frame), zip(frame["symbol"], _cents(frame["amount"]), strict=True), strict=True))


def _reports(world: World) -> list[tuple[int, Report]]:
    """Reports of listed clients in the order in which they were posted."""
    frame = world.table("lobbying")
    frame = frame[frame["symbol"].notna()].sort_values(["known_at", "filing_id"])
    accounts = zip(frame["registrant"], frame["client"], frame["quarter"], strict=True)
    cents = _cents(frame["amount"].fillna(0.0))
    made = [Report(*fact) for fact in zip(accounts, frame["symbol"], cents, strict=True)]
    return list(zip(_known(frame), made, strict=True))


def _totals(facts: Iterable[tuple[str, int]]) -> Ranked:
    totals: dict[str, int] = defaultdict(int)
    for symbol, cents in facts:
        totals[symbol] += cents
    return totals


def _lobbied(reports: Iterable[Report]) -> Ranked:
    """Spend by symbol; companies that spent nothing are left out."""
    latest = {report.account: report for report in reports}
    itself = {(report.symbol, report.account[2]) for report in latest.values() if report.own}
    counted = [one for one in latest.values() if one.own or (one.symbol, one.account[2]) not in itself]
    spent = _totals((one.symbol, one.cents) for one in counted)
    return {symbol: cents for symbol, cents in spent.items() if cents > 0}


def _ranks(totals: Ranked) -> Ranks:
    """Percentiles, equal totals at their mean rank."""
    ordered = sorted(totals.values())
    return {
        symbol: 100 * (bisect_left(ordered, cents) + 1 + bisect_right(ordered, cents)) / 2 / len(ordered)
        for symbol, cents in totals.items()
    }


def _known(frame: pd.DataFrame) -> Sequence[int]:
    return frame["known_on"].to_numpy().astype("datetime64[D]").astype(np.int64).tolist()


def _cents(amounts: pd.Series) -> list[int]:
    return np.round(amounts.to_numpy(dtype=np.float64) * 100).astype(np.int64).tolist()
