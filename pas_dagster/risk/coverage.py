"""Whether forecasts of value at risk came true: counts and independence of the losses beyond them.

Source: Kupiec, "Techniques for Verifying the Accuracy of Risk Measurement Models", Journal of Derivatives 3(2), 1995
(proportion of failures); Christoffersen, "Evaluating Interval Forecasts", International Economic Review 39(4), 1998
(independence).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Verdict = Literal["covered", "too many losses", "too few losses", "clustered losses", "insufficient"]


class Coverage(NamedTuple):
    """A backtest of value at risk. Ratios and p-values are None where they have no meaning.

    Attributes:
        verdict: `covered` unless a test rejects it; counts are judged first. `insufficient`: fewer than
            1 / (1 - level) periods, in which not even one loss is due.
        periods: with a return and a forecast.
        exceptions: returns below the forecast.
        expected: periods times (1 - level).
        ratio, p_value: Kupiec's likelihood ratio, chi-square with one degree of freedom.
        independence, independence_p: Christoffersen's, likewise; None where no two periods follow one another, or
            where there were no exceptions.
        reason: one sentence.
    """

    verdict: Verdict
    periods: int
    exceptions: int
    expected: float
    ratio: float | None
    p_value: float | None
    independence: float | None
    independence_p: float | None
    reason: str


def coverage(
    returns: npt.ArrayLike, forecasts: npt.ArrayLike, *, level: float = 0.95, significance: float = 0.05
) -> Coverage:
    """Compare returns with the value at risk that was forecast for them.

    Args:
        returns: (T,) realised, oldest first, NaN where there is none.
        forecasts: (T,) or one number, known before each return; a return, so a loss is negative; NaN where none.
        level: of the forecasts.
        significance: p-value below which a test rejects.

    Raises:
        ValueError: shapes that differ, an infinite number, a level or significance out of range.

    >>> x = np.where(np.arange(250) % 25 == 0, -0.03, 0.001)  # 10 losses where 12.5 are due
    >>> found = coverage(x, -0.02)
    >>> found.verdict, found.exceptions, round(found.ratio, 4), round(found.p_value, 4)
    ('covered', 10, 0.5634, 0.4529)
    """
    x = np.asarray(returns, dtype=np.float64)
    forecast = np.asarray(forecasts, dtype=np.float64)
    if x.ndim != 1 or forecast.shape not in ((), x.shape):
        raise ValueError(f"returns of shape (T,) and as many forecasts are needed, not {x.shape} and {forecast.shape}")
    if np.isinf(x).any() or np.isinf(forecast).any():
        raise ValueError("a return or a forecast is infinite")
    if not (0.5 < level < 1.0 and 0.0 < significance < 1.0):
        raise ValueError(f"level must be in (0.5, 1) and significance in (0, 1), not {level} and {significance}")
    known = ~np.isnan(x - forecast)
    hit = (x < forecast) & known
    n, hits, p = int(known.sum()), int(hit.sum()), 1.0 - level
    if n < 1.0 / p - 1e-9:
        why = f"{n} periods are fewer than the {math.ceil(1.0 / p - 1e-9)} in which one loss is due"
        return Coverage("insufficient", n, hits, n * p, None, None, None, None, why)
    ratio = kupiec(n, hits, p)
    independence = _independence(hit, known)
    p_value = chi_square_tail(ratio)
    independence_p = None if independence is None else chi_square_tail(independence)
    verdict, why = _verdict(n, hits, p, p_value, independence_p, significance)
    return Coverage(verdict, n, hits, n * p, ratio, p_value, independence, independence_p, why)


def kupiec(periods: int, exceptions: int, probability: float) -> float:
    """Likelihood ratio of so many exceptions in so many periods against their probability.

    >>> round(kupiec(255, 0, 0.01), 4), round(kupiec(1000, 50, 0.05), 4)
    (5.1257, 0.0)
    """
    share = exceptions / periods
    told, free = (_log_likelihood(periods - exceptions, exceptions, q) for q in (probability, share))
    return max(0.0, 2.0 * (free - told))


def chi_square_tail(value: float) -> float:
    """Probability that a chi-square variable with one degree of freedom is larger.

    >>> round(chi_square_tail(3.841459), 6)
    0.05
    """
    return math.erfc(math.sqrt(value / 2.0))


def _independence(hit: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]) -> float | None:
    """Likelihood ratio of a first-order chain against independent exceptions, over periods that follow one another."""
    pair = known[:-1] & known[1:]
    before, after = hit[:-1][pair], hit[1:][pair]
    if not hit.any() or not before.size:
        return None
    quiet, quiet_hit = int((~before & ~after).sum()), int((~before & after).sum())
    loud, loud_hit = int((before & ~after).sum()), int((before & after).sum())
    alike = _log_likelihood(quiet + loud, quiet_hit + loud_hit)
    return max(0.0, 2.0 * (_log_likelihood(quiet, quiet_hit) + _log_likelihood(loud, loud_hit) - alike))


def _log_likelihood(misses: int, hits: int, probability: float | None = None) -> float:
    """Of independent exceptions with a probability, by default their share; 0 log 0 is 0."""
    total = misses + hits
    p = (hits / total if total else 0.0) if probability is None else probability
    return (misses * math.log1p(-p) if misses else 0.0) + (hits * math.log(p) if hits else 0.0)


def _verdict(
    n: int, hits: int, p: float, p_value: float, independence_p: float | None, significance: float
) -> tuple[Verdict, str]:
    counts = f"{hits} losses beyond the forecast in {n} periods, {n * p:.1f} due"
    if p_value < significance:
        return ("too many losses" if hits > n * p else "too few losses"), f"{counts} (p {p_value:.2g})"
    if independence_p is not None and independence_p < significance:
        return "clustered losses", f"{counts}, but they follow one another (p {independence_p:.2g})"
    return "covered", f"{counts} (p {p_value:.2g})"
