"""Alpaca: one paper or live account, through alpaca-py.

Fills come from the account's activities only: they have ids, can be paged and asked for again. Market orders for the
day are sent with a quantity in text, under our own id. Alpaca refuses an id it has seen, so an order whose answer was
lost is found under its id or sent again under the same. What became of a submission is one of three things: taken,
definitely rejected, or unknown; and unknown stays unknown until the broker says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple, TypeVar
from urllib.parse import quote

from pas_dagster import calendar
from pas_dagster.execution.brokers import alpaca_wire as wire
from pas_dagster.execution.brokers.alpaca_link import ATTEMPTS, PAPER, Link, Reply
from pas_dagster.execution.brokers.base import (
    Asset,
    BrokerAccount,
    BrokerError,
    BrokerOrder,
    Clock,
    Hours,
    Receipt,
    Ticket,
)
from pas_dagster.ledger import units
from pas_dagster.ledger.records import Execution
from pas_dagster.sources.client.clock import Clock as Watch
from pas_dagster.sources.client.pacing import Pace

T = TypeVar("T")
ORDERS_A_PAGE = 500
FILLS_A_PAGE = 100
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


class AlpacaBroker:
    """One account. Everything raises `BrokerError`, and nothing else, when the broker cannot be asked or understood.

    `base_url`: the paper host, the live host with `live`, or a sandbox on this machine. Not to be shared by threads.
    """

    def __init__(
        self,
        key_id: str,
        secret_key: str,
        base_url: str = PAPER,
        *,
        live: bool = False,
        requests_per_minute: int = 200,
        timeout: float = 15.0,
        watch: Watch | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._link = Link(
            key_id,
            secret_key,
            base_url,
            live=live,
            requests_per_minute=requests_per_minute,
            timeout=timeout,
            clock=watch,
            pace=pace,
        )
        self._clock: _Asked | None = None
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
        """What may be done with a symbol; None when the broker does not know it."""
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

    def executions(self, session: date) -> Sequence[Execution]:
        """All executions of the session so far, in the order they happened.

        A fill of an order that nobody of ours sent comes under that order's own client id.
        """
        done = [one for one in self._fills(session) if calendar.today(one.at) == session]
        self._learn_ids(session, {one.order_id for one in done})
        found = []
        for one in sorted(done):
            worth = units.value if one.side == "sell" else units.cost
            notional = worth(one.quantity, one.price)
            cid = self._cids.get(one.order_id, one.order_id)
            found.append(Execution(one.id, cid, session, one.quantity, one.price, notional, 0))
        return found

    def _fills(self, session: date) -> Sequence[wire.Done]:
        found: dict[str, wire.Done] = {}
        asked = {
            "after": calendar.midnight(session).isoformat(),
            "until": calendar.midnight(session + timedelta(1)).isoformat(),
            "direction": "asc",
            "page_size": str(FILLS_A_PAGE),
        }
        for _ in range(MOST_PAGES):
            page = self._link.read(wire.fills, self._link.get("/account/activities/FILL", **asked))
            fresh = {one.id: one for one in page if one.id not in found}
            if any(found.get(one.id, one) != one or fresh.get(one.id, one) != one for one in page):
                raise BrokerError("Alpaca tells two different fills under one id.")
            found |= fresh
            if len(page) < FILLS_A_PAGE:
                return list(found.values())
            if not fresh:
                break
            asked["page_token"] = page[-1].id
        raise BrokerError("Alpaca's activities do not come to an end.")

    def _learn_ids(self, session: date, wanted: set[str]) -> None:
        """Our ids of the orders that were filled: by the list of the session's orders, older ones one by one."""
        if wanted <= self._cids.keys():
            return
        before = calendar.midnight(calendar.previous_session(session))
        self._listed(status="all", after=before.isoformat())
        for order_id in sorted(wanted - self._cids.keys()):
            reply = self._link.ask("get", f"/orders/{quote(order_id, safe='')}")
            placed = self._or_none(reply, wire.order)
            if placed is not None and placed.id == order_id:
                self._noted(placed)

    def _listed(self, **asked: str) -> list[wire.Placed]:
        """All orders of a list. Pages go on a microsecond before the last order: several may share its instant."""
        found: dict[str, wire.Placed] = {}
        asked |= {"limit": str(ORDERS_A_PAGE), "direction": "asc", "nested": "false"}
        for _ in range(MOST_PAGES):
            page = self._link.read(wire.orders, self._link.get("/orders", **asked))
            fresh = {one.id: one for one, _ in page if one.id not in found}
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
