"""Momentum: what each sleeve has earned over the window, and how it ranks among the others.

Source: Jegadeesh and Titman (1993), Returns to buying winners and selling losers, Journal of Finance 48(1).
"""

from __future__ import annotations

import numpy as np

from pas_dagster.allocation.estimators import FloatArray


def total_returns(returns: FloatArray) -> FloatArray:
    """Compounded return of each column, (n,), of simple returns (weeks, n).

    >>> total_returns(np.array([[0.10, 0.0], [-0.10, 0.02]])).round(4).tolist()
    [-0.01, 0.02]
    """
    return np.multiply.reduce(1.0 + returns, axis=0) - 1.0


def scores(momentum: FloatArray) -> FloatArray:
    """Ranks from -1 (weakest) to 1 (strongest), (n,), equal steps, ties share their mean; they sum to 0. Alone: 0.

    >>> scores(np.array([0.3, -0.1, 0.0, 0.3])).round(3).tolist()
    [0.667, -1.0, -0.333, 0.667]
    """
    n = momentum.size
    if n < 2:
        return np.zeros(n)
    below = (momentum[None, :] < momentum[:, None]).sum(axis=1)
    above = (momentum[None, :] > momentum[:, None]).sum(axis=1)
    return (below - above) / (n - 1)
