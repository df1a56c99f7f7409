"""Daily returns: the market with its regimes, styles, sectors, interest rates, companies and funds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pas_dagster.sandbox.funds import SECTORS, YEAR, fund_returns
from pas_dagster.sandbox.listing import COMPANIES, Listing, companies
from pas_dagster.sandbox.streams import (
    BLOCK,
    Bools,
    Floats,
    Tag,
    autoregressive,
    clustered,
    fat_tails,
    generator,
    normals,
)

CYCLE = 4 * BLOCK
"""Sessions per market cycle; each has one calm stretch and one crisis with its recovery."""

ORDINARY_VOLATILITY = 0.155
"""Of the market per year, outside calm and crisis."""

STYLES = ("smb", "hml", "rmw", "cma")
_STYLE_VOLATILITY = np.array([0.08, 0.09, 0.055, 0.055])
_STYLE_DRIFT = np.array([0.01, 0.02, 0.03, 0.015])
_DRIFT = 0.075  # log, per year
_INFORMED_DRIFT = 0.00015  # per session and unit of skill


@dataclass(frozen=True)
class Market:
    """Simulated daily values; the first axis is the session.

    `stocks` (sessions, COMPANIES) and `funds` (sessions, len(FUNDS)) are simple total returns, zero on the
    first session and where a company is not listed. `styles` (sessions, 4) and `excess` (sessions,) are the
    factor returns; `rates` maps tenors to yearly yields (sessions,); `regime` (sessions,) is the yearly
    volatility the market is in.
    """

    stocks: Floats
    funds: Floats
    excess: Floats
    styles: Floats
    rates: dict[str, Floats]
    regime: Floats


def simulate(seed: int, sessions: int, listing: Listing, interest: Floats) -> Market:
    """Simulate the first `sessions` sessions; `interest` (sessions, COMPANIES) is informed buying, in units."""
    regime, market = _broad_market(seed, sessions)
    tension = regime / ORDINARY_VOLATILITY
    rates = _rates(seed, market / regime * np.sqrt(YEAR))
    cash = rates["3m"] / YEAR
    styles = _STYLE_DRIFT / YEAR + _daily(_STYLE_VOLATILITY) * np.sqrt(tension)[:, None] * clustered(
        fat_tails(seed, Tag.STYLES, sessions, len(STYLES), 6.0)
    )
    alive = _alive(listing, sessions)
    stocks = _stocks(seed, listing, market - cash, styles, tension) + cash[:, None]
    stocks += _INFORMED_DRIFT * _neutral(interest, listing.weight * alive)
    stocks = np.clip(stocks, -0.6, 1.5)
    _take_over(seed, listing, stocks)
    _go_bankrupt(listing, stocks)
    stocks[~_earning(listing, sessions)] = 0.0
    sleeves = _sleeves(listing, stocks, alive)
    excess = np.where(np.arange(sessions) == 0, market, sleeves["MKT"]) - cash
    sleeves["SMB"] = styles[:, 0]
    funds = fund_returns(seed, sleeves, rates)
    funds[0] = 0.0
    return Market(stocks, funds, excess, styles, rates, regime)


def capital_weighted(listing: Listing, growth: Floats, returns: Floats, members: Bools) -> Floats:
    """Returns (sessions,) of companies weighted by yesterday's capitalisation.

    `growth` (sessions, COMPANIES) is each company's price relative to its first close, `members` which
    companies had a bar yesterday and today.
    """
    capital = np.where(members, listing.weight * np.roll(growth, 1, axis=0), 0.0)
    capital[0] = 0.0
    return (capital * returns).sum(axis=1) / np.maximum(capital.sum(axis=1), 1e-12)


def _broad_market(seed: int, sessions: int) -> tuple[Floats, Floats]:
    """Yearly regime volatility and the market's daily simple total return, both (sessions,)."""
    cycles = [_cycle(seed, number) for number in range(-(-sessions // CYCLE))]
    regime, logs = (np.concatenate(parts)[:sessions] for parts in zip(*cycles, strict=True))
    return regime, np.expm1(logs)


def _cycle(seed: int, number: int) -> tuple[Floats, Floats]:
    """Regime volatility and log returns of one whole cycle, both (CYCLE,)."""
    rng = generator(seed, Tag.REGIMES, number)
    volatility, drift = np.full(CYCLE, ORDINARY_VOLATILITY), np.full(CYCLE, np.nan)
    calm = int(rng.integers(60, 140))
    crisis = int(rng.integers(400, 600))
    for begin, length, level, trend in (
        (calm, 200, 0.09, 0.14),
        (crisis, 50, 0.36, -1.30),
        (crisis + 50, 70, 0.20, 0.80),
    ):
        volatility[begin : begin + length] = level
        drift[begin : begin + length] = trend
    ordinary = np.isnan(drift)
    drift[ordinary] = (_DRIFT * CYCLE - drift[~ordinary].sum()) / ordinary.sum()
    shocks = 0.98 * rng.standard_t(7.0, CYCLE) * np.sqrt(5 / 7)
    noise = _daily(volatility) * clustered(shocks[:, None])[:, 0]
    # Four years say little about a mean: without this, every third world would be a lost decade.
    noise -= 0.8 * noise.mean()
    return volatility, drift / YEAR + noise


def _rates(seed: int, market_shocks: Floats) -> dict[str, Floats]:
    """Yearly yields by tenor; the ten-year falls when the market does, the bill follows slowly."""
    sessions = len(market_shocks)
    level, slope, belly = normals(seed, Tag.RATES, sessions, 3).T
    mood = np.clip(market_shocks, -4, 4)
    start = generator(seed, Tag.TRAITS, 1).uniform(0.032, 0.044)
    ten = start + _reverting(0.00050 * (0.25 * mood + 0.97 * level), 750.0)
    steep = 0.005 + _reverting(0.00025 * slope, 400.0)
    bill = np.empty(sessions)
    bill[0] = ten[0] - steep[0]
    for session in range(1, sessions):
        bill[session] = bill[session - 1] + 0.012 * (ten[session] - steep[session] - bill[session - 1])
    two = 0.55 * bill + 0.45 * ten + _reverting(0.00025 * belly, 40.0)
    return {tenor: np.maximum(rate, 0.001) for tenor, rate in (("3m", bill), ("2y", two), ("10y", ten))}


def _reverting(steps: Floats, half_life: float) -> Floats:
    """Sum of daily `steps` (sessions,) pulled back to zero."""
    keep = 0.5 ** (1.0 / half_life)
    out = np.zeros(len(steps))
    for session in range(1, len(steps)):
        out[session] = keep * out[session - 1] + steps[session]
    return out


def _stocks(seed: int, listing: Listing, excess: Floats, styles: Floats, tension: Floats) -> Floats:
    """Excess returns (sessions, COMPANIES) = market, styles, sector and a fat-tailed own part."""
    rng = generator(seed, Tag.TRAITS)
    member = _sector_numbers()
    beta = np.array([sector.beta for sector in SECTORS])[member] + rng.normal(0, 0.14, COMPANIES)
    beta /= np.average(beta, weights=listing.weight)
    tilt = rng.normal(0, 0.45, (len(STYLES), COMPANIES))
    tilt[0] -= 0.35 * (np.log(listing.weight) - np.log(listing.weight).mean())
    tilt -= np.average(tilt, axis=1, weights=listing.weight)[:, None]
    own = _daily(np.clip(0.27 * np.exp(rng.normal(0, 0.25, COMPANIES)), 0.16, 0.55))
    total = excess[:, None] * beta
    for style, loading in zip(styles.T, tilt, strict=True):
        total += style[:, None] * loading
    total += _sector_returns(seed, listing, tension)[:, member]
    shocks = clustered(fat_tails(seed, Tag.IDIOSYNCRATIC, len(excess), COMPANIES, 5.0))
    return total + own * np.sqrt(tension)[:, None] * shocks


def _sector_returns(seed: int, listing: Listing, tension: Floats) -> Floats:
    """Returns (sessions, sectors) around the market: a slow trend, which momentum can follow, and noise."""
    sessions, width = len(tension), len(SECTORS)
    trend = autoregressive(normals(seed, Tag.SECTOR_TREND, sessions, width), 90.0)
    noise = clustered(fat_tails(seed, Tag.SECTOR_NOISE, sessions, width, 6.0))
    returns = 0.13 / YEAR * trend + _daily(0.085) * np.sqrt(tension)[:, None] * noise
    weight = np.bincount(_sector_numbers(), weights=listing.weight, minlength=width)
    return _neutral(returns, np.ones(returns.shape) * weight)


def _neutral(values: Floats, weight: Floats) -> Floats:
    """Subtract each session's weighted mean, so that what is added moves no index."""
    mean = (values * weight).sum(axis=1) / weight.sum(axis=1)
    return values - mean[:, None]


def _take_over(seed: int, listing: Listing, returns: Floats) -> None:
    """A bid at +30 %: the price jumps, hugs the offer from below and ends in cash exactly at it."""
    company, begin, end = listing.taken_over, listing.offer_session, int(listing.last[listing.taken_over])
    wiggle = generator(seed, Tag.PRICING, 1).normal(0, 0.0015, end - begin)
    gap = 0.02 * np.linspace(1, 0, end - begin + 1)
    gap[:-1] = np.maximum(gap[:-1] + wiggle, 0.0)
    path = np.concatenate([[1.0], 1.30 * (1 - gap)])
    _overwrite(returns, company, begin, path)


def _go_bankrupt(listing: Listing, returns: Floats) -> None:
    """Eight sessions lose about four fifths; holders then receive less still."""
    falls = np.array([0.88, 0.70, 0.92, 0.62, 1.08, 0.75, 0.66, 0.90, 0.60])
    path = np.concatenate([[1.0], np.cumprod(falls)])
    _overwrite(returns, listing.bankrupt, listing.decline_session, path)


def _overwrite(returns: Floats, company: int, begin: int, path: Floats) -> None:
    """Put the returns of a price `path`, whose first entry is the close before `begin`, in place."""
    room = max(0, len(returns) - begin)
    returns[begin : begin + len(path) - 1, company] = (path[1:] / path[:-1] - 1)[:room]


def _sleeves(listing: Listing, stocks: Floats, alive: Bools) -> dict[str, Floats]:
    """Capitalisation-weighted total returns of the market and of every sector, by fund symbol."""
    growth = np.cumprod(1 + stocks, axis=0)
    earning = alive & _earning(listing, len(stocks))
    member = _sector_numbers()
    sleeves = {"MKT": capital_weighted(listing, growth, stocks, earning)}
    for number, sector in enumerate(SECTORS):
        sleeves[sector.fund] = capital_weighted(listing, growth, stocks, earning & (member == number))
    return sleeves


def _alive(listing: Listing, sessions: int) -> Bools:
    """Which companies have a bar, (sessions, COMPANIES)."""
    session = np.arange(sessions)[:, None]
    return (listing.first <= session) & (session <= listing.last)


def _earning(listing: Listing, sessions: int) -> Bools:
    """Which companies have a return: a bar today and one before, (sessions, COMPANIES)."""
    session = np.arange(sessions)[:, None]
    return (listing.first < session) & (session <= listing.last)


def _sector_numbers() -> np.ndarray:
    order = {sector.name: number for number, sector in enumerate(SECTORS)}
    return np.array([order[company.sector] for company in companies()])


def _daily(yearly: float | Floats) -> Floats:
    return np.asarray(yearly) / np.sqrt(YEAR)
