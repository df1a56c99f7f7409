"""Drift: what the sleeves hold against what they should hold, and what the bands let rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pas_dagster.execution import plan
from pas_dagster.execution.drift import Drift, beyond, drifts
from pas_dagster.execution.market import Prices
from pas_dagster.execution.targets import Rules, Wanted
from pas_dagster.ledger import units
from pas_dagster.ledger.journal import CASH, TREASURY, UNASSIGNED
from pas_dagster_tests.execution.world import SESSIONS

PRICES = {"AAA": 10.0, "BBB": 50.0}
RULES = Rules(0, units.money(5), 0, band=units.weight(0.05))


def held(cash: float, **shares: float) -> dict[str, int]:
    found = {CASH: round(cash * units.USD)} | {name: round(one * units.SHARE) for name, one in shares.items()}
    return {name: amount for name, amount in found.items() if amount}


def test_is_measured_against_the_sleeves_own_value_and_the_widest_comes_first():
    found = drifts({"a": held(100, AAA=40, BBB=10)}, {"a": {"AAA": 0.5, "BBB": 0.3}}, PRICES).found
    assert [(one.symbol, one.held, one.wanted, one.value) for one in found] == [
        ("BBB", 0.5, 0.3, 1000.0),
        ("AAA", 0.4, 0.5, 1000.0),
    ]


def test_what_is_wanted_and_not_held_and_what_is_held_and_not_wanted_both_count():
    found = {one.symbol: one for one in drifts({"a": held(0, AAA=100)}, {"a": {"BBB": 1.0}}, PRICES).found}
    assert (found["AAA"].held, found["AAA"].wanted) == (1.0, 0.0)
    assert (found["BBB"].held, found["BBB"].wanted) == (0.0, 1.0)


def test_only_sleeves_with_a_target_and_a_value_are_looked_at():
    balances = {TREASURY: held(9), UNASSIGNED: held(0, AAA=1), "old": held(5, AAA=1), "empty": {}, "a": held(1, AAA=1)}
    targets = {name: {"AAA": 1.0} for name in (TREASURY, UNASSIGNED, "empty", "new", "a")}
    assert {one.sleeve for one in drifts(balances, targets, PRICES).found} == {"a"}


@pytest.mark.parametrize("price", [None, 0.0])
def test_a_sleeve_that_cannot_be_valued_is_named_and_left_out(price: float | None):
    balances = {"a": held(1, AAA=1, ZZZ=1), "b": held(1, AAA=1)}
    found = drifts(balances, {"a": {"AAA": 1.0}, "b": {"AAA": 1.0}}, {**PRICES, "ZZZ": price})
    assert found.unpriced == ["ZZZ"]
    assert {one.sleeve for one in found.found} == {"b"}


@pytest.mark.parametrize(
    ("held_part", "wanted", "rules", "rests"),
    [
        (0.55, 0.50, RULES, True),
        (0.56, 0.50, RULES, False),
        (0.44, 0.50, RULES, False),
        (0.01, 0.00, RULES, False),  # nothing that is no longer wanted rests in a band
        (0.004, 0.00, RULES, True),  # but below the smallest order it does
        (0.53, 0.50, RULES._replace(band_relative=units.weight(0.05)), False),  # the narrower of two bands
        (0.52, 0.50, RULES._replace(band_relative=units.weight(0.05)), True),
        (0.60, 0.50, RULES._replace(band_money=units.money(101)), True),
        (0.60, 0.50, RULES._replace(band_money=units.money(99)), False),
    ],
)
def test_a_holding_rests_within_its_band(held_part: float, wanted: float, rules: Rules, rests: bool):
    assert (beyond([Drift("a", "AAA", held_part, wanted, 1000.0)], rules) == []) == rests


@given(
    parts=st.lists(st.integers(0, 100), min_size=2, max_size=2),
    holdings=st.lists(st.integers(0, 500), min_size=3, max_size=3),
    band=st.sampled_from([0.01, 0.05, 0.2]),
    relative=st.sampled_from([0.0, 0.1]),
    dollars=st.sampled_from([0, 40]),
)
def test_the_planner_trades_what_is_beyond_its_band_and_nothing_else(
    parts: list[int], holdings: list[int], band: float, relative: float, dollars: int
):
    """The oracle is the planner itself, for an account without costs."""
    rules = Rules(
        0, units.money(5), 0, units.weight(band), units.weight(relative), units.money(dollars), fractional=True
    )
    weights = {"AAA": parts[0] / 250, "BBB": parts[1] / 250}
    balances = {"a": held(holdings[0], AAA=holdings[1], BBB=holdings[2] / 5)}
    found = beyond(drifts(balances, {"a": weights}, PRICES).found, rules)
    goal = Wanted("a", None, {name: units.weight(one) for name, one in weights.items() if one}, scale=False)
    made = plan.make("x", 1, SESSIONS[0], [goal], balances, Prices(PRICES), rules)
    traded = {intent.symbol for intent in made.intents}
    close = {one.symbol for one in drifts(balances, {"a": weights}, PRICES).found if _on_the_edge(one, rules)}
    assert {one.symbol for one in found} - close == traded - close


def _on_the_edge(one: Drift, rules: Rules) -> bool:
    """Where a float and an integer may differ."""
    dollars = one.distance * one.value
    edges = [rules.band / units.UNIT * one.value, one.wanted * rules.band_relative / units.UNIT * one.value]
    edges += [rules.min_order / units.USD, rules.band_money / units.USD]
    return any(abs(dollars - edge) < 1e-4 for edge in edges)
