"""A calendar of decisions that the user keeps."""

from __future__ import annotations

import pandas as pd

from pas_dagster_tests.sources.files.homes import Home

DAY = pd.Timestamp
HEADER = "ticker,drug,indication,event_type,event_date,date_precision,source_url,first_seen\n"


def test_a_calendar_is_known_when_first_seen_and_expected_by_the_end_of_its_period(home: Home) -> None:
    text = HEADER.replace("drug", "company,drug") + (
        "abcd,,Xelvorin,Lupus,PDUFA,2025-07-01,day,https://x,2025-01-10\n"
        "ABCD,,Tarzumab,,PDUFA,2025-08,month,https://x,2025-01-11\n"
        "BRK-B,,Quinstat,Asthma,AdCom,2025-05-02,quarter,,2025-01-12\n"
        ",Ostermark AG,Brominol,Gout,PDUFA,2025-03-03,half,,2025-01-13\n"
    )
    parsed = home.parse("catalyst_events", home.file("c.csv", text))
    assert parsed.rows["known_on"].tolist() == [DAY(f"2025-01-{day}") for day in (10, 11, 12, 13)]
    assert (parsed.rows["event_date"] == parsed.rows["known_on"]).all()
    expected = ["2025-07-01", "2025-08-31", "2025-06-30", "2025-06-30"]
    assert parsed.rows["expected_on"].tolist() == [DAY(day) for day in expected]
    assert parsed.rows["symbol"].fillna("").tolist() == ["ABCD", "ABCD", "BRK.B", ""]
    assert parsed.rows["company"].tolist() == ["ABCD", "ABCD", "BRK.B", "Ostermark AG"]
    assert parsed.rows["kind"].tolist() == ["pdufa", "pdufa", "adcom", "pdufa"]
    assert parsed.rows["product"].tolist()[:2] == ["Xelvorin in Lupus", "Tarzumab"]
    assert parsed.rows["event_id"].tolist()[0] == "abcd:xelvorin"


def test_days_as_web_pages_write_them(home: Home) -> None:
    text = HEADER + (
        "A,a,,PDUFA,1.15.2025,,,2024-12-01\n"
        "A,b,,PDUFA,07/02/2024 ET,,,2024-06-01\n"
        "A,c,,PDUFA,soon,,,2024-06-01\n"
        "A,d,,PDUFA,2024-07-01,fortnight,,2024-06-01\n"
        "A,e,,,2024-07-01,,,2024-06-01\n"
        ",f,,PDUFA,2024-07-01,,,2024-06-01\n"
    )
    parsed = home.parse("catalyst_events", home.file("c.csv", text), max_bad="0.9")
    assert sorted(parsed.rows["expected_on"]) == [DAY("2024-07-02"), DAY("2025-01-15")]
    assert parsed.bad.sort_values("row_number")["reason"].tolist() == [
        "event_date 'soon' is not a day",
        "date_precision 'fortnight' must be one of day, month, quarter, half, year",
        "event_type is missing",
        "neither ticker nor company is given",
    ]


def test_a_new_date_of_an_event_keeps_its_name(home: Home) -> None:
    text = HEADER + "A,Xel,,PDUFA,2025-07-01,,,2025-01-10\nA,xel ,,PDUFA,2025-10-01,,,2025-05-02\n"
    rows = home.parse("catalyst_events", home.file("c.csv", text)).rows
    assert rows["event_id"].nunique() == 1
    assert rows["expected_on"].tolist() == [DAY("2025-07-01"), DAY("2025-10-01")]
