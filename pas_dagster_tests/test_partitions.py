"""Nothing looks ahead: which upstream partitions a decision is handed, and when keys exist."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from dagster import Failure

from pas_dagster import calendar, settings
from pas_dagster.calendar import NEW_YORK

NOW = datetime(2026, 1, 2, 15, tzinfo=UTC)
FIRST, LAST = date(2016, 1, 4), date(2025, 12, 31)
SLOWER = ["WEEKLY_MON", "WEEKLY_FRI", "MONTHLY", "MONTHLY_FIRST_MON"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The partition sets of a home that begins in 2015, whatever the settings of this machine or process are."""
    chosen = settings.load(home=tmp_path_factory.mktemp("home"), start=date(2015, 1, 1), database_url=None)
    settings.choose(chosen)
    try:
        spec = importlib.util.find_spec("pas_dagster.partitions")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)  # a copy of its own
    finally:
        settings._chosen.pop()
    return module


def keys(partitions: Any, now: datetime = NOW) -> list[str]:
    return list(partitions.get_partition_keys(current_time=now))


def mapped(mapping: Any, downstream: Any, key: str, upstream: Any) -> list[str]:
    result = mapping.get_upstream_mapped_partitions_result_for_partitions(
        downstream.empty_subset().with_partition_keys([key]), downstream, upstream, current_time=NOW
    )
    return sorted(result.partitions_subset.get_partition_keys())


def decisions(sets: ModuleType, name: str) -> list[str]:
    """Every Monday and Friday, every day next to a closed weekday, every turn of a month, and each 7th other day."""
    chosen = [day for day in map(date.fromisoformat, keys(getattr(sets, name))) if FIRST <= day <= LAST]
    closed = set(calendar.holidays(FIRST, LAST))
    near = {day + timedelta(n) for day in closed for n in (-1, 1)}
    return [
        str(day)
        for at, day in enumerate(chosen)
        if day.weekday() in (0, 4) or day in near or day.day <= 3 or day.day >= 29 or at % 7 == 0
    ]


@pytest.mark.parametrize("name", ["SESSION_DECISION", "WEEKLY_DECISION"])
@pytest.mark.parametrize("slower", SLOWER)
def test_a_decision_is_handed_the_latest_weights_at_or_before_it(sets: ModuleType, name: str, slower: str) -> None:
    upstream = getattr(sets, slower)
    cadence = next(one for one, partitions in sets.BY_CADENCE.items() if partitions is upstream)
    nominal = cadence.nominal_days(date(2015, 1, 1), LAST)
    for key in decisions(sets, name):
        expected = max(day for day in nominal if day <= date.fromisoformat(key))
        assert mapped(sets.LATEST, getattr(sets, name), key, upstream) == [str(expected)], key


def test_a_session_is_handed_the_allocation_of_its_week(sets: ModuleType) -> None:
    """Also when the exchange is closed on the Monday: the key stays, the trade moves to the next session."""
    for key in [*decisions(sets, "SESSION_DECISION")[:120], "2024-01-16", "2024-09-03"]:
        day = date.fromisoformat(key)
        monday = str(day - timedelta(day.weekday()))
        assert mapped(sets.LATEST, sets.SESSION_DECISION, key, sets.WEEKLY_DECISION) == [monday], key


@pytest.mark.parametrize("name", ["SESSION_DECISION", "WEEKLY_DECISION", *SLOWER])
@pytest.mark.parametrize("facts", ["DAYS", "SESSIONS"])
def test_a_decision_is_never_handed_a_fact_of_its_own_day_or_later(sets: ModuleType, name: str, facts: str) -> None:
    some = 0
    for key in decisions(sets, name):
        found = mapped(sets.LAST_PERIOD, getattr(sets, name), key, getattr(sets, facts))
        assert all(fact < key for fact in found), (key, found)
        some += len(found)
    assert some > 0


def test_keys_of_sessions_are_the_sessions(sets: ModuleType) -> None:
    expected = [str(day) for day in calendar.sessions(date(2015, 1, 1), LAST)]
    assert [key for key in keys(sets.SESSIONS) if key <= str(LAST)] == expected
    assert [key for key in keys(sets.SESSION_DECISION) if key <= str(LAST)] == expected
    assert [key for key in keys(sets.DAYS) if key <= str(LAST)] == [
        str(day) for day in calendar.days(date(2015, 1, 1), LAST)
    ]


def new_york(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


@pytest.mark.parametrize(
    ("name", "before", "key"),
    [
        ("DAYS", "2024-06-08T23:59:59", "2024-06-08"),  # a Saturday
        ("SESSIONS", "2024-06-07T23:59:59", "2024-06-07"),
        ("DAYS", "2024-03-10T23:59:59", "2024-03-10"),  # 23 hours long
        ("DAYS", "2024-11-03T23:59:59", "2024-11-03"),  # 25 hours long
    ],
)
def test_the_key_of_a_fact_exists_when_its_day_is_over(sets: ModuleType, name: str, before: str, key: str) -> None:
    partitions = getattr(sets, name)
    over = calendar.midnight(date.fromisoformat(key) + timedelta(1))
    assert key not in keys(partitions, new_york(before))
    assert keys(partitions, over)[-1] == key


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("WEEKLY_MON", "2024-06-10"),
        ("WEEKLY_MON", "2024-01-15"),  # a holiday
        ("WEEKLY_FRI", "2024-06-07"),
        ("MONTHLY", "2024-06-01"),
        ("MONTHLY_FIRST_MON", "2024-06-03"),
    ],
)
def test_the_key_of_a_weight_set_exists_on_its_nominal_day(sets: ModuleType, name: str, key: str) -> None:
    start = calendar.midnight(date.fromisoformat(key))
    assert keys(getattr(sets, name), start)[-1] == key
    assert key not in keys(getattr(sets, name), start - timedelta(seconds=1))


def test_the_weekly_decision_exists_in_the_first_hour_of_its_monday(sets: ModuleType) -> None:
    start = calendar.midnight(date(2024, 1, 15))
    assert keys(sets.WEEKLY_DECISION, start + timedelta(hours=1))[-1] == "2024-01-15"
    assert keys(sets.WEEKLY_DECISION, start)[-1] == "2024-01-08"


def test_the_decision_of_a_session_exists_when_the_session_before_it_is_over(sets: ModuleType) -> None:
    assert keys(sets.SESSION_DECISION, new_york("2024-06-07T08:00:00"))[-1] == "2024-06-07"
    assert keys(sets.SESSION_DECISION, new_york("2024-06-08T12:00:00"))[-1] == "2024-06-10"  # listed on Saturday


@pytest.mark.parametrize(
    ("now", "refused"),
    [
        ("2024-06-08T12:00:00", True),
        ("2024-06-09T23:59:59", True),
        ("2024-06-10T00:00:00", False),
    ],
)
def test_assets_refuse_a_decision_whose_day_has_not_begun(
    monkeypatch: pytest.MonkeyPatch, now: str, refused: bool
) -> None:
    from pas_dagster.assets import wiring

    monkeypatch.setattr(wiring, "now", lambda: new_york(now))
    context: Any = SimpleNamespace(partition_keys=["2024-06-10", "2024-06-07"])
    if refused:
        with pytest.raises(Failure, match="2024-06-10 has not begun in New York"):
            wiring.keys(context)
    else:
        assert wiring.keys(context) == [date(2024, 6, 7), date(2024, 6, 10)]
