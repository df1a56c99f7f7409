"""The vectorised backtest against a slow and obvious one, and the properties every book has."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pas_dagster.analytics.backtest import Path, book_returns, simulate, weekly

NAN = float("nan")


# ------------------------------------------------------------------------------ the slow and obvious one


def reference(weights, fills, returns, cost, last, capital=1.0):
    """One day at a time, one position at a time, in dollars; the post-cost value by bisection."""
    sessions, names = returns.shape
    cost = np.broadcast_to(cost, names)
    target_of = {int(fill): weights[row] for row, fill in enumerate(fills)}
    cash, position = capital, {}
    rows = []
    for day in range(sessions):
        before = cash + sum(position.values())
        for name in list(position):
            if not math.isnan(returns[day, name]):
                position[name] *= 1.0 + returns[day, name]
            if last[name] == day:
                cash += position.pop(name)
        value = after = cash + sum(position.values())
        traded = 0.0
        if day in target_of:
            frozen = {name: held for name, held in position.items() if math.isnan(returns[day, name])}
            wanted = {
                name: float(weight)
                for name, weight in enumerate(target_of[day])
                if weight > 0 and not math.isnan(returns[day, name]) and not 0 <= last[name] <= day
            }
            after, bought, traded = settle(value, position, frozen, wanted, cost)
            position = frozen | bought
            cash = after - sum(position.values())
        rows.append(
            {
                "net": after / before - 1.0,
                "gross": value / before - 1.0,
                "turnover": traded / value,
                "exposure": sum(position.values()) / after,
                "nav": after / capital,
            }
        )
    final = np.array([position.get(name, 0.0) / after for name in range(names)])
    return pd.DataFrame(rows), final


def settle(value, position, frozen, wanted, cost):
    """Bisect on the value after costs: more value left means more bought, so one crossing."""

    def attempt(after):
        room = after - sum(frozen.values())
        asked = {name: weight * after for name, weight in wanted.items()}
        total = sum(asked.values())
        if total > room:
            asked = {name: dollars * room / total for name, dollars in asked.items()}
        trades = {
            name: abs(asked.get(name, 0.0) - position.get(name, 0.0))
            for name in set(position) | set(asked)
            if name not in frozen
        }
        return asked, trades, after + sum(cost[name] * dollars for name, dollars in trades.items())

    low, high = sum(frozen.values()), value
    for _ in range(200):
        middle = (low + high) / 2
        if attempt(middle)[2] > value:
            high = middle
        else:
            low = middle
    asked, trades, _ = attempt(high)
    return high, asked, sum(trades.values())


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


def run(world) -> Path:
    weights, fills, returns, cost, last = world
    return simulate(weights, fills, returns, cost=cost, last=last)


def cut(world, sessions):
    """The same world as it was known after so many sessions."""
    weights, fills, returns, cost, last = world
    known = fills < sessions
    return weights[known], fills[known], returns[:sessions], cost, last


def bits(path: Path) -> list[bytes]:
    return [getattr(path, name).tobytes() for name in ("net", "gross", "turnover", "cost", "exposure", "nav")]


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
