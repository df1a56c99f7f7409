"""What Alpaca lists as activities that are no fills, read into kinds, groups and exact numbers."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pas_dagster.execution.brokers.alpaca_activities import KINDS, entries, grouped
from pas_dagster.execution.brokers.base import BrokerError, NonTrade
from pas_dagster.ledger import units

DAY = date(2024, 1, 2)


def line(number: int = 1, **changes: Any) -> dict[str, Any]:
    """An activity as it is on the wire; a field that is None is not there."""
    usual = {
        "id": f"20240102000000000::{number:04d}",
        "activity_type": "DIV",
        "date": "2024-01-02",
        "net_amount": "1.02",
        "symbol": "AAA",
        "qty": "2",
        "per_share_amount": "0.51",
        "status": "executed",
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


def shares(number: int, kind: str, symbol: str, qty: str, **more: Any) -> dict[str, Any]:
    changes = {"activity_type": kind, "symbol": symbol, "qty": qty, "net_amount": "0", "per_share_amount": None}
    return line(number, **changes, **more)


def read(*lines: dict[str, Any], since: date = DAY) -> list[NonTrade]:
    return grouped(entries(list(lines)), since)


def groups(*lines: dict[str, Any]) -> list[list[str]]:
    """Last digits of the ids that belong together."""
    found: dict[str, list[str]] = {}
    for one in read(*lines):
        found.setdefault(one.group, []).append(one.id[-1])
    return list(found.values())


@pytest.mark.parametrize(
    ("kind", "amount", "ours"),
    [
        ("DIV", "1.02", "dividend"),
        ("DIVNRA", "-0.15", "dividend"),
        ("CGD", "3.5", "dividend"),
        ("DIVFEE", "-0.02", "fee"),
        ("INT", "-0.31", "interest"),
        ("FEE", "-0.01", "fee"),
        ("PTC", "-1", "fee"),
        ("CSD", "1234", "transfer"),
        ("CSW", "-1234.56", "transfer"),
        ("JNLC", "20", "transfer"),
    ],
)
def test_cash_is_the_signed_amount_and_the_quantity_says_only_what_it_is_paid_on(
    kind: str, amount: str, ours: str
) -> None:
    (found,) = read(line(activity_type=kind, net_amount=amount))
    assert found == NonTrade(found.id, found.id, ours, DAY, "AAA", 0, units.money(amount))


def test_a_deposit_has_no_symbol() -> None:
    (found,) = read(line(activity_type="CSD", symbol=None, qty=None, net_amount="1000000.000001"))
    assert (found.symbol, found.cash) == ("", 1_000_000_000_001)


@pytest.mark.parametrize(
    ("kind", "ours"),
    [("JNLS", "shares"), ("MA", "shares"), ("SPIN", "shares"), ("SSP", "split"), ("SC", "symbol_change")],
)
def test_shares_are_signed_and_exact(kind: str, ours: str) -> None:
    (found,) = read(shares(1, kind, "AAA", "-0.123456789"))
    assert (found.kind, found.quantity, found.cash) == (ours, -123_456_789, 0)


def test_a_merger_for_cash_takes_the_shares_and_brings_the_money() -> None:
    (found,) = read(line(activity_type="MA", activity_sub_type="CMA", qty="-10", net_amount="1334.90"))
    assert (found.kind, found.quantity, found.cash) == ("shares", -10 * units.SHARE, 1_334_900_000)


def test_a_dividend_in_shares_and_the_split_of_a_unit_change_shares() -> None:
    stock = line(activity_sub_type="SDIV", net_amount="0", qty="0.5")
    cash = line(2, activity_sub_type="SDIV", net_amount="1.02", qty="2")  # the example of Alpaca's documentation
    unit = shares(3, "SPLIT", "AAA", "8", activity_sub_type="USPLIT")
    assert [(one.kind, one.quantity) for one in read(stock, cash, unit)] == [
        ("shares", 500_000_000),
        ("dividend", 0),
        ("shares", 8 * units.SHARE),
    ]


def test_an_unknown_type_is_kept_with_its_exact_numbers() -> None:
    (found,) = read(line(activity_type="XYZ", net_amount="-0.000001", qty="0.000000001"))
    assert (found.kind, found.quantity, found.cash) == ("other", 1, -1)
    (silent,) = read(line(activity_type="XYZ", net_amount=None, qty=None, symbol=None))
    assert (silent.kind, silent.symbol, silent.quantity, silent.cash) == ("other", "", 0, 0)


def test_no_type_has_two_kinds() -> None:
    names = [name for group in KINDS.values() for name in group]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("status", "counts"),
    [("executed", 1), ("correct", 1), (None, 1), ("canceled", 0), ("pending", 0), ("next_year", 0), (7, 0)],
)
def test_what_is_not_executed_is_left_out_and_its_numbers_are_not_read(status: object, counts: int) -> None:
    assert len(read(line(status=status))) == counts
    if not counts:
        assert read(line(status=status, net_amount="soon", date="soon")) == []


def test_fills_in_the_list_are_not_counted_twice() -> None:
    assert read({"id": "1", "activity_type": "FILL", "qty": "1", "price": "2"}) == []


def test_the_removal_and_the_addition_of_a_split_are_one_group() -> None:
    split = [shares(1, "SPLIT", "AAA", "-10"), shares(2, "SPLIT", "AAA", "20")]
    other = [shares(3, "SPLIT", "BBB", "-5"), shares(4, "SPLIT", "BBB", "1")]
    assert groups(*split) == [["1", "2"]]
    assert groups(split[0], other[0], other[1], split[1]) == [["1", "2"], ["3", "4"]]
    assert read(*split)[1].group == split[0]["id"]


def test_of_several_symbol_changes_those_of_the_same_number_of_shares_belong_together() -> None:
    old = [shares(1, "NC", "OLD", "-7.3"), shares(2, "NC", "WAS", "-4")]
    new = [shares(3, "NC", "NOW", "4"), shares(4, "NC", "NEW", "7.3")]
    assert groups(*old, *new) == [["1", "4"], ["2", "3"]]


def test_the_only_removal_and_the_only_addition_of_a_day_and_type_belong_together() -> None:
    assert groups(shares(1, "MA", "AAA", "-10"), shares(2, "MA", "BBB", "4")) == [["1", "2"]]
    assert groups(shares(1, "MA", "AAA", "-10"), shares(2, "MA", "BBB", "4"), shares(3, "MA", "CCC", "5")) == [
        ["1"],
        ["2"],
        ["3"],
    ]


def test_other_days_types_and_payments_stay_apart() -> None:
    assert groups(shares(1, "SPLIT", "AAA", "-10"), shares(2, "SPLIT", "AAA", "20", date="2024-01-03")) == [
        ["1"],
        ["2"],
    ]
    assert groups(shares(1, "SPLIT", "AAA", "-10"), shares(2, "NC", "AAA", "20")) == [["1"], ["2"]]
    assert groups(line(1), line(2)) == [["1"], ["2"]]


def test_alpacas_own_group_is_taken_as_it_is() -> None:
    parts = [shares(n, "MA", "AAA", "-1" if n == 1 else "2", group_id="g") for n in (1, 2, 3)]
    assert {one.group for one in read(*parts)} == {"g"}


def test_what_was_entered_late_changed_the_account_late() -> None:
    late = line(date="2023-12-28", created_at="2024-01-03T02:00:00Z")  # the evening of the 2nd in New York
    assert [one.day for one in read(late)] == [date(2023, 12, 28)]
    assert read(late, since=date(2024, 1, 3)) == []
    assert read(line(date="2023-12-28")) == []
    early = line(date="2024-01-05", created_at="2024-01-01T12:00:00Z")
    assert len(read(early, since=date(2024, 1, 5))) == 1


def test_a_group_does_not_depend_on_the_day_that_is_asked_from() -> None:
    parts = [shares(1, "SPLIT", "AAA", "-10"), shares(2, "SPLIT", "AAA", "20", created_at="2024-01-04T15:00:00Z")]
    (found,) = read(*parts, since=date(2024, 1, 3))
    assert found.group == parts[0]["id"]


def test_the_order_is_that_of_the_days_and_of_when_a_line_was_made() -> None:
    lines = [
        line(1, created_at="2024-01-02T15:00:00Z"),
        line(2, created_at="2024-01-02T14:00:00Z"),
        line(3, date="2024-01-01", created_at="2024-01-03T15:00:00Z"),
    ]
    assert [one.id[-1] for one in read(*lines)] == ["3", "2", "1"]


def test_the_day_may_be_written_as_an_instant() -> None:
    assert read(line(date="2024-01-02T00:00:00Z"))[0].day == DAY


@pytest.mark.parametrize(
    "changes",
    [
        {"net_amount": "0.0000001"},
        {"net_amount": "NaN"},
        {"net_amount": None},
        {"net_amount": 10**30},
        {"activity_type": "SPLIT", "qty": None, "net_amount": "0"},
        {"activity_type": "SPLIT", "qty": "1e3"},
        {"activity_type": ["DIV"]},
        {"qty": "0.0000000001"},
        {"currency": "EUR"},
        {"symbol": 7},
        {"group_id": {"a": 1}},
        {"date": "2024-02-30"},
        {"date": "9999-12-31"},
        {"date": None},
        {"created_at": "yesterday"},
        {"id": ""},
    ],
)
def test_what_cannot_be_exact_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(BrokerError, match="Alpaca's"):
        read(line(**changes))


PARTS = st.tuples(st.sampled_from("AB"), st.integers(-3, 3).filter(bool), st.sampled_from(["SPLIT", "NC"]))


@given(st.lists(PARTS, max_size=8), st.randoms())
def test_groups_lose_nothing_and_do_not_depend_on_the_order_of_the_list(
    parts: list[tuple[str, int, str]], luck: Any
) -> None:
    lines = [shares(n, kind, symbol, str(qty)) for n, (symbol, qty, kind) in enumerate(parts)]
    found = read(*lines)
    luck.shuffle(lines)
    assert read(*lines) == found
    assert sorted((one.symbol, one.quantity // units.SHARE) for one in found) == sorted(p[:2] for p in parts)
    for name in {one.group for one in found}:
        quantities = [one.quantity for one in found if one.group == name]
        assert len(quantities) == 1 or (len(quantities) == 2 and min(quantities) < 0 < max(quantities))
