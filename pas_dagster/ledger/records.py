"""What one session leaves behind, as plain rows: written the same way for one session or for ten years of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from pas_dagster.ledger.journal import Transaction


class Intent(NamedTuple):
    """What one sleeve wants of one symbol. `quantity` signed; `crossed` >= 0 is what other sleeves took over."""

    sleeve: str
    symbol: str
    quantity: int
    price: int
    crossed: int
    why: str


class Order(NamedTuple):
    """One net order. `shares`: sleeve -> its part of the quantity, in the order of allocation."""

    cid: str
    symbol: str
    side: str
    quantity: int
    price: int
    attempt: int
    shares: tuple[tuple[str, int], ...]
    why: str


class Execution(NamedTuple):
    """A fill as the broker reports it. `at`: when; None where a fill has a session and no time."""

    id: str
    cid: str
    session: date
    quantity: int
    price: int
    notional: int
    fee: int
    at: datetime | None = None


class Activity(NamedTuple):
    """A corporate action that touched the account; `value` is its exact text."""

    id: str
    kind: str
    session: date
    symbol: str
    value: str
    new_symbol: str | None


class Mark(NamedTuple):
    """The account at the session's closes, 1e-6 USD."""

    equity: int
    cash: int
    gross: int
    positions: int
    traded: int
    fees: int
    net_flow: int


class Result(NamedTuple):
    """Where an order stands. `shares`: what each sleeve has of it, in the order of `Order.shares`."""

    state: str
    filled: int
    reason: str
    shares: tuple[int, ...]


@dataclass
class Record:
    """One batch with everything booked in its session. `results` lacks the orders that are still planned."""

    session: date
    key: str
    plan_hash: str
    symbols: Sequence[str]
    valid_until: datetime
    intents: Sequence[Intent] = ()
    orders: Sequence[Order] = ()
    state: str = "open"
    fill_hash: str | None = None
    results: Mapping[str, Result] = field(default_factory=dict)
    executions: Sequence[Execution] = ()
    activities: Sequence[Activity] = ()
    transactions: list[Transaction] = field(default_factory=list)
    mark: Mark | None = None


def batch_key(session: date) -> str:
    return f"{session}/rebalance"
