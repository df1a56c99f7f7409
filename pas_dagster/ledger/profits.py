"""Average cost, realised and unrealised profit of every sleeve and symbol, from the journal in the order of booking.

Quantities are 1e-9 shares, money is 1e-6 USD, prices are 1e-6 USD per share; all are integers.

* What is bought adds what was paid, fee included, to the `cost` of what is held. What is sold takes its part of the
  cost along, and the proceeds less the fee less that part are `realised`: the average-cost method.
* Only the cost is kept, never an average. The part that n of N shares take along is cost * n / N **rounded towards
  zero**; the rest stays with the shares that stay, and the last ones take all. So nothing is lost by rounding, and

      realised + unrealised == cash + carried + market value

  holds to the unit for every sleeve and symbol, where `cash` is all that was received for shares less all that was
  paid for them, and `carried` is cost that left with shares less cost that arrived with them, without any cash.
* A split leaves the cost as it is; cash paid in it for broken shares is realised. A symbol change, an exchange of one
  symbol for another and a move of shares from sleeve to sleeve carry the cost along: one side's `carried` is the
  other's, negative. A broker may tell of what goes and what comes separately; of one session and kind they belong
  together, in a sleeve. A position that was there before its account was ours arrives at its price of that day.
* A delisting sells at what it paid. Shares that leave for nothing realise the loss of their cost.
* Shares that arrive for nothing (a spin-off, a journal) cost 0 and are counted in `costless`.
* Dividends, and any other cash without shares, are `income`, under the symbol they name or under none (`""`). Deposits
  and transfers are capital and no income.
* A short position is one with a negative quantity, and its cost is negative: what was received for it. Selling adds to
  it and buying back realises. A trade through zero is divided by quantity: what closes is realised, the rest opens.

Crosses between sleeves are trades of both, at the price of the cross. Trades of another hand are trades.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from itertools import groupby
from typing import NamedTuple

import sqlalchemy as sa

from pas_dagster.ledger import tables, units
from pas_dagster.ledger.journal import CASH, Entry, Transaction, is_sleeve

TRADES = ("fill", "cross", "foreign")  # what their header says is all there is to know
RESHAPING = ("split", "symbol_change", "shares")  # what goes may come back in another form
CAPITAL = ("deposit", "withdrawal", "transfer")  # cash that is put in or taken out, not earned


@dataclass(slots=True)
class Profit:
    """One symbol in one sleeve: what is held, what it cost, and what came of what was held before.

    `quantity`: signed. `cost`: of what is held, fees included; negative for a short. `income`: dividends. `fees`: paid
    in trades, and already in the cost and the proceeds. `cash`: received for shares less paid for them, fees included,
    without income. `carried`: cost that left with shares less cost that arrived with them. `costless`: shares that
    arrived for nothing, in all and as they were counted then.
    """

    quantity: int = 0
    cost: int = 0
    realised: int = 0
    income: int = 0
    fees: int = 0
    cash: int = 0
    carried: int = 0
    costless: int = 0

    def average(self) -> Fraction | None:
        """The average cost of a share in 1e-6 USD, exact; None when nothing is held."""
        return Fraction(self.cost * units.SHARE, self.quantity) if self.quantity else None

    def value(self, price: int) -> int:
        """What is held at a price, rounded towards zero."""
        return units.value(self.quantity, price)

    def unrealised(self, price: int) -> int:
        """What would be realised at a price without a fee."""
        return self.value(price) - self.cost

    def _exchange(self, quantity: int, cash: int) -> None:
        """Change shares against cash: `quantity` > 0 came and `cash` < 0 went, or the other way round."""
        held = self.quantity
        self.quantity = held + quantity
        if held == 0 or (held > 0) == (quantity > 0):
            self.cost -= cash
            return
        size, closed = abs(held), abs(quantity)
        part = _part(self.cost, closed, size) if closed < size else self.cost
        received = cash if closed <= size else _part(cash, size, closed)
        self.realised += received - part
        self.cost -= part + cash - received

    def _trade(self, quantity: int, cash: int, fee: int) -> None:
        self._exchange(quantity, cash)
        self.cash += cash
        self.fees += fee

    def _leave(self, quantity: int) -> int:
        """Let shares go with their part of the cost, and return that."""
        closed, size = min(abs(quantity), abs(self.quantity)), abs(self.quantity)
        cost = _part(self.cost, closed, size)
        self._exchange(quantity, cost)
        self.carried += cost
        return cost

    def _arrive(self, quantity: int, cost: int) -> None:
        """Take shares with what they cost elsewhere."""
        self._exchange(quantity, -cost)
        self.carried -= cost

    def _receive(self, quantity: int, cash: int) -> None:
        if not cash and self.quantity * quantity >= 0:
            self.costless += abs(quantity)
        self._trade(quantity, cash, 0)


Key = tuple[str, str]  # sleeve, symbol
Profits = dict[Key, Profit]


def profits(transactions: Iterable[Transaction]) -> Profits:
    """The profit of every sleeve and symbol that the transactions touch, in the order in which they are given."""
    books = _Books()
    for one in transactions:
        if one.kind in TRADES:
            cash = (-one.notional if one.quantity > 0 else one.notional) - one.fee
            books.of(one.sleeve, one.symbol)._trade(one.quantity, cash, one.fee)
        else:
            changes = tuple(entry for entry in one.entries if is_sleeve(entry[0]))
            head = (one.kind, one.session, one.sleeve, one.symbol, one.notional, one.fee)
            books.book(_Event(*head, changes))
    return books.close()


def total(found: Mapping[Key, Profit], prices: Mapping[str, int]) -> int:
    """Realised and unrealised profit and income of everything; `KeyError` when something held has no price."""
    return sum(
        one.realised + one.income + (one.unrealised(prices[symbol]) if one.quantity else 0)
        for (_, symbol), one in found.items()
    )


def load(connection: sa.Connection, account: str, generation: int, until: date | None = None) -> Profits:
    """`profits` of an account's generation as the journal has it, up to and including a session if one is given.

    Two queries, half a million transactions in about two seconds. Run it in a transaction that sees one state.
    """
    numbers, trades = _trades(connection, account, generation, until)
    books = _Books()
    done = 0
    for number, event in _events(connection, account, generation, until):
        upto = bisect_left(numbers, number, done)
        books.trade(trades[done:upto])
        books.book(event)
        done = upto
    books.trade(trades[done:])
    return books.close()


class _Event(NamedTuple):
    """A transaction that is no plain trade, with what it changed in sleeves."""

    kind: str
    session: date
    sleeve: str
    symbol: str
    notional: int
    fee: int
    changes: tuple[Entry, ...]


Trade = tuple[str, str, int, int, int]  # sleeve, symbol, quantity, cash, fee


def _part(amount: int, part: int, whole: int) -> int:
    """The part of an amount that falls on `part` of `whole`, rounded towards zero."""
    return amount * part // whole if amount >= 0 else -(-amount * part // whole)


class _Books:
    """Profits as they grow, and the cost of shares that left in a session and may still arrive in another form."""

    def __init__(self) -> None:
        self.found: Profits = {}
        self.session: date | None = None
        self.transit: dict[tuple[str, str], list[tuple[Profit, int]]] = {}  # by sleeve and kind

    def of(self, sleeve: str, symbol: str) -> Profit:
        one = self.found.get((sleeve, symbol))
        if one is None:
            one = self.found[sleeve, symbol] = Profit()
        return one

    def trade(self, trades: Iterable[Trade]) -> None:
        for sleeve, symbol, quantity, cash, fee in trades:
            self.of(sleeve, symbol)._trade(quantity, cash, fee)

    def book(self, event: _Event) -> None:
        if event.session != self.session:
            self.close()
            self.session = event.session
        cash = {sleeve: amount for sleeve, asset, amount in event.changes if asset == CASH}
        shares = [change for change in event.changes if change[1] != CASH]
        if event.fee and shares:
            self.of(event.sleeve, event.symbol).fees += event.fee
        for sleeve, symbol, quantity in self._carry_all(shares, bool(cash)):
            paid = cash.pop(sleeve, 0) if symbol == event.symbol and event.kind != "split" else 0
            self._change(event, sleeve, symbol, quantity, paid)
        for sleeve, amount in cash.items():
            self._earn(event, sleeve, amount, touched=bool(shares))

    def close(self) -> Profits:
        """Realise the loss of what left and did not come back, and return all profits."""
        for waiting in self.transit.values():
            for one, cost in waiting:
                one.carried -= cost
                one.realised -= cost
        self.transit.clear()
        return self.found

    def _change(self, event: _Event, sleeve: str, symbol: str, quantity: int, cash: int) -> None:
        """Shares of one symbol in one sleeve came or went, perhaps for cash."""
        one = self.of(sleeve, symbol)
        leaving = one.quantity * quantity < 0
        if event.kind == "split" and one.quantity * (one.quantity + quantity) > 0:
            one.quantity += quantity
        elif event.kind == "adopt":
            one._arrive(quantity, event.notional if quantity > 0 else -event.notional)
        elif cash or event.kind not in RESHAPING:
            one._receive(quantity, cash)
        elif leaving:
            self.transit.setdefault((sleeve, event.kind), []).append((one, one._leave(quantity)))
        elif (sleeve, event.kind) in self.transit:
            one._arrive(quantity, sum(cost for _, cost in self.transit.pop((sleeve, event.kind))))
        else:
            one._receive(quantity, 0)

    def _earn(self, event: _Event, sleeve: str, amount: int, *, touched: bool) -> None:
        """Cash that no shares were given for: of a reshaping it is realised, by itself it is income."""
        if touched:
            one = self.of(sleeve, event.symbol)
            one.realised += amount
            one.cash += amount
        elif event.kind not in CAPITAL:
            self.of(sleeve, event.symbol).income += amount

    def _carry_all(self, shares: Sequence[Entry], paid: bool) -> list[Entry]:
        """Carry cost from shares that leave to shares that arrive with them, and return the changes that do neither.

        Within a sleeve one symbol becomes another; between sleeves a symbol moves, unless it is paid for.
        """
        rest = [entry for group in _groups(shares, 0) for entry in self._carry(group)]
        return rest if paid else [entry for group in _groups(rest, 1) for entry in self._carry(group)]

    def _carry(self, group: list[Entry]) -> list[Entry]:
        """Let the cost go with the shares; the group as it is when nothing in it leaves or nothing arrives."""
        leaving = [entry for entry in group if self.of(*entry[:2]).quantity * entry[2] < 0]
        arriving = [entry for entry in group if entry not in leaving]
        if not leaving or not arriving:
            return group
        pool = sum([self.of(sleeve, symbol)._leave(quantity) for sleeve, symbol, quantity in leaving])
        whole = sum(abs(quantity) for _, _, quantity in arriving)
        for sleeve, symbol, quantity in arriving:
            cost = _part(pool, abs(quantity), whole)
            self.of(sleeve, symbol)._arrive(quantity, cost)
            pool, whole = pool - cost, whole - abs(quantity)
        return []


def _groups(shares: Sequence[Entry], column: int) -> list[list[Entry]]:
    groups: dict[int | str, list[Entry]] = {}
    for entry in shares:
        groups.setdefault(entry[column], []).append(entry)
    return list(groups.values())


def _mine(account: str, generation: int, until: date | None) -> tuple[sa.ColumnElement[bool], ...]:
    txn = tables.txn
    mine = (txn.c.account == account, txn.c.generation == generation)
    return mine if until is None else (*mine, txn.c.session <= until)


def _trades(
    connection: sa.Connection, account: str, generation: int, until: date | None
) -> tuple[list[int], list[Trade]]:
    """Numbers of the trades, and the trades, in order."""
    txn = tables.txn
    cash = sa.case((txn.c.quantity > 0, -txn.c.notional), else_=txn.c.notional) - txn.c.fee
    query = (
        sa.select(txn.c.id, txn.c.sleeve, txn.c.symbol, txn.c.quantity, cash, txn.c.fee)
        .where(*_mine(account, generation, until), txn.c.kind.in_(TRADES))
        .order_by(txn.c.id)
    )
    rows = connection.execute(query).all()
    return [row[0] for row in rows], [(row[1], row[2], row[3], row[4], row[5]) for row in rows]


def _events(
    connection: sa.Connection, account: str, generation: int, until: date | None
) -> Iterator[tuple[int, _Event]]:
    """Everything else that changed a sleeve, with its number, in order."""
    txn, entry = tables.txn, tables.entry
    head = [txn.c[name] for name in ("id", "kind", "session", "sleeve", "symbol", "notional", "fee")]
    query = (
        sa.select(*head, entry.c.sleeve.label("whose"), entry.c.asset, entry.c.amount)
        .join(entry, entry.c.txn == txn.c.id)
        .where(*_mine(account, generation, until), txn.c.kind.not_in(TRADES), entry.c.sleeve.not_like("@%"))
        .order_by(txn.c.id, entry.c.sleeve, entry.c.asset)
    )
    for (number, *said), rows in groupby(connection.execute(query), key=lambda row: tuple(row[:7])):
        yield number, _Event(*said, tuple((row.whose, row.asset, row.amount) for row in rows))
