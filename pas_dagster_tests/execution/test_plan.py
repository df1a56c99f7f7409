"""A plan is a function of its inputs, never spends what is not there, and names every order once."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pas_dagster.errors import PasError
from pas_dagster.execution import plan
from pas_dagster.execution.market import Prices
from pas_dagster.execution.targets import Limits, Rules, SleeveTarget, wanted
from pas_dagster.ledger import journal, units
from pas_dagster.ledger.journal import CASH, Balances

DAY = date(2024, 1, 2)
SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
PRICES = Prices({"AAA": 10.0, "BBB": 33.33, "CCC": 101.01, "DDD": 0.37})
RULES = Rules(units.money(10_000), units.money(5), units.rate(5.0))
weights = st.dictionaries(st.sampled_from(SYMBOLS), st.floats(0, 0.25), max_size=4)
targets = st.lists(
    st.builds(SleeveTarget, st.sampled_from("abcd"), st.floats(0, 0.25), weights, st.booleans(), st.booleans()),
    max_size=4,
    unique_by=lambda one: one.sleeve,
)
holdings = st.dictionaries(
    st.sampled_from("abcd"),
    st.dictionaries(st.sampled_from((*SYMBOLS, CASH)), st.integers(1, 10**12), max_size=5),
    max_size=4,
)


def make(ours: list[SleeveTarget], balances: Balances, rules: Rules = RULES, account: str = "sim") -> plan.Plan:
    return plan.make(account, 1, DAY, wanted(ours), balances, PRICES, rules)


@given(targets, holdings, st.randoms())
def test_order_of_arrival_does_not_matter(ours: list[SleeveTarget], balances: Balances, random) -> None:
    mixed = [SleeveTarget(t.sleeve, t.share, _mixed(t.weights, random), t.rebalance, t.resize) for t in ours]
    random.shuffle(mixed)
    shuffled = {name: _mixed(assets, random) for name, assets in _mixed(balances, random).items()}
    assert make(ours, balances) == make(mixed, shuffled)


def _mixed(ours, random) -> dict:
    items = list(ours.items())
    random.shuffle(items)
    return dict(items)


@given(targets, holdings)
def test_a_plan_adds_up(ours: list[SleeveTarget], balances: Balances) -> None:
    made = make(ours, balances)
    sides = [order.side for order in made.orders]
    assert sides == sorted(sides, reverse=True)  # sells first
    assert len({order.symbol for order in made.orders}) == len(made.orders)  # one net order per symbol
    assert len({order.cid for order in made.orders}) == len(made.orders)
    assert all(len(order.cid) <= 48 for order in made.orders)
    assert journal.unbalanced(made.transfers + made.crosses) == []
    after = {name: dict(assets) for name, assets in balances.items()}
    journal.apply(after, made.transfers + made.crosses)
    assert journal.CROSS not in after or not any(after[journal.CROSS].values())
    assert journal.totals(after) == journal.totals(balances)
    rest = {(one.sleeve, one.symbol): abs(one.quantity) - one.crossed for one in made.intents}
    for order in made.orders:
        assert sum(part for _, part in order.shares) == order.quantity
        assert all(0 < part <= rest[sleeve, order.symbol] for sleeve, part in order.shares)
        if order.side == "sell":
            assert all(part <= after[sleeve][order.symbol] for sleeve, part in order.shares)


@given(targets, holdings)
def test_a_plan_can_be_paid_at_reference_prices(ours: list[SleeveTarget], balances: Balances) -> None:
    _, cash = journal.totals(balances)
    for order in make(ours, balances).orders:
        worth = units.value(order.quantity, order.price)
        cost = units.cost(order.quantity, order.price)
        cash += worth - units.fee(worth, RULES.rate) if order.side == "sell" else -cost - units.fee(cost, RULES.rate)
    assert cash >= 0


def test_a_full_exit_sells_exactly_what_is_there_and_dust_rests() -> None:
    odd = 123_456_789_123
    held: Balances = {"a": {"AAA": odd, "DDD": 10**9, CASH: 10**9}}
    made = make([SleeveTarget("a", 0, {}, True, False)], held)
    assert [(order.symbol, order.side, order.quantity) for order in made.orders] == [("AAA", "sell", odd)]


def test_opposite_sleeves_cross_before_the_order() -> None:
    held: Balances = {"a": {"AAA": 100 * units.SHARE}, "b": {CASH: units.money(3_000)}}
    ours = [SleeveTarget("a", 0, {}, True, False), SleeveTarget("b", 0, {"AAA": 0.1}, True, False)]
    made = make(ours, held)
    [order] = made.orders
    assert (order.side, order.quantity) == ("sell", 70 * units.SHARE)
    assert order.why == "a -100 (crossed 30), b +30 (crossed 30)"
    assert [(one.sleeve, one.quantity, one.notional) for one in made.crosses] == [
        ("a", -30 * units.SHARE, units.money(300)),
        ("b", 30 * units.SHARE, units.money(300)),
    ]


def test_ids_differ_by_account_generation_and_session() -> None:
    held: Balances = {"a": {CASH: units.money(1000)}}
    ours = wanted([SleeveTarget("a", 0, {"AAA": 0.5}, True, False)])
    ids = {
        plan.make(account, generation, day, ours, held, PRICES, RULES).orders[0].cid
        for account in ("x", "y")
        for generation in (1, 2)
        for day in (DAY, date(2024, 1, 3))
    }
    assert len(ids) == 8
    assert all(one.endswith("-AAA-b-1") for one in ids)


def test_a_symbol_without_a_price_is_noted_not_guessed() -> None:
    held: Balances = {"a": {CASH: units.money(1000)}}
    made = make([SleeveTarget("a", 0, {"ZZZ": 0.5}, True, False)], held)
    assert [(one.symbol, one.quantity, one.why) for one in made.intents] == [("ZZZ", 0, "no reference price")]
    with pytest.raises(PasError, match="ZZZ is held by a but has no reference price"):
        make([SleeveTarget("a", 0, {}, True, False)], {"a": {"ZZZ": 1}})


def resized(share: float, weights: dict[str, float] | None = None) -> list[SleeveTarget]:
    return [SleeveTarget("a", share, weights or {"BBB": 1.0}, rebalance=False, resize=True)]


def test_a_resize_without_new_weights_scales_what_is_held() -> None:
    # Worth 4,000: 1,000 and 2,020.20 in shares, the rest cash; the account is worth 10,000.
    cash = units.money("979.80")
    held: Balances = {
        "a": {"AAA": 100 * units.SHARE, "CCC": 20 * units.SHARE, CASH: cash},
        journal.TREASURY: {CASH: units.money(6_000)},
    }
    made = make(resized(0.6), held)
    assert {one.symbol: one.quantity for one in made.intents} == {
        "AAA": pytest.approx(50 * units.SHARE, abs=1_000),
        "CCC": pytest.approx(10 * units.SHARE, abs=1_000),
    }
    journal.apply(held, made.transfers)
    spent = sum(units.value(one.quantity, one.price) for one in made.intents)
    assert held["a"][CASH] - spent == pytest.approx(1.5 * cash, abs=10)
    less = make(resized(0.2), {"a": held["a"] | {CASH: cash}, journal.TREASURY: {CASH: units.money(6_000)}})
    assert {one.symbol: one.quantity for one in less.intents} == {
        "AAA": pytest.approx(-50 * units.SHARE, abs=1_000),
        "CCC": pytest.approx(-10 * units.SHARE, abs=1_000),
    }


def test_a_scaled_sleeve_that_is_fully_invested_pays_its_costs() -> None:
    held: Balances = {"a": {"AAA": 400 * units.SHARE}, journal.TREASURY: {CASH: units.money(6_000)}}
    [order] = make(resized(1.0), held).orders
    assert units.money(5_990) < units.value(order.quantity, order.price) <= units.money(5_997)


def test_scaling_that_is_too_small_rests() -> None:
    held: Balances = {"a": {"AAA": 400 * units.SHARE, CASH: 0}, journal.TREASURY: {CASH: units.money(6_000)}}
    made = make(resized(0.4004), held)
    assert (made.intents, made.orders) == ([], [])
    assert make(resized(0.4), held) == plan.Plan([], [], [], [])


def test_share_nothing_sells_everything_and_nothing_held_buys_the_weights() -> None:
    odd = 123_456_789_123
    sold = make(resized(0.0), {"a": {"AAA": odd, CASH: units.money(50)}})
    assert [(one.symbol, one.side, one.quantity) for one in sold.orders] == [("AAA", "sell", odd)]
    bought = make(resized(0.5), {"a": {CASH: units.money(50)}, journal.TREASURY: {CASH: units.money(950)}})
    assert [(one.symbol, one.side) for one in bought.orders] == [("BBB", "buy")]


def test_weights_of_a_scaled_sleeve_are_not_bought_beside_its_holdings() -> None:
    held: Balances = {"a": {"AAA": 100 * units.SHARE}, journal.TREASURY: {CASH: units.money(9_000)}}
    assert {one.symbol for one in make(resized(0.3, {"ZZZ": 1.0}), held).intents} == {"AAA"}


@pytest.mark.parametrize(
    "bad",
    [
        [SleeveTarget("a", 0, {"AAA": float("nan")}, True, False)],
        [SleeveTarget("a", 0, {"AAA": -0.1}, True, False)],
        [SleeveTarget("a", 0, {"AAA": 0.6, "BBB": 0.6}, True, False)],
        [SleeveTarget("a", 0.7, {}, True, True), SleeveTarget("b", 0.7, {}, True, True)],
        [SleeveTarget("a", 0.1, {}, True, True), SleeveTarget("a", 0.1, {}, True, True)],
        [SleeveTarget("@treasury", 0.1, {}, True, True)],
        [SleeveTarget("a", 0.1, {"A\tB": 0.1}, True, True)],
    ],
)
def test_targets_that_cannot_be_meant_are_refused(bad: list[SleeveTarget]) -> None:
    with pytest.raises(PasError):
        wanted(bad)


# Bands, whole shares and symbols that are left alone.

FREE = Rules(units.money(10_000), units.money(5), 0)
bands = st.sampled_from((0, units.weight(0.01), units.weight(0.05), units.weight(0.5)))
banded = st.builds(
    lambda band, relative, money, fractional: RULES._replace(
        band=band, band_relative=relative, band_money=units.money(money), fractional=fractional
    ),
    bands,
    bands,
    st.sampled_from((0, 100)),
    st.booleans(),
)
limits = st.builds(
    lambda frozen, whole: Limits(dict.fromkeys(frozen, "left alone"), frozenset(whole)),
    st.sets(st.sampled_from(SYMBOLS), max_size=2),
    st.sets(st.sampled_from(SYMBOLS), max_size=2),
)


def limited(ours: list[SleeveTarget], balances: Balances, rules: Rules, chosen: Limits = plan.NO_LIMITS) -> plan.Plan:
    return plan.make("sim", 1, DAY, wanted(ours), balances, PRICES, rules, chosen)


def drifted(part: float, rules: Rules, target: float = 0.2) -> list[tuple[str, int]]:
    """What is planned for a sleeve of 10,000 that holds `part` of it in AAA at 10 and wants `target` of it."""
    shares = round(part * 1_000 * units.SHARE)
    held: Balances = {"a": {"AAA": shares, CASH: units.money(10_000) - units.value(shares, 10 * units.USD)}}
    made = limited([SleeveTarget("a", 0, {"AAA": target}, True, False)], held, rules)
    return [(order.side, order.quantity // units.SHARE) for order in made.orders]


def relaxed(**bands: float) -> Rules:
    return FREE._replace(**{name: units.weight(width) for name, width in bands.items()})


@pytest.mark.parametrize(
    ("part", "rules", "planned"),
    [
        (0.15, FREE, [("buy", 50)]),
        (0.15, relaxed(band=0.04), [("buy", 50)]),
        (0.15, relaxed(band=0.05), []),  # as wide as the band still rests
        (0.2501, relaxed(band=0.05), [("sell", 50)]),
        (0.17, relaxed(band_relative=0.15), []),  # 0.15 of 0.2 is 0.03
        (0.1699, relaxed(band_relative=0.15), [("buy", 30)]),
        (0.16, relaxed(band=0.05, band_relative=0.1), [("buy", 40)]),  # the narrower counts, 0.02
        (0.16, relaxed(band=0.01, band_relative=0.5), [("buy", 40)]),
        (0.19, relaxed(band=0.05, band_relative=0.1), []),
        (0.15, FREE._replace(band_money=units.money(500)), [("buy", 50)]),
        (0.15, FREE._replace(band_money=units.money(501)), []),
    ],
)
def test_a_drift_rests_within_the_narrower_band_and_is_traded_in_full_outside(
    part: float, rules: Rules, planned: list[tuple[str, int]]
) -> None:
    assert drifted(part, rules) == planned


@pytest.mark.parametrize("rules", [relaxed(band=1.0, band_relative=1.0), FREE._replace(band_money=units.money(10**6))])
def test_what_is_wanted_no_more_is_sold_whatever_the_bands(rules: Rules) -> None:
    held: Balances = {"a": {"AAA": 50 * units.SHARE, "BBB": 1, CASH: units.money(9_500)}}
    made = limited([SleeveTarget("a", 0, {"CCC": 0.3}, True, False)], held, rules)
    sold = [(order.symbol, order.quantity) for order in made.orders if order.side == "sell"]
    assert sold == [("AAA", 50 * units.SHARE)]  # a millionth of a cent of BBB stays: no order is that small


@given(targets, holdings, banded, limits, st.randoms())
def test_with_bands_and_limits_a_plan_is_still_a_function(ours, balances, rules, chosen, random) -> None:
    mixed = [SleeveTarget(t.sleeve, t.share, _mixed(t.weights, random), t.rebalance, t.resize) for t in ours]
    random.shuffle(mixed)
    shuffled = {name: _mixed(assets, random) for name, assets in _mixed(balances, random).items()}
    other = Limits(_mixed(chosen.frozen, random), frozenset(_shuffled(chosen.whole, random)))
    before = {name: dict(assets) for name, assets in balances.items()}
    assert limited(ours, balances, rules, chosen) == limited(mixed, shuffled, rules, other)
    assert balances == before


def _shuffled(found, random) -> list:
    items = sorted(found)
    random.shuffle(items)
    return items


@given(targets, holdings, banded, limits)
def test_a_frozen_symbol_is_neither_ordered_nor_crossed_and_says_why(ours, balances, rules, chosen) -> None:
    made = limited(ours, balances, rules, chosen)
    assert not {order.symbol for order in made.orders} & chosen.frozen.keys()
    assert not {one.symbol for one in made.crosses} & chosen.frozen.keys()
    told = {(one.sleeve, one.symbol) for one in made.intents if one.symbol in chosen.frozen}
    assert all((one.quantity, one.why) == (0, "left alone") for one in made.intents if one.symbol in chosen.frozen)
    plain = {t.sleeve: t.weights for t in ours if t.rebalance}
    assert told >= {
        (name, symbol)
        for name in plain
        for symbol in plain[name]
        if symbol in chosen.frozen and plain[name][symbol] >= 1e-9
    }


@given(targets, holdings, banded, limits)
def test_with_limits_an_order_is_worth_sending_can_be_paid_and_sells_what_is_there(
    ours, balances, rules, chosen
) -> None:
    made = limited(ours, balances, rules, chosen)
    after = {name: dict(assets) for name, assets in balances.items()}
    journal.apply(after, made.transfers + made.crosses)
    _, cash = journal.totals(after)
    for order in made.orders:
        worth, cost = units.value(order.quantity, order.price), units.cost(order.quantity, order.price)
        assert worth >= rules.min_order
        assert sum(part for _, part in order.shares) == order.quantity
        if order.side == "sell":
            assert all(part <= after[sleeve][order.symbol] for sleeve, part in order.shares)
            cash += worth - units.fee(worth, rules.rate)
        else:
            cash -= cost + units.fee(cost, rules.rate)
    assert cash >= 0


whole_holdings = st.dictionaries(
    st.sampled_from("abcd"),
    st.builds(
        lambda shares, cash: {symbol: n * units.SHARE for symbol, n in shares.items()} | {CASH: cash},
        st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 1_000), max_size=4),
        st.integers(1, 10**11),
    ),
    max_size=4,
)


@given(targets, whole_holdings, banded, st.booleans())
def test_whole_symbols_are_ordered_in_whole_shares(ours, balances, rules, everything) -> None:
    chosen = Limits(whole=frozenset(SYMBOLS if everything else SYMBOLS[:2]))
    for order in limited(ours, balances, rules, chosen).orders:
        if not rules.fractional or order.symbol in chosen.whole:
            assert order.quantity % units.SHARE == 0


@pytest.mark.parametrize(("cash", "bought", "sold"), [(199_99, 19, 10), (200_00, 20, 10), (209_99, 20, 9)])
def test_whole_shares_are_rounded_towards_zero(cash: int, bought: int, sold: int) -> None:
    held: Balances = {"a": {CASH: cash * units.USD // 100}}
    [order] = limited([SleeveTarget("a", 0, {"AAA": 1.0}, True, False)], held, FREE._replace(fractional=False)).orders
    assert (order.side, order.quantity) == ("buy", bought * units.SHARE)
    part: Balances = {"a": {"AAA": 30 * units.SHARE, CASH: (cash - 300_00) * units.USD // 100}}
    whole = Limits(whole=frozenset({"AAA"}))
    [order] = limited([SleeveTarget("a", 0, {"AAA": 1.0}, True, False)], part, FREE, whole).orders
    assert (order.side, order.quantity) == ("sell", sold * units.SHARE)
