"""The regime of the sleeves: whether they move together as in a crisis."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from dagster import AssetDep, AssetExecutionContext

from pas_dagster.assets import wiring
from pas_dagster.assets.limits import REGIMES
from pas_dagster.assets.resources import Workshop
from pas_dagster.assets.sleeves import RETURNS
from pas_dagster.assets.weeks import begun, daily_returns, whole_weeks
from pas_dagster.calendar import FIRST
from pas_dagster.lake import Lake
from pas_dagster.partitions import LAST_PERIOD, WEEKLY_DECISION
from pas_dagster.risk.regime import RegimePolicy, State, walk_forward
from pas_dagster.settings import Settings

GROUP = "allocation"


def regime_policy(chosen: Settings) -> RegimePolicy:
    return RegimePolicy(crisis_factor=chosen.crisis_exposure)


REGIME = wiring.Product("regimes", REGIMES, f"{REGIMES.doc}.", [wiring.valid_rows(REGIMES), wiring.complete(REGIMES)])


@wiring.step("regimes", [REGIME], GROUP, WEEKLY_DECISION, [AssetDep(RETURNS.name, partition_mapping=LAST_PERIOD)])
def regimes(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    frame = regime_rows(workshop.lake, wiring.keys(context), regime_policy(workshop.settings))
    last = frame.iloc[-1]
    yield from wiring.publish(context, REGIME, frame, {"regime": last["regime"], "factor": float(last["factor"])})


def regime_rows(lake: Lake, decisions: Sequence[date], rules: RegimePolicy) -> pd.DataFrame:
    """Rows of `regimes`: always judged from the first week on, so that a range and its days come out the same."""
    last = decisions[-1] - timedelta(decisions[-1].weekday() + 1)  # the Sunday before
    weekly = whole_weeks(daily_returns(lake, FIRST, last), begun(lake))
    states = walk_forward(weekly.to_numpy(float), rules) if len(weekly) else ()
    mondays = weekly.index.to_numpy()
    return REGIMES.conform(pd.DataFrame([_row(day, states, mondays) for day in decisions]))


def _row(decision: date, states: Sequence[State], mondays: np.ndarray) -> dict[str, Any]:
    """The state after the newest week that ended before the decision; weeks are named after their Mondays."""
    monday = np.datetime64(decision - timedelta(decision.weekday()), "us")
    at = int(np.searchsorted(mondays, monday)) - 1
    if at < 0:
        none = dict.fromkeys(("probability", "correlation", "volatility"))
        why = "no sleeve has a whole week yet"
        return {"decision": decision, **none, "regime": "unknown", "sleeves": 0, "factor": 1.0, "reason": why}
    return {"decision": decision, **{name: value for name, value in states[at]._asdict().items() if name != "label"}}


ASSETS = [regimes]
