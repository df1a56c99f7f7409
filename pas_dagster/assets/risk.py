"""The risk of the target: what it is exposed to, what it may lose, and what it would have lost before."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from dagster import AssetDep, AssetExecutionContext

from pas_dagster.allocation.estimators import ledoit_wolf
from pas_dagster.analytics.factors import factor_fit
from pas_dagster.analytics.statistics import SESSIONS_PER_YEAR
from pas_dagster.assets import equity, wiring
from pas_dagster.assets.days import by_day
from pas_dagster.assets.history import load_history
from pas_dagster.assets.limits import FUNDS, Sectors
from pas_dagster.assets.resources import Workshop
from pas_dagster.assets.weeks import daily_returns
from pas_dagster.lake import Lake
from pas_dagster.partitions import LAST_PERIOD, WEEKLY_MON
from pas_dagster.risk import stress
from pas_dagster.risk.contributions import to_volatility
from pas_dagster.risk.coverage import coverage
from pas_dagster.risk.exposure import Exposure, exposure, factor_exposure, holders
from pas_dagster.risk.value_at_risk import ValueAtRisk, historical, monte_carlo, parametric
from pas_dagster.schemas import TABLES
from pas_dagster.strategies.contract import CASH
from pas_dagster.strategies.history import History, Window
from pas_dagster.strategies.securities import current_name

GROUP = "risk"
EXPOSURES, NUMBERS, STRESS = (TABLES[name] for name in ("exposures", "risk_metrics", "stress"))
PORTFOLIOS = TABLES["portfolios"]
READ = ("target_portfolio", equity.name(), "strategy_returns", "prices", "universe", "fama_french_factors")
YEAR = SESSIONS_PER_YEAR
LEVELS = (0.95, 0.99)
LEAST_SESSIONS = 20  # of a covariance
MARKET_MOVES = (-0.10, -0.20)
SECTOR_MOVE = -0.20
FACTORS = ("mkt_rf", "smb", "hml", "rmw", "cma")
MARKET = FACTORS[0]


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


class _Spread(NamedTuple):
    """How the sleeves that have a share move.

    Attributes:
        names, shares: of these sleeves.
        cov: daily covariance; None where it is not known.
        note: what it is of, or why it is not known.
    """

    names: list[str]
    shares: np.ndarray
    cov: np.ndarray | None
    note: str

    @property
    def volatility(self) -> float | None:
        """Of all of them together, a year."""
        return None if self.cov is None else float(np.sqrt(self.shares @ self.cov @ self.shares * YEAR))


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
    [AssetDep(name, partition_mapping=LAST_PERIOD) for name in READ],
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
    marks = equity.read(lake, first=first, last=decisions[-1] - timedelta(1), columns=["decision", "equity"])
    navs = dict(zip(marks["decision"], marks["equity"], strict=True))
    by_session = by_day(rows, "decision")
    sessions = list(by_session)
    found: dict[date, _Book] = {}
    for day in decisions:
        at = bisect_left(sessions, day) - 1
        if at < 0:
            continue
        own = by_session[sessions[at]]
        held = own[own["symbol"] != CASH]
        shares = own.groupby("sleeve")["sleeve_share"].first()
        positions = held[["sleeve", "symbol", "weight"]]
        found[day] = _Book(sessions[at], positions, shares.to_dict(), navs.get(pd.Timestamp(sessions[at])))
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
        marks = equity.read(lake, last=last, columns=["decision", "equity", "net_flow"]).set_index("decision")
        self._account = equity.without_flows(marks["equity"], marks["net_flow"]).pct_change()
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
        betas = self._betas(day, book, weights)
        spread = _covariance(known, book.shares)
        tails = self._tails(known, book)
        self._forecasts[pd.Timestamp(day)] = tails[0][1].value_at_risk
        return {
            "exposures": self._exposures(found, book, betas, spread, weights),
            "risk_metrics": [*self._numbers(found, tails, spread, book), *self._coverage(day)],
            "stress": self._stress(day, weights, sectors, betas, spread, book),
        }

    def _exposures(
        self, found: Exposure, book: _Book, betas: pd.DataFrame, spread: _Spread, weights: Mapping[str, float]
    ) -> list[dict[str, Any]]:
        count = holders(book.positions)
        totals = {"gross": found.gross, "net": found.net, "long": found.long, "short": found.short}
        risk = _risk_shares(spread)
        rows = [_row("total", name, value, book.nav) for name, value in {**totals, "cash": 1 - found.net}.items()]
        rows += [_row("sleeve", name, share, book.nav, risk=risk.get(name)) for name, share in book.shares.items()]
        rows += [
            _row("name", name, value, book.nav, sleeves=count.get(name, 0)) for name, value in found.by_name.items()
        ]
        rows += [_row("sector", name, value, book.nav) for name, value in found.by_sector.items()]
        factors = factor_exposure(weights, betas)
        known = factors.by_factor if factors.covered else {}  # a sum over no name is no beta of 0
        return rows + [_row("factor", name, value, None) for name, value in known.items()]

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
        self, found: Exposure, tails: Sequence[tuple[str, ValueAtRisk]], spread: _Spread, book: _Book
    ) -> list[dict[str, Any]]:
        sectors = [size for name, size in found.gross_by_sector.items() if name != FUNDS]
        rows = [
            _number("gross", found.gross, book.nav),
            _number("net", found.net, book.nav),
            _number("largest_name", found.largest, book.nav),
            _number("largest_sector", max(sectors, default=0.0), book.nav),
            {**_number("expected_volatility", spread.volatility, None), "note": spread.note},
        ]
        for name, tail in tails:
            note = tail.reason or f"{tail.observations} sessions"
            shown = book.nav is not None
            pairs = {
                "var": (tail.value_at_risk, tail.value_at_risk_usd, tail.error),
                "cvar": (tail.conditional, tail.conditional_usd, tail.conditional_error),
            }
            for kind, (value, usd, error) in pairs.items():
                row = {"value": value, "usd": usd if shown else None, "error": error, "note": note}
                rows.append({"metric": f"{kind}_{name}", **row})
        return rows

    def _coverage(self, day: date) -> list[dict[str, Any]]:
        """Whether the account's losses of the last 250 sessions were as frequent as forecast."""
        own = self._account[self._account.index < pd.Timestamp(day)].iloc[-250:]
        # A Monday's forecast is of its session and those that follow, until the next one. None was none.
        forecasts = pd.Series(self._forecasts, dtype=float).sort_index()
        at = forecasts.index.searchsorted(own.index, side="right") - 1
        due = np.where(at >= 0, forecasts.to_numpy()[at], np.nan)
        found = coverage(own.to_numpy(float), due, level=LEVELS[0])
        told = f"{found.verdict}: {found.reason}"
        return [
            {"metric": "kupiec_p", "value": found.p_value, "usd": None, "error": None, "note": told},
            {"metric": "kupiec_exceptions", "value": float(found.exceptions), "usd": None, "error": None, "note": told},
        ]

    def _returns(self, day: date, book: _Book, sessions: int, symbols: Sequence[str]) -> pd.DataFrame:
        """Daily returns known before a day of what the book holds: sessions x its symbols, which may have changed."""
        assert self._history is not None
        moves = self._history.securities.renames.moves_at(day)
        called = [current_name(symbol, np.datetime64(book.session), moves) for symbol in symbols]
        return self._history.as_of(day, self._reads).returns(sessions, called).set_axis(list(symbols), axis=1)

    def _betas(self, day: date, book: _Book, weights: Mapping[str, float]) -> pd.DataFrame:
        """Symbols x factors over the last year of sessions for which both are known."""
        empty = pd.DataFrame(index=sorted(weights))
        if self._history is None or not weights:
            return empty
        table = self._history.as_of(day, self._reads).table("fama_french_factors")
        factors = table.drop_duplicates("event_date", keep="last").set_index("event_date").sort_index().iloc[-YEAR:]
        names = [name for name in FACTORS if len(factors) and factors[name].notna().all()]
        if not names:
            return empty
        returns = self._returns(day, book, 2 * YEAR, sorted(weights)).reindex(factors.index)
        excess = returns.to_numpy(float) - factors["rf"].to_numpy(float)[:, None]
        fit = factor_fit(excess, factors[names].to_numpy(float), names, periods=YEAR)
        return pd.DataFrame(fit.betas, index=sorted(weights), columns=pd.Index(names))

    def _stress(
        self,
        day: date,
        weights: Mapping[str, float],
        sectors: Mapping[str, str],
        betas: pd.DataFrame,
        spread: _Spread,
        book: _Book,
    ) -> list[dict[str, Any]]:
        if self._history is None or not weights:
            return []
        nav = book.nav or 0.0
        reached = _own_reach(self._returns(day, book, 100 * YEAR, sorted(weights)))
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
            value = shock.result if shock.covered else None
            usd = shock.result_usd if shock.covered and book.nav is not None else None
            rows.append({"scenario": shock.name, "kind": "shock", "value": value, "usd": usd, **told})
        return rows + self._risk_shocks(spread, book)

    def _risk_shocks(self, spread: _Spread, book: _Book) -> list[dict[str, Any]]:
        if spread.cov is None:
            return []
        nav = book.nav or 0.0
        found = {
            "if volatilities double": stress.risk_shock(spread.shares, spread.cov, nav, volatility=2.0),
            "if all correlations are 1": stress.risk_shock(spread.shares, spread.cov, nav, correlation=1.0),
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


def _row(
    kind: str, name: str, value: float, nav: float | None, *, risk: float | None = None, sleeves: int = 0
) -> dict[str, Any]:
    usd = None if nav is None else value * nav
    return {"kind": kind, "name": name, "value": value, "usd": usd, "risk": risk, "sleeves": sleeves}


def _number(metric: str, value: float | None, nav: float | None) -> dict[str, Any]:
    usd = None if nav is None or value is None else value * nav
    return {"metric": metric, "value": value, "usd": usd, "error": None, "note": None}


def _own_reach(returns: pd.DataFrame) -> pd.DataFrame:
    """From the session before the first return of these symbols to the last; which others were loaded is no matter."""
    there = np.flatnonzero(returns.notna().any(axis=1))
    return returns.iloc[max(0, there[0] - 1) : there[-1] + 1] if len(there) else returns.iloc[:0]


def _covariance(known: pd.DataFrame, shares: Mapping[str, float]) -> _Spread:
    """From the sessions of which all sleeves that have a share are known."""
    names = [name for name, share in shares.items() if share]
    held = np.array([shares[name] for name in names])
    complete = known.reindex(columns=names).dropna()
    if not names:
        return _Spread(names, held, None, "no sleeve has a share")
    if len(complete) < LEAST_SESSIONS:
        why = f"{len(complete)} sessions are known of all sleeves, {LEAST_SESSIONS} are needed"
        return _Spread(names, held, None, why)
    return _Spread(names, held, ledoit_wolf(complete.to_numpy(float))[0], f"{len(complete)} sessions")


def _risk_shares(spread: _Spread) -> dict[str, float]:
    """Sleeve -> share of the portfolio's volatility that it brings; empty where it is not known."""
    if spread.cov is None:
        return {}
    found = to_volatility(spread.shares, spread.cov)
    return dict(zip(spread.names, found.share.tolist(), strict=True)) if found.status == "ok" else {}


ASSETS = [risk_report]
