"""The 50/25/25 policy portfolio, the funds that such portfolios choose from, and their weekly returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import AfterValidator, Field

from pas_dagster.allocation.estimators import FloatArray
from pas_dagster.allocation.mean_variance_groups import mean_variance_groups
from pas_dagster.allocation.mixture import STILL, fit_regimes, simulate
from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import Fraction, NotEnoughData, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window

BOND_FUNDS = ("AGG", "BIL", "BND", "HYG", "IEF", "LQD", "SHY", "TIP", "TLT")
SECTOR_FUNDS = ("XLB", "XLC", "XLE", "XLF", "XLI", "XLK", "XLP", "XLRE", "XLU", "XLV", "XLY")
EQUITY_FUNDS = ("EFA", "IWM", "QQQ", "SPY", "VTI", "VXUS", *SECTOR_FUNDS)
FUNDS = (*BOND_FUNDS, *EQUITY_FUNDS, "GLD")
"""The unlevered funds of the universe: prices of others are not read, so parameters cannot name them."""

WEEK = 5  # sessions
MIN_WEEKS = 52
MAX_WEEKS = 156
MIN_BARS = 0.95  # share of the sessions on which a fund must have traded


def _fund(symbol: str) -> str:
    if symbol not in FUNDS:
        raise ValueError(f"{symbol!r} is not one of the funds read: {', '.join(FUNDS)}")
    return symbol


Funds = Annotated[tuple[Annotated[str, AfterValidator(_fund)], ...], Field(min_length=1, strict=False)]
Weeks = Annotated[int, Field(ge=MIN_WEEKS, le=MAX_WEEKS)]
READS: Mapping[str, Window] = {
    "prices": Window(sessions=MAX_WEEKS * WEEK, symbols=FUNDS),
    "universe": Window(symbols=FUNDS),
}


@strategy(
    name="policy_50_25_25",
    title="50/25/25 Policy Portfolio",
    cadence=Cadence.WEEKLY_MON,
    reads=READS,
    drift=0.05,
)
def policy_50_25_25(
    data: AsOf,
    *,
    bonds: Funds = ("BND", "HYG", "IEF", "LQD", "SHY", "TIP", "TLT"),
    equities: Funds = ("IWM", "QQQ", "SPY", "VTI"),
    diversified: Funds = ("EFA", "GLD", "VXUS", "XLRE"),
    bond_share: Fraction = 0.5,
    equity_share: Fraction = 0.25,
    diversified_share: Fraction = 0.25,
    max_weight: Annotated[float, Field(gt=0, le=1)] = 0.2,
    risk_aversion: Annotated[float, Field(gt=0, le=1000)] = 5.0,
    weeks: Weeks = MAX_WEEKS,
    regimes: Annotated[int, Field(ge=1, le=4)] = 2,
    horizon: Annotated[int, Field(ge=1, le=13)] = 4,
    paths: Annotated[int, Field(ge=1000, le=100_000)] = 5_000,
    seed: Annotated[int, Field(ge=0)] = 502525,
) -> Weights:
    """Half bond ETFs, a quarter US equity ETFs, a quarter diversifying ETFs, each group filled by mean-variance.

    Rule: take the weekly total returns of the funds of the last `weeks` weeks (a week is five sessions, counted back
    from the last one known; at least 52). Fit a Gaussian mixture of `regimes` components to the weekly return of the
    policy portfolio with equal weights within each group; the funds' mean and covariance in a regime are those of its
    weeks, weighted by probability and drawn towards those of all weeks (`allocation.mixture`). Simulate `paths` paths
    of `horizon` weeks that begin in the regimes of the last week. With the mean μ and covariance Σ of the simulated
    returns, hold the weights that maximise μ'w - ½ `risk_aversion` w'Σw, where each group sums to its share and no
    fund exceeds `max_weight`: one quadratic programme. It is decided every week; it trades when a weight has drifted
    five percentage points off.

    A fund takes part when it is listed at the decision, has bars on at least 95 % of those sessions, the last one
    among them, and moves; a session without a bar counts as a return of zero. A fund that does not leaves its share
    to the others of its group; where `max_weight` does not let them take it, it cannot decide. Fewer than 52 weeks
    known: cannot decide. The same data give the same weights: the fit begins at a fixed point, the draws have a seed.

    Source: Hamilton (1989) on regimes, Markowitz (1952); daily total returns of the ETFs.

    Parameters: bonds, equities, diversified, the funds of each group; bond_share, equity_share, diversified_share,
    what the groups sum to, at most 1 in all, the rest is cash; max_weight, the largest weight of a fund;
    risk_aversion, γ above, without unit; weeks, how far back, 52 to 156; regimes, components of the mixture; horizon,
    weeks ahead; paths, how many; seed, of the draws.
    """
    groups = {"bonds": bonds, "equities": equities, "diversified": diversified}
    shares = np.array([bond_share, equity_share, diversified_share])
    _check_groups(groups, shares)
    returns = weekly_returns(data, sorted({symbol for group in groups.values() for symbol in group}), weeks)
    names = list(returns.columns)
    group = np.array([next(at for at, key in enumerate(groups) if name in groups[key]) for name in names], np.intp)
    _check_room(groups, group, shares, max_weight)
    x = returns.to_numpy()
    simulated = simulate(fit_regimes(x, x @ _spread(group, shares), regimes), horizon, paths, seed)
    mean = simulated.mean(axis=0)
    apart = simulated - mean
    answer = mean_variance_groups(mean, apart.T @ apart / len(apart), group, shares, max_weight, risk_aversion)
    if answer.status != "optimal":
        raise ArithmeticError(f"no policy portfolio of {', '.join(names)}: {answer.reason}")
    return held(names, answer.weights)


def weekly_returns(data: AsOf, symbols: Sequence[str], weeks: int) -> pd.DataFrame:
    """Total returns (weeks, funds) of the funds that are listed and have a complete history, oldest week first.

    As many weeks of five sessions as are known, at most `weeks`; NotEnoughData with fewer than 52 of them.
    """
    frame = data.returns(weeks * WEEK, list(symbols))
    known = len(frame) // WEEK
    if known < MIN_WEEKS:
        raise NotEnoughData(f"{known} weeks of prices are known, {MIN_WEEKS} are needed")
    daily = np.ascontiguousarray(frame.to_numpy(float)[-known * WEEK :])
    bars = ~np.isnan(daily)
    growth = np.where(bars, 1.0 + daily, 1.0).reshape(known, WEEK, len(symbols))
    weekly = np.prod(growth, axis=1) - 1.0
    complete = (bars.sum(axis=0) >= MIN_BARS * known * WEEK) & bars[-1] & (weekly.std(axis=0) > STILL)
    complete &= np.fromiter((symbol in data.universe.index for symbol in symbols), bool, len(symbols))
    return pd.DataFrame(weekly[:, complete], columns=frame.columns[complete])


def held(names: Sequence[str], weights: FloatArray) -> Weights:
    """The weights that are not zero."""
    return Weights({name: weight for name, weight in zip(names, weights.tolist(), strict=True) if weight > 0})


def _check_groups(groups: Mapping[str, tuple[str, ...]], shares: FloatArray) -> None:
    """Raise ValueError when a fund would count twice, or nothing or more than everything be invested."""
    every = sorted(symbol for group in groups.values() for symbol in set(group))
    twice = sorted({symbol for symbol in every if every.count(symbol) > 1})
    if twice:
        raise ValueError(f"{twice[0]} is in two of the groups {', '.join(groups)}")
    if not 0.0 < shares.sum() <= 1.0 + STILL:
        raise ValueError(f"the shares of the groups sum to {shares.sum():.6g}, not to at most 1 and more than 0")


def _check_room(groups: Mapping[str, tuple[str, ...]], group: np.ndarray, shares: FloatArray, most: float) -> None:
    """Raise NotEnoughData when the funds that take part cannot hold their group's share within the limit."""
    for at, key in enumerate(groups):
        count = int((group == at).sum())
        if count * most < shares[at] - STILL:
            lacks = f"{count} of {len(set(groups[key]))} funds are listed with a complete history"
            raise NotEnoughData(f"{key}: {lacks}, which at {most:.1%} each cannot hold {shares[at]:.1%}")


def _spread(group: np.ndarray, shares: FloatArray) -> FloatArray:
    """The policy portfolio with equal weights within each group; a group without funds has no share to spread."""
    return shares[group] / np.bincount(group, minlength=shares.size)[group]
