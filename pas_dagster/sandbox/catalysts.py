"""Simulated dates that move drug makers: primary completions of trials, promised and postponed, and approvals.

A trial is posted some times, each time with the day on which its primary completion is expected; each posting is an
event known on the day of posting. An approval is known a week later, when the public database is refreshed. Listed
sponsors are health care companies that stay listed under one symbol; others are private.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pas_dagster.sandbox.listing import INITIAL, companies
from pas_dagster.sandbox.streams import BLOCK, Bools, Ints, Tag, generator

if TYPE_CHECKING:
    from pas_dagster.sandbox.world import World

REFRESHED_AFTER = 7
"""Days from an approval to the refresh of the public database that tells it."""

_TRIALS_PER_BLOCK = 120
_APPROVALS_PER_BLOCK = 45
_POSTINGS = 5  # at most, of a trial
_PHASES = np.array(["2", "3", "2/3", "1/2"], dtype=object)
_PHASE_ODDS = (0.45, 0.38, 0.07, 0.10)
_PRIVATE = np.array(
    ["Qelvane Biotherapeutics, Inc.", "Ostermark Pharma AG", "Hibiscus Oncology Ltd.", "Northlake Immune LLC"],
    dtype=object,
)
_STEMS = ("Xelv", "Brom", "Tarz", "Quin", "Lova", "Meri", "Zeph", "Ondi", "Ferra", "Kali", "Nexi", "Pravo")
_ENDS = ("orin", "umab", "tinib", "axel", "ivant", "omide", "parin", "stat")
_CONDITIONS = ("Type 2 Diabetes", "Psoriasis", "Lung Cancer", "Asthma", "Lupus", "Migraine", "Heart Failure")
_KINDS = np.array(["approval", "supplement approval"], dtype=object)


def rows(world: World) -> pd.DataFrame:
    """All events of trials and approvals that begin on a simulated session, columns of catalyst_events."""
    blocks = range(-(-len(world.days) // BLOCK))
    made = [part for block in blocks for part in _block(world, block)]
    frame = pd.concat(made, ignore_index=True)
    frame["symbol"] = frame["symbol"].astype(object).where(frame["symbol"].notna(), None)
    return frame.sort_values(["known_on", "event_id", "kind"], ignore_index=True)


def stated_by_month(trial: str) -> bool:
    """Whether a trial's sponsor states only the month of its completion, which then counts to its last day."""
    return int(trial[-1]) < 3


def _block(world: World, block: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What begins in one block; drawn whole, then cut to the sessions there are."""
    rng = generator(world.seed, Tag.CATALYSTS, block)
    return _trials(world, rng, block), _approvals(world, rng, block)


def _trials(world: World, rng: np.random.Generator, block: int) -> pd.DataFrame:
    count = int(rng.poisson(_TRIALS_PER_BLOCK))
    begin = block * BLOCK + np.sort(rng.integers(0, BLOCK, count))
    sponsor, drug = rng.random(count), rng.integers(0, len(_STEMS) * len(_ENDS), count)
    phase = rng.choice(_PHASES, count, p=_PHASE_ODDS)
    condition = np.array(_CONDITIONS, dtype=object)[rng.integers(0, len(_CONDITIONS), count)]
    postings = np.minimum(rng.geometric(0.35, count), _POSTINGS)
    pause = rng.integers(45, 200, (count, _POSTINGS)).cumsum(axis=1) - 45
    slip = np.where(rng.random((count, _POSTINGS)) < 0.35, rng.integers(15, 180, (count, _POSTINGS)), 0).cumsum(axis=1)
    length = rng.integers(150, 900, count)
    known = begin < len(world.days)
    first = world.days[np.minimum(begin, len(world.days) - 1)]
    trial, number = np.nonzero(known[:, None] & (np.arange(_POSTINGS) < postings[:, None]))
    posted = _weekday_from(first[trial] + pause[trial, number])
    expected = (first[trial] + length[trial] + slip[trial, number]).astype("datetime64[D]")
    identifier = np.array([f"NCT{5_000_000 + block * 2_000 + at:08d}" for at in range(count)], dtype=object)
    by_month = np.array([stated_by_month(name) for name in identifier], dtype=bool)
    month_end = (expected.astype("datetime64[M]") + 1).astype("datetime64[D]") - 1
    symbol, company = _sponsors(world, sponsor)
    return pd.DataFrame(
        {
            "known_on": _dates(posted),
            "event_date": _dates(posted),
            "event_id": identifier[trial],
            "symbol": symbol[trial],
            "company": company[trial],
            "product": (_drugs(drug) + " in " + condition)[trial],
            "kind": "phase " + phase[trial] + " primary completion",
            "expected_on": np.where(by_month[trial], month_end, expected).astype("datetime64[us]"),
        }
    )


def _approvals(world: World, rng: np.random.Generator, block: int) -> pd.DataFrame:
    count = int(rng.poisson(_APPROVALS_PER_BLOCK))
    begin = block * BLOCK + np.sort(rng.integers(0, BLOCK, count))
    sponsor, drug = rng.random(count), rng.integers(0, len(_STEMS) * len(_ENDS), count)
    supplement = rng.random(count) < 0.6
    biologic = rng.random(count) < 0.25
    known: Bools = begin < len(world.days)
    day = world.days[begin[known]]
    symbol, company = _sponsors(world, sponsor[known])
    numbers = block * 200 + np.flatnonzero(known)
    forms = zip(numbers.tolist(), biologic[known].tolist(), strict=True)
    return pd.DataFrame(
        {
            "known_on": _dates(day + REFRESHED_AFTER),
            "event_date": _dates(day),
            "event_id": [f"BLA{760_000 + number}" if bio else f"NDA{210_000 + number}" for number, bio in forms],
            "symbol": symbol,
            "company": pd.Series(company, dtype=object).str.upper(),
            "product": pd.Series(_drugs(drug[known]), dtype=object).str.upper(),
            "kind": _KINDS[supplement[known].astype(np.int64)],
            "expected_on": _dates(day),
        }
    )


def _sponsors(world: World, draw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Symbols (None for a private company) and names for draws in [0, 1)."""
    steady = set(range(INITIAL)) - set(world.listing.eventful.tolist())
    makers = [companies()[n] for n in sorted(steady) if companies()[n].sector == "Health Care"]
    symbols = np.array([maker.symbol for maker in makers] + [None] * len(_PRIVATE), dtype=object)
    names = np.array([f"{maker.name} Inc." for maker in makers] + list(_PRIVATE), dtype=object)
    chosen = np.floor(draw * len(names)).astype(np.int64)
    return symbols[chosen], names[chosen]


def _drugs(number: Ints) -> np.ndarray:
    names = np.array([stem + end for stem in _STEMS for end in _ENDS], dtype=object)
    return names[number]


def _weekday_from(day: Ints) -> Ints:
    """The day, or the Monday after; the first of January 1970 was a Thursday."""
    weekday = (day + 3) % 7
    return day + np.where(weekday >= 5, 7 - weekday, 0)


def _dates(days: Ints) -> np.ndarray:
    return days.astype("datetime64[D]").astype("datetime64[us]")
