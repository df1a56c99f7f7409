"""Execution: the order batch of a session, its fills, and the account after them.

The three belong to one step, because the next batch starts from the account that the last one left. The ledger leads
and the tables follow it.
"""

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import groupby
from typing import Any

import pandas as pd
import sqlalchemy as sa
from dagster import AssetDep, AssetExecutionContext, AssetMaterialization, Failure, TimeWindowPartitionMapping

# No public door leads to batches; the lock pins the version, and the tests of a restatement cover it.
from dagster._core.events import DagsterEvent, DagsterEventBatchMetadata, generate_event_batch_id

from pas_dagster import calendar, settings
from pas_dagster.assets import calls, equity, wiring
from pas_dagster.assets.account import conditions
from pas_dagster.assets.market import LakeMarket
from pas_dagster.assets.resources import Workshop
from pas_dagster.errors import PasError
from pas_dagster.execution.account import account_spec, connected, guard
from pas_dagster.execution.brokers.base import Broker
from pas_dagster.execution.desk import Desk, Patience, open_desk
from pas_dagster.execution.outcome import Outcome, load
from pas_dagster.execution.replay import replay
from pas_dagster.execution.targets import SleeveTarget, wanted
from pas_dagster.lake import Lake
from pas_dagster.ledger import batches, frames, tables
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.store import Ledger
from pas_dagster.partitions import LAST_PERIOD, SESSION_DECISION
from pas_dagster.schemas import TABLES
from pas_dagster.strategies.contract import CASH

GROUP = "execution"
PORTFOLIOS = TABLES["portfolios"]
OUTPUTS = {
    "order_batch": TABLES["order_batch"],
    "fills": TABLES["fills"],
    "trades": TABLES["trades"],
    "account_metrics_paper": TABLES["account_metrics_paper"],
    "account_metrics_live": TABLES["account_metrics_live"],
}
POOL = "account"


def sleeve_targets(
    rows: pd.DataFrame, sessions: Sequence[date], called: Mapping[date, str] | None = None
) -> dict[date, list[SleeveTarget]]:
    """The rows of `portfolios` as what the planner takes; a session in which nothing takes effect has none.

    `called`: sessions in which everything takes effect because somebody called for it (`calls`).
    """
    targets: dict[date, list[SleeveTarget]] = {day: [] for day in sessions}
    ordered = rows.sort_values(["decision", "sleeve"], kind="stable")
    days = ordered["decision"].to_numpy().astype("datetime64[D]").tolist()
    names = ("sleeve", "sleeve_share", "rebalance", "resize", "symbol", "sleeve_weight")
    # Plain lists: a data frame for each of ten thousand sleeves would take longer than trading them.
    lines = zip(days, *(ordered[name].tolist() for name in names), strict=True)
    for (day, sleeve, share, rebalance, resize), own in groupby(lines, key=lambda line: line[:5]):
        weights = {symbol: weight for *_, symbol, weight in own if symbol != CASH}
        word = called.get(day) if called else None
        targets[day].append(
            SleeveTarget(sleeve, share, weights, rebalance=rebalance or bool(word), resize=resize or word == calls.ALL)
        )
    return targets


def _one_row_a_session(rows: pd.DataFrame, days: Sequence[date]) -> str | None:
    found = set(rows["decision"].dt.date)
    begun = date.min if settings.current().mode == "simulated" else min(found, default=date.max)
    missing = [day for day in days if day not in found and day >= begun]
    return None if not missing else f"the account has no row for {missing[0]}"


PRODUCTS = [
    wiring.Product(
        "order_batch",
        OUTPUTS["order_batch"],
        "Orders of the session: one net order per symbol, sleeves crossed inside the ledger first.",
        [wiring.valid_rows(OUTPUTS["order_batch"])],
    ),
    wiring.Product(
        "fills",
        OUTPUTS["fills"],
        "What was filled, as the broker reported it.",
        [wiring.valid_rows(OUTPUTS["fills"])],
        after=["order_batch"],
    ),
    wiring.Product(
        "trades",
        OUTPUTS["trades"],
        "The fills shared out to the sleeves that asked for them, with what sleeves crossed among themselves.",
        [wiring.valid_rows(OUTPUTS["trades"])],
        after=["fills"],
    ),
    *[
        wiring.Product(
            f"account_metrics_{mode}",
            OUTPUTS[f"account_metrics_{mode}"],
            f"The {mode} account at the session's close: equity, cash, exposure, turnover and fees.",
            [
                wiring.valid_rows(OUTPUTS[f"account_metrics_{mode}"]),
                wiring.Check(
                    "every_session_is_marked", "The account is marked at every session of the run", _one_row_a_session
                ),
            ],
            after=["trades"],
        )
        for mode in ("paper", "live")
    ],
]


@wiring.step(
    "execution",
    PRODUCTS,
    GROUP,
    SESSION_DECISION,
    [
        AssetDep("target_portfolio", partition_mapping=TimeWindowPartitionMapping()),
        *[AssetDep(name, partition_mapping=LAST_PERIOD) for name in ("prices", "corporate_actions")],
    ],
    pool=POOL,
    kinds=frozenset({"python", "postgres"}),
)
def execution(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    decisions = wiring.keys(context)
    spec = account_spec(workshop.settings)
    called = _called(context)
    where = "rebalance or resize or list_contains(?::date[], decision)"
    portfolios = workshop.lake.read(PORTFOLIOS, where=where, values=[list(called)])
    _require_targets(workshop.lake, decisions)
    problem: PasError | None = None
    if spec.mode == "simulated":
        generation = _replayed(context, workshop, spec, portfolios, decisions, called)
    else:
        generation, problem = _traded_now(context, workshop, spec, portfolios, decisions, called)
    _catch_up(context, workshop, spec, generation, decisions)
    shown = load(workshop.ledger, spec.id, generation, decisions)
    metadata = {"read from snapshot": workshop.lake.snapshot(), "generation": generation}
    for product in _present(spec):
        rows = _rows(shown, product.key, spec.id)
        yield from wiring.publish(context, product, rows, {**metadata, **_numbers(product.key, rows)})
    if problem is not None:  # after what was done has been told
        raise Failure(str(problem), allow_retries=False)


def _present(spec: AccountSpec) -> list[wiring.Product]:
    """The products of an account of this kind."""
    other = "account_metrics_paper" if spec.mode == "live" else "account_metrics_live"
    return [product for product in PRODUCTS if product.key != other]


def _replayed(
    context: AssetExecutionContext,
    workshop: Workshop,
    spec: AccountSpec,
    portfolios: pd.DataFrame,
    decisions: Sequence[date],
    called: Mapping[date, str],
) -> int:
    """Trade the past and the present of a simulated account; its generation."""
    outcome = _trade(workshop, spec, portfolios, decisions, called)
    if outcome.restated_from is not None:
        context.log.warning(
            f"Inputs of {outcome.restated_from} changed: generation {outcome.generation} is computed anew"
        )
    return outcome.generation


def _traded_now(
    context: AssetExecutionContext,
    workshop: Workshop,
    spec: AccountSpec,
    portfolios: pd.DataFrame,
    decisions: Sequence[date],
    called: Mapping[date, str],
) -> tuple[int, PasError | None]:
    """Send today's decision to the broker, or go on with it; what kept it from being done. The past is only shown."""
    today = workshop.today
    if decisions[-1] != today:
        context.log.info("These decisions are past: what was traded then is shown, and nothing is sent")
        return generation_of(workshop.ledger, spec.id), None
    rows = portfolios[portfolios["decision"] == pd.Timestamp(today)]
    targets = wanted(sleeve_targets(rows, [today], called)[today])
    try:
        with at_desk(workshop, spec, context.log.info) as desk:
            desk.rebalance(today, targets)
    except PasError as error:
        return generation_of(workshop.ledger, spec.id), error
    return desk.generation, None


def _called(context: AssetExecutionContext) -> dict[date, str]:
    """Sessions that are traded to their targets because somebody called for it."""
    try:
        return calls.calls(context.instance, context.run.tags)
    except PasError as error:
        raise Failure(str(error), allow_retries=False) from None


@contextmanager
def at_desk(
    workshop: Workshop, spec: AccountSpec, tell: Callable[[str], None], *, halted: bool = False
) -> Generator[Desk]:
    """The desk of a real account, alone with it for as long as the block lasts. `halted`: whether it may be."""
    chosen = workshop.settings
    watched = guard(chosen, os.environ, lambda symbols: conditions(workshop, symbols))
    patience = Patience(chosen.broker_patience, tell=tell)
    with connected(chosen) as broker, workshop.ledger.lock(spec.id):
        market = LakeMarket(workshop, workshop.today, _concerned(workshop, broker), foreseen=False)
        yield open_desk(workshop.ledger, spec, market, broker, lambda: workshop.now, watched, patience, halted=halted)


def _concerned(workshop: Workshop, broker: Broker) -> list[str]:
    """Symbols whose prices may be asked for: those wanted of late and those held."""
    since = workshop.today - timedelta(days=45)
    rows = workshop.lake.read(PORTFOLIOS, first=since, columns=["symbol"])
    return sorted({*rows["symbol"], *broker.positions(), *heirs(workshop.lake)} - {CASH})


def generation_of(ledger: Ledger, account: str) -> int:
    """The account's present generation; the first for one that is not open yet."""
    table = tables.account
    query = sa.select(table.c.generation).where(table.c.id == account)
    return ledger.run(lambda connection: connection.scalar(query)) or 1


def _require_targets(lake: Lake, decisions: Sequence[date]) -> None:
    """A session without a target portfolio must not pass for one in which there is nothing to trade."""
    made = lake.partitions(PORTFOLIOS)
    known = set(made)
    missing = [day for day in decisions if made and day > made[0] and day not in known]
    if missing:
        raise Failure(f"There is no target_portfolio for {missing[0]}: materialise it first", allow_retries=False)


def _trade(
    workshop: Workshop,
    spec: AccountSpec,
    portfolios: pd.DataFrame,
    decisions: Sequence[date],
    called: Mapping[date, str],
) -> Outcome:
    """Trade the decisions, and what the account missed before them; a corrected past is computed anew."""
    last = max([decisions[-1], *traded(workshop.ledger, spec)])
    sessions = calendar.sessions(spec.opened, last)
    targets = sleeve_targets(portfolios[portfolios["decision"] <= pd.Timestamp(last)], sessions, called)
    symbols = sorted(set(portfolios["symbol"]) - {CASH}) + heirs(workshop.lake)
    market = LakeMarket(workshop, last, symbols)
    return replay(workshop.ledger, spec, targets, decisions, market)


def traded(ledger: Ledger, spec: AccountSpec) -> list[date]:
    """The sessions in the account's present books."""
    generation = generation_of(ledger, spec.id)
    return list(ledger.run(lambda connection: batches.stored(connection, spec.id, generation)))


def heirs(lake: Lake) -> list[str]:
    """Symbols that a holding may come to be called by."""
    rows = lake.read(TABLES["corporate_actions"], where="kind = 'symbol_change'", columns=["new_symbol"])
    return rows["new_symbol"].tolist()


def _catch_up(
    context: AssetExecutionContext, workshop: Workshop, spec: AccountSpec, generation: int, decisions: Sequence[date]
) -> None:
    """Make the tables of other sessions equal to the ledger again.

    They differ where an order rested overnight and was filled since, where the past was computed anew, and after a
    crash between the ledger's commit and the lake's.
    """
    days_traded = traded(workshop.ledger, spec)
    books = workshop.ledger.run(lambda connection: frames.account(connection, spec.id, generation, days_traded))
    table = equity.table(workshop.settings)
    now = table.conform(books.assign(generation=generation, account=spec.id)).set_index("decision")
    then = workshop.lake.read(table).set_index("decision").reindex(now.index)
    behind = now[(now != then).any(axis=1)].index
    days = [day.date() for day in behind if day.date() not in set(decisions)]
    if not days:
        return
    context.log.info(f"{len(days)} earlier or later sessions changed in the ledger; their tables follow")
    outcome = load(workshop.ledger, spec.id, generation, days)
    products = _present(spec)
    for product in products:
        workshop.lake.replace(product.table, days, _rows(outcome, product.key, spec.id))
    _announce(context, [AssetMaterialization(p.key, partition=day.isoformat()) for p in products for day in days])


def _announce(context: AssetExecutionContext, made: Sequence[AssetMaterialization]) -> None:
    """Record materialisations as one batch, as Dagster does for a run's own; years of them singly take a minute."""
    batch, step = generate_event_batch_id(), context.get_step_execution_context()
    for at, one in enumerate(made, start=1):
        DagsterEvent.asset_materialization(step, one, DagsterEventBatchMetadata(batch, at == len(made)))


def _rows(outcome: Outcome, name: str, account: str) -> pd.DataFrame:
    """The outcome's rows, as the table wants them."""
    frames = {"order_batch": outcome.order_batch, "fills": outcome.fills, "trades": outcome.trades}
    frame = frames.get(name, outcome.account)
    return OUTPUTS[name].conform(frame.assign(generation=outcome.generation, account=account).replace("", None))


def _numbers(name: str, rows: pd.DataFrame) -> Mapping[str, float]:
    if rows.empty:
        return {}
    if name.startswith("account_metrics"):
        return {column: float(rows[column].iloc[-1]) for column in ("equity", "cash", "gross_exposure", "turnover")}
    return {"notional": float(rows["notional"].sum())}


ASSETS = [execution]
