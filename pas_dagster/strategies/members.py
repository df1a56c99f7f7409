"""Sleeves that follow one member of Congress, and how a member is told from the others."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import pandas as pd

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.congress import followed, lots
from pas_dagster.strategies.contract import NotEnoughData, Strategy, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window

TITLES = frozenset(
    ("the", "hon", "honorable", "rep", "representative", "sen", "senator", "congressman", "congresswoman")
    + ("mr", "mrs", "ms", "miss", "dr")
)
SUFFIXES = frozenset(("jr", "sr", "ii", "iii", "iv", "v"))
BIOGUIDE_ID = re.compile(r"[A-Z]\d{6}")


def follow_member(key: str, member: str) -> Strategy:
    """The strategy `follow_<key>` that mirrors what one member (a name or a Bioguide id) disclosed to hold.

    >>> follow_member("pelosi", "Nancy Pelosi").name
    'follow_pelosi'
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", key):
        raise ValueError(f"{key!r} cannot end a strategy's name; use lower-case letters, digits and _")
    if not BIOGUIDE_ID.fullmatch(member) and parse_name(member) is None:
        raise ValueError(f"{member!r} is neither a first and last name nor a Bioguide id")
    register = strategy(
        name=f"follow_{key}",
        title=f"Following {member}",
        cadence=Cadence.MONTHLY_FIRST_MON,
        reads={"politician_trades": Window(), "universe": Window()},
        member=member,
    )
    return register(disclosed_holdings)


def disclosed_holdings(data: AsOf, *, member: str) -> Weights:
    """Mirror one member's holdings as far as every trade disclosed so far tells them.

    Rule: take all trades of the member that were filed before the decision, in the order in which they were made,
    and keep a book of dollars per symbol: a purchase adds its midpoint (USD), a sale takes off its midpoint but
    never more than is held, a full sale takes everything. Weights are proportional to the dollars in the book.
    Only stocks and ETFs; a name that is not listed at the decision is left out and the others share its part.
    No trade of the member known: cannot decide; nothing held: cash.

    Order: by trade date, because a late filing tells of an early trade; a trade dated after its own filing counts
    as of the filing. Within a day purchases come before sales (a sale in full then means that nothing is left),
    then filing and line.

    Source: periodic transaction reports under the STOCK Act (House Clerk, Senate eFD), or Quiver's copy of them.
    They tell trades, not holdings: what the member held before the first report is unknown, and dollars are those
    of the trade, not today's value.

    Parameters: member, a name (titles, case, order and middle names do not matter) or a Bioguide id.
    """
    own = trades_of(member, data.table("politician_trades"))
    if own.empty:
        raise NotEnoughData(f"no trade of {member} has been disclosed yet")
    listed = data.universe.index
    held = {symbol: usd for symbol, usd in book(followed(lots(own))).items() if usd > 0 and symbol in listed}
    total = sum(held.values())
    return Weights({symbol: usd / total for symbol, usd in held.items()})


def book(trades: pd.DataFrame) -> dict[str, float]:
    """Dollars held per symbol after the trades, which are brought into the order in which they were made."""
    made = trades["event_date"].fillna(trades["known_on"])
    ordered = trades.assign(made=made.where(made < trades["known_on"], trades["known_on"])).sort_values(
        ["made", "direction", "filing_id", "line"],
        kind="stable",  # "buy" sorts before "sell"
    )
    held: dict[str, float] = {}
    columns = (ordered[name].tolist() for name in ("symbol", "direction", "extent", "amount_mid"))
    for symbol, direction, extent, amount in zip(*columns, strict=True):
        usd = 0.0 if pd.isna(amount) else float(amount)
        if direction == "buy":
            held[symbol] = held.get(symbol, 0.0) + usd
        elif direction == "sell":
            held[symbol] = 0.0 if extent == "full" else max(0.0, held.get(symbol, 0.0) - usd)
    return held


def trades_of(member: str, trades: pd.DataFrame) -> pd.DataFrame:
    """The rows of one member and of nobody else; raises NotEnoughData if the name fits several members."""
    if BIOGUIDE_ID.fullmatch(member):
        return trades[trades["bioguide_id"] == member]
    asked = parse_name(member)
    if asked is None:
        return trades.iloc[:0]
    names = {text: parse_name(text) for text in trades["politician"].dropna().unique()}
    fitting = {text: name for text, name in names.items() if name is not None and name.may_be(asked)}
    rows = trades[trades["politician"].isin(fitting)]
    if _is_one_person(rows, fitting):
        return rows
    same = {text: name for text, name in fitting.items() if name == asked}
    exact = rows[rows["politician"].isin(same)]
    if same and _is_one_person(exact, same):
        return exact
    raise NotEnoughData(f"{member!r} fits {', '.join(sorted(fitting))}; give the middle name or the Bioguide id")


def _is_one_person(rows: pd.DataFrame, names: dict[str, Name]) -> bool:
    if rows["bioguide_id"].dropna().nunique() > 1:
        return False
    return all(one.may_be(other) for one, other in combinations(set(names.values()), 2))


@dataclass(frozen=True)
class Name:
    """A person's name without title and case; `others` are middle names, further last names and suffixes."""

    first: str
    last: str
    others: frozenset[str]

    def may_be(self, other: Name) -> bool:
        """Whether both names can be one person's: same first and last, and nothing else contradicts."""
        if (self.first, self.last) != (other.first, other.last):
            return False
        few, many = sorted((self.others, other.others), key=len)
        return all(any(_is_short_for(one, two) for two in many) for one in few)


def _is_short_for(one: str, two: str) -> bool:
    return one == two or (min(len(one), len(two)) == 1 and one[0] == two[0])


@lru_cache(maxsize=8192)
def parse_name(text: str) -> Name | None:
    """The parts of "Hon. Nancy Pelosi" or "Pelosi, Nancy P."; None without both a first and a last name.

    >>> parse_name("Hon. Nancy Pelosi") == parse_name(" PELOSI,  Nancy ")
    True
    """
    parts = [_words(part) for part in text.split(",")]
    last, *rest = [part for part in parts if part] or [[]]
    given = [word for part in rest for word in part if word not in SUFFIXES]
    suffixes = [word for part in parts for word in part if word in SUFFIXES]
    family = [word for word in last if word not in SUFFIXES]
    words = given + family  # "Pelosi, Nancy" is turned round; "Nancy Pelosi, Jr." has nothing to turn
    if len(words) < 2 or not family:
        return None
    return Name(words[0], words[-1], frozenset(words[1:-1] + suffixes))


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower().replace("'", "")
    return [word for word in re.findall(r"[a-z]+", plain) if word not in TITLES]
