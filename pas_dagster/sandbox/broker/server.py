"""The sandbox broker over HTTP on this machine, under the paths of the real one (`/v2/...`).

The unmodified SDK works against it: `TradingClient(key, secret, url_override=url)`.
"""

from __future__ import annotations

import io
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from pas_dagster.errors import PasError
from pas_dagster.sandbox.broker import api
from pas_dagster.sandbox.broker.paper import PaperAccount
from pas_dagster.sandbox.broker.trouble import SOCKET, Kind, Trouble
from pas_dagster.sandbox.limits import Limit
from pas_dagster.sandbox.sites.site import Answer, Call, json_answer

KEY, SECRET = "SANDBOXKEY", "sandbox-secret"
_MOST_BODY = 1 << 20
_STALL = 30.0  # seconds a stalled connection is held


class Budget(Limit):
    """A limit that tells how much of it is left, as the API's headers do."""

    def __init__(self, requests: int = 200, seconds: float = 60.0) -> None:
        super().__init__(requests, seconds)
        self.requests = requests
        self.seconds = seconds

    def headers(self) -> dict[str, str]:
        left = self.requests - len(self._arrivals)
        return {
            "X-RateLimit-Limit": str(self.requests),
            "X-RateLimit-Remaining": str(max(0, left)),
            "X-RateLimit-Reset": str(int(time.time() + self.seconds)),
        }


@dataclass
class BrokerSandbox:
    """What is served: an account, behind a key, a limit and whatever trouble is set.

    `log`: method, path and status of every request (0: none was sent). `slowness`: seconds of a slow answer.
    """

    account: PaperAccount
    key: str = KEY
    secret: str = SECRET
    budget: Budget | None = None
    monotonic: Callable[[], float] = time.monotonic
    troubles: list[Trouble] = field(default_factory=list)
    slowness: float = 0.3
    log: list[tuple[str, str, int]] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def admit(self, call: Call) -> Answer | None:
        """The refusal of a request that comes too soon or without the key."""
        if self.budget is not None and (wait := self.budget.admit(self.monotonic())) > 0:
            return json_answer(
                {"code": 42910000, "message": "too many requests."}, 429, **{"Retry-After": str(int(wait) + 1)}
            )
        given = (call.headers.get("apca-api-key-id", ""), call.headers.get("apca-api-secret-key", ""))
        wanted = (self.key, self.secret)
        known = [compare_digest(a.encode(), b.encode()) for a, b in zip(given, wanted, strict=True)]
        return None if all(known) else json_answer({"code": 40110000, "message": "request is not authorized"}, 401)

    def answer(self, call: Call) -> tuple[Answer, Kind | None]:
        """What is sent, and how the connection treats it."""
        with self.lock:
            trouble = next((one for one in self.troubles if one.strikes(call.method, call.path)), None)
            if trouble is not None and not trouble.after and trouble.kind is not Kind.SLOW:
                return self._spoilt(trouble, json_answer({"code": 50010000, "message": "nothing was done"}, 500))
            refusal = self.admit(call)
            said = refusal or api.answer(self.account, call)
            if self.budget is not None:
                said = replace(said, headers={**said.headers, **self.budget.headers()})
            return (said, None) if trouble is None else self._spoilt(trouble, said)

    def _spoilt(self, trouble: Trouble, said: Answer) -> tuple[Answer, Kind | None]:
        return trouble.answer(said), trouble.kind if trouble.kind in SOCKET else None

    def count(self, method: str, path: str) -> int:
        """How many requests there were of a method and path."""
        return sum((a, b) == (method, path) for a, b, _ in self.log)


class _Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with connections kept, answers in one packet."""

    protocol_version = "HTTP/1.1"
    server_version = "sandbox"
    sys_version = ""
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = 60
    sandbox: BrokerSandbox

    def do_GET(self) -> None:
        self._reply()

    def do_POST(self) -> None:
        self._reply()

    def do_DELETE(self) -> None:
        self._reply()

    def log_message(self, format: str, *args: Any) -> None:
        """Be silent: the log of requests is the sandbox's."""

    def _reply(self) -> None:
        sandbox = self.sandbox
        if sandbox.stopping.is_set():  # a kept connection does not outlive the server
            self._reset()
            return
        call = self._call()
        said, treatment = sandbox.answer(call)
        lost = treatment in (Kind.RESET, Kind.STALLED)
        sandbox.log.append((call.method, call.path, 0 if lost else said.status))
        if treatment is Kind.RESET:
            self._reset()
        elif treatment is Kind.STALLED:
            sandbox.stopping.wait(_STALL)
            self.close_connection = True
        else:
            if treatment is Kind.SLOW:
                sandbox.stopping.wait(sandbox.slowness)
            with suppress(OSError):  # the client has had enough
                self._send(said, treatment)
                return
            self.close_connection = True

    def _call(self) -> Call:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        length = min(int(headers.get("content-length") or 0), _MOST_BODY)
        body = self.rfile.read(length) if length else b""
        return Call(self.command, "paper-api.alpaca.markets", unquote(path), query, headers, body, path)

    def _send(self, said: Answer, treatment: Kind | None) -> None:
        self.send_response(said.status)
        self.send_header("Content-Type", said.type)
        if said.status != 204:
            self.send_header("Content-Length", str(len(said.body)))
        for name, value in said.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if treatment is Kind.TRUNCATED:
            self.wfile.write(said.body[: len(said.body) // 2])
            self.close_connection = True
        elif treatment is Kind.DRIPPING:
            for at in range(len(said.body)):
                self.wfile.write(said.body[at : at + 1])
                self.wfile.flush()
                if self.sandbox.stopping.wait(0.05):
                    break
        else:
            self.wfile.write(said.body)
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
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


@contextmanager
def serving(sandbox: BrokerSandbox, port: int = 0) -> Generator[str]:
    """Serve on loopback while the block runs; yields the base address. Port 0 takes a free one."""
    handler = type("Handler", (_Handler,), {"sandbox": sandbox})
    sandbox.stopping.clear()
    try:
        server = _Server(("127.0.0.1", port), handler)
    except OSError as error:
        raise PasError(f"Port {port} of this machine cannot be used ({error.strerror}). Choose another.") from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        sandbox.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
