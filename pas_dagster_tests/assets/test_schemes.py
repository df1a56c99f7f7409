"""Schemes side by side: what each week's weights earned, who is followed, and what the settings may say."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pas_dagster import calendar, settings
from pas_dagster.allocation.schemes import SCHEMES
from pas_dagster.allocation.views import NamedView
from pas_dagster.assets import schemes
from pas_dagster.assets.allocation import decide_shares
from pas_dagster.assets.schemes import BOARD, OUTCOMES, WEIGHTS, choices, mandate, own_weights, policy, record_of, rule
from pas_dagster.errors import PasError
from pas_dagster.settings import Settings
from pas_dagster.strategies.contract import CASH
from pas_dagster_tests.assets import analysed, sleeved
from pas_dagster_tests.assets.conftest import MemoryLake

CHOSEN = settings.load(home=Path("unused"), world="real", database_url=None, cost_bp=5.0)
NAMES = list(SCHEMES)
COST = 0.001


def chosen(**changed: Any) -> Settings:
    return CHOSEN.model_copy(update=changed)


# ----------------------------------------------------------------------------------------------------- record_of

MONDAYS = calendar.Cadence.WEEKLY_MON.nominal_days(date(2023, 1, 9), date(2023, 7, 3))  # five of them are holidays
SESSIONS = pd.DatetimeIndex(calendar.session_array(date(2023, 1, 3), date(2023, 7, 10))).astype("datetime64[us]")
SLEEVES = ["ant", "bee", "cash"]  # the last has the name of what it must not be mistaken for


def made() -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Weights of three schemes, one of which begins late and leaves weeks out, daily returns, and returns of cash."""
    rng = np.random.default_rng(8)
    daily = pd.DataFrame(rng.normal(0.001, 0.02, (len(SESSIONS), 3)), SESSIONS, SLEEVES)
    daily.loc[daily.index < "2023-03-01", "cash"] = np.nan
    rows = []
    for at, day in enumerate(MONDAYS):
        for scheme in NAMES[:3]:
            if scheme == NAMES[1] and (at < 4 or at % 5 == 0):
                continue
            given = rng.dirichlet(np.ones(4))[:3]
            given[2] *= day > date(2023, 3, 6)
            shares = {**dict(zip(SLEEVES, given, strict=True)), CASH: 1.0 - given.sum()}
            rows += [{"decision": day, "scheme": scheme, "sleeve": name, "weight": w} for name, w in shares.items()]
    idle = pd.Series(rng.uniform(0.0, 0.0003, len(SESSIONS)), SESSIONS)
    return WEIGHTS.conform(pd.DataFrame(rows)), daily, idle


def by_loop(
    weights: pd.DataFrame, daily: pd.DataFrame, cash: pd.Series, scheme: str
) -> tuple[list[float], list[float]]:
    """Weekly returns and turnover of one scheme, dollar by dollar and session by session."""
    held, idle, begun = dict.fromkeys(SLEEVES, 0.0), 1.0, False
    returns, turnover = [], []
    for at, day in enumerate(MONDAYS):
        own = weights[(weights["decision"] == pd.Timestamp(day)) & (weights["scheme"] == scheme)]
        asked = dict(zip(own["sleeve"], own["weight"], strict=True))
        before = sum(held.values()) + idle
        traded = 0.0
        if asked:
            begun, value = True, before
            for _ in range(50):  # what is paid is paid from what is invested
                value = before - COST * sum(abs(asked[name] * value - held[name]) for name in SLEEVES)
            traded = sum(abs(asked[name] - held[name] / before) for name in SLEEVES)
            held, idle = {name: asked[name] * value for name in SLEEVES}, asked[CASH] * value
        begin = calendar.roll_forward(day)
        end = calendar.roll_forward(MONDAYS[at + 1] if at + 1 < len(MONDAYS) else day + timedelta(7))
        for session in calendar.sessions(begin + timedelta(1), end):
            stamp = pd.Timestamp(session)
            for name in SLEEVES:
                held[name] *= 1.0 + daily[name][stamp] if held[name] else 1.0
            idle *= 1.0 + cash[stamp]
        returns.append((sum(held.values()) + idle) / before - 1.0 if begun else np.nan)
        turnover.append(traded if begun else np.nan)
    return returns, turnover


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    return made()


class TestRecordOf:
    def test_is_what_a_plain_loop_over_sessions_earns(self, tables: Any):
        weights, daily, cash = tables
        found = record_of(weights, daily, cash, COST)
        assert found.schemes == tuple(NAMES)
        for at, scheme in enumerate(NAMES[:3]):
            returns, turnover = by_loop(weights, daily, cash, scheme)
            np.testing.assert_allclose(found.returns[:, at], returns, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(found.turnover[:, at], turnover, rtol=1e-9, atol=1e-14)
        assert np.isnan(found.returns[:4, 1]).all()
        assert not np.isnan(found.returns[4:, 1]).any()

    def test_of_a_scheme_without_weights_is_nothing(self, tables: Any):
        found = record_of(*tables, COST)
        assert np.isnan(found.returns[:, 3:]).all()
        assert not found.decided[:, 3:].any()

    def test_days_are_the_decisions_and_the_sessions_of_the_next_ones(self, tables: Any):
        found = record_of(*tables, COST)
        assert found.begins.astype(object).tolist() == MONDAYS
        ends = [calendar.roll_forward(day + timedelta(7)) for day in MONDAYS]
        assert found.ends.astype(object).tolist() == ends
        assert date(2023, 1, 17) in ends and date(2023, 2, 21) in ends  # Tuesdays after holidays

    @pytest.mark.parametrize("monday", [date(2023, 1, 16), date(2023, 3, 13)], ids=["a holiday", "a session"])
    def test_the_return_of_a_decisions_session_is_of_the_week_before(self, tables: Any, monday: date):
        weights, daily, cash = tables
        at, usual = MONDAYS.index(monday), record_of(weights, daily, cash, 0.0).returns[:, 0]
        session = pd.Timestamp(calendar.roll_forward(monday))
        for stamp, week in ((session, at - 1), (SESSIONS[SESSIONS.get_loc(session) + 1], at)):
            changed = daily.copy()
            changed.loc[stamp] += 0.01
            moved = record_of(weights, changed, cash, 0.0).returns[:, 0] != usual
            assert np.flatnonzero(moved).tolist() == [week]

    def test_a_week_that_has_not_ended_is_not_known(self, tables: Any):
        weights, daily, cash = tables
        whole = record_of(weights, daily, cash, COST).returns
        for last in (pd.Timestamp("2023-05-25"), pd.Timestamp("2023-05-30")):  # the last day of a week is the 30th
            found = record_of(weights, daily[daily.index <= last], cash, COST).returns
            known = MONDAYS.index(date(2023, 5, 22)) + (last == pd.Timestamp("2023-05-30"))
            np.testing.assert_array_equal(found[:known], whole[:known])
            assert np.isnan(found[known:]).all()

    def test_a_session_that_is_missing_is_not_made_up(self, tables: Any):
        weights, daily, cash = tables
        for gone in (daily.drop(index=SESSIONS[60]), daily.drop(index=SESSIONS[60]).reindex(SESSIONS)):
            found = record_of(weights, gone, cash, COST).returns[:, 0]
            week = next(
                n
                for n, day in enumerate(MONDAYS)
                if pd.Timestamp(day) < SESSIONS[60] <= pd.Timestamp(day) + pd.Timedelta(days=7)
            )
            assert np.flatnonzero(np.isnan(found)).tolist() == [week]

    def test_a_decision_that_is_missing_leaves_the_weights_in_place_for_longer(self, tables: Any):
        weights, daily, cash = tables
        gone = MONDAYS[10]
        found = record_of(weights[weights["decision"] != pd.Timestamp(gone)], daily, cash, 0.0)
        assert found.begins.astype(object).tolist() == [day for day in MONDAYS if day != gone]
        assert found.ends[9].astype(object) == calendar.roll_forward(MONDAYS[11])
        sessions = (daily.index > pd.Timestamp(calendar.roll_forward(MONDAYS[9]))) & (
            daily.index <= pd.Timestamp(found.ends[9])
        )
        own = weights[(weights["decision"] == pd.Timestamp(MONDAYS[9])) & (weights["scheme"] == NAMES[0])].set_index(
            "sleeve"
        )["weight"]
        grown = sum(own[name] * (1.0 + daily.loc[sessions, name].fillna(0.0)).prod() for name in SLEEVES)
        assert found.returns[9, 0] == pytest.approx(grown + own[CASH] * (1.0 + cash[sessions]).prod() - 1.0, rel=1e-12)

    def test_of_weeks_past_do_not_depend_on_decisions_to_come(self, tables: Any):
        weights, daily, cash = tables
        whole = record_of(weights, daily, cash, COST).returns
        for at in (5, 13, 20):
            cut = weights[weights["decision"] <= pd.Timestamp(MONDAYS[at])]
            np.testing.assert_array_equal(record_of(cut, daily, cash, COST).returns, whole[: at + 1])

    def test_what_a_scheme_only_held_is_no_trade(self, tables: Any):
        weights, daily, cash = tables
        day, scheme = pd.Timestamp(MONDAYS[6]), NAMES[0]
        told = weights[["decision", "scheme"]].drop_duplicates().assign(status="optimal")
        told.loc[(told["decision"] == day) & (told["scheme"] == scheme), "status"] = "held"
        own = own_weights(weights, told)
        found = record_of(own, daily, cash, COST)
        assert found.turnover[6, 0] == 0.0
        assert not found.decided[6, 0] and found.decided[:, 0].sum() == len(MONDAYS) - 1
        left = weights[(weights["decision"] != day) | (weights["scheme"] != scheme)]
        returns, _ = by_loop(left, daily, cash, scheme)
        np.testing.assert_allclose(found.returns[:, 0], returns, rtol=1e-12, atol=1e-14)
        every = own_weights(weights, told.assign(status="held"))  # all of them held: their weeks are still weeks
        assert len(record_of(every, daily, cash, COST).begins) == len(MONDAYS)
        pd.testing.assert_frame_equal(own_weights(weights, told.iloc[:0]), weights)


# ---------------------------------------------------------------------------------------------- champion and board

DECISIONS = sleeved.MONDAYS[14:70]
QUICK: dict[str, Any] = {
    "scheme": "champion",
    "champion_weeks": 26,
    "champion_least_weeks": 8,
    "champion_margin": 0.1,
    "champion_rest_weeks": 4,
}


@pytest.fixture(scope="module")
def home() -> Iterator[MemoryLake]:
    """A lake with the weights and outcomes of all schemes."""
    with sleeved.home() as lake:
        shares = decide_shares(lake, DECISIONS, CHOSEN)
        sleeved.keep(lake, WEIGHTS.name, shares.weights)
        sleeved.keep(lake, OUTCOMES.name, shares.outcomes)
        yield lake


def board(lake: MemoryLake, day: date, **changed: Any) -> pd.DataFrame:
    return schemes._board(analysed.bench(lake, chosen(**changed)), day)


class TestChoices:
    def test_begin_with_the_default_and_follow_the_rule(self, home: MemoryLake):
        found = choices(home, schemes.stored_weights(home, date(2030, 1, 1)), chosen(**QUICK))
        assert list(found) == DECISIONS
        assert found[DECISIONS[0]].scheme == "max_sharpe"
        assert "no other scheme shares 8 weeks of record with it" in found[DECISIONS[0]].reason
        changes = [day for day in DECISIONS if found[day].switched]
        assert len(changes) > 1  # or the tests below say little
        for day in changes:
            assert found[day].reason.startswith("changes from")
        assert min(np.diff([DECISIONS.index(day) for day in changes])) >= 4
        other = choices(
            home, schemes.stored_weights(home, date(2030, 1, 1)), chosen(**QUICK, default_scheme="risk_parity")
        )
        assert other[DECISIONS[0]].scheme == "risk_parity"

    def test_see_only_weeks_that_ended_before_the_decision(self, home: MemoryLake):
        """What a week earned whose last session is the decision's is not known when it is decided."""
        weights = schemes.stored_weights(home, date(2030, 1, 1))
        whole = choices(home, weights, chosen(**QUICK))
        day = next(day for day in DECISIONS[20:] if whole[day].switched)
        wide = sleeved.daily()
        rng = np.random.default_rng(3)
        later = wide.index >= pd.Timestamp(day)
        wide.loc[later] = rng.normal(0.0, 0.05, wide[later].shape)
        with sleeved.home(wide) as lake:
            other = choices(lake, weights, chosen(**QUICK))
        upto = DECISIONS[: DECISIONS.index(day) + 1]
        assert [repr(other[one]) for one in upto] == [repr(whole[one]) for one in upto]
        assert any(other[one].scheme != whole[one].scheme for one in DECISIONS)

    def test_do_not_depend_on_decisions_to_come(self, home: MemoryLake):
        whole = choices(home, schemes.stored_weights(home, date(2030, 1, 1)), chosen(**QUICK))
        for day in DECISIONS[9::15]:
            found = choices(home, schemes.stored_weights(home, day + timedelta(1)), chosen(**QUICK))
            assert (found[day].scheme, found[day].reason) == (whole[day].scheme, whole[day].reason)


class TestBoard:
    DAY = date(2022, 9, 1)

    def test_has_every_scheme_and_one_champion_with_its_reason(self, home: MemoryLake):
        found = BOARD.conform(board(home, self.DAY, **QUICK))
        assert BOARD.check(found).bad.empty
        assert sorted(found["scheme"]) == sorted(NAMES)
        assert sorted(found["rank"]) == list(range(1, len(NAMES) + 1))
        assert found["champion"].sum() == 1
        assert found["reason"].notna().tolist() == found["champion"].tolist()
        ended = [day for day in DECISIONS if calendar.roll_forward(day + timedelta(7)) < self.DAY]
        assert set(found["weeks"]) == {len(ended)}

    def test_is_the_same_whatever_is_stored_of_later_days(self, home: MemoryLake):
        wide = sleeved.daily()
        with sleeved.home(wide[wide.index < pd.Timestamp(self.DAY)]) as cut:
            for table in (WEIGHTS, OUTCOMES):
                sleeved.keep(cut, table.name, home.read(table, last=self.DAY - timedelta(1)))
            pd.testing.assert_frame_equal(board(cut, self.DAY), board(home, self.DAY), check_exact=True)

    def test_counts_the_weeks_in_which_a_scheme_only_held(self, home: MemoryLake):
        told = home.read(OUTCOMES)
        late = told["decision"].isin(pd.DatetimeIndex(DECISIONS[10:15])) & (told["scheme"] == "risk_parity")
        assert (told.loc[late, "status"] == "optimal").all()
        with sleeved.home() as lake:
            sleeved.keep(lake, WEIGHTS.name, home.read(WEIGHTS))
            sleeved.keep(lake, OUTCOMES.name, told.assign(status=told["status"].mask(late, "held")))
            found = board(lake, self.DAY).set_index("scheme")["held"]
        usual = board(home, self.DAY).set_index("scheme")["held"]
        decisions = sum(day < self.DAY for day in DECISIONS)
        assert found["risk_parity"] == pytest.approx(usual["risk_parity"] + 5 / decisions)
        assert found["min_variance"] == usual["min_variance"]

    def test_of_a_day_before_there_are_weights_has_no_row(self, home: MemoryLake, lake: MemoryLake):
        assert board(home, DECISIONS[0]).empty
        assert board(lake, self.DAY).empty
        first = board(home, DECISIONS[0] + timedelta(1))  # weights, and not a session of returns yet
        assert set(first["weeks"]) == {0}
        assert BOARD.check(BOARD.conform(first)).bad.empty

    def test_with_interest_on_cash_counts_what_is_in_excess_of_it(self, home: MemoryLake):
        rates = pd.DataFrame(
            {"known_on": sleeved.SESSIONS, "event_date": sleeved.SESSIONS, "tenor": "3m", "rate": 0.05}
        )
        with sleeved.home() as lake:
            for table in (WEIGHTS, OUTCOMES):
                sleeved.keep(lake, table.name, home.read(table))
            lake.put("treasury_rates", *rates.iloc[:1].to_dict("records"))
            paid = board(lake, self.DAY, cash_interest=True).set_index("scheme")
        usual = board(home, self.DAY).set_index("scheme")
        least = usual.index[usual["invested"] < 1.0 - 1e-6]
        assert len(least)
        assert (paid.loc[least, "annual_return"] > usual.loc[least, "annual_return"]).all()
        assert (paid["sharpe"] < usual["sharpe"].reindex(paid.index)).all()

    def test_through_dagster_months_without_weeks_are_empty_and_a_range_is_its_months(self, home: MemoryLake):
        days = [date(2021, 8, 1), date(2021, 9, 1), date(2022, 8, 1), date(2022, 9, 1)]
        months = [date(2021 + n // 12, n % 12 + 1, 1) for n in range(7, 21)]
        assert months[0] == days[0] and months[-1] == days[-1]
        result = analysed.materialise(schemes.allocation_scoreboard, analysed.bench(home, chosen(**QUICK)), months)
        assert result.success
        stored = home.read(BOARD)
        begun = [day for day in months if day > DECISIONS[0]]
        assert sorted({day.date() for day in stored["decision"]}) == begun
        alone = BOARD.sort(BOARD.conform(board(home, self.DAY, **QUICK)))
        own = stored[stored["decision"] == pd.Timestamp(self.DAY)].reset_index(drop=True)
        pd.testing.assert_frame_equal(own, alone, check_exact=True, check_dtype=False)


# ------------------------------------------------------------------------------------------------------- settings


class TestSettings:
    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"scheme": "max_sharp"}, "no allocation scheme 'max_sharp'. There are: max_sharpe, .*champion"),
            ({"scheme": "champion", "default_scheme": "champion"}, "no allocation scheme 'champion'"),
            ({"champion_weeks": 52, "champion_least_weeks": 104}, "least_weeks must be .*config.yaml"),
        ],
    )
    def test_a_rule_without_a_meaning_is_one_clear_error(self, changed: dict[str, Any], words: str):
        with pytest.raises(PasError, match=words):
            rule(chosen(**changed))

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"group_budgets": {"diversified": 0.8, "momentum": 0.3}}, "sum to at most 1, not 1.1. Mend strategic_mix"),
            ({"group_budgets": {"bonds": 0.5}}, "groups without a sleeve: bonds"),
            ({"strategic_mix": {"wsb_buzz": -0.1}}, "shares of at least 0 in its mix, not -0.1 for wsb_buzz"),
            (
                {"strategic_mix": {"wsb_buz": 0.5, "glide_path": 0.5}},
                "strategic_mix .* 'wsb_buz', .* did you mean wsb_buzz",
            ),
            ({"sleeve_groups": {"nobody": "momentum"}}, "sleeve_groups in config.yaml names 'nobody'"),
            ({"defensive_sleeves": ["glide_paths"]}, "defensive_sleeves .* did you mean glide_path?"),
            ({"views": [{"sleeve": "wsb_buz", "expected": 0.1}]}, "view 1 of views .* 'wsb_buz', .* mean wsb_buzz"),
            ({"views": [{"sleeve": "wsb_buzz"}]}, "view 1: the view of wsb_buzz needs an expected .* Mend views in"),
        ],
    )
    def test_a_mandate_without_a_meaning_is_one_clear_error(self, changed: dict[str, Any], words: str):
        with pytest.raises(PasError, match=words) as caught:
            mandate(chosen(**changed))
        assert "config.yaml" in str(caught.value)

    def test_limits_that_contradict_each_other_are_one_clear_error(self):
        with pytest.raises(PasError, match=r"min_weight ≤ max_weight .* not 0.5 and 0.4. Mend min_weight"):
            policy(chosen(min_weight=0.5))

    def test_the_defaults_have_a_meaning(self):
        assert rule(CHOSEN).default == "max_sharpe"
        assert policy(CHOSEN).max_weight == CHOSEN.max_weight
        wishes = mandate(CHOSEN)
        assert wishes.crisis_cut == 1 - CHOSEN.crisis_exposure
        assert wishes.equity is not None and "glide_path" not in wishes.equity and "wsb_buzz" in wishes.equity
        assert wishes.views == ()

    def test_views_are_read_from_the_environment(self, monkeypatch: pytest.MonkeyPatch):
        told = '[{"above": "glide_path", "below": "wsb_buzz", "expected": 0.04, "confidence": 0.7}]'
        monkeypatch.setenv("PAS_VIEWS", told)
        read = settings.load(home=Path("unused"), world="real", database_url=None)
        assert mandate(read).views == (NamedView("glide_path", "wsb_buzz", 0.04, 0.7),)
