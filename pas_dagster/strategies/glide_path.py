"""Glide path: a max-Sharpe core whose equity share falls with age."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from pas_dagster.allocation.estimators import WEEKS_PER_YEAR, FloatArray, ledoit_wolf, sample_mean
from pas_dagster.allocation.glide_path import equity_share
from pas_dagster.allocation.max_sharpe import max_sharpe
from pas_dagster.allocation.mean_variance_groups import mean_variance_groups
from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import Fraction, NotEnoughData, Weights, strategy
from pas_dagster.strategies.history import AsOf, Window
from pas_dagster.strategies.policy_50_25_25 import BOND_FUNDS, EQUITY_FUNDS, READS, Funds, Weeks, held, weekly_returns

BILL = "3m"
RATE_DAYS = 1_150  # calendar days that hold the longest look-back


def _has_class(symbols: tuple[str, ...]) -> tuple[str, ...]:
    for symbol in symbols:
        if symbol not in (*EQUITY_FUNDS, *BOND_FUNDS):
            raise ValueError(f"{symbol!r} is neither an equity nor a bond fund")
    return symbols


def _bonds_only(symbols: tuple[str, ...]) -> tuple[str, ...]:
    for symbol in symbols:
        if symbol not in BOND_FUNDS:
            raise ValueError(f"{symbol!r} is not one of the bond funds: {', '.join(BOND_FUNDS)}")
    return symbols


@strategy(
    name="glide_path",
    title="Age Glide Path",
    cadence=Cadence.WEEKLY_MON,
    reads={**READS, "treasury_rates": Window(days=RATE_DAYS, columns=("event_date", "tenor", "rate"))},
    drift=0.05,
)
def glide_path(
    data: AsOf,
    *,
    birth_year: Annotated[int, Field(ge=1900, le=2100)] = 1988,
    core: Annotated[Funds, AfterValidator(_has_class)] = ("SPY", "QQQ", "VTI", "VXUS", "BND"),
    safe_bonds: Annotated[Funds, AfterValidator(_bonds_only)] = ("BND",),
    bond_share: Fraction = 0.8,
    max_weight: Annotated[float, Field(gt=0, le=1)] = 0.4,
    weeks: Weeks = 104,
) -> Weights:
    """A core of index funds with the largest Sharpe ratio that the equity share for the age allows.

    Rule: the equity share is 90 % to age 30, 70 % at 50 and 40 % from 65, linear between (`equity_share`); the age is
    the decision's year less `birth_year`. Of the rest, `bond_share` is in bond funds in equal parts and what remains
    is cash. Bonds are the funds of `safe_bonds` and the bond funds in `core` (BND is one); the other funds of `core`
    are equity. Among all portfolios with exactly these shares and at most `max_weight` in an equity fund, hold the one
    of the largest Sharpe ratio, bonds included: one constrained problem, so the equity share is that of the weights.
    Mean and covariance are those of the weekly total returns of the last `weeks` weeks (five sessions each, counted
    back from the last one known; at least 52), the covariance shrunk as Ledoit and Wolf do, in units of each fund's
    volatility; the risk-free rate is the mean three-month Treasury yield known over the same days.

    No such portfolio has a positive mean excess return: hold, with the same shares and limits, the one of least
    variance. Age says how much equity, not whether.

    A fund takes part when it is listed at the decision, has bars on at least 95 % of those sessions, the last one
    among them, and moves; a session without a bar counts as a return of zero. Cannot decide with fewer than 52 weeks,
    without a bond fund (unless `bond_share` is 0), without a three-month yield, or when the equity funds that take
    part cannot hold the equity share within `max_weight`.

    Source: Sharpe (1966), Ledoit and Wolf (2004), Cornuejols and Tütüncü (section 8.2) for the programme; daily total
    returns of the ETFs, Treasury yields (H.15).

    Parameters: birth_year, of the owner; core, the index funds; safe_bonds, the bond funds; bond_share, the part of
    what is not equity that is in bonds; max_weight, the largest weight of an equity fund; weeks, how far back, 52 to
    156.
    """
    bonds = {*safe_bonds, *core}.intersection(BOND_FUNDS)
    returns = weekly_returns(data, sorted({*core, *bonds}), weeks)
    names = list(returns.columns)
    is_bond = np.array([name in bonds for name in names], bool)
    share = equity_share(data.decision.year - birth_year)
    safe = bond_share * (1.0 - share)
    _check_room(is_bond, share, safe, max_weight)
    x = returns.to_numpy()
    excess = sample_mean(x) - _bill_yield(data, len(x)) / WEEKS_PER_YEAR
    return held(names, _weights(excess, _covariance(x), is_bond, share, safe, max_weight))


def _check_room(is_bond: np.ndarray, share: float, safe: float, most: float) -> None:
    """Raise NotEnoughData when the funds that take part cannot hold their shares."""
    equities = int((~is_bond).sum())
    if equities * most < share - 1e-9:
        lacks = f"{equities} equity funds are listed with a complete history"
        raise NotEnoughData(f"{lacks}, which at {most:.1%} each cannot hold {share:.1%}")
    if safe > 0 and not is_bond.any():
        raise NotEnoughData("no bond fund is listed with a complete history")


def _bill_yield(data: AsOf, weeks: int) -> float:
    """Mean three-month Treasury yield per year over the calendar days of the look-back."""
    rates = data.table("treasury_rates")
    first = np.datetime64(data.decision) - 7 * weeks
    rows = rates[(rates["tenor"] == BILL) & (rates["event_date"] >= first.astype("datetime64[us]"))]
    rows = rows[rows["rate"].notna()].drop_duplicates("event_date", keep="last").sort_values("event_date")
    if rows.empty:
        raise NotEnoughData("no three-month Treasury yield is known")
    return float(rows["rate"].to_numpy(float).mean())


def _covariance(x: FloatArray) -> FloatArray:
    """Ledoit-Wolf in units of each fund's volatility: its target of equal variances does not fit bonds and equities."""
    sigma = x.std(axis=0)
    return ledoit_wolf(x / sigma)[0] * np.outer(sigma, sigma)


def _weights(
    excess: FloatArray, cov: FloatArray, is_bond: np.ndarray, share: float, safe: float, most: float
) -> FloatArray:
    """Weights (n,): equities sum to `share`, bonds to `safe` in equal parts, of the largest Sharpe ratio there is."""
    invested = share + safe
    each = safe / max(int(is_bond.sum()), 1)
    low, high = np.where(is_bond, each, 0.0), np.where(is_bond, each, min(most, share))
    tangency = max_sharpe(excess, cov, low / invested, high / invested)
    if tangency.status == "optimal":
        return tangency.weights * invested
    if tangency.status == "infeasible":
        budgets = np.array([share, safe])
        least = mean_variance_groups(np.zeros(excess.size), cov, is_bond.astype(np.intp), budgets, high)
        if least.status == "optimal":
            return least.weights
        raise ArithmeticError(f"no glide path portfolio: {least.reason}")
    raise ArithmeticError(f"no glide path portfolio: {tangency.reason}")
