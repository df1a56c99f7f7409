"""Average cost and profits: answers worked out by hand, sums that are exact to the unit, and the books' own rows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pas_dagster.execution import outside
from pas_dagster.execution.brokers.base import NonTrade
from pas_dagster.execution.market import CorporateAction
from pas_dagster.execution.replay import replay
from pas_dagster.ledger import journal, units
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.journal import CASH, CROSS, WORLD, Balances, Transaction
from pas_dagster.ledger.profits import Profit, Profits, load, profits, total
from pas_dagster.ledger.records import Execution
from pas_dagster.ledger.store import Ledger
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.world import SESSIONS

DAY = date(2024, 1, 2)
NUMBERS = itertools.count()
usd, shares = units.money, units.shares


def trade(quantity: str, price: str, fee: str = "0", sleeve: str = "one", symbol: str = "AAA") -> Transaction:
    """A fill of a signed number of shares at a price, with a fee."""
    notional = usd(abs(Decimal(quantity)) * Decimal(price))
    return journal.fill(f"e{next(NUMBERS)}", "c", DAY, sleeve, symbol, shares(quantity), usd(price), notional, usd(fee))


def acted(kind: str, changes: dict[str, int], sleeve: str = "one", symbol: str = "AAA") -> Transaction:
    return journal.action(kind, f"{kind}:{next(NUMBERS)}", DAY, sleeve, symbol, changes.get(symbol, 0), 0, changes)


def moved(symbol: str, quantity: int, giver: str, taker: str) -> Transaction:
    """Shares from one sleeve to another, without cash."""
    entries = ((giver, symbol, -quantity), (taker, symbol, quantity))
    return Transaction(f"m{next(NUMBERS)}", "move", DAY, taker, symbol, quantity, 0, 0, 0, "", "", entries)


def of(*transactions: Transaction, symbol: str = "AAA", sleeve: str = "one") -> Profit:
    return profits(transactions)[sleeve, symbol]


def test_a_partial_sale_takes_its_part_of_the_cost() -> None:
    found = of(trade("2", "75.80"), trade("-1", "85.73"))
    assert (found.quantity, found.cost, found.realised) == (shares("1"), usd("75.80"), usd("9.93"))
    assert found.unrealised(usd("87.80")) == usd("12")


def test_the_average_moves_with_buys_and_not_with_sales() -> None:
    bought = (trade("10", "100"), trade("10", "110"))
    assert of(*bought).average() == usd("105")
    found = of(*bought, trade("-5", "120"))
    assert (found.average(), found.realised, found.cost) == (usd("105"), usd("75"), usd("1575"))
    found = of(*bought, trade("-5", "120"), trade("5", "145"))
    assert (found.average(), found.realised) == (usd("115"), usd("75"))  # (1575 + 725) / 20


def test_an_average_that_no_decimal_has_is_exact() -> None:
    assert of(trade("1", "100"), trade("2", "100.10")).average() == Fraction(300_200_000, 3)


def test_fees_are_cost_of_what_is_bought_and_come_off_what_is_sold() -> None:
    held = of(trade("2", "136.60", "1.55"))
    assert (held.cost, held.fees, held.average()) == (usd("274.75"), usd("1.55"), usd("137.375"))
    sold = of(trade("2", "136.60", "1.55"), trade("-2", "142.90", "1.65"))
    assert (sold.realised, sold.cost, sold.fees, sold.quantity) == (usd("9.40"), 0, usd("3.20"), 0)
    assert sold.cash == sold.realised
    assert sold.average() is None


def test_who_sold_all_and_buys_again_begins_anew() -> None:
    found = of(trade("5", "50"), trade("-5", "40"), trade("3", "70"), trade("-1", "75"))
    assert (found.realised, found.cost, found.average()) == (usd("-45"), usd("140"), usd("70"))


def test_two_sales_of_a_holding_are_as_good_as_one() -> None:
    once = of(trade("2", "136.60", "1.60"), trade("-2", "142", "2"))
    twice = of(trade("2", "136.60", "1.60"), trade("-1", "142", "1"), trade("-1", "142", "1"))
    assert once == twice


def test_a_split_between_purchase_and_sale_keeps_the_cost() -> None:
    double = acted("split", {"AAA": shares("10")})
    found = of(trade("10", "100"), double, trade("-5", "60"))
    assert (found.quantity, found.cost, found.average()) == (shares("15"), usd("750"), usd("50"))
    assert (found.realised, found.costless) == (usd("50"), 0)


def test_a_reverse_split_pays_for_what_breaks() -> None:
    """Seven into three and a half, the half paid out: the cash is realised, the cost is all of what is left."""
    found = of(trade("7", "10"), acted("split", {"AAA": -shares("4"), CASH: usd("9")}))
    assert (found.quantity, found.cost, found.realised) == (shares("3"), usd("70"), usd("9"))
    gone = of(trade("7", "10"), acted("split", {"AAA": -shares("7")}))
    assert (gone.quantity, gone.cost, gone.realised) == (0, 0, usd("-70"))


def test_a_symbol_change_carries_the_cost_to_what_is_there_already() -> None:
    change = acted("symbol_change", {"AAA": -shares("4"), "BBB": shares("4")})
    found = profits([trade("5", "10"), trade("-1", "12"), trade("4", "20", symbol="BBB"), change])
    old, new = found["one", "AAA"], found["one", "BBB"]
    assert (old.quantity, old.cost, old.realised, old.carried) == (0, 0, usd("2"), usd("40"))
    assert (new.quantity, new.cost, new.realised, new.carried) == (shares("8"), usd("120"), 0, -usd("40"))
    assert new.costless == 0


def test_an_exchange_into_two_symbols_and_cash_divides_the_cost() -> None:
    merger = acted("merger", {"AAA": -shares("3"), "BBB": shares("1"), "CCC": shares("2"), CASH: usd("7")})
    found = profits([trade("3", "30"), merger])
    assert [found["one", symbol].cost for symbol in ("AAA", "BBB", "CCC")] == [0, usd("30"), usd("60")]
    assert found["one", "AAA"].realised == usd("7")


def test_dividends_are_income_and_nothing_else() -> None:
    bought = trade("10", "100")
    with_it, without = of(bought, acted("dividend", {CASH: usd("3.7")})), of(bought)
    assert with_it.income == usd("3.7")
    with_it.income = 0
    assert with_it == without


def test_a_delisting_realises() -> None:
    paid = of(trade("10", "100"), acted("delisting", {"AAA": -shares("10"), CASH: usd("40")}))
    assert (paid.quantity, paid.cost, paid.realised) == (0, 0, usd("-960"))
    worthless = of(trade("10", "100"), acted("delisting", {"AAA": -shares("10")}))
    assert (worthless.quantity, worthless.realised, worthless.costless) == (0, usd("-1000"), 0)


def test_what_arrives_for_nothing_costs_nothing_and_is_counted() -> None:
    spun = acted("spin_off", {"BBB": shares("2")})
    found = profits([trade("10", "100"), spun, trade("-1", "15", symbol="BBB")])
    assert found["one", "AAA"].cost == usd("1000")
    child = found["one", "BBB"]
    assert (child.quantity, child.cost, child.realised, child.costless) == (shares("1"), 0, usd("15"), shares("2"))


def test_shares_that_move_between_sleeves_take_their_cost_along() -> None:
    found = profits([trade("4", "10", sleeve="unassigned"), moved("AAA", shares("1"), "unassigned", "one")])
    assert (found["unassigned", "AAA"].cost, found["unassigned", "AAA"].realised) == (usd("30"), 0)
    assert (found["one", "AAA"].cost, found["one", "AAA"].costless) == (usd("10"), 0)


def test_a_move_that_is_paid_for_is_a_trade_of_both() -> None:
    price = usd("12")
    entries = (("a", "AAA", -units.SHARE), ("b", "AAA", units.SHARE), ("a", CASH, price), ("b", CASH, -price))
    paid = Transaction("m", "move", DAY, "b", "AAA", units.SHARE, price, price, 0, "", "", entries)
    found = profits([trade("1", "10", sleeve="a"), paid])
    assert (found["a", "AAA"].realised, found["b", "AAA"].cost) == (usd("2"), price)


def part(kind: str, symbol: str, quantity: str, cash: str = "0", number: int = 0) -> NonTrade:
    return NonTrade(f"n{number or next(NUMBERS)}", "g", kind, DAY, symbol, shares(quantity), usd(cash))


@pytest.mark.parametrize(("kind", "after"), [("split", "AAA"), ("symbol_change", "BBB"), ("shares", "BBB")])
def test_what_a_broker_tells_in_two_parts_is_one_thing(kind: str, after: str) -> None:
    """What goes and what comes are booked for each sleeve one after the other; every sleeve keeps its own cost."""
    bought = [trade("6", "10"), trade("4", "20", sleeve="two")]
    balances: Balances = {}
    journal.apply(balances, bought)
    booked = outside.non_trades(balances, [part(kind, "AAA", "-10"), part(kind, after, "20")])
    assert len(booked) == 4
    found = profits([*bought, *booked])
    assert [found[sleeve, after].quantity for sleeve in ("one", "two")] == [shares("12"), shares("8")]
    assert [found[sleeve, after].cost for sleeve in ("one", "two")] == [usd("60"), usd("80")]
    assert sum(one.realised + one.costless + one.carried for one in found.values()) == 0


def test_what_left_and_did_not_come_back_in_its_session_is_lost() -> None:
    went = acted("shares", {"AAA": -shares("1")})
    came = acted("shares", {"BBB": shares("1")})
    found = profits([trade("1", "10"), went, came._replace(session=DAY + timedelta(1))])
    assert (found["one", "AAA"].realised, found["one", "AAA"].carried) == (usd("-10"), 0)
    assert (found["one", "BBB"].cost, found["one", "BBB"].costless) == (0, shares("1"))
    assert profits([trade("1", "10"), went])["one", "AAA"].realised == usd("-10")
    assert profits([trade("1", "10"), went, came])["one", "BBB"].cost == usd("10")


def test_shares_that_a_merger_pays_for_are_sold() -> None:
    balances: Balances = {}
    bought = trade("3", "10")
    journal.apply(balances, [bought])
    found = of(bought, *outside.non_trades(balances, [part("shares", "AAA", "-3", "45")]))
    assert (found.quantity, found.realised, found.income) == (0, usd("15"), 0)


def test_what_was_there_before_costs_its_price_then() -> None:
    found = of(
        journal.adopt(DAY, "AAA", shares("3"), usd("10")), trade("-1", "12", sleeve="unassigned"), sleeve="unassigned"
    )
    assert (found.cost, found.realised, found.costless, found.cash) == (usd("20"), usd("2"), 0, usd("12"))
    assert found.carried == usd("-30")
    short = of(journal.adopt(DAY, "AAA", shares("-3"), usd("10")), sleeve="unassigned")
    assert (short.cost, short.unrealised(usd("9"))) == (usd("-30"), usd("3"))


def test_a_trade_of_another_hand_is_a_trade() -> None:
    """It sells first what is unassigned, then what a sleeve holds."""
    bought = [trade("4", "10"), trade("1", "10", sleeve="unassigned")]
    balances: Balances = {}
    journal.apply(balances, bought)
    other = Execution("x", "manual", DAY, shares("2"), usd("15"), usd("30"), usd("1"))
    found = profits([*bought, *outside.foreign(balances, other, "AAA", "sell")])
    assert (found["one", "AAA"].quantity, found["one", "AAA"].realised) == (shares("3"), usd("4.5"))
    assert (found["unassigned", "AAA"].quantity, found["unassigned", "AAA"].fees) == (0, usd("0.5"))


def test_a_cross_is_a_trade_of_both() -> None:
    sold = journal.cross("b", DAY, "one", "AAA", -shares("1"), usd("12"), usd("12"))
    bought = journal.cross("b", DAY, "two", "AAA", shares("1"), usd("12"), usd("12"))
    found = profits([trade("3", "10"), sold, bought])
    assert (found["one", "AAA"].realised, found["one", "AAA"].cost) == (usd("2"), usd("20"))
    assert (found["two", "AAA"].realised, found["two", "AAA"].cost) == (0, usd("12"))


def test_a_short_is_bought_back_and_turned() -> None:
    short = trade("-10", "50", "1", sleeve="unassigned")
    found = of(short, trade("4", "45", "1", sleeve="unassigned"), sleeve="unassigned")
    assert (found.quantity, found.cost) == (shares("-6"), usd("-299.4"))  # 499 received for ten
    assert found.realised == usd("18.6")  # 199.6 received, 181 paid
    assert found.average() == usd("49.9")
    assert found.unrealised(usd("40")) == usd("59.4")
    turned = of(short, trade("15", "45", "3", sleeve="unassigned"), sleeve="unassigned")
    assert (turned.quantity, turned.realised) == (shares("5"), usd("47"))  # 678 paid, 452 of it for ten
    assert turned.cost == usd("226")


def test_a_short_keeps_its_cost_through_split_and_change_of_name() -> None:
    double = acted("split", {"AAA": shares("-10")}, sleeve="unassigned")
    change = acted("symbol_change", {"AAA": shares("20"), "BBB": shares("-20")}, sleeve="unassigned")
    found = of(trade("-10", "50", sleeve="unassigned"), double, change, symbol="BBB", sleeve="unassigned")
    assert (found.quantity, found.cost, found.average()) == (shares("-20"), usd("-500"), usd("25"))


def test_what_rounding_leaves_goes_with_the_last_share() -> None:
    bought = journal.fill("e", "c", DAY, "one", "AAA", 3, 1, 100, 0)  # three units of a share for a hundred of money
    sales = [journal.fill(f"s{n}", "c", DAY, "one", "AAA", -1, 1, 0, 0) for n in range(3)]
    assert [of(bought, *sales[:n]).cost for n in range(4)] == [100, 67, 34, 0]
    assert of(bought, *sales).realised == -100
    short = journal.fill("e", "c", DAY, "unassigned", "AAA", -3, 1, 100, 0)
    covers = [journal.fill(f"c{n}", "c", DAY, "unassigned", "AAA", 1, 1, 0, 0) for n in range(3)]
    assert [of(short, *covers[:n], sleeve="unassigned").cost for n in range(4)] == [-100, -67, -34, 0]
    merger = acted("merger", {"AAA": -3, "BBB": 1, "CCC": 2})
    found = profits([bought, merger])
    assert [found["one", symbol].cost for symbol in ("AAA", "BBB", "CCC")] == [0, 33, 67]


def test_capital_is_no_income_and_interest_is_none_of_a_symbol() -> None:
    interest = acted("interest", {CASH: usd("5")}, symbol="")
    found = profits([journal.deposit("d", DAY, 10), journal.transfer("t", DAY, "one", 7), interest])
    assert found == {("one", ""): Profit(income=usd("5"))}


def test_a_total_needs_every_price_of_what_is_held() -> None:
    found = profits([trade("2", "10"), trade("1", "10", symbol="BBB"), trade("-1", "13", symbol="BBB")])
    assert total(found, {"AAA": usd("11")}) == usd("5")
    with pytest.raises(KeyError, match="AAA"):
        total(found, {"BBB": 1})


SLEEVES = ("one", "two", "unassigned")
SYMBOLS = ("AAA", "BBB", "CCC")
sizes = st.one_of(st.integers(1, 50), st.integers(1, 10**13))
steps = st.tuples(
    st.sampled_from(
        ["buy", "sell", "cross", "split", "change", "apart", "dividend", "delist", "spin", "move", "transfer"]
    ),
    st.sampled_from(SLEEVES),
    st.sampled_from(SYMBOLS),
    sizes,
    sizes,
    st.integers(0, 1000),
)
lives = st.lists(steps, max_size=25)
Step = tuple[str, str, str, int, int, int]


def told(life: Sequence[Step], own: bool = False) -> list[Transaction]:
    """A life as transactions that books would take; with `own`, no sleeve has to do with another."""
    balances: Balances = {}
    found: list[Transaction] = []
    for at, step in enumerate(life):
        booked = [one for one in happened(at, step, balances, own) if any(amount for _, _, amount in one.entries)]
        journal.apply(balances, booked)
        found += booked
    return found


def happened(at: int, step: Step, balances: Balances, own: bool) -> list[Transaction]:
    what, sleeve, symbol, quantity, money, small = step
    other = SYMBOLS[(SYMBOLS.index(symbol) + 1) % 3]
    taker = SLEEVES[(SLEEVES.index(sleeve) + 1) % 3]
    held = balances.get(sleeve, {}).get(symbol, 0)
    some = min(quantity, held) if sleeve != "unassigned" else quantity
    match what:
        case "buy":
            return [journal.fill(f"e{at}", "c", DAY, sleeve, symbol, quantity, 1, money, small)]
        case "sell" if some > 0:
            return [journal.fill(f"e{at}", "c", DAY, sleeve, symbol, -some, 1, money, small)]
        case "cross" if some > 0 and not own:
            sides = ((sleeve, -some), (taker, some))
            return [journal.cross(f"b{at}", DAY, whose, symbol, signed, 1, money) for whose, signed in sides]
        case "split" if held:
            change = held * (small % 3) if small % 2 else -held // 2
            return [journal.action("split", f"s{at}", DAY, sleeve, symbol, change, 0, {symbol: change, CASH: small})]
        case "change" if held:
            changes = {symbol: -held, other: held, CASH: small % 2}
            return [journal.action("symbol_change", f"n{at}", DAY, sleeve, symbol, -held, 0, changes)]
        case "apart" if held:
            sides = ((symbol, -held), (SYMBOLS[small % 3], held * (1 + small % 2)))
            names = ("symbol_change", "shares", "split")[small % 3]
            return [
                journal.action(names, f"a{at}{n}", DAY, sleeve, name, signed, 0, {name: signed})
                for n, (name, signed) in enumerate(sides)
            ]
        case "dividend":
            return [journal.action("dividend", f"d{at}", DAY, sleeve, symbol, 0, 0, {CASH: small})]
        case "delist" if held:
            return [journal.action("delisting", f"l{at}", DAY, sleeve, symbol, -held, 0, {symbol: -held, CASH: small})]
        case "spin":
            return [journal.action("spin_off", f"o{at}", DAY, sleeve, symbol, 0, 0, {other: quantity})]
        case "move" if some > 0 and not own:
            return [moved(symbol, some, sleeve, taker)._replace(key=f"m{at}")]
        case "transfer":
            return [journal.transfer(f"t{at}", DAY, sleeve, money)]
    return []


@settings(max_examples=300, deadline=None)
@given(lives, st.tuples(sizes, sizes, sizes))
def test_realised_and_unrealised_are_cash_and_market_value(life: list[Step], prices: tuple[int, int, int]) -> None:
    transactions = told(life)
    balances: Balances = {}
    journal.apply(balances, transactions)
    found = profits(transactions)
    for (sleeve, symbol), one in found.items():
        price = dict(zip(SYMBOLS, prices, strict=True))[symbol]
        assert one.quantity == balances.get(sleeve, {}).get(symbol, 0)
        assert one.realised + one.unrealised(price) == one.cash + one.carried + one.value(price)
        assert one.quantity or one.cost == 0
    assert sum(one.carried for one in found.values()) == 0
    for sleeve in SLEEVES:
        put_in = sum(one.entries[0][2] for one in transactions if one.kind == "transfer" and one.sleeve == sleeve)
        earned = sum(one.cash + one.income for (whose, _), one in found.items() if whose == sleeve)
        assert balances.get(sleeve, {}).get(CASH, 0) == put_in + earned


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), sizes, sizes, st.integers(0, 1000)), max_size=20))
def test_realised_is_the_textbook_to_within_a_unit_for_each_sale(trades: list[tuple[bool, int, int, int]]) -> None:
    """The textbook keeps an average, in fractions: cost per share, weighted when shares are added."""
    average, held, realised, sales = Fraction(), 0, Fraction(), 0
    booked = []
    for at, (buys, quantity, notional, fee) in enumerate(trades):
        quantity = quantity if buys else min(quantity, held)
        if not quantity:
            continue
        if buys:
            average = (average * held + notional + fee) / (held + quantity)
        else:
            realised += notional - fee - average * quantity
            sales += 1
        signed = quantity if buys else -quantity
        held += signed
        booked.append(journal.fill(f"e{at}", "c", DAY, "one", "AAA", signed, 1, notional, fee))
    found = profits(booked).get(("one", "AAA"), Profit())
    assert abs(found.realised - realised) <= sales
    assert abs(found.cost - average * held) <= sales


@settings(max_examples=100, deadline=None)
@given(lives, st.randoms(use_true_random=False))
def test_sleeves_that_have_nothing_to_do_with_each_other_may_come_in_any_order(life: list[Step], chance) -> None:
    transactions = told(life, own=True)
    queues = {name: [one for one in transactions if one.sleeve == name] for name in SLEEVES}
    mixed = []
    while any(queues.values()):
        mixed.append(queues[chance.choice([name for name, queue in queues.items() if queue])].pop(0))
    assert profits(mixed) == profits(transactions)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 10**12), sizes), min_size=1, max_size=12), st.integers(2, 20))
def test_profits_do_not_know_whether_a_symbol_was_split(trades: list[tuple[bool, int, int]], ratio: int) -> None:
    """The same trades, before and after a split of the shares, realise the same and cost the same."""

    def traded(where: int | None) -> Profits:
        balances: Balances = {}
        found = []
        for at, (buys, quantity, notional) in enumerate(trades):
            scale = ratio if where is not None and at >= where else 1
            held = balances.get("one", {}).get("AAA", 0)
            if at == where and held:
                found.append(acted("split", {"AAA": held * (ratio - 1)}))
                journal.apply(balances, found[-1:])
                held *= ratio
            signed = quantity * scale if buys else -min(quantity * scale, held)
            if signed:
                found.append(journal.fill(f"e{at}", "c", DAY, "one", "AAA", signed, 1, notional, 3))
                journal.apply(balances, found[-1:])
        return profits(found)

    plain = traded(None)
    for where in range(len(trades)):
        split = traded(where)
        assert {k: (p.cost, p.realised, p.cash) for k, p in split.items()} == {
            k: (p.cost, p.realised, p.cash) for k, p in plain.items()
        }


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lives)
def test_the_books_say_what_their_transactions_say(ledger: Ledger, life: list[Step]) -> None:
    account = f"a{next(NUMBERS)}"
    ledger.open_account(AccountSpec(account, opened=DAY))
    transactions = [one._replace(session=DAY + timedelta(at)) for at, one in enumerate(told(life))]
    ledger.run(lambda connection: ledger.post(connection, account, 1, transactions))
    assert ledger.run(lambda connection: load(connection, account, 1)) == profits(transactions)
    half = DAY + timedelta(len(transactions) // 2)
    early = [one for one in transactions if one.session <= half]
    assert ledger.run(lambda connection: load(connection, account, 1, half)) == profits(early)
    assert ledger.run(lambda connection: load(connection, account, 2)) == {}


def test_the_books_are_read_in_the_order_in_which_they_were_written(ledger: Ledger) -> None:
    """A sale before a split is of other shares than one after it."""
    ledger.open_account(AccountSpec("sim", opened=DAY))
    double = acted("split", {"AAA": shares("9")})
    life = [trade("10", "100"), trade("-1", "120"), double, trade("-9", "60"), acted("dividend", {CASH: 5})]
    ledger.run(lambda connection: ledger.post(connection, "sim", 1, life))
    found = ledger.run(lambda connection: load(connection, "sim", 1))["one", "AAA"]
    assert (found.quantity, found.cost, found.income) == (shares("9"), usd("450"), 5)
    assert found.realised == usd("110")  # 20, then 9 * 60 - 450


def test_profits_of_a_replay_are_what_the_account_is_worth(ledger: Ledger) -> None:
    """Ten sessions with every kind of action: what was earned is the value less the capital, to the unit."""
    market = world.market()
    world.act(market, SESSIONS[3], CorporateAction("split", "AAA", 2.0))
    market.events[SESSIONS[4]] = [CorporateAction("dividend", "CCC", 0.37)]
    replay(ledger, world.spec(), world.targets(), SESSIONS[:10], market)
    found = ledger.run(lambda connection: load(connection, "sim", 1))
    balances = ledger.run(lambda connection: ledger.balances(connection, "sim", 1))
    prices = {symbol: units.money(str(price)) for symbol, price in market.closes(SESSIONS[9]).items()}
    worth = journal.totals(balances)[1] + sum(
        units.value(amount, prices[asset])
        for name, assets in balances.items()
        if journal.is_sleeve(name)
        for asset, amount in assets.items()
        if asset != CASH
    )
    assert total(found, prices) == worth - usd("100000")
    assert sum(one.income for one in found.values()) > 0
    assert CROSS not in {sleeve for sleeve, _ in found} | {WORLD}


@pytest.mark.slow
def test_half_a_million_trades_take_seconds(ledger: Ledger) -> None:
    ledger.open_account(AccountSpec("big", opened=DAY))
    ledger.run(
        lambda c: c.execute(
            sa.text(
                "insert into ledger.txn select n, 'big', 1, n::text, 'fill', '2024-01-02', 's' || n % 25, "
                "'A' || n % 500, case when n / 500 % 3 = 2 then -1 else 1 end * (1000 + n), 1, 1000 + n % 97, 1, "
                "'', '' "
                "from generate_series(1, 500000) as n"
            )
        )
    )
    began = time.perf_counter()
    found = ledger.run(lambda connection: load(connection, "big", 1))
    took = time.perf_counter() - began
    assert len(found) == 500
    assert took < 10
