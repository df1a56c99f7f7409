"""Statistics against empyrical, Newey-West fits against statsmodels, in one process: `python -m benchmarks.statistics`.

Ten years of daily returns of 20 series, synthetic and seeded. The thirteen statistics that both know: total return,
growth, volatility, Sharpe, Sortino, max drawdown, Calmar, value at risk, its conditional, tail ratio, beta, alpha,
information ratio. Ours is one call of `summary` for these thirteen, and one for all twenty-one that it knows; empyrical
is one call for each statistic and series, of arrays and of pandas objects, whichever a user has. Where the conventions
differ (alpha, information ratio: see `pas_dagster.analytics.statistics`), its answer is brought to ours before they are
compared, outside the time.

The regressions are of 20 books on five factors, with errors, t, p and R2.

Medians over turns of the best of a few calls, the sides taking turns; one thread for linear algebra.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import statistics as standard
import time
from collections.abc import Callable, Mapping

import empyrical
import numpy as np
import pandas as pd
import statsmodels.api
from numpy.typing import NDArray

from pas_dagster.analytics import statistics
from pas_dagster.analytics.factors import factor_fit

FloatArray = NDArray[np.float64]

SERIES, SESSIONS, FACTORS, TURNS, REPETITIONS, SEED = 20, 2520, 5, 15, 5, 20240105
AGREEMENT = 1e-10  # largest relative difference that counts as the same answer

ALONE = {
    "total_return": empyrical.cum_returns_final,
    "cagr": empyrical.cagr,
    "volatility": empyrical.annual_volatility,
    "sharpe": empyrical.sharpe_ratio,
    "sortino": empyrical.sortino_ratio,
    "max_drawdown": empyrical.max_drawdown,
    "calmar": empyrical.calmar_ratio,
    "value_at_risk": empyrical.value_at_risk,
    "conditional_value_at_risk": empyrical.conditional_value_at_risk,
    "tail_ratio": empyrical.tail_ratio,
}
AGAINST = {"beta": empyrical.beta, "alpha": empyrical.alpha, "information_ratio": empyrical.excess_sharpe}
BOTH = (*ALONE, *AGAINST)


def main() -> None:
    """Time all sides, check that they agree, print the table."""
    returns, market, factors = _returns()
    days = pd.bdate_range("2015-01-02", periods=SESSIONS)
    frame, index = pd.DataFrame(returns, days), pd.Series(market, days)
    columns, series = [column.copy() for column in returns.T], [frame[name] for name in frame]
    names = [f"factor {i}" for i in range(FACTORS)]
    seconds, answers = _taking_turns(
        {
            "summary, array": lambda: statistics.summary(returns, market, names=BOTH),
            "summary, pandas": lambda: statistics.summary(frame, index, names=BOTH),
            "all 21, array": lambda: statistics.summary(returns, market),
            "one by one, array": lambda: _one_by_one(returns, market),
            "empyrical, arrays": lambda: _empyrical(columns, market),
            "empyrical, pandas": lambda: _empyrical(series, index),
            "factor_fit": lambda: factor_fit(returns, factors, names, periods=252),
            "statsmodels": lambda: _statsmodels(returns, factors),
        }
    )
    gap = max(_gap(answers[ours], answers["empyrical, arrays"]) for ours in ("summary, array", "one by one, array"))
    fit, theirs = answers["factor_fit"], answers["statsmodels"]
    pairs = zip((fit.coefficients, fit.errors, fit.t, fit.p, fit.r2), theirs, strict=True)
    fits = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)
    print(f"{len(ALONE) + len(AGAINST)} statistics of {SERIES} series x {SESSIONS} sessions, medians, one thread")
    print(f"largest relative difference {gap:.1e}; of the regressions {fits:.1e}")
    _row("summary, array", "empyrical, arrays", seconds)
    _row("all 21, array", "empyrical, arrays", seconds)
    _row("one by one, array", "empyrical, arrays", seconds)
    _row("summary, pandas", "empyrical, pandas", seconds)
    _row("factor_fit", "statsmodels", seconds)
    if not max(gap, fits) <= AGREEMENT:
        raise SystemExit(f"the answers differ by {max(gap, fits):.1e}, more than {AGREEMENT:.0e}")


def _returns() -> tuple[FloatArray, FloatArray, FloatArray]:
    """Series with betas to a market, the market, and factors of which it is the first."""
    rng = np.random.default_rng(SEED)
    factors = rng.normal(0.0003, 0.008, (SESSIONS, FACTORS))
    noise = rng.standard_t(4, (SESSIONS, SERIES)) * 0.006
    return factors @ rng.normal(0.5, 0.4, (FACTORS, SERIES)) + noise, factors[:, 0].copy(), factors


def _one_by_one(returns: FloatArray, market: FloatArray) -> dict[str, FloatArray]:
    found = {name: getattr(statistics, name)(returns) for name in ALONE}
    return found | {name: getattr(statistics, name)(returns, market) for name in AGAINST}


def _empyrical(columns: list, market) -> dict[str, FloatArray]:
    found = {name: np.array([rule(column) for column in columns]) for name, rule in ALONE.items()}
    return found | {name: np.array([rule(column, market) for column in columns]) for name, rule in AGAINST.items()}


def _statsmodels(returns: FloatArray, factors: FloatArray) -> tuple[FloatArray, ...]:
    design = statsmodels.api.add_constant(factors)
    options = {"maxlags": int(4 * (SESSIONS / 100) ** (2 / 9))}
    fits = [statsmodels.api.OLS(column, design).fit(cov_type="HAC", cov_kwds=options) for column in returns.T]
    return tuple(
        np.array([getattr(fit, n) for fit in fits]) for n in ("params", "bse", "tvalues", "pvalues", "rsquared")
    )


def _gap(ours: Mapping[str, FloatArray], theirs: Mapping[str, FloatArray]) -> float:
    """Largest difference of a statistic, as a share of the largest number of its row."""
    same = dict(theirs)
    same["alpha"] = ((1 + theirs["alpha"]) ** (1 / 252) - 1) * 252
    same["information_ratio"] = theirs["information_ratio"] * np.sqrt(252)
    return max(float(np.abs(ours[name] - values).max() / np.abs(values).max()) for name, values in same.items())


def _taking_turns(calls: Mapping[str, Callable]) -> tuple[dict[str, float], dict]:
    """Seconds of each call, and its answer."""
    answers = {name: call() for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(TURNS):
        for name, call in calls.items():
            times[name].append(min(_seconds(call) for _ in range(REPETITIONS)))
    return {name: standard.median(each) for name, each in times.items()}, answers


def _seconds(call: Callable) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _row(ours: str, theirs: str, seconds: Mapping[str, float]) -> None:
    ratio = seconds[theirs] / seconds[ours]
    print(f"{ours:18} {seconds[ours] * 1e3:7.2f} ms   {theirs:18} {seconds[theirs] * 1e3:7.2f} ms   {ratio:5.1f}x")


if __name__ == "__main__":
    main()
