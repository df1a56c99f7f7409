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
from sklearn.covariance import ledoit_wolf

from pas_dagster.allocation.glide_path import equity_share
from pas_dagster.strategies.audit import audit
from pas_dagster.strategies.contract import NotEnoughData
from pas_dagster.strategies.glide_path import glide_path
from pas_dagster.strategies.history import History
from pas_dagster_tests.strategies import worlds
from pas_dagster_tests.strategies.frames import decide, prices, universe

DAY = "2024-06-28"
EQUITIES = ("QQQ", "SPY", "VTI", "VXUS")
NAMES = ("BND", *EQUITIES)
LISTED = universe(*NAMES, "AGG", "TLT", "GLD", kind="etf")


def bills(rate: float = 0.0, day: str = "2024-06-27", tenor: str = "3m") -> pd.DataFrame:
    """One yield, known and true on a day."""
    when = pd.to_datetime([day]).astype("datetime64[us]")
    made = pd.DataFrame({"known_on": when, "event_date": when, "tenor": [tenor], "rate": [rate]})
    return made.astype({"tenor": "str"})


def made(sessions: int = 300, seed: int = 2, drift: float = 0.0006) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    common = rng.normal(0.0, 0.008, sessions)
    common -= common.mean()
    returns = {name: common + rng.normal(drift, 0.006, sessions) for name in EQUITIES}
    return returns | {"BND": 0.1 * common + rng.normal(0.0001, 0.003, sessions)}


def run(
    returns: Mapping[str, np.ndarray],
    day: str = DAY,
    listed: pd.DataFrame = LISTED,
    rates: pd.DataFrame | None = None,
    **parameters: Any,
) -> dict[str, float]:
    chosen = glide_path.with_parameters(parameters)
    yields = bills() if rates is None else rates
    return decide(chosen, day, prices=prices(returns), universe=listed, treasury_rates=yields)


def equity(weights: Mapping[str, float]) -> float:
    return sum(weight for name, weight in weights.items() if name in EQUITIES)


@pytest.mark.parametrize(
    ("year", "share"),
    [(2024, 0.9), (1995, 0.9), (1994, 0.9), (1984, 0.8), (1974, 0.7), (1964, 0.5), (1959, 0.4), (1944, 0.4)],
)
def test_the_equity_share_of_the_weights_is_that_of_the_age(year: int, share: float):
    # Born 1995: 29 in 2024; 1994: 30; 1984: 40; 1974: 50; 1964: 60, 0.7 - 0.3 x 10/15 = 0.5; 1959: 65; 1944: 80.
    weights = run(made(), birth_year=year)
    assert equity(weights) == pytest.approx(share, abs=1e-12)
    assert weights["BND"] == pytest.approx(0.8 * (1 - share), abs=1e-12)
    assert max(weights[name] for name in weights if name != "BND") <= 0.4 + 1e-15


def test_the_age_is_that_of_the_decisions_year():
    # Born 1984: 39 on the last decision of 2023 (0.81), 40 in 2024 (0.8).
    returns = made(420)
    bars = {"universe": LISTED, "treasury_rates": bills(day="2023-06-01"), "prices": prices(returns)}
    chosen = glide_path.with_parameters({"birth_year": 1984})
    assert equity(decide(chosen, "2023-12-29", **bars)) == pytest.approx(0.81)
    assert equity(decide(chosen, "2024-01-02", **bars)) == pytest.approx(0.80)


@given(st.floats(0, 120), st.floats(0, 120))
def test_the_share_never_rises_with_age(one: float, other: float):
    younger, older = sorted((one, other))
    assert 0.9 >= equity_share(younger) >= equity_share(older) >= 0.4
    assert equity_share(younger) - equity_share(older) <= 0.02 * (older - younger) + 1e-12


def test_bond_funds_of_the_core_are_bonds_and_share_the_bond_part_equally():
    returns = made()
    returns |= {"AGG": returns["BND"] + 0.0001, "TLT": 2 * returns["BND"]}
    weights = run(returns, core=("SPY", "QQQ", "VTI", "VXUS", "AGG"), safe_bonds=("BND", "TLT"), birth_year=1984)
    for bond in ("AGG", "BND", "TLT"):
        assert weights[bond] == pytest.approx(0.8 * 0.2 / 3)
    assert equity(weights) == pytest.approx(0.8)


def test_two_equity_funds_on_paper():
    # Weekly returns without correlation, volatility 1 % each, mean 0.3 % and 0.1 %: shares 3 to 1. No bonds held.
    weeks = 104
    signs = np.tile([1.0, 1.0, -1.0, -1.0], weeks // 4), np.tile([1.0, -1.0, 1.0, -1.0], weeks // 4)
    first = np.tile([1.0, 0, 0, 0, 0], weeks)
    returns = {
        "SPY": np.repeat(0.003 + 0.01 * signs[0], 5) * first,
        "VXUS": np.repeat(0.001 + 0.01 * signs[1], 5) * first,
    }
    two: dict[str, Any] = {"core": ("SPY", "VXUS"), "bond_share": 0.0, "birth_year": 1994, "max_weight": 0.9}
    assert run(returns, **two) == pytest.approx({"SPY": 0.9 * 0.75, "VXUS": 0.9 * 0.25})
    # A bill of 5.2 % takes 0.1 % off each week: all in SPY; a limit of 0.6 leaves 0.3 to the other.
    assert run(returns, rates=bills(0.052), **two) == pytest.approx({"SPY": 0.9})
    two["max_weight"] = 0.6
    limited = run(returns, rates=bills(0.052), **two)
    assert limited == pytest.approx({"SPY": 0.6, "VXUS": 0.3})


def test_without_a_positive_excess_return_it_is_least_variance_with_the_same_shares():
    returns = made(drift=-0.002)
    weights = run(returns, birth_year=1984)
    assert equity(weights) == pytest.approx(0.8)
    assert weights["BND"] == pytest.approx(0.16)
    names, mean, cov = moments(returns, 0.0)
    assert (mean[1:] < 0).all()
    best = min(variance for _, variance in grid(cov, 0.8, 0.16, 0.4))
    ours = np.array([weights.get(name, 0.0) for name in names])
    assert ours @ cov @ ours <= best + 1e-15


def moments(returns: Mapping[str, np.ndarray], rate: float) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names in order, weekly mean excess returns, covariance (scikit-learn's Ledoit-Wolf)."""
    names = sorted(returns)
    weeks = min(len(returns["BND"]) // 5, 104)
    x = np.array([[np.prod(1 + week) - 1 for week in returns[n][-5 * weeks :].reshape(-1, 5)] for n in names]).T
    sigma = x.std(axis=0)
    cov = ledoit_wolf((x - x.mean(axis=0)) / sigma)[0] * np.outer(sigma, sigma)
    return names, x.mean(axis=0) - rate / 52, cov


def grid(cov: np.ndarray, share: float, safe: float, most: float) -> list[tuple[np.ndarray, float]]:
    """Every portfolio of BND and four equity funds on a grid of a fortieth of the share, with its variance."""
    steps, found = 40, []
    for a in range(steps + 1):
        for b in range(steps + 1 - a):
            for c in range(steps + 1 - a - b):
                w = np.array([safe, *(share / steps * k for k in (a, b, c, steps - a - b - c))])
                if w[1:].max() <= most + 1e-12:
                    found.append((w, float(w @ cov @ w)))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_no_portfolio_of_a_dense_grid_has_a_larger_sharpe_ratio(seed: int):
    returns = made(seed=seed)
    weights = run(returns, birth_year=1984, rates=bills(0.02))
    names, mean, cov = moments(returns, 0.02)
    ours = np.array([weights.get(name, 0.0) for name in names])
    best = max(w @ mean / np.sqrt(variance) for w, variance in grid(cov, 0.8, 0.16, 0.4))
    sharpe = ours @ mean / np.sqrt(ours @ cov @ ours)
    assert best - 1e-12 <= sharpe <= best * 1.02


def test_the_yield_is_the_mean_of_the_look_back_each_day_once_and_bills_only():
    returns = made(drift=0.003)  # far above the yield, so that the weights are between their bounds
    inside = [bills(0.01, "2023-07-03"), bills(0.03, "2024-01-02")]
    outside = [bills(0.9, "2023-04-20"), bills(0.9, DAY), bills(0.9, "2024-01-02", "10y"), bills(np.nan, "2024-02-01")]
    again = [bills(0.02, "2023-07-03")]
    few: dict[str, Any] = {"max_weight": 0.9, "weeks": 52}
    expected = run(returns, rates=bills(0.02), **few)
    assert len(expected) >= 3
    rates = pd.concat(inside, ignore_index=True)
    assert run(returns, rates=rates, **few) == expected
    assert run(returns, rates=pd.concat([*outside, *inside], ignore_index=True), **few) == expected
    assert run(returns, rates=pd.concat([rates, rates], ignore_index=True), **few) == expected
    assert run(returns, rates=pd.concat([rates, *again], ignore_index=True), **few) != expected
    with pytest.raises(NotEnoughData, match="no three-month Treasury yield"):
        run(returns, rates=bills(0.02, tenor="10y"))


def test_what_is_missing_leaves_its_share_to_the_others_or_nothing_is_decided():
    returns = made()
    no_spy = universe(*(name for name in NAMES if name != "SPY"), kind="etf")
    for weights in (
        run(returns, listed=no_spy),
        run(returns | {"SPY": np.zeros(300)}),
        run(returns | {"SPY": np.where(np.arange(300) < 16, np.nan, returns["SPY"])}),
        run(returns | {"SPY": np.where(np.arange(300) == 299, np.nan, returns["SPY"])}),
    ):
        assert "SPY" not in weights
        assert equity(weights) == pytest.approx(equity_share(36))
    two = universe("SPY", "VTI", "BND", kind="etf")
    with pytest.raises(NotEnoughData, match=r"2 equity funds .* at 40.0% each cannot hold 84.0%"):
        run(returns, listed=two)
    assert equity(run(returns, listed=two, max_weight=0.5)) == pytest.approx(equity_share(36))
    no_bond = universe(*EQUITIES, kind="etf")
    with pytest.raises(NotEnoughData, match="no bond fund"):
        run(returns, listed=no_bond)
    assert equity(run(returns, listed=no_bond, bond_share=0.0)) == pytest.approx(equity_share(36))


def test_52_weeks_are_the_least_and_a_bar_of_the_decision_day_is_not_seen():
    with pytest.raises(NotEnoughData, match="51 weeks of prices are known, 52 are needed"):
        run(made(259))
    assert run(made(260))
    returns = made(301)
    changed = {name: np.append(values[:-1], 0.3 if name == "QQQ" else 0.0) for name, values in returns.items()}
    early = bills(day="2024-06-03")
    assert run(returns, "2024-06-27", rates=early) == run(changed, "2024-06-27", rates=early)
    assert run(returns, rates=early) != run(changed, rates=early)


def test_parameters_that_make_no_sense_are_refused():
    for bad, why in (
        ({"core": ("SPY", "GLD")}, "'GLD' is neither an equity nor a bond fund"),
        ({"core": ("SPY", "VOO")}, "'VOO' is not one of the funds read"),
        ({"safe_bonds": ("SPY",)}, "'SPY' is not one of the bond funds"),
        ({"safe_bonds": ()}, "cannot be"),
        ({"birth_year": 1899}, "cannot be"),
        ({"bond_share": 1.1}, "cannot be"),
        ({"weeks": 51}, "cannot be"),
    ):
        with pytest.raises(ValueError, match=why):
            glide_path.with_parameters(bad)


@lru_cache(maxsize=1)
def base() -> duckdb.DuckDBPyConnection:
    """The sandbox's bars of the core and the yields as tables; all five funds are listed throughout."""
    found = duckdb.connect()
    rows, rates = worlds.tables()["prices"], worlds.tables()["treasury_rates"]
    found.register("bars", rows[rows["symbol"].isin(NAMES)])
    found.register("yields", rates)
    found.execute("create table prices as from bars")
    found.execute("create table rates as from yields")
    return found


def by_sql(day: date) -> tuple[np.ndarray, float] | None:
    """Weekly returns (weeks, BND and the equity funds) and the mean yield, in SQL; None with too few weeks."""
    query = """
        with days as (
            select known_on, row_number() over (order by known_on desc) - 1 as back
            from (select distinct known_on from prices where known_on < $day) qualify back < 520),
        used as (select known_on, back, bars from days, (select count(*) // 5 * 5 as bars from days) where back < bars)
        select symbol, back // 5 as week, product(1 + coalesce(total_return, 0)) - 1 as r, (
            select avg(rate) from rates, (select max(bars) as bars from used)
            where tenor = '3m' and known_on < $day and event_date >= $day - (7 * bars // 5)::int) as rate
        from prices join used using (known_on) where bars >= 260 group by all"""
    rows = base().execute(query, {"day": day}).df()
    if rows.empty:
        return None
    wide = rows.pivot(index="week", columns="symbol", values="r").sort_index(ascending=False)
    return wide[list(NAMES)].to_numpy(), float(rows["rate"].iloc[0])


def best_sharpe(mean: np.ndarray, cov: np.ndarray, share: float, safe: float) -> np.ndarray:
    """The equity weights that a general-purpose optimiser finds, the bonds given."""

    def loss(e: np.ndarray) -> float:
        w = np.array([safe, *e])
        return -float(w @ mean / np.sqrt(w @ cov @ w))

    starts = np.full(4, share / 4), np.array([0.4, 0.4, share - 0.8, 0.0])
    runs = [
        minimize(
            loss,
            start,
            bounds=[(0, 0.4)] * 4,
            constraints={"type": "eq", "fun": lambda e: e.sum() - share},
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 300},
        )
        for start in starts
    ]
    return np.array([safe, *min(runs, key=lambda found: found.fun).x])


def test_on_a_hundred_days_another_optimiser_finds_no_larger_sharpe_ratio():
    """Data in SQL, covariance by scikit-learn, programme by SLSQP; compared by Sharpe ratio and shares.

    SPY and VTI are nearly one asset in the sandbox, so that weights far apart have Sharpe ratios 1e-6 apart.
    """
    days, decided, infeasible = worlds.some_days(100), 0, 0
    for day in days:
        weights, known = worlds.outcome(glide_path, worlds.history(), day), by_sql(day)
        assert (weights is None) == (known is None), day
        if weights is None or known is None:
            continue
        x, rate = known
        sigma = x.std(axis=0)
        cov = ledoit_wolf((x - x.mean(axis=0)) / sigma)[0] * np.outer(sigma, sigma)
        mean = x.mean(axis=0) - rate / 52
        share = 0.9 - 0.01 * (day.year - 1988 - 30)
        safe = 0.8 * (1 - share)
        assert equity(weights) == pytest.approx(share, abs=1e-9)
        assert weights["BND"] == pytest.approx(safe, abs=1e-9)
        ours = np.array([weights.get(name, 0.0) for name in NAMES])
        theirs = best_sharpe(mean, cov, share, safe)
        ratios = [w @ mean / np.sqrt(w @ cov @ w) for w in (ours, theirs)]
        if ratios[1] > 1e-9:
            assert ratios[0] == pytest.approx(ratios[1], abs=2e-6), day
        else:
            infeasible += 1
            assert ours @ cov @ ours <= theirs @ cov @ theirs + 1e-12, day
        decided += 1
    assert decided >= 60
    assert 0 < infeasible < decided


def test_the_order_of_rows_and_other_funds_do_not_matter():
    bars, rates = prices(made()), pd.concat([bills(0.01, "2024-01-03"), bills(0.02, "2024-01-02")], ignore_index=True)
    first = decide(glide_path, DAY, prices=bars, universe=LISTED, treasury_rates=rates)
    for seed in range(3):
        tables = {"prices": bars, "universe": LISTED, "treasury_rates": rates}
        assert decide(glide_path, DAY, **{k: worlds.permuted(v, seed) for k, v in tables.items()}) == first
    more = prices(made() | {"GLD": np.full(300, 0.01), "TLT": np.full(300, 0.01)})
    assert decide(glide_path, DAY, prices=more, universe=LISTED, treasury_rates=rates) == first


def test_it_does_not_look_ahead():
    wanted = ("prices", "universe", "corporate_actions", "treasury_rates")
    assert not audit(glide_path, History({name: worlds.tables()[name] for name in wanted}), worlds.some_days(4, seed=9))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1930, 2010), st.floats(0, 0.1), st.sampled_from([0.3, 0.5, 1.0]))
def test_at_any_age_and_yield_the_shares_hold(seed: int, year: int, rate: float, most: float):
    weights = run(made(260, seed), birth_year=year, rates=bills(rate), max_weight=most)
    share = equity_share(2024 - year)
    assert equity(weights) == pytest.approx(share, abs=1e-9)
    assert weights["BND"] == pytest.approx(0.8 * (1 - share), abs=1e-9)
    assert max(weights.get(name, 0.0) for name in EQUITIES) <= most + 1e-12
