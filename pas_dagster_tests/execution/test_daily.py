"""Day by day, every session planned before anything of it is known: the same as history with all of it known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pytest
import sqlalchemy as sa

from pas_dagster.errors import PasError
from pas_dagster.execution.market import CorporateAction
from pas_dagster.execution.outcome import Outcome, load
from pas_dagster.execution.replay import replay
from pas_dagster.ledger import journal, tables, units
from pas_dagster.ledger.store import Ledger
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.test_executor import Fuse, Killed, MortalLedger
from pas_dagster_tests.execution.test_replay import dump, same, sound
from pas_dagster_tests.execution.world import SESSIONS, Tables

MONDAY = 4  # SESSIONS[4]: everything trades, also at SESSIONS[0]; one sleeve at SESSIONS[3] and SESSIONS[8]
END = 8
SPLIT = CorporateAction("split", "CCC", 2.0)
MERGER = CorporateAction("split", "CCC", 0.1)
RENAMED = CorporateAction("symbol_change", "CCC", new_symbol="NEW")
DIVIDEND = CorporateAction("dividend", "CCC", 1.25)


def eventful() -> Tables:
    """Actions on sessions in which nobody trades, announced on their own day."""
    full = world.market()
    world.act(full, SESSIONS[1], SPLIT)
    world.act(full, SESSIONS[2], CorporateAction("dividend", "AAA", 0.7))
    world.act(full, SESSIONS[5], CorporateAction("symbol_change", "BBB", new_symbol="NEW"))
    world.act(full, SESSIONS[6], CorporateAction("split", "NEW", 0.1))
    world.act(full, SESSIONS[6], CorporateAction("dividend", "NEW", 3.0))
    world.act(full, SESSIONS[7], CorporateAction("delisting", "EEE", 100.0))
    for day in SESSIONS[END:]:
        del full.bars[day]["EEE"]
    return full


def morning(ledger: Ledger, day: date, full: Tables, id: str = "sim") -> Outcome:
    """The run of a session before it begins."""
    targets = world.targets([one for one in SESSIONS if one <= day])
    return replay(ledger, world.spec(id=id), targets, [day], world.before(full, day))


def whole(ledger: Ledger, keys: Sequence[date], full: Tables) -> Outcome:
    return replay(ledger, world.spec(id="past"), world.targets(), keys, full)


@pytest.mark.parametrize("days", [range(END + 1), [0, 2, END], [1, 5, 7, END], [6, END], [2, 7, END]])
def test_every_morning_is_as_history(ledger: Ledger, days: Sequence[int]) -> None:
    full = eventful()
    for at in days:
        got = morning(ledger, SESSIONS[at], full)
        assert (got.generation, got.restated_from) == (1, None)
        if at:  # the broker keeps no books before something moves
            sound(ledger)
    past = whole(ledger, SESSIONS[:END], full)
    same(load(ledger, "sim", 1, SESSIONS[:END]), past, ids=False)
    assert {"split", "dividend", "symbol_change", "delisting"} <= set(past.trades["kind"])


def test_a_morning_is_the_same_twice(ledger: Ledger) -> None:
    full = eventful()
    for day in SESSIONS[: END + 1]:
        first = morning(ledger, day, full)
        before = dump(ledger)
        same(first, morning(ledger, day, full))
        assert dump(ledger) == before


def test_a_range_over_late_actions_restates_once(ledger: Ledger) -> None:
    full = eventful()
    for day in SESSIONS[: END + 1]:
        morning(ledger, day, full)
    again = replay(ledger, world.spec(), world.targets(), SESSIONS, full)
    assert (again.generation, again.restated_from) == (2, SESSIONS[1])
    assert replay(ledger, world.spec(), world.targets(), SESSIONS, full).generation == 2
    sound(ledger, 2)


@pytest.mark.parametrize("action", [SPLIT, MERGER, RENAMED])
@pytest.mark.parametrize("gap", [1, 3])
def test_an_order_on_the_old_basis_expires(ledger: Ledger, action: CorporateAction, gap: int) -> None:
    full, day = world.market(), SESSIONS[MONDAY]
    world.act(full, day, action)
    for at in range(MONDAY):
        morning(ledger, SESSIONS[at], full)
    resting = morning(ledger, day, full)
    assert set(resting.order_batch["state"]) == {"working"}
    planned = journal.totals(sound(ledger))[0]["CCC"]
    assert morning(ledger, SESSIONS[MONDAY + gap], full).generation == 1
    positions, _ = journal.totals(sound(ledger))
    ratio = action.exact() if action.kind == "split" else 1
    assert 0 <= planned * ratio - positions[action.new_symbol or "CCC"] < 1
    batch = load(ledger, "sim", 1, [day]).order_batch.set_index("symbol")
    assert batch["state"].to_dict() == {"AAA": "filled", "BBB": "filled", "CCC": "expired", "DDD": "filled"} | (
        {"EEE": "filled"} if "EEE" in batch.index else {}
    )
    assert batch["why"]["CCC"].endswith(f"{action.kind} of CCC became known after the order was planned")


def test_the_rebalance_after_trades_what_expired(ledger: Ledger) -> None:
    full = world.market()
    world.act(full, SESSIONS[MONDAY], SPLIT)
    following = next(at for at, day in enumerate(SESSIONS) if at > MONDAY and day.weekday() == 0)
    for at in range(following + 2):
        morning(ledger, SESSIONS[at], full)
    ours, past = load(ledger, "sim", 1, SESSIONS[: following + 1]), whole(ledger, SESSIONS[: following + 1], full)
    assert ours.account["equity"].iloc[-1] == pytest.approx(past.account["equity"].iloc[-1], rel=0.005)
    held = journal.totals(sound_of(ledger, "sim"))[0]
    theirs = journal.totals(sound_of(ledger, "past"))[0]
    assert {s: q / units.SHARE for s, q in held.items()} == pytest.approx(
        {s: q / units.SHARE for s, q in theirs.items()}, rel=0.01
    )


def sound_of(ledger: Ledger, account: str) -> journal.Balances:
    return ledger.run(lambda connection: ledger.balances(connection, account, 1))


def test_an_order_in_what_was_not_held_expires_as_well(ledger: Ledger) -> None:
    full = world.market()
    world.act(full, SESSIONS[0], SPLIT)
    morning(ledger, SESSIONS[0], full)
    morning(ledger, SESSIONS[1], full)
    states = load(ledger, "sim", 1, SESSIONS[:1]).order_batch.set_index("symbol")["state"]
    assert states["CCC"] == "expired"
    assert set(states.drop("CCC")) == {"filled"}


def test_a_late_dividend_is_for_holders_before_the_crosses_and_leaves_orders_alone(ledger: Ledger) -> None:
    full, day = world.market(), SESSIONS[MONDAY]
    world.act(full, day, CorporateAction("dividend", "AAA", 1.25))
    for at in range(MONDAY):
        morning(ledger, SESSIONS[at], full)
    morning(ledger, day, full)
    morning(ledger, SESSIONS[MONDAY + 1], full)
    sound(ledger)
    got = load(ledger, "sim", 1, SESSIONS[: MONDAY + 1])
    assert set(got.order_batch["state"]) == {"filled"}
    past = whole(ledger, SESSIONS[: MONDAY + 1], full)
    paid, expected = (
        one.trades[one.trades["kind"] == "dividend"].reset_index(drop=True)[["sleeve", "notional"]]
        for one in (got, past)
    )
    assert paid.equals(expected)
    assert "AAA" in set(got.trades["symbol"][(got.trades["kind"] == "cross") & (got.trades["decision"] == day)])


@pytest.mark.parametrize("at", [0, MONDAY])
def test_other_targets_on_the_same_morning_are_planned_anew(ledger: Ledger, at: int) -> None:
    full, day = eventful(), SESSIONS[at]
    for one in SESSIONS[:at]:
        morning(ledger, one, full)
    first = morning(ledger, day, full)
    changed = world.targets(SESSIONS[: at + 1])
    changed[day][0] = world.target("alpha", 0.4, {"EEE": 0.5})
    now = world.before(full, day)
    other = replay(ledger, world.spec(), changed, [day], now)
    assert (other.generation, other.restated_from) == (2, SESSIONS[1] if at else day)
    assert set(other.order_batch["state"][other.order_batch["decision"] == day]) == {"working"}
    assert not other.order_batch.equals(first.order_batch)
    assert replay(ledger, world.spec(), changed, [day], now).generation == 2
    sound(ledger, 2)
    changed[SESSIONS[at + 1]] = world.targets()[SESSIONS[at + 1]]
    after = replay(ledger, world.spec(), changed, [SESSIONS[at + 1]], world.before(full, SESSIONS[at + 1]))
    assert after.generation == 2
    sound(ledger, 2)
    past = replay(ledger, world.spec(id="past"), changed, SESSIONS[: at + 1], full)
    same(load(ledger, "sim", 2, SESSIONS[: at + 1]), past, ids=False)


def test_a_skipped_session_without_closes_is_waited_for(ledger: Ledger) -> None:
    full = eventful()
    morning(ledger, SESSIONS[0], full)
    early = world.before(full, SESSIONS[0])
    with pytest.raises(PasError, match="closes of 2024-01-02 are not known"):
        replay(ledger, world.spec(), world.targets(), [SESSIONS[1]], early)
    morning(ledger, SESSIONS[2], full)
    same(load(ledger, "sim", 1, SESSIONS[:2]), whole(ledger, SESSIONS[:2], full), ids=False)


def test_killed_anywhere_a_late_action_is_booked_once(url: str) -> None:
    full, day = world.market(), SESSIONS[1]
    world.act(full, day, SPLIT)
    world.act(full, day, DIVIDEND)
    world.act(full, day, CorporateAction("symbol_change", "AAA", new_symbol="NEW"))
    ledger, killed, expected = MortalLedger(url), 0, None
    while True:
        name = f"killed-{killed}"
        ledger.fuse = None
        for one in SESSIONS[:2]:
            morning(ledger, one, full, name)
        ledger.fuse = Fuse(killed + 1)
        try:
            morning(ledger, SESSIONS[2], full, name)
            done = True
        except Killed:
            done = False
        ledger.fuse = None
        morning(ledger, SESSIONS[2], full, name)
        got = load(ledger, name, 1, SESSIONS[:3])
        expected = expected or got
        same(expected, got, ids=False)
        if done:
            break
        killed += 1
    assert killed > 10
    kinds = expected.trades["kind"].to_list()
    assert (kinds.count("split"), kinds.count("dividend"), kinds.count("symbol_change")) == (2, 2, 2)
    ledger.close()


def test_actions_that_come_after_the_fills_are_booked_on_what_was_held_at_the_open(ledger: Ledger) -> None:
    """The broker has settled, the process died, and the split is imported before the next attempt."""
    full, day = world.market(), SESSIONS[MONDAY]
    for at in range(MONDAY + 1):
        morning(ledger, SESSIONS[at], full)
    opening = journal.totals(sound(ledger))[0]["CCC"]
    targets = world.targets(SESSIONS[: MONDAY + 1])
    replay(ledger, world.spec(), targets, [day], world.before(full, SESSIONS[MONDAY + 1]))
    filled = journal.totals(sound(ledger))[0]["CCC"] - opening
    reopen(ledger, day)
    full.events[day] = [SPLIT, DIVIDEND]
    morning(ledger, SESSIONS[MONDAY + 1], full)
    assert journal.totals(sound(ledger))[0]["CCC"] == 2 * opening + filled


def reopen(ledger: Ledger, day: date) -> None:
    ledger.run(
        lambda connection: connection.execute(
            sa.update(tables.batch).where(tables.batch.c.session == day).values(state="open", fill_hash=None)
        )
    )
