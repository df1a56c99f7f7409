"""Conversions are exact or refused; roundings go the stated way."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pas_dagster.ledger import units

quantities = st.integers(1, 10**15)
prices = st.integers(1, 10**12)


@given(st.integers(-(10**17), 10**17))
def test_text_and_back_is_the_same(quantity: int) -> None:
    assert units.shares(units.shares_text(quantity)) == quantity
    assert units.money(units.money_text(quantity)) == quantity


def test_finer_than_a_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="finer"):
        units.shares("0.0000000001")
    with pytest.raises(ValueError, match="64 bits"):
        units.money(Decimal(10**14))


@pytest.mark.parametrize("missing", [None, float("nan"), float("inf"), 0.0, -1.0])
def test_no_price_is_none(missing: float | None) -> None:
    assert units.price(missing) is None


@given(quantities, prices)
def test_sellers_get_the_floor_and_buyers_pay_the_ceiling(quantity: int, price: int) -> None:
    exact = Fraction(quantity * price, units.SHARE)
    assert units.value(quantity, price) <= exact <= units.cost(quantity, price)
    assert units.cost(quantity, price) - units.value(quantity, price) <= 1
    assert units.value(-quantity, price) == -units.value(quantity, price)


@given(st.integers(0, 10**13), prices, st.integers(0, 10**6))
def test_the_affordable_quantity_is_affordable(budget: int, price: int, rate: int) -> None:
    quantity = units.affordable(budget, price, rate)
    notional = units.cost(quantity, price)
    assert notional + units.fee(notional, rate) <= budget
