"""History: once, in pieces, corrected, and against a plain reference."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pandas as pd
import pytest
import sqlalchemy as sa
from pandas.testing import assert_frame_equal

from pas_dagster.errors import PasError
from pas_dagster.execution.market import CorporateAction
from pas_dagster.execution.outcome import Outcome
from pas_dagster.execution.replay import replay
from pas_dagster.ledger import journal, tables, units
from pas_dagster.ledger.store import Ledger
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.world import SESSIONS

FRAMES = ("order_batch", "trades", "account")


def dump(ledger: Ledger) -> dict[str, list]:
    """Every row of every table."""
    return ledger.run(
        lambda connection: {
            table.fullname: sorted(map(str, connection.execute(sa.select(table))))
            for table in tables.metadata.sorted_tables
        }
    )


def same(one: Outcome, other: Outcome, *, ids: bool = True) -> None:
    for name in FRAMES:
        ours, theirs = getattr(one, name), getattr(other, name)
        if not ids:
            drop = [column for column in ("client_order_id", "execution_id") if column in ours]
            ours, theirs = ours.drop(columns=drop), theirs.drop(columns=drop)
        assert_frame_equal(ours, theirs)


def sound(ledger: Ledger, generation: int = 1) -> journal.Balances:
    """The books are what their entries say, nobody is short and the simulated broker agrees."""
    balances, rebuilt = ledger.run(
        lambda c: (ledger.balances(c, "sim", generation), ledger.rebuild(c, "sim", generation))
    )
    assert balances == rebuilt
    positions, cash = journal.totals(balances)
    assert cash >= 0
    held = ledger.run(lambda c: {row.symbol: row.quantity for row in c.execute(sa.select(tables.position))})
    assert held == positions
    assert ledger.run(lambda c: c.scalar(sa.select(tables.book.c.cash))) == cash
    return balances


def test_twice_is_once(ledger: Ledger) -> None:
    first = replay(ledger, world.spec(), world.targets(), SESSIONS, world.market())
    before = dump(ledger)
    again = replay(ledger, world.spec(), world.targets(), SESSIONS, world.market())
    same(first, again)
    assert dump(ledger) == before
    assert (again.generation, again.restated_from) == (1, None)
    assert list(first.account["decision"]) == SESSIONS
    assert set(first.order_batch["state"]) == {"filled"}
    assert {"fill", "cross"} <= set(first.trades["kind"])
    sound(ledger)


@pytest.mark.parametrize("cut", [1, 5, 13])
def test_in_two_pieces_is_as_in_one(ledger: Ledger, cut: int) -> None:
    spec, market, targets = world.spec(), world.market(), world.targets()
    parts = [
        replay(ledger, spec, world.targets(SESSIONS[:cut]), SESSIONS[:cut], market),
        replay(ledger, spec, targets, SESSIONS[cut:], market),
    ]
    whole = replay(ledger, spec, targets, SESSIONS, market)
    for name in FRAMES:
        pieces = pd.concat([getattr(part, name) for part in parts], ignore_index=True)
        assert_frame_equal(pieces, getattr(whole, name))
    other = replay(ledger, world.spec(id="other"), targets, SESSIONS, market)
    same(whole, other, ids=False)


def test_a_corrected_price_opens_a_generation(ledger: Ledger) -> None:
    spec, targets = world.spec(), world.targets()
    old = replay(ledger, spec, targets, SESSIONS, world.market())
    before = dump(ledger)
    corrected = world.market()
    corrected.bars[SESSIONS[8]]["CCC"] += 1.0
    new = replay(ledger, spec, targets, SESSIONS[8:10], corrected)
    assert (new.generation, new.restated_from) == (2, SESSIONS[8])
    assert list(new.account["decision"]) == SESSIONS[8:]
    assert not new.account["equity"].equals(old.account["equity"][8:])
    after = dump(ledger)
    for name in ("ledger.txn", "ledger.entry", "ledger.orders", "ledger.execution", "ledger.mark"):
        assert set(before[name]) < set(after[name])
    assert sound(ledger, 2)
    fresh = replay(ledger, world.spec(id="fresh"), targets, SESSIONS, corrected)
    same(replay(ledger, spec, targets, SESSIONS, corrected), fresh, ids=False)


def test_a_price_that_nobody_needed_changes_nothing(ledger: Ledger) -> None:
    replay(ledger, world.spec(), world.targets(), SESSIONS, world.market())
    other = world.market((*world.SYMBOLS, "ZZZ"))
    assert replay(ledger, world.spec(), world.targets(), SESSIONS, other).restated_from is None


def test_changed_targets_and_rules_restate(ledger: Ledger) -> None:
    market, targets = world.market(), world.targets()
    replay(ledger, world.spec(), targets, SESSIONS, market)
    targets[SESSIONS[4]][0] = world.target("alpha", 0.4, {"EEE": 0.5})
    assert replay(ledger, world.spec(), targets, SESSIONS, market).restated_from == SESSIONS[4]
    assert replay(ledger, world.spec(cost_bp=9.0), targets, SESSIONS[-1:], market).restated_from == SESSIONS[0]


def test_a_resize_is_another_plan_than_a_rebalance(ledger: Ledger) -> None:
    market, targets = world.market(), world.targets()
    replay(ledger, world.spec(), targets, SESSIONS, market)
    old = targets[SESSIONS[4]][0]
    targets[SESSIONS[4]][0] = replace(old, rebalance=False)
    assert replay(ledger, world.spec(), targets, SESSIONS, market).restated_from == SESSIONS[4]


def test_a_resized_sleeve_keeps_its_mix(ledger: Ledger) -> None:
    ours = {day: [] for day in SESSIONS[:3]}
    ours[SESSIONS[0]] = [world.target("alpha", 0.5, {"AAA": 0.5, "BBB": 0.3})]
    ours[SESSIONS[2]] = [world.target("alpha", 0.8, {"CCC": 1.0}, rebalance=False)]
    market = world.market()
    replay(ledger, world.spec(cost_bp=0.0), ours, SESSIONS[:2], market)
    before = sound(ledger)["alpha"]
    replay(ledger, world.spec(cost_bp=0.0), ours, SESSIONS[:3], market)
    after = sound(ledger)["alpha"]
    assert after["AAA"] / before["AAA"] == pytest.approx(after["BBB"] / before["BBB"], abs=1e-6)
    assert after["AAA"] / before["AAA"] == pytest.approx(1.6, rel=0.05)
    assert "CCC" not in after


def test_a_restatement_needs_every_target(ledger: Ledger) -> None:
    replay(ledger, world.spec(), world.targets(), SESSIONS, world.market())
    corrected = world.market()
    corrected.bars[SESSIONS[2]]["AAA"] += 1
    before = dump(ledger)
    with pytest.raises(PasError, match="no targets for"):
        replay(ledger, world.spec(), world.targets(SESSIONS[:9]), SESSIONS[:9], corrected)
    assert dump(ledger) == before


def test_nav_is_that_of_a_plain_reference(ledger: Ledger) -> None:
    market, targets = world.market(), world.targets()
    only = {"alpha": "AB", "beta": "C", "gamma": "DE"}  # apart, because a cross is priced at the reference
    for ours in targets.values():
        ours[:] = [replace(t, weights={s: w for s, w in t.weights.items() if s[0] in only[t.sleeve]}) for t in ours]
    got = replay(ledger, world.spec(cost_bp=0.0, min_order_usd=1), targets, SESSIONS, market).account
    cash, held, expected = {"": 100_000.0}, {}, []
    for day in SESSIONS:
        price, close = market.reference(day), market.closes(day)
        worth = {s: cash.get(s, 0) + sum(q * price[a] for a, q in held.get(s, {}).items()) for s in {*cash, *held}}
        nav = sum(worth.values())
        for one in (one for one in targets[day] if one.rebalance or one.resize):
            capital = nav * one.share if one.resize else worth.get(one.sleeve, 0.0)
            cash[""] -= capital - worth.get(one.sleeve, 0.0)
            goal = {symbol: weight * capital / price[symbol] for symbol, weight in one.weights.items()}
            moved = {a: goal.get(a, 0) - held.get(one.sleeve, {}).get(a, 0) for a in {*goal, *held.get(one.sleeve, {})}}
            cash[one.sleeve] = cash.get(one.sleeve, 0) + capital - worth.get(one.sleeve, 0.0)
            cash[one.sleeve] -= sum(quantity * close[a] for a, quantity in moved.items())
            held[one.sleeve] = goal
        expected.append(sum(cash.values()) + sum(q * close[a] for h in held.values() for a, q in h.items()))
    assert got["equity"].to_list() == pytest.approx(expected, abs=0.05)
    assert got["net_flow"].to_list() == [100_000.0] + [0.0] * (len(SESSIONS) - 1)


def test_a_rise_before_the_close_cuts_buys_to_the_cash(ledger: Ledger) -> None:
    market = world.market()
    for symbol in market.bars[SESSIONS[0]]:
        market.bars[SESSIONS[0]][symbol] = round(market.reference(SESSIONS[0])[symbol] * 1.03, 2)
    ours = {SESSIONS[0]: [world.target("alpha", 1.0, {"AAA": 0.5, "BBB": 0.5})]}
    got = replay(ledger, world.spec(), ours, SESSIONS[:1], market)
    assert set(got.order_batch["state"]) == {"expired"}
    assert got.order_batch["why"].str.endswith("cash does not cover it").all()
    assert 0 <= got.account["cash"][0] < 0.01
    sound(ledger)


@pytest.mark.parametrize(
    ("action", "reshape"),
    [
        (CorporateAction("split", "CCC", 4.0), {"CCC": ("CCC", 0.25)}),
        (CorporateAction("split", "CCC", 0.1), {"CCC": ("CCC", 10.0)}),
        (CorporateAction("symbol_change", "CCC", new_symbol="NEW"), {"CCC": ("NEW", 1.0)}),
    ],
)
def test_a_change_of_form_keeps_the_value(
    ledger: Ledger, action: CorporateAction, reshape: dict[str, tuple[str, float]]
) -> None:
    day = SESSIONS[7]
    plain, changed = world.market(), world.market()
    changed.events[day] = [action]
    names = {"CCC": action.new_symbol or "CCC"}
    for session in changed.bars:
        if session >= day:
            (old, (new, factor)) = next(iter(reshape.items()))
            bars = changed.bars[session]
            bars[new] = bars.pop(old) * factor
    (old, (new, factor)) = next(iter(reshape.items()))
    changed.overrides[day] = {new: changed.bars[SESSIONS[6]][old] * factor}
    targets = world.targets()
    renamed = {
        session: [
            world.target(
                t.sleeve,
                t.share,
                {names.get(s, s) if session >= day else s: w for s, w in t.weights.items()},
                rebalance=t.rebalance,
                resize=t.resize,
            )
            for t in ours
        ]
        for session, ours in targets.items()
    }
    expected = replay(ledger, world.spec(id="plain"), targets, SESSIONS, plain)
    got = replay(ledger, world.spec(), renamed, SESSIONS, changed)
    assert got.account["equity"].to_list() == pytest.approx(expected.account["equity"].to_list(), abs=0.01)
    assert action.kind in set(got.trades["kind"])


def test_a_dividend_is_cash_for_holders_at_the_open(ledger: Ledger) -> None:
    market, day = world.market(), SESSIONS[7]
    market.events[day] = [CorporateAction("dividend", "CCC", 1.25)]
    got = replay(ledger, world.spec(), world.targets(), SESSIONS, market)
    plain = replay(ledger, world.spec(id="plain"), world.targets(), SESSIONS, world.market())
    paid = got.trades[got.trades["kind"] == "dividend"]
    assert set(paid["sleeve"]) == {"beta", "gamma"}
    gained = got.account["equity"][7] - plain.account["equity"][7]
    assert gained == pytest.approx(paid["notional"].sum(), abs=1e-5)
    assert got.account["net_flow"][1:].sum() == 0  # a return, not a deposit


def test_a_delisting_ends_in_cash_at_the_close(ledger: Ledger) -> None:
    market, day = world.market(), SESSIONS[6]
    market.events[day] = [CorporateAction("delisting", "DDD", 40.0)]
    for session in SESSIONS[7:]:
        del market.bars[session]["DDD"]
    targets = world.targets()
    for session in SESSIONS[7:]:
        for one in targets[session]:
            dict.pop(one.weights, "DDD", None)  # ty: ignore
    got = replay(ledger, world.spec(), targets, SESSIONS, market)
    [row] = got.trades[got.trades["kind"] == "delisting"].to_dict("records")
    assert (row["decision"], row["side"], row["notional"]) == (day, "sell", pytest.approx(row["quantity"] * 40))
    assert "DDD" not in journal.totals(sound(ledger))[0]


def test_an_order_without_a_bar_expires_and_the_holding_keeps_its_last_close(ledger: Ledger) -> None:
    market = world.market()
    del market.bars[SESSIONS[0]]["AAA"]
    market_monday = SESSIONS[4]
    del market.bars[market_monday]["CCC"]
    got = replay(ledger, world.spec(), world.targets(), SESSIONS[:6], market)
    lost = got.order_batch[got.order_batch["state"] == "expired"]
    assert set(zip(lost["decision"], lost["symbol"], strict=True)) == {(SESSIONS[0], "AAA"), (market_monday, "CCC")}
    assert lost["why"].str.endswith("no bar in the session").all()
    positions, _ = journal.totals(sound(ledger))
    at = market.reference(SESSIONS[6])
    final = sum(quantity / units.SHARE * at[symbol] for symbol, quantity in positions.items())
    assert got.account["equity"].iloc[-1] == pytest.approx(got.account["cash"].iloc[-1] + final, abs=0.01)


def test_a_last_session_without_closes_rests_and_is_finished_later(ledger: Ledger) -> None:
    monday = next(at for at, day in enumerate(SESSIONS) if at > 5 and day.weekday() == 0)
    known = world.market()
    unknown = world.market()
    for day in SESSIONS[monday:]:
        del unknown.bars[day]
    keys = SESSIONS[: monday + 1]
    resting = replay(ledger, world.spec(), world.targets(), keys, unknown)
    last = resting.order_batch[resting.order_batch["decision"] == keys[-1]]
    assert set(last["state"]) == {"working"}
    before = dump(ledger)
    same(resting, replay(ledger, world.spec(), world.targets(), keys, unknown))
    assert {k: v for k, v in dump(ledger).items() if k != "broker.book"} == {
        k: v for k, v in before.items() if k != "broker.book"
    }
    finished = replay(ledger, world.spec(), world.targets(), SESSIONS, known)
    assert finished.generation == 1
    sound(ledger)
    same(finished, replay(ledger, world.spec(id="other"), world.targets(), SESSIONS, known), ids=False)


def test_what_cannot_be_replayed_says_so(ledger: Ledger) -> None:
    market, targets = world.market(), world.targets()
    with pytest.raises(PasError, match="paper account"):
        replay(ledger, world.spec(mode="paper", broker="alpaca"), targets, SESSIONS, market)
    with pytest.raises(PasError, match="no targets for 2024-03-01"):
        replay(ledger, world.spec(), targets, [date(2024, 3, 1)], market)
    del market.bars[SESSIONS[3]]
    with pytest.raises(PasError, match="closes of 2024-01-05 are not known"):
        replay(ledger, world.spec(), targets, SESSIONS, market)
