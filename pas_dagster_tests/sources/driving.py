"""Driving a source against a site of the sandbox by hand: no network, no client."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import unquote, urlencode, urlsplit

import requests
import urllib3
from requests.adapters import BaseAdapter

from pas_dagster.sandbox import sites
from pas_dagster.sandbox.sites.site import Answer, Call, Present, Site
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.source import Query, Reading, Source

Ask = Callable[[Call], Answer]


def drive(source: Source, query: Query, present: Present, *chosen: Site) -> Reading:
    """Ask the sandbox's sites (those given, else all) and read what they answered."""
    return source.read(pages_of(source, query, present, *chosen), query)


def pages_of(source: Source, query: Query, present: Present, *chosen: Site) -> list[Page]:
    """Everything the source's walk asks for; a host that it may not talk to fails the test."""
    ask = _asker(present, chosen)
    if source.drive is not None:
        session = requests.Session()
        session.trust_env = False
        adapter = _Adapter(ask, source.hosts)
        session.mount("https://", adapter)
        source.drive(session, query)
        return adapter.pages
    assert source.walk is not None
    found: list[Page] = []
    walk = source.walk(query)
    try:
        asked = next(walk)
        while True:
            answers = [_page(ask, request, source) for request in asked]
            found += answers
            asked = walk.send(answers)
    except StopIteration:
        return found


def page(
    content: bytes, url: str = "https://example.org/", status: int = 200, kind: str = "page", **notes: str
) -> Page:
    """A page with these bytes."""
    return Page(Request(url, kind=kind, notes=notes), status, url, content, datetime(2026, 11, 20, tzinfo=UTC))


def _asker(present: Present, chosen: tuple[Site, ...]) -> Ask:
    def ask(call: Call) -> Answer:
        if not chosen:
            return sites.answer(present, call)
        for site in chosen:
            found = site.answer(present, call) if call.host in site.hosts else None
            if found is not None:
                return found
        return Answer(b"Not Found", 404)

    return ask


def _page(ask: Ask, request: Request, source: Source) -> Page:
    url, hops = request.url, 0
    while True:
        assert urlsplit(url).hostname in source.hosts, f"{url} is not on {source.hosts}"
        answer = ask(_call(request.method, url, dict(request.headers), _body(request)))
        target = {name.lower(): value for name, value in answer.headers.items()}.get("location")
        if target is None or not 300 <= answer.status < 400:
            break
        url, hops = requests.compat.urljoin(url, target), hops + 1
        assert hops < 5, f"{request.url} redirects in circles"
    assert answer.status in request.answers, f"{url} answered {answer.status}: {answer.body[:200]!r}"
    return Page(request, answer.status, url, answer.body, datetime(2026, 11, 20, tzinfo=UTC))


def _body(request: Request) -> bytes:
    if request.form is not None:
        return urlencode(request.form).encode()
    return requests.models.complexjson.dumps(request.json).encode() if request.json is not None else b""


def _call(method: str, url: str, headers: dict[str, str], body: bytes) -> Call:
    parts = urlsplit(url)
    given = {"user-agent": "PortfolioAllocationSystem/0.1 (tests)"} | {k.lower(): str(v) for k, v in headers.items()}
    return Call(method, parts.hostname or "", unquote(parts.path), parts.query, given, body, parts.path)


class _Adapter(BaseAdapter):
    """Answers a library's requests from the sandbox, and keeps what passed."""

    def __init__(self, ask: Ask, hosts: tuple[str, ...]) -> None:
        super().__init__()
        self._ask = ask
        self._hosts = hosts
        self.pages: list[Page] = []

    def send(self, request: requests.PreparedRequest, *_: object, **__: object) -> requests.Response:
        url = request.url or ""
        assert urlsplit(url).hostname in self._hosts, f"{url} is not on {self._hosts}"
        body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
        answer = self._ask(_call(request.method or "GET", url, dict(request.headers), body))
        made = requests.Response()
        made.status_code, made.url, made.request = answer.status, url, request
        made.headers.update({"Content-Type": answer.type, **answer.headers})
        made.raw = urllib3.HTTPResponse(io.BytesIO(answer.body), status=answer.status, preload_content=False)
        self.pages.append(Page(Request(url), answer.status, url, answer.body, datetime(2026, 11, 20, tzinfo=UTC)))
        return made

    def close(self) -> None:
        """Nothing is open."""
