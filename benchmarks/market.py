"""A made-up market of any size, table by table: numbers without meaning, in the volumes of a real one.

Rates of rows a day for 1,500 symbols are about those of the sources (a page view for each symbol and day, eight hundred
symbols with mentions, four hundred lines of Form 4, ...), and scale with the number of symbols.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from pas_dagster import calendar
from pas_dagster.sandbox.funds import FUNDS
from pas_dagster.schemas import TABLES

SECTORS = ("Energy", "Financials", "Health Care", "Industrials", "Information Technology", "Utilities")
INDEXES = ("S&P 500", "S&P 400", "S&P 600")


@dataclass(frozen=True)
class Market:
    """Stocks and the sandbox's funds from `first` to `last`; the same seed makes the same rows."""

    symbols: int
    first: date
    last: date
    seed: int = 7

    def tables(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Every dataset's name and rows, in turn: together they would not fit into the memory that is measured."""
        makers = {
            "universe": self._universe,
            "prices": self._prices,
            "corporate_actions": self._actions,
            "sp500_index": self._index,
            "treasury_rates": self._rates,
            "politician_trades": self._politicians,
            "dc_insider_scores": self._scores,
            "gov_contracts": self._contracts,
            "insider_buying": self._insiders,
            "wiki_views": self._wiki,
            "reddit_mentions": self._reddit,
            "app_reviews": self._apps,
            "google_trends": self._trends,
            "news_headlines": self._news,
            "analyst_ratings": self._ratings,
            "catalyst_events": self._catalysts,
            "lobbying": self._lobbying,
        }
        for name, make in makers.items():
            rows = make().assign(provider="benchmark")
            table = TABLES[name]
            yield name, table.conform(rows.drop_duplicates(table.key, ignore_index=True))

    @property
    def stocks(self) -> np.ndarray:
        letters = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), dtype=object)
        number = np.arange(self.symbols)
        return "Q" + letters[number // 676 % 26] + letters[number // 26 % 26] + letters[number % 26]

    @property
    def days(self) -> np.ndarray:
        return np.arange(np.datetime64(self.first), np.datetime64(self.last) + 1)

    @property
    def sessions(self) -> np.ndarray:
        return calendar.session_array(self.first, self.last)

    def _rng(self, table: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *table.encode()])

    def _universe(self) -> pd.DataFrame:
        number = np.arange(self.symbols)
        indexes = np.array(INDEXES, dtype=object)[np.minimum(number * 3 // self.symbols, 2)]
        sectors = np.array(SECTORS, dtype=object)[number % len(SECTORS)]
        stocks = {"symbol": self.stocks, "kind": "stock", "sector": sectors, "index_name": indexes}
        funds = {"symbol": [f.symbol for f in FUNDS], "kind": "etf", "sector": None, "index_name": "ETF"}
        added = pd.concat([pd.DataFrame(stocks), pd.DataFrame(funds)]).assign(known_on=self.days[0], action="add")
        moved = self._moved(added)
        rows = pd.concat([added, moved], ignore_index=True)
        return rows.assign(event_date=rows["known_on"], name=rows["symbol"])

    def _moved(self, added: pd.DataFrame) -> pd.DataFrame:
        """Members that leave their index, three in a hundred a year, and come back a month later."""
        rng = self._rng("moved")
        count = int(0.03 * self.symbols * len(self.days) / 365)
        left = rng.choice(self.days[1:-40], count)
        rows = added.iloc[rng.integers(0, self.symbols, count)].assign(known_on=left, action="remove")
        return pd.concat([rows, rows.assign(known_on=left + 30, action="add")])

    def _prices(self) -> pd.DataFrame:
        rng, names = self._rng("prices"), np.concatenate([self.stocks, [f.symbol for f in FUNDS]])
        days, count = self.sessions, len(names)
        common = rng.normal(3e-4, 0.01, (len(days), 1))
        returns = common * rng.uniform(0.5, 1.5, count) + rng.normal(0, 0.015, (len(days), count))
        close = 50 * np.exp(np.cumsum(np.log1p(returns), axis=0)).clip(0.2, 1e4)
        volume = np.round(rng.lognormal(14, 1.0, count) * rng.lognormal(0, 0.3, (len(days), count)))
        order = np.argsort(names)
        frame = {"known_on": np.repeat(days, count), "symbol": np.tile(names[order], len(days))}
        values = {"close": close, "volume": volume, "total_return": returns}
        frame |= {name: grid[:, order].ravel() for name, grid in values.items()}
        return pd.DataFrame(frame).assign(event_date=frame["known_on"], open=None, high=None, low=None)

    def _actions(self) -> pd.DataFrame:
        """Dividends: enough rows for the table to have a size."""
        rows = self._events("actions", 0.013)
        return rows.assign(event_date=rows["known_on"], kind="dividend", value=0.3, new_symbol=None)

    def _index(self) -> pd.DataFrame:
        moves = self._rng("index").normal(3e-4, 0.01, len(self.sessions))
        close = 3000 * np.exp(np.cumsum(moves))
        return pd.DataFrame({"known_on": self.sessions, "event_date": self.sessions, "close": close})

    def _rates(self) -> pd.DataFrame:
        return pd.DataFrame({"known_on": self.sessions, "event_date": self.sessions, "tenor": "3m", "rate": 0.03})

    def _events(self, table: str, rate: float) -> pd.DataFrame:
        """Rows of random symbols, `rate` a symbol and day, in the order of days."""
        rng = self._rng(table)
        count = int(rate * self.symbols * len(self.days))
        day = np.sort(rng.integers(0, len(self.days), count))
        symbols = self.stocks[(self.symbols * rng.random(count) ** 1.5).astype(int)]
        return pd.DataFrame({"known_on": self.days[day], "event_date": self.days[day], "symbol": symbols})

    def _ids(self, rows: pd.DataFrame) -> list[str]:
        return [f"B{number:09d}" for number in range(len(rows))]

    def _politicians(self) -> pd.DataFrame:
        rows, rng = self._events("politicians", 0.02), self._rng("amounts")
        followed = ["Nancy Pelosi", "Daniel Meuser", "Shelley Moore Capito"]
        members = np.array([*followed, *(f"Member No{n}" for n in range(97))], dtype=object)
        amount = rng.choice([8_000.5, 32_500.5, 75_000.5], len(rows))
        told = {
            "filing_id": self._ids(rows),
            "line": 1,
            "politician": members[rng.integers(0, len(members), len(rows))],
        }
        told |= {"chamber": "house", "asset_type": "stock", "amount_low": 1_001.0, "amount_mid": amount}
        told |= {"direction": np.where(rng.random(len(rows)) < 0.6, "buy", "sell")}
        return rows.assign(**told, event_date=rows["known_on"] - pd.Timedelta(days=30))

    def _daily(self, table: str, share: float, lag: int = 0) -> pd.DataFrame:
        """A row for each of the first `share` symbols and each day, known `lag` days later."""
        names = self.stocks[: max(1, int(share * self.symbols))]
        days = self.days[: len(self.days) - lag]
        event = np.repeat(days, len(names))
        return pd.DataFrame({"known_on": event + lag, "event_date": event, "symbol": np.tile(names, len(days))})

    def _scores(self) -> pd.DataFrame:
        rows = self._daily("scores", 1.0)
        return rows.assign(score=self._rng("scores").uniform(0, 100, len(rows)))

    def _contracts(self) -> pd.DataFrame:
        rows, rng = self._events("contracts", 0.13), self._rng("sums")
        kind = np.where(rng.random(len(rows)) < 0.4, "new", "modification")
        told = {"award_id": self._ids(rows), "recipient": rows["symbol"], "kind": kind}
        return rows.assign(**told, amount=rng.lognormal(15, 2, len(rows)))

    def _insiders(self) -> pd.DataFrame:
        rows, rng = self._events("insiders", 0.27), self._rng("lines")
        code = rng.choice(["P", "S", "A", "M"], len(rows), p=[0.2, 0.4, 0.2, 0.2])
        told = {"accession": self._ids(rows), "line": 1, "insider": "Ann Other", "code": code, "amendment": False}
        told |= {
            "role": rng.choice(["officer", "director"], len(rows)),
            "direction": np.where(code == "S", "sell", "buy"),
        }
        return rows.assign(**told, shares=rng.lognormal(7, 1, len(rows)), price=50.0)

    def _wiki(self) -> pd.DataFrame:
        rows = self._daily("wiki", 1.0, lag=1)
        views = self._rng("wiki").lognormal(7, 1, len(rows)).astype(np.int64)
        return rows.assign(article=rows["symbol"], views=views)

    def _reddit(self) -> pd.DataFrame:
        rows = self._daily("reddit", 0.53)
        return rows.assign(
            forum="wallstreetbets", mentions=self._rng("reddit").lognormal(3, 2, len(rows)).astype(np.int64)
        )

    def _apps(self) -> pd.DataFrame:
        rows, rng = self._daily("apps", 0.2), self._rng("apps")
        told = {"app": rows["symbol"], "app_id": rows["symbol"], "rating": rng.uniform(3, 5, len(rows))}
        return rows.assign(**told, ratings=rng.integers(1, 10**6, len(rows)), hype=rng.normal(0, 0.05, len(rows)))

    def _trends(self) -> pd.DataFrame:
        rows = self._daily("trends", 1.0)
        rows = rows[pd.DatetimeIndex(rows["known_on"]).dayofweek == 6]
        return rows.assign(
            keyword=rows["symbol"],
            interest=self._rng("trends").uniform(0, 100, len(rows)),
            event_date=rows["known_on"] - pd.Timedelta(days=6),
        )

    def _news(self) -> pd.DataFrame:
        rows = self._events("news", 0.33)
        sentiment = self._rng("moods").uniform(-1, 1, len(rows))
        return rows.assign(headline_id=self._ids(rows), headline="A headline", sentiment=sentiment)

    def _ratings(self) -> pd.DataFrame:
        rows, rng = self._events("ratings", 0.07), self._rng("grades")
        action = rng.choice(["upgrade", "downgrade", "maintain", "initiate"], len(rows))
        return rows.assign(action=action, firm=rng.choice([f"Firm {n}" for n in range(60)], len(rows)))

    def _catalysts(self) -> pd.DataFrame:
        rows, rng = self._events("catalysts", 0.013), self._rng("expected")
        ahead = pd.to_timedelta(rng.integers(5, 200, len(rows)), unit="D")
        told = {"event_id": self._ids(rows), "company": rows["symbol"], "kind": "trial completion"}
        return rows.assign(**told, expected_on=rows["known_on"] + ahead)

    def _lobbying(self) -> pd.DataFrame:
        """Two reports for each symbol and quarter, within twenty days of its end."""
        rng = self._rng("lobbying")
        quarters = pd.period_range(self.first, self.last, freq="Q")
        names = np.tile(np.repeat(self.stocks, 2), len(quarters))
        ends = np.repeat(quarters.end_time.normalize().to_numpy("datetime64[D]"), 2 * self.symbols)
        known = ends + rng.integers(1, 21, len(names))
        told = {"symbol": names, "client": names, "registrant": np.tile(["Firm A", "Firm B"], len(names) // 2)}
        told |= {"quarter": np.repeat([f"{q.year}Q{q.quarter}" for q in quarters], 2 * self.symbols)}
        rows = pd.DataFrame({"known_on": known, "event_date": ends, **told, "amendment": False})
        rows = rows[rows["known_on"] <= pd.Timestamp(self.last)].sort_values("known_on", ignore_index=True)
        return rows.assign(filing_id=self._ids(rows), amount=rng.lognormal(11, 1, len(rows)))
