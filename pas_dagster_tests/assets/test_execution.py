"""The rows of the target portfolio as what the planner takes."""

from datetime import date

import pandas as pd
import pytest

from pas_dagster import calendar
from pas_dagster.assets.execution import account_spec, sleeve_targets
from pas_dagster.errors import PasError
from pas_dagster.execution.targets import SleeveTarget, wanted
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings
from pas_dagster.strategies.contract import CASH

PORTFOLIOS = TABLES["portfolios"]
SESSIONS = calendar.sessions(date(2024, 1, 2), date(2024, 1, 12))
DAY = SESSIONS[3]


def rows(*given: tuple[date, str, str, float], share: float = 0.5, rebalance: bool = True, resize: bool = False):
    made = [
        {
            "decision": day,
            "sleeve": sleeve,
            "symbol": symbol,
            "weight": weight * share,
            "sleeve_weight": weight,
            "sleeve_share": share,
            "rebalance": rebalance,
            "resize": resize,
            "weights_from": day,
            "allocation_from": day,
        }
        for day, sleeve, symbol, weight in given
    ]
    return PORTFOLIOS.conform(pd.DataFrame(made, columns=PORTFOLIOS.names))


class TestSleeveTargets:
    def test_are_one_for_each_sleeve_with_its_weights_but_not_its_cash(self):
        given = rows((DAY, "a", "AAA", 0.5), (DAY, "a", "BBB", 0.3), (DAY, "a", CASH, 0.2), (DAY, "b", "AAA", 1.0))
        assert sleeve_targets(given, SESSIONS)[DAY] == [
            SleeveTarget("a", 0.5, {"AAA": 0.5, "BBB": 0.3}, rebalance=True, resize=False),
            SleeveTarget("b", 0.5, {"AAA": 1.0}, rebalance=True, resize=False),
        ]

    def test_of_a_sleeve_in_cash_sell_everything(self):
        (target,) = sleeve_targets(rows((DAY, "a", CASH, 1.0), share=0.0, resize=True), SESSIONS)[DAY]
        assert (target.share, target.weights, target.resize) == (0.0, {}, True)

    def test_do_not_depend_on_the_order_of_the_rows(self):
        given = rows(*[(day, s, n, 0.25) for day in SESSIONS for s in "cab" for n in ("BBB", "AAA", CASH)])
        shuffled = given.sample(frac=1, random_state=7)
        assert sleeve_targets(shuffled, SESSIONS) == sleeve_targets(given, SESSIONS)

    def test_of_a_session_in_which_nothing_takes_effect_are_none(self):
        found = sleeve_targets(rows((DAY, "a", "AAA", 1.0)), SESSIONS)
        assert list(found) == SESSIONS
        assert [day for day, targets in found.items() if targets] == [DAY]

    def test_of_no_rows_are_none(self):
        assert sleeve_targets(PORTFOLIOS.empty(), SESSIONS) == {day: [] for day in SESSIONS}

    def test_keep_numbers_and_flags_plain_so_that_their_fingerprint_is_stable(self):
        (target,) = sleeve_targets(rows((DAY, "a", "AAA", 0.5)), SESSIONS)[DAY]
        kinds = [type(value) for value in (target.share, target.weights["AAA"], target.rebalance, target.resize)]
        assert kinds == [float, float, bool, bool]

    def test_are_accepted_by_the_planner_and_impossible_ones_refused(self):
        (sleeve,) = wanted(sleeve_targets(rows((DAY, "a", "AAA", 0.5)), SESSIONS)[DAY])
        assert sleeve.weights == {"AAA": 500_000_000}
        with pytest.raises(PasError, match="exceed 1"):
            wanted(sleeve_targets(rows((DAY, "a", "AAA", 0.7), (DAY, "a", "BBB", 0.7)), SESSIONS)[DAY])


def test_the_account_is_the_one_of_the_settings(chosen: Settings):
    spec = account_spec(chosen)
    assert (spec.capital_usd, spec.cost_bp, spec.min_order_usd) == (
        chosen.capital,
        chosen.cost_bp,
        chosen.min_order_usd,
    )
    assert spec.opened == chosen.start
    assert spec.mode == "simulated"  # never an account with money in it
