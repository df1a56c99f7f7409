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
from pas_dagster.strategies.wiki_attention_surge import candidates, scores, views_by_day, wiki_attention_surge
from pas_dagster_tests.strategies import worlds
from pas_dagster_tests.strategies.frames import decide, frame, member, symbol_change, universe

DAY = "2024-07-01"  # the month is 31 May to 29 June, the week 23 to 29 June
LAST = date(2024, 6, 29)
LISTED = universe("AAPL", "MSFT", "NVDA", "XOM")
GONE = None

CALM = [100] * 23
SURGE = [*CALM, 130, 130, 130, 130, 130, 130, 130]
WILD = [60, 140] * 11 + [100] + [130] * 7
FADING = [*CALM, 90, 90, 90, 90, 90, 90, 90]

Row = dict[str, Any]
Series = Sequence[int | None]


def views(symbol: str | None, values: Series, last: date = LAST, lag: int = 1) -> list[Row]:
    """A row for each day that has a value, the last on `last`, known `lag` days later."""
    days = [last - timedelta(len(values) - 1 - at) for at in range(len(values))]
    told = zip(days, values, strict=True)
    return [
        {"known_on": str(day + timedelta(lag)), "event_date": str(day), "symbol": symbol, "views": value}
        for day, value in told
        if value is not None
    ]


def table(rows: Sequence[Row]) -> pd.DataFrame:
    made = pd.DataFrame(list(rows), columns=["known_on", "event_date", "symbol", "views"])
    for name in ("known_on", "event_date"):
        made[name] = pd.to_datetime(made[name]).astype("datetime64[us]")
    return made.astype({"symbol": "str", "views": "int64"}).sort_values("known_on", kind="stable", ignore_index=True)


def run(
    *rows: Row,
    day: str = DAY,
    listed: pd.DataFrame = LISTED,
    index: str | None = None,
    corporate_actions: pd.DataFrame | None = None,
    **parameters: Any,
) -> list[str]:
    tables = {"wiki_views": table(rows), "universe": listed}
    if corporate_actions is not None:
        tables["corporate_actions"] = corporate_actions
    return sorted(decide(wiki_attention_surge.with_parameters(parameters), day, index, **tables))


def test_the_score_is_the_weeks_mean_above_the_months_in_deviations_of_the_month():
    # Mean of the month 3210 / 30 = 107, of the week 130; squares 23 x 7^2 + 7 x 23^2 = 4830, over 29 days.
    score = scores(np.array([SURGE], float).T)
    assert score.tolist() == [round(23 / math.sqrt(4830 / 29), 9)]


def test_the_highest_scores_are_held_in_equal_weight_however_many_readers_there_are():
    noisy = [90, 110] * 11 + [100] + [130] * 7
    rows = [*views("AAPL", [1000 * n for n in WILD]), *views("MSFT", SURGE), *views("NVDA", noisy)]
    assert decide(wiki_attention_surge, DAY, wiki_views=table(rows), universe=LISTED) == pytest.approx(
        {"AAPL": 1 / 3, "MSFT": 1 / 3, "NVDA": 1 / 3}
    )
    assert run(*rows, top_n=2) == ["MSFT", "NVDA"]
    assert run(*rows, top_n=1) == ["MSFT"]


def test_only_more_attention_than_usual_is_held():
    assert run(*views("AAPL", FADING), *views("MSFT", SURGE)) == ["MSFT"]
    assert run(*views("AAPL", FADING)) == []
    even = [*[90, 110] * 11, 100, 100, 100, 100, 100, 100, 100, 100]  # the two means are exactly 100
    assert run(*views("AAPL", even)) == []


def test_ties_go_by_symbol_whatever_the_number_of_readers():
    # Any step in the last week scores the same, up to rounding.
    steps = {"XOM": (3, 10), "NVDA": (100, 130), "MSFT": (7, 1_234_567), "AAPL": (99_999, 100_000)}
    rows = [row for symbol, (low, high) in steps.items() for row in views(symbol, [low] * 23 + [high] * 7)]
    assert run(*rows, top_n=2) == ["AAPL", "MSFT"]
    assert run(*rows, top_n=3) == ["AAPL", "MSFT", "NVDA"]


def test_at_most_ten_are_held_unless_told_otherwise():
    names = [f"A{chr(65 + n)}" for n in range(14)]
    rows = [row for n, name in enumerate(names) for row in views(name, [*CALM[n:], *[100 + 5 * n] * n, *[900] * 7])]
    # The more the month moves besides, the lower the score.
    assert run(*rows, listed=universe(*names)) == names[:10]


def test_the_month_is_the_thirty_days_up_to_two_days_before_the_decision():
    rows = views("AAPL", list(range(1, 37)), last=date(2024, 7, 1), lag=0)  # 27 May has 1, 1 July has 36
    known = History({"wiki_views": table(rows), "universe": LISTED})
    data = known.as_of(date.fromisoformat(DAY), wiki_attention_surge.reads)
    assert views_by_day(data, pd.Index(["AAPL"], dtype=object))[:, 0].tolist() == list(range(5, 35))


def test_a_day_that_becomes_known_on_the_decision_day_is_not_seen():
    values = [*CALM, GONE, 130, 130, 130, 130, 130, 130]  # 6 of the week
    assert run(*views("AAPL", values), *views("MSFT", SURGE)) == ["AAPL", "MSFT"]
    late = [*views("AAPL", values[:-1], date(2024, 6, 28)), *views("AAPL", [130], lag=2)]
    assert run(*late, *views("MSFT", SURGE)) == ["MSFT"]
    assert run(*late, *views("MSFT", SURGE, date(2024, 6, 30)), day="2024-07-02") == ["AAPL", "MSFT"]


@pytest.mark.parametrize(("missing", "enough"), [(1, True), (2, False)])
def test_six_days_of_the_week_must_be_known(missing: int, enough: bool):
    rows = [*views("AAPL", [*CALM, *[GONE] * missing, *[130] * (7 - missing)]), *views("MSFT", SURGE)]
    assert run(*rows) == (["AAPL", "MSFT"] if enough else ["MSFT"])


@pytest.mark.parametrize(("known", "enough"), [(25, True), (24, False)])
def test_twenty_five_days_of_the_month_must_be_known(known: int, enough: bool):
    assert run(*views("AAPL", SURGE[-known:]), *views("MSFT", SURGE)) == (["AAPL", "MSFT"] if enough else ["MSFT"])


def test_a_day_without_a_row_is_unknown_and_not_a_day_without_readers():
    assert run(*views("AAPL", [*CALM, GONE, *[108] * 6])) == ["AAPL"]
    assert run(*views("AAPL", [*CALM, 0, *[108] * 6])) == []


def test_who_always_has_the_same_readers_takes_no_part():
    assert run(*views("AAPL", [100] * 30), *views("MSFT", FADING)) == []
    with pytest.raises(NotEnoughData, match="with a deviation"):
        run(*views("AAPL", [100] * 30))


def test_nothing_known_means_undecided():
    for rows in ([], views("AAPL", SURGE[-20:]), views("AAPL", SURGE, date(2024, 5, 1)), views(None, SURGE)):
        with pytest.raises(
            NotEnoughData, match="of no stock are page views known on 6 of the last 7 days and 25 of 30"
        ):
            run(*rows)


def test_a_day_told_again_counts_as_last_told_and_of_one_day_the_larger():
    zero = views("AAPL", [*CALM, *[0] * 7])
    assert run(*zero, *(row | {"known_on": DAY} for row in views("AAPL", [130] * 7))) == []
    again = [row | {"known_on": "2024-06-30"} for row in views("AAPL", [130] * 7)]
    assert run(*zero, *again) == ["AAPL"]
    assert run(*views("AAPL", SURGE), *[row | {"views": 0} for row in again]) == []
    assert run(*zero, *views("AAPL", [130] * 7)) == run(*views("AAPL", SURGE), *zero[-7:]) == ["AAPL"]


def test_rows_without_a_symbol_are_ignored():
    assert run(*views(None, [1000] * 30), *views("AAPL", SURGE)) == ["AAPL"]


def test_only_members_of_the_sp_1500_are_candidates_where_they_are_known():
    listed = frame(
        [
            member("AAPL", "2020-01-02", index="S&P 500"),
            member("MSFT", "2020-01-02", index="S&P 400"),
            member("NVDA", "2020-01-02", index="S&P 600"),
            member("XOM", "2020-01-02", index="Russell 2000"),
            member("SPY", "2020-01-02", index="S&P 500", kind="etf"),
        ]
    )
    rows = [row for symbol in ("AAPL", "MSFT", "NVDA", "XOM", "SPY") for row in views(symbol, SURGE)]
    assert run(*rows, listed=listed) == ["AAPL", "MSFT", "NVDA"]
    assert run(*rows, listed=listed, index="S&P 400") == ["MSFT"]
    assert run(*rows, listed=listed, index="Russell 2000") == ["XOM"]
    left = pd.concat([listed, frame([member("AAPL", "2024-06-28", "remove", index="S&P 500")])], ignore_index=True)
    assert run(*rows, listed=left) == ["MSFT", "NVDA"]


def test_where_no_membership_is_known_every_stock_is_a_candidate():
    listed = pd.concat([LISTED, universe("SPY", kind="etf")], ignore_index=True)
    known = History({"wiki_views": table([]), "universe": listed}).as_of(date(2024, 7, 1), wiki_attention_surge.reads)
    assert candidates(known).tolist() == ["AAPL", "MSFT", "NVDA", "XOM"]


def test_what_is_not_listed_takes_nobodys_place():
    listed = frame(
        [member("AAPL", "2020-01-02"), member("MSFT", "2020-01-02"), member("MSFT", "2024-06-20", "remove")]
        + [member("NVDA", DAY), member("A B", "2020-01-02")]
    )
    rows = [row for symbol in ("MSFT", "NVDA", "PRIVT", "A B") for row in views(symbol, SURGE)]
    assert run(*rows, *views("AAPL", WILD), listed=listed, top_n=1) == ["AAPL"]


def test_a_changed_symbol_is_one_company():
    changes = frame([symbol_change("FB", "META", "2024-06-12", known_on="2024-06-03")])
    listed = frame([member("FB", "2020-01-02"), member("FB", "2024-06-12", "remove"), member("META", "2024-06-12")])
    rows = [*views("FB", SURGE[:12], date(2024, 6, 11)), *views("META", SURGE[12:])]
    assert run(*rows, listed=listed, corporate_actions=changes) == ["META"]
    with pytest.raises(NotEnoughData):
        run(*rows, listed=listed)


def test_it_reads_only_the_columns_that_it_declares():
    whole = worlds.tables()
    cut = whole["wiki_views"][["known_on", *wiki_attention_surge.reads["wiki_views"].columns]]
    tables = {"wiki_views": cut, "universe": whole["universe"], "corporate_actions": whole["corporate_actions"]}
    day = date(2021, 3, 1)
    found = decide(wiki_attention_surge, str(day), None, **tables)
    assert found
    assert found == worlds.outcome(wiki_attention_surge, worlds.history(), day)


@lru_cache(maxsize=1)
def _database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name in ("wiki_views", "universe", "corporate_actions"):
        connection.from_df(worlds.tables()[name]).create(name)
    return connection


_ORACLE = """
with renamed as (
    select c.new_symbol, c.symbol from corporate_actions c
    where c.kind = 'symbol_change' and c.known_on < $day and c.event_date <= $day
), month as (
    select coalesce(r.new_symbol, w.symbol) as symbol, event_date, views,
           event_date >= $day::date - interval 8 day as recent
    from wiki_views w left join renamed r using (symbol)
    where known_on < $day and event_date between $day::date - interval 31 day and $day::date - interval 2 day
), members as (
    select distinct symbol from (
        select symbol, action from universe where known_on < $day and kind = 'stock' and index_name like 'S&P %'
        qualify row_number() over (partition by symbol, index_name order by known_on desc, action) = 1
    ) where action = 'add'
), scored as (
    select symbol, round((avg(views) filter (recent) - avg(views)) / stddev_samp(views), 9) as z
    from month semi join members using (symbol) group by symbol
    having count(*) >= 25 and count(*) filter (recent) >= 6 and max(views) > min(views)
)
select (select count(*) from scored), (
    select coalesce(list(symbol), []) from (select symbol from scored where z > 0 order by z desc, symbol limit 10)
)
"""


def oracle(_: worlds.Tables, day: date) -> Mapping[str, float] | None:
    """The rule in SQL."""
    found = _database().execute(_ORACLE, {"day": pd.Timestamp(day)}).fetchone()
    assert found is not None
    taking_part, symbols = found
    return {symbol: 1 / len(symbols) for symbol in symbols} if taking_part else None


def test_it_agrees_with_the_rule_in_sql_on_a_hundred_days():
    worlds.agree(wiki_attention_surge, oracle, worlds.some_days(100), decided=98)


NAMES = ("AAPL", "MSFT", "NVDA", "XOM")


def drawn(seed: int) -> list[Row]:
    """Views of listed and other names around the window, some days missing, some known late."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for symbol in (*NAMES, "GONE"):
        level, gaps = int(rng.choice([3, 1000])), rng.choice([0.0, 0.06, 0.15])
        for at in range(36):
            day, shown = date(2024, 5, 27) + timedelta(at), rng.random() >= gaps
            lag = int(rng.choice([1, 1, 1, 1, 3]))
            if shown:
                rows += views(symbol, [int(level * rng.integers(1, 6))], day, lag)
    return rows


def held(rows: pd.DataFrame, listed: pd.DataFrame = LISTED) -> dict[str, float] | None:
    try:
        return decide(wiki_attention_surge.with_parameters({"top_n": 2}), DAY, wiki_views=rows, universe=listed)
    except NotEnoughData:
        return None


SEEDS = st.integers(0, 2**32)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_it_is_the_rule_in_exact_arithmetic_one_row_at_a_time(seed: int):
    month: dict[str, dict[str, int]] = {name: {} for name in NAMES}
    for row in drawn(seed):
        if row["known_on"] < DAY and "2024-05-31" <= row["event_date"] <= "2024-06-29" and row["symbol"] in month:
            month[row["symbol"]][row["event_date"]] = row["views"]
    found: dict[str, Fraction] = {}  # the square of the score, with its sign
    for name, days in month.items():
        week = [n for day, n in days.items() if day >= "2024-06-23"]
        if len(week) >= 6 and len(days) >= 25 and len(set(days.values())) > 1:
            mean = Fraction(sum(days.values()), len(days))
            above = Fraction(sum(week), len(week)) - mean
            found[name] = above * abs(above) * (len(days) - 1) / sum((n - mean) ** 2 for n in days.values())
    best = sorted((name for name in found if found[name] > 0), key=lambda name: (-found[name], name))[:2]
    assert held(table(drawn(seed))) == ({name: 1 / len(best) for name in sorted(best)} if found else None)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_neither_order_nor_repetition_of_rows_nor_the_number_of_readers_matters(seed: int):
    known = table(drawn(seed))
    weights = held(known)
    again = known.iloc[np.random.default_rng(seed).integers(0, len(known), 9)]
    assert held(worlds.permuted(known, seed)) == weights
    assert held(pd.concat([known, again], ignore_index=True)) == weights
    assert held(known.assign(views=known["views"] * 7)) == weights
    assert weights is None or set(weights) <= set(NAMES)
    assert sum((weights or {}).values()) <= 1 + 1e-12


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_the_order_of_corrections_told_on_one_day_does_not_matter(seed: int):
    known = table(drawn(seed))
    twice = pd.concat([known, known.assign(views=known["views"] + 5 * (known.index % 3))], ignore_index=True)
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
