"""Nothing passes the border unseen: rows become the table's, or are refused with a reason."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pandas as pd
import pytest

from pas_dagster.schemas import TABLES
from pas_dagster.sources.border import Admitted, admit
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.source import Bad, Query, collect
from pas_dagster_tests.sources.toys import NOW, WIKI, row

QUERY = Query(date(2026, 11, 18), date(2026, 11, 18), NOW)


def admitted(*rows: object, table=WIKI, query: Query = QUERY) -> Admitted:
    page = Page(Request("https://toys.example/x"), 200, "https://toys.example/x", b"bytes", NOW)
    return admit(table, collect([page], lambda _: list(rows)), query)


def test_text_becomes_typed_and_symbols_are_spelt_one_way() -> None:
    found = admitted(row(), row(symbol="BRK/B"), row(symbol=" brk-a "))
    assert found.rows["symbol"].tolist() == ["AAPL", "BRK.A", "BRK.B"]
    assert found.rows["views"].tolist() == [9110, 9110, 9110]
    assert found.rows["known_on"].tolist() == [pd.Timestamp("2026-11-18")] * 3
    assert set(found.rows["raw"]) == {Page(Request(""), 200, "", b"bytes", NOW).digest}
    assert found.refused.empty


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"views": "many"}, "views 'many' is not a whole number"),
        ({"views": "9.5"}, "views '9.5' is not a whole number"),
        ({"views": None}, "views is missing"),
        ({"views": -1}, "views -1 must be at least 0"),
        ({"symbol": "GLAS FUNDS"}, "symbol 'GLAS FUNDS' must be of the form"),
        ({"symbol": "-"}, "symbol is missing"),
        ({"event_date": "soon"}, "event_date 'soon' is not a day"),
        ({"known_on": "2027-01-01"}, "known_on is in the future"),
        ({"known_on": None}, "known_on is missing"),
    ],
)
def test_a_bad_row_is_refused_with_its_reason_and_takes_no_good_one_with_it(changes: dict, reason: str) -> None:
    found = admitted(row(), row(**{"symbol": "MSFT", **changes}))
    assert found.rows["symbol"].tolist() == ["AAPL"]
    assert found.refused["reason"].iloc[0].startswith(reason)
    assert found.refused["row_number"].tolist() == [2]
    assert "Apple_Inc." in found.refused["content"].iloc[0]


def test_an_instant_gives_the_day_in_new_york() -> None:
    late = row(known_on=None, known_at=datetime(2026, 11, 19, 3, 30, tzinfo=UTC))
    assert admitted(late).rows["known_on"].tolist() == [pd.Timestamp("2026-11-18")]
    assert admitted(late).rows["known_at"].tolist() == [pd.Timestamp("2026-11-19 03:30")]


def test_what_the_site_dates_after_the_moment_of_reading_is_refused() -> None:
    ahead = row(known_at=datetime(2026, 11, 20, 13, tzinfo=UTC), known_on="2026-11-20")
    query = Query(date(2026, 11, 18), date(2026, 11, 20), NOW)
    assert admitted(ahead, query=query).refused["reason"].tolist() == ["known_at is in the future"]


def test_a_row_given_twice_counts_once_and_one_with_other_content_is_refused() -> None:
    found = admitted(row(), row(), row(views=3))
    assert found.rows["views"].tolist() == [9110]
    assert found.repeated == 1
    assert found.refused["reason"].tolist() == ["duplicate key (event_date, symbol)"]


def test_rows_of_other_days_are_counted_and_left_out() -> None:
    found = admitted(row(), row(known_on="2026-11-17", event_date="2026-11-16"))
    assert (len(found.rows), found.outside) == (1, 1)


def test_what_a_parser_could_not_read_is_among_the_refused() -> None:
    found = admitted(row(), Bad("no number", "x"))
    assert found.refused[["url", "row_number", "reason", "content"]].values.tolist() == [
        ["https://toys.example/x", 2, "no number", "x"]
    ]
    assert not found.spoilt, "one bad row proves nothing"


@pytest.mark.parametrize(
    ("bad", "good", "elsewhere", "spoilt"),
    [(0, 0, 0, False), (1, 0, 0, True), (2, 1, 0, False), (3, 40, 0, True), (3, 60, 0, False), (3, 1, 100, False)],
)
def test_a_source_is_taken_to_have_changed_by_its_share_of_bad_rows(
    bad: int, good: int, elsewhere: int, spoilt: bool
) -> None:
    rows = [row(symbol=f"A{n}") for n in range(good)]
    rows += [row(symbol=f"A{n}", known_on="2026-11-02", event_date="2026-11-01") for n in range(elsewhere)]
    assert admitted(*rows, *[Bad("no number", "x")] * bad).spoilt is spoilt
    assert not admitted(*rows, *[Bad("scanned", "x", expected=True)] * bad).spoilt


def test_a_bad_row_of_another_day_is_no_affair_of_this_one() -> None:
    found = admitted(row(), row(known_on="2026-11-02", views="many"))
    assert (len(found.rows), len(found.refused), found.outside) == (1, 0, 1)


def test_what_became_known_after_the_day_it_is_filed_under_is_refused() -> None:
    found = admitted(row(), row(symbol="MSFT", known_at=datetime(2026, 11, 19, 15, tzinfo=UTC)))
    assert found.rows["symbol"].tolist() == ["AAPL"]
    assert found.refused["reason"].tolist() == ["known_at is after known_on"]
    assert found.refused["known_on"].tolist() == [pd.Timestamp("2026-11-18")]


def test_of_what_is_told_twice_the_first_telling_counts() -> None:
    early, late = (datetime(2026, 11, 18, hour, tzinfo=UTC) for hour in (14, 20))
    found = admitted(row(known_at=late), row(known_at=early))
    assert found.rows["known_at"].tolist() == [pd.Timestamp("2026-11-18 14:00")]


def test_no_rows_are_no_rows() -> None:
    assert admitted().rows.columns.tolist() == [name for name in WIKI.names if name != "provider"]


def test_missing_optional_columns_are_null_and_missing_required_ones_refuse_the_row() -> None:
    without = {name: value for name, value in row().items() if name != "article"}
    assert admitted(row()).rows["redirected_from"].isna().all()
    assert "article is missing" in admitted(without).refused["reason"].iloc[0]


def test_prices_on_a_day_without_a_session_are_refused() -> None:
    bar = {"symbol": "A", "close": 3, "known_on": "2026-11-15", "event_date": "2026-11-15"}
    query = Query(date(2026, 11, 15), date(2026, 11, 16), NOW)
    found = admitted(bar, table=TABLES["prices"], query=query)
    assert found.refused["reason"].tolist() == ["known_on is not an NYSE session"]
