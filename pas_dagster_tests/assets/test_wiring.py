"""What is stored when a check fails, what is recorded, and what the UI is shown."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from dagster import AssetKey, AssetsDefinition, DagsterInstance, Definitions, Failure

from pas_dagster import calendar
from pas_dagster.assets import wiring
from pas_dagster.assets.resources import Workshop
from pas_dagster.automation.backfill import RANGE_END, RANGE_START
from pas_dagster.partitions import SESSIONS
from pas_dagster.schemas import TABLES
from pas_dagster_tests.assets.conftest import MemoryLake

RATES = TABLES["treasury_rates"]
DAYS = calendar.sessions(date(2025, 1, 2), date(2025, 6, 30))
PRODUCT = wiring.Product("rates", RATES, "Rates.", [wiring.valid_rows(RATES), wiring.complete(RATES)])

Rows = Callable[[Sequence[date]], pd.DataFrame]


def rates(days: Sequence[date], rate: float = 0.04, **given: Any) -> pd.DataFrame:
    rows = [{"known_on": d, "event_date": d, "tenor": "3m", "rate": rate, "provider": "p"} | given for d in days]
    return RATES.conform(pd.DataFrame(rows, columns=["known_on", "event_date", "tenor", "rate", "provider"]))


def a_step(make: Rows) -> AssetsDefinition:
    @wiring.step("rates", [PRODUCT], "datasets", SESSIONS)
    def _step(context, workshop: Workshop) -> Iterator[Any]:
        yield from wiring.publish(context, PRODUCT, make(wiring.keys(context)))

    return _step


def run(make: Rows, workshop: Workshop, days: Sequence[date], *, recorded: bool = True) -> Any:
    """The step for a range in one run, with or without recording its checks."""
    defs = Definitions([a_step(make)], resources={"workshop": workshop, "lake": wiring.lake_io_manager})
    job = defs.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=frozenset([AssetKey("rates")]), asset_check_selection=None if recorded else frozenset()
    )
    tags = {RANGE_START: str(days[0]), RANGE_END: str(days[-1])}
    with DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)


def stored(lake: MemoryLake) -> list[tuple[date, float]]:
    rows = lake.read(RATES)
    return list(zip(rows["known_on"].dt.date, rows["rate"], strict=True))


BAD: dict[str, Rows] = {
    "a value out of bounds": lambda days: rates(days, 7.0),
    "a key twice": lambda days: pd.concat([rates(days), rates(days)], ignore_index=True),
    "a partition without rows": lambda days: rates(days[1:]),
    "no row at all": lambda days: rates([]),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "enforced only"])
class TestAFailedCheck:
    def test_leaves_what_was_stored_before(self, bad: Rows, recorded: bool, lake: MemoryLake, workshop: Workshop):
        assert run(rates, workshop, DAYS[:5]).success
        before = stored(lake)
        assert len(before) == 5
        assert not run(bad, workshop, DAYS[:5], recorded=recorded).success
        assert stored(lake) == before

    def test_stores_nothing_where_nothing_was(self, bad: Rows, recorded: bool, lake: MemoryLake, workshop: Workshop):
        result = run(bad, workshop, DAYS[:5], recorded=recorded)
        assert stored(lake) == []
        assert result.get_asset_materialization_events() == []

    def test_is_recorded_when_checks_are(self, bad: Rows, recorded: bool, workshop: Workshop):
        failed = [
            e for e in run(bad, workshop, DAYS[:5], recorded=recorded).get_asset_check_evaluations() if not e.passed
        ]
        assert bool(failed) is recorded
        assert all(evaluation.metadata["problem"].value for evaluation in failed)


def test_a_good_run_records_every_check(workshop: Workshop):
    found = run(rates, workshop, DAYS[:5]).get_asset_check_evaluations()
    assert {(e.check_name, e.passed) for e in found} == {("rows_are_valid", True), ("no_partition_is_empty", True)}


def test_a_run_replaces_its_partitions_and_no_others(lake: MemoryLake, workshop: Workshop):
    run(rates, workshop, DAYS[:6])
    run(lambda days: rates(days, 0.05), workshop, DAYS[2:4])
    assert stored(lake) == [(day, 0.05 if day in DAYS[2:4] else 0.04) for day in DAYS[:6]]


def test_a_day_that_has_not_begun_in_new_york_is_refused(monkeypatch: pytest.MonkeyPatch):
    evening = pd.Timestamp("2025-01-07 23:59", tz="America/New_York")  # the 8th in London
    monkeypatch.setattr(wiring, "now", evening.to_pydatetime)
    assert wiring.keys(SimpleNamespace(partition_keys=["2025-01-07", "2025-01-06"])) == [
        date(2025, 1, 6),
        date(2025, 1, 7),
    ]
    with pytest.raises(Failure, match="2025-01-08 has not begun in New York"):
        wiring.keys(SimpleNamespace(partition_keys=["2025-01-07", "2025-01-08"]))


class TestThePreview:
    def test_shows_the_newest_rows_of_a_short_run(self):
        text = wiring.preview(rates(DAYS[:31]), DAYS[:31])["preview"].value
        lines = text.splitlines()
        assert 2 + 15 <= len(lines) <= 2 + wiring.PREVIEW_ROWS
        assert len(text) < 1000  # longer Markdown hides behind a click in the UI
        assert f"| {DAYS[30]} |" in lines[-1]

    def test_is_left_out_of_a_long_run_which_repeats_its_metadata_on_every_partition(self):
        assert wiring.preview(rates(DAYS[:32]), DAYS[:32]) == {}

    def test_of_nothing_is_nothing(self):
        assert wiring.preview(rates([]), DAYS[:1]) == {}

    @pytest.mark.parametrize("name", sorted(TABLES))
    def test_of_the_longest_texts_stays_below_fifty_kilobytes(self, name: str):
        table = TABLES[name]
        columns = {c.name: "|" * 100_000 if c.kind.sql == "varchar" else 1 for c in table.columns}
        text = wiring.preview(pd.DataFrame([columns] * 100), DAYS[:1])["preview"].value
        assert len(text.encode()) < 50_000

    @pytest.mark.parametrize(
        "hostile",
        [
            "a | b",
            "line\nbreak\r\n| --- |",
            "<script>alert(1)</script>",
            "![x](http://evil.example/a.png)",
            "[x](javascript:alert(1))",
            "back\\|slash",
            "`code` &lt;b&gt; **bold**",
        ],
    )
    def test_shows_text_of_others_without_interpreting_it(self, hostile: str):
        text = wiring.preview(rates(DAYS[:1], provider=hostile), DAYS[:1])["preview"].value
        header, _, row = text.splitlines()
        assert _bars(row) == _bars(header)
        assert not any(bare in row.replace(f"\\{bare}", "") for bare in "<>[]`*&")

    def test_shows_a_missing_value_as_nothing_and_numbers_short(self):
        row = wiring.preview(rates(DAYS[:1], 1 / 3 / 10), DAYS[:1])["preview"].value.splitlines()[-1]
        assert "| 0.0333333 |" in row
        assert row.endswith("|  |")  # `raw` has no value


def _bars(line: str) -> int:
    """Bars that part cells: those that are not escaped."""
    return line.replace("\\\\", "").replace("\\|", "").count("|")
