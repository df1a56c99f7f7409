"""Episodes of loss: from a high, down to the lowest point, and back up to the high or not yet.

The peak is the last date at the high before the fall, the trough the first date at the lowest value, the recovery the
first date at or above the high. Days are calendar days. An episode that has not recovered is open: it has no recovery,
and its trough is the lowest so far. A date without a value is no observation.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

import numpy as np
import pandas as pd

ROUNDING = 1e-12  # a fall of less than this share of the high is none


class Episode(NamedTuple):
    """One drawdown.

    Attributes:
        peak, trough: dates.
        recovery: date, None while open.
        depth: value at the trough over that at the peak, less 1: a fraction below 0.
        days_down: from peak to trough.
        days_to_recover: from trough to recovery, None while open.
        days: from the peak to the recovery, or to the last date while open.
    """

    peak: date
    trough: date
    recovery: date | None
    depth: float
    days_down: int
    days_to_recover: int | None
    days: int

    @property
    def open(self) -> bool:
        """Whether the high has not been reached again."""
        return self.recovery is None


def episodes(equity: pd.Series) -> tuple[Episode, ...]:
    """All drawdowns of an equity curve, oldest first; only the last can be open.

    Args:
        equity: value by date, dates rising; NaN is no observation.

    Raises:
        ValueError: dates that do not rise, a value that is infinite or not above 0 before the last.

    >>> days = pd.to_datetime(["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08"])
    >>> for e in episodes(pd.Series([100.0, 80.0, 90.0, 100.0, 95.0], index=days)):
    ...     print(e.peak, e.trough, e.recovery, round(e.depth, 4), e.days_down, e.days_to_recover, e.open)
    2024-01-02 2024-01-03 2024-01-05 -0.2 1 2 False
    2024-01-05 2024-01-08 None -0.05 3 None True
    """
    curve = equity.dropna()
    values, days = curve.to_numpy(np.float64), [day_of(stamp) for stamp in curve.index]
    if any(later <= earlier for earlier, later in zip(days, days[1:], strict=False)):
        raise ValueError("the dates of an equity curve must rise")
    if not np.isfinite(values).all() or (values < 0.0).any() or (values[:-1] == 0.0).any():
        raise ValueError("an equity curve must be finite and above 0 until it ends")
    high = np.maximum.accumulate(values)
    down = values < high * (1.0 - ROUNDING)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], down, [False]]).astype(np.int8)))
    return tuple(_episode(values, days, int(first), int(end)) for first, end in edges.reshape(-1, 2))


def worst(equity: pd.Series, count: int = 5) -> tuple[Episode, ...]:
    """The deepest `count` drawdowns, deepest first, of equal ones the older.

    >>> days = pd.date_range("2024-01-01", periods=5)
    >>> [round(e.depth, 2) for e in worst(pd.Series([10.0, 9.0, 10.0, 5.0, 11.0], index=days), 1)]
    [-0.5]
    """
    return tuple(sorted(episodes(equity), key=lambda episode: episode.depth)[: max(count, 0)])


def _episode(values: np.ndarray, days: list[date], first: int, end: int) -> Episode:
    """The episode that is down from position `first` up to and without `end`."""
    trough = first + int(np.argmin(values[first:end]))
    recovery = days[end] if end < len(days) else None
    peak, low = days[first - 1], days[trough]
    return Episode(
        peak,
        low,
        recovery,
        float(values[trough] / values[:first].max() - 1.0),
        (low - peak).days,
        None if recovery is None else (recovery - low).days,
        ((recovery or days[-1]) - peak).days,
    )


def day_of(stamp: object) -> date:
    """The calendar day of a label of the index.

    Raises:
        ValueError: the label is no date.
    """
    if isinstance(stamp, pd.Timestamp):
        return stamp.date()
    if type(stamp) is date:
        return stamp
    raise ValueError(f"an equity curve is indexed by dates, not by {stamp!r}")
