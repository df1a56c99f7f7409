"""What the sensors look at: hours, the account's batches, its holdings, alerts, and what landed. Nothing is changed.

All of it is small and read with one query each, from the ledger and the plain tables in its database, so that a tick
opens no lake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa
from dagster import AssetKey, AssetRecordsFilter, DagsterInstance, DagsterRunStatus, RunsFilter

from pas_dagster import calendar
from pas_dagster.assets.calls import PARTITION
from pas_dagster.assets.resources import Workshop
from pas_dagster.assets.strategies import STRATEGIES
from pas_dagster.automation.hours import trading_time
from pas_dagster.calendar import Cadence
from pas_dagster.execution.account import account_spec
from pas_dagster.execution.drift import Drifts, drifts
from pas_dagster.ledger import halts, journal, tables
from pas_dagster.ledger.records import batch_key
from pas_dagster.settings import Settings
from pas_dagster.strategies.contract import CASH

T = TypeVar("T")
AHEAD = timedelta(minutes=3)  # of the schedule: a call has to be there before the session is planned
LAST = timedelta(minutes=15)  # before a real market's close: what begins later is not over in time
PRICE_DAYS = 10
# Whatever a target portfolio is made of -> how often it is decided.
DECIDED = {
    **{name: one.cadence for name, one in STRATEGIES.items()},
    "allocation": Cadence.WEEKLY_MON,
    "regimes": Cadence.WEEKLY_MON,
}
SHARES = ("allocation", "regimes")
OVER = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
AT_WORK = [status for status in DagsterRunStatus if status not in OVER]


def asking_hours(chosen: Settings, session: date) -> tuple[datetime, datetime]:
    """From when until when a session may be asked for: from shortly before the schedule, while the market is open.

    Not at a real market's very open: quotes are old then, and an order that a gate refuses for that is given up.
    """
    begin = datetime.combine(session, trading_time(chosen), calendar.NEW_YORK) - AHEAD
    return begin, calendar.closing(session) - (timedelta(0) if chosen.mode == "simulated" else LAST)


def closed(chosen: Settings, now: datetime) -> str:
    """Why nothing can be asked for now; empty when it can."""
    today = calendar.today(now)
    if not calendar.is_session(today):
        return "The exchange is closed today."
    begin, end = asking_hours(chosen, today)
    if now < begin:
        return f"Nothing is asked for before {begin:%H:%M} in New York."
    return f"It is too late for the session of {today}." if now >= end else ""


@dataclass(frozen=True)
class Account:
    """Why the account is halted, today's batch's state if there is one, and the batches that are not done."""

    halted: str
    today: str | None
    unfinished: tuple[tuple[date, str], ...]


def account(workshop: Workshop) -> Account:
    """The account of the settings as its ledger has it; one that was never opened has nothing."""
    owner, batch, today = tables.account, tables.batch, workshop.today
    mine = (batch.c.account == owner.c.id, batch.c.generation == owner.c.generation)
    query = (
        sa.select(owner.c.halted, owner.c.halt_reason, batch.c.session, batch.c.key, batch.c.state)
        .outerjoin(batch, sa.and_(*mine, sa.or_(batch.c.session == today, batch.c.state != "done")))
        .where(owner.c.id == account_spec(workshop.settings).id)
        .order_by(batch.c.session, batch.c.id)
    )
    rows = _rows(workshop, query)
    states = {row.key: row.state for row in rows}
    waiting = tuple((row.session, row.key) for row in rows if row.state not in (None, "done"))
    return Account(_why_halted(workshop, rows), states.get(batch_key(today)), waiting)


def _why_halted(workshop: Workshop, rows: Sequence[Any]) -> str:
    said = halts.file_says(workshop.ledger.halt_file)
    if rows and rows[0].halted is not None:
        return f"The account is halted: {rows[0].halt_reason}."
    return f"The account is halted by its file: {said}." if said else ""


def busy(instance: DagsterInstance, jobs: Sequence[str]) -> str:
    """A job among those that has a run which has not ended; empty when there is none."""
    runs = instance.get_runs(RunsFilter(statuses=AT_WORK), limit=100)
    return next((run.job_name for run in runs if run.job_name in jobs), "")


def failed(instance: DagsterInstance, job: str, key: date) -> bool:
    """Whether the newest run of a job's partition failed."""
    runs = instance.get_runs(RunsFilter(job_name=job, tags={PARTITION: key.isoformat()}), limit=1)
    return bool(runs) and runs[0].status == DagsterRunStatus.FAILURE


@dataclass(frozen=True)
class Landed:
    """A weight set, allocation or regime that was stored with new content: its decision, and Dagster's event."""

    name: str
    decision: date
    event: int

    @property
    def takes_effect(self) -> date:
        return calendar.roll_forward(self.decision)


def landed(instance: DagsterInstance, today: date, seen: Mapping[str, int]) -> tuple[list[Landed], dict[str, int]]:
    """What landed for the newest decision of each asset since the events in `seen`, and the newest event of each.

    One query when nothing happened, and one more for each asset with which something did.
    """
    found: list[Landed] = []
    newest = dict(seen)
    for record in instance.get_asset_records([AssetKey(name) for name in DECIDED]):
        name, last = record.asset_entry.asset_key.to_user_string(), record.asset_entry.last_materialization_record
        if last is None or last.storage_id <= seen.get(name, 0):
            continue
        newest[name] = last.storage_id
        decision = DECIDED[name].nominal_days(today - timedelta(40), today)[-1]
        made = [one for one in _made(instance, name, decision, seen.get(name, 0)) if _changed(one)]
        if made:
            found.append(Landed(name, decision, made[0].storage_id))
    return found, newest


def _made(instance: DagsterInstance, name: str, key: date, after: int, *, oldest: bool = False) -> Sequence[Any]:
    """Materialisations of a partition after an event: the newest ones first, or the oldest one alone."""
    asked = AssetRecordsFilter(AssetKey(name), asset_partitions=[key.isoformat()], after_storage_id=after)
    return instance.fetch_materializations(asked, limit=1 if oldest else 20, ascending=oldest).records


def unused(instance: DagsterInstance, workshop: Workshop, found: Sequence[Landed]) -> list[Landed]:
    """Those that the session in which they take effect was not planned with: its target was made before they landed."""
    if not found:
        return []
    planned = _planned_at(workshop, [one.takes_effect for one in found])

    def used(one: Landed) -> bool:
        moment = planned.get(one.takes_effect)
        if moment is None:
            return False
        targets = _made(instance, "target_portfolio", one.takes_effect, one.event, oldest=True)
        return bool(targets) and targets[0].timestamp <= moment.timestamp()

    return [one for one in found if not used(one)]


def _planned_at(workshop: Workshop, sessions: Sequence[date]) -> dict[date, datetime]:
    """When the batches of sessions were kept, in the account's present books."""
    owner, batch = tables.account, tables.batch
    query = (
        sa.select(batch.c.session, batch.c.created)
        .join(owner, sa.and_(owner.c.id == batch.c.account, owner.c.generation == batch.c.generation))
        .where(owner.c.id == account_spec(workshop.settings).id)
        .where(batch.c.key.in_({batch_key(one) for one in sessions}))
    )
    return {row.session: row.created for row in _rows(workshop, query)}


def _changed(record: Any) -> bool:
    """Whether the materialisation stored anything new; one that does not say so is taken for new."""
    said = record.asset_materialization.metadata.get("changed")
    return said is None or bool(said.value)


@dataclass(frozen=True)
class Alarms:
    """Critical alerts in force at the newest session: rule -> (what it measures, since when, its message).

    `unknown`: rules whose number is missing, which says nothing about whether they have ended.
    """

    session: date | None
    firing: Mapping[str, tuple[str, date | None, str]]
    unknown: frozenset[str]


NEWEST_ALERTS = sa.text(
    "select known_on, rule, status, metric, since, message, severity = 'critical' and status = 'fired' as firing "
    "from pas.alerts where known_on = (select max(known_on) from pas.alerts)"
)


def alarms(workshop: Workshop) -> Alarms:
    """The newest session of `alerts`."""
    rows = _rows(workshop, NEWEST_ALERTS)
    firing = {row.rule: (row.metric, row.since, row.message) for row in rows if row.firing}
    unknown = frozenset(row.rule for row in rows if row.status == "unknown")
    return Alarms(rows[0].known_on if rows else None, firing, unknown)


NEWEST_TARGETS = sa.text(
    "select sleeve, symbol, sleeve_weight from pas.portfolios "
    "where decision = (select max(decision) from pas.portfolios where decision <= :today)"
)
NEWEST_CLOSES = sa.text(
    "select distinct on (symbol) symbol, close from pas.prices where known_on >= :since and symbol = any(:symbols) "
    "order by symbol, known_on desc"
)
RESHAPED = sa.text(
    "select symbol, new_symbol from pas.corporate_actions "
    "where kind in ('split', 'symbol_change') and event_date between :since and :today"
)


def holdings_drift(workshop: Workshop) -> Drifts:
    """How far the account's sleeves are from their newest targets, at the newest closes.

    Data and books may tell of a split or a new name at different times: what has one at today's open is left out.
    """
    today, ledger = workshop.today, workshop.ledger
    spec = account_spec(workshop.settings)

    def work(connection: sa.Connection) -> Drifts:
        generation = connection.scalar(sa.select(tables.account.c.generation).where(tables.account.c.id == spec.id))
        balances = ledger.balances(connection, spec.id, generation or 1)
        targets: dict[str, dict[str, float]] = {}
        for row in connection.execute(NEWEST_TARGETS, {"today": today}):
            targets.setdefault(row.sleeve, {}).update({} if row.symbol == CASH else {row.symbol: row.sleeve_weight})
        days = {"since": calendar.previous_session(today) + timedelta(1), "today": today}
        reshaped = {name for row in connection.execute(RESHAPED, days) for name in row}
        asked = {"since": today - timedelta(PRICE_DAYS), "symbols": sorted(journal.totals(balances)[0])}
        prices = {row.symbol: row.close for row in connection.execute(NEWEST_CLOSES, asked)}
        return drifts(balances, targets, {one: price for one, price in prices.items() if one not in reshaped})

    return _ask(workshop, work)


def _rows(workshop: Workshop, query: sa.Executable) -> Sequence[Any]:
    return _ask(workshop, lambda connection: connection.execute(query).all())


def _ask(workshop: Workshop, work: Callable[[sa.Connection], T]) -> T:
    """Read at one moment, and as no party to the ledger's serializable transactions: no executor has to start again."""
    with workshop.ledger.engine.connect() as connection:
        return work(connection.execution_options(isolation_level="REPEATABLE READ"))
