"""The look-ahead audit over long histories: every decision on an excerpt of what it may see and some of its future.

`audit` compares whole histories, which for ten years of 1,500 symbols would take minutes; what lies outside a
decision's windows, and far in its future, can be left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pas_dagster.strategies.audit import MOST_FINDINGS, Finding, Report, audit_report
from pas_dagster.strategies.contract import Strategy
from pas_dagster.strategies.history import History
from pas_dagster.strategies.watchdog import TookTooLong, Watchdog

LATER = 60  # days of future that are taken away and changed
DECISIONS = 6  # that the audit of one day makes at most, with the cutting of histories


def examine(strategy: Strategy, history: History, days: Sequence[date], seed: int, patience: float) -> Report:
    """The audit of one strategy at some days, each on its own excerpt of the history.

    A day on which the strategy takes longer than `patience` seconds for one of its decisions counts as failed.
    """
    parts = []
    with Watchdog() as dog:
        for day in days:
            excerpt = history.excerpt(day, strategy.reads, LATER)
            try:
                with dog.limit(patience * DECISIONS):
                    parts += audit_report([strategy], excerpt, [day], seed)
            except TookTooLong:
                parts.append(Report(strategy.name, 1, 0, 1, (), 0))
    findings: dict[Finding, None] = {}
    for part in parts:  # what speaks against the function itself is found on every day and told once
        findings |= dict.fromkeys(part.findings)
    held, failed = (sum(getattr(part, name) for part in parts) for name in ("held", "failed"))
    shown = tuple(findings)[:MOST_FINDINGS]
    return Report(strategy.name, len(parts), held, failed, shown, len(findings))
