"""The books proven from the journal: every balance computed again, in SQL and by hand, and every sum that must agree.

All accounts and all their generations are looked at, in one snapshot and without changing anything. A check finds
*differences*, one sentence each; books without any are sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import REGCLASS

from pas_dagster.ledger import journal, tables, units
from pas_dagster.ledger.journal import CASH, Balances
from pas_dagster.ledger.store import Ledger

SHOWN = 5  # differences of a check that are told
BUFFER = 20_000  # rows read at a time
Books = dict[tuple[str, int], Balances]  # by account and generation


class Check(NamedTuple):
    """What was checked, how much of it there was, how many differences there are, and the first of them."""

    name: str
    seen: str
    count: int
    differences: tuple[str, ...]


def verify(ledger: Ledger) -> list[Check]:
    """Make every check. Raises only what the database does; differences are values."""
    # A snapshot is enough for reading, and does not make others repeat their work as SERIALIZABLE might.
    with ledger.engine.connect() as plain:
        return checks(plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True))


def checks(connection: sa.Connection) -> list[Check]:
    """Make every check in the transaction of a connection, which has to see one state throughout."""
    found = [_ask(connection, *one) for one in QUERIES]
    return [*found, *_by_hand(connection), _append_only(connection), _counters(connection)]


def _ask(connection: sa.Connection, name: str, seen: str, query: str) -> Check:
    """Run a query whose rows are differences, one column with the sentence; `seen` counts what it looked at."""
    rows = connection.execute(
        sa.text(
            "with differences(sentence) as (" + query + ") "  # noqa: S608  (constants of this module)
            "select sentence, count(*) over () from differences order by sentence limit :shown"
        ),
        {"shown": SHOWN},
    ).all()
    looked_at = connection.scalar(sa.text("select " + seen))
    return Check(name, str(looked_at), rows[0][1] if rows else 0, tuple(row[0] for row in rows))


def _count(table: str, noun: str) -> str:
    """SQL for `12,345 noun`."""
    return f"(select to_char(count(*), 'FM999,999,999,990') || ' {noun}' from ledger.{table})"  # noqa: S608


DOUBLE_ENTRY = """
    select format('entries of transaction %s (%s) sum to %s of %s', e.txn, coalesce(t.key, 'unknown'), e.total, e.asset)
    from (select txn, asset, sum(amount) as total from ledger.entry group by txn, asset having sum(amount) <> 0) e
    left join ledger.txn t on t.id = e.txn
    union all
    select format('entry of %s in %s belongs to transaction %s, which does not exist', e.sleeve, e.asset, e.txn)
    from ledger.entry e left join ledger.txn t on t.id = e.txn where t.id is null
"""
# What a transaction says about itself against what its entries do.
HEADERS = """
    select format('transaction %s (%s) says %s shares and %s cash, its entries %s and %s',
                  t.id, t.key, t.shares, t.cash, coalesce(s.amount, 0), coalesce(c.amount, 0))
    from (
        select id, key, sleeve, symbol, quantity as shares,
               case when quantity > 0 then -notional else notional end - fee as cash
        from ledger.txn where kind in ('fill', 'cross', 'foreign')
        union all
        select id, key, sleeve, '', 0, notional from ledger.txn where kind = 'deposit'
        union all
        select id, key, sleeve, symbol, quantity, 0 from ledger.txn where kind = 'adopt'
    ) t
    left join ledger.entry s on s.txn = t.id and s.sleeve = t.sleeve and s.asset = t.symbol
    left join ledger.entry c on c.txn = t.id and c.sleeve = t.sleeve and c.asset = '$'
    where coalesce(s.amount, 0) <> t.shares or coalesce(c.amount, 0) <> t.cash
"""
BALANCES = """
    select format('%s (generation %s): %s of %s holds %s, the journal says %s', account, generation, asset, sleeve,
                  coalesce(b.amount, 0), coalesce(j.amount, 0))
    from ledger.balance b
    full join (
        select t.account, t.generation, e.sleeve, e.asset, sum(e.amount) as amount
        from ledger.entry e join ledger.txn t on t.id = e.txn
        group by t.account, t.generation, e.sleeve, e.asset
    ) j using (account, generation, sleeve, asset)
    where coalesce(b.amount, 0) <> coalesce(j.amount, 0)
"""
CLOSED = """
    select format('%s (generation %s): all balances of %s come to %s, not 0', account, generation, asset, sum(amount))
    from ledger.balance group by account, generation, asset having sum(amount) <> 0
"""
ALLOCATIONS = """
    select format('order %s: %s asked and %s filled, its sleeves have %s and %s', o.cid, o.quantity, o.filled,
                  coalesce(a.quantity, 0), coalesce(a.filled, 0))
    from ledger.orders o
    left join (select cid, sum(quantity) as quantity, sum(filled) as filled from ledger.alloc group by cid) a
        using (cid)
    where o.quantity <> coalesce(a.quantity, 0) or o.filled <> coalesce(a.filled, 0)
"""
STATES = """
    select format('order %s is %s with %s of %s filled', cid, state, filled, quantity)
    from ledger.orders
    where (state = 'filled' and filled <> quantity) or (state in ('planned', 'unsent', 'rejected') and filled <> 0)
    union all
    select format('order %s is %s, its last event says %s', o.cid, o.state, e.state)
    from ledger.orders o
    join (select distinct on (cid) cid, state from ledger.order_event order by cid, id desc) e using (cid)
    where o.state <> e.state
    union all
    select format('batch %s of %s is done, but its order %s is %s', b.key, b.account, o.cid, o.state)
    from ledger.orders o join ledger.batch b on b.id = o.batch
    where b.state = 'done' and o.state in ('planned', 'submitting', 'working')
"""
_LEGAL = ", ".join(f"('{before}', '{state}')" for state, befores in tables.BEFORE.items() for before in befores)
STEPS = """
    select format('order %s went from %s to %s', cid, before, state)
    from (
        select cid, state, coalesce(lag(state) over (partition by cid order by id), 'planned') as before
        from ledger.order_event
    ) e
    where (before, state) not in (<legal>)
    union all
    select format('order %s is %s, which no order can be', cid, state) from ledger.orders
    where state not in ('planned', 'submitting', 'working', 'filled', 'expired', 'rejected', 'unsent')
    union all
    select format('batch %s of %s is %s, which no batch can be', key, account, state) from ledger.batch
    where state not in ('open', 'done', 'halted')
""".replace("<legal>", _LEGAL)
EXECUTIONS = """
    select format('order %s has %s filled, its executions come to %s', o.cid, o.filled, coalesce(x.quantity, 0))
    from ledger.orders o
    left join (select cid, sum(quantity) as quantity from ledger.execution group by cid) x using (cid)
    where o.filled <> coalesce(x.quantity, 0)
    union all
    select format('execution %s belongs to order %s, which does not exist', x.id, x.cid)
    from ledger.execution x left join ledger.orders o using (cid) where o.cid is null
"""
# Executions, and what the journal booked for them: in all, and for each sleeve of the order.
BOOKED = """
    select format('execution %s: %s shares for %s, fee %s; booked %s for %s, fee %s', id, x.quantity, x.notional, x.fee,
                  coalesce(t.quantity, 0), coalesce(t.notional, 0), coalesce(t.fee, 0))
    from (
        select x.id, x.notional, x.fee, case o.side when 'buy' then x.quantity else -x.quantity end as quantity
        from ledger.execution x join ledger.orders o using (cid)
    ) x
    full join (
        select execution as id, sum(quantity) as quantity, sum(notional) as notional, sum(fee) as fee
        from ledger.txn where kind = 'fill' group by execution
    ) t using (id)
    where x.quantity is distinct from t.quantity or x.notional is distinct from t.notional
        or x.fee is distinct from t.fee
    union all
    select format('order %s: sleeve %s has %s of it, the journal booked %s', cid, sleeve, coalesce(a.filled, 0),
                  coalesce(t.quantity, 0))
    from ledger.alloc a
    full join (
        select cid, sleeve, sum(abs(quantity)) as quantity from ledger.txn where kind = 'fill' group by cid, sleeve
    ) t using (cid, sleeve)
    where coalesce(a.filled, 0) <> coalesce(t.quantity, 0)
    union all
    select format('transaction %s (%s) is in the books of %s (generation %s), its order in those of %s (generation %s)',
                  t.id, t.key, t.account, t.generation, b.account, b.generation)
    from ledger.txn t join ledger.orders o using (cid) join ledger.batch b on b.id = o.batch
    where (t.account, t.generation) <> (b.account, b.generation)
"""
# What was seen at the broker besides our fills, and what the journal booked for it: `kind:id:sleeve` are the keys of
# its transactions. What was there before the account was opened is in its opening balance.
OUTSIDE = """
    select format('%s %s (%s) of %s (generation %s): %s shares and %s cash seen, %s and %s booked', s.kind, s.id,
                  s.symbol, s.account, s.generation, s.quantity, s.cash, coalesce(b.quantity, 0), coalesce(b.cash, 0))
    from ledger.seen s
    left join (
        select t.account, t.generation,
               case when t.kind = 'foreign' then t.execution
                   when right(t.key, length(t.sleeve) + 1) = ':' || t.sleeve
                   then substr(left(t.key, -length(t.sleeve) - 1), length(t.kind) + 2)
               end as id,
               sum(e.amount) filter (where e.asset <> '$') as quantity,
               sum(e.amount) filter (where e.asset = '$') as cash
        from ledger.txn t join ledger.entry e on e.txn = t.id
        where t.kind not in ('fill', 'cross', 'transfer', 'adopt')
            and (e.sleeve not like '@%' or e.sleeve = '@treasury')
        group by 1, 2, 3
    ) b using (account, generation, id)
    where s.kind not like 'before%'
        and (s.quantity <> coalesce(b.quantity, 0) or s.cash <> coalesce(b.cash, 0))
    union all
    select format('transaction %s (%s) books trade %s of another hand, which was not seen', t.id, t.key, t.execution)
    from ledger.txn t left join ledger.seen s on (s.account, s.generation, s.id, s.kind)
        = (t.account, t.generation, t.execution, t.kind)
    where t.kind = 'foreign' and s.id is null
"""
# Shares that open sells still ask of a sleeve are reserved by the order itself: they have to be there.
RESERVED = """
    select format('%s (generation %s): open sells want %s %s of %s, which holds %s', o.account, o.generation,
                  o.wanted, o.symbol, o.sleeve, coalesce(b.amount, 0))
    from (
        select b.account, b.generation, a.sleeve, o.symbol, sum(a.quantity - a.filled) as wanted
        from ledger.orders o join ledger.batch b on b.id = o.batch join ledger.alloc a using (cid)
        where o.side = 'sell' and o.state in ('planned', 'submitting', 'working')
        group by b.account, b.generation, a.sleeve, o.symbol
    ) o
    left join ledger.balance b on (b.account, b.generation, b.sleeve, b.asset)
        = (o.account, o.generation, o.sleeve, o.symbol)
    where o.wanted > coalesce(b.amount, 0)
"""
QUERIES = (
    ("double entry", _count("txn", "transactions") + " || ', ' || " + _count("entry", "entries"), DOUBLE_ENTRY),
    ("transactions and their entries", _count("txn", "transactions"), HEADERS),
    ("balances and the journal", _count("balance", "balances"), BALANCES),
    ("both sides of the books", _count("balance", "balances"), CLOSED),
    ("orders and their sleeves", _count("alloc", "parts of orders"), ALLOCATIONS),
    ("orders and their events", _count("order_event", "events"), STATES),
    ("orders from state to state", _count("order_event", "events"), STEPS),
    ("orders and their executions", _count("execution", "executions"), EXECUTIONS),
    ("executions and the journal", _count("execution", "executions"), BOOKED),
    ("things seen at the broker", _count("seen", "things"), OUTSIDE),
    ("open sells and holdings", _count("orders", "orders"), RESERVED),
)


def _by_hand(connection: sa.Connection) -> Iterator[Check]:
    """Balances and positions once more, added up row by row in Python."""
    entry, txn, balance = tables.entry, tables.txn, tables.balance
    query = sa.select(txn.c.account, txn.c.generation, entry.c.sleeve, entry.c.asset, entry.c.amount)
    computed: Books = {}
    read = 0
    for account, generation, sleeve, asset, amount in _stream(connection, query.join(txn, txn.c.id == entry.c.txn)):
        read += 1
        held = computed.setdefault((account, generation), {}).setdefault(sleeve, {})
        held[asset] = held.get(asset, 0) + amount
    kept: Books = {}
    columns = [balance.c[name] for name in ("account", "generation", "sleeve", "asset", "amount")]
    for account, generation, sleeve, asset, amount in _stream(connection, sa.select(*columns)):
        kept.setdefault((account, generation), {}).setdefault(sleeve, {})[asset] = amount
    yield _told("balances, added up by hand", f"{read:,} entries", _balance_differences(kept, computed))
    positions = sum(len(journal.totals(one)[0]) for one in kept.values())
    yield _told("positions and cash, added up by hand", f"{positions:,} positions", _total_differences(kept, computed))


def _stream(connection: sa.Connection, query: sa.Select) -> Iterable[sa.Row]:
    return connection.execution_options(stream_results=True, max_row_buffer=BUFFER).execute(query)


def _balance_differences(kept: Books, computed: Books) -> Iterator[str]:
    for own in sorted(kept.keys() | computed.keys()):
        ours, theirs = kept.get(own, {}), computed.get(own, {})
        for sleeve in sorted(ours.keys() | theirs.keys()):
            left, right = ours.get(sleeve, {}), theirs.get(sleeve, {})
            for asset in sorted(left.keys() | right.keys()):
                one, other = left.get(asset, 0), right.get(asset, 0)
                if one != other:
                    yield f"{_of(own)}: {asset} of {sleeve} holds {one}, the journal says {other}"


def _total_differences(kept: Books, computed: Books) -> Iterator[str]:
    for own in sorted(kept.keys() | computed.keys()):
        (ours, cash), (theirs, other_cash) = (journal.totals(books.get(own, {})) for books in (kept, computed))
        for symbol in sorted(ours.keys() | theirs.keys()):
            one, other = ours.get(symbol, 0), theirs.get(symbol, 0)
            if one != other:
                one_text, other_text = units.shares_text(one), units.shares_text(other)
                yield f"{_of(own)}: the position in {symbol} is {one_text}, the journal says {other_text}"
        if cash != other_cash:
            pair = f"{units.money_text(cash)}, the journal says {units.money_text(other_cash)}"
            yield f"{_of(own)}: the cash ({CASH}) is {pair}"


def _of(own: tuple[str, int]) -> str:
    return f"{own[0]} (generation {own[1]})"


def _append_only(connection: sa.Connection) -> Check:
    """Nothing that must stay was changed or deleted, and what forbids it is in force.

    The server counts changed and deleted rows since it was last started after a crash, so this sees what was done
    since then, however it was done, and also what was tried and taken back.
    """
    names = [table.name for table in tables.APPEND_ONLY]
    rows = connection.execute(
        sa.text(
            "select c.relname, coalesce(bool_or(t.tgenabled in ('O', 'A')), false), "
            "pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_deleted(c.oid) "
            "from pg_class c left join pg_trigger t on t.tgrelid = c.oid and t.tgname = 'append_only' "
            "where c.relnamespace = 'ledger'::regnamespace and c.relname = any(:names) group by c.relname, c.oid"
        ),
        {"names": names},
    ).all()
    return _told("what is written stays", f"{len(rows)} tables", _changes(rows))


def _changes(rows: Iterable[sa.Row]) -> Iterator[str]:
    for name, guarded, updated, deleted in sorted(map(tuple, rows)):
        if not guarded:
            yield f"the trigger that keeps ledger.{name} from being changed is missing or off"
        if updated or deleted:
            yield f"in ledger.{name} {updated} rows were changed and {deleted} deleted"


def _counters(connection: sa.Connection) -> Check:
    """No number that was given is above its counter: otherwise it would be given again."""
    counted = {"txn": "ledger.transaction_id"}
    found = []
    numbered = (tables.txn, tables.batch, tables.order_event, tables.halt, tables.arm, tables.comparison)
    for table in numbered:
        counter = counted.get(table.name)
        name = sa.literal(counter) if counter else sa.func.pg_get_serial_sequence(str(table), "id")
        last = sa.func.pg_sequence_last_value(sa.cast(sa.cast(name, sa.Text), REGCLASS))
        given, highest = connection.execute(sa.select(last, sa.func.max(table.c.id))).one()
        if (highest or 0) > (given or 0):
            found.append(f"ledger.{table.name} goes up to {highest}, its counter stands at {given or 0}")
    return _told("numbers and their counters", f"{len(numbered)} counters", found)


def _told(name: str, seen: str, differences: Iterable[str]) -> Check:
    found = list(differences)
    return Check(name, seen, len(found), tuple(found[:SHOWN]))
