from __future__ import annotations

import numpy as np
import pytest

from pas_dagster.strategies.contract import NotEnoughData
from pas_dagster.strategies.leveraged_sector_momentum import EXPOSURES, leveraged_sector_momentum
from pas_dagster_tests.strategies.frames import decide, prices

DAY = "2024-06-28"
THIRD = 1 / 3


def run(daily: dict[str, float], sessions: int = 70, day: str = DAY, **parameters: int) -> dict[str, float]:
    returns = {symbol: np.full(sessions, value) for symbol, value in daily.items()}
    return decide(leveraged_sector_momentum.with_parameters(parameters), day, prices=prices(returns))


def test_the_three_strongest_get_a_third_each():
    weights = run({"UPRO": 0.001, "TQQQ": 0.004, "SOXL": 0.002, "FAS": 0.003, "LABU": -0.01})
    assert weights == {"FAS": THIRD, "SOXL": THIRD, "TQQQ": THIRD}


def test_funds_on_one_index_count_once():
    assert EXPOSURES["UPRO"] == EXPOSURES["SPXL"]
    assert run({"UPRO": 0.005, "SPXL": 0.004, "TQQQ": 0.003, "FAS": 0.002}) == {
        "UPRO": THIRD,
        "TQQQ": THIRD,
        "FAS": THIRD,
    }
    assert run({"UPRO": 0.004, "SPXL": 0.005}) == {"SPXL": THIRD}
    assert run({"UPRO": 0.004, "SPXL": 0.004}) == {"SPXL": THIRD}  # a tie goes by symbol


def test_with_fewer_rising_funds_the_rest_stays_cash():
    assert run({"TQQQ": 0.003, "FAS": -0.002, "ERX": 0.0}) == {"TQQQ": THIRD}
    assert run({"TQQQ": -0.003, "FAS": -0.002}) == {}
    assert run({"TQQQ": 0.003, "FAS": 0.002, "ERX": 0.001}, top_n=2) == {"TQQQ": 0.5, "FAS": 0.5}


def test_ties_go_by_symbol():
    assert sorted(run(dict.fromkeys(["WANT", "CURE", "TECL", "DRN"], 0.002))) == ["CURE", "DRN", "TECL"]


def test_the_last_63_sessions_count():
    returns = {"TQQQ": np.full(70, -0.001)}
    returns["TQQQ"][-64] = 3.0
    assert decide(leveraged_sector_momentum, DAY, prices=prices(returns)) == {}
    returns["TQQQ"][-63] = 3.0
    assert decide(leveraged_sector_momentum, DAY, prices=prices(returns)) == {"TQQQ": THIRD}


def test_a_fund_without_a_bar_on_the_last_session_or_on_many_is_out():
    returns = {symbol: np.full(70, 0.002) for symbol in ("TQQQ", "FAS", "ERX", "DRN")}
    returns["TQQQ"][-1] = np.nan
    returns["FAS"][-30:-26] = np.nan  # 59 of 63
    returns["ERX"][-30:-27] = np.nan  # 60 of 63
    assert sorted(decide(leveraged_sector_momentum, DAY, prices=prices(returns))) == ["DRN", "ERX"]


def test_a_short_history_decides_nothing():
    with pytest.raises(NotEnoughData, match="62 of 63"):
        run({"TQQQ": 0.002}, sessions=62)
    assert run({"TQQQ": 0.002}, sessions=63) == {"TQQQ": THIRD}
