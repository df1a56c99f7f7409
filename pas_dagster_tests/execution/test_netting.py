"""Nothing is lost or made by splitting, crossing, allocating or cutting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pas_dagster.execution import netting
from pas_dagster.ledger import units

weights = st.lists(st.integers(0, 10**13), min_size=1, max_size=8).filter(any)
quantities = st.lists(st.integers(1, 10**6), min_size=1, max_size=7)
small = st.lists(st.integers(1, 9), min_size=1, max_size=7)


@given(st.integers(0, 10**15), weights)
def test_a_split_is_exact_and_within_one_unit(total: int, weights: list[int]) -> None:
    parts = netting.split(total, weights)
    whole = sum(weights)
    assert sum(parts) == total
    assert all(abs(part * whole - total * weight) < whole for part, weight in zip(parts, weights, strict=True))


@given(st.lists(st.integers(-(10**12), 10**12).filter(bool), min_size=1, max_size=8))
def test_crossing_meets_the_smaller_side_in_full(wants: list[int]) -> None:
    crossed = netting.cross(wants)
    buys = [(want, met) for want, met in zip(wants, crossed, strict=True) if want > 0]
    sells = [(-want, met) for want, met in zip(wants, crossed, strict=True) if want < 0]
    assert sum(met for _, met in buys) == sum(met for _, met in sells)
    assert sum(crossed) == 2 * min(sum(want for want, _ in buys), sum(want for want, _ in sells))
    assert all(0 <= met <= want for want, met in buys + sells)


@given(st.one_of(quantities, small), st.data())
def test_allocation_is_exact_monotone_bounded_and_near_pro_rata(wants: list[int], data: st.DataObject) -> None:
    total = sum(wants)
    have = [0] * len(wants)
    for filled in sorted(data.draw(st.lists(st.integers(0, total), max_size=12))) + [total]:
        now = netting.allocate(filled, wants, have)
        assert sum(now) == filled
        assert all(old <= new <= want for old, new, want in zip(have, now, wants, strict=True))
        assert all(abs(new * total - filled * want) <= 2 * total for new, want in zip(now, wants, strict=True))
        have = now
    assert have == wants


@given(
    st.lists(st.tuples(st.integers(1, 10**13), st.integers(1, 10**10)), max_size=8),
    st.integers(-(10**9), 10**16),
    st.integers(0, 10**6),
)
def test_what_is_afforded_is_paid_from_the_cash(orders: list[tuple[int, int]], cash: int, rate: int) -> None:
    kept = netting.afford(orders, cash, rate)
    paid = 0
    for quantity, (asked, price) in zip(kept, orders, strict=True):
        assert 0 <= quantity <= asked
        notional = units.cost(quantity, price)
        paid += notional + units.fee(notional, rate)
    assert paid <= max(cash, 0)
    if kept != [asked for asked, _ in orders]:  # cut: what is left over is less than a cent or so, per order
        dearest = max((price for _, price in orders), default=0)
        assert max(cash, 0) - paid <= len(orders) * (3 + dearest // units.SHARE)
