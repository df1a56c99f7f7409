"""`pas rebalance`: trade today's decision, or say what that would come to and why."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console

from pas_dagster import calendar, present
from pas_dagster.automation import backfill
from pas_dagster.automation.session import working
from pas_dagster.console.history import progress
from pas_dagster.console.home import require_data
from pas_dagster.console.table import show
from pas_dagster.console.trading import (
    WORKING,
    as_rows,
    observing,
    orders_told,
    rounded,
    targets_of,
    tell_orders,
    wanted_symbols,
)
from pas_dagster.errors import PasError
from pas_dagster.execution.account import account_spec
from pas_dagster.execution.brokers.base import BrokerError
from pas_dagster.execution.market import Tape
from pas_dagster.execution.observer import Sight, foresee
from pas_dagster.execution.outcome import Outcome, load
from pas_dagster.execution.reasons import NO_CAPITAL, Reason, held_back, reasons, stopped
from pas_dagster.execution.targets import Wanted, rules, wanted
from pas_dagster.ledger import batches, units
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.batches import Stored
from pas_dagster.ledger.rehearsal import rehearsed
from pas_dagster.ledger.units import SHARE, USD
from pas_dagster.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from pas_dagster.assets.resources import Workshop

PLACES = {"target %": 2, "held %": 2, "drift": 2, "band": 2} | dict.fromkeys(("asks", "crossed", "ordered", "held"), 4)
OnLayer = Callable[[backfill.Layer, int], None]


def run(chosen: Settings, *, dry: bool, call: str | None, as_json: bool) -> int:
    """Trade, or with `dry` only plan; the exit code: 0 when all is done, 3 when orders are still working.

    `call`: `weights` or `all`, to trade to the targets although nothing new takes effect (`assets.calls`).
    """
    require_data(chosen)
    with working(chosen) as instance:
        from pas_dagster.assets.resources import Workshop

        workshop = Workshop()
        today = workshop.today
        if not calendar.is_session(today):
            raise PasError(
                f"{today} is no session of the NYSE. In the sandbox PAS_CLOCK_HOURS_BACK sets the clock back."
            )
        with nullcontext((None, _silent)) if as_json else progress(2) as (_, on_layer):
            _require_target(workshop, instance, today, on_layer)
            called = _called(instance, today, call)
            problem = "" if dry else _trade(instance, today, call, on_layer)
        return _preview(workshop, today, called, as_json) if dry else _told(workshop, today, problem, as_json)


def _called(instance: DagsterInstance, today: date, call: str | None) -> dict[date, str]:
    """Sessions that were called for, this call included; `PasError` for a word that is none."""
    from pas_dagster.assets import calls

    if call is None:
        return calls.calls(instance, {})
    if call not in calls.WORDS:
        raise PasError(f"--call {call!r} is neither {' nor '.join(calls.WORDS)}.")
    found = calls.calls(instance, {})
    return found | {today: calls.ALL if calls.ALL in (call, found.get(today)) else call}


def _silent(layer: backfill.Layer, partitions: int) -> None:
    """No progress is shown."""


def _require_target(workshop: Workshop, instance: DagsterInstance, today: date, on_layer: OnLayer) -> None:
    """Make today's target portfolio if there is none; raise `PasError` when its data are not there yet."""
    from pas_dagster.assets.execution import PORTFOLIOS
    from pas_dagster.definitions import defs
    from pas_dagster.schemas import TABLES

    if today in workshop.lake.partitions(PORTFOLIOS):
        return
    known, due = workshop.lake.last_partition(TABLES["prices"]), calendar.previous_session(today)
    if known is None or known < due:
        since = workshop.settings.start if known is None else calendar.roll_forward(known + timedelta(1))
        raise PasError(
            f"The decision of {today} needs prices up to {due}, and there are "
            f"{'none' if known is None else f'some up to {known}'}. Run `pas backfill --from {since}` first."
        )
    now = present.now(workshop.settings)
    backfill.backfill(
        defs, instance, today, today, now, time.monotonic, only=["target_portfolio", "cuts"], on_layer=on_layer
    )


def _trade(instance: DagsterInstance, today: date, call: str | None, on_layer: OnLayer) -> str:
    """Materialise today's execution; what kept it back, empty when nothing did."""
    from pas_dagster.assets import calls
    from pas_dagster.assets.execution import PRODUCTS
    from pas_dagster.definitions import defs

    (layer,) = backfill.layers(defs, [product.key for product in PRODUCTS])
    on_layer(layer, 1)
    try:
        key = today.isoformat()
        tags = {calls.TAG: call, calls.PARTITION: key} if call else None  # a call is for one session, not for a range
        backfill.run_layer(defs, instance, layer, [key], time.monotonic, tags)
    except PasError as error:
        return str(error).partition(" failed: ")[2] or str(error)
    return ""


def _told(workshop: Workshop, today: date, problem: str, as_json: bool) -> int:
    """Print what was planned, sent and filled; the exit code. Raises `PasError` with what kept the batch back."""
    spec = account_spec(workshop.settings)
    batch, shown = _standing(workshop, spec, today)
    if as_json:
        print(json.dumps(_as_json(spec, today, batch, shown) | {"problem": problem}))
    else:
        _tell(spec, today, batch, shown, going=not problem)
    if problem:
        raise PasError(problem)
    return 0 if batch is not None and batch.state == "done" else WORKING


def _standing(workshop: Workshop, spec: AccountSpec, today: date) -> tuple[Stored | None, Outcome]:
    from pas_dagster.assets.execution import generation_of

    own = (spec.id, generation_of(workshop.ledger, spec.id))
    known = workshop.ledger.run(lambda connection: batches.stored(connection, *own))
    return known.get(today), load(workshop.ledger, *own, [today])


def _as_json(spec: AccountSpec, today: date, batch: Stored | None, shown: Outcome) -> dict[str, Any]:
    return {
        "account": spec.id,
        "session": today.isoformat(),
        "state": "none" if batch is None else batch.state,
        "orders": as_rows(orders_told(shown)),
        "fills": as_rows(shown.fills),
        "crosses": as_rows(shown.trades[shown.trades["kind"] == "cross"]),
        "metrics": as_rows(shown.account),
    }


def _tell(spec: AccountSpec, today: date, batch: Stored | None, shown: Outcome, *, going: bool) -> None:
    console = Console(markup=False)
    tell_orders(shown, f"\n{spec.id}, session {today}", console)
    for row in shown.account.to_dict("records"):
        figures = f"equity {row['equity']:,.2f} USD, cash {row['cash']:,.2f} USD, {row['positions']} positions"
        console.print(figures, style="dim", highlight=False)
    if going and batch is not None and batch.state != "done":
        console.print("Orders are still working: `pas rebalance` again goes on.", highlight=False)


def _preview(workshop: Workshop, today: date, called: dict[date, str], as_json: bool) -> int:
    """Print what a rebalance would do now; the exit code."""
    spec = account_spec(workshop.settings)
    batch, shown = _standing(workshop, spec, today)
    if batch is not None:
        _tell_planned(spec, today, batch, shown, as_json)
        return 0
    goals = {day: wanted(own) for day, own in targets_of(workshop, *_range(workshop, spec, today), called).items()}
    with nullcontext() if as_json else Console().status("asking the broker what it trades, and at what price"):
        sight = _sight(workshop, spec, today, goals)
    lines = reasons(goals[today], sight.balances, sight.prices, rules(spec), sight.limits, sight.record)
    halted = workshop.ledger.run(lambda connection: workshop.ledger.why_halted(connection, spec.id))
    against = [*([halted] if halted else []), *stopped(sight.refused)]
    against += [f"batch {key} has to end first" for key in sight.waiting]
    cuts = _cuts(workshop, today)
    if as_json:
        told = {"account": spec.id, "session": today.isoformat(), "state": "preview", "stopped": against}
        orders = as_rows(_order_rows(sight))
        print(json.dumps(told | {"orders": orders, "reasons": as_rows(_reason_rows(lines)), "cuts": cuts}))
    else:
        _tell_sight(spec, today, sight, lines, against, cuts)
    return 0


def _tell_planned(spec: AccountSpec, today: date, batch: Stored, shown: Outcome, as_json: bool) -> None:
    """What was planned for the session: at a broker that stands, and another plan would never be sent."""
    if as_json:
        print(json.dumps(_as_json(spec, today, batch, shown) | {"planned": True}))
        return
    _tell(spec, today, batch, shown, going=True)
    once = "" if spec.mode == "simulated" else "; a session is planned once"
    Console().print(f"This is what was planned for {today}{once}.", highlight=False)


def _range(workshop: Workshop, spec: AccountSpec, today: date) -> tuple[date, date]:
    """Sessions whose targets the plan depends on: for a simulated account those it has missed, too."""
    from pas_dagster.assets.execution import traded

    if spec.mode != "simulated":
        return today, today
    done = traded(workshop.ledger, spec)
    return min(today, max(done) + timedelta(1) if done else spec.opened), today


def _sight(workshop: Workshop, spec: AccountSpec, today: date, goals: dict[date, list[Wanted]]) -> Sight:
    """The plan from the account's own books, which stay as they are."""
    from pas_dagster.assets.execution import generation_of
    from pas_dagster.assets.market import LakeMarket

    ledger = workshop.ledger
    if spec.mode != "simulated":
        return _looked(workshop, spec, today, goals[today])
    generation = generation_of(ledger, spec.id)
    held = ledger.run(lambda connection: ledger.balances(connection, spec.id, generation))
    symbols = {symbol for own in goals.values() for one in own for symbol in one.weights}
    symbols |= {asset for assets in held.values() for asset in assets}
    market = LakeMarket(workshop, today, sorted(symbols | set(wanted_symbols(workshop))))
    return foresee(ledger, spec, generation, today, goals, Tape(market))


def _looked(workshop: Workshop, spec: AccountSpec, today: date, goals: list[Wanted]) -> Sight:
    """The plan at a broker, seen in a ledger in which nothing stays: a halt neither."""
    try:
        with rehearsed(workshop.ledger) as books, observing(workshop, books, spec) as desk:
            return desk.look(today, goals)
    except BrokerError:
        raise
    except PasError as error:
        raise PasError(f"{error} (A dry run found this; it books and halts nothing.)") from None


def _cuts(workshop: Workshop, today: date) -> list[str]:
    """What caps and regime have cut off today's target."""
    from pas_dagster.schemas import TABLES

    return workshop.lake.read(TABLES["cuts"], first=today, last=today)["rule"].tolist()


def _order_rows(sight: Sight) -> pd.DataFrame:
    rows = [
        {
            "symbol": order.symbol,
            "side": order.side,
            "quantity": order.quantity / SHARE,
            "planned at": order.price / USD,
            "notional": units.value(order.quantity, order.price) / USD,
            "sleeves": order.why,
            "held back": " ".join(held_back(order, sight.refused)),
        }
        for order in sight.record.orders
    ]
    return pd.DataFrame(rows, columns=["symbol", "side", "quantity", "planned at", "notional", "sleeves", "held back"])


def _reason_rows(lines: Sequence[Reason]) -> pd.DataFrame:
    """Weights, drift and band in percent (points) of the sleeve's capital."""
    rows = [
        {
            "sleeve": one.sleeve,
            "symbol": one.symbol,
            "target %": 100 * one.target,
            "held": one.held / SHARE,
            "held %": 100 * one.weight,
            "drift": 100 * one.drift,
            "band": float("nan") if one.band is None else 100 * one.band,
            "asks": one.asked / SHARE,
            "crossed": one.crossed / SHARE,
            "ordered": one.ordered / SHARE,
            "why": one.why,
        }
        for one in lines
    ]
    names = ["sleeve", "symbol", "target %", "held", "held %", "drift", "band", "asks", "crossed", "ordered", "why"]
    return pd.DataFrame(rows, columns=names)


def _tell_sight(
    spec: AccountSpec,
    today: date,
    sight: Sight,
    lines: Sequence[Reason],
    against: Sequence[str],
    cuts: Sequence[str],
) -> None:
    console = Console(markup=False)
    title = f"\n{spec.id}, session {today}: the plan; nothing is sent"
    if not lines:
        console.print(
            f"{title}\nNothing new takes effect in this session; `--call all` trades to the targets all the same.",
            style="bold",
            highlight=False,
        )
    if lines:
        orders = rounded(_order_rows(sight), {"quantity": 4, "notional": 2})
        show(orders, title=title, console=console)
        told = [one for one in lines if one.why != NO_CAPITAL]
        title = "\nWhy: percent, and points, of the sleeve's capital"
        show(rounded(_reason_rows(told), PLACES), title=title, console=console)
        empty = sorted({one.sleeve for one in lines if one.why == NO_CAPITAL})
        if empty:
            console.print(f"without capital: {', '.join(empty)}", style="dim", highlight=False, soft_wrap=True)
    for heading, sentences in (("Cut off the target before", cuts), ("What stands against it now", against)):
        if sentences:
            console.print(f"\n{heading}", style="bold", highlight=False)
            for sentence in sentences:
                console.print(sentence, highlight=False, soft_wrap=True)
