"""Simulated ratings by research firms: they follow recent returns and, faintly, those to come.

The firms are invented. A firm keeps one grade for each company it covers and changes it a step at a time; price targets
lie near the last close.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pas_dagster.sandbox.listing import COMPANIES, INITIAL, companies
from pas_dagster.sandbox.streams import BLOCK, Floats, Ints, Tag, generator

if TYPE_CHECKING:
    from pas_dagster.sandbox.world import World

GRADES = (
    ("Sell", "Hold", "Buy"),
    ("Underperform", "Neutral", "Outperform"),
    ("Underweight", "Equal-Weight", "Overweight"),
    ("Reduce", "Perform", "Strong Buy"),
)
"""Scales, from worst to best; a firm has one of them."""

FIRMS = (
    *("Ashcombe Securities", "Bellwright & Co", "Carrow Hill Research", "Dunstan Capital Markets"),
    *("Eastgate Partners", "Fairlea Securities", "Goldthorpe Research", "Harrowgate & Sons"),
    *("Inglewood Equity", "Juniper Street", "Kestrel Research", "Lockridge Securities"),
    *("Merivale Capital", "Northmoor Group", "Oakhurst & Wynn", "Penhallow Research"),
    *("Quillfeather Markets", "Ravensworth", "Stillwater Equity", "Thornbury Securities"),
)

_PER_SESSION = 8
_TRAITS = 1 << 20  # a block that no session reaches
_CHANGES, _BEGINS, _REPEATS = 0.20, 0.07, 0.20


def rows(world: World) -> pd.DataFrame:
    """All ratings, columns of the table analyst_ratings; known_at is the instant of publication."""
    blocks = range(-(-len(world.days) // BLOCK))
    drawn = [_draw(world.seed, block) for block in blocks]
    events = {name: np.concatenate([part[name] for part in drawn]) for name in drawn[0]}
    order = np.lexsort((events["second"], events["session"]))
    order = order[events["session"][order] < len(world.days)]
    events = {name: values[order] for name, values in events.items()}
    steady = np.setdiff1d(np.arange(INITIAL), world.listing.eventful)
    listed = world.listing.listed(events["company"], events["session"])
    events["company"] = np.where(listed, events["company"], steady[events["fallback"] % len(steady)])
    frame = _told(world, events).drop_duplicates(["event_date", "symbol", "firm"])
    return frame.sort_values(["known_on", "symbol", "firm", "action"], ignore_index=True)


def _draw(seed: int, block: int) -> dict[str, np.ndarray]:
    """Everything random about the ratings of a block, each an array (ratings,)."""
    rng = generator(seed, Tag.RATINGS, block)
    count = int(rng.poisson(_PER_SESSION * BLOCK))
    odds = generator(0, Tag.RATINGS).random(COMPANIES) ** 2 + 0.1
    activity = 1 / (2 + np.arange(len(FIRMS)))
    hour = np.where(rng.random(count) < 0.8, rng.normal(8.0, 1.2, count), rng.normal(14.0, 2.5, count))
    return {
        "session": block * BLOCK + rng.integers(0, BLOCK, count),
        "second": np.clip(hour * 3600, 4 * 3600, 20 * 3600).astype(np.int64),
        "company": rng.choice(COMPANIES, count, p=odds / odds.sum()),
        "fallback": rng.integers(0, INITIAL, count),
        "firm": rng.choice(len(FIRMS), count, p=activity / activity.sum()),
        "kind": rng.random(count),
        "noise": rng.standard_normal(count),
        "upside": rng.normal(0.0, 0.06, count),
        "silent": rng.random(count) < 0.12,
    }


def _told(world: World, events: dict[str, np.ndarray]) -> pd.DataFrame:
    """What each rating says, given what its firm said before."""
    session, company, firm = events["session"], events["company"], events["firm"]
    mood = _mood(world, session, company) + 0.6 * events["noise"]
    price = _last_close(world, session, company)
    levels = generator(world.seed, Tag.RATINGS, _TRAITS).integers(0, 3, (len(FIRMS), COMPANIES)).tolist()
    targets: dict[tuple[int, int], float] = {}
    said = []
    columns = (firm, company, events["kind"], mood, price, events["upside"], events["silent"])
    for who, what, kind, feeling, close, upside, silent in zip(*(c.tolist() for c in columns), strict=True):
        before = levels[who][what]
        action, after = _decision(before, kind, feeling)
        levels[who][what] = after
        target = None if silent else round(close * (0.88 + 0.14 * after + upside), 0 if close > 20 else 2)
        previous = targets.get((who, what))
        if previous and target and not 0.5 < target / previous < 2:
            previous = None  # the shares were split in between
        if target:
            targets[who, what] = target
        scale = GRADES[who % len(GRADES)]
        old_grade = None if action == "initiate" else scale[before]
        said.append((action, old_grade, scale[after], previous if target else None, target))
    action, from_grade, to_grade, target_before, target = (list(column) for column in zip(*said, strict=True))
    return pd.DataFrame(
        {
            **_times(world.days[session], events["second"]),
            "symbol": _symbols(world, company, session),
            "firm": np.array(FIRMS, dtype=object)[firm],
            "action": action,
            "from_grade": pd.Series(from_grade, dtype=object),
            "to_grade": to_grade,
            "target_before": np.array(target_before, dtype=np.float64),
            "target": np.array(target, dtype=np.float64),
        }
    )


def _decision(level: int, kind: float, feeling: float) -> tuple[str, int]:
    """The action, and the level of the grade after it (0 is worst, 2 best)."""
    if kind < _CHANGES and feeling > 0 and level < 2:
        return "upgrade", level + 1
    if kind < _CHANGES and feeling < 0 and level > 0:
        return "downgrade", level - 1
    if kind > 1 - _BEGINS:
        return "initiate", level
    return ("reiterate" if kind > 1 - _BEGINS - _REPEATS else "maintain"), level


def _mood(world: World, session: Ints, company: Ints) -> Floats:
    """What the last month's return, and a little of the next weeks', does to a firm's opinion."""
    growth = np.cumsum(np.vstack([np.zeros((1, COMPANIES)), world.market.stocks]), axis=0)  # of the sessions before
    past = growth[session, company] - growth[np.maximum(session - 21, 0), company]
    ahead = growth[np.minimum(session + 15, len(growth) - 1), company] - growth[session, company]
    return 0.5 * np.tanh(past / 0.12) + 0.2 * np.tanh(ahead / 0.10)


def _last_close(world: World, session: Ints, company: Ints) -> Floats:
    """The close before the session; the session's own for a company's first days."""
    closes = pd.DataFrame(world.tape.close[:, :COMPANIES]).ffill().to_numpy()
    before = closes[np.maximum(session - 1, 0), company]
    return np.where(np.isnan(before), closes[session, company], before)


def _times(day: Ints, second: Ints) -> dict[str, np.ndarray]:
    date = day.astype("datetime64[D]").astype("datetime64[us]")
    local = pd.DatetimeIndex(date + second.astype("timedelta64[s]")).tz_localize("America/New_York")
    known_at = local.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]")
    return {"known_on": date, "known_at": known_at, "event_date": date}


def _symbols(world: World, company: Ints, session: Ints) -> np.ndarray:
    names, events = np.array([one.symbol for one in companies()], dtype=object), world.listing
    renamed = (company == events.renamed) & (session >= events.rename_session)
    return np.where(renamed, events.new_symbol, names[company])
