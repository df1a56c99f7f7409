"""The sandbox world keeps its promises: determinism, fixed history, exact identities, plausible markets."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.sandbox import TABLES, World
from pas_dagster.sandbox.congress import BRACKETS
from pas_dagster.sandbox.listing import INITIAL, companies, listing

START, END = date(2020, 1, 2), date(2024, 6, 28)

KEYS = {
    "lobbying": ["filing_id"],
    "gov_contracts": ["award_id"],
    "dc_insider_scores": ["event_date", "symbol"],
    "wiki_views": ["event_date", "symbol"],
    "reddit_mentions": ["event_date", "symbol", "forum"],
    "google_trends": ["known_on", "event_date", "symbol"],
    "app_reviews": ["event_date", "symbol", "app"],
    "insider_buying": ["accession", "line"],
    "catalyst_events": ["known_on", "event_id", "kind"],
    "universe": ["known_on", "symbol", "action"],
    "prices": ["event_date", "symbol"],
    "corporate_actions": ["event_date", "symbol", "kind"],
    "sp500_index": ["event_date"],
    "politician_trades": ["filing_id", "line"],
    "fama_french_factors": ["event_date"],
    "treasury_rates": ["event_date", "tenor"],
    "news_headlines": ["headline_id", "symbol"],
    "analyst_ratings": ["event_date", "symbol", "firm", "action"],
}
MAY_MISS = {
    "lobbying": {"symbol", "amount"},
    "gov_contracts": {"symbol", "description"},
    "dc_insider_scores": {"congress", "lobbying", "contracts"},
    "wiki_views": {"redirected_from"},
    "app_reviews": {"hype"},
    "insider_buying": {"known_at", "title", "price", "plan"},
    "catalyst_events": {"symbol"},
    "universe": {"sector"},
    "prices": {"total_return"},
    "corporate_actions": {"value", "new_symbol"},
    "politician_trades": {"symbol", "bioguide_id", "extent"},
    "news_headlines": {"symbol"},
    "analyst_ratings": {"from_grade", "target_before", "target"},
}


@cache
def world(seed: int = 7) -> World:
    return World(seed, START, END)


@cache
def again() -> World:
    return World(7, START, END)


@cache
def total_returns(seed: int) -> pd.DataFrame:
    """Sessions by symbols."""
    return world(seed).table("prices").pivot(index="event_date", columns="symbol", values="total_return")


def of_kind(kind: str, seed: int = 7) -> pd.DataFrame:
    actions = world(seed).table("corporate_actions")
    return actions[actions["kind"] == kind]


def history(symbol: str, seed: int = 7) -> pd.DataFrame:
    prices = world(seed).table("prices")
    return prices[prices["symbol"] == symbol].set_index("event_date")


@pytest.mark.parametrize("name", TABLES)
def test_same_arguments_same_table(name: str) -> None:
    pd.testing.assert_frame_equal(world().table(name), again().table(name), check_exact=True)


def test_seeds_differ() -> None:
    assert not world(7).table("sp500_index").equals(world(8).table("sp500_index"))


@settings(max_examples=5, deadline=None)
@given(cut=st.dates(START, END))
def test_history_does_not_change_as_the_world_grows(cut: date) -> None:
    shorter = World(7, START, cut)
    for name in TABLES:
        longer = world().table(name)
        expected = longer[longer["known_on"] <= pd.Timestamp(cut)]
        pd.testing.assert_frame_equal(shorter.table(name), expected, check_exact=True)


def test_history_does_not_change_from_one_day_to_the_next() -> None:
    for days in (1, 3):
        earlier = World(7, START, END - timedelta(days=days)).table("corporate_actions")
        pd.testing.assert_frame_equal(earlier, world().table("corporate_actions").head(len(earlier)))


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_sorted_keyed_and_dated(name: str) -> None:
    frame = world().table(name)
    assert not frame.empty
    assert frame["known_on"].is_monotonic_increasing
    assert frame["known_on"].between(pd.Timestamp(START), pd.Timestamp(END)).all()
    assert frame["known_on"].dtype == frame["event_date"].dtype == np.dtype("datetime64[us]")
    assert not frame.duplicated(KEYS[name]).any()


@pytest.mark.parametrize("name", TABLES)
def test_nothing_is_missing_where_it_may_not_be(name: str) -> None:
    missing = world().table(name).isna().any()
    assert set(missing.index[missing]) <= MAY_MISS.get(name, set())


def test_the_cache_cannot_be_spoiled() -> None:
    fresh = World(3, START, date(2020, 3, 2))
    mine = fresh.table("sp500_index")
    mine.loc[0, "close"] = 0.0
    mine["open"] = 0.0
    assert (fresh.table("sp500_index")[["open", "close"]] > 0).all().all()


def test_arguments_are_checked() -> None:
    with pytest.raises(KeyError):
        world().table("weather")
    with pytest.raises(ValueError, match="before"):
        World(1, END, START)
    with pytest.raises(ValueError, match="negative"):
        World(-1, START, END)


def test_a_world_may_start_on_a_holiday_and_last_a_day() -> None:
    small = World(1, date(2024, 1, 1), date(2024, 1, 2))
    assert small.table("prices")["event_date"].unique().tolist() == [pd.Timestamp("2024-01-02")]
    assert World(1, date(2024, 1, 1), date(2024, 1, 1)).table("universe").empty


@pytest.mark.parametrize("seed", [7, 8])
def test_total_return_is_the_identity_of_closes_and_actions(seed: int) -> None:
    prices = world(seed).table("prices").copy()
    keys = ["event_date", "symbol"]
    for kind, fill in (("split", 1.0), ("dividend", 0.0)):
        values = of_kind(kind, seed)[[*keys, "value"]].rename(columns={"value": kind})
        prices = prices.merge(values, on=keys, how="left").fillna({kind: fill})
    renamed = of_kind("symbol_change", seed)
    names = dict(zip(renamed["new_symbol"], renamed["symbol"], strict=True))
    previous = prices.groupby(prices["symbol"].replace(names))["close"].shift()
    expected = (prices["close"] * prices["split"] + prices["dividend"]) / previous - 1
    np.testing.assert_allclose(prices["total_return"], expected, rtol=0, atol=1e-9)
    assert prices["total_return"].isna().sum() == prices["symbol"].replace(names).nunique()


def test_every_action_up_to_the_end_has_its_bar() -> None:
    actions = world().table("corporate_actions")
    actions = actions[actions["event_date"] <= pd.Timestamp(END)]
    symbol = actions["new_symbol"].fillna(actions["symbol"])
    keys = pd.MultiIndex.from_arrays([actions["event_date"], symbol])
    assert keys.isin(pd.MultiIndex.from_frame(world().table("prices")[["event_date", "symbol"]])).all()


def test_bars_are_possible() -> None:
    for name in ("prices", "sp500_index"):
        bars = world().table(name)
        assert (bars["high"] >= bars[["open", "close"]].max(axis=1)).all()
        assert (bars["low"] <= bars[["open", "close"]].min(axis=1)).all()
        assert (bars[["open", "high", "low", "close", "volume"]] > 0).all().all()
        assert (bars["volume"] % 1 == 0).all()
    prices = world().table("prices")
    assert (prices["close"] == prices["close"].round(4)).all()


def test_few_bars_are_missing_and_none_of_funds() -> None:
    universe, prices = world().table("universe"), world().table("prices")
    sessions = len(world().table("sp500_index"))
    bars = prices.groupby("symbol").size()
    funds = universe.loc[universe["kind"] == "etf", "symbol"]
    assert (bars[funds] == sessions).all()
    whole = set(universe.loc[universe["known_on"] == pd.Timestamp(START), "symbol"])
    whole -= set(universe.loc[universe["action"] == "remove", "symbol"])
    share = 1 - bars[list(whole - set(funds))].mean() / sessions
    assert 0.0001 < share < 0.002


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_two_delistings_end_in_cash(seed: int) -> None:
    delistings = of_kind("delisting", seed)
    assert len(delistings) == 2
    assert (delistings["event_date"] <= pd.Timestamp(START) + pd.DateOffset(years=4)).all()
    removed = world(seed).table("universe").query("action == 'remove'").set_index("symbol")["event_date"]
    lows = []
    for _, row in delistings.iterrows():
        bars = history(row["symbol"], seed)
        assert bars.index[-1] == row["event_date"] == row["known_on"] == removed[row["symbol"]]
        assert bars["close"].iloc[-1] == row["value"]
        lows.append(bars["close"].iloc[-1] / bars["close"].iloc[-12] - 1)
    take_over, bankrupt = delistings.iloc[np.argsort(lows)[::-1]]["symbol"]
    assert min(lows) < -0.8
    assert history(bankrupt, seed)["total_return"].iloc[-1] == pytest.approx(-0.4, abs=0.01)
    offer = history(take_over, seed)["total_return"].iloc[-46:]
    assert offer.iloc[0] > 0.25
    assert offer.iloc[1:].abs().max() < 0.02


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_one_symbol_change_continues_the_company(seed: int) -> None:
    changes = of_kind("symbol_change", seed)
    assert len(changes) == 1
    row = changes.iloc[0]
    old, new = history(row["symbol"], seed), history(row["new_symbol"], seed)
    assert old.index[-1] < row["event_date"] == new.index[0]
    assert new["total_return"].iloc[0] == pytest.approx(new["close"].iloc[0] / old["close"].iloc[-1] - 1, abs=1e-12)
    universe = world(seed).table("universe")
    universe = universe[universe["event_date"] == row["event_date"]].set_index("symbol")
    assert universe.loc[row["symbol"], "action"] == "remove"
    assert universe.loc[row["new_symbol"], "action"] == "add"


def test_splits_of_stocks_and_levered_funds() -> None:
    splits, universe = of_kind("split"), world().table("universe")
    of_stock = splits["symbol"].isin(universe.loc[universe["kind"] == "stock", "symbol"])
    stocks = splits[of_stock]
    assert 8 <= len(stocks) <= 10
    assert set(stocks["value"]) == {0.1, 2.0, 3.0, 4.0}
    assert not of_stock.all()
    notice = splits["event_date"] - splits["known_on"]
    assert (notice == pd.Timedelta(days=10)).all()


def test_dividends_are_quarterly_and_paid_by_about_half_of_the_stocks() -> None:
    universe, dividends = world().table("universe"), of_kind("dividend")
    stocks = set(universe.loc[universe["kind"] == "stock", "symbol"])
    assert 0.4 < len(stocks & set(dividends["symbol"])) / len(stocks) < 0.7
    assert (dividends["value"] > 0).all()
    assert dividends.groupby("symbol").size().max() <= 19


def test_universe_sizes() -> None:
    universe = world().table("universe")
    first = universe[universe["known_on"] == pd.Timestamp(START)]
    assert (first["kind"] == "stock").sum() == 150
    assert first.loc[first["kind"] == "stock", "sector"].nunique() == 11
    assert (first["kind"] == "etf").sum() == 44
    assert (universe["action"] == "add").sum() == len(first) + 8 + 1
    assert universe["symbol"].str.fullmatch(r"[A-Z]{1,4}(\.[A-Z])?").all()
    assert set(universe.loc[universe["kind"] == "etf", "index_name"]) == {"ETF"}


@pytest.mark.parametrize("seed", [7, 8])
def test_the_largest_companies_are_in_the_500_and_entrants_in_the_600(seed: int) -> None:
    universe, weight = world(seed).table("universe"), listing(seed).weight
    added = universe[(universe["kind"] == "stock") & (universe["action"] == "add")].set_index("symbol")["index_name"]
    symbols = [company.symbol for company in companies()]
    sizes = pd.DataFrame({"index": added.reindex(symbols[:INITIAL]).to_numpy(), "weight": weight[:INITIAL]})
    groups = sizes.groupby("index")["weight"].agg(["size", "min", "max"])
    assert groups["size"].to_dict() == {"S&P 400": 50, "S&P 500": 50, "S&P 600": 50}
    assert groups.loc["S&P 500", "min"] > groups.loc["S&P 400", "max"]
    assert groups.loc["S&P 400", "min"] > groups.loc["S&P 600", "max"]
    assert set(added.reindex(symbols[INITIAL:]).dropna()) == {"S&P 600"}


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_nobody_changes_the_index(seed: int) -> None:
    events, universe = listing(seed), world(seed).table("universe")
    stocks = universe[universe["kind"] == "stock"]
    assert (stocks.groupby("symbol")["index_name"].nunique() == 1).all()
    new = stocks.loc[stocks["symbol"] == events.new_symbol, "index_name"]
    old = stocks.loc[stocks["symbol"] == companies()[events.renamed].symbol, "index_name"]
    assert set(new) == set(old)


def test_filings_lag_trades_and_use_the_brackets() -> None:
    trades = world().table("politician_trades")
    lag = (trades["known_on"] - trades["event_date"]).dt.days
    assert lag.min() >= 5
    assert 0.85 < (lag <= 45).mean() < 1.0
    amounts = set(map(tuple, trades[["amount_low", "amount_high"]].drop_duplicates().to_numpy()))
    assert amounts <= set(map(tuple, BRACKETS))
    assert (trades["amount_mid"] == (trades["amount_low"] + trades["amount_high"]) / 2).all()
    assert (trades["extent"].notna() == (trades["direction"] == "sell")).all()
    weekend = (trades["event_date"].dt.day_of_week >= 5).mean()
    assert 0 < weekend < 0.05


def test_filings_are_whole_and_the_named_politicians_file() -> None:
    trades = world().table("politician_trades")
    lines = trades.groupby("filing_id")["line"].agg(["min", "max", "count"])
    assert (lines["min"] == 1).all()
    assert (lines["max"] == lines["count"]).all()
    assert lines["max"].max() <= 12
    assert len(trades[["filing_id", "politician", "known_on"]].drop_duplicates()) == len(lines)
    assert {"Nancy Pelosi", "Daniel Meuser", "Shelley Moore Capito"} <= set(trades["politician"])
    assert 35 <= trades["politician"].nunique() <= 40
    assert 2000 < len(trades) * 4 / 4.5 < 3000
    assert trades.drop(columns="line").duplicated().any()


def test_traded_symbols_are_listed_on_the_trade_day() -> None:
    prices = world().table("prices").groupby("symbol")["event_date"].agg(["min", "max"])
    trades = world().table("politician_trades").dropna(subset=["symbol"]).join(prices, on="symbol")
    assert (trades["event_date"] <= trades["max"]).all()
    # A weekend trade counts for the session after it.
    assert (trades["event_date"] + pd.Timedelta(days=4) >= trades["min"]).all()


@pytest.mark.parametrize("seed", range(7, 10))
def test_the_market_is_plausible(seed: int) -> None:
    close = world(seed).table("sp500_index")["close"]
    change = np.log(close).diff().dropna()
    yearly = change.rolling(40).std().dropna() * np.sqrt(252)
    assert close.iloc[0] == 4000
    assert 0.10 < change.std() * np.sqrt(252) < 0.30
    assert yearly.min() < 0.11
    assert yearly.max() > 0.28
    assert -0.03 < change.mean() * 252 < 0.22


@pytest.mark.parametrize("seed", [7, 8])
def test_levered_funds_are_three_times_their_sector(seed: int) -> None:
    returns = total_returns(seed).iloc[1:]
    for levered, plain in (("UPRO", "SPY"), ("SPXL", "SPY"), ("TQQQ", "QQQ"), ("TECL", "XLK"), ("FAS", "XLF")):
        slope, intercept = np.polyfit(returns[plain], returns[levered], 1)
        assert slope == pytest.approx(3.0, abs=0.03)
        assert intercept * 252 == pytest.approx(-0.008, abs=0.01)


def test_factors_explain_the_market_and_bonds_follow_rates() -> None:
    returns = total_returns(7)
    factors = world().table("fama_french_factors").set_index("event_date")
    both = factors.join(returns[["SPY"]]).iloc[1:]
    assert both["SPY"].corr(both["mkt_rf"]) > 0.99
    rates = world().table("treasury_rates").pivot(index="event_date", columns="tenor", values="rate")
    assert returns["IEF"].corr(rates["10y"].diff()) < -0.98
    assert returns["SHY"].corr(rates["2y"].diff()) < -0.9


def test_factors_come_in_whole_months_two_months_later() -> None:
    factors = world().table("fama_french_factors")
    months = factors["event_date"].dt.to_period("M")
    assert (factors.groupby(months)["known_on"].nunique() == 1).all()
    assert (factors["known_on"].dt.to_period("M") == months + 2).all()
    assert factors["known_on"].dt.day.between(5, 7).all()
    sessions = world().table("sp500_index")["event_date"]
    assert factors["event_date"].tolist() == sessions[sessions.dt.to_period("M") <= months.max()].tolist()


def test_sector_trends_and_named_purchases_carry_an_edge_on_average() -> None:
    spreads, drifts = [], []
    for seed in range(7, 10):
        returns = total_returns(seed).fillna(0.0)
        sectors = returns[[name for name in returns if name.startswith("XL")]]
        past, future = sectors.rolling(126).sum(), sectors.rolling(21).sum().shift(-21)
        spreads.append((future.where(past.rank(axis=1) > 8).mean(axis=1) - future.mean(axis=1)).mean() * 12)
        drifts.append(_drift_after_purchases(seed, returns))
    assert 0.01 < np.mean(spreads) < 0.20
    assert 0.0 < np.mean(drifts) < 0.06


def _drift_after_purchases(seed: int, returns: pd.DataFrame) -> float:
    """Mean return over the market in the 60 sessions after the named politicians' filings."""
    trades = world(seed).table("politician_trades").query("direction == 'buy' and asset_type == 'stock'")
    trades = trades[trades["politician"].isin(["Nancy Pelosi", "Daniel Meuser", "Shelley Moore Capito"])]
    gained = returns.sub(returns["SPY"], axis=0).rolling(60).sum().shift(-60)
    at = gained.index.searchsorted(trades["known_on"])
    keep = at < len(gained)
    return float(np.nanmean(gained.to_numpy()[at[keep], gained.columns.get_indexer(trades["symbol"])[keep]]))


def test_a_world_of_many_years_runs_out_of_splits_and_goes_on() -> None:
    world = World(seed=7, start=date(2010, 1, 4), end=date(2025, 12, 31))
    assert world.table("prices")["known_on"].max() == pd.Timestamp("2025-12-31")
