"""Regimes of returns from a Gaussian mixture, and paths simulated from them.

A mixture in as many dimensions as there are assets has more parameters than a few years have weeks: with twenty assets
and one year its BIC is worse than that of a single Gaussian. So the regimes come from a mixture fitted to **one**
number a week, and the assets' moments are conditional on them: weighted by each week's posterior probabilities and
drawn towards the moments of all weeks by a prior that is worth `PRIOR_WEEKS`.

Independent draws from a mixture have the mean and covariance of one Gaussian with the mixture's own moments, whatever
the horizon; simulating them would only add noise. What makes regimes matter is that they last. A path therefore begins
in the regimes of the last week and moves by a Markov chain, whose transitions are counted with the posteriors. A
posterior is less certain than the state it is about, so this understates how long regimes last: the answer lies between
that of one Gaussian and that of a hidden Markov model.

5,000 paths of 4 weeks of 15 funds miss the exact mean by at most 1.6 basis points, a volatility by 1.3 % and a
correlation by 0.008 (11 fits on the sandbox); without matched moments the last two were 3.8 % and 0.038.

Sources: Hamilton (1989), A new approach to the economic analysis of nonstationary time series, Econometrica 57(2);
Fraley and Raftery (2007), Bayesian regularization for normal mixture estimation, Journal of Classification 24;
scikit-learn's GaussianMixture (expectation maximisation).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pas_dagster.allocation.estimators import FloatArray, ledoit_wolf, sample_mean

PRIOR_WEEKS = 26.0  # observations that the moments of all weeks count for in the moments of a regime
STILL = 1e-9  # a standard deviation below this is rounding: the number does not move
_TOLERANCE = 1e-3  # gain in mean log-likelihood per step below which the fit stands
_MAX_STEPS = 1_000


class Regimes(NamedTuple):
    """A Markov chain of K Gaussian regimes of n assets, the calmest first. Numbers are per period of the returns.

    Attributes:
        shares: (K,), share of the periods in each, sum 1.
        means: (K, n).
        covs: (K, n, n), positive definite.
        transition: (K, K), from the row's regime to the column's in one period, rows sum to 1.
        current: (K,), probabilities in the last period, sum 1.
    """

    shares: FloatArray
    means: FloatArray
    covs: FloatArray
    transition: FloatArray
    current: FloatArray


def fit_regimes(returns: FloatArray, feature: FloatArray, count: int = 2) -> Regimes:
    """Regimes of `feature`, and the moments of `returns` in them.

    The feature is standardised first, because the fit floors variances at 1e-6. Expectation maximisation begins with
    the periods divided by the size of the feature's deviation, quiet to violent, so there is nothing random in it.
    Regimes are ordered by the variance of the feature, ties by its mean.

    Args:
        returns: (periods, n), finite, simple, oldest first; every column moves.
        feature: (periods,), finite.
        count: number of regimes, K.

    Raises:
        ValueError: there are fewer than 10 periods a regime, the feature or a column does not move, or the fit does
            not converge.

    >>> rng = np.random.default_rng(5)
    >>> size = np.repeat([0.01, 0.04, 0.01], [60, 20, 40])
    >>> x = rng.normal(0.001, 1.0, (120, 2)) * size[:, None]
    >>> found = fit_regimes(x, x.mean(axis=1))
    >>> np.sqrt(found.covs[:, 0, 0]).round(2).tolist(), bool(found.current[0] > 0.5)
    ([0.01, 0.02], True)
    """
    periods = len(feature)
    if periods < 10 * count:
        raise ValueError(f"{count} regimes need {10 * count} periods, there are {periods}")
    sigma = returns.std(axis=0)
    if not (feature.std() > STILL and sigma.min() > STILL):
        raise ValueError("the feature or an asset does not move")
    posterior = _posterior((feature - feature.mean()) / feature.std(), count)
    # In units of each asset's volatility, since shrinking towards equal variances is right for equal variances only.
    means, covs = _conditional((returns - sample_mean(returns)) / sigma, posterior)
    return Regimes(
        posterior.sum(axis=0) / periods,
        sample_mean(returns) + means * sigma,
        covs * np.outer(sigma, sigma),
        _transition(posterior),
        posterior[-1],
    )


def simulate(regimes: Regimes, horizon: int, paths: int, seed: int) -> FloatArray:
    """Simple returns over `horizon` periods on simulated paths, (paths, n); an odd number of paths is rounded up.

    Each period draws the regime from the last one's, then a Gaussian return; returns compound. Paths come in pairs with
    the same regimes and opposite shocks (antithetic), and shocks are made uncorrelated with unit variance over the
    pairs (moment matching), so that most of what is left of the sampling error is that of the regimes. The random
    numbers depend on the arguments' shape and the seed only: two decisions differ by their data, not by luck.

    Raises:
        ValueError: fewer pairs of paths than `horizon` times n shocks, which cannot be uncorrelated.

    >>> one = np.array([[1.0]])
    >>> certain = Regimes(one[0], np.array([[0.01, 0.02]]), np.eye(2)[None] * 1e-8, one, one[0])
    >>> simulate(certain, 2, 1000, 7).mean(axis=0).round(4).tolist()
    [0.0201, 0.0404]
    """
    pairs, n = (paths + 1) // 2, regimes.means.shape[1]
    if pairs < horizon * n:
        raise ValueError(f"{horizon} periods of {n} assets need {2 * horizon * n} paths or more, not {paths}")
    uniform, normal = _draws(pairs, horizon, n, seed)
    growth = np.ones((2, pairs, n))
    roots = np.linalg.cholesky(regimes.covs).swapaxes(1, 2)
    upto, every = np.cumsum(regimes.transition, axis=1), np.arange(pairs)
    state = _draw(uniform[:, 0], np.cumsum(regimes.current)[None])
    for period in range(horizon):
        state = _draw(uniform[:, period + 1], upto[state])
        shock = (normal[period] @ roots)[state, every]
        drift = 1.0 + regimes.means[state]
        growth[0] *= drift + shock
        growth[1] *= drift - shock
    return growth.reshape(2 * pairs, n) - 1.0


def _posterior(feature: FloatArray, count: int) -> FloatArray:
    """Probability of each regime in each period, (periods, count), calmest first."""
    from sklearn.mixture import GaussianMixture  # slow to import

    blocks = np.array_split(feature[np.argsort(np.abs(feature), kind="stable")], count)
    model = GaussianMixture(
        count,
        covariance_type="diag",  # the same as a full one for one feature, and twice as fast
        tol=_TOLERANCE,
        max_iter=_MAX_STEPS,
        random_state=0,
        weights_init=np.array([block.size for block in blocks]) / feature.size,
        means_init=np.array([[block.mean()] for block in blocks]),
        precisions_init=np.array([[1.0 / max(float(block.var()), 1e-3)] for block in blocks]),
    ).fit(feature[:, None])
    if not model.converged_:
        raise ValueError(f"the mixture did not converge in {_MAX_STEPS} steps")
    order = np.lexsort((model.means_[:, 0], model.covariances_[:, 0]))
    return np.asarray(model.predict_proba(feature[:, None])[:, order], np.float64)


def _conditional(x: FloatArray, posterior: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean (K, n) and covariance (K, n, n) in each regime of returns whose overall mean is 0.

    The posterior mode under a normal-inverse-Wishart prior at the overall moments (covariance of Ledoit and Wolf).
    """
    pooled, _ = ledoit_wolf(x)
    weeks = posterior.sum(axis=0)
    raw = posterior.T @ x / np.maximum(weeks, STILL)[:, None]
    kept = (weeks / (weeks + PRIOR_WEEKS))[:, None, None]
    apart = x[None] - raw[:, None]
    within = np.einsum("tk,kti,ktj->kij", posterior, apart, apart, optimize=True)
    within /= np.maximum(weeks, STILL)[:, None, None]
    # What is taken off the distance of the means goes into the covariance: nothing of the variance is lost.
    between = raw[:, :, None] * raw[:, None, :] * (1.0 - kept)
    return raw * kept[:, 0], kept * (within + between) + (1.0 - kept) * pooled


def _transition(posterior: FloatArray) -> FloatArray:
    """Expected moves from each regime to each, and one more period's worth at the overall shares; rows sum to 1."""
    moves = posterior[:-1].T @ posterior[1:] + posterior.mean(axis=0)
    return moves / moves.sum(axis=1, keepdims=True)


def _draw(uniform: FloatArray, cumulative: FloatArray) -> NDArray[np.intp]:
    """The regime of each path (paths,) by its uniform number and the cumulative probabilities (paths or 1, K)."""
    return (uniform[:, None] >= cumulative[:, :-1]).sum(axis=1)


@lru_cache(maxsize=4)
def _draws(pairs: int, horizon: int, n: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Uniform (pairs, horizon + 1) and standard normal (horizon, pairs, n) numbers, read-only because they are kept."""
    rng = np.random.default_rng(seed)
    uniform = rng.random((pairs, horizon + 1))
    orthonormal, _ = np.linalg.qr(rng.standard_normal((pairs, horizon * n)))
    normal = np.ascontiguousarray((orthonormal * np.sqrt(pairs)).reshape(pairs, horizon, n).swapaxes(0, 1))
    uniform.flags.writeable = normal.flags.writeable = False
    return uniform, normal
