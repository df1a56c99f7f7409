"""What happens to the account without us is shared out to the unit, whoever stands first in the books."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pas_dagster.execution import outside
from pas_dagster.execution.brokers.base import NonTrade
from pas_dagster.ledger import journal, units
from pas_dagster.ledger.journal import CASH, TREASURY, UNASSIGNED, Balances
from pas_dagster.ledger.records import Execution

DAY = date(2024, 1, 3)
names = st.sampled_from(("alpha", "beta", "gamma", UNASSIGNED))
books = st.dictionaries(
    names,
    st.dictionaries(st.sampled_from(("AAA", "BBB", CASH)), st.integers(1, 10**12), max_size=3),
    max_size=4,
)
kinds = st.sampled_from(("dividend", "interest", "fee", "transfer", "split", "symbol_change", "shares", "other"))


def part(kind: str, symbol: str, quantity: int, cash: int, name: str = "1", group: str = "g") -> NonTrade:
    return NonTrade(name, group, kind, DAY, symbol, quantity, cash)


parts = st.lists(
    st.builds(
        part,
        kinds,
        st.sampled_from(("AAA", "BBB", "ZZZ")),
        st.integers(-(10**13), 10**13),
        st.integers(-(10**10), 10**10),
        group=st.sampled_from("gh"),
    ),
    max_size=6,
).map(
    lambda found: [
        one._replace(id=str(at), quantity=0 if one.kind in outside.OF_THE_ACCOUNT else one.quantity)
        for at, one in enumerate(sorted(found, key=lambda one: one.group))
    ]
)


def sold(quantity: int, price: int = 10 * units.USD, fee: int = 0) -> Execution:
    return Execution("x", "theirs", DAY, quantity, price, units.value(quantity, price), fee)


def copied(balances: Mapping[str, Mapping[str, int]]) -> Balances:
    return {name: dict(assets) for name, assets in balances.items()}


@given(books, parts)
def test_what_the_broker_changed_is_what_the_books_change_to_the_unit(balances: Balances, found: list) -> None:
    shares, cash = journal.totals(balances)
    after = copied(balances)
    booked = outside.non_trades(after, found)
    for one in found:
        shares[one.symbol] = shares.get(one.symbol, 0) + one.quantity
    now, now_cash = journal.totals(after)
    assert {name: held for name, held in now.items() if held} == {name: held for name, held in shares.items() if held}
    assert now_cash == cash + sum(one.cash for one in found)
    assert journal.unbalanced(booked) == []
    assert len({one.key for one in booked}) == len(booked)
    replayed = copied(balances)
    journal.apply(replayed, booked)
    assert replayed == after


@given(books, parts, st.randoms())
def test_the_order_of_the_sleeves_does_not_matter(balances: Balances, found: list, random) -> None:
    mixed = list(balances.items())
    random.shuffle(mixed)
    other = {name: dict(assets) for name, assets in mixed}
    assert outside.non_trades(copied(balances), found) == outside.non_trades(other, found)


@given(books, parts)
def test_nobody_but_unassigned_owes_shares(balances: Balances, found: list) -> None:
    outside.non_trades(balances, found)
    owing = {name for name, assets in balances.items() for asset, held in assets.items() if held < 0 and asset != CASH}
    assert {name for name in owing if journal.is_sleeve(name)} <= {UNASSIGNED}


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=4), st.integers(0, 10**10))
def test_a_dividend_is_in_proportion_to_within_a_unit(held: list[int], paid: int) -> None:
    balances: Balances = {f"s{at}": {"AAA": quantity} for at, quantity in enumerate(held)}
    outside.non_trades(balances, [part("dividend", "AAA", 0, paid)])
    for at, quantity in enumerate(held):
        assert abs(balances[f"s{at}"].get(CASH, 0) - Fraction(paid * quantity, sum(held))) < 1


def test_a_dividend_of_what_nobody_holds_and_any_other_cash_go_to_the_treasury() -> None:
    balances: Balances = {"a": {"BBB": 10}}
    outside.non_trades(balances, [part("dividend", "AAA", 0, 70, "1"), part("interest", "", 0, 5, "2", "h")])
    assert balances["a"] == {"BBB": 10}
    assert balances[TREASURY] == {CASH: 75}


def test_a_split_told_as_removal_and_addition_keeps_the_proportions() -> None:
    balances: Balances = {"a": {"AAA": 30}, "b": {"AAA": 10}, UNASSIGNED: {"AAA": 20}}
    event = [part("split", "AAA", 240, 0, "2"), part("split", "AAA", -60, 0, "1")]  # the addition may be told first
    outside.non_trades(balances, event)
    assert {name: balances[name]["AAA"] for name in ("a", "b", UNASSIGNED)} == {"a": 120, "b": 40, UNASSIGNED: 80}


def test_a_split_told_as_an_addition_alone_goes_to_the_holders() -> None:
    balances: Balances = {"a": {"AAA": 30}, "b": {"AAA": 10}}
    outside.non_trades(balances, [part("split", "AAA", 40, 0)])
    assert (balances["a"]["AAA"], balances["b"]["AAA"]) == (60, 20)


def test_a_renamed_symbol_goes_to_those_who_gave_the_old_one() -> None:
    balances: Balances = {"a": {"AAA": 30}, "b": {"AAA": 10, "ZZZ": 1_000}}
    outside.non_trades(balances, [part("symbol_change", "AAA", -40, 0, "1"), part("symbol_change", "ZZZ", 40, 0, "2")])
    assert balances["a"] == {"ZZZ": 30}
    assert balances["b"] == {"ZZZ": 1_010}


def test_events_of_two_groups_do_not_pay_for_each_other() -> None:
    balances: Balances = {"a": {"AAA": 30}, "b": {"BBB": 10}}
    gone = [part("shares", "AAA", -30, 0, "1", "g"), part("shares", "ZZZ", 7, 0, "2", "h")]
    outside.non_trades(balances, gone)
    assert balances[UNASSIGNED] == {"ZZZ": 7}
    assert balances["a"] == {}


def test_cash_for_shares_goes_to_those_who_gave_them() -> None:
    balances: Balances = {"a": {"AAA": 30}, "b": {"AAA": 10}}
    outside.non_trades(balances, [part("shares", "AAA", -40, 4_000)])
    assert (balances["a"], balances["b"]) == ({CASH: 3_000}, {CASH: 1_000})


def test_shares_that_nobody_held_are_owed_by_unassigned() -> None:
    balances: Balances = {"a": {"AAA": 30}}
    outside.non_trades(balances, [part("shares", "AAA", -40, 0)])
    assert balances["a"] == {}
    assert balances[UNASSIGNED] == {"AAA": -10}


def test_another_hand_sells_first_what_is_unassigned_then_pro_rata() -> None:
    balances: Balances = {"a": {"AAA": 30}, "b": {"AAA": 10}, UNASSIGNED: {"AAA": 5}}
    outside.foreign(balances, sold(25), "AAA", "sell")
    assert balances[UNASSIGNED].get("AAA", 0) == 0
    assert (balances["a"]["AAA"], balances["b"]["AAA"]) == (15, 5)


def test_another_hand_sells_short_on_account_of_unassigned() -> None:
    balances: Balances = {"a": {"AAA": 30}}
    outside.foreign(balances, sold(50), "AAA", "sell")
    assert "AAA" not in balances["a"]
    assert balances[UNASSIGNED]["AAA"] == -20


def test_another_hand_does_not_sell_what_our_open_sells_hold() -> None:
    balances: Balances = {"a": {"AAA": 30}, "b": {"AAA": 30}}
    outside.foreign(balances, sold(40), "AAA", "sell", {"a": 25})
    assert (balances["a"]["AAA"], balances["b"].get("AAA", 0)) == (20, 0)  # what was free went first
    other: Balances = {"a": {"AAA": 30}, "b": {"AAA": 30}}
    outside.foreign(other, sold(30), "AAA", "sell", {"a": 30})
    assert (other["a"]["AAA"], other["b"].get("AAA", 0)) == (30, 0)


@given(
    books,
    st.integers(1, 10**13),
    st.integers(1, 10**9),
    st.integers(0, 10**6),
    st.sampled_from(("buy", "sell")),
    st.dictionaries(names, st.integers(1, 10**12)),
)
def test_a_trade_of_another_hand_is_booked_to_the_unit(balances, quantity, price, fee, side, promised) -> None:
    shares, cash = journal.totals(balances)
    before = copied(balances)
    one = sold(quantity, price, fee)
    booked = outside.foreign(balances, one, "AAA", side, promised)
    sign = 1 if side == "buy" else -1
    now, now_cash = journal.totals(balances)
    assert now.get("AAA", 0) == shares.get("AAA", 0) + sign * quantity
    assert now_cash == cash - sign * one.notional - fee
    assert sum(part.quantity for part in booked) == sign * quantity
    assert journal.unbalanced(booked) == []
    held = sum(assets.get("AAA", 0) for assets in before.values())
    for name, assets in before.items():
        kept = min(promised.get(name, 0), assets.get("AAA", 0)) if name != UNASSIGNED else 0
        spared = sum(
            max(other.get("AAA", 0) - (promised.get(who, 0) if who != UNASSIGNED else 0), 0)
            for who, other in before.items()
        )
        if side == "sell" and quantity <= min(spared, held):
            assert balances[name].get("AAA", 0) >= kept


def test_fees_and_withdrawals_lessen_the_treasury_under_their_names() -> None:
    balances: Balances = {"a": {"AAA": 10}}
    found = [
        part("fee", "", 0, -3, "1", "1"),
        part("transfer", "", 0, -100, "2", "2"),
        part("transfer", "", 0, 9, "3", "3"),
    ]
    booked = outside.non_trades(balances, found)
    assert [(one.kind, one.key, one.notional, one.fee) for one in booked] == [
        ("fee", f"fee:1:{TREASURY}", 3, 3),
        ("withdrawal", f"withdrawal:2:{TREASURY}", 100, 0),
        ("deposit", f"deposit:3:{TREASURY}", 9, 0),
    ]
    assert balances[TREASURY] == {CASH: -94}


@pytest.mark.parametrize(
    ("found", "ratios"),
    [
        ([], {}),
        ([part("split", "AAA", -10, 0), part("split", "AAA", 40, 0)], {"AAA": (40, 10)}),
        ([part("split", "AAA", 30, 0)], {}),  # an addition alone does not say on what
        ([part("symbol_change", "AAA", -10, 0), part("symbol_change", "ZZZ", 10, 0)], {}),
        ([part("split", "AAA", -5, 0), part("split", "AAA", -5, 0), part("split", "AAA", 1, 0)], {"AAA": (1, 10)}),
    ],
)
def test_a_ratio_is_known_where_both_sides_are_told(found: list[NonTrade], ratios: dict) -> None:
    assert outside.ratio(found) == ratios
