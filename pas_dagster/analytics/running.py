"""Statistics of everything up to each session, for all sessions in one pass.

The last row of a running statistic is the statistic of `pas_dagster.analytics.statistics` over the whole series.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from pas_dagster.analytics.statistics import SESSIONS_PER_YEAR

YEAR = SESSIONS_PER_YEAR


def running_summary(returns: pd.DataFrame, benchmark: pd.Series, cash: pd.Series | float = 0.0) -> pd.DataFrame:
    """Long table (known_on, portfolio, statistic, value) of running statistics.

    Args:
        returns: sessions x portfolios, simple returns; NaN where a portfolio has none.
        benchmark: simple returns of the benchmark by session.
        cash: return of cash by session; Sharpe, Sortino, beta and alpha are of returns in excess of it.

    Null where a statistic is not defined yet, such as a Sharpe ratio of one return.

    >>> days = pd.DatetimeIndex(["2024-01-02", "2024-01-03"], name="known_on")
    >>> table = running_summary(pd.DataFrame({"a": [0.1, -0.5]}, index=days), pd.Series([0.0, 0.0], index=days))
    >>> table[table["statistic"] == "max_drawdown"]["value"].tolist()
    [0.0, -0.5]
    """
    rate = cash.reindex(returns.index) if isinstance(cash, pd.Series) else pd.Series(cash, index=returns.index)
    parts = _statistics(returns, benchmark.reindex(returns.index), rate)
    frames = []
    for name, values in parts.items():
        long = values.replace([np.inf, -np.inf], np.nan).reset_index().melt("known_on", var_name="portfolio")
        frames.append(long.assign(statistic=name))
    return pd.concat(frames, ignore_index=True)[["known_on", "portfolio", "statistic", "value"]]


def _statistics(returns: pd.DataFrame, benchmark: pd.Series, cash: pd.Series) -> dict[str, pd.DataFrame]:
    excess, market = returns.sub(cash, axis=0), benchmark - cash
    nav = (1 + returns.fillna(0)).cumprod()
    count = returns.notna().cumsum()
    window = excess.expanding(min_periods=2)
    mean, deviation = window.mean(), window.std().where(window.std() > 1e-14)
    downside = np.sqrt(excess.clip(upper=0).pow(2).expanding(min_periods=2).mean())
    spread = returns.expanding(min_periods=2).std()
    growth = nav.pow(YEAR / count.where(count >= 2)) - 1
    fall = nav.div(nav.cummax().clip(lower=1)) - 1
    beta = _beta(excess, market)
    return {
        "return": returns,
        "total_return": (nav - 1).where(count > 0),
        "cagr": growth,
        "volatility": spread.where(spread > 1e-14) * np.sqrt(YEAR),
        "sharpe": mean / deviation * np.sqrt(YEAR),
        "sortino": mean / downside.where(downside > 1e-14) * np.sqrt(YEAR),
        "drawdown": fall.where(count > 0),
        "max_drawdown": fall.cummin().where(count > 0),
        "beta": beta,
        "alpha": _alpha(excess, market, beta),
    }


def _beta(returns: pd.DataFrame, benchmark: pd.Series) -> pd.DataFrame:
    columns = {}
    for name, own in returns.items():
        both = pd.DataFrame({"own": own, "market": benchmark}).dropna()
        covariance = both["own"].expanding(2).cov(both["market"])
        variance = both["market"].expanding(2).var()
        columns[name] = (covariance / variance.where(variance > 1e-20)).reindex(returns.index)
    return pd.DataFrame(columns).rename_axis(columns=returns.columns.name)


def _alpha(returns: pd.DataFrame, benchmark: pd.Series, beta: pd.DataFrame) -> pd.DataFrame:
    columns = {}
    for name, own in returns.items():
        both = pd.DataFrame({"own": own, "market": benchmark}).dropna().expanding(2).mean()
        columns[name] = ((both["own"] - beta[name] * both["market"]) * YEAR).reindex(returns.index)
    return pd.DataFrame(columns).rename_axis(columns=returns.columns.name)
