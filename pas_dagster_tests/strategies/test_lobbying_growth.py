from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import count
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.strategies.contract import NotEnoughData
from pas_dagster.strategies.lobbying_growth import due_day, lobbying_growth, newest_due
from pas_dagster_tests.strategies import worlds
from pas_dagster_tests.strategies.frames import decide, frame, member, symbol_change, universe

DAY = "2024-05-01"  # 2024Q1 was due on Monday, 22 April
OLD, NEW = "2023Q4", "2024Q1"
POSTED = {"2023Q3": "2023-10-18", OLD: "2024-01-18", NEW: "2024-04-18", "2024Q2": "2024-04-29"}
LISTED = universe("AAPL", "BA", "LMT", "RTX", "XOM")
COLUMNS = ["known_on", "known_at", "filing_id", "symbol", "client", "registrant", "quarter", "amount"]

Row = dict[str, Any]
_filings = count(1)


def report(symbol: str | None, quarter: str, thousands: float, registrant: str | None = "FIRM", **given: Any) -> Row:
    """A report of a firm for the company, posted in time unless told otherwise."""
    facts = {"known_on": POSTED[quarter], "known_at": None, "filing_id": f"L{next(_filings):05d}", "symbol": symbol}
    parties = {"client": f"{symbol} Inc", "registrant": registrant}
    return facts | parties | {"quarter": quarter, "amount": thousands * 1e3} | given


def itself(symbol: str, quarter: str, thousands: float, **given: Any) -> Row:
    return report(symbol, quarter, thousands, f"{symbol} INC", **given)


def both(symbol: str, old: float, new: float) -> list[Row]:
    return [report(symbol, OLD, old), report(symbol, NEW, new)]


def table(rows: Sequence[Row]) -> pd.DataFrame:
    made = pd.DataFrame(list(rows), columns=COLUMNS)
    days = {name: pd.to_datetime(made[name]).astype("datetime64[us]") for name in ("known_on", "known_at")}
    texts = ["filing_id", "symbol", "client", "registrant", "quarter"]
    return made.assign(**days).astype({**dict.fromkeys(texts, "str"), "amount": float})


def run(
    *rows: Row,
    top: int = 20,
    day: str = DAY,
    listed: pd.DataFrame = LISTED,
    corporate_actions: pd.DataFrame | None = None,
) -> list[str]:
    tables = {"lobbying": table(rows), "universe": listed}
    if corporate_actions is not None:
        tables["corporate_actions"] = corporate_actions
    return sorted(decide(lobbying_growth.with_parameters({"top_n": top}), day, **tables))


def test_the_largest_growth_is_held_in_equal_weight_and_not_the_largest_spending():
    rows = [
        *both("AAPL", 100.0, 150.0),  # 1.5
        *both("BA", 1_000.0, 1_200.0),  # 1.2
        *both("LMT", 10.0, 30.0),  # 3
        *both("RTX", 50.0, 40.0),  # 0.8
    ]
    assert decide(lobbying_growth.with_parameters({"top_n": 2}), DAY, lobbying=table(rows), universe=LISTED) == {
        "AAPL": 0.5,
        "LMT": 0.5,
    }
    assert run(*rows) == ["AAPL", "BA", "LMT"]


def test_twenty_are_held_unless_told_otherwise():
    names = [f"A{chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(40)]
    rows = [row for n, name in enumerate(names) for row in both(name, 100.0, 101.0 + n)]
    assert decide(lobbying_growth, DAY, lobbying=table(rows), universe=universe(*names)) == dict.fromkeys(
        names[20:], 0.05
    )


def test_equal_growth_goes_by_symbol():
    rows = [row for symbol, old in (("XOM", 30.0), ("LMT", 10.0), ("BA", 70.0)) for row in both(symbol, old, 1.1 * old)]
    assert run(*rows, top=2) == ["BA", "LMT"]


def test_a_company_that_spent_nothing_in_either_quarter_has_no_growth():
    nothing = [report("AAPL", OLD, 0.0), report("AAPL", NEW, 90.0), report("BA", NEW, 90.0), report("RTX", OLD, 90.0)]
    unknown = [report("XOM", OLD, float("nan")), report("XOM", NEW, 90.0)]
    assert run(*nothing, *unknown, *both("LMT", 10.0, 11.0)) == ["LMT"]


def test_what_did_not_grow_is_not_held():
    assert run(*both("BA", 10.0, 10.0), *both("LMT", 10.0, 9.0)) == []


@pytest.mark.parametrize(
    ("day", "quarter"),
    [
        ("2024-01-20", "2023Q3"),
        ("2024-01-22", "2023Q3"),  # the 20th was a Saturday: reports were due on this Monday
        ("2024-01-23", "2023Q4"),
        ("2024-04-01", "2023Q4"),
        ("2024-07-22", "2024Q1"),
        ("2024-07-23", "2024Q2"),
        ("2025-01-21", "2024Q3"),  # the 20th was Martin Luther King Day
        ("2025-01-22", "2024Q4"),
    ],
)
def test_the_newest_quarter_is_the_last_that_was_due_before_the_decision(day: str, quarter: str):
    assert newest_due(date.fromisoformat(day)) == quarter
    assert due_day("2024Q4") == date(2025, 1, 21)


def test_a_quarter_that_has_only_begun_to_arrive_is_not_compared():
    growth = [*both("BA", 100.0, 200.0), *both("LMT", 100.0, 90.0)]
    early = [report("LMT", "2024Q2", 900.0), report("BA", "2024Q2", 10.0)]
    assert run(*growth, *early) == ["BA"]
    # Before the first quarter was due, it is the fourth of 2023 against the third.
    before = [report("LMT", "2023Q3", 50.0), report("BA", "2023Q3", 100.0)]
    assert run(*growth, *before, day="2024-04-22") == ["LMT"]
    assert run(*growth, *before, day="2024-04-23") == ["BA"]


def test_a_report_of_the_decision_day_is_not_seen_and_a_late_one_of_before_is():
    lmt = report("LMT", OLD, 10.0)
    for posted, held in (("2024-04-30", ["BA", "LMT"]), (DAY, ["BA"])):
        assert run(*both("BA", 10.0, 11.0), lmt, report("LMT", NEW, 20.0, known_on=posted)) == held


def test_a_report_posted_while_its_quarter_still_runs_counts():
    assert run(report("LMT", OLD, 10.0, known_on="2023-10-05"), report("LMT", NEW, 20.0)) == ["LMT"]


def test_an_amendment_replaces_its_original_up_and_down():
    up = report("BA", NEW, 200.0, known_on="2024-04-25")
    down = report("LMT", NEW, 50.0, known_on="2024-04-25")
    assert run(*both("BA", 100.0, 90.0), *both("LMT", 100.0, 110.0), up, down) == ["BA"]
    of_old = report("BA", OLD, 300.0, known_on="2024-04-25")
    assert run(*both("BA", 100.0, 200.0), *both("LMT", 100.0, 110.0), of_old) == ["LMT"]


def test_an_amendment_is_not_seen_before_it_is_known():
    later = report("BA", NEW, 900.0, known_on=DAY)
    assert run(*both("BA", 100.0, 90.0), *both("LMT", 100.0, 110.0), later) == ["LMT"]


def test_of_two_reports_of_one_day_the_later_of_the_day_counts():
    morning, noon = pd.Timestamp("2024-04-18 13:00"), pd.Timestamp("2024-04-18 16:00")
    first = report("BA", NEW, 500.0, filing_id="Z", known_at=morning)
    last = report("BA", NEW, 50.0, filing_id="A", known_at=noon)
    rest = [report("BA", OLD, 100.0), *both("LMT", 100.0, 110.0)]
    assert run(first, last, *rest) == run(last, first, *rest) == ["LMT"]
    untimed = first | {"known_at": None}
    assert run(untimed, last, *rest) == ["LMT"]


def test_another_registrant_client_or_quarter_is_not_replaced():
    firms = [report("BA", OLD, 100.0, "A LLC"), report("BA", NEW, 60.0, "A LLC"), report("BA", NEW, 60.0, "B LLC")]
    assert run(*firms, *both("LMT", 100.0, 110.0)) == ["BA", "LMT"]  # 60 + 60 against 100
    clients = [report("BA", OLD, 100.0), *(report("BA", NEW, 60.0, client=name) for name in ("BA Co", "BA Space"))]
    assert run(*clients, *both("LMT", 100.0, 110.0)) == ["BA", "LMT"]


def test_reports_that_name_no_registrant_do_not_replace_one_another():
    rows = [report("BA", OLD, 100.0, None), report("BA", NEW, 60.0, None), report("BA", NEW, 60.0, None)]
    assert run(*rows, *both("LMT", 100.0, 110.0)) == ["BA", "LMT"]


def test_a_report_published_again_counts_once():
    once = report("BA", NEW, 60.0, None, known_on="2024-04-10")
    assert run(report("BA", OLD, 100.0, None), once, once | {"known_on": "2024-04-18"}, *both("LMT", 1.0, 2.0)) == [
        "LMT"
    ]


def test_what_a_company_reports_itself_contains_the_fees_of_its_firms():
    ba = [itself("BA", OLD, 100.0), report("BA", OLD, 10.0), itself("BA", NEW, 90.0), report("BA", NEW, 50.0)]
    lmt = [itself("LMT", OLD, 100.0), report("LMT", OLD, 50.0), itself("LMT", NEW, 110.0), report("LMT", NEW, 1.0)]
    assert run(*ba, *lmt) == ["LMT"]


def test_a_company_that_reports_one_of_the_quarters_itself_only_is_left_out():
    begins = [report("BA", OLD, 10.0), report("BA", NEW, 10.0), itself("BA", NEW, 900.0)]
    ends = [itself("RTX", OLD, 10.0), report("RTX", OLD, 10.0), report("RTX", NEW, 900.0)]
    assert run(*begins, *ends, *both("LMT", 100.0, 110.0)) == ["LMT"]


def test_an_own_report_without_an_amount_says_that_nothing_was_spent():
    rows = [itself("BA", OLD, float("nan")), report("BA", OLD, 10.0), itself("BA", NEW, 90.0)]
    assert run(*rows, *both("LMT", 100.0, 110.0)) == ["LMT"]


def test_unlisted_clients_take_nobodys_place():
    listed = frame([member("BA", "2020-01-02"), member("LMT", "2020-01-02"), member("LMT", "2024-04-20", "remove")])
    listed = pd.concat([listed, universe("RTN  RTX")], ignore_index=True)
    rows = [*both("LMT", 1.0, 9.0), *both("PRIVT", 1.0, 9.0), *both("RTN  RTX", 1.0, 9.0), *both("BA", 10.0, 11.0)]
    nobody = [report(None, OLD, 1.0), report(None, NEW, 9.0)]
    assert run(*rows, *nobody, listed=listed, top=1) == ["BA"]


def test_a_changed_symbol_is_one_company():
    changes = frame([symbol_change("FB", "META", "2024-03-12", known_on="2024-03-03")])
    listed = frame([member("FB", "2020-01-02"), member("FB", "2024-03-12", "remove"), member("META", "2024-03-12")])
    rows = [report("FB", OLD, 10.0), report("META", NEW, 20.0)]
    assert run(*rows, listed=listed, corporate_actions=changes) == ["META"]


def test_without_timely_reports_of_both_quarters_it_cannot_decide():
    cases = {
        OLD: [[], [report("BA", NEW, 20.0)], [report("BA", OLD, 10.0, known_on="2024-01-23"), report("BA", NEW, 20.0)]],
        NEW: [
            [report("BA", OLD, 10.0)],
            [report("BA", OLD, 10.0), report(None, NEW, 20.0)],
            [report("BA", OLD, 10.0), report("BA", NEW, 20.0, known_on="2024-04-23")],
            [report("BA", OLD, 10.0), report("BA", NEW, 20.0, known_on=DAY)],
        ],
    }
    for quarter, worlds_of_rows in cases.items():
        for rows in worlds_of_rows:
            with pytest.raises(NotEnoughData, match=f"{quarter} is known that was posted in time"):
                run(*rows)
    in_time = [report("BA", OLD, 10.0, known_on="2024-01-22"), report("BA", NEW, 20.0, known_on="2024-04-22")]
    assert run(*in_time) == ["BA"]


def test_it_reads_only_the_columns_that_it_declares():
    whole = worlds.tables()
    cut = whole["lobbying"][["known_on", *lobbying_growth.reads["lobbying"].columns]]
    tables = {"lobbying": cut, "universe": whole["universe"], "corporate_actions": whole["corporate_actions"]}
    day = date(2021, 3, 1)
    assert decide(lobbying_growth, str(day), None, **tables) == worlds.outcome(lobbying_growth, worlds.history(), day)


@lru_cache(maxsize=1)
def _database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name in ("lobbying", "universe", "corporate_actions"):
        connection.from_df(worlds.tables()[name]).create(name)
    return connection


_ORACLE = """
with renamed as (
    select c.new_symbol, c.symbol from corporate_actions c
    where c.kind = 'symbol_change' and c.known_on < $day and c.event_date <= $day
), report as (
    select coalesce(r.new_symbol, l.symbol) as symbol, l.*, lower(client) = lower(registrant) as own
    from lobbying l left join renamed r using (symbol)
    where l.known_on < $day and l.quarter in ($old, $new) and l.symbol is not null
), counted as (
    select * from report
    qualify row_number() over (
        partition by registrant, client, quarter order by known_on desc, known_at desc, filing_id desc
    ) = 1
), spending as (
    select symbol, quarter, bool_or(own) as own,
        coalesce(sum(amount) filter (own), 0)::decimal(18, 2) as expenses,
        coalesce(sum(amount) filter (not own), 0)::decimal(18, 2) as fees
    from counted group by all
), growth as (
    select a.symbol, case when a.own then b.expenses / a.expenses else b.fees / a.fees end as ratio
    from spending a join spending b using (symbol)
    where a.quarter = $old and b.quarter = $new and a.own = b.own
        and case when a.own then least(a.expenses, b.expenses) else least(a.fees, b.fees) end > 0
), listed as (
    select distinct symbol from (
        select symbol, action from universe where known_on < $day
        qualify row_number() over (partition by symbol, index_name order by known_on desc, action) = 1
    ) where action = 'add'
), held as (
    select symbol from growth semi join listed using (symbol) where ratio > 1 order by ratio desc, symbol limit 20
)
select (select min(known_on) from report where quarter = $old), (select min(known_on) from report where quarter = $new),
    coalesce((select list(symbol) from held), [])
"""


def _due(quarter: date) -> date:
    """20 days after the end of the quarter that ends on the day, or the first session after that."""
    due = quarter + timedelta(20)
    while not calendar.is_session(due):
        due += timedelta(1)
    return due


def oracle(_: worlds.Tables, day: date) -> Mapping[str, float] | None:
    """The rule in SQL."""
    ends = [stamp.date() for stamp in pd.date_range("2017-12-31", day, freq="QE")]
    old, new = [end for end in ends if _due(end) < day][-2:]
    names = {key: f"{end.year}Q{end.month // 3}" for key, end in (("old", old), ("new", new))}
    found = _database().execute(_ORACLE, {"day": pd.Timestamp(day), **names}).fetchone()
    assert found is not None
    first_old, first_new, symbols = found
    known = first_old is not None and first_new is not None
    if not known or first_old.date() > _due(old) or first_new.date() > _due(new):
        return None
    return {symbol: 1 / len(symbols) for symbol in symbols}


def test_it_agrees_with_the_rule_in_sql_on_a_hundred_days():
    worlds.agree(lobbying_growth, oracle, worlds.some_days(100), decided=88)


NAMES = ("AAPL", "BA", "LMT", "RTX", "XOM")
ROWS = st.lists(
    st.builds(
        lambda symbol, quarter, amount, who, late, clock: report(
            symbol,
            quarter,
            0.0,
            f"{symbol} inc" if who == "self" else who,
            amount=amount,
            known_on=str(date.fromisoformat(POSTED[quarter]) + timedelta(late)),
            known_at=clock,
        ),
        st.sampled_from([*NAMES, "GONE", "A B", None]),
        st.sampled_from([OLD, NEW, NEW, "2024Q2"]),
        st.integers(0, 12).map(lambda n: n * 10_000.0 if n else None),
        st.sampled_from(["self", "A LLC", "B LLC", None]),
        st.integers(-10, 20),
        st.sampled_from([None, pd.Timestamp("2024-05-30 15:00"), pd.Timestamp("2024-05-30 17:00")]),
    ),
    max_size=50,
)


def held(rows: pd.DataFrame, listed: pd.DataFrame = LISTED) -> dict[str, float] | None:
    try:
        return decide(lobbying_growth.with_parameters({"top_n": 3}), DAY, lobbying=rows, universe=listed)
    except NotEnoughData:
        return None


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 99))
def test_neither_order_nor_repetition_of_rows_nor_the_currency_matters(rows: list[Row], seed: int):
    known = table(rows)
    weights = held(known)
    again = known.iloc[np.random.default_rng(seed).integers(0, max(len(known), 1), 5 if len(known) else 0)]
    assert held(worlds.permuted(known, seed)) == weights
    assert held(pd.concat([known, again], ignore_index=True)) == weights
    assert held(known.assign(amount=known["amount"] * 8)) == weights
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
@given(ROWS)
def test_more_spending_in_the_newest_quarter_never_costs_a_place(rows: list[Row]):
    weights = held(table(rows))
    for symbol in weights or {}:
        more = [
            row | {"amount": row["amount"] * 2}
            if row["amount"] and (row["symbol"], row["quarter"]) == (symbol, NEW)
            else row
            for row in rows
        ]
        assert symbol in (held(table(more)) or {})
