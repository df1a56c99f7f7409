from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from pas_dagster.allocation.mixture import Regimes, fit_regimes, simulate
from pas_dagster.strategies.audit import audit
from pas_dagster.strategies.contract import NotEnoughData
from pas_dagster.strategies.history import History
from pas_dagster.strategies.policy_50_25_25 import FUNDS, policy_50_25_25
from pas_dagster_tests.strategies import worlds
from pas_dagster_tests.strategies.frames import decide, frame, member, prices, symbol_change, universe

DAY = "2024-06-28"
BONDS = ("BND", "HYG", "IEF", "LQD", "SHY", "TIP", "TLT")
EQUITIES = ("IWM", "QQQ", "SPY", "VTI")
DIVERSIFIED = ("EFA", "GLD", "VXUS", "XLRE")
GROUPS = {"bonds": BONDS, "equities": EQUITIES, "diversified": DIVERSIFIED}
NAMES = sorted((*BONDS, *EQUITIES, *DIVERSIFIED))
LISTED = universe(*FUNDS, kind="etf")
SMALL: dict[str, Any] = {
    "bonds": ("BND", "SHY"),
    "equities": ("SPY", "QQQ"),
    "diversified": ("GLD", "VXUS"),
    "max_weight": 0.4,
}


def made(names: tuple[str, ...] | list[str] = NAMES, sessions: int = 300, seed: int = 1) -> dict[str, np.ndarray]:
    """Daily returns with a common factor: small for bonds, large for the others."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0.0003, 0.01, sessions)
    size = {name: 0.2 if name in BONDS else 1.0 for name in names}
    return {name: size[name] * (common + rng.normal(0.0002, 0.008, sessions)) for name in names}


def run(
    returns: Mapping[str, np.ndarray], day: str = DAY, listed: pd.DataFrame = LISTED, **parameters: Any
) -> dict[str, float]:
    chosen = policy_50_25_25.with_parameters(parameters)
    return decide(chosen, day, prices=prices(returns), universe=listed)


def sums(weights: Mapping[str, float]) -> list[float]:
    return [sum(weights.get(name, 0.0) for name in group) for group in GROUPS.values()]


def test_the_groups_sum_to_half_a_quarter_and_a_quarter_within_the_limit():
    weights = run(made())
    assert sums(weights) == pytest.approx([0.5, 0.25, 0.25], abs=1e-12)
    assert max(weights.values()) <= 0.2
    assert run(made()) == weights  # the same data, the same bits


def test_one_fund_a_group_leaves_one_portfolio():
    one: dict[str, Any] = {"bonds": ("BND",), "equities": ("SPY",), "diversified": ("GLD",), "max_weight": 0.5}
    assert run(made(), **one) == pytest.approx({"BND": 0.5, "SPY": 0.25, "GLD": 0.25})


def test_least_variance_on_paper():
    # In every cycle of four weeks each fund moves alone in one: weekly returns are uncorrelated but for their mean.
    # At extreme risk aversion two funds of a group with volatilities 1 and 2 hold four fifths and one fifth.
    weeks, day = 104, {}
    moves = {
        "BND": (0, 0.002),
        "SHY": (1, 0.004),
        "SPY": (2, 0.01),
        "QQQ": (3, 0.02),
        "GLD": (4, 0.01),
        "VXUS": (5, 0.02),
    }
    for name, (at, size) in moves.items():
        week = np.zeros(weeks)
        week[2 * at :: 12] = size
        week[2 * at + 1 :: 12] = -size
        day[name] = np.repeat(week, 5) * np.tile([1.0, 0, 0, 0, 0], weeks)
    averse: dict[str, Any] = {**SMALL, "regimes": 1, "risk_aversion": 1000.0, "max_weight": 0.5, "horizon": 1}
    weights = run(day, **averse)
    assert weights == pytest.approx(
        {"BND": 0.4, "SHY": 0.1, "SPY": 0.2, "QQQ": 0.05, "GLD": 0.2, "VXUS": 0.05}, abs=0.02
    )


def test_a_larger_mean_draws_weight_up_to_the_limit():
    returns = made()
    returns["QQQ"] = returns["SPY"] + 0.001
    weights = run(returns)
    assert weights["QQQ"] == 0.2
    assert weights.get("SPY", 0.0) < 0.05 + 1e-12


def test_a_fund_without_listing_bars_or_movement_leaves_its_share_to_its_group():
    returns = made()
    unlisted = universe(*(name for name in FUNDS if name != "BND"), kind="etf")
    late = frame([*(member(name, "2000-01-03", kind="etf") for name in FUNDS if name != "BND"), member("BND", DAY)])
    for weights in (
        run(returns, listed=unlisted),
        run(returns, listed=late),
        run(returns | {"BND": np.where(np.arange(300) == 299, np.nan, returns["BND"])}),
        run(returns | {"BND": np.zeros(300)}),
        run({name: values for name, values in returns.items() if name != "BND"}),
    ):
        assert "BND" not in weights
        assert sums(weights) == pytest.approx([0.5, 0.25, 0.25], abs=1e-12)


def test_up_to_a_twentieth_of_the_bars_may_be_missing_and_count_as_zero():
    returns = made()
    few, zero, many = returns["QQQ"].copy(), returns["QQQ"].copy(), returns["QQQ"].copy()
    few[100:115], zero[100:115], many[100:116] = np.nan, 0.0, np.nan  # 15 and 16 of 300
    assert run(returns | {"QQQ": few}) == run(returns | {"QQQ": zero})
    assert "QQQ" not in run(returns | {"QQQ": many})


def test_when_the_limit_leaves_no_room_it_says_which_group_and_why():
    gone = universe(*(name for name in FUNDS if name not in ("QQQ", "SPY", "VTI")), kind="etf")
    why = r"equities: 1 of 4 funds are listed with a complete history, which at 20.0% each cannot hold 25.0%"
    with pytest.raises(NotEnoughData, match=why):
        run(made(), listed=gone)
    assert sums(run(made(), listed=gone, max_weight=0.25)) == pytest.approx([0.5, 0.25, 0.25], abs=1e-12)
    with pytest.raises(NotEnoughData, match="bonds: 0 of 7 funds"):
        run(made([*EQUITIES, *DIVERSIFIED]))


def test_52_weeks_of_five_sessions_are_the_least():
    with pytest.raises(NotEnoughData, match="51 weeks of prices are known, 52 are needed"):
        run(made(sessions=259))
    assert run(made(sessions=260))


def test_only_whole_weeks_of_the_look_back_count():
    returns = made(sessions=300)
    longer = {name: np.concatenate([np.full(40, 0.05 if name == "QQQ" else 0.0), v]) for name, v in returns.items()}
    assert run(longer, weeks=60) == run(returns, weeks=60)
    assert run(longer, weeks=61) != run(returns, weeks=61)
    odd = {name: np.concatenate([np.full(3, 0.05 if name == "QQQ" else 0.0), v]) for name, v in returns.items()}
    assert run(odd) == run(returns)


def test_a_bar_of_the_decision_day_is_not_seen():
    returns = made(sessions=301)
    changed = {name: np.append(values[:-1], 0.3) for name, values in returns.items()}
    assert run(returns, day="2024-06-27") == run(changed, day="2024-06-27")
    assert run(returns) != run(changed)


def test_a_renamed_fund_is_one_fund_under_its_new_name():
    returns = made()
    bars = prices(returns)
    old = bars.assign(symbol=bars["symbol"].mask((bars["symbol"] == "QQQ") & (bars["known_on"] < "2024-01-10"), "QQQQ"))
    moved = frame([symbol_change("QQQQ", "QQQ", "2024-01-10")])
    names = [member(name, "2000-01-03", kind="etf") for name in (*FUNDS, "QQQQ") if name != "QQQ"]
    turn = [member("QQQQ", "2024-01-10", "remove", kind="etf"), member("QQQ", "2024-01-10", kind="etf")]
    listed = frame([*names, *turn])
    assert decide(policy_50_25_25, DAY, prices=old, universe=listed, corporate_actions=moved) == run(returns)


def test_shares_that_leave_cash_leave_cash():
    weights = run(made(), bond_share=0.4, equity_share=0.2, diversified_share=0.0)
    assert sums(weights) == pytest.approx([0.4, 0.2, 0.0], abs=1e-12)


def test_parameters_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="'VOO' is not one of the funds read"):
        policy_50_25_25.with_parameters({"equities": ("VOO",)})
    with pytest.raises(ValueError, match="SPY is in two of the groups"):
        run(made(), diversified=("SPY", "GLD"))
    with pytest.raises(ValueError, match="sum to 1.1, not to at most 1"):
        run(made(), bond_share=0.6)
    assert policy_50_25_25.with_parameters({"bonds": ["BND", "TLT"]}).parameters["bonds"] == ("BND", "TLT")
    for bad in ({"max_weight": 0.0}, {"weeks": 51}, {"weeks": 157}, {"horizon": 14}, {"paths": 10}, {"bonds": ()}):
        with pytest.raises(ValueError, match="cannot be"):
            policy_50_25_25.with_parameters(bad)


@lru_cache(maxsize=1)
def base() -> duckdb.DuckDBPyConnection:
    """The sandbox's bars and listings of the funds as tables."""
    made = duckdb.connect()
    for name in ("prices", "universe"):
        rows = worlds.tables()[name]
        made.register("rows", rows[rows["symbol"].isin(NAMES)])
        made.execute(f"create table {name} as from rows")
    return made


def weekly_by_sql(day: date) -> pd.DataFrame | None:
    """Weekly returns (weeks, funds) of the funds that take part, in SQL; None when there are too few weeks."""
    query = """
        with days as (
            select known_on, row_number() over (order by known_on desc) - 1 as back
            from (select distinct known_on from prices where known_on < $day) qualify back < 780),
        used as (select known_on, back, bars from days, (select count(*) // 5 * 5 as bars from days) where back < bars),
        members as (select symbol from universe where known_on < $day
                    group by symbol having arg_max(action, known_on) = 'add'),
        complete as (
            select symbol from prices join used using (known_on)
            where total_return is not null and symbol in (from members)
            group by symbol having count(*) >= 0.95 * max(bars) and min(back) = 0)
        select symbol, back // 5 as week, product(1 + coalesce(total_return, 0)) - 1 as r
        from prices join used using (known_on) where symbol in (from complete) and bars >= 260 group by all"""
    rows = base().execute(query, {"day": day}).df()
    return None if rows.empty else rows.pivot(index="week", columns="symbol", values="r").sort_index(ascending=False)


def oracle_weights(mean: np.ndarray, cov: np.ndarray, names: list[str]) -> np.ndarray:
    """The best weights that a general-purpose optimiser finds."""
    at = np.array([next(g for g, group in enumerate(GROUPS.values()) if name in group) for name in names])
    shares = np.array([0.5, 0.25, 0.25])
    limits = [{"type": "eq", "fun": lambda w, g=g: w[at == g].sum() - shares[g]} for g in range(3)]
    found = minimize(
        lambda w: 1e3 * (2.5 * w @ cov @ w - mean @ w),
        shares[at] / np.bincount(at)[at],
        jac=lambda w: 1e3 * (5.0 * cov @ w - mean),
        bounds=[(0.0, 0.2)] * len(names),
        constraints=limits,
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    return found.x


def exact(r: Regimes, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance over the horizon without simulation, all pairs at once."""
    state = np.ones((len(r.shares), 1, 1)) * r.current[:, None, None]
    first, second = state, state
    growth = 1.0 + r.means
    for _ in range(horizon):
        first = np.einsum("jab,jk->kab", first, r.transition) * growth[:, :, None]
        pairs = growth[:, :, None] * growth[:, None, :] + r.covs
        second = np.einsum("jab,jk->kab", second, r.transition) * pairs
    mean = first.sum(axis=0)[:, 0]
    return mean - 1.0, second.sum(axis=0) - np.outer(mean, mean)


def spread(names: list[str]) -> np.ndarray:
    return np.array(
        [
            share / len([n for n in names if n in group])
            for name in names
            for share, group in zip((0.5, 0.25, 0.25), GROUPS.values(), strict=True)
            if name in group
        ]
    )


@lru_cache(maxsize=1)
def held() -> dict[date, dict[str, float] | None]:
    return {day: worlds.outcome(policy_50_25_25, worlds.history(), day) for day in worlds.some_days(100)}


def test_on_a_hundred_days_it_is_the_rule_in_sql_and_by_another_optimiser():
    """Weekly returns from SQL, the programme by SLSQP; regimes and draws by the package (their oracles are apart).

    The utilities agree to 1e-8, and the weights to 1e-3 where the optimum is not flat.
    """
    near = []
    for day, weights in held().items():
        weekly = weekly_by_sql(day)
        assert (weekly is None) == (weights is None), day
        if weekly is None or weights is None:
            continue
        names, x = list(weekly.columns), weekly.to_numpy()
        paths = simulate(fit_regimes(x, x @ spread(names)), 4, 5_000, 502525)
        mean, cov = paths.mean(axis=0), np.cov(paths.T, ddof=0)
        ours, theirs = np.array([weights.get(name, 0.0) for name in names]), oracle_weights(mean, cov, names)
        utility = [mean @ w - 2.5 * w @ cov @ w for w in (ours, theirs)]
        assert utility[0] == pytest.approx(utility[1], abs=1e-8), day
        assert sums(weights) == pytest.approx([0.5, 0.25, 0.25], abs=1e-12)
        near.append(np.abs(ours - theirs).max() < 1e-3)
    assert len(near) >= 60
    assert np.mean(near) > 0.9


def test_the_simulation_costs_less_than_a_basis_point_of_utility():
    """On 30 days the weights are worth as much, to 1e-4 in four weeks, as the best under the exact moments."""
    checked = 0
    for day in list(held())[:30]:
        weekly, weights = weekly_by_sql(day), held()[day]
        if weekly is None or weights is None:
            continue
        names, x = list(weekly.columns), weekly.to_numpy()
        mean, cov = exact(fit_regimes(x, x @ spread(names)), 4)
        best = oracle_weights(mean, cov, names)
        ours = np.array([weights.get(name, 0.0) for name in names])
        regret = (mean @ best - 2.5 * best @ cov @ best) - (mean @ ours - 2.5 * ours @ cov @ ours)
        assert -1e-8 < regret < 1e-4, day
        checked += 1
    assert checked >= 15


def test_the_order_of_rows_and_the_other_funds_do_not_matter():
    bars = prices(made())
    first = decide(policy_50_25_25, DAY, prices=bars, universe=LISTED)
    for seed in range(3):
        shuffled = {"prices": worlds.permuted(bars, seed), "universe": worlds.permuted(LISTED, seed)}
        assert decide(policy_50_25_25, DAY, **shuffled) == first
    with_more = prices(made() | made(["XLK", "AGG", "BIL"], seed=5))
    assert decide(policy_50_25_25, DAY, prices=with_more, universe=LISTED) == first
    listed_twice = pd.concat([LISTED, LISTED], ignore_index=True)
    assert decide(policy_50_25_25, DAY, prices=bars, universe=listed_twice) == first


def test_it_does_not_look_ahead():
    cut = {name: rows for name, rows in worlds.tables().items() if name in ("prices", "universe", "corporate_actions")}
    assert not audit(policy_50_25_25, History(cut), worlds.some_days(4, seed=9))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sets(st.sampled_from(NAMES), max_size=4), st.sampled_from([0.15, 0.25, 0.5]))
def test_whatever_is_missing_the_weights_are_the_policy_or_there_are_none(seed: int, gone: set[str], most: float):
    listed = universe(*(name for name in FUNDS if name not in gone), kind="etf")
    left = [[name for name in group if name not in gone] for group in GROUPS.values()]
    try:
        weights = run(made(seed=seed, sessions=262), listed=listed, max_weight=most)
    except NotEnoughData:
        assert any(len(g) * most < s for g, s in zip(left, (0.5, 0.25, 0.25), strict=True))
    else:
        assert sums(weights) == pytest.approx([0.5, 0.25, 0.25], abs=1e-12)
        assert not gone & set(weights)
        assert min(weights.values()) > 0 and max(weights.values()) <= most
