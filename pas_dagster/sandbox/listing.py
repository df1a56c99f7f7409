"""Who is listed when: invented companies, the funds, and the dated events in a company's life.

A *company* is a column number that never changes; its symbol may (one symbol change). Every date here is a
session number counted from the world's first session, so nothing depends on where the world ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np

from pas_dagster.sandbox.funds import FUNDS, SECTORS
from pas_dagster.sandbox.streams import Bools, Floats, Ints, Tag, generator

FOREVER = 1 << 40
"""A session number no world reaches."""

INITIAL = 150
"""Companies listed from the first session."""

ENTRANTS = 8
"""Companies that list later, one about every half year."""

COMPANIES = INITIAL + ENTRANTS

LARGE, MIDDLE, SMALL = INDEXES = ("S&P 500", "S&P 400", "S&P 600")
"""The indexes; each has a third of the initial companies, and nobody moves from one to another."""

_ONSETS = (
    *("Aldr", "Bexm", "Cadr", "Dovr", "Elvr", "Fenw", "Grylk", "Hald", "Ivern"),
    *("Jorv", "Kelm", "Lundr", "Merq", "Nerv", "Ostr", "Pellv", "Quor", "Ruskl"),
    *("Selv", "Torv", "Ulmer", "Vask", "Wendr", "Xyrl", "Yarv", "Zeld"),
)
_ENDINGS = ["ane", "ibex", "ocor", "uneth", "amund", "ilost", "epax"]
_BUSINESS = {
    "Materials": ("Chemicals", "Minerals", "Packaging"),
    "Communication Services": ("Media", "Networks", "Interactive"),
    "Energy": ("Petroleum", "Drilling", "Midstream"),
    "Financials": ("Bancorp", "Insurance", "Capital"),
    "Industrials": ("Machinery", "Logistics", "Aerospace"),
    "Information Technology": ("Software", "Semiconductor", "Systems"),
    "Consumer Staples": ("Foods", "Beverages", "Household"),
    "Real Estate": ("Properties Trust", "Storage Trust"),
    "Utilities": ("Power", "Water"),
    "Health Care": ("Therapeutics", "Devices", "Health"),
    "Consumer Discretionary": ("Retail", "Motors", "Leisure"),
}
_CLASS_SHARES = {17: ".B", 64: ".A"}
_SYMBOL_LENGTHS = (3, 4, 4, 3, 4, 2, 4, 3, 4, 4, 3, 4, 1)


@dataclass(frozen=True)
class Company:
    """The unchanging part of a company. `symbol` is the one it starts with."""

    symbol: str
    name: str
    sector: str


@dataclass(frozen=True)
class Listing:
    """The companies of one seed and their dated events.

    Per-company arrays have length COMPANIES: `first` and `last` session with a bar (inclusive), `weight`
    (relative capitalisation at the start). The four events each befall one company; the sessions of the
    take-over's announcement and of the bankruptcy's decline come before their `last`.
    """

    first: Ints
    last: Ints
    weight: Floats
    taken_over: int
    offer_session: int
    bankrupt: int
    decline_session: int
    renamed: int
    rename_session: int
    new_symbol: str

    @property
    def eventful(self) -> Ints:
        """Companies with an event of their own; they neither split nor pay dividends."""
        return np.array([self.taken_over, self.bankrupt, self.renamed])

    @property
    def index(self) -> np.ndarray:
        """The index that each company is a member of while it is listed: by `weight`, entrants in the smallest."""
        rank = np.argsort(np.argsort(-self.weight[:INITIAL], kind="stable"), kind="stable")
        return np.array([INDEXES[at * len(INDEXES) // INITIAL] for at in rank] + [SMALL] * ENTRANTS, dtype=object)

    def listed(self, company: Ints, session: Ints) -> Bools:
        """Whether each company has a bar on the paired session."""
        return (self.first[company] <= session) & (session <= self.last[company])


@cache
def companies() -> tuple[Company, ...]:
    """All companies, the same for every seed; sectors are spread in proportion to `SECTORS`."""
    used = {fund.symbol for fund in FUNDS}
    sectors = _sector_sequence()
    return tuple(_company(number, sectors[number], used) for number in range(COMPANIES))


def _sector_sequence() -> list[str]:
    """Sector of each company, interleaved so that entrants come from several sectors."""
    shares = np.array([sector.share for sector in SECTORS])
    quota = np.outer(np.arange(1, COMPANIES + 1), shares / shares.sum())
    given = np.zeros(len(SECTORS))
    sequence = []
    for row in quota:
        chosen = int(np.argmax(row - given))
        given[chosen] += 1
        sequence.append(SECTORS[chosen].name)
    return sequence


def _company(number: int, sector: str, used: set[str]) -> Company:
    stem = _ONSETS[number % len(_ONSETS)] + _ENDINGS[number // len(_ONSETS)]
    words = _BUSINESS[sector]
    symbol = _free_symbol(stem, _SYMBOL_LENGTHS[number % len(_SYMBOL_LENGTHS)], used)
    suffix = _CLASS_SHARES.get(number, "")
    class_words = f" Class {suffix[1]}" if suffix else ""
    return Company(symbol + suffix, f"{stem} {words[number % len(words)]}{class_words}", sector)


def _free_symbol(stem: str, length: int, used: set[str]) -> str:
    """The first unused symbol spelled by letters of `stem` in order; longer when all short ones are taken."""
    letters = stem.upper()
    for size in range(length, 5):
        for rest in combinations(letters[1:], size - 1):
            symbol = letters[0] + "".join(rest)
            if symbol not in used:
                used.add(symbol)
                return symbol
    raise ValueError(f"no free symbol for {stem}")


@cache
def listing(seed: int) -> Listing:
    """Draw the dated events and capitalisations of one seed."""
    rng = generator(seed, Tag.CALENDAR_OF_EVENTS)
    first = np.zeros(COMPANIES, dtype=np.int64)
    first[INITIAL:] = 70 + 120 * np.arange(ENTRANTS) + rng.integers(0, 40, ENTRANTS)
    weight = np.exp(rng.normal(0.0, 1.0, COMPANIES))
    weight[INITIAL:] *= 0.4
    # Mid-sized companies only, so that no single event moves the index by much.
    middling = np.argsort(weight[:INITIAL])[30:100]
    taken_over, bankrupt, renamed = (int(company) for company in rng.choice(middling, 3, replace=False))
    last = np.full(COMPANIES, FOREVER)
    last[taken_over] = rng.integers(300, 500)
    last[bankrupt] = rng.integers(600, 850)
    return Listing(
        first=first,
        last=last,
        weight=weight,
        taken_over=taken_over,
        offer_session=int(last[taken_over]) - 45,
        bankrupt=bankrupt,
        decline_session=int(last[bankrupt]) - 8,
        renamed=renamed,
        rename_session=int(rng.integers(350, 700)),
        new_symbol=_free_symbol("Neworvane", 4, {c.symbol for c in companies()} | {f.symbol for f in FUNDS}),
    )
