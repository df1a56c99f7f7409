"""Every layout on a small file of its form."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from pas_dagster.errors import PasError
from pas_dagster_tests.sources.files.homes import Home

DAY = pd.Timestamp


def test_wide_prices(home: Home) -> None:
    path = home.file("w.csv", "Date,AAA,BRK-B\n2024-01-03,11,\n2024-01-02,10,5\n2024-01-04,9.9,6\n")
    rows = home.parse("prices", path).rows
    assert rows[["symbol", "close"]].to_numpy().tolist() == [
        ["AAA", 10.0],
        ["BRK.B", 5.0],
        ["AAA", 11.0],
        ["AAA", 9.9],
        ["BRK.B", 6.0],
    ]
    np.testing.assert_allclose(rows["total_return"], [np.nan, np.nan, 0.1, -0.1, 0.2])
    assert rows[["open", "high", "low", "volume"]].isna().all(axis=None)
    assert (rows["known_on"] == rows["event_date"]).all()
    assert rows["raw"].str.len().eq(64).all()


def test_a_jump_is_not_believed_but_positions_keep_their_value(home: Home) -> None:
    path = home.file("w.csv", "Date,AAA\n2024-01-02,10\n2024-01-03,40\n2024-01-04,44\n")
    parsed = home.parse("prices", path, max_bad="0.5")
    assert parsed.rows["close"].tolist() == [10.0, 44.0]
    np.testing.assert_allclose(parsed.rows["total_return"], [np.nan, 0.1])
    split = parsed.extra["corporate_actions"].iloc[0]
    assert (split["symbol"], split["kind"], split["value"]) == ("AAA", "split", 0.25)
    assert split["known_on"] == split["event_date"] == DAY("2024-01-03")
    shares = 100 * split["value"]
    assert shares * 44.0 == pytest.approx(100 * 10 * 1.1)
    assert parsed.bad["row_number"].tolist() == [2]
    assert "not believed" in parsed.bad["reason"][0]
    assert parsed.bad["content"][0] == '{"Date": "2024-01-03", "AAA": "40"}'


def test_excluded_columns_and_listing_of_funds(home: Home) -> None:
    path = home.file("w.csv", "Date,SPY,POM\n2024-01-02,10,1\n2024-01-03,10,1\n")
    parsed = home.parse("prices", path, exclude="POM", kind="etf")
    assert parsed.rows["symbol"].unique().tolist() == ["SPY"]
    listed = parsed.extra["universe"]
    assert listed[["symbol", "kind", "index_name", "action"]].to_numpy().tolist() == [["SPY", "etf", "ETF", "add"]]
    assert listed["known_on"].tolist() == [DAY("2024-01-02")]


def test_long_prices_with_dividends_and_splits(home: Home) -> None:
    text = (
        "Ticker,Date,Open,Close,Volume,Dividends,Stock Splits\n"
        "aaa,2024-01-02,100,100,5,0,0\naaa,2024-01-03,100,101,5,1,0\naaa,2024-01-04,51,51.5,5,0,2\n"
    )
    parsed = home.parse("prices", home.file("l.csv", text))
    np.testing.assert_allclose(parsed.rows["total_return"], [np.nan, 0.02, 103 / 101 - 1])
    actions = parsed.extra["corporate_actions"][["event_date", "kind", "value"]].to_numpy().tolist()
    assert actions == [[DAY("2024-01-03"), "dividend", 1.0], [DAY("2024-01-04"), "split", 2.0]]


def test_a_split_that_the_closes_are_adjusted_for_is_left_out(home: Home) -> None:
    text = "date,symbol,close,split\n2024-01-02,A,50,0\n2024-01-03,A,51,2\n"
    parsed = home.parse("prices", home.file("l.csv", text))
    assert parsed.rows["total_return"].iloc[1] == pytest.approx(0.02)
    assert not parsed.extra
    assert parsed.left_out == {"splits that the closes are adjusted for": 1}


def test_long_prices_under_a_map_and_from_instants(home: Home) -> None:
    text = "when,what,px\n2024-07-02 04:00:00+00:00,brk/b,1\n2024-07-03 04:00:00+00:00,brk/b,1.5\n"
    parsed = home.parse("prices", home.file("l.csv", text), {"date": "when", "symbol": "what", "close": "px"})
    assert parsed.rows["symbol"].tolist() == ["BRK.B", "BRK.B"]
    assert parsed.rows["known_on"].tolist() == [DAY("2024-07-02"), DAY("2024-07-03")]
    assert parsed.rows["total_return"].iloc[1] == pytest.approx(0.5)


def test_adj_close_gives_the_return(home: Home) -> None:
    text = "Date,Symbol,Close,Adj Close\n2024-01-02,A,10,5\n2024-01-03,A,10,5.1\n"
    rows = home.parse("prices", home.file("l.csv", text)).rows
    assert rows["close"].tolist() == [10.0, 10.0]
    assert rows["total_return"].iloc[1] == pytest.approx(0.02)


def test_sp500_index(home: Home) -> None:
    text = "date,open,high,low,close,volume\n2024-01-02,1,2,0.5,1.5,100\n"
    rows = home.parse("sp500_index", home.file("i.csv", text)).rows
    assert rows[["open", "high", "low", "close", "volume"]].iloc[0].tolist() == [1, 2, 0.5, 1.5, 100]


HOUSE = (
    "bioguide_id,declarant_name,chamber,party,state_district,transaction_date,disclosure_date,ticker,"
    "asset_description,asset_type,operation_type,amount_range,amount_midpoint,owner,doc_id\n"
)


def house(*lines: str) -> str:
    return HOUSE + "".join(f"P000197,Hon. Nancy Pelosi,house,Democrat,CA11,{line}\n" for line in lines)


def test_house_reports(home: Home) -> None:
    text = house(
        '2024-01-05,2024-01-20,NVDA,NVIDIA,Stock,Purchase,"$1,001 - $15,000",1,SP,7',
        '2024-01-05,2024-01-20,NVDA,NVIDIA,Stock,Purchase,"$1,001 - $15,000",1,SP,7',
        '2024-01-08,2024-01-20,RTN  RTX,Raytheon,Stock,Sale (Partial),"$15,001",1,JT,7',
        '2024-01-08,2024-01-22,--,US Treasury Bill,Gov Security,Sale (Full),"Over $50,000,000",1,SELF,8',
        '2024-01-08,2024-01-22,SPY,SPDR S&P 500 ETF,Stock,Exchange,"$50,001 - $100,000",1,SELF,8',
    )
    rows = home.parse("politician_trades", home.file("h.csv", text)).rows
    assert rows[["filing_id", "line"]].to_numpy().tolist() == [["7", 1], ["7", 2], ["7", 3], ["8", 1], ["8", 2]]
    assert rows["known_on"].iloc[0] == DAY("2024-01-20")
    assert rows["event_date"].iloc[0] == DAY("2024-01-05")
    assert set(rows["politician"]) == {"Nancy Pelosi"}
    assert set(rows["state"]) == {"CA"}
    assert rows["symbol"].fillna("-").tolist() == ["NVDA", "NVDA", "-", "-", "SPY"]
    assert rows["asset_type"].tolist() == ["stock", "stock", "stock", "bond", "etf"]
    assert rows["direction"].tolist() == ["buy", "buy", "sell", "sell", "exchange"]
    assert rows["extent"].fillna("-").tolist() == ["-", "-", "partial", "full", "-"]
    assert rows["amount_low"].tolist() == [1001, 1001, 15001, 50_000_001, 50_001]
    assert rows["amount_high"].fillna(0).tolist() == [15000, 15000, 50000, 0, 100_000]
    assert rows["amount_mid"].tolist() == [8000.5, 8000.5, 32500.5, 50_000_001, 75_000.5]


def test_house_lines_that_cannot_be(home: Home) -> None:
    good = '2024-01-05,2024-01-20,NVDA,NVIDIA,Stock,Purchase,"$1,001 - $15,000",1,SP,7'
    text = house(
        good,
        '2024-02-05,2024-01-20,A,A,Stock,Purchase,"$1,001 - $15,000",1,SP,7',
        '3031-02-05,2024-01-20,A,A,Stock,Purchase,"$1,001 - $15,000",1,SP,7',
        '2004-02-05,2024-01-20,A,A,Stock,Purchase,"$1,001 - $15,000",1,SP,7',
        '2024-01-05,2027-01-20,A,A,Stock,Purchase,"$1,001 - $15,000",1,SP,7',
        '2024-01-05,2024-01-20,A,A,Stock,Purchase,"$4,450",1,SP,7',
        '2024-01-05,2024-01-20,A,A,Stock,Gift,"$1,001 - $15,000",1,SP,7',
        good,
    )
    parsed = home.parse("politician_trades", home.file("h.csv", text), max_bad="0.9")
    assert parsed.rows["line"].tolist() == [1, 8]  # a refused line keeps its number
    assert dict(zip(parsed.bad["row_number"], parsed.bad["reason"], strict=True)) == {
        2: "filed before it was traded",
        3: "traded in the future",
        4: "traded before 2008",
        5: "known_on is in the future",
        6: "amount '$4,450' is no statutory bracket",
        7: "operation 'Gift' is not known",
    }


def test_quiver_bulk(home: Home) -> None:
    text = (
        "BioGuideID,Name,Ticker,Transaction,Traded,Filed,Trade_Size_USD,Party,State\n"
        "C001047,Shelley Moore Capito,AAPL,Sale (Full),2024-01-05,2024-01-20,1001.0,Republican,\n"
        "C001047,Shelley Moore Capito,AAPL,Purchase,2024-01-05,2024-01-20,15001.0,Republican,\n"
    )
    rows = home.parse("politician_trades", home.file("q.csv", text)).rows
    assert rows["filing_id"].unique().tolist() == ["quiver-C001047-2024-01-20"]
    assert rows["line"].tolist() == [1, 2]
    assert rows["amount_high"].tolist() == [15_000, 50_000]


def test_factors(home: Home) -> None:
    lines = "".join(f"202401{day:02}, 0.50, -0.25, 0.00, 0.020\r\n" for day in (2, 3, 4))
    text = f"Made in 2024.\r\n\r\n,Mkt-RF,SMB,HML,RF\r\n{lines}20240105,-99.99,0.1,0.1,0.02\r\n\r\nCopyright 2024\r\n"
    parsed = home.parse("fama_french_factors", home.file("f.csv", text), max_bad="0.5")
    assert parsed.rows[["mkt_rf", "smb", "rf"]].iloc[0].tolist() == [0.005, -0.0025, 0.0002]
    assert set(parsed.rows["known_on"]) == {DAY("2024-03-31")}  # 60 days after the month's end
    assert parsed.rows["rmw"].isna().all()
    assert parsed.bad["row_number"].tolist() == [4]
    assert parsed.bad["reason"][0].startswith("mkt_rf is missing")
    assert parsed.left_out == {"lines of prose": 1}


def test_treasury_rates(home: Home) -> None:
    path = home.file("r.csv", "date,rate_3m\n2024-01-02,5.25\n2024-01-03,.\n2024-01-04,5.2\n")
    parsed = home.parse("treasury_rates", path, tenor="3m")
    assert parsed.rows[["tenor", "rate"]].to_numpy().tolist() == [["3m", 0.0525], ["3m", 0.052]]
    assert parsed.left_out == {"days without a value": 1}
    with pytest.raises(PasError, match=r"r.csv.*--option tenor=3m"):
        home.parse("treasury_rates", path)


def test_spans_are_folded_into_the_first_day(home: Home) -> None:
    text = (
        "ticker,start_date,end_date\nOLD,1996-01-02,2010-01-04\nA,2000-06-05,\nB,1996-01-02,2020-03-02\nC,2021-05-03,\n"
    )
    parsed = home.parse("universe", home.file("u.csv", text))
    assert parsed.rows[["known_on", "symbol", "action", "index_name"]].to_numpy().tolist() == [
        [DAY("2015-01-01"), "A", "add", "sp500"],
        [DAY("2015-01-01"), "B", "add", "sp500"],
        [DAY("2020-03-02"), "B", "remove", "sp500"],
        [DAY("2021-05-03"), "C", "add", "sp500"],
    ]
    assert parsed.rows["event_date"].iloc[0] == DAY("2000-06-05")


def test_todays_members_are_no_members_in_the_past(home: Home) -> None:
    text = "Symbol,Security,GICS Sector,Date added\nBRK.B,Berkshire,Financials,2010-02-16\nX,New,Energy,2026-08-05\n"
    path = home.file("s.csv", text)
    rows = home.parse("universe", path).rows
    assert set(rows["known_on"]) == {DAY("2026-08-05")}
    assert rows[["symbol", "name", "sector", "index_name"]].iloc[0].tolist() == [
        "BRK.B",
        "Berkshire",
        "Financials",
        "sp500_current",
    ]
    assert set(home.parse("universe", path, known_on="2026-08-20").rows["known_on"]) == {DAY("2026-08-20")}


def test_flags(home: Home) -> None:
    text = (
        "ticker,file,first_date,last_date,gics_sector,possible_ticker_reuse\n"
        "A,sp1500,2015-01-02,2026-08-03,Energy,False\nGONE,sp1500,2016-01-04,2020-03-02,,False\n"
        "LATE,sp1500,2016-01-04,2026-07-31,,False\nPOM,sp1500,2016-01-04,2026-08-03,,True\n"
    )
    rows = home.parse("universe", home.file("flags.csv", text)).rows
    assert rows[["known_on", "symbol", "action"]].to_numpy().tolist() == [
        [DAY("2015-01-02"), "A", "add"],
        [DAY("2016-01-04"), "GONE", "add"],
        [DAY("2016-01-04"), "LATE", "add"],
        [DAY("2020-03-03"), "GONE", "remove"],
    ]


def test_generic_needs_no_layout(home: Home) -> None:
    text = "day,event_date,ticker,art,n\n2024-01-03,2024-01-02,AAPL,Apple Inc.,5000\n"
    columns = {"known_on": "day", "symbol": "ticker", "article": "art", "views": "n"}
    rows = home.parse("wiki_views", home.file("v.csv", text), columns).rows
    assert rows[["symbol", "article", "views"]].iloc[0].tolist() == ["AAPL", "Apple Inc.", 5000]
    assert rows["known_on"].iloc[0] == DAY("2024-01-03")


def test_rows_before_the_first_day_are_left_out(home: Home) -> None:
    path = home.file("w.csv", "Date,AAA\n2024-01-02,10\n2024-01-03,11\n")
    parsed = home.parse("prices", path, start=date(2024, 1, 3))
    assert parsed.rows["total_return"].tolist() == pytest.approx([0.1])  # against the bar that is left out
    assert parsed.left_out == {"known before the first day": 1}
