"""Reading and replacing partitions, within one process."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pas_dagster.errors import PasError
from pas_dagster.lake import Lake, PartitionError
from pas_dagster.schemas import TABLES
from pas_dagster.schemas.table import Kind
from pas_dagster_tests.lake.frames import DAYS, PRICES, WEIGHTS, bars, marks, plain, stored, weights


def test_a_fresh_lake_has_every_table_empty_with_its_types(lake: Lake, url: str) -> None:
    query = "select table_name, column_name, data_type from duckdb_columns() where database_name = 'lake'"
    found = lake.query(f"{query} order by table_name, column_index")
    expected = [(t.name, c.name, c.kind.sql.upper()) for _, t in sorted(TABLES.items()) for c in t.columns]
    assert list(found.itertuples(index=False, name=None)) == expected
    for table in TABLES.values():
        assert lake.read(table).empty
        assert plain(url, table) == []
        assert lake.last_partition(table) is None


def test_the_same_content_in_any_order_is_no_write(lake: Lake, folder: Path) -> None:
    rows = bars(DAYS, [f"S{n}" for n in range(30)], 1.5, volume=np.nan)
    first = lake.replace(PRICES, DAYS, rows)
    files = sorted(folder.rglob("*.parquet"))
    again = lake.replace(PRICES, DAYS, rows.sample(frac=1, random_state=3))
    assert (first.changed, again.changed) == (True, False)
    assert (again.rows, again.snapshot) == (first.rows, first.snapshot) == (120, lake.snapshot())
    assert sorted(folder.rglob("*.parquet")) == files


def test_the_same_facts_told_by_other_bytes_are_no_write(lake: Lake) -> None:
    frame = bars(DAYS[:1], ["A", "B"], 1.0, raw="first")
    lake.replace(PRICES, DAYS[:1], frame)
    assert not lake.replace(PRICES, DAYS[:1], frame.assign(raw="second")).changed
    assert set(lake.read(PRICES, first=DAYS[0], last=DAYS[0])["raw"]) == {"first"}


@pytest.mark.parametrize(
    ("column", "value"), [("close", 1.0000000001), ("volume", 0.0), ("provider", "b"), ("symbol", "C")]
)
def test_the_smallest_difference_is_a_write(lake: Lake, column: str, value: object) -> None:
    rows = bars(DAYS[:1], ["A", "B"], 1.0)
    lake.replace(PRICES, DAYS[:1], rows)
    changed = rows.copy()
    changed.loc[1, column] = value
    assert lake.replace(PRICES, DAYS[:1], changed).changed
    assert stored(lake.read(PRICES)) == stored(changed)


def test_two_rows_that_swap_a_value_are_a_write(lake: Lake) -> None:
    """An order-free fingerprint of columns, instead of rows, would miss this."""
    rows = bars(DAYS[:1], ["A", "B"], 1.0)
    rows["close"] = [1.0, 2.0]
    lake.replace(PRICES, DAYS[:1], rows)
    assert lake.replace(PRICES, DAYS[:1], rows.assign(close=[2.0, 1.0])).changed


def test_an_equal_pair_of_rows_does_not_cancel_out(lake: Lake) -> None:
    """A fingerprint of xor alone cannot tell one pair of equal rows from another."""
    one, other = bars(DAYS[:1], ["A", "A"], 1.0), bars(DAYS[:1], ["B", "B"], 2.0)
    lake.replace(PRICES, DAYS[:1], one)
    assert lake.replace(PRICES, DAYS[:1], other).changed


def test_only_the_named_partitions_are_replaced(lake: Lake, url: str) -> None:
    lake.replace(PRICES, DAYS, bars(DAYS, ["A", "B"], 1.0))
    lake.replace(PRICES, [DAYS[0], DAYS[2]], bars([DAYS[0], DAYS[2]], ["C"], 2.0))  # not the day between
    expected = stored(pd.concat([bars([DAYS[1], DAYS[3]], ["A", "B"], 1.0), bars([DAYS[0], DAYS[2]], ["C"], 2.0)]))
    assert stored(lake.read(PRICES)) == plain(url, PRICES) == expected


def test_scope_narrows_what_is_replaced(lake: Lake, url: str) -> None:
    for name, weight in (("s1", 0.1), ("s2", 0.2)):
        lake.replace(WEIGHTS, DAYS, weights(DAYS, name, ["A", "B"], weight), scope=("strategy", name))
    lake.replace(WEIGHTS, DAYS[:1], weights(DAYS[:1], "s1", ["C"], 0.9), scope=("strategy", "s1"))
    parts = [
        weights(DAYS[:1], "s1", ["C"], 0.9),
        weights(DAYS[1:], "s1", ["A", "B"], 0.1),
        weights(DAYS, "s2", ["A", "B"], 0.2),
    ]
    assert stored(lake.read(WEIGHTS)) == plain(url, WEIGHTS) == stored(pd.concat(parts))


def test_rows_of_another_partition_or_scope_are_refused_and_nothing_is_written(lake: Lake, url: str) -> None:
    before = lake.snapshot()
    with pytest.raises(PartitionError, match="prices: a row of 2024-01-04 is outside the partitions replaced"):
        lake.replace(PRICES, DAYS[:2], bars([DAYS[0], DAYS[2]], ["A"], 1.0))
    with pytest.raises(PartitionError, match="is outside"):
        lake.replace(PRICES, [], bars(DAYS[:1], ["A"], 1.0))
    with pytest.raises(PartitionError, match="strategy_weights: a row is not of strategy = 's1'"):
        lake.replace(WEIGHTS, DAYS, weights(DAYS, "s2", ["A"], 1.0), scope=("strategy", "s1"))
    assert (lake.snapshot(), marks(url)) == (before, 0)


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        (bars(DAYS, ["A"], 1.0).drop(columns="close"), KeyError, "prices needs the column 'close'"),
        (bars(DAYS, ["A"], 1.0).assign(close="ten"), ValueError, "prices.close must be above 0: .*'ten'"),
        (bars(DAYS, ["A"], 1.0).assign(event_date="soon"), ValueError, "prices.event_date must be a date"),
        (bars(DAYS, ["A"], 1.0).assign(event_date=20240102), ValueError, "a number is not a day"),
    ],
)
def test_wrong_columns_are_named_and_nothing_is_written(
    lake: Lake, rows: pd.DataFrame, error: type[Exception], words: str
) -> None:
    before = lake.snapshot()
    with pytest.raises(error, match=words):
        lake.replace(PRICES, DAYS, rows)
    assert lake.snapshot() == before


def test_an_empty_frame_empties_the_partitions(lake: Lake, url: str) -> None:
    lake.replace(PRICES, DAYS, bars(DAYS, ["A"], 1.0))
    written = lake.replace(PRICES, DAYS[1:], PRICES.empty())
    assert (written.rows, written.changed) == (0, True)
    assert lake.partitions(PRICES) == DAYS[:1]
    assert len(plain(url, PRICES)) == 1
    assert not lake.replace(PRICES, DAYS[1:], PRICES.empty()).changed


def test_nothing_known_is_null_in_the_lake_and_missing_in_the_frame(lake: Lake, url: str) -> None:
    rows = bars(DAYS[:1], ["A", "B"], 1.0)
    rows["volume"], rows["raw"] = [np.nan, 5.0], ["digest", None]
    lake.replace(PRICES, DAYS[:1], rows)
    nulls = lake.query("select count(*) filter (volume is null) as v, count(*) filter (isnan(volume)) as n from prices")
    assert nulls.iloc[0].tolist() == [1, 0]
    assert lake.query("select symbol from prices where raw is null")["symbol"].tolist() == ["B"]
    back = PRICES.conform(lake.read(PRICES))
    pd.testing.assert_frame_equal(back, rows)
    assert [row for row in plain(url, PRICES) if "digest" in row][0][PRICES.names.index("volume")] is None


def test_what_is_read_has_the_dtypes_of_the_schema(lake: Lake) -> None:
    lake.replace(PRICES, DAYS, bars(DAYS, ["A"], 1.0))
    lake.replace(WEIGHTS, DAYS, weights(DAYS, "s1", ["A"], 1.0), scope=("strategy", "s1"))
    for table in (PRICES, WEIGHTS, TABLES["portfolios"], TABLES["insider_buying"]):
        found = lake.read(table)
        assert list(found.columns) == table.names
        for column in table.columns:
            if len(found) and (not column.nullable or column.kind is Kind.FLOAT):
                assert found[column.name].dtype == column.kind.dtype, column.name


def test_the_past_can_be_read(lake: Lake) -> None:
    snapshots = [lake.replace(PRICES, DAYS, bars(DAYS, ["A"], close)).snapshot for close in (1.0, 2.0, 3.0)]
    for snapshot, close in zip(snapshots, (1.0, 2.0, 3.0), strict=True):
        assert set(lake.read(PRICES, snapshot=snapshot)["close"]) == {close}
    assert lake.read(PRICES, snapshot=snapshots[0] - 1).empty


def test_reading_cuts_by_partition_condition_and_columns_in_key_order(lake: Lake) -> None:
    lake.replace(PRICES, DAYS, bars(DAYS, ["B", "A", "C"], 1.0).sample(frac=1, random_state=1))
    found = lake.read(
        PRICES, first=DAYS[1], last=DAYS[2], columns=["known_on", "symbol"], where="symbol <> ?", values=["C"]
    )
    expected = [(pd.Timestamp(day), symbol) for day in DAYS[1:3] for symbol in ("A", "B")]
    assert list(found.itertuples(index=False, name=None)) == expected
    assert (lake.partitions(PRICES), lake.last_partition(PRICES)) == (DAYS, DAYS[-1])
    assert lake.partitions(PRICES, where="symbol = ?", values=["Z"]) == []


def test_two_connections_see_each_others_commits(lake: Lake, url: str, folder: Path) -> None:
    with Lake(url, folder) as other:
        for turn, (one, two) in enumerate([(lake, other), (other, lake), (lake, other)]):
            written = one.replace(PRICES, DAYS, bars(DAYS, ["A"], turn + 1.0))
            assert set(two.read(PRICES)["close"]) == {turn + 1.0}
            assert two.snapshot() == written.snapshot
            assert not two.replace(PRICES, DAYS, bars(DAYS, ["A"], turn + 1.0)).changed


def test_a_failing_write_leaves_everything_and_the_lake_usable(
    lake: Lake, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.replace(PRICES, DAYS, bars(DAYS, ["A"], 1.0))

    def fail() -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr("pas_dagster.lake.store._between_delete_and_insert", fail)
        with pytest.raises(OSError, match="no space left"):
            lake.replace(PRICES, DAYS, bars(DAYS, ["A"], 2.0))
    assert stored(lake.read(PRICES)) == plain(url, PRICES) == stored(bars(DAYS, ["A"], 1.0))
    assert lake.replace(PRICES, DAYS, bars(DAYS, ["A"], 2.0)).changed


def test_a_lake_without_its_database_is_one_sentence_without_the_password(folder: Path) -> None:
    from pas_dagster.lake.connection import connect

    with pytest.raises(PasError, match="cannot be opened") as caught:
        connect("postgresql://someone:s3cret@127.0.0.1:1/pas", folder)
    assert "s3cret" not in str(caught.value)


FEW = st.sampled_from(DAYS)
ROWS = st.dictionaries(
    st.tuples(FEW, st.sampled_from("AB")), st.sampled_from([1.0, 2.0, 1e-300, 1.7976931348623157e308]), max_size=6
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sets(FEW, min_size=1), ROWS), min_size=1, max_size=4))
def test_any_sequence_of_writes_equals_a_dictionary(
    lake: Lake, url: str, writes: list[tuple[set[date], dict[tuple[date, str], float]]]
) -> None:
    model = {(row[0], row[3]): row[7] for row in stored(lake.read(PRICES))}
    for days, wanted in writes:
        rows = {key: close for key, close in wanted.items() if key[0] in days}
        after = {key: close for key, close in model.items() if key[0] not in days} | rows
        frame = pd.concat([PRICES.empty(), *(bars([day], [s], close) for (day, s), close in rows.items())])
        assert lake.replace(PRICES, sorted(days), frame).changed == (after != model)
        model = after
    assert {(row[0], row[3]): row[7] for row in stored(lake.read(PRICES))} == model
    assert plain(url, PRICES) == stored(lake.read(PRICES))
