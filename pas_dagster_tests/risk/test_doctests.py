"""The examples in the docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import pas_dagster.risk as package

MODULES = sorted(module.name for module in pkgutil.iter_modules(package.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"{package.__name__}.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
