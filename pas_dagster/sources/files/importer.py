"""Files of history become rows of a dataset: read, reshape, check, and say exactly what was refused.

`parse` writes nothing. What it returns goes into a home with `staging.stage`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from pas_dagster.errors import PasError
from pas_dagster.schemas import TABLES, Table
from pas_dagster.schemas.results import QUARANTINE
from pas_dagster.sources.files import layouts, readers
from pas_dagster.sources.files.layouts import Context, Layout, shape
from pas_dagster.sources.files.options import Options

EVENT_DATASETS = frozenset({"universe", "corporate_actions", "politician_trades", "fama_french_factors"})
_BEFORE_START = "known before the first day"
_FOLDED = "changes up to the first day, folded into who is a member on it"


@dataclass(frozen=True)
class Parsed:
    """What a file says. `rows` and every frame of `extra` have their table's columns but `provider`.

    `bad` has the columns of `quarantine` (one row per row of the file), `refused` counts rows by the rule they break,
    `left_out` counts rows that are neither bad nor wanted, `through` is the last day that the file tells about.
    """

    table: Table
    file: str
    content: bytes
    digest: str
    layout: str
    column_map: Mapping[str, str]
    options: Options
    today: date
    start: date
    rows: pd.DataFrame
    extra: Mapping[str, pd.DataFrame]
    bad: pd.DataFrame
    refused: Mapping[str, int]
    left_out: Mapping[str, int]
    through: date


def parse(
    table_name: str,
    path: Path,
    *,
    column_map: Mapping[str, str] | None = None,
    options: Options | None = None,
    today: date,
    start: date,
) -> Parsed:
    """Read a file into a dataset. `column_map`: the dataset's column (or a layout's) -> the file's column.

    Rows known before `start` are left out; a universe is folded into who is a member on `start`. Raises `PasError`
    when the file cannot be read, lacks a column, has no row, or more than `options.max_bad` of its rows are bad.
    """
    content = readers.read_bytes(path)
    return parse_bytes(table_name, content, path.name, column_map or {}, options or Options(), today, start)


def parse_bytes(
    table_name: str,
    content: bytes,
    file: str,
    column_map: Mapping[str, str],
    options: Options,
    today: date,
    start: date,
) -> Parsed:
    """The same for bytes that are at hand; `file` is the name, whose ending gives the format."""
    table = dataset(table_name)
    source = _mapped(readers.decode(content, file), column_map, table, file)
    layout = layouts.choose(table, list(source.columns), file, options.layout)
    digest = hashlib.sha256(content).hexdigest()
    shaped = layout.shape(_named(source, layout, file), Context(table, file, options, today, start))
    rows, wrong = _checked(shaped.rows, table, digest, today, shaped.cells)
    wrong = shape.joined([shaped.faults, wrong])
    _require_enough(rows, wrong, file, options)
    through = options.through or rows["known_on"].max().date()
    rows, early = _from_start(rows, table, start)
    left_out = {**shaped.left_out, _FOLDED if table.name == "universe" else _BEFORE_START: early}
    extra = {}
    for name, frame in shaped.extra.items():
        companions, broken = _checked(frame, TABLES[name], digest, today, {})
        extra[name], _ = _from_start(companions, TABLES[name], start)
        left_out[f"companions in {name} that break a rule"] = len(broken)  # as a rule the bar itself is refused too
    return Parsed(
        table=table,
        file=file,
        content=content,
        digest=digest,
        layout=layout.name,
        column_map=dict(column_map),
        options=options,
        today=today,
        start=start,
        rows=rows,
        extra={name: frame for name, frame in extra.items() if len(frame)},
        bad=_quarantine(wrong, source, table, file, today),
        refused=wrong["reason"].map(_rule).value_counts().to_dict(),
        left_out={reason: count for reason, count in left_out.items() if count},
        through=through,
    )


def dataset(name: str) -> Table:
    """The table of a dataset that files can be imported into; raises `PasError` listing them."""
    facts = {n: table for n, table in TABLES.items() if "provider" in table.names}
    if name not in facts:
        raise PasError(f"There is no dataset {name!r}. There are: {', '.join(facts)}.")
    return facts[name]


def columns(table: Table) -> list[str]:
    """The table's columns as an import has them: who provides a row is said when it is fetched."""
    return [name for name in table.names if name != "provider"]


def typed(table: Table, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in those columns, in order and with their types."""
    return table.conform(rows.assign(provider="import") if "provider" in table.names else rows)[columns(table)]


def _mapped(frame: pd.DataFrame, column_map: Mapping[str, str], table: Table, file: str) -> pd.DataFrame:
    """The frame under the target names of the map. A column that had such a name before is dropped."""
    targets = set(table.names) | {name for layout in layouts.of(table) for name in layout.needs}
    targets |= {"date", "adj_close", "dividend", "split"} if table.name == "prices" else {"date"}
    for target, source in column_map.items():
        if source not in frame:
            raise PasError(
                f"{file} has no column {source!r}, which --map {target}={source} names. "
                f"It has: {', '.join(map(str, frame.columns))}."
            )
        if target not in targets:
            raise PasError(
                f"{table.name} has no column {target!r}; --map takes {target.upper()}=COLUMN "
                f"with one of: {', '.join(sorted(targets))}."
            )
    kept = frame.drop(columns=[t for t, s in column_map.items() if t in frame and t not in column_map.values()])
    return kept.rename(columns={source: target for target, source in column_map.items()})


def _named(frame: pd.DataFrame, layout: Layout, file: str) -> pd.DataFrame:
    if layout.verbatim:
        return frame
    names = layouts.plain(list(frame.columns))
    twice = pd.Series(names).duplicated()
    if twice.any():
        again = frame.columns[twice.to_numpy()][0]
        raise PasError(f"{file} has the column {again!r} twice but for its spelling. Rename or remove one of them.")
    return frame.set_axis(names, axis=1)


def _checked(
    rows: pd.DataFrame, table: Table, digest: str, today: date, cells: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows that keep every rule of the table, typed and with their digest, and the faults of the others."""
    cast, wrong = shape.typed(rows, table)
    reasons = shape.day_reasons(table.name, cast["known_on"], cast["event_date"], today)
    refused = reasons != ""
    wrong_days = shape.faults(cast.index[refused], reasons[refused], _cells(cast[refused], cells))
    sound = cast[~refused] if refused.any() else cast
    # taking one string many times is much quicker than broadcasting it
    sound = sound.assign(raw=pd.array([digest], dtype="str").take(np.zeros(len(sound), int)))
    verdict = table.check(table.conform(sound.assign(provider="import")))
    broken = shape.faults(verdict.bad.index, verdict.bad["reason"].to_numpy(), _cells(verdict.bad, cells))
    return verdict.good[columns(table)], shape.joined([wrong, wrong_days, broken])


def _cells(rows: pd.DataFrame, cells: Mapping[str, str]) -> list[str | None] | None:
    return [cells.get(symbol) for symbol in rows["symbol"]] if cells else None


def _require_enough(rows: pd.DataFrame, wrong: pd.DataFrame, file: str, options: Options) -> None:
    total = len(rows) + len(wrong)
    if total == 0:
        raise PasError(f"{file} holds no usable row. Check that the file is complete and meant for this dataset.")
    if len(wrong) > options.max_bad * total:
        first = wrong.loc[wrong["row"].idxmin()]
        where = "" if pd.isna(first["cell"]) else f", column {first['cell']}"
        raise PasError(
            f"{file}: {len(wrong):,} of {total:,} rows are bad ({len(wrong) / total:.1%}, allowed "
            f"{options.max_bad:.1%}); the first is row {first['row']}{where}: {first['reason']}. "
            f"Mend the file or the --map, or allow more with --option max_bad=0.5."
        )
    if rows.empty:
        raise PasError(f"{file} holds no good row. Mend the file or the --map.")


def _from_start(rows: pd.DataFrame, table: Table, start: date) -> tuple[pd.DataFrame, int]:
    """The rows known from `start` on, in stored order, and how many were known earlier.

    Of a universe, whoever is a member on `start` counts as known on it.
    """
    first = pd.Timestamp(start)
    early = rows["known_on"] < first
    if table.name == "universe":
        rows = _folded(rows, start)
    elif early.any():
        rows = rows[~early]
    return table.sort(rows), int(early.sum())


def _folded(rows: pd.DataFrame, start: date) -> pd.DataFrame:
    first = np.datetime64(start, "us")
    past = (rows["known_on"] <= first).to_numpy()
    ordered = rows[past].sort_values(["known_on", "action"], ascending=[True, False], kind="stable")
    last = ordered.drop_duplicates(["symbol", "index_name"], keep="last")  # on one day, whoever joins is in
    return pd.concat([last[last["action"] == "add"].assign(known_on=first), rows[~past]])


def _quarantine(wrong: pd.DataFrame, source: pd.DataFrame, table: Table, file: str, today: date) -> pd.DataFrame:
    """One row per bad row of the file: every rule it breaks, and its content as JSON (of wide files: the cells)."""
    found = []
    for row, faults in wrong.groupby("row", sort=True):
        cells = faults["cell"].dropna().unique().tolist()
        shown = source.loc[row, [source.columns[0], *cells]] if cells else source.loc[row]
        content = {str(name): value for name, value in shown.items() if not pd.isna(value)}
        found.append((row, "; ".join(faults["reason"].unique()), json.dumps(content, default=str)))
    frame = pd.DataFrame(found, columns=["row_number", "reason", "content"])
    return QUARANTINE.conform(frame.assign(known_on=pd.Timestamp(today), dataset=table.name, file=file))


def _rule(reason: str) -> str:
    """A reason without the value that broke it, for counting."""
    return re.sub(r"^(\w+) .*?(must be|is not a|is no statutory|is not known)\b", r"\1 \2", reason)
