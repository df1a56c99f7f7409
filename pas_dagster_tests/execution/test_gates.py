"""Gates: nothing above a limit passes, a higher limit never lets less through, the order of orders does not matter."""

from __future__ import annotations

import doctest
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.execution import gates as module
from pas_dagster.execution.brokers.base import Hours
from pas_dagster.execution.gates import Facts, Gates, LiveSwitch, Quote, check, live
from pas_dagster.ledger import units
from pas_dagster.ledger.halts import Arm
from pas_dagster.ledger.records import Order

NOW = datetime(2024, 1, 8, 15, tzinfo=UTC)  # 10:00 in New York
HOURS = Hours(
    date(2024, 1, 8),
    datetime(2024, 1, 8, 9, 30, tzinfo=calendar.NEW_YORK),
    datetime(2024, 1, 8, 16, tzinfo=calendar.NEW_YORK),
)
NONE = Gates(**{one.name: None for one in fields(Gates) if one.name != "breaker"}, breaker=False)
SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
SECTORS = {"AAA": "tech", "BBB": "tech", "CCC": "oil"}
PAPER = LiveSwitch("paper", "https://paper-api.alpaca.markets", False, {}, "acct", None)
ARM = Arm("main", "acct", NOW - timedelta(minutes=5), NOW + timedelta(minutes=5), "me")
LIVE = LiveSwitch("live", "https://api.alpaca.markets", True, {"ALPACA_LIVE": "1"}, "acct", ARM)


def order(symbol: str, side: str, quantity: float, price: float = 100.0, n: int = 1) -> Order:
    return Order(f"{symbol}-{side}-{n}", symbol, side, round(quantity * 10**9), round(price * 10**6), 1, (), "")


def facts(**changes: Any) -> Facts:
    plain: dict[str, Any] = {
        "now": NOW,
        "broker_now": NOW,
        "hours": HOURS,
        "equity": 1_000_000 * units.USD,
        "tripped": (),
        "quotes": {symbol: Quote(100 * units.USD, NOW) for symbol in SYMBOLS},
        "volumes": dict.fromkeys(SYMBOLS, 10**6 * units.SHARE),
        "sectors": SECTORS,
    }
    return Facts(**plain | changes)


def refusing(gates: Gates, *orders: Order, **changes: Any) -> set[tuple[str, str | None]]:
    return {(one.gate, one.symbol) for one in check(orders, facts(**changes), gates, PAPER).refused}


def passing(gates: Gates, *orders: Order, **changes: Any) -> list[str]:
    return [one.cid for one in check(orders, facts(**changes), gates, PAPER).passed]


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[Order], Facts]:
    """Orders and what is held, with prices and volumes that are sometimes missing, old or far away."""
    rows = draw(
        st.lists(
            st.tuples(st.sampled_from(SYMBOLS), st.sampled_from(["buy", "sell"]), st.integers(1, 3000)), max_size=6
        )
    )
    orders = [order(symbol, side, quantity / 7, 90 + 5 * at, at) for at, (symbol, side, quantity) in enumerate(rows)]
    some = st.dictionaries(st.sampled_from(SYMBOLS), st.integers(0, 2000 * units.SHARE))
    quotes = st.dictionaries(
        st.sampled_from(SYMBOLS),
        st.builds(
            lambda price, age: Quote(price * units.USD, NOW - timedelta(seconds=age)),
            st.integers(80, 120),
            st.integers(-10, 100),
        ),
    )
    return orders, facts(
        equity=draw(st.integers(-1, 10**6)) * units.USD,
        sent_today=draw(st.integers(0, 10**5)) * units.USD,
        quotes=draw(quotes),
        volumes=draw(some),
        positions=draw(some),
        prices=draw(st.fixed_dictionaries({}, optional={name: st.just(100 * units.USD) for name in SYMBOLS})),
    )


STEPS: dict[str, st.SearchStrategy[Any]] = {
    "order_usd": st.integers(1, 50_000),
    "batch_usd": st.integers(1, 200_000),
    "day_usd": st.integers(1, 300_000),
    "batch_orders": st.integers(1, 6),
    "volume_share": st.floats(0.01, 1.0),
    "collar": st.floats(0.01, 0.3),
    "quote_seconds": st.floats(0, 100),
    "name_share": st.floats(0.01, 1.0),
    "sector_share": st.floats(0.01, 1.0),
    "skew_seconds": st.floats(0, 20),
}
limits = st.fixed_dictionaries({name: st.none() | one for name, one in STEPS.items()}).map(lambda d: replace(NONE, **d))


@settings(max_examples=150, deadline=None)
@given(batches(), limits)
def test_nothing_above_a_limit_passes(batch: tuple[list[Order], Facts], gates: Gates) -> None:
    orders, known = batch
    passed = check(orders, known, gates, PAPER).passed
    sold: dict[str, int] = {}
    for one in orders:
        if one.side == "sell":
            sold[one.symbol] = sold.get(one.symbol, 0) + one.quantity
    large = [
        one for one in passed if one.side == "buy" or sold[one.symbol] > known.positions.get(one.symbol, 0)
    ]  # the others only reduce
    worth = sum(one.quantity * one.price for one in large)
    if gates.batch_orders is not None:
        assert len(passed) <= gates.batch_orders
    if gates.batch_usd is not None:
        assert worth <= gates.batch_usd * 10**15
    if gates.day_usd is not None and large:
        assert worth + known.sent_today * 10**9 <= gates.day_usd * 10**15
    for symbol in SYMBOLS:
        for side in ("buy", "sell"):
            ours = [one for one in passed if (one.symbol, one.side) == (symbol, side)]
            quantity = sum(one.quantity for one in ours)
            if not ours:
                continue
            if gates.volume_share is not None:
                assert quantity <= gates.volume_share * known.volumes[symbol] * (1 + 1e-8) + 1
            if gates.collar is not None:
                quote = known.quotes[symbol]
                assert all(abs(quote.price / one.price - 1) <= gates.collar + 1e-8 for one in ours)
                assert gates.quote_seconds is None or (NOW - quote.at).total_seconds() <= gates.quote_seconds
            if ours[0] not in large:
                continue
            if gates.order_usd is not None:
                assert sum(one.quantity * one.price for one in ours) <= gates.order_usd * 10**15
            signed = quantity if side == "buy" else -quantity
            after = abs(known.positions.get(symbol, 0) + signed) / 10**9 * ours[0].price
            if gates.name_share is not None:
                assert after <= gates.name_share * max(known.equity, 0) * (1 + 1e-8) + 1
    if gates.sector_share is not None:
        for sector in {SECTORS.get(one.symbol, "unknown") for one in large if one.side == "buy"}:
            _sector_holds(sector, passed, known, gates.sector_share)


def _sector_holds(sector: str, passed: tuple[Order, ...], known: Facts, share: float) -> None:
    """What the sector is worth once everything that passed is filled."""
    total = 0.0
    for symbol in SYMBOLS:
        if SECTORS.get(symbol, "unknown") != sector:
            continue
        own = [one for one in passed if one.symbol == symbol]
        held = known.positions.get(symbol, 0) + sum(one.quantity if one.side == "buy" else -one.quantity for one in own)
        price = known.prices.get(symbol) or min((one.price for one in own), default=None)
        assert price is not None or not held
        total += abs(held) / 10**9 * min([price or 0, *(one.price for one in own)])
    assert total <= share * max(known.equity, 0) * (1 + 1e-8) + 1


@settings(max_examples=150, deadline=None)
@given(batches(), limits, st.data())
def test_a_higher_limit_never_lets_less_through(
    batch: tuple[list[Order], Facts], gates: Gates, data: st.DataObject
) -> None:
    orders, known = batch
    name = data.draw(st.sampled_from(sorted(STEPS)))
    low = getattr(gates, name)
    high = None if low is None else data.draw(st.none() | STEPS[name].map(lambda value: max(value, low)))
    before = check(orders, known, gates, PAPER).passed
    after = check(orders, known, replace(gates, **{name: high}), PAPER).passed
    assert set(before) <= set(after)


@settings(max_examples=100, deadline=None)
@given(batches(), limits, st.randoms(use_true_random=False))
def test_the_order_of_the_orders_does_not_matter(batch: tuple[list[Order], Facts], gates: Gates, random: Any) -> None:
    orders, known = batch
    shuffled = random.sample(orders, len(orders))
    one, other = check(orders, known, gates, PAPER), check(shuffled, known, gates, PAPER)
    assert one.refused == other.refused
    assert set(one.passed) == set(other.passed)
    assert [x for x in orders if x in one.passed] == list(one.passed)


@settings(max_examples=100, deadline=None)
@given(batches(), limits)
def test_what_stays_out_has_a_reason_and_only_that(batch: tuple[list[Order], Facts], gates: Gates) -> None:
    orders, known = batch
    verdict = check(orders, known, gates, PAPER)
    for one in orders:
        named = any(refusal.symbol in (None, one.symbol) for refusal in verdict.refused)
        assert one in verdict.passed or named
    if not verdict.refused:
        assert list(verdict.passed) == orders
    assert all(refusal.sentence.endswith(".") for refusal in verdict.refused)


def test_without_limits_everything_passes() -> None:
    orders = [order("AAA", "buy", 10**6), order("BBB", "sell", 5)]
    got = check(orders, facts(quotes={}, volumes={}, broker_now=None, hours=None, tripped=None), NONE, PAPER)
    assert (list(got.passed), got.refused) == (orders, ())


def test_defaults_let_an_ordinary_batch_through() -> None:
    assert passing(Gates(), order("AAA", "buy", 10), order("CCC", "buy", 10)) == ["AAA-buy-1", "CCC-buy-1"]


@pytest.mark.parametrize(
    ("limit", "least"), [("order_usd", 10_000), ("batch_usd", 10_000), ("day_usd", 10_000), ("batch_orders", 1)]
)
def test_the_limit_itself_is_allowed_and_a_millionth_more_is_not(limit: str, least: int) -> None:
    gates = replace(NONE, **{limit: least})
    assert passing(gates, order("AAA", "buy", 100)) == ["AAA-buy-1"]
    more = order("AAA", "buy", 100)._replace(quantity=100 * 10**9 + 1)
    extra = [order("BBB", "buy", 1)] if limit == "batch_orders" else []
    assert passing(gates, more, *extra) == []


def test_an_order_cannot_be_split_to_get_below_a_limit() -> None:
    halves = [order("AAA", "buy", 60, n=1), order("AAA", "buy", 60, n=2)]
    assert refusing(replace(NONE, order_usd=10_000), *halves) == {("notional per order", "AAA")}
    assert refusing(replace(NONE, volume_share=0.05), *halves, volumes={"AAA": 2000 * units.SHARE}) == {
        ("share of volume", "AAA")
    }


def test_one_order_stays_out_and_the_others_go() -> None:
    gates = replace(NONE, order_usd=5_000)
    assert passing(gates, order("AAA", "buy", 100), order("BBB", "buy", 10)) == ["BBB-buy-1"]


def test_what_was_sent_today_counts() -> None:
    gates = replace(NONE, day_usd=10_000)
    assert passing(gates, order("AAA", "buy", 50), sent_today=5_000 * units.USD) == ["AAA-buy-1"]
    assert passing(gates, order("AAA", "buy", 50), sent_today=5_001 * units.USD) == []


def test_getting_out_is_never_too_large_but_selling_more_than_is_held_is() -> None:
    gates = replace(NONE, order_usd=1, batch_usd=1, day_usd=1, name_share=0.001, sector_share=0.001)
    held = {"positions": {"AAA": 100 * units.SHARE}, "prices": {"AAA": 100 * units.USD}}
    assert passing(gates, order("AAA", "sell", 100), **held) == ["AAA-sell-1"]
    assert passing(gates, order("AAA", "sell", 100), order("BBB", "buy", 100), **held) == ["AAA-sell-1"]
    assert passing(gates, order("AAA", "sell", 101), **held) == []
    two = [order("AAA", "sell", 60, n=1), order("AAA", "sell", 60, n=2)]
    assert passing(gates, *two, **held) == []


def test_getting_out_still_needs_a_fair_price_a_market_and_a_clock() -> None:
    sale, held = order("AAA", "sell", 100), {"positions": {"AAA": 100 * units.SHARE}}
    far = {"AAA": Quote(80 * units.USD, NOW)}
    assert refusing(Gates(), sale, quotes=far, **held) == {("price collar", "AAA")}
    assert refusing(Gates(), sale, volumes={"AAA": 100 * units.SHARE}, **held) == {("share of volume", "AAA")}
    assert refusing(Gates(), sale, hours=None, **held) == {("market hours", None)}
    assert refusing(Gates(), sale, tripped=("a loss",), **held) == {("circuit breaker", None)}


@pytest.mark.parametrize("price", [94.99, 105.01])
def test_a_quote_far_from_the_plan_keeps_the_order_out_on_either_side(price: float) -> None:
    quotes = {"AAA": Quote(round(price * units.USD), NOW)}
    assert refusing(Gates(), order("AAA", "buy", 1), quotes=quotes) == {("price collar", "AAA")}
    near = {"AAA": Quote(105 * units.USD, NOW)}
    assert refusing(Gates(), order("AAA", "buy", 1), quotes=near) == set()


@pytest.mark.parametrize("age", [61, -6])
def test_a_quote_that_is_old_or_from_the_future_is_none(age: int) -> None:
    quotes = {"AAA": Quote(100 * units.USD, NOW - timedelta(seconds=age))}
    assert refusing(Gates(), order("AAA", "buy", 1), quotes=quotes) == {("price collar", "AAA")}


def test_what_is_not_known_counts_as_failed() -> None:
    got = refusing(Gates(), order("AAA", "buy", 1), quotes={}, volumes={}, broker_now=None, hours=None, tripped=None)
    assert got == {
        ("price collar", "AAA"),
        ("share of volume", "AAA"),
        ("clock skew", None),
        ("market hours", None),
        ("circuit breaker", None),
    }


def test_a_sector_counts_what_is_held_and_what_the_batch_sells_of_it() -> None:
    gates = replace(NONE, sector_share=0.5)
    held = {"positions": {"AAA": 4_000 * units.SHARE}, "prices": {"AAA": 100 * units.USD}}
    more = order("BBB", "buy", 2_000)
    assert refusing(gates, more, **held) == {("sector cap", "BBB")}
    assert passing(gates, order("AAA", "sell", 1_000), more, **held) == ["AAA-sell-1", "BBB-buy-1"]
    # A sale that another gate keeps out makes no room.
    wide = replace(gates, collar=0.05)
    quotes = {"AAA": Quote(50 * units.USD, NOW), "BBB": Quote(100 * units.USD, NOW)}
    assert passing(wide, order("AAA", "sell", 1_000), more, quotes=quotes, **held) == []


def test_symbols_without_a_sector_count_together() -> None:
    gates = replace(NONE, sector_share=0.5)
    orders = [order("DDD", "buy", 3_000), order("EEE", "buy", 3_000)]
    assert refusing(gates, *orders) == {("sector cap", "DDD"), ("sector cap", "EEE")}


def test_a_sector_that_cannot_be_valued_is_not_added_to() -> None:
    gates = replace(NONE, sector_share=0.5)
    held = {"positions": {"AAA": 1}}
    assert refusing(gates, order("BBB", "buy", 1), **held) == {("sector cap", "BBB")}
    assert refusing(gates, order("CCC", "buy", 1), **held) == set()


def test_a_name_counts_what_is_held() -> None:
    gates = replace(NONE, name_share=0.1)
    held = {"positions": {"AAA": 900 * units.SHARE}}
    assert passing(gates, order("AAA", "buy", 100), **held) == ["AAA-buy-1"]
    assert passing(gates, order("AAA", "buy", 101), **held) == []


def test_an_account_without_value_adds_nothing() -> None:
    for equity in (0, -1):
        assert ("position cap", "AAA") in refusing(Gates(), order("AAA", "buy", 1), equity=equity)


@pytest.mark.parametrize(("seconds", "passes"), [(5.0, True), (-5.0, True), (5.001, False), (-5.001, False)])
def test_clocks_that_are_apart_stop_the_batch(seconds: float, passes: bool) -> None:
    theirs = NOW + timedelta(seconds=seconds)
    assert (("clock skew", None) not in refusing(Gates(), order("AAA", "buy", 1), broker_now=theirs)) is passes


@pytest.mark.parametrize(
    ("hour", "minute", "closes", "passes"),
    [
        (9, 29, 16, False),
        (9, 30, 16, True),
        (15, 57, 16, True),
        (15, 58, 16, False),
        (16, 1, 16, False),
        (12, 57, 13, True),  # an early close
        (12, 58, 13, False),
        (15, 0, 13, False),
    ],
)
def test_nothing_is_sent_outside_of_the_session(hour: int, minute: int, closes: int, passes: bool) -> None:
    now = datetime(2024, 1, 8, hour, minute, tzinfo=calendar.NEW_YORK)
    hours = HOURS._replace(close=datetime(2024, 1, 8, closes, tzinfo=calendar.NEW_YORK))
    quotes = {"AAA": Quote(100 * units.USD, now)}
    got = refusing(Gates(), order("AAA", "buy", 1), now=now, broker_now=now, hours=hours, quotes=quotes)
    assert got == (set() if passes else {("market hours", None)})


def test_all_four_and_the_batch_goes() -> None:
    orders = [order("AAA", "buy", 1)]
    assert check(orders, facts(), Gates(), LIVE).passed == tuple(orders)
    assert live(LIVE, NOW) == []


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "https://paper-api.alpaca.markets"},
        {"base_url": "http://127.0.0.1:8765"},
        {"allow_live": False},
        {"allow_live": "yes"},
        {"environment": {}},
        {"environment": {"ALPACA_LIVE": "true"}},
        {"environment": {"ALPACA_LIVE": "1 "}},
        {"arm": None},
        {"arm": ARM._replace(until=NOW)},
        {"arm": ARM._replace(at=NOW + timedelta(seconds=1))},
        {"owner": "another"},
        {"owner": ""},
    ],
)
def test_any_of_the_four_missing_and_nothing_goes(change: dict[str, Any]) -> None:
    switch = replace(LIVE, **change)
    assert len(live(switch, NOW)) == 1
    verdict = check([order("AAA", "sell", 1)], facts(positions={"AAA": 10**9}), NONE, switch)
    assert verdict.passed == ()
    assert {one.gate for one in verdict.refused} == {"live switch"}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://api.alpaca.markets/",
        "https://api.alpaca.markets:443",
        "https://API.alpaca.markets",
        "https://api.alpaca.markets.evil.example",
        "https://user@api.alpaca.markets",
        "https://api.alpaca.markets@evil.example",
        "https://api.alpaca.markets\n",
        " https://api.alpaca.markets",
        "https://api.alpaca.markets.",
        "https://api.alpaca.markets/v2",
        "https://xapi.alpaca.markets",
        "http://api.alpaca.markets",
        "http://127.0.0.1",
        "http://127.0.0.1:80/x",
        "http://localhost:8765",
        "http://127.0.0.1:8765@evil.example",
    ],
)
@pytest.mark.parametrize("switch", [LIVE, PAPER], ids=["live", "paper"])
def test_an_address_that_is_spelt_differently_is_refused(url: str, switch: LiveSwitch) -> None:
    assert len(live(replace(switch, base_url=url), NOW)) == 1


def test_a_paper_account_never_meets_the_live_address() -> None:
    assert live(PAPER, NOW) == []
    assert live(replace(PAPER, base_url="http://127.0.0.1:8765"), NOW) == []
    assert len(live(replace(PAPER, base_url="https://api.alpaca.markets"), NOW)) == 1
    assert live(replace(PAPER, mode="simulated", base_url=""), NOW) == []
    assert len(live(replace(LIVE, mode="simulated"), NOW)) == 1


@pytest.mark.parametrize(
    "values",
    [
        {"order_usd": 0},
        {"order_usd": 1.5},
        {"order_usd": True},
        {"batch_orders": -1},
        {"collar": 0.0},
        {"collar": float("nan")},
        {"volume_share": 1.01},
        {"quote_seconds": -1.0},
        {"skew_seconds": float("inf")},
        {"closing_minutes": "2"},
        {"breaker": None},
    ],
)
def test_a_policy_without_meaning_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the gates need"):
        Gates(**values)


def test_times_without_a_zone_are_a_mistake() -> None:
    naive = datetime(2024, 1, 8, 15)  # noqa: DTZ001
    with pytest.raises(ValueError, match="aware"):
        facts(now=naive)
    with pytest.raises(ValueError, match="aware"):
        facts(quotes={"AAA": Quote(1, naive)})
    with pytest.raises(ValueError, match="aware"):
        facts(hours=HOURS._replace(close=naive))
    with pytest.raises(ValueError, match="below 0"):
        facts(sent_today=-1)


def test_examples_of_the_documentation() -> None:
    assert doctest.testmod(module).failed == 0
