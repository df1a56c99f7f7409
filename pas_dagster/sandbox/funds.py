"""The exchange-traded funds and the eleven sectors: a table of facts and the daily returns they imply."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pas_dagster.sandbox.streams import Floats, Tag, normals

YEAR = 252.0


@dataclass(frozen=True)
class Sector:
    """A GICS sector: its `share` of the companies, typical market `beta`, yearly dividend `income`."""

    name: str
    fund: str
    share: float
    beta: float
    income: float


SECTORS = (
    Sector("Materials", "XLB", 6, 1.05, 0.019),
    Sector("Communication Services", "XLC", 7, 1.00, 0.008),
    Sector("Energy", "XLE", 6, 1.10, 0.033),
    Sector("Financials", "XLF", 14, 1.10, 0.018),
    Sector("Industrials", "XLI", 13, 1.05, 0.015),
    Sector("Information Technology", "XLK", 17, 1.20, 0.007),
    Sector("Consumer Staples", "XLP", 7, 0.60, 0.026),
    Sector("Real Estate", "XLRE", 6, 0.90, 0.034),
    Sector("Utilities", "XLU", 6, 0.60, 0.031),
    Sector("Health Care", "XLV", 13, 0.80, 0.015),
    Sector("Consumer Discretionary", "XLY", 11, 1.15, 0.009),
)


@dataclass(frozen=True)
class Fund:
    """A fund: what it holds (`mix` of sector fund symbols, 'MKT' or 'SMB'), what it adds, what it costs.

    `leverage` multiplies the day's return of the mix; `noise` is the yearly volatility of an exposure of its
    own; `duration` maps rate tenors to years for bond funds; `fee` and `income` are per year (`income` None:
    the level of the rates it is exposed to). `start` is the first close in USD.
    """

    symbol: str
    name: str
    start: float
    fee: float
    income: float | None
    mix: dict[str, float] = field(default_factory=dict)
    leverage: float = 1.0
    noise: float = 0.0
    drift: float = 0.0
    duration: dict[str, float] = field(default_factory=dict)
    sector: str | None = None


def _sector_fund(sector: Sector, start: float) -> Fund:
    return Fund(
        sector.fund,
        f"{sector.name} Select Sector SPDR Fund",
        start,
        0.0010,
        sector.income,
        {sector.fund: 1.0},
        sector=sector.name,
    )


def _triple(symbol: str, theme: str, start: float, mix: dict[str, float], noise: float = 0.0) -> Fund:
    """A daily 3x fund; `noise` is the yearly volatility of its theme around the mix, before leverage."""
    names = {sector.fund: sector.name for sector in SECTORS}
    sector = names.get(next(iter(mix))) if len(mix) == 1 else None
    return Fund(symbol, f"Daily {theme} Bull 3X", start, 0.0095, 0.004, mix, 3.0, noise, sector=sector)


_NASDAQ = {"XLK": 0.55, "XLC": 0.20, "XLY": 0.17, "XLV": 0.08}

FUNDS: tuple[Fund, ...] = (
    *map(_sector_fund, SECTORS, (82.0, 64.0, 74.0, 36.0, 98.0, 150.0, 71.0, 44.0, 65.0, 128.0, 170.0)),
    Fund("SPY", "S&P 500 ETF", 400.0, 0.0009, 0.014, {"MKT": 1.0}),
    Fund("QQQ", "Nasdaq 100 ETF", 320.0, 0.0020, 0.006, _NASDAQ),
    Fund("IWM", "Small Cap ETF", 195.0, 0.0019, 0.012, {"MKT": 1.08, "SMB": 0.9}, noise=0.03),
    Fund("VTI", "Total Stock Market ETF", 210.0, 0.0003, 0.014, {"MKT": 1.0, "SMB": 0.08}, noise=0.002),
    Fund("VXUS", "Total International Stock ETF", 58.0, 0.0007, 0.029, {"MKT": 0.80}, noise=0.085),
    Fund("EFA", "Developed Markets ETF", 73.0, 0.0032, 0.027, {"MKT": 0.82}, noise=0.080),
    _triple("UPRO", "S&P 500 Ultra", 70.0, {"MKT": 1.0}),
    _triple("SPXL", "S&P 500", 90.0, {"MKT": 1.0}),
    _triple("TQQQ", "Nasdaq 100", 85.0, _NASDAQ),
    _triple("SOXL", "Semiconductor", 38.0, {"XLK": 1.2}, 0.14),
    _triple("TECL", "Technology", 60.0, {"XLK": 1.0}),
    _triple("FAS", "Financials", 95.0, {"XLF": 1.0}),
    _triple("ERX", "Energy", 40.0, {"XLE": 1.0}),
    _triple("LABU", "Biotech", 75.0, {"XLV": 1.1}, 0.16),
    _triple("CURE", "Health Care", 92.0, {"XLV": 1.0}),
    _triple("DRN", "Real Estate", 17.0, {"XLRE": 1.0}),
    _triple("NAIL", "Homebuilders", 66.0, {"XLY": 1.1}, 0.14),
    _triple("UTSL", "Utilities", 33.0, {"XLU": 1.0}),
    _triple("DPST", "Regional Banks", 45.0, {"XLF": 1.1}, 0.12),
    _triple("RETL", "Retail", 42.0, {"XLY": 1.0}, 0.12),
    _triple("WANT", "Consumer Discretionary", 58.0, {"XLY": 1.0}),
    _triple("DUSL", "Industrials", 39.0, {"XLI": 1.0}),
    _triple("TPOR", "Transportation", 36.0, {"XLI": 1.0}, 0.08),
    Fund("AGG", "Core US Aggregate Bond ETF", 112.0, 0.0003, None, duration={"2y": 1.2, "10y": 5.0}),
    Fund("BND", "Total Bond Market ETF", 84.0, 0.0003, None, duration={"2y": 1.2, "10y": 5.1}),
    Fund("TLT", "20+ Year Treasury Bond ETF", 120.0, 0.0015, None, noise=0.02, duration={"10y": 16.5}),
    Fund("IEF", "7-10 Year Treasury Bond ETF", 105.0, 0.0015, None, duration={"10y": 7.4}),
    Fund("SHY", "1-3 Year Treasury Bond ETF", 84.0, 0.0015, None, duration={"2y": 1.9}),
    Fund("BIL", "1-3 Month T-Bill ETF", 91.5, 0.0014, None, duration={"3m": 0.12}),
    Fund("LQD", "Investment Grade Corporate ETF", 118.0, 0.0014, 0.042, {"MKT": 0.10}, duration={"10y": 8.3}),
    Fund("HYG", "High Yield Corporate ETF", 82.0, 0.0049, 0.055, {"MKT": 0.32}, duration={"2y": 3.2}),
    Fund("TIP", "TIPS Bond ETF", 116.0, 0.0019, 0.03, noise=0.025, duration={"10y": 5.2}),
    Fund("GLD", "Gold Shares", 170.0, 0.0040, 0.0, noise=0.145, drift=0.06, duration={"10y": 2.5}),
)

LEVERED = np.array([fund.leverage > 1 for fund in FUNDS])


def fund_returns(seed: int, sleeves: dict[str, Floats], rates: dict[str, Floats]) -> Floats:
    """Daily simple total returns of all funds, shape (sessions, len(FUNDS)).

    `sleeves` maps sector fund symbols, 'MKT' and 'SMB' to daily total returns of shape (sessions,); `rates`
    maps tenors to yearly yields of shape (sessions,). Levered funds earn the multiple of the mix's day.
    """
    sessions = len(rates["3m"])
    shocks = normals(seed, Tag.FUNDS, sessions, 2 * len(FUNDS)) / np.sqrt(YEAR)
    foreign = shocks[:, [fund.symbol for fund in FUNDS].index("EFA")]
    columns = []
    for number, fund in enumerate(FUNDS):
        own = foreign if fund.symbol == "VXUS" else shocks[:, number]
        theme = _mix(fund, sleeves, sessions) + _bond(fund, rates) + fund.noise * own + fund.drift / YEAR
        tracking = 0.0015 * shocks[:, len(FUNDS) + number] if fund.mix else 0.0
        columns.append(np.maximum(fund.leverage * theme + tracking - fund.fee / YEAR, -0.9))
    return np.stack(columns, axis=1)


def bond_yield(fund: Fund, rates: dict[str, Floats]) -> Floats:
    """The duration-weighted yield per year of a bond fund's tenors, shape (sessions,)."""
    total = sum(fund.duration.values())
    parts = [years / total * rates[tenor] for tenor, years in fund.duration.items()]
    return np.sum(parts, axis=0)


def _mix(fund: Fund, sleeves: dict[str, Floats], sessions: int) -> Floats:
    parts = [weight * sleeves[name] for name, weight in fund.mix.items()]
    return np.sum(parts, axis=0) if parts else np.zeros(sessions)


def _bond(fund: Fund, rates: dict[str, Floats]) -> Floats:
    """Carry less duration times the day's change in yield, plus half the squared term (convexity)."""
    total = np.zeros(len(rates["3m"]))
    for tenor, years in fund.duration.items():
        change = np.diff(rates[tenor], prepend=rates[tenor][:1])
        total = total - years * change + 0.5 * years**2 * change**2
    carries = bool(fund.duration) and fund.symbol != "GLD"
    return total + bond_yield(fund, rates) / YEAR if carries else total
