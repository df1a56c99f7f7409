"""Allocation schemes side by side: what each would have earned, and which one the account follows."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from dagster import AssetDep, AssetExecutionContext

from pas_dagster import calendar
from pas_dagster.allocation.allocation import Allocation
from pas_dagster.allocation.mandate import Mandate
from pas_dagster.allocation.policy import Policy
from pas_dagster.allocation.schemes import SCHEMES
from pas_dagster.allocation.views import NamedView, named_views
from pas_dagster.analytics.costs import cash_returns
from pas_dagster.analytics.scoreboard import Choice, Record, Rule, champion, out_of_sample, scoreboard
from pas_dagster.assets import wiring
from pas_dagster.assets.resources import Workshop
from pas_dagster.assets.sleeves import RETURNS
from pas_dagster.assets.strategies import STRATEGIES
from pas_dagster.assets.weeks import daily_returns
from pas_dagster.errors import PasError
from pas_dagster.lake import Lake
from pas_dagster.partitions import LAST_PERIOD, MONTHLY
from pas_dagster.schemas import TABLES
from pas_dagster.settings import CHAMPION, Settings
from pas_dagster.strategies.contract import CASH

GROUP = "allocation"
WEIGHTS = TABLES["scheme_weights"]
OUTCOMES = TABLES["scheme_outcomes"]
BOARD = TABLES["allocation_scoreboard"]
RESAMPLES = 500  # of a bootstrap; a board a month over years has to stay quick
SEED = 1


def policy(chosen: Settings) -> Policy:
    """The limits of every scheme.

    Raises:
        PasError: limits that contradict each other.
    """
    try:
        return Policy(
            window_weeks=chosen.window_weeks,
            min_weight=chosen.min_weight,
            max_weight=chosen.max_weight,
            target_volatility=chosen.target_volatility,
            no_trade_band=chosen.no_trade_band,
            covariance=chosen.covariance,
            turnover_budget=chosen.turnover_budget,
        )
    except ValueError as error:
        raise PasError(f"{error}. Mend min_weight, max_weight or their kin in config.yaml.") from None


def mandate(chosen: Settings) -> Mandate:
    """What the settings say of the sleeves.

    Raises:
        PasError: groups, budgets, a mix or views without a meaning, or of a sleeve that does not exist.
    """
    _require_sleeves(chosen)
    views = _views(chosen)
    try:
        return Mandate(
            mix=chosen.strategic_mix,
            groups=chosen.sleeve_groups,
            budgets=chosen.group_budgets,
            tilt=chosen.tactical_tilt,
            equity=frozenset(STRATEGIES) - set(chosen.defensive_sleeves),
            birth_year=chosen.birth_year,
            uncertainty=chosen.uncertainty,
            risk_aversion=chosen.risk_aversion,
            views=views,
            crisis_cut=1 - chosen.crisis_exposure,
        )
    except ValueError as error:
        raise PasError(
            f"{error}. Mend strategic_mix, sleeve_groups, group_budgets or their kin in config.yaml."
        ) from None


def _views(chosen: Settings) -> tuple[NamedView, ...]:
    """The views of the settings, all of sleeves that there are."""
    try:
        found = named_views(chosen.views)
    except ValueError as error:
        raise PasError(f"{error}. Mend views in config.yaml.") from None
    for place, view in enumerate(found, start=1):
        _require_known(f"view {place} of views", view.names)
    return found


def _require_sleeves(chosen: Settings) -> None:
    """A misspelt sleeve must not pass for one that has a share."""
    for name in ("strategic_mix", "sleeve_groups", "defensive_sleeves"):
        _require_known(name, getattr(chosen, name))


def _require_known(where: str, names: Iterable[str]) -> None:
    """The names must be those of sleeves."""
    unknown = sorted(set(names) - set(STRATEGIES))
    if unknown:
        near = difflib.get_close_matches(unknown[0], list(STRATEGIES), 1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise PasError(f"{where} in config.yaml names {unknown[0]!r}, and there is no such sleeve{hint}")


def default_scheme(chosen: Settings) -> str:
    """The scheme that is followed, or from which the first champion is judged.

    Raises:
        PasError: there is no such scheme.
    """
    name = chosen.default_scheme if chosen.scheme == CHAMPION else chosen.scheme
    if name not in SCHEMES:
        raise PasError(f"There is no allocation scheme {name!r}. There are: {', '.join(SCHEMES)}, {CHAMPION}.")
    return name


def rule(chosen: Settings) -> Rule:
    """When a champion is replaced.

    Raises:
        PasError: there is no such scheme, or weeks that contradict each other.
    """
    default = default_scheme(chosen)
    try:
        return Rule(
            default=default,
            window_weeks=chosen.champion_weeks,
            least_weeks=chosen.champion_least_weeks,
            margin=chosen.champion_margin,
            rest_weeks=chosen.champion_rest_weeks,
        )
    except ValueError as error:
        raise PasError(f"{error}. Mend champion_weeks and champion_least_weeks in config.yaml.") from None


def weight_rows(decision: date, answers: Mapping[str, Allocation]) -> list[dict[str, Any]]:
    """What every scheme gives each sleeve and cash."""
    return [
        {"decision": decision, "scheme": scheme, "sleeve": sleeve, "weight": weight}
        for scheme, answer in answers.items()
        for sleeve, weight in {**answer.weights, CASH: answer.cash}.items()
    ]


def outcome_rows(decision: date, answers: Mapping[str, Allocation], followed: str) -> list[dict[str, Any]]:
    """How every scheme came to it."""
    return [
        {
            "decision": decision,
            "scheme": scheme,
            "chosen": scheme == followed,
            "status": answer.status,
            "reason": answer.reason or None,
            "expected_return": answer.expected_return,
            "volatility": answer.volatility,
            "sharpe": answer.sharpe,
            "cash": answer.cash,
            "residual": answer.residual,
            "active": json.dumps(
                [{"constraint": one.name, "multiplier": one.multiplier} for one in answer.active], sort_keys=True
            ),
        }
        for scheme, answer in answers.items()
    ]


def own_weights(weights: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Rows of `scheme_weights` with NaN where a scheme, as `scheme_outcomes` says, only held what it had."""
    held = outcomes.loc[outcomes["status"] == "held", ["decision", "scheme"]].assign(only_held=True)
    only = weights[["decision", "scheme"]].merge(held, "left", on=["decision", "scheme"])["only_held"].notna()
    return weights.assign(weight=weights["weight"].mask(only.to_numpy()))


def stored_weights(lake: Lake, before: date) -> pd.DataFrame:
    """The schemes' own weights at every decision before a day."""
    last, columns = before - timedelta(1), ["decision", "scheme", "status"]
    return own_weights(lake.read(WEIGHTS, last=last), lake.read(OUTCOMES, last=last, columns=columns))


def record_of(weights: pd.DataFrame, daily: pd.DataFrame, cash: pd.Series, cost: float) -> Record:
    """What the schemes earned from each decision's session to the next one's.

    Weights are traded at the close of their decision's session, so a week's returns begin with the session after it.

    Args:
        weights: rows of `scheme_weights`, all decisions in a row; NaN where a scheme held what it had.
        daily: net returns of the sleeves, sessions x sleeves. A week that has not ended has NaN.
        cash: returns of cash by session.
        cost: of each traded dollar.
    """
    decisions = [day.date() for day in sorted(weights["decision"].unique())]
    begins = [calendar.roll_forward(day) for day in decisions]
    following = calendar.roll_forward(decisions[-1] - timedelta(decisions[-1].weekday()) + timedelta(7))
    ends = [*begins[1:], following]
    sleeves = [name for name in sorted(weights["sleeve"].unique()) if name != CASH]
    cube = weights[weights["sleeve"] != CASH].pivot(index="decision", columns=["scheme", "sleeve"], values="weight")
    full = cube.reindex(columns=pd.MultiIndex.from_product([list(SCHEMES), sleeves])).sort_index()
    shaped = full.to_numpy().reshape(len(decisions), len(SCHEMES), len(sleeves))
    shaped = np.where(np.isnan(shaped).all(axis=2, keepdims=True), np.nan, np.nan_to_num(shaped))
    days = daily.index.to_numpy().astype("datetime64[D]")
    grown = _between(days, daily.reindex(columns=sleeves).to_numpy(), begins, ends)
    idle = _between(days, cash.reindex(daily.index).to_numpy()[:, None], begins, ends)[:, 0]
    nominal = np.array(decisions, "datetime64[D]")
    return out_of_sample(list(SCHEMES), nominal, np.array(ends, "datetime64[D]"), shaped, grown, idle, cost=cost)


def _between(days: np.ndarray, returns: np.ndarray, begins: Sequence[date], ends: Sequence[date]) -> np.ndarray:
    """(W, N) returns compounded over the sessions after each beginning through its end; NaN unless all are there."""
    found = np.full((len(begins), returns.shape[1]), np.nan)
    for week, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        low, high = np.searchsorted(days, np.array([begin, end], "datetime64[D]"), side="right")
        if high - low == len(calendar.session_array(begin + timedelta(1), end)):
            found[week] = np.prod(1.0 + returns[low:high], axis=0) - 1.0
    return found


def cash_of(lake: Lake, daily: pd.DataFrame, last: date, chosen: Settings) -> pd.Series:
    """What cash earns in each session: nothing, unless the settings say otherwise."""
    if not chosen.cash_interest or not len(daily):
        return pd.Series(0.0, index=daily.index)
    return cash_returns(lake.read(TABLES["treasury_rates"], last=last), pd.DatetimeIndex(daily.index))


def choices(lake: Lake, weights: pd.DataFrame, chosen: Settings) -> dict[date, Choice]:
    """The champion of every decision, each judged by weeks that ended before it; `weights` as for `record_of`."""
    last = weights["decision"].max().date()
    daily = daily_returns(lake, weights["decision"].min().date(), last - timedelta(1))
    record = record_of(weights, daily, cash_of(lake, daily, last, chosen), chosen.cost_bp / 1e4)
    return {one.begins.astype(object): one for one in champion(record, rule(chosen))}


BOARD_PRODUCT = wiring.Product(
    BOARD.name,
    BOARD,
    f"{BOARD.doc}.",
    [wiring.valid_rows(BOARD)],
)


@wiring.step(
    BOARD.name,
    [BOARD_PRODUCT],
    GROUP,
    MONTHLY,
    [AssetDep(name, partition_mapping=LAST_PERIOD) for name in (WEIGHTS.name, RETURNS.name)],
)
def allocation_scoreboard(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    rows = [_board(workshop, day) for day in wiring.keys(context)]
    frame = BOARD.conform(pd.concat([BOARD.empty(), *(one for one in rows if len(one))], ignore_index=True))
    last = frame[frame["decision"] == frame["decision"].max()]
    numbers = {f"Sharpe {name}": float(v) for name, v in zip(last["scheme"], last["sharpe"], strict=True) if v == v}
    yield from wiring.publish(context, BOARD_PRODUCT, frame, numbers)


def _board(workshop: Workshop, day: date) -> pd.DataFrame:
    """The board of one day: the weeks that ended before it; no row before there is a week."""
    lake, chosen = workshop.lake, workshop.settings
    weights = stored_weights(lake, day)
    if weights.empty:
        return BOARD.empty()
    daily = daily_returns(lake, weights["decision"].min().date(), day - timedelta(1))
    record = record_of(weights, daily, cash_of(lake, daily, day, chosen), chosen.cost_bp / 1e4)
    scores = scoreboard(record, default=default_scheme(chosen), seed=SEED, resamples=RESAMPLES)
    newest = champion(record, rule(chosen))[-1]
    told = pd.DataFrame(scores).assign(decision=day)
    told["champion"] = told["scheme"] == newest.scheme
    return told.assign(reason=[newest.reason if is_it else None for is_it in told["champion"]])


ASSETS = [allocation_scoreboard]
