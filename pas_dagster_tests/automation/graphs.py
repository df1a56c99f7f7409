"""Prints, as JSON, which partitions each dependency edge maps to: in process, and as the daemon and the UI see it.

    python -m pas_dagster_tests.automation.graphs 2025-01-01 3

The number says by how many keys to go on in sets of more than a thousand; 1 looks at all of them.

Definitions are built from settings when they are imported, so this is a program with an environment of its own.
"""

from __future__ import annotations

import json
import sys
import warnings
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dagster import DagsterInstance
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.remote_representation.external import RemoteRepository
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._core.remote_representation.handle import RepositoryHandle
from dagster._serdes import deserialize_value, serialize_value

MANY = 1000


def remote_graph(repository: Any) -> Any:
    """The asset graph out of the text that a code server sends: all that the daemon and the webserver have."""
    text = serialize_value(RepositorySnap.from_def(repository))
    handle = RepositoryHandle.for_test(location_name="test", repository_name=repository.name)
    return RemoteRepository(
        deserialize_value(text, RepositorySnap), handle, auto_materialize_use_sensors=True
    ).asset_graph


def keys(graph: Any, child: Any, parent: Any, decision: str) -> list[str]:
    found = graph.get_parent_partition_keys_for_child(decision, parent, child)
    return sorted(found.partitions_subset.get_partition_keys())


def main(until: str, stride: int) -> None:
    from pas_dagster.definitions import defs

    repository = defs.get_repository_def()
    local, remote = repository.asset_graph, remote_graph(repository)
    now = datetime.fromisoformat(until).replace(hour=12, tzinfo=ZoneInfo("America/New_York"))
    edges: list[dict[str, Any]] = []
    mapped: dict[str, dict[str, list[list[str]]]] = {}
    with partition_loading_context(now), DagsterInstance.ephemeral():
        for child in local.toposorted_asset_keys:
            if local.get(child).partitions_def is None:
                continue  # it is made of everything there is
            for parent in sorted(local.get(child).parent_keys):
                seen = [
                    serialize_value(part)
                    for graph in (local, remote)
                    for part in (
                        graph.get(child).partitions_def,
                        graph.get_partition_mapping(child, parent),
                        graph.get(parent).partitions_def,
                    )
                ]
                kind = "\n".join(seen[:3])
                edges.append(
                    {
                        "child": child.to_user_string(),
                        "parent": parent.to_user_string(),
                        "alike": seen[:3] == seen[3:],
                        "declared": parent in remote.get(child).partition_mappings,
                        "kind": str(hash(kind)),
                    }
                )
                if str(hash(kind)) not in mapped:  # edges of one kind map alike: same sets, same mapping
                    every = local.get(child).partitions_def.get_partition_keys()
                    decisions = every[::stride] if len(every) > MANY else every
                    mapped[str(hash(kind))] = {
                        key: [keys(graph, child, parent, key) for graph in (local, remote)] for key in decisions
                    }
    parents = {
        k.to_user_string(): one.get_partition_keys(now)
        for k in local.get_all_asset_keys()
        if (one := local.get(k).partitions_def) is not None
    }
    json.dump({"edges": edges, "mapped": mapped, "keys": parents}, sys.stdout)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1], int(sys.argv[2]))
