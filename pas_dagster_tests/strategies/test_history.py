"""The cut, and which company a symbol means on a day."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from pas_dagster.strategies.contract import Weights, WeightsError
from pas_dagster.strategies.history import AsOf, History, LookbackError, Window
from pas_dagster_tests.strategies.frames import frame, member, prices, symbol_change, trade, trades, universe

READS = {"politician_trades": Window(), "universe": Window(), "prices": Window(sessions=30)}


def as_of(day: str, changes: list[dict[str, object]] | None = None, **tables: pd.DataFrame) -> AsOf:
    actions = {} if changes is None else {"corporate_actions": frame(changes)}
    return History(tables | actions).as_of(date.fromisoformat(day), READS)


def named(day: str, changes: list[dict[str, object]], *rows: tuple[str, str]) -> list[str]:
    """What trades known on a day under a symbol are called at the decision."""
    table = trades(*(trade(known, symbol=symbol) for known, symbol in rows))
    return as_of(day, changes, politician_trades=table).table("politician_trades")["symbol"].tolist()


# The fund META became METV, and half a year later FB became META.
META = [symbol_change("META", "METV", "2022-01-31"), symbol_change("FB", "META", "2022-06-09")]


def test_a_symbol_means_who_had_it_on_the_day_of_the_row():
    rows = [("2021-05-03", "FB"), ("2021-05-03", "META"), ("2022-03-01", "METV"), ("2022-07-01", "META")]
    assert named("2022-08-01", META, *rows) == ["META", "METV", "METV", "META"]
    assert named("2022-05-02", META, *rows) == ["FB", "METV", "METV"]
    assert named("2022-01-31", META, *rows) == ["FB", "META"]  # known on the day only


def test_a_late_filing_under_the_old_symbol_means_the_company_that_had_it():
    assert named("2022-08-01", META, ("2022-03-01", "META"), ("2022-07-01", "FB")) == ["METV", "META"]


def test_a_chain_of_changes_and_two_that_swap_symbols():
    chain = [symbol_change("A", "B", "2022-01-31"), symbol_change("B", "C", "2022-06-09")]
    assert named("2022-08-01", chain, ("2021-05-03", "A"), ("2022-03-01", "B")) == ["C", "C"]
    swap = [symbol_change("A", "B", "2022-01-31"), symbol_change("B", "A", "2022-01-31")]
    rows = [("2021-05-03", "A"), ("2021-05-03", "B"), ("2022-03-01", "A"), ("2022-03-01", "B")]
    assert named("2022-08-01", swap, *rows) == ["B", "A", "A", "B"]


def test_who_lost_a_symbol_without_a_change_of_its_own_is_not_taken_for_its_next_holder():
    assert named("2022-08-01", META[1:], ("2021-05-03", "META"), ("2022-07-01", "META"))[1:] == ["META"]
    assert named("2022-08-01", META[1:], ("2021-05-03", "META")) != ["META"]


def test_an_announced_change_takes_effect_on_its_day():
    change = [symbol_change("FB", "META", "2022-06-09", known_on="2022-05-31")]
    assert named("2022-06-08", change, ("2021-05-03", "FB")) == ["FB"]
    assert named("2022-06-09", change, ("2021-05-03", "FB")) == ["META"]


def test_universe_rows_of_a_change_leave_one_listing_whatever_their_order():
    for old, new in (("AAA", "ZZZ"), ("ZZZ", "AAA")):
        change = [symbol_change(old, new, "2022-06-09", known_on="2022-05-31")]
        rows = [
            member(old, "2020-01-02"),
            *sorted([member(old, "2022-06-09", "remove"), member(new, "2022-06-09")], key=str),
        ]
        told = frame([*rows, member("OTHER", "2020-01-02")])
        assert as_of("2022-06-10", change, universe=told).universe.index.tolist() == sorted([new, "OTHER"])
        silent = universe(old, "OTHER", since="2020-01-02")
        assert as_of("2022-06-10", change, universe=silent).universe.index.tolist() == sorted([new, "OTHER"])


def test_a_symbol_listed_again_is_another_company():
    listed = frame([member("FB", "2020-01-02"), member("FB", "2023-03-01")])
    assert as_of("2023-06-01", META, universe=listed).universe.index.tolist() == ["FB", "META"]


def bars_of(**symbols: tuple[int, int]) -> pd.DataFrame:
    """20 sessions to 2022-06-22; each symbol has bars from and to a position, its return is its first letter's."""
    values = {}
    for symbol, (first, last) in symbols.items():
        values[symbol] = np.full(20, np.nan)
        values[symbol][first:last] = ord(symbol[0]) / 1e4
    return prices(values, last="2022-06-22")


def test_a_panel_follows_a_company_and_keeps_its_successor_apart():
    table = bars_of(FB=(0, 10), META=(10, 20))
    change_day = str(table.loc[table["symbol"] == "META", "known_on"].min().date())
    changes = [symbol_change("FB", "META", change_day)]
    returns = as_of("2022-06-23", changes, prices=table).returns(20)
    assert returns.columns.tolist() == ["META"]
    assert returns["META"].notna().all()

    reused = pd.concat([table, bars_of(FB=(15, 20))]).sort_values("known_on", kind="stable", ignore_index=True)
    again = as_of("2022-06-23", changes, prices=reused).returns(20)
    assert sorted(again.columns) == ["FB", "META"]
    assert again["FB"].notna().sum() == 5
    assert again["META"].notna().all()


def test_a_panel_has_one_column_a_symbol_when_a_dead_company_s_symbol_is_taken():
    table = bars_of(XX=(0, 8), OLD=(0, 10)).pipe(
        lambda rows: pd.concat([rows, bars_of(XX=(10, 20))]).sort_values("known_on", kind="stable", ignore_index=True)
    )
    day = str(table["known_on"].unique()[10].date())
    returns = as_of("2022-06-23", [symbol_change("OLD", "XX", day)], prices=table).returns(20, ["XX"])
    assert returns["XX"].notna().all()
    assert returns["XX"].iloc[0] == ord("O") / 1e4


def test_a_change_that_was_not_known_yet_does_not_join_two_lines_of_bars():
    table = bars_of(FB=(0, 10), META=(10, 20))
    effective = str(table["known_on"].unique()[10].date())
    history = History(
        {"prices": table, "corporate_actions": frame([symbol_change("FB", "META", effective, "2022-06-21")])}
    )
    seen = history.as_of(date(2022, 6, 21), READS).returns(20)
    blind = history.before(date(2022, 6, 21)).as_of(date(2022, 6, 21), READS).returns(20)
    pd.testing.assert_frame_equal(seen, blind)
    assert sorted(seen.columns) == ["FB", "META"]
    assert history.as_of(date(2022, 6, 22), READS).returns(20).columns.tolist() == ["META"]


def test_a_session_of_which_nothing_is_known_yet_is_not_in_the_panel():
    table = bars_of(AAA=(0, 20))
    gap = table[table["known_on"] != pd.Timestamp("2022-06-17")]
    history = History({"prices": gap})
    seen = history.as_of(date(2022, 6, 21), READS).returns(5)  # the 20th is a holiday
    pd.testing.assert_frame_equal(seen, history.before(date(2022, 6, 21)).as_of(date(2022, 6, 21), READS).returns(5))
    assert seen.index[-1] == pd.Timestamp("2022-06-16")


def test_prices_are_read_only_and_the_look_back_is_held():
    data = as_of("2022-06-23", prices=bars_of(AAA=(0, 20)))
    with pytest.raises(ValueError, match="read-only"):
        data.returns(20).to_numpy()[0, 0] = 1.0
    frame = data.returns(20)
    with pytest.raises(ValueError, match="read-only"):
        frame.iloc[0, 0] = 1.0
    assert (frame + 1).iloc[0, 0] > 1
    with pytest.raises(LookbackError):
        data.returns(31)
    with pytest.raises(LookbackError):
        data.table("lobbying")


def test_the_universe_follows_the_decisions_in_any_order():
    listed = frame([member("AAA", "2020-01-02"), member("BBB", "2021-01-04"), member("AAA", "2022-01-03", "remove")])
    history = History({"universe": listed})
    found = [
        history.as_of(day, READS).universe.index.tolist()
        for day in (date(2022, 6, 1), date(2020, 6, 1), date(2021, 6, 1), date(2020, 6, 1))
    ]
    assert found == [["BBB"], ["AAA"], ["AAA", "BBB"], ["AAA"]]


def test_leaving_one_index_is_not_leaving_the_market():
    listed = frame(
        [member("AAA", "2020-01-02", index="ALL"), member("AAA", "2020-01-02", index="SP500")]
        + [member("AAA", "2021-01-04", "remove", index="SP500")]
    )
    history = History({"universe": listed}, "SP500")
    assert history.as_of(date(2020, 6, 1), READS).stocks() == ["AAA"]
    assert history.as_of(date(2021, 6, 1), READS).stocks() == []
    assert history.as_of(date(2021, 6, 1), READS).universe.loc["AAA", "indexes"] == {"ALL"}


def test_a_line_break_is_no_part_of_a_symbol():
    with pytest.raises(WeightsError, match="is not a symbol"):
        Weights({"AAPL\n": 1.0})


def test_a_symbol_handed_over_within_a_day_stays_listed():
    day = [member("AAA", "2021-01-04"), member("AAA", "2021-01-04", "remove")]
    for rows in (day, day[::-1]):
        listed = frame([member("AAA", "2020-01-02"), *rows])
        assert as_of("2021-01-05", universe=listed).universe.index.tolist() == ["AAA"]
