"""A bad file is answered by one sentence that names file, row and rule; and nothing is staged."""

import pytest

from pas_dagster.errors import PasError
from pas_dagster.schemas.table import SYMBOL_PATTERN
from pas_dagster_tests.sources.files.homes import Home

LONG = "date,symbol,close\n2024-01-02,A,10\n"


@pytest.mark.parametrize(
    ("dataset", "name", "content", "words"),
    [
        ("prices", "p.csv", "date,symbol,price\n2024-01-02,A,10\n", ["'close'", "date, symbol, price", "--map close="]),
        ("prices", "p.csv", LONG + "2026-11-30,A,11\n", ["row 2", "known_on is in the future"]),
        ("prices", "p.csv", LONG + "2024-01-02,A,11\n", ["row 2", "duplicate key (known_on, symbol)"]),
        ("prices", "p.csv", LONG + "2024-01-03,A,\n", ["row 2", "close is missing"]),
        ("prices", "p.csv", LONG + "2024-01-03,A,NaN\n", ["row 2", "close 'NaN' is not a number"]),
        ("prices", "p.csv", LONG + "2024-01-03,A,-1\n", ["row 2", "close must be a number above 0"]),
        ("prices", "p.csv", LONG + "2024-01-03,A,ten\n", ["row 2", "close 'ten' is not a number"]),
        ("prices", "p.csv", LONG + "2024-01-03,RTN  RTX,1\n", ["row 2", "symbol 'RTN  RTX' must be of the form"]),
        ("prices", "p.csv", LONG + "2024-01-06,A,1\n", ["row 2", "known_on is not an NYSE session"]),
        ("prices", "p.csv", LONG + "soon,A,1\n", ["row 2", "known_on 'soon' is not a day"]),
        ("prices", "p.csv", "date,symbol,close\n", ["no rows below its header"]),
        ("prices", "p.csv", "", ["is empty"]),
        ("prices", "p.parquet", "PAR1 but no more", ["not readable as Parquet"]),
        ("prices", "w.csv", "date,A\n2024-01-02,1\n2024-01-02,2\n", ["row 2", "column A", "duplicate key"]),
        ("prices", "w.csv", "date,A\n2024-01-02,1\n2024-01-03,-2\n", ["row 2", "column A", "above 0"]),
        ("prices", "w.csv", "date,A\n2024-01-02,1\n2024-01-03,x\n", ["row 2", "column A", "not a number"]),
        ("prices", "w.csv", "date,A B C\n2024-01-02,1\n", ["row 1", "column A B C", "symbol 'A B C' must be"]),
        ("prices", "w.csv", "date,BRK-B,BRK.B\n2024-01-02,1,1\n", ["two columns for the symbol BRK.B"]),
        ("prices", "w.csv", "date,A\n2024-01-02,\n", ["no usable row"]),
        ("sp500_index", "i.csv", "date,close\n2024-01-02,5\n2024-01-02,6\n", ["row 2", "duplicate key (event_date)"]),
        ("sp500_index", "i.csv", "date,last\n2024-01-02,5\n", ["'close'", "--map close=COLUMN"]),
        (
            "wiki_views",
            "v.csv",
            "known_on,event_date,symbol,article,views\n2024-01-02,2024-01-02,A,A,1.5\n",
            ["row 1", "views '1.5' is not a whole number"],
        ),
        (
            "politician_trades",
            "t.csv",
            "known_on,event_date\n2024-01-02,2024-01-02\n",
            ["t.csv has no column", "--map"],
        ),
    ],
)
def test_sentence_and_nothing_staged(home: Home, dataset: str, name: str, content: str, words: list[str]) -> None:
    path = home.file(name, content)
    with pytest.raises(PasError) as caught:
        home.bring(dataset, path)
    for word in [name, *words]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not home.imports.exists()
    assert not (home.folder / "raw").exists()


def test_missing_file(home: Home) -> None:
    with pytest.raises(PasError, match=r"There is no file .*gone.csv"):
        home.bring("prices", home.folder / "gone.csv")


def test_wrong_maps_options_and_datasets(home: Home) -> None:
    path = home.file("p.csv", LONG)
    with pytest.raises(PasError, match=r"no column 'px', which --map close=px names. It has: date, symbol, close"):
        home.parse("prices", path, {"close": "px"})
    with pytest.raises(PasError, match=r"prices has no column 'klose'"):
        home.parse("prices", path, {"klose": "close"})
    with pytest.raises(PasError, match=r"no dataset 'price'. There are: universe, prices"):
        home.parse("price", path)
    with pytest.raises(PasError, match=r"no import option 'exclud'. There are: exclude"):
        home.parse("prices", path, exclud="A")
    with pytest.raises(PasError, match=r"through=soon is not a day"):
        home.parse("prices", path, through="soon")
    with pytest.raises(PasError, match=r"kind=bond must be"):
        home.parse("prices", path, kind="bond")
    with pytest.raises(PasError, match=r"has no layout 'tall'. It has: prices-wide"):
        home.parse("prices", path, layout="tall")


def test_few_bad_rows_are_tolerated_and_kept(home: Home) -> None:
    good = "".join(f"2024-01-02,A{letter}{other},10\n" for letter in "ABCDEFGHIJ" for other in "ABCDEFGHIJ")
    path = home.file("p.csv", f"date,symbol,close\n{good}2024-01-02,BAD ONE OF,1\n")
    manifest = home.bring("prices", path)
    assert manifest.refused == {f"symbol must be of the form {SYMBOL_PATTERN}": 1}
    bad = home.parse("prices", path).bad.iloc[0]
    assert (bad["dataset"], bad["file"], bad["row_number"]) == ("prices", "p.csv", 101)
    assert bad["content"] == '{"date": "2024-01-02", "symbol": "BAD ONE OF", "close": "1"}'
    assert bad["known_on"].date().isoformat() == "2026-11-20"


def test_a_good_row_after_a_bad_one_of_its_key_is_taken(home: Home) -> None:
    path = home.file("p.csv", "date,symbol,close\n2024-01-02,A,\n2024-01-02,A,10\n")
    assert home.parse("prices", path, max_bad="0.5").rows["close"].tolist() == [10.0]
