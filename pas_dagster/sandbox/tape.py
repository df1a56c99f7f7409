"""A tape: recorded answers in a folder, to be played again.

`index.jsonl` has one exchange a line: method, url, body (SHA-256 of the request's body, or null), status, headers, and
the name of the file with the content. What is asked several times is answered in the recorded order, the last answer
from then on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

from pas_dagster.errors import PasError
from pas_dagster.sandbox.sites.site import Answer, Call

INDEX = "index.jsonl"
KEPT_HEADERS = ("content-type", "location", "retry-after", "set-cookie", "etag", "last-modified", "cf-mitigated")


def mark(body: bytes | None) -> str | None:
    """What tells two requests to one address apart."""
    return hashlib.sha256(body).hexdigest() if body else None


class Recorder:
    """Writes exchanges into a folder, each as it happens."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = Lock()

    def write(
        self, method: str, url: str, body: bytes | None, status: int, headers: Mapping[str, str], content: bytes
    ) -> None:
        """Keep one exchange. Requests are kept without their headers: credentials never reach the tape."""
        name = hashlib.sha256(content).hexdigest()
        kept = {key.lower(): value for key, value in headers.items() if key.lower() in KEPT_HEADERS}
        line = {
            "method": method,
            "url": url,
            "body": mark(body),
            "status": status,
            "headers": kept,
            "file": name,
        }
        with self._lock:
            (self._folder / name).write_bytes(content)
            with (self._folder / INDEX).open("a") as index:
                index.write(json.dumps(line) + "\n")


class Player:
    """Answers calls from a tape."""

    def __init__(self, folder: Path) -> None:
        path = folder / INDEX
        if not path.exists():
            raise PasError(
                f"{folder} is no tape: it has no {INDEX}. Make one with `pas record DATASET --tape {folder}`."
            )
        self._folder = folder
        self._lock = Lock()
        self._answers: dict[tuple[str, str, str | None], list[dict]] = {}
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            try:
                entry = json.loads(line)
                key = (entry["method"], _plain(entry["url"]), entry["body"])
                self._answers.setdefault(key, []).append(entry)
            except (ValueError, KeyError, TypeError):
                raise PasError(f"{path}, line {number}, is not a recorded exchange. Record the tape again.") from None

    def answer(self, call: Call) -> Answer | None:
        """The next recorded answer to the call; None when it was never recorded."""
        url = f"{call.host}{call.raw_path}" + (f"?{call.query_string}" if call.query_string else "")
        with self._lock:
            entries = self._answers.get((call.method, url, mark(call.body)))
            if not entries:
                return None
            entry = entries.pop(0) if len(entries) > 1 else entries[0]
        headers = dict(entry["headers"])
        kind = headers.pop("content-type", "application/octet-stream")
        return Answer((self._folder / entry["file"]).read_bytes(), entry["status"], kind, headers)


def _plain(url: str) -> str:
    return url.partition("://")[2]
