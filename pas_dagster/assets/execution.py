"""Execution: the order batch of a session, its fills, and the account after them.

The three belong to one step, because the next batch starts from the account that the last one left. Past
sessions are replayed through the same planning, netting and journal as the present one; only the present one
goes through a broker.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Any

import pandas as pd
from dagster import AssetDep, AssetExecutionContext, TimeWindowPartitionMapping

from pas_dagster import calendar
from pas_dagster.assets import wiring
from pas_dagster.assets.market import LakeMarket
from pas_dagster.assets.resources import Workshop, now
from pas_dagster.execution.brokers.postgres_store import connect
from pas_dagster.execution.executor import run_batch
from pas_dagster.execution.outcome import Outcome
from pas_dagster.execution.replay import replay
from pas_dagster.execution.targets import SleeveTarget
from pas_dagster.ledger.accounts import AccountSpec
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
    outcomes = _trade(workshop, decisions)
    for outcome in outcomes:
        if outcome.restated_from is not None:
            context.log.warning(
                f"Inputs of {outcome.restated_from} changed: generation {outcome.generation} restates the account"
            )
            _restate_later(workshop, outcome, decisions)
    metadata = {"read from snapshot": workshop.lake.snapshot(), "generation": outcomes[-1].generation}
    for product in PRODUCTS:
        rows = pd.concat([_rows(one, product.key, decisions) for one in outcomes], ignore_index=True)
        yield from wiring.publish(context, product, rows, {**metadata, **_numbers(product.key, rows)})


def _frame(outcome: Outcome, name: str) -> pd.DataFrame:
    return {"order_batch": outcome.order_batch, "fills": outcome.trades, "account_metrics": outcome.account}[name]


def _trade(workshop: Workshop, decisions: Sequence[date]) -> list[Outcome]:
    """Replay the past sessions; the newest decision goes through the broker."""
    spec = account_spec(workshop.settings)
    wanted = workshop.lake.read(
        PORTFOLIOS, last=max(_last_traded(workshop), decisions[-1]), where="rebalance or resize"
    )
    sessions = calendar.sessions(spec.opened, max(_last_traded(workshop), decisions[-1]))
    targets = sleeve_targets(wanted, sessions)
    symbols = sorted(set(wanted["symbol"]) - {CASH}) + _heirs(workshop)
    market = LakeMarket(workshop, decisions[-1], symbols)
    past = [day for day in decisions if day < workshop.newest_decision]
    outcomes = [replay(workshop.ledger, spec, targets, past, market)] if past else []
    for day in decisions[len(past) :]:
        broker = connect(workshop.ledger, spec, market)
        outcomes.append(run_batch(workshop.ledger, spec, targets[day], day, market, broker, now))
    return outcomes


def _last_traded(workshop: Workshop) -> date:
    return workshop.lake.last_partition(OUTPUTS["account_metrics"]) or date.min


def _heirs(workshop: Workshop) -> list[str]:
    """Symbols that a holding may come to be called by."""
    rows = workshop.lake.read(TABLES["corporate_actions"], where="kind = 'symbol_change'", columns=["new_symbol"])
    return rows["new_symbol"].tolist()


def _restate_later(workshop: Workshop, outcome: Outcome, decisions: Sequence[date]) -> None:
    """Store the sessions beyond the run that a restatement changed, so that the tables equal the ledger."""
    later = sorted({day.date() for day in outcome.account["decision"]} - set(decisions))
    for name, table in OUTPUTS.items():
        workshop.lake.replace(table, later, _rows(outcome, name, later))


def _rows(outcome: Outcome, name: str, days: Sequence[date]) -> pd.DataFrame:
    """The outcome's rows of these days, as the table wants them."""
    rows = OUTPUTS[name].conform(_frame(outcome, name).replace("", None))
    return rows[rows["decision"].isin(pd.DatetimeIndex(days))]


def _numbers(name: str, rows: pd.DataFrame) -> Mapping[str, float]:
    if rows.empty:
        return {}
    if name == "account_metrics":
        return {column: float(rows[column].iloc[-1]) for column in ("equity", "cash", "gross_exposure", "turnover")}
    return {"notional": float(rows["notional"].sum())}


ASSETS = [execution]
