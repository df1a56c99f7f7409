"""The examples in the documentation are true."""

import doctest
from types import ModuleType

import pytest

from pas_dagster.analytics import backtest, statistics


@pytest.mark.parametrize("module", [backtest, statistics])
def test_examples(module: ModuleType):
    results = doctest.testmod(module)
    assert results.attempted
    assert not results.failed
