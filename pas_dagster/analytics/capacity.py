"""How much money a book can carry before its trades become large against the market."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

PARTICIPATION = 0.05  # of the mean daily dollar volume
TAIL = 0.05  # of the traded weight

_ROUNDING = 1e-12


def capacity(
    weights: npt.ArrayLike, volumes: npt.ArrayLike, *, participation: float = PARTICIPATION, quantile: float = TAIL
) -> float:
    """Largest capital (USD) at which at most `quantile` of the traded weight is more than `participation` of volume.

    Rule: a trade that moves the share w of the book in a name of mean daily dollar volume v is within bounds up to a
    capital of participation * v / |w|. The capacity is the `quantile` quantile of these limits, each counting with its
    |w|: the largest capital K for which the trades with K |w| > participation * v make up no more than `quantile`
    of all traded weight. No interpolation: it is the limit of one of the trades.

    NaN: a trade whose weight or volume is not known is left out on both sides; say beside the result how much that
    was. NaN when nothing is left. A volume of 0 is a limit of 0.

    Args:
        weights: change of weight of each trade as a fraction of the book, of either sign, in any shape; 0 is no trade.
        volumes: mean dollar volume per session before the trade, >= 0, same shape.
        participation: largest share of the mean daily volume, above 0.
        quantile: share of the traded weight that may exceed it, in [0, 1).

    Raises:
        ValueError: shapes that differ, numbers out of range.

    Two trades of 10 %, in names that trade 10 and 100 million a day; both must fit, or half of the weight:

    >>> capacity([0.1, -0.1], [10e6, 100e6])
    5000000.0
    >>> capacity([0.1, -0.1], [10e6, 100e6], quantile=0.5)
    50000000.0
    """
    weight, volume = np.abs(np.asarray(weights, dtype=np.float64)), np.asarray(volumes, dtype=np.float64)
    if weight.shape != volume.shape:
        raise ValueError(f"weights {weight.shape} and volumes {volume.shape} must have the same shape")
    if not (0.0 < participation < np.inf and 0.0 <= quantile < 1.0):
        raise ValueError("participation must be above 0 and the quantile in [0, 1)")
    known = (weight > 0.0) & ~np.isnan(volume)
    weight, volume = weight[known], volume[known]
    if not weight.size:
        return float("nan")
    if volume.min() < 0.0 or np.isinf(weight).any() or np.isinf(volume).any():
        raise ValueError("weights must be finite and volumes finite and >= 0")
    limits = participation * volume / weight
    order = np.argsort(limits, kind="stable")
    exceeding = np.add.accumulate(weight[order])  # the weight out of bounds just above each limit
    allowed = quantile * exceeding[-1]
    return float(limits[order][np.argmax(exceeding > allowed + _ROUNDING * exceeding[-1])])
