"""What a table says of itself, and which rows it lets in."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.schemas import DATASETS, TABLES, Column, Kind, Table, normalise_symbols
from pas_dagster.schemas.table import SYMBOL_PATTERN

# Section 6 of the design, word for word.
MUST_EXIST = [
    "politician_trades",
    "lobbying",
    "wiki_views",
    "dc_insider_scores",
    "gov_contracts",
    "app_reviews",
    "google_trends",
    "reddit_mentions",
    "news_headlines",
    "analyst_ratings",
    "insider_buying",
    "sp500_index",
    "universe",
    "prices",
    "treasury_rates",
    "fama_french_factors",
    "catalyst_events",
    "portfolios",
    "trades",
    "weight_history",
    "metrics",
    "account_metrics_paper",
    "account_metrics_live",
    "alloc_log",
]
ALL = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
DAY = pd.Timestamp("2024-01-02")


def value(column: Column) -> Any:
    """A value that keeps the column's rules."""
    if "among" in column.rule:
        return column.rule["among"][0]
    if column.kind is Kind.FLOAT:
        low, high = column.rule.get("min", column.rule.get("above", 0)), column.rule.get("max", np.inf)
        return float(min(high, low + 0.5))
    return {Kind.DATE: DAY, Kind.INSTANT: DAY, Kind.TEXT: "A", Kind.INT: 1, Kind.BOOL: True}[column.kind]


def rows(table: Table, count: int) -> pd.DataFrame:
    """Good rows with different keys."""
    frame = pd.DataFrame({column.name: [value(column)] * count for column in table.columns})
    by = next(name for name in reversed(table.key) if "among" not in table.column(name).rule)
    different = {
        Kind.DATE: [DAY + pd.Timedelta(days=n) for n in range(count)],
        Kind.INSTANT: [DAY + pd.Timedelta(hours=n) for n in range(count)],
        Kind.TEXT: [f"A{n}" for n in range(count)],
        Kind.INT: list(range(1, count + 1)),
    }
    return table.conform(frame.assign(**{by: different[table.column(by).kind]}))


def test_every_table_of_the_design_exists() -> None:
    assert len(MUST_EXIST) == 24
    assert set(MUST_EXIST) <= set(TABLES)


def test_names_are_unique_and_plain() -> None:
    for table in TABLES.values():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", table.name)
        assert len(set(table.names)) == len(table.names)
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in table.names)


@ALL
def test_key_and_partition_are_columns_that_are_never_null(table: Table) -> None:
    assert set(table.key) <= set(table.names)
    assert table.column(table.partition).kind is Kind.DATE
    assert not table.column(table.partition).nullable
    # A headline may concern no listed company; it is one headline all the same.
    nullable = [name for name in table.key if table.column(name).nullable]
    assert nullable == (["symbol"] if table.name == "news_headlines" else [])


@ALL
def test_everything_is_described(table: Table) -> None:
    assert table.doc
    for column in table.columns:
        assert column.doc
        assert set(column.rule) <= {"min", "max", "above", "among", "pattern"}
        assert column.kind is not Kind.DATE or column.unit, column.name


@pytest.mark.parametrize("table", DATASETS, ids=lambda table: table.name)
def test_facts_say_when_they_were_known_when_they_happened_and_who_said_so(table: Table) -> None:
    assert table.partition == "known_on"
    assert table.names[:3] == ["known_on", "known_at", "event_date"]
    assert table.names[-2:] == ["provider", "raw"]


@ALL
def test_good_rows_are_let_in_whole(table: Table) -> None:
    frame = rows(table, 3)
    verdict = table.check(frame)
    assert verdict.bad.empty
    pd.testing.assert_frame_equal(verdict.good, frame)
    assert [str(dtype) for dtype in frame.dtypes] == [column.kind.dtype for column in table.columns]


@ALL
def test_an_empty_table_is_conform_and_good(table: Table) -> None:
    assert table.check(table.conform(table.empty())).good.empty


def broken(column: Column) -> list[tuple[Any, str]]:
    """Values that break the column's rules, and the words that say so."""
    found: list[tuple[Any, str]] = []
    name = column.name
    if not column.nullable and column.kind in (Kind.TEXT, Kind.FLOAT, Kind.DATE):
        found.append((pd.NaT if column.kind is Kind.DATE else None, f"{name} is missing"))
    if column.kind is Kind.FLOAT:
        found.append((np.inf, f"{name} inf must be"))
        found.append((-np.inf, f"{name} -inf must be"))
    for rule, bound in column.rule.items():
        match rule:
            case "min":
                found.append((bound - 1, f"must be at least {bound}"))
            case "max":
                found.append((bound + 1.0, f"must be at most {bound}" if len(column.rule) == 1 else f"most {bound}"))
            case "above":
                found.append((float(bound), f"{name} {float(bound)!r} must be above {bound}"))
            case "among":
                found.append(("neither", f"{name} 'neither' must be one of {', '.join(bound)}"))
            case "pattern":
                found.append(("a b", f"{name} 'a b' must be of the form"))
    return found


@ALL
def test_every_rule_refuses_just_the_row_that_breaks_it_and_says_why(table: Table) -> None:
    cases = [(column, wrong, words) for column in table.columns for wrong, words in broken(column)]
    assert cases
    for column, wrong, words in cases:
        frame = rows(table, 3).set_index(pd.Index([10, 20, 30]))
        frame.loc[20, column.name] = wrong
        verdict = table.check(frame)
        assert verdict.bad.index.tolist() == [20], (column.name, wrong)
        assert words in verdict.bad["reason"].iloc[0], (column.name, wrong)
        assert verdict.good.index.tolist() == [10, 30]


PRICES = TABLES["prices"]
CLOSES = st.sampled_from([1.0, 2.5, 0.0, -1.0, np.nan, np.inf, -np.inf])
SYMBOLS = st.sampled_from(["A", "B", "BRK.B", "b", "A B", None])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(SYMBOLS, CLOSES), max_size=12))
def test_a_row_is_good_if_it_keeps_the_rules_and_is_the_first_such_of_its_key(given: list[tuple[Any, float]]) -> None:
    """Told row by row in plain Python; a refused row never takes a good one with it."""
    frame = PRICES.conform(
        pd.DataFrame(given, columns=["symbol", "close"]).assign(known_on=DAY, event_date=DAY, provider="test")
    )
    taken: set[str] = set()
    expected = []
    for symbol, close in given:
        ok = symbol in {"A", "B", "BRK.B"} and 0 < close < float("inf") and symbol not in taken
        taken |= {symbol} if ok else set()
        expected.append(ok)
    verdict = PRICES.check(frame)
    assert verdict.good.index.tolist() == [at for at, ok in enumerate(expected) if ok]
    assert verdict.bad.index.tolist() == [at for at, ok in enumerate(expected) if not ok]
    assert all(verdict.bad["reason"])


def test_the_second_of_two_equal_keys_is_the_duplicate() -> None:
    frame = rows(PRICES, 2).assign(symbol="A", close=[1.0, 2.0])
    verdict = PRICES.check(frame)
    assert verdict.good["close"].tolist() == [1.0]
    assert verdict.bad["reason"].tolist() == ["duplicate key (known_on, symbol)"]


def test_a_bad_row_does_not_make_the_good_row_of_its_key_a_duplicate() -> None:
    verdict = PRICES.check(rows(PRICES, 3).assign(symbol="A", close=[-1.0, 2.0, 3.0]))
    assert verdict.good["close"].tolist() == [2.0]
    assert verdict.bad["reason"].tolist() == ["close -1.0 must be above 0", "duplicate key (known_on, symbol)"]


def test_conform_orders_types_and_fills_what_may_be_missing() -> None:
    frame = pd.DataFrame(
        {"close": ["1.5"], "symbol": ["A"], "known_on": ["2024-01-02"], "event_date": [date(2024, 1, 2)]}
    ).assign(provider="p", more=1)
    found = PRICES.conform(frame)
    assert list(found.columns) == PRICES.names
    assert found["known_on"].tolist() == found["event_date"].tolist() == [DAY]
    assert found["close"].tolist() == [1.5]
    assert found[["open", "volume", "raw"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("table", "column", "wrong", "words"),
    [
        ("prices", "close", "ten", "prices.close must be above 0"),
        ("prices", "known_on", "soon", "prices.known_on must be a date"),
        ("wiki_views", "views", 1.5, "wiki_views.views must be at least 0: 1.5 is not a whole number"),
        ("wiki_views", "views", np.nan, "wiki_views.views must be at least 0"),
        ("portfolios", "rebalance", "no", "portfolios.rebalance must be a bool: 'no' is neither true nor false"),
        ("portfolios", "rebalance", None, "portfolios.rebalance must be a bool"),
    ],
)
def test_a_value_that_cannot_have_its_type_is_an_error_never_another_value(
    table: str, column: str, wrong: Any, words: str
) -> None:
    frame = rows(TABLES[table], 2).astype({column: object})
    frame.loc[1, column] = wrong
    with pytest.raises(ValueError, match=re.escape(words)):
        TABLES[table].conform(frame)


def test_a_column_of_numbers_is_not_one_of_days() -> None:
    """Pandas would take 20240102 for nanoseconds since 1970."""
    with pytest.raises(ValueError, match="prices.known_on must be a date: a number is not a day"):
        PRICES.conform(rows(PRICES, 2).assign(known_on=20240102))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(KeyError, match="prices needs the column 'close'"):
        PRICES.conform(rows(PRICES, 1).drop(columns="close"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("brk-b", "BRK.B"),
        ("BRK/B", "BRK.B"),
        ("BRK B", "BRK.B"),
        ("BRK.B", "BRK.B"),
        (" aapl ", "AAPL"),
        ("BF-B", "BF.B"),
        ("RTN  RTX", "RTN  RTX"),
        ("RTN RTX", "RTN RTX"),
        ("", ""),
        ("A-BCD", "A-BCD"),
    ],
)
def test_symbols_have_one_spelling(given: str, expected: str) -> None:
    assert normalise_symbols(pd.Series([given])).tolist() == [expected]


def test_no_symbol_stays_none() -> None:
    assert normalise_symbols(pd.Series([None, "a"], dtype="str")).isna().tolist() == [True, False]


@given(st.lists(st.text(alphabet="aAbZ19.-/ ", max_size=8), max_size=6))
def test_normalising_twice_is_normalising_once_and_keeps_good_symbols(texts: list[str]) -> None:
    once = normalise_symbols(pd.Series(texts, dtype="str"))
    assert normalise_symbols(once).tolist() == once.tolist()
    for before, after in zip(texts, once, strict=True):
        if re.match(SYMBOL_PATTERN, before):
            assert after == before
