"""Value at risk and expected shortfall of today's book, three ways, in fractions and dollars.

A loss is a **negative return**, as in `pas_dagster.analytics.statistics`: a value at risk of -0.02 at level 0.95 says
that one period in twenty should lose more than 2 %. Dollars have the same sign. The expected shortfall is named
`conditional`, the mean return in that worst twentieth, so `conditional <= value_at_risk`.

**The book** is today's weights on past returns of what is held (names, or sleeves); cash earns nothing. Over a horizon
of several periods it is held, not rebalanced: each holding compounds by itself and the book is their weighted sum, so
doubling the weights doubles every answer.

**Missing returns**: a period counts when every name that is held has a return in it; the others are left out and
`observations` says how many count. Names of weight 0 are not looked at. A tail needs something in it: with fewer than
1 / (1 - level) periods (for `historical` separate horizons) the status is `insufficient`, and there is no number.

* `historical` - the empirical quantile, over all overlapping horizons.
* `parametric` - Gaussian with the sample's mean and standard deviation (ddof 1), or with `cornish_fisher` its skewness
  and kurtosis too; over a horizon h the mean grows with h, the deviation with sqrt(h), skewness falls with sqrt(h) and
  excess kurtosis with h (independent periods).
* `monte_carlo` - `allocation.mixture`: regimes fitted to one number a period, the book's own return, because a mixture
  in twenty dimensions is over-fitted; 5,000 seeded paths from the present regime; the sampling error beside it.

Sources: J.P. Morgan, RiskMetrics Technical Document, 1996 (parametric); Maillard, "A User's Guide to the Cornish Fisher
Expansion", 2012; Woodruff, "Confidence Intervals for Medians and Other Position Measures", Journal of the American
Statistical Association 47, 1952 (error of a quantile); Manistre and Hancock, "Variance of the CTE Estimator", North
American Actuarial Journal 9(2), 2005 (error of a shortfall).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pas_dagster.allocation.estimators import FloatArray
from pas_dagster.allocation.mixture import STILL, fit_regimes, simulate
from pas_dagster.analytics.statistics import conditional_value_at_risk, value_at_risk

PATHS = 5_000
SEED = 20240105
Status = Literal["ok", "insufficient", "failed"]

_NORMAL = NormalDist()


class ValueAtRisk(NamedTuple):
    """What one period, or `horizon` periods, may lose. Every number is None unless `status` is `ok`.

    Attributes:
        method: `historical`, `gaussian`, `cornish-fisher` or `monte carlo`.
        level: share of periods that should lose less, such as 0.95.
        horizon: periods of the returns.
        status: `ok`; `insufficient` data; `failed`, an answer that cannot be believed.
        reason: one sentence, empty when ok.
        observations: periods (overlapping horizons for `historical`) that the answer rests on.
        value_at_risk, conditional: returns, a loss is negative.
        value_at_risk_usd, conditional_usd: the same times the net asset value.
        error, conditional_error: standard errors of the two from simulating a finite number of paths, Monte Carlo only.
            They say nothing of whether the model is right.
    """

    method: str
    level: float
    horizon: int
    status: Status
    reason: str
    observations: int
    value_at_risk: float | None = None
    conditional: float | None = None
    value_at_risk_usd: float | None = None
    conditional_usd: float | None = None
    error: float | None = None
    conditional_error: float | None = None

    def __str__(self) -> str:
        """One line for a person."""
        head = f"{self.method} {self.level:.0%} over {self.horizon}"
        if self.value_at_risk is None or self.conditional is None:
            return f"{head}: {self.status}, {self.reason}"
        parts = []
        for name, value, error in (
            ("VaR", self.value_at_risk, self.error),
            ("CVaR", self.conditional, self.conditional_error),
        ):
            parts.append(f"{name} {value:.2%}" + (f" ± {error:.2%}" if error is not None else ""))
        return f"{head}: {', '.join(parts)}"


class _Problem(NamedTuple):
    """A checked question."""

    method: str
    x: FloatArray  # (T, n) complete periods of what is held
    whole: FloatArray  # (T', n) the same with the incomplete ones as NaN, in their place
    weights: FloatArray  # (n,), none of them 0
    level: float
    horizon: int
    nav: float

    def answer(self, tail: float, shortfall: float, observations: int, errors: Sequence[float | None]) -> ValueAtRisk:
        if not (math.isfinite(tail) and math.isfinite(shortfall)):
            return self.nothing("failed", "the numbers overflow")
        dollars = tail * self.nav, shortfall * self.nav
        head = (self.method, self.level, self.horizon, "ok", "", observations)
        return ValueAtRisk(*head, tail, shortfall, *dollars, *errors)

    def nothing(self, status: Status, reason: str) -> ValueAtRisk:
        return ValueAtRisk(self.method, self.level, self.horizon, status, reason, len(self.x))


def historical(
    returns: npt.ArrayLike, weights: npt.ArrayLike, nav: float, *, level: float = 0.95, horizon: int = 1
) -> ValueAtRisk:
    """The quantile of what today's book would have earned over every horizon of the past.

    Args:
        returns: (T, n) simple returns per period of what is held, oldest first, NaN where there is none.
        weights: (n,) fractions of the net asset value, negative when short.
        nav: net asset value, USD.
        level: in (0.5, 1).
        horizon: periods.

    Raises:
        ValueError: shapes that differ, an infinite return, a return below -1, a weight that is not finite, a level,
            horizon or nav out of range.

    >>> x = np.linspace(-0.10, 0.10, 41)[:, None]
    >>> str(historical(x, [0.5], 1_000_000))
    'historical 95% over 1: VaR -4.50%, CVaR -4.75%'
    """
    problem = _problem("historical", returns, weights, nav, level, horizon)
    book = _held(problem.whole, horizon) @ problem.weights
    book = book[~np.isnan(book)]
    if missing := _too_few(problem, (len(book) + horizon - 1) // horizon):
        return missing
    return problem.answer(*_tail(book, level), len(book), (None, None))


def parametric(
    returns: npt.ArrayLike,
    weights: npt.ArrayLike,
    nav: float,
    *,
    level: float = 0.95,
    horizon: int = 1,
    cornish_fisher: bool = False,
) -> ValueAtRisk:
    """Gaussian value at risk, or corrected for skewness and kurtosis (Cornish and Fisher).

    The correction is refused (`failed`) where its quantiles are not in order somewhere in the tail: there it is not a
    distribution (Maillard 2012). Arguments and errors are those of `historical`.

    >>> x = np.array([-0.01, 0.01] * 20)[:, None] / np.sqrt(40 / 39)  # mean 0, standard deviation 1 %
    >>> found = parametric(x, [1.0], 1_000_000)
    >>> round(found.value_at_risk_usd, 2), round(found.conditional_usd, 2)
    (-16448.54, -20627.13)
    """
    method = "cornish-fisher" if cornish_fisher else "gaussian"
    problem = _problem(method, returns, weights, nav, level, horizon)
    if missing := _too_few(problem, len(problem.x)):
        return missing
    book = problem.x @ problem.weights
    mean, sigma = float(book.mean()), float(book.std(ddof=1))
    quantile, shortfall = gaussian_tail(level)
    if cornish_fisher:
        if not sigma > STILL * float(np.abs(problem.weights).sum()):
            return problem.nothing("failed", "the book does not move, it has no skewness")
        z = (book - book.mean()) / book.std()
        skew, excess = float((z**3).mean()) / math.sqrt(horizon), (float((z**4).mean()) - 3.0) / horizon
        if not _in_order(quantile, skew, excess):
            why = f"skewness {skew:.2f} and excess kurtosis {excess:.2f} are beyond the expansion"
            return problem.nothing("failed", why)
        quantile, shortfall = _cornish_fisher(quantile, 1.0 - level, skew, excess)
    drift, scale = mean * horizon, sigma * math.sqrt(horizon)
    return problem.answer(drift + scale * quantile, drift + scale * shortfall, len(book), (None, None))


def monte_carlo(
    returns: npt.ArrayLike,
    weights: npt.ArrayLike,
    nav: float,
    *,
    level: float = 0.95,
    horizon: int = 1,
    paths: int = PATHS,
    regimes: int = 2,
    seed: int = SEED,
) -> ValueAtRisk:
    """Tail of simulated paths from the regimes of the book's own return, with the error of the simulation.

    The names are simulated in the order of their own risk, so that the answer does not depend on the order in which
    they are handed in; a name that never moves is a constant. The same seed gives the same bits. The errors are those
    of independent paths; antithetic, matched paths have about as much or less. Other arguments and errors are those of
    `historical`.

    >>> rng = np.random.default_rng(3)
    >>> x = rng.normal(0.0, 0.01, (250, 4))
    >>> str(monte_carlo(x, [0.25] * 4, 1_000_000))
    'monte carlo 95% over 1: VaR -0.79% ± 0.01%, CVaR -1.00% ± 0.02%'
    """
    problem = _problem("monte carlo", returns, weights, nav, level, horizon)
    if missing := _too_few(problem, len(problem.x)):
        return missing
    sigma = problem.x.std(axis=0)
    moves = sigma > STILL
    still = ((1.0 + problem.x[:, ~moves].mean(axis=0)) ** horizon - 1.0) @ problem.weights[~moves]
    order = np.flatnonzero(moves)[np.argsort(-(problem.weights * sigma)[moves], kind="stable")]
    x, held = problem.x[:, order], problem.weights[order]
    try:
        # In units of gross: the fit asks whether the feature moves, which must not depend on how much is invested.
        fitted = fit_regimes(x, x @ held / max(float(np.abs(held).sum()), STILL), regimes)
        book = simulate(fitted, horizon, paths, seed) @ held + float(still)
    except ValueError as error:
        return problem.nothing("failed", str(error))
    if not np.isfinite(book).all():
        return problem.nothing("failed", "the numbers overflow")
    return problem.answer(*_tail(book, level), len(x), _errors(book, level))


def gaussian_tail(level: float) -> tuple[float, float]:
    """Value at risk and expected shortfall of a standard normal variable, both negative.

    >>> [round(value, 6) for value in gaussian_tail(0.95)]
    [-1.644854, -2.062713]
    """
    quantile = _NORMAL.inv_cdf(1.0 - level)
    return quantile, -_NORMAL.pdf(quantile) / (1.0 - level)


def _problem(
    method: str, returns: npt.ArrayLike, weights: npt.ArrayLike, nav: float, level: float, horizon: int
) -> _Problem:
    table, held = np.asarray(returns, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if table.ndim != 2 or held.shape != table.shape[1:]:
        raise ValueError(
            f"returns of shape (T, n) and weights of shape (n,) are needed, not {table.shape}, {held.shape}"
        )
    if not np.isfinite(held).all():
        raise ValueError("a weight is not finite")
    if np.isinf(table).any() or (table < -1.0).any():
        raise ValueError("a return is infinite or below -1")
    if not 0.5 < level < 1.0:
        raise ValueError(f"level must be between 0.5 and 1, not {level}")
    if isinstance(horizon, bool) or not isinstance(horizon, int) or horizon < 1:
        raise ValueError(f"horizon must be a whole number of periods, not {horizon}")
    if not 0.0 <= nav < math.inf:
        raise ValueError(f"nav must be a finite number of dollars of at least 0, not {nav}")
    keep = held != 0.0
    held, table = held[keep], table[:, keep]
    complete = np.isfinite(table.sum(axis=1))  # no NaN in the row
    return _Problem(method, table[complete], np.where(complete[:, None], table, np.nan), held, level, horizon, nav)


def _too_few(problem: _Problem, separate: int) -> ValueAtRisk | None:
    """Why there is no answer: nothing held, or no tail to look at."""
    if not problem.weights.size:
        return problem.nothing("insufficient", "nothing is held")
    needed = math.ceil(1.0 / (1.0 - problem.level) - 1e-9)
    if separate >= needed:
        return None
    what = "periods" if problem.method != "historical" or problem.horizon == 1 else "separate horizons"
    why = f"a tail of {1.0 - problem.level:.3g} needs {needed} {what}, there are {separate}"
    return problem.nothing("insufficient", f"{why} in which everything held has returns")


def _held(x: FloatArray, horizon: int) -> FloatArray:
    """Compounded returns (T - horizon + 1, n) of every run of `horizon` periods; NaN where one of them is."""
    if horizon == 1 or len(x) < horizon:
        return x if horizon == 1 else x[:0]
    return np.lib.stride_tricks.sliding_window_view(1.0 + x, horizon, axis=0).prod(axis=-1) - 1.0


def _tail(book: FloatArray, level: float) -> tuple[float, float]:
    return float(value_at_risk(book, level=level)), float(conditional_value_at_risk(book, level=level))


def _errors(book: FloatArray, level: float) -> tuple[float, float]:
    """Standard errors of the quantile and of the mean below it, over simulated returns (paths,)."""
    n, p = len(book), 1.0 - level
    ordered = np.sort(book)
    spread = 1.96 * math.sqrt(n * p * level)
    low, high = max(0, math.floor(n * p - spread)), min(n - 1, math.ceil(n * p + spread))
    tail = ordered[: max(1, math.ceil(n * p - 1e-9))]
    between = level * float(tail.mean() - tail[-1]) ** 2
    return float(ordered[high] - ordered[low]) / 3.92, math.sqrt((float(tail.var()) + between) / len(tail))


def _cornish_fisher(z: float, p: float, skew: float, excess: float) -> tuple[float, float]:
    """Quantile of the expansion at the normal quantile z, and its mean over the tail of probability p below it.

    The tail's mean is exact: moments of a normal variable below z are -φ, pz⁰ - zφ and -φ(z² + 2).
    """
    density = _NORMAL.pdf(z)
    first, second, third = -density / p, 1.0 - z * density / p, -density * (z * z + 2.0) / p

    def expansion(z1: float, z2: float, z3: float) -> float:
        return z1 + (z2 - 1.0) * skew / 6.0 + (z3 - 3.0 * z1) * excess / 24.0 - (2.0 * z3 - 5.0 * z1) * skew**2 / 36.0

    return expansion(z, z * z, z**3), expansion(first, second, third)


def _in_order(z: float, skew: float, excess: float) -> bool:
    """Whether the expansion's quantiles rise everywhere at and below the normal quantile z < 0."""
    a, b, c = excess / 8.0 - skew**2 / 6.0, skew / 3.0, 1.0 - excess / 8.0 + 5.0 * skew**2 / 36.0
    if a < 0.0 or (a == 0.0 and b > 0.0):
        return False
    lowest = min(z, -b / (2.0 * a)) if a > 0.0 else z
    return a * lowest**2 + b * lowest + c > 0.0
