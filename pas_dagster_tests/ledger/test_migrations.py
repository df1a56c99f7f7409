"""One schema, whoever brings it and however many at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

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
