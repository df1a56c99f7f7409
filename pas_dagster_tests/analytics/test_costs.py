"""What is known of a name before a fill, its market impact, and what cash earns."""

import doctest
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pas_dagster.analytics import costs
from pas_dagster.analytics.costs import Impact, cash_returns, impact_tables, liquidity

NAN = float("nan")


def test_examples():
    results = doctest.testmod(costs)
    assert results.attempted
    assert not results.failed


# ----------------------------------------------------------------------------------------------- liquidity


def markets(seed, sessions=90, names=12):
    rng = np.random.default_rng(seed)
    volumes, returns = np.exp(rng.normal(15, 2, (sessions, names))), rng.normal(0, 0.02, (sessions, names))
    for panel in (volumes, returns):
        panel[rng.random(panel.shape) < 0.2] = NAN
    volumes[:, 0] = NAN
    returns[:55, 1] = NAN  # listed late
    volumes[:, 2] = 0.0
    returns[:, 3] = 0.25
    return volumes, returns


@pytest.mark.parametrize(("window", "least"), [(20, 10), (5, 3), (2, 2)])
def test_liquidity_is_that_of_a_rolling_window_that_ends_the_session_before(window, least):
    volumes, returns = markets(1)
    fills = np.array([0, 1, 4, 9, 10, 11, 20, 33, 34, 64, 65, 66, 89, 90])
    found = liquidity(volumes, returns, fills, window=window)
    room = pd.DataFrame(np.zeros((1, volumes.shape[1])) * NAN)
    for have, panel, statistic in ((found.volume, volumes, "mean"), (found.volatility, returns, "std")):
        rolling = pd.concat([pd.DataFrame(panel), room], ignore_index=True).rolling(window, min_periods=least)
        expected = getattr(rolling, statistic)().shift(1).to_numpy()[fills]
        np.testing.assert_allclose(have, expected, rtol=1e-9, atol=1e-12)
        assert np.isnan(have).any()
        assert not np.isnan(have).all()
    assert np.isnan(found.volume[:, 0]).all()


def test_ten_of_twenty_observations_are_enough_and_nine_are_not():
    volumes = np.full((20, 2), NAN)
    volumes[:10, 0], volumes[:9, 1] = 7.0, 7.0
    found = liquidity(volumes, volumes / 100.0, np.array([20]))
    np.testing.assert_array_equal(found.volume, [[7.0, NAN]])
    np.testing.assert_allclose(found.volatility, [[0.0, NAN]], atol=1e-15)


def test_the_fill_session_and_what_lies_before_the_window_are_not_seen():
    volumes, returns = (np.nan_to_num(panel) for panel in markets(2))
    fills = np.array([40, 41, 60])
    before = liquidity(volumes, returns, fills)
    for panel in (volumes, returns):
        panel[:20] = panel[60:] = 1e9
    after = liquidity(volumes, returns, fills)
    assert before.volume.tobytes() == after.volume.tobytes()
    assert before.volatility.tobytes() == after.volatility.tobytes()


def test_a_window_gives_the_same_bits_wherever_the_panels_begin():
    volumes, returns = markets(3)
    fills = np.array([60, 70, 90])
    whole = liquidity(volumes, returns, fills)
    for first in (1, 17, 40):
        part = liquidity(volumes[first:], returns[first:], fills - first)
        assert whole.volume.tobytes() == part.volume.tobytes()
        assert whole.volatility.tobytes() == part.volatility.tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"volumes": np.ones((3, 1))}, "must both be"),
        ({"volumes": np.ones(3), "returns": np.ones(3)}, "must both be"),
        ({"fills": np.array([4])}, "from 0 to 3"),
        ({"fills": np.array([-1])}, "from 0 to 3"),
        ({"window": 1}, "no standard deviation"),
    ],
)
def test_liquidity_of_nonsense_is_refused(change, message):
    good = {"volumes": np.ones((3, 2)), "returns": np.ones((3, 2)), "fills": np.array([1]), "window": 2}
    with pytest.raises(ValueError, match=message):
        liquidity(**(good | change))


def test_tables_give_what_arrays_give():
    volumes, returns = markets(4)
    days = pd.bdate_range("2024-01-02", periods=90)
    frames = [pd.DataFrame(panel, index=days, columns=list("ABCDEFGHIJKL")) for panel in (volumes, returns)]
    tables = impact_tables(*frames, days[[70, 30, 70]], capital=1e6, coefficient=0.5, window=10)
    expected = liquidity(volumes, returns, np.array([30, 70]), window=10)
    impact = tables.at(days[[70]], pd.Index(["C", "A"]))
    assert (impact.capital, impact.coefficient) == (1e6, 0.5)
    np.testing.assert_array_equal(impact.volume, expected.volume[[1]][:, [2, 0]])
    np.testing.assert_array_equal(impact.volatility, expected.volatility[[1]][:, [2, 0]])
    with pytest.raises(ValueError, match="2024-01-03"):
        tables.at(days[[1]], pd.Index(["A"]))
    with pytest.raises(ValueError, match="for Z"):
        tables.at(days[[30]], pd.Index(["Z"]))
    with pytest.raises(ValueError, match="without volumes: 2024-01-06"):
        impact_tables(*frames, pd.to_datetime(["2024-01-06"]), capital=1e6)
    with pytest.raises(ValueError, match="same sessions and symbols"):
        impact_tables(frames[0].iloc[1:], frames[1], days[[30]], capital=1e6)
    with pytest.raises(ValueError, match="ascending"):
        impact_tables(frames[0].iloc[::-1], frames[1].iloc[::-1], days[[30]], capital=1e6)


# -------------------------------------------------------------------------------------------------- impact


@settings(deadline=None)
@given(
    st.floats(1.0, 1e12),
    arrays(np.float64, 4, elements=st.floats(1.0, 1e12)),
    arrays(np.float64, 4, elements=st.floats(0.0, 1.0)),
    st.floats(1e-6, 1.0),
)
def test_the_scale_times_the_root_of_the_share_is_the_square_root_law(capital, volume, volatility, share):
    impact = Impact(capital, volume[None, :], volatility[None, :], 0.7)
    scale = impact.scale(0, np.array([3, 1]))
    expected = [0.7 * volatility[name] * math.sqrt(share * capital / volume[name]) for name in (3, 1)]
    np.testing.assert_allclose(scale * math.sqrt(share), expected, rtol=1e-12, atol=1e-300)


def test_a_volume_of_zero_has_a_large_but_finite_impact():
    impact = Impact(1e15, np.zeros((1, 2)), np.array([[0.01, 0.0]]))
    scale = impact.scale(0, np.array([0, 1]))
    assert 1e100 < scale[0] < math.inf
    assert scale[1] == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"capital": 0.0}, "capital"),
        ({"capital": NAN}, "capital"),
        ({"capital": math.inf}, "capital"),
        ({"coefficient": -0.1}, "coefficient"),
        ({"coefficient": NAN}, "coefficient"),
        ({"volume": np.ones(2), "volatility": np.ones(2)}, "fills, names"),
        ({"volume": np.ones((2, 2))}, "fills, names"),
        ({"volume": np.array([[1.0, -1.0]])}, "volume must be"),
        ({"volume": np.array([[1.0, math.inf]])}, "volume must be"),
        ({"volatility": np.array([[1.0, -1.0]])}, "volatility must be"),
    ],
)
def test_impact_of_nonsense_is_refused(change, message):
    good = {"capital": 1e6, "volume": np.ones((1, 2)), "volatility": np.ones((1, 2)), "coefficient": 1.0}
    with pytest.raises(ValueError, match=message):
        Impact(**(good | change))


# ---------------------------------------------------------------------------------------------------- cash


def rates(*rows):
    frame = pd.DataFrame(rows, columns=["known_on", "event_date", "tenor", "rate"])
    return frame.assign(known_on=pd.to_datetime(frame["known_on"]), event_date=pd.to_datetime(frame["event_date"]))


SESSIONS = pd.to_datetime(["2024-03-27", "2024-03-28", "2024-04-01", "2024-04-02"])  # Good Friday between


def test_cash_earns_the_calendar_days_since_the_session_before():
    known = rates(("2024-03-01", "2024-02-29", "3m", 0.0365))
    np.testing.assert_allclose(cash_returns(known, SESSIONS), [0.0, 1e-4, 4e-4, 1e-4], rtol=1e-12)


def test_a_rate_known_on_the_session_is_not_seen_by_it():
    known = rates(("2024-03-28", "2024-03-27", "3m", 0.0365), ("2024-04-01", "2024-03-31", "3m", 0.073))
    np.testing.assert_allclose(cash_returns(known, SESSIONS), [0.0, 0.0, 4e-4, 2e-4], rtol=1e-12)


def test_cash_earns_nothing_until_a_rate_is_known():
    assert not cash_returns(rates(), SESSIONS).any()
    assert not cash_returns(rates(("2024-01-01", "2024-01-01", "10y", 0.04)), SESSIONS).any()
    assert not cash_returns(rates(("2024-01-01", "2024-01-01", "3m", NAN)), SESSIONS).any()
    assert cash_returns(rates(), SESSIONS[:0]).empty


def test_the_newest_event_day_counts_and_its_revision_replaces_it():
    first, newer = ("2024-03-01", "2024-02-28", "3m", 0.0365), ("2024-03-20", "2024-03-19", "3m", 0.073)
    revised = ("2024-03-21", "2024-02-28", "3m", 0.30)  # of the older day, so nothing new
    again = ("2024-03-28", "2024-03-19", "3m", 0.1095)
    null = ("2024-03-30", "2024-03-29", "3m", NAN)
    expected = [0.0, 2e-4, 12e-4, 3e-4]
    for rows in ([first, newer, revised, again, null], [null, again, revised, newer, first, first]):
        np.testing.assert_allclose(cash_returns(rates(*rows), SESSIONS), expected, rtol=1e-12)
    late = [("2024-03-20", "2024-03-18", "3m", 0.5), ("2024-03-20", "2024-03-19", "3m", 0.0365)]  # both known that day
    np.testing.assert_allclose(cash_returns(rates(*late), SESSIONS), [0.0, 1e-4, 4e-4, 1e-4], rtol=1e-12)


def test_two_rates_of_one_day_and_sessions_out_of_order_are_refused():
    twice = rates(("2024-03-01", "2024-02-29", "3m", 0.01), ("2024-03-01", "2024-02-29", "3m", 0.02))
    with pytest.raises(ValueError, match="two rates of tenor 3m"):
        cash_returns(twice, SESSIONS)
    assert not cash_returns(twice, SESSIONS, "1m").any()
    with pytest.raises(ValueError, match="ascending"):
        cash_returns(rates(), SESSIONS[::-1])


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.tuples(st.integers(0, 60), st.integers(-30, 0)), st.floats(-0.01, 0.2), max_size=12),
    st.sets(st.integers(0, 70), min_size=1, max_size=20),
    st.randoms(use_true_random=False),
)
def test_cash_equals_a_loop_over_the_days(facts, days, random):
    origin = pd.Timestamp("2023-12-15")
    rows = [
        (origin + pd.Timedelta(days=known), origin + pd.Timedelta(days=known + lag), "3m", rate)
        for (known, lag), rate in facts.items()
    ]
    random.shuffle(rows)
    sessions = pd.DatetimeIndex([origin + pd.Timedelta(days=day) for day in sorted(days)])
    expected = [0.0]
    for before, session in zip(sessions, sessions[1:], strict=False):
        seen = [(event, known, rate) for known, event, _, rate in rows if known < session]
        expected.append(max(seen)[2] * (session - before).days / 365 if seen else 0.0)
    found = cash_returns(rates(*rows), sessions)
    assert found.index.equals(sessions)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-18)
