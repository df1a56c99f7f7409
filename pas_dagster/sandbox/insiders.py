"""Simulated filings of corporate insiders (Form 4): grants, exercises, sales with and without a plan, gifts, purchases.

Invented are the insiders and all they do. A filing is known on its filing day, a session; a purchase or a sale is filed
within two sessions, a few filings are late, and a few are amended: the amendment repeats all lines and mends one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pas_dagster.sandbox.listing import COMPANIES, INITIAL, companies
from pas_dagster.sandbox.streams import BLOCK, Bools, Floats, Ints, Tag, generator

if TYPE_CHECKING:
    from pas_dagster.sandbox.world import World

AGENT = 1193125
"""The filing agent whose number begins every accession."""

SEPARATOR = "; "
"""Between owners who file together."""

_FILINGS_PER_BLOCK = 9 * BLOCK
_PEOPLE = 8  # insiders of a company
_TITLES = ("Chief Executive Officer", "Chief Financial Officer", "General Counsel", "EVP, Operations")
_ROLES = np.array(["officer"] * 4 + ["director"] * 2 + ["other", "owner"], dtype=object)
_SEAT_ODDS = (0.20, 0.16, 0.12, 0.12, 0.15, 0.14, 0.02, 0.09)
_FAMILY = (
    *("Abbotsford", "Brackwell", "Crandmere", "Dellinghurst", "Elmsworth", "Fairleigh", "Grantley", "Hollister"),
    *("Iverson", "Jessop", "Kirkbride", "Lanniston", "Marchetti", "Norcross", "Oakhurst", "Pemberton", "Quilliam"),
    *("Ravensdale", "Stanhope", "Thackeray", "Underhill", "Vandermeer", "Wetherby", "Yardborough", "Zellweiger"),
)
_GIVEN = (
    *("Amelia R.", "Bernard", "Catherine", "Dominic J.", "Eleanor", "Frederick", "Grace", "Harold T."),
    *("Imogen", "Julian", "Katrina M.", "Leopold", "Marianne", "Nathaniel", "Octavia", "Percival"),
)


@dataclass(frozen=True)
class _Deed:
    """What a filing tells of: `codes` and `acquired` of the first line and of all others, and how many lines it has."""

    odds: float
    codes: tuple[str, str]
    acquired: tuple[bool, bool]
    lines: int
    least: int
    prompt: bool


_DEEDS = (
    _Deed(0.24, ("A", "A"), (True, True), 1, 1, prompt=False),
    _Deed(0.21, ("M", "F"), (True, False), 2, 2, prompt=True),
    _Deed(0.13, ("M", "S"), (True, False), 6, 2, prompt=True),
    _Deed(0.19, ("S", "S"), (False, False), 5, 1, prompt=True),
    _Deed(0.14, ("P", "P"), (True, True), 4, 1, prompt=True),
    _Deed(0.06, ("G", "G"), (False, False), 1, 1, prompt=False),
    _Deed(0.03, ("J", "J"), (False, False), 2, 1, prompt=False),
)
_PLANS_ASKED = np.datetime64("2023-04-01")  # since then the form asks for plans
_NOTHING = np.array(None, dtype=object)
_FREE = np.array(["A", "G"], dtype=object)


def rows(world: World) -> pd.DataFrame:
    """All transactions whose filing falls on a simulated session, columns of insider_buying."""
    blocks = range(-(-len(world.days) // BLOCK))
    frame = pd.concat([_block(world, block) for block in blocks], ignore_index=True)
    return frame.astype({"role": "str"}).sort_values(["known_on", "accession", "line"], ignore_index=True)


def _block(world: World, block: int) -> pd.DataFrame:
    """The filings of transactions that begin in one block; drawn whole, then cut to the sessions there are."""
    rng = generator(world.seed, Tag.INSIDERS, block)
    count = int(rng.poisson(_FILINGS_PER_BLOCK))
    drawn = _filings(rng, count, block)
    size = drawn["size"]
    filing, line = _places(size)
    noise = {name: rng.random(len(filing)) for name in ("shares", "price", "cents", "missing")}
    amended = np.flatnonzero((rng.random(count) < 0.035) & drawn["prompt"])
    delay = rng.integers(2, 20, len(amended))
    original = _lines(world, drawn, filing, line, noise)
    group, place = _places(size[amended])
    spot = (np.cumsum(size) - size)[amended][group] + place
    repeated = {name: values[spot] for name, values in original.items()} | {
        "shares": original["shares"][spot] + np.where(place == 0, 10, 0),
        "filed": original["filed"][spot] + delay[group],
        "number": count + group,
        "amendment": np.ones(len(group), dtype=bool),
    }
    return _table(world, {name: np.concatenate([original[name], repeated[name]]) for name in original}, block)


def _places(size: Ints) -> tuple[Ints, Ints]:
    """For groups of these sizes laid one after the other: the group of each item, and its place in it."""
    group = np.repeat(np.arange(len(size)), size)
    return group, np.arange(len(group)) - np.repeat(np.cumsum(size) - size, size)


def _filings(rng: np.random.Generator, count: int, block: int) -> dict[str, np.ndarray]:
    """Everything random about the filings of a block, each an array (count,)."""
    odds = np.array([deed.odds for deed in _DEEDS])
    deed = rng.choice(len(_DEEDS), count, p=odds / odds.sum())
    prompt = np.array([kind.prompt for kind in _DEEDS])[deed]
    lag = np.where(prompt, rng.choice([0, 1, 2], count, p=(0.12, 0.38, 0.50)), rng.integers(1, 4, count))
    late = rng.random(count) < 0.03
    least, most = (np.array([getattr(kind, name) for kind in _DEEDS])[deed] for name in ("least", "lines"))
    base = block * BLOCK + np.sort(rng.integers(0, BLOCK, count))
    return {
        "deed": deed,
        "prompt": prompt,
        "base": base,
        "filed": base + np.where(late, rng.integers(5, 40, count), lag),
        "size": np.minimum(least + rng.geometric(0.55, count) - 1, most),
        "company": rng.integers(0, COMPANIES, count),
        "fallback": rng.integers(0, INITIAL, count),
        "seat": rng.choice(_PEOPLE, count, p=_SEAT_ODDS),
        "joint": rng.random(count) < 0.5,
        "planned": rng.random(count),
        "stated": rng.random(count) < 0.93,
        "second": _seconds(rng, count),
        "night": rng.random(count) < 0.004,
        "size_of": np.exp(rng.normal(7.5, 1.3, count)),
    }


def _seconds(rng: np.random.Generator, count: int) -> Ints:
    """Seconds after midnight at which EDGAR accepts: from 6:00 to 22:00, most between 16:00 and 20:00."""
    evening = rng.triangular(15.5, 17.5, 21.95, count)
    hour = np.where(rng.random(count) < 0.75, evening, rng.uniform(6.0, 16.0, count))
    return np.floor(hour * 3600).astype(np.int64)


def _lines(
    world: World, drawn: dict[str, np.ndarray], filing: Ints, line: Ints, noise: dict[str, Floats]
) -> dict[str, np.ndarray]:
    """What each line says, and what its filing says of it."""
    deed, first = drawn["deed"][filing], line == 0
    codes = np.array([kind.codes for kind in _DEEDS], dtype=object)
    acquired = np.array([kind.acquired for kind in _DEEDS])
    code = np.where(first, codes[deed, 0], codes[deed, 1])
    sessions = len(world.days)
    base = np.minimum(drawn["base"], sessions - 1)
    steady = np.setdiff1d(np.arange(INITIAL), world.listing.eventful)
    listed = world.listing.listed(drawn["company"], base)
    company = np.where(listed, drawn["company"], steady[drawn["fallback"] % len(steady)])
    close = world.tape.close[base[filing], company[filing]]
    shares = np.maximum(np.round(drawn["size_of"][filing] * (0.3 + noise["shares"])), 1.0)
    fraction = (np.round(100 * noise["cents"]) / 100) * (noise["cents"] < 0.02)
    return {
        "number": filing,
        "line": line + 1,
        "company": company[filing],
        "seat": drawn["seat"][filing],
        "joint": drawn["joint"][filing],
        "code": code,
        "acquired": np.where(first, acquired[deed, 0], acquired[deed, 1]),
        "shares": np.round(shares + fraction, 2),
        "price": _price(code, close, noise),
        "plan": _plan(drawn, code, filing),
        "base": drawn["base"][filing],
        "filed": drawn["filed"][filing],
        "second": drawn["second"][filing],
        "night": drawn["night"][filing],
        "amendment": np.zeros(len(filing), dtype=bool),
    }


def _price(code: np.ndarray, close: Floats, noise: dict[str, Floats]) -> Floats:
    """USD: nothing for grants and gifts, a strike for exercises, about the close on the market.

    Several fills are told as a mean with four decimals. NaN where only a footnote tells it.
    """
    market = close * (1 + 0.02 * (noise["price"] - 0.5))
    fills = np.where(noise["cents"] < 0.35, np.round(market, 4), np.round(market, 2))
    strike = np.round(close * (0.2 + 0.5 * noise["price"]), 2)
    price = np.where(np.isin(code, _FREE), 0.0, np.where(code == "M", strike, fills))
    return np.where((code == "J") | (noise["missing"] < 0.01), np.nan, price)


def _plan(drawn: dict[str, np.ndarray], code: np.ndarray, filing: Ints) -> np.ndarray:
    """Half of the sales follow a plan; of each filing all lines say the same."""
    sale = np.zeros(len(drawn["deed"]), dtype=bool)
    sale[filing[code == "S"]] = True
    planned = np.where(sale & (drawn["planned"] < 0.5), "yes", "no").astype(object)
    return np.where(drawn["stated"], planned, _NOTHING)[filing]


def _table(world: World, lines: dict[str, np.ndarray], block: int) -> pd.DataFrame:
    """The columns of insider_buying, of the lines whose filing day is simulated."""
    there: Bools = lines["filed"] < len(world.days)
    lines = {name: values[there] for name, values in lines.items()}
    known_on, event_date = (_dates(world.days[lines[name]]) for name in ("filed", "base"))
    return pd.DataFrame(
        {
            "known_on": known_on,
            "known_at": _instants(known_on, lines["second"], lines["night"]),
            "event_date": event_date,
            "accession": _accessions(known_on, lines["number"], block),
            "line": lines["line"],
            "symbol": _symbols(world, lines["company"], lines["base"]),
            **_insider(lines),
            "code": lines["code"],
            "direction": np.where(lines["acquired"], "buy", "sell"),
            "shares": lines["shares"],
            "price": lines["price"],
            "plan": pd.Series(np.where(known_on >= _PLANS_ASKED, lines["plan"], _NOTHING), dtype=object),
            "amendment": lines["amendment"],
        }
    )


def _dates(days: Ints) -> np.ndarray:
    return days.astype("datetime64[D]").astype("datetime64[us]")


def _instants(day: np.ndarray, second: Ints, night: Bools) -> pd.Series:
    """UTC of a New York clock; nothing for what was accepted at night and dated the next session."""
    local = pd.Series(day).astype("datetime64[us]") + pd.to_timedelta(second, unit="s")
    moment = local.dt.tz_localize("America/New_York").dt.tz_convert("UTC").dt.tz_localize(None)
    return moment.astype("datetime64[us]").where(~night)


def _accessions(day: np.ndarray, number: Ints, block: int) -> np.ndarray:
    year = day.astype("datetime64[Y]").astype(np.int64) + 1970
    running = (block * 4000 + number).tolist()
    pairs = zip(year.tolist(), running, strict=True)
    return np.array([f"{AGENT:010d}-{y % 100:02d}-{n:06d}" for y, n in pairs], dtype=object)


def _symbols(world: World, company: Ints, session: Ints) -> np.ndarray:
    listing = world.listing
    names = np.array([stock.symbol for stock in companies()], dtype=object)
    renamed = (company == listing.renamed) & (session >= listing.rename_session)
    return np.where(renamed, np.array(listing.new_symbol, dtype=object), names[company])


def _insider(lines: dict[str, np.ndarray]) -> dict[str, object]:
    """Who files: people are written family name first; a fund may file together with its manager."""
    company, seat = lines["company"], lines["seat"]
    person = company * _PEOPLE + seat
    family = np.array(_FAMILY, dtype=object)[(person * 7 + company) % len(_FAMILY)]
    given = np.array(_GIVEN, dtype=object)[(person * 5 + seat) % len(_GIVEN)]
    name = family + " " + given
    fund = family + " Capital Partners LP"
    pair = fund + SEPARATOR + family + " Capital GP LLC"
    titles = np.array([*_TITLES, *[None] * (_PEOPLE - len(_TITLES))], dtype=object)
    role = _ROLES[seat]
    return {
        "insider": np.where(role == "owner", np.where(lines["joint"], pair, fund), name),
        "role": role,
        "title": pd.Series(titles[seat], dtype=object),
    }
