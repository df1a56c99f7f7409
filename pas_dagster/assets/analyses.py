"""Analyses: factor betas of the account and its sleeves, where a return came from, and figures of every security.

Each of them is computed for a decision from what was known strictly before it, and comes out the same to the last bit
whatever range it is computed in: a range run loads more, and every decision cuts its own part out of it.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from dagster import AssetDep, AssetExecutionContext

from pas_dagster import calendar
from pas_dagster.analytics.factors import expected_returns, factor_fit, factor_premia
from pas_dagster.analytics.statistics import SESSIONS_PER_YEAR, FloatArray
from pas_dagster.analytics.universe import COLUMNS, STALE, VOLUME_SESSIONS
from pas_dagster.analytics.universe import universe_metrics as metrics_at
from pas_dagster.assets import equity, wiring
from pas_dagster.assets.attribution import ATTRIBUTION, EFFECTS, SHARES, TOTAL, attribution_rows
from pas_dagster.assets.history import load_history
from pas_dagster.assets.reports import ACCOUNT, portfolio_returns
from pas_dagster.assets.resources import Workshop
from pas_dagster.assets.sleeves import RETURNS
from pas_dagster.lake import Lake
from pas_dagster.partitions import LAST_PERIOD, MONTHLY, WEEKLY_MON
from pas_dagster.schemas import TABLES
from pas_dagster.strategies.history import AsOf, Window

GROUP = "analytics"
BETAS = TABLES["factor_betas"]
METRICS = TABLES["universe_metrics"]
LIBRARY = TABLES["fama_french_factors"]
INDEX = TABLES["sp500_index"]

FACTORS = ("mkt_rf", "smb", "hml", "rmw", "cma")
ALPHA, EXPECTED = "alpha", "expected"
WINDOW = 252  # sessions of a regression
LEAST = 63  # sessions below which there is none
PREMIA = 2520  # sessions of the premia, ten years

ROWS = (ALPHA, *FACTORS, EXPECTED)
ADDED = ["contribution", "benchmark_contribution", *EFFECTS]


def _before(names: Sequence[str]) -> list[AssetDep]:
    """Upstream assets whose period before the decision is needed; what is older is read as-of from the lake."""
    return [AssetDep(name, partition_mapping=LAST_PERIOD) for name in names]


# ------------------------------------------------------------------------------------------------------ factor betas

BETAS_PRODUCT = wiring.Product(
    BETAS.name,
    BETAS,
    f"{BETAS.doc}, with Newey-West errors. Factors come two months late: the window ends where they end. `expected` is "
    "betas x mean factors of the ten years known last + the risk-free return of the window.",
    [wiring.valid_rows(BETAS), wiring.complete(BETAS)],
)


@wiring.step(
    BETAS.name, [BETAS_PRODUCT], GROUP, WEEKLY_MON, _before([RETURNS.name, equity.name(), "fama_french_factors"])
)
def factor_betas(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    rows = beta_rows(workshop.lake, wiring.keys(context))
    last = rows[(rows["decision"] == rows["decision"].max()) & (rows["portfolio"] == ACCOUNT)].dropna(subset=["value"])
    numbers = {f"account {name}": float(value) for name, value in zip(last["factor"], last["value"], strict=True)}
    yield from wiring.publish(context, BETAS_PRODUCT, rows, numbers)


def beta_rows(lake: Lake, decisions: Sequence[date]) -> pd.DataFrame:
    """Rows of `factor_betas` for the decisions, ascending."""
    last = decisions[-1] - timedelta(1)
    returns = portfolio_returns(lake, last).replace([np.inf, -np.inf], np.nan)
    begun = returns.apply(pd.Series.first_valid_index)
    library = lake.read(LIBRARY, last=last, columns=["known_on", "event_date", *FACTORS, "rf"])
    rows: list[pd.DataFrame] = []
    found: dict[tuple[Any, ...], pd.DataFrame] = {}  # factors come by the month: four decisions see the same
    for day in decisions:
        names = [name for name in returns if name == ACCOUNT or begun[name] < pd.Timestamp(day)]
        known = _known(library, day).set_index("event_date")
        key = (*known.index[-1:], int((library["known_on"] < pd.Timestamp(day)).sum()), *names)
        if key not in found:
            found[key] = _betas(returns[names], known)
        rows.append(found[key].assign(decision=day))
    return BETAS.conform(pd.concat(rows, ignore_index=True))


def _known(rows: pd.DataFrame, day: date) -> pd.DataFrame:
    """The facts of before a day known before it, one an event day: what was said of it last."""
    known = rows[rows[["known_on", "event_date"]].max(axis=1) < pd.Timestamp(day)]
    return known.drop_duplicates("event_date", keep="last").sort_values("event_date", kind="stable")


def _betas(books: pd.DataFrame, library: pd.DataFrame) -> pd.DataFrame:
    """Rows of one decision: every book (sessions x books) on the factors of the last sessions that have some."""
    window = library.tail(WINDOW)
    used = [name for name in FACTORS if len(window) and window[name].notna().all()]
    table = np.full((5, books.shape[1], len(ROWS)), np.nan)  # value, error, t, p, r2
    notes = np.full(table.shape[1:], "", object)
    notes[:] = ["" if name in (ALPHA, *used, EXPECTED) else "it is not known on every session" for name in ROWS]
    counts = np.zeros(notes.shape, np.int64)
    if used:
        reasons = _fit(books, library, used, table, counts)
        stopped = np.array(reasons, object)[:, None]
        notes = np.where(stopped == "", notes, stopped)
    else:
        notes[:] = "no factor is known yet"
    table[:, notes != ""] = np.nan
    labels = pd.MultiIndex.from_product([books.columns, ROWS], names=["portfolio", "factor"]).to_frame(index=False)
    columns = dict(zip(("value", "error", "t", "p", "r2"), table.reshape(5, -1), strict=True))
    told = [note or None for note in notes.ravel()]
    return labels.assign(**columns, observations=counts.ravel(), note=pd.Series(told, dtype=object))


def _fit(
    books: pd.DataFrame, library: pd.DataFrame, used: list[str], table: FloatArray, counts: np.ndarray
) -> list[str]:
    """Fill in the numbers, and say of each book why it has none."""
    window, columns = library.tail(WINDOW), [ROWS.index(name) for name in (ALPHA, *used)]
    free = window["rf"].to_numpy(dtype=np.float64)
    excess = books.reindex(window.index).to_numpy(dtype=np.float64) - free[:, None]
    fit = factor_fit(excess, window[used].to_numpy(dtype=np.float64), used, periods=SESSIONS_PER_YEAR)
    scale = np.array([SESSIONS_PER_YEAR, *np.ones(len(used))])
    for at, found in enumerate((fit.coefficients * scale, fit.errors * scale, fit.t, fit.p, fit.r2[:, None])):
        table[at][:, columns] = found
    counts[:] = fit.observations[:, None]
    premia = factor_premia(library[used].tail(PREMIA).to_numpy(dtype=np.float64), used, periods=SESSIONS_PER_YEAR)
    if premia is not None:
        earned = float(free.mean()) * SESSIONS_PER_YEAR
        table[0][:, -1], counts[:, -1] = expected_returns(fit.betas, premia, earned), premia.observations
    few = f"fewer than {LEAST} sessions have a return and factors"
    return [few if n < LEAST else why for n, why in zip(fit.observations, fit.reasons, strict=True)]


# -------------------------------------------------------------------------------------------------- universe metrics

UNIVERSE_READS = {"prices": Window(days=5 * 366 + 2 * STALE), "universe": Window()}

METRICS_PRODUCT = wiring.Product(
    METRICS.name,
    METRICS,
    f"{METRICS.doc}, of closes with dividends. The benchmark of the betas is the S&P 500 price index.",
    [wiring.valid_rows(METRICS), wiring.warning("something_is_listed", "Some security is listed at every decision")],
)


@wiring.step(
    METRICS.name,
    [METRICS_PRODUCT],
    GROUP,
    WEEKLY_MON,
    _before(["prices", "universe", "corporate_actions", "sp500_index"]),
)
def universe_metrics(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    days = wiring.keys(context)
    rows = metric_rows(workshop.lake, days)
    empty = sorted({*days} - {day.date() for day in rows["decision"].unique()})
    found = f"no security is listed at {len(empty)} of {len(days)} decisions; first: {empty[0]}" if empty else None
    last = rows[rows["decision"] == pd.Timestamp(days[-1])]
    numbers = {"securities": len(last), "with a return of a year": int(last["return_1y"].notna().sum())}
    yield from wiring.publish(context, METRICS_PRODUCT, rows, numbers, {"something_is_listed": found})


def metric_rows(lake: Lake, decisions: Sequence[date]) -> pd.DataFrame:
    """Rows of `universe_metrics` for the decisions, ascending."""
    history = load_history(lake, UNIVERSE_READS, decisions)
    index = lake.read(INDEX, last=decisions[-1] - timedelta(1), columns=["known_on", "event_date", "close"])
    frames = [_metrics(history.as_of(day, UNIVERSE_READS), index) for day in decisions]
    return METRICS.conform(pd.concat([METRICS.empty(), *(one for one in frames if len(one))], ignore_index=True))


def _metrics(data: AsOf, index: pd.DataFrame) -> pd.DataFrame:
    """Rows of one decision, of the day before it."""
    at, symbols = data.decision - timedelta(1), data.universe.index.tolist()
    sessions = calendar.session_array(_years_back(at, 5), at)
    raw, returns = data.closes(len(sessions), symbols), data.returns(len(sessions), symbols)
    days = raw.index.to_numpy().astype("datetime64[D]")
    begin = int(np.searchsorted(days, sessions[:1])[0])  # sessions not known yet at the end have let older ones in
    days, raw, returns = days[begin:], raw.to_numpy()[begin:], returns.to_numpy()[begin:]
    kept = _needed(days, at)
    market = _known(index, data.decision).set_index("event_date")["close"]
    volumes = data.dollar_volumes(VOLUME_SESSIONS, symbols)
    found = metrics_at(
        days[kept],
        with_dividends(raw, returns)[kept],
        market.reindex(pd.DatetimeIndex(days[kept].astype("datetime64[us]"))).to_numpy(dtype=np.float64),
        volumes.reindex(pd.DatetimeIndex(days[kept].astype("datetime64[us]"))).to_numpy(dtype=np.float64),
        at,
    )
    closes = pd.DataFrame(raw[days >= np.datetime64(at) - STALE]).ffill().tail(1).to_numpy()
    named = {"decision": data.decision, "symbol": symbols, "close": closes[0] if len(closes) else np.nan}
    return pd.DataFrame({**named, **{name: getattr(found, name) for name in COLUMNS}}, columns=METRICS.names)


def _years_back(at: date, years: int) -> date:
    """The first day that a return over so many years may begin with."""
    leap = (at.month, at.day) == (2, 29)
    return date(at.year - years, at.month, 28 if leap else at.day) - timedelta(STALE)


def _needed(days: np.ndarray, at: date) -> np.ndarray:
    """(T,) the sessions that metrics are made of: the last year, and those before the ends of the longer returns.

    The rest is four fifths of the panel and of the time.
    """
    kept = days >= np.datetime64(_years_back(at, 1))
    for years in (3, 5):
        first = np.datetime64(_years_back(at, years))
        kept |= (days >= first) & (days <= first + STALE)
    return kept


def with_dividends(closes: FloatArray, returns: FloatArray) -> FloatArray:
    """Closes on a total-return basis, of any scale: (T, N), NaN where there is no bar.

    A return is that since the last bar. A bar without one, as a security's first, begins anew: what came before cannot
    be compared with it and is NaN.

    >>> with_dividends(np.array([[10.0], [np.nan], [6.0]]), np.array([[np.nan], [np.nan], [0.2]])).tolist()
    [[1.0], [nan], [1.2]]
    """
    priced, at = ~np.isnan(closes), np.arange(len(closes))[:, None]
    grown = priced & (returns > -1.0)
    level = np.cumprod(np.where(grown, 1.0 + returns, 1.0), axis=0)
    begins = np.maximum.reduce(np.where(priced & ~grown, at, 0), axis=0, initial=0)
    usable = priced & (at >= begins) & (level > 0.0) & (level < np.inf)
    return np.where(usable, level, np.nan)


# ------------------------------------------------------------------------------------------------------- attribution


def _sums(rows: pd.DataFrame, _: Sequence[date]) -> str | None:
    """Contributions and effects of the rows against those of the total."""
    known = rows[rows["note"].isna()]
    parts = known[known["name"] != TOTAL].groupby(["decision", "kind"])[ADDED].sum()
    totals = known[known["name"] == TOTAL].set_index(["decision", "kind"])[ADDED]
    off = (parts.reindex(totals.index, fill_value=0.0) - totals).abs().max(axis=1)
    active = totals["contribution"] - totals["benchmark_contribution"] - totals[list(EFFECTS)].sum(axis=1)
    worst = np.fmax(off, active.abs())
    return None if worst.empty or worst.max() <= 1e-9 else f"the rows of {worst.idxmax()} are off by {worst.max():.3g}"


ATTRIBUTION_PRODUCT = wiring.Product(
    ATTRIBUTION.name,
    ATTRIBUTION,
    f"{ATTRIBUTION.doc}. Of the targets, not of fills: docs/analytics.md says what that leaves out.",
    [
        wiring.valid_rows(ATTRIBUTION),
        wiring.complete(ATTRIBUTION),
        wiring.Check("rows_sum_to_the_total", "Contributions and effects sum to those of the whole", _sums),
    ],
)


@wiring.step(
    ATTRIBUTION.name,
    [ATTRIBUTION_PRODUCT],
    GROUP,
    MONTHLY,
    _before([SHARES.name, RETURNS.name, "target_portfolio", "prices", "universe", "corporate_actions"]),
)
def attribution(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    rows = attribution_rows(workshop.lake, wiring.keys(context), workshop.settings)
    last = rows[(rows["decision"] == rows["decision"].max()) & (rows["kind"] == "sleeve")].dropna(
        subset=["contribution"]
    )
    numbers = {f"contribution {name}": float(v) for name, v in zip(last["name"], last["contribution"], strict=True)}
    yield from wiring.publish(context, ATTRIBUTION_PRODUCT, rows, numbers)


ASSETS = [factor_betas, universe_metrics, attribution]
