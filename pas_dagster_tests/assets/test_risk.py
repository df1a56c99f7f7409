"""The risk report: numbers against plain computations, the cut at the decision, and null with a note where none is."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pas_dagster import calendar, settings
from pas_dagster.assets import risk, weeks
from pas_dagster.assets.limits import FUNDS
from pas_dagster.assets.risk import report_rows
from pas_dagster.schemas import TABLES
from pas_dagster.strategies.contract import CASH
from pas_dagster_tests.assets import analysed
from pas_dagster_tests.assets.analysed import FUND, LATE, NEW, OLD, RENAMED, SLEEVES
from pas_dagster_tests.assets.conftest import MemoryLake

CHOSEN = settings.load(home=Path("unused"), world="real", database_url=None, start=date(2018, 1, 2))
FACTORS = ["mkt_rf", "smb", "hml", "rmw", "cma"]
NAMES = ("exposures", "risk_metrics", "stress")
FIRST_TARGET = date(2023, 3, 1)
SOME = calendar.Cadence.WEEKLY_MON.nominal_days(date(2024, 2, 5), date(2024, 4, 15))  # a delisting, a rename, holidays
DAY = date(2024, 4, 1)  # the session before is a Thursday
BEFORE = pd.Timestamp("2024-03-28")
Rows = dict[str, pd.DataFrame]


@pytest.fixture(scope="module", autouse=True)
def made_sleeves() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weeks, "STRATEGIES", dict.fromkeys(SLEEVES))
        yield


@pytest.fixture(scope="module")
def facts() -> Rows:
    """The made home, with a share for each sleeve, a sector that changes on a Monday, and a rate that varies."""
    rows = analysed.world()
    shares = rows["portfolios"]["sleeve"].map({"alpha": 0.55, "beta": 0.4})
    moved = rows["universe"][rows["universe"]["symbol"] == "S05"].assign(known_on=pd.Timestamp(SOME[5]), sector="Moved")
    return {
        **rows,
        "portfolios": rows["portfolios"].assign(sleeve_share=shares),
        "universe": pd.concat([rows["universe"], moved], ignore_index=True),
        "fama_french_factors": rows["fama_french_factors"].assign(rf=lambda f: f["smb"].abs()),
    }


@pytest.fixture(scope="module")
def home(facts: Rows) -> Iterator[MemoryLake]:
    with MemoryLake() as made:
        yield analysed.store(made, facts)


@pytest.fixture(scope="module")
def report(home: MemoryLake) -> Rows:
    return report_rows(home, SOME)


def other(facts: Rows, until: date | None = None, **changed: pd.DataFrame) -> MemoryLake:
    return analysed.store(MemoryLake(), {**facts, **changed}, until)


def without(facts: Rows, *names: str) -> Rows:
    return {name: rows for name, rows in facts.items() if name not in names}


def of(rows: pd.DataFrame, day: date) -> pd.DataFrame:
    return rows[rows["decision"] == pd.Timestamp(day)].reset_index(drop=True)


def exposures(report: Rows, kind: str, column: str = "value", day: date = DAY) -> dict[str, float]:
    rows = of(report["exposures"], day)
    rows = rows[rows["kind"] == kind]
    return dict(zip(rows["name"], rows[column], strict=True))


def numbers(report: Rows, column: str = "value", day: date = DAY) -> dict[str, Any]:
    rows = of(report["risk_metrics"], day)
    return dict(zip(rows["metric"], rows[column], strict=True))


def scenarios(report: Rows, day: date = DAY) -> pd.DataFrame:
    return of(report["stress"], day).set_index("scenario")


def held(facts: Rows, session: pd.Timestamp) -> pd.DataFrame:
    rows = facts["portfolios"]
    return rows[(rows["decision"] == session) & (rows["symbol"] != CASH)]


def sleeve_returns(facts: Rows, day: date) -> pd.DataFrame:
    rows = facts["strategy_returns"]
    wide = rows.pivot(index="known_on", columns="strategy", values="net")
    return wide[wide.index < pd.Timestamp(day)].iloc[-252:]


# ------------------------------------------------------------------------------------------ ranges and the past


def test_a_range_has_the_rows_of_its_decisions_made_one_after_the_other(facts: Rows, report: Rows):
    with other(facts) as lake:
        parts = []
        for day in SOME:
            parts.append(report_rows(lake, [day]))
            for name in NAMES:
                lake.replace(TABLES[name], [day], parts[-1][name])
        again = report_rows(lake, SOME)
    for name in NAMES:
        alone = pd.concat([part[name] for part in parts], ignore_index=True)
        pd.testing.assert_frame_equal(report[name], alone, check_exact=True)
        pd.testing.assert_frame_equal(again[name], report[name], check_exact=True)


@pytest.mark.parametrize("day", [SOME[2], SOME[-1]])
def test_nothing_known_from_the_decision_on_makes_a_difference(facts: Rows, home: MemoryLake, report: Rows, day: date):
    """Later prices, sectors, targets, marks, returns, factors and reports."""
    with other(facts, until=day) as before, other(facts) as full:
        cut = report_rows(before, [day])
        sector = facts["universe"].iloc[[5]].assign(known_on=pd.Timestamp(day), sector="Elsewhere")
        full.replace(TABLES["universe"], [day], sector)
        nonsense = of(report["risk_metrics"], SOME[-1]).assign(value=-0.5)
        for late in (one for one in SOME if one >= day):
            full.replace(TABLES["risk_metrics"], [late], nonsense.assign(decision=pd.Timestamp(late)))
        seen = report_rows(full, [day])
        single = report_rows(home, [day])
    for name in NAMES:
        pd.testing.assert_frame_equal(cut[name], single[name], check_exact=True)
        pd.testing.assert_frame_equal(seen[name], single[name], check_exact=True)


def test_every_row_is_valid(report: Rows):
    for name in NAMES:
        assert len(report[name]) and TABLES[name].check(report[name]).bad.empty, name


# ---------------------------------------------------------------------------------------------------- exposures


def test_exposures_are_those_of_the_target_of_the_session_before(facts: Rows, report: Rows):
    own = held(facts, BEFORE)
    names = own.groupby("symbol")["weight"].sum()
    assert exposures(report, "name") == pytest.approx(names.to_dict())
    assert exposures(report, "name", "sleeves") == own.groupby("symbol")["sleeve"].nunique().to_dict()
    assert exposures(report, "name", "sleeves")["S05"] == 2
    gross = names.abs().sum()
    totals = {"gross": gross, "net": gross, "long": gross, "short": 0.0, "cash": 1.0 - gross}
    assert exposures(report, "total") == pytest.approx(totals)
    assert numbers(report)["gross"] == numbers(report)["net"] == pytest.approx(gross)
    assert numbers(report)["largest_name"] == pytest.approx(names.max())
    assert exposures(report, "sleeve") == pytest.approx({"alpha": 0.55, "beta": 0.4})


def test_sectors_are_those_known_before_and_sum_to_the_net(facts: Rows, report: Rows):
    names = held(facts, BEFORE).groupby("symbol")["weight"].sum()
    told = facts["universe"][facts["universe"]["known_on"] < pd.Timestamp(DAY)].drop_duplicates("symbol", keep="last")
    sector = told.set_index("symbol")["sector"].where(told.set_index("symbol")["kind"] == "stock", FUNDS)
    expected = names.groupby(names.index.map(sector).fillna("unknown")).sum()
    assert {FUNDS, "unknown"} < set(expected.index)
    assert exposures(report, "sector") == pytest.approx(expected.to_dict())
    assert sum(exposures(report, "sector").values()) == pytest.approx(numbers(report)["net"])
    assert numbers(report)["largest_sector"] == pytest.approx(expected.drop(FUNDS).max())


def test_funds_are_no_largest_sector(facts: Rows, home: MemoryLake):
    only = facts["portfolios"][facts["portfolios"]["symbol"].isin([FUND, CASH])]
    with other(without(facts, "portfolios"), portfolios=only) as lake:
        found = report_rows(lake, [DAY])
    assert exposures(found, "sector")[FUNDS] == numbers(found)["gross"] > 0.0
    assert numbers(found)["largest_sector"] == 0.0


def test_dollars_are_the_fraction_of_the_equity_at_the_targets_session(facts: Rows, report: Rows):
    equity = facts["account_metrics_paper"].set_index("decision")["equity"][BEFORE]
    rows = of(report["exposures"], DAY)
    dollars = rows[rows["kind"] != "factor"]
    np.testing.assert_allclose(dollars["usd"], dollars["value"] * equity, rtol=1e-12)
    assert rows.loc[rows["kind"] == "factor", "usd"].isna().all()
    value, usd = numbers(report), numbers(report, "usd")
    for metric in ("gross", "largest_name", "var_95_historical", "cvar_99_gaussian", "var_99_monte_carlo"):
        assert usd[metric] == pytest.approx(value[metric] * equity, rel=1e-12)
    assert all(pd.isna(usd[name]) for name in ("expected_volatility", "kupiec_p", "kupiec_exceptions"))
    stress = of(report["stress"], DAY)
    np.testing.assert_allclose(stress["usd"], stress["value"] * equity, rtol=1e-12)


def test_risk_shares_of_the_sleeves_sum_to_one(facts: Rows, report: Rows):
    found = exposures(report, "sleeve", "risk")
    assert sum(found.values()) == pytest.approx(1.0)
    for kind in ("total", "name", "sector", "factor"):
        assert all(np.isnan(value) for value in exposures(report, kind, "risk").values())
    shares = np.array([0.55, 0.4])
    cov = np.cov(sleeve_returns(facts, DAY)[["alpha", "beta"]].to_numpy(), rowvar=False)
    rough = shares * (cov @ shares) / (shares @ cov @ shares)  # not shrunk
    assert [found["alpha"], found["beta"]] == pytest.approx(rough.tolist(), abs=0.02)
    assert numbers(report)["expected_volatility"] == pytest.approx(np.sqrt(shares @ cov @ shares * 252), rel=0.02)


def test_factor_exposures_are_the_weighted_betas_of_the_names(facts: Rows, report: Rows):
    names = held(facts, BEFORE).groupby("symbol")["weight"].sum()
    prices = facts["prices"].replace({"symbol": {OLD: NEW}})
    wide = prices.pivot(index="known_on", columns="symbol", values="total_return")
    wide = wide[wide.index < pd.Timestamp(DAY)]
    known = facts["fama_french_factors"]
    known = known[known["known_on"] < pd.Timestamp(DAY)].set_index("event_date").iloc[-252:]
    expected = dict.fromkeys(FACTORS, 0.0)
    for symbol, weight in names.items():
        excess = wide[symbol].reindex(known.index) - known["rf"]
        there = excess.notna()
        x = np.column_stack([np.ones(there.sum()), known.loc[there, FACTORS]])
        betas = np.linalg.lstsq(x, excess[there].to_numpy(), rcond=None)[0][1:]
        for factor, beta in zip(FACTORS, betas, strict=True):
            expected[factor] += weight * beta
    assert exposures(report, "factor") == pytest.approx(expected, rel=1e-9)


# ------------------------------------------------------------------------------------------------ value at risk


def test_value_at_risk_is_of_the_sleeves_at_their_shares(facts: Rows, report: Rows):
    book = sleeve_returns(facts, DAY)[["alpha", "beta"]].to_numpy() @ [0.55, 0.4]
    assert len(book) == 252
    value, notes = numbers(report), numbers(report, "note")
    for level, order in ((95, np.sort(book)[: int(251 * 0.05) + 1]), (99, np.sort(book)[: int(251 * 0.01) + 1])):
        assert value[f"cvar_{level}_historical"] <= value[f"var_{level}_historical"] < 0.0
        assert value[f"var_{level}_historical"] == pytest.approx(np.quantile(book, 1 - level / 100), abs=0.0005)
        assert value[f"cvar_{level}_historical"] == pytest.approx(order.mean(), abs=1e-12)
        z = {95: -1.6448536, 99: -2.3263479}[level]
        assert value[f"var_{level}_gaussian"] == pytest.approx(book.mean() + z * book.std(ddof=1), rel=1e-6)
        assert value[f"var_{level}_monte_carlo"] == pytest.approx(value[f"var_{level}_gaussian"], rel=0.25)
    assert {notes[name] for name in notes if "var_" in name} == {"252 sessions"}
    errors = numbers(report, "error")
    assert all((errors[name] > 0.0) == name.endswith("monte_carlo") for name in errors)


def test_without_enough_sessions_it_is_null_with_a_note(facts: Rows):
    short = facts["strategy_returns"][facts["strategy_returns"]["known_on"] >= pd.Timestamp("2024-03-18")]
    with other(without(facts, "prices"), strategy_returns=short) as lake:
        found = report_rows(lake, [DAY])
    rows = of(found["risk_metrics"], DAY).set_index("metric")
    tails = rows[rows.index.str.contains("var_")]
    assert tails[["value", "usd", "error"]].isna().all(axis=None)
    assert tails["note"].str.contains("needs 20 periods, there are 9").sum() == 6
    assert tails["note"].str.contains("needs 100 periods, there are 9").sum() == 6
    assert np.isnan(rows.at["expected_volatility", "value"])
    assert rows.at["expected_volatility", "note"] == "9 sessions are known of all sleeves, 20 are needed"
    assert all(np.isnan(value) for value in exposures(found, "sleeve", "risk").values())
    assert not found["stress"]["scenario"].str.startswith("VaR").any()


# ---------------------------------------------------------------------------------------------------- coverage


def with_forecasts(facts: Rows, forecasts: dict[date, float | None]) -> pd.DataFrame:
    rows = [{"decision": day, "metric": "var_95_historical", "value": value} for day, value in forecasts.items()]
    rows += [{"decision": day, "metric": "var_99_historical", "value": -1.0} for day in forecasts]
    return TABLES["risk_metrics"].conform(pd.DataFrame(rows))


def test_coverage_counts_losses_beyond_the_forecast_of_their_own_week(facts: Rows):
    """Each session is judged by the newest Monday's forecast at or before it; a Monday without one has none."""
    mondays = calendar.Cadence.WEEKLY_MON.nominal_days(date(2023, 3, 6), date(2024, 3, 25))
    rng = np.random.default_rng(4)
    forecasts: dict[date, float | None] = {day: -float(rng.uniform(0.001, 0.008)) for day in mondays}
    forecasts[mondays[30]] = None
    equity = facts["account_metrics_paper"].set_index("decision")["equity"]
    expected, sessions = 0, 0
    for session, move in equity.pct_change()[lambda s: s.index < pd.Timestamp(DAY)].iloc[-250:].items():
        due = [value for day, value in forecasts.items() if pd.Timestamp(day) <= session]
        if due and due[-1] is not None:
            sessions += 1
            expected += move < due[-1]
    with other(facts, risk_metrics=with_forecasts(facts, forecasts)) as lake:
        found = report_rows(lake, [DAY])
    assert expected > 10
    assert numbers(found)["kupiec_exceptions"] == expected
    assert f"{expected} losses beyond the forecast in {sessions} periods" in numbers(found, "note")["kupiec_p"]
    assert 0.0 <= numbers(found)["kupiec_p"] <= 1.0


def test_without_forecasts_coverage_is_insufficient(report: Rows):
    assert np.isnan(numbers(report, day=SOME[0])["kupiec_p"])
    assert numbers(report, "note", day=SOME[0])["kupiec_p"].startswith("insufficient: 0 periods")
    assert numbers(report, "note", day=SOME[1])["kupiec_p"].startswith("insufficient: 5 periods")
    assert "4 losses beyond the forecast in 24 periods" in numbers(report, "note", day=SOME[5])["kupiec_p"]


# ------------------------------------------------------------------------------------------------------- stress


def test_replays_reach_as_far_as_the_data(facts: Rows, report: Rows):
    found = scenarios(report)
    for name in ("dot-com", "2008"):
        assert (
            np.isnan(found.at[name, "value"])
            and np.isnan(found.at[name, "usd"])
            and np.isnan(found.at[name, "drawdown"])
        )
        assert found.at[name, "covered"] == 0.0
        assert found.at[name, "note"].startswith("the returns are of 2018-01-02 to 2024-03-28")
    names = held(facts, BEFORE).groupby("symbol")["weight"].sum()
    prices = (
        facts["prices"].replace({"symbol": {OLD: NEW}}).pivot(index="known_on", columns="symbol", values="total_return")
    )
    for name, start, end in (("2020", "2020-02-19", "2020-03-23"), ("2022", "2022-01-03", "2022-10-12")):
        inside = prices[(prices.index > start) & (prices.index <= end)][names.index]
        account = 1.0 + ((1.0 + inside).cumprod() - 1.0).to_numpy() @ names.to_numpy()
        high = np.maximum.accumulate(np.concatenate([[1.0], account]))[1:]
        assert found.at[name, "value"] == pytest.approx(account[-1] - 1.0)
        assert found.at[name, "drawdown"] == pytest.approx((account / high - 1.0).min())
        assert found.at[name, "covered"] == pytest.approx(1.0)
        assert pd.isna(found.at[name, "note"])


def test_shocks_are_sums_over_what_they_are_known_of(facts: Rows, report: Rows):
    found = scenarios(report)
    gross = numbers(report)["gross"]
    assert found.at["every name -10%", "value"] == pytest.approx(-0.1 * gross)
    assert found.at["every name -20%", "value"] == pytest.approx(-0.2 * gross)
    market = exposures(report, "factor")["mkt_rf"]
    assert found.at["the market -20%", "value"] == pytest.approx(-0.2 * market)
    sectors = exposures(report, "sector")
    for name, size in sectors.items():
        if name != "unknown":
            assert found.at[f"{name} -20%", "value"] == pytest.approx(-0.2 * size)
            assert found.at[f"{name} -20%", "covered"] == pytest.approx(1.0 - sectors["unknown"] / gross)
            assert found.at[f"{name} -20%", "note"] == "not known of 2 symbols"
    volatility = numbers(report)["expected_volatility"]
    doubled = found.at["VaR 95% if volatilities double", "value"]
    assert doubled == pytest.approx(-1.6448536 * 2.0 * volatility / np.sqrt(252), rel=1e-6)
    assert doubled / 2.0 > found.at["VaR 95% if all correlations are 1", "value"] > doubled
    assert found["covered"].between(0.0, 1.0 + 1e-12).all()


def test_the_reach_of_the_data_is_that_of_the_book_whatever_else_is_loaded(facts: Rows):
    """In a range the prices of other books are there too, which must not change what is said of this one."""
    rows = facts["portfolios"]
    young = pd.Timestamp("2024-03-21") <= rows["decision"]
    alone = rows[~young | rows["symbol"].isin(["S05", CASH])]
    alone = alone.assign(symbol=alone["symbol"].mask(young & (alone["symbol"] == "S05"), LATE))
    with other(facts, portfolios=alone) as lake:
        single, both = report_rows(lake, [DAY]), report_rows(lake, SOME)
    assert set(exposures(single, "name")) == {LATE}
    assert scenarios(single).at["2020", "note"].startswith("the returns are of 2022-06-")
    for name in NAMES[::2]:
        pd.testing.assert_frame_equal(of(single[name], DAY), of(both[name], DAY), check_exact=True)


def test_a_name_that_changes_on_the_day_of_the_report_keeps_its_past(facts: Rows, home: MemoryLake):
    """The target of the session before calls it by its old symbol, the prices by the one of the day."""
    day = RENAMED.date()
    found = report_rows(home, [day])
    assert OLD in exposures(found, "name", day=day) and NEW not in exposures(found, "name", day=day)
    assert scenarios(found, day).at["2020", "covered"] == pytest.approx(1.0)
    assert scenarios(found, day).at["the market -10%", "covered"] == pytest.approx(1.0)


# ---------------------------------------------------------------------------------------------- what is not there


def test_decisions_before_any_target_have_no_row(facts: Rows, home: MemoryLake):
    early = [date(2023, 2, 20), date(2023, 2, 27)]
    none = report_rows(home, early)
    assert all(none[name].empty and none[name].columns.tolist() == TABLES[name].names for name in NAMES)
    first = report_rows(home, [*early, FIRST_TARGET, date(2023, 3, 6)])  # a target of the day itself is not known yet
    for name in NAMES:
        assert {day.date() for day in first[name]["decision"]} == {date(2023, 3, 6)}
    with MemoryLake() as empty:
        assert all(rows.empty for rows in report_rows(empty, SOME).values())


def test_an_account_that_was_never_marked_has_no_dollars(facts: Rows):
    with other(without(facts, "account_metrics_paper")) as lake:
        found = report_rows(lake, [DAY])
    for name in NAMES:
        assert found[name]["usd"].isna().all(), name
        assert TABLES[name].check(found[name]).bad.empty
    assert found["stress"]["value"].notna().sum() > 5
    assert numbers(found)["kupiec_exceptions"] == 0.0 and np.isnan(numbers(found)["kupiec_p"])


def test_a_universe_without_sectors_is_one_unknown_sector(facts: Rows):
    with other(without(facts, "universe")) as lake:
        found = report_rows(lake, [DAY])
    gross = numbers(found)["gross"]
    assert exposures(found, "sector") == {"unknown": pytest.approx(gross)}
    assert numbers(found)["largest_sector"] == pytest.approx(gross)
    shocks = scenarios(found).index
    assert sum(name.endswith("-20%") for name in shocks) == 2  # every name, the market, and no sector


def test_without_factors_there_are_no_betas_and_no_market_shock(facts: Rows):
    with other(without(facts, "fama_french_factors")) as lake:
        found = report_rows(lake, [DAY])
    assert exposures(found, "factor") == {}
    assert not scenarios(found).index.str.startswith("the market").any()


def test_betas_that_are_known_of_no_name_are_no_zeros(facts: Rows):
    rows = facts["portfolios"]
    renamed = rows.assign(symbol=rows["symbol"].where(rows["symbol"] == CASH, "NOPE")).drop_duplicates(
        ["decision", "sleeve", "symbol"]
    )
    with other(facts, portfolios=renamed) as lake:
        found = report_rows(lake, [DAY])
    assert set(exposures(found, "name")) == {"NOPE"}
    assert exposures(found, "factor") == {}
    shock = scenarios(found).loc["the market -20%"]
    assert np.isnan(shock["value"]) and np.isnan(shock["usd"])
    assert shock["covered"] == 0.0 and shock["note"] == "not known of 1 symbols"
    assert scenarios(found).at["every name -10%", "value"] == pytest.approx(-0.1 * numbers(found)["gross"])


@pytest.mark.parametrize("share", [0.0, 0.5], ids=["no sleeve has a share", "the sleeves are in cash"])
def test_a_target_that_is_all_cash_has_exposures_of_zero(facts: Rows, share: float):
    idle = facts["portfolios"][facts["portfolios"]["symbol"] == CASH].assign(sleeve_share=share, sleeve_weight=1.0)
    with other(without(facts, "prices"), portfolios=idle) as lake:
        found = report_rows(lake, [DAY])
    for name in NAMES:
        assert TABLES[name].check(found[name]).bad.empty
    assert exposures(found, "total") == {"gross": 0.0, "net": 0.0, "long": 0.0, "short": 0.0, "cash": 1.0}
    assert exposures(found, "sleeve") == {"alpha": share, "beta": share}
    for kind in ("name", "sector", "factor"):
        assert exposures(found, kind) == {}
    assert numbers(found)["largest_sector"] == numbers(found)["largest_name"] == 0.0
    tail = of(found["risk_metrics"], DAY).set_index("metric").loc["var_95_historical"]
    if share:
        assert tail["value"] < 0.0  # the sleeves may buy again
    else:
        assert np.isnan(tail["value"]) and tail["note"] == "nothing is held"
        assert numbers(found, "note")["expected_volatility"] == "no sleeve has a share"
    assert found["stress"].empty


# --------------------------------------------------------------------------------------------- through Dagster


def test_through_dagster_a_range_and_a_single_run_store_the_same(facts: Rows, report: Rows):
    with other(facts) as lake:
        bench = analysed.bench(lake, CHOSEN)
        days: Sequence[date] = SOME[:4]
        assert analysed.materialise(risk.risk_report, bench, days).success
        for name in NAMES:
            expected = report[name][report[name]["decision"].isin(pd.DatetimeIndex(days))]
            stored = lake.read(TABLES[name])
            pd.testing.assert_frame_equal(stored, TABLES[name].sort(expected), check_exact=True, check_dtype=False)
        result = analysed.materialise(risk.risk_report, bench, days[2:3])
        assert result.success and all(one.passed for one in result.get_asset_check_evaluations())
        for event in result.asset_materializations_for_node("risk_report"):
            assert event.metadata["changed"].value is False


def test_through_dagster_a_week_before_any_target_is_no_failure(facts: Rows, home: MemoryLake):
    result = analysed.materialise(risk.risk_report, analysed.bench(home, CHOSEN), [date(2023, 2, 27)])
    assert result.success
