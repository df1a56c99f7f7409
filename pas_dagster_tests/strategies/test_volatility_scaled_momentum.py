from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest

from pas_dagster.strategies.contract import NotEnoughData
from pas_dagster.strategies.volatility_scaled_momentum import volatility_scaled_momentum
from pas_dagster_tests.strategies.frames import decide, frame, member, prices, symbol_change, universe

DAY = "2024-06-28"


def zigzag(mean: float, size: float, sessions: int = 260) -> np.ndarray:
    return mean + size * np.where(np.arange(sessions) % 2, 1.0, -1.0)


def run(
    returns: dict[str, np.ndarray],
    day: str = DAY,
    close: dict[str, float] | None = None,
    volume: dict[str, float] | None = None,
    listed: Any = None,
    index: str | None = None,
    actions: Any = None,
    **parameters: Any,
) -> dict[str, float]:
    tables = {} if actions is None else {"corporate_actions": actions}
    return decide(
        volatility_scaled_momentum.with_parameters(parameters),
        day,
        index,
        prices=prices(returns, close=close, volume=volume),
        universe=universe(*returns) if listed is None else listed,
        **tables,
    )


def test_weights_are_inverse_volatility_over_rising_names():
    weights = run({"CALM": zigzag(0.001, 0.01), "WILD": zigzag(0.001, 0.02), "DOWN": zigzag(-0.001, 0.01)})
    assert weights == pytest.approx({"CALM": 2 / 3, "WILD": 1 / 3})
    assert run({"DOWN": zigzag(-0.001, 0.01)}) == {}


def test_the_score_is_return_per_unit_of_risk():
    returns = {"CALM": zigzag(0.001, 0.005), "WILD": zigzag(0.0015, 0.02)}
    assert list(run(returns, top_n=1)) == ["CALM"]


def test_the_last_month_is_skipped_and_the_year_begins_at_its_252nd_session():
    for at, counts in ((-21, False), (-22, True), (-252, True), (-253, False)):
        returns = zigzag(-0.0005, 0.01)
        returns[at] = 1.0
        assert bool(run({"JUMP": returns})) is counts, at


def test_risk_is_that_of_the_last_sixty_sessions():
    returns = {"A": zigzag(0.001, 0.01), "B": zigzag(0.001, 0.01)}
    returns["B"][-61] = 0.5
    assert run(returns) == pytest.approx({"A": 0.5, "B": 0.5})
    returns["B"][-60] = 0.5
    assert run(returns)["B"] < 0.2


def test_only_listed_stocks_of_the_chosen_index():
    returns = {name: zigzag(0.001, 0.01) for name in ("IN", "OUT", "GONE", "FUND", "NEW", "BRK.B")}
    listed = frame(
        [member("IN", "2020-01-02", index="SP500"), member("BRK.B", "2020-01-02", index="SP500")]
        + [member("OUT", "2020-01-02", index="R2000"), member("FUND", "2020-01-02", kind="etf", index="SP500")]
        + [member("GONE", "2020-01-02", index="SP500"), member("GONE", "2024-06-20", "remove", index="SP500")]
        + [member("NEW", DAY, index="SP500"), member("NEVER", "2020-01-02", index="SP500")]
    )
    assert sorted(run(returns, listed=listed)) == ["BRK.B", "IN", "OUT"]
    assert sorted(run(returns, listed=listed, index="SP500")) == ["BRK.B", "IN"]


def test_thin_and_cheap_stocks_are_out_where_that_is_known():
    names = ["RICH", "THIN", "CHEAP", "EDGE", "DARK"]
    close = {"CHEAP": 4.99, "EDGE": 5.0}
    volume = {"THIN": 49_999.0, "EDGE": 1e6, "CHEAP": 1e9, "DARK": np.nan}
    returns = {name: zigzag(0.001, 0.01) for name in names}
    assert sorted(run(returns, close=close, volume=volume)) == ["DARK", "EDGE", "RICH"]
    assert sorted(run(returns, close=close, volume=volume, require_volume=True)) == ["EDGE", "RICH"]


def test_missing_bars():
    returns = {name: zigzag(0.001, 0.01) for name in ("FULL", "TWELVE", "THIRTEEN", "STOPPED", "YOUNG")}
    returns["TWELVE"][-100:-88] = np.nan
    returns["THIRTEEN"][-100:-87] = np.nan
    returns["STOPPED"][-1] = np.nan
    returns["YOUNG"][:-200] = np.nan
    assert sorted(run(returns)) == ["FULL", "TWELVE"]


def test_a_price_that_does_not_move_has_no_score():
    still = np.full(260, 0.0)
    still[-100] = 0.3
    assert list(run({"STILL": still, "MOVES": zigzag(0.001, 0.01)})) == ["MOVES"]


def test_ties_go_by_symbol():
    same = zigzag(0.001, 0.01)
    assert sorted(run({"C": same, "A": same, "B": same}, top_n=2)) == ["A", "B"]


def test_a_short_history_decides_nothing():
    with pytest.raises(NotEnoughData, match="252 of 253"):
        run({"A": zigzag(0.001, 0.01, 252)})
    assert list(run({"A": zigzag(0.001, 0.01, 253)})) == ["A"]
    with pytest.raises(NotEnoughData, match="no stock has prices"):
        run({"A": zigzag(0.001, 0.01)}, listed=universe("OTHER"))


def test_a_bar_of_the_decision_day_is_not_seen():
    returns = zigzag(-0.0005, 0.01)
    returns[-22] = 1.0
    assert run({"JUMP": returns}) == {"JUMP": 1.0}
    assert run({"JUMP": returns}, day="2024-06-27") == {}  # one session less: the jump is in the skipped month


def test_a_stock_keeps_its_history_through_a_change_of_symbol():
    whole, day = zigzag(0.001, 0.01), 130
    returns = {"OLD": whole.copy(), "NEW": whole.copy(), "PEER": whole}
    returns["OLD"][day:] = np.nan
    returns["NEW"][:day] = np.nan
    bars = prices(returns)
    since = str(bars.loc[bars["symbol"] == "NEW", "known_on"].min().date())
    listed = frame(
        [member("PEER", "2020-01-02"), member("OLD", "2020-01-02"), member("OLD", since, "remove")]
        + [member("NEW", since)]
    )
    assert run(returns, listed=listed) == {"PEER": 1.0}
    changed = frame([symbol_change("OLD", "NEW", since)])
    assert run(returns, listed=listed, actions=changed) == pytest.approx({"NEW": 0.5, "PEER": 0.5})


def oracle(returns: dict[str, np.ndarray], top: int) -> dict[str, float]:
    """The rule, one stock and one session at a time."""
    scores: dict[str, float] = {}
    risk: dict[str, float] = {}
    for symbol, values in returns.items():
        year = [float(value) for value in values[-252:]]
        if sum(not math.isnan(value) for value in year) < 0.95 * 252 or math.isnan(year[-1]):
            continue
        price = 1.0
        for value in year[:231]:
            price *= 1.0 if math.isnan(value) else 1.0 + value
        risk[symbol] = statistics.stdev(value for value in year[-60:] if not math.isnan(value)) * math.sqrt(252)
        scores[symbol] = (price - 1) / risk[symbol]
    best = sorted((s for s in scores if scores[s] > 0), key=lambda s: (-scores[s], s))[:top]
    total = sum(1 / risk[s] for s in best)
    return {s: 1 / risk[s] / total for s in sorted(best)}


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_rule_one_stock_at_a_time(seed: int):
    rng = np.random.default_rng(seed)
    returns = {}
    for at in range(40):
        values = rng.normal(0.0005, rng.uniform(0.005, 0.03), 274)
        values[rng.random(274) < rng.choice([0.0, 0.02, 0.06])] = np.nan
        returns[f"S{at}"] = values
    assert run(returns, top_n=12) == pytest.approx(oracle(returns, 12), rel=1e-12)
