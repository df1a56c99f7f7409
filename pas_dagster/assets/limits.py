"""The target within its limits: what a crisis and the caps take off before there are orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from pas_dagster.assets.days import by_day
from pas_dagster.lake import Lake
from pas_dagster.risk.caps import Caps, apply_caps
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings
from pas_dagster.strategies.contract import CASH

CUTS = TABLES["cuts"]
REGIMES = TABLES["regimes"]
FUNDS = "funds"  # of no one sector; the cap on gross is theirs too
SELF_LIMITING = frozenset({"dynamic"})  # schemes that answer a crisis themselves
_SAME = 1e-9


def caps(chosen: Settings) -> Caps:
    """The caps of the settings; funds are no sector. Shares that sum to 1 but for rounding are not above it."""
    gross = chosen.max_gross * (1 + 1e-9)
    return Caps(gross=gross, name=chosen.max_name, sector=chosen.max_sector, sectors={FUNDS: gross})


class Sectors:
    """The sector of every symbol as it was known before a day; days are asked for in ascending order."""

    def __init__(self, lake: Lake, last: date) -> None:
        columns = ["known_on", "symbol", "kind", "sector"]
        rows = lake.read(TABLES["universe"], last=last, columns=columns)
        rows = rows[rows["sector"].notna() | (rows["kind"] != "stock")].sort_values("known_on", kind="stable")
        self._known = rows["known_on"].to_numpy()
        self._symbols = rows["symbol"].tolist()
        self._sectors = rows["sector"].where(rows["kind"] == "stock", FUNDS).tolist()
        self._at = 0
        self._now: dict[str, str] = {}

    def before(self, day: date) -> Mapping[str, str]:
        end = int(np.searchsorted(self._known, np.datetime64(day, "us")))
        self._now.update(zip(self._symbols[self._at : end], self._sectors[self._at : end], strict=True))
        self._at = max(end, self._at)
        return self._now


@dataclass(frozen=True)
class Crisis:
    """What the regime lets stand at a decision, and why."""

    factor: float
    reason: str


def crises(lake: Lake, decisions: Sequence[date]) -> dict[date, Crisis]:
    """By decision the newest regime judged at or before it; none yet takes nothing off."""
    rows = lake.read(REGIMES, last=decisions[-1], columns=["decision", "factor", "reason"])
    days = rows["decision"].to_numpy()
    places = np.searchsorted(days, np.array(decisions, "datetime64[us]"), side="right") - 1
    found = zip(rows["factor"].tolist(), rows["reason"].tolist(), strict=True)
    states = [Crisis(factor, reason) for factor, reason in found]
    return {day: states[at] for day, at in zip(decisions, places.tolist(), strict=True) if at >= 0}


def limited(
    rows: pd.DataFrame,
    crisis: Mapping[date, Crisis],
    limits: Caps,
    sectors: Sectors,
    schemes: Mapping[date, str],
    since: date | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of `portfolios` within the limits, and rows of `cuts`.

    A crisis takes its part of every sleeve's share; a cap takes the same part of a name in every sleeve that holds it.
    What is freed is cash. A session at which more or less is taken than at the one before trades, whatever else is due.

    Args:
        rows: of all decisions, ascending.
        crisis: by decision.
        limits: the caps.
        sectors: by symbol, as known before each decision.
        schemes: allocation's day -> the scheme that was followed; some answer a crisis themselves.
        since: a decision at the beginning of the rows that is only there to compare the next one with.
    """
    parts: list[pd.DataFrame] = []
    cuts: list[dict[str, Any]] = []
    before: _Kept | None = None
    for day, own in by_day(rows, "decision").items():
        kept, made = _kept(day, own, crisis.get(day), limits, sectors.before(day), schemes)
        if day != since:
            parts.append(_apply(own, kept, before))
            cuts += made
        before = kept
    frame = pd.concat(parts, ignore_index=True) if parts else rows.iloc[:0]
    return frame, CUTS.conform(pd.DataFrame(cuts)) if cuts else CUTS.empty()


@dataclass(frozen=True)
class _Kept:
    """What is left of the shares, and of each name in each sleeve."""

    factor: float
    names: Mapping[tuple[str, str], float]


def _kept(
    day: date,
    own: pd.DataFrame,
    crisis: Crisis | None,
    limits: Caps,
    sectors: Mapping[str, str],
    schemes: Mapping[date, str],
) -> tuple[_Kept, list[dict[str, Any]]]:
    held = own.loc[own["symbol"] != CASH, ["sleeve", "symbol", "weight"]]
    scheme = schemes.get(own["allocation_from"].iloc[0].date(), "")
    factor = 1.0 if crisis is None or scheme in SELF_LIMITING else crisis.factor
    asked = held.assign(weight=held["weight"] * factor)
    capped = apply_caps(asked, limits, sectors)
    share = np.divide(capped.target["weight"], asked["weight"], out=np.ones(len(held)), where=asked["weight"] > 0)
    gross = float(held["weight"].sum())
    made: list[dict[str, Any]] = []
    if factor < 1.0 and crisis is not None:
        made.append(_cut(day, "regime", "account", gross, gross * factor, crisis.reason))
    made += [_cut(day, cut.what, cut.name, cut.before, cut.after, cut.rule) for cut in capped.cuts]
    return _Kept(factor, dict(zip(zip(held["sleeve"], held["symbol"], strict=True), share, strict=True))), made


def _cut(day: date, what: str, name: str, before: float, after: float, rule: str) -> dict[str, Any]:
    return {"decision": day, "what": what, "name": name, "before": before, "after": after, "rule": rule}


def _apply(own: pd.DataFrame, kept: _Kept, before: _Kept | None) -> pd.DataFrame:
    """The rows with what is kept, and the flags of the sleeves for which that has changed."""
    pairs = list(zip(own["sleeve"], own["symbol"], strict=True))
    cash = (own["symbol"] == CASH).to_numpy()
    weight = own["sleeve_weight"].to_numpy() * [kept.names.get(pair, 1.0) for pair in pairs]
    freed = pd.Series(own["sleeve_weight"].to_numpy() - weight).groupby(own["sleeve"].to_numpy()).sum()
    weight = np.where(cash, weight + own["sleeve"].map(freed).to_numpy(), weight)
    share = own["sleeve_share"].to_numpy() * kept.factor
    shifted = {sleeve for (sleeve, symbol), now in kept.names.items() if _moved(before, (sleeve, symbol), now)}
    resized = before is not None and abs(before.factor - kept.factor) > _SAME
    return own.assign(
        sleeve_weight=weight,
        sleeve_share=share,
        weight=weight * share,
        rebalance=own["rebalance"] | own["sleeve"].isin(shifted),
        resize=own["resize"] | resized,
    )


def _moved(before: _Kept | None, pair: tuple[str, str], now: float) -> bool:
    return before is not None and pair in before.names and abs(before.names[pair] - now) > _SAME
