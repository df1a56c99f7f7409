"""Leveraged sector momentum."""

from __future__ import annotations

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import Count, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window
from pas_dagster.strategies.sector_risk_parity import momentum, strongest

MOMENTUM_SESSIONS = 63

# Symbol -> the index it multiplies. Two funds on one index are one bet.
EXPOSURES = {
    "UPRO": "S&P 500",
    "SPXL": "S&P 500",
    "TQQQ": "Nasdaq-100",
    "SOXL": "NYSE Semiconductor",
    "TECL": "Technology Select Sector",
    "FAS": "Russell 1000 Financials",
    "ERX": "Energy Select Sector",
    "LABU": "S&P Biotechnology Select Industry",
    "CURE": "Health Care Select Sector",
    "DRN": "MSCI US REIT",
    "NAIL": "Dow Jones US Home Construction",
    "UTSL": "Utilities Select Sector",
    "DPST": "S&P Regional Banks Select Industry",
    "RETL": "S&P Retail Select Industry",
    "WANT": "Consumer Discretionary Select Sector",
    "DUSL": "Industrial Select Sector",
    "TPOR": "S&P Transportation Select Industry",
}


@strategy(
    name="leveraged_sector_momentum",
    title="Leveraged Sector Momentum",
    cadence=Cadence.WEEKLY_FRI,
    reads={"prices": Window(sessions=MOMENTUM_SESSIONS + 1, symbols=tuple(EXPOSURES))},
)
def leveraged_sector_momentum(data: AsOf, *, top_n: Count = 3) -> Weights:
    """The strongest rising leveraged sector and index ETFs, one per exposure.

    Rule: rank 17 leveraged ETFs by their total return of the last 63 sessions, keep the positive ones, of funds on
    the same index (UPRO and SPXL) only the first by return and then symbol, and give each of the `top_n` strongest
    the weight 1 / `top_n`. With fewer rising names the rest stays cash: three times the daily move in one or two
    sectors is no place for the whole sleeve.

    An ETF takes part with bars on at least 95 % of the 63 sessions, the last one among them; a session without a
    bar counts as a return of zero. Fewer than 63 sessions known, or no ETF with such a history: cannot decide.

    Source: daily total returns of the ETFs; indexes as in the funds' prospectuses.

    Parameters: top_n, the number of equal parts, and the most names held.
    """
    gains = momentum(data.returns(MOMENTUM_SESSIONS, list(EXPOSURES)), MOMENTUM_SESSIONS)
    first_of: dict[str, str] = {}
    for symbol in strongest(gains):
        first_of.setdefault(EXPOSURES[symbol], symbol)
    return Weights(dict.fromkeys(list(first_of.values())[:top_n], 1 / top_n))
