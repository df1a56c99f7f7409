"""Execution: the order batch of a session, its fills, and the account after them.

The three belong to one step, because the next batch starts from the account that the last one left. The ledger leads
and the tables follow it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Any

import pandas as pd
from dagster import AssetDep, AssetExecutionContext, AssetMaterialization, Failure, TimeWindowPartitionMapping

# No public door leads to batches; the lock pins the version, and the tests of a restatement cover it.
from dagster._core.events import DagsterEvent, DagsterEventBatchMetadata, generate_event_batch_id

from pas_dagster import calendar
from pas_dagster.assets import wiring
from pas_dagster.assets.market import LakeMarket
from pas_dagster.assets.resources import Workshop
from pas_dagster.execution.outcome import Outcome, load
from pas_dagster.execution.replay import replay
from pas_dagster.execution.targets import SleeveTarget
from pas_dagster.lake import Lake
from pas_dagster.ledger import batches, frames
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.store import Ledger
from pas_dagster.partitions import LAST_PERIOD, SESSION_DECISION
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings
from pas_dagster.strategies.contract import CASH

GROUP = "execution"
PORTFOLIOS = TABLES["portfolios"]
OUTPUTS = {
    "order_batch": TABLES["order_batch"],
    "fills": TABLES["trades"],
    "account_metrics": TABLES["account_metrics_paper"],
}
ACCOUNT = "simulated"


def account_spec(chosen: Settings) -> AccountSpec:
    return AccountSpec(
        id=ACCOUNT,
        broker="simulated",
        mode="simulated",
        capital_usd=chosen.capital,
        cost_bp=chosen.cost_bp,
        min_order_usd=chosen.min_order_usd,
        opened=chosen.start,
    )


def sleeve_targets(rows: pd.DataFrame, sessions: Sequence[date]) -> dict[date, list[SleeveTarget]]:
    """The rows of `portfolios` as what the planner takes; a session in which nothing takes effect has none."""
    targets: dict[date, list[SleeveTarget]] = {day: [] for day in sessions}
    ordered = rows.sort_values(["decision", "sleeve"], kind="stable")
    days = ordered["decision"].to_numpy().astype("datetime64[D]").tolist()
    names = ("sleeve", "sleeve_share", "rebalance", "resize", "symbol", "sleeve_weight")
    # Plain lists: a data frame for each of ten thousand sleeves would take longer than trading them.
    lines = zip(days, *(ordered[name].tolist() for name in names), strict=True)
    for (day, sleeve, share, rebalance, resize), own in groupby(lines, key=lambda line: line[:5]):
        weights = {symbol: weight for *_, symbol, weight in own if symbol != CASH}
        targets[day].append(SleeveTarget(sleeve, share, weights, rebalance=rebalance, resize=resize))
    return targets


def _one_row_a_session(rows: pd.DataFrame, days: Sequence[date]) -> str | None:
    found = set(rows["decision"].dt.date)
    missing = [day for day in days if day not in found]
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
        "What was filled, shared out to the sleeves that asked for it.",
        [wiring.valid_rows(OUTPUTS["fills"])],
        after=["order_batch"],
    ),
    wiring.Product(
        "account_metrics",
        OUTPUTS["account_metrics"],
        "The account at the session's close: equity, cash, exposure, turnover and fees.",
        [
            wiring.valid_rows(OUTPUTS["account_metrics"]),
            wiring.Check(
                "every_session_is_marked", "The account is marked at every session of the run", _one_row_a_session
            ),
        ],
        after=["fills"],
    ),
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
    pool="account_simulated",
    kinds=frozenset({"python", "postgres"}),
)
def execution(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    decisions = wiring.keys(context)
    spec = account_spec(workshop.settings)
    portfolios = workshop.lake.read(PORTFOLIOS, where="rebalance or resize")
    _require_targets(workshop.lake, decisions)
    outcome = _trade(workshop, spec, portfolios, decisions)
    if outcome.restated_from is not None:
        context.log.warning(
            f"Inputs of {outcome.restated_from} changed: generation {outcome.generation} is computed anew"
        )
    _catch_up(context, workshop, spec, outcome.generation, decisions)
    shown = load(workshop.ledger, spec.id, outcome.generation, decisions)
    metadata = {"read from snapshot": workshop.lake.snapshot(), "generation": outcome.generation}
    for product in PRODUCTS:
        rows = _rows(shown, product.key)
        yield from wiring.publish(context, product, rows, {**metadata, **_numbers(product.key, rows)})


def _require_targets(lake: Lake, decisions: Sequence[date]) -> None:
    """A session without a target portfolio must not pass for one in which there is nothing to trade."""
    made = lake.partitions(PORTFOLIOS)
    known = set(made)
    missing = [day for day in decisions if made and day > made[0] and day not in known]
    if missing:
        raise Failure(f"There is no target_portfolio for {missing[0]}: materialise it first", allow_retries=False)


def _trade(workshop: Workshop, spec: AccountSpec, portfolios: pd.DataFrame, decisions: Sequence[date]) -> Outcome:
    """Trade the decisions, and what the account missed before them; a corrected past is computed anew."""
    last = max([decisions[-1], *_traded(workshop.ledger, spec)])
    sessions = calendar.sessions(spec.opened, last)
    targets = sleeve_targets(portfolios[portfolios["decision"] <= pd.Timestamp(last)], sessions)
    symbols = sorted(set(portfolios["symbol"]) - {CASH}) + _heirs(workshop.lake)
    market = LakeMarket(workshop, last, symbols)
    return replay(workshop.ledger, spec, targets, decisions, market)


def _traded(ledger: Ledger, spec: AccountSpec) -> list[date]:
    """The sessions in the account's present books."""
    generation = ledger.open_account(spec)
    return list(ledger.run(lambda connection: batches.stored(connection, spec.id, generation)))


def _heirs(lake: Lake) -> list[str]:
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
    traded = _traded(workshop.ledger, spec)
    books = workshop.ledger.run(lambda connection: frames.account(connection, spec.id, generation, traded))
    table = OUTPUTS["account_metrics"]
    now = table.conform(books.assign(generation=generation)).set_index("decision")
    then = workshop.lake.read(table).set_index("decision").reindex(now.index)
    behind = now[(now != then).any(axis=1)].index
    days = [day.date() for day in behind if day.date() not in set(decisions)]
    if not days:
        return
    context.log.info(f"{len(days)} earlier or later sessions changed in the ledger; their tables follow")
    outcome = load(workshop.ledger, spec.id, generation, days)
    for product in PRODUCTS:
        workshop.lake.replace(product.table, days, _rows(outcome, product.key))
    _announce(context, [AssetMaterialization(p.key, partition=day.isoformat()) for p in PRODUCTS for day in days])


def _announce(context: AssetExecutionContext, made: Sequence[AssetMaterialization]) -> None:
    """Record materialisations as one batch, as Dagster does for a run's own; years of them singly take a minute."""
    batch, step = generate_event_batch_id(), context.get_step_execution_context()
    for at, one in enumerate(made, start=1):
        DagsterEvent.asset_materialization(step, one, DagsterEventBatchMetadata(batch, at == len(made)))


def _rows(outcome: Outcome, name: str) -> pd.DataFrame:
    """The outcome's rows, as the table wants them."""
    frame = {"order_batch": outcome.order_batch, "fills": outcome.trades, "account_metrics": outcome.account}[name]
    return OUTPUTS[name].conform(frame.assign(generation=outcome.generation).replace("", None))


def _numbers(name: str, rows: pd.DataFrame) -> Mapping[str, float]:
    if rows.empty:
        return {}
    if name == "account_metrics":
        return {column: float(rows[column].iloc[-1]) for column in ("equity", "cash", "gross_exposure", "turnover")}
    return {"notional": float(rows["notional"].sum())}


ASSETS = [execution]
