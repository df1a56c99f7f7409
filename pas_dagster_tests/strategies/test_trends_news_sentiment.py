from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from functools import lru_cache
from itertools import count
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.strategies.contract import NotEnoughData
from pas_dagster.strategies.trends_news_sentiment import mood_by_symbol, rise_by_symbol, trends_news_sentiment
from pas_dagster_tests.strategies import worlds
from pas_dagster_tests.strategies.frames import decide, frame, member, symbol_change, universe

DAY = "2024-07-01"
MAY = ("2024-05-05", "2024-05-12", "2024-05-19", "2024-05-26")  # Sundays
JUNE = ("2024-06-02", "2024-06-09", "2024-06-16", "2024-06-23")  # that of the 30th is known on 7 July
LISTED = universe("AAPL", "MSFT", "NVDA", "XOM")
MONTHS = (date(2024, 5, 1), date(2024, 6, 1), date(2024, 7, 1))

Row = dict[str, Any]
_items = count(1)


def point(symbol: str | None, week: str, interest: float, known_on: str | None = None) -> Row:
    """Interest of the week that begins on a day, known on the Sunday after unless told otherwise."""
    known = known_on or str(date.fromisoformat(week) + timedelta(7))
    return {"known_on": known, "event_date": week, "symbol": symbol, "interest": interest}


def interest(symbol: str | None, may: Sequence[float | None], june: Sequence[float | None]) -> list[Row]:
    told = [*zip(MAY, may, strict=False), *zip(JUNE, june, strict=False)]
    return [point(symbol, week, value) for week, value in told if value is not None]


def item(symbol: str | None, sentiment: float | None, known_on: str = "2024-06-12", **given: Any) -> Row:
    facts = {"known_on": known_on, "headline_id": f"N{next(_items):05d}", "symbol": symbol, "sentiment": sentiment}
    return facts | given


def trends(rows: Sequence[Row]) -> pd.DataFrame:
    made = pd.DataFrame(list(rows), columns=["known_on", "event_date", "symbol", "interest"])
    return _table(made, symbol="str", interest=float)


def news(rows: Sequence[Row]) -> pd.DataFrame:
    made = pd.DataFrame(list(rows), columns=["known_on", "headline_id", "symbol", "sentiment"])
    return _table(made, headline_id="str", symbol="str", sentiment=float)


def _table(made: pd.DataFrame, **types: Any) -> pd.DataFrame:
    for name in made.columns.intersection(["known_on", "event_date"]):
        made[name] = pd.to_datetime(made[name]).astype("datetime64[us]")
    return made.astype(types).sort_values("known_on", kind="stable", ignore_index=True)


GOOD = [item(symbol, 0.5) for symbol in ("AAPL", "MSFT", "NVDA", "XOM")]


def run(
    *points: Row,
    told: Sequence[Row] = GOOD,
    day: str = DAY,
    listed: pd.DataFrame = LISTED,
    corporate_actions: pd.DataFrame | None = None,
    **parameters: Any,
) -> list[str]:
    tables = {"google_trends": trends(points), "news_headlines": news(told), "universe": listed}
    if corporate_actions is not None:
        tables["corporate_actions"] = corporate_actions
    return sorted(decide(trends_news_sentiment.with_parameters(parameters), day, **tables))


def rising(symbol: str | None, by: float = 10.0) -> list[Row]:
    return interest(symbol, [40.0] * 4, [40.0 + by] * 4)


def rises(*points: Row) -> dict[str, float]:
    return rise_by_symbol(trends(points), *MONTHS).to_dict()


def moods(*rows: Row) -> dict[str, float]:
    return mood_by_symbol(news(rows), *MONTHS[1:]).to_dict()


def test_the_largest_rises_with_good_news_are_held_in_equal_weight():
    rows = [*rising("AAPL", 5), *rising("MSFT", 30), *rising("NVDA", 20), *rising("XOM", -10)]
    found = decide(trends_news_sentiment, DAY, google_trends=trends(rows), news_headlines=news(GOOD), universe=LISTED)
    assert found == pytest.approx({"AAPL": 1 / 3, "MSFT": 1 / 3, "NVDA": 1 / 3})
    assert run(*rows, top_n=2) == ["MSFT", "NVDA"]
    bad = [item("MSFT", -0.5), *(row for row in GOOD if row["symbol"] != "MSFT")]
    assert run(*rows, told=bad, top_n=2) == ["AAPL", "NVDA"]


def test_the_rise_is_the_difference_of_the_two_months_means_in_points():
    # AAPL: (20 + 30 + 40) / 3 - (10 + 20 + 10 + 20) / 4 = 15, MSFT: 77 - 60 = 17 although it is the smaller part.
    rows = [*interest("AAPL", [10, 20, 10, 20], [20, 30, None, 40]), *interest("MSFT", [60] * 4, [77] * 4)]
    assert rises(*rows) == {"AAPL": 15.0, "MSFT": 17.0}
    assert run(*rows, top_n=1) == ["MSFT"]


def test_a_high_level_without_a_rise_is_not_held():
    assert run(*interest("AAPL", [100] * 4, [100] * 4), *interest("MSFT", [1] * 4, [1, 1, 1, 2])) == ["MSFT"]
    assert run(*interest("AAPL", [100] * 4, [99] * 4)) == []


def test_ties_go_by_symbol():
    rows = [
        *interest("XOM", [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]),
        *interest("NVDA", [0.3, 0.2, 0.1], [0.6, 0.5, 0.4]),
        *interest("AAPL", [10.0] * 4, [10.3] * 3),
    ]
    assert set(rises(*rows).values()) == {0.3}
    assert run(*rows, top_n=1) == ["AAPL"]
    assert run(*rows, top_n=2) == ["AAPL", "NVDA"]


def test_at_most_thirty_are_held_unless_told_otherwise():
    names = [f"A{chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(40)]
    rows = [row for n, name in enumerate(names) for row in rising(name, 1 + n)]
    assert run(*rows, told=[item(name, 0.1) for name in names], listed=universe(*names)) == names[10:]


@pytest.mark.parametrize("day", ["2024-07-01", "2024-07-02", "2024-07-31"])
def test_the_months_are_the_two_calendar_months_before_the_decisions(day: str):
    edges = [
        *(point("AAPL", week, 10, known_on="2024-06-30") for week in ("2024-05-01", "2024-05-15", "2024-05-31")),
        *(point("AAPL", week, 40, known_on="2024-06-30") for week in ("2024-06-01", "2024-06-15", "2024-06-30")),
    ]
    outside = [point("AAPL", "2024-04-30", 100, known_on="2024-06-30"), point("AAPL", "2024-07-01", 100, DAY)]
    assert rises(*edges, *outside) == {"AAPL": 30.0}
    assert run(*edges, *outside, day=day) == ["AAPL"]


def test_the_months_are_seen_whole_on_the_last_day_of_the_longest_months():
    june = [point("AAPL", f"2024-06-{n:02}", 10, known_on=f"2024-06-{n:02}") for n in (1, 2, 3)]
    july = [point("AAPL", f"2024-07-{n:02}", 40, known_on=f"2024-07-{n:02}") for n in (1, 2, 3)]
    assert run(*june, *july, told=[item("AAPL", 0.5, "2024-07-01")], day="2024-08-31") == ["AAPL"]


def test_january_and_february_look_over_the_end_of_the_year():
    january = [point("AAPL", f"2024-01-{n:02}", 50) for n in (7, 14, 21)]
    december = [point("AAPL", f"2023-12-{n:02}", 40) for n in (3, 10, 17)]
    november = [point("AAPL", f"2023-11-{n:02}", 30) for n in (5, 12, 19)]
    told = [item("AAPL", 0.5, "2023-12-20"), item("AAPL", 0.5, "2024-01-20")]
    assert run(*january, *december, told=told, day="2024-02-01") == ["AAPL"]
    assert run(*december, *november, told=told, day="2024-01-01") == ["AAPL"]
    with pytest.raises(NotEnoughData):
        run(*december, *november, told=told, day="2024-02-01")


def test_a_week_that_becomes_known_on_the_decision_day_is_not_seen():
    rows = interest("AAPL", [40] * 4, [41, 41])
    late = point("AAPL", "2024-06-23", 41, known_on=DAY)
    with pytest.raises(NotEnoughData):
        run(*rows, late)
    assert run(*rows, late, day="2024-07-02") == ["AAPL"]


@pytest.mark.parametrize(("may", "june", "enough"), [(3, 3, True), (2, 4, False), (4, 2, False)])
def test_three_points_of_each_month_are_the_least(may: int, june: int, enough: bool):
    rows = interest("AAPL", [40] * may, [50] * june)
    assert run(*rows, *rising("MSFT")) == (["AAPL", "MSFT"] if enough else ["MSFT"])


def test_a_point_told_again_counts_as_last_told_before_the_decision():
    restated = [point("AAPL", week, 5, known_on="2024-06-30") for week in JUNE]
    assert run(*rising("AAPL"), *restated, *rising("MSFT")) == ["MSFT"]
    assert run(*rising("AAPL"), *(row | {"known_on": DAY} for row in restated)) == ["AAPL"]
    # The week of 23 June is told as 50 and as 5 on 30 June: (5 + 5 + 5 + 50) / 4 - 40.
    assert rises(*rising("AAPL"), *restated) == {"AAPL": -23.75}
    of_one_day = [row | {"interest": 90.0} for row in rising("AAPL")[4:]]
    assert rises(*rising("AAPL"), *of_one_day) == rises(*of_one_day, *rising("AAPL")) == {"AAPL": 50.0}


def test_the_mood_is_the_mean_of_the_sentiments_that_are_known():
    rows = [item("AAPL", 0.6), item("AAPL", -0.2), item("AAPL", None), item("MSFT", -0.3), item("NVDA", None)]
    assert moods(*rows) == {"AAPL": 0.2, "MSFT": -0.3}
    everyone = [*rising("AAPL"), *rising("MSFT"), *rising("NVDA"), *rising("XOM")]
    assert run(*everyone, told=rows) == ["AAPL"]


def test_a_mood_of_zero_is_not_positive():
    even = [item("AAPL", 0.1), item("AAPL", 0.2), item("AAPL", -0.3)]
    assert run(*rising("AAPL"), told=even) == []
    assert run(*rising("AAPL"), told=[*even, item("AAPL", 0.0001)]) == ["AAPL"]


def test_a_headline_about_several_symbols_counts_in_full_for_each():
    both = [item("AAPL", 0.5, headline_id="A"), item("MSFT", 0.5, headline_id="A")]
    rest = [item("AAPL", -0.4), item("MSFT", -0.6)]
    assert moods(*both, *rest) == pytest.approx({"AAPL": 0.05, "MSFT": -0.05})
    assert run(*rising("AAPL"), *rising("MSFT"), told=[*both, *rest]) == ["AAPL"]


def test_a_headline_told_again_counts_once_with_the_sentiment_last_told():
    first = item("AAPL", -0.9, "2024-06-10", headline_id="A")
    again = first | {"known_on": "2024-06-20", "sentiment": 0.3}
    assert moods(first, again, item("AAPL", -0.2)) == pytest.approx({"AAPL": 0.05})
    assert moods(first, again, again | {"known_on": "2024-06-25", "sentiment": None}) == {"AAPL": 0.3}
    assert moods(first, first | {"sentiment": 0.3}) == moods(first | {"sentiment": 0.3}, first) == {"AAPL": 0.3}


@pytest.mark.parametrize("day", ["2024-07-01", "2024-07-31"])
@pytest.mark.parametrize(
    ("known_on", "counts"), [("2024-05-31", False), ("2024-06-01", True), ("2024-06-30", True), ("2024-07-01", False)]
)
def test_the_news_is_what_became_known_in_the_month(day: str, known_on: str, counts: bool):
    told = [item("AAPL", 0.5, known_on, event_date="2024-06-15"), item("MSFT", 0.5)]
    rows = [*rising("AAPL"), *rising("MSFT")]
    assert run(*rows, told=told, day=day) == (["AAPL", "MSFT"] if counts else ["MSFT"])


def test_who_is_not_in_the_news_is_not_held():
    assert run(*rising("AAPL", 50), *rising("MSFT"), told=[item("MSFT", 0.5), item("XOM", 0.5)]) == ["MSFT"]
    assert run(*rising("AAPL"), told=[item("MSFT", 0.5)]) == []


def test_unlisted_and_missing_symbols_take_nobodys_place():
    listed = frame([member("AAPL", "2020-01-02"), member("MSFT", "2020-01-02"), member("MSFT", "2024-06-20", "remove")])
    listed = pd.concat([listed, frame([member("NVDA", DAY), member("A B", "2020-01-02")])], ignore_index=True)
    names = ("MSFT", "NVDA", "PRIVT", "A B", None)
    rows = [row for symbol in names for row in rising(symbol, 50)]
    told = [item(symbol, 0.9) for symbol in (*names, "AAPL")]
    assert run(*rows, *rising("AAPL", 1), told=told, listed=listed, top_n=1) == ["AAPL"]


def test_a_changed_symbol_is_one_company():
    changes = frame([symbol_change("FB", "META", "2024-06-12", known_on="2024-06-03")])
    listed = frame([member("FB", "2020-01-02"), member("FB", "2024-06-12", "remove"), member("META", "2024-06-12")])
    rows = [*rising("FB")[:5], *rising("META")[5:]]
    told = [item("FB", 0.4, "2024-06-05"), item("META", -0.1, "2024-06-20")]
    assert run(*rows, told=told, listed=listed, corporate_actions=changes) == ["META"]
    told += [item("META", -0.4, "2024-06-21")]
    assert run(*rows, told=told, listed=listed, corporate_actions=changes) == []


def test_without_interest_or_without_news_it_cannot_decide_and_nobody_qualifying_means_cash():
    assert run(*rising("AAPL", -5)) == []
    assert run(*rising("AAPL"), told=[item("AAPL", -0.5)]) == []
    for rows in ([], interest("AAPL", [40] * 4, []), rising(None)):
        with pytest.raises(NotEnoughData, match="search interest"):
            run(*rows)
    for told in ([], [item("AAPL", 0.5, "2024-05-31")], [item("AAPL", None)], [item(None, 0.5)]):
        with pytest.raises(NotEnoughData, match="no headline about a symbol"):
            run(*rising("AAPL"), told=told)


def test_it_reads_only_the_columns_that_it_declares():
    whole = worlds.tables()
    cut = {
        name: whole[name][["known_on", *trends_news_sentiment.reads[name].columns]]
        for name in ("google_trends", "news_headlines")
    }
    cut |= {name: whole[name] for name in ("universe", "corporate_actions")}
    day = date(2021, 3, 1)
    found = decide(trends_news_sentiment, str(day), None, **cut)
    assert found
    assert found == worlds.outcome(trends_news_sentiment, worlds.history(), day)


@lru_cache(maxsize=1)
def _database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name in ("google_trends", "news_headlines", "universe", "corporate_actions"):
        rows = worlds.tables()[name]
        connection.from_df(rows.drop(columns="known_at", errors="ignore")).create(name)
    return connection


_ORACLE = """
with renamed as (
    select c.new_symbol, c.symbol from corporate_actions c
    where c.kind = 'symbol_change' and c.known_on < $day and c.event_date <= $day
), points as (
    select coalesce(r.new_symbol, t.symbol) as symbol, interest::decimal(9, 4) as interest,
           datediff('month', event_date, $day::date) as ago
    from google_trends t left join renamed r using (symbol) where known_on < $day
    qualify row_number() over (partition by coalesce(r.new_symbol, t.symbol), event_date order by known_on desc) = 1
), rises as (
    select symbol, avg(interest) filter (ago = 1) - avg(interest) filter (ago = 2) as rise
    from points group by symbol having count(*) filter (ago = 1) >= 3 and count(*) filter (ago = 2) >= 3
), told as (
    select coalesce(r.new_symbol, n.symbol) as symbol, sentiment::decimal(9, 4) as sentiment
    from news_headlines n left join renamed r using (symbol)
    where known_on < $day and datediff('month', known_on, $day::date) = 1 and n.symbol is not null
      and not coalesce(isnan(sentiment), true)
    qualify row_number() over (
        partition by headline_id, coalesce(r.new_symbol, n.symbol) order by known_on desc, sentiment desc
    ) = 1
), moods as (
    select symbol, sum(sentiment) as mood from told group by symbol
), listed as (
    select distinct symbol from (
        select symbol, action from universe where known_on < $day
        qualify row_number() over (partition by symbol, index_name order by known_on desc, action) = 1
    ) where action = 'add'
), held as (
    select symbol from rises join moods using (symbol) semi join listed using (symbol)
    where round(rise, 9) > 0 and mood > 0 order by round(rise, 9) desc, symbol limit $most
)
select (select count(*) from rises) > 0 and (select count(*) from told) > 0,
       coalesce((select list(symbol) from held), [])
"""


def oracle(most: int, day: date) -> Mapping[str, float] | None:
    """The rule in SQL."""
    found = _database().execute(_ORACLE, {"day": pd.Timestamp(day), "most": most}).fetchone()
    assert found is not None
    decided, symbols = found
    return {symbol: 1 / len(symbols) for symbol in symbols} if decided else None


@pytest.mark.parametrize("most", [30, 5])
def test_it_agrees_with_the_rule_in_sql_on_a_hundred_days(most: int):
    strategy = trends_news_sentiment.with_parameters({"top_n": most})
    worlds.agree(strategy, lambda _, day: oracle(most, day), worlds.some_days(100), decided=94)


NAMES = ("AAPL", "MSFT", "NVDA", "XOM")
SEEDS = st.integers(0, 2**32)
Tables = tuple[list[Row], list[Row]]


def drawn(seed: int) -> Tables:
    """Interest and news around the two months, some of it missing, told late or told again."""
    rng = np.random.default_rng(seed)
    points: list[Row] = []
    for symbol in (*NAMES, "GONE"):
        for number in range(12):
            week = date(2024, 4, 21) + timedelta(7 * number)
            lags = sorted(set(rng.choice([7, 7, 14, 40], rng.integers(0, 4)).tolist()))
            shown = rng.integers(0, 5, len(lags)) / 10
            points += [
                point(symbol, str(week), value, str(week + timedelta(lag)))
                for lag, value in zip(lags, shown.tolist(), strict=True)
            ]
    told = [
        item(
            [*NAMES, "GONE", None][rng.integers(0, 6)],
            None if rng.random() < 0.1 else int(rng.integers(-3, 5)) / 10,
            str(date(2024, 5, 25) + timedelta(int(rng.integers(0, 42)))),
            headline_id=f"H{rng.integers(0, 20)}",
        )
        for _ in range(rng.integers(0, 40))
    ]
    return points, told


def held(points: pd.DataFrame, told: pd.DataFrame, listed: pd.DataFrame = LISTED) -> dict[str, float] | None:
    try:
        chosen = trends_news_sentiment.with_parameters({"top_n": 2})
        return decide(chosen, DAY, google_trends=points, news_headlines=told, universe=listed)
    except NotEnoughData:
        return None


def _mean(values: Sequence[Fraction]) -> Fraction:
    return sum(values, Fraction(0)) / len(values)


def plainly(points: Sequence[Row], told: Sequence[Row]) -> dict[str, float] | None:
    """The rule in exact arithmetic, one row at a time."""
    weeks: dict[tuple[str, str], Fraction] = {}
    for row in sorted(points, key=lambda row: (row["known_on"], row["interest"])):
        if row["known_on"] < DAY:
            weeks[row["symbol"], row["event_date"]] = Fraction(str(row["interest"]))
    rise: dict[str, Fraction] = {}
    for name in (*NAMES, "GONE"):
        old, new = (
            [value for (symbol, week), value in weeks.items() if symbol == name and week.startswith(month)]
            for month in ("2024-05", "2024-06")
        )
        if min(len(old), len(new)) >= 3:
            rise[name] = _mean(new) - _mean(old)
    items: dict[tuple[str, str], Fraction] = {}
    scored = [row for row in told if row["sentiment"] is not None and row["symbol"]]
    for row in sorted(scored, key=lambda row: (row["known_on"], row["sentiment"])):
        if row["known_on"].startswith("2024-06"):
            items[row["symbol"], row["headline_id"]] = Fraction(str(row["sentiment"]))
    moods = {name: [value for (symbol, _), value in items.items() if symbol == name] for name, _ in items}
    good = [name for name in moods if _mean(moods[name]) > 0 and rise.get(name, 0) > 0 and name in NAMES]
    best = sorted(good, key=lambda name: (-rise[name], name))[:2]
    return {name: 1 / len(best) for name in sorted(best)} if rise and moods else None


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_it_is_the_rule_in_exact_arithmetic_one_row_at_a_time(seed: int):
    points, told = drawn(seed)
    assert held(trends(points), news(told)) == plainly(points, told)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_neither_order_nor_repetition_of_rows_nor_the_scales_matter(seed: int):
    points, told = (make(rows) for make, rows in zip((trends, news), drawn(seed), strict=True))
    weights = held(points, told)
    rng = np.random.default_rng(seed)
    again = points.iloc[rng.integers(0, len(points), 9)]
    echo = told.iloc[rng.integers(0, max(len(told), 1), 5 if len(told) else 0)]
    assert held(worlds.permuted(points, seed), worlds.permuted(told, seed)) == weights
    assert held(pd.concat([points, again], ignore_index=True), pd.concat([told, echo], ignore_index=True)) == weights
    assert (
        held(points.assign(interest=points["interest"] * 40), told.assign(sentiment=told["sentiment"] / 4)) == weights
    )
    assert weights is None or set(weights) <= set(NAMES)
    assert sum((weights or {}).values()) <= 1 + 1e-12


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_better_news_holds_whoever_was_liked_before(seed: int):
    points, told = drawn(seed)
    every = trends_news_sentiment.with_parameters({"top_n": 10})
    better = news(told).assign(sentiment=lambda rows: rows["sentiment"] + 0.1)
    try:
        tables = {"google_trends": trends(points), "universe": LISTED}
        before = decide(every, DAY, news_headlines=news(told), **tables)
        after = decide(every, DAY, news_headlines=better, **tables)
    except NotEnoughData:
        return
    assert set(before) <= set(after)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sets(st.sampled_from(NAMES)))
def test_who_is_not_listed_is_never_held(seed: int, gone: set[str]):
    rest = sorted(set(NAMES) - gone)
    points, told = drawn(seed)
    weights = held(trends(points), news(told), universe(*rest) if rest else LISTED.iloc[:0])
    assert set(weights or {}) <= set(rest)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_other_names_in_the_same_order_get_the_same_weights(seed: int):
    other = dict(zip(NAMES, ("B", "C.A", "D", "Z"), strict=True))
    points, told = drawn(seed)
    renamed = [[row | {"symbol": other.get(row["symbol"], row["symbol"])} for row in rows] for rows in (points, told)]
    weights = held(trends(points), news(told))
    expected = None if weights is None else {other[symbol]: weight for symbol, weight in weights.items()}
    assert held(trends(renamed[0]), news(renamed[1]), universe(*other.values())) == expected
