"""Pages of thousands of rows: read as frames, where `collect` reads row by row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from pas_dagster.sources.page import Page
from pas_dagster.sources.source import BAD_COLUMNS, Bad, LayoutError, Reading


@dataclass(frozen=True)
class Sheet:
    """What a page says when its rows are many: a frame, and what in it cannot be read."""

    rows: pd.DataFrame
    bad: Sequence[Bad] = field(default_factory=list)


def sheets(pages: Iterable[Page], parse: Callable[[Page], Sheet]) -> Reading:
    """As `collect`, for pages of thousands of rows: `parse` gives a frame for each page; `raw` is filled."""
    rows: list[pd.DataFrame] = []
    bad: list[dict[str, object]] = []
    for page in pages:
        try:
            sheet = parse(page)
        except LayoutError as error:
            error.page = page
            raise
        if len(sheet.rows):
            rows.append(sheet.rows.assign(raw=page.digest))
        for number, wrong in enumerate(sheet.bad, start=1):
            text = wrong.content if isinstance(wrong.content, str) else json.dumps(wrong.content, default=str)
            bad.append(
                {
                    "url": page.url,
                    "row_number": number,
                    "reason": wrong.reason,
                    "content": text,
                    "expected": wrong.expected,
                }
            )
    return Reading(
        pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(), pd.DataFrame(bad, columns=BAD_COLUMNS)
    )
