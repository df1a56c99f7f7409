"""What the tests of imports share: files made on the spot, an import of them, and the folder of recorded data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pas_dagster.sources.files import importer, staging
from pas_dagster.sources.files.importer import Parsed
from pas_dagster.sources.files.options import Options
from pas_dagster.sources.files.provider import ImportProvider
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
        return ImportProvider(self.imports)

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
