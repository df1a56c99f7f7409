"""Where a return came from: contributions of sleeves, and Brinson effects against a benchmark by sleeve or sector.

Weights are those at the beginning of a period, returns those of the period, simple and as decimals: an account's return
is linear in its weights for simple returns only.

**Contributions** are share x return; with a row for cash and one for costs they sum to the account's return.

**Effects** follow Brinson and Fachler. For group g with weight w and return r of the portfolio, v and b of the
benchmark, and B the return of the whole benchmark:

| effect | rule |
|---|---|
| allocation | (w - v) (b - B) |
| selection | v (r - b) |
| interaction | (w - v) (r - b) |

They sum to the active return of the period. A group the portfolio does not hold has no return of its own and is taken
to have earned the benchmark's (no selection); a group the benchmark does not hold is taken to have earned there what it
earned in the portfolio, so holding it is allocation.

**Linking.** Returns compound, so effects of periods do not sum to the active return of the whole time. Carino's factors
make them: each period's effects are multiplied by k / K, with k = (ln(1 + R) - ln(1 + B)) / (R - B) of the period and K
likewise of the whole time. Contributions are linked in the same way against a benchmark of 0.

Sources: Brinson and Fachler, "Measuring Non-US Equity Portfolio Performance", Journal of Portfolio Management 11(3),
1985; Carino, "Combining Attribution Effects Over Time", Journal of Performance Measurement 3(4), 1999.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pas_dagster.analytics.statistics import FloatArray

UNKNOWN = "a group that is held has no return"
RUINED = "a period lost everything: what cannot compound cannot be linked"

_SUM = 1e-9  # weights that differ by less have the same sum


class Contributions(NamedTuple):
    """What each part of an account added to its return.

    Attributes:
        names: N sleeves, then "cash" and "cost".
        periods: (T, N + 2), each row sums to the account's return of the period.
        returns: (T,) of the account.
        linked: (N + 2,) over the whole time; they sum to `total`.
        total: compounded return of the account.
        reason: why numbers are NaN; empty when none is.
    """

    names: tuple[str, ...]
    periods: FloatArray
    returns: FloatArray
    linked: FloatArray
    total: float
    reason: str


class Attribution(NamedTuple):
    """Effects of T periods and G groups against a benchmark.

    Attributes:
        groups: their names.
        allocation: (T, G).
        selection: (T, G).
        interaction: (T, G).
        active: (T,) return of the portfolio less that of the benchmark: what the effects of the period sum to.
        linked: (3, G) allocation, selection and interaction over the whole time; they sum to `total`.
        total: compounded return of the portfolio less that of the benchmark.
        reason: why numbers are NaN; empty when none is.
    """

    groups: tuple[str, ...]
    allocation: FloatArray
    selection: FloatArray
    interaction: FloatArray
    active: FloatArray
    linked: FloatArray
    total: float
    reason: str


def contributions(
    names: Sequence[str],
    shares: FloatArray,
    returns: FloatArray,
    cash_returns: FloatArray,
    costs: FloatArray,
) -> Contributions:
    """Share x return of every sleeve, of cash, and the cost.

    Args:
        names: N sleeves.
        shares: (T, N) of the account at the beginning of the period; what is left of 1 is in cash.
        returns: (T, N) of the sleeves, NaN where there is none; it may be missing where the share is 0.
        cash_returns: (T,) of cash.
        costs: (T,) paid, as a share of the account at the beginning of the period, >= 0.

    Raises:
        ValueError: shapes that do not fit.

    >>> found = contributions(["a"], np.array([[0.5]]), np.array([[0.1]]), np.array([0.02]), np.array([0.001]))
    >>> found.names, found.periods.round(6).tolist(), round(found.total, 6)
    (('a', 'cash', 'cost'), [[0.05, 0.01, -0.001]], 0.059)
    """
    periods = len(shares)
    if shares.shape != (periods, len(names)) or returns.shape != shares.shape:
        raise ValueError(f"shares {shares.shape} and returns {returns.shape} must be (T, {len(names)})")
    if cash_returns.shape != (periods,) or costs.shape != (periods,):
        raise ValueError(f"cash_returns {cash_returns.shape} and costs {costs.shape} must be ({periods},)")
    labels = (*names, "cash", "cost")
    cash = 1.0 - shares.sum(axis=1)
    table = np.column_stack([_product(shares, returns), _product(cash, cash_returns), -costs])
    account = table.sum(axis=1)
    reason = UNKNOWN if np.isnan(table).any() else ""
    linked, total, reason = _linked(table[None], account, np.zeros(periods), reason)
    return Contributions(labels, table, account, linked[0], total, reason)


def brinson(
    groups: Sequence[str],
    weights: FloatArray,
    returns: FloatArray,
    benchmark_weights: FloatArray,
    benchmark_returns: FloatArray,
) -> Attribution:
    """Allocation, selection and interaction of every group, by period and linked.

    Args:
        groups: G names; cash is a group like the others.
        weights: (T, G) of the portfolio at the beginning of the period.
        returns: (T, G) of its groups, NaN where there is none.
        benchmark_weights: (T, G), with the same sum in every period.
        benchmark_returns: (T, G), NaN where there is none.

    Raises:
        ValueError: shapes that do not fit, or weights whose sums differ.

    >>> rows = [np.array([row]) for row in ([0.7, 0.3], [0.10, 0.02], [0.5, 0.5], [0.08, 0.04])]
    >>> found = brinson(["equity", "bonds"], *rows)
    >>> found.allocation.round(4).tolist(), found.selection.round(4).tolist(), found.interaction.round(4).tolist()
    ([[0.004, 0.004]], [[0.01, -0.01]], [[0.004, 0.004]])
    >>> round(found.total, 6)
    0.016
    """
    tables = (weights, returns, benchmark_weights, benchmark_returns)
    if any(table.shape != (len(weights), len(groups)) for table in tables):
        raise ValueError(f"tables must be (T, {len(groups)}), not {[table.shape for table in tables]}")
    if not np.allclose(weights.sum(axis=1), benchmark_weights.sum(axis=1), rtol=0.0, atol=_SUM):
        raise ValueError("the weights of the portfolio and of the benchmark must have the same sum in every period")
    own = np.where((weights == 0.0) & np.isnan(returns), benchmark_returns, returns)
    market = np.where((benchmark_weights == 0.0) & np.isnan(benchmark_returns), returns, benchmark_returns)
    portfolio, whole = _product(weights, own).sum(axis=1), _product(benchmark_weights, market).sum(axis=1)
    tilt = weights - benchmark_weights
    effects = np.array(
        [
            _product(tilt, market - whole[:, None]),
            _product(benchmark_weights, own - market),
            _product(tilt, own - market),
        ]
    )
    reason = UNKNOWN if np.isnan(effects).any() else ""
    linked, total, reason = _linked(effects, portfolio, whole, reason)
    return Attribution(tuple(groups), *effects, portfolio - whole, linked, total, reason)


def grouped(
    weights: FloatArray, returns: FloatArray, members: Sequence[str]
) -> tuple[tuple[str, ...], FloatArray, FloatArray]:
    """Names gathered into groups, such as sectors: what `brinson` takes.

    Args:
        weights: (T, N) at the beginning of the period.
        returns: (T, N), NaN where there is none; it may be missing where the weight is 0.
        members: the group of each of the N names.

    Returns:
        Groups in alphabetical order, their weights (T, G), and their returns (T, G): the mean of the members' returns
        by weight, NaN for a group without weight.

    Raises:
        ValueError: shapes that do not fit, or a group whose weights cancel out (long and short), which has no return.

    >>> groups, weights, returns = grouped(np.array([[0.2, 0.2, 0.6]]), np.array([[0.1, 0.2, 0.0]]), ["b", "b", "a"])
    >>> groups, weights.round(4).tolist(), returns.round(4).tolist()
    (('a', 'b'), [[0.6, 0.4]], [[0.0, 0.15]])
    """
    if weights.shape != returns.shape or weights.shape[1:] != (len(members),):
        raise ValueError(f"weights {weights.shape} and returns {returns.shape} must be (T, {len(members)})")
    groups = tuple(sorted(set(members)))
    into = (np.array(members)[:, None] == np.array(groups)).astype(np.float64).reshape(len(members), len(groups))
    total, gross, earned = weights @ into, np.abs(weights) @ into, _product(weights, returns) @ into
    if (np.abs(total) < _SUM * gross).any():
        raise ValueError("the weights of a group cancel out: it has no return")
    return groups, total, np.divide(earned, total, out=np.full_like(total, np.nan), where=gross > 0.0)


def carino(portfolio: FloatArray, benchmark: FloatArray) -> FloatArray:
    """k of each pair of returns: (ln(1 + R) - ln(1 + B)) / (R - B), and 1 / (1 + R) where they are alike.

    NaN where either is -1 or less.

    >>> carino(np.array([0.1, 0.1]), np.array([0.0, 0.1])).round(6).tolist()
    [0.953102, 0.909091]
    """
    usable = (portfolio > -1.0) & (benchmark > -1.0)
    base = np.where(usable, 1.0 + benchmark, np.nan)
    z = (portfolio - benchmark) / base
    flat = np.abs(z) < 1e-8  # there ln(1 + z) / z is 1 - z / 2 to the last digit
    ratio = np.divide(np.log1p(np.where(usable, z, 0.0)), z, out=1.0 - z / 2.0, where=usable & ~flat)
    return ratio / base


def _product(weights: FloatArray, returns: FloatArray) -> FloatArray:
    """weight x return, 0 where there is no weight even if there is no return."""
    return np.where(weights == 0.0, 0.0, weights * returns)


def _linked(
    effects: FloatArray, portfolio: FloatArray, benchmark: FloatArray, reason: str
) -> tuple[FloatArray, float, str]:
    """Effects (E, T, G) over the whole time (E, G), what they sum to, and why not."""
    nothing = np.full((len(effects), effects.shape[2]), np.nan)
    if reason:
        return nothing, np.nan, reason
    ends = np.array([np.multiply.reduce(1.0 + side) - 1.0 for side in (portfolio, benchmark)])
    total = float(ends[0] - ends[1])
    if (portfolio <= -1.0).any() or (benchmark <= -1.0).any():
        return nothing, total, RUINED
    factors = carino(portfolio, benchmark) / carino(ends[:1], ends[1:])
    return np.einsum("etg,t->eg", effects, factors), total, ""
