"""The market as execution sees it: reference prices before a decision, closes after it, corporate actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache

import pandas as pd

from pas_dagster import calendar
from pas_dagster.assets.resources import Workshop
from pas_dagster.execution.market import CorporateAction
from pas_dagster.schemas import TABLES
from pas_dagster.sources.sandbox import SandboxProvider

STALE_SESSIONS = 10  # a price older than this is no reference
COLUMNS = ["known_on", "symbol", "close"]
Closes = Mapping[str, float]


class LakeMarket:
    """Closes and actions of the lake, a year at a time; in the sandbox the session of today has a close as well.

    The sandbox's present close is only ever used to fill an order, never to decide one.
    """

    def __init__(self, workshop: Workshop, last: date, symbols: Sequence[str]) -> None:
        self._lake = workshop.lake
        self._last = last
        self._symbols = list(symbols)
        actions = self._lake.read(TABLES["corporate_actions"], last=last)
        self._actions = _by_session(actions)
        self._renamed = actions[actions["kind"].isin(["split", "symbol_change"])]
        self._present = _sandbox_closes(workshop, last)
        self._year = lru_cache(maxsize=3)(self._load_year)

    def closes(self, session: date) -> Closes:
        """Close by symbol; empty when the session is not over."""
        return self._year(session.year).get(session, {})

    def actions(self, session: date) -> Sequence[CorporateAction]:
        """What takes effect at the session's open (delistings: at its close)."""
        return self._actions.get(session, ())

    def reference(self, decision: date) -> Closes:
        """The last close before the decision, on its split basis and under its symbols, as far as was known."""
        prices: dict[str, float] = {}
        dated: dict[str, date] = {}
        recent = calendar.session_array(calendar.FIRST, decision - timedelta(1))[-STALE_SESSIONS:]
        for day in recent.astype(object).tolist():
            closes = self.closes(day)
            prices.update(closes)
            dated.update(dict.fromkeys(closes, day))
        for symbol, kind, effective, value, heir in self._changes_known(decision):
            if symbol not in prices or dated[symbol] >= effective:
                continue
            if kind == "split":
                prices[symbol] /= value
            else:
                prices[heir], dated[heir] = prices.pop(symbol), dated.pop(symbol)
        return prices

    def _changes_known(self, decision: date) -> list[tuple[str, str, date, float, str]]:
        cut = pd.Timestamp(decision)
        effective = self._renamed["event_date"].between(cut - pd.Timedelta(days=3 * STALE_SESSIONS), cut)
        known = self._renamed[effective & (self._renamed["known_on"] < cut)].sort_values("event_date")
        days = [day.date() for day in known["event_date"]]
        return list(zip(known["symbol"], known["kind"], days, known["value"], known["new_symbol"], strict=True))

    def _load_year(self, year: int) -> dict[date, Closes]:
        first, last = date(year, 1, 1), min(date(year, 12, 31), self._last)
        where = "list_contains(?::varchar[], symbol)"
        rows = self._lake.read(
            TABLES["prices"], first=first, last=last, columns=COLUMNS, where=where, values=[self._symbols]
        )
        own = self._present[self._present["known_on"].between(pd.Timestamp(first), pd.Timestamp(last))]
        rows = pd.concat([rows, own], ignore_index=True) if len(own) else rows
        return {
            bars["known_on"].iloc[0].date(): dict(zip(bars["symbol"], bars["close"], strict=True))
            for _, bars in rows.groupby("known_on", sort=True)
        }


def _sandbox_closes(workshop: Workshop, last: date) -> pd.DataFrame:
    """The sandbox's closes of sessions up to `last` that the lake does not know yet."""
    chosen = workshop.settings
    none = TABLES["prices"].empty()[COLUMNS]
    if chosen.world != "sandbox":
        return none
    known = workshop.lake.last_partition(TABLES["prices"]) or chosen.start - timedelta(1)
    if not calendar.sessions(known + timedelta(1), last):
        return none
    provider = SandboxProvider(chosen.seed, chosen.start, last)
    return provider.rows(TABLES["prices"], known + timedelta(1), last)[COLUMNS]


def _by_session(actions: pd.DataFrame) -> dict[date, list[CorporateAction]]:
    """Actions by the session in which they take effect, in the table's order."""
    found: dict[date, list[CorporateAction]] = {}
    columns = (actions["kind"], actions["symbol"], actions["event_date"], actions["value"], actions["new_symbol"])
    for kind, symbol, day, value, heir in zip(*columns, strict=True):
        action = CorporateAction(kind, symbol, 0.0 if pd.isna(value) else float(value), None if pd.isna(heir) else heir)
        found.setdefault(calendar.roll_forward(day.date()), []).append(action)
    return found
