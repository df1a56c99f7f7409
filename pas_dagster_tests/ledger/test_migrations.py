"""One schema, whoever brings it and however many at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from pas_dagster.ledger import migrations, tables
from pas_dagster.ledger.migrations import HEAD, migrate
from pas_dagster_tests.ledger.database import fresh

SCHEMAS = {tables.LEDGER, tables.BROKER}


def test_four_at_once_migrate_once(server: str) -> None:
    for url in fresh(server):
        with ThreadPoolExecutor(4) as pool:
            did = list(pool.map(migrate, [url] * 4))
        assert sorted(did) == [False, False, False, True]
        assert migrate(url) is False


def test_the_broker_takes_over_what_the_ledger_noted(url: str) -> None:
    engine = sa.create_engine(url)
    day = date(2024, 1, 2)
    own = {"account": "a", "generation": 1, "session": day, "symbol": "AAA", "value": "1"}
    with engine.begin() as connection:
        connection.execute(
            sa.insert(tables.account).values(id="a", broker="b", mode="simulated", opened=day, capital=1)
        )
        for kind in ("split", "delisting"):
            connection.execute(sa.insert(tables.activity).values(id=f"{kind}:{day}:AAA", kind=kind, **own))
        for name in ("a", "empty"):
            connection.execute(sa.insert(tables.book).values(account=name, session=day, cash=1))
        connection.execute(sa.text("alter table broker.book drop column acted"))
        connection.execute(sa.text("drop table ledger.arm"))
        connection.execute(sa.text("update ledger.alembic_version set version_num = '0001'"))
    assert migrate(url) is True
    with engine.connect() as connection:
        found = dict(connection.execute(sa.select(tables.book.c.account, tables.book.c.acted)).tuples().all())
    assert found == {"a": [f"split:{day}:AAA"], "empty": []}
    engine.dispose()


def test_head_is_the_last_script() -> None:
    config = Config()
    config.set_main_option("script_location", str(next(iter(migrations.__path__))))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_migrations_make_the_tables_of_the_code(url: str) -> None:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "version_table_schema": tables.LEDGER,
                "include_name": lambda name, kind, _: name in SCHEMAS if kind == "schema" else True,
            },
        )
        assert compare_metadata(context, tables.metadata) == []
        checks = sa.inspect(connection)
        for table in tables.metadata.sorted_tables:
            ours = {one.name for one in table.constraints if isinstance(one, sa.CheckConstraint)}
            assert {one["name"] for one in checks.get_check_constraints(table.name, table.schema)} == ours
    engine.dispose()


@pytest.mark.parametrize("table", tables.APPEND_ONLY, ids=lambda table: table.name)
@pytest.mark.parametrize("how", ["update", "delete", "truncate"])
def test_what_is_written_stays(url: str, table: sa.Table, how: str) -> None:
    statement = {
        "update": sa.update(table).values({table.columns.values()[0].name: None}),
        "delete": sa.delete(table),
        "truncate": sa.text("truncate " + str(table)),
    }[how]
    engine = sa.create_engine(url)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(statement)
    engine.dispose()
