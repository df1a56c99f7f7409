"""The way to Alpaca: alpaca-py's client with timeouts, without its retries, at a polite pace, to the right host only.

alpaca-py waits for ever, repeats a POST by itself, follows no rule of `Retry-After` and lets a dozen kinds of
exceptions out. Here one request is one attempt with a deadline, whose outcome is a value: a status and a document, or
no answer. Only requests that change nothing by being repeated are repeated.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from ipaddress import ip_address
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from requests.adapters import HTTPAdapter

from pas_dagster.execution.brokers.base import BrokerError, KeyRefusedError
from pas_dagster.sources.client.body import BodyError, read_body
from pas_dagster.sources.client.clock import Clock, SystemClock
from pas_dagster.sources.client.pacing import Pace

T = TypeVar("T")
PAPER = "https://paper-api.alpaca.markets"
LIVE = "https://api.alpaca.markets"
DATA = "https://data.alpaca.markets"
Service = Literal["paper", "live", "data"]
SERVICES: Mapping[Service, str] = {"paper": PAPER, "live": LIVE, "data": DATA}
PATIENCE = 120.0  # seconds: a broker that asks for a longer pause is given up for this run
ATTEMPTS = 3
MOST_BYTES = 16 << 20
_CONNECT = 5.0
_FIRST_BACKOFF = 0.2
_CHUNK = 1 << 16
_LONGEST_MESSAGE = 200
_NO_ANSWER = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError, RecursionError)


class Reply(NamedTuple):
    """The outcome of one request. `status` None: no complete answer came, and whether it was heard is not known.

    `code` and `message` are those of a refusal's body; `why` puts the outcome in words.
    """

    status: int | None
    body: Any = None
    code: int | None = None
    message: str = ""
    why: str = ""
    pause: float | None = None

    @property
    def unauthorized(self) -> bool:
        """The key was refused, not the request: 403 says so by having no code."""
        return self.status == 401 or (self.status == 403 and self.code is None and bool(self.message))

    @property
    def missing(self) -> bool:
        """The API itself says that there is no such thing; a 404 of something on the way says nothing."""
        return self.status == 404 and bool(self.message) and self.code is not None


def checked(url: str, service: Service = "paper") -> str:
    """The address, if it is exactly the service's own, without a closing slash.

    A sandbox on this machine may stand in for the paper host and for market data, never for the live host. Raises
    `BrokerError` for anything else; the message does not repeat the address, which may hold a password.
    """
    plain, own = url.rstrip("/"), SERVICES[service]
    if plain == own or (service != "live" and is_local(plain)):
        return plain
    if service == "live":
        raise BrokerError(f"Live trading goes to {LIVE} only, and the broker's address is another.")
    what = "Paper trading goes" if service == "paper" else "Questions for prices go"
    raise BrokerError(f"{what} to {own} or a sandbox on this machine, and the address that was given is another.")


def is_local(url: str) -> bool:
    """Whether the address is plain HTTP to a port of this machine, with nothing hidden in it."""
    try:
        parts = urlsplit(url)
        odd = parts.username is not None or parts.password is not None or parts.query or parts.fragment
        local = parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
        return parts.scheme == "http" and local and not odd and (parts.port or 0) > 0
    except ValueError:
        return False


class Wire(HTTPAdapter):
    """Every request with a timeout, every answer complete, bounded in bytes and time, and no redirects."""

    def __init__(self, timeout: float, clock: Clock) -> None:
        super().__init__(max_retries=0)
        self._wait = timeout
        self._clock = clock

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        deadline = self._clock.monotonic() + 2 * self._wait
        request.headers["Accept-Encoding"] = "gzip, deflate"
        options |= {"timeout": (min(_CONNECT, self._wait), self._wait), "stream": True}
        answer = super().send(request, **options)
        with closing(answer.raw):
            packing = answer.headers.get("Content-Encoding", "")
            try:
                content = read_body(_chunks(answer.raw), packing, MOST_BYTES, deadline, self._clock.monotonic)
            except BodyError as error:
                raise requests.ConnectionError(str(error)) from None
        if 300 <= answer.status_code < 400:
            raise requests.ConnectionError(f"it answered {answer.status_code}, a way to somewhere else")
        answer._content = content  # what `requests` would have read, without bounds
        answer._content_consumed = True
        answer.encoding = "utf-8"
        return answer


def _chunks(raw: Any) -> Iterator[bytes]:
    """What has arrived, as it arrives: a body that drips is noticed by its deadline."""
    while chunk := raw.read1(_CHUNK, decode_content=False):
        yield chunk


class Link:
    """One key at one service. `requests_per_minute` is never exceeded by one link; share a pace to share the budget.

    Raises `BrokerError` for an address that is not the service's (see `checked`) and for a missing key.
    """

    def __init__(
        self,
        key_id: str,
        secret_key: str,
        url: str = PAPER,
        *,
        service: Service = "paper",
        requests_per_minute: int = 200,
        timeout: float = 15.0,
        clock: Clock | None = None,
        pace: Pace | None = None,
    ) -> None:
        if not key_id or not secret_key:
            raise BrokerError("Alpaca needs a key id and a secret key; set both.")
        self.url = checked(url, service)
        self.clock = clock or SystemClock()
        self._pace = pace or Pace(requests_per_minute, 60.0)
        self._secrets = (key_id, secret_key)
        self._client = TradingClient(key_id, secret_key, paper=service != "live", raw_data=True, url_override=self.url)
        self._tame(Wire(timeout, self.clock))

    def _tame(self, wire: Wire) -> None:
        """Take from the client what would send a request twice or wait for ever. Neither has a public switch."""
        client = self._client
        session = getattr(client, "_session", None)
        if not isinstance(session, requests.Session) or not hasattr(client, "_retry"):
            raise BrokerError("This version of alpaca-py keeps its retries elsewhere; install the one that was tested.")
        client._retry = 0
        session.mount("https://", wire)
        session.mount("http://", wire)
        if self.url not in SERVICES.values():
            session.trust_env = False  # no proxy lies between this machine and itself

    def __repr__(self) -> str:
        return f"Link({self.url!r})"

    def get(self, path: str, **asked: str) -> Any:
        """The document at a path. Raises `BrokerError` when there is none to be had."""
        reply = self.ask("get", path, asked)
        if reply.status == 200:
            return reply.body
        raise self.trouble(reply)

    def ask(self, method: str, path: str, asked: Mapping[str, str] | None = None) -> Reply:
        """Send what may be sent again, until there is an answer that would stay the same."""
        reply = self.once(method, path, asked)
        for attempt in range(1, ATTEMPTS):
            if reply.status is not None and reply.status != 429 and reply.status < 500:
                break
            if reply.status != 429:
                self.clock.sleep(random.uniform(0, _FIRST_BACKOFF * 2**attempt))
            reply = self.once(method, path, asked)
        return reply

    def once(self, method: str, path: str, asked: Mapping[str, str] | None = None) -> Reply:
        """One attempt, in its turn. Raises `BrokerError` only when nothing was sent."""
        self._wait_for_turn()
        send = {"get": self._client.get, "post": self._client.post, "delete": self._client.delete}[method]
        try:
            body = send(path, dict(asked or {}))
        except APIError as error:
            reply = self._refused(error)
        except _NO_ANSWER as error:
            reply = Reply(None, why=_in_words(error))
        else:
            reply = Reply(200, body)
        if reply.status == 429:
            self._pace.throttled(self.clock.monotonic(), 1.0 if reply.pause is None else reply.pause)
        elif reply.status == 200:
            self._pace.succeeded()
        return reply

    def _wait_for_turn(self) -> None:
        while (wait := self._pace.take(self.clock.monotonic())) > 0:
            if wait > PATIENCE:
                raise BrokerError(f"Alpaca asks to be left alone for {wait:,.0f} s; run again after that.")
            self.clock.sleep(wait)

    def _refused(self, error: APIError) -> Reply:
        status = error.status_code
        answer = error.response
        if not isinstance(status, int) or answer is None:
            return Reply(None, why="the answer has no status")
        try:
            said = json.loads(str(error))
        except (ValueError, RecursionError):
            said = None
        found = said if isinstance(said, dict) else {}
        code, message = found.get("code"), found.get("message")
        text = self.clean(message) if isinstance(message, str) else ""
        number = code if isinstance(code, int) and not isinstance(code, bool) else None
        why = f"it answered {status}" + (f" ({text})" if text else "")
        return Reply(status, None, number, text, why, _pause(answer.headers.get("Retry-After")))

    def read(self, parse: Callable[[object], T], body: object) -> T:
        """A document in our terms. Raises `BrokerError` for one that cannot be read; it never quotes a secret."""
        try:
            return parse(body)
        except BrokerError as error:
            why = self.clean(str(error))
        raise BrokerError(why)

    def clean(self, said: str) -> str:
        """A message of the broker's in one line, without our secrets, whatever it repeats."""
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return " ".join("".join(c if c.isprintable() else " " for c in said).split())[:_LONGEST_MESSAGE]

    def trouble(self, reply: Reply) -> BrokerError:
        """The error for a reply that is no answer to what was asked: `KeyRefusedError` for a refused key."""
        if reply.unauthorized:
            return KeyRefusedError(f"Alpaca refuses the key ({reply.why}); check key, secret and host before going on.")
        if reply.status == 429:
            return BrokerError(f"Alpaca is asked too often ({reply.why}); run again in a minute.")
        return BrokerError(f"Alpaca could not be asked: {reply.why or 'the answer was empty'}; run again.")


def _pause(said: str | None) -> float | None:
    """Seconds of a `Retry-After`, if it gives a number."""
    plain = said is not None and said.strip().isascii() and said.strip().isdecimal() and len(said.strip()) < 9
    return float(said) if plain and said is not None else None


def _in_words(error: Exception) -> str:
    """What happened, without quoting the error: some repeat the request."""
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)):
        return "no answer came in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate could not be verified"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy did not let it through"
    if isinstance(error, (requests.exceptions.JSONDecodeError, RecursionError)) or not isinstance(
        error, (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
    ):
        return "the answer is no JSON"
    return f"the connection failed ({type(error).__name__})"
