"""History in one command: every partition set in the order of the graph, each as one single-run range.

The daemon would wait thirty seconds per layer, and one job cannot mix partition sets; this chains them in
process, with the same assets, events and lineage.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from dagster import AssetKey, DagsterInstance, Definitions, TimeWindowPartitionsDefinition

from pas_dagster.automation.progress import RUN_CONFIG
from pas_dagster.errors import PasError

# Checks are always enforced. Recording them for each of thousands of partitions costs more than materialising those.
CHECKED = 31
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"
# Without these, ten thousand partitions cost minutes of event storage; see docs/architecture.md.
HISTORY_ENVIRONMENT = {"DAGSTER_EVENT_BATCH_SIZE": "1000", "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS": "1"}


@dataclass(frozen=True)
class Layer:
    """Assets of one partition set, or of none, that can run together once everything upstream of them has run."""

    keys: tuple[AssetKey, ...]
    partitions: TimeWindowPartitionsDefinition | None

    @property
    def names(self) -> list[str]:
        return [key.to_user_string() for key in self.keys]


@dataclass(frozen=True)
class Done:
    """A layer that ran: which partitions, and how long it took."""

    layer: Layer
    first: str
    last: str
    count: int
    seconds: float


def layers(defs: Definitions, only: Sequence[str] = ()) -> list[Layer]:
    """The assets in runnable layers. Within a layer assets may depend on each other: one run orders them."""
    graph = defs.resolve_asset_graph()
    wanted = {AssetKey(name) for name in only} or set(graph.materializable_asset_keys)
    unknown = sorted(key.to_user_string() for key in wanted - set(graph.materializable_asset_keys))
    if unknown:
        raise PasError(f"There is no asset {unknown[0]!r}. `pas status` lists them.")
    waiting = set(wanted)
    found: list[Layer] = []
    while waiting:
        found.append(_next_layer(graph, waiting))
        waiting -= set(found[-1].keys)
    return found


def _next_layer(graph: Any, waiting: set[AssetKey]) -> Layer:
    """The waiting assets of one partition set whose upstreams are done or in the layer.

    Each layer is a run: a set that can run whole comes before one that would have to run again, then the one that most
    others wait for, then the largest.
    """
    by_set: dict[object, set[AssetKey]] = {}
    for key in waiting:
        by_set.setdefault(graph.get(key).partitions_def, set()).add(key)
    ready = {partitions: _closed(graph, keys, waiting) for partitions, keys in by_set.items()}
    assert any(ready.values()), "the asset graph has a cycle between partition sets"

    def rank(one: object) -> tuple[bool, int, int, str]:
        waited_for = sum(bool(graph.get(key).parent_keys & ready[one]) for key in waiting - ready[one])
        return ready[one] == by_set[one], waited_for, len(ready[one]), str(sorted(ready[one]))

    partitions = max(by_set, key=rank)
    assert partitions is None or isinstance(partitions, TimeWindowPartitionsDefinition)
    return Layer(tuple(sorted(ready[partitions])), partitions)


def _closed(graph: Any, keys: set[AssetKey], waiting: set[AssetKey]) -> set[AssetKey]:
    ready = set(keys)
    while True:
        blocked = {key for key in ready if any(p in waiting and p not in ready for p in graph.get(key).parent_keys)}
        if not blocked:
            return ready
        ready -= blocked


def keys_between(
    partitions: TimeWindowPartitionsDefinition | None, first: date, last: date, now: datetime
) -> list[str]:
    """Keys of the set from `first` to `last` that exist at an instant; the last day for what has no partitions."""
    if partitions is None:
        return [last.isoformat()]
    wanted = (first.isoformat(), last.isoformat())
    return [key for key in partitions.get_partition_keys(current_time=now) if wanted[0] <= key <= wanted[1]]


def run_layer(
    defs: Definitions,
    instance: DagsterInstance,
    layer: Layer,
    keys: Sequence[str],
    clock: Callable[[], float],
    tags: Mapping[str, str] | None = None,
) -> Done:
    """Materialise the layer's assets for the keys in one run. Raises `PasError` naming the asset that failed.

    A run of one key that has it as Dagster's partition among its `tags` is one of that partition, not of a range.
    """
    os.environ.update(HISTORY_ENVIRONMENT)
    checks = None if len(keys) <= CHECKED else frozenset()
    job = defs.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection=frozenset(layer.keys), asset_check_selection=checks
    )
    started = clock()
    result = job.execute_in_process(
        instance=instance,
        tags=_span(layer, keys, tags or {}),
        run_config=RUN_CONFIG,
        raise_on_error=False,
    )
    if not result.success:
        raise PasError(_failure(result, layer, keys))
    return Done(layer, keys[0], keys[-1], len(keys), clock() - started)


def _span(layer: Layer, keys: Sequence[str], tags: Mapping[str, str]) -> dict[str, str]:
    """The tags, with the range of the keys unless they name the one partition."""
    ranged = layer.partitions is not None and PARTITION not in tags
    return {**({RANGE_START: keys[0], RANGE_END: keys[-1]} if ranged else {}), **tags}


def _failure(result: Any, layer: Layer, keys: Sequence[str]) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            cause = error.cause or error
            reason = event.step_failure_data.user_failure_data
            text = reason.description if reason is not None and reason.description else cause.message.strip()
            text = text.removeprefix(f"{PasError.__module__}.{PasError.__name__}: ")
            return f"{event.step_key} ({keys[0]} to {keys[-1]}) failed: {text}"
    return f"{', '.join(layer.names)} ({keys[0]} to {keys[-1]}) did not succeed; the run's log in `pas up` says why"


def backfill(
    defs: Definitions,
    instance: DagsterInstance,
    first: date,
    last: date,
    now: datetime,
    clock: Callable[[], float],
    *,
    only: Sequence[str] = (),
    on_layer: Callable[[Layer, int], None] = lambda *_: None,
) -> list[Done]:
    """Materialise every asset (or `only` some) for every partition from `first` to `last`, layer by layer.

    `last` bounds decisions; facts end the day before, because a decision knows nothing of its own day.
    """
    done = []
    for layer in layers(defs, only):
        keys = keys_between(layer.partitions, first, last, now)
        if keys:
            on_layer(layer, len(keys))
            done += [run_layer(defs, instance, layer, portion, clock) for portion in _portions(keys)]
    return done


def _portions(keys: Sequence[str]) -> list[Sequence[str]]:
    """The newest partition of a long range runs apart: its checks are recorded and the UI gets its preview."""
    return [keys] if len(keys) <= CHECKED else [keys[:-1], keys[-1:]]
