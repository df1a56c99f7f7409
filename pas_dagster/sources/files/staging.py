"""The imports of a home: canonical rows as Parquet, and one manifest per import that says what they stem from.

imports/<dataset>/<order>-<digest>-<options>.json      the manifest, written last: without it nothing counts
imports/<dataset>/<order>-<digest>-<options>.parquet   rows; companions lie in their own dataset's folder
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd

from pas_dagster.errors import PasError
from pas_dagster.sources.files.importer import Parsed, parse_bytes
from pas_dagster.sources.files.options import Options
from pas_dagster.sources.raw import RawStore

_ROW_GROUP = 131_072  # rows sorted by known_on: a reader of one day skips all groups but one


@dataclass(frozen=True)
class Part:
    """The rows that an import brings to one dataset. `first` and `last` are the days on which they became known."""

    path: Path
    rows: int
    first: date
    last: date
    through: date


@dataclass(frozen=True)
class Manifest:
    """One import. `parts`: dataset -> its rows, `quarantine` among them."""

    path: Path
    order: int
    file: str
    dataset: str
    digest: str
    layout: str
    column_map: dict[str, str]
    options: Options
    today: date
    start: date
    parts: dict[str, Part]
    refused: dict[str, int]
    left_out: dict[str, int]


def stage(parsed: Parsed, folder: Path, raw: RawStore) -> Manifest:
    """Keep the bytes and the rows of an import; doing it again with the same file and options changes nothing.

    Only when a later day makes more of the same file known (rows that were in the future) it is written anew.
    """
    identity = _identity(parsed)
    for known in manifests(folder):
        if known.path.stem.endswith(identity) and known.dataset == parsed.table.name:
            if {name: part.rows for name, part in known.parts.items()} == {n: len(f) for n, f in _frames(parsed)}:
                return known
            return _write(parsed, folder, raw, known.path.stem, known.order)
    order = max((known.order for known in manifests(folder)), default=0) + 1
    return _write(parsed, folder, raw, f"{order:06d}-{identity}", order)


def restage(folder: Path, raw: RawStore) -> list[Manifest]:
    """Read every import again from its raw bytes, with its own map, options and days; the order stays.

    For when a layout was mended. Raises `PasError` naming the import whose bytes are gone.
    """
    done = []
    for known in manifests(folder):
        try:
            content = raw.get(known.digest)
        except FileNotFoundError:
            raise PasError(
                f"The bytes of {known.file} ({known.digest[:12]}) are gone. Import the file again."
            ) from None
        parsed = parse_bytes(
            known.dataset, content, known.file, known.column_map, known.options, known.today, known.start
        )
        done.append(_write(parsed, folder, raw, known.path.stem, known.order))
    return done


def manifests(folder: Path) -> list[Manifest]:
    """The imports of a folder, oldest first."""
    found = [_load(path) for path in folder.glob("*/*.json")]
    return sorted(found, key=lambda manifest: (manifest.order, manifest.path.name))


def _identity(parsed: Parsed) -> str:
    said = [parsed.table.name, parsed.column_map, parsed.options.write(), str(parsed.start)]
    options = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    return f"{parsed.digest[:12]}-{options[:8]}"


def _frames(parsed: Parsed) -> list[tuple[str, pd.DataFrame]]:
    """Every frame of an import that has rows, and the dataset's own in any case."""
    parts = [(parsed.table.name, parsed.rows), *parsed.extra.items()]
    return parts + ([("quarantine", parsed.bad)] if len(parsed.bad) else [])


def _write(parsed: Parsed, folder: Path, raw: RawStore, stem: str, order: int) -> Manifest:
    raw.put(parsed.content)
    parts = {}
    for name, frame in _frames(parsed):
        path = folder / name / f"{stem}.parquet"
        _replace(path, lambda partial, frame=frame: frame.to_parquet(partial, index=False, row_group_size=_ROW_GROUP))
        known = frame["known_on"]
        days = (known.min().date(), known.max().date()) if len(frame) else (parsed.start, parsed.start)
        parts[name] = Part(path, len(frame), *days, parsed.through)
    manifest = Manifest(
        path=folder / parsed.table.name / f"{stem}.json",
        order=order,
        file=parsed.file,
        dataset=parsed.table.name,
        digest=parsed.digest,
        layout=parsed.layout,
        column_map=dict(parsed.column_map),
        options=parsed.options,
        today=parsed.today,
        start=parsed.start,
        parts=parts,
        refused=dict(parsed.refused),
        left_out=dict(parsed.left_out),
    )
    _replace(manifest.path, lambda partial: partial.write_text(json.dumps(_plain(manifest, folder), indent=1)))
    return manifest


def _replace(path: Path, write: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid4().hex}.partial")
    try:
        write(partial)
        os.replace(partial, path)  # noqa: PTH105  (atomic by definition)
    finally:
        partial.unlink(missing_ok=True)


def _plain(manifest: Manifest, folder: Path) -> dict[str, Any]:
    parts = {
        name: {
            "path": part.path.relative_to(folder).as_posix(),
            "rows": part.rows,
            "first": str(part.first),
            "last": str(part.last),
            "through": str(part.through),
        }
        for name, part in manifest.parts.items()
    }
    own = {name: getattr(manifest, name) for name in ("order", "file", "dataset", "digest", "layout", "column_map")}
    days = {"today": str(manifest.today), "start": str(manifest.start)}
    counts = {"refused": manifest.refused, "left_out": manifest.left_out}
    return {**own, "options": manifest.options.write(), **days, **counts, "parts": parts}


def _load(path: Path) -> Manifest:
    folder = path.parent.parent
    try:
        said = json.loads(path.read_text())
        parts = {
            name: Part(
                folder / part["path"],
                part["rows"],
                *(date.fromisoformat(part[day]) for day in ("first", "last", "through")),
            )
            for name, part in said.pop("parts").items()
        }
        today, start = (date.fromisoformat(said.pop(name)) for name in ("today", "start"))
        options = Options.read(said.pop("options"))
        return Manifest(path=path, parts=parts, options=options, today=today, start=start, **said)
    except (ValueError, KeyError, TypeError) as error:
        raise PasError(f"The manifest {path} is damaged ({error}). Remove it and import the file again.") from None
