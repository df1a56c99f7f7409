"""The weekly decision: invariants over random weeks, and each rule by an example."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pas_dagster.allocation import Allocation, Policy, allocate
from pas_dagster.allocation.target import annual_volatility, target_weights


def frame(seed: int, sleeves: int = 8, weeks: int = 14, drift: float = 0.003) -> pd.DataFrame:
    """Random weekly returns of sleeves a, b, c ..."""
    rng = np.random.default_rng(seed)
    x = drift + rng.normal(0.0, 0.01, (weeks, 1)) + rng.normal(0.0, 0.02, (weeks, sleeves))
    index = pd.date_range("2024-01-05", periods=weeks, freq="W-FRI")
    return pd.DataFrame(x, index=index, columns=list("abcdefghijklmnopqrstuvwxyz"[:sleeves]))


def steps(result: Allocation, name: str) -> list:
    """The steps of one name."""
    return [step for step in result.steps if step.name == name]


def check_limits(result: Allocation, policy: Policy) -> None:
    """What must hold for every optimal decision."""
    weights = np.array(list(result.weights.values()))
    assert result.volatility is not None and result.volatility <= policy.target_volatility * (1 + 1e-9)
    assert weights.min() >= 0.0
    assert weights.max() <= policy.max_weight + 1e-9
    assert weights.sum() <= 1.0 + 1e-9
    assert result.cash == pytest.approx(1.0 - weights.sum(), abs=1e-9)
    assert result.cash >= 0.0


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 10**6),
    sleeves=st.integers(1, 12),
    target=st.sampled_from([0.03, 0.08, 0.5]),
    band=st.sampled_from([0.0, 0.005, 0.05]),
    low=st.sampled_from([0.0, 0.01, 0.05]),
)
def test_limits_hold_after_every_step(seed: int, sleeves: int, target: float, band: float, low: float) -> None:
    policy = Policy(target_volatility=target, no_trade_band=band, min_weight=low)
    weekly = frame(seed, sleeves)
    rng = np.random.default_rng(seed + 1)
    previous = dict(zip(weekly.columns, rng.dirichlet(np.ones(sleeves + 1))[:sleeves].tolist(), strict=True))
    result = allocate(weekly, previous, policy)
    assert set(result.weights) == set(weekly.columns)
    if result.status == "held":
        assert result.weights == pytest.approx(previous)
        assert result.reason
        return
    check_limits(result, policy)
    assert min(result.weights.values()) >= low - 1e-9
    unbanded = target_weights(weekly.tail(12).to_numpy().copy(), policy).weights
    for name, aim in zip(weekly.columns, unbanded, strict=True):
        # A sleeve is either traded to its target or kept, and only small changes are kept.
        kept = result.weights[name] == previous[name] and abs(aim - previous[name]) <= band + 1e-9
        assert kept or result.weights[name] == pytest.approx(aim, abs=1e-9)


odd = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, 0.01, -0.01, 1e-300, 1e300, -1.0, 5.0, math.nan]),
)


@settings(deadline=None, max_examples=250)
@given(
    values=hnp.arrays(np.float64, st.tuples(st.integers(0, 6), st.integers(0, 4)), elements=odd),
    held=st.lists(odd, min_size=4, max_size=4),
)
def test_no_number_raises_and_every_answer_is_finite(values, held: list[float]) -> None:
    names = list("abcd")[: values.shape[1]]
    policy = Policy(window_weeks=4, max_weight=0.6)
    result = allocate(pd.DataFrame(values, columns=names), dict(zip("abcd", held, strict=True)), policy)
    assert result.status in {"optimal", "held", "cash"}
    weights = list(result.weights.values())
    assert all(math.isfinite(w) and w >= 0.0 for w in weights)
    assert math.fsum(weights) <= 1.0 + 1e-9
    assert set(names) <= set(result.weights)
    numbers = [result.cash, result.expected_return, result.volatility, result.sharpe, result.shrinkage]
    assert all(number is None or math.isfinite(number) for number in numbers)
    assert all(row["value"] is None or math.isfinite(row["value"]) for row in result.log_rows())
    assert bool(result.reason) == (result.status != "optimal")
    if result.status == "optimal":
        check_limits(result, policy)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_the_sleeves_does_not_matter(seed: int) -> None:
    weekly = frame(seed)
    previous = {"a": 0.1, "c": 0.2}
    first = allocate(weekly, previous, Policy())
    order = np.random.default_rng(seed).permutation(weekly.columns)
    second = allocate(weekly[order], dict(reversed(previous.items())), Policy())
    assert first.weights == second.weights
    assert first == second


def test_the_same_input_gives_the_same_answer() -> None:
    weekly = frame(5)
    assert allocate(weekly, {"a": 0.2}, Policy()) == allocate(weekly.copy(), {"a": 0.2}, Policy())


def test_only_the_last_weeks_count() -> None:
    weekly = frame(6, weeks=30)
    assert allocate(weekly, {}, Policy()).weights == allocate(weekly.tail(12), {}, Policy()).weights


def test_moments_are_those_of_the_final_weights() -> None:
    weekly, policy = frame(7), Policy(risk_free=0.02, target_volatility=0.05)
    result = allocate(weekly, {}, policy)
    target = target_weights(weekly.tail(12).to_numpy().copy(), policy)
    w = np.array([result.weights[name] for name in weekly.columns])
    assert result.status == "optimal" and 0.0 < result.cash < 1.0
    assert result.volatility == pytest.approx(annual_volatility(w, target.cov), rel=1e-12)
    expected_return = float(52 * w @ target.mean + 0.02 * result.cash)
    assert result.expected_return == pytest.approx(expected_return, rel=1e-12)
    assert result.sharpe == pytest.approx((expected_return - 0.02) / annual_volatility(w, target.cov))
    assert result.shrinkage == target.shrinkage


def test_a_late_starter_and_an_idle_sleeve_are_not_eligible() -> None:
    weekly = frame(8)
    weekly.loc[weekly.index[:9], "a"] = np.nan
    weekly["b"] = 0.001
    weekly.loc[weekly.index[-1], "c"] = np.inf
    result = allocate(weekly, {"a": 0.003, "b": 0.3}, Policy(no_trade_band=0.005))
    notes = {step.sleeve: step.note for step in steps(result, "eligibility")}
    assert notes["a"] == "only 5 of 12 weeks"
    assert notes["b"] == "idle"
    assert notes["c"] == "only 11 of 12 weeks"
    assert notes["d"] == "eligible"
    assert result.status == "optimal"
    # Not even the band keeps a sleeve that is not eligible.
    assert result.weights["a"] == result.weights["b"] == result.weights["c"] == 0.0


def test_a_planted_outlier_is_logged_and_does_not_buy_weight() -> None:
    weekly = frame(9)
    weekly.loc[weekly.index[-3], "d"] = 0.9
    result = allocate(weekly, {}, Policy())
    (step,) = [step for step in steps(result, "outlier") if step.sleeve == "d"]
    assert "week 2024-03-22: 0.9 clipped to" in step.note
    assert step.value is not None and step.value < 0.2


def test_nothing_eligible_and_nothing_held_is_cash() -> None:
    for weekly in (frame(1, weeks=11), frame(1).iloc[:0], pd.DataFrame(), frame(1) * np.nan):
        result = allocate(weekly, {}, Policy(risk_free=0.03))
        assert result.status == "cash"
        assert result.reason == "no sleeve is eligible"
        assert result.cash == 1.0 and not any(result.weights.values())
        assert (result.expected_return, result.volatility, result.sharpe) == (0.03, 0.0, None)


def test_previous_weights_stand_when_nothing_is_eligible() -> None:
    previous = {"a": 0.25, "b": 0.5}
    result = allocate(frame(1, weeks=5), previous, Policy())
    assert result.status == "held"
    assert result.weights["a"] == 0.25 and result.weights["b"] == 0.5
    assert result.cash == 0.25
    assert result.volatility is None


def test_previous_weights_stand_when_every_mean_is_negative() -> None:
    weekly = frame(2, drift=-0.05)
    result = allocate(weekly, {"a": 0.2, "h": 0.1}, Policy())
    assert result.status == "held"
    assert "positive excess return" in result.reason
    assert {name: w for name, w in result.weights.items() if w} == {"a": 0.2, "h": 0.1}
    assert result.volatility is not None and result.volatility > 0.0
    assert allocate(weekly, {}, Policy()).status == "cash"


def test_too_few_sleeves_for_the_cap_keep_the_previous_weights() -> None:
    result = allocate(frame(3, sleeves=2), {"a": 0.4}, Policy(max_weight=0.4))
    assert result.status == "held"
    assert result.reason == "the largest weights of 2 assets sum to 0.8, less than 1"


def test_an_unrealistic_volatility_keeps_the_previous_weights() -> None:
    result = allocate(frame(4) * 200.0, {"b": 0.3}, Policy())
    assert result.status == "held"
    assert "outside (0, 5]" in result.reason
    assert result.weights["b"] == 0.3


def test_a_held_sleeve_that_is_no_longer_listed_is_sold_by_an_answer_and_kept_without_one() -> None:
    weekly = frame(10)
    answered = allocate(weekly, {"gone": 0.2}, Policy())
    assert answered.status == "optimal" and answered.weights["gone"] == 0.0
    assert steps(answered, "previous")[0].note == "no longer a sleeve"
    stands = allocate(weekly.tail(3), {"gone": 0.2}, Policy())
    assert stands.status == "held" and stands.weights["gone"] == 0.2


@pytest.mark.parametrize("bad", [{"a": math.nan}, {"a": -0.1}, {"a": 0.7, "b": 0.7}, {"a": math.inf}])
def test_unusable_previous_weights_count_as_none_and_are_logged(bad: dict[str, float]) -> None:
    result = allocate(frame(1, weeks=3), bad, Policy())
    assert result.status == "cash"
    assert "unusable" in steps(result, "previous")[0].note


def test_small_changes_are_not_traded_and_nothing_is_renormalised() -> None:
    weekly = frame(11)
    policy = Policy(target_volatility=1.0, max_volatility=5.0, no_trade_band=0.005, max_weight=1.0)
    aim = allocate(weekly, {}, Policy(target_volatility=1.0, no_trade_band=0.0, max_weight=1.0)).weights
    large = sorted(aim, key=aim.__getitem__)[-2:]
    previous = dict(aim)
    previous[large[0]] -= 0.004
    previous[large[1]] -= 0.006
    result = allocate(weekly, previous, policy)
    assert result.weights[large[0]] == previous[large[0]]
    assert result.weights[large[1]] == aim[large[1]]
    assert sum(result.weights.values()) == pytest.approx(1.0 - 0.004)
    assert "applied" in steps(result, "no_trade_band")[0].note


def test_a_band_that_would_break_a_limit_is_not_applied() -> None:
    weekly = frame(12)
    exact = allocate(weekly, {}, Policy(target_volatility=0.03, no_trade_band=0.0)).weights
    previous = {name: w + 0.004 if w > 0.01 else 0.0 for name, w in exact.items()}
    result = allocate(weekly, previous, Policy(target_volatility=0.03))
    assert result.weights == exact
    assert "not applied: the volatility is" in steps(result, "no_trade_band")[0].note
    assert result.volatility is not None and result.volatility <= 0.03


def test_log_rows_are_tidy_and_cover_the_decision() -> None:
    rows = pd.DataFrame(allocate(frame(13), {"a": 0.1}, Policy()).log_rows())
    assert rows.columns.tolist() == ["step", "sleeve", "value", "note"]
    expected = {
        "previous",
        "eligibility",
        "outliers",
        "mean",
        "volatility",
        "shrinkage",
        "max_sharpe",
        "tangency",
        "volatility_target",
        "realism",
        "no_trade_band",
        "weight",
        "cash_weight",
        "expected_return",
        "final_volatility",
        "sharpe",
    }
    assert expected <= set(rows["step"])


def test_two_sleeves_of_one_name_are_refused() -> None:
    weekly = frame(1)
    weekly.columns = ["a", "a", *weekly.columns[2:]]
    with pytest.raises(ValueError, match="same name"):
        allocate(weekly, {}, Policy())
