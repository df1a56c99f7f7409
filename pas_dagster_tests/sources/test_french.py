"""Kenneth French's factors: two archives become one row a day, known when the month was published."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, date, datetime

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox.sites import french as site
from pas_dagster.sources import french
from pas_dagster.sources.page import Page
from pas_dagster.sources.source import LayoutError, Query, Reading
from pas_dagster_tests.recorded import recorded_bytes
from pas_dagster_tests.sources.driving import drive, page
from pas_dagster_tests.sources.markets import admitted, assert_same, present, query, truth

SOURCE = french.SOURCES[0]
FACTORS = ["mkt_rf", "smb", "hml", "rmw", "cma", "rf"]
THREE = "made of CRSP\r\n\r\n,Mkt-RF,SMB,HML,RF\r\n20240103,   -0.80,    0.13,    1.05,   0.022\r\n\r\nCopyright\r\n"
FIVE = "\r\n,Mkt-RF,SMB,HML,RMW,CMA,RF\r\n20240103,   -0.80,    0.31,    1.05,    0.05,   -0.10,   0.022\r\n"


def packed(text: str | bytes, name: str = "F-F.CSV") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)  # no time of today: it names a test
    return buffer.getvalue()


def pages(three: str | bytes = THREE, five: str | bytes = FIVE) -> list[Page]:
    return [page(packed(three), kind="three"), page(packed(five), kind="five")]


def read(three: str = THREE, five: str = FIVE) -> Reading:
    return french.read(
        pages(three, five), Query(date(2024, 1, 1), date(2024, 12, 31), datetime(2025, 1, 1, tzinfo=UTC))
    )


@pytest.mark.shared
def test_the_recorded_files_read_to_every_day_since_1990() -> None:
    """8,733 lines of each file begin with a day since 1990-01-01; counted with grep and awk."""
    names = ("F-F_Research_Data_Factors_daily_raw_to_2024-08", "F-F_Research_Data_5_Factors_2x3_daily_raw_to_2024-08")
    three, five = (recorded_bytes(f"fama_french/{name}.CSV.gz") for name in names)
    wanted = Query(date(1990, 3, 5), date(2024, 11, 1), datetime(2024, 11, 2, tzinfo=UTC))
    found = admitted("fama_french_factors", french.read(pages(three, five), wanted), wanted)
    assert found.refused.empty
    rows = found.rows.set_index("event_date")
    assert len(rows) == 8733
    assert rows.loc["2008-09-15", FACTORS].tolist() == [-0.0445, 0.0153, -0.0232, 0.0100, 0.0111, 0.00007]
    assert rows.loc["2020-03-16", FACTORS].tolist() == [-0.12, -0.0024, -0.0073, 0.0047, 0.0138, 0.00006]
    assert rows.loc["2024-08-30", "known_on"] == pd.Timestamp("2024-10-07")  # the 5th was a Saturday


@pytest.mark.shared
def test_before_1963_there_are_three_factors_only() -> None:
    three = recorded_bytes("fama_french/F-F_Research_Data_Factors_daily_raw_to_2024-08.CSV.gz")
    rows = list(french.parse(page(packed(three)), {"Mkt-RF": "mkt_rf", "RF": "rf"}, date(1900, 1, 1)))
    assert len(rows) == 25_817
    assert rows[0] == {"event_date": date(1926, 7, 1), "mkt_rf": 0.001, "rf": 0.00009}


def test_the_sandbox_comes_back_as_the_world_has_it() -> None:
    wanted = query()
    found = admitted("fama_french_factors", drive(SOURCE, wanted, present(), site.SITE), wanted)
    assert found.refused.empty
    assert_same(found.rows, truth("fama_french_factors", wanted), ["known_on", "event_date"], FACTORS)


def test_a_month_shows_and_counts_from_its_publication() -> None:
    for day, rows in ((date(2022, 5, 4), 0), (date(2022, 5, 5), 23)):
        now = datetime(day.year, day.month, day.day, 20, tzinfo=calendar.NEW_YORK)
        wanted = query(date(2022, 5, 1), day, now)
        found = admitted("fama_french_factors", drive(SOURCE, wanted, present(now), site.SITE), wanted)
        assert len(found.rows) == rows  # March 2022 had 23 sessions


def test_smb_is_that_of_the_three_and_rmw_that_of_the_five() -> None:
    row = read().rows.iloc[0]
    assert row[FACTORS].tolist() == [-0.008, 0.0013, 0.0105, 0.0005, -0.001, 0.00022]
    assert row["known_on"] == date(2024, 3, 5)


def test_columns_are_found_by_name() -> None:
    turned = "\n,RF,HML,Mkt-RF,Extra,SMB\n20240103, 0.022, 1.05, -0.80, 7, 0.13\n"
    assert read(turned).rows.iloc[0][["mkt_rf", "smb", "hml", "rf"]].tolist() == [-0.008, 0.0013, 0.0105, 0.00022]


@pytest.mark.parametrize("missing", ["-99.99", "-999"])
def test_missing_values_are_none_in_the_five_and_refused_in_the_three(missing: str) -> None:
    rows = read(five=FIVE.replace("0.05", missing)).rows
    assert rows["rmw"].isna().all()
    reading = read(THREE.replace("0.13", missing))
    assert reading.rows.empty
    assert reading.bad["reason"].tolist() == ["every factor of the file of three has a value"]


@pytest.mark.parametrize("line", ["20240199,1,1,1,1", "20240104,1,1,1", "20240104,a,1,1,1", "202401,1,1,1,1"])
def test_a_line_that_cannot_be_read_is_refused(line: str) -> None:
    reading = read(THREE.replace("\r\n\r\nCopyright", f"\r\n{line}\r\n\r\nCopyright"))
    assert len(reading.rows) == 1
    assert reading.bad["content"].tolist() == [line]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"<html>Not Found</html>", "zip archive"),
        (b"", "zip archive"),
        (packed(THREE)[:-30], "zip archive"),
        (packed(THREE, "readme.txt"), "one CSV"),
        (packed("nothing here"), "names the columns"),
        (packed(",Mkt-RF,SMB,RF\n20240103,1,1,1\n"), "names the columns"),
        (packed(",Mkt-RF,SMB,HML,RF\n\nCopyright\n"), "follow the header"),
    ],
)
def test_what_is_no_file_of_factors_breaks_a_named_rule(content: bytes, rule: str) -> None:
    with pytest.raises(LayoutError, match=rule):
        french.read([page(content, kind="three")], query())


def test_an_archive_that_unpacks_without_end_is_refused() -> None:
    bomb = packed(b"0" * ((64 << 20) + 1))
    with pytest.raises(LayoutError, match="at most"):
        french.read([page(bomb, kind="three")], query())


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 400), junk=st.binary(min_size=1, max_size=6), text=st.text(max_size=20))
def test_damaged_bytes_never_crash(at: int, junk: bytes, text: str) -> None:
    whole = packed(THREE)
    for content in (whole[:at] + junk + whole[at + len(junk) :], whole[:at], packed(THREE[: at % 120] + text)):
        for kind in ("three", "five"):
            try:
                french.read([page(content, kind=kind)], query())
            except LayoutError as error:
                assert error.page is not None
