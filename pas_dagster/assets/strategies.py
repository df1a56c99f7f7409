"""Strategies: one asset of target weights per registered strategy, and the returns their sleeves would have had."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from dagster import AssetDep, AssetExecutionContext, AssetsDefinition, TimeWindowPartitionMapping

from pas_dagster import settings
from pas_dagster.assets import wiring
from pas_dagster.assets.history import load_history
from pas_dagster.assets.resources import Workshop
from pas_dagster.assets.sleeves import RETURNS, TRADES, Sleeves, Terms, simulate_sleeves
from pas_dagster.errors import PasError
from pas_dagster.lake import Lake
from pas_dagster.partitions import BY_CADENCE, LAST_PERIOD, LATEST, SESSIONS
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings
from pas_dagster.strategies.catalogue import catalogue
from pas_dagster.strategies.contract import CASH, Strategy, Weights
from pas_dagster.strategies.decision import NOTHING, Decision, Standing, decisions_of
from pas_dagster.strategies.history import History
from pas_dagster.strategies.own import own_strategies

GROUP = "strategies"
WEIGHTS = TABLES["strategy_weights"]
WEIGHTS_READ = ["decision", "strategy", "symbol", "weight", "status"]  # what sleeves are simulated from


def strategies() -> dict[str, Strategy]:
    """The strategies of this installation, the user's own among them, with the parameters of its settings.

    Raises:
        PasError: the settings name an unknown strategy or parameter, or give one a value it cannot have.
    """
    chosen = settings.current()
    try:
        return catalogue(chosen.members, chosen.strategies, own_strategies(chosen.strategies_dir))
    except ValueError as error:
        raise PasError(f"{error} Mend `strategies` in config.yaml, or PAS_STRATEGIES.") from None


def weight_rows(strategy: str, made: Decision) -> list[dict[str, Any]]:
    """One row a symbol, and the row of the cash, so that an all-cash decision is a decision too."""
    shared = {
        "decision": made.decision,
        "strategy": strategy,
        "status": made.status,
        "decided_on": made.decided_on,
        "cause": made.cause,
        "note": made.note,
    }
    held = {**made.weights.values, CASH: made.weights.cash}
    return [{**shared, "symbol": symbol, "weight": weight} for symbol, weight in held.items()]


def decide(
    strategy: Strategy, decisions: Sequence[date], lake: Lake, chosen: Settings, history: History | None = None
) -> list[Decision]:
    """Every decision of a strategy, from what the lake knew before it and from what its sleeve stood on."""
    standing = NOTHING if history else standing_before(lake, strategy.name, min(decisions))
    history = history or load_history(lake, strategy.reads, decisions, chosen.universe_index)
    return list(decisions_of(strategy, history, decisions, standing, chosen.strategy_seconds))


def standing_before(lake: Lake, strategy: str, day: date) -> Standing:
    """The weights of the last decision before a day that had an answer; `NOTHING` when there is none."""
    answered = "strategy = ? and decision < ? and (status = 'decided' or cause = 'band')"
    condition = f"strategy = ? and decision = (select max(decision) from {lake.name_of(WEIGHTS)} where {answered})"
    rows = lake.read(WEIGHTS, where=condition, values=[strategy, strategy, day])
    if rows.empty:
        return NOTHING
    held, first = rows[rows["symbol"] != CASH], rows.iloc[0]
    weights = Weights(dict(zip(held["symbol"], held["weight"], strict=True)))
    return Standing(weights, first["decided_on"].date(), first["decision"].date())


def _from_the_past(rows: pd.DataFrame, _: Sequence[date]) -> str | None:
    late = rows[rows["decided_on"] > rows["decision"]]
    return None if late.empty else f"weights of {late['decision'].iloc[0]:%Y-%m-%d} were decided later"


FAULTLESS = "strategy_is_faultless"
_IN_WORDS = {
    "decided": "decided",
    "band": "kept within the band",
    "data": "held for want of data",
    "age": "held, data too old",
    "fault": "held after a fault",
}

CHECKS = [
    wiring.alarm(FAULTLESS, "The strategy raised nothing, was quick enough and gave weights that may be traded"),
    wiring.valid_rows(WEIGHTS),
    wiring.complete(WEIGHTS),
    wiring.sums_to_one("weights_sum_to_one", "Weights and cash of every decision sum to 1", "weights"),
    wiring.Check("weights_are_not_from_the_future", "No decision uses weights decided after it", _from_the_past),
]


def strategy_product(strategy: Strategy) -> wiring.Product:
    """What the UI shows of a strategy's weights, and what must hold of them."""
    description = f"{strategy.title}.\n\n{strategy.rule}"
    return wiring.Product(strategy.name, WEIGHTS, description, CHECKS, scope={"strategy": strategy.name})


def weights_of(
    strategy: Strategy, decisions: Sequence[date], workshop: Workshop, history: History | None = None
) -> tuple[pd.DataFrame, list[Decision]]:
    """The body of a strategy's asset: rows of `strategy_weights` for the decisions, and the decisions themselves.

    With a `history`, loaded for these decisions before, they begin from nothing: that is a backtest.
    """
    made = decide(strategy, decisions, workshop.lake, workshop.settings, history)
    return WEIGHTS.conform(pd.DataFrame([row for one in made for row in weight_rows(strategy.name, one)])), made


def strategy_asset(strategy: Strategy) -> AssetsDefinition:
    """The asset of one strategy's weights."""
    product = strategy_product(strategy)
    read = dict.fromkeys([*strategy.reads, "corporate_actions"])  # symbol changes, whatever the strategy declares
    deps = [AssetDep(name, partition_mapping=LAST_PERIOD) for name in read]

    @wiring.step(strategy.name, [product], GROUP, BY_CADENCE[strategy.cadence], deps)
    def _asset(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
        snapshot = workshop.lake.snapshot()
        frame, made = weights_of(strategy, wiring.keys(context), workshop)
        newest, fault = made[-1], _fault(made)
        if fault:
            context.log.error(f"{fault}; its sleeve holds what it had, and the other strategies go on")
        elif newest.status != "decided":
            context.log.warning(f"{strategy.name} for {newest.decision}: {newest.status}; {newest.note}")
        metadata = {"read from snapshot": snapshot, **_counts(made), **_span(frame), **_newest(newest)}
        yield from wiring.publish(context, product, frame, metadata, {FAULTLESS: fault})

    return _asset


def _fault(made: Sequence[Decision]) -> str | None:
    """The first fault of the strategy itself, and at how many decisions there was one."""
    faults = [one for one in made if one.cause == "fault"]
    if not faults:
        return None
    return f"{faults[0].note} (at {len(faults)} of {len(made)} decisions, first {faults[0].decision})"


def _counts(made: Sequence[Decision]) -> dict[str, int]:
    found = Counter(one.cause or one.status for one in made)
    return {f"decisions: {_IN_WORDS[name]}": count for name, count in sorted(found.items())}


def _newest(made: Decision) -> dict[str, Any]:
    """How old the newest weights are, and why."""
    age = {"age of the weights, days": (made.decision - made.decided_on).days, "newest": made.status}
    return {**age, "why": made.note} if made.note else age


def _span(frame: pd.DataFrame) -> dict[str, Any]:
    last = frame[frame["decision"] == frame["decision"].max()]
    return {
        "names held": int((last["symbol"] != CASH).sum()),
        "cash": float(last.loc[last["symbol"] == CASH, "weight"].sum()),
    }


STRATEGIES = strategies()
ASSETS = [strategy_asset(one) for one in STRATEGIES.values()]


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
TRADES_PRODUCT = wiring.Product(
    TRADES.name,
    TRADES,
    f"{TRADES.doc}: how much of which name each sleeve traded, and what the market traded of it before.",
    [wiring.valid_rows(TRADES)],
)


@wiring.step(
    RETURNS.name,
    [RETURNS_PRODUCT, TRADES_PRODUCT],
    GROUP,
    SESSIONS,
    [
        *[AssetDep(name, partition_mapping=LATEST) for name in STRATEGIES],
        *[
            AssetDep(name, partition_mapping=TimeWindowPartitionMapping())
            for name in ("prices", "corporate_actions", "treasury_rates")
        ],
    ],
)
def strategy_returns(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    snapshot = workshop.lake.snapshot()
    frames = sleeves_of(list(STRATEGIES), wiring.keys(context), workshop)
    metadata = {"read from snapshot": snapshot, **_yearly(frames[0])}
    yield from wiring.publish(context, RETURNS_PRODUCT, frames[0], metadata)
    yield from wiring.publish(context, TRADES_PRODUCT, frames[1])


def sleeves_of(names: Sequence[str], days: Sequence[date], workshop: Workshop) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The body of that asset: rows of `strategy_returns` and of `sleeve_trades` for the days."""
    weights = workshop.lake.read(WEIGHTS, last=days[-1], columns=WEIGHTS_READ)
    weights = weights[weights["strategy"].isin(names)]
    return sleeve_rows(simulate_sleeves(workshop.lake, weights, days[-1], Terms.of(workshop.settings)), days)


def sleeve_rows(sleeves: Sleeves, days: Sequence[date]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the sleeves did on the days, as the tables have it."""
    wanted = pd.DatetimeIndex(days)
    returns, trades = (rows[rows["known_on"].isin(wanted)] for rows in sleeves)
    return RETURNS.conform(returns), TRADES.conform(trades)


def _yearly(frame: pd.DataFrame) -> Mapping[str, float]:
    """Mean daily return of each sleeve over the run; Dagster plots numbers."""
    return {f"mean net {name}": float(np.mean(own)) for name, own in frame.groupby("strategy")["net"]}
