"""Simulated lobbying reports: each quarter of each client, due on the 20th after it, some late, some amended.

About a hundred companies spend, in waves of a few years; half of them lobby for themselves, most hire firms. A report
without an amount says that nothing was done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pas_dagster.calendar import NEW_YORK
from pas_dagster.sandbox.legal_names import ASSOCIATIONS, FIRMS, legal_name, steady
from pas_dagster.sandbox.listing import companies
from pas_dagster.sandbox.streams import Floats, Ints, Tag, generator

if TYPE_CHECKING:
    from pas_dagster.sandbox.world import World

COLUMNS = (
    *("known_on", "known_at", "event_date", "filing_id", "symbol", "client", "registrant", "quarter", "amount"),
    "amendment",
)
_LONGEST_LAG = 4  # quarters after which the last amendment of a quarter has been posted
_UNITS = np.int64(10_000)  # amounts are reported to the nearest 10,000 USD


@dataclass(frozen=True)
class Accounts:
    """Who pays whom: parallel arrays, one entry for a client and a registrant.

    `base` is what is spent in a middling quarter, USD; `pace` and `phase` are those of the client's waves.
    """

    client: list[str]
    symbol: list[str | None]
    registrant: list[str]
    own: np.ndarray
    base: Floats
    pace: Floats
    phase: Floats


def rows(world: World) -> pd.DataFrame:
    """All reports posted from the world's start on, of quarters up to that of its end."""
    accounts = _accounts(world.seed, steady(world.listing))
    first, last = (_ordinal(day) for day in (world.start, world.end))
    parts = [_quarter(world.seed, accounts, ordinal) for ordinal in range(first - _LONGEST_LAG, last + 1)]
    frame = pd.concat(parts, ignore_index=True)
    frame = frame[frame["known_on"] >= pd.Timestamp(world.start)]
    return frame.sort_values(["known_on", "filing_id"], ignore_index=True)[list(COLUMNS)]


def _ordinal(day: date) -> int:
    """Quarters since the year 0."""
    return day.year * 4 + (day.month - 1) // 3


def _accounts(seed: int, eligible: Ints) -> Accounts:
    rng = generator(seed, Tag.LOBBYING)
    spends = eligible[rng.random(len(eligible)) < 0.68]
    alone = rng.random(len(spends)) < 0.5
    firms = rng.integers(0, 4, len(spends)) + ~alone
    hired = rng.permuted(np.tile(np.arange(len(FIRMS)), (len(spends), 1)), axis=1)
    client: list[str] = []
    symbol: list[str | None] = []
    registrant: list[str] = []
    own: list[bool] = []
    owner: list[int] = []  # the waves of a client are those of all its registrants
    for number, company in enumerate(spends.tolist()):
        name = legal_name(company)
        registrants = ([name] if alone[number] else []) + [FIRMS[n] for n in hired[number, : firms[number]]]
        client += [name] * len(registrants)
        symbol += [companies()[company].symbol] * len(registrants)
        registrant += registrants
        own += [one == name for one in registrants]
        owner += [number] * len(registrants)
    for number, association in enumerate(ASSOCIATIONS):
        client += [association] * 2
        symbol += [None] * 2
        registrant += [association, FIRMS[number % len(FIRMS)]]
        own += [True, False]
        owner += [len(spends) + number] * 2
    clients = len(spends) + len(ASSOCIATIONS)
    size, pace, phase = rng.normal(0, 0.9, clients), rng.uniform(6, 14, clients), rng.random(clients)
    typical = np.where(own, 450_000.0, 60_000.0) * np.exp(rng.normal(0, 0.3, len(own)))
    at = np.array(owner)
    return Accounts(
        client, symbol, registrant, np.array(own), typical * np.exp(size[at]), 2 * np.pi / pace[at], phase[at]
    )


def _quarter(seed: int, accounts: Accounts, ordinal: int) -> pd.DataFrame:
    """The reports of one quarter, whenever they were posted."""
    rng = generator(seed, Tag.LOBBYING, ordinal)
    count = len(accounts.client)
    wave = np.exp(0.6 * np.sin(accounts.pace * ordinal + 2 * np.pi * accounts.phase) + rng.normal(0, 0.12, count))
    spent = np.maximum(_rounded(accounts.base * wave), _UNITS).astype(np.float64)
    spent[rng.random(count) < 0.04] = np.nan
    filed = rng.random(count) < 0.97
    late = rng.random(count) < 0.06
    lag = np.where(late, rng.integers(21, 80, count), np.ceil(20 * rng.beta(4, 1.2, count)).astype(np.int64))
    amended = (rng.random(count) < 0.05) & filed
    changed = np.maximum(_rounded(np.nan_to_num(spent) * rng.uniform(0.5, 1.8, count)), _UNITS).astype(np.float64)
    again = lag + rng.integers(5, 240, count)
    seconds, seconds_again = rng.integers(8 * 3600, 21 * 3600, (2, count))
    identity = rng.bytes(32 * count)
    original = _reports(accounts, ordinal, lag, seconds, spent, identity[: 16 * count], amendment=False)[filed]
    amendment = _reports(accounts, ordinal, again, seconds_again, changed, identity[16 * count :], amendment=True)
    return pd.concat([original, amendment[amended]], ignore_index=True)


def _rounded(amounts: Floats) -> Ints:
    return np.round(amounts / _UNITS).astype(np.int64) * _UNITS


def _reports(
    accounts: Accounts, ordinal: int, lag: Ints, seconds: Ints, amount: Floats, identity: bytes, *, amendment: bool
) -> pd.DataFrame:
    """One report of each account, posted `lag` days after the quarter's end (on a weekday), at a second of the day."""
    begin = np.datetime64(f"{ordinal // 4:04d}-{ordinal % 4 * 3 + 1:02d}", "M")
    end = (begin + 3).astype("datetime64[D]") - 1
    posted = np.busday_offset(end + lag, 0, roll="forward")
    local = pd.Series(posted.astype("datetime64[us]") + seconds.astype("timedelta64[s]"))
    moment = local.dt.tz_localize(NEW_YORK).dt.tz_convert("UTC").dt.tz_localize(None)
    return pd.DataFrame(
        {
            "known_on": posted.astype("datetime64[us]"),
            "known_at": moment.to_numpy().astype("datetime64[us]"),
            "event_date": end.astype("datetime64[us]"),
            "filing_id": _uuids(identity),
            "symbol": pd.Series(accounts.symbol, dtype=object),
            "client": accounts.client,
            "registrant": accounts.registrant,
            "quarter": f"{ordinal // 4}Q{ordinal % 4 + 1}",
            "amount": amount,
            "amendment": amendment,
        }
    )


def _uuids(identity: bytes) -> list[str]:
    """Random identifiers in the spelling of RFC 4122, 16 bytes each."""
    text = identity.hex()
    cut = (0, 8, 12, 16, 20, 32)
    return [
        "-".join(text[at + begin : at + end] for begin, end in zip(cut, cut[1:], strict=False))
        for at in range(0, len(text), 32)
    ]
