"""Simulated federal contracts: new awards of every size, and what is added to them and taken back later.

An action is public 10 days after it was signed, of the Department of Defense 95 days after. Companies of some sectors
are awarded more; a part goes to recipients that nobody lists.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pas_dagster.sandbox.legal_names import CONTRACTORS, legal_name, steady
from pas_dagster.sandbox.listing import companies, listing
from pas_dagster.sandbox.streams import Floats, Ints, Tag, generator

if TYPE_CHECKING:
    from pas_dagster.sandbox.world import World

COLUMNS = (*("known_on", "event_date", "award_id", "symbol", "recipient", "agency", "kind", "amount", "description"),)
AGENCIES = (
    ("Department of Defense", "9700", "W31P4Q"),
    ("Department of Veterans Affairs", "3600", "36C255"),
    ("Department of Health and Human Services", "7530", "75FCMC"),
    ("National Aeronautics and Space Administration", "8000", "80GSFC"),
    ("Department of Homeland Security", "7001", "70RSAT"),
    ("Department of Energy", "8900", "89243A"),
    ("General Services Administration", "4732", "47QFCA"),
)
"""Name, code and office of those who award."""

_DEFENSE_LAG, _LAG = 95, 10
_AGENCY_ODDS = (0.46, 0.13, 0.12, 0.08, 0.08, 0.08, 0.05)
_SECTORS = {
    "Industrials": 6.0,
    "Information Technology": 4.0,
    "Health Care": 3.0,
    "Energy": 2.0,
    "Communication Services": 1.5,
    "Materials": 1.0,
    "Consumer Staples": 1.0,
}
_AWARDS, _CHANGES = 150, 170
_OLDEST = 18  # months back to the awards that are still changed
_UNLISTED = 0.22
_WORK = np.array(
    [
        "ENGINEERING AND LOGISTICS SUPPORT",
        "SPARE PARTS, LOT {}",
        "IGF::OT::IGF INFORMATION TECHNOLOGY SERVICES",
        "8511939319!REPAIR OF SYSTEM {}",
        "MEDICAL SUPPLIES FOR REGION {}",
        "RESEARCH AND DEVELOPMENT, PHASE {}",
        "CONSTRUCTION OF FACILITY {}",
    ],
    dtype=object,
)


def rows(world: World) -> pd.DataFrame:
    """All actions that became public from the world's start on, signed up to its end."""
    first = _month(world.start - timedelta(days=_DEFENSE_LAG))
    parts = [_actions(world.seed, month) for month in range(first, _month(world.end) + 1)]
    frame = pd.concat(parts, ignore_index=True)
    frame = frame[frame["known_on"] >= pd.Timestamp(world.start)]
    return frame.sort_values(["known_on", "award_id"], ignore_index=True)[list(COLUMNS)]


def _month(day: date) -> int:
    """Months since the year 0."""
    return day.year * 12 + day.month - 1


@lru_cache(maxsize=2)
def _contractors(seed: int) -> tuple[list[str], list[str | None], Floats]:
    """Recipients, their symbols and odds. Some companies are named in two ways; a symbol then stands twice."""
    rng = generator(seed, Tag.CONTRACTS)
    eligible = steady(listing(seed))
    appetite = np.array([_SECTORS.get(companies()[company].sector, 0.1) for company in eligible])
    odds = appetite * np.exp(rng.normal(0, 1.0, len(eligible)))
    twice = np.flatnonzero(rng.random(len(eligible)) < 0.2)
    names = [legal_name(company) for company in eligible] + [legal_name(company, 1) for company in eligible[twice]]
    symbols: list[str | None] = [companies()[company].symbol for company in [*eligible, *eligible[twice]]]
    listed = np.concatenate([odds, 0.5 * odds[twice]])
    others = np.exp(rng.normal(0, 0.7, len(CONTRACTORS)))
    share = np.concatenate([(1 - _UNLISTED) * listed / listed.sum(), _UNLISTED * others / others.sum()])
    return [*names, *CONTRACTORS], [*symbols, *[None] * len(CONTRACTORS)], share


@lru_cache(maxsize=256)
def _awards(seed: int, month: int) -> pd.DataFrame:
    """The new awards of a month: day (since 1970), award, agency and recipient (numbers), amount, description."""
    rng = generator(seed, Tag.CONTRACTS, 2 * month)
    count = int(rng.poisson(_AWARDS))
    agency = rng.choice(len(AGENCIES), count, p=_AGENCY_ODDS)
    share = _contractors(seed)[2]
    day = _days(rng, month, count)
    letter = np.array(list("CFDP"))[rng.integers(0, 4, count)]
    fiscal = (month + 3) // 12 % 100  # the government's year begins in October
    number = [f"{fiscal:02d}{kind}{month % 12 + 1:X}{at:03d}" for at, kind in enumerate(letter)]
    awards = [
        f"CONT_AWD_{AGENCIES[by][2]}{one}_{AGENCIES[by][1]}_-NONE-_-NONE-"
        for by, one in zip(agency, number, strict=True)
    ]
    return pd.DataFrame(
        {
            "day": day,
            "award": awards,
            "agency": agency,
            "recipient": rng.choice(len(share), count, p=share),
            "amount": np.round(np.exp(rng.normal(np.log(6e6), 1.7, count)), 2),
            "description": _descriptions(rng, count),
        }
    )


def _days(rng: np.random.Generator, month: int, count: int) -> Ints:
    """Weekdays of a month; more is signed towards its end."""
    begin = np.datetime64("0000-01", "M") + month
    days = np.arange(begin.astype("datetime64[D]"), (begin + 1).astype("datetime64[D]"))
    days = days[np.is_busday(days)]
    return days[np.floor(len(days) * rng.beta(1.3, 1.0, count)).astype(np.int64).clip(0, len(days) - 1)].astype(
        np.int64
    )


def _descriptions(rng: np.random.Generator, count: int) -> np.ndarray:
    numbers = rng.integers(1, 60, count)
    texts = [
        work.format(number) for work, number in zip(_WORK[rng.integers(0, len(_WORK), count)], numbers, strict=True)
    ]
    return np.where(rng.random(count) < 0.02, np.array(None, dtype=object), np.array(texts, dtype=object))


def _changes(seed: int, month: int) -> pd.DataFrame:
    """What is changed in a month about the awards of the months before: as `_awards`, with the change's number."""
    rng = generator(seed, Tag.CONTRACTS, 2 * month + 1)
    count = int(rng.poisson(_CHANGES))
    back = rng.integers(1, _OLDEST + 1, count)
    pick = rng.random(count)
    earlier = [_awards(seed, month - months) for months in range(1, _OLDEST + 1)]
    lengths = np.array([len(awards) for awards in earlier])
    row = np.floor(pick * lengths[back - 1]).astype(np.int64) + (np.cumsum(lengths) - lengths)[back - 1]
    frame = pd.concat(earlier, ignore_index=True).iloc[row].reset_index(drop=True)
    nth = frame.groupby("award").cumcount()
    frame["mod"] = [f"P{months:03d}{number:02d}" for months, number in zip(back, nth, strict=True)]
    sign = np.where(rng.random(count) < 0.22, -0.4, 1.0)
    size = np.exp(rng.normal(np.log(0.25), 0.8, count))
    frame["amount"] = np.round(frame["amount"].astype(float) * size * sign, 2)
    frame["day"] = _days(rng, month, count)
    return frame


def _actions(seed: int, month: int) -> pd.DataFrame:
    """All actions of a month as rows of the table."""
    frame = pd.concat([_awards(seed, month).assign(mod="0"), _changes(seed, month)], ignore_index=True)
    names, symbols, _ = _contractors(seed)
    recipient = frame["recipient"].to_numpy(dtype=np.int64)
    day = frame["day"].to_numpy(dtype=np.int64)
    agency = frame["agency"].to_numpy(dtype=np.int64)
    lag = np.where(agency == 0, _DEFENSE_LAG, _LAG)
    return pd.DataFrame(
        {
            "known_on": (day + lag).astype("datetime64[D]").astype("datetime64[us]"),
            "event_date": day.astype("datetime64[D]").astype("datetime64[us]"),
            "award_id": frame["award"] + ":" + frame["mod"],
            "symbol": pd.Series(np.array(symbols, dtype=object)[recipient], dtype=object),
            "recipient": np.array(names, dtype=object)[recipient],
            "agency": np.array([name for name, _, _ in AGENCIES], dtype=object)[agency],
            "kind": np.where(frame["mod"] == "0", "new", "modification"),
            "amount": frame["amount"].astype(np.float64),
            "description": frame["description"].astype(object).where(frame["description"].notna(), None),
        }
    )
