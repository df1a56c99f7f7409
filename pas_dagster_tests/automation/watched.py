"""What sensors are shown in tests: a real ledger and its plain tables, an instance with events, and a clock to set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from dagster import AssetKey, AssetMaterialization, DagsterInstance, DagsterRun, DagsterRunStatus, build_sensor_context
from dagster._core.definitions.sensor_definition import SensorExecutionData

from pas_dagster import calendar
from pas_dagster.assets.resources import Workshop
from pas_dagster.definitions import defs
from pas_dagster.execution.account import account_spec
from pas_dagster.lake import mirror
from pas_dagster.ledger import tables, units
from pas_dagster.ledger.records import batch_key
from pas_dagster.ledger.store import Ledger
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings

FILLED = {"date": date(2024, 1, 2), "varchar": "x", "double": 1.0, "bigint": 1, "boolean": False}


def new_york(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=calendar.NEW_YORK)


@dataclass
class Tower:
    """Sensors, what they look at, and the cursors that Dagster keeps for them."""

    ledger: Ledger
    instance: DagsterInstance
    settings: Settings
    now: datetime
    cursors: dict[str, str | None] = field(default_factory=dict)

    @property
    def workshop(self) -> Workshop:
        tower = self

        class Bench(Workshop):
            @property
            def settings(self) -> Settings:
                return tower.settings

            @property
            def ledger(self) -> Ledger:
                return tower.ledger

            @property
            def now(self) -> datetime:
                return tower.now

            @property
            def today(self) -> date:
                return calendar.today(tower.now)

        return Bench()

    def tick(self, name: str, at: str | None = None) -> SensorExecutionData:
        """Evaluate a sensor as the daemon does, and keep its cursor."""
        self.now = new_york(at) if at else self.now
        data = evaluated(name, self.instance, self.workshop, self.cursors.get(name))
        self.cursors[name] = data.cursor
        return data

    def asked(self, name: str, at: str | None = None) -> list[tuple[str, str | None, str | None]]:
        """Job, partition and call of each run that a tick asks for."""
        runs = self.tick(name, at).run_requests or []
        return [(str(run.job_name), run.partition_key, run.tags.get("pas/rebalance")) for run in runs]

    def why(self, name: str, at: str | None = None) -> str:
        """Why a tick asks for nothing."""
        data = self.tick(name, at)
        assert not data.run_requests
        assert data.skip_message
        return data.skip_message

    def land(self, name: str, key: str, *, changed: bool | None = True) -> None:
        metadata = {} if changed is None else {"changed": changed}
        self.instance.report_runless_asset_event(AssetMaterialization(AssetKey(name), partition=key, metadata=metadata))

    def running(self, job: str, status: DagsterRunStatus = DagsterRunStatus.STARTED, **tags: str) -> str:
        """A run on record; its id."""
        run = DagsterRun(job_name=job, status=status, tags={k.replace("__", "/"): v for k, v in tags.items()})
        return self.instance.add_run(run).run_id

    def plan(self, day: str, state: str = "open", at: datetime | None = None) -> None:
        """A batch of a session in the ledger."""
        spec = account_spec(self.settings)
        self.ledger.open_account(spec)
        session = date.fromisoformat(day)
        values: dict[str, Any] = {
            "account": spec.id,
            "generation": 1,
            "session": session,
            "key": batch_key(session),
            "plan_hash": "",
            "symbols": [],
            "state": state,
            "valid_until": calendar.closing(session),
        }
        values |= {"created": at} if at else {}
        self.ledger.run(lambda connection: connection.execute(sa.insert(tables.batch).values(**values)))

    def hold(self, sleeve: str, cash: float, **shares: float) -> None:
        spec = account_spec(self.settings)
        self.ledger.open_account(spec)
        amounts = {"$": round(cash * units.USD)} | {name: round(one * units.SHARE) for name, one in shares.items()}
        own = {"account": spec.id, "generation": 1, "sleeve": sleeve}
        rows = [{**own, "asset": asset, "amount": amount} for asset, amount in amounts.items()]
        self.ledger.run(lambda connection: connection.execute(sa.insert(tables.balance), rows))

    def put(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows of a plain table; columns that a test does not care for are filled in."""
        mirror.create(self.ledger.url)
        table = TABLES[name]
        plain = sa.table(name, *(sa.column(c.name) for c in table.columns), schema="pas")
        filled = {c.name: None if c.nullable else FILLED[c.kind.sql] for c in table.columns}
        self.ledger.run(lambda connection: connection.execute(sa.insert(plain), [{**filled, **row} for row in rows]))


def evaluated(name: str, instance: DagsterInstance, workshop: Workshop, cursor: str | None) -> SensorExecutionData:
    repository = defs.get_repository_def()
    context = build_sensor_context(
        instance=instance,
        cursor=cursor,
        definitions=defs,
        sensor_name=name,
        resources={"workshop": workshop},
    )
    with context:
        return repository.get_sensor_def(name).evaluate_tick(context)
