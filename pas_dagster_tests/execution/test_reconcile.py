"""Ledger against broker: every difference has one verdict, and only a reason makes it anything but different."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pas_dagster.execution import reconcile
from pas_dagster.execution.reconcile import Excused
from pas_dagster.ledger import journal, units
from pas_dagster.ledger.comparisons import Comparison
from pas_dagster.ledger.journal import CASH, Balances

BOOKS: Balances = {"a": {"AAA": 5, CASH: 70}, journal.TREASURY: {CASH: 30}, journal.WORLD: {"AAA": -5, CASH: -100}}
symbols = st.sampled_from(("AAA", "BBB", "CCC"))
held = st.dictionaries(symbols, st.integers(1, 9), max_size=3)


def verdicts(positions: dict[str, int], cash: int, excused: Excused = reconcile.NOTHING) -> dict[str, str]:
    return {one.subject: one.verdict for one in reconcile.compare(BOOKS, positions, cash, excused)}


def test_equal_to_the_unit_is_equal_and_the_other_side_of_the_books_does_not_count() -> None:
    assert verdicts({"AAA": 5}, 100) == {CASH: "equal", "AAA": "equal"}


@pytest.mark.parametrize("positions", [{"AAA": 4}, {"AAA": 6}, {}])
def test_one_unit_is_a_difference(positions: dict[str, int]) -> None:
    assert verdicts(positions, 100)["AAA"] == "different"


def test_what_only_the_broker_holds_is_a_difference() -> None:
    assert verdicts({"AAA": 5, "BBB": 1}, 100)["BBB"] == "different"


def test_only_its_own_order_excuses_a_symbol() -> None:
    found = verdicts({"AAA": 4, "BBB": 1}, 100, Excused(moving={"AAA"}))
    assert (found["AAA"], found["BBB"]) == ("moving", "different")


def test_only_its_own_action_excuses_a_symbol() -> None:
    found = verdicts({"AAA": 4, "BBB": 1}, 100, Excused(frozen={"BBB"}))
    assert (found["AAA"], found["BBB"]) == ("different", "frozen")


def test_an_order_outweighs_an_action() -> None:
    assert verdicts({"AAA": 4}, 100, Excused(moving={"AAA"}, frozen={"AAA"}))["AAA"] == "moving"


@pytest.mark.parametrize(
    ("cash", "excused", "verdict"),
    [
        (100, Excused(), "equal"),
        (100, Excused(moving={"AAA"}, frozen={"AAA"}, rounding=9), "equal"),
        (101, Excused(), "different"),
        (101, Excused(moving={"BBB"}, rounding=9), "moving"),  # while something works, no cent is booked as rounding
        (109, Excused(rounding=9), "rounded"),
        (91, Excused(rounding=9), "rounded"),
        (110, Excused(rounding=9), "different"),
        (90, Excused(rounding=9), "different"),
        (110, Excused(frozen={"AAA"}, rounding=9), "different"),
        (105, Excused(frozen={"AAA"}, rounding=9), "rounded"),
        (95, Excused(rounding=9, fees=7), "pending"),
        (92, Excused(rounding=9, fees=7), "rounded"),
        (105, Excused(fees=7), "different"),
    ],
)
def test_cash_has_one_verdict(cash: int, excused: Excused, verdict: str) -> None:
    assert verdicts({"AAA": 5}, cash, excused)[CASH] == verdict


@given(
    st.dictionaries(st.sampled_from(("a", "b", "unassigned")), held, max_size=3),
    held,
    st.integers(-5, 5),
    st.sets(symbols),
    st.sets(symbols),
    st.integers(0, 3),
)
def test_every_side_is_told_once_and_nothing_unexplained_passes(
    balances, theirs, cash, moving, frozen, rounding
) -> None:
    found = reconcile.compare(balances, theirs, cash, Excused(moving, frozen, rounding))
    subjects = [one.subject for one in found]
    ours = {symbol: sum(assets.get(symbol, 0) for assets in balances.values()) for symbol in ("AAA", "BBB", "CCC")}
    assert subjects == [CASH, *sorted({name for name, amount in ours.items() if amount} | theirs.keys())]
    for one in found[1:]:
        assert (one.ours, one.theirs) == (ours[one.subject], theirs.get(one.subject, 0))
        excused = one.subject in moving | frozen
        assert (one.verdict == "equal") == (one.ours == one.theirs)
        assert (one.verdict == "different") == (one.ours != one.theirs and not excused)
    assert (found[0].verdict == "different") == (abs(cash) > rounding and not moving)


def test_differences_are_told_in_shares_and_dollars_and_not_without_end() -> None:
    one = Comparison("AAA", 12 * units.SHARE, 10 * units.SHARE + 1, "different")
    cash = Comparison(CASH, 5 * units.USD, -1, "different")
    assert reconcile.in_words([one, cash]) == "AAA (12 here, 10.000000001 there), cash (5 here, -0.000001 there)"
    assert reconcile.in_words([one] * 9).count("AAA") == 5
