from __future__ import annotations

import numpy as np
import pytest

from pas_dagster.allocation.estimators import ledoit_wolf
from pas_dagster.strategies.contract import NotEnoughData
from pas_dagster.strategies.sector_risk_parity import SECTORS, sector_risk_parity
from pas_dagster_tests.strategies.frames import decide, prices

DAY = "2024-06-28"
RNG = np.random.default_rng(11)


def world(drift: dict[str, float], sessions: int = 130) -> dict[str, np.ndarray]:
    """Correlated noise of unequal size around a drift, for every sector."""
    common = RNG.normal(0, 0.005, sessions)
    size = np.linspace(0.004, 0.02, len(SECTORS))
    noise = {symbol: RNG.normal(0, size[at], sessions) for at, symbol in enumerate(SECTORS)}
    return {s: noise[s] - noise[s].mean() + common - common.mean() + drift.get(s, -0.002) for s in SECTORS}


def run(returns: dict[str, np.ndarray], top_n: int = 5, day: str = DAY) -> dict[str, float]:
    return decide(sector_risk_parity.with_parameters({"top_n": top_n}), day, prices=prices(returns))


def gain(returns: np.ndarray) -> float:
    """Total return of the last 126 sessions, multiplied out one by one."""
    value = 1.0
    for r in returns[-126:]:
        value *= 1 + (0.0 if np.isnan(r) else r)
    return value - 1


def test_each_kept_sector_contributes_the_same_risk():
    returns = world({"XLK": 0.004, "XLE": 0.005, "XLU": 0.003, "XLV": 0.002, "XLF": 0.0035, "XLB": 0.001})
    weights = run(returns)
    best = sorted(SECTORS, key=lambda symbol: -gain(returns[symbol]))[:5]
    assert sorted(weights) == sorted(best)
    cov, _ = ledoit_wolf(np.array([returns[symbol][-63:] for symbol in weights]).T)
    w = np.array(list(weights.values()))
    shares = [w[i] * sum(cov[i, j] * w[j] for j in range(5)) for i in range(5)]
    assert shares == pytest.approx([sum(shares) / 5] * 5, rel=1e-9)
    assert sum(weights.values()) == pytest.approx(1.0)
    inverse = 1 / np.sqrt(cov.diagonal())
    assert not np.allclose(w, inverse / inverse.sum(), rtol=1e-3)  # correlations count


def test_only_rising_sectors_are_kept():
    assert run(world({"XLK": 0.004})) == {"XLK": 1.0}
    assert run(world({})) == {}


def test_the_last_126_sessions_count_and_nothing_before():
    returns = world({}, 140)
    returns["XLK"][-127] = 5.0
    assert run(returns) == {}
    returns["XLK"][-126] = 5.0
    assert run(returns) == {"XLK": 1.0}


def test_ties_go_by_symbol():
    same = np.tile([0.01, -0.005], 65)
    assert sorted(run({"XLY": same, "XLB": same, "XLK": same}, top_n=2)) == ["XLB", "XLK"]


def test_a_bar_of_the_decision_day_is_not_seen():
    returns = world({})
    returns["XLK"][-1] = 5.0
    assert run(returns, day="2024-06-27") == {}
    assert run(returns) == {"XLK": 1.0}


def test_a_few_missing_bars_count_as_zero_and_more_leave_the_sector_out():
    returns = world({"XLK": 0.004, "XLE": 0.004, "XLU": 0.004})
    returns["XLK"][-20:-14] = np.nan  # 120 of 126
    returns["XLE"][-20:-13] = np.nan  # 119 of 126
    returns["XLU"][-1] = np.nan
    assert sorted(run(returns)) == ["XLK"]
    returns["XLF"][:] = np.nan  # never traded at all
    assert sorted(run(returns)) == ["XLK"]


def test_a_short_history_decides_nothing():
    with pytest.raises(NotEnoughData, match="125 of 126 sessions"):
        run(world({"XLK": 0.004}, 125))
    assert run(world({"XLK": 0.004}, 126)) == {"XLK": 1.0}
    with pytest.raises(NotEnoughData, match="no name has prices"):
        run({"SPY": np.full(130, 0.001)})
