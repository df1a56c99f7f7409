"""Stress: replays by a loop, what is not covered, and shocks worked out by hand."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pas_dagster.risk.stress import (
    WINDOWS,
    Window,
    equity_shock,
    market_shock,
    replay,
    replays,
    risk_shock,
    sector_shock,
)
from pas_dagster_tests.recorded import recorded

NAV = 1_000_000.0
WINDOW = Window("test", date(2020, 1, 6), date(2020, 1, 17))
DAYS = pd.bdate_range("2020-01-01", "2020-01-24")
NAMES = ["A", "B", "C"]


def table(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(np.maximum(rng.normal(-0.01, 0.05, (len(DAYS), 3)), -1.0), index=DAYS, columns=NAMES)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.floats(-0.3, 0.5).filter(lambda w: abs(w) > 1e-3), min_size=3, max_size=3))
def test_a_replay_holds_todays_weights_through_the_window(seed: int, weights: list[float]) -> None:
    """Pitfall 13: positions drift, they are not brought back to their weights each day."""
    returns = table(seed)
    found = replay(dict(zip(NAMES, weights, strict=True)), returns, NAV, WINDOW)
    held = list(weights)
    cash = 1.0 - sum(weights)
    values = [1.0]
    for day in DAYS:
        if date(2020, 1, 6) < day.date() <= date(2020, 1, 17):
            held = [size * (1.0 + returns.loc[day, name]) for size, name in zip(held, NAMES, strict=True)]
            values.append(sum(held) + cash)
    assert found.status == "ok" and found.sessions == len(values) - 1 == 9
    assert found.result == pytest.approx(values[-1] - 1.0)
    assert found.result_usd == pytest.approx((values[-1] - 1.0) * NAV)
    assert found.result_of_covered == pytest.approx((values[-1] - 1.0) / sum(map(abs, weights)))
    high, deepest = values[0], 0.0
    for value in values:
        high = max(high, value)
        deepest = min(deepest, value / high - 1.0)
    assert found.drawdown == pytest.approx(deepest)
    assert found.worst_session == pytest.approx(min(b / a - 1.0 for a, b in zip(values, values[1:], strict=False)))
    assert (found.covered, found.missing, found.reason) == (pytest.approx(1.0), (), "")


def test_holding_is_not_rebalancing() -> None:
    """Half in a name that loses half a day twice: three eighths of the account are gone, not seven sixteenths."""
    days = pd.to_datetime(["2020-01-06", "2020-01-07", "2020-01-17"])
    returns = pd.DataFrame({"A": [0.0, -0.5, -0.5]}, index=days)
    assert replay({"A": 0.5}, returns, NAV, WINDOW).result == pytest.approx(-0.375)


def test_a_name_without_data_is_never_taken_to_have_earned_nothing() -> None:
    returns = table(1)
    returns.loc[DAYS[6], "B"] = math.nan  # one session is enough
    weights = {"A": 0.5, "B": 0.3, "Z": -0.2}
    found = replay(weights, returns, NAV, WINDOW)
    alone = replay({"A": 0.5}, returns, NAV, WINDOW)
    assert found.covered == pytest.approx(0.5) and found.missing == ("B", "Z")
    assert found.result == alone.result and found.result_of_covered == alone.result_of_covered
    assert found.result_of_covered == pytest.approx(2.0 * found.result)
    assert found.reason == "50% of gross has no returns in the window"


def test_missing_data_outside_the_window_cost_nothing() -> None:
    returns = table(2)
    whole = replay({"A": 0.5}, returns, NAV, WINDOW)
    returns.loc[:"2020-01-06", "A"] = math.nan
    returns.loc["2020-01-20":, "A"] = math.nan
    assert replay({"A": 0.5}, returns, NAV, WINDOW) == whole


@pytest.mark.parametrize(
    ("weights", "returns", "why"),
    [
        ({"A": 1.0}, table(3).loc["2020-01-07":], "the returns are of 2020-01-07 to 2020-01-24, the window is"),
        ({"A": 1.0}, table(3).loc[:"2020-01-16"], "the returns are of 2020-01-01 to 2020-01-16, the window is"),
        ({"A": 1.0}, pd.DataFrame(), "the returns are of nothing"),
        ({"Z": 1.0}, table(3), "nothing that is held has returns in every session"),
        ({"A": 0.0}, table(3), "nothing is held"),
    ],
)
def test_a_window_that_the_data_do_not_reach_is_a_value_that_says_so(weights, returns, why: str) -> None:
    found = replay(weights, returns, NAV, WINDOW)
    assert found.status == "no data" and found.reason.startswith(why) and found.covered == 0.0
    assert (found.result, found.result_usd, found.result_of_covered, found.drawdown) == (None,) * 4


def test_faults_of_the_table_are_errors() -> None:
    for returns in (table(4)[::-1], table(4).set_axis(["A", "A", "B"], axis=1)):
        with pytest.raises(ValueError, match="rising dates and one column"):
            replay({"A": 1.0}, returns, NAV, WINDOW)
    with pytest.raises(ValueError, match="infinite or below -1"):
        replay({"A": 1.0}, table(4) - 2.0, NAV, WINDOW)
    with pytest.raises(ValueError, match="not finite"):
        replay({"A": math.nan}, table(4), NAV, WINDOW)


@pytest.mark.shared
def test_the_index_lost_in_each_crisis_what_it_is_known_to_have_lost() -> None:
    """Price returns of the S&P 500 between its closing highs and lows."""
    index = pd.read_csv(recorded("quant/skfolio/sp500_index.csv.gz"), index_col=0, parse_dates=True)
    returns = index.pct_change().set_axis(["SPX"], axis=1)
    found = replays({"SPX": 1.0}, returns, NAV)
    assert [round(one.result, 3) for one in found] == [-0.491, -0.568, -0.339, -0.254]
    assert [one.window.name for one in found] == ["dot-com", "2008", "2020", "2022"]
    assert all(one.drawdown == pytest.approx(one.result) for one in found)
    assert round(found[2].worst_session, 4) == -0.1198  # 16 March 2020
    assert found == replays({"SPX": 1.0}, returns, NAV, WINDOWS)


# --------------------------------------------------------------------------------------------- shocks


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from("ABCDE"), st.floats(-1.0, 1.0)), st.floats(-0.9, 0.5))
def test_a_move_of_everything_is_the_net_exposure_times_it(weights: dict[str, float], move: float) -> None:
    found = equity_shock(weights, move, NAV)
    assert found.result == pytest.approx(sum(weights.values()) * move)
    assert found.result_usd == pytest.approx(found.result * NAV) and found.covered == pytest.approx(1.0)
    everywhere = dict.fromkeys(weights, "one")
    assert sector_shock(weights, everywhere, {"one": move}, NAV).result == pytest.approx(found.result)
    assert market_shock(weights, dict.fromkeys(weights, 1.0), move, NAV).result == pytest.approx(found.result)


def test_minus_ten_and_minus_twenty_per_cent() -> None:
    weights = {"A": 0.9, "B": -0.3}
    assert equity_shock(weights, -0.10, NAV).result_usd == pytest.approx(-60_000)
    assert equity_shock(weights, -0.20, NAV).result_usd == pytest.approx(-120_000)


def test_each_sector_moves_by_its_own_and_unknown_ones_are_said() -> None:
    sectors = {"A": "Energy", "B": "Utilities", "C": ""}
    weights = {"A": 0.4, "B": 0.2, "C": 0.2, "D": 0.2}
    found = sector_shock(weights, sectors, {"Energy": -0.3, "Utilities": 0.1}, NAV)
    assert found.result == pytest.approx(-0.12 + 0.02)
    assert found.covered == pytest.approx(0.6) and found.missing == ("C", "D")
    named = sector_shock(weights, sectors, {"Energy": -0.3, "unknown": -0.5}, NAV)
    assert named.result == pytest.approx(-0.12 - 0.2) and named.missing == ()


def test_the_market_moves_each_name_by_its_beta_and_nothing_by_more_than_all() -> None:
    found = market_shock({"A": 0.5, "B": -0.2, "C": 0.3}, {"A": 6.0, "B": 0.5, "C": math.nan}, -0.2, NAV)
    assert found.result == pytest.approx(0.5 * -1.0 + -0.2 * -0.1)
    assert found.covered == pytest.approx(0.7) and found.missing == ("C",)
    assert market_shock({}, {}, -0.2, NAV) == ("the market -20%", 0.0, 0.0, 1.0, ())


def test_a_shock_is_refused_that_no_price_can_take() -> None:
    with pytest.raises(ValueError, match="the move of A is -1.5"):
        equity_shock({"A": 1.0}, -1.5, NAV)
    with pytest.raises(ValueError, match="not finite"):
        equity_shock({"A": math.inf}, -0.1, NAV)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 3.0), st.floats(0.0, 1.0))
def test_risk_under_a_shock_is_that_of_the_shocked_matrix(seed: int, factor: float, share: float) -> None:
    rng = np.random.default_rng(seed)
    a, w = rng.normal(0.0, 0.01, (4, 9)), rng.uniform(-0.3, 0.6, 4)
    cov = a @ a.T
    sigma = [math.sqrt(cov[i, i]) for i in range(4)]
    variance = 0.0
    for i in range(4):
        for j in range(4):
            rho = cov[i, j] / sigma[i] / sigma[j]
            variance += w[i] * w[j] * factor**2 * sigma[i] * sigma[j] * ((1 - share) * rho + share)
    found = risk_shock(w, cov, NAV, volatility=factor, correlation=share)
    assert found.after == pytest.approx(math.sqrt(max(variance, 0.0)), abs=1e-9)
    assert found.tail_after == pytest.approx(-1.6448536 * found.after)
    assert found.tail_after_usd == pytest.approx(found.tail_after * NAV)


def test_volatility_twice_and_correlation_one() -> None:
    cov = np.diag([0.0004, 0.0001])
    assert risk_shock([0.5, 0.5], cov, NAV, volatility=2.0).after == pytest.approx(2.0 * math.hypot(0.01, 0.005))
    assert risk_shock([0.5, 0.5], cov, NAV, correlation=1.0).after == pytest.approx(0.015)
    assert risk_shock([0.5, -0.5], cov, NAV, correlation=1.0).after == pytest.approx(0.005)  # a short hedges
    assert risk_shock([0.5, 0.5], cov, NAV).after == risk_shock([0.5, 0.5], cov, NAV).before
    with pytest.raises(ValueError, match="correlation from 0 to 1"):
        risk_shock([0.5, 0.5], cov, NAV, correlation=1.5)
    with pytest.raises(ValueError, match="covariance"):
        risk_shock([0.5], cov, NAV)
