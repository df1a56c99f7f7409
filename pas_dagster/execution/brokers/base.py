"""What the executor asks of a broker. Quantities 1e-9 shares, money 1e-6 USD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, NamedTuple, Protocol

from pas_dagster.errors import PasError
from pas_dagster.ledger.records import Execution

State = Literal["working", "filled", "expired", "rejected"]


class BrokerError(PasError):
    """The broker could not be asked, or what it said cannot be used. Nothing is known to have changed."""


@dataclass(frozen=True)
class BrokerAccount:
    """The account as the broker sees it. `blocked`: why it may not trade; None where a broker does not say."""

    id: str
    cash: int
    equity: int | None = None
    buying_power: int | None = None
    blocked: str = ""


@dataclass(frozen=True)
class Clock:
    """The broker's idea of now and of the session it is in."""

    now: datetime
    session: date


class Hours(NamedTuple):
    """When a session opens and closes, aware."""

    session: date
    open: datetime
    close: datetime


class Asset(NamedTuple):
    """What the broker lets one do with a symbol."""

    symbol: str
    tradable: bool
    fractionable: bool


class Ticket(NamedTuple):
    """A market order for one session."""

    cid: str
    session: date
    symbol: str
    side: str
    quantity: int


class BrokerOrder(NamedTuple):
    """An order as the broker knows it."""

    cid: str
    session: date
    symbol: str
    side: str
    quantity: int
    filled: int
    state: str
    reason: str


@dataclass(frozen=True)
class Receipt:
    """The outcome of sending an order: taken, definitely rejected, or unknown (it may be in, it may be not)."""

    outcome: Literal["taken", "rejected", "unknown"]
    order: BrokerOrder | None = None
    reason: str = ""


class Broker(Protocol):
    """One account at one broker. A duplicate client order id is answered with the order that is already there."""

    def account(self) -> BrokerAccount: ...

    def positions(self) -> Mapping[str, int]: ...

    def open_orders(self) -> Sequence[BrokerOrder]: ...

    def find(self, cid: str) -> BrokerOrder | None: ...

    def submit(self, ticket: Ticket) -> Receipt: ...

    def cancel(self, cid: str) -> None: ...

    def executions(self, session: date) -> Sequence[Execution]:
        """All executions of the session so far, in the order they happened."""
        ...

    def clock(self) -> Clock: ...
