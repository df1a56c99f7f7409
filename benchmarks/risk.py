"""Risk figures against the plain way to them, in the same process: `python -m benchmarks.risk`.

Synthetic seeded returns, one thread for linear algebra, medians over repetitions. Three tasks:

* value at risk of 20 sleeves by 5,000 simulated paths, the fit included, fresh random numbers each time; against a
  scikit-learn GaussianMixture with full covariances in all 20 dimensions, and numpy's multivariate normal draws;
* 520 weekly walk-forward refits of the regimes of 20 sleeves, features included; against a scikit-learn GaussianMixture
  refitted to the same features every week from the same start;
* caps on 25 sleeves x 500 symbols; against a loop over the rows of a pandas table.

Where both sides answer the same question the difference is printed, and too large a one is an error.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import itertools
import math
import statistics
import time
import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

from pas_dagster.risk.caps import Caps, apply_caps
from pas_dagster.risk.regime import FLOOR, RegimePolicy, features, walk_forward
from pas_dagster.risk.value_at_risk import PATHS, monte_carlo, parametric

Answer = TypeVar("Answer")
FloatArray = NDArray[np.float64]

SEED, NAV = 20240105, 1_000_000.0
SLEEVES, SESSIONS, WEEKS = 20, 504, 520
BOOKS, SYMBOLS = 25, 500
CAPS = Caps(gross=0.9, name=0.004, sector=0.08)


def main() -> None:
    """Time the three tasks and print them."""
    warnings.simplefilter("ignore")
    _value_at_risk()
    _regimes()
    _caps()


def _value_at_risk() -> None:
    x, _ = _returns(SESSIONS)
    w = np.full(SLEEVES, 1.0 / SLEEVES)
    seeds = itertools.count()  # numbers of a seed are kept, so a new one each time
    for horizon in (1, 10):
        seconds, found = _median(lambda h=horizon: monte_carlo(x, w, NAV, horizon=h, seed=next(seeds)), 15)
        again, _ = _median(lambda h=horizon: monte_carlo(x, w, NAV, horizon=h), 15)
        print(f"5,000-path VaR, {SLEEVES} sleeves x {SESSIONS} sessions, fit included, horizon {horizon}")
        print(f"  own, fresh random numbers       {seconds * 1e3:8.1f} ms (target 50)   {found}")
        print(f"  own, random numbers kept        {again * 1e3:8.1f} ms")
        if horizon == 1:
            plain_seconds, tail = _median(lambda: _plain_value_at_risk(x, w), 5)
            print(f"  GaussianMixture(20-dim) + draws {plain_seconds * 1e3:8.1f} ms   VaR {tail:.2%}", end="")
            print(f"   {plain_seconds / seconds:.1f}x")
    print(f"  for comparison                  {parametric(x, w, NAV)}")


def _plain_value_at_risk(x: FloatArray, w: FloatArray) -> float:
    """A full mixture in all dimensions, and independent draws from it."""
    model = GaussianMixture(2, random_state=0, reg_covar=1e-8).fit(x)
    rng = np.random.default_rng(SEED)
    counts = rng.multinomial(PATHS, model.weights_)
    parts = [
        rng.multivariate_normal(mean, cov, count)
        for mean, cov, count in zip(model.means_, model.covariances_, counts, strict=True)
    ]
    return float(np.quantile(np.vstack(parts) @ w, 0.05))


def _regimes() -> None:
    x, truth = _returns(WEEKS)
    seconds, states = _median(lambda: walk_forward(x), 5)
    found = np.array([state.label for state in states])
    plain_seconds, probability = _median(lambda: _plain_regimes(x), 1)
    own = np.array([math.nan if s.probability is None else s.probability for s in states])
    told = np.array([not s.reason.startswith("one regime") for s in states]) & ~np.isnan(own)
    agree = np.mean((own[told] > 0.5) == (probability[told] > 0.5))
    print(f"regimes, {WEEKS} walk-forward weeks, {SLEEVES} sleeves")
    print(f"  own                             {seconds:8.2f} s (target 1)", end="")
    print(f"   {np.mean(found[found >= 0] == truth[found >= 0]):.1%} of the weeks as simulated")
    print(f"  GaussianMixture each week       {plain_seconds:8.2f} s   {plain_seconds / seconds:.1f}x", end="")
    print(f"   the same side of one half in {agree:.1%} of the weeks with two regimes")
    if agree < 0.95:
        raise SystemExit("the two fits disagree")


def _plain_regimes(x: FloatArray) -> FloatArray:
    """The same two Gaussians by scikit-learn: probability of the crisis each week."""
    policy = RegimePolicy()
    found = features(x, policy.window)
    points = np.column_stack([found.correlation, np.log(found.volatility)])[policy.window - 1 :]
    told = np.full(len(x), np.nan)
    for end in range(policy.history, len(points) + 1):
        z = points[:end]
        z = (z - z.mean(axis=0)) / z.std(axis=0)
        upper = z.sum(axis=1) > np.median(z.sum(axis=1))
        means = np.array([z[~upper].mean(axis=0), z[upper].mean(axis=0)])
        model = GaussianMixture(2, covariance_type="tied", reg_covar=FLOOR, tol=1e-6, max_iter=200, means_init=means)
        crisis = int(model.fit(z).means_.sum(axis=1).argmax())
        told[policy.window - 2 + end] = model.predict_proba(z[-1:])[0, crisis]
    return told


def _caps() -> None:
    rng = np.random.default_rng(SEED)
    symbols = [f"S{k:03d}" for k in range(SYMBOLS)]
    sectors = {symbol: f"sector {k % 11}" for k, symbol in enumerate(symbols)}
    rows = [(f"sleeve {b:02d}", s) for b in range(BOOKS) for s in symbols]
    target = pd.DataFrame(rows, columns=pd.Index(["sleeve", "symbol"]))
    target["weight"] = rng.dirichlet(np.full(len(rows), 0.3))
    seconds, capped = _median(lambda: apply_caps(target, CAPS, sectors), 9)
    plain_seconds, weights = _median(lambda: _plain_caps(target, sectors), 1)
    gap = float(np.abs(capped.target["weight"].to_numpy() - weights).max())
    print(f"caps, {BOOKS} sleeves x {SYMBOLS} symbols, {len(capped.cuts)} cuts, {capped.freed:.1%} to cash")
    print(f"  own                             {seconds * 1e3:8.1f} ms")
    print(f"  loop over pandas rows           {plain_seconds * 1e3:8.1f} ms   {plain_seconds / seconds:.0f}x", end="")
    print(f"   largest difference {gap:.1e}")
    if gap > 1e-12:
        raise SystemExit("the two targets differ")


def _plain_caps(target: pd.DataFrame, sectors: dict[str, str]) -> FloatArray:
    """Names, sectors, gross: one row at a time."""
    weights = [row["weight"] for _, row in target.iterrows()]
    symbols = [row["symbol"] for _, row in target.iterrows()]
    for group, cap in ((lambda s: s, CAPS.name), (sectors.__getitem__, CAPS.sector), (lambda s: "all", CAPS.gross)):
        sizes: dict[str, float] = {}
        for symbol, weight in zip(symbols, weights, strict=True):
            sizes[group(symbol)] = sizes.get(group(symbol), 0.0) + weight
        kept = {name: 1.0 if cap is None or size <= cap else cap / size for name, size in sizes.items()}
        weights = [weight * kept[group(symbol)] for symbol, weight in zip(symbols, weights, strict=True)]
    return np.array(weights)


def _returns(periods: int) -> tuple[FloatArray, NDArray[np.int64]]:
    """Sleeves in two regimes, calm and highly correlated, and which period was which."""
    rng = np.random.default_rng(SEED)
    truth = (np.sin(np.arange(periods) / 25.0) > 0.6).astype(np.int64)
    rho, size = np.where(truth, 0.75, 0.15), np.where(truth, 0.035, 0.014)
    common, own = rng.standard_normal((periods, 1)), rng.standard_normal((periods, SLEEVES))
    return size[:, None] * (np.sqrt(rho)[:, None] * common + np.sqrt(1.0 - rho)[:, None] * own), truth


def _median(call: Callable[[], Answer], repetitions: int) -> tuple[float, Answer]:
    """Median seconds, and the answer; the first call of several is not counted."""
    times = []
    answer = call() if repetitions > 1 else None
    for _ in range(repetitions):
        start = time.perf_counter()
        answer = call()
        times.append(time.perf_counter() - start)
    assert answer is not None
    return statistics.median(times), answer


if __name__ == "__main__":
    main()
