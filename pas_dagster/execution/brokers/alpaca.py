"""Alpaca: one paper or live account, through alpaca-py.

Fills come from the account's activities only: they have ids, can be paged and asked for again. Market orders for the
day are sent with a quantity in text, under our own id. Alpaca refuses an id it has seen, so an order whose answer was
lost is found under its id or sent again under the same. What became of a submission is one of three things: taken,
definitely rejected, or unknown; and unknown stays unknown until the broker says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple, Protocol, TypeVar
from urllib.parse import quote

from pas_dagster import calendar
from pas_dagster.execution.brokers import alpaca_activities as activities
from pas_dagster.execution.brokers import alpaca_wire as wire
from pas_dagster.execution.brokers.alpaca_link import ATTEMPTS, DATA, PAPER, Link, Reply, is_local
from pas_dagster.execution.brokers.base import (
    Asset,
    BrokerAccount,
    BrokerError,
    BrokerOrder,
    Clock,
    Hours,
    KeyRefusedError,
    NonTrade,
    Quote,
    Receipt,
    Ticket,
)
from pas_dagster.ledger import units
from pas_dagster.ledger.records import Execution
from pas_dagster.sources.client.clock import Clock as Watch


class _Named(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T")
N = TypeVar("N", bound=_Named)
ORDERS_A_PAGE = 500
ACTIVITIES_A_PAGE = 100
LONGEST_SYMBOLS = 4000  # characters of symbols in one address
EARLY = timedelta(7)
"""So long before its day an entry of the account's history can have been made."""

MOST_PAGES = 2000
CLOSING = timedelta(seconds=10)
"""So long before the close nothing is sent any more: a day order that arrives after it trades the next day."""

_VERDICTS = (400, 403, 404, 409, 422)
_TWIN = re.compile(r"client_?\s?order_?\s?id.*(unique|duplicate|exists)|duplicate.*client_?\s?order_?\s?id", re.I)
_CLOCK_KEEPS = 60.0  # seconds for which the broker's clock is not asked again before an order
_LOOK_AGAIN = 0.25  # seconds until an order that must be there is looked for once more
_PAUSE_BACK = timedelta(microseconds=1)


class _Asked(NamedTuple):
    """The broker's clock, and ours when it was read."""

    now: wire.Now
    at: float


def connect(
    key_id: str,
    secret_key: str,
    base_url: str = PAPER,
    *,
    live: bool = False,
    data_url: str | None = None,
    requests_per_minute: int = 200,
    data_requests_per_minute: int = 200,
    timeout: float = 15.0,
    watch: Watch | None = None,
) -> AlpacaBroker:
    """A broker with links of its own to trading and market data.

    `base_url`: the paper host, the live host with `live`, or a sandbox on this machine. `data_url`: where prices are
    asked for, if not at Alpaca's data host, or at the sandbox when the broker is one. The budgets (requests a minute)
    are those of Alpaca's free plan. Raises `BrokerError` for any other address, for a live account with prices of a
    sandbox, and without a key.
    """
    prices = data_url or (base_url if is_local(base_url.rstrip("/")) else DATA)
    if live and is_local(prices.rstrip("/")):
        raise BrokerError(
            f"A live account trades on the prices of {DATA} only, and data_url is a sandbox; leave it out."
        )
    trading = Link(
        key_id,
        secret_key,
        base_url,
        service="live" if live else "paper",
        requests_per_minute=requests_per_minute,
        timeout=timeout,
        clock=watch,
    )
    data = Link(
        key_id,
        secret_key,
        prices,
        service="data",
        requests_per_minute=data_requests_per_minute,
        timeout=timeout,
        clock=watch,
    )
    return AlpacaBroker(trading, data)


class AlpacaBroker:
    """One account. Everything raises `BrokerError`, and nothing else, when the broker cannot be asked or understood.

    A key that is refused is a `KeyRefusedError` everywhere. `trading`, `data`: the ways to the account and to prices
    (`connect` makes both). Not to be shared by threads.
    """

    auction = False
    unique_ids = True

    def __init__(self, trading: Link, data: Link) -> None:
        self._link = trading
        self._data = data
        self._clock: _Asked | None = None
        self._assets: dict[str, Asset] | None = None
        self._cids: dict[str, str] = {}  # broker's id -> ours
        self._ids: dict[str, str] = {}  # and back

    def __repr__(self) -> str:
        return f"AlpacaBroker({self._link.url!r})"

    def account(self) -> BrokerAccount:
        return self._link.read(wire.account, self._link.get("/account"))

    def positions(self) -> Mapping[str, int]:
        return self._link.read(wire.positions, self._link.get("/positions"))

    def open_orders(self) -> Sequence[BrokerOrder]:
        """All orders that are not over, oldest first, whoever sent them."""
        return [one.order for one in self._listed(status="open")]

    def clock(self) -> Clock:
        """The broker's time, and the session in which an order sent now would trade."""
        now = self._ask_clock().now
        return Clock(now.at, now.session)

    def calendar(self, first: date, last: date) -> Sequence[Hours]:
        """Sessions from `first` to `last` with their hours, early closes included."""
        found = self._link.read(wire.hours, self._link.get("/calendar", start=first.isoformat(), end=last.isoformat()))
        return [one for one in found if first <= one.session <= last]

    def asset(self, symbol: str) -> Asset | None:
        """What may be done with a symbol; None when the broker does not know it.

        The first question brings all that are active: a batch asks about hundreds, and a minute has 200 requests.
        """
        if self._assets is None:
            listed = self._link.get("/assets", status="active", asset_class="us_equity")
            self._assets = self._link.read(wire.assets, listed)
        if symbol in self._assets:
            return self._assets[symbol]
        reply = self._link.ask("get", f"/assets/{quote(symbol, safe='')}")
        return self._or_none(reply, lambda said: wire.asset(said, symbol))

    def find(self, cid: str) -> BrokerOrder | None:
        """The order under our id; None when the broker does not show one (yet)."""
        reply = self._link.ask("get", "/orders:by_client_order_id", {"client_order_id": cid})
        placed = self._or_none(reply, wire.order)
        if placed is None:
            return None
        if placed.order.cid != cid:
            raise BrokerError(f"Alpaca was asked for order {cid} and answered with {placed.order.cid}.")
        return self._noted(placed)

    def _or_none(self, reply: Reply, read: Callable[[object], T]) -> T | None:
        if reply.status == 200:
            return self._link.read(read, reply.body)
        if reply.missing:
            return None
        raise self._link.trouble(reply)

    def submit(self, ticket: Ticket) -> Receipt:
        """Send a market order for its session, once, or once more under the same id.

        Raises `BrokerError`, with nothing sent, for a session that has not come and when the clock cannot be read;
        and when the key is refused, which is no verdict on the order. An order of a session that is over is not sent,
        only looked up.
        """
        if self._is_over(ticket):
            found = self._known(ticket)
            return found or Receipt("unknown", reason=f"session {ticket.session} is over; nothing was sent")
        wanted = {
            "symbol": ticket.symbol,
            "qty": units.shares_text(ticket.quantity),
            "side": ticket.side,
            "type": "market",
            "time_in_force": "day",
            "client_order_id": ticket.cid,
        }
        reply = self._link.once("post", "/orders", wanted)
        for _ in range(ATTEMPTS - 1):
            if reply.status != 429:  # the one refusal that says "not now": nothing was taken
                break
            reply = self._link.once("post", "/orders", wanted)
        return self._verdict(ticket, reply)

    def _verdict(self, ticket: Ticket, reply: Reply) -> Receipt:
        if reply.status == 200:
            return self._accepted(ticket, reply)
        if reply.unauthorized:
            raise self._link.trouble(reply)
        if reply.status in (409, 422) and _TWIN.search(reply.message):
            return self._known(ticket, sure=True) or Receipt("unknown", reason="it is there, but does not show yet")
        coded = reply.code is not None or reply.status in (400, 422)
        if reply.status in _VERDICTS and reply.message and coded:
            return Receipt("rejected", reason=reply.message)
        return Receipt("unknown", reason=reply.why)

    def _accepted(self, ticket: Ticket, reply: Reply) -> Receipt:
        """An order that cannot be read, or is not the one that was sent, is in for all we know."""
        try:
            placed = self._link.read(wire.order, reply.body)
        except BrokerError as error:
            return Receipt("unknown", reason=str(error))
        if not _is_of(placed.order, ticket):
            return Receipt("unknown", reason="the answer is another order")
        return _receipt(self._noted(placed))

    def _known(self, ticket: Ticket, *, sure: bool = False) -> Receipt | None:
        """The order that is there under the ticket's id. `sure`: it must be, so it is looked for again."""
        for attempt in range(ATTEMPTS if sure else 1):
            if attempt:
                self._link.clock.sleep(_LOOK_AGAIN)
            try:
                found = self.find(ticket.cid)
            except KeyRefusedError:
                raise
            except BrokerError as error:
                return Receipt("unknown", reason=str(error))
            if found is not None:
                break
        if found is None:
            return None
        if not _is_of(found, ticket):
            raise BrokerError(
                f"Alpaca has another order under {ticket.cid}: {found.side} {found.symbol}; look into it."
            )
        return _receipt(found)

    def _is_over(self, ticket: Ticket) -> bool:
        """Whether the ticket's session is over; raises `BrokerError` when it has not come."""
        now = self._present()
        closing = now.close - CLOSING <= now.at
        if ticket.session > now.session:
            raise BrokerError(
                f"Order {ticket.cid} is for {ticket.session}, but one sent now would trade on {now.session}; "
                f"run it on its day."
            )
        return ticket.session < now.session or closing

    def _present(self) -> wire.Now:
        """The broker's time by its clock of a moment ago, so that an order costs one request."""
        asked, at = self._clock, self._link.clock.monotonic()
        if asked is not None and at - asked.at < _CLOCK_KEEPS:
            now = asked.now._replace(at=asked.now.at + timedelta(seconds=at - asked.at))
            if now.at < now.close - CLOSING:
                return now
        return self._ask_clock().now

    def _ask_clock(self) -> _Asked:
        found = self._link.read(wire.clock, self._link.get("/clock"))
        self._clock = _Asked(found, self._link.clock.monotonic())
        return self._clock

    def cancel(self, cid: str) -> None:
        """End a working order; one that is over, or was never there, is left as it is."""
        if cid not in self._ids and self.find(cid) is None:
            return
        reply = self._link.ask("delete", f"/orders/{quote(self._ids[cid], safe='')}")
        over = reply.missing or (reply.status == 422 and bool(reply.message))
        if reply.status != 200 and not over:
            raise self._link.trouble(reply)

    def orders(self, session: date) -> Sequence[BrokerOrder]:
        """Every order of the session, whoever sent it, and every older one that was filled in it; by cid.

        An order that Alpaca does not show any more is missing.
        """
        filled = {one.order_id for one in self._fills(session)}
        found = {one.id: one for one in self._listed(status="all", after=_before(session))}
        for order_id in sorted(filled - found.keys()):
            placed = self._placed(order_id)
            if placed is not None:
                found[order_id] = placed
        return sorted(one.order for one in found.values() if one.order.session == session or one.id in filled)

    def executions(self, session: date) -> Sequence[Execution]:
        """All executions of the session so far, in the order they happened.

        A fill of an order that nobody of ours sent comes under that order's own client id.
        """
        done = self._fills(session)
        self._learn_ids(session, {one.order_id for one in done})
        found = []
        for one in sorted(done):
            worth = units.value if one.side == "sell" else units.cost
            notional = worth(one.quantity, one.price)
            cid = self._cids.get(one.order_id, one.order_id)
            found.append(Execution(one.id, cid, session, one.quantity, one.price, notional, 0, at=one.at))
        return found

    def _fills(self, session: date) -> Sequence[wire.Done]:
        until = calendar.midnight(session + timedelta(1)).isoformat()
        asked = {"after": calendar.midnight(session).isoformat(), "until": until}
        found = self._paged("/account/activities/FILL", wire.fills, asked)
        return [one for one in found if calendar.today(one.at) == session]

    def non_trades(self, since: date) -> Sequence[NonTrade]:
        """Everything but fills that changed the account on or after a day, by its day and when it was entered.

        That is: what is dated or was entered on or after it (Alpaca enters some things days late). Entries that were
        canceled or are pending are left out; what makes a group is said in `alpaca_activities`.
        """
        asked = {"category": "non_trade_activity", "after": calendar.midnight(since - EARLY).isoformat()}
        found = self._paged("/account/activities", activities.entries, asked)
        return activities.grouped(found, since)

    def _paged(self, path: str, read: Callable[[object], Sequence[N]], asked: Mapping[str, str]) -> list[N]:
        """All of the account's activities at a path, each once, oldest first."""
        found: dict[str, N] = {}
        asked = {**asked, "direction": "asc", "page_size": str(ACTIVITIES_A_PAGE)}
        for _ in range(MOST_PAGES):
            page = self._link.read(read, self._link.get(path, **asked))
            fresh = {one.id: one for one in page if one.id not in found}
            if any(found.get(one.id, one) != one or fresh.get(one.id, one) != one for one in page):
                raise BrokerError("Alpaca tells two different activities under one id.")
            found |= fresh
            if len(page) < ACTIVITIES_A_PAGE:
                return list(found.values())
            if not fresh:
                break
            asked["page_token"] = page[-1].id
        raise BrokerError("Alpaca's activities do not come to an end.")

    def quotes(self, symbols: Sequence[str]) -> Mapping[str, Quote]:
        """The newest price of each symbol that has one: the middle of the best bid and ask.

        That is what a market order sent now meets; the last trade can be hours old. A symbol with one side only, or
        with bid and ask more than a tenth apart, has no price. Without a paid plan the two are those of one exchange.
        """
        found: dict[str, Quote] = {}
        for part in _parts(sorted(set(symbols))):
            found |= self._quoted(part)
        return found

    def _quoted(self, symbols: Sequence[str]) -> Mapping[str, Quote]:
        """One request; when a symbol in it is refused as such, halves of it, until that one is left out."""
        reply = self._data.ask("get", "/stocks/quotes/latest", {"symbols": ",".join(symbols)})
        if reply.status == 200:
            return self._data.read(lambda said: wire.quotes(said, symbols), reply.body)
        if reply.unauthorized:  # a plan without these prices says nothing about the account
            raise BrokerError(f"Alpaca refuses prices to this key ({reply.why}); its plan has to include market data.")
        if reply.status != 400 or "symbol" not in reply.message:
            raise self._data.trouble(reply)
        middle = len(symbols) // 2
        return {**self._quoted(symbols[:middle]), **self._quoted(symbols[middle:])} if middle else {}

    def _learn_ids(self, session: date, wanted: set[str]) -> None:
        """Our ids of the orders that were filled: by the list of the session's orders, older ones one by one."""
        if wanted <= self._cids.keys():
            return
        self._listed(status="all", after=_before(session))
        for order_id in sorted(wanted - self._cids.keys()):
            self._placed(order_id)

    def _placed(self, order_id: str) -> wire.Placed | None:
        """The order under the broker's own id, if it shows one."""
        placed = self._or_none(self._link.ask("get", f"/orders/{quote(order_id, safe='')}"), wire.order)
        if placed is None or placed.id != order_id:
            return None
        self._noted(placed)
        return placed

    def _listed(self, **asked: str) -> list[wire.Placed]:
        """All orders of a list. Pages go on a microsecond before the last order: several may share its instant."""
        found: dict[str, wire.Placed] = {}
        asked |= {"limit": str(ORDERS_A_PAGE), "direction": "asc", "nested": "false"}
        for _ in range(MOST_PAGES):
            page = self._link.read(wire.orders, self._link.get("/orders", **asked))
            fresh = {one.id: one for one, _ in page if one is not None and one.id not in found}
            found |= fresh
            for one in fresh.values():
                self._noted(one)
            if len(page) < ORDERS_A_PAGE:
                return list(found.values())
            if not fresh:
                break
            asked["after"] = (datetime.fromisoformat(page[-1][1]) - _PAUSE_BACK).isoformat()
        raise BrokerError("Alpaca's list of orders does not come to an end.")

    def _noted(self, placed: wire.Placed) -> BrokerOrder:
        self._cids[placed.id] = placed.order.cid
        self._ids[placed.order.cid] = placed.id
        return placed.order


def _is_of(order: BrokerOrder, ticket: Ticket) -> bool:
    return order[:1] + order[2:5] == ticket[:1] + ticket[2:5]


def _receipt(order: BrokerOrder) -> Receipt:
    return Receipt("rejected" if order.state == "rejected" else "taken", order, order.reason)


def _before(session: date) -> str:
    """An instant before any order for a session was sent, but for those that are good for longer than a day."""
    return calendar.midnight(calendar.previous_session(session)).isoformat()


def _parts(symbols: Sequence[str]) -> Iterator[list[str]]:
    """Symbols in lists that fit an address."""
    part: list[str] = []
    length = 0
    for symbol in symbols:
        size = len(quote(f"{symbol},", safe=""))
        if part and length + size > LONGEST_SYMBOLS:
            yield part
            part, length = [], 0
        part.append(symbol)
        length += size
    if part:
        yield part
