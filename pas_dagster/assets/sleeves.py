"""Sleeves as they would have traded: from stored weights to daily returns and trades, through the backtest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
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
from pas_dagster.strategies.history import Panel, lineages

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


def simulate_sleeves(lake: Lake, weights: pd.DataFrame, last: date, terms: Terms) -> Sleeves:
    """What every sleeve did from its first decision through `last`.

    Always from the beginning, so that a day comes out the same whatever range it is computed in. A sleeve begins with
    its first decision; weights that are only held trade nothing, those that decay are sold bit by bit. A decision's
    weights are traded at the close of its session (the next one when it falls on a holiday).
    """
    weights = weights[weights["status"].isin(TRADED)]
    actions = lake.read(TABLES["corporate_actions"], last=last)
    changes = actions[actions["kind"] == "symbol_change"]
    session = {day: calendar.roll_forward(day.date()) for day in weights["decision"].unique()}
    rows = weights.assign(session=pd.to_datetime(weights["decision"].map(session)).astype("datetime64[us]"))
    rows = rows[rows["session"] <= pd.Timestamp(last)]
    if rows.empty:
        return Sleeves(RETURNS.empty(), TRADES.empty())
    rows = rows.assign(symbol=lineages(rows["symbol"], rows["decision"].to_numpy().astype("datetime64[D]"), changes))
    returns, volumes = _panels(lake, rows, last, changes)
    impact = impact_tables(volumes, returns, rows["session"].unique(), capital=terms.capital, coefficient=terms.impact)
    cash = cash_returns(lake.read(RATES, last=last), pd.DatetimeIndex(returns.index)) if terms.interest else None
    delisted = _delistings(actions, changes)
    books: dict[str, Book] = {}
    for name, own in rows.groupby("strategy", sort=True):
        book = own[own["symbol"] != CASH]
        held = returns.reindex(columns=sorted(book["symbol"].unique())).loc[own["session"].min() :]
        books[str(name)] = run_book(
            book[["session", "symbol", "weight"]],
            held,
            terms.cost,
            delisted,
            fills=own["session"].unique(),
            cash=None if cash is None else cash.loc[held.index],
            impact=impact,
        )
    daily = [book.daily.rename_axis("known_on").reset_index().assign(strategy=name) for name, book in books.items()]
    trades = [book.trades.rename(columns={"session": "known_on"}).assign(strategy=name) for name, book in books.items()]
    return Sleeves(pd.concat(daily, ignore_index=True), pd.concat(trades, ignore_index=True))


def _panels(lake: Lake, rows: pd.DataFrame, last: date, changes: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Total returns and dollar volumes of everything ever held: sessions x lineages, from before the first fill."""
    held = set(rows["symbol"]) - {CASH}
    symbols = sorted(held | set(changes["symbol"]) | set(changes["new_symbol"]))
    before = calendar.session_array(calendar.FIRST, rows["session"].min().date() - timedelta(1))
    first = before[-WINDOW].astype(object)
    where = "list_contains(?::varchar[], symbol)"
    prices = lake.read(TABLES["prices"], first=first, last=last, columns=PRICE_COLUMNS, where=where, values=[symbols])
    panel = Panel.from_rows(prices, changes)
    sessions = calendar.session_array(first, last).astype("datetime64[us]")
    at, index = np.flatnonzero(np.isin(panel.lineages, list(held))), panel.sessions.astype("datetime64[us]")
    missing = sorted(held - set(panel.lineages))

    def table(field: str) -> pd.DataFrame:
        values = panel.fields[field][:, at] if len(at) else np.empty((len(index), 0))
        made = pd.DataFrame(values, index=index, columns=panel.lineages[at])
        return made.reindex(index=sessions, columns=[*made.columns, *missing])

    return table("total_return"), table("dollar_volume")


def _delistings(actions: pd.DataFrame, changes: pd.DataFrame) -> dict[str, pd.Timestamp]:
    """Lineage -> session of its last bar, whose return is the delisting return."""
    gone = actions[actions["kind"] == "delisting"]
    names = lineages(gone["symbol"], gone["event_date"].to_numpy().astype("datetime64[D]"), changes)
    return dict(zip(names, gone["event_date"], strict=True))
