"""The sandbox world: a seeded, simulated market as the tables a data vendor would have delivered by a day.

History never changes: two worlds that differ only in `end` agree on every row known by the earlier end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property, lru_cache
from importlib import import_module

import numpy as np
import pandas as pd

from pas_dagster.calendar import session_array
from pas_dagster.sandbox.congress import disclosures, informed_interest
from pas_dagster.sandbox.funds import FUNDS
from pas_dagster.sandbox.listing import Listing, companies, listing
from pas_dagster.sandbox.market import STYLES, Market, simulate
from pas_dagster.sandbox.prices import ANNOUNCED, Actions, Tape, bars, index_bars, record, symbols
from pas_dagster.sandbox.streams import Floats, Ints
from pas_dagster.schemas import TABLES as SCHEMAS
from pas_dagster.schemas.table import Kind

FEEDS: dict[str, str] = {
    "insider_buying": "insiders",
    "catalyst_events": "catalysts",
    "news_headlines": "news",
    "analyst_ratings": "ratings",
    "lobbying": "lobbying",
    "gov_contracts": "contracts",
    "dc_insider_scores": "scores",
    "wiki_views": "wiki",
    "reddit_mentions": "reddit",
    "google_trends": "trends",
    "app_reviews": "apps",
}
"""What is published about the companies: table -> module of this package whose `rows(world)` gives all of it."""

TABLES = (
    "universe",
    "prices",
    "corporate_actions",
    "sp500_index",
    "politician_trades",
    "fama_french_factors",
    "treasury_rates",
    *FEEDS,
)

_LOOKAHEAD = timedelta(days=45)
"""Simulated beyond the end, so that actions announced by then have their ex-day."""

_TRADE_COLUMNS = [
    *("known_on", "event_date", "filing_id", "line", "politician", "bioguide_id", "chamber", "party", "state"),
    *("owner", "symbol", "asset_description", "asset_type", "direction", "extent"),
    *("amount_low", "amount_high", "amount_mid"),
]


@dataclass(frozen=True)
class World:
    """A simulated market from the first XNYS session on or after `start` to `end` (inclusive).

    Seeds are non-negative. Invented are the companies, all prices and rates, and all trades of politicians;
    funds carry their real symbols and follow the sector or index they are named for.
    """

    seed: int
    start: date
    end: date

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed must not be negative: {self.seed}")
        if self.end < self.start:
            raise ValueError(f"end {self.end} is before start {self.start}")

    def table(self, name: str) -> pd.DataFrame:
        """Rows of one of TABLES known on or before `end`, sorted by known_on and then by key.

        Dates are naive midnights (datetime64[us]), text that may be missing is None in an object column.

        - universe: known_on, event_date, symbol, name, kind, sector, index_name, action; a removal is dated on
          the last session with a bar, a symbol change is a removal and an addition on its effective session.
          By capitalisation at the start companies are in the S&P 500, 400 or 600; those that list later in the 600.
        - prices: known_on, event_date, symbol, open, high, low, close, volume, total_return; raw USD with 4
          decimals, shares; total_return = (close * split + dividend) / previous close - 1, where the previous
          close is that of the last bar present (under the old symbol after a symbol change), NaN on the first.
        - corporate_actions: known_on, event_date, symbol, kind, value, new_symbol; event_date may lie after
          `end`; value is the ratio new/old, USD per share, or NaN for a symbol change.
        - sp500_index: known_on, event_date, open, high, low, close, volume; price index of all companies.
        - politician_trades: one row per line of a filing, known on the filing day; amounts in USD.
        - fama_french_factors: known_on, event_date, mkt_rf, smb, hml, rmw, cma, rf; decimals per day, whole
          months published on the 5th (or the Monday after) of the second month after.
        - treasury_rates: known_on, event_date, tenor, rate; decimal per year, two decimals of a percent.
        - lobbying, gov_contracts: one row per report and per action on a contract; dc_insider_scores: of every day.
        - news_headlines: a row for each symbol of an item, known at its last update; None where it names none.
        - analyst_ratings: one row per firm, symbol and day; price targets in USD, NaN where none is given.
        - wiki_views: known_on, event_date, symbol, article, redirected_from, views; known on the day after.
        - reddit_mentions: known_on, event_date, symbol, forum, mentions, upvotes; every calendar day.
        - google_trends: known_on, event_date, symbol, keyword, interest; each week as first shown after its end.
        - app_reviews: known_on, event_date, symbol, app, app_id, rating, ratings, hype; every calendar day.
        - insider_buying: one row per line of a filing; known_at is NaT where the filing was accepted at night.
        - catalyst_events: primary completions of trials, known when posted, and approvals, known a week later.
        """
        if name not in TABLES:
            raise KeyError(f"unknown table {name!r}, one of {', '.join(TABLES)}")
        # A shallow copy shares the data until someone writes to it, so a caller cannot spoil the cache.
        return self._frames(name).copy(deep=False)

    @cached_property
    def _cache(self) -> dict[str, pd.DataFrame]:
        return {}

    def _frames(self, name: str) -> pd.DataFrame:
        if name not in self._cache:
            builders: dict[str, Callable[[World], pd.DataFrame]] = {
                "universe": _universe,
                "prices": _prices,
                "corporate_actions": _corporate_actions,
                "sp500_index": _index,
                "politician_trades": _politician_trades,
                "fama_french_factors": _factors,
                "treasury_rates": _rates,
            }
            build = builders.get(name) or import_module(f"pas_dagster.sandbox.{FEEDS[name]}").rows
            frame = build(self)
            # From no values pandas infers no type, and a part without rows gives its columns' types to the whole.
            texts = [c.name for c in SCHEMAS[name].columns if c.kind is Kind.TEXT and not c.nullable]
            frame = frame.astype(dict.fromkeys([t for t in texts if t in frame], "str"))
            known = frame["known_on"] <= pd.Timestamp(self.end)
            self._cache[name] = frame[known].reset_index(drop=True)
        return self._cache[name]

    @cached_property
    def days(self) -> Ints:
        """Simulated sessions as days since 1970, reaching a little beyond `end`."""
        return session_array(self.start, self.end + _LOOKAHEAD).astype(np.int64)

    @cached_property
    def listing(self) -> Listing:
        """Who is listed when."""
        return listing(self.seed)

    @cached_property
    def trades(self) -> pd.DataFrame:
        """Every simulated disclosure, including those filed after `end`."""
        return disclosures(self.seed, self.days, self.listing)

    @cached_property
    def market(self) -> Market:
        """Returns, factors and rates."""
        interest = informed_interest(self.trades, self.days)
        return simulate(self.seed, len(self.days), self.listing, interest)

    @cached_property
    def tape(self) -> Tape:
        """Closes and corporate actions."""
        return record(self.seed, self.days, self.listing, self.market)


def _dates(days: Ints) -> np.ndarray:
    return days.astype("datetime64[D]").astype("datetime64[us]")


def _universe(world: World) -> pd.DataFrame:
    events, stocks, index = world.listing, companies(), world.listing.index
    rows: list[tuple[int, str, str, str, str | None, str, str]] = []

    def happens(session: int, number: int, symbol: str, action: str) -> None:
        stock = stocks[number]
        rows.append((session, symbol, stock.name, "stock", stock.sector, index[number], action))

    for number, stock in enumerate(stocks):
        happens(int(events.first[number]), number, stock.symbol, "add")
    rows += [(0, fund.symbol, fund.name, "etf", fund.sector, "ETF", "add") for fund in FUNDS]
    for gone in (events.taken_over, events.bankrupt):
        happens(int(events.last[gone]), gone, stocks[gone].symbol, "remove")
    for symbol, action in ((stocks[events.renamed].symbol, "remove"), (events.new_symbol, "add")):
        happens(events.rename_session, events.renamed, symbol, action)
    frame = pd.DataFrame(rows, columns=["session", "symbol", "name", "kind", "sector", "index_name", "action"])
    frame = frame[frame["session"] < len(world.days)]
    frame["event_date"] = frame["known_on"] = _dates(world.days[frame["session"].to_numpy()])
    frame["sector"] = frame["sector"].astype(object).where(frame["sector"].notna(), None)
    columns = ["known_on", "event_date", "symbol", "name", "kind", "sector", "index_name", "action"]
    return frame[columns].sort_values(["known_on", "symbol", "action"], ignore_index=True)


def _prices(world: World) -> pd.DataFrame:
    tape = world.tape
    names = np.array([*symbols(), world.listing.new_symbol], dtype=object)
    rank = np.argsort(np.argsort(names))
    code = np.broadcast_to(np.arange(len(names) - 1), tape.close.shape).copy()
    code[world.listing.rename_session :, world.listing.renamed] = len(names) - 1
    session, security = np.nonzero(~np.isnan(tape.close))
    order = np.lexsort((rank[code[session, security]], session))
    session, security = session[order], security[order]
    day = _dates(world.days)[session]
    frame = {"known_on": day, "event_date": day}
    frame["symbol"] = pd.array(names, dtype="str").take(code[session, security])
    columns = bars(world.seed, world.market, tape) | {"close": tape.close, "total_return": tape.total_return}
    for name in ("open", "high", "low", "close", "volume", "total_return"):
        frame[name] = columns[name][session, security]
    return pd.DataFrame(frame)


def _corporate_actions(world: World) -> pd.DataFrame:
    events, names = world.listing, np.array(symbols(), dtype=object)
    frames = [
        _action_rows(world, kind, actions.session, names[actions.security], actions.value)
        for kind, actions in (("split", world.tape.splits), ("dividend", _worth_paying(world.tape.dividends)))
    ]
    for gone in (events.taken_over, events.bankrupt):
        last = int(events.last[gone])
        if last < len(world.days):
            final = world.tape.close[last, gone]
            frames.append(_action_rows(world, "delisting", np.array([last]), names[[gone]], np.array([final])))
    if events.rename_session < len(world.days):
        session = np.array([events.rename_session])
        change = _action_rows(world, "symbol_change", session, names[[events.renamed]], np.array([np.nan]))
        frames.append(change.assign(new_symbol=pd.Series([events.new_symbol], dtype=object)))
    return pd.concat(frames).sort_values(["known_on", "event_date", "symbol", "kind"], ignore_index=True)


def _worth_paying(dividends: Actions) -> Actions:
    """Without those that round to nothing."""
    keep = dividends.value > 0
    return Actions(dividends.session[keep], dividends.security[keep], dividends.value[keep], dividends.announced[keep])


def _action_rows(world: World, kind: str, session: Ints, symbol: np.ndarray, value: Floats) -> pd.DataFrame:
    day = world.days[session]
    return pd.DataFrame(
        {
            "known_on": _dates(np.maximum(day - ANNOUNCED[kind], world.days[0])),
            "event_date": _dates(day),
            "symbol": pd.array(symbol, dtype="str"),
            "kind": kind,
            "value": value,
            "new_symbol": pd.Series([None] * len(day), dtype=object),
        }
    )


def _index(world: World) -> pd.DataFrame:
    day = _dates(world.days)
    columns = index_bars(world.seed, world.listing, world.market, world.tape)
    return pd.DataFrame({"known_on": day, "event_date": day, **columns})


def _politician_trades(world: World) -> pd.DataFrame:
    return world.trades[_TRADE_COLUMNS]


def _factors(world: World) -> pd.DataFrame:
    market, day = world.market, _dates(world.days)
    month = day.astype("datetime64[M]")
    fifth = (month + 2).astype("datetime64[D]") + 4
    published = np.busday_offset(fifth, 0, roll="forward").astype("datetime64[us]")
    columns = {"mkt_rf": market.excess, **dict(zip(STYLES, market.styles.T, strict=True))}
    columns["rf"] = market.rates["3m"] / 252
    rounded = {name: np.round(values, 6) for name, values in columns.items()}
    return pd.DataFrame({"known_on": published, "event_date": day, **rounded})


def _rates(world: World) -> pd.DataFrame:
    day, tenors = _dates(world.days), ("3m", "2y", "10y")
    rates = np.stack([world.market.rates[tenor] for tenor in tenors], axis=1)
    return pd.DataFrame(
        {
            "known_on": np.repeat(day, len(tenors)),
            "event_date": np.repeat(day, len(tenors)),
            "tenor": pd.array(tenors * len(day), dtype="str"),
            "rate": np.round(rates, 4).ravel(),
        }
    )


@lru_cache(maxsize=2)
def world(seed: int, start: date, end: date) -> World:
    """One world a process: making four years of it takes about a second."""
    return World(seed, start, end)
