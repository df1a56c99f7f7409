"""Imported files as a provider: the union of all imports, the later one winning where both state the same key."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path

import pandas as pd

from pas_dagster import calendar
from pas_dagster.schemas import TABLES, Table
from pas_dagster.sources.files import importer, staging
from pas_dagster.sources.files.layouts.shape import SESSION_DATASETS
from pas_dagster.sources.provider import Served

_VALID_UNTIL_CHANGED = frozenset({"universe", "fama_french_factors"})


class ImportProvider:
    """Serves what was imported into `folder`.

    Coverage, over all imports of a dataset:

    - In general from the first to the last day on which a row became known; days between may be quiet. Where only
      sessions have rows, the days without one before the first and after the last count as covered.
    - Events (politician_trades, corporate_actions): an import says "this is all there is up to its `through`" (an
      option; else the last day of the import, for companions that of the rows they accompany). So coverage starts at
      the beginning of time and ends with the last `through`.
    - universe and fama_french_factors: the same start and no end, for a list of changes is valid until changed, and
      factors come months late in any case.
    - corporate_actions that came with no import of prices: all of time, no rows; adjusted prices need none.
    """

    name = "import"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: tuple[tuple[str, int], ...] = ()
        self._manifests: list[staging.Manifest] = []
        self._whole: dict[str, pd.DataFrame] = {}

    def coverage(self, table: Table) -> tuple[date, date] | None:
        """First and last day that can be served, by the rules above; None when nothing was imported."""
        parts = self._parts(table)
        if table.name == "corporate_actions" and not parts:
            return (date.min, date.max) if self._parts(TABLES["prices"]) else None
        if table.name in _VALID_UNTIL_CHANGED and parts:
            return date.min, date.max
        filled = [part for part in parts if part.rows]
        if table.name in importer.EVENT_DATASETS and parts:
            return date.min, max(part.through for part in parts)
        if not filled:
            return None
        first, last = min(part.first for part in filled), max(part.last for part in filled)
        return _with_closed_days(first, last) if table.name in SESSION_DATASETS else (first, last)

    def serve(self, table: Table, first: date, last: date) -> Served:
        """What was imported, for known_on in [first, last]; refused rows were quarantined by the import."""
        return Served(self.rows(table, first, last))

    def rows(self, table: Table, first: date, last: date) -> pd.DataFrame:
        """The table's columns but `provider`, for known_on in [first, last], in stored order."""
        parts = [part for part in self._parts(table) if part.rows]
        if table.partition in table.key:
            found = self._union(
                table, [part for part in parts if part.first <= last and part.last >= first], first, last
            )
        else:
            # the same fact may be stated with another known_on: which import wins shows only in the whole
            if table.name not in self._whole:
                self._whole[table.name] = self._union(table, parts, date.min, date.max)
            whole = self._whole[table.name]
            days = whole["known_on"]
            found = whole[(days >= _start_of(first)) & (days <= _start_of(last))]
        return found.reset_index(drop=True)

    def _union(self, table: Table, parts: list[staging.Part], first: date, last: date) -> pd.DataFrame:
        within = [("known_on", ">=", _start_of(first)), ("known_on", "<=", _start_of(last))]
        frames = [pd.read_parquet(part.path, filters=within) for part in parts]
        frames = [frame for frame in frames if len(frame)]
        if not frames:
            return table.empty()[importer.columns(table)]
        rows = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
        if len(frames) > 1:
            rows = table.sort(rows.drop_duplicates(list(table.key), keep="last"))
        return importer.typed(table, rows)

    def _parts(self, table: Table) -> list[staging.Part]:
        self._refresh()
        return [known.parts[table.name] for known in self._manifests if table.name in known.parts]

    def _refresh(self) -> None:
        """Read the manifests again if one came or changed since."""
        seen = tuple(sorted((str(path), path.stat().st_mtime_ns) for path in self._folder.glob("*/*.json")))
        if seen != self._seen:
            self._manifests = staging.manifests(self._folder)
            self._whole.clear()
            self._seen = seen


def _with_closed_days(first: date, last: date) -> tuple[date, date]:
    """The days from the one after the session before to the one before the session after."""
    one = timedelta(days=1)
    return calendar.previous_session(first) + one, calendar.roll_forward(last + one) - one


def _start_of(day: date) -> datetime:
    return datetime.combine(day, time.min)
