"""Corporate-insider buying pulse, and which lines of the filings stand after their amendments."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import Count, NotEnoughData, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window
from pas_dagster.strategies.ranking import largest

DAYS = 30
REACH = 60  # days back to the originals of amendments
EXECUTIVE = "officer"
TRADES = {"P": ("buy", 1.0), "S": ("sell", -1.0)}  # code: which way the shares go, and what the dollars count


@strategy(
    name="insider_buying_pulse",
    title="Corporate-Insider Buying Pulse",
    cadence=Cadence.WEEKLY_MON,
    reads={
        "insider_buying": Window(
            days=REACH,
            columns=(
                *("event_date", "accession", "line", "symbol", "insider", "role", "code", "direction", "shares"),
                *("price", "amendment"),
            ),
        ),
        "universe": Window(),
    },
)
def insider_buying_pulse(data: AsOf, *, top_n: Count = 25) -> Weights:
    """Long the companies whose executives bought most on the market, in dollars net of what they sold.

    Rule: add shares x price (USD, each line to the cent) of the open-market purchases (code P) that executives
    disclosed in the 30 calendar days before the decision, take off that of their sales (code S), and hold the `top_n`
    listed companies with the largest strictly positive nets in equal weight; ties go by symbol. Executives are those
    who file as officers, whatever else they are; directors, large owners and others do not count, nor does a role
    that is not told. Grants, exercises, gifts, shares withheld for tax and all other codes add nothing; nor does a
    line without a price, or one whose code and direction contradict each other. A sale under a 10b5-1 plan is a sale
    and is taken off (before April 2023 the form did not ask for plans; a rule that left them out would be another one
    since then). No filing in 30 days: cannot decide; nobody bought more than was sold: cash.

    A line counts once, from the day on which it was first disclosed, as it was last published or amended. An
    amendment (4/A) does not say what it replaces, and need only repeat the lines it mends. So each of its lines takes
    the place of that earlier line of the same company, insider and day of trade that it agrees with most in code,
    shares, price and number, in two of them at least (of equally good ones, of that which agrees in shares and price,
    then of the earliest filed, then of the lowest number); it counts as disclosed when that one was. A line that
    agrees with none filed in the last 60 days is new.

    Source: SEC Form 4 and 4/A, non-derivative transactions.

    Parameters: top_n, the most names held.
    """
    first = np.datetime64(data.decision - timedelta(DAYS))
    filed = data.table("insider_buying")
    if not (filed["known_on"].to_numpy() >= first).any():
        raise NotEnoughData(f"no insider's filing became known in the last {DAYS} days")
    trades = standing(filed)
    net = net_dollars(trades[(trades["disclosed"] >= first).to_numpy()])
    return Weights.equal(largest(net[net > 0], data.universe.index, top_n))


def net_dollars(trades: pd.DataFrame) -> pd.Series:
    """Purchases less sales in USD, sorted by symbol, of trades with a `sign`."""
    codes, symbols = pd.factorize(trades["symbol"], sort=True)
    cents = np.round(trades["shares"].to_numpy(float) * trades["price"].to_numpy(float) * 100)
    known = (codes >= 0) & ~np.isnan(cents)
    # Sums of whole cents are exact, whatever the order of rows.
    totals = np.bincount(codes[known], (trades["sign"].to_numpy() * cents)[known], len(symbols))
    return pd.Series(totals / 100, index=symbols.astype(object))


def standing(filed: pd.DataFrame) -> pd.DataFrame:
    """Executives' trades that no amendment replaced, each once: symbol, shares, price, sign, day first `disclosed`."""
    again = filed.duplicated(["accession", "line"], keep="last").to_numpy()
    disclosed = filed["known_on"]
    if again.any():
        disclosed = filed.groupby(["accession", "line"])["known_on"].transform("min")[~again]
        filed = filed[~again]
    day, sign = disclosed.to_numpy().copy(), _signs(filed)
    replaced, since = _replaced(_lines(filed, _mended(filed, sign != 0)))
    day[list(since)] = day[list(since.values())]
    sign[replaced] = 0
    stands = sign != 0
    trades = filed[["symbol", "shares", "price"]][stands]
    return trades.assign(disclosed=day[stands], sign=sign[stands])


def _signs(lines: pd.DataFrame) -> np.ndarray:
    """1 for a purchase of an executive, -1 for a sale, 0 for all else."""
    signs = np.zeros(len(lines))
    for code, (direction, sign) in TRADES.items():
        signs[((lines["code"] == code) & (lines["direction"] == direction)).to_numpy(bool)] = sign
    signs[~(lines["role"] == EXECUTIVE).to_numpy(bool)] = 0
    return signs


def _mended(lines: pd.DataFrame, counted: np.ndarray) -> np.ndarray:
    """Places of the lines of those insiders' days of which an amendment tells and a line is `counted`."""
    amending = lines["amendment"].to_numpy(bool)
    if not amending.any():
        return np.array([], int)
    insiders = pd.factorize(lines["insider"])[0]
    days = lines["event_date"].to_numpy().astype("datetime64[D]").astype(int)
    trades = pd.factorize(insiders * (days.max() + 1) + days)[0]
    return np.flatnonzero((np.bincount(trades, amending) > 0)[trades] & (np.bincount(trades, counted) > 0)[trades])


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a filing; `place` is its row, `trade` whose and when."""

    place: int
    accession: str
    number: int
    trade: tuple[object, ...]
    amendment: bool
    code: str
    shares: float
    price: float

    def likeness(self, other: _Line) -> tuple[int, int]:
        """In how many of code, shares, price and number they agree, and in how many of shares and price."""
        amounts = (self.shares == other.shares) + (self.price == other.price)  # an unknown price equals none
        return amounts + (self.code == other.code) + (self.number == other.number), amounts


def _lines(lines: pd.DataFrame, places: np.ndarray) -> list[_Line]:
    """The rows at these places in the order of filing, of a day the amendments last."""
    part = lines.iloc[places]
    trades = zip(part["symbol"], part["insider"], part["event_date"].to_numpy().astype(int).tolist(), strict=True)
    columns = (part[name].tolist() for name in ("accession", "line"))
    others = (part[name].tolist() for name in ("amendment", "code", "shares", "price"))
    made = [_Line(*values) for values in zip(places.tolist(), *columns, trades, *others, strict=True)]
    known = dict(zip(places.tolist(), part["known_on"].to_numpy().astype(int).tolist(), strict=True))
    return sorted(made, key=lambda line: (known[line.place], line.amendment, line.accession, line.number))


def _replaced(lines: list[_Line]) -> tuple[list[int], dict[int, int]]:
    """Places of the lines that amendments replace; and for each amended line, the first it goes back to."""
    stand: dict[tuple[object, ...], list[_Line]] = defaultdict(list)
    replaced: list[int] = []
    since: dict[int, int] = {}
    for line in lines:
        earlier = [one for one in stand[line.trade] if one.accession != line.accession] if line.amendment else []
        best = max(earlier, key=line.likeness, default=None)
        if best is not None and line.likeness(best)[0] >= 2:
            stand[line.trade].remove(best)
            replaced.append(best.place)
            since[line.place] = since.get(best.place, best.place)
        stand[line.trade].append(line)
    return replaced, since
