from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.strategies.congress import congress_aggregate
from pas_dagster.strategies.contract import NotEnoughData
from pas_dagster_tests.strategies.frames import decide, frame, member, symbol_change, trade, trades, universe

DAY = "2024-07-01"
LISTED = universe("AAPL", "MSFT", "BRK.B", "XLK", "NVDA", "RTN", "RTX")


def run(*rows: dict[str, object], day: str = DAY, listed: pd.DataFrame = LISTED, **tables: pd.DataFrame) -> list[str]:
    return sorted(decide(congress_aggregate, day, politician_trades=trades(*rows), universe=listed, **tables))


def test_a_sale_in_full_or_in_part_is_a_sale():
    bought = trade("2024-06-10", symbol="AAPL")
    for extent in ("full", "partial", None):
        sold = trade("2024-06-11", symbol="AAPL", direction="sell", extent=extent, amount_mid=32_500.5)
        assert run(bought, sold, trade("2024-06-12", symbol="MSFT")) == ["MSFT"]


def test_equal_weight_of_the_largest_nets_from_both_chambers():
    rows = [
        trade("2024-06-10", symbol="AAPL", amount_mid=10.0, chamber="house"),
        trade("2024-06-10", symbol="AAPL", amount_mid=10.0, chamber="senate"),
        trade("2024-06-10", symbol="MSFT", amount_mid=15.0),
        trade("2024-06-10", symbol="NVDA", amount_mid=14.0),
    ]
    weights = decide(
        congress_aggregate.with_parameters({"top_n": 2}), DAY, politician_trades=trades(*rows), universe=LISTED
    )
    assert weights == {"AAPL": 0.5, "MSFT": 0.5}


def test_ties_go_by_symbol():
    rows = [trade("2024-06-10", symbol=symbol) for symbol in ("NVDA", "MSFT", "AAPL")]
    top = congress_aggregate.with_parameters({"top_n": 2})
    assert sorted(decide(top, DAY, politician_trades=trades(*rows), universe=LISTED)) == ["AAPL", "MSFT"]


@pytest.mark.parametrize(("filed", "seen"), [("2024-05-31", False), ("2024-06-01", True), ("2024-06-30", True)])
def test_the_window_is_thirty_days_of_filing_not_of_trading(filed: str, seen: bool):
    late = trade(filed, event_date="2023-11-01", symbol="AAPL")
    assert run(late, trade("2024-06-15", symbol="MSFT")) == (["AAPL", "MSFT"] if seen else ["MSFT"])


def test_a_filing_of_the_decision_day_is_not_seen_although_its_trade_is_old():
    today = trade(DAY, event_date="2024-06-03", symbol="AAPL")
    assert run(today, trade("2024-06-15", symbol="MSFT")) == ["MSFT"]
    with pytest.raises(NotEnoughData):
        run(today)


@pytest.mark.parametrize("asset_type", ["option", "bond", "other"])
def test_only_stocks_and_funds_count(asset_type: str):
    assert run(trade("2024-06-10", symbol="AAPL", asset_type=asset_type), trade("2024-06-10", symbol="MSFT")) == [
        "MSFT"
    ]
    assert run(trade("2024-06-10", symbol="XLK", asset_type="etf")) == ["XLK"]


def test_an_exchange_and_an_unknown_amount_add_nothing():
    rows = [
        trade("2024-06-10", symbol="AAPL", direction="exchange"),
        trade("2024-06-10", symbol="MSFT", amount_mid=np.nan),
        trade("2024-06-10", symbol="NVDA"),
    ]
    assert run(*rows) == ["NVDA"]


def test_a_line_counts_once_and_equal_lines_are_separate_lots():
    again = {"filing_id": "F1", "line": 1, "symbol": "AAPL", "amount_mid": 10.0}
    sold = trade("2024-06-20", symbol="AAPL", direction="sell", amount_mid=15.0)
    keep = trade("2024-06-10", symbol="MSFT")
    assert run(trade("2024-06-10", **again), trade("2024-06-11", **again), sold, keep) == ["MSFT"]
    assert run(trade("2024-06-10", **again), trade("2024-06-10", **again | {"line": 2}), sold, keep) == ["AAPL", "MSFT"]


def test_a_line_published_again_counts_as_corrected():
    rows = [trade("2024-06-10", filing_id="F1", symbol="AAPL"), trade("2024-06-12", filing_id="F1", symbol="MSFT")]
    assert run(*rows) == ["MSFT"]


def test_rows_without_a_filing_number_are_not_taken_for_one():
    rows = [trade("2024-06-10", filing_id=None, symbol=symbol) for symbol in ("AAPL", "MSFT")]
    assert run(*rows) == ["AAPL", "MSFT"]


def test_symbols_with_a_class_count_and_malformed_or_missing_ones_do_not():
    rows = [trade("2024-06-10", symbol=symbol) for symbol in ("BRK.B", "RTN  RTX", None, "--", "AAPL\n")]
    assert run(*rows, listed=universe("BRK.B", "RTN  RTX", "--", "AAPL\n", "AAPL", "RTN")) == ["BRK.B"]


def test_what_is_not_listed_at_the_decision_is_not_bought():
    listed = frame(
        [member("AAPL", "2020-01-02"), member("TWTR", "2020-01-02"), member("TWTR", "2024-06-20", "remove")]
        + [member("NEWCO", DAY)]
    )
    rows = [trade("2024-06-10", symbol=symbol) for symbol in ("AAPL", "TWTR", "NEWCO", "PRIVT")]
    assert run(*rows, listed=listed) == ["AAPL"]


def test_a_changed_symbol_is_one_company():
    changes = frame([symbol_change("FB", "META", "2024-06-12", known_on="2024-06-03")])
    listed = frame([member("FB", "2020-01-02"), member("FB", "2024-06-12", "remove"), member("META", "2024-06-12")])
    rows = [
        trade("2024-06-10", symbol="FB", amount_mid=10.0),
        trade("2024-06-20", symbol="META", direction="sell", amount_mid=6.0),
        trade("2024-06-21", symbol="FB", event_date="2024-06-05", direction="sell", amount_mid=3.0),
    ]
    assert run(*rows, listed=listed, corporate_actions=changes) == ["META"]
    rows.append(trade("2024-06-22", symbol="META", direction="sell", amount_mid=1.0))
    assert run(*rows, listed=listed, corporate_actions=changes) == []


def test_only_net_sales_mean_cash_and_no_disclosure_means_undecided():
    assert run(trade("2024-06-10", direction="sell", extent="full")) == []
    assert run(trade("2024-06-10"), trade("2024-06-10", direction="sell")) == []
    with pytest.raises(NotEnoughData, match="no congressional trade"):
        run(trade("2024-01-10"))


def oracle(rows: list[dict[str, object]], day: date, top: int) -> dict[str, float]:
    """The rule in exact arithmetic, one row at a time."""
    latest: dict[tuple[object, object], dict[str, object]] = {}
    for row in sorted(rows, key=lambda row: str(row["known_on"])):
        if day - timedelta(30) <= date.fromisoformat(str(row["known_on"])) < day:
            latest[row["filing_id"], row["line"]] = row
    nets: dict[str, Fraction] = {}
    for row in latest.values():
        if row["asset_type"] in ("stock", "etf") and row["symbol"] in ("AAPL", "MSFT", "BRK.B", "NVDA"):
            sign = {"buy": 1, "sell": -1}.get(str(row["direction"]), 0)
            symbol = str(row["symbol"])
            nets[symbol] = nets.get(symbol, Fraction(0)) + sign * Fraction(str(row["amount_mid"]))
    best = sorted((symbol for symbol in nets if nets[symbol] > 0), key=lambda symbol: (-nets[symbol], symbol))[:top]
    return {symbol: 1 / len(best) for symbol in sorted(best)}


ROWS = st.lists(
    st.builds(
        trade,
        st.dates(date(2024, 5, 20), date(2024, 7, 5)).map(str),
        filing_id=st.sampled_from(["A", "B", "C", "D", "E", "F"]),
        line=st.integers(1, 4),
        symbol=st.sampled_from(["AAPL", "MSFT", "BRK.B", "NVDA", "GONE", "A B"]),
        asset_type=st.sampled_from(["stock", "stock", "etf", "option"]),
        direction=st.sampled_from(["buy", "sell", "exchange"]),
        amount_mid=st.sampled_from([8_000.5, 32_500.5, 75_000.5]),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(1, 5))
def test_it_is_the_rule_in_exact_arithmetic(rows: list[dict[str, object]], top: int):
    strategy = congress_aggregate.with_parameters({"top_n": top})
    try:
        weights = decide(strategy, DAY, politician_trades=trades(*rows), universe=LISTED)
    except NotEnoughData:
        assert not [row for row in rows if "2024-06-01" <= str(row["known_on"]) < DAY]
    else:
        assert weights == oracle(rows, date.fromisoformat(DAY), top)
