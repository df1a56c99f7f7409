"""The allocation log: every step of a decision with its numbers, in order."""

from __future__ import annotations

import math
from typing import NamedTuple, TypedDict


class LogRow(TypedDict):
    """A `Step` as a row of the allocation log."""

    step: str
    sleeve: str | None
    value: float | None
    note: str


class Step(NamedTuple):
    """One row of the allocation log.

    Attributes:
        name: which step, for instance `shrinkage`.
        sleeve: which sleeve, None for the whole account.
        value: its number, None if there is none.
        note: the number in words.
    """

    name: str
    sleeve: str | None
    value: float | None
    note: str


def in_percent(value: float) -> str:
    """A share or rate as a note says it.

    >>> in_percent(0.083333333)
    '8.333 %'
    """
    return f"{100.0 * float(value):.4g} %"


class Log:
    """Collects steps; a number that is not finite is logged as None.

    >>> log = Log()
    >>> log.add("shrinkage", 0.4, "intensity")
    >>> log.add("mean", float("nan"), sleeve="a")
    >>> [tuple(step) for step in log.steps]
    [('shrinkage', None, 0.4, 'intensity'), ('mean', 'a', None, '')]
    """

    def __init__(self) -> None:
        """Start empty."""
        self.steps: list[Step] = []

    def add(self, name: str, value: float | None, note: str = "", sleeve: str | None = None) -> None:
        """Record one number of one step."""
        number = None if value is None or not math.isfinite(value) else float(value)
        self.steps.append(Step(name, sleeve, number, note))
