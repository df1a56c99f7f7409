"""The risk of the target: what it is exposed to, what it may lose, and what it would have lost before."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from dagster import AssetDep, AssetExecutionContext

from pas_dagster.allocation.estimators import ledoit_wolf
from pas_dagster.analytics.factors import factor_fit
from pas_dagster.analytics.statistics import SESSIONS_PER_YEAR
from pas_dagster.assets import wiring
from pas_dagster.assets.days import by_day
from pas_dagster.assets.history import load_history
from pas_dagster.assets.limits import Sectors
from pas_dagster.assets.resources import Workshop
from pas_dagster.assets.weeks import daily_returns
from pas_dagster.lake import Lake
from pas_dagster.partitions import LAST_PERIOD, WEEKLY_MON
from pas_dagster.risk import stress
from pas_dagster.risk.contributions import to_volatility
from pas_dagster.risk.coverage import coverage
from pas_dagster.risk.exposure import exposure, factor_exposure, holders
from pas_dagster.risk.value_at_risk import ValueAtRisk, historical, monte_carlo, parametric
from pas_dagster.schemas import TABLES
from pas_dagster.strategies.contract import CASH
from pas_dagster.strategies.history import History, Window

GROUP = "risk"
EXPOSURES, NUMBERS, STRESS, ALERTS = (TABLES[name] for name in ("exposures", "risk_metrics", "stress", "alerts"))
PORTFOLIOS, ACCOUNTS = TABLES["portfolios"], TABLES["account_metrics_paper"]
READ = ("target_portfolio", "account_metrics", "strategy_returns", "prices", "universe", "fama_french_factors")
YEAR = SESSIONS_PER_YEAR
LEVELS = (0.95, 0.99)
MARKET_MOVES = (-0.10, -0.20)
SECTOR_MOVE = -0.20
BREAKER = "circuit_breaker"
WATCHED = "prices"  # whose age the breaker looks at


class _Book(NamedTuple):
    """The target of one session, and what is known of it.

    Attributes:
        session: whose target.
        positions: rows (sleeve, symbol, weight), cash left out.
        shares: sleeve -> share of the account.
        nav: USD at the close; None before the account is marked.
    """

    session: date
    positions: pd.DataFrame
    shares: dict[str, float]
    nav: float | None


REPORTS = {
    "exposures": wiring.Product("exposures", EXPOSURES, f"{EXPOSURES.doc}.", [wiring.valid_rows(EXPOSURES)]),
    "risk_metrics": wiring.Product("risk_metrics", NUMBERS, f"{NUMBERS.doc}.", [wiring.valid_rows(NUMBERS)]),
    "stress": wiring.Product("stress", STRESS, f"{STRESS.doc}.", [wiring.valid_rows(STRESS)]),
}


@wiring.step(
    "risk_report",
    list(REPORTS.values()),
    GROUP,
    WEEKLY_MON,
    [
        AssetDep(name, partition_mapping=LAST_PERIOD)
        for name in (
            "target_portfolio",
            "account_metrics",
            "strategy_returns",
            "prices",
            "universe",
            "fama_french_factors",
        )
    ],
)
def risk_report(context: AssetExecutionContext, workshop: Workshop) -> Iterator[Any]:
    """Each Monday: the target of the last session before it."""
    for name, frame in report_rows(workshop.lake, wiring.keys(context)).items():
        yield from wiring.publish(context, REPORTS[name], frame, _shown(frame) if name == NUMBERS.name else {})


def report_rows(lake: Lake, decisions: Sequence[date]) -> dict[str, pd.DataFrame]:
    """Rows of `exposures`, `risk_metrics` and `stress`; none for a decision before there is a target."""
    books = _books(lake, decisions)
    desk = _Desk(lake, decisions, books)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in REPORTS}
    for day, book in books.items():
        for name, found in desk.report(day, book).items():
            rows[name] += [{"decision": day, **row} for row in found]
    tables = {name: product.table for name, product in REPORTS.items()}
    return {
        name: table.conform(pd.DataFrame(rows[name])) if rows[name] else table.empty() for name, table in tables.items()
    }


def _shown(frame: pd.DataFrame) -> dict[str, float]:
    last = frame[frame["decision"] == frame["decision"].max()].dropna(subset="value")
    return {str(name): float(value) for name, value in zip(last["metric"], last["value"], strict=True)}


def _books(lake: Lake, decisions: Sequence[date]) -> dict[date, _Book]:
    """By decision the target of the last session before it; none where there is no target yet."""
    first = lake.last_partition(PORTFOLIOS, decisions[0]) or decisions[0]
    rows = lake.read(PORTFOLIOS, first=first, last=decisions[-1] - timedelta(1))
    equity = lake.read(ACCOUNTS, first=first, last=decisions[-1] - timedelta(1), columns=["decision", "equity"])
    navs = dict(zip(equity["decision"], equity["equity"], strict=True))
    by_session = by_day(rows, "decision")
    found: dict[date, _Book] = {}
    for day in decisions:
        earlier = [one for one in by_session if one < day]
        if not earlier:
            continue
        own = by_session[earlier[-1]]
        held = own[own["symbol"] != CASH]
        shares = own.groupby("sleeve")["sleeve_share"].first()
        positions = held[["sleeve", "symbol", "weight"]]
        found[day] = _Book(earlier[-1], positions, shares.to_dict(), navs.get(pd.Timestamp(earlier[-1])))
    return found


class _Desk:
    """Everything that the reports of a run look at, loaded once."""

    def __init__(self, lake: Lake, decisions: Sequence[date], books: Mapping[date, _Book]) -> None:
        symbols = sorted({symbol for book in books.values() for symbol in book.positions["symbol"]})
        self._reads = {"prices": Window(symbols=tuple(symbols)), "fama_french_factors": Window()}
        self._history: History | None = load_history(lake, self._reads, decisions) if symbols else None
        last = decisions[-1] - timedelta(1)
        self._sleeves = daily_returns(lake, decisions[0] - timedelta(2 * 366), last)
        self._sectors = Sectors(lake, last)
        account = lake.read(ACCOUNTS, last=last, columns=["decision", "equity"]).set_index("decision")["equity"]
        self._account = account.pct_change()
        metric = f"var_{LEVELS[0]:.0%}_historical".replace("%", "")
        stored = lake.read(NUMBERS, last=last, where="metric = ?", values=[metric])
        stored = stored[stored["decision"] < pd.Timestamp(decisions[0])]
        self._forecasts = dict(zip(stored["decision"], stored["value"], strict=True))

    def report(self, day: date, book: _Book) -> dict[str, list[dict[str, Any]]]:
        """Rows of the three tables for a decision."""
        weights = {str(s): float(w) for s, w in book.positions.groupby("symbol")["weight"].sum().items() if w}
        sectors = dict(self._sectors.before(day))
        known = self._sleeves[self._sleeves.index < pd.Timestamp(day)].iloc[-YEAR:]
        found = exposure(weights, sectors)
        betas = self._betas(day, weights)
        tails = self._tails(known, book)
        self._forecasts[pd.Timestamp(day)] = tails[0][1].value_at_risk
        numbers = self._numbers(day, found.gross, found.net, found.largest, found.gross_by_sector, tails, known, book)
        return {
            "exposures": self._exposures(found, book, betas, known, weights),
            "risk_metrics": numbers,
            "stress": self._stress(day, weights, sectors, betas, known, book),
        }

    def _exposures(
        self, found: Any, book: _Book, betas: pd.DataFrame, known: pd.DataFrame, weights: Mapping[str, float]
    ) -> list[dict[str, Any]]:
        count = holders(book.positions)
        totals = {"gross": found.gross, "net": found.net, "long": found.long, "short": found.short}
        risk = _risk_shares(known, book.shares)
        rows = [_row("total", name, value, book.nav) for name, value in {**totals, "cash": 1 - found.net}.items()]
        rows += [_row("sleeve", name, share, book.nav, risk=risk.get(name)) for name, share in book.shares.items()]
        rows += [
            _row("name", name, value, book.nav, sleeves=count.get(name, 0)) for name, value in found.by_name.items()
        ]
        rows += [_row("sector", name, value, book.nav) for name, value in found.by_sector.items()]
        factors = factor_exposure(weights, betas).by_factor if len(betas.columns) else {}
        return rows + [_row("factor", name, value, None) for name, value in factors.items()]

    def _tails(self, known: pd.DataFrame, book: _Book) -> list[tuple[str, ValueAtRisk]]:
        """Value at risk of one session, three ways at two levels: the sleeves at their shares."""
        names = [name for name, share in book.shares.items() if share and name in known]
        returns, weights = known[names].to_numpy(float), np.array([book.shares[name] for name in names])
        nav = book.nav or 0.0
        ways = {"historical": historical, "gaussian": parametric, "monte_carlo": monte_carlo}
        return [
            (f"{100 * level:.0f}_{name}", way(returns, weights, nav, level=level))
            for level in LEVELS
            for name, way in ways.items()
        ]

    def _numbers(
        self,
        day: date,
        gross: float,
        net: float,
        largest: float,
        sectors: Mapping[str, float],
        tails: Sequence[tuple[str, ValueAtRisk]],
        known: pd.DataFrame,
        book: _Book,
    ) -> list[dict[str, Any]]:
        rows = [
            _number("gross", gross, book.nav),
            _number("net", net, book.nav),
            _number("largest_name", largest, book.nav),
            _number("largest_sector", max(sectors.values(), default=0.0), book.nav),
            self._volatility(known, book),
        ]
        for name, found in tails:
            note = found.reason or f"{found.observations} sessions"
            shown = book.nav is not None
            pairs = {
                "var": (found.value_at_risk, found.value_at_risk_usd, found.error),
                "cvar": (found.conditional, found.conditional_usd, found.conditional_error),
            }
            for kind, (value, usd, error) in pairs.items():
                row = {"value": value, "usd": usd if shown else None, "error": error, "note": note}
                rows.append({"metric": f"{kind}_{name}", **row})
        return rows + self._coverage(day)

    def _volatility(self, known: pd.DataFrame, book: _Book) -> dict[str, Any]:
        cov, shares, why = _covariance(known, book.shares)
        value = None if cov is None else float(np.sqrt(shares @ cov @ shares * YEAR))
        return {"metric": "expected_volatility", "value": value, "usd": None, "error": None, "note": why}

    def _coverage(self, day: date) -> list[dict[str, Any]]:
        """Whether the account's losses of the last 250 sessions were as frequent as forecast."""
        own = self._account[self._account.index < pd.Timestamp(day)].iloc[-250:]
        forecasts = pd.Series(self._forecasts, dtype=float).sort_index()
        # A Monday's forecast is of its session and those that follow, until the next one.
        due = forecasts.reindex(own.index.union(forecasts.index)).ffill().reindex(own.index)
        found = coverage(own.to_numpy(float), due.to_numpy(float), level=LEVELS[0])
        told = f"{found.verdict}: {found.reason}"
        return [
            {"metric": "kupiec_p", "value": found.p_value, "usd": None, "error": None, "note": told},
            {"metric": "kupiec_exceptions", "value": float(found.exceptions), "usd": None, "error": None, "note": told},
        ]

    def _betas(self, day: date, weights: Mapping[str, float]) -> pd.DataFrame:
        """Symbols x factors over the last year of sessions for which both are known."""
        empty = pd.DataFrame(index=sorted(weights))
        if self._history is None or not weights:
            return empty
        data = self._history.as_of(day, self._reads)
        table = data.table("fama_french_factors")
        factors = table.drop_duplicates("event_date", keep="last").set_index("event_date").sort_index().iloc[-YEAR:]
        names = [name for name in FACTORS if len(factors) and factors[name].notna().all()]
        if not names:
            return empty
        returns = data.returns(2 * YEAR, sorted(weights)).reindex(factors.index)
        excess = returns.to_numpy(float) - factors["rf"].to_numpy(float)[:, None]
        fit = factor_fit(excess, factors[names].to_numpy(float), names, periods=YEAR)
        return pd.DataFrame(fit.betas, index=sorted(weights), columns=pd.Index(names))

    def _stress(
        self,
        day: date,
        weights: Mapping[str, float],
        sectors: Mapping[str, str],
        betas: pd.DataFrame,
        known: pd.DataFrame,
        book: _Book,
    ) -> list[dict[str, Any]]:
        if self._history is None or not weights:
            return []
        nav = book.nav or 0.0
        reached = self._history.as_of(day, self._reads).returns(100 * YEAR, sorted(weights))
        rows = []
        for one in stress.replays(weights, reached, nav):
            told = {"covered": one.covered, "note": one.reason or None}
            head = {"scenario": one.window.name, "kind": "replay", "value": one.result, "drawdown": one.drawdown}
            rows.append({**head, "usd": one.result_usd if book.nav is not None else None, **told})
        shocks = [stress.equity_shock(weights, move, nav) for move in MARKET_MOVES]
        if len(betas.columns):
            market = betas[MARKET].to_dict()
            shocks += [stress.market_shock(weights, market, move, nav) for move in MARKET_MOVES]
        named = sorted({sectors[s] for s in weights if sectors.get(s)})
        shocks += [stress.sector_shock(weights, sectors, {one: SECTOR_MOVE}, nav) for one in named]
        for shock in shocks:
            lacking = f"not known of {len(shock.missing)} symbols" if shock.missing else None
            told = {"covered": shock.covered, "note": lacking, "drawdown": None}
            usd = shock.result_usd if book.nav is not None else None
            rows.append({"scenario": shock.name, "kind": "shock", "value": shock.result, "usd": usd, **told})
        return rows + self._risk_shocks(known, book)

    def _risk_shocks(self, known: pd.DataFrame, book: _Book) -> list[dict[str, Any]]:
        cov, shares, _ = _covariance(known, book.shares)
        if cov is None:
            return []
        nav = book.nav or 0.0
        found = {
            "if volatilities double": stress.risk_shock(shares, cov, nav, volatility=2.0),
            "if all correlations are 1": stress.risk_shock(shares, cov, nav, correlation=1.0),
        }
        return [
            {
                "scenario": f"VaR {one.level:.0%} {when}",
                "kind": "shock",
                "value": one.tail_after,
                "usd": one.tail_after_usd if book.nav is not None else None,
                "drawdown": None,
                "covered": 1.0,
                "note": f"of one session; {one.tail_before:.2%} as things are",
            }
            for when, one in found.items()
        ]


FACTORS = ("mkt_rf", "smb", "hml", "rmw", "cma")
MARKET = FACTORS[0]


def _row(
    kind: str, name: str, value: float, nav: float | None, *, risk: float | None = None, sleeves: int = 0
) -> dict[str, Any]:
    usd = None if nav is None else value * nav
    return {"kind": kind, "name": name, "value": value, "usd": usd, "risk": risk, "sleeves": sleeves}


def _number(metric: str, value: float, nav: float | None) -> dict[str, Any]:
    usd = None if nav is None else value * nav
    return {"metric": metric, "value": value, "usd": usd, "error": None, "note": None}


def _covariance(known: pd.DataFrame, shares: Mapping[str, float]) -> tuple[np.ndarray | None, np.ndarray, str | None]:
    """Daily covariance of the sleeves that have a share, and their shares; None, with the reason, if not known."""
    names = [name for name, share in shares.items() if share]
    held = np.array([shares[name] for name in names])
    complete = known.reindex(columns=names).dropna()
    if not names:
        return None, held, "no sleeve has a share"
    if len(complete) < 20:
        return None, held, f"{len(complete)} sessions are known of all sleeves, 20 are needed"
    return ledoit_wolf(complete.to_numpy(float))[0], held, f"{len(complete)} sessions"


def _risk_shares(known: pd.DataFrame, shares: Mapping[str, float]) -> dict[str, float]:
    """Sleeve -> share of the portfolio's volatility that it brings; empty where it is not known."""
    cov, held, _ = _covariance(known, shares)
    if cov is None:
        return {}
    found = to_volatility(held, cov)
    names = [name for name, share in shares.items() if share]
    return dict(zip(names, found.share.tolist(), strict=True)) if found.status == "ok" else {}


ASSETS = [risk_report]
