"""What a trade costs beyond commission and spread, and what cash earns: pure functions and their inputs.

The cost of a traded dollar has three parts, each a fraction of that dollar:

    commission + half of the bid-ask spread                         linear: the `cost` of a backtest
    + coefficient * sigma * sqrt(traded dollars / mean volume)      market impact: `Impact`

Sigma is the standard deviation of the name's returns per session and the mean volume is in dollars per session,
both over the `WINDOW` sessions that were over before the fill. Traded dollars are the change of weight times a
*constant* capital: the cost is that of a sleeve which always had this size, so a session's return does not depend
on how the sleeve has grown before it.

Sources: the square-root law in Grinold and Kahn, "Active Portfolio Management", 2000, chapter 16 (trading one day's
volume costs about one day's volatility, hence the default coefficient of 1); Tóth et al., "Anomalous Price Impact and
the Critical Nature of Liquidity in Financial Markets", Physical Review X 1, 2011, which finds a coefficient of order
1; Almgren, Thum, Hauptmann and Li, "Direct Estimation of Equity Market Impact", Risk 18(7), 2005, which estimates a
power of 0.6 for the temporary part. A coefficient of 1 is on the dear side of what desks measure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

COEFFICIENT = 1.0  # impact of one day's volume in units of one day's volatility
WINDOW = 20  # sessions
DAYS_PER_YEAR = 365.0  # actual/365: rates are per calendar year

_SMALLEST = float(np.finfo(np.float64).tiny)  # stands for a volume of 0, so that no trade costs 0 times infinity


class Liquidity(NamedTuple):
    """What was known of each name just before each fill, (F, N) each; NaN where too little was known."""

    volume: FloatArray  # mean dollar volume per session
    volatility: FloatArray  # standard deviation of the return of one session


@dataclass(frozen=True, slots=True)
class Impact:
    """Square-root market impact for the fills of one backtest.

    Attributes:
        capital: USD, the constant size of the book; more than 0.
        volume: (F, N) mean dollar volume before each fill, >= 0. NaN when not known: the trade then has no impact
            and counts as unpriced. A volume of 0 is known: such a trade costs the most there is.
        volatility: (F, N) standard deviation of the daily return, >= 0; NaN likewise.
        coefficient: impact of trading one day's volume, in units of one day's volatility; >= 0.

    Raises:
        ValueError: numbers out of range, or shapes that differ.
    """

    capital: float
    volume: FloatArray
    volatility: FloatArray
    coefficient: float = COEFFICIENT

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if not (0.0 < self.capital < np.inf and 0.0 <= self.coefficient < np.inf):
            raise ValueError("capital must be a finite number of dollars above 0 and the coefficient finite and >= 0")
        if self.volume.ndim != 2 or self.volume.shape != self.volatility.shape:
            raise ValueError(
                f"volume {self.volume.shape} and volatility {self.volatility.shape} must be (fills, names)"
            )
        for name, table in (("volume", self.volume), ("volatility", self.volatility)):
            if ((table < 0.0) | (table == np.inf)).any():
                raise ValueError(f"{name} must be finite and >= 0, or NaN when it is not known")

    def scale(self, fill: int, names: IntArray) -> FloatArray:
        """Impact per square root of the traded share of the book; NaN when it is not known.

        >>> impact = Impact(1e6, np.array([[4e6, np.nan]]), np.array([[0.02, 0.02]]))
        >>> impact.scale(0, np.array([0, 1])).tolist()  # the whole book, a quarter of a day: half of 2 %
        [0.01, nan]
        """
        volume = np.maximum(self.volume[fill].take(names), _SMALLEST)
        return self.volatility[fill].take(names) * (self.coefficient * np.sqrt(self.capital)) / np.sqrt(volume)


@dataclass(frozen=True, slots=True)
class ImpactTables:
    """The same by name: fill sessions x symbols, so that one pair of tables serves many books."""

    capital: float
    volume: pd.DataFrame
    volatility: pd.DataFrame
    coefficient: float = COEFFICIENT

    def at(self, fills: pd.Index, symbols: pd.Index) -> Impact:
        """The arrays of one book.

        Raises:
            ValueError: a fill or symbol that is not in both tables, and all that `Impact` raises.
        """
        tables = []
        for table in (self.volume, self.volatility):
            rows, columns = table.index.get_indexer(fills), table.columns.get_indexer(symbols)
            if (rows < 0).any() or (columns < 0).any():
                missing = [*fills[rows < 0], *symbols[columns < 0]]
                raise ValueError(f"no volume or volatility for {', '.join(map(str, missing[:5]))}")
            tables.append(table.to_numpy(dtype=np.float64)[np.ix_(rows, columns)])
        return Impact(self.capital, tables[0], tables[1], self.coefficient)


def liquidity(
    volumes: FloatArray, returns: FloatArray, fills: npt.NDArray[np.integer], *, window: int = WINDOW
) -> Liquidity:
    """Mean dollar volume and standard deviation of the return over the sessions before each fill.

    Rule: the `window` sessions before the fill session, which itself is not looked at. NaN is no observation; the
    mean and the deviation (ddof 1) are over what is there, and NaN with fewer than half of `window` observations.
    Each window is summed on its own, so a fill's numbers are the same bits wherever the panels begin, as long as they
    hold the window. Sessions before the first of the panels count as not observed: let the panels begin `window`
    sessions before the first fill.

    Args:
        volumes: (T, N) dollars traded per session, >= 0 or NaN.
        returns: (T, N) simple returns, NaN where there is no bar.
        fills: (F,) session indices in [0, T].
        window: sessions, at least 2.

    Raises:
        ValueError: shapes that differ, fills outside the panels, a window below 2.

    >>> rows = np.array([[1e6], [3e6], [9e6]])
    >>> known = liquidity(rows, np.array([[0.01], [0.03], [0.5]]), np.array([2]), window=2)
    >>> known.volume.tolist(), known.volatility.round(6).tolist()
    ([[2000000.0]], [[0.014142]])
    """
    if volumes.ndim != 2 or volumes.shape != returns.shape:
        raise ValueError(f"volumes {volumes.shape} and returns {returns.shape} must both be (sessions, names)")
    rows = np.asarray(fills)
    if rows.ndim != 1 or (rows.size and (rows.min() < 0 or rows.max() > len(volumes))):
        raise ValueError(f"fills must be session indices from 0 to {len(volumes)}")
    if window < 2:
        raise ValueError(f"a window of {window} has no standard deviation")
    found = Liquidity(np.empty((len(rows), volumes.shape[1])), np.empty((len(rows), volumes.shape[1])))
    least = max(2, (window + 1) // 2)
    for row, fill in enumerate(rows.tolist()):
        begin = max(fill - window, 0)
        found.volume[row] = _mean(volumes[begin:fill], least)
        found.volatility[row] = _deviation(returns[begin:fill], least)
    return found


def impact_tables(
    volumes: pd.DataFrame,
    returns: pd.DataFrame,
    fills: Iterable[pd.Timestamp],
    *,
    capital: float,
    coefficient: float = COEFFICIENT,
    window: int = WINDOW,
) -> ImpactTables:
    """`liquidity` by name.

    Args:
        volumes: dollars traded, sessions (ascending) x symbols, NaN where not known.
        returns: simple returns on the same sessions and symbols.
        fills: fill sessions, in any order.
        capital: USD.
        coefficient: see `Impact`.
        window: sessions.

    Raises:
        ValueError: tables with other sessions or symbols, sessions out of order, a fill that is no session, and all
            that `liquidity` raises.
    """
    days, symbols = returns.index, returns.columns
    if not (days.equals(volumes.index) and symbols.equals(volumes.columns)):
        raise ValueError("volumes and returns must have the same sessions and symbols")
    if not (days.is_monotonic_increasing and days.is_unique and symbols.is_unique):
        raise ValueError("volumes and returns must have ascending, unique sessions and unique symbols")
    wanted = pd.Index(list(fills), dtype=days.dtype).unique().sort_values()
    rows = days.get_indexer(wanted)
    if (rows < 0).any():
        raise ValueError(f"fill sessions without volumes: {', '.join(map(str, wanted[rows < 0][:5]))}")
    panels = (np.ascontiguousarray(table, dtype=np.float64) for table in (volumes, returns))
    volume, volatility = liquidity(*panels, rows, window=window)
    return ImpactTables(
        capital,
        pd.DataFrame(volume, index=wanted, columns=symbols),
        pd.DataFrame(volatility, index=wanted, columns=symbols),
        coefficient,
    )


def cash_returns(rates: pd.DataFrame, sessions: pd.DatetimeIndex, tenor: str = "3m") -> pd.Series:
    """Simple return of cash on each session: the calendar days since the session before, at the newest rate known.

    Rule: rate * days / 365, where the rate is the one of the newest event day among those known before the session
    (``known_on`` < session; a revision of that day replaces it) and the days are those since the session before.
    **Cash earns nothing until a rate is known**, and nothing on the first session, which has none before it. A null
    rate is no rate: the one before it stays.

    Args:
        rates: rows of `treasury_rates`: known_on, event_date, tenor, rate (decimal per year); others are passed over.
        sessions: ascending and unique.
        tenor: which rate, such as "3m".

    Returns:
        One number per session, named "cash".

    Raises:
        ValueError: sessions out of order, or two rates of one event day known on the same day.

    Source: the actual/365 convention of bond-equivalent Treasury bill yields, US Treasury, "Daily Treasury Bill
    Rates"; interest on each session's simple accrual compounds from session to session.

    >>> days = pd.DatetimeIndex(["2024-01-04", "2024-01-05", "2024-01-08"])
    >>> rates = pd.DataFrame({"known_on": days[:1], "event_date": days[:1], "tenor": ["3m"], "rate": [0.0365]})
    >>> cash_returns(rates, days).round(6).tolist()  # three days over the weekend
    [0.0, 0.0001, 0.0003]
    """
    if not (sessions.is_monotonic_increasing and sessions.is_unique):
        raise ValueError("sessions must be ascending and unique")
    rows = rates.loc[(rates["tenor"] == tenor) & rates["rate"].notna(), ["known_on", "event_date", "rate"]]
    rows = rows.drop_duplicates().sort_values(["known_on", "event_date"])
    if rows.duplicated(["known_on", "event_date"]).any():
        raise ValueError(f"two rates of tenor {tenor} for one event day were known on the same day")
    rows = rows[rows["event_date"] == rows["event_date"].cummax()].drop_duplicates("known_on", keep="last")
    known = rows["known_on"].to_numpy().astype("datetime64[D]")
    days = sessions.to_numpy().astype("datetime64[D]")
    newest = np.concatenate([[0.0], rows["rate"].to_numpy(dtype=np.float64)])[np.searchsorted(known, days)]
    passed = np.diff(days, prepend=days[:1]).astype(np.int64)
    return pd.Series(newest * passed / DAYS_PER_YEAR, index=sessions, name="cash")


def _mean(block: FloatArray, least: int) -> FloatArray:
    """Mean of each column over what is there, NaN with fewer than `least` observations."""
    total, count = _total(block)
    return _over(total, count, count >= least)


def _deviation(block: FloatArray, least: int) -> FloatArray:
    """Standard deviation (ddof 1) of each column over what is there, NaN with fewer than `least` observations."""
    total, count = _total(block)
    centred = block - _over(total, count, count > 0)
    centred *= centred
    squares, _ = _total(centred)
    return np.sqrt(_over(squares, count - 1, count >= least))


def _total(block: FloatArray) -> tuple[FloatArray, IntArray]:
    """Sum and number of what is there in each column. Most windows have no gap and are summed as they are."""
    total = np.add.reduce(block, axis=0)
    if not np.isnan(total).any():
        return total, np.full(block.shape[1], len(block))
    missing = np.isnan(block)
    return np.add.reduce(np.where(missing, 0.0, block), axis=0), len(block) - np.count_nonzero(missing, axis=0)


def _over(total: FloatArray, count: IntArray, where: npt.NDArray[np.bool_]) -> FloatArray:
    return np.divide(total, count, out=np.full(len(total), np.nan), where=where)
