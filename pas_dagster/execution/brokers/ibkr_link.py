"""The way to a Trader Workstation or gateway: ib_async's client on an event loop of its own, in a thread of its own.

ib_async wants the loop it runs on, waits for ever for an answer that does not come, drops a message that it cannot
read with a line in the log, and leaves the rest of the list standing as if it were complete. Here one question is one
coroutine with a deadline. A deadline that passed, a message that could not be read or a socket that broke closes the
connection: a late answer can then not be taken for that of a later question. The next question opens another one.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, TypeVar

from pas_dagster.errors import PasError
from pas_dagster.execution.brokers.base import BrokerError, KeyRefusedError

T = TypeVar("T")
Work = Callable[[Any], Awaitable[T]]
"""What is done with a connected `ib_async.IB` on its loop."""

CLIENT_IN_USE, LINE_LOST, LINE_BROKEN, LINE_BACK = 326, 1100, 2110, (1101, 1102)
_LONGEST_MESSAGE = 200
_SPARE = 2.0  # seconds by which a caller waits longer than the loop, so that the loop is the one to give up
_RELEASE, _AGAIN = 2.0, 0.2  # seconds for TWS to give a client id free, and between looks
_OF_PRICES = re.compile(r"Error (?:for tick|handling fields: \['(?:1|2|21|45|46|47|81|84)')")
"""Complaints about ticks: a kind of price that the client does not know costs a quote and nothing else."""


class RequestRefusedError(BrokerError):
    """TWS answers a question with an error of its own."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"TWS refuses: {said or 'no reason given'} (code {code}).")
        self.code = code
        self.said = said


def library() -> Any:
    """The client library. Raises `PasError` when it is not installed: it comes with an extra."""
    try:
        import ib_async
    except ImportError:
        raise PasError(
            'The broker "ibkr" needs the package ib_async, which is not installed; '
            'install it with `pip install "pas-dagster[ibkr]"`.'
        ) from None
    return ib_async


class _ClientInUseError(BrokerError):
    """Another connection has our client id."""


class _Complaints:
    """Stands in for the logger to which ib_async's decoder reports what it could not read."""

    def __init__(self, heard: Callable[[], None]) -> None:
        self._heard = heard

    def exception(self, said: str, *_: object, **__: object) -> None:
        if not _OF_PRICES.match(said):
            self._heard()


class Link:
    """One client id at one TWS, for one account. Connects when it is first used; `close` ends the thread.

    `pace`: messages a second, the rest wait their turn. `timeout`: seconds for one question, and for each step of
    connecting. `zone`: the time zone of times that come without one. `live`: the account is one with real money.
    """

    def __init__(
        self, host: str, port: int, client_id: int, account: str, *, live: bool, pace: int, timeout: float, zone: str
    ) -> None:
        if not account:
            raise BrokerError("IBKR needs the id of the account to trade, such as DU1234567; set it.")
        if account.startswith("D") == live:
            kind, other = ("live", "paper") if live else ("paper", "live")
            raise BrokerError(
                f"IBKR account {account} is a {other} account and was set up as a {kind} one; correct it."
            )
        self.account = account
        self.timeout = timeout
        self.where = f"{host}:{port}"
        self._address = (host, port, client_id)
        self._zone = zone
        self._pace = pace
        self.library = library()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._ib: Any = None
        self._garbled = False
        self._cut_off = False
        self._in_use = False
        self._was_on = False

    @property
    def refused(self) -> Any:
        """The library's error for a question that TWS answers with one."""
        return self.library.RequestError

    def run(self, work: Work[T], wait: float | None = None) -> T:
        """Do something on the loop, connected, within `wait` seconds (the link's timeout where it is not given).

        Raises `BrokerError`, and nothing else, when it cannot be done; `RequestRefusedError` when TWS answers with an
        error.
        """
        within = self.timeout if wait is None else wait
        with self._lock:
            loop = self._running()
            future = asyncio.run_coroutine_threadsafe(self._guarded(work, within), loop)
            try:
                return future.result(within + 2 * self.timeout + _RELEASE + _SPARE)
            except (TimeoutError, CancelledError):
                raise self._trouble("no answer came in time") from None
            finally:
                future.cancel()  # who was interrupted leaves nothing running behind

    def close(self) -> None:
        """Disconnect and end the thread. A closed link stays closed."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
            if loop is None or thread is None:
                return
            loop.call_soon_threadsafe(self._drop)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(self.timeout + _SPARE)
            self._loop = self._thread = None

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._closed:
            raise BrokerError("The connection to TWS was closed; open the broker anew.")
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_serve, args=(self._loop,), name="ibkr", daemon=True)
            self._thread.start()
        return self._loop

    async def _guarded(self, work: Work[T], within: float) -> T:
        try:
            ib = await self._connected()
            async with asyncio.timeout(within):
                return await work(ib)
        except TimeoutError:
            why = "no answer came in time"
        except self.refused as error:
            raise RequestRefusedError(error.code, clean(error.message)) from None
        except (ConnectionError, OSError, AssertionError) as error:
            why = "it sent what cannot be read" if self._garbled else f"the connection failed ({type(error).__name__})"
        self._drop()
        raise self._trouble(why)

    def _trouble(self, why: str) -> BrokerError:
        return BrokerError(f"TWS at {self.where} could not be asked: {why}; see that it runs and run again.")

    async def _connected(self) -> Any:
        if self._ib is None or not self._ib.isConnected():
            self._drop()
            self._ib = await self._connect_when_free()
        if self._cut_off:
            raise BrokerError("TWS has lost its line to IBKR; run again when it is back.")
        return self._ib

    async def _connect_when_free(self) -> Any:
        """Connect. After a connection of ours broke, TWS takes a moment to give its client id free."""
        loop = asyncio.get_running_loop()
        end = loop.time() + (_RELEASE if self._was_on else 0)
        while True:
            try:
                found = await self._connect()
            except _ClientInUseError:
                if loop.time() >= end:
                    raise
                await asyncio.sleep(_AGAIN)
            else:
                self._was_on = True
                return found

    async def _connect(self) -> Any:
        """Log on and check that the account is the one meant."""
        ib = self.library.IB()
        ib.RaiseRequestErrors = True
        ib.TimezoneTWS = self._zone
        ib.client.MaxRequests = self._pace
        ib.client.decoder.logger = _Complaints(self._unreadable)
        ib.errorEvent += self._noted
        self._garbled, self._cut_off, self._in_use = False, False, False
        await self._log_on(ib)
        served = ib.managedAccounts()
        if self.account not in served:
            ib.disconnect()
            names = ", ".join(clean(name) for name in served) or "none"
            raise KeyRefusedError(
                f"TWS at {self.where} serves other accounts ({names}) than {self.account}; log on to the right one."
            )
        return ib

    async def _log_on(self, ib: Any) -> None:
        """Connect, or notice at once that TWS hangs up; the library itself would wait for its deadline."""
        host, port, client_id = self._address
        hung_up = asyncio.Event()
        ib.client.conn.disconnected += lambda _: hung_up.set()
        fetch = self.library.StartupFetchNONE
        logging_on = asyncio.ensure_future(
            ib.connectAsync(host, port, client_id, self.timeout, False, self.account, True, fetch)
        )
        ending = asyncio.ensure_future(hung_up.wait())
        await asyncio.wait({logging_on, ending}, timeout=2 * self.timeout, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if logging_on.done():
            logging_on.result()
            return
        logging_on.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await logging_on
        if self._in_use:
            raise _ClientInUseError(
                f"Client id {client_id} is in use at the TWS at {self.where}; end the other program or choose another."
            )
        raise ConnectionError("it hung up") if hung_up.is_set() else TimeoutError

    def _noted(self, _: int, code: int, __: str, *___: object) -> None:
        """What TWS says about itself."""
        if code in (LINE_LOST, LINE_BROKEN):
            self._cut_off = True
        elif code in LINE_BACK:
            self._cut_off = False
        elif code == CLIENT_IN_USE:
            self._in_use = True

    def _unreadable(self) -> None:
        """A message was lost: no list is complete any more."""
        self._garbled = True
        self._drop()

    def _drop(self) -> None:
        """Close the connection, and tell those who wait on it."""
        ib, self._ib = self._ib, None
        if ib is not None:
            ib.wrapper.connectionClosed()
            with suppress(ConnectionError):
                ib.disconnect()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    finally:
        loop.close()


def clean(said: str) -> str:
    """A message of TWS's in one line."""
    return " ".join("".join(c if c.isprintable() else " " for c in said).split())[:_LONGEST_MESSAGE]


NOT_TAKEN: Mapping[int, str] = {
    103: "the number was used before",
    107: "the order is incomplete",
    109: "the price is out of range",
    110: "the price does not fit the tick",
    111: "order type and time in force do not fit",
    200: "no such security",
    201: "rejected",
    203: "the security is not available to the account",
    321: "the request is not valid",
    387: "the order type is not supported here",
    388: "the quantity is below the smallest",
    412: "the contract cannot be traded",
    434: "the quantity is zero",
    435: "no account was named",
    460: "no permission to trade it",
    10243: "fractional shares are not taken through the API",
}
"""Errors that are a verdict on a new order: it is not in. https://ibkrcampus.com/campus/ibkr-api-page/twsapi-doc/."""
