"""The account of the settings as assets see it: where its sessions are measured, and what its gates know."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pandas as pd
import sqlalchemy as sa

from pas_dagster import calendar
from pas_dagster.assets.alerts import WATCHED, breaker_policy
from pas_dagster.assets.equity import without_flows
from pas_dagster.assets.limits import Sectors
from pas_dagster.assets.resources import Workshop
from pas_dagster.execution.account import account_spec
from pas_dagster.execution.guard import Conditions
from pas_dagster.ledger import tables, units
from pas_dagster.risk.breaker import check
from pas_dagster.schemas import TABLES

VOLUME_SESSIONS = 20


def conditions(workshop: Workshop, symbols: Sequence[str]) -> Conditions:
    """Volumes, sectors and the breaker as they are known today.

    The volume of a symbol is the mean of its bars of the last 20 sessions; one without any bar has none.
    """
    today = workshop.today
    known = Sectors(workshop.lake, today).before(today)
    sectors = {symbol: known[symbol] for symbol in symbols if symbol in known}
    return Conditions(_volumes(workshop, symbols, today), sectors, _tripped(workshop, today))


def _volumes(workshop: Workshop, symbols: Sequence[str], today: date) -> dict[str, int]:
    recent = calendar.session_array(calendar.FIRST, calendar.previous_session(today))[-VOLUME_SESSIONS:]
    rows = workshop.lake.read(
        TABLES["prices"],
        first=recent[0].astype(object),
        last=recent[-1].astype(object),
        columns=["symbol", "volume"],
        where="list_contains(?::varchar[], symbol)",
        values=[list(symbols)],
    )
    means = rows.groupby("symbol")["volume"].mean()
    return {str(symbol): int(volume * units.SHARE) for symbol, volume in means.items() if volume > 0}


def _tripped(workshop: Workshop, today: date) -> Sequence[str]:
    """Why the circuit breaker is tripped, by the account's own books; empty when it is open."""
    spec = account_spec(workshop.settings)
    equity, resumed = workshop.ledger.run(lambda connection: _curve(connection, spec.id))
    last = workshop.lake.last_partition(TABLES[WATCHED])
    ages = {WATCHED: None if last is None else float((today - last).days)}
    verdict = check(equity, today, ages, breaker_policy(workshop.settings), resumed=resumed)
    return verdict.reasons


def _curve(connection: sa.Connection, account: str) -> tuple[pd.Series, date | None]:
    """Equity by session, without what was paid in or out, and when a person last resumed the account."""
    mark, batch, owner, halt = tables.mark, tables.batch, tables.account, tables.halt
    rows: Sequence[Any] = connection.execute(
        sa.select(batch.c.session, mark.c.equity, mark.c.net_flow)
        .distinct(batch.c.session)
        .join(batch, batch.c.id == mark.c.batch)
        .join(owner, sa.and_(owner.c.id == batch.c.account, owner.c.generation == batch.c.generation))
        .where(batch.c.account == account)
        .order_by(batch.c.session, batch.c.id.desc())
    ).all()
    days, values, flows = zip(*rows, strict=True) if rows else ((), (), ())
    curve = without_flows(pd.Series(values, days, dtype="float64"), pd.Series(flows, days, dtype="float64"))
    resumed = connection.scalar(
        sa.select(sa.func.max(halt.c.at)).where(halt.c.account == account, halt.c.halted.is_(False))
    )
    return curve, None if resumed is None else calendar.today(resumed)
