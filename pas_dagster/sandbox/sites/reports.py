"""The sandbox's disclosures of politicians as filings: what the sites of both chambers show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from typing import Any
from zlib import crc32

from pas_dagster import calendar
from pas_dagster.sandbox.sites.site import Present
from pas_dagster.sandbox.world import World


@dataclass(frozen=True)
class Report:
    """One filing; `lines` are its rows of politician_trades, in order."""

    filing_id: str
    filed: date
    first: str
    last: str
    state: str
    lines: Sequence[dict[str, Any]]

    @property
    def filed_at(self) -> datetime:
        """An instant of the filing day, between 9:00 and 18:00 in Washington."""
        return calendar.midnight(self.filed) + timedelta(hours=9, minutes=crc32(self.filing_id.encode()) % 540)


@lru_cache(maxsize=8)
def reports(world: World, chamber: str) -> dict[str, Report]:
    """All filings of a chamber by number, in the order in which they were filed."""
    trades = world.table("politician_trades")
    rows = trades[trades["chamber"] == chamber].to_dict("records")
    made = [_report(list(lines)) for _, lines in groupby(rows, key=lambda row: row["filing_id"])]
    return {report.filing_id: report for report in sorted(made, key=lambda report: report.filed_at)}


def _report(lines: Sequence[dict[str, Any]]) -> Report:
    head = lines[0]
    first, _, last = head["politician"].rpartition(" ")
    return Report(head["filing_id"], head["known_on"].date(), first, last, head["state"], lines)


def filed(present: Present, chamber: str) -> list[Report]:
    """The filings of a chamber that are there by now, oldest first."""
    return [report for report in reports(present.world, chamber).values() if report.filed_at <= present.now]
