from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
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
from pas_dagster.strategies.gov_contracts_momentum import gov_contracts_momentum
from pas_dagster_tests.strategies import worlds
from pas_dagster_tests.strategies.frames import decide, frame, member, symbol_change, universe

DAY = "2024-07-01"
LISTED = universe("AAPL", "BA", "LMT", "RTX", "XOM")

Row = dict[str, Any]
_awards = count(1)


def award(symbol: str | None, millions: float, known_on: str = "2024-06-12", **given: Any) -> Row:
    facts = {"known_on": known_on, "award_id": f"W{next(_awards):05d}", "symbol": symbol, "kind": "new"}
    return facts | {"amount": millions * 1e6} | given


def table(rows: Sequence[Row]) -> pd.DataFrame:
    made = pd.DataFrame(list(rows), columns=["known_on", "award_id", "symbol", "kind", "amount"])
    made["known_on"] = pd.to_datetime(made["known_on"]).astype("datetime64[us]")
    return made.astype({"award_id": "str", "symbol": "str", "kind": "str", "amount": float})


def run(
    *rows: Row,
    day: str = DAY,
    listed: pd.DataFrame = LISTED,
    corporate_actions: pd.DataFrame | None = None,
    **parameters: Any,
) -> list[str]:
    tables = {"gov_contracts": table(rows), "universe": listed}
    if corporate_actions is not None:
        tables["corporate_actions"] = corporate_actions
    return sorted(decide(gov_contracts_momentum.with_parameters(parameters), day, **tables))


def test_everyone_with_fifty_millions_of_new_awards_is_held_in_equal_weight():
    rows = [
        award("BA", 30.0),
        award("BA", 20.0),  # 50 in all: enough
        award("LMT", 400.0),
        award("RTX", 49.99),
        award("XOM", 0.01),
    ]
    assert decide(gov_contracts_momentum, DAY, gov_contracts=table(rows), universe=LISTED) == {"BA": 0.5, "LMT": 0.5}


@pytest.mark.parametrize(("cents", "enough"), [(5_000_000_000, True), (4_999_999_999, False)])
def test_fifty_millions_are_enough_and_a_cent_less_is_not(cents: int, enough: bool):
    parts = [award("BA", 0.0, amount=0.1) for _ in range(10)] + [award("BA", 0.0, amount=(cents - 100) / 100)]
    assert run(*parts) == (["BA"] if enough else [])


def test_modifications_neither_add_nor_take_away():
    changes = [award("BA", 900.0, kind="modification"), award("LMT", -900.0, kind="modification")]
    assert run(*changes, award("LMT", 60.0), award("BA", 40.0)) == ["LMT"]


def test_a_new_award_that_is_taken_back_counts_with_its_sign():
    assert run(award("BA", 60.0), award("BA", -20.0), award("LMT", 60.0)) == ["LMT"]


def test_what_may_be_a_modification_does_not_count():
    assert run(award("BA", 900.0, kind=None), award("LMT", 60.0)) == ["LMT"]
    assert run(award("BA", 900.0, kind=None), award("LMT", 60.0, kind="modification")) == []


def test_where_nothing_says_what_is_new_it_cannot_decide():
    with pytest.raises(NotEnoughData, match="says whether it is a new award"):
        run(award("BA", 900.0, kind=None), award("LMT", 60.0, kind=None))


@pytest.mark.parametrize("day", ["2024-07-01", "2024-07-02", "2024-07-31"])
@pytest.mark.parametrize(
    ("known_on", "counts"), [("2024-05-31", False), ("2024-06-01", True), ("2024-06-30", True), ("2024-07-01", False)]
)
def test_the_month_is_the_calendar_month_before_the_decisions(day: str, known_on: str, counts: bool):
    assert run(award("BA", 60.0, known_on), award("LMT", 70.0), day=day) == (["BA", "LMT"] if counts else ["LMT"])


def test_january_looks_at_the_december_before():
    rows = [award("BA", 60.0, "2023-12-01"), award("LMT", 60.0, "2024-12-01"), award("RTX", 60.0, "2023-11-30")]
    assert run(*rows, day="2024-01-01") == ["BA"]


def test_the_day_it_became_known_counts_and_not_the_day_it_was_signed():
    rows = [award("BA", 60.0, "2024-06-20", event_date="2024-03-17"), award("LMT", 60.0, "2024-07-10")]
    assert run(*rows, day="2024-07-15") == ["BA"]


def test_the_largest_are_held_and_ties_go_by_symbol():
    rows = [award("XOM", 60.0), award("RTX", 80.0), award("BA", 60.0), award("LMT", 60.0)]
    assert run(*rows, max_names=2) == ["BA", "RTX"]
    assert run(*rows, max_names=3, least=60e6) == ["BA", "LMT", "RTX"]
    assert run(*rows, least=80e6) == ["RTX"]


def test_at_most_twenty_five_are_held_unless_told_otherwise():
    names = [f"A{chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(40)]
    assert run(*(award(name, 51.0 + n) for n, name in enumerate(names)), listed=universe(*names)) == names[15:]


def test_an_award_published_again_counts_once_as_corrected_in_its_first_month():
    once = award("BA", 30.0, "2024-06-10")
    assert run(once, once | {"known_on": "2024-06-20"}, award("LMT", 60.0)) == ["LMT"]
    assert run(once, once | {"known_on": "2024-06-20", "amount": 55e6}) == ["BA"]
    assert run(once | {"amount": 60e6}, once | {"known_on": "2024-06-20", "kind": "modification"}) == []
    old = award("BA", 90.0, "2024-05-15")
    assert run(old, old | {"known_on": "2024-06-20"}, award("LMT", 60.0)) == ["LMT"]


def test_unlisted_recipients_take_nobodys_place():
    listed = frame([member("BA", "2020-01-02"), member("LMT", "2020-01-02"), member("LMT", "2024-06-20", "remove")])
    listed = pd.concat([listed, universe("RTN  RTX")], ignore_index=True)
    rows = [award("LMT", 900.0), award("PRIVT", 900.0), award("RTN  RTX", 900.0), award(None, 900.0), award("BA", 50.0)]
    assert run(*rows, listed=listed, max_names=1) == ["BA"]


def test_an_unknown_amount_adds_nothing():
    assert run(award("BA", float("nan")), award("BA", 60.0), award("LMT", float("nan"))) == ["BA"]


def test_a_changed_symbol_is_one_company():
    changes = frame([symbol_change("FB", "META", "2024-06-12", known_on="2024-06-03")])
    listed = frame([member("FB", "2020-01-02"), member("FB", "2024-06-12", "remove"), member("META", "2024-06-12")])
    rows = [award("FB", 30.0, "2024-06-10"), award("META", 30.0, "2024-06-20")]
    assert run(*rows, listed=listed, corporate_actions=changes) == ["META"]


def test_nothing_known_of_the_month_means_undecided_and_nobody_with_enough_means_cash():
    assert run(award("BA", 10.0)) == []
    assert run(award(None, 900.0)) == []
    for rows in ([], [award("BA", 90.0, "2024-05-31")], [award("BA", 90.0, "2024-07-01")]):
        with pytest.raises(NotEnoughData, match="no federal contract became known"):
            run(*rows, day="2024-07-20")


def test_it_reads_only_the_columns_that_it_declares():
    whole = worlds.tables()
    cut = whole["gov_contracts"][["known_on", *gov_contracts_momentum.reads["gov_contracts"].columns]]
    tables = {"gov_contracts": cut, "universe": whole["universe"], "corporate_actions": whole["corporate_actions"]}
    day = date(2021, 3, 1)
    assert decide(gov_contracts_momentum, str(day), None, **tables) == worlds.outcome(
        gov_contracts_momentum, worlds.history(), day
    )


@lru_cache(maxsize=1)
def _database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name in ("gov_contracts", "universe", "corporate_actions"):
        connection.from_df(worlds.tables()[name]).create(name)
    return connection


_ORACLE = """
with renamed as (
    select c.new_symbol, c.symbol from corporate_actions c
    where c.kind = 'symbol_change' and c.known_on < $day and c.event_date <= $day
), month as (
    select * from gov_contracts
    where date_trunc('month', known_on) = date_trunc('month', $day::date) - interval 1 month
), awarded as (
    select coalesce(r.new_symbol, g.symbol) as symbol, sum(g.amount::decimal(18, 2)) as amount
    from month g left join renamed r using (symbol)
    where g.kind = 'new' and g.symbol is not null group by 1
), listed as (
    select distinct symbol from (
        select symbol, action from universe where known_on < $day
        qualify row_number() over (partition by symbol, index_name order by known_on desc, action) = 1
    ) where action = 'add'
), held as (
    select symbol from awarded semi join listed using (symbol) where amount >= 50000000
    order by amount desc, symbol limit 25
)
select (select count(*) from month), coalesce((select list(symbol) from held), [])
"""


def oracle(_: worlds.Tables, day: date) -> Mapping[str, float] | None:
    """The rule in SQL, on decimals."""
    found = _database().execute(_ORACLE, {"day": pd.Timestamp(day)}).fetchone()
    assert found is not None
    known, symbols = found
    return {symbol: 1 / len(symbols) for symbol in symbols} if known else None


def test_it_agrees_with_the_rule_in_sql_on_a_hundred_days():
    worlds.agree(gov_contracts_momentum, oracle, worlds.some_days(100), decided=96)


NAMES = ("AAPL", "BA", "LMT", "RTX", "XOM")
ROWS = st.lists(
    st.builds(
        lambda symbol, cents, day, kind, number: award(
            symbol, 0.0, str(day), amount=cents / 100, kind=kind, award_id=f"W{number}"
        ),
        st.sampled_from([*NAMES, "GONE", "A B", None]),
        st.integers(-100_000_000, 6_000_000_000),
        st.dates(date(2024, 5, 20), date(2024, 7, 5)),
        st.sampled_from(["new", "new", "new", "modification", None]),
        st.integers(1, 25),
    ),
    max_size=40,
    unique_by=lambda row: (row["award_id"], row["known_on"]),
)


def held(rows: pd.DataFrame, listed: pd.DataFrame = LISTED, least: float = 50e6) -> dict[str, float] | None:
    chosen = gov_contracts_momentum.with_parameters({"max_names": 3, "least": least})
    try:
        return decide(chosen, DAY, gov_contracts=rows, universe=listed)
    except NotEnoughData:
        return None


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_it_is_the_rule_in_whole_cents_one_row_at_a_time(rows: list[Row]):
    known = sorted((row for row in rows if row["known_on"] < DAY), key=lambda row: row["known_on"])
    first = {row["award_id"]: row["known_on"] for row in reversed(known)}
    last = {row["award_id"]: row for row in known}
    month = [row for key, row in last.items() if first[key] >= "2024-06-01"]
    cents: dict[str, int] = {}
    for row in month:
        if row["kind"] == "new" and row["symbol"] in NAMES:
            cents[row["symbol"]] = cents.get(row["symbol"], 0) + round(row["amount"] * 100)
    best = sorted((s for s in cents if cents[s] >= 5_000_000_000), key=lambda s: (-cents[s], s))[:3]
    expected = {s: 1 / len(best) for s in sorted(best)} if any(row["kind"] for row in month) else None
    assert held(table(rows)) == expected


@settings(max_examples=50, deadline=None)
@given(ROWS, st.integers(0, 99))
def test_neither_order_nor_repetition_of_rows_nor_the_currency_matters(rows: list[Row], seed: int):
    known = table(rows)
    weights = held(known)
    again = known.iloc[np.random.default_rng(seed).integers(0, max(len(known), 1), 5 if len(known) else 0)]
    assert held(worlds.permuted(known, seed)) == weights
    assert held(pd.concat([known, again], ignore_index=True)) == weights
    assert held(known.assign(amount=known["amount"] * 8), least=400e6) == weights
    assert weights is None or set(weights) <= set(NAMES)


@settings(max_examples=30, deadline=None)
@given(ROWS, st.floats(1e6, 100e6), st.floats(1e6, 100e6))
def test_asking_for_more_holds_none_that_asking_for_less_does_not(rows: list[Row], one: float, other: float):
    more, less = held(table(rows), least=max(one, other)), held(table(rows), least=min(one, other))
    assert (more is None) == (less is None)
    assert set(more or {}) <= set(less or {})


@settings(max_examples=30, deadline=None)
@given(ROWS)
def test_other_names_in_the_same_order_get_the_same_weights(rows: list[Row]):
    other = dict(zip(NAMES, ("B", "C.A", "D", "DD", "Z"), strict=True))
    named = table([row | {"symbol": other.get(row["symbol"], row["symbol"])} for row in rows])
    weights = held(table(rows))
    expected = None if weights is None else {other[symbol]: weight for symbol, weight in weights.items()}
    assert held(named, universe(*other.values())) == expected
