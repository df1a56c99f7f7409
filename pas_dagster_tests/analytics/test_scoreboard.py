"""The scoreboard: drifted holdings and costs by hand, scores by the statistics, a champion that never looks ahead."""

import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from pas_dagster.analytics import statistics as stats
from pas_dagster.analytics.bootstrap import interval, paired_difference
from pas_dagster.analytics.scoreboard import Record, Rule, champion, out_of_sample, scoreboard

NAN = float("nan")
SEEDS = st.integers(0, 10**6)


def weeks(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Decisions on Mondays; the weeks end at the close of the next Monday."""
    begins = np.datetime64("2015-01-05") + np.arange(count) * 7
    return begins, begins + 7


def world(seed: int = 1, count: int = 60, schemes: int = 4, sleeves: int = 3):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(sleeves + 1), (count, schemes))[:, :, :sleeves]
    returns = np.maximum(rng.normal(0.002, 0.03, (count, sleeves)), -0.5)
    return weights, returns, np.full(count, 0.0005)


def names(count: int) -> list[str]:
    return [f"scheme {i}" for i in range(count)]


def run(weights, returns, cash, cost=0.001) -> Record:
    return out_of_sample(names(weights.shape[1]), *weeks(len(cash)), weights, returns, cash, cost=cost)


def record(returns: np.ndarray, schemes=None, cash=None, ends=None) -> Record:
    """A record of given net returns."""
    begins, ends = (weeks(len(returns))[0], weeks(len(returns))[1] if ends is None else ends)
    rest = np.where(np.isnan(returns), NAN, 1.0)
    cash = np.zeros(len(returns)) if cash is None else cash
    schemes = tuple(schemes or names(returns.shape[1]))
    return Record(schemes, begins, ends, returns, cash, rest * 0.1, rest, ~np.isnan(returns))


# -------------------------------------------------------------------------------------------------- record


def in_dollars(weights, returns, cash, cost):
    """One scheme in dollars: the value after costs by root finding."""
    nav, held, net, traded = 1.0, np.zeros(weights.shape[1]), [], []
    for target, earned, rate in zip(weights, returns, cash, strict=True):
        before = nav
        if np.isnan(target).any():
            after, positions = nav, held
        else:
            after = brentq(lambda v: nav - cost * np.abs(target * v - held).sum() - v, 0.5 * nav, nav, xtol=1e-16)  # noqa: B023
            positions = target * after
        traded.append(np.abs(target - held / before).sum() if not np.isnan(target).any() else 0.0)
        held = positions * (1 + earned)
        nav = held.sum() + (after - positions.sum()) * (1 + rate)
        net.append(nav / before - 1)
    return np.array(net), np.array(traded)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 0.0005, 0.01]))
def test_pitfall_14_net_returns_are_those_of_a_book_in_dollars(seed, cost):
    weights, returns, cash = world(seed, count=30)
    weights[5:9, 1] = NAN
    found = run(weights, returns, cash, cost)
    for m in range(4):
        net, traded = in_dollars(weights[:, m], returns, cash, cost)
        np.testing.assert_allclose(found.returns[:, m], net, rtol=0, atol=2e-13)
        np.testing.assert_allclose(found.turnover[:, m], traded, rtol=0, atol=1e-12)


def test_pitfall_13_turnover_is_against_the_drifted_weights():
    """Half in a sleeve that gains 20 %: 0.6 of 1.1 is 0.5454..., so going back to a half trades 0.04545... ."""
    weights, returns = np.full((3, 1, 1), 0.5), np.array([[0.2], [0.0], [-0.5]])
    found = run(weights, returns, np.zeros(3), cost=0.0)
    np.testing.assert_allclose(found.turnover[:, 0], [0.5, 0.6 / 1.1 - 0.5, 0.0], atol=1e-15)
    np.testing.assert_allclose(found.returns[:, 0], [0.1, 0.0, -0.25], atol=1e-15)
    paid = run(weights, returns, np.zeros(3), cost=0.01)
    assert paid.returns[1, 0] == pytest.approx(-0.01 * (0.6 / 1.1 - 0.5), rel=0.01)
    assert paid.returns[2, 0] == pytest.approx(-0.25, abs=1e-12)  # nothing drifted, nothing traded


def test_a_week_without_a_decision_holds_what_it_has():
    weights, returns = np.array([[[0.5]], [[NAN]], [[0.5]]]), np.array([[0.2], [0.1], [0.0]])
    found = run(weights, returns, np.zeros(3), cost=0.01)
    assert found.turnover[1, 0] == 0.0
    assert found.returns[1, 0] == pytest.approx(0.6 / 1.1 * 0.1, rel=1e-2)
    assert found.decided[:, 0].tolist() == [True, False, True]
    assert found.invested[1, 0] == pytest.approx(0.6 / 1.1, rel=1e-2)


def test_before_its_first_decision_a_scheme_has_no_record():
    weights, returns, cash = world(count=10)
    weights[:4, 2] = NAN
    found = run(weights, returns, cash)
    for table in (found.returns, found.turnover, found.invested):
        assert np.isnan(table[:, 2]).tolist() == [True] * 4 + [False] * 6
    alone = run(weights[4:, [2]], returns[4:], cash[4:])
    np.testing.assert_allclose(found.returns[4:, 2], alone.returns[:, 0], rtol=0, atol=1e-15)


def test_a_return_that_is_missing_matters_only_to_who_holds_the_sleeve():
    weights, returns, cash = world(count=10)
    weights[:, 1, 2] = 0.0
    returns[3, 2] = NAN
    found = run(weights, returns, cash)
    assert np.isnan(found.returns[3]).tolist() == [True, False, True, True]
    assert np.isfinite(np.delete(found.returns, 3, axis=0)).all()
    cash[5] = NAN
    weights[5, 0] = [0.5, 0.5, 0.0]
    assert np.isnan(run(weights, returns, cash).returns[5]).tolist() == [False, True, True, True]


def test_the_newest_decision_has_no_return_yet():
    weights, returns, cash = world(count=10)
    returns[9], cash[9] = NAN, NAN
    found = run(weights, returns, cash)
    assert np.isnan(found.returns[9]).all()
    assert np.isfinite(found.turnover[9]).all()
    assert all(score.weeks == 9 for score in scoreboard(found, default="scheme 0", seed=1, resamples=50))


def test_a_lost_book_stays_lost():
    found = run(np.ones((2, 1, 1)), np.array([[-1.0], [0.1]]), np.zeros(2), cost=0.0)
    assert found.returns[0, 0] == -1.0
    assert np.isfinite(found.returns).all()


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.permutations(range(4)), st.permutations(range(3)))
def test_schemes_and_sleeves_in_another_order(seed, order, sleeves):
    weights, returns, cash = world(seed, count=12)
    found, other = run(weights, returns, cash), run(weights[:, order][:, :, sleeves], returns[:, sleeves], cash)
    np.testing.assert_allclose(other.returns, found.returns[:, order], rtol=0, atol=1e-14)
    np.testing.assert_allclose(other.turnover, found.turnover[:, order], rtol=0, atol=1e-14)


def test_the_future_does_not_change_the_record():
    weights, returns, cash = world()
    cut = run(weights[:20], returns[:20], cash[:20])
    np.testing.assert_array_equal(run(weights, returns, cash).returns[:20], cut.returns)


# -------------------------------------------------------------------------------------------------- scores


def test_scores_are_the_statistics_of_each_scheme():
    weights, returns, cash = world(count=150)
    weights[:20, 3] = NAN
    weights[40:43, 0] = NAN
    weights[50:60, 1] = 0.0
    found = run(weights, returns, cash)
    board = scoreboard(found, default="scheme 0", seed=5, resamples=200)
    ratios = stats.sharpe_moments(found.returns, risk_free=cash)
    variance = float(np.var(ratios.sharpe, ddof=1))
    for score in board:
        m = names(4).index(score.scheme)
        x = found.returns[:, m]
        assert score.weeks == (130 if m == 3 else 150)
        assert score.annual_return == stats.cagr(x, periods=52)
        assert score.volatility == stats.volatility(x, periods=52)
        assert score.sharpe == stats.sharpe(x, periods=52, risk_free=cash)
        assert score.max_drawdown == stats.max_drawdown(x)
        assert score.turnover == pytest.approx(np.nanmean(found.turnover[:, m]) * 52)
        assert score.invested == pytest.approx(np.nanmean(found.invested[:, m]))
        assert score.held == pytest.approx(3 / 150 if m == 0 else 0.0)
        assert score.in_cash == pytest.approx(10 / 150 if m == 1 else 0.0)
        moments = stats.sharpe_moments(x, risk_free=cash)
        expected = stats.deflated_sharpe(moments, trials=4, variance=variance)
        assert score.deflated == pytest.approx(expected, rel=1e-12)
        ratio = partial(stats.sharpe, periods=52)
        sure = interval(ratio, x - cash, seed=5, count=200)
        assert (score.sharpe_low, score.sharpe_high) == (sure.low, sure.high)
        ahead = paired_difference(ratio, x - cash, found.returns[:, 0] - cash, seed=5, count=200)
        assert score.better == ahead.probability or m == 0
    assert [score.rank for score in board] == [1, 2, 3, 4]
    assert [score.sharpe for score in board] == sorted((score.sharpe for score in board), reverse=True)
    assert math.isnan(next(score.better for score in board if score.scheme == "scheme 0"))
    assert len(pd.DataFrame(board).columns) == len(board[0])


def test_a_scheme_is_compared_with_the_default_over_the_weeks_both_know():
    rng = np.random.default_rng(3)
    base = rng.normal(0.0, 0.02, 200)
    other = base + 0.001
    other[:100] = NAN
    base[:100] += 0.05  # good weeks that the other had no part in
    board = scoreboard(record(np.column_stack([base, other])), default="scheme 0", seed=1, resamples=200)
    assert next(score.better for score in board if score.scheme == "scheme 1") == 1.0


def test_pitfall_19_scores_count_the_trials():
    """Thirty schemes without skill: the best looks sure alone, and is not once the trials are counted."""
    returns = np.random.default_rng(8).normal(0.0, 0.02, (520, 30))
    board = scoreboard(record(returns), default="scheme 0", seed=1, resamples=20)
    alone = stats.probabilistic_sharpe(stats.sharpe_moments(returns[:, names(30).index(board[0].scheme)]))
    assert alone > 0.95
    assert board[0].deflated < 0.7
    more = scoreboard(record(returns), default="scheme 0", seed=1, resamples=20, trials=500)
    assert more[0].deflated < board[0].deflated


def test_schemes_alike_rank_by_name_and_those_without_a_ratio_last():
    x = np.random.default_rng(4).normal(0.001, 0.02, 60)
    table = np.column_stack([np.full(60, 0.001), x, np.full(60, NAN), x])
    board = scoreboard(record(table, ["flat", "zeta", "nothing", "alpha"]), default="zeta", seed=1, resamples=50)
    assert [score.scheme for score in board] == ["alpha", "zeta", "flat", "nothing"]
    assert next(score.better for score in board if score.scheme == "alpha") == 0.5
    nothing = board[-1]
    assert nothing.weeks == 0
    assert all(math.isnan(value) for value in nothing[3:])


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.permutations(range(4)))
def test_the_board_is_the_same_whatever_the_order_of_the_schemes(seed, order):
    returns = np.random.default_rng(seed).normal(0.001, 0.02, (60, 4))
    board = scoreboard(record(returns), default="scheme 1", seed=1, resamples=50)
    moved = record(returns[:, order], [names(4)[i] for i in order])
    for one, other in zip(board, scoreboard(moved, default="scheme 1", seed=1, resamples=50), strict=True):
        assert other[:2] == one[:2]
        assert other[2:] == pytest.approx(one[2:], rel=1e-9, nan_ok=True)


# ------------------------------------------------------------------------------------------------ champion

RULE = Rule("scheme 0", window_weeks=30, least_weeks=10, margin=0.5, rest_weeks=8)


def by_hand(found: Record, rule: Rule) -> list[str]:
    """The rule, week by week, with plain pandas."""
    excess = pd.DataFrame(found.returns - found.cash[:, None], columns=list(found.schemes))
    held, since, chosen = rule.default, 0, []
    for week, day in enumerate(found.begins):
        past = excess[found.ends < day].iloc[-rule.window_weeks :]
        leads = {}
        for name in sorted(set(found.schemes) - {held}):
            both = past[[name, held]].dropna()
            if len(both) >= rule.least_weeks:
                ratio = both.mean() / both.std() * 52**0.5
                leads[name] = ratio[name] - ratio[held]
        best = max(leads, key=lambda name: leads[name]) if leads else None
        if best is not None and leads[best] > rule.margin and week - since >= rule.rest_weeks:
            held, since = best, week
        chosen.append(held)
    return chosen


@settings(max_examples=6, deadline=None)
@given(SEEDS)
def test_the_choice_is_that_of_the_rule_by_hand(seed):
    rng = np.random.default_rng(seed)
    returns = rng.normal(0.001, 0.02, (80, 4)) + 0.01 * np.sin(np.arange(80)[:, None] / 8 + np.arange(4))
    returns[:25, 3] = NAN
    found = record(returns, cash=np.full(80, 0.0003))
    assert [choice.scheme for choice in champion(found, RULE)] == by_hand(found, RULE)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(0, 79))
def test_the_choice_of_a_week_does_not_change_with_what_comes_after(seed, week):
    rng = np.random.default_rng(seed)
    returns = rng.normal(0.001, 0.02, (80, 4))
    found = record(returns)
    choices = champion(found, RULE)
    cut = Record(*(part[: week + 1] if isinstance(part, np.ndarray) else part for part in _parts(found)))
    assert _words(champion(cut, RULE)) == _words(choices[: week + 1])
    lied = returns.copy()
    lied[week - 1 if week else 0 :] = rng.normal(0.0, 0.5, lied[week - 1 if week else 0 :].shape).clip(-0.9)
    assert _words(champion(record(lied), RULE)[: week + 1]) == _words(choices[: week + 1])


def _parts(found: Record) -> list:
    return [getattr(found, name) for name in Record.__slots__]


def _words(choices) -> list[str]:
    return [f"{choice.scheme} {choice.reason}" for choice in choices]


def test_a_week_that_ends_on_the_day_of_the_decision_is_not_known_yet():
    returns = np.random.default_rng(5).normal(0.0, 0.02, (40, 2))
    returns[:, 1] += 0.03
    rule = Rule("scheme 0", window_weeks=20, least_weeks=10, margin=0.1, rest_weeks=1)
    on_monday, on_friday = (
        [choice.switched for choice in champion(record(returns, ends=weeks(40)[1] - early), rule)] for early in (0, 3)
    )
    assert on_friday.index(True) == 10  # ten weeks ended on Fridays before
    assert on_monday.index(True) == 11  # the tenth ends at the close of this Monday


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.integers(1, 20), st.sampled_from([0.0, 0.3, 1.0]))
def test_changes_are_never_closer_than_the_rule_says(seed, rest, margin):
    returns = np.random.default_rng(seed).normal(0.0, 0.02, (120, 5))
    rule = Rule("scheme 2", window_weeks=12, least_weeks=8, margin=margin, rest_weeks=rest)
    choices = champion(record(returns), rule)
    changes = [0, *(week for week, choice in enumerate(choices) if choice.switched)]
    assert all(later - earlier >= rest for earlier, later in zip(changes, changes[1:], strict=False))
    schemes = ["scheme 2", *(choice.scheme for choice in choices)]
    assert [choice.switched for choice in choices] == [a != b for a, b in zip(schemes, schemes[1:], strict=False)]
    assert all(choice.lead > margin for choice in choices if choice.switched)


def test_two_schemes_within_the_margin_do_not_take_turns():
    """The lead swings from one to the other and never exceeds the margin: no change in ten years."""
    base = np.random.default_rng(6).normal(0.001, 0.02, 520)
    swing = 0.0004 * np.sin(np.arange(520) / 20)
    found = record(np.column_stack([base + swing, base - swing]))
    wide, none = (
        champion(found, Rule("scheme 0", window_weeks=52, least_weeks=26, margin=margin, rest_weeks=1))
        for margin in (0.5, 0.0)
    )
    assert not any(choice.switched for choice in wide)
    assert sum(choice.switched for choice in none) > 5  # without a margin it would have
    assert np.nanmax([choice.lead for choice in wide]) > 0.0


def test_a_scheme_that_is_clearly_better_takes_over_once_and_stays():
    returns = np.random.default_rng(7).normal(0.0, 0.02, (200, 3))
    returns[:, 1] += 0.02
    choices = champion(record(returns), RULE)
    assert sum(choice.switched for choice in choices) == 1
    assert choices[-1].scheme == "scheme 1"


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.permutations(range(4)))
def test_ties_and_the_order_of_the_schemes_do_not_matter(seed, order):
    rng = np.random.default_rng(seed)
    table = np.column_stack([rng.normal(-0.005, 0.02, 60), *[rng.normal(0.005, 0.02, 60)] * 3])
    choices = champion(record(table), RULE)
    moved = champion(record(table[:, order], [names(4)[i] for i in order]), RULE)
    assert [choice.scheme for choice in moved] == [choice.scheme for choice in choices]
    assert {choice.scheme for choice in choices} <= {"scheme 0", "scheme 1"}
    assert "scheme 3" not in {choice.challenger for choice in choices}


def test_reasons_in_words():
    returns = np.random.default_rng(9).normal(0.0, 0.02, (60, 2))
    returns[:, 1] += 0.02
    rule = Rule("scheme 0", window_weeks=20, least_weeks=10, margin=0.5, rest_weeks=30)
    choices = champion(record(returns), rule)
    assert choices[0].reason == "keeps scheme 0: no other scheme shares 10 weeks of record with it"
    assert choices[0].challenger is None
    assert math.isnan(choices[0].lead)
    assert choices[20].reason.startswith("keeps scheme 0: scheme 1 leads by a Sharpe ratio of ")
    assert choices[20].reason.endswith("but only 20 of 30 weeks have passed since the last change")
    assert choices[30].reason.startswith("changes from scheme 0: scheme 1 leads by")
    assert choices[59].reason.endswith("more than 0.50 is needed")
    assert choices[59].lead < 0.0


def test_a_scheme_in_cash_has_a_ratio_of_nothing_and_can_be_replaced():
    returns = np.column_stack([np.full(40, 0.0005), np.random.default_rng(1).normal(0.01, 0.02, 40)])
    cash = np.full(40, 0.0005)
    choices = champion(record(returns, cash=cash), Rule("scheme 0", 20, 10, 0.5, 5))
    assert choices[-1].scheme == "scheme 1"
    falling = np.column_stack([np.random.default_rng(1).normal(-0.01, 0.02, 40), np.full(40, 0.0005)])
    assert champion(record(falling, cash=cash), Rule("scheme 0", 20, 10, 0.5, 5))[-1].scheme == "scheme 1"


# -------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w, r, c: run(w, r[:, :2], c), "must be"),
        (lambda w, r, c: run(np.where(np.arange(3) == 1, NAN, w), r, c), "partly NaN"),
        (lambda w, r, c: run(w, r * np.inf, c), "finite"),
        (lambda w, r, c: run(w, r, c, cost=0.5), "cost"),
        (lambda w, r, c: run(w, r, c, cost=NAN), "cost"),
        (lambda w, r, c: out_of_sample(names(4), *weeks(60), w, r, c[:5], cost=0.0), "cash"),
        (lambda w, r, c: out_of_sample(["a"] * 4, *weeks(60), w, r, c, cost=0.0), "twice"),
        (lambda w, r, c: out_of_sample(names(4), *weeks(60)[::-1], w, r, c, cost=0.0), "in order"),
        (lambda w, r, c: out_of_sample(names(4), *(d[::-1] for d in weeks(60)), w, r, c, cost=0.0), "in order"),
        (lambda w, r, c: scoreboard(run(w, r, c), default="nobody", seed=1), "nobody"),
        (lambda w, r, c: champion(run(w, r, c), Rule("nobody")), "nobody"),
        (lambda w, r, c: Rule("a", least_weeks=1), "least_weeks"),
        (lambda w, r, c: Rule("a", window_weeks=50, least_weeks=51), "least_weeks"),
        (lambda w, r, c: Rule("a", margin=-0.1), "margin"),
        (lambda w, r, c: Rule("a", margin=NAN), "margin"),
        (lambda w, r, c: Rule("a", rest_weeks=0), "rest_weeks"),
    ],
)
def test_nonsense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(*world())
