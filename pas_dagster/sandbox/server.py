"""The sandbox over HTTP on this machine: each site under its own host name as the first part of the path.

`http://127.0.0.1:PORT/www.sec.gov/Archives/...` answers as `https://www.sec.gov/Archives/...` would. With a day in
front (`/@2025-03-03/www.sec.gov/...`) it answers as on the evening of that day, which is how sites that show only the
present get a history; with a minute in UTC (`/@2025-03-03T14:30Z/`) as then.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from datetime import time as clock_time
from functools import lru_cache
from urllib.parse import unquote

from pas_dagster import calendar
from pas_dagster.sandbox import sites
from pas_dagster.sandbox.faults import CONNECTION, Fault, Weather, spoil
from pas_dagster.sandbox.limits import Limit
from pas_dagster.sandbox.loopback import STALL, Handler, listen, running
from pas_dagster.sandbox.sites.site import Answer, Call, Present
from pas_dagster.sandbox.tape import Player
from pas_dagster.sandbox.world import World, world

_TRAVEL = re.compile(r"@(\d{4}-\d\d-\d\d)(?:T(\d\d):(\d\d)Z)?")
_EVENING = clock_time(23, 0)


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


class _Handler(Handler):
    sandbox: Sandbox

    def reply(self) -> None:
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
            self.reset()
        elif fault is Fault.STALLED:
            self.sandbox.stopping.wait(STALL)
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
        headers, body = self.received()
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
            self.cut_off(body)
        elif fault is Fault.SLOW_BODY:
            self.drip(body, self.sandbox.stopping)
        else:
            self.wfile.write(body)
        self.wfile.flush()


@contextmanager
def serving(sandbox: Sandbox, port: int = 0) -> Generator[str]:
    """Serve on loopback while the block runs; yields the base address. Port 0 takes a free one."""
    listener = listen(port)
    with serve_on(sandbox, listener):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def serve_on(sandbox: Sandbox, listener: socket.socket) -> Generator[None]:
    """Serve on a socket that listens already, while the block runs."""
    with running(type("Handler", (_Handler,), {"sandbox": sandbox}), listener, sandbox.stopping):
        yield
