"""The weekly decision: invariants over random weeks, and each rule by an example."""

import math
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pas_dagster.allocation import SCHEMES, Allocation, Mandate, Policy, allocate, allocate_all
from pas_dagster.allocation.estimators import annual_volatility
from pas_dagster_tests.allocation.conftest import step
from pas_dagster_tests.allocation.problems import MANDATE

DAY = date(2024, 4, 8)


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
    unbanded = step(weekly.tail(12).to_numpy().copy(), policy)[1].weights
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
    found, _ = step(weekly.tail(12).to_numpy().copy(), policy)
    w = np.array([result.weights[name] for name in weekly.columns])
    assert result.status == "optimal" and 0.0 < result.cash < 1.0
    assert result.volatility == pytest.approx(annual_volatility(w, found.cov), rel=1e-12)
    expected_return = float(52 * w @ found.mean + 0.02 * result.cash)
    assert result.expected_return == pytest.approx(expected_return, rel=1e-12)
    assert result.sharpe == pytest.approx((expected_return - 0.02) / annual_volatility(w, found.cov))
    assert result.shrinkage == found.shrinkage


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


def test_pitfall_9_a_price_of_zero_a_single_week_and_too_small_caps_are_outcomes() -> None:
    weekly = frame(8)
    weekly.loc[weekly.index[-2:], "a"] = [-1.0, np.inf]  # a price of 0, and one after it
    result = allocate(weekly, {"a": 0.1}, Policy())
    assert {step.sleeve: step.note for step in steps(result, "eligibility")}["a"] == "only 11 of 12 weeks"
    assert result.status == "optimal" and result.weights["a"] == 0.0
    assert allocate(weekly.tail(1), {"b": 0.1}, Policy()).status == "held"
    assert allocate(weekly[["b", "c", "d"]], {}, Policy(max_weight=0.25)).status == "cash"


def test_a_planted_outlier_is_logged_and_does_not_buy_weight() -> None:
    weekly = frame(9)
    weekly.loc[weekly.index[-3], "d"] = 0.9
    result = allocate(weekly, {}, Policy())
    (one,) = [one for one in steps(result, "outlier") if one.sleeve == "d"]
    assert "week 2024-03-22: 90 % clipped to" in one.note
    assert one.value is not None and one.value < 0.2


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
        "scheme",
        "mix",
        "constraint",
        "mix_return",
        "mix_volatility",
        "residual",
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


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    sleeves=st.integers(4, 12),
    low=st.sampled_from([0.0, 0.02]),
    target=st.sampled_from([0.03, 0.08, 0.3]),
    covariance=st.sampled_from(["ledoit_wolf", "constant_correlation", "ewma"]),
    budget=st.sampled_from([None, 0.1]),
    leverage=st.sampled_from([1.0, 1.4]),
)
def test_bounds_sum_and_target_hold_in_the_final_answer_of_every_scheme(
    seed: int, sleeves: int, low: float, target: float, covariance, budget: float | None, leverage: float
) -> None:
    policy = Policy(
        min_weight=low,
        target_volatility=target,
        covariance=covariance,
        turnover_budget=budget,
        max_leverage=leverage,
        risk_free=0.02,
    )
    weekly, rng = frame(seed, sleeves), np.random.default_rng(seed)
    previous = {
        name: dict(zip(weekly.columns, rng.dirichlet(np.ones(sleeves)).tolist(), strict=True)) for name in SCHEMES
    }
    answers = allocate_all(weekly, previous, policy, MANDATE, float(rng.random()), DAY)
    assert list(answers) == list(SCHEMES)
    for name, answer in answers.items():
        assert answer.scheme == name
        numbers = [*answer.weights.values(), answer.cash, *(s.value for s in answer.steps if s.value is not None)]
        assert np.isfinite(numbers).all()
        assert bool(answer.reason) == (answer.status != "optimal")
        if answer.status != "optimal":
            assert answer.weights == pytest.approx(previous[name])
            continue
        weights = np.array(list(answer.weights.values()))
        assert weights.min() >= low - 1e-9 and weights.max() <= 0.4 + 1e-9
        assert weights.sum() <= leverage + 1e-9
        assert answer.cash == pytest.approx(1.0 - weights.sum(), abs=1e-9)
        assert answer.volatility is not None and answer.volatility <= target * (1 + 1e-9)
        assert answer.residual is not None and answer.residual <= 1e-8


@pytest.mark.parametrize("name", SCHEMES)
def test_one_scheme_alone_answers_what_it_answers_among_all(name: str) -> None:
    weekly, policy = frame(21), Policy(target_volatility=0.05)
    previous = {"a": 0.1, "gone": 0.05}
    alone = allocate(weekly, previous, policy, name, MANDATE, 0.3, DAY)
    together = allocate_all(weekly, {name: previous}, policy, MANDATE, 0.3, DAY)[name]
    assert alone == together
    assert alone.log_rows() == together.log_rows()
    order = list(weekly.columns[::-1])
    assert allocate(weekly[order], previous, policy, name, MANDATE, 0.3, DAY) == alone


def test_each_scheme_continues_from_its_own_weights() -> None:
    weekly = frame(2, drift=-0.05)
    answers = allocate_all(weekly, {"max_sharpe": {"a": 0.2}, "robust_min_max": {"b": 0.3}}, Policy())
    assert answers["max_sharpe"].status == answers["robust_min_max"].status == "held"
    assert answers["max_sharpe"].weights["a"] == 0.2 and answers["robust_min_max"].weights["b"] == 0.3
    assert answers["glide_path"].status == "cash"
    assert answers["min_variance"].status == "optimal"


def test_seconds_are_measured_by_the_clock_that_is_handed_in_and_are_not_part_of_the_decision() -> None:
    ticks = iter(range(100))
    timed = allocate(frame(3), {}, Policy(), clock=lambda: float(next(ticks)))
    untimed = allocate(frame(3), {}, Policy())
    assert (timed.seconds, untimed.seconds) == (1.0, None)
    assert timed == untimed and timed.log_rows() == untimed.log_rows()


def test_active_constraints_and_the_residual_are_in_the_decision_and_in_the_log() -> None:
    answer = allocate(frame(13), {}, Policy(max_weight=0.2))
    capped = [one for one in answer.active if one.name.startswith("upper max_weight of ")]
    assert capped and all(one.multiplier is not None and one.multiplier >= 0.0 for one in capped)
    logged = {step.note.split(";")[0]: step.value for step in steps(answer, "constraint")}
    assert logged == {one.name: one.multiplier for one in answer.active}
    assert steps(answer, "residual")[0].value == answer.residual


def test_a_scheme_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no scheme 'guess'"):
        allocate(frame(1), {}, Policy(), "guess")
    with pytest.raises(ValueError, match="no scheme 'guess'"):
        allocate_all(frame(1), {"guess": {}}, Policy())


def test_the_age_is_that_of_the_decisions_year() -> None:
    mandate = Mandate(birth_year=1974)
    for year, share in ((2024, 0.7), (2004, 0.9), (2039, 0.4)):
        answer = allocate(
            frame(4),
            {},
            Policy(target_volatility=1.0, no_trade_band=0.0),
            "glide_path",
            mandate,
            None,
            date(year, 6, 1),
        )
        assert sum(answer.weights.values()) == pytest.approx(share, abs=1e-9)


def test_leverage_borrows_only_when_the_policy_allows_it() -> None:
    weekly = frame(5) * 0.1
    plain = allocate(weekly, {}, Policy(), "risk_parity")
    levered = allocate(weekly, {}, Policy(max_leverage=1.5, risk_free=0.02), "risk_parity")
    assert plain.cash == pytest.approx(0.0, abs=1e-12)
    assert levered.cash == pytest.approx(-0.5, abs=1e-9)
    again = allocate(weekly, levered.weights, Policy(max_leverage=1.5, risk_free=0.02), "risk_parity")
    assert not any("unusable" in step.note for step in again.steps)


def test_pitfall_2_the_final_answer_is_the_constrained_optimum_not_a_clipped_one() -> None:
    weekly, policy = frame(30, sleeves=10), Policy(target_volatility=1.0, no_trade_band=0.0, max_weight=0.25)
    found, target = step(weekly.tail(12).to_numpy().copy(), policy)
    free = np.linalg.solve(found.cov, found.mean)
    clipped = np.clip(free / free.sum(), 0.0, 0.25)
    clipped /= clipped.sum()
    assert np.abs(clipped - target.weights).max() > 0.01

    def sharpe(w: np.ndarray) -> float:
        return float(w @ found.mean / np.sqrt(w @ found.cov @ w))

    answer = allocate(weekly, {}, policy)
    final = np.array([answer.weights[name] for name in weekly.columns])
    assert clipped.max() > 0.25 or sharpe(final) >= sharpe(clipped)
    assert final.max() <= 0.25 + 1e-12 and final.sum() == pytest.approx(1.0)


def test_pitfall_7_missing_returns_are_never_taken_for_zeros() -> None:
    weekly = frame(8)
    filled = weekly.copy()
    weekly.iloc[-12:-6, 0] = np.nan
    filled.iloc[-12:-6, 0] = 0.0
    answers = allocate_all(weekly, {}, Policy(), decision=DAY)
    assert all(answer.weights["a"] == 0.0 for answer in answers.values())
    assert allocate(filled, {}, Policy(), "min_variance").weights["a"] > 0.0  # what the zeros would have bought


def test_pitfall_8_an_idle_sleeve_leaves_every_scheme() -> None:
    weekly = frame(8)
    weekly["a"] = 0.0
    for answer in allocate_all(weekly, {}, Policy(), decision=DAY).values():
        assert answer.status == "optimal" and answer.weights["a"] == 0.0
        assert {s.sleeve: s.note for s in steps(answer, "eligibility")}["a"] == "idle"
