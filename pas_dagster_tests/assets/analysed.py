"""A small made home for the analyses: six years of forty stocks, a fund, three sleeves and an account."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from dagster import AssetsDefinition, DagsterInstance, Definitions

from pas_dagster import calendar
from pas_dagster.assets import wiring
from pas_dagster.assets.resources import Workshop
from pas_dagster.automation.backfill import RANGE_END, RANGE_START
from pas_dagster.schemas import TABLES
from pas_dagster.strategies.contract import CASH
from pas_dagster_tests.assets.conftest import MemoryLake
from pas_dagster_tests.assets.conftest import bench as bench  # the tests reach it from here

FIRST, LAST = date(2018, 1, 2), date(2024, 6, 28)
SESSIONS = pd.DatetimeIndex(calendar.session_array(FIRST, LAST)).astype("datetime64[us]")
SLEEVES = ("alpha", "beta", "cash")  # the last has the name of a row that it must not be mistaken for
BEGUN = {"alpha": pd.Timestamp("2021-01-05"), "beta": pd.Timestamp("2022-03-09"), "cash": pd.Timestamp("2023-11-14")}
MONDAYS = calendar.Cadence.WEEKLY_MON.nominal_days(date(2023, 1, 2), LAST)
SECTORS = ("Energy", "Utilities", "$TOTAL", None)  # the third would pass for a row of the table
STOCKS = [f"S{n:02d}" for n in range(40)]
FUND, GONE, LATE, OLD, NEW, HOLED = "FND", "S00", "S01", "S02", "NEWS", "S03"
DELISTED, LISTED, RENAMED = pd.Timestamp("2024-02-14"), pd.Timestamp("2022-06-01"), pd.Timestamp("2024-03-06")


def world() -> dict[str, pd.DataFrame]:
    """Rows by table, all of them."""
    rng = np.random.default_rng(11)
    facts = {**_market(rng), "fama_french_factors": _factors(rng), "treasury_rates": _rates()}
    daily = {name: _book(rng, facts["fama_french_factors"], n) for n, name in enumerate((*SLEEVES, "account"))}
    rows = {**facts, **_results(rng, daily)}
    return {name: TABLES[name].conform(frame.assign(**_filled(name, frame))) for name, frame in rows.items()}


def _filled(name: str, frame: pd.DataFrame) -> dict[str, Any]:
    values = {"date": pd.Timestamp("2024-01-02"), "varchar": "x", "double": 0.5, "bigint": 1, "boolean": False}
    return {c.name: values[c.kind.sql] for c in TABLES[name].columns if c.name not in frame and not c.nullable}


def _market(rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    common = rng.normal(0.0003, 0.01, len(SESSIONS))
    noise = rng.normal(0.0, 0.015, (len(SESSIONS), len(STOCKS) + 1))
    returns = pd.DataFrame(common[:, None] + noise, SESSIONS, [*STOCKS, FUND])
    close = 50.0 * (1.0 + returns).cumprod() * 0.9  # a tenth was paid out as dividends, so to say
    there = pd.DataFrame(True, SESSIONS, returns.columns)
    there.loc[SESSIONS > DELISTED, GONE] = False
    there.loc[SESSIONS < LISTED, LATE] = False
    there.loc["2024-01-10":"2024-01-16", HOLED] = False
    gap = (1.0 + returns.loc["2024-01-10":"2024-01-17", HOLED]).prod() - 1.0
    returns.loc["2024-01-17", HOLED] = gap  # the return is that since the last bar
    returns = returns.where(there & there.shift(fill_value=False).cummax())
    volume = pd.DataFrame(rng.uniform(1e5, 1e6, returns.shape), SESSIONS, returns.columns).where(there)
    volume[HOLED] = np.nan  # not known
    wide = {"close": close.where(there), "total_return": returns, "volume": volume}
    prices = pd.concat({name: frame.stack(future_stack=True) for name, frame in wide.items()}, axis=1)
    prices = prices.dropna(subset=["close"]).rename_axis(["known_on", "symbol"]).reset_index()
    after = (prices["symbol"] == OLD) & (prices["known_on"] >= RENAMED)
    prices.loc[after, "symbol"] = NEW
    index = pd.DataFrame({"known_on": SESSIONS, "close": 3000.0 * np.cumprod(1.0 + common)})
    return {
        "prices": prices.assign(event_date=prices["known_on"]),
        "sp500_index": index.assign(event_date=SESSIONS),
        "universe": _universe(),
        "corporate_actions": _actions(),
    }


def _universe() -> pd.DataFrame:
    begin = SESSIONS[0]
    rows = [
        {"known_on": LISTED if name == LATE else begin, "symbol": name, "name": f"{name} Inc.", "kind": "stock",
         "sector": SECTORS[n % 4], "index_name": "SP500" if n % 2 else "OTHER", "action": "add"}
        for n, name in enumerate(STOCKS)
    ]  # fmt: skip
    fund = {"known_on": begin, "symbol": FUND, "name": "A <b>fund</b>", "kind": "etf", "sector": None}
    gone = {**rows[0], "known_on": DELISTED + pd.Timedelta(days=1), "action": "remove"}
    renamed = [
        {**rows[2], "known_on": RENAMED, "action": "remove"},
        {**rows[2], "known_on": RENAMED, "symbol": NEW, "action": "add"},
    ]
    made = pd.DataFrame([*rows, {**fund, "index_name": "ETF", "action": "add"}, gone, *renamed])
    return made.assign(event_date=made["known_on"])


def _actions() -> pd.DataFrame:
    told = RENAMED - pd.Timedelta(days=8)
    change = {"known_on": told, "event_date": RENAMED, "symbol": OLD, "kind": "symbol_change", "new_symbol": NEW}
    gone = {"known_on": DELISTED, "event_date": DELISTED, "symbol": GONE, "kind": "delisting", "new_symbol": None}
    return pd.DataFrame([change, gone])


def _factors(rng: np.random.Generator) -> pd.DataFrame:
    """Whole months, known on the 5th of the second month after."""
    names = ("mkt_rf", "smb", "hml", "rmw", "cma")
    made = pd.DataFrame(rng.normal(0.0002, 0.006, (len(SESSIONS), 5)), columns=names)
    months = SESSIONS.to_period("M") + 2
    return made.assign(event_date=SESSIONS, known_on=months.to_timestamp() + pd.Timedelta(days=4), rf=1e-4)


def _rates() -> pd.DataFrame:
    rates = np.linspace(0.01, 0.05, len(SESSIONS))
    return pd.DataFrame({"known_on": SESSIONS, "event_date": SESSIONS, "tenor": "3m", "rate": rates})


def _book(rng: np.random.Generator, factors: pd.DataFrame, n: int) -> pd.Series:
    betas = np.array([0.5 + 0.2 * n, 0.1, -0.1, 0.0, 0.05])
    explained = factors[["mkt_rf", "smb", "hml", "rmw", "cma"]].to_numpy() @ betas
    return pd.Series(explained + rng.normal(0.0002, 0.003, len(SESSIONS)), SESSIONS)


def _results(rng: np.random.Generator, daily: dict[str, pd.Series]) -> dict[str, pd.DataFrame]:
    parts = []
    for name in SLEEVES:
        net = daily[name].loc[BEGUN[name] :]
        own = {"known_on": net.index, "strategy": name, "net": net.to_numpy(), "gross": net.to_numpy() + 1e-5}
        parts.append(pd.DataFrame({**own, "turnover": 0.02, "cost": 1e-5, "exposure": 0.9}))
    equity = 1e6 * (1.0 + daily["account"].loc["2022-01-03":]).cumprod()
    account = pd.DataFrame({"decision": equity.index, "equity": equity.to_numpy(), "fees": 10.0, "turnover": 0.01})
    account = account.assign(net_flow=0.0, account="simulated")
    shares = _shares(rng)
    return {
        "strategy_returns": pd.concat(parts, ignore_index=True),
        "account_metrics_paper": account.assign(gross_exposure=np.where(account.index < 5, 0.0, 0.8)),
        "allocation": shares,
        "portfolios": _targets(),
        "strategy_weights": _weights(),
    }


def _shares(rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for day in MONDAYS:
        given = dict(zip(SLEEVES, rng.dirichlet(np.ones(3)) * 0.9, strict=True))
        given["cash"] *= pd.Timestamp(day) > BEGUN["cash"]
        rows += [{"decision": day, "sleeve": name, "weight": share} for name, share in given.items()]
        rows.append({"decision": day, "sleeve": CASH, "weight": 1.0 - sum(given.values())})
    return pd.DataFrame(rows)


def _targets() -> pd.DataFrame:
    """Every session: two sleeves with four names each, one of them in both, one delisted, one renamed, one a fund."""
    held = {"alpha": {GONE: 0.1, OLD: 0.15, FUND: 0.1, "S05": 0.05}, "beta": {"S05": 0.2, "S07": 0.1, HOLED: 0.1}}
    rows = []
    for n, day in enumerate(SESSIONS[SESSIONS.searchsorted(pd.Timestamp("2023-03-01")) :]):
        for sleeve, weights in held.items():
            scale = 0.5 + 0.5 * np.sin(n / 9 + len(sleeve)) ** 2
            now = {NEW if s == OLD and day >= RENAMED else s: scale * w for s, w in weights.items()}
            rows += [{"decision": day, "sleeve": sleeve, "symbol": s, "weight": w} for s, w in now.items()]
            rows.append({"decision": day, "sleeve": sleeve, "symbol": CASH, "weight": 0.5 - sum(now.values())})
    return pd.DataFrame(rows)


def _weights() -> pd.DataFrame:
    rows = [
        {"decision": day, "strategy": name, "symbol": symbol, "weight": weight, "status": "decided"}
        for name in SLEEVES
        for day in (MONDAYS[-3:-1] if name == "alpha" else MONDAYS[-2:])  # one has decided a week less
        for symbol, weight in (("S05", 0.6), (FUND, 0.3), (CASH, 0.1))
    ]
    return pd.DataFrame(rows)


def store(lake: MemoryLake, rows: dict[str, pd.DataFrame], until: date | None = None) -> MemoryLake:
    """Put the rows into a lake, those of a day and later left out."""
    for name, frame in rows.items():
        table = TABLES[name]
        kept = frame if until is None else frame[frame[table.partition] < pd.Timestamp(until)]
        if len(kept):
            lake.replace(table, [day.date() for day in kept[table.partition].unique()], kept)
    return lake


def materialise(asset: AssetsDefinition, workshop: Workshop, days: Sequence[date] = ()) -> Any:
    """The asset through Dagster, for a range of partitions in one run; without days it has none."""
    defs = Definitions([asset], resources={"workshop": workshop, "lake": wiring.lake_io_manager})
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection=frozenset(asset.keys))
    tags = {RANGE_START: str(days[0]), RANGE_END: str(days[-1])} if days else {}
    with DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
