"""A small made home for allocation and regimes: three years of six sleeves, calm, then a crisis, then calm again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd

from pas_dagster import calendar
from pas_dagster.schemas import TABLES
from pas_dagster_tests.assets.conftest import MemoryLake

RETURNS = TABLES["strategy_returns"]
FIRST, LAST = date(2021, 6, 1), date(2024, 6, 28)
SESSIONS = pd.DatetimeIndex(calendar.session_array(FIRST, LAST)).astype("datetime64[us]")
SLEEVES = ("congress_aggregate", "glide_path", "policy_50_25_25", "sector_risk_parity", "upgrade_momentum", "wsb_buzz")
LATE, BEGUN = "wsb_buzz", pd.Timestamp("2023-07-12")  # a Wednesday
HOLED, HOLE = "upgrade_momentum", pd.Timestamp("2024-02-08")
CRISIS = slice("2023-01-03", "2023-05-31")
MONDAYS = calendar.Cadence.WEEKLY_MON.nominal_days(FIRST, LAST)


def daily() -> pd.DataFrame:
    """Net returns: sessions x sleeves."""
    rng = np.random.default_rng(5)
    drift = np.linspace(-0.0002, 0.0012, len(SLEEVES)) * np.sin(np.arange(len(SESSIONS)) / 60)[:, None]
    made = pd.DataFrame(drift + rng.normal(0.0003, 0.007, (len(SESSIONS), len(SLEEVES))), SESSIONS, list(SLEEVES))
    together = pd.Series(0.0, SESSIONS)
    together.loc[CRISIS] = rng.normal(-0.001, 0.02, len(together.loc[CRISIS]))
    made = made.add(together, axis=0)
    made.loc[made.index < BEGUN, LATE] = np.nan
    made.loc[HOLE, HOLED] = np.nan
    return made


def return_rows(wide: pd.DataFrame) -> pd.DataFrame:
    """Rows of `strategy_returns`."""
    rows = wide.rename_axis("known_on").reset_index().melt("known_on", var_name="strategy", value_name="net")
    rows = rows.dropna(subset="net")
    others = dict.fromkeys([name for name in RETURNS.names if name not in rows], 0.0)
    return RETURNS.conform(rows.assign(**others))


def keep(lake: MemoryLake, name: str, rows: pd.DataFrame, days: Iterable[date] = ()) -> None:
    """Store rows as the whole content of their partitions, or of the days."""
    table = TABLES[name]
    lake.replace(table, sorted({*days, *(day.date() for day in rows[table.partition].unique())}), rows)


def home(wide: pd.DataFrame | None = None) -> MemoryLake:
    """A lake with the returns."""
    lake = MemoryLake()
    keep(lake, "strategy_returns", return_rows(daily() if wide is None else wide))
    return lake


def weekly(wide: pd.DataFrame, before: date) -> pd.DataFrame:
    """Weekly returns by a plain loop: weeks that ended before a day, NaN unless every session has a return."""
    rows: dict[object, list[float]] = {}
    monday = FIRST - timedelta(FIRST.weekday())
    begun = {name: wide[name].first_valid_index() for name in wide}
    while monday + timedelta(7) <= before:
        sessions = calendar.sessions(monday, monday + timedelta(6))
        week = []
        for name in wide:
            grown = 1.0
            for session in sessions:
                stamp = pd.Timestamp(session)
                grown *= 1.0 + wide[name].get(stamp, np.nan)
            late = begun[name] is None or pd.Timestamp(monday) <= begun[name]
            week.append(np.nan if late else grown - 1.0)
        rows[pd.Timestamp(monday)] = week
        monday += timedelta(7)
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(wide.columns))


def blocks(days: Sequence[date], size: int) -> list[list[date]]:
    """The days in runs of some size."""
    return [list(days[at : at + size]) for at in range(0, len(days), size)]
