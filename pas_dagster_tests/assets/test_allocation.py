"""Allocation as it is stored: from what was held, from the past alone, and the same in a range as week by week."""

import json
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from pas_dagster import calendar, settings
from pas_dagster.allocation.schemes import SCHEMES
from pas_dagster.assets import allocation as assets
from pas_dagster.assets.allocation import Shares, decide_shares, drifted, growth_since, previous_shares
from pas_dagster.assets.regimes import regime_policy, regime_rows
from pas_dagster.assets.schemes import choices, stored_weights
from pas_dagster.assets.strategies import STRATEGIES
from pas_dagster.errors import PasError
from pas_dagster.lake import Lake
from pas_dagster.lake.store import Branch
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings
from pas_dagster.strategies.contract import CASH
from pas_dagster_tests.assets import analysed, sleeved
from pas_dagster_tests.assets.conftest import MemoryLake
from pas_dagster_tests.assets.sleeved import MONDAYS

CHOSEN = settings.load(home=Path("unused"), world="real", database_url=None)
CHAMPION: dict[str, Any] = {
    "scheme": "champion",
    "champion_weeks": 16,
    "champion_least_weeks": 6,
    "champion_margin": 0.05,
    "champion_rest_weeks": 3,
}
HOLIDAY = date(2023, 1, 16)
FIELDS = {"allocation": "allocation", "log": "alloc_log", "weights": "scheme_weights", "outcomes": "scheme_outcomes"}
SOME = MONDAYS[74:102]  # 2022-10-31 on: Christmas, the crisis, two holidays that are Mondays
KINDS = pytest.mark.parametrize("changed", [{}, CHAMPION], ids=["max_sharpe", "champion"])


def chosen(**changed: Any) -> Settings:
    return CHOSEN.model_copy(update=changed)


def keep(lake: MemoryLake, made: Shares) -> None:
    for field, name in FIELDS.items():
        sleeved.keep(lake, name, getattr(made, field))


def same(one: Shares, other: Shares) -> None:
    for field in FIELDS:
        pd.testing.assert_frame_equal(getattr(one, field), getattr(other, field), check_exact=True)


def joined(parts: Sequence[Shares]) -> Shares:
    frames = [pd.concat([getattr(one, field) for one in parts], ignore_index=True) for field in FIELDS]
    return Shares(*frames, 0.0)


def of(made: Shares, day: date) -> Shares:
    frames = (getattr(made, field) for field in FIELDS)
    return Shares(*(f[f["decision"] == pd.Timestamp(day)].reset_index(drop=True) for f in frames), 0.0)


@pytest.fixture(scope="module")
def regimes() -> pd.DataFrame:
    with sleeved.home() as lake:
        return regime_rows(lake, MONDAYS, regime_policy(CHOSEN))


def home(regimes: pd.DataFrame, wide: pd.DataFrame | None = None, until: date | None = None) -> MemoryLake:
    """A lake with returns and regimes, nothing of a day or later."""
    wide = sleeved.daily() if wide is None else wide
    lake = sleeved.home(wide if until is None else wide[wide.index < pd.Timestamp(until)])
    # The regime of the decision is judged from before it, so it is there.
    sleeved.keep(lake, "regimes", regimes if until is None else regimes[regimes["decision"] <= pd.Timestamp(until)])
    return lake


@pytest.fixture(scope="module")
def ranges(regimes: pd.DataFrame) -> dict[str, Shares]:
    """All decisions in one run, by scheme of the settings."""
    with home(regimes) as lake:
        return {
            name: decide_shares(lake, SOME, chosen(**one))
            for name, one in {"max_sharpe": {}, "champion": CHAMPION}.items()
        }


def whole(ranges: dict[str, Shares], changed: dict[str, Any]) -> Shares:
    return ranges["champion" if changed else "max_sharpe"]


# ---------------------------------------------------------------------------------------------- ranges and the past


@KINDS
@pytest.mark.parametrize("size", [1, 9])
def test_a_range_has_the_rows_of_its_decisions_made_one_after_the_other(
    regimes: pd.DataFrame, ranges: dict[str, Shares], changed: dict[str, Any], size: int
):
    parts = []
    with home(regimes) as lake:
        for days in sleeved.blocks(SOME, size):
            parts.append(decide_shares(lake, days, chosen(**changed)))
            keep(lake, parts[-1])
    same(joined(parts), whole(ranges, changed))


@KINDS
def test_nothing_known_from_the_decision_on_makes_a_difference(
    regimes: pd.DataFrame, ranges: dict[str, Shares], changed: dict[str, Any]
):
    """Neither returns nor what is stored of later decisions, in a lake that has both and in one that has neither."""
    expected = whole(ranges, changed)
    for day in (SOME[9], SOME[-3]):
        wide, shaken = sleeved.daily(), regimes.copy()
        rng = np.random.default_rng(2)
        later = wide.index >= pd.Timestamp(day)
        wide.loc[later] = rng.normal(0.0, 0.1, wide[later].shape)
        shaken.loc[shaken["decision"] > pd.Timestamp(day), "probability"] = 0.5
        earlier = joined([of(expected, one) for one in SOME if one < day])
        nonsense = joined([of(expected, one) for one in SOME if one >= day])
        nonsense = nonsense._replace(
            weights=nonsense.weights.assign(weight=0.1), allocation=nonsense.allocation.assign(weight=0.1)
        )
        with home(shaken, wide) as full, home(regimes, until=day) as cut:
            for lake in (full, cut):
                keep(lake, earlier)
            keep(full, nonsense)
            for lake in (full, cut):
                same(decide_shares(lake, [day], chosen(**changed)), of(expected, day))


def test_a_champion_is_followed_with_its_reason_in_the_log(regimes: pd.DataFrame, ranges: dict[str, Shares]):
    made = ranges["champion"]
    follows = made.log[made.log["step"] == "follows"].set_index("decision")["note"]
    scheme = made.allocation.groupby("decision")["scheme"].first()
    with home(regimes) as lake:
        keep(lake, made)
        found = choices(lake, stored_weights(lake, date(2030, 1, 1)), chosen(**CHAMPION))
    assert {one.scheme for one in found.values()} > {"max_sharpe"}  # or this says little
    for day in SOME:
        assert scheme[pd.Timestamp(day)] == found[day].scheme
        assert follows[pd.Timestamp(day)] == f"{found[day].scheme}; {found[day].reason}"
        assert found[day].scheme in found[day].reason
        assert (found[day].reason.startswith("changes from")) == found[day].switched


def test_a_champion_is_the_same_whatever_happens_on_the_day_of_the_decision(
    regimes: pd.DataFrame, ranges: dict[str, Shares]
):
    """The last week ends with that day's close, which is not known when it is decided."""
    made = ranges["champion"]
    scheme = made.allocation.groupby("decision")["scheme"].first()
    day = next(one for one in scheme.index[8:-4] if scheme[one] != scheme[one - pd.Timedelta(days=7)])
    wide = sleeved.daily()
    wide.loc[pd.Timestamp(calendar.roll_forward(day.date()))] = [0.5, -0.5, 0.4, -0.4, 0.3, -0.3]
    with home(regimes, wide) as lake:
        other = decide_shares(lake, SOME, chosen(**CHAMPION))
    upto = [one for one in SOME if one <= day.date()]
    same(joined([of(other, one) for one in upto]), joined([of(made, one) for one in upto]))
    assert not other.weights.equals(made.weights)


def test_a_fixed_scheme_says_so(regimes: pd.DataFrame):
    with home(regimes) as lake:
        made = decide_shares(lake, SOME[:2], chosen(scheme="min_variance", default_scheme="nonsense"))
    assert set(made.allocation["scheme"]) == {"min_variance"}
    assert set(made.log.loc[made.log["step"] == "follows", "note"]) == {"min_variance; the settings say so"}


# ------------------------------------------------------------------------------------------------------- what is held


@given(
    st.lists(st.tuples(st.floats(0.0, 0.2), st.floats(0.0, 3.0)), min_size=1, max_size=5),
    st.booleans(),
)
@hypothesis(max_examples=60, deadline=None)
def test_shares_drift_as_dollars_do(pairs: list[tuple[float, float]], known: bool):
    shares = {f"s{n}": share for n, (share, _) in enumerate(pairs)}
    growth = {f"s{n}": factor for n, (_, factor) in enumerate(pairs)} if known else {}
    dollars = {name: 1e6 * share * growth.get(name, 1.0) for name, share in shares.items()}
    account = 1e6 - sum(1e6 * share for share in shares.values()) + sum(dollars.values())
    expected = {name: value / account if account else 0.0 for name, value in dollars.items()}
    assert drifted(shares, growth) == pytest.approx(expected, abs=1e-12)
    assert sum(drifted(shares, growth).values()) <= 1.0 + 1e-12


def test_of_an_account_that_has_lost_everything_nothing_is_held():
    assert drifted({"a": 0.6, "b": 0.4}, {"a": 0.0, "b": 0.0}) == {"a": 0.0, "b": 0.0}


@pytest.mark.parametrize(
    ("decision", "now"),
    [
        (date(2023, 3, 6), date(2023, 3, 13)),
        (HOLIDAY, date(2023, 1, 23)),  # trades on the Tuesday
        (date(2023, 1, 9), HOLIDAY),
        (date(2023, 1, 16), date(2023, 2, 20)),  # several weeks, the next decision on a holiday too
        (date(2024, 2, 5), date(2024, 2, 12)),  # a sleeve lacks a session
        (date(2023, 7, 3), date(2023, 7, 17)),  # a sleeve begins
        (date(2023, 3, 6), date(2023, 3, 6)),
    ],
)
def test_sleeves_grow_from_the_close_that_traded_to_the_last_one_before_the_next_decision(decision: date, now: date):
    wide = sleeved.daily()
    expected = dict.fromkeys(wide.columns, 1.0)
    day = calendar.roll_forward(decision) + timedelta(1)
    while day < now:
        if pd.Timestamp(day) in wide.index:
            for name in wide.columns:
                move = wide.at[pd.Timestamp(day), name]
                expected[name] *= 1.0 if np.isnan(move) else 1.0 + move
        day += timedelta(1)
    assert growth_since(wide, decision, now) == pytest.approx(expected, rel=1e-12)


def test_previous_is_what_the_shares_have_become(ranges: dict[str, Shares]):
    rows = ranges["max_sharpe"].allocation
    wide = sleeved.daily()
    shares = {day.date(): own.set_index("sleeve") for day, own in rows.groupby("decision")}
    assert (shares[SOME[0]]["previous"].drop(CASH) == 0.0).all()
    assert shares[SOME[0]].at[CASH, "previous"] == 1.0
    assert HOLIDAY in SOME
    for before, day in zip(SOME, SOME[1:], strict=False):
        own = shares[before]["weight"]
        grown = {name: own[name] for name in own.index}
        for session in calendar.sessions(calendar.roll_forward(before) + timedelta(1), day - timedelta(1)):
            for name in sleeved.SLEEVES:
                move = wide.at[pd.Timestamp(session), name]
                grown[name] *= 1.0 if np.isnan(move) else 1.0 + move
        account = sum(grown.values())
        expected = {name: value / account for name, value in grown.items()}
        assert shares[day]["previous"].to_dict() == pytest.approx(expected, abs=1e-12)


def test_trades_are_judged_from_the_drifted_shares(regimes: pd.DataFrame):
    """Held shares drift; so budget and band are of the way from there, and what is within the band stays there."""
    with home(regimes) as lake:
        made = decide_shares(lake, SOME, chosen(turnover_budget=0.15, no_trade_band=0.02, target_volatility=0.2))
    budget = made.log[made.log["step"] == "turnover_budget"].set_index("decision")["note"]
    shares = made.allocation[made.allocation["sleeve"] != CASH]
    moved = (shares["weight"] - shares["previous"]).abs().groupby(shares["decision"]).sum()
    free = budget.index[~budget.str.contains("exceeded")][1:]
    assert len(free) > 10
    assert (moved[free] <= 0.15 + 1e-9).all()
    kept = made.log[(made.log["step"] == "no_trade_band") & made.log["sleeve"].notna()]
    assert len(kept) > 3
    table = shares.set_index(["decision", "sleeve"])
    for row in kept.itertuples():
        own = table.loc[row.decision, row.sleeve]
        assert own["weight"] == own["previous"] == row.value


def test_shares_of_long_ago_have_drifted_all_the_way(regimes: pd.DataFrame):
    """A home from before there were tables of schemes knows its shares only from `allocation`."""
    old = MONDAYS[60]
    rows = [{"decision": old, "sleeve": n, "weight": 0.15, "previous": 0.0, "scheme": "x"} for n in sleeved.SLEEVES[:4]]
    rows.append({"decision": old, "sleeve": CASH, "weight": 0.4, "previous": 1.0, "scheme": "x"})
    with home(regimes) as lake:
        sleeved.keep(lake, "allocation", TABLES["allocation"].conform(pd.DataFrame(rows)))
        made = decide_shares(lake, [SOME[-1]], CHOSEN).allocation.set_index("sleeve")["previous"]
    grown = growth_since(sleeved.daily(), old, SOME[-1])
    expected = drifted(dict.fromkeys(sleeved.SLEEVES[:4], 0.15), grown)
    assert made[list(expected)].to_dict() == pytest.approx(expected, rel=1e-12)


def test_a_branch_of_the_lake_goes_on_from_its_own_shares(
    regimes: pd.DataFrame, ranges: dict[str, Shares], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Branch, "snapshot", lambda _: 0)  # a lake in memory has none
    made = ranges["max_sharpe"]
    with MemoryLake() as trunk:
        keep(trunk, of(made, SOME[0]))
        branch = trunk.branch("backtest_x")
        assert previous_shares(branch, date(2030, 1, 1)) == ({}, None)
        sessions = [day.date() for day in sleeved.SESSIONS]
        branch.replace(TABLES["strategy_returns"], sessions, sleeved.return_rows(sleeved.daily()))
        branch.replace(TABLES["regimes"], MONDAYS, regimes)
        first = decide_shares(branch, SOME[:2], CHOSEN)
        for field, name in FIELDS.items():
            branch.replace(TABLES[name], SOME[:2], getattr(first, field))
        second = decide_shares(branch, SOME[2:3], CHOSEN)
    same(joined([first, second]), joined([of(made, day) for day in SOME[:3]]))


# --------------------------------------------------------------------------------------------------- what goes missing


@pytest.mark.parametrize("later", [False, True])
def test_a_week_of_which_a_session_is_missing_is_no_week(regimes: pd.DataFrame, ranges: dict[str, Shares], later: bool):
    """It must not pass for a whole one because nothing newer is stored: the shares are held, and the log says so."""
    day = SOME[12]
    wide = sleeved.daily()
    friday = pd.Timestamp(day) - pd.Timedelta(days=3)
    holed = wide.drop(index=friday) if later else wide[wide.index < friday]
    with home(regimes, holed) as lake:
        keep(lake, joined([of(ranges["max_sharpe"], one) for one in SOME if one < day]))
        made = decide_shares(lake, [day], CHOSEN)
    assert set(made.outcomes["status"]) == {"held"}
    assert set(made.outcomes["reason"]) == {"no sleeve is eligible"}
    left = made.log[(made.log["step"] == "eligibility") & made.log["sleeve"].isin(sleeved.SLEEVES[:4])]
    assert set(left["note"]) == {"only 11 of 12 weeks"}
    held = made.allocation
    assert held["weight"].to_numpy() == pytest.approx(held["previous"].to_numpy(), abs=1e-15)


def test_of_an_empty_lake_all_is_cash_with_a_reason(lake: MemoryLake):
    for changed in ({}, CHAMPION):
        made = decide_shares(lake, SOME[:2], chosen(**changed))
        shares = made.allocation.set_index(["decision", "sleeve"])["weight"]
        assert shares[:, CASH].tolist() == [1.0, 1.0]
        assert shares.sum() == 2.0
        assert set(made.outcomes["status"]) == {"cash"}
        status = made.log[made.log["step"] == "status"]
        assert set(status["note"]) == {"cash: no sleeve is eligible"}


# ----------------------------------------------------------------------------------------------------------- the rows


@KINDS
def test_every_row_is_valid(ranges: dict[str, Shares], changed: dict[str, Any]):
    made = whole(ranges, changed)
    for field, name in FIELDS.items():
        assert TABLES[name].check(getattr(made, field)).bad.empty, name
    for frame, keys in ((made.allocation, ["decision"]), (made.weights, ["decision", "scheme"])):
        sums = frame.groupby(keys)["weight"].sum()
        assert sums.to_numpy() == pytest.approx(np.ones(len(sums)), abs=1e-9)
    assert set(made.weights["sleeve"]) == {*STRATEGIES, CASH}


@KINDS
def test_every_scheme_answers_and_exactly_one_is_chosen(ranges: dict[str, Shares], changed: dict[str, Any]):
    made = whole(ranges, changed)
    outcomes = made.outcomes
    assert outcomes.groupby("decision")["scheme"].agg(sorted).map(tuple).unique().tolist() == [tuple(sorted(SCHEMES))]
    picked = outcomes[outcomes["chosen"]]
    assert picked["decision"].dt.date.tolist() == SOME
    assert picked["scheme"].tolist() == made.allocation.groupby("decision")["scheme"].first().tolist()


@KINDS
def test_an_answer_has_all_its_numbers_and_constraints(ranges: dict[str, Shares], changed: dict[str, Any]):
    outcomes = whole(ranges, changed).outcomes
    optimal = outcomes[outcomes["status"] == "optimal"]
    assert len(optimal) > len(SOME) * len(SCHEMES) // 2
    assert optimal[["expected_return", "volatility", "sharpe", "residual"]].notna().all(axis=None)
    assert optimal["reason"].isna().all()
    assert outcomes.loc[outcomes["status"] != "optimal", "reason"].notna().all()
    parsed = [json.loads(text) for text in outcomes["active"]]
    assert any(parsed)
    for one in (one for row in parsed for one in row):
        assert set(one) == {"constraint", "multiplier"}
        assert one["multiplier"] is None or np.isfinite(one["multiplier"])


def test_what_is_chosen_is_answered_as_the_account_would_with_the_same_shares(ranges: dict[str, Shares]):
    """As long as the scheme is the same all along, its shares are the account's."""
    made = ranges["max_sharpe"]
    own = made.weights[made.weights["scheme"] == "max_sharpe"].set_index(["decision", "sleeve"])["weight"]
    account = made.allocation.set_index(["decision", "sleeve"])["weight"]
    pd.testing.assert_series_equal(own.sort_index(), account.sort_index(), check_exact=True)


def test_the_crisis_of_the_decision_reaches_the_schemes(regimes: pd.DataFrame, ranges: dict[str, Shares]):
    known = regimes.set_index("decision")["probability"].dropna()
    log = ranges["max_sharpe"].log
    told = log[log["step"] == "crisis"].set_index("decision")["value"]
    expected = known[known.index.isin(pd.DatetimeIndex(SOME))]
    assert len(expected) > 10 and expected.max() > 0.9
    assert told.to_dict() == pytest.approx(expected.to_dict())


# ----------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"scheme": "sharpest"}, "There is no allocation scheme 'sharpest'"),
        ({"scheme": "champion", "default_scheme": "sharpest"}, "There is no allocation scheme 'sharpest'"),
        ({"group_budgets": {"momentum": 1.5}}, "sum to at most 1"),
        ({"min_weight": 0.9}, "min_weight"),
        ({**CHAMPION, "champion_least_weeks": 100}, "least_weeks"),
    ],
)
def test_settings_without_a_meaning_are_one_clear_error(lake: MemoryLake, changed: dict[str, Any], words: str):
    with pytest.raises(PasError, match=words):
        decide_shares(lake, SOME[:1], chosen(**changed))


# ----------------------------------------------------------------------------------------------------- through Dagster


@pytest.fixture
def stored(regimes: pd.DataFrame) -> Iterator[MemoryLake]:
    with home(regimes) as lake:
        yield lake


def read(lake: Lake) -> Shares:
    return Shares(*(lake.read(TABLES[name]) for name in FIELDS.values()), 0.0)


class TestThroughDagster:
    def test_a_range_and_a_single_run_store_the_same(self, stored: MemoryLake, ranges: dict[str, Shares]):
        bench = analysed.bench(stored, chosen(**CHAMPION))
        assert analysed.materialise(assets.allocation, bench, SOME[:9]).success
        first = joined([of(ranges["champion"], day) for day in SOME[:9]])
        for field, name in FIELDS.items():
            expected = TABLES[name].sort(getattr(first, field))
            pd.testing.assert_frame_equal(stored.read(TABLES[name]), expected, check_exact=True)
        again = analysed.materialise(assets.allocation, bench, SOME[6:7])
        assert all(one.passed for one in again.get_asset_check_evaluations())
        for event in again.asset_materializations_for_node("allocation"):
            assert event.metadata["changed"].value is False
        assert analysed.materialise(assets.allocation, bench, SOME[9:10]).success
        ten = joined([of(ranges["champion"], day) for day in SOME[:10]])
        pd.testing.assert_frame_equal(read(stored).log, TABLES["alloc_log"].sort(ten.log), check_exact=True)

    def test_a_target_is_within_its_limits_and_the_cuts_say_what_was_taken(self, stored: MemoryLake):
        """The step from shares and weights to the target, with a cap that binds and a crisis."""
        days = calendar.sessions(date(2023, 2, 27), date(2023, 3, 10))
        keep(stored, decide_shares(stored, SOME[10:20], chosen(scheme="risk_parity")))
        columns = TABLES["strategy_weights"].names
        weights = pd.DataFrame(
            [
                {"decision": day, "strategy": name, "symbol": symbol, "weight": weight}
                for name in sleeved.SLEEVES
                for day in SOME[10:20]
                for symbol, weight in (("AAA", 0.6), ("FND", 0.3), (CASH, 0.1))
            ]
        )
        filled = weights.assign(status="decided", decided_on=weights["decision"], cause="none", note=None)
        assert set(columns) <= set(filled)
        sleeved.keep(stored, "strategy_weights", TABLES["strategy_weights"].conform(filled))
        first = {"known_on": "2020-01-01", "event_date": "2020-01-01", "action": "add"}
        stored.put(
            "universe",
            {**first, "symbol": "AAA", "kind": "stock", "sector": "Energy"},
            {**first, "symbol": "FND", "kind": "etf", "sector": None},
        )
        bench = analysed.bench(stored, chosen(max_name=0.2, max_sector=0.05))
        result = analysed.materialise(assets.target_portfolio, bench, days)
        assert result.success
        target, cuts = stored.read(TABLES["portfolios"]), stored.read(TABLES["cuts"])
        assert target["decision"].dt.date.unique().tolist() == days
        held = target[target["symbol"] == "AAA"].groupby("decision")["weight"].sum()
        assert held.to_numpy() == pytest.approx(np.full(len(days), 0.05))
        assert set(cuts["what"]) == {"sector", "regime"}
        assert set(cuts.loc[cuts["what"] == "sector", "name"]) == {"Energy"}  # and a fund is of none
        regime = stored.read(TABLES["regimes"]).set_index("decision").reindex(pd.DatetimeIndex(days), method="ffill")
        expected = set(regime.index[regime["factor"] < 1.0])
        assert expected and set(cuts.loc[cuts["what"] == "regime", "decision"]) == expected
        sums = target.groupby(["decision", "sleeve"])["sleeve_weight"].sum()
        assert sums.to_numpy() == pytest.approx(np.ones(len(sums)))
        for day in days[::4]:  # and each session on its own is the same
            before = stored.read(TABLES["portfolios"], first=day, last=day)
            assert analysed.materialise(assets.target_portfolio, bench, [day]).success
            pd.testing.assert_frame_equal(
                stored.read(TABLES["portfolios"], first=day, last=day), before, check_exact=True
            )
