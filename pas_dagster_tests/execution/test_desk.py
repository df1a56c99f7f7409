"""Trading at a real broker's wire format: planned once, sent once, booked to the unit, whatever happens outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from pas_dagster.errors import PasError
from pas_dagster.execution.brokers.base import Receipt
from pas_dagster.execution.gates import Gates
from pas_dagster.execution.guard import Conditions
from pas_dagster.ledger import journal, tables, units
from pas_dagster.ledger.store import Ledger
from pas_dagster.sandbox.broker.paper import Wish
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.brokerage import DAY, LOOSE, NEXT, Brokerage, brokerage, calm, ten
from pas_dagster_tests.execution.world import SESSIONS

MONDAY = SESSIONS[4]


@pytest.fixture
def firm(ledger: Ledger) -> Iterator[Brokerage]:
    with brokerage(ledger) as found:
        yield found


def test_the_day_is_traded_and_booked_to_the_unit(firm: Brokerage) -> None:
    outcome = firm.trade()
    assert set(outcome.order_batch["state"]) == {"filled"}
    firm.sound()
    closes = firm.market.closes(DAY)
    worth = sum(float(quantity) * closes[symbol] for symbol, quantity in firm.book.positions.items())
    assert outcome.account["equity"].iloc[0] == pytest.approx(worth + float(firm.book.cash))


def test_twice_is_once(firm: Brokerage) -> None:
    firm.trade()
    sent = firm.sandbox.count("POST", "/v2/orders")
    firm.trade()
    assert firm.sandbox.count("POST", "/v2/orders") == sent
    firm.sound()


def test_history_never_reaches_the_broker(firm: Brokerage) -> None:
    firm.morning(NEXT)
    with pytest.raises(PasError, match="is not the session that trades now"):
        firm.trade(DAY)
    assert not firm.book.orders


def test_a_week_of_mornings_stays_equal_to_the_broker(firm: Brokerage) -> None:
    for day in SESSIONS[:8]:
        firm.morning(day)
        firm.trade(day)
        firm.sound()
    assert {order.wish.side for order in firm.book.orders.values()} == {"buy", "sell"}


def test_buys_wait_for_sells_and_fit_what_they_brought(firm: Brokerage) -> None:
    firm.guard = replace(firm.guard, gates=replace(LOOSE, order_usd=None))
    firm.trade(DAY, [world.target("alpha", 1.0, {"AAA": 0.99})])
    firm.morning(MONDAY)
    firm.book.rules.multiplier = 1
    firm.book.rules.patterns["AAA"] = [(20.0, 1.0)]
    firm.trade(MONDAY, [world.target("alpha", 1.0, {"BBB": 1.0})])
    sold = next(fill for fill in firm.book.fills if fill.side == "sell")
    bought = next(order for order in firm.book.orders.values() if order.wish.symbol == "BBB")
    assert bought.submitted >= sold.at
    assert firm.book.cash >= 0
    assert firm.book.positions["BBB"] > 900
    firm.sound()


def test_a_sell_that_does_not_fill_is_given_up_and_buys_go_on(firm: Brokerage) -> None:
    firm.trade(DAY, [world.target("alpha", 1.0, {"AAA": 0.5})])
    firm.morning(MONDAY)
    firm.book.rules.patterns["AAA"] = []
    firm.patience = 1200
    firm.trade(MONDAY, [world.target("alpha", 1.0, {"BBB": 0.3})])
    states = {row.symbol: row.state for row in firm.rows(tables.orders) if row.side == "sell" or row.symbol == "BBB"}
    assert states == {"AAA": "expired", "BBB": "filled"}
    firm.sound()


def test_what_was_there_before_is_unassigned_and_left_alone(firm: Brokerage) -> None:
    firm.book.hold("EEE", Decimal(7), Decimal(130))
    firm.trade(DAY, [world.target("alpha", 1.0, {"AAA": 0.2})])
    assert firm.balances()["unassigned"] == {"EEE": 7 * units.SHARE}
    assert firm.book.positions["EEE"] == 7
    firm.sound()


def test_a_dividend_goes_to_who_holds_and_a_deposit_to_the_treasury(firm: Brokerage) -> None:
    firm.trade(DAY)
    firm.morning(NEXT)
    before = firm.balances()
    firm.book.dividend("AAA", Decimal("0.25"))
    firm.book.transfer(Decimal(5000))
    firm.book.fee(Decimal("0.02"))
    firm.trade(NEXT)
    firm.sound()
    after = firm.balances()
    for sleeve in ("alpha", "beta"):
        gained = after[sleeve]["$"] - before[sleeve]["$"]
        assert gained == pytest.approx(before[sleeve]["AAA"] * 0.25 / 1000, abs=1)
    assert after[journal.TREASURY]["$"] - before[journal.TREASURY].get("$", 0) == units.money("4999.98")


def test_a_manual_buy_is_unassigned_and_a_manual_sale_is_taken_from_the_sleeves(firm: Brokerage) -> None:
    firm.trade(DAY)
    held = firm.balances()
    firm.book.place(Wish("EEE", "buy", "by-hand", Decimal(3)))
    firm.book.place(Wish("AAA", "sell", "by-hand-2", Decimal(10)))
    firm.book.advance()
    firm.morning(NEXT)
    firm.trade(NEXT)
    firm.sound()
    now = firm.balances()
    assert now["unassigned"]["EEE"] == 3 * units.SHARE
    assert "AAA" not in now["unassigned"]
    lost = {name: held[name]["AAA"] - now[name].get("AAA", 0) for name in ("alpha", "beta")}
    assert sum(lost.values()) == 10 * units.SHARE
    assert lost["alpha"] / lost["beta"] == pytest.approx(held["alpha"]["AAA"] / held["beta"]["AAA"])


@pytest.mark.parametrize("told", [True, False])
def test_a_split_overnight_is_followed_and_not_traded(firm: Brokerage, told: bool) -> None:
    firm.trade(DAY, [world.target("alpha", 0.5, {"AAA": 0.5, "BBB": 0.5})])
    before = firm.balances()["alpha"]["AAA"]
    firm.morning(MONDAY)
    firm.book.split("AAA", Decimal(4))
    firm.quotes["AAA"] /= 4
    if told:
        world.act(firm.market, MONDAY, world.CorporateAction("split", "AAA", 4.0))
    firm.trade(MONDAY, [world.target("alpha", 0.5, {"AAA": 0.5, "BBB": 0.4})])
    sold = {fill.symbol: fill.quantity for fill in firm.book.fills if fill.side == "sell"}
    after = units.shares(sold.get("AAA", Decimal(0))) + firm.balances()["alpha"]["AAA"]
    assert after == 4 * before
    if told:  # on one basis on both sides: only the drift of the price is traded
        assert 0 < units.shares(sold["AAA"]) < before / 3
    else:
        assert "AAA" not in sold
    firm.sound()


def test_a_split_that_the_broker_does_not_show_yet_leaves_the_symbol_alone(firm: Brokerage) -> None:
    firm.trade(DAY, [world.target("alpha", 0.5, {"AAA": 0.5, "BBB": 0.5})])
    before = firm.balances()["alpha"]["AAA"]
    firm.morning(MONDAY)
    world.act(firm.market, MONDAY, world.CorporateAction("split", "AAA", 4.0))
    firm.trade(MONDAY, [world.target("alpha", 0.5, {"AAA": 0.5, "BBB": 0.4})])
    assert firm.balances()["alpha"]["AAA"] == before
    whys = {row.symbol: row.why for row in firm.rows(tables.intent) if row.quantity == 0}
    assert whys == {"AAA": "a corporate action has not reached the broker"}
    firm.sound()


def test_a_renamed_symbol_is_held_under_its_new_name(firm: Brokerage) -> None:
    firm.trade(DAY, [world.target("alpha", 0.5, {"AAA": 0.5})])
    before = firm.balances()["alpha"]["AAA"]
    firm.morning(MONDAY)
    world.act(firm.market, MONDAY, world.CorporateAction("symbol_change", "AAA", new_symbol="ZZZ"))
    firm.book.rename("AAA", "ZZZ")
    firm.quotes["ZZZ"] = firm.quotes.pop("AAA")
    firm.trade(MONDAY, [world.target("alpha", 0.5, {"ZZZ": 0.5})])
    assert firm.balances()["alpha"]["ZZZ"] == pytest.approx(before, rel=0.05)
    assert "AAA" not in firm.balances()["alpha"]
    firm.sound()


def test_another_account_under_the_key_halts(firm: Brokerage) -> None:
    firm.trade(DAY)
    firm.book.reset(100_000)
    firm.morning(NEXT)
    with pytest.raises(PasError, match="was it reset"):
        firm.trade(NEXT)
    with pytest.raises(PasError, match="has been halted"):
        firm.trade(NEXT)
    assert not firm.book.orders


def test_a_difference_halts_before_anything_is_planned(firm: Brokerage) -> None:
    firm.trade(DAY)
    firm.book.positions["AAA"] -= 1
    sent = firm.sandbox.count("POST", "/v2/orders")
    firm.morning(MONDAY)
    with pytest.raises(PasError, match=r"disagree on AAA \(.* here, .* there\)"):
        firm.trade(MONDAY)
    assert firm.sandbox.count("POST", "/v2/orders") == sent


def test_an_order_of_ours_that_the_ledger_does_not_know_halts(firm: Brokerage) -> None:
    firm.trade(DAY)
    firm.book.place(Wish("AAA", "buy", "pas-0123456789abcdef-AAA-b-1", Decimal(1)))
    firm.book.advance()
    firm.morning(NEXT)
    with pytest.raises(PasError, match="restored from an old copy"):
        firm.trade(NEXT)


def test_fills_that_show_late_are_waited_for(firm: Brokerage) -> None:
    firm.book.rules.fill_lag = 30
    firm.trade(DAY)
    assert firm.states() == {"filled": 5}
    firm.sound()


def test_a_cent_of_rounding_is_booked_and_a_dollar_halts(firm: Brokerage) -> None:
    firm.trade(DAY)
    firm.book.cash += Decimal("0.03")
    with firm.desk() as desk:
        found = desk.follow(DAY)
    assert found[0].verdict == "rounded"
    firm.sound()
    firm.book.cash += 1
    with firm.desk() as desk, pytest.raises(PasError, match="disagree on cash"):
        desk.follow(DAY)


def test_an_untradable_symbol_is_carried_with_a_reason_and_whole_shares_are_whole(firm: Brokerage) -> None:
    firm.book.rules.untradable.add("AAA")
    firm.book.rules.whole_only.add("BBB")
    firm.trade(DAY)
    whys = {row.symbol: row.why for row in firm.rows(tables.intent) if row.quantity == 0}
    assert whys == {"AAA": "the broker does not trade it now"}
    assert firm.book.positions["BBB"] % 1 == 0
    assert firm.book.positions["CCC"] % 1 != 0
    firm.sound()


def test_a_gate_on_an_order_leaves_it_unsent_with_its_sentence(firm: Brokerage) -> None:
    firm.quotes["AAA"] *= 1.2
    firm.trade(DAY)
    unsent = {row.symbol: row.reason for row in firm.rows(tables.orders) if row.state == "unsent"}
    assert list(unsent) == ["AAA"]
    assert "more than 5.000% away" in unsent["AAA"]
    firm.sound()


@pytest.mark.parametrize(
    ("gates", "match"),
    [
        (Gates(batch_orders=2, name_share=None, sector_share=None), "the limit is 2"),
        (Gates(day_usd=10, name_share=None, sector_share=None), "the limit is 10.00 USD"),
    ],
)
def test_a_gate_on_the_batch_keeps_everything_back_and_says_so(firm: Brokerage, gates: Gates, match: str) -> None:
    firm.guard = replace(firm.guard, gates=gates)
    with pytest.raises(PasError, match=match):
        firm.trade(DAY)
    assert not firm.book.orders
    firm.guard = replace(firm.guard, gates=LOOSE)
    firm.trade(DAY)
    firm.sound()


def test_a_tripped_breaker_sends_nothing(firm: Brokerage) -> None:
    firm.guard = replace(firm.guard, conditions=lambda symbols: calm(symbols)._replace(tripped=("it fell",)))
    with pytest.raises(PasError, match="it fell"):
        firm.trade(DAY)
    firm.guard = replace(firm.guard, conditions=lambda symbols: Conditions({}, {}, ()))
    with pytest.raises(PasError) as _:
        firm.guard = replace(firm.guard, conditions=lambda symbols: calm(symbols)._replace(tripped=None))
        firm.trade(DAY)
    assert not firm.book.orders


def test_before_the_open_it_waits_and_after_the_close_nothing_is_sent(firm: Brokerage) -> None:
    firm.hand.to(firm.hand() - timedelta(hours=2))
    with pytest.raises(PasError, match="opens at 09:30 EST"):
        firm.trade(DAY)
    firm.hand.to(firm.hand() + timedelta(hours=9))
    firm.trade(DAY)
    assert firm.states() == {"unsent": 5}
    assert not firm.book.orders


def test_a_position_is_closed_by_hand_once_more_when_asked_again(firm: Brokerage) -> None:
    firm.trade(DAY)
    others = firm.balances()["beta"]
    with firm.desk() as desk:
        assert desk.close("alpha", "AAA") == f"{DAY}/close/alpha/AAA"
    assert "AAA" not in firm.balances()["alpha"]
    assert firm.balances()["beta"] == others
    with firm.desk() as desk, pytest.raises(PasError, match="holds no AAA"):
        desk.close("alpha", "AAA")
    firm.sound()


def test_a_refused_key_halts_and_the_order_is_found_afterwards(firm: Brokerage) -> None:
    from pas_dagster.sandbox.broker.trouble import Kind, Trouble

    firm.sandbox.troubles.append(Trouble(Kind.UNAUTHORIZED, "POST", "/v2/orders", skip=2))
    with pytest.raises(PasError, match="refuses the key"):
        firm.trade(DAY)
    with pytest.raises(PasError, match="has been halted"):
        firm.trade(DAY)
    firm.ledger.clear_halt("paper", "test", "mended", firm.hand())
    firm.trade(DAY)
    assert firm.states() == {"filled": 5}
    firm.sound()


def test_rejections_in_a_row_halt_the_account(firm: Brokerage, monkeypatch: pytest.MonkeyPatch) -> None:
    broker = firm.broker()
    monkeypatch.setattr(broker, "submit", lambda ticket: Receipt("rejected", reason=f"no {ticket.symbol} today"))
    with pytest.raises(PasError, match="rejected 5 orders in a row, the last: no EEE today"):
        firm.trade(DAY, broker=broker)
    assert firm.states() == {"rejected": 5}
    with pytest.raises(PasError, match="has been halted"):
        firm.trade(DAY)


def test_todays_plan_stands_whatever_is_decided_after_it(firm: Brokerage) -> None:
    firm.book.rules.patterns["AAA"] = [(300.0, 1.0)]
    firm.trade(DAY)
    assert firm.states() == {"filled": 4, "working": 1}
    firm.hand.advance(400)
    firm.trade(DAY, [world.target("alpha", 1.0, {"EEE": 0.2})])
    assert firm.states() == {"filled": 5}
    firm.sound()


@pytest.mark.parametrize("what", ["rename", "split"])
def test_a_fill_that_nobody_saw_is_booked_before_what_happened_overnight(firm: Brokerage, what: str) -> None:
    both = {"AAA": 0.5}
    firm.trade(DAY, [world.target("alpha", 0.3, both), world.target("beta", 0.3, both)])
    firm.morning(NEXT)
    firm.book.rules.patterns["AAA"] = [(300.0, 1.0)]
    firm.patience = 5
    firm.trade(NEXT, [world.target("alpha", 0.3, {}, resize=False)])
    firm.hand.advance(400)  # it fills, and nobody looks
    firm.book.advance()
    held, day = firm.balances()["beta"]["AAA"], SESSIONS[2]
    firm.morning(day)
    if what == "rename":
        world.act(firm.market, day, world.CorporateAction("symbol_change", "AAA", new_symbol="ZZZ"))
        firm.book.rename("AAA", "ZZZ")
        firm.quotes["ZZZ"] = firm.quotes.pop("AAA")
    else:
        world.act(firm.market, day, world.CorporateAction("split", "AAA", 4.0))
        firm.book.split("AAA", Decimal(4))
        firm.quotes["AAA"] /= 4
    firm.trade(day, [])
    firm.sound()
    after = {name: amount for name, amount in firm.balances()["beta"].items() if name != "$"}
    assert after == ({"ZZZ": held} if what == "rename" else {"AAA": 4 * held})
    assert not firm.balances()["alpha"].keys() - {"$"}


def test_a_batch_of_yesterday_that_was_never_sent_ends_in_one_run(firm: Brokerage) -> None:
    firm.trade(DAY, [world.target("alpha", 0.5, {"AAA": 0.5})])
    firm.morning(NEXT)
    tripped = replace(firm.guard, conditions=lambda symbols: calm(symbols)._replace(tripped=("it fell",)))
    loose, firm.guard = firm.guard, tripped
    with pytest.raises(PasError, match="it fell"):
        firm.trade(NEXT, [world.target("alpha", 0.5, {"BBB": 0.5})])  # a sell and a buy stay planned
    firm.guard = loose
    firm.morning(SESSIONS[2])
    firm.trade(SESSIONS[2], [world.target("alpha", 0.5, {"BBB": 0.5})])
    firm.sound()


def test_a_difference_is_taken_over_when_a_person_says_so(firm: Brokerage) -> None:
    firm.trade(DAY)
    firm.book.positions["AAA"] -= 2
    firm.book.positions["ZZZ"] = Decimal(3)
    firm.quotes["ZZZ"] = 5.0
    firm.book.cash -= 40
    with firm.desk() as desk, pytest.raises(PasError, match="disagree on cash"):
        desk.follow(DAY)
    with firm.desk(halted=True) as desk:
        assert {one.subject for one in desk.accept(DAY, "me", "looked at it")} == {"$", "AAA", "ZZZ"}
    firm.sound()
    assert firm.balances()["unassigned"] == {"ZZZ": 3 * units.SHARE}
    assert "me took over" in firm.rows(tables.halt)[-1].why
    with pytest.raises(PasError, match="has been halted"):
        firm.trade(DAY)
    firm.ledger.clear_halt("paper", "me", "done", firm.hand())
    firm.morning(MONDAY)
    firm.trade(MONDAY)
    firm.sound()


def test_a_reset_account_begins_anew_and_its_old_books_stay(firm: Brokerage) -> None:
    firm.trade(DAY)
    firm.book.reset(50_000)
    firm.morning(MONDAY)
    with pytest.raises(PasError, match="pas reconcile --new-account"):
        firm.trade(MONDAY)
    assert firm.ledger.unbind("paper") == 2
    firm.ledger.clear_halt("paper", "me", "done", firm.hand())
    assert firm.trade(MONDAY).generation == 2
    cash = firm.ledger.run(lambda connection: journal.totals(firm.ledger.balances(connection, "paper", 2))[1])
    assert cash == units.money(firm.book.cash)
    assert journal.totals(firm.balances())[0]


def half(part: float = 0.5) -> list[world.SleeveTarget]:
    return [world.target("alpha", 0.5, {"AAA": part, "BBB": 0.5})]


def equities(firm: Brokerage) -> list[float]:
    """Of the account's marks, in order, in thousands of USD."""
    return [row.equity / units.USD / 1000 for row in sorted(firm.rows(tables.mark), key=lambda row: row.batch)]


def test_a_split_overnight_does_not_change_what_yesterday_was_worth(firm: Brokerage) -> None:
    firm.patience = 5
    firm.book.rules.patterns["BBB"] = [(50_000.0, 1.0)]  # it stays open, and is marked in the morning
    firm.trade(DAY, half())
    firm.morning(NEXT)
    world.act(firm.market, NEXT, world.CorporateAction("split", "AAA", 4.0))
    firm.book.split("AAA", Decimal(4))
    firm.quotes["AAA"] /= 4
    firm.trade(NEXT, [])
    assert equities(firm) == [pytest.approx(100, abs=4)] * 2


@pytest.mark.parametrize("amount", [-20_000, 20_000])
def test_money_moved_on_a_weekend_is_no_gain_and_no_loss(firm: Brokerage, amount: int) -> None:
    friday = SESSIONS[3]
    firm.morning(friday)
    firm.trade(friday, half())
    firm.hand.to(ten(friday) + timedelta(days=1))
    firm.book.transfer(Decimal(amount))
    firm.morning(MONDAY)
    firm.trade(MONDAY, [])
    flows = [row.net_flow for row in sorted(firm.rows(tables.mark), key=lambda row: row.batch)]
    assert flows == [units.money(100_000), units.money(amount)]


def test_the_breaker_sees_what_today_has_done_to_the_account(firm: Brokerage) -> None:
    firm.trade(DAY, half())
    firm.morning(MONDAY)
    del firm.market.bars[MONDAY]  # whose closes are still to come
    for name in ("AAA", "BBB"):
        firm.quotes[name] *= 0.7
    firm.guard = replace(firm.guard, gates=replace(LOOSE, collar=None))
    firm.trade(MONDAY, [])
    assert equities(firm)[1] == pytest.approx(50 + 50 * 0.7, abs=2)


def test_a_frozen_symbol_does_not_excuse_missing_cash(firm: Brokerage) -> None:
    firm.trade(DAY, half())
    firm.morning(MONDAY)
    world.act(firm.market, MONDAY, world.CorporateAction("split", "AAA", 2.0))
    firm.book.cash -= 20_000
    sent = len(firm.book.orders)
    with pytest.raises(PasError, match="disagree on cash"):
        firm.trade(MONDAY, half())
    assert len(firm.book.orders) == sent


def test_history_dated_far_back_is_booked_once(firm: Brokerage) -> None:
    firm.trade(DAY, half())
    firm.morning(MONDAY)
    firm.book.enter("INT", cash=Decimal("1.5"), day=DAY - timedelta(days=40))
    for _ in range(2):
        with firm.desk() as desk:
            desk.follow(MONDAY)
    firm.sound()


def test_a_trade_by_hand_on_a_weekend_is_booked(firm: Brokerage) -> None:
    friday = SESSIONS[3]
    firm.morning(friday)
    firm.trade(friday, half())
    sunday = ten(friday) + timedelta(days=2)
    firm.hand.to(sunday)
    order = firm.book.place(Wish("EEE", "buy", "by-hand", Decimal(3)))
    firm.book.fill(order, Decimal(3), Decimal(130), sunday)
    firm.morning(MONDAY)
    firm.trade(MONDAY, [])
    assert firm.balances()["unassigned"]["EEE"] == 3 * units.SHARE
    firm.sound()


def test_a_holding_without_any_price_is_worth_its_last_trade_and_stops_nothing(firm: Brokerage) -> None:
    firm.trade(DAY, half())
    firm.morning(MONDAY)
    del firm.quotes["AAA"]
    for day in list(firm.market.bars):
        firm.market.bars[day].pop("AAA")
    firm.trade(MONDAY, [world.target("alpha", 0.5, {"BBB": 0.5, "CCC": 0.5})])
    assert "CCC" in firm.balances()["alpha"]
    assert "AAA" in firm.balances()["alpha"]
    firm.sound()


def test_rounding_is_granted_once_for_each_fill(firm: Brokerage) -> None:
    firm.trade(DAY, half())
    firm.book.cash += Decimal("0.02")
    with firm.desk() as desk:
        assert desk.follow(DAY)[0].verdict == "rounded"
    firm.book.cash += Decimal("0.02")
    with firm.desk() as desk, pytest.raises(PasError, match="disagree on cash"):
        desk.follow(DAY)


def test_a_fee_that_was_taken_and_is_told_the_next_day_is_waited_for(firm: Brokerage) -> None:
    firm.trade(DAY, half())
    firm.book.cash -= Decimal("0.02")
    with firm.desk() as desk:
        assert desk.follow(DAY)[0].verdict == "pending"
    firm.morning(NEXT)
    firm.book.cash += Decimal("0.02")
    firm.book.fee(Decimal("0.02"))
    firm.trade(NEXT, [])
    firm.sound()


def test_what_was_sold_short_is_no_capital(firm: Brokerage) -> None:
    firm.book.positions["EEE"] = Decimal(-300)
    firm.book.cash += 300 * Decimal(str(firm.quotes["EEE"]))
    firm.trade(DAY, [world.target("alpha", 1.0, {"AAA": 0.9})])
    bought = float(firm.book.positions["AAA"]) * firm.quotes["AAA"]
    assert bought == pytest.approx(90_000, rel=0.05)


def test_a_position_is_closed_only_while_the_market_is_open(firm: Brokerage) -> None:
    firm.trade(DAY, half())
    firm.hand.to(ten(DAY) + timedelta(hours=8))
    with firm.desk() as desk, pytest.raises(PasError, match="market is closed"):
        desk.close("alpha", "AAA")
    firm.morning(NEXT)
    firm.trade(NEXT, [])
    assert "AAA" in firm.balances()["alpha"]


def test_open_buys_of_another_hand_are_left_their_cash(firm: Brokerage) -> None:
    firm.book.place(Wish("EEE", "buy", "by-hand", Decimal(300), kind="limit", limit=Decimal(1), force="gtc"))
    with pytest.raises(PasError, match="open orders"):  # not before the account is ours
        firm.trade(DAY, half())
    firm.book.cancel(next(iter(firm.book.orders)))
    firm.trade(DAY, half(0.1))
    firm.book.place(Wish("EEE", "buy", "by-hand-2", Decimal(300), kind="limit", limit=Decimal(1), force="gtc"))
    firm.morning(MONDAY)
    firm.guard = replace(firm.guard, gates=replace(LOOSE, order_usd=None))
    firm.trade(MONDAY, [world.target("alpha", 1.0, {"AAA": 0.5, "BBB": 0.5})])
    assert float(firm.book.cash) > 300 * firm.quotes["EEE"]


def test_a_trade_before_the_opening_that_shows_after_it_is_not_booked_again(firm: Brokerage) -> None:
    firm.book.rules.order_lag, firm.book.rules.fill_lag = 5.0, 20.0
    firm.book.place(Wish("EEE", "buy", "by-hand", Decimal(3)))
    firm.book.advance()
    firm.hand.advance(1)
    firm.trade(DAY, half())
    firm.hand.advance(60)
    with firm.desk() as desk:
        desk.follow(DAY)
    assert firm.balances()["unassigned"]["EEE"] == 3 * units.SHARE
    firm.sound()
