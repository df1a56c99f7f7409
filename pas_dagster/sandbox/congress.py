"""Simulated disclosures of politicians' trades, and the faint edge their stock purchases carry.

Everything here is invented, including the trades of politicians whose names exist; only three names are
real, because strategies refer to them.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pas_dagster.sandbox.funds import FUNDS
from pas_dagster.sandbox.listing import COMPANIES, INITIAL, Listing, companies
from pas_dagster.sandbox.streams import BLOCK, Floats, Ints, Tag, generator

BRACKETS = np.array(
    [
        (1001, 15000),
        (15001, 50000),
        (50001, 100000),
        (100001, 250000),
        (250001, 500000),
        (500001, 1000000),
        (1000001, 5000000),
    ],
    dtype=np.float64,
)
"""Statutory amount brackets in USD, low and high."""

_BRACKET_ODDS = (0.60, 0.22, 0.09, 0.055, 0.022, 0.010, 0.003)
_ASSET_TYPES = np.array(["stock", "etf", "option", "bond", "other"], dtype=object)
_ASSET_ODDS = (0.81, 0.07, 0.04, 0.05, 0.03)
_DIRECTIONS = np.array(["buy", "sell", "exchange"], dtype=object)
_DIRECTION_ODDS = (0.53, 0.45, 0.02)
_OWNERS = np.array(["SELF", "SP", "JT", "DC"], dtype=object)
_OWNER_ODDS = (0.40, 0.33, 0.22, 0.05)
_FILINGS_PER_BLOCK = 155
_EDGE_SESSIONS = 84
_EDGE_LIMIT = 8
_NOTHING = np.array(None, dtype=object)
_BOND = "State of {} General Obligation Bond"
_OTHER = "{} Growth Partners LP (private fund)"


@dataclass(frozen=True)
class Politician:
    """A filer; `activity` is the relative number of filings, `skill` the edge of a purchase in units."""

    name: str
    bioguide_id: str | None
    chamber: str
    party: str
    state: str
    activity: float
    skill: int


_REAL = (
    Politician("Nancy Pelosi", "P000197", "house", "D", "CA", 4.0, 3),
    Politician("Daniel Meuser", "M001204", "house", "R", "PA", 4.0, 3),
    Politician("Shelley Moore Capito", "C001047", "senate", "R", "WV", 4.0, 3),
)
_GIVEN = (
    *("Adela", "Bram", "Corwin", "Delphine", "Edmund", "Farrah"),
    *("Gideon", "Honora", "Ivor", "Jessamy", "Kester", "Linnea"),
)
_FAMILY = ["Ashgrove", "Birchfell", "Coldwater", "Dunmarrow", "Eastmere", "Farthingale", "Greystock"]
_STATES = ["TX", "NY", "FL", "OH", "GA", "NC", "MI", "NJ", "VA", "WA", "AZ", "TN", "MA", "IN", "MO"]


def _invented(number: int) -> Politician:
    name = f"{_GIVEN[number % len(_GIVEN)]} {_FAMILY[number % len(_FAMILY)]}"
    family = name.split()[1]
    return Politician(
        name,
        None if number % 12 == 5 else f"{family[0]}{999001 + number}",
        "senate" if number % 5 == 2 else "house",
        "DR"[number % 2],
        _STATES[number % len(_STATES)],
        3.0 / (1 + 0.15 * number),
        number % 3,
    )


POLITICIANS: tuple[Politician, ...] = (*_REAL, *map(_invented, range(37)))


def disclosures(seed: int, sessions: Ints, listing: Listing) -> pd.DataFrame:
    """All lines of filings whose earliest trade falls on one of `sessions` (days since 1970, ascending).

    Columns are those of the table politician_trades plus `company` (number or -1) and `skill` (units).
    A purchase of stock carries `skill` units of edge; nothing depends on prices.
    """
    blocks = range(-(-len(sessions) // BLOCK))
    lines = pd.concat([_block(seed, block, sessions, listing) for block in blocks], ignore_index=True)
    return lines.sort_values(["known_on", "filing_id", "line"], ignore_index=True)


def informed_interest(lines: pd.DataFrame, sessions: Ints) -> Floats:
    """Units of edge in force, (sessions, COMPANIES): each purchase counts for the 84 sessions after it."""
    bought = lines[(lines["direction"] == "buy") & (lines["asset_type"] == "stock") & (lines["company"] >= 0)]
    steps = np.zeros((len(sessions) + 1, COMPANIES))
    company = bought["company"].to_numpy()
    begin = np.searchsorted(sessions, _days(bought["event_date"]), side="right")
    skill = bought["skill"].to_numpy(dtype=np.float64)
    np.add.at(steps, (np.minimum(begin, len(sessions)), company), skill)
    np.add.at(steps, (np.minimum(begin + _EDGE_SESSIONS, len(sessions)), company), -skill)
    # Whole units, so the running sum is exact whatever follows; crowding saturates.
    return np.minimum(np.cumsum(steps, axis=0)[:-1], _EDGE_LIMIT)


def _block(seed: int, block: int, sessions: Ints, listing: Listing) -> pd.DataFrame:
    """The filings that start in one block; drawn whole, then cut to the sessions there are."""
    rng = generator(seed, Tag.CONGRESS, block)
    filings = int(rng.poisson(_FILINGS_PER_BLOCK))
    base_session = block * BLOCK + np.sort(rng.integers(0, BLOCK, filings))
    filer = rng.choice(len(POLITICIANS), filings, p=_activity())
    lag = np.where(rng.random(filings) < 0.05, rng.integers(46, 150, filings), rng.integers(9, 46, filings))
    snapped = rng.random(filings) < 0.93
    size = np.minimum(rng.geometric(0.24, filings), 12)
    filing = np.repeat(np.arange(filings), size)
    line = np.arange(len(filing)) - np.repeat(np.cumsum(size) - size, size)
    drawn = _lines(rng, len(filing))
    known = base_session < len(sessions)
    base = sessions[np.minimum(base_session, len(sessions) - 1)]
    filed = np.where(snapped, _following_weekday(base + lag), base + lag)
    traded = _trade_days(drawn["when"], drawn["weekend"], base[filing], lag[filing], line)
    source = _copied(drawn["copy"], line)
    frame = _describe({name: values[source] for name, values in drawn.items()}, traded[source], sessions, listing)
    frame["known_on"] = filed[filing].astype("datetime64[D]").astype("datetime64[us]")
    house = np.array([person.chamber == "house" for person in POLITICIANS])[filer]
    frame["filing_id"] = _filing_ids(seed, block, house)[filing]
    frame["line"] = line + 1
    for column in ("politician", "bioguide_id", "chamber", "party", "state", "skill"):
        field = "name" if column == "politician" else column
        values = np.array([getattr(person, field) for person in POLITICIANS], dtype=object)
        frame[column] = _objects(values[filer[filing]]) if column == "bioguide_id" else values[filer[filing]]
    frame["skill"] = frame["skill"].astype(np.int64)
    return frame[known[filing]]


def _filing_ids(seed: int, block: int, house: np.ndarray) -> np.ndarray:
    """As the chambers number filings: the House with eight digits, the Senate with a UUID."""
    space = uuid.uuid5(uuid.NAMESPACE_OID, f"sandbox {seed}")
    ids = [
        f"20{block:03d}{number:03d}" if of_house else str(uuid.uuid5(space, f"{block} {number}"))
        for number, of_house in enumerate(house)
    ]
    return np.array(ids, dtype=object)


def _lines(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Everything random about `count` lines, each an array (count,)."""
    size_odds = generator(0, Tag.CONGRESS).random(COMPANIES) ** 2 + 0.1
    return {
        "when": rng.random(count),
        "weekend": rng.random(count) < 0.04,
        "copy": rng.random(count) < 0.05,
        "kind": rng.choice(len(_ASSET_TYPES), count, p=_ASSET_ODDS),
        "direction": rng.choice(len(_DIRECTIONS), count, p=_DIRECTION_ODDS),
        "full": rng.random(count) < 0.35,
        "owner": rng.choice(len(_OWNERS), count, p=_OWNER_ODDS),
        "bracket": rng.choice(len(BRACKETS), count, p=_BRACKET_ODDS),
        "company": rng.choice(COMPANIES, count, p=size_odds / size_odds.sum()),
        "fallback": rng.integers(0, INITIAL, count),
        "fund": rng.integers(0, len(FUNDS), count),
        "named": rng.random(count) < 0.5,
        "place": rng.integers(0, len(_STATES), count),
    }


def _trade_days(when: Floats, weekend: np.ndarray, base: Ints, lag: Ints, line: Ints) -> Ints:
    """Days of the lines: the first is the base, others lie between it and five days before filing."""
    offset = np.where(line == 0, 0, np.floor(when**2 * (lag - 4))).astype(np.int64)
    day = base + offset
    return np.where(weekend, day, _preceding_weekday(day))


def _copied(copy: np.ndarray, line: Ints) -> Ints:
    """Index of the line each line repeats: itself, or its predecessor in the filing for separate lots."""
    own = np.arange(len(line))
    return np.maximum.accumulate(np.where(copy & (line > 0), 0, own))


def _describe(drawn: dict[str, np.ndarray], traded: Ints, sessions: Ints, listing: Listing) -> pd.DataFrame:
    """Turn draws into what a filing says of each line; symbols are those of the trade day."""
    session = np.searchsorted(sessions, traded)
    steady = np.setdiff1d(np.arange(INITIAL), listing.eventful)
    fallback = steady[drawn["fallback"] % len(steady)]
    company = np.where(listing.listed(drawn["company"], session), drawn["company"], fallback)
    kind = _ASSET_TYPES[drawn["kind"]]
    renamed = (company == listing.renamed) & (session >= listing.rename_session)
    stock_symbol = np.where(renamed, listing.new_symbol, _column("symbol")[company])
    fund_symbol = np.array([fund.symbol for fund in FUNDS], dtype=object)[drawn["fund"]]
    symbol = np.where(kind == "etf", fund_symbol, _NOTHING)
    named = (kind == "stock") | ((kind == "option") & drawn["named"])
    direction = _DIRECTIONS[drawn["direction"]]
    extent = np.where(direction == "sell", np.where(drawn["full"], "full", "partial"), _NOTHING)
    low, high = BRACKETS[drawn["bracket"]].T
    return pd.DataFrame(
        {
            "event_date": traded.astype("datetime64[D]").astype("datetime64[us]"),
            "owner": _OWNERS[drawn["owner"]],
            "symbol": _objects(np.where(named, stock_symbol, symbol)),
            "asset_description": _descriptions(kind, company, drawn["fund"], drawn["place"]),
            "asset_type": kind,
            "direction": direction,
            "extent": _objects(extent),
            "amount_low": low,
            "amount_high": high,
            "amount_mid": (low + high) / 2,
            "company": np.where(kind == "stock", company, -1),
        }
    )


def _descriptions(kind: np.ndarray, company: Ints, fund: Ints, place: Ints) -> np.ndarray:
    names = _column("name")[company]
    funds = np.array([item.name for item in FUNDS], dtype=object)[fund]
    states = np.array(_STATES, dtype=object)[place]
    texts = [
        names + " - Common Stock",
        funds,
        names + " - Call Options",
        np.array([_BOND.format(state) for state in states], dtype=object),
        np.array([_OTHER.format(state) for state in states], dtype=object),
    ]
    return np.select([kind == name for name in _ASSET_TYPES], texts, default="")


def _column(field: str) -> np.ndarray:
    return np.array([getattr(company, field) for company in companies()], dtype=object)


def _objects(values: np.ndarray) -> pd.Series:
    """Keep None as None: text columns would turn it into NaN."""
    return pd.Series(values, dtype=object)


def _activity() -> Floats:
    activity = np.array([person.activity for person in POLITICIANS])
    return activity / activity.sum()


def _days(dates: pd.Series) -> Ints:
    return dates.to_numpy().astype("datetime64[D]").astype(np.int64)


def _weekday(day: Ints) -> Ints:
    """Monday is 0; the first of January 1970 was a Thursday."""
    return (day + 3) % 7


def _following_weekday(day: Ints) -> Ints:
    return day + np.where(_weekday(day) >= 5, 7 - _weekday(day), 0)


def _preceding_weekday(day: Ints) -> Ints:
    return day - np.where(_weekday(day) >= 5, _weekday(day) - 4, 0)
