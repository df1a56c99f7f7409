"""What is asked of a site, and what it answered: the bytes with all that is needed to read them again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlencode, urlsplit


@dataclass(frozen=True)
class Request:
    """One question to a site, under the site's own address; where it really goes is the client's affair.

    - `kind` says which reader the answer is for.
    - `notes` say what the answer does not say of itself (the day it was filed, the symbol it was asked for). They are
      kept beside the bytes, so that reading stays a pure function of what was stored. Never a secret.
    - `form` or `json` is the body of a POST. `reads_only` says that a POST changes nothing, so it may be sent again.
    - `answers` are the statuses that mean something (a 404 for "no data"); any other is a fault.
    - `auth` names the credentials that the client adds; they are never part of a request.
    """

    url: str
    kind: str = "page"
    notes: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    json: Any = None
    reads_only: bool = False
    answers: frozenset[int] = frozenset({200})
    auth: str | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def repeatable(self) -> bool:
        return self.method in ("GET", "HEAD") or self.reads_only


@dataclass(frozen=True)
class Page:
    """An answer: `status` and `content` as they came (decompressed), `url` after redirects, fetched at an instant."""

    request: Request
    status: int
    url: str
    content: bytes
    fetched_at: datetime

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes: the value of the column `raw`, and the name they are kept under."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def kind(self) -> str:
        return self.request.kind

    @property
    def notes(self) -> Mapping[str, str]:
        return self.request.notes


def address(base: str, path: str = "", **query: object) -> str:
    """An address with its query, each value percent-encoded; what is None is left out.

    >>> address("https://lda.senate.gov", "/api/v1/filings/", filing_year=2026, page=None)
    'https://lda.senate.gov/api/v1/filings/?filing_year=2026'
    """
    given = {name: value for name, value in query.items() if value is not None}
    return f"{base}{path}" + (f"?{urlencode(given, doseq=True)}" if given else "")
