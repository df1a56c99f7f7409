"""The sandbox over HTTP on this machine: each site under its own host name as the first part of the path.

`http://127.0.0.1:PORT/www.sec.gov/Archives/...` answers as `https://www.sec.gov/Archives/...` would. With a day in
front (`/@2025-03-03/www.sec.gov/...`) it answers as on the evening of that day, which is how sites that show only the
present get a history; with a minute in UTC (`/@2025-03-03T14:30Z/`) as then.
"""

from __future__ import annotations

import io
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from datetime import time as clock_time
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from pas_dagster import calendar
from pas_dagster.errors import PasError
from pas_dagster.sandbox import sites
from pas_dagster.sandbox.faults import CONNECTION, Fault, Weather, spoil
from pas_dagster.sandbox.limits import Limit
from pas_dagster.sandbox.sites.site import Answer, Call, Present
from pas_dagster.sandbox.tape import Player
from pas_dagster.sandbox.world import World, world

_TRAVEL = re.compile(r"@(\d{4}-\d\d-\d\d)(?:T(\d\d):(\d\d)Z)?")
_EVENING = clock_time(23, 0)
_MOST_BODY = 1 << 20
_STALL = 30.0  # seconds a stalled socket is held before the server lets go of it
_DRIP = 0.05  # seconds between the bytes of a slow body


@dataclass
class Sandbox:
    """What the server serves, from the `site`s. `limited` enforces the rates of the real ones.

    `grows` lets the world go on with the days. `served` counts requests, `spoiled` those that a fault changed.
    """

    world: World
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    limited: bool = False
    grows: bool = False
    tape: Player | None = None
    site: Callable[[Present, Call], Answer] = sites.answer
    weather: list[Weather] = field(default_factory=list)
    limits: dict[str, Limit] = field(default_factory=dict)
    served: int = 0
    spoiled: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    def present(self, moment: datetime | None) -> Present:
        """The world now, or as it stood at a moment."""
        now = self.now().replace(second=0, microsecond=0)
        if self.grows and calendar.today(now) > self.world.end:
            self.world = world(self.world.seed, self.world.start, calendar.today(now))
        return _present(self.world, moment or now)

    def strike(self, host: str, path: str) -> Fault | None:
        """The fault that befalls a request, if any."""
        return next((w.fault for w in self.weather if w.strikes(host, path)), None)

    def answer(self, call: Call, moment: datetime | None) -> Answer:
        """What the site, or the tape, says."""
        if self.tape is not None:
            return self.tape.answer(call) or Answer(b"not on the tape", 404, "text/plain")
        if self.limited and (wait := self._over_limit(call.host)):
            return Answer(b"Too Many Requests", 429, "text/plain", {"Retry-After": str(int(wait) + 1)})
        return self.site(self.present(moment), call)

    def _over_limit(self, host: str) -> float:
        if host not in self.limits:
            rates = [site.limit for site in sites.by_host().get(host, []) if site.limit]
            self.limits[host] = Limit(*(rates[0] if rates else (10**9, 1.0)))
        return self.limits[host].admit(time.monotonic())


@lru_cache(maxsize=64)
def _present(world: World, now: datetime) -> Present:
    return Present(world, now)


def _moment(day: str, hour: str | None, minute: str | None) -> datetime:
    """A minute in UTC, or the evening of a day in New York."""
    if hour is None or minute is None:
        return datetime.combine(date.fromisoformat(day), _EVENING, calendar.NEW_YORK)
    return datetime.combine(date.fromisoformat(day), clock_time(int(hour), int(minute)), UTC)


class _Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with connections kept, answers in one packet where they fit."""

    protocol_version = "HTTP/1.1"
    server_version = "sandbox"
    sys_version = ""
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = 60
    sandbox: Sandbox

    def do_GET(self) -> None:
        self._reply()

    def do_POST(self) -> None:
        self._reply()

    def log_message(self, format: str, *args: Any) -> None:
        """Be silent: progress is the client's affair."""

    def _reply(self) -> None:
        found = self._call()
        if found is None:
            self._send(Answer(b"the first part of the path is the host\n", 404, "text/plain"))
            return
        call, moment = found
        self.sandbox.served += 1
        fault = self.sandbox.strike(call.host, call.path)
        if fault in (Fault.RESET, Fault.STALLED):
            self.sandbox.spoiled += 1
        if fault is Fault.RESET:
            self._reset()
        elif fault is Fault.STALLED:
            self.sandbox.stopping.wait(_STALL)
            self.close_connection = True
        else:
            answer = self.sandbox.answer(call, moment)
            if fault is not None and fault not in CONNECTION:
                spoiled = spoil(fault, answer)
                self.sandbox.spoiled += spoiled != answer
                answer = spoiled
            elif fault is not None:
                self.sandbox.spoiled += 1
            self._send(answer, fault)

    def _call(self) -> tuple[Call, datetime | None] | None:
        target, _, query = self.path.partition("?")
        first, _, rest = target.lstrip("/").partition("/")
        moment = None
        if travel := _TRAVEL.fullmatch(unquote(first)):
            moment = _moment(*travel.groups())
            first, _, rest = rest.partition("/")
        if "." not in first:
            return None
        raw_path = f"/{rest}"
        headers = {name.lower(): value for name, value in self.headers.items()}
        length = min(int(headers.get("content-length") or 0), _MOST_BODY)
        body = self.rfile.read(length) if length else b""
        return Call(self.command, first, unquote(raw_path), query, headers, body, raw_path), moment

    def _send(self, answer: Answer, fault: Fault | None = None) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            for one in value.split("\n"):  # a header that is sent several times
                self.send_header(name, one)
        self.end_headers()
        try:
            self._send_body(answer.body, fault)
        except OSError:
            self.close_connection = True  # the client has had enough

    def _send_body(self, body: bytes, fault: Fault | None) -> None:
        if fault is Fault.TRUNCATED:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif fault is Fault.SLOW_BODY:
            for at in range(len(body)):
                self.wfile.write(body[at : at + 1])
                self.wfile.flush()
                if self.sandbox.stopping.wait(_DRIP):
                    break
        else:
            self.wfile.write(body)
        self.wfile.flush()

    def _reset(self) -> None:
        """Close with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
        self.wfile = io.BytesIO()  # the stream of a connection that is gone


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news; anything else is a fault of the sandbox and is shown."""
        import sys

        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


@contextmanager
def serving(sandbox: Sandbox, port: int = 0) -> Generator[str]:
    """Serve on loopback while the block runs; yields the base address. Port 0 takes a free one."""
    try:
        listener = socket.create_server(("127.0.0.1", port), backlog=_Server.request_queue_size)
    except OSError as error:
        raise PasError(f"Port {port} of this machine cannot be used ({error.strerror}). Choose another.") from None
    with serve_on(sandbox, listener):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def serve_on(sandbox: Sandbox, listener: socket.socket) -> Generator[None]:
    """Serve on a socket that listens already, while the block runs."""
    handler = type("Handler", (_Handler,), {"sandbox": sandbox})
    server = _Server(listener.getsockname(), handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        sandbox.stopping.set()
        server.shutdown()
        server.server_close()
