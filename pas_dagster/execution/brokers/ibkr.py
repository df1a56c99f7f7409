"""Interactive Brokers: one account, through ib_async and a Trader Workstation or gateway that runs. Experimental.

Nothing at IBKR refuses an order that was sent before: the reference of an order (`orderRef`, our client order id) may
be used any number of times. So an order is looked for among open orders, those that are over and executions before it
is sent; one that was sent is never sent again by the same object; and an outcome that is unknown stays unknown until
the order shows or a person has looked. An order is taken when TWS reports a status that only an accepted order has. It
is rejected by the errors that say so, and by nothing else: the library calls an order `Cancelled` for any error.

What differs from the other broker: whole shares only; cash to the cent; executions of the day only, because TWS
forgets them at midnight unless told otherwise; no list of dividends and other non-trades. Hours come from
`pas_dagster.calendar` (NYSE), the time from TWS. Quotes are last trades out of snapshots, for which the account needs
market data.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from types import TracebackType
from typing import Any, NamedTuple, Self

from pas_dagster import calendar
from pas_dagster.execution.brokers import ibkr_wire as wire
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
from pas_dagster.execution.brokers.ibkr_link import NOT_TAKEN, Link, RequestRefusedError, clean
from pas_dagster.ledger import units
from pas_dagster.ledger.records import Execution

CLOSING = timedelta(seconds=10)
"""So long before the close nothing is sent any more."""

NO_SUCH_CONTRACT, INVALID_REQUEST = 200, 321
_LOOK = 0.02  # seconds between looks at what has arrived
_GRACE = 1.0  # seconds in which the reason of a sudden end may follow it
_SNAPSHOTS = 50  # at once; IBKR gives an account about a hundred lines of market data
_READ_ONLY = re.compile(r"read.?only", re.I)


class _Books(NamedTuple):
    """All orders of the account of which TWS still shows anything, and the executions that stand, at TWS's time."""

    now: datetime
    orders: Sequence[wire.Placed]
    done: Sequence[wire.Done]


class IbkrBroker:
    """One account. Everything raises `BrokerError`, and nothing else, when TWS cannot be asked or understood.

    `host`, `port`: of TWS (7497 paper, 7496 live) or a gateway (4002, 4001); its API must be on and not read-only.
    `client_id`: not that of another program; only orders of the same id can be cancelled. `account`: such as
    DU1234567, where paper accounts begin with D; a live one needs `live`. `requests_per_second`: TWS breaks off above
    50. `timeout`: seconds for an answer. `commission_wait`: seconds for the cost of an execution. `zone`: of times that
    TWS writes without one. Connects at first use; `close`, or a `with` block, ends it. Not to be shared by threads.
    """

    auction = False
    unique_ids = False

    def __init__(
        self,
        account: str,
        host: str = "127.0.0.1",
        port: int = 7497,
        client_id: int = 17,
        *,
        live: bool = False,
        requests_per_second: int = 45,
        timeout: float = 15.0,
        commission_wait: float = 3.0,
        zone: str = "America/New_York",
    ) -> None:
        self._link = Link(
            host, port, client_id, account, live=live, pace=requests_per_second, timeout=timeout, zone=zone
        )
        self._account = account
        self._client = client_id
        self._commission_wait = commission_wait
        self._contracts: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}  # what was ordered, by our id
        self._sent: set[str] = set()

    def __repr__(self) -> str:
        return f"IbkrBroker({self._account!r}, {self._link.where!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect and end the thread; the broker is of no further use."""
        self._link.close()

    def account(self) -> BrokerAccount:
        async def ask(ib: Any) -> BrokerAccount:
            ib.client.reqAccountUpdates(False, self._account)  # a new subscription begins with all values
            await ib.reqAccountUpdatesAsync(self._account)
            return wire.account(self._account, ib.accountValues(self._account))

        return self._link.run(ask)

    def positions(self) -> Mapping[str, int]:
        async def ask(ib: Any) -> dict[str, int]:
            listed = await ib.reqPositionsAsync()
            ib.client.cancelPositions()
            return wire.positions(self._account, listed)

        return self._link.run(ask)

    def open_orders(self) -> Sequence[BrokerOrder]:
        """All orders that are not over, whichever client sent them or whoever entered them."""
        working = [one for one in self._look().orders if one.order.state == "working"]
        return [one.order for one in sorted(working)]

    def clock(self) -> Clock:
        """TWS's time, and the session in which an order sent now would trade."""
        now = self._link.run(_time)
        return Clock(now, _session(now))

    def calendar(self, first: date, last: date) -> Sequence[Hours]:
        """Sessions of the NYSE with their hours, from the same calendar as everything else here."""
        return [Hours(day, calendar.opening(day), calendar.closing(day)) for day in calendar.sessions(first, last)]

    def asset(self, symbol: str) -> Asset | None:
        """What may be done with a stock; None when IBKR knows none of the name. Halts are not told here."""
        return wire.asset(symbol, self._details(symbol))

    def non_trades(self, since: date) -> Sequence[NonTrade]:
        """Nothing: the socket has no such list.

        A dividend, a fee, interest or a split shows as a difference of cash or shares when the account is reconciled,
        and has to be booked from IBKR's statement.
        """
        return ()

    def quotes(self, symbols: Sequence[str]) -> Mapping[str, Quote]:
        """The last trade of each symbol that IBKR shows one of; none where the account has no market data for it."""
        contracts = {name: found for name in symbols if (found := self._contract(name)) is not None}

        found: dict[str, Quote] = {}
        for first in range(0, len(contracts), _SNAPSHOTS):
            found |= self._snapshots(dict(list(contracts.items())[first : first + _SNAPSHOTS]))
        return found

    def _snapshots(self, contracts: Mapping[str, Any]) -> dict[str, Quote]:
        async def ask(ib: Any) -> list[Quote | None]:
            return await asyncio.gather(*(self._quote(ib, one) for one in contracts.values()))

        told = self._link.run(ask, 2 * self._link.timeout)
        return {name: one for name, one in zip(contracts, told, strict=True) if one is not None}

    async def _quote(self, ib: Any, contract: Any) -> Quote | None:
        ib.wrapper.tickers.pop(hash(contract), None)  # the library goes on with the prices of last time
        try:
            (ticker,) = await asyncio.wait_for(ib.reqTickersAsync(contract), self._link.timeout)
        except TimeoutError:
            return None
        except self._link.refused:
            return None
        return wire.quote(ticker)

    def find(self, cid: str) -> BrokerOrder | None:
        """The order under our id; None when TWS does not show one (yet).

        It is looked for among the open orders of all clients, the day's orders that are over, and the executions.
        Raises `BrokerError` when there are two of it.
        """
        return _only(cid, [one.order for one in self._look().orders if one.order.cid == cid])

    def orders(self, session: date) -> Sequence[BrokerOrder]:
        """Every order of the session, whoever sent it, and every older one that was filled in it; by cid.

        TWS shows orders that are over on their day only. Raises `BrokerError` when two go by one id.
        """
        books = self._look()
        filled = {one.perm for one in books.done if calendar.today(one.at) == session}
        found: dict[str, list[BrokerOrder]] = {}
        for name, order in books.orders:
            if order.session == session or (name[0] == 0 and name[1] in filled):
                found.setdefault(order.cid, []).append(order)
        return [order for cid in sorted(found) if (order := _only(cid, found[cid])) is not None]

    def _look(self) -> _Books:
        async def ask(ib: Any) -> _Books:
            now = await _time(ib)
            working = [one for one in await ib.reqAllOpenOrdersAsync() if wire.is_of(self._account, one)]
            over = [one for one in await ib.reqCompletedOrdersAsync(False) if wire.is_of(self._account, one)]
            done = wire.executions(self._account, await self._told(ib), {})
            shown = [self._by_executions(now, [one for one in done if one.perm == perm]) for perm in _numbers(done)]
            current = [wire.open_order(one, _executed(done, one), _session(now)) for one in working]
            ended = [self._ended(one, done, now) for one in over]
            return _Books(now, list({one.name: one for one in [*shown, *current, *ended]}.values()), done)

        return self._link.run(ask, 2 * self._link.timeout)

    def _by_executions(self, now: datetime, done: Sequence[wire.Done]) -> wire.Placed:
        """What its executions show of an order; how much was ordered is known to the one who sent it."""
        first = done[0]
        filled, session = sum(one.quantity for one in done), calendar.today(first.at)
        size = self._sizes.get(first.cid, filled)
        over = calendar.is_session(session) and calendar.closing(session) <= now
        state = "filled" if filled == self._sizes.get(first.cid) else "expired" if over else "working"
        reason = "" if state == "filled" else "only its executions show"
        order = BrokerOrder(first.cid, session, first.symbol, first.side, size, filled, state, reason)
        return wire.Placed((0, first.perm), order)

    def _ended(self, trade: Any, done: Sequence[wire.Done], now: datetime) -> wire.Placed:
        days = [calendar.today(one.at) for one in done if one.perm == trade.order.permId]
        session = days[-1] if days else calendar.roll_forward(calendar.today(now))
        return wire.completed_order(trade, _executed(done, trade), session, self._sizes.get(trade.order.orderRef))

    async def _told(self, ib: Any) -> list[Any]:
        return await ib.reqExecutionsAsync(self._link.library.ExecutionFilter(acctCode=self._account))

    def submit(self, ticket: Ticket) -> Receipt:
        """Send a market order for its session, once; one that is there already is answered with.

        Raises `BrokerError`, with nothing sent, for a session that has not come, when TWS cannot be asked, and when
        its API is read-only. An order of a session that is over is not sent, only looked for.
        """
        if ticket.quantity <= 0 or ticket.quantity % units.SHARE:
            amount = units.shares_text(ticket.quantity)
            return Receipt("rejected", reason=f"IBKR takes whole shares only through its API, and {amount} is none")
        self._sizes[ticket.cid] = ticket.quantity
        books = self._look()
        found = _only(ticket.cid, [one.order for one in books.orders if one.order.cid == ticket.cid])
        if found is not None:
            return self._receipt(ticket, found)
        if self._is_over(ticket, books.now):
            return Receipt("unknown", reason=f"session {ticket.session} is over; nothing was sent")
        if ticket.cid in self._sent:
            return Receipt("unknown", reason="it was sent before and does not show; it is not sent twice")
        contract = self._contract(ticket.symbol)
        if contract is None:
            return Receipt("rejected", reason=f"IBKR knows no US stock called {ticket.symbol}")
        return self._send(ticket, contract)

    def _receipt(self, ticket: Ticket, found: BrokerOrder) -> Receipt:
        if (found.symbol, found.side, found.quantity) != (ticket.symbol, ticket.side, ticket.quantity):
            raise BrokerError(f"IBKR has another order under {ticket.cid}: {found.side} {found.symbol}; look into it.")
        return Receipt("rejected" if found.state == "rejected" else "taken", found, found.reason)

    def _is_over(self, ticket: Ticket, now: datetime) -> bool:
        """Whether the ticket's session is over; raises `BrokerError` when it has not come."""
        session = _session(now)
        if ticket.session > session:
            raise BrokerError(
                f"Order {ticket.cid} is for {ticket.session}, but one sent now would trade on {session}; "
                f"run it on its day."
            )
        return ticket.session < session or calendar.closing(session) - CLOSING <= now

    def _send(self, ticket: Ticket, contract: Any) -> Receipt:
        """Send it and wait for the verdict. Once it was passed on, no answer means that it may be in."""

        async def place(ib: Any) -> Receipt:
            order = self._link.library.MarketOrder(
                ticket.side.upper(),
                ticket.quantity // units.SHARE,
                tif="DAY",
                orderRef=ticket.cid,
                account=self._account,
            )
            self._sent.add(ticket.cid)
            return await _Verdict(ib, ib.placeOrder(contract, order), ticket).reached()

        try:
            return self._link.run(place, self._link.timeout + _GRACE)
        except KeyRefusedError:
            self._sent.discard(ticket.cid)
            raise
        except BrokerError as error:
            if ticket.cid not in self._sent:
                raise
            return Receipt("unknown", reason=str(error))

    def cancel(self, cid: str) -> None:
        """Ask for the end of a working order; one that is over, or was never there, is left as it is.

        Raises `BrokerError` for an order of another client id, which TWS cancels for that one only.
        """

        async def ask(ib: Any) -> None:
            listed = [one for one in await ib.reqAllOpenOrdersAsync() if wire.is_of(self._account, one)]
            own = [one for one in listed if wire.cid(one.order.orderRef, one.order.permId) == cid]
            for one in own:
                if one.order.clientId != self._client or one.order.orderId <= 0:
                    raise BrokerError(
                        f"Order {cid} was sent by client {one.order.clientId}; cancel it there or in TWS."
                    )
                ib.cancelOrder(one.order)
            if own:
                await ib.reqAllOpenOrdersAsync()  # an answer to this means that TWS has read the requests before it

        self._link.run(ask, 2 * self._link.timeout)

    def executions(self, session: date) -> Sequence[Execution]:
        """All executions of the session whose commission is known, in the order they happened.

        TWS tells those of the day in New York only, or of a week where its trade log is set so. The commission is a
        message of its own; it is waited for, and an execution without one is told another time. Ids: `executions` of
        `ibkr_wire`. An execution of an order that nobody of ours sent comes under `ibkr-` and TWS's number.
        """

        async def ask(ib: Any) -> list[wire.Done]:
            told = await self._told(ib)
            await self._costs(ib, [one for one in told if one.execution.acctNumber == self._account])
            costs = {name: fill.commissionReport for name, fill in ib.wrapper.fills.items()}
            return wire.executions(self._account, told, costs)

        done = self._link.run(ask, self._link.timeout + self._commission_wait)
        return [found for one in done if (found := wire.execution(one, session)) is not None]

    async def _costs(self, ib: Any, told: Sequence[Any]) -> None:
        """Wait until every execution has its commission, or for as long as is allowed."""
        waiting = [one.execution.execId for one in told]
        loop = asyncio.get_running_loop()
        end = loop.time() + self._commission_wait
        while True:
            if not ib.isConnected():  # the library has forgotten all it knew
                raise ConnectionError("Socket disconnect")
            fills = ib.wrapper.fills
            waiting = [name for name in waiting if name not in fills or not fills[name].commissionReport.execId]
            if not waiting or loop.time() >= end:
                return
            await asyncio.sleep(_LOOK)

    def _details(self, symbol: str) -> Sequence[Any]:
        async def ask(ib: Any) -> Sequence[Any]:
            return await ib.reqContractDetailsAsync(self._link.library.Stock(wire.foreign(symbol), "SMART", "USD"))

        try:
            return self._link.run(ask)
        except RequestRefusedError as refusal:
            if refusal.code == NO_SUCH_CONTRACT:
                return ()
            raise

    def _contract(self, symbol: str) -> Any:
        """The one contract of a stock, asked for once; None when there is none."""
        if symbol not in self._contracts:
            found = wire.contract(symbol, self._details(symbol))
            if found is None:
                return None
            found.contract.exchange = "SMART"
            self._contracts[symbol] = found.contract
        return self._contracts[symbol]


class _Verdict:
    """What TWS says about an order that was just sent."""

    def __init__(self, ib: Any, trade: Any, ticket: Ticket) -> None:
        self._ib = ib
        self._trade = trade
        self._ticket = ticket
        self._loop = asyncio.get_running_loop()
        self._receipt: asyncio.Future[Receipt] = self._loop.create_future()

    async def reached(self) -> Receipt:
        """Wait for it. Raises what the connection raises."""
        ib = self._ib
        listeners = (
            (ib.orderStatusEvent, self._status),
            (ib.errorEvent, self._error),
            (ib.execDetailsEvent, self._executed),
            (ib.disconnectedEvent, self._hung_up),
        )
        for event, listener in listeners:
            event.connect(listener)
        try:
            return await self._receipt
        finally:
            for event, listener in listeners:
                event.disconnect(listener)

    def _status(self, trade: Any) -> None:
        """A status that TWS sent; those that the library makes of errors have the error's code."""
        if trade is not self._trade or trade.log[-1].errorCode:
            return
        status = trade.orderStatus.status
        if status in ("Cancelled", "ApiCancelled"):
            self._loop.call_later(_GRACE, self._take)  # the reason may come after it
        elif status in wire.ACCEPTED:
            self._take()

    def _executed(self, trade: Any, *_: object) -> None:
        if trade is self._trade:
            self._take()

    def _error(self, number: int, code: int, said: str, *_: object) -> None:
        if number != self._trade.order.orderId or code not in NOT_TAKEN or self._receipt.done():
            return
        if code == INVALID_REQUEST and _READ_ONLY.search(said):
            self._receipt.set_exception(
                KeyRefusedError("The API of TWS is read-only; allow orders in its settings before going on.")
            )
        else:
            self._receipt.set_result(Receipt("rejected", reason=clean(said) or NOT_TAKEN[code]))

    def _hung_up(self) -> None:
        if not self._receipt.done():
            self._receipt.set_exception(ConnectionError("Socket disconnect"))

    def _take(self) -> None:
        if self._receipt.done():
            return
        status = self._trade.orderStatus
        state = wire.OVER.get(status.status, "working")
        reason = f"{status.status} at the broker" if state == "expired" else ""
        try:
            filled = wire.shares(status.filled, "filled quantity")
        except BrokerError as error:
            self._receipt.set_result(Receipt("unknown", reason=str(error)))
        else:
            self._receipt.set_result(Receipt("taken", BrokerOrder(*self._ticket, filled, state, reason)))


def _only(cid: str, orders: Sequence[BrokerOrder]) -> BrokerOrder | None:
    """The one order of an id; nothing at the broker prevents that there are two."""
    if len(orders) > 1:
        raise BrokerError(f"IBKR has more than one order under {cid}; look into it in TWS and correct the account.")
    return orders[0] if orders else None


def _numbers(done: Sequence[wire.Done]) -> list[int]:
    """The orders of executions, each once."""
    return list(dict.fromkeys(one.perm for one in done))


def _executed(done: Sequence[wire.Done], trade: Any) -> int:
    """What the executions of an order add up to."""
    return sum(one.quantity for one in done if one.perm == trade.order.permId)


async def _time(ib: Any) -> datetime:
    return wire.present(await ib.reqCurrentTimeAsync())


def _session(now: datetime) -> date:
    """The first session that has not closed."""
    day = calendar.roll_forward(calendar.today(now))
    return day if now < calendar.closing(day) else calendar.roll_forward(day + timedelta(1))
