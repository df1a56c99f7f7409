"""What a source is: one site's way of telling a dataset, in two halves that never touch the network.

Asking (`walk`) is a generator: it yields the requests of a round and is sent their answers, so paging, log-ins and
"index first, then documents" are plain control flow that a test drives by hand. Reading (`read`) is a pure function of
the stored pages, so a mended parser reads old bytes again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from pas_dagster.errors import PasError
from pas_dagster.sources.page import Page, Request

if TYPE_CHECKING:
    import requests

BAD_COLUMNS = ["url", "row_number", "reason", "content", "expected"]

Walk = Generator[Sequence[Request], Sequence[Page], None]
"""Yields the requests of a round (they may run side by side), is sent the answers in the same order."""


@dataclass(frozen=True)
class Query:
    """What is wanted: the rows known from `first` to `last` (both included, New York days).

    - `now`: the instant of asking, aware.
    - `listed`: the securities known, columns symbol, name, kind (stock, etf), sector; for sources that are asked by
      symbol or that name companies.
    - `stored`: the dataset's own rows known on the `lookback` days before `first`, in the table's columns.
    - `options`: what the settings say for this source.
    """

    first: date
    last: date
    now: datetime
    listed: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["symbol", "name", "kind", "sector"]))
    stored: pd.DataFrame = field(default_factory=pd.DataFrame)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Bad:
    """A row that cannot be read: it is quarantined with the reason, and its page is read on.

    `expected` says that such rows are part of the source (a scanned report): they do not count as a sign of change.
    """

    reason: str
    content: object
    expected: bool = False


@dataclass(frozen=True)
class Reading:
    """What pages say. `rows` has the columns of the dataset's table that the source knows, as they were read (the
    border types, normalises and checks them); `raw` is filled. `bad` has url, row_number, reason, content, expected.
    """

    rows: pd.DataFrame
    bad: pd.DataFrame


class LayoutError(PasError):
    """A page breaks a rule that every page of its kind keeps: layout changed, not the page that was asked for.

    The message states the rule. `page` is filled in by `collect`.
    """

    page: Page | None = None


class SourceError(PasError):
    """A source did not deliver: the sentence names the source, the address, the rule and the saved copy."""


_SHOWN = 200  # characters of an address that a sentence can carry


def sentence(title: str, url: str, rule: str, saved: str = "") -> SourceError:
    """What a user is told: source, address, rule, and where the bytes are kept.

    >>> str(sentence("SEC EDGAR", "https://www.sec.gov/x", "it answered 500"))
    'SEC EDGAR at https://www.sec.gov/x: it answered 500.'
    """
    shown = url if len(url) <= _SHOWN else f"{url[: _SHOWN - 1]}…"
    place = f" at {shown}" if url else ""
    return SourceError(f"{title}{place}: {rule.rstrip('.')}." + (f" Saved copy: {saved}." if saved else ""))


@dataclass(frozen=True)
class Source:
    """One site's way of telling one dataset.

    - `name`: what settings and the column `provider` call it. `dataset`: the table it fills. `title`: for people.
    - `hosts`: the only hosts it may talk to.
    - `walk`: asks, as above. Sources that a library drives have `drive` instead: it is given a `requests.Session`
      whose every request goes through the polite client, and what passes is kept as pages (`kind` "page").
    - `read`: all pages of one walk -> rows. Raises `LayoutError` for a page (through `collect`).
    - `since`: first day of the history it can serve; None when it shows only the present, so snapshots accumulate.
    - `every`: days between visits that show something new, for a source without history.
    - `lookback`: days of the dataset's own stored rows it wants to see, before the first day.
    - `needs`: credentials without which it cannot serve. `off`: must be switched on by naming it in the settings.
    - `note`: what a user should know; ends up in the asset's description.
    """

    name: str
    dataset: str
    title: str
    hosts: tuple[str, ...]
    read: Callable[[Sequence[Page], Query], Reading]
    walk: Callable[[Query], Walk] | None = None
    drive: Callable[[requests.Session, Query], None] | None = None
    since: date | None = None
    every: int = 1
    lookback: int = 0
    needs: tuple[str, ...] = ()
    off: bool = False
    note: str = ""


def collect(pages: Iterable[Page], parse: Callable[[Page], Iterable[Mapping[str, object] | Bad]]) -> Reading:
    """Read page after page; `parse` yields a row (column -> value) or a `Bad` for each row of a page.

    An `LayoutError` gets the page it is about, so that whoever reports it can name the address and the saved copy.
    """
    rows: list[dict[str, object]] = []
    bad: list[dict[str, object]] = []
    for page in pages:
        try:
            for number, row in enumerate(parse(page), start=1):
                if isinstance(row, Bad):
                    text = row.content if isinstance(row.content, str) else json.dumps(row.content, default=str)
                    bad.append(
                        {
                            "url": page.url,
                            "row_number": number,
                            "reason": row.reason,
                            "content": text,
                            "expected": row.expected,
                        }
                    )
                else:
                    rows.append({"raw": page.digest, **row})
        except LayoutError as error:
            error.page = page
            raise
    return Reading(pd.DataFrame(rows), pd.DataFrame(bad, columns=BAD_COLUMNS))


def joined(readings: Sequence[Reading]) -> Reading:
    """What several visits say, as one."""
    rows = [reading.rows for reading in readings if len(reading.rows)]
    bad = [reading.bad for reading in readings if len(reading.bad)]
    return Reading(
        pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(),
        pd.concat(bad, ignore_index=True) if bad else pd.DataFrame(columns=BAD_COLUMNS),
    )
