"""The sandbox's TWS on a loopback port. The unmodified client works against it: `IB().connect(host, port, clientId=1)`.

What goes wrong on the way is set as `troubles`: before a request has its effect or after, as in the sandbox of the
other broker. Nothing is told to a client but what is asked for and what becomes of its own orders.
"""

from __future__ import annotations

import re
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pas_dagster.sandbox.broker.paper import Fill
from pas_dagster.sandbox.faults import happens
from pas_dagster.sandbox.loopback import listen
from pas_dagster.sandbox.tws import messages as say
from pas_dagster.sandbox.tws.desk import Asked, Desk
from pas_dagster.sandbox.tws.frames import FrameError, Frames, pack
from pas_dagster.sandbox.tws.messages import Message

START, PLACE, CANCEL = 71, 3, 4
CLIENT_IN_USE, UNSUPPORTED = 326, 503
_TICK = 0.02  # seconds between looks at the books
_RELEASE = 0.3  # seconds
_VERSIONS = re.compile(r"v(\d{1,5})(?:\.\.(\d{1,5}))?(?: .*)?")


class Kind(Enum):
    """What goes wrong. The value is its name on a command line."""

    DROPPED = "dropped"  # the connection is reset
    SILENT = "silent"  # the connection stays, but nothing more is said on it
    UNANSWERED = "unanswered"  # this one request is not answered; later ones are


@dataclass
class Trouble:
    """One fault at the requests of a kind (None: any), after `skip` that get through; `times` as often (None: always).

    `after`: the request has had its effect, only what is said about it is lost.
    """

    kind: Kind
    request: int | None = None
    after: bool = False
    times: int | None = 1
    skip: int = 0

    def strikes(self, request: int) -> bool:
        """Whether it happens to this request; counts down when it does."""
        return self.request in (None, request) and happens(self)


@dataclass
class TwsSandbox:
    """What is served: a desk, and the trouble with it.

    `log`: client and kind of every request. `spoil`: a message as it is sent instead. `announcements`: code and text of
    what every client that is connected is told, as it is added.
    """

    desk: Desk
    troubles: list[Trouble] = field(default_factory=list)
    spoil: Callable[[Message], Message] | None = None
    announcements: list[tuple[int, str]] = field(default_factory=list)
    log: list[tuple[int, int]] = field(default_factory=list)
    clients: set[int] = field(default_factory=set)
    stopping: threading.Event = field(default_factory=threading.Event)
    lock: threading.Condition = field(default_factory=threading.Condition)

    def count(self, request: int) -> int:
        """How many requests of a kind there were."""
        return sum(kind == request for _, kind in self.log)

    def trouble(self, request: int) -> Trouble | None:
        """The trouble that strikes this request."""
        with self.lock:
            return next((one for one in self.troubles if one.strikes(request)), None)

    def admit(self, client: int) -> bool:
        """Whether a client's number is free, or is when a connection that is ending has ended; then it is taken."""
        with self.lock:
            free = self.lock.wait_for(lambda: client not in self.clients, _RELEASE)
            self.clients.add(client)
            return free

    def release(self, client: int) -> None:
        """Give a client's number free."""
        with self.lock:
            self.clients.discard(client)
            self.lock.notify_all()


class _Hangup(Exception):  # noqa: N818  (an end, not an error)
    """The conversation is over."""


class _Conversation(socketserver.BaseRequestHandler):
    """One client. Its requests are answered in their order; what happens to its orders is told in between."""

    sandbox: TwsSandbox

    def setup(self) -> None:
        self.frames = Frames()
        self.client: int | None = None
        self.version = 0
        self.mute = False
        self.told = 0
        self.announced = len(self.sandbox.announcements)
        self.owed: list[Fill] = []
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request.settimeout(_TICK)

    def handle(self) -> None:
        with suppress(_Hangup, FrameError, ConnectionError):
            while not self.sandbox.stopping.is_set():
                for fields in self.frames.feed(self._arrived()):
                    self._hear(fields)
                self._news()

    def finish(self) -> None:
        if self.client is not None:
            self.sandbox.release(self.client)

    def _arrived(self) -> bytes:
        try:
            arrived = self.request.recv(1 << 16)
        except TimeoutError:
            return b""
        if not arrived:
            raise _Hangup
        return arrived

    def _hear(self, fields: list[str]) -> None:
        if not self.version:
            self._agree(fields)
        elif self.client is None:
            self._start(fields)
        else:
            self._converse(self.client, fields)

    def _agree(self, fields: list[str]) -> None:
        """Choose the version, and say it and the time."""
        found = _VERSIONS.fullmatch(fields[0])
        if found is None or not int(found[1]) <= say.VERSION <= int(found[2] or found[1]):
            self._say([say.error(say.NOTHING, UNSUPPORTED, "The TWS is out of date and must be upgraded.")])
            raise _Hangup
        self.version = say.VERSION
        with self.sandbox.desk.account.lock:
            now = say.stamp(self.sandbox.desk.account.now())
        self._say([[str(self.version), now]])

    def _start(self, fields: list[str]) -> None:
        desk = self.sandbox.desk
        if len(fields) < 3 or fields[0] != str(START) or not re.fullmatch(r"\d{1,9}", fields[2], re.ASCII):
            raise _Hangup
        client = int(fields[2])
        if not self.sandbox.admit(client):
            said = "Unable to connect as the client id is already in use. Retry with a unique client id."
            self._say([say.error(say.NOTHING, CLIENT_IN_USE, said)])
            raise _Hangup
        self.client = client
        with desk.account.lock:
            self.told = len(desk.account.events)
            self._say(desk.greeting(client))

    def _converse(self, client: int, fields: list[str]) -> None:
        kind = int(fields[0]) if re.fullmatch(r"\d{1,9}", fields[0], re.ASCII) else -1
        self.sandbox.log.append((client, kind))
        trouble = self.sandbox.trouble(kind)
        answer: list[Message] = []
        desk = self.sandbox.desk
        if trouble is None or trouble.after:
            with desk.account.lock:
                answer = desk.answer(Asked(client, fields))
        if trouble is None:
            self._news()
            self._say(answer)
            return
        if trouble.kind is Kind.DROPPED:
            self._reset()
        self.mute = self.mute or trouble.kind is Kind.SILENT
        with desk.account.lock:
            self.told = len(desk.account.events)

    def _news(self) -> None:
        """Tell the client what became of its orders, and what all are told."""
        desk = self.sandbox.desk
        if self.client is None:
            return
        with desk.account.lock:
            desk.advance()
            told, owed = desk.news(self.client, self.told)
            self.told = len(desk.account.events)
            self.owed += owed
            costs = [(fill, desk.commission(fill)) for fill in self.owed]
        self.owed = [fill for fill, cost in costs if cost is None]
        announced = self.sandbox.announcements[self.announced :]
        self.announced += len(announced)
        told += [say.error(say.NOTHING, *one) for one in announced]
        self._say([*told, *[cost for _, cost in costs if cost is not None]])

    def _say(self, told: Iterable[Message]) -> None:
        spoil = self.sandbox.spoil
        packed = b"".join(pack(one if spoil is None else spoil(one)) for one in told)
        if packed and not self.mute:
            self.request.settimeout(5.0)
            self.request.sendall(packed)
            self.request.settimeout(_TICK)

    def _reset(self) -> None:
        """Close with a TCP reset."""
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.close()
        raise _Hangup


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = False  # whoever closes the server waits until all conversations are over

    def shutdown_request(self, request: Any) -> None:
        """A connection that was reset is closed already."""
        with suppress(OSError):
            super().shutdown_request(request)


@contextmanager
def serving(sandbox: TwsSandbox, port: int = 0) -> Generator[int]:
    """Serve on loopback while the block runs; yields the port. Port 0 takes a free one."""
    sandbox.stopping.clear()
    listener = listen(port)
    handler = type("Conversation", (_Conversation,), {"sandbox": sandbox})
    server = _Server(listener.getsockname(), handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        sandbox.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
