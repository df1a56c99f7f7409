"""Simulated headlines about the companies: their tone follows recent returns and, faintly, those to come.

Everything here is invented. An item is created at an instant and some are updated a little later; as on a news wire, it
is told as last updated, so that is when it counts as known.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pas_dagster.sandbox.listing import COMPANIES, INITIAL, companies
from pas_dagster.sandbox.streams import BLOCK, Floats, Ints, Tag, generator

if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    from pas_dagster.sandbox.world import World

POSITIVE = (
    "{} Beats Q{n} Estimates On Strong Demand",
    "{} Shares Gain After Upbeat Outlook",
    "{} Wins ${n}M Contract, Sees Solid Growth",
    "{} Raises Guidance; Margins Improve",
    "{} Announces ${n}M Buyback As Profits Surge To Record",
    "Analysts Praise {} After Successful Product Launch",
    "{} Hits 52-Week High On Optimistic Forecast",
    "Why {} Looks Attractive: {n} Great Reasons",
)
NEGATIVE = (
    "{} Misses Q{n} Estimates As Weak Demand Hurts Sales",
    "{} Shares Fall After Disappointing Outlook",
    "{} Faces Lawsuit Over Alleged Fraud",
    "{} Cuts Guidance, Warns Of ${n}M Loss",
    "{} To Lay Off {n} Employees Amid Poor Results",
    "Regulators Reject {} Filing, Raising Serious Concerns",
    "{} Hits 52-Week Low On Recession Fears",
    "{} Suffers Outage; Customers Angry",
)
NEUTRAL = (
    "{} To Report Q{n} Results On Thursday",
    "{} Names New Chief Financial Officer",
    "{} To Present At Annual Investor Conference",
    "{} Files Form 8-K With The SEC",
    "What To Know Before {} Earnings",
    "{} Declares Quarterly Dividend",
    "{} Opens Office In {n} Cities",
    "{n} Stocks Moving In Wednesday's Session, Including {}",
)
MARKET_WIDE = (
    "Stocks Open Mixed As Traders Await Fed Minutes",
    "US Futures Little Changed; {n} Companies Report Today",
    "Treasury Yields Edge Higher Ahead Of Jobs Data",
    "Oil Inventories: What To Expect",
)
TEMPLATES = (*NEGATIVE, *NEUTRAL, *POSITIVE, *MARKET_WIDE)

SOURCES = np.array(["benzinga", "Reuters", "Bloomberg", "PR Newswire", "MarketWatch", "Zacks"], dtype=object)
_SOURCE_ODDS = (0.55, 0.12, 0.10, 0.10, 0.08, 0.05)
_PER_SESSION = 32
_FIRST_ID = 20_000_000
_IDS = 100_000  # numbers set aside for a block
_TONE = len(NEUTRAL)  # as many templates of each tone
_NOTHING = np.array(None, dtype=object)
_SLUG = re.compile(r"[^a-z0-9]+")


def rows(world: World) -> pd.DataFrame:
    """All headlines, columns of the table news_headlines; an item of several symbols has a row for each."""
    blocks = range(-(-len(world.days) // BLOCK))
    frame = pd.concat([_block(world, block) for block in blocks], ignore_index=True)
    return frame.sort_values(["known_on", "headline_id", "symbol"], ignore_index=True)


def updated_after(number: Ints) -> Ints:
    """Minutes between the creation of an item and its last update, by its number; 0 for most."""
    return np.where(number % 6 == 0, 1 + number // 6 % 45, 0)


def _block(world: World, block: int) -> pd.DataFrame:
    """The items of one block of sessions, drawn whole, then cut to the sessions there are."""
    drawn = _draw(world.seed, block)
    here = drawn["session"] < len(world.days)
    drawn = {name: values[here] for name, values in drawn.items()}
    number, session = drawn["number"], drawn["session"]
    company = _listed(world, drawn["company"], drawn["fallback"], session)
    tone = np.digitize(_mood(world, session, company) + 0.8 * drawn["noise"], [-0.45, 0.45])
    template = np.where(drawn["broad"], 3 * _TONE + drawn["pick"] % len(MARKET_WIDE), tone * _TONE + drawn["pick"])
    headlines = _headlines(template, company, drawn["figure"])
    times = _times(world.days[session], drawn["weekend"], drawn["second"], updated_after(number))
    item = {
        **times,
        "headline_id": [f"alpaca:{n}" for n in number],
        "headline": headlines,
        "source": SOURCES[drawn["source"]],
        "sentiment": _sentiments(template, np.where(drawn["broad"], 0, company)),
        "url": _addresses(times["event_date"], number, headlines),
    }
    position, symbols = _symbols(world, drawn, company)
    frame = pd.DataFrame(item).iloc[position].reset_index(drop=True).assign(symbol=pd.Series(symbols, dtype=object))
    order = ["known_on", "known_at", "event_date", "headline_id", "symbol", "headline", "source", "url", "sentiment"]
    return frame[order].drop_duplicates(["headline_id", "symbol"])


def _draw(seed: int, block: int) -> dict[str, np.ndarray]:
    """Everything random about the items of a block, each an array (items,)."""
    rng = generator(seed, Tag.NEWS, block)
    count = int(rng.poisson(_PER_SESSION * BLOCK))
    odds = generator(0, Tag.NEWS).random(COMPANIES) ** 2 + 0.1
    morning = rng.random(count) < 0.6
    hour = np.where(morning, rng.normal(8.5, 1.5, count), rng.normal(15.5, 2.5, count))
    return {
        "number": _FIRST_ID + _IDS * block + np.arange(count),
        "session": block * BLOCK + np.sort(rng.integers(0, BLOCK, count)),
        "second": np.clip(hour * 3600, 0, 86399).astype(np.int64),
        "weekend": np.where(rng.random(count) < 0.12, rng.integers(1, 3, count), 0),
        "company": rng.choice(COMPANIES, count, p=odds / odds.sum()),
        "fallback": rng.integers(0, INITIAL, count),
        "noise": rng.standard_normal(count),
        "pick": rng.integers(0, _TONE, count),
        "figure": rng.integers(1, 5, count),
        "broad": rng.random(count) < 0.03,
        "source": rng.choice(len(SOURCES), count, p=_SOURCE_ODDS),
        "second_company": np.where(rng.random(count) < 0.18, rng.integers(0, INITIAL, count), -1),
        "third_company": np.where(rng.random(count) < 0.06, rng.integers(0, INITIAL, count), -1),
        "crypto": rng.random(count) < 0.01,
    }


def _listed(world: World, company: Ints, fallback: Ints, session: Ints) -> Ints:
    """The company, or another where it is not listed on the session."""
    steady = np.setdiff1d(np.arange(INITIAL), world.listing.eventful)
    return np.where(world.listing.listed(company, session), company, steady[fallback % len(steady)])


def _mood(world: World, session: Ints, company: Ints) -> Floats:
    """What the last week's return, and a little of the next days', does to the tone."""
    returns = world.market.stocks
    past = sum(returns[np.maximum(session - lag, 0), company] for lag in range(1, 6))
    ahead = sum(returns[np.minimum(session + lag, len(returns) - 1), company] for lag in range(3))
    return 0.6 * np.tanh(past / 0.06) + 0.25 * np.tanh(ahead / 0.04)


def _headlines(template: Ints, company: Ints, figure: Ints) -> list[str]:
    names = [one.name for one in companies()]
    told = zip(template.tolist(), company.tolist(), figure.tolist(), strict=True)
    return [TEMPLATES[text].format(names[number], n=n) for text, number, n in told]


def _sentiments(template: Ints, company: Ints) -> Floats:
    """VADER's score; figures do not change it, so each text is scored once for each company."""
    pairs, inverse = np.unique(template * COMPANIES + company, return_inverse=True)
    scores = [_sentiment(*divmod(int(pair), COMPANIES)) for pair in pairs]
    return np.array(scores, dtype=np.float64)[inverse]


@cache
def _sentiment(template: int, company: int) -> float:
    return _analyzer().polarity_scores(TEMPLATES[template].format(companies()[company].name, n=1))["compound"]


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def _times(day: Ints, weekend: Ints, second: Ints, delay: Ints) -> dict[str, np.ndarray]:
    """Days in New York and the instant of the last update, naive UTC; some items of Fridays come on the weekend."""
    friday = (day + 3) % 7 == 4
    created = (day + np.where(friday, weekend, 0)).astype("datetime64[D]")
    moment = created.astype("datetime64[us]") + second.astype("timedelta64[s]")
    first = np.ones(len(moment), dtype=bool)  # an hour that comes twice is the first of the two
    local = pd.DatetimeIndex(moment).tz_localize("America/New_York", ambiguous=first, nonexistent="shift_forward")
    updated = local + pd.to_timedelta(delay, unit="min")
    return {
        "known_on": updated.tz_localize(None).normalize().to_numpy().astype("datetime64[us]"),
        "known_at": updated.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]"),
        "event_date": created.astype("datetime64[us]"),
    }


def _addresses(created: np.ndarray, number: Ints, headlines: list[str]) -> list[str]:
    months = pd.DatetimeIndex(created).strftime("%y/%m")
    slugs = [_SLUG.sub("-", text.lower()).strip("-") for text in headlines]
    told = zip(months, number.tolist(), slugs, strict=True)
    return [f"https://www.benzinga.com/news/{month}/{n}/{slug}" for month, n, slug in told]


def _symbols(world: World, drawn: dict[str, np.ndarray], company: Ints) -> tuple[Ints, np.ndarray]:
    """Positions of items, and the symbol that each names; None for news of the whole market."""
    names = np.array([one.symbol for one in companies()], dtype=object)
    session, events = drawn["session"], world.listing
    everywhere = np.arange(len(session))
    told = [(everywhere, np.where(drawn["broad"], _NOTHING, _symbol(world, names, company, session)))]
    for column in ("second_company", "third_company"):
        other = drawn[column]
        named = (other >= 0) & ~drawn["broad"] & events.listed(np.maximum(other, 0), session)
        told.append((everywhere[named], _symbol(world, names, other[named], session[named])))
    crypto = everywhere[drawn["crypto"] & ~drawn["broad"]]
    told.append((crypto, np.full(len(crypto), "BTCUSD", dtype=object)))
    return np.concatenate([at for at, _ in told]), np.concatenate([symbols for _, symbols in told])


def _symbol(world: World, names: np.ndarray, company: Ints, session: Ints) -> np.ndarray:
    """The symbol that a company has on a session."""
    events = world.listing
    renamed = (company == events.renamed) & (session >= events.rename_session)
    return np.where(renamed, events.new_symbol, names[company])
