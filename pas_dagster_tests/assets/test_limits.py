"""What a crisis and the caps take off the target, and that it trades when that changes."""

from datetime import date
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.assets.limits import FUNDS, Crisis, Sectors, crises, limited
from pas_dagster.risk.caps import Caps
from pas_dagster.schemas import TABLES
from pas_dagster.strategies.contract import CASH
from pas_dagster_tests.assets.conftest import MemoryLake

PORTFOLIOS = TABLES["portfolios"]
MONDAY, TUESDAY, WEDNESDAY = date(2024, 3, 4), date(2024, 3, 5), date(2024, 3, 6)
NO_CAPS = Caps()


class Known(Sectors):
    """Sectors that never change."""

    def __init__(self, sectors: dict[str, str]) -> None:
        self._fixed = sectors

    def before(self, day: date) -> dict[str, str]:
        return self._fixed


def book(day: date, sleeves: dict[str, tuple[float, dict[str, float]]], **flags: Any) -> pd.DataFrame:
    """Rows of `portfolios`: sleeve -> (share, weights within it), the rest of a sleeve in cash."""
    rows = [
        {
            "decision": day,
            "sleeve": sleeve,
            "symbol": symbol,
            "weight": share * weight,
            "sleeve_weight": weight,
            "sleeve_share": share,
            "rebalance": False,
            "resize": False,
            "weights_from": MONDAY,
            "allocation_from": MONDAY,
            **flags,
        }
        for sleeve, (share, own) in sleeves.items()
        for symbol, weight in {**own, CASH: 1 - sum(own.values())}.items()
    ]
    return PORTFOLIOS.conform(pd.DataFrame(rows))


def cut(
    rows: pd.DataFrame,
    caps: Caps = NO_CAPS,
    crisis: dict[date, Crisis] | None = None,
    scheme: str = "max_sharpe",
    sectors: dict[str, str] | None = None,
    since: date | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    return limited(rows, crisis or {}, caps, Known(sectors or {}), {MONDAY: scheme}, since)


TWO = {"alpha": (0.5, {"AAA": 0.6, "BBB": 0.4}), "beta": (0.4, {"AAA": 0.5})}


def test_without_limits_nothing_changes():
    rows = book(MONDAY, TWO)
    kept, cuts = cut(rows)
    pd.testing.assert_frame_equal(kept[rows.columns], rows)
    assert cuts.empty


def test_a_cap_on_a_name_takes_the_same_part_in_every_sleeve_and_leaves_cash():
    kept, cuts = cut(book(MONDAY, TWO), Caps(name=0.25))
    held = kept.set_index(["sleeve", "symbol"])["weight"]
    assert held["alpha", "AAA"] + held["beta", "AAA"] == pytest.approx(0.25)  # of 0.3 + 0.2
    assert held["alpha", "AAA"] == pytest.approx(0.15)
    assert held["alpha", "BBB"] == pytest.approx(0.2)
    within = kept.groupby("sleeve")["sleeve_weight"].sum()
    assert within.tolist() == pytest.approx([1.0, 1.0])  # what is cut is cash of the sleeve
    assert cuts[["what", "name"]].values.tolist() == [["name", "AAA"]]
    assert cuts["before"].iloc[0] == pytest.approx(0.5)
    assert "AAA would be 50.00 %" in cuts["rule"].iloc[0]


def test_a_crisis_takes_its_part_of_every_share_and_says_why():
    kept, cuts = cut(book(MONDAY, TWO), crisis={MONDAY: Crisis(0.5, "everything falls together")})
    assert kept.groupby("sleeve")["sleeve_share"].first().tolist() == [0.25, 0.2]
    assert kept.groupby("sleeve")["sleeve_weight"].sum().tolist() == pytest.approx([1.0, 1.0])
    assert cuts[["what", "name", "rule"]].values.tolist() == [["regime", "account", "everything falls together"]]


def test_a_scheme_that_answers_a_crisis_itself_is_not_cut_twice():
    kept, cuts = cut(book(MONDAY, TWO), crisis={MONDAY: Crisis(0.5, "crisis")}, scheme="dynamic")
    assert kept["sleeve_share"].tolist() == book(MONDAY, TWO)["sleeve_share"].tolist()
    assert cuts.empty


def test_a_session_at_which_the_crisis_begins_or_ends_trades():
    rows = pd.concat([book(day, TWO) for day in (MONDAY, TUESDAY, WEDNESDAY)], ignore_index=True)
    kept, _ = cut(rows, crisis={TUESDAY: Crisis(0.5, "crisis")})
    resized = kept.groupby("decision")["resize"].all()
    assert resized.tolist() == [False, True, True]


def test_a_sleeve_trades_when_another_one_pushes_a_name_over_its_cap():
    alone = {"alpha": (0.5, {"AAA": 0.4})}
    both = {**alone, "beta": (0.5, {"AAA": 0.6})}
    rows = pd.concat([book(MONDAY, alone), book(TUESDAY, both), book(WEDNESDAY, both)], ignore_index=True)
    kept, _ = cut(rows, Caps(name=0.25))
    alpha = kept[kept["sleeve"] == "alpha"].groupby("decision")["rebalance"].all()
    assert alpha.tolist() == [False, True, False]


def test_the_session_before_is_only_there_to_compare_with():
    rows = pd.concat([book(MONDAY, TWO), book(TUESDAY, TWO)], ignore_index=True)
    crisis = {MONDAY: Crisis(0.5, "crisis"), TUESDAY: Crisis(1.0, "calm")}
    kept, cuts = cut(rows, crisis=crisis, since=MONDAY)
    assert set(kept["decision"].dt.date) == {TUESDAY}
    assert kept["resize"].all() and cuts.empty


@given(
    st.dictionaries(st.sampled_from("ABC"), st.floats(0.0, 0.33), min_size=1),
    st.floats(0.01, 1.0),
    st.floats(0.05, 1.0),
    st.floats(0.0, 1.0),
)
@settings(max_examples=60, deadline=None)
def test_limits_hold_whatever_is_asked_for(shares: dict[str, float], cap: float, sector: float, factor: float):
    sleeves = {name: (share, {"AAA": 0.5, "BBB": 0.3, "CCC": 0.2}) for name, share in shares.items()}
    kept, _ = cut(
        book(MONDAY, sleeves),
        Caps(name=cap, sector=sector),
        {MONDAY: Crisis(factor, "why")},
        sectors={"AAA": "Energy", "BBB": "Energy", "CCC": "Health Care"},
    )
    held = kept[kept["symbol"] != CASH].groupby("symbol")["weight"].sum()
    assert held.max() <= cap + 1e-9
    assert held["AAA"] + held["BBB"] <= sector + 1e-9
    assert held.sum() <= factor * sum(shares.values()) + 1e-9
    assert kept.groupby("sleeve")["sleeve_weight"].sum().tolist() == pytest.approx([1.0] * len(shares))


def test_sectors_are_those_known_before_the_day_and_funds_have_none(lake: MemoryLake):
    lake.put(
        "universe",
        {"known_on": date(2024, 1, 2), "symbol": "AAA", "kind": "stock", "sector": "Energy", "action": "add"},
        {"known_on": date(2024, 2, 1), "symbol": "AAA", "kind": "stock", "sector": "Utilities", "action": "add"},
        {"known_on": date(2024, 1, 2), "symbol": "SPY", "kind": "etf", "sector": None, "action": "add"},
    )
    sectors = Sectors(lake, MONDAY)
    assert dict(sectors.before(date(2024, 1, 2))) == {}
    assert dict(sectors.before(date(2024, 2, 1))) == {"AAA": "Energy", "SPY": FUNDS}
    assert dict(sectors.before(date(2024, 2, 2))) == {"AAA": "Utilities", "SPY": FUNDS}


def test_the_regime_of_a_decision_is_the_newest_at_or_before_it(lake: MemoryLake):
    lake.put("regimes", {"decision": MONDAY, "regime": "crisis", "factor": 0.5, "reason": "why"})
    found = crises(lake, [date(2024, 3, 1), MONDAY, WEDNESDAY])
    assert found == {MONDAY: Crisis(0.5, "why"), WEDNESDAY: Crisis(0.5, "why")}
