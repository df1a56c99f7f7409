from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.strategies.contract import NotEnoughData
from pas_dagster.strategies.dc_insider_tilt import dc_insider_tilt
from pas_dagster_tests.strategies import worlds
from pas_dagster_tests.strategies.frames import decide, frame, member, symbol_change, universe

DAY = "2024-07-01"  # a Monday
LISTED = universe("AAPL", "BA", "LMT", "RTX", "XOM")

Row = dict[str, Any]


def scored(symbol: str | None, score: float, day: str = "2024-06-28", known_on: str | None = None) -> Row:
    return {"known_on": known_on or day, "event_date": day, "symbol": symbol, "score": score}


def table(rows: Sequence[Row]) -> pd.DataFrame:
    made = pd.DataFrame(list(rows), columns=["known_on", "event_date", "symbol", "score"])
    days = {name: pd.to_datetime(made[name]).astype("datetime64[us]") for name in ("known_on", "event_date")}
    return made.assign(**days).astype({"symbol": "str", "score": float})


def run(*rows: Row, top: int = 30, day: str = DAY, listed: pd.DataFrame = LISTED, **tables: pd.DataFrame) -> list[str]:
    chosen = dc_insider_tilt.with_parameters({"top_n": top})
    return sorted(decide(chosen, day, dc_insider_scores=table(rows), universe=listed, **tables))


def test_the_highest_scores_are_held_in_equal_weight():
    rows = [scored("AAPL", 40.0), scored("BA", 90.0), scored("LMT", 98.0), scored("RTX", 70.0)]
    weights = decide(dc_insider_tilt.with_parameters({"top_n": 2}), DAY, dc_insider_scores=table(rows), universe=LISTED)
    assert weights == {"BA": 0.5, "LMT": 0.5}


def test_thirty_are_held_unless_told_otherwise():
    names = [f"A{chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(40)]
    rows = [scored(name, float(n)) for n, name in enumerate(names)]
    assert run(*rows, listed=universe(*names)) == names[10:]


def test_ties_go_by_symbol():
    rows = [scored(symbol, 50.0) for symbol in ("XOM", "LMT", "BA", "AAPL")]
    assert run(*rows, top=2) == ["AAPL", "BA"]


def test_fewer_than_wanted_share_the_whole_and_a_score_of_zero_is_a_score():
    weights = decide(
        dc_insider_tilt, DAY, dc_insider_scores=table([scored("BA", 0.0), scored("LMT", 9.0)]), universe=LISTED
    )
    assert weights == {"BA": 0.5, "LMT": 0.5}


def test_of_each_company_the_newest_score_counts_and_not_the_highest():
    rows = [scored("BA", 99.0, "2024-06-26"), scored("BA", 10.0, "2024-06-27"), scored("LMT", 20.0, "2024-06-26")]
    assert run(*rows, top=1) == ["LMT"]


def test_an_older_score_counts_where_the_newest_day_was_told_in_part():
    rows = [scored("BA", 80.0, "2024-06-24"), scored("LMT", 70.0, "2024-06-24"), scored("LMT", 60.0, "2024-06-28")]
    assert run(*rows, top=1) == ["BA"]


def test_a_score_that_is_published_late_does_not_replace_that_of_a_later_day():
    rows = [scored("BA", 10.0, "2024-06-27"), scored("BA", 99.0, "2024-06-26", known_on="2024-06-29")]
    assert run(*rows, scored("LMT", 20.0), top=1) == ["LMT"]


def test_a_score_published_again_counts_as_corrected():
    rows = [scored("BA", 99.0, "2024-06-26"), scored("BA", 10.0, "2024-06-26", known_on="2024-06-28")]
    assert run(*rows, scored("LMT", 20.0), top=1) == ["LMT"]


@pytest.mark.parametrize(
    ("known_on", "seen"), [("2024-06-20", False), ("2024-06-21", True), ("2024-06-30", True), (DAY, False)]
)
def test_what_was_published_in_the_ten_days_before_the_decision_is_seen(known_on: str, seen: bool):
    assert run(scored("BA", 99.0, known_on), scored("LMT", 1.0), top=1) == (["BA"] if seen else ["LMT"])


def test_no_score_in_ten_days_means_undecided():
    with pytest.raises(NotEnoughData, match="no DC insider score"):
        run(scored("BA", 99.0, "2024-06-20"))
    with pytest.raises(NotEnoughData):
        run(scored(None, 99.0))


def test_what_is_not_listed_or_no_symbol_takes_nobodys_place():
    listed = frame([member("BA", "2020-01-02"), member("LMT", "2020-01-02"), member("LMT", "2024-06-20", "remove")])
    listed = pd.concat([listed, universe("RTN  RTX")], ignore_index=True)
    rows = [scored("LMT", 99.0), scored("PRIVT", 98.0), scored("RTN  RTX", 97.0), scored(None, 96.0), scored("BA", 5.0)]
    assert run(*rows, top=1, listed=listed) == ["BA"]
    assert run(scored("PRIVT", 98.0)) == []


def test_a_changed_symbol_is_one_company():
    changes = frame([symbol_change("FB", "META", "2024-06-27", known_on="2024-06-20")])
    listed = frame([member("FB", "2020-01-02"), member("FB", "2024-06-27", "remove"), member("META", "2024-06-27")])
    listed = pd.concat([listed, LISTED], ignore_index=True)
    rows = [scored("FB", 99.0, "2024-06-26"), scored("META", 10.0, "2024-06-28"), scored("BA", 20.0)]
    assert run(*rows, top=1, listed=listed, corporate_actions=changes) == ["BA"]
    assert run(rows[0], rows[2], top=1, listed=listed, corporate_actions=changes) == ["META"]


def test_it_reads_only_the_columns_that_it_declares():
    columns = {name: window.columns for name, window in dc_insider_tilt.reads.items()}["dc_insider_scores"]
    cut = worlds.tables()["dc_insider_scores"][["known_on", *columns]]
    day = date(2021, 3, 1)
    tables = {"dc_insider_scores": cut, "universe": worlds.tables()["universe"]}
    tables["corporate_actions"] = worlds.tables()["corporate_actions"]
    assert decide(dc_insider_tilt, str(day), None, **tables) == worlds.outcome(dc_insider_tilt, worlds.history(), day)


@lru_cache(maxsize=1)
def _database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name in ("dc_insider_scores", "universe", "corporate_actions"):
        connection.from_df(worlds.tables()[name]).create(name)
    return connection


_ORACLE = """
with renamed as (
    select c.new_symbol, c.symbol from corporate_actions c
    where c.kind = 'symbol_change' and c.known_on < $day and c.event_date <= $day
), told as (
    select coalesce(r.new_symbol, s.symbol) as symbol, s.score, s.event_date, s.known_on
    from dc_insider_scores s left join renamed r using (symbol)
    where s.known_on < $day and s.known_on >= $day - interval 10 day and s.symbol is not null
), newest as (
    select symbol, score from told
    qualify row_number() over (partition by symbol order by event_date desc, known_on desc, score desc) = 1
), listed as (
    select distinct symbol from (
        select symbol, action from universe where known_on < $day
        qualify row_number() over (partition by symbol, index_name order by known_on desc, action) = 1
    ) where action = 'add'
)
select symbol, (select count(*) from told) from newest semi join listed using (symbol)
order by score desc, symbol limit 30
"""


def oracle(_: worlds.Tables, day: date) -> Mapping[str, float] | None:
    """The rule in SQL."""
    rows = _database().execute(_ORACLE, {"day": pd.Timestamp(day)}).fetchall()
    return {symbol: 1 / len(rows) for symbol, _ in rows} if rows else None


def test_it_agrees_with_the_rule_in_sql_on_a_hundred_days():
    worlds.agree(dc_insider_tilt, oracle, worlds.some_days(100), decided=100)


NAMES = ("AAPL", "BA", "LMT", "RTX", "XOM")
ROWS = st.lists(
    st.builds(
        lambda symbol, score, day, late: scored(symbol, score, str(day), str(day + timedelta(late))),
        st.sampled_from([*NAMES, "GONE", "A B", None]),
        st.integers(0, 20).map(lambda n: n * 5.0),
        st.dates(date(2024, 6, 15), date(2024, 6, 30)),
        st.integers(0, 2),
    ),
    max_size=40,
    unique_by=lambda row: (row["symbol"], row["event_date"], row["known_on"]),
)


def held(rows: pd.DataFrame, listed: pd.DataFrame = LISTED) -> dict[str, float] | None:
    chosen = dc_insider_tilt.with_parameters({"top_n": 3})
    try:
        return decide(chosen, DAY, dc_insider_scores=rows, universe=listed)
    except NotEnoughData:
        return None


@settings(max_examples=50, deadline=None)
@given(ROWS, st.integers(0, 99))
def test_neither_order_nor_repetition_of_rows_nor_the_unit_of_scores_matters(rows: list[Row], seed: int):
    known = table(rows)
    weights = held(known)
    again = known.iloc[np.random.default_rng(seed).integers(0, max(len(known), 1), 5 if len(known) else 0)]
    assert held(worlds.permuted(known, seed)) == weights
    assert held(pd.concat([known, again], ignore_index=True)) == weights
    assert held(known.assign(score=known["score"] / 8)) == weights
    assert weights is None or set(weights) <= set(NAMES)


@settings(max_examples=30, deadline=None)
@given(ROWS)
def test_other_names_in_the_same_order_get_the_same_weights(rows: list[Row]):
    other = dict(zip(NAMES, ("B", "C.A", "D", "DD", "Z"), strict=True))
    named = table([row | {"symbol": other.get(row["symbol"], row["symbol"])} for row in rows])
    weights = held(table(rows))
    expected = None if weights is None else {other[symbol]: weight for symbol, weight in weights.items()}
    assert held(named, universe(*other.values())) == expected


@settings(max_examples=30, deadline=None)
@given(ROWS, st.sets(st.sampled_from(NAMES)))
def test_without_the_unlisted_names_the_others_move_up(rows: list[Row], gone: set[str]):
    left = universe(*(set(NAMES) - gone)) if gone != set(NAMES) else universe("ZZZ")
    weights = held(table(rows), left)
    without = [row if row["symbol"] not in gone else row | {"symbol": "GONE"} for row in rows]
    assert weights is None or not gone & set(weights)
    assert weights == held(table(without))
