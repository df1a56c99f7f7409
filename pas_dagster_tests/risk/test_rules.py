"""The user's rules: every fault is a sentence, silence is an alert, and hysteresis holds."""

from __future__ import annotations

import math
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.risk.rules import OPERATORS, Rule, evaluate, parse_rules

DAY = date(2024, 3, 4)
KEY = ("account", "drawdown")
GOOD = {"name": "deep", "metric": "drawdown", "operator": "<", "threshold": -0.1}


def follow(rule: Rule, values) -> list:
    """One alert a day."""
    found, before = [], ()
    for k, value in enumerate(values):
        before = evaluate([rule], {KEY: value}, DAY + timedelta(days=k), before)
        found.append(before[0])
    return found


def test_a_list_of_the_settings_becomes_rules() -> None:
    entries = [GOOD, {**GOOD, "name": "x", "portfolio": "momentum", "severity": "critical", "clear": -0.05, "days": 3}]
    found = parse_rules(entries, {"drawdown"})
    assert found.faults == ()
    assert found.rules == (
        Rule("deep", "drawdown", "<", -0.1, "account", "warning", None, 1),
        Rule("x", "drawdown", "<", -0.1, "momentum", "critical", -0.05, 3),
    )
    assert parse_rules([]) == ((), ())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"metric": "drawdwn"}, "rule deep: there is no metric drawdwn; did you mean drawdown?"),
        ({"operator": "=="}, "rule deep: operator must be one of > >= < <=, not '=='"),
        ({"operator": ["<"]}, "rule deep: operator must be one of > >= < <=, not ['<']"),
        ({"threshold": "ten"}, "rule deep: threshold must be a finite number, not 'ten'"),
        ({"threshold": math.nan}, "rule deep: threshold must be a finite number, not nan"),
        ({"threshold": True}, "rule deep: threshold must be a finite number, not True"),
        ({"threshold": None}, "rule deep: threshold must be a finite number, not None"),
        ({"treshold": 1}, "rule deep: there is no setting treshold; did you mean threshold?"),
        ({"severity": "loud"}, "rule deep: severity must be one of info, warning, critical, not 'loud'"),
        ({"days": 0}, "rule deep: days must be a whole number of at least 1, not 0"),
        ({"days": 1.5}, "rule deep: days must be a whole number of at least 1, not 1.5"),
        ({"portfolio": ""}, "rule deep: portfolio must be a word, not ''"),
        (
            {"clear": -0.2},
            "rule deep: once fired at < -0.1 it can never be in force at -0.2; clear must be -0.1 or higher",
        ),
        ({"name": 7}, "rule ?: name must be a word, not 7"),
    ],
)
def test_every_fault_is_one_sentence(change, sentence: str) -> None:
    found = parse_rules([{**GOOD, **change}], {"drawdown", "volatility"})
    assert found.rules == ()
    assert [fault.replace("rule 7", "rule ?") for fault in found.faults] == [sentence]


def test_all_faults_are_told_at_once_and_none_of_the_rules_is_used() -> None:
    entries = [GOOD, "deep", {"operator": "<"}, GOOD, {**GOOD, "name": "b", "days": -1}]
    found = parse_rules(entries)
    assert found.rules == ()
    assert found.faults == (
        "rule number 2 is not a mapping but 'deep'",
        "rule number 3: name and metric and threshold must be given",
        "rule deep: the name is given twice",
        "rule b: days must be a whole number of at least 1, not -1",
    )


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(OPERATORS)), st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
def test_a_rule_fires_when_its_comparison_holds(operator: str, value: float, threshold: float) -> None:
    rule = Rule("r", "drawdown", operator, threshold)
    [alert] = evaluate([rule], {KEY: value}, DAY)
    holds = {">": value > threshold, ">=": value >= threshold, "<": value < threshold, "<=": value <= threshold}
    assert alert.status == ("fired" if holds[operator] else "cleared") and alert.active == holds[operator]
    assert alert.value == value and alert.message


@pytest.mark.parametrize("metrics", [{}, {KEY: None}, {KEY: math.nan}, {("momentum", "drawdown"): -0.5}])
def test_a_metric_that_is_missing_is_an_alert(metrics) -> None:
    [alert] = evaluate([Rule(**GOOD)], metrics, DAY)
    assert (alert.status, alert.value, alert.active) == ("unknown", None, False)
    assert alert.message == "deep: drawdown of account is not known"


def test_what_had_fired_stays_in_force_while_nothing_is_known() -> None:
    alerts = follow(Rule(**GOOD), [-0.2, None, math.nan, -0.05])
    assert [alert.status for alert in alerts] == ["fired", "unknown", "unknown", "cleared"]
    assert [alert.active for alert in alerts] == [True, True, True, False]
    assert alerts[1].message.endswith("it had fired and stays in force")


def test_it_clears_only_beyond_its_own_level() -> None:
    alerts = follow(Rule(**GOOD, clear=-0.05), [-0.07, -0.11, -0.07, None, -0.06, -0.05, -0.07])
    assert [alert.status for alert in alerts] == ["cleared", "fired", "fired", "unknown", "fired", "cleared", "cleared"]


def test_it_fires_after_so_many_days_in_a_row() -> None:
    alerts = follow(Rule(**GOOD, days=3), [-0.2, -0.2, 0.0, -0.2, -0.2, None, -0.2, -0.2, 0.0])
    assert [alert.status for alert in alerts] == [
        *["pending", "pending", "cleared", "pending", "pending", "unknown"],
        *["fired", "fired", "cleared"],
    ]
    assert alerts[1].message == "deep: drawdown of account is -0.2, < -0.1 for 2 of 3 days"


def test_evaluating_a_day_again_gives_the_same_and_cannot_count_it_twice() -> None:
    rule = Rule(**GOOD, days=2)
    first = evaluate([rule], {KEY: -0.2}, DAY)
    second = evaluate([rule], {KEY: -0.2}, DAY + timedelta(days=1), first)
    assert second == evaluate([rule], {KEY: -0.2}, DAY + timedelta(days=1), first)
    with pytest.raises(ValueError, match="must be of earlier days"):
        evaluate([rule], {KEY: -0.2}, DAY, first)


def test_a_rule_that_was_changed_begins_anew() -> None:
    fired = evaluate([Rule(**GOOD)], {KEY: -0.2}, DAY)
    other = Rule("deep", "drawdown", "<", -0.3, clear=-0.1)
    [alert] = evaluate([other], {KEY: -0.2}, DAY + timedelta(days=1), fired)
    assert alert.status == "cleared"


def test_alerts_come_in_the_order_of_the_rules() -> None:
    rules = [Rule("b", "x", ">", 0.0), Rule("a", "x", "<", 0.0, portfolio="momentum")]
    alerts = evaluate(rules, {("account", "x"): 1.0, ("momentum", "x"): math.inf}, DAY)
    assert [(alert.rule.name, alert.status) for alert in alerts] == [("b", "fired"), ("a", "cleared")]
