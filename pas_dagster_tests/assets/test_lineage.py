"""Which weights and shares a decision uses: the cuts that a range run makes inside, and what they leave on record."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.assets.allocation import latest_through, previous_shares, target_rows
from pas_dagster.assets.strategies import decide, standing_before, weight_rows
from pas_dagster.assets.weeks import weeks_before
from pas_dagster.calendar import Cadence
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings
from pas_dagster.strategies.contract import CASH, NotEnoughData, Strategy, Weights
from pas_dagster.strategies.decision import NOTHING
from pas_dagster.strategies.history import AsOf
from pas_dagster_tests.assets.conftest import MemoryLake

ALLOCATION, PORTFOLIOS, WEIGHTS = (TABLES[name] for name in ("allocation", "portfolios", "strategy_weights"))
SESSIONS = calendar.sessions(date(2024, 1, 2), date(2024, 3, 28))
MONDAYS = Cadence.WEEKLY_MON.nominal_days(SESSIONS[0], SESSIONS[-1])
FRIDAYS = Cadence.WEEKLY_FRI.nominal_days(SESSIONS[0], SESSIONS[-1])
SLEEVES = {"alpha": MONDAYS, "beta": FRIDAYS, "gamma": [date(2024, 1, 8), date(2024, 2, 5), date(2024, 3, 4)]}


def shares(days: Sequence[date], names: Sequence[str] = tuple(SLEEVES)) -> pd.DataFrame:
    """A share that tells its day: 1 % for each week gone by."""
    rows = [
        {"decision": d, "sleeve": n, "weight": 0.01 * (1 + MONDAYS.index(d)), "previous": 0.0, "scheme": "max_sharpe"}
        for d in days
        for n in names
    ]
    return ALLOCATION.conform(pd.DataFrame(rows, columns=["decision", "sleeve", "weight", "previous", "scheme"]))


def weights(sets: Sequence[tuple[str, date]], status: str = "decided") -> pd.DataFrame:
    """Two names and cash for each (strategy, day); the first name tells the day."""
    rows = [
        {"decision": d, "strategy": s, "symbol": symbol, "weight": w, "status": status, "decided_on": d}
        for s, d in sets
        for symbol, w in ((f"D{d:%m%d}"[:5], 0.5), ("XXX", 0.3), (CASH, 0.2))
    ]
    columns = ["decision", "strategy", "symbol", "weight", "status", "decided_on"]
    return WEIGHTS.conform(pd.DataFrame(rows, columns=columns))


NO_CHANGES = TABLES["corporate_actions"].empty()


def targets(decisions: Sequence[date], allocated: pd.DataFrame, decided: pd.DataFrame) -> pd.DataFrame:
    return target_rows(decisions, allocated, decided, NO_CHANGES)


ALL_SHARES = shares(MONDAYS)
ALL_WEIGHTS = weights([(name, day) for name, days in SLEEVES.items() for day in days])


def ordered(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(["decision", "sleeve", "symbol"], ignore_index=True)


@st.composite
def histories(draw: Any) -> tuple[list[date], list[date], list[tuple[str, date]]]:
    """A range of decisions, and any part of the shares and weights that there could be."""
    begin = draw(st.integers(0, len(SESSIONS) - 1))
    end = draw(st.integers(begin, min(len(SESSIONS) - 1, begin + 15)))
    made = [(name, day) for name, days in SLEEVES.items() for day in days]
    some = st.sets(st.sampled_from(made)).map(sorted)
    return SESSIONS[begin : end + 1], sorted(draw(st.sets(st.sampled_from(MONDAYS)))), draw(some)


class TestTargetRows:
    @given(histories())
    @settings(max_examples=40, deadline=None)
    def test_of_a_range_are_the_union_of_its_decisions_on_their_own(self, drawn: Any):
        decisions, allocated, sets = drawn
        whole = ordered(targets(decisions, shares(allocated), weights(sets)))
        parts = [targets([day], shares(allocated), weights(sets)) for day in decisions]
        pd.testing.assert_frame_equal(whole, ordered(pd.concat(parts, ignore_index=True)))

    @given(histories())
    @settings(max_examples=40, deadline=None)
    def test_do_not_depend_on_what_is_decided_later(self, drawn: Any):
        decisions, allocated, sets = drawn
        last = decisions[-1]
        known = [day for day in allocated if day <= last], [pair for pair in sets if pair[1] <= last]
        cut = targets(decisions, shares(known[0]), weights(known[1]))
        pd.testing.assert_frame_equal(ordered(targets(decisions, shares(allocated), weights(sets))), ordered(cut))

    @given(histories())
    @settings(max_examples=40, deadline=None)
    def test_come_from_the_latest_at_or_before_the_decision_and_say_so(self, drawn: Any):
        decisions, allocated, sets = drawn
        rows = targets(decisions, shares(allocated), weights(sets))
        found = {
            (r.decision.date(), r.sleeve): (r.weights_from.date(), r.allocation_from.date()) for r in rows.itertuples()
        }
        expected = {}
        for day in decisions:
            for name in SLEEVES:
                own = [d for n, d in sets if n == name and d <= day]
                shared = [d for d in allocated if d <= day]
                if own and shared:
                    expected[day, name] = (max(own), max(shared))
                elif shared:  # a share without weights is cash, decided with the allocation
                    expected[day, name] = (max(shared), max(shared))
        assert found == expected
        for row in rows[rows["symbol"].str.startswith("D")].itertuples():
            assert row.symbol == f"D{row.weights_from:%m%d}"
            assert row.sleeve_share == 0.01 * (1 + MONDAYS.index(row.allocation_from.date()))
            assert row.weight == row.sleeve_weight * row.sleeve_share

    def test_take_effect_once_in_the_first_session_from_their_day_on(self):
        rows = targets(SESSIONS, ALL_SHARES, ALL_WEIGHTS)
        for name, days in SLEEVES.items():
            own = rows[rows["sleeve"] == name]
            traded = sorted({day.date() for day in own.loc[own["rebalance"], "decision"]})
            begun = own["decision"].min().date()
            assert traded == [calendar.roll_forward(day) for day in days if calendar.roll_forward(day) >= begun]
        resized = sorted({day.date() for day in rows.loc[rows["resize"], "decision"]})
        assert date(2024, 1, 16) in resized  # the Tuesday after Martin Luther King Day
        assert date(2024, 2, 20) in resized
        assert resized == [calendar.roll_forward(day) for day in MONDAYS]

    def test_of_held_weights_do_not_rebalance(self):
        held = weights([("alpha", MONDAYS[0]), ("alpha", MONDAYS[1])], status="held")
        assert not targets(SESSIONS, shares(MONDAYS, ["alpha"]), held)["rebalance"].any()

    def test_of_a_sleeve_without_a_share_are_none(self):
        assert targets(SESSIONS, shares([]), ALL_WEIGHTS).empty
        assert set(targets(SESSIONS, shares(MONDAYS, ["beta"]), ALL_WEIGHTS)["sleeve"]) == {"beta"}

    def test_of_a_sleeve_without_a_strategy_any_more_are_cash(self):
        rows = targets(SESSIONS, ALL_SHARES, ALL_WEIGHTS[ALL_WEIGHTS["strategy"] != "beta"])
        own = rows[rows["sleeve"] == "beta"]
        assert set(own["symbol"]) == {CASH}
        assert set(own["sleeve_weight"]) == {1.0}

    def test_go_by_the_symbols_of_the_decisions_day(self):
        day, old = date(2024, 2, 7), f"D{MONDAYS[4]:%m%d}"  # the Wednesday after the Monday of the weights
        change = {"known_on": day, "event_date": day, "symbol": old, "kind": "symbol_change", "new_symbol": "NEW"}
        changes = TABLES["corporate_actions"].conform(pd.DataFrame([change | {"provider": "p"}]))
        rows = target_rows(SESSIONS, ALL_SHARES, ALL_WEIGHTS, changes)
        own = rows[(rows["sleeve"] == "alpha") & (rows["weights_from"] == pd.Timestamp(MONDAYS[4]))]
        named = own[own["symbol"].isin([old, "NEW"])].set_index("decision")["symbol"]
        assert [name for at, name in named.items() if at.date() < day] == [old] * 2
        assert [name for at, name in named.items() if at.date() >= day] == ["NEW"] * 3

    @pytest.mark.parametrize("begin", range(0, len(SESSIONS) - 10, 7))
    def test_are_the_same_from_what_a_run_reads_as_from_everything(self, begin: int, lake: MemoryLake):
        lake.replace(WEIGHTS, sorted({*MONDAYS, *FRIDAYS}), ALL_WEIGHTS)
        lake.replace(ALLOCATION, MONDAYS, ALL_SHARES)
        decisions = SESSIONS[begin : begin + 10]
        read = targets(
            decisions,
            latest_through(lake, ALLOCATION, "sleeve", decisions),
            latest_through(lake, WEIGHTS, "strategy", decisions),
        )
        pd.testing.assert_frame_equal(ordered(read), ordered(targets(decisions, ALL_SHARES, ALL_WEIGHTS)))


@pytest.mark.parametrize("decision", SESSIONS[5:])
def test_weeks_before_are_exactly_the_ones_over_when_the_decisions_week_began(decision: date):
    index = pd.DatetimeIndex(MONDAYS).astype("datetime64[us]")
    kept = weeks_before(pd.DataFrame({"alpha": range(len(MONDAYS))}, index=index), decision, 4)
    monday = decision - timedelta(decision.weekday())
    assert [day.date() for day in kept.index] == [monday - timedelta(7 * n) for n in (4, 3, 2, 1)]
    known = kept["alpha"].dropna()
    assert [MONDAYS[int(at)] for at in known] == [day.date() for day in known.index]  # a gap moves no week up


def test_previous_shares_are_those_in_force_before_the_day_without_cash(lake: MemoryLake):
    lake.replace(ALLOCATION, MONDAYS, pd.concat([ALL_SHARES, shares(MONDAYS, [CASH])]))
    assert previous_shares(lake, MONDAYS[0]) == ({}, None)
    third, fourth = ({name: pytest.approx(share) for name in SLEEVES} for share in (0.03, 0.04))
    assert previous_shares(lake, MONDAYS[3]) == (third, MONDAYS[2])
    assert previous_shares(lake, MONDAYS[3] + timedelta(1)) == (fourth, MONDAYS[3])


class TestDecide:
    """A strategy that cannot decide holds what it had, and every row says since when."""

    @staticmethod
    def strategy(*lacking: date) -> Strategy:
        def rule(data: AsOf) -> Weights:
            if data.decision in lacking:
                raise NotEnoughData("no price is known")
            return Weights({f"D{data.decision:%m%d}": 0.75})

        return Strategy("alpha", "Alpha", Cadence.WEEKLY_MON, {}, rule)

    def run(
        self, lake: MemoryLake, days: Sequence[date], *lacking: date
    ) -> dict[date, tuple[str, str, date, str | None]]:
        made = decide(self.strategy(*lacking), days, lake, Settings())
        rows = WEIGHTS.conform(pd.DataFrame([row for one in made for row in weight_rows("alpha", one)]))
        lake.replace(WEIGHTS, days, rows, scope=("strategy", "alpha"))
        stored = lake.read(WEIGHTS, first=days[0], last=days[-1])
        sums = stored.groupby("decision")["weight"].sum()
        assert ((sums - 1).abs() < 1e-12).all()
        named = stored.sort_values("symbol", ascending=False).drop_duplicates("decision").sort_values("decision")
        notes = [note.partition(";")[0] if isinstance(note, str) else None for note in named["note"]]
        return {
            day.date(): (symbol, status, since.date(), note)
            for day, symbol, status, since, note in zip(
                named["decision"], named["symbol"], named["status"], named["decided_on"], notes, strict=True
            )
        }

    def test_what_is_known_is_decided(self, lake: MemoryLake):
        found = self.run(lake, MONDAYS[:2])
        assert found == {day: (f"D{day:%m%d}", "decided", day, None) for day in MONDAYS[:2]}

    def test_what_is_not_known_holds_the_last_decision_within_a_run(self, lake: MemoryLake):
        first, second, third = MONDAYS[:3]
        found = self.run(lake, MONDAYS[:3], second, third)
        name = f"D{first:%m%d}"
        assert found[second] == (name, "held", first, "no price is known")
        assert found[third] == (name, "held", first, "no price is known")

    def test_what_is_not_known_holds_the_last_decision_of_an_earlier_run(self, lake: MemoryLake):
        first, second, third = MONDAYS[:3]
        name = f"D{first:%m%d}"
        for day in (first, second, third):
            found = self.run(lake, [day], second, third)
        assert found == {third: (name, "held", first, "no price is known")}  # since the decision, not the holding

    def test_one_run_and_many_store_the_same_also_while_weights_decay(self, lake: MemoryLake):
        lacking = (MONDAYS[0], *MONDAYS[3:11])
        whole = self.run(lake, MONDAYS, *lacking)
        assert {status for _, status, _, _ in whole.values()} == {"decided", "held", "decayed"}
        alone = {}
        for day in MONDAYS:
            alone |= self.run(lake, [day], *lacking)
        assert alone == whole

    def test_a_later_decision_is_not_held_by_an_earlier_one(self, lake: MemoryLake):
        self.run(lake, MONDAYS[:4])
        found = self.run(lake, [MONDAYS[1]], MONDAYS[1])
        assert found[MONDAYS[1]][0] == f"D{MONDAYS[0]:%m%d}"

    def test_nothing_decided_yet_is_all_cash_since_that_day(self, lake: MemoryLake):
        found = self.run(lake, MONDAYS[:2], *MONDAYS[:2])
        assert found == {day: (CASH, "held", day, "no price is known") for day in MONDAYS[:2]}
        assert standing_before(lake, "alpha", MONDAYS[2]) == NOTHING

    def test_another_strategy_is_not_looked_at(self, lake: MemoryLake):
        self.run(lake, MONDAYS[:1])
        assert standing_before(lake, "beta", MONDAYS[2]) == NOTHING
