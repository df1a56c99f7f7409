"""Calm, or a crisis in which everything falls together: detected walk-forward, answered by going out of the market.

Two features of the returns of K sleeves (or sectors) over the last `window` periods: the mean pairwise **correlation**
and the **volatility** (the mean over the sleeves, in logarithms for the fit). Two Gaussians are fitted to them; the one
with the higher correlation and the higher volatility is the crisis.

* **Walk-forward.** The state of period t comes from a fit to the features up to t and nothing later. Labels of one fit
  to everything are not what one could have known: they differ in many weeks.
* **Ordered.** Components of a mixture have no order of their own; 0 is calm and 1 is the crisis. Two components always
  come out of a fit, also where there was never a crisis; windows that overlap make noise look like regimes. So they
  count as two only if the crisis is `more_correlation` more correlated and `more_volatility` times as volatile as the
  calm, and the two are `SEPARATION` standard deviations apart (Ashman's D). Otherwise there is one regime so far: calm.
* **One covariance for both** components, so that the probability rises with either feature. With two, the wider one
  takes the quietest weeks too.
* **Standardised** features, since the fit adds a floor to variances. A sleeve that does not move in the window, or
  lacks a return in it, has no correlation and is left out of that window.
* **Hysteretic.** A crisis begins when its probability reaches `enter`, ends at `leave`, and each stays for at least
  `stay` periods.
* **Unknown is said.** Fewer than two sleeves, or fewer than `history` windows, is the regime `unknown` with a reason
  and no numbers. A crisis that was on stays in force meanwhile, because losing sight of the market is no
  all-clear.

The fit is expectation maximisation from one deterministic start, the same steps as scikit-learn's GaussianMixture with
a tied covariance.

Sources: Ang and Chen, "Asymmetric correlations of equity portfolios", Journal of Financial Economics 63(3), 2002;
Ashman, Bird and Zepf, "Detecting bimodality in astronomical datasets", Astronomical Journal 108, 1994.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pas_dagster.allocation.estimators import WEEKS_PER_YEAR, FloatArray

SEPARATION = 2.0  # standard deviations between two regimes that are two
FLOOR = 1e-3  # added to each variance of the standardised features
STILL = 1e-9  # a standard deviation below this, per period, is rounding: the sleeve does not move

_TOLERANCE = 1e-3  # largest change of a posterior below which the fit stands
_MAX_STEPS = 200

Name = Literal["calm", "crisis", "unknown"]
_LABELS: dict[Name, int] = {"calm": 0, "crisis": 1, "unknown": -1}


@dataclass(frozen=True, slots=True)
class RegimePolicy:
    """How regimes are found and answered.

    Attributes:
        window: periods of each feature.
        history: features needed before the first fit.
        longest: features that a fit looks back on at most; None is all of them.
        enter, leave: probabilities of the crisis at which it begins and ends.
        stay: least periods between two changes.
        more_correlation: least difference of the regimes' mean correlations.
        more_volatility: least ratio of their volatilities.
        crisis_factor: share of the target that is kept in a crisis.
        periods: per year, to annualise the volatility.

    Raises:
        ValueError: a parameter is out of range; one sentence names it.

    >>> RegimePolicy(enter=0.3, leave=0.5)
    Traceback (most recent call last):
    ...
    ValueError: regimes need 0 < leave < enter < 1, not 0.5 and 0.3
    """

    window: int = 8
    history: int = 52
    longest: int | None = None
    enter: float = 0.8
    leave: float = 0.3
    stay: int = 4
    more_correlation: float = 0.10
    more_volatility: float = 1.25
    crisis_factor: float = 0.5
    periods: float = WEEKS_PER_YEAR

    def __post_init__(self) -> None:
        """Refuse a policy that has no meaning."""
        counts = {"window": (self.window, 4), "history": (self.history, 20), "stay": (self.stay, 1)}
        if self.longest is not None:
            counts["longest"] = (self.longest, self.history)
        for name, (value, least) in counts.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"regimes need a {name} of at least {least} whole periods, not {value!r}")
        if not 0.0 < self.leave < self.enter < 1.0:
            raise ValueError(f"regimes need 0 < leave < enter < 1, not {self.leave} and {self.enter}")
        if not (0.0 <= self.more_correlation < 2.0 and 1.0 <= self.more_volatility < math.inf):
            pair = f"{self.more_correlation} and {self.more_volatility}"
            raise ValueError(f"regimes need a more_correlation from 0 and a more_volatility from 1, not {pair}")
        if not 0.0 <= self.crisis_factor <= 1.0:
            raise ValueError(f"regimes need a crisis_factor between 0 and 1, not {self.crisis_factor}")
        if not 0.0 < self.periods < math.inf:
            raise ValueError(f"regimes need a positive number of periods a year, not {self.periods}")


class State(NamedTuple):
    """One period, known at its end. Numbers are None where they are not known.

    Attributes:
        regime: `calm`, `crisis` or `unknown`.
        label: 0, 1 or -1.
        probability: of the crisis, before hysteresis.
        correlation: mean pairwise correlation over the window.
        volatility: mean volatility of the sleeves over the window, annual.
        sleeves: how many the features are of.
        factor: what to multiply the target with: 1, or `crisis_factor` while a crisis is in force.
        reason: one sentence.
    """

    regime: Name
    label: int
    probability: float | None
    correlation: float | None
    volatility: float | None
    sleeves: int
    factor: float
    reason: str


class Features(NamedTuple):
    """Of T windows; NaN (and fewer than two sleeves) where there are none.

    Attributes:
        correlation: (T,) mean pairwise correlation.
        volatility: (T,) mean standard deviation (ddof 1) per period.
        sleeves: (T,) number of sleeves.
    """

    correlation: FloatArray
    volatility: FloatArray
    sleeves: npt.NDArray[np.int64]


class Fit(NamedTuple):
    """Two Gaussians of one covariance, calm first, in standardised units of (correlation, log volatility).

    Attributes:
        shares: (2,), sum 1.
        means: (2, 2), one row each.
        cov: (2, 2), with the floor.
        posterior: (T,) probability of the second in each period.
        gap: (2,) difference of the means in the features' own units.
        distinct: whether the second is more likely the higher either feature is, and `SEPARATION` away from the first.
    """

    shares: FloatArray
    means: FloatArray
    cov: FloatArray
    posterior: FloatArray
    gap: FloatArray
    distinct: bool


def walk_forward(returns: npt.ArrayLike, policy: RegimePolicy | None = None) -> tuple[State, ...]:
    """The state of every period, each from the past of that period only.

    Args:
        returns: (T, K) simple returns of sleeves, sectors or indices, oldest first, NaN where there is none.
        policy: how.

    Raises:
        ValueError: not a table, or an infinite return.

    >>> rng = np.random.default_rng(1)
    >>> crisis = np.repeat([0, 1, 0], [150, 60, 60])
    >>> common = rng.normal(0, 1, 270) * np.where(crisis, 0.05, 0.004)
    >>> states = walk_forward(common[:, None] + rng.normal(0, 0.015, (270, 8)))
    >>> states[5].reason
    'the window of 8 periods is not full'
    >>> [states[t].regime for t in (140, 190, 260)], states[190].factor
    (['calm', 'crisis', 'calm'], 0.5)
    """
    policy = policy or RegimePolicy()
    found = features(returns, policy.window)
    states, seen = [], _Hysteresis(policy)
    known = found.sleeves >= 2
    least = np.array([policy.more_correlation, math.log(policy.more_volatility)])
    points = np.column_stack([found.correlation, np.log(np.where(known, found.volatility, 1.0))])
    for t in range(len(known)):
        past = points[: t + 1][known[: t + 1]]
        past = past if policy.longest is None else past[-policy.longest :]
        why = _missing(t, int(found.sleeves[t]), len(past), policy)
        if why:
            states.append(seen.blind(why, int(found.sleeves[t])))
        else:
            mixture = fit(past)
            two = mixture.distinct and bool((mixture.gap >= least).all())
            states.append(seen.look(float(mixture.posterior[-1]) if two else 0.0, two, found, t))
    return tuple(states)


def features(returns: npt.ArrayLike, window: int) -> Features:
    """Mean pairwise correlation and mean volatility of every window of `returns` (T, K), known at its last period.

    The mean correlation of K standardised columns is (|their sum|² / T - K) / (K (K - 1)): no matrix is needed.

    >>> x = np.array([[0.01, 0.02], [-0.01, -0.02], [0.02, 0.04], [0.0, 0.0]])
    >>> features(x, 4).correlation.round(6).tolist()
    [nan, nan, nan, 1.0]
    """
    x = np.asarray(returns, dtype=np.float64)
    if x.ndim != 2:
        raise ValueError(f"returns of shape (T, K) are needed, not {x.shape}")
    if np.isinf(x).any():
        raise ValueError("a return is infinite")
    correlation, volatility = np.full((2, len(x)), np.nan)
    sleeves = np.zeros(len(x), dtype=np.int64)
    if len(x) >= window:
        runs = np.lib.stride_tricks.sliding_window_view(x, window, axis=0)  # (T - window + 1, K, window)
        centred = runs - runs.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1))
        moves = deviation > STILL  # False for NaN
        count = moves.sum(axis=-1)
        pairs = np.maximum(count * (count - 1), 1)
        z = np.where(moves[..., None], centred, 0.0) / np.where(moves, deviation, 1.0)[..., None]
        common = (z.sum(axis=1) ** 2).mean(axis=-1)
        sample = np.where(moves, deviation, 0.0).sum(axis=-1) / np.maximum(count, 1) * math.sqrt(window / (window - 1))
        sleeves[window - 1 :] = count
        correlation[window - 1 :] = np.where(count >= 2, (common - count) / pairs, np.nan)
        volatility[window - 1 :] = np.where(count >= 2, sample, np.nan)
    return Features(correlation, volatility, sleeves)


def fit(points: FloatArray) -> Fit:
    """Two Gaussians by expectation maximisation, from the halves below and above the median of the summed features.

    With one covariance the posterior is a logistic function of a line, and the covariance within is that of all points
    less that of the two means: one step is two products with a (T, 2) matrix.

    Args:
        points: (T, 2) correlation and log volatility, finite, T >= 4.

    >>> rng = np.random.default_rng(2)
    >>> x = np.vstack([rng.normal([0.2, -4.0], 0.05, (80, 2)), rng.normal([0.7, -3.0], 0.05, (20, 2))])
    >>> found = fit(x)
    >>> found.distinct, found.shares.round(2).tolist()
    (True, [0.8, 0.2])
    """
    n, spread = len(points), points.std(axis=0)
    unit = np.where(spread > STILL, spread, 1.0)
    x = (points - points.mean(axis=0)) / unit
    total = x.T @ x / n + FLOOR * np.eye(2)
    score = x.sum(axis=1)
    posterior = (score > np.sort(score)[n // 2 - 1]).astype(np.float64)
    weight, mean, cov, slope = _maximise(x, total, posterior)
    for _ in range(_MAX_STEPS):
        if not 1.0 <= weight <= n - 1.0:  # less than one period: there is no second regime
            break
        middle = 0.5 * mean * (1.0 - weight / (n - weight))  # of the two means
        before, posterior = posterior, _logistic((x - middle) @ slope + math.log(weight / (n - weight)))
        weight, mean, cov, slope = _maximise(x, total, posterior)
        if np.abs(posterior - before).max() < _TOLERANCE:
            break
    found = _ordered(n, weight, mean, cov, slope, posterior)
    return found._replace(gap=found.gap * unit)


def _maximise(
    x: FloatArray, total: FloatArray, posterior: FloatArray
) -> tuple[float, FloatArray, FloatArray, FloatArray]:
    """Weight and mean of the second component, the covariance within, and the slope of the log odds.

    The points' mean is 0, so the first component's mean is the second's, times -weight / (n - weight).
    """
    n, weight = len(x), float(posterior.sum())
    mean = posterior @ x / max(weight, STILL)
    gap = mean * (n / max(n - weight, STILL))
    (xx, xy), (_, yy) = cov = total - np.outer(gap, gap) * (weight / n * (1.0 - weight / n))
    det = max(xx * yy - xy * xy, STILL)
    return weight, mean, cov, np.array([yy * gap[0] - xy * gap[1], xx * gap[1] - xy * gap[0]]) / det


def _logistic(odds: FloatArray) -> FloatArray:
    return 1.0 / (1.0 + np.exp(-np.clip(odds, -500.0, 500.0)))


def _ordered(n: int, weight: float, mean: FloatArray, cov: FloatArray, slope: FloatArray, posterior: FloatArray) -> Fit:
    """The calm one first, by the sum of the standardised means."""
    shares = np.array([n - weight, weight]) / n
    means = np.vstack([-mean * weight / max(n - weight, STILL), mean])
    if means[0].sum() > means[1].sum():
        shares, means, slope, posterior = shares[::-1], means[::-1], -slope, 1.0 - posterior
    gap = means[1] - means[0]
    distance = math.sqrt(max(float(gap @ slope), 0.0))
    distinct = float(slope.min()) > 0.0 and distance >= SEPARATION and bool(n * shares.min() >= 1.0)
    return Fit(shares, means, cov, posterior, gap, distinct)


def _missing(t: int, sleeves: int, known: int, policy: RegimePolicy) -> str:
    """Why nothing can be said of period t, or empty."""
    if t + 1 < policy.window:
        return f"the window of {policy.window} periods is not full"
    if sleeves < 2:
        return (
            f"{sleeves} of the sleeves moved and had returns in all of the last {policy.window} periods; two are needed"
        )
    if known < policy.history:
        return f"{known} windows are known, {policy.history} are needed for a first fit"
    return ""


class _Hysteresis:
    """Which regime is in force, from one period to the next."""

    def __init__(self, policy: RegimePolicy) -> None:
        self.policy = policy
        self.crisis = False
        self.since = policy.stay  # periods in this regime; the first may be left at once

    def blind(self, why: str, sleeves: int) -> State:
        """Nothing is known of this period: what was in force stays so."""
        self.since += 1
        return State("unknown", _LABELS["unknown"], None, None, None, sleeves, self._factor(), why)

    def look(self, probability: float, distinct: bool, found: Features, t: int) -> State:
        """A period with a probability."""
        wanted = probability > self.policy.leave if self.crisis else probability >= self.policy.enter
        if wanted != self.crisis and self.since >= self.policy.stay:
            self.crisis, self.since = wanted, 0
        self.since += 1
        name: Name = "crisis" if self.crisis else "calm"
        why = f"crisis with probability {probability:.2f}" if distinct else "one regime in the history so far"
        if self.crisis != wanted:
            why += f"; {name} stays for at least {self.policy.stay} periods"
        annual = float(found.volatility[t]) * math.sqrt(self.policy.periods)
        head = (name, _LABELS[name], probability, float(found.correlation[t]), annual)
        return State(*head, int(found.sleeves[t]), self._factor(), why)

    def _factor(self) -> float:
        return self.policy.crisis_factor if self.crisis else 1.0
