"""The client: visits sites on behalf of sources, keeps every page's bytes, and reports how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import requests

from pas_dagster import calendar
from pas_dagster.sources.client.cache import Cache
from pas_dagster.sources.client.clock import Clock, Standing
from pas_dagster.sources.client.guard import Guard
from pas_dagster.sources.client.transport import Exchange, PoliteTransport, RefusedError, Traffic, repeatable
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.raw import RawStore
from pas_dagster.sources.source import LayoutError, Query, Source, SourceError, sentence

Progress = Callable[[str, int, int], None]
"""Told the source, the pages done, and the pages known to come."""

_MOST_ROUNDS = 10_000  # a site that pages for ever is stopped
_SECRET_NAMES = frozenset({"crumb", "token", "key", "api_key", "apikey", "auth", "access_token"})


@dataclass(frozen=True)
class Client:
    """Visits sites over the traffic that all clients of a process share.

    `credentials`: name -> headers, added to requests that name them, never kept. `cache_for` is how long an answer is
    used again without asking.
    """

    raw: RawStore
    traffic: Traffic
    credentials: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    cache_folder: Path | None = None
    cache_for: timedelta = timedelta(minutes=15)
    progress: Progress = lambda *_: None
    on_exchange: Callable[[Exchange], None] = lambda _: None

    @property
    def clock(self) -> Clock:
        return self.traffic.clock

    @cached_property
    def cache(self) -> Cache | None:
        return Cache(self.cache_folder, self.raw, self.cache_for) if self.cache_folder else None

    def travelled(self, base_url: str, moment: datetime) -> Client:
        """This client sent to a sandbox as of a moment of its past, which is then the time of its clock."""
        return replace(self, traffic=self.traffic.towards(Guard({"*": base_url}), Standing(moment)))

    def pages(self, source: Source, query: Query) -> list[Page]:
        """Everything the source's walk asks for, in order; their bytes are kept. Raises `SourceError`."""
        visit = Visit(self, source)
        try:
            return visit.driven(query) if source.drive is not None else visit.walked(query)
        except RefusedError as refusal:
            raise visit.error(refusal.rule, refusal.url, refusal.body) from None

    def forget(self, pages: Sequence[Page]) -> None:
        """Pages that could not be read are asked for afresh next time."""
        if self.cache:
            for page in pages:
                self.cache.drop(self.where(page.request))

    def where(self, request: Request) -> str:
        """The address a request really goes to, under which its answer is remembered."""
        asked = " ".join(f"{name}={value}" for name, value in sorted(request.headers.items()))
        return f"{request.auth or ''} {asked} {self.traffic.guard.rewritten(request.url) or request.url}"


class Visit:
    """One walk of one source: its session with its cookies, and the pages it has seen."""

    def __init__(self, client: Client, source: Source) -> None:
        self._client = client
        self._source = source
        self._recorded: list[Page] = []
        self._last_url = ""
        self._since = datetime.min.replace(tzinfo=UTC)
        self._done = 0

    def walked(self, query: Query) -> list[Page]:
        """Run the source's own walk."""
        assert self._source.walk is not None
        session, _ = self._session(self._client.on_exchange)
        walk = self._source.walk(query)
        self._since = self._valid_since(query)
        found: list[Page] = []
        try:
            asked = next(walk)
            for _ in range(_MOST_ROUNDS):
                answers = self._ask(session, asked)
                found += answers
                asked = walk.send(answers)
        except StopIteration:
            return found
        except LayoutError as error:
            page = error.page or (found[-1] if found else None)
            self._client.forget(found)
            raise self.error(str(error), page.url if page else "", page.content if page else b"") from None
        raise self.error(f"it goes on after {_MOST_ROUNDS:,} rounds of pages", found[-1].url)

    def driven(self, query: Query) -> list[Page]:
        """Let the source's library ask through our session, and keep what passes."""
        assert self._source.drive is not None
        session, transport = self._session(self._record)
        try:
            self._source.drive(session, query)
        except LayoutError as error:
            page = error.page or (self._recorded[-1] if self._recorded else None)
            if page is None:
                raise self.error(f"{error} (what answers a password is not kept)", self._last_url) from None
            raise self.error(str(error), page.url, page.content) from None
        except Exception:
            if transport.refusal is not None:  # libraries wrap what the transport raises
                raise transport.refusal from None
            raise
        if transport.refusal is not None:  # or swallow it
            raise transport.refusal
        return self._recorded

    def error(self, rule: str, url: str, body: bytes = b"") -> SourceError:
        """The sentence a user gets: source, address, rule, and where the bytes are kept."""
        saved = str(self._client.raw.path(self._client.raw.put(body))) if body else ""
        return sentence(self._source.title, public(url), rule, saved)

    def _session(self, on_exchange: Callable[[Exchange], None]) -> tuple[requests.Session, PoliteTransport]:
        session = requests.Session()
        session.trust_env = False  # no credentials from a .netrc; proxies are the transport's affair
        session.max_redirects = 5
        transport = PoliteTransport(self._client.traffic, self._source.hosts, on_exchange)
        session.mount("https://", transport)
        session.mount("http://", transport)
        return session, transport

    def _ask(self, session: requests.Session, asked: Sequence[Request]) -> list[Page]:
        """The answers of a round, side by side where the hosts permit it, in the order of the requests."""
        total = self._done + len(asked)
        hosts = {request.host for request in asked}
        workers = min(len(asked), 8, sum(self._client.traffic.host(host).connections for host in hosts))

        def one(request: Request) -> Page:
            page = self._page(session, request)
            self._done += 1
            self._client.progress(self._source.name, self._done, total)
            return page

        if workers <= 1:
            return [one(request) for request in asked]
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(one, request) for request in asked]
            try:
                return [future.result() for future in futures]
            except BaseException:  # also an interruption: nobody waits for what is left to ask
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _page(self, session: requests.Session, request: Request) -> Page:
        cache = self._client.cache if request.method == "GET" else None
        where = self._client.where(request) if cache else ""
        entry = cache.find(where) if cache else None
        if cache and entry and cache.fresh(entry, self._client.clock.now(), self._since):
            page = entry.page(request, self._client.raw)
            self._require_answer(page)
            return page
        answer = self._send(session, request, entry.conditions if entry else {})
        now = self._client.clock.now()
        if entry and answer.status_code == 304:
            page = entry.page(request, self._client.raw, now)
        else:
            page = Page(request, answer.status_code, answer.url, answer.content, now)
            self._require_answer(page)
            self._client.raw.put(page.content)
        if cache and "Set-Cookie" not in answer.headers:  # a session's page belongs to its session
            cache.put(where, page, answer.headers.get("ETag"), answer.headers.get("Last-Modified"))
        return page

    def _valid_since(self, query: Query) -> datetime:
        """From when on an answer tells of all of the window: its end, or today where only the present shows."""
        today = calendar.today(self._client.clock.now())
        return calendar.midnight(today if self._source.since is None else query.last + timedelta(1))

    def _send(self, session: requests.Session, request: Request, conditions: Mapping[str, str]) -> requests.Response:
        headers = {**request.headers, **self._client.credentials.get(request.auth or "", {}), **conditions}
        if request.reads_only:
            headers = repeatable(headers)
        try:
            return session.request(request.method, request.url, headers=headers, data=request.form, json=request.json)
        except requests.TooManyRedirects:
            raise RefusedError("it redirects in circles", request.url) from None
        except (requests.RequestException, ValueError) as error:  # such as a redirect to something that is no address
            raise RefusedError(f"the answer cannot be followed ({type(error).__name__})", request.url) from None

    def _require_answer(self, page: Page) -> None:
        if page.status not in page.request.answers:
            raise RefusedError(f"it answered {page.status}", page.url, page.content)

    def _record(self, exchange: Exchange) -> None:
        self._client.on_exchange(exchange)
        self._done += 1
        self._client.progress(self._source.name, self._done, self._done)
        self._last_url = public(exchange.url)
        if exchange.opens_doors:
            return
        request = Request(public(exchange.url), method=exchange.request.method or "GET")
        self._client.raw.put(exchange.content)
        self._recorded.append(Page(request, exchange.status, request.url, exchange.content, exchange.at))


def public(url: str) -> str:
    """An address without the values that open doors.

    >>> public("https://query2.finance.yahoo.com/v10/x?modules=a&crumb=Zx9")
    'https://query2.finance.yahoo.com/v10/x?modules=a'
    """
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(name, value) for name, value in pairs if name.lower() not in _SECRET_NAMES]
    if len(kept) == len(pairs):
        return url
    return urlunsplit(parts._replace(query=urlencode(kept)))
