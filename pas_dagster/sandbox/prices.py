"""From returns to raw prices: dividends, splits, and the bars and actions a data vendor would report.

Columns of every matrix are *securities*: the companies, then the funds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pas_dagster.sandbox.funds import FUNDS, LEVERED, SECTORS, YEAR, bond_yield
from pas_dagster.sandbox.listing import COMPANIES, INITIAL, Listing, companies
from pas_dagster.sandbox.market import ORDINARY_VOLATILITY, Market, capital_weighted
from pas_dagster.sandbox.streams import BLOCK, Bools, Floats, Ints, Tag, by_block, generator, normals

SECURITIES = COMPANIES + len(FUNDS)
QUARTER = 63
"""Sessions between dividends."""

ANNOUNCED = {"split": 10, "symbol_change": 10, "dividend": 15, "delisting": 0}
"""Calendar days between announcement and ex or effective day."""

START_LEVEL = 4000.0
_STOCK_SPLITS = ((2.0, 4.0), (3.0, 0.1), (2.0, 3.0), (4.0, 2.0))
_FUND_SPLITS = ((2.0,), (0.1, 4.0), (2.0,), (0.1, 2.0))
_GAP_ODDS = 0.0005


@dataclass(frozen=True)
class Actions:
    """Corporate actions as parallel arrays, one entry per action (ex session, security, value)."""

    session: Ints
    security: Ints
    value: Floats
    announced: Ints
    """Session whose close was the last known on the announcement."""


@dataclass(frozen=True)
class Tape:
    """What happened on the exchange; matrices are (sessions, SECURITIES).

    `close` is raw USD rounded to 4 decimals, NaN without a bar; `total_return` is computed from it.
    `price_return` (sessions, COMPANIES) leaves dividends out, before rounding.
    """

    close: Floats
    total_return: Floats
    dividends: Actions
    splits: Actions
    price_return: Floats


def record(seed: int, days: Ints, listing: Listing, market: Market) -> Tape:
    """Price every security on `days` (days since 1970 of the sessions)."""
    returns = np.concatenate([market.stocks, market.funds], axis=1)
    alive = _alive(listing, len(days))
    dividends, income = _dividends(seed, days, listing, market, returns)
    whole = _first_closes(seed) * np.cumprod(1 + returns - income, axis=0)
    splits = _splits(seed, days, listing, dividends, whole)
    ratio = _matrix(splits, len(days), fill=1.0)
    raw = np.round(whole / np.cumprod(ratio, axis=0), 4)
    paid = np.round(dividends.value * raw[dividends.announced, dividends.security], 4)
    dividends = Actions(dividends.session, dividends.security, paid, dividends.announced)
    payout = _matrix(dividends, len(days), fill=0.0)
    present = alive & ~_gaps(seed, listing, (ratio != 1) | (payout != 0))
    close = np.where(present, raw, np.nan)
    previous = pd.DataFrame(close).ffill().shift().to_numpy()
    total = (close * ratio + payout) / previous - 1
    return Tape(close, total, dividends, splits, (returns - income)[:, :COMPANIES])


def bars(seed: int, market: Market, tape: Tape) -> dict[str, Floats]:
    """Open, high, low and volume for the closes, each (sessions, SECURITIES)."""
    sessions = len(tape.close)
    traits = generator(seed, Tag.BARS, 0)
    width = _typical_day()
    noise = normals(seed, Tag.BARS, sessions, 4, SECURITIES).transpose(1, 0, 2)
    tension = np.sqrt(market.regime / ORDINARY_VOLATILITY)[:, None]
    move = np.nan_to_num(tape.total_return)
    inside = np.clip(0.55 * move + 0.45 * width * tension * noise[0], -0.5, 0.5)
    opening = tape.close * np.exp(-inside)
    high = np.maximum(opening, tape.close) * np.exp(0.4 * width * tension * np.abs(noise[1]))
    low = np.minimum(opening, tape.close) * np.exp(-0.4 * width * tension * np.abs(noise[2]))
    turnover = 6e7 * np.exp(traits.normal(0, 1.0, SECURITIES))
    busy = np.exp(0.35 * noise[3] + 0.3 * np.minimum(np.abs(move) / width, 8))
    volume = np.maximum(np.round(turnover * busy / tape.close), 100.0)
    rounded = (np.round(values, 4) for values in (opening, high, low))
    return dict(zip(("open", "high", "low"), rounded, strict=True)) | {"volume": volume}


def index_bars(seed: int, listing: Listing, market: Market, tape: Tape) -> dict[str, Floats]:
    """Bars of the price index of all companies, each (sessions,); the first close is START_LEVEL."""
    sessions = len(tape.close)
    alive = _alive(listing, sessions)[:, :COMPANIES]
    earning = alive & np.vstack([np.zeros((1, COMPANIES), dtype=bool), alive[:-1]])
    growth = np.cumprod(1 + tape.price_return, axis=0)
    change = capital_weighted(listing, growth, tape.price_return, earning)
    close = np.round(START_LEVEL * np.cumprod(1 + change), 2)
    noise = normals(seed, Tag.INDEX_BARS, sessions, 4).T
    width = 0.5 * market.regime / np.sqrt(YEAR)
    opening = np.round(close * np.exp(-0.6 * change - 0.4 * width * noise[0]), 2)
    return {
        "open": opening,
        "high": np.round(np.maximum(opening, close) * np.exp(width * np.abs(noise[1])), 2),
        "low": np.round(np.minimum(opening, close) * np.exp(-width * np.abs(noise[2])), 2),
        "close": close,
        "volume": np.round(3.8e9 * np.exp(0.15 * noise[3] + 8 * np.abs(change))),
    }


def symbols() -> list[str]:
    """First symbol of every security."""
    return [company.symbol for company in companies()] + [fund.symbol for fund in FUNDS]


def _alive(listing: Listing, sessions: int) -> Bools:
    session = np.arange(sessions)[:, None]
    listed = (listing.first <= session) & (session <= listing.last)
    return np.hstack([listed, np.ones((sessions, len(FUNDS)), dtype=bool)])


def _first_closes(seed: int) -> Floats:
    drawn = np.exp(generator(seed, Tag.PRICING).normal(np.log(75.0), 0.7, COMPANIES))
    return np.concatenate([np.clip(drawn, 12.0, 420.0), [fund.start for fund in FUNDS]])


def _yearly_income(seed: int, listing: Listing) -> Floats:
    """Dividend yield of each security per year: about half of the companies pay; -1: follow the rates."""
    rng = generator(seed, Tag.PRICING, 2)
    level = np.array([{s.name: s.income for s in SECTORS}[c.sector] for c in companies()])
    pays = rng.random(COMPANIES) < 0.55
    pays[listing.eventful] = False
    stocks = np.where(pays, np.clip(1.6 * level * np.exp(rng.normal(0, 0.3, COMPANIES)), 0.004, 0.08), 0.0)
    return np.concatenate([stocks, [-1.0 if fund.income is None else fund.income for fund in FUNDS]])


def _dividends(seed: int, days: Ints, listing: Listing, market: Market, returns: Floats) -> tuple[Actions, Floats]:
    """Quarterly dividends, values as a share of the announcement-day close, and the matrix of their yields.

    The amount is set on the announcement, so the yield on the ex-day depends on the price since then.
    """
    sessions = len(days)
    phase = generator(seed, Tag.PRICING, 3).integers(1, QUARTER, SECURITIES)
    first = np.concatenate([listing.first, np.zeros(len(FUNDS), dtype=np.int64)])
    session, security = np.nonzero(np.arange(sessions)[:, None] % QUARTER == phase)
    yearly = _yearly_income(seed, listing)
    keep = (yearly[security] != 0) & (session > np.where(first > 0, first + QUARTER, 0)[security])
    session, security = session[keep], security[keep]
    announced = _announcement(days, session, "dividend")
    value = yearly[security] / 4
    for number, fund in enumerate(FUNDS):
        if fund.income is None:
            rows = security == COMPANIES + number
            value[rows] = bond_yield(fund, market.rates)[announced[rows]] / 4
    growth = np.cumprod(1 + returns, axis=0)
    income = np.zeros_like(returns)
    income[session, security] = value * growth[announced, security] / growth[session - 1, security]
    return Actions(session, security, value, announced), income


def _splits(seed: int, days: Ints, listing: Listing, dividends: Actions, whole: Floats) -> Actions:
    """Two stock splits a year and some of levered funds: the dearest share splits, the cheapest merges.

    The choice is made on the announcement's close. Shares between a dividend's announcement and its ex-day
    are passed over, so that an announced dividend is never restated.
    """
    unit = np.ones(SECURITIES)
    steady = np.zeros(SECURITIES, dtype=bool)
    steady[:INITIAL] = True
    steady[listing.eventful] = False
    levered = np.concatenate([np.zeros(COMPANIES, dtype=bool), LEVERED])
    chosen: list[tuple[int, int, float, int]] = []
    for session, ratio, stock in _split_plan(seed, len(days)):
        announced = int(_announcement(days, np.array([session]), "split")[0])
        busy = (dividends.announced <= session) & (session <= dividends.session)
        free = (steady if stock else levered) & (unit == 1)
        free[dividends.security[busy]] = False
        if not free.any():
            continue  # after a dozen years each has had its split
        price = np.where(free, whole[announced] / unit, np.nan)
        security = int(np.nanargmax(price) if ratio > 1 else np.nanargmin(price))
        unit[security] *= ratio
        chosen.append((session, security, ratio, announced))
    sessions, securities, ratios, known = zip(*chosen, strict=True) if chosen else ((), (), (), ())
    return Actions(
        np.array(sessions, dtype=np.int64),
        np.array(securities, dtype=np.int64),
        np.array(ratios, dtype=np.float64),
        np.array(known, dtype=np.int64),
    )


def _split_plan(seed: int, sessions: int) -> list[tuple[int, float, bool]]:
    """Ex session, ratio and whether it is a stock's, in order of time."""
    plan = []
    for block in range(-(-sessions // BLOCK)):
        rng = generator(seed, Tag.PRICING, 100 + block)
        for sizes, stock in ((_STOCK_SPLITS, True), (_FUND_SPLITS, False)):
            ratios = sizes[block % len(sizes)]
            for place, ratio in enumerate(ratios):
                plan.append((block * BLOCK + 30 + 110 * place + int(rng.integers(0, 80)), ratio, stock))
    return sorted(item for item in plan if item[0] < sessions)


def _announcement(days: Ints, session: Ints, kind: str) -> Ints:
    """Last session on or before the announcement of an action with ex `session`; the first at the earliest."""
    return np.maximum(np.searchsorted(days, days[session] - ANNOUNCED[kind], side="right") - 1, 0)


def _matrix(actions: Actions, sessions: int, fill: float) -> Floats:
    out = np.full((sessions, SECURITIES), fill)
    out[actions.session, actions.security] = actions.value
    return out


def _gaps(seed: int, listing: Listing, action: Bools) -> Bools:
    """Bars missing at random: of stocks only, and never where something begins, ends or goes ex."""
    sessions = len(action)
    gaps = by_block(seed, Tag.GAPS, sessions, lambda rng: rng.random((BLOCK, SECURITIES))) < _GAP_ODDS
    gaps &= ~action
    gaps[:, COMPANIES:] = False
    gaps[:, listing.eventful] = False
    gaps[0] = False
    listed = listing.first[listing.first < sessions]
    gaps[listed, np.flatnonzero(listing.first < sessions)] = False
    return gaps


def _typical_day() -> Floats:
    """A rough daily volatility of each security, for the width of its bars."""
    funds = [
        0.35 * fund.noise / 5 + sum(fund.duration.values()) * 0.0005 + 0.010 * sum(fund.mix.values()) * fund.leverage
        for fund in FUNDS
    ]
    return np.concatenate([np.full(COMPANIES, 0.018), np.maximum(funds, 0.0001)])
