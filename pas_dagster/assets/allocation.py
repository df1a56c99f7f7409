"""Allocation: how much of the account each sleeve gets, and the target portfolio that follows."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pandas as pd
from dagster import AssetDep, AssetExecutionContext

from pas_dagster import calendar
from pas_dagster.allocation.allocation import Allocation, allocate
from pas_dagster.allocation.policy import Policy
from pas_dagster.analytics.backtest import weekly
from pas_dagster.assets import wiring
from pas_dagster.assets.history import symbol_changes
from pas_dagster.assets.resources import Workshop
from pas_dagster.assets.strategies import RETURNS, STRATEGIES, WEIGHTS
from pas_dagster.lake import Lake
from pas_dagster.partitions import LAST_PERIOD, LATEST, SESSION_DECISION, WEEKLY_DECISION
from pas_dagster.schemas import TABLES, Table
from pas_dagster.settings import Settings
from pas_dagster.strategies.contract import CASH
from pas_dagster.strategies.decision import TRADED

GROUP = "allocation"
ALLOCATION = TABLES["allocation"]
LOG = TABLES["alloc_log"]
PORTFOLIOS = TABLES["portfolios"]


def policy(chosen: Settings) -> Policy:
    return Policy(
        window_weeks=chosen.window_weeks,
        min_weight=chosen.min_weight,
        max_weight=chosen.max_weight,
        target_volatility=chosen.target_volatility,
        no_trade_band=chosen.no_trade_band,
    )


def weeks_before(returns: pd.DataFrame, decision: date, weeks: int) -> pd.DataFrame:
    """Exactly the whole weeks that ended before the decision: weeks x sleeves; one that is not known is NaN.

    The one cut of the allocation: a range run holds later weeks too, and a gap must not let older weeks move up.
    """
    monday = pd.Timestamp(decision - timedelta(decision.weekday()))
    return returns.reindex(pd.date_range(end=monday - pd.Timedelta(days=7), periods=weeks, freq="7D"))


def previous_shares(lake: Lake, before: date) -> dict[str, float]:
    """The shares in force before a day; none at the beginning."""
    condition = "decision = (select max(decision) from lake.allocation where decision < ?)"
    rows = lake.read(ALLOCATION, where=condition, values=[before])
    return {name: share for name, share in zip(rows["sleeve"], rows["weight"], strict=True) if name != CASH}


def allocation_rows(decision: date, answer: Allocation, previous: Mapping[str, float]) -> list[dict[str, Any]]:
    names = sorted({*answer.weights, *previous})
    before = {**previous, CASH: 1 - sum(previous.values())}
    now = {**answer.weights, CASH: answer.cash}
    return [
        {
            "decision": decision,
            "sleeve": n,
            "weight": now.get(n, 0.0),
            "previous": min(1.0, max(0.0, before.get(n, 0.0))),
        }
        for n in [*names, CASH]
    ]


def log_rows(decision: date, answer: Allocation) -> list[dict[str, Any]]:
    outcome = {
        "step": "status",
        "sleeve": None,
        "value": None,
        "note": f"{answer.status}: {answer.reason}".rstrip(": "),
    }
    return [{"decision": decision, "position": at, **row} for at, row in enumerate([outcome, *answer.log_rows()])]


ALLOCATION_CHECKS = [
    wiring.valid_rows(ALLOCATION),
    wiring.complete(ALLOCATION),
    wiring.sums_to_one("shares_sum_to_one", "Shares of the sleeves and cash sum to 1", "shares"),
]
LOG_CHECKS = [wiring.complete(LOG)]


SHARES = wiring.Product("allocation", ALLOCATION, f"{ALLOCATION.doc}.", ALLOCATION_CHECKS)
STEPS = wiring.Product("alloc_log", LOG, f"{LOG.doc}.", LOG_CHECKS)


@wiring.step(
    "allocation",
    [SHARES, STEPS],
    GROUP,
    WEEKLY_DECISION,
    [AssetDep(RETURNS.name, partition_mapping=LAST_PERIOD)],
)
def allocation(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    decisions = wiring.keys(context)
    rules = policy(workshop.settings)
    returns = _weekly_returns(workshop.lake, decisions, rules.window_weeks)
    shares = previous_shares(workshop.lake, decisions[0])
    rows: list[dict[str, Any]] = []
    log: list[dict[str, Any]] = []
    for decision in decisions:
        answer = allocate(weeks_before(returns, decision, rules.window_weeks), shares, rules)
        rows += allocation_rows(decision, answer, shares)
        log += log_rows(decision, answer)
        shares = dict(answer.weights)
    frame, steps = ALLOCATION.conform(pd.DataFrame(rows)), LOG.conform(pd.DataFrame(log))
    last = frame[frame["decision"] == frame["decision"].max()]
    metadata = {f"share {name}": float(share) for name, share in zip(last["sleeve"], last["weight"], strict=True)}
    yield from wiring.publish(context, SHARES, frame, metadata)
    yield from wiring.publish(context, STEPS, steps)


def _weekly_returns(lake: Lake, decisions: Sequence[date], weeks: int) -> pd.DataFrame:
    """Weekly net returns of the sleeves, from before the first decision's window to the last decision."""
    first = decisions[0] - timedelta(7 * (weeks + 2))
    last = decisions[-1] - timedelta(1)
    daily = lake.read(RETURNS, first=first, last=last, columns=["known_on", "strategy", "net"])
    wide = daily.pivot(index="known_on", columns="strategy", values="net").reindex(columns=list(STRATEGIES))
    begun = lake.query("select strategy, min(known_on) as day from lake.strategy_returns group by strategy")
    return whole_weeks(wide, dict(zip(begun["strategy"], begun["day"], strict=True)))


def whole_weeks(daily: pd.DataFrame, begun: Mapping[str, pd.Timestamp]) -> pd.DataFrame:
    """Weekly returns where every session of the week is known; NaN elsewhere, and for a sleeve's first week.

    `daily` is sessions x sleeves, `begun` the first session of each sleeve's returns: in its first week it was not
    invested from the start.
    """
    if daily.empty:
        return weekly(daily)
    sessions = calendar.session_array(daily.index[0].date(), daily.index[-1].date()).astype("datetime64[us]")
    index = pd.DatetimeIndex(sessions)
    every = daily.reindex(index)
    mondays = index - pd.to_timedelta(index.dayofweek, unit="D")
    result = weekly(every)
    known = every.notna().groupby(mondays).all().reindex(result.index, fill_value=False)
    after = pd.DataFrame(
        {name: result.index > begun.get(name, pd.Timestamp.max) for name in result}, index=result.index
    )
    return result.where(known & after)


def target_rows(
    decisions: Sequence[date], shares: pd.DataFrame, weights: pd.DataFrame, changes: pd.DataFrame
) -> pd.DataFrame:
    """Target portfolio of each decision from the latest shares and the latest weights at or before it.

    `shares` has the columns of `allocation`, `weights` those of `strategy_weights`, `changes` are symbol changes. This
    is the one as-of cut for a range run, which is handed the union of everything that any of its decisions may see.
    A sleeve that has a share but no weights (its strategy is gone, or new) has cash as its target.
    """
    days = pd.DataFrame({"decision": pd.DatetimeIndex(decisions).astype("datetime64[us]")})
    own = {str(name): rows for name, rows in weights.groupby("strategy")}
    names = sorted({*own, *shares["sleeve"].tolist()} - {CASH})
    parts = [_sleeve_targets(days, name, shares, _with_cash(shares, name, own.get(name))) for name in names]
    if not parts:
        return PORTFOLIOS.empty()
    rows = pd.concat(parts, ignore_index=True)
    rows["resize"] = _takes_effect(rows["allocation_from"], rows["decision"])
    rows["rebalance"] = _takes_effect(rows["weights_from"], rows["decision"]) & rows["status"].isin(TRADED)
    rows["symbol"] = _called_today(rows, changes)
    return PORTFOLIOS.conform(rows.assign(weight=rows["sleeve_weight"] * rows["sleeve_share"]))


def _with_cash(shares: pd.DataFrame, name: str, own: pd.DataFrame | None) -> pd.DataFrame:
    """The sleeve's weights; before the first of them, and without any, all cash, decided with every allocation.

    Whether there are weights is asked at each decision: those of later ones in a range run must make no difference.
    """
    dates = shares.loc[shares["sleeve"] == name, "decision"]
    if own is not None:
        dates = dates[dates < own["decision"].min()]
    cash = pd.DataFrame({"decision": dates, "symbol": CASH, "weight": 1.0, "status": "decided"})
    return cash if own is None else own if cash.empty else pd.concat([cash, own], ignore_index=True)


def _called_today(rows: pd.DataFrame, changes: pd.DataFrame) -> pd.Series:
    """The symbols of the weights as they are called on the decision's day; those of one day may swap symbols."""
    symbols = rows["symbol"].copy()
    for day, todays in changes.groupby("event_date", sort=True):
        heirs = symbols.map(dict(zip(todays["symbol"], todays["new_symbol"], strict=True)))
        renamed = heirs.notna() & (rows["weights_from"] <= day) & (day <= rows["decision"])
        symbols = symbols.mask(renamed, heirs)
    return symbols


def _sleeve_targets(days: pd.DataFrame, name: str, shares: pd.DataFrame, weights: pd.DataFrame) -> pd.DataFrame:
    own = shares.loc[shares["sleeve"] == name, ["decision", "weight"]].rename(columns={"weight": "sleeve_share"})
    own = own.assign(allocation_from=own["decision"]).sort_values("decision")
    sets = weights[["decision"]].drop_duplicates().sort_values("decision").assign(weights_from=lambda f: f["decision"])
    dated = pd.merge_asof(pd.merge_asof(days, own, on="decision"), sets, on="decision").dropna()
    content = weights.rename(columns={"decision": "weights_from", "weight": "sleeve_weight"})
    merged = dated.merge(content[["weights_from", "symbol", "sleeve_weight", "status"]], on="weights_from")
    return merged.assign(sleeve=name)


def _takes_effect(decided: pd.Series, decision: pd.Series) -> pd.Series:
    """Whether the decision's session is the one in which something decided earlier trades."""
    fills = {day: pd.Timestamp(calendar.roll_forward(day.date())) for day in decided.unique()}
    return decided.map(fills) == decision


def _within_account(rows: pd.DataFrame, _: Sequence[date]) -> str | None:
    gross = rows[rows["symbol"] != CASH].groupby("decision")["weight"].sum()
    over = gross[gross > 1 + 1e-9]
    return None if over.empty else f"targets sum to {over.iloc[0]:.6g} of the account on {over.index[0]:%Y-%m-%d}"


def _from_the_past(rows: pd.DataFrame, _: Sequence[date]) -> str | None:
    late = rows[(rows["weights_from"] > rows["decision"]) | (rows["allocation_from"] > rows["decision"])]
    return None if late.empty else f"the target of {late['decision'].iloc[0]:%Y-%m-%d} uses later weights"


PORTFOLIO_CHECKS = [
    wiring.valid_rows(PORTFOLIOS),
    wiring.Check("within_the_account", "Targets never exceed the account", _within_account),
    wiring.Check(
        "nothing_from_the_future", "Weights and shares stem from the decision's day or before", _from_the_past
    ),
]


TARGET = wiring.Product(
    "target_portfolio",
    PORTFOLIOS,
    f"{PORTFOLIOS.doc}. The latest shares times the latest weights at or before the decision.",
    PORTFOLIO_CHECKS,
)


@wiring.step(
    "target_portfolio",
    [TARGET],
    GROUP,
    SESSION_DECISION,
    [AssetDep(name, partition_mapping=LATEST) for name in ("allocation", *STRATEGIES)],
)
def target_portfolio(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    decisions = wiring.keys(context)
    shares = latest_through(workshop.lake, ALLOCATION, "sleeve", decisions)
    weights = latest_through(workshop.lake, WEIGHTS, "strategy", decisions)
    changes = symbol_changes(workshop.lake)
    rows = target_rows(decisions, shares, weights[weights["strategy"].isin(list(STRATEGIES))], changes)
    metadata = {"read from snapshot": workshop.lake.snapshot(), **_used(rows)}
    yield from wiring.publish(context, TARGET, rows, metadata)


def latest_through(lake: Lake, table: Table, name: str, decisions: Sequence[date]) -> pd.DataFrame:
    """Rows of the partitions that the decisions may use: those in their range, and the last one before it."""
    newest = (
        f"select max(decision) from lake.{table.name} as o where o.{name} = {table.name}.{name} and o.decision <= ?"
    )
    where = f"decision >= coalesce(({newest}), date '0001-01-01')"
    return lake.read(table, last=decisions[-1], where=where, values=[decisions[0]])


def _used(rows: pd.DataFrame) -> dict[str, Any]:
    """The newest upstream partitions that went in, by sleeve."""
    last = rows[rows["decision"] == rows["decision"].max()].drop_duplicates("sleeve")
    used = {f"weights of {row.sleeve}": f"{row.weights_from:%Y-%m-%d}" for row in last.itertuples()}
    return used | {"allocation": f"{last['allocation_from'].max():%Y-%m-%d}" if len(last) else "none"}


ASSETS = [allocation, target_portfolio]
