"""An instance of Dagster that keeps nothing, for runs that are no part of the account's history: backtests."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager

from dagster import DagsterInstance, EventLogEntry
from dagster._core.instance.types import InstanceType
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher
from dagster._core.run_coordinator import DefaultRunCoordinator
from dagster._core.storage.event_log import InMemoryEventLogStorage
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.runs import InMemoryRunStorage


class _Forgetful(InMemoryEventLogStorage):
    """Events pass through the run's own list, which its result is read from, and are not stored.

    The in-memory storage takes milliseconds for each partition's event, most of the time of a backtest.
    """

    def store_event(self, event: EventLogEntry) -> None:
        """Nothing."""


@contextmanager
def rehearsing() -> Generator[DagsterInstance]:
    """Run the block with such an instance."""
    with tempfile.TemporaryDirectory(prefix="pas-") as folder:
        instance = DagsterInstance(
            instance_type=InstanceType.EPHEMERAL,
            local_artifact_storage=LocalArtifactStorage(folder),
            run_storage=InMemoryRunStorage(),
            event_storage=_Forgetful(),
            compute_log_manager=NoOpComputeLogManager(),
            run_coordinator=DefaultRunCoordinator(),
            run_launcher=SyncInMemoryRunLauncher(),
        )
        with instance:
            yield instance
