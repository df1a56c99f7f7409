"""Every source in every kind of bad weather: no wrong row lands, the sentence is clear, and the next visit heals.

Here each fault strikes every request of a visit; `python -m benchmarks.sources` also lets it strike only the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import weather
from pas_dagster.sandbox.faults import Fault
from pas_dagster.sources.source import Source

SOURCES = weather.sources()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[weather.Stage]:
    folder: Path = tmp_path_factory.mktemp("weather")
    with weather.staged(folder) as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=[f"{source.dataset}-{source.name}" for source in SOURCES])
def test_a_source_survives_all_weather(stage: weather.Stage, source: Source) -> None:
    outcomes = list(weather.cells(stage, source, ["every"]))
    assert len(outcomes) == len(Fault)
    assert sum(outcome.struck for outcome in outcomes) >= 14
    problems = [f"{one.fault.value}: {one.problem}" for one in outcomes if one.struck and one.problem and not one.quiet]
    assert problems == []


def test_every_dataset_has_a_source_that_is_tested() -> None:
    from pas_dagster.schemas.datasets import DATASETS

    assert {source.dataset for source in SOURCES} == {table.name for table in DATASETS}
