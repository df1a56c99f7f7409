"""Where the recorded reference data is, and random problems for the tests of this folder."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pas_dagster.allocation import Policy
from pas_dagster.allocation.target import Estimate, Target, bounded_problem, estimate, target_weights


@pytest.fixture(scope="session")
def quant_data() -> Path:
    """Folder of the recorded quantitative reference data."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("PAS_SHARED_DATA", beside)) / "quant"
    if not folder.is_dir():
        pytest.skip(f"the recorded reference data is not at {folder}; set PAS_SHARED_DATA to its folder")
    return folder


def step(returns: NDArray[np.float64], policy: Policy) -> tuple[Estimate, Target]:
    """The estimate and the maximum-Sharpe target of weekly returns (T, n)."""
    found = estimate(returns, policy)
    names = tuple(f"sleeve {i:02d}" for i in range(returns.shape[1]))
    with np.errstate(all="ignore"):
        problem = bounded_problem(names, found, policy)
    return found, target_weights(problem, policy)


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(7)


@pytest.fixture
def returns(rng: np.random.Generator) -> NDArray[np.float64]:
    """Twelve weeks of ten sleeves with a common factor and positive drift."""
    factor = rng.normal(0.0, 0.01, (12, 1))
    return 0.003 + factor + rng.normal(0.0, 0.02, (12, 10))
