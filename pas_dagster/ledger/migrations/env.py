"""What alembic runs: the migrations, on the connection that `migrate` holds."""

from __future__ import annotations

from alembic import context

from pas_dagster.ledger.tables import LEDGER, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table_schema=LEDGER,
    include_schemas=True,
)
with context.begin_transaction():
    context.run_migrations()
