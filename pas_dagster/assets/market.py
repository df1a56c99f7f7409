"""The market as execution sees it: reference prices before a decision, closes after it, corporate actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import groupby

import numpy as np
import pandas as pd

from pas_dagster import calendar
from pas_dagster.assets.resources import Workshop
from pas_dagster.execution.market import CorporateAction
from pas_dagster.sandbox import world
from pas_dagster.schemas import TABLES

STALE_SESSIONS = 10  # a price older than this is no reference
COLUMNS = ["known_on", "symbol", "close"]
Closes = Mapping[str, float]


class LakeMarket:
    """Closes and actions of the lake, a year at a time; in the sandbox the session of today has a close as well.

    The sandbox's present close is only ever used to fill an order, never to decide one; `foreseen` is whether there is
    one at all, as the simulated broker needs it and a real one does not.
    """

    def __init__(self, workshop: Workshop, last: date, symbols: Sequence[str], *, foreseen: bool = True) -> None:
        self._lake = workshop.lake
        self._last = last
        self._symbols = list(symbols)
        # Two providers may date the same action's becoming known differently; it still happens once.
        actions = self._lake.read(TABLES["corporate_actions"]).drop_duplicates(TABLES["corporate_actions"].key)
        self._actions = _by_session(actions)
        self._renamed = _renamed(actions)
        self._trail: tuple[dict[str, float], dict[str, date], date | None] = ({}, {}, None)
        self._present = _sandbox_closes(workshop, last) if foreseen else TABLES["prices"].empty()[COLUMNS]
        self._year = lru_cache(maxsize=3)(self._load_year)

    def closes(self, session: date) -> Closes:
        """Close by symbol; empty when the session is not over."""
        return self._year(session.year).get(session, {})

    def actions(self, session: date) -> Sequence[CorporateAction]:
        """What takes effect at the session's open (delistings: at its close)."""
        return self._actions.get(session, ())

    def reference(self, decision: date) -> Closes:
        """The last close before the decision, on the split basis and under the symbols of its day.

        Splits and renames count from the open at which they take effect, announced or not: they are public by then,
        and the account's holdings are on that basis too.
        """
        found, days = self._latest(decision)
        prices, dated = dict(found), dict(days)
        for effective, changes in groupby(self._changes(decision), key=lambda line: line[2]):
            arriving: dict[str, float] = {}  # symbols may be handed on, or swapped, in one session
            for symbol, kind, _, value, heir in changes:
                if symbol not in prices or dated[symbol] >= effective:
                    if kind == "split" and symbol in arriving:
                        arriving[symbol] /= value
                elif kind == "split":
                    prices[symbol] /= value
                else:
                    arriving[heir] = prices.pop(symbol)
            for symbol, price in arriving.items():
                if symbol not in prices or dated[symbol] < effective:  # a bar of the session itself is newer
                    prices[symbol], dated[symbol] = price, effective - timedelta(1)
        return prices

    def _latest(self, decision: date) -> tuple[Mapping[str, float], Mapping[str, date]]:
        """The last close before the decision and its day by symbol, none older than a few sessions.

        Decisions come in order, so what was found for the session before is brought up to date.
        """
        sessions = calendar.session_array(calendar.FIRST, decision - timedelta(1))
        recent = sessions[-STALE_SESSIONS:].astype(object).tolist()
        prices, dated, end = self._trail
        missing = recent[-1:]
        if end != recent[-2]:
            prices, dated, missing = {}, {}, recent
        for day in missing:
            closes = self.closes(day)
            prices.update(closes)
            dated.update(dict.fromkeys(closes, day))
        for stale in [symbol for symbol, day in dated.items() if day < recent[0]]:
            del prices[stale], dated[stale]
        self._trail = (prices, dated, recent[-1])
        return prices, dated

    def _changes(self, decision: date) -> list[tuple[str, str, date, float, str]]:
        since = decision - timedelta(3 * STALE_SESSIONS)
        return [line for line in self._renamed if since <= line[2] <= decision]

    def _load_year(self, year: int) -> dict[date, Closes]:
        first, last = date(year, 1, 1), min(date(year, 12, 31), self._last)
        where = "list_contains(?::varchar[], symbol)"
        rows = self._lake.read(
            TABLES["prices"], first=first, last=last, columns=COLUMNS, where=where, values=[self._symbols]
        )
        own = self._present[self._present["known_on"].between(pd.Timestamp(first), pd.Timestamp(last))]
        rows = pd.concat([rows, own], ignore_index=True) if len(own) else rows
        days, begins = np.unique(rows["known_on"].to_numpy().astype("datetime64[D]"), return_index=True)
        ends = [*begins.tolist(), len(rows)][1:]
        symbols, closes = rows["symbol"].tolist(), rows["close"].tolist()
        return {
            day: dict(zip(symbols[begin:end], closes[begin:end], strict=True))
            for day, begin, end in zip(days.tolist(), begins.tolist(), ends, strict=True)
        }


def newest_closes(workshop: Workshop, symbols: Sequence[str]) -> dict[str, float]:
    """The last close of each symbol that has one in ten days."""
    last = workshop.lake.last_partition(TABLES["prices"])
    if last is None:
        return {}
    rows = workshop.lake.read(
        TABLES["prices"],
        first=last - timedelta(10),
        columns=["known_on", "symbol", "close"],
        where="list_contains(?::varchar[], symbol)",
        values=[sorted(set(symbols))],
    )
    newest = rows.drop_duplicates("symbol", keep="last")
    return dict(zip(newest["symbol"], newest["close"].astype(float), strict=True))


def _sandbox_closes(workshop: Workshop, last: date) -> pd.DataFrame:
    """The sandbox's closes of sessions up to `last` that the lake does not know yet."""
    chosen = workshop.settings
    none = TABLES["prices"].empty()[COLUMNS]
    if chosen.world != "sandbox":
        return none
    known = workshop.lake.last_partition(TABLES["prices"]) or chosen.start - timedelta(1)
    if not calendar.sessions(known + timedelta(1), last):
        return none
    rows = world(chosen.seed, chosen.start, workshop.today).table("prices")
    return rows.loc[rows["known_on"].between(pd.Timestamp(known + timedelta(1)), pd.Timestamp(last)), COLUMNS]


def _renamed(actions: pd.DataFrame) -> list[tuple[str, str, date, float, str]]:
    """Symbol, kind, effective on, value, new symbol: what gives a price another basis or name, in order of effect."""
    rows = actions[actions["kind"].isin(["split", "symbol_change"])].sort_values("event_date", kind="stable")
    effective = rows["event_date"].to_numpy().astype("datetime64[D]").tolist()
    symbol, kind, value, heir = (rows[name].tolist() for name in ("symbol", "kind", "value", "new_symbol"))
    return list(zip(symbol, kind, effective, value, heir, strict=True))


def _by_session(actions: pd.DataFrame) -> dict[date, list[CorporateAction]]:
    """Actions by the session in which they take effect, in the table's order."""
    found: dict[date, list[CorporateAction]] = {}
    columns = (actions["kind"], actions["symbol"], actions["event_date"], actions["value"], actions["new_symbol"])
    for kind, symbol, day, value, heir in zip(*columns, strict=True):
        action = CorporateAction(kind, symbol, 0.0 if pd.isna(value) else float(value), None if pd.isna(heir) else heir)
        found.setdefault(calendar.roll_forward(day.date()), []).append(action)
    return found
