"""The sandbox broker over HTTP on this machine, under the paths of the real one (`/v2/...`).

The unmodified SDK works against it: `TradingClient(key, secret, url_override=url)`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from urllib.parse import unquote

from pas_dagster.sandbox.broker import api
from pas_dagster.sandbox.broker.paper import PaperAccount
from pas_dagster.sandbox.broker.trouble import SOCKET, Kind, Trouble
from pas_dagster.sandbox.limits import Limit
from pas_dagster.sandbox.loopback import STALL, Handler, listen, running
from pas_dagster.sandbox.sites.site import Answer, Call, json_answer

KEY, SECRET = "SANDBOXKEY", "sandbox-secret"


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


class _Handler(Handler):
    sandbox: BrokerSandbox

    def do_DELETE(self) -> None:  # noqa: N802  (the name is that of the protocol)
        self.reply()

    def reply(self) -> None:
        sandbox = self.sandbox
        if sandbox.stopping.is_set():  # a kept connection does not outlive the server
            self.reset()
            return
        call = self._call()
        said, treatment = sandbox.answer(call)
        lost = treatment in (Kind.RESET, Kind.STALLED)
        sandbox.log.append((call.method, call.path, 0 if lost else said.status))
        if treatment is Kind.RESET:
            self.reset()
        elif treatment is Kind.STALLED:
            sandbox.stopping.wait(STALL)
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
        headers, body = self.received()
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
            self.cut_off(said.body)
        elif treatment is Kind.DRIPPING:
            self.drip(said.body, self.sandbox.stopping)
        else:
            self.wfile.write(said.body)
        self.wfile.flush()


@contextmanager
def serving(sandbox: BrokerSandbox, port: int = 0) -> Generator[str]:
    """Serve on loopback while the block runs; yields the base address. Port 0 takes a free one."""
    sandbox.stopping.clear()
    listener = listen(port)
    with running(type("Handler", (_Handler,), {"sandbox": sandbox}), listener, sandbox.stopping):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
