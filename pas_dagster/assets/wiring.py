"""What every asset shares: how it is declared, checked, stored, and what the UI shows of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd
from dagster import (
    AssetCheckKey,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    AssetKey,
    AssetOut,
    AssetsDefinition,
    BackfillPolicy,
    Failure,
    InputContext,
    IOManager,
    MetadataValue,
    Output,
    OutputContext,
    PartitionsDefinition,
    TableColumn,
    TableColumnConstraints,
    TableConstraints,
    TableSchema,
    io_manager,
    multi_asset,
)

from pas_dagster import calendar
from pas_dagster.assets.resources import Workshop, now
from pas_dagster.errors import PasError
from pas_dagster.schemas import TABLES, Table

OWNER = "team:portfolio"
TABLE = "pas/table"
SCOPE = "pas/scope"
PREVIEW_ROWS = 20
PREVIEW_WIDTH = 60  # characters of a cell
INLINE = 999  # characters of Markdown that the UI shows without a click
PREVIEW_KEYS = 31  # a longer range repeats its metadata on every partition, so it carries numbers only


_MARKUP = re.compile(r"[\\`*_~|<>&\[\]]")


@dataclass(frozen=True)
class Check:
    """A statement about the rows of a run; `problem` gives what breaks it, or None.

    It must hold, or the run fails. Without `problem` it stops nothing, and the step that publishes says what it found:
    as a warning, or as an error when it is `grave`.
    """

    name: str
    description: str
    problem: Callable[[pd.DataFrame, Sequence[date]], str | None] | None
    grave: bool = False


def column_schema(table: Table) -> TableSchema:
    """The table's columns as Dagster shows them."""
    columns = [
        TableColumn(
            name=column.name,
            type=column.kind.sql,
            description=f"{column.doc} [{column.unit}]" if column.unit else column.doc,
            constraints=TableColumnConstraints(
                nullable=column.nullable, other=[column.rule_text] if column.rule else None
            ),
        )
        for column in table.columns
    ]
    return TableSchema(columns, constraints=TableConstraints([f"unique ({', '.join(table.key)})"]))


def enforce(product: Product, rows: pd.DataFrame, days: Sequence[date]) -> None:
    """Raise `PasError` naming the first of the product's checks that the rows break."""
    for check in product.checks:
        problem = check.problem(rows, days) if check.problem else None
        if problem:
            raise PasError(f"{product.key}: {problem}")


@dataclass(frozen=True)
class Product:
    """One asset that a step makes: the table it fills, what must hold, and how the UI shows it.

    `scope` (column -> value) is given when several assets fill one table. `after` names products of the same step that
    this one follows from; the others follow from the step's dependencies.
    """

    key: str
    table: Table
    description: str
    checks: Sequence[Check]
    scope: Mapping[str, str] | None = None
    after: Sequence[str] = ()

    def out(self, group: str, kinds: set[str]) -> AssetOut:
        metadata: dict[str, Any] = {
            TABLE: self.table.name,
            "dagster/table_name": self.table.name,
            "dagster/column_schema": column_schema(self.table),
        }
        if self.scope:
            metadata[SCOPE] = dict(self.scope)
        return AssetOut(
            description=self.description,
            metadata=metadata,
            group_name=group,
            owners=[OWNER],
            kinds=kinds,
            io_manager_key="lake",
            is_required=False,
        )

    @property
    def check_specs(self) -> list[AssetCheckSpec]:
        key = AssetKey(self.key)
        return [
            AssetCheckSpec(c.name, asset=key, description=c.description, blocking=c.problem is not None)
            for c in self.checks
        ]


def step(
    name: str,
    products: Sequence[Product],
    group: str,
    partitions: PartitionsDefinition,
    deps: Sequence[AssetDep] = (),
    *,
    pool: str | None = None,
    kinds: frozenset[str] = frozenset({"python", "duckdb"}),
) -> Callable[[Callable[..., Any]], AssetsDefinition]:
    """Declare the function as the step that makes the products.

    Subsettable, so that a long backfill can leave the recording of the checks out (they are enforced all the same):
    Dagster plans every check for every partition, which costs more than the materialisations.
    """
    upstream = {dep.asset_key for dep in deps}
    own = {p.key: {AssetKey(k) for k in p.after} or upstream for p in products}
    return multi_asset(
        name=name,
        outs={p.key: p.out(group, set(kinds)) for p in products},
        deps=list(deps),
        internal_asset_deps=own if any(p.after for p in products) else None,
        partitions_def=partitions,
        check_specs=[spec for p in products for spec in p.check_specs],
        can_subset=True,
        backfill_policy=BackfillPolicy.single_run(),  # here: Dagster passes over that of an AssetOut
        pool=pool or f"lake_{products[0].table.name}",
    )


def keys(context: AssetExecutionContext) -> list[date]:
    """The partitions of this run, ascending. A day that has not begun fails the run.

    On weekends Dagster already lists the next session's decision; deciding it then would miss what is still published.
    """
    days = sorted(calendar.as_dates(context.partition_keys))
    today = calendar.today(now())
    if days[-1] > today:
        raise Failure(f"{days[-1]} has not begun in New York (it is {today}): nothing can be decided for it yet")
    return days


def warning(name: str, description: str) -> Check:
    """A check that warns and lets the rows pass."""
    return Check(name, description, None)


def alarm(name: str, description: str) -> Check:
    """A check that fails for all to see and lets the rows pass: they are the safe ones."""
    return Check(name, description, None, grave=True)


def valid_rows(table: Table) -> Check:
    """Every row satisfies the table's rules and the key is unique."""

    def problem(rows: pd.DataFrame, _: Sequence[date]) -> str | None:
        bad = table.check(table.conform(rows)).bad
        if bad.empty:
            return None
        first = bad.iloc[0]
        where = ", ".join(f"{name}={first[name]}" for name in table.key)
        return f"{len(bad)} of {len(rows)} rows break a rule; first: {where}: {first['reason']}"

    return Check("rows_are_valid", "Types, units, bounds and the unique key of the schema hold for every row", problem)


def complete(table: Table) -> Check:
    """No partition of the run is empty."""

    def problem(rows: pd.DataFrame, days: Sequence[date]) -> str | None:
        found = set(rows[table.partition].dt.date.unique())
        missing = [day for day in days if day not in found]
        if not missing:
            return None
        return f"{len(missing)} of {len(days)} partitions have no row; first: {missing[0]}"

    return Check("no_partition_is_empty", "Every partition of the run has rows: silence is an error", problem)


def sums_to_one(name: str, description: str, what: str) -> Check:
    """The weights of every decision, cash included, sum to 1; `what` calls them by their name."""

    def problem(rows: pd.DataFrame, _: Sequence[date]) -> str | None:
        sums = rows.groupby("decision")["weight"].sum()
        off = sums[(sums - 1).abs() > 1e-9]
        return None if off.empty else f"{what} with cash sum to {off.iloc[0]:.9g} on {off.index[0]:%Y-%m-%d}"

    return Check(name, description, problem)


def publish(
    context: AssetExecutionContext,
    product: Product,
    rows: pd.DataFrame,
    metadata: Mapping[str, Any] | None = None,
    warnings: Mapping[str, str | None] | None = None,
) -> Iterator[AssetCheckResult | Output[pd.DataFrame]]:
    """Check, and only then hand the rows to the lake: a failed check leaves what was stored before.

    `warnings`: name of a check that only warns -> what it found, or None.
    """
    if product.key not in context.op_execution_context.selected_output_names:
        return
    days = keys(context)
    problems = []
    for check in product.checks:
        problem = check.problem(rows, days) if check.problem else (warnings or {})[check.name]
        problems += [problem] if problem and check.problem else []
        if AssetCheckKey(AssetKey(product.key), check.name) in context.selected_asset_check_keys:
            yield AssetCheckResult(
                asset_key=AssetKey(product.key),
                check_name=check.name,
                passed=problem is None,
                severity=AssetCheckSeverity.ERROR if check.problem or check.grave else AssetCheckSeverity.WARN,
                metadata={"problem": problem} if problem else {"rows": len(rows)},
            )
    if problems:
        raise Failure(f"{product.key}: {problems[0]}", allow_retries=False)
    yield Output(rows, product.key, metadata={**(metadata or {}), **preview(rows, days)})


def preview(rows: pd.DataFrame, days: Sequence[date]) -> dict[str, Any]:
    """The newest rows as a table, when the run is short enough for that."""
    if len(days) > PREVIEW_KEYS or rows.empty:
        return {}
    shown = rows.tail(PREVIEW_ROWS).astype(object).where(rows.tail(PREVIEW_ROWS).notna(), None)
    head = ["| " + " | ".join(map(str, shown.columns)) + " |", "|" + "---|" * len(shown.columns)]
    lines = ["| " + " | ".join(_cell(value) for value in row) + " |" for row in shown.itertuples(index=False)]
    while len(lines) > 1 and len("\n".join([*head, *lines])) > INLINE:
        lines.pop(0)
    return {"preview": MetadataValue.md("\n".join([*head, *lines]))}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    text = " ".join(str(value).split())
    shown = text if len(text) <= PREVIEW_WIDTH else f"{text[: PREVIEW_WIDTH - 1]}…"
    return _MARKUP.sub(r"\\\g<0>", shown)  # what others have written is shown, never interpreted


class LakeIOManager(IOManager):
    """Stores an asset's rows as the whole content of its partitions, and loads exactly the partitions mapped."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def handle_output(self, context: OutputContext, obj: pd.DataFrame) -> None:
        table, scope = _target(context.definition_metadata)
        days = calendar.as_dates(context.asset_partition_keys)
        written = self._workshop.lake.replace(table, days, obj, scope=scope)
        context.add_output_metadata(
            {
                "dagster/row_count": written.rows,
                "lake snapshot": written.snapshot,
                "changed": written.changed,
            }
        )

    def load_input(self, context: InputContext) -> pd.DataFrame:
        assert context.upstream_output is not None
        table, scope = _target(context.upstream_output.definition_metadata)
        days = calendar.as_dates(context.asset_partition_keys)
        if not days:
            return table.empty()
        where, values = (f"{scope[0]} = ?", [scope[1]]) if scope else ("true", [])
        rows = self._workshop.lake.read(table, first=min(days), last=max(days), where=where, values=values)
        return rows[rows[table.partition].isin(pd.DatetimeIndex(days))]


def _target(metadata: Mapping[str, Any]) -> tuple[Table, tuple[str, str] | None]:
    scope = metadata.get(SCOPE)
    return TABLES[metadata[TABLE]], next(iter(scope.items())) if scope else None


@io_manager(required_resource_keys={"workshop"})
def lake_io_manager(context: Any) -> LakeIOManager:
    return LakeIOManager(context.resources.workshop)
