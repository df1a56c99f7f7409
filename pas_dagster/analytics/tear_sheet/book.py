"""What a tear sheet is made from, and the same brought onto the sessions that have a return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

_OTHERS = ("gross", "benchmark", "risk_free", "exposure", "turnover", "cost")  # the series that may be missing
_RETURNS = ("net", "gross", "benchmark")  # of something that cannot lose more than everything

FloatArray = npt.NDArray[np.float64]
Days = npt.NDArray[np.datetime64]


class Holding(NamedTuple):
    """One row of what the book holds now."""

    symbol: str
    weight: float  # fraction of the book; NaN when not known
    name: str = ""
    value: float = float("nan")  # USD; NaN when not known


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """A sleeve, or the account, as its tear sheet tells it.

    Attributes:
        title: of the page, any text.
        rule: one sentence that says what the book does.
        net: simple return of each session after costs; NaN where there is none.
        gross: likewise before costs.
        benchmark: likewise of what the book is held against.
        benchmark_name: what to call it, any text.
        risk_free: simple return of cash per session.
        exposure: share of the book invested at the close.
        turnover: traded dollars, buys plus sells, per dollar of the book.
        cost: of the session's trades as a fraction of the book.
        holdings: what the book holds now, in any order.
        provenance: pairs of name and value that say where the numbers come from: namespace, snapshot, costs in force.

    Series are indexed by session, ascending without repetition: days, or instants whose own wall date is the session
    (no time zone is converted). Each may cover other sessions than `net`.

    Raises:
        ValueError: an index that is not of dates, not ascending or not unique, an infinite value, or a return below
            -1; the message names the series.
    """

    title: str
    rule: str
    net: pd.Series
    gross: pd.Series | None = None
    benchmark: pd.Series | None = None
    benchmark_name: str = "Benchmark"
    risk_free: pd.Series | None = None
    exposure: pd.Series | None = None
    turnover: pd.Series | None = None
    cost: pd.Series | None = None
    holdings: tuple[Holding, ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be read."""
        for name in ("net", *_OTHERS):
            series = getattr(self, name)
            if series is not None:
                _check(series, name)


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """Values by day, without NaN: shape (n,) each."""

    days: Days
    values: FloatArray

    def __len__(self) -> int:
        """How many days have a value."""
        return len(self.days)

    def at(self, days: Days) -> FloatArray:
        """The values on other days, NaN where there is none."""
        return pd.Series(self.values, self.days).reindex(days).to_numpy(dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Record:
    """A book on its observed sessions. The other tracks are cut to the time from the first to the last of them.

    A track is None when nothing was given, and empty when what was given has no value in that time.
    """

    net: Track
    gross: Track | None
    benchmark: Track | None
    risk_free: Track | None
    exposure: Track | None
    turnover: Track | None
    cost: Track | None

    @property
    def cash(self) -> FloatArray | float:
        """Return of cash on the sessions of `net`, NaN where it is not known; 0 when none was given."""
        return 0.0 if self.risk_free is None else self.risk_free.at(self.net.days)


def record(book: Book) -> Record:
    """The book without the sessions that have no return.

    >>> days = pd.to_datetime(["2024-01-02", "2024-01-03", "2024-01-04"])
    >>> record(Book("T", "R", pd.Series([float("nan"), 0.01, 0.02], days))).net.days[0]
    np.datetime64('2024-01-03')
    """
    net = _track(book.net, "net")
    return Record(net, **{name: _within(getattr(book, name), name, net) for name in _OTHERS})


def _check(series: pd.Series, name: str) -> None:
    days, values = _days(series.index, name), series.to_numpy(dtype=np.float64, na_value=np.nan)
    if (days[1:] <= days[:-1]).any() or np.isnat(days).any():
        raise ValueError(f"the sessions of {name} must ascend without repetition")
    if np.isinf(values).any():
        raise ValueError(f"{name} has an infinite value")
    if name in _RETURNS and (values < -1.0).any():
        raise ValueError(f"{name} has a return below -1: a long-only book cannot lose more than everything")


def _within(series: pd.Series | None, name: str, net: Track) -> Track | None:
    if series is None:
        return None
    track = _track(series, name)
    inside = slice(0, 0)
    if len(net):
        inside = slice(np.searchsorted(track.days, net.days[0]), np.searchsorted(track.days, net.days[-1], "right"))
    return Track(track.days[inside], track.values[inside])


def _track(series: pd.Series, name: str) -> Track:
    values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    known = ~np.isnan(values)
    return Track(_days(series.index, name)[known], values[known])


def _days(index: pd.Index, name: str) -> Days:
    """The wall dates of an index, as `datetime64[D]`."""
    if len(index) and pd.api.types.is_numeric_dtype(index.dtype):
        raise ValueError(f"{name} must be indexed by session, not by {index.dtype}")
    stamps = index.to_timestamp() if isinstance(index, pd.PeriodIndex) else pd.DatetimeIndex(index)
    return stamps.tz_localize(None).to_numpy().astype("datetime64[D]")
