"""Sector risk-parity momentum, and the total return of a name whose history is complete."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pas_dagster.allocation.estimators import ledoit_wolf
from pas_dagster.allocation.risk_parity import risk_parity
from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import Count, NotEnoughData, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window

SECTORS = ("XLB", "XLC", "XLE", "XLF", "XLI", "XLK", "XLP", "XLRE", "XLU", "XLV", "XLY")
MOMENTUM_SESSIONS = 126
RISK_SESSIONS = 63
MIN_BARS = 0.95  # share of the sessions on which a name must have traded


@strategy(
    name="sector_risk_parity",
    title="Sector Risk-Parity Momentum",
    cadence=Cadence.WEEKLY_FRI,
    reads={"prices": Window(sessions=MOMENTUM_SESSIONS + 1, symbols=SECTORS)},
)
def sector_risk_parity(data: AsOf, *, top_n: Count = 5) -> Weights:
    """The strongest rising sectors, each contributing the same risk.

    Rule: rank the eleven SPDR sector ETFs by their total return of the last 126 sessions, keep the `top_n` largest
    that are positive, and weight them so that each contributes the same share of the variance under the
    Ledoit-Wolf covariance of their daily returns of the last 63 sessions (correlations count, unlike in inverse
    volatility). Fully invested over the kept names; none rising: cash.

    An ETF takes part with bars on at least 95 % of the 126 sessions, the last one among them; a session without a
    bar counts as a return of zero. Fewer than 126 sessions known, or no ETF with such a history: cannot decide.

    Source: Maillard, Roncalli and Teiletche (2010), Ledoit and Wolf (2004); daily total returns of the ETFs.

    Parameters: top_n, the most sectors held.
    """
    returns = data.returns(MOMENTUM_SESSIONS, list(SECTORS))
    rising = strongest(momentum(returns, MOMENTUM_SESSIONS))[:top_n]
    if not rising:
        return Weights({})
    names = sorted(rising)
    covariance, _ = ledoit_wolf(returns[names].iloc[-RISK_SESSIONS:].fillna(0.0).to_numpy())
    shares = np.asarray(risk_parity(covariance), float)
    return Weights(dict(zip(names, (shares / shares.sum()).tolist(), strict=True)))


def momentum(returns: pd.DataFrame, sessions: int) -> dict[str, float]:
    """Total return over the sessions of each name with a complete history; raises NotEnoughData if there is none."""
    if len(returns) < sessions:
        raise NotEnoughData(f"{len(returns)} of {sessions} sessions of prices are known")
    values = returns.to_numpy(float)
    bars = ~np.isnan(values)
    complete = np.flatnonzero((bars.sum(axis=0) >= MIN_BARS * sessions) & bars[-1])
    if not complete.size:
        raise NotEnoughData(f"no name has prices on {MIN_BARS:.0%} of the last {sessions} sessions and on the last one")
    return {str(returns.columns[at]): float(np.prod(1.0 + values[bars[:, at], at]) - 1.0) for at in complete}


def strongest(gains: dict[str, float]) -> list[str]:
    """The names with a positive return, largest first, ties by symbol."""
    return sorted((name for name, gain in gains.items() if gain > 0), key=lambda name: (-gains[name], name))
