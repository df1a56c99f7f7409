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


class KeyRefusedError(BrokerError):
    """The broker refuses the key: no verdict on any order, and nothing more is sent until a person has looked."""


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


class Quote(NamedTuple):
    """A price per share (1e-6 USD) and when it was quoted."""

    price: int
    at: datetime


def quoted(quotes: Mapping[str, Quote], symbol: str) -> int | None:
    """The price at which a symbol is quoted, where it is."""
    found = quotes.get(symbol)
    return None if found is None else found.price


class NonTrade(NamedTuple):
    """What changed the account without an order: a part of one event, whose parts share the `group`.

    `kind`: dividend, interest, fee, transfer (cash paid in or out), split, symbol_change, shares (any other change of
    shares: a spin-off, a merger, a journal) or other. `quantity` (1e-9 shares, of `symbol`) and `cash` (1e-6 USD) are
    signed changes. A split of 10 into 20 is -10 and +20, or +10; a symbol change is -10 of the old and +10 of the new.
    """

    id: str
    group: str
    kind: str
    day: date
    symbol: str
    quantity: int
    cash: int


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
    """One account at one broker. A duplicate client order id is answered with the order that is already there.

    `auction`: orders rest until the close, where buys are cut to the cash that sells bring; elsewhere sells go first.
    `unique_ids`: the broker refuses a client order id it has seen, so an order may be sent again under its id.
    """

    auction: bool
    unique_ids: bool

    def account(self) -> BrokerAccount: ...

    def positions(self) -> Mapping[str, int]: ...

    def open_orders(self) -> Sequence[BrokerOrder]: ...

    def find(self, cid: str) -> BrokerOrder | None: ...

    def submit(self, ticket: Ticket) -> Receipt: ...

    def cancel(self, cid: str) -> None: ...

    def orders(self, session: date) -> Sequence[BrokerOrder]:
        """Every order of the session, whoever sent it, and every older one that was filled in it."""
        ...

    def executions(self, session: date) -> Sequence[Execution]:
        """All executions of the session so far, in the order they happened."""
        ...

    def non_trades(self, since: date) -> Sequence[NonTrade]:
        """Everything but fills that changed the account on or after a day, in the order it happened."""
        ...

    def clock(self) -> Clock: ...

    def calendar(self, first: date, last: date) -> Sequence[Hours]:
        """Sessions from `first` to `last` with their hours, early closes included."""
        ...

    def asset(self, symbol: str) -> Asset | None:
        """What may be done with a symbol; None when the broker does not know it."""
        ...

    def quotes(self, symbols: Sequence[str]) -> Mapping[str, Quote]:
        """The newest price of each symbol that has one."""
        ...
