"""`pas close`: sell what a sleeve holds of a symbol, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from pas_dagster.console.trading import WORKING, opened, tell_orders
from pas_dagster.errors import PasError
from pas_dagster.execution.account import account_spec
from pas_dagster.execution.outcome import Outcome, load
from pas_dagster.execution.targets import rules
from pas_dagster.ledger import batches, units
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.floats import Float, floats
from pas_dagster.settings import Settings

if TYPE_CHECKING:
    from pas_dagster.assets.resources import Workshop


def run(chosen: Settings, sleeve: str, symbol: str, *, sure: bool) -> int:
    """Sell it all; the exit code: 0 when it is sold, 3 when the order is still working, 1 when not wanted after all."""
    spec = account_spec(chosen)
    if spec.mode == "simulated":
        raise PasError(
            f"The simulated account follows its targets from its first day on, and computed anew it would not know of "
            f"a sale by hand. Take {symbol} out of what {sleeve} wants, or set PAS_BROKER to a broker."
        )
    with opened(chosen) as workshop:
        amount = _held(workshop, spec, sleeve, symbol)
        if not sure and not typer.confirm(_question(workshop, spec, sleeve, symbol, amount)):
            return 1
        return _sell(workshop, spec, sleeve, symbol)


def _held(workshop: Workshop, spec: AccountSpec, sleeve: str, symbol: str) -> Float:
    """What the sleeve has; raises `PasError` when there is nothing to sell."""
    from pas_dagster.assets.execution import generation_of

    own = (spec.id, generation_of(workshop.ledger, spec.id))
    found = workshop.ledger.run(lambda connection: floats(connection, *own, rules(spec).rate))
    amount = found.get((sleeve, symbol))
    if amount is None or amount.position <= 0:
        holds = sorted(name for name, what in found if what == symbol)
        where = f"; {', '.join(holds)} does" if holds else ""
        raise PasError(f"Sleeve {sleeve!r} of {spec.id} holds no {symbol}{where}. `pas positions` shows what there is.")
    return amount


def _question(workshop: Workshop, spec: AccountSpec, sleeve: str, symbol: str, amount: Float) -> str:
    from pas_dagster.assets.market import newest_closes

    close = newest_closes(workshop, [symbol]).get(symbol)
    worth = "" if close is None else f" (about {amount.position / units.SHARE * close:,.2f} USD)"
    shares = units.shares_text(amount.position)
    return f"Sell all {shares} {symbol}{worth} of sleeve {sleeve} in the {spec.mode} account {spec.id}?"


def _sell(workshop: Workshop, spec: AccountSpec, sleeve: str, symbol: str) -> int:
    from pas_dagster.assets.execution import at_desk

    console = Console(markup=False)
    with at_desk(workshop, spec, lambda text: console.print(text, style="dim", highlight=False)) as desk:
        key = desk.close(sleeve, symbol)
        own = (spec.id, desk.generation)
    batch = workshop.ledger.run(lambda connection: batches.find(connection, *own, key))
    assert batch is not None  # it was just traded
    shown = _of_batch(workshop, load(workshop.ledger, *own, [batch.session]), batch.id)
    tell_orders(shown, f"\n{spec.id}, {key}", console)
    if batch.state == "done":
        return 0
    console.print("The order is still working: `pas reconcile` follows it.", highlight=False)
    return WORKING


def _of_batch(workshop: Workshop, shown: Outcome, batch: int) -> Outcome:
    """The orders and fills of one batch among those of its session."""
    orders = workshop.ledger.run(lambda connection: batches.load_orders(connection, batch))
    cids = {order.cid for order, _, _ in orders}
    ours = {name: getattr(shown, name) for name in ("order_batch", "fills", "trades")}
    return replace(shown, **{name: rows[rows["client_order_id"].isin(cids)] for name, rows in ours.items()})
