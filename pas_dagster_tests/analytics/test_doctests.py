"""The examples in the documentation are true."""

import doctest
from types import ModuleType

import pytest

from pas_dagster.analytics import (
    attribution,
    backtest,
    bootstrap,
    factors,
    rolling,
    scoreboard,
    statistics,
    universe,
)


@pytest.mark.parametrize(
    "module", [attribution, backtest, bootstrap, factors, rolling, scoreboard, statistics, universe]
)
def test_examples(module: ModuleType):
    results = doctest.testmod(module)
    assert results.attempted
    assert not results.failed
