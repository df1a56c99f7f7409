"""Sleeves as they would have traded: from stored weights to daily returns and trades, through the backtest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

import pandas as pd

from pas_dagster import calendar
from pas_dagster.analytics.backtest import Book, run_book
from pas_dagster.analytics.costs import WINDOW, cash_returns, impact_tables
from pas_dagster.assets.history import PRICE_COLUMNS
from pas_dagster.lake import Lake
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings
from pas_dagster.strategies.contract import CASH
from pas_dagster.strategies.decision import TRADED
from pas_dagster.strategies.securities import Bars, Panel, lineages

RETURNS = TABLES["strategy_returns"]
TRADES = TABLES["sleeve_trades"]
RATES = TABLES["treasury_rates"]


class Sleeves(NamedTuple):
    """What the sleeves did: rows of `strategy_returns` and of `sleeve_trades`."""

    returns: pd.DataFrame
    trades: pd.DataFrame


@dataclass(frozen=True)
class Terms:
    """On which terms sleeves trade: cost per traded dollar, size of a sleeve in USD, interest on cash."""

    cost: float
    capital: float
    impact: float
    interest: bool

    @classmethod
    def of(cls, chosen: Settings) -> Terms:
        return cls(chosen.cost_bp / 1e4, chosen.capital, chosen.impact, chosen.cash_interest)


@dataclass(frozen=True)
class Market:
    """What sleeves trade in.

    Attributes:
        returns: total returns, sessions x lineages, from `WINDOW` sessions before the first fill on.
        volumes: dollar volumes, the same.
        delisted: lineage -> session of its last bar, whose return is the delisting return.
        changes: symbol changes.
    """

    returns: pd.DataFrame
    volumes: pd.DataFrame
    delisted: dict[str, pd.Timestamp]
    changes: pd.DataFrame


def whole_market(lake: Lake, bars: Bars, first: date, last: date) -> Market:
    """Everything with a price, for fills from `first` to `last`; the bars begin `WINDOW` sessions earlier or before."""
    return _market_of(bars.panel, lake.read(TABLES["corporate_actions"], last=last), _first_session(first), last)


def simulate_sleeves(
    lake: Lake, weights: pd.DataFrame, last: date, terms: Terms, market: Market | None = None
) -> Sleeves:
    """What every sleeve did from its first decision through `last`, in a market that is loaded if none is given.

    Always from the beginning, so that a day comes out the same whatever range it is computed in. A sleeve begins with
    its first decision; weights that are only held trade nothing, those that decay are sold bit by bit. A decision's
    weights are traded at the close of its session (the next one when it falls on a holiday).
    """
    weights = weights[weights["status"].isin(TRADED)]
    session = {day: calendar.roll_forward(day.date()) for day in weights["decision"].unique()}
    rows = weights.assign(session=pd.to_datetime(weights["decision"].map(session)).astype("datetime64[us]"))
    rows = rows[rows["session"] <= pd.Timestamp(last)]
    if rows.empty:
        return Sleeves(RETURNS.empty(), TRADES.empty())
    market = market or _market(lake, rows["session"].min().date(), last, rows)
    days = rows["decision"].to_numpy().astype("datetime64[D]")
    rows = rows.assign(symbol=lineages(rows["symbol"], days, market.changes))
    returns, volumes = _of_held(market, sorted(set(rows["symbol"]) - {CASH}))
    impact = impact_tables(volumes, returns, rows["session"].unique(), capital=terms.capital, coefficient=terms.impact)
    cash = cash_returns(lake.read(RATES, last=last), pd.DatetimeIndex(returns.index)) if terms.interest else None
    books: dict[str, Book] = {}
    for name, own in rows.groupby("strategy", sort=True):
        book = own[own["symbol"] != CASH]
        held = returns.reindex(columns=sorted(book["symbol"].unique())).loc[own["session"].min() :]
        books[str(name)] = run_book(
            book[["session", "symbol", "weight"]],
            held,
            terms.cost,
            market.delisted,
            fills=own["session"].unique(),
            cash=None if cash is None else cash.loc[held.index],
            impact=impact,
        )
    daily = [book.daily.rename_axis("known_on").reset_index().assign(strategy=name) for name, book in books.items()]
    trades = [book.trades.rename(columns={"session": "known_on"}).assign(strategy=name) for name, book in books.items()]
    return Sleeves(pd.concat(daily, ignore_index=True), pd.concat(trades, ignore_index=True))


def _market(lake: Lake, first_fill: date, last: date, held: pd.DataFrame) -> Market:
    """The market of what some weights name."""
    actions = lake.read(TABLES["corporate_actions"], last=last)
    changes = _symbol_changes(actions)
    symbols = (set(held["symbol"]) - {CASH}) | set(changes["symbol"]) | set(changes["new_symbol"])
    where, values = "list_contains(?::varchar[], symbol)", [sorted(symbols)]
    first = _first_session(first_fill)
    prices = lake.read(TABLES["prices"], first=first, last=last, columns=PRICE_COLUMNS, where=where, values=values)
    return _market_of(Panel.from_rows(prices, changes), actions, first, last)


def _market_of(panel: Panel, actions: pd.DataFrame, first: date, last: date) -> Market:
    index = panel.sessions.astype("datetime64[us]")
    sessions = calendar.session_array(first, last).astype("datetime64[us]")
    returns, volumes = (
        pd.DataFrame(panel.fields[name], index=index, columns=panel.lineages, copy=False).reindex(sessions)
        for name in ("total_return", "dollar_volume")
    )
    changes = _symbol_changes(actions)
    return Market(returns, volumes, _delistings(actions, changes), changes)


def _symbol_changes(actions: pd.DataFrame) -> pd.DataFrame:
    return actions[actions["kind"] == "symbol_change"]


def _first_session(fill: date) -> date:
    """The session from which on volumes are needed for a fill."""
    return calendar.session_array(calendar.FIRST, fill - timedelta(1))[-WINDOW].astype(object)


def _of_held(market: Market, held: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns and volumes of what is held; without any bar all are unknown."""
    return market.returns.reindex(columns=held), market.volumes.reindex(columns=held)


def _delistings(actions: pd.DataFrame, changes: pd.DataFrame) -> dict[str, pd.Timestamp]:
    """Lineage -> session of its last bar, whose return is the delisting return."""
    gone = actions[actions["kind"] == "delisting"]
    names = lineages(gone["symbol"], gone["event_date"].to_numpy().astype("datetime64[D]"), changes)
    return dict(zip(names, gone["event_date"], strict=True))
