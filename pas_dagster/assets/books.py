"""The books of the present: ledger against broker, and what every sleeve holds with what came of it.

Neither has partitions: a broker shows only what is there now. Each run keeps its rows under the day of the newest
decision that was traded.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    Failure,
    MaterializeResult,
    asset,
)

from pas_dagster.assets import wiring
from pas_dagster.assets.execution import GROUP, POOL, at_desk, generation_of, traded
from pas_dagster.assets.market import newest_closes
from pas_dagster.assets.resources import Workshop
from pas_dagster.errors import PasError
from pas_dagster.execution.account import account_spec
from pas_dagster.execution.brokers.postgres_store import PostgresStore
from pas_dagster.execution.brokers.simulated import Book
from pas_dagster.execution.reconcile import compare
from pas_dagster.execution.targets import rules
from pas_dagster.ledger import comparisons, profits
from pas_dagster.ledger import journal as books
from pas_dagster.ledger.accounts import AccountSpec
from pas_dagster.ledger.comparisons import DIFFERENT, Comparison
from pas_dagster.ledger.floats import Float, floats
from pas_dagster.ledger.profits import Profit, Profits
from pas_dagster.ledger.units import SHARE, USD
from pas_dagster.schemas import TABLES, Table
from pas_dagster.strategies.contract import CASH

POSITIONS, RECONCILIATION = TABLES["positions"], TABLES["reconciliation"]
AGREE = "ledger_and_broker_agree"


def _declared(name: str, description: str, deps: list[str], checks: list[AssetCheckSpec] | None = None) -> Any:
    table = TABLES[name]
    return asset(
        name=name,
        group_name=GROUP,
        owners=[wiring.OWNER],
        kinds={"python", "postgres"},
        pool=POOL,
        description=description,
        metadata={"dagster/table_name": name, "dagster/column_schema": wiring.column_schema(table)},
        deps=[AssetDep(one) for one in deps],
        check_specs=checks,
    )


@_declared(
    RECONCILIATION.name,
    f"{RECONCILIATION.doc}. At a real broker what happened there is booked first, and open orders are followed.",
    ["trades"],
    [AssetCheckSpec(AGREE, asset=RECONCILIATION.name, description="Nothing differs without a reason")],
)
def reconciliation(context: AssetExecutionContext, workshop: Workshop) -> MaterializeResult:
    spec, day = account_spec(workshop.settings), _day(workshop)
    problem = ""
    if spec.mode == "simulated":
        found = simulated(workshop, spec)
    else:
        found, problem = _at_broker(context, workshop, spec, day)
    rows = _compared(found, day, workshop.now)
    workshop.lake.replace(RECONCILIATION, [day], rows)
    wrong = [one.subject for one in found if one.verdict == DIFFERENT]
    problem = problem or (f"ledger and broker differ on {', '.join(wrong[:5])}" if wrong else "")
    return MaterializeResult(
        metadata={"dagster/row_count": len(rows), **wiring.preview(rows, [day])},
        check_results=[
            AssetCheckResult(
                passed=not problem,
                check_name=AGREE,
                severity=AssetCheckSeverity.ERROR,
                metadata={"problem": problem} if problem else {"compared": len(found)},
            )
        ],
    )


@_declared(POSITIONS.name, f"{POSITIONS.doc}.", ["trades", "prices"])
def positions(context: AssetExecutionContext, workshop: Workshop) -> MaterializeResult:
    spec, day = account_spec(workshop.settings), _day(workshop)
    rows = held_rows(workshop, spec, day)
    workshop.lake.replace(POSITIONS, [day], rows)
    shown = rows.sort_values("value", key=abs)  # the preview is of the last rows
    return MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "value": float(rows["value"].sum()),
            "realised": float(rows["realised"].sum()),
            "unrealised": float(rows["unrealised"].sum()),
            **wiring.preview(shown, [day]),
        }
    )


def _day(workshop: Workshop) -> date:
    """The newest decision that was traded."""
    days = traded(workshop.ledger, account_spec(workshop.settings))
    if not days:
        raise Failure("The account has not traded yet: materialise order_batch first", allow_retries=False)
    return max(days)


def simulated(workshop: Workshop, spec: AccountSpec) -> list[Comparison]:
    """The ledger against the simulated broker's own books."""
    ledger, generation = workshop.ledger, generation_of(workshop.ledger, spec.id)
    book = PostgresStore(ledger, spec.id, Book(spec.opened, rules(spec).capital)).load()
    balances = ledger.run(lambda connection: ledger.balances(connection, spec.id, generation))
    return compare(balances, book.positions, book.cash)


def _at_broker(
    context: AssetExecutionContext, workshop: Workshop, spec: AccountSpec, day: date
) -> tuple[list[Comparison], str]:
    """What the broker shows, after all that happened there was booked; and what went wrong."""
    try:
        with at_desk(workshop, spec, context.log.info, halted=True) as desk:
            return desk.follow(max(day, workshop.newest_decision)), ""
    except PasError as error:
        own = (spec.id, generation_of(workshop.ledger, spec.id), day)
        last = workshop.ledger.run(lambda connection: comparisons.newest(connection, *own))
        return [one for _, one in last], str(error)


def _compared(found: list[Comparison], day: date, at: datetime) -> pd.DataFrame:
    rows = [
        {
            "decision": day,
            "subject": CASH if one.subject == books.CASH else one.subject,
            "compared_at": at.replace(tzinfo=None),
            "ours": one.ours / (USD if one.subject == books.CASH else SHARE),
            "theirs": one.theirs / (USD if one.subject == books.CASH else SHARE),
            "verdict": one.verdict,
        }
        for one in found
    ]
    return _framed(RECONCILIATION, rows)


def held_rows(workshop: Workshop, spec: AccountSpec, day: date) -> pd.DataFrame:
    """Rows of `positions` as the ledger stands, at the newest closes."""
    own = (spec.id, generation_of(workshop.ledger, spec.id))

    def work(connection: sa.Connection) -> tuple[Profits, dict[tuple[str, str], Float]]:
        return profits.load(connection, *own), floats(connection, *own, rules(spec).rate)

    earned, held = workshop.ledger.run(work)
    return position_rows(earned, held, newest_closes(workshop, [symbol for _, symbol in earned]), day)


def position_rows(
    earned: Profits, held: Mapping[tuple[str, str], Float], closes: Mapping[str, float], day: date
) -> pd.DataFrame:
    """Rows of `positions`: everything that a sleeve holds, or has earned or lost something in."""
    rows = []
    for sleeve, symbol in sorted({*earned, *((name, what) for name, what in held if what != books.CASH)}):
        one, amount = earned.get((sleeve, symbol), Profit()), held.get((sleeve, symbol), Float(0, 0))
        if symbol and (one.quantity or one.realised or one.income or amount.position):
            rows.append(_row(day, sleeve, symbol, one, amount, closes.get(symbol)))
    for (sleeve, what), amount in sorted(held.items()):
        if what == books.CASH:
            other = earned.get((sleeve, ""), Profit())
            rows.append(_cash(day, sleeve, amount, other))
    return _framed(POSITIONS, rows)


def _row(day: date, sleeve: str, symbol: str, one: Profit, amount: Float, close: float | None) -> dict[str, Any]:
    quantity, cost = one.quantity / SHARE, one.cost / USD
    value = None if close is None else quantity * close
    average = one.average()
    return {
        "decision": day,
        "sleeve": sleeve,
        "symbol": symbol,
        "quantity": quantity,
        "reserved": amount.reserved / SHARE,
        "price": close,
        "value": value,
        "cost": cost,
        "average_cost": None if average is None else float(average / USD),
        "unrealised": None if value is None else value - cost,
        "realised": one.realised / USD,
        "income": one.income / USD,
        "fees": one.fees / USD,
    }


def _cash(day: date, sleeve: str, amount: Float, other: Profit) -> dict[str, Any]:
    cash = amount.position / USD
    figures = {"quantity": cash, "reserved": amount.reserved / USD, "price": 1.0, "value": cash, "cost": cash}
    earned = {"unrealised": 0.0, "realised": 0.0, "income": other.income / USD, "fees": other.fees / USD}
    return {"decision": day, "sleeve": sleeve, "symbol": CASH, "average_cost": None, **figures, **earned}


def _framed(table: Table, rows: list[dict[str, Any]]) -> pd.DataFrame:
    return table.conform(pd.DataFrame(rows)) if rows else table.empty()


ASSETS = [reconciliation, positions]
