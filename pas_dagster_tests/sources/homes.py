"""What the tests of imports share: files made on the spot, an import of them, and the folder of recorded data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pas_dagster.sources import importer, staging
from pas_dagster.sources.imported import ImportProvider
from pas_dagster.sources.importer import Parsed
from pas_dagster.sources.options import Options
from pas_dagster.sources.raw import RawStore

TODAY = date(2026, 11, 20)
START = date(2015, 1, 1)


@dataclass(frozen=True)
class Home:
    """A folder with files, imports and raw bytes."""

    folder: Path

    @property
    def imports(self) -> Path:
        return self.folder / "imports"

    @property
    def raw(self) -> RawStore:
        return RawStore(self.folder / "raw")

    @property
    def provider(self) -> ImportProvider:
        return ImportProvider(self.imports, self.raw)

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def parse(
        self, dataset: str, path: Path, columns: Mapping[str, str] | None = None, start: date = START, **options: Any
    ) -> Parsed:
        return importer.parse(
            dataset, path, column_map=columns, options=Options.read(options), today=TODAY, start=start
        )

    def bring(self, dataset: str, path: Path, **options: Any) -> staging.Manifest:
        return staging.stage(self.parse(dataset, path, **options), self.imports, self.raw)


def recorded(path: str) -> Path:
    """A file of the recorded data; skips the test where the folder is absent."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    found = Path(os.environ.get("PAS_SHARED_DATA", beside)) / path
    if not found.exists():
        pytest.skip(f"no recorded data at {found}; set PAS_SHARED_DATA")
    return found
