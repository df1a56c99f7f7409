import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from pas_dagster.errors import PasError
from pas_dagster.sources.files.readers import read_table

RECORDS = [{"a": 1.50, "b": "NA"}, {"a": None, "b": "x"}]


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b"a,b\n1.50,NA\n,x\n"),
        ("t.CSV", b"\xef\xbb\xbfa,b\r\n1.50,NA\r\n,x\r\n"),
        ("t.csv.gz", gzip.compress(b"a,b\n1.50,NA\n,x\n", mtime=0)),
        ("t.tsv", b"a\tb\n1.50\tNA\n\tx\n"),
        ("t.json", b'[{"a": 1.50, "b": "NA"}, {"b": "x"}]'),
        (
            "t.json.gz",
            gzip.compress(json.dumps({"data": [{"a": "1.50", "b": "NA"}, {"a": None, "b": "x"}]}).encode(), mtime=0),
        ),
        ("t.jsonl", b'{"a": 1.50, "b": "NA"}\n\n{"a": "", "b": "x"}\n'),
    ],
)
def test_text_stays_text(tmp_path: Path, name: str, content: bytes) -> None:
    table = read_table(write(tmp_path / name, content))
    assert table.columns.tolist() == ["a", "b"]
    assert table.iloc[0].tolist() == ["1.50", "NA"]
    assert table["a"].isna().tolist() == [False, True]
    assert table.index.tolist() == [1, 2]


def test_rows_keep_their_number_over_blank_lines(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "t.csv", b"a,b\n1,2\n\n3,4\n"))
    assert table.index.tolist() == [1, 3]


def test_preamble_and_nameless_first_column(tmp_path: Path) -> None:
    text = "Created in 2024.\r\nThe rate, over days\r\n\r\n,Mkt-RF,RF\r\n20240102, 0.1, 0.02\r\n\r\nCopyright 2024\r\n"
    table = read_table(write(tmp_path / "t.csv", text.encode()))
    assert table.columns.tolist() == ["", "Mkt-RF", "RF"]
    assert table.index.tolist() == [1, 3]  # the copyright line is a row; the layout knows it for prose


def test_parquet_keeps_types_and_gives_its_index_as_a_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"A": [1.5]}, index=pd.DatetimeIndex(["2024-01-02"], name="Date"))
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table.columns.tolist() == ["Date", "A"]
    assert table["A"].dtype == "float64"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", b"", ["t.csv", "empty"]),
        ("t.csv", b" \n\n", ["t.csv", "empty"]),
        ("t.csv", b"a,b\n", ["t.csv", "no rows"]),
        ("t.json", b"[]", ["t.json", "no rows"]),
        ("t.json", b'{"rows": []}', ["t.json", "list of records"]),
        ("t.json", b"[1, 2", ["t.json", "not JSON"]),
        ("t.jsonl", b'{"a": 1}\n{oops\n', ["t.jsonl", "line 2"]),
        ("t.xlsx", b"PK", ["t.xlsx", "unknown ending", ".csv.gz", ".parquet"]),
        ("t.parquet", b"PAR1 not really", ["t.parquet", "Parquet"]),
        ("t.csv", b"a,b\n1,\xff\xfe\n", ["t.csv", "UTF-8", "line 2"]),
        ("t.csv", b"a,b\n1,\0\n", ["t.csv", "not text"]),
        ("t.csv.gz", b"no gzip", ["t.csv.gz", "gzip"]),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-12], ["t.csv.gz", "gzip", "too early"]),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", ["t.csv", "line 3"]),
        ("t.csv", b"a,a\n1,2\n", ["t.csv", "'a' twice"]),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, words: list[str]) -> None:
    with pytest.raises(PasError) as caught:
        read_table(write(tmp_path / name, content))
    for word in words:
        assert word in str(caught.value)


def test_missing_and_oversized_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PasError, match=r"no file .*nowhere.csv"):
        read_table(tmp_path / "nowhere.csv")
    monkeypatch.setattr("pas_dagster.sources.files.readers.MAX_FILE", 3)
    with pytest.raises(PasError, match=r"t.csv has 8 bytes"):
        read_table(write(tmp_path / "t.csv", b"a,b\n1,2\n"))
    monkeypatch.setattr("pas_dagster.sources.files.readers.MAX_FILE", 999)
    monkeypatch.setattr("pas_dagster.sources.files.readers.MAX_TEXT", 50)
    with pytest.raises(PasError, match=r"t.csv.gz unpacks to more than 50"):
        read_table(write(tmp_path / "t.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 99)))
