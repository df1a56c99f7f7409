"""The daily net return of a long-only book, from nothing but its stored target weights.

The rules, which every number of this module honours:

* **The decision precedes the fill.** A target is traded at the *close* of its fill session: on that session
  the old holdings earn, the new ones earn from the next session on.
* **Holdings drift** between fills. Turnover is measured from the drifted holdings to the target, never from
  the last target.
* **Costs are paid out of the book.** With pre-cost value V, drifted holdings h, target weights w and cost c
  per traded dollar, the value after the trade is the fixed point V' = V - sum c |w V' - h|.
* **Market impact** (see `analytics.costs`) is a part of c: per name and fill, at the size the trade would have
  if it cost nothing. V' therefore misses the one at the size that is traded in the end, by at most 2 C m, with C
  the whole cost of the rebalance and m the largest impact of a name, both as fractions: for 20 and 50 basis points,
  0.2 of a basis point. Commission, spread and impact together take at most half of a traded dollar. The size is that
  of a book of constant capital, so impact does not depend on how the book has grown.
* **A missing bar (NaN) is a holding carried unchanged**: 0 on that day, and the next bar's return spans the
  gap. A name without a bar on a fill session is neither bought nor sold: what is held of it stays and counts
  against the budget, and what was wanted of it stays cash. The other targets are kept as they are, unless
  together with the frozen holdings they exceed the book; then they are scaled down in proportion.
* **A delisted name** earns its delisting return on its last session and is cash from that close on. It
  cannot be bought at or after that close.
* **Cash earns** the return given for it, also before the first fill, when everything is cash, and also what a
  delisting left, from the session after its last one. It earns nothing if no return is given. A book that has
  lost everything stays at zero.

Every segment between two fills is computed from its own opening holdings, in fractions of the book. A
session's net return therefore depends only on what was held at the previous fill, bit for bit, and neither
on how far back the computation started nor on how far it goes on.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from pas_dagster.analytics.costs import Impact, ImpactTables

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# The reductions without the Python layer of the array methods, which is most of their time on 50 numbers.
_sum, _lowest, _any = np.add.reduce, np.minimum.reduce, np.logical_or.reduce

_SUM_TOLERANCE = 1e-9  # a row of weights may exceed 1 by rounding, not by intent
_RUIN = 1e-12  # a book worth less than this share of its last fill is worth nothing: only rounding is left
_NEVER = np.iinfo(np.int64).max  # "last session" of a name that is not delisted
_SETTLED = 4.0 * float(np.finfo(np.float64).eps)
_MAX_STEPS = 80  # each step shrinks the error by the cost rate (<= 1/2), so 53 reach the last bit
_DEAREST = 0.5  # no traded dollar costs more, whatever the impact


class Trades(NamedTuple):
    """Every trade of a path, in the order of the fills, within a fill by name; flat arrays of one length."""

    fill: IntArray  # row of `weights`, not the session
    name: IntArray
    weight: FloatArray  # bought (> 0) or sold (< 0), as a fraction of the pre-cost book; never 0


@dataclass(frozen=True, slots=True)
class Path:
    """What a book did: one value per session (arrays of shape (T,)), and what it holds (arrays (N,)).

    Attributes:
        net: simple return of the session after costs.
        gross: simple return of the session before that session's cost; ``net == gross - cost``.
        turnover: traded dollars, buys plus sells, per dollar of pre-cost book; 0 except on fills.
        cost: cost of the session's trades as a fraction of the book at the previous close.
        exposure: share of the book invested at the close, after any trade.
        nav: growth of one dollar that was there before the first session: ``cumprod(1 + net)``.
        held: fractions of the book right after the last fill (``start`` when there was none).
        held_since: session index of that fill, -1 when there was none.
        final: fractions of the book at the close of the last session, drifted.
        impact: the part of ``cost`` that is market impact.
        unpriced: the part of ``turnover`` whose impact is not known and was not counted; 0 without impact.
        trades: every trade, if asked for.

    ``held`` and ``final`` are NaN for a book that has lost everything: it cannot be continued.
    """

    net: FloatArray
    gross: FloatArray
    turnover: FloatArray
    cost: FloatArray
    exposure: FloatArray
    nav: FloatArray
    held: FloatArray
    held_since: int
    final: FloatArray
    impact: FloatArray
    unpriced: FloatArray
    trades: Trades | None = None


class _Market(NamedTuple):
    """The panel a book lives in."""

    returns: FloatArray  # (T, N), C-contiguous
    rate: FloatArray  # (N,) cost per traded dollar
    last: IntArray  # (N,), _NEVER when the name is not delisted
    mortal: bool  # whether any name is delisted
    scratch: FloatArray  # (N,) zeros, lent out and handed back as zeros
    cash: FloatArray | None  # (T,) growth factors
    impact: Impact | None


class _Book(NamedTuple):
    """Holdings as fractions of the book; what is missing to 1 is cash. Names ascend, fractions are > 0."""

    names: IntArray
    share: FloatArray


class _Drift(NamedTuple):
    """One segment, seen from its opening book of 1."""

    growth: FloatArray  # (L,) value of the book
    invested: FloatArray  # (L,) value of what is not cash
    book: _Book  # at the segment's last close
    frozen: BoolArray  # which of the book's names have no bar at that close


class _Trade(NamedTuple):
    """One rebalance."""

    book: _Book  # as fractions of V'
    kept: float  # V' / V
    turnover: float  # traded dollars / V
    impact: float  # cost of market impact / V
    unpriced: float  # traded dollars of unknown impact / V
    names: IntArray  # traded, or left alone; a name that was held and is wanted comes twice, then with 0
    amounts: FloatArray  # dollars bought / V


class _Settlement(NamedTuple):
    """What a rebalance comes to, for a pre-cost book of 1."""

    kept: float  # V'
    level: float  # dollars bought per unit of target weight
    trades: FloatArray  # dollars bought
    sizes: FloatArray  # their absolute values


@dataclass(frozen=True, slots=True)
class _Record:
    """What the segments and trades left behind, one value per session."""

    growth: FloatArray  # pre-cost value of the book at the close over its value when its segment opened
    kept: FloatArray  # V' / V of the session's trade
    turnover: FloatArray
    invested: FloatArray  # what of that value is not cash at the close, after any trade
    impact: FloatArray  # as a fraction of V
    unpriced: FloatArray
    trades: list[tuple[IntArray, FloatArray]] | None  # names and amounts of each fill, if asked for

    @classmethod
    def blank(cls, sessions: int, trades: bool) -> _Record:
        zeros = [np.zeros(sessions) for _ in range(4)]
        return cls(np.ones(sessions), np.ones(sessions), *zeros, [] if trades else None)

    def drifted(self, drift: _Drift, first: int, stop: int) -> None:
        self.growth[first : stop + 1] = drift.growth
        self.invested[first : stop + 1] = drift.invested

    def traded(self, trade: _Trade, session: int) -> None:
        self.kept[session] = trade.kept
        self.turnover[session] = trade.turnover
        self.invested[session] = _sum(trade.book.share) * self.growth[session]
        self.impact[session] = trade.impact
        self.unpriced[session] = trade.unpriced
        if self.trades is not None:
            self.trades.append((trade.names, trade.amounts))

    def path(self, fills: list[int], held: FloatArray, final: FloatArray) -> Path:
        """Chain the segments that follow each of `fills` into one path."""
        before = np.concatenate([[1.0], self.growth])[:-1]
        before[[fill + 1 for fill in fills if fill + 1 < len(before)]] = 1.0
        alive = before > 0.0
        before[~alive] = 1.0
        gross = np.where(alive, self.growth / before - 1.0, 0.0)
        net = np.where(alive, self.growth * self.kept / before - 1.0, 0.0)
        exposure = np.divide(self.invested, self.growth, out=np.zeros(len(net)), where=self.growth > 0.0)
        since = fills[-1] if fills else -1
        nav = np.multiply.accumulate(1.0 + net)
        impact = self.impact * self.growth / before
        return Path(
            net,
            gross,
            self.turnover,
            gross - net,
            exposure,
            nav,
            held,
            since,
            final,
            impact,
            self.unpriced,
            None if self.trades is None else _flat(self.trades),
        )


def simulate(
    weights: FloatArray,
    fills: npt.NDArray[np.integer],
    returns: FloatArray,
    *,
    cost: float | FloatArray,
    last: npt.NDArray[np.integer] | None = None,
    start: FloatArray | None = None,
    cash: FloatArray | None = None,
    impact: Impact | None = None,
    trades: bool = False,
) -> Path:
    """Run a long-only book through a panel of returns. The rules are stated at the top of the module.

    Args:
        weights: (R, N) target weights of each rebalance: finite, >= 0, each row summing to at most 1. The
            rest of a row is cash, a row of zeros sells everything.
        fills: (R,) strictly increasing session indices in [0, T) at whose close each target is traded.
        returns: (T, N) simple total returns, NaN where the name has no bar. Only names that are held or
            wanted are looked at.
        cost: proportional cost per traded dollar in [0, 0.5), e.g. 0.0005 for 5 basis points; one number,
            or (N,) one per name.
        last: (N,) session index of each name's delisting bar, -1 for none. An index at or beyond T is a
            delisting yet to come. In a panel cut at the left, use 0 for a name delisted before the cut.
        start: (N,) fractions of the book held at the close before the first session; all cash if omitted.
        cash: (T,) simple return of cash on each session, finite and > -1; 0 if omitted.
        impact: market impact, whose tables have one row per fill and one column per name; none if omitted. What a
            trade's impact would be and is not known is not counted, see ``unpriced`` of the path.
        trades: whether to keep every trade.

    Returns:
        The path; see `Path`.

    Raises:
        ValueError: shapes that do not fit, weights or costs out of range, fills out of order, or a return
            of a held name that is below -1 or infinite, or a return of cash that is -1, below or not finite.

    To compute one session exactly as a long run does, begin at the last fill before it: pass the returns
    from the session after that fill on, and as ``start`` the ``held`` of a run that ends at that fill. Where
    no holding was frozen at that fill, ``held`` is its target. Starting from ``final`` is right too, but only
    to rounding.

    Source: the self-financing condition with proportional costs, Boyd et al., "Multi-Period Trading via
    Convex Optimization", Foundations and Trends in Optimization 3(1), 2017, section 2.

    Buy half a book at the close of session 0; the name doubles in session 1:

    >>> path = simulate(np.array([[0.5]]), np.array([0]), np.array([[0.0], [1.0], [0.0]]), cost=0.0)
    >>> path.net.tolist(), path.nav.tolist()
    ([0.0, 0.5, 0.0], [1.0, 1.5, 1.5])
    >>> [round(x, 4) for x in path.exposure.tolist()]
    [0.5, 0.6667, 0.6667]
    """
    market = _market(returns, cost, last, cash, impact)
    sessions, names = market.returns.shape
    stops = _checked_fills(fills, sessions)
    if impact is not None and impact.volume.shape != (len(stops), names):
        raise ValueError(f"impact must be (fills, names) = {(len(stops), names)}, not {impact.volume.shape}")
    targets = _targets(weights, stops, market)
    held = book = _opening(start, names)
    record = _Record.blank(sessions, trades)
    first = 0
    for number, stop in enumerate(stops):
        drift = _drift(book, market, first, stop)
        record.drifted(drift, first, stop)
        if drift.growth[-1] == 0.0:
            return _ruined(record, stops[:number], stop, names)
        trade = _trade(drift, targets[number], market, number)
        record.traded(trade, stop)
        held = book = trade.book
        first = stop + 1
    if first < sessions:
        drift = _drift(book, market, first, sessions - 1)
        record.drifted(drift, first, sessions - 1)
        if drift.growth[-1] == 0.0:
            return _ruined(record, stops, sessions - 1, names)
        book = drift.book
    return record.path(stops, _dense(held, names), _dense(book, names))


class Book(NamedTuple):
    """What a book given as tables did."""

    daily: pd.DataFrame  # columns net, gross, turnover, cost, exposure, impact, unpriced (see `Path`) by session
    trades: pd.DataFrame  # session, symbol, weight (see `Trades`), volume: mean dollars a session before, NaN: unknown


def book_returns(
    targets: pd.DataFrame,
    returns: pd.DataFrame,
    cost: float,
    delisted: Mapping[str, pd.Timestamp] | None = None,
    *,
    fills: Iterable[pd.Timestamp] = (),
    cash: pd.Series | None = None,
    impact: ImpactTables | None = None,
) -> pd.DataFrame:
    """Run a book given as tables; the rules are those of `simulate`.

    Args:
        targets: long table with the columns ``session`` (the fill session), ``symbol`` and ``weight``.
        returns: simple total returns, sessions (ascending) x symbols, NaN where there is no bar.
        cost: proportional cost per traded dollar, e.g. 0.0005: commission and half of the spread.
        delisted: symbol -> day of its delisting bar. Symbols that are not in `returns` are passed over, and a
            day that is no session counts as the session before it.
        fills: further fill sessions. A session named here without rows in `targets` sells everything.
        cash: simple return of cash by session (`costs.cash_returns`), of every session of `returns`; 0 if omitted.
        impact: market impact (`costs.impact_tables`), of every fill session and symbol; none if omitted.

    Returns:
        Columns net, gross, turnover, cost, exposure (see `Path`), indexed by the sessions of `returns`.

    Raises:
        ValueError: a fill that is no session of `returns`, a symbol without a column, a (session, symbol)
            given twice, sessions or symbols that are not in order or not unique, a session without a return of
            cash, a fill or symbol that is not in the tables of `impact`, and all that `simulate` raises.

    >>> days = pd.DatetimeIndex(["2024-01-02", "2024-01-03", "2024-01-04"])
    >>> returns = pd.DataFrame({"A": [0.0, 0.1, 0.1], "B": [0.0, 0.0, 0.0]}, index=days)
    >>> targets = pd.DataFrame({"session": days[:1], "symbol": ["A"], "weight": [0.5]})
    >>> book_returns(targets, returns, 0.0, fills=[days[1]])["net"].round(4).tolist()
    [0.0, 0.05, 0.0]
    """
    case = _case(targets, returns, cost, delisted or {}, fills, cash, impact)
    return _daily(case.run(trades=False), returns.index)[["net", "gross", "turnover", "cost", "exposure"]]


def run_book(
    targets: pd.DataFrame,
    returns: pd.DataFrame,
    cost: float,
    delisted: Mapping[str, pd.Timestamp] | None = None,
    *,
    fills: Iterable[pd.Timestamp] = (),
    cash: pd.Series | None = None,
    impact: ImpactTables | None = None,
) -> Book:
    """`book_returns` with the cost of impact, the turnover it is not known of, and every trade.

    Arguments and errors are those of `book_returns`. The capacity of the book is
    ``capacity(book.trades["weight"], book.trades["volume"])``.

    >>> days = pd.DatetimeIndex(["2024-01-02", "2024-01-03"])
    >>> returns = pd.DataFrame({"A": [0.0, 0.1]}, index=days)
    >>> targets = pd.DataFrame({"session": days[:1], "symbol": ["A"], "weight": [0.5]})
    >>> volume, volatility = (pd.DataFrame({"A": [number]}, index=days[:1]) for number in (8e6, 0.02))
    >>> book = run_book(targets, returns, 0.0, impact=ImpactTables(1e6, volume, volatility))
    >>> book.trades[["symbol", "volume"]].to_numpy().tolist(), book.trades["weight"].round(4).tolist()
    ([['A', 8000000.0]], [0.4988])
    >>> book.daily["impact"].round(5).tolist()  # 0.02 * sqrt(0.5 / 8) = 50 basis points of half a book
    [0.00249, 0.0]
    """
    case = _case(targets, returns, cost, delisted or {}, fills, cash, impact)
    path = case.run(trades=True)
    made = cast(Trades, path.trades)
    volume = np.full(len(made.fill), np.nan) if case.impact is None else case.impact.volume[made.fill, made.name]
    columns = {
        "session": returns.index[case.rows[made.fill]],
        "symbol": returns.columns[made.name],
        "weight": made.weight,
        "volume": volume,
    }
    return Book(_daily(path, returns.index), pd.DataFrame(columns))


def weekly(daily: pd.DataFrame) -> pd.DataFrame:
    """Compound daily simple returns to calendar weeks, Monday to Sunday, labelled by the Monday.

    Args:
        daily: days x sleeves; NaN where a sleeve has no return. A time zone, if any, is dropped: the day is
            the one on the wall there.

    Returns:
        Weeks x sleeves, every week from the first to the last. A day without a return adds nothing to its
        week, and a week in which a sleeve has no return at all is NaN, not 0.

    Raises:
        ValueError: the index is not made of dates, or has one twice.

    >>> days = pd.DatetimeIndex(["2024-01-04", "2024-01-05", "2024-01-08"])
    >>> weekly(pd.DataFrame({"a": [0.1, 0.1, np.nan]}, index=days)).round(4)
                   a
    2024-01-01  0.21
    2024-01-08   NaN
    """
    if not isinstance(daily.index, pd.DatetimeIndex) or not daily.index.is_unique:
        raise ValueError("daily returns must be indexed by date, each date once")
    days = daily.index.tz_localize(None).normalize()
    mondays = days - pd.to_timedelta(days.day_of_week, unit="D")
    weeks = (1.0 + daily).groupby(mondays).prod(min_count=1) - 1.0
    if weeks.empty:
        return weeks
    return weeks.reindex(pd.date_range(weeks.index[0], weeks.index[-1], freq="7D", unit=mondays.unit))


# --------------------------------------------------------------------------------- one segment, one trade


def _drift(book: _Book, market: _Market, first: int, stop: int) -> _Drift:
    """Let a book of value 1 run from the opening of session `first` to the close of `stop`."""
    names, share = book
    value = market.returns[first : stop + 1].take(names, axis=1)
    missing = np.isnan(value)
    value[missing] = 0.0
    gone = market.last[names]
    dies = market.mortal and names.size > 0 and _lowest(gone) <= stop
    cash = None if market.cash is None else market.cash[first : stop + 1]
    if dies:
        np.copyto(value, 0.0 if cash is None else cash[:, None] - 1.0, where=_sessions(first, stop) > gone)
    value += 1.0
    impossible = names.size > 0 and _lowest(value, axis=None) < 0.0
    np.multiply.accumulate(value, axis=0, out=value)
    ends = value[-1] * share
    # Gains are summed, not values, so that a day on which nothing moves returns exactly 0. The sum runs
    # along contiguous rows and is no matrix product: its bits must not depend on the number of rows.
    value -= 1.0
    value *= share
    gain = _sum(value, axis=1)
    growth = gain + 1.0
    if cash is not None:
        growth += (np.multiply.accumulate(cash) - 1.0) * max(1.0 - _sum(share), 0.0)
    if impossible or not growth[-1] < np.inf:
        raise ValueError(f"a held name has a return below -1 or infinite in sessions {first} to {stop}")
    if _lowest(growth) <= _RUIN:
        growth[np.minimum.accumulate(growth) <= _RUIN] = 0.0
    if growth[-1] == 0.0:
        return _Drift(growth, np.zeros(len(growth)), book, missing[-1])
    ends /= growth[-1]
    invested = gain + _sum(share)
    if not dies:
        return _Drift(growth, invested, _Book(names, ends), missing[-1])
    invested -= _sum((value + share) * (_sessions(first, stop) >= gone), axis=1)
    alive = gone > stop
    return _Drift(growth, invested, _Book(names[alive], ends[alive]), missing[-1][alive])


def _sessions(first: int, stop: int) -> IntArray:
    """The session indices of a segment as a column, to compare with one number per name."""
    return np.arange(first, stop + 1)[:, None]


def _trade(drift: _Drift, target: _Book, market: _Market, fill: int) -> _Trade:
    """Trade from the drifted holdings to the target, of which everything can be bought, and pay for it."""
    names, share = drift.book
    stuck = None
    if _any(drift.frozen):
        stuck = _Book(names[drift.frozen], share[drift.frozen])
        names, share = names[~drift.frozen], share[~drift.frozen]
    wanted, weight = target
    owned = market.scratch
    owned[names] = share
    now = owned[wanted]
    owned[wanted] = 0.0
    unwanted = owned[names]
    owned[names] = 0.0
    traded = np.concatenate([wanted, names])
    goal, held = np.concatenate([weight, np.zeros(len(names))]), np.concatenate([now, unwanted])
    linear = rate = market.rate[traded]
    if market.impact is not None:
        scale = market.impact.scale(fill, traded)
        unknown = np.isnan(scale)
        scale[unknown] = 0.0
        free = np.abs(goal * _level(1.0, float(_sum(goal)), stuck) - held)
        rate = np.minimum(linear + scale * np.sqrt(free), _DEAREST)
    kept, level, trades, sizes = _settle(goal, held, rate, stuck)
    impact = unpriced = 0.0
    if market.impact is not None:
        impact, unpriced = float(_sum((rate - linear) * sizes)), float(_sum(sizes * unknown))
    paid = (kept, float(_sum(sizes)), impact, unpriced, traded, trades)
    if stuck is None:
        return _Trade(_Book(wanted, weight), *paid)
    bought, stuck = _Book(wanted, weight * level / kept), _Book(stuck.names, stuck.share / kept)
    return _Trade(_merge(bought, stuck), *paid)


def _level(kept: float, total: float, stuck: _Book | None) -> float:
    """Dollars bought per unit of target weight: V' itself, or what frozen holdings leave when both do not fit."""
    frozen = 0.0 if stuck is None else float(_sum(stuck.share))
    if stuck is not None and total > 0.0 and frozen + total * kept > kept:
        return max(kept - frozen, 0.0) / total
    return kept


def _settle(goal: FloatArray, owned: FloatArray, rate: FloatArray, stuck: _Book | None) -> _Settlement:
    """Solve V' = V - sum rate |goal * level - owned| for V = 1, with the level that belongs to V'."""
    total = float(_sum(goal))
    kept = 1.0
    for _ in range(_MAX_STEPS):
        level = _level(kept, total, stuck)
        trades = goal * level - owned
        costs = rate * trades
        after = 1.0 - float(_sum(np.abs(costs)))
        if abs(after - kept) <= _SETTLED:
            return _Settlement(after, level, trades, np.abs(trades))
        # Costs are convex and piecewise linear in V': a Newton step lands on the solution unless a trade
        # changes sides on the way. What frozen holdings leave is not convex, so there the plain step stays.
        slope = 0.0 if stuck is not None else float(_sum(np.sign(trades) * rate * goal))
        kept += (after - kept) / (1.0 + slope)
    raise ArithmeticError("the cost of a rebalance did not converge")  # impossible for rates up to 1/2


def _flat(trades: list[tuple[IntArray, FloatArray]]) -> Trades:
    """The trades of all fills in one row of arrays."""
    if not trades:
        return Trades(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    fill = np.repeat(np.arange(len(trades)), [len(names) for names, _ in trades])
    name, weight = (np.concatenate(parts) for parts in zip(*trades, strict=True))
    order = np.lexsort((name, fill))
    order = order[weight[order] != 0.0]
    return Trades(fill[order], name[order], weight[order])


def _merge(one: _Book, other: _Book) -> _Book:
    """Two books of different names as one, in the order and without the zeros that `_Book` promises."""
    names, share = np.concatenate([one.names, other.names]), np.concatenate([one.share, other.share])
    order = np.argsort(names)
    order = order[share[order] > 0.0]
    return _Book(names[order], share[order])


def _ruined(record: _Record, fills: list[int], stop: int, names: int) -> Path:
    """The path of a book that lost everything by the close of `stop`."""
    record.growth[stop + 1 :] = 0.0
    nothing = np.full(names, np.nan)
    return record.path(fills, nothing, nothing)


# ----------------------------------------------------------------------------------------------- the border


class _Case(NamedTuple):
    """The arguments of `simulate`, from tables."""

    weights: FloatArray
    rows: IntArray
    returns: FloatArray
    cost: float
    last: IntArray
    cash: FloatArray | None
    impact: Impact | None

    def run(self, *, trades: bool) -> Path:
        return simulate(
            self.weights,
            self.rows,
            self.returns,
            cost=self.cost,
            last=self.last,
            cash=self.cash,
            impact=self.impact,
            trades=trades,
        )


def _case(
    targets: pd.DataFrame,
    returns: pd.DataFrame,
    cost: float,
    delisted: Mapping[str, pd.Timestamp],
    fills: Iterable[pd.Timestamp],
    cash: pd.Series | None,
    impact: ImpactTables | None,
) -> _Case:
    ordered = returns.index.is_monotonic_increasing and returns.index.is_unique
    if not ordered or not returns.columns.is_unique:
        raise ValueError("returns must have ascending, unique sessions and unique symbols")
    at_session = _positions(returns.index, targets["session"], "fill sessions without returns")
    at_symbol = _positions(returns.columns, targets["symbol"], "symbols without returns")
    if targets.duplicated(["session", "symbol"]).any():
        raise ValueError("targets name a (session, symbol) twice")
    rows = np.union1d(at_session, _positions(returns.index, list(fills), "fill sessions without returns"))
    weights = np.zeros((len(rows), returns.shape[1]))
    weights[np.searchsorted(rows, at_session), at_symbol] = targets["weight"].to_numpy(dtype=np.float64)
    last = _last_sessions(returns, delisted)
    earned = None if cash is None else _earned(cash, returns.index)
    friction = None if impact is None else impact.at(returns.index[rows], returns.columns)
    return _Case(weights, rows, returns.to_numpy(dtype=np.float64), cost, last, earned, friction)


def _earned(cash: pd.Series, sessions: pd.Index) -> FloatArray:
    return cash.to_numpy(dtype=np.float64)[_positions(cash.index, sessions, "sessions without a return of cash")]


def _daily(path: Path, sessions: pd.Index) -> pd.DataFrame:
    names = ("net", "gross", "turnover", "cost", "exposure", "impact", "unpriced")
    return pd.DataFrame({name: getattr(path, name) for name in names}, index=sessions)


def _market(
    returns: FloatArray,
    cost: float | FloatArray,
    last: npt.NDArray[np.integer] | None,
    cash: FloatArray | None,
    impact: Impact | None,
) -> _Market:
    panel = np.ascontiguousarray(returns, dtype=np.float64)
    if panel.ndim != 2:
        raise ValueError(f"returns must be (sessions, names), not of shape {panel.shape}")
    names = panel.shape[1]
    rate = np.asarray(cost, dtype=np.float64)
    if rate.shape not in ((), (names,)):
        raise ValueError(f"cost must be one number or one per name, not of shape {rate.shape}")
    if not np.all((rate >= 0.0) & (rate < 0.5)):
        raise ValueError("cost is a fraction of the traded dollars in [0, 0.5): 0.0005 is 5 basis points")
    until = np.full(names, -1) if last is None else np.asarray(last)
    if until.shape != (names,) or until.dtype.kind not in "iu":
        raise ValueError(f"last must be one session index per name, shape ({names},)")
    until = np.where(until < 0, _NEVER, until).astype(np.int64)
    mortal = bool((until < _NEVER).any())
    factors = None if cash is None else _cash(cash, len(panel))
    return _Market(panel, np.broadcast_to(rate, names), until, mortal, np.zeros(names), factors, impact)


def _cash(cash: FloatArray, sessions: int) -> FloatArray:
    """Growth factors of cash."""
    factors = 1.0 + np.asarray(cash, dtype=np.float64)
    if factors.shape != (sessions,):
        raise ValueError(f"cash must be one return per session, shape ({sessions},), not {factors.shape}")
    if not ((factors > 0.0) & (factors < np.inf)).all():
        raise ValueError("a return of cash must be finite and above -1")
    return factors


def _checked_fills(fills: npt.NDArray[np.integer], sessions: int) -> list[int]:
    rows = np.asarray(fills)
    if rows.size == 0:
        return []
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise ValueError("fills must be a row of session indices")
    if rows[0] < 0 or rows[-1] >= sessions or (rows[1:] <= rows[:-1]).any():
        raise ValueError(f"fills must be strictly increasing session indices below {sessions}")
    return rows.tolist()


def _targets(weights: FloatArray, fills: list[int], market: _Market) -> list[_Book]:
    """One book per row of weights: what is wanted and can be bought at the close of its fill."""
    sessions = np.array(fills, dtype=np.int64)
    table = _checked_weights(weights, (len(fills), market.returns.shape[1]))
    rows, names = np.nonzero(table > 0.0)
    at = sessions[rows]
    buyable = ~np.isnan(market.returns[at, names]) & (market.last[names] > at)
    rows, names = rows[buyable], names[buyable]
    share = table[rows, names]
    edges = np.searchsorted(rows, np.arange(len(fills) + 1)).tolist()
    return [_Book(names[a:b], share[a:b]) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def _opening(start: FloatArray | None, names: int) -> _Book:
    share = np.zeros(names) if start is None else _checked_weights(np.asarray(start)[None, :], (1, names))[0]
    held = np.flatnonzero(share)
    return _Book(held, share[held])


def _checked_weights(weights: FloatArray, shape: tuple[int, int]) -> FloatArray:
    table = np.asarray(weights, dtype=np.float64)
    if table.shape != shape:
        raise ValueError(f"weights must be (fills, names) = {shape}, not {table.shape}")
    if table.size and not (table.min() >= 0.0 and table.sum(axis=1).max() <= 1.0 + _SUM_TOLERANCE):
        raise ValueError("weights must be finite, >= 0 and sum to at most 1 in each row")
    return table


def _dense(book: _Book, names: int) -> FloatArray:
    share = np.zeros(names)
    share[book.names] = book.share
    return share


def _positions(index: pd.Index, labels: Iterable[Hashable], complaint: str) -> IntArray:
    wanted = pd.Index(labels if isinstance(labels, pd.Series) else list(labels), dtype=index.dtype)
    found = index.get_indexer(wanted)
    if (found < 0).any():
        raise ValueError(f"{complaint}: {', '.join(map(str, wanted[found < 0].unique()[:5]))}")
    return found.astype(np.int64)


def _last_sessions(returns: pd.DataFrame, delisted: Mapping[str, pd.Timestamp]) -> IntArray:
    """Each symbol's last session as `simulate` wants it: -1 for none, 0 for one before the panel."""
    last = np.full(returns.shape[1], -1, dtype=np.int64)
    columns = returns.columns.get_indexer(pd.Index(list(delisted), dtype=returns.columns.dtype))
    days = pd.Index(list(delisted.values()), dtype=returns.index.dtype)
    happened = (columns >= 0) & (days <= returns.index.max())
    rows = returns.index.get_indexer(days, method="pad")
    last[columns[happened]] = np.maximum(rows[happened], 0)
    return last
