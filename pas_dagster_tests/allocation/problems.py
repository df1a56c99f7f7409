"""Random problems for the tests of the schemes."""

import numpy as np
import pandas as pd

from pas_dagster.allocation import Mandate, Policy
from pas_dagster.allocation.problem import Problem
from pas_dagster.allocation.target import bounded_problem, estimate
from pas_dagster.allocation.views import NamedView

LETTERS = "abcdefghijklmnopqrstuvwxyz"
GROUPS = {name: ("bonds", "equities", "other")[i % 3] for i, name in enumerate(LETTERS)}
MANDATE = Mandate(
    mix={"a": 0.4, "b": 0.3, "c": 0.1, "d": 0.1, "e": 0.1},
    groups=GROUPS,
    budgets={"bonds": 0.5, "equities": 0.25, "other": 0.25},
    equity=frozenset({"equities", "other"}),
    birth_year=1980,
    views=(NamedView("a", None, 0.02), NamedView("b", "c", 0.01, 0.8)),
)


def frame(seed: int, sleeves: int = 8, weeks: int = 14, drift: float = 0.003) -> pd.DataFrame:
    """Random weekly returns of sleeves a, b, c ..."""
    rng = np.random.default_rng(seed)
    spread = np.exp(rng.normal(0.0, 0.4, sleeves))
    x = drift + spread * (rng.normal(0.0, 0.01, (weeks, 1)) + rng.normal(0.0, 0.02, (weeks, sleeves)))
    index = pd.date_range("2024-01-05", periods=weeks, freq="W-FRI")
    return pd.DataFrame(x, index=index, columns=list(LETTERS[:sleeves]))


def problem(seed: int = 0, sleeves: int = 8, policy: Policy | None = None, drift: float = 0.003, **more) -> Problem:
    """A problem of random weeks; `more` as in `make_problem`."""
    policy = Policy() if policy is None else policy
    returns = frame(seed, sleeves, 12, drift)
    more = {"mandate": MANDATE, "equity_share": 0.7} | more
    return bounded_problem(tuple(returns.columns), estimate(returns.to_numpy().copy(), policy), policy, **more)
