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

from pas_dagster.strategies.app_reviews_hype import app_reviews_hype, newest_of_apps, rise_by_company
from pas_dagster.strategies.contract import NotEnoughData
from pas_dagster_tests.strategies import worlds
from pas_dagster_tests.strategies.frames import decide, frame, member, symbol_change, universe

DAY = "2024-07-01"
LISTED = universe("DUOL", "META", "NFLX", "SNAP", "UBER")

Row = dict[str, Any]


def app(symbol: str | None, hype: float | None, day: str = "2024-06-30", **given: Any) -> Row:
    facts = {"known_on": day, "event_date": day, "symbol": symbol, "app": f"The {symbol}", "app_id": f"9{symbol}"}
    return facts | {"ratings": 1000, "hype": hype} | given


def table(rows: Sequence[Row]) -> pd.DataFrame:
    made = pd.DataFrame(list(rows), columns=["known_on", "event_date", "symbol", "app", "app_id", "ratings", "hype"])
    for name in ("known_on", "event_date"):
        made[name] = pd.to_datetime(made[name]).astype("datetime64[us]")
    made = made.astype({"symbol": "str", "app": "str", "app_id": "str", "ratings": "int64", "hype": float})
    return made.sort_values("known_on", kind="stable", ignore_index=True)


def run(
    *rows: Row,
    day: str = DAY,
    listed: pd.DataFrame = LISTED,
    corporate_actions: pd.DataFrame | None = None,
    **parameters: Any,
) -> list[str]:
    tables = {"app_reviews": table(rows), "universe": listed}
    if corporate_actions is not None:
        tables["corporate_actions"] = corporate_actions
    return sorted(decide(app_reviews_hype.with_parameters(parameters), day, **tables))


def rises(*rows: Row) -> dict[str, float]:
    return rise_by_company(newest_of_apps(table(rows))).to_dict()


def test_the_largest_rises_are_held_in_equal_weight():
    rows = [app("DUOL", 0.03), app("META", 0.002), app("NFLX", 0.01), app("SNAP", -0.5)]
    assert decide(app_reviews_hype, DAY, app_reviews=table(rows), universe=LISTED) == pytest.approx(
        {"DUOL": 1 / 3, "META": 1 / 3, "NFLX": 1 / 3}
    )
    assert run(*rows, top_n=2) == ["DUOL", "NFLX"]
    assert run(*rows, top_n=1) == ["DUOL"]


def test_a_fall_or_no_change_is_not_held():
    assert run(app("DUOL", 0.0), app("META", -0.001)) == []
    assert run(app("DUOL", 1e-9), app("META", 0.0)) == ["DUOL"]


def test_ties_go_by_symbol_whatever_the_number_of_ratings():
    names = ("UBER", "SNAP", "META", "DUOL")
    rows = [app(symbol, 0.1 + 0.2 if n % 2 else 0.3, ratings=7 + 333 * n) for n, symbol in enumerate(names)]
    assert run(*rows, top_n=2) == ["DUOL", "META"]
    assert run(*rows, top_n=3) == ["DUOL", "META", "SNAP"]


def test_at_most_twenty_are_held_unless_told_otherwise():
    names = [f"A{chr(65 + n)}" for n in range(26)]
    rows = [app(name, 0.01 + n / 1000) for n, name in enumerate(names)]
    assert run(*rows, listed=universe(*names)) == names[6:]


def test_a_companys_rise_is_the_mean_of_its_apps_weighted_by_their_ratings():
    # (900 x 0.02 + 100 x 0.22) / 1000 = 0.04
    rows = [
        app("META", 0.02, app="Instagram", app_id="1", ratings=900),
        app("META", 0.22, app="Threads", app_id="2", ratings=100),
        app("NFLX", 0.05),
    ]
    assert rises(*rows) == pytest.approx({"META": 0.04, "NFLX": 0.05})
    assert run(*rows, top_n=1) == ["NFLX"]
    assert run(rows[0], rows[1] | {"ratings": 150}, rows[2] | {"hype": 0.048}, top_n=1) == ["META"]


def test_an_app_that_nobody_rated_has_no_weight():
    assert run(app("META", 0.02), app("META", 9.0, app="New", app_id="2", ratings=0), app("NFLX", 0.05), top_n=1) == [
        "NFLX"
    ]
    assert run(app("META", 9.0, ratings=0), app("NFLX", 0.05), top_n=1) == ["NFLX"]
    with pytest.raises(NotEnoughData):
        run(app("META", 9.0, ratings=0))


def test_of_each_app_the_newest_hype_counts():
    rows = [app("META", 0.9, "2024-06-24"), app("META", 0.02, "2024-06-28"), app("NFLX", 0.05, "2024-06-23")]
    assert run(*rows, top_n=1) == ["NFLX"]
    assert rises(*rows) == pytest.approx({"META": 0.02, "NFLX": 0.05})


def test_the_newest_is_the_one_of_the_latest_day_and_then_the_one_told_last():
    late = [app("META", 0.9, "2024-06-29", event_date="2024-06-20"), app("META", 0.02, "2024-06-28")]
    assert rises(*late) == {"META": 0.02}
    again = [app("META", 0.9, "2024-06-28"), app("META", 0.02, "2024-06-29", event_date="2024-06-28")]
    assert rises(*again) == {"META": 0.02}


def test_of_two_told_on_one_day_the_higher_counts():
    rows = [app("META", 0.02), app("META", 0.9), app("META", 0.03)]
    assert rises(*rows) == rises(*reversed(rows)) == {"META": 0.9}


def test_an_unknown_change_is_passed_over_for_the_one_before_it():
    assert rises(app("META", 0.04, "2024-06-24"), app("META", None, "2024-06-30")) == {"META": 0.04}
    assert run(app("META", None), app("NFLX", 0.01)) == ["NFLX"]
    with pytest.raises(NotEnoughData, match="no week-over-week change"):
        run(app("META", None))


def test_an_app_is_told_by_its_number_or_else_by_its_name():
    renamed = [app("META", 0.9, "2024-06-24", app="Threads", app_id="2")]
    renamed += [app("META", 0.1, app="Threads, an Instagram app", app_id="2")]
    assert rises(*renamed) == {"META": 0.1}
    nameless = [app("META", 0.9, "2024-06-24", app_id=None), app("META", 0.1, app_id=None)]
    assert rises(*nameless) == {"META": 0.1}
    two = [app("META", 0.3, app_id=None, app="Instagram"), app("META", 0.1, app_id=None, app="Threads")]
    assert rises(*two) == {"META": 0.2}


def test_an_app_of_two_symbols_counts_for_both():
    assert run(app("UBER", 0.1, app_id="1"), app("SNAP", 0.1, app_id="1")) == ["SNAP", "UBER"]


@pytest.mark.parametrize(("known_on", "seen"), [("2024-06-20", False), ("2024-06-21", True), (DAY, False)])
def test_the_window_is_the_ten_days_before_the_decision(known_on: str, seen: bool):
    rows = [app("META", 0.1, known_on, event_date="2024-06-20"), app("NFLX", 0.1)]
    assert run(*rows) == (["META", "NFLX"] if seen else ["NFLX"])


def test_unlisted_and_missing_symbols_take_nobodys_place():
    listed = frame([member("META", "2020-01-02"), member("SNAP", "2020-01-02"), member("SNAP", "2024-06-20", "remove")])
    listed = pd.concat([listed, frame([member("UBER", DAY), member("A B", "2020-01-02")])], ignore_index=True)
    rows = [app(symbol, 5.0, app_id=f"{n}") for n, symbol in enumerate(("SNAP", "UBER", "PRIVT", "A B", None))]
    assert run(*rows, app("META", 0.001), listed=listed, top_n=1) == ["META"]
    with pytest.raises(NotEnoughData):
        run(app(None, 5.0))


def test_a_changed_symbol_is_one_company():
    changes = frame([symbol_change("FB", "META", "2024-06-26", known_on="2024-06-03")])
    listed = frame([member("FB", "2020-01-02"), member("FB", "2024-06-26", "remove"), member("META", "2024-06-26")])
    listed = pd.concat([listed, universe("NFLX")], ignore_index=True)
    rows = [app("FB", 0.9, "2024-06-24", app_id="1"), app("META", 0.02, app_id="1"), app("NFLX", 0.3)]
    assert run(*rows, listed=listed, corporate_actions=changes, top_n=1) == ["NFLX"]
    assert run(*rows[:1], listed=listed, corporate_actions=changes) == ["META"]


def test_nothing_known_means_undecided():
    for rows in ([], [app("META", 0.1, "2024-06-10")]):
        with pytest.raises(NotEnoughData, match="in the last 10 days"):
            run(*rows)


def test_it_reads_only_the_columns_that_it_declares():
    whole = worlds.tables()
    cut = whole["app_reviews"][["known_on", *app_reviews_hype.reads["app_reviews"].columns]]
    tables = {"app_reviews": cut, "universe": whole["universe"], "corporate_actions": whole["corporate_actions"]}
    day = date(2021, 3, 1)
    found = decide(app_reviews_hype, str(day), None, **tables)
    assert len(found) == 20
    assert found == worlds.outcome(app_reviews_hype, worlds.history(), day)


@lru_cache(maxsize=1)
def _database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name in ("app_reviews", "universe", "corporate_actions"):
        connection.from_df(worlds.tables()[name]).create(name)
    return connection


_ORACLE = """
with renamed as (
    select c.new_symbol, c.symbol from corporate_actions c
    where c.kind = 'symbol_change' and c.known_on < $day and c.event_date <= $day
), newest as (
    select coalesce(r.new_symbol, a.symbol) as symbol, ratings, hype
    from app_reviews a left join renamed r using (symbol)
    where known_on < $day and known_on >= $day::date - interval 10 day and not coalesce(isnan(hype), true)
    qualify row_number() over (
        partition by coalesce(r.new_symbol, a.symbol), coalesce(app_id, app) order by event_date desc, known_on desc
    ) = 1
), rises as (
    select symbol, round(sum(ratings * hype) / sum(ratings), 12) as rise from newest
    group by symbol having sum(ratings) > 0
), listed as (
    select distinct symbol from (
        select symbol, action from universe where known_on < $day
        qualify row_number() over (partition by symbol, index_name order by known_on desc, action) = 1
    ) where action = 'add'
), held as (
    select symbol from rises semi join listed using (symbol) where rise > 0 order by rise desc, symbol limit $most
)
select (select count(*) from rises), coalesce((select list(symbol) from held), [])
"""


def oracle(most: int, day: date) -> Mapping[str, float] | None:
    """The rule in SQL."""
    found = _database().execute(_ORACLE, {"day": pd.Timestamp(day), "most": most}).fetchone()
    assert found is not None
    known, symbols = found
    return {symbol: 1 / len(symbols) for symbol in symbols} if known else None


@pytest.mark.parametrize("most", [20, 3])
def test_it_agrees_with_the_rule_in_sql_on_a_hundred_days(most: int):
    strategy = app_reviews_hype.with_parameters({"top_n": most})
    worlds.agree(strategy, lambda _, day: oracle(most, day), worlds.some_days(100), decided=100)


NAMES = ("DUOL", "META", "NFLX", "SNAP")
ROWS = st.lists(
    st.builds(
        lambda symbol, number, named, hype, day, late, ratings: app(
            symbol,
            None if hype is None else hype / 1000,
            str(day),
            known_on=str(day + timedelta(late)),
            app=f"App {number}",
            app_id=str(number) if named else None,
            ratings=ratings,
        ),
        st.sampled_from([*NAMES, "GONE", "A B", None]),
        st.integers(1, 3),
        st.booleans(),
        st.one_of(st.none(), st.integers(-40, 60)),
        st.dates(date(2024, 6, 18), date(2024, 7, 2)),
        st.sampled_from([0, 0, 1, 3]),
        st.sampled_from([0, 1, 20, 3_000]),
    ),
    max_size=30,
)


def held(rows: pd.DataFrame, listed: pd.DataFrame = LISTED) -> dict[str, float] | None:
    try:
        return decide(app_reviews_hype.with_parameters({"top_n": 2}), DAY, app_reviews=rows, universe=listed)
    except NotEnoughData:
        return None


def plainly(rows: Sequence[Row]) -> dict[str, float] | None:
    """The rule in exact arithmetic, one row at a time."""
    newest: dict[tuple[str, str], tuple[Any, ...]] = {}
    for row in rows:
        if "2024-06-21" <= row["known_on"] < DAY and row["symbol"] and row["hype"] is not None:
            told = (row["event_date"], row["known_on"], Fraction(str(row["hype"])), row["ratings"])
            key = (row["symbol"], row["app_id"] or row["app"])
            newest[key] = max(newest.get(key, told), told)
    weight: dict[str, int] = {}
    total: dict[str, Fraction] = {}
    for (symbol, _), (_, _, hype, ratings) in newest.items():
        weight[symbol] = weight.get(symbol, 0) + ratings
        total[symbol] = total.get(symbol, Fraction(0)) + ratings * hype
    rise = {symbol: total[symbol] / weight[symbol] for symbol in weight if weight[symbol]}
    best = sorted((s for s in rise if s in NAMES and rise[s] > 0), key=lambda s: (-rise[s], s))[:2]
    return {symbol: 1 / len(best) for symbol in sorted(best)} if rise else None


@settings(max_examples=50, deadline=None)
@given(ROWS)
def test_it_is_the_rule_in_exact_arithmetic_one_row_at_a_time(rows: list[Row]):
    assert held(table(rows)) == plainly(rows)


@settings(max_examples=35, deadline=None)
@given(ROWS, st.integers(0, 99))
def test_neither_order_nor_repetition_of_rows_nor_the_unit_of_hype_matters(rows: list[Row], seed: int):
    known = table(rows)
    weights = held(known)
    again = known.iloc[np.random.default_rng(seed).integers(0, max(len(known), 1), 5 if len(known) else 0)]
    assert held(worlds.permuted(known, seed)) == weights
    assert held(pd.concat([known, again], ignore_index=True)) == weights
    assert held(known.assign(hype=known["hype"] * 100)) == weights
    assert held(known.assign(ratings=known["ratings"] * 7)) == weights
    assert weights is None or set(weights) <= set(NAMES)
    assert sum((weights or {}).values()) <= 1 + 1e-12


@settings(max_examples=30, deadline=None)
@given(ROWS, st.sets(st.sampled_from(NAMES)))
def test_who_is_not_listed_is_never_held(rows: list[Row], gone: set[str]):
    rest = sorted(set(NAMES) - gone)
    weights = held(table(rows), universe(*rest) if rest else LISTED.iloc[:0])
    assert set(weights or {}) <= set(rest)


@settings(max_examples=30, deadline=None)
@given(ROWS)
def test_other_names_in_the_same_order_get_the_same_weights(rows: list[Row]):
    other = dict(zip(NAMES, ("B", "C.A", "D", "Z"), strict=True))
    named = table([row | {"symbol": other.get(row["symbol"], row["symbol"])} for row in rows])
    weights = held(table(rows))
    expected = None if weights is None else {other[symbol]: weight for symbol, weight in weights.items()}
    assert held(named, universe(*other.values())) == expected
