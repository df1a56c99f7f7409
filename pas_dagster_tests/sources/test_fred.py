"""FRED's yields: percent to decimals, holidays left out, known on the session after."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox.sites import fred as site
from pas_dagster.sources import fred
from pas_dagster.sources.source import LayoutError, Query, Reading
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources.driving import drive, page
from pas_dagster_tests.sources.markets import START, admitted, assert_same, present, query, world

SOURCE = fred.SOURCES[0]


def read(text: str) -> Reading:
    return fred.read(
        [page(text.encode())], Query(date(2024, 1, 1), date(2024, 12, 31), datetime(2025, 1, 1, tzinfo=UTC))
    )


@pytest.mark.shared
def test_the_recorded_bill_rates_read_as_decimals() -> None:
    """The recorded file has another header, for somebody renamed the column; its days and values are FRED's."""
    text = recorded_bytes("prices/fred_tbill-3m.csv.gz").decode().replace("date,rate_3m_tbill", "DATE,DGS3MO", 1)
    rows = read(text).rows
    assert rows.iloc[0][["event_date", "known_on", "tenor", "rate"]].tolist() == [
        date(1998, 1, 2),
        date(1998, 1, 5),
        "3m",
        0.0518,
    ]
    assert len(rows) == sum(line[:1].isdigit() and line.rstrip()[-1] not in ".," for line in text.splitlines())


def test_the_sandbox_comes_back_as_the_world_has_it_a_session_later() -> None:
    wanted = query()
    found = admitted("treasury_rates", drive(SOURCE, wanted, present(), site.SITE), wanted)
    assert found.refused.empty
    truth = world().table("treasury_rates")
    truth = truth[truth["event_date"] < pd.Timestamp("2024-12-31")]  # the last is released in the new year
    assert_same(found.rows, truth, ["event_date", "tenor"], ["rate"])
    days = found.rows["event_date"].dt.date
    released = [calendar.roll_forward(date.fromordinal(day.toordinal() + 1)) for day in days]
    assert found.rows["known_on"].dt.date.tolist() == released


def test_windows_glued_together_are_the_whole() -> None:
    windows = [(START, date(2022, 7, 4)), (date(2022, 7, 5), date(2022, 7, 5)), (date(2022, 7, 6), date(2022, 12, 30))]
    parts = []
    for first, last in windows:
        wanted = query(first, last)
        parts.append(admitted("treasury_rates", drive(SOURCE, wanted, present(), site.SITE), wanted).rows)
    whole = query(START, date(2022, 12, 30))
    expected = admitted("treasury_rates", drive(SOURCE, whole, present(), site.SITE), whole).rows
    assert_same(pd.concat(parts), expected, ["known_on", "event_date", "tenor"], ["rate"])


@pytest.mark.parametrize(("hour", "last"), [(16, date(2022, 7, 6)), (17, date(2022, 7, 7))])
def test_a_yield_does_not_show_before_its_release(hour: int, last: date) -> None:
    now = datetime(2022, 7, 8, hour, tzinfo=calendar.NEW_YORK)
    rows = drive(SOURCE, query(date(2022, 7, 1), date(2022, 7, 8), now), present(now), site.SITE).rows
    assert rows["event_date"].max() == last


@pytest.mark.parametrize("header", ["observation_date,DGS10", "DATE,DGS10"])
def test_both_names_of_the_day_and_missing_values(header: str) -> None:
    reading = read(f"{header}\n2024-05-24,4.46\n2024-05-27,.\n2024-05-28,\n2024-05-29,4.61\n")
    assert reading.rows["rate"].tolist() == [0.0446, 0.0461]
    assert reading.rows["known_on"].tolist() == [date(2024, 5, 28), date(2024, 5, 30)]  # over Memorial Day
    assert reading.bad.empty


def test_several_series_in_any_order_and_unknown_ones() -> None:
    rows = read("observation_date,DGS10,GDP,DGS2\n2024-05-24,4.46,7,4.93\n").rows
    assert rows[["tenor", "rate"]].to_numpy().tolist() == [["10y", 0.0446], ["2y", 0.0493]]


@pytest.mark.parametrize(
    "line", ["2024-05-24", "24.05.2024,4.4", "2024-05-24,four", "2024-05-24,nan", "2024-05-24,1e9"]
)
def test_a_line_that_cannot_be_read_is_refused(line: str) -> None:
    reading = read(f"observation_date,DGS10\n{line}\n2024-05-29,4.61\n")
    assert len(reading.rows) == len(reading.bad) == 1


@pytest.mark.parametrize("text", ["", "<html>Bad Request</html>", "observation_date,GDP\n2024-01-01,1\n", "\x00\n"])
def test_what_is_no_file_of_yields_breaks_a_rule(text: str) -> None:
    with pytest.raises(LayoutError, match="the first line names"):
        read(text)


@settings(max_examples=200, deadline=None)
@given(cut=st.integers(0, 60), junk=st.binary(max_size=8))
def test_damaged_bytes_never_crash(cut: int, junk: bytes) -> None:
    whole = b"observation_date,DGS10\n2024-05-24,4.46\n2024-05-27,.\n"
    wanted = query()
    for content in (whole[:cut] + junk, whole[:cut] + junk + whole[cut:]):
        try:
            fred.read([page(content)], wanted)
        except LayoutError as error:
            assert error.page is not None
