"""Strategies side by side over one range: what a backtest comes to, one row each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pas_dagster.analytics import statistics
from pas_dagster.analytics.capacity import capacity
from pas_dagster.analytics.statistics import SESSIONS_PER_YEAR, deflated_sharpe, sharpe_moments


def compare(returns: pd.DataFrame, trades: pd.DataFrame, cash: pd.Series, tried: Mapping[str, float]) -> pd.DataFrame:
    """Figures of each strategy, in the columns of the table `backtests` that a range of returns can tell.

    Args:
        returns: rows of `strategy_returns` of the range.
        trades: rows of `sleeve_trades` of the range.
        cash: return of cash by session, which Sharpe ratios are in excess of.
        tried: variants tried before -> their Sharpe ratios a year (NaN where one has none), those compared here
            left out.

    Returns:
        One row a strategy, in alphabetical order. The number of trials is that of `tried` and the strategies here; the
        variance between the trials is that of their Sharpe ratios.
    """
    rows = {str(name): _figures(own, cash) for name, own in returns.groupby("strategy", sort=True)}
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("strategy")
    frame["capacity"] = pd.Series(
        {str(name): capacity(own["weight"], own["volume"]) for name, own in trades.groupby("strategy")}, dtype=float
    )
    ratios = np.array([*tried.values(), *frame["sharpe"]], float)
    known = ratios[~np.isnan(ratios)] / np.sqrt(SESSIONS_PER_YEAR)
    variance = float(np.var(known, ddof=1)) if len(known) > 1 else np.nan
    frame["trials"] = len(ratios)
    frame["deflated"] = [
        deflated_sharpe(_moments(returns, str(name), cash), trials=len(ratios), variance=variance)
        for name in frame.index
    ]
    return frame.reset_index()


def _figures(own: pd.DataFrame, cash: pd.Series) -> dict[str, float]:
    net, gross = (own.set_index("known_on")[name] for name in ("net", "gross"))
    years = len(own) / SESSIONS_PER_YEAR
    turnover = float(own["turnover"].sum())
    return {
        "sessions": len(own),
        "net": float(statistics.cagr(net)),
        "gross": float(statistics.cagr(gross)),
        "volatility": float(statistics.volatility(net)),
        "sharpe": float(statistics.sharpe(net, risk_free=cash.reindex(net.index))),
        "max_drawdown": float(statistics.max_drawdown(net)),
        "turnover": turnover / years,
        "cost": float(own["cost"].sum()) / years,
        "impact": float(own["impact"].sum()) / years,
        "unpriced": float(own["unpriced"].sum()) / turnover if turnover else np.nan,
        "exposure": float(own["exposure"].mean()),
    }


def _moments(returns: pd.DataFrame, name: str, cash: pd.Series):
    net = returns[returns["strategy"] == name].set_index("known_on")["net"]
    return sharpe_moments(net, risk_free=cash.reindex(net.index))
