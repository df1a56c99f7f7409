"""Allocation schemes side by side out of sample, and which of them to follow.

**The record.** Each week a scheme decides target weights of the sleeves; it earns what the sleeves return in the week
that begins at the decision. What is not in sleeves is in cash. Weights drift with the returns until the next decision,
and a trade is the target less the *drifted* weight:

    turnover = sum |target - drifted|,   V' = V - cost * sum |target V' - drifted V|,   net = V' / V (1 + gross) - 1

The value after costs is a fixed point, iterated until it stands. A scheme that decides nothing in a week (NaN) holds
what it has, drifted and untraded; before its first decision it has no record.

**The scores** are of each scheme's own weeks, Sharpe ratios in excess of cash. They were picked from several, so each
has its deflated Sharpe ratio with the number of schemes as trials, and its interval by the stationary bootstrap.

**The champion** is the scheme to follow each week, under a rule with hysteresis: the incumbent stays unless another has
been ahead by a margin, over the same weeks, and never changes soon after a change. At each decision the rule sees only
weeks that ended before it.

Sources: Bailey and López de Prado 2014 (deflated Sharpe ratio); Politis and Romano 1994 (stationary bootstrap); see
`statistics` and `bootstrap`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pas_dagster.analytics import statistics
from pas_dagster.analytics.bootstrap import RESAMPLES, interval, paired_difference
from pas_dagster.analytics.statistics import WEEKS_PER_YEAR, FloatArray

BoolArray = npt.NDArray[np.bool_]
Days = npt.NDArray[np.datetime64]

_ROUNDS = 8  # each leaves about cost * turnover of the error of the one before
_NOTHING = 1e-9  # a share that is none


@dataclass(frozen=True, slots=True)
class Record:
    """What M schemes earned in W weeks.

    Attributes:
        schemes: their names, unique.
        begins: (W,) days of the decisions, ascending.
        ends: (W,) days of the closes at which the weeks end, ascending, each after its beginning.
        returns: (W, M) net of costs. NaN: not begun yet, or a sleeve that is held, or cash, has no return for the week.
        cash: (W,) return of cash.
        turnover: (W, M) traded share of the book, buys plus sells; NaN before the first decision.
        invested: (W, M) share in sleeves after the trade; NaN before the first decision.
        decided: (W, M) the scheme had weights of its own that week.

    Raises:
        ValueError: shapes that do not fit, names twice, or days out of order.
    """

    schemes: tuple[str, ...]
    begins: Days
    ends: Days
    returns: FloatArray
    cash: FloatArray
    turnover: FloatArray
    invested: FloatArray
    decided: BoolArray

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        weeks, shape = len(self.begins), (len(self.begins), len(self.schemes))
        if any(table.shape != shape for table in (self.returns, self.turnover, self.invested, self.decided)):
            raise ValueError(f"tables must be {shape}")
        if self.ends.shape != (weeks,) or self.cash.shape != (weeks,):
            raise ValueError(f"ends and cash must be ({weeks},)")
        if len(set(self.schemes)) != len(self.schemes):
            raise ValueError("a scheme is named twice")
        none = np.timedelta64(0, "D")
        if (
            (np.diff(self.begins) <= none).any()
            or (np.diff(self.ends) <= none).any()
            or (self.ends <= self.begins).any()
        ):
            raise ValueError("weeks must be in order, each ending after it begins")


class Score(NamedTuple):
    """One scheme on the scoreboard. NaN where too little is known.

    Attributes:
        scheme: its name.
        rank: by Sharpe ratio, 1 the highest; those alike by name, those without one last.
        weeks: with a known return.
        annual_return: compounded, net of costs.
        volatility: a year.
        sharpe: a year, in excess of cash.
        sharpe_low: lower end of its 95 % interval.
        sharpe_high: upper end.
        max_drawdown: of weekly values, <= 0.
        turnover: traded share of the book a year, buys plus sells.
        invested: mean share in sleeves.
        held: share of the weeks in which the scheme decided nothing and held what it had.
        in_cash: share of the weeks with nothing in sleeves.
        deflated: deflated Sharpe ratio: probability of skill after counting the trials.
        better: probability of a higher Sharpe ratio than that of the default scheme, by paired bootstrap of the weeks
            both know; NaN for the default itself.
    """

    scheme: str
    rank: int
    weeks: int
    annual_return: float
    volatility: float
    sharpe: float
    sharpe_low: float
    sharpe_high: float
    max_drawdown: float
    turnover: float
    invested: float
    held: float
    in_cash: float
    deflated: float
    better: float


@dataclass(frozen=True, slots=True)
class Rule:
    """When a challenger replaces the incumbent.

    It does when, of the last `window_weeks` weeks that ended before the decision, both know at least `least_weeks`, the
    challenger's Sharpe ratio over these is above the incumbent's by more than `margin`, and the last change (or the
    first week) lies at least `rest_weeks` back. Of several such the one furthest ahead, those alike by name.

    Attributes:
        default: the incumbent of the first week.
        window_weeks: looked back.
        least_weeks: of record that both must have, at least 2.
        margin: of annual Sharpe ratios, >= 0.
        rest_weeks: between changes, at least 1.

    Raises:
        ValueError: numbers out of range.
    """

    default: str
    window_weeks: int = 156
    least_weeks: int = 104
    margin: float = 0.25
    rest_weeks: int = 26

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if not 2 <= self.least_weeks <= self.window_weeks:
            raise ValueError("least_weeks must be at least 2 and at most window_weeks")
        if not 0.0 <= self.margin < math.inf or self.rest_weeks < 1:
            raise ValueError("margin must be finite and >= 0 and rest_weeks at least 1")


class Choice(NamedTuple):
    """The scheme to follow in one week.

    Attributes:
        begins: day of the decision.
        scheme: to follow.
        switched: another than the week before.
        challenger: the one furthest ahead of the incumbent, None when none can be compared.
        lead: its Sharpe ratio less the incumbent's; NaN without a challenger.
        reason: in words.
    """

    begins: np.datetime64
    scheme: str
    switched: bool
    challenger: str | None
    lead: float
    reason: str


# -------------------------------------------------------------------------------------------------- record


def out_of_sample(
    schemes: Sequence[str],
    begins: Days,
    ends: Days,
    weights: FloatArray,
    returns: FloatArray,
    cash: FloatArray,
    *,
    cost: float,
) -> Record:
    """What the schemes' weights earned in the weeks that began at their decisions.

    Args:
        schemes: M names.
        begins: (W,) days of the decisions, ascending.
        ends: (W,) days of the closes at which the weeks end.
        weights: (W, M, N) target share of each sleeve; all NaN for a scheme that decides nothing that week.
        returns: (W, N) of the sleeves in the week that begins at the decision; NaN where there is none, which matters
            only to who holds the sleeve.
        cash: (W,) return of cash in the week, NaN when not known.
        cost: of each traded dollar, a fraction in [0, 0.1].

    Raises:
        ValueError: shapes that do not fit, weights of a decision that are partly NaN, an infinite number, a cost out of
            range, and all that `Record` raises.

    >>> days = np.array(["2024-01-05", "2024-01-12", "2024-01-19"], dtype="datetime64[D]")
    >>> weights = np.array([[[0.5]], [[0.5]]])
    >>> found = out_of_sample(["half"], days[:2], days[1:], weights, np.array([[0.2], [0.0]]), np.zeros(2), cost=0.0)
    >>> found.returns.round(4).tolist(), found.turnover.round(4).tolist()  # 0.6 / 1.1 drifted, back to 0.5
    ([[0.1], [0.0]], [[0.5], [0.0455]])
    """
    _check(weights, returns, cash, cost, (len(begins), len(schemes)))
    shape = weights.shape[:2]
    net, turnover, invested = (np.full(shape, np.nan) for _ in range(3))
    decided = ~np.any(np.isnan(weights), axis=2)
    begun = np.logical_or.accumulate(decided, axis=0)
    drifted = np.zeros(weights.shape[1:])
    for week, own in enumerate(decided):
        target = np.where(own[:, None], weights[week], drifted)
        turnover[week] = np.abs(target - drifted).sum(axis=1)
        kept = _after_costs(target, drifted, own, cost)
        gross, drifted = _week(target, returns[week], float(cash[week]))
        net[week] = kept * (1.0 + gross) - 1.0
        invested[week] = target.sum(axis=1)
    for table in (net, turnover, invested):
        table[~begun] = np.nan
    return Record(tuple(schemes), begins, ends, net, cash, turnover, invested, decided)


def _check(weights: FloatArray, returns: FloatArray, cash: FloatArray, cost: float, shape: tuple[int, int]) -> None:
    if weights.ndim != 3 or weights.shape[:2] != shape or returns.shape != (shape[0], weights.shape[2]):
        raise ValueError(f"weights {weights.shape} and returns {returns.shape} must be (W, M, N) and (W, N)")
    if cash.shape != shape[:1]:
        raise ValueError(f"cash {cash.shape} must be {shape[:1]}")
    missing = np.isnan(weights)
    if (np.any(missing, axis=2) != np.all(missing, axis=2)).any():
        raise ValueError("the weights of a decision are partly NaN")
    if any(np.isinf(table).any() for table in (weights, returns, cash)) or not 0.0 <= cost <= 0.1:
        raise ValueError("numbers must be finite, and the cost a fraction from 0 to 0.1")


def _after_costs(target: FloatArray, drifted: FloatArray, traded: BoolArray, cost: float) -> FloatArray:
    """(M,) value after the trade per value before: the fixed point v = 1 - cost * sum |target v - drifted|."""
    value = np.ones(len(target))
    if cost:
        for _ in range(_ROUNDS):
            value = 1.0 - cost * np.abs(target * value[:, None] - drifted).sum(axis=1) * traded
    return value


def _week(target: FloatArray, returns: FloatArray, cash: float) -> tuple[FloatArray, FloatArray]:
    """(M,) return before costs, NaN where something that is held has none, and (M, N) the weights at its end.

    What has no return is left out of the drift: its value is then that of before.
    """
    known = np.where(np.isnan(returns), 0.0, returns)
    rest = 1.0 - target.sum(axis=1)
    earned = target @ known + rest * (0.0 if math.isnan(cash) else cash)
    end = np.maximum(1.0 + earned, 0.0)[:, None]
    drifted = np.divide(target * (1.0 + known), end, out=np.zeros_like(target), where=end > 0.0)
    unknown = (np.abs(target) > _NOTHING) @ np.isnan(returns) | ((np.abs(rest) > _NOTHING) & math.isnan(cash))
    return np.where(unknown, np.nan, earned), drifted


# -------------------------------------------------------------------------------------------------- scores


def scoreboard(
    record: Record, *, default: str, seed: int, trials: int | None = None, resamples: int = RESAMPLES
) -> list[Score]:
    """Every scheme, the highest rank first.

    Args:
        record: of the schemes.
        default: the scheme that the others are compared with.
        seed: of the bootstraps; all schemes are resampled with the same generator.
        trials: number of schemes and settings ever tried, when more than are on the record.
        resamples: of the bootstraps.

    Raises:
        ValueError: a default that is not on the record, and all that the statistics raise.
    """
    if default not in record.schemes:
        raise ValueError(f"{default} is not on the record")
    moments = statistics.sharpe_moments(record.returns, risk_free=record.cash)
    ratios = np.asarray(moments.sharpe)
    known = ratios[~np.isnan(ratios)]
    variance = float(np.var(known, ddof=1)) if len(known) > 1 else math.nan
    count = max(len(record.schemes), trials or 0)
    deflated = np.asarray(statistics.deflated_sharpe(moments, trials=count, variance=variance))
    order = sorted(range(len(ratios)), key=lambda m: (math.isnan(ratios[m]), -ratios[m], record.schemes[m]))
    home = record.schemes.index(default)
    return [
        _score(record, scheme, home, seed=seed, resamples=resamples)._replace(
            rank=place + 1, deflated=float(deflated[scheme])
        )
        for place, scheme in enumerate(order)
    ]


def _score(record: Record, scheme: int, default: int, *, seed: int, resamples: int) -> Score:
    returns, cash = record.returns[:, scheme], record.cash
    known = ~np.isnan(returns)
    begun = ~np.isnan(record.invested[:, scheme])
    ratio = partial(statistics.sharpe, periods=WEEKS_PER_YEAR)
    sure = interval(ratio, returns - cash, seed=seed, count=resamples)
    others = [record.returns[:, one] - cash for one in (scheme, default)]
    ahead = paired_difference(ratio, *others, seed=seed, count=resamples)
    return Score(
        scheme=record.schemes[scheme],
        rank=0,
        weeks=int(np.count_nonzero(known)),
        annual_return=float(statistics.cagr(returns, periods=WEEKS_PER_YEAR)),
        volatility=float(statistics.volatility(returns, periods=WEEKS_PER_YEAR)),
        sharpe=float(statistics.sharpe(returns, periods=WEEKS_PER_YEAR, risk_free=cash)),
        sharpe_low=sure.low,
        sharpe_high=sure.high,
        max_drawdown=float(statistics.max_drawdown(returns)),
        turnover=_mean(record.turnover[known, scheme]) * WEEKS_PER_YEAR,
        invested=_mean(record.invested[begun, scheme]),
        held=_mean(~record.decided[begun, scheme]),
        in_cash=_mean(np.abs(record.invested[begun, scheme]) <= _NOTHING),
        deflated=math.nan,
        better=math.nan if scheme == default else ahead.probability,
    )


def _mean(values: FloatArray | BoolArray) -> float:
    return float(np.mean(values, dtype=np.float64)) if len(values) else math.nan


# ------------------------------------------------------------------------------------------------ champion


def champion(record: Record, rule: Rule) -> list[Choice]:
    """The scheme to follow at each decision, which sees only weeks that ended before its day.

    A week that ends on the day of the decision has not ended before it: its close is not known yet. Excess returns that
    are all exactly 0 (a scheme in cash) have a Sharpe ratio of 0 here; one without a ratio is not compared.

    Raises:
        ValueError: a default that is not on the record.
    """
    if rule.default not in record.schemes:
        raise ValueError(f"{rule.default} is not on the record")
    excess = record.returns - record.cash[:, None]
    ended = np.searchsorted(record.ends, record.begins, side="left")
    incumbent, since = record.schemes.index(rule.default), 0
    choices = []
    for week, known in enumerate(ended.tolist()):
        past = excess[max(0, known - rule.window_weeks) : known]
        leads = _leads(past, incumbent, rule.least_weeks)
        challenger = _best(leads, record.schemes)
        switched, why = _judge(record.schemes, incumbent, challenger, leads, week - since, rule)
        if switched and challenger is not None:
            incumbent, since = challenger, week
        name = None if challenger is None else record.schemes[challenger]
        lead = math.nan if challenger is None else float(leads[challenger])
        choices.append(Choice(record.begins[week], record.schemes[incumbent], switched, name, lead, why))
    return choices


def _leads(past: FloatArray, incumbent: int, least: int) -> FloatArray:
    """(M,) Sharpe ratio of each scheme less the incumbent's over the weeks both know; NaN when not to be compared."""
    both = ~np.isnan(past) & ~np.isnan(past[:, [incumbent]])
    own, held = (_ratios(np.where(both, table, np.nan)) for table in (past, past[:, [incumbent]]))
    leads = np.where(both.sum(axis=0) >= least, own - held, np.nan)
    leads[incumbent] = np.nan
    return leads


def _ratios(excess: FloatArray) -> FloatArray:
    in_cash = np.all((excess == 0.0) | np.isnan(excess), axis=0)
    return np.where(in_cash, 0.0, np.asarray(statistics.sharpe(excess, periods=WEEKS_PER_YEAR)))


def _best(leads: FloatArray, schemes: tuple[str, ...]) -> int | None:
    able = np.flatnonzero(~np.isnan(leads)).tolist()
    return min(able, key=lambda m: (-leads[m], schemes[m])) if able else None


def _judge(
    schemes: tuple[str, ...], incumbent: int, challenger: int | None, leads: FloatArray, rested: int, rule: Rule
) -> tuple[bool, str]:
    """Whether the challenger takes over, and why in words."""
    keeps = f"keeps {schemes[incumbent]}: "
    if challenger is None:
        return False, keeps + f"no other scheme shares {rule.least_weeks} weeks of record with it"
    ahead = f"{schemes[challenger]} leads by a Sharpe ratio of {leads[challenger]:.2f}"
    if not leads[challenger] > rule.margin:
        return False, keeps + f"{ahead}, more than {rule.margin:.2f} is needed"
    if rested < rule.rest_weeks:
        return False, keeps + f"{ahead}, but only {rested} of {rule.rest_weeks} weeks have passed since the last change"
    return True, f"changes from {schemes[incumbent]}: {ahead} over the last {rule.window_weeks} weeks"
