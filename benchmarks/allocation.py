"""One weekly allocation step against PyPortfolioOpt, in the same process: `python -m benchmarks.allocation`.

Twenty sleeves, twelve weeks, weights between 0 and 25 %, volatility target 8 %, synthetic seeded returns. Both sides
answer the same problem: Ledoit-Wolf covariance, tangency portfolio within the bounds, scaled to the target. The own
side also filters outliers within its time; PyPortfolioOpt, which has no filter, is handed the filtered returns, so that
the weights can be compared. Medians over all windows of the best of a few repetitions, one thread for linear algebra.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import math
import statistics
import time
import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pypfopt import CovarianceShrinkage, EfficientFrontier

from pas_dagster.allocation import Policy, allocate
from pas_dagster.allocation.estimators import WEEKS_PER_YEAR
from pas_dagster.allocation.target import target_weights

Answer = TypeVar("Answer")

SLEEVES, WEEKS, WINDOWS, REPETITIONS, SEED = 20, 12, 120, 5, 20240105
AGREEMENT = 1e-6  # largest weight difference that counts as the same answer
POLICY = Policy(window_weeks=WEEKS, max_weight=0.25, target_volatility=0.08, no_trade_band=0.0)


def main() -> None:
    """Time both sides, check that they agree, print the table."""
    warnings.simplefilter("ignore")
    windows = _windows()
    ours, peer, whole, gaps = [], [], [], []
    for frame in windows:
        array = frame.to_numpy().copy()
        seconds, target = _best(lambda array=array: target_weights(array, POLICY), REPETITIONS)
        clean = pd.DataFrame(target.clean, columns=frame.columns)
        peer_seconds, peer_weights = _best(lambda clean=clean: _pypfopt(clean), REPETITIONS)
        whole_seconds, allocation = _best(lambda frame=frame: allocate(frame, {}, POLICY), REPETITIONS)
        final = np.array([allocation.weights[name] for name in frame.columns])
        gaps.append(max(np.abs(target.weights - peer_weights).max(), np.abs(final - peer_weights).max()))
        ours.append(seconds)
        peer.append(peer_seconds)
        whole.append(whole_seconds)
    step, all_of_it, other = (statistics.median(times) for times in (ours, whole, peer))
    print(f"{SLEEVES} sleeves x {WEEKS} weeks, {len(windows)} windows, medians, one thread")
    print(f"largest weight difference {max(gaps):.1e}")
    print(f"PyPortfolioOpt step        {other * 1e6:8.0f} us")
    print(f"allocate(), with the log   {all_of_it * 1e6:8.0f} us   {other / all_of_it:.1f}x vs PyPortfolioOpt")
    print(f"allocation step            {step * 1e6:8.0f} us   {other / step:.1f}x vs PyPortfolioOpt")
    if not max(gaps) <= AGREEMENT:
        raise SystemExit(f"the weights differ by {max(gaps):.1e}, more than {AGREEMENT:.0e}")


def _windows() -> list[pd.DataFrame]:
    """Windows of returns with a common factor, each with a feasible tangency portfolio."""
    rng = np.random.default_rng(SEED)
    names = [f"sleeve_{i:02d}" for i in range(SLEEVES)]
    volatility = rng.uniform(0.01, 0.04, SLEEVES)
    windows: list[pd.DataFrame] = []
    while len(windows) < WINDOWS:
        factor = rng.normal(0.0, 1.0, (WEEKS, 1))
        own = rng.normal(0.0, 1.0, (WEEKS, SLEEVES))
        returns = 0.003 + volatility * (math.sqrt(0.3) * factor + math.sqrt(0.7) * own)
        if target_weights(returns, POLICY).status == "optimal":
            windows.append(pd.DataFrame(returns, columns=pd.Index(names)))
    return windows


def _pypfopt(frame: pd.DataFrame) -> NDArray[np.float64]:
    """The same step with PyPortfolioOpt: covariance, tangency portfolio, volatility target."""
    cov = CovarianceShrinkage(frame, returns_data=True, frequency=WEEKS_PER_YEAR).ledoit_wolf()
    frontier = EfficientFrontier(frame.mean() * WEEKS_PER_YEAR, cov, weight_bounds=(0, POLICY.max_weight))
    frontier.max_sharpe(risk_free_rate=0.0)
    weights = np.asarray(frontier.weights, dtype=np.float64)
    volatility = math.sqrt(weights @ cov.to_numpy() @ weights)
    return weights * min(1.0, POLICY.target_volatility / volatility)


def _best(call: Callable[[], Answer], repetitions: int) -> tuple[float, Answer]:
    """Seconds of the fastest repetition, and the answer."""
    fastest, answer = math.inf, call()
    for _ in range(repetitions):
        start = time.perf_counter()
        answer = call()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest, answer


if __name__ == "__main__":
    main()
