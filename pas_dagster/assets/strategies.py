"""Strategies: one asset of target weights per registered strategy, and the returns their sleeves would have had."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from dagster import AssetDep, AssetExecutionContext, AssetsDefinition, Failure, TimeWindowPartitionMapping

from pas_dagster import calendar, settings
from pas_dagster.analytics.backtest import book_returns
from pas_dagster.assets import wiring
from pas_dagster.assets.history import PRICE_COLUMNS, load_history
from pas_dagster.assets.resources import Workshop
from pas_dagster.lake import Lake
from pas_dagster.partitions import BY_CADENCE, LAST_PERIOD, LATEST, SESSIONS
from pas_dagster.schemas import TABLES
from pas_dagster.strategies.catalogue import catalogue
from pas_dagster.strategies.contract import CASH, NotEnoughData, Strategy, Weights, WeightsError
from pas_dagster.strategies.history import Panel, lineages

GROUP = "strategies"
WEIGHTS = TABLES["strategy_weights"]
RETURNS = TABLES["strategy_returns"]


def strategies() -> dict[str, Strategy]:
    """The strategies of this installation, with the parameters of its settings."""
    chosen = settings.current()
    return catalogue(chosen.members, chosen.strategies)


def weight_rows(
    strategy: str, decision: date, weights: Weights, status: str, decided_on: date, note: str | None
) -> list[dict[str, Any]]:
    """One row a symbol, and the row of the cash, so that an all-cash decision is a decision too."""
    shared = {"decision": decision, "strategy": strategy, "status": status, "decided_on": decided_on, "note": note}
    held = {**weights.values, CASH: weights.cash}
    return [{**shared, "symbol": symbol, "weight": weight} for symbol, weight in held.items()]


def decide(
    strategy: Strategy, decisions: Sequence[date], lake: Lake, universe_index: str | None
) -> list[dict[str, Any]]:
    """The weight rows of every decision. Too little data holds what was decided before; the row says since when."""
    history = load_history(lake, strategy.reads, decisions, universe_index)
    previous, decided_on = last_decided(lake, strategy.name, min(decisions))
    rows: list[dict[str, Any]] = []
    for decision in decisions:
        try:
            weights = strategy.decide(history.as_of(decision, strategy.reads))
        except NotEnoughData as lack:
            since = decided_on or decision
            rows += weight_rows(strategy.name, decision, previous, "held", since, str(lack))
            continue
        except WeightsError as error:
            raise Failure(f"{strategy.name} for {decision}: {error}", allow_retries=False) from error
        previous, decided_on = weights, decision
        rows += weight_rows(strategy.name, decision, weights, "decided", decision, None)
    return rows


def last_decided(lake: Lake, strategy: str, before: date) -> tuple[Weights, date | None]:
    """The weights in force before a day, and when they were decided; all cash when there are none."""
    newest = "select max(decision) from lake.strategy_weights where strategy = ? and decision < ?"
    condition = f"strategy = ? and decision = ({newest})"
    rows = lake.read(WEIGHTS, where=condition, values=[strategy, strategy, before])
    if rows.empty:
        return Weights({}), None
    held = rows[rows["symbol"] != CASH]
    weights = Weights(dict(zip(held["symbol"], held["weight"], strict=True)))
    first = rows.iloc[0]
    decided = first["status"] == "decided" or first["decided_on"] < first["decision"]
    return weights, first["decided_on"].date() if decided else None


def _from_the_past(rows: pd.DataFrame, _: Sequence[date]) -> str | None:
    late = rows[rows["decided_on"] > rows["decision"]]
    return None if late.empty else f"weights of {late['decision'].iloc[0]:%Y-%m-%d} were decided later"


CHECKS = [
    wiring.valid_rows(WEIGHTS),
    wiring.complete(WEIGHTS),
    wiring.sums_to_one("weights_sum_to_one", "Weights and cash of every decision sum to 1", "weights"),
    wiring.Check("weights_are_not_from_the_future", "No decision uses weights decided after it", _from_the_past),
]


def strategy_asset(strategy: Strategy) -> AssetsDefinition:
    """The asset of one strategy's weights."""
    description = f"{strategy.title}.\n\n{strategy.rule}"
    product = wiring.Product(strategy.name, WEIGHTS, description, CHECKS, scope={"strategy": strategy.name})
    read = dict.fromkeys([*strategy.reads, "corporate_actions"])  # symbol changes, whatever the strategy declares
    deps = [AssetDep(name, partition_mapping=LAST_PERIOD) for name in read]

    @wiring.step(strategy.name, [product], GROUP, BY_CADENCE[strategy.cadence], deps)
    def _asset(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
        decisions = wiring.keys(context)
        snapshot = workshop.lake.snapshot()
        rows = decide(strategy, decisions, workshop.lake, workshop.settings.universe_index)
        frame = WEIGHTS.conform(pd.DataFrame(rows))
        metadata = {"read from snapshot": snapshot, "held": int(frame["status"].eq("held").sum()), **_span(frame)}
        yield from wiring.publish(context, product, frame, metadata)

    return _asset


def _span(frame: pd.DataFrame) -> dict[str, Any]:
    last = frame[frame["decision"] == frame["decision"].max()]
    return {
        "names held": int((last["symbol"] != CASH).sum()),
        "cash": float(last.loc[last["symbol"] == CASH, "weight"].sum()),
    }


STRATEGIES = strategies()
ASSETS = [strategy_asset(one) for one in STRATEGIES.values()]


def sleeve_returns(lake: Lake, weights: pd.DataFrame, last: date, cost: float) -> pd.DataFrame:
    """Daily returns of every sleeve from its first decision through `last`: the columns of `strategy_returns`.

    Always from the beginning, so that a day comes out the same whatever range it is computed in. A sleeve begins with
    its first decision; weights that are only held trade nothing. A decision's weights are traded at the close of its
    session (the next one when it falls on a holiday).
    """
    weights = weights[weights["status"] == "decided"]
    actions = lake.read(TABLES["corporate_actions"], last=last)
    changes = actions[actions["kind"] == "symbol_change"]
    fills = {day: calendar.roll_forward(day.date()) for day in weights["decision"].unique()}
    rows = weights.assign(session=pd.to_datetime(weights["decision"].map(fills)).astype("datetime64[us]"))
    rows = rows[rows["session"] <= pd.Timestamp(last)]
    rows = rows.assign(symbol=lineages(rows["symbol"], rows["decision"].to_numpy().astype("datetime64[D]"), changes))
    panel = _returns(lake, rows, last, changes)
    delisted = _delistings(actions, changes)
    frames = []
    for name, own in rows.groupby("strategy", sort=True):
        book = own[own["symbol"] != CASH]
        held = panel.reindex(columns=sorted(book["symbol"].unique())).loc[own["session"].min() :]
        daily = book_returns(book[["session", "symbol", "weight"]], held, cost, delisted, fills=own["session"].unique())
        frames.append(daily.rename_axis("known_on").reset_index().assign(strategy=name))
    return pd.concat(frames, ignore_index=True) if frames else RETURNS.empty()


def _returns(lake: Lake, rows: pd.DataFrame, last: date, changes: pd.DataFrame) -> pd.DataFrame:
    """Total returns of everything ever held: sessions x lineages."""
    symbols = sorted({*rows["symbol"], *changes["symbol"], *changes["new_symbol"]} - {CASH})
    first = rows["session"].min().date() if len(rows) else last
    where = "list_contains(?::varchar[], symbol)"
    prices = lake.read(TABLES["prices"], first=first, last=last, columns=PRICE_COLUMNS, where=where, values=[symbols])
    panel = Panel.from_rows(prices, changes)
    sessions = calendar.session_array(first, last).astype("datetime64[us]")
    index = panel.sessions.astype("datetime64[us]")
    return pd.DataFrame(panel.fields["total_return"], index=index, columns=panel.lineages).reindex(sessions)


def _delistings(actions: pd.DataFrame, changes: pd.DataFrame) -> dict[str, pd.Timestamp]:
    """Lineage -> session of its last bar, whose return is the delisting return."""
    gone = actions[actions["kind"] == "delisting"]
    names = lineages(gone["symbol"], gone["event_date"].to_numpy().astype("datetime64[D]"), changes)
    return dict(zip(names, gone["event_date"], strict=True))


def _every_sleeve(rows: pd.DataFrame, days: Sequence[date]) -> str | None:
    if rows.empty:
        return "there is no row"
    counts = rows.groupby("strategy")["known_on"].nunique()
    # A sleeve begins with its first decision, so only gaps after that are faults.
    expected = {
        name: len([d for d in days if pd.Timestamp(d) >= own.min()])
        for name, own in rows.groupby("strategy")["known_on"]
    }
    short = [name for name, count in counts.items() if count != expected[name]]
    return None if not short else f"{short[0]} has {counts[short[0]]} of {expected[short[0]]} sessions"


RETURN_CHECKS = [
    wiring.valid_rows(RETURNS),
    wiring.Check(
        "every_sleeve_every_session", "Each sleeve has a return for each session since it began", _every_sleeve
    ),
]


RETURNS_PRODUCT = wiring.Product(
    RETURNS.name,
    RETURNS,
    f"{RETURNS.doc}. A decision precedes its fill, and the fill earns from the next session on.",
    RETURN_CHECKS,
)


@wiring.step(
    RETURNS.name,
    [RETURNS_PRODUCT],
    GROUP,
    SESSIONS,
    [
        *[AssetDep(name, partition_mapping=LATEST) for name in STRATEGIES],
        *[AssetDep(n, partition_mapping=TimeWindowPartitionMapping()) for n in ("prices", "corporate_actions")],
    ],
)
def strategy_returns(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    days = wiring.keys(context)
    weights = workshop.lake.read(WEIGHTS, last=days[-1])
    weights = weights[weights["strategy"].isin(list(STRATEGIES))]
    rows = sleeve_returns(workshop.lake, weights, days[-1], workshop.settings.cost_bp / 1e4)
    rows = rows[rows["known_on"].isin(pd.DatetimeIndex(days))]
    frame = RETURNS.conform(rows)
    metadata = {"read from snapshot": workshop.lake.snapshot(), **_yearly(frame)}
    yield from wiring.publish(context, RETURNS_PRODUCT, frame, metadata)


def _yearly(frame: pd.DataFrame) -> Mapping[str, float]:
    """Mean daily return of each sleeve over the run; Dagster plots numbers."""
    return {f"mean net {name}": float(np.mean(own)) for name, own in frame.groupby("strategy")["net"]}
