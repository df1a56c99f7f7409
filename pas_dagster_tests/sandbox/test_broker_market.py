"""The prices of the sandbox broker's market: paths that keep to their ends, and the world's own closes and actions."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from statistics import fmean, pstdev

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pas_dagster import calendar
from pas_dagster.sandbox.broker.hours import Hand
from pas_dagster.sandbox.broker.market import TURMOIL, Action, Ends, Path, WorldMarket
from pas_dagster.sandbox.broker.paper import PaperAccount, Wish
from pas_dagster.sandbox.world import World, world

DAY = date(2024, 7, 3)  # closes at one
OPEN, CLOSE = calendar.opening(DAY), calendar.closing(DAY)
ENDS = {"AAA": Ends(Decimal("50.1234"), Decimal("52.5")), "PNY": Ends(Decimal("0.5"), Decimal("0.4001"))}


def path(seed: int = 0) -> Path:
    return Path(lambda session: ENDS if session == DAY else {}, seed)


def test_a_path_begins_and_ends_exactly_where_it_is_told_to() -> None:
    way = path()
    night = [OPEN - timedelta(hours=5), OPEN]
    assert [way.at("AAA", moment) for moment in night] == [Decimal("50.1234")] * 2
    assert way.at("AAA", CLOSE - timedelta(microseconds=1)) == Decimal("52.5")
    assert way.at("AAA", CLOSE) is None  # that is the next session's, of which nothing is known here
    assert way.at("BBB", OPEN) is None
    assert way.symbols(OPEN) == ["AAA", "PNY"]


@given(st.sampled_from(sorted(ENDS)), st.floats(0, 0.999), st.integers(0, 2**32))
def test_a_path_depends_on_its_seed_and_the_instant_only(symbol: str, part: float, seed: int) -> None:
    moment = OPEN + part * (CLOSE - OPEN)
    price = path(seed).at(symbol, moment)
    assert price is not None
    assert price > 0
    assert price == path(seed).at(symbol, moment.astimezone(UTC))
    first, last = ENDS[symbol]
    straight = float(first) * (float(last) / float(first)) ** part
    assert abs(math.log(float(price) / straight)) < 6 * TURMOIL / 2 + 0.001  # six deviations, and rounding


def test_paths_stray_as_a_brownian_bridge_does() -> None:
    """Its deviation at `part` of the way is that of a day times the root of part * (1 - part)."""
    for part in (0.1, 0.5, 0.8):
        moment = OPEN + part * (CLOSE - OPEN)
        straight = math.log(50.1234) + part * math.log(52.5 / 50.1234)
        found = [math.log(path(seed).at("AAA", moment) or 0) - straight for seed in range(600)]
        wanted = TURMOIL * math.sqrt(part * (1 - part))
        assert abs(fmean(found)) < 4 * wanted / math.sqrt(600)
        assert pstdev(found) == pytest.approx(wanted, rel=0.15)


def test_prices_on_the_way_have_the_ticks_of_the_exchange() -> None:
    noon = OPEN + timedelta(hours=2, seconds=7)
    for symbol, tick in (("AAA", "0.01"), ("PNY", "0.0001")):
        price = path().at(symbol, noon)
        assert price is not None
        assert price % Decimal(tick) == 0


START = date(2022, 1, 3)


def market() -> WorldMarket:
    return WorldMarket(lambda session: world(7, START, session))


def table(end: date, name: str) -> pd.DataFrame:
    return World(7, START, end).table(name)


def test_a_session_goes_from_the_close_before_to_its_own() -> None:
    day = date(2023, 3, 15)
    prices = table(day, "prices")
    ends = market().ends(day)
    rows = prices[prices["event_date"] == pd.Timestamp(day)]
    assert ends.keys() == set(rows["symbol"])
    before = prices[prices["event_date"] == pd.Timestamp("2023-03-14")].set_index("symbol")["close"]
    acting = {action.symbol for action in market().actions(day) if action.kind != "dividend"}
    assert acting == set()
    for symbol, close in zip(rows["symbol"], rows["close"], strict=True):
        assert (float(ends[symbol].first), float(ends[symbol].last)) == (before.get(symbol), close)


def some(kind: str) -> pd.Series:
    found = table(date(2024, 12, 31), "corporate_actions")
    return found[found["kind"] == kind].iloc[-1]


def held_over(symbol: str, since: date, until: date) -> PaperAccount:
    """An account that bought ten shares at a session's close and still has them in the middle of another."""
    hand = Hand(calendar.closing(since) - timedelta(minutes=1))
    source = market()
    book = PaperAccount(Path(source.ends, 7), hand, 1_000_000, actions=source.actions)
    book.place(Wish(symbol, "buy", "one", Decimal(10)))
    book.advance()
    assert book.positions == {symbol: 10}
    hand.to(calendar.opening(until) + timedelta(hours=2))
    book.advance()
    return book


def test_a_split_of_the_world_reaches_the_account_and_its_price() -> None:
    split = some("split")
    day = split["event_date"].date()
    book = held_over(split["symbol"], calendar.previous_session(day), day)
    ratio = Decimal(repr(float(split["value"])))
    assert book.positions == {split["symbol"]: 10 * ratio}
    assert [(one.type, one.quantity) for one in book.entries] == [("SPLIT", -10), ("SPLIT", 10 * ratio)]
    first = market().ends(day)[split["symbol"]].first
    before = table(day, "prices").set_index(["event_date", "symbol"])["close"]
    close = before[pd.Timestamp(calendar.previous_session(day)), split["symbol"]]
    assert float(first) == pytest.approx(close / split["value"], abs=1e-6)
    gain = float(book.equity() - 1_000_000) / (10 * close)
    assert abs(gain) < 0.1  # what the price did since, and not what the split would do by itself


def test_a_dividend_of_the_world_is_paid_on_what_is_held() -> None:
    dividend = some("dividend")
    day = dividend["event_date"].date()
    book = held_over(dividend["symbol"], calendar.previous_session(day), day)
    (entry,) = [one for one in book.entries if one.type == "DIV"]
    assert float(entry.cash or 0) == pytest.approx(10 * dividend["value"], abs=0.005)
    assert (entry.quantity, entry.day) == (10, day)


def test_a_symbol_that_changes_goes_on_under_the_new_one() -> None:
    change = some("symbol_change")
    day = change["event_date"].date()
    book = held_over(change["symbol"], calendar.previous_session(day), day)
    assert book.positions == {change["new_symbol"]: 10}
    assert book.price(change["symbol"]) is None
    assert market().ends(day)[change["new_symbol"]].first > 0


def test_who_is_delisted_is_paid_out() -> None:
    gone = some("delisting")
    day = gone["event_date"].date()
    book = held_over(gone["symbol"], calendar.previous_session(day), calendar.roll_forward(day + timedelta(1)))
    (entry,) = book.entries
    assert (book.positions, entry.type, entry.quantity) == ({}, "MA", -10)
    assert float(entry.cash or 0) == pytest.approx(10 * gone["value"], abs=0.005)


def test_who_is_listed_today_starts_at_the_first_price() -> None:
    first = calendar.sessions(START, date(2022, 1, 31))[0]
    ends = WorldMarket(lambda session: world(7, START, max(START, session))).ends(first)
    rows = table(first, "prices").set_index("symbol")
    assert float(ends["SPY"].first) == pytest.approx(rows["open"]["SPY"], abs=1e-6)


def test_what_trades_at_the_open_trades_after_the_split() -> None:
    """An order of the evening before is cancelled by the split; one of the morning after buys new shares."""
    hand = Hand(datetime(2024, 7, 2, 18, tzinfo=calendar.NEW_YORK))
    ends = {"AAA": Ends(Decimal(25), Decimal(25))}
    acts = {DAY: [Action("split", "AAA", Decimal(2))]}
    book = PaperAccount(Path(lambda _: ends), hand, 10_000, actions=lambda day: acts.get(day, []))
    book.hold("AAA", Decimal(4), Decimal(50))
    book.place(Wish("AAA", "buy", "evening", Decimal(1)))
    hand.to(OPEN + timedelta(hours=1))
    book.advance()
    assert book.positions == {"AAA": 8}
    order = book.find("evening")
    assert order is not None
    assert order.status == "canceled"
    assert book.spent == {"AAA": 200}


def test_fills_of_the_past_have_the_prices_of_the_past() -> None:
    hand = Hand(OPEN - timedelta(hours=1))
    book = PaperAccount(path(), hand, 10_000)
    book.rules.patterns["AAA"] = ((0.0, 0.5), (3600.0, 0.5))
    book.place(Wish("AAA", "buy", "one", Decimal(10)))
    hand.to(OPEN + timedelta(hours=3))
    book.advance()
    assert [(fill.at, fill.price) for fill in book.fills] == [
        (OPEN, Decimal("50.1234")),
        (OPEN + timedelta(hours=1), path().at("AAA", OPEN + timedelta(hours=1))),
    ]
