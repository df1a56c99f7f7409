"""Reasons say in the terms of the rules what the planner did: examples computed by hand, and sums that must agree."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given

from pas_dagster.execution import plan
from pas_dagster.execution.gates import Refusal
from pas_dagster.execution.market import Prices
from pas_dagster.execution.reasons import NO_CAPITAL, Reason, held_back, reasons, stopped
from pas_dagster.execution.targets import Limits, Rules, SleeveTarget, Wanted, wanted
from pas_dagster.ledger import units
from pas_dagster.ledger.journal import CASH, TREASURY, Balances
from pas_dagster.ledger.records import Record
from pas_dagster_tests.execution.test_plan import holdings, targets

DAY = date(2024, 1, 2)
PRICES = Prices({"AAA": 100.0, "BBB": 50.0, "CCC": 10.0, "DDD": 0.37})
FREE = Rules(units.money(10_000), units.money(5), 0)


def shares(value: str) -> int:
    return units.shares(value)


def usd(value: str) -> int:
    return units.money(value)


def planned(ours: list[Wanted], balances: Balances, rules: Rules = FREE, limits: Limits | None = None) -> Record:
    made = plan.make("paper", 1, DAY, ours, balances, PRICES, rules, limits or Limits())
    until = datetime(2024, 1, 2, 21, tzinfo=UTC)
    booked = made.transfers + made.crosses
    return Record(DAY, "k", "h", [], until, made.intents, made.orders, transactions=booked)


def told(
    given: list[SleeveTarget], balances: Balances, rules: Rules = FREE, limits: Limits | None = None
) -> dict[tuple[str, str], Reason]:
    ours = wanted(given)
    record = planned(ours, balances, rules, limits)
    lines = reasons(ours, balances, PRICES, rules, limits or Limits(), record)
    return {(one.sleeve, one.symbol): one for one in lines}


def keeps(sleeve: str, weights: dict[str, float]) -> SleeveTarget:
    return SleeveTarget(sleeve, 0.0, weights, rebalance=True, resize=False)


def test_drift_is_told_in_points_of_the_sleeves_capital() -> None:
    # 5 shares at 100 and 500 in cash: a capital of 1000, half of it in AAA.
    found = told([keeps("alpha", {"AAA": 0.4, "BBB": 0.3})], {"alpha": {"AAA": shares("5"), CASH: usd("500")}})
    aaa, bbb = found["alpha", "AAA"], found["alpha", "BBB"]
    assert (aaa.target, aaa.weight, aaa.drift) == (0.4, 0.5, pytest.approx(0.1))
    assert (aaa.held, aaa.asked, aaa.ordered, aaa.why) == (
        shares("5"),
        shares("-1"),
        shares("-1"),
        "10.00 points above its target",
    )
    assert (bbb.asked, bbb.ordered, bbb.why) == (shares("6"), shares("6"), "new")


def test_what_is_wanted_no_more_is_sold_whatever_the_bands() -> None:
    wide = FREE._replace(band=units.weight(0.9))
    found = told([keeps("alpha", {})], {"alpha": {"AAA": shares("5"), CASH: usd("500")}}, wide)
    line = found["alpha", "AAA"]
    assert (line.asked, line.band, line.why) == (shares("-5"), None, "wanted no more")


def test_a_drift_within_the_band_rests_and_the_narrower_band_counts() -> None:
    both = FREE._replace(band=units.weight(0.2), band_relative=units.weight(0.3))
    held = {"alpha": {"AAA": shares("5"), CASH: usd("500")}}
    line = told([keeps("alpha", {"AAA": 0.45})], held, both)["alpha", "AAA"]
    assert (line.asked, line.band) == (0, pytest.approx(0.135))  # 0.45 * 0.3
    assert line.why == "rests: 5.00 points off its target, within the band of 13.50 points"
    moved = told([keeps("alpha", {"AAA": 0.3})], held, both)["alpha", "AAA"]
    assert (moved.asked, moved.band) == (shares("-2"), pytest.approx(0.09))


def test_small_differences_rest_and_say_what_the_least_is() -> None:
    held = {"alpha": {"AAA": shares("5"), CASH: usd("500")}}
    line = told([keeps("alpha", {"AAA": 0.503})], held)["alpha", "AAA"]
    assert (line.asked, line.why) == (0, "rests: 3.00 USD off its target, below 5.00 USD")
    dollars = FREE._replace(band_money=usd("50"))
    line = told([keeps("alpha", {"AAA": 0.47})], held, dollars)["alpha", "AAA"]
    assert line.why == "rests: 30.00 USD off its target, below 50.00 USD"


def test_sleeves_that_meet_are_named_and_only_the_rest_is_ordered() -> None:
    balances = {"alpha": {"AAA": shares("10")}, "beta": {CASH: usd("400")}}
    found = told([keeps("alpha", {"AAA": 0.4}), keeps("beta", {"AAA": 1.0})], balances)
    seller, buyer = found["alpha", "AAA"], found["beta", "AAA"]
    assert (seller.asked, seller.crossed, seller.ordered) == (shares("-6"), shares("4"), shares("-2"))
    assert seller.why == "60.00 points above its target; 4 sold to beta inside the ledger"
    assert (buyer.asked, buyer.crossed, buyer.ordered) == (shares("4"), shares("4"), 0)
    assert buyer.why == "new; 4 bought from alpha inside the ledger"


def test_a_rest_that_is_too_small_to_order_says_so() -> None:
    balances = {"alpha": {"AAA": shares("10")}, "beta": {CASH: usd("597")}}
    found = told([keeps("alpha", {"AAA": 0.4}), keeps("beta", {"AAA": 1.0})], balances)
    assert found["alpha", "AAA"].ordered == 0
    assert found["alpha", "AAA"].why.endswith("the rest is below the smallest order of 5.00 USD")


def test_buys_beyond_the_cash_are_cut_and_say_so() -> None:
    # The account has 1000 in shares that nobody wants to sell, and 100 in cash; alpha is given half of it.
    balances = {"beta": {"AAA": shares("10")}, TREASURY: {CASH: usd("100")}}
    given = [SleeveTarget("alpha", 0.5, {"BBB": 1.0}, rebalance=True, resize=True)]
    line = told(given, balances)["alpha", "BBB"]
    assert (line.asked, line.ordered) == (shares("11"), shares("2"))
    assert line.why == "new; cut from 11 to 2: cash covers no more"
    line = told(given, {"beta": {"AAA": shares("10")}})["alpha", "BBB"]
    assert (line.ordered, line.why) == (0, "new; no order: cash does not cover it")


def test_rules_of_the_broker_are_reasons() -> None:
    held = {"alpha": {"AAA": shares("5"), CASH: usd("500")}}
    frozen = Limits({"AAA": "the broker does not trade it now"}, frozenset({"BBB"}))
    found = told([keeps("alpha", {"AAA": 0.1, "BBB": 0.37, "NEW": 0.1})], held, limits=frozen)
    assert found["alpha", "AAA"].why == "left alone: the broker does not trade it now"
    assert found["alpha", "NEW"].why == "left alone: no reference price"
    assert (found["alpha", "BBB"].ordered, found["alpha", "BBB"].why) == (shares("7"), "new; in whole shares")
    less = told([keeps("alpha", {"BBB": 0.04})], {"alpha": {CASH: usd("1000")}}, limits=frozen)
    assert less["alpha", "BBB"].why == "rests: less than a whole share off its target"


def test_a_sleeve_that_is_only_resized_keeps_its_mix() -> None:
    balances = {"alpha": {"AAA": shares("6"), CASH: usd("400")}, TREASURY: {CASH: usd("1000")}}
    line = told([SleeveTarget("alpha", 1.0, {"BBB": 1.0}, rebalance=False, resize=True)], balances)["alpha", "AAA"]
    assert (line.target, line.weight, line.asked) == (0.6, 0.3, shares("6"))
    assert line.why == "30.00 points below its target"


def test_a_sleeve_without_capital_asks_for_nothing() -> None:
    assert told([keeps("alpha", {"AAA": 1.0})], {TREASURY: {CASH: usd("100")}})["alpha", "AAA"].why == NO_CAPITAL


def test_gates_speak_to_an_order_or_to_the_batch() -> None:
    record = planned(wanted([keeps("alpha", {"AAA": 1.0})]), {"alpha": {CASH: usd("100")}})
    refused = [Refusal("market hours", None, "Closed."), Refusal("position cap", "AAA", "Too much.")]
    refused += [Refusal("position cap", "BBB", "Too much.")]
    assert held_back(record.orders[0], refused) == ["position cap: Too much."]
    assert stopped(refused) == ["market hours: Closed."]


@given(targets, holdings)
def test_every_intent_and_every_share_of_an_order_has_its_line(given: list[SleeveTarget], balances: Balances) -> None:
    ours = wanted(given)
    record = planned(ours, balances)
    lines = {(one.sleeve, one.symbol): one for one in reasons(ours, balances, PRICES, FREE, Limits(), record)}
    asked = {(one.sleeve, one.symbol): one.quantity for one in record.intents if one.quantity}
    assert {key: line.asked for key, line in lines.items() if line.asked} == asked
    ordered: dict[str, int] = {}
    for line in lines.values():
        ordered[line.symbol] = ordered.get(line.symbol, 0) + line.ordered
        assert line.why
    net = {order.symbol: order.quantity if order.side == "buy" else -order.quantity for order in record.orders}
    assert {symbol: quantity for symbol, quantity in ordered.items() if quantity} == net
