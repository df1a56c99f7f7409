"""Factor betas of books: least squares with Newey-West errors, rolling betas, and what the betas let one expect.

The model is that of Fama and French: a book's return in excess of cash is alpha, plus its betas times the factors'
returns, plus noise. The factors are whatever is given: the market in excess of cash, size and value; profitability and
investment; momentum. Returns are simple and per period, as decimals; `periods` is the number of periods in a year.

* **NaN is no observation.** A period in which a factor is missing is no observation for any book, one in which a book
  has no return is none for that book. What is left is taken as consecutive, as statsmodels does with `missing="drop"`.
* **A fit that cannot be used says why** (`reasons`), and its numbers are NaN: fewer than twice as many observations as
  coefficients, factors that are collinear, a book whose returns are constant, a book that is the factors exactly (its
  noise is rounding, so there is no error to tell).

Errors are heteroskedasticity- and autocorrelation-consistent: (X'X)^-1 S (X'X)^-1, S the sum of the scores' products at
lags 0 to L, both ways, with Bartlett weights 1 - l / (L + 1), and L = floor(4 (T / 100)^(2/9)). The default has no
correction for small samples and p-values of the normal distribution; with `small_sample`, the matrix is multiplied by
T / (T - p) and the p-values are Student's with T - p degrees of freedom.

Sources: Fama and French, "Common Risk Factors in the Returns on Stocks and Bonds", Journal of Financial Economics
33(1), 1993, and "A Five-Factor Asset Pricing Model", ibid. 116(1), 2015; Carhart, "On Persistence in Mutual Fund
Performance", Journal of Finance 52(1), 1997; Newey and West, "A Simple, Positive Semi-Definite, Heteroskedasticity and
Autocorrelation Consistent Covariance Matrix", Econometrica 55(3), 1987, and "Automatic Lag Selection in Covariance
Matrix Estimation", Review of Economic Studies 61(4), 1994 (the lag).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

TOO_SHORT = "there are fewer than twice as many observations as coefficients"
COLLINEAR = "the factors are collinear over the book's observations"
CONSTANT = "the book's returns are constant"
EXACT = "the factors are the book exactly, up to rounding"

_RANK = 1e-10  # smallest singular value of the standardised factors that is not collinearity, as a share of the largest
_NOISE = 1e-12  # spread below this share of the largest number is rounding
_BLOCK = 1 << 21  # numbers of windows worked on at once


class FactorFit(NamedTuple):
    """One regression for each of K books on F factors; p = 1 + F coefficients, alpha first.

    Attributes:
        factors: their names.
        coefficients: (K, p) alpha per period, then the betas.
        errors: (K, p) Newey-West standard errors.
        t: (K, p) coefficients / errors.
        p: (K, p) two-sided probability of so large a t when the coefficient is 0.
        r2: (K,) share of the variance explained.
        alpha: (K,) a year, arithmetic: the first coefficient times the periods in a year.
        residual: (K,) standard deviation of the noise a year, with T - p degrees of freedom.
        observations: (K,) T.
        lags: (K,) L of the errors.
        reasons: K sentences, empty where the fit is usable; where not, every number of the book is NaN.
    """

    factors: tuple[str, ...]
    coefficients: FloatArray
    errors: FloatArray
    t: FloatArray
    p: FloatArray
    r2: FloatArray
    alpha: FloatArray
    residual: FloatArray
    observations: IntArray
    lags: IntArray
    reasons: tuple[str, ...]

    @property
    def betas(self) -> FloatArray:
        """(K, F)."""
        return self.coefficients[:, 1:]


class Premia(NamedTuple):
    """Long-run mean returns of F factors, annual and arithmetic.

    Attributes:
        factors: their names.
        means: (F,) a year.
        errors: (F,) standard errors of the means, a year: std (ddof 1) * sqrt(periods / observations) * sqrt(periods).
        observations: of the window, all factors known.
    """

    factors: tuple[str, ...]
    means: FloatArray
    errors: FloatArray
    observations: int


def factor_fit(
    returns: FloatArray,
    factors: FloatArray,
    names: Sequence[str],
    *,
    periods: float,
    lags: int | None = None,
    small_sample: bool = False,
) -> FactorFit:
    """Regress K books on F factors.

    Args:
        returns: (T, K) in excess of cash, NaN where a book has none. Books that have the same periods share the work.
        factors: (T, F) factor returns (the market in excess of cash), NaN where not known.
        names: of the factors.
        periods: per year.
        lags: L, instead of that of the rule.
        small_sample: see the module.

    Raises:
        ValueError: shapes that do not fit, an infinite number, or negative lags.

    >>> market = np.array([0.01, -0.02, 0.03, 0.0, 0.01, -0.01])
    >>> book = 0.001 + 2 * market + np.array([1, -1, 1, -1, 1, -1]) * 1e-4
    >>> fit = factor_fit(book[:, None], market[:, None], ["market"], periods=12)
    >>> fit.reasons, fit.betas.round(1).tolist(), fit.alpha.round(3).tolist()
    (('',), [[2.0]], [0.012])
    """
    _check(returns, factors, names)
    if lags is not None and lags < 0:
        raise ValueError(f"lags must be 0 or more, not {lags}")
    books, p = returns.shape[1], factors.shape[1] + 1
    fit = _empty(tuple(names), books, p)
    reasons = [""] * books
    for rows, members in _groups(returns, factors):
        n = int(np.count_nonzero(rows))
        bandwidth = newey_west_lags(n) if lags is None else lags
        fit.observations[members], fit.lags[members] = n, bandwidth
        found = _least_squares(returns[np.ix_(rows, members)], factors[rows])
        for place, book in enumerate(members.tolist()):
            reasons[book] = found.reasons[place]
        good = members[[not reason for reason in found.reasons]]
        if len(good):
            _fill(fit, good, found, bandwidth, small_sample)
    usable = np.array([not reason for reason in reasons], dtype=bool)
    probabilities = np.full_like(fit.t, np.nan)
    probabilities[usable] = _two_sided(fit.t[usable], fit.observations[usable] - p if small_sample else None)
    return fit._replace(
        p=probabilities,
        alpha=fit.coefficients[:, 0] * periods,
        residual=fit.residual * math.sqrt(periods),
        reasons=tuple(reasons),
    )


def newey_west_lags(observations: int) -> int:
    """L = floor(4 (T / 100)^(2/9)).

    >>> newey_west_lags(100), newey_west_lags(2520)
    (4, 8)
    """
    return math.floor(4.0 * (observations / 100.0) ** (2.0 / 9.0))


def rolling_betas(returns: FloatArray, factors: FloatArray, *, window: int) -> FloatArray:
    """Coefficients of every trailing window: (T, K, 1 + F), alpha per period first.

    NaN until the window is full, and wherever a factor or the book is missing within it or the factors are collinear.
    Each window is centred on its own means, so nothing is carried from one to the next.

    Args:
        returns: (T, K) in excess of cash.
        factors: (T, F).
        window: periods, more than 1 + F.

    Raises:
        ValueError: shapes that do not fit, an infinite number, or a window that is too short.

    >>> market = np.array([[0.01], [-0.02], [0.03], [0.01]])
    >>> rolling_betas(2 * market + 0.001, market, window=3)[:, 0, 1].round(6).tolist()
    [nan, nan, 2.0, 2.0]
    """
    _check(returns, factors, [""] * factors.shape[1])
    (periods, books), p = returns.shape, factors.shape[1] + 1
    if window <= p:
        raise ValueError(f"a window of {window} periods cannot tell {p} coefficients")
    result = np.full((periods, books, p), np.nan)
    step = max(1, _BLOCK // (window * (books + p)))
    for first in range(0, periods - window + 1, step):
        last = min(first + step, periods - window + 1)
        rows = slice(first, last + window - 1)
        result[first + window - 1 : last + window - 1] = _windowed(returns[rows], factors[rows], window)
    return result


def factor_premia(
    factors: FloatArray, names: Sequence[str], *, periods: float, window: int | None = None
) -> Premia | None:
    """Long-run premia: means of the factors over the last `window` periods (all, when None), a year.

    Periods in which a factor is missing are left out of all. None with fewer than two left, or fewer than `window`.

    Raises:
        ValueError: shapes that do not fit, or an infinite number.

    >>> premia = factor_premia(np.array([[0.01], [0.03]]), ["market"], periods=12)
    >>> premia.means.round(6).tolist(), premia.errors.round(6).tolist(), premia.observations
    ([0.24], [0.12], 2)
    """
    _check(np.empty((len(factors), 0)), factors, names)
    known = factors[~np.isnan(factors).any(axis=1)]
    n = len(known) if window is None else window
    if n < 2 or n > len(known):
        return None
    known = known[-n:]
    return Premia(tuple(names), known.mean(axis=0) * periods, known.std(axis=0, ddof=1) * periods / math.sqrt(n), n)


def expected_returns(betas: FloatArray, premia: Premia, risk_free: float) -> FloatArray:
    """What the betas let one expect a year: risk_free + betas x premia, (K,). Alpha is not expected to persist.

    NaN for a book without betas.

    Args:
        betas: (K, F), in the order of the premia.
        premia: a year.
        risk_free: return of cash a year.

    Raises:
        ValueError: another number of factors.

    >>> premia = Premia(("market", "size"), np.array([0.06, 0.02]), np.array([0.02, 0.01]), 600)
    >>> expected_returns(np.array([[1.0, 0.5]]), premia, 0.03).round(6).tolist()
    [0.1]
    """
    if betas.ndim != 2 or betas.shape[1] != len(premia.means):
        raise ValueError(f"betas of shape {betas.shape} do not fit {len(premia.means)} premia")
    return risk_free + betas @ premia.means


# ---------------------------------------------------------------------------------------------- one sample


class _Fit(NamedTuple):
    """Least squares of G books on the same n rows."""

    design: FloatArray  # (n, p), a column of ones first
    inverse: FloatArray  # (p, p) of X'X
    coefficients: FloatArray  # (p, G)
    residuals: FloatArray  # (n, G)
    total: FloatArray  # (G,) sum of squares round the mean
    reasons: list[str]


def _check(returns: FloatArray, factors: FloatArray, names: Sequence[str]) -> None:
    if returns.ndim != 2 or factors.ndim != 2 or len(returns) != len(factors):
        raise ValueError(f"returns {returns.shape} and factors {factors.shape} must be (T, K) and (T, F)")
    if len(names) != factors.shape[1] or not names:
        raise ValueError(f"{len(names)} names for {factors.shape[1]} factors")
    if np.isinf(returns).any() or np.isinf(factors).any():
        raise ValueError("a return is infinite")


def _empty(names: tuple[str, ...], books: int, p: int) -> FactorFit:
    """Every number NaN."""
    table, row = np.full((4, books, p), np.nan), np.full((3, books), np.nan)
    return FactorFit(names, *table, *row, np.zeros(books, np.int64), np.zeros(books, np.int64), ())


def _groups(returns: FloatArray, factors: FloatArray) -> Iterator[tuple[BoolArray, IntArray]]:
    """Rows and the books that have exactly these observations."""
    known = ~np.isnan(returns) & ~np.any(np.isnan(factors), axis=1, keepdims=True)
    groups: dict[bytes, list[int]] = {}
    for book, rows in enumerate(known.T):
        groups.setdefault(rows.tobytes(), []).append(book)
    for members in groups.values():
        yield known[:, members[0]], np.array(members, dtype=np.int64)


def _least_squares(y: FloatArray, factors: FloatArray) -> _Fit:
    """By QR of the design, which keeps twice the digits of the normal equations."""
    n, p = len(y), factors.shape[1] + 1
    design = np.column_stack([np.ones(n), factors])
    fit = _Fit(design, np.empty((p, p)), np.empty((p, y.shape[1])), y, np.empty(y.shape[1]), [])
    if n < 2 * p:
        return fit._replace(reasons=[TOO_SHORT] * y.shape[1])
    if _collinear(factors):
        return fit._replace(reasons=[COLLINEAR] * y.shape[1])
    q, r = np.linalg.qr(design)
    root = np.linalg.inv(r)
    coefficients = root @ (q.T @ y)
    residuals = y - design @ coefficients
    total = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    largest = np.abs(y).max(axis=0)
    constant = np.sqrt(total / n) <= _NOISE * largest
    parts = np.maximum(largest, (np.abs(design).max(axis=0) @ np.abs(coefficients)))
    exact = np.sqrt((residuals**2).sum(axis=0) / n) <= _NOISE * parts
    reasons = [CONSTANT if c else EXACT if e else "" for c, e in zip(constant, exact, strict=True)]
    return _Fit(design, root @ root.T, coefficients, residuals, total, reasons)


def _collinear(factors: FloatArray) -> bool:
    centred = factors - factors.mean(axis=0)
    spread = np.sqrt((centred**2).mean(axis=0))
    if (spread <= _NOISE * np.abs(factors).max(axis=0)).any():
        return True
    singular = np.linalg.svd(centred / spread, compute_uv=False)
    return bool(singular[-1] <= _RANK * singular[0])


def _fill(fit: FactorFit, members: IntArray, found: _Fit, lags: int, small_sample: bool) -> None:
    """Put the usable books of one sample into the whole."""
    usable = [not reason for reason in found.reasons]
    residuals, coefficients = found.residuals[:, usable], found.coefficients[:, usable].T
    n, p = found.design.shape
    covariance = found.inverse @ _long_run(found.design, residuals, lags) @ found.inverse
    if small_sample:
        covariance *= n / (n - p)
    errors = np.sqrt(np.einsum("gii->gi", covariance))
    squares = (residuals**2).sum(axis=0)
    fit.coefficients[members], fit.errors[members], fit.t[members] = coefficients, errors, coefficients / errors
    fit.r2[members] = 1.0 - squares / found.total[usable]
    fit.residual[members] = np.sqrt(squares / (n - p))


def _long_run(design: FloatArray, residuals: FloatArray, lags: int) -> FloatArray:
    """(G, p, p) sum of the scores' products with Bartlett weights.

    The Bartlett weights are the overlaps of two boxes of length L + 1, so the sum is that of the squares of the scores'
    moving sums, over L + 1: one product instead of one for each lag, and never negative.
    """
    (n, p), books = design.shape, residuals.shape[1]
    columns = np.ascontiguousarray(design.T)
    total = np.empty((books, p, p))
    for book in range(books):  # one at a time stays in the processor's cache
        scores, sums = residuals[:, book] * columns, np.zeros((p, n + lags))
        for lag in range(lags + 1):
            sums[:, lag : lag + n] += scores
        total[book] = sums @ sums.T
    return total / (lags + 1.0)


def _two_sided(t: FloatArray, freedom: IntArray | None) -> FloatArray:
    """Probability of a larger |t|: of the normal distribution, or of Student's."""
    if freedom is None:
        return np.array([math.erfc(abs(one) / math.sqrt(2.0)) for one in t.ravel().tolist()]).reshape(t.shape)
    from scipy.special import stdtr  # only here, and no small import

    return 2.0 * stdtr(freedom[:, None].astype(np.float64), -np.abs(t))


# ------------------------------------------------------------------------------------------------- windows


def _windowed(returns: FloatArray, factors: FloatArray, window: int) -> FloatArray:
    """Coefficients of each of N windows: (N, K, 1 + F)."""
    x = np.lib.stride_tricks.sliding_window_view(factors, window, axis=0).copy()  # (N, F, window)
    y = np.lib.stride_tricks.sliding_window_view(returns, window, axis=0)  # (N, K, window)
    x_mean, y_mean = x.mean(axis=2), y.mean(axis=2)
    largest = np.abs(x).max(axis=2)
    x -= x_mean[:, :, None]
    spread = np.sqrt((x**2).mean(axis=2))
    usable = (spread > _NOISE * largest).all(axis=1)  # False for NaN
    x /= np.where(usable[:, None], spread, 1.0)[:, :, None]
    gram = np.where(usable[:, None, None], x @ x.transpose(0, 2, 1) / window, np.eye(x.shape[1]))
    usable &= np.linalg.eigvalsh(gram)[:, 0] > _RANK
    gram[~usable] = np.eye(x.shape[1])
    betas = np.linalg.solve(gram, x @ y.transpose(0, 2, 1) / window)  # (N, F, K)
    betas = betas / np.where(usable[:, None], spread, np.nan)[:, :, None]
    alpha = y_mean - (betas * x_mean[:, :, None]).sum(axis=1)
    return np.concatenate([alpha[:, :, None], betas.transpose(0, 2, 1)], axis=2)
