"""Where the return of the last three months came from: what the pure functions need, cut at each decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from pas_dagster import calendar
from pas_dagster.analytics.attribution import brinson, contributions, grouped
from pas_dagster.analytics.statistics import FloatArray
from pas_dagster.assets.history import load_history
from pas_dagster.assets.schemes import cash_of
from pas_dagster.assets.sleeves import RETURNS
from pas_dagster.lake import Lake
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings
from pas_dagster.strategies.contract import CASH
from pas_dagster.strategies.history import AsOf, History, Window
from pas_dagster.strategies.roster import Roster
from pas_dagster.strategies.securities import Moves, current_names

ATTRIBUTION = TABLES["attribution"]
SHARES = TABLES["allocation"]
TARGETS = TABLES["portfolios"]

COST, FUNDS, UNKNOWN, TOTAL = "$COST", "$FUNDS", "$UNKNOWN", "$TOTAL"  # as $CASH, for a strategy may be called cash
EFFECTS = ("allocation", "selection", "interaction")
MONTHS = 3
READS = {"prices": Window(days=31 * MONTHS), "universe": Window(), "corporate_actions": Window()}

Days = npt.NDArray[np.datetime64]


class Part(NamedTuple):
    """What is attributed: T sessions, G groups; what is left of 1 is in cash, of the benchmark too.

    Attributes:
        groups: their names.
        weights: (T, G) at the beginning of the session.
        returns: (T, G).
        benchmark_weights: (T, G).
        benchmark_returns: (T, G).
        cash: (T,) return of cash.
        costs: (T,) as a share of the account at the beginning of the session; None where they are not looked at.
    """

    groups: Sequence[str]
    weights: FloatArray
    returns: FloatArray
    benchmark_weights: FloatArray
    benchmark_returns: FloatArray
    cash: FloatArray
    costs: FloatArray | None


def attribution_rows(lake: Lake, decisions: Sequence[date], chosen: Settings) -> pd.DataFrame:
    """Rows of `attribution` for the decisions, ascending."""
    sleeves, sectors = Sleeves.load(lake, decisions, chosen), Sectors.load(lake, decisions, chosen)
    made = [
        attributed(part).assign(decision=day, kind=kind)
        for day in decisions
        for kind, part in (("sleeve", sleeves.of(day)), ("sector", sectors.of(day)))
    ]
    return ATTRIBUTION.conform(pd.concat(made, ignore_index=True))


def attributed(part: Part | str) -> pd.DataFrame:
    """Rows of one decision and kind: a group each, cash, costs, and the total; only that one when there is a reason."""
    if isinstance(part, str):
        return _why(part)
    nothing = np.zeros(len(part.cash))
    costs = nothing if part.costs is None else part.costs
    own = contributions(part.groups, part.weights, part.returns, part.cash, costs)
    other = contributions(part.groups, part.benchmark_weights, part.benchmark_returns, part.cash, nothing)
    if own.reason or other.reason:
        return _why(own.reason or other.reason)
    # Costs are a group of weight 1 on both sides that lost them on one: what was made of it is selection.
    names, one = [*part.groups, CASH, COST], np.ones_like(nothing)
    weights = np.column_stack([part.weights, _rest(part.weights), one])
    returns = np.column_stack([part.returns, part.cash, -costs])
    beside = np.column_stack([part.benchmark_weights, _rest(part.benchmark_weights), one])
    earned = np.column_stack([part.benchmark_returns, part.cash, nothing])
    found = brinson(names, weights, returns, beside, earned)
    if found.reason:
        return _why(found.reason)
    rows = pd.DataFrame({"name": names, "weight": weights.mean(axis=0), "benchmark_weight": beside.mean(axis=0)})
    rows = rows.assign(contribution=own.linked, benchmark_contribution=other.linked)
    rows = rows.assign(**dict(zip(EFFECTS, found.linked, strict=True)))
    rows.loc[rows["name"] == COST, ["weight", "benchmark_weight"]] = np.nan
    rows = rows if part.costs is not None else rows[rows["name"] != COST]
    sums = dict(zip(EFFECTS, found.linked.sum(axis=1).tolist(), strict=True))
    total = {"weight": 1.0, "benchmark_weight": 1.0, "contribution": own.total, "benchmark_contribution": other.total}
    return pd.concat([rows, pd.DataFrame([{"name": TOTAL, **total, **sums}])], ignore_index=True)


def _rest(weights: FloatArray) -> FloatArray:
    """(T,) what is left of 1; none where only rounding is."""
    rest = 1.0 - weights.sum(axis=1)
    return np.where(np.abs(rest) < 1e-12, 0.0, rest)


def _why(reason: str) -> pd.DataFrame:
    return pd.DataFrame([{"name": TOTAL, "note": reason}])


def quarter(decision: date) -> Days:
    """The sessions of the three months before a decision, which is the first day of a month."""
    year, month = divmod(12 * decision.year + decision.month - 1 - MONTHS, 12)
    return calendar.session_array(date(year, month + 1, decision.day), _eve(decision))


def _eve(day: date) -> date:
    return day - timedelta(1)


def _session_before(sessions: Days) -> date:
    return calendar.previous_session(sessions[0].astype(object))


def _index(sessions: Days) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(sessions.astype("datetime64[us]"))


def _cash(lake: Lake, first: date, last: date, chosen: Settings) -> pd.Series:
    """Returns of cash; that of the first session is not known."""
    index = _index(calendar.session_array(first, last))
    return cash_of(lake, pd.DataFrame({"cash": 0.0}, index), last, chosen)


# ---------------------------------------------------------------------------------------------------------- sleeves


@dataclass(frozen=True)
class Sleeves:
    """The account's shares of its sleeves, and what those earned.

    Attributes:
        shares: sessions at whose close shares were traded x sleeves.
        daily: net returns, sessions x sleeves.
        cash: by session.
        rate: cost of moving a dollar between sleeves and cash.
    """

    shares: pd.DataFrame
    daily: pd.DataFrame
    cash: pd.Series
    rate: float

    @classmethod
    def load(cls, lake: Lake, decisions: Sequence[date], chosen: Settings) -> Sleeves:
        """Everything since the shares that the first of the decisions begins with were traded."""
        before, last = _session_before(quarter(decisions[0])), _eve(decisions[-1])
        first = lake.last_partition(SHARES, before + timedelta(1)) or before
        rows = lake.read(SHARES, first=first, last=last, columns=["decision", "sleeve", "weight"])
        begin = calendar.roll_forward(first)
        earned = lake.read(RETURNS, first=begin, last=last, columns=["known_on", "strategy", "net"])
        daily = earned.pivot(index="known_on", columns="strategy", values="net")
        shares = rows[rows["sleeve"] != CASH].pivot(index="decision", columns="sleeve", values="weight")
        shares = shares.reindex(pd.DatetimeIndex(rows["decision"].unique()), fill_value=0.0).fillna(0.0)  # all in cash
        shares.index = _index(np.array([calendar.roll_forward(day.date()) for day in shares.index], "datetime64[D]"))
        return cls(shares, daily, _cash(lake, begin, last, chosen), chosen.cost_bp / 1e4)

    def of(self, decision: date) -> Part | str:
        """Drifted shares and net returns, against all sleeves that have a return in equal shares."""
        sessions = quarter(decision)
        index = _index(sessions)
        names = sorted({*self.daily, *self.shares})
        returns = self.daily.reindex(index=index, columns=names)
        held, costs = self._drifted(sessions, names)
        there = np.any(returns.notna().to_numpy(), axis=0) | np.any(held != 0.0, axis=0)
        if not there.any():
            return "no sleeve has a return yet"
        table = returns.to_numpy()[:, there]
        known = ~np.isnan(table)
        alike = known / np.maximum(known.sum(axis=1, keepdims=True), 1)
        cash = self.cash.reindex(index).to_numpy()
        groups = [name for name, one in zip(names, there, strict=True) if one]
        return Part(groups, held[:, there], table, alike, table, cash, costs)

    def _drifted(self, sessions: Days, names: list[str]) -> tuple[FloatArray, FloatArray]:
        """(T, N) shares at the beginning of each session, and (T,) the costs at its end."""
        earlier = self.shares.loc[: pd.Timestamp(_session_before(sessions))].index
        first = earlier[-1].date() + timedelta(1) if len(earlier) else sessions[0].astype(object)
        index = _index(calendar.session_array(first, sessions[-1].astype(object)))
        targets = self.shares.reindex(columns=names, fill_value=0.0)
        traded = dict(zip(targets.index, targets.to_numpy(), strict=True))
        held = traded[earlier[-1]] if len(earlier) else np.zeros(len(names))
        returns = self.daily.reindex(index=index, columns=names).to_numpy()
        cash = self.cash.reindex(index).to_numpy()
        begins, costs = np.empty_like(returns), np.zeros(len(index))
        for at, session in enumerate(index):
            begins[at] = held
            grown = np.where(held == 0.0, 0.0, held * (1.0 + returns[at]))
            account = grown.sum() + (1.0 - held.sum()) * (1.0 + cash[at])
            held = grown / account
            if session in traded:
                costs[at] = self.rate * account * np.abs(traded[session] - held).sum()
                held = traded[session]
        return begins[-len(sessions) :], costs[-len(sessions) :]


# ---------------------------------------------------------------------------------------------------------- sectors


@dataclass(frozen=True)
class Sectors:
    """The account's targets by symbol, and what is known of the securities.

    Attributes:
        targets: rows (decision, symbol, weight), the symbols as they were called on the decision's day.
        history: prices, universe and symbol changes.
        cash: returns of cash by session.
    """

    targets: pd.DataFrame
    history: History
    cash: pd.Series

    @classmethod
    def load(cls, lake: Lake, decisions: Sequence[date], chosen: Settings) -> Sectors:
        """Everything since the target that the first of the decisions begins with."""
        before, last = _session_before(quarter(decisions[0])), _eve(decisions[-1])
        first = lake.last_partition(TARGETS, before + timedelta(1)) or before
        rows = lake.read(TARGETS, first=first, last=last, columns=["decision", "symbol", "weight"])
        history = load_history(lake, READS, decisions, chosen.universe_index)
        return cls(rows, history, _cash(lake, before, last, chosen))

    def of(self, decision: date) -> Part | str:
        """Targets by sector, against the stocks that were listed when the three months began, each day alike."""
        sessions, data = quarter(decision), self.history.as_of(decision, READS)
        index = _index(sessions)
        held = self._held(index, self.history.securities.renames.moves_at(decision))
        stocks, sectors = _listed(data, sessions[0].astype(object), self.history.universe_index)
        symbols = sorted({*held, *stocks})
        panels = (data.returns(len(sessions)), data.closes(len(sessions)))
        returns, closes = (panel.reindex(index=index, columns=symbols) for panel in panels)
        traded = panels[1].reindex(index).notna().any(axis=1)
        there = returns[stocks].notna().to_numpy()
        silent = held.columns[(held > 0.0).any() & closes[held.columns].isna().all()]
        unpriced = [name for name in silent if name not in _delisted(data)]  # those are cash
        if not traded.all():
            return f"no price of {traded.idxmin():%Y-%m-%d} is known"
        if not there.any(axis=1).all():
            return "no stock is known that was listed when the three months began"
        if unpriced:
            return f"{unpriced[0]} is held and has no price"
        members = [sectors.get(name, UNKNOWN) for name in symbols]
        # Without a bar a security stands where it stood, and its next bar has the return since the last; one that was
        # delisted is cash, which is taken to stand still too.
        own = held.reindex(columns=symbols, fill_value=0.0).to_numpy(), returns.fillna(0.0).to_numpy()
        alike = pd.DataFrame(there / there.sum(axis=1, keepdims=True), index, stocks)
        groups, weights, earned = grouped(*own, members)
        _, beside, market = grouped(alike.reindex(columns=symbols, fill_value=0.0).to_numpy(), own[1], members)
        return Part(groups, weights, earned, beside, market, self.cash.reindex(index).to_numpy(), None)

    def _held(self, index: pd.DatetimeIndex, moves: Moves) -> pd.DataFrame:
        """The target in force at the beginning of each session: sessions x symbols of the decision's day."""
        days = pd.DatetimeIndex(self.targets["decision"].unique())
        at = days.searchsorted(index) - 1  # the last target before the session: traded at its day's close
        used = self.targets[self.targets["decision"].isin(days[np.unique(at[at >= 0])])]
        used = used[used["symbol"] != CASH]
        told = used["decision"].to_numpy().astype("datetime64[D]")
        named = used.assign(symbol=current_names(used["symbol"], told, moves, exact=True))
        wide = named.groupby(["decision", "symbol"])["weight"].sum().unstack(fill_value=0.0).reindex(days, fill_value=0)
        empty = pd.DataFrame(0.0, index, wide.columns)
        empty.iloc[at >= 0] = wide.to_numpy()[at[at >= 0]]
        return empty


def _listed(data: AsOf, begin: date, universe_index: str | None) -> tuple[list[str], dict[str, str]]:
    """Stocks of the universe that were listed when a session began, and the sector of every security since.

    Symbols are those of the decision's day.
    """
    rows = data.table("universe")
    then = Roster(rows).listed(0, int((rows["known_on"] < pd.Timestamp(begin)).sum()))
    stocks = then["kind"] == "stock"
    if universe_index is not None:
        stocks &= np.array([universe_index in names for names in then["indexes"]], bool)
    every = pd.concat([data.universe[~data.universe.index.isin(then.index)], then])
    sectors = {
        str(name): FUNDS if kind == "etf" else _sector(sector)
        for name, kind, sector in zip(every.index, every["kind"], every["sector"], strict=True)
    }
    return [str(name) for name in then.index[stocks]], sectors


def _delisted(data: AsOf) -> set[str]:
    """Securities that are known to have left the exchange."""
    actions = data.table("corporate_actions")
    return set(actions.loc[actions["kind"] == "delisting", "symbol"])


def _sector(told: object) -> str:
    """What a source told, unless it would pass for a row of ours."""
    return told if isinstance(told, str) and told and not told.startswith("$") else UNKNOWN
