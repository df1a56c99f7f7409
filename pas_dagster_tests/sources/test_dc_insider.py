"""The scores: worked by hand, the same as the sandbox's own plain reckoning, and blind to the future."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pas_dagster.schemas import TABLES
from pas_dagster.sources.dc_insider import scores
from pas_dagster_tests.sources.federal import END, START, world

DAY = date(2024, 6, 3)
INPUTS = ("politician_trades", "lobbying", "gov_contracts")


def rows(name: str, *facts: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(facts) if facts else TABLES[name].empty()


def trade(symbol: str, amount: float, direction: str = "buy", known: date = DAY, kind: str = "stock") -> dict[str, Any]:
    known_on = pd.Timestamp(known)
    return {"known_on": known_on, "symbol": symbol, "asset_type": kind, "direction": direction, "amount_mid": amount}


def report(
    symbol: str | None, amount: float | None, registrant: str | None = "FIRM", known: date = DAY, **more: Any
) -> dict[str, Any]:
    plain = {
        "client": symbol,
        "quarter": "2024Q1",
        "filing_id": f"{symbol}{amount}{registrant}{known}",
        "known_at": None,
    }
    known_on = pd.Timestamp(known)
    return {"known_on": known_on, "symbol": symbol, "amount": amount, "registrant": registrant, **plain, **more}


def action(symbol: str | None, amount: float, known: date = DAY) -> dict[str, Any]:
    return {"known_on": pd.Timestamp(known), "symbol": symbol, "amount": amount}


def on(day: date, *, trades: Any = (), reports: Any = (), actions: Any = ()) -> pd.DataFrame:
    given = (rows("politician_trades", *trades), rows("lobbying", *reports), rows("gov_contracts", *actions))
    return scores(*given, [day]).set_index("symbol")


def test_the_score_is_the_mean_of_three_percentiles_and_a_missing_leg_counts_as_nothing() -> None:
    found = on(
        DAY,
        trades=[trade("A", 8000.5), trade("B", 8000.5, "sell"), trade("C", 8000.5)],
        reports=[report("A", 50_000), report("B", 90_000)],
        actions=[action("A", -5.0)],
    )
    assert found.columns.tolist() == ["known_on", "event_date", "score", "congress", "lobbying", "contracts"]
    assert found["congress"].round(3).to_dict() == {"A": 83.333, "B": 33.333, "C": 83.333}
    assert found["lobbying"].fillna(-1).to_dict() == {"A": 50.0, "B": 100.0, "C": -1}
    assert found["contracts"].fillna(-1).to_dict() == {"A": 100.0, "B": -1, "C": -1}
    assert found["score"].round(3).to_dict() == {"A": 77.778, "B": 44.444, "C": 27.778}


def test_first_in_all_three_is_a_hundred() -> None:
    found = on(DAY, trades=[trade("A", 1.0)], reports=[report("A", 1.0)], actions=[action("A", 1.0)])
    assert found["score"].tolist() == [100.0]


def test_only_purchases_and_sales_of_stock_count_for_congress() -> None:
    others = [trade("A", 1.0, "exchange"), trade("B", 1.0, kind="option"), trade("SPY", 1.0, kind="etf")]
    assert on(DAY, trades=others).empty


@pytest.mark.parametrize(("offset", "counts"), [(-1, False), (0, True), (364, True), (365, False)])
def test_a_record_counts_from_the_day_it_is_known_for_365_days(offset: int, counts: bool) -> None:
    day = DAY + timedelta(offset)
    for found in (
        on(day, trades=[trade("A", 1.0)]),
        on(day, reports=[report("A", 1.0)]),
        on(day, actions=[action("A", 1.0)]),
    ):
        assert (not found.empty) is counts


def lobbying_order(day: date, *reports: dict[str, Any]) -> list[str]:
    """Symbols that lobby, from the least to the most."""
    found = on(day, reports=[*reports, report("M", 100.0)])
    return found["lobbying"].sort_values().index.tolist()


def test_an_amended_report_replaces_the_one_before_from_its_day_on() -> None:
    later = DAY + timedelta(30)
    reports = report("A", 500.0), report("A", 20.0, known=later, amendment=True)
    assert lobbying_order(later - timedelta(1), *reports) == ["M", "A"]
    assert lobbying_order(later, *reports) == ["A", "M"]


def test_reports_of_several_firms_and_quarters_add_up() -> None:
    two = report("A", 60.0), report("A", 60.0, "OTHER"), report("B", 60.0), report("B", 30.0, quarter="2024Q2")
    assert lobbying_order(DAY, *two) == ["B", "M", "A"]


def test_fees_of_firms_do_not_count_for_a_quarter_the_company_reports_itself() -> None:
    later = DAY + timedelta(5)
    reports = report("A", 150.0), report("A", 90.0, "a", known=later)
    assert lobbying_order(later - timedelta(1), *reports) == ["M", "A"]
    assert lobbying_order(later, *reports) == ["A", "M"]


def test_reports_without_a_registrant_replace_each_other_never() -> None:
    assert lobbying_order(DAY, report("A", 60.0, None), report("A", 61.0, None)) == ["M", "A"]


def test_whoever_spends_nothing_or_is_not_listed_is_in_no_leg() -> None:
    assert on(DAY, reports=[report("A", None), report(None, 5.0)], actions=[action(None, 5.0)]).empty


def test_nothing_known_gives_no_rows_of_the_right_types() -> None:
    empty = scores(*(TABLES[name].empty() for name in INPUTS), [DAY])
    assert empty.empty
    assert empty["known_on"].dtype == np.dtype("datetime64[us]")
    assert TABLES["dc_insider_scores"].conform(empty.assign(provider="computed")).empty


def test_the_sandbox_reckons_the_same_in_its_own_way() -> None:
    found = scores(*(world().table(name) for name in INPUTS), pd.date_range(START, END))
    expected = world().table("dc_insider_scores")
    assert len(found) > 30_000
    pd.testing.assert_frame_equal(
        found.astype({"symbol": object}), expected.astype({"symbol": object}), check_exact=False, rtol=0, atol=2e-6
    )


def test_a_days_scores_depend_on_nothing_known_later_nor_on_the_other_days() -> None:
    day = pd.Timestamp(2024, 8, 9)
    whole = scores(*(world().table(name) for name in INPUTS), pd.date_range(START, END))
    tables = (world().table(name) for name in INPUTS)
    alone = scores(*(table[table["known_on"] <= day] for table in tables), [day.date()])
    pd.testing.assert_frame_equal(alone, whole[whole["known_on"] == day].reset_index(drop=True))


def test_rows_obey_the_rules_of_their_table() -> None:
    table = TABLES["dc_insider_scores"]
    found = scores(*(world().table(name) for name in INPUTS), pd.date_range(date(2024, 11, 1), END))
    assert table.check(table.conform(found.assign(provider="computed"))).bad.empty
