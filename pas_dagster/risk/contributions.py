"""What each position adds to the risk of the book, so that the parts sum to the whole.

Volatility and expected shortfall are homogeneous: a book twice as large has twice the risk. By Euler's theorem the
risk is then the sum of weight times marginal risk, and each term is that position's contribution. A position with a
negative one hedges the rest.

Contributions of groups (all positions of a sleeve, of a symbol, of a sector) are the sums of their members': hand
positions in at the finest level and use `by_group` for each view.

Source: Tasche, "Risk contributions and performance measurement", TU München, 1999; for the shortfall each contribution
is the position's mean return in the periods of the book's tail.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pas_dagster.allocation.estimators import FloatArray


class Contributions(NamedTuple):
    """Parts of one risk of a book of n positions.

    Attributes:
        status: `ok`, or `none` when the book has no risk to divide; all arrays are 0 then.
        reason: one sentence, empty when ok.
        total: the risk, in the unit asked for: a standard deviation > 0, or an expected shortfall (a return).
        marginal: (n,) change of the risk per unit of weight.
        contribution: (n,) weight times marginal; sums to `total`.
        share: (n,) contribution / total; sums to 1.
    """

    status: str
    reason: str
    total: float
    marginal: FloatArray
    contribution: FloatArray
    share: FloatArray


class Group(NamedTuple):
    """One sleeve, symbol or sector: sums of its positions."""

    name: str
    weight: float
    contribution: float
    share: float


def to_volatility(weights: npt.ArrayLike, cov: npt.ArrayLike, *, periods: float = 1.0) -> Contributions:
    """Contributions to the volatility of a book: w_i (Σw)_i / σ.

    Args:
        weights: (n,) fractions of the net asset value.
        cov: (n, n) covariance per period.
        periods: per year, to annualise; 1 leaves it per period.

    Raises:
        ValueError: shapes that differ, a number that is not finite, a negative variance of the book.

    >>> found = to_volatility([0.5, 0.5], [[0.04, 0.0], [0.0, 0.01]])
    >>> round(found.total, 6), found.share.round(2).tolist()
    (0.111803, [0.8, 0.2])
    """
    w, matrix = np.asarray(weights, dtype=np.float64), np.asarray(cov, dtype=np.float64)
    if w.ndim != 1 or matrix.shape != (w.size, w.size):
        raise ValueError(f"weights (n,) and a covariance (n, n) are needed, not {w.shape} and {matrix.shape}")
    if not (np.isfinite(w).all() and np.isfinite(matrix).all() and 0.0 < periods < math.inf):
        raise ValueError("a weight, a covariance or the number of periods is not finite")
    pull = 0.5 * (matrix + matrix.T) @ w
    variance, noise = float(w @ pull), 1e-14 * float(np.abs(w) @ np.abs(matrix) @ np.abs(w))
    if variance < -noise:
        raise ValueError("the covariance is not positive semidefinite: the book's variance is negative")
    if variance <= noise:
        return _nothing(w.size, "the book does not move")
    return _parts(w, pull / math.sqrt(variance) * math.sqrt(periods))


def to_shortfall(returns: npt.ArrayLike, weights: npt.ArrayLike, *, level: float = 0.95) -> Contributions:
    """Contributions to the historical expected shortfall of one period: w_i times the mean return in the book's tail.

    The tail is that of `analytics.statistics.conditional_value_at_risk`; periods in which the book earned exactly the
    value at risk share what is left of the tail evenly.

    Args:
        returns: (T, n) simple returns of what is held; a period counts when every name that is held has one.
        weights: (n,) fractions of the net asset value.
        level: in (0, 1).

    Raises:
        ValueError: shapes that differ, a number that is infinite, a weight that is NaN, a level out of range.

    >>> x = np.array([[-0.04, 0.02], [0.01, 0.01], [0.02, -0.03], [0.03, 0.01]])
    >>> found = to_shortfall(x, [0.5, 0.5], level=0.75)
    >>> round(found.total, 6), found.contribution.round(4).tolist()
    (-0.01, [-0.02, 0.01])
    """
    x, w = np.asarray(returns, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if x.ndim != 2 or w.shape != x.shape[1:]:
        raise ValueError(f"returns (T, n) and weights (n,) are needed, not {x.shape} and {w.shape}")
    if np.isinf(x).any() or not np.isfinite(w).all():
        raise ValueError("a return is infinite, or a weight not finite")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    held = w != 0.0
    x = np.where(held, x, 0.0)[~np.isnan(x[:, held]).any(axis=1)]
    if not len(x):
        return _nothing(w.size, "no period has returns of everything that is held")
    book = x @ w
    parts = _parts(w, _tail_shares(book, level) @ x)
    return parts if abs(parts.total) > 1e-15 else _nothing(w.size, "the book does not lose in its tail")


def by_group(found: Contributions, weights: npt.ArrayLike, labels: Sequence[str]) -> tuple[Group, ...]:
    """Sums over the positions with the same label, in the order in which labels first appear.

    Raises:
        ValueError: not one weight and one label for each position.

    >>> found = to_volatility([0.5, 0.3, 0.2], np.eye(3) * 0.01)
    >>> [(g.name, round(g.weight, 2), round(g.share, 3)) for g in by_group(found, [0.5, 0.3, 0.2], ["a", "b", "a"])]
    [('a', 0.7, 0.763), ('b', 0.3, 0.237)]
    """
    w = np.asarray(weights, dtype=np.float64)
    if not len(labels) == w.size == found.contribution.size:
        raise ValueError(f"{found.contribution.size} positions need as many weights and labels")
    sums: dict[str, FloatArray] = {}
    for label, row in zip(labels, np.column_stack([w, found.contribution, found.share]), strict=True):
        sums[label] = sums.get(label, np.zeros(3)) + row
    return tuple(Group(label, *(float(value) for value in row)) for label, row in sums.items())


def _tail_shares(book: FloatArray, level: float) -> FloatArray:
    """(T,) how much each period counts in the tail's mean, sum 1."""
    count = math.floor((len(book) - 1) * (1.0 - level) + 1e-9) + 1
    last = np.sort(book)[count - 1]
    below, tied = book < last, book == last
    return (below + tied * (count - below.sum()) / tied.sum()) / count


def _parts(weights: FloatArray, marginal: FloatArray) -> Contributions:
    contribution = weights * marginal
    total = float(contribution.sum())
    share = contribution / total if total else np.zeros_like(contribution)
    return Contributions("ok", "", total, marginal, contribution, share)


def _nothing(n: int, reason: str) -> Contributions:
    return Contributions("none", reason, 0.0, np.zeros(n), np.zeros(n), np.zeros(n))
