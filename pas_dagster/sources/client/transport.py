"""The polite transport: a `requests` adapter through which every request of a source goes, whoever makes it.

Our own walks use it, and so do libraries that accept a `requests.Session` (praw, yfinance). It sends only where the
guard allows, at the host's pace, again only where that is safe and may help, and hands on complete bodies only.
"""

from __future__ import annotations

import io
import urllib.request
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from random import Random
from threading import BoundedSemaphore, Lock
from typing import Any, cast

import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.structures import CaseInsensitiveDict

from pas_dagster.sources.client.body import BodyError, read_body
from pas_dagster.sources.client.clock import Clock
from pas_dagster.sources.client.guard import Guard, Route
from pas_dagster.sources.client.hosts import Host, known, unhurried
from pas_dagster.sources.client.pacing import Pace
from pas_dagster.sources.source import SourceError

ATTEMPTS = 4
PATIENCE = 120.0  # seconds: a host that asks for a longer pause is given up for this run
_FIRST_BACKOFF = 0.5
_RETRIED = frozenset({429, 500, 502, 503, 504})
_COMPLAINTS = frozenset({429, 503})
_REPEATABLE = "X-Pas-Repeatable"  # stays on this side: marks a POST that only reads
_CHUNK = 1 << 16


class _AttemptError(Exception):
    """One attempt failed. `again` says whether another may help, after `pause` seconds if the host named any."""

    def __init__(self, rule: str, *, again: bool, pause: float | None = None, body: bytes = b"") -> None:
        super().__init__(rule)
        self.again = again
        self.pause = pause
        self.body = body


class RefusedError(SourceError):
    """A request failed for good. `body` is what the host sent with its refusal, if anything."""

    def __init__(self, rule: str, url: str, body: bytes = b"") -> None:
        super().__init__(rule)
        self.rule = rule
        self.url = url
        self.body = body


@dataclass(frozen=True)
class Exchange:
    """A request that was answered: for whoever keeps pages or records a tape. `url` is the site's own address."""

    request: requests.PreparedRequest
    url: str
    status: int
    headers: CaseInsensitiveDict[str]
    content: bytes
    at: datetime

    @property
    def opens_doors(self) -> bool:
        """What answers a password is a credential, and kept nowhere."""
        return str(self.request.headers.get("Authorization", "")).startswith("Basic ")


class Traffic:
    """What all transports of a process share: the paces and the connections of the hosts.

    `hurried` drops the hosts' limits, for a sandbox. `longest`: seconds after which any wait for an answer ends, where
    the hosts' own limits are longer.
    """

    def __init__(
        self, guard: Guard, clock: Clock, *, contact: str | None, hurried: bool = False, longest: float | None = None
    ) -> None:
        self.guard = guard
        self.clock = clock
        self.contact = contact
        self.random = Random()
        self._hurried = hurried
        self._longest = longest
        self._paces: dict[str, Pace] = {}
        self._slots: dict[str, BoundedSemaphore] = {}
        self._lock = Lock()
        self._wire = HTTPAdapter(pool_connections=32, pool_maxsize=8, max_retries=0)

    def towards(self, guard: Guard, clock: Clock) -> Traffic:
        """The same paces and connections, with other directions."""
        other = copy(self)
        other.guard, other.clock = guard, clock
        return other

    def host(self, name: str) -> Host:
        """What the host permits; a sandbox without limits permits everything."""
        host = unhurried(known(name)) if self._hurried else known(name)
        return host.within(self._longest) if self._longest else host

    def pace(self, name: str) -> Pace:
        with self._lock:
            if name not in self._paces:
                host = self.host(name)
                self._paces[name] = Pace(host.requests, host.seconds)
            return self._paces[name]

    def slots(self, name: str) -> BoundedSemaphore:
        """As many as the host permits connections."""
        with self._lock:
            return self._slots.setdefault(name, BoundedSemaphore(self.host(name).connections))

    def send(self, request: requests.PreparedRequest, route: Route, host: Host) -> requests.Response:
        """Put a request on the wire; the answer's body is not read yet."""
        timeout = (host.connect_timeout, host.read_timeout)
        if host.browser and not route.chosen:
            return _as_a_browser(request, timeout)
        sent = request.copy()
        sent.url = route.url
        proxies = {} if route.chosen else urllib.request.getproxies()
        return self._wire.send(sent, stream=True, timeout=timeout, verify=True, cert=None, proxies=proxies)

    def close(self) -> None:
        self._wire.close()


def _as_a_browser(request: requests.PreparedRequest, timeout: tuple[float, float]) -> requests.Response:
    """Send with the handshake of a browser, which some hosts insist on. curl unpacks the body itself."""
    from curl_cffi.requests import Session
    from curl_cffi.requests.exceptions import RequestException

    own = ("user-agent", "accept-encoding")  # the browser's, or the disguise is none
    headers = {name: str(value) for name, value in request.headers.items() if name.lower() not in own}
    body = request.body if isinstance(request.body, (str, bytes)) else None
    session = Session(impersonate="chrome")
    try:
        received = session.request(
            cast("Any", request.method or "GET"),
            request.url or "",
            headers=headers,
            data=body,
            timeout=timeout,
            stream=True,
            allow_redirects=False,
        )
    except RequestException as error:
        session.close()
        raise requests.ConnectionError(str(error)) from None
    answer = requests.Response()
    answer.status_code = received.status_code
    kept = {name: value for name, value in received.headers.items() if name.lower() != "content-encoding" and value}
    answer.headers = CaseInsensitiveDict(kept)
    answer.raw = _CurlBody(received, session)
    return answer


class _CurlBody:
    """A streamed curl answer that reads like urllib3's."""

    def __init__(self, received: Any, session: Any) -> None:
        self._chunks: Iterator[bytes] = received.iter_content()
        self._received = received
        self._session = session
        self._original_response = _Headers(received.headers.get_list("set-cookie"))

    def read1(self, _: int, decode_content: bool = False) -> bytes:
        from curl_cffi.requests.exceptions import RequestException

        try:
            return next(self._chunks, b"")
        except RequestException as error:
            raise urllib3.exceptions.ProtocolError(str(error)) from None

    def close(self) -> None:
        self._received.close()
        self._session.close()


class _Headers:
    """The part of an answer that `requests` reads cookies from."""

    def __init__(self, cookies: Sequence[str]) -> None:
        self.msg = Message()
        for cookie in cookies:
            self.msg["Set-Cookie"] = cookie

    def isclosed(self) -> bool:
        return True


class PoliteTransport(BaseAdapter):
    """Sends for one source. `on_exchange` sees every answer, also redirects, in the order they came."""

    def __init__(
        self, traffic: Traffic, allowed: Collection[str], on_exchange: Callable[[Exchange], None] = lambda _: None
    ) -> None:
        super().__init__()
        self._traffic = traffic
        self._allowed = allowed
        self._on_exchange = on_exchange
        self.refusal: RefusedError | None = None  # the last one; libraries wrap or swallow what is raised

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Send, wait, try again; raises `RefusedError` when no complete answer is to be had."""
        try:
            return self._send(request)
        except RefusedError as refusal:
            self.refusal = refusal
            raise

    def _send(self, request: requests.PreparedRequest) -> requests.Response:
        url = request.url or ""
        repeatable = bool(request.headers.pop(_REPEATABLE, "")) or request.method in ("GET", "HEAD")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._attempt(request, url)
            except _AttemptError as trouble:
                if attempt == ATTEMPTS or not trouble.again or not repeatable:
                    times = f" ({attempt} attempts)" if attempt > 1 else ""
                    raise RefusedError(f"{trouble}{times}", url, trouble.body) from None
                self._back_off(url, attempt, trouble)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Connections belong to the traffic."""

    def _attempt(self, request: requests.PreparedRequest, url: str) -> requests.Response:
        name = requests.utils.urlparse(url).hostname or ""
        host, clock = self._traffic.host(name), self._traffic.clock
        self._identify(request, name, host)
        try:
            route = self._traffic.guard.route(url, self._allowed)
        except SourceError as refusal:
            raise RefusedError(str(refusal), url) from None
        except OSError as error:
            raise _AttemptError(f"{name} has no address ({error.strerror or error})", again=True) from None
        with self._traffic.slots(name):
            self._wait_for_turn(name)
            deadline = clock.monotonic() + host.deadline
            try:
                answer = self._traffic.send(request, route, host)
                with closing(answer.raw):
                    content = read_body(
                        _chunks(answer.raw),
                        answer.headers.get("Content-Encoding", ""),
                        host.max_bytes,
                        deadline,
                        clock.monotonic,
                    )
            except BodyError as error:
                raise _AttemptError(str(error), again=not error.final) from None
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                raise _AttemptError(_in_words(error, host), again=True) from None
        self._judge(name, answer, content)
        return self._finished(request, url, answer, content)

    def _identify(self, request: requests.PreparedRequest, name: str, host: Host) -> None:
        """Say who asks, and ask for packings that can be unpacked within bounds."""
        contact = self._traffic.contact
        if host.contact and not contact:
            raise RefusedError(f"{name} wants to know who asks: set PAS_CONTACT to a name and an e-mail address", "")
        request.headers["User-Agent"] = f"PortfolioAllocationSystem/0.1 ({contact or 'no contact given'})"
        request.headers["Accept-Encoding"] = "gzip, deflate"

    def _wait_for_turn(self, name: str) -> None:
        """Wait for the host's pace. It ends: each round takes the turn or sleeps until the turn that was named."""
        clock, pace = self._traffic.clock, self._traffic.pace(name)
        while (wait := pace.take(clock.monotonic())) > 0:
            clock.sleep(wait)

    def _judge(self, name: str, answer: requests.Response, content: bytes) -> None:
        """Raise for what asking again may cure and for challenges; tell the pace how the host took it."""
        pace, status = self._traffic.pace(name), answer.status_code
        said = f"{name} answered {status}"
        if status in _COMPLAINTS:
            pause = _retry_after(answer.headers.get("Retry-After"), self._traffic.clock.now())
            if pause is not None and pause > PATIENCE:
                raise _AttemptError(
                    f"{name} answered {status} and asks to wait {pause:,.0f} s", again=False, body=content
                )
            pace.throttled(self._traffic.clock.monotonic(), pause or 0.0)
            raise _AttemptError(said, again=True, pause=pause, body=content)
        if answer.headers.get("cf-mitigated") == "challenge":
            raise _AttemptError(
                f"{name} answered {status} with a challenge page for browsers", again=False, body=content
            )
        if status in _RETRIED and not self._traffic.host(name).cookies_only:
            raise _AttemptError(said, again=True, body=content)
        pace.succeeded()

    def _back_off(self, url: str, attempt: int, trouble: _AttemptError) -> None:
        """Full jitter (Brooker 2015), unless the host named a time: the pace keeps that one."""
        if trouble.pause is None:
            self._traffic.clock.sleep(self._traffic.random.uniform(0, _FIRST_BACKOFF * 2**attempt))

    def _finished(
        self, request: requests.PreparedRequest, url: str, answer: requests.Response, content: bytes
    ) -> requests.Response:
        headers = CaseInsensitiveDict(answer.headers)
        headers.pop("Content-Encoding", None)
        headers["Content-Length"] = str(len(content))
        result = requests.Response()
        result.status_code, result.headers, result.url, result.request = answer.status_code, headers, url, request
        result.encoding = requests.utils.get_encoding_from_headers(headers)
        result.reason = answer.reason
        result.raw = urllib3.HTTPResponse(
            io.BytesIO(content),
            status=answer.status_code,
            headers=headers,
            preload_content=False,
            original_response=getattr(answer.raw, "_original_response", None),  # requests reads cookies from it
        )
        self._on_exchange(Exchange(request, url, answer.status_code, headers, content, self._traffic.clock.now()))
        return result


def repeatable(headers: dict[str, str]) -> dict[str, str]:
    """The headers of a POST that only reads, and so may be sent again."""
    return {**headers, _REPEATABLE: "yes"}


def _chunks(raw: Any) -> Iterator[bytes]:
    """What has arrived, as it arrives: a body that drips is noticed by its deadline."""
    while chunk := raw.read1(_CHUNK, decode_content=False):
        yield chunk


def _in_words(error: Exception, host: Host) -> str:
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)):
        return f"no answer within {host.read_timeout:g} s"
    if isinstance(error, urllib3.exceptions.IncompleteRead) or "IncompleteRead" in str(error):
        return "the answer was cut short"
    if isinstance(error, (requests.exceptions.SSLError, urllib3.exceptions.SSLError)):
        return "the host's certificate could not be verified"
    return f"the connection failed ({type(error).__name__})"


def _retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that `Retry-After` asks for, as a number or a date (RFC 9110, 10.2.3); None when it says nothing."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds())
