"""The log retold: everything in it, nothing else."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.allocation import SCHEMES, Policy, allocate, allocate_all
from pas_dagster.allocation.explain import retell
from pas_dagster.allocation.log import LogRow
from pas_dagster_tests.allocation.problems import MANDATE, frame


def rows(scheme: str = "max_sharpe", **policy) -> list[LogRow]:
    weekly = frame(9, weeks=12)
    weekly.loc[weekly.index[-3], "d"] = 0.9
    weekly.loc[weekly.index[0], "h"] = np.nan
    answer = allocate(weekly, {"a": 0.2, "gone": 0.1}, Policy(**policy), scheme, MANDATE, 0.4, date(2024, 4, 1))
    return answer.log_rows()


def test_a_decision_is_told_in_order_in_plain_sentences() -> None:
    told = retell(rows(turnover_budget=0.5, no_trade_band=0.02)).splitlines()
    beginnings = [
        "Weights before: a 20.0 %, gone 10.0 %. Of these, gone is no longer a sleeve.",
        "7 sleeves took part: a, b, c, d, e, f, g. Left out: h (only 11 of 12 weeks).",
        "Returns not believed: d, week 2024-03-08: 90 % clipped to",
        "2 weekly returns clipped at 3.5 robust deviations.",
        "Return and volatility a year, as estimated: a ",
        "The covariance was shrunk by ",
        "Probability of a crisis: 40.0 %",
        "The scheme max_sharpe has an answer; the Sharpe ratio of its mix is ",
        "Its mix: ",
        "What binds it: ",
        "Expected return of the mix a year: ",
        "Volatility of the mix a year: ",
        "The solution was checked: ",
        "Scaled to the volatility target, ",
        "Realism check: finite and within all limits.",
        "Turnover: ",
        "No-trade band: ",
        "The account holds: ",
        "Cash: ",
        "Expected return a year: ",
        "Volatility a year: ",
        "Expected Sharpe ratio: ",
    ]
    assert len(told) == len(beginnings)
    for line, beginning in zip(told, beginnings, strict=True):
        assert line.startswith(beginning), (line, beginning)
        assert line.endswith(".")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_final_shares_of_every_scheme_are_in_the_story(scheme: str) -> None:
    made = rows(scheme)
    told = retell(made)
    for row in made:
        if row["step"] == "weight" and row["value"]:
            assert f"{row['sleeve']} {100 * row['value']:.1f} %" in told
    assert scheme in told


def test_a_held_decision_and_one_in_cash_say_why() -> None:
    weekly = frame(2, drift=-0.08)
    status: LogRow = {"step": "status", "sleeve": None, "value": None, "note": "held: no"}
    held = retell([status, *allocate(weekly, {"a": 0.2}, Policy()).log_rows()])
    assert held.startswith("Decision: held: no.")
    assert "The scheme max_sharpe has no answer: infeasible, no asset has a positive excess return" in held
    assert "The previous weights stand, 20.0 % of the account: no asset has a positive excess return" in held
    assert "All is cash: no asset has" in retell(allocate(weekly, {}, Policy()).log_rows())
    assert "0 sleeves took part." in retell(allocate(weekly * np.nan, {}, Policy()).log_rows())


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_it_is_made_of_the_rows_alone_and_survives_a_table(seed: int) -> None:
    for answer in allocate_all(frame(seed), {}, Policy(), MANDATE, None, date(2024, 1, 1)).values():
        made = answer.log_rows()
        stored = pd.DataFrame(made).astype({"sleeve": object, "value": object})
        back = stored.where(stored.notna(), None).to_dict("records")
        assert retell(back) == retell(made)
        assert "nan" not in retell(made).lower().replace("tenant", "")


def test_a_step_that_is_not_known_is_told_by_its_numbers() -> None:
    strange: list[LogRow] = [
        {"step": "moon_phase", "sleeve": "a", "value": 0.25, "note": "waxing"},
        {"step": "moon_phase", "sleeve": None, "value": None, "note": "cloudy"},
    ]
    assert retell(strange) == "Moon phase: a 0.25 waxing; cloudy."
    assert retell([]) == ""
