"""The examples in the docstrings are true."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["contract", "members", "catalogue"])
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"pas_dagster.strategies.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
