"""How fast the backtest is against bt and vectorbt, and whether all three tell the same story.

    python -m benchmarks.backtest [--symbols 1500] [--years 10] [--runs 5]

One seeded synthetic panel, one rule (hold the 50 names with the best half-year, equally weighted, traded once
a week at the close, 5 basis points), and the *same* target weights and prices handed to each engine. Times
are medians of warm runs; vectorbt compiles itself in a first run that is not counted.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pandas as pd

from pas_dagster.analytics.backtest import FloatArray, IntArray, simulate

COST = 0.0005
SESSIONS_PER_YEAR = 251.6  # what the New York Stock Exchange holds on average
LOOK_BACK = 126
TOP = 50


@dataclass(frozen=True)
class Case:
    """One panel and what to hold in it."""

    prices: pd.DataFrame  # sessions x symbols
    returns: FloatArray  # the same as simple returns, (T, N)
    weights: FloatArray  # (R, N)
    fills: IntArray  # (R,)


def momentum(symbols: int, years: float, seed: int = 7) -> Case:
    """Top-50 half-year momentum on a market factor plus noise, known the session before the fill."""
    sessions = round(years * SESSIONS_PER_YEAR)
    rng = np.random.default_rng(seed)
    market = rng.normal(0.0003, 0.01, sessions)
    beta, noise = rng.uniform(0.5, 1.5, symbols), rng.uniform(0.01, 0.03, symbols)
    returns = market[:, None] * beta + rng.standard_normal((sessions, symbols)) * noise
    returns[0] = 0.0
    levels = 100.0 * np.cumprod(1.0 + returns, axis=0)
    fills = np.arange(LOOK_BACK + 1, sessions, 5)
    weights = np.zeros((len(fills), symbols))
    top = min(TOP, symbols)
    for row, fill in enumerate(fills):
        strength = levels[fill - 1] / levels[fill - 1 - LOOK_BACK]
        weights[row, np.argpartition(strength, -top)[-top:]] = 1.0 / top
    days = pd.bdate_range("2015-01-01", periods=sessions)
    prices = pd.DataFrame(levels, index=days, columns=[f"S{number:04d}" for number in range(symbols)])
    return Case(prices, returns, weights, fills)


def run_ours(case: Case) -> FloatArray:
    """Net asset value per session, starting from 1."""
    return simulate(case.weights, case.fills, case.returns, cost=COST).nav


def run_bt(bt: ModuleType, case: Case) -> FloatArray:
    """The same with bt's strategy tree; the first row it returns is the day before the panel."""
    targets = pd.DataFrame(case.weights, index=case.prices.index[case.fills], columns=case.prices.columns)
    steps = [bt.algos.WeighTarget(targets), bt.algos.Rebalance()]
    test = bt.Backtest(
        bt.Strategy("momentum", steps),
        case.prices,
        initial_capital=1e6,
        commissions=lambda quantity, price: abs(quantity) * price * COST,
        integer_positions=False,
        progress_bar=False,
    )
    test.run()
    return (test.strategy.prices / test.strategy.prices.iloc[0]).to_numpy()[1:]


def run_vectorbt(vectorbt: ModuleType, case: Case) -> FloatArray:
    """The same with vectorbt's order simulator: target percent of one cash pool, sells first."""
    size = np.full(case.prices.shape, np.nan)
    size[case.fills] = case.weights
    portfolio = vectorbt.Portfolio.from_orders(
        case.prices,
        size,
        size_type="targetpercent",
        group_by=True,
        cash_sharing=True,
        call_seq="auto",
        fees=COST,
        init_cash=1e6,
        freq="1D",
    )
    return portfolio.value().to_numpy() / 1e6


def seconds(run: Callable[[], FloatArray]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def compare(case: Case, runs: int) -> None:
    """Print one line per library. Our runs are spread between theirs: a busy moment then hits both."""
    sessions, symbols = case.returns.shape
    panel = f"{sessions} sessions x {symbols} symbols"
    print(f"weekly top-{TOP} momentum, {panel}, {len(case.fills)} rebalances, 5 bp")
    nav = run_ours(case)
    for name, label, run in (("bt", "bt", run_bt), ("vectorbt", "vectorbt (warm)", run_vectorbt)):
        try:
            library = importlib.import_module(name)
        except ImportError:
            print(f"{name} is not installed, so it is left out: install the bench group of pyproject.toml.")
            continue
        gap = float(np.max(np.abs(run(library, case) / nav - 1.0)))  # also the run that compiles
        theirs, ours = [], []
        for _ in range(runs):
            theirs.append(seconds(lambda run=run, library=library: run(library, case)))
            ours += [seconds(lambda: run_ours(case)) for _ in range(10)]
        there, here = statistics.median(theirs), statistics.median(ours)
        times = f"{name} {there * 1e3:.0f} ms, ours {here * 1e3:.1f} ms"
        print(f"{times}, max relative NAV difference {gap:.1e}, {there / here:.1f}x vs {label}")


def main() -> None:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(prog="benchmarks.backtest", description="Ours against bt and vectorbt.")
    parser.add_argument("--symbols", type=int, default=1500)
    parser.add_argument("--years", type=float, default=10)
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each library, 10x as many of ours")
    flags = parser.parse_args()
    compare(momentum(flags.symbols, flags.years), flags.runs)


if __name__ == "__main__":
    main()
