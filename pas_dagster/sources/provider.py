"""Where a dataset's rows come from: an ordered list of providers, of which the first that can serve does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

import pandas as pd

from pas_dagster.errors import PasError
from pas_dagster.schemas import Table
from pas_dagster.sources.source import BAD_COLUMNS, SourceError


class NotServed(PasError):  # noqa: N818  (an answer, not a fault)
    """A provider cannot serve the dataset or the days; the message says why."""


def no_refused() -> pd.DataFrame:
    """No refused rows."""
    return pd.DataFrame(columns=[*BAD_COLUMNS, "known_on"])


@dataclass(frozen=True)
class Served:
    """Rows in the table's columns but `provider`; what was refused and why; and what a user may want to know."""

    rows: pd.DataFrame
    refused: pd.DataFrame = field(default_factory=no_refused)
    notes: Mapping[str, int] = field(default_factory=dict)

    @staticmethod
    def joined(parts: Sequence[Served]) -> Served:
        """Several spans of days as one; notes add up."""
        refused = [part.refused for part in parts if len(part.refused)]
        notes: dict[str, int] = {}
        for part in parts:
            for name, value in part.notes.items():
                notes[name] = notes.get(name, 0) + value
        rows = [part.rows for part in parts if len(part.rows)] or [part.rows for part in parts[:1]]
        return Served(
            pd.concat(rows, ignore_index=True),
            pd.concat(refused, ignore_index=True) if refused else no_refused(),
            notes,
        )


class Provider(Protocol):
    """One way to get a dataset, for known_on in a range."""

    @property
    def name(self) -> str: ...

    def coverage(self, table: Table) -> tuple[date, date] | None:
        """First and last day that can be served; None when the dataset cannot be served at all."""
        ...

    def serve(self, table: Table, first: date, last: date) -> Served: ...


@dataclass(frozen=True)
class Fetched:
    """Rows in the table's columns, which providers served them, and why those before them in the list did not."""

    rows: pd.DataFrame
    providers: Sequence[str]
    refused: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    passed_over: Sequence[str] = ()


def fetch(table: Table, providers: Sequence[Provider], first: date, last: date) -> Fetched:
    """The rows of [first, last]: each span of days from the first provider that covers it and delivers.

    Raises `PasError` that names the dataset, the span and what kept each provider from serving.
    """
    covered = [(provider, provider.coverage(table)) for provider in providers]
    pieces = [_piece(table, covered, begin, end) for begin, end in _spans([c for _, c in covered if c], first, last)]
    notes: dict[str, int] = {}
    refused: dict[str, pd.DataFrame] = {}
    for piece in pieces:
        for name, value in piece.notes.items():
            notes[name] = notes.get(name, 0) + value
        for name, rows in piece.refused.items():
            refused[name] = pd.concat([refused[name], rows], ignore_index=True) if name in refused else rows
    return Fetched(
        pieces[0].rows if len(pieces) == 1 else pd.concat([piece.rows for piece in pieces], ignore_index=True),
        list(dict.fromkeys(name for piece in pieces for name in piece.providers)),
        refused,
        notes,
        [reason for piece in pieces for reason in piece.passed_over],
    )


def _spans(coverages: Sequence[tuple[date, date]], first: date, last: date) -> list[tuple[date, date]]:
    """[first, last] cut where a coverage begins or ends.

    >>> _spans([(date(2026, 1, 1), date(2026, 1, 5))], date(2026, 1, 4), date(2026, 1, 9))
    [(datetime.date(2026, 1, 4), datetime.date(2026, 1, 5)), (datetime.date(2026, 1, 6), datetime.date(2026, 1, 9))]
    """
    begins = {first}
    for begin, end in coverages:
        begins |= {begin} if first < begin <= last else set()
        begins |= {date.fromordinal(end.toordinal() + 1)} if first <= end < last else set()
    ordered = sorted(begins)
    ends = [*(date.fromordinal(day.toordinal() - 1) for day in ordered[1:]), last]
    return list(zip(ordered, ends, strict=True))


def _piece(
    table: Table, providers: Sequence[tuple[Provider, tuple[date, date] | None]], first: date, last: date
) -> Fetched:
    """The rows of a span from the first provider that covers it and delivers."""
    reasons, failures = [], []
    for provider, covered in providers:
        if covered is None:
            reasons.append(f"{provider.name} has none")
        elif covered[0] > first or covered[1] < last:
            reasons.append(f"{provider.name} covers {covered[0]} to {covered[1]}")
        else:
            try:
                served = provider.serve(table, first, last)
            except NotServed as reason:
                reasons.append(str(reason))
            except SourceError as error:
                failures.append(str(error))
            else:
                rows = table.conform(served.rows.assign(provider=provider.name))
                return Fetched(rows, [provider.name], {provider.name: served.refused}, served.notes, failures)
    if failures:
        also = f" ({'; '.join(reasons)})" if reasons else ""
        raise SourceError(f"{table.name} for {first} to {last}: {' '.join(failures)}{also}")
    raise PasError(
        f"No provider has {table.name} for {first} to {last}: {'; '.join(reasons)}. "
        f"Bring it in with `pas import {table.name} FILE`, or choose days that are covered."
    )
