"""Answers that may be used again: for a short time as they are, later if the site says that they still hold."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.raw import RawStore


@dataclass(frozen=True)
class Entry:
    """What is known of an address: the kept bytes, and the marks to ask about them by."""

    url: str
    status: int
    digest: str
    fetched_at: str
    etag: str | None
    last_modified: str | None

    @property
    def conditions(self) -> dict[str, str]:
        """Headers that ask for the answer only if it changed."""
        marks = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: mark for name, mark in marks.items() if mark}

    def page(self, request: Request, raw: RawStore, fetched_at: datetime | None = None) -> Page:
        """The kept answer. `fetched_at` is given when the site has just confirmed it."""
        moment = fetched_at or datetime.fromisoformat(self.fetched_at)
        return Page(request, self.status, self.url, raw.get(self.digest), moment)


class Cache:
    """A folder of entries beside the raw bytes. Only plain GET requests are kept, under where they really went."""

    def __init__(self, folder: Path, raw: RawStore, keep: timedelta) -> None:
        self._folder = folder
        self._raw = raw
        self._keep = keep

    def find(self, where: str) -> Entry | None:
        """The entry of an address, if its bytes are still there."""
        try:
            entry = Entry(**json.loads(self._path(where).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return entry if self._raw.path(entry.digest).exists() else None

    def fresh(self, entry: Entry, now: datetime, since: datetime) -> bool:
        """Whether it is young enough to be used without asking, and was fetched at or after `since`."""
        fetched_at = datetime.fromisoformat(entry.fetched_at)
        return fetched_at >= since and timedelta(0) <= now - fetched_at < self._keep

    def put(self, where: str, page: Page, etag: str | None, last_modified: str | None) -> None:
        entry = Entry(page.url, page.status, page.digest, page.fetched_at.isoformat(), etag, last_modified)
        path = self._path(where)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{uuid4().hex}.partial")
        partial.write_text(json.dumps(asdict(entry)))
        os.replace(partial, path)  # noqa: PTH105  (atomic by definition)

    def drop(self, where: str) -> None:
        """Forget an address whose answer turned out to be unreadable, so that the next run asks again."""
        self._path(where).unlink(missing_ok=True)

    def _path(self, where: str) -> Path:
        name = hashlib.sha256(where.encode()).hexdigest()
        return self._folder / name[:2] / f"{name}.json"
