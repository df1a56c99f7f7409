"""Files as tables: CSV, TSV, JSON, JSON Lines and Parquet, each also with `.gz` (Parquet compresses itself).

The index of a table read here is the row number in the file: 1 is the first row below the header. Text stays text,
so that nothing is guessed (`NA` is a symbol, `007` is not 7); a blank cell is missing. Only Parquet brings types.
"""

from __future__ import annotations

import csv
import io
import json
import warnings
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from pas_dagster.errors import PasError

ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".json", ".json.gz", ".jsonl", ".jsonl.gz", ".parquet")
MAX_FILE = 512 * 2**20
MAX_TEXT = 2 * 2**30
_LOOK_AHEAD = 200  # lines that tell the header from a preamble


def read_table(path: Path) -> pd.DataFrame:
    """The rows of a file. Raises `PasError` with one sentence that names the file, its fault and what to do."""
    return decode(read_bytes(path), path.name)


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, if its ending is known and it is neither missing, empty nor too large."""
    if not path.is_file():
        raise PasError(f"There is no file {path}. Check the path, and quote it if it has spaces.")
    _ending(path.name)
    size = path.stat().st_size
    if size == 0:
        raise PasError(f"{path.name} is empty (0 bytes). Download or export it again.")
    if size > MAX_FILE:
        raise PasError(f"{path.name} has {size:,} bytes, more than the {MAX_FILE:,} allowed. Split it into parts.")
    return path.read_bytes()


def decode(content: bytes, name: str) -> pd.DataFrame:
    """The rows of a file's bytes; `name` gives the format by its ending and appears in errors."""
    ending = _ending(name)
    if ending == ".parquet":
        table = _parquet(content, name)
    else:
        text = _text(_unzip(content, name) if ending.endswith(".gz") else content, name)
        match ending.removesuffix(".gz"):
            case ".json":
                table = _records(_json(text, name), name)
            case ".jsonl":
                table = _records(_json_lines(text, name), name)
            case plain:
                table = _separated(text, name, "\t" if plain == ".tsv" else ",")
    if table.empty:
        raise PasError(f"{name} has no rows below its header. Check that the export is complete.")
    return table


def _ending(name: str) -> str:
    found = [ending for ending in ENDINGS if name.lower().endswith(ending)]
    if not found:
        raise PasError(f"{name} has an unknown ending. Convert it to one of {', '.join(ENDINGS)}.")
    return max(found, key=len)


def _unzip(content: bytes, name: str) -> bytes:
    machine = zlib.decompressobj(wbits=31)
    parts: list[bytes] = []
    size = 0
    try:
        while content:
            parts.append(machine.decompress(content, MAX_TEXT - size + 1))
            size += len(parts[-1])
            if size > MAX_TEXT:
                raise PasError(f"{name} unpacks to more than {MAX_TEXT:,} bytes. Split it into parts.")
            if not machine.eof:
                raise zlib.error("it ends too early")
            content = machine.unused_data.lstrip(b"\0")  # a file may hold several members
            machine = zlib.decompressobj(wbits=31)
    except zlib.error as error:
        raise PasError(f"{name} is not a whole gzip file ({error}). Download it again.") from None
    return b"".join(parts)


def _text(content: bytes, name: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise PasError(f"{name} is not UTF-8 text (line {line}). Save it again with the encoding UTF-8.") from None
    if "\0" in text:
        raise PasError(f"{name} is not text (it holds NUL characters). Export it as UTF-8 text or Parquet.")
    if not text.strip():
        raise PasError(f"{name} is empty (blank lines only). Download or export it again.")
    return text


def _parquet(content: bytes, name: str) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(content)).to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise PasError(f"{name} is not readable as Parquet ({reason}). Download or write it again.") from None
    if not isinstance(table.index, pd.RangeIndex):
        table = table.reset_index()  # pandas writes dates as an index
    table.columns = [str(column) for column in table.columns]
    return _numbered(table, name)


def _separated(text: str, name: str, separator: str) -> pd.DataFrame:
    skip, header = _header(text, separator)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            table = pd.read_csv(
                io.StringIO(text),
                sep=separator,
                header=None,
                names=range(len(header)),  # names may repeat here; `_numbered` names the repeated one
                skiprows=skip,
                dtype=str,
                keep_default_na=False,
                na_values=[""],
                skip_blank_lines=False,  # a blank line is a row: the numbers are those of the file
                index_col=False,
            )
        except pd.errors.EmptyDataError:
            table = pd.DataFrame(columns=range(len(header)), dtype="str")
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            reason = str(error).removeprefix("Error tokenizing data. C error: ").strip()
            if isinstance(error, pd.errors.ParserWarning):
                reason = f"its rows have more fields than the {len(header)} of its header"
            raise PasError(f"{name} is not a regular table: {reason}. Quote or mend the row.") from None
    table.columns = header
    return _numbered(table, name)


def _header(text: str, separator: str) -> tuple[int, list[str]]:
    """Lines to skip up to and including the header, and the header's names.

    Ken French's and iShares' files start with lines of prose. The header is then the first line that has as many
    fields as most lines do and no number among them; in other files it is the first line that is not blank.
    """
    reader = csv.reader(io.StringIO(text[: 2**22]), delimiter=separator)
    lines: list[tuple[int, list[str]]] = []
    for fields in reader:
        if any(field.strip("\ufeff\xa0 ") for field in fields):
            lines.append((reader.line_num, [field.strip() for field in fields]))
        if len(lines) == _LOOK_AHEAD:
            break
    usual = Counter(len(fields) for _, fields in lines[1:]).most_common(1)
    if usual and len(lines[0][1]) < usual[0][0]:
        for at, fields in lines:
            if len(fields) == usual[0][0] and not any(map(_is_number, fields)):
                return at, fields
    return lines[0]


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("-", "").isdigit()


def _json(text: str, name: str) -> Any:
    try:
        found = json.loads(text, parse_float=str, parse_int=str)
    except (json.JSONDecodeError, RecursionError) as error:
        raise PasError(f"{name} is not JSON ({error}). Download or export it again.") from None
    return found.get("data") if isinstance(found, dict) else found


def _json_lines(text: str, name: str) -> list[Any]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append(json.loads(line, parse_float=str, parse_int=str))
            except (json.JSONDecodeError, RecursionError) as error:
                raise PasError(f"{name} is not JSON in line {number} ({error}). Mend or remove the line.") from None
    return found


def _records(found: Any, name: str) -> pd.DataFrame:
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise PasError(f'{name} is not a list of records. Give it the form [{{...}}, ...] or {{"data": [...]}}.')
    names = list(dict.fromkeys(key for row in found for key in row))
    columns = {name: pd.Series([_scalar(row.get(name)) for row in found], dtype="str") for name in names}
    return _numbered(pd.DataFrame(columns), name)


def _scalar(value: Any) -> str | None:
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else json.dumps(value)


def _numbered(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Index 1.., rows that are wholly blank dropped, unnamed empty columns dropped, names unique."""
    table.index = pd.RangeIndex(1, len(table) + 1, name="row")
    nameless = (table.columns == "") & table.isna().to_numpy().all(axis=0)
    nameless[:1] = False  # the first column of Ken French's files, the dates, has no name
    table = table.loc[:, ~nameless]
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise PasError(f"{name} has the column {twice[0]!r} twice. Rename or remove one of them.")
    blank = table.isna().all(axis=1)
    return table[~blank] if blank.any() else table
