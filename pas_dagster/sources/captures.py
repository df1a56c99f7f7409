"""Which pages were fetched for what: one manifest a visit, so that old bytes can be read again without asking anew."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from pas_dagster.errors import PasError
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.provider import NotServed
from pas_dagster.sources.raw import RawStore
from pas_dagster.sources.source import Query, Source

_UNREAD = ".unread.json"


@dataclass(frozen=True)
class Capture:
    """A visit that was complete: the window it asked for, when, and whether its pages could be read."""

    path: Path
    first: date
    last: date
    asked_at: datetime
    read: bool

    def covers(self, day: date) -> bool:
        return self.first <= day <= self.last


class Captures:
    """A folder of manifests, one sub-folder for each dataset and source."""

    def __init__(self, folder: Path, raw: RawStore) -> None:
        self._folder = folder
        self._raw = raw

    def keep(self, source: Source, query: Query, pages: Sequence[Page]) -> Path:
        """Note a visit whose pages' bytes are in the raw store; until it is accepted it counts as one that failed."""
        folder = self._folder / source.dataset / source.name
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{query.now:%Y%m%dT%H%M%S%f}Z_{query.first}_{query.last}{_UNREAD}"
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps({"pages": [_noted(page) for page in pages]}))
        os.replace(partial, path)  # noqa: PTH105  (atomic by definition)
        return path

    def accept(self, path: Path) -> None:
        """The visit could be read."""
        os.replace(path, path.with_name(path.name.removesuffix(_UNREAD) + ".json"))  # noqa: PTH105

    def pieces(self, source: Source, first: date, last: date) -> list[tuple[Capture, date, date]]:
        """For each day the newest visit that asked for it, as runs of days; one that could be read if there is any.

        Days between the visits of a source that is not visited daily have none. Raises `NotServed` for a day without.
        """
        best_first = sorted(self._captures(source), key=lambda capture: (capture.read, capture.asked_at), reverse=True)
        pieces: list[tuple[Capture, date, date]] = []
        day = first
        while day <= last:
            found = next((capture for capture in best_first if capture.covers(day)), None)
            if found is None and source.every > 1:
                day += timedelta(1)
                continue
            if found is None:
                raise NotServed(
                    f"Nothing was fetched of {source.dataset} from {source.name} for {day}, so nothing can be read "
                    f"again. Fetch it: `pas fetch {source.dataset} --date {day}`."
                )
            if pieces and pieces[-1][0] is found:
                pieces[-1] = (found, pieces[-1][1], day)
            else:
                pieces.append((found, day, day))
            day += timedelta(1)
        return pieces

    def pages(self, capture: Capture) -> list[Page]:
        """The pages of a visit, as they came."""
        return [self._page(noted) for noted in json.loads(capture.path.read_text())["pages"]]

    def _captures(self, source: Source) -> Iterator[Capture]:
        for path in (self._folder / source.dataset / source.name).glob("*.json"):
            read = not path.name.endswith(_UNREAD)
            stamp, first, last = path.name.removesuffix(".json").removesuffix(".unread").split("_")
            moment = datetime.strptime(stamp + "+0000", "%Y%m%dT%H%M%S%fZ%z")
            yield Capture(path, date.fromisoformat(first), date.fromisoformat(last), moment, read)

    def _page(self, noted: dict[str, Any]) -> Page:
        request = Request(
            noted["asked"], kind=noted["kind"], notes=noted["notes"], method=noted["method"], json=noted.get("json")
        )
        try:
            content = self._raw.get(noted["raw"])
        except FileNotFoundError:
            raise PasError(f"The raw bytes {self._raw.path(noted['raw'])} are gone. Fetch the day again.") from None
        return Page(request, noted["status"], noted["url"], content, datetime.fromisoformat(noted["fetched_at"]))


def _noted(page: Page) -> dict[str, Any]:
    """What the bytes do not say. A form is left out: it can hold a session's token, and no reader needs it."""
    request = page.request
    return {
        "asked": request.url,
        "url": page.url,
        "method": request.method,
        "kind": request.kind,
        "notes": dict(request.notes),
        **({"json": request.json} if request.json is not None else {}),
        "status": page.status,
        "fetched_at": page.fetched_at.isoformat(),
        "raw": page.digest,
    }
