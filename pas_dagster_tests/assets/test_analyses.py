"""The analyses: numbers against independent computations, the cut at the decision, ranges against single runs."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from math import log1p
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dagster import AssetsDefinition

from pas_dagster import calendar, settings
from pas_dagster.assets import analyses
from pas_dagster.assets.analyses import beta_rows, metric_rows, with_dividends
from pas_dagster.assets.attribution import attribution_rows, quarter
from pas_dagster.schemas import TABLES
from pas_dagster.strategies.contract import CASH
from pas_dagster_tests.assets import analysed
from pas_dagster_tests.assets.analysed import FUND, GONE, HOLED, LATE, MONDAYS, NEW, OLD, SESSIONS, SLEEVES
from pas_dagster_tests.assets.conftest import MemoryLake

MONTHS = [date(2023, 5, 1), *(date(2024, month, 1) for month in (1, 2, 3, 4, 5))]
DAY = date(2024, 4, 1)  # a Monday, and the first of a month
FACTORS = ["mkt_rf", "smb", "hml", "rmw", "cma"]
Rows = dict[str, pd.DataFrame]
Body = Callable[[MemoryLake, Sequence[date]], pd.DataFrame]

CHOSEN = settings.load(home=Path("unused"), world="real", database_url=None, start=date(2018, 1, 2))


def _attribution(lake: MemoryLake, decisions: Sequence[date]) -> pd.DataFrame:
    return attribution_rows(lake, decisions, CHOSEN)


BODIES: dict[str, tuple[Body, list[date]]] = {
    "factor_betas": (beta_rows, [*MONDAYS[10:14], *MONDAYS[-18:]]),
    "universe_metrics": (metric_rows, MONDAYS[-18:]),
    "attribution": (_attribution, MONTHS),
}
EVERY = pytest.mark.parametrize(("body", "days"), BODIES.values(), ids=BODIES)


@pytest.fixture(scope="module")
def facts() -> Rows:
    return analysed.world()


@pytest.fixture(scope="module")
def home(facts: Rows) -> Iterator[MemoryLake]:
    with MemoryLake() as made:
        yield analysed.store(made, facts)


def other(facts: Rows, until: date | None = None, **changed: pd.DataFrame) -> MemoryLake:
    """A lake of its own, some tables changed."""
    return analysed.store(MemoryLake(), {**facts, **changed}, until)


def of(rows: pd.DataFrame, day: date) -> pd.DataFrame:
    return rows[rows["decision"] == pd.Timestamp(day)].reset_index(drop=True)


# --------------------------------------------------------------------------------------------------------- every one


@EVERY
def test_a_range_has_the_rows_of_its_decisions_on_their_own_to_the_last_bit(body: Body, days: list[date], home):
    alone = pd.concat([body(home, [day]) for day in days], ignore_index=True)
    pd.testing.assert_frame_equal(body(home, days), alone, check_exact=True)


@EVERY
def test_nothing_known_from_the_decision_on_makes_a_difference(body: Body, days: list[date], home, facts: Rows):
    for day in (days[-8 % len(days)], days[-1]):
        with other(facts, until=day) as before:
            pd.testing.assert_frame_equal(body(home, [day]), body(before, [day]), check_exact=True)


@EVERY
def test_every_row_is_valid(body: Body, days: list[date], home):
    rows = body(home, days)
    name = next(key for key, (one, _) in BODIES.items() if one is body)
    assert len(rows) and TABLES[name].check(rows).bad.empty


@EVERY
def test_an_empty_lake_gives_reasons_or_nothing_and_no_number(body: Body, days: list[date]):
    with MemoryLake() as lake:
        rows = body(lake, days[-2:])
    numbers = rows.select_dtypes("float64")
    assert numbers.isna().all(axis=None)
    assert "note" not in rows or rows["note"].notna().all()


class TestThroughDagster:
    @pytest.mark.parametrize("asset", analyses.ASSETS, ids=lambda one: one.node_def.name)
    def test_a_range_and_single_runs_store_the_same(self, asset: AssetsDefinition, home, facts: Rows):
        name = asset.node_def.name
        body, days = BODIES[name]
        days = days[-2:] if name == "attribution" else days[-3:]
        with other(facts) as lake:
            chosen = analysed.bench(lake, CHOSEN)
            assert analysed.materialise(asset, chosen, days).success
            whole = lake.read(TABLES[name])
            expected = TABLES[name].sort(body(home, days))
            pd.testing.assert_frame_equal(whole, expected, check_exact=True, check_dtype=False)
            result = analysed.materialise(asset, chosen, days[1:2])
            assert result.success and all(one.passed for one in result.get_asset_check_evaluations())
            (event,) = result.asset_materializations_for_node(name)
            assert event.metadata["changed"].value is False
            pd.testing.assert_frame_equal(lake.read(TABLES[name]), whole, check_exact=True)

    def test_an_empty_universe_warns_and_stops_nothing(self):
        with MemoryLake() as lake:
            result = analysed.materialise(analyses.universe_metrics, analysed.bench(lake, CHOSEN), [DAY])
        assert result.success
        failed = [one for one in result.get_asset_check_evaluations() if not one.passed]
        assert [one.check_name for one in failed] == ["something_is_listed"]

    def test_rows_that_do_not_sum_to_their_total_are_not_stored(self, home):
        rows = _attribution(home, [DAY])
        check = next(one for one in analyses.ATTRIBUTION_PRODUCT.checks if one.name == "rows_sum_to_the_total")
        assert check.problem and check.problem(rows, [DAY]) is None
        for column in ("contribution", "selection", "benchmark_contribution"):
            off = rows.assign(**{column: rows[column].where(rows["name"] != "beta", rows[column] + 1e-6)})
            assert "off by 1e-06" in (check.problem(off, [DAY]) or "")


# ------------------------------------------------------------------------------------------------------ factor betas


def _regression(excess: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and Newey-West errors, by the definition and in loops."""
    known = ~np.isnan(excess)
    y, x = excess[known], np.column_stack([np.ones(known.sum()), factors[known]])
    n, lags = len(y), int(4 * (known.sum() / 100) ** (2 / 9))
    beta = np.linalg.solve(x.T @ x, x.T @ y)
    scores = x * (y - x @ beta)[:, None]
    middle = scores.T @ scores
    for lag in range(1, lags + 1):
        cross = sum(np.outer(scores[t], scores[t - lag]) for t in range(lag, n))
        middle = middle + (1 - lag / (lags + 1)) * (cross + cross.T)
    bread = np.linalg.inv(x.T @ x)
    return beta, np.sqrt(np.diag(bread @ middle @ bread))


class TestFactorBetas:
    def library(self, facts: Rows, day: date) -> pd.DataFrame:
        rows = facts["fama_french_factors"]
        return rows[rows["known_on"] < pd.Timestamp(day)].set_index("event_date")

    @pytest.mark.parametrize("name", ["account", "beta", "cash"])
    def test_are_those_of_the_last_252_sessions_with_known_factors(self, name: str, home, facts: Rows):
        day = date(2024, 5, 6)
        library = self.library(facts, day)
        assert library.index[-1] == pd.Timestamp("2024-03-28")  # April is published in June
        window = library.tail(252)
        sleeves, equity = facts["strategy_returns"], facts["account_metrics_paper"].set_index("decision")["equity"]
        net = sleeves[sleeves["strategy"] == name].set_index("known_on")["net"]
        book = equity / equity.shift() - 1 if name == "account" else net
        excess = book.reindex(window.index).to_numpy() - window["rf"].to_numpy()
        beta, error = _regression(excess, window[FACTORS].to_numpy())
        rows = beta_rows(home, [day])
        own = rows[rows["portfolio"] == name].set_index("factor")
        scale = np.array([252.0, 1, 1, 1, 1, 1])
        np.testing.assert_allclose(own.loc[["alpha", *FACTORS], "value"], beta * scale, rtol=1e-9)
        np.testing.assert_allclose(own.loc[["alpha", *FACTORS], "error"], error * scale, rtol=1e-9)
        assert set(own.loc[["alpha", *FACTORS], "observations"]) == {int((~np.isnan(excess)).sum())}
        premia = 252 * library[FACTORS].mean().to_numpy()  # the home knows less than ten years
        assert own.loc["expected", "value"] == pytest.approx(252 * 1e-4 + beta[1:] @ premia, rel=1e-9)
        assert own.loc["expected", "observations"] == len(library) and own["note"].isna().all()

    def test_begin_with_a_sleeves_first_return_and_need_a_quarter_of_it(self, home, facts: Rows):
        begun, days = analysed.BEGUN["cash"].date(), MONDAYS
        rows = beta_rows(home, days)
        first = rows.loc[rows["portfolio"] == "cash", "decision"].min().date()
        assert first == min(day for day in days if day > begun)
        own = rows[(rows["portfolio"] == "cash") & (rows["factor"] == "mkt_rf")].set_index("decision")
        for day, row in own.iterrows():
            library = self.library(facts, pd.Timestamp(day).date())
            count = int((library.tail(252).index >= pd.Timestamp(begun)).sum())
            assert row["observations"] == count
            assert (row["note"] == row["note"]) == (count < 63) == np.isnan(row["value"])

    def test_use_a_revision_once_it_is_known_and_not_before(self, home, facts: Rows):
        told = pd.Timestamp("2024-04-17")
        again = facts["fama_french_factors"].loc[lambda f: f["event_date"] == pd.Timestamp("2024-01-10")]
        revised = pd.concat([facts["fama_french_factors"], again.assign(known_on=told, mkt_rf=0.2)])
        days = [date(2024, 4, 15), date(2024, 4, 22)]
        with other(facts, fama_french_factors=revised) as lake:
            rows, plain = beta_rows(lake, days), beta_rows(home, days)
        pd.testing.assert_frame_equal(of(rows, days[0]), of(plain, days[0]), check_exact=True)
        assert (of(rows, days[1])["value"] != of(plain, days[1])["value"]).all()

    def test_leave_out_a_factor_that_is_not_known_and_say_so(self, facts: Rows):
        three = facts["fama_french_factors"].assign(rmw=np.nan)
        window = self.library({"fama_french_factors": three}, DAY).tail(252)
        three.loc[three["event_date"] == window.index[0], "cma"] = np.nan  # the first session of the window
        three.loc[three["event_date"] < window.index[0], "hml"] = np.nan  # and all before it, which is no matter
        with other(facts, fama_french_factors=three) as lake:
            rows = beta_rows(lake, [DAY]).set_index(["portfolio", "factor"])
        assert rows.loc["account"]["note"].dropna().index.tolist() == ["rmw", "cma"]
        equity = facts["account_metrics_paper"].set_index("decision")["equity"].pct_change()
        excess = equity.reindex(window.index).to_numpy() - window["rf"].to_numpy()
        beta, _ = _regression(excess, window[FACTORS[:3]].to_numpy())
        np.testing.assert_allclose(rows.loc["account"].loc[FACTORS[:3], "value"], beta[1:], rtol=1e-9)

    def test_of_an_account_that_came_back_from_nothing_are_of_what_is_left(self, facts: Rows):
        equity = facts["account_metrics_paper"].copy()
        equity.loc[equity["decision"] == pd.Timestamp("2023-12-05"), "equity"] = 0.0  # the next return is infinite
        with other(facts, account_metrics_paper=equity) as lake:
            rows = beta_rows(lake, [DAY]).set_index(["portfolio", "factor"])
        assert rows.loc[("account", "alpha"), "observations"] == 251
        assert rows.loc["account"]["value"].notna().all()


# -------------------------------------------------------------------------------------------------- universe metrics


class TestUniverseMetrics:
    def closes(self, facts: Rows, symbol: str, day: date) -> pd.Series:
        """Total-return closes known before a day, by a loop over the bars."""
        rows = facts["prices"]
        rows = rows[rows["symbol"].isin([symbol, OLD] if symbol == NEW else [symbol])]
        value, found = 1.0, {}
        for bar in rows[rows["known_on"] < pd.Timestamp(day)].itertuples():
            value *= 1.0 + (0.0 if bar.total_return != bar.total_return else bar.total_return)
            found[bar.known_on] = value
        return pd.Series(found)

    @pytest.mark.parametrize("symbol", ["S05", FUND, NEW, LATE, HOLED])
    def test_are_those_of_the_closes_known_before(self, symbol: str, home, facts: Rows):
        closes, at = self.closes(facts, symbol, DAY), pd.Timestamp(DAY) - pd.Timedelta(days=1)
        row = metric_rows(home, [DAY]).set_index("symbol").loc[symbol]
        bars = facts["prices"].set_index(["symbol", "known_on"])
        last = bars.loc[(symbol, closes.index[-1])]
        assert row["close"] == last["close"]
        for name, back in (("7d", 7), ("30d", 30), ("90d", 90)):
            assert row[f"return_{name}"] == pytest.approx(
                closes.iloc[-1] / closes[: at - pd.Timedelta(days=back)].iloc[-1] - 1
            )
        for years in (1, 3, 5):
            before = closes[: at - pd.DateOffset(years=years)]
            expected = closes.iloc[-1] / before.iloc[-1] - 1 if len(before) else np.nan
            assert row[f"return_{years}y"] == pytest.approx(expected, nan_ok=True)
        year = closes[at - pd.DateOffset(years=1) - pd.Timedelta(days=7) :]
        begin = year[: at - pd.DateOffset(years=1)].index[-1]
        year = year[begin:]
        index = facts["sp500_index"].set_index("known_on")["close"][begin : year.index[-1]].pct_change()
        own = year.pct_change().dropna()
        assert row["volatility_1y"] == pytest.approx(own.std() * np.sqrt(252))
        assert row["max_drawdown_1y"] == pytest.approx((year / year.cummax() - 1).min())
        assert row["from_high_52w"] == pytest.approx(year.iloc[-1] / year.max() - 1)
        both = pd.concat([own, index.reindex(own.index)], axis=1)
        assert row["beta_1y"] == pytest.approx(both.cov().iloc[0, 1] / both.iloc[:, 1].var())
        traded = bars.loc[bars.index.get_level_values(0).isin([symbol, OLD] if symbol == NEW else [symbol])]
        dollars = (traded["close"] * traded["volume"]).sort_index(level=1)
        dollars = dollars[dollars.index.get_level_values(1) < pd.Timestamp(DAY)].tail(20).mean()
        assert row["dollar_volume_20"] == pytest.approx(dollars, nan_ok=True)

    def test_are_of_what_is_listed_at_the_decision_under_its_name_of_the_day(self, home):
        rows = metric_rows(home, [date(2024, 2, 12), date(2024, 2, 19), date(2024, 3, 4), date(2024, 3, 11)])
        named = {day.date(): set(own["symbol"]) for day, own in rows.groupby("decision")}
        assert [GONE in names for names in named.values()] == [True, False, False, False]
        assert [OLD in names for names in named.values()] == [True, True, True, False]
        assert [NEW in names for names in named.values()] == [False, False, False, True]
        assert all(len(names) == 41 - (GONE not in names) for names in named.values())

    def test_of_a_security_without_a_close_for_a_week_are_none(self, facts: Rows):
        silent = facts["prices"].loc[lambda f: (f["symbol"] != "S05") | (f["known_on"] < pd.Timestamp("2024-03-20"))]
        with other(facts, prices=silent) as lake:
            rows = metric_rows(lake, [DAY]).set_index("symbol")
        assert rows.loc["S05"].drop("decision").isna().all()
        assert rows.loc["S06", "close"] > 0

    def test_do_not_reach_across_a_bar_without_a_return(self, facts: Rows):
        broken = facts["prices"].copy()
        broken.loc[(broken["symbol"] == "S05") & (broken["known_on"] == pd.Timestamp("2024-02-01")), "total_return"] = (
            None
        )
        with other(facts, prices=broken) as lake:
            row = metric_rows(lake, [DAY]).set_index("symbol").loc["S05"]
        assert row["return_30d"] == row["return_30d"]
        assert np.isnan(row[["return_90d", "return_1y", "volatility_1y"]].astype(float)).all()

    def test_without_an_index_have_no_beta_and_all_else(self, facts: Rows):
        with other(facts, sp500_index=TABLES["sp500_index"].empty()) as lake:
            rows = metric_rows(lake, [DAY]).set_index("symbol")
        assert rows["beta_1y"].isna().all() and rows.loc["S05", "volatility_1y"] > 0


def test_closes_with_dividends_survive_what_no_price_should_do():
    nan = np.nan
    closes = np.array([[1.0, 1.0, 1.0, nan], [1.0, 1.0, 1.0, nan], [1.0, nan, 1.0, nan]])
    returns = np.array([[0.1, nan, 0.1, nan], [-1.0, 0.5, np.inf, nan], [0.5, nan, 0.2, nan]])
    found = with_dividends(closes, returns)
    np.testing.assert_allclose(found, [[nan, 1.0, 1.1, nan], [1.1, 1.5, nan, nan], [1.65, nan, nan, nan]])


# ------------------------------------------------------------------------------------------------------- attribution


def _linked(effects: Sequence[Sequence[float]], returns: Sequence[float], benchmark: Sequence[float]) -> np.ndarray:
    """Carino's linking, in a loop."""
    whole, beside = np.prod(1 + np.array(returns)) - 1, np.prod(1 + np.array(benchmark)) - 1
    scale = (log1p(whole) - log1p(beside)) / (whole - beside)
    total = np.zeros(len(effects[0]))
    for row, r, b in zip(effects, returns, benchmark, strict=True):
        k = (log1p(r) - log1p(b)) / (r - b) if abs(r - b) > 1e-12 else 1 / (1 + r)
        total += np.array(row) * k / scale
    return total


class TestAttributionBySleeve:
    def account(self, facts: Rows, day: date) -> tuple[list[dict[str, float]], list[float]]:
        """Shares at the beginning of every session of the quarter and costs, followed in dollars from the beginning."""
        net = facts["strategy_returns"].pivot(index="known_on", columns="strategy", values="net")
        table = facts["allocation"].pivot(index="decision", columns="sleeve", values="weight")[list(SLEEVES)]
        fills = {pd.Timestamp(calendar.roll_forward(d.date())): row for d, row in table.iterrows()}
        dollars, cash, sessions = dict.fromkeys(SLEEVES, 0.0), 1.0, quarter(day).astype("datetime64[us]")
        begins, costs = [], []
        begin, end = SESSIONS.searchsorted([min(fills), pd.Timestamp(day)])
        for session in SESSIONS[begin:end]:
            value = cash + sum(dollars.values())
            shares = {name: dollars[name] / value for name in SLEEVES}
            for name in SLEEVES:
                dollars[name] *= 1.0 + (net.loc[session, name] if dollars[name] else 0.0)
            cost = 0.0
            if session in fills:
                after = cash + sum(dollars.values())
                cost = 5e-4 * sum(abs(fills[session][name] * after - dollars[name]) for name in SLEEVES)
                dollars = {name: fills[session][name] * (after - cost) for name in SLEEVES}
                cash = after - cost - sum(dollars.values())
            if session in pd.DatetimeIndex(sessions):
                begins.append(shares)
                costs.append(cost / value)
        return begins, costs

    @pytest.mark.parametrize("day", [DAY, date(2024, 1, 1), date(2024, 5, 1)])
    def test_contributions_are_drifted_shares_times_net_returns(self, day: date, home, facts: Rows):
        begins, costs = self.account(facts, day)
        net = facts["strategy_returns"].pivot(index="known_on", columns="strategy", values="net")
        returns = net.reindex(pd.DatetimeIndex(quarter(day)).astype("datetime64[us]"))
        parts = [
            [s[n] * returns[n].iloc[t] if s[n] else 0.0 for n in SLEEVES] + [0.0, -costs[t]]
            for t, s in enumerate(begins)
        ]
        account = [sum(row) for row in parts]
        rows = of(_attribution(home, [day]), day)
        own = rows[rows["kind"] == "sleeve"].set_index("name")
        linked = _linked(parts, account, [0.0] * len(account))
        assert own.index.tolist() == [*SLEEVES, CASH, "$COST", "$TOTAL"]
        np.testing.assert_allclose(own["contribution"].iloc[:-1], linked, atol=1e-12)
        assert own.loc["$TOTAL", "contribution"] == pytest.approx(np.prod(1 + np.array(account)) - 1, abs=1e-12)
        means = pd.DataFrame(begins).mean()
        np.testing.assert_allclose(own.loc[list(SLEEVES), "weight"], means[list(SLEEVES)], atol=1e-9)

    def test_effects_are_against_all_sleeves_alike_as_far_as_they_had_begun(self, home, facts: Rows):
        day = date(2024, 1, 1)  # the third sleeve began in the middle
        begins, costs = self.account(facts, day)
        net = facts["strategy_returns"].pivot(index="known_on", columns="strategy", values="net")
        returns = net.reindex(pd.DatetimeIndex(quarter(day)).astype("datetime64[us]"))
        effects, account, beside = [], [], []
        for t, shares in enumerate(begins):
            earned = returns.iloc[t].dropna()
            benchmark, v = earned.mean(), 1 / len(earned)
            row = [(shares[n] - v) * (earned[n] - benchmark) if n in earned else 0.0 for n in SLEEVES]
            idle = 1 - sum(shares.values())
            effects.append([*row, idle * (0.0 - benchmark)])
            account.append(sum(shares[n] * earned.get(n, 0.0) for n in SLEEVES) - costs[t])
            beside.append(benchmark)
        own = of(_attribution(home, [day]), day).query("kind == 'sleeve'").set_index("name")
        np.testing.assert_allclose(own["allocation"].iloc[:-2], _linked(effects, account, beside), atol=1e-12)
        lost = _linked([[-c] for c in costs], account, beside)
        assert own.loc["$COST", "selection"] == pytest.approx(lost[0], abs=1e-12)
        assert (own.loc[[*SLEEVES, CASH], ["selection", "interaction"]] == 0.0).all(axis=None)
        assert own.loc["$TOTAL", "benchmark_contribution"] == pytest.approx(np.prod(1 + np.array(beside)) - 1)

    def test_before_any_sleeve_has_begun_account_and_benchmark_are_cash(self, home):
        own = _attribution(home, [date(2021, 3, 1)]).query("kind == 'sleeve'").set_index("name")
        sessions = quarter(date(2021, 3, 1)).astype("datetime64[us]")
        idle = (sessions < np.datetime64(analysed.BEGUN["alpha"])).mean()
        assert own.index.tolist() == ["alpha", CASH, "$COST", "$TOTAL"]
        assert own.loc[CASH, ["weight", "benchmark_weight"]].tolist() == [1.0, pytest.approx(idle)]
        assert own.loc["$TOTAL", "contribution"] == 0.0 != own.loc["$TOTAL", "benchmark_contribution"]

    def test_a_share_of_what_has_no_return_is_said_and_not_made_up(self, facts: Rows):
        hole = facts["strategy_returns"].loc[
            lambda f: (f["strategy"] != "beta") | (f["known_on"] != pd.Timestamp("2024-02-06"))
        ]
        with other(facts, strategy_returns=hole) as lake:
            rows = _attribution(lake, [DAY])
        (row,) = rows[rows["kind"] == "sleeve"].itertuples()
        assert (row.name, row.note) == ("$TOTAL", "a group that is held has no return")
        assert len(rows[rows["kind"] == "sector"]) > 1  # the other kind goes on

    def test_an_allocation_all_in_cash_empties_the_sleeves(self, facts: Rows):
        shares = facts["allocation"]
        since = shares["decision"] >= pd.Timestamp("2024-01-02")
        idle = shares[since].drop_duplicates("decision").assign(sleeve=CASH, weight=1.0)
        with other(facts, allocation=pd.concat([shares[~since], idle])) as lake:
            own = _attribution(lake, [date(2024, 5, 1)]).query("kind == 'sleeve'").set_index("name")
        assert own.loc[CASH, "weight"] == 1.0 and own.loc["$TOTAL", "contribution"] == 0.0

    def test_cash_earns_what_the_settings_say(self, home, facts: Rows):
        earning = CHOSEN.model_copy(update={"cash_interest": True})
        alone, rows = (attribution_rows(home, days, earning) for days in ([DAY], [*MONTHS[:1], DAY]))
        pd.testing.assert_frame_equal(of(rows, DAY), of(alone, DAY), check_exact=True)
        own = alone.set_index(["kind", "name"])["contribution"]
        begins, _ = self.account(facts, DAY)
        about = np.mean([1 - sum(shares.values()) for shares in begins]) * 0.047 / 4  # a rate near 4.7 % for a quarter
        assert own["sleeve", CASH] == pytest.approx(about, rel=0.1)
        assert own["sector", CASH] > 0


class TestAttributionBySector:
    def day_by_day(self, facts: Rows, day: date) -> pd.DataFrame:
        """Weights and returns of every sector each session, in loops over the raw rows."""
        bars = facts["prices"].assign(symbol=facts["prices"]["symbol"].replace({OLD: NEW}))
        earned = bars.pivot(index="known_on", columns="symbol", values="total_return")
        told = facts["universe"].assign(symbol=facts["universe"]["symbol"].replace({OLD: NEW}))
        first = pd.Timestamp(quarter(day)[0])
        told = told[told["known_on"] < first].drop_duplicates(["symbol"], keep="last")
        stocks = told[(told["action"] == "add") & (told["kind"] == "stock")]["symbol"].tolist()
        sector = {r.symbol: r.sector if r.sector in ("Energy", "Utilities") else "$UNKNOWN" for r in told.itertuples()}
        sector[FUND] = "$FUNDS"
        targets = facts["portfolios"].loc[lambda f: f["symbol"] != CASH]
        targets = targets.assign(symbol=targets["symbol"].replace({OLD: NEW}))
        held = targets.groupby(["decision", "symbol"])["weight"].sum()
        rows = []
        for session in pd.DatetimeIndex(quarter(day)).astype("datetime64[us]"):
            before = pd.Timestamp(calendar.previous_session(session.date()))
            today = earned.loc[session].dropna()
            own = held.loc[before]
            peers = [name for name in stocks if name in today]
            for name in sorted({*own.index, *peers}):
                w, v, r = own.get(name, 0.0), (name in peers) / len(peers), today.get(name, 0.0)
                rows.append((session, sector[name], w, v, w * r, v * r))
        table = pd.DataFrame(rows, columns=["session", "sector", "w", "v", "wr", "vb"])
        return table.groupby(["session", "sector"]).sum()

    @pytest.mark.parametrize("day", [date(2024, 3, 1), DAY])
    def test_effects_are_those_of_targets_against_the_listed_stocks_alike(self, day: date, home, facts: Rows):
        table = self.day_by_day(facts, day)
        names = ["$FUNDS", "$UNKNOWN", "Energy", "Utilities"]
        effects, parts, account, beside = [], [], [], []
        for _, rows in table.groupby(level="session"):
            rows = rows.droplevel("session").reindex(names, fill_value=0.0)
            r, b = rows["wr"] / rows["w"], rows["vb"] / rows["v"]
            r, b = r.fillna(b), b.fillna(r)
            whole, idle = rows["vb"].sum(), 1 - rows["w"].sum()
            one = [(rows["w"] - rows["v"]) * (b - whole), rows["v"] * (r - b), (rows["w"] - rows["v"]) * (r - b)]
            effects.append([*np.concatenate(one), -idle * whole])
            parts.append(rows["wr"].tolist())
            account.append(rows["wr"].sum())
            beside.append(whole)
        linked = _linked(effects, account, beside)
        own = of(_attribution(home, [day]), day).query("kind == 'sector'").set_index("name")
        assert own.index.tolist() == [*names, CASH, "$TOTAL"]
        for at, effect in enumerate(("allocation", "selection", "interaction")):
            np.testing.assert_allclose(own.loc[names, effect], linked[4 * at : 4 * at + 4], atol=1e-12)
        assert own.loc[CASH, "allocation"] == pytest.approx(linked[-1], abs=1e-12)
        contributions = _linked(parts, account, [0.0] * len(account))
        np.testing.assert_allclose(own.loc[names, "contribution"], contributions, atol=1e-12)
        active = np.prod(1 + np.array(account)) - np.prod(1 + np.array(beside))
        sums = own.loc["$TOTAL", ["allocation", "selection", "interaction"]].astype(float).sum()
        assert sums == pytest.approx(active, abs=1e-12)

    def test_the_benchmark_is_the_index_of_the_settings(self, facts: Rows, home):
        chosen = CHOSEN.model_copy(update={"universe_index": "SP500"})
        own = attribution_rows(home, [DAY], chosen).query("kind == 'sector'").set_index("name")
        every = _attribution(home, [DAY]).query("kind == 'sector'").set_index("name")
        # Odd stocks are its members: of the sectors only the second and the fourth.
        assert own.loc["Energy", "benchmark_weight"] == 0.0 < every.loc["Energy", "benchmark_weight"]
        np.testing.assert_allclose(own["contribution"], every["contribution"], rtol=1e-12)

    def test_a_stock_listed_on_the_first_day_of_the_three_months_is_not_of_the_benchmark(self, home, facts: Rows):
        first = pd.Timestamp(quarter(DAY)[0])
        universe = facts["universe"].copy()
        universe.loc[universe["symbol"] == "S05", ["known_on", "event_date"]] = first, first
        with other(facts, universe=universe) as lake:
            fewer, every = (
                _attribution(one, [DAY]).query("kind == 'sector'").set_index("name") for one in (lake, home)
            )
        weight = "benchmark_weight"
        assert 9 / 39 < fewer.loc["Utilities", weight] < 9 / 38  # one of another sector leaves on the way
        assert 10 / 40 < every.loc["Utilities", weight] < 10 / 39
        assert fewer.loc["Utilities", "weight"] == every.loc["Utilities", "weight"]

    def test_what_left_the_exchange_before_is_cash(self, home, facts: Rows):
        day = date(2024, 6, 1)  # the three months begin after the delisting, and the target names it to the end
        own = _attribution(home, [day]).query("kind == 'sector'")
        assert own["note"].isna().all()
        unknown = facts["corporate_actions"].loc[lambda f: f["kind"] != "delisting"]
        with other(facts, corporate_actions=unknown) as lake:
            (row,) = _attribution(lake, [day]).query("kind == 'sector'").itertuples()
        assert row.note == f"{GONE} is held and has no price"

    def test_a_session_without_any_price_is_said(self, facts: Rows):
        for lost in ("2024-02-06", "2024-03-28"):
            hole = facts["prices"].loc[lambda f, lost=lost: f["known_on"] != pd.Timestamp(lost)]
            with other(facts, prices=hole) as lake:
                (row,) = _attribution(lake, [DAY]).query("kind == 'sector'").itertuples()
            assert row.note == f"no price of {lost} is known"

    def test_before_the_first_target_all_is_cash(self, home):
        own = _attribution(home, [date(2023, 3, 1)]).query("kind == 'sector'").set_index("name")
        assert own.loc[CASH, "weight"] == 1.0 and own.loc["$TOTAL", "contribution"] == 0.0
        assert own.loc["$TOTAL", "benchmark_contribution"] != 0.0


def test_a_quarter_is_three_months_of_sessions_before_the_decision():
    for day in [date(2024, 1, 1), date(2024, 3, 1), DAY, date(2023, 12, 1)]:
        found = quarter(day).astype(object)
        first = (pd.Timestamp(day) - pd.DateOffset(months=3)).date()
        assert found.tolist() == calendar.sessions(first, day - timedelta(1))
