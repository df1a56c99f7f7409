"""Regimes: a second fit written plainly, closed forms for the simulated moments, and what the seed fixes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf

from pas_dagster.allocation.mixture import PRIOR_WEEKS, Regimes, fit_regimes, simulate


def world(seed: int, weeks: int = 150, n: int = 4):
    """Weekly returns of n assets with a common factor, calm and violent in turn, and the factor."""
    rng = np.random.default_rng(seed)
    violent = np.sin(np.arange(weeks) / 8) > 0.6
    factor = rng.normal(0.002, np.where(violent, 0.04, 0.01))
    x = factor[:, None] * rng.uniform(0.2, 1.2, n) + rng.normal(0.0, 0.005, (weeks, n))
    return x, x.mean(axis=1)


def two_regimes(n: int = 3) -> Regimes:
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=(2, n, 3 * n))
    return Regimes(
        np.array([0.7, 0.3]),
        np.array([np.full(n, 0.004), np.linspace(-0.01, 0.002, n)]),
        np.array([a @ a.T * 1e-5, b @ b.T * 1e-4]),
        np.array([[0.9, 0.1], [0.25, 0.75]]),
        np.array([0.2, 0.8]),
    )


def plain_fit(values: list[float], count: int) -> list[list[float]]:
    """Posterior probabilities by expectation maximisation, one number at a time."""
    centre = sum(values) / len(values)
    size = math.sqrt(sum((v - centre) ** 2 for v in values) / len(values))
    z = [(v - centre) / size for v in values]
    ranked = sorted(z, key=abs)
    least, extra = divmod(len(z), count)
    parameters, at = [], 0
    for k in range(count):
        block = ranked[at : at + least + (k < extra)]
        at += len(block)
        mean = sum(block) / len(block)
        parameters.append((len(block) / len(z), mean, max(sum((v - mean) ** 2 for v in block) / len(block), 1e-3)))

    def expect() -> tuple[list[list[float]], float]:
        rows, total = [], 0.0
        for v in z:
            heights = [w / math.sqrt(2 * math.pi * s) * math.exp(-((v - m) ** 2) / 2 / s) for w, m, s in parameters]
            rows.append([height / sum(heights) for height in heights])
            total += math.log(sum(heights))
        return rows, total / len(z)

    before = -math.inf
    while True:
        rows, likelihood = expect()
        for k in range(count):
            weight = sum(row[k] for row in rows)
            mean = sum(row[k] * v for row, v in zip(rows, z, strict=True)) / weight
            spread = sum(row[k] * (v - mean) ** 2 for row, v in zip(rows, z, strict=True)) / weight
            parameters[k] = (weight / len(z), mean, spread + 1e-6)
        if abs(likelihood - before) < 1e-3:
            break
        before = likelihood
    rows, _ = expect()
    order = sorted(range(count), key=lambda k: (parameters[k][2], parameters[k][1]))
    return [[row[k] for k in order] for row in rows]


def closed_form(r: Regimes, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact mean and covariance of the returns over the horizon: a product of matrices per pair of assets."""
    n = r.means.shape[1]

    def expectation(per_regime: np.ndarray) -> float:
        state = r.current
        for _ in range(horizon):
            state = (state @ r.transition) * per_regime
        return float(state.sum())

    growth = 1.0 + r.means
    mean = np.array([expectation(growth[:, i]) for i in range(n)])
    second = [[expectation(growth[:, i] * growth[:, j] + r.covs[:, i, j]) for j in range(n)] for i in range(n)]
    return mean - 1.0, np.array(second) - np.outer(mean, mean)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 3]))
def test_the_fit_is_expectation_maximisation_one_number_at_a_time(seed: int, count: int) -> None:
    x, feature = world(seed)
    posterior = np.array(plain_fit(feature.tolist(), count))
    found = fit_regimes(x, feature, count)
    np.testing.assert_allclose(found.shares, posterior.mean(axis=0), atol=1e-8)
    np.testing.assert_allclose(found.current, posterior[-1], atol=1e-8)
    sigma = x.std(axis=0)
    pooled = ledoit_wolf((x - x.mean(axis=0)) / sigma)[0] * np.outer(sigma, sigma)
    for k in range(count):
        p = posterior[:, k]
        m = np.average(x, axis=0, weights=p)
        gap = np.outer(m - x.mean(axis=0), m - x.mean(axis=0))
        own = np.cov(x.T, aweights=p, ddof=0) + gap * PRIOR_WEEKS / (p.sum() + PRIOR_WEEKS)
        both = [p.sum(), PRIOR_WEEKS]
        np.testing.assert_allclose(found.means[k], np.average([m, x.mean(axis=0)], axis=0, weights=both), atol=1e-10)
        np.testing.assert_allclose(found.covs[k], np.average([own, pooled], axis=0, weights=both), atol=1e-10)
        moves = [
            sum(posterior[t, k] * posterior[t + 1, j] for t in range(len(x) - 1)) + posterior[:, j].mean()
            for j in range(count)
        ]
        np.testing.assert_allclose(found.transition[k], np.array(moves) / sum(moves), atol=1e-10)


def test_calm_comes_first_and_the_chain_knows_that_storms_last():
    x, feature = world(3, 400)
    found = fit_regimes(x, feature)
    assert np.trace(found.covs[0]) < np.trace(found.covs[1])
    assert found.transition[1, 1] > found.shares[1] + 0.1
    np.testing.assert_allclose(found.transition.sum(axis=1), 1.0, atol=1e-12)
    calm, stormy = (found._replace(current=np.array(current)) for current in ([1.0, 0.0], [0.0, 1.0]))
    assert np.trace(closed_form(stormy, 4)[1]) > 1.05 * np.trace(closed_form(calm, 4)[1])


def test_one_regime_has_the_moments_of_the_sample():
    x, feature = world(4)
    found = fit_regimes(x, feature, 1)
    np.testing.assert_allclose(found.means[0], x.mean(axis=0), atol=1e-12)
    assert (found.transition == 1.0).all() and (found.current == 1.0).all()


def test_a_permutation_of_the_assets_and_their_scale_carry_through():
    x, feature = world(5)
    found = fit_regimes(x, feature)
    turned = fit_regimes(x[:, ::-1] * np.array([1.0, 2.0, 3.0, 4.0]), 7.0 * feature)
    scale = np.array([4.0, 3.0, 2.0, 1.0])
    np.testing.assert_allclose(turned.means[:, ::-1], found.means * scale, atol=1e-10)
    np.testing.assert_allclose(turned.covs[:, ::-1, ::-1], found.covs * np.outer(scale, scale), atol=1e-10)


@pytest.mark.parametrize("horizon", [1, 4, 13])
def test_simulated_moments_are_the_closed_form_to_two_per_cent_of_a_volatility(horizon: int) -> None:
    regimes = two_regimes()
    mean, cov = closed_form(regimes, horizon)
    sigma = np.sqrt(cov.diagonal())
    for seed in range(5):
        paths = simulate(regimes, horizon, 5_000, seed)
        assert paths.shape == (5_000, 3)
        assert np.abs((paths.mean(axis=0) - mean) / sigma).max() < 0.02
        assert np.abs((np.cov(paths.T, ddof=0) - cov) / np.outer(sigma, sigma)).max() < 0.06


def test_many_independent_paths_agree_with_the_closed_form() -> None:
    """Brute force with another generator, no pairs and no matching; 400,000 paths leave 0.2 % of a volatility."""
    regimes, horizon, count = two_regimes(2), 4, 400_000
    rng = np.random.default_rng(77)
    state = rng.choice(2, count, p=regimes.current)
    value = np.ones((count, 2))
    for _ in range(horizon):
        state = np.where(rng.random(count) < regimes.transition[state, 0], 0, 1)
        draws = [rng.multivariate_normal(regimes.means[k], regimes.covs[k], count) for k in range(2)]
        value *= 1.0 + np.where((state == 0)[:, None], draws[0], draws[1])
    mean, cov = closed_form(regimes, horizon)
    sigma = np.sqrt(cov.diagonal())
    assert np.abs((value.mean(axis=0) - 1.0 - mean) / sigma).max() < 0.008
    assert np.abs((np.cov(value.T, ddof=0) - cov) / np.outer(sigma, sigma)).max() < 0.02


def test_the_same_seed_gives_the_same_bits_and_another_gives_others() -> None:
    regimes = two_regimes()
    first = simulate(regimes, 4, 1_000, 1)
    assert first.tobytes() == simulate(regimes, 4, 1_000, 1).tobytes()
    assert first.tobytes() != simulate(regimes, 4, 1_000, 2).tobytes()
    assert simulate(regimes, 4, 1_001, 1).shape == (1_002, 3)


def test_what_cannot_be_fitted_or_simulated_is_named() -> None:
    x, feature = world(6)
    with pytest.raises(ValueError, match="2 regimes need 20 periods, there are 19"):
        fit_regimes(x[:19], feature[:19])
    with pytest.raises(ValueError, match="does not move"):
        fit_regimes(x, np.ones(len(x)))
    with pytest.raises(ValueError, match="does not move"):
        fit_regimes(x * [0.0, 1.0, 1.0, 1.0], feature)
    with pytest.raises(ValueError, match="13 periods of 3 assets need 78 paths or more, not 70"):
        simulate(two_regimes(), 13, 70, 1)
