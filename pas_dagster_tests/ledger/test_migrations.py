"""One schema, whoever brings it, however many at once, up and down, on the embedded and on a packaged server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from pas_dagster.execution.market import CorporateAction
from pas_dagster.execution.replay import replay
from pas_dagster.ledger import migrations, tables
from pas_dagster.ledger.migrations import HEAD, migrate, version
from pas_dagster.ledger.store import Ledger
from pas_dagster.ledger.verify import verify
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.world import SESSIONS
from pas_dagster_tests.ledger import database
from pas_dagster_tests.ledger.database import execute, fresh, packaged_server

__all__ = ["packaged_server"]
SCHEMAS = {tables.LEDGER, tables.BROKER}
CONFIG = Config()
CONFIG.set_main_option("script_location", str(next(iter(migrations.__path__))))
SCRIPTS = [one.revision for one in reversed(list(ScriptDirectory.from_config(CONFIG).walk_revisions()))]
# Everything of the two schemas but alembic's own table, as the server describes it.
CATALOGUE = """
with own as (
    select c.oid, n.nspname || '.' || c.relname as name, c.relkind from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('ledger', 'broker') and c.relname !~ '^alembic_version'
)
select 'column ' || name || '.' || attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull
       || ' ' || attidentity::text || ' ' || coalesce(pg_get_expr(adbin, adrelid), '')
from own join pg_attribute a on a.attrelid = own.oid
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where relkind = 'r' and attnum > 0 and not attisdropped
union all
select 'constraint ' || name || ' ' || conname || ' ' || pg_get_constraintdef(c.oid)
from own join pg_constraint c on c.conrelid = own.oid where contype <> 'n'
union all
select 'index ' || pg_get_indexdef(oid) from own where relkind = 'i'
union all
select 'trigger ' || pg_get_triggerdef(t.oid) from own join pg_trigger t on t.tgrelid = own.oid where not tgisinternal
union all
select 'sequence ' || name from own where relkind = 'S'
union all
select 'function ' || pg_get_functiondef(p.oid) from pg_proc p
join pg_namespace n on n.oid = p.pronamespace where n.nspname in ('ledger', 'broker')
"""


@pytest.fixture(params=["server", "packaged_server"])
def bare(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database on either server."""
    yield from fresh(request.getfixturevalue(request.param))


def move(url: str, to: str) -> None:
    """Migrate up or down to a revision, `head` or `base`."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for schema in SCHEMAS:
            connection.execute(sa.schema.CreateSchema(schema, if_not_exists=True))
        now = version(connection) or ""
        CONFIG.attributes["connection"] = connection
        up = to == "head" or (to != "base" and to > now)
        (command.upgrade if up else command.downgrade)(CONFIG, to)


def catalogue(url: str) -> set[str]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return set(connection.scalars(sa.text(CATALOGUE)))


def compare(url: str) -> None:
    """The schema is that of the code."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "version_table_schema": tables.LEDGER,
                "compare_type": True,
                "include_name": lambda name, kind, _: name in SCHEMAS if kind == "schema" else True,
            },
        )
        assert compare_metadata(context, tables.metadata) == []
        checks = sa.inspect(connection)
        for table in tables.metadata.sorted_tables:
            ours = {one.name for one in table.constraints if isinstance(one, sa.CheckConstraint)}
            assert {one["name"] for one in checks.get_check_constraints(table.name, table.schema)} == ours


def test_four_at_once_migrate_once(bare: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        did = list(pool.map(migrate, [bare] * 4))
    assert sorted(did) == [False, False, False, True]
    assert migrate(bare) is False


def test_every_step_down_takes_back_its_step_up(bare: str) -> None:
    """One by one, and each of them again; nothing is left of any, and nothing that was there before is lost."""
    stages = []
    for revision in ("base", *SCRIPTS):
        move(bare, revision)
        stages.append((revision, catalogue(bare)))
    assert len({frozenset(found) for _, found in stages}) == len(stages)  # every step changes something
    for revision, expected in reversed(stages):
        move(bare, revision)
        assert catalogue(bare) == expected, f"on the way down at {revision}"
        if revision != "base":
            move(bare, "head")
            assert catalogue(bare) == stages[-1][1], f"up again from {revision}"
            move(bare, revision)
    assert stages[0][1] == set()
    for revision, expected in stages[1:]:
        move(bare, revision)
        assert catalogue(bare) == expected, f"on the way up again at {revision}"


def test_all_the_way_down_and_up_the_schema_is_that_of_the_code(bare: str) -> None:
    assert migrate(bare) is True
    compare(bare)
    before = catalogue(bare)
    move(bare, "base")
    assert catalogue(bare) == set()
    assert migrate(bare) is True
    assert catalogue(bare) == before
    compare(bare)


def test_books_survive_the_way_down_to_the_first_schema_and_back(bare: str) -> None:
    """What a later schema added is gone, but no balance; the books are sound, and the account trades on."""
    market, days = world.market(), SESSIONS[:8]
    world.act(market, SESSIONS[2], CorporateAction("split", "AAA", 2.0))
    with closing(Ledger(bare)) as ledger:
        replay(ledger, world.spec(), world.targets(), days[:4], market)
        before = ledger.run(lambda connection: ledger.balances(connection, "sim", 1))
    move(bare, SCRIPTS[0])
    with closing(Ledger(bare)) as ledger:
        assert ledger.run(lambda connection: ledger.balances(connection, "sim", 1)) == before
        assert [one for one in verify(ledger) if one.count and one.name != "what is written stays"] == []
        replay(ledger, world.spec(), world.targets(), days, market)
        whole = ledger.run(lambda connection: ledger.balances(connection, "sim", 1))
        replay(ledger, world.spec(id="other"), world.targets(), days, market)
        assert whole == ledger.run(lambda connection: ledger.balances(connection, "other", 1))
        assert whole != before


def test_the_broker_takes_over_what_the_ledger_noted(url: str) -> None:
    move(url, "0001")
    execute(
        url,
        "insert into ledger.account (id, broker, mode, opened, capital) values "
        "('a', 'b', 'simulated', '2024-01-02', 1);"
        "insert into ledger.activity values ('a', 1, 'split:AAA', 'split', '2024-01-02', 'AAA', '1'),"
        "('a', 1, 'delisting:AAA', 'delisting', '2024-01-02', 'AAA', '1');"
        "insert into broker.book values ('a', '2024-01-02', 1), ('empty', '2024-01-02', 1)",
    )
    assert migrate(url) is True
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        found = dict(connection.execute(sa.select(tables.book.c.account, tables.book.c.acted)).tuples().all())
    assert found == {"a": ["split:AAA"], "empty": []}


def test_head_is_the_last_script() -> None:
    assert ScriptDirectory.from_config(CONFIG).get_current_head() == HEAD == SCRIPTS[-1]
    assert len(SCRIPTS) == len(list((Path(next(iter(migrations.__path__))) / "versions").glob("v*.py")))


def test_a_packaged_server_is_another_one(server: str, packaged_server: str) -> None:
    """It is the machine's own Postgres, runs without rights and is reached by nobody else."""
    assert packaged_server != server
    engine = sa.create_engine(packaged_server, poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("show listen_addresses")) == ""
        assert connection.scalar(sa.text("show unix_socket_directories")) in packaged_server
        folder = Path(str(connection.scalar(sa.text("show data_directory"))))
    assert folder.stat().st_uid != 0
    assert folder.parent.stat().st_mode & 0o077 == 0


def test_the_newest_packaged_server_is_taken_and_none_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PACKAGED", tmp_path / "none")
    assert database.newest_packaged() is None
    monkeypatch.setattr(database, "PACKAGED", tmp_path)
    for name in ("9", "15", "16beta"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin" / "initdb").touch()
    (tmp_path / "17" / "bin").mkdir(parents=True)  # its clients only
    assert database.newest_packaged() == tmp_path / "15" / "bin"


@pytest.fixture(scope="module")
def shared(server: str) -> Iterator[str]:
    """One migrated database for tests that cannot change anything in it."""
    yield from fresh(server, "template template_ledger")


@pytest.mark.parametrize("table", tables.APPEND_ONLY, ids=lambda table: table.name)
@pytest.mark.parametrize("how", ["update", "delete", "truncate"])
def test_what_is_written_stays(shared: str, table: sa.Table, how: str) -> None:
    statement = {
        "update": sa.update(table).values({table.columns.values()[0].name: None}),
        "delete": sa.delete(table),
        "truncate": sa.text("truncate " + str(table)),
    }[how]
    engine = sa.create_engine(shared, poolclass=sa.NullPool)
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(statement)
