"""Allocation: how much of the account each sleeve gets, and the target portfolio that follows."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from dagster import AssetDep, AssetExecutionContext

from pas_dagster import calendar
from pas_dagster.allocation.allocation import Allocation, allocate, allocate_all
from pas_dagster.allocation.mandate import Mandate
from pas_dagster.allocation.policy import Policy
from pas_dagster.allocation.schemes import SCHEMES
from pas_dagster.assets import limits, schemes, wiring
from pas_dagster.assets.history import symbol_changes
from pas_dagster.assets.resources import Workshop
from pas_dagster.assets.strategies import RETURNS, STRATEGIES, WEIGHTS
from pas_dagster.assets.weeks import begun, daily_returns, weeks_before, whole_weeks
from pas_dagster.lake import Lake
from pas_dagster.partitions import LAST_PERIOD, LATEST, SESSION_DECISION, WEEKLY_DECISION
from pas_dagster.schemas import TABLES, Table
from pas_dagster.settings import CHAMPION, Settings
from pas_dagster.strategies.contract import CASH
from pas_dagster.strategies.decision import TRADED

GROUP = "allocation"
ALLOCATION = TABLES["allocation"]
LOG = TABLES["alloc_log"]
REGIMES = TABLES["regimes"]
SCHEME_WEIGHTS = TABLES["scheme_weights"]
SCHEME_OUTCOMES = TABLES["scheme_outcomes"]
PORTFOLIOS = TABLES["portfolios"]


def previous_decision(lake: Lake, before: date) -> date | None:
    """The last allocation before a day."""
    return lake.last_partition(SCHEME_WEIGHTS, before)


def previous_shares(lake: Lake, before: date) -> tuple[dict[str, float], date | None]:
    """The shares decided last before a day, and when; none at the beginning."""
    condition = f"decision = (select max(decision) from {lake.name_of(ALLOCATION)} where decision < ?)"
    rows = lake.read(ALLOCATION, where=condition, values=[before])
    shares = {name: share for name, share in zip(rows["sleeve"], rows["weight"], strict=True) if name != CASH}
    return shares, rows["decision"].iloc[0].date() if len(rows) else None


def scheme_shares(lake: Lake, before: date) -> dict[str, dict[str, float]]:
    """By scheme the shares of its last decision before a day."""
    condition = f"decision = (select max(decision) from {lake.name_of(SCHEME_WEIGHTS)} where decision < ?)"
    rows = lake.read(SCHEME_WEIGHTS, where=condition, values=[before])
    rows = rows[rows["sleeve"] != CASH]
    return {str(scheme): dict(zip(own["sleeve"], own["weight"], strict=True)) for scheme, own in rows.groupby("scheme")}


def drifted(shares: Mapping[str, float], growth: Mapping[str, float]) -> dict[str, float]:
    """What shares of the account have become while the sleeves grew by factors; cash is what they leave.

    >>> drifted({"a": 0.5}, {"a": 1.2})
    {'a': 0.5454545454545454}
    """
    value = {name: share * growth.get(name, 1.0) for name, share in shares.items()}
    account = 1.0 - sum(shares.values()) + sum(value.values())
    return {name: one / account if account > 0.0 else 0.0 for name, one in value.items()}


def growth_since(daily: pd.DataFrame, decision: date, now: date) -> dict[str, float]:
    """Factor by which each sleeve grew from the close at which a decision traded to the last one before the next."""
    sessions = daily.index.to_numpy().astype("datetime64[D]")
    first = int(np.searchsorted(sessions, np.datetime64(calendar.roll_forward(decision)), side="right"))
    rows = daily.iloc[first : int(np.searchsorted(sessions, np.datetime64(now)))].to_numpy(float)
    return dict(zip(daily.columns, np.prod(1.0 + np.nan_to_num(rows), axis=0).tolist(), strict=True))


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
            "scheme": answer.scheme,
        }
        for n in [*names, CASH]
    ]


def log_rows(decision: date, answer: Allocation, why: str) -> list[dict[str, Any]]:
    outcome = f"{answer.status}: {answer.reason}".rstrip(": ")
    heads = [
        {"step": "status", "sleeve": None, "value": None, "note": outcome},
        {"step": "follows", "sleeve": None, "value": None, "note": f"{answer.scheme}; {why}"},
    ]
    return [{"decision": decision, "position": at, **row} for at, row in enumerate([*heads, *answer.log_rows()])]


ALLOCATION_CHECKS = [
    wiring.valid_rows(ALLOCATION),
    wiring.complete(ALLOCATION),
    wiring.sums_to_one("shares_sum_to_one", "Shares of the sleeves and cash sum to 1", "shares"),
]


def _every_scheme(rows: pd.DataFrame, _: Sequence[date]) -> str | None:
    lacking = rows.groupby("decision")["scheme"].nunique().loc[lambda n: n != len(SCHEMES)]
    return None if lacking.empty else f"{lacking.index[0]:%Y-%m-%d} has {lacking.iloc[0]} of {len(SCHEMES)} schemes"


SHARES = wiring.Product("allocation", ALLOCATION, f"{ALLOCATION.doc}.", ALLOCATION_CHECKS)
STEPS = wiring.Product("alloc_log", LOG, f"{LOG.doc}.", [wiring.complete(LOG)])
EVERY_SCHEME = wiring.Check("every_scheme_answers", "Every scheme has weights for every decision", _every_scheme)
SCHEME_SHARES = wiring.Product(
    SCHEME_WEIGHTS.name, SCHEME_WEIGHTS, f"{SCHEME_WEIGHTS.doc}.", [wiring.valid_rows(SCHEME_WEIGHTS), EVERY_SCHEME]
)
SCHEME_ANSWERS = wiring.Product(
    SCHEME_OUTCOMES.name, SCHEME_OUTCOMES, f"{SCHEME_OUTCOMES.doc}.", [wiring.valid_rows(SCHEME_OUTCOMES), EVERY_SCHEME]
)


class _Past(NamedTuple):
    """What the decisions of a run see: returns of the sleeves, and crisis probabilities by decision."""

    daily: pd.DataFrame
    weekly: pd.DataFrame
    crisis: Mapping[date, float | None]


class _Decided(NamedTuple):
    """The answers of all schemes to one decision, and the time they took."""

    answers: dict[str, Allocation]
    seconds: float


@wiring.step(
    "allocation",
    [SHARES, STEPS, SCHEME_SHARES, SCHEME_ANSWERS],
    GROUP,
    WEEKLY_DECISION,
    [AssetDep(RETURNS.name, partition_mapping=LAST_PERIOD), AssetDep("regimes", partition_mapping=LATEST)],
)
def allocation(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    shares = decide_shares(workshop.lake, wiring.keys(context), workshop.settings)
    last = shares.allocation[shares.allocation["decision"] == shares.allocation["decision"].max()]
    metadata = {f"share {name}": float(share) for name, share in zip(last["sleeve"], last["weight"], strict=True)}
    yield from wiring.publish(context, SHARES, shares.allocation, {**metadata, "scheme": last["scheme"].iloc[0]})
    yield from wiring.publish(context, STEPS, shares.log)
    yield from wiring.publish(context, SCHEME_SHARES, shares.weights)
    took = {"milliseconds of all schemes": shares.milliseconds}
    yield from wiring.publish(context, SCHEME_ANSWERS, shares.outcomes, took)


class Shares(NamedTuple):
    """Rows of the four tables of an allocation, and what the schemes of the last decision took."""

    allocation: pd.DataFrame
    log: pd.DataFrame
    weights: pd.DataFrame
    outcomes: pd.DataFrame
    milliseconds: float


def decide_shares(lake: Lake, decisions: Sequence[date], chosen: Settings) -> Shares:
    """The allocation of each decision, each from what was held after the one before."""
    rules, wishes = schemes.policy(chosen), schemes.mandate(chosen)
    past = _past(lake, decisions, rules.window_weeks)
    decided = _decided(lake, decisions, past, rules, wishes)
    answered = [row for day, one in decided.items() for row in schemes.weight_rows(day, one.answers)]
    weights = SCHEME_WEIGHTS.conform(pd.DataFrame(answered))
    followed = _followed(lake, schemes.own_weights(weights, _statuses(decided)), decisions, chosen)
    rows: list[dict[str, Any]] = []
    log: list[dict[str, Any]] = []
    outcomes: list[dict[str, Any]] = []
    shares, since = previous_shares(lake, decisions[0])
    for day in decisions:
        scheme, why = followed[day]
        held = drifted(shares, growth_since(past.daily, since, day)) if since else {}
        crisis = past.crisis.get(day)
        answer = allocate(weeks_before(past.weekly, day, rules.window_weeks), held, rules, scheme, wishes, crisis, day)
        rows += allocation_rows(day, answer, held)
        log += log_rows(day, answer, why)
        outcomes += schemes.outcome_rows(day, decided[day].answers, scheme)
        shares, since = dict(answer.weights), day
    return Shares(
        ALLOCATION.conform(pd.DataFrame(rows)),
        LOG.conform(pd.DataFrame(log)),
        weights,
        SCHEME_OUTCOMES.conform(pd.DataFrame(outcomes)),
        1e3 * decided[decisions[-1]].seconds,
    )


def _decided(
    lake: Lake, decisions: Sequence[date], past: _Past, rules: Policy, wishes: Mandate
) -> dict[date, _Decided]:
    """What every scheme answers, each from what it held itself."""
    held, since = scheme_shares(lake, decisions[0]), previous_decision(lake, decisions[0])
    found: dict[date, _Decided] = {}
    for day in decisions:
        growth = growth_since(past.daily, since, day) if since else {}
        before = {scheme: drifted(own, growth) for scheme, own in held.items()}
        began = time.perf_counter()
        answers = allocate_all(
            weeks_before(past.weekly, day, rules.window_weeks), before, rules, wishes, past.crisis.get(day), day
        )
        found[day] = _Decided(answers, time.perf_counter() - began)
        held, since = {scheme: dict(answer.weights) for scheme, answer in answers.items()}, day
    return found


def _statuses(decided: Mapping[date, _Decided]) -> pd.DataFrame:
    """The columns of `scheme_outcomes` that say whether a scheme decided anything."""
    rows = [(day, name, one.status) for day, made in decided.items() for name, one in made.answers.items()]
    frame = pd.DataFrame(rows, columns=pd.Index(["decision", "scheme", "status"]))
    return frame.assign(decision=pd.to_datetime(frame["decision"]).astype("datetime64[us]"))


def _followed(
    lake: Lake, weights: pd.DataFrame, decisions: Sequence[date], chosen: Settings
) -> dict[date, tuple[str, str]]:
    """The scheme of each decision, and why; `weights` are the schemes' own."""
    fixed = schemes.default_scheme(chosen)
    if chosen.scheme != CHAMPION:
        return dict.fromkeys(decisions, (fixed, "the settings say so"))
    stored = schemes.stored_weights(lake, decisions[0])
    found = schemes.choices(lake, pd.concat([stored, weights], ignore_index=True), chosen)
    return {day: (found[day].scheme, found[day].reason) for day in decisions}


def _past(lake: Lake, decisions: Sequence[date], weeks: int) -> _Past:
    """Everything from before the first decision's window to the day before the last decision."""
    begins = [lake.last_partition(table, decisions[0]) for table in (SCHEME_WEIGHTS, ALLOCATION)]
    first = min([decisions[0] - timedelta(7 * (weeks + 2)), *(one for one in begins if one)])
    last = decisions[-1] - timedelta(1)
    daily = daily_returns(lake, first, last)
    weekly = whole_weeks(daily, begun(lake))
    rows = lake.read(REGIMES, first=decisions[0], last=decisions[-1], columns=["decision", "probability"])
    known = zip(rows["decision"], rows["probability"], strict=True)
    return _Past(daily, weekly, {day.date(): float(p) for day, p in known if pd.notna(p)})


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
    f"{PORTFOLIOS.doc}. The latest shares times the latest weights at or before the decision, within the limits.",
    PORTFOLIO_CHECKS,
)
CUT = wiring.Product("cuts", limits.CUTS, f"{limits.CUTS.doc}.", [wiring.valid_rows(limits.CUTS)])


@wiring.step(
    "target_portfolio",
    [TARGET, CUT],
    GROUP,
    SESSION_DECISION,
    [
        *[AssetDep(name, partition_mapping=LATEST) for name in ("allocation", "regimes", *STRATEGIES)],
        AssetDep("universe", partition_mapping=LAST_PERIOD),
    ],
)
def target_portfolio(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    decisions, lake = wiring.keys(context), workshop.lake
    before = lake.last_partition(PORTFOLIOS, decisions[0])
    days = [before, *decisions] if before else decisions
    shares = latest_through(lake, ALLOCATION, "sleeve", days)
    weights = latest_through(lake, WEIGHTS, "strategy", days)
    changes = symbol_changes(lake)
    asked = target_rows(days, shares, weights[weights["strategy"].isin(list(STRATEGIES))], changes)
    rows, cuts = limits.limited(
        asked,
        limits.crises(lake, days),
        limits.caps(workshop.settings),
        limits.Sectors(lake, days[-1]),
        dict(zip((day.date() for day in shares["decision"]), shares["scheme"], strict=True)),
        since=before,
    )
    metadata = {"read from snapshot": lake.snapshot(), **_used(rows)}
    yield from wiring.publish(context, TARGET, PORTFOLIOS.conform(rows), metadata)
    yield from wiring.publish(context, CUT, cuts)


def latest_through(lake: Lake, table: Table, name: str, decisions: Sequence[date]) -> pd.DataFrame:
    """Rows of the partitions that the decisions may use: those in their range, and the last one before it."""
    newest = (
        f"select max(decision) from {lake.name_of(table)} as o where o.{name} = {table.name}.{name} and o.decision <= ?"
    )
    where = f"decision >= coalesce(({newest}), date '0001-01-01')"
    return lake.read(table, last=decisions[-1], where=where, values=[decisions[0]])


def _used(rows: pd.DataFrame) -> dict[str, Any]:
    """The newest upstream partitions that went in, by sleeve."""
    last = rows[rows["decision"] == rows["decision"].max()].drop_duplicates("sleeve")
    used = {f"weights of {row.sleeve}": f"{row.weights_from:%Y-%m-%d}" for row in last.itertuples()}
    return used | {"allocation": f"{last['allocation_from'].max():%Y-%m-%d}" if len(last) else "none"}


ASSETS = [allocation, target_portfolio]
