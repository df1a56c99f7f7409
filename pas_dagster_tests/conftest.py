"""Where the tests are at home, and how they are spread over processes."""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Partition sets begin with the home that is there when they are imported: never with what `make demo` left behind.
os.environ["PAS_HOME"] = str(Path(tempfile.gettempdir()) / f"pas-tests-no-home-{os.getpid()}")


class ByHome(LoadScopeScheduling):
    """Tests one by one, but those of a file that is marked as one group in one process: they share a costly home.

    xdist's own `loadgroup` reads the mark from node ids, which pytest 9.2 no longer lets it write.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return file if _is_group(self.config.rootpath / file) else nodeid


@lru_cache
def _is_group(file: Path) -> bool:
    return file.exists() and "mark.xdist_group(" in file.read_text()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByHome | None:
    return ByHome(config, log) if config.getvalue("dist") == "loadgroup" else None
