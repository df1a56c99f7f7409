"""Raw bytes as they came in, kept under their digest, so that a fill can be explained back to them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from uuid import uuid4

from pas_dagster.errors import PasError


class RawStore:
    """A content-addressed folder: the same bytes are kept once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, content: bytes) -> str:
        """Keep the bytes and return their SHA-256 in hexadecimal."""
        digest = hashlib.sha256(content).hexdigest()
        path = self.path(digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{digest}.{uuid4().hex}.partial")
            partial.write_bytes(content)
            os.replace(partial, path)  # noqa: PTH105  (atomic by definition)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes. Raises `FileNotFoundError` when they are gone, `PasError` when they are not those kept."""
        content = self.path(digest).read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise PasError(f"The raw bytes {self.path(digest)} are damaged. Delete the file and bring them in again.")
        return content

    def path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest
