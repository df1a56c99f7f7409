"""Bring a database to the present schema: `migrate(url)`."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from pas_dagster.ledger.tables import BROKER, LEDGER

HEAD = "0004"
LOCK = 0x7061735F6D696772  # any constant: every caller asks for the same one


def migrate(url: str) -> bool:
    """Apply what is missing and say whether anything was.

    At the head it costs one query. Concurrent callers wait for each other on an advisory lock that ends with the
    transaction, so the second finds the work done. Errors of the server pass through; nothing is half-applied.
    """
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            if version(connection) == HEAD:
                return False
        with engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
            if version(connection) == HEAD:
                return False
            _upgrade(connection)
            return True
    finally:
        engine.dispose()


def version(connection: sa.Connection) -> str | None:
    """The version the database is at; None for one that was never migrated."""
    inspector = sa.inspect(connection)
    if not inspector.has_table("alembic_version", schema=LEDGER):
        return None
    table = sa.table("alembic_version", sa.column("version_num"), schema=LEDGER)
    return connection.scalar(sa.select(table.c.version_num))


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    for schema in (LEDGER, BROKER):
        connection.execute(sa.schema.CreateSchema(schema, if_not_exists=True))
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
