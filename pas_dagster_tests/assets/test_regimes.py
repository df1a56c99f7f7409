"""The regime of the sleeves: the week it is judged by, what it may know, and what it says of data that are missing."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pas_dagster import settings
from pas_dagster.assets import regimes
from pas_dagster.assets.regimes import REGIMES, regime_policy, regime_rows
from pas_dagster.assets.strategies import STRATEGIES
from pas_dagster.risk.regime import RegimePolicy, walk_forward
from pas_dagster_tests.assets import analysed, sleeved
from pas_dagster_tests.assets.conftest import MemoryLake
from pas_dagster_tests.assets.sleeved import MONDAYS

CHOSEN = settings.load(home=Path("unused"), world="real", database_url=None)
RULES = regime_policy(CHOSEN)
RANGE = MONDAYS[70:110]  # the crisis begins and ends in it


@pytest.fixture(scope="module")
def wide() -> pd.DataFrame:
    return sleeved.daily()


@pytest.fixture(scope="module")
def home(wide: pd.DataFrame) -> Iterator[MemoryLake]:
    with sleeved.home(wide) as made:
        yield made


@pytest.fixture(scope="module")
def whole(home: MemoryLake) -> pd.DataFrame:
    return regime_rows(home, MONDAYS, RULES)


def test_the_made_home_has_every_regime(whole: pd.DataFrame):
    assert set(whole["regime"]) == {"unknown", "calm", "crisis"}
    assert REGIMES.check(whole).bad.empty
    assert whole["decision"].dt.date.tolist() == MONDAYS


def test_a_range_has_the_rows_of_its_decisions_on_their_own_to_the_last_bit(home: MemoryLake, whole: pd.DataFrame):
    for at, day in list(enumerate(MONDAYS))[66::6]:
        alone = regime_rows(home, [day], RULES)
        pd.testing.assert_frame_equal(alone, whole.iloc[[at]].reset_index(drop=True), check_exact=True)
    part = regime_rows(home, RANGE, RULES)
    expected = whole[whole["decision"].isin(pd.DatetimeIndex(RANGE))].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, expected, check_exact=True)


@pytest.mark.parametrize("day", RANGE[::13])
def test_nothing_known_from_the_decision_on_makes_a_difference(wide: pd.DataFrame, whole: pd.DataFrame, day: date):
    changed = wide.copy()
    changed.loc[changed.index >= pd.Timestamp(day)] *= -5.0
    changed.loc[changed.index >= pd.Timestamp(day), sleeved.SLEEVES[0]] = np.nan
    with sleeved.home(changed) as other, sleeved.home(wide[wide.index < pd.Timestamp(day)]) as cut:
        expected = whole[whole["decision"] == pd.Timestamp(day)].reset_index(drop=True)
        for lake in (other, cut):
            pd.testing.assert_frame_equal(regime_rows(lake, [day], RULES), expected, check_exact=True)


def test_each_is_the_state_after_the_newest_week_that_ended_before_it(wide: pd.DataFrame, whole: pd.DataFrame):
    every = sleeved.weekly(wide, sleeved.LAST).reindex(columns=list(STRATEGIES))
    states = walk_forward(every.to_numpy(float), RULES)
    for row in whole.itertuples():
        before = [
            state
            for monday, state in zip(every.index, states, strict=True)
            if monday + pd.Timedelta(days=7) <= row.decision
        ]
        if before:
            told = (row.regime, row.sleeves, row.factor, row.reason)
            assert told == (before[-1].regime, before[-1].sleeves, before[-1].factor, before[-1].reason)
            numbers = [before[-1].probability, before[-1].correlation, before[-1].volatility]
            found = [row.probability, row.correlation, row.volatility]
            np.testing.assert_allclose(found, np.array(numbers, float), rtol=1e-9, atol=1e-12)


def test_before_there_is_a_week_it_is_unknown_and_takes_nothing_off(home: MemoryLake, lake: MemoryLake):
    for empty in (regime_rows(home, [date(2021, 5, 31)], RULES), regime_rows(lake, MONDAYS[:2], RULES)):
        assert set(empty["regime"]) == {"unknown"}
        assert set(empty["factor"]) == {1.0}
        assert set(empty["reason"]) == {"no sleeve has a whole week yet"}
        assert empty[["probability", "correlation", "volatility"]].isna().all(axis=None)
        assert REGIMES.check(empty).bad.empty


class TestMissingReturns:
    """A session of which nothing is stored is a gap, whether it is the newest or there are later ones."""

    DAY = MONDAYS[130]

    @pytest.mark.parametrize("later", [False, True])
    def test_a_week_without_its_last_session_is_no_week(self, wide: pd.DataFrame, later: bool):
        friday = pd.Timestamp(self.DAY) - pd.Timedelta(days=3)
        assert friday in wide.index
        holed = wide.drop(index=friday)
        holed = holed if later else holed[holed.index < friday]
        with sleeved.home(holed) as lake:
            row = regime_rows(lake, [self.DAY], RULES).iloc[0]
        assert row["regime"] == "unknown"
        assert row["reason"].startswith("0 of the sleeves moved and had returns in all of the last 8 periods")

    def test_returns_that_ended_weeks_ago_are_no_state_of_today(self, wide: pd.DataFrame):
        stale = wide[wide.index < pd.Timestamp(MONDAYS[125])]
        with sleeved.home(stale) as lake:
            single, range_ = regime_rows(lake, [self.DAY], RULES), regime_rows(lake, MONDAYS[120:131], RULES)
        assert single["regime"].iloc[0] == "unknown"
        assert range_["regime"].tolist()[:6].count("unknown") == 0
        pd.testing.assert_frame_equal(range_.tail(1).reset_index(drop=True), single, check_exact=True)

    def test_in_a_crisis_leave_it_in_force(self, wide: pd.DataFrame, whole: pd.DataFrame):
        day = whole.loc[whole["regime"] == "crisis", "decision"].iloc[3]
        with sleeved.home(wide.drop(index=wide.index[wide.index < day][-1])) as lake:
            row = regime_rows(lake, [day.date()], RULES).iloc[0]
        assert (row["regime"], row["factor"]) == ("unknown", CHOSEN.crisis_exposure)


def test_the_settings_say_how_much_stands_in_a_crisis(home: MemoryLake, whole: pd.DataFrame):
    bold = regime_policy(CHOSEN.model_copy(update={"crisis_exposure": 0.8}))
    assert bold == RegimePolicy(crisis_factor=0.8)
    factors = regime_rows(home, RANGE, bold).set_index("decision")["factor"]
    crisis = whole.set_index("decision")["regime"].reindex(factors.index) == "crisis"
    assert set(factors[crisis]) == {0.8}
    assert set(factors[~crisis]) == {1.0}


def test_through_dagster_a_range_and_a_single_run_store_the_same(wide: pd.DataFrame, whole: pd.DataFrame):
    with sleeved.home(wide) as lake:
        chosen = analysed.bench(lake, CHOSEN)
        assert analysed.materialise(regimes.regimes, chosen, RANGE[:5]).success
        expected = whole[whole["decision"].isin(pd.DatetimeIndex(RANGE[:5]))].reset_index(drop=True)
        pd.testing.assert_frame_equal(lake.read(REGIMES), expected, check_exact=True, check_dtype=False)
        result = analysed.materialise(regimes.regimes, chosen, RANGE[2:3])
        (event,) = result.asset_materializations_for_node("regimes")
        assert event.metadata["changed"].value is False
        assert event.metadata["regime"].value == expected["regime"].iloc[2]
