from __future__ import annotations

import math
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
from pas_dagster.strategies.history import History
from pas_dagster.strategies.upgrade_momentum import upgrade_momentum
from pas_dagster_tests.strategies import worlds
from pas_dagster_tests.strategies.frames import frame, member, symbol_change, universe

DAY = date(2024, 7, 1)
NAMES = ("AAPL", "BRK.B", "MSFT", "NVDA")
LISTED = universe(*NAMES)
HALF = upgrade_momentum.with_parameters({"top_share": 0.5})
ALL = upgrade_momentum.with_parameters({"top_share": 1})

Row = Mapping[str, Any]


def rating(age: int, symbol: str | None, action: str = "upgrade", firm: str = "One", **given: Any) -> Row:
    """A rating of `age` days before the decision, published on the day it was made."""
    day = str(DAY - timedelta(age))
    return {"known_on": day, "event_date": day, "symbol": symbol, "firm": firm, "action": action} | given


def ratings(*rows: Row) -> pd.DataFrame:
    return frame(rows, ["known_on", "event_date", "symbol", "firm", "action"])


def run(strategy: Any, *rows: Row, listed: pd.DataFrame = LISTED, index: str | None = None, **tables: Any) -> list[str]:
    known = History({"analyst_ratings": ratings(*rows), "universe": listed, **tables}, index)
    weights = strategy.decide(known.as_of(DAY, strategy.reads)).values
    assert all(weight == pytest.approx(1 / len(weights)) for weight in weights.values())
    return list(weights)


def test_the_mean_of_eight_ratios_ranks_the_stocks():
    # AAPL, 10 and 3 days ago: this point sees one of two (1/2), the last one of one (1), those before none: 1.5 / 8.
    rows = [rating(10, "AAPL"), rating(3, "AAPL", "maintain")]
    # MSFT, 24 days ago: this point and the three before see it alone: 4 / 8.
    rows += [rating(24, "MSFT")]
    # NVDA, 17 days ago: three points, but each sees a downgrade besides another upgrade of that day: 3 * (1/3) / 8.
    rows += [rating(17, "NVDA", action, firm) for action, firm in (("upgrade", "A"), ("upgrade", "B"))]
    rows += [rating(17, "NVDA", "downgrade", "C")]
    for share, held in ((0.25, ["MSFT"]), (0.6, ["AAPL", "MSFT"]), (1, ["AAPL", "MSFT", "NVDA"])):
        assert run(upgrade_momentum.with_parameters({"top_share": share}), *rows) == held


@pytest.mark.parametrize("action", ["initiate", "maintain", "reiterate"])
def test_ratings_that_change_nothing_dilute_upgrades(action: str):
    rows = [rating(5, "AAPL"), rating(5, "AAPL", action, "Two"), rating(5, "MSFT"), rating(5, "MSFT", firm="Two")]
    assert run(HALF, *rows) == ["MSFT"]  # 1/2 against 2/2


@pytest.mark.parametrize(("age", "seen"), [(0, False), (1, True), (77, True), (78, False)])
def test_seventy_seven_days_are_in_reach_and_the_decision_day_is_not(age: int, seen: bool):
    assert run(ALL, rating(age, "AAPL"), rating(30, "MSFT")) == (["AAPL", "MSFT"] if seen else ["MSFT"])


@pytest.mark.parametrize(("age", "points"), [(1, 1), (7, 1), (8, 2), (28, 4), (29, 4), (56, 4), (57, 3), (70, 2)])
def test_a_rating_is_in_the_ratio_of_each_point_up_to_twenty_eight_days_after_it(age: int, points: int):
    # MSFT has `points` / 8 made of ratios of 1, and one downgrade that would only fit beside an upgrade: a tie.
    whole = {1: [1], 2: [8], 3: [15], 4: [22]}[points]
    tie = [rating(one, "AAPL") for one in whole]
    assert run(HALF, *tie, rating(age, "MSFT")) == ["AAPL"]  # equal scores: by symbol
    more = {1: 8, 2: 15, 3: 22, 4: None}[points]
    if more:
        assert run(HALF, rating(age, "AAPL"), rating(more, "MSFT")) == ["MSFT"]


def test_known_days_count_and_not_the_days_of_the_ratings():
    late = rating(5, "AAPL", event_date="2023-01-02")
    assert run(ALL, late) == ["AAPL"]


def test_a_tenth_of_the_rated_names_is_rounded_up():
    names = [f"{a}{b}" for a in "ABCDE" for b in "ABCDEFG"][:31]
    listed = universe(*names, "ZZ")
    for count, held in ((1, 1), (10, 1), (11, 2), (30, 3), (31, 4)):
        assert run(upgrade_momentum, *(rating(5, name) for name in names[:count]), listed=listed) == names[:held]


def test_names_with_any_rating_make_the_decile_larger():
    names = [f"N{letter}" for letter in "ABCDEFGHIJK"]
    rows = [rating(5, "AAPL"), rating(5, "MSFT"), *(rating(5, name, "maintain") for name in names)]
    assert run(upgrade_momentum, *rows, listed=universe("AAPL", "MSFT", *names)) == ["AAPL", "MSFT"]
    assert run(upgrade_momentum, *rows, listed=universe("AAPL", "MSFT")) == ["AAPL"]  # the others are not listed


def test_scores_of_zero_or_less_are_not_held():
    rows = [rating(5, "AAPL"), rating(5, "AAPL", "downgrade", "Two"), rating(5, "MSFT", "downgrade")]
    assert run(ALL, *rows) == []
    assert run(ALL, *rows, rating(40, "NVDA", "maintain"), rating(60, "BRK.B")) == ["BRK.B"]


def test_equal_scores_of_other_fractions_are_a_tie():
    # 1/3 + 1/3 + 1/3 + 0 and 1/3 + 0 + ... in floating point need not be equal; AAPL and MSFT have 1/8 both.
    thirds = [rating(15, "MSFT"), *(rating(15, "MSFT", "maintain", firm) for firm in ("Two", "Three"))]
    assert run(HALF, rating(3, "AAPL"), *thirds) == ["AAPL"]
    assert run(HALF, rating(3, "MSFT"), *({**row, "symbol": "AAPL"} for row in thirds)) == ["AAPL"]


def test_a_rating_published_twice_counts_once_from_its_first_day():
    twice = rating(40, "AAPL"), rating(2, "AAPL", event_date=str(DAY - timedelta(40)))
    diluting = rating(2, "AAPL", "maintain", "Two")
    # Once: points 2 to 5 see it alone, 4/8, as MSFT's. Counted from day 2 it would be 1/2 at one point.
    assert run(HALF, *twice, diluting, rating(24, "MSFT")) == ["AAPL"]
    assert run(HALF, *twice, *twice, diluting, rating(24, "MSFT")) == ["AAPL"]
    # Counted twice, MSFT would have 4.5/8 and beat AAPL's 4/8; it is a tie.
    swapped = [{**row, "symbol": "MSFT"} for row in (*twice, diluting)]
    assert run(HALF, *swapped, rating(24, "AAPL")) == ["AAPL"]


def test_one_day_of_two_firms_and_two_actions_are_four_ratings():
    rows = [rating(5, "AAPL", action, firm) for action in ("upgrade", "downgrade") for firm in ("One", "Two")]
    assert run(ALL, *rows, rating(5, "AAPL", "upgrade", "Three")) == ["AAPL"]
    assert run(ALL, *rows, rating(5, "AAPL", "downgrade", "Three")) == []


def test_only_stocks_of_the_universe_that_are_listed_are_held():
    listed = frame(
        [member("AAPL", "2020-01-02", index="S&P 500"), member("MSFT", "2020-01-02", index="S&P 600")]
        + [member("SPY", "2020-01-02", kind="etf"), member("TWTR", "2020-01-02"), member("NEWCO", str(DAY))]
        + [member("TWTR", "2024-06-20", "remove"), member("A B", "2020-01-02")]
    )
    rows = [rating(5, symbol) for symbol in ("AAPL", "MSFT", "SPY", "TWTR", "NEWCO", "A B", "PRIVT", None)]
    assert run(ALL, *rows, listed=listed) == ["AAPL", "MSFT"]
    assert run(ALL, *rows, listed=listed, index="S&P 600") == ["MSFT"]


def test_a_changed_symbol_is_one_company():
    changes = frame([symbol_change("FB", "META", "2024-06-12", known_on="2024-06-03")])
    listed = frame([member("FB", "2020-01-02"), member("FB", "2024-06-12", "remove"), member("META", "2024-06-12")])
    rows = [rating(40, "FB"), rating(5, "META", "maintain", "Two")]
    assert run(ALL, *rows, listed=listed, corporate_actions=changes) == ["META"]


def test_without_a_rating_of_a_listed_stock_it_cannot_decide():
    for rows in ([], [rating(90, "AAPL")], [rating(5, "PRIVT")], [rating(5, None)]):
        with pytest.raises(NotEnoughData, match="no rating"):
            run(ALL, *rows)


@lru_cache(maxsize=1)
def base() -> duckdb.DuckDBPyConnection:
    """The sandbox's tables in a database."""
    made, tables = duckdb.connect(), worlds.tables()
    ratings = tables["analyst_ratings"][["known_on", "event_date", "symbol", "firm", "action"]]
    members = tables["universe"][["known_on", "event_date", "symbol", "kind", "action"]]
    moves = tables["corporate_actions"].query("kind == 'symbol_change'")[
        ["known_on", "event_date", "symbol", "new_symbol"]
    ]
    for name, rows in (("ratings", ratings), ("members", members), ("changes", moves)):
        made.register("rows", rows)
        made.execute(f"create table {name} as from rows")
    return made


def by_sql(_: worlds.Tables, day: date) -> dict[str, float] | None:
    """The rule as one query, with the sandbox's one change of symbols followed by hand."""
    rows = (
        base()
        .execute(
            """
            with moves as (from changes where event_date <= $day and known_on < $day),
            listed as (
                select coalesce(new_symbol, m.symbol) as symbol
                from members m left join moves v on v.symbol = m.symbol and m.event_date < v.event_date
                where m.known_on < $day and m.kind = 'stock'
                group by all having arg_max(m.action, m.known_on) = 'add'
            ), told as (
                select r.event_date, coalesce(new_symbol, r.symbol) as name, firm, action, min(r.known_on) as known
                from ratings r left join moves v on v.symbol = r.symbol
                where r.known_on >= $day - interval 77 day and r.known_on < $day
                group by all
            ), ratios as (
                select name, k, avg(case action when 'upgrade' then 1 when 'downgrade' then -1 else 0 end) as ratio
                from told cross join range(8) as points(k)
                where datediff('day', known, $day) between 7 * k + 1 and 7 * k + 28 and name in (from listed)
                group by name, k
            ), scores as (select name, round(sum(ratio) / 8, 9) as score from ratios group by name)
            select name, score from scores
            qualify row_number() over (order by score desc, name) <= ceil(count(*) over () / 10.0)
            """,
            {"day": pd.Timestamp(day)},
        )
        .fetchall()
    )
    held = [name for name, score in rows if score > 0]
    return {name: 1 / len(held) for name in held} if rows else None


def test_it_agrees_with_sql_on_a_hundred_days_of_the_sandbox():
    worlds.agree(upgrade_momentum, by_sql, worlds.some_days(100), decided=100)


def by_hand(rows: Sequence[Row], share: float) -> list[str] | None:
    """The rule in exact arithmetic, one point, stock and rating at a time."""
    first: dict[tuple[Any, ...], date] = {}
    for row in sorted(rows, key=lambda row: row["known_on"]):
        known = date.fromisoformat(row["known_on"])
        if DAY - timedelta(77) <= known < DAY and row["symbol"] in NAMES:
            first.setdefault((row["symbol"], row["firm"], row["action"], row["event_date"]), known)
    scores: dict[str, Fraction] = {}
    for symbol in {key[0] for key in first}:
        scores[symbol] = Fraction(0)
        for back in range(0, 56, 7):
            point = DAY - timedelta(back)
            seen = [key[2] for key, known in first.items() if key[0] == symbol and 1 <= (point - known).days <= 28]
            if seen:
                scores[symbol] += Fraction(seen.count("upgrade") - seen.count("downgrade"), 8 * len(seen))
    best = sorted(scores, key=lambda name: (-scores[name], name))[: math.ceil(Fraction(str(share)) * len(scores))]
    return sorted(name for name in best if scores[name] > 0) if scores else None


ROWS = st.lists(
    st.builds(
        lambda age, symbol, action, firm, lag: rating(
            age, symbol, action, firm, event_date=str(DAY - timedelta(age + lag))
        ),
        st.integers(0, 80),
        st.sampled_from([*NAMES, "GONE", None]),
        st.sampled_from(["upgrade", "upgrade", "downgrade", "initiate", "maintain", "reiterate"]),
        st.sampled_from(["One", "Two", "Three"]),
        st.sampled_from([0, 0, 3]),
    ),
    max_size=30,
)


def outcome(rows: Sequence[Row], share: float, listed: pd.DataFrame = LISTED) -> list[str] | None:
    try:
        return run(upgrade_momentum.with_parameters({"top_share": share}), *rows, listed=listed)
    except NotEnoughData:
        return None


@settings(max_examples=150, deadline=None)
@given(ROWS, st.sampled_from([0.1, 0.3, 0.5, 1.0]))
def test_it_is_the_rule_in_exact_arithmetic(rows: list[Row], share: float):
    assert outcome(rows, share) == by_hand(rows, share)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 1000), st.sampled_from([0.3, 1.0]))
def test_order_and_repetition_of_rows_change_nothing(rows: list[Row], seed: int, share: float):
    order = np.random.default_rng(seed).permutation(2 * len(rows))
    assert outcome([[*rows, *rows][at] for at in order], share) == outcome(rows, share)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.sampled_from([0.3, 1.0]))
def test_other_names_in_the_same_order_are_held_alike(rows: list[Row], share: float):
    names = {"AAPL": "B", "BRK.B": "C.A", "MSFT": "C.B", "NVDA": "ZZZ", "GONE": "XXX"}
    renamed = [{**row, "symbol": names.get(row["symbol"])} for row in rows]
    found, expected = outcome(renamed, share, universe("B", "C.A", "C.B", "ZZZ")), outcome(rows, share)
    assert found == (None if expected is None else [names[name] for name in expected])


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_names_that_are_not_listed_are_never_held(rows: list[Row]):
    assert set(outcome(rows, 1.0, universe("AAPL", "NVDA")) or ()) <= {"AAPL", "NVDA"}
