"""The folder of recorded data, which is no part of the project."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest


def recorded(path: str) -> Path:
    """A file of the recorded data; skips the test where the folder is absent."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    found = Path(os.environ.get("PAS_SHARED_DATA", beside)) / path
    if not found.exists():
        pytest.skip(f"no recorded data at {found}; set PAS_SHARED_DATA")
    return found


def recorded_bytes(path: str) -> bytes:
    """Its content, decompressed where the name ends in .gz."""
    content = recorded(path).read_bytes()
    return gzip.decompress(content) if path.endswith(".gz") else content
