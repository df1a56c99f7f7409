from pathlib import Path

import pytest

from pas_dagster_tests.sources.files.homes import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)
