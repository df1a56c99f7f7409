"""The layouts on real files. They are not part of the project: `homes.recorded` says where they are looked for."""

from typing import Any

import pytest

from pas_dagster.schemas import TABLES
from pas_dagster.sources.files import readers
from pas_dagster.sources.files.layouts import Context, prices
from pas_dagster.sources.files.layouts.universe import recycled_symbols
from pas_dagster.sources.files.options import Options
from pas_dagster_tests.recorded import recorded
from pas_dagster_tests.sources.files.homes import START, TODAY, Home

pytestmark = pytest.mark.shared


@pytest.mark.parametrize(
    ("dataset", "path", "options", "rows", "bad"),
    [
        ("prices", "prices/etf_adjclose_daily_1993_2026.csv.gz", {"kind": "etf"}, 396_414, 1),
        ("prices", "prices/etf_ohlcv_yahoo_raw_2016_2021.csv.gz", {}, 51_578, 0),
        ("prices", "prices/alpaca_iex_bars_adjall_daily_2020_2025.csv.gz", {"adjusted": "true"}, 25_941, 1),
        ("sp500_index", "prices/gspc_ohlcv_daily_1990_2026.csv.gz", {}, 2_926, 0),
        ("politician_trades", "congress/house_ptr_transactions_2020_2026.csv.gz", {}, 32_646, 30),
        ("politician_trades", "quiver/api_v2_bulk_congresstrading_senate_cache.csv.gz", {}, 11_757, 10),
        ("fama_french_factors", "fama_french/F-F_Research_Data_5_Factors_2x3_daily_to_2024-12.CSV.gz", {}, 2_557, 0),
        ("fama_french_factors", "fama_french/F-F_Research_Data_Factors_daily_raw_to_2024-08.CSV.gz", {}, 2_473, 0),
        ("treasury_rates", "prices/fred_tbill-3m.csv.gz", {"tenor": "3m"}, 2_883, 13),
        ("universe", "constituents/sp500_ticker_start_end.csv", {}, 993, 0),
        ("universe", "constituents/sp500_current_2026-08.csv", {}, 503, 0),
        ("universe", "prices/universe_flags.csv", {}, 2_507, 0),
    ],
)
def test_counts(home: Home, dataset: str, path: str, options: dict[str, Any], rows: int, bad: int) -> None:
    parsed = home.parse(dataset, recorded(path), **options)
    assert (len(parsed.rows), len(parsed.bad)) == (rows, bad)


def test_a_wide_file_of_a_thousand_stocks_is_read_whole() -> None:
    path = recorded("prices/stocks_sp1500_adjclose_daily_2015_2026.parquet")
    recycled = recycled_symbols(recorded("prices/universe_flags.csv"))
    context = Context(TABLES["prices"], path.name, Options(exclude=recycled), TODAY, START)
    shaped = prices.wide(readers.read_table(path), context)
    assert len(shaped.rows) == 2_651_826
    assert len(shaped.faults) == len(shaped.extra["corporate_actions"]) == 6
    assert len(recycled) == 96
