"""Weekly allocation against PyPortfolioOpt and skfolio, in the same process: `python -m benchmarks.allocation`.

Twenty sleeves, twelve weeks, weights between 0 and 25 %, volatility target 8 %, synthetic seeded returns. All sides
answer the same problem: Ledoit-Wolf covariance, tangency portfolio within the bounds, scaled to the target. The own
side also filters outliers within its time; the others, which have no filter, are handed the filtered returns, so that
the weights can be compared. PyPortfolioOpt gets its default solver; skfolio's `MeanRisk` with its own `LedoitWolf` gets
the interior-point solver that it comes with, whose tolerance is what its weights differ by. Medians over all windows of
the best of five repetitions or of as many as fit into 20 ms, one thread for linear algebra.

Then 520 consecutive weeks with every scheme and the whole log, each scheme continuing from its own weights, in seconds
of this process (on an idle machine those of the clock).
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import gc
import importlib.util
import math
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pypfopt import CovarianceShrinkage, EfficientFrontier

from pas_dagster.allocation import SCHEMES, Mandate, Policy, allocate, allocate_all
from pas_dagster.allocation.estimators import WEEKS_PER_YEAR
from pas_dagster.allocation.target import Estimate, Target, bounded_problem, estimate, target_weights
from pas_dagster.allocation.views import NamedView

Answer = TypeVar("Answer")
Floats = NDArray[np.float64]

SLEEVES, WEEKS, WINDOWS, REPETITIONS, SEED = 20, 12, 120, 5, 20240105
BUDGET = 0.02
HISTORY, HISTORY_SECONDS = 520, 3.0
AGREEMENT = 1e-6  # largest weight difference from an exact solver that counts as the same answer
LOOSE_AGREEMENT = 2e-2  # from an interior-point solver at its default tolerance, in flat directions
NAMES = tuple(f"sleeve_{i:02d}" for i in range(SLEEVES))
POLICY = Policy(window_weeks=WEEKS, max_weight=0.25, target_volatility=0.08, no_trade_band=0.0)
MANDATE = Mandate(
    groups={name: ("bonds", "equities", "diversified")[i % 3] for i, name in enumerate(NAMES)},
    budgets={"bonds": 0.5, "equities": 0.25, "diversified": 0.25},
    equity=frozenset({"equities", "diversified"}),
    views=(NamedView(NAMES[0], None, 0.15), NamedView(NAMES[1], NAMES[2], 0.05, 0.7)),
)


def main() -> None:
    """Time all sides, check that they agree, print the table."""
    warnings.simplefilter("ignore")
    wrong = [*_against_peers(_windows()), *_history()]
    if wrong:
        raise SystemExit("; ".join(wrong))


def _against_peers(windows: list[pd.DataFrame]) -> list[str]:
    """One step, ours and theirs; what is wrong with it."""
    skfolio = importlib.util.find_spec("skfolio") is not None
    times: dict[str, list[float]] = {"step": [], "allocate": [], "PyPortfolioOpt": [], "skfolio": []}
    gaps: dict[str, list[float]] = {"PyPortfolioOpt": [], "skfolio": []}
    for frame in windows:
        array = frame.to_numpy().copy()
        seconds, (found, target) = _best(lambda array=array: _step(array), REPETITIONS)
        times["step"].append(seconds)
        seconds, allocation = _best(lambda frame=frame: allocate(frame, {}, POLICY), REPETITIONS)
        times["allocate"].append(seconds)
        if not np.array_equal(target.weights, [allocation.weights[name] for name in NAMES]):
            return ["allocate() and its step differ"]
        clean = pd.DataFrame(found.clean, columns=frame.columns)
        for name, peer in (("PyPortfolioOpt", _pypfopt), ("skfolio", _skfolio if skfolio else None)):
            if peer is not None:
                seconds, weights = _best(lambda peer=peer, clean=clean: peer(clean), REPETITIONS)
                times[name].append(seconds)
                gaps[name].append(float(np.abs(target.weights - weights).max()))
    print(f"{SLEEVES} sleeves x {WEEKS} weeks, {len(windows)} windows, medians, one thread")
    _table(times, gaps)
    wrong = [("PyPortfolioOpt", AGREEMENT), ("skfolio", LOOSE_AGREEMENT)]
    return [f"the weights differ from {name}'s" for name, most in wrong if not max(gaps[name], default=0.0) <= most]


def _table(times: dict[str, list[float]], gaps: dict[str, list[float]]) -> None:
    """Microseconds, ratios and weight differences."""
    own = {name: statistics.median(times[name]) for name in ("step", "allocate")}
    print(f"{'':28}{'us':>8}  {'x step':>8}  {'x allocate()':>12}  largest weight difference")
    print(f"{'allocation step':28}{own['step'] * 1e6:8.0f}")
    print(f"{'allocate(), with the log':28}{own['allocate'] * 1e6:8.0f}")
    for name in gaps:
        if not times[name]:
            print(f"{name:28}not installed")
            continue
        other = statistics.median(times[name])
        ratios = f"{other / own['step']:8.1f}  {other / own['allocate']:12.1f}"
        print(f"{name + ' step':28}{other * 1e6:8.0f}  {ratios}  {max(gaps[name]):.1e}")


def _history() -> list[str]:
    """520 weeks of every scheme through `allocate_all`; what is wrong with it."""
    frame = _returns(np.random.default_rng(SEED + 1), HISTORY + WEEKS)
    policy = Policy(window_weeks=WEEKS, max_weight=0.25)
    crisis = np.random.default_rng(SEED + 2).beta(0.4, 2.0, HISTORY).tolist()
    previous: dict[str, dict[str, float]] = {}
    outcomes: Counter[tuple[str, str]] = Counter()
    spent: Counter[str] = Counter()
    rows = 0
    gc.collect()
    start, begun = time.process_time(), time.perf_counter()
    for week in range(HISTORY):
        window = frame.iloc[week : week + WEEKS]
        day = date(2014 + week // 52, 1, 6)
        answers = allocate_all(window, previous, policy, MANDATE, crisis[week], day, time.perf_counter)
        previous = {name: answer.weights for name, answer in answers.items()}
        for name, answer in answers.items():
            outcomes[name, answer.status] += 1
            spent[name] += answer.seconds or 0.0
            rows += len(answer.log_rows())
    seconds, passed = time.process_time() - start, time.perf_counter() - begun
    work = f"{HISTORY} weeks x {len(SCHEMES)} schemes, with {rows} rows of log"
    print(f"\n{work}: {seconds:.2f} s of this process, {passed:.2f} s of the clock")
    for name in SCHEMES:
        share = f"{spent[name] / HISTORY * 1e6:6.0f} us a week in the scheme"
        print(f"{name:28}{share}, {outcomes[name, 'optimal']} answers, {outcomes[name, 'held']} weeks held")
    return (
        [] if seconds < HISTORY_SECONDS else [f"{HISTORY} weeks took {seconds:.2f} s, more than {HISTORY_SECONDS:g} s"]
    )


def _step(array: Floats) -> tuple[Estimate, Target]:
    """Filter, estimate, tangency portfolio, volatility target."""
    found = estimate(array, POLICY)
    return found, target_weights(bounded_problem(NAMES, found, POLICY), POLICY)


def _windows() -> list[pd.DataFrame]:
    """Windows of returns with a common factor, each with a feasible tangency portfolio."""
    rng = np.random.default_rng(SEED)
    windows: list[pd.DataFrame] = []
    volatility = rng.uniform(0.01, 0.04, SLEEVES)
    while len(windows) < WINDOWS:
        frame = _returns(rng, WEEKS, volatility)
        if _step(frame.to_numpy().copy())[1].status == "optimal":
            windows.append(frame)
    return windows


def _returns(rng: np.random.Generator, weeks: int, volatility: Floats | None = None) -> pd.DataFrame:
    """Weekly returns with a common factor."""
    spread = rng.uniform(0.01, 0.04, SLEEVES) if volatility is None else volatility
    factor = rng.normal(0.0, 1.0, (weeks, 1))
    own = rng.normal(0.0, 1.0, (weeks, SLEEVES))
    returns = 0.003 + spread * (math.sqrt(0.3) * factor + math.sqrt(0.7) * own)
    return pd.DataFrame(returns, columns=pd.Index(NAMES))


def _pypfopt(frame: pd.DataFrame) -> Floats:
    """The same step with PyPortfolioOpt: covariance, tangency portfolio, volatility target."""
    cov = CovarianceShrinkage(frame, returns_data=True, frequency=WEEKS_PER_YEAR).ledoit_wolf()
    frontier = EfficientFrontier(frame.mean() * WEEKS_PER_YEAR, cov, weight_bounds=(0, POLICY.max_weight))
    frontier.max_sharpe(risk_free_rate=0.0)
    weights = np.asarray(frontier.weights, dtype=np.float64)
    volatility = math.sqrt(weights @ cov.to_numpy() @ weights)
    return weights * min(1.0, POLICY.target_volatility / volatility)


def _skfolio(frame: pd.DataFrame) -> Floats:
    """The same step with skfolio: its Ledoit-Wolf prior, `MeanRisk` with the ratio as objective, volatility target."""
    from skfolio.moments import LedoitWolf
    from skfolio.optimization import MeanRisk, ObjectiveFunction
    from skfolio.prior import EmpiricalPrior

    model = MeanRisk(
        objective_function=ObjectiveFunction.MAXIMIZE_RATIO,
        prior_estimator=EmpiricalPrior(covariance_estimator=LedoitWolf()),
        min_weights=0.0,
        max_weights=POLICY.max_weight,
    )
    model.fit(frame)
    weights = np.asarray(model.weights_, dtype=np.float64)
    cov = model.prior_estimator_.return_distribution_.covariance * WEEKS_PER_YEAR
    return weights * min(1.0, POLICY.target_volatility / math.sqrt(weights @ cov @ weights))


def _best(call: Callable[[], Answer], repetitions: int) -> tuple[float, Answer]:
    """Seconds of the fastest repetition, of at least so many and `BUDGET` seconds of them, and the answer."""
    fastest, answer, spent, done = math.inf, call(), 0.0, 0
    while done < repetitions or spent < BUDGET:
        start = time.perf_counter()
        answer = call()
        seconds = time.perf_counter() - start
        fastest, spent, done = min(fastest, seconds), spent + seconds, done + 1
    return fastest, answer


if __name__ == "__main__":
    main()
