"""Where the recorded reference data is, and random problems for the tests of this folder."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture(scope="session")
def quant_data() -> Path:
    """Folder of the recorded quantitative reference data."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("PAS_SHARED_DATA", beside)) / "quant"
    if not folder.is_dir():
        pytest.skip(f"the recorded reference data is not at {folder}; set PAS_SHARED_DATA to its folder")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(7)


@pytest.fixture
def returns(rng: np.random.Generator) -> NDArray[np.float64]:
    """Twelve weeks of ten sleeves with a common factor and positive drift."""
    factor = rng.normal(0.0, 0.01, (12, 1))
    return 0.003 + factor + rng.normal(0.0, 0.02, (12, 10))
