"""The vectorised backtest against a slow and obvious one, and the properties every book has."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pas_dagster.analytics.backtest import Path, book_returns, run_book, simulate, weekly
from pas_dagster.analytics.capacity import capacity
from pas_dagster.analytics.costs import Impact, ImpactTables, impact_tables

NAN = float("nan")


# ------------------------------------------------------------------------------ the slow and obvious one


def reference(weights, fills, returns, cost, last, capital=1.0, interest=None, impact=None):
    """One day at a time, one position at a time, in dollars; the post-cost value by bisection."""
    sessions, names = returns.shape
    cost = np.broadcast_to(cost, names)
    target_of = {int(fill): weights[row] for row, fill in enumerate(fills)}
    row_of = {int(fill): row for row, fill in enumerate(fills)}
    cash, position = capital, {}
    rows = []
    for day in range(sessions):
        before = cash + sum(position.values())
        if interest is not None:
            cash *= 1.0 + interest[day]
        for name in list(position):
            if not math.isnan(returns[day, name]):
                position[name] *= 1.0 + returns[day, name]
            if last[name] == day:
                cash += position.pop(name)
        value = after = cash + sum(position.values())
        traded = pressed = unpriced = 0.0
        if day in target_of:
            frozen = {name: held for name, held in position.items() if math.isnan(returns[day, name])}
            wanted = {
                name: float(weight)
                for name, weight in enumerate(target_of[day])
                if weight > 0 and not math.isnan(returns[day, name]) and not 0 <= last[name] <= day
            }
            rates = dict(enumerate(cost))
            if impact is not None:
                pressure = impact_of_each(impact, row_of[day], asked(value, frozen, wanted), position, frozen, value)
                rates |= {name: min(cost[name] + extra, 0.5) for name, extra in pressure.items() if extra is not None}
            after, bought, trades = settle(value, position, frozen, wanted, rates)
            traded = sum(trades.values())
            if impact is not None:
                pressed = sum((rates[name] - cost[name]) * dollars for name, dollars in trades.items())
                unpriced = sum(dollars for name, dollars in trades.items() if pressure.get(name, 0.0) is None)
            position = frozen | bought
            cash = after - sum(position.values())
        rows.append(
            {
                "net": after / before - 1.0,
                "gross": value / before - 1.0,
                "turnover": traded / value,
                "exposure": sum(position.values()) / after,
                "nav": after / capital,
                "impact": pressed / before,
                "unpriced": unpriced / value,
            }
        )
    final = np.array([position.get(name, 0.0) / after for name in range(names)])
    return pd.DataFrame(rows), final


def asked(after, frozen, wanted):
    """Dollars wanted of each name if the book is worth so much once the trade is paid."""
    room = after - sum(frozen.values())
    dollars = {name: weight * after for name, weight in wanted.items()}
    total = sum(dollars.values())
    return {name: one * room / total for name, one in dollars.items()} if total > room else dollars


def sizes(goal, position, frozen):
    """Dollars traded in each name that is not frozen."""
    traded = (set(position) | set(goal)) - set(frozen)
    return {name: abs(goal.get(name, 0.0) - position.get(name, 0.0)) for name in traded}


def impact_of_each(impact, row, goal, position, frozen, value):
    """The impact on each name at its size before costs, as in a book of the constant capital; None if not known."""
    found = {}
    for name, dollars in sizes(goal, position, frozen).items():
        volume, sigma = float(impact.volume[row, name]), float(impact.volatility[row, name])
        order = dollars / value * impact.capital
        if math.isnan(volume) or math.isnan(sigma):
            found[name] = None
        elif order == 0.0 or sigma == 0.0 or impact.coefficient == 0.0:
            found[name] = 0.0
        else:
            found[name] = impact.coefficient * sigma * math.sqrt(order / volume) if volume > 0.0 else math.inf
    return found


def settle(value, position, frozen, wanted, rates):
    """Bisect on the value after costs: more value left means more bought, so one crossing."""

    def spent(after):
        trades = sizes(asked(after, frozen, wanted), position, frozen)
        return after + sum(rates[name] * dollars for name, dollars in trades.items())

    low, high = sum(frozen.values()), value
    for _ in range(200):
        middle = (low + high) / 2
        if spent(middle) > value:
            high = middle
        else:
            low = middle
    goal = asked(high, frozen, wanted)
    return high, goal, sizes(goal, position, frozen)


def assert_equal(path: Path, expected: pd.DataFrame, final: np.ndarray) -> None:
    for column in expected:
        np.testing.assert_allclose(getattr(path, column), expected[column], rtol=1e-10, atol=1e-10, err_msg=column)
    np.testing.assert_allclose(path.cost, expected["gross"] - expected["net"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(path.final, final, rtol=1e-10, atol=1e-10)


# -------------------------------------------------------------------------------------------------- worlds


@st.composite
def worlds(draw):
    """A small market with gaps and delistings, a few rebalances with cash, and a cost."""
    sessions, names = draw(st.integers(1, 22)), draw(st.integers(1, 6))
    some_return = st.floats(-0.5, 1.0) | st.just(0.0) | st.just(NAN)
    returns = draw(arrays(np.float64, (sessions, names), elements=some_return, fill=st.nothing()))
    days = st.lists(st.integers(0, sessions - 1), unique=True, max_size=sessions)
    fills = np.array(sorted(draw(days)), dtype=np.int64)
    parts = draw(arrays(np.int64, (len(fills), names), elements=st.integers(0, 4), fill=st.nothing()))
    cash = draw(arrays(np.int64, (len(fills), 1), elements=st.integers(0, 4)))
    weights = parts / np.maximum(parts.sum(axis=1, keepdims=True) + cash, 1)
    last = draw(arrays(np.int64, names, elements=st.integers(-1, sessions + 2) | st.just(-1)))
    rates = st.sampled_from([0.0, 0.0005, 0.03, 0.45])
    cost = draw(rates | arrays(np.float64, names, elements=rates))
    return weights, fills, returns, cost, last


@st.composite
def rich_worlds(draw):
    """A world with interest, negative at times, and market impact from none to more than a name is worth."""
    world = draw(worlds())
    _, fills, returns, _, _ = world
    interest = draw(arrays(np.float64, len(returns), elements=st.floats(-0.05, 0.1), fill=st.nothing()))
    some_volume = st.floats(1e3, 1e9) | st.just(NAN) | st.just(0.0)
    some_sigma = st.floats(0.001, 0.6) | st.just(NAN) | st.just(0.0)
    shape = (len(fills), returns.shape[1])
    volume = draw(arrays(np.float64, shape, elements=some_volume, fill=st.nothing()))
    volatility = draw(arrays(np.float64, shape, elements=some_sigma, fill=st.nothing()))
    capital, coefficient = draw(st.floats(1.0, 1e8)), draw(st.sampled_from([0.0, 0.3, 1.0, 3.0]))
    return world, interest, Impact(capital, volume, volatility, coefficient)


def rich_large_world(seed):
    """Interest of about 5 % a year; orders of up to a few days' volume."""
    world = large_world(seed)
    rng = np.random.default_rng(seed + 100)
    shape = (len(world[1]), world[2].shape[1])
    volume = np.exp(rng.normal(16.0, 2.0, shape))
    volume[rng.random(shape) < 0.05] = NAN
    return world, rng.uniform(0.0, 0.0004, len(world[2])), Impact(2e6, volume, rng.uniform(0.005, 0.05, shape))


def large_world(seed, sessions=700, names=90):
    """Three years of a market with gaps, delistings (with their own returns) and partly invested books."""
    rng = np.random.default_rng(seed)
    returns = rng.standard_t(4, (sessions, names)) * 0.015
    returns = np.maximum(returns, -0.9)
    returns[rng.random(returns.shape) < 0.03] = NAN
    last = np.where(rng.random(names) < 0.3, rng.integers(5, sessions, names), -1)
    gone = last >= 0
    returns[last[gone], np.flatnonzero(gone)] = rng.uniform(-1.0, 0.5, gone.sum())
    for name in np.flatnonzero(gone):
        returns[last[name] + 1 :, name] = NAN
    fills = np.sort(rng.choice(sessions, 140, replace=False))
    weights = rng.random((len(fills), names)) * (rng.random((len(fills), names)) < 0.2)
    weights *= rng.uniform(0.3, 1.0, (len(fills), 1)) / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    weights[::17] = 0.0
    return weights, fills, returns, rng.uniform(0.0, 0.003, names), last


def run(world, interest=None, impact=None, *, trades=False) -> Path:
    weights, fills, returns, cost, last = world
    return simulate(weights, fills, returns, cost=cost, last=last, cash=interest, impact=impact, trades=trades)


def cut(world, sessions):
    """The same world as it was known after so many sessions."""
    weights, fills, returns, cost, last = world
    known = fills < sessions
    return weights[known], fills[known], returns[:sessions], cost, last


def cut_rich(rich, sessions):
    """The same of a world with interest and impact."""
    world, interest, impact = rich
    return cut(world, sessions), interest[:sessions], rows_of(impact, world[1] < sessions)


def rows_of(impact, chosen):
    return Impact(impact.capital, impact.volume[chosen], impact.volatility[chosen], impact.coefficient)


DAILY = ("net", "gross", "turnover", "cost", "exposure", "nav", "impact", "unpriced")


def bits(path: Path) -> list[bytes]:
    return [getattr(path, name).tobytes() for name in DAILY]


# -------------------------------------------------------------------------------------------------- proofs


@settings(max_examples=400, deadline=None)
@given(worlds())
def test_equals_the_slow_backtest(world):
    assert_equal(run(world), *reference(*world))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_equals_the_slow_backtest_on_a_large_case(seed):
    world = large_world(seed)
    path = run(world)
    assert_equal(path, *reference(*world))
    assert path.turnover.max() > 0.5
    assert 0.05 < path.exposure.mean() < 1.0


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_every_book_keeps_its_accounts(world):
    weights, fills, returns, cost, last = world
    path = run(world)
    np.testing.assert_array_equal(path.nav, np.cumprod(1.0 + path.net))
    np.testing.assert_allclose(path.net, path.gross - path.cost, rtol=0, atol=1e-15)
    assert (path.cost >= -1e-15).all()
    assert (path.exposure >= -1e-12).all()
    assert (path.exposure <= 1.0 + 1e-12).all()
    quiet = np.setdiff1d(np.arange(len(returns)), fills)
    assert not path.turnover[quiet].any()
    assert not path.cost[quiet].any()
    free = simulate(weights, fills, returns, cost=0.0, last=last)
    np.testing.assert_array_equal(free.net, free.gross)
    if not np.isnan(returns).any():  # a frozen holding weighs more in a book that has paid
        assert (path.nav <= free.nav * (1.0 + 1e-12)).all()


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_the_size_of_the_account_does_not_matter(world):
    small, _ = reference(*world)
    large, _ = reference(*world, capital=1e7)
    np.testing.assert_allclose(run(world).net, large["net"], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(small["turnover"], large["turnover"], rtol=1e-9, atol=1e-9)


@settings(max_examples=150, deadline=None)
@given(worlds(), st.data())
def test_the_future_never_changes_the_past(world, data):
    sessions = data.draw(st.integers(1, len(world[2])))
    whole, early = run(world), run(cut(world, sessions))
    for name in ("net", "gross", "turnover", "cost", "exposure", "nav"):
        assert getattr(whole, name)[:sessions].tobytes() == getattr(early, name).tobytes(), name


@pytest.mark.parametrize("seed", [4, 5])
def test_the_future_never_changes_a_long_past(seed):
    world = large_world(seed)
    whole = run(world)
    for sessions in (1, 2, 9, 250, 251, 399, 699):
        early = run(cut(world, sessions))
        for name in ("net", "gross", "turnover", "cost", "exposure", "nav"):
            assert getattr(whole, name)[:sessions].tobytes() == getattr(early, name).tobytes(), name


def test_one_session_alone_equals_the_long_run_bit_for_bit():
    world = large_world(6)
    weights, fills, returns, cost, last = world
    whole = run(world)
    for day in range(int(fills[0]) + 1, len(returns)):
        before = run(cut(world, int(fills[fills < day][-1]) + 1))  # up to the last fill before the day
        first = before.held_since + 1
        window = slice(first, day + 1)
        inside = (fills >= first) & (fills <= day)
        shifted = np.where(last >= 0, np.maximum(last - first, 0), -1)
        alone = simulate(
            weights[inside], fills[inside] - first, returns[window], cost=cost, last=shifted, start=before.held
        )
        for name in ("net", "gross", "turnover", "cost", "exposure"):
            assert getattr(alone, name)[-1] == getattr(whole, name)[day], (name, day)


def test_the_last_two_rebalances_are_enough_when_every_name_has_a_bar():
    rng = np.random.default_rng(8)
    returns = rng.normal(0.0, 0.02, (400, 60))
    fills = np.arange(3, 400, 5)
    weights = rng.dirichlet(np.ones(60), len(fills)) * (rng.random((len(fills), 60)) < 0.5)
    whole = simulate(weights, fills, returns, cost=0.001)
    for day in range(20, 400):
        rows = np.flatnonzero(fills <= day)[-2:]
        first = fills[rows[0]]
        alone = simulate(weights[rows], fills[rows] - first, returns[first : day + 1], cost=0.001)
        assert alone.net[-1] == whole.net[day]
        assert alone.turnover[-1] == whole.turnover[day]


@settings(max_examples=100, deadline=None)
@given(worlds(), st.data())
def test_final_holdings_continue_the_run(world, data):
    weights, fills, returns, cost, last = world
    first = data.draw(st.integers(0, len(returns)))
    whole, early = run(world), run(cut(world, first))
    later = fills >= first
    shifted = np.where(last >= 0, np.maximum(last - first, 0), -1)
    rest = simulate(weights[later], fills[later] - first, returns[first:], cost=cost, last=shifted, start=early.final)
    np.testing.assert_allclose(np.concatenate([early.net, rest.net]), whole.net, rtol=1e-10, atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_the_names_does_not_matter(world, random):
    weights, fills, returns, cost, last = world
    order = list(range(returns.shape[1]))
    random.shuffle(order)
    rates = np.broadcast_to(cost, len(order))[order]
    shuffled = simulate(weights[:, order], fills, returns[:, order], cost=rates, last=last[order])
    np.testing.assert_allclose(shuffled.net, run(world).net, rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------------------ proofs, with interest and impact


@settings(max_examples=250, deadline=None)
@given(rich_worlds())
def test_interest_and_impact_equal_the_slow_backtest(rich):
    world, interest, impact = rich
    assert_equal(run(*rich), *reference(*world, capital=3e4, interest=interest, impact=impact))


@pytest.mark.parametrize("seed", [1, 2])
def test_interest_and_impact_equal_the_slow_backtest_on_a_large_case(seed):
    rich = rich_large_world(seed)
    world, interest, impact = rich
    path = run(*rich)
    assert_equal(path, *reference(*world, interest=interest, impact=impact))
    assert path.impact.sum() > 0.3 * path.cost.sum()
    assert 0.01 < path.unpriced.sum() / path.turnover.sum() < 0.2


@settings(max_examples=100, deadline=None)
@given(rich_worlds(), st.data())
def test_the_future_never_changes_the_past_of_interest_and_impact(rich, data):
    sessions = data.draw(st.integers(1, len(rich[1])))
    whole, early = run(*rich), run(*cut_rich(rich, sessions))
    for name in DAILY:
        assert getattr(whole, name)[:sessions].tobytes() == getattr(early, name).tobytes(), name


def test_one_session_alone_equals_the_long_run_bit_for_bit_with_interest_and_impact():
    rich = rich_large_world(6)
    (weights, fills, returns, cost, last), interest, impact = rich
    whole = run(*rich)
    for day in range(int(fills[0]) + 1, len(returns), 5):
        before = run(*cut_rich(rich, int(fills[fills < day][-1]) + 1))
        first = before.held_since + 1
        inside = (fills >= first) & (fills <= day)
        alone = simulate(
            weights[inside],
            fills[inside] - first,
            returns[first : day + 1],
            cost=cost,
            last=np.where(last >= 0, np.maximum(last - first, 0), -1),
            start=before.held,
            cash=interest[first : day + 1],
            impact=rows_of(impact, inside),
        )
        for name in DAILY:
            if name != "nav":
                assert getattr(alone, name)[-1] == getattr(whole, name)[day], (name, day)


@settings(max_examples=100, deadline=None)
@given(rich_worlds(), st.data())
def test_final_holdings_continue_a_run_with_interest_and_impact(rich, data):
    (weights, fills, returns, cost, last), interest, impact = rich
    first = data.draw(st.integers(0, len(returns)))
    whole, early = run(*rich), run(*cut_rich(rich, first))
    later = fills >= first
    rest = simulate(
        weights[later],
        fills[later] - first,
        returns[first:],
        cost=cost,
        last=np.where(last >= 0, np.maximum(last - first, 0), -1),
        start=early.final,
        cash=interest[first:],
        impact=rows_of(impact, later),
    )
    np.testing.assert_allclose(np.concatenate([early.net, rest.net]), whole.net, rtol=1e-10, atol=1e-10)


@settings(max_examples=100, deadline=None)
@given(rich_worlds())
def test_no_interest_and_no_impact_change_nothing(rich):
    world, interest, impact = rich
    idle = Impact(impact.capital, impact.volume, impact.volatility, 0.0)
    plain, same = run(world), run(world, np.zeros_like(interest), idle)
    for name in DAILY:
        if name != "unpriced":
            assert getattr(plain, name).tobytes() == getattr(same, name).tobytes(), name


@settings(max_examples=100, deadline=None)
@given(rich_worlds())
def test_more_capital_costs_more(rich):
    (weights, fills, returns, cost, last), interest, impact = rich
    whole = (weights, fills, np.nan_to_num(returns), cost, last)  # a frozen holding weighs more in a book that paid
    paths = [
        run(whole, interest, Impact(size * impact.capital, impact.volume, impact.volatility, impact.coefficient))
        for size in (0.5, 1.0, 7.0)
    ]
    for small, large in zip(paths, paths[1:], strict=False):
        assert (large.cost >= small.cost - 1e-12).all()
        assert (large.nav <= small.nav * (1.0 + 1e-12)).all()
        np.testing.assert_allclose(small.gross, large.gross, rtol=0, atol=1e-12)


@settings(max_examples=150, deadline=None)
@given(rich_worlds())
def test_trades_explain_the_turnover(rich):
    world, fills = rich[0], rich[0][1]
    path = run(*rich, trades=True)
    assert bits(path) == bits(run(*rich))
    made = path.trades
    assert made is not None
    assert (np.diff(made.fill) >= 0).all()
    assert (np.diff(made.name)[np.diff(made.fill) == 0] > 0).all()
    assert made.weight.all()
    sizes_at = np.zeros(len(path.net))
    np.add.at(sizes_at, fills[made.fill], np.abs(made.weight))
    np.testing.assert_allclose(sizes_at, path.turnover, rtol=0, atol=1e-14)
    assert not np.isnan(world[2][fills[made.fill], made.name]).any()  # what has no bar is not traded


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 6), st.data())
def test_impact_at_the_size_before_costs_is_off_by_the_square_of_a_small_number(names, data):
    """Against V' with the impact of what is traded in the end, within 2 C m."""
    part = arrays(np.float64, names, elements=st.floats(0.0, 1.0))
    held, wanted = (one / max(one.sum(), 1.0) for one in (data.draw(part), data.draw(part)))
    scale = data.draw(arrays(np.float64, names, elements=st.floats(0.0, 0.8)))
    linear = data.draw(st.sampled_from([0.0, 0.001, 0.1]))
    impact = Impact(1.0, np.ones((1, names)), scale[None, :])
    kept = (
        1.0
        - simulate(wanted[None, :], np.array([0]), np.zeros((1, names)), cost=linear, start=held, impact=impact).cost[0]
    )
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        trade = np.abs(wanted * middle - held)
        pressure = np.minimum(scale * np.sqrt(trade), 0.5 - linear)
        low, high = (low, middle) if middle + np.sum((linear + pressure) * trade) > 1.0 else (middle, high)
    assert abs(kept - high) <= 2.0 * (1.0 - high) * pressure.max() + 1e-12


# ------------------------------------------------------------------------------------- small known answers


def column(*values):
    return np.array(values, dtype=float)[:, None]


def test_the_old_holdings_earn_on_the_fill_session():
    returns = np.array([[0.0, 0.0], [0.10, 0.50], [0.0, 0.20]])
    path = simulate(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1]), returns, cost=0.0)
    np.testing.assert_allclose(path.net, [0.0, 0.10, 0.20], atol=1e-15)
    np.testing.assert_allclose(path.turnover, [1.0, 2.0, 0.0], atol=1e-15)


def test_the_cost_of_buying_is_paid_from_the_book():
    path = simulate(np.array([[1.0]]), np.array([0]), column(0.3, 0.0), cost=0.01)
    assert path.nav[0] == pytest.approx(1.0 / 1.01, abs=1e-15)  # V' = 1 - 0.01 V'
    assert path.turnover[0] == pytest.approx(1.0 / 1.01, abs=1e-15)
    assert path.gross[0] == 0.0


def test_turnover_is_measured_from_drifted_holdings():
    returns = np.array([[0.0, 0.0], [1.0, 0.0]])
    weights = np.array([[0.5, 0.5], [0.5, 0.5]])
    path = simulate(weights, np.array([0, 1]), returns, cost=0.0)
    assert path.turnover[1] == pytest.approx(1.0 / 3.0)  # 2/3 and 1/3 back to a half each


def test_a_holding_without_a_bar_is_carried_and_its_next_return_spans_the_gap():
    path = simulate(np.array([[1.0]]), np.array([0]), column(0.0, NAN, 0.21), cost=0.0)
    np.testing.assert_allclose(path.net, [0.0, 0.0, 0.21], atol=1e-15)


def test_a_frozen_holding_scales_the_targets_that_do_not_fit():
    returns = np.array([[0.0, 0.0, 0.0], [NAN, 0.0, 0.0]])
    weights = np.array([[0.6, 0.0, 0.0], [0.0, 0.4, 0.4]])
    path = simulate(weights, np.array([0, 1]), returns, cost=0.0)
    np.testing.assert_allclose(path.final, [0.6, 0.2, 0.2], atol=1e-15)


def test_a_frozen_holding_that_fits_leaves_the_targets_alone():
    returns = np.array([[0.0, 0.0], [NAN, 0.0]])
    path = simulate(np.array([[0.6, 0.0], [0.0, 0.3]]), np.array([0, 1]), returns, cost=0.0)
    np.testing.assert_allclose(path.final, [0.6, 0.3], atol=1e-15)


def test_a_wholly_frozen_book_buys_nothing_and_pays_nothing():
    returns = np.array([[0.0, 0.0], [NAN, 0.0]])
    path = simulate(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1]), returns, cost=0.01)
    assert path.net[1] == 0.0
    np.testing.assert_array_equal(path.final, [1.0, 0.0])


def test_a_target_without_a_bar_stays_cash():
    returns = np.array([[NAN, 0.0], [0.5, 0.1]])
    path = simulate(np.array([[0.5, 0.5]]), np.array([0]), returns, cost=0.0)
    assert path.net[1] == pytest.approx(0.05)
    assert path.exposure[0] == 0.5


def test_a_delisting_earns_its_return_and_is_cash_from_then_on():
    """Pitfall 18: a name that left has a last return, else only survivors are measured."""
    returns = column(0.0, -0.3, 0.9, 0.9)
    path = simulate(np.array([[1.0], [1.0]]), np.array([0, 2]), returns, cost=0.0, last=np.array([1]))
    np.testing.assert_allclose(path.net, [0.0, -0.3, 0.0, 0.0], atol=1e-15)
    np.testing.assert_array_equal(path.exposure, [1.0, 0.0, 0.0, 0.0])
    np.testing.assert_array_equal(path.final, [0.0])


def test_a_name_cannot_be_bought_at_the_close_of_its_last_session():
    path = simulate(np.array([[1.0]]), np.array([1]), column(0.0, 0.1, 0.1), cost=0.01, last=np.array([1]))
    assert not path.turnover.any()


def test_an_empty_row_sells_everything():
    path = simulate(np.array([[1.0], [0.0]]), np.array([0, 1]), column(0.0, 0.1, 0.1), cost=0.0)
    np.testing.assert_allclose(path.net, [0.0, 0.1, 0.0], atol=1e-15)


def test_before_the_first_fill_everything_is_cash():
    path = simulate(np.array([[1.0]]), np.array([2]), column(0.5, 0.5, 0.5, 0.5), cost=0.0)
    np.testing.assert_allclose(path.net, [0.0, 0.0, 0.0, 0.5], atol=1e-15)
    assert path.held_since == 2


def test_cash_earns_its_return_before_and_between_fills():
    path = simulate(np.array([[0.5]]), np.array([1]), column(0.0, 0.0, 0.1, 0.0), cost=0.0, cash=np.full(4, 0.02))
    # 1.02; 1.02 * 1.02; then half of it at 10 % and half at 2 %; then 0.51 of 1.06 in cash
    np.testing.assert_allclose(path.net, [0.02, 0.02, 0.06, 0.51 * 0.02 / 1.06], atol=1e-15)
    np.testing.assert_allclose(path.exposure, [0.0, 0.5, 0.55 / 1.06, 0.55 / (0.55 + 0.51 * 1.02)], atol=1e-15)


def test_what_a_delisting_leaves_earns_from_the_next_session_on():
    returns, cash = column(0.0, -0.5, 0.0, 0.0), np.full(4, 0.1)
    path = simulate(np.array([[1.0]]), np.array([0]), returns, cost=0.0, last=np.array([1]), cash=cash)
    np.testing.assert_allclose(path.net, [0.1, -0.5, 0.1, 0.1], atol=1e-15)


def test_a_fully_invested_book_earns_no_interest():
    path = simulate(np.array([[1.0]]), np.array([0]), column(0.0, 0.1, 0.1), cost=0.0, cash=np.full(3, 0.5))
    np.testing.assert_allclose(path.net, [0.5, 0.1, 0.1], atol=1e-15)


def test_a_book_that_lost_everything_earns_no_interest():
    path = simulate(np.array([[1.0]]), np.array([0]), column(0.0, -1.0, 0.1), cost=0.0, cash=np.full(3, 0.5))
    np.testing.assert_array_equal(path.net[1:], [-1.0, 0.0])
    half = simulate(np.array([[0.5]]), np.array([0]), column(0.0, -1.0, 0.1), cost=0.0, cash=np.full(3, 0.5))
    np.testing.assert_allclose(half.net[1:], [-0.25, 0.5])  # 0.5 of cash becomes 0.75


def bought(weight=1.0, volume=4e6, volatility=0.02, capital=1e6, cost=0.0):
    """One name bought with impact on the first of two quiet sessions."""
    impact = Impact(capital, np.array([[volume]]), np.array([[volatility]]))
    return simulate(np.array([[weight]]), np.array([0]), column(0.0, 0.0), impact=impact, cost=cost)


def test_a_quarter_of_a_days_volume_costs_half_a_days_volatility():
    path = bought()  # 0.02 * sqrt(1e6 / 4e6) = 0.01
    assert path.nav[0] == pytest.approx(1.0 / 1.01, abs=1e-15)
    assert path.impact[0] == pytest.approx(0.01 / 1.01, abs=1e-15)
    assert bought(weight=0.25).nav[0] == pytest.approx(1.0 / (1.0 + 0.25 * 0.005), abs=1e-15)
    assert bought(cost=0.002).impact[0] == pytest.approx(0.01 / 1.012, abs=1e-15)


def test_no_dollar_costs_more_than_half_of_itself():
    for dear in (bought(volume=0.0), bought(capital=1e14), bought(volatility=1e9), bought(volume=1.0, cost=0.3)):
        assert dear.nav[0] == pytest.approx(1.0 / 1.5, abs=1e-14)
    assert bought(volume=0.0, cost=0.3).impact[0] == pytest.approx(0.2 / 1.5, abs=1e-14)


def test_a_trade_of_unknown_volume_has_no_impact_and_is_counted():
    for blind in (bought(weight=0.5, volume=NAN), bought(weight=0.5, volatility=NAN)):
        np.testing.assert_array_equal(blind.net, 0.0)
        np.testing.assert_array_equal(blind.unpriced, [0.5, 0.0])
        np.testing.assert_array_equal(blind.impact, 0.0)
    assert not bought().unpriced.any()


def test_a_frozen_or_delisted_holding_has_no_impact():
    returns = np.array([[0.0, 0.0], [NAN, 0.0]])
    impact = Impact(1e6, np.ones((1, 2)), np.ones((1, 2)))
    path = simulate(np.zeros((1, 2)), np.array([1]), returns, cost=0.0, start=np.array([0.6, 0.0]), impact=impact)
    assert not path.turnover.any()
    start, last = np.array([0.0, 0.6]), np.array([-1, 1])
    path = simulate(np.zeros((1, 2)), np.array([1]), returns, cost=0.0, start=start, last=last, impact=impact)
    assert not path.cost.any()
    assert not path.turnover.any()


def test_trades_are_measured_from_the_drifted_holdings():
    returns = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    weights = np.array([[0.5, 0.5, 0.0], [0.5, 0.0, 0.25]])  # drifted: 2/3, 1/3, 0
    made = simulate(weights, np.array([0, 1]), returns, cost=0.0, trades=True).trades
    assert made is not None
    assert made.fill.tolist() == [0, 0, 1, 1, 1]
    assert made.name.tolist() == [0, 1, 0, 1, 2]
    np.testing.assert_allclose(made.weight, [0.5, 0.5, -1 / 6, -1 / 3, 0.25], atol=1e-15)
    nothing = simulate(weights[:0], np.zeros(0, int), returns, cost=0.0, trades=True).trades
    assert nothing is not None
    assert [len(one) for one in nothing] == [0, 0, 0]


def test_no_fills_and_no_sessions():
    assert not simulate(np.zeros((0, 2)), np.zeros(0, int), np.ones((3, 2)), cost=0.0).net.any()
    nothing = simulate(np.zeros((0, 2)), np.zeros(0, int), np.ones((0, 2)), cost=0.0, start=np.array([0.5, 0.0]))
    assert nothing.net.shape == (0,)
    np.testing.assert_array_equal(nothing.final, [0.5, 0.0])


def test_a_book_that_lost_everything_stays_at_zero():
    returns = np.array([[0.0, 0.0], [-1.0, -1.0], [0.5, 0.5], [0.5, 0.5]])
    path = simulate(np.array([[0.3, 0.7], [1.0, 0.0]]), np.array([0, 2]), returns, cost=0.001)
    np.testing.assert_array_equal(path.net[1:], [-1.0, 0.0, 0.0])
    np.testing.assert_array_equal(path.exposure[1:], 0.0)
    assert np.isnan(path.final).all()
    with pytest.raises(ValueError, match="finite"):
        simulate(np.zeros((0, 2)), np.zeros(0, int), returns, cost=0.0, start=path.final)


def test_one_name_can_lose_everything_while_the_book_goes_on():
    returns = np.array([[0.0, 0.0], [-1.0, 0.0], [0.0, 0.1]])
    path = simulate(np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([0, 1]), returns, cost=0.0)
    np.testing.assert_allclose(path.net, [0.0, -0.5, 0.1], atol=1e-15)


def test_a_read_only_or_transposed_panel_is_left_alone():
    returns = np.asfortranarray(np.random.default_rng(1).normal(0, 0.01, (30, 4)))
    returns.flags.writeable = False
    weights, fills = np.full((2, 4), 0.25), np.array([1, 9])
    one = simulate(weights, fills, returns, cost=0.001)
    assert bits(one) == bits(simulate(weights, fills, returns.copy(order="C"), cost=0.001))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.array([[0.6, 0.6]])}, "at most 1"),
        ({"weights": np.array([[-0.1, 0.6]])}, ">= 0"),
        ({"weights": np.array([[NAN, 0.6]])}, "finite"),
        ({"weights": np.array([[math.inf, 0.6]])}, "finite"),
        ({"weights": np.array([[0.5]])}, "weights must be"),
        ({"fills": np.array([3])}, "below 3"),
        ({"fills": np.array([-1])}, "below 3"),
        ({"fills": np.array([1, 1]), "weights": np.full((2, 2), 0.5)}, "increasing"),
        ({"fills": np.array([0.5])}, "indices"),
        ({"returns": np.zeros(3)}, "sessions, names"),
        ({"returns": np.array([[0.0, 0.0], [-1.1, 0.0], [0.0, 0.0]])}, "below -1"),
        ({"returns": np.array([[0.0, 0.0], [math.inf, 0.0], [0.0, 0.0]])}, "infinite"),
        ({"cost": 5.0}, "basis points"),
        ({"cost": -0.1}, "basis points"),
        ({"cost": np.array([0.1, NAN])}, "basis points"),
        ({"cost": np.zeros(3)}, "one per name"),
        ({"last": np.array([1])}, "one session index per name"),
        ({"cash": np.zeros(2)}, "one return per session"),
        ({"cash": np.array([0.0, NAN, 0.0])}, "return of cash"),
        ({"cash": np.array([0.0, math.inf, 0.0])}, "return of cash"),
        ({"cash": np.array([0.0, -1.0, 0.0])}, "return of cash"),
        ({"impact": Impact(1e6, np.ones((2, 2)), np.ones((2, 2)))}, "impact must be"),
    ],
)
def test_nonsense_is_refused_by_name(change, message):
    good: dict[str, Any] = {"weights": np.array([[0.5, 0.5]]), "fills": np.array([0]), "returns": np.zeros((3, 2))}
    with pytest.raises(ValueError, match=message):
        simulate(**(good | {"cost": 0.0} | change))


# ------------------------------------------------------------------------------------------- pandas edges

DAYS = pd.bdate_range("2024-01-02", periods=6)


def panel():
    rng = np.random.default_rng(3)
    return pd.DataFrame(rng.normal(0, 0.02, (6, 3)), index=DAYS, columns=["A", "B", "C"])


def targets(*rows):
    return pd.DataFrame(rows, columns=["session", "symbol", "weight"])


def test_tables_give_what_arrays_give():
    book = targets((DAYS[3], "C", 1.0), (DAYS[0], "B", 0.25), (DAYS[0], "A", 0.5))
    weights = np.array([[0.5, 0.25, 0.0], [0.0, 0.0, 1.0]])
    path = simulate(weights, np.array([0, 3]), panel().to_numpy(), cost=0.001, last=np.array([-1, 2, -1]))
    frame = book_returns(book, panel(), 0.001, {"B": DAYS[2], "Z": DAYS[0], "A": DAYS[5] + pd.Timedelta(days=9)})
    assert list(frame.columns) == ["net", "gross", "turnover", "cost", "exposure"]
    assert frame.index.equals(DAYS)
    for name in frame:
        np.testing.assert_array_equal(frame[name], getattr(path, name))


def test_interest_and_impact_from_tables():
    book = targets((DAYS[3], "C", 1.0), (DAYS[1], "B", 0.25), (DAYS[1], "A", 0.5))
    rng = np.random.default_rng(4)
    days, symbols = DAYS[[3, 0, 1]], ["C", "B", "A", "Z"]
    volume, volatility = (pd.DataFrame(rng.uniform(0.01, 1.0, (3, 4)), index=days, columns=symbols) for _ in range(2))
    cash = pd.Series(rng.uniform(0.0, 0.01, 7), index=DAYS.union([pd.Timestamp("2023-12-29")]))
    found = run_book(book, panel(), 0.001, cash=cash, impact=ImpactTables(1e-3, volume * 7.0, volatility, 0.5))
    path = simulate(
        np.array([[0.5, 0.25, 0.0], [0.0, 0.0, 1.0]]),
        np.array([1, 3]),
        panel().to_numpy(),
        cost=0.001,
        cash=cash.to_numpy()[1:],
        impact=Impact(
            1e-3,
            volume.loc[DAYS[[1, 3]], ["A", "B", "C"]].to_numpy() * 7.0,
            volatility.loc[DAYS[[1, 3]], ["A", "B", "C"]].to_numpy(),
            0.5,
        ),
    )
    assert list(found.daily.columns) == ["net", "gross", "turnover", "cost", "exposure", "impact", "unpriced"]
    for name in found.daily:
        np.testing.assert_array_equal(found.daily[name], getattr(path, name))
    assert found.trades["session"].tolist() == [DAYS[1]] * 2 + [DAYS[3]] * 3
    assert found.trades["symbol"].tolist() == ["A", "B", "A", "B", "C"]
    assert found.trades["volume"].tolist() == [
        volume.loc[day, name] * 7.0 for day, name in zip(found.trades["session"], found.trades["symbol"], strict=True)
    ]
    again = book_returns(book, panel(), 0.001, cash=cash, impact=ImpactTables(1e-3, volume * 7.0, volatility, 0.5))
    pd.testing.assert_frame_equal(again, found.daily[list(again.columns)])
    assert run_book(book, panel(), 0.001).trades["volume"].isna().all()


def test_from_prices_to_capacity():
    days = pd.bdate_range("2024-01-02", periods=30)
    returns = pd.DataFrame({"A": np.tile([0.01, -0.01], 15), "B": 0.0}, index=days)
    volumes = pd.DataFrame({"A": 1e6, "B": 4e6}, index=days)
    tables = impact_tables(volumes, returns, days[[25]], capital=1e5)
    found = run_book(targets((days[25], "A", 0.5), (days[25], "B", 0.5)), returns.iloc[20:], 0.0, impact=tables)
    rate = returns["A"][5:25].std() * math.sqrt(0.5 * 1e5 / 1e6)  # B does not move, so it has no impact
    assert found.daily["impact"].sum() == pytest.approx(0.5 * rate / (1.0 + 0.5 * rate))
    size = found.trades["weight"].iloc[0]
    assert capacity(found.trades["weight"], found.trades["volume"]) == pytest.approx(0.05 * 1e6 / size)


def test_tables_of_interest_and_impact_that_do_not_fit_are_refused():
    book = targets((DAYS[1], "A", 0.5))
    with pytest.raises(ValueError, match="return of cash: 2024-01-02"):
        book_returns(book, panel(), 0.0, cash=pd.Series(0.0, index=DAYS[1:]))
    whole = pd.DataFrame(1.0, index=DAYS[:2], columns=["A", "B", "C"])
    for part in (whole.iloc[:1], whole[["A", "B"]]):
        for tables in (ImpactTables(1e6, part, whole), ImpactTables(1e6, whole, part)):
            with pytest.raises(ValueError, match="no volume or volatility for (2024-01-03|C)"):
                book_returns(book, panel(), 0.0, impact=tables)


def test_a_fill_without_rows_sells_everything():
    frame = book_returns(targets((DAYS[0], "A", 1.0)), panel(), 0.0, fills=[DAYS[2], DAYS[0]])
    assert frame["exposure"].tolist() == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_no_targets_at_all_is_cash():
    for empty in (targets(), targets().astype({"session": "datetime64[us]", "weight": float})):
        frame = book_returns(empty, panel(), 0.001, fills=[DAYS[1]])
        assert not frame.to_numpy().any()


def test_a_delisting_before_the_panel_or_between_sessions():
    book = targets((DAYS[0], "A", 0.5), (DAYS[0], "B", 0.5))
    friday = DAYS.get_loc(pd.Timestamp("2024-01-05"))
    dead: dict[str, Any] = {"A": pd.Timestamp("2020-01-01"), "B": pd.Timestamp("2024-01-07")}  # long ago; a Sunday
    frame = book_returns(book, panel(), 0.0, dead)
    assert frame["exposure"].iloc[0] == 0.5
    assert (frame["exposure"] > 0).sum() == friday


def test_sessions_with_a_time_zone():
    zoned = panel().tz_localize("America/New_York")
    book = targets((zoned.index[0], "A", 0.5))
    frame = book_returns(book, zoned, 0.0, {"A": zoned.index[2]}, fills=[zoned.index[4]])
    assert frame["exposure"].gt(0).tolist() == [True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("book", "returns", "message"),
    [
        (targets((pd.Timestamp("2024-01-06"), "A", 1.0)), panel(), "fill sessions without returns: 2024-01-06"),
        (targets((DAYS[0], "Q", 1.0)), panel(), "symbols without returns: Q"),
        (targets((DAYS[0], "A", 0.1), (DAYS[0], "A", 0.1)), panel(), "twice"),
        (targets((DAYS[0], "A", NAN)), panel(), "finite"),
        (targets((DAYS[0], "A", 0.1)), panel().iloc[::-1], "ascending"),
        (targets((DAYS[0], "A", 0.1)), panel().set_axis(["A", "A", "B"], axis=1), "unique"),
    ],
)
def test_tables_that_do_not_fit_are_refused(book, returns, message):
    with pytest.raises(ValueError, match=message):
        book_returns(book, returns, 0.0)


def test_weeks_run_from_monday_to_sunday_and_an_empty_one_is_nan():
    days = pd.to_datetime(["2024-01-05", "2024-01-07", "2024-01-08", "2024-01-23"])
    daily = pd.DataFrame({"a": [0.1, 0.1, NAN, 0.2], "b": [NAN, NAN, -0.5, NAN]}, index=days)
    weeks = weekly(daily)
    assert weeks.index.tolist() == list(pd.to_datetime(["2024-01-01", "2024-01-08", "2024-01-15", "2024-01-22"]))
    np.testing.assert_allclose(weeks["a"], [0.21, NAN, NAN, 0.2])
    np.testing.assert_allclose(weeks["b"], [NAN, -0.5, NAN, NAN])


def test_weeks_compound_to_the_same_total():
    rng = np.random.default_rng(5)
    daily = pd.DataFrame(rng.normal(0, 0.02, (300, 2)), index=pd.bdate_range("2023-03-01", periods=300))
    weeks = weekly(daily)
    np.testing.assert_allclose((1 + weeks).prod(), (1 + daily).prod(), rtol=1e-12)
    assert (pd.DatetimeIndex(weeks.index).day_of_week == 0).all()


def test_weeks_of_other_shapes():
    zoned = pd.DataFrame({"a": [0.1]}, index=pd.to_datetime(["2024-01-07"]).tz_localize("America/New_York"))
    assert weekly(zoned).index.tolist() == [pd.Timestamp("2024-01-01")]
    assert weekly(zoned.iloc[:0]).empty
    with pytest.raises(ValueError, match="date"):
        weekly(pd.DataFrame({"a": [0.1]}))
    with pytest.raises(ValueError, match="once"):
        weekly(pd.concat([zoned, zoned]))
