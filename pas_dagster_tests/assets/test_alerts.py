"""Alerts: rules that go on from session to session, the circuit breaker, and what the check says of both."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pas_dagster import calendar, settings
from pas_dagster.assets import alerts
from pas_dagster.assets.alerts import ALERTS, BREAKER, alert_rows, rules_of
from pas_dagster.errors import PasError
from pas_dagster.risk.breaker import BreakerPolicy, check
from pas_dagster.risk.rules import OPERATORS
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings
from pas_dagster_tests.assets import analysed, sleeved
from pas_dagster_tests.assets.conftest import MemoryLake

CHOSEN = settings.load(home=Path("unused"), world="real", database_url=None)
DAYS = calendar.sessions(date(2024, 1, 2), date(2024, 4, 30))
MONDAYS = calendar.Cadence.WEEKLY_MON.nominal_days(DAYS[0], DAYS[-1])
LOSS = date(2024, 2, 14)  # a Wednesday
Rule = dict[str, Any]
DEEP: Rule = {"name": "deep", "metric": "drawdown", "operator": "<", "threshold": -0.05, "severity": "critical"}
SLOW: Rule = {"name": "slow", "metric": "volatility", "operator": ">", "threshold": 0.2, "clear": 0.15, "days": 3}
SLEEVE: Rule = {"name": "sleeve", "metric": "sharpe", "operator": "<", "threshold": 0.0, "portfolio": "ant"}
TAIL: Rule = {"name": "tail", "metric": "var_95_historical", "operator": "<", "threshold": -0.03}
AGE: Rule = {"name": "age", "metric": "data_age", "operator": ">", "threshold": 3.0, "severity": "info"}
GONE: Rule = {"name": "gone", "metric": "nothing", "operator": ">", "threshold": 1.0}
RULES = [DEEP, SLOW, SLEEVE, TAIL, AGE, GONE]


def chosen(*rules: Rule, **changed: Any) -> Settings:
    return CHOSEN.model_copy(update={"risk_rules": list(rules), **changed})


EVERY = chosen(*RULES)


IDLE = {"turnover": 0.0, "fees": 0.0, "net_flow": 0.0, "account": "simulated", "generation": 1}


def facts() -> dict[str, pd.DataFrame]:
    """An account with a loss of 6 % in a session, and metrics that wander across the thresholds, some unknown."""
    rng = np.random.default_rng(7)
    stamps = pd.DatetimeIndex(DAYS).astype("datetime64[us]")
    moves = pd.Series(rng.normal(0.001, 0.004, len(DAYS)), stamps)
    moves[pd.Timestamp(LOSS)] = -0.06
    equity = 1e6 * (1.0 + moves).cumprod()
    drawdown = equity / equity.cummax() - 1.0
    volatility = pd.Series(0.175 + 0.04 * np.sin(np.arange(len(DAYS)) / 4), stamps)
    volatility.iloc[[20, 21, 40]] = np.nan
    sharpe = pd.Series(rng.normal(0.0, 1.0, len(DAYS)), stamps).drop(stamps[30])
    wide = {("account", "drawdown"): drawdown, ("account", "volatility"): volatility, ("ant", "sharpe"): sharpe}
    metrics = pd.concat(
        [
            pd.DataFrame({"known_on": own.index, "portfolio": portfolio, "statistic": name, "value": own.to_numpy()})
            for (portfolio, name), own in wide.items()
        ]
    )
    tails = pd.DataFrame(
        {"decision": MONDAYS, "metric": "var_95_historical", "value": rng.normal(-0.03, 0.01, len(MONDAYS))}
    )
    tails.loc[4, "value"] = np.nan
    account = {"decision": stamps, "equity": equity.to_numpy(), "cash": 1.0, "gross_exposure": 0.9, "positions": 3}
    priced = [day for day in DAYS if not date(2024, 3, 11) <= day <= date(2024, 3, 15)]
    prices = pd.DataFrame({"known_on": priced, "event_date": priced, "symbol": "AAA", "close": 1.0})
    made = {
        "metrics": metrics,
        "risk_metrics": tails,
        "account_metrics_paper": pd.DataFrame({**account, **IDLE}),
        "prices": prices.assign(provider="x"),
    }
    return {name: TABLES[name].conform(rows) for name, rows in made.items()}


FACTS = facts()


def stored(until: date | None = None, **changed: pd.DataFrame) -> MemoryLake:
    """A lake with the facts, those after a day left out."""
    lake = MemoryLake()
    for name, rows in {**FACTS, **changed}.items():
        kept = rows if until is None else rows[rows[TABLES[name].partition] <= pd.Timestamp(until)]
        if len(kept):
            sleeved.keep(lake, name, kept)
    return lake


@pytest.fixture(scope="module")
def home() -> Iterator[MemoryLake]:
    with stored() as lake:
        yield lake


@pytest.fixture(scope="module")
def whole(home: MemoryLake) -> pd.DataFrame:
    return alert_rows(home, DAYS, EVERY)


def one_by_one(
    lake: MemoryLake, blocks: Sequence[Sequence[date]], made: Mapping[date, Settings] | None = None
) -> pd.DataFrame:
    """The rows of runs that each store before the next; `made` gives other settings from a day on."""
    parts, now = [], EVERY
    for days in blocks:
        now = (made or {}).get(days[0], now)
        parts.append(alert_rows(lake, days, now))
        lake.replace(ALERTS, days, parts[-1])
    return pd.concat(parts, ignore_index=True)


def of(rows: pd.DataFrame, rule: str) -> pd.DataFrame:
    return rows[rows["rule"] == rule].set_index("known_on")


# ------------------------------------------------------------------------------------------ ranges and the past


def test_the_made_account_meets_every_status(whole: pd.DataFrame):
    assert set(whole["status"]) == {"fired", "pending", "cleared", "unknown"}
    assert set(of(whole, "slow")["status"]) == {"fired", "pending", "cleared", "unknown"}
    assert ALERTS.check(whole).bad.empty
    assert whole.groupby("known_on")["rule"].agg(list).map(tuple).unique().tolist() == [
        (*(rule["name"] for rule in RULES), BREAKER)
    ]


@pytest.mark.parametrize("size", [1, 17])
def test_a_range_has_the_rows_of_its_sessions_one_after_the_other(whole: pd.DataFrame, size: int):
    with stored() as lake:
        rows = one_by_one(lake, sleeved.blocks(DAYS, size))
    pd.testing.assert_frame_equal(rows, whole, check_exact=True)


def test_a_range_that_is_run_again_is_the_same(whole: pd.DataFrame):
    with stored() as lake:
        lake.replace(ALERTS, DAYS, whole)
        for days in (DAYS, DAYS[30:], DAYS[50:51]):
            expected = whole[whole["known_on"].isin(pd.DatetimeIndex(days))].reset_index(drop=True)
            pd.testing.assert_frame_equal(alert_rows(lake, days, EVERY), expected, check_exact=True)


@pytest.mark.parametrize("day", [DAYS[25], DAYS[45]])
def test_nothing_known_after_the_session_makes_a_difference(whole: pd.DataFrame, day: date):
    expected = whole[whole["known_on"] == pd.Timestamp(day)].reset_index(drop=True)
    earlier = whole[whole["known_on"] < pd.Timestamp(day)]
    shaken = {
        name: rows.assign(**{column: rows[column].mask(rows[TABLES[name].partition] > pd.Timestamp(day), -1e6)})
        for name, rows in FACTS.items()
        for column in ["equity" if name == "account_metrics_paper" else "value"]
        if name != "prices"
    }
    with stored(until=day) as cut, stored(**shaken) as full:
        for lake in (cut, full):
            sleeved.keep(lake, "alerts", earlier)
        late = whole[whole["known_on"] > pd.Timestamp(day)]
        sleeved.keep(full, "alerts", late.assign(held=99, active=True, status="fired"))
        for lake in (cut, full):
            pd.testing.assert_frame_equal(alert_rows(lake, [day], EVERY), expected, check_exact=True)


# ------------------------------------------------------------------------------------------------------- the rules


def test_a_rule_fires_holds_and_clears_as_a_plain_loop_does(whole: pd.DataFrame):
    """With hysteresis, days that have to pass, sessions without a number, and the first session of each stretch."""
    values = FACTS["metrics"].set_index(["portfolio", "statistic", "known_on"])["value"]
    reported = FACTS["risk_metrics"].set_index("decision")["value"]
    for rule in (DEEP, SLOW, SLEEVE, TAIL):
        active, held, since = False, 0, None
        for day in DAYS:
            stamp, key = pd.Timestamp(day), (rule.get("portfolio", "account"), rule["metric"], pd.Timestamp(day))
            value = (
                reported[reported.index <= stamp].iloc[-1:].sum(min_count=1)
                if rule is TAIL
                else values.get(key, np.nan)
            )
            known = not np.isnan(value)
            level = rule.get("clear", rule["threshold"]) if active else rule["threshold"]
            if known:
                held = held + 1 if OPERATORS[rule["operator"]](value, level) else 0
                active = held >= rule.get("days", 1)
            status = ("fired" if active else "pending" if held else "cleared") if known else "unknown"
            since = None if status == "cleared" else stamp if known and held == 1 else since or stamp
            row = of(whole, rule["name"]).loc[stamp]
            assert (row["status"], row["active"], row["held"]) == (status, active or not known, held), (
                rule["name"],
                day,
            )
            assert (None if pd.isna(row["since"]) else row["since"]) == since, (rule["name"], day)
            assert np.isnan(row["value"]) if not known else row["value"] == value


def test_a_metric_that_is_missing_is_unknown_and_somebody_has_to_look(whole: pd.DataFrame):
    rows = of(whole, "gone")
    assert set(rows["status"]) == {"unknown"}
    assert rows["active"].all() and rows["value"].isna().all() and (rows["held"] == 0).all()
    assert set(rows["message"]) == {"gone: nothing of account is not known"}
    assert set(rows["since"]) == {pd.Timestamp(DAYS[0])}


def test_what_is_unknown_after_it_had_not_fired_does_not_pass_for_fired():
    """Else the lower threshold of a rule that had fired would count, and a single run would differ from a range."""
    quiet = FACTS["metrics"].assign(
        value=FACTS["metrics"]["value"].where(FACTS["metrics"]["statistic"] != "volatility")
    )
    at = quiet["statistic"] == "volatility"
    quiet.loc[at, "value"] = np.where(
        quiet.loc[at, "known_on"] == pd.Timestamp(DAYS[1]), np.nan, 0.18
    )  # between the two
    with stored(metrics=quiet) as lake:
        rows = of(one_by_one(lake, sleeved.blocks(DAYS[:4], 1)), "slow")
    assert rows["status"].tolist() == ["cleared", "unknown", "cleared", "cleared"]


def test_the_report_of_a_monday_holds_until_the_next(home: MemoryLake, whole: pd.DataFrame):
    values = of(whole, "tail")["value"]
    for day in (date(2024, 1, 16), date(2024, 2, 20), date(2024, 4, 5)):  # the first two are after holidays
        monday = day - timedelta(day.weekday())
        expected = FACTS["risk_metrics"].set_index("decision")["value"][pd.Timestamp(monday)]
        assert values[pd.Timestamp(day)] == expected
    assert np.isnan(values[pd.Timestamp(MONDAYS[4])])  # a null is not the number of the week before


def test_prices_have_an_age_in_days(whole: pd.DataFrame):
    ages = of(whole, "age")["value"]
    assert ages[pd.Timestamp("2024-03-08")] == 0.0
    assert ages["2024-03-11":"2024-03-15"].tolist() == [3.0, 4.0, 5.0, 6.0, 7.0]
    assert ages[pd.Timestamp("2024-03-18")] == 0.0


@pytest.mark.parametrize(
    "changed",
    [{"threshold": 0.19}, {"metric": "drawdown"}, {"portfolio": "ant"}],
    ids=lambda one: next(iter(one)),
)
def test_a_rule_that_has_changed_forgets_what_it_was(whole: pd.DataFrame, changed: Rule):
    at = next(n for n, day in enumerate(DAYS) if of(whole, "slow").loc[pd.Timestamp(day), "status"] == "fired") + 2
    kept, rest = DAYS[:at], DAYS[at : at + 1]
    other = chosen(DEEP, {**SLOW, **changed}, SLEEVE)
    with stored() as lake:
        before = of(one_by_one(lake, [kept, rest], {rest[0]: other}), "slow").iloc[-1]
    with stored() as lake:
        fresh = of(alert_rows(lake, rest, other), "slow").iloc[-1]
    pd.testing.assert_series_equal(before, fresh)
    assert before["held"] <= 1 and before["status"] != "fired"
    assert pd.isna(before["since"]) or before["since"] == pd.Timestamp(rest[0])


def test_a_rule_that_must_hold_for_longer_now_is_no_longer_in_force(whole: pd.DataFrame):
    at = next(n for n, day in enumerate(DAYS) if of(whole, "slow").loc[pd.Timestamp(day), "status"] == "fired") + 1
    with stored() as lake:
        rows = of(one_by_one(lake, [DAYS[:at], DAYS[at : at + 1]], {DAYS[at]: chosen({**SLOW, "days": 9})}), "slow")
    last = rows.iloc[-1]
    assert (last["status"], last["active"], last["held"]) == ("pending", False, 4)
    assert "for 4 of 9 days" in last["message"]


def test_a_new_rule_begins_and_an_old_one_ends(whole: pd.DataFrame):
    with stored() as lake:
        rows = one_by_one(lake, [DAYS[:20], DAYS[20:25]], {DAYS[20]: chosen(AGE, {**DEEP, "name": "newer"})})
    assert set(rows.loc[rows["known_on"] >= pd.Timestamp(DAYS[20]), "rule"]) == {"age", "newer", BREAKER}


# ----------------------------------------------------------------------------------------------------- the breaker


def test_the_breaker_trips_on_a_loss_and_opens_when_it_has_cooled_down(whole: pd.DataFrame):
    rows = of(whole, BREAKER)
    tripped = [day.date() for day in rows.index[rows["active"]]]
    after = [day for day in DAYS if LOSS <= day <= LOSS + timedelta(5)]
    old = [day for day in DAYS if date(2024, 3, 13) <= day <= date(2024, 3, 15)]  # prices of five days ago and older
    assert tripped == after + old
    assert set(rows.loc[rows["active"], "status"]) == {"fired"}
    first = rows.loc[pd.Timestamp(LOSS)]
    assert "the account lost 6.00 % in a session, the limit is 5.00 %; it opens on 2024-02-20" in first["message"]
    assert set(rows.loc[[pd.Timestamp(day) for day in after], "since"]) == {pd.Timestamp(LOSS)}
    assert set(rows.loc[[pd.Timestamp(day) for day in old], "since"]) == {pd.Timestamp(old[0])}
    assert "prices is 5 days old, the limit is 4" in rows.loc[pd.Timestamp(old[0]), "message"]
    open_ = rows[~rows["active"]]
    assert set(open_["status"]) == {"cleared"} and open_["since"].isna().all()
    assert set(open_["message"]) == {"trading may go on"}


def test_the_breaker_is_that_of_the_equity_through_the_session(whole: pd.DataFrame):
    equity = FACTS["account_metrics_paper"].set_index("decision")["equity"]
    priced = FACTS["prices"]["known_on"]
    for day in DAYS[::3]:
        stamp = pd.Timestamp(day)
        age = float((stamp - priced[priced <= stamp].max()).days)
        verdict = check(equity[equity.index <= stamp], day, {"prices": age}, BreakerPolicy())
        assert of(whole, BREAKER).at[stamp, "active"] == (verdict.state == "tripped")


@pytest.mark.parametrize(
    "changed", [{}, {"breaker_cool_down": 0}, {"breaker_drawdown": 0.04}, {"breaker_data_age": None}]
)
def test_the_breaker_forgets_nothing_that_matters_along_a_range(changed: dict[str, Any]):
    """Of an account with many falls and new highs, and sessions on which it was not marked."""
    rng = np.random.default_rng(12)
    rows = FACTS["account_metrics_paper"]
    moves = rng.normal(0.004, 0.03, len(rows))
    moves[40:42] = -0.06, 0.4  # a new high while the breaker is tripped
    wild = rows.assign(equity=1e6 * np.cumprod(1.0 + moves)).drop(index=[5, 31, 32, 60])
    with stored(account_metrics_paper=wild) as lake:
        found = of(alert_rows(lake, DAYS, chosen(**changed)), BREAKER)
        alone = [of(alert_rows(lake, [day], chosen(**changed)), BREAKER) for day in DAYS]
    assert 5 < found["active"].sum() < len(DAYS) - 5
    for column in ("active", "message"):
        assert found[column].tolist() == [one[column].iloc[0] for one in alone]


def test_limits_of_the_breaker_come_from_the_settings(home: MemoryLake):
    hardy = alert_rows(home, DAYS, chosen(breaker_daily_loss=0.07, breaker_data_age=None))
    assert not of(hardy, BREAKER)["active"].any()
    strict = of(alert_rows(home, DAYS, chosen(breaker_cool_down=None)), BREAKER)
    assert [day.date() for day in strict.index[strict["active"]]] == [day for day in DAYS if day >= LOSS]
    assert set(strict.loc[strict["active"], "since"]) == {pd.Timestamp(LOSS)}
    fall = of(alert_rows(home, DAYS, chosen(breaker_daily_loss=None, breaker_drawdown=0.05)), BREAKER)
    assert fall.loc[pd.Timestamp(LOSS), "active"] and "below its high" in fall.loc[pd.Timestamp(LOSS), "message"]


def test_without_prices_or_an_account_it_is_said_that_nothing_is_known(lake: MemoryLake):
    rows = alert_rows(lake, DAYS[:2], EVERY)
    assert ALERTS.check(rows).bad.empty
    assert set(rows["status"]) == {"unknown", "fired"}
    assert rows["active"].all()
    breaker = of(rows, BREAKER)
    assert set(breaker["message"]) == {"the age of prices is not known"}
    assert set(breaker["since"]) == {pd.Timestamp(DAYS[0])}


# ----------------------------------------------------------------------------------------------------- the settings


def test_misspelt_rules_are_one_error_that_names_each(lake: MemoryLake):
    wrong = [
        {"name": "first", "metric": "drawdown", "operator": "<<", "threshold": -0.1},
        DEEP,
        {"name": "third", "metric": "drawdown", "operator": "<", "treshold": -0.1},
        {**DEEP, "threshold": -0.3},
        {"name": BREAKER, "metric": "drawdown", "operator": "<", "threshold": -0.1},
    ]
    with pytest.raises(PasError) as caught:
        alert_rows(lake, DAYS[:1], chosen(*wrong))
    told = str(caught.value)
    assert "rule first: operator" in told
    assert "rule third: there is no setting treshold; did you mean threshold?" in told
    assert "rule deep: the name is given twice" in told
    assert "rule circuit_breaker: the name is that of the built-in rule" in told
    assert told.endswith("Mend risk_rules in config.yaml.")


def test_a_rule_cannot_have_the_name_of_the_breaker():
    with pytest.raises(PasError, match="rule circuit_breaker: the name is that of the built-in rule. Mend risk_rules"):
        rules_of(chosen(DEEP, {**SLOW, "name": BREAKER}))


def test_the_rules_of_the_defaults_are_sound():
    assert len(rules_of(CHOSEN)) == len(CHOSEN.risk_rules) > 0
    assert rules_of(chosen()) == ()


# --------------------------------------------------------------------------------------------------- through Dagster


class TestThroughDagster:
    @staticmethod
    def fire(result: Any) -> Any:
        return next(one for one in result.get_asset_check_evaluations() if one.check_name == "nothing_is_on_fire")

    def test_a_critical_rule_fails_the_check_and_is_stored(self, whole: pd.DataFrame):
        days = DAYS[DAYS.index(LOSS) - 2 : DAYS.index(LOSS) + 1]
        with stored() as lake:
            bench = analysed.bench(lake, chosen(DEEP, SLOW))
            calm = analysed.materialise(alerts.alerts, bench, days[:2])
            assert calm.success and self.fire(calm).passed
            burning = analysed.materialise(alerts.alerts, bench, days[2:])
            assert burning.success and not self.fire(burning).passed
            rows = lake.read(ALERTS)
        problem = self.fire(burning).metadata["problem"].value
        assert "deep: drawdown of account is -0.0" in problem and "the account lost 6.00 %" in problem
        now = rows[rows["known_on"] == pd.Timestamp(LOSS)].set_index("rule")
        assert now.loc[["deep", BREAKER], "status"].tolist() == ["fired", "fired"]
        assert now.loc["deep", "severity"] == "critical"

    def test_what_is_not_critical_or_over_is_no_fire(self):
        with stored() as lake:
            result = analysed.materialise(alerts.alerts, analysed.bench(lake, chosen(GONE, SLOW)), DAYS)
            assert result.success and self.fire(result).passed  # a loss weeks ago and a warning
            assert len(lake.read(ALERTS)) == 3 * len(DAYS)

    def test_a_critical_number_that_is_missing_is_a_fire(self):
        with stored() as lake:
            bench = analysed.bench(lake, chosen({**GONE, "severity": "critical"}))
            result = analysed.materialise(alerts.alerts, bench, DAYS[:3])
        assert result.success and "nothing of account is not known" in self.fire(result).metadata["problem"].value

    def test_a_range_and_a_single_run_store_the_same(self, whole: pd.DataFrame):
        with stored() as lake:
            bench = analysed.bench(lake, EVERY)
            assert analysed.materialise(alerts.alerts, bench, DAYS[:30]).success
            assert analysed.materialise(alerts.alerts, bench, DAYS[30:31]).success
            expected = whole[whole["known_on"] <= pd.Timestamp(DAYS[30])]
            stored_rows = lake.read(ALERTS)
            pd.testing.assert_frame_equal(stored_rows, ALERTS.sort(expected), check_exact=True, check_dtype=False)
            result = analysed.materialise(alerts.alerts, bench, DAYS[28:29])
            (event,) = result.asset_materializations_for_node("alerts")
            assert event.metadata["changed"].value is False
