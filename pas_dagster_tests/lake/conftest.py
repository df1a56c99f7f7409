from collections.abc import Iterator
from pathlib import Path

import pytest

from pas_dagster.lake import Lake
from pas_dagster_tests.ledger.database import fresh, server

__all__ = ["server"]


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """A database of the test's own, empty."""
    yield from fresh(server)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "lake"
    made.mkdir()
    return made


@pytest.fixture
def lake(url: str, folder: Path) -> Iterator[Lake]:
    with Lake(url, folder) as opened:
        yield opened
