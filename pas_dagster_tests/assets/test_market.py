"""The market as execution sees it: prices before a decision as far as was known, closes after it."""

from datetime import date

import pytest

from pas_dagster import calendar, settings
from pas_dagster.assets import market, resources
from pas_dagster.assets.market import STALE_SESSIONS, LakeMarket
from pas_dagster.assets.resources import Workshop
from pas_dagster.execution.market import CorporateAction
from pas_dagster.sandbox import world
from pas_dagster_tests.assets.conftest import MemoryLake

DAYS = calendar.sessions(date(2024, 1, 2), date(2024, 2, 29))
DAY = DAYS[15]  # the session in which something takes effect
BEFORE, AFTER = DAYS[14], DAYS[16]
SYMBOLS = ("AAA", "BBB", "NEW")


def bars(lake: MemoryLake, symbol: str, closes: dict[date, float]) -> None:
    lake.put("prices", *({"known_on": d, "event_date": d, "symbol": symbol, "close": c} for d, c in closes.items()))


def action(lake: MemoryLake, kind: str, symbol: str = "AAA", known: date = BEFORE, day: date = DAY, **given) -> None:
    row = {"known_on": known, "event_date": day, "symbol": symbol, "kind": kind}
    lake.put("corporate_actions", row | given)


def reference(workshop: Workshop, day: date, last: date = DAYS[-1], symbols=SYMBOLS) -> dict[str, float]:
    return dict(LakeMarket(workshop, last, symbols).reference(day))


class TestReference:
    def test_is_the_last_close_before_the_decision(self, lake: MemoryLake, workshop: Workshop):
        bars(lake, "AAA", {day: 100.0 + n for n, day in enumerate(DAYS)})
        assert reference(workshop, DAY) == {"AAA": 114.0}

    def test_never_sees_the_decisions_own_close_or_a_later_one(self, lake: MemoryLake, workshop: Workshop):
        bars(lake, "AAA", {day: 100.0 for day in DAYS if day < DAY} | {day: 9.0 for day in DAYS if day >= DAY})
        assert reference(workshop, DAY) == {"AAA": 100.0}
        assert reference(workshop, AFTER) == {"AAA": 9.0}

    @pytest.mark.parametrize(("age", "found"), [(1, True), (STALE_SESSIONS, True), (STALE_SESSIONS + 1, False)])
    def test_is_no_price_that_is_stale(self, age: int, found: bool, lake: MemoryLake, workshop: Workshop):
        bars(lake, "AAA", {DAYS[15 - age]: 100.0})
        assert reference(workshop, DAY) == ({"AAA": 100.0} if found else {})

    def test_looks_across_the_turn_of_the_year(self, lake: MemoryLake, workshop: Workshop):
        bars(lake, "AAA", {date(2023, 12, 29): 50.0})
        assert reference(workshop, DAYS[0]) == {"AAA": 50.0}

    def test_is_on_the_basis_of_a_split_known_before(self, lake: MemoryLake, workshop: Workshop):
        bars(lake, "AAA", {BEFORE: 100.0, DAY: 26.0})
        action(lake, "split", value=4.0)
        assert reference(workshop, DAY) == {"AAA": 25.0}
        assert reference(workshop, AFTER) == {"AAA": 26.0}  # a close of the split's day has its basis already

    @pytest.mark.parametrize("known", [BEFORE, DAY, AFTER], ids=["before", "on the day", "late"])
    def test_is_on_the_basis_of_its_day_whenever_the_split_was_told(self, known, lake: MemoryLake, workshop: Workshop):
        bars(lake, "AAA", {BEFORE: 100.0})
        action(lake, "split", value=4.0, known=known)
        assert reference(workshop, BEFORE) == {}
        assert reference(workshop, DAY) == {"AAA": 25.0}
        assert reference(workshop, AFTER) == {"AAA": 25.0}

    def test_does_not_apply_a_split_before_it_takes_effect(self, lake: MemoryLake, workshop: Workshop):
        bars(lake, "AAA", {DAYS[10]: 100.0})
        action(lake, "split", value=4.0, known=DAYS[9])
        assert reference(workshop, BEFORE) == {"AAA": 100.0}

    @pytest.mark.parametrize("known", [BEFORE, DAY, AFTER], ids=["before", "on the day", "late"])
    def test_goes_by_the_symbol_of_its_day_whenever_the_change_was_told(
        self, known, lake: MemoryLake, workshop: Workshop
    ):
        bars(lake, "AAA", {DAYS[13]: 100.0})
        action(lake, "symbol_change", new_symbol="NEW", known=known)
        assert reference(workshop, BEFORE) == {"AAA": 100.0}
        assert reference(workshop, DAY) == {"NEW": 100.0}
        assert reference(workshop, AFTER) == {"NEW": 100.0}

    def test_is_the_newer_close_under_the_new_symbol(self, lake: MemoryLake, workshop: Workshop):
        bars(lake, "AAA", {BEFORE: 100.0})
        bars(lake, "NEW", {DAY: 101.0})
        action(lake, "symbol_change", new_symbol="NEW")
        assert reference(workshop, AFTER) == {"NEW": 101.0}

    def test_follows_a_split_after_a_change_of_symbol(self, lake: MemoryLake, workshop: Workshop):
        bars(lake, "AAA", {BEFORE: 100.0})
        action(lake, "symbol_change", new_symbol="NEW")
        action(lake, "split", "NEW", day=AFTER, value=4.0)
        assert reference(workshop, AFTER) == {"NEW": 25.0}

    def test_of_a_symbol_taken_over_by_another_company_is_that_companys(self, lake: MemoryLake, workshop: Workshop):
        bars(lake, "AAA", {BEFORE: 100.0, DAY: 7.0})
        bars(lake, "NEW", {DAY: 101.0})
        action(lake, "symbol_change", new_symbol="NEW")
        assert reference(workshop, AFTER) == {"AAA": 7.0, "NEW": 101.0}

    @pytest.mark.parametrize("moves", [[("AAA", "BBB"), ("BBB", "NEW")], [("AAA", "BBB"), ("BBB", "AAA")]])
    def test_follows_symbols_that_are_handed_on_in_one_day(self, moves, lake: MemoryLake, workshop: Workshop):
        closes = {"AAA": 100.0, "BBB": 200.0}
        for symbol, close in closes.items():
            bars(lake, symbol, {BEFORE: close})
        for old, new in moves:
            action(lake, "symbol_change", symbol=old, new_symbol=new)
        assert reference(workshop, DAY) == {new: closes[old] for old, new in moves}

    def test_is_the_same_in_whatever_order_decisions_are_asked_for(self, lake: MemoryLake, workshop: Workshop):
        bars(lake, "AAA", {day: 100.0 + n for n, day in enumerate(DAYS[:12])})
        bars(lake, "BBB", {day: 50.0 + n for n, day in enumerate(DAYS) if n % 3})
        action(lake, "split", "BBB", value=2.0)
        alone = {day: reference(workshop, day) for day in DAYS}
        one = LakeMarket(workshop, DAYS[-1], SYMBOLS)
        for order in (DAYS, DAYS[::-1], DAYS[::2], [DAY, DAY, AFTER, BEFORE]):
            assert [one.reference(day) for day in order] == [alone[day] for day in order]

    def test_given_out_may_be_changed_without_harm(self, lake: MemoryLake, workshop: Workshop):
        bars(lake, "AAA", dict.fromkeys(DAYS, 100.0))
        one = LakeMarket(workshop, DAYS[-1], SYMBOLS)
        dict.clear(one.reference(DAY))
        assert one.reference(DAY) == {"AAA": 100.0}


class TestCloses:
    def test_are_those_of_the_session(self, lake: MemoryLake, workshop: Workshop):
        bars(lake, "AAA", {BEFORE: 1.0, DAY: 2.0})
        bars(lake, "BBB", {DAY: 3.0})
        assert LakeMarket(workshop, DAYS[-1], SYMBOLS).closes(DAY) == {"AAA": 2.0, "BBB": 3.0}

    def test_of_symbols_that_nobody_asked_for_are_left_out(self, lake: MemoryLake, workshop: Workshop):
        bars(lake, "AAA", {DAY: 2.0})
        assert LakeMarket(workshop, DAYS[-1], ["BBB"]).closes(DAY) == {}

    def test_beyond_the_last_decision_are_not_known(self, lake: MemoryLake, workshop: Workshop):
        bars(lake, "AAA", dict.fromkeys(DAYS, 2.0))
        assert LakeMarket(workshop, DAY, SYMBOLS).closes(AFTER) == {}

    def test_of_today_are_empty_in_the_real_world(self, lake: MemoryLake, workshop: Workshop):
        bars(lake, "AAA", {BEFORE: 2.0})
        assert LakeMarket(workshop, DAY, SYMBOLS).closes(DAY) == {}

    def test_of_today_are_the_sandboxs_and_no_reference_of_today(self, lake: MemoryLake, tmp_path, monkeypatch):
        start = DAYS[0]
        chosen = settings.load(home=tmp_path / "home", world="sandbox", start=start, seed=7, database_url=None)
        monkeypatch.setattr(Workshop, "settings", property(lambda _: chosen))
        monkeypatch.setattr(Workshop, "lake", property(lambda _: lake))
        known = world(7, start, BEFORE).table("prices").assign(provider="sandbox")
        lake.replace(market.TABLES["prices"], calendar.sessions(start, BEFORE), known)
        found = LakeMarket(Workshop(), DAY, ["SPY"])
        assert set(found.closes(DAY)) >= {"SPY"}
        assert found.reference(DAY)["SPY"] == found.closes(BEFORE)["SPY"] != found.closes(DAY)["SPY"]


class TestActions:
    def test_take_effect_in_the_next_session_when_dated_on_a_holiday(self, lake: MemoryLake, workshop: Workshop):
        action(lake, "dividend", day=date(2024, 1, 15), known=DAYS[0], value=0.5)
        found = LakeMarket(workshop, DAYS[-1], SYMBOLS)
        assert found.actions(date(2024, 1, 16)) == [CorporateAction("dividend", "AAA", 0.5)]
        assert found.actions(date(2024, 1, 15)) == ()


def test_the_decision_of_a_closed_day_is_the_last_sessions(monkeypatch: pytest.MonkeyPatch):
    for today, newest in [("2024-01-15", "2024-01-12"), ("2024-01-16", "2024-01-16"), ("2024-01-20", "2024-01-19")]:
        monkeypatch.setattr(resources, "now", lambda day=today: calendar.midnight(date.fromisoformat(day)))
        assert Workshop().newest_decision == date.fromisoformat(newest)
