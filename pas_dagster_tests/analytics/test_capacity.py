"""The capacity of a book against trying every capital, and what it means."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.analytics import capacity as module
from pas_dagster.analytics.capacity import capacity

NAN = float("nan")

TRADES = st.lists(
    st.tuples(st.integers(-8, 8), st.integers(0, 40)), min_size=1, max_size=25
)  # sixteenths of the book, millions


def arrays_of(trades):
    return np.array([w / 16 for w, _ in trades]), np.array([v * 1e6 for _, v in trades])


def exceeding(weights, volumes, participation, capital):
    """Share of the traded weight that is out of bounds at a capital."""
    beyond = sum(abs(w) for w, v in zip(weights, volumes, strict=True) if capital * abs(w) > participation * v)
    return beyond / sum(map(abs, weights))


def test_examples():
    results = doctest.testmod(module)
    assert results.attempted
    assert not results.failed


@settings(deadline=None)
@given(TRADES, st.sampled_from([0.0, 0.05, 0.25, 0.3]), st.sampled_from([0.0625, 0.25]))
def test_it_is_the_largest_capital_that_stays_within_bounds(trades, quantile, participation):
    weights, volumes = arrays_of(trades)
    found = capacity(weights, volumes, participation=participation, quantile=quantile)
    if not weights.any():
        assert math.isnan(found)
        return
    inside = exceeding(weights, volumes, participation, found * (1 - 1e-9))
    outside = exceeding(weights, volumes, participation, found * (1 + 1e-9) + 1e-9)
    assert inside <= quantile + 1e-9 < outside + 2e-9
    assert outside > quantile


@settings(deadline=None)
@given(TRADES, st.floats(0.01, 0.9))
def test_units(trades, quantile):
    weights, volumes = arrays_of(trades)
    once = capacity(weights, volumes, quantile=quantile)
    assert capacity(-weights[::-1], volumes[::-1], quantile=quantile) == pytest.approx(once, nan_ok=True)
    assert capacity(weights / 2, volumes, quantile=quantile) == pytest.approx(2 * once, nan_ok=True)
    assert capacity(weights, volumes * 3, quantile=quantile) == pytest.approx(3 * once, nan_ok=True)
    table = capacity(np.stack([weights, weights]), np.stack([volumes, volumes]), quantile=quantile)
    assert table == pytest.approx(once, nan_ok=True)


def test_the_tail_may_be_illiquid():
    weights, volumes = np.full(100, 0.01), np.full(100, 10e6)
    volumes[:5] = 1e3  # five per cent of the weight, exactly
    assert capacity(weights, volumes) == pytest.approx(0.05 * 10e6 / 0.01)
    volumes[5] = 2e3
    assert capacity(weights, volumes) == pytest.approx(0.05 * 2e3 / 0.01)


def test_what_is_not_known_is_left_out():
    assert capacity([0.1, 0.1], [NAN, 10e6]) == capacity([0.1], [10e6])
    assert capacity([NAN, 0.1], [1.0, 10e6]) == capacity([0.1], [10e6])
    assert capacity([0.0, 0.1], [1.0, 10e6]) == capacity([0.1], [10e6])


def test_nothing_traded_has_no_capacity_and_no_volume_has_none_to_give():
    for nothing in (([], []), ([0.0], [1e6]), ([0.1], [NAN])):
        assert math.isnan(capacity(*nothing))
    assert capacity([0.1], [0.0]) == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"volumes": [1.0, 2.0]}, "same shape"),
        ({"volumes": [-1.0]}, ">= 0"),
        ({"volumes": [math.inf]}, "finite"),
        ({"weights": [math.inf]}, "finite"),
        ({"participation": 0.0}, "participation"),
        ({"quantile": 1.0}, "quantile"),
        ({"quantile": NAN}, "quantile"),
    ],
)
def test_nonsense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        capacity(**({"weights": [0.1], "volumes": [1e6]} | change))
