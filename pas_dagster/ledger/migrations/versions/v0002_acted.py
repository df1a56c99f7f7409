"""The simulated broker notes which corporate actions of its session it has applied, to find those announced later."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

# Broker and ledger have always applied the same actions, so the ledger's list is the broker's as well.
CHANGES = """
ALTER TABLE broker.book ADD COLUMN acted TEXT[] DEFAULT '{}' NOT NULL;
UPDATE broker.book SET acted = ARRAY(
    SELECT activity.id
    FROM ledger.activity
    JOIN ledger.account ON account.id = activity.account AND account.generation = activity.generation
    WHERE account.id = book.account AND activity.session = book.session AND activity.kind <> 'delisting'
);
"""


def upgrade() -> None:
    op.execute(CHANGES)


def downgrade() -> None:
    op.execute("ALTER TABLE broker.book DROP COLUMN acted")
