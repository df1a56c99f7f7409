"""`pas reconcile`: book what happened at the broker, and compare the books with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

import pandas as pd
import sqlalchemy as sa
import typer
from rich.console import Console

from pas_dagster.console.table import show
from pas_dagster.console.trading import DIFFER, observing, opened
from pas_dagster.console.who import user
from pas_dagster.errors import PasError
from pas_dagster.execution.account import account_spec, connected
from pas_dagster.execution.brokers.base import Broker, BrokerError
from pas_dagster.execution.executor import SETTLED
from pas_dagster.ledger import batches, comparisons, tables
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.comparisons import DIFFERENT, Comparison
from pas_dagster.ledger.journal import CASH
from pas_dagster.ledger.units import SHARE, USD, money_text, shares_text
from pas_dagster.settings import Settings

if TYPE_CHECKING:
    from pas_dagster.assets.resources import Workshop


def run(chosen: Settings, *, as_json: bool) -> int:
    """Compare and print; the exit code: 0 when nothing differs without a reason, 4 when something does."""
    spec = account_spec(chosen)
    with opened(chosen) as workshop:
        halted = workshop.ledger.run(lambda connection: workshop.ledger.why_halted(connection, spec.id))
        if spec.mode == "simulated":
            found, problem = _simulated(workshop, spec), ""
        else:
            found, problem = _at_broker(workshop, spec)
    different = any(one.verdict == DIFFERENT for one in found)
    if as_json:
        told = {"account": spec.id, "halted": halted, "problem": problem, "compared": _rows(found)}
        print(json.dumps(told))
    else:
        _tell(spec, found, halted)
    if problem and not different:
        raise PasError(problem)
    if problem and not as_json:
        Console(markup=False).print(problem, highlight=False, soft_wrap=True)
    return DIFFER if different else 0


def _simulated(workshop: Workshop, spec: AccountSpec) -> list[Comparison]:
    """The ledger against the simulated broker's own books."""
    from pas_dagster.assets.books import simulated
    from pas_dagster.assets.execution import traded

    if not traded(workshop.ledger, spec):
        raise PasError("The account has not traded yet: there is nothing to compare.")
    return simulated(workshop, spec)


def _at_broker(workshop: Workshop, spec: AccountSpec) -> tuple[list[Comparison], str]:
    """What was compared, and what went wrong. Orders are followed, and none is sent."""
    with observing(workshop, workshop.ledger, spec) as desk:
        day, begun = workshop.newest_decision, workshop.now
        try:
            return desk.follow(day), ""
        except BrokerError:
            raise
        except PasError as error:
            return _since(workshop, spec, desk.generation, day, begun), str(error)


def _since(workshop: Workshop, spec: AccountSpec, generation: int, day: date, begun: datetime) -> list[Comparison]:
    """The newest comparison, if it was made after a moment."""
    found = workshop.ledger.run(lambda connection: comparisons.newest(connection, spec.id, generation, day))
    return [one for at, one in found if at >= begun]


def _rows(found: Sequence[Comparison]) -> list[dict[str, object]]:
    return [
        {
            "subject": "cash" if one.subject == CASH else one.subject,
            "ours": one.ours / (USD if one.subject == CASH else SHARE),
            "theirs": one.theirs / (USD if one.subject == CASH else SHARE),
            "verdict": one.verdict,
        }
        for one in found
    ]


def _exact(one: Comparison) -> dict[str, str]:
    """To the last digit: the smallest difference is one."""
    text = money_text if one.subject == CASH else shares_text
    name = "cash" if one.subject == CASH else one.subject
    return {"subject": name, "ours": text(one.ours), "theirs": text(one.theirs), "verdict": one.verdict}


def _tell(spec: AccountSpec, found: Sequence[Comparison], halted: str) -> None:
    console = Console(markup=False)
    if found:
        exact = [_exact(one) for one in found]
        show(pd.DataFrame(exact), title=f"\n{spec.id}: ledger (ours) and broker (theirs)", console=console)
    if halted:
        console.print(halted, highlight=False, soft_wrap=True)


def accept(chosen: Settings, why: str, *, sure: bool) -> int:
    """Take over what the broker has where the two differ; the exit code."""
    spec = account_spec(chosen)
    if spec.mode == "simulated":
        raise PasError("The simulated account is made good by `pas backfill`, which computes it anew.")
    if not why.strip():
        raise PasError("Say why with --accept: it stays on record.")
    console = Console(markup=False)
    with opened(chosen) as workshop, observing(workshop, workshop.ledger, spec) as desk:
        day, begun = workshop.newest_decision, workshop.now
        try:
            desk.follow(day)
        except BrokerError:
            raise
        except PasError:
            pass
        else:
            console.print("Nothing differs without a reason.", highlight=False)
            return 0
        found = [one for one in _since(workshop, spec, desk.generation, day, begun) if one.verdict == DIFFERENT]
        _tell(spec, found, "")
        if not sure and not typer.confirm("Book these differences as the broker has them?"):
            return 1
        desk.accept(day, user(), why)
        desk.follow(day)
    console.print("They are booked; the account stays halted. `pas resume` lets it go on.", highlight=False)
    return 0


def begin_anew(chosen: Settings, *, sure: bool) -> int:
    """Tie the account to the one that the broker answers for now; the exit code."""
    spec = account_spec(chosen)
    if spec.mode == "simulated":
        raise PasError("The simulated account is no account at a broker.")
    question = f"Close the books of {spec.id} and begin new ones with what the broker shows at the next rebalance?"
    with opened(chosen) as workshop, workshop.ledger.lock(spec.id):
        workshop.ledger.open_account(spec, halted=True)
        if not sure and not typer.confirm(question):
            return 1
        generation = workshop.ledger.unbind(spec.id)
        workshop.ledger.halt(spec.id, user(), f"generation {generation} begins at another account", workshop.now)
    Console(markup=False).print("`pas resume` lets it go on; its old books stay in the ledger.", highlight=False)
    return 0


def settle(chosen: Settings, cid: str, state: str) -> None:
    """Note that an order whose outcome stayed unknown never arrived; `PasError` for any other order."""
    spec = account_spec(chosen)
    if state != "unsent":
        raise PasError(
            f"--settle gives an order up as 'unsent' and nothing else, not {state!r}: fills come from the broker."
        )
    if spec.mode == "simulated":
        raise PasError("The simulated broker never leaves an outcome unknown: there is nothing to settle.")
    with opened(chosen) as workshop, connected(chosen) as broker, workshop.ledger.lock(spec.id):
        _require_no_trace(broker, cid)
        ledger, at, who = workshop.ledger, workshop.now, user()

        def work(connection: sa.Connection) -> None:
            _require_parked(connection, spec, cid, at)
            batches.move(connection, cid, "unsent", at, f"{who} looked at the broker: it never arrived")

        ledger.run(work)
    Console(markup=False).print(f"{cid} is unsent. `pas reconcile` goes on with its batch.", highlight=False)


def _require_no_trace(broker: Broker, cid: str) -> None:
    if broker.unique_ids:
        raise PasError("This broker refuses an id it has seen, so the next run finds out by itself what became of it.")
    found = broker.find(cid)
    if found is not None:
        raise PasError(f"The broker knows {cid}: it is {found.state}. `pas reconcile` follows it.")


def _require_parked(connection: sa.Connection, spec: AccountSpec, cid: str, at: datetime) -> None:
    """Raise `PasError` unless the order was being sent when its session ended."""
    orders, batch = tables.orders, tables.batch
    row = connection.execute(
        sa.select(orders.c.state, orders.c.filled, batch.c.valid_until)
        .join(batch, batch.c.id == orders.c.batch)
        .where(orders.c.cid == cid, batch.c.account == spec.id)
    ).one_or_none()
    if row is None:
        raise PasError(f"{spec.id} has no order {cid!r}.")
    if row.state != "submitting" or row.filled:
        raise PasError(f"{cid} is {row.state}; only an order that stays 'submitting' can be settled by hand.")
    if at < row.valid_until + SETTLED:
        raise PasError(f"{cid} may still arrive: its session ends at {row.valid_until:%Y-%m-%d %H:%M} UTC.")
