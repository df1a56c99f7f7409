"""Tables of schema `ledger` (the books) and schema `broker` (the simulated broker's own books). BIGINT only."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY

LEDGER = "ledger"
BROKER = "broker"
ORDER_STATES = ("planned", "submitting", "working", "filled", "expired", "rejected", "unsent")
TERMINAL = ("filled", "expired", "rejected", "unsent")
# From what to what an order goes; it begins as planned, and nothing follows its end.
BEFORE = {
    "planned": ("planned",),
    "submitting": ("planned", "submitting"),
    "working": ("submitting", "working"),
    "filled": ("working",),
    "expired": ("working",),
    "rejected": ("submitting", "working"),
    "unsent": ("planned", "submitting"),
}

# The tables of a bulk load have no foreign keys: checked row by row they double its time. Statement triggers of the
# first migration check the same once per insert: `REFERENCES`, and that entries sum to zero.
REFERENCES = (
    ("intent", "batch", "batch", "id"),
    ("orders", "batch", "batch", "id"),
    ("alloc", "cid", "orders", "cid"),
    ("execution", "cid", "orders", "cid"),
    ("order_event", "cid", "orders", "cid"),
    ("entry", "txn", "txn", "id"),
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
transaction_ids = Sequence("transaction_id", schema=LEDGER, metadata=metadata, data_type=BigInteger)


def _amount(name: str, default: str | None = None) -> Column:
    return Column(name, BigInteger, nullable=False, server_default=default)


def _created() -> Column:
    return Column("created", DateTime(timezone=True), nullable=False, server_default=func.now())


account = Table(
    "account",
    metadata,
    Column("id", Text, primary_key=True),
    Column("broker", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("generation", Integer, nullable=False, server_default="1"),
    Column("opened", Date, nullable=False),
    _amount("capital"),
    Column("halted", DateTime(timezone=True)),
    Column("halt_reason", Text),
    _created(),
    Column("broker_account", Text),
    CheckConstraint("mode in ('simulated', 'paper', 'live')", name="mode"),
    schema=LEDGER,
)

sleeve = Table(
    "sleeve",
    metadata,
    Column("account", Text, ForeignKey(account.c.id), nullable=False),
    Column("name", Text, nullable=False),
    _created(),
    PrimaryKeyConstraint("account", "name"),
    schema=LEDGER,
)

batch = Table(
    "batch",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("account", Text, ForeignKey(account.c.id), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("session", Date, nullable=False),
    Column("key", Text, nullable=False),
    Column("plan_hash", Text, nullable=False),
    Column("fill_hash", Text),
    Column("symbols", ARRAY(Text), nullable=False),
    Column("state", Text, nullable=False),
    Column("valid_until", DateTime(timezone=True), nullable=False),
    _created(),
    CheckConstraint("state in ('open', 'done', 'halted')", name="state"),
    UniqueConstraint("account", "generation", "key"),
    Index(None, "account", "generation", "session"),
    schema=LEDGER,
)

intent = Table(
    "intent",
    metadata,
    Column("batch", BigInteger, nullable=False),
    Column("sleeve", Text, nullable=False),
    Column("symbol", Text, nullable=False),
    _amount("quantity"),
    _amount("price"),
    _amount("crossed"),
    Column("why", Text, nullable=False),
    PrimaryKeyConstraint("batch", "sleeve", "symbol"),
    schema=LEDGER,
)

orders = Table(
    "orders",
    metadata,
    Column("cid", Text, primary_key=True),
    Column("batch", BigInteger, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("side", Text, nullable=False),
    _amount("quantity"),
    _amount("price"),
    Column("attempt", Integer, nullable=False),
    Column("state", Text, nullable=False),
    _amount("filled", "0"),
    Column("broker_id", Text),
    Column("why", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    CheckConstraint("side in ('buy', 'sell')", name="side"),
    CheckConstraint("quantity > 0 and filled between 0 and quantity", name="quantity"),
    CheckConstraint("state in ('" + "', '".join(ORDER_STATES) + "')", name="state"),
    Index(None, "batch"),
    schema=LEDGER,
)

alloc = Table(
    "alloc",
    metadata,
    Column("cid", Text, nullable=False),
    Column("sleeve", Text, nullable=False),
    _amount("quantity"),
    _amount("filled", "0"),
    CheckConstraint("quantity > 0 and filled between 0 and quantity", name="quantity"),
    PrimaryKeyConstraint("cid", "sleeve"),
    schema=LEDGER,
)

execution = Table(
    "execution",
    metadata,
    Column("id", Text, primary_key=True),
    Column("cid", Text, nullable=False),
    Column("session", Date, nullable=False),
    _amount("quantity"),
    _amount("price"),
    _amount("notional"),
    _amount("fee"),
    Column("at", DateTime(timezone=True)),
    CheckConstraint("quantity > 0 and price > 0", name="positive"),
    Index(None, "cid"),
    schema=LEDGER,
)

activity = Table(
    "activity",
    metadata,
    Column("account", Text, ForeignKey(account.c.id), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("session", Date, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("new_symbol", Text),
    PrimaryKeyConstraint("account", "generation", "id"),
    schema=LEDGER,
)

txn = Table(
    "txn",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("account", Text, ForeignKey(account.c.id), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("session", Date, nullable=False),
    Column("sleeve", Text, nullable=False),
    Column("symbol", Text, nullable=False),
    _amount("quantity"),
    _amount("price"),
    _amount("notional"),
    _amount("fee"),
    Column("cid", Text, nullable=False),
    Column("execution", Text, nullable=False),
    UniqueConstraint("account", "generation", "key"),
    Index(None, "account", "generation", "session"),
    schema=LEDGER,
)

entry = Table(
    "entry",
    metadata,
    Column("txn", BigInteger, nullable=False),
    Column("sleeve", Text, nullable=False),
    Column("asset", Text, nullable=False),
    _amount("amount"),
    PrimaryKeyConstraint("txn", "sleeve", "asset"),
    schema=LEDGER,
)

balance = Table(
    "balance",
    metadata,
    Column("account", Text, ForeignKey(account.c.id), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("sleeve", Text, nullable=False),
    Column("asset", Text, nullable=False),
    _amount("amount"),
    CheckConstraint("amount >= 0 or asset = '$' or sleeve like '@%' or sleeve = 'unassigned'", name="no_short"),
    PrimaryKeyConstraint("account", "generation", "sleeve", "asset"),
    schema=LEDGER,
)

mark = Table(
    "mark",
    metadata,
    Column("batch", BigInteger, ForeignKey(batch.c.id), primary_key=True),
    _amount("equity"),
    _amount("cash"),
    _amount("gross"),
    Column("positions", Integer, nullable=False),
    _amount("traded"),
    _amount("fees"),
    _amount("net_flow"),
    schema=LEDGER,
)

order_event = Table(
    "order_event",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("cid", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index(None, "cid"),
    schema=LEDGER,
)

halt = Table(
    "halt",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("account", Text, ForeignKey(account.c.id), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("who", Text, nullable=False),
    Column("halted", Boolean, nullable=False),
    Column("why", Text, nullable=False),
    schema=LEDGER,
)

arm = Table(
    "arm",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("account", Text, ForeignKey(account.c.id), nullable=False),
    Column("broker_account", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("until", DateTime(timezone=True), nullable=False),
    Column("who", Text, nullable=False),
    CheckConstraint("until >= at", name="until"),
    schema=LEDGER,
)

seen = Table(
    "seen",
    metadata,
    Column("account", Text, ForeignKey(account.c.id), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("symbol", Text, nullable=False),
    _amount("quantity"),
    _amount("cash"),
    PrimaryKeyConstraint("account", "generation", "id"),
    schema=LEDGER,
)

comparison = Table(
    "comparison",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("account", Text, ForeignKey(account.c.id), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("session", Date, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("subject", Text, nullable=False),
    _amount("ours"),
    _amount("theirs"),
    Column("verdict", Text, nullable=False),
    Index(None, "account", "generation", "session"),
    schema=LEDGER,
)

APPEND_ONLY = (txn, entry, execution, activity, order_event, halt, arm, seen, comparison)

book = Table(
    "book",
    metadata,
    Column("account", Text, primary_key=True),
    Column("session", Date, nullable=False),
    _amount("cash"),
    Column("acted", ARRAY(Text), nullable=False, server_default="{}"),
    schema=BROKER,
)

position = Table(
    "position",
    metadata,
    Column("account", Text, nullable=False),
    Column("symbol", Text, nullable=False),
    _amount("quantity"),
    CheckConstraint("quantity > 0", name="quantity"),
    PrimaryKeyConstraint("account", "symbol"),
    schema=BROKER,
)

placed = Table(
    "placed",
    metadata,
    Column("cid", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("session", Date, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("side", Text, nullable=False),
    _amount("quantity"),
    _amount("filled"),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index(None, "account", "session"),
    schema=BROKER,
)

done = Table(
    "done",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("cid", Text, nullable=False),
    Column("session", Date, nullable=False),
    _amount("quantity"),
    _amount("price"),
    _amount("notional"),
    _amount("fee"),
    Column("at", DateTime(timezone=True)),
    Index(None, "account", "session"),
    schema=BROKER,
)
