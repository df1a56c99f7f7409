"""Exposures: loops as the second opinion, and what the sleeves hold together."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.risk.exposure import by_symbol, exposure, factor_exposure, holders, look_through

SYMBOLS = ["A", "B", "C", "D", "E"]
SECTORS = {"A": "Energy", "B": "Energy", "C": "Utilities", "D": ""}
WEIGHTS = st.dictionaries(st.sampled_from(SYMBOLS), st.floats(-1.0, 1.0))


@settings(max_examples=60, deadline=None)
@given(WEIGHTS)
def test_exposures_are_the_plain_sums(weights: dict[str, float]) -> None:
    found = exposure(weights, SECTORS)
    long = short = 0.0
    net_of: dict[str, float] = {}
    gross_of: dict[str, float] = {}
    for symbol, weight in weights.items():
        if weight == 0.0:
            continue
        long, short = long + max(weight, 0.0), short + min(weight, 0.0)
        sector = SECTORS.get(symbol) or "unknown"
        net_of[sector] = net_of.get(sector, 0.0) + weight
        gross_of[sector] = gross_of.get(sector, 0.0) + abs(weight)
    assert found.long == pytest.approx(long) and found.short == pytest.approx(short)
    assert found.gross == pytest.approx(long - short) and found.net == pytest.approx(long + short)
    assert found.by_sector == pytest.approx(net_of) and found.gross_by_sector == pytest.approx(gross_of)
    assert found.largest == max((abs(weight) for weight in weights.values()), default=0.0)
    sizes = [abs(weight) for weight in found.by_name.values()]
    assert sizes == sorted(sizes, reverse=True) and 0.0 not in sizes


@settings(max_examples=40, deadline=None)
@given(WEIGHTS, st.randoms())
def test_the_order_of_the_names_does_not_matter(weights: dict[str, float], random) -> None:
    turned = list(weights.items())
    random.shuffle(turned)
    first, second = exposure(weights, SECTORS), exposure(dict(turned), SECTORS)
    assert list(first.by_name.items()) == list(second.by_name.items())
    assert first.gross == pytest.approx(second.gross)


def test_symbols_without_a_sector_are_together_in_unknown() -> None:
    found = exposure({"D": 0.2, "E": 0.3, "F": -0.1}, {**SECTORS, "F": float("nan")})
    assert found.by_sector == {"unknown": pytest.approx(0.4)}
    assert found.gross_by_sector == {"unknown": pytest.approx(0.6)}


def test_factor_exposure_says_what_share_of_the_book_it_speaks_for() -> None:
    betas = pd.DataFrame({"market": [1.2, 0.8, 1.0], "size": [0.1, -0.3, math.nan]}, index=["A", "B", "C"])
    found = factor_exposure({"A": 0.5, "B": -0.25, "C": 0.15, "Z": 0.1}, betas)
    assert found.by_factor == pytest.approx({"market": 0.5 * 1.2 - 0.25 * 0.8, "size": 0.05 + 0.075})
    assert found.covered == pytest.approx(0.75)
    assert found.missing == ("C", "Z")
    assert factor_exposure({}, betas) == ({"market": 0.0, "size": 0.0}, 1.0, ())


def test_a_name_counts_once_through_all_sleeves() -> None:
    positions = look_through(
        {"a": 0.6, "b": 0.4, "c": 0.0}, {"a": {"X": 0.5, "Y": 0.5}, "b": {"X": -0.25}, "c": {"X": 1}}
    )
    assert by_symbol(positions) == pytest.approx({"X": 0.2, "Y": 0.3})
    assert holders(positions) == {"X": 2, "Y": 1}
    found = exposure(by_symbol(positions), {})
    assert found.gross == pytest.approx(0.5)  # what one sleeve is short of another's long is not there
    assert by_symbol(look_through({}, {})) == {}


def test_numbers_that_are_none_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="the weight of A is nan"):
        exposure({"A": math.nan}, {})
    with pytest.raises(ValueError, match="sleeve a has a share of 0.5 and no weights"):
        look_through({"a": 0.5}, {})
    with pytest.raises(ValueError, match="a beta is infinite"):
        factor_exposure({"A": 1.0}, pd.DataFrame({"m": [np.inf]}, index=["A"]))
    with pytest.raises(ValueError, match="more than one row"):
        factor_exposure({"A": 1.0}, pd.DataFrame({"m": [1.0, 2.0]}, index=["A", "A"]))
