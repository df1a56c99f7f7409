from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.strategies.contract import NotEnoughData
from pas_dagster.strategies.wsb_buzz import wsb_buzz
from pas_dagster_tests.strategies import worlds
from pas_dagster_tests.strategies.frames import decide, frame, member, symbol_change, universe

DAY = "2024-07-01"
LAST = date(2024, 6, 30)  # so the last week is 24 to 30 June, the week before 17 to 23 June
LISTED = universe("AMD", "GME", "NVDA", "SPY", "TSLA")

Row = dict[str, Any]


def mention(symbol: str | None, day: date | str, count: int, **given: Any) -> Row:
    facts = {"known_on": str(day), "event_date": str(day), "symbol": symbol, "forum": "wallstreetbets"}
    return facts | {"mentions": count} | given


def fortnight(symbol: str | None, before: int, last: int, end: date = LAST, **given: Any) -> list[Row]:
    """Fourteen days up to `end` with about as many mentions each, so many in all of the week before and of the last."""
    rows = []
    for total, first in ((before, end - timedelta(13)), (last, end - timedelta(6))):
        parts = [total // 7] * 6 + [total - 6 * (total // 7)]
        rows += [mention(symbol, first + timedelta(at), part, **given) for at, part in enumerate(parts)]
    return rows


def table(rows: Sequence[Row]) -> pd.DataFrame:
    made = pd.DataFrame(list(rows), columns=["known_on", "event_date", "symbol", "forum", "mentions"])
    for name in ("known_on", "event_date"):
        made[name] = pd.to_datetime(made[name]).astype("datetime64[us]")
    made = made.astype({"symbol": "str", "forum": "str", "mentions": "int64"})
    return made.sort_values("known_on", kind="stable", ignore_index=True)


def run(
    *rows: Row,
    day: str = DAY,
    listed: pd.DataFrame = LISTED,
    corporate_actions: pd.DataFrame | None = None,
    **parameters: Any,
) -> list[str]:
    tables = {"reddit_mentions": table(rows), "universe": listed}
    if corporate_actions is not None:
        tables["corporate_actions"] = corporate_actions
    return sorted(decide(wsb_buzz.with_parameters(parameters), day, **tables))


def test_the_fastest_growth_is_held_in_equal_weight_and_not_the_most_mentions():
    rows = [
        *fortnight("SPY", 9000, 9900),  # 1.1
        *fortnight("NVDA", 2000, 3000),  # 1.5
        *fortnight("GME", 500, 2000),  # 4
        *fortnight("TSLA", 4000, 3000),  # shrinks
    ]
    assert decide(wsb_buzz, DAY, reddit_mentions=table(rows), universe=LISTED) == pytest.approx(
        {"GME": 1 / 3, "NVDA": 1 / 3, "SPY": 1 / 3}
    )
    assert run(*rows, top_n=2) == ["GME", "NVDA"]
    assert run(*rows, top_n=1) == ["GME"]


@pytest.mark.parametrize(("before", "enough"), [(500, True), (499, False), (0, False)])
def test_five_hundred_mentions_in_the_week_before_are_the_least(before: int, enough: bool):
    rows = [*fortnight("GME", before, 5000), *fortnight("NVDA", 1000, 1001)]
    assert run(*rows) == (["GME", "NVDA"] if enough else ["NVDA"])
    assert run(*rows, baseline=max(before, 1)) == (["GME", "NVDA"] if before else ["NVDA"])


def test_as_many_mentions_as_before_are_no_growth():
    assert run(*fortnight("GME", 700, 700)) == []
    assert run(*fortnight("GME", 700, 701)) == ["GME"]


def test_ties_go_by_symbol():
    rows = [*fortnight("TSLA", 600, 1200), *fortnight("NVDA", 5000, 10000), *fortnight("AMD", 700, 1400)]
    assert run(*rows, top_n=2) == ["AMD", "NVDA"]


def test_at_most_fifteen_are_held_unless_told_otherwise():
    names = [f"A{chr(65 + n)}" for n in range(20)]
    rows = [row for n, name in enumerate(names) for row in fortnight(name, 700, 1000 + n)]
    assert run(*rows, listed=universe(*names)) == names[5:]


def test_the_last_week_has_seven_days_and_so_has_the_week_before():
    steady = fortnight("AMD", 700, 700)
    for at, grows in ((0, True), (6, True), (7, False), (13, False), (14, False)):
        more = mention("GME", LAST - timedelta(at), 900)
        base = [row for row in fortnight("GME", 700, 700) if row["event_date"] != more["event_date"]]
        assert run(*steady, *base, more) == (["GME"] if grows else []), at


def test_mentions_fourteen_days_before_the_newest_do_not_make_a_baseline():
    few = fortnight("GME", 490, 980)
    assert run(*few, *fortnight("AMD", 700, 700), mention("GME", LAST - timedelta(14), 100)) == []
    assert run(*few, *fortnight("AMD", 700, 700), mention("GME", LAST - timedelta(13), 80)) == ["GME"]


def test_what_becomes_known_on_the_decision_day_is_not_seen():
    base = [row for row in fortnight("GME", 700, 700) if row["event_date"] != str(LAST)]
    late = mention("GME", LAST, 900, known_on=DAY)
    assert run(*fortnight("AMD", 700, 700), *base, late) == []
    assert run(*fortnight("AMD", 700, 700), *base, late, day="2024-07-02") == ["GME"]


@pytest.mark.parametrize("lag", [0, 1, 4])
def test_the_last_week_ends_with_the_newest_day_that_is_known(lag: int):
    end = LAST - timedelta(lag)
    assert run(*fortnight("GME", 700, 1400, end), *fortnight("AMD", 1400, 700, end)) == ["GME"]


def test_a_newest_day_of_more_than_five_days_ago_means_undecided():
    assert run(*fortnight("GME", 500, 1400, date(2024, 6, 26))) == ["GME"]
    with pytest.raises(NotEnoughData, match="of the last 5 days"):
        run(*fortnight("GME", 700, 1400, date(2024, 6, 25)))


def test_a_symbol_without_a_row_on_a_day_that_was_seen_was_not_mentioned():
    spread = fortnight("AMD", 700, 700)
    spikes = [mention("GME", "2024-06-20", 600), mention("GME", "2024-06-26", 601)]
    assert run(*spread, *spikes) == ["GME"]
    assert run(*spread, spikes[0]) == []


def test_a_day_that_was_not_seen_counts_in_neither_week():
    # Nobody has a row on 26 June. Without the 5000 of the 19th, a week before, GME grows from 600 to 1200.
    rows = [row for row in fortnight("GME", 700, 1400) if row["event_date"] not in ("2024-06-19", "2024-06-26")]
    other = [row for row in fortnight("AMD", 700, 700) if row["event_date"] != "2024-06-26"]
    assert run(*rows, *other, mention("GME", "2024-06-19", 5000)) == ["GME"]
    assert run(*rows, *other, mention("AMD", "2024-06-26", 1), mention("GME", "2024-06-19", 5000)) == []


@pytest.mark.parametrize("missing", [("2024-06-18",), ("2024-06-18", "2024-06-25"), ("2024-06-18", "2024-06-27")])
def test_five_pairs_of_days_are_enough(missing: tuple[str, ...]):
    assert run(*(row for row in fortnight("GME", 7000, 14000) if row["event_date"] not in missing)) == ["GME"]


def test_four_pairs_of_days_are_too_few():
    missing = ("2024-06-18", "2024-06-27", "2024-06-21")
    with pytest.raises(NotEnoughData, match="known of 4 of 7 days"):
        run(*(row for row in fortnight("GME", 7000, 14000) if row["event_date"] not in missing))


def test_the_baseline_is_of_the_days_that_count():
    rows = [row for row in fortnight("GME", 560, 1400) if row["event_date"] != "2024-06-18"]
    assert run(*rows) == []  # 480 on six days
    assert run(*rows, baseline=480) == ["GME"]


def test_only_the_forum_that_was_chosen_counts():
    rows = [*fortnight("GME", 700, 1400), *fortnight("NVDA", 700, 1400, forum="all-stocks")]
    assert run(*rows) == ["GME"]
    assert run(*rows, forum="all-stocks") == ["NVDA"]
    with pytest.raises(NotEnoughData, match="forums known: all-stocks, wallstreetbets"):
        run(*rows, forum="stocks")


def test_another_forum_neither_tells_the_newest_day_nor_which_days_were_seen():
    old = fortnight("GME", 700, 1400, date(2024, 6, 27))
    assert run(*old, *fortnight("AMD", 700, 700, forum="stocks")) == ["GME"]


def test_a_day_told_again_counts_as_last_told_and_of_one_day_the_larger():
    once = fortnight("GME", 700, 1400)
    assert run(*once, *once) == ["GME"]
    late = [row | {"known_on": str(LAST), "mentions": 1} for row in once[7:13]]
    assert run(*once, *late, *fortnight("AMD", 700, 700)) == []
    fewer = [row | {"mentions": 1} for row in once[7:]]
    assert run(*fewer, *once) == run(*once, *fewer) == ["GME"]


def test_unlisted_and_missing_symbols_take_nobodys_place():
    listed = frame([member("AMD", "2020-01-02"), member("GME", "2020-01-02"), member("GME", "2024-06-20", "remove")])
    listed = pd.concat([listed, frame([member("TSLA", DAY), member("A B", "2020-01-02")])], ignore_index=True)
    rows = [row for symbol in ("GME", "TSLA", "BTC", "A B", None) for row in fortnight(symbol, 700, 7000)]
    assert run(*rows, *fortnight("AMD", 700, 701), listed=listed, top_n=1) == ["AMD"]


def test_rows_without_a_symbol_do_not_make_a_day_seen():
    nameless = [mention(None, "2024-06-30", 9), mention(None, "2024-06-23", 9)]
    assert run(*fortnight("GME", 700, 1400, date(2024, 6, 29)), *nameless) == ["GME"]
    with pytest.raises(NotEnoughData):
        run(*fortnight(None, 700, 1400))


def test_a_changed_symbol_is_one_company():
    changes = frame([symbol_change("FB", "META", "2024-06-24", known_on="2024-06-03")])
    listed = frame([member("FB", "2020-01-02"), member("FB", "2024-06-24", "remove"), member("META", "2024-06-24")])
    rows = [*fortnight("FB", 700, 0)[:7], *fortnight("META", 0, 1400)[7:]]
    assert run(*rows, listed=listed, corporate_actions=changes) == ["META"]


def test_nothing_known_means_undecided_and_nobody_growing_means_cash():
    assert run(*fortnight("GME", 700, 100)) == []
    with pytest.raises(NotEnoughData, match="forums known: none"):
        run()
    with pytest.raises(NotEnoughData):
        run(*fortnight("GME", 700, 1400, date(2024, 5, 30)))


@pytest.mark.parametrize("wrong", [{"baseline": 0}, {"forum": ""}, {"forum": 3}, {"top_n": 0}])
def test_parameters_outside_their_bounds_are_refused(wrong: dict[str, object]):
    with pytest.raises(ValueError, match=f"the parameter '{next(iter(wrong))}' cannot be"):
        wsb_buzz.with_parameters(wrong)


def test_it_reads_only_the_columns_that_it_declares():
    whole = worlds.tables()
    cut = whole["reddit_mentions"][["known_on", *wsb_buzz.reads["reddit_mentions"].columns]]
    tables = {"reddit_mentions": cut, "universe": whole["universe"], "corporate_actions": whole["corporate_actions"]}
    low = wsb_buzz.with_parameters({"baseline": 50})
    day = date(2021, 3, 1)
    found = decide(low, str(day), None, **tables)
    assert found
    assert found == worlds.outcome(low, worlds.history(), day)


@lru_cache(maxsize=1)
def _database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name in ("reddit_mentions", "universe", "corporate_actions"):
        connection.from_df(worlds.tables()[name]).create(name)
    return connection


_ORACLE = """
with renamed as (
    select c.new_symbol, c.symbol from corporate_actions c
    where c.kind = 'symbol_change' and c.known_on < $day and c.event_date <= $day
), told as (
    select coalesce(r.new_symbol, m.symbol) as symbol, event_date, mentions
    from reddit_mentions m left join renamed r using (symbol)
    where known_on < $day and forum = 'wallstreetbets'
), newest as (
    select max(event_date) as last from told
), days as (
    select distinct event_date from told
), pairs as (
    select a.event_date as after, b.event_date as earlier
    from days a join days b on b.event_date = a.event_date - interval 7 day, newest
    where a.event_date > last - interval 7 day
), sums as (
    select symbol, sum(mentions) filter (event_date in (select after from pairs)) as after,
           sum(mentions) filter (event_date in (select earlier from pairs)) as earlier
    from told group by symbol
), listed as (
    select distinct symbol from (
        select symbol, action from universe where known_on < $day
        qualify row_number() over (partition by symbol, index_name order by known_on desc, action) = 1
    ) where action = 'add'
), held as (
    select symbol from sums semi join listed using (symbol)
    where earlier >= $least and after > earlier order by after / earlier desc, symbol limit 15
)
select (select count(*) from pairs) >= 5 and (select last >= $day::date - interval 5 day from newest),
       coalesce((select list(symbol) from held), [])
"""


def oracle(least: int, day: date) -> Mapping[str, float] | None:
    """The rule in SQL."""
    found = _database().execute(_ORACLE, {"day": pd.Timestamp(day), "least": least}).fetchone()
    assert found is not None
    decided, symbols = found
    return {symbol: 1 / len(symbols) for symbol in symbols} if decided else None


@pytest.mark.parametrize(("least", "decided"), [(500, 54), (50, 99)])
def test_it_agrees_with_the_rule_in_sql_on_a_hundred_days(least: int, decided: int):
    strategy = wsb_buzz.with_parameters({"baseline": least})
    worlds.agree(strategy, lambda _, day: oracle(least, day), worlds.some_days(100), decided=decided)


NAMES = ("AMD", "GME", "NVDA", "TSLA")
SEEDS = st.integers(0, 2**32)


def drawn(seed: int) -> list[Row]:
    """Mentions in two forums around the fortnight, some days of all missing, some told late or twice."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for at in range(18):
        if rng.random() < 0.1:
            continue
        day = date(2024, 6, 14) + timedelta(at)
        for symbol in (*NAMES, "BTC"):
            for forum in ("wallstreetbets", "stocks"):
                told = sorted({day + timedelta(int(lag)) for lag in rng.choice([0, 0, 0, 1, 4], rng.integers(0, 3))})
                counts = rng.integers(0, 40, len(told)).tolist()
                rows += [
                    mention(symbol, day, count, forum=forum, known_on=str(when))
                    for when, count in zip(told, counts, strict=True)
                ]
    return rows


def held(rows: pd.DataFrame, listed: pd.DataFrame = LISTED, baseline: int = 40) -> dict[str, float] | None:
    try:
        chosen = wsb_buzz.with_parameters({"top_n": 2, "baseline": baseline})
        return decide(chosen, DAY, reddit_mentions=rows, universe=listed)
    except NotEnoughData:
        return None


def plainly(rows: Sequence[Row]) -> dict[str, float] | None:
    """The rule, one row and one day at a time."""
    told: dict[tuple[str, date], int] = {}
    for row in sorted(rows, key=lambda row: row["known_on"]):
        day = date.fromisoformat(row["event_date"])
        if row["forum"] == "wallstreetbets" and row["known_on"] < DAY and day >= date(2024, 6, 13):
            told[row["symbol"], day] = row["mentions"]
    days = {day for _, day in told}
    if not days or max(days) < date(2024, 6, 26):
        return None
    week = [max(days) - timedelta(back) for back in range(7)]
    week = [day for day in week if day in days and day - timedelta(7) in days]
    growth: dict[str, Fraction] = {}
    for name in NAMES:
        after = sum(told.get((name, day), 0) for day in week)
        before = sum(told.get((name, day - timedelta(7)), 0) for day in week)
        if before >= 40 and after > before:
            growth[name] = Fraction(after, before)
    best = sorted(growth, key=lambda name: (-growth[name], name))[:2]
    return {name: 1 / len(best) for name in sorted(best)} if len(week) >= 5 else None


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_it_is_the_rule_in_exact_arithmetic_one_row_at_a_time(seed: int):
    assert held(table(drawn(seed))) == plainly(drawn(seed))


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_neither_order_nor_repetition_of_rows_nor_the_size_of_the_forum_matters(seed: int):
    known = table(drawn(seed))
    weights = held(known)
    again = known.iloc[np.random.default_rng(seed).integers(0, max(len(known), 1), 9 if len(known) else 0)]
    assert held(worlds.permuted(known, seed)) == weights
    assert held(pd.concat([known, again], ignore_index=True)) == weights
    assert held(known.assign(mentions=known["mentions"] * 3), baseline=120) == weights
    assert weights is None or set(weights) <= set(NAMES)
    assert sum((weights or {}).values()) <= 1 + 1e-12


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_the_order_of_corrections_told_on_one_day_does_not_matter(seed: int):
    known = table(drawn(seed))
    twice = pd.concat([known, known.assign(mentions=known["mentions"] + 5 * (known.index % 3))], ignore_index=True)
    assert held(worlds.permuted(twice, seed)) == held(twice)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sets(st.sampled_from(NAMES)))
def test_who_is_not_listed_is_never_held(seed: int, gone: set[str]):
    rest = sorted(set(NAMES) - gone)
    weights = held(table(drawn(seed)), universe(*rest) if rest else LISTED.iloc[:0])
    assert set(weights or {}) <= set(rest)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_other_names_in_the_same_order_get_the_same_weights(seed: int):
    other = dict(zip(NAMES, ("B", "C.A", "D", "Z"), strict=True))
    named = table([row | {"symbol": other.get(row["symbol"], row["symbol"])} for row in drawn(seed)])
    weights = held(table(drawn(seed)))
    expected = None if weights is None else {other[symbol]: weight for symbol, weight in weights.items()}
    assert held(named, universe(*other.values())) == expected
