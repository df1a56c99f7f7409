"""Corporate actions keep value, sleeves and account agree to the last unit, and the books balance."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pas_dagster.errors import PasError
from pas_dagster.execution import actions
from pas_dagster.execution.market import CorporateAction, Kind
from pas_dagster.ledger import journal, units
from pas_dagster.ledger.journal import CASH, Balances

DAY = date(2024, 3, 1)
held = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 10**13), min_size=1)
ratios = st.sampled_from([2.0, 1.5, 0.1, 1 / 3, 20.0, 1.05, 0.04])


def book(quantities: dict[str, int], action: CorporateAction, **others: int) -> Balances:
    balances: Balances = {name: {"AAA": quantity, **others} for name, quantity in quantities.items()}
    at_close = action.kind == "delisting"
    transactions, activities = actions.book(balances, DAY, [action], at_close=at_close)
    assert journal.unbalanced(transactions) == []
    assert len(activities) == 1
    assert len({one.key for one in transactions}) == len(transactions) == len(quantities)
    return balances


@given(held, ratios)
def test_a_split_multiplies_and_loses_less_than_a_unit(quantities: dict[str, int], ratio: float) -> None:
    action = CorporateAction("split", "AAA", ratio)
    positions, cash = journal.totals(book(quantities, action))
    assert 0 <= sum(quantities.values()) * action.exact() - positions.get("AAA", 0) < 1
    assert cash == 0


def test_a_third_is_a_third() -> None:
    assert book({"a": 300 * units.SHARE}, CorporateAction("split", "AAA", 0.333333333333))["a"] == {
        "AAA": 100 * units.SHARE
    }


@given(held, st.floats(0.0001, 50).map(lambda value: round(value, 6)))
def test_a_dividend_pays_every_share_once(quantities: dict[str, int], value: float) -> None:
    positions, cash = journal.totals(book(quantities, CorporateAction("dividend", "AAA", value)))
    total = sum(quantities.values())
    assert positions == {"AAA": total}
    assert 0 <= total * CorporateAction("dividend", "AAA", value).exact() * units.USD / units.SHARE - cash < 1
    assert CorporateAction("dividend", "AAA", value).exact() == Fraction(str(value))


@given(held, st.sampled_from([0.0, 0.5, 12.34]))
def test_a_delisting_turns_shares_into_cash(quantities: dict[str, int], value: float) -> None:
    positions, cash = journal.totals(book(quantities, CorporateAction("delisting", "AAA", value)))
    assert positions == {}
    assert abs(cash - sum(quantities.values()) * value * units.USD / units.SHARE) <= 1 + cash * 1e-12


@given(held)
def test_a_symbol_change_keeps_every_unit(quantities: dict[str, int]) -> None:
    changed = book(quantities, CorporateAction("symbol_change", "AAA", new_symbol="NEW"), NEW=7)
    assert {name: changed[name]["NEW"] for name in quantities} == {n: q + 7 for n, q in quantities.items()}
    assert all("AAA" not in changed[name] for name in quantities)


def test_two_dividends_of_a_day_are_two() -> None:
    balances: Balances = {"a": {"AAA": 10 * units.SHARE}}
    both = [CorporateAction("dividend", "AAA", 1.0), CorporateAction("dividend", "AAA", 0.5)]
    actions.book(balances, DAY, both, at_close=False)
    assert balances["a"][CASH] == units.money(15)


@pytest.mark.parametrize("at_close", [False, True])
def test_delistings_wait_for_the_close(at_close: bool) -> None:
    balances: Balances = {"a": {"AAA": 10 * units.SHARE}}
    actions.book(balances, DAY, [CorporateAction("delisting", "AAA", 1.0)], at_close=at_close)
    assert ("AAA" not in balances["a"]) is at_close


@pytest.mark.parametrize(
    ("kind", "value", "new"),
    [("split", 0.0, None), ("dividend", float("nan"), None), ("symbol_change", 0.0, None), ("delisting", -1.0, None)],
)
def test_an_action_without_meaning_is_refused(kind: Kind, value: float, new: str | None) -> None:
    with pytest.raises(PasError, match="no corporate action"):
        CorporateAction(kind, "AAA", value, new)
