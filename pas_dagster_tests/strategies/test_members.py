from __future__ import annotations

import random
from datetime import date

import pytest

from pas_dagster.calendar import Cadence
from pas_dagster.strategies.contract import NotEnoughData, Strategy
from pas_dagster.strategies.members import follow_member, parse_name
from pas_dagster_tests.strategies.frames import decide, frame, member, symbol_change, trade, trades, universe

DAY = "2024-07-01"
LISTED = universe("AAPL", "MSFT", "BRK.B", "NVDA", "XLK")
PELOSI = follow_member("pelosi", "Nancy Pelosi")


def run(*rows: dict[str, object], strategy: Strategy = PELOSI, day: str = DAY, **tables) -> dict[str, float]:
    return decide(strategy, day, politician_trades=trades(*rows), **({"universe": LISTED} | tables))


def test_it_is_a_monthly_sleeve_named_after_its_key():
    assert (PELOSI.name, PELOSI.cadence) == ("follow_pelosi", Cadence.MONTHLY_FIRST_MON)
    assert PELOSI.title == "Following Nancy Pelosi"
    assert "disclosed" in PELOSI.rule


def test_only_the_member_is_followed():
    others = ["Paul Pelosi", "Nancy Mace", "Nancy Pelosi-Smith", "Nancy", "Pelosi", "", None, "Shelley Moore Capito"]
    rows = [trade("2024-06-10", politician=name, symbol="MSFT") for name in others]
    assert run(trade("2024-06-10", symbol="AAPL"), *rows) == {"AAPL": 1.0}
    with pytest.raises(NotEnoughData, match="no trade of Nancy Pelosi"):
        run(*rows)


@pytest.mark.parametrize(
    "spelling",
    [
        "nancy pelosi",
        "  NANCY   PELOSI ",
        "Hon. Nancy Pelosi",
        "Pelosi, Nancy",
        "Pelosi, Hon. Nancy",
        "Rep. Nancy Pelosi",
    ]
    + ["Nancy Patricia Pelosi", "Nancy P. Pelosi", "PELOSI, NANCY PATRICIA", "The Honorable Nancy Pelosi"],
)
def test_the_member_is_known_by_any_spelling(spelling: str):
    assert run(trade("2024-06-10", politician=spelling)) == {"AAPL": 1.0}
    assert run(trade("2024-06-10"), strategy=follow_member("p", spelling)) == {"AAPL": 1.0}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Capito, Shelley Moore", "Shelley Moore Capito"),
        ("David A Perdue , Jr", "Perdue, David A. (Jr.)"),
        ("Moore Capito, Shelley", "Senator Shelley Moore Capito"),
        ("Donald M. Payne, Jr.", "Payne, Donald M., Jr."),
        ("Alexandria Ocasio-Cortez", "Ocasio Cortez, Alexandria"),
        ("Beto O'Rourke", "Beto O’Rourke"),
        ("Ben Ray Luján", "Lujan, Ben Ray"),
    ],
)
def test_two_spellings_of_one_name(one: str, other: str):
    assert parse_name(one) == parse_name(other) is not None


def test_a_middle_name_that_fits_two_people_decides_nothing():
    rows = [
        trade("2024-06-10", politician="John B. Smith", symbol="AAPL"),
        trade("2024-06-10", politician="John C. Smith", symbol="MSFT"),
    ]
    with pytest.raises(NotEnoughData, match="'John Smith' fits John B. Smith, John C. Smith"):
        run(*rows, strategy=follow_member("smith", "John Smith"))
    assert run(*rows, strategy=follow_member("smith", "John Charles Smith")) == {"MSFT": 1.0}


def test_namesakes_are_told_apart_by_their_bioguide_ids():
    rows = [
        trade("2024-06-10", politician="Mike Rogers", bioguide_id="R000575", symbol="AAPL"),
        trade("2024-06-10", politician="Mike Rogers", bioguide_id="R000572", symbol="MSFT"),
    ]
    with pytest.raises(NotEnoughData, match="Bioguide"):
        run(*rows, strategy=follow_member("rogers", "Mike Rogers"))
    assert run(*rows, strategy=follow_member("rogers", "R000572")) == {"MSFT": 1.0}


def test_the_exact_name_wins_over_a_longer_one():
    rows = [
        trade("2024-06-10", politician="Donald Payne", bioguide_id="P000149", symbol="AAPL"),
        trade("2024-06-10", politician="Donald Payne Jr.", bioguide_id="P000604", symbol="MSFT"),
    ]
    assert run(*rows, strategy=follow_member("payne", "Donald Payne")) == {"AAPL": 1.0}
    assert run(*rows, strategy=follow_member("payne", "Payne, Donald, Jr.")) == {"MSFT": 1.0}


@pytest.mark.parametrize(("key", "name"), [("Pelosi!", "Nancy Pelosi"), ("pelosi", "Pelosi"), ("pelosi", "Hon. ")])
def test_a_key_or_name_that_cannot_be_meant_is_refused(key: str, name: str):
    with pytest.raises(ValueError, match=r"cannot end|neither"):
        follow_member(key, name)


def test_weights_are_the_dollars_held():
    rows = [
        trade("2023-01-10", symbol="AAPL", amount_mid=30.0),
        trade("2024-06-10", symbol="MSFT", amount_mid=20.0),
        trade("2024-06-11", symbol="AAPL", direction="sell", extent="partial", amount_mid=10.0),
        trade("2024-06-11", symbol="MSFT", direction="exchange", amount_mid=10.0),
        trade("2024-06-11", symbol="NVDA", asset_type="option", amount_mid=10.0),
    ]
    assert run(*rows) == {"AAPL": 0.5, "MSFT": 0.5}


@pytest.mark.parametrize(("extent", "left"), [("full", 0.0), ("partial", 20.0), (None, 20.0)])
def test_a_sale_in_full_sells_all_whatever_its_amount(extent: str | None, left: float):
    rows = [
        trade("2024-06-03", symbol="AAPL", amount_mid=30.0),
        trade("2024-06-03", symbol="MSFT", amount_mid=20.0),
        trade("2024-06-10", symbol="AAPL", direction="sell", extent=extent, amount_mid=10.0),
    ]
    assert run(*rows).get("AAPL", 0.0) == left / (left + 20.0)


def test_nobody_sells_more_than_is_held():
    rows = [
        trade("2024-06-03", symbol="AAPL", amount_mid=10.0),
        trade("2024-06-04", symbol="AAPL", direction="sell", extent="partial", amount_mid=50.0),
        trade("2024-06-05", symbol="AAPL", amount_mid=5.0),
    ]
    assert run(*rows) == {"AAPL": 1.0}
    assert run(*rows[:2]) == {}


def test_trades_are_taken_in_the_order_in_which_they_were_made():
    late = trade("2024-06-20", event_date="2024-01-05", symbol="AAPL", amount_mid=10.0)
    sold = trade("2024-06-10", event_date="2024-05-10", symbol="AAPL", direction="sell", extent="full")
    assert run(late, sold, trade("2024-06-01", symbol="MSFT")) == {"MSFT": 1.0}


def test_within_a_day_purchases_come_before_sales():
    sold = trade("2024-06-10", filing_id="F0", symbol="AAPL", direction="sell", extent="full")
    bought = trade("2024-06-10", filing_id="F9", symbol="AAPL")
    assert run(sold, bought) == {}


def test_a_trade_dated_after_its_filing_counts_as_of_the_filing():
    bought = trade("2024-06-03", event_date="3031-06-03", symbol="AAPL", amount_mid=10.0)
    sold = trade("2024-06-10", symbol="AAPL", direction="sell", extent="full")
    assert run(bought, sold) == {}


def test_a_line_published_twice_is_one_purchase():
    again = {"filing_id": "F1", "symbol": "AAPL", "amount_mid": 10.0}
    rows = [
        trade("2024-06-03", **again),
        trade("2024-06-04", **again),
        trade("2024-06-03", symbol="MSFT", amount_mid=10.0),
    ]
    assert run(*rows) == {"AAPL": 0.5, "MSFT": 0.5}


def test_a_filing_of_the_decision_day_is_not_seen():
    assert run(trade("2024-06-03"), trade(DAY, event_date="2024-05-03", symbol="MSFT")) == {"AAPL": 1.0}
    with pytest.raises(NotEnoughData):
        run(trade(DAY, event_date="2024-05-03"))


def test_what_is_no_longer_listed_leaves_its_share_to_the_others():
    listed = frame([member("AAPL", "2020-01-02"), member("GONE", "2020-01-02"), member("GONE", "2024-06-20", "remove")])
    rows = [trade("2024-06-03", symbol=symbol) for symbol in ("AAPL", "GONE", "PRIVT")]
    assert run(*rows, universe=listed) == {"AAPL": 1.0}
    assert run(*rows[1:], universe=listed) == {}


def test_holdings_go_on_under_a_changed_symbol():
    changes = frame([symbol_change("FB", "META", "2024-06-12")])
    listed = frame([member("FB", "2020-01-02"), member("FB", "2024-06-12", "remove"), member("META", "2024-06-12")])
    rows = [
        trade("2020-06-10", symbol="FB", amount_mid=30.0),
        trade("2024-06-20", symbol="META", direction="sell", extent="partial", amount_mid=10.0),
    ]
    assert run(*rows, universe=listed, corporate_actions=changes) == {"META": 1.0}
    assert run(*rows, day="2024-06-11", universe=listed, corporate_actions=changes) == {"FB": 1.0}


def test_it_is_the_rule_one_trade_at_a_time():
    rng = random.Random(5)
    symbols = ["AAPL", "MSFT", "BRK.B", "NVDA", "GONE"]
    for _ in range(40):
        rows = [
            trade(
                str(date.fromordinal(date(2024, 1, 2).toordinal() + rng.randrange(200))),
                politician=rng.choice(["Nancy Pelosi", "Pelosi, Nancy", "Nancy Mace"]),
                symbol=rng.choice(symbols),
                direction=rng.choice(["buy", "buy", "sell", "exchange"]),
                extent=rng.choice(["full", "partial"]),
                amount_mid=rng.choice([8.0, 32.0, 75.0]),
            )
            for _ in range(30)
        ]
        held = dict.fromkeys(symbols, 0.0)
        known = [row for row in rows if row["known_on"] < DAY and row["politician"] != "Nancy Mace"]
        for row in sorted(known, key=lambda row: (row["event_date"], row["direction"] == "sell", row["filing_id"])):
            if row["direction"] == "buy":
                held[row["symbol"]] += row["amount_mid"]
            if row["direction"] == "sell":
                left = 0.0 if row["extent"] == "full" else held[row["symbol"]] - row["amount_mid"]
                held[row["symbol"]] = max(left, 0.0)
        held["GONE"] = 0.0
        total = sum(held.values())
        expected = {symbol: usd / total for symbol, usd in sorted(held.items()) if usd}
        assert run(*rows) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("asked", "filed", "same"),
    [
        ("Shelley Moore Capito", "Shelley M Capito", True),
        ("Ron Wyden", "Ron L Wyden", True),
        ("Rafael E Cruz", "Rafael Edward (Ted) Cruz", True),
        ("Neal Dunn", "Dunn, Neal Patrick", True),
        ("Mark Green", "Mark Dr Green", True),
        ("Roy D Blunt", "Roy E Blunt", False),
        ("Donald Payne Jr.", "Donald Payne Sr.", False),
        ("Rick Scott", "Tim Scott", False),
        ("Rick Scott", "Rick Larsen", False),
    ],
)
def test_spellings_met_in_real_filings(asked: str, filed: str, same: bool):
    one, other = parse_name(asked), parse_name(filed)
    assert one is not None
    assert other is not None
    assert one.may_be(other) is same
    assert other.may_be(one) is same
