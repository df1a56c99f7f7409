"""History in one process: layers in the order of the graph, one sentence when something fails, progress on the way."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest
from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    AssetsDefinition,
    AssetSpec,
    BackfillPolicy,
    DagsterInstance,
    Definitions,
    Failure,
    MaterializeResult,
    in_process_executor,
    multi_asset,
)

from pas_dagster.automation import backfill
from pas_dagster.automation.progress import LOGGERS, listening
from pas_dagster.errors import PasError
from pas_dagster.partitions import DAYS, LATEST, SESSIONS, WEEKLY_DECISION

FIRST, LAST = date(2026, 1, 5), date(2026, 3, 31)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in backfill.HISTORY_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)  # so that it is taken back after the test


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


def an_asset(name: str, partitions: Any, deps: Sequence[str] = (), fails: Exception | None = None) -> AssetsDefinition:
    upstream = [AssetDep(dep, partition_mapping=LATEST) for dep in deps]

    @multi_asset(
        name=name,
        specs=[AssetSpec(name, deps=upstream)],
        partitions_def=partitions,
        backfill_policy=BackfillPolicy.single_run(),
        check_specs=[AssetCheckSpec("fine", asset=name, blocking=True)],
        can_subset=True,
    )
    def _made(context: AssetExecutionContext) -> Iterator[Any]:
        if fails is not None:
            raise fails
        recorded = bool(context.selected_asset_check_keys)
        if recorded:
            yield AssetCheckResult(asset_key=name, check_name="fine", passed=True)
        yield MaterializeResult(name, metadata={"recorded": recorded})

    return _made


def definitions(**failing: Exception) -> Definitions:
    """Facts of two kinds, a decision that needs both, and a report that needs the decision."""
    made = [
        an_asset("news", DAYS, fails=failing.get("news")),
        an_asset("bars", SESSIONS),
        an_asset("shares", WEEKLY_DECISION, ["news", "bars"], fails=failing.get("shares")),
        an_asset("report", SESSIONS, ["shares"]),
    ]
    return Definitions(made, loggers=LOGGERS, executor=in_process_executor)


def run(instance: DagsterInstance, defs: Definitions, first: date = FIRST, last: date = LAST, **options: Any) -> list:
    return backfill.backfill(defs, instance, first, last, NOW, lambda: 0.0, **options)


class TestLayers:
    def test_hold_every_asset_of_the_system_once_each_with_its_partition_set(self):
        from pas_dagster.definitions import defs

        found = backfill.layers(defs)
        graph = defs.resolve_asset_graph()
        names = [key for layer in found for key in layer.keys]
        assert sorted(names) == sorted(graph.materializable_asset_keys)
        assert all(graph.get(key).partitions_def == layer.partitions for layer in found for key in layer.keys)

    def test_come_after_everything_that_they_depend_on(self):
        from pas_dagster.definitions import defs

        graph = defs.resolve_asset_graph()
        done = set()
        for layer in backfill.layers(defs):
            done |= set(layer.keys)
            missing = [(key, graph.get(key).parent_keys - done) for key in layer.keys]
            assert [pair for pair in missing if pair[1]] == []

    def test_are_few(self):
        from pas_dagster.definitions import defs

        assert len(backfill.layers(defs)) <= 14  # each costs a run; more would mean that the graph zigzags

    def test_are_the_same_every_time(self):
        from pas_dagster.definitions import defs

        assert backfill.layers(defs) == backfill.layers(defs)

    def test_split_a_partition_set_where_another_set_comes_between(self):
        assert [layer.names for layer in backfill.layers(definitions())] == [["news"], ["bars"], ["shares"], ["report"]]

    def test_of_some_assets_leave_the_others_alone(self):
        assert [layer.names for layer in backfill.layers(definitions(), ["report", "news"])] == [["report"], ["news"]]

    def test_of_an_unknown_asset_are_an_error_that_names_it(self):
        with pytest.raises(PasError, match="no asset 'reprot'"):
            backfill.layers(definitions(), ["reprot"])


class TestBackfill:
    def test_materialises_every_partition_of_the_range(self, instance: DagsterInstance):
        defs = definitions()
        run(instance, defs)
        for layer in backfill.layers(defs):
            wanted = backfill.keys_between(layer.partitions, FIRST, LAST, NOW)
            assert wanted
            for key in layer.keys:
                assert instance.get_materialized_partitions(key) == set(wanted)

    def test_says_what_it_did(self, instance: DagsterInstance):
        seen: list[tuple[str, int]] = []
        done = run(instance, definitions(), on_layer=lambda layer, count: seen.append((layer.names[0], count)))
        assert [name for name, _ in seen] == ["news", "bars", "shares", "report"]
        counts: dict[str, int] = {}
        for one in done:
            counts[one.layer.names[0]] = counts.get(one.layer.names[0], 0) + one.count
        assert counts == dict(seen)
        assert counts["news"] == 86

    def test_reports_each_step_as_it_starts_and_ends(self, instance: DagsterInstance):
        heard: list[tuple[str, str]] = []
        with listening(lambda event, step: heard.append((event, step))):
            run(instance, definitions(), last=date(2026, 1, 12))
        started = [step for event, step in heard if event == "STEP_START"]
        assert started == ["news", "bars", "shares", "report"]
        assert [step for event, step in heard if event == "STEP_SUCCESS"] == started

    def test_tells_nobody_once_the_listener_has_left(self, instance: DagsterInstance):
        heard: list[tuple[str, str]] = []
        with listening(lambda event, step: heard.append((event, step))):
            pass
        run(instance, definitions(), last=date(2026, 1, 12))
        assert heard == []

    @pytest.mark.parametrize(
        "fault",
        [
            ValueError("the file is empty"),
            Failure("the file is empty", allow_retries=False),
            PasError("the file is empty"),
        ],
        ids=lambda fault: type(fault).__name__,
    )
    def test_fails_with_one_sentence_that_names_asset_range_and_reason(
        self, instance: DagsterInstance, fault: Exception
    ):
        with pytest.raises(PasError) as caught:
            run(instance, definitions(shares=fault), last=date(2026, 1, 20))
        text = str(caught.value)
        assert text.startswith("shares (2026-01-05 to 2026-01-19) failed: ")
        assert text.endswith("the file is empty")
        assert "\n" not in text
        assert "Traceback" not in text

    def test_runs_nothing_downstream_of_a_failure(self, instance: DagsterInstance):
        defs = definitions(shares=ValueError("no"))
        with pytest.raises(PasError):
            run(instance, defs, last=date(2026, 1, 20))
        made = {key.to_user_string() for key in instance.all_asset_keys() if instance.get_materialized_partitions(key)}
        assert made == {"news", "bars"}

    def test_records_checks_of_short_ranges_and_of_the_newest_partition_of_long_ones(self, instance: DagsterInstance):
        defs = definitions()
        run(instance, defs, last=date(2026, 1, 12), only=["bars"])
        run(instance, defs, only=["news"])

        def recorded(name: str) -> dict[str, bool]:
            (key,) = (key for key in instance.all_asset_keys() if key.to_user_string() == name)
            events = instance.fetch_materializations(key, limit=1000).records
            return {e.partition_key: e.asset_materialization.metadata["recorded"].value for e in events}

        assert set(recorded("bars").values()) == {True}
        assert [key for key, was in recorded("news").items() if was] == ["2026-03-31"]

    def test_of_a_range_without_partitions_does_nothing(self, instance: DagsterInstance):
        assert run(instance, definitions(), date(2026, 1, 10), date(2026, 1, 10), only=["bars"]) == []  # a Saturday
